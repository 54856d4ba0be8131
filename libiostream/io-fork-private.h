/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Shared pages stay with the process that made or mapped them: a forked child
 * has the objects, but not the pages. An object keeps the count of its birth
 * and compares; that costs one load, where getpid() is a system call. */
guint _io_fork_count           (void);

/* Descriptors whose end tells others that this process is gone: a forked child
 * lets go of them at once, or it would keep its dead parent alive for them.
 * Take a descriptor off the list before it is closed (that of a bell goes by
 * itself). Any thread. */
void  _io_fork_add_lifeline    (int fd);
void  _io_fork_remove_lifeline (int fd);

G_END_DECLS
