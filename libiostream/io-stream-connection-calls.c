/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-connection-private.h"

/* What a client asks of the stream: the selectors of Apple's user client. */

static gboolean
call (IOStreamConnection  *self,
      IOOpcode             opcode,
      GVariant            *args,
      GCancellable        *cancellable,
      GError             **error)
{
  g_autoptr (GVariant) answer = _io_connection_call (IO_CONNECTION (self), opcode, args, cancellable, error);

  return answer != NULL;
}

/* Start, stop and suspend. */
static gboolean
change_state (IOStreamConnection  *self,
              IOOpcode             opcode,
              IOStreamState        state,
              GCancellable        *cancellable,
              GError             **error)
{
  /* In one process the owner's methods run in the call. */
  G_GNUC_UNUSED g_autoptr (IOStreamConnection) kept = g_object_ref (self);

  if (!call (self, opcode, g_variant_new ("()"), cancellable, error))
    return FALSE;

  _io_stream_connection_reach_state (self, state);

  return TRUE;
}

static void
call_async (IOStreamConnection  *self,
            gpointer             tag,
            IOOpcode             opcode,
            GVariant            *args,
            GCancellable        *cancellable,
            GAsyncReadyCallback  callback,
            gpointer             user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, tag);
  _io_connection_call_async (IO_CONNECTION (self), opcode, args, task);
}

static gboolean
call_finish (IOStreamConnection  *self,
             gpointer             tag,
             GAsyncResult        *result,
             GError             **error)
{
  g_autoptr (GVariant) answer = NULL;

  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, tag), FALSE);

  answer = g_task_propagate_pointer (G_TASK (result), error);

  return answer != NULL;
}

static gboolean
change_state_finish (IOStreamConnection  *self,
                     gpointer             tag,
                     IOStreamState        state,
                     GAsyncResult        *result,
                     GError             **error)
{
  if (!call_finish (self, tag, result, error))
    return FALSE;

  _io_stream_connection_reach_state (self, state);

  return TRUE;
}

/**
 * io_stream_connection_start:
 * @self: a connection
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Asks the owner to start the stream. Does nothing if it runs already. Waits
 * for the answer, no longer than #IOConnection:timeout.
 *
 * In the thread of the connection. Fails with %IO_STREAM_ERROR_NOT_OPEN if the
 * stream is not open, %IO_STREAM_ERROR_NOT_RESPONDING if the owner does not
 * answer, and with what the owner says. Apple's StartStream().
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_connection_start (IOStreamConnection  *self,
                            GCancellable        *cancellable,
                            GError             **error)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return change_state (self, IO_OPCODE_START, IO_STREAM_STATE_RUNNING, cancellable, error);
}

/**
 * io_stream_connection_start_async:
 * @self: a connection
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async): called when it is done
 * @user_data: passed to @callback
 *
 * Begins what io_stream_connection_start() does, without waiting; end it with
 * io_stream_connection_start_finish().
 *
 * In the thread of the connection; @callback is called in its context.
 *
 * Since: 1.0
 */
void
io_stream_connection_start_async (IOStreamConnection  *self,
                                  GCancellable        *cancellable,
                                  GAsyncReadyCallback  callback,
                                  gpointer             user_data)
{
  g_return_if_fail (IO_IS_STREAM_CONNECTION (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  call_async (self, io_stream_connection_start_async, IO_OPCODE_START, g_variant_new ("()"),
              cancellable, callback, user_data);
}

/**
 * io_stream_connection_start_finish:
 * @self: a connection
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends what io_stream_connection_start_async() began.
 *
 * In the thread of the connection.
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_connection_start_finish (IOStreamConnection  *self,
                                   GAsyncResult        *result,
                                   GError             **error)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return change_state_finish (self, io_stream_connection_start_async, IO_STREAM_STATE_RUNNING, result, error);
}

/**
 * io_stream_connection_stop:
 * @self: a connection
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Asks the owner to stop the stream. What was sent before can still be taken.
 * Waits for the answer, no longer than #IOConnection:timeout.
 *
 * In the thread of the connection. Fails with %IO_STREAM_ERROR_NOT_OPEN if the
 * stream is not open, %IO_STREAM_ERROR_NOT_RESPONDING if the owner does not
 * answer, and with what the owner says. Apple's StopStream().
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_connection_stop (IOStreamConnection  *self,
                           GCancellable        *cancellable,
                           GError             **error)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return change_state (self, IO_OPCODE_STOP, IO_STREAM_STATE_STOPPED, cancellable, error);
}

/**
 * io_stream_connection_stop_async:
 * @self: a connection
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async): called when it is done
 * @user_data: passed to @callback
 *
 * Begins what io_stream_connection_stop() does, without waiting; end it with
 * io_stream_connection_stop_finish().
 *
 * In the thread of the connection; @callback is called in its context.
 *
 * Since: 1.0
 */
void
io_stream_connection_stop_async (IOStreamConnection  *self,
                                 GCancellable        *cancellable,
                                 GAsyncReadyCallback  callback,
                                 gpointer             user_data)
{
  g_return_if_fail (IO_IS_STREAM_CONNECTION (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  call_async (self, io_stream_connection_stop_async, IO_OPCODE_STOP, g_variant_new ("()"),
              cancellable, callback, user_data);
}

/**
 * io_stream_connection_stop_finish:
 * @self: a connection
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends what io_stream_connection_stop_async() began.
 *
 * In the thread of the connection.
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_connection_stop_finish (IOStreamConnection  *self,
                                  GAsyncResult        *result,
                                  GError             **error)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return change_state_finish (self, io_stream_connection_stop_async, IO_STREAM_STATE_STOPPED, result, error);
}

/**
 * io_stream_connection_suspend:
 * @self: a connection
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Asks the owner to pause the stream; io_stream_connection_start() goes on.
 * Waits for the answer, no longer than #IOConnection:timeout.
 *
 * In the thread of the connection. Fails with %IO_STREAM_ERROR_NOT_READY if it
 * is not running, %IO_STREAM_ERROR_NOT_RESPONDING if the owner does not
 * answer, and with what the owner says. Apple's SuspendStream().
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_connection_suspend (IOStreamConnection  *self,
                              GCancellable        *cancellable,
                              GError             **error)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return change_state (self, IO_OPCODE_SUSPEND, IO_STREAM_STATE_SUSPENDED, cancellable, error);
}

/**
 * io_stream_connection_suspend_async:
 * @self: a connection
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async): called when it is done
 * @user_data: passed to @callback
 *
 * Begins what io_stream_connection_suspend() does, without waiting; end it
 * with io_stream_connection_suspend_finish().
 *
 * In the thread of the connection; @callback is called in its context.
 *
 * Since: 1.0
 */
void
io_stream_connection_suspend_async (IOStreamConnection  *self,
                                    GCancellable        *cancellable,
                                    GAsyncReadyCallback  callback,
                                    gpointer             user_data)
{
  g_return_if_fail (IO_IS_STREAM_CONNECTION (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  call_async (self, io_stream_connection_suspend_async, IO_OPCODE_SUSPEND, g_variant_new ("()"),
              cancellable, callback, user_data);
}

/**
 * io_stream_connection_suspend_finish:
 * @self: a connection
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends what io_stream_connection_suspend_async() began.
 *
 * In the thread of the connection.
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_connection_suspend_finish (IOStreamConnection  *self,
                                     GAsyncResult        *result,
                                     GError             **error)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return change_state_finish (self, io_stream_connection_suspend_async, IO_STREAM_STATE_SUSPENDED, result, error);
}

void
_io_stream_connection_keep_mode (IOStreamConnection *self,
                                 IOStreamMode        mode)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  if (priv->mode == mode)
    return;

  priv->mode = mode;
  g_object_notify (G_OBJECT (self), "mode");
}

/**
 * io_stream_connection_set_mode:
 * @self: a connection
 * @mode: the new mode
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Asks the owner to change which way payload travels. Waits for the answer, no
 * longer than #IOConnection:timeout.
 *
 * In the thread of the connection. Fails with %IO_STREAM_ERROR_NOT_OPEN if the
 * stream is not open, %IO_STREAM_ERROR_STILL_OPEN if the owner lets its mode
 * change only while nobody has it open, and with what the owner says. Apple's
 * SetMode().
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_connection_set_mode (IOStreamConnection  *self,
                               IOStreamMode         mode,
                               GCancellable        *cancellable,
                               GError             **error)
{
  G_GNUC_UNUSED g_autoptr (IOStreamConnection) kept = NULL;

  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), FALSE);
  g_return_val_if_fail (mode <= IO_STREAM_MODE_INPUT_OUTPUT, FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  kept = g_object_ref (self);
  if (!call (self, IO_OPCODE_SET_MODE, g_variant_new ("(u)", (guint32) mode), cancellable, error))
    return FALSE;

  _io_stream_connection_keep_mode (self, mode);

  return TRUE;
}

/**
 * io_stream_connection_set_mode_async:
 * @self: a connection
 * @mode: the new mode
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async): called when it is done
 * @user_data: passed to @callback
 *
 * Begins what io_stream_connection_set_mode() does, without waiting; end it
 * with io_stream_connection_set_mode_finish().
 *
 * In the thread of the connection; @callback is called in its context.
 *
 * Since: 1.0
 */
void
io_stream_connection_set_mode_async (IOStreamConnection  *self,
                                     IOStreamMode         mode,
                                     GCancellable        *cancellable,
                                     GAsyncReadyCallback  callback,
                                     gpointer             user_data)
{
  GTask *task;

  g_return_if_fail (IO_IS_STREAM_CONNECTION (self));
  g_return_if_fail (mode <= IO_STREAM_MODE_INPUT_OUTPUT);
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, io_stream_connection_set_mode_async);
  g_task_set_task_data (task, GINT_TO_POINTER (mode), NULL);
  _io_connection_call_async (IO_CONNECTION (self), IO_OPCODE_SET_MODE,
                             g_variant_new ("(u)", (guint32) mode), task);
}

/**
 * io_stream_connection_set_mode_finish:
 * @self: a connection
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends what io_stream_connection_set_mode_async() began.
 *
 * In the thread of the connection.
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_connection_set_mode_finish (IOStreamConnection  *self,
                                      GAsyncResult        *result,
                                      GError             **error)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!call_finish (self, io_stream_connection_set_mode_async, result, error))
    return FALSE;

  _io_stream_connection_keep_mode (self, (IOStreamMode) GPOINTER_TO_INT (g_task_get_task_data (G_TASK (result))));

  return TRUE;
}
