/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-private.h"

#include "io-fork-private.h"
#include "io-user-client-private.h"

/* What comes back from the clients. */

/* Its connection is ended by the context; until then nothing more is taken from
 * it. */
void
_io_stream_note_violation (IOStreamLink *link,
                           char         *what)
{
  g_free (link->violation);
  link->violation = what;
  link->is_broken = TRUE;
  _io_notification_port_wake (link->port);
}

static void
note_violation (IOStreamLink                   *link,
                const IOStreamBufferQueueEntry *entry,
                const char                     *what)
{
  _io_stream_note_violation (link, g_strdup_printf ("returned buffer %u under number %u, data %u+%u, "
                                                    "control %u+%u: %s", entry->buffer_id, entry->sequence,
                                                    entry->data_offset, entry->data_length,
                                                    entry->control_offset, entry->control_length, what));
}

static gboolean
take_back (IOStreamPrivate                *priv,
           IOStreamLink                   *link,
           const IOStreamBufferQueueEntry *entry)
{
  gboolean arrival = priv->mode != IO_STREAM_MODE_OUTPUT;
  const IOStreamBufferParts *parts;

  if (entry->buffer_id >= priv->book.count)
    {
      note_violation (link, entry, "there is no such buffer");
      return FALSE;
    }

  parts = _io_stream_buffer_peek_parts (g_ptr_array_index (priv->buffers, entry->buffer_id));
  if (!_io_stream_check_entry_range (entry, parts->data_size, parts->control_size))
    {
      note_violation (link, entry, "outside of the buffer");
      return FALSE;
    }

  /* Counted when it was taken away. */
  if (G_UNLIKELY (link->n_revoked > 0) && _io_stream_forget_revoked_locked (link, entry))
    {
      link->returned--;
      return TRUE;
    }

  if (G_UNLIKELY (_io_loan_holder_is_waiting (&link->holder, entry->buffer_id)) &&
      !_io_stream_has_taken_locked (priv, link, entry->buffer_id))
    {
      if (link->violation == NULL)
        note_violation (link, entry, "it was not taken");
      return FALSE;
    }

  if (_io_loan_book_give_back (&priv->book, &link->holder, entry, arrival) == IO_LOAN_NOT_LENT)
    {
      note_violation (link, entry, "it is not lent to this client under this number");
      return FALSE;
    }

  _io_stream_count_returned_locked (priv, link, entry->buffer_id);

  return TRUE;
}

/* The one place where loans end in steady flow. Bounded: a client cannot
 * return more than it holds. */
guint
_io_stream_drain_link_locked (IOStreamPrivate *priv,
                              IOStreamLink    *link)
{
  IOStreamBufferQueueEntry entry;
  guint n_home = 0;

  if (!link->ready || link->violation != NULL || priv->fork_count != _io_fork_count ())
    return 0;

  _io_stamp_clock_get (&priv->counts.clock);
  while (_io_ring_take (&link->input, &entry) && take_back (priv, link, &entry))
    n_home++;

  if (n_home > 0)
    {
      link->returned += n_home;
      link->counts.last_activity = priv->counts.last_activity = priv->counts.clock.now;
      atomic_store_explicit (&link->has_news, TRUE, memory_order_relaxed);
      link->starved = FALSE;
      if (priv->n_waiters > 0)
        g_cond_broadcast (&priv->cond);
    }
  /* Last: who sees that these entries are gone sees the news of them too. */
  atomic_store_explicit (&link->next_input, link->input.index, memory_order_release);

  return n_home;
}

guint
_io_stream_drain_locked (IOStreamPrivate *priv)
{
  guint n_home = 0;

  priv->n_acquired = 0;
  for (guint i = 0; i < priv->links->len; i++)
    n_home += _io_stream_drain_link_locked (priv, _io_stream_link_at (priv, i));

  return n_home;
}

void
_io_stream_wake_locked (IOStreamPrivate *priv)
{
  for (guint i = 0; i < priv->links->len; i++)
    _io_notification_port_wake (_io_stream_link_at (priv, i)->port);
}

/* Without the lock: the port is rung and woken with it held. */
static gboolean
link_is_ready (gpointer owner)
{
  IOStreamLink *link = owner;
  guint64 next = atomic_load_explicit (&link->next_input, memory_order_acquire);

  return link->ready &&
         (_io_ring_is_published (&link->input, next) || link->has_news || link->is_broken);
}

/* After the announcement the link may be gone, with everything in it. */
static gboolean
link_dispatch (gpointer owner)
{
  IOStreamLink *link = owner;
  g_autoptr (IOStream) stream = g_object_ref (link->stream);
  g_autoptr (IOUserClient) client = g_object_ref (link->client);
  IOStreamPrivate *priv = _io_stream_get_private (stream);
  g_autofree char *violation = NULL;
  gboolean has_news;
  guint32 token;

  g_mutex_lock (&priv->lock);
  _io_stamp_clock_look (&priv->counts.clock, TRUE);
  _io_stream_drain_link_locked (priv, link);
  has_news = link->has_news;
  link->has_news = FALSE;
  violation = g_steal_pointer (&link->violation);
  link->is_broken = FALSE;
  link->ready = link->ready && violation == NULL;
  token = atomic_load_explicit (&link->peer.page->token, memory_order_relaxed);
  atomic_store_explicit (&link->own.page->consumed, link->input.index, memory_order_relaxed);
  priv->counts.violations += violation != NULL;
  _io_stream_publish_locked (priv, FALSE);
  g_mutex_unlock (&priv->lock);

  if (has_news)
    _io_stream_announce_input (stream, token);
  if (violation != NULL)
    _io_user_client_violation (client, "%s", violation);

  return has_news;
}

/* The bell alone says nothing about the client: its control socket does. */
static void
link_hang_up (gpointer owner)
{
}

/* A stream whose returns nobody waits for lets its owner sleep: they are
 * collected when the next buffer is acquired. */
static gboolean
link_wants_ring (gpointer owner)
{
  IOStreamLink *link = owner;
  IOStreamPrivate *priv = _io_stream_get_private (link->stream);

  return priv->mode != IO_STREAM_MODE_OUTPUT || priv->n_waiters > 0 || link->is_broken ||
         _io_stream_has_input_listener (link->stream);
}

const IONotificationPortFuncs _io_stream_port_funcs = {
  link_is_ready,
  link_dispatch,
  link_hang_up,
  link_wants_ring
};
