/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-error.h>

G_BEGIN_DECLS

#define IO_TYPE_NOTIFICATION_PORT (io_notification_port_get_type ())

IO_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (IONotificationPort, io_notification_port, IO, NOTIFICATION_PORT, GObject)

IO_AVAILABLE_IN_ALL
gboolean  io_notification_port_new_pair      (IONotificationPort **first,
                                              IONotificationPort **second,
                                              GError             **error);
IO_AVAILABLE_IN_ALL
int       io_notification_port_get_fd        (IONotificationPort  *self);
IO_AVAILABLE_IN_ALL
gboolean  io_notification_port_send_notification (IONotificationPort  *self,
                                                  GError             **error);
IO_AVAILABLE_IN_ALL
gboolean  io_notification_port_wait          (IONotificationPort  *self,
                                              gint64               timeout,
                                              GCancellable        *cancellable,
                                              GError             **error);
IO_AVAILABLE_IN_ALL
gboolean  io_notification_port_prepare_wait  (IONotificationPort  *self);
IO_AVAILABLE_IN_ALL
void      io_notification_port_finish_wait   (IONotificationPort  *self);
IO_AVAILABLE_IN_ALL
gboolean  io_notification_port_is_hung_up    (IONotificationPort  *self);
IO_AVAILABLE_IN_ALL
GSource  *io_notification_port_create_source (IONotificationPort  *self,
                                              GCancellable        *cancellable) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
