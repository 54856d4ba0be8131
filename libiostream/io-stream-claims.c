/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-private.h"

/* What clients that may lose what they have not taken lose: to something newer,
 * or to an owner that has no buffer left. Who has an entry is decided by the
 * claim word alone, so nobody waits for a client here, and nothing that it
 * writes there makes this longer than its queue. */

static gboolean
is_sound (IOStreamLink *link)
{
  return link->claim.word != NULL && link->ready && link->violation == NULL;
}

/* What it holds is the owner's from now on: it is not to keep anybody from going
 * on until the context has ended it. */
static void
note_bad_word (IOStreamPrivate *priv,
               IOStreamLink    *link)
{
  _io_loan_book_end_all (&priv->book, &link->holder);
  _io_stream_note_violation (link, g_strdup_printf ("moved its claim word out of %" G_GUINT64_FORMAT " to %"
                                                    G_GUINT64_FORMAT, link->claim.seen, link->output.index));
}

static IOStreamDrop
get_reason (IOStreamLink *link)
{
  return link->delivery == IO_STREAM_DELIVERY_LATEST ? IO_STREAM_DROP_LATEST : IO_STREAM_DROP_OLDEST;
}

/* The slots are the owner's own page: they say what it wrote. */
static void
book_span (IOStreamPrivate   *priv,
           IOStreamLink      *link,
           const IOClaimSpan *span)
{
  IOStreamBufferQueueEntry entry;
  guint n_home = 0;

  for (guint64 i = span->from - span->taken; i < span->from; i++)
    {
      _io_ring_read (&link->output, i, &entry);
      _io_loan_book_note_taken (&priv->book, &link->holder, &entry);
    }
  for (guint64 i = span->from; i < span->to; i++)
    {
      _io_ring_read (&link->output, i, &entry);
      if (_io_loan_book_give_back (&priv->book, &link->holder, &entry, FALSE) != IO_LOAN_NOT_LENT)
        n_home++;
      else
        _io_stream_forget_revoked_locked (link, &entry);
    }

  link->dropped[get_reason (link)] += n_home;
  if (n_home > 0 && priv->n_waiters > 0)
    g_cond_broadcast (&priv->cond);
}

static gboolean
sync_link (IOStreamPrivate *priv,
           IOStreamLink    *link)
{
  IOClaimSpan span;

  if (_io_claim_sync (&link->claim, &link->output, &span))
    {
      book_span (priv, link, &span);
      return TRUE;
    }
  note_bad_word (priv, link);

  return FALSE;
}

static gboolean
withdraw (IOStreamPrivate *priv,
          IOStreamLink    *link,
          guint64          n)
{
  IOClaimSpan span;

  if (_io_claim_withdraw (&link->claim, &link->output, n, &span))
    {
      book_span (priv, link, &span);
      return TRUE;
    }
  note_bad_word (priv, link);

  return FALSE;
}

static gboolean
has_place (IOStreamLink *link)
{
  return !_io_stream_link_is_full (link) && !_io_claim_is_full (&link->claim, &link->output);
}

/* How many have to go for a newer one. A loan that ended otherwise still takes a
 * slot, and no place. */
static guint64
count_excess (IOStreamLink *link)
{
  if (link->delivery == IO_STREAM_DELIVERY_LATEST)
    return G_MAXUINT64;
  if (_io_stream_link_is_full (link))
    return link->holder.count + link->n_revoked - link->limit + 1;

  return _io_claim_is_full (&link->claim, &link->output) ? 1 : 0;
}

gboolean
_io_stream_make_place_locked (IOStreamPrivate *priv,
                              IOStreamLink    *link)
{
  gboolean latest = link->delivery == IO_STREAM_DELIVERY_LATEST;
  guint64 excess;

  if (!is_sound (link))
    return FALSE;
  if (has_place (link) && !(latest && link->holder.n_waiting > 0))
    return TRUE;
  if (!sync_link (priv, link))
    return FALSE;

  do
    {
      /* It is not to lose what it can have for something that it cannot. */
      excess = link->holder.count + link->n_revoked - link->holder.n_waiting < link->limit ? count_excess (link) : 0;
      if (excess > 0 && !withdraw (priv, link, excess))
        return FALSE;
      if (has_place (link))
        return TRUE;
    }
  while (_io_stream_drain_link_locked (priv, link) > 0 && is_sound (link));

  link->dropped[IO_STREAM_DROP_ALLOWANCE]++;

  return FALSE;
}

/* Whether it is free when everybody who has not taken it loses it. What is kept
 * for later goes with it, and so does not stand before it. */
static gboolean
is_untaken (IOStreamPrivate *priv,
            guint32          id)
{
  guint n_kept = _io_stream_history_has_locked (priv, id) ? 1 : 0;

  return _io_loan_book_is_untaken (&priv->book, id, n_kept);
}

/* The number of the oldest that is free when it is taken back. */
static gboolean
find_oldest_of_link (IOStreamPrivate          *priv,
                     IOStreamLink             *link,
                     IOStreamBufferQueueEntry *entry)
{
  if (!is_sound (link) || link->holder.n_waiting == 0)
    return FALSE;

  for (guint64 i = link->claim.seen; i < link->output.index; i++)
    {
      _io_ring_read (&link->output, i, entry);
      if (_io_loan_holder_is_waiting (&link->holder, entry->buffer_id) &&
          is_untaken (priv, entry->buffer_id))
        return TRUE;
    }

  return FALSE;
}

static guint32
find_oldest (IOStreamPrivate *priv)
{
  IOStreamBufferQueueEntry oldest = { IO_STREAM_BUFFER_ID_INVALID, 0, 0, 0, 0, 0, 0, 0 }, entry;

  for (guint i = 0; i < priv->links->len; i++)
    if (find_oldest_of_link (priv, _io_stream_link_at (priv, i), &entry) &&
        (oldest.buffer_id == IO_STREAM_BUFFER_ID_INVALID || (gint32) (entry.sequence - oldest.sequence) < 0))
      oldest = entry;

  return oldest.buffer_id;
}

/* With all that is before it in the queue: the word knows no gaps. */
static void
withdraw_id (IOStreamPrivate *priv,
             IOStreamLink    *link,
             guint32          id)
{
  IOStreamBufferQueueEntry entry = { IO_STREAM_BUFFER_ID_INVALID, 0, 0, 0, 0, 0, 0, 0 };
  guint64 end = link->claim.seen;
  IOClaimSpan span;

  while (end < link->output.index && entry.buffer_id != id)
    _io_ring_read (&link->output, end++, &entry);

  if (_io_claim_withdraw_before (&link->claim, &link->output, end, &span))
    book_span (priv, link, &span);
  else
    note_bad_word (priv, link);
}

/* What is known by now to be taken keeps others from losing it for nothing.
 * FALSE if there is nobody from whom something can be taken back. */
static gboolean
sync_all (IOStreamPrivate *priv)
{
  gboolean any = FALSE;

  for (guint i = 0; i < priv->links->len; i++)
    if (is_sound (_io_stream_link_at (priv, i)))
      any |= sync_link (priv, _io_stream_link_at (priv, i));

  return any;
}

gboolean
_io_stream_reclaim_id_locked (IOStreamPrivate *priv,
                              guint32          id)
{
  sync_all (priv);
  if (!is_untaken (priv, id))
    return FALSE;

  for (guint i = 0; i < priv->links->len; i++)
    {
      IOStreamLink *link = _io_stream_link_at (priv, i);

      if (is_sound (link) && _io_loan_holder_is_waiting (&link->holder, id))
        withdraw_id (priv, link, id);
    }
  _io_stream_history_release_locked (priv, id);

  return _io_loan_book_get_state (&priv->book, id) == IO_LOAN_FREE;
}

/* Each turn there is one less that waits, or one link less that is sound. */
static gboolean
free_oldest (IOStreamPrivate *priv)
{
  guint32 id = find_oldest (priv);

  while (id != IO_STREAM_BUFFER_ID_INVALID && !_io_stream_reclaim_id_locked (priv, id))
    id = find_oldest (priv);

  return id != IO_STREAM_BUFFER_ID_INVALID;
}

/* A client may have taken what was left since returns were looked at, and given
 * it back. As long as the lock is held that comes to an end. */
gboolean
_io_stream_reclaim_locked (IOStreamPrivate *priv)
{
  guint n_free = priv->book.n_free;

  if (!sync_all (priv))
    return priv->book.n_free > n_free;

  do
    if (free_oldest (priv))
      return TRUE;
  while (_io_stream_drain_locked (priv) > 0 && priv->book.n_free == n_free);

  return priv->book.n_free > n_free;
}

gboolean
_io_stream_reclaim_reserve_locked (IOStreamPrivate *priv)
{
  while (!_io_stream_can_lend_locked (priv))
    if (!_io_stream_reclaim_locked (priv))
      return _io_stream_can_lend_locked (priv);

  return TRUE;
}

void
_io_stream_withdraw_older_locked (IOStreamPrivate *priv,
                                  IOStreamLink    *link,
                                  guint32          before)
{
  IOStreamBufferQueueEntry entry;
  IOClaimSpan span;
  guint64 end;

  if (!is_sound (link) || !sync_link (priv, link))
    return;

  for (end = link->claim.seen; end < link->output.index; end++)
    {
      _io_ring_read (&link->output, end, &entry);
      if ((gint32) (entry.sequence - before) >= 0)
        break;
    }
  if (_io_claim_withdraw_before (&link->claim, &link->output, end, &span))
    book_span (priv, link, &span);
  else
    note_bad_word (priv, link);
}

gboolean
_io_stream_has_taken_locked (IOStreamPrivate *priv,
                             IOStreamLink    *link,
                             guint32          id)
{
  return sync_link (priv, link) && !_io_loan_holder_is_waiting (&link->holder, id);
}
