/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One side is killed or stopped in the middle of work; the other goes on, and
 * its books are right. */

#include "peer-process.h"

#include "libiostream/io-stream-connection-private.h"

#define N_BUFFERS 4
#define DATA_SIZE 4096
#define PATIENCE  STREAM_UTIL_TIMEOUT

static guint
n_rounds (void)
{
  return g_getenv ("IOSTREAM_TEST_VALGRIND") != NULL ? 3 : 100;
}

/* The peers. */

/* Takes and returns until it is killed; with "keep" it never returns any. */
static int
run_client (char **argv)
{
  IOStreamConnection *connection = stream_util_open (argv[0]);
  gboolean keeps = g_strcmp0 (argv[1], "keep") == 0;
  IOStreamBufferQueueEntry entry;
  guint64 n = 0;

  stream_util_start (connection);
  while (io_stream_connection_wait (connection, -1, NULL, NULL))
    while (io_stream_connection_dequeue_output_entry (connection, &entry))
      {
        g_assert_true (payload_is (io_stream_connection_peek_data_buffer (connection, entry.buffer_id, NULL),
                                   io_stream_connection_peek_control_buffer (connection, entry.buffer_id, NULL),
                                   DATA_SIZE, entry.sequence));
        if (n++ == 0)
          peer_say ("first %u", entry.sequence);
        if (keeps && n == N_BUFFERS)
          peer_say ("full");
        if (!keeps)
          stream_util_return (connection, &entry);
      }
  g_object_unref (connection);

  return 0;
}

static gboolean
send_numbered (IOStream  *stream,
               guint64   *number,
               GError   **error)
{
  IOStreamBuffer *buffer = io_stream_acquire_buffer (stream, error);

  if (buffer == NULL)
    return FALSE;
  payload_fill (io_stream_buffer_peek_data (buffer, NULL), io_stream_buffer_peek_control (buffer, NULL),
                DATA_SIZE, *number);
  if (!io_stream_send_buffer (stream, buffer, error))
    {
      io_stream_release_buffer (stream, buffer);
      return FALSE;
    }
  ++*number;

  return TRUE;
}

/* Sends until it is killed, and writes on the board how many. */
static int
run_owner (char **argv)
{
  IOWorkLoop *loop = io_work_loop_new ("owner");
  IOStream *stream = stream_util_new_stream (loop, IO_STREAM_MODE_OUTPUT, N_BUFFERS, DATA_SIZE,
                                             sizeof (PayloadControl));
  _Atomic guint64 *board = map_board (PEER_BOARD_FD);
  g_autoptr (GError) error = NULL;
  guint64 number = 0;

  peer_say ("ready");
  while (io_stream_wait_buffer (stream, -1, NULL, &error))
    while (send_numbered (stream, &number, NULL))
      *board = number;
  g_assert_no_error (error);

  return 0;
}

/* A child that knows nothing of the stream, and lives until it is killed. */
static void
leave_child (void)
{
  pid_t pid = fork ();

  g_assert_cmpint (pid, >=, 0);
  if (pid == 0)
    {
      /* not for ever, and nobody waits for the end of our output */
      alarm (600);
      for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        close (fd);
      for (;;)
        pause ();
    }

  peer_say ("child %d", pid);
}

/* Sends what it can, and forks when it is told to. */
static int
run_forking_owner (char **argv)
{
  IOWorkLoop *loop = io_work_loop_new ("owner");
  IOStream *stream = stream_util_new_stream (loop, IO_STREAM_MODE_OUTPUT, N_BUFFERS, DATA_SIZE,
                                             sizeof (PayloadControl));
  guint64 number = 0;

  peer_say ("ready");
  g_assert_true (io_stream_wait_buffer (stream, -1, NULL, NULL));
  while (send_numbered (stream, &number, NULL))
    ;
  leave_child ();
  for (;;)
    pause ();

  return 0;
}

/* Takes everything, forks and ends without a word. */
static int
run_forking_client (char **argv)
{
  IOStreamConnection *connection = stream_util_open (argv[0]);
  IOStreamBufferQueueEntry entry;

  stream_util_start (connection);
  for (guint i = 0; i < N_BUFFERS; i++)
    {
      g_assert_true (io_stream_connection_wait (connection, -1, NULL, NULL));
      g_assert_true (io_stream_connection_dequeue_output_entry (connection, &entry));
    }
  leave_child ();
  _exit (0);

  return 0;
}

/* The owner here. */

typedef struct {
  IOWorkLoop   *loop;
  IOStream     *stream;
  guint64       number;
  _Atomic guint n_died;
  _Atomic guint n_closed;
  _Atomic guint n_wrong;
} Owner;

static void
died_cb (IOStream     *stream,
         IOUserClient *client,
         Owner        *self)
{
  if (self->n_died != self->n_closed)
    self->n_wrong++;
  self->n_died++;
}

static void
closed_cb (IOStream     *stream,
           IOUserClient *client,
           Owner        *self)
{
  if (self->n_died != self->n_closed + 1)
    self->n_wrong++;
  self->n_closed++;
}

static void
set_up_owner (Owner         *self,
              gconstpointer  data)
{
  self->loop = io_work_loop_new ("owner");
  self->stream = stream_util_new_stream (self->loop, IO_STREAM_MODE_OUTPUT, N_BUFFERS, DATA_SIZE,
                                         sizeof (PayloadControl));
  g_signal_connect (self->stream, "client-died", G_CALLBACK (died_cb), self);
  g_signal_connect (self->stream, "client-closed", G_CALLBACK (closed_cb), self);
}

static void
tear_down_owner (Owner         *self,
                 gconstpointer  data)
{
  g_assert_cmpuint (self->n_wrong, ==, 0);
  io_service_terminate (IO_SERVICE (self->stream));
  io_work_loop_shut_down (self->loop);
  g_assert_finalize_object (self->stream);
  g_assert_finalize_object (self->loop);
}

/* The owner's book, asked from outside: all of them are there, each once. */
static void
assert_all_home (IOStream *stream)
{
  g_autoptr (GError) error = NULL;
  IOStreamBuffer *buffers[N_BUFFERS];

  for (guint i = 0; i < N_BUFFERS; i++)
    {
      buffers[i] = io_stream_acquire_buffer (stream, &error);
      g_assert_no_error (error);
      for (guint j = 0; j < i; j++)
        g_assert_true (buffers[i] != buffers[j]);
    }
  g_assert_null (io_stream_acquire_buffer (stream, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_SPACE);
  for (guint i = 0; i < N_BUFFERS; i++)
    io_stream_release_buffer (stream, buffers[i]);
}

static void
send_some (Owner *self,
           guint  n)
{
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < n; i++)
    {
      g_assert_true (io_stream_wait_buffer (self->stream, PATIENCE, NULL, &error));
      g_assert_no_error (error);
      g_assert_true (send_numbered (self->stream, &self->number, &error));
      g_assert_no_error (error);
    }
}

/* As an owner does that does not know yet. */
static void
send_until_refused (Owner *self)
{
  g_autoptr (GError) error = NULL;
  gint64 deadline = g_get_monotonic_time () + PATIENCE;

  while (!g_error_matches (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY))
    {
      g_assert_cmpint (g_get_monotonic_time (), <, deadline);
      g_clear_error (&error);
      if (!send_numbered (self->stream, &self->number, &error) &&
          !g_error_matches (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY))
        g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_SPACE);
    }
}

static void
wait_closed (Owner *self,
             guint  n)
{
  gint64 deadline = g_get_monotonic_time () + PATIENCE;

  while (self->n_closed < n)
    {
      g_assert_cmpint (g_get_monotonic_time (), <, deadline);
      sched_yield ();
    }
}

static Peer *
spawn_client (Owner      *self,
              const char *how)
{
  g_autofree char *expected = g_strdup_printf ("first %u", (guint) self->number);
  Peer *peer = peer_spawn (-1, -1, "client", "test", how, NULL);

  send_some (self, 1);
  peer_expect (peer, expected);

  return peer;
}

static void
test_client_killed (Owner         *self,
                    gconstpointer  data)
{
  guint n_fds = 0, n_maps = 0;

  for (guint round = 0; round < n_rounds (); round++)
    {
      Peer *peer = spawn_client (self, "return");

      send_some (self, g_test_rand_int_range (0, 200));
      g_assert_cmpint (kill (peer->pid, SIGKILL), ==, 0);
      send_until_refused (self);
      g_assert_cmpint (WTERMSIG (peer_reap (peer)), ==, SIGKILL);
      wait_closed (self, round + 1);

      g_assert_cmpuint (self->n_died, ==, round + 1);
      g_assert_cmpuint (self->n_closed, ==, round + 1);
      g_assert_cmpint (io_stream_get_state (self->stream), ==, IO_STREAM_STATE_CLOSED);
      assert_all_home (self->stream);
      stream_util_wait_unused (self->loop, IO_SERVICE (self->stream));
      if (round == 0)
        {
          n_fds = count_open_fds ();
          n_maps = count_maps ("");
        }
    }
  g_assert_cmpuint (count_open_fds (), ==, n_fds);
  g_assert_cmpuint (count_maps (""), ==, n_maps);
}

static gboolean
note_time_cb (gpointer data)
{
  *(_Atomic gint64 *) data = g_get_monotonic_time ();

  return G_SOURCE_REMOVE;
}

/* How long the owner's loop lets others wait. */
static gint64
measure_loop (IOWorkLoop *loop)
{
  _Atomic gint64 ran = 0;
  gint64 start = g_get_monotonic_time ();

  io_work_loop_run_action (loop, note_time_cb, &ran);
  g_assert_cmpint (ran, >=, start);

  return ran - start;
}

static void
assert_no_space (Owner *self,
                 Peer  *peer)
{
  g_autofree char *held = g_strdup_printf ("holds %u of %u", N_BUFFERS, N_BUFFERS);
  g_autofree char *process = g_strdup_printf ("process %d", peer->pid);
  g_autoptr (GError) error = NULL;

  g_assert_null (io_stream_acquire_buffer (self->stream, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_SPACE);
  g_assert_nonnull (strstr (error->message, held));
  g_assert_nonnull (strstr (error->message, process));
}

static void
test_client_stopped (Owner         *self,
                     gconstpointer  data)
{
  Peer *peer = spawn_client (self, "keep");
  const guint n_turns = 2000;
  guint n_slow = 0;
  G_GNUC_UNUSED guint64 resident;

  send_some (self, N_BUFFERS - 1);
  peer_expect (peer, "full");
  peer_freeze (peer);
  assert_no_space (self, peer);

  resident = resident_bytes ();
  for (guint i = 0; i < n_turns; i++)
    {
      g_autoptr (GError) error = NULL;
      gint64 time;

      for (guint j = 0; j < 20; j++)
        assert_no_space (self, peer);
      g_assert_false (io_stream_wait_buffer (self->stream, 0, NULL, &error));
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT);
      time = measure_loop (self->loop);
      g_assert_cmpint (time, <, PATIENCE);
      n_slow += time >= 50 * 1000;
    }
  /* Others may keep the machine busy now and then; a loop that waits for the
   * client is late every time. */
  g_test_message ("the loop was late %u times", n_slow);
  g_assert_cmpuint (n_slow, <, n_turns / 2);
#ifndef __SANITIZE_ADDRESS__
  /* that one keeps for a while what is freed, and so does valgrind */
  if (g_getenv ("IOSTREAM_TEST_VALGRIND") == NULL)
    g_assert_cmpuint (resident_bytes (), <, resident + (1 << 20));
#endif

  peer_thaw (peer);
  peer_kill (peer);
  wait_closed (self, 1);
  assert_all_home (self->stream);
  peer_kill (spawn_client (self, "return"));
  wait_closed (self, 2);
}

static pid_t
read_child (Peer *peer)
{
  g_autofree char *line = peer_read (peer);
  int pid = 0;

  g_assert_nonnull (line);
  g_assert_cmpint (sscanf (line, "child %d", &pid), ==, 1);

  return pid;
}

/* Nothing that a child inherits keeps a dead client alive. */
static void
test_client_forks (Owner         *self,
                   gconstpointer  data)
{
  Peer *peer = peer_spawn (-1, -1, "forking-client", "test", NULL);
  pid_t child;

  send_some (self, N_BUFFERS);
  child = read_child (peer);
  peer_finish (peer);
  wait_closed (self, 1);
  g_assert_cmpuint (self->n_died, ==, 1);
  assert_all_home (self->stream);
  peer_kill (spawn_client (self, "return"));
  wait_closed (self, 2);

  g_assert_cmpint (kill (child, SIGKILL), ==, 0);
}

/* The client here. */

typedef struct {
  int              board_fd;
  _Atomic guint64 *board;
} Watcher;

static void
set_up_watcher (Watcher       *self,
                gconstpointer  data)
{
  self->board_fd = make_board ();
  self->board = map_board (self->board_fd);
}

static void
tear_down_watcher (Watcher       *self,
                   gconstpointer  data)
{
  IOWorkLoop *loop = io_work_loop_new ("owner");
  IOStream *stream = stream_util_new_stream (loop, IO_STREAM_MODE_OUTPUT, 1, 64, 0);

  /* What the dead left is a name that can be taken, and goes with its owner. */
  io_service_terminate (IO_SERVICE (stream));
  io_work_loop_shut_down (loop);
  g_assert_finalize_object (stream);
  g_assert_finalize_object (loop);

  munmap ((void *) self->board, 4096);
  close (self->board_fd);
}

static Peer *
spawn_owner (Watcher    *self,
             const char *role)
{
  Peer *peer;

  *self->board = 0;
  peer = peer_spawn (-1, self->board_fd, role, NULL);
  peer_expect (peer, "ready");

  return peer;
}

static void
count_cb (IOConnection *connection,
          const GError *error,
          guint        *n)
{
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
  ++*n;
}

/* Takes what is there; FALSE at the end. */
static gboolean
take_one (IOStreamConnection *client,
          guint64            *n,
          gint64              timeout,
          GError            **error)
{
  IOStreamBufferQueueEntry entry;

  if (!io_stream_connection_wait (client, timeout, NULL, error))
    return FALSE;
  g_assert_true (io_stream_connection_dequeue_output_entry (client, &entry));
  g_assert_cmpuint (entry.sequence, ==, *n);
  g_assert_true (payload_is (io_stream_connection_peek_data_buffer (client, entry.buffer_id, NULL),
                             io_stream_connection_peek_control_buffer (client, entry.buffer_id, NULL),
                             DATA_SIZE, *n));
  stream_util_return (client, &entry);
  ++*n;

  return TRUE;
}

/* Everything that was mapped is there still. */
static void
assert_readable (IOStreamConnection *client)
{
  guint64 sum = 0;

  for (guint id = 0; id < io_stream_connection_get_buffer_count (client); id++)
    {
      gsize length = 0;
      const guint8 *data = io_stream_connection_peek_data_buffer (client, id, &length);

      g_assert_cmpuint (length, ==, DATA_SIZE);
      sum += payload_sum ((const guint64 *) (const void *) data, length / 8);
    }
  g_assert_cmpuint (sum, !=, 0);
}

static void
settle (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

/* The end comes once, after all that was sent. */
static void
assert_end (IOStreamConnection *client,
            const guint        *n_ends)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) again = NULL;

  g_assert_false (io_stream_connection_start (client, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
  g_assert_false (io_connection_is_connected (IO_CONNECTION (client)));
  settle ();
  g_assert_cmpuint (*n_ends, ==, 1);
  g_assert_false (io_stream_connection_wait (client, PATIENCE, NULL, &again));
  g_assert_error (again, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
  settle ();
  g_assert_cmpuint (*n_ends, ==, 1);
  assert_readable (client);
}

static void
test_owner_killed (Watcher       *self,
                   gconstpointer  data)
{
  guint n_fds = 0, n_maps = 0;
  Peer *peer = spawn_owner (self, "owner");

  for (guint round = 0; round < n_rounds (); round++)
    {
      IOStreamConnection *client = stream_util_open ("test");
      guint64 n = 0, goal = g_test_rand_int_range (0, 300);
      g_autoptr (GError) error = NULL;
      guint n_ends = 0;
      guint64 sent;

      g_signal_connect (client, "disconnected", G_CALLBACK (count_cb), &n_ends);
      stream_util_start (client);
      while (n < goal)
        g_assert_true (take_one (client, &n, -1, NULL));
      peer_kill (peer);
      sent = *self->board;
      /* at once, with the old client still there */
      peer = spawn_owner (self, "owner");

      while (take_one (client, &n, PATIENCE, &error))
        ;
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
      g_assert_cmpuint (n, >=, sent);
      g_assert_cmpuint (n, <=, sent + 1);
      g_assert_cmpuint (n_ends, ==, 0);
      assert_end (client, &n_ends);
      g_assert_finalize_object (client);

      if (round == 0)
        {
          n_fds = count_open_fds ();
          n_maps = count_maps ("");
        }
    }
  g_assert_cmpuint (count_open_fds (), ==, n_fds);
  g_assert_cmpuint (count_maps (""), ==, n_maps);
  peer_kill (peer);
}

typedef struct {
  IOStreamConnection *client;
  guint64             n;
  guint               n_ends;
  guint64             n_at_end;
} Listener;

static void
listener_output_cb (IOStreamConnection *client,
                    Listener           *self)
{
  while (take_one (client, &self->n, 0, NULL))
    ;
  /* waiting turned it off */
  io_stream_connection_set_notify_in_context (client, TRUE);
}

static void
listener_end_cb (IOConnection *connection,
                 const GError *error,
                 Listener     *self)
{
  count_cb (connection, error, &self->n_ends);
  self->n_at_end = self->n;
}

/* The same for a client that listens in its main loop. */
static void
test_owner_killed_listening (Watcher       *self,
                             gconstpointer  data)
{
  Peer *peer = spawn_owner (self, "owner");

  for (guint round = 0; round < n_rounds (); round++)
    {
      Listener listener = { stream_util_open ("test"), 0, 0, 0 };
      guint64 goal = g_test_rand_int_range (1, 300);
      guint64 sent;

      g_signal_connect (listener.client, "output-available", G_CALLBACK (listener_output_cb), &listener);
      g_signal_connect (listener.client, "disconnected", G_CALLBACK (listener_end_cb), &listener);
      stream_util_start (listener.client);
      while (listener.n < goal)
        g_main_context_iteration (NULL, TRUE);
      peer_kill (peer);
      sent = *self->board;
      peer = spawn_owner (self, "owner");

      while (listener.n_ends == 0)
        g_main_context_iteration (NULL, TRUE);
      g_assert_cmpuint (listener.n_at_end, >=, sent);
      g_assert_cmpuint (listener.n_at_end, <=, sent + 1);
      assert_end (listener.client, &listener.n_ends);
      g_assert_cmpuint (listener.n, ==, listener.n_at_end);
      g_assert_finalize_object (listener.client);
    }
  peer_kill (peer);
}

/* Nothing that a child inherits keeps a dead owner alive. */
static void
test_owner_forks (Watcher       *self,
                  gconstpointer  data)
{
  Peer *peer = spawn_owner (self, "forking-owner");
  IOStreamConnection *client = stream_util_open ("test");
  g_autoptr (GError) error = NULL;
  guint64 n = 0;
  guint n_ends = 0;
  pid_t child;

  g_signal_connect (client, "disconnected", G_CALLBACK (count_cb), &n_ends);
  stream_util_start (client);
  child = read_child (peer);
  peer_kill (peer);
  peer = spawn_owner (self, "owner");

  while (take_one (client, &n, PATIENCE, &error))
    ;
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
  g_assert_cmpuint (n, ==, N_BUFFERS);
  assert_end (client, &n_ends);
  g_assert_finalize_object (client);

  g_assert_cmpint (kill (child, SIGKILL), ==, 0);
  peer_kill (peer);
}

static void
test_owner_stopped (Watcher       *self,
                    gconstpointer  data)
{
  Peer *peer = spawn_owner (self, "owner");
  IOStreamConnection *client = stream_util_open ("test");
  IOStreamConnection *other;
  g_autoptr (GError) error = NULL;
  guint64 n = 0;
  gint64 start;

  stream_util_start (client);
  while (n < 10)
    g_assert_true (take_one (client, &n, -1, NULL));
  peer_freeze (peer);
  io_connection_set_timeout (IO_CONNECTION (client), 100 * 1000);

  start = g_get_monotonic_time ();
  g_assert_false (io_stream_connection_suspend (client, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_RESPONDING);
  g_assert_cmpint (g_get_monotonic_time () - start, >=, 100 * 1000);
  g_assert_cmpint (g_get_monotonic_time () - start, <, PATIENCE);
  g_clear_error (&error);

  /* Whoever comes new waits no longer. */
  other = g_object_new (IO_TYPE_STREAM_CONNECTION, "name", "test", "timeout", (gint64) 100 * 1000, NULL);
  g_assert_false (io_connection_open (IO_CONNECTION (other), 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_RESPONDING);
  g_assert_finalize_object (other);
  g_clear_error (&error);

  /* A wait ends in time, after what was sent before. */
  while (take_one (client, &n, 100 * 1000, &error))
    ;
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT);

  /* The late answer is none to the next call. */
  peer_thaw (peer);
  io_connection_set_timeout (IO_CONNECTION (client), PATIENCE);
  stream_util_start (client);
  g_assert_true (take_one (client, &n, -1, NULL));
  stream_util_close (client);
  g_assert_finalize_object (client);
  peer_kill (peer);
}

static void
add_tests (void)
{
  g_test_add ("/stream-death/client-killed", Owner, NULL, set_up_owner, test_client_killed, tear_down_owner);
  g_test_add ("/stream-death/client-stopped", Owner, NULL, set_up_owner, test_client_stopped, tear_down_owner);
  g_test_add ("/stream-death/client-forks", Owner, NULL, set_up_owner, test_client_forks, tear_down_owner);
  g_test_add ("/stream-death/owner-forks", Watcher, NULL, set_up_watcher, test_owner_forks, tear_down_watcher);
  g_test_add ("/stream-death/owner-killed", Watcher, NULL, set_up_watcher, test_owner_killed, tear_down_watcher);
  g_test_add ("/stream-death/owner-killed/listening", Watcher, NULL, set_up_watcher,
              test_owner_killed_listening, tear_down_watcher);
  g_test_add ("/stream-death/owner-stopped", Watcher, NULL, set_up_watcher, test_owner_stopped, tear_down_watcher);
}

int
main (int   argc,
      char *argv[])
{
  char *dir;
  int status;

  if (argc > 2 && strcmp (argv[1], "--peer") == 0)
    {
      peer_begin ();
      if (strcmp (argv[2], "client") == 0)
        return run_client (argv + 3);
      if (strcmp (argv[2], "owner") == 0)
        return run_owner (argv + 3);
      if (strcmp (argv[2], "forking-client") == 0)
        return run_forking_client (argv + 3);
      return run_forking_owner (argv + 3);
    }

  *peer_program () = argv[0];
  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();
  add_tests ();
  status = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return status;
}
