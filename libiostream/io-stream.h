/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-notification-port.h>
#include <libiostream/io-service.h>
#include <libiostream/io-stream-buffer.h>
#include <libiostream/io-stream-buffer-queue.h>

G_BEGIN_DECLS

#define IO_TYPE_STREAM (io_stream_get_type ())

IO_AVAILABLE_IN_ALL
G_DECLARE_DERIVABLE_TYPE (IOStream, io_stream, IO, STREAM, IOService)

/**
 * IOStreamClass:
 * @parent_class: the parent class
 * @start: a client starts the stream; the state is %IO_STREAM_STATE_RUNNING
 *   already, so buffers can be sent here. The default does nothing and
 *   succeeds
 * @stop: the last running client stops. The default does nothing and succeeds
 * @suspend: the stream pauses. The default does nothing and succeeds
 * @set_mode: the mode shall change. The default lets it change unless the
 *   stream is open (%IO_STREAM_ERROR_STILL_OPEN)
 * @input_callback: class handler of #IOStream::input
 * @input_sync_callback: the client waits until this returns, in
 *   io_stream_connection_send_input_sync_notification(). What the client
 *   enqueued before has been announced with #IOStream::input. The code of an
 *   error reaches the client, its text does not. The default emits
 *   #IOStream::input-sync or, if nobody listens to that, #IOStream::input, and
 *   succeeds. Apple's inputSyncCallback()
 *
 * The virtual methods of #IOStream. All are called in the context of the
 * stream, with no lock held; chaining up is never needed.
 *
 * Since: 1.0
 */
struct _IOStreamClass {
  IOServiceClass parent_class;

  gboolean (*start)          (IOStream      *self,
                              GError       **error);
  gboolean (*stop)           (IOStream      *self,
                              GError       **error);
  gboolean (*suspend)        (IOStream      *self,
                              GError       **error);
  gboolean (*set_mode)       (IOStream      *self,
                              IOStreamMode   mode,
                              GError       **error);
  void     (*input_callback) (IOStream      *self,
                              guint32        token);
  gboolean (*input_sync_callback) (IOStream *self,
                              guint32        token,
                              GError       **error);

  /*< private >*/
  gpointer _reserved[8];
};

IO_AVAILABLE_IN_ALL
IOStream            *io_stream_new                      (const char                     *name,
                                                         guint                           buffer_count,
                                                         gsize                           data_size,
                                                         gsize                           control_size,
                                                         GError                        **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
IOStream            *io_stream_new_with_buffers         (const char                     *name,
                                                         GPtrArray                      *buffers,
                                                         IOStreamMode                    mode,
                                                         guint                           queue_length,
                                                         GError                        **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
IOStreamMode         io_stream_get_mode                 (IOStream                       *self);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_set_mode                 (IOStream                       *self,
                                                         IOStreamMode                    mode,
                                                         GError                        **error);
IO_AVAILABLE_IN_ALL
IOStreamState        io_stream_get_state                (IOStream                       *self);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_start                    (IOStream                       *self,
                                                         GError                        **error);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_stop                     (IOStream                       *self,
                                                         GError                        **error);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_suspend                  (IOStream                       *self,
                                                         GError                        **error);

IO_AVAILABLE_IN_ALL
gboolean             io_stream_add_buffer               (IOStream                       *self,
                                                         IOStreamBuffer                 *buffer,
                                                         GError                        **error);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_add_buffers              (IOStream                       *self,
                                                         GPtrArray                      *buffers,
                                                         GError                        **error);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_remove_buffer            (IOStream                       *self,
                                                         IOStreamBuffer                 *buffer,
                                                         GError                        **error);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_remove_buffer_with_id    (IOStream                       *self,
                                                         guint32                         buffer_id,
                                                         GError                        **error);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_remove_all_buffers       (IOStream                       *self,
                                                         GError                        **error);
IO_AVAILABLE_IN_ALL
guint                io_stream_get_buffer_count         (IOStream                       *self);
IO_AVAILABLE_IN_ALL
GPtrArray           *io_stream_get_buffers              (IOStream                       *self) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
IOStreamBuffer      *io_stream_get_buffer_with_id       (IOStream                       *self,
                                                         guint32                         buffer_id);

IO_AVAILABLE_IN_ALL
gboolean             io_stream_create_queues            (IOStream                       *self,
                                                         guint                           queue_length,
                                                         GError                        **error);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_destroy_queues           (IOStream                       *self,
                                                         GError                        **error);
IO_AVAILABLE_IN_ALL
IOStreamBufferQueue *io_stream_get_output_queue         (IOStream                       *self);
IO_AVAILABLE_IN_ALL
IOStreamBufferQueue *io_stream_get_input_queue          (IOStream                       *self);
IO_AVAILABLE_IN_ALL
IOMemoryDescriptor  *io_stream_get_output_queue_memory_descriptor (IOStream             *self) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
IOMemoryDescriptor  *io_stream_get_input_queue_memory_descriptor  (IOStream             *self) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
IONotificationPort  *io_stream_get_output_port          (IOStream                       *self);
IO_AVAILABLE_IN_ALL
IONotificationPort  *io_stream_get_input_port           (IOStream                       *self);

IO_AVAILABLE_IN_ALL
IOStreamBuffer      *io_stream_acquire_buffer           (IOStream                       *self,
                                                         GError                        **error);
IO_AVAILABLE_IN_ALL
IOStreamBuffer      *io_stream_acquire_buffer_with_id   (IOStream                       *self,
                                                         guint32                         buffer_id,
                                                         GError                        **error);
IO_AVAILABLE_IN_ALL
void                 io_stream_release_buffer           (IOStream                       *self,
                                                         IOStreamBuffer                 *buffer);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_send_buffer              (IOStream                       *self,
                                                         IOStreamBuffer                 *buffer,
                                                         GError                        **error);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_enqueue_output_buffer    (IOStream                       *self,
                                                         IOStreamBuffer                 *buffer,
                                                         guint32                         data_offset,
                                                         guint32                         data_length,
                                                         guint32                         control_offset,
                                                         guint32                         control_length,
                                                         GError                        **error);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_enqueue_output_entry     (IOStream                       *self,
                                                         const IOStreamBufferQueueEntry *entry,
                                                         GError                        **error);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_send_output_notification (IOStream                       *self,
                                                         GError                        **error);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_dequeue_input_entry      (IOStream                       *self,
                                                         IOStreamBufferQueueEntry       *entry);
IO_AVAILABLE_IN_ALL
IOStreamStatistics  *io_stream_get_statistics           (IOStream                       *self) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
gboolean             io_stream_wait_buffer              (IOStream                       *self,
                                                         gint64                          timeout,
                                                         GCancellable                   *cancellable,
                                                         GError                        **error);
IO_AVAILABLE_IN_ALL
gboolean             io_stream_wait_input               (IOStream                       *self,
                                                         gint64                          timeout,
                                                         GCancellable                   *cancellable,
                                                         GError                        **error);
IO_AVAILABLE_IN_ALL
guint                io_stream_get_reserve_count        (IOStream                        *self);
IO_AVAILABLE_IN_ALL
void                 io_stream_set_reserve_count        (IOStream                        *self,
                                                         guint                            reserve_count);
IO_AVAILABLE_IN_ALL
guint                io_stream_get_client_allowance     (IOStream                        *self);
IO_AVAILABLE_IN_ALL
void                 io_stream_set_client_allowance     (IOStream                        *self,
                                                         guint                            allowance);
IO_AVAILABLE_IN_ALL
guint                io_stream_get_history_count        (IOStream                        *self);
IO_AVAILABLE_IN_ALL
void                 io_stream_set_history_count        (IOStream                        *self,
                                                         guint                            count);
IO_AVAILABLE_IN_ALL
void                 io_stream_clear_history            (IOStream                        *self);
IO_AVAILABLE_IN_ALL
gint64               io_stream_get_loan_time_limit      (IOStream                        *self);
IO_AVAILABLE_IN_ALL
void                 io_stream_set_loan_time_limit      (IOStream                        *self,
                                                         gint64                           limit);
IO_AVAILABLE_IN_ALL
IOStreamLoanAction   io_stream_get_loan_action          (IOStream                        *self);
IO_AVAILABLE_IN_ALL
void                 io_stream_set_loan_action          (IOStream                        *self,
                                                         IOStreamLoanAction               action);

G_END_DECLS
