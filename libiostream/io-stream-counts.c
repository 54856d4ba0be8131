/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-private.h"

#include "io-fork-private.h"
#include "io-user-client-private.h"

#define MAX_STRIDE 16

/* What the owner counts, and the rows that say so. */

void
_io_stamp_clock_look (IOStampClock *self,
                      gboolean      exactly)
{
  guint64 now = _io_statistics_tick ();

  self->stride = now == self->now && !exactly ? MIN (MAX (2 * self->stride, 2), MAX_STRIDE) : 1;
  self->left = self->stride;
  self->now = now;
}

/* Its number is that of the lowest row that nobody has. */
static guint
find_row (IOStreamPrivate *priv)
{
  guint row = 0;

  for (guint i = 0; i < priv->links->len; i++)
    if (((IOStreamLink *) g_ptr_array_index (priv->links, i))->counts.row == row)
      {
        row++;
        i = (guint) -1;
      }

  return row;
}

void
_io_stream_begin_run_locked (IOStreamLink *link,
                             guint32       sequence)
{
  IOLinkCounts *counts = &link->counts;

  counts->skipped += sequence - counts->next_sequence;
  counts->next_sequence = sequence;
  atomic_store_explicit (&link->own.page->run, (guint64) sequence << 32 | counts->skipped, memory_order_relaxed);
}

void
_io_stream_count_open_locked (IOStreamPrivate *priv,
                              IOStreamLink    *link)
{
  _io_stamp_clock_look (&priv->counts.clock, TRUE);
  link->counts.id = _io_stream_get_client_id (link->client);
  link->counts.row = find_row (priv);
  link->counts.opened = priv->counts.clock.now;
  link->counts.last_activity = priv->counts.clock.now;
  _io_stream_begin_run_locked (link, priv->book.sequence);
}

void
_io_stream_count_close_locked (IOStreamPrivate *priv,
                               IOStreamLink    *link)
{
  IOStreamCounts *counts = &priv->counts;

  counts->delivered += link->delivered;
  counts->returned += link->returned;
  counts->replayed += link->counts.replayed;
  counts->revoked += link->counts.revoked;
  for (guint i = 0; i < IO_STREAM_N_DROPS; i++)
    counts->dropped[i] += link->dropped[i];

  _io_stream_clear_row_locked (priv, link);
}

/* The loan that has lasted longest, of those that this client holds. One that
 * joined late got some that began before it came. */
guint64
_io_stream_find_held_since (IOStreamPrivate *priv,
                            IOStreamLink    *link)
{
  guint64 oldest = G_MAXUINT64;
  guint left = link->holder.count;

  for (guint word = 0; left > 0 && word <= priv->book.count / 32; word++)
    for (guint32 bits = link->holder.held[word]; bits != 0; bits &= bits - 1)
      {
        guint id = word * 32 + (guint) __builtin_ctz (bits);

        oldest = MIN (oldest, priv->book.loans[id].since);
        left--;
      }

  return oldest == G_MAXUINT64 ? 0 : MAX (oldest, link->counts.opened);
}

/* What the client says it took, which only it knows: for the eye alone. */
static guint
count_queued (IOStreamLink *link)
{
  guint64 consumed = atomic_load_explicit (&link->peer.page->consumed, memory_order_relaxed);
  guint64 queued = link->output.index - consumed;

  if (link->claim.word != NULL)
    return (guint) MIN (link->output.index - _io_claim_next_index (&link->claim), link->holder.n_waiting);

  return (guint) MIN (queued, link->holder.count);
}

void
_io_stream_fill_client_row (IOStreamPrivate       *priv,
                            IOStreamLink          *link,
                            IOAbiStatisticsClient *row)
{
  memset (row, 0, sizeof *row);
  row->id = link->counts.id;
  row->pid = io_user_client_get_pid (link->client);
  row->uid = io_user_client_get_uid (link->client);
  row->delivery = link->delivery;
  row->state = link->state;
  row->held = link->holder.count;
  row->queued = priv->fork_count == _io_fork_count () ? count_queued (link) : 0;
  row->allowance = link->limit;
  row->opened = link->counts.opened;
  row->delivered = link->delivered;
  row->returned = link->returned;
  for (guint i = 0; i < IO_STREAM_N_DROPS; i++)
    row->dropped[i] = link->dropped[i];
  row->replayed = link->counts.replayed;
  row->revoked = link->counts.revoked;
  row->held_since = _io_stream_find_held_since (priv, link);
  row->longest_held = link->counts.longest_held;
  row->last_activity = link->counts.last_activity;
  row->violations = link->violation != NULL;
  g_strlcpy ((char *) row->name, io_user_client_get_client_name (link->client), sizeof row->name);
}

static void
add_link (IOAbiStatisticsStream *row,
          const IOStreamLink    *link)
{
  row->delivered += link->delivered;
  row->returned += link->returned;
  row->replayed += link->counts.replayed;
  row->revoked += link->counts.revoked;
  for (guint i = 0; i < IO_STREAM_N_DROPS; i++)
    row->dropped[i] += link->dropped[i];
}

void
_io_stream_fill_stream_row (IOStreamPrivate       *priv,
                            IOAbiStatisticsStream *row)
{
  const IOStreamCounts *counts = &priv->counts;

  memset (row, 0, sizeof *row);
  row->state = priv->state;
  row->mode = priv->mode;
  row->buffers = priv->book.count;
  row->free_buffers = priv->book.n_free;
  row->lent_buffers = priv->book.n_lent;
  row->arrived_buffers = priv->book.n_arrivals;
  row->owned_buffers = row->buffers - row->free_buffers - row->lent_buffers - row->arrived_buffers;
  row->reserve = priv->reserve_count;
  row->clients = priv->links->len;
  row->max_clients = priv->max_clients;
  row->produced = counts->produced;
  row->delivered = counts->delivered;
  row->returned = counts->returned;
  for (guint i = 0; i < IO_STREAM_N_DROPS; i++)
    row->dropped[i] = counts->dropped[i];
  row->replayed = counts->replayed;
  row->revoked = counts->revoked;
  row->failures = counts->failures;
  row->last_activity = MAX (counts->last_activity, counts->last_sent);
  row->violations = counts->violations;
  for (guint i = 0; i < priv->links->len; i++)
    add_link (row, g_ptr_array_index (priv->links, i));
}

/* The worst first: who holds most, and of two that hold as much who holds it
 * for longer. */
typedef struct {
  const IOStreamLink *link;
  guint64             since;
} Holder;

static int
compare_holders (gconstpointer a,
                 gconstpointer b)
{
  const Holder *left = a, *right = b;

  if (left->link->holder.count != right->link->holder.count)
    return left->link->holder.count > right->link->holder.count ? -1 : 1;

  return left->since < right->since ? -1 : left->since > right->since;
}

#define MAX_NAMED 4

char *
_io_stream_describe_holders_locked (IOStreamPrivate *priv)
{
  g_autoptr (GArray) holders = g_array_new (FALSE, FALSE, sizeof (Holder));
  GString *text = g_string_new (NULL);
  guint64 now = _io_statistics_now ();

  for (guint i = 0; i < priv->links->len; i++)
    {
      Holder holder = { g_ptr_array_index (priv->links, i), 0 };

      holder.since = _io_stream_find_held_since (priv, (IOStreamLink *) holder.link);
      if (holder.link->holder.count > 0)
        g_array_append_val (holders, holder);
    }
  g_array_sort (holders, compare_holders);

  for (guint i = 0; i < MIN (holders->len, MAX_NAMED); i++)
    {
      const Holder *holder = &g_array_index (holders, Holder, i);
      guint64 ms = now > holder->since ? (now - holder->since) / 1000000 : 0;

      g_string_append_printf (text, "%sclient “%s” (process %d) holds %u of %u, the oldest for %u.%03u s",
                              i > 0 ? ", " : "", io_user_client_get_client_name (holder->link->client),
                              io_user_client_get_pid (holder->link->client), holder->link->holder.count,
                              priv->book.count, (guint) (ms / 1000), (guint) (ms % 1000));
    }
  if (holders->len > MAX_NAMED)
    g_string_append_printf (text, ", and %u more", holders->len - MAX_NAMED);

  return g_string_free (text, FALSE);
}
