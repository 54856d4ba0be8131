/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Tells which names of a directory are to be looked at again, once for all that
 * happened since the last turn. A hint: look, and find out what happened. */

/* @names: of char *, each once, in the order in which something happened;
 * NULL means all. Return TRUE to be called in the next turn again, whether
 * something happens or not. */
typedef gboolean (*IONamesWatchFunc) (GPtrArray *names,
                                      gpointer   user_data);

/* How often to look where the kernel cannot tell, in ms. */
#define IO_NAMES_WATCH_INTERVAL 500

/* A source for g_source_set_callback() with an IONamesWatchFunc; its first call
 * comes in the first turn, without names. From the return on nothing is missed.
 * The directory is made if it is not there, now and whenever it goes away; NULL
 * if that cannot be done. In a forked child the source ends. */
GSource *_io_names_watch_new (const char  *directory,
                              GError     **error);
/* For tests: makes new watches look at intervals. */
extern gboolean _io_names_watch_without_inotify;

G_END_DECLS
