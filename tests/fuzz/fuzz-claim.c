/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Both ends of a claim word, and somebody who writes it. The input is a start
 * index, and then steps of two bytes: what to do, and with how much. The owner
 * believes no span that does not follow the last one, and gives up a connection
 * at the first violation; until somebody wrote the word, nobody is blamed. */

#include "fuzz.h"

#include <string.h>

#include "libiostream/io-claim-private.h"

#define ENTRIES 8u

typedef struct {
  IOAbiEntry      *entries;
  _Atomic uint64_t word;
  IORing           output;
  IOClaim          owner;
  IORing           ring;
  IOClaim          client;
  guint64          settled;  /* all before was told to the owner */
  gboolean         honest;
  gboolean         broken;
} Ends;

static void
init (Ends    *self,
      guint64  start)
{
  /* Exactly as large as the ring, for the address sanitizer. */
  *self = (Ends) { .entries = g_malloc0 (ENTRIES * sizeof (IOAbiEntry)), .settled = start, .honest = TRUE };
  atomic_store (&self->word, start);
  _io_ring_init (&self->output, self->entries, ENTRIES, start);
  _io_ring_init (&self->ring, self->entries, ENTRIES, start);
  _io_claim_init (&self->owner, &self->word, start);
  _io_claim_init (&self->client, &self->word, start);
}

static void
settle (Ends              *self,
        gboolean           possible,
        const IOClaimSpan *span)
{
  if (!possible)
    {
      g_assert_false (self->honest);
      g_assert_cmpuint (self->owner.seen, ==, self->settled);
      self->broken = TRUE;
      return;
    }
  g_assert_cmpuint (span->from - span->taken, ==, self->settled);
  g_assert_cmpuint (span->from, <=, span->to);
  g_assert_cmpuint (span->to, <=, self->output.index);
  for (guint64 i = span->from; i < span->to; i++)
    {
      IOStreamBufferQueueEntry entry;

      _io_ring_read (&self->output, i, &entry);
      g_assert_cmpuint (entry.timestamp, ==, i);
    }
  self->settled = span->to;
}

static void
put (Ends *self)
{
  IOStreamBufferQueueEntry entry = { .timestamp = self->output.index };
  IOClaimSpan span;

  if (_io_claim_is_full (&self->owner, &self->output))
    settle (self, _io_claim_sync (&self->owner, &self->output, &span), &span);
  if (!self->broken && !_io_claim_is_full (&self->owner, &self->output))
    _io_ring_put (&self->output, &entry);
}

static void
take (Ends *self)
{
  IOStreamBufferQueueEntry entry;
  guint64 before = self->ring.index;
  IOClaimResult result = _io_claim_take (&self->client, &self->ring, &entry);

  if (result == IO_CLAIM_ENTRY)
    g_assert_cmpuint (self->ring.index - 1 - before, <=, G_MAXINT64);
  else
    g_assert_cmpuint (self->ring.index, ==, before);
  if (!self->honest)
    return;
  g_assert_cmpint (result, !=, IO_CLAIM_BROKEN);
  if (result == IO_CLAIM_ENTRY)
    g_assert_cmpuint (entry.timestamp, ==, self->ring.index - 1);
}

static void
step (Ends   *self,
      guint8  what,
      guint8  much)
{
  IOClaimSpan span;

  switch (what % 6)
    {
    case 0:
      put (self);
      break;
    case 1:
      take (self);
      break;
    case 2:
      settle (self, _io_claim_withdraw (&self->owner, &self->output, much, &span), &span);
      break;
    case 3:
      settle (self, _io_claim_sync (&self->owner, &self->output, &span), &span);
      break;
    case 4:
      self->honest = FALSE;
      atomic_fetch_add (&self->word, (guint64) (gint8) much);
      break;
    default:
      self->honest = FALSE;
      atomic_fetch_xor (&self->word, G_GUINT64_CONSTANT (1) << (much % 64));
      break;
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data,
                        size_t         size)
{
  Ends ends;
  guint64 start;

  if (size < sizeof start)
    return 0;
  memcpy (&start, data, sizeof start);
  /* nobody gets to the end of 64 bits */
  init (&ends, start >> 1);
  for (gsize at = sizeof start; at + 2 <= size && !ends.broken; at += 2)
    step (&ends, data[at], data[at + 1]);
  g_free (ends.entries);

  return 0;
}
