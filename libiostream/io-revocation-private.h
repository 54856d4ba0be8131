/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-abi-private.h"

G_BEGIN_DECLS

/* The word by which an owner takes away a buffer that a client has taken, and
 * may be reading. It stands in the owner's region and says that all loans of
 * this connection before a number are over. The owner stores it, and only then
 * ends the loans and fills the buffers anew; a client copies what it wants, and
 * then looks: what it copied is good if the loan is not revoked.
 *
 * Numbers have 32 bits and go round, so the one in the word must not be left
 * behind by more than half of them: see _io_revocation_is_stale(). */

#define IO_REVOCATION_IN_FORCE (G_GUINT64_CONSTANT (1) << 32)
#define IO_REVOCATION_SPAN     0x40000000u

/* The owner: revokes all loans before @before. Not called with less than the
 * last time; the loans are ended, and the buffers written, after it. */
static inline void
_io_revocation_store (IOAbiRegion *own_page,
                      guint32      before)
{
  atomic_store_explicit (&own_page->revoked_before, IO_REVOCATION_IN_FORCE | before, memory_order_release);
  atomic_thread_fence (memory_order_seq_cst);
}

/* The owner, before it lends under @next: TRUE when it has to revoke all that
 * is older than @next - IO_REVOCATION_SPAN, as if by its age. Never before the
 * first revocation. */
static inline gboolean
_io_revocation_is_stale (const IOAbiRegion *own_page,
                         guint32            next)
{
  guint64 word = atomic_load_explicit (&own_page->revoked_before, memory_order_relaxed);

  return word != 0 && next - (guint32) word > IO_REVOCATION_SPAN;
}

/* The client, after it has copied from a buffer: is what it copied void? */
static inline gboolean
_io_revocation_covers (const IOAbiRegion *peer_page,
                       guint32            sequence)
{
  guint64 word;

  atomic_thread_fence (memory_order_acquire);
  word = atomic_load_explicit (&peer_page->revoked_before, memory_order_relaxed);

  return (word & IO_REVOCATION_IN_FORCE) != 0 && (gint32) (sequence - (guint32) word) < 0;
}

G_END_DECLS
