/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Clients whose owner comes later, goes, and comes again: another process that
 * is started, killed and told to end. */

#include "peer-process.h"

#include "libiostream/io-names-private.h"
#include "libiostream/io-names-wait-private.h"
#include "libiostream/io-stream-connection-private.h"

#define N_BUFFERS 4
#define DATA_SIZE 4096

static guint
n_rounds (void)
{
  return g_getenv ("IOSTREAM_TEST_VALGRIND") != NULL ? 3 : 50;
}

/* The owners. */

static gpointer
send_thread (gpointer data)
{
  IOStream *stream = data;
  guint64 number = 0;

  while (io_stream_wait_buffer (stream, -1, NULL, NULL))
    {
      IOStreamBuffer *buffer = io_stream_acquire_buffer (stream, NULL);

      if (buffer == NULL)
        continue;
      payload_fill (io_stream_buffer_peek_data (buffer, NULL),
                    io_stream_buffer_peek_control (buffer, NULL), DATA_SIZE, number);
      if (io_stream_send_buffer (stream, buffer, NULL))
        number++;
      else
        io_stream_release_buffer (stream, buffer);
    }

  return NULL;
}

/* Sends until it is killed, or told to end. */
static int
run_owner (void)
{
  IOWorkLoop *loop = io_work_loop_new ("owner");
  IOStream *stream = stream_util_new_stream (loop, IO_STREAM_MODE_OUTPUT, N_BUFFERS, DATA_SIZE,
                                             sizeof (PayloadControl));
  GThread *thread = g_thread_new ("send", send_thread, stream);
  g_autofree char *order = NULL;

  peer_say ("ready");
  order = peer_take_order ();
  io_service_terminate (IO_SERVICE (stream));
  g_thread_join (thread);
  io_work_loop_shut_down (loop);
  g_object_unref (stream);
  g_object_unref (loop);

  return 0;
}

static gboolean
refuse_cb (IOService    *service,
           IOUserClient *client,
           gpointer      user_data)
{
  return FALSE;
}

/* Ends each connection as soon as it is open. */
static void
kick_cb (IOService    *service,
         IOUserClient *client,
         gpointer      user_data)
{
  io_user_client_terminate (client, NULL);
}

/* Streams that nobody gets far with. */
static int
run_hostile (gboolean refuses)
{
  IOWorkLoop *loop = io_work_loop_new ("owner");
  g_autoptr (GError) error = NULL;
  g_autofree char *order = NULL;
  IOStream *stream = g_initable_new (IO_TYPE_STREAM, NULL, &error, "name", "test", "work-loop", loop,
                                     "buffer-count", 1, "data-size", (guint64) DATA_SIZE, NULL);

  g_assert_no_error (error);
  if (refuses)
    g_signal_connect (stream, "authorize", G_CALLBACK (refuse_cb), NULL);
  else
    g_signal_connect (stream, "client-opened", G_CALLBACK (kick_cb), NULL);
  g_assert_true (io_service_register (IO_SERVICE (stream), &error));
  peer_say ("ready");
  order = peer_take_order ();
  io_service_terminate (IO_SERVICE (stream));
  io_work_loop_shut_down (loop);
  g_object_unref (stream);
  g_object_unref (loop);

  return 0;
}

/* Something that has the name, and is no stream. */
static int
run_other (void)
{
  IOWorkLoop *loop = io_work_loop_new ("owner");
  IOService *service = g_object_new (IO_TYPE_SERVICE, "name", "test", "work-loop", loop, NULL);
  g_autofree char *order = NULL;

  g_assert_true (io_service_register (service, NULL));
  peer_say ("ready");
  order = peer_take_order ();
  io_service_terminate (service);
  io_work_loop_shut_down (loop);
  g_object_unref (service);
  g_object_unref (loop);

  return 0;
}

static Peer *
spawn (const char *role)
{
  Peer *peer = peer_spawn (-1, -1, role, NULL);

  peer_expect (peer, "ready");

  return peer;
}

/* The client. */

typedef struct {
  char  *directory;
  guint  n_fds;
  guint  n_disconnected;
  guint  n_resumed;
  guint  generation;
  guint  n_output;
  GError *error;
} Fixture;

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  fixture->directory = stream_util_make_runtime_dir ();
  stream_util_settle ();
  /* what GLib opens for good with the first of them */
  g_object_unref (g_task_new (NULL, NULL, NULL, NULL));
  fixture->n_fds = count_fds ();
}

/* What a killed owner leaves. */
static void
clear_directory (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *file = g_build_filename (path, name, NULL);

      g_assert_cmpint (g_unlink (file), ==, 0);
    }
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  stream_util_settle ();
  g_assert_cmpuint (count_fds (), ==, fixture->n_fds);
  g_assert_cmpuint (_io_names_wait_count_watches (), ==, 0);
  g_clear_error (&fixture->error);
  clear_directory (fixture->directory);
  g_assert_cmpint (g_rmdir (fixture->directory), ==, 0);
  g_free (fixture->directory);
}

static void
disconnected_cb (IOConnection *connection,
                 const GError *error,
                 gpointer      user_data)
{
  Fixture *fixture = user_data;

  fixture->n_disconnected++;
  g_clear_error (&fixture->error);
  fixture->error = error != NULL ? g_error_copy (error) : NULL;
}

static void
resumed_cb (IOStreamConnection *connection,
            guint               generation,
            gpointer            user_data)
{
  Fixture *fixture = user_data;

  fixture->n_resumed++;
  fixture->generation = generation;
  g_assert_cmpuint (generation, ==, io_stream_connection_get_generation (connection));
  g_assert_false (io_stream_connection_is_waiting (connection));
}

static void
output_cb (IOStreamConnection *connection,
           gpointer            user_data)
{
  Fixture *fixture = user_data;
  IOStreamBufferQueueEntry entry;

  while (io_stream_connection_dequeue_output_entry (connection, &entry))
    {
      g_assert_true (payload_is (io_stream_connection_peek_data_buffer (connection, entry.buffer_id, NULL),
                                 io_stream_connection_peek_control_buffer (connection, entry.buffer_id, NULL),
                                 DATA_SIZE, entry.sequence));
      fixture->n_output++;
      stream_util_return (connection, &entry);
    }
}

static IOStreamConnection *
open_resuming (Fixture *fixture)
{
  IOStreamConnection *client = stream_util_open ("test");

  io_stream_connection_set_resume (client, TRUE);
  g_assert_true (io_stream_connection_get_resume (client));
  g_assert_cmpuint (io_stream_connection_get_generation (client), ==, 1);
  g_signal_connect (client, "disconnected", G_CALLBACK (disconnected_cb), fixture);
  g_signal_connect (client, "resumed", G_CALLBACK (resumed_cb), fixture);
  stream_util_start (client);

  return client;
}

static void
take_one (IOStreamConnection       *client,
          IOStreamBufferQueueEntry *entry)
{
  g_autoptr (GError) error = NULL;

  do
    {
      io_stream_connection_wait (client, -1, NULL, &error);
      g_assert_no_error (error);
    }
  while (!io_stream_connection_dequeue_output_entry (client, entry));
  g_assert_true (payload_is (io_stream_connection_peek_data_buffer (client, entry->buffer_id, NULL),
                             io_stream_connection_peek_control_buffer (client, entry->buffer_id, NULL),
                             DATA_SIZE, entry->sequence));
}

/* Takes until something of this owner came. */
static void
take_of_generation (IOStreamConnection *client,
                    guint               generation)
{
  IOStreamBufferQueueEntry entry;

  do
    {
      take_one (client, &entry);
      stream_util_return (client, &entry);
    }
  while (io_stream_connection_get_generation (client) < generation);
}

static void
test_kill_blocking (Fixture       *fixture,
                    gconstpointer  data)
{
  Peer *peer = spawn ("owner");
  IOStreamConnection *client = open_resuming (fixture);

  for (guint i = 1; i <= n_rounds (); i++)
    {
      take_of_generation (client, i);
      g_assert_cmpuint (io_stream_connection_get_generation (client), ==, i);
      g_assert_cmpuint (io_stream_connection_get_lost (client), ==, 0);
      peer_kill (peer);
      peer = spawn ("owner");
    }
  take_of_generation (client, n_rounds () + 1);

  /* What the context never told is told once. */
  stream_util_settle ();
  g_assert_cmpuint (fixture->n_disconnected, ==, 1);
  g_assert_cmpuint (fixture->n_resumed, ==, 1);
  g_assert_cmpuint (fixture->generation, ==, n_rounds () + 1);
  g_assert_error (fixture->error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
  g_assert_null (io_connection_get_error (IO_CONNECTION (client)));

  stream_util_close (client);
  g_assert_finalize_object (client);
  peer_end (peer);
}

static void
test_kill_main_loop (Fixture       *fixture,
                     gconstpointer  data)
{
  Peer *peer = spawn ("owner");
  IOStreamConnection *client = open_resuming (fixture);

  g_signal_connect (client, "output-available", G_CALLBACK (output_cb), fixture);
  for (guint i = 1; i <= n_rounds (); i++)
    {
      guint n_output = fixture->n_output;

      stream_util_iterate_until (fixture->n_output > n_output);
      peer_kill (peer);
      stream_util_iterate_until (fixture->n_disconnected == i);
      g_assert_true (io_stream_connection_is_waiting (client));
      g_assert_false (io_connection_is_connected (IO_CONNECTION (client)));
      g_assert_cmpint (io_stream_connection_get_state (client), ==, IO_STREAM_STATE_CLOSED);
      g_assert_error (fixture->error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
      peer = spawn ("owner");
      stream_util_iterate_until (fixture->n_resumed == i);
      g_assert_cmpuint (fixture->generation, ==, i + 1);
      g_assert_true (io_connection_is_open (IO_CONNECTION (client)));
      g_assert_cmpuint (io_stream_connection_get_lost (client), ==, 0);
    }

  io_connection_hang_up (IO_CONNECTION (client));
  g_assert_finalize_object (client);
  peer_end (peer);
}

/* A loop that knows nothing of GLib. */
static void
test_kill_foreign (Fixture       *fixture,
                   gconstpointer  data)
{
  Peer *peer = spawn ("owner");
  IOStreamConnection *client = open_resuming (fixture);
  IOStreamBufferQueueEntry entry;
  guint last = 0;

  while (last < n_rounds ())
    {
      if (io_stream_connection_prepare_wait (client))
        {
          struct pollfd poll_fd = { io_stream_connection_get_fd (client), POLLIN, 0 };

          g_assert_cmpint (poll_fd.fd, >=, 0);
          poll (&poll_fd, 1, -1);
        }
      io_stream_connection_finish_wait (client);
      while (io_stream_connection_dequeue_output_entry (client, &entry))
        {
          stream_util_return (client, &entry);
          if (io_stream_connection_get_generation (client) == last)
            continue;
          last = io_stream_connection_get_generation (client);
          peer_kill (peer);
          peer = spawn ("owner");
        }
    }

  g_assert_finalize_object (client);
  peer_end (peer);
}

/* An end in good order is one too; what was not started is not started. */
static void
test_terminate (Fixture       *fixture,
                gconstpointer  data)
{
  Peer *peer = spawn ("owner");
  IOStreamConnection *client = open_resuming (fixture);
  g_autoptr (GError) error = NULL;

  stream_util_assert_works (io_stream_connection_stop (client, NULL, err));
  peer_end (peer);
  stream_util_iterate_until (fixture->n_disconnected == 1);
  g_assert_no_error (fixture->error);
  g_assert_true (io_stream_connection_is_waiting (client));
  stream_util_assert_fails (io_stream_connection_start (client, NULL, err), IO_STREAM_ERROR_OFFLINE);
  stream_util_assert_fails (io_connection_open (IO_CONNECTION (client), 0, NULL, err), IO_STREAM_ERROR_OFFLINE);

  peer = spawn ("owner");
  stream_util_iterate_until (fixture->n_resumed == 1);
  g_assert_cmpint (io_stream_connection_get_state (client), ==, IO_STREAM_STATE_STOPPED);
  g_assert_false (io_stream_connection_wait (client, -1, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY);
  g_clear_error (&error);

  /* Suspended stays suspended. */
  stream_util_start (client);
  stream_util_assert_works (io_stream_connection_suspend (client, NULL, err));
  peer_kill (peer);
  peer = spawn ("owner");
  while (io_stream_connection_get_generation (client) < 3 || io_stream_connection_is_waiting (client))
    {
      if (io_stream_connection_prepare_wait (client))
        {
          struct pollfd poll_fd = { io_stream_connection_get_fd (client), POLLIN, 0 };

          poll (&poll_fd, 1, -1);
        }
      io_stream_connection_finish_wait (client);
    }
  g_assert_cmpint (io_stream_connection_get_state (client), ==, IO_STREAM_STATE_SUSPENDED);

  g_assert_finalize_object (client);
  peer_end (peer);
}

/* Entries of the last owner that come home late mean nothing to the next one,
 * whatever their numbers. */
static void
test_late_entries (Fixture       *fixture,
                   gconstpointer  data)
{
  Peer *peer = spawn ("owner");
  IOStreamConnection *client = open_resuming (fixture);
  IOStreamBufferQueueEntry old, entry;
  g_autoptr (IOMemoryMap) map = NULL;
  const guint64 *address;

  take_one (client, &old);
  g_assert_cmpuint (old.sequence, ==, 0);
  address = io_stream_connection_peek_data_buffer (client, old.buffer_id, NULL);
  g_set_object (&map, io_stream_buffer_get_data_map (io_stream_connection_get_buffer_with_id (client, old.buffer_id)));
  peer_kill (peer);
  peer = spawn ("owner");
  do
    {
      take_one (client, &entry);
      if (io_stream_connection_get_generation (client) == 1)
        stream_util_return (client, &entry);
    }
  while (io_stream_connection_get_generation (client) == 1);

  /* The same number, the same buffer. */
  g_assert_cmpuint (entry.sequence, ==, old.sequence);
  g_assert_cmpuint (entry.buffer_id, ==, old.buffer_id);
  g_assert_cmpuint (io_stream_connection_get_held (client), ==, 1);
  stream_util_return (client, &old);
  g_assert_cmpuint (io_stream_connection_get_held (client), ==, 1);
  stream_util_return (client, &entry);
  g_assert_cmpuint (io_stream_connection_get_held (client), ==, 0);

  g_assert_cmpuint (address[0], ==, payload_word (0, 0));
  g_assert_cmpuint (((const guint64 *) io_memory_map_peek_address (map))[0], ==, payload_word (0, 0));
  take_of_generation (client, 2);
  g_assert_null (io_connection_get_error (IO_CONNECTION (client)));

  g_assert_finalize_object (client);
  peer_end (peer);
  g_assert_cmpuint (((const guint64 *) io_memory_map_peek_address (map))[1], ==, payload_word (0, 1));
  g_clear_object (&map);
}

typedef enum {
  END_CLOSE,
  END_CLOSE_ASYNC,
  END_HANG_UP,
  END_TURN_OFF,
  END_DISPOSE,
  N_ENDS
} End;

static void
closed_cb (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (io_connection_close_finish (IO_CONNECTION (source), result, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
  *(gboolean *) user_data = TRUE;
}

static void
end_waiting (IOStreamConnection *client,
             End                 end)
{
  gboolean done = FALSE;

  switch (end)
    {
    case END_CLOSE:
      stream_util_assert_fails (io_connection_close (IO_CONNECTION (client), NULL, err), IO_STREAM_ERROR_OFFLINE);
      break;
    case END_CLOSE_ASYNC:
      io_connection_close_async (IO_CONNECTION (client), NULL, closed_cb, &done);
      stream_util_iterate_until (done);
      break;
    case END_HANG_UP:
      io_connection_hang_up (IO_CONNECTION (client));
      break;
    case END_TURN_OFF:
      io_stream_connection_set_resume (client, FALSE);
      break;
    case END_DISPOSE:
    case N_ENDS:
    default:
      return;
    }
  g_assert_false (io_stream_connection_is_waiting (client));
}

/* The end while it waits is the end. */
static void
test_ends (Fixture       *fixture,
           gconstpointer  data)
{
  for (guint end = 0; end < N_ENDS; end++)
    {
      Peer *peer = spawn ("owner");
      IOStreamConnection *client = open_resuming (fixture);

      fixture->n_disconnected = fixture->n_resumed = 0;
      peer_kill (peer);
      stream_util_iterate_until (fixture->n_disconnected == 1);
      g_assert_true (io_stream_connection_is_waiting (client));
      end_waiting (client, end);
      peer = spawn ("owner");
      stream_util_settle ();
      g_assert_cmpuint (fixture->n_resumed, ==, 0);
      g_assert_finalize_object (client);
      peer_end (peer);
    }
}

static gpointer
cancel_thread (gpointer data)
{
  g_cancellable_cancel (data);

  return NULL;
}

static void
test_cancel (Fixture       *fixture,
             gconstpointer  data)
{
  Peer *peer = spawn ("owner");
  IOStreamConnection *client = open_resuming (fixture);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  IOStreamBufferQueueEntry entry;
  GThread *thread;

  take_one (client, &entry);
  stream_util_return (client, &entry);
  peer_kill (peer);
  while (io_stream_connection_wait (client, 1000, NULL, &error))
    io_stream_connection_dequeue_output_entry (client, &entry);
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT);
  g_assert_true (io_stream_connection_is_waiting (client));
  g_clear_error (&error);
  g_assert_false (io_stream_connection_wait (client, 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT);
  g_clear_error (&error);

  thread = g_thread_new ("cancel", cancel_thread, cancellable);
  g_assert_false (io_stream_connection_wait (client, -1, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_thread_join (thread);

  /* Only the wait is cancelled. */
  peer = spawn ("owner");
  take_of_generation (client, 2);
  g_assert_finalize_object (client);
  peer_end (peer);
}

/* Looks only, and gets there all the same. */
static void
test_look_only (Fixture       *fixture,
                gconstpointer  data)
{
  Peer *peer = spawn ("owner");
  IOStreamConnection *client = open_resuming (fixture);
  IOStreamBufferQueueEntry entry;

  peer_kill (peer);
  peer = spawn ("owner");
  do
    if (io_stream_connection_wait (client, 0, NULL, NULL) &&
        io_stream_connection_dequeue_output_entry (client, &entry))
      stream_util_return (client, &entry);
  while (io_stream_connection_get_generation (client) < 2);

  g_assert_finalize_object (client);
  peer_end (peer);
}

/* Another try would be answered the same way. */
static void
test_wrong_class (Fixture       *fixture,
                  gconstpointer  data)
{
  gboolean blocks = data != NULL;
  Peer *peer = spawn ("owner");
  IOStreamConnection *client = open_resuming (fixture);
  IOStreamBufferQueueEntry entry;
  g_autoptr (GError) error = NULL;

  peer_kill (peer);
  peer = spawn ("other");
  if (blocks)
    {
      while (io_stream_connection_wait (client, -1, NULL, &error))
        io_stream_connection_dequeue_output_entry (client, &entry);
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR);
    }
  /* The last end is told, maybe that of the first owner before. */
  stream_util_iterate_until (g_error_matches (fixture->error, IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR));
  g_assert_false (io_stream_connection_is_waiting (client));
  g_assert_false (io_connection_is_connected (IO_CONNECTION (client)));
  g_assert_cmpuint (fixture->n_resumed, ==, 0);
  g_assert_cmpuint (io_stream_connection_get_generation (client), ==, 1);

  g_assert_finalize_object (client);
  peer_end (peer);
}

static void
test_refused (Fixture       *fixture,
              gconstpointer  data)
{
  Peer *peer = spawn ("owner");
  IOStreamConnection *client = open_resuming (fixture);

  peer_kill (peer);
  peer = spawn ("refuser");
  stream_util_iterate_until (g_error_matches (fixture->error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED));
  g_assert_false (io_stream_connection_is_waiting (client));
  g_assert_cmpuint (fixture->n_resumed, ==, 0);
  g_assert_error (io_connection_get_error (IO_CONNECTION (client)), IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED);

  g_assert_finalize_object (client);
  peer_end (peer);
}

/* Somebody else was quicker. */
static void
test_taken (Fixture       *fixture,
            gconstpointer  data)
{
  Peer *peer = spawn ("owner");
  IOStreamConnection *client = open_resuming (fixture);
  IOStreamConnection *other;

  peer_kill (peer);
  peer = spawn ("owner");
  other = stream_util_open ("test");
  stream_util_iterate_until (g_error_matches (fixture->error, IO_STREAM_ERROR, IO_STREAM_ERROR_EXCLUSIVE_ACCESS));
  g_assert_false (io_stream_connection_is_waiting (client));

  g_assert_finalize_object (client);
  g_assert_finalize_object (other);
  peer_end (peer);
}

/* An owner that ends each connection is not asked for ever, and does not keep
 * the next one from being found. */
static void
test_kicked (Fixture       *fixture,
             gconstpointer  data)
{
  Peer *peer = spawn ("owner");
  IOStreamConnection *client = open_resuming (fixture);
  guint generation;

  peer_kill (peer);
  peer = spawn ("kicker");
  stream_util_iterate_until (fixture->n_disconnected > 0);
  stream_util_settle ();
  peer_end (peer);
  peer = spawn ("owner");
  g_signal_connect (client, "output-available", G_CALLBACK (output_cb), fixture);
  stream_util_iterate_until (fixture->n_output > 0);
  generation = io_stream_connection_get_generation (client);
  g_assert_cmpuint (generation, >=, 2);

  g_assert_finalize_object (client);
  peer_end (peer);
}

/* Somebody has the name again and again, and never answers. */
static void
test_come_and_go (Fixture       *fixture,
                  gconstpointer  data)
{
  Peer *peer = spawn ("owner");
  IOStreamConnection *client = open_resuming (fixture);
  guint n_fds;

  peer_kill (peer);
  stream_util_iterate_until (fixture->n_disconnected == 1);
  n_fds = count_fds ();
  for (guint i = 0; i < 1000; i++)
    {
      g_autoptr (GError) error = NULL;
      IONameClaim *claim = _io_names_claim ("test", g_main_context_default (), &error);
      char *classes[] = { (char *) "IOStream", NULL };

      g_assert_no_error (error);
      g_assert_true (_io_names_publish (claim, g_strdupv (classes), g_variant_new ("a{sv}", NULL), FALSE, NULL));
      g_main_context_iteration (NULL, i % 7 == 0);
      _io_names_release (claim);
      g_main_context_iteration (NULL, FALSE);
    }
  g_assert_cmpuint (fixture->n_disconnected, ==, 1);
  g_assert_true (io_stream_connection_is_waiting (client));
  g_assert_cmpuint (count_fds (), <=, n_fds + 1);

  peer = spawn ("owner");
  stream_util_iterate_until (fixture->n_resumed == 1);
  g_assert_cmpuint (fixture->generation, ==, 2);
  g_assert_finalize_object (client);
  peer_end (peer);
}

static void
test_fork (Fixture       *fixture,
           gconstpointer  data)
{
  Peer *peer = spawn ("owner");
  IOStreamConnection *client = open_resuming (fixture);
  int status;
  pid_t pid;

  peer_kill (peer);
  stream_util_iterate_until (fixture->n_disconnected == 1);
  pid = fork ();
  if (pid == 0)
    {
      stream_util_settle ();
      if (io_stream_connection_wait (client, -1, NULL, NULL) ||
          io_stream_connection_prepare_wait (client))
        _exit (1);
      g_object_unref (client);
      _exit (0);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);

  peer = spawn ("owner");
  stream_util_iterate_until (fixture->n_resumed == 1);
  take_of_generation (client, 2);
  g_assert_finalize_object (client);
  peer_end (peer);
}

/* What has no name to come back under ends with its owner. */
static void
test_no_name (Fixture       *fixture,
              gconstpointer  data)
{
  IOStream *stream = stream_util_new_stream (NULL, IO_STREAM_MODE_OUTPUT, 4, 4096, 0);
  g_autoptr (GError) error = NULL;
  IOStreamConnection *client = io_stream_connection_open_stream (stream, &error);

  g_assert_no_error (error);
  g_object_set (client, "resume", TRUE, NULL);
  g_signal_connect (client, "disconnected", G_CALLBACK (disconnected_cb), fixture);
  io_service_terminate (IO_SERVICE (stream));
  stream_util_iterate_until (fixture->n_disconnected == 1);
  g_assert_false (io_stream_connection_is_waiting (client));
  g_assert_finalize_object (client);
  stream_util_settle ();
  g_assert_finalize_object (stream);
}

/* Ended by somebody who hears of the very step. */
static void
connected_cb (GObject    *object,
              GParamSpec *pspec,
              gpointer    user_data)
{
  if (io_connection_is_connected (IO_CONNECTION (object)))
    io_connection_hang_up (IO_CONNECTION (object));
}

static void
test_end_within (Fixture       *fixture,
                 gconstpointer  data)
{
  Peer *peer = spawn ("owner");
  IOStreamConnection *client = open_resuming (fixture);

  g_signal_connect (client, (const char *) data, G_CALLBACK (connected_cb), fixture);
  peer_kill (peer);
  stream_util_iterate_until (fixture->n_disconnected == 1);
  peer = spawn ("owner");
  stream_util_iterate_until (!io_stream_connection_is_waiting (client));
  stream_util_settle ();
  g_assert_cmpuint (fixture->n_resumed, ==, 0);
  g_assert_finalize_object (client);
  peer_end (peer);
}

#define ADD(path, data, func) g_test_add (path, Fixture, data, set_up, func, tear_down)

int
main (int    argc,
      char **argv)
{
  *peer_program () = argv[0];
  if (argc > 2 && g_str_equal (argv[1], "--peer"))
    {
      peer_begin ();
      if (g_str_equal (argv[2], "owner"))
        return run_owner ();
      if (g_str_equal (argv[2], "other"))
        return run_other ();
      return run_hostile (g_str_equal (argv[2], "refuser"));
    }

  g_test_init (&argc, &argv, NULL);

  ADD ("/stream-resume/kill/blocking", NULL, test_kill_blocking);
  ADD ("/stream-resume/kill/main-loop", NULL, test_kill_main_loop);
  ADD ("/stream-resume/kill/foreign-loop", NULL, test_kill_foreign);
  ADD ("/stream-resume/terminate", NULL, test_terminate);
  ADD ("/stream-resume/late-entries", NULL, test_late_entries);
  ADD ("/stream-resume/ends", NULL, test_ends);
  ADD ("/stream-resume/end-within/connected", "notify::connected", test_end_within);
  ADD ("/stream-resume/end-within/opened", "notify::opened", test_end_within);
  ADD ("/stream-resume/end-within/state", "notify::state", test_end_within);
  ADD ("/stream-resume/cancel", NULL, test_cancel);
  ADD ("/stream-resume/look-only", NULL, test_look_only);
  ADD ("/stream-resume/wrong-class/main-loop", NULL, test_wrong_class);
  ADD ("/stream-resume/wrong-class/blocking", "", test_wrong_class);
  ADD ("/stream-resume/refused", NULL, test_refused);
  ADD ("/stream-resume/taken", NULL, test_taken);
  ADD ("/stream-resume/kicked", NULL, test_kicked);
  ADD ("/stream-resume/come-and-go", NULL, test_come_and_go);
  ADD ("/stream-resume/fork", NULL, test_fork);
  ADD ("/stream-resume/no-name", NULL, test_no_name);

  return g_test_run ();
}
