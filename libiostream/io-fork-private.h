/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Shared pages stay with the process that made or mapped them: a forked child
 * has the objects, but not the pages. An object keeps the count of its birth
 * and compares; that costs one load, where getpid() is a system call. */
guint _io_fork_count (void);

G_END_DECLS
