/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-error.h>

G_BEGIN_DECLS

#define IO_TYPE_SHARED_DATA_QUEUE (io_shared_data_queue_get_type ())

IO_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (IOSharedDataQueue, io_shared_data_queue, IO, SHARED_DATA_QUEUE, GObject)

IO_AVAILABLE_IN_ALL
IOSharedDataQueue     *io_shared_data_queue_new_with_capacity (IOSharedDataQueueRole   role,
                                                               guint64                 capacity,
                                                               GError                **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
IOSharedDataQueue     *io_shared_data_queue_new_with_entries  (IOSharedDataQueueRole   role,
                                                               guint                   n_entries,
                                                               guint64                 entry_size,
                                                               GError                **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
gboolean               io_shared_data_queue_new_pair          (guint64                 capacity,
                                                               IOSharedDataQueue     **producer,
                                                               IOSharedDataQueue     **consumer,
                                                               GError                **error);

IO_AVAILABLE_IN_ALL
IOSharedDataQueueRole  io_shared_data_queue_get_role          (IOSharedDataQueue      *self);
IO_AVAILABLE_IN_ALL
guint64                io_shared_data_queue_get_capacity      (IOSharedDataQueue      *self);
IO_AVAILABLE_IN_ALL
guint64                io_shared_data_queue_get_max_size      (IOSharedDataQueue      *self);
IO_AVAILABLE_IN_ALL
IOMemoryDescriptor    *io_shared_data_queue_get_memory_descriptor (IOSharedDataQueue  *self) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
gboolean               io_shared_data_queue_is_empty          (IOSharedDataQueue      *self);
IO_AVAILABLE_IN_ALL
gboolean               io_shared_data_queue_is_connected      (IOSharedDataQueue      *self);
IO_AVAILABLE_IN_ALL
const GError          *io_shared_data_queue_get_error         (IOSharedDataQueue      *self);
IO_AVAILABLE_IN_ALL
void                   io_shared_data_queue_get_statistics    (IOSharedDataQueue      *self,
                                                               guint64                *n_records,
                                                               guint64                *n_bytes,
                                                               guint64                *n_refused);
IO_AVAILABLE_IN_ALL
void                   io_shared_data_queue_hang_up           (IOSharedDataQueue      *self);

IO_AVAILABLE_IN_ALL
gboolean               io_shared_data_queue_can_enqueue       (IOSharedDataQueue      *self,
                                                               gsize                   size);
IO_AVAILABLE_IN_ALL
gboolean               io_shared_data_queue_enqueue           (IOSharedDataQueue      *self,
                                                               const void             *data,
                                                               gsize                   size,
                                                               GError                **error);
IO_AVAILABLE_IN_ALL
gboolean               io_shared_data_queue_enqueue_bytes     (IOSharedDataQueue      *self,
                                                               GBytes                 *bytes,
                                                               GError                **error);
IO_AVAILABLE_IN_ALL
gpointer               io_shared_data_queue_reserve           (IOSharedDataQueue      *self,
                                                               gsize                   size,
                                                               GError                **error);
IO_AVAILABLE_IN_ALL
gboolean               io_shared_data_queue_commit            (IOSharedDataQueue      *self,
                                                               gsize                   size,
                                                               GError                **error);
IO_AVAILABLE_IN_ALL
gboolean               io_shared_data_queue_peek              (IOSharedDataQueue      *self,
                                                               const void            **data,
                                                               gsize                  *size);
IO_AVAILABLE_IN_ALL
gboolean               io_shared_data_queue_consume           (IOSharedDataQueue      *self);
IO_AVAILABLE_IN_ALL
gboolean               io_shared_data_queue_dequeue           (IOSharedDataQueue      *self,
                                                               void                   *buffer,
                                                               gsize                  *size,
                                                               GError                **error);
IO_AVAILABLE_IN_ALL
GBytes                *io_shared_data_queue_dequeue_bytes     (IOSharedDataQueue      *self,
                                                               GError                **error) G_GNUC_WARN_UNUSED_RESULT;

IO_AVAILABLE_IN_ALL
void                   io_shared_data_queue_attach            (IOSharedDataQueue      *self);
IO_AVAILABLE_IN_ALL
void                   io_shared_data_queue_detach            (IOSharedDataQueue      *self);
IO_AVAILABLE_IN_ALL
GSource               *io_shared_data_queue_create_source     (IOSharedDataQueue      *self,
                                                               GCancellable           *cancellable) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
gboolean               io_shared_data_queue_wait_data         (IOSharedDataQueue      *self,
                                                               gint64                  timeout,
                                                               GCancellable           *cancellable,
                                                               GError                **error);
IO_AVAILABLE_IN_ALL
gboolean               io_shared_data_queue_wait_space        (IOSharedDataQueue      *self,
                                                               gsize                   size,
                                                               gint64                  timeout,
                                                               GCancellable           *cancellable,
                                                               GError                **error);
IO_AVAILABLE_IN_ALL
int                    io_shared_data_queue_get_fd            (IOSharedDataQueue      *self);
IO_AVAILABLE_IN_ALL
gboolean               io_shared_data_queue_prepare_wait      (IOSharedDataQueue      *self);
IO_AVAILABLE_IN_ALL
void                   io_shared_data_queue_finish_wait       (IOSharedDataQueue      *self);

G_END_DECLS
