/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-ring-private.h"

G_BEGIN_DECLS

/* The word of a connection whose owner may take back what the client has not
 * taken: the index of the next entry that nobody has. It stands in the client's
 * region, both sides change it, and only by compare and swap from what they
 * saw to more, so each entry has one winner. The client copies an entry before
 * it swaps, and the owner writes a slot again only after the swap that freed it.
 *
 * The other side can write anything into it at any moment. Each value is read
 * once and checked; one that cannot be is that connection's end, and nothing is
 * changed for it.
 *
 * Each end has one of these for itself, next to its end of the owner's ring.
 * Not thread safe: each end with the lock of its book. */
typedef struct {
  _Atomic uint64_t *word;
  guint64           seen;  /* owner: all before is taken or withdrawn */
} IOClaim;

typedef enum {
  IO_CLAIM_NONE,    /* there is no entry */
  IO_CLAIM_ENTRY,   /* there is one */
  IO_CLAIM_BROKEN   /* the other side has moved the word back */
} IOClaimResult;

/* What the owner learned of its entries: the client took [from - taken, from),
 * and [from, to) are the owner's again. */
typedef struct {
  guint64 taken;
  guint64 from;
  guint64 to;
} IOClaimSpan;

/* So often the client looks again when the owner was faster. */
#define IO_CLAIM_MAX_TRIES 64

void     _io_claim_init     (IOClaim          *self,
                             _Atomic uint64_t *word,
                             guint64           start_index);

/* The owner; @output is its ring. FALSE: the word has a value that no honest
 * client leaves there, and nothing was changed. Both take as long as the client
 * can move the word forward within the entries that are there, at most. */

/* What has the client taken? */
gboolean _io_claim_sync     (IOClaim          *self,
                             const IORing     *output,
                             IOClaimSpan      *span);
/* Takes back the oldest @n that the client has not taken, or all if there are
 * less. Their slots are free from then on, and can be read with
 * _io_ring_read() until the next put. */
gboolean _io_claim_withdraw (IOClaim          *self,
                             const IORing     *output,
                             guint64           n,
                             IOClaimSpan      *span);

/* The same for all before @end and nothing behind it. */
gboolean _io_claim_withdraw_before (IOClaim      *self,
                                    const IORing *output,
                                    guint64       end,
                                    IOClaimSpan  *span);

/* Must the owner sync before it puts the next entry? That its book permits it
 * is not enough here: a client that gives back what it has not taken makes room
 * in the book, and none in the ring. */
static inline gboolean
_io_claim_is_full (const IOClaim *self,
                   const IORing  *output)
{
  return output->index - self->seen > output->mask;
}

/* The client; @ring is its end of the owner's ring. */

/* Where the next entry is, or will be. Any thread. */
static inline guint64
_io_claim_next_index (const IOClaim *self)
{
  return atomic_load_explicit (self->word, memory_order_acquire);
}

/* Is there something to take? Any thread; wrong as soon as it is told. */
static inline gboolean
_io_claim_has_entry (const IOClaim *self,
                     const IORing  *ring)
{
  return _io_ring_is_published (ring, _io_claim_next_index (self));
}

/* Copies the next entry, and leaves it where it is. It is not the client's
 * before _io_claim_commit(), and may be torn until then: not to be used for
 * more than the question whether to take it. */
static inline IOClaimResult
_io_claim_peek (const IOClaim            *self,
                const IORing             *ring,
                guint64                  *index,
                IOStreamBufferQueueEntry *entry)
{
  *index = _io_claim_next_index (self);
  if (G_UNLIKELY ((gint64) (*index - ring->index) < 0))
    return IO_CLAIM_BROKEN;

  return _io_ring_copy (ring, *index, entry) ? IO_CLAIM_ENTRY : IO_CLAIM_NONE;
}

/* Takes the @n entries from @index on, which were copied before. FALSE if the
 * owner was faster: the copies are void, look again. */
static inline gboolean
_io_claim_commit (const IOClaim *self,
                  IORing        *ring,
                  guint64        index,
                  guint32        n)
{
  guint64 expected = index;

  if (!atomic_compare_exchange_strong_explicit (self->word, &expected, index + n,
                                                memory_order_acq_rel, memory_order_acquire))
    return FALSE;

  _io_ring_seek (ring, index + n);

  return TRUE;
}

/* NONE also if the owner was faster each time. */
static inline IOClaimResult
_io_claim_take (const IOClaim            *self,
                IORing                   *ring,
                IOStreamBufferQueueEntry *entry)
{
  IOClaimResult result = IO_CLAIM_NONE;
  guint64 index;

  for (guint i = 0; i < IO_CLAIM_MAX_TRIES; i++)
    {
      result = _io_claim_peek (self, ring, &index, entry);
      if (result != IO_CLAIM_ENTRY || _io_claim_commit (self, ring, index, 1))
        return result;
    }

  return IO_CLAIM_NONE;
}

G_END_DECLS
