/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "stream-subclass.h"

#include "libiostream/io-stream-connection-private.h"

static void
set_up_output (StreamPair    *pair,
               gconstpointer  data)
{
  test_stream_set_up (pair, IO_STREAM_MODE_OUTPUT);
}

static void
set_up_input (StreamPair    *pair,
              gconstpointer  data)
{
  test_stream_set_up (pair, IO_STREAM_MODE_INPUT);
}

static void
set_up_input_output (StreamPair    *pair,
                     gconstpointer  data)
{
  test_stream_set_up (pair, IO_STREAM_MODE_INPUT_OUTPUT);
}

static void
tear_down (StreamPair    *pair,
           gconstpointer  data)
{
  stream_util_tear_down (pair);
}

static TestStream *
owner (StreamPair *pair)
{
  return (TestStream *) pair->stream;
}

static void
count_cb (GObject    *object,
          GParamSpec *pspec,
          int        *count)
{
  g_atomic_int_inc (count);
}

static void
assert_states (StreamPair    *pair,
               IOStreamState  state)
{
  IOStreamState in_owner, in_client;

  g_object_get (pair->stream, "state", &in_owner, NULL);
  g_object_get (pair->client, "state", &in_client, NULL);
  g_assert_cmpint (in_owner, ==, state);
  g_assert_cmpint (in_client, ==, state);
}

static void
assert_attribute (StreamPair *pair,
                  const char *key,
                  const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) attributes = io_connection_copy_attributes (IO_CONNECTION (pair->client), NULL, &error);
  g_autoptr (GVariant) value = NULL;
  g_autofree char *printed = NULL;

  g_assert_no_error (error);
  value = g_variant_lookup_value (attributes, key, NULL);
  g_assert_nonnull (value);
  printed = g_variant_print (value, FALSE);
  g_assert_cmpstr (printed, ==, text);
}

static void
test_properties (StreamPair    *pair,
                 gconstpointer  data)
{
  IOStreamMode mode;
  IOStreamPeerAccess access;
  guint count, queue_length, held;
  guint64 data_size, control_size, received, lost;
  gboolean timestamps, notify_in_context;

  g_object_get (pair->stream, "mode", &mode, "buffer-count", &count, "data-size", &data_size,
                "control-size", &control_size, "queue-length", &queue_length,
                "peer-access", &access, "timestamps", &timestamps, NULL);
  g_assert_cmpint (mode, ==, IO_STREAM_MODE_OUTPUT);
  g_assert_cmpuint (count, ==, 4);
  g_assert_cmpuint (data_size, ==, 10000);
  g_assert_cmpuint (control_size, ==, 64);
  g_assert_cmpuint (queue_length, ==, 0);
  g_assert_cmpint (access, ==, IO_STREAM_PEER_ACCESS_READ);
  g_assert_false (timestamps);

  g_object_get (pair->client, "mode", &mode, "buffer-count", &count, "notify-in-context", &notify_in_context,
                "held", &held, "received", &received, "lost", &lost, NULL);
  g_assert_cmpint (mode, ==, IO_STREAM_MODE_OUTPUT);
  g_assert_cmpuint (count, ==, 4);
  g_assert_true (notify_in_context);
  g_assert_cmpuint (held, ==, 0);
  g_assert_cmpuint (received, ==, 0);
  g_assert_cmpuint (lost, ==, 0);
  assert_states (pair, IO_STREAM_STATE_STOPPED);
}

static void
test_attributes (StreamPair    *pair,
                 gconstpointer  data)
{
  assert_attribute (pair, "mode", "'output'");
  assert_attribute (pair, "data-size", "10000");
  assert_attribute (pair, "control-size", "64");
  assert_attribute (pair, "buffer-count", "4");
  assert_attribute (pair, "state", "'stopped'");
  stream_util_start (pair->client);
  assert_attribute (pair, "state", "'running'");
  stream_util_close (pair->client);
  assert_attribute (pair, "state", "'closed'");
}

/* Once around, from the client. */
static void
test_states (StreamPair    *pair,
             gconstpointer  data)
{
  TestStream *self = owner (pair);

  g_signal_connect (self, "notify::state", G_CALLBACK (count_cb), &pair->n_owner);
  g_signal_connect (pair->client, "notify::state", G_CALLBACK (count_cb), &pair->n_client);

  stream_util_assert_fails (io_stream_connection_suspend (pair->client, NULL, err), IO_STREAM_ERROR_NOT_READY);
  stream_util_assert_works (io_stream_connection_stop (pair->client, NULL, err));
  g_assert_cmpint (g_atomic_int_get (&pair->n_owner), ==, 0);

  stream_util_start (pair->client);
  stream_util_start (pair->client);
  assert_states (pair, IO_STREAM_STATE_RUNNING);
  g_assert_cmpint (g_atomic_int_get (&self->n_start), ==, 1);
  g_assert_cmpint (g_atomic_int_get (&pair->n_owner), ==, 1);
  stream_util_iterate_until (pair->n_client == 1);

  stream_util_assert_works (io_stream_connection_suspend (pair->client, NULL, err));
  stream_util_assert_works (io_stream_connection_suspend (pair->client, NULL, err));
  assert_states (pair, IO_STREAM_STATE_SUSPENDED);
  g_assert_cmpint (g_atomic_int_get (&self->n_suspend), ==, 1);
  stream_util_iterate_until (pair->n_client == 2);

  stream_util_start (pair->client);
  assert_states (pair, IO_STREAM_STATE_RUNNING);
  g_assert_cmpint (g_atomic_int_get (&self->n_start), ==, 2);

  stream_util_assert_works (io_stream_connection_stop (pair->client, NULL, err));
  stream_util_assert_works (io_stream_connection_stop (pair->client, NULL, err));
  assert_states (pair, IO_STREAM_STATE_STOPPED);
  g_assert_cmpint (g_atomic_int_get (&self->n_stop), ==, 1);

  stream_util_start (pair->client);
  stream_util_assert_works (io_stream_connection_suspend (pair->client, NULL, err));
  stream_util_assert_works (io_stream_connection_stop (pair->client, NULL, err));
  g_assert_cmpint (g_atomic_int_get (&self->n_stop), ==, 2);
  g_assert_cmpint (g_atomic_int_get (&pair->n_owner), ==, 7);

  /* A stream that nobody has open is stopped. */
  stream_util_start (pair->client);
  stream_util_close (pair->client);
  g_assert_cmpint (g_atomic_int_get (&self->n_stop), ==, 3);
  assert_states (pair, IO_STREAM_STATE_CLOSED);
}

/* The owner steers too, from any thread. */
static void
test_states_by_owner (StreamPair    *pair,
                      gconstpointer  data)
{
  g_signal_connect (pair->client, "notify::state", G_CALLBACK (count_cb), &pair->n_client);
  stream_util_assert_works (io_stream_start (pair->stream, err));
  assert_states (pair, IO_STREAM_STATE_RUNNING);
  stream_util_iterate_until (pair->n_client == 1);
  stream_util_assert_works (io_stream_suspend (pair->stream, err));
  assert_states (pair, IO_STREAM_STATE_SUSPENDED);
  stream_util_iterate_until (pair->n_client == 2);
  stream_util_assert_works (io_stream_stop (pair->stream, err));
  assert_states (pair, IO_STREAM_STATE_STOPPED);
  stream_util_iterate_until (pair->n_client == 3);

  stream_util_close (pair->client);
  stream_util_assert_fails (io_stream_start (pair->stream, err), IO_STREAM_ERROR_NOT_OPEN);
  stream_util_assert_fails (io_stream_stop (pair->stream, err), IO_STREAM_ERROR_NOT_OPEN);
  stream_util_assert_fails (io_stream_suspend (pair->stream, err), IO_STREAM_ERROR_NOT_OPEN);
  stream_util_assert_fails (io_stream_connection_start (pair->client, NULL, err), IO_STREAM_ERROR_NOT_OPEN);
  stream_util_assert_fails (io_stream_connection_stop (pair->client, NULL, err), IO_STREAM_ERROR_NOT_OPEN);
  stream_util_assert_fails (io_stream_connection_suspend (pair->client, NULL, err), IO_STREAM_ERROR_NOT_OPEN);
  stream_util_assert_fails (io_stream_connection_set_mode (pair->client, IO_STREAM_MODE_INPUT, NULL, err),
                            IO_STREAM_ERROR_NOT_OPEN);
  g_assert_cmpint (g_atomic_int_get (&owner (pair)->n_start), ==, 1);
}

static void
test_loop_is_shut_down (StreamPair    *pair,
                        gconstpointer  data)
{
  stream_util_skip_if_local ("no work loop");
  stream_util_shut_down (pair->loop);
  stream_util_assert_fails (io_stream_start (pair->stream, err), IO_STREAM_ERROR_NOT_OPEN);
}

static void
send_two_hook (TestStream    *self,
               IOStreamState  target)
{
  if (target != IO_STREAM_STATE_RUNNING)
    return;

  stream_util_send (IO_STREAM (self), 1);
  stream_util_send (IO_STREAM (self), 2);
}

static void
test_send_in_start (StreamPair    *pair,
                    gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  owner (pair)->hook = send_two_hook;
  stream_util_start (pair->client);
  stream_util_take (pair->client, 1, &entry);
  stream_util_take (pair->client, 2, &entry);
}

/* The state is put back, and what was sent inside stays lent until it comes
 * back. */
static void
test_start_fails (StreamPair    *pair,
                  gconstpointer  data)
{
  const int codes[] = { IO_STREAM_ERROR_DEVICE_ERROR, IO_STREAM_ERROR_FAILED, IO_STREAM_ERROR_FAILED };
  const char *texts[] = { "the lamp is broken", "the lamp is lost", "TestStream" };
  TestStream *self = owner (pair);
  IOStreamBufferQueueEntry entry;

  g_signal_connect (self, "notify::state", G_CALLBACK (count_cb), &pair->n_owner);
  for (guint i = 0; i < G_N_ELEMENTS (codes); i++)
    {
      g_autoptr (GError) error = NULL;

      self->result = DO_FAIL + i;
      self->hook = i == 0 ? send_two_hook : NULL;
      g_assert_false (io_stream_connection_start (pair->client, NULL, &error));
      g_assert_error (error, IO_STREAM_ERROR, codes[i]);
      g_assert_nonnull (strstr (error->message, texts[i]));
      assert_states (pair, IO_STREAM_STATE_STOPPED);
    }
  g_assert_cmpint (g_atomic_int_get (&pair->n_owner), ==, 0);
  g_assert_cmpint (g_atomic_int_get (&self->n_start), ==, 3);

  g_assert_true (io_stream_connection_dequeue_output_entry (pair->client, &entry));
  g_assert_cmpint (io_stream_buffer_get_client_reference_count (io_stream_get_buffer_with_id (pair->stream, entry.buffer_id)), ==, 1);
  stream_util_return (pair->client, &entry);
  g_assert_cmpint (io_stream_buffer_get_client_reference_count (io_stream_get_buffer_with_id (pair->stream, entry.buffer_id)), ==, 0);

  self->result = DO_SUCCEED;
  stream_util_start (pair->client);
  assert_states (pair, IO_STREAM_STATE_RUNNING);
}

static void
test_stop_fails (StreamPair    *pair,
                 gconstpointer  data)
{
  TestStream *self = owner (pair);

  stream_util_start (pair->client);
  self->result = DO_FAIL;
  stream_util_assert_fails (io_stream_connection_suspend (pair->client, NULL, err), IO_STREAM_ERROR_DEVICE_ERROR);
  assert_states (pair, IO_STREAM_STATE_RUNNING);
  stream_util_assert_fails (io_stream_connection_stop (pair->client, NULL, err), IO_STREAM_ERROR_DEVICE_ERROR);
  assert_states (pair, IO_STREAM_STATE_RUNNING);
  stream_util_send (pair->stream, 1);

  /* but a client that leaves is not held back */
  stream_util_close (pair->client);
  assert_states (pair, IO_STREAM_STATE_CLOSED);
  g_assert_cmpint (g_atomic_int_get (&self->n_stop), ==, 2);
}

static void
busy_hook (TestStream    *self,
           IOStreamState  target)
{
  IOStream *stream = IO_STREAM (self);

  stream_util_assert_fails (io_stream_start (stream, err), IO_STREAM_ERROR_BUSY);
  stream_util_assert_fails (io_stream_stop (stream, err), IO_STREAM_ERROR_BUSY);
  stream_util_assert_fails (io_stream_suspend (stream, err), IO_STREAM_ERROR_BUSY);
  g_assert_cmpint (io_stream_get_state (stream), ==, target);
}

static void
test_busy (StreamPair    *pair,
           gconstpointer  data)
{
  owner (pair)->hook = busy_hook;
  stream_util_start (pair->client);
  stream_util_assert_works (io_stream_connection_suspend (pair->client, NULL, err));
  stream_util_assert_works (io_stream_connection_stop (pair->client, NULL, err));
  stream_util_start (pair->client);
  stream_util_close (pair->client);
}

static void
terminated_cb (IOService     *service,
               StreamCounter *terminated)
{
  stream_counter_add (terminated);
}

static void
terminate_hook (TestStream    *self,
                IOStreamState  target)
{
  if (target == (IOStreamState) GPOINTER_TO_INT (self->hook_data))
    io_service_terminate (IO_SERVICE (self));
}

/* The owner ends it all in the middle of a method. A start that succeeded is
 * followed by a stop. */
static void
test_terminate_in_method (StreamPair    *pair,
                          gconstpointer  data)
{
  TestStream *self = owner (pair);
  IOStreamState state = GPOINTER_TO_INT (data);
  g_autoptr (GError) error = NULL;

  g_signal_connect (pair->stream, "terminated", G_CALLBACK (terminated_cb), &pair->terminated);
  self->hook = terminate_hook;
  self->hook_data = GINT_TO_POINTER (state);
  if (state != IO_STREAM_STATE_RUNNING)
    stream_util_start (pair->client);

  if (state == IO_STREAM_STATE_RUNNING)
    g_assert_false (io_stream_connection_start (pair->client, NULL, &error));
  else if (state == IO_STREAM_STATE_STOPPED)
    g_assert_false (io_stream_connection_stop (pair->client, NULL, &error));
  else
    g_assert_false (io_stream_connection_suspend (pair->client, NULL, &error));
  g_assert_nonnull (error);
  g_assert_true (error->domain == IO_STREAM_ERROR);

  stream_util_iterate_until (!io_connection_is_connected (IO_CONNECTION (pair->client)));
  stream_counter_wait (&pair->terminated, 1);
  assert_states (pair, IO_STREAM_STATE_CLOSED);
  g_assert_true (io_service_is_inactive (IO_SERVICE (self)));
  g_assert_cmpint (g_atomic_int_get (&self->n_start), ==, 1);
  stream_util_iterate_until (g_atomic_int_get (&self->n_stop) == 1);
}

static void
terminate_notify_cb (IOStream   *stream,
                     GParamSpec *pspec,
                     gpointer    data)
{
  if (io_stream_get_state (stream) == (IOStreamState) GPOINTER_TO_INT (data))
    io_service_terminate (IO_SERVICE (stream));
}

static void
test_terminate_in_notify (StreamPair    *pair,
                          gconstpointer  data)
{
  IOStreamState state = GPOINTER_TO_INT (data);

  g_signal_connect (pair->stream, "terminated", G_CALLBACK (terminated_cb), &pair->terminated);
  g_signal_connect (pair->stream, "notify::state", G_CALLBACK (terminate_notify_cb), GINT_TO_POINTER (state));
  io_stream_connection_start (pair->client, NULL, NULL);
  io_stream_connection_suspend (pair->client, NULL, NULL);
  io_stream_connection_stop (pair->client, NULL, NULL);
  io_connection_close (IO_CONNECTION (pair->client), NULL, NULL);
  stream_util_iterate_until (!io_connection_is_connected (IO_CONNECTION (pair->client)));
  stream_counter_wait (&pair->terminated, 1);
  assert_states (pair, IO_STREAM_STATE_CLOSED);
  g_assert_cmpint (g_atomic_int_get (&owner (pair)->n_start), ==, 1);
  g_assert_cmpint (g_atomic_int_get (&owner (pair)->n_stop), ==, 1);
}

static void
terminate_client_cb (IOService    *service,
                     IOUserClient *client,
                     gpointer      data)
{
  io_service_terminate (service);
}

static void
test_terminate_in_opened (StreamPair    *pair,
                          gconstpointer  data)
{
  g_signal_connect (pair->stream, "terminated", G_CALLBACK (terminated_cb), &pair->terminated);
  stream_util_close (pair->client);
  g_signal_connect (pair->stream, data, G_CALLBACK (terminate_client_cb), NULL);
  if (g_str_equal (data, "client-opened"))
    g_assert_false (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, NULL));
  else
    {
      stream_util_assert_works (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err));
      stream_util_start (pair->client);
      io_connection_close (IO_CONNECTION (pair->client), NULL, NULL);
    }
  stream_util_iterate_until (!io_connection_is_connected (IO_CONNECTION (pair->client)));
  stream_counter_wait (&pair->terminated, 1);
  assert_states (pair, IO_STREAM_STATE_CLOSED);
}

static void
terminate_input_cb (IOStream *stream,
                    guint     token,
                    gpointer  data)
{
  io_service_terminate (IO_SERVICE (stream));
}

static void
test_terminate_in_input (StreamPair    *pair,
                         gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  g_signal_connect (pair->stream, "terminated", G_CALLBACK (terminated_cb), &pair->terminated);
  g_signal_connect (pair->stream, "input", G_CALLBACK (terminate_input_cb), NULL);
  stream_util_start (pair->client);
  stream_util_send (pair->stream, 1);
  stream_util_take (pair->client, 1, &entry);
  stream_util_return (pair->client, &entry);
  stream_util_iterate_until (!io_connection_is_connected (IO_CONNECTION (pair->client)));
  stream_counter_wait (&pair->terminated, 1);
  assert_states (pair, IO_STREAM_STATE_CLOSED);
  g_assert_cmpint (g_atomic_int_get (&owner (pair)->n_stop), ==, 1);
}

/* The registration is the last reference, and goes inside. */
/* The owner that began it hears of it. */
static void
test_abort_in_method (StreamPair    *pair,
                      gconstpointer  data)
{
  owner (pair)->hook = terminate_hook;
  owner (pair)->hook_data = GINT_TO_POINTER (IO_STREAM_STATE_RUNNING);
  stream_util_assert_fails (io_stream_start (pair->stream, err), IO_STREAM_ERROR_ABORTED);
  g_assert_cmpint (io_stream_get_state (pair->stream), ==, IO_STREAM_STATE_CLOSED);
  g_assert_cmpint (owner (pair)->n_stop, ==, 1);
}

static void
unref_hook (TestStream    *self,
            IOStreamState  target)
{
  if (target != IO_STREAM_STATE_RUNNING)
    return;

  io_service_terminate (IO_SERVICE (self));
}

static void
gone_cb (gpointer  data,
         GObject  *where)
{
  stream_counter_add (data);
}

static void
test_last_unref_in_method (StreamPair    *pair,
                           gconstpointer  data)
{
  StreamCounter gone = { 0, };

  owner (pair)->hook = unref_hook;
  g_object_weak_ref (G_OBJECT (pair->stream), gone_cb, &gone);
  g_clear_object (&pair->stream);
  g_assert_false (io_stream_connection_start (pair->client, NULL, NULL));
  stream_counter_wait (&gone, 1);
  stream_util_shut_down (pair->loop);
}

/* --- modes --------------------------------------------------------------- */

static void
test_mode_read_only (StreamPair    *pair,
                     gconstpointer  data)
{
  g_signal_connect (pair->stream, "notify::mode", G_CALLBACK (count_cb), &pair->n_owner);
  stream_util_assert_works (io_stream_set_mode (pair->stream, IO_STREAM_MODE_OUTPUT, err));
  stream_util_assert_fails (io_stream_set_mode (pair->stream, IO_STREAM_MODE_INPUT, err), IO_STREAM_ERROR_UNSUPPORTED_MODE);
  stream_util_assert_fails (io_stream_set_mode (pair->stream, IO_STREAM_MODE_INPUT_OUTPUT, err),
                            IO_STREAM_ERROR_UNSUPPORTED_MODE);
  stream_util_assert_fails (io_stream_connection_set_mode (pair->client, IO_STREAM_MODE_INPUT, NULL, err),
                            IO_STREAM_ERROR_UNSUPPORTED_MODE);
  stream_util_close (pair->client);
  stream_util_assert_fails (io_stream_set_mode (pair->stream, IO_STREAM_MODE_INPUT, err), IO_STREAM_ERROR_UNSUPPORTED_MODE);
  g_assert_cmpint (pair->n_owner, ==, 0);
  g_assert_cmpint (owner (pair)->n_set_mode, ==, 0);
}

static void
test_mode_while_open (StreamPair    *pair,
                      gconstpointer  data)
{
  g_signal_connect (pair->stream, "notify::mode", G_CALLBACK (count_cb), &pair->n_owner);
  g_signal_connect (pair->client, "notify::mode", G_CALLBACK (count_cb), &pair->n_client);
  g_assert_cmpint (io_stream_connection_get_mode (pair->client), ==, IO_STREAM_MODE_INPUT);
  stream_util_assert_fails (io_stream_set_mode (pair->stream, IO_STREAM_MODE_OUTPUT, err), IO_STREAM_ERROR_STILL_OPEN);
  stream_util_assert_fails (io_stream_connection_set_mode (pair->client, IO_STREAM_MODE_OUTPUT, NULL, err),
                            IO_STREAM_ERROR_STILL_OPEN);
  stream_util_assert_works (io_stream_connection_set_mode (pair->client, IO_STREAM_MODE_INPUT, NULL, err));

  stream_util_close (pair->client);
  g_assert_cmpint (pair->n_owner, ==, 0);
  stream_util_assert_works (io_stream_set_mode (pair->stream, IO_STREAM_MODE_INPUT_OUTPUT, err));
  g_assert_cmpint (pair->n_owner, ==, 1);
  g_assert_cmpint (pair->n_client, ==, 0);
  assert_attribute (pair, "mode", "'input-output'");

  stream_util_assert_works (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err));
  g_assert_cmpint (io_stream_connection_get_mode (pair->client), ==, IO_STREAM_MODE_INPUT_OUTPUT);
  g_assert_cmpint (pair->n_client, ==, 1);
}

/* A class that lets it. */
static void
test_mode_by_class (StreamPair    *pair,
                    gconstpointer  data)
{
  TestStream *self = owner (pair);

  g_signal_connect (pair->client, "notify::mode", G_CALLBACK (count_cb), &pair->n_client);
  self->lets_mode_change = TRUE;
  stream_util_start (pair->client);
  stream_util_assert_works (io_stream_connection_set_mode (pair->client, IO_STREAM_MODE_OUTPUT, NULL, err));
  g_assert_cmpint (io_stream_get_mode (pair->stream), ==, IO_STREAM_MODE_OUTPUT);
  g_assert_cmpint (io_stream_connection_get_mode (pair->client), ==, IO_STREAM_MODE_OUTPUT);
  g_assert_cmpint (pair->n_client, ==, 1);
  assert_attribute (pair, "mode", "'output'");
  assert_attribute (pair, "state", "'running'");
  assert_attribute (pair, "buffer-count", "4");

  self->result = DO_FAIL;
  stream_util_assert_fails (io_stream_connection_set_mode (pair->client, IO_STREAM_MODE_INPUT, NULL, err),
                            IO_STREAM_ERROR_DEVICE_ERROR);
  self->result = DO_FAIL_SILENTLY;
  stream_util_assert_fails (io_stream_set_mode (pair->stream, IO_STREAM_MODE_INPUT, err), IO_STREAM_ERROR_FAILED);
  g_assert_cmpint (io_stream_get_mode (pair->stream), ==, IO_STREAM_MODE_OUTPUT);
  g_assert_cmpint (io_stream_connection_get_mode (pair->client), ==, IO_STREAM_MODE_OUTPUT);
  self->result = DO_SUCCEED;
  stream_util_assert_works (io_stream_set_mode (pair->stream, IO_STREAM_MODE_INPUT, err));
}

/* What a client may say that the API would not. */
static void
test_mode_unknown (StreamPair    *pair,
                   gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (_io_connection_call (IO_CONNECTION (pair->client), IO_OPCODE_SET_MODE,
                                      g_variant_new ("(u)", 3u), NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
}

/* --- opening ------------------------------------------------------------- */

static void
test_exclusive (StreamPair    *pair,
                gconstpointer  data)
{
  g_autoptr (IOStreamConnection) second = NULL;
  g_autoptr (GError) error = NULL;

  if (stream_util_is_local ())
    g_assert_null (io_stream_connection_open_stream (pair->stream, &error));
  else
    g_assert_null (io_stream_connection_open_name ("test", NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  g_clear_error (&error);

  second = stream_util_connect (pair->stream, &error);
  g_assert_no_error (error);
  stream_util_assert_fails (io_connection_open (IO_CONNECTION (second), IO_STREAM_OPEN_EXCLUSIVE, NULL, err),
                            IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  stream_util_assert_fails (io_connection_open (IO_CONNECTION (second), IO_STREAM_OPEN_SHARED, NULL, err),
                            IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  stream_util_assert_fails (io_connection_open (IO_CONNECTION (second),
                                                IO_STREAM_OPEN_EXCLUSIVE | IO_STREAM_OPEN_SHARED, NULL, err),
                            IO_STREAM_ERROR_BAD_ARGUMENT);
  stream_util_assert_fails (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err), IO_STREAM_ERROR_STILL_OPEN);

  /* It may look on, but not steer. */
  stream_util_assert_fails (io_stream_connection_start (second, NULL, err), IO_STREAM_ERROR_NOT_OPEN);
  g_assert_null (_io_connection_call (IO_CONNECTION (second), IO_OPCODE_GET_BUFFERS,
                                      g_variant_new ("(u)", 0u), NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN);
  g_clear_error (&error);
  g_assert_null (_io_connection_call (IO_CONNECTION (second), IO_OPCODE_GET_MEMORY,
                                      g_variant_new ("(u)", 0x30000000u), NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN);
  g_clear_error (&error);

  stream_util_close (pair->client);
  stream_util_assert_works (io_connection_open (IO_CONNECTION (second), IO_STREAM_OPEN_EXCLUSIVE, NULL, err));
  stream_util_start (second);
  stream_util_assert_fails (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err),
                            IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  stream_util_close (second);
  stream_util_assert_works (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err));
}

static void
test_shared (StreamPair    *pair,
             gconstpointer  data)
{
  stream_util_close (pair->client);
  stream_util_assert_works (io_connection_open (IO_CONNECTION (pair->client), IO_STREAM_OPEN_SHARED, NULL, err));
  stream_util_close (pair->client);
  stream_util_assert_fails (io_connection_open (IO_CONNECTION (pair->client),
                                                IO_STREAM_OPEN_EXCLUSIVE | IO_STREAM_OPEN_SHARED, NULL, err),
                            IO_STREAM_ERROR_BAD_ARGUMENT);
  g_assert_false (io_service_is_open (IO_SERVICE (pair->stream), NULL));
  stream_util_assert_works (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err));
}

static void
test_open_refused (StreamPair    *pair,
                   gconstpointer  data)
{
  TestStream *self = owner (pair);

  stream_util_close (pair->client);
  self->refuses_open = TRUE;
  stream_util_assert_fails (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err), IO_STREAM_ERROR_NOT_READY);
  self->refuses_open = FALSE;
  self->keeps_open = TRUE;
  stream_util_assert_fails (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err), IO_STREAM_ERROR_FAILED);
  self->keeps_open = FALSE;
  stream_util_assert_works (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err));
}

/* Calls in an order in which no honest client makes them. */
static void
test_calls_out_of_order (StreamPair    *pair,
                         gconstpointer  data)
{
  struct { IOOpcode opcode; const char *args; int code; } calls[] = {
    { IO_OPCODE_READY, "()", IO_STREAM_ERROR_STILL_OPEN },
    { IO_OPCODE_GET_MEMORY, "(uint32 0x30000004,)", IO_STREAM_ERROR_NOT_FOUND },
    { IO_OPCODE_GET_MEMORY, "(uint32 0x10000000,)", IO_STREAM_ERROR_NOT_FOUND },
    { IO_OPCODE_GET_MEMORY, "(uint32 0xffffffff,)", IO_STREAM_ERROR_NOT_FOUND },
    { IO_OPCODE_OPEN, "(uint32 0, @a{sv} {})", IO_STREAM_ERROR_STILL_OPEN },
  };
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (calls); i++)
    {
      g_autoptr (GError) local_error = NULL;

      g_assert_null (_io_connection_call (IO_CONNECTION (pair->client), calls[i].opcode,
                                          g_variant_new_parsed (calls[i].args), NULL, &local_error));
      if (calls[i].opcode == IO_OPCODE_OPEN)
        g_assert_true (g_error_matches (local_error, IO_STREAM_ERROR, IO_STREAM_ERROR_STILL_OPEN) ||
                       g_error_matches (local_error, IO_STREAM_ERROR, IO_STREAM_ERROR_EXCLUSIVE_ACCESS));
      else
        g_assert_error (local_error, IO_STREAM_ERROR, calls[i].code);
    }

  answer = _io_connection_call (IO_CONNECTION (pair->client), IO_OPCODE_GET_BUFFERS,
                                g_variant_new ("(u)", G_MAXUINT32), NULL, &error);
  g_assert_no_error (error);
  g_clear_pointer (&answer, g_variant_unref);
  answer = _io_connection_call (IO_CONNECTION (pair->client), IO_OPCODE_GET_BUFFER_COUNT,
                                g_variant_new ("()"), NULL, &error);
  g_assert_no_error (error);
  g_clear_pointer (&answer, g_variant_unref);
  answer = _io_connection_call (IO_CONNECTION (pair->client), IO_OPCODE_GET_MODE,
                                g_variant_new ("()"), NULL, &error);
  g_assert_no_error (error);
  stream_util_start (pair->client);
}

static gboolean
limit_cb (IOService    *service,
          IOUserClient *client,
          const guint  *max_buffers)
{
  io_user_client_set_limits (client, max_buffers[0], max_buffers[1]);
  g_assert_true (IO_IS_STREAM_USER_CLIENT (client));

  return TRUE;
}

static IOStreamConnection *
connect_again (StreamPair *pair)
{
  g_autoptr (GError) error = NULL;
  IOStreamConnection *client;

  io_connection_hang_up (IO_CONNECTION (pair->client));
  g_assert_finalize_object (g_steal_pointer (&pair->client));
  client = stream_util_connect (pair->stream, &error);
  g_assert_no_error (error);
  pair->client = client;

  return client;
}

static gboolean
open_when_free (IOStreamConnection  *client,
                GError             **error)
{
  /* The one before it may not be gone yet. */
  for (;;)
    {
      g_clear_error (error);
      if (io_connection_open (IO_CONNECTION (client), 0, NULL, error))
        return TRUE;
      if (!g_error_matches (*error, IO_STREAM_ERROR, IO_STREAM_ERROR_EXCLUSIVE_ACCESS))
        return FALSE;
      g_thread_yield ();
    }
}

static void
test_limit_buffers (StreamPair    *pair,
                    gconstpointer  data)
{
  guint limits[] = { 2, 1000000 };

  g_signal_connect (pair->stream, "authorize", G_CALLBACK (limit_cb), limits);
  stream_util_assert_works (open_when_free (connect_again (pair), err));
  stream_util_start (pair->client);
  stream_util_send (pair->stream, 1);
  stream_util_send (pair->stream, 2);
  stream_util_assert_fails (io_stream_send_buffer (pair->stream, io_stream_acquire_buffer (pair->stream, NULL), err),
                            IO_STREAM_ERROR_OVERRUN);
}

/* Two regions, and the buffers where they are made for each client. */
static void
test_limit_bytes (StreamPair    *pair,
                  gconstpointer  data)
{
  guint limits[] = { 4, 2 * (4096 + 4 * 32) - 1 };

  g_signal_connect (pair->stream, "authorize", G_CALLBACK (limit_cb), limits);
  stream_util_assert_fails (open_when_free (connect_again (pair), err), IO_STREAM_ERROR_NO_RESOURCES);
  limits[1]++;
  if (io_stream_get_mode (pair->stream) == IO_STREAM_MODE_OUTPUT)
    stream_util_assert_works (open_when_free (connect_again (pair), err));
  else
    stream_util_assert_fails (open_when_free (connect_again (pair), err), IO_STREAM_ERROR_NO_RESOURCES);
  limits[1] = 1000000;
  stream_util_assert_works (open_when_free (connect_again (pair), err));
}

static gboolean
read_only_cb (IOService    *service,
              IOUserClient *client,
              gpointer      data)
{
  io_user_client_set_read_only (client, TRUE);

  return TRUE;
}

static void
test_read_only_client (StreamPair    *pair,
                       gconstpointer  data)
{
  g_signal_connect (pair->stream, "authorize", G_CALLBACK (read_only_cb), NULL);
  if (io_stream_get_mode (pair->stream) == IO_STREAM_MODE_OUTPUT)
    stream_util_assert_works (open_when_free (connect_again (pair), err));
  else
    stream_util_assert_fails (open_when_free (connect_again (pair), err), IO_STREAM_ERROR_NOT_PERMITTED);
}

/* --- the end of a client ------------------------------------------------- */

static void
opened_cb (IOService    *service,
           IOUserClient *client,
           StreamPair   *pair)
{
  stream_counter_add (&pair->opened);
}

static void
closed_cb (IOService    *service,
           IOUserClient *client,
           StreamPair   *pair)
{
  g_assert_false (io_stream_user_client_is_running (IO_STREAM_USER_CLIENT (client)));
  g_assert_cmpuint (io_stream_user_client_get_held (IO_STREAM_USER_CLIENT (client)), ==, 0);
  stream_counter_add (&pair->closed);
}

static void
died_cb (IOService    *service,
         IOUserClient *client,
         StreamPair   *pair)
{
  stream_counter_add (&pair->died);
}

static void
watch_clients (StreamPair *pair)
{
  g_signal_connect (pair->stream, "client-opened", G_CALLBACK (opened_cb), pair);
  g_signal_connect (pair->stream, "client-closed", G_CALLBACK (closed_cb), pair);
  g_signal_connect (pair->stream, "client-died", G_CALLBACK (died_cb), pair);
}

/* It goes without a word; what it held is free, and the stream is stopped. */
static void
test_client_dies (StreamPair    *pair,
                  gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  watch_clients (pair);
  stream_util_start (pair->client);
  for (guint i = 0; i < 4; i++)
    stream_util_send (pair->stream, 1);
  stream_util_take (pair->client, 1, &entry);

  io_connection_hang_up (IO_CONNECTION (pair->client));
  g_assert_cmpuint (io_stream_connection_get_held (pair->client), ==, 0);
  stream_counter_wait (&pair->closed, 1);
  g_assert_cmpuint (stream_counter_get (&pair->died), ==, 1);
  g_assert_cmpint (io_stream_get_state (pair->stream), ==, IO_STREAM_STATE_CLOSED);
  g_assert_cmpint (g_atomic_int_get (&owner (pair)->n_stop), ==, 1);
  for (guint i = 0; i < 4; i++)
    g_assert_nonnull (io_stream_acquire_buffer (pair->stream, NULL));
}

/* It returns what cannot be. */
static void
test_violation (StreamPair    *pair,
                gconstpointer  data)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (pair->client);
  IOStreamBufferQueueEntry entry;

  watch_clients (pair);
  stream_util_start (pair->client);
  stream_util_send (pair->stream, 1);
  stream_util_take (pair->client, 1, &entry);

  switch (GPOINTER_TO_INT (data))
    {
    case 0:
      entry.buffer_id = 4;
      break;
    case 1:
      entry.sequence++;
      break;
    case 2:
      entry.data_offset = 1;
      break;
    case 3:
      entry.data_offset = G_MAXUINT32;
      entry.data_length = 1;
      break;
    case 4:
      entry.control_length = 65;
      break;
    case 5:
      entry.buffer_id ^= 1;
      break;
    default:
      /* the same one twice */
      _io_ring_put (&priv->input, &entry);
      break;
    }
  _io_ring_put (&priv->input, &entry);
  stream_util_assert_works (io_stream_connection_send_input_notification (pair->client, 0, err));
  /* in output mode the owner looks when it wants something */
  for (guint i = 0; i < 5; i++)
    io_stream_acquire_buffer (pair->stream, NULL);

  stream_counter_wait (&pair->closed, 1);
  g_assert_cmpint (g_atomic_int_get (&owner (pair)->n_stop), ==, 1);
  g_assert_cmpint (io_stream_get_state (pair->stream), ==, IO_STREAM_STATE_CLOSED);
  stream_util_iterate_until (!io_connection_is_connected (IO_CONNECTION (pair->client)));
  g_assert_error (io_connection_get_error (IO_CONNECTION (pair->client)), IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR);

  /* The next one is welcome. */
  stream_util_assert_works (open_when_free (connect_again (pair), err));
  stream_util_start (pair->client);
}

static void
look_at_client_cb (IOService    *service,
                   IOUserClient *client,
                   IOUserClient **place)
{
  g_set_object (place, client);
}

static void
test_user_client (StreamPair    *pair,
                  gconstpointer  data)
{
  g_autoptr (IOStreamUserClient) client = NULL;
  IOStreamBufferQueueEntry entry;

  stream_util_close (pair->client);
  g_signal_connect (pair->stream, "client-opened", G_CALLBACK (look_at_client_cb), &client);
  stream_util_assert_works (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err));
  g_assert_nonnull (client);
  g_assert_false (io_stream_user_client_is_running (client));
  stream_util_start (pair->client);
  g_assert_true (io_stream_user_client_is_running (client));
  g_assert_cmpuint (io_stream_user_client_get_held (client), ==, 0);
  stream_util_send (pair->stream, 1);
  stream_util_send (pair->stream, 1);
  g_assert_cmpuint (io_stream_user_client_get_held (client), ==, 2);
  stream_util_take (pair->client, 1, &entry);
  stream_util_return (pair->client, &entry);
  g_assert_cmpuint (io_stream_user_client_get_held (client), ==, 1);
  stream_util_close (pair->client);
  g_assert_cmpuint (io_stream_user_client_get_held (client), ==, 0);
  g_assert_false (io_stream_user_client_is_running (client));
}

static void
test_user_client_alone (void)
{
  IOStreamUserClient *client = g_object_new (IO_TYPE_STREAM_USER_CLIENT, NULL);

  g_assert_false (io_stream_user_client_is_running (client));
  g_assert_cmpuint (io_stream_user_client_get_held (client), ==, 0);
  stream_util_assert_fails (io_user_client_get_memory (IO_USER_CLIENT (client), 0, NULL, err) != NULL,
                            IO_STREAM_ERROR_NOT_OPEN);
  g_assert_finalize_object (client);
}

/* A service that is no stream, and makes clients of streams. */
typedef IOService      OddService;
typedef IOServiceClass OddServiceClass;

static GType odd_service_get_type (void);
G_DEFINE_TYPE (OddService, odd_service, IO_TYPE_SERVICE)

static IOUserClient *
odd_service_new_user_client (IOService  *service,
                             GVariant   *options,
                             GError    **error)
{
  return g_object_new (IO_TYPE_STREAM_USER_CLIENT, NULL);
}

static void
odd_service_class_init (OddServiceClass *klass)
{
  klass->new_user_client = odd_service_new_user_client;
}

static void
odd_service_init (OddService *self)
{
}

static void
test_user_client_of_other (void)
{
  IOWorkLoop *loop = stream_util_new_loop ();
  IOService *service = g_object_new (odd_service_get_type (), "name", "odd", "work-loop", loop, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (IOStreamConnection) client = NULL;

  stream_util_assert_works (io_service_register (service, err));
  if (stream_util_is_local ())
    client = g_initable_new (IO_TYPE_STREAM_CONNECTION, NULL, &error, "service", service, NULL);
  else
    client = io_stream_connection_new_for_name ("odd", NULL, &error);
  g_assert_no_error (error);
  stream_util_assert_fails (io_connection_open (IO_CONNECTION (client), IO_STREAM_OPEN_NONE, NULL, err),
                            IO_STREAM_ERROR_NOT_OPEN);
  io_connection_hang_up (IO_CONNECTION (client));
  io_service_terminate (service);
  stream_util_shut_down (loop);
  g_assert_finalize_object (service);
  stream_util_finish_loop (loop);
}

/* What a program may get wrong is said, and nothing happens. */
static void
test_wrong_arguments (void)
{
  g_autoptr (GPtrArray) none = g_ptr_array_new ();
  g_autoptr (GPtrArray) hole = g_ptr_array_new ();
  IOStream *stream = g_object_new (IO_TYPE_STREAM, NULL);

  g_ptr_array_add (hole, NULL);
  g_test_expect_message ("libiostream", G_LOG_LEVEL_CRITICAL, "*are_buffers*");
  g_assert_false (io_stream_add_buffers (stream, hole, NULL));
  g_test_expect_message ("libiostream", G_LOG_LEVEL_CRITICAL, "*mode*");
  g_assert_null (io_stream_new_with_buffers (NULL, none, (IOStreamMode) 3, 0, NULL));
  g_test_expect_message ("libiostream", G_LOG_LEVEL_CRITICAL, "*queue_length*");
  g_assert_null (io_stream_new_with_buffers (NULL, none, IO_STREAM_MODE_OUTPUT,
                                             IO_STREAM_MAX_BUFFERS + 1, NULL));
  g_test_assert_expected_messages ();
  g_assert_cmpuint (io_stream_get_buffer_count (stream), ==, 0);
  g_assert_finalize_object (stream);
}

/* --- without clients ----------------------------------------------------- */

/* As other languages make it: no g_initable_new(). */
static void
test_construct (void)
{
  TestStream *self = g_object_new (test_stream_get_type (), "buffer-count", 3, "data-size", (guint64) 100,
                                   "mode", IO_STREAM_MODE_INPUT, "timestamps", TRUE, "queue-length", 2, NULL);
  IOStreamPeerAccess access;
  guint count;

  g_object_get (self, "buffer-count", &count, "peer-access", &access, NULL);
  g_assert_cmpuint (count, ==, 3);
  g_assert_cmpint (access, ==, IO_STREAM_PEER_ACCESS_READ_WRITE);
  g_assert_nonnull (io_stream_acquire_buffer (IO_STREAM (self), NULL));
  stream_util_assert_works (g_initable_init (G_INITABLE (self), NULL, err));
  g_assert_cmpuint (io_stream_get_buffer_count (IO_STREAM (self)), ==, 3);
  g_assert_finalize_object (self);
}

static void
test_construct_fails (void)
{
  TestStream *self = g_object_new (test_stream_get_type (), "name", "large", "buffer-count", 60000,
                                   "data-size", (guint64) G_MAXUINT32, NULL);
  g_autoptr (GError) error = NULL;

  stream_util_assert_fails (io_service_register (IO_SERVICE (self), err), IO_STREAM_ERROR_NO_MEMORY);
  g_assert_null (io_stream_acquire_buffer (IO_STREAM (self), &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_MEMORY);
  g_assert_cmpuint (io_stream_get_buffer_count (IO_STREAM (self)), ==, 0);
  g_assert_null (io_stream_get_buffer_with_id (IO_STREAM (self), 0));
  g_assert_finalize_object (self);
}

static void
test_closed (void)
{
  g_autoptr (GError) error = NULL;
  IOStream *stream = io_stream_new ("nobody", 2, 100, 0, &error);
  IOStreamBufferQueueEntry entry = { 0, };

  g_assert_no_error (error);
  g_assert_cmpint (io_stream_get_state (stream), ==, IO_STREAM_STATE_CLOSED);
  g_assert_null (io_stream_get_output_port (stream));
  g_assert_null (io_stream_get_input_port (stream));
  g_assert_null (io_stream_get_output_queue (stream));
  g_assert_null (io_stream_get_input_queue (stream));
  stream_util_assert_fails (io_stream_start (stream, err), IO_STREAM_ERROR_NOT_OPEN);
  stream_util_assert_fails (io_stream_enqueue_output_entry (stream, &entry, err), IO_STREAM_ERROR_NOT_READY);
  stream_util_assert_works (io_stream_send_output_notification (stream, err));
  g_assert_false (io_stream_dequeue_input_entry (stream, &entry));
  stream_util_assert_fails (io_stream_wait_buffer (stream, 0, NULL, err), IO_STREAM_ERROR_CANNOT_LOCK);
  stream_util_assert_fails (io_stream_wait_input (stream, 0, NULL, err), IO_STREAM_ERROR_CANNOT_LOCK);
  g_assert_finalize_object (stream);
}

static void
test_ports_and_queues (StreamPair    *pair,
                       gconstpointer  data)
{
  g_autoptr (IOStreamBufferQueue) queue = g_object_ref (io_stream_get_output_queue (pair->stream));
  guint64 head = io_stream_buffer_queue_get_head_index (queue);
  IOStreamBufferQueueEntry entry;

  g_assert_nonnull (io_stream_get_output_port (pair->stream));
  g_assert_true (io_stream_get_output_port (pair->stream) == io_stream_get_input_port (pair->stream));
  g_assert_cmpuint (io_stream_buffer_queue_get_entry_count (queue), ==, 4);
  stream_util_start (pair->client);
  stream_util_send (pair->stream, 7);
  g_assert_cmpuint (io_stream_buffer_queue_get_head_index (queue), ==, head + 1);
  g_assert_cmpuint (io_stream_buffer_queue_get_tail_index (queue), ==, head);
  g_assert_true (io_stream_buffer_queue_peek_entry (queue, head, &entry));
  g_assert_false (io_stream_buffer_queue_peek_entry (queue, head + 1, &entry));

  stream_util_close (pair->client);
  g_assert_null (io_stream_get_output_port (pair->stream));
  g_assert_cmpuint (io_stream_buffer_queue_get_head_index (queue), ==, head + 1);
  stream_util_assert_works (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err));
  g_assert_true (io_stream_get_output_queue (pair->stream) != queue);
}

/* A stream that nobody has initialised, used by several threads at once. */

typedef struct {
  IOStream      *stream;
  _Atomic guint *n_waiting;
  IOStreamBuffer *buffer;
} FirstUse;

static gpointer
first_use_thread (gpointer data)
{
  FirstUse *use = data;
  g_autoptr (GError) error = NULL;

  --*use->n_waiting;
  while (*use->n_waiting > 0)
    g_thread_yield ();
  g_assert_cmpuint (io_stream_get_buffer_count (use->stream), ==, 4);
  use->buffer = io_stream_acquire_buffer (use->stream, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (io_stream_buffer_get_buffer_id (use->buffer), <, 4);

  return NULL;
}

static void
count_notify_cb (IOStream      *stream,
                 GParamSpec    *pspec,
                 _Atomic guint *n)
{
  guint count;

  /* Within it the stream can be used. */
  g_object_get (stream, "buffer-count", &count, NULL);
  g_assert_cmpuint (count, ==, 4);
  g_assert_cmpuint (io_stream_get_buffer_count (stream), ==, 4);
  ++*n;
}

static void
test_first_use (void)
{
  for (guint round = 0; round < 100; round++)
    {
      _Atomic guint n_waiting = 4, n_notified = 0;
      IOStream *stream = g_object_new (IO_TYPE_STREAM, "buffer-count", 4, "data-size", (guint64) 64, NULL);
      FirstUse uses[4];
      GThread *threads[4];

      g_signal_connect (stream, "notify::buffer-count", G_CALLBACK (count_notify_cb), &n_notified);
      for (guint i = 0; i < 4; i++)
        {
          uses[i] = (FirstUse) { stream, &n_waiting, NULL };
          threads[i] = g_thread_new ("first-use", first_use_thread, &uses[i]);
        }
      for (guint i = 0; i < 4; i++)
        {
          g_thread_join (threads[i]);
          for (guint j = 0; j < i; j++)
            g_assert_true (uses[i].buffer != uses[j].buffer);
        }
      g_assert_cmpuint (n_notified, ==, 1);
      g_assert_finalize_object (stream);
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

#define ADD(path, set_up, func) g_test_add (path, StreamPair, NULL, set_up, func, tear_down)
#define ADD_DATA(path, data, set_up, func) g_test_add (path, StreamPair, data, set_up, func, tear_down)
  ADD ("/stream/properties", set_up_output, test_properties);
  ADD ("/stream/attributes", set_up_output, test_attributes);
  ADD ("/stream/states", set_up_output, test_states);
  ADD ("/stream/states-by-owner", set_up_output, test_states_by_owner);
  ADD ("/stream/loop-is-shut-down", set_up_output, test_loop_is_shut_down);
  ADD ("/stream/send-in-start", set_up_output, test_send_in_start);
  ADD ("/stream/start-fails", set_up_output, test_start_fails);
  ADD ("/stream/stop-fails", set_up_output, test_stop_fails);
  ADD ("/stream/busy", set_up_output, test_busy);
  ADD_DATA ("/stream/terminate/in-start", GINT_TO_POINTER (IO_STREAM_STATE_RUNNING), set_up_output, test_terminate_in_method);
  ADD_DATA ("/stream/terminate/in-stop", GINT_TO_POINTER (IO_STREAM_STATE_STOPPED), set_up_output, test_terminate_in_method);
  ADD_DATA ("/stream/terminate/in-suspend", GINT_TO_POINTER (IO_STREAM_STATE_SUSPENDED), set_up_output, test_terminate_in_method);
  ADD ("/stream/terminate/in-start/by-owner", set_up_output, test_abort_in_method);
  ADD_DATA ("/stream/terminate/when-running", GINT_TO_POINTER (IO_STREAM_STATE_RUNNING), set_up_output, test_terminate_in_notify);
  ADD_DATA ("/stream/terminate/when-suspended", GINT_TO_POINTER (IO_STREAM_STATE_SUSPENDED), set_up_output, test_terminate_in_notify);
  ADD_DATA ("/stream/terminate/when-stopped", GINT_TO_POINTER (IO_STREAM_STATE_STOPPED), set_up_output, test_terminate_in_notify);
  ADD_DATA ("/stream/terminate/when-closed", GINT_TO_POINTER (IO_STREAM_STATE_CLOSED), set_up_output, test_terminate_in_notify);
  ADD_DATA ("/stream/terminate/client-opened", "client-opened", set_up_output, test_terminate_in_opened);
  ADD_DATA ("/stream/terminate/client-closed", "client-closed", set_up_output, test_terminate_in_opened);
  ADD ("/stream/terminate/input", set_up_output, test_terminate_in_input);
  ADD ("/stream/last-unref-in-method", set_up_output, test_last_unref_in_method);
  ADD ("/stream/mode/read-only", set_up_output, test_mode_read_only);
  ADD ("/stream/mode/while-open", set_up_input, test_mode_while_open);
  ADD ("/stream/mode/by-class", set_up_input, test_mode_by_class);
  ADD ("/stream/mode/unknown", set_up_output, test_mode_unknown);
  ADD ("/stream/open/exclusive", set_up_output, test_exclusive);
  ADD ("/stream/open/shared", set_up_output, test_shared);
  ADD ("/stream/open/refused", set_up_output, test_open_refused);
  ADD ("/stream/open/out-of-order", set_up_output, test_calls_out_of_order);
  ADD ("/stream/open/limit-buffers", set_up_output, test_limit_buffers);
  ADD ("/stream/open/limit-bytes/output", set_up_output, test_limit_bytes);
  ADD ("/stream/open/limit-bytes/input", set_up_input, test_limit_bytes);
  ADD ("/stream/open/read-only/output", set_up_output, test_read_only_client);
  ADD ("/stream/open/read-only/input", set_up_input, test_read_only_client);
  ADD ("/stream/client-dies/output", set_up_output, test_client_dies);
  ADD ("/stream/client-dies/input", set_up_input_output, test_client_dies);
  for (int i = 0; i < 7; i++)
    {
      g_autofree char *path = g_strdup_printf ("/stream/violation/%d", i);

      ADD_DATA (path, GINT_TO_POINTER (i), set_up_output, test_violation);
    }
  ADD ("/stream/violation/input", set_up_input, test_violation);
  ADD ("/stream/user-client", set_up_output, test_user_client);
  g_test_add_func ("/stream/user-client/alone", test_user_client_alone);
  g_test_add_func ("/stream/user-client/of-other-service", test_user_client_of_other);
  g_test_add_func ("/stream/wrong-arguments", test_wrong_arguments);
  g_test_add_func ("/stream/first-use", test_first_use);
  g_test_add_func ("/stream/construct", test_construct);
  g_test_add_func ("/stream/construct-fails", test_construct_fails);
  g_test_add_func ("/stream/closed", test_closed);
  ADD ("/stream/ports-and-queues", set_up_output, test_ports_and_queues);

  status = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return status;
}
