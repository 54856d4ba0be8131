/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-connection-internal-private.h"

/* What a connection knows of itself and of its service. */

/**
 * io_connection_get_name:
 * @self: an #IOConnection
 *
 * Gets the name of the service.
 *
 * In the thread of the connection.
 *
 * Returns: (nullable): #IOConnection:name
 * Since: 1.0
 */
const char *
io_connection_get_name (IOConnection *self)
{
  g_return_val_if_fail (IO_IS_CONNECTION (self), NULL);

  return _io_connection_get_private (self)->name;
}

/**
 * io_connection_get_service_class:
 * @self: an #IOConnection
 *
 * Gets the name of the class of the service, as the owner told it (Apple:
 * IOObjectGetClass()).
 *
 * In the thread of the connection.
 *
 * Returns: (nullable): the name, or %NULL before the connection is made
 * Since: 1.0
 */
const char *
io_connection_get_service_class (IOConnection *self)
{
  g_return_val_if_fail (IO_IS_CONNECTION (self), NULL);

  return _io_connection_get_private (self)->service_class;
}

/**
 * io_connection_get_error:
 * @self: an #IOConnection
 *
 * Gets why the connection was lost: %IO_STREAM_ERROR_OFFLINE if the owner is
 * gone, %IO_STREAM_ERROR_IPC_ERROR if it broke the protocol, or what the owner
 * gave as the reason. After a clean end it is %NULL, while
 * io_connection_is_connected() returns %FALSE.
 *
 * In the thread of the connection.
 *
 * Returns: (transfer none) (nullable): the error, owned by the connection
 * Since: 1.0
 */
const GError *
io_connection_get_error (IOConnection *self)
{
  g_return_val_if_fail (IO_IS_CONNECTION (self), NULL);

  return _io_connection_get_private (self)->error;
}

/**
 * io_connection_is_connected:
 * @self: an #IOConnection
 *
 * Tells whether the owner is at the other end, as far as is known: its death
 * is noticed by the context of the connection, or by the next call.
 *
 * In the thread of the connection.
 *
 * Returns: #IOConnection:connected
 * Since: 1.0
 */
gboolean
io_connection_is_connected (IOConnection *self)
{
  g_return_val_if_fail (IO_IS_CONNECTION (self), FALSE);

  return _io_connection_get_private (self)->link == IO_LINK_UP &&
         _io_connection_in_own_process (self);
}

/**
 * io_connection_is_open:
 * @self: an #IOConnection
 *
 * Tells whether the service is open for this connection.
 *
 * In the thread of the connection.
 *
 * Returns: #IOConnection:opened
 * Since: 1.0
 */
gboolean
io_connection_is_open (IOConnection *self)
{
  g_return_val_if_fail (IO_IS_CONNECTION (self), FALSE);

  return _io_connection_get_private (self)->phase == IO_PHASE_OPEN &&
         _io_connection_in_own_process (self);
}

/**
 * io_connection_copy_attributes:
 * @self: an #IOConnection
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Asks the owner for the attributes of the service (Apple:
 * IORegistryEntryCreateCFProperties()); connects first if that has not been
 * done. The service need not be open.
 *
 * It fails as io_connection_new_for_name() does, with
 * %IO_STREAM_ERROR_NOT_RESPONDING if the answer does not come in time, and with
 * %IO_STREAM_ERROR_OFFLINE if the owner is gone.
 *
 * In the thread of the connection.
 *
 * Returns: (transfer full): a #GVariant of type a{sv}, or %NULL with @error set
 * Since: 1.0
 */
GVariant *
io_connection_copy_attributes (IOConnection  *self,
                               GCancellable  *cancellable,
                               GError       **error)
{
  g_autoptr (GVariant) answer = NULL;

  g_return_val_if_fail (IO_IS_CONNECTION (self), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!_io_connection_connect (self, cancellable, error))
    return NULL;

  answer = _io_connection_call (self, IO_OPCODE_GET_ATTRIBUTES, NULL, cancellable, error);

  return answer != NULL ? g_variant_get_child_value (answer, 0) : NULL;
}
