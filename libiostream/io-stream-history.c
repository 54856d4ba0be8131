/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-private.h"

/* What the stream keeps for clients that come later. It is one more holder in
 * the book, whose loans give way to anybody who needs their buffers. */

struct _IOStreamHistory {
  IOLoanHolder              holder;
  guint                     capacity;
  guint                     first;
  guint                     count;
  IOStreamBufferQueueEntry  entries[];
};

static IOStreamBufferQueueEntry *
entry_at (IOStreamHistory *self,
          guint            place)
{
  return &self->entries[(self->first + place) % self->capacity];
}

static void
drop_first (IOStreamPrivate *priv)
{
  IOStreamHistory *self = priv->history;
  IOStreamBufferQueueEntry *oldest = entry_at (self, 0);

  _io_loan_book_give_back (&priv->book, &self->holder, oldest, FALSE);
  self->first = (self->first + 1) % self->capacity;
  self->count--;
}

static void
history_free (IOStreamHistory *self)
{
  _io_loan_holder_clear (&self->holder);
  g_free (self);
}

/* Keeps the newest that have a place in the new one. */
static void
resize_locked (IOStreamPrivate *priv,
               guint            capacity)
{
  IOStreamHistory *old = priv->history, *new = NULL;

  while (old != NULL && old->count > capacity)
    drop_first (priv);

  if (capacity > 0)
    {
      new = g_malloc0 (sizeof *new + capacity * sizeof new->entries[0]);
      new->capacity = capacity;
      if (old == NULL)
        _io_loan_holder_init (&new->holder, priv->buffers->len);
    }
  if (new != NULL && old != NULL)
    {
      new->holder = old->holder;
      old->holder.held = NULL;
      new->count = old->count;
      for (guint i = 0; i < old->count; i++)
        new->entries[i] = *entry_at (old, i);
    }

  priv->history = new;
  if (old != NULL)
    history_free (old);
}

void
_io_stream_history_free (IOStreamPrivate *priv)
{
  g_clear_pointer (&priv->history, history_free);
}

void
_io_stream_history_clear_locked (IOStreamPrivate *priv)
{
  while (priv->history != NULL && priv->history->count > 0)
    drop_first (priv);
  g_cond_broadcast (&priv->cond);
}

void
_io_stream_history_grow_locked (IOStreamPrivate *priv,
                                guint            old_count,
                                guint            count)
{
  if (priv->history != NULL)
    _io_loan_holder_grow (&priv->history->holder, old_count, count);
}

void
_io_stream_history_renew_locked (IOStreamPrivate *priv)
{
  if (priv->history == NULL)
    return;

  priv->history->count = 0;
  _io_loan_holder_clear (&priv->history->holder);
  _io_loan_holder_init (&priv->history->holder, priv->buffers->len);
}

gboolean
_io_stream_history_has_locked (IOStreamPrivate *priv,
                               guint32          id)
{
  return priv->history != NULL && _io_loan_holder_has (&priv->history->holder, id);
}

/* Nothing goes if that would free none. Those before it, that clients have as
 * well, go all the same: they are older than what comes after them. */
static gboolean
give_way (IOStreamPrivate *priv)
{
  IOStreamHistory *self = priv->history;
  guint place = 0;

  while (place < self->count && priv->book.loans[entry_at (self, place)->buffer_id].holders > 1)
    place++;
  if (place == self->count)
    return FALSE;

  for (guint n = place + 1; n > 0; n--)
    drop_first (priv);

  return TRUE;
}

void
_io_stream_history_free_one_locked (IOStreamPrivate *priv)
{
  if (priv->history != NULL && priv->book.n_free == 0)
    give_way (priv);
}

void
_io_stream_history_make_room_locked (IOStreamPrivate *priv,
                                     guint            n)
{
  while (priv->history != NULL && priv->book.n_lent + n > _io_stream_count_lendable (priv))
    if (!give_way (priv))
      break;
}

void
_io_stream_history_release_locked (IOStreamPrivate *priv,
                                   guint32          id)
{
  IOStreamHistory *self = priv->history;
  guint place = 0;

  if (!_io_stream_history_has_locked (priv, id) || priv->book.loans[id].holders > 1)
    return;

  while (entry_at (self, place)->buffer_id != id)
    place++;
  _io_loan_book_give_back (&priv->book, &self->holder, entry_at (self, place), FALSE);
  for (self->count--; place < self->count; place++)
    *entry_at (self, place) = *entry_at (self, place + 1);
}

void
_io_stream_history_keep_locked (IOStreamPrivate                *priv,
                                const IOStreamBufferQueueEntry *entry)
{
  IOStreamHistory *self = priv->history;

  if (priv->mode != IO_STREAM_MODE_OUTPUT)
    return;

  if (self->count == self->capacity)
    drop_first (priv);
  _io_loan_book_add_holder (&priv->book, entry->buffer_id, &self->holder);
  *entry_at (self, self->count++) = *entry;
}

/* It had all before the number it was lent last, or missed it while it ran. */
static guint
find_first_new (IOStreamHistory *self,
                IOStreamLink    *link)
{
  guint place = self->count;

  while (place > 0 && (!link->has_number ||
                       (gint32) (entry_at (self, place - 1)->sequence - link->next_number) >= 0))
    place--;

  return place;
}

void
_io_stream_history_replay_locked (IOStreamPrivate *priv,
                                  IOStreamLink    *link)
{
  IOStreamHistory *self = priv->history;
  guint place, room;

  if (self == NULL || link->replay == 0)
    return;

  _io_stream_drain_link_locked (priv, link);
  room = _io_stream_link_is_full (link) ? 0 : link->limit - link->holder.count - link->n_revoked;
  /* The reserve may have been made larger since they were sent. */
  _io_stream_history_make_room_locked (priv, 0);
  place = find_first_new (self, link);
  room = MIN (room, link->delivery == IO_STREAM_DELIVERY_LATEST ? 1 : link->replay);
  if (self->count - place > room)
    place = self->count - room;
  if (place == self->count)
    return;

  _io_stream_begin_run_locked (link, priv->book.sequence);
  for (; place < self->count; place++)
    {
      if (link->claim.word != NULL && !_io_stream_make_place_locked (priv, link))
        break;
      _io_stream_lend_to_locked (priv, link, entry_at (self, place), IO_RING_REPLAYED);
      link->counts.replayed++;
    }
  _io_stream_notify_link_locked (link);
}

/**
 * io_stream_get_history_count:
 * @self: a stream
 *
 * Gets #IOStream:history-count. Any thread.
 *
 * Returns: the number
 * Since: 1.0
 */
guint
io_stream_get_history_count (IOStream *self)
{
  IOStreamPrivate *priv;
  guint count;

  g_return_val_if_fail (IO_IS_STREAM (self), 0);

  priv = _io_stream_get_private (self);
  g_mutex_lock (&priv->lock);
  count = priv->history != NULL ? priv->history->capacity : 0;
  g_mutex_unlock (&priv->lock);

  return count;
}

/**
 * io_stream_set_history_count:
 * @self: a stream
 * @count: how many of the buffers sent last to keep; 0 for none
 *
 * Sets #IOStream:history-count. What is kept already and is more than that is
 * dropped, the oldest first.
 *
 * Any thread; notified in the one that calls.
 *
 * Since: 1.0
 */
void
io_stream_set_history_count (IOStream *self,
                             guint     count)
{
  IOStreamPrivate *priv;
  gboolean changed;

  g_return_if_fail (IO_IS_STREAM (self));
  g_return_if_fail (count <= IO_STREAM_MAX_BUFFERS);

  priv = _io_stream_get_private (self);
  g_mutex_lock (&priv->lock);
  changed = count != (priv->history != NULL ? priv->history->capacity : 0);
  if (changed)
    resize_locked (priv, count);
  g_cond_broadcast (&priv->cond);
  g_mutex_unlock (&priv->lock);

  if (changed)
    g_object_notify (G_OBJECT (self), "history-count");
}

/**
 * io_stream_clear_history:
 * @self: a stream
 *
 * Forgets what #IOStream:history-count has kept, so that no client that starts
 * later gets it; for an owner whose old pictures no longer mean anything. What
 * clients hold stays theirs. Does nothing if there is nothing.
 *
 * Any thread.
 *
 * Since: 1.0
 */
void
io_stream_clear_history (IOStream *self)
{
  IOStreamPrivate *priv;

  g_return_if_fail (IO_IS_STREAM (self));

  priv = _io_stream_get_private (self);
  g_mutex_lock (&priv->lock);
  _io_stream_history_clear_locked (priv);
  g_mutex_unlock (&priv->lock);
}
