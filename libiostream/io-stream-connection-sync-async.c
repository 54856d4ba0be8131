/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-connection-sync-private.h"

#include "io-fork-private.h"

/* Synchronous input, for a thread that does not wait for it. */

typedef struct {
  IOSyncBell *bell;
  guint32     token;
  GSource    *timeout_source;
  GSource    *cancel_source;
  GError     *error;
} AsyncCall;

static void
drop_source (GSource **source)
{
  if (*source == NULL)
    return;

  g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

static void
async_call_free (gpointer data)
{
  AsyncCall *call = data;

  drop_source (&call->timeout_source);
  drop_source (&call->cancel_source);
  g_clear_pointer (&call->bell, _io_sync_bell_unref);
  g_clear_error (&call->error);
  g_free (call);
}

/* Ends the call and hands the task over; its callback has not run. */
static GTask *
end_async (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  GTask *task = g_steal_pointer (&priv->sync_task);
  AsyncCall *call = g_task_get_task_data (task);

  drop_source (&call->timeout_source);
  drop_source (&call->cancel_source);
  _io_notification_port_detach (call->bell->port);
  call->bell->connection = NULL;
  _io_stream_connection_finish_sync (self, call->bell);

  return task;
}

static void
return_task (GTask  *task,
             GError *error)
{
  if (error != NULL)
    g_task_return_error (task, error);
  else
    g_task_return_boolean (task, TRUE);
  g_object_unref (task);
}

/* Takes over @error; %NULL: the answer is there. */
static void
finish_async (IOStreamConnection *self,
              GError             *error)
{
  GTask *task = end_async (self);
  AsyncCall *call = g_task_get_task_data (task);

  if (error == NULL)
    _io_stream_connection_check_sync (self, call->bell, &error);
  return_task (task, error);
}

gboolean
_io_sync_bell_dispatch (gpointer owner)
{
  IOSyncBell *self = owner;

  if (self->connection == NULL || !_io_sync_bell_is_ready (self))
    return FALSE;

  finish_async (self->connection, NULL);

  return TRUE;
}

void
_io_sync_bell_hang_up (gpointer owner)
{
  IOSyncBell *self = owner;
  g_autoptr (IOStreamConnection) connection = NULL;
  GError *error = NULL;

  if (self->connection == NULL)
    return;

  connection = g_object_ref (self->connection);
  _io_stream_connection_fail_sync_offline (connection, &error);
  if (_io_stream_connection_get_private (connection)->sync_task != NULL)
    finish_async (connection, g_steal_pointer (&error));
  g_clear_error (&error);
}

static gboolean
timeout_cb (gpointer user_data)
{
  GError *error = NULL;

  _io_stream_connection_fail_sync_timeout (user_data, &error);
  finish_async (user_data, error);

  return G_SOURCE_REMOVE;
}

static gboolean
cancelled_cb (GCancellable *cancellable,
              gpointer      user_data)
{
  GError *error = NULL;

  g_cancellable_set_error_if_cancelled (cancellable, &error);
  finish_async (user_data, error);

  return G_SOURCE_REMOVE;
}

static gboolean
return_cb (gpointer user_data)
{
  AsyncCall *call = g_task_get_task_data (user_data);

  return_task (g_object_ref (user_data), g_steal_pointer (&call->error));

  return G_SOURCE_REMOVE;
}

/* From inside of a close: the callback of the task waits for its turn. */
void
_io_stream_connection_end_sync (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  g_autoptr (GSource) source = NULL;
  AsyncCall *call;
  gboolean answered;
  GTask *task;

  if (priv->sync_task == NULL)
    return;

  call = g_task_get_task_data (priv->sync_task);
  answered = priv->fork_count == _io_fork_count () && _io_sync_bell_is_ready (call->bell);
  task = end_async (self);
  if (answered)
    _io_stream_connection_check_sync (self, call->bell, &call->error);
  else if (io_connection_get_error (IO_CONNECTION (self)) != NULL)
    call->error = g_error_copy (io_connection_get_error (IO_CONNECTION (self)));
  else
    _io_stream_connection_fail_sync (self, IO_STREAM_ERROR_NOT_OPEN, "it was closed meanwhile", &call->error);

  source = g_idle_source_new ();
  g_source_set_priority (source, g_task_get_priority (task));
  g_source_set_callback (source, return_cb, task, g_object_unref);
  g_source_attach (source, g_task_get_context (task));
}

static void
watch_async (IOStreamConnection *self,
             GTask              *task)
{
  AsyncCall *call = g_task_get_task_data (task);
  GCancellable *cancellable = g_task_get_cancellable (task);
  gint64 timeout = io_connection_get_timeout (IO_CONNECTION (self));
  GMainContext *context = _io_connection_get_context (IO_CONNECTION (self));

  if (timeout >= 0)
    {
      call->timeout_source = g_timeout_source_new ((guint) MIN (timeout / 1000 + 1, G_MAXUINT));
      g_source_set_callback (call->timeout_source, timeout_cb, self, NULL);
      g_source_attach (call->timeout_source, context);
    }
  if (cancellable != NULL)
    {
      call->cancel_source = g_cancellable_source_new (cancellable);
      g_source_set_callback (call->cancel_source, G_SOURCE_FUNC (cancelled_cb), self, NULL);
      g_source_attach (call->cancel_source, context);
    }
  _io_notification_port_attach (call->bell->port, context);
}

/* Takes over @task and @bell. */
static void
start_async (IOStreamConnection *self,
             GTask              *task,
             IOSyncBell         *bell)
{
  AsyncCall *call = g_task_get_task_data (task);

  call->bell = bell;
  bell->connection = self;
  _io_stream_connection_get_private (self)->sync_task = task;
  _io_stream_connection_post_sync (self, bell, call->token, TRUE);
  watch_async (self, task);
}

static void
got_bell_cb (GObject      *object,
             GAsyncResult *result,
             gpointer      user_data)
{
  IOStreamConnection *self = IO_STREAM_CONNECTION (object);
  g_autoptr (GVariant) answer = NULL;
  GError *error = NULL;
  IOSyncBell *bell = NULL;

  answer = g_task_propagate_pointer (G_TASK (result), &error);
  if (answer != NULL)
    bell = _io_stream_connection_take_sync_bell (self, _io_connection_peek_task_fds (G_TASK (result)), &error);
  if (bell != NULL)
    {
      start_async (self, user_data, bell);
      return;
    }

  _io_stream_connection_finish_sync (self, NULL);
  return_task (user_data, error);
}

/**
 * io_stream_connection_send_input_sync_notification_async:
 * @self: a connection
 * @token: what the owner gets with #IOStream::input-sync
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async): called when it is done
 * @user_data: passed to @callback
 *
 * Begins what io_stream_connection_send_input_sync_notification() does, without
 * waiting; end it with
 * io_stream_connection_send_input_sync_notification_finish(). The thread may
 * serve the stream itself.
 *
 * In the thread of the connection; @callback is called in its context.
 *
 * Since: 1.0
 */
void
io_stream_connection_send_input_sync_notification_async (IOStreamConnection  *self,
                                                         guint32              token,
                                                         GCancellable        *cancellable,
                                                         GAsyncReadyCallback  callback,
                                                         gpointer             user_data)
{
  GError *error = NULL;
  IOSyncBell *bell;
  AsyncCall *call;
  GTask *task;

  g_return_if_fail (IO_IS_STREAM_CONNECTION (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, io_stream_connection_send_input_sync_notification_async);
  call = g_new0 (AsyncCall, 1);
  call->token = token;
  g_task_set_task_data (task, call, async_call_free);

  if (g_cancellable_set_error_if_cancelled (cancellable, &error) || !_io_stream_connection_begin_sync (self, &error))
    {
      return_task (task, error);
      return;
    }

  bell = _io_stream_connection_find_sync_bell (self);
  if (bell != NULL)
    start_async (self, task, bell);
  else
    _io_connection_call_async (IO_CONNECTION (self), IO_OPCODE_GET_SYNC_BELL, g_variant_new ("()"),
                               g_task_new (self, cancellable, got_bell_cb, task));
}

/**
 * io_stream_connection_send_input_sync_notification_finish:
 * @self: a connection
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends what io_stream_connection_send_input_sync_notification_async() began.
 *
 * In the thread of the connection.
 *
 * Returns: %TRUE if the owner's callback has run and succeeded
 * Since: 1.0
 */
gboolean
io_stream_connection_send_input_sync_notification_finish (IOStreamConnection  *self,
                                                          GAsyncResult        *result,
                                                          GError             **error)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result,
                                                  io_stream_connection_send_input_sync_notification_async),
                        FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}
