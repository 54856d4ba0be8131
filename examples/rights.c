/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* rights own NAME UID: a stream for which each client has the rights of its
 * user. Its own user may do everything, user UID may read and hold two buffers,
 * and all others are sent away. Ends at Ctrl-C.
 * rights read NAME: takes one buffer, and tries to set the mode.
 *
 * For others to find the name, they and the owner must have the same
 * IOSTREAM_RUNTIME_DIR, which belongs to the owner and lets them through
 * (chmod 711). */

#include <libiostream/iostream.h>

#include <glib-unix.h>
#include <locale.h>
#include <stdlib.h>
#include <unistd.h>

/* The user is what the kernel says; the name is what the client says. */
static gboolean
authorize_cb (IOService    *service,
              IOUserClient *client,
              gpointer      user_data)
{
  guint guest = GPOINTER_TO_UINT (user_data);
  guint uid = io_user_client_get_uid (client);
  g_autoptr (GError) reason = NULL;

  if (uid == geteuid ())
    return TRUE;

  if (uid == guest)
    {
      io_user_client_set_read_only (client, TRUE);
      io_user_client_set_limits (client, 2, 1 << 20);
      return TRUE;
    }

  /* Without this it is told that its user is not let in. */
  reason = g_error_new (IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED,
                        "This is for user %u, and you are user %u", guest, uid);
  io_user_client_terminate (client, reason);
  return FALSE;
}

/* A client at its limit misses this one. */
static gboolean
show_cb (gpointer user_data)
{
  IOStream *stream = user_data;
  IOStreamBuffer *buffer = io_stream_acquire_buffer (stream, NULL);

  if (buffer != NULL)
    g_strlcpy (io_stream_buffer_peek_data (buffer, NULL), "hello", 4096);
  if (buffer != NULL && !io_stream_send_buffer (stream, buffer, NULL))
    io_stream_release_buffer (stream, buffer);

  return G_SOURCE_CONTINUE;
}

static gboolean
quit_cb (gpointer user_data)
{
  g_main_loop_quit (user_data);

  return G_SOURCE_CONTINUE;
}

static gboolean
own (const char  *name,
     guint        guest,
     GError     **error)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (IOStream) stream = g_initable_new (IO_TYPE_STREAM, NULL, error, "name", name, "buffer-count", 8,
                                                "data-size", (guint64) 4096, "socket-mode", 0666, NULL);

  if (stream == NULL)
    return FALSE;
  g_signal_connect (stream, "authorize", G_CALLBACK (authorize_cb), GUINT_TO_POINTER (guest));
  if (!io_service_register (IO_SERVICE (stream), error))
    return FALSE;

  g_timeout_add (20, show_cb, stream);
  g_unix_signal_add (SIGINT, quit_cb, loop);
  g_unix_signal_add (SIGTERM, quit_cb, loop);
  g_main_loop_run (loop);
  io_service_terminate (IO_SERVICE (stream));

  return TRUE;
}

static gboolean
read_one (const char  *name,
          GError     **error)
{
  g_autoptr (IOStreamConnection) client = io_stream_connection_open_name (name, NULL, error);
  g_autoptr (GError) refused = NULL;
  IOStreamBufferQueueEntry entry;

  if (client == NULL)
    return FALSE;
  if (io_stream_connection_set_mode (client, IO_STREAM_MODE_OUTPUT, NULL, &refused))
    g_print ("The mode can be set\n");
  else
    g_print ("%s\n", refused->message);

  if (!io_stream_connection_start (client, NULL, error) ||
      !io_stream_connection_wait (client, -1, NULL, error) ||
      !io_stream_connection_dequeue_output_entry (client, &entry))
    return FALSE;
  g_print ("%s\n", (const char *) io_stream_connection_peek_data_buffer (client, entry.buffer_id, NULL));

  return io_connection_close (IO_CONNECTION (client), NULL, error);
}

int
main (int    argc,
      char **argv)
{
  g_autoptr (GError) error = NULL;
  gboolean ok;

  setlocale (LC_ALL, "");

  if (argc == 4 && strcmp (argv[1], "own") == 0)
    ok = own (argv[2], (guint) strtoul (argv[3], NULL, 10), &error);
  else if (argc == 3 && strcmp (argv[1], "read") == 0)
    ok = read_one (argv[2], &error);
  else
    return EXIT_FAILURE;

  if (!ok)
    g_printerr ("rights: %s\n", error != NULL ? error->message : "there is nothing to read");

  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
