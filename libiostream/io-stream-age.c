/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-private.h"

#include "io-enum-types.h"
#include "io-fork-private.h"
#include "io-revocation-private.h"
#include "io-service-private.h"
#include "io-user-client-private.h"

#include <time.h>

/* How long clients may hold a buffer, and what follows when one holds it for
 * longer. There is a timer only while there is a limit and something is lent:
 * it goes off when the loan that was oldest when it was set comes of age, and
 * is set anew for the one that is oldest then. */

/* One that came of age. */
typedef struct {
  IOUserClient *client;
  guint32       id;
  gint64        held;
} Expired;

static void
expired_clear (gpointer data)
{
  g_object_unref (((Expired *) data)->client);
}

/* That of many sends need not be exact. */
static gint64
get_time (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC_COARSE, &now);

  return (gint64) now.tv_sec * G_USEC_PER_SEC + now.tv_nsec / 1000;
}

static void
ensure_stamps (IOStreamPrivate *priv,
               IOStreamLink    *link)
{
  if (link->n_stamps >= priv->buffers->len)
    return;

  link->stamps = g_renew (gint64, link->stamps, priv->buffers->len);
  memset (link->stamps + link->n_stamps, 0, (priv->buffers->len - link->n_stamps) * sizeof (gint64));
  link->n_stamps = priv->buffers->len;
}

static void
arm_locked (IOStreamPrivate *priv,
            gint64           deadline)
{
  priv->age_armed = deadline >= 0;
  g_source_set_ready_time (priv->age_source, deadline);
}

/* Taking away. */

void
_io_stream_revoke_locked (IOStreamPrivate *priv,
                          IOStreamLink    *link,
                          guint32          before)
{
  guint n = 0;

  if (link->claim.word != NULL)
    _io_stream_withdraw_older_locked (priv, link, before);
  if (link->revoked == NULL)
    link->revoked = g_hash_table_new (NULL, NULL);
  priv->watches_age = TRUE;

  _io_revocation_store (link->own.page, before);
  for (guint32 id = 0; id < priv->book.count && link->holder.count > 0; id++)
    {
      IOStreamBufferQueueEntry entry = { id, 0, 0, 0, 0, priv->book.loans[id].sequence, 0, 0 };

      if (!_io_loan_holder_has (&link->holder, id) || (gint32) (entry.sequence - before) >= 0)
        continue;

      g_hash_table_insert (link->revoked, GUINT_TO_POINTER (entry.sequence), GUINT_TO_POINTER (id + 1));
      _io_loan_book_give_back (&priv->book, &link->holder, &entry, FALSE);
      n++;
    }

  link->n_revoked += n;
  link->counts.revoked += n;
  if (n > 0)
    atomic_store_explicit (&link->has_news, TRUE, memory_order_relaxed);
  _io_notification_port_wake (link->port);
  _io_stream_link_ring (link);
}

gboolean
_io_stream_forget_revoked_locked (IOStreamLink                   *link,
                                  const IOStreamBufferQueueEntry *entry)
{
  gpointer id;

  if (link->n_revoked == 0)
    return FALSE;

  id = g_hash_table_lookup (link->revoked, GUINT_TO_POINTER (entry->sequence));
  if (GPOINTER_TO_UINT (id) != entry->buffer_id + 1)
    return FALSE;

  g_hash_table_remove (link->revoked, GUINT_TO_POINTER (entry->sequence));
  link->n_revoked--;

  return TRUE;
}

/* The owner lends under @sequence. */
void
_io_stream_note_age_locked (IOStreamPrivate *priv,
                            IOStreamLink    *link,
                            guint32          id,
                            guint32          sequence)
{
  if (G_UNLIKELY (_io_revocation_is_stale (link->own.page, sequence)))
    _io_stream_revoke_locked (priv, link, sequence - IO_REVOCATION_SPAN);
  if (priv->loan_time_limit == 0)
    return;

  ensure_stamps (priv, link);
  link->stamps[id] = get_time ();
  if (!priv->age_armed)
    arm_locked (priv, link->stamps[id] + priv->loan_time_limit);
}

/* Looking. */

/* Notes what came of age, once for each. Gives the time of the oldest that did
 * not, or G_MAXINT64; *@before is one more than the number of the last that
 * did. */
static gint64
find_expired (IOStreamPrivate *priv,
              IOStreamLink    *link,
              gint64           now,
              GArray          *expired,
              guint32         *before)
{
  gint64 oldest = G_MAXINT64;
  guint left = link->holder.count;
  gboolean found = FALSE;

  for (guint32 id = 0; left > 0 && id < link->n_stamps; id++)
    {
      guint32 next = priv->book.loans[id].sequence + 1;

      if (!_io_loan_holder_has (&link->holder, id))
        continue;

      left--;
      if (link->stamps[id] > now - priv->loan_time_limit)
        oldest = MIN (oldest, link->stamps[id]);
      else if (link->stamps[id] > 0)
        {
          Expired one = { g_object_ref (link->client), id, now - link->stamps[id] };

          g_array_append_val (expired, one);
          *before = !found || (gint32) (next - *before) > 0 ? next : *before;
          found = TRUE;
          link->stamps[id] = 0;
        }
    }

  return oldest;
}

static void
check_locked (IOStreamPrivate *priv,
              GArray          *expired)
{
  gint64 now = get_time (), oldest = G_MAXINT64;

  _io_stream_drain_locked (priv);
  for (guint i = 0; i < priv->links->len; i++)
    {
      IOStreamLink *link = _io_stream_link_at (priv, i);
      guint n = expired->len;
      guint32 before = 0;

      ensure_stamps (priv, link);
      oldest = MIN (oldest, find_expired (priv, link, now, expired, &before));
      if (expired->len > n && priv->loan_action == IO_STREAM_LOAN_ACTION_REVOKE)
        _io_stream_revoke_locked (priv, link, before);
    }

  arm_locked (priv, oldest == G_MAXINT64 ? -1 : oldest + priv->loan_time_limit);
  g_cond_broadcast (&priv->cond);
}

static void
disconnect (IOStream      *self,
            const Expired *expired)
{
  g_autoptr (GError) reason =
    g_error_new (IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT,
                 "Stream “%s” ended the connection: buffer %u was held for %.3f s, and %.3f s are the limit",
                 io_service_get_name (IO_SERVICE (self)), expired->id, (double) expired->held / G_USEC_PER_SEC,
                 (double) io_stream_get_loan_time_limit (self) / G_USEC_PER_SEC);

  io_user_client_terminate (expired->client, reason);
}

static void
check_age (IOStream *self)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  g_autoptr (GArray) expired = g_array_new (FALSE, FALSE, sizeof (Expired));
  IOStreamLoanAction action;

  g_array_set_clear_func (expired, expired_clear);
  g_mutex_lock (&priv->lock);
  action = priv->loan_action;
  if (priv->fork_count != _io_fork_count () || priv->loan_time_limit == 0)
    arm_locked (priv, -1);
  else
    check_locked (priv, expired);
  g_mutex_unlock (&priv->lock);

  for (guint i = 0; i < expired->len; i++)
    {
      const Expired *one = &g_array_index (expired, Expired, i);

      _io_stream_announce_expired (self, one->client, one->id, one->held);
      if (action == IO_STREAM_LOAN_ACTION_DISCONNECT)
        disconnect (self, one);
    }
}

void
_io_stream_drop_age (IOStreamPrivate *priv)
{
  if (priv->age_source != NULL)
    g_source_destroy (priv->age_source);
  g_clear_pointer (&priv->age_source, g_source_unref);
}

/* What is lent already counts from now on. */
static void
begin_limit_locked (IOStream        *self,
                    IOStreamPrivate *priv)
{
  gint64 now = get_time ();
  guint n_held = 0;

  if (priv->age_source == NULL)
    priv->age_source = _io_stream_new_source (self, "[iostream] age of loans", check_age);
  priv->watches_age = TRUE;

  for (guint i = 0; i < priv->links->len; i++)
    {
      IOStreamLink *link = _io_stream_link_at (priv, i);

      ensure_stamps (priv, link);
      for (guint id = 0; id < link->n_stamps; id++)
        link->stamps[id] = now;
      n_held += link->holder.count;
    }

  arm_locked (priv, n_held > 0 ? now + priv->loan_time_limit : -1);
}

/**
 * io_stream_get_loan_time_limit:
 * @self: a stream
 *
 * Gets #IOStream:loan-time-limit. Any thread.
 *
 * Returns: the time in microseconds; 0 if there is no limit
 * Since: 1.0
 */
gint64
io_stream_get_loan_time_limit (IOStream *self)
{
  IOStreamPrivate *priv;
  gint64 limit;

  g_return_val_if_fail (IO_IS_STREAM (self), 0);

  priv = _io_stream_get_private (self);
  g_mutex_lock (&priv->lock);
  limit = priv->loan_time_limit;
  g_mutex_unlock (&priv->lock);

  return limit;
}

/**
 * io_stream_set_loan_time_limit:
 * @self: a stream
 * @limit: how long a client may hold a buffer, in microseconds; 0 for as long
 *   as it likes
 *
 * Sets #IOStream:loan-time-limit. For what clients hold already the time begins
 * now.
 *
 * Any thread; notified in the one that calls.
 *
 * Since: 1.0
 */
void
io_stream_set_loan_time_limit (IOStream *self,
                               gint64    limit)
{
  IOStreamPrivate *priv;
  gboolean changed;

  g_return_if_fail (IO_IS_STREAM (self));
  g_return_if_fail (limit >= 0 && limit <= G_MAXINT64 / 2);

  priv = _io_stream_get_private (self);
  g_mutex_lock (&priv->lock);
  changed = priv->loan_time_limit != limit;
  priv->loan_time_limit = limit;
  if (changed && limit > 0)
    begin_limit_locked (self, priv);
  else if (changed)
    arm_locked (priv, -1);
  g_mutex_unlock (&priv->lock);

  if (changed)
    g_object_notify (G_OBJECT (self), "loan-time-limit");
}

/**
 * io_stream_get_loan_action:
 * @self: a stream
 *
 * Gets #IOStream:loan-action. Any thread.
 *
 * Returns: what follows when a client holds a buffer for too long
 * Since: 1.0
 */
IOStreamLoanAction
io_stream_get_loan_action (IOStream *self)
{
  IOStreamPrivate *priv;
  IOStreamLoanAction action;

  g_return_val_if_fail (IO_IS_STREAM (self), IO_STREAM_LOAN_ACTION_SIGNAL);

  priv = _io_stream_get_private (self);
  g_mutex_lock (&priv->lock);
  action = priv->loan_action;
  g_mutex_unlock (&priv->lock);

  return action;
}

/**
 * io_stream_set_loan_action:
 * @self: a stream
 * @action: what is to follow
 *
 * Sets #IOStream:loan-action. It holds for loans that come of age from now on.
 *
 * Any thread; notified in the one that calls.
 *
 * Since: 1.0
 */
void
io_stream_set_loan_action (IOStream           *self,
                           IOStreamLoanAction  action)
{
  IOStreamPrivate *priv;
  gboolean changed;

  g_return_if_fail (IO_IS_STREAM (self));
  g_return_if_fail (action <= IO_STREAM_LOAN_ACTION_DISCONNECT);

  priv = _io_stream_get_private (self);
  g_mutex_lock (&priv->lock);
  changed = priv->loan_action != action;
  priv->loan_action = action;
  g_mutex_unlock (&priv->lock);

  if (changed)
    g_object_notify (G_OBJECT (self), "loan-action");
}
