/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

/* A registry whose signals are written down, and an owner in another process
 * that does as it is told. */

#include <libiostream/iostream.h>

#include "peer-process.h"
#include "service-util.h"

typedef struct {
  IORegistry *registry;
  GString    *log;
  GPtrArray  *model;    /* what items-changed tells */
  guint       n_matched;
  guint       n_terminated;
  gint64      last;
} Watch;

static inline void
watch_note (Watch           *self,
            const char      *what,
            IORegistryEntry *entry)
{
  g_string_append_printf (self->log, "%s %s\n", what, io_registry_entry_get_name (entry));
  self->last = g_get_monotonic_time ();
}

static inline void
watch_published_cb (IORegistry      *registry,
                    IORegistryEntry *entry,
                    gpointer         user_data)
{
  g_assert_false (io_registry_entry_is_inactive (entry));
  watch_note (user_data, "published", entry);
}

static inline void
watch_matched_cb (IORegistry      *registry,
                  IORegistryEntry *entry,
                  gpointer         user_data)
{
  Watch *self = user_data;

  self->n_matched++;
  watch_note (self, "matched", entry);
}

static inline void
watch_changed_cb (IORegistry      *registry,
                  IORegistryEntry *entry,
                  gpointer         user_data)
{
  watch_note (user_data, "changed", entry);
}

static inline void
watch_unmatched_cb (IORegistry      *registry,
                    IORegistryEntry *entry,
                    gpointer         user_data)
{
  g_assert_false (io_registry_entry_is_inactive (entry));
  watch_note (user_data, "unmatched", entry);
}

static inline void
watch_terminated_cb (IORegistry      *registry,
                     IORegistryEntry *entry,
                     gpointer         user_data)
{
  Watch *self = user_data;

  self->n_terminated++;
  g_assert_true (io_registry_entry_is_inactive (entry));
  watch_note (self, "terminated", entry);
}

static inline void
watch_items_changed_cb (GListModel *model,
                        guint       position,
                        guint       removed,
                        guint       added,
                        gpointer    user_data)
{
  Watch *self = user_data;

  g_assert_cmpuint (removed + added, ==, 1);
  if (removed > 0)
    g_ptr_array_remove_index (self->model, position);
  else
    g_ptr_array_insert (self->model, position, g_list_model_get_item (model, position));
}

static inline void
watch_check_model (Watch *self)
{
  GListModel *model = G_LIST_MODEL (self->registry);
  g_autoptr (GPtrArray) services = io_registry_get_services (self->registry);

  g_assert_cmpuint (g_list_model_get_n_items (model), ==, self->model->len);
  g_assert_cmpuint (services->len, ==, self->model->len);
  for (guint i = 0; i < self->model->len; i++)
    {
      g_autoptr (IORegistryEntry) entry = g_list_model_get_item (model, i);

      g_assert_true (entry == g_ptr_array_index (self->model, i));
      g_assert_true (entry == g_ptr_array_index (services, i));
      g_assert_true (entry == io_registry_lookup_name (self->registry,
                                                       io_registry_entry_get_name (entry)));
    }
  g_assert_null (g_list_model_get_item (model, self->model->len));
}

static inline void
watch_init (Watch    *self,
            GVariant *matching)
{
  g_autoptr (GError) error = NULL;

  self->registry = io_registry_new (matching, &error);
  g_assert_no_error (error);
  self->log = g_string_new (NULL);
  self->model = io_registry_get_services (self->registry);
  self->n_matched = self->n_terminated = 0;
  g_signal_connect (self->registry, "published", G_CALLBACK (watch_published_cb), self);
  g_signal_connect (self->registry, "matched", G_CALLBACK (watch_matched_cb), self);
  g_signal_connect (self->registry, "changed", G_CALLBACK (watch_changed_cb), self);
  g_signal_connect (self->registry, "unmatched", G_CALLBACK (watch_unmatched_cb), self);
  g_signal_connect (self->registry, "terminated", G_CALLBACK (watch_terminated_cb), self);
  g_signal_connect (self->registry, "items-changed", G_CALLBACK (watch_items_changed_cb), self);
}

static inline void
watch_clear (Watch *self)
{
  watch_check_model (self);
  g_ptr_array_unref (self->model);
  g_assert_finalize_object (g_steal_pointer (&self->registry));
  g_string_free (self->log, TRUE);
}

/* All that was told since the last time, and nothing else. */
static inline void
watch_expect (Watch      *self,
              const char *log)
{
  while (self->log->len < strlen (log))
    g_main_context_iteration (NULL, TRUE);
  settle ();
  g_assert_cmpstr (self->log->str, ==, log);
  g_string_truncate (self->log, 0);
  watch_check_model (self);
}

/* In the other process. */

static inline void
owner_obey (GHashTable  *services,
            char       **words)
{
  const char *name = words[1];
  IOService *service = name != NULL ? g_hash_table_lookup (services, name) : NULL;

  if (g_str_equal (words[0], "register") && service == NULL)
    {
      GType type = words[2] != NULL && g_str_equal (words[2], "stream") ? IO_TYPE_STREAM
                                                                        : IO_TYPE_SERVICE;

      service = g_object_new (type, "name", name, NULL);
      g_hash_table_insert (services, g_strdup (name), service);
      g_assert_true (io_service_register (service, NULL));
    }
  else if (g_str_equal (words[0], "register"))
    g_assert_true (io_service_register (service, NULL));
  else if (g_str_equal (words[0], "set"))
    io_service_set_attribute (service, words[2], g_variant_new_parsed (words[3]));
  else if (g_str_equal (words[0], "terminate"))
    {
      io_service_terminate (service);
      g_hash_table_remove (services, name);
    }
  else if (g_str_equal (words[0], "many"))
    for (int i = 0; i < atoi (words[2]); i++)
      {
        g_autofree char *numbered = g_strdup_printf ("%s%d", name, i);
        g_autoptr (GError) error = NULL;

        service = io_service_new (numbered);
        io_service_register (service, &error);
        g_assert_no_error (error);
        g_hash_table_insert (services, g_steal_pointer (&numbered), service);
      }
  else if (g_str_equal (words[0], "fork"))
    {
      pid_t pid = fork ();

      if (pid == 0)
        {
          /* It lives as long as the test does. */
          pause ();
          _exit (0);
        }
      peer_say ("%d", pid);
    }
}

static inline int
owner_run (void)
{
  g_autoptr (GHashTable) services = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                                           g_object_unref);
  GHashTableIter iter;
  gpointer service;
  char *order;

  peer_say ("here");
  while ((order = peer_take_order ()) != NULL)
    {
      g_auto (GStrv) words = g_strsplit (order, " ", 4);

      owner_obey (services, words);
      settle ();
      peer_say ("done");
      g_free (order);
    }

  g_hash_table_iter_init (&iter, services);
  while (g_hash_table_iter_next (&iter, NULL, &service))
    io_service_terminate (service);
  return 0;
}

static inline Peer *
owner_spawn (void)
{
  Peer *peer = peer_spawn (-1, -1, "owner", NULL);

  peer_expect (peer, "here");
  return peer;
}

static inline void
owner_do (Peer       *peer,
          const char *order)
{
  peer_order (peer, order);
  peer_expect (peer, "done");
}

/* What a killed owner leaves. */
static inline void
sweep (void)
{
  const char *directory = g_getenv ("IOSTREAM_RUNTIME_DIR");
  g_autoptr (GDir) dir = g_dir_open (directory, 0, NULL);
  const char *file;

  while ((file = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (directory, file, NULL);

      g_remove (path);
    }
}
