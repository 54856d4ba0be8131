/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "iostream-tool.h"

static gboolean json = FALSE;
static gboolean watch = FALSE;
static char *class_name = NULL;
static char **conditions = NULL;

static const GOptionEntry entries[] = {
  { "class", 'c', 0, G_OPTION_ARG_STRING, &class_name, "Only services of this class", "CLASS" },
  { "match", 'm', 0, G_OPTION_ARG_STRING_ARRAY, &conditions,
    "Only services with this attribute, or with this value of it", "KEY[=VALUE]" },
  { "watch", 'w', 0, G_OPTION_ARG_NONE, &watch, "Go on and print what comes and goes", NULL },
  { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL },
  { NULL },
};

static const char * const columns[] = {
  "name", "class", "state", "mode", "buffer-count", "data-size", "pid",
};

static const char * const titles[] = {
  "NAME", "CLASS", "STATE", "MODE", "BUFFERS", "SIZE", "PID",
};

/* A service that went away between the list and the question is none any
 * more; what else is wrong with one is said in its place. */
static GPtrArray *
collect (char **names)
{
  g_autoptr (GPtrArray) all = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);

  for (char **name = names; *name != NULL; name++)
    {
      g_autoptr (GError) error = NULL;
      GVariant *facts = tool_copy_facts (*name, &error);

      if (facts != NULL)
        g_ptr_array_add (all, facts);
      else if (!g_error_matches (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND))
        g_ptr_array_add (all, g_variant_ref_sink (g_variant_new_parsed ("{'name': <%s>, 'error': <%s>}",
                                                                        *name, error->message)));
    }

  return g_steal_pointer (&all);
}

static char *
dup_cell (GVariant   *facts,
          const char *column)
{
  g_autoptr (GVariant) value = g_variant_lookup_value (facts, column, NULL);

  if (value == NULL)
    return g_strdup ("-");
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING))
    return g_variant_dup_string (value, NULL);

  return g_variant_print (value, FALSE);
}

static void
print_row (char      **cells,
           const int  *widths)
{
  for (gsize i = 0; i < G_N_ELEMENTS (columns); i++)
    {
      int width = i + 1 < G_N_ELEMENTS (columns) ? widths[i] : 0;
      int pad = MAX (width - (int) g_utf8_strlen (cells[i], -1), 0);

      tool_print ("%s%*s%s", cells[i], pad, "", width > 0 ? "  " : "\n");
    }
}

static void
print_table (GPtrArray *all)
{
  g_autoptr (GPtrArray) rows = g_ptr_array_new_with_free_func ((GDestroyNotify) g_strfreev);
  int widths[G_N_ELEMENTS (columns)] = { 0, };

  g_ptr_array_add (rows, g_strdupv ((char **) (gpointer) (const char *[]) {
    titles[0], titles[1], titles[2], titles[3], titles[4], titles[5], titles[6], NULL }));
  for (guint i = 0; i < all->len; i++)
    {
      char **cells = g_new0 (char *, G_N_ELEMENTS (columns) + 1);

      for (gsize j = 0; j < G_N_ELEMENTS (columns); j++)
        cells[j] = dup_cell (g_ptr_array_index (all, i), columns[j]);
      g_ptr_array_add (rows, cells);
    }

  for (guint i = 0; i < rows->len; i++)
    for (gsize j = 0; j < G_N_ELEMENTS (columns); j++)
      widths[j] = MAX (widths[j], (int) g_utf8_strlen (((char **) g_ptr_array_index (rows, i))[j], -1));

  for (guint i = 0; i < rows->len; i++)
    print_row (g_ptr_array_index (rows, i), widths);
}

static int
compare_names (gconstpointer a,
               gconstpointer b)
{
  return g_strcmp0 (*(const char * const *) a, *(const char * const *) b);
}

static char **
list_matching (GVariant  *matching,
               GError   **error)
{
  g_autoptr (GPtrArray) entries_found = io_registry_list_services (matching, error);
  GPtrArray *names;

  if (entries_found == NULL)
    return NULL;

  names = g_ptr_array_new ();
  for (guint i = 0; i < entries_found->len; i++)
    g_ptr_array_add (names, g_strdup (io_registry_entry_get_name (entries_found->pdata[i])));
  g_ptr_array_sort (names, compare_names);
  g_ptr_array_add (names, NULL);

  return (char **) g_ptr_array_free (names, FALSE);
}

int
tool_list_run (const Tool  *tool,
               int          argc,
               char       **argv)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) all = NULL;
  g_autoptr (GVariant) matching = NULL;
  g_auto (GStrv) names = NULL;

  if (!tool_parse (tool, entries, NULL, &argc, &argv, 0, 0))
    return TOOL_EXIT_USAGE;
  matching = tool_parse_matching (tool, class_name, conditions);
  if (matching == NULL)
    return TOOL_EXIT_USAGE;
  if (watch)
    return tool_watch (tool, matching, json);

  names = class_name != NULL || conditions != NULL ? list_matching (matching, &error)
                                                   : io_service_list_names (&error);
  if (names == NULL)
    return tool_fail (tool, error);

  all = collect (names);
  if (json)
    {
      g_autoptr (GVariant) value = NULL;

      value = g_variant_ref_sink (g_variant_new_array (G_VARIANT_TYPE_VARDICT,
                                                       (GVariant **) all->pdata, all->len));
      tool_print_json (value);
    }
  else if (all->len > 0)
    print_table (all);

  return tool_finish (tool);
}
