/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Synchronous input: the client waits until the owner's callback has run. */

#include "stream-util.h"

#include "libiostream/io-stream-connection-private.h"

#include <string.h>

#define SHORT (50 * 1000)

/* A stream whose callback does what a test wants. */

typedef struct _SyncStream SyncStream;

struct _SyncStream {
  IOStream       parent_instance;

  _Atomic guint  n_calls;
  _Atomic guint  n_input;
  _Atomic guint32 token;
  IOUserClient  *_Atomic client;    /* that has it open */
  gboolean     (*_Atomic hook) (SyncStream *self, GError **error);
  _Atomic gpointer data;
  StreamCounter  begun;     /* hold() has been reached */
  StreamCounter  released;  /* and may go on */
};

typedef struct {
  IOStreamClass parent_class;
} SyncStreamClass;

static GType sync_stream_get_type (void);
G_DEFINE_TYPE (SyncStream, sync_stream, IO_TYPE_STREAM)

static gboolean
sync_stream_input_sync_callback (IOStream  *stream,
                                 guint32    token,
                                 GError   **error)
{
  SyncStream *self = (SyncStream *) stream;
  gboolean (*hook) (SyncStream *, GError **);

  self->n_calls++;
  self->token = token;

  hook = self->hook;

  return hook == NULL || hook (self, error);
}

static void
sync_stream_input_callback (IOStream *stream,
                            guint32   token)
{
  ((SyncStream *) stream)->n_input++;
}

static void
sync_stream_class_init (SyncStreamClass *klass)
{
  IO_STREAM_CLASS (klass)->input_sync_callback = sync_stream_input_sync_callback;
  IO_STREAM_CLASS (klass)->input_callback = sync_stream_input_callback;
}

static void
sync_stream_init (SyncStream *self)
{
}

static gboolean
hold (SyncStream  *self,
      GError     **error)
{
  stream_counter_add (&self->begun);
  stream_counter_wait (&self->released, stream_counter_get (&self->begun));

  return TRUE;
}

static void
opened_cb (SyncStream   *self,
           IOUserClient *client,
           gpointer      data)
{
  self->client = client;
}

static SyncStream *
new_stream (const char   *name,
            IOWorkLoop   *loop,
            IOStreamMode  mode)
{
  g_autoptr (GError) error = NULL;
  IOStream *stream = g_initable_new (sync_stream_get_type (), NULL, &error,
                                     "name", name, "work-loop", loop, "mode", mode,
                                     "buffer-count", 4, "data-size", (guint64) 10000, NULL);

  g_assert_no_error (error);
  g_signal_connect (stream, "client-opened", G_CALLBACK (opened_cb), NULL);
  g_assert_true (io_service_register (IO_SERVICE (stream), &error));
  g_assert_no_error (error);

  return (SyncStream *) stream;
}

static SyncStream *
owner_of (StreamPair *pair)
{
  return (SyncStream *) pair->stream;
}

static void
set_up (StreamPair    *pair,
        gconstpointer  data)
{
  g_main_context_iteration (NULL, FALSE);
  pair->n_fds = count_fds ();
  pair->loop = stream_util_new_loop ();
  pair->stream = IO_STREAM (new_stream ("test", pair->loop, GPOINTER_TO_INT (data)));
  pair->client = stream_util_open_stream (pair->stream);
  io_connection_set_timeout (IO_CONNECTION (pair->client), STREAM_UTIL_TIMEOUT);
}

static void
tear_down (StreamPair    *pair,
           gconstpointer  data)
{
  stream_util_tear_down (pair);
}

#define notify(pair, token) \
  io_stream_connection_send_input_sync_notification ((pair)->client, (token), NULL, err)
#define expect_success(pair, token) stream_util_assert_works (notify (pair, token))
#define expect_failure(pair, code)  stream_util_assert_fails (notify (pair, 1), code)

/* The call. */

static gboolean
check_thread (SyncStream  *self,
              GError     **error)
{
  g_assert_true (self->data == NULL || io_work_loop_on_thread (self->data));

  return TRUE;
}

static void
test_call (StreamPair    *pair,
           gconstpointer  data)
{
  SyncStream *owner = owner_of (pair);
  guint n_fds;

  owner->hook = check_thread;
  owner->data = pair->loop;
  stream_util_catch_up (pair->loop);
  n_fds = count_fds ();

  /* More than there are numbers before 2^32. */
  for (guint i = 1; i <= 20; i++)
    {
      expect_success (pair, 0xfffffff0u + i);
      g_assert_cmpuint (owner->n_calls, ==, i);
      g_assert_cmpuint (owner->token, ==, 0xfffffff0u + i);
      /* Two for the bell, which comes with the first. */
      g_assert_cmpuint (count_fds (), ==, n_fds + 2);
    }
  g_assert_cmpuint (_io_stream_connection_get_private (pair->client)->sync_number, <, 20);
}

static void
count_token_cb (IOStream      *stream,
                guint          token,
                _Atomic guint *sum)
{
  *sum += token;
}

/* Who does not override the method has a signal, or else that for input. */
static void
test_signal (StreamPair    *pair,
             gconstpointer  data)
{
  _Atomic guint sync = 0, input = 0;
  gulong handler;

  stream_util_set_up (pair, IO_STREAM_MODE_OUTPUT);
  handler = g_signal_connect (pair->stream, "input-sync", G_CALLBACK (count_token_cb), &sync);
  g_signal_connect (pair->stream, "input", G_CALLBACK (count_token_cb), &input);
  expect_success (pair, 5);
  expect_success (pair, 6);
  g_assert_cmpuint (sync, ==, 11);
  g_assert_cmpuint (input, ==, 0);

  g_signal_handler_disconnect (pair->stream, handler);
  expect_success (pair, 7);
  g_assert_cmpuint (sync, ==, 11);
  g_assert_cmpuint (input, ==, 7);
}

static gboolean
take_input (SyncStream  *self,
            GError     **error)
{
  IOStreamBufferQueueEntry entry;
  guint n = 0;

  g_assert_cmpuint (self->n_input, ==, self->n_calls);
  while (io_stream_dequeue_input_entry (IO_STREAM (self), &entry))
    {
      IOStreamBuffer *buffer = io_stream_get_buffer_with_id (IO_STREAM (self), entry.buffer_id);

      g_assert_cmpuint (((guint8 *) io_stream_buffer_peek_data (buffer, NULL))[0], ==, self->token);
      io_stream_release_buffer (IO_STREAM (self), buffer);
      n++;
    }
  g_assert_cmpuint (n, ==, GPOINTER_TO_UINT (self->data));

  return TRUE;
}

/* What was enqueued before the call is there in it, without a notification. */
static void
test_entries (StreamPair    *pair,
              gconstpointer  data)
{
  SyncStream *owner = owner_of (pair);

  owner->hook = take_input;
  owner->data = GUINT_TO_POINTER (3);
  stream_util_start (pair->client);
  for (guint round = 1; round <= 10; round++)
    {
      for (guint i = 0; i < 3; i++)
        {
          IOStreamBufferQueueEntry entry;

          stream_util_send (pair->stream, 0);
          stream_util_take (pair->client, 0, &entry);
          *(guint8 *) io_stream_connection_peek_data_buffer (pair->client, entry.buffer_id, NULL) = round;
          stream_util_assert_works (io_stream_connection_enqueue_input_entry (pair->client, &entry, err));
        }
      expect_success (pair, round);
      g_assert_cmpuint (owner->n_calls, ==, round);
    }
}

static gboolean
send_some (SyncStream  *self,
           GError     **error)
{
  stream_util_send (IO_STREAM (self), 1);
  stream_util_send (IO_STREAM (self), 2);

  return TRUE;
}

/* The caller hears nothing while it waits, and everything afterwards. */
static void
test_output (StreamPair    *pair,
             gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  owner_of (pair)->hook = send_some;
  stream_util_start (pair->client);
  stream_util_settle ();
  g_signal_connect_swapped (pair->client, "output-available", G_CALLBACK (g_atomic_int_inc), &pair->n_client);
  expect_success (pair, 1);
  g_assert_cmpint (pair->n_client, ==, 0);
  stream_util_iterate_until (pair->n_client > 0);
  stream_util_take (pair->client, 1, &entry);
  stream_util_return (pair->client, &entry);
  stream_util_take (pair->client, 2, &entry);
  stream_util_return (pair->client, &entry);
}

static gboolean
refuse (SyncStream  *self,
        GError     **error)
{
  if (self->token == 1)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_DEVICE_ERROR, "the lamp is broken");
  else if (self->token == 2)
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_NOENT, "the lamp is lost");
  else if (self->token == 3)
    g_set_error (error, IO_STREAM_ERROR, 12345, "the lamp is odd");

  return FALSE;
}

static void
test_refused (StreamPair    *pair,
              gconstpointer  data)
{
  const char *message = "Cannot notify stream “test” and wait: its owner refuses";
  g_autoptr (GError) error = NULL;

  owner_of (pair)->hook = refuse;
  g_assert_false (io_stream_connection_send_input_sync_notification (pair->client, 1, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_DEVICE_ERROR);
  g_assert_cmpstr (error->message, ==, message);
  stream_util_assert_fails (notify (pair, 2), IO_STREAM_ERROR_FAILED);
  stream_util_assert_fails (notify (pair, 3), IO_STREAM_ERROR_FAILED);
  stream_util_assert_fails (notify (pair, 4), IO_STREAM_ERROR_FAILED);
  g_assert_false (io_stream_connection_send_input_sync_notification (pair->client, 1, NULL, NULL));
  g_assert_cmpuint (owner_of (pair)->n_calls, ==, 5);
}

static void
test_states (StreamPair    *pair,
             gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  expect_success (pair, 1);
  stream_util_start (pair->client);
  expect_success (pair, 2);
  g_assert_true (io_stream_connection_suspend (pair->client, NULL, &error));
  expect_success (pair, 3);
  g_assert_true (io_stream_connection_stop (pair->client, NULL, &error));
  expect_success (pair, 4);
  stream_util_close (pair->client);
  expect_failure (pair, IO_STREAM_ERROR_NOT_OPEN);

  /* Each open begins anew, and the numbers go on. */
  g_assert_true (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, &error));
  g_assert_no_error (error);
  expect_success (pair, 5);
  io_connection_hang_up (IO_CONNECTION (pair->client));
  expect_failure (pair, IO_STREAM_ERROR_NOT_OPEN);
  g_assert_cmpuint (owner_of (pair)->n_calls, ==, 5);
}

/* A bell that was lost on its way is asked for again. */
static void
test_second_bell (StreamPair    *pair,
                  gconstpointer  data)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (pair->client);

  for (guint i = 1; i <= 3; i++)
    {
      expect_success (pair, i);
      expect_success (pair, i);
      g_assert_cmpuint (owner_of (pair)->n_calls, ==, 2 * i);
      g_mutex_lock (&priv->lock);
      _io_stream_connection_drop_sync_bell_locked (pair->client);
      g_mutex_unlock (&priv->lock);
    }
}

/* Without an answer. */

static void
test_timeout (StreamPair    *pair,
              gconstpointer  data)
{
  SyncStream *owner = owner_of (pair);

  stream_util_skip_if_local ("somebody would have to wait");
  /* for the bell, which may take its time */
  expect_success (pair, 7);
  owner->hook = hold;
  for (guint i = 1; i <= 3; i++)
    {
      io_connection_set_timeout (IO_CONNECTION (pair->client), SHORT);
      stream_util_assert_fails (notify (pair, i), IO_STREAM_ERROR_NOT_RESPONDING);
      stream_counter_wait (&owner->begun, 2 * i - 1);
      g_assert_cmpuint (owner->token, ==, i);

      /* Its answer comes during the next call, which waits for its own. */
      io_connection_set_timeout (IO_CONNECTION (pair->client), SHORT);
      stream_util_assert_fails (notify (pair, 10 * i), IO_STREAM_ERROR_NOT_RESPONDING);
      stream_counter_add (&owner->released);
      stream_counter_wait (&owner->begun, 2 * i);
      g_assert_cmpuint (owner->token, ==, 10 * i);
      stream_counter_add (&owner->released);

      owner->hook = NULL;
      io_connection_set_timeout (IO_CONNECTION (pair->client), STREAM_UTIL_TIMEOUT);
      expect_success (pair, 100 * i);
      g_assert_cmpuint (owner->token, ==, 100 * i);
      owner->hook = hold;
    }
}

static gpointer
cancel_thread (gpointer data)
{
  StreamPair *pair = data;
  GCancellable *cancellable = owner_of (pair)->data;

  stream_counter_wait (&owner_of (pair)->begun, 1);
  g_cancellable_cancel (cancellable);

  return NULL;
}

static void
test_cancel (StreamPair    *pair,
             gconstpointer  data)
{
  SyncStream *owner = owner_of (pair);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  GThread *thread;

  stream_util_skip_if_local ("somebody would have to wait");
  owner->hook = hold;
  owner->data = cancellable;
  thread = g_thread_new ("cancel", cancel_thread, pair);
  g_assert_false (io_stream_connection_send_input_sync_notification (pair->client, 1, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_thread_join (thread);
  owner->hook = NULL;
  stream_counter_add (&owner->released);

  /* Cancelled before, it is not made at all. */
  g_assert_false (io_stream_connection_send_input_sync_notification (pair->client, 1, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  expect_success (pair, 2);
  g_assert_cmpuint (owner->n_calls, ==, 2);
}

/* Threads. */

typedef struct {
  IOStreamConnection *client;
  GError             *error;
  gboolean            done;
} ThreadCall;

static gpointer
call_thread (gpointer data)
{
  ThreadCall *call = data;

  call->done = io_stream_connection_send_input_sync_notification (call->client, 1, NULL, &call->error);

  return NULL;
}

static void
test_threads (StreamPair    *pair,
              gconstpointer  data)
{
  SyncStream *owner = owner_of (pair);
  ThreadCall call = { pair->client, NULL, FALSE };

  stream_util_skip_if_local ("somebody would have to wait");
  g_thread_join (g_thread_new ("early", call_thread, &call));
  g_assert_error (call.error, IO_STREAM_ERROR, IO_STREAM_ERROR_CANNOT_LOCK);
  g_clear_error (&call.error);
  g_assert_cmpuint (owner->n_calls, ==, 0);

  expect_success (pair, 1);
  g_thread_join (g_thread_new ("other", call_thread, &call));
  g_assert_no_error (call.error);
  g_assert_true (call.done);
  g_assert_cmpuint (owner->n_calls, ==, 2);
}

static void
test_busy (StreamPair    *pair,
           gconstpointer  data)
{
  SyncStream *owner = owner_of (pair);
  ThreadCall call = { pair->client, NULL, FALSE };
  GThread *thread;

  stream_util_skip_if_local ("somebody would have to wait");
  expect_success (pair, 1);
  owner->hook = hold;
  thread = g_thread_new ("other", call_thread, &call);
  stream_counter_wait (&owner->begun, 1);
  expect_failure (pair, IO_STREAM_ERROR_BUSY);
  stream_counter_add (&owner->released);
  g_thread_join (thread);
  g_assert_no_error (call.error);
  g_assert_true (call.done);
  g_assert_cmpuint (owner->n_calls, ==, 2);
}

/* The connection ends under a thread that waits. */
static void
test_hang_up (StreamPair    *pair,
              gconstpointer  data)
{
  SyncStream *owner = owner_of (pair);
  ThreadCall call = { pair->client, NULL, FALSE };
  GThread *thread;

  stream_util_skip_if_local ("somebody would have to wait");
  expect_success (pair, 1);
  owner->hook = hold;
  thread = g_thread_new ("other", call_thread, &call);
  stream_counter_wait (&owner->begun, 1);
  io_connection_hang_up (IO_CONNECTION (pair->client));
  g_thread_join (thread);
  g_assert_error (call.error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN);
  g_clear_error (&call.error);
  stream_counter_add (&owner->released);
}

/* Calls from all sides while the connection opens and closes. */
static gpointer
storm_thread (gpointer data)
{
  ThreadCall *call = data;

  while (!g_atomic_int_get (&call->done))
    {
      g_autoptr (GError) error = NULL;

      if (!io_stream_connection_send_input_sync_notification (call->client, 1, NULL, &error))
        g_assert_true (g_error_matches (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY) ||
                       g_error_matches (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN) ||
                       g_error_matches (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE) ||
                       g_error_matches (error, IO_STREAM_ERROR, IO_STREAM_ERROR_CANNOT_LOCK));
    }

  return NULL;
}

static void
test_storm (StreamPair    *pair,
            gconstpointer  data)
{
  ThreadCall call = { pair->client, NULL, FALSE };
  GThread *threads[3];

  stream_util_skip_if_local ("somebody would have to wait");
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("storm", storm_thread, &call);
  for (guint i = 0; i < 30; i++)
    {
      g_autoptr (GError) error = NULL;

      if (!io_stream_connection_send_input_sync_notification (pair->client, 1, NULL, &error))
        g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY);
      stream_util_close (pair->client);
      g_clear_error (&error);
      g_assert_true (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, &error));
      g_assert_no_error (error);
    }
  g_atomic_int_set (&call.done, TRUE);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
}

/* Callbacks that call back. */

static gboolean
stop_stream (SyncStream  *self,
             GError     **error)
{
  return io_stream_stop (IO_STREAM (self), error);
}

static gboolean
terminate_stream (SyncStream  *self,
                  GError     **error)
{
  io_service_terminate (IO_SERVICE (self));

  return TRUE;
}

static gboolean
disconnect_client (SyncStream  *self,
                   GError     **error)
{
  g_autoptr (GError) reason = g_error_new (IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN, "not wanted");

  io_user_client_terminate (self->client, reason);

  return TRUE;
}

static gboolean
close_client (SyncStream  *self,
              GError     **error)
{
  io_service_close (IO_SERVICE (self), self->client, 0);

  return TRUE;
}

static void
test_stop (StreamPair    *pair,
           gconstpointer  data)
{
  owner_of (pair)->hook = stop_stream;
  stream_util_start (pair->client);
  expect_success (pair, 1);
  g_assert_cmpint (io_stream_connection_get_state (pair->client), ==, IO_STREAM_STATE_STOPPED);
}

/* The answer comes although the stream is no longer open. */
static void
test_end (StreamPair    *pair,
          gconstpointer  data)
{
  stream_util_start (pair->client);
  expect_success (pair, 1);
  owner_of (pair)->hook = data;
  expect_success (pair, 2);
  expect_failure (pair, IO_STREAM_ERROR_NOT_OPEN);
}

/* Its end comes before the callback: by the handler for what was enqueued. */
static void
close_in_input_cb (IOStream *stream,
                   guint     token,
                   gpointer  data)
{
  close_client ((SyncStream *) stream, NULL);
}

static void
test_end_before (StreamPair    *pair,
                 gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  g_signal_connect (pair->stream, "input", G_CALLBACK (close_in_input_cb), NULL);
  stream_util_start (pair->client);
  expect_success (pair, 1);
  stream_util_send (pair->stream, 1);
  stream_util_take (pair->client, 1, &entry);
  stream_util_assert_works (io_stream_connection_enqueue_input_entry (pair->client, &entry, err));
  expect_failure (pair, IO_STREAM_ERROR_NOT_OPEN);
  g_assert_cmpuint (owner_of (pair)->n_calls, ==, 1);
}

static gboolean
run_loop (SyncStream  *self,
          GError     **error)
{
  stream_counter_add (&self->begun);
  while (stream_counter_get (&self->released) < stream_counter_get (&self->begun))
    g_main_context_iteration (g_main_context_get_thread_default (), TRUE);

  return TRUE;
}

static gboolean
release_cb (gpointer data)
{
  stream_counter_add (&((SyncStream *) data)->released);

  return G_SOURCE_REMOVE;
}

/* A callback that runs the loop: control calls are served meanwhile, other
 * calls wait until it is over, also those of the next open. */
static void
test_nested_loop (StreamPair    *pair,
                  gconstpointer  data)
{
  SyncStream *owner = owner_of (pair);
  g_autoptr (GError) error = NULL;
  guint32 number;

  stream_util_skip_if_local ("somebody would have to wait");
  expect_success (pair, 1);
  owner->hook = run_loop;
  io_connection_set_timeout (IO_CONNECTION (pair->client), SHORT);
  expect_failure (pair, IO_STREAM_ERROR_NOT_RESPONDING);
  stream_counter_wait (&owner->begun, 1);
  expect_failure (pair, IO_STREAM_ERROR_NOT_RESPONDING);
  g_assert_cmpuint (owner->n_calls, ==, 2);

  io_connection_set_timeout (IO_CONNECTION (pair->client), STREAM_UTIL_TIMEOUT);
  stream_util_start (pair->client);
  stream_util_close (pair->client);
  g_assert_true (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, &error));
  g_assert_no_error (error);
  io_connection_set_timeout (IO_CONNECTION (pair->client), SHORT);
  number = _io_stream_connection_get_private (pair->client)->sync_number;
  /* until the bell has come, without which there is no call */
  do
    expect_failure (pair, IO_STREAM_ERROR_NOT_RESPONDING);
  while (_io_stream_connection_get_private (pair->client)->sync_number == number);
  g_assert_cmpuint (owner->n_calls, ==, 2);

  /* That one is served when the first is over, and nothing rings for it. */
  owner->hook = hold;
  stream_util_on_loop (pair, release_cb, owner);
  stream_counter_wait (&owner->begun, 2);
  g_assert_cmpuint (owner->n_calls, ==, 3);
  owner->hook = NULL;
  stream_counter_add (&owner->released);
  io_connection_set_timeout (IO_CONNECTION (pair->client), STREAM_UTIL_TIMEOUT);
  expect_success (pair, 9);
}

/* The client goes while the callback runs the loop. */
static void
test_vanish (StreamPair    *pair,
             gconstpointer  data)
{
  SyncStream *owner = owner_of (pair);

  stream_util_skip_if_local ("somebody would have to wait");
  g_signal_connect_swapped (pair->stream, "client-closed", G_CALLBACK (stream_counter_add), &pair->closed);
  expect_success (pair, 1);
  owner->hook = run_loop;
  io_connection_set_timeout (IO_CONNECTION (pair->client), SHORT);
  expect_failure (pair, IO_STREAM_ERROR_NOT_RESPONDING);
  stream_counter_wait (&owner->begun, 1);
  io_connection_hang_up (IO_CONNECTION (pair->client));
  stream_counter_wait (&pair->closed, 1);
  stream_util_on_loop (pair, release_cb, owner);
}

static gboolean
call_on (SyncStream  *self,
         GError     **error)
{
  return io_stream_connection_send_input_sync_notification (self->data, self->token + 1, NULL, error);
}

typedef struct {
  SyncStream         *stream;
  IOStreamConnection *client;
} Chain;

static gboolean
open_chain (gpointer data)
{
  Chain *chain = data;

  chain->client = stream_util_open ("second");

  return TRUE;
}

static gboolean
close_chain (gpointer data)
{
  Chain *chain = data;

  io_connection_hang_up (IO_CONNECTION (chain->client));
  while (g_main_context_iteration (g_main_context_get_thread_default (), FALSE))
    ;
  g_clear_object (&chain->client);

  return TRUE;
}

/* A callback that itself calls a stream of somebody else, and back its own. */
static void
test_chain (StreamPair    *pair,
            gconstpointer  data)
{
  Chain chain = { NULL, NULL };
  IOWorkLoop *loop;

  stream_util_skip_if_local ("somebody would have to wait");
  loop = io_work_loop_new ("second");
  chain.stream = new_stream ("second", loop, IO_STREAM_MODE_OUTPUT);
  stream_util_on_loop (pair, open_chain, &chain);
  owner_of (pair)->hook = call_on;
  owner_of (pair)->data = chain.client;
  for (guint i = 1; i <= 5; i++)
    {
      expect_success (pair, 10 * i);
      g_assert_cmpuint (chain.stream->token, ==, 10 * i + 1);
    }

  chain.stream->hook = refuse;
  stream_util_assert_fails (notify (pair, 0), IO_STREAM_ERROR_DEVICE_ERROR);
  chain.stream->hook = call_on;
  chain.stream->data = pair->client;
  /* The caller's own connection is busy. */
  stream_util_assert_fails (notify (pair, 0), IO_STREAM_ERROR_BUSY);

  stream_util_on_loop (pair, close_chain, &chain);
  io_service_terminate (IO_SERVICE (chain.stream));
  io_work_loop_shut_down (loop);
  g_assert_finalize_object (chain.stream);
  g_assert_finalize_object (loop);
}

/* Without waiting. */

typedef struct {
  GError   *error;
  gboolean  done;
  guint     n;
} AsyncResult;

static void
async_cb (GObject      *object,
          GAsyncResult *result,
          gpointer      data)
{
  AsyncResult *to = data;

  g_clear_error (&to->error);
  to->done = io_stream_connection_send_input_sync_notification_finish (IO_STREAM_CONNECTION (object), result,
                                                                       &to->error);
  to->n++;
}

static void
call_async (IOStreamConnection *client,
            guint32             token,
            GCancellable       *cancellable,
            AsyncResult        *result)
{
  guint n = result->n;

  io_stream_connection_send_input_sync_notification_async (client, token, cancellable, async_cb, result);
  stream_util_iterate_until (result->n > n);
  g_assert_cmpuint (result->n, ==, n + 1);
  g_assert_true (result->done == (result->error == NULL));
}

static void
test_async (StreamPair    *pair,
            gconstpointer  data)
{
  SyncStream *owner = owner_of (pair);
  AsyncResult result = { NULL, FALSE, 0 };

  /* the longest that there is */
  io_connection_set_timeout (IO_CONNECTION (pair->client), G_MAXINT64);
  for (guint i = 1; i <= 10; i++)
    {
      call_async (pair->client, i, NULL, &result);
      g_assert_no_error (result.error);
      g_assert_cmpuint (owner->n_calls, ==, 2 * i - 1);
      g_assert_cmpuint (owner->token, ==, i);
      expect_success (pair, 100 + i);
      g_assert_cmpuint (owner->token, ==, 100 + i);
    }

  owner->hook = refuse;
  call_async (pair->client, 1, NULL, &result);
  g_assert_error (result.error, IO_STREAM_ERROR, IO_STREAM_ERROR_DEVICE_ERROR);
  stream_util_close (pair->client);
  call_async (pair->client, 1, NULL, &result);
  g_assert_error (result.error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN);
  g_clear_error (&result.error);
}

static void
test_async_unanswered (StreamPair    *pair,
                       gconstpointer  data)
{
  SyncStream *owner = owner_of (pair);
  AsyncResult result = { NULL, FALSE, 0 };
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();

  stream_util_skip_if_local ("somebody would have to wait");
  if (data != NULL)
    expect_success (pair, 1);
  owner->hook = hold;

  /* Busy, and cancelled. */
  io_stream_connection_send_input_sync_notification_async (pair->client, 2, cancellable, async_cb, &result);
  expect_failure (pair, IO_STREAM_ERROR_BUSY);
  stream_util_iterate_until (stream_counter_get (&owner->begun) == 1);
  expect_failure (pair, IO_STREAM_ERROR_BUSY);
  g_cancellable_cancel (cancellable);
  stream_util_iterate_until (result.n == 1);
  g_assert_error (result.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  call_async (pair->client, 3, cancellable, &result);
  g_assert_error (result.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);

  /* Too late. */
  io_connection_set_timeout (IO_CONNECTION (pair->client), SHORT);
  call_async (pair->client, 4, NULL, &result);
  g_assert_error (result.error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_RESPONDING);
  stream_counter_add (&owner->released);
  stream_counter_wait (&owner->begun, 2);
  g_assert_cmpuint (owner->token, ==, 4);

  /* Closed meanwhile. */
  io_connection_set_timeout (IO_CONNECTION (pair->client), STREAM_UTIL_TIMEOUT);
  io_stream_connection_send_input_sync_notification_async (pair->client, 5, NULL, async_cb, &result);
  io_connection_hang_up (IO_CONNECTION (pair->client));
  g_assert_cmpuint (result.n, ==, 3);
  stream_util_iterate_until (result.n == 4);
  g_assert_error (result.error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN);
  owner->hook = NULL;
  stream_counter_add (&owner->released);
  stream_counter_add (&owner->released);
  g_clear_error (&result.error);
}

static void
reopen_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      data)
{
  AsyncResult *to = data;

  async_cb (object, result, data);
  g_assert_no_error (to->error);
  if (to->n == 1)
    stream_util_close (IO_STREAM_CONNECTION (object));
  else if (to->n < 5)
    io_stream_connection_send_input_sync_notification_async (IO_STREAM_CONNECTION (object), to->n, NULL,
                                                             reopen_cb, to);
}

/* The callback of a call closes, or calls again. */
static void
test_async_reentry (StreamPair    *pair,
                    gconstpointer  data)
{
  AsyncResult result = { NULL, FALSE, 0 };
  g_autoptr (GError) error = NULL;

  expect_success (pair, 1);
  io_stream_connection_send_input_sync_notification_async (pair->client, 1, NULL, reopen_cb, &result);
  stream_util_iterate_until (result.n == 1);
  expect_failure (pair, IO_STREAM_ERROR_NOT_OPEN);
  g_assert_true (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, &error));
  io_stream_connection_send_input_sync_notification_async (pair->client, 1, NULL, reopen_cb, &result);
  stream_util_iterate_until (result.n == 5);
  g_assert_cmpuint (owner_of (pair)->n_calls, ==, 6);
}

/* A thread that serves the stream itself. */
static void
open_cb (GObject      *object,
         GAsyncResult *result,
         gpointer      data)
{
  g_autoptr (GError) error = NULL;

  *(IOStreamConnection **) data = io_stream_connection_open_name_finish (result, &error);
  g_assert_no_error (error);
}

static void
test_own_thread (void)
{
  SyncStream *owner = new_stream ("own", NULL, IO_STREAM_MODE_OUTPUT);
  AsyncResult result = { NULL, FALSE, 0 };
  IOStreamConnection *client = NULL;
  StreamPair pair = { 0, };

  io_stream_connection_open_name_async ("own", NULL, open_cb, &client);
  stream_util_iterate_until (client != NULL);
  pair.client = client;

  expect_failure (&pair, IO_STREAM_ERROR_CANNOT_LOCK);
  for (guint i = 1; i <= 10; i++)
    {
      call_async (client, i, NULL, &result);
      g_assert_no_error (result.error);
      g_assert_cmpuint (owner->token, ==, i);
    }

  /* Terminated by what it calls. */
  owner->hook = terminate_stream;
  call_async (client, 1, NULL, &result);
  g_clear_error (&result.error);
  stream_util_iterate_until (!io_connection_is_connected (IO_CONNECTION (client)));
  stream_util_settle ();
  g_assert_finalize_object (client);
  g_assert_finalize_object (owner);
}

#define add(path, mode, func) \
  g_test_add ("/stream-sync/" path, StreamPair, GINT_TO_POINTER (IO_STREAM_MODE_##mode), set_up, func, tear_down)

static void
set_up_input (StreamPair    *pair,
              gconstpointer  data)
{
  set_up (pair, GINT_TO_POINTER (IO_STREAM_MODE_INPUT));
}

#define add_with(path, data, func) \
  g_test_add ("/stream-sync/" path, StreamPair, (gconstpointer) (data), set_up_input, func, tear_down)

/* Of a client from which the rest is taken back meanwhile. */
static void
test_slow (StreamPair    *pair,
           gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  stream_util_close (pair->client);
  io_stream_connection_set_delivery (pair->client, IO_STREAM_DELIVERY_LATEST);
  stream_util_assert_works (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err));
  stream_util_start (pair->client);
  for (guint32 round = 0; round < 20; round++)
    {
      for (guint8 i = 0; i < 10; i++)
        stream_util_send (pair->stream, i);
      stream_util_take (pair->client, 9, &entry);
      for (guint8 i = 0; i < 10; i++)
        stream_util_send (pair->stream, i);
      stream_util_assert_works (io_stream_connection_enqueue_input_entry (pair->client, &entry, err));
      expect_success (pair, round);
      g_assert_cmpuint (owner_of (pair)->token, ==, round);
      g_assert_true (io_stream_dequeue_input_entry (pair->stream, &entry));
      io_stream_release_buffer (pair->stream, io_stream_get_buffer_with_id (pair->stream, entry.buffer_id));
      g_assert_false (io_stream_dequeue_input_entry (pair->stream, &entry));
    }
  g_assert_cmpuint (owner_of (pair)->n_calls, ==, 20);
}

int
main (int   argc,
      char *argv[])
{
  char *dir;
  int status;

  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();

  add ("call", OUTPUT, test_call);
  add ("slow", INPUT, test_slow);
  g_test_add ("/stream-sync/signal", StreamPair, NULL, NULL, test_signal, tear_down);
  add ("entries", INPUT, test_entries);
  add ("output", OUTPUT, test_output);
  add ("refused", OUTPUT, test_refused);
  add ("states", INPUT_OUTPUT, test_states);
  add ("second-bell", OUTPUT, test_second_bell);
  add ("timeout", OUTPUT, test_timeout);
  add ("cancel", OUTPUT, test_cancel);
  add ("threads", OUTPUT, test_threads);
  add ("busy", OUTPUT, test_busy);
  add ("hang-up", OUTPUT, test_hang_up);
  add ("storm", OUTPUT, test_storm);
  add ("reentry/stop", OUTPUT, test_stop);
  add_with ("reentry/terminate", terminate_stream, test_end);
  add_with ("reentry/disconnect", disconnect_client, test_end);
  add_with ("reentry/close", close_client, test_end);
  add ("reentry/close-before", INPUT, test_end_before);
  add ("reentry/loop", OUTPUT, test_nested_loop);
  add ("reentry/vanish", OUTPUT, test_vanish);
  add ("reentry/chain", OUTPUT, test_chain);
  add ("async/call", OUTPUT, test_async);
  add_with ("async/unanswered", NULL, test_async_unanswered);
  add_with ("async/unanswered-later", "", test_async_unanswered);
  add ("async/reentry", OUTPUT, test_async_reentry);
  g_test_add_func ("/stream-sync/own-thread", test_own_thread);

  status = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return status;
}
