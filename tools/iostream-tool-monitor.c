/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "iostream-tool.h"

#include <string.h>
#include <time.h>

#define ENTRIES_AT_ONCE 256
#define INTERVAL_MS     1000

/* Latencies are counted in classes that are 1/32 of a power of two wide: any
 * number of them in little memory, and within 3 percent. */
#define CLASS_BITS 5
#define N_CLASSES  ((64 - CLASS_BITS) << CLASS_BITS)

typedef struct {
  ToolClient  client;
  const char *name;
  gint64      since;
  guint64     frames;
  guint64     bytes;
  guint64     timed;
  guint64     lost_before;
  guint       held;
  guint       n_lines;
  guint       source;
  guint32     classes[N_CLASSES];
} Monitor;

static gboolean json = FALSE;
static int lines = 0;

static const GOptionEntry entries[] = {
  { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print a line of JSON per second", NULL },
  { "lines", 'n', 0, G_OPTION_ARG_INT, &lines, "End after so many lines", "N" },
  TOOL_CLIENT_ENTRIES,
  { NULL },
};

static guint
class_of (guint64 value)
{
  guint shift;

  if (value < (1u << CLASS_BITS))
    return (guint) value;

  shift = (guint) (63 - __builtin_clzll (value)) - CLASS_BITS;

  return MIN ((shift << CLASS_BITS) + (guint) (value >> shift), N_CLASSES - 1);
}

static guint64
value_of (guint number)
{
  guint shift;

  if (number < (2u << CLASS_BITS))
    return number;

  shift = (number >> CLASS_BITS) - 1;

  return (guint64) (number - (shift << CLASS_BITS)) << shift;
}

static guint64
percentile (Monitor *self,
            guint    percent)
{
  guint64 rank = (self->timed * percent + 99) / 100;
  guint64 seen = 0;

  for (guint i = 0; i < N_CLASSES; i++)
    {
      seen += self->classes[i];
      if (seen >= rank)
        return value_of (i);
    }

  return 0;
}

static guint64
now_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);

  return (guint64) now.tv_sec * G_GUINT64_CONSTANT (1000000000) + (guint64) now.tv_nsec;
}

static void
count_entry (Monitor                        *self,
             const IOStreamBufferQueueEntry *entry)
{
  guint held = io_stream_connection_get_held (self->client.connection);
  guint64 now;

  self->frames++;
  self->bytes += entry->data_length;
  self->held = MAX (self->held, held);
  if (entry->timestamp == 0)
    return;

  now = now_ns ();
  self->classes[class_of (now > entry->timestamp ? now - entry->timestamp : 0)]++;
  self->timed++;
}

static ToolPump
monitor_pump (ToolClient *client)
{
  Monitor *self = (Monitor *) client;
  IOStreamBufferQueueEntry entry;
  guint n = 0;

  while (n < ENTRIES_AT_ONCE && io_stream_connection_dequeue_output_entry (client->connection, &entry))
    {
      g_autoptr (GError) error = NULL;

      n++;
      count_entry (self, &entry);
      if (!io_stream_connection_return_entry (client->connection, &entry, &error))
        {
          tool_run_fail (&client->run, error);
          return TOOL_PUMP_BLOCKED;
        }
    }

  return n < ENTRIES_AT_ONCE ? TOOL_PUMP_EMPTY : TOOL_PUMP_MORE;
}

static GVariant *
new_latency (Monitor *self,
             guint    percent)
{
  return g_variant_new_maybe (G_VARIANT_TYPE_UINT64,
                              self->timed > 0 ? g_variant_new_uint64 (percentile (self, percent)) : NULL);
}

static void
print_json (Monitor *self,
            double   seconds,
            guint64  lost)
{
  g_autoptr (GVariant) value = NULL;
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add_parsed (&builder, "{'name', <%s>}", self->name);
  g_variant_builder_add_parsed (&builder, "{'seconds', <%d>}", seconds);
  g_variant_builder_add_parsed (&builder, "{'entries', <%t>}", self->frames);
  g_variant_builder_add_parsed (&builder, "{'rate', <%d>}", (double) self->frames / seconds);
  g_variant_builder_add_parsed (&builder, "{'bytes-per-second', <%d>}", (double) self->bytes / seconds);
  g_variant_builder_add_parsed (&builder, "{'latency-p50', <%@mt>}", new_latency (self, 50));
  g_variant_builder_add_parsed (&builder, "{'latency-p99', <%@mt>}", new_latency (self, 99));
  g_variant_builder_add_parsed (&builder, "{'lost', <%t>}", lost);
  g_variant_builder_add_parsed (&builder, "{'held', <%u>}", self->held);
  value = g_variant_ref_sink (g_variant_builder_end (&builder));
  tool_print_json (value);
}

static void
print_text (Monitor *self,
            double   seconds,
            guint64  lost)
{
  g_autofree char *rate = g_format_size ((guint64) ((double) self->bytes / seconds));
  g_autofree char *latency = g_strdup ("no time stamps");

  if (self->timed > 0)
    {
      g_free (latency);
      latency = g_strdup_printf ("latency p50 %.1f µs, p99 %.1f µs",
                                 (double) percentile (self, 50) / 1000, (double) percentile (self, 99) / 1000);
    }

  tool_print ("%s: %.1f/s, %s/s, %s, lost %" G_GUINT64_FORMAT ", held %u\n", self->name,
          (double) self->frames / seconds, rate, latency, lost, self->held);
}

static void
print_line (Monitor *self)
{
  gint64 now = g_get_monotonic_time ();
  double seconds = (double) MAX (now - self->since, 1) / G_USEC_PER_SEC;
  guint64 lost = io_stream_connection_get_lost (self->client.connection) - self->lost_before;

  if (json)
    print_json (self, seconds, lost);
  else
    print_text (self, seconds, lost);

  self->since = now;
  self->frames = 0;
  self->bytes = 0;
  self->timed = 0;
  self->held = 0;
  self->lost_before += lost;
  self->n_lines++;
  memset (self->classes, 0, sizeof self->classes);
}

static gboolean
interval_cb (gpointer user_data)
{
  Monitor *self = user_data;
  int status;

  print_line (self);
  if (!tool_flush (self->client.run.tool, &status))
    tool_run_end (&self->client.run, status);
  else if (lines > 0 && self->n_lines >= (guint) lines)
    tool_run_end (&self->client.run, 0);

  return G_SOURCE_CONTINUE;
}

static void
monitor_started (ToolClient *client)
{
  Monitor *self = (Monitor *) client;

  self->since = g_get_monotonic_time ();
  self->source = g_timeout_add_full (G_PRIORITY_HIGH, INTERVAL_MS, interval_cb, self, NULL);
}

int
tool_monitor_run (const Tool  *tool,
                  int          argc,
                  char       **argv)
{
  g_autofree Monitor *self = g_new0 (Monitor, 1);
  int status;

  if (!tool_parse (tool, entries,
                   "The stream is opened as any client opens it, so nobody else can have it open\n"
                   "meanwhile, unless it is shared. What is received is measured and given back at\n"
                   "once.",
                   &argc, &argv, 1, 1))
    return TOOL_EXIT_USAGE;
  if (lines < 0)
    return tool_misuse (tool, "“%d” is not a number of lines", lines);

  self->name = argv[1];
  self->client.pump = monitor_pump;
  self->client.started_cb = monitor_started;
  status = tool_client_run (&self->client, tool, self->name);
  if (self->source != 0)
    g_source_remove (self->source);

  return status;
}
