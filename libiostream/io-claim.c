/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-claim-private.h"

void
_io_claim_init (IOClaim          *self,
                _Atomic uint64_t *word,
                guint64           start_index)
{
  self->word = word;
  self->seen = start_index;
}

static inline gboolean
is_possible (guint64 value,
             guint64 least,
             guint64 most)
{
  return value >= least && value <= most;
}

gboolean
_io_claim_sync (IOClaim      *self,
                const IORing *output,
                IOClaimSpan  *span)
{
  guint64 value = atomic_load_explicit (self->word, memory_order_acquire);

  if (G_UNLIKELY (!is_possible (value, self->seen, output->index)))
    return FALSE;

  *span = (IOClaimSpan) { value - self->seen, value, value };
  self->seen = value;

  return TRUE;
}

/* A swap fails only if the word has moved. An honest client moves it forward
 * and not beyond what is there, so each failure is one entry less to try for.
 * No more than @n, and none from @end on. */
static gboolean
withdraw (IOClaim      *self,
          const IORing *output,
          guint64       n,
          guint64       end,
          IOClaimSpan  *span)
{
  guint64 least = self->seen;
  guint64 value = atomic_load_explicit (self->word, memory_order_acquire);
  guint64 to;

  do
    {
      if (G_UNLIKELY (!is_possible (value, least, output->index)))
        return FALSE;
      least = value + 1;
      to = value + MIN (n, end > value ? end - value : 0);
    }
  while (to > value &&
         !atomic_compare_exchange_strong_explicit (self->word, &value, to,
                                                   memory_order_acq_rel, memory_order_acquire));

  *span = (IOClaimSpan) { value - self->seen, value, to };
  self->seen = to;

  return TRUE;
}

gboolean
_io_claim_withdraw (IOClaim      *self,
                    const IORing *output,
                    guint64       n,
                    IOClaimSpan  *span)
{
  return withdraw (self, output, n, output->index, span);
}

gboolean
_io_claim_withdraw_before (IOClaim      *self,
                           const IORing *output,
                           guint64       end,
                           IOClaimSpan  *span)
{
  return withdraw (self, output, G_MAXUINT64, MIN (end, output->index), span);
}
