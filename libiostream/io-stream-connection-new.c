/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-connection-private.h"

#include "io-stream.h"

/* The ways to a connection. */

/**
 * io_stream_connection_new_for_name:
 * @name: name of a stream
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Connects to a stream without opening it, waiting no longer than 5 seconds.
 *
 * Any thread; the connection belongs to this one. Fails with
 * %IO_STREAM_ERROR_NOT_FOUND if there is no such stream,
 * %IO_STREAM_ERROR_NOT_PERMITTED if it is refused,
 * %IO_STREAM_ERROR_NOT_RESPONDING if the owner does not answer, and
 * %IO_STREAM_ERROR_CANNOT_LOCK if this very thread serves the stream.
 *
 * Returns: (transfer full): the connection, or %NULL with @error set
 * Since: 1.0
 */
IOStreamConnection *
io_stream_connection_new_for_name (const char    *name,
                                   GCancellable  *cancellable,
                                   GError       **error)
{
  g_return_val_if_fail (name != NULL, NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_initable_new (IO_TYPE_STREAM_CONNECTION, cancellable, error, "name", name, NULL);
}

/**
 * io_stream_connection_new_for_socket:
 * @socket: a connected socket to the owner of a stream
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Like io_stream_connection_new_for_name(), over a socket that is connected
 * already, for example one end of a pair of which the owner gave the other to
 * io_service_add_socket(). The connection holds @socket.
 *
 * Any thread; the connection belongs to this one.
 *
 * Returns: (transfer full): the connection, or %NULL with @error set
 * Since: 1.0
 */
IOStreamConnection *
io_stream_connection_new_for_socket (GSocket       *socket,
                                     GCancellable  *cancellable,
                                     GError       **error)
{
  g_return_val_if_fail (G_IS_SOCKET (socket), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_initable_new (IO_TYPE_STREAM_CONNECTION, cancellable, error, "socket", socket, NULL);
}

/**
 * io_stream_connection_new_for_stream: (constructor)
 * @stream: a stream that the calling thread serves
 * @error: return location for an error
 *
 * Connects to a stream of this process without opening it, as
 * io_connection_new_for_service() does; see
 * [In one process][io-stream-connection-in-one-process].
 *
 * In the thread of @stream; the connection belongs to its context. Fails as
 * io_connection_new_for_service().
 *
 * Returns: (transfer full): the connection, or %NULL with @error set
 * Since: 1.0
 */
IOStreamConnection *
io_stream_connection_new_for_stream (IOStream  *stream,
                                     GError   **error)
{
  g_return_val_if_fail (IO_IS_STREAM (stream), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_initable_new (IO_TYPE_STREAM_CONNECTION, NULL, error, "service", stream, NULL);
}

/**
 * io_stream_connection_open_stream: (constructor)
 * @stream: a stream that the calling thread serves
 * @error: return location for an error
 *
 * Connects to a stream of this process and opens it exclusively.
 *
 * In the thread of @stream; the connection belongs to its context. Fails as
 * io_stream_connection_new_for_stream() and io_connection_open().
 *
 * Returns: (transfer full): the open connection, or %NULL with @error set
 * Since: 1.0
 */
IOStreamConnection *
io_stream_connection_open_stream (IOStream  *stream,
                                  GError   **error)
{
  g_autoptr (IOStreamConnection) self = io_stream_connection_new_for_stream (stream, error);

  if (self == NULL || !io_connection_open (IO_CONNECTION (self), IO_STREAM_OPEN_NONE, NULL, error))
    return NULL;

  return g_steal_pointer (&self);
}

/**
 * io_stream_connection_open_name:
 * @name: name of a stream
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Connects to a stream and opens it exclusively.
 *
 * Any thread; the connection belongs to this one. Fails as
 * io_stream_connection_new_for_name() and io_connection_open().
 *
 * Returns: (transfer full): the open connection, or %NULL with @error set
 * Since: 1.0
 */
IOStreamConnection *
io_stream_connection_open_name (const char    *name,
                                GCancellable  *cancellable,
                                GError       **error)
{
  g_autoptr (IOStreamConnection) self = io_stream_connection_new_for_name (name, cancellable, error);

  if (self == NULL || !io_connection_open (IO_CONNECTION (self), IO_STREAM_OPEN_NONE, cancellable, error))
    return NULL;

  return g_steal_pointer (&self);
}

static void
opened_cb (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  GError *error = NULL;

  if (io_connection_open_finish (IO_CONNECTION (source), result, &error))
    g_task_return_pointer (task, g_object_ref (source), g_object_unref);
  else
    g_task_return_error (task, error);
}

/**
 * io_stream_connection_open_name_async:
 * @name: name of a stream
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async): called when it is done
 * @user_data: passed to @callback
 *
 * Begins what io_stream_connection_open_name() does, without waiting; end it
 * with io_stream_connection_open_name_finish().
 *
 * Any thread; the connection belongs to this one, and @callback is called in
 * its thread-default main context.
 *
 * Since: 1.0
 */
void
io_stream_connection_open_name_async (const char          *name,
                                      GCancellable        *cancellable,
                                      GAsyncReadyCallback  callback,
                                      gpointer             user_data)
{
  g_autoptr (IOStreamConnection) self = NULL;
  GTask *task;

  g_return_if_fail (name != NULL);
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (NULL, cancellable, callback, user_data);
  g_task_set_source_tag (task, io_stream_connection_open_name_async);
  self = g_object_new (IO_TYPE_STREAM_CONNECTION, "name", name, NULL);
  io_connection_open_async (IO_CONNECTION (self), IO_STREAM_OPEN_NONE, cancellable, opened_cb, task);
}

/**
 * io_stream_connection_open_name_finish:
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends what io_stream_connection_open_name_async() began.
 *
 * Returns: (transfer full): the open connection, or %NULL with @error set
 * Since: 1.0
 */
IOStreamConnection *
io_stream_connection_open_name_finish (GAsyncResult  *result,
                                       GError       **error)
{
  g_return_val_if_fail (g_task_is_valid (result, NULL), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, io_stream_connection_open_name_async), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}
