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
  g_autofree char *name = tool_escape (key);
  g_autofree char *text = NULL;

  text = g_variant_is_of_type (value, G_VARIANT_TYPE_STRING) ? tool_escape (g_variant_get_string (value, NULL))
                                                             : g_variant_print (value, FALSE);
  tool_print ("%-16s %s\n", name, text);
}

static void
print_facts (GVariant *facts)
{
  GVariantIter iter;
  const char *key;
  GVariant *value;

  g_variant_iter_init (&iter, facts);
  while (g_variant_iter_loop (&iter, "{&sv}", &key, &value))
    if (!g_str_equal (key, "statistics"))
      print_fact (key, value);
}

/* Under a name of its own, with which an attribute of the service that has it
 * too gives way. */
static void
add_statistics (GVariant           **facts,
                IOStreamStatistics  *statistics)
{
  g_autoptr (GVariant) value = tool_describe_statistics (statistics, NULL);
  GVariantDict dict;

  g_variant_dict_init (&dict, *facts);
  g_variant_dict_insert_value (&dict, "statistics", value);
  g_variant_unref (*facts);
  *facts = tool_sort_facts (&dict);
}

/* For people: how much, and who. */
static void
print_statistics (const IOStreamStatistics *statistics)
{
  GPtrArray *clients = io_stream_statistics_get_clients (statistics);

  tool_print ("%-16s %" G_GUINT64_FORMAT "\n%-16s %" G_GUINT64_FORMAT "\n%-16s %" G_GUINT64_FORMAT "\n%-16s %u\n",
              "produced", statistics->produced, "delivered", statistics->delivered,
              "dropped", statistics->dropped, "clients", statistics->clients);
  for (guint i = 0; i < clients->len; i++)
    {
      const IOStreamClientStatistics *client = clients->pdata[i];
      g_autofree char *name = tool_escape (client->name);

      tool_print ("%-16s %s (process %d): %s, %s, delivered %" G_GUINT64_FORMAT ", dropped %" G_GUINT64_FORMAT
                  ", holds %u of %u\n", "client", name, client->pid,
                  tool_get_nick (IO_TYPE_STREAM_STATE, (int) client->state),
                  tool_get_nick (IO_TYPE_STREAM_DELIVERY, (int) client->delivery),
                  client->delivered, client->dropped, client->held, client->allowance);
    }
}

int
tool_info_run (const Tool  *tool,
               int          argc,
               char       **argv)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) facts = NULL;
  g_autoptr (IOStreamStatistics) statistics = NULL;

  if (!tool_parse (tool, entries, NULL, &argc, &argv, 1, 1))
    return TOOL_EXIT_USAGE;

  facts = tool_copy_facts (argv[1], &error);
  if (facts == NULL)
    return tool_fail (tool, error);
  statistics = tool_copy_statistics (argv[1], &error);
  if (error != NULL)
    return tool_fail (tool, error);
  if (statistics != NULL)
    add_statistics (&facts, statistics);

  if (json)
    tool_print_json (facts);
  else
    {
      print_facts (facts);
      if (statistics != NULL)
        print_statistics (statistics);
    }

  return tool_finish (tool);
}
