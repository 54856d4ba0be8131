/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* action serve [NAME] | action call [NAME]: a lens that takes its time to
 * focus, and a program that waits for it without being blocked. The owner keeps
 * the call as an action, reports how far it is, and answers when it is done. */

#include <libiostream/iostream.h>

#include <glib-unix.h>
#include <locale.h>
#include <stdlib.h>

enum { LENS_FOCUS };

/* The owner. */

typedef struct {
  IOAction *action;   /* ours, or the client would hear that we gave up */
  guint32   now;
  guint32   wanted;
} Focus;

static void
focus_free (Focus *focus)
{
  g_object_unref (focus->action);
  g_free (focus);
}

/* One step of the motor. Nobody waits for it any more if the client cancelled,
 * or died. */
static gboolean
step_cb (gpointer user_data)
{
  Focus *focus = user_data;

  if (io_action_is_cancelled (focus->action))
    return G_SOURCE_REMOVE;

  if (focus->now < focus->wanted)
    {
      focus->now++;
      io_action_report_progress (focus->action, g_variant_new_uint32 (focus->now), NULL);
      return G_SOURCE_CONTINUE;
    }
  io_action_complete_variant (focus->action, g_variant_new ("(bu)", TRUE, focus->now), NULL);
  return G_SOURCE_REMOVE;
}

static GVariant *
focus_cb (IOService     *lens,
          IOUserClient  *client,
          guint          selector,
          GVariant      *parameters,
          IOAction      *action,
          gpointer       user_data,
          GError       **error)
{
  Focus *focus;

  /* A client can call without waiting for an action, and with any type. */
  if (action == NULL || !g_variant_is_of_type (parameters, G_VARIANT_TYPE ("(u)")))
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
                   "Cannot focus: it takes a distance, and its time");
      return NULL;
    }

  focus = g_new0 (Focus, 1);
  focus->action = g_object_ref (action);
  g_variant_get (parameters, "(u)", &focus->wanted);
  g_timeout_add_full (G_PRIORITY_DEFAULT, 20, step_cb, focus, (GDestroyNotify) focus_free);
  return NULL;
}

static gboolean
quit_cb (gpointer user_data)
{
  g_main_loop_quit (user_data);
  return G_SOURCE_REMOVE;
}

static gboolean
serve (const char  *name,
       GError     **error)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (IOService) lens = io_service_new (name);

  io_service_add_method (lens, LENS_FOCUS, focus_cb, NULL, NULL);
  if (!io_service_register (lens, error))
    return FALSE;
  g_unix_signal_add (SIGTERM, quit_cb, loop);
  g_main_loop_run (loop);
  io_service_terminate (lens);
  return TRUE;
}

/* The client. */

static void
progress_cb (IOConnection *lens,
             GVariant     *progress,
             gpointer      user_data)
{
  if (g_variant_is_of_type (progress, G_VARIANT_TYPE_UINT32))
    g_print ("at %u\n", g_variant_get_uint32 (progress));
}

static void
focused_cb (GObject      *lens,
            GAsyncResult *result,
            gpointer      user_data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = io_connection_call_finish (IO_CONNECTION (lens), result, &error);

  g_print ("%s\n", answer != NULL ? "in focus" : error->message);
  g_main_loop_quit (user_data);
}

static gboolean
call (const char  *name,
      GError     **error)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (IOConnection) lens = io_connection_new_for_name (name, NULL, error);

  if (lens == NULL)
    return FALSE;
  io_connection_call_async (lens, LENS_FOCUS, g_variant_new ("(u)", 5), G_VARIANT_TYPE ("(bu)"),
                            progress_cb, NULL, NULL, NULL, focused_cb, loop);
  g_main_loop_run (loop);
  return TRUE;
}

int
main (int    argc,
      char **argv)
{
  const char *name = argc > 2 ? argv[2] : "lens";
  g_autoptr (GError) error = NULL;
  gboolean serves = argc > 1 && g_str_equal (argv[1], "serve");

  setlocale (LC_ALL, "");
  if (serves ? serve (name, &error) : call (name, &error))
    return EXIT_SUCCESS;
  g_printerr ("action: %s\n", error->message);
  return EXIT_FAILURE;
}
