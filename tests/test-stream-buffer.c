/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "stream-util.h"

#include <sys/mman.h>

static IOMemoryDescriptor *
make_memory (gsize size)
{
  g_autoptr (GError) error = NULL;
  IOBufferMemoryDescriptor *memory;

  memory = io_buffer_memory_descriptor_new (size, IO_STREAM_PEER_ACCESS_READ, &error);
  g_assert_no_error (error);
  io_buffer_memory_descriptor_set_length (memory, size);

  return IO_MEMORY_DESCRIPTOR (memory);
}

static IOStreamBuffer *
make_buffer (gsize data_size,
             gsize control_size)
{
  g_autoptr (IOMemoryDescriptor) data = data_size > 0 ? make_memory (data_size) : NULL;
  g_autoptr (IOMemoryDescriptor) control = control_size > 0 ? make_memory (control_size) : NULL;

  return io_stream_buffer_new (data, control);
}

static IOStream *
make_stream (guint count)
{
  g_autoptr (GError) error = NULL;
  IOStream *stream = io_stream_new (NULL, count, 1000, 10, &error);

  g_assert_no_error (error);
  g_assert_nonnull (stream);

  return stream;
}

static void
count_notify_cb (GObject    *object,
                 GParamSpec *pspec,
                 guint      *count)
{
  (*count)++;
}

/* A buffer that is in no stream. */
static void
test_alone (void)
{
  g_autoptr (IOMemoryDescriptor) data = make_memory (100);
  g_autoptr (IOMemoryDescriptor) control = make_memory (10);
  g_autoptr (IOMemoryDescriptor) got_data = NULL;
  g_autoptr (IOMemoryDescriptor) got_control = NULL;
  IOStreamBuffer *buffer = io_stream_buffer_new (data, control);
  gsize length = 7;
  guint id = 0;

  g_object_get (buffer, "buffer-id", &id, "data-buffer", &got_data, "control-buffer", &got_control, NULL);
  g_assert_cmpuint (id, ==, IO_STREAM_BUFFER_ID_INVALID);
  g_assert_true (got_data == data);
  g_assert_true (got_control == control);

  g_assert_cmpuint (io_stream_buffer_get_buffer_id (buffer), ==, IO_STREAM_BUFFER_ID_INVALID);
  g_assert_true (io_stream_buffer_get_data_buffer (buffer) == data);
  g_assert_true (io_stream_buffer_get_control_buffer (buffer) == control);
  g_assert_null (io_stream_buffer_get_data_map (buffer));
  g_assert_null (io_stream_buffer_get_control_map (buffer));
  g_assert_null (io_stream_buffer_peek_data (buffer, &length));
  g_assert_cmpuint (length, ==, 0);
  g_assert_null (io_stream_buffer_peek_control (buffer, NULL));
  g_assert_cmpint (io_stream_buffer_get_client_reference_count (buffer), ==, 0);

  g_assert_finalize_object (buffer);
}

static void
test_no_parts (void)
{
  g_autoptr (IOStream) stream = make_stream (0);
  g_autoptr (IOStreamBuffer) buffer = io_stream_buffer_new (NULL, NULL);
  gsize length = 7;

  stream_util_assert_works (io_stream_add_buffer (stream, buffer, err));
  g_assert_cmpuint (io_stream_buffer_get_buffer_id (buffer), ==, 0);
  g_assert_null (io_stream_buffer_get_data_buffer (buffer));
  g_assert_null (io_stream_buffer_get_control_buffer (buffer));
  g_assert_null (io_stream_buffer_get_data_map (buffer));
  g_assert_null (io_stream_buffer_peek_data (buffer, &length));
  g_assert_cmpuint (length, ==, 0);
  length = 7;
  g_assert_null (io_stream_buffer_peek_control (buffer, &length));
  g_assert_cmpuint (length, ==, 0);
}

static void
test_parts_of_stream (void)
{
  IOStream *stream = make_stream (3);
  guint8 *end = NULL;
  gsize length;

  for (guint32 id = 0; id < 3; id++)
    {
      IOStreamBuffer *buffer = io_stream_get_buffer_with_id (stream, id);
      guint8 *data = io_stream_buffer_peek_data (buffer, &length);
      guint8 *control;

      g_assert_cmpuint (length, ==, 1000);
      control = io_stream_buffer_peek_control (buffer, &length);
      g_assert_cmpuint (length, ==, 10);

      g_assert_cmpuint (io_stream_buffer_get_buffer_id (buffer), ==, id);
      g_assert_true (io_memory_map_peek_address (io_stream_buffer_get_data_map (buffer)) == data);
      g_assert_true (io_memory_map_peek_address (io_stream_buffer_get_control_map (buffer)) == control);
      g_assert_cmpuint (io_memory_map_get_length (io_stream_buffer_get_data_map (buffer)), ==, 1000);
      g_assert_cmpuint (io_memory_descriptor_get_length (io_stream_buffer_get_control_buffer (buffer)), ==, 10);

      /* lines of their own */
      g_assert_cmpuint ((gsize) data % 128, ==, 0);
      g_assert_cmpuint ((gsize) control % 128, ==, 0);
      g_assert_true (end == NULL || data >= end);
      end = data + 1000;
      memset (data, 0xff, 1000);
      memset (control, 0xff, 10);
    }

  g_assert_finalize_object (stream);
}

/* A map that somebody has keeps the memory, whatever becomes of the rest. */
static void
test_map_survives (void)
{
  IOStream *stream = make_stream (1);
  IOStreamBuffer *buffer = g_object_ref (io_stream_get_buffer_with_id (stream, 0));
  IOMemoryMap *map = g_object_ref (io_stream_buffer_get_data_map (buffer));
  guint8 *data = io_stream_buffer_peek_data (buffer, NULL);

  data[999] = 5;
  g_assert_finalize_object (stream);
  g_assert_cmpuint (io_stream_buffer_get_buffer_id (buffer), ==, IO_STREAM_BUFFER_ID_INVALID);
  g_assert_cmpint (io_stream_buffer_get_client_reference_count (buffer), ==, 0);
  g_assert_true (io_stream_buffer_peek_data (buffer, NULL) == data);

  g_assert_finalize_object (buffer);
  g_assert_true (io_memory_map_peek_address (map) == data);
  g_assert_cmpuint (data[999], ==, 5);
  data[999] = 6;
  g_assert_finalize_object (map);
}

static void
test_set_parts (void)
{
  g_autoptr (IOStream) stream = make_stream (1);
  IOStreamBuffer *buffer = io_stream_get_buffer_with_id (stream, 0);
  g_autoptr (IOMemoryMap) old_map = g_object_ref (io_stream_buffer_get_data_map (buffer));
  g_autoptr (IOMemoryDescriptor) data = make_memory (333);
  IOMemoryDescriptor *old_control = io_stream_buffer_get_control_buffer (buffer);
  guint count = 0;
  gsize length;

  g_signal_connect (buffer, "notify::data-buffer", G_CALLBACK (count_notify_cb), &count);
  stream_util_assert_works (io_stream_buffer_set_data_buffer (buffer, data, err));
  g_assert_cmpuint (count, ==, 1);
  g_assert_true (io_stream_buffer_get_data_buffer (buffer) == data);
  g_assert_nonnull (io_stream_buffer_peek_data (buffer, &length));
  g_assert_cmpuint (length, ==, 333);
  g_assert_true (io_stream_buffer_get_data_map (buffer) != old_map);
  g_assert_true (io_stream_buffer_get_control_buffer (buffer) == old_control);
  g_assert_nonnull (io_stream_buffer_peek_control (buffer, &length));
  g_assert_cmpuint (length, ==, 10);
  *(guint8 *) io_memory_map_peek_address (old_map) = 1;

  count = 0;
  g_signal_connect (buffer, "notify::control-buffer", G_CALLBACK (count_notify_cb), &count);
  stream_util_assert_works (io_stream_buffer_set_control_buffer (buffer, NULL, err));
  g_assert_cmpuint (count, >=, 1);
  g_assert_null (io_stream_buffer_get_control_buffer (buffer));
  g_assert_null (io_stream_buffer_peek_control (buffer, &length));
  g_assert_cmpuint (length, ==, 0);
  g_assert_true (io_stream_buffer_get_data_buffer (buffer) == data);

  stream_util_assert_works (io_stream_buffer_set_control_buffer (buffer, data, err));
  g_assert_nonnull (io_stream_buffer_peek_control (buffer, &length));
  g_assert_cmpuint (length, ==, 333);
  stream_util_assert_works (io_stream_buffer_set_data_buffer (buffer, NULL, err));
  g_assert_null (io_stream_buffer_peek_data (buffer, NULL));
}

static void
test_set_parts_alone (void)
{
  g_autoptr (IOStreamBuffer) buffer = make_buffer (10, 0);
  g_autoptr (IOMemoryDescriptor) control = make_memory (20);
  gsize length;

  stream_util_assert_works (io_stream_buffer_set_control_buffer (buffer, control, err));
  g_assert_nonnull (io_stream_buffer_peek_control (buffer, &length));
  g_assert_cmpuint (length, ==, 20);
}

static void
test_add_and_remove (void)
{
  IOStream *stream = make_stream (2);
  IOStreamBuffer *first = g_object_ref (io_stream_get_buffer_with_id (stream, 0));
  IOStreamBuffer *third = make_buffer (50, 0);
  g_autoptr (GPtrArray) all = NULL;
  guint stream_count = 0, count = 0, n = 0;

  g_signal_connect (stream, "notify::buffer-count", G_CALLBACK (count_notify_cb), &stream_count);
  g_signal_connect (third, "notify::buffer-id", G_CALLBACK (count_notify_cb), &count);
  stream_util_assert_works (io_stream_add_buffer (stream, third, err));
  g_assert_cmpuint (stream_count, ==, 1);
  g_assert_cmpuint (count, ==, 1);
  g_assert_cmpuint (io_stream_buffer_get_buffer_id (third), ==, 2);
  g_assert_cmpuint (io_stream_get_buffer_count (stream), ==, 3);
  g_object_get (stream, "buffer-count", &n, NULL);
  g_assert_cmpuint (n, ==, 3);

  all = io_stream_get_buffers (stream);
  g_assert_cmpuint (all->len, ==, 3);
  g_assert_true (all->pdata[0] == first);
  g_assert_true (all->pdata[2] == third);
  g_assert_null (io_stream_get_buffer_with_id (stream, 3));
  g_assert_null (io_stream_get_buffer_with_id (stream, IO_STREAM_BUFFER_ID_INVALID));

  stream_util_assert_works (io_stream_remove_buffer (stream, first, err));
  g_assert_cmpuint (stream_count, ==, 2);
  g_assert_cmpuint (io_stream_buffer_get_buffer_id (first), ==, IO_STREAM_BUFFER_ID_INVALID);
  g_assert_cmpuint (io_stream_buffer_get_buffer_id (third), ==, 1);
  g_assert_cmpuint (count, ==, 2);
  stream_util_assert_fails (io_stream_remove_buffer (stream, first, err), IO_STREAM_ERROR_NOT_FOUND);
  stream_util_assert_fails (io_stream_remove_buffer_with_id (stream, 2, err), IO_STREAM_ERROR_NOT_FOUND);
  stream_util_assert_fails (io_stream_remove_buffer_with_id (stream, IO_STREAM_BUFFER_ID_INVALID, err),
                            IO_STREAM_ERROR_NOT_FOUND);

  stream_util_assert_works (io_stream_remove_buffer_with_id (stream, 0, err));
  stream_util_assert_works (io_stream_remove_all_buffers (stream, err));
  stream_util_assert_works (io_stream_remove_all_buffers (stream, err));
  g_assert_cmpuint (io_stream_get_buffer_count (stream), ==, 0);
  g_assert_cmpuint (io_stream_buffer_get_buffer_id (third), ==, IO_STREAM_BUFFER_ID_INVALID);

  stream_util_assert_works (io_stream_add_buffer (stream, first, err));
  g_assert_cmpuint (io_stream_buffer_get_buffer_id (first), ==, 0);
  g_clear_pointer (&all, g_ptr_array_unref);
  g_assert_finalize_object (third);
  g_assert_finalize_object (stream);
  g_assert_finalize_object (first);
}

/* All or none. */
static void
test_add_foreign (void)
{
  g_autoptr (IOStream) stream = make_stream (1);
  g_autoptr (IOStream) other = make_stream (1);
  g_autoptr (GPtrArray) buffers = g_ptr_array_new_with_free_func (g_object_unref);

  g_ptr_array_add (buffers, make_buffer (10, 10));
  g_ptr_array_add (buffers, g_object_ref (io_stream_get_buffer_with_id (other, 0)));
  stream_util_assert_fails (io_stream_add_buffers (stream, buffers, err), IO_STREAM_ERROR_BUSY);
  g_assert_cmpuint (io_stream_get_buffer_count (stream), ==, 1);
  g_assert_cmpuint (io_stream_buffer_get_buffer_id (buffers->pdata[0]), ==, IO_STREAM_BUFFER_ID_INVALID);
  stream_util_assert_fails (io_stream_remove_buffer (stream, buffers->pdata[1], err), IO_STREAM_ERROR_NOT_FOUND);
  stream_util_assert_fails (io_stream_add_buffer (stream, io_stream_get_buffer_with_id (stream, 0), err),
                            IO_STREAM_ERROR_BUSY);

  g_ptr_array_remove_index (buffers, 1);
  stream_util_assert_works (io_stream_add_buffers (stream, buffers, err));
  g_assert_cmpuint (io_stream_buffer_get_buffer_id (buffers->pdata[0]), ==, 1);

  g_ptr_array_set_size (buffers, 0);
  stream_util_assert_works (io_stream_add_buffers (stream, buffers, err));
}

static void
test_add_twice (void)
{
  g_autoptr (IOStream) stream = make_stream (0);
  g_autoptr (IOStreamBuffer) buffer = make_buffer (10, 0);
  g_autoptr (GPtrArray) buffers = g_ptr_array_new ();

  g_ptr_array_add (buffers, buffer);
  g_ptr_array_add (buffers, buffer);
  stream_util_assert_fails (io_stream_add_buffers (stream, buffers, err), IO_STREAM_ERROR_BUSY);
  g_assert_cmpuint (io_stream_get_buffer_count (stream), ==, 0);
  g_assert_cmpuint (io_stream_buffer_get_buffer_id (buffer), ==, IO_STREAM_BUFFER_ID_INVALID);
}

static void
test_add_too_many (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (IOStream) stream = io_stream_new (NULL, IO_STREAM_MAX_BUFFERS, 0, 0, &error);
  g_autoptr (IOStreamBuffer) buffer = make_buffer (10, 0);

  g_assert_no_error (error);
  g_assert_cmpuint (io_stream_get_buffer_count (stream), ==, IO_STREAM_MAX_BUFFERS);
  stream_util_assert_fails (io_stream_add_buffer (stream, buffer, err), IO_STREAM_ERROR_NO_RESOURCES);
  stream_util_assert_works (io_stream_remove_buffer_with_id (stream, 5, err));
  stream_util_assert_works (io_stream_add_buffer (stream, buffer, err));
  g_assert_cmpuint (io_stream_buffer_get_buffer_id (buffer), ==, IO_STREAM_MAX_BUFFERS - 1);
}

/* No entry could describe its bytes. */
static void
test_add_too_large (void)
{
  g_autoptr (IOStream) stream = make_stream (0);
  g_autoptr (IOMemoryDescriptor) memory = NULL;
  g_autoptr (IOStreamBuffer) buffer = NULL;
  g_autoptr (GError) error = NULL;
  const gsize size = (gsize) G_MAXUINT32 + 4097;
  int fd = memfd_create ("large", MFD_CLOEXEC | MFD_ALLOW_SEALING);

  g_assert_cmpint (ftruncate (fd, (off_t) size), ==, 0);
  g_assert_cmpint (fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), ==, 0);
  memory = io_memory_descriptor_new_for_fd (fd, 0, size, IO_DIRECTION_IN_OUT, &error);
  g_assert_no_error (error);
  buffer = io_stream_buffer_new (memory, NULL);
  stream_util_assert_fails (io_stream_add_buffer (stream, buffer, err), IO_STREAM_ERROR_BAD_ARGUMENT);
  g_assert_cmpuint (io_stream_get_buffer_count (stream), ==, 0);
  stream_util_assert_fails (io_stream_buffer_set_control_buffer (buffer, memory, err), IO_STREAM_ERROR_BAD_ARGUMENT);
  close (fd);
}

static void
test_too_much_memory (void)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (io_stream_new (NULL, IO_STREAM_MAX_BUFFERS, G_MAXUINT32, 0, &error));
  g_assert_nonnull (error);
  g_assert_true (error->domain == IO_STREAM_ERROR);
  g_assert_nonnull (strstr (error->message, "Cannot"));
}

/* While the stream is open nothing of it changes. */
static void
set_up (StreamPair    *pair,
        gconstpointer  data)
{
  stream_util_set_up (pair, IO_STREAM_MODE_OUTPUT);
}

static void
tear_down (StreamPair    *pair,
           gconstpointer  data)
{
  stream_util_tear_down (pair);
}

static gboolean
change_open_cb (gpointer user_data)
{
  StreamPair *pair = user_data;
  IOStreamBuffer *buffer = io_stream_get_buffer_with_id (pair->stream, 0);
  g_autoptr (IOStreamBuffer) other = make_buffer (10, 0);
  g_autoptr (IOMemoryDescriptor) memory = make_memory (10);

  stream_util_assert_fails (io_stream_add_buffer (pair->stream, other, err), IO_STREAM_ERROR_STILL_OPEN);
  stream_util_assert_fails (io_stream_remove_buffer (pair->stream, buffer, err), IO_STREAM_ERROR_STILL_OPEN);
  stream_util_assert_fails (io_stream_remove_buffer_with_id (pair->stream, 9, err), IO_STREAM_ERROR_STILL_OPEN);
  stream_util_assert_fails (io_stream_remove_all_buffers (pair->stream, err), IO_STREAM_ERROR_STILL_OPEN);
  stream_util_assert_fails (io_stream_buffer_set_data_buffer (buffer, memory, err), IO_STREAM_ERROR_STILL_OPEN);
  stream_util_assert_fails (io_stream_buffer_set_control_buffer (buffer, NULL, err), IO_STREAM_ERROR_STILL_OPEN);

  return TRUE;
}

static gboolean
change_closed_cb (gpointer user_data)
{
  StreamPair *pair = user_data;
  IOStreamBuffer *buffer = io_stream_get_buffer_with_id (pair->stream, 0);
  g_autoptr (IOStreamBuffer) other = make_buffer (77, 7);
  g_autoptr (IOMemoryDescriptor) memory = make_memory (99);

  stream_util_assert_works (io_stream_add_buffer (pair->stream, other, err));
  stream_util_assert_works (io_stream_remove_buffer_with_id (pair->stream, 1, err));
  stream_util_assert_works (io_stream_buffer_set_data_buffer (buffer, memory, err));

  return TRUE;
}

static void
test_open (StreamPair    *pair,
           gconstpointer  data)
{
  stream_util_on_loop (pair, change_open_cb, pair);
  stream_util_start (pair->client);
  stream_util_on_loop (pair, change_open_cb, pair);
  stream_util_close (pair->client);

  stream_util_on_loop (pair, change_closed_cb, pair);
  stream_util_assert_works (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err));
  g_assert_cmpuint (io_stream_connection_get_buffer_count (pair->client), ==, 4);
  g_assert_cmpuint (io_stream_connection_get_data_buffer_length (pair->client, 0), ==, 99);
  g_assert_cmpuint (io_stream_connection_get_control_buffer_length (pair->client, 0), ==, 64);
  g_assert_cmpuint (io_stream_connection_get_data_buffer_length (pair->client, 1), ==, 10000);
  g_assert_cmpuint (io_stream_connection_get_data_buffer_length (pair->client, 3), ==, 77);
  g_assert_cmpuint (io_stream_connection_get_control_buffer_length (pair->client, 3), ==, 7);
}

/* The client's objects for the same buffers. */
static void
test_client_side (StreamPair    *pair,
                  gconstpointer  data)
{
  IOStreamBuffer *buffer = io_stream_connection_get_buffer_with_id (pair->client, 2);
  g_autoptr (IOStreamBuffer) kept = g_object_ref (buffer);
  g_autoptr (IOMemoryMap) map = NULL;
  IOStreamBufferQueueEntry entry;
  guint count = 0;
  gsize length;

  g_assert_true (io_stream_connection_get_buffer_with_id (pair->client, 2) == buffer);
  g_assert_null (io_stream_connection_get_buffer_with_id (pair->client, 4));
  g_assert_cmpuint (io_stream_buffer_get_buffer_id (buffer), ==, 2);
  g_assert_true (io_stream_buffer_peek_data (buffer, &length) ==
                 io_stream_connection_peek_data_buffer (pair->client, 2, NULL));
  g_assert_cmpuint (length, ==, 10000);
  g_assert_true (io_stream_buffer_peek_control (buffer, &length) ==
                 io_stream_connection_peek_control_buffer (pair->client, 2, NULL));
  g_assert_cmpuint (length, ==, 64);
  g_assert_false (io_memory_descriptor_is_writable (io_stream_buffer_get_data_buffer (buffer)));
  stream_util_assert_fails (io_stream_buffer_set_data_buffer (buffer, NULL, err), IO_STREAM_ERROR_STILL_OPEN);
  stream_util_assert_fails (io_stream_buffer_set_control_buffer (buffer, NULL, err), IO_STREAM_ERROR_STILL_OPEN);

  stream_util_start (pair->client);
  stream_util_send (pair->stream, 42);
  stream_util_take (pair->client, 42, &entry);
  buffer = io_stream_connection_get_buffer_with_id (pair->client, entry.buffer_id);
  g_assert_cmpint (io_stream_buffer_get_client_reference_count (buffer), ==, 1);
  map = g_object_ref (io_stream_buffer_get_data_map (buffer));
  stream_util_return (pair->client, &entry);
  g_assert_cmpint (io_stream_buffer_get_client_reference_count (buffer), ==, 0);

  g_signal_connect (kept, "notify::buffer-id", G_CALLBACK (count_notify_cb), &count);
  stream_util_close (pair->client);
  g_assert_cmpuint (count, ==, 1);
  g_assert_cmpuint (io_stream_buffer_get_buffer_id (kept), ==, IO_STREAM_BUFFER_ID_INVALID);
  g_assert_cmpint (io_stream_buffer_get_client_reference_count (kept), ==, 0);
  g_assert_cmpuint (*(guint8 *) io_memory_map_peek_address (map), ==, 42);
}

int
main (int   argc,
      char *argv[])
{
  char *dir;
  int status;

  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();

  g_test_add_func ("/stream-buffer/alone", test_alone);
  g_test_add_func ("/stream-buffer/no-parts", test_no_parts);
  g_test_add_func ("/stream-buffer/parts-of-stream", test_parts_of_stream);
  g_test_add_func ("/stream-buffer/map-survives", test_map_survives);
  g_test_add_func ("/stream-buffer/set-parts", test_set_parts);
  g_test_add_func ("/stream-buffer/set-parts-alone", test_set_parts_alone);
  g_test_add_func ("/stream-buffer/add-and-remove", test_add_and_remove);
  g_test_add_func ("/stream-buffer/add-foreign", test_add_foreign);
  g_test_add_func ("/stream-buffer/add-twice", test_add_twice);
  g_test_add_func ("/stream-buffer/add-too-many", test_add_too_many);
  g_test_add_func ("/stream-buffer/add-too-large", test_add_too_large);
  g_test_add_func ("/stream-buffer/too-much-memory", test_too_much_memory);
  g_test_add ("/stream-buffer/open", StreamPair, NULL, set_up, test_open, tear_down);
  g_test_add ("/stream-buffer/client-side", StreamPair, NULL, set_up, test_client_side, tear_down);

  status = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return status;
}
