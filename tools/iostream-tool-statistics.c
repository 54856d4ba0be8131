/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "iostream-tool.h"

/* What is counted of a stream, as it is printed. Names come from other
 * processes, and are not to be trusted. */

#define STATISTICS_TIMEOUT (2 * G_USEC_PER_SEC)

/* Two looks that are closer to each other tell nothing of a rate. */
#define MIN_SECONDS 0.02

/* Nothing that a terminal would obey, or that hides what is there. */
char *
tool_escape (const char *text)
{
  GString *escaped = g_string_new (NULL);
  g_autofree char *valid = g_utf8_make_valid (text, -1);

  for (const char *p = valid; *p != '\0'; p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);

      if (c == '\\')
        g_string_append (escaped, "\\\\");
      else if (g_unichar_isprint (c) && g_unichar_type (c) != G_UNICODE_FORMAT && !g_unichar_iszerowidth (c))
        g_string_append_unichar (escaped, c);
      else if (c < 0x100)
        g_string_append_printf (escaped, "\\x%02x", c);
      else
        g_string_append_printf (escaped, "\\u{%x}", c);
    }

  return g_string_free (escaped, FALSE);
}

const char *
tool_get_nick (GType type,
               int   value)
{
  g_autoptr (GEnumClass) values = g_type_class_ref (type);
  GEnumValue *found = g_enum_get_value (values, value);

  return found != NULL ? found->value_nick : "-";
}

/* Per second; negative: it cannot be told. */
double
tool_get_rate (guint64 now,
               guint64 before,
               double  seconds)
{
  return seconds < MIN_SECONDS || now < before ? -1 : (double) (now - before) / seconds;
}

double
tool_get_seconds (const IOStreamStatistics *now,
                  const IOStreamStatistics *before)
{
  return before != NULL && now->time > before->time ? (double) (now->time - before->time) / 1e9 : 0;
}

const IOStreamClientStatistics *
tool_find_client (const IOStreamStatistics *statistics,
                  guint64                   id)
{
  GPtrArray *clients = statistics != NULL ? io_stream_statistics_get_clients (statistics) : NULL;

  for (guint i = 0; clients != NULL && i < clients->len; i++)
    if (((const IOStreamClientStatistics *) clients->pdata[i])->id == id)
      return clients->pdata[i];

  return NULL;
}

static void
add_count (GVariantDict *dict,
           const char   *key,
           guint64       value)
{
  g_variant_dict_insert (dict, key, "t", value);
}

static void
add_rate (GVariantDict *dict,
          const char   *key,
          double        rate)
{
  g_variant_dict_insert_value (dict, key, g_variant_new_maybe (G_VARIANT_TYPE_DOUBLE,
                                                               rate < 0 ? NULL : g_variant_new_double (rate)));
}

static void
add_drops (GVariantDict                   *dict,
           const IOStreamClientStatistics *client)
{
  GVariantDict drops;

  g_variant_dict_init (&drops, NULL);
  add_count (&drops, "newest", client->dropped_newest);
  add_count (&drops, "oldest", client->dropped_oldest);
  add_count (&drops, "latest", client->dropped_latest);
  add_count (&drops, "allowance", client->dropped_allowance);
  add_count (&drops, "reserve", client->dropped_reserve);
  g_variant_dict_insert_value (dict, "dropped-by-reason", g_variant_dict_end (&drops));
}

static GVariant *
describe_client (const IOStreamClientStatistics *client,
                 const IOStreamClientStatistics *before,
                 double                          seconds)
{
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "name", "s", client->name);
  add_count (&dict, "id", client->id);
  g_variant_dict_insert (&dict, "pid", "i", client->pid);
  g_variant_dict_insert (&dict, "uid", "u", client->uid);
  g_variant_dict_insert (&dict, "delivery", "s", tool_get_nick (IO_TYPE_STREAM_DELIVERY, (int) client->delivery));
  g_variant_dict_insert (&dict, "state", "s", tool_get_nick (IO_TYPE_STREAM_STATE, (int) client->state));
  add_count (&dict, "held", client->held);
  add_count (&dict, "queued", client->queued);
  add_count (&dict, "allowance", client->allowance);
  add_count (&dict, "produced", client->produced);
  add_count (&dict, "delivered", client->delivered);
  add_count (&dict, "returned", client->returned);
  add_count (&dict, "dropped", client->dropped);
  add_drops (&dict, client);
  add_count (&dict, "replayed", client->replayed);
  add_count (&dict, "revoked", client->revoked);
  add_count (&dict, "held-ns", client->held_time);
  add_count (&dict, "longest-held-ns", client->longest_held_time);
  add_count (&dict, "opened-at-ns", client->opened_at);
  add_count (&dict, "last-activity-ns", client->last_activity);
  add_count (&dict, "violations", client->violations);
  if (before != NULL)
    {
      add_rate (&dict, "delivered-per-second", tool_get_rate (client->delivered, before->delivered, seconds));
      add_rate (&dict, "dropped-per-second", tool_get_rate (client->dropped, before->dropped, seconds));
    }

  return tool_sort_facts (&dict);
}

static GVariant *
describe_clients (const IOStreamStatistics *now,
                  const IOStreamStatistics *before)
{
  GPtrArray *clients = io_stream_statistics_get_clients (now);
  GVariantBuilder rows;

  g_variant_builder_init (&rows, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < clients->len; i++)
    {
      const IOStreamClientStatistics *client = clients->pdata[i];

      g_autoptr (GVariant) row = describe_client (client, tool_find_client (before, client->id),
                                                  tool_get_seconds (now, before));

      g_variant_builder_add_value (&rows, row);
    }

  return g_variant_builder_end (&rows);
}

/* @before: for rates, or NULL. */
GVariant *
tool_describe_statistics (const IOStreamStatistics *now,
                          const IOStreamStatistics *before)
{
  double seconds = tool_get_seconds (now, before);
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "state", "s", tool_get_nick (IO_TYPE_STREAM_STATE, (int) now->state));
  g_variant_dict_insert (&dict, "mode", "s", tool_get_nick (IO_TYPE_STREAM_MODE, (int) now->mode));
  add_count (&dict, "buffers", now->buffers);
  add_count (&dict, "free", now->free_buffers);
  add_count (&dict, "owned", now->owned_buffers);
  add_count (&dict, "lent", now->lent_buffers);
  add_count (&dict, "arrived", now->arrived_buffers);
  add_count (&dict, "reserve", now->reserve);
  add_count (&dict, "client-count", now->clients);
  add_count (&dict, "max-clients", now->max_clients);
  add_count (&dict, "produced", now->produced);
  add_count (&dict, "delivered", now->delivered);
  add_count (&dict, "returned", now->returned);
  add_count (&dict, "dropped", now->dropped);
  add_count (&dict, "failures", now->failures);
  add_count (&dict, "violations", now->violations);
  add_count (&dict, "last-activity-ns", now->last_activity);
  add_count (&dict, "time-ns", now->time);
  if (before != NULL)
    {
      add_rate (&dict, "produced-per-second", tool_get_rate (now->produced, before->produced, seconds));
      add_rate (&dict, "delivered-per-second", tool_get_rate (now->delivered, before->delivered, seconds));
      add_rate (&dict, "dropped-per-second", tool_get_rate (now->dropped, before->dropped, seconds));
    }
  g_variant_dict_insert_value (&dict, "clients", describe_clients (now, before));

  return tool_sort_facts (&dict);
}

/* NULL without an error: it is a service of another kind. */
IOStreamStatistics *
tool_copy_statistics (const char  *name,
                      GError     **error)
{
  g_autoptr (IOStreamConnection) connection = NULL;
  g_autoptr (GError) local_error = NULL;
  IOStreamStatistics *statistics;

  connection = g_initable_new (IO_TYPE_STREAM_CONNECTION, NULL, error,
                               "name", name, "timeout", (gint64) STATISTICS_TIMEOUT, NULL);
  if (connection == NULL)
    return NULL;

  statistics = io_stream_connection_get_statistics (connection, NULL, &local_error);
  if (statistics == NULL && !g_error_matches (local_error, IO_STREAM_ERROR, IO_STREAM_ERROR_UNSUPPORTED) &&
      !g_error_matches (local_error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED))
    g_propagate_error (error, g_steal_pointer (&local_error));

  return statistics;
}
