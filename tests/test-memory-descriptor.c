/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-buffer-memory-descriptor.h"
#include "io-memory-descriptor-private.h"

#include "io-enum-types.h"

#include "memory-util.h"

#define SIZE ((gsize) 2 * 4096 + 50)

static IOMemoryDescriptor *
make (gsize size)
{
  g_autoptr (GError) error = NULL;
  IOBufferMemoryDescriptor *buffer;

  buffer = io_buffer_memory_descriptor_new (size, IO_STREAM_PEER_ACCESS_READ, &error);
  g_assert_no_error (error);
  g_assert_true (IO_IS_BUFFER_MEMORY_DESCRIPTOR (buffer));
  return IO_MEMORY_DESCRIPTOR (buffer);
}

static IOMemoryDescriptor *
make_for_fd (int         fd,
             IODirection direction)
{
  g_autoptr (GError) error = NULL;
  IOMemoryDescriptor *memory = io_memory_descriptor_new_for_fd (fd, 0, 0, direction, &error);

  g_assert_no_error (error);
  return memory;
}

static void
test_properties (void)
{
  IOMemoryDescriptor *memory = make (SIZE);
  guint64 length, offset, capacity;
  IODirection direction;
  IOStreamPeerAccess access;
  guint tag;

  g_object_set (memory, "tag", 77u, NULL);
  g_object_get (memory, "length", &length, "offset", &offset, "direction", &direction,
                "tag", &tag, "capacity", &capacity, "peer-access", &access, NULL);
  g_assert_cmpuint (length, ==, SIZE);
  g_assert_cmpuint (capacity, ==, SIZE);
  g_assert_cmpuint (offset, ==, 0);
  g_assert_cmpuint (tag, ==, 77);
  g_assert_cmpint (direction, ==, IO_DIRECTION_IN_OUT);
  g_assert_cmpint (access, ==, IO_STREAM_PEER_ACCESS_READ);

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
test_notify (void)
{
  IOMemoryDescriptor *memory = make (SIZE);
  IOBufferMemoryDescriptor *buffer = IO_BUFFER_MEMORY_DESCRIPTOR (memory);
  guint tags = 0, lengths = 0;

  g_signal_connect (memory, "notify::tag", G_CALLBACK (count_cb), &tags);
  g_signal_connect (memory, "notify::length", G_CALLBACK (count_cb), &lengths);

  io_memory_descriptor_set_tag (memory, 5);
  io_memory_descriptor_set_tag (memory, 5);
  g_assert_cmpuint (tags, ==, 1);
  g_assert_cmpuint (io_memory_descriptor_get_tag (memory), ==, 5);

  io_buffer_memory_descriptor_set_length (buffer, SIZE);
  g_assert_cmpuint (lengths, ==, 0);
  io_buffer_memory_descriptor_set_length (buffer, 0);
  io_buffer_memory_descriptor_append_bytes (buffer, "abc", 3);
  io_buffer_memory_descriptor_append_bytes (buffer, NULL, 0);
  g_assert_cmpuint (lengths, ==, 2);

  g_assert_finalize_object (memory);
}

static void
test_by_properties (void)
{
  g_autoptr (GError) error = NULL;
  IOMemoryDescriptor *memory;
  IOStreamPeerAccess access;
  guint fds = count_fds ();

  memory = g_object_new (IO_TYPE_BUFFER_MEMORY_DESCRIPTOR,
                         "capacity", (guint64) SIZE,
                         "direction", IO_DIRECTION_IN_OUT, NULL);
  g_assert_cmpuint (io_memory_descriptor_get_length (memory), ==, SIZE);
  g_object_get (memory, "peer-access", &access, NULL);
  g_assert_cmpint (access, ==, IO_STREAM_PEER_ACCESS_READ);
  g_assert_cmpuint (count_fds (), ==, fds);

  /* The first that needs the memory makes it; making it again does nothing. */
  g_assert_cmpuint (io_memory_descriptor_write_bytes (memory, 0, "abc", 3), ==, 3);
  g_assert_cmpuint (count_fds (), ==, fds + 1);
  g_assert_true (g_initable_init (G_INITABLE (memory), NULL, &error));
  g_assert_true (g_initable_init (G_INITABLE (memory), NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (count_fds (), ==, fds + 1);

  g_assert_finalize_object (memory);
  g_assert_cmpuint (count_fds (), ==, fds);
}

static void
test_cancelled (void)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;

  g_cancellable_cancel (cancellable);
  g_assert_null (g_initable_new (IO_TYPE_BUFFER_MEMORY_DESCRIPTOR, cancellable, &error,
                                 "capacity", (guint64) SIZE, NULL));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

/* An object that somebody made with nothing behind it is of no use, and
 * harmless. */
static void
test_without_memory (void)
{
  IOMemoryDescriptor *memory = g_object_new (IO_TYPE_MEMORY_DESCRIPTOR, NULL);
  g_autoptr (GError) error = NULL;
  guint8 byte;

  g_assert_false (g_initable_init (G_INITABLE (memory), NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_ATTACHED);
  g_clear_error (&error);

  g_assert_cmpuint (io_memory_descriptor_get_length (memory), ==, 0);
  g_assert_false (io_memory_descriptor_is_writable (memory));
  g_assert_cmpint (io_memory_descriptor_peek_fd (memory), ==, -1);
  g_assert_cmpuint (io_memory_descriptor_read_bytes (memory, 0, &byte, 1), ==, 0);
  g_assert_cmpuint (io_memory_descriptor_write_bytes (memory, 0, &byte, 1), ==, 0);
  g_assert_null (_io_memory_descriptor_peek_backing (memory));

  g_assert_cmpint (io_memory_descriptor_get_fd (memory, &error), ==, -1);
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_ATTACHED);
  g_clear_error (&error);
  g_assert_null (io_memory_descriptor_map (memory, IO_MEMORY_MAP_NONE, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_ATTACHED);
  g_clear_error (&error);
  g_assert_null (io_memory_descriptor_copy_bytes (memory, 0, 0, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_ATTACHED);
  g_clear_error (&error);
  g_assert_null (io_memory_descriptor_new_sub_range (memory, 0, 0, IO_DIRECTION_NONE, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_ATTACHED);
  g_clear_error (&error);
  g_assert_false (io_memory_descriptor_prepare (memory, IO_DIRECTION_NONE, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_ATTACHED);

  g_assert_finalize_object (memory);
}

/* Ranges that are not in memory of SIZE bytes. */
static const struct { gsize offset, length; } bad_ranges[] = {
  { 0, SIZE + 1 },
  { 1, SIZE },
  { SIZE, 1 },
  { SIZE + 1, 0 },
  { SIZE - 1, 2 },
  { G_MAXSIZE, 0 },
  { G_MAXSIZE, 1 },
  { G_MAXSIZE, G_MAXSIZE },
  { 1, G_MAXSIZE },
  { 2, G_MAXSIZE - 1 },
  { 0, G_MAXSIZE },
  { G_MAXSIZE - 4, 8 },
  { (gsize) G_MAXSSIZE + 1, (gsize) G_MAXSSIZE + 1 },
  { (gsize) 1 << 32, 1 },
};

static void
test_bad_ranges (void)
{
  IOMemoryDescriptor *memory = make (SIZE);
  guint8 *space = g_malloc (16);

  memset (space, 9, 16);
  for (gsize i = 0; i < G_N_ELEMENTS (bad_ranges); i++)
    {
      gsize offset = bad_ranges[i].offset, length = bad_ranges[i].length;
      g_autoptr (GError) error = NULL;

      g_assert_cmpuint (io_memory_descriptor_read_bytes (memory, offset, space, length), ==, 0);
      g_assert_cmpuint (io_memory_descriptor_write_bytes (memory, offset, space, length), ==, 0);
      g_assert_cmpuint (io_memory_descriptor_write_bytes (memory, offset, NULL, length), ==, 0);
      g_assert_null (io_buffer_memory_descriptor_peek_bytes (IO_BUFFER_MEMORY_DESCRIPTOR (memory),
                                                             offset, length));

      g_assert_null (io_memory_descriptor_copy_bytes (memory, offset, length, &error));
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
      g_clear_error (&error);
      g_assert_null (io_memory_descriptor_map_range (memory, offset, length,
                                                     IO_MEMORY_MAP_NONE, &error));
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
      g_clear_error (&error);
      g_assert_null (io_memory_descriptor_new_sub_range (memory, offset, length,
                                                         IO_DIRECTION_NONE, &error));
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
    }

  g_assert_cmpint (space[0], ==, 9);
  g_free (space);
  g_assert_finalize_object (memory);
}

static void
test_read_write (void)
{
  IOMemoryDescriptor *memory = make (SIZE);
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;
  char text[8] = "xxxxxxx";

  /* New memory is zero. */
  g_assert_cmpuint (io_memory_descriptor_read_bytes (memory, SIZE - 8, text, 8), ==, 8);
  g_assert_cmpmem (text, 8, "\0\0\0\0\0\0\0\0", 8);

  g_assert_cmpuint (io_memory_descriptor_write_bytes (memory, SIZE - 6, "hello", 6), ==, 6);
  g_assert_cmpuint (io_memory_descriptor_read_bytes (memory, SIZE - 6, text, 6), ==, 6);
  g_assert_cmpstr (text, ==, "hello");

  bytes = io_memory_descriptor_copy_bytes (memory, SIZE - 6, 6, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (io_memory_descriptor_write_bytes (memory, SIZE - 6, NULL, 3), ==, 3);
  g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), "hello", 6);
  g_assert_cmpuint (io_memory_descriptor_read_bytes (memory, SIZE - 6, text, 6), ==, 6);
  g_assert_cmpmem (text, 6, "\0\0\0lo", 6);

  g_assert_cmpuint (io_memory_descriptor_read_bytes (memory, SIZE, NULL, 0), ==, 0);
  g_assert_cmpuint (io_memory_descriptor_write_bytes (memory, 0, NULL, 0), ==, 0);

  g_assert_finalize_object (memory);
}

static void
test_copy_nothing (void)
{
  IOMemoryDescriptor *memory = make (SIZE);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = io_memory_descriptor_copy_bytes (memory, SIZE, 0, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (g_bytes_get_size (bytes), ==, 0);
  g_assert_finalize_object (memory);
}

static void
test_sub_range (void)
{
  g_autoptr (GError) error = NULL;
  guint fds = count_fds ();
  IOMemoryDescriptor *memory = make (SIZE);
  IOMemoryDescriptor *part, *piece, *empty;
  char text[4];

  io_memory_descriptor_write_bytes (memory, 4100, "abcdef", 6);
  part = io_memory_descriptor_new_sub_range (memory, 4100, 100, IO_DIRECTION_NONE, &error);
  g_assert_no_error (error);
  g_assert_cmpint (io_memory_descriptor_get_direction (part), ==, IO_DIRECTION_IN_OUT);
  piece = io_memory_descriptor_new_sub_range (part, 2, 3, IO_DIRECTION_IN, &error);
  g_assert_no_error (error);
  empty = io_memory_descriptor_new_sub_range (part, 100, 0, IO_DIRECTION_OUT, &error);
  g_assert_no_error (error);

  g_assert_cmpuint (io_memory_descriptor_get_offset (piece), ==, 4102);
  g_assert_cmpuint (io_memory_descriptor_get_length (piece), ==, 3);
  g_assert_cmpuint (io_memory_descriptor_get_length (empty), ==, 0);
  g_assert_cmpint (io_memory_descriptor_get_direction (piece), ==, IO_DIRECTION_IN);
  /* One descriptor of the system for all. */
  g_assert_cmpint (io_memory_descriptor_peek_fd (piece), ==, io_memory_descriptor_peek_fd (memory));
  g_assert_cmpuint (count_fds (), ==, fds + 1);

  g_assert_finalize_object (memory);
  g_assert_finalize_object (part);
  g_assert_finalize_object (empty);
  g_assert_cmpuint (io_memory_descriptor_read_bytes (piece, 0, text, 3), ==, 3);
  g_assert_cmpmem (text, 3, "cde", 3);
  g_assert_cmpuint (io_memory_descriptor_read_bytes (piece, 1, text, 3), ==, 0);
  g_assert_cmpuint (count_maps ("buffer"), ==, 1);

  g_assert_finalize_object (piece);
  g_assert_cmpuint (count_fds (), ==, fds);
  g_assert_cmpuint (count_maps ("buffer"), ==, 0);
}

static void
test_direction (void)
{
  g_autoptr (GError) error = NULL;
  IOMemoryDescriptor *memory = make (SIZE);
  IOMemoryDescriptor *in, *out;

  in = io_memory_descriptor_new_sub_range (memory, 0, 10, IO_DIRECTION_IN, &error);
  out = io_memory_descriptor_new_sub_range (memory, 0, 10, IO_DIRECTION_OUT, &error);
  g_assert_no_error (error);

  g_assert_true (io_memory_descriptor_is_writable (memory));
  g_assert_true (io_memory_descriptor_is_writable (out));
  g_assert_false (io_memory_descriptor_is_writable (in));
  g_assert_cmpuint (io_memory_descriptor_write_bytes (in, 0, "a", 1), ==, 0);
  g_assert_cmpuint (io_memory_descriptor_write_bytes (out, 0, "a", 1), ==, 1);

  /* No part is more than the whole. */
  g_assert_null (io_memory_descriptor_new_sub_range (in, 0, 1, IO_DIRECTION_OUT, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_WRITABLE);
  g_clear_error (&error);
  g_assert_null (io_memory_descriptor_new_sub_range (in, 0, 1, IO_DIRECTION_IN_OUT, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_WRITABLE);
  g_clear_error (&error);
  g_assert_null (io_memory_descriptor_new_sub_range (out, 0, 1, IO_DIRECTION_IN, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READABLE);

  g_assert_finalize_object (in);
  g_assert_finalize_object (out);
  g_assert_finalize_object (memory);
}

static void
test_prepare (void)
{
  g_autoptr (GError) error = NULL;
  IOMemoryDescriptor *memory = make (SIZE);
  IOMemoryDescriptor *in;

  g_assert_false (io_memory_descriptor_complete (memory, IO_DIRECTION_NONE, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY);
  g_clear_error (&error);

  g_assert_true (io_memory_descriptor_prepare (memory, IO_DIRECTION_IN, &error));
  g_assert_true (io_memory_descriptor_prepare (memory, IO_DIRECTION_NONE, &error));
  g_assert_true (io_memory_descriptor_complete (memory, IO_DIRECTION_IN, &error));
  g_assert_true (io_memory_descriptor_complete (memory, IO_DIRECTION_IN, &error));
  g_assert_no_error (error);

  /* One of the two is not prepared: nothing changes. */
  g_assert_false (io_memory_descriptor_complete (memory, IO_DIRECTION_IN_OUT, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY);
  g_clear_error (&error);
  g_assert_true (io_memory_descriptor_complete (memory, IO_DIRECTION_OUT, &error));
  g_assert_false (io_memory_descriptor_complete (memory, IO_DIRECTION_OUT, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY);
  g_clear_error (&error);

  in = io_memory_descriptor_new_sub_range (memory, 0, 1, IO_DIRECTION_IN, NULL);
  g_assert_false (io_memory_descriptor_prepare (in, IO_DIRECTION_OUT, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_WRITABLE);

  g_assert_finalize_object (in);
  g_assert_finalize_object (memory);
}

static void
test_for_fd (void)
{
  g_autoptr (GError) error = NULL;
  guint fds = count_fds ();
  int fd = make_memfd (SIZE, F_SEAL_SHRINK | F_SEAL_GROW);
  IOMemoryDescriptor *memory = make_for_fd (fd, IO_DIRECTION_IN_OUT);
  IOMemoryDescriptor *part;
  char text[3];

  g_assert_cmpuint (io_memory_descriptor_get_length (memory), ==, SIZE);
  g_assert_true (io_memory_descriptor_is_writable (memory));
  g_assert_cmpint (io_memory_descriptor_peek_fd (memory), !=, fd);
  g_assert_cmpint (pwrite (fd, "xyz", 3, 4095), ==, 3);

  part = io_memory_descriptor_new_for_fd (fd, 4095, 0, IO_DIRECTION_IN, &error);
  g_assert_no_error (error);
  close (fd);
  g_assert_cmpuint (io_memory_descriptor_get_offset (part), ==, 4095);
  g_assert_cmpuint (io_memory_descriptor_get_length (part), ==, SIZE - 4095);
  g_assert_cmpuint (io_memory_descriptor_read_bytes (part, 0, text, 3), ==, 3);
  g_assert_cmpmem (text, 3, "xyz", 3);

  g_assert_finalize_object (part);
  g_assert_finalize_object (memory);
  g_assert_cmpuint (count_fds (), ==, fds);
}

static void
test_for_fd_bad_ranges (void)
{
  int fd = make_memfd (SIZE, F_SEAL_SHRINK | F_SEAL_GROW);
  static const struct { guint64 offset; gsize length; } ranges[] = {
    { SIZE, 0 }, { SIZE + 1, 0 }, { G_MAXUINT64, 0 }, { G_MAXUINT64, G_MAXSIZE },
    { 0, SIZE + 1 }, { 1, SIZE }, { 1, G_MAXSIZE }, { SIZE, 1 },
  };
  guint fds = count_fds ();

  for (gsize i = 0; i < G_N_ELEMENTS (ranges); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (io_memory_descriptor_new_for_fd (fd, ranges[i].offset, ranges[i].length,
                                                      IO_DIRECTION_IN, &error));
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
    }

  g_assert_cmpuint (count_fds (), ==, fds);
  close (fd);
}

static void
assert_fd_refused (int           fd,
                   IODirection   direction,
                   IOStreamError code,
                   const char   *text)
{
  g_autoptr (GError) error = NULL;
  guint fds = count_fds ();

  g_assert_null (io_memory_descriptor_new_for_fd (fd, 0, 0, direction, &error));
  g_assert_error (error, IO_STREAM_ERROR, (int) code);
  if (strstr (error->message, text) == NULL)
    g_error ("\"%s\" does not contain \"%s\"", error->message, text);
  g_assert_cmpuint (count_fds (), ==, fds);
  if (fd >= 0)
    close (fd);
}

static void
test_for_fd_refused (void)
{
  const int seals = F_SEAL_SHRINK | F_SEAL_GROW;
  int fds[2];

  assert_fd_refused (-1, IO_DIRECTION_IN, IO_STREAM_ERROR_BAD_ARGUMENT, "descriptor -1");
  assert_fd_refused (make_memfd (SIZE, 0), IO_DIRECTION_IN,
                     IO_STREAM_ERROR_VM_ERROR, "F_SEAL_SHRINK, F_SEAL_GROW");
  assert_fd_refused (make_memfd (0, seals), IO_DIRECTION_IN, IO_STREAM_ERROR_VM_ERROR, "size");
  assert_fd_refused (make_memfd (SIZE, seals | F_SEAL_FUTURE_WRITE), IO_DIRECTION_IN_OUT,
                     IO_STREAM_ERROR_VM_ERROR, "for writing");
  g_assert_no_errno (pipe2 (fds, O_CLOEXEC));
  close (fds[1]);
  assert_fd_refused (fds[0], IO_DIRECTION_IN, IO_STREAM_ERROR_VM_ERROR, "not a memfd");
}

static void
test_for_fd_read_only (void)
{
  int fd = make_memfd (SIZE, SEALS_ALL);
  IOMemoryDescriptor *memory = make_for_fd (fd, IO_DIRECTION_IN);
  g_autoptr (GError) error = NULL;

  close (fd);
  g_assert_false (io_memory_descriptor_is_writable (memory));
  g_assert_cmpuint (io_memory_descriptor_write_bytes (memory, 0, "a", 1), ==, 0);
  g_assert_null (io_memory_descriptor_new_sub_range (memory, 0, 1, IO_DIRECTION_OUT, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_WRITABLE);

  g_assert_finalize_object (memory);
}

static void
no_descriptors (gpointer data)
{
  g_autoptr (GError) error = NULL;

  set_limit (RLIMIT_NOFILE, 3);
  g_assert_cmpint (io_memory_descriptor_get_fd (data, &error), ==, -1);
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES);
  g_clear_error (&error);
  g_assert_null (io_buffer_memory_descriptor_new (1, IO_STREAM_PEER_ACCESS_READ, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES);
}

static void
test_get_fd (void)
{
  g_autoptr (GError) error = NULL;
  IOMemoryDescriptor *memory = make (SIZE);
  int fd = io_memory_descriptor_get_fd (memory, &error);

  g_assert_no_error (error);
  g_assert_cmpint (fd, !=, io_memory_descriptor_peek_fd (memory));
  g_assert_cmpint (fcntl (fd, F_GETFD), ==, FD_CLOEXEC);
  close (fd);

  run_in_child (no_descriptors, memory);

  _io_memory_backing_close_fd (_io_memory_descriptor_peek_backing (memory));
  g_assert_cmpint (io_memory_descriptor_peek_fd (memory), ==, -1);
  g_assert_cmpint (io_memory_descriptor_get_fd (memory, &error), ==, -1);
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN);

  g_assert_finalize_object (memory);
}

/* What one process writes, another reads through a descriptor of its own. */
static void
read_in_child (gpointer data)
{
  int fd = GPOINTER_TO_INT (data);
  IOMemoryDescriptor *memory = make_for_fd (fd, IO_DIRECTION_IN);
  char text[5];

  g_assert_cmpuint (io_memory_descriptor_read_bytes (memory, 100, text, 5), ==, 5);
  g_assert_cmpmem (text, 5, "frame", 5);
  g_assert_cmpuint (io_memory_descriptor_write_bytes (memory, 0, "x", 1), ==, 0);
  g_assert_finalize_object (memory);
}

static void
test_two_processes (void)
{
  IOMemoryDescriptor *memory = make (SIZE);

  io_memory_descriptor_write_bytes (memory, 100, "frame", 5);
  run_in_child (read_in_child, GINT_TO_POINTER (io_memory_descriptor_peek_fd (memory)));
  g_assert_finalize_object (memory);
}

static void
test_buffer_bad_capacity (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) empty = g_bytes_new (NULL, 0);

  g_assert_null (io_buffer_memory_descriptor_new (0, IO_STREAM_PEER_ACCESS_READ, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
  g_clear_error (&error);
  g_assert_null (io_buffer_memory_descriptor_new (G_MAXSIZE, IO_STREAM_PEER_ACCESS_READ, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
  g_clear_error (&error);
  g_assert_null (io_buffer_memory_descriptor_new_bytes (empty, IO_STREAM_PEER_ACCESS_READ, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
}

static void
test_buffer_peer_access (void)
{
  static const struct { IOStreamPeerAccess access; gboolean sealed; } cases[] = {
    { IO_STREAM_PEER_ACCESS_BY_MODE, TRUE },
    { IO_STREAM_PEER_ACCESS_READ, TRUE },
    { IO_STREAM_PEER_ACCESS_READ_WRITE, FALSE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      IOBufferMemoryDescriptor *buffer;
      int fd, seals;

      buffer = io_buffer_memory_descriptor_new (SIZE, cases[i].access, &error);
      g_assert_no_error (error);
      fd = io_memory_descriptor_peek_fd (IO_MEMORY_DESCRIPTOR (buffer));
      seals = fcntl (fd, F_GET_SEALS);
      g_assert_cmpint ((seals & F_SEAL_FUTURE_WRITE) != 0, ==, cases[i].sealed);
      g_assert_finalize_object (buffer);
    }
}

static void
test_buffer_length (void)
{
  IOMemoryDescriptor *memory = make (SIZE);
  IOBufferMemoryDescriptor *buffer = IO_BUFFER_MEMORY_DESCRIPTOR (memory);
  char byte;

  g_assert_cmpuint (io_buffer_memory_descriptor_get_capacity (buffer), ==, SIZE);
  g_assert_cmpuint (io_memory_descriptor_get_length (memory), ==, SIZE);
  g_assert_false (io_buffer_memory_descriptor_set_length (buffer, SIZE + 1));
  g_assert_false (io_buffer_memory_descriptor_set_length (buffer, G_MAXSIZE));
  g_assert_cmpuint (io_memory_descriptor_get_length (memory), ==, SIZE);

  g_assert_true (io_buffer_memory_descriptor_set_length (buffer, 10));
  g_assert_cmpuint (io_memory_descriptor_get_length (memory), ==, 10);
  g_assert_cmpuint (io_buffer_memory_descriptor_get_capacity (buffer), ==, SIZE);
  g_assert_nonnull (io_buffer_memory_descriptor_peek_bytes (buffer, 9, 1));
  g_assert_nonnull (io_buffer_memory_descriptor_peek_bytes (buffer, 10, 0));
  g_assert_null (io_buffer_memory_descriptor_peek_bytes (buffer, 10, 1));
  g_assert_null (io_buffer_memory_descriptor_peek_bytes (buffer, 0, 11));
  g_assert_cmpuint (io_memory_descriptor_read_bytes (memory, 10, &byte, 1), ==, 0);

  g_assert_finalize_object (memory);
}

static void
test_buffer_append (void)
{
  IOMemoryDescriptor *memory = make (8);
  IOBufferMemoryDescriptor *buffer = IO_BUFFER_MEMORY_DESCRIPTOR (memory);

  /* It is full from the start. */
  g_assert_false (io_buffer_memory_descriptor_append_bytes (buffer, "a", 1));
  io_buffer_memory_descriptor_set_length (buffer, 0);
  g_assert_true (io_buffer_memory_descriptor_append_bytes (buffer, "abcde", 5));
  g_assert_false (io_buffer_memory_descriptor_append_bytes (buffer, "fghi", 4));
  g_assert_false (io_buffer_memory_descriptor_append_bytes (buffer, "fghi", G_MAXSIZE));
  g_assert_false (io_buffer_memory_descriptor_append_bytes (buffer, "fghi", G_MAXSIZE - 4));
  g_assert_cmpuint (io_memory_descriptor_get_length (memory), ==, 5);
  g_assert_true (io_buffer_memory_descriptor_append_bytes (buffer, "fgh", 3));
  g_assert_cmpmem (io_buffer_memory_descriptor_peek_bytes (buffer, 0, 8), 8, "abcdefgh", 8);
  g_assert_finalize_object (memory);

  memory = g_object_new (IO_TYPE_BUFFER_MEMORY_DESCRIPTOR, "capacity", (guint64) 8,
                         "direction", IO_DIRECTION_IN, NULL);
  buffer = IO_BUFFER_MEMORY_DESCRIPTOR (memory);
  io_buffer_memory_descriptor_set_length (buffer, 0);
  g_assert_false (io_buffer_memory_descriptor_append_bytes (buffer, "a", 1));
  g_assert_finalize_object (memory);
}

static void
test_buffer_bytes (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = g_bytes_new_static ("0123456789", 10);
  g_autoptr (GBytes) copy = NULL;
  IOBufferMemoryDescriptor *buffer;

  buffer = io_buffer_memory_descriptor_new_bytes (bytes, IO_STREAM_PEER_ACCESS_READ, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (io_buffer_memory_descriptor_get_capacity (buffer), ==, 10);
  copy = io_memory_descriptor_copy_bytes (IO_MEMORY_DESCRIPTOR (buffer), 0, 10, &error);
  g_assert_true (g_bytes_equal (bytes, copy));

  g_assert_finalize_object (buffer);
}

#define N_THREADS 4
#define N_APPENDS 500

static gpointer
append_thread (gpointer data)
{
  static int number;
  char me = (char) ('a' + g_atomic_int_add (&number, 1));
  char record[4] = { me, me, me, me };

  for (int i = 0; i < N_APPENDS; i++)
    g_assert_true (io_buffer_memory_descriptor_append_bytes (data, record, sizeof record));

  return NULL;
}

static void
test_buffer_threads (void)
{
  IOMemoryDescriptor *memory = g_object_new (IO_TYPE_BUFFER_MEMORY_DESCRIPTOR, "capacity",
                                             (guint64) N_THREADS * N_APPENDS * 4, NULL);
  IOBufferMemoryDescriptor *buffer = IO_BUFFER_MEMORY_DESCRIPTOR (memory);
  guint fds = count_fds ();
  GThread *threads[N_THREADS];
  const char *bytes;

  io_buffer_memory_descriptor_set_length (buffer, 0);
  for (int i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("append", append_thread, buffer);
  for (int i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);

  /* They made the memory once, and no record is torn. */
  g_assert_cmpuint (count_fds (), ==, fds + 1);
  g_assert_cmpuint (io_memory_descriptor_get_length (memory), ==, N_THREADS * N_APPENDS * 4);
  bytes = io_buffer_memory_descriptor_peek_bytes (buffer, 0, N_THREADS * N_APPENDS * 4);
  for (int i = 0; i < N_THREADS * N_APPENDS; i++, bytes += 4)
    g_assert_true (bytes[0] == bytes[1] && bytes[1] == bytes[2] && bytes[2] == bytes[3]);

  g_assert_finalize_object (memory);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/memory-descriptor/properties", test_properties);
  g_test_add_func ("/memory-descriptor/notify", test_notify);
  g_test_add_func ("/memory-descriptor/by-properties", test_by_properties);
  g_test_add_func ("/memory-descriptor/cancelled", test_cancelled);
  g_test_add_func ("/memory-descriptor/without-memory", test_without_memory);
  g_test_add_func ("/memory-descriptor/bad-ranges", test_bad_ranges);
  g_test_add_func ("/memory-descriptor/read-write", test_read_write);
  g_test_add_func ("/memory-descriptor/copy-nothing", test_copy_nothing);
  g_test_add_func ("/memory-descriptor/sub-range", test_sub_range);
  g_test_add_func ("/memory-descriptor/direction", test_direction);
  g_test_add_func ("/memory-descriptor/prepare", test_prepare);
  g_test_add_func ("/memory-descriptor/get-fd", test_get_fd);
  g_test_add_func ("/memory-descriptor/two-processes", test_two_processes);
  g_test_add_func ("/memory-descriptor/for-fd/plain", test_for_fd);
  g_test_add_func ("/memory-descriptor/for-fd/bad-ranges", test_for_fd_bad_ranges);
  g_test_add_func ("/memory-descriptor/for-fd/refused", test_for_fd_refused);
  g_test_add_func ("/memory-descriptor/for-fd/read-only", test_for_fd_read_only);
  g_test_add_func ("/memory-descriptor/buffer/bad-capacity", test_buffer_bad_capacity);
  g_test_add_func ("/memory-descriptor/buffer/peer-access", test_buffer_peer_access);
  g_test_add_func ("/memory-descriptor/buffer/length", test_buffer_length);
  g_test_add_func ("/memory-descriptor/buffer/append", test_buffer_append);
  g_test_add_func ("/memory-descriptor/buffer/bytes", test_buffer_bytes);
  g_test_add_func ("/memory-descriptor/buffer/threads", test_buffer_threads);

  return g_test_run ();
}
