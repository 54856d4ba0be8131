/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-types.h>

G_BEGIN_DECLS

#define IO_TYPE_STREAM_BUFFER_QUEUE_ENTRY (io_stream_buffer_queue_entry_get_type ())

/**
 * IOStreamBufferQueueEntry:
 * @buffer_id: number of the buffer
 * @data_offset: where the valid bytes start in the data part, in bytes
 * @data_length: number of valid bytes in the data part
 * @control_offset: where the valid bytes start in the control part, in bytes
 * @control_length: number of valid bytes in the control part
 * @sequence: number of the loan: counts up with every buffer that the stream
 *   sends, and wraps around after 4,294,967,295
 * @timestamp: when the buffer was sent, in nanoseconds of CLOCK_MONOTONIC, or
 *   0 if the stream's #IOStream:timestamps is off
 *
 * One entry of a queue: a buffer and the part of it that counts. The first
 * five fields are those of Apple's IOStreamBufferQueueEntry. It is plain
 * memory: put it on the stack, or embed it.
 *
 * Since: 1.0
 */
struct _IOStreamBufferQueueEntry {
  guint32 buffer_id;
  guint32 data_offset;
  guint32 data_length;
  guint32 control_offset;
  guint32 control_length;
  guint32 sequence;
  guint64 timestamp;

  /*< private >*/
  guint64 reserved;
};

IO_AVAILABLE_IN_ALL
GType                     io_stream_buffer_queue_entry_get_type (void);
IO_AVAILABLE_IN_ALL
IOStreamBufferQueueEntry *io_stream_buffer_queue_entry_new      (void) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
IOStreamBufferQueueEntry *io_stream_buffer_queue_entry_copy     (const IOStreamBufferQueueEntry *self) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
void                      io_stream_buffer_queue_entry_free     (IOStreamBufferQueueEntry       *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (IOStreamBufferQueueEntry, io_stream_buffer_queue_entry_free)

G_END_DECLS
