/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-buffer-memory-descriptor.h"
#include "io-memory-descriptor-private.h"

#include "memory-util.h"

#define SIZE ((gsize) 2 * 4096)

static IOMemoryDescriptor *
make (void)
{
  g_autoptr (GError) error = NULL;
  IOBufferMemoryDescriptor *buffer;

  buffer = io_buffer_memory_descriptor_new (SIZE, IO_STREAM_PEER_ACCESS_READ, &error);
  g_assert_no_error (error);
  return IO_MEMORY_DESCRIPTOR (buffer);
}

static IOMemoryMap *
map (IOMemoryDescriptor *memory,
     IOMemoryMapFlags    flags)
{
  g_autoptr (GError) error = NULL;
  IOMemoryMap *result = io_memory_descriptor_map (memory, flags, &error);

  g_assert_no_error (error);
  g_assert_nonnull (result);
  return result;
}

static void
test_map (void)
{
  IOMemoryDescriptor *memory = make ();
  IOMemoryMap *one = map (memory, IO_MEMORY_MAP_NONE);
  IOMemoryMap *two = map (memory, IO_MEMORY_MAP_NONE);
  IOMemoryDescriptor *held;
  guint64 length;
  gboolean writable;
  guint8 byte;

  g_assert_true (io_memory_map_peek_address (one) == io_memory_map_peek_address (two));
  g_assert_cmpuint (io_memory_map_get_length (one), ==, SIZE);
  g_assert_true (io_memory_map_is_writable (one));
  g_assert_true (io_memory_map_get_memory_descriptor (one) == memory);
  g_assert_cmpuint (count_maps ("buffer"), ==, 1);

  ((guint8 *) io_memory_map_peek_address (one))[7] = 7;
  g_assert_cmpuint (io_memory_descriptor_read_bytes (memory, 7, &byte, 1), ==, 1);
  g_assert_cmpint (byte, ==, 7);

  g_object_get (one, "length", &length, "writable", &writable,
                "memory-descriptor", &held, NULL);
  g_assert_cmpuint (length, ==, SIZE);
  g_assert_true (writable);
  g_assert_true (held == memory);
  g_object_unref (held);

  g_assert_finalize_object (one);
  g_assert_finalize_object (two);
  g_assert_finalize_object (memory);
  g_assert_cmpuint (count_maps ("buffer"), ==, 0);
}

static void
test_range (void)
{
  g_autoptr (GError) error = NULL;
  IOMemoryDescriptor *memory = make ();
  IOMemoryDescriptor *part;
  IOMemoryMap *whole, *range, *empty;

  part = io_memory_descriptor_new_sub_range (memory, 100, 4096, IO_DIRECTION_NONE, &error);
  g_assert_no_error (error);
  whole = map (memory, IO_MEMORY_MAP_NONE);
  range = io_memory_descriptor_map_range (part, 3, 50, IO_MEMORY_MAP_NONE, &error);
  g_assert_no_error (error);
  empty = io_memory_descriptor_map_range (part, 4096, 0, IO_MEMORY_MAP_NONE, &error);
  g_assert_no_error (error);

  g_assert_true (io_memory_map_peek_address (range) ==
                 (guint8 *) io_memory_map_peek_address (whole) + 103);
  g_assert_cmpuint (io_memory_map_get_length (range), ==, 50);
  g_assert_cmpuint (io_memory_map_get_length (empty), ==, 0);
  g_assert_cmpuint (count_maps ("buffer"), ==, 1);

  g_assert_finalize_object (whole);
  g_assert_finalize_object (range);
  g_assert_finalize_object (empty);
  g_assert_finalize_object (part);
  g_assert_finalize_object (memory);
}

/* A map is as long as the memory was when it was made. */
static void
test_length_changes (void)
{
  IOMemoryDescriptor *memory = make ();
  IOMemoryMap *before, *after;

  before = map (memory, IO_MEMORY_MAP_NONE);
  io_buffer_memory_descriptor_set_length (IO_BUFFER_MEMORY_DESCRIPTOR (memory), 10);
  after = map (memory, IO_MEMORY_MAP_NONE);
  g_assert_cmpuint (io_memory_map_get_length (before), ==, SIZE);
  g_assert_cmpuint (io_memory_map_get_length (after), ==, 10);

  g_assert_finalize_object (before);
  g_assert_finalize_object (after);
  g_assert_finalize_object (memory);
}

static void
test_read_only (void)
{
  g_autoptr (GError) error = NULL;
  IOMemoryDescriptor *memory = make ();
  IOMemoryDescriptor *in;
  IOMemoryMap *rw, *ro, *from_in;
  guint8 *bytes;

  in = io_memory_descriptor_new_sub_range (memory, 0, SIZE, IO_DIRECTION_IN, &error);
  rw = map (memory, IO_MEMORY_MAP_NONE);
  ro = map (memory, IO_MEMORY_MAP_READ_ONLY);
  from_in = map (in, IO_MEMORY_MAP_NONE);

  g_assert_false (io_memory_map_is_writable (ro));
  g_assert_false (io_memory_map_is_writable (from_in));
  g_assert_true (io_memory_map_peek_address (ro) == io_memory_map_peek_address (from_in));
  g_assert_cmpuint (count_maps ("buffer"), ==, 2);

  bytes = io_memory_map_peek_address (ro);
  g_assert_true (write_crashes (bytes));
  *(guint8 *) io_memory_map_peek_address (rw) = 33;
  g_assert_cmpint (bytes[0], ==, 33);

  g_assert_finalize_object (rw);
  g_assert_finalize_object (ro);
  g_assert_finalize_object (from_in);
  g_assert_finalize_object (in);
  g_assert_finalize_object (memory);
}

static void
count_cb (GObject    *object,
          GParamSpec *pspec,
          gpointer    user_data)
{
  guint *n = user_data;

  *n += 1;
}

static void
test_unmap (void)
{
  IOMemoryDescriptor *memory = make ();
  IOMemoryMap *one = map (memory, IO_MEMORY_MAP_NONE);
  guint lengths = 0;

  g_signal_connect (one, "notify::length", G_CALLBACK (count_cb), &lengths);
  io_memory_map_unmap (one);
  io_memory_map_unmap (one);
  g_assert_cmpuint (lengths, ==, 1);
  g_assert_null (io_memory_map_peek_address (one));
  g_assert_cmpuint (io_memory_map_get_length (one), ==, 0);
  g_assert_null (io_memory_map_get_bytes (one));
  g_assert_true (io_memory_map_get_memory_descriptor (one) == memory);

  g_assert_finalize_object (one);
  g_assert_finalize_object (memory);
}

static void
test_without_memory (void)
{
  IOMemoryMap *one = g_object_new (IO_TYPE_MEMORY_MAP, NULL);

  g_assert_null (io_memory_map_peek_address (one));
  g_assert_null (io_memory_map_get_bytes (one));
  g_assert_null (io_memory_map_get_memory_descriptor (one));
  io_memory_map_unmap (one);
  g_assert_finalize_object (one);
}

/* The map holds what it maps. */
static void
test_holds_descriptor (void)
{
  IOMemoryDescriptor *memory = make ();
  IOMemoryMap *one = map (memory, IO_MEMORY_MAP_NONE);
  gpointer weak = memory;

  g_object_add_weak_pointer (G_OBJECT (memory), &weak);
  g_object_unref (memory);
  g_assert_nonnull (weak);
  *(guint8 *) io_memory_map_peek_address (one) = 1;
  g_assert_finalize_object (one);
  g_assert_null (weak);
}

static void
test_bytes_outlive (void)
{
  g_autoptr (GError) error = NULL;
  guint fds = count_fds ();
  IOMemoryDescriptor *memory = make ();
  IOMemoryMap *one;
  GBytes *bytes, *part;
  const guint8 *data;

  one = io_memory_descriptor_map_range (memory, 10, 20, IO_MEMORY_MAP_NONE, &error);
  g_assert_no_error (error);
  bytes = io_memory_map_get_bytes (one);
  data = g_bytes_get_data (bytes, NULL);
  g_assert_true ((gconstpointer) data == io_memory_map_peek_address (one));
  g_assert_cmpuint (g_bytes_get_size (bytes), ==, 20);

  /* Not a copy. */
  io_memory_descriptor_write_bytes (memory, 10, "live", 4);
  g_assert_cmpmem (data, 4, "live", 4);

  io_memory_map_unmap (one);
  g_assert_cmpmem (data, 4, "live", 4);
  g_assert_finalize_object (one);
  g_assert_finalize_object (memory);
  g_assert_cmpmem (data, 4, "live", 4);

  part = g_bytes_new_from_bytes (bytes, 2, 2);
  g_bytes_unref (bytes);
  g_assert_cmpmem (g_bytes_get_data (part, NULL), 2, "ve", 2);
  g_assert_cmpuint (count_maps ("buffer"), ==, 1);
  g_assert_cmpuint (count_fds (), ==, fds + 1);

  g_bytes_unref (part);
  g_assert_cmpuint (count_maps ("buffer"), ==, 0);
  g_assert_cmpuint (count_fds (), ==, fds);
}

/* A stream of a thousand buffers has one mapping. */
static void
test_many (void)
{
  g_autoptr (GPtrArray) views = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  IOMemoryDescriptor *memory = make ();
  guint fds = count_fds ();

  for (gsize i = 0; i < 1000; i++)
    {
      g_autoptr (IOMemoryDescriptor) part = NULL;
      g_autoptr (IOMemoryMap) one = NULL;

      part = io_memory_descriptor_new_sub_range (memory, i * 8, 8, IO_DIRECTION_NONE, NULL);
      one = map (part, IO_MEMORY_MAP_NONE);
      g_ptr_array_add (views, io_memory_map_get_bytes (one));
    }

  g_assert_cmpuint (count_maps ("buffer"), ==, 1);
  g_assert_cmpuint (count_fds (), ==, fds);
  g_assert_finalize_object (memory);
}

static void
test_closed_fd (void)
{
  g_autoptr (GError) error = NULL;
  IOMemoryDescriptor *memory = make ();
  IOMemoryMap *one;

  _io_memory_backing_close_fd (_io_memory_descriptor_peek_backing (memory));
  one = map (memory, IO_MEMORY_MAP_NONE);
  g_assert_null (io_memory_descriptor_map (memory, IO_MEMORY_MAP_READ_ONLY, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_VM_ERROR);

  g_assert_finalize_object (one);
  g_assert_finalize_object (memory);
}

static gpointer
bytes_thread (gpointer data)
{
  for (int i = 0; i < 1000; i++)
    {
      g_autoptr (GBytes) bytes = io_memory_map_get_bytes (data);

      if (bytes != NULL)
        g_assert_cmpint (*(const guint8 *) g_bytes_get_data (bytes, NULL), ==, 0);
    }

  return NULL;
}

/* Bytes and unmapping race; who has bytes can read them. */
static void
test_threads (void)
{
  for (int i = 0; i < 20; i++)
    {
      IOMemoryDescriptor *memory = make ();
      IOMemoryMap *one = map (memory, IO_MEMORY_MAP_NONE);
      GThread *thread = g_thread_new ("bytes", bytes_thread, one);

      io_memory_map_unmap (one);
      g_thread_join (thread);
      g_assert_finalize_object (one);
      g_assert_finalize_object (memory);
    }

  g_assert_cmpuint (count_maps ("buffer"), ==, 0);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/memory-map/map", test_map);
  g_test_add_func ("/memory-map/range", test_range);
  g_test_add_func ("/memory-map/length-changes", test_length_changes);
  g_test_add_func ("/memory-map/read-only", test_read_only);
  g_test_add_func ("/memory-map/unmap", test_unmap);
  g_test_add_func ("/memory-map/without-memory", test_without_memory);
  g_test_add_func ("/memory-map/holds-descriptor", test_holds_descriptor);
  g_test_add_func ("/memory-map/bytes-outlive", test_bytes_outlive);
  g_test_add_func ("/memory-map/many", test_many);
  g_test_add_func ("/memory-map/closed-fd", test_closed_fd);
  g_test_add_func ("/memory-map/threads", test_threads);

  return g_test_run ();
}
