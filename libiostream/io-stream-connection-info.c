/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-connection-private.h"

/* The queues and ports as the original shows them, and what can be counted. */

/**
 * io_stream_connection_get_output_queue:
 * @self: a connection
 *
 * Gets a look at the queue from the stream. There is a new one for each open.
 * Apple's GetOutputQueue().
 *
 * In the thread of the connection.
 *
 * Returns: (transfer none) (nullable): the queue, or %NULL if the stream is
 *   not open
 * Since: 1.0
 */
IOStreamBufferQueue *
io_stream_connection_get_output_queue (IOStreamConnection *self)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), NULL);

  return _io_stream_connection_get_private (self)->output_queue;
}

/**
 * io_stream_connection_get_input_queue:
 * @self: a connection
 *
 * Gets a look at the queue to the stream. There is a new one for each open.
 * Apple's GetInputQueue().
 *
 * In the thread of the connection.
 *
 * Returns: (transfer none) (nullable): the queue, or %NULL if the stream is
 *   not open
 * Since: 1.0
 */
IOStreamBufferQueue *
io_stream_connection_get_input_queue (IOStreamConnection *self)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), NULL);

  return _io_stream_connection_get_private (self)->input_queue;
}

/**
 * io_stream_connection_get_output_port:
 * @self: a connection
 *
 * Gets the port by which the stream notifies this client. Apple's
 * GetOutputPort().
 *
 * In the thread of the connection.
 *
 * Returns: (transfer none) (nullable): the port, or %NULL if the stream is not
 *   open
 * Since: 1.0
 */
IONotificationPort *
io_stream_connection_get_output_port (IOStreamConnection *self)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), NULL);

  return _io_stream_connection_get_private (self)->port;
}

/**
 * io_stream_connection_get_input_port:
 * @self: a connection
 *
 * Gets the port by which this client notifies the stream; the same as
 * io_stream_connection_get_output_port(). Apple's GetInputPort().
 *
 * In the thread of the connection.
 *
 * Returns: (transfer none) (nullable): the port, or %NULL if the stream is not
 *   open
 * Since: 1.0
 */
IONotificationPort *
io_stream_connection_get_input_port (IOStreamConnection *self)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), NULL);

  return _io_stream_connection_get_private (self)->port;
}

/**
 * io_stream_connection_get_held:
 * @self: a connection
 *
 * Gets how many buffers this client holds: taken and not returned.
 *
 * Any thread.
 *
 * Returns: the number of buffers
 * Since: 1.0
 */
guint
io_stream_connection_get_held (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv;
  guint held;

  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), 0);

  priv = _io_stream_connection_get_private (self);
  g_mutex_lock (&priv->lock);
  held = priv->held;
  g_mutex_unlock (&priv->lock);

  return held;
}

/**
 * io_stream_connection_get_received:
 * @self: a connection
 *
 * Gets how many entries were taken over all opens.
 *
 * In the thread of the connection.
 *
 * Returns: the number of entries
 * Since: 1.0
 */
guint64
io_stream_connection_get_received (IOStreamConnection *self)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), 0);

  return _io_stream_connection_get_private (self)->received;
}

/**
 * io_stream_connection_get_lost:
 * @self: a connection
 *
 * Gets how many buffers the stream sent while it ran here that never reached
 * this client, over all opens, as the gaps between the numbers of the loans
 * tell, and the owner's word on which numbers were meant for it: what was sent
 * before it started, or while it had stopped or closed the stream, is not lost.
 * Those that were missed since the last entry that was taken are not known yet.
 *
 * In the thread of the connection.
 *
 * Returns: the number of buffers
 * Since: 1.0
 */
guint64
io_stream_connection_get_lost (IOStreamConnection *self)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), 0);

  return _io_stream_connection_get_private (self)->lost;
}

/**
 * io_stream_connection_get_delivery:
 * @self: a connection
 *
 * Gets #IOStreamConnection:delivery. In the thread of the connection.
 *
 * Returns: what happens when this client is slow
 * Since: 1.0
 */
IOStreamDelivery
io_stream_connection_get_delivery (IOStreamConnection *self)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), IO_STREAM_DELIVERY_BLOCK);

  return _io_stream_connection_get_private (self)->delivery;
}

/**
 * io_stream_connection_set_delivery:
 * @self: a connection
 * @delivery: what is to happen
 *
 * Chooses what happens when this client is slow: when it holds as many buffers
 * as it may, and the owner sends another one. Call it before
 * io_connection_open(), which fails with %IO_STREAM_ERROR_NOT_PERMITTED if the
 * owner does not permit it (#IOStream:deliveries); what is open keeps what it
 * was opened with.
 *
 * In the thread of the connection.
 *
 * Since: 1.0
 */
void
io_stream_connection_set_delivery (IOStreamConnection *self,
                                   IOStreamDelivery    delivery)
{
  IOStreamConnectionPrivate *priv;

  g_return_if_fail (IO_IS_STREAM_CONNECTION (self));
  g_return_if_fail (delivery <= IO_STREAM_DELIVERY_LATEST);

  priv = _io_stream_connection_get_private (self);
  if (priv->delivery == delivery)
    return;

  priv->delivery = delivery;
  g_object_notify (G_OBJECT (self), "delivery");
}

/**
 * io_stream_connection_get_replay:
 * @self: a connection
 *
 * Gets #IOStreamConnection:replay. In the thread of the connection.
 *
 * Returns: the number of buffers
 * Since: 1.0
 */
guint
io_stream_connection_get_replay (IOStreamConnection *self)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), 0);

  return _io_stream_connection_get_private (self)->replay;
}

/**
 * io_stream_connection_set_replay:
 * @self: a connection
 * @replay: how many buffers; 0 for none
 *
 * Asks for the buffers that were sent last before this client starts, so that
 * it has a picture at once: they are there when io_stream_connection_start()
 * returns, in order, under the numbers they were sent with, and before anything
 * newer. There are not more of them than the owner keeps
 * (#IOStream:history-count) and than this client may hold, and none that it was
 * lent before it stopped and started again. They may be old; to go on from
 * %IO_STREAM_STATE_SUSPENDED brings none.
 *
 * Call it before io_connection_open(). In the thread of the connection.
 *
 * Since: 1.0
 */
void
io_stream_connection_set_replay (IOStreamConnection *self,
                                 guint               replay)
{
  IOStreamConnectionPrivate *priv;

  g_return_if_fail (IO_IS_STREAM_CONNECTION (self));
  g_return_if_fail (replay <= IO_STREAM_MAX_BUFFERS);

  priv = _io_stream_connection_get_private (self);
  if (priv->replay == replay)
    return;

  priv->replay = replay;
  g_object_notify (G_OBJECT (self), "replay");
}
