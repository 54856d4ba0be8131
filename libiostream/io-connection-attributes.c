/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-connection-internal-private.h"

#include <string.h>

/* What a client asks of a service of any kind: to watch its attributes, to set
 * one, to take a message. */

static GTask *
new_task (IOConnection        *self,
          gpointer             tag,
          GCancellable        *cancellable,
          GAsyncReadyCallback  callback,
          gpointer             user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, tag);
  g_task_set_check_cancellable (task, FALSE);

  return task;
}

static gboolean
finish_call (GAsyncResult  *result,
             GError       **error)
{
  g_autoptr (GVariant) answer = g_task_propagate_pointer (G_TASK (result), error);

  return answer != NULL;
}

static gboolean
call (IOConnection  *self,
      IOOpcode       opcode,
      GVariant      *args,
      GCancellable  *cancellable,
      GError       **error)
{
  g_autoptr (GVariant) sunk = g_variant_ref_sink (args);
  g_autoptr (GVariant) answer = NULL;

  if (!_io_connection_connect (self, cancellable, error))
    return FALSE;

  answer = _io_connection_call (self, opcode, sunk, cancellable, error);
  return answer != NULL;
}

static GVariant *
build_set (const char *key,
           GVariant   *value)
{
  return g_variant_new ("(s@mv)", key,
                        g_variant_new_maybe (G_VARIANT_TYPE_VARIANT,
                                             value != NULL ? g_variant_new_variant (value) : NULL));
}

static GVariant *
build_message (guint     type,
               GVariant *argument)
{
  return g_variant_new ("(u@mv)", type,
                        g_variant_new_maybe (G_VARIANT_TYPE_VARIANT,
                                             argument != NULL ? g_variant_new_variant (argument) : NULL));
}

static GVariant *
build_watch (gboolean on)
{
  return g_variant_new ("(b)", on);
}

/**
 * io_connection_watch_attributes:
 * @self: an #IOConnection
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Asks the owner to tell whatever changes of the attributes of the service from
 * now on; connects first if that has not been done. When this returns, all
 * attributes are there for io_connection_get_attribute(), which gives the last
 * value known, and #IOConnection::attribute-changed tells what changes. Calling
 * it again does no harm.
 *
 * All attributes together may be larger than a packet. One that alone is, is
 * not there for clients. Up to 1,024 are kept.
 *
 * It fails as io_connection_copy_attributes() does.
 *
 * In the thread of the connection.
 *
 * Returns: whether the attributes are watched
 * Since: 1.0
 */
gboolean
io_connection_watch_attributes (IOConnection  *self,
                                GCancellable  *cancellable,
                                GError       **error)
{
  g_return_val_if_fail (IO_IS_CONNECTION (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  _io_connection_get_private (self)->watching = TRUE;
  return call (self, IO_OPCODE_WATCH_ATTRIBUTES, build_watch (TRUE), cancellable, error);
}

/**
 * io_connection_watch_attributes_async:
 * @self: an #IOConnection
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async): called when the attributes are watched
 * @user_data: for @callback
 *
 * Asks to watch the attributes without waiting; see
 * io_connection_watch_attributes(). The connection must be made.
 *
 * In the thread of the connection.
 *
 * Since: 1.0
 */
void
io_connection_watch_attributes_async (IOConnection        *self,
                                      GCancellable        *cancellable,
                                      GAsyncReadyCallback  callback,
                                      gpointer             user_data)
{
  g_return_if_fail (IO_IS_CONNECTION (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  _io_connection_get_private (self)->watching = TRUE;
  _io_connection_call_async (self, IO_OPCODE_WATCH_ATTRIBUTES, build_watch (TRUE),
                             new_task (self, io_connection_watch_attributes_async, cancellable,
                                       callback, user_data));
}

/**
 * io_connection_watch_attributes_finish:
 * @self: an #IOConnection
 * @result: what the callback got
 * @error: return location for a #GError
 *
 * Ends io_connection_watch_attributes_async(); it fails as
 * io_connection_watch_attributes() does, and with %IO_STREAM_ERROR_NOT_OPEN if
 * the connection was not made.
 *
 * In the thread of the connection.
 *
 * Returns: whether the attributes are watched
 * Since: 1.0
 */
gboolean
io_connection_watch_attributes_finish (IOConnection  *self,
                                       GAsyncResult  *result,
                                       GError       **error)
{
  g_return_val_if_fail (IO_IS_CONNECTION (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, io_connection_watch_attributes_async), FALSE);

  return finish_call (result, error);
}

/**
 * io_connection_unwatch_attributes:
 * @self: an #IOConnection
 *
 * Tells the owner that changes of attributes are of no interest any more, and
 * does not wait. #IOConnection::attribute-changed is not emitted from now on;
 * what was known stays.
 *
 * In the thread of the connection.
 *
 * Since: 1.0
 */
void
io_connection_unwatch_attributes (IOConnection *self)
{
  IOConnectionPrivate *priv;

  g_return_if_fail (IO_IS_CONNECTION (self));

  priv = _io_connection_get_private (self);
  if (!priv->watching)
    return;

  priv->watching = FALSE;
  priv->complete = FALSE;
  g_clear_pointer (&priv->changes, g_hash_table_unref);
  if (io_connection_is_connected (self))
    _io_connection_send_call (self, IO_OPCODE_WATCH_ATTRIBUTES, build_watch (FALSE));
}

/**
 * io_connection_get_attribute:
 * @self: an #IOConnection
 * @key: which attribute
 *
 * Gets the last value known of an attribute that is watched; see
 * io_connection_watch_attributes(). It does not ask the owner, and works also
 * after the connection has ended. A synchronous call on the connection takes in
 * what has changed before the owner answered it.
 *
 * In the thread of the connection. Apple: IORegistryEntryCreateCFProperty().
 *
 * Returns: (transfer full) (nullable): the value, or %NULL if there is none
 * Since: 1.0
 */
GVariant *
io_connection_get_attribute (IOConnection *self,
                             const char   *key)
{
  GVariant *value;

  g_return_val_if_fail (IO_IS_CONNECTION (self), NULL);
  g_return_val_if_fail (key != NULL, NULL);

  value = g_hash_table_lookup (_io_connection_get_private (self)->attributes, key);
  return value != NULL ? g_variant_ref (value) : NULL;
}

/**
 * io_connection_set_attribute:
 * @self: an #IOConnection
 * @key: which attribute
 * @value: (nullable): its value, or %NULL to remove it; a floating one is taken
 *   over
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Asks the owner to set an attribute; connects first if that has not been done.
 * The service decides, by #IOServiceClass.client_set_attribute(), and may set
 * something else instead.
 *
 * It fails with %IO_STREAM_ERROR_UNSUPPORTED if the service lets no client set
 * attributes, %IO_STREAM_ERROR_NOT_PERMITTED if this one may only read, with
 * what the service says, with %IO_STREAM_ERROR_MESSAGE_TOO_LARGE if the packet
 * would be over 8,192 bytes, and as io_connection_copy_attributes() does.
 *
 * In the thread of the connection. Apple: IORegistryEntrySetCFProperty().
 *
 * Returns: whether the owner has done it
 * Since: 1.0
 */
gboolean
io_connection_set_attribute (IOConnection  *self,
                             const char    *key,
                             GVariant      *value,
                             GCancellable  *cancellable,
                             GError       **error)
{
  g_return_val_if_fail (IO_IS_CONNECTION (self), FALSE);
  g_return_val_if_fail (key != NULL && g_utf8_validate (key, -1, NULL), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return call (self, IO_OPCODE_SET_ATTRIBUTE, build_set (key, value), cancellable, error);
}

/**
 * io_connection_set_attribute_async:
 * @self: an #IOConnection
 * @key: which attribute
 * @value: (nullable): its value, or %NULL to remove it; a floating one is taken
 *   over
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async): called when the owner has answered
 * @user_data: for @callback
 *
 * Asks the owner to set an attribute without waiting; see
 * io_connection_set_attribute(). The connection must be made.
 *
 * In the thread of the connection.
 *
 * Since: 1.0
 */
void
io_connection_set_attribute_async (IOConnection        *self,
                                   const char          *key,
                                   GVariant            *value,
                                   GCancellable        *cancellable,
                                   GAsyncReadyCallback  callback,
                                   gpointer             user_data)
{
  g_return_if_fail (IO_IS_CONNECTION (self));
  g_return_if_fail (key != NULL && g_utf8_validate (key, -1, NULL));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  _io_connection_call_async (self, IO_OPCODE_SET_ATTRIBUTE, build_set (key, value),
                             new_task (self, io_connection_set_attribute_async, cancellable,
                                       callback, user_data));
}

/**
 * io_connection_set_attribute_finish:
 * @self: an #IOConnection
 * @result: what the callback got
 * @error: return location for a #GError
 *
 * Ends io_connection_set_attribute_async(); it fails as
 * io_connection_set_attribute() does, and with %IO_STREAM_ERROR_NOT_OPEN if the
 * connection was not made.
 *
 * In the thread of the connection.
 *
 * Returns: whether the owner has done it
 * Since: 1.0
 */
gboolean
io_connection_set_attribute_finish (IOConnection  *self,
                                    GAsyncResult  *result,
                                    GError       **error)
{
  g_return_val_if_fail (IO_IS_CONNECTION (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, io_connection_set_attribute_async), FALSE);

  return finish_call (result, error);
}

/**
 * io_connection_send_message:
 * @self: an #IOConnection
 * @type: what is said: an #IOServiceMessageType, or a number of the kind of
 *   service
 * @argument: (nullable): what goes with it; a floating one is taken over
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Tells the service something, and waits until it has taken it; connects first
 * if that has not been done. The service need not be open. It arrives at
 * #IOServiceClass.message().
 *
 * It fails with %IO_STREAM_ERROR_UNSUPPORTED if the service takes no such
 * message, with what the service says, with %IO_STREAM_ERROR_MESSAGE_TOO_LARGE
 * if the packet would be over 8,192 bytes, and as
 * io_connection_copy_attributes() does.
 *
 * In the thread of the connection. Apple: IOService::message of the provider.
 *
 * Returns: whether the service has taken the message
 * Since: 1.0
 */
gboolean
io_connection_send_message (IOConnection  *self,
                            guint          type,
                            GVariant      *argument,
                            GCancellable  *cancellable,
                            GError       **error)
{
  g_return_val_if_fail (IO_IS_CONNECTION (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return call (self, IO_OPCODE_SEND_MESSAGE, build_message (type, argument), cancellable, error);
}

/**
 * io_connection_send_message_async:
 * @self: an #IOConnection
 * @type: what is said: an #IOServiceMessageType, or a number of the kind of
 *   service
 * @argument: (nullable): what goes with it; a floating one is taken over
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async): called when the owner has answered
 * @user_data: for @callback
 *
 * Tells the service something without waiting; see
 * io_connection_send_message(). The connection must be made.
 *
 * In the thread of the connection.
 *
 * Since: 1.0
 */
void
io_connection_send_message_async (IOConnection        *self,
                                  guint                type,
                                  GVariant            *argument,
                                  GCancellable        *cancellable,
                                  GAsyncReadyCallback  callback,
                                  gpointer             user_data)
{
  g_return_if_fail (IO_IS_CONNECTION (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  _io_connection_call_async (self, IO_OPCODE_SEND_MESSAGE, build_message (type, argument),
                             new_task (self, io_connection_send_message_async, cancellable,
                                       callback, user_data));
}

/**
 * io_connection_send_message_finish:
 * @self: an #IOConnection
 * @result: what the callback got
 * @error: return location for a #GError
 *
 * Ends io_connection_send_message_async(); it fails as
 * io_connection_send_message() does, and with %IO_STREAM_ERROR_NOT_OPEN if the
 * connection was not made.
 *
 * In the thread of the connection.
 *
 * Returns: whether the service has taken the message
 * Since: 1.0
 */
gboolean
io_connection_send_message_finish (IOConnection  *self,
                                   GAsyncResult  *result,
                                   GError       **error)
{
  g_return_val_if_fail (IO_IS_CONNECTION (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, io_connection_send_message_async), FALSE);

  return finish_call (result, error);
}
