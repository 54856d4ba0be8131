/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-connection-private.h"

#include "io-fork-private.h"
#include "io-stream-link-private.h"

static gboolean
port_is_ready (gpointer owner)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (owner);
  guint64 next;

  if (!priv->attached)
    return FALSE;

  next = _io_stream_connection_get_next (priv);
  if (priv->notify_in_context)
    next = MAX (next, priv->announced);

  return (!(priv->blocked && priv->notify_in_context) && _io_ring_is_published (&priv->output, next)) ||
         _io_stream_connection_has_news (owner);
}

/* Entries that were announced and left in the queue are not announced
 * again. */
static void
skip_announced (IOStreamConnectionPrivate *priv)
{
  guint64 next = _io_stream_connection_get_next (priv);
  guint64 end = next + priv->output.mask + 1;

  priv->announced = MAX (priv->announced, next);
  while (priv->announced < end && _io_ring_is_published (&priv->output, priv->announced))
    priv->announced++;
}

/* After somebody was called, who may have closed it, or forked. */
static gboolean
is_here (IOStreamConnectionPrivate *priv)
{
  return priv->attached && priv->fork_count == _io_fork_count ();
}

static gboolean
port_dispatch (gpointer owner)
{
  g_autoptr (IOStreamConnection) self = g_object_ref (owner);
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  gboolean moved;

  _io_stream_connection_see_page (self);
  if (priv->news != 0)
    _io_stream_connection_tell (self);

  if (!is_here (priv) ||
      !_io_ring_is_published (&priv->output, MAX (_io_stream_connection_get_next (priv), priv->announced)))
    return FALSE;
  if (!_io_stream_connection_has_output (self))
    {
      /* Or it was taken back just now. */
      priv->blocked = priv->claim.word == NULL || _io_stream_connection_expects (self, G_MAXUINT32);
      return FALSE;
    }

  priv->announcing = TRUE;
  _io_stream_connection_announce_output (self);
  priv->announcing = FALSE;
  if (!is_here (priv))
    return FALSE;

  /* Also what was taken between two dispatches is progress. */
  moved = priv->output.index != priv->dispatched;
  priv->dispatched = priv->output.index;
  if (!moved)
    skip_announced (priv);

  return moved;
}

/* The bell alone does not say why; the control socket does. */
static void
port_hang_up (gpointer owner)
{
  g_autoptr (IOConnection) connection = g_object_ref (owner);

  _io_connection_poll (connection);
}

/* The vector comes in place of the bell, which only tells of the end then. */
static gboolean
port_wants_ring (gpointer owner)
{
  return !_io_stream_connection_get_private (owner)->by_vector;
}

const IONotificationPortFuncs _io_stream_connection_port_funcs = {
  port_is_ready,
  port_dispatch,
  port_hang_up,
  port_wants_ring
};

static IOStreamClientBuffer *
buffer_at (IOStreamConnectionPrivate *priv,
           guint32                    id)
{
  return &g_array_index (priv->buffers, IOStreamClientBuffer, id);
}

/* What the owner wrote is copied by now; NULL if it is possible. */
static const char *
find_fault (IOStreamConnectionPrivate      *priv,
            const IOStreamBufferQueueEntry *entry)
{
  IOStreamClientBuffer *buffer;

  if (entry->buffer_id >= priv->buffers->len)
    return "there is no such buffer";

  buffer = buffer_at (priv, entry->buffer_id);
  if (buffer->held)
    return "it is here already";
  if (!_io_stream_check_entry_range (entry, buffer->parts.data_size, buffer->parts.control_size))
    return "outside of the buffer";

  return NULL;
}

/* The numbers of the loans go on while this client does not run, or does not
 * have the stream open: the owner says which were not meant for it. An entry of
 * before a restart, of which the page tells already, can be counted with what
 * the client missed meanwhile; the next one puts that right. */
static void
count_gap (IOStreamConnectionPrivate *priv,
           guint32                    sequence)
{
  guint64 run = atomic_load_explicit (&priv->peer.page->run, memory_order_relaxed);
  gint32 missed;

  if ((gint32) (sequence - (guint32) (run >> 32)) >= 0)
    {
      priv->run_skipped = (guint32) run;
      priv->has_run = TRUE;
    }
  if (!priv->has_run)
    {
      priv->next_meant++;
      return;
    }

  missed = (gint32) (sequence - priv->run_skipped - priv->next_meant);
  priv->lost = missed < 0 && priv->lost < (guint64) -(gint64) missed ? 0 : priv->lost + (guint64) (gint64) missed;
  priv->next_meant = sequence - priv->run_skipped + 1;
}

static void
count_entry (IOStreamConnectionPrivate      *priv,
             const IOStreamBufferQueueEntry *entry)
{
  IOStreamClientBuffer *buffer = buffer_at (priv, entry->buffer_id);

  buffer->held = TRUE;
  buffer->sequence = entry->sequence;
  priv->held++;
  priv->received++;

  if (!priv->has_sequence)
    priv->first_sequence = entry->sequence;
  priv->has_sequence = TRUE;
  /* Such are not among those that the client could miss. */
  if (G_UNLIKELY (entry->reserved == IO_RING_REPLAYED))
    return;

  if (G_LIKELY (priv->has_run && entry->sequence == priv->next_sequence))
    priv->next_meant++;
  else
    count_gap (priv, entry->sequence);
  priv->next_sequence = entry->sequence + 1;
}

static void
fail_connection (IOStreamConnection             *self,
                 const IOStreamBufferQueueEntry *entry,
                 const char                     *fault)
{
  _io_connection_fail (IO_CONNECTION (self),
                       g_error_new (IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR,
                                    "The owner of stream “%s” sent buffer %u, data %u+%u, control %u+%u: %s",
                                    io_connection_get_name (IO_CONNECTION (self)), entry->buffer_id,
                                    entry->data_offset, entry->data_length,
                                    entry->control_offset, entry->control_length, fault));
}

/* FALSE to look again. */
static gboolean
ask_locked (IOStreamConnection        *self,
            IOStreamConnectionPrivate *priv)
{
  priv->blocked = TRUE;
  if (priv->thread != g_thread_self ())
    _io_notification_port_wake (priv->port);
  g_mutex_unlock (&priv->lock);
  if (priv->thread == g_thread_self ())
    _io_stream_connection_refresh (self);
  g_mutex_lock (&priv->lock);

  return priv->blocked || !is_here (priv);
}

/* The owner may have added buffers since somebody looked: asks for them, and
 * leaves the entry where it is as long as the answer is not there. What comes
 * when nobody is there to be asked is lost. FALSE to look again. */
static gboolean
put_off_locked (IOStreamConnection             *self,
                IOStreamConnectionPrivate      *priv,
                const IOStreamBufferQueueEntry *entry,
                gboolean                       *found)
{
  if (!priv->usable || !io_connection_is_connected (IO_CONNECTION (self)))
    return FALSE;
  if (!_io_stream_connection_expects (self, entry->buffer_id))
    return TRUE;

  _io_ring_untake (&priv->output);
  *found = FALSE;

  return ask_locked (self, priv);
}

static gboolean
take_locked (IOStreamConnection         *self,
             IOStreamConnectionPrivate  *priv,
             IOStreamBufferQueueEntry   *entry,
             IOStreamConnection        **keep)
{
  gboolean found, unknown;

  do
    {
      found = priv->attached && _io_ring_take (&priv->output, entry);
      unknown = found && entry->buffer_id >= priv->buffers->len;
      if (G_UNLIKELY (unknown) && *keep == NULL)
        *keep = g_object_ref (self);
    }
  while (G_UNLIKELY (unknown) && !put_off_locked (self, priv, entry, &found));

  return found;
}

/* The same where the owner can take back: what is looked at may be gone, and is
 * this client's only after the commit, which is not undone. Each turn is one
 * entry gone, so there are no more than fit in the queue, or the owner plays
 * with the word. */
static gboolean
take_claimed_locked (IOStreamConnection         *self,
                     IOStreamConnectionPrivate  *priv,
                     IOStreamBufferQueueEntry   *entry,
                     IOStreamConnection        **keep,
                     const char                **fault)
{
  for (guint n = priv->output.mask + IO_CLAIM_MAX_TRIES; n > 0 && priv->attached; n--)
    {
      gboolean unknown, online;
      guint64 index;
      IOClaimResult result = _io_claim_peek (&priv->claim, &priv->output, &index, entry);

      if (result == IO_CLAIM_BROKEN)
        {
          *entry = (IOStreamBufferQueueEntry) { IO_STREAM_BUFFER_ID_INVALID, 0, 0, 0, 0, 0, 0, 0 };
          *fault = "it moved the claim word back";
        }
      if (result != IO_CLAIM_ENTRY)
        return FALSE;

      unknown = entry->buffer_id >= priv->buffers->len;
      online = !unknown || (priv->usable && io_connection_is_connected (IO_CONNECTION (self)));
      if (unknown && *keep == NULL)
        *keep = g_object_ref (self);
      if (unknown && online && _io_stream_connection_expects (self, entry->buffer_id))
        {
          if (ask_locked (self, priv))
            return FALSE;
        }
      else if (_io_claim_commit (&priv->claim, &priv->output, index, 1) && online)
        return TRUE;
    }

  return FALSE;
}

/* Taken away before it was taken: goes back at once. */
static gboolean
is_void_locked (IOStreamConnectionPrivate      *priv,
                const IOStreamBufferQueueEntry *entry)
{
  _io_stream_connection_see_revocation_locked (priv);
  if (G_LIKELY (priv->revocation_seen == 0) || !_io_stream_connection_is_revoked_locked (priv, entry->sequence) ||
      entry->buffer_id >= priv->buffers->len)
    return FALSE;

  _io_stream_connection_give_up_locked (priv, entry);
  if (priv->usable)
    _io_notification_port_ring (priv->port);
  _io_notification_port_wake (priv->port);

  return TRUE;
}

/**
 * io_stream_connection_dequeue_output_entry:
 * @self: a connection
 * @entry: (out caller-allocates): where to put the entry
 *
 * Takes the oldest entry of the output queue. The buffer is lent to this
 * client now, until io_stream_connection_return_entry() or
 * io_stream_connection_enqueue_input_entry() gives it back; the address of its
 * bytes is told by io_stream_connection_peek_data_buffer().
 *
 * What stands in @entry was checked: the number is one of this stream's, and
 * the ranges lie within the buffer. Entries that were sent before the stream
 * was stopped, or before its owner died, can still be taken.
 *
 * The first entry of a buffer that the owner has just added is held back, with
 * those behind it, until the owner has described the buffer; each call looks
 * whether it has. (In another thread than that of the connection it does not
 * look: there the context must run.)
 *
 * With %IO_STREAM_DELIVERY_DROP_OLDEST and %IO_STREAM_DELIVERY_LATEST the owner
 * may take an entry back until it is taken here, so there may be none although
 * io_stream_connection_wait() found one: look again.
 *
 * One thread at a time. Never waits. An owner that sends what is impossible
 * costs the connection; see io_connection_get_error(). Apple's
 * DequeueOutputEntry().
 *
 * Returns: %TRUE if there was one, %FALSE if there is none to take
 * Since: 1.0
 */
gboolean
io_stream_connection_dequeue_output_entry (IOStreamConnection       *self,
                                           IOStreamBufferQueueEntry *entry)
{
  G_GNUC_UNUSED g_autoptr (IOStreamConnection) keep = NULL;
  IOStreamConnectionPrivate *priv;
  const char *fault = NULL;
  gboolean found;

  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), FALSE);
  g_return_val_if_fail (entry != NULL, FALSE);

  priv = _io_stream_connection_get_private (self);
  if (G_UNLIKELY (priv->fork_count != _io_fork_count ()))
    return FALSE;

  g_mutex_lock (&priv->lock);
  do
    found = G_LIKELY (priv->claim.word == NULL) ? take_locked (self, priv, entry, &keep)
                                                : take_claimed_locked (self, priv, entry, &keep, &fault);
  while (found && is_void_locked (priv, entry));
  if (found)
    fault = find_fault (priv, entry);
  if (found && fault == NULL)
    {
      count_entry (priv, entry);
      entry->reserved = priv->epoch;
    }
  else if (priv->attached)
    atomic_store_explicit (&priv->own.page->consumed, priv->output.index, memory_order_relaxed);
  g_mutex_unlock (&priv->lock);
  _io_stream_connection_tell_revoked (self);

  if (G_UNLIKELY (fault != NULL))
    {
      fail_connection (self, entry, fault);
      return FALSE;
    }

  return found;
}

static gboolean
fail_return (IOStreamConnection              *self,
             int                              code,
             const IOStreamBufferQueueEntry  *entry,
             const char                      *why,
             GError                         **error)
{
  g_set_error (error, IO_STREAM_ERROR, code, "Cannot return buffer %u of stream “%s” under number %u: %s",
               entry->buffer_id, io_connection_get_name (IO_CONNECTION (self)), entry->sequence, why);
  return FALSE;
}

/* An entry of an earlier open is of no interest to anybody. */
static gboolean
is_stale_locked (IOStreamConnectionPrivate      *priv,
                 const IOStreamBufferQueueEntry *entry)
{
  return !priv->usable || !priv->has_sequence ||
         (gint32) (entry->sequence - priv->first_sequence) < 0;
}

gboolean
_io_stream_connection_is_held_locked (IOStreamConnectionPrivate      *priv,
                                      const IOStreamBufferQueueEntry *entry)
{
  return entry->buffer_id < priv->buffers->len &&
         buffer_at (priv, entry->buffer_id)->held &&
         buffer_at (priv, entry->buffer_id)->sequence == entry->sequence;
}

static gboolean
enqueue_locked (IOStreamConnection              *self,
                IOStreamConnectionPrivate       *priv,
                const IOStreamBufferQueueEntry  *entry,
                GError                         **error)
{
  IOStreamClientBuffer *buffer;

  /* The numbers of another owner may be the same. */
  if (G_UNLIKELY (entry->reserved != 0 && entry->reserved != priv->epoch))
    return TRUE;
  if (G_UNLIKELY (!_io_stream_connection_is_held_locked (priv, entry)))
    {
      if (is_stale_locked (priv, entry) || _io_stream_connection_is_revoked_locked (priv, entry->sequence))
        return TRUE;
      return fail_return (self,
                          entry->buffer_id < priv->buffers->len ? IO_STREAM_ERROR_BAD_ARGUMENT
                                                                : IO_STREAM_ERROR_NOT_FOUND,
                          entry, "this client does not have it", error);
    }

  buffer = buffer_at (priv, entry->buffer_id);
  if (G_UNLIKELY (!_io_stream_check_entry_range (entry, buffer->parts.data_size, buffer->parts.control_size)))
    return fail_return (self, IO_STREAM_ERROR_BAD_ARGUMENT, entry,
                        "the offset and length do not lie within its parts", error);

  buffer->held = FALSE;
  priv->held--;
  if (G_LIKELY (priv->usable))
    _io_ring_put (&priv->input, entry);

  return TRUE;
}

static void
notify_locked (IOStreamConnectionPrivate *priv)
{
  if (!priv->usable)
    return;

  atomic_store_explicit (&priv->own.page->produced, priv->input.index, memory_order_relaxed);
  _io_notification_port_ring (priv->port);
}

static gboolean
give_back (IOStreamConnection              *self,
           const IOStreamBufferQueueEntry  *entry,
           gboolean                         notify,
           GError                         **error)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  gboolean done;

  if (G_UNLIKELY (priv->fork_count != _io_fork_count ()))
    return fail_return (self, IO_STREAM_ERROR_NOT_OPEN, entry, "it belongs to the parent process", error);

  g_mutex_lock (&priv->lock);
  done = enqueue_locked (self, priv, entry, error);
  if (done && notify)
    notify_locked (priv);
  g_mutex_unlock (&priv->lock);

  return done;
}

/**
 * io_stream_connection_enqueue_input_entry:
 * @self: a connection
 * @entry: an entry that was taken from the output queue; in input mode with
 *   the ranges that were filled
 * @error: return location for an error
 *
 * Puts a buffer on the input queue: gives it back to the stream, in input mode
 * with payload. The owner is not woken up: call
 * io_stream_connection_send_input_notification() after one or several entries.
 *
 * An entry of an earlier open, or of a stream that is gone, is a success that
 * does nothing.
 *
 * Any thread. Never waits. Fails with %IO_STREAM_ERROR_BAD_ARGUMENT if this
 * client does not hold the buffer under this number (it was returned already)
 * or the range is not within the buffer, and with %IO_STREAM_ERROR_NOT_FOUND
 * for an unknown buffer. Apple's EnqueueInputEntry().
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_connection_enqueue_input_entry (IOStreamConnection              *self,
                                          const IOStreamBufferQueueEntry  *entry,
                                          GError                         **error)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), FALSE);
  g_return_val_if_fail (entry != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return give_back (self, entry, FALSE, error);
}

/**
 * io_stream_connection_enqueue_input_buffer:
 * @self: a connection
 * @buffer_id: number of a buffer that this client holds
 * @data_offset: where the valid bytes start in the data part
 * @data_length: number of valid bytes in the data part; 0 means none
 * @control_offset: where the valid bytes start in the control part
 * @control_length: number of valid bytes in the control part; 0 means none
 * @error: return location for an error
 *
 * Gives a buffer back under the number it is held by now; see
 * io_stream_connection_enqueue_input_entry().
 *
 * Any thread. Never waits. Fails with %IO_STREAM_ERROR_NOT_OPEN if the stream
 * is not open. Apple's EnqueueInputBuffer().
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_connection_enqueue_input_buffer (IOStreamConnection  *self,
                                           guint32              buffer_id,
                                           guint32              data_offset,
                                           guint32              data_length,
                                           guint32              control_offset,
                                           guint32              control_length,
                                           GError             **error)
{
  IOStreamBufferQueueEntry entry = { buffer_id, data_offset, data_length, control_offset, control_length, 0, 0, 0 };
  IOStreamConnectionPrivate *priv;
  gboolean done;

  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  priv = _io_stream_connection_get_private (self);
  if (G_UNLIKELY (priv->fork_count != _io_fork_count ()))
    return fail_return (self, IO_STREAM_ERROR_NOT_OPEN, &entry, "it belongs to the parent process", error);

  g_mutex_lock (&priv->lock);
  if (!priv->usable)
    done = fail_return (self, IO_STREAM_ERROR_NOT_OPEN, &entry, "it is not open", error);
  else if (buffer_id >= priv->buffers->len)
    done = fail_return (self, IO_STREAM_ERROR_NOT_FOUND, &entry, "there is no such buffer", error);
  else if (!buffer_at (priv, buffer_id)->held)
    done = fail_return (self, IO_STREAM_ERROR_BAD_ARGUMENT, &entry, "this client does not have it", error);
  else
    {
      entry.sequence = buffer_at (priv, buffer_id)->sequence;
      done = enqueue_locked (self, priv, &entry, error);
    }
  g_mutex_unlock (&priv->lock);

  return done;
}

/**
 * io_stream_connection_send_input_notification:
 * @self: a connection
 * @token: what the owner gets with #IOStream::input
 * @error: return location for an error
 *
 * Tells the owner to look at the input queue. One notification may cover many
 * entries, and then the owner sees the last token only.
 *
 * Any thread. Never waits. Fails with %IO_STREAM_ERROR_NOT_OPEN if the stream
 * is not open. Apple's SendInputNotification().
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_connection_send_input_notification (IOStreamConnection  *self,
                                              guint32              token,
                                              GError             **error)
{
  IOStreamConnectionPrivate *priv;
  gboolean usable;

  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  priv = _io_stream_connection_get_private (self);
  g_mutex_lock (&priv->lock);
  usable = priv->usable && priv->fork_count == _io_fork_count ();
  if (usable)
    {
      atomic_store_explicit (&priv->own.page->token, token, memory_order_relaxed);
      notify_locked (priv);
    }
  g_mutex_unlock (&priv->lock);

  if (!usable)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN,
                 "Cannot notify stream “%s”: it is not open", io_connection_get_name (IO_CONNECTION (self)));

  return usable;
}

/**
 * io_stream_connection_return_entry:
 * @self: a connection
 * @entry: an entry that was taken from the output queue
 * @error: return location for an error
 *
 * Gives a buffer back and tells the owner:
 * io_stream_connection_enqueue_input_entry() and a notification in one call,
 * which leaves the token as it was.
 *
 * Any thread. Never waits. Fails as
 * io_stream_connection_enqueue_input_entry().
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_connection_return_entry (IOStreamConnection              *self,
                                   const IOStreamBufferQueueEntry  *entry,
                                   GError                         **error)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), FALSE);
  g_return_val_if_fail (entry != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return give_back (self, entry, TRUE, error);
}
