/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* resume [NAME [OWNERS]]: a client that does not mind when its camera comes, or
 * how often. It waits until there is one, looks at its frames, waits again when
 * it goes, and ends when it has seen frames of so many cameras (or is told to
 * end). */

#include <libiostream/iostream.h>

#include <glib-unix.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
  GMainLoop          *loop;
  GCancellable       *cancellable;
  IOStreamConnection *camera;
  guint               wanted;   /* cameras to see */
  guint               seen;
  gboolean            failed;
} Watcher;

static void
output_available_cb (IOStreamConnection *camera,
                     Watcher            *watcher)
{
  guint generation = io_stream_connection_get_generation (camera);
  IOStreamBufferQueueEntry entry;

  while (io_stream_connection_dequeue_output_entry (camera, &entry))
    io_stream_connection_return_entry (camera, &entry, NULL);

  if (generation == watcher->seen)
    return;

  watcher->seen = generation;
  g_print ("camera %u: frames\n", generation);
  if (generation >= watcher->wanted)
    g_main_loop_quit (watcher->loop);
}

/* Told before each wait, and also when there is nothing to wait for: somebody
 * else has the name now, and is no camera. */
static void
disconnected_cb (IOStreamConnection *camera,
                 const GError       *error,
                 Watcher            *watcher)
{
  const char *reason = error != NULL ? error->message : "switched off";

  if (io_stream_connection_is_waiting (camera))
    {
      g_print ("camera %u: gone\n", io_stream_connection_get_generation (camera));
      return;
    }

  g_printerr ("resume: %s\n", reason);
  watcher->failed = TRUE;
  g_main_loop_quit (watcher->loop);
}

/* It is open and started as the last one was. What else a program had of the
 * last one, like watched attributes, it asks for again here. */
static void
resumed_cb (IOStreamConnection *camera,
            guint               generation,
            Watcher            *watcher)
{
  g_print ("camera %u: there\n", generation);
}

static void
opened_cb (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  Watcher *watcher = user_data;
  g_autoptr (GError) error = NULL;

  watcher->camera = io_stream_connection_await_name_finish (result, &error);
  if (watcher->camera == NULL)
    {
      watcher->failed = !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_printerr ("resume: %s\n", error->message);
      g_main_loop_quit (watcher->loop);
      return;
    }

  g_print ("camera 1: there\n");
  io_stream_connection_set_resume (watcher->camera, TRUE);
  g_signal_connect (watcher->camera, "output-available", G_CALLBACK (output_available_cb), watcher);
  g_signal_connect (watcher->camera, "disconnected", G_CALLBACK (disconnected_cb), watcher);
  g_signal_connect (watcher->camera, "resumed", G_CALLBACK (resumed_cb), watcher);
  if (!io_stream_connection_start (watcher->camera, NULL, &error))
    g_printerr ("resume: %s\n", error->message);
}

static gboolean
quit_cb (gpointer user_data)
{
  Watcher *watcher = user_data;

  g_cancellable_cancel (watcher->cancellable);
  if (watcher->camera != NULL)
    g_main_loop_quit (watcher->loop);

  return G_SOURCE_CONTINUE;
}

int
main (int    argc,
      char **argv)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Watcher watcher = { .loop = loop, .cancellable = cancellable, .wanted = G_MAXUINT };

  setlocale (LC_ALL, "");
  setvbuf (stdout, NULL, _IOLBF, 0);
  if (argc > 2)
    watcher.wanted = (guint) g_ascii_strtoull (argv[2], NULL, 10);
  g_unix_signal_add (SIGINT, quit_cb, &watcher);
  g_unix_signal_add (SIGTERM, quit_cb, &watcher);

  io_stream_connection_await_name_async (argc > 1 ? argv[1] : "camera", IO_STREAM_OPEN_NONE, -1,
                                         cancellable, opened_cb, &watcher);
  g_main_loop_run (loop);
  g_clear_object (&watcher.camera);

  return watcher.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
