/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-user-client-internal-private.h"

#include "io-external-method.h"

#include <sys/stat.h>

/* Whatever the limit is; the memory is ours until it is taken. */
#define MAX_UNREAD_ANSWERS (4 * (guint64) IO_EXTERNAL_METHOD_MAX_STRUCTURE)

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
 * memory that the kernel would let it write, which is also all streams whose
 * buffers clients write, data queues in which it would produce, and arguments
 * of methods that do not fit into a message. It cannot set attributes, nor the
 * mode of a stream, nor seize the service. All with
 * %IO_STREAM_ERROR_NOT_PERMITTED.
 *
 * It can start and stop what it has open, and return buffers: that belongs to
 * reading. It can also cause interrupts, call methods and send messages. Which of
 * them change something only the owner knows, who asks
 * io_user_client_get_read_only().
 *
 * It has an effect on what the client asks for later; the place for it is
 * #IOService::authorize.
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
 * @max_bytes: how much memory may be made for this client alone: its end of
 *   a stream, queues, interrupts, large arguments, and large answers until it
 *   has read them, all together
 *
 * Sets what the client can have at most. In the beginning that is
 * %IO_STREAM_MAX_BUFFERS, and no limit on memory. With 0 buffers it can open a
 * stream and is lent nothing; what would make more memory than it may have
 * fails with %IO_STREAM_ERROR_NO_RESOURCES. It has an effect on what the client
 * asks for later; the place for it is #IOService::authorize.
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

/* What the client gave up, or took, no longer counts. */
static void
refresh (IOUserClientPrivate *priv,
         IOUserClient        *self)
{
  priv->charges[IO_CHARGE_QUEUES] = _io_user_client_count_queues (self);
  if (priv->channel == NULL || _io_channel_has_read_all (priv->channel))
    priv->charges[IO_CHARGE_ANSWERS] = 0;
}

gboolean
_io_user_client_charge (IOUserClient  *self,
                        IOCharge       charge,
                        guint64        bytes,
                        const char    *purpose,
                        GError       **error)
{
  IOUserClientPrivate *priv = _io_user_client_get_private (self);
  guint64 others = 0;

  refresh (priv, self);
  for (guint i = 0; i < IO_N_CHARGES; i++)
    others += i != charge ? priv->charges[i] : 0;

  if (bytes > priv->charges[charge] && (others > priv->max_bytes || bytes > priv->max_bytes - others))
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES,
                   "Cannot %s: that makes %" G_GUINT64_FORMAT " bytes beside %" G_GUINT64_FORMAT
                   "; client “%s” may have %" G_GUINT64_FORMAT, purpose, bytes, others,
                   priv->client_name, priv->max_bytes);
      return FALSE;
    }

  priv->charges[charge] = bytes;
  return TRUE;
}

void
_io_user_client_discharge (IOUserClient *self,
                           IOCharge      charge)
{
  _io_user_client_get_private (self)->charges[charge] = 0;
}

gboolean
_io_user_client_charge_answer (IOUserClient  *self,
                               GUnixFDList   *fds,
                               GError       **error)
{
  IOUserClientPrivate *priv = _io_user_client_get_private (self);
  guint64 bytes = 0;
  int n_fds = 0;
  const int *list = fds != NULL ? g_unix_fd_list_peek_fds (fds, &n_fds) : NULL;

  for (int i = 0; i < n_fds; i++)
    {
      struct stat status;

      if (fstat (list[i], &status) == 0)
        bytes += (guint64) status.st_size;
    }
  if (bytes == 0)
    return TRUE;

  refresh (priv, self);
  if (priv->charges[IO_CHARGE_ANSWERS] + bytes > MAX_UNREAD_ANSWERS)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES,
                   "Cannot answer a method: client “%s” has not read %" G_GUINT64_FORMAT " bytes of answers",
                   priv->client_name, priv->charges[IO_CHARGE_ANSWERS]);
      return FALSE;
    }

  return _io_user_client_charge (self, IO_CHARGE_ANSWERS, priv->charges[IO_CHARGE_ANSWERS] + bytes,
                                 "answer a method", error);
}

IOAnnouncements *
_io_user_client_get_announcements (IOUserClient *self)
{
  return &_io_user_client_get_private (self)->told;
}
