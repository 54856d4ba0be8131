/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An owner that takes entries back from a client in another process, which
 * runs, or stands still at any point, or is dead: each entry ends once, and the
 * two sides agree on how. */

#include "peer-process.h"

#include "io-claim-private.h"
#include "io-region-private.h"

#define COUNT   8
#define N_SENT  20000
#define N_LAPS  1000
#define THE_END G_MAXUINT32

static IOStreamBufferQueueEntry
make_entry (guint32 number,
            guint32 id)
{
  return (IOStreamBufferQueueEntry) { id, number, ~number, number * 3, number * 5, number, (guint64) number << 20, 0 };
}

/* The client: returns whatever it gets, and adds up the numbers. */

static int
run_client (void)
{
  g_autoptr (GError) error = NULL;
  IORegion owner = { 0, }, own = { 0, };
  IOStreamBufferQueueEntry entry = { 0, };
  guint64 taken = 0, sum = 0;
  gint64 last = -1;
  IORing output, input;
  IOClaim claim;

  _io_region_attach (&owner, IO_ABI_SIDE_OWNER, PEER_SOCKET_FD, COUNT, &error);
  g_assert_no_error (error);
  _io_region_attach (&own, IO_ABI_SIDE_CLIENT, PEER_BOARD_FD, COUNT, &error);
  g_assert_no_error (error);
  _io_ring_init (&output, owner.page->entries, COUNT, owner.start_index);
  _io_ring_init (&input, own.page->entries, COUNT, own.start_index);
  _io_claim_init (&claim, own.claim, own.start_index);
  peer_say ("ready");

  while (entry.sequence != THE_END)
    {
      IOStreamBufferQueueEntry expected;
      IOClaimResult result = _io_claim_take (&claim, &output, &entry);

      g_assert_cmpint (result, !=, IO_CLAIM_BROKEN);
      if (result == IO_CLAIM_NONE)
        {
          entry.sequence = 0;
          g_thread_yield ();
          continue;
        }
      expected = make_entry (entry.sequence, entry.buffer_id);
      g_assert_cmpmem (&entry, sizeof entry, &expected, sizeof expected);
      g_assert_cmpint (entry.sequence, >, last);
      last = entry.sequence;
      taken++;
      sum += entry.sequence;
      _io_ring_put (&input, &entry);
    }

  peer_say ("took %" G_GUINT64_FORMAT " sum %" G_GUINT64_FORMAT, taken, sum);
  _io_region_clear (&owner);
  _io_region_clear (&own);

  return 0;
}

/* The owner. */

typedef struct {
  IORegion  own;
  IORegion  client;
  IORing    output;
  IORing    input;
  IOClaim   claim;
  Peer     *peer;
  GRand    *rand;
  gint64    lent[COUNT];   /* number, or -1 */
  guint     n_lent;
  guint32   next;          /* number */
  guint64   taken;         /* by the client, as the claim told */
  guint64   taken_sum;     /* what is sent, less what came back */
} Owner;

static void
owner_set_up (Owner *self)
{
  g_autoptr (GError) error = NULL;

  *self = (Owner) { .rand = g_rand_new_with_seed (5), .next = 1 };
  _io_region_create (&self->own, IO_ABI_SIDE_OWNER, COUNT, IO_REGION_START_INDEX, &error);
  g_assert_no_error (error);
  _io_region_create_claimed (&self->client, COUNT, IO_REGION_START_INDEX, &error);
  g_assert_no_error (error);
  _io_ring_init (&self->output, self->own.page->entries, COUNT, IO_REGION_START_INDEX);
  _io_ring_init (&self->input, self->client.page->entries, COUNT, IO_REGION_START_INDEX);
  _io_claim_init (&self->claim, self->client.claim, IO_REGION_START_INDEX);
  for (guint i = 0; i < COUNT; i++)
    self->lent[i] = -1;

  self->peer = peer_spawn (_io_memory_backing_peek_fd (self->own.backing),
                           _io_memory_backing_peek_fd (self->client.backing), "client", NULL);
  peer_expect (self->peer, "ready");
  _io_region_seal (&self->client, &error);
  g_assert_no_error (error);
}

static void
owner_tear_down (Owner *self)
{
  g_rand_free (self->rand);
  _io_region_clear (&self->own);
  _io_region_clear (&self->client);
}

static void
owner_end_loan (Owner                          *self,
                const IOStreamBufferQueueEntry *entry)
{
  g_assert_cmpuint (entry->buffer_id, <, COUNT);
  g_assert_cmpint (self->lent[entry->buffer_id], ==, entry->sequence);
  self->lent[entry->buffer_id] = -1;
  self->n_lent--;
}

static void
owner_drain (Owner *self)
{
  IOStreamBufferQueueEntry entry;

  while (_io_ring_take (&self->input, &entry))
    owner_end_loan (self, &entry);
}

/* Returns how many came back. */
static guint64
owner_withdraw (Owner   *self,
                guint64  n)
{
  IOStreamBufferQueueEntry entry;
  IOClaimSpan span;

  g_assert_true (_io_claim_withdraw (&self->claim, &self->output, n, &span));
  self->taken += span.taken;
  for (guint64 i = span.from; i < span.to; i++)
    {
      _io_ring_read (&self->output, i, &entry);
      self->taken_sum -= entry.sequence;
      owner_end_loan (self, &entry);
    }

  return span.to - span.from;
}

static void
owner_send (Owner   *self,
            guint32  number)
{
  IOStreamBufferQueueEntry entry;
  IOClaimSpan span;
  guint32 id = 0;

  while (self->lent[id] >= 0)
    id++;
  if (_io_claim_is_full (&self->claim, &self->output))
    {
      g_assert_true (_io_claim_sync (&self->claim, &self->output, &span));
      self->taken += span.taken;
    }
  g_assert_false (_io_claim_is_full (&self->claim, &self->output));
  entry = make_entry (number, id);
  self->lent[id] = number;
  self->n_lent++;
  self->taken_sum += number;
  _io_ring_put (&self->output, &entry);
}

static void
owner_wait_for_room (Owner *self)
{
  owner_drain (self);
  while (self->n_lent == COUNT)
    {
      g_thread_yield ();
      owner_drain (self);
    }
}

static void
owner_run (Owner *self,
           guint  n)
{
  for (guint i = 0; i < n; i++)
    {
      owner_wait_for_room (self);
      owner_send (self, self->next++);
      if (g_rand_int_range (self->rand, 0, 4) == 0)
        owner_withdraw (self, (guint64) g_rand_int_range (self->rand, 1, COUNT + 1));
    }
}

static void
owner_fill (Owner *self)
{
  owner_drain (self);
  while (self->n_lent < COUNT)
    owner_send (self, self->next++);
}

/* It stands still wherever it was: between copy and swap, between swap and
 * return. All that it has not taken is the owner's, as often as it likes. */
static void
owner_use_alone (Owner *self)
{
  guint64 taken;
  guint held;

  owner_withdraw (self, G_MAXUINT64);
  owner_drain (self);
  held = self->n_lent;
  g_assert_cmpuint (held, <=, 1);
  taken = self->taken;
  for (guint i = 0; i < N_LAPS; i++)
    {
      owner_fill (self);
      g_assert_cmpuint (owner_withdraw (self, 1), ==, 1);
      g_assert_cmpuint (owner_withdraw (self, G_MAXUINT64), ==, COUNT - held - 1);
      g_assert_cmpuint (self->n_lent, ==, held);
    }
  g_assert_cmpuint (self->taken, ==, taken);
}

static guint
n_sent (void)
{
  return g_getenv ("IOSTREAM_TEST_VALGRIND") != NULL ? N_SENT / 20 : N_SENT;
}

static void
test_stopped (void)
{
  g_autofree char *answer = NULL, *expected = NULL;
  IOClaimSpan span;
  Owner owner;

  owner_set_up (&owner);
  for (guint i = 0; i < 10; i++)
    {
      owner_run (&owner, n_sent () / 10);
      peer_freeze (owner.peer);
      owner_use_alone (&owner);
      owner_fill (&owner);
      peer_thaw (owner.peer);
    }

  owner_wait_for_room (&owner);
  owner_send (&owner, THE_END);
  while (owner.n_lent > 0)
    {
      g_thread_yield ();
      owner_drain (&owner);
    }
  g_assert_true (_io_claim_sync (&owner.claim, &owner.output, &span));
  owner.taken += span.taken;
  g_assert_cmpuint (owner.claim.seen, ==, owner.output.index);

  answer = peer_read (owner.peer);
  expected = g_strdup_printf ("took %" G_GUINT64_FORMAT " sum %" G_GUINT64_FORMAT, owner.taken, owner.taken_sum);
  g_assert_cmpstr (answer, ==, expected);
  peer_finish (owner.peer);
  owner_tear_down (&owner);
}

/* Dead at any point: what it had taken, and not given back, is known. */
static void
test_dead (void)
{
  for (guint i = 0; i < 20; i++)
    {
      Owner owner;

      owner_set_up (&owner);
      owner_run (&owner, 50 + i * 7);
      owner_fill (&owner);
      peer_kill (owner.peer);

      owner_withdraw (&owner, G_MAXUINT64);
      owner_drain (&owner);
      g_assert_cmpuint (owner.n_lent, <=, 1);
      owner_tear_down (&owner);
    }
}

int
main (int   argc,
      char *argv[])
{
  if (argc > 2 && strcmp (argv[1], "--peer") == 0)
    {
      peer_begin ();
      return run_client ();
    }

  *peer_program () = argv[0];
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/claim-processes/stopped", test_stopped);
  g_test_add_func ("/claim-processes/dead", test_dead);

  return g_test_run ();
}
