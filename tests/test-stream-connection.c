/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "stream-util.h"

#include "libiostream/io-stream-connection-private.h"
#include "libiostream/io-stream-private.h"

#include <poll.h>

static void
set_up (StreamPair    *pair,
        gconstpointer  data)
{
  stream_util_set_up (pair, IO_STREAM_MODE_OUTPUT);
}

static void
set_up_running (StreamPair    *pair,
                gconstpointer  data)
{
  stream_util_set_up (pair, IO_STREAM_MODE_OUTPUT);
  stream_util_start (pair->client);
  /* who listens hears of it before the test begins */
  stream_util_settle ();
}

static void
tear_down (StreamPair    *pair,
           gconstpointer  data)
{
  stream_util_tear_down (pair);
}

static gpointer
run_later_thread (gpointer data)
{
  GSource *source = data;

  g_usleep (3000);
  g_source_set_ready_time (source, 0);
  g_source_unref (source);

  return NULL;
}

static gboolean
later_dispatch (GSource     *source,
                GSourceFunc  callback,
                gpointer     user_data)
{
  callback (user_data);

  return G_SOURCE_REMOVE;
}

static gboolean send_cb (gpointer user_data);

static gpointer
run_now_thread (gpointer data)
{
  g_usleep (3000);
  send_cb (data);

  return NULL;
}

static gpointer
nothing_thread (gpointer data)
{
  return NULL;
}

/* Calls @func in the thread of the owner when this one sleeps, most likely. */
static GThread *
run_later (StreamPair  *pair,
           GSourceFunc  func)
{
  static GSourceFuncs funcs = { .dispatch = later_dispatch };
  GSource *source;

  /* To send is for any thread, the rest for this one only. */
  if (stream_util_is_local () && func == send_cb)
    return g_thread_new ("send", run_now_thread, pair);
  if (stream_util_is_local ())
    {
      func (pair);
      return g_thread_new ("nothing", nothing_thread, NULL);
    }

  source = g_source_new (&funcs, sizeof (GSource));
  g_source_set_callback (source, func, pair, NULL);
  g_source_attach (source, io_work_loop_get_context (pair->loop));

  return g_thread_new ("later", run_later_thread, source);
}

static gboolean
send_cb (gpointer user_data)
{
  StreamPair *pair = user_data;

  stream_util_send (pair->stream, 99);

  return TRUE;
}

static gboolean
stop_cb (gpointer user_data)
{
  StreamPair *pair = user_data;

  stream_util_assert_works (io_stream_stop (pair->stream, err));

  return TRUE;
}

static gboolean
suspend_cb (gpointer user_data)
{
  StreamPair *pair = user_data;

  stream_util_assert_works (io_stream_suspend (pair->stream, err));

  return TRUE;
}

static gboolean
terminate_cb (gpointer user_data)
{
  StreamPair *pair = user_data;

  io_service_terminate (IO_SERVICE (pair->stream));

  return TRUE;
}

static IOUserClient *
get_client (StreamPair *pair)
{
  return _io_stream_link_at (_io_stream_get_private (pair->stream), 0)->client;
}

static gboolean
throw_out_cb (gpointer user_data)
{
  StreamPair *pair = user_data;
  g_autoptr (GError) reason = g_error_new (IO_STREAM_ERROR, IO_STREAM_ERROR_NO_DEVICE, "the lamp is gone");

  io_user_client_terminate (get_client (pair), reason);

  return TRUE;
}

static gboolean
close_cb (gpointer user_data)
{
  StreamPair *pair = user_data;

  io_service_close (IO_SERVICE (pair->stream), get_client (pair), 0);

  return TRUE;
}

static gpointer
cancel_thread (gpointer data)
{
  g_usleep (3000);
  g_cancellable_cancel (data);

  return NULL;
}

static void
assert_wait_cancelled (StreamPair   *pair,
                       gint64        timeout,
                       GCancellable *cancellable)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (io_stream_connection_wait (pair->client, timeout, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

/* --- blocking --------------------------------------------------------------- */

static void
test_wait_errors (StreamPair    *pair,
                  gconstpointer  data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  IOStreamBufferQueueEntry entry;
  gint64 start;
  GThread *thread;

  g_assert_true (io_stream_connection_get_notify_in_context (pair->client));
  stream_util_assert_fails (io_stream_connection_wait (pair->client, -1, NULL, err), IO_STREAM_ERROR_NOT_READY);
  g_assert_false (io_stream_connection_get_notify_in_context (pair->client));

  stream_util_start (pair->client);
  stream_util_assert_fails (io_stream_connection_wait (pair->client, 0, NULL, err), IO_STREAM_ERROR_TIMEOUT);
  start = g_get_monotonic_time ();
  stream_util_assert_fails (io_stream_connection_wait (pair->client, 5000, NULL, err), IO_STREAM_ERROR_TIMEOUT);
  g_assert_cmpint (g_get_monotonic_time () - start, >=, 5000);

  thread = g_thread_new ("cancel", cancel_thread, cancellable);
  assert_wait_cancelled (pair, G_MAXINT64, cancellable);
  g_thread_join (thread);
  assert_wait_cancelled (pair, -1, cancellable);
  assert_wait_cancelled (pair, 0, cancellable);

  /* What is there counts more. */
  stream_util_send (pair->stream, 1);
  stream_util_assert_works (io_stream_connection_wait (pair->client, 0, cancellable, err));
  stream_util_take (pair->client, 1, &entry);

  stream_util_close (pair->client);
  stream_util_assert_fails (io_stream_connection_wait (pair->client, -1, NULL, err), IO_STREAM_ERROR_NOT_OPEN);
}

static void
test_wait_wakes (StreamPair    *pair,
                 gconstpointer  data)
{
  for (guint i = 0; i < 20; i++)
    {
      GThread *thread = run_later (pair, send_cb);
      IOStreamBufferQueueEntry entry;

      stream_util_take (pair->client, 99, &entry);
      stream_util_return (pair->client, &entry);
      g_thread_join (thread);
    }
}

static void
test_wait_stopped (StreamPair    *pair,
                   gconstpointer  data)
{
  GThread *thread = run_later (pair, stop_cb);

  stream_util_assert_fails (io_stream_connection_wait (pair->client, STREAM_UTIL_TIMEOUT, NULL, err), IO_STREAM_ERROR_NOT_READY);
  g_thread_join (thread);
  g_assert_cmpint (io_stream_connection_get_state (pair->client), ==, IO_STREAM_STATE_STOPPED);
  g_assert_true (io_connection_is_open (IO_CONNECTION (pair->client)));
}

static void
test_wait_suspended (StreamPair    *pair,
                     gconstpointer  data)
{
  GThread *thread = run_later (pair, suspend_cb);

  stream_util_assert_fails (io_stream_connection_wait (pair->client, 50000, NULL, err), IO_STREAM_ERROR_TIMEOUT);
  g_thread_join (thread);
  g_assert_cmpint (io_stream_connection_get_state (pair->client), ==, IO_STREAM_STATE_SUSPENDED);
}

static void
disconnected_cb (IOConnection *connection,
                 const GError *error,
                 StreamPair   *pair)
{
  pair->n_client++;
}

/* The clean end. */
static void
test_wait_terminated (StreamPair    *pair,
                      gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;
  GThread *thread;

  g_signal_connect (pair->client, "disconnected", G_CALLBACK (disconnected_cb), pair);
  thread = run_later (pair, terminate_cb);
  stream_util_assert_fails (io_stream_connection_wait (pair->client, STREAM_UTIL_TIMEOUT, NULL, err), IO_STREAM_ERROR_NOT_OPEN);
  g_thread_join (thread);
  g_assert_null (io_connection_get_error (IO_CONNECTION (pair->client)));
  g_assert_false (io_connection_is_connected (IO_CONNECTION (pair->client)));
  g_assert_cmpint (io_stream_connection_get_state (pair->client), ==, IO_STREAM_STATE_CLOSED);
  g_assert_false (io_stream_connection_dequeue_output_entry (pair->client, &entry));
  stream_util_assert_fails (io_stream_connection_wait (pair->client, -1, NULL, err), IO_STREAM_ERROR_NOT_OPEN);
  g_assert_cmpint (pair->n_client, ==, 0);
  stream_util_settle ();
  g_assert_cmpint (pair->n_client, ==, 1);
  stream_util_assert_fails (io_stream_connection_wait (pair->client, -1, NULL, err), IO_STREAM_ERROR_NOT_OPEN);
}

/* The owner says why. */
static void
test_wait_thrown_out (StreamPair    *pair,
                      gconstpointer  data)
{
  GThread *thread = run_later (pair, throw_out_cb);

  stream_util_assert_fails (io_stream_connection_wait (pair->client, STREAM_UTIL_TIMEOUT, NULL, err), IO_STREAM_ERROR_NO_DEVICE);
  g_thread_join (thread);
  g_assert_error (io_connection_get_error (IO_CONNECTION (pair->client)), IO_STREAM_ERROR, IO_STREAM_ERROR_NO_DEVICE);
  stream_util_settle ();
  stream_util_assert_fails (io_stream_connection_wait (pair->client, -1, NULL, err), IO_STREAM_ERROR_NO_DEVICE);
  stream_util_assert_fails (io_stream_connection_start (pair->client, NULL, err), IO_STREAM_ERROR_NO_DEVICE);
}

/* The owner closes it for this client, and the connection stands. */
static void
test_wait_closed (StreamPair    *pair,
                  gconstpointer  data)
{
  GThread *thread = run_later (pair, close_cb);

  stream_util_assert_fails (io_stream_connection_wait (pair->client, STREAM_UTIL_TIMEOUT, NULL, err), IO_STREAM_ERROR_NOT_OPEN);
  g_thread_join (thread);
  g_assert_cmpint (io_stream_connection_get_state (pair->client), ==, IO_STREAM_STATE_CLOSED);
  stream_util_settle ();
  g_assert_true (io_connection_is_connected (IO_CONNECTION (pair->client)));

  /* It can be opened again. */
  io_connection_close (IO_CONNECTION (pair->client), NULL, NULL);
  stream_util_assert_works (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err));
  stream_util_start (pair->client);
}

/* What was sent before the end can be taken after it. */
static void
test_last_entries (StreamPair    *pair,
                   gconstpointer  data)
{
  IOStreamBufferQueueEntry entries[3];
  const guint8 *bytes;

  for (guint i = 0; i < 3; i++)
    stream_util_send (pair->stream, (guint8) (10 + i));
  stream_util_take (pair->client, 10, &entries[0]);
  stream_util_on_loop (pair, GPOINTER_TO_INT (data) ? throw_out_cb : terminate_cb, pair);
  stream_util_take (pair->client, 11, &entries[1]);
  stream_util_settle ();
  stream_util_take (pair->client, 12, &entries[2]);
  stream_util_assert_fails (io_stream_connection_wait (pair->client, -1, NULL, err),
                            GPOINTER_TO_INT (data) ? IO_STREAM_ERROR_NO_DEVICE : IO_STREAM_ERROR_NOT_OPEN);

  /* What is mapped stays readable. */
  for (guint i = 0; i < 3; i++)
    {
      bytes = io_stream_connection_peek_data_buffer (pair->client, entries[i].buffer_id, NULL);
      g_assert_cmpuint (bytes[9999], ==, 10 + i);
      stream_util_return (pair->client, &entries[i]);
    }
  g_assert_cmpuint (io_stream_connection_get_held (pair->client), ==, 0);
}

/* --- foreign loops ------------------------------------------------------------ */

static gboolean
poll_once (StreamPair *pair,
           int         timeout)
{
  struct pollfd poll_fd = { io_stream_connection_get_fd (pair->client), POLLIN, 0 };

  g_assert_cmpint (poll_fd.fd, >=, 0);

  return poll (&poll_fd, 1, timeout) > 0;
}

static void
test_poll (StreamPair    *pair,
           gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  /* First of all the state, if nobody heard of it. */
  if (!io_stream_connection_prepare_wait (pair->client))
    io_stream_connection_finish_wait (pair->client);
  g_assert_false (io_stream_connection_get_notify_in_context (pair->client));

  g_assert_true (io_stream_connection_prepare_wait (pair->client));
  g_assert_false (poll_once (pair, 0));
  io_stream_connection_finish_wait (pair->client);

  for (guint i = 0; i < 10; i++)
    {
      GThread *thread;

      g_assert_true (io_stream_connection_prepare_wait (pair->client));
      thread = run_later (pair, send_cb);
      g_assert_true (poll_once (pair, 20000));
      io_stream_connection_finish_wait (pair->client);
      g_thread_join (thread);
      g_assert_false (io_stream_connection_prepare_wait (pair->client));
      io_stream_connection_finish_wait (pair->client);
      g_assert_true (io_stream_connection_dequeue_output_entry (pair->client, &entry));
      stream_util_return (pair->client, &entry);
    }
}

static void
test_poll_state (StreamPair    *pair,
                 gconstpointer  data)
{
  if (!io_stream_connection_prepare_wait (pair->client))
    g_assert_true (io_stream_connection_prepare_wait (pair->client));
  stream_util_on_loop (pair, stop_cb, pair);
  g_assert_true (poll_once (pair, 20000));
  io_stream_connection_finish_wait (pair->client);
  g_assert_cmpint (io_stream_connection_get_state (pair->client), ==, IO_STREAM_STATE_STOPPED);
  g_assert_true (io_stream_connection_prepare_wait (pair->client));

  stream_util_on_loop (pair, terminate_cb, pair);
  while (io_connection_is_connected (IO_CONNECTION (pair->client)))
    {
      if (io_stream_connection_prepare_wait (pair->client))
        g_assert_true (poll_once (pair, 20000));
      io_stream_connection_finish_wait (pair->client);
    }
  g_assert_cmpint (io_stream_connection_get_state (pair->client), ==, IO_STREAM_STATE_CLOSED);
  stream_util_settle ();
  g_assert_false (io_stream_connection_prepare_wait (pair->client));
  io_stream_connection_finish_wait (pair->client);
}

static void
test_not_open (StreamPair    *pair,
               gconstpointer  data)
{
  IOStreamConnection *client = pair->client;
  IOStreamBufferQueueEntry entry;
  void *address = &entry;
  gsize length = 1;
  guint count = 9;

  stream_util_close (client);
  g_object_get (client, "buffer-count", &count, NULL);
  g_assert_cmpuint (count, ==, 0);
  g_assert_cmpint (io_stream_connection_get_fd (client), ==, -1);
  g_assert_false (io_stream_connection_prepare_wait (client));
  io_stream_connection_finish_wait (client);
  g_assert_null (io_stream_connection_create_source (client, NULL));
  g_assert_null (io_stream_connection_get_output_queue (client));
  g_assert_null (io_stream_connection_get_input_queue (client));
  g_assert_null (io_stream_connection_get_output_port (client));
  g_assert_null (io_stream_connection_get_input_port (client));
  g_assert_null (io_stream_connection_get_buffer_with_id (client, 0));
  g_assert_false (io_stream_connection_get_buffer_info (client, 0, &address, &length, NULL, NULL));
  g_assert_null (address);
  g_assert_cmpuint (length, ==, 0);
  g_assert_null (io_stream_connection_peek_data_buffer (client, 0, &length));
  g_assert_null (io_stream_connection_peek_control_buffer (client, 0, &length));
  g_assert_cmpuint (io_stream_connection_get_data_buffer_length (client, 0), ==, 0);
  g_assert_cmpuint (io_stream_connection_get_control_buffer_length (client, 0), ==, 0);
  g_assert_false (io_stream_connection_dequeue_output_entry (client, &entry));
  io_stream_connection_set_notify_in_context (client, FALSE);
  io_stream_connection_set_notify_in_context (client, TRUE);
}

static void
test_queues (StreamPair    *pair,
             gconstpointer  data)
{
  IOStreamBufferQueue *output = io_stream_connection_get_output_queue (pair->client);
  IOStreamBufferQueue *input = io_stream_connection_get_input_queue (pair->client);
  guint64 head = io_stream_buffer_queue_get_head_index (output);
  guint64 input_head = io_stream_buffer_queue_get_head_index (input);
  IOStreamBufferQueueEntry entry;

  g_assert_cmpuint (io_stream_buffer_queue_get_entry_count (output), ==, 4);
  g_assert_true (io_stream_connection_get_output_port (pair->client) == io_stream_connection_get_input_port (pair->client));
  stream_util_send (pair->stream, 1);
  g_assert_cmpuint (io_stream_buffer_queue_get_head_index (output), ==, head + 1);
  stream_util_take (pair->client, 1, &entry);
  g_assert_false (io_stream_connection_dequeue_output_entry (pair->client, &entry));
  g_assert_cmpuint (io_stream_buffer_queue_get_tail_index (output), ==, head + 1);
  stream_util_return (pair->client, &entry);
  g_assert_cmpuint (io_stream_buffer_queue_get_head_index (input), ==, input_head + 1);
}

/* --- in the context ----------------------------------------------------------- */

static void
take_all_cb (IOStreamConnection *client,
             StreamPair         *pair)
{
  IOStreamBufferQueueEntry entry;

  pair->n_client++;
  while (io_stream_connection_dequeue_output_entry (client, &entry))
    {
      pair->n_owner++;
      stream_util_return (client, &entry);
    }
}

static void
take_one_cb (IOStreamConnection *client,
             StreamPair         *pair)
{
  IOStreamBufferQueueEntry entry;

  pair->n_client++;
  if (io_stream_connection_dequeue_output_entry (client, &entry))
    {
      pair->n_owner++;
      stream_util_return (client, &entry);
    }
}

static void
take_none_cb (IOStreamConnection *client,
              StreamPair         *pair)
{
  pair->n_client++;
}

static void
test_signal (StreamPair    *pair,
             gconstpointer  data)
{
  g_signal_connect (pair->client, "output-available", G_CALLBACK (take_all_cb), pair);
  for (int i = 0; i < 100; i++)
    {
      stream_util_send (pair->stream, 1);
      stream_util_iterate_until (pair->n_owner == i + 1);
    }
  g_assert_cmpint (pair->n_client, >=, 100);
}

static void
count_destroy (gpointer data)
{
  StreamPair *pair = data;

  stream_counter_add (&pair->died);
}

static void
hang_up_cb (IOStreamConnection *client,
            gpointer            user_data)
{
  io_connection_hang_up (IO_CONNECTION (client));
}

static void
count_cb (IOStreamConnection *client,
          guint              *n_seen)
{
  (*n_seen)++;
}

/* A callback that ends the connection is the last to hear of its output. */
static void
test_callback_hangs_up (StreamPair    *pair,
                        gconstpointer  data)
{
  guint n_seen = 0;

  g_signal_connect (pair->client, "output-available", G_CALLBACK (count_cb), &n_seen);
  io_stream_connection_set_output_callback (pair->client, hang_up_cb, NULL, NULL);
  stream_util_send (pair->stream, 1);
  while (io_connection_is_connected (IO_CONNECTION (pair->client)))
    g_main_context_iteration (NULL, TRUE);
  stream_util_settle ();
  g_assert_cmpuint (n_seen, ==, 0);
}

static void
test_callback (StreamPair    *pair,
               gconstpointer  data)
{
  g_signal_connect (pair->client, "output-available", G_CALLBACK (take_none_cb), pair);
  io_stream_connection_set_output_callback (pair->client, (IOStreamOutputCallback) take_all_cb, pair, count_destroy);
  stream_util_send (pair->stream, 1);
  stream_util_iterate_until (pair->n_owner == 1);
  stream_util_settle ();
  g_assert_cmpint (pair->n_client, ==, 2);

  io_stream_connection_set_output_callback (pair->client, (IOStreamOutputCallback) take_one_cb, pair, count_destroy);
  g_assert_cmpuint (stream_counter_get (&pair->died), ==, 1);
  stream_util_send (pair->stream, 1);
  stream_util_iterate_until (pair->n_owner == 2);
  io_stream_connection_set_output_callback (pair->client, NULL, NULL, NULL);
  g_assert_cmpuint (stream_counter_get (&pair->died), ==, 2);

  /* The rest goes with the connection. */
  io_stream_connection_set_output_callback (pair->client, (IOStreamOutputCallback) take_all_cb, pair, count_destroy);
  io_connection_hang_up (IO_CONNECTION (pair->client));
  stream_util_settle ();
  g_assert_finalize_object (g_steal_pointer (&pair->client));
  g_assert_cmpuint (stream_counter_get (&pair->died), ==, 3);
}

/* A handler that takes one at a time is called until all are taken; one that
 * takes none is not called without end. */
static void
test_slow_handlers (StreamPair    *pair,
                    gconstpointer  data)
{
  gulong id = g_signal_connect (pair->client, "output-available", G_CALLBACK (take_one_cb), pair);
  int n;

  for (guint i = 0; i < 4; i++)
    stream_util_send (pair->stream, 1);
  stream_util_iterate_until (pair->n_owner == 4);
  stream_util_settle ();
  g_assert_cmpint (pair->n_client, <=, 6);
  g_signal_handler_disconnect (pair->client, id);

  pair->n_client = 0;
  g_signal_connect (pair->client, "output-available", G_CALLBACK (take_none_cb), pair);
  for (int i = 1; i <= 3; i++)
    {
      n = pair->n_client;
      stream_util_send (pair->stream, 1);
      stream_util_iterate_until (pair->n_client > n);
      for (guint k = 0; k < 100; k++)
        stream_util_settle ();
      g_assert_cmpint (pair->n_client, <=, n + 2);
    }
}

static void
test_switching (StreamPair    *pair,
                gconstpointer  data)
{
  gboolean notify_in_context = FALSE;

  g_signal_connect (pair->client, "output-available", G_CALLBACK (take_all_cb), pair);
  g_signal_connect_swapped (pair->client, "notify::notify-in-context", G_CALLBACK (stream_counter_add), &pair->input);
  g_object_set (pair->client, "notify-in-context", FALSE, NULL);
  io_stream_connection_set_notify_in_context (pair->client, FALSE);
  g_assert_cmpuint (pair->input.count, ==, 1);
  stream_util_send (pair->stream, 1);
  stream_util_settle ();
  g_assert_cmpint (pair->n_client, ==, 0);

  g_object_set (pair->client, "notify-in-context", TRUE, NULL);
  g_assert_cmpuint (pair->input.count, ==, 2);
  stream_util_iterate_until (pair->n_owner == 1);

  /* Waiting turns it off. */
  stream_util_send (pair->stream, 1);
  stream_util_assert_works (io_stream_connection_wait (pair->client, -1, NULL, err));
  g_object_get (pair->client, "notify-in-context", &notify_in_context, NULL);
  g_assert_false (notify_in_context);
  stream_util_settle ();
  g_assert_cmpint (pair->n_owner, ==, 1);

  /* and it stays off over the next open */
  stream_util_close (pair->client);
  stream_util_assert_works (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err));
  stream_util_start (pair->client);
  stream_util_send (pair->stream, 1);
  stream_util_settle ();
  g_assert_cmpint (pair->n_owner, ==, 1);
  io_stream_connection_set_notify_in_context (pair->client, TRUE);
  stream_util_iterate_until (pair->n_owner == 2);
}

static gboolean
source_cb (gpointer data)
{
  StreamPair *pair = data;

  take_all_cb (pair->client, pair);

  return G_SOURCE_CONTINUE;
}

static void
test_source (StreamPair    *pair,
             gconstpointer  data)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GSource) source = io_stream_connection_create_source (pair->client, cancellable);

  g_assert_nonnull (source);
  g_assert_false (io_stream_connection_get_notify_in_context (pair->client));
  g_source_set_callback (source, source_cb, pair, NULL);
  g_source_attach (source, context);
  for (int i = 0; i < 10; i++)
    {
      GThread *thread = run_later (pair, send_cb);

      while (pair->n_owner <= i)
        g_main_context_iteration (context, TRUE);
      g_thread_join (thread);
    }
  g_source_destroy (source);
}

typedef struct {
  IOStreamConnection  parent_instance;
  guint               n_output;
} TestConnection;
typedef IOStreamConnectionClass TestConnectionClass;

static GType test_connection_get_type (void);
G_DEFINE_TYPE (TestConnection, test_connection, IO_TYPE_STREAM_CONNECTION)

static void
test_connection_output_available (IOStreamConnection *connection)
{
  ((TestConnection *) connection)->n_output++;
}

static void
test_connection_class_init (TestConnectionClass *klass)
{
  klass->output_available = test_connection_output_available;
}

static void
test_connection_init (TestConnection *self)
{
}

static void
test_subclass (StreamPair    *pair,
               gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  TestConnection *client;

  stream_util_close (pair->client);
  client = g_initable_new (test_connection_get_type (), NULL, &error, "name", "test",
                           "service", stream_util_is_local () ? pair->stream : NULL, NULL);
  g_assert_no_error (error);
  stream_util_assert_works (io_connection_open (IO_CONNECTION (client), 0, NULL, err));
  stream_util_start (IO_STREAM_CONNECTION (client));
  stream_util_send (pair->stream, 1);
  stream_util_iterate_until (client->n_output == 1);
  stream_util_close (IO_STREAM_CONNECTION (client));
  stream_util_settle ();
  g_assert_finalize_object (client);
}

/* --- the end, in the context --------------------------------------------------- */

static void
record_output_cb (IOStreamConnection *client,
                  GString            *log)
{
  IOStreamBufferQueueEntry entry;

  while (io_stream_connection_dequeue_output_entry (client, &entry))
    g_string_append_c (log, 'o');
}

static void
record_state_cb (IOStreamConnection *client,
                 GParamSpec         *pspec,
                 GString            *log)
{
  if (io_stream_connection_get_state (client) == IO_STREAM_STATE_CLOSED)
    g_string_append_c (log, 'c');
}

static void
record_disconnected_cb (IOConnection *client,
                        const GError *error,
                        GString      *log)
{
  g_string_append_c (log, error == NULL ? 'd' : 'D');
}

/* Once, and after the last output. */
static void
test_disconnected (StreamPair    *pair,
                   gconstpointer  data)
{
  GString *log = g_string_new (NULL);
  gboolean with_reason = GPOINTER_TO_INT (data);

  g_signal_connect (pair->client, "output-available", G_CALLBACK (record_output_cb), log);
  g_signal_connect (pair->client, "notify::state", G_CALLBACK (record_state_cb), log);
  g_signal_connect (pair->client, "disconnected", G_CALLBACK (record_disconnected_cb), log);
  for (guint i = 0; i < 3; i++)
    stream_util_send (pair->stream, 1);
  stream_util_on_loop (pair, with_reason ? throw_out_cb : terminate_cb, pair);
  stream_util_iterate_until (strpbrk (log->str, "dD") != NULL);
  for (guint i = 0; i < 10; i++)
    stream_util_settle ();
  g_test_message ("%s", log->str);
  g_assert_true (g_str_has_suffix (log->str, with_reason ? "D" : "d"));
  g_assert_true (strchr (log->str, 'c') == strrchr (log->str, 'c'));
  g_assert_cmpuint (strlen (log->str), ==, 5);
  g_assert_true ((io_connection_get_error (IO_CONNECTION (pair->client)) != NULL) == with_reason);
  g_assert_finalize_object (g_steal_pointer (&pair->client));
  g_string_free (log, TRUE);
}

/* Whatever a handler does to the connection. */
static void
ending_cb (IOStreamConnection *client,
           StreamPair         *pair)
{
  pair->n_client++;
  if (pair->n_owner == 0)
    stream_util_close (client);
  else if (pair->n_owner == 1)
    io_connection_hang_up (IO_CONNECTION (client));
  else if (pair->n_owner == 2)
    g_clear_object (&pair->client);
  else
    io_stream_connection_set_output_callback (client, NULL, NULL, NULL);
}

static void
test_end_in_handler (StreamPair    *pair,
                     gconstpointer  data)
{
  guint how = GPOINTER_TO_UINT (data);

  pair->n_owner = (int) (how & 3);
  if ((how & 4) != 0)
    io_stream_connection_set_output_callback (pair->client, (IOStreamOutputCallback) ending_cb, pair, count_destroy);
  else
    g_signal_connect (pair->client, "output-available", G_CALLBACK (ending_cb), pair);
  for (guint i = 0; i < 3; i++)
    stream_util_send (pair->stream, 1);
  stream_util_iterate_until (pair->n_client > 0);
  stream_util_settle ();
  if ((how & 3) == 2)
    g_assert_null (pair->client);
}

static void
close_in_notify_cb (IOStreamConnection *client,
                    GParamSpec         *pspec,
                    StreamPair         *pair)
{
  pair->n_client++;
  if (pair->n_client > 1)
    return;

  if (pair->n_owner == 0)
    io_connection_close (IO_CONNECTION (client), NULL, NULL);
  else
    io_connection_hang_up (IO_CONNECTION (client));
}

static void
test_end_in_notify (StreamPair    *pair,
                    gconstpointer  data)
{
  g_signal_connect (pair->client, "notify::state", G_CALLBACK (close_in_notify_cb), pair);
  pair->n_owner = GPOINTER_TO_INT (data);
  stream_util_assert_works (io_stream_start (pair->stream, err));
  stream_util_iterate_until (pair->n_client > 0);
  stream_util_settle ();
  g_assert_cmpint (io_stream_connection_get_state (pair->client), ==, IO_STREAM_STATE_CLOSED);
}

/* In the middle of an open. */
static void
test_end_in_open (StreamPair    *pair,
                  gconstpointer  data)
{
  stream_util_close (pair->client);
  g_signal_connect (pair->client, data, G_CALLBACK (close_in_notify_cb), pair);
  pair->n_owner = 1;
  io_connection_open (IO_CONNECTION (pair->client), 0, NULL, NULL);
  stream_util_settle ();
  g_assert_cmpint (pair->n_client, >, 0);
  g_assert_cmpint (io_stream_connection_get_state (pair->client), ==, IO_STREAM_STATE_CLOSED);
  g_assert_false (io_connection_is_open (IO_CONNECTION (pair->client)));
}

/* What the first open tells beside. */
static void
test_end_in_first_open (StreamPair    *pair,
                        gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  IOStreamConnection *client;

  stream_util_close (pair->client);
  client = stream_util_connect (pair->stream, &error);
  g_assert_no_error (error);
  g_signal_connect (client, "notify::generation", G_CALLBACK (close_in_notify_cb), pair);
  pair->n_owner = 1;
  g_assert_false (io_connection_open (IO_CONNECTION (client), 0, NULL, NULL));
  g_assert_cmpint (pair->n_client, ==, 1);
  g_assert_cmpint (io_stream_connection_get_state (client), ==, IO_STREAM_STATE_CLOSED);
  g_assert_finalize_object (client);
}

/* --- an owner that writes what is impossible -------------------------------------- */

static void
test_violation (StreamPair    *pair,
                gconstpointer  data)
{
  IOStreamPrivate *priv = _io_stream_get_private (pair->stream);
  IOStreamBufferQueueEntry entry = { 0, 0, 10, 0, 10, 0, 0, 0 };

  g_signal_connect (pair->client, "disconnected", G_CALLBACK (disconnected_cb), pair);
  switch (GPOINTER_TO_INT (data))
    {
    case 0:
      entry.buffer_id = 4;
      break;
    case 1:
      entry.data_offset = 9991;
      break;
    case 2:
      entry.data_offset = G_MAXUINT32;
      break;
    case 3:
      entry.control_length = 65;
      break;
    default:
      break;
    }
  g_mutex_lock (&priv->lock);
  if (GPOINTER_TO_INT (data) == 4)
    _io_ring_put (&_io_stream_link_at (priv, 0)->output, &entry);
  _io_ring_put (&_io_stream_link_at (priv, 0)->output, &entry);
  g_mutex_unlock (&priv->lock);
  if (GPOINTER_TO_INT (data) == 4)
    g_assert_true (io_stream_connection_dequeue_output_entry (pair->client, &entry));

  g_assert_false (io_stream_connection_dequeue_output_entry (pair->client, &entry));
  g_assert_error (io_connection_get_error (IO_CONNECTION (pair->client)), IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR);
  stream_util_assert_fails (io_stream_connection_wait (pair->client, -1, NULL, err), IO_STREAM_ERROR_IPC_ERROR);
  stream_util_iterate_until (pair->n_client == 1);
  g_assert_false (io_stream_connection_dequeue_output_entry (pair->client, &entry));
}

/* A state that there is not. */
static void
test_bad_state (StreamPair    *pair,
                gconstpointer  data)
{
  IOStreamPrivate *priv = _io_stream_get_private (pair->stream);

  g_mutex_lock (&priv->lock);
  atomic_store_explicit (&_io_stream_link_at (priv, 0)->own.page->state, 77, memory_order_relaxed);
  g_mutex_unlock (&priv->lock);
  g_assert_cmpint (io_stream_connection_get_state (pair->client), ==, IO_STREAM_STATE_CLOSED);
  stream_util_assert_fails (io_stream_connection_wait (pair->client, -1, NULL, err), IO_STREAM_ERROR_NOT_OPEN);
}

/* --- fork ------------------------------------------------------------------------- */

static void
use_in_child (gpointer data)
{
  StreamPair *pair = data;
  IOStreamConnection *client = pair->client;
  IOStreamBufferQueueEntry entry = { 0, };
  IOStreamBuffer *buffer = io_stream_get_buffer_with_id (pair->stream, 0);
  g_autoptr (GError) error = NULL;

  /* the client */
  g_assert_cmpint (io_stream_connection_get_state (client), ==, IO_STREAM_STATE_CLOSED);
  g_assert_false (io_stream_connection_dequeue_output_entry (client, &entry));
  stream_util_assert_fails (io_stream_connection_wait (client, -1, NULL, err), IO_STREAM_ERROR_NOT_OPEN);
  g_assert_false (io_stream_connection_prepare_wait (client));
  io_stream_connection_finish_wait (client);
  stream_util_assert_fails (io_stream_connection_return_entry (client, &entry, err), IO_STREAM_ERROR_NOT_OPEN);
  stream_util_assert_fails (io_stream_connection_enqueue_input_entry (client, &entry, err), IO_STREAM_ERROR_NOT_OPEN);
  stream_util_assert_fails (io_stream_connection_enqueue_input_buffer (client, 0, 0, 0, 0, 0, err), IO_STREAM_ERROR_NOT_OPEN);
  stream_util_assert_fails (io_stream_connection_send_input_notification (client, 0, err), IO_STREAM_ERROR_NOT_OPEN);
  stream_util_assert_fails (io_stream_connection_start (client, NULL, err), IO_STREAM_ERROR_NOT_OPEN);
  io_stream_connection_set_notify_in_context (client, TRUE);
  io_stream_connection_set_notify_in_context (client, FALSE);
  if (io_stream_connection_get_output_queue (client) != NULL)
    {
      io_stream_buffer_queue_get_head_index (io_stream_connection_get_output_queue (client));
      io_stream_buffer_queue_get_tail_index (io_stream_connection_get_output_queue (client));
      g_assert_false (io_stream_buffer_queue_peek_entry (io_stream_connection_get_output_queue (client), 0, &entry));
    }

  /* the owner */
  g_assert_null (io_stream_acquire_buffer (pair->stream, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN);
  g_assert_false (io_stream_dequeue_input_entry (pair->stream, &entry));
  stream_util_assert_fails (io_stream_send_buffer (pair->stream, buffer, err), IO_STREAM_ERROR_NOT_OPEN);
  stream_util_assert_fails (io_stream_enqueue_output_entry (pair->stream, &entry, err), IO_STREAM_ERROR_NOT_OPEN);
  stream_util_assert_fails (io_stream_wait_buffer (pair->stream, -1, NULL, err), IO_STREAM_ERROR_NOT_OPEN);
  stream_util_assert_fails (io_stream_wait_input (pair->stream, -1, NULL, err), IO_STREAM_ERROR_NOT_OPEN);
  io_stream_send_output_notification (pair->stream, NULL);
  g_assert_cmpint (io_stream_buffer_get_client_reference_count (buffer), ==, 0);

  /* and the end of both */
  io_connection_hang_up (IO_CONNECTION (client));
  g_object_run_dispose (G_OBJECT (client));
  io_service_terminate (IO_SERVICE (pair->stream));
  g_object_run_dispose (G_OBJECT (pair->stream));
}

static void
iterate_in_child (gpointer data)
{
  StreamPair *pair = data;

  for (guint i = 0; i < 10; i++)
    g_main_context_iteration (NULL, FALSE);
  g_assert_cmpint (pair->n_client, ==, 0);
  g_object_unref (pair->client);
}

static void
try_in_child (StreamPair *pair,
              void      (*func) (gpointer data))
{
  StreamPark park;

  stream_util_park (pair->loop, &park);
  run_in_child (func, pair);
  stream_util_go_on (&park);
}

/* Nothing crashes in the child, and the parent goes on. */
static void
test_fork (StreamPair    *pair,
           gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  g_signal_connect (pair->client, "disconnected", G_CALLBACK (disconnected_cb), pair);
  stream_util_send (pair->stream, 1);
  stream_util_send (pair->stream, 2);
  try_in_child (pair, use_in_child);
  try_in_child (pair, iterate_in_child);
  stream_util_take (pair->client, 1, &entry);
  try_in_child (pair, use_in_child);
  stream_util_return (pair->client, &entry);
  stream_util_take (pair->client, 2, &entry);
  stream_util_return (pair->client, &entry);
  stream_util_send (pair->stream, 3);
  stream_util_take (pair->client, 3, &entry);
  stream_util_settle ();
  g_assert_cmpint (pair->n_client, ==, 0);
  g_assert_true (io_connection_is_open (IO_CONNECTION (pair->client)));
}

/* --- finding it -------------------------------------------------------------------- */

static void
test_not_found (void)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (io_stream_connection_open_name ("nobody", NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_assert_null (io_stream_connection_new_for_name ("nobody", NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND);
}

/* A service that is no stream has nothing to open. */
static void
test_not_a_stream (void)
{
  IOWorkLoop *loop = stream_util_new_loop ();
  IOService *service = g_object_new (IO_TYPE_SERVICE, "name", "plain", "work-loop", loop, NULL);
  IOStreamConnection *client = NULL;
  g_autoptr (GError) error = NULL;

  stream_util_assert_works (io_service_register (service, err));
  if (stream_util_is_local ())
    {
      client = g_initable_new (IO_TYPE_STREAM_CONNECTION, NULL, &error, "service", service, NULL);
      g_assert_no_error (error);
      g_assert_false (io_connection_open (IO_CONNECTION (client), 0, NULL, &error));
      g_clear_object (&client);
      stream_util_settle ();
    }
  else
    g_assert_null (io_stream_connection_open_name ("plain", NULL, &error));
  g_assert_nonnull (error);
  g_assert_true (error->domain == IO_STREAM_ERROR);
  io_service_terminate (service);
  stream_util_shut_down (loop);
  g_assert_finalize_object (service);
  stream_util_finish_loop (loop);
}

int
main (int   argc,
      char *argv[])
{
  char *dir;
  int status;

  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();

#define ADD_DATA(path, data, set_up, func) g_test_add ("/stream-connection/" path, StreamPair, data, set_up, func, tear_down)
#define ADD(path, set_up, func) ADD_DATA (path, NULL, set_up, func)
  ADD ("wait/errors", set_up, test_wait_errors);
  ADD ("wait/wakes", set_up_running, test_wait_wakes);
  ADD ("wait/stopped", set_up_running, test_wait_stopped);
  ADD ("wait/suspended", set_up_running, test_wait_suspended);
  ADD ("wait/terminated", set_up_running, test_wait_terminated);
  ADD ("wait/thrown-out", set_up_running, test_wait_thrown_out);
  ADD ("wait/closed", set_up_running, test_wait_closed);
  ADD_DATA ("last-entries/clean", GINT_TO_POINTER (0), set_up_running, test_last_entries);
  ADD_DATA ("last-entries/thrown-out", GINT_TO_POINTER (1), set_up_running, test_last_entries);
  ADD ("poll/entries", set_up_running, test_poll);
  ADD ("poll/state", set_up_running, test_poll_state);
  ADD ("not-open", set_up, test_not_open);
  ADD ("queues", set_up_running, test_queues);
  ADD ("context/signal", set_up_running, test_signal);
  ADD ("context/callback", set_up_running, test_callback);
  ADD ("context/callback-hangs-up", set_up_running, test_callback_hangs_up);
  ADD ("context/slow-handlers", set_up_running, test_slow_handlers);
  ADD ("context/switching", set_up_running, test_switching);
  ADD ("context/source", set_up_running, test_source);
  ADD ("context/subclass", set_up, test_subclass);
  ADD_DATA ("disconnected/clean", GINT_TO_POINTER (0), set_up_running, test_disconnected);
  ADD_DATA ("disconnected/reason", GINT_TO_POINTER (1), set_up_running, test_disconnected);
  for (guint i = 0; i < 8; i++)
    {
      g_autofree char *path = g_strdup_printf ("/stream-connection/end-in-handler/%u", i);

      g_test_add (path, StreamPair, GUINT_TO_POINTER (i), set_up_running, test_end_in_handler, tear_down);
    }
  ADD_DATA ("end-in-notify/close", GINT_TO_POINTER (0), set_up, test_end_in_notify);
  ADD_DATA ("end-in-notify/hang-up", GINT_TO_POINTER (1), set_up, test_end_in_notify);
  ADD ("end-in-first-open", set_up, test_end_in_first_open);
  ADD_DATA ("end-in-open/state", "notify::state", set_up, test_end_in_open);
  ADD_DATA ("end-in-open/buffer-count", "notify::buffer-count", set_up, test_end_in_open);
  for (int i = 0; i < 5; i++)
    {
      g_autofree char *path = g_strdup_printf ("/stream-connection/violation/%d", i);

      g_test_add (path, StreamPair, GINT_TO_POINTER (i), set_up_running, test_violation, tear_down);
    }
  ADD ("bad-state", set_up_running, test_bad_state);
  ADD ("fork", set_up_running, test_fork);
  g_test_add_func ("/stream-connection/not-found", test_not_found);
  g_test_add_func ("/stream-connection/not-a-stream", test_not_a_stream);

  status = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return status;
}
