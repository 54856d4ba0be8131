/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Synchronous calls between two processes, of which one dies, stands still or
 * lies; and in a forked child. */

#include "peer-process.h"
#include "hostile-util.h"

#include "libiostream/io-region-private.h"
#include "libiostream/io-stream-connection-private.h"

#define SHORT (50 * 1000)
#define COUNT 4

/* What the owner of another process does with a token. */
enum {
  DO_ANSWER,
  DO_REFUSE,
  DO_KILL,        /* itself */
  DO_STOP,        /* itself, until somebody lets it go on */
  DO_EXIT,
  DO_FORK,
  DO_PAUSE,       /* tells, and waits for an order */
  DO_TERMINATE
};

/* The context that the child inherited is not the loop's: it only ends. */
static gboolean
exit_cb (gpointer data)
{
  _exit (0);

  return G_SOURCE_REMOVE;
}

static void
fork_in_callback (void)
{
  pid_t pid = fork ();
  int status;

  g_assert_cmpint (pid, >=, 0);
  if (pid == 0)
    {
      g_autoptr (GSource) source = g_idle_source_new ();

      alarm (60);
      g_source_set_callback (source, exit_cb, NULL, NULL);
      g_source_attach (source, g_main_context_get_thread_default ());
      return;
    }

  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status) && WEXITSTATUS (status) == 0);
}

static gboolean
obey (IOStream  *self,
      guint32    token,
      GError   **error)
{
  g_autofree char *order = NULL;

  switch (token)
    {
    case DO_REFUSE:
      g_set_error_literal (error, IO_STREAM_ERROR, IO_STREAM_ERROR_DEVICE_ERROR, "no");
      return FALSE;
    case DO_KILL:
      kill (getpid (), SIGKILL);
      return TRUE;
    case DO_STOP:
      raise (SIGSTOP);
      return TRUE;
    case DO_EXIT:
      _exit (0);
    case DO_FORK:
      fork_in_callback ();
      return TRUE;
    case DO_PAUSE:
      peer_say ("in");
      order = peer_take_order ();
      return TRUE;
    case DO_TERMINATE:
      io_service_terminate (IO_SERVICE (self));
      return TRUE;
    default:
      return TRUE;
    }
}

typedef IOStream ObedientStream;
typedef IOStreamClass ObedientStreamClass;

static GType obedient_stream_get_type (void);
G_DEFINE_TYPE (ObedientStream, obedient_stream, IO_TYPE_STREAM)

static void
obedient_stream_class_init (ObedientStreamClass *klass)
{
  klass->input_sync_callback = obey;
}

static void
obedient_stream_init (ObedientStream *self)
{
}

static IOStream *
new_obedient_stream (IOWorkLoop *loop)
{
  g_autoptr (GError) error = NULL;
  IOStream *stream = g_initable_new (obedient_stream_get_type (), NULL, &error, "name", "test", "work-loop", loop,
                                     "buffer-count", COUNT, "data-size", (guint64) 4096, NULL);

  g_assert_no_error (error);
  g_assert_true (io_service_register (IO_SERVICE (stream), &error));
  g_assert_no_error (error);

  return stream;
}

static gboolean
quit_cb (GIOChannel   *channel,
         GIOCondition  condition,
         gpointer      data)
{
  g_main_loop_quit (data);

  return G_SOURCE_REMOVE;
}

/* Serves until the test wants no more. */
static int
run_owner (char **argv)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GIOChannel) orders = g_io_channel_unix_new (STDIN_FILENO);
  IOStream *stream = new_obedient_stream (NULL);

  g_io_add_watch (orders, G_IO_HUP, quit_cb, loop);
  peer_say ("ready");
  g_main_loop_run (loop);
  io_service_terminate (IO_SERVICE (stream));
  g_assert_finalize_object (stream);

  return 0;
}

/* Calls for ever. */
static int
run_client (char **argv)
{
  IOStreamConnection *client = stream_util_open (argv[0]);

  io_connection_set_timeout (IO_CONNECTION (client), -1);
  peer_say ("ready");
  for (guint i = 0;; i++)
    g_assert_true (io_stream_connection_send_input_sync_notification (client, i, NULL, NULL));

  return 0;
}

/* The owner is elsewhere. */

typedef struct {
  Peer               *owner;
  IOStreamConnection *client;
} Fixture;

static void
set_up (Fixture       *self,
        gconstpointer  data)
{
  self->owner = peer_spawn (-1, -1, "owner", NULL);
  peer_expect (self->owner, "ready");
  self->client = stream_util_open ("test");
  io_connection_set_timeout (IO_CONNECTION (self->client), STREAM_UTIL_TIMEOUT);
}

static void
tear_down_client (Fixture *self)
{
  io_connection_hang_up (IO_CONNECTION (self->client));
  stream_util_settle ();
  g_assert_finalize_object (self->client);
}

static void
tear_down (Fixture       *self,
           gconstpointer  data)
{
  tear_down_client (self);
  peer_finish (self->owner);
}

#define call(client, token) io_stream_connection_send_input_sync_notification ((client), (token), NULL, err)

static void
test_calls (Fixture       *self,
            gconstpointer  data)
{
  for (guint i = 0; i < 1000; i++)
    {
      stream_util_assert_works (call (self->client, DO_ANSWER));
      if (i % 10 == 0)
        stream_util_assert_fails (call (self->client, DO_REFUSE), IO_STREAM_ERROR_DEVICE_ERROR);
    }
}

static void
disconnected_cb (IOConnection *connection,
                 const GError *error,
                 guint        *n)
{
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
  ++*n;
}

/* Whichever way it ends, the call ends at once, and the end is told once. */
static void
test_death (gconstpointer data)
{
  guint token = GPOINTER_TO_UINT (data);

  for (guint round = 0; round < 5; round++)
    {
      Fixture fixture;
      gint64 begin;
      guint n = 0;

      set_up (&fixture, NULL);
      g_signal_connect (fixture.client, "disconnected", G_CALLBACK (disconnected_cb), &n);
      if (round % 2 == 0)
        stream_util_assert_works (call (fixture.client, DO_ANSWER));
      begin = g_get_monotonic_time ();
      stream_util_assert_fails (call (fixture.client, token), IO_STREAM_ERROR_OFFLINE);
      g_assert_cmpint (g_get_monotonic_time () - begin, <, STREAM_UTIL_TIMEOUT / 2);
      stream_util_assert_fails (call (fixture.client, DO_ANSWER), IO_STREAM_ERROR_OFFLINE);
      stream_util_settle ();
      g_assert_cmpuint (n, ==, 1);
      stream_util_assert_fails (call (fixture.client, DO_ANSWER), IO_STREAM_ERROR_NOT_OPEN);
      peer_reap (fixture.owner);
      tear_down_client (&fixture);
    }
}

/* Its answer comes when nobody waits for it any more. */
static void
test_frozen (Fixture       *self,
             gconstpointer  data)
{
  for (guint i = 0; i < 5; i++)
    {
      int status;

      stream_util_assert_works (call (self->client, DO_ANSWER));
      io_connection_set_timeout (IO_CONNECTION (self->client), SHORT);
      stream_util_assert_fails (call (self->client, DO_STOP), IO_STREAM_ERROR_NOT_RESPONDING);
      g_assert_cmpint (waitpid (self->owner->pid, &status, WUNTRACED), ==, self->owner->pid);
      g_assert_true (WIFSTOPPED (status));
      stream_util_assert_fails (call (self->client, DO_ANSWER), IO_STREAM_ERROR_NOT_RESPONDING);
      peer_thaw (self->owner);
      io_connection_set_timeout (IO_CONNECTION (self->client), STREAM_UTIL_TIMEOUT);
      /* The success that was due to somebody else is not taken for it. */
      stream_util_assert_fails (call (self->client, DO_REFUSE), IO_STREAM_ERROR_DEVICE_ERROR);
    }
}

/* A child that is born in the callback answers nothing. */
static void
test_fork_in_callback (Fixture       *self,
                       gconstpointer  data)
{
  for (guint i = 0; i < 5; i++)
    {
      stream_util_assert_works (call (self->client, DO_FORK));
      stream_util_assert_fails (call (self->client, DO_REFUSE), IO_STREAM_ERROR_DEVICE_ERROR);
    }
}

static void
test_terminate (Fixture       *self,
                gconstpointer  data)
{
  stream_util_assert_works (call (self->client, DO_TERMINATE));
  stream_util_assert_fails (call (self->client, DO_ANSWER), IO_STREAM_ERROR_NOT_OPEN);
}

static void
in_child (Fixture *self)
{
  pid_t pid = fork ();
  int status;

  g_assert_cmpint (pid, >=, 0);
  if (pid == 0)
    {
      stream_util_assert_fails (call (self->client, DO_ANSWER), IO_STREAM_ERROR_NOT_OPEN);
      io_connection_hang_up (IO_CONNECTION (self->client));
      g_object_unref (self->client);
      _exit (0);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status) && WEXITSTATUS (status) == 0);
}

static void
test_fork (Fixture       *self,
           gconstpointer  data)
{
  in_child (self);
  stream_util_assert_works (call (self->client, DO_ANSWER));
  in_child (self);
  stream_util_assert_works (call (self->client, DO_ANSWER));
}

/* The client is elsewhere. */

static void
count_sync_cb (IOStream      *stream,
               guint          token,
               StreamCounter *counter)
{
  stream_counter_add (counter);
}

static void
test_client_dies (void)
{
  StreamCounter calls = { 0, }, died = { 0, };
  IOWorkLoop *loop = io_work_loop_new ("owner");
  IOStream *stream = stream_util_new_stream (loop, IO_STREAM_MODE_OUTPUT, COUNT, 4096, 0);

  g_signal_connect (stream, "input-sync", G_CALLBACK (count_sync_cb), &calls);
  g_signal_connect_swapped (stream, "client-died", G_CALLBACK (stream_counter_add), &died);
  for (guint i = 1; i <= 5; i++)
    {
      Peer *client = peer_spawn (-1, -1, "client", "test", NULL);

      peer_expect (client, "ready");
      stream_counter_wait (&calls, stream_counter_get (&calls) + 100);
      peer_kill (client);
      stream_counter_wait (&died, i);
    }
  io_service_terminate (IO_SERVICE (stream));
  io_work_loop_shut_down (loop);
  g_assert_finalize_object (stream);
  g_assert_finalize_object (loop);
}

/* An owner that lies. */

typedef struct {
  const char *name;
  int         code;           /* of the call; 0: works */
  int         n_fds;          /* + 1 */
  gboolean    no_socket;
  gboolean    hung_up;        /* the bell, and nothing else */
  gboolean    silent;         /* no reply to GET_SYNC_BELL */
  guint32     status;
  gint        number_offset;  /* the answer has another number */
  gboolean    no_answer;
  gboolean    early;          /* it stands there before the call */
  gboolean    changing;       /* all numbers one after the other */
  gboolean    storm;          /* it rings all the time */
} Lie;

static const Lie lies[] = {
  { "honest", 0, .status = 0 },
  { "refused", IO_STREAM_ERROR_DEVICE_ERROR, .status = IO_STREAM_ERROR_DEVICE_ERROR },
  { "no-fd", IO_STREAM_ERROR_IPC_ERROR, .n_fds = 1 },
  { "two-fds", IO_STREAM_ERROR_IPC_ERROR, .n_fds = 3 },
  { "no-socket", IO_STREAM_ERROR_OFFLINE, .no_socket = TRUE, .no_answer = TRUE },
  { "hung-up", IO_STREAM_ERROR_OFFLINE, .hung_up = TRUE, .no_answer = TRUE },
  { "silent", IO_STREAM_ERROR_NOT_RESPONDING, .silent = TRUE },
  { "status/high", IO_STREAM_ERROR_FAILED, .status = G_MAXUINT32 },
  { "status/next", IO_STREAM_ERROR_FAILED, .status = IO_STREAM_ERROR_INVALID + 1 },
  { "number/before", IO_STREAM_ERROR_NOT_RESPONDING, .number_offset = -1 },
  { "number/after", IO_STREAM_ERROR_NOT_RESPONDING, .number_offset = 1 },
  { "number/far", IO_STREAM_ERROR_NOT_RESPONDING, .number_offset = G_MININT },
  { "number/early", 0, .early = TRUE },
  { "number/changing", IO_STREAM_ERROR_NOT_RESPONDING, .changing = TRUE, .no_answer = TRUE },
  { "no-answer", IO_STREAM_ERROR_NOT_RESPONDING, .no_answer = TRUE },
  { "storm", IO_STREAM_ERROR_NOT_RESPONDING, .no_answer = TRUE, .storm = TRUE },
};

typedef struct {
  const Lie   *lie;
  int          control;
  int          bells[2];       /* ours, and the client's */
  int          sync_bells[2];
  IORegion     own;
  IORegion     peer;
  _Atomic int  done;
} Liar;

static GVariant *
make_answer (guint opcode)
{
  switch (opcode)
    {
    case IO_OPCODE_HELLO:
      return g_variant_new_parsed ("(uint32 1, 'liar', 'IOStream', @a{sv} {})");
    case IO_OPCODE_OPEN:
      return g_variant_new_parsed ("({'entry-count': <uint32 4>, 'buffer-count': <uint32 0>, 'mode': <uint32 1>},)");
    default:
      return g_variant_new ("()");
    }
}

static guint
choose_fds (Liar  *self,
            guint  opcode,
            int    fds[RAW_MAX_FDS])
{
  if (opcode == IO_OPCODE_OPEN)
    {
      fds[0] = _io_memory_backing_peek_fd (self->own.backing);
      fds[1] = _io_memory_backing_peek_fd (self->peer.backing);
      fds[2] = self->bells[1];
      return 3;
    }
  if (opcode != IO_OPCODE_GET_SYNC_BELL)
    return 0;

  fds[0] = fds[1] = self->lie->no_socket ? fds[3] : self->sync_bells[1];
  return self->lie->n_fds > 0 ? (guint) self->lie->n_fds - 1 : 1;
}

/* Answers calls of the control socket until the client goes. */
static gpointer
control_thread (gpointer data)
{
  Liar *self = data;
  IOPacketHeader header;
  int fds[RAW_MAX_FDS], memory = memfd_create ("none", MFD_CLOEXEC);
  guint n_fds;

  for (;;)
    {
      g_autoptr (GVariant) request = raw_receive_packet (self->control, &header, fds, &n_fds);
      g_autoptr (GVariant) body = NULL;

      if (request == NULL)
        break;
      if (header.opcode == IO_OPCODE_GET_SYNC_BELL && self->lie->silent)
        continue;
      body = g_variant_ref_sink (make_answer (header.opcode));
      fds[3] = memory;
      n_fds = choose_fds (self, header.opcode, fds);
      raw_send_packet (self->control, IO_PACKET_REPLY, header.opcode, header.serial, body, fds, n_fds);
      if (header.opcode == IO_OPCODE_GET_SYNC_BELL)
        {
          close (self->sync_bells[1]);
          self->sync_bells[1] = -1;
          if (self->lie->hung_up)
            shutdown (self->sync_bells[0], SHUT_RDWR);
        }
    }
  close (memory);
  close (self->control);

  return NULL;
}

static void
ring (Liar *self)
{
  send (self->sync_bells[0], "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Answers synchronous calls; looks all the time, since a liar does not sleep. */
static gpointer
answer_thread (gpointer data)
{
  Liar *self = data;
  guint32 last = 0;

  while (!self->done)
    {
      guint32 number = (guint32) (self->peer.page->call >> 32);

      if (self->lie->changing)
        {
          last++;
          self->own.page->answer = (guint64) last << 32 | last;
        }
      if (self->lie->storm)
        ring (self);
      if (number != last && !self->lie->no_answer)
        {
          self->own.page->answer = (guint64) (number + (guint32) self->lie->number_offset) << 32 | self->lie->status;
          ring (self);
          last = number;
        }
      g_thread_yield ();
    }

  return NULL;
}

static void
begin_lying (Liar *self)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (_io_region_create (&self->own, IO_ABI_SIDE_OWNER, COUNT, IO_REGION_START_INDEX, &error));
  g_assert_true (_io_region_create (&self->peer, IO_ABI_SIDE_CLIENT, COUNT, IO_REGION_START_INDEX, &error));
  g_assert_no_error (error);
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, self->bells), ==, 0);
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, self->sync_bells), ==, 0);
  self->own.page->state = IO_STREAM_STATE_STOPPED;
  if (self->lie->early)
    self->own.page->answer = (guint64) (IO_SYNC_FIRST_NUMBER + 1) << 32;
}

static void
end_lying (Liar *self)
{
  for (guint i = 0; i < 2; i++)
    {
      close (self->bells[i]);
      if (self->sync_bells[i] >= 0)
        close (self->sync_bells[i]);
    }
  _io_region_clear (&self->own);
  _io_region_clear (&self->peer);
}

static void
call_liar (IOStreamConnection *client,
           const Lie          *lie)
{
  g_autoptr (GError) error = NULL;
  gint64 begin = g_get_monotonic_time ();
  gboolean done = io_stream_connection_send_input_sync_notification (client, 1, NULL, &error);

  if (lie->code == 0)
    g_assert_no_error (error);
  else if (lie->changing && !g_error_matches (error, IO_STREAM_ERROR, lie->code))
    g_assert_true (done || error->domain == IO_STREAM_ERROR); /* it came by the right one */
  else
    g_assert_error (error, IO_STREAM_ERROR, lie->code);
  g_assert_true (done == (error == NULL));
  g_assert_cmpint (g_get_monotonic_time () - begin, <, STREAM_UTIL_TIMEOUT / 2);
}

static void
test_lie (gconstpointer data)
{
  Liar liar = { .lie = data };
  guint n_fds = count_fds ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocket) socket = NULL;
  IOStreamConnection *client;
  GThread *threads[2];
  int pair[2];

  begin_lying (&liar);
  make_socket_pair (pair);
  liar.control = pair[0];
  socket = g_socket_new_from_fd (pair[1], &error);
  threads[0] = g_thread_new ("control", control_thread, &liar);
  threads[1] = g_thread_new ("answer", answer_thread, &liar);
  client = g_object_new (IO_TYPE_STREAM_CONNECTION, "socket", socket, "timeout", STREAM_UTIL_TIMEOUT, NULL);
  g_clear_object (&socket);
  g_assert_true (io_connection_open (IO_CONNECTION (client), 0, NULL, &error));
  g_assert_no_error (error);
  if (liar.lie->code == IO_STREAM_ERROR_NOT_RESPONDING)
    io_connection_set_timeout (IO_CONNECTION (client), 2 * SHORT);

  call_liar (client, liar.lie);
  if (liar.lie->no_answer && liar.lie->code == IO_STREAM_ERROR_NOT_RESPONDING)
    call_liar (client, liar.lie);

  io_connection_hang_up (IO_CONNECTION (client));
  stream_util_settle ();
  g_assert_finalize_object (client);
  liar.done = TRUE;
  g_thread_join (threads[0]);
  g_thread_join (threads[1]);
  end_lying (&liar);
  g_assert_cmpuint (count_fds (), ==, n_fds);
}

static int
run_peer (char **argv)
{
  peer_begin ();
  if (g_str_equal (argv[0], "owner"))
    return run_owner (argv + 1);

  return run_client (argv + 1);
}

int
main (int   argc,
      char *argv[])
{
  char *dir;
  int status;

  if (argc > 2 && g_str_equal (argv[1], "--peer"))
    return run_peer (argv + 2);

  *peer_program () = argv[0];
  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();

  g_test_add ("/stream-sync/peers/calls", Fixture, NULL, set_up, test_calls, tear_down);
  g_test_add_data_func ("/stream-sync/peers/kill", GUINT_TO_POINTER (DO_KILL), test_death);
  g_test_add_data_func ("/stream-sync/peers/exit", GUINT_TO_POINTER (DO_EXIT), test_death);
  g_test_add ("/stream-sync/peers/frozen", Fixture, NULL, set_up, test_frozen, tear_down);
  g_test_add ("/stream-sync/peers/terminate", Fixture, NULL, set_up, test_terminate, tear_down);
  g_test_add ("/stream-sync/peers/fork-in-callback", Fixture, NULL, set_up, test_fork_in_callback, tear_down);
  g_test_add ("/stream-sync/peers/fork", Fixture, NULL, set_up, test_fork, tear_down);
  g_test_add_func ("/stream-sync/peers/client-dies", test_client_dies);
  for (guint i = 0; i < G_N_ELEMENTS (lies); i++)
    {
      g_autofree char *path = g_strdup_printf ("/stream-sync/lies/%s", lies[i].name);

      g_test_add_data_func (path, &lies[i], test_lie);
    }

  status = g_test_run ();
  /* Those that were killed could not clean up. */
  for (guint i = 0; i < 2; i++)
    {
      g_autofree char *path = g_build_filename (dir, i == 0 ? "test" : "test.lock", NULL);

      g_unlink (path);
    }
  stream_util_remove_runtime_dir (dir);

  return status;
}
