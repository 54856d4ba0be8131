/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-memory-descriptor-private.h"

#include <errno.h>
#include <linux/dma-buf.h>
#include <string.h>
#include <sys/ioctl.h>

/* The part of IOMemoryDescriptor that touches the bytes: preparing them, and
 * copying them in and out. */

/* Tells the exporter of a dma-buf that the processor begins, or ends. */
static gboolean
sync_dmabuf (IOMemoryBacking  *backing,
             guint64           flags,
             GError          **error)
{
  struct dma_buf_sync sync = { .flags = flags };
  int rc;

  if (!_io_memory_backing_is_dmabuf (backing))
    return TRUE;

  do
    rc = ioctl (_io_memory_backing_peek_fd (backing), DMA_BUF_IOCTL_SYNC, &sync);
  while (rc < 0 && (errno == EINTR || errno == EAGAIN));

  if (rc == 0)
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_IO_ERROR,
               "Cannot synchronise dma-buf with flags %#" G_GINT64_MODIFIER "x: %s",
               flags, g_strerror (errno));
  return FALSE;
}

static guint64
sync_flags (gboolean in,
            gboolean out)
{
  return (in ? DMA_BUF_SYNC_READ : 0) | (out ? DMA_BUF_SYNC_WRITE : 0);
}

/**
 * io_memory_descriptor_prepare:
 * @self: an #IOMemoryDescriptor
 * @direction: which way data is going to move, or %IO_DIRECTION_NONE for the
 *   direction of @self
 * @error: return location for a #GError
 *
 * Begins an access by the processor. Calls are counted for each direction,
 * and each needs its io_memory_descriptor_complete(). For a dma-buf the first
 * one makes the bytes visible to the processor and may wait for the device;
 * for other memory it only counts.
 *
 * %IO_STREAM_ERROR_NOT_WRITABLE or %IO_STREAM_ERROR_NOT_READABLE if @direction
 * is more than that of @self, %IO_STREAM_ERROR_IO_ERROR if the driver of the
 * dma-buf fails.
 *
 * Any thread. Apple: IOMemoryDescriptor::prepare, which pins pages and is not
 * thread safe.
 *
 * Returns: %TRUE if the memory may be touched
 * Since: 1.0
 */
gboolean
io_memory_descriptor_prepare (IOMemoryDescriptor  *self,
                              IODirection          direction,
                              GError             **error)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = NULL;
  IOMemoryBacking *backing;
  gboolean in, out;
  guint64 flags;

  g_return_val_if_fail (IO_IS_MEMORY_DESCRIPTOR (self), FALSE);
  g_return_val_if_fail (_io_direction_is_valid (direction), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!_io_memory_descriptor_narrow_direction (self, &direction, error))
    return FALSE;
  backing = _io_memory_descriptor_ensure_backing (self, error);
  if (backing == NULL)
    return FALSE;

  locker = g_mutex_locker_new (&self->prepare_lock);
  in = (direction & IO_DIRECTION_IN) != 0;
  out = (direction & IO_DIRECTION_OUT) != 0;
  flags = sync_flags (in && self->prepared_in == 0, out && self->prepared_out == 0);
  if (flags != 0 && !sync_dmabuf (backing, DMA_BUF_SYNC_START | flags, error))
    return FALSE;

  self->prepared_in += in;
  self->prepared_out += out;
  return TRUE;
}

/**
 * io_memory_descriptor_complete:
 * @self: an #IOMemoryDescriptor
 * @direction: as it was given to io_memory_descriptor_prepare()
 * @error: return location for a #GError
 *
 * Ends what io_memory_descriptor_prepare() began. For a dma-buf the last one
 * makes what was written visible to the device.
 *
 * %IO_STREAM_ERROR_NOT_READY if the memory is not prepared in @direction,
 * %IO_STREAM_ERROR_IO_ERROR if the driver of the dma-buf fails; it then stays
 * prepared.
 *
 * Any thread. Apple: IOMemoryDescriptor::complete, which asserts when it was
 * not prepared.
 *
 * Returns: %TRUE if it was prepared
 * Since: 1.0
 */
gboolean
io_memory_descriptor_complete (IOMemoryDescriptor  *self,
                               IODirection          direction,
                               GError             **error)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = NULL;
  gboolean in, out;
  guint64 flags;

  g_return_val_if_fail (IO_IS_MEMORY_DESCRIPTOR (self), FALSE);
  g_return_val_if_fail (_io_direction_is_valid (direction), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!_io_memory_descriptor_narrow_direction (self, &direction, error))
    return FALSE;

  locker = g_mutex_locker_new (&self->prepare_lock);
  in = (direction & IO_DIRECTION_IN) != 0;
  out = (direction & IO_DIRECTION_OUT) != 0;
  if ((in && self->prepared_in == 0) || (out && self->prepared_out == 0) ||
      direction == IO_DIRECTION_NONE)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY,
                   "Cannot complete memory for direction %d: it is not prepared",
                   (int) direction);
      return FALSE;
    }

  flags = sync_flags (in && self->prepared_in == 1, out && self->prepared_out == 1);
  if (flags != 0 && !sync_dmabuf (self->backing, DMA_BUF_SYNC_END | flags, error))
    return FALSE;

  self->prepared_in -= in;
  self->prepared_out -= out;
  return TRUE;
}

/**
 * io_memory_descriptor_read_bytes:
 * @self: an #IOMemoryDescriptor
 * @offset: where to start, in bytes
 * @bytes: (out caller-allocates) (array length=length) (element-type guint8):
 *   where to copy to
 * @length: how many bytes
 *
 * Copies out of the memory, all of the range or nothing. What was copied does
 * not change any more, whatever another process does.
 *
 * In other languages this is io_memory_descriptor_copy_bytes().
 *
 * Any thread. Apple: IOMemoryDescriptor::readBytes.
 *
 * Returns: @length, or 0 if the range is not within the memory
 * Since: 1.0
 */
gsize
io_memory_descriptor_read_bytes (IOMemoryDescriptor *self,
                                 gsize               offset,
                                 void               *bytes,
                                 gsize               length)
{
  const guint8 *source;

  g_return_val_if_fail (IO_IS_MEMORY_DESCRIPTOR (self), 0);
  g_return_val_if_fail (bytes != NULL || length == 0, 0);

  source = _io_memory_descriptor_peek_range (self, offset, length, FALSE);
  if (source == NULL || length == 0)
    return 0;

  memcpy (bytes, source, length);
  return length;
}

/**
 * io_memory_descriptor_copy_bytes: (rename-to io_memory_descriptor_read_bytes)
 * @self: an #IOMemoryDescriptor
 * @offset: where to start, in bytes
 * @length: how many bytes
 * @error: return location for a #GError
 *
 * Copies out of the memory, all of the range or nothing. What was copied does
 * not change any more, whatever another process does. For bytes that are not
 * copied see io_memory_map_get_bytes().
 *
 * %IO_STREAM_ERROR_BAD_ARGUMENT if the range is not within the memory,
 * %IO_STREAM_ERROR_NO_MEMORY if there is no room for the copy.
 *
 * Any thread. Apple: IOMemoryDescriptor::readBytes.
 *
 * Returns: (transfer full): the bytes, or %NULL with @error set
 * Since: 1.0
 */
GBytes *
io_memory_descriptor_copy_bytes (IOMemoryDescriptor  *self,
                                 gsize                offset,
                                 gsize                length,
                                 GError             **error)
{
  const guint8 *source;
  guint8 *copy;
  gsize size;

  g_return_val_if_fail (IO_IS_MEMORY_DESCRIPTOR (self), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  size = io_memory_descriptor_get_length (self);
  if (!_io_memory_descriptor_check_range (offset, length, size, error) ||
      _io_memory_descriptor_ensure_backing (self, error) == NULL)
    return NULL;

  source = _io_memory_descriptor_peek_range (self, offset, length, FALSE);
  copy = source != NULL ? g_try_malloc (MAX (length, 1)) : NULL;
  if (copy == NULL)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_MEMORY,
                   "Cannot copy %" G_GSIZE_FORMAT " bytes of memory", length);
      return NULL;
    }

  memcpy (copy, source, length);
  return g_bytes_new_take (copy, length);
}

/**
 * io_memory_descriptor_write_bytes:
 * @self: an #IOMemoryDescriptor
 * @offset: where to start, in bytes
 * @bytes: (array length=length) (element-type guint8) (nullable): what to
 *   copy; %NULL writes zeros
 * @length: how many bytes
 *
 * Copies into the memory, all of the range or nothing.
 *
 * Any thread. Apple: IOMemoryDescriptor::writeBytes.
 *
 * Returns: @length, or 0 if the range is not within the memory or the memory
 *   cannot be written
 * Since: 1.0
 */
gsize
io_memory_descriptor_write_bytes (IOMemoryDescriptor *self,
                                  gsize               offset,
                                  const void         *bytes,
                                  gsize               length)
{
  guint8 *target;

  g_return_val_if_fail (IO_IS_MEMORY_DESCRIPTOR (self), 0);

  if (!io_memory_descriptor_is_writable (self))
    return 0;

  target = _io_memory_descriptor_peek_range (self, offset, length, TRUE);
  if (target == NULL || length == 0)
    return 0;

  if (bytes != NULL)
    memcpy (target, bytes, length);
  else
    memset (target, 0, length);
  return length;
}
