/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-claim-private.h"
#include "io-region-private.h"

#define COUNT 8

static IOStreamBufferQueueEntry
make_entry (guint32 n)
{
  return (IOStreamBufferQueueEntry) { n % COUNT, n + 1, n + 2, n + 3, n + 4, n, (guint64) n << 32, 0 };
}

static void
assert_entry (const IOStreamBufferQueueEntry *entry,
              guint32                         n)
{
  IOStreamBufferQueueEntry expected = make_entry (n);

  expected.buffer_id = entry->buffer_id;
  g_assert_cmpmem (entry, sizeof *entry, &expected, sizeof expected);
}

/* Both ends of one connection, in one mapping, so that a race detector sees
 * what they do. */
typedef struct {
  IOAbiEntry       entries[COUNT];
  _Atomic uint64_t word;
  guint64          start;
  IORing           output;
  IOClaim          owner;
  IORing           ring;
  IOClaim          client;
} Ends;

static void
ends_init (Ends    *self,
           guint64  start)
{
  memset (self->entries, 0, sizeof self->entries);
  atomic_store (&self->word, start);
  self->start = start;
  _io_ring_init (&self->output, self->entries, COUNT, start);
  _io_ring_init (&self->ring, self->entries, COUNT, start);
  _io_claim_init (&self->owner, &self->word, start);
  _io_claim_init (&self->client, &self->word, start);
}

/* Entries are numbered from 0 on. */
static void
put (Ends  *self,
     guint  n)
{
  for (guint i = 0; i < n; i++)
    {
      IOStreamBufferQueueEntry entry = make_entry ((guint32) (self->output.index - self->start));

      g_assert_false (_io_claim_is_full (&self->owner, &self->output));
      _io_ring_put (&self->output, &entry);
    }
}

static void
take (Ends    *self,
      guint32  number)
{
  IOStreamBufferQueueEntry entry;

  g_assert_true (_io_claim_has_entry (&self->client, &self->ring));
  g_assert_cmpint (_io_claim_take (&self->client, &self->ring, &entry), ==, IO_CLAIM_ENTRY);
  assert_entry (&entry, number);
}

static void
take_nothing (Ends *self)
{
  IOStreamBufferQueueEntry entry;
  guint64 index = self->ring.index;

  g_assert_false (_io_claim_has_entry (&self->client, &self->ring));
  g_assert_cmpint (_io_claim_take (&self->client, &self->ring, &entry), ==, IO_CLAIM_NONE);
  g_assert_cmpuint (self->ring.index, ==, index);
}

/* @from, @to: numbers */
static void
assert_span (Ends              *self,
             const IOClaimSpan *span,
             guint64            taken,
             guint64            from,
             guint64            to)
{
  g_assert_cmpuint (span->taken, ==, taken);
  g_assert_cmpuint (span->from - self->start, ==, from);
  g_assert_cmpuint (span->to - self->start, ==, to);
  g_assert_cmpuint (self->owner.seen, ==, span->to);
}

static const guint64 starts[] = {
  0, IO_REGION_START_INDEX, 255 * COUNT - 3, G_MAXUINT64 / (255 * COUNT) * (255 * COUNT) - 400000
};

static void
test_take (gconstpointer data)
{
  Ends ends;
  IOClaimSpan span;
  guint32 n = 0;

  ends_init (&ends, *(const guint64 *) data);
  take_nothing (&ends);
  while (n < 20000)
    {
      guint burst = 1 + n % COUNT;

      put (&ends, burst);
      for (guint i = 0; i < burst; i++)
        take (&ends, n++);
      take_nothing (&ends);
      g_assert_true (_io_claim_sync (&ends.owner, &ends.output, &span));
      assert_span (&ends, &span, burst, n, n);
    }
}

static void
test_withdraw (gconstpointer data)
{
  Ends ends;
  IOClaimSpan span;

  ends_init (&ends, *(const guint64 *) data);
  g_assert_true (_io_claim_withdraw (&ends.owner, &ends.output, G_MAXUINT64, &span));
  assert_span (&ends, &span, 0, 0, 0);

  /* Of eight the client takes two, the owner three, and the client the rest. */
  for (guint32 n = 0; n < 20000; n += COUNT)
    {
      put (&ends, COUNT);
      g_assert_true (_io_claim_is_full (&ends.owner, &ends.output));
      take (&ends, n);
      take (&ends, n + 1);
      g_assert_true (_io_claim_withdraw (&ends.owner, &ends.output, 3, &span));
      assert_span (&ends, &span, 2, n + 2, n + 5);
      for (guint32 i = n + 2; i < n + 5; i++)
        {
          IOStreamBufferQueueEntry entry;

          _io_ring_read (&ends.output, ends.start + i, &entry);
          assert_entry (&entry, i);
        }
      take (&ends, n + 5);
      g_assert_true (_io_claim_withdraw (&ends.owner, &ends.output, 0, &span));
      assert_span (&ends, &span, 1, n + 6, n + 6);
      take (&ends, n + 6);
      take (&ends, n + 7);
      g_assert_true (_io_claim_withdraw (&ends.owner, &ends.output, G_MAXUINT64, &span));
      assert_span (&ends, &span, 2, n + 8, n + 8);
    }
}

/* Nothing from the end on, wherever the client is by then. */
static void
test_withdraw_before (void)
{
  Ends ends;
  IOClaimSpan span;

  ends_init (&ends, IO_REGION_START_INDEX);
  for (guint32 n = 0; n < 3000; n += COUNT)
    {
      put (&ends, COUNT);
      take (&ends, n);
      g_assert_true (_io_claim_withdraw_before (&ends.owner, &ends.output, ends.start + n + 3, &span));
      assert_span (&ends, &span, 1, n + 1, n + 3);
      take (&ends, n + 3);
      take (&ends, n + 4);
      g_assert_true (_io_claim_withdraw_before (&ends.owner, &ends.output, ends.start + n + 4, &span));
      assert_span (&ends, &span, 2, n + 5, n + 5);
      g_assert_true (_io_claim_withdraw_before (&ends.owner, &ends.output, 0, &span));
      assert_span (&ends, &span, 0, n + 5, n + 5);
      g_assert_true (_io_claim_withdraw_before (&ends.owner, &ends.output, G_MAXUINT64, &span));
      assert_span (&ends, &span, 0, n + 5, n + COUNT);
    }

  atomic_store (ends.client.word, ends.start);
  g_assert_false (_io_claim_withdraw_before (&ends.owner, &ends.output, G_MAXUINT64, &span));
}

/* A client that stands still: the owner has all its slots, as often as it
 * likes, and the client goes on where the owner is then. */
static void
test_stopped (void)
{
  Ends ends;
  IOClaimSpan span;
  guint32 n = 0;

  ends_init (&ends, IO_REGION_START_INDEX);
  for (guint lap = 0; lap < 300; lap++, n += COUNT)
    {
      put (&ends, COUNT);
      g_assert_true (_io_claim_withdraw (&ends.owner, &ends.output, G_MAXUINT64, &span));
      assert_span (&ends, &span, 0, n, n + COUNT);
    }
  take_nothing (&ends);
  put (&ends, 3);
  for (guint i = 0; i < 3; i++)
    take (&ends, n++);
  take_nothing (&ends);
}

static void
test_peek (void)
{
  Ends ends;
  IOClaimSpan span;
  IOStreamBufferQueueEntry entry;
  guint64 index;

  ends_init (&ends, IO_REGION_START_INDEX);
  g_assert_cmpint (_io_claim_peek (&ends.client, &ends.ring, &index, &entry), ==, IO_CLAIM_NONE);
  put (&ends, COUNT);

  /* It stays where it is, */
  for (guint i = 0; i < 3; i++)
    {
      g_assert_cmpint (_io_claim_peek (&ends.client, &ends.ring, &index, &entry), ==, IO_CLAIM_ENTRY);
      g_assert_cmpuint (index, ==, ends.start);
      assert_entry (&entry, 0);
    }
  /* until the owner takes it, */
  g_assert_true (_io_claim_withdraw (&ends.owner, &ends.output, 1, &span));
  g_assert_false (_io_claim_commit (&ends.client, &ends.ring, index, 1));
  g_assert_cmpuint (ends.ring.index, ==, ends.start);
  /* or the client; */
  g_assert_cmpint (_io_claim_peek (&ends.client, &ends.ring, &index, &entry), ==, IO_CLAIM_ENTRY);
  assert_entry (&entry, 1);
  g_assert_true (_io_claim_commit (&ends.client, &ends.ring, index, 1));
  g_assert_false (_io_claim_commit (&ends.client, &ends.ring, index, 1));

  /* many at once are all the client's or none. */
  index = _io_claim_next_index (&ends.client);
  for (guint32 i = 0; i < 4; i++)
    {
      g_assert_true (_io_ring_copy (&ends.ring, index + i, &entry));
      assert_entry (&entry, 2 + i);
    }
  g_assert_true (_io_claim_commit (&ends.client, &ends.ring, index, 4));
  g_assert_true (_io_claim_withdraw (&ends.owner, &ends.output, G_MAXUINT64, &span));
  assert_span (&ends, &span, 5, 6, COUNT);
  g_assert_false (_io_claim_commit (&ends.client, &ends.ring, index + 4, 2));
  take_nothing (&ends);
}

/* What a client can leave in the word, and no honest one does. */
static void
test_hostile_client (void)
{
  static const gint64 steps[] = { -1, -2, -COUNT, G_MININT64, G_MAXINT64, COUNT, 1000000 };

  for (guint i = 0; i < G_N_ELEMENTS (steps); i++)
    {
      Ends ends;
      IOClaimSpan span;
      IOClaim before;

      ends_init (&ends, IO_REGION_START_INDEX);
      put (&ends, 5);
      take (&ends, 0);
      g_assert_true (_io_claim_withdraw (&ends.owner, &ends.output, 1, &span));
      atomic_fetch_add (&ends.word, (guint64) steps[i]);
      before = ends.owner;
      span = (IOClaimSpan) { 7, 7, 7 };

      g_assert_false (_io_claim_sync (&ends.owner, &ends.output, &span));
      g_assert_false (_io_claim_withdraw (&ends.owner, &ends.output, G_MAXUINT64, &span));
      g_assert_false (_io_claim_withdraw (&ends.owner, &ends.output, 0, &span));
      g_assert_cmpmem (&ends.owner, sizeof before, &before, sizeof before);
      g_assert_cmpuint (span.taken + span.from + span.to, ==, 21);
      g_assert_cmpuint (atomic_load (&ends.word), ==, before.seen + (guint64) steps[i]);
    }
}

/* A client that gives back what it has not taken: the owner's book says that
 * there is room, and the ring does not. */
static void
test_full (void)
{
  Ends ends;
  IOClaimSpan span;

  ends_init (&ends, IO_REGION_START_INDEX);
  put (&ends, COUNT);
  g_assert_true (_io_claim_is_full (&ends.owner, &ends.output));
  g_assert_true (_io_claim_sync (&ends.owner, &ends.output, &span));
  g_assert_true (_io_claim_is_full (&ends.owner, &ends.output));

  /* An honest one has taken it. */
  take (&ends, 0);
  g_assert_true (_io_claim_is_full (&ends.owner, &ends.output));
  g_assert_true (_io_claim_sync (&ends.owner, &ends.output, &span));
  g_assert_false (_io_claim_is_full (&ends.owner, &ends.output));
  put (&ends, 1);
  g_assert_true (_io_claim_is_full (&ends.owner, &ends.output));
}

static void
test_hostile_owner (void)
{
  static const gint64 forward[] = { COUNT, 1000000, G_MAXINT64 / 2 };
  IOStreamBufferQueueEntry entry;
  guint64 index;
  Ends ends;

  for (guint i = 0; i < G_N_ELEMENTS (forward); i++)
    {
      ends_init (&ends, IO_REGION_START_INDEX);
      put (&ends, 5);
      take (&ends, 0);
      atomic_fetch_add (&ends.word, (guint64) forward[i]);
      take_nothing (&ends);
    }

  for (guint64 back = 1; back != 0; back *= 2)
    {
      ends_init (&ends, G_MAXUINT64 - 100);
      put (&ends, 5);
      take (&ends, 0);
      atomic_fetch_sub (&ends.word, back);
      g_assert_cmpint (_io_claim_peek (&ends.client, &ends.ring, &index, &entry), ==, IO_CLAIM_BROKEN);
      g_assert_cmpint (_io_claim_take (&ends.client, &ends.ring, &entry), ==, IO_CLAIM_BROKEN);
      g_assert_cmpuint (ends.ring.index, ==, ends.start + 1);
    }
}

/* Two threads: the owner sends numbered entries and takes some back, the client
 * takes and returns. What each of them did is written down by number, outside
 * of what is tested. */

#define N_STORM 100000

typedef struct {
  Ends       ends;
  IOAbiEntry back[COUNT];
  guint8     taken[N_STORM];      /* by the client alone */
  guint8     withdrawn[N_STORM];  /* by the owner alone */
  gboolean   done;                /* atomic */

  IORing     returns;
  gint64     lent[COUNT];         /* number, or -1 */
  guint      n_lent;
  guint64    counted;             /* taken, as the owner learned it */
} Storm;

static gpointer
storm_client (gpointer user_data)
{
  Storm *storm = user_data;
  IOStreamBufferQueueEntry entry;
  gint64 last = -1;
  IORing returns;

  _io_ring_init (&returns, storm->back, COUNT, storm->ends.start);
  for (;;)
    {
      gboolean done = g_atomic_int_get (&storm->done);
      IOClaimResult result = _io_claim_take (&storm->ends.client, &storm->ends.ring, &entry);

      g_assert_cmpint (result, !=, IO_CLAIM_BROKEN);
      if (result == IO_CLAIM_ENTRY)
        {
          assert_entry (&entry, entry.sequence);
          g_assert_cmpint (entry.sequence, >, last);
          last = entry.sequence;
          storm->taken[entry.sequence]++;
          _io_ring_put (&returns, &entry);
        }
      else if (done)
        return NULL;
      else
        g_thread_yield ();
    }
}

static void
storm_end_loan (Storm                          *storm,
                const IOStreamBufferQueueEntry *entry)
{
  g_assert_cmpint (storm->lent[entry->buffer_id], ==, entry->sequence);
  storm->lent[entry->buffer_id] = -1;
  storm->n_lent--;
}

static void
storm_drain (Storm *storm)
{
  IOStreamBufferQueueEntry entry;

  while (_io_ring_take (&storm->returns, &entry))
    storm_end_loan (storm, &entry);
}

static void
storm_withdraw (Storm   *storm,
                guint64  n)
{
  IOStreamBufferQueueEntry entry;
  IOClaimSpan span;

  g_assert_true (_io_claim_withdraw (&storm->ends.owner, &storm->ends.output, n, &span));
  storm->counted += span.taken;
  for (guint64 i = span.from; i < span.to; i++)
    {
      _io_ring_read (&storm->ends.output, i, &entry);
      assert_entry (&entry, (guint32) (i - storm->ends.start));
      storm->withdrawn[entry.sequence]++;
      storm_end_loan (storm, &entry);
    }
}

static void
storm_send (Storm   *storm,
            guint32  number)
{
  IOStreamBufferQueueEntry entry = make_entry (number);
  IOClaimSpan span;

  entry.buffer_id = 0;
  while (storm->lent[entry.buffer_id] >= 0)
    entry.buffer_id++;
  if (_io_claim_is_full (&storm->ends.owner, &storm->ends.output))
    {
      g_assert_true (_io_claim_sync (&storm->ends.owner, &storm->ends.output, &span));
      storm->counted += span.taken;
    }
  g_assert_false (_io_claim_is_full (&storm->ends.owner, &storm->ends.output));
  storm->lent[entry.buffer_id] = number;
  storm->n_lent++;
  _io_ring_put (&storm->ends.output, &entry);
}

static void
storm_run (Storm *storm,
           guint  mix)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (mix);

  for (guint32 number = 0; number < N_STORM; number++)
    {
      if (g_rand_int_range (rand, 0, (gint32) mix) == 0)
        storm_withdraw (storm, (guint64) g_rand_int_range (rand, 1, COUNT + 2));
      storm_drain (storm);
      while (storm->n_lent == COUNT)
        {
          g_thread_yield ();
          storm_drain (storm);
          if (storm->n_lent == COUNT && mix < 100)
            storm_withdraw (storm, 1);
        }
      storm_send (storm, number);
    }
  storm_withdraw (storm, G_MAXUINT64);
}

static void
test_storm (gconstpointer data)
{
  g_autofree Storm *storm = g_new0 (Storm, 1);
  guint64 taken = 0;
  GThread *thread;

  ends_init (&storm->ends, IO_REGION_START_INDEX);
  _io_ring_init (&storm->returns, storm->back, COUNT, IO_REGION_START_INDEX);
  for (guint i = 0; i < COUNT; i++)
    storm->lent[i] = -1;

  thread = g_thread_new ("client", storm_client, storm);
  storm_run (storm, GPOINTER_TO_UINT (data));
  g_atomic_int_set (&storm->done, TRUE);
  g_thread_join (thread);
  storm_drain (storm);

  g_assert_cmpuint (storm->n_lent, ==, 0);
  for (guint i = 0; i < N_STORM; i++)
    {
      g_assert_cmpuint (storm->taken[i] + storm->withdrawn[i], ==, 1);
      taken += storm->taken[i];
    }
  g_assert_cmpuint (taken, ==, storm->counted);
  g_test_message ("the client took %" G_GUINT64_FORMAT " of %d", taken, N_STORM);
}

/* Both go for the same few entries at the same moment, again and again. */

/* As many as there is time for, where one is a change of thread each. */
#define N_DUELS  20000
#define MAX_TIME (5 * G_USEC_PER_SEC)

typedef struct {
  Ends   ends;
  gint   n_rounds;        /* atomic */
  gint   begun;           /* atomic: rounds */
  gint   ended;           /* atomic: likewise, by the client */
  guint8 taken[COUNT];
} Duel;

static gpointer
duel_client (gpointer user_data)
{
  Duel *duel = user_data;

  for (gint round = 1; round <= g_atomic_int_get (&duel->n_rounds); round++)
    {
      IOStreamBufferQueueEntry entry;

      while (g_atomic_int_get (&duel->begun) != round)
        g_thread_yield ();
      while (_io_claim_take (&duel->ends.client, &duel->ends.ring, &entry) == IO_CLAIM_ENTRY)
        duel->taken[entry.sequence % COUNT]++;
      g_atomic_int_set (&duel->ended, round);
    }

  return NULL;
}

static void
test_duel (void)
{
  g_autofree Duel *duel = g_new0 (Duel, 1);
  gint64 end = g_get_monotonic_time () + MAX_TIME;
  GThread *thread;

  ends_init (&duel->ends, IO_REGION_START_INDEX);
  duel->n_rounds = N_DUELS;
  thread = g_thread_new ("client", duel_client, duel);
  for (gint round = 1; round <= duel->n_rounds; round++)
    {
      guint8 withdrawn[COUNT] = { 0, };

      if (g_get_monotonic_time () >= end)
        g_atomic_int_set (&duel->n_rounds, round);
      memset (duel->taken, 0, sizeof duel->taken);
      put (&duel->ends, COUNT);
      g_atomic_int_set (&duel->begun, round);
      while (duel->ends.owner.seen < duel->ends.output.index)
        {
          IOClaimSpan span;

          g_assert_true (_io_claim_withdraw (&duel->ends.owner, &duel->ends.output, 1, &span));
          for (guint64 i = span.from; i < span.to; i++)
            withdrawn[(i - duel->ends.start) % COUNT]++;
        }
      while (g_atomic_int_get (&duel->ended) != round)
        g_thread_yield ();
      for (guint i = 0; i < COUNT; i++)
        g_assert_cmpuint (withdrawn[i] + duel->taken[i], ==, 1);
    }
  g_thread_join (thread);
}

/* A client that does nothing but write the word, as fast as it can, values that
 * are possible among them. */

typedef struct {
  Ends            ends;
  gboolean        done;      /* atomic */
  _Atomic guint64 near_to;   /* what the owner has produced */
} Attack;

static gpointer
attack_thread (gpointer user_data)
{
  Attack *attack = user_data;
  g_autoptr (GRand) rand = g_rand_new_with_seed (3);

  while (!g_atomic_int_get (&attack->done))
    {
      guint64 value = atomic_load_explicit (&attack->near_to, memory_order_relaxed);

      value -= (guint64) g_rand_int_range (rand, -1, COUNT + 1);
      atomic_store_explicit (&attack->ends.word, value, memory_order_relaxed);
    }

  return NULL;
}

/* One connection: to the first violation, which ends it. Whatever the word
 * said, the spans that the owner believed follow each other without a gap. */
static void
attack_round (Attack *attack,
              GRand  *rand)
{
  Ends *ends = &attack->ends;
  guint64 next = ends->output.index;
  gboolean alive = TRUE;

  ends->owner.seen = next;
  atomic_store (&ends->word, next);
  for (guint step = 0; alive && step < 1000; step++)
    {
      IOClaimSpan span;

      if (!_io_claim_is_full (&ends->owner, &ends->output))
        {
          IOStreamBufferQueueEntry entry = make_entry (step);

          _io_ring_put (&ends->output, &entry);
          atomic_store_explicit (&attack->near_to, ends->output.index, memory_order_relaxed);
        }
      if (step % 3 == 0)
        alive = _io_claim_sync (&ends->owner, &ends->output, &span);
      else
        alive = _io_claim_withdraw (&ends->owner, &ends->output, (guint64) g_rand_int_range (rand, 0, COUNT), &span);
      if (alive)
        {
          g_assert_cmpuint (span.from - span.taken, ==, next);
          g_assert_cmpuint (span.to, >=, span.from);
          g_assert_cmpuint (span.to, <=, ends->output.index);
          next = span.to;
        }
      g_assert_cmpuint (ends->owner.seen, ==, next);
      g_assert_cmpuint (ends->output.index - next, <=, COUNT);
    }
}

static void
test_attack (void)
{
  g_autofree Attack *attack = g_new0 (Attack, 1);
  g_autoptr (GRand) rand = g_rand_new_with_seed (4);
  GThread *thread;

  ends_init (&attack->ends, IO_REGION_START_INDEX);
  atomic_store (&attack->near_to, IO_REGION_START_INDEX);
  thread = g_thread_new ("attack", attack_thread, attack);
  for (guint i = 0; i < 20000; i++)
    attack_round (attack, rand);
  g_atomic_int_set (&attack->done, TRUE);
  g_thread_join (thread);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (starts); i++)
    {
      g_autofree char *take_path = g_strdup_printf ("/claim/take/%u", i);
      g_autofree char *withdraw_path = g_strdup_printf ("/claim/withdraw/%u", i);

      g_test_add_data_func (take_path, &starts[i], test_take);
      g_test_add_data_func (withdraw_path, &starts[i], test_withdraw);
    }
  g_test_add_func ("/claim/withdraw-before", test_withdraw_before);
  g_test_add_func ("/claim/stopped", test_stopped);
  g_test_add_func ("/claim/peek", test_peek);
  g_test_add_func ("/claim/full", test_full);
  g_test_add_func ("/claim/hostile-client", test_hostile_client);
  g_test_add_func ("/claim/hostile-owner", test_hostile_owner);
  g_test_add_data_func ("/claim/storm/often", GUINT_TO_POINTER (3), test_storm);
  g_test_add_data_func ("/claim/storm/seldom", GUINT_TO_POINTER (99), test_storm);
  g_test_add_data_func ("/claim/storm/never", GUINT_TO_POINTER (G_MAXINT32), test_storm);
  g_test_add_func ("/claim/duel", test_duel);
  g_test_add_func ("/claim/attack", test_attack);

  return g_test_run ();
}
