/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-private.h"

/* The queues and the port of the open that is, or was last: to look at. */

/**
 * io_stream_get_output_queue:
 * @self: a stream
 *
 * Gets a look at the queue to the client. There is a new one for each open.
 * Apple's getOutputQueue().
 *
 * In the thread of the stream.
 *
 * Returns: (transfer none) (nullable): the queue, or %NULL if the stream was
 *   never open
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
 * Gets a look at the queue from the client. There is a new one for each open.
 * Apple's getInputQueue().
 *
 * In the thread of the stream.
 *
 * Returns: (transfer none) (nullable): the queue, or %NULL if the stream was
 *   never open
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
 * program that speaks the protocol without this library. There is a new one
 * for each open. Apple's getOutputQueueMemoryDescriptor().
 *
 * In the thread of the stream.
 *
 * Returns: (transfer full) (nullable): the memory, or %NULL if no client has
 *   the stream open
 * Since: 1.0
 */
IOMemoryDescriptor *
io_stream_get_output_queue_memory_descriptor (IOStream *self)
{
  IOStreamPrivate *priv;

  g_return_val_if_fail (IO_IS_STREAM (self), NULL);

  priv = _io_stream_get_private (self);

  return priv->link != NULL ? describe_region (&priv->link->own, IO_DIRECTION_IN) : NULL;
}

/**
 * io_stream_get_input_queue_memory_descriptor:
 * @self: a stream
 *
 * Gets the memory of the queue from the client, which the owner can only read.
 * There is a new one for each open. Apple's getInputQueueMemoryDescriptor().
 *
 * In the thread of the stream.
 *
 * Returns: (transfer full) (nullable): the memory, or %NULL if no client has
 *   the stream open
 * Since: 1.0
 */
IOMemoryDescriptor *
io_stream_get_input_queue_memory_descriptor (IOStream *self)
{
  IOStreamPrivate *priv;

  g_return_val_if_fail (IO_IS_STREAM (self), NULL);

  priv = _io_stream_get_private (self);

  return priv->link != NULL ? describe_region (&priv->link->peer, IO_DIRECTION_IN) : NULL;
}

static IONotificationPort *
get_port (IOStream *self)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);

  return priv->link != NULL ? priv->link->port : NULL;
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
