/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-memory-descriptor.h>
#include <libiostream/io-notification-port.h>
#include <libiostream/io-types.h>

G_BEGIN_DECLS

#define IO_TYPE_CONNECTION (io_connection_get_type ())

IO_AVAILABLE_IN_ALL
G_DECLARE_DERIVABLE_TYPE (IOConnection, io_connection, IO, CONNECTION, GObject)

/**
 * IOConnectionClass:
 * @parent_class: the parent class
 * @disconnected: class handler of #IOConnection::disconnected
 * @service_message: class handler of #IOConnection::service-message
 * @attribute_changed: class handler of #IOConnection::attribute-changed
 *
 * The virtual methods of #IOConnection.
 *
 * Since: 1.0
 */
struct _IOConnectionClass {
  GObjectClass parent_class;

  void (*disconnected) (IOConnection *self,
                        const GError *error);
  void (*service_message)   (IOConnection *self,
                             guint         type,
                             GVariant     *argument);
  void (*attribute_changed) (IOConnection *self,
                             const char   *key,
                             GVariant     *value);

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
IOConnection *io_connection_await_name      (const char           *name,
                                             gint64                timeout,
                                             GCancellable         *cancellable,
                                             GError              **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
void          io_connection_await_name_async (const char          *name,
                                             gint64                timeout,
                                             GCancellable         *cancellable,
                                             GAsyncReadyCallback   callback,
                                             gpointer              user_data);
IO_AVAILABLE_IN_ALL
IOConnection *io_connection_await_name_finish (GAsyncResult       *result,
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

/**
 * IOConnectionProgressFunc:
 * @connection: the connection
 * @progress: what the owner reports
 * @user_data: what was given with the call
 *
 * Hears how far an asynchronous call is. In the context of the connection,
 * before the callback of the call.
 *
 * Since: 1.0
 */
typedef void (*IOConnectionProgressFunc) (IOConnection *connection,
                                          GVariant     *progress,
                                          gpointer      user_data);

IO_AVAILABLE_IN_ALL
gboolean      io_connection_call_method     (IOConnection             *self,
                                             guint                     selector,
                                             const guint64            *scalar_input,
                                             guint                     n_scalar_input,
                                             GBytes                   *structure_input,
                                             guint                     max_scalar_output,
                                             guint                     max_structure_output,
                                             guint64                 **scalar_output,
                                             guint                    *n_scalar_output,
                                             GBytes                  **structure_output,
                                             GCancellable             *cancellable,
                                             GError                  **error);
IO_AVAILABLE_IN_ALL
void          io_connection_call_method_async (IOConnection             *self,
                                               guint                     selector,
                                               const guint64            *scalar_input,
                                               guint                     n_scalar_input,
                                               GBytes                   *structure_input,
                                               guint                     max_scalar_output,
                                               guint                     max_structure_output,
                                               IOConnectionProgressFunc  progress,
                                               gpointer                  progress_data,
                                               GDestroyNotify            progress_destroy,
                                               GCancellable             *cancellable,
                                               GAsyncReadyCallback       callback,
                                               gpointer                  user_data);
IO_AVAILABLE_IN_ALL
gboolean      io_connection_call_method_finish (IOConnection            *self,
                                                GAsyncResult            *result,
                                                guint64                **scalar_output,
                                                guint                   *n_scalar_output,
                                                GBytes                 **structure_output,
                                                GError                 **error);
IO_AVAILABLE_IN_ALL
GVariant     *io_connection_call            (IOConnection             *self,
                                             guint                     selector,
                                             GVariant                 *parameters,
                                             const GVariantType       *reply_type,
                                             GCancellable             *cancellable,
                                             GError                  **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
void          io_connection_call_async      (IOConnection             *self,
                                             guint                     selector,
                                             GVariant                 *parameters,
                                             const GVariantType       *reply_type,
                                             IOConnectionProgressFunc  progress,
                                             gpointer                  progress_data,
                                             GDestroyNotify            progress_destroy,
                                             GCancellable             *cancellable,
                                             GAsyncReadyCallback       callback,
                                             gpointer                  user_data);
IO_AVAILABLE_IN_ALL
GVariant     *io_connection_call_finish     (IOConnection             *self,
                                             GAsyncResult             *result,
                                             GError                  **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
gboolean      io_connection_trap            (IOConnection             *self,
                                             guint                     index,
                                             guint32                   token,
                                             GCancellable             *cancellable,
                                             GError                  **error);
IO_AVAILABLE_IN_ALL
IOMemoryDescriptor *io_connection_get_memory (IOConnection            *self,
                                              guint                    type,
                                              GCancellable            *cancellable,
                                              GError                 **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
IONotificationPort *io_connection_get_notification_port (IOConnection  *self,
                                                         guint          type,
                                                         guint64        reference,
                                                         GCancellable  *cancellable,
                                                         GError       **error) G_GNUC_WARN_UNUSED_RESULT;
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
IOSharedInterruptController *
              io_connection_get_interrupt_controller (IOConnection *self,
                                             GCancellable         *cancellable,
                                             GError              **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
void          io_connection_get_interrupt_controller_async (IOConnection *self,
                                             GCancellable         *cancellable,
                                             GAsyncReadyCallback   callback,
                                             gpointer              user_data);
IO_AVAILABLE_IN_ALL
IOSharedInterruptController *
              io_connection_get_interrupt_controller_finish (IOConnection *self,
                                             GAsyncResult         *result,
                                             GError              **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
gboolean      io_connection_watch_attributes (IOConnection        *self,
                                             GCancellable         *cancellable,
                                             GError              **error);
IO_AVAILABLE_IN_ALL
void          io_connection_watch_attributes_async (IOConnection  *self,
                                             GCancellable         *cancellable,
                                             GAsyncReadyCallback   callback,
                                             gpointer              user_data);
IO_AVAILABLE_IN_ALL
gboolean      io_connection_watch_attributes_finish (IOConnection *self,
                                             GAsyncResult         *result,
                                             GError              **error);
IO_AVAILABLE_IN_ALL
void          io_connection_unwatch_attributes (IOConnection      *self);
IO_AVAILABLE_IN_ALL
GVariant     *io_connection_get_attribute   (IOConnection         *self,
                                             const char           *key) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
gboolean      io_connection_set_attribute   (IOConnection         *self,
                                             const char           *key,
                                             GVariant             *value,
                                             GCancellable         *cancellable,
                                             GError              **error);
IO_AVAILABLE_IN_ALL
void          io_connection_set_attribute_async (IOConnection     *self,
                                             const char           *key,
                                             GVariant             *value,
                                             GCancellable         *cancellable,
                                             GAsyncReadyCallback   callback,
                                             gpointer              user_data);
IO_AVAILABLE_IN_ALL
gboolean      io_connection_set_attribute_finish (IOConnection    *self,
                                             GAsyncResult         *result,
                                             GError              **error);
IO_AVAILABLE_IN_ALL
gboolean      io_connection_send_message    (IOConnection         *self,
                                             guint                 type,
                                             GVariant             *argument,
                                             GCancellable         *cancellable,
                                             GError              **error);
IO_AVAILABLE_IN_ALL
void          io_connection_send_message_async (IOConnection      *self,
                                             guint                 type,
                                             GVariant             *argument,
                                             GCancellable         *cancellable,
                                             GAsyncReadyCallback   callback,
                                             gpointer              user_data);
IO_AVAILABLE_IN_ALL
gboolean      io_connection_send_message_finish (IOConnection     *self,
                                             GAsyncResult         *result,
                                             GError              **error);
IO_AVAILABLE_IN_ALL
void          io_connection_hang_up         (IOConnection         *self);

G_END_DECLS
