/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-error.h>

G_BEGIN_DECLS

#define IO_TYPE_ACTION (io_action_get_type ())

IO_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (IOAction, io_action, IO, ACTION, GObject)

/**
 * IO_ACTION_MAX_OUTSTANDING:
 *
 * How many asynchronous calls of one client can be without an answer.
 *
 * Since: 1.0
 */
#define IO_ACTION_MAX_OUTSTANDING 256u

IO_AVAILABLE_IN_ALL
IOUserClient *io_action_get_client       (IOAction      *self);
IO_AVAILABLE_IN_ALL
guint         io_action_get_selector     (IOAction      *self);
IO_AVAILABLE_IN_ALL
gboolean      io_action_is_completed     (IOAction      *self);
IO_AVAILABLE_IN_ALL
gboolean      io_action_is_cancelled     (IOAction      *self);
IO_AVAILABLE_IN_ALL
gboolean      io_action_complete         (IOAction      *self,
                                          const guint64 *scalars,
                                          guint          n_scalars,
                                          GBytes        *structure,
                                          GError       **error);
IO_AVAILABLE_IN_ALL
gboolean      io_action_complete_variant (IOAction      *self,
                                          GVariant      *result,
                                          GError       **error);
IO_AVAILABLE_IN_ALL
gboolean      io_action_fail             (IOAction      *self,
                                          const GError  *reason);
IO_AVAILABLE_IN_ALL
gboolean      io_action_report_progress  (IOAction      *self,
                                          GVariant      *progress,
                                          GError       **error);
IO_AVAILABLE_IN_ALL
guint         io_action_get_n_dropped    (IOAction      *self);

G_END_DECLS
