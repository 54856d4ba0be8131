/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-abi-private.h"
#include "io-stream-buffer-queue-entry.h"

G_BEGIN_DECLS

/* One end of a ring of entries in a region. An entry is published by its own
 * mark (the lap of its index), so that one cache line travels and not two. No
 * index is shared: whoever lends never lends more than the ring holds, so a
 * slot that is needed is free.
 *
 * Not thread safe: one writer, one reader, each with the lock of its book. */
typedef struct {
  IOAbiEntry *entries;
  guint32     mask;
  guint32     mark;    /* of the lap of the index, as it stands in the tag */
  guint64     index;   /* of the next entry to write, or to read */
  guint8      shift;
} IORing;

/* A flag of an entry, in its tag and in the reserved field of the copy: the
 * client did not run when it was sent first. */
#define IO_RING_REPLAYED 0x10000u

/* @count: a power of two, at most IO_ABI_MAX_ENTRIES */
void _io_ring_init (IORing     *self,
                    IOAbiEntry *entries,
                    guint32     count,
                    guint64     start_index);

/* Laps run from 1 to 255, so that zeroed memory is never a published entry. */
static inline guint32
_io_ring_lap (const IORing *self,
              guint64       index)
{
  return 1 + (guint32) ((index >> self->shift) % 255);
}

static inline guint32
_io_ring_expected_tag (const IORing *self,
                       guint64       index)
{
  return _io_ring_lap (self, index) << 24;
}

static inline void
_io_ring_advance (IORing *self)
{
  self->index++;
  if (G_UNLIKELY ((self->index & self->mask) == 0))
    self->mark = _io_ring_expected_tag (self, self->index);
}

/* Is there an entry at @index? One relaxed load. */
static inline gboolean
_io_ring_is_published (const IORing *self,
                       guint64       index)
{
  guint32 tag = atomic_load_explicit (&self->entries[index & self->mask].tag,
                                      memory_order_relaxed);

  return (tag & 0xff000000u) == _io_ring_expected_tag (self, index);
}

/* The buffer of the entry at @index, if it is published: not checked. */
static inline guint32
_io_ring_peek_id (const IORing *self,
                  guint64       index)
{
  return atomic_load_explicit (&self->entries[index & self->mask].tag, memory_order_acquire) & 0xffffu;
}

static inline void
_io_ring_copy_words (IOAbiEntry               *slot,
                     guint32                   tag,
                     IOStreamBufferQueueEntry *entry)
{
  entry->buffer_id = tag & 0xffffu;
  entry->data_offset = atomic_load_explicit (&slot->data_offset, memory_order_relaxed);
  entry->data_length = atomic_load_explicit (&slot->data_length, memory_order_relaxed);
  entry->control_offset = atomic_load_explicit (&slot->control_offset, memory_order_relaxed);
  entry->control_length = atomic_load_explicit (&slot->control_length, memory_order_relaxed);
  entry->sequence = atomic_load_explicit (&slot->sequence, memory_order_relaxed);
  entry->timestamp = atomic_load_explicit (&slot->timestamp, memory_order_relaxed);
  entry->reserved = tag & IO_RING_REPLAYED;
}

/* Copies the entry at @index, if it is published. What it copied is the peer's
 * word and not checked. */
static inline gboolean
_io_ring_copy (const IORing             *self,
               guint64                   index,
               IOStreamBufferQueueEntry *entry)
{
  IOAbiEntry *slot = &self->entries[index & self->mask];
  guint32 tag = atomic_load_explicit (&slot->tag, memory_order_acquire);

  if ((tag & 0xff000000u) != _io_ring_expected_tag (self, index))
    return FALSE;
  _io_ring_copy_words (slot, tag, entry);

  return TRUE;
}

/* The writer reads what it has written itself at @index, not longer ago than
 * one lap. */
static inline void
_io_ring_read (const IORing             *self,
               guint64                   index,
               IOStreamBufferQueueEntry *entry)
{
  IOAbiEntry *slot = &self->entries[index & self->mask];

  _io_ring_copy_words (slot, atomic_load_explicit (&slot->tag, memory_order_relaxed), entry);
}

static inline void
_io_ring_seek (IORing  *self,
               guint64  index)
{
  self->index = index;
  self->mark = _io_ring_expected_tag (self, index);
}

/* Takes back the last take: the entry is still there. */
static inline void
_io_ring_untake (IORing *self)
{
  _io_ring_seek (self, self->index - 1);
}

/* Copies the next entry out; FALSE if there is none. */
static inline gboolean
_io_ring_take (IORing                   *self,
               IOStreamBufferQueueEntry *entry)
{
  IOAbiEntry *slot = &self->entries[self->index & self->mask];
  guint32 tag = atomic_load_explicit (&slot->tag, memory_order_acquire);

  if ((tag & 0xff000000u) != self->mark)
    return FALSE;

  _io_ring_copy_words (slot, tag, entry);
  _io_ring_advance (self);

  return TRUE;
}

/* Writes the next entry; the mark goes last. The caller knows from its own
 * book that the slot is free. What stands in the reserved field stays here. */
static inline void
_io_ring_put_with_flags (IORing                         *self,
                         const IOStreamBufferQueueEntry *entry,
                         guint32                         flags)
{
  IOAbiEntry *slot = &self->entries[self->index & self->mask];
  guint32 tag = self->mark | flags | (entry->buffer_id & 0xffffu);

  atomic_store_explicit (&slot->data_offset, entry->data_offset, memory_order_relaxed);
  atomic_store_explicit (&slot->data_length, entry->data_length, memory_order_relaxed);
  atomic_store_explicit (&slot->control_offset, entry->control_offset, memory_order_relaxed);
  atomic_store_explicit (&slot->control_length, entry->control_length, memory_order_relaxed);
  atomic_store_explicit (&slot->sequence, entry->sequence, memory_order_relaxed);
  atomic_store_explicit (&slot->timestamp, entry->timestamp, memory_order_relaxed);
  atomic_store_explicit (&slot->tag, tag, memory_order_release);
  _io_ring_advance (self);
}

static inline void
_io_ring_put (IORing                         *self,
              const IOStreamBufferQueueEntry *entry)
{
  _io_ring_put_with_flags (self, entry, 0);
}

G_END_DECLS
