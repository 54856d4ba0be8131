/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "iostream-tool.h"

#include <errno.h>
#include <glib-unix.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A name whose owner does not answer must not hold up a list for long. */
#define FACTS_TIMEOUT (2 * G_USEC_PER_SEC)

#define PROGRESS_INTERVAL_MS 500

static GString *output;

gboolean
tool_parse (const Tool         *tool,
            const GOptionEntry *entries,
            const char         *description,
            int                *argc,
            char             ***argv,
            int                 min,
            int                 max)
{
  g_autoptr (GOptionContext) context = g_option_context_new (tool->arguments);
  g_autoptr (GError) error = NULL;

  g_option_context_set_summary (context, tool->summary);
  g_option_context_set_description (context, description);
  if (entries != NULL)
    g_option_context_add_main_entries (context, entries, NULL);

  if (!g_option_context_parse (context, argc, argv, &error))
    {
      tool_misuse (tool, "%s", error->message);
      return FALSE;
    }

  /* GOption leaves a "--" where it was. */
  if (*argc > 1 && strcmp ((*argv)[1], "--") == 0)
    {
      (*argv)++;
      (*argc)--;
    }

  if (*argc - 1 < min)
    tool_misuse (tool, "an argument is missing (%s)", tool->arguments);
  else if (*argc - 1 > max)
    tool_misuse (tool, "what is “%s”?", (*argv)[max + 1]);
  else
    return TRUE;

  return FALSE;
}

static void
print_line (const Tool *tool,
            const char *text,
            const char *more)
{
  g_autofree char *line = g_strconcat (text, more, NULL);

  g_strdelimit (line, "\r\n", ' ');
  fprintf (stderr, "iostream %s: %s\n", tool->name, line);
}

int
tool_misuse (const Tool *tool,
             const char *format,
             ...)
{
  g_autofree char *text = NULL;
  g_autofree char *hint = g_strdup_printf ("; see “iostream %s --help”", tool->name);
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  print_line (tool, text, hint);

  return TOOL_EXIT_USAGE;
}

int
tool_fail (const Tool   *tool,
           const GError *error)
{
  print_line (tool, error->message, NULL);

  return TOOL_EXIT_FAILURE;
}

/* A number, with K, M or G behind it for powers of 1024. */
gboolean
tool_parse_size (const char *text,
                 guint64     max,
                 guint64    *size)
{
  static const char units[] = "KMG";
  const char *unit;
  guint64 factor = 1;
  char *end;

  if (!g_ascii_isdigit (text[0]))
    return FALSE;

  errno = 0;
  *size = g_ascii_strtoull (text, &end, 10);
  if (errno != 0)
    return FALSE;

  if (*end != '\0' && (unit = strchr (units, g_ascii_toupper (*end))) != NULL)
    {
      factor <<= 10 * (unit - units + 1);
      end++;
    }
  if (*end != '\0' || *size > max / factor)
    return FALSE;

  *size *= factor;

  return TRUE;
}

/* Kept until tool_flush(), where it is known whether it could be written. */
void
tool_print (const char *format,
            ...)
{
  va_list args;

  if (output == NULL)
    output = g_string_new (NULL);

  va_start (args, format);
  g_string_append_vprintf (output, format, args);
  va_end (args);
}

static gboolean
write_all (const char *bytes,
           gsize       length)
{
  while (length > 0)
    {
      gssize n = write (STDOUT_FILENO, bytes, length);

      if (n < 0 && errno != EINTR)
        return FALSE;
      bytes += MAX (n, 0);
      length -= (gsize) MAX (n, 0);
    }

  return TRUE;
}

/* FALSE if nothing more can be written; then @status is that of the tool. A
 * reader that went away has read enough. */
gboolean
tool_flush (const Tool *tool,
            int        *status)
{
  g_autoptr (GString) text = g_steal_pointer (&output);
  int code;

  *status = 0;
  if (text == NULL || write_all (text->str, text->len))
    return TRUE;

  code = errno;
  if (code != EPIPE)
    {
      fprintf (stderr, "iostream %s: Cannot write to standard output: %s\n", tool->name, g_strerror (code));
      *status = TOOL_EXIT_FAILURE;
    }

  return FALSE;
}

/* What is printed by a tool that ends with it. */
int
tool_finish (const Tool *tool)
{
  int status;

  tool_flush (tool, &status);

  return status;
}

static int
compare_keys (gconstpointer a,
              gconstpointer b)
{
  return g_strcmp0 (*(const char * const *) a, *(const char * const *) b);
}

/* In the order of the alphabet, so that the same facts look the same. */
GVariant *
tool_sort_facts (GVariantDict *dict)
{
  g_autoptr (GVariant) facts = g_variant_ref_sink (g_variant_dict_end (dict));
  g_autoptr (GPtrArray) keys = g_ptr_array_new ();
  GVariantBuilder builder;
  GVariantIter iter;
  const char *key;

  g_variant_iter_init (&iter, facts);
  while (g_variant_iter_next (&iter, "{&sv}", &key, NULL))
    g_ptr_array_add (keys, (gpointer) key);
  g_ptr_array_sort (keys, compare_keys);

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  for (guint i = 0; i < keys->len; i++)
    {
      g_autoptr (GVariant) value = g_variant_lookup_value (facts, keys->pdata[i], NULL);

      g_variant_builder_add (&builder, "{sv}", keys->pdata[i], value);
    }

  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

/* The attributes, with the class and the name. */
GVariant *
tool_copy_facts (const char  *name,
                 GError     **error)
{
  g_autoptr (IOConnection) connection = NULL;
  g_autoptr (GVariant) attributes = NULL;
  g_autofree char *service_class = NULL;
  GVariantDict dict;

  connection = g_initable_new (IO_TYPE_CONNECTION, NULL, error,
                               "name", name, "timeout", (gint64) FACTS_TIMEOUT, NULL);
  if (connection == NULL)
    return NULL;

  attributes = io_connection_copy_attributes (connection, NULL, error);
  if (attributes == NULL)
    return NULL;

  g_object_get (connection, "service-class", &service_class, NULL);
  g_variant_dict_init (&dict, attributes);
  g_variant_dict_insert (&dict, "name", "s", name);
  if (service_class != NULL)
    g_variant_dict_insert (&dict, "class", "s", service_class);

  return tool_sort_facts (&dict);
}

static gboolean
signal_cb (gpointer user_data)
{
  tool_run_end (user_data, 0);

  return G_SOURCE_CONTINUE;
}

void
tool_run_init (ToolRun    *self,
               const Tool *tool)
{
  self->tool = tool;
  self->loop = g_main_loop_new (NULL, FALSE);
  self->sources[0] = g_unix_signal_add (SIGINT, signal_cb, self);
  self->sources[1] = g_unix_signal_add (SIGTERM, signal_cb, self);
  self->status = 0;
  self->ended = FALSE;
}

int
tool_run_loop (ToolRun *self)
{
  if (!self->ended)
    g_main_loop_run (self->loop);

  return self->status;
}

/* What is said first counts. */
void
tool_run_end (ToolRun *self,
              int      status)
{
  if (self->ended)
    return;

  self->ended = TRUE;
  self->status = status;
  g_main_loop_quit (self->loop);
}

void
tool_run_fail (ToolRun      *self,
               const GError *error)
{
  if (!self->ended)
    tool_run_end (self, tool_fail (self->tool, error));
}

void
tool_run_clear (ToolRun *self)
{
  g_source_remove (self->sources[0]);
  g_source_remove (self->sources[1]);
  g_clear_pointer (&self->loop, g_main_loop_unref);
}

static gboolean
progress_cb (gpointer user_data)
{
  ToolProgress *self = user_data;
  gint64 now = g_get_monotonic_time ();
  double seconds = (double) (now - self->last_time) / G_USEC_PER_SEC;
  guint64 moved = *self->bytes - self->last_bytes;
  g_autofree char *total = g_format_size (*self->bytes);
  g_autofree char *rate = g_format_size ((guint64) ((double) moved / MAX (seconds, 0.001)));

  self->last_time = now;
  self->last_bytes = *self->bytes;
  if (*self->bytes == 0)
    fprintf (stderr, "\r\033[K%s: waiting", self->title);
  else
    fprintf (stderr, "\r\033[K%s: %s, %s/s", self->title, total, rate);
  self->shown = TRUE;

  return G_SOURCE_CONTINUE;
}

void
tool_progress_start (ToolProgress  *self,
                     const char    *title,
                     const guint64 *bytes)
{
  if (!isatty (STDERR_FILENO))
    return;

  self->title = title;
  self->bytes = bytes;
  self->last_time = g_get_monotonic_time ();
  self->source = g_timeout_add (PROGRESS_INTERVAL_MS, progress_cb, self);
}

void
tool_progress_stop (ToolProgress *self)
{
  if (self->source == 0)
    return;

  g_source_remove (self->source);
  self->source = 0;
  if (self->shown)
    fputs ("\r\033[K", stderr);
}
