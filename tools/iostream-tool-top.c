/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "iostream-tool-top.h"

#include <glib-unix.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A live table of the streams of this user and of their clients. It takes no
 * part in them: it asks for the page once, and looks at that from then on. */

/* An owner that does not answer is not to hold up the others for long. */
#define TOP_TIMEOUT  (G_USEC_PER_SEC)
#define MIN_INTERVAL 0.05
#define MAX_INTERVAL 86400.0

#define CTRL(key) ((key) & 0x1f)

typedef struct {
  ToolRun     run;
  IORegistry *registry;
  GPtrArray  *streams;    /* of TopStream */
  GHashTable *by_name;    /* likewise, borrowed */
  GCancellable *cancellable;
  gboolean    live;
  TopSort     sort;
  gboolean    reverse;
  int         left;       /* tables to print; 0: no end */
  guint       pending;    /* connections that are being made */
  guint       sources[4];
} Top;

static gboolean batch = FALSE;
static gboolean json = FALSE;
static gboolean reverse = FALSE;
static int count = 0;
static double interval = 1.0;
static char *sort_by = NULL;

static const GOptionEntry entries[] = {
  { "batch", 'b', 0, G_OPTION_ARG_NONE, &batch, "Print one table after the other", NULL },
  { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print a line of JSON for each table", NULL },
  { "interval", 'i', 0, G_OPTION_ARG_DOUBLE, &interval, "Time from one look to the next (1)", "SECONDS" },
  { "count", 'n', 0, G_OPTION_ARG_INT, &count, "End after so many tables", "COUNT" },
  { "sort", 's', 0, G_OPTION_ARG_STRING, &sort_by,
    "Sort by name, pid, rate, drops, dropped, held, oldest or idle", "FIELD" },
  { "reverse", 'r', 0, G_OPTION_ARG_NONE, &reverse, "Sort the other way round", NULL },
  { NULL },
};

static void
stream_free (gpointer data)
{
  TopStream *stream = data;

  g_clear_pointer (&stream->now, io_stream_statistics_free);
  g_clear_pointer (&stream->before, io_stream_statistics_free);
  if (stream->connection != NULL)
    io_connection_hang_up (IO_CONNECTION (stream->connection));
  g_clear_object (&stream->connection);
  g_free (stream->problem);
  g_free (stream->name);
  g_free (stream);
}

static void
look_at (TopStream *stream)
{
  g_autoptr (GError) error = NULL;
  IOStreamStatistics *statistics;

  if (stream->connection == NULL)
    return;

  statistics = io_stream_connection_get_statistics (stream->connection, NULL, &error);
  g_clear_pointer (&stream->problem, g_free);
  if (statistics == NULL)
    {
      stream->problem = g_strdup (error->message);
      io_connection_hang_up (IO_CONNECTION (stream->connection));
      g_clear_object (&stream->connection);
      g_clear_pointer (&stream->now, io_stream_statistics_free);
      g_clear_pointer (&stream->before, io_stream_statistics_free);
      return;
    }

  g_clear_pointer (&stream->before, io_stream_statistics_free);
  stream->before = g_steal_pointer (&stream->now);
  stream->now = statistics;
}

/* --- what comes and goes ------------------------------------------------------ */

typedef struct {
  Top  *top;
  char *name;
} Arrival;

static void
connected_cb (GObject      *source,
              GAsyncResult *result,
              gpointer      user_data)
{
  Arrival *arrival = user_data;
  Top *self = arrival->top;
  g_autoptr (GError) error = NULL;
  g_autoptr (GObject) connection = g_async_initable_new_finish (G_ASYNC_INITABLE (source), result, &error);
  TopStream *stream = g_hash_table_lookup (self->by_name, arrival->name);

  self->pending--;
  if (stream != NULL && connection != NULL && stream->connection == NULL)
    {
      stream->connection = IO_STREAM_CONNECTION (g_steal_pointer (&connection));
      look_at (stream);
    }
  else if (stream != NULL && connection == NULL)
    {
      g_free (stream->problem);
      stream->problem = g_strdup (error->message);
    }
  else if (connection != NULL)
    io_connection_hang_up (IO_CONNECTION (connection));

  g_free (arrival->name);
  g_free (arrival);
}

static void
connect_to (Top        *self,
            const char *name)
{
  Arrival *arrival = g_new0 (Arrival, 1);

  arrival->top = self;
  arrival->name = g_strdup (name);
  self->pending++;
  g_async_initable_new_async (IO_TYPE_STREAM_CONNECTION, G_PRIORITY_DEFAULT, self->cancellable, connected_cb,
                              arrival, "name", name, "timeout", (gint64) TOP_TIMEOUT, NULL);
}

static void
remove_stream (Top        *self,
               const char *name)
{
  TopStream *stream = g_hash_table_lookup (self->by_name, name);

  if (stream == NULL)
    return;

  g_hash_table_remove (self->by_name, name);
  g_ptr_array_remove (self->streams, stream);
}

static void
matched_cb (IORegistry      *registry,
            IORegistryEntry *entry,
            gpointer         user_data)
{
  Top *self = user_data;
  const char *name = io_registry_entry_get_name (entry);
  TopStream *stream;

  remove_stream (self, name);
  stream = g_new0 (TopStream, 1);
  stream->name = g_strdup (name);
  stream->pid = io_registry_entry_get_pid (entry);
  g_ptr_array_add (self->streams, stream);
  g_hash_table_insert (self->by_name, stream->name, stream);
  connect_to (self, name);
}

static void
changed_cb (IORegistry      *registry,
            IORegistryEntry *entry,
            gpointer         user_data)
{
  Top *self = user_data;
  TopStream *stream = g_hash_table_lookup (self->by_name, io_registry_entry_get_name (entry));

  if (stream != NULL && stream->problem != NULL && stream->connection == NULL)
    connect_to (self, stream->name);
}

static void
gone_cb (IORegistry      *registry,
         IORegistryEntry *entry,
         gpointer         user_data)
{
  remove_stream (user_data, io_registry_entry_get_name (entry));
}

/* --- output -------------------------------------------------------------------- */

static void
print_live (Top *self)
{
  g_autoptr (GPtrArray) lines = top_make_table (self->streams, self->sort, self->reverse);
  guint columns, rows;

  tool_terminal_get_size (&columns, &rows);
  tool_print ("\033[H");
  for (guint i = 0; i + 1 < rows && i < lines->len; i++)
    {
      g_autofree char *line = top_cut_line (lines->pdata[i], columns);

      tool_print (i == 0 ? "\033[7m%s\033[0m\033[K\r\n" : "%s\033[K\r\n", line);
    }
  tool_print ("\033[J");
  if (rows > 1)
    {
      g_autofree char *text = g_strdup_printf ("%u streams, sorted by %s; s: next field, r: reverse, q: quit",
                                               self->streams->len, top_sort_name (self->sort));
      g_autofree char *line = top_cut_line (text, columns);

      tool_print ("\033[%u;1H%s\033[K", rows, line);
    }
}

static void
print_table (Top *self)
{
  if (json)
    {
      g_autoptr (GVariant) value = g_variant_ref_sink (top_describe (self->streams));

      tool_print_json (value);
    }
  else if (self->live)
    print_live (self);
  else
    {
      g_autoptr (GPtrArray) lines = top_make_table (self->streams, self->sort, self->reverse);

      for (guint i = 0; i < lines->len; i++)
        tool_print ("%s\n", (char *) lines->pdata[i]);
      tool_print ("\n");
    }
}

static void
show (Top *self)
{
  int status;

  print_table (self);
  if (!tool_flush (self->run.tool, &status))
    tool_run_end (&self->run, status);
}

static gboolean
tick_cb (gpointer user_data)
{
  Top *self = user_data;

  for (guint i = 0; i < self->streams->len; i++)
    look_at (self->streams->pdata[i]);
  show (self);
  if (self->left > 0 && --self->left == 0)
    tool_run_end (&self->run, 0);

  return G_SOURCE_CONTINUE;
}

static gboolean
resized_cb (gpointer user_data)
{
  show (user_data);

  return G_SOURCE_CONTINUE;
}

static gboolean
hung_up_cb (gpointer user_data)
{
  tool_run_end (&((Top *) user_data)->run, 0);

  return G_SOURCE_CONTINUE;
}

static void
take_key (Top *self,
          int  key)
{
  switch (key)
    {
    case 'q':
    case CTRL ('C'):
    case CTRL ('D'):
    case CTRL ('\\'):
      tool_run_end (&self->run, 0);
      return;
    case CTRL ('Z'):
      tool_terminal_stop ();
      break;
    case 's':
    case '>':
      self->sort = (TopSort) ((self->sort + 1) % TOP_N_SORTS);
      break;
    case '<':
      self->sort = (TopSort) ((self->sort + TOP_N_SORTS - 1) % TOP_N_SORTS);
      break;
    case 'r':
      self->reverse = !self->reverse;
      break;
    default:
      return;
    }

  show (self);
}

static gboolean
key_cb (int          fd,
        GIOCondition condition,
        gpointer     user_data)
{
  Top *self = user_data;
  int key = tool_terminal_read_key ();

  if (key == 0)
    {
      tool_run_end (&self->run, 0);
      return G_SOURCE_CONTINUE;
    }

  for (; key != 0 && !self->run.ended; key = tool_terminal_read_key ())
    take_key (self, key);

  return G_SOURCE_CONTINUE;
}

/* --- the whole -------------------------------------------------------------------- */

static gboolean
check_options (const Tool *tool,
               TopSort    *sort)
{
  *sort = TOP_SORT_NAME;
  if (sort_by != NULL && !top_sort_parse (sort_by, sort))
    tool_misuse (tool, "“%s” is no field to sort by", sort_by);
  else if (!(interval >= MIN_INTERVAL && interval <= MAX_INTERVAL))
    tool_misuse (tool, "the interval is not from %g to %g seconds", MIN_INTERVAL, MAX_INTERVAL);
  else if (count < 0)
    tool_misuse (tool, "%d is no number of tables", count);
  else
    return TRUE;

  return FALSE;
}

static void
top_init (Top        *self,
          const Tool *tool)
{
  tool_run_init (&self->run, tool);
  self->streams = g_ptr_array_new_with_free_func (stream_free);
  self->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  self->cancellable = g_cancellable_new ();
  self->reverse = reverse;
  self->left = count;
  self->live = !batch && !json && tool_terminal_is_there () && tool_terminal_enter ();
  g_signal_connect (self->registry, "matched", G_CALLBACK (matched_cb), self);
  g_signal_connect (self->registry, "changed", G_CALLBACK (changed_cb), self);
  g_signal_connect (self->registry, "unmatched", G_CALLBACK (gone_cb), self);
  g_signal_connect (self->registry, "terminated", G_CALLBACK (gone_cb), self);
  self->sources[0] = g_timeout_add ((guint) (interval * 1000), tick_cb, self);
  self->sources[1] = g_unix_signal_add (SIGHUP, hung_up_cb, self);
  if (!self->live)
    return;

  self->sources[2] = g_unix_signal_add (SIGWINCH, resized_cb, self);
  self->sources[3] = g_unix_fd_add (STDIN_FILENO, G_IO_IN | G_IO_HUP, key_cb, self);
}

static void
top_clear (Top *self)
{
  tool_terminal_leave ();
  for (gsize i = 0; i < G_N_ELEMENTS (self->sources); i++)
    if (self->sources[i] != 0)
      g_source_remove (self->sources[i]);
  g_cancellable_cancel (self->cancellable);
  while (self->pending > 0)
    g_main_context_iteration (NULL, TRUE);
  g_hash_table_unref (self->by_name);
  g_ptr_array_unref (self->streams);
  g_object_unref (self->cancellable);
  g_object_unref (self->registry);
  tool_run_clear (&self->run);
}

int
tool_top_run (const Tool  *tool,
              int          argc,
              char       **argv)
{
  g_autoptr (GVariant) matching = NULL;
  g_autoptr (GError) error = NULL;
  Top self = { .left = 0 };
  int status;

  if (!tool_parse (tool, entries, NULL, &argc, &argv, 0, 0) || !check_options (tool, &self.sort))
    return TOOL_EXIT_USAGE;

  matching = tool_parse_matching (tool, "IOStream", NULL);
  self.registry = io_registry_new (matching, &error);
  if (self.registry == NULL)
    return tool_fail (tool, error);

  top_init (&self, tool);
  if (self.live)
    show (&self);
  status = tool_run_loop (&self.run);
  top_clear (&self);

  return status;
}
