/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-user-client-internal-private.h"

/* What a client may do and have. */

/**
 * io_user_client_get_read_only:
 * @self: a user client
 *
 * Gets #IOUserClient:read-only. In the thread of the service.
 *
 * Returns: %TRUE if the client may only read
 * Since: 1.0
 */
gboolean
io_user_client_get_read_only (IOUserClient *self)
{
  g_return_val_if_fail (IO_IS_USER_CLIENT (self), FALSE);

  return _io_user_client_get_private (self)->read_only;
}

/**
 * io_user_client_set_read_only:
 * @self: a user client
 * @read_only: whether the client may only read
 *
 * Decides whether the client may only read. Such a client is refused all
 * memory that the kernel would let it write. It has an effect on what the
 * client asks for later; the place for it is #IOService::authorize.
 *
 * In the thread of the service.
 *
 * Since: 1.0
 */
void
io_user_client_set_read_only (IOUserClient *self,
                              gboolean      read_only)
{
  IOUserClientPrivate *priv;

  g_return_if_fail (IO_IS_USER_CLIENT (self));

  priv = _io_user_client_get_private (self);
  read_only = !!read_only;
  if (priv->read_only == read_only)
    return;

  priv->read_only = read_only;
  g_object_notify (G_OBJECT (self), "read-only");
}

/**
 * io_user_client_set_limits:
 * @self: a user client
 * @max_buffers: how many buffers the client may hold at a time
 * @max_bytes: how much memory may be made for this client alone
 *
 * Sets what the client can have at most. In the beginning that is
 * %IO_STREAM_MAX_BUFFERS, and no limit on memory. It has an effect on what the
 * client asks for later; the place for it is #IOService::authorize.
 *
 * In the thread of the service.
 *
 * Since: 1.0
 */
void
io_user_client_set_limits (IOUserClient *self,
                           guint         max_buffers,
                           guint64       max_bytes)
{
  IOUserClientPrivate *priv;

  g_return_if_fail (IO_IS_USER_CLIENT (self));

  priv = _io_user_client_get_private (self);
  priv->max_buffers = max_buffers;
  priv->max_bytes = max_bytes;
}

guint
_io_user_client_get_max_buffers (IOUserClient *self)
{
  return _io_user_client_get_private (self)->max_buffers;
}

guint64
_io_user_client_get_max_bytes (IOUserClient *self)
{
  return _io_user_client_get_private (self)->max_bytes;
}

IOAnnouncements *
_io_user_client_get_announcements (IOUserClient *self)
{
  return &_io_user_client_get_private (self)->told;
}
