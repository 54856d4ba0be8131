/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-connection-private.h"

#include "io-fork-private.h"
#include "io-revocation-private.h"

/* What the owner took away while this client held it. */

static guint64
read_word (IOStreamConnectionPrivate *priv)
{
  return atomic_load_explicit (&priv->peer.page->revoked_before, memory_order_relaxed);
}

gboolean
_io_stream_connection_has_revocation (IOStreamConnectionPrivate *priv)
{
  return priv->attached && priv->fork_count == _io_fork_count () && read_word (priv) != priv->revocation_seen;
}

/* Goes home at once: whoever still has it notices when it looks whether it has,
 * and its place in the queues of the owner is free for something else. */
void
_io_stream_connection_give_up_locked (IOStreamConnectionPrivate      *priv,
                                      const IOStreamBufferQueueEntry *entry)
{
  IOStreamBufferQueueEntry empty = { entry->buffer_id, 0, 0, 0, 0, entry->sequence, 0, 0 };

  priv->n_revoked++;
  if (priv->usable)
    _io_ring_put (&priv->input, &empty);
}

void
_io_stream_connection_see_revocation_locked (IOStreamConnectionPrivate *priv)
{
  guint64 before = priv->n_revoked;

  if (G_LIKELY (read_word (priv) == priv->revocation_seen))
    return;

  priv->revocation_seen = read_word (priv);
  for (guint id = 0; id < priv->buffers->len && priv->held > 0; id++)
    {
      IOStreamClientBuffer *buffer = &g_array_index (priv->buffers, IOStreamClientBuffer, id);
      IOStreamBufferQueueEntry entry = { id, 0, 0, 0, 0, buffer->sequence, 0, 0 };

      if (!buffer->held || !_io_revocation_covers (priv->peer.page, buffer->sequence))
        continue;

      buffer->held = FALSE;
      priv->held--;
      _io_stream_connection_give_up_locked (priv, &entry);
    }
  if (priv->n_revoked != before)
    _io_notification_port_wake (priv->port);
  if (priv->n_revoked != before && priv->usable)
    _io_notification_port_ring (priv->port);
}

gboolean
_io_stream_connection_is_revoked_locked (IOStreamConnectionPrivate *priv,
                                         guint32                    sequence)
{
  return priv->attached && _io_revocation_covers (priv->peer.page, sequence);
}

/* In another thread the port looks. */
void
_io_stream_connection_tell_revoked (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  if (G_UNLIKELY (priv->n_revoked != priv->n_revoked_told) && priv->thread == g_thread_self ())
    _io_stream_connection_tell_later (self, IO_NEWS_REVOKED);
}

/**
 * io_stream_connection_check_entry:
 * @self: a connection
 * @entry: an entry that was taken from the output queue
 *
 * Finds out whether this client still has the buffer under this number, or has
 * it no longer: the owner took it away, since it was held for longer than
 * #IOStream:loan-time-limit, or this client gave it back, or closed the stream.
 *
 * With an owner that may revoke loans, what was read out of a buffer is sound
 * only if this says so afterwards: copy the bytes, then ask. What is looked at
 * without a copy can turn into another picture, or into parts of two, at any
 * moment; the memory stays mapped, so it never is a crash.
 *
 * Any thread. Never waits.
 *
 * Returns: %TRUE if the bytes that were read before the call are those that
 *   were sent
 * Since: 1.0
 */
gboolean
io_stream_connection_check_entry (IOStreamConnection             *self,
                                  const IOStreamBufferQueueEntry *entry)
{
  IOStreamConnectionPrivate *priv;
  gboolean sound;

  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), FALSE);
  g_return_val_if_fail (entry != NULL, FALSE);

  priv = _io_stream_connection_get_private (self);
  if (priv->fork_count != _io_fork_count ())
    return FALSE;

  g_mutex_lock (&priv->lock);
  if (priv->attached)
    _io_stream_connection_see_revocation_locked (priv);
  sound = _io_stream_connection_is_held_locked (priv, entry) &&
          !_io_stream_connection_is_revoked_locked (priv, entry->sequence);
  g_mutex_unlock (&priv->lock);
  _io_stream_connection_tell_revoked (self);

  return sound;
}

/**
 * io_stream_connection_get_revoked_count:
 * @self: a connection
 *
 * Gets how many buffers were taken away from this client over all opens, as far
 * as that was noticed.
 *
 * Any thread.
 *
 * Returns: the number of buffers
 * Since: 1.0
 */
guint64
io_stream_connection_get_revoked_count (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv;
  guint64 n;

  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), 0);

  priv = _io_stream_connection_get_private (self);
  g_mutex_lock (&priv->lock);
  n = priv->n_revoked;
  g_mutex_unlock (&priv->lock);

  return n;
}
