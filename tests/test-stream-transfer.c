/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "stream-util.h"

#include "libiostream/io-stream-connection-private.h"
#include "libiostream/io-stream-private.h"

#include <sys/mman.h>
#include <time.h>

static void
set_up_output (StreamPair    *pair,
               gconstpointer  data)
{
  stream_util_set_up (pair, IO_STREAM_MODE_OUTPUT);
}

static void
set_up_input (StreamPair    *pair,
              gconstpointer  data)
{
  stream_util_set_up (pair, IO_STREAM_MODE_INPUT);
}

static void
set_up_input_output (StreamPair    *pair,
                     gconstpointer  data)
{
  stream_util_set_up (pair, IO_STREAM_MODE_INPUT_OUTPUT);
}

static void
set_up_large (StreamPair    *pair,
              gconstpointer  data)
{
  pair->n_fds = count_fds ();
  pair->loop = stream_util_new_loop ();
  pair->stream = stream_util_new_stream (pair->loop, IO_STREAM_MODE_OUTPUT, 4, 1 << 20, 0);
  pair->client = stream_util_open_stream (pair->stream);
}

static void
tear_down (StreamPair    *pair,
           gconstpointer  data)
{
  stream_util_tear_down (pair);
}

/* Many times around the queues, in every depth. */
static void
test_output (StreamPair    *pair,
             gconstpointer  data)
{
  IOStreamBufferQueueEntry entries[4];
  guint32 sequence = 0;

  stream_util_start (pair->client);
  g_assert_cmpint (io_stream_get_state (pair->stream), ==, IO_STREAM_STATE_RUNNING);
  g_assert_cmpint (io_stream_connection_get_state (pair->client), ==, IO_STREAM_STATE_RUNNING);

  for (guint round = 0; round < 3000; round++)
    {
      guint depth = 1 + round % 4;

      for (guint i = 0; i < depth; i++)
        stream_util_send (pair->stream, (guint8) (round + i));
      for (guint i = 0; i < depth; i++)
        {
          stream_util_take (pair->client, (guint8) (round + i), &entries[i]);
          g_assert_cmpuint (entries[i].sequence, ==, sequence++);
          g_assert_cmpuint (entries[i].timestamp, ==, 0);
          g_assert_cmpuint (entries[i].control_length, ==, 64);
        }
      g_assert_cmpuint (io_stream_connection_get_held (pair->client), ==, depth);
      for (guint i = depth; i > 0; i--)
        stream_util_return (pair->client, &entries[i - 1]);
    }

  g_assert_cmpuint (io_stream_connection_get_received (pair->client), ==, sequence);
  g_assert_cmpuint (io_stream_connection_get_lost (pair->client), ==, 0);
  g_assert_cmpuint (io_stream_connection_get_held (pair->client), ==, 0);
}

static guint32
send_and_return (StreamPair *pair)
{
  IOStreamBufferQueueEntry entry;

  stream_util_send (pair->stream, 1);
  stream_util_take (pair->client, 1, &entry);
  stream_util_return (pair->client, &entry);

  return entry.buffer_id;
}

/* What came back last is sent next: it is still in the cache. */
static void
test_collect_large (StreamPair    *pair,
                    gconstpointer  data)
{
  guint32 id;

  stream_util_start (pair->client);
  id = send_and_return (pair);
  for (guint i = 0; i < 10; i++)
    g_assert_cmpuint (send_and_return (pair), ==, id);
}

/* Small ones are collected now and then, and always before there is none. */
static void
test_collect_small (StreamPair    *pair,
                    gconstpointer  data)
{
  gboolean seen[4] = { FALSE, };

  stream_util_start (pair->client);
  for (guint i = 0; i < 4; i++)
    {
      guint32 id = send_and_return (pair);

      g_assert_false (seen[id]);
      seen[id] = TRUE;
    }
  for (guint i = 0; i < 4; i++)
    g_assert_nonnull (io_stream_acquire_buffer (pair->stream, NULL));
  g_assert_null (io_stream_acquire_buffer (pair->stream, NULL));
}

static void
test_no_space (StreamPair    *pair,
               gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  IOStreamBufferQueueEntry entry;

  stream_util_start (pair->client);
  for (guint i = 0; i < 4; i++)
    stream_util_send (pair->stream, 1);
  g_assert_null (io_stream_acquire_buffer (pair->stream, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_SPACE);
  g_assert_nonnull (strstr (error->message, "holds 4 of 4"));

  stream_util_take (pair->client, 1, &entry);
  g_assert_cmpint (io_stream_buffer_get_client_reference_count (io_stream_get_buffer_with_id (pair->stream, entry.buffer_id)), ==, 1);
  stream_util_return (pair->client, &entry);
  g_assert_cmpint (io_stream_buffer_get_client_reference_count (io_stream_get_buffer_with_id (pair->stream, entry.buffer_id)), ==, 0);
  stream_util_send (pair->stream, 2);
}

/* Going round by number never gives a buffer that somebody looks at. */
static void
test_acquire_by_number (StreamPair    *pair,
                        gconstpointer  data)
{
  g_autoptr (GError) owned = NULL;
  g_autoptr (GError) lent = NULL;
  g_autoptr (GError) unknown = NULL;
  IOStreamBufferQueueEntry entry;
  IOStreamBuffer *buffer;

  stream_util_start (pair->client);
  buffer = io_stream_acquire_buffer_with_id (pair->stream, 2, NULL);
  g_assert_true (buffer == io_stream_get_buffer_with_id (pair->stream, 2));
  g_assert_null (io_stream_acquire_buffer_with_id (pair->stream, 2, &owned));
  g_assert_error (owned, IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY);
  g_assert_nonnull (strstr (owned->message, "the owner has it"));

  stream_util_assert_works (io_stream_send_buffer (pair->stream, buffer, err));
  stream_util_take (pair->client, 0, &entry);
  g_assert_cmpuint (entry.buffer_id, ==, 2);
  g_assert_null (io_stream_acquire_buffer_with_id (pair->stream, 2, &lent));
  g_assert_error (lent, IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY);
  g_assert_nonnull (strstr (lent->message, "(process "));

  stream_util_return (pair->client, &entry);
  g_assert_true (io_stream_acquire_buffer_with_id (pair->stream, 2, NULL) == buffer);
  io_stream_release_buffer (pair->stream, buffer);

  g_assert_null (io_stream_acquire_buffer_with_id (pair->stream, 4, &unknown));
  g_assert_error (unknown, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND);
}

/* What is handed out to look at a queue is that queue, and cannot be written. */
static void
test_queue_memory (StreamPair    *pair,
                   gconstpointer  data)
{
  g_autoptr (IOMemoryDescriptor) output = io_stream_get_output_queue_memory_descriptor (pair->stream);
  g_autoptr (IOMemoryDescriptor) input = io_stream_get_input_queue_memory_descriptor (pair->stream);
  guint32 magic[2] = { 0, };

  g_assert_cmpuint (io_memory_descriptor_get_length (output), ==, 0x1000 + 4 * 32);
  g_assert_false (io_memory_descriptor_is_writable (output));
  g_assert_false (io_memory_descriptor_is_writable (input));
  g_assert_cmpuint (io_memory_descriptor_read_bytes (output, 0, &magic[0], 4), ==, 4);
  g_assert_cmpuint (io_memory_descriptor_read_bytes (input, 0, &magic[1], 4), ==, 4);
  g_assert_cmphex (magic[0], ==, 0x72745349);
  g_assert_cmphex (magic[1], ==, 0x72745349);
  g_assert_cmpuint (io_memory_descriptor_write_bytes (input, 0, &magic, 4), ==, 0);
}

/* The owner lends empty buffers; they come back filled, in order. */
static void
test_input (StreamPair    *pair,
            gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;
  g_autoptr (GError) error = NULL;

  stream_util_start (pair->client);
  for (guint i = 0; i < 4; i++)
    stream_util_send (pair->stream, 0);

  for (guint round = 0; round < 1000; round++)
    {
      IOStreamBuffer *buffer;
      guint8 *bytes;
      gsize length;

      g_assert_true (io_stream_connection_wait (pair->client, -1, NULL, &error));
      g_assert_true (io_stream_connection_dequeue_output_entry (pair->client, &entry));
      bytes = io_stream_connection_peek_data_buffer (pair->client, entry.buffer_id, &length);
      memset (bytes, (int) round, 100);
      g_assert_true (io_stream_connection_enqueue_input_buffer (pair->client, entry.buffer_id, 0, 100, 0, 0, &error));
      g_assert_true (io_stream_connection_send_input_notification (pair->client, round, &error));
      g_assert_no_error (error);

      /* There must be nothing to wait for in the thread that serves. */
      if (!stream_util_is_local ())
        g_assert_true (io_stream_wait_input (pair->stream, -1, NULL, &error));
      g_assert_no_error (error);
      g_assert_true (io_stream_dequeue_input_entry (pair->stream, &entry));
      g_assert_cmpuint (entry.data_length, ==, 100);
      buffer = io_stream_get_buffer_with_id (pair->stream, entry.buffer_id);
      bytes = io_stream_buffer_peek_data (buffer, NULL);
      g_assert_cmpuint (bytes[0], ==, round & 0xff);
      g_assert_cmpuint (bytes[99], ==, round & 0xff);
      g_assert_true (io_stream_send_buffer (pair->stream, buffer, &error));
      g_assert_no_error (error);
    }
}


static void
register_and_open (StreamPair *pair)
{
  stream_util_assert_works (io_service_register (IO_SERVICE (pair->stream), err));
  pair->client = stream_util_open_stream (pair->stream);
}

static void
reopen (StreamPair *pair)
{
  stream_util_close (pair->client);
  stream_util_assert_works (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err));
  stream_util_start (pair->client);
}

static guint
count_holders (StreamPair *pair,
               guint32     id)
{
  return (guint) io_stream_buffer_get_client_reference_count (io_stream_get_buffer_with_id (pair->stream, id));
}

/* What was sent before the stop can be taken after it. */
static void
test_drain_after_stop (StreamPair    *pair,
                       gconstpointer  data)
{
  IOStreamBufferQueueEntry entries[3];

  stream_util_start (pair->client);
  for (guint i = 0; i < 3; i++)
    stream_util_send (pair->stream, (guint8) i);
  stream_util_assert_works (io_stream_connection_stop (pair->client, NULL, err));
  stream_util_assert_fails (io_stream_send_buffer (pair->stream, io_stream_acquire_buffer (pair->stream, NULL), err),
                            IO_STREAM_ERROR_NOT_READY);

  for (guint i = 0; i < 3; i++)
    stream_util_take (pair->client, (guint8) i, &entries[i]);
  g_assert_false (io_stream_connection_dequeue_output_entry (pair->client, &entries[0]));
  stream_util_assert_fails (io_stream_connection_wait (pair->client, -1, NULL, err), IO_STREAM_ERROR_NOT_READY);
  for (guint i = 0; i < 3; i++)
    {
      stream_util_return (pair->client, &entries[i]);
      g_assert_cmpuint (count_holders (pair, entries[i].buffer_id), ==, 0);
    }
}

/* All that the client held is free after the close, and what it returns later
 * is of no interest to anybody, also not when it has the same buffer again. */
static void
test_late_returns (StreamPair    *pair,
                   gconstpointer  data)
{
  IOStreamBufferQueueEntry old[4], now[4];

  stream_util_start (pair->client);
  for (guint i = 0; i < 4; i++)
    stream_util_send (pair->stream, 1);
  for (guint i = 0; i < 3; i++)
    stream_util_take (pair->client, 1, &old[i]);
  old[3] = old[0];
  g_assert_cmpuint (io_stream_connection_get_held (pair->client), ==, 3);

  stream_util_close (pair->client);
  g_assert_cmpuint (io_stream_connection_get_held (pair->client), ==, 0);
  for (guint32 id = 0; id < 4; id++)
    g_assert_cmpuint (count_holders (pair, id), ==, 0);
  for (guint i = 0; i < 4; i++)
    stream_util_return (pair->client, &old[i]);
  stream_util_assert_works (io_stream_connection_enqueue_input_entry (pair->client, &old[0], err));
  stream_util_assert_fails (io_stream_connection_enqueue_input_buffer (pair->client, old[0].buffer_id, 0, 0, 0, 0, err),
                            IO_STREAM_ERROR_NOT_OPEN);
  stream_util_assert_fails (io_stream_connection_send_input_notification (pair->client, 1, err), IO_STREAM_ERROR_NOT_OPEN);

  stream_util_assert_works (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err));
  for (guint i = 0; i < 4; i++)
    stream_util_return (pair->client, &old[i]);
  stream_util_start (pair->client);
  for (guint i = 0; i < 4; i++)
    stream_util_send (pair->stream, 2);
  for (guint i = 0; i < 4; i++)
    stream_util_take (pair->client, 2, &now[i]);
  g_assert_cmpuint (now[0].sequence, ==, old[0].sequence + 4);
  for (guint i = 0; i < 4; i++)
    stream_util_return (pair->client, &old[i]);
  g_assert_cmpuint (io_stream_connection_get_held (pair->client), ==, 4);
  for (guint i = 0; i < 4; i++)
    g_assert_cmpuint (count_holders (pair, now[i].buffer_id), ==, 1);
  for (guint i = 0; i < 4; i++)
    stream_util_return (pair->client, &now[i]);
  for (guint i = 0; i < 4; i++)
    g_assert_cmpuint (count_holders (pair, now[i].buffer_id), ==, 0);
  g_assert_cmpuint (io_stream_connection_get_lost (pair->client), ==, 0);
  g_assert_cmpuint (io_stream_connection_get_received (pair->client), ==, 7);
}

static void
test_bad_returns (StreamPair    *pair,
                  gconstpointer  data)
{
  IOStreamBufferQueueEntry entry, bad;
  IOStreamConnection *client = pair->client;

  stream_util_start (client);
  stream_util_send (pair->stream, 1);
  stream_util_take (client, 1, &entry);

  bad = entry;
  bad.buffer_id = 4;
  stream_util_assert_fails (io_stream_connection_return_entry (client, &bad, err), IO_STREAM_ERROR_NOT_FOUND);
  bad.buffer_id = IO_STREAM_BUFFER_ID_INVALID;
  stream_util_assert_fails (io_stream_connection_enqueue_input_entry (client, &bad, err), IO_STREAM_ERROR_NOT_FOUND);
  bad.buffer_id = entry.buffer_id ^ 1;
  stream_util_assert_fails (io_stream_connection_return_entry (client, &bad, err), IO_STREAM_ERROR_BAD_ARGUMENT);
  bad = entry;
  bad.sequence++;
  stream_util_assert_fails (io_stream_connection_return_entry (client, &bad, err), IO_STREAM_ERROR_BAD_ARGUMENT);
  bad = entry;
  bad.data_offset = 1;
  stream_util_assert_fails (io_stream_connection_return_entry (client, &bad, err), IO_STREAM_ERROR_BAD_ARGUMENT);
  bad = entry;
  bad.control_length = G_MAXUINT32;
  bad.control_offset = 1;
  stream_util_assert_fails (io_stream_connection_return_entry (client, &bad, err), IO_STREAM_ERROR_BAD_ARGUMENT);

  stream_util_assert_fails (io_stream_connection_enqueue_input_buffer (client, 4, 0, 0, 0, 0, err), IO_STREAM_ERROR_NOT_FOUND);
  stream_util_assert_fails (io_stream_connection_enqueue_input_buffer (client, entry.buffer_id ^ 1, 0, 0, 0, 0, err),
                            IO_STREAM_ERROR_BAD_ARGUMENT);
  stream_util_assert_fails (io_stream_connection_enqueue_input_buffer (client, entry.buffer_id, 10001, 0, 0, 0, err),
                            IO_STREAM_ERROR_BAD_ARGUMENT);

  g_assert_cmpuint (io_stream_connection_get_held (client), ==, 1);
  stream_util_return (client, &entry);
  stream_util_assert_fails (io_stream_connection_return_entry (client, &entry, err), IO_STREAM_ERROR_BAD_ARGUMENT);
  g_assert_cmpuint (io_stream_connection_get_held (client), ==, 0);
  g_assert_cmpuint (count_holders (pair, entry.buffer_id), ==, 0);
  g_assert_true (io_connection_is_open (IO_CONNECTION (client)));
}

/* Whatever is refused stays where it was. */
static void
test_bad_sends (StreamPair    *pair,
                gconstpointer  data)
{
  g_autoptr (IOStream) other = NULL;
  g_autoptr (IOStreamBuffer) alone = io_stream_buffer_new (NULL, NULL);
  IOStreamBufferQueueEntry entry = { 0, };
  IOStreamBuffer *buffer;

  other = io_stream_new (NULL, 1, 100, 0, NULL);
  buffer = io_stream_acquire_buffer (pair->stream, NULL);
  entry.buffer_id = io_stream_buffer_get_buffer_id (buffer);
  stream_util_assert_fails (io_stream_send_buffer (pair->stream, buffer, err), IO_STREAM_ERROR_NOT_READY);
  stream_util_start (pair->client);
  stream_util_assert_fails (io_stream_send_buffer (pair->stream, io_stream_get_buffer_with_id (other, 0), err),
                            IO_STREAM_ERROR_NOT_FOUND);
  stream_util_assert_fails (io_stream_send_buffer (pair->stream, alone, err), IO_STREAM_ERROR_NOT_FOUND);
  stream_util_assert_fails (io_stream_enqueue_output_buffer (pair->stream, alone, 0, 0, 0, 0, err), IO_STREAM_ERROR_NOT_FOUND);
  entry.buffer_id = 4;
  stream_util_assert_fails (io_stream_enqueue_output_entry (pair->stream, &entry, err), IO_STREAM_ERROR_NOT_FOUND);
  entry.buffer_id = IO_STREAM_BUFFER_ID_INVALID;
  stream_util_assert_fails (io_stream_enqueue_output_entry (pair->stream, &entry, err), IO_STREAM_ERROR_NOT_FOUND);

  stream_util_assert_works (io_stream_send_buffer (pair->stream, buffer, err));
  stream_util_assert_fails (io_stream_send_buffer (pair->stream, buffer, err), IO_STREAM_ERROR_BUSY);
  entry.buffer_id = io_stream_buffer_get_buffer_id (buffer);
  stream_util_assert_fails (io_stream_enqueue_output_entry (pair->stream, &entry, err), IO_STREAM_ERROR_BUSY);

  stream_util_assert_works (io_stream_suspend (pair->stream, err));
  buffer = io_stream_acquire_buffer (pair->stream, NULL);
  stream_util_assert_fails (io_stream_send_buffer (pair->stream, buffer, err), IO_STREAM_ERROR_NOT_READY);
  io_stream_release_buffer (pair->stream, buffer);
  g_assert_true (io_stream_acquire_buffer (pair->stream, NULL) == buffer);

  /* A free one is acquired on the way, and stays free if that leads to
   * nothing. */
  io_stream_release_buffer (pair->stream, buffer);
  stream_util_assert_fails (io_stream_send_buffer (pair->stream, buffer, err), IO_STREAM_ERROR_NOT_READY);
  g_assert_true (io_stream_acquire_buffer (pair->stream, NULL) == buffer);
}

static void
release_twice (void)
{
  IOStream *stream = io_stream_new (NULL, 1, 100, 0, NULL);
  IOStreamBuffer *buffer = io_stream_acquire_buffer (stream, NULL);

  io_stream_release_buffer (stream, buffer);
  io_stream_release_buffer (stream, buffer);
}

static void
test_release_twice (void)
{
  if (g_test_subprocess ())
    {
      release_twice ();
      return;
    }

  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_failed ();
  g_test_trap_assert_stderr ("*the owner does not have buffer 0*");
}

static void
test_free_is_acquired (StreamPair    *pair,
                       gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  stream_util_start (pair->client);
  stream_util_assert_works (io_stream_send_buffer (pair->stream, io_stream_get_buffer_with_id (pair->stream, 2), err));
  for (guint i = 0; i < 3; i++)
    g_assert_cmpuint (io_stream_buffer_get_buffer_id (io_stream_acquire_buffer (pair->stream, NULL)), !=, 2);
  stream_util_take (pair->client, 0, &entry);
  g_assert_cmpuint (entry.buffer_id, ==, 2);
}

/* --- ranges --------------------------------------------------------------- */

static const struct {
  guint32  data_offset, data_length, control_offset, control_length;
  gboolean fits;
} ranges[] = {
  { 0, 10000, 0, 64, TRUE },
  { 0, 0, 0, 0, TRUE },
  { 10000, 0, 64, 0, TRUE },
  { 9999, 1, 63, 1, TRUE },
  { 5000, 5000, 32, 32, TRUE },
  { 10001, 0, 0, 0, FALSE },
  { 1, 10000, 0, 0, FALSE },
  { 0, 10001, 0, 0, FALSE },
  { G_MAXUINT32, 1, 0, 0, FALSE },
  { 1, G_MAXUINT32, 0, 0, FALSE },
  { G_MAXUINT32, G_MAXUINT32, 0, 0, FALSE },
  { 0x80000000u, 0x80000000u, 0, 0, FALSE },
  { 0, 0, 65, 0, FALSE },
  { 0, 0, 0, 65, FALSE },
  { 0, 0, 64, 1, FALSE },
  { 0, 0, G_MAXUINT32, 2, FALSE },
  { 0, 0, 2, G_MAXUINT32, FALSE },
};

static void
test_ranges_output (StreamPair    *pair,
                    gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  stream_util_start (pair->client);
  for (guint i = 0; i < G_N_ELEMENTS (ranges); i++)
    {
      IOStreamBuffer *buffer = io_stream_acquire_buffer (pair->stream, NULL);
      g_autoptr (GError) error = NULL;
      gboolean done;

      done = io_stream_enqueue_output_buffer (pair->stream, buffer, ranges[i].data_offset, ranges[i].data_length,
                                              ranges[i].control_offset, ranges[i].control_length, &error);
      g_assert_cmpint (done, ==, ranges[i].fits);
      if (!done)
        {
          g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
          io_stream_release_buffer (pair->stream, buffer);
          continue;
        }

      g_assert_true (io_stream_connection_dequeue_output_entry (pair->client, &entry));
      g_assert_cmpuint (entry.data_offset, ==, ranges[i].data_offset);
      g_assert_cmpuint (entry.data_length, ==, ranges[i].data_length);
      g_assert_cmpuint (entry.control_offset, ==, ranges[i].control_offset);
      g_assert_cmpuint (entry.control_length, ==, ranges[i].control_length);
      stream_util_return (pair->client, &entry);
    }
}

static void
test_ranges_input (StreamPair    *pair,
                   gconstpointer  data)
{
  IOStreamBufferQueueEntry entry, got;

  stream_util_start (pair->client);
  for (guint i = 0; i < G_N_ELEMENTS (ranges); i++)
    {
      g_autoptr (GError) error = NULL;
      gboolean done;

      stream_util_send (pair->stream, 0);
      g_assert_true (io_stream_connection_dequeue_output_entry (pair->client, &entry));
      done = io_stream_connection_enqueue_input_buffer (pair->client, entry.buffer_id,
                                                        ranges[i].data_offset, ranges[i].data_length,
                                                        ranges[i].control_offset, ranges[i].control_length, &error);
      g_assert_cmpint (done, ==, ranges[i].fits);
      if (!done)
        {
          g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
          stream_util_return (pair->client, &entry);
        }
      g_assert_true (io_stream_dequeue_input_entry (pair->stream, &got));
      g_assert_cmpuint (got.buffer_id, ==, entry.buffer_id);
      g_assert_cmpuint (got.sequence, ==, entry.sequence);
      g_assert_cmpuint (got.data_offset, ==, done ? ranges[i].data_offset : 0);
      g_assert_cmpuint (got.data_length, ==, done ? ranges[i].data_length : 10000);
      g_assert_cmpuint (got.control_length, ==, done ? ranges[i].control_length : 64);
      io_stream_release_buffer (pair->stream, io_stream_get_buffer_with_id (pair->stream, got.buffer_id));
    }
}

/* --- shapes --------------------------------------------------------------- */


static void
new_shape (StreamPair   *pair,
           IOStreamMode  mode,
           guint         count,
           guint64       data_size,
           guint64       control_size,
           guint         queue_length)
{
  g_autoptr (GError) error = NULL;

  g_main_context_iteration (NULL, FALSE);
  pair->n_fds = count_fds ();
  pair->loop = stream_util_new_loop ();
  pair->stream = g_initable_new (IO_TYPE_STREAM, NULL, &error,
                                 "name", "test", "work-loop", pair->loop, "mode", mode,
                                 "buffer-count", count, "data-size", data_size, "control-size", control_size,
                                 "queue-length", queue_length, "timestamps", TRUE, NULL);
  g_assert_no_error (error);
  stream_util_assert_works (io_service_register (IO_SERVICE (pair->stream), err));
  pair->client = stream_util_open_stream (pair->stream);
}

/* Fewer places than buffers. */
static void
test_queue_length (void)
{
  StreamPair pair = { 0, };
  IOStreamBufferQueueEntry entry;
  IOStreamBuffer *buffer;

  new_shape (&pair, IO_STREAM_MODE_OUTPUT, 5, 100, 0, 2);
  stream_util_start (pair.client);
  stream_util_send (pair.stream, 1);
  stream_util_send (pair.stream, 2);
  buffer = io_stream_acquire_buffer (pair.stream, NULL);
  g_assert_nonnull (buffer);
  stream_util_assert_fails (io_stream_send_buffer (pair.stream, buffer, err), IO_STREAM_ERROR_OVERRUN);
  stream_util_assert_fails (io_stream_wait_buffer (pair.stream, 0, NULL, err),
                            stream_util_is_local () ? IO_STREAM_ERROR_CANNOT_LOCK : IO_STREAM_ERROR_TIMEOUT);

  stream_util_take (pair.client, 1, &entry);
  stream_util_assert_fails (io_stream_send_buffer (pair.stream, buffer, err), IO_STREAM_ERROR_OVERRUN);
  stream_util_return (pair.client, &entry);
  if (!stream_util_is_local ())
    stream_util_assert_works (io_stream_wait_buffer (pair.stream, -1, NULL, err));
  stream_util_assert_works (io_stream_send_buffer (pair.stream, buffer, err));
  stream_util_tear_down (&pair);
}

static void
test_no_control (void)
{
  StreamPair pair = { 0, };
  IOStreamBufferQueueEntry entry;
  void *control = &pair;
  gsize size = 7;

  new_shape (&pair, IO_STREAM_MODE_OUTPUT, 2, 100, 0, 0);
  stream_util_start (pair.client);
  stream_util_send (pair.stream, 1);
  stream_util_take (pair.client, 1, &entry);
  g_assert_cmpuint (entry.control_length, ==, 0);
  g_assert_true (io_stream_connection_get_buffer_info (pair.client, 0, NULL, NULL, &control, &size));
  g_assert_null (control);
  g_assert_cmpuint (size, ==, 0);
  stream_util_assert_fails (io_stream_enqueue_output_buffer (pair.stream, io_stream_acquire_buffer (pair.stream, NULL),
                                                             0, 1, 0, 1, err), IO_STREAM_ERROR_BAD_ARGUMENT);
  stream_util_tear_down (&pair);
}

static void
test_no_data (void)
{
  StreamPair pair = { 0, };
  IOStreamBufferQueueEntry entry;
  void *data = &pair, *control = NULL;
  gsize size = 7;

  new_shape (&pair, IO_STREAM_MODE_INPUT_OUTPUT, 2, 0, 8, 0);
  stream_util_start (pair.client);
  memset (io_stream_buffer_peek_control (io_stream_get_buffer_with_id (pair.stream, 1), NULL), 5, 8);
  stream_util_assert_works (io_stream_send_buffer (pair.stream, io_stream_get_buffer_with_id (pair.stream, 1), err));
  g_assert_true (io_stream_connection_dequeue_output_entry (pair.client, &entry));
  g_assert_cmpuint (entry.data_length, ==, 0);
  g_assert_cmpuint (entry.control_length, ==, 8);
  g_assert_true (io_stream_connection_get_buffer_info (pair.client, 1, &data, NULL, &control, &size));
  g_assert_null (data);
  g_assert_cmpuint (size, ==, 8);
  g_assert_cmpuint (((guint8 *) control)[7], ==, 5);
  stream_util_tear_down (&pair);
}

static void
test_no_parts (void)
{
  StreamPair pair = { 0, };
  IOStreamBufferQueueEntry entry;

  new_shape (&pair, IO_STREAM_MODE_INPUT, 2, 0, 0, 0);
  stream_util_start (pair.client);
  stream_util_assert_works (io_stream_send_buffer (pair.stream, io_stream_get_buffer_with_id (pair.stream, 1), err));
  g_assert_true (io_stream_connection_dequeue_output_entry (pair.client, &entry));
  g_assert_nonnull (io_stream_connection_get_buffer_with_id (pair.client, 1));
  stream_util_return (pair.client, &entry);
  g_assert_true (io_stream_dequeue_input_entry (pair.stream, &entry));
  stream_util_tear_down (&pair);
}

static void
test_no_buffers (void)
{
  StreamPair pair = { 0, };
  IOStreamBufferQueueEntry entry;
  g_autoptr (GError) error = NULL;

  new_shape (&pair, IO_STREAM_MODE_OUTPUT, 0, 100, 100, 0);
  g_assert_cmpuint (io_stream_connection_get_buffer_count (pair.client), ==, 0);
  g_assert_null (io_stream_connection_get_buffer_with_id (pair.client, 0));
  stream_util_start (pair.client);
  g_assert_null (io_stream_acquire_buffer (pair.stream, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_SPACE);
  g_assert_false (io_stream_connection_dequeue_output_entry (pair.client, &entry));
  stream_util_assert_fails (io_stream_connection_wait (pair.client, 1000, NULL, err), IO_STREAM_ERROR_TIMEOUT);
  stream_util_tear_down (&pair);
}

static void
test_most_buffers (void)
{
  StreamPair pair = { 0, };
  IOStreamBufferQueueEntry entry;
  gint64 start = g_get_monotonic_time ();

  new_shape (&pair, IO_STREAM_MODE_OUTPUT, IO_STREAM_MAX_BUFFERS, 64, 0, 0);
  g_test_message ("Making and opening %u buffers: %" G_GINT64_FORMAT " ms", IO_STREAM_MAX_BUFFERS,
                  (g_get_monotonic_time () - start) / 1000);
  g_assert_cmpuint (io_stream_connection_get_buffer_count (pair.client), ==, IO_STREAM_MAX_BUFFERS);
  stream_util_start (pair.client);
  for (guint round = 0; round < 2; round++)
    {
      for (guint i = 0; i < IO_STREAM_MAX_BUFFERS; i++)
        stream_util_send (pair.stream, (guint8) i);
      g_assert_null (io_stream_acquire_buffer (pair.stream, NULL));
      for (guint i = 0; i < IO_STREAM_MAX_BUFFERS; i++)
        {
          stream_util_take (pair.client, (guint8) i, &entry);
          stream_util_return (pair.client, &entry);
        }
    }
  stream_util_tear_down (&pair);
}

/* --- memory --------------------------------------------------------------- */

static void
memory_changed_cb (IOStream   *stream,
                   StreamPair *pair)
{
  pair->n_owner++;
}

/* A new client gets new memory where clients write; who has a view of the old
 * one keeps it. */
static void
test_memory_is_replaced (StreamPair    *pair,
                         gconstpointer  data)
{
  g_autoptr (IOMemoryMap) owner_map = NULL;
  g_autoptr (IOMemoryMap) client_map = NULL;
  IOStreamBufferQueueEntry entry;
  IOStreamBuffer *buffer = io_stream_get_buffer_with_id (pair->stream, 0);
  guint8 *bytes;

  g_signal_connect (pair->stream, "memory-changed", G_CALLBACK (memory_changed_cb), pair);
  stream_util_start (pair->client);
  stream_util_assert_works (io_stream_send_buffer (pair->stream, buffer, err));
  g_assert_true (io_stream_connection_dequeue_output_entry (pair->client, &entry));
  bytes = io_stream_connection_peek_data_buffer (pair->client, 0, NULL);
  memset (bytes, 0xaa, 10000);
  memset (io_stream_connection_peek_control_buffer (pair->client, 0, NULL), 0xbb, 64);
  owner_map = g_object_ref (io_stream_buffer_get_data_map (buffer));
  client_map = g_object_ref (io_stream_buffer_get_data_map (io_stream_connection_get_buffer_with_id (pair->client, 0)));
  stream_util_close (pair->client);
  g_assert_cmpint (pair->n_owner, ==, 0);

  stream_util_assert_works (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err));
  g_assert_cmpint (pair->n_owner, ==, 1);
  g_assert_true (io_stream_get_buffer_with_id (pair->stream, 0) == buffer);
  g_assert_true (io_stream_buffer_get_data_map (buffer) != owner_map);
  for (guint32 id = 0; id < 4; id++)
    {
      bytes = io_stream_connection_peek_data_buffer (pair->client, id, NULL);
      for (guint i = 0; i < 10000; i++)
        g_assert_cmpuint (bytes[i], ==, 0);
      bytes = io_stream_connection_peek_control_buffer (pair->client, id, NULL);
      for (guint i = 0; i < 64; i++)
        g_assert_cmpuint (bytes[i], ==, 0);
    }

  /* The old ones are still there, and one memory. */
  bytes = io_memory_map_peek_address (client_map);
  g_assert_cmpuint (bytes[9999], ==, 0xaa);
  bytes[9999] = 0xcc;
  bytes = io_memory_map_peek_address (owner_map);
  g_assert_cmpuint (bytes[9999], ==, 0xcc);
  bytes = io_stream_buffer_peek_data (buffer, NULL);
  g_assert_cmpuint (bytes[9999], ==, 0);
}

/* What clients only read stays. */
static void
test_memory_stays (StreamPair    *pair,
                   gconstpointer  data)
{
  guint8 *bytes = io_stream_buffer_peek_data (io_stream_get_buffer_with_id (pair->stream, 3), NULL);

  g_signal_connect (pair->stream, "memory-changed", G_CALLBACK (memory_changed_cb), pair);
  bytes[0] = 42;
  reopen (pair);
  g_assert_cmpint (pair->n_owner, ==, 0);
  g_assert_true (io_stream_buffer_peek_data (io_stream_get_buffer_with_id (pair->stream, 3), NULL) == bytes);
  bytes = io_stream_connection_peek_data_buffer (pair->client, 3, NULL);
  g_assert_cmpuint (bytes[0], ==, 42);
}

static gsize
page_of (gpointer address)
{
  return (gsize) address & ~(gsize) 4095;
}

/* The kernel itself keeps clients from writing. */
static void
test_client_cannot_write (StreamPair    *pair,
                          gconstpointer  data)
{
  IOStreamBuffer *buffer = io_stream_connection_get_buffer_with_id (pair->client, 0);
  guint8 *bytes = io_stream_connection_peek_data_buffer (pair->client, 0, NULL);
  g_autoptr (GError) error = NULL;
  g_autofree char *path = NULL;
  int fd = io_memory_descriptor_get_fd (io_stream_buffer_get_data_buffer (buffer), &error);
  int again;

  g_assert_no_error (error);
  assert_fails (mprotect ((gpointer) page_of (bytes), 4096, PROT_READ | PROT_WRITE), EACCES);
  g_assert_true (mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
  path = g_strdup_printf ("/proc/self/fd/%d", fd);
  again = open (path, O_RDWR | O_CLOEXEC);
  if (again >= 0)
    {
      g_assert_true (mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0) == MAP_FAILED);
      assert_fails (pwrite (again, "x", 1, 0), EPERM);
      assert_fails (ftruncate (again, 0), EPERM);
      close (again);
    }
  assert_fails (pwrite (fd, "x", 1, 0), errno);
  close (fd);
#ifndef __SANITIZE_THREAD__
  g_assert_true (write_crashes (bytes));
#endif
}

/* The owner's region as well. */
static void
test_client_cannot_write_queue (StreamPair    *pair,
                                gconstpointer  data)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (pair->client);

  assert_fails (mprotect (priv->peer.page, 4096, PROT_READ | PROT_WRITE), EACCES);
}

static void
test_peer_access (void)
{
  StreamPair pair = { 0, };
  IOStreamBufferQueueEntry entry;
  g_autoptr (GError) error = NULL;
  guint8 *bytes;

  g_main_context_iteration (NULL, FALSE);
  pair.n_fds = count_fds ();
  pair.loop = stream_util_new_loop ();
  pair.stream = g_initable_new (IO_TYPE_STREAM, NULL, &error, "name", "test", "work-loop", pair.loop,
                                "buffer-count", 2, "data-size", (guint64) 100,
                                "peer-access", IO_STREAM_PEER_ACCESS_READ_WRITE, NULL);
  register_and_open (&pair);
  stream_util_start (pair.client);
  stream_util_send (pair.stream, 1);
  stream_util_take (pair.client, 1, &entry);
  bytes = io_stream_connection_peek_data_buffer (pair.client, entry.buffer_id, NULL);
  bytes[50] = 77;
  bytes = io_stream_buffer_peek_data (io_stream_get_buffer_with_id (pair.stream, entry.buffer_id), NULL);
  g_assert_cmpuint (bytes[50], ==, 77);
  stream_util_close (pair.client);
  stream_util_assert_works (io_stream_set_mode (pair.stream, IO_STREAM_MODE_INPUT, err));
  stream_util_tear_down (&pair);
}

static GPtrArray *
make_foreign (guint              count,
              IOStreamPeerAccess access)
{
  GPtrArray *buffers = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < count; i++)
    {
      g_autoptr (IOBufferMemoryDescriptor) data = io_buffer_memory_descriptor_new (1000 + i, access, NULL);
      g_autoptr (IOBufferMemoryDescriptor) control = io_buffer_memory_descriptor_new (10 + i, access, NULL);

      io_buffer_memory_descriptor_set_length (data, 1000 + i);
      io_buffer_memory_descriptor_set_length (control, 10 + i);
      g_ptr_array_add (buffers, io_stream_buffer_new (IO_MEMORY_DESCRIPTOR (data), IO_MEMORY_DESCRIPTOR (control)));
    }

  return buffers;
}

/* Each buffer in a memory of its own; the owner is served by another thread's
 * default context, since withBuffers has no work loop. */
typedef struct {
  StreamPair *pair;
  GPtrArray  *buffers;
  IOStreamMode mode;
} Foreign;

static gboolean
make_foreign_stream_cb (gpointer user_data)
{
  Foreign *foreign = user_data;
  g_autoptr (GError) error = NULL;

  foreign->pair->stream = io_stream_new_with_buffers ("test", foreign->buffers, foreign->mode, 0, &error);
  g_assert_no_error (error);
  g_assert_true (io_service_register (IO_SERVICE (foreign->pair->stream), &error));
  g_assert_no_error (error);

  return TRUE;
}

static gboolean
terminate_cb (gpointer user_data)
{
  io_service_terminate (IO_SERVICE (user_data));

  return TRUE;
}

static void
test_foreign_buffers (gconstpointer data)
{
  IOStreamMode mode = (IOStreamMode) GPOINTER_TO_INT (data);
  StreamPair pair = { 0, };
  Foreign foreign = { &pair, make_foreign (20, mode == IO_STREAM_MODE_OUTPUT ? IO_STREAM_PEER_ACCESS_READ
                                                                             : IO_STREAM_PEER_ACCESS_READ_WRITE), mode };
  IOStreamBufferQueueEntry entry, got;

  pair.loop = stream_util_new_loop ();
  stream_util_run (pair.loop, make_foreign_stream_cb, &foreign);
  pair.client = stream_util_open_stream (pair.stream);
  g_assert_cmpuint (io_stream_connection_get_buffer_count (pair.client), ==, 20);
  stream_util_assert_works (io_stream_connection_start (pair.client, NULL, err));
  for (guint i = 0; i < 20; i++)
    {
      IOStreamBuffer *buffer = io_stream_get_buffer_with_id (pair.stream, i);
      guint8 *bytes;

      memset (io_stream_buffer_peek_data (buffer, NULL), (int) i, 1000 + i);
      memset (io_stream_buffer_peek_control (buffer, NULL), (int) i, 10 + i);
      stream_util_assert_works (io_stream_send_buffer (pair.stream, buffer, err));
      stream_util_take (pair.client, (guint8) i, &entry);
      g_assert_cmpuint (entry.data_length, ==, 1000 + i);
      g_assert_cmpuint (entry.control_length, ==, 10 + i);
      if (mode == IO_STREAM_MODE_OUTPUT)
        continue;

      bytes = io_stream_connection_peek_data_buffer (pair.client, i, NULL);
      memset (bytes, 200, 1000 + i);
      stream_util_return (pair.client, &entry);
      g_assert_true (io_stream_dequeue_input_entry (pair.stream, &got));
      bytes = io_stream_buffer_peek_data (buffer, NULL);
      g_assert_cmpuint (bytes[999 + i], ==, 200);
    }

  io_connection_hang_up (IO_CONNECTION (pair.client));
  stream_util_settle ();
  g_assert_finalize_object (pair.client);
  stream_util_run (pair.loop, terminate_cb, pair.stream);
  stream_util_shut_down (pair.loop);
  g_assert_finalize_object (pair.stream);
  stream_util_finish_loop (pair.loop);
  g_ptr_array_unref (foreign.buffers);
}

/* --- what stands in entries ------------------------------------------------ */

static void
test_timestamps (void)
{
  StreamPair pair = { 0, };
  guint64 last = (guint64) g_get_monotonic_time () * 1000;

  new_shape (&pair, IO_STREAM_MODE_OUTPUT, 2, 100, 0, 0);
  stream_util_start (pair.client);
  for (guint i = 0; i < 10; i++)
    {
      IOStreamBufferQueueEntry entry;
      struct timespec now;

      stream_util_send (pair.stream, 1);
      stream_util_take (pair.client, 1, &entry);
      stream_util_return (pair.client, &entry);
      g_assert_cmpuint (entry.timestamp, >=, last);
      last = entry.timestamp;
      clock_gettime (CLOCK_MONOTONIC, &now);
      g_assert_cmpuint (last, <=, (guint64) now.tv_sec * 1000000000 + (guint64) now.tv_nsec);
    }
  stream_util_tear_down (&pair);
}

static void
test_lost (StreamPair    *pair,
           gconstpointer  data)
{
  IOStreamPrivate *priv = _io_stream_get_private (pair->stream);
  IOStreamBufferQueueEntry entry;
  guint64 lost, received;

  stream_util_start (pair->client);
  priv->book.sequence = G_MAXUINT32 - 1;
  for (guint i = 0; i < 4; i++)
    {
      stream_util_send (pair->stream, 1);
      stream_util_take (pair->client, 1, &entry);
      stream_util_return (pair->client, &entry);
    }
  g_assert_cmpuint (entry.sequence, ==, 1);
  g_assert_cmpuint (io_stream_connection_get_lost (pair->client), ==, 0);
  g_mutex_lock (&priv->lock);
  priv->book.sequence += 3;
  ((IOStreamLink *) priv->links->pdata[0])->counts.next_sequence += 3;
  g_mutex_unlock (&priv->lock);
  stream_util_send (pair->stream, 1);
  stream_util_take (pair->client, 1, &entry);
  g_object_get (pair->client, "lost", &lost, "received", &received, NULL);
  g_assert_cmpuint (lost, ==, 3);
  g_assert_cmpuint (received, ==, 5);
}

/* --- input ----------------------------------------------------------------- */

/* They come out in the order in which they came, whatever their numbers. */
static void
test_arrival_order (StreamPair    *pair,
                    gconstpointer  data)
{
  const guint order[] = { 2, 0, 3, 1 };
  IOStreamBufferQueueEntry entries[4], got;

  stream_util_start (pair->client);
  for (guint round = 0; round < 10; round++)
    {
      for (guint i = 0; i < 4; i++)
        stream_util_send (pair->stream, 0);
      for (guint i = 0; i < 4; i++)
        g_assert_true (io_stream_connection_dequeue_output_entry (pair->client, &entries[i]));
      for (guint i = 0; i < 4; i++)
        stream_util_return (pair->client, &entries[order[i]]);

      stream_util_assert_fails (io_stream_send_buffer (pair->stream,
                                                       io_stream_get_buffer_with_id (pair->stream, entries[0].buffer_id), err),
                                IO_STREAM_ERROR_BUSY);
      g_assert_null (io_stream_acquire_buffer (pair->stream, NULL));
      for (guint i = 0; i < 4; i++)
        {
          g_assert_true (io_stream_dequeue_input_entry (pair->stream, &got));
          g_assert_cmpuint (got.buffer_id, ==, entries[order[i]].buffer_id);
          io_stream_release_buffer (pair->stream, io_stream_get_buffer_with_id (pair->stream, got.buffer_id));
        }
      g_assert_false (io_stream_dequeue_input_entry (pair->stream, &got));
    }
}

/* What came before the close can be dequeued after it, until the next open. */
static void
test_arrivals_after_close (StreamPair    *pair,
                           gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  stream_util_start (pair->client);
  for (guint i = 0; i < 3; i++)
    {
      stream_util_send (pair->stream, 0);
      g_assert_true (io_stream_connection_dequeue_output_entry (pair->client, &entry));
      stream_util_assert_works (io_stream_connection_enqueue_input_entry (pair->client, &entry, err));
    }
  stream_util_send (pair->stream, 0);
  stream_util_close (pair->client);

  g_assert_true (io_stream_dequeue_input_entry (pair->stream, &entry));
  io_stream_release_buffer (pair->stream, io_stream_get_buffer_with_id (pair->stream, entry.buffer_id));
  g_assert_true (io_stream_dequeue_input_entry (pair->stream, &entry));
  stream_util_assert_works (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err));
  stream_util_start (pair->client);
  /* dequeued, and the owner still has it */
  io_stream_release_buffer (pair->stream, io_stream_get_buffer_with_id (pair->stream, entry.buffer_id));
  g_assert_false (io_stream_dequeue_input_entry (pair->stream, &entry));
  for (guint i = 0; i < 4; i++)
    stream_util_send (pair->stream, 0);
}

static void
input_cb (IOStream   *stream,
          guint       token,
          StreamPair *pair)
{
  g_atomic_int_set (&pair->n_owner, (int) token);
  stream_counter_add (&pair->input);
}

static void
test_token (StreamPair    *pair,
            gconstpointer  data)
{
  IOStreamBufferQueueEntry entries[2];

  g_signal_connect (pair->stream, "input", G_CALLBACK (input_cb), pair);
  stream_util_start (pair->client);
  stream_util_send (pair->stream, 0);
  stream_util_send (pair->stream, 0);
  for (guint i = 0; i < 2; i++)
    {
      g_assert_true (io_stream_connection_dequeue_output_entry (pair->client, &entries[i]));
      stream_util_assert_works (io_stream_connection_enqueue_input_entry (pair->client, &entries[i], err));
      stream_util_assert_works (io_stream_connection_send_input_notification (pair->client, 1000 + i, err));
      stream_counter_wait (&pair->input, i + 1);
      g_assert_cmpint (g_atomic_int_get (&pair->n_owner), ==, 1000 + (int) i);
    }
}

/* A listener that comes when the stream runs already is told once there was no
 * buffer to acquire. */
static void
test_late_listener (StreamPair    *pair,
                    gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  stream_util_start (pair->client);
  stream_util_send (pair->stream, 1);
  stream_util_take (pair->client, 1, &entry);
  g_signal_connect (pair->stream, "input", G_CALLBACK (input_cb), pair);
  while (io_stream_acquire_buffer (pair->stream, NULL) != NULL)
    ;
  stream_util_return (pair->client, &entry);
  stream_counter_wait (&pair->input, 1);
}

/* Payload both ways in one buffer. */
static gboolean
listen_cb (gpointer data)
{
  StreamPair *pair = data;

  g_signal_connect_swapped (pair->stream, "input", G_CALLBACK (stream_counter_add), &pair->input);

  return TRUE;
}

/* One that begins in the thread of the stream misses nothing. */
static void
test_listener_in_thread (StreamPair    *pair,
                         gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  stream_util_start (pair->client);
  stream_util_send (pair->stream, 1);
  stream_util_take (pair->client, 1, &entry);
  stream_util_on_loop (pair, listen_cb, pair);
  stream_util_return (pair->client, &entry);
  stream_counter_wait (&pair->input, 1);
}

static void
test_input_output (StreamPair    *pair,
                   gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  stream_util_start (pair->client);
  for (guint i = 0; i < 100; i++)
    {
      guint8 *bytes;

      stream_util_send (pair->stream, (guint8) i);
      stream_util_take (pair->client, (guint8) i, &entry);
      bytes = io_stream_connection_peek_data_buffer (pair->client, entry.buffer_id, NULL);
      bytes[7] = (guint8) (i + 1);
      stream_util_assert_works (io_stream_connection_enqueue_input_buffer (pair->client, entry.buffer_id, 7, 1, 0, 0, err));
      g_assert_true (io_stream_dequeue_input_entry (pair->stream, &entry));
      g_assert_cmpuint (entry.data_offset, ==, 7);
      bytes = io_stream_buffer_peek_data (io_stream_get_buffer_with_id (pair->stream, entry.buffer_id), NULL);
      g_assert_cmpuint (bytes[7], ==, (guint8) (i + 1));
      io_stream_release_buffer (pair->stream, io_stream_get_buffer_with_id (pair->stream, entry.buffer_id));
    }
}

/* --- waiting for the client ------------------------------------------------ */

static gboolean
wait_in_loop_cb (gpointer user_data)
{
  IOStream *stream = user_data;

  stream_util_assert_fails (io_stream_wait_buffer (stream, 0, NULL, err), IO_STREAM_ERROR_CANNOT_LOCK);
  stream_util_assert_fails (io_stream_wait_input (stream, -1, NULL, err), IO_STREAM_ERROR_CANNOT_LOCK);

  return TRUE;
}

static gpointer
cancel_thread (gpointer data)
{
  g_usleep (2000);
  g_cancellable_cancel (data);

  return NULL;
}

static void
test_wait (StreamPair    *pair,
           gconstpointer  data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  GThread *thread;

  if (stream_util_is_local ())
    {
      wait_in_loop_cb (pair->stream);
      return;
    }
  stream_util_on_loop (pair, wait_in_loop_cb, pair->stream);
  stream_util_assert_fails (io_stream_wait_buffer (pair->stream, 0, NULL, err), IO_STREAM_ERROR_TIMEOUT);
  stream_util_assert_fails (io_stream_wait_buffer (pair->stream, 3000, NULL, err), IO_STREAM_ERROR_TIMEOUT);
  stream_util_assert_fails (io_stream_wait_input (pair->stream, 3000, NULL, err), IO_STREAM_ERROR_TIMEOUT);
  stream_util_start (pair->client);
  stream_util_assert_works (io_stream_wait_buffer (pair->stream, 0, NULL, err));
  stream_util_assert_works (io_stream_wait_buffer (pair->stream, G_MAXINT64, NULL, err));

  thread = g_thread_new ("cancel", cancel_thread, cancellable);
  g_assert_false (io_stream_wait_input (pair->stream, G_MAXINT64, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_thread_join (thread);
  g_assert_false (io_stream_wait_input (pair->stream, -1, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static gpointer
terminate_thread (gpointer data)
{
  g_usleep (2000);
  io_service_terminate (data);

  return NULL;
}

/* Whoever waits for a stream that ends is told. */
static void
test_wait_terminated (StreamPair    *pair,
                      gconstpointer  data)
{
  GThread *thread;

  stream_util_skip_if_local ("the owner's thread cannot wait for the client, which it is");
  if (GPOINTER_TO_INT (data))
    stream_util_close (pair->client);
  thread = g_thread_new ("terminate", terminate_thread, pair->stream);
  stream_util_assert_fails (io_stream_wait_buffer (pair->stream, -1, NULL, err), IO_STREAM_ERROR_NOT_READY);
  g_thread_join (thread);
  stream_util_assert_fails (io_stream_wait_buffer (pair->stream, -1, NULL, err), IO_STREAM_ERROR_NOT_READY);
  stream_util_assert_fails (io_stream_wait_input (pair->stream, -1, NULL, err), IO_STREAM_ERROR_NOT_READY);
}

static gpointer
start_thread (gpointer data)
{
  g_usleep (2000);
  stream_util_assert_works (io_stream_start (data, err));

  return NULL;
}

static void
test_wait_started (StreamPair    *pair,
                   gconstpointer  data)
{
  GThread *thread;

  stream_util_skip_if_local ("the owner's thread cannot wait for the client, which it is");
  thread = g_thread_new ("start", start_thread, pair->stream);
  stream_util_assert_works (io_stream_wait_buffer (pair->stream, STREAM_UTIL_TIMEOUT, NULL, err));
  g_thread_join (thread);
}

/* --- threads ---------------------------------------------------------------- */

#define N_THREADS 4
#define N_SENDS   500

typedef struct {
  StreamPair *pair;
  GAsyncQueue *entries;
} Threads;

static gpointer
send_thread (gpointer data)
{
  Threads *threads = data;

  for (guint n = 0; n < N_SENDS;)
    {
      g_autoptr (GError) error = NULL;
      IOStreamBuffer *buffer;

      g_assert_true (io_stream_wait_buffer (threads->pair->stream, STREAM_UTIL_TIMEOUT, NULL, &error));
      buffer = io_stream_acquire_buffer (threads->pair->stream, NULL);
      if (buffer == NULL)
        continue;
      *(guint8 *) io_stream_buffer_peek_data (buffer, NULL) = (guint8) n;
      g_assert_true (io_stream_send_buffer (threads->pair->stream, buffer, &error));
      g_assert_no_error (error);
      n++;
    }

  return NULL;
}

static gpointer
return_thread (gpointer data)
{
  Threads *threads = data;

  for (;;)
    {
      g_autofree IOStreamBufferQueueEntry *entry = g_async_queue_pop (threads->entries);

      if (entry->buffer_id == IO_STREAM_BUFFER_ID_INVALID)
        return NULL;
      stream_util_return (threads->pair->client, entry);
    }
}

static void
test_threads (StreamPair    *pair,
              gconstpointer  data)
{
  Threads threads = { pair, g_async_queue_new () };
  GThread *senders[N_THREADS], *returners[N_THREADS];
  IOStreamBufferQueueEntry none = { IO_STREAM_BUFFER_ID_INVALID, };
  guint32 sequence = 0;

  stream_util_start (pair->client);
  for (guint i = 0; i < N_THREADS; i++)
    {
      senders[i] = g_thread_new ("send", send_thread, &threads);
      returners[i] = g_thread_new ("return", return_thread, &threads);
    }

  for (guint n = 0; n < N_THREADS * N_SENDS; n++)
    {
      IOStreamBufferQueueEntry entry;

      /* The senders wait for buffers, and the owner's context tells them. */
      if (stream_util_is_local ())
        {
          stream_util_iterate_until (io_stream_connection_dequeue_output_entry (pair->client, &entry));
        }
      else
        {
          stream_util_assert_works (io_stream_connection_wait (pair->client, STREAM_UTIL_TIMEOUT, NULL, err));
          g_assert_true (io_stream_connection_dequeue_output_entry (pair->client, &entry));
        }
      g_assert_cmpuint (entry.sequence, ==, sequence++);
      g_async_queue_push (threads.entries, g_memdup2 (&entry, sizeof entry));
    }

  for (guint i = 0; i < N_THREADS; i++)
    g_async_queue_push (threads.entries, g_memdup2 (&none, sizeof none));
  for (guint i = 0; i < N_THREADS; i++)
    {
      g_thread_join (senders[i]);
      g_thread_join (returners[i]);
    }
  g_assert_cmpuint (io_stream_connection_get_held (pair->client), ==, 0);
  for (guint32 id = 0; id < 4; id++)
    g_assert_cmpuint (count_holders (pair, id), ==, 0);
  g_async_queue_unref (threads.entries);
}

/* Someone holds what it dequeued while clients come and go. */
static void
test_owner_holds_over_reopen (StreamPair    *pair,
                              gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;
  guint8 *bytes;

  stream_util_start (pair->client);
  stream_util_send (pair->stream, 0);
  g_assert_true (io_stream_connection_dequeue_output_entry (pair->client, &entry));
  bytes = io_stream_connection_peek_data_buffer (pair->client, entry.buffer_id, NULL);
  bytes[100] = 9;
  stream_util_return (pair->client, &entry);
  g_assert_true (io_stream_dequeue_input_entry (pair->stream, &entry));
  bytes = io_stream_buffer_peek_data (io_stream_get_buffer_with_id (pair->stream, entry.buffer_id), NULL);

  for (guint i = 0; i < 3; i++)
    {
      reopen (pair);
      g_assert_cmpuint (bytes[100], ==, 9);
    }

  /* not for ever */
  for (guint i = 3; i < 8; i++)
    reopen (pair);
  stream_util_close (pair->client);
  stream_util_assert_fails (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err), IO_STREAM_ERROR_NO_RESOURCES);
  g_assert_cmpuint (bytes[100], ==, 9);
  io_stream_release_buffer (pair->stream, io_stream_get_buffer_with_id (pair->stream, entry.buffer_id));
  stream_util_assert_works (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err));
  stream_util_start (pair->client);
  for (guint i = 0; i < 4; i++)
    stream_util_send (pair->stream, 0);
}

/* An owner that always has some buffer, but lets go of each in time, can have
 * any number of clients. */
static void
test_owner_rotates_over_reopen (StreamPair    *pair,
                                gconstpointer  data)
{
  IOStreamBuffer *held = io_stream_acquire_buffer (pair->stream, NULL);
  guint8 *bytes = io_stream_buffer_peek_data (held, NULL);

  for (guint i = 0; i < 40; i++)
    {
      IOStreamBuffer *next;

      bytes[100] = i;
      reopen (pair);
      g_assert_cmpuint (bytes[100], ==, i);
      if (i % 4 != 3)
        continue;

      next = io_stream_acquire_buffer (pair->stream, NULL);
      g_assert_nonnull (next);
      io_stream_release_buffer (pair->stream, held);
      held = next;
      bytes = io_stream_buffer_peek_data (held, NULL);
    }

  io_stream_release_buffer (pair->stream, held);
  reopen (pair);
}

int
main (int   argc,
      char *argv[])
{
  char *dir;
  int status;

  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();

  g_test_add ("/stream-transfer/output", StreamPair, NULL, set_up_output, test_output, tear_down);
  g_test_add ("/stream-transfer/collect-large", StreamPair, NULL, set_up_large, test_collect_large, tear_down);
  g_test_add ("/stream-transfer/collect-small", StreamPair, NULL, set_up_output, test_collect_small, tear_down);
  g_test_add ("/stream-transfer/no-space", StreamPair, NULL, set_up_output, test_no_space, tear_down);
  g_test_add ("/stream-transfer/acquire-by-number", StreamPair, NULL, set_up_output, test_acquire_by_number, tear_down);
  g_test_add ("/stream-transfer/queue-memory", StreamPair, NULL, set_up_output, test_queue_memory, tear_down);
  g_test_add ("/stream-transfer/input", StreamPair, NULL, set_up_input, test_input, tear_down);

#define ADD(path, set_up, func) g_test_add ("/stream-transfer/" path, StreamPair, NULL, set_up, func, tear_down)
  ADD ("drain-after-stop", set_up_output, test_drain_after_stop);
  ADD ("late-returns", set_up_output, test_late_returns);
  ADD ("bad-returns", set_up_output, test_bad_returns);
  ADD ("bad-sends", set_up_output, test_bad_sends);
  g_test_add_func ("/stream-transfer/release-twice", test_release_twice);
  ADD ("free-is-acquired", set_up_output, test_free_is_acquired);
  ADD ("ranges/output", set_up_output, test_ranges_output);
  ADD ("ranges/input", set_up_input, test_ranges_input);
  g_test_add_func ("/stream-transfer/shape/queue-length", test_queue_length);
  g_test_add_func ("/stream-transfer/shape/no-control", test_no_control);
  g_test_add_func ("/stream-transfer/shape/no-data", test_no_data);
  g_test_add_func ("/stream-transfer/shape/no-parts", test_no_parts);
  g_test_add_func ("/stream-transfer/shape/no-buffers", test_no_buffers);
  g_test_add_func ("/stream-transfer/shape/most-buffers", test_most_buffers);
  ADD ("memory/replaced/input", set_up_input, test_memory_is_replaced);
  ADD ("memory/replaced/input-output", set_up_input_output, test_memory_is_replaced);
  ADD ("memory/stays", set_up_output, test_memory_stays);
  ADD ("memory/owner-holds", set_up_input, test_owner_holds_over_reopen);
  ADD ("memory/owner-rotates", set_up_input, test_owner_rotates_over_reopen);
  ADD ("memory/client-cannot-write", set_up_output, test_client_cannot_write);
  ADD ("memory/client-cannot-write-queue", set_up_input, test_client_cannot_write_queue);
  g_test_add_func ("/stream-transfer/memory/peer-access", test_peer_access);
  g_test_add_data_func ("/stream-transfer/memory/foreign/output", GINT_TO_POINTER (IO_STREAM_MODE_OUTPUT), test_foreign_buffers);
  g_test_add_data_func ("/stream-transfer/memory/foreign/input", GINT_TO_POINTER (IO_STREAM_MODE_INPUT), test_foreign_buffers);
  g_test_add_func ("/stream-transfer/timestamps", test_timestamps);
  ADD ("lost", set_up_output, test_lost);
  ADD ("arrival-order", set_up_input, test_arrival_order);
  ADD ("arrivals-after-close", set_up_input, test_arrivals_after_close);
  ADD ("token", set_up_input, test_token);
  ADD ("late-listener", set_up_output, test_late_listener);
  ADD ("listener-in-thread", set_up_output, test_listener_in_thread);
  ADD ("input-output", set_up_input_output, test_input_output);
  ADD ("wait/errors", set_up_output, test_wait);
  g_test_add ("/stream-transfer/wait/terminated/open", StreamPair, GINT_TO_POINTER (0), set_up_output, test_wait_terminated, tear_down);
  g_test_add ("/stream-transfer/wait/terminated/closed", StreamPair, GINT_TO_POINTER (1), set_up_output, test_wait_terminated, tear_down);
  ADD ("wait/started", set_up_output, test_wait_started);
  ADD ("threads", set_up_output, test_threads);

  status = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return status;
}
