/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* control [NAME]: an owner that its clients call and wait for, like a camera
 * with a lens: what a client asks for has happened when its call returns. Ends
 * at Ctrl-C.
 *
 * control --zoom NAME FACTOR...: the other side. Sets each factor, and says
 * what became of it. */

#include <libiostream/iostream.h>

#include <glib-unix.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FACTOR 10

/* --- the owner -------------------------------------------------------------- */

typedef struct {
  IOStream parent_instance;
  guint    factor;
} Camera;

typedef IOStreamClass CameraClass;

static GType camera_get_type (void);
G_DEFINE_TYPE (Camera, camera, IO_TYPE_STREAM)

/* The token is the factor. The client waits for this, so it had better be
 * quick; the code of the error reaches it, the text stays here. */
static gboolean
camera_input_sync_callback (IOStream  *stream,
                            guint32    token,
                            GError   **error)
{
  Camera *self = (Camera *) stream;

  if (token < 1 || token > MAX_FACTOR)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT, "There is no factor %u", token);
      return FALSE;
    }

  g_print ("zoom %u -> %u\n", self->factor, token);
  self->factor = token;

  return TRUE;
}

static void
camera_class_init (CameraClass *klass)
{
  klass->input_sync_callback = camera_input_sync_callback;
}

static void
camera_init (Camera *self)
{
  self->factor = 1;
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

  stream = g_initable_new (camera_get_type (), NULL, error, "name", name, NULL);
  if (stream == NULL || !io_service_register (IO_SERVICE (stream), error))
    return FALSE;

  g_unix_signal_add (SIGINT, quit_cb, loop);
  g_unix_signal_add (SIGTERM, quit_cb, loop);
  g_main_loop_run (loop);
  io_service_terminate (IO_SERVICE (stream));

  return TRUE;
}

/* --- the client ------------------------------------------------------------- */

static gboolean
run_client (const char  *name,
            char       **factors,
            GError     **error)
{
  g_autoptr (IOStreamConnection) connection = io_stream_connection_open_name (name, NULL, error);

  if (connection == NULL)
    return FALSE;

  for (; *factors != NULL; factors++)
    {
      guint32 factor = (guint32) g_ascii_strtoull (*factors, NULL, 10);
      g_autoptr (GError) local_error = NULL;

      if (io_stream_connection_send_input_sync_notification (connection, factor, NULL, &local_error))
        g_print ("%u: done\n", factor);
      else if (g_error_matches (local_error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT))
        g_print ("%u: refused\n", factor);
      else
        {
          g_propagate_error (error, g_steal_pointer (&local_error));
          return FALSE;
        }
    }

  return io_connection_close (IO_CONNECTION (connection), NULL, error);
}

int
main (int    argc,
      char **argv)
{
  g_autoptr (GError) error = NULL;
  gboolean done;

  setlocale (LC_ALL, "");

  if (argc > 3 && strcmp (argv[1], "--zoom") == 0)
    done = run_client (argv[2], argv + 3, &error);
  else
    done = run_owner (argc > 1 ? argv[1] : "control", &error);

  if (!done)
    g_printerr ("control: %s\n", error->message);

  return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
