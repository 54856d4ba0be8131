/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "iostream-tool-top.h"

#include <string.h>

/* The table of top: a row for each stream, and one for each of its clients. */

typedef struct {
  char    *name;
  int      pid;
  char    *state;
  char    *policy;
  double   in;        /* per second; negative: not known */
  double   out;
  double   drops;
  guint64  dropped;
  guint    held;
  guint    of;        /* how many it may hold, or there are */
  guint    queued;
  guint64  oldest;    /* ns */
  guint64  idle;      /* ns */
  char    *problem;
} Row;

typedef struct {
  Row        stream;
  GPtrArray *clients;  /* of Row */
} Group;

static const char * const sorts[TOP_N_SORTS] = {
  "name", "pid", "rate", "drops", "dropped", "held", "oldest", "idle",
};

gboolean
top_sort_parse (const char *text,
                TopSort    *sort)
{
  for (guint i = 0; i < TOP_N_SORTS; i++)
    if (strcmp (text, sorts[i]) == 0)
      {
        *sort = (TopSort) i;
        return TRUE;
      }

  return FALSE;
}

const char *
top_sort_name (TopSort sort)
{
  return sorts[sort];
}

static void
row_clear (Row *row)
{
  g_free (row->name);
  g_free (row->state);
  g_free (row->policy);
  g_free (row->problem);
}

static void
row_free (gpointer row)
{
  row_clear (row);
  g_free (row);
}

static void
group_free (gpointer data)
{
  Group *group = data;

  row_clear (&group->stream);
  g_ptr_array_unref (group->clients);
  g_free (group);
}

static guint64
since (guint64 now,
       guint64 then)
{
  return then != 0 && then < now ? now - then : 0;
}

static Row *
make_client (const TopStream                *stream,
             const IOStreamClientStatistics *client)
{
  const IOStreamClientStatistics *before = tool_find_client (stream->before, client->id);
  double seconds = tool_get_seconds (stream->now, before != NULL ? stream->before : NULL);
  g_autofree char *name = tool_escape (client->name);
  Row *row = g_new0 (Row, 1);

  row->name = g_strconcat ("  ", name, client->is_own ? " *" : "", NULL);
  row->pid = client->pid;
  row->state = g_strdup (tool_get_nick (IO_TYPE_STREAM_STATE, (int) client->state));
  row->policy = g_strdup (tool_get_nick (IO_TYPE_STREAM_DELIVERY, (int) client->delivery));
  row->in = tool_get_rate (client->produced, before != NULL ? before->produced : 0, seconds);
  row->out = tool_get_rate (client->delivered, before != NULL ? before->delivered : 0, seconds);
  row->drops = tool_get_rate (client->dropped, before != NULL ? before->dropped : 0, seconds);
  row->dropped = client->dropped;
  row->held = client->held;
  row->of = client->allowance;
  row->queued = client->queued;
  row->oldest = client->held_time;
  row->idle = since (stream->now->time, client->last_activity);

  return row;
}

static Group *
make_group (const TopStream *stream)
{
  Group *group = g_new0 (Group, 1);
  Row *row = &group->stream;
  const IOStreamStatistics *now = stream->now, *before = stream->before;
  double seconds;
  GPtrArray *clients;

  group->clients = g_ptr_array_new_with_free_func (row_free);
  row->name = tool_escape (stream->name);
  row->pid = stream->pid;
  row->problem = stream->problem != NULL ? tool_escape (stream->problem) : NULL;
  row->in = row->out = row->drops = -1;
  row->state = g_strdup (now != NULL ? tool_get_nick (IO_TYPE_STREAM_STATE, (int) now->state) : "-");
  row->policy = g_strdup ("-");
  if (now == NULL)
    return group;

  seconds = tool_get_seconds (now, before);
  row->in = tool_get_rate (now->produced, before != NULL ? before->produced : 0, seconds);
  row->out = tool_get_rate (now->delivered, before != NULL ? before->delivered : 0, seconds);
  row->drops = tool_get_rate (now->dropped, before != NULL ? before->dropped : 0, seconds);
  row->dropped = now->dropped;
  row->held = now->lent_buffers;
  row->of = now->buffers;
  row->idle = since (now->time, now->last_activity);

  clients = io_stream_statistics_get_clients (now);
  for (guint i = 0; i < clients->len; i++)
    {
      Row *client = make_client (stream, clients->pdata[i]);

      row->oldest = MAX (row->oldest, client->oldest);
      row->queued = MAX (row->queued, client->queued);
      g_ptr_array_add (group->clients, client);
    }

  return group;
}

/* --- order ------------------------------------------------------------------- */

typedef struct {
  TopSort  sort;
  gboolean reverse;
} Order;

#define COMPARE(a, b) ((a) < (b) ? -1 : (a) > (b))

/* The most first, but for names and processes. */
static int
compare_rows (const Row   *a,
              const Row   *b,
              const Order *order)
{
  int result = 0;

  switch (order->sort)
    {
    case TOP_SORT_PID:
      result = COMPARE (a->pid, b->pid);
      break;
    case TOP_SORT_RATE:
      result = COMPARE (b->out, a->out);
      break;
    case TOP_SORT_DROPS:
      result = COMPARE (b->drops, a->drops);
      break;
    case TOP_SORT_DROPPED:
      result = COMPARE (b->dropped, a->dropped);
      break;
    case TOP_SORT_HELD:
      result = COMPARE (b->held, a->held);
      break;
    case TOP_SORT_OLDEST:
      result = COMPARE (b->oldest, a->oldest);
      break;
    case TOP_SORT_IDLE:
      result = COMPARE (b->idle, a->idle);
      break;
    case TOP_SORT_NAME:
    case TOP_N_SORTS:
    default:
      break;
    }

  if (result == 0)
    result = strcmp (a->name, b->name);
  if (result == 0)
    result = COMPARE (a->pid, b->pid);

  return order->reverse ? -result : result;
}

static int
compare_clients (gconstpointer a,
                 gconstpointer b,
                 gpointer      order)
{
  return compare_rows (*(Row * const *) a, *(Row * const *) b, order);
}

static int
compare_groups (gconstpointer a,
                gconstpointer b,
                gpointer      order)
{
  return compare_rows (&(*(Group * const *) a)->stream, &(*(Group * const *) b)->stream, order);
}

/* --- lines ------------------------------------------------------------------- */

#define NAME_WIDTH 24

static guint
char_width (gunichar c)
{
  return g_unichar_iswide (c) ? 2 : 1;
}

char *
top_cut_line (const char *line,
              guint       columns)
{
  const char *p = line;
  guint width = 0;

  while (*p != '\0' && width + char_width (g_utf8_get_char (p)) <= columns)
    {
      width += char_width (g_utf8_get_char (p));
      p = g_utf8_next_char (p);
    }

  return g_strndup (line, (gsize) (p - line));
}

static void
append_name (GString    *line,
             const char *name)
{
  g_autofree char *cut = top_cut_line (name, NAME_WIDTH);
  guint width = 0;

  for (const char *p = cut; *p != '\0'; p = g_utf8_next_char (p))
    width += char_width (g_utf8_get_char (p));
  g_string_append (line, cut);
  g_string_append_printf (line, "%*s", (int) (NAME_WIDTH - width), "");
}

static void
append_rate (GString *line,
             double   rate)
{
  if (rate < 0)
    g_string_append_printf (line, " %9s", "-");
  else if (rate < 1e7)
    g_string_append_printf (line, " %9.1f", rate);
  else
    g_string_append_printf (line, " %8.2fM", rate / 1e6);
}

static void
append_time (GString *line,
             guint64  ns)
{
  double seconds = (double) ns / 1e9;

  if (ns == 0)
    g_string_append_printf (line, " %8s", "-");
  else if (seconds < 1000)
    g_string_append_printf (line, " %7.3fs", seconds);
  else
    g_string_append_printf (line, " %7.0fs", seconds);
}

static char *
format_row (const Row *row)
{
  GString *line = g_string_new (NULL);
  g_autofree char *held = g_strdup_printf ("%u/%u", row->held, row->of);

  append_name (line, row->name);
  g_string_append_printf (line, " %8d", row->pid);
  if (row->problem != NULL)
    {
      g_string_append_printf (line, " %s", row->problem);
      return g_string_free (line, FALSE);
    }

  g_string_append_printf (line, " %-9s %-11s", row->state, row->policy);
  append_rate (line, row->in);
  append_rate (line, row->out);
  append_rate (line, row->drops);
  g_string_append_printf (line, " %9" G_GUINT64_FORMAT " %9s %6u", row->dropped, held, row->queued);
  append_time (line, row->oldest);
  append_time (line, row->idle);

  return g_string_free (line, FALSE);
}

GPtrArray *
top_make_table (GPtrArray *streams,
                TopSort    sort,
                gboolean   reverse)
{
  GPtrArray *lines = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) groups = g_ptr_array_new_with_free_func (group_free);
  Order order = { sort, reverse };

  for (guint i = 0; i < streams->len; i++)
    g_ptr_array_add (groups, make_group (streams->pdata[i]));
  g_ptr_array_sort_with_data (groups, compare_groups, &order);

  g_ptr_array_add (lines, g_strdup_printf ("%-*s %8s %-9s %-11s %9s %9s %9s %9s %9s %6s %8s %8s", NAME_WIDTH, "NAME",
                                           "PID", "STATE", "POLICY", "IN/S", "OUT/S", "DROPS/S", "DROPPED",
                                           "HELD", "QUEUED", "OLDEST", "IDLE"));
  for (guint i = 0; i < groups->len; i++)
    {
      Group *group = groups->pdata[i];

      g_ptr_array_sort_with_data (group->clients, compare_clients, &order);
      g_ptr_array_add (lines, format_row (&group->stream));
      for (guint j = 0; j < group->clients->len; j++)
        g_ptr_array_add (lines, format_row (group->clients->pdata[j]));
    }

  return lines;
}

GVariant *
top_describe (GPtrArray *streams)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < streams->len; i++)
    {
      TopStream *stream = streams->pdata[i];
      g_autoptr (GVariant) value = NULL;
      GVariantDict dict;

      g_variant_dict_init (&dict, NULL);
      g_variant_dict_insert (&dict, "name", "s", stream->name);
      g_variant_dict_insert (&dict, "pid", "i", stream->pid);
      if (stream->problem != NULL)
        g_variant_dict_insert (&dict, "error", "s", stream->problem);
      else if (stream->now != NULL)
        value = tool_describe_statistics (stream->now, stream->before);
      if (value != NULL)
        g_variant_dict_insert_value (&dict, "statistics", value);
      g_variant_builder_add_value (&builder, g_variant_dict_end (&dict));
    }

  return g_variant_builder_end (&builder);
}
