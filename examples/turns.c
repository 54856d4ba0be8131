/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A desk that one process at a time can use, and whoever comes may have it next:
 *
 *   turns own desk
 *   turns use desk ann      (and then, elsewhere)
 *   turns use desk bob
 *
 * Each user seizes the desk, writes its name on it, and leaves it when asked. */

#include <libiostream/iostream.h>

#include <glib-unix.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static GMainLoop *loop;

/* The owner lets clients set one attribute. */

typedef IOService      Desk;
typedef IOServiceClass DeskClass;

static GType desk_get_type (void);

G_DEFINE_TYPE (Desk, desk, IO_TYPE_SERVICE)

static gboolean
desk_client_set_attribute (IOService     *service,
                           IOUserClient  *client,
                           const char    *key,
                           GVariant      *value,
                           GError       **error)
{
  if (strcmp (key, "user") == 0 && io_service_is_open (service, client))
    {
      io_service_set_attribute (service, key, value);
      return TRUE;
    }

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED, "Not yours to set: %s", key);
  return FALSE;
}

static void
desk_class_init (DeskClass *klass)
{
  klass->client_set_attribute = desk_client_set_attribute;
}

static void
desk_init (Desk *self)
{
}

/* In order: who sits there gets the time to leave. */
static gboolean
stop_cb (gpointer service)
{
  io_service_terminate_async (service, NULL, NULL, NULL);
  return G_SOURCE_REMOVE;
}

static gboolean
own (const char  *name,
     GError     **error)
{
  g_autoptr (IOService) desk = g_object_new (desk_get_type (), "name", name, NULL);

  if (!io_service_register (desk, error))
    return FALSE;

  g_unix_signal_add (SIGTERM, stop_cb, desk);
  g_signal_connect_swapped (desk, "terminated", G_CALLBACK (g_main_loop_quit), loop);
  g_main_loop_run (loop);
  return TRUE;
}

static void
asked_cb (IOConnection *desk,
          guint         type,
          GVariant     *argument,
          gpointer      user)
{
  g_print ("%s is asked to leave\n", (const char *) user);
  io_connection_close (desk, NULL, NULL);
}

static void
user_cb (IOConnection *desk,
         const char   *key,
         GVariant     *value,
         gpointer      user)
{
  const char *now = value != NULL ? g_variant_get_string (value, NULL) : "nobody";

  if (strcmp (now, user) != 0)
    g_print ("user is %s\n", now);
}

static gboolean
use (const char  *name,
     char        *user,
     GError     **error)
{
  g_autoptr (IOConnection) desk = io_connection_new_for_name (name, NULL, error);

  if (desk == NULL)
    return FALSE;

  g_signal_connect (desk, "service-message::requesting-close", G_CALLBACK (asked_cb), user);
  g_signal_connect (desk, "attribute-changed::user", G_CALLBACK (user_cb), user);
  g_signal_connect_swapped (desk, "disconnected", G_CALLBACK (g_main_loop_quit), loop);
  if (!io_connection_watch_attributes (desk, NULL, error) ||
      !io_connection_open (desk, IO_SERVICE_OPEN_SEIZE, NULL, error))
    return FALSE;
  g_print ("%s has it\n", user);
  if (!io_connection_set_attribute (desk, "user", g_variant_new_string (user), NULL, error))
    return FALSE;

  g_main_loop_run (loop);
  g_print ("%s ends\n", name);
  return TRUE;
}

int
main (int    argc,
      char **argv)
{
  g_autoptr (GError) error = NULL;
  gboolean ok = FALSE;

  setvbuf (stdout, NULL, _IOLBF, 0);
  loop = g_main_loop_new (NULL, FALSE);
  if (argc == 3 && strcmp (argv[1], "own") == 0)
    ok = own (argv[2], &error);
  else if (argc == 4 && strcmp (argv[1], "use") == 0)
    ok = use (argv[2], argv[3], &error);
  else
    g_printerr ("Usage: turns own NAME | turns use NAME USER\n");
  g_main_loop_unref (loop);

  if (error != NULL)
    g_printerr ("turns: %s\n", error->message);
  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
