/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-error.h>

G_BEGIN_DECLS

#define IO_TYPE_WORK_LOOP (io_work_loop_get_type ())

IO_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (IOWorkLoop, io_work_loop, IO, WORK_LOOP, GObject)

IO_AVAILABLE_IN_ALL
IOWorkLoop   *io_work_loop_new         (const char  *name) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
const char   *io_work_loop_get_name    (IOWorkLoop  *self);
IO_AVAILABLE_IN_ALL
GMainContext *io_work_loop_get_context (IOWorkLoop  *self);
IO_AVAILABLE_IN_ALL
gboolean      io_work_loop_on_thread   (IOWorkLoop  *self);
IO_AVAILABLE_IN_ALL
gboolean      io_work_loop_run_action  (IOWorkLoop  *self,
                                        GSourceFunc  action,
                                        gpointer     user_data);
IO_AVAILABLE_IN_ALL
void          io_work_loop_shut_down   (IOWorkLoop  *self);

G_END_DECLS
