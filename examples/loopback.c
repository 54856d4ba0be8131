/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* loopback: a stream and its client in one program, without a second process
 * and without a name. That is how to test a class of streams of one's own. */

#include <libiostream/iostream.h>

/* The class to be tested: a stream of numbers, one to a buffer. It sends as
 * many as it has buffers, and another one for each that comes back. */

#define DEMO_TYPE_NUMBERS (demo_numbers_get_type ())
G_DECLARE_FINAL_TYPE (DemoNumbers, demo_numbers, DEMO, NUMBERS, IOStream)

struct _DemoNumbers {
  IOStream parent_instance;

  guint32  next;
  gboolean stopped;
};

G_DEFINE_FINAL_TYPE (DemoNumbers, demo_numbers, IO_TYPE_STREAM)

static void
send_numbers (DemoNumbers *self)
{
  IOStreamBuffer *buffer;

  while ((buffer = io_stream_acquire_buffer (IO_STREAM (self), NULL)) != NULL)
    {
      *(guint32 *) io_stream_buffer_peek_data (buffer, NULL) = self->next++;
      io_stream_send_buffer (IO_STREAM (self), buffer, NULL);
    }
}

static gboolean
demo_numbers_start (IOStream  *stream,
                    GError   **error)
{
  send_numbers (DEMO_NUMBERS (stream));

  return TRUE;
}

static gboolean
demo_numbers_stop (IOStream  *stream,
                   GError   **error)
{
  DEMO_NUMBERS (stream)->stopped = TRUE;

  return TRUE;
}

/* Something came back. */
static void
demo_numbers_input_callback (IOStream *stream,
                             guint32   token)
{
  send_numbers (DEMO_NUMBERS (stream));
}

static void
demo_numbers_class_init (DemoNumbersClass *klass)
{
  IOStreamClass *stream_class = IO_STREAM_CLASS (klass);

  stream_class->start = demo_numbers_start;
  stream_class->stop = demo_numbers_stop;
  stream_class->input_callback = demo_numbers_input_callback;
}

static void
demo_numbers_init (DemoNumbers *self)
{
}

/* The test. What the client calls is done when the call returns, within it;
 * what the stream only hears of, such as a buffer that came back, comes from
 * the main context. */

#define N_BUFFERS 3

static guint32
take_number (IOStreamConnection       *client,
             IOStreamBufferQueueEntry *entry)
{
  g_assert_true (io_stream_connection_dequeue_output_entry (client, entry));

  return *(const guint32 *) io_stream_connection_peek_data_buffer (client, entry->buffer_id, NULL);
}

static void
test_numbers (void)
{
  IOStream *stream = g_object_new (DEMO_TYPE_NUMBERS, "buffer-count", N_BUFFERS,
                                   "data-size", (guint64) sizeof (guint32), NULL);
  g_autoptr (GError) error = NULL;
  IOStreamConnection *client = io_stream_connection_open_stream (stream, &error);
  IOStreamBufferQueueEntry entry;

  g_assert_no_error (error);
  g_assert_true (io_stream_connection_start (client, NULL, &error));
  g_assert_cmpuint (DEMO_NUMBERS (stream)->next, ==, N_BUFFERS);

  for (guint32 number = 0; number < 100; number++)
    {
      g_assert_cmpuint (take_number (client, &entry), ==, number);
      g_assert_true (io_stream_connection_return_entry (client, &entry, &error));
      while (DEMO_NUMBERS (stream)->next < number + 1 + N_BUFFERS)
        g_main_context_iteration (NULL, TRUE);
    }

  /* A client that leaves without a word stops it. */
  io_connection_hang_up (IO_CONNECTION (client));
  g_assert_true (DEMO_NUMBERS (stream)->stopped);
  g_assert_finalize_object (client);
  g_assert_finalize_object (stream);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/numbers", test_numbers);

  return g_test_run ();
}
