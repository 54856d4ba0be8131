/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "stream-util.h"

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

int
main (int   argc,
      char *argv[])
{
  char *dir;
  int status;

  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();

  g_test_add ("/stream-transfer/output", StreamPair, NULL, set_up_output, test_output, tear_down);
  g_test_add ("/stream-transfer/no-space", StreamPair, NULL, set_up_output, test_no_space, tear_down);
  g_test_add ("/stream-transfer/queue-memory", StreamPair, NULL, set_up_output, test_queue_memory, tear_down);
  g_test_add ("/stream-transfer/input", StreamPair, NULL, set_up_input, test_input, tear_down);

  status = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return status;
}
