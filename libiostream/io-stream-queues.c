/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-private.h"

#include "io-stream-buffer-queue-private.h"

/* The queues and the port of the open that is, or was last: to look at. */

void
_io_stream_show_queues (IOStreamPrivate *priv,
                        const IORegion  *own,
                        const IORegion  *peer)
{
  g_clear_object (&priv->output_queue);
  g_clear_object (&priv->input_queue);
  priv->output_queue = _io_stream_buffer_queue_new (own, peer);
  priv->input_queue = _io_stream_buffer_queue_new (peer, own);
}

/**
 * io_stream_create_queues:
 * @self: a stream
 * @queue_length: how many buffers a client can hold at a time; 0 for as many
 *   as the stream has
 * @error: return location for an error
 *
 * Makes the two queues for the next open beforehand, so that it does not need
 * memory for them, and says how long they are: for that one open in place of
 * #IOStream:queue-length. The longer they are, the more buffers can be added
 * while the stream is open. Queues made before and not used yet are replaced.
 * An open without queues makes its own, so calling this is never necessary.
 * Apple's createQueues().
 *
 * Also while a client has the stream open, whose queues stay as they are.
 *
 * In the thread of the stream. Fails with %IO_STREAM_ERROR_NO_MEMORY or
 * %IO_STREAM_ERROR_NO_RESOURCES if the system does not give the memory; what
 * was made before then stays.
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_create_queues (IOStream  *self,
                         guint      queue_length,
                         GError   **error)
{
  g_autoptr (IOStream) keep = NULL;
  IOStreamPrivate *priv;
  IOStreamQueues *queues;

  g_return_val_if_fail (IO_IS_STREAM (self), FALSE);
  g_return_val_if_fail (queue_length <= IO_STREAM_MAX_BUFFERS, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  priv = _io_stream_get_private (self);
  if (!_io_stream_ensure (self, &keep, error) || !_io_stream_check_process (self, error))
    return FALSE;

  queues = _io_stream_queues_new (priv->buffers->len, queue_length, error);
  if (queues == NULL)
    return FALSE;

  g_clear_pointer (&priv->queues, _io_stream_queues_free);
  priv->queues = queues;
  if (priv->links->len == 0)
    _io_stream_show_queues (priv, &queues->own, &queues->peer);

  return TRUE;
}

/**
 * io_stream_destroy_queues:
 * @self: a stream
 * @error: return location for an error
 *
 * Drops the queues that io_stream_create_queues() made, and the look at those
 * of the last open. Without any it is a success that does nothing. Apple's
 * destroyQueues().
 *
 * In the thread of the stream. Fails with %IO_STREAM_ERROR_STILL_OPEN while a
 * client has the stream open.
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_destroy_queues (IOStream  *self,
                          GError   **error)
{
  IOStreamPrivate *priv;

  g_return_val_if_fail (IO_IS_STREAM (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  priv = _io_stream_get_private (self);
  if (!_io_stream_check_closed (self, "destroy the queues of", error))
    return FALSE;

  g_clear_pointer (&priv->queues, _io_stream_queues_free);
  g_clear_object (&priv->output_queue);
  g_clear_object (&priv->input_queue);

  return TRUE;
}

/**
 * io_stream_get_output_queue:
 * @self: a stream
 *
 * Gets a look at the queue to the client (where several share the stream, to the
 * first of them): of the open that is, else of the
 * next one if io_stream_create_queues() made it, else of the last one. Apple's
 * getOutputQueue().
 *
 * In the thread of the stream.
 *
 * Returns: (transfer none) (nullable): the queue, or %NULL if there is none yet
 * Since: 1.0
 */
IOStreamBufferQueue *
io_stream_get_output_queue (IOStream *self)
{
  g_return_val_if_fail (IO_IS_STREAM (self), NULL);

  return _io_stream_get_private (self)->output_queue;
}

/**
 * io_stream_get_input_queue:
 * @self: a stream
 *
 * Gets a look at the queue from the client, as io_stream_get_output_queue().
 * Apple's getInputQueue().
 *
 * In the thread of the stream.
 *
 * Returns: (transfer none) (nullable): the queue, or %NULL if there is none yet
 * Since: 1.0
 */
IOStreamBufferQueue *
io_stream_get_input_queue (IOStream *self)
{
  g_return_val_if_fail (IO_IS_STREAM (self), NULL);

  return _io_stream_get_private (self)->input_queue;
}

static IOMemoryDescriptor *
describe_region (const IORegion *region,
                 IODirection     direction)
{
  return _io_memory_descriptor_new_for_backing (region->backing, 0,
                                                _io_memory_backing_get_size (region->backing), direction);
}

/**
 * io_stream_get_output_queue_memory_descriptor:
 * @self: a stream
 *
 * Gets the memory of the queue to the client, to look at it or to hand it to a
 * program that speaks the protocol without this library. Each open has its
 * own; between opens it is that of io_stream_create_queues(). Apple's getOutputQueueMemoryDescriptor().
 *
 * In the thread of the stream.
 *
 * Returns: (transfer full) (nullable): the memory, or %NULL if there are no
 *   queues
 * Since: 1.0
 */
IOMemoryDescriptor *
io_stream_get_output_queue_memory_descriptor (IOStream *self)
{
  IOStreamPrivate *priv;

  g_return_val_if_fail (IO_IS_STREAM (self), NULL);

  priv = _io_stream_get_private (self);

  if (priv->links->len > 0)
    return describe_region (&_io_stream_link_at (priv, 0)->own, IO_DIRECTION_IN);

  return priv->queues != NULL ? describe_region (&priv->queues->own, IO_DIRECTION_IN) : NULL;
}

/**
 * io_stream_get_input_queue_memory_descriptor:
 * @self: a stream
 *
 * Gets the memory of the queue from the client, which the owner can only read.
 * See io_stream_get_output_queue_memory_descriptor(). Apple's
 * getInputQueueMemoryDescriptor().
 *
 * In the thread of the stream.
 *
 * Returns: (transfer full) (nullable): the memory, or %NULL if there are no
 *   queues
 * Since: 1.0
 */
IOMemoryDescriptor *
io_stream_get_input_queue_memory_descriptor (IOStream *self)
{
  IOStreamPrivate *priv;

  g_return_val_if_fail (IO_IS_STREAM (self), NULL);

  priv = _io_stream_get_private (self);

  if (priv->links->len > 0)
    return describe_region (&_io_stream_link_at (priv, 0)->peer, IO_DIRECTION_IN);

  return priv->queues != NULL ? describe_region (&priv->queues->peer, IO_DIRECTION_IN) : NULL;
}

static IONotificationPort *
get_port (IOStream *self)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);

  return priv->links->len > 0 ? _io_stream_link_at (priv, 0)->port : NULL;
}

/**
 * io_stream_get_output_port:
 * @self: a stream
 *
 * Gets the port that notifies the client. One port serves both directions, and
 * each open has a new one, so there is no setter. Apple's getOutputPort().
 *
 * In the thread of the stream.
 *
 * Returns: (transfer none) (nullable): the port, or %NULL if no client has the
 *   stream open
 * Since: 1.0
 */
IONotificationPort *
io_stream_get_output_port (IOStream *self)
{
  g_return_val_if_fail (IO_IS_STREAM (self), NULL);

  return get_port (self);
}

/**
 * io_stream_get_input_port:
 * @self: a stream
 *
 * Gets the port by which the client notifies the stream; the same as
 * io_stream_get_output_port(). Apple's getInputPort().
 *
 * In the thread of the stream.
 *
 * Returns: (transfer none) (nullable): the port, or %NULL if no client has the
 *   stream open
 * Since: 1.0
 */
IONotificationPort *
io_stream_get_input_port (IOStream *self)
{
  g_return_val_if_fail (IO_IS_STREAM (self), NULL);

  return get_port (self);
}
