/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slow [FRAMES]: one camera, and four clients that look only now and then, each
 * with another opinion of what is to happen meanwhile. All in one process, so
 * that they can be seen side by side; between processes it is the same. */

#include <libiostream/iostream.h>

#include <locale.h>
#include <stdlib.h>
#include <string.h>

#define N_BUFFERS 10
#define N_CLIENTS 4
#define PAUSE     7     /* frames from one look to the next */

static const char *const titles[N_CLIENTS] = { "block", "drop-newest", "drop-oldest", "latest" };

/* How slow a client may be, it says before it opens; whether it may say so is
 * up to the owner (the property "deliveries" of the stream). */
static IOStreamConnection *
open_client (IOStream          *camera,
             IOStreamDelivery   delivery,
             GError           **error)
{
  g_autoptr (IOStreamConnection) client = io_stream_connection_new_for_stream (camera, error);

  if (client == NULL)
    return NULL;

  io_stream_connection_set_delivery (client, delivery);
  if (!io_connection_open (IO_CONNECTION (client), IO_STREAM_OPEN_SHARED, NULL, error) ||
      !io_stream_connection_start (client, NULL, error))
    return NULL;

  return g_steal_pointer (&client);
}

/* Takes all that is there, and gives it back. */
static void
look (IOStreamConnection *client,
      GString            *line)
{
  IOStreamBufferQueueEntry entry;

  while (io_stream_connection_dequeue_output_entry (client, &entry))
    {
      const guint8 *data = io_stream_connection_peek_data_buffer (client, entry.buffer_id, NULL);
      guint frame;

      memcpy (&frame, data + entry.data_offset, sizeof frame);
      g_string_append_printf (line, " %u", frame);
      io_stream_connection_return_entry (client, &entry, NULL);
    }
}

/* FALSE if the one that blocks has to look first. */
static gboolean
send_frame (IOStream  *camera,
            guint      frame,
            GError   **error)
{
  IOStreamBuffer *buffer = io_stream_acquire_buffer (camera, error);

  if (buffer == NULL)
    return FALSE;

  memcpy (io_stream_buffer_peek_data (buffer, NULL), &frame, sizeof frame);
  if (io_stream_send_buffer (camera, buffer, error))
    return TRUE;

  io_stream_release_buffer (camera, buffer);

  return FALSE;
}

static gboolean
run (IOStream            *camera,
     IOStreamConnection **clients,
     guint                n_frames,
     GString            **lines,
     GError             **error)
{
  for (guint frame = 0; frame < n_frames; frame++)
    {
      g_autoptr (GError) local_error = NULL;

      while (!send_frame (camera, frame, &local_error))
        {
          if (!g_error_matches (local_error, IO_STREAM_ERROR, IO_STREAM_ERROR_OVERRUN))
            {
              g_propagate_error (error, g_steal_pointer (&local_error));
              return FALSE;
            }
          g_clear_error (&local_error);
          g_string_append (lines[0], " (the camera waits)");
          look (clients[0], lines[0]);
        }
      for (guint i = 0; i < N_CLIENTS && frame % PAUSE == PAUSE - 1; i++)
        look (clients[i], lines[i]);
    }

  return TRUE;
}

int
main (int    argc,
      char **argv)
{
  guint n_frames = argc > 1 ? (guint) strtoul (argv[1], NULL, 10) : 21;
  g_autoptr (IOStream) camera = NULL;
  g_autoptr (GError) error = NULL;
  IOStreamConnection *clients[N_CLIENTS] = { NULL, };
  GString *lines[N_CLIENTS];
  gboolean done = TRUE;

  setlocale (LC_ALL, "");
  camera = io_stream_new (NULL, N_BUFFERS, sizeof (guint), 0, &error);
  for (guint i = 0; i < N_CLIENTS; i++)
    lines[i] = g_string_new (NULL);
  for (guint i = 0; i < N_CLIENTS && error == NULL; i++)
    clients[i] = open_client (camera, (IOStreamDelivery) i, &error);
  if (error != NULL || !run (camera, clients, n_frames, lines, &error))
    {
      g_printerr ("slow: %s\n", error->message);
      done = FALSE;
    }

  for (guint i = 0; i < N_CLIENTS; i++)
    {
      if (done)
        g_print ("%-11s saw%s, lost %" G_GUINT64_FORMAT "\n", titles[i], lines[i]->str,
                 io_stream_connection_get_lost (clients[i]));
      g_string_free (lines[i], TRUE);
      g_clear_object (&clients[i]);
    }

  return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
