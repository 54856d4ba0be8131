/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-buffer-queue-private.h"

#include "io-ring-private.h"

/**
 * SECTION:io-stream-buffer-queue
 * @title: IOStreamBufferQueue
 * @short_description: A look at one of the two queues of an open stream
 *
 * An #IOStreamBufferQueue shows the length and the progress of a queue, for
 * statistics, monitors and tests. It is read-only: entries are moved with
 * io_stream_enqueue_output_entry(), io_stream_dequeue_input_entry() and their
 * counterparts in #IOStreamConnection, and no decision is ever made from the
 * indices shown here, which the other process may write as it likes.
 *
 * The object keeps the shared pages mapped, so it can be asked even after the
 * stream was closed; it then shows the last state. Any thread.
 *
 * It answers to Apple's IOStreamBufferQueue, whose fields are plain memory:
 * the head is the index the writer fills next, the tail the one the reader
 * takes next. Indices here run freely and never wrap at the length of the
 * queue.
 */

/**
 * IOStreamBufferQueue:
 *
 * A look at one of the two queues of an open stream.
 *
 * Since: 1.0
 */

struct _IOStreamBufferQueue {
  GObject          parent_instance;
  IOMemoryBacking *writer;
  IOMemoryBacking *reader;
  IOAbiRegion     *writer_page;
  IOAbiRegion     *reader_page;
  guint32          entry_count;
};

G_DEFINE_FINAL_TYPE (IOStreamBufferQueue, io_stream_buffer_queue, G_TYPE_OBJECT)

static void
io_stream_buffer_queue_finalize (GObject *object)
{
  IOStreamBufferQueue *self = IO_STREAM_BUFFER_QUEUE (object);

  g_clear_pointer (&self->writer, _io_memory_backing_unref);
  g_clear_pointer (&self->reader, _io_memory_backing_unref);

  G_OBJECT_CLASS (io_stream_buffer_queue_parent_class)->finalize (object);
}

static void
io_stream_buffer_queue_class_init (IOStreamBufferQueueClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = io_stream_buffer_queue_finalize;
}

static void
io_stream_buffer_queue_init (IOStreamBufferQueue *self)
{
}

IOStreamBufferQueue *
_io_stream_buffer_queue_new (const IORegion *writer,
                             const IORegion *reader)
{
  IOStreamBufferQueue *self = g_object_new (IO_TYPE_STREAM_BUFFER_QUEUE, NULL);

  self->writer = _io_memory_backing_ref (writer->backing);
  self->reader = _io_memory_backing_ref (reader->backing);
  self->writer_page = writer->page;
  self->reader_page = reader->page;
  self->entry_count = writer->entry_count;

  return self;
}

/**
 * io_stream_buffer_queue_get_entry_count:
 * @self: a queue
 *
 * Gets how many entries the queue can hold, a power of two.
 *
 * Any thread.
 *
 * Returns: the number of slots
 * Since: 1.0
 */
guint32
io_stream_buffer_queue_get_entry_count (IOStreamBufferQueue *self)
{
  g_return_val_if_fail (IO_IS_STREAM_BUFFER_QUEUE (self), 0);

  return self->entry_count;
}

/**
 * io_stream_buffer_queue_get_head_index:
 * @self: a queue
 *
 * Gets the index that the writer fills next, as it said last: it is brought up
 * to date when a notification is sent, not with every entry. Apple's headIndex.
 *
 * Any thread.
 *
 * Returns: the index
 * Since: 1.0
 */
guint64
io_stream_buffer_queue_get_head_index (IOStreamBufferQueue *self)
{
  g_return_val_if_fail (IO_IS_STREAM_BUFFER_QUEUE (self), 0);

  if (_io_memory_backing_is_absent (self->writer))
    return 0;

  return atomic_load_explicit (&self->writer_page->produced, memory_order_relaxed);
}

/**
 * io_stream_buffer_queue_get_tail_index:
 * @self: a queue
 *
 * Gets the index that the reader takes next, as it said last: it is brought up
 * to date when the reader has emptied the queue or waits, not with every
 * entry. Apple's tailIndex.
 *
 * Any thread.
 *
 * Returns: the index
 * Since: 1.0
 */
guint64
io_stream_buffer_queue_get_tail_index (IOStreamBufferQueue *self)
{
  g_return_val_if_fail (IO_IS_STREAM_BUFFER_QUEUE (self), 0);

  if (_io_memory_backing_is_absent (self->reader))
    return 0;

  return atomic_load_explicit (&self->reader_page->consumed, memory_order_relaxed);
}

/**
 * io_stream_buffer_queue_peek_entry:
 * @self: a queue
 * @index: which entry, as counted by io_stream_buffer_queue_get_head_index()
 * @entry: (out caller-allocates): where to put a copy of it
 *
 * Looks at an entry without taking it. Nothing of it is checked, and it may be
 * overwritten at any time.
 *
 * Any thread.
 *
 * Returns: %TRUE if the entry with this index stands in the queue
 * Since: 1.0
 */
gboolean
io_stream_buffer_queue_peek_entry (IOStreamBufferQueue      *self,
                                   guint64                   index,
                                   IOStreamBufferQueueEntry *entry)
{
  IORing ring;

  g_return_val_if_fail (IO_IS_STREAM_BUFFER_QUEUE (self), FALSE);
  g_return_val_if_fail (entry != NULL, FALSE);

  if (_io_memory_backing_is_absent (self->writer))
    return FALSE;

  _io_ring_init (&ring, self->writer_page->entries, self->entry_count, index);

  return _io_ring_take (&ring, entry);
}
