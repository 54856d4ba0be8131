/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Somebody who waits until something happens to a name. All of a process share
 * one watch of the directory, and the thread that reads it: an instance of
 * inotify each would soon be more than a user may have. */
typedef struct _IONamesWait IONamesWait;

/* From the return on nothing is missed. Fails as _io_names_watch_new() does,
 * with BAD_ARGUMENT if @name cannot be a name, and with NO_RESOURCES. */
IONamesWait *_io_names_wait_new        (const char    *name,
                                        GError       **error);
void         _io_names_wait_free       (IONamesWait   *self);

/* Did something happen since the last time? A hint: it may be for nothing. Any
 * thread. */
gboolean     _io_names_wait_take       (IONamesWait   *self);
/* As if something happened, after a time. Any thread. */
void         _io_names_wait_poke_after (IONamesWait   *self,
                                        guint          msec);
/* Becomes ready when something happens; NULL for none. Borrowed until then. */
void         _io_names_wait_set_source (IONamesWait   *self,
                                        GSource       *source);
/* Readable while there is something to take; made when first asked for, -1 if
 * that cannot be. */
int          _io_names_wait_get_fd     (IONamesWait   *self);

/* For tests: how many watches this process has. */
guint        _io_names_wait_count_watches (void);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (IONamesWait, _io_names_wait_free)

G_END_DECLS
