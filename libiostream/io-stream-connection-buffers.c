/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-connection-private.h"

/**
 * io_stream_connection_get_buffer_count:
 * @self: a connection
 *
 * Gets the number of buffers. Apple's GetBufferCount().
 *
 * In the thread of the connection.
 *
 * Returns: the number of buffers; 0 if the stream is not open
 * Since: 1.0
 */
guint
io_stream_connection_get_buffer_count (IOStreamConnection *self)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), 0);

  return _io_stream_connection_get_private (self)->buffers->len;
}

static IOStreamClientBuffer *
find_buffer (IOStreamConnection *self,
             guint32             id)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  if (!priv->attached || id >= priv->buffers->len)
    return NULL;

  return &g_array_index (priv->buffers, IOStreamClientBuffer, id);
}

static int
get_reference_count (gpointer        home,
                     IOStreamBuffer *buffer)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (home);
  IOStreamClientBuffer *place;
  int count;

  g_mutex_lock (&priv->lock);
  place = find_buffer (home, io_stream_buffer_get_buffer_id (buffer));
  count = place != NULL && place->held ? 1 : 0;
  g_mutex_unlock (&priv->lock);

  return count;
}

static gboolean
is_in_use (gpointer home)
{
  return TRUE;
}

static const IOStreamBufferHomeFuncs home_funcs = { get_reference_count, is_in_use, NULL };

static IOMemoryDescriptor *
describe_part (IOStreamConnectionPrivate *priv,
               guint32                    number,
               guint64                    offset,
               gsize                      length)
{
  IOMemoryBacking *backing = g_hash_table_lookup (priv->memories, GUINT_TO_POINTER (number));

  if (backing == NULL || length == 0)
    return NULL;

  return _io_memory_descriptor_new_for_backing (backing, offset, length,
                                                _io_memory_backing_is_writable (backing)
                                                  ? IO_DIRECTION_IN_OUT : IO_DIRECTION_IN);
}

/**
 * io_stream_connection_get_buffer_with_id:
 * @self: a connection
 * @buffer_id: number of a buffer
 *
 * Gets an object for a buffer, with its memory and mapping. There is one for
 * each buffer and open, made when it is first asked for.
 *
 * In the thread of the connection.
 *
 * Returns: (transfer none) (nullable): the buffer, or %NULL if there is none
 * Since: 1.0
 */
IOStreamBuffer *
io_stream_connection_get_buffer_with_id (IOStreamConnection *self,
                                         guint32             buffer_id)
{
  g_autoptr (IOMemoryDescriptor) data = NULL;
  g_autoptr (IOMemoryDescriptor) control = NULL;
  g_autoptr (GError) local_error = NULL;
  IOStreamConnectionPrivate *priv;
  IOStreamClientBuffer *buffer;

  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), NULL);

  priv = _io_stream_connection_get_private (self);
  buffer = find_buffer (self, buffer_id);
  if (buffer == NULL || buffer->object != NULL)
    return buffer != NULL ? buffer->object : NULL;

  data = describe_part (priv, buffer->data_number, buffer->data_offset, buffer->parts.data_size);
  control = describe_part (priv, buffer->control_number, buffer->control_offset, buffer->parts.control_size);
  buffer->object = io_stream_buffer_new (data, control);
  _io_stream_buffer_set_home (buffer->object, self, &home_funcs, buffer_id);
  if (!_io_stream_buffer_map (buffer->object, &local_error))
    g_message ("Mapping buffer %u: %s", buffer_id, local_error->message);

  return buffer->object;
}

/**
 * io_stream_connection_get_buffer_info: (skip)
 * @self: a connection
 * @buffer_id: number of a buffer
 * @data: (out) (optional): address of the data part, %NULL if there is none
 * @data_size: (out) (optional): its size in bytes
 * @control: (out) (optional): address of the control part, %NULL if there is
 *   none
 * @control_size: (out) (optional): its size in bytes
 *
 * Gets the addresses and sizes of both parts of a buffer. They are borrowed,
 * and good until the stream is closed. Apple's GetBufferInfo().
 *
 * In the thread of the connection. Other languages use
 * io_stream_connection_get_buffer_with_id().
 *
 * Returns: %TRUE if there is such a buffer
 * Since: 1.0
 */
gboolean
io_stream_connection_get_buffer_info (IOStreamConnection  *self,
                                      guint32              buffer_id,
                                      void               **data,
                                      gsize               *data_size,
                                      void               **control,
                                      gsize               *control_size)
{
  static const IOStreamBufferParts no_parts = { 0, };
  const IOStreamBufferParts *parts;
  IOStreamClientBuffer *buffer;

  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), FALSE);

  buffer = find_buffer (self, buffer_id);
  parts = buffer != NULL ? &buffer->parts : &no_parts;
  if (data != NULL)
    *data = parts->data;
  if (data_size != NULL)
    *data_size = parts->data_size;
  if (control != NULL)
    *control = parts->control;
  if (control_size != NULL)
    *control_size = parts->control_size;

  return buffer != NULL;
}

/**
 * io_stream_connection_peek_data_buffer: (skip)
 * @self: a connection
 * @buffer_id: number of a buffer
 * @length: (out) (optional): size of the data part in bytes
 *
 * Gets the address of the data part of a buffer: borrowed, and good until the
 * stream is closed. Apple's GetDataBuffer().
 *
 * In the thread of the connection.
 *
 * Returns: (nullable): the address, or %NULL if there is no such buffer or it
 *   has no data part
 * Since: 1.0
 */
void *
io_stream_connection_peek_data_buffer (IOStreamConnection *self,
                                       guint32             buffer_id,
                                       gsize              *length)
{
  IOStreamClientBuffer *buffer;

  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), NULL);

  buffer = find_buffer (self, buffer_id);
  if (length != NULL)
    *length = buffer != NULL ? buffer->parts.data_size : 0;

  return buffer != NULL ? buffer->parts.data : NULL;
}

/**
 * io_stream_connection_peek_control_buffer: (skip)
 * @self: a connection
 * @buffer_id: number of a buffer
 * @length: (out) (optional): size of the control part in bytes
 *
 * Gets the address of the control part of a buffer: borrowed, and good until the
 * stream is closed. Apple's GetControlBuffer().
 *
 * In the thread of the connection.
 *
 * Returns: (nullable): the address, or %NULL if there is no such buffer or it
 *   has no control part
 * Since: 1.0
 */
void *
io_stream_connection_peek_control_buffer (IOStreamConnection *self,
                                          guint32             buffer_id,
                                          gsize              *length)
{
  IOStreamClientBuffer *buffer;

  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), NULL);

  buffer = find_buffer (self, buffer_id);
  if (length != NULL)
    *length = buffer != NULL ? buffer->parts.control_size : 0;

  return buffer != NULL ? buffer->parts.control : NULL;
}

/**
 * io_stream_connection_get_data_buffer_length:
 * @self: a connection
 * @buffer_id: number of a buffer
 *
 * Gets the size of the data part of a buffer. Apple's
 * GetDataBufferLength().
 *
 * In the thread of the connection.
 *
 * Returns: the size in bytes; 0 if there is no such buffer or part
 * Since: 1.0
 */
gsize
io_stream_connection_get_data_buffer_length (IOStreamConnection *self,
                                             guint32             buffer_id)
{
  IOStreamClientBuffer *buffer;

  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), 0);

  buffer = find_buffer (self, buffer_id);

  return buffer != NULL ? buffer->parts.data_size : 0;
}

/**
 * io_stream_connection_get_control_buffer_length:
 * @self: a connection
 * @buffer_id: number of a buffer
 *
 * Gets the size of the control part of a buffer. Apple's
 * GetControlBufferLength().
 *
 * In the thread of the connection.
 *
 * Returns: the size in bytes; 0 if there is no such buffer or part
 * Since: 1.0
 */
gsize
io_stream_connection_get_control_buffer_length (IOStreamConnection *self,
                                                guint32             buffer_id)
{
  IOStreamClientBuffer *buffer;

  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), 0);

  buffer = find_buffer (self, buffer_id);

  return buffer != NULL ? buffer->parts.control_size : 0;
}
