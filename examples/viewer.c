/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* viewer [NAME [COUNT]]: a client with a main loop. Looks at the frames of a
 * camera, checks each, and says what it saw. */

#include <libiostream/iostream.h>

#include "frame-info.h"

#include <glib-unix.h>
#include <locale.h>
#include <stdlib.h>

typedef struct {
  GMainLoop *loop;
  guint64    wanted;     /* frames to see */
  guint64    seen;
  guint64    broken;
} Viewer;

/* The bytes are read where the owner wrote them. What another process wrote is
 * checked before it is believed; the offsets and lengths of an entry are
 * checked already. */
static gboolean
check_frame (IOStreamConnection             *camera,
             const IOStreamBufferQueueEntry *entry)
{
  const guint8 *data = io_stream_connection_peek_data_buffer (camera, entry->buffer_id, NULL);
  const guint8 *control = io_stream_connection_peek_control_buffer (camera, entry->buffer_id, NULL);
  FrameInfo info;

  if (entry->control_length < sizeof info || entry->data_length % 8 != 0)
    return FALSE;

  memcpy (&info, control + entry->control_offset, sizeof info);

  return info.magic == FRAME_INFO_MAGIC &&
         (guint64) info.stride * info.height == entry->data_length &&
         info.checksum == frame_checksum (data + entry->data_offset, entry->data_length);
}

/* Take what is there until there is nothing more. */
static void
output_available_cb (IOStreamConnection *camera,
                     Viewer             *viewer)
{
  IOStreamBufferQueueEntry entry;

  while (viewer->seen < viewer->wanted && io_stream_connection_dequeue_output_entry (camera, &entry))
    {
      g_autoptr (GError) error = NULL;

      viewer->seen++;
      if (!check_frame (camera, &entry))
        viewer->broken++;

      /* Now the owner can use the buffer again. */
      if (!io_stream_connection_return_entry (camera, &entry, &error))
        g_printerr ("viewer: %s\n", error->message);
    }

  if (viewer->seen >= viewer->wanted)
    g_main_loop_quit (viewer->loop);
}

static void
disconnected_cb (IOStreamConnection *camera,
                 const GError       *error,
                 Viewer             *viewer)
{
  g_printerr ("viewer: %s\n", error != NULL ? error->message : "The camera was switched off");
  g_main_loop_quit (viewer->loop);
}

static gboolean
quit_cb (gpointer user_data)
{
  g_main_loop_quit (user_data);

  return G_SOURCE_CONTINUE;
}

static gboolean
watch (IOStreamConnection  *camera,
       Viewer              *viewer,
       GError             **error)
{
  gint64 begin = g_get_monotonic_time ();
  double seconds;

  g_signal_connect (camera, "output-available", G_CALLBACK (output_available_cb), viewer);
  g_signal_connect (camera, "disconnected", G_CALLBACK (disconnected_cb), viewer);
  if (!io_stream_connection_start (camera, NULL, error))
    return FALSE;

  g_main_loop_run (viewer->loop);

  seconds = (double) (g_get_monotonic_time () - begin) / G_USEC_PER_SEC;
  g_print ("%" G_GUINT64_FORMAT " frames in %.1f seconds, %" G_GUINT64_FORMAT " broken, %"
           G_GUINT64_FORMAT " lost\n", viewer->seen, seconds, viewer->broken,
           io_stream_connection_get_lost (camera));

  return !io_connection_is_connected (IO_CONNECTION (camera)) ||
         (io_stream_connection_stop (camera, NULL, error) &&
          io_connection_close (IO_CONNECTION (camera), NULL, error));
}

int
main (int    argc,
      char **argv)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (IOStreamConnection) camera = NULL;
  g_autoptr (GError) error = NULL;
  Viewer viewer = { .loop = loop, .wanted = G_MAXUINT64 };

  setlocale (LC_ALL, "");

  if (argc > 2)
    viewer.wanted = g_ascii_strtoull (argv[2], NULL, 10);
  g_unix_signal_add (SIGINT, quit_cb, loop);
  g_unix_signal_add (SIGTERM, quit_cb, loop);

  camera = io_stream_connection_open_name (argc > 1 ? argv[1] : "camera", NULL, &error);
  if (camera == NULL || !watch (camera, &viewer, &error))
    {
      g_printerr ("viewer: %s\n", error->message);
      return EXIT_FAILURE;
    }

  return viewer.broken == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
