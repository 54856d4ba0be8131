/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-connection-private.h"

#include "io-connection-reach-private.h"

/* Opening streams that have still to come. */

/**
 * io_stream_connection_await_name: (constructor)
 * @name: name of a stream
 * @options: how to open it: #IOStreamOpenFlags
 * @timeout: how long to wait, in microseconds; -1 for ever, 0 for a stream that
 *   is there
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Opens a stream as soon as it exists, as io_stream_connection_open_name() does
 * one that exists. See io_connection_await_name() about how it is waited for.
 *
 * A stream that somebody else has open exclusively exists: that is not waited
 * for, and fails with %IO_STREAM_ERROR_EXCLUSIVE_ACCESS.
 *
 * Any thread; the connection belongs to this one. Fails as
 * io_connection_await_name() and io_connection_open().
 *
 * Returns: (transfer full): the open connection, or %NULL with @error set
 * Since: 1.0
 */
IOStreamConnection *
io_stream_connection_await_name (const char    *name,
                                 guint          options,
                                 gint64         timeout,
                                 GCancellable  *cancellable,
                                 GError       **error)
{
  g_return_val_if_fail (name != NULL, NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return (IOStreamConnection *) _io_connection_await (IO_TYPE_STREAM_CONNECTION, name, TRUE, options,
                                                      timeout, cancellable, error);
}

/**
 * io_stream_connection_await_name_async:
 * @name: name of a stream
 * @options: how to open it: #IOStreamOpenFlags
 * @timeout: as in io_stream_connection_await_name()
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async): called when it is done
 * @user_data: passed to @callback
 *
 * Begins what io_stream_connection_await_name() does, without waiting; end it
 * with io_stream_connection_await_name_finish().
 *
 * Any thread; the connection belongs to this one, and @callback is called in
 * its thread-default main context.
 *
 * Since: 1.0
 */
void
io_stream_connection_await_name_async (const char          *name,
                                       guint                options,
                                       gint64               timeout,
                                       GCancellable        *cancellable,
                                       GAsyncReadyCallback  callback,
                                       gpointer             user_data)
{
  GTask *task;

  g_return_if_fail (name != NULL);
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (NULL, cancellable, callback, user_data);
  g_task_set_source_tag (task, io_stream_connection_await_name_async);
  _io_connection_await_async (IO_TYPE_STREAM_CONNECTION, name, TRUE, options, timeout, task);
}

/**
 * io_stream_connection_await_name_finish: (constructor)
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends what io_stream_connection_await_name_async() began. In the thread of the
 * callback.
 *
 * Returns: (transfer full): the open connection, or %NULL with @error set
 * Since: 1.0
 */
IOStreamConnection *
io_stream_connection_await_name_finish (GAsyncResult  *result,
                                        GError       **error)
{
  g_return_val_if_fail (g_task_is_valid (result, NULL), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, io_stream_connection_await_name_async), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}
