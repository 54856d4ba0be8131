/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <libiostream/iostream.h>

G_BEGIN_DECLS

#define TOOL_EXIT_FAILURE 1
#define TOOL_EXIT_USAGE   2

typedef struct _Tool Tool;

/* A sub-command. @run returns the exit status; @argv[0] is the sub-command. */
struct _Tool {
  const char *name;
  const char *arguments;
  const char *summary;
  int       (*run) (const Tool *tool, int argc, char **argv);
};

int tool_list_run    (const Tool *tool, int argc, char **argv);
int tool_info_run    (const Tool *tool, int argc, char **argv);
int tool_publish_run (const Tool *tool, int argc, char **argv);
int tool_cat_run     (const Tool *tool, int argc, char **argv);
int tool_monitor_run (const Tool *tool, int argc, char **argv);
int tool_top_run     (const Tool *tool, int argc, char **argv);

/* Command line, and what is said to the user. */

gboolean  tool_parse        (const Tool         *tool,
                             const GOptionEntry *entries,
                             const char         *description,
                             int                *argc,
                             char             ***argv,
                             int                 min,
                             int                 max);
int       tool_misuse       (const Tool         *tool,
                             const char         *format,
                             ...) G_GNUC_PRINTF (2, 3);
int       tool_fail         (const Tool         *tool,
                             const GError       *error);
gboolean  tool_parse_size   (const char         *text,
                             guint64             max,
                             guint64            *size);
void      tool_print        (const char         *format,
                             ...) G_GNUC_PRINTF (1, 2);
gboolean  tool_flush        (const Tool         *tool,
                             int                *status);
int       tool_finish       (const Tool         *tool);
GVariant *tool_copy_facts   (const char         *name,
                             GError            **error);
GVariant *tool_sort_facts   (GVariantDict       *dict);
void      tool_print_json   (GVariant           *value);

/* What list shows, and how it goes on. */

GVariant *tool_parse_matching (const Tool    *tool,
                               const char    *class_name,
                               char         **conditions);
int       tool_watch          (const Tool    *tool,
                               GVariant      *matching,
                               gboolean       json);

/* What is counted, and how it is printed. */

char       *tool_escape              (const char               *text);
const char *tool_get_nick            (GType                     type,
                                      int                       value);
double      tool_get_rate            (guint64                   now,
                                      guint64                   before,
                                      double                    seconds);
double      tool_get_seconds         (const IOStreamStatistics *now,
                                      const IOStreamStatistics *before);
const IOStreamClientStatistics *
            tool_find_client         (const IOStreamStatistics *statistics,
                                      guint64                   id);
GVariant   *tool_describe_statistics (const IOStreamStatistics *now,
                                      const IOStreamStatistics *before);
IOStreamStatistics *
            tool_copy_statistics     (const char               *name,
                                      GError                  **error);

/* The terminal, for a tool that has it to itself. */

gboolean tool_terminal_is_there (void);
gboolean tool_terminal_enter    (void);
void     tool_terminal_leave    (void);
void     tool_terminal_stop     (void);
void     tool_terminal_get_size (guint *columns,
                                 guint *rows);
int      tool_terminal_read_key (void);

/* A main loop that ends in order at SIGINT and SIGTERM. */

typedef struct {
  const Tool *tool;
  GMainLoop  *loop;
  guint       sources[2];
  int         status;
  gboolean    ended;
} ToolRun;

void tool_run_init  (ToolRun      *self,
                     const Tool   *tool);
int  tool_run_loop  (ToolRun      *self);
void tool_run_end   (ToolRun      *self,
                     int           status);
void tool_run_fail  (ToolRun      *self,
                     const GError *error);
void tool_run_clear (ToolRun      *self);

/* How far it is, for somebody at a terminal. */

typedef struct {
  const char    *title;
  const guint64 *bytes;
  guint64        last_bytes;
  gint64         last_time;
  guint          source;
  gboolean       shown;
} ToolProgress;

void tool_progress_start (ToolProgress  *self,
                          const char    *title,
                          const guint64 *bytes);
void tool_progress_stop  (ToolProgress  *self);

/* What cat and monitor share: a client from its opening to the end of the
 * stream. */

typedef enum {
  TOOL_PUMP_EMPTY,    /* all that was there is taken */
  TOOL_PUMP_MORE,     /* there may be more: come again */
  TOOL_PUMP_BLOCKED   /* tool_client_look() will be called when it goes on */
} ToolPump;

typedef struct _ToolClient ToolClient;

struct _ToolClient {
  ToolRun             run;
  IOStreamConnection *connection;
  GCancellable       *cancellable;
  ToolPump          (*pump) (ToolClient *self);
  void              (*started_cb) (ToolClient *self);
  guint               more;
  gboolean            pending;
  gboolean            started;
};

/* How it opens the stream: options of its commands. */
typedef struct {
  char *share;
  int   replay;
} ToolClientOptions;

extern ToolClientOptions tool_client_options;

#define TOOL_CLIENT_ENTRIES \
  { "share", 's', 0, G_OPTION_ARG_STRING, &tool_client_options.share, \
    "Share the stream, and if too slow: block, drop-newest, drop-oldest or latest", "DELIVERY" }, \
  { "replay", 'r', 0, G_OPTION_ARG_INT, &tool_client_options.replay, \
    "Begin with the last N that were sent before", "N" }

int  tool_client_run  (ToolClient *self,
                       const Tool *tool,
                       const char *name);
void tool_client_look (ToolClient *self);

/* Synthetic pictures. */

#define TOOL_FRAME_MAGIC 0x46534f49u   /* "IOSF" */

/* The control part of a frame: little-endian, without gaps. */
typedef struct {
  guint32 magic;
  guint32 width;
  guint32 height;
  guint32 stride;
  guint64 number;
  guint64 timestamp;
  guint64 checksum;
} ToolFrameInfo;

G_STATIC_ASSERT (sizeof (ToolFrameInfo) == 40);

typedef struct _ToolPattern ToolPattern;

ToolPattern *tool_pattern_new  (guint          width,
                                guint          height);
gsize        tool_pattern_size (ToolPattern   *self);
void         tool_pattern_draw (ToolPattern   *self,
                                guint64        number,
                                void          *picture,
                                ToolFrameInfo *info);
void         tool_pattern_free (ToolPattern   *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ToolPattern, tool_pattern_free)

G_END_DECLS
