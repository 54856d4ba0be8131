/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io-error.h"
#include "io-region-private.h"
#include "io-ring-private.h"
#include "io-stream-buffer-queue-private.h"

#define COUNT 8

static IOStreamBufferQueueEntry
make_entry (guint32 n)
{
  return (IOStreamBufferQueueEntry) { n & 0xffff, n + 1, n + 2, n + 3, n + 4, n, (guint64) n << 32, 0 };
}

static void
assert_entry (const IOStreamBufferQueueEntry *entry,
              guint32                         n)
{
  IOStreamBufferQueueEntry expected = make_entry (n);

  g_assert_cmpmem (entry, sizeof *entry, &expected, sizeof expected);
}

static void
test_empty (void)
{
  IOAbiEntry entries[COUNT] = { 0, };
  IOStreamBufferQueueEntry entry;

  /* Zeroed memory is never a published entry, wherever the index stands. */
  for (guint64 start = 0; start < 255 * COUNT + 3; start++)
    {
      IORing reader;

      _io_ring_init (&reader, entries, COUNT, start);
      g_assert_false (_io_ring_is_published (&reader, start));
      g_assert_false (_io_ring_take (&reader, &entry));
      g_assert_cmpuint (reader.index, ==, start);
    }
}

static void
test_order (gconstpointer data)
{
  guint64 start = *(const guint64 *) data;
  IOAbiEntry entries[COUNT] = { 0, };
  IORing writer, reader;
  guint32 taken = 0;

  _io_ring_init (&writer, entries, COUNT, start);
  _io_ring_init (&reader, entries, COUNT, start);

  /* Past the wrap of 32 bits and of the laps, filling to every level. */
  for (guint32 n = 0; n < 20000; )
    {
      guint32 burst = 1 + n % COUNT;
      IOStreamBufferQueueEntry entry;

      for (guint i = 0; i < burst; i++, n++)
        {
          entry = make_entry (n);
          _io_ring_put (&writer, &entry);
        }
      while (_io_ring_take (&reader, &entry))
        assert_entry (&entry, taken++);
      g_assert_cmpuint (taken, ==, n);
    }
}

/* Whatever stands in the slots, a reader takes at most one lap and stops. */
static void
test_garbage (void)
{
  IOAbiEntry entries[COUNT];
  g_autoptr (GRand) rand = g_rand_new_with_seed (7);

  for (guint round = 0; round < 2000; round++)
    {
      IOStreamBufferQueueEntry entry;
      IORing reader;
      guint n = 0;

      for (guint i = 0; i < sizeof entries; i++)
        ((guint8 *) entries)[i] = (guint8) g_rand_int (rand);
      _io_ring_init (&reader, entries, COUNT, g_rand_int (rand));
      while (_io_ring_take (&reader, &entry))
        n++;
      g_assert_cmpuint (n, <=, COUNT);
    }
}

static gpointer
write_thread (gpointer user_data)
{
  IORing *writer = ((IORing **) user_data)[0];
  IORing *credits = ((IORing **) user_data)[1];

  for (guint32 n = 0; n < 200000; n++)
    {
      IOStreamBufferQueueEntry entry, credit;

      while (!_io_ring_take (credits, &credit))
        g_thread_yield ();
      entry = make_entry (n);
      _io_ring_put (writer, &entry);
    }

  return NULL;
}

/* Two threads, with as many entries under way as there are slots: no entry is
 * lost, torn or out of order. One mapping, so that a race detector sees it. */
static void
test_two_threads (void)
{
  static IOAbiEntry there[COUNT], back[COUNT];
  IORing writer, reader, credits_in, credits_out;
  IORing *ends[2] = { &writer, &credits_in };
  IOStreamBufferQueueEntry entry = { 0, };
  GThread *thread;

  _io_ring_init (&writer, there, COUNT, IO_REGION_START_INDEX);
  _io_ring_init (&reader, there, COUNT, IO_REGION_START_INDEX);
  _io_ring_init (&credits_in, back, COUNT, IO_REGION_START_INDEX);
  _io_ring_init (&credits_out, back, COUNT, IO_REGION_START_INDEX);
  for (guint i = 0; i < COUNT; i++)
    _io_ring_put (&credits_out, &entry);

  thread = g_thread_new ("writer", write_thread, ends);
  for (guint32 n = 0; n < 200000; n++)
    {
      while (!_io_ring_take (&reader, &entry))
        g_thread_yield ();
      assert_entry (&entry, n);
      _io_ring_put (&credits_out, &entry);
    }
  g_thread_join (thread);
}

static void
test_region_pair (void)
{
  g_autoptr (GError) error = NULL;
  IORegion owner = { 0, }, client = { 0, }, owner_there = { 0, }, client_there = { 0, };

  g_assert_true (_io_region_create (&owner, IO_ABI_SIDE_OWNER, COUNT, IO_REGION_START_INDEX, &error));
  g_assert_no_error (error);
  g_assert_true (_io_region_create (&client, IO_ABI_SIDE_CLIENT, COUNT, IO_REGION_START_INDEX, &error));
  g_assert_no_error (error);

  g_assert_true (_io_region_attach (&owner_there, IO_ABI_SIDE_OWNER,
                                    dup (_io_memory_backing_peek_fd (owner.backing)), COUNT, &error));
  g_assert_no_error (error);
  g_assert_true (_io_region_attach (&client_there, IO_ABI_SIDE_CLIENT,
                                    dup (_io_memory_backing_peek_fd (client.backing)), COUNT, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (owner_there.start_index, ==, IO_REGION_START_INDEX);

  /* Each side sees what the other writes. */
  atomic_store (&owner.page->state, 2);
  g_assert_cmpuint (atomic_load (&owner_there.page->state), ==, 2);
  atomic_store (&client_there.page->token, 77);
  g_assert_cmpuint (atomic_load (&client.page->token), ==, 77);

  /* Once sealed, nobody maps it to write any more. */
  g_assert_true (_io_region_seal (&client, &error));
  g_assert_no_error (error);
  g_assert_true (mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
                       _io_memory_backing_peek_fd (client.backing), 0) == MAP_FAILED);

  _io_region_clear (&owner);
  _io_region_clear (&client);
  _io_region_clear (&owner_there);
  _io_region_clear (&client_there);
}

/* The kernel is asked, which says EFAULT. Writes what stands there. */
static gboolean
can_write (gpointer address)
{
  guint8 byte = *(volatile guint8 *) address;
  int fds[2];
  gboolean can;

  g_assert_cmpint (pipe2 (fds, O_CLOEXEC), ==, 0);
  g_assert_cmpint (write (fds[1], &byte, 1), ==, 1);
  can = read (fds[0], address, 1) == 1;
  close (fds[0]);
  close (fds[1]);

  return can;
}

/* An owner that takes entries back writes the claim word of the client's
 * region, also after the seals, and behind the first page nothing. */
static void
test_region_claimed (void)
{
  g_autoptr (GError) error = NULL;
  IORegion plain = { 0, }, client = { 0, }, there = { 0, };
  guint32 count = (guint32) sysconf (_SC_PAGESIZE) / 16;
  guint64 expected = IO_REGION_START_INDEX;

  g_assert_true (_io_region_create (&plain, IO_ABI_SIDE_CLIENT, count, IO_REGION_START_INDEX, &error));
  g_assert_no_error (error);
  g_assert_null (plain.claim);
  g_assert_false (can_write (plain.page));

  g_assert_true (_io_region_create_claimed (&client, count, IO_REGION_START_INDEX, &error));
  g_assert_no_error (error);
  g_assert_true (_io_region_attach (&there, IO_ABI_SIDE_CLIENT,
                                    dup (_io_memory_backing_peek_fd (client.backing)), count, &error));
  g_assert_no_error (error);
  g_assert_true (_io_region_seal (&client, &error));
  g_assert_no_error (error);

  g_assert_true (client.claim == &client.page->claim);
  g_assert_true (there.claim == &there.page->claim);
  g_assert_true (can_write (client.claim));
  g_assert_false (can_write (&client.page->entries[count - 1]));
  g_assert_true (atomic_compare_exchange_strong (client.claim, &expected, expected + 2));
  g_assert_cmpuint (atomic_load (there.claim), ==, IO_REGION_START_INDEX + 2);
  g_assert_true (mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
                       _io_memory_backing_peek_fd (client.backing), 0) == MAP_FAILED);

  _io_region_clear (&plain);
  _io_region_clear (&client);
  _io_region_clear (&there);
  g_assert_null (client.claim);
}

typedef struct {
  const char *name;
  gsize       offset;
  guint32     value;
} HeaderFault;

static const HeaderFault header_faults[] = {
  { "magic", G_STRUCT_OFFSET (IOAbiRegion, magic), 0 },
  { "abi", G_STRUCT_OFFSET (IOAbiRegion, abi), 2 | IO_ABI_SIDE_CLIENT << 16 | 5 << 24 },
  { "side", G_STRUCT_OFFSET (IOAbiRegion, abi), 1 | IO_ABI_SIDE_OWNER << 16 | 5 << 24 },
  { "entry-size", G_STRUCT_OFFSET (IOAbiRegion, abi), 1 | IO_ABI_SIDE_CLIENT << 16 | 6 << 24 },
  { "entry-count", G_STRUCT_OFFSET (IOAbiRegion, entry_count), 0x80000000u },
  { "region-bytes", G_STRUCT_OFFSET (IOAbiRegion, region_bytes), 0xffffffffu },
};

static void
test_region_refused (gconstpointer data)
{
  const HeaderFault *fault = data;
  g_autoptr (IOMemoryBacking) backing = NULL;
  g_autoptr (GError) error = NULL;
  IORegion client = { 0, }, there = { 0, };
  guint8 *base;

  g_assert_true (_io_region_create (&client, IO_ABI_SIDE_CLIENT, COUNT, 0, &error));
  backing = _io_memory_backing_new_take_fd (dup (_io_memory_backing_peek_fd (client.backing)),
                                            1, G_MAXSSIZE, FALSE, FALSE, &error);
  g_assert_no_error (error);
  base = _io_memory_backing_map (backing, TRUE, &error);
  g_assert_no_error (error);
  memcpy (base + fault->offset, &fault->value, sizeof fault->value);

  g_assert_false (_io_region_attach (&there, IO_ABI_SIDE_CLIENT,
                                     dup (_io_memory_backing_peek_fd (client.backing)), COUNT, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR);
  g_assert_null (there.page);

  _io_region_clear (&client);
}

static void
test_region_wrong_memory (void)
{
  g_autoptr (GError) error = NULL;
  IORegion client = { 0, }, there = { 0, };
  int fd = memfd_create ("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

  /* unsealed */
  g_assert_cmpint (ftruncate (fd, 1 << 16), ==, 0);
  g_assert_false (_io_region_attach (&there, IO_ABI_SIDE_OWNER, fd, COUNT, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_VM_ERROR);
  g_clear_error (&error);

  /* the client's region can be written by others, so it is no owner's */
  g_assert_true (_io_region_create (&client, IO_ABI_SIDE_CLIENT, COUNT, 0, NULL));
  g_assert_false (_io_region_attach (&there, IO_ABI_SIDE_OWNER,
                                     dup (_io_memory_backing_peek_fd (client.backing)), COUNT, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_VM_ERROR);
  g_clear_error (&error);

  /* too small for what the control plane said */
  g_assert_false (_io_region_attach (&there, IO_ABI_SIDE_CLIENT,
                                     dup (_io_memory_backing_peek_fd (client.backing)), COUNT * 1024, &error));
  g_assert_nonnull (error);
  _io_region_clear (&client);
}

static void
test_entry_count (void)
{
  g_assert_cmpuint (_io_region_entry_count (0), ==, 4);
  g_assert_cmpuint (_io_region_entry_count (4), ==, 4);
  g_assert_cmpuint (_io_region_entry_count (5), ==, 8);
  g_assert_cmpuint (_io_region_entry_count (65535), ==, 65536);
  g_assert_cmpuint (_io_region_entry_count (G_MAXUINT32), ==, 65536);
}

static void
test_queue (void)
{
  IORegion writer = { 0, }, reader = { 0, };
  IOStreamBufferQueueEntry entry = make_entry (5);
  IOStreamBufferQueue *queue;
  IORing ring;

  g_assert_true (_io_region_create (&writer, IO_ABI_SIDE_OWNER, COUNT, IO_REGION_START_INDEX, NULL));
  g_assert_true (_io_region_create (&reader, IO_ABI_SIDE_CLIENT, COUNT, IO_REGION_START_INDEX, NULL));
  queue = _io_stream_buffer_queue_new (&writer, &reader);
  g_assert_cmpuint (io_stream_buffer_queue_get_entry_count (queue), ==, COUNT);
  g_assert_cmpuint (io_stream_buffer_queue_get_head_index (queue), ==, IO_REGION_START_INDEX);
  g_assert_cmpuint (io_stream_buffer_queue_get_tail_index (queue), ==, IO_REGION_START_INDEX);

  _io_ring_init (&ring, writer.page->entries, COUNT, IO_REGION_START_INDEX);
  _io_ring_put (&ring, &entry);
  atomic_store (&writer.page->produced, ring.index);

  /* The view outlives the regions. */
  _io_region_clear (&writer);
  _io_region_clear (&reader);
  g_assert_cmpuint (io_stream_buffer_queue_get_head_index (queue), ==, IO_REGION_START_INDEX + 1);
  g_assert_true (io_stream_buffer_queue_peek_entry (queue, IO_REGION_START_INDEX, &entry));
  assert_entry (&entry, 5);
  g_assert_false (io_stream_buffer_queue_peek_entry (queue, IO_REGION_START_INDEX + 1, &entry));
  g_assert_finalize_object (queue);
}

static void
test_boxed (void)
{
  g_autoptr (IOStreamBufferQueueEntry) entry = io_stream_buffer_queue_entry_new ();
  g_autoptr (IOStreamBufferQueueEntry) copy = NULL;

  g_assert_cmpuint (entry->sequence, ==, 0);
  *entry = make_entry (9);
  copy = g_boxed_copy (IO_TYPE_STREAM_BUFFER_QUEUE_ENTRY, entry);
  assert_entry (copy, 9);
}

int
main (int   argc,
      char *argv[])
{
  static const guint64 starts[] = {
    0, IO_REGION_START_INDEX, 255 * COUNT - 3, G_MAXUINT64 / (255 * COUNT) * (255 * COUNT) - 40000
  };

  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/ring/empty", test_empty);
  for (guint i = 0; i < G_N_ELEMENTS (starts); i++)
    {
      g_autofree char *path = g_strdup_printf ("/ring/order/%u", i);

      g_test_add_data_func (path, &starts[i], test_order);
    }
  g_test_add_func ("/ring/garbage", test_garbage);
  g_test_add_func ("/ring/two-threads", test_two_threads);
  g_test_add_func ("/region/pair", test_region_pair);
  g_test_add_func ("/region/claimed", test_region_claimed);
  g_test_add_func ("/region/wrong-memory", test_region_wrong_memory);
  g_test_add_func ("/region/entry-count", test_entry_count);
  for (guint i = 0; i < G_N_ELEMENTS (header_faults); i++)
    {
      g_autofree char *path = g_strconcat ("/region/refused/", header_faults[i].name, NULL);

      g_test_add_data_func (path, &header_faults[i], test_region_refused);
    }
  g_test_add_func ("/queue/view", test_queue);
  g_test_add_func ("/queue/entry", test_boxed);

  return g_test_run ();
}
