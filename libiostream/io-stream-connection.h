/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-connection.h>
#include <libiostream/io-shared-interrupt-controller.h>
#include <libiostream/io-notification-port.h>
#include <libiostream/io-stream-buffer.h>
#include <libiostream/io-stream-buffer-queue.h>

G_BEGIN_DECLS

#define IO_TYPE_STREAM_CONNECTION (io_stream_connection_get_type ())

IO_AVAILABLE_IN_ALL
G_DECLARE_DERIVABLE_TYPE (IOStreamConnection, io_stream_connection, IO, STREAM_CONNECTION, IOConnection)

/**
 * IOStreamConnectionClass:
 * @parent_class: the parent class
 * @output_available: class handler of #IOStreamConnection::output-available
 * @buffers_changed: class handler of #IOStreamConnection::buffers-changed
 * @resumed: class handler of #IOStreamConnection::resumed
 *
 * The virtual methods of #IOStreamConnection.
 *
 * Since: 1.0
 */
struct _IOStreamConnectionClass {
  IOConnectionClass parent_class;

  void (*output_available) (IOStreamConnection *self);
  void (*buffers_changed)  (IOStreamConnection *self);
  void (*resumed)          (IOStreamConnection *self,
                            guint               generation);

  /*< private >*/
  gpointer _reserved[7];
};

/**
 * IOStreamOutputCallback:
 * @connection: the connection
 * @user_data: what was given with the callback
 *
 * Called when the output queue of @connection has something new
 * (IOStreamOutputCallback). Take entries with
 * io_stream_connection_dequeue_output_entry() until it returns %FALSE.
 *
 * Since: 1.0
 */
typedef void (*IOStreamOutputCallback) (IOStreamConnection *connection,
                                        gpointer            user_data);

IO_AVAILABLE_IN_ALL
IOStreamConnection  *io_stream_connection_new_for_name              (const char                      *name,
                                                                     GCancellable                    *cancellable,
                                                                     GError                         **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
IOStreamConnection  *io_stream_connection_new_for_socket            (GSocket                         *socket,
                                                                     GCancellable                    *cancellable,
                                                                     GError                         **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
IOStreamConnection  *io_stream_connection_new_for_stream            (IOStream                        *stream,
                                                                     GError                         **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
IOStreamConnection  *io_stream_connection_await_name                (const char                      *name,
                                                                     guint                            options,
                                                                     gint64                           timeout,
                                                                     GCancellable                    *cancellable,
                                                                     GError                         **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
void                 io_stream_connection_await_name_async          (const char                      *name,
                                                                     guint                            options,
                                                                     gint64                           timeout,
                                                                     GCancellable                    *cancellable,
                                                                     GAsyncReadyCallback              callback,
                                                                     gpointer                         user_data);
IO_AVAILABLE_IN_ALL
IOStreamConnection  *io_stream_connection_await_name_finish         (GAsyncResult                    *result,
                                                                     GError                         **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
IOStreamConnection  *io_stream_connection_await_shared              (const char                      *name,
                                                                     IOStreamDelivery                 delivery,
                                                                     guint                            replay,
                                                                     gint64                           timeout,
                                                                     GCancellable                    *cancellable,
                                                                     GError                         **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
void                 io_stream_connection_await_shared_async        (const char                      *name,
                                                                     IOStreamDelivery                 delivery,
                                                                     guint                            replay,
                                                                     gint64                           timeout,
                                                                     GCancellable                    *cancellable,
                                                                     GAsyncReadyCallback              callback,
                                                                     gpointer                         user_data);
IO_AVAILABLE_IN_ALL
IOStreamConnection  *io_stream_connection_await_shared_finish       (GAsyncResult                    *result,
                                                                     GError                         **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
IOStreamConnection  *io_stream_connection_open_stream               (IOStream                        *stream,
                                                                     GError                         **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
IOStreamConnection  *io_stream_connection_open_name                 (const char                      *name,
                                                                     GCancellable                    *cancellable,
                                                                     GError                         **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
void                 io_stream_connection_open_name_async           (const char                      *name,
                                                                     GCancellable                    *cancellable,
                                                                     GAsyncReadyCallback              callback,
                                                                     gpointer                         user_data);
IO_AVAILABLE_IN_ALL
IOStreamConnection  *io_stream_connection_open_name_finish          (GAsyncResult                    *result,
                                                                     GError                         **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
gboolean             io_stream_connection_start                           (IOStreamConnection               *self,
                                                                           GCancellable                     *cancellable,
                                                                           GError                          **error);
IO_AVAILABLE_IN_ALL
void                 io_stream_connection_start_async                     (IOStreamConnection               *self,
                                                                           GCancellable                     *cancellable,
                                                                           GAsyncReadyCallback               callback,
                                                                           gpointer                          user_data);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_connection_start_finish                    (IOStreamConnection               *self,
                                                                           GAsyncResult                     *result,
                                                                           GError                          **error);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_connection_stop                            (IOStreamConnection               *self,
                                                                           GCancellable                     *cancellable,
                                                                           GError                          **error);
IO_AVAILABLE_IN_ALL
void                 io_stream_connection_stop_async                      (IOStreamConnection               *self,
                                                                           GCancellable                     *cancellable,
                                                                           GAsyncReadyCallback               callback,
                                                                           gpointer                          user_data);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_connection_stop_finish                     (IOStreamConnection               *self,
                                                                           GAsyncResult                     *result,
                                                                           GError                          **error);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_connection_suspend                         (IOStreamConnection               *self,
                                                                           GCancellable                     *cancellable,
                                                                           GError                          **error);
IO_AVAILABLE_IN_ALL
void                 io_stream_connection_suspend_async                   (IOStreamConnection               *self,
                                                                           GCancellable                     *cancellable,
                                                                           GAsyncReadyCallback               callback,
                                                                           gpointer                          user_data);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_connection_suspend_finish                  (IOStreamConnection               *self,
                                                                           GAsyncResult                     *result,
                                                                           GError                          **error);
IO_AVAILABLE_IN_ALL
IOStreamMode         io_stream_connection_get_mode                        (IOStreamConnection               *self);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_connection_set_mode                        (IOStreamConnection               *self,
                                                                           IOStreamMode                      mode,
                                                                           GCancellable                     *cancellable,
                                                                           GError                          **error);
IO_AVAILABLE_IN_ALL
void                 io_stream_connection_set_mode_async                  (IOStreamConnection               *self,
                                                                           IOStreamMode                      mode,
                                                                           GCancellable                     *cancellable,
                                                                           GAsyncReadyCallback               callback,
                                                                           gpointer                          user_data);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_connection_set_mode_finish                 (IOStreamConnection               *self,
                                                                           GAsyncResult                     *result,
                                                                           GError                          **error);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_connection_get_resume                      (IOStreamConnection               *self);
IO_AVAILABLE_IN_ALL
void                 io_stream_connection_set_resume                      (IOStreamConnection               *self,
                                                                           gboolean                          resume);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_connection_is_waiting                      (IOStreamConnection               *self);
IO_AVAILABLE_IN_ALL
guint                io_stream_connection_get_generation                  (IOStreamConnection               *self);
IO_AVAILABLE_IN_ALL
IOStreamState        io_stream_connection_get_state                       (IOStreamConnection               *self);

IO_AVAILABLE_IN_ALL
guint                io_stream_connection_get_buffer_count                (IOStreamConnection               *self);
IO_AVAILABLE_IN_ALL
IOStreamBuffer      *io_stream_connection_get_buffer_with_id              (IOStreamConnection               *self,
                                                                           guint32                           buffer_id);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_connection_get_buffer_info                 (IOStreamConnection               *self,
                                                                           guint32                           buffer_id,
                                                                           void                            **data,
                                                                           gsize                            *data_size,
                                                                           void                            **control,
                                                                           gsize                            *control_size);
IO_AVAILABLE_IN_ALL
void                *io_stream_connection_peek_data_buffer                (IOStreamConnection               *self,
                                                                           guint32                           buffer_id,
                                                                           gsize                            *length);
IO_AVAILABLE_IN_ALL
void                *io_stream_connection_peek_control_buffer             (IOStreamConnection               *self,
                                                                           guint32                           buffer_id,
                                                                           gsize                            *length);
IO_AVAILABLE_IN_ALL
gsize                io_stream_connection_get_data_buffer_length          (IOStreamConnection               *self,
                                                                           guint32                           buffer_id);
IO_AVAILABLE_IN_ALL
gsize                io_stream_connection_get_control_buffer_length       (IOStreamConnection               *self,
                                                                           guint32                           buffer_id);
IO_AVAILABLE_IN_ALL
IOStreamBufferQueue *io_stream_connection_get_output_queue                (IOStreamConnection               *self);
IO_AVAILABLE_IN_ALL
IOStreamBufferQueue *io_stream_connection_get_input_queue                 (IOStreamConnection               *self);
IO_AVAILABLE_IN_ALL
IONotificationPort  *io_stream_connection_get_output_port                 (IOStreamConnection               *self);
IO_AVAILABLE_IN_ALL
IONotificationPort  *io_stream_connection_get_input_port                  (IOStreamConnection               *self);

IO_AVAILABLE_IN_ALL
void                 io_stream_connection_set_output_callback             (IOStreamConnection               *self,
                                                                           IOStreamOutputCallback            callback,
                                                                           gpointer                          user_data,
                                                                           GDestroyNotify                    destroy);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_connection_get_notify_in_context           (IOStreamConnection               *self);
IO_AVAILABLE_IN_ALL
void                 io_stream_connection_set_notify_in_context           (IOStreamConnection               *self,
                                                                           gboolean                          notify_in_context);
IO_AVAILABLE_IN_ALL
GSource             *io_stream_connection_create_source                   (IOStreamConnection               *self,
                                                                           GCancellable                     *cancellable);
IO_AVAILABLE_IN_ALL
int                  io_stream_connection_get_fd                          (IOStreamConnection               *self);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_connection_prepare_wait                    (IOStreamConnection               *self);
IO_AVAILABLE_IN_ALL
void                 io_stream_connection_finish_wait                     (IOStreamConnection               *self);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_connection_wait                            (IOStreamConnection               *self,
                                                                           gint64                            timeout,
                                                                           GCancellable                     *cancellable,
                                                                           GError                          **error);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_connection_attach_interrupts               (IOStreamConnection               *self,
                                                                           IOSharedInterruptController      *controller,
                                                                           guint                             vector,
                                                                           GCancellable                     *cancellable,
                                                                           GError                          **error);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_connection_detach_interrupts               (IOStreamConnection               *self,
                                                                           GCancellable                     *cancellable,
                                                                           GError                          **error);

IO_AVAILABLE_IN_ALL
gboolean             io_stream_connection_dequeue_output_entry            (IOStreamConnection               *self,
                                                                           IOStreamBufferQueueEntry         *entry);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_connection_enqueue_input_entry             (IOStreamConnection               *self,
                                                                           const IOStreamBufferQueueEntry   *entry,
                                                                           GError                          **error);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_connection_enqueue_input_buffer            (IOStreamConnection               *self,
                                                                           guint32                           buffer_id,
                                                                           guint32                           data_offset,
                                                                           guint32                           data_length,
                                                                           guint32                           control_offset,
                                                                           guint32                           control_length,
                                                                           GError                          **error);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_connection_send_input_notification         (IOStreamConnection               *self,
                                                                           guint32                           token,
                                                                           GError                          **error);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_connection_send_input_sync_notification    (IOStreamConnection               *self,
                                                                           guint32                           token,
                                                                           GCancellable                     *cancellable,
                                                                           GError                          **error);
IO_AVAILABLE_IN_ALL
void                 io_stream_connection_send_input_sync_notification_async (IOStreamConnection            *self,
                                                                           guint32                           token,
                                                                           GCancellable                     *cancellable,
                                                                           GAsyncReadyCallback               callback,
                                                                           gpointer                          user_data);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_connection_send_input_sync_notification_finish (IOStreamConnection           *self,
                                                                           GAsyncResult                     *result,
                                                                           GError                          **error);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_connection_return_entry                    (IOStreamConnection               *self,
                                                                           const IOStreamBufferQueueEntry   *entry,
                                                                           GError                          **error);
IO_AVAILABLE_IN_ALL
guint                io_stream_connection_get_held                        (IOStreamConnection               *self);
IO_AVAILABLE_IN_ALL
guint64              io_stream_connection_get_received                    (IOStreamConnection               *self);
IO_AVAILABLE_IN_ALL
guint64              io_stream_connection_get_lost                        (IOStreamConnection               *self);
IO_AVAILABLE_IN_ALL
IOStreamDelivery     io_stream_connection_get_delivery                    (IOStreamConnection               *self);
IO_AVAILABLE_IN_ALL
void                 io_stream_connection_set_delivery                    (IOStreamConnection               *self,
                                                                           IOStreamDelivery                  delivery);
IO_AVAILABLE_IN_ALL
IOStreamStatistics  *io_stream_connection_get_statistics                  (IOStreamConnection               *self,
                                                                           GCancellable                     *cancellable,
                                                                           GError                          **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
gboolean             io_stream_connection_check_entry                     (IOStreamConnection               *self,
                                                                           const IOStreamBufferQueueEntry   *entry);
IO_AVAILABLE_IN_ALL
guint64              io_stream_connection_get_revoked_count               (IOStreamConnection               *self);
IO_AVAILABLE_IN_ALL
guint                io_stream_connection_get_replay                      (IOStreamConnection               *self);
IO_AVAILABLE_IN_ALL
void                 io_stream_connection_set_replay                      (IOStreamConnection               *self,
                                                                           guint                             replay);

G_END_DECLS
