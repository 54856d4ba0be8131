/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-service-internal-private.h"

#include "io-user-client-private.h"

static void
end_client (IOService    *self,
            IOUserClient *client)
{
  if (io_user_client_is_connected (client))
    io_user_client_terminate (client, NULL);
  else
    /* Called from its own end. */
    _io_service_forget_client (self, client);
}

static gboolean
terminate_func (IOService  *self,
                gpointer    data,
                GError    **error)
{
  IOServicePrivate *priv = _io_service_get_private (self);
  G_GNUC_UNUSED g_autoptr (IOService) kept = g_object_ref (self);
  gboolean was_registered = priv->registered;

  if (priv->inactive)
    return TRUE;

  priv->inactive = TRUE;
  _io_service_unpublish (self);
  g_object_notify (G_OBJECT (self), "inactive");

  _io_door_stop (priv->door);
  while (priv->clients != NULL)
    end_client (self, priv->clients->data);
  _io_door_release (priv->door);

  priv->registered = FALSE;
  if (was_registered)
    g_object_notify (G_OBJECT (self), "registered");
  g_signal_emit_by_name (self, "terminated");
  if (was_registered)
    g_object_unref (self);

  return TRUE;
}

/**
 * io_service_terminate:
 * @self: a service
 *
 * Ends the service: nobody can connect any more, clients are told so and
 * disconnected (with #IOService::client-closed for those that had it open), the
 * name is free, #IOService::terminated is emitted, and the reference of the
 * registration is dropped. Does nothing if it was called before.
 *
 * Can be called in any virtual method and signal handler.
 *
 * In the thread of the service; any thread if it has a work loop. Apple:
 * IOService::terminate.
 *
 * Since: 1.0
 */
void
io_service_terminate (IOService *self)
{
  gboolean ran;

  g_return_if_fail (IO_IS_SERVICE (self));

  if (!_io_service_in_own_process (self))
    return;

  _io_service_run (self, terminate_func, NULL, &ran, NULL);
  /* Its thread is gone, so nobody is in the way. */
  if (!ran)
    terminate_func (self, NULL, NULL);
}

/**
 * io_service_is_inactive:
 * @self: a service
 *
 * Gets #IOService:inactive. In the thread of the service. Apple:
 * IOService::isInactive.
 *
 * Returns: %TRUE from the first moment of io_service_terminate() on
 * Since: 1.0
 */
gboolean
io_service_is_inactive (IOService *self)
{
  g_return_val_if_fail (IO_IS_SERVICE (self), FALSE);

  return _io_service_get_private (self)->inactive;
}
