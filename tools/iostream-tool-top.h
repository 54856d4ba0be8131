/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "iostream-tool.h"

G_BEGIN_DECLS

/* One stream that top shows, or what is wrong with it. */
typedef struct {
  char               *name;
  int                 pid;
  IOStreamConnection *connection;
  IOStreamStatistics *now;
  IOStreamStatistics *before;
  char               *problem;
} TopStream;

/* By what the table is sorted. */
typedef enum {
  TOP_SORT_NAME,
  TOP_SORT_PID,
  TOP_SORT_RATE,
  TOP_SORT_DROPS,
  TOP_SORT_DROPPED,
  TOP_SORT_HELD,
  TOP_SORT_OLDEST,
  TOP_SORT_IDLE,
  TOP_N_SORTS
} TopSort;

gboolean    top_sort_parse (const char *text,
                            TopSort    *sort);
const char *top_sort_name  (TopSort     sort);

/* Lines without their ends, the titles first. @streams: of TopStream. */
GPtrArray  *top_make_table (GPtrArray  *streams,
                            TopSort     sort,
                            gboolean    reverse);
/* As many columns of @line as there is room for. */
char       *top_cut_line   (const char *line,
                            guint       columns);
/* A floating aa{sv}. */
GVariant   *top_describe   (GPtrArray  *streams);

G_END_DECLS
