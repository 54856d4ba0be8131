/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "data-queue-util.h"
#include "libiostream/io-memory-descriptor.h"
#include "libiostream/io-memory-map.h"

#include <errno.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
  IOSharedDataQueue *producer;
  IOSharedDataQueue *consumer;
} Fixture;

static void
fixture_set_up (Fixture       *self,
                gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (io_shared_data_queue_new_pair (GPOINTER_TO_SIZE (data), &self->producer, &self->consumer, &error));
  g_assert_no_error (error);
}

static void
fixture_tear_down (Fixture       *self,
                   gconstpointer  data)
{
  if (self->producer != NULL)
    g_assert_finalize_object (self->producer);
  if (self->consumer != NULL)
    g_assert_finalize_object (self->consumer);
}

#define ADD(path, capacity, func) \
  g_test_add (path, Fixture, GSIZE_TO_POINTER (capacity), fixture_set_up, func, fixture_tear_down)

static void
test_making (void)
{
  g_autoptr (GError) error = NULL;
  IOSharedDataQueue *queue;

  g_assert_null (io_shared_data_queue_new_with_capacity (IO_SHARED_DATA_QUEUE_PRODUCER, 8, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
  g_clear_error (&error);
  g_assert_null (io_shared_data_queue_new_with_capacity (IO_SHARED_DATA_QUEUE_CONSUMER, G_MAXUINT64, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
  g_clear_error (&error);
  g_assert_null (io_shared_data_queue_new_with_entries (IO_SHARED_DATA_QUEUE_PRODUCER, 0, 8, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
  g_clear_error (&error);
  g_assert_null (io_shared_data_queue_new_with_entries (IO_SHARED_DATA_QUEUE_PRODUCER, G_MAXUINT, G_MAXUINT64, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
  g_clear_error (&error);
  g_assert_null (io_shared_data_queue_new_with_entries (IO_SHARED_DATA_QUEUE_PRODUCER, G_MAXUINT, 100, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
  g_clear_error (&error);

  queue = io_shared_data_queue_new_with_entries (IO_SHARED_DATA_QUEUE_PRODUCER, 5, 13, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (io_shared_data_queue_get_capacity (queue), ==, 5 * 24);
  g_assert_cmpuint (io_shared_data_queue_get_max_size (queue), ==, 5 * 24 - 8);
  g_assert_cmpint (io_shared_data_queue_get_role (queue), ==, IO_SHARED_DATA_QUEUE_PRODUCER);
  g_assert_true (io_shared_data_queue_is_connected (queue));
  for (guint i = 0; i < 5; i++)
    assert_enqueue (queue, 13, i);
  assert_refused (queue, 0, IO_STREAM_ERROR_OVERRUN);
  g_assert_finalize_object (queue);

  queue = io_shared_data_queue_new_with_entries (IO_SHARED_DATA_QUEUE_CONSUMER, 1, 0, &error);
  g_assert_no_error (error);
  g_assert_true (io_shared_data_queue_is_empty (queue));
  assert_nothing (queue, IO_STREAM_ERROR_UNDERRUN);
  g_assert_finalize_object (queue);
}

static void
test_records (Fixture       *self,
              gconstpointer  data)
{
  guint64 n_records, n_bytes, n_refused, sum = 0;

  for (guint64 i = 0; i < 5000; i++)
    {
      gsize size = record_size (i, 500);

      assert_enqueue (self->producer, size, i);
      assert_enqueue (self->producer, 1, i);
      g_assert_false (io_shared_data_queue_is_empty (self->consumer));
      g_assert_false (io_shared_data_queue_is_empty (self->producer));
      assert_dequeue (self->consumer, size, i);
      assert_dequeue (self->consumer, 1, i);
      g_assert_true (io_shared_data_queue_is_empty (self->consumer));
      g_assert_true (io_shared_data_queue_is_empty (self->producer));
      sum += size + 1;
    }

  io_shared_data_queue_get_statistics (self->producer, &n_records, &n_bytes, &n_refused);
  g_assert_cmpuint (n_records, ==, 10000);
  g_assert_cmpuint (n_bytes, ==, sum);
  g_assert_cmpuint (n_refused, ==, 0);
  io_shared_data_queue_get_statistics (self->consumer, &n_records, &n_bytes, NULL);
  g_assert_cmpuint (n_records, ==, 10000);
  g_assert_cmpuint (n_bytes, ==, sum);
}

static void
test_codes (Fixture       *self,
            gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  guint8 buffer[64];
  gsize size = sizeof buffer, max = io_shared_data_queue_get_max_size (self->producer);
  guint64 n_refused;

  assert_refused (self->consumer, 1, IO_STREAM_ERROR_NOT_WRITABLE);
  assert_nothing (self->producer, IO_STREAM_ERROR_NOT_READABLE);
  assert_refused (self->producer, max + 1, IO_STREAM_ERROR_MESSAGE_TOO_LARGE);
  g_assert_null (io_shared_data_queue_reserve (self->producer, G_MAXSIZE, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_MESSAGE_TOO_LARGE);
  g_clear_error (&error);
  g_assert_false (io_shared_data_queue_can_enqueue (self->producer, max + 1));
  g_assert_false (io_shared_data_queue_can_enqueue (self->consumer, 1));
  assert_nothing (self->consumer, IO_STREAM_ERROR_UNDERRUN);

  assert_enqueue (self->producer, max, 1);
  assert_refused (self->producer, 0, IO_STREAM_ERROR_OVERRUN);
  g_assert_false (io_shared_data_queue_can_enqueue (self->producer, 0));
  io_shared_data_queue_get_statistics (self->producer, NULL, NULL, &n_refused);
  g_assert_cmpuint (n_refused, ==, 1);

  /* Nothing is consumed. */
  for (guint i = 0; i < 3; i++)
    {
      size = sizeof buffer;
      g_assert_false (io_shared_data_queue_dequeue (self->consumer, buffer, &size, &error));
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_SPACE);
      g_assert_cmpuint (size, ==, max);
      g_clear_error (&error);
    }
  size = 0;
  g_assert_false (io_shared_data_queue_dequeue (self->consumer, NULL, &size, NULL));
  assert_dequeue (self->consumer, max, 1);
  g_assert_true (io_shared_data_queue_can_enqueue (self->producer, max));

  assert_enqueue (self->producer, 5, 2);
  size = 5;
  g_assert_true (io_shared_data_queue_dequeue (self->consumer, buffer, &size, &error));
  g_assert_true (record_is (buffer, 5, 2));
  assert_enqueue (self->producer, 0, 3);
  size = 0;
  g_assert_true (io_shared_data_queue_dequeue (self->consumer, NULL, &size, &error));
  g_assert_no_error (error);
}

static void
test_in_place (Fixture       *self,
               gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  const void *seen, *again;
  guint8 *room;
  gsize size;

  g_assert_false (io_shared_data_queue_peek (self->consumer, &seen, &size));
  g_assert_null (seen);
  g_assert_cmpuint (size, ==, 0);
  g_assert_false (io_shared_data_queue_consume (self->consumer));
  g_assert_false (io_shared_data_queue_commit (self->producer, 0, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
  g_clear_error (&error);

  room = io_shared_data_queue_reserve (self->producer, 100, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (GPOINTER_TO_SIZE (room) % 8, ==, 0);
  record_fill (room, 100, 7);
  g_assert_true (io_shared_data_queue_is_empty (self->consumer));
  g_assert_false (io_shared_data_queue_commit (self->producer, 101, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
  g_clear_error (&error);
  g_assert_true (io_shared_data_queue_commit (self->producer, 60, &error));
  g_assert_false (io_shared_data_queue_commit (self->producer, 60, NULL));

  /* A reservation that is not used costs nothing. */
  g_assert_nonnull (io_shared_data_queue_reserve (self->producer, 100, NULL));
  assert_enqueue (self->producer, 3, 8);
  g_assert_false (io_shared_data_queue_commit (self->producer, 3, NULL));

  g_assert_true (io_shared_data_queue_peek (self->consumer, &seen, &size));
  g_assert_cmpuint (size, ==, 60);
  g_assert_true (record_is (seen, 60, 7));
  g_assert_true (io_shared_data_queue_peek (self->consumer, &again, &size));
  g_assert_true (seen == again);
  g_assert_true (io_shared_data_queue_consume (self->consumer));
  g_assert_false (io_shared_data_queue_consume (self->consumer));
  assert_dequeue (self->consumer, 3, 8);
}

static void
test_descriptor (Fixture       *self,
                 gconstpointer  data)
{
  g_autoptr (IOMemoryDescriptor) written = io_shared_data_queue_get_memory_descriptor (self->producer);
  g_autoptr (IOMemoryDescriptor) read = io_shared_data_queue_get_memory_descriptor (self->consumer);
  g_autoptr (IOMemoryMap) map = NULL;
  g_autoptr (GError) error = NULL;
  guint8 byte = 1;

  g_assert_cmpuint (io_memory_descriptor_get_length (written), ==, io_memory_descriptor_get_length (read));
  map = io_memory_descriptor_map (read, IO_MEMORY_MAP_READ_ONLY, &error);
  g_assert_no_error (error);
  g_assert_nonnull (map);
  g_assert_cmpuint (io_memory_descriptor_write_bytes (read, 0, &byte, 1), ==, 0);
}

/* Signals. */

static void
count_cb (IOSharedDataQueue *queue,
          guint             *count)
{
  ++*count;
}

static void
take_one_cb (IOSharedDataQueue *queue,
             guint             *count)
{
  g_autoptr (GBytes) bytes = io_shared_data_queue_dequeue_bytes (queue, NULL);

  g_assert_nonnull (bytes);
  ++*count;
}

static void
settle (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

static void
run_until (guint *count,
           guint  value)
{
  while (*count < value)
    g_main_context_iteration (NULL, TRUE);
  settle ();
  g_assert_cmpuint (*count, ==, value);
}

static void
test_data_available (Fixture       *self,
                     gconstpointer  data)
{
  guint n_signals = 0, n_taken = 0;
  gulong id = g_signal_connect (self->consumer, "data-available", G_CALLBACK (count_cb), &n_signals);

  /* At once, if there is data. */
  assert_enqueue (self->producer, 10, 1);
  io_shared_data_queue_attach (self->consumer);
  io_shared_data_queue_attach (self->consumer);
  run_until (&n_signals, 1);

  /* Once more for what is new, and not for what is old. */
  assert_enqueue (self->producer, 10, 2);
  assert_enqueue (self->producer, 10, 3);
  run_until (&n_signals, 2);
  g_signal_handler_disconnect (self->consumer, id);

  /* Who takes some gets the others. */
  g_signal_connect (self->consumer, "data-available", G_CALLBACK (take_one_cb), &n_taken);
  assert_enqueue (self->producer, 10, 4);
  run_until (&n_taken, 4);

  io_shared_data_queue_detach (self->consumer);
  io_shared_data_queue_detach (self->consumer);
  assert_enqueue (self->producer, 10, 5);
  settle ();
  g_assert_cmpuint (n_taken, ==, 4);
  io_shared_data_queue_attach (self->consumer);
  run_until (&n_taken, 5);
}

static void
test_space_available (Fixture       *self,
                      gconstpointer  data)
{
  guint n_signals = 0;

  g_signal_connect (self->producer, "space-available", G_CALLBACK (count_cb), &n_signals);
  io_shared_data_queue_attach (self->producer);
  for (guint i = 0; i < 8; i++)
    assert_enqueue (self->producer, 24, i);

  /* Nobody was refused. */
  assert_dequeue (self->consumer, 24, 0);
  settle ();
  g_assert_cmpuint (n_signals, ==, 0);

  /* Room for two, and four are wanted. */
  assert_refused (self->producer, 120, IO_STREAM_ERROR_OVERRUN);
  settle ();
  assert_dequeue (self->consumer, 24, 1);
  assert_dequeue (self->consumer, 24, 2);
  settle ();
  g_assert_cmpuint (n_signals, ==, 0);
  assert_dequeue (self->consumer, 24, 3);
  run_until (&n_signals, 1);

  /* Once. */
  assert_dequeue (self->consumer, 24, 4);
  settle ();
  g_assert_cmpuint (n_signals, ==, 1);

  /* A smaller one in between moves the mark. */
  assert_enqueue (self->producer, 120, 9);
  assert_refused (self->producer, 56, IO_STREAM_ERROR_OVERRUN);
  assert_enqueue (self->producer, 24, 10);
  settle ();
  assert_dequeue (self->consumer, 24, 5);
  settle ();
  g_assert_cmpuint (n_signals, ==, 1);
  assert_dequeue (self->consumer, 24, 6);
  run_until (&n_signals, 2);
}

static void
test_ended (Fixture       *self,
            gconstpointer  data)
{
  guint n_data = 0, n_ended = 0;

  g_signal_connect (self->consumer, "data-available", G_CALLBACK (count_cb), &n_data);
  g_signal_connect (self->consumer, "ended", G_CALLBACK (count_cb), &n_ended);
  io_shared_data_queue_attach (self->consumer);
  assert_enqueue (self->producer, 10, 1);
  io_shared_data_queue_hang_up (self->producer);
  assert_refused (self->producer, 1, IO_STREAM_ERROR_NOT_OPEN);
  g_assert_false (io_shared_data_queue_is_connected (self->producer));

  run_until (&n_ended, 1);
  g_assert_cmpuint (n_data, ==, 1);
  g_assert_false (io_shared_data_queue_is_connected (self->consumer));
  g_assert_null (io_shared_data_queue_get_error (self->consumer));
  assert_dequeue (self->consumer, 10, 1);
  assert_nothing (self->consumer, IO_STREAM_ERROR_OFFLINE);
}

static void
test_consumer_ends (Fixture       *self,
                    gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  guint n_ended = 0;

  g_signal_connect (self->producer, "ended", G_CALLBACK (count_cb), &n_ended);
  io_shared_data_queue_attach (self->producer);
  g_assert_finalize_object (g_steal_pointer (&self->consumer));
  run_until (&n_ended, 1);
  assert_refused (self->producer, 10, IO_STREAM_ERROR_OFFLINE);
  g_assert_null (io_shared_data_queue_get_error (self->producer));
  g_assert_false (io_shared_data_queue_can_enqueue (self->producer, 1));
  io_shared_data_queue_detach (self->producer);
  g_assert_false (io_shared_data_queue_wait_space (self->producer, 10, -1, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
}

/* Waits. */

static void
test_wait_codes (Fixture       *self,
                 gconstpointer  data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  gsize max = io_shared_data_queue_get_max_size (self->producer);

  g_assert_false (io_shared_data_queue_wait_data (self->consumer, 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT);
  g_clear_error (&error);
  g_assert_false (io_shared_data_queue_wait_data (self->consumer, 1000, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT);
  g_clear_error (&error);
  g_assert_false (io_shared_data_queue_wait_data (self->producer, 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READABLE);
  g_clear_error (&error);
  g_assert_false (io_shared_data_queue_wait_space (self->consumer, 0, 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_WRITABLE);
  g_clear_error (&error);
  g_assert_false (io_shared_data_queue_wait_space (self->producer, max + 1, 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_MESSAGE_TOO_LARGE);
  g_clear_error (&error);
  g_assert_true (io_shared_data_queue_wait_space (self->producer, max, 0, NULL, &error));
  assert_enqueue (self->producer, max, 1);
  g_assert_true (io_shared_data_queue_wait_data (self->consumer, -1, NULL, &error));
  g_assert_false (io_shared_data_queue_wait_space (self->producer, 0, 1000, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT);
  g_clear_error (&error);
  g_cancellable_cancel (cancellable);
  g_assert_false (io_shared_data_queue_wait_space (self->producer, 0, -1, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);

  io_shared_data_queue_attach (self->consumer);
  g_assert_false (io_shared_data_queue_wait_data (self->consumer, 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY);
  g_clear_error (&error);
  g_assert_false (io_shared_data_queue_prepare_wait (self->consumer));
  io_shared_data_queue_detach (self->consumer);

  io_shared_data_queue_hang_up (self->consumer);
  g_assert_false (io_shared_data_queue_wait_data (self->consumer, -1, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN);
  g_clear_error (&error);
  g_assert_false (io_shared_data_queue_wait_space (self->producer, 0, -1, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
}

/* A smaller wait after a larger refusal looks at its own size. */
static void
test_wait_smaller (Fixture       *self,
                   gconstpointer  data)
{
  for (guint i = 0; i < 8; i++)
    assert_enqueue (self->producer, 24, i);
  assert_refused (self->producer, 200, IO_STREAM_ERROR_OVERRUN);
  assert_dequeue (self->consumer, 24, 0);
  g_assert_true (io_shared_data_queue_wait_space (self->producer, 24, -1, NULL, NULL));
}

#define N_STRESS 60000

static gpointer
produce_thread (gpointer data)
{
  IOSharedDataQueue *queue = data;
  gsize max = MIN (io_shared_data_queue_get_max_size (queue), 700);
  g_autofree guint8 *buffer = g_malloc (max + 1);
  g_autoptr (GError) error = NULL;

  for (guint64 i = 0; i < N_STRESS; i++)
    {
      gsize size = record_size (i, max);

      record_fill (buffer, size, i);
      while (!io_shared_data_queue_enqueue (queue, buffer, size, &error))
        {
          g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OVERRUN);
          g_clear_error (&error);
          io_shared_data_queue_wait_space (queue, size, LONG_TIME, NULL, &error);
          g_assert_no_error (error);
        }
    }
  io_shared_data_queue_hang_up (queue);

  return NULL;
}

static void
test_threads (Fixture       *self,
              gconstpointer  data)
{
  GThread *thread = g_thread_new ("producer", produce_thread, self->producer);
  gsize max = MIN (io_shared_data_queue_get_max_size (self->consumer), 700), size;
  g_autoptr (GError) error = NULL;
  const void *record;
  guint64 i = 0;

  while (io_shared_data_queue_wait_data (self->consumer, LONG_TIME, NULL, &error))
    while (io_shared_data_queue_peek (self->consumer, &record, &size))
      {
        g_assert_cmpuint (size, ==, record_size (i, max));
        g_assert_true (record_is (record, size, i));
        g_assert_true (io_shared_data_queue_consume (self->consumer));
        i++;
      }
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
  g_assert_cmpuint (i, ==, N_STRESS);
  g_thread_join (thread);
}

/* The same with the consumer in a main context. */
typedef struct {
  guint64 next;
  gsize   max;
  guint   n_ended;
} Loop;

static void
drain_cb (IOSharedDataQueue *queue,
          Loop              *loop)
{
  const void *record;
  gsize size;

  while (io_shared_data_queue_peek (queue, &record, &size))
    {
      g_assert_cmpuint (size, ==, record_size (loop->next, loop->max));
      g_assert_true (record_is (record, size, loop->next));
      io_shared_data_queue_consume (queue);
      loop->next++;
    }
}

static void
ended_cb (IOSharedDataQueue *queue,
          Loop              *loop)
{
  loop->n_ended++;
}

static void
test_thread_and_context (Fixture       *self,
                         gconstpointer  data)
{
  Loop loop = { 0, MIN (io_shared_data_queue_get_max_size (self->consumer), 700), 0 };
  GThread *thread;

  g_signal_connect (self->consumer, "data-available", G_CALLBACK (drain_cb), &loop);
  g_signal_connect (self->consumer, "ended", G_CALLBACK (ended_cb), &loop);
  io_shared_data_queue_attach (self->consumer);
  thread = g_thread_new ("producer", produce_thread, self->producer);
  while (loop.n_ended == 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (loop.next, ==, N_STRESS);
  g_thread_join (thread);
}

static gboolean
source_cb (gpointer user_data)
{
  ++*(guint *) user_data;

  return G_SOURCE_CONTINUE;
}

static void
test_source (Fixture       *self,
             gconstpointer  data)
{
  g_autoptr (GSource) source = io_shared_data_queue_create_source (self->consumer, NULL);
  g_autoptr (GSource) space = io_shared_data_queue_create_source (self->producer, NULL);
  guint count = 0, n_space = 0;

  g_source_set_callback (source, source_cb, &count, NULL);
  g_source_attach (source, NULL);
  g_source_set_callback (space, source_cb, &n_space, NULL);
  g_source_attach (space, NULL);
  settle ();
  g_assert_cmpuint (count, ==, 0);
  while (io_shared_data_queue_can_enqueue (self->producer, 24))
    assert_enqueue (self->producer, 24, 1);
  g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (count, ==, 1);
  g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (count, ==, 2);
  g_assert_cmpuint (n_space, ==, 0);
  assert_refused (self->producer, 24, IO_STREAM_ERROR_OVERRUN);
  assert_dequeue (self->consumer, 24, 1);
  while (n_space == 0)
    g_main_context_iteration (NULL, TRUE);
  assert_enqueue (self->producer, 24, 1);
  while (!io_shared_data_queue_is_empty (self->consumer))
    assert_dequeue (self->consumer, 24, 1);
  settle ();
  io_shared_data_queue_hang_up (self->producer);
  while (!g_source_is_destroyed (source))
    g_main_context_iteration (NULL, TRUE);
  g_source_destroy (space);
}

static void
test_foreign_loop (Fixture       *self,
                   gconstpointer  data)
{
  struct pollfd pollfd = { io_shared_data_queue_get_fd (self->consumer), POLLIN, 0 };

  g_assert_true (io_shared_data_queue_prepare_wait (self->consumer));
  g_assert_cmpint (poll (&pollfd, 1, 0), ==, 0);
  assert_enqueue (self->producer, 5, 1);
  g_assert_cmpint (poll (&pollfd, 1, -1), ==, 1);
  io_shared_data_queue_finish_wait (self->consumer);
  g_assert_cmpint (poll (&pollfd, 1, 0), ==, 0);
  g_assert_false (io_shared_data_queue_prepare_wait (self->consumer));
  io_shared_data_queue_finish_wait (self->consumer);
  assert_dequeue (self->consumer, 5, 1);

  /* Awake, nobody rings. */
  assert_enqueue (self->producer, 5, 1);
  g_assert_cmpint (poll (&pollfd, 1, 0), ==, 0);
  assert_dequeue (self->consumer, 5, 1);
  g_assert_true (io_shared_data_queue_prepare_wait (self->consumer));
  g_assert_finalize_object (g_steal_pointer (&self->producer));
  g_assert_cmpint (poll (&pollfd, 1, -1), ==, 1);
  io_shared_data_queue_finish_wait (self->consumer);
  g_assert_false (io_shared_data_queue_is_connected (self->consumer));
  g_assert_false (io_shared_data_queue_prepare_wait (self->consumer));
}

/* A peer that breaks the rules. */

static void
test_broken_producer (Fixture       *self,
                      gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  const void *record;
  guint n_ended = 0;
  gsize size;

  g_signal_connect (self->consumer, "ended", G_CALLBACK (count_cb), &n_ended);
  io_shared_data_queue_attach (self->consumer);
  atomic_fetch_add (&self->producer->own.page->position, 1 << 20);
  g_assert_false (io_shared_data_queue_peek (self->consumer, &record, &size));
  g_assert_error (io_shared_data_queue_get_error (self->consumer), IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR);
  assert_nothing (self->consumer, IO_STREAM_ERROR_IPC_ERROR);
  g_assert_false (io_shared_data_queue_consume (self->consumer));
  run_until (&n_ended, 1);
  g_assert_false (io_shared_data_queue_is_connected (self->producer));
  assert_refused (self->producer, 1, IO_STREAM_ERROR_OFFLINE);
  g_assert_false (io_shared_data_queue_wait_data (self->consumer, -1, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR);
}

static void
test_broken_consumer (Fixture       *self,
                      gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  atomic_fetch_sub (&self->consumer->own.page->position, 8);
  assert_enqueue (self->producer, io_shared_data_queue_get_max_size (self->producer), 1);
  assert_refused (self->producer, 1, IO_STREAM_ERROR_IPC_ERROR);
  g_assert_error (io_shared_data_queue_get_error (self->producer), IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR);
  g_assert_false (io_shared_data_queue_wait_space (self->producer, 1, -1, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR);
  assert_dequeue (self->consumer, io_shared_data_queue_get_max_size (self->producer), 1);
}

/* What was peeked at is what is consumed. */
static void
test_changing_size (Fixture       *self,
                    gconstpointer  data)
{
  const void *record;
  gsize size;

  assert_enqueue (self->producer, 40, 1);
  assert_enqueue (self->producer, 24, 2);
  g_assert_true (io_shared_data_queue_peek (self->consumer, &record, &size));
  atomic_store ((_Atomic guint32 *) (void *) self->producer->own.bytes, G_MAXUINT32);
  g_assert_true (io_shared_data_queue_peek (self->consumer, &record, &size));
  g_assert_cmpuint (size, ==, 40);
  assert_dequeue (self->consumer, 40, 1);
  assert_dequeue (self->consumer, 24, 2);
}

/* A hostile mark costs only who wrote it. */
static void
test_false_marks (Fixture       *self,
                  gconstpointer  data)
{
  static const guint64 marks[] = { 0, G_MAXUINT64, G_MAXINT64, IO_DATA_REGION_START_POSITION };

  for (guint i = 0; i < G_N_ELEMENTS (marks); i++)
    {
      atomic_store (&self->producer->own.page->wanted, marks[i]);
      atomic_store (&self->producer->own.page->bell_epoch, i + 1);
      for (guint n = 0; n < 2000; n++)
        {
          assert_enqueue (self->producer, 8, n);
          assert_dequeue (self->consumer, 8, n);
        }
    }
  g_assert_true (io_shared_data_queue_is_connected (self->consumer));
}

static void
test_fork (Fixture       *self,
           gconstpointer  data)
{
  int status;
  pid_t child;

  assert_enqueue (self->producer, 8, 1);
  child = fork ();
  if (child == 0)
    {
      assert_refused (self->producer, 8, IO_STREAM_ERROR_NOT_OPEN);
      assert_nothing (self->consumer, IO_STREAM_ERROR_NOT_OPEN);
      g_assert_true (io_shared_data_queue_is_empty (self->consumer));
      g_assert_false (io_shared_data_queue_is_connected (self->consumer));
      g_assert_false (io_shared_data_queue_prepare_wait (self->consumer));
      g_assert_null (io_shared_data_queue_get_memory_descriptor (self->consumer));
      io_shared_data_queue_finish_wait (self->consumer);
      io_shared_data_queue_attach (self->consumer);
      io_shared_data_queue_hang_up (self->consumer);
      g_object_unref (self->producer);
      g_object_unref (self->consumer);
      _exit (0);
    }
  while (waitpid (child, &status, 0) < 0)
    g_assert_cmpint (errno, ==, EINTR);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);
  assert_dequeue (self->consumer, 8, 1);
  g_assert_true (io_shared_data_queue_is_connected (self->consumer));
  assert_enqueue (self->producer, 8, 2);
  assert_dequeue (self->consumer, 8, 2);
}

static gboolean
count_call_cb (gpointer data)
{
  ++*(guint *) data;

  return G_SOURCE_CONTINUE;
}

/* The loop goes on in the child, with sources of both ends in it. */
static void
test_fork_loop (Fixture       *self,
                gconstpointer  data)
{
  g_autoptr (GSource) source = io_shared_data_queue_create_source (self->consumer, NULL);
  guint n_calls = 0;
  int status;
  pid_t child;

  g_source_set_callback (source, count_call_cb, &n_calls, NULL);
  g_source_attach (source, NULL);
  io_shared_data_queue_attach (self->producer);
  assert_enqueue (self->producer, 8, 1);
  g_main_context_iteration (NULL, FALSE);
  child = fork ();
  if (child == 0)
    {
      g_autoptr (GSource) other = io_shared_data_queue_create_source (self->producer, NULL);

      g_source_set_callback (other, count_call_cb, &n_calls, NULL);
      g_source_attach (other, NULL);
      for (guint i = 0; i < 20; i++)
        g_main_context_iteration (NULL, FALSE);
      io_shared_data_queue_detach (self->producer);
      io_shared_data_queue_can_enqueue (self->producer, 1);
      io_shared_data_queue_consume (self->consumer);
      _exit (0);
    }
  while (waitpid (child, &status, 0) < 0)
    g_assert_cmpint (errno, ==, EINTR);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);
  assert_dequeue (self->consumer, 8, 1);
  g_source_destroy (source);
  io_shared_data_queue_detach (self->producer);
}

/* What a handler can do to the queue that calls it. */
typedef enum {
  DO_HANG_UP,
  DO_HANG_UP_OTHER,
  DO_DETACH,
  DO_ATTACH_AGAIN,
  DO_ITERATE,
  DO_DROP,
  N_DEEDS
} Deed;

typedef struct {
  Fixture           *fixture;
  IOSharedDataQueue *other;
  Deed               deed;
  guint              n_calls;
} Handler;

static void
handler_cb (IOSharedDataQueue *queue,
            gpointer           data)
{
  Handler *handler = data;
  gboolean is_producer = queue == handler->fixture->producer;

  if (++handler->n_calls > 3)
    return;
  switch (handler->deed)
    {
    case DO_HANG_UP:
      io_shared_data_queue_hang_up (queue);
      break;
    case DO_HANG_UP_OTHER:
      io_shared_data_queue_hang_up (handler->other);
      break;
    case DO_ATTACH_AGAIN:
      io_shared_data_queue_detach (queue);
      io_shared_data_queue_attach (queue);
      break;
    case DO_DETACH:
      io_shared_data_queue_detach (queue);
      break;
    case DO_ITERATE:
      for (guint i = 0; i < 5; i++)
        g_main_context_iteration (NULL, FALSE);
      break;
    default:
      g_object_unref (is_producer ? g_steal_pointer (&handler->fixture->producer)
                                  : g_steal_pointer (&handler->fixture->consumer));
    }
}

static gboolean
consume_one (IOSharedDataQueue *queue)
{
  const void *bytes;
  gsize size;

  return io_shared_data_queue_peek (queue, &bytes, &size) && io_shared_data_queue_consume (queue);
}

static void
test_deeds (Fixture       *self,
            gconstpointer  data)
{
  static const char *const signals[] = { "data-available", "space-available", "ended" };

  for (guint i = 0; i < G_N_ELEMENTS (signals); i++)
    for (guint deed = 0; deed < N_DEEDS; deed++)
      {
        Handler handler = { self, NULL, (Deed) deed, 0 };
        IOSharedDataQueue *queue;
        guint8 record[100] = { 0 };

        fixture_tear_down (self, NULL);
        fixture_set_up (self, data);
        queue = i == 1 ? self->producer : self->consumer;
        handler.other = i == 1 ? self->consumer : self->producer;
        g_signal_connect (queue, signals[i], G_CALLBACK (handler_cb), &handler);
        io_shared_data_queue_attach (queue);
        while (io_shared_data_queue_enqueue (self->producer, record, sizeof record, NULL))
          ;
        if (i == 1)
          while (self->consumer != NULL && consume_one (self->consumer))
            ;
        if (i == 2)
          io_shared_data_queue_hang_up (self->producer);
        while (handler.n_calls == 0)
          g_main_context_iteration (NULL, TRUE);
        for (guint n = 0; n < 10; n++)
          g_main_context_iteration (NULL, FALSE);
      }
}

/* What g_object_new() makes is of no use, and does no harm. */
static void
test_bare (void)
{
  IOSharedDataQueue *queue = g_object_new (IO_TYPE_SHARED_DATA_QUEUE, NULL);

  assert_refused (queue, 1, IO_STREAM_ERROR_NOT_OPEN);
  assert_nothing (queue, IO_STREAM_ERROR_NOT_OPEN);
  g_assert_true (io_shared_data_queue_is_empty (queue));
  g_assert_false (io_shared_data_queue_is_connected (queue));
  g_assert_cmpint (io_shared_data_queue_get_fd (queue), ==, -1);
  g_assert_cmpuint (io_shared_data_queue_get_capacity (queue), ==, 0);
  g_assert_cmpuint (io_shared_data_queue_get_max_size (queue), ==, 0);
  g_assert_null (io_shared_data_queue_get_memory_descriptor (queue));
  io_shared_data_queue_attach (queue);
  io_shared_data_queue_detach (queue);
  io_shared_data_queue_finish_wait (queue);
  io_shared_data_queue_hang_up (queue);
  g_assert_finalize_object (queue);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/data-queue/making", test_making);
  ADD ("/data-queue/fork-loop", 256, test_fork_loop);
  ADD ("/data-queue/deeds", 256, test_deeds);
  g_test_add_func ("/data-queue/bare", test_bare);
  ADD ("/data-queue/records", 1024, test_records);
  ADD ("/data-queue/codes", 4096, test_codes);
  ADD ("/data-queue/in-place", 4096, test_in_place);
  ADD ("/data-queue/descriptor", 4096, test_descriptor);
  ADD ("/data-queue/data-available", 4096, test_data_available);
  ADD ("/data-queue/space-available", 256, test_space_available);
  ADD ("/data-queue/ended", 256, test_ended);
  ADD ("/data-queue/consumer-ends", 256, test_consumer_ends);
  ADD ("/data-queue/wait-codes", 256, test_wait_codes);
  ADD ("/data-queue/wait-smaller", 256, test_wait_smaller);
  ADD ("/data-queue/threads/small", 800, test_threads);
  ADD ("/data-queue/threads/large", 65536, test_threads);
  ADD ("/data-queue/thread-and-context", 2000, test_thread_and_context);
  ADD ("/data-queue/source", 256, test_source);
  ADD ("/data-queue/foreign-loop", 256, test_foreign_loop);
  ADD ("/data-queue/broken-producer", 256, test_broken_producer);
  ADD ("/data-queue/broken-consumer", 256, test_broken_consumer);
  ADD ("/data-queue/changing-size", 256, test_changing_size);
  ADD ("/data-queue/false-marks", 256, test_false_marks);
  ADD ("/data-queue/fork", 256, test_fork);

  return g_test_run ();
}
