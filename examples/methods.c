/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* methods serve [NAME] | methods call [NAME]: a lens that other programs can
 * turn, and one of these programs. The lens has methods with numbers and a
 * struct, behind a table that checks their counts, and one that is typed. */

#include <libiostream/iostream.h>

#include <glib-unix.h>
#include <locale.h>
#include <stdlib.h>

enum { LENS_ZOOM, LENS_GET_CURVE, N_LENS_METHODS };
enum { LENS_DESCRIBE };

#define MAX_ZOOM   300
#define CURVE_SIZE 65536

/* The owner. */

/* There is one number, or the table would have refused the call. What it says
 * is the client's. */
static gboolean
set_zoom (IOUserClient               *client,
          IOExternalMethodArguments  *arguments,
          GError                    **error)
{
  static guint64 zoom = 100;
  guint64 before = zoom, wanted = io_external_method_arguments_get_scalar_input (arguments, NULL)[0];

  if (wanted > MAX_ZOOM)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
                   "Cannot zoom to %" G_GUINT64_FORMAT ": at most %d is possible", wanted, MAX_ZOOM);
      return FALSE;
    }
  zoom = wanted;
  io_external_method_arguments_set_scalar_output (arguments, &before, 1);
  return TRUE;
}

/* It is too large for a message, which nobody here needs to know. */
static gboolean
get_curve (IOUserClient               *client,
           IOExternalMethodArguments  *arguments,
           GError                    **error)
{
  g_autoptr (GBytes) curve = g_bytes_new_take (g_malloc0 (CURVE_SIZE), CURVE_SIZE);

  io_external_method_arguments_set_structure_output (arguments, curve);
  return TRUE;
}

static const IOExternalMethodDispatch lens_methods[N_LENS_METHODS] = {
  [LENS_ZOOM] = { set_zoom, 1, 0, 1, 0, FALSE },
  [LENS_GET_CURVE] = { get_curve, 0, 0, 0, CURVE_SIZE, FALSE },
};

static GVariant *
describe (IOService     *lens,
          IOUserClient  *client,
          guint          selector,
          GVariant      *parameters,
          IOAction      *action,
          gpointer       user_data,
          GError       **error)
{
  return g_variant_new_parsed ("{'maker': <'Nobody'>, 'max-zoom': <%u>}", MAX_ZOOM);
}

/* Who lets a client in can give it its methods. */
static gboolean
authorize_cb (IOService    *lens,
              IOUserClient *client)
{
  io_user_client_set_dispatch (client, lens_methods, N_LENS_METHODS);
  return TRUE;
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

  g_signal_connect (lens, "authorize", G_CALLBACK (authorize_cb), NULL);
  io_service_add_method (lens, LENS_DESCRIBE, describe, NULL, NULL);
  if (!io_service_register (lens, error))
    return FALSE;
  g_unix_signal_add (SIGTERM, quit_cb, loop);
  g_main_loop_run (loop);
  io_service_terminate (lens);
  return TRUE;
}

/* The client. */

static gboolean
call (const char  *name,
      GError     **error)
{
  g_autoptr (IOConnection) lens = io_connection_new_for_name (name, NULL, error);
  g_autoptr (GVariant) description = NULL;
  g_autoptr (GBytes) curve = NULL;
  g_autoptr (GError) refusal = NULL;
  g_autofree guint64 *before = NULL;
  g_autofree char *text = NULL;
  guint64 wanted = 250, too_much = 1000;

  if (lens == NULL)
    return FALSE;
  description = io_connection_call (lens, LENS_DESCRIBE, NULL, G_VARIANT_TYPE_VARDICT, NULL, error);
  if (description == NULL ||
      !io_connection_call_method (lens, LENS_ZOOM, &wanted, 1, NULL, 1, 0,
                                  &before, NULL, NULL, NULL, error) ||
      !io_connection_call_method (lens, LENS_GET_CURVE, NULL, 0, NULL, 0, CURVE_SIZE,
                                  NULL, NULL, &curve, NULL, error))
    return FALSE;

  text = g_variant_print (description, FALSE);
  g_print ("%s\nzoom was %" G_GUINT64_FORMAT ", curve of %" G_GSIZE_FORMAT " bytes\n", text, before[0],
           g_bytes_get_size (curve));
  if (!io_connection_call_method (lens, LENS_ZOOM, &too_much, 1, NULL, 1, 0, NULL, NULL, NULL, NULL, &refusal))
    g_print ("%s\n", refusal->message);

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
  g_printerr ("methods: %s\n", error->message);
  return EXIT_FAILURE;
}
