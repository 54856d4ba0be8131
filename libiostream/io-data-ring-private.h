/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-abi-private.h"

G_BEGIN_DECLS

/* One end of a ring of records of any size. Positions count bytes and never
 * wrap at the end of the ring; the ring is mapped twice in a row, so that no
 * record is ever cut in two, and an empty ring takes whatever its capacity
 * holds.
 *
 * Not thread safe, but for @position, which anybody may look at. */
typedef struct {
  guint8                 *bytes;       /* 2 * ring_bytes can be addressed */
  gsize                   ring_bytes;
  guint32                 capacity;    /* most bytes in use; multiple of 8 */
  gsize                   at;          /* where @position is in the ring */
  _Atomic guint64         position;    /* ours, as we know it */
  guint64                 seen;        /* the peer's, the last that was sound */
  _Atomic uint64_t       *own_word;
  const _Atomic uint64_t *peer_word;   /* NULL: the peer has not begun */
} IODataRing;

typedef enum {
  IO_DATA_RING_DONE,
  IO_DATA_RING_NOTHING,  /* no room, or no record */
  IO_DATA_RING_BROKEN    /* what the peer wrote cannot be */
} IODataRingResult;

/* What a record of @size bytes of payload takes. */
static inline guint64
_io_data_ring_stride (guint64 size)
{
  return (size + sizeof (IOAbiDataRecord) + IO_ABI_DATA_ALIGN - 1) & ~(guint64) (IO_ABI_DATA_ALIGN - 1);
}

static inline guint32
_io_data_ring_max_size (guint32 capacity)
{
  return capacity - sizeof (IOAbiDataRecord);
}

static inline guint64
_io_data_ring_position (const IODataRing *self)
{
  return atomic_load_explicit (&self->position, memory_order_relaxed);
}

/* The peer's word as it stands: for looking only. */
static inline guint64
_io_data_ring_peer_position (const IODataRing *self)
{
  return atomic_load_explicit (self->peer_word, memory_order_relaxed);
}

void             _io_data_ring_init      (IODataRing              *self,
                                          guint8                  *bytes,
                                          gsize                    ring_bytes,
                                          guint32                  capacity,
                                          guint64                  start,
                                          _Atomic uint64_t        *own_word,
                                          const _Atomic uint64_t  *peer_word);

/* The producer: is there room for a record that takes @stride bytes? */
IODataRingResult _io_data_ring_make_room (IODataRing              *self,
                                          guint64                  stride);
/* Where the payload of the next record goes; after make_room(). */
guint8          *_io_data_ring_peek_room (IODataRing              *self);
void             _io_data_ring_publish   (IODataRing              *self,
                                          guint32                  size);

/* The consumer: the next record, in place. @size is checked and stays as it
 * is, whatever the producer does to it; the payload does not. */
IODataRingResult _io_data_ring_look      (IODataRing              *self,
                                          const guint8           **data,
                                          guint32                 *size);
void             _io_data_ring_take      (IODataRing              *self,
                                          guint32                  size);

G_END_DECLS
