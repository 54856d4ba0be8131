/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-private.h"

/* Who has the stream open, and how much each may hold. */

IOStreamLink *
_io_stream_find_link (IOStreamPrivate *priv,
                      IOUserClient    *client)
{
  for (guint i = 0; i < priv->links->len; i++)
    {
      IOStreamLink *link = _io_stream_link_at (priv, i);

      if (link->client == client)
        return link;
    }

  return NULL;
}

guint
_io_stream_count_lendable (IOStreamPrivate *priv)
{
  return priv->buffers->len > priv->reserve_count ? priv->buffers->len - priv->reserve_count : 0;
}

/* One that shares does not get everything, or it could keep all others from
 * getting anything by keeping it. */
guint
_io_stream_get_allowance (IOStreamPrivate *priv)
{
  if (priv->client_allowance > 0)
    return priv->client_allowance;

  return priv->shared ? MAX (_io_stream_count_lendable (priv) / 2, 1) : G_MAXUINT;
}

void
_io_stream_set_limits_locked (IOStreamPrivate *priv)
{
  guint allowance = _io_stream_get_allowance (priv);

  for (guint i = 0; i < priv->links->len; i++)
    _io_stream_link_set_limit (_io_stream_link_at (priv, i), priv->buffers->len, allowance);
}

IOStreamLink *
_io_stream_find_worst_locked (IOStreamPrivate *priv)
{
  IOStreamLink *worst = NULL;

  for (guint i = 0; i < priv->links->len; i++)
    {
      IOStreamLink *link = _io_stream_link_at (priv, i);

      if (link->holder.count > (worst != NULL ? worst->holder.count : 0))
        worst = link;
    }

  return worst;
}

IOStreamLink *
_io_stream_find_holder_locked (IOStreamPrivate *priv,
                               guint32          id)
{
  for (guint i = 0; i < priv->links->len; i++)
    {
      IOStreamLink *link = _io_stream_link_at (priv, i);

      if (_io_loan_holder_has (&link->holder, id))
        return link;
    }

  return NULL;
}

IOStreamLink *
_io_stream_find_blocker_locked (IOStreamPrivate *priv,
                                gboolean         can_lend)
{
  for (guint i = 0; i < priv->links->len; i++)
    {
      IOStreamLink *link = _io_stream_link_at (priv, i);

      if (can_lend ? _io_stream_is_blocker (link)
                   : link->delivery == IO_STREAM_DELIVERY_BLOCK && link->state == IO_STREAM_STATE_RUNNING)
        return link;
    }

  return NULL;
}

gboolean
_io_stream_check_shareable (IOStream  *self,
                            GError   **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  const char *name = io_service_get_name (IO_SERVICE (self));

  if (priv->mode != IO_STREAM_MODE_OUTPUT)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_UNSUPPORTED,
                   "Stream “%s” cannot be opened shared: clients fill its buffers", name);
      return FALSE;
    }

  for (guint id = 0; id < priv->buffers->len; id++)
    if (_io_stream_is_exposed (g_ptr_array_index (priv->buffers, id)))
      {
        g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_UNSUPPORTED,
                     "Stream “%s” cannot be opened shared: clients can write buffer %u, and so change "
                     "what others read", name, id);
        return FALSE;
      }

  return TRUE;
}

static guint
get_number (IOStream    *self,
            const guint *number)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  guint value;

  g_mutex_lock (&priv->lock);
  value = *number;
  g_mutex_unlock (&priv->lock);

  return value;
}

static void
set_number (IOStream   *self,
            guint      *number,
            guint       value,
            const char *property)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  gboolean changed;

  g_mutex_lock (&priv->lock);
  changed = *number != value;
  *number = value;
  _io_stream_set_limits_locked (priv);
  g_cond_broadcast (&priv->cond);
  g_mutex_unlock (&priv->lock);

  if (changed)
    g_object_notify (G_OBJECT (self), property);
}

/**
 * io_stream_get_reserve_count:
 * @self: a stream
 *
 * Gets #IOStream:reserve-count. Any thread.
 *
 * Returns: the number
 * Since: 1.0
 */
guint
io_stream_get_reserve_count (IOStream *self)
{
  g_return_val_if_fail (IO_IS_STREAM (self), 0);

  return get_number (self, &_io_stream_get_private (self)->reserve_count);
}

/**
 * io_stream_set_reserve_count:
 * @self: a stream
 * @reserve_count: how many buffers all clients together leave to the owner
 *
 * Sets #IOStream:reserve-count. It holds for what is sent from now on: what clients
 * have they keep.
 *
 * Any thread; notified in the one that calls.
 *
 * Since: 1.0
 */
void
io_stream_set_reserve_count (IOStream *self,
                             guint     reserve_count)
{
  g_return_if_fail (IO_IS_STREAM (self));
  g_return_if_fail (reserve_count <= IO_STREAM_MAX_BUFFERS);

  set_number (self, &_io_stream_get_private (self)->reserve_count, reserve_count, "reserve-count");
}

/**
 * io_stream_get_client_allowance:
 * @self: a stream
 *
 * Gets #IOStream:client-allowance. Any thread.
 *
 * Returns: the number
 * Since: 1.0
 */
guint
io_stream_get_client_allowance (IOStream *self)
{
  g_return_val_if_fail (IO_IS_STREAM (self), 0);

  return get_number (self, &_io_stream_get_private (self)->client_allowance);
}

/**
 * io_stream_set_client_allowance:
 * @self: a stream
 * @allowance: how many buffers one client can hold; 0 for a share that fits
 *
 * Sets #IOStream:client-allowance. It holds for what is sent from now on: what clients
 * have they keep.
 *
 * Any thread; notified in the one that calls.
 *
 * Since: 1.0
 */
void
io_stream_set_client_allowance (IOStream *self,
                                guint     allowance)
{
  g_return_if_fail (IO_IS_STREAM (self));
  g_return_if_fail (allowance <= IO_STREAM_MAX_BUFFERS);

  set_number (self, &_io_stream_get_private (self)->client_allowance, allowance, "client-allowance");
}
