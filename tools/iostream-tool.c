/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "iostream-tool.h"

#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const Tool tools[] = {
  { "list", NULL, "List the services that can be opened", tool_list_run },
  { "info", "NAME", "Tell what is known of a service", tool_info_run },
  { "publish", "NAME [FILE]", "Make a stream of a file, or of a test picture", tool_publish_run },
  { "cat", "NAME", "Write what a stream sends to standard output", tool_cat_run },
  { "top", NULL, "Show what all streams and their clients do", tool_top_run },
  { "monitor", "NAME", "Measure a stream, once per second", tool_monitor_run },
};

static void
print_usage (FILE *file)
{
  fputs ("Usage: iostream COMMAND [OPTION…] [ARGUMENT…]\n\n", file);
  for (gsize i = 0; i < G_N_ELEMENTS (tools); i++)
    {
      g_autofree char *synopsis = g_strjoin (" ", tools[i].name, tools[i].arguments, NULL);

      fprintf (file, "  %-22s %s\n", synopsis, tools[i].summary);
    }
  fputs ("\n  --help                 This; after a command, what its options are\n"
         "  --version              Print the version\n", file);
}

static const Tool *
find_tool (const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS (tools); i++)
    if (strcmp (tools[i].name, name) == 0)
      return &tools[i];

  return NULL;
}

int
main (int    argc,
      char **argv)
{
  const Tool *tool;
  g_autofree char *program = NULL;

  setlocale (LC_ALL, "");
  /* Standard output is for data, and its end is an error of write(). */
  g_log_writer_default_set_use_stderr (TRUE);
  signal (SIGPIPE, SIG_IGN);

  if (argc < 2)
    {
      fputs ("iostream: no command given; see “iostream --help”\n", stderr);
      return TOOL_EXIT_USAGE;
    }

  if (strcmp (argv[1], "--help") == 0 || strcmp (argv[1], "-h") == 0 || strcmp (argv[1], "help") == 0)
    {
      print_usage (stdout);
      return 0;
    }

  if (strcmp (argv[1], "--version") == 0)
    {
      printf ("iostream %s\n", PACKAGE_VERSION);
      return 0;
    }

  tool = find_tool (argv[1]);
  if (tool == NULL)
    {
      fprintf (stderr, "iostream: there is no command “%s”; see “iostream --help”\n", argv[1]);
      return TOOL_EXIT_USAGE;
    }

  program = g_strdup_printf ("iostream %s", tool->name);
  g_set_prgname (program);

  return tool->run (tool, argc - 1, argv + 1);
}
