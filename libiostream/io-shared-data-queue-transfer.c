/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-shared-data-queue-private.h"

#include <string.h>

/* The producer. */

static void
set_wanted (IOSharedDataQueue *self,
            guint64            position)
{
  atomic_store_explicit (&self->own.page->wanted, position, memory_order_relaxed);
}

/* Where the consumer has to come to for the record that was refused. */
static void
update_wanted (IOSharedDataQueue *self)
{
  set_wanted (self, _io_data_ring_position (&self->ring) + self->wanted_stride - self->geometry.capacity);
}

void
_io_shared_data_queue_forget_space_locked (IOSharedDataQueue *self)
{
  self->wanted_stride = 0;
  atomic_store (&self->wants_space, FALSE);
  set_wanted (self, _io_data_ring_position (&self->ring) + IO_DATA_REGION_NEVER);
}

/* The consumer stores its position, fences, and reads what is wanted; here it
 * is the other way round, so one of both sees the other. */
IODataRingResult
_io_shared_data_queue_want_space_locked (IOSharedDataQueue *self,
                                         guint64            stride)
{
  IODataRingResult result = _io_data_ring_make_room (&self->ring, stride);

  if (result != IO_DATA_RING_NOTHING)
    return result;

  self->wanted_stride = stride;
  update_wanted (self);
  atomic_store (&self->wants_space, TRUE);
  atomic_thread_fence (memory_order_seq_cst);
  result = _io_data_ring_make_room (&self->ring, stride);
  if (result == IO_DATA_RING_NOTHING && self->attached)
    _io_notification_port_wake (self->port);

  return result;
}

/* Room for the record, or the error. */
static gboolean
make_room (IOSharedDataQueue  *self,
           gsize               size,
           const char         *operation,
           GError            **error)
{
  IODataRingResult result;

  if (!_io_shared_data_queue_check_locked (self, IO_SHARED_DATA_QUEUE_PRODUCER, operation, error) ||
      !_io_shared_data_queue_check_size (self, size, operation, error))
    return FALSE;

  if (self->gone)
    return _io_shared_data_queue_check_peer_locked (self, operation, error);

  result = _io_shared_data_queue_want_space_locked (self, _io_data_ring_stride (size));
  if (result == IO_DATA_RING_DONE)
    return TRUE;

  if (result == IO_DATA_RING_BROKEN)
    {
      _io_shared_data_queue_break_locked (self, error);
      return FALSE;
    }

  self->n_refused++;
  if (_io_shared_data_queue_check_peer_locked (self, operation, error))
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OVERRUN,
                 "Cannot %s: there is no room for %" G_GSIZE_FORMAT " bytes in the data queue of %u",
                 operation, size, self->geometry.capacity);
  return FALSE;
}

static gboolean
publish (IOSharedDataQueue  *self,
         guint32             size,
         const char         *operation,
         GError            **error)
{
  guint64 stride = _io_data_ring_stride (size);

  self->has_reserved = FALSE;
  _io_data_ring_publish (&self->ring, size);
  self->n_records++;
  self->n_bytes += size;

  if (self->wanted_stride > stride)
    update_wanted (self);
  else if (self->wanted_stride != 0)
    _io_shared_data_queue_forget_space_locked (self);

  if (self->ready && !_io_notification_port_ring (self->port))
    return _io_shared_data_queue_check_peer_locked (self, operation, error);

  return TRUE;
}

/**
 * io_shared_data_queue_can_enqueue:
 * @self: a queue
 * @size: the size of a record
 *
 * Tells whether a record of @size bytes would be taken now. This is no attempt:
 * #IOSharedDataQueue::space-available does not follow it. In the thread that
 * produces. Apple: CanEnqueueData.
 *
 * Returns: %TRUE if there is room
 * Since: 1.0
 */
gboolean
io_shared_data_queue_can_enqueue (IOSharedDataQueue *self,
                                  gsize              size)
{
  gboolean can;

  g_return_val_if_fail (IO_IS_SHARED_DATA_QUEUE (self), FALSE);

  g_mutex_lock (&self->lock);
  can = _io_shared_data_queue_check_locked (self, IO_SHARED_DATA_QUEUE_PRODUCER, "look", NULL) &&
        !self->gone &&
        _io_shared_data_queue_check_size (self, size, "look", NULL) &&
        _io_data_ring_make_room (&self->ring, _io_data_ring_stride (size)) == IO_DATA_RING_DONE;
  g_mutex_unlock (&self->lock);

  return can;
}

/**
 * io_shared_data_queue_enqueue:
 * @self: a queue
 * @data: (array length=size) (element-type guint8) (nullable): the record
 * @size: its size; 0 is a record as well
 * @error: return location for a #GError
 *
 * Copies a record into the queue, and wakes the consumer if it sleeps. Never
 * blocks, and overwrites nothing.
 *
 * Fails with %IO_STREAM_ERROR_OVERRUN if there is no room now, and
 * #IOSharedDataQueue::space-available, or io_shared_data_queue_wait_space(),
 * tells when there is; %IO_STREAM_ERROR_MESSAGE_TOO_LARGE if there can never
 * be; %IO_STREAM_ERROR_NOT_WRITABLE at the consuming end;
 * %IO_STREAM_ERROR_OFFLINE if the other end is gone; %IO_STREAM_ERROR_NOT_OPEN;
 * and %IO_STREAM_ERROR_IPC_ERROR.
 *
 * In the thread that produces. Apple: enqueue, IODataQueueEnqueue(), Enqueue.
 *
 * Returns: %TRUE if the record is in the queue
 * Since: 1.0
 */
gboolean
io_shared_data_queue_enqueue (IOSharedDataQueue  *self,
                              const void         *data,
                              gsize               size,
                              GError            **error)
{
  gboolean done;

  g_return_val_if_fail (IO_IS_SHARED_DATA_QUEUE (self), FALSE);
  g_return_val_if_fail (data != NULL || size == 0, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  g_mutex_lock (&self->lock);
  done = make_room (self, size, "enqueue a record", error);
  if (done)
    {
      if (size > 0)
        memcpy (_io_data_ring_peek_room (&self->ring), data, size);
      done = publish (self, (guint32) size, "enqueue a record", error);
    }
  g_mutex_unlock (&self->lock);

  return done;
}

/**
 * io_shared_data_queue_enqueue_bytes:
 * @self: a queue
 * @bytes: the record
 * @error: return location for a #GError
 *
 * io_shared_data_queue_enqueue() with a #GBytes, of which nothing is kept.
 *
 * In the thread that produces.
 *
 * Returns: %TRUE if the record is in the queue
 * Since: 1.0
 */
gboolean
io_shared_data_queue_enqueue_bytes (IOSharedDataQueue  *self,
                                    GBytes             *bytes,
                                    GError            **error)
{
  const void *data;
  gsize size;

  g_return_val_if_fail (bytes != NULL, FALSE);

  data = g_bytes_get_data (bytes, &size);

  return io_shared_data_queue_enqueue (self, data, size, error);
}

/**
 * io_shared_data_queue_reserve: (skip)
 * @self: a queue
 * @size: how much room the record may need
 * @error: return location for a #GError
 *
 * Gets the memory of the next record, to be filled in place and sent with
 * io_shared_data_queue_commit(). It is aligned to eight bytes, and what stands
 * in it is left over from older records. Nothing is promised to the consumer
 * yet: another io_shared_data_queue_reserve(), or
 * io_shared_data_queue_enqueue(), takes the place of this one.
 *
 * Fails as io_shared_data_queue_enqueue() does.
 *
 * In the thread that produces.
 *
 * Returns: (transfer none) (nullable): @size bytes of memory
 * Since: 1.0
 */
gpointer
io_shared_data_queue_reserve (IOSharedDataQueue  *self,
                              gsize               size,
                              GError            **error)
{
  gpointer data = NULL;

  g_return_val_if_fail (IO_IS_SHARED_DATA_QUEUE (self), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  g_mutex_lock (&self->lock);
  self->has_reserved = FALSE;
  if (make_room (self, size, "reserve a record", error))
    {
      self->has_reserved = TRUE;
      self->reserved_size = (guint32) size;
      data = _io_data_ring_peek_room (&self->ring);
    }
  g_mutex_unlock (&self->lock);

  return data;
}

/**
 * io_shared_data_queue_commit: (skip)
 * @self: a queue
 * @size: the size of the record, at most what was reserved
 * @error: return location for a #GError
 *
 * Sends the record that was filled after io_shared_data_queue_reserve().
 *
 * Fails with %IO_STREAM_ERROR_BAD_ARGUMENT if that much was not reserved, and
 * with %IO_STREAM_ERROR_OFFLINE, %IO_STREAM_ERROR_NOT_OPEN and
 * %IO_STREAM_ERROR_IPC_ERROR.
 *
 * In the thread that produces.
 *
 * Returns: %TRUE if the record is in the queue
 * Since: 1.0
 */
gboolean
io_shared_data_queue_commit (IOSharedDataQueue  *self,
                             gsize               size,
                             GError            **error)
{
  gboolean done;

  g_return_val_if_fail (IO_IS_SHARED_DATA_QUEUE (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  g_mutex_lock (&self->lock);
  done = _io_shared_data_queue_check_locked (self, IO_SHARED_DATA_QUEUE_PRODUCER, "commit a record", error);
  if (done && (!self->has_reserved || size > self->reserved_size))
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
                   "Cannot commit a record of %" G_GSIZE_FORMAT " bytes: %u were reserved", size,
                   self->has_reserved ? self->reserved_size : 0);
      done = FALSE;
    }
  done = done && publish (self, (guint32) size, "commit a record", error);
  g_mutex_unlock (&self->lock);

  return done;
}

/* The consumer. */

/* Shows the next record, and remembers its size, so that the same bytes are
 * consumed whatever the producer writes there. */
static gboolean
look (IOSharedDataQueue  *self,
      const guint8      **data,
      const char         *operation,
      GError            **error)
{
  IODataRingResult result;
  guint32 size;

  if (!_io_shared_data_queue_check_locked (self, IO_SHARED_DATA_QUEUE_CONSUMER, operation, error))
    return FALSE;

  if (self->has_peeked)
    {
      *data = self->ring.bytes + self->ring.at + sizeof (IOAbiDataRecord);
      return TRUE;
    }

  result = _io_data_ring_look (&self->ring, data, &size);
  if (result == IO_DATA_RING_BROKEN)
    {
      _io_shared_data_queue_break_locked (self, error);
      return FALSE;
    }
  if (result == IO_DATA_RING_NOTHING)
    {
      if (!self->gone || _io_shared_data_queue_check_peer_locked (self, operation, error))
        g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_UNDERRUN,
                     "Cannot %s: the data queue is empty", operation);
      return FALSE;
    }

  self->has_peeked = TRUE;
  self->peeked_size = size;

  return TRUE;
}

/* Rings only a producer that sleeps until we have come this far. */
static void
take (IOSharedDataQueue *self)
{
  guint64 wanted;

  self->has_peeked = FALSE;
  _io_data_ring_take (&self->ring, self->peeked_size);
  self->n_records++;
  self->n_bytes += self->peeked_size;

  if (!self->ready)
    return;

  atomic_thread_fence (memory_order_seq_cst);
  wanted = atomic_load_explicit (&self->peer.page->wanted, memory_order_relaxed);
  if ((gint64) (_io_data_ring_position (&self->ring) - wanted) >= 0)
    _io_notification_port_ring (self->port);
}

/**
 * io_shared_data_queue_peek: (skip)
 * @self: a queue
 * @data: (out): where the record is; aligned to eight bytes
 * @size: (out): its size
 *
 * Shows the next record where it lies, without taking it; the same one until
 * io_shared_data_queue_consume(), up to which it may be looked at. @size does
 * not change, but the bytes are memory of the producer: one that breaks the
 * agreement can write them while they are read. Copy what is to be checked and
 * then used.
 *
 * This is the way to drain a queue: no error is made when it is empty. If
 * nothing comes because the queue ended, io_shared_data_queue_is_connected()
 * and io_shared_data_queue_get_error() say so.
 *
 * In the thread that consumes. Apple: peek, IODataQueuePeek(), Peek.
 *
 * Returns: %TRUE if there is a record
 * Since: 1.0
 */
gboolean
io_shared_data_queue_peek (IOSharedDataQueue  *self,
                           const void        **data,
                           gsize              *size)
{
  const guint8 *bytes = NULL;
  gboolean found;

  g_return_val_if_fail (IO_IS_SHARED_DATA_QUEUE (self), FALSE);
  g_return_val_if_fail (data != NULL && size != NULL, FALSE);

  g_mutex_lock (&self->lock);
  found = look (self, &bytes, "peek", NULL);
  *data = bytes;
  *size = found ? self->peeked_size : 0;
  g_mutex_unlock (&self->lock);
  if (!found)
    *data = NULL;

  return found;
}

/**
 * io_shared_data_queue_consume:
 * @self: a queue
 *
 * Takes the record that io_shared_data_queue_peek() showed out of the queue.
 * What was shown is not to be looked at any more. Wakes a producer that waits
 * for room.
 *
 * In the thread that consumes. Apple: dequeue without a destination.
 *
 * Returns: %FALSE if nothing was peeked at, or the queue was hung up
 * Since: 1.0
 */
gboolean
io_shared_data_queue_consume (IOSharedDataQueue *self)
{
  gboolean done;

  g_return_val_if_fail (IO_IS_SHARED_DATA_QUEUE (self), FALSE);

  g_mutex_lock (&self->lock);
  done = _io_shared_data_queue_check_locked (self, IO_SHARED_DATA_QUEUE_CONSUMER, "consume", NULL) &&
         self->has_peeked;
  if (done)
    take (self);
  g_mutex_unlock (&self->lock);

  return done;
}

/**
 * io_shared_data_queue_dequeue: (skip)
 * @self: a queue
 * @buffer: where the record goes
 * @size: (inout): the room there; afterwards the size of the record
 * @error: return location for a #GError
 *
 * Copies the next record and takes it out of the queue.
 *
 * Fails with %IO_STREAM_ERROR_UNDERRUN if the queue is empty,
 * %IO_STREAM_ERROR_OFFLINE if it is empty and the other end is known to be
 * gone, %IO_STREAM_ERROR_NO_SPACE if the room is too small: the record stays,
 * and @size then tells how much it needs; %IO_STREAM_ERROR_NOT_READABLE at the
 * producing end; %IO_STREAM_ERROR_NOT_OPEN; and %IO_STREAM_ERROR_IPC_ERROR.
 *
 * In the thread that consumes. Apple: dequeue, IODataQueueDequeue(), Dequeue;
 * they leave the size unchanged if the room is too small.
 *
 * Returns: %TRUE if there was a record
 * Since: 1.0
 */
gboolean
io_shared_data_queue_dequeue (IOSharedDataQueue  *self,
                              void               *buffer,
                              gsize              *size,
                              GError            **error)
{
  const guint8 *data;
  gboolean done;
  gsize room;

  g_return_val_if_fail (IO_IS_SHARED_DATA_QUEUE (self), FALSE);
  g_return_val_if_fail (size != NULL, FALSE);
  g_return_val_if_fail (buffer != NULL || *size == 0, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  room = *size;
  g_mutex_lock (&self->lock);
  done = look (self, &data, "dequeue a record", error);
  if (done)
    {
      *size = self->peeked_size;
      done = self->peeked_size <= room;
      if (!done)
        g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_SPACE,
                     "Cannot dequeue a record of %u bytes: there is room for %" G_GSIZE_FORMAT,
                     self->peeked_size, room);
    }
  if (done)
    {
      if (self->peeked_size > 0)
        memcpy (buffer, data, self->peeked_size);
      take (self);
    }
  g_mutex_unlock (&self->lock);

  return done;
}

/**
 * io_shared_data_queue_dequeue_bytes:
 * @self: a queue
 * @error: return location for a #GError
 *
 * io_shared_data_queue_dequeue() into new memory; it fails likewise, but never
 * for lack of room.
 *
 * In the thread that consumes.
 *
 * Returns: (transfer full): a copy of the record, or %NULL
 * Since: 1.0
 */
GBytes *
io_shared_data_queue_dequeue_bytes (IOSharedDataQueue  *self,
                                    GError            **error)
{
  const guint8 *data;
  GBytes *bytes = NULL;

  g_return_val_if_fail (IO_IS_SHARED_DATA_QUEUE (self), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  g_mutex_lock (&self->lock);
  if (look (self, &data, "dequeue a record", error))
    {
      bytes = g_bytes_new (data, self->peeked_size);
      take (self);
    }
  g_mutex_unlock (&self->lock);

  return bytes;
}
