/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-method-call-private.h"

/* What programs call methods with. */

static GTask *
new_task (IOConnection             *self,
          IOMethodCall             *call,
          IOConnectionProgressFunc  progress,
          gpointer                  progress_data,
          GDestroyNotify            progress_destroy,
          GCancellable             *cancellable,
          GAsyncReadyCallback       callback,
          gpointer                  user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);

  call->progress = progress;
  call->progress_data = progress_data;
  call->progress_destroy = progress_destroy;
  g_task_set_task_data (task, call, (GDestroyNotify) _io_method_call_free);
  /* An answer that is there is not thrown away. */
  g_task_set_check_cancellable (task, FALSE);

  return task;
}

static void
give_result (IOMethodResult  *result,
             guint64        **scalar_output,
             guint           *n_scalar_output,
             GBytes         **structure_output)
{
  if (scalar_output != NULL)
    *scalar_output = g_memdup2 (result->scalars, result->n_scalars * sizeof (guint64));
  if (n_scalar_output != NULL)
    *n_scalar_output = result->n_scalars;
  if (structure_output != NULL)
    *structure_output = g_steal_pointer (&result->structure);
  _io_method_result_free (result);
}

static void
clear_result (guint64 **scalar_output,
              guint    *n_scalar_output,
              GBytes  **structure_output)
{
  if (scalar_output != NULL)
    *scalar_output = NULL;
  if (n_scalar_output != NULL)
    *n_scalar_output = 0;
  if (structure_output != NULL)
    *structure_output = NULL;
}

/**
 * io_connection_call_method:
 * @self: a connection
 * @selector: the number of the method
 * @scalar_input: (array length=n_scalar_input) (nullable): scalars to give
 * @n_scalar_input: how many, at most %IO_EXTERNAL_METHOD_MAX_SCALARS
 * @structure_input: (nullable): a struct to give, of at most
 *   %IO_EXTERNAL_METHOD_MAX_STRUCTURE bytes
 * @max_scalar_output: how many scalars to take, or
 *   %IO_EXTERNAL_METHOD_VARIABLE for what there is
 * @max_structure_output: how many bytes of a struct to take, or
 *   %IO_EXTERNAL_METHOD_VARIABLE for what there is
 * @scalar_output: (out) (optional) (transfer full) (array length=n_scalar_output):
 *   return location for scalars
 * @n_scalar_output: (out) (optional): return location for their number
 * @structure_output: (out) (optional) (transfer full): return location for a
 *   struct, of size 0 if there is none
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Calls a method of the owner, see #IOUserClientClass.external_method(), and
 * waits for its answer. The service need not be open, unless the method wants
 * it so.
 *
 * Structs of more than 4,096 bytes travel in shared memory: the owner makes a
 * piece of it for what is given, which is kept for the next call. A client that
 * the owner lets only read cannot give such.
 *
 * Fails with %IO_STREAM_ERROR_BAD_ARGUMENT if there is no such method or it
 * wants other arguments, %IO_STREAM_ERROR_MESSAGE_TOO_LARGE for a larger
 * struct, %IO_STREAM_ERROR_NO_SPACE if the result is larger than asked for,
 * %IO_STREAM_ERROR_UNSUPPORTED if the service has no methods,
 * %IO_STREAM_ERROR_NO_COMPLETION if the method is empty,
 * %IO_STREAM_ERROR_NOT_PERMITTED and %IO_STREAM_ERROR_NO_RESOURCES if there is
 * no memory for a large struct, an error of the method, or an error of the
 * connection.
 *
 * In the thread of the connection. Apple: IOConnectCallMethod and its short
 * forms.
 *
 * Returns: %TRUE on success; else nothing is returned in the other places
 * Since: 1.0
 */
gboolean
io_connection_call_method (IOConnection   *self,
                           guint           selector,
                           const guint64  *scalar_input,
                           guint           n_scalar_input,
                           GBytes         *structure_input,
                           guint           max_scalar_output,
                           guint           max_structure_output,
                           guint64       **scalar_output,
                           guint          *n_scalar_output,
                           GBytes        **structure_output,
                           GCancellable   *cancellable,
                           GError        **error)
{
  g_auto (IOMethodCall) call = { .opcode = IO_OPCODE_METHOD, .selector = selector };
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GUnixFDList) fds = NULL;
  IOMethodResult *result;

  clear_result (scalar_output, n_scalar_output, structure_output);
  g_return_val_if_fail (IO_IS_CONNECTION (self), FALSE);
  g_return_val_if_fail (scalar_input != NULL || n_scalar_input == 0, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  call.max_scalars = max_scalar_output;
  call.max_structure = max_structure_output;
  if (!_io_method_call_fill_struct (self, &call, scalar_input, n_scalar_input, structure_input, error))
    return FALSE;

  answer = _io_connection_run_method_call (self, &call, &fds, cancellable, error);
  if (answer == NULL)
    return FALSE;
  result = _io_method_call_read_struct (self, &call, answer, fds, error);
  if (result == NULL)
    return FALSE;

  give_result (result, scalar_output, n_scalar_output, structure_output);
  return TRUE;
}

/**
 * io_connection_call_method_async:
 * @self: a connection
 * @selector: the number of the method
 * @scalar_input: (array length=n_scalar_input) (nullable): scalars to give
 * @n_scalar_input: how many, at most %IO_EXTERNAL_METHOD_MAX_SCALARS
 * @structure_input: (nullable): a struct to give
 * @max_scalar_output: how many scalars to take, or
 *   %IO_EXTERNAL_METHOD_VARIABLE for what there is
 * @max_structure_output: how many bytes of a struct to take, or
 *   %IO_EXTERNAL_METHOD_VARIABLE for what there is
 * @progress: (nullable) (scope notified) (closure progress_data) (destroy progress_destroy):
 *   what to call when the owner reports progress
 * @progress_data: data for @progress
 * @progress_destroy: (nullable): frees @progress_data
 * @cancellable: (nullable): a #GCancellable
 * @callback: (nullable) (scope async): what to call with the answer
 * @user_data: data for @callback
 *
 * Calls a method of the owner, which gets an #IOAction and may take its time:
 * #IOConnection:timeout does not count here. To give the call up, cancel it;
 * the owner hears of that. All @progress comes before @callback. Of reports
 * that are not delivered yet, because the context does not run, 32 are kept for
 * each call and more are dropped.
 *
 * Any number of such calls can be without an answer, but the owner may refuse
 * one with %IO_STREAM_ERROR_NO_RESOURCES; this one takes
 * %IO_ACTION_MAX_OUTSTANDING. They are answered in any order. A call with a
 * large struct waits for memory, and can be overtaken on its way by others.
 *
 * In the thread of the connection. Apple: IOConnectCallAsyncMethod.
 *
 * Since: 1.0
 */
void
io_connection_call_method_async (IOConnection             *self,
                                 guint                     selector,
                                 const guint64            *scalar_input,
                                 guint                     n_scalar_input,
                                 GBytes                   *structure_input,
                                 guint                     max_scalar_output,
                                 guint                     max_structure_output,
                                 IOConnectionProgressFunc  progress,
                                 gpointer                  progress_data,
                                 GDestroyNotify            progress_destroy,
                                 GCancellable             *cancellable,
                                 GAsyncReadyCallback       callback,
                                 gpointer                  user_data)
{
  IOMethodCall *call;
  GTask *task;
  GError *error = NULL;

  g_return_if_fail (IO_IS_CONNECTION (self));
  g_return_if_fail (scalar_input != NULL || n_scalar_input == 0);

  call = g_new0 (IOMethodCall, 1);
  call->opcode = IO_OPCODE_METHOD_ASYNC;
  call->selector = selector;
  call->max_scalars = max_scalar_output;
  call->max_structure = max_structure_output;
  task = new_task (self, call, progress, progress_data, progress_destroy, cancellable, callback,
                   user_data);
  g_task_set_source_tag (task, io_connection_call_method_async);
  _io_method_call_fill_struct (self, call, scalar_input, n_scalar_input, structure_input, &error);
  _io_connection_start_method_call (task, error);
}

/**
 * io_connection_call_method_finish:
 * @self: a connection
 * @result: what the callback got
 * @scalar_output: (out) (optional) (transfer full) (array length=n_scalar_output):
 *   return location for scalars
 * @n_scalar_output: (out) (optional): return location for their number
 * @structure_output: (out) (optional) (transfer full): return location for a
 *   struct, of size 0 if there is none
 * @error: return location for an error
 *
 * Gets the answer to io_connection_call_method_async().
 *
 * Fails as io_connection_call_method(), with %G_IO_ERROR_CANCELLED, and with
 * %IO_STREAM_ERROR_ABORTED if the owner dropped the call without an answer.
 *
 * In the thread of the connection.
 *
 * Returns: %TRUE on success; else nothing is returned in the other places
 * Since: 1.0
 */
gboolean
io_connection_call_method_finish (IOConnection  *self,
                                  GAsyncResult  *result,
                                  guint64      **scalar_output,
                                  guint         *n_scalar_output,
                                  GBytes       **structure_output,
                                  GError       **error)
{
  IOMethodResult *answer;

  clear_result (scalar_output, n_scalar_output, structure_output);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, io_connection_call_method_async), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  answer = g_task_propagate_pointer (G_TASK (result), error);
  if (answer == NULL)
    return FALSE;

  give_result (answer, scalar_output, n_scalar_output, structure_output);
  return TRUE;
}

/**
 * io_connection_call:
 * @self: a connection
 * @selector: the number of the method
 * @parameters: (nullable): what to give, %NULL for the empty tuple; taken over
 *   if floating
 * @reply_type: (nullable): the type that the answer must have, %NULL for any
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Calls a typed method of the owner, see #IOUserClientClass.method() and
 * io_service_add_method(), and waits for its answer. Values of any size up to
 * %IO_EXTERNAL_METHOD_MAX_STRUCTURE bytes can be given and taken, large ones in
 * shared memory as in io_connection_call_method(); but what is in them besides
 * arrays of numbers must be looked at byte by byte, and may take 1 MiB.
 *
 * Fails as io_connection_call_method(), and with %IO_STREAM_ERROR_BAD_MESSAGE
 * if the answer is not of type @reply_type.
 *
 * In the thread of the connection. Apple: none; it takes the place of
 * IOConnectCallMethod with property lists.
 *
 * Returns: (transfer full): the answer
 * Since: 1.0
 */
GVariant *
io_connection_call (IOConnection        *self,
                    guint                selector,
                    GVariant            *parameters,
                    const GVariantType  *reply_type,
                    GCancellable        *cancellable,
                    GError             **error)
{
  g_auto (IOMethodCall) call = { .opcode = IO_OPCODE_VARIANT, .selector = selector };
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GUnixFDList) fds = NULL;

  g_return_val_if_fail (IO_IS_CONNECTION (self), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!_io_method_call_fill_typed (self, &call, parameters, reply_type, error))
    return NULL;

  answer = _io_connection_run_method_call (self, &call, &fds, cancellable, error);

  return answer != NULL ? _io_method_call_read_typed (self, &call, answer, fds, error) : NULL;
}

/**
 * io_connection_call_async:
 * @self: a connection
 * @selector: the number of the method
 * @parameters: (nullable): what to give, %NULL for the empty tuple; taken over
 *   if floating
 * @reply_type: (nullable): the type that the answer must have, %NULL for any
 * @progress: (nullable) (scope notified) (closure progress_data) (destroy progress_destroy):
 *   what to call when the owner reports progress
 * @progress_data: data for @progress
 * @progress_destroy: (nullable): frees @progress_data
 * @cancellable: (nullable): a #GCancellable
 * @callback: (nullable) (scope async): what to call with the answer
 * @user_data: data for @callback
 *
 * Calls a typed method of the owner, which gets an #IOAction and may take its
 * time, or answer at once. As io_connection_call_method_async().
 *
 * In the thread of the connection.
 *
 * Since: 1.0
 */
void
io_connection_call_async (IOConnection             *self,
                          guint                     selector,
                          GVariant                 *parameters,
                          const GVariantType       *reply_type,
                          IOConnectionProgressFunc  progress,
                          gpointer                  progress_data,
                          GDestroyNotify            progress_destroy,
                          GCancellable             *cancellable,
                          GAsyncReadyCallback       callback,
                          gpointer                  user_data)
{
  IOMethodCall *call;
  GTask *task;
  GError *error = NULL;

  g_return_if_fail (IO_IS_CONNECTION (self));

  call = g_new0 (IOMethodCall, 1);
  call->opcode = IO_OPCODE_VARIANT_ASYNC;
  call->selector = selector;
  task = new_task (self, call, progress, progress_data, progress_destroy, cancellable, callback,
                   user_data);
  g_task_set_source_tag (task, io_connection_call_async);
  _io_method_call_fill_typed (self, call, parameters, reply_type, &error);
  _io_connection_start_method_call (task, error);
}

/**
 * io_connection_call_finish:
 * @self: a connection
 * @result: what the callback got
 * @error: return location for an error
 *
 * Gets the answer to io_connection_call_async().
 *
 * Fails as io_connection_call(), with %G_IO_ERROR_CANCELLED, and with
 * %IO_STREAM_ERROR_ABORTED if the owner dropped the call without an answer.
 *
 * In the thread of the connection.
 *
 * Returns: (transfer full): the answer
 * Since: 1.0
 */
GVariant *
io_connection_call_finish (IOConnection  *self,
                           GAsyncResult  *result,
                           GError       **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, io_connection_call_async), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * io_connection_trap:
 * @self: a connection
 * @index: which trap
 * @token: a number to give
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Calls a trap of the owner, see #IOUserClientClass.trap(), and waits until it
 * has run. Trap 0 of a stream announces input, as
 * io_stream_connection_send_input_notification() does without waiting.
 *
 * Fails with %IO_STREAM_ERROR_BAD_ARGUMENT if there is no such trap, which the
 * original reported as success in later versions, an error of the trap, or an
 * error of the connection.
 *
 * In the thread of the connection. Apple: IOConnectTrap1.
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_connection_trap (IOConnection  *self,
                    guint          index,
                    guint32        token,
                    GCancellable  *cancellable,
                    GError       **error)
{
  g_autoptr (GVariant) answer = NULL;

  g_return_val_if_fail (IO_IS_CONNECTION (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  answer = _io_connection_call (self, IO_OPCODE_TRAP, g_variant_new ("(uu)", index, token),
                                cancellable, error);

  return answer != NULL;
}
