/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "iostream-tool.h"

#include <string.h>

/* What comes and goes, a line for each event. */

typedef struct {
  ToolRun     run;
  IORegistry *registry;
  gboolean    json;
} Follower;

/* A value as a GVariant is written, or else a text. */
static GVariant *
parse_value (const char *text)
{
  GVariant *value = g_variant_parse (NULL, text, NULL, NULL, NULL);

  return value != NULL ? value : g_variant_ref_sink (g_variant_new_string (text));
}

GVariant *
tool_parse_matching (const Tool  *tool,
                     const char  *class_name,
                     char       **conditions)
{
  g_autoptr (GVariantDict) properties = g_variant_dict_new (NULL);
  g_autoptr (GPtrArray) present = g_ptr_array_new_with_free_func (g_free);
  GVariantDict matching;

  for (char **p = conditions; p != NULL && *p != NULL; p++)
    {
      const char *sign = strchr (*p, '=');
      g_autofree char *key = sign != NULL ? g_strndup (*p, sign - *p) : g_strdup (*p);
      g_autoptr (GVariant) value = sign != NULL ? parse_value (sign + 1) : NULL;

      if (*key == '\0')
        {
          tool_misuse (tool, "“%s” names no attribute", *p);
          return NULL;
        }
      if (value != NULL)
        g_variant_dict_insert_value (properties, key, value);
      else
        g_ptr_array_add (present, g_steal_pointer (&key));
    }

  g_variant_dict_init (&matching, NULL);
  if (class_name != NULL)
    g_variant_dict_insert (&matching, IO_MATCHING_CLASS, "s", class_name);
  g_variant_dict_insert_value (&matching, IO_MATCHING_PROPERTIES, g_variant_dict_end (properties));
  g_variant_dict_insert_value (&matching, IO_MATCHING_PROPERTIES_EXIST,
                               g_variant_new_strv ((const char * const *) present->pdata,
                                                   present->len));

  return g_variant_ref_sink (g_variant_dict_end (&matching));
}

static void
print_json (const char      *event,
            IORegistryEntry *entry)
{
  g_autoptr (GVariant) attributes = io_registry_entry_copy_attributes (entry);
  g_autoptr (GVariant) value = NULL;

  value = g_variant_ref_sink (g_variant_new_parsed ("{'event': <%s>, 'name': <%s>, 'class': <%s>, "
                                                    "'pid': <%i>, 'attributes': <%@a{sv}>}", event,
                                                    io_registry_entry_get_name (entry),
                                                    io_registry_entry_get_service_class (entry),
                                                    io_registry_entry_get_pid (entry), attributes));
  tool_print_json (value);
}

static void
tell (Follower        *self,
      const char      *event,
      IORegistryEntry *entry)
{
  int status;

  if (self->json)
    print_json (event, entry);
  else
    tool_print ("%-10s  %s  %s  %d\n", event, io_registry_entry_get_name (entry),
                io_registry_entry_get_service_class (entry), io_registry_entry_get_pid (entry));
  if (!tool_flush (self->run.tool, &status))
    tool_run_end (&self->run, status);
}

static void
matched_cb (IORegistry      *registry,
            IORegistryEntry *entry,
            gpointer         user_data)
{
  tell (user_data, "matched", entry);
}

static void
changed_cb (IORegistry      *registry,
            IORegistryEntry *entry,
            gpointer         user_data)
{
  tell (user_data, "changed", entry);
}

static void
unmatched_cb (IORegistry      *registry,
              IORegistryEntry *entry,
              gpointer         user_data)
{
  tell (user_data, "unmatched", entry);
}

static void
terminated_cb (IORegistry      *registry,
               IORegistryEntry *entry,
               gpointer         user_data)
{
  tell (user_data, "terminated", entry);
}

int
tool_watch (const Tool *tool,
            GVariant   *matching,
            gboolean    json)
{
  Follower self = { .json = json };
  g_autoptr (GError) error = NULL;
  int status;

  self.registry = io_registry_new (matching, &error);
  if (self.registry == NULL)
    return tool_fail (tool, error);

  tool_run_init (&self.run, tool);
  g_signal_connect (self.registry, "matched", G_CALLBACK (matched_cb), &self);
  g_signal_connect (self.registry, "changed", G_CALLBACK (changed_cb), &self);
  g_signal_connect (self.registry, "unmatched", G_CALLBACK (unmatched_cb), &self);
  g_signal_connect (self.registry, "terminated", G_CALLBACK (terminated_cb), &self);
  status = tool_run_loop (&self.run);
  g_object_unref (self.registry);
  tool_run_clear (&self.run);

  return status;
}
