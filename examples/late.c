/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* late own NAME: a board on which something is written once and stays, for all
 * who look at it later. Ends at Ctrl-C.
 * late look NAME: shows what stands there, at once: nothing new has to be sent
 * for it. */

#include <libiostream/iostream.h>

#include <glib-unix.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

/* The first who starts it has it written; the others get what is kept. */
static void
state_cb (IOStream   *stream,
          GParamSpec *pspec,
          gpointer    user_data)
{
  gboolean *written = user_data;
  IOStreamBuffer *buffer;

  if (*written || io_stream_get_state (stream) != IO_STREAM_STATE_RUNNING)
    return;

  buffer = io_stream_acquire_buffer (stream, NULL);
  g_strlcpy (io_stream_buffer_peek_data (buffer, NULL), "Gone for lunch", 4096);
  *written = io_stream_send_buffer (stream, buffer, NULL);
}

static gboolean
quit_cb (gpointer user_data)
{
  g_main_loop_quit (user_data);

  return G_SOURCE_CONTINUE;
}

static gboolean
own (const char  *name,
     GError     **error)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (IOStream) stream = io_stream_new (name, 4, 4096, 0, error);
  gboolean written = FALSE;

  if (stream == NULL)
    return FALSE;
  io_stream_set_history_count (stream, 1);
  g_signal_connect (stream, "notify::state", G_CALLBACK (state_cb), &written);
  if (!io_service_register (IO_SERVICE (stream), error))
    return FALSE;

  g_unix_signal_add (SIGINT, quit_cb, loop);
  g_unix_signal_add (SIGTERM, quit_cb, loop);
  g_main_loop_run (loop);
  io_service_terminate (IO_SERVICE (stream));

  return TRUE;
}

static gboolean
look (const char  *name,
      GError     **error)
{
  g_autoptr (IOStreamConnection) client = io_stream_connection_new_for_name (name, NULL, error);
  IOStreamBufferQueueEntry entry;

  if (client == NULL)
    return FALSE;
  io_stream_connection_set_replay (client, 1);
  if (!io_connection_open (IO_CONNECTION (client), IO_STREAM_OPEN_SHARED, NULL, error) ||
      !io_stream_connection_start (client, NULL, error) ||
      !io_stream_connection_wait (client, -1, NULL, error) ||
      !io_stream_connection_dequeue_output_entry (client, &entry))
    return FALSE;

  g_print ("%u: %s\n", entry.sequence,
           (const char *) io_stream_connection_peek_data_buffer (client, entry.buffer_id, NULL));

  return io_connection_close (IO_CONNECTION (client), NULL, error);
}

int
main (int    argc,
      char **argv)
{
  g_autoptr (GError) error = NULL;
  gboolean ok;

  setlocale (LC_ALL, "");

  if (argc == 3 && strcmp (argv[1], "own") == 0)
    ok = own (argv[2], &error);
  else if (argc == 3 && strcmp (argv[1], "look") == 0)
    ok = look (argv[2], &error);
  else
    return EXIT_FAILURE;

  if (!ok)
    g_printerr ("late: %s\n", error != NULL ? error->message : "there is nothing to read");

  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
