/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-data-ring-private.h"

void
_io_data_ring_init (IODataRing             *self,
                    guint8                 *bytes,
                    gsize                   ring_bytes,
                    guint32                 capacity,
                    guint64                 start,
                    _Atomic uint64_t       *own_word,
                    const _Atomic uint64_t *peer_word)
{
  g_assert (capacity <= ring_bytes && capacity % IO_ABI_DATA_ALIGN == 0);
  g_assert (ring_bytes % IO_ABI_DATA_ALIGN == 0);

  self->bytes = bytes;
  self->ring_bytes = ring_bytes;
  self->capacity = capacity;
  self->at = 0;
  atomic_init (&self->position, start);
  self->seen = start;
  self->own_word = own_word;
  self->peer_word = peer_word;
}

static void
advance (IODataRing *self,
         guint64     stride)
{
  guint64 position = _io_data_ring_position (self) + stride;

  self->at += stride;
  if (self->at >= self->ring_bytes)
    self->at -= self->ring_bytes;
  atomic_store_explicit (&self->position, position, memory_order_relaxed);
  atomic_store_explicit (self->own_word, position, memory_order_release);
}

/* The cache line of the consumer is fetched only when what we know of it does
 * not do. */
IODataRingResult
_io_data_ring_make_room (IODataRing *self,
                         guint64     stride)
{
  guint64 position = _io_data_ring_position (self);
  guint64 head;

  if (self->capacity - (position - self->seen) >= stride)
    return IO_DATA_RING_DONE;
  if (self->peer_word == NULL)
    return IO_DATA_RING_NOTHING;

  head = atomic_load_explicit (self->peer_word, memory_order_acquire);
  if (head - self->seen > position - self->seen || head % IO_ABI_DATA_ALIGN != 0)
    return IO_DATA_RING_BROKEN;

  self->seen = head;

  return self->capacity - (position - head) >= stride ? IO_DATA_RING_DONE : IO_DATA_RING_NOTHING;
}

guint8 *
_io_data_ring_peek_room (IODataRing *self)
{
  return self->bytes + self->at + sizeof (IOAbiDataRecord);
}

void
_io_data_ring_publish (IODataRing *self,
                       guint32     size)
{
  IOAbiDataRecord *record = (IOAbiDataRecord *) (void *) (self->bytes + self->at);

  atomic_store_explicit (&record->size, size, memory_order_relaxed);
  advance (self, _io_data_ring_stride (size));
}

IODataRingResult
_io_data_ring_look (IODataRing    *self,
                    const guint8 **data,
                    guint32       *size)
{
  IOAbiDataRecord *record = (IOAbiDataRecord *) (void *) (self->bytes + self->at);
  guint64 position = _io_data_ring_position (self);
  guint64 tail;

  if (self->seen == position)
    {
      if (self->peer_word == NULL)
        return IO_DATA_RING_NOTHING;
      tail = atomic_load_explicit (self->peer_word, memory_order_acquire);
      if (tail - position > self->capacity || tail % IO_ABI_DATA_ALIGN != 0)
        return IO_DATA_RING_BROKEN;
      if (tail == position)
        return IO_DATA_RING_NOTHING;
      self->seen = tail;
    }

  *size = atomic_load_explicit (&record->size, memory_order_relaxed);
  if (_io_data_ring_stride (*size) > self->seen - position)
    return IO_DATA_RING_BROKEN;

  *data = record->payload;

  return IO_DATA_RING_DONE;
}

void
_io_data_ring_take (IODataRing *self,
                    guint32     size)
{
  advance (self, _io_data_ring_stride (size));
}
