/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The peer writes whatever it likes into its ring while we read it. The input
 * is a start index, and then pairs of where to write and what; each write is
 * followed by a look. Nothing may be read outside the ring, an entry is taken
 * only where its mark stands, and each once. */

#include "fuzz.h"

#include <string.h>

#include "libiostream/io-ring-private.h"

#define SHIFT   3
#define ENTRIES (1u << SHIFT)
#define STEP    6

/* Exactly as large as the ring, so that the address sanitizer sees a step
 * beside it. */
static IOAbiEntry *
make_ring (IORing  *ring,
           guint64  start)
{
  IOAbiEntry *entries = g_malloc0 (ENTRIES * sizeof (IOAbiEntry));

  _io_ring_init (ring, entries, ENTRIES, start);

  return entries;
}

static void
look (IORing *ring)
{
  IOStreamBufferQueueEntry entry;
  guint64 index = ring->index;
  guint32 tag = atomic_load (&ring->entries[index & ring->mask].tag);
  gboolean published = _io_ring_is_published (ring, index);

  memset (&entry, 0xee, sizeof entry);
  if (_io_ring_take (ring, &entry))
    {
      g_assert_true (published);
      g_assert_cmpuint (tag >> 24, ==, _io_ring_lap (ring, index));
      g_assert_cmpuint (tag, !=, 0);
      g_assert_cmpuint (entry.buffer_id, ==, tag & 0xffff);
      g_assert_cmpuint (entry.reserved, ==, tag & IO_RING_REPLAYED);
      g_assert_cmpuint (ring->index, ==, index + 1);
      /* The same mark does not count again one lap later. */
      g_assert_false (_io_ring_is_published (ring, index + ENTRIES));
    }
  else
    {
      g_assert_false (published);
      g_assert_cmpuint (ring->index, ==, index);
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data,
                        size_t         size)
{
  g_autofree IOAbiEntry *entries = NULL;
  IORing ring;
  guint64 start;
  gsize at;

  if (size < sizeof start)
    return 0;
  memcpy (&start, data, sizeof start);
  entries = make_ring (&ring, start);

  for (at = sizeof start; at + STEP <= size; at += STEP)
    {
      guint16 where;
      guint32 what;

      memcpy (&where, data + at, sizeof where);
      memcpy (&what, data + at + sizeof where, sizeof what);
      where %= ENTRIES * sizeof (IOAbiEntry) / sizeof what;
      memcpy ((guint8 *) entries + where * sizeof what, &what, sizeof what);
      look (&ring);
    }
  while (_io_ring_is_published (&ring, ring.index))
    look (&ring);

  return 0;
}
