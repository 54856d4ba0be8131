/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Queues that are made by hand, and memory that is replaced between opens. */

#include "grow-util.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static void
tear_down (StreamPair    *pair,
           gconstpointer  data)
{
  stream_util_tear_down (pair);
}

static void
set_up (StreamPair    *pair,
        gconstpointer  data)
{
  grow_util_set_up (pair, IO_STREAM_MODE_OUTPUT, 3, 0);
  stream_util_close (pair->client);
}

static void
reopen (StreamPair *pair)
{
  stream_util_assert_works (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err));
  stream_util_start (pair->client);
}

/* Queues. */

static void
test_queues_alone (void)
{
  IOStream *stream = io_stream_new (NULL, 3, 100, 0, NULL);
  g_autoptr (IOMemoryDescriptor) memory = NULL;
  guint n_fds = count_fds ();

  g_assert_null (io_stream_get_output_queue (stream));
  g_assert_null (io_stream_get_output_queue_memory_descriptor (stream));
  stream_util_assert_works (io_stream_destroy_queues (stream, err));
  stream_util_assert_works (io_stream_create_queues (stream, 0, err));
  g_assert_cmpuint (io_stream_buffer_queue_get_entry_count (io_stream_get_output_queue (stream)), ==, 4);
  g_assert_cmpuint (io_stream_buffer_queue_get_entry_count (io_stream_get_input_queue (stream)), ==, 4);
  memory = io_stream_get_output_queue_memory_descriptor (stream);
  g_assert_cmpuint (io_memory_descriptor_get_length (memory), ==, 4096 + 4 * 32);
  g_clear_object (&memory);
  memory = io_stream_get_input_queue_memory_descriptor (stream);
  g_assert_false (io_memory_descriptor_is_writable (memory));
  g_clear_object (&memory);

  /* again: the new ones count */
  stream_util_assert_works (io_stream_create_queues (stream, 100, err));
  g_assert_cmpuint (io_stream_buffer_queue_get_entry_count (io_stream_get_output_queue (stream)), ==, 128);
  stream_util_assert_works (io_stream_create_queues (stream, IO_STREAM_MAX_BUFFERS, err));
  g_assert_cmpuint (io_stream_buffer_queue_get_entry_count (io_stream_get_output_queue (stream)), ==, 65536);
  stream_util_assert_works (io_stream_destroy_queues (stream, err));
  g_assert_null (io_stream_get_input_queue (stream));
  g_assert_cmpuint (count_fds (), ==, n_fds);
  stream_util_assert_works (io_stream_create_queues (stream, 7, err));
  g_assert_finalize_object (stream);
}

static gboolean
create_64_cb (gpointer user_data)
{
  StreamPair *pair = user_data;

  stream_util_assert_works (io_stream_create_queues (pair->stream, 64, err));

  return TRUE;
}

static gboolean
refuse_cb (gpointer user_data)
{
  StreamPair *pair = user_data;
  IOStreamBufferQueue *queue = io_stream_get_output_queue (pair->stream);

  stream_util_assert_fails (io_stream_destroy_queues (pair->stream, err), IO_STREAM_ERROR_STILL_OPEN);
  g_assert_true (io_stream_get_output_queue (pair->stream) == queue);
  /* for the open after this one */
  stream_util_assert_works (io_stream_create_queues (pair->stream, 500, err));
  g_assert_true (io_stream_get_output_queue (pair->stream) == queue);

  return TRUE;
}

static guint
get_entries (StreamPair *pair)
{
  return io_stream_buffer_queue_get_entry_count (io_stream_connection_get_output_queue (pair->client));
}

/* For one open, then for the next, then no more. */
static void
test_queues_open (StreamPair    *pair,
                  gconstpointer  data)
{
  stream_util_on_loop (pair, create_64_cb, pair);
  reopen (pair);
  g_assert_cmpuint (get_entries (pair), ==, 64);
  grow_util_add (pair, 61, IO_STREAM_PEER_ACCESS_READ, 0);
  stream_util_on_loop (pair, refuse_cb, pair);
  for (guint i = 0; i < 64; i++)
    stream_util_send (pair->stream, (guint8) i);
  stream_util_close (pair->client);

  reopen (pair);
  g_assert_cmpuint (get_entries (pair), ==, 512);
  stream_util_close (pair->client);
  reopen (pair);
  g_assert_cmpuint (get_entries (pair), ==, 64);
}

static gboolean
create_exact_cb (gpointer user_data)
{
  StreamPair *pair = user_data;

  stream_util_assert_works (io_stream_create_queues (pair->stream, 0, err));

  return TRUE;
}

/* For all buffers, of which there are more by now. */
static void
test_queues_outgrown (StreamPair    *pair,
                      gconstpointer  data)
{
  stream_util_on_loop (pair, create_exact_cb, pair);
  grow_util_add (pair, 10, IO_STREAM_PEER_ACCESS_READ, 0);
  reopen (pair);
  g_assert_cmpuint (get_entries (pair), ==, 16);
  for (guint i = 0; i < 13; i++)
    stream_util_send (pair->stream, 1);
}

/* It cannot fail for lack of memory: no file may be made any more. */
static void
test_queues_no_memory (void)
{
  StreamPair pair = { NULL, };
  struct rlimit limit, none;

  stream_util_set_up (&pair, IO_STREAM_MODE_OUTPUT);
  stream_util_close (pair.client);
  stream_util_on_loop (&pair, create_64_cb, &pair);
  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  none = limit;
  none.rlim_cur = 1;
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &none), ==, 0);
  stream_util_assert_fails (io_stream_create_queues (pair.stream, 9, err), IO_STREAM_ERROR_NO_RESOURCES);
  stream_util_assert_works (io_connection_open (IO_CONNECTION (pair.client), 0, NULL, err));
  g_assert_cmpuint (get_entries (&pair), ==, 64);
  stream_util_close (pair.client);
  stream_util_assert_fails (io_connection_open (IO_CONNECTION (pair.client), 0, NULL, err),
                            IO_STREAM_ERROR_NO_RESOURCES);
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  stream_util_assert_works (io_connection_open (IO_CONNECTION (pair.client), 0, NULL, err));
  stream_util_tear_down (&pair);
}

/* Memory. */

static void
count_cb (gpointer  object,
          int      *count)
{
  g_atomic_int_inc (count);
}

/* A stream whose clients write memory that the application gave. */
static void
foreign_set_up (StreamPair *pair,
                GPtrArray  *buffers)
{
  g_main_context_iteration (NULL, FALSE);
  pair->n_fds = count_fds () - (guint) buffers->len;
  pair->loop = stream_util_new_loop ();
  pair->stream = stream_util_new_stream (pair->loop, IO_STREAM_MODE_INPUT_OUTPUT, 0, 0, 0);
  stream_util_assert_works (io_stream_add_buffers (pair->stream, buffers, err));
  g_signal_connect (pair->stream, "memory-changed", G_CALLBACK (count_cb), &pair->n_owner);
  pair->client = stream_util_open_stream (pair->stream);
}

static guint8 *
peek_owner (StreamPair *pair,
            guint       id)
{
  return io_stream_buffer_peek_data (io_stream_get_buffer_with_id (pair->stream, id), NULL);
}

static guint8 *
peek_client (IOStreamConnection *client,
             guint               id)
{
  return io_stream_connection_peek_data_buffer (client, id, NULL);
}

/* What an old client has kept is not what the next one has: neither sees what
 * the other writes. */
static void
test_foreign_writable (void)
{
  g_autoptr (GPtrArray) buffers = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (IOMemoryDescriptor) whole = NULL;
  g_autoptr (IOStreamConnection) old_client = NULL;
  g_autoptr (IOMemoryMap) kept = NULL;
  StreamPair pair = { NULL, };
  guint8 *old;

  /* two buffers in one piece of memory, at odd places */
  whole = IO_MEMORY_DESCRIPTOR (io_buffer_memory_descriptor_new (9000, IO_STREAM_PEER_ACCESS_READ_WRITE, NULL));
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (IOMemoryDescriptor) part = io_memory_descriptor_new_sub_range (whole, 100 + 4096 * i, 1000,
                                                                                 IO_DIRECTION_IN_OUT, NULL);

      g_ptr_array_add (buffers, io_stream_buffer_new (part, NULL));
    }
  g_main_context_iteration (NULL, FALSE);
  foreign_set_up (&pair, buffers);
  pair.n_fds = count_fds ();   /* of no interest here */

  old_client = g_steal_pointer (&pair.client);
  kept = g_object_ref (io_stream_buffer_get_data_map (io_stream_connection_get_buffer_with_id (old_client, 1)));
  g_assert_true (io_memory_map_is_writable (kept));
  old = io_memory_map_peek_address (kept);
  memset (old, 'a', 1000);
  g_assert_cmpuint (*peek_owner (&pair, 1), ==, 'a');
  stream_util_close (old_client);
  g_assert_cmpint (pair.n_owner, ==, 0);
  g_assert_cmpuint (*peek_owner (&pair, 1), ==, 'a');

  pair.client = stream_util_open_stream (pair.stream);
  g_assert_cmpint (pair.n_owner, ==, 1);
  g_assert_cmpuint (io_stream_connection_get_data_buffer_length (pair.client, 1), ==, 1000);
  g_assert_cmpuint (*peek_client (pair.client, 1), ==, 0);
  g_assert_cmpuint (*peek_owner (&pair, 1), ==, 0);
  memset (peek_client (pair.client, 1), 'b', 1000);
  memset (peek_client (pair.client, 0), 'c', 1000);
  g_assert_cmpuint (*peek_owner (&pair, 1), ==, 'b');
  g_assert_cmpuint (*peek_owner (&pair, 0), ==, 'c');
  g_assert_cmpuint (*old, ==, 'a');
  memset (old, 'x', 1000);
  g_assert_cmpuint (*peek_client (pair.client, 1), ==, 'b');
  g_assert_cmpuint (*peek_owner (&pair, 1), ==, 'b');

  stream_util_settle ();
  io_connection_hang_up (IO_CONNECTION (old_client));
  stream_util_settle ();
  g_assert_finalize_object (g_steal_pointer (&old_client));
  g_clear_object (&kept);
  pair.n_fds = 0;
  io_connection_hang_up (IO_CONNECTION (pair.client));
  stream_util_settle ();
  g_assert_finalize_object (pair.client);
  io_service_terminate (IO_SERVICE (pair.stream));
  stream_util_shut_down (pair.loop);
  g_ptr_array_set_size (buffers, 0);
  g_assert_finalize_object (pair.stream);
  stream_util_finish_loop (pair.loop);
}

/* Memory that the library made for the application is as safe against holes as
 * that of the stream: also what is mapped to write makes none. */
static void
test_foreign_holes (void)
{
  g_autoptr (GPtrArray) buffers = grow_util_new_buffers (2, IO_STREAM_PEER_ACCESS_READ_WRITE);
  StreamPair pair = { NULL, };

  foreign_set_up (&pair, buffers);
  for (guint round = 0; round < 2; round++)
    {
      for (guint id = 0; id < 2; id++)
        {
          guint8 *client = peek_client (pair.client, id);
          int fd;

          *client = 'a';
          errno = 0;
          g_assert_cmpint (madvise (client, 4096, MADV_REMOVE), ==, -1);
          g_assert_cmpint (errno, ==, EPERM);
          g_assert_cmpuint (*peek_owner (&pair, id), ==, 'a');

          fd = io_memory_descriptor_get_fd (io_stream_buffer_get_data_buffer
                                              (io_stream_connection_get_buffer_with_id (pair.client, id)), NULL);
          g_assert_cmpint (fallocate (fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), ==, -1);
          g_assert_cmpint (errno, ==, EPERM);
        }
      stream_util_close (pair.client);
      stream_util_assert_works (io_connection_open (IO_CONNECTION (pair.client), 0, NULL, err));
    }

  g_ptr_array_set_size (buffers, 0);
  stream_util_settle ();
  io_connection_hang_up (IO_CONNECTION (pair.client));
  stream_util_settle ();
  g_assert_finalize_object (pair.client);
  io_service_terminate (IO_SERVICE (pair.stream));
  stream_util_shut_down (pair.loop);
  g_assert_finalize_object (pair.stream);
  stream_util_finish_loop (pair.loop);
}

/* What clients can only read stays. */
static void
test_foreign_read_only (void)
{
  g_autoptr (GPtrArray) buffers = grow_util_new_buffers (2, IO_STREAM_PEER_ACCESS_READ);
  StreamPair pair = { NULL, };
  guint8 *address;

  pair.loop = stream_util_new_loop ();
  pair.stream = stream_util_new_stream (pair.loop, IO_STREAM_MODE_OUTPUT, 0, 0, 0);
  stream_util_assert_works (io_stream_add_buffers (pair.stream, buffers, err));
  g_signal_connect (pair.stream, "memory-changed", G_CALLBACK (count_cb), &pair.n_owner);
  address = peek_owner (&pair, 0);
  pair.client = stream_util_open_stream (pair.stream);
  stream_util_close (pair.client);
  stream_util_assert_works (io_connection_open (IO_CONNECTION (pair.client), 0, NULL, err));
  g_assert_true (peek_owner (&pair, 0) == address);
  g_assert_cmpint (pair.n_owner, ==, 0);
  g_ptr_array_set_size (buffers, 0);
  stream_util_settle ();
  io_connection_hang_up (IO_CONNECTION (pair.client));
  stream_util_settle ();
  g_assert_finalize_object (pair.client);
  io_service_terminate (IO_SERVICE (pair.stream));
  stream_util_shut_down (pair.loop);
  g_assert_finalize_object (pair.stream);
  stream_util_finish_loop (pair.loop);
}

static IOMemoryDescriptor *
make_outside (void)
{
  int fd = memfd_create ("outside", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  IOMemoryDescriptor *memory;

  g_assert_cmpint (ftruncate (fd, 4096), ==, 0);
  g_assert_cmpint (fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), ==, 0);
  memory = io_memory_descriptor_new_for_fd (fd, 0, 4096, IO_DIRECTION_IN_OUT, NULL);
  g_assert_nonnull (memory);
  close (fd);

  return memory;
}

typedef struct {
  IOStream           *stream;
  IOMemoryDescriptor *memory;
} Replacement;

static gboolean
replace_cb (gpointer user_data)
{
  Replacement *replacement = user_data;
  IOStreamBuffer *buffer = io_stream_get_buffer_with_id (replacement->stream, 0);

  stream_util_assert_works (io_stream_buffer_set_data_buffer (buffer, replacement->memory, err));

  return TRUE;
}

static gboolean
refuse_replacement_cb (gpointer user_data)
{
  Replacement *replacement = user_data;
  IOStreamBuffer *buffer = io_stream_get_buffer_with_id (replacement->stream, 0);

  stream_util_assert_fails (io_stream_buffer_set_data_buffer (buffer, replacement->memory, err),
                            IO_STREAM_ERROR_STILL_OPEN);

  return TRUE;
}

/* Memory from outside is not the library's to replace: the owner must. */
static void
test_outside (void)
{
  g_autoptr (GPtrArray) buffers = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (IOMemoryDescriptor) first = make_outside ();
  g_autoptr (IOMemoryDescriptor) second = make_outside ();
  g_autoptr (IOMemoryMap) kept = NULL;
  StreamPair pair = { NULL, };
  Replacement replacement;

  g_ptr_array_add (buffers, io_stream_buffer_new (first, NULL));
  foreign_set_up (&pair, buffers);
  replacement = (Replacement) { pair.stream, second };
  kept = g_object_ref (io_stream_buffer_get_data_map (io_stream_connection_get_buffer_with_id (pair.client, 0)));
  stream_util_on_loop (&pair, refuse_replacement_cb, &replacement);
  stream_util_close (pair.client);
  for (guint i = 0; i < 2; i++)
    stream_util_assert_fails (io_connection_open (IO_CONNECTION (pair.client), 0, NULL, err),
                              IO_STREAM_ERROR_NOT_READY);
  g_assert_cmpint (pair.n_owner, ==, 0);

  stream_util_on_loop (&pair, replace_cb, &replacement);
  g_assert_cmpint (pair.n_owner, ==, 1);
  stream_util_assert_works (io_connection_open (IO_CONNECTION (pair.client), 0, NULL, err));
  memset (io_memory_map_peek_address (kept), 'x', 4096);
  g_assert_cmpuint (*peek_client (pair.client, 0), ==, 0);
  *peek_client (pair.client, 0) = 'n';
  g_assert_cmpuint (*peek_owner (&pair, 0), ==, 'n');

  stream_util_settle ();
  io_connection_hang_up (IO_CONNECTION (pair.client));
  stream_util_settle ();
  g_assert_finalize_object (pair.client);
  io_service_terminate (IO_SERVICE (pair.stream));
  stream_util_shut_down (pair.loop);
  g_ptr_array_set_size (buffers, 0);
  g_assert_finalize_object (pair.stream);
  stream_util_finish_loop (pair.loop);
}

/* The next client gets what the owner put there, and the first one keeps what
 * it had. */
static void
test_set_between_opens (StreamPair    *pair,
                        gconstpointer  data)
{
  g_autoptr (IOMemoryDescriptor) memory = NULL;
  g_autoptr (IOMemoryMap) kept = NULL;
  Replacement replacement;

  memory = IO_MEMORY_DESCRIPTOR (io_buffer_memory_descriptor_new (77, IO_STREAM_PEER_ACCESS_READ, NULL));
  replacement = (Replacement) { pair->stream, memory };
  g_signal_connect (pair->stream, "memory-changed", G_CALLBACK (count_cb), &pair->n_owner);
  *peek_owner (pair, 0) = 1;
  reopen (pair);
  kept = g_object_ref (io_stream_buffer_get_data_map (io_stream_connection_get_buffer_with_id (pair->client, 0)));
  stream_util_close (pair->client);
  stream_util_on_loop (pair, replace_cb, &replacement);
  g_assert_cmpint (pair->n_owner, ==, 1);
  *peek_owner (pair, 0) = 2;
  reopen (pair);
  g_assert_cmpuint (io_stream_connection_get_data_buffer_length (pair->client, 0), ==, 77);
  g_assert_cmpuint (*peek_client (pair->client, 0), ==, 2);
  g_assert_cmpuint (*(guint8 *) io_memory_map_peek_address (kept), ==, 1);
}

/* What cannot be used changes nothing. */
static void
test_set_too_large (void)
{
  g_autoptr (IOStreamBuffer) buffer = grow_util_new_buffer (100, 0, IO_STREAM_PEER_ACCESS_READ);
  g_autoptr (IOMemoryDescriptor) memory = NULL;
  int fd = memfd_create ("large", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  IOStream *stream;
  gsize length;

  g_assert_cmpint (ftruncate (fd, 5ll << 30), ==, 0);
  g_assert_cmpint (fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), ==, 0);
  memory = io_memory_descriptor_new_for_fd (fd, 0, 5ull << 30, IO_DIRECTION_IN_OUT, NULL);
  g_assert_nonnull (memory);
  close (fd);
  stream = io_stream_new (NULL, 0, 0, 0, NULL);
  stream_util_assert_works (io_stream_add_buffer (stream, buffer, err));
  stream_util_assert_fails (io_stream_buffer_set_data_buffer (buffer, memory, err), IO_STREAM_ERROR_BAD_ARGUMENT);
  g_assert_nonnull (io_stream_buffer_peek_data (buffer, &length));
  g_assert_cmpuint (length, ==, 100);
  g_assert_finalize_object (stream);
}

int
main (int   argc,
      char *argv[])
{
  char *dir;
  int status;

  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();

  g_test_add_func ("/stream-memory/queues/alone", test_queues_alone);
  g_test_add ("/stream-memory/queues/open", StreamPair, NULL, set_up, test_queues_open, tear_down);
  g_test_add ("/stream-memory/queues/outgrown", StreamPair, NULL, set_up, test_queues_outgrown, tear_down);
  g_test_add_func ("/stream-memory/queues/no-memory", test_queues_no_memory);
  g_test_add_func ("/stream-memory/foreign/writable", test_foreign_writable);
  g_test_add_func ("/stream-memory/foreign/holes", test_foreign_holes);
  g_test_add_func ("/stream-memory/foreign/read-only", test_foreign_read_only);
  g_test_add_func ("/stream-memory/foreign/outside", test_outside);
  g_test_add ("/stream-memory/set/between-opens", StreamPair, NULL, set_up, test_set_between_opens, tear_down);
  g_test_add_func ("/stream-memory/set/too-large", test_set_too_large);

  status = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return status;
}
