/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* hotplug [CLASS]: follows the services of a class as they come and go, and
 * says what each is. hotplug --wait NAME SECONDS: waits for one service. */

#include <libiostream/iostream.h>

#include <glib-unix.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

/* What can be known without asking the owner. */
static void
describe (const char      *event,
          IORegistryEntry *entry)
{
  g_autoptr (GVariant) attributes = io_registry_entry_copy_attributes (entry);
  g_autofree char *text = g_variant_print (attributes, FALSE);

  g_print ("%s %s: %s of process %d, %s\n", event, io_registry_entry_get_name (entry),
           io_registry_entry_get_service_class (entry), io_registry_entry_get_pid (entry), text);
}

/* For those that exist as well as for those that will come. A program that
 * wants to use the service connects to it here. */
static void
matched_cb (IORegistry      *registry,
            IORegistryEntry *entry,
            gpointer         user_data)
{
  describe ("+", entry);
}

static void
changed_cb (IORegistry      *registry,
            IORegistryEntry *entry,
            gpointer         user_data)
{
  describe ("*", entry);
}

/* Its owner has terminated it, or has crashed: it makes no difference here. */
static void
terminated_cb (IORegistry      *registry,
               IORegistryEntry *entry,
               gpointer         user_data)
{
  g_print ("- %s: %u left\n", io_registry_entry_get_name (entry),
           g_list_model_get_n_items (G_LIST_MODEL (registry)));
}

static gboolean
quit_cb (gpointer user_data)
{
  g_main_loop_quit (user_data);

  return G_SOURCE_CONTINUE;
}

static gboolean
follow (const char  *class_name,
        GError     **error)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (IORegistry) registry = NULL;

  registry = io_registry_new (io_matching_new_for_class (class_name), error);
  if (registry == NULL)
    return FALSE;

  g_signal_connect (registry, "matched", G_CALLBACK (matched_cb), NULL);
  g_signal_connect (registry, "changed", G_CALLBACK (changed_cb), NULL);
  g_signal_connect (registry, "terminated", G_CALLBACK (terminated_cb), NULL);
  g_unix_signal_add (SIGINT, quit_cb, loop);
  g_unix_signal_add (SIGTERM, quit_cb, loop);
  g_main_loop_run (loop);

  return TRUE;
}

static gboolean
wait_for (const char  *name,
          double       seconds,
          GError     **error)
{
  g_autoptr (IORegistryEntry) entry = NULL;
  gint64 timeout = (gint64) (seconds * G_USEC_PER_SEC);

  entry = io_registry_wait_for_service (io_matching_new_for_name (name), timeout, NULL, error);
  if (entry == NULL)
    return FALSE;

  describe ("+", entry);

  return TRUE;
}

int
main (int   argc,
      char *argv[])
{
  g_autoptr (GError) error = NULL;
  gboolean done;

  setlocale (LC_ALL, "");
  setvbuf (stdout, NULL, _IOLBF, 0);
  if (argc > 3 && g_str_equal (argv[1], "--wait"))
    done = wait_for (argv[2], g_ascii_strtod (argv[3], NULL), &error);
  else
    done = follow (argc > 1 ? argv[1] : "IOService", &error);

  if (!done)
    g_printerr ("hotplug: %s\n", error->message);

  return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
