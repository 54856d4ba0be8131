/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A forked child has the objects, but not the shared pages: whatever it calls
 * is answered, nothing crashes, and the parent notices nothing. */

#include "stream-util.h"

#include <sys/wait.h>
#include <unistd.h>

static void
set_up (StreamPair    *pair,
        gconstpointer  data)
{
  stream_util_set_up (pair, IO_STREAM_MODE_OUTPUT);
  stream_util_start (pair->client);
}

static void
tear_down (StreamPair    *pair,
           gconstpointer  data)
{
  stream_util_tear_down (pair);
}

static void
in_child (void     (*func) (StreamPair *pair),
          StreamPair *pair)
{
  StreamPark park;
  int status;
  pid_t pid;

  stream_util_park (pair->loop, &park);
  pid = fork ();
  g_assert_cmpint (pid, >=, 0);
  if (pid == 0)
    {
      func (pair);
      _exit (0);
    }
  stream_util_go_on (&park);

  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);
}

static void
use_client (StreamPair *pair)
{
  IOStreamBufferQueueEntry entry = { 0, };
  IOStreamConnection *client = pair->client;
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (io_stream_connection_get_state (client), ==, IO_STREAM_STATE_CLOSED);
  g_assert_false (io_stream_connection_dequeue_output_entry (client, &entry));
  g_assert_false (io_stream_connection_return_entry (client, &entry, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN);
  g_clear_error (&error);
  g_assert_false (io_stream_connection_enqueue_input_buffer (client, 0, 0, 0, 0, 0, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN);
  g_clear_error (&error);
  g_assert_false (io_stream_connection_send_input_notification (client, 1, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN);
  g_clear_error (&error);
  g_assert_false (io_stream_connection_wait (client, -1, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN);
  g_clear_error (&error);
  g_assert_false (io_stream_connection_start (client, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN);
  g_assert_false (io_stream_connection_prepare_wait (client));
  io_stream_connection_finish_wait (client);
  g_assert_cmpuint (io_stream_buffer_queue_get_head_index (io_stream_connection_get_output_queue (client)), ==, 0);
  g_assert_false (io_stream_buffer_queue_peek_entry (io_stream_connection_get_output_queue (client), 0, &entry));
  io_connection_hang_up (IO_CONNECTION (client));
  g_object_unref (client);
}

static void
use_owner (StreamPair *pair)
{
  g_autoptr (GError) error = NULL;
  IOStreamBuffer *buffer = io_stream_acquire_buffer (pair->stream, &error);
  IOStreamBufferQueueEntry entry;

  if (buffer != NULL)
    {
      g_assert_false (io_stream_send_buffer (pair->stream, buffer, &error));
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN);
    }
  g_assert_false (io_stream_dequeue_input_entry (pair->stream, &entry));
  g_assert_true (io_stream_send_output_notification (pair->stream, NULL));
}

static void
test_fork (StreamPair    *pair,
           gconstpointer  data)
{
  IOStreamDelivery delivery = (IOStreamDelivery) GPOINTER_TO_INT (data);
  IOStreamBufferQueueEntry entry;

  if (delivery != IO_STREAM_DELIVERY_BLOCK)
    {
      stream_util_close (pair->client);
      io_stream_connection_set_delivery (pair->client, delivery);
      stream_util_assert_works (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err));
      stream_util_start (pair->client);
    }
  stream_util_send (pair->stream, 1);
  in_child (use_client, pair);
  in_child (use_owner, pair);

  /* All as before here. */
  stream_util_take (pair->client, 1, &entry);
  stream_util_send (pair->stream, 2);
  stream_util_return (pair->client, &entry);
  stream_util_take (pair->client, 2, &entry);
  stream_util_return (pair->client, &entry);
}

/* A child that is born in a callback and goes on as if it were the parent. */

static gboolean
exit_cb (gpointer data)
{
  _exit (0);

  return G_SOURCE_REMOVE;
}

static void
fork_in_callback (IOStreamConnection *client,
                  guint              *n_forks)
{
  g_autoptr (GSource) source = NULL;
  pid_t pid;
  int status;

  if (*n_forks == 0)
    return;

  --*n_forks;
  pid = fork ();
  g_assert_cmpint (pid, >=, 0);
  if (pid != 0)
    {
      g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
      g_assert_true (WIFEXITED (status));
      g_assert_cmpint (WEXITSTATUS (status), ==, 0);
      return;
    }

  alarm (60);
  source = g_idle_source_new ();
  g_source_set_callback (source, exit_cb, NULL, NULL);
  g_source_attach (source, g_main_context_get_thread_default ());
}

static void
fork_in_notify (guint *n_forks)
{
  fork_in_callback (NULL, n_forks);
}

static void
test_in_output (StreamPair    *pair,
                gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;
  pid_t parent = getpid ();
  static guint n_forks;

  n_forks = 3;
  g_signal_connect (pair->client, "output-available", G_CALLBACK (fork_in_callback), &n_forks);
  while (n_forks > 0)
    {
      guint before = n_forks;

      stream_util_send (pair->stream, 1);
      stream_util_iterate_until (n_forks < before);
      if (getpid () != parent)
        {
          stream_util_settle ();
          _exit (0);
        }
      stream_util_take (pair->client, 1, &entry);
      stream_util_return (pair->client, &entry);
      io_stream_connection_set_notify_in_context (pair->client, TRUE);
    }
}

static void
test_in_notify (StreamPair    *pair,
                gconstpointer  data)
{
  pid_t parent = getpid ();
  static guint n_forks;

  n_forks = 1;
  g_signal_connect_swapped (pair->client, "notify::state", G_CALLBACK (fork_in_notify), &n_forks);
  stream_util_assert_works (io_stream_suspend (pair->stream, err));
  stream_util_iterate_until (n_forks == 0);
  if (getpid () != parent)
    {
      stream_util_settle ();
      _exit (0);
    }
}

static guint n_method_forks;

typedef IOStream ForkStream;
typedef IOStreamClass ForkStreamClass;

static GType fork_stream_get_type (void);
G_DEFINE_TYPE (ForkStream, fork_stream, IO_TYPE_STREAM)

static gboolean
fork_stream_change (IOStream  *self,
                    GError   **error)
{
  fork_in_callback (NULL, &n_method_forks);

  return TRUE;
}

static gboolean
fork_stream_set_mode (IOStream      *self,
                      IOStreamMode   mode,
                      GError       **error)
{
  return fork_stream_change (self, error);
}

static void
fork_stream_class_init (ForkStreamClass *klass)
{
  klass->start = klass->stop = klass->suspend = fork_stream_change;
  klass->set_mode = fork_stream_set_mode;
}

static void
fork_stream_init (ForkStream *self)
{
}

static void
test_in_method (void)
{
  IOWorkLoop *loop;
  IOStream *stream;
  IOStreamConnection *client;

  stream_util_skip_if_local ("the child comes back from the call");
  loop = io_work_loop_new ("forks");
  stream = g_object_new (fork_stream_get_type (), "name", "forks", "work-loop", loop, "buffer-count", 2,
                         "data-size", (guint64) 64, "peer-access", IO_STREAM_PEER_ACCESS_READ_WRITE, NULL);
  stream_util_assert_works (io_service_register (IO_SERVICE (stream), err));
  client = stream_util_open_stream (stream);
  n_method_forks = 5;
  stream_util_assert_works (io_stream_connection_set_mode (client, IO_STREAM_MODE_INPUT, NULL, err));
  stream_util_assert_works (io_stream_connection_start (client, NULL, err));
  stream_util_assert_works (io_stream_connection_suspend (client, NULL, err));
  stream_util_assert_works (io_stream_connection_start (client, NULL, err));
  stream_util_close (client);
  g_assert_cmpuint (n_method_forks, ==, 0);
  g_assert_finalize_object (client);
  io_service_terminate (IO_SERVICE (stream));
  io_work_loop_shut_down (loop);
  g_assert_finalize_object (stream);
  g_assert_finalize_object (loop);
}

/* One call after the other, so that the loop of the owner looks for the next
 * one before it sleeps. */
static void
fork_in_call (IOStream *stream,
              guint     token,
              guint    *n_forks)
{
  if (token == 1)
    fork_in_callback (NULL, n_forks);
}

static void
test_in_call (StreamPair    *pair,
              gconstpointer  data)
{
  static guint n_forks;

  stream_util_skip_if_local ("the child comes back from the call");
  n_forks = 10;
  g_signal_connect (pair->stream, "input-sync", G_CALLBACK (fork_in_call), &n_forks);
  while (n_forks > 0)
    {
      for (guint i = 0; i < 50; i++)
        stream_util_assert_works (io_stream_connection_send_input_sync_notification (pair->client, 0, NULL, err));
      stream_util_assert_works (io_stream_connection_send_input_sync_notification (pair->client, 1, NULL, err));
    }
}

int
main (int   argc,
      char *argv[])
{
  char *dir;
  int status;

  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();

  g_test_add ("/stream/fork", StreamPair, NULL, set_up, test_fork, tear_down);
  g_test_add ("/stream/fork/drop-oldest", StreamPair, GINT_TO_POINTER (IO_STREAM_DELIVERY_DROP_OLDEST), set_up, test_fork,
              tear_down);
  g_test_add ("/stream/fork/latest", StreamPair, GINT_TO_POINTER (IO_STREAM_DELIVERY_LATEST), set_up, test_fork,
              tear_down);
  g_test_add ("/stream/fork/in-output", StreamPair, NULL, set_up, test_in_output, tear_down);
  g_test_add ("/stream/fork/in-notify", StreamPair, NULL, set_up, test_in_notify, tear_down);
  g_test_add_func ("/stream/fork/in-method", test_in_method);
  g_test_add ("/stream/fork/in-call", StreamPair, NULL, set_up, test_in_call, tear_down);

  status = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return status;
}
