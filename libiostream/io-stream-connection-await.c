/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-connection-private.h"

#include "io-connection-reach-private.h"

/* Opening streams that have still to come. */

static IOConnection *
new_sharing (const char       *name,
             IOStreamDelivery  delivery,
             guint             replay)
{
  return g_object_new (IO_TYPE_STREAM_CONNECTION, "name", name, "delivery", delivery, "replay", replay, NULL);
}

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

  return (IOStreamConnection *) _io_connection_await (g_object_new (IO_TYPE_STREAM_CONNECTION, "name", name, NULL),
                                                      TRUE, options, timeout, cancellable, error);
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
  _io_connection_await_async (g_object_new (IO_TYPE_STREAM_CONNECTION, "name", name, NULL), TRUE, options, timeout,
                              task);
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

/**
 * io_stream_connection_await_shared: (constructor)
 * @name: name of a stream
 * @delivery: what is to happen if this client is slow
 * @replay: how many of the buffers that were sent before it wants; 0 for none
 * @timeout: how long to wait, in microseconds; -1 for ever, 0 for a stream that
 *   is there
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Opens a stream with %IO_STREAM_OPEN_SHARED as soon as it exists:
 * io_stream_connection_await_name() with #IOStreamConnection:delivery and
 * #IOStreamConnection:replay, which have to be known before the open.
 *
 * Any thread; the connection belongs to this one. Fails as
 * io_stream_connection_await_name(), and with %IO_STREAM_ERROR_NOT_PERMITTED if
 * the owner does not permit @delivery, which is not waited for.
 *
 * Returns: (transfer full): the open connection, or %NULL with @error set
 * Since: 1.0
 */
IOStreamConnection *
io_stream_connection_await_shared (const char        *name,
                                   IOStreamDelivery   delivery,
                                   guint              replay,
                                   gint64             timeout,
                                   GCancellable      *cancellable,
                                   GError           **error)
{
  g_return_val_if_fail (name != NULL, NULL);
  g_return_val_if_fail (delivery <= IO_STREAM_DELIVERY_LATEST, NULL);
  g_return_val_if_fail (replay <= IO_STREAM_MAX_BUFFERS, NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return (IOStreamConnection *) _io_connection_await (new_sharing (name, delivery, replay), TRUE,
                                                      IO_STREAM_OPEN_SHARED, timeout, cancellable, error);
}

/**
 * io_stream_connection_await_shared_async:
 * @name: name of a stream
 * @delivery: what is to happen if this client is slow
 * @replay: as in io_stream_connection_await_shared()
 * @timeout: as in io_stream_connection_await_shared()
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async): called when it is done
 * @user_data: passed to @callback
 *
 * Begins what io_stream_connection_await_shared() does, without waiting; end it
 * with io_stream_connection_await_shared_finish().
 *
 * Any thread; the connection belongs to this one, and @callback is called in
 * its thread-default main context.
 *
 * Since: 1.0
 */
void
io_stream_connection_await_shared_async (const char          *name,
                                         IOStreamDelivery     delivery,
                                         guint                replay,
                                         gint64               timeout,
                                         GCancellable        *cancellable,
                                         GAsyncReadyCallback  callback,
                                         gpointer             user_data)
{
  GTask *task;

  g_return_if_fail (name != NULL);
  g_return_if_fail (delivery <= IO_STREAM_DELIVERY_LATEST);
  g_return_if_fail (replay <= IO_STREAM_MAX_BUFFERS);
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (NULL, cancellable, callback, user_data);
  g_task_set_source_tag (task, io_stream_connection_await_shared_async);
  _io_connection_await_async (new_sharing (name, delivery, replay), TRUE, IO_STREAM_OPEN_SHARED, timeout, task);
}

/**
 * io_stream_connection_await_shared_finish:
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends what io_stream_connection_await_shared_async() began. In the thread of
 * the callback.
 *
 * Returns: (transfer full): the open connection, or %NULL with @error set
 * Since: 1.0
 */
IOStreamConnection *
io_stream_connection_await_shared_finish (GAsyncResult  *result,
                                          GError       **error)
{
  g_return_val_if_fail (g_task_is_valid (result, NULL), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, io_stream_connection_await_shared_async), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}
