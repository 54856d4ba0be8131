/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* playback [NAME]: an owner in input mode, like a loudspeaker: clients fill the
 * buffers, and it plays what comes, in the order in which it comes. Here
 * "playing" is adding up; it says so when the client leaves. Ends at Ctrl-C.
 *
 * playback --feed NAME COUNT: the other side. Fills COUNT buffers. */

#include <libiostream/iostream.h>

#include <glib-unix.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#define N_BUFFERS    4
#define BUFFER_BYTES 4096

typedef struct {
  guint64 n_buffers;
  guint64 n_bytes;
  guint64 sum;
} Played;

/* --- the owner -------------------------------------------------------------- */

/* In input mode the client cannot send before it has something to fill, so the
 * buffers go out empty. */
static gboolean
send_empty_buffer (IOStream        *stream,
                   IOStreamBuffer  *buffer,
                   GError         **error)
{
  return io_stream_enqueue_output_buffer (stream, buffer, 0, 0, 0, 0, error) &&
         io_stream_send_output_notification (stream, error);
}

/* A client started it: hands out every buffer. */
static void
state_cb (IOStream   *stream,
          GParamSpec *pspec,
          gpointer    user_data)
{
  g_autoptr (GError) error = NULL;
  IOStreamBuffer *buffer;

  if (io_stream_get_state (stream) != IO_STREAM_STATE_RUNNING)
    return;

  while ((buffer = io_stream_acquire_buffer (stream, NULL)) != NULL)
    if (!send_empty_buffer (stream, buffer, &error))
      {
        g_printerr ("playback: %s\n", error->message);
        io_stream_release_buffer (stream, buffer);
        return;
      }
}

static void
play (Played       *played,
      const guint8 *samples,
      guint32       length)
{
  played->n_buffers++;
  played->n_bytes += length;
  for (guint32 i = 0; i < length; i++)
    played->sum += samples[i];
}

/* Filled buffers came. Offset and length were checked; the bytes are the
 * client's, who may still change them while they are read. */
static void
input_cb (IOStream *stream,
          guint32   token,
          Played   *played)
{
  IOStreamBufferQueueEntry entry;

  while (io_stream_dequeue_input_entry (stream, &entry))
    {
      IOStreamBuffer *buffer = io_stream_get_buffer_with_id (stream, entry.buffer_id);
      const guint8 *samples = io_stream_buffer_peek_data (buffer, NULL);

      play (played, samples + entry.data_offset, entry.data_length);

      /* Back to be filled again, unless nobody is there any more. */
      if (io_stream_get_state (stream) != IO_STREAM_STATE_RUNNING ||
          !send_empty_buffer (stream, buffer, NULL))
        io_stream_release_buffer (stream, buffer);
    }
}

static void
client_closed_cb (IOService    *stream,
                  IOUserClient *client,
                  Played       *played)
{
  g_print ("played %" G_GUINT64_FORMAT " buffers, %" G_GUINT64_FORMAT " bytes, sum %" G_GUINT64_FORMAT "\n",
           played->n_buffers, played->n_bytes, played->sum);
  *played = (Played) { 0, };
}

static gboolean
quit_cb (gpointer user_data)
{
  g_main_loop_quit (user_data);

  return G_SOURCE_CONTINUE;
}

static gboolean
run_owner (const char  *name,
           GError     **error)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (IOStream) stream = NULL;
  Played played = { 0, };

  stream = g_initable_new (IO_TYPE_STREAM, NULL, error,
                           "name", name,
                           "mode", IO_STREAM_MODE_INPUT,
                           "buffer-count", N_BUFFERS,
                           "data-size", (guint64) BUFFER_BYTES,
                           NULL);
  if (stream == NULL)
    return FALSE;

  g_signal_connect (stream, "notify::state", G_CALLBACK (state_cb), NULL);
  g_signal_connect (stream, "input", G_CALLBACK (input_cb), &played);
  g_signal_connect (stream, "client-closed", G_CALLBACK (client_closed_cb), &played);
  if (!io_service_register (IO_SERVICE (stream), error))
    return FALSE;

  g_unix_signal_add (SIGINT, quit_cb, loop);
  g_unix_signal_add (SIGTERM, quit_cb, loop);
  g_main_loop_run (loop);
  io_service_terminate (IO_SERVICE (stream));

  return TRUE;
}

/* --- the client ------------------------------------------------------------- */

/* Fills the next empty buffer and hands it over. */
static gboolean
feed_one (IOStreamConnection  *connection,
          guint8               sample,
          GError             **error)
{
  IOStreamBufferQueueEntry entry;
  gsize size;
  guint8 *samples;

  while (!io_stream_connection_dequeue_output_entry (connection, &entry))
    if (!io_stream_connection_wait (connection, -1, NULL, error))
      return FALSE;

  samples = io_stream_connection_peek_data_buffer (connection, entry.buffer_id, &size);
  memset (samples, sample, size);
  entry.data_offset = 0;
  entry.data_length = (guint32) size;

  return io_stream_connection_enqueue_input_entry (connection, &entry, error) &&
         io_stream_connection_send_input_notification (connection, 0, error);
}

static gboolean
run_client (const char  *name,
            guint        count,
            GError     **error)
{
  g_autoptr (IOStreamConnection) connection = io_stream_connection_open_name (name, NULL, error);

  if (connection == NULL || !io_stream_connection_start (connection, NULL, error))
    return FALSE;

  for (guint i = 0; i < count; i++)
    if (!feed_one (connection, (guint8) i, error))
      return FALSE;

  return io_stream_connection_stop (connection, NULL, error) &&
         io_connection_close (IO_CONNECTION (connection), NULL, error);
}

int
main (int    argc,
      char **argv)
{
  g_autoptr (GError) error = NULL;
  gboolean done;

  setlocale (LC_ALL, "");

  if (argc == 4 && strcmp (argv[1], "--feed") == 0)
    done = run_client (argv[2], (guint) g_ascii_strtoull (argv[3], NULL, 10), &error);
  else
    done = run_owner (argc > 1 ? argv[1] : "playback", &error);

  if (!done)
    g_printerr ("playback: %s\n", error->message);

  return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
