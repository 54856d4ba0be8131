/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "data-queue-util.h"

/* Both ends of a ring in one thread, from any start. */
typedef struct {
  IODataRegion   producer_region;
  IODataRegion   consumer_region;
  IODataGeometry geometry;
  IODataRing     producer;
  IODataRing     consumer;
} Ring;

static void
ring_init (Ring    *self,
           guint64  capacity,
           guint64  start)
{
  g_autoptr (GError) error = NULL;
  IOAbiDataRegion *produced, *consumed;

  memset (self, 0, sizeof *self);
  g_assert_true (_io_data_geometry_init (&self->geometry, capacity));
  g_assert_true (_io_data_region_create (&self->producer_region, IO_ABI_ROLE_PRODUCER, &self->geometry, TRUE, &error));
  g_assert_true (_io_data_region_create (&self->consumer_region, IO_ABI_ROLE_CONSUMER, &self->geometry, TRUE, &error));
  produced = self->producer_region.page;
  consumed = self->consumer_region.page;
  atomic_store (&produced->position, start);
  atomic_store (&consumed->position, start);
  _io_data_ring_init (&self->producer, self->producer_region.bytes, self->geometry.ring_bytes, self->geometry.capacity,
                      start, &produced->position, &consumed->position);
  _io_data_ring_init (&self->consumer, self->producer_region.bytes, self->geometry.ring_bytes, self->geometry.capacity,
                      start, &consumed->position, &produced->position);
}

static void
ring_clear (Ring *self)
{
  _io_data_region_clear (&self->producer_region);
  _io_data_region_clear (&self->consumer_region);
}

static gboolean
put (Ring    *self,
     gsize    size,
     guint64  number)
{
  IODataRingResult result = _io_data_ring_make_room (&self->producer, _io_data_ring_stride (size));

  g_assert_cmpint (result, !=, IO_DATA_RING_BROKEN);
  if (result == IO_DATA_RING_NOTHING)
    return FALSE;

  record_fill (_io_data_ring_peek_room (&self->producer), size, number);
  _io_data_ring_publish (&self->producer, (guint32) size);

  return TRUE;
}

static gboolean
get (Ring    *self,
     gsize    expected,
     guint64  number)
{
  const guint8 *data;
  guint32 size;
  IODataRingResult result = _io_data_ring_look (&self->consumer, &data, &size);

  g_assert_cmpint (result, !=, IO_DATA_RING_BROKEN);
  if (result == IO_DATA_RING_NOTHING)
    return FALSE;

  g_assert_cmpuint (size, ==, expected);
  g_assert_cmpuint (GPOINTER_TO_SIZE (data) % IO_ABI_DATA_ALIGN, ==, 0);
  g_assert_true (record_is (data, size, number));
  _io_data_ring_take (&self->consumer, size);

  return TRUE;
}

static void
test_geometry (void)
{
  IODataGeometry geometry;

  g_assert_false (_io_data_geometry_init (&geometry, 0));
  g_assert_false (_io_data_geometry_init (&geometry, 15));
  g_assert_false (_io_data_geometry_init (&geometry, ((guint64) 1 << 30) + 1));
  g_assert_false (_io_data_geometry_init (&geometry, G_MAXUINT64));
  g_assert_true (_io_data_geometry_init (&geometry, 16));
  g_assert_true (_io_data_geometry_is_sound (&geometry));
  g_assert_true (_io_data_geometry_init (&geometry, 1001));
  g_assert_cmpuint (geometry.capacity, ==, 1008);
  g_assert_true (_io_data_geometry_is_sound (&geometry));
  g_assert_true (_io_data_geometry_init (&geometry, (guint64) 1 << 30));
  g_assert_true (_io_data_geometry_is_sound (&geometry));

  geometry.ring_bytes -= 1;
  g_assert_false (_io_data_geometry_is_sound (&geometry));
  geometry.ring_bytes = G_MAXUINT32;
  g_assert_false (_io_data_geometry_is_sound (&geometry));
  geometry = (IODataGeometry) { 1004, 4096 * 16 };
  g_assert_false (_io_data_geometry_is_sound (&geometry));
  geometry = (IODataGeometry) { 4096 * 17, 4096 * 16 };
  g_assert_false (_io_data_geometry_is_sound (&geometry));
}

/* Every size that fits, from every place in the ring, when it is empty. */
static void
test_empty_takes_all (void)
{
  Ring ring;
  gsize max;

  ring_init (&ring, 4096, 0);
  max = _io_data_ring_max_size (ring.geometry.capacity);
  for (guint64 i = 0; i < 2000; i++)
    {
      g_assert_true (put (&ring, max, i));
      g_assert_false (put (&ring, 0, i));
      g_assert_true (get (&ring, max, i));
      g_assert_false (get (&ring, 0, 0));
      g_assert_true (put (&ring, i % 64, i));
      g_assert_true (get (&ring, i % 64, i));
    }
  ring_clear (&ring);
}

static void
test_wraps (gconstpointer data)
{
  guint64 start = *(const guint64 *) data;
  guint64 sent = 0, received = 0;
  Ring ring;

  ring_init (&ring, 1000, start);
  for (guint i = 0; i < 20000; i++)
    {
      while (put (&ring, record_size (sent, 300), sent))
        sent++;
      g_assert_cmpuint (sent, >, received);
      for (guint n = i % 4; n > 0 && received < sent; n--, received++)
        g_assert_true (get (&ring, record_size (received, 300), received));
    }
  while (get (&ring, record_size (received, 300), received))
    received++;
  g_assert_cmpuint (sent, ==, received);
  g_assert_cmpuint (_io_data_ring_position (&ring.producer), ==, _io_data_ring_position (&ring.consumer));
  ring_clear (&ring);
}

/* Exactly what the capacity says, whatever the pages hold. */
static void
test_capacity (void)
{
  Ring ring;

  ring_init (&ring, 10 * 24, 8);
  g_assert_cmpuint (ring.geometry.ring_bytes, >, ring.geometry.capacity);
  for (guint round = 0; round < 3000; round++)
    {
      for (guint i = 0; i < 10; i++)
        g_assert_true (put (&ring, 9 + i % 8, i));
      g_assert_false (put (&ring, 0, 0));
      for (guint i = 0; i < 10; i++)
        g_assert_true (get (&ring, 9 + i % 8, i));
      g_assert_false (get (&ring, 0, 0));
    }
  ring_clear (&ring);
}

/* What a consumer may have written. */
static void
test_bad_head (void)
{
  static const gint64 moves[] = { -8, -4096, 8, 4096, 4, 1, G_MININT64, G_MAXINT64 - 7, G_GINT64_CONSTANT (1) << 32 };

  for (guint i = 0; i < G_N_ELEMENTS (moves); i++)
    {
      guint64 start = IO_DATA_REGION_START_POSITION;
      Ring ring;

      ring_init (&ring, 64, start);
      g_assert_true (put (&ring, 40, 1));
      g_assert_true (get (&ring, 40, 1));
      g_assert_true (put (&ring, 8, 2));
      /* Head, as it stands, is start + 48, tail start + 64. */
      atomic_store (&ring.consumer_region.page->position,
                    (moves[i] < 0 ? start : start + 64) + (guint64) moves[i]);
      g_assert_cmpint (_io_data_ring_make_room (&ring.producer, 64), ==, IO_DATA_RING_BROKEN);
      ring_clear (&ring);
    }
}

/* A head that moves back to where it was before. */
static void
test_head_backwards (void)
{
  Ring ring;

  ring_init (&ring, 64, 0);
  g_assert_true (put (&ring, 24, 1));
  g_assert_true (get (&ring, 24, 1));
  g_assert_true (put (&ring, 24, 2));
  g_assert_true (put (&ring, 24, 3));
  g_assert_true (get (&ring, 24, 2));
  g_assert_true (put (&ring, 24, 4));
  g_assert_cmpuint (ring.producer.seen, ==, 64);
  atomic_store (&ring.consumer_region.page->position, 32);
  g_assert_cmpint (_io_data_ring_make_room (&ring.producer, 32), ==, IO_DATA_RING_BROKEN);
  ring_clear (&ring);
}

static void
test_bad_tail (void)
{
  static const gint64 moves[] = { -8, -32, 72, 4096, 4, 1, 63, G_MININT64, G_MAXINT64 - 7, G_GINT64_CONSTANT (1) << 32 };

  for (guint i = 0; i < G_N_ELEMENTS (moves); i++)
    {
      const guint8 *data;
      guint32 size;
      Ring ring;

      ring_init (&ring, 64, IO_DATA_REGION_START_POSITION);
      g_assert_true (put (&ring, 24, 1));
      g_assert_true (get (&ring, 24, 1));
      atomic_store (&ring.producer_region.page->position,
                    IO_DATA_REGION_START_POSITION + 32 + (guint64) moves[i]);
      g_assert_cmpint (_io_data_ring_look (&ring.consumer, &data, &size), ==, IO_DATA_RING_BROKEN);
      ring_clear (&ring);
    }
}

static void
test_bad_size (void)
{
  static const guint32 sizes[] = { 25, 32, 64, 4096, G_MAXINT32, G_MAXUINT32 - 7, G_MAXUINT32 - 8, G_MAXUINT32 };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      const guint8 *data;
      IOAbiDataRecord *record;
      guint32 size;
      Ring ring;

      ring_init (&ring, 64, 0);
      g_assert_true (put (&ring, 24, 1));
      record = (IOAbiDataRecord *) (void *) ring.producer_region.bytes;
      atomic_store (&record->size, sizes[i]);
      g_assert_cmpint (_io_data_ring_look (&ring.consumer, &data, &size), ==, IO_DATA_RING_BROKEN);
      /* A size that is too small is a record like any other. */
      atomic_store (&record->size, 0);
      g_assert_cmpint (_io_data_ring_look (&ring.consumer, &data, &size), ==, IO_DATA_RING_DONE);
      g_assert_cmpuint (size, ==, 0);
      ring_clear (&ring);
    }
}

/* The peer has not come yet: what its word says is not read. */
static void
test_no_peer (void)
{
  const guint8 *data;
  guint32 size;
  Ring ring;

  ring_init (&ring, 64, 0);
  ring.producer.peer_word = NULL;
  ring.consumer.peer_word = NULL;
  g_assert_cmpint (_io_data_ring_look (&ring.consumer, &data, &size), ==, IO_DATA_RING_NOTHING);
  g_assert_true (put (&ring, 56, 1));
  g_assert_false (put (&ring, 0, 1));
  g_assert_cmpint (_io_data_ring_look (&ring.consumer, &data, &size), ==, IO_DATA_RING_NOTHING);
  ring_clear (&ring);
}

int
main (int    argc,
      char **argv)
{
  static const guint64 starts[] = { 0, IO_DATA_REGION_START_POSITION, G_MAXUINT64 - 4095, (guint64) G_MAXINT64 - 1023 };

  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/data-ring/geometry", test_geometry);
  g_test_add_func ("/data-ring/empty-takes-all", test_empty_takes_all);
  g_test_add_data_func ("/data-ring/wraps/0", &starts[0], test_wraps);
  g_test_add_data_func ("/data-ring/wraps/32-bits", &starts[1], test_wraps);
  g_test_add_data_func ("/data-ring/wraps/64-bits", &starts[2], test_wraps);
  g_test_add_data_func ("/data-ring/wraps/63-bits", &starts[3], test_wraps);
  g_test_add_func ("/data-ring/capacity", test_capacity);
  g_test_add_func ("/data-ring/bad-head", test_bad_head);
  g_test_add_func ("/data-ring/head-backwards", test_head_backwards);
  g_test_add_func ("/data-ring/bad-tail", test_bad_tail);
  g_test_add_func ("/data-ring/bad-size", test_bad_size);
  g_test_add_func ("/data-ring/no-peer", test_no_peer);

  return g_test_run ();
}
