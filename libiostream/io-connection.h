/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-error.h>
#include <libiostream/io-types.h>

G_BEGIN_DECLS

#define IO_TYPE_CONNECTION (io_connection_get_type ())

IO_AVAILABLE_IN_ALL
G_DECLARE_DERIVABLE_TYPE (IOConnection, io_connection, IO, CONNECTION, GObject)

/**
 * IOConnectionClass:
 * @parent_class: the parent class
 * @disconnected: class handler of #IOConnection::disconnected
 *
 * The virtual methods of #IOConnection.
 *
 * Since: 1.0
 */
struct _IOConnectionClass {
  GObjectClass parent_class;

  void (*disconnected) (IOConnection *self,
                        const GError *error);

  /*< private >*/
  gpointer _reserved[8];
};

IO_AVAILABLE_IN_ALL
IOConnection *io_connection_new_for_name    (const char           *name,
                                             GCancellable         *cancellable,
                                             GError              **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
IOConnection *io_connection_new_for_service (IOService            *service,
                                             GError              **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
const char   *io_connection_get_name        (IOConnection         *self);
IO_AVAILABLE_IN_ALL
const char   *io_connection_get_service_class (IOConnection       *self);
IO_AVAILABLE_IN_ALL
gint64        io_connection_get_timeout     (IOConnection         *self);
IO_AVAILABLE_IN_ALL
void          io_connection_set_timeout     (IOConnection         *self,
                                             gint64                timeout);
IO_AVAILABLE_IN_ALL
const GError *io_connection_get_error       (IOConnection         *self);
IO_AVAILABLE_IN_ALL
gboolean      io_connection_is_connected    (IOConnection         *self);
IO_AVAILABLE_IN_ALL
gboolean      io_connection_is_open         (IOConnection         *self);
IO_AVAILABLE_IN_ALL
GVariant     *io_connection_copy_attributes (IOConnection         *self,
                                             GCancellable         *cancellable,
                                             GError              **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
gboolean      io_connection_open            (IOConnection         *self,
                                             guint                 options,
                                             GCancellable         *cancellable,
                                             GError              **error);
IO_AVAILABLE_IN_ALL
void          io_connection_open_async      (IOConnection         *self,
                                             guint                 options,
                                             GCancellable         *cancellable,
                                             GAsyncReadyCallback   callback,
                                             gpointer              user_data);
IO_AVAILABLE_IN_ALL
gboolean      io_connection_open_finish     (IOConnection         *self,
                                             GAsyncResult         *result,
                                             GError              **error);
IO_AVAILABLE_IN_ALL
gboolean      io_connection_close           (IOConnection         *self,
                                             GCancellable         *cancellable,
                                             GError              **error);
IO_AVAILABLE_IN_ALL
void          io_connection_close_async     (IOConnection         *self,
                                             GCancellable         *cancellable,
                                             GAsyncReadyCallback   callback,
                                             gpointer              user_data);
IO_AVAILABLE_IN_ALL
gboolean      io_connection_close_finish    (IOConnection         *self,
                                             GAsyncResult         *result,
                                             GError              **error);
IO_AVAILABLE_IN_ALL
IOSharedDataQueue *io_connection_get_data_queue (IOConnection     *self,
                                             guint                 type,
                                             GCancellable         *cancellable,
                                             GError              **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
void          io_connection_get_data_queue_async (IOConnection    *self,
                                             guint                 type,
                                             GCancellable         *cancellable,
                                             GAsyncReadyCallback   callback,
                                             gpointer              user_data);
IO_AVAILABLE_IN_ALL
IOSharedDataQueue *io_connection_get_data_queue_finish (IOConnection *self,
                                             GAsyncResult         *result,
                                             GError              **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
void          io_connection_hang_up         (IOConnection         *self);

G_END_DECLS
