/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-stream-buffer-queue-entry.h>

G_BEGIN_DECLS

#define IO_TYPE_STREAM_BUFFER_QUEUE (io_stream_buffer_queue_get_type ())

IO_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (IOStreamBufferQueue, io_stream_buffer_queue, IO, STREAM_BUFFER_QUEUE, GObject)

IO_AVAILABLE_IN_ALL
guint32  io_stream_buffer_queue_get_entry_count (IOStreamBufferQueue      *self);
IO_AVAILABLE_IN_ALL
guint64  io_stream_buffer_queue_get_head_index  (IOStreamBufferQueue      *self);
IO_AVAILABLE_IN_ALL
guint64  io_stream_buffer_queue_get_tail_index  (IOStreamBufferQueue      *self);
IO_AVAILABLE_IN_ALL
gboolean io_stream_buffer_queue_peek_entry      (IOStreamBufferQueue      *self,
                                                 guint64                   index,
                                                 IOStreamBufferQueueEntry *entry);

G_END_DECLS
