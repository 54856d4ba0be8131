/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The other end of a data queue writes whatever it likes: its position, the
 * sizes of records, and the same again from a thread while we look. The input
 * is one byte for the role that is ours, a row of steps, of one byte that says
 * what, two where, and four that are written. Nothing outside the ring may be
 * shown or written, and what was found broken is not used any more. */

#include "fuzz.h"

#include <string.h>

#include "libiostream/io-data-region-private.h"
#include "libiostream/io-data-ring-private.h"

#define CAPACITY 256
#define STEP     7

typedef struct {
  IODataGeometry geometry;
  IODataRegion   producer;
  IODataRegion   consumer;
  IODataRing     ring;
  gboolean       produces;
  atomic_bool    stop;
  guint32        scribble;
} Fuzz;

static Fuzz *
get_fuzz (void)
{
  static Fuzz fuzz;

  if (fuzz.producer.bytes == NULL)
    {
      g_assert_true (_io_data_geometry_init (&fuzz.geometry, CAPACITY));
      g_assert_true (_io_data_region_create (&fuzz.producer, IO_ABI_ROLE_PRODUCER, &fuzz.geometry, TRUE, NULL));
      g_assert_true (_io_data_region_create (&fuzz.consumer, IO_ABI_ROLE_CONSUMER, &fuzz.geometry, TRUE, NULL));
    }

  return &fuzz;
}

static void
start (Fuzz *fuzz)
{
  guint64 position = IO_DATA_REGION_START_POSITION;

  memset (fuzz->producer.bytes, 0, fuzz->producer.ring_bytes);
  atomic_store (&fuzz->producer.page->position, position);
  atomic_store (&fuzz->consumer.page->position, position);
  _io_data_ring_init (&fuzz->ring, fuzz->producer.bytes, fuzz->producer.ring_bytes, fuzz->geometry.capacity, position,
                      fuzz->produces ? &fuzz->producer.page->position : &fuzz->consumer.page->position,
                      fuzz->produces ? &fuzz->consumer.page->position : &fuzz->producer.page->position);
}

static void
assert_inside (Fuzz         *fuzz,
               const guint8 *data,
               gsize         size)
{
  g_assert_true (data >= fuzz->producer.bytes + sizeof (IOAbiDataRecord));
  g_assert_cmpuint (size, <=, _io_data_ring_max_size (fuzz->geometry.capacity));
  g_assert_true (data + size <= fuzz->producer.bytes + 2 * fuzz->producer.ring_bytes);
  g_assert_cmpuint (GPOINTER_TO_SIZE (data) % IO_ABI_DATA_ALIGN, ==, 0);
}

/* FALSE when the queue is over. */
static gboolean
produce (Fuzz    *fuzz,
         guint32  size)
{
  guint64 position = _io_data_ring_position (&fuzz->ring);
  guint64 stride = _io_data_ring_stride (size % _io_data_ring_max_size (fuzz->geometry.capacity));
  IODataRingResult result = _io_data_ring_make_room (&fuzz->ring, stride);

  if (result == IO_DATA_RING_DONE)
    {
      size %= _io_data_ring_max_size (fuzz->geometry.capacity);
      assert_inside (fuzz, _io_data_ring_peek_room (&fuzz->ring), size);
      memset (_io_data_ring_peek_room (&fuzz->ring), 0x55, size);
      _io_data_ring_publish (&fuzz->ring, size);
      position += stride;
    }
  g_assert_cmpuint (_io_data_ring_position (&fuzz->ring), ==, position);
  g_assert_cmpuint (position - fuzz->ring.seen, <=, fuzz->geometry.capacity);

  return result != IO_DATA_RING_BROKEN;
}

static gboolean
consume (Fuzz *fuzz)
{
  guint64 position = _io_data_ring_position (&fuzz->ring);
  const guint8 *data;
  guint32 size = 0;
  IODataRingResult result = _io_data_ring_look (&fuzz->ring, &data, &size);

  if (result == IO_DATA_RING_DONE)
    {
      g_autofree guint8 *copy = g_malloc (size + 1);

      assert_inside (fuzz, data, size);
      memcpy (copy, data, size);
      _io_data_ring_take (&fuzz->ring, size);
      position += _io_data_ring_stride (size);
    }
  g_assert_cmpuint (_io_data_ring_position (&fuzz->ring), ==, position);
  g_assert_cmpuint (fuzz->ring.seen - position, <=, fuzz->geometry.capacity);

  return result != IO_DATA_RING_BROKEN;
}

static gboolean
step (Fuzz    *fuzz,
      guint    what,
      guint    where,
      guint32  value)
{
  _Atomic uint64_t *peer = fuzz->produces ? &fuzz->consumer.page->position : &fuzz->producer.page->position;
  guint64 position = _io_data_ring_position (&fuzz->ring);

  switch (what % 4)
    {
    case 0:
      atomic_store ((_Atomic uint32_t *) (void *) (fuzz->producer.bytes + where % fuzz->producer.ring_bytes / 8 * 8), value);
      return TRUE;
    case 1:
      atomic_store (peer, position + (guint64) (gint64) (gint16) where);
      return TRUE;
    case 2:
      atomic_store (peer, (guint64) value << 32 | where);
      return TRUE;
    default:
      return fuzz->produces ? produce (fuzz, value) : consume (fuzz);
    }
}

/* Changes sizes and the position as fast as it can. */
static gpointer
scribble_thread (gpointer data)
{
  Fuzz *fuzz = data;
  guint32 value = fuzz->scribble;

  while (!atomic_load_explicit (&fuzz->stop, memory_order_relaxed))
    {
      value = value * 1664525 + 1013904223;
      atomic_store_explicit ((_Atomic uint32_t *) (void *) (fuzz->producer.bytes + (value >> 8) % CAPACITY / 8 * 8),
                             (value >> 16) % 64, memory_order_relaxed);
      if (!fuzz->produces && value % 16 == 0)
        atomic_fetch_add_explicit (&fuzz->producer.page->position, 16, memory_order_relaxed);
    }

  return NULL;
}

static void
race (Fuzz *fuzz)
{
  GThread *thread;

  start (fuzz);
  atomic_store (&fuzz->stop, FALSE);
  thread = g_thread_new ("scribble", scribble_thread, fuzz);
  for (guint i = 0; i < 1000; i++)
    if (!(fuzz->produces ? produce (fuzz, i) : consume (fuzz)))
      break;
  atomic_store (&fuzz->stop, TRUE);
  g_thread_join (thread);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data,
                        size_t         size)
{
  Fuzz *fuzz = get_fuzz ();
  gsize at;

  if (size < 1 + STEP)
    return 0;
  fuzz->produces = data[0] & 1;
  start (fuzz);

  for (at = 1; at + STEP <= size; at += STEP)
    {
      guint16 where;
      guint32 value;

      memcpy (&where, data + at + 1, sizeof where);
      memcpy (&value, data + at + 3, sizeof value);
      if (!step (fuzz, data[at], where, value))
        break;
    }

  if (data[0] & 2)
    {
      memcpy (&fuzz->scribble, data + 1, sizeof fuzz->scribble);
      race (fuzz);
    }

  return 0;
}
