/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "iostream-tool.h"

static gboolean json = FALSE;

static const GOptionEntry entries[] = {
  { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL },
  { NULL },
};

static void
print_fact (const char *key,
            GVariant   *value)
{
  g_autofree char *text = NULL;

  text = g_variant_is_of_type (value, G_VARIANT_TYPE_STRING) ? g_variant_dup_string (value, NULL)
                                                             : g_variant_print (value, FALSE);
  tool_print ("%-16s %s\n", key, text);
}

static void
print_facts (GVariant *facts)
{
  GVariantIter iter;
  const char *key;
  GVariant *value;

  g_variant_iter_init (&iter, facts);
  while (g_variant_iter_loop (&iter, "{&sv}", &key, &value))
    print_fact (key, value);
}

int
tool_info_run (const Tool  *tool,
               int          argc,
               char       **argv)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) facts = NULL;

  if (!tool_parse (tool, entries, NULL, &argc, &argv, 1, 1))
    return TOOL_EXIT_USAGE;

  facts = tool_copy_facts (argv[1], &error);
  if (facts == NULL)
    return tool_fail (tool, error);

  if (json)
    tool_print_json (facts);
  else
    print_facts (facts);

  return tool_finish (tool);
}
