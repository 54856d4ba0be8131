/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* duplex: blocks of samples that go to another process, are worked on in
 * place, and come back (mode input/output). The owner adds buffers when it
 * runs out of them.
 *
 *   duplex [NAME [BLOCKS]]     the owner: sends blocks, checks what comes back
 *   duplex --filter NAME       the client: turns the samples of each round */

#include <libiostream/iostream.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES     1000
#define N_BUFFERS   2
#define MAX_BUFFERS 16

typedef struct {
  GMainLoop *loop;
  guint      n_blocks;
  guint      n_sent;
  guint      n_back;
  guint      n_wrong;
} Work;

/* One more buffer, while the client has the stream open: it learns of it by
 * itself. It must be able to write it. */
static IOStreamBuffer *
grow (IOStream *stream)
{
  g_autoptr (IOBufferMemoryDescriptor) memory = NULL;
  g_autoptr (IOStreamBuffer) buffer = NULL;

  memory = io_buffer_memory_descriptor_new (SAMPLES, IO_STREAM_PEER_ACCESS_READ_WRITE, NULL);
  if (memory == NULL || io_stream_get_buffer_count (stream) >= MAX_BUFFERS)
    return NULL;

  buffer = io_stream_buffer_new (IO_MEMORY_DESCRIPTOR (memory), NULL);

  return io_stream_add_buffer (stream, buffer, NULL) ? io_stream_acquire_buffer (stream, NULL) : NULL;
}

static void
send_blocks (IOStream *stream, Work *work)
{
  while (work->n_sent < work->n_blocks && io_stream_get_state (stream) == IO_STREAM_STATE_RUNNING)
    {
      IOStreamBuffer *buffer = io_stream_acquire_buffer (stream, NULL);

      if (buffer == NULL && (buffer = grow (stream)) == NULL)
        return;
      memset (io_stream_buffer_peek_data (buffer, NULL), (int) (work->n_sent++ % 100), SAMPLES);
      io_stream_send_buffer (stream, buffer, NULL);
    }
}

/* They come back in the order in which the client returned them. */
static void
input_cb (IOStream *stream, guint32 token, Work *work)
{
  IOStreamBufferQueueEntry entry;

  while (io_stream_dequeue_input_entry (stream, &entry))
    {
      IOStreamBuffer *buffer = io_stream_get_buffer_with_id (stream, entry.buffer_id);
      const guint8 *samples = io_stream_buffer_peek_data (buffer, NULL);

      if (entry.data_length != SAMPLES || samples[entry.data_offset] != 100 - work->n_back % 100)
        work->n_wrong++;
      work->n_back++;
      io_stream_release_buffer (stream, buffer);
    }

  send_blocks (stream, work);
  if (work->n_back == work->n_blocks)
    g_main_loop_quit (work->loop);
}

static void
state_cb (IOStream *stream, GParamSpec *pspec, Work *work)
{
  send_blocks (stream, work);
}

static gboolean
run_owner (const char *name, guint n_blocks, GError **error)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (IOStream) stream = NULL;
  Work work = { loop, n_blocks, 0, 0, 0 };

  /* The queue length is what gives room for more buffers later. */
  stream = g_initable_new (IO_TYPE_STREAM, NULL, error, "name", name, "mode", IO_STREAM_MODE_INPUT_OUTPUT,
                           "buffer-count", N_BUFFERS, "queue-length", MAX_BUFFERS,
                           "data-size", (guint64) SAMPLES, NULL);
  if (stream == NULL)
    return FALSE;
  g_signal_connect (stream, "input", G_CALLBACK (input_cb), &work);
  g_signal_connect (stream, "notify::state", G_CALLBACK (state_cb), &work);
  if (!io_service_register (IO_SERVICE (stream), error))
    return FALSE;

  g_main_loop_run (loop);
  g_print ("%u blocks back, %u wrong, %u buffers\n", work.n_back, work.n_wrong, io_stream_get_buffer_count (stream));
  io_service_terminate (IO_SERVICE (stream));

  return TRUE;
}

/* The client. */
static gboolean
run_filter (const char *name, GError **error)
{
  g_autoptr (IOStreamConnection) connection = io_stream_connection_open_name (name, NULL, error);
  IOStreamBufferQueueEntry entry;

  if (connection == NULL || !io_stream_connection_start (connection, NULL, error))
    return FALSE;

  while (io_stream_connection_wait (connection, -1, NULL, NULL))
    while (io_stream_connection_dequeue_output_entry (connection, &entry))
      {
        guint8 *samples = io_stream_connection_peek_data_buffer (connection, entry.buffer_id, NULL);

        for (guint32 i = 0; i < entry.data_length; i++)
          samples[entry.data_offset + i] = (guint8) (100 - samples[entry.data_offset + i]);
        io_stream_connection_return_entry (connection, &entry, NULL);
      }

  return TRUE;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  gboolean done;

  setlocale (LC_ALL, "");
  if (argc == 3 && strcmp (argv[1], "--filter") == 0)
    done = run_filter (argv[2], &error);
  else
    done = run_owner (argc > 1 ? argv[1] : "duplex",
                      argc > 2 ? (guint) g_ascii_strtoull (argv[2], NULL, 10) : 1000, &error);

  if (!done)
    g_printerr ("duplex: %s\n", error->message);
  return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
