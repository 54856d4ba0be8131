/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-memory-descriptor-private.h"

#include "io-enum-types.h"

#include <errno.h>
#include <fcntl.h>

/**
 * SECTION:io-memory-descriptor
 * @title: IOMemoryDescriptor
 * @short_description: A piece of shared memory
 * @see_also: #IOBufferMemoryDescriptor, #IOMemoryMap
 *
 * #IOMemoryDescriptor describes a piece of memory that two processes share: a
 * file descriptor, an offset, a length, and the direction in which data moves
 * through it.
 *
 * # Life cycle
 *
 * New memory comes from #IOBufferMemoryDescriptor. Memory that exists already,
 * a sealed memfd or a dma-buf, comes from io_memory_descriptor_new_for_fd(),
 * and a part of a descriptor from io_memory_descriptor_new_sub_range().
 * io_memory_descriptor_map() gives an #IOMemoryMap, an object that stands for
 * the memory in the address space of this process.
 *
 * # Ownership
 *
 * A sub-range, a map and the #GBytes of a map each keep the memory alive by
 * themselves: they may outlive the descriptor that they were made from. All
 * descriptors of one piece of memory share its file descriptor, and one
 * mapping for each protection, however many there are.
 *
 * # Direction
 *
 * The direction is that of Apple's IODirection and has nothing to do with the
 * input and output of a stream: %IO_DIRECTION_IN is memory that is read here,
 * %IO_DIRECTION_OUT is memory that is written here. Only memory with
 * %IO_DIRECTION_OUT in its direction can be written through the descriptor,
 * whoever may write it otherwise.
 *
 * # Memory from elsewhere
 *
 * A file descriptor is taken only if nothing that another process does can
 * make an access fail later: a memfd has to be sealed with F_SEAL_SHRINK and
 * F_SEAL_GROW. The bytes are another matter: who holds a writable mapping can
 * change them at any moment. Copy with io_memory_descriptor_read_bytes() what
 * is to be parsed.
 *
 * A dma-buf must be prepared before the processor touches it and completed
 * after: io_memory_descriptor_prepare(), io_memory_descriptor_complete(). For
 * other memory both only count.
 *
 * # Threads and failure
 *
 * All functions can be called from any thread. A range is all or nothing: one
 * that is not within the memory copies nothing.
 *
 * The Apple original is IOMemoryDescriptor. There it describes memory of any
 * task by address; here memory is always a file descriptor, since that is what
 * travels between processes.
 */

/**
 * IOMemoryDescriptor:
 *
 * A piece of shared memory.
 *
 * Since: 1.0
 */

enum {
  PROP_0,
  PROP_DIRECTION,
  PROP_LENGTH,
  PROP_OFFSET,
  PROP_TAG,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static void initable_iface_init (GInitableIface *iface);

G_DEFINE_TYPE_WITH_CODE (IOMemoryDescriptor, io_memory_descriptor, G_TYPE_OBJECT,
                         G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE, initable_iface_init))

static gsize
get_length (IOMemoryDescriptor *self)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return self->length;
}

gboolean
_io_memory_descriptor_narrow_direction (IOMemoryDescriptor  *self,
                                        IODirection         *direction,
                                        GError             **error)
{
  guint more;

  if (*direction == IO_DIRECTION_NONE)
    *direction = self->direction;

  more = *direction & ~(guint) self->direction;
  if (more == 0)
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR,
               more & IO_DIRECTION_OUT ? IO_STREAM_ERROR_NOT_WRITABLE
                                       : IO_STREAM_ERROR_NOT_READABLE,
               "Cannot use memory for direction %d: its own direction is %d",
               (int) *direction, (int) self->direction);
  return FALSE;
}

gboolean
_io_memory_descriptor_check_range (gsize    offset,
                                   gsize    length,
                                   gsize    capacity,
                                   GError **error)
{
  if (_io_memory_range_is_inside (offset, length, capacity))
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
               "Range of %" G_GSIZE_FORMAT " bytes at offset %" G_GSIZE_FORMAT
               " is not within memory of %" G_GSIZE_FORMAT " bytes",
               length, offset, capacity);
  return FALSE;
}

IOMemoryBacking *
_io_memory_descriptor_ensure_backing (IOMemoryDescriptor  *self,
                                      GError             **error)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  IOMemoryDescriptorClass *klass;

  if (self->backing == NULL)
    {
      klass = G_TYPE_INSTANCE_GET_CLASS (self, IO_TYPE_MEMORY_DESCRIPTOR,
                                         IOMemoryDescriptorClass);
      self->backing = klass->create_backing (self, error);
    }

  return self->backing;
}

guint8 *
_io_memory_descriptor_peek_range (IOMemoryDescriptor *self,
                                  gsize               offset,
                                  gsize               length,
                                  gboolean            writable)
{
  IOMemoryBacking *backing;
  guint8 *base;

  if (!_io_memory_range_is_inside (offset, length, get_length (self)))
    return NULL;

  backing = _io_memory_descriptor_ensure_backing (self, NULL);
  if (backing == NULL)
    return NULL;

  /* The writable mapping is there anyway: no second one for reading. */
  writable = writable || _io_memory_backing_is_writable (backing);
  base = _io_memory_backing_map (backing, writable, NULL);

  return base != NULL ? base + self->offset + offset : NULL;
}

void
_io_memory_descriptor_set_length (IOMemoryDescriptor *self,
                                  gsize               length)
{
  gboolean changed;

  g_mutex_lock (&self->lock);
  changed = self->length != length;
  self->length = length;
  g_mutex_unlock (&self->lock);

  if (changed)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_LENGTH]);
}

IOMemoryDescriptor *
_io_memory_descriptor_new_for_backing (IOMemoryBacking *backing,
                                       gsize            offset,
                                       gsize            length,
                                       IODirection      direction)
{
  IOMemoryDescriptor *self;

  g_return_val_if_fail (backing != NULL, NULL);
  g_return_val_if_fail (_io_memory_range_is_inside (offset, length,
                                                    _io_memory_backing_get_size (backing)), NULL);

  self = g_object_new (IO_TYPE_MEMORY_DESCRIPTOR, "direction", direction, NULL);
  self->backing = _io_memory_backing_ref (backing);
  self->offset = offset;
  self->length = length;

  return self;
}

IOMemoryBacking *
_io_memory_descriptor_peek_backing (IOMemoryDescriptor *self)
{
  return _io_memory_descriptor_ensure_backing (self, NULL);
}

static IOMemoryBacking *
io_memory_descriptor_create_backing (IOMemoryDescriptor  *self,
                                     GError             **error)
{
  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_ATTACHED,
               "%s has no memory: it was not made for a descriptor",
               G_OBJECT_TYPE_NAME (self));
  return NULL;
}

static gboolean
io_memory_descriptor_initable_init (GInitable     *initable,
                                    GCancellable  *cancellable,
                                    GError       **error)
{
  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;

  return _io_memory_descriptor_ensure_backing (IO_MEMORY_DESCRIPTOR (initable),
                                               error) != NULL;
}

static void
initable_iface_init (GInitableIface *iface)
{
  iface->init = io_memory_descriptor_initable_init;
}

static void
io_memory_descriptor_finalize (GObject *object)
{
  IOMemoryDescriptor *self = IO_MEMORY_DESCRIPTOR (object);

  g_clear_pointer (&self->backing, _io_memory_backing_unref);
  g_mutex_clear (&self->lock);
  g_mutex_clear (&self->prepare_lock);

  G_OBJECT_CLASS (io_memory_descriptor_parent_class)->finalize (object);
}

static void
io_memory_descriptor_get_property (GObject    *object,
                                   guint       prop_id,
                                   GValue     *value,
                                   GParamSpec *pspec)
{
  IOMemoryDescriptor *self = IO_MEMORY_DESCRIPTOR (object);

  switch (prop_id)
    {
    case PROP_DIRECTION:
      g_value_set_flags (value, self->direction);
      break;
    case PROP_LENGTH:
      g_value_set_uint64 (value, get_length (self));
      break;
    case PROP_OFFSET:
      g_value_set_uint64 (value, self->offset);
      break;
    case PROP_TAG:
      g_value_set_uint (value, io_memory_descriptor_get_tag (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
io_memory_descriptor_set_property (GObject      *object,
                                   guint         prop_id,
                                   const GValue *value,
                                   GParamSpec   *pspec)
{
  IOMemoryDescriptor *self = IO_MEMORY_DESCRIPTOR (object);

  switch (prop_id)
    {
    case PROP_DIRECTION:
      self->direction = g_value_get_flags (value);
      break;
    case PROP_TAG:
      io_memory_descriptor_set_tag (self, g_value_get_uint (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
io_memory_descriptor_class_init (IOMemoryDescriptorClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->finalize = io_memory_descriptor_finalize;
  object_class->get_property = io_memory_descriptor_get_property;
  object_class->set_property = io_memory_descriptor_set_property;

  klass->create_backing = io_memory_descriptor_create_backing;

  /**
   * IOMemoryDescriptor:direction:
   *
   * Which way data moves through the memory.
   *
   * Since: 1.0
   */
  properties[PROP_DIRECTION] =
    g_param_spec_flags ("direction", NULL, NULL,
                        IO_TYPE_DIRECTION, IO_DIRECTION_IN_OUT,
                        G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY |
                        G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);

  /**
   * IOMemoryDescriptor:length:
   *
   * How many bytes there are.
   *
   * Since: 1.0
   */
  properties[PROP_LENGTH] =
    g_param_spec_uint64 ("length", NULL, NULL, 0, G_MAXUINT64, 0,
                         G_PARAM_READABLE | G_PARAM_STATIC_STRINGS |
                         G_PARAM_EXPLICIT_NOTIFY);

  /**
   * IOMemoryDescriptor:offset:
   *
   * Where the memory starts in its file descriptor, in bytes.
   *
   * Since: 1.0
   */
  properties[PROP_OFFSET] =
    g_param_spec_uint64 ("offset", NULL, NULL, 0, G_MAXUINT64, 0,
                         G_PARAM_READABLE | G_PARAM_STATIC_STRINGS |
                         G_PARAM_EXPLICIT_NOTIFY);

  /**
   * IOMemoryDescriptor:tag:
   *
   * A number for the application; the library does not look at it.
   *
   * Since: 1.0
   */
  properties[PROP_TAG] =
    g_param_spec_uint ("tag", NULL, NULL, 0, G_MAXUINT32, 0,
                       G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS |
                       G_PARAM_EXPLICIT_NOTIFY);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
io_memory_descriptor_init (IOMemoryDescriptor *self)
{
  g_mutex_init (&self->lock);
  g_mutex_init (&self->prepare_lock);
}

/**
 * io_memory_descriptor_new_for_fd:
 * @fd: a file descriptor of a sealed memfd or of a dma-buf
 * @offset: where the memory starts, in bytes
 * @length: how many bytes, or 0 for all up to the end
 * @direction: which way data moves
 * @error: return location for a #GError
 *
 * Describes memory that exists already. @fd is duplicated and stays the
 * caller's.
 *
 * A memfd must be sealed with F_SEAL_SHRINK and F_SEAL_GROW, and if @direction
 * has %IO_DIRECTION_OUT it must be possible to map it writable; else the error
 * is %IO_STREAM_ERROR_VM_ERROR, as it is for any other kind of file.
 * %IO_STREAM_ERROR_BAD_ARGUMENT if the range is not within the file or @fd is
 * not a descriptor, %IO_STREAM_ERROR_NO_RESOURCES and
 * %IO_STREAM_ERROR_NO_MEMORY if the system has no more of what is needed.
 *
 * Any thread.
 *
 * Returns: (transfer full): a new descriptor, or %NULL with @error set
 * Since: 1.0
 */
IOMemoryDescriptor *
io_memory_descriptor_new_for_fd (int           fd,
                                 guint64       offset,
                                 gsize         length,
                                 IODirection   direction,
                                 GError      **error)
{
  g_autoptr (IOMemoryBacking) backing = NULL;
  gsize size;

  g_return_val_if_fail (direction != IO_DIRECTION_NONE, NULL);
  g_return_val_if_fail (_io_direction_is_valid (direction), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  backing = _io_memory_backing_new_dup_fd (fd, (direction & IO_DIRECTION_OUT) != 0,
                                           error);
  if (backing == NULL)
    return NULL;

  size = _io_memory_backing_get_size (backing);
  offset = MIN (offset, G_MAXSIZE);
  if (length == 0 && offset < size)
    length = size - offset;
  if (!_io_memory_descriptor_check_range (offset, MAX (length, 1), size, error))
    return NULL;

  return _io_memory_descriptor_new_for_backing (backing, offset, length, direction);
}

/**
 * io_memory_descriptor_new_sub_range:
 * @self: an #IOMemoryDescriptor
 * @offset: where the range starts, in bytes from the start of @self
 * @length: how many bytes; 0 is an empty range
 * @direction: which way data moves through the range, no more than through
 *   @self; %IO_DIRECTION_NONE for the direction of @self
 * @error: return location for a #GError
 *
 * Describes a part of @self. Both share the memory, and the new descriptor
 * may outlive @self.
 *
 * %IO_STREAM_ERROR_BAD_ARGUMENT if the range is not within @self,
 * %IO_STREAM_ERROR_NOT_WRITABLE or %IO_STREAM_ERROR_NOT_READABLE if @direction
 * is more than that of @self.
 *
 * Any thread. Apple: IOMemoryDescriptor::withSubRange.
 *
 * Returns: (transfer full): a new descriptor, or %NULL with @error set
 * Since: 1.0
 */
IOMemoryDescriptor *
io_memory_descriptor_new_sub_range (IOMemoryDescriptor  *self,
                                    gsize                offset,
                                    gsize                length,
                                    IODirection          direction,
                                    GError             **error)
{
  IOMemoryBacking *backing;

  g_return_val_if_fail (IO_IS_MEMORY_DESCRIPTOR (self), NULL);
  g_return_val_if_fail (_io_direction_is_valid (direction), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!_io_memory_descriptor_check_range (offset, length, get_length (self), error) ||
      !_io_memory_descriptor_narrow_direction (self, &direction, error))
    return NULL;

  backing = _io_memory_descriptor_ensure_backing (self, error);
  if (backing == NULL)
    return NULL;

  return _io_memory_descriptor_new_for_backing (backing, self->offset + offset,
                                                length, direction);
}

/**
 * io_memory_descriptor_get_length:
 * @self: an #IOMemoryDescriptor
 *
 * Gets how many bytes there are.
 *
 * Any thread. Apple: IOMemoryDescriptor::getLength.
 *
 * Returns: the length in bytes
 * Since: 1.0
 */
gsize
io_memory_descriptor_get_length (IOMemoryDescriptor *self)
{
  g_return_val_if_fail (IO_IS_MEMORY_DESCRIPTOR (self), 0);

  return get_length (self);
}

/**
 * io_memory_descriptor_get_offset:
 * @self: an #IOMemoryDescriptor
 *
 * Gets where the memory starts in its file descriptor.
 *
 * Any thread.
 *
 * Returns: the offset in bytes
 * Since: 1.0
 */
guint64
io_memory_descriptor_get_offset (IOMemoryDescriptor *self)
{
  g_return_val_if_fail (IO_IS_MEMORY_DESCRIPTOR (self), 0);

  return self->offset;
}

/**
 * io_memory_descriptor_get_direction:
 * @self: an #IOMemoryDescriptor
 *
 * Gets which way data moves through the memory.
 *
 * Any thread. Apple: IOMemoryDescriptor::getDirection.
 *
 * Returns: the direction
 * Since: 1.0
 */
IODirection
io_memory_descriptor_get_direction (IOMemoryDescriptor *self)
{
  g_return_val_if_fail (IO_IS_MEMORY_DESCRIPTOR (self), IO_DIRECTION_NONE);

  return self->direction;
}

/**
 * io_memory_descriptor_is_writable:
 * @self: an #IOMemoryDescriptor
 *
 * Tells whether the memory can be written through this descriptor: its
 * direction has %IO_DIRECTION_OUT, and the system lets this process write it.
 *
 * Any thread.
 *
 * Returns: %TRUE if it can
 * Since: 1.0
 */
gboolean
io_memory_descriptor_is_writable (IOMemoryDescriptor *self)
{
  IOMemoryBacking *backing;

  g_return_val_if_fail (IO_IS_MEMORY_DESCRIPTOR (self), FALSE);

  if ((self->direction & IO_DIRECTION_OUT) == 0)
    return FALSE;

  backing = _io_memory_descriptor_ensure_backing (self, NULL);
  return backing != NULL && _io_memory_backing_is_writable (backing);
}

/**
 * io_memory_descriptor_get_tag:
 * @self: an #IOMemoryDescriptor
 *
 * Gets the number that was given with io_memory_descriptor_set_tag().
 *
 * Any thread. Apple: IOMemoryDescriptor::getTag.
 *
 * Returns: the tag, 0 if none was set
 * Since: 1.0
 */
guint32
io_memory_descriptor_get_tag (IOMemoryDescriptor *self)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = NULL;

  g_return_val_if_fail (IO_IS_MEMORY_DESCRIPTOR (self), 0);

  locker = g_mutex_locker_new (&self->lock);
  return self->tag;
}

/**
 * io_memory_descriptor_set_tag:
 * @self: an #IOMemoryDescriptor
 * @tag: any number
 *
 * Keeps a number for the application.
 *
 * Any thread. Apple: IOMemoryDescriptor::setTag.
 *
 * Since: 1.0
 */
void
io_memory_descriptor_set_tag (IOMemoryDescriptor *self,
                              guint32             tag)
{
  gboolean changed;

  g_return_if_fail (IO_IS_MEMORY_DESCRIPTOR (self));

  g_mutex_lock (&self->lock);
  changed = self->tag != tag;
  self->tag = tag;
  g_mutex_unlock (&self->lock);

  if (changed)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_TAG]);
}

/**
 * io_memory_descriptor_peek_fd:
 * @self: an #IOMemoryDescriptor
 *
 * Gets the file descriptor of the memory, which stays the property of the
 * library: do not close it, and do not use it after @self.
 *
 * Any thread.
 *
 * Returns: a file descriptor, or -1 if there is none
 * Since: 1.0
 */
int
io_memory_descriptor_peek_fd (IOMemoryDescriptor *self)
{
  IOMemoryBacking *backing;

  g_return_val_if_fail (IO_IS_MEMORY_DESCRIPTOR (self), -1);

  backing = _io_memory_descriptor_ensure_backing (self, NULL);
  return backing != NULL ? _io_memory_backing_peek_fd (backing) : -1;
}

/**
 * io_memory_descriptor_get_fd:
 * @self: an #IOMemoryDescriptor
 * @error: return location for a #GError
 *
 * Duplicates the file descriptor of the memory, close-on-exec. The duplicate
 * belongs to the caller.
 *
 * %IO_STREAM_ERROR_NO_RESOURCES if this process has no descriptor left,
 * %IO_STREAM_ERROR_NOT_OPEN if the memory has none any more.
 *
 * Any thread.
 *
 * Returns: a new file descriptor, or -1 with @error set
 * Since: 1.0
 */
int
io_memory_descriptor_get_fd (IOMemoryDescriptor  *self,
                             GError             **error)
{
  IOMemoryBacking *backing;
  int fd, errsv;

  g_return_val_if_fail (IO_IS_MEMORY_DESCRIPTOR (self), -1);
  g_return_val_if_fail (error == NULL || *error == NULL, -1);

  backing = _io_memory_descriptor_ensure_backing (self, error);
  if (backing == NULL)
    return -1;

  fd = fcntl (_io_memory_backing_peek_fd (backing), F_DUPFD_CLOEXEC, 3);
  if (fd >= 0)
    return fd;

  errsv = errno;
  g_set_error (error, IO_STREAM_ERROR,
               errsv == EBADF ? IO_STREAM_ERROR_NOT_OPEN : IO_STREAM_ERROR_NO_RESOURCES,
               "Cannot duplicate the descriptor of memory of %" G_GSIZE_FORMAT
               " bytes: %s", get_length (self), g_strerror (errsv));
  return -1;
}

/**
 * io_memory_descriptor_map:
 * @self: an #IOMemoryDescriptor
 * @flags: how to map
 * @error: return location for a #GError
 *
 * Maps all of the memory, as it is long now, into this process. See
 * io_memory_descriptor_map_range().
 *
 * Any thread. Apple: IOMemoryDescriptor::map.
 *
 * Returns: (transfer full): a new map, or %NULL with @error set
 * Since: 1.0
 */
IOMemoryMap *
io_memory_descriptor_map (IOMemoryDescriptor  *self,
                          IOMemoryMapFlags     flags,
                          GError             **error)
{
  g_return_val_if_fail (IO_IS_MEMORY_DESCRIPTOR (self), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return io_memory_descriptor_map_range (self, 0, get_length (self), flags, error);
}

/**
 * io_memory_descriptor_map_range:
 * @self: an #IOMemoryDescriptor
 * @offset: where the range starts, in bytes
 * @length: how many bytes; 0 is an empty map
 * @flags: how to map
 * @error: return location for a #GError
 *
 * Maps a part of the memory into this process: for reading, and for writing
 * too if io_memory_descriptor_is_writable() and @flags do not have
 * %IO_MEMORY_MAP_READ_ONLY. The offset needs no alignment. All maps of one
 * piece of memory show one mapping for each protection.
 *
 * %IO_STREAM_ERROR_BAD_ARGUMENT if the range is not within the memory,
 * %IO_STREAM_ERROR_NO_MEMORY or %IO_STREAM_ERROR_VM_ERROR if the system
 * cannot map it.
 *
 * Any thread. Apple: IOMemoryDescriptor::createMappingInTask, where a length
 * of 0 is all of the memory.
 *
 * Returns: (transfer full): a new map, or %NULL with @error set
 * Since: 1.0
 */
IOMemoryMap *
io_memory_descriptor_map_range (IOMemoryDescriptor  *self,
                                gsize                offset,
                                gsize                length,
                                IOMemoryMapFlags     flags,
                                GError             **error)
{
  IOMemoryBacking *backing;
  gboolean writable;

  g_return_val_if_fail (IO_IS_MEMORY_DESCRIPTOR (self), NULL);
  g_return_val_if_fail ((flags & ~(guint) IO_MEMORY_MAP_READ_ONLY) == 0, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!_io_memory_descriptor_check_range (offset, length, get_length (self), error))
    return NULL;
  backing = _io_memory_descriptor_ensure_backing (self, error);
  if (backing == NULL)
    return NULL;

  writable = (flags & IO_MEMORY_MAP_READ_ONLY) == 0 &&
             io_memory_descriptor_is_writable (self);
  return _io_memory_map_new (self, backing, self->offset + offset, length,
                             writable, error);
}
