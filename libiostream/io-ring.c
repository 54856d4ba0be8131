/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-ring-private.h"

void
_io_ring_init (IORing     *self,
               IOAbiEntry *entries,
               guint32     count,
               guint64     start_index)
{
  g_assert (count > 0 && (count & (count - 1)) == 0);
  g_assert (count <= IO_ABI_MAX_ENTRIES);

  self->entries = entries;
  self->mask = count - 1;
  self->shift = (guint8) g_bit_nth_msf (count, -1);
  self->index = start_index;
  self->mark = _io_ring_expected_tag (self, start_index);
}
