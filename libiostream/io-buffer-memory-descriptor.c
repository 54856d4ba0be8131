/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-buffer-memory-descriptor.h"

#include "io-memory-descriptor-private.h"

#include "io-enum-types.h"

#include <string.h>

/**
 * SECTION:io-buffer-memory-descriptor
 * @title: IOBufferMemoryDescriptor
 * @short_description: New shared memory
 * @see_also: #IOMemoryDescriptor, #IOMemoryMap
 *
 * #IOBufferMemoryDescriptor is an #IOMemoryDescriptor that makes its own
 * memory, filled with zeros and ready to be shared.
 *
 * # Life cycle
 *
 * io_buffer_memory_descriptor_new() makes the memory at once. An object that
 * was made by its properties, as other languages do, makes it in
 * g_initable_init(), or when it is first needed.
 *
 * # What the other process can do
 *
 * The memory is a memfd of which nobody can change the size. What others can
 * do with it is chosen when it is made, with #IOStreamPeerAccess, and held by
 * the kernel: with %IO_STREAM_PEER_ACCESS_READ nobody but this process ever
 * gets a writable mapping. All pages are allocated when the memory is made, so
 * that a machine without memory is an error there, and not the end of the
 * process later.
 *
 * # Capacity and length
 *
 * The capacity is what was allocated; the length is how much of it counts at
 * the moment. The length starts equal to the capacity. All ranges, of
 * io_memory_descriptor_read_bytes() as of a sub-range or a map, have to be
 * within the length. To fill a buffer piece by piece set the length to 0 with
 * io_buffer_memory_descriptor_set_length() and append.
 *
 * # Threads
 *
 * All functions can be called from any thread. Two threads that append at the
 * same time append one after the other.
 *
 * The Apple original is IOBufferMemoryDescriptor.
 */

/**
 * IOBufferMemoryDescriptor:
 *
 * New shared memory.
 *
 * Since: 1.0
 */

struct _IOBufferMemoryDescriptor {
  IOMemoryDescriptor parent_instance;

  gsize              capacity;     /* constant once constructed */
  IOStreamPeerAccess peer_access;  /* constant once constructed */
};

struct _IOBufferMemoryDescriptorClass {
  IOMemoryDescriptorClass parent_class;
};

enum {
  PROP_0,
  PROP_CAPACITY,
  PROP_PEER_ACCESS,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

G_DEFINE_TYPE (IOBufferMemoryDescriptor, io_buffer_memory_descriptor,
               IO_TYPE_MEMORY_DESCRIPTOR)

/* Of the whole capacity; NULL if there is none or it is not for writing. */
static guint8 *
peek_writable_base (IOBufferMemoryDescriptor *self)
{
  IOMemoryDescriptor *descriptor = &self->parent_instance;

  if (!io_memory_descriptor_is_writable (descriptor))
    return NULL;

  return _io_memory_backing_map (_io_memory_descriptor_peek_backing (descriptor),
                                 TRUE, NULL);
}

static IOMemoryBacking *
io_buffer_memory_descriptor_create_backing (IOMemoryDescriptor  *descriptor,
                                            GError             **error)
{
  IOBufferMemoryDescriptor *self = IO_BUFFER_MEMORY_DESCRIPTOR (descriptor);

  return _io_memory_backing_new ("buffer", self->capacity, self->peer_access, error);
}

static void
io_buffer_memory_descriptor_constructed (GObject *object)
{
  IOBufferMemoryDescriptor *self = IO_BUFFER_MEMORY_DESCRIPTOR (object);

  if (self->peer_access == IO_STREAM_PEER_ACCESS_BY_MODE)
    self->peer_access = IO_STREAM_PEER_ACCESS_READ;
  self->parent_instance.length = self->capacity;

  G_OBJECT_CLASS (io_buffer_memory_descriptor_parent_class)->constructed (object);
}

static void
io_buffer_memory_descriptor_get_property (GObject    *object,
                                          guint       prop_id,
                                          GValue     *value,
                                          GParamSpec *pspec)
{
  IOBufferMemoryDescriptor *self = IO_BUFFER_MEMORY_DESCRIPTOR (object);

  switch (prop_id)
    {
    case PROP_CAPACITY:
      g_value_set_uint64 (value, self->capacity);
      break;
    case PROP_PEER_ACCESS:
      g_value_set_enum (value, self->peer_access);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
io_buffer_memory_descriptor_set_property (GObject      *object,
                                          guint         prop_id,
                                          const GValue *value,
                                          GParamSpec   *pspec)
{
  IOBufferMemoryDescriptor *self = IO_BUFFER_MEMORY_DESCRIPTOR (object);

  switch (prop_id)
    {
    case PROP_CAPACITY:
      self->capacity = MIN (g_value_get_uint64 (value), G_MAXSIZE);
      break;
    case PROP_PEER_ACCESS:
      self->peer_access = g_value_get_enum (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
io_buffer_memory_descriptor_class_init (IOBufferMemoryDescriptorClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  IOMemoryDescriptorClass *descriptor_class = (IOMemoryDescriptorClass *) klass;

  object_class->constructed = io_buffer_memory_descriptor_constructed;
  object_class->get_property = io_buffer_memory_descriptor_get_property;
  object_class->set_property = io_buffer_memory_descriptor_set_property;

  descriptor_class->create_backing = io_buffer_memory_descriptor_create_backing;

  /**
   * IOBufferMemoryDescriptor:capacity:
   *
   * How many bytes are allocated.
   *
   * Since: 1.0
   */
  properties[PROP_CAPACITY] =
    g_param_spec_uint64 ("capacity", NULL, NULL, 0, G_MAXUINT64, 0,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY |
                         G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);

  /**
   * IOBufferMemoryDescriptor:peer-access:
   *
   * What other processes can do with the memory.
   * %IO_STREAM_PEER_ACCESS_BY_MODE becomes %IO_STREAM_PEER_ACCESS_READ, since
   * the memory belongs to no stream.
   *
   * Since: 1.0
   */
  properties[PROP_PEER_ACCESS] =
    g_param_spec_enum ("peer-access", NULL, NULL,
                       IO_TYPE_STREAM_PEER_ACCESS, IO_STREAM_PEER_ACCESS_BY_MODE,
                       G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY |
                       G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
io_buffer_memory_descriptor_init (IOBufferMemoryDescriptor *self)
{
}

/**
 * io_buffer_memory_descriptor_new:
 * @capacity: how many bytes
 * @peer_access: what other processes can do with the memory;
 *   %IO_STREAM_PEER_ACCESS_BY_MODE is %IO_STREAM_PEER_ACCESS_READ here
 * @error: return location for a #GError
 *
 * Makes new shared memory, all zero, which this process can read and write.
 *
 * %IO_STREAM_ERROR_BAD_ARGUMENT if @capacity is 0 or absurd,
 * %IO_STREAM_ERROR_NO_MEMORY if there is not so much, and
 * %IO_STREAM_ERROR_NO_RESOURCES if this process has no file descriptor left or
 * may not make files of this size.
 *
 * Any thread. Apple: IOBufferMemoryDescriptor::withCapacity.
 *
 * Returns: (transfer full): a new descriptor, or %NULL with @error set
 * Since: 1.0
 */
IOBufferMemoryDescriptor *
io_buffer_memory_descriptor_new (gsize                capacity,
                                 IOStreamPeerAccess   peer_access,
                                 GError             **error)
{
  g_return_val_if_fail (peer_access <= IO_STREAM_PEER_ACCESS_READ_WRITE, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_initable_new (IO_TYPE_BUFFER_MEMORY_DESCRIPTOR, NULL, error,
                         "capacity", (guint64) capacity,
                         "peer-access", peer_access,
                         NULL);
}

/**
 * io_buffer_memory_descriptor_new_bytes:
 * @bytes: what to copy, at least one byte
 * @peer_access: as for io_buffer_memory_descriptor_new()
 * @error: return location for a #GError
 *
 * Makes new shared memory with a copy of @bytes. Fails as
 * io_buffer_memory_descriptor_new() does.
 *
 * Any thread. Apple: IOBufferMemoryDescriptor::withBytes.
 *
 * Returns: (transfer full): a new descriptor, or %NULL with @error set
 * Since: 1.0
 */
IOBufferMemoryDescriptor *
io_buffer_memory_descriptor_new_bytes (GBytes              *bytes,
                                       IOStreamPeerAccess   peer_access,
                                       GError             **error)
{
  IOBufferMemoryDescriptor *self;
  gconstpointer data;
  gsize length;

  g_return_val_if_fail (bytes != NULL, NULL);

  data = g_bytes_get_data (bytes, &length);
  self = io_buffer_memory_descriptor_new (length, peer_access, error);
  if (self != NULL)
    io_memory_descriptor_write_bytes (IO_MEMORY_DESCRIPTOR (self), 0, data, length);

  return self;
}

/**
 * io_buffer_memory_descriptor_get_capacity:
 * @self: an #IOBufferMemoryDescriptor
 *
 * Gets how many bytes are allocated.
 *
 * Any thread. Apple: IOBufferMemoryDescriptor::getCapacity.
 *
 * Returns: the capacity in bytes
 * Since: 1.0
 */
gsize
io_buffer_memory_descriptor_get_capacity (IOBufferMemoryDescriptor *self)
{
  g_return_val_if_fail (IO_IS_BUFFER_MEMORY_DESCRIPTOR (self), 0);

  return self->capacity;
}

/**
 * io_buffer_memory_descriptor_set_length:
 * @self: an #IOBufferMemoryDescriptor
 * @length: how many bytes count
 *
 * Sets how much of the memory counts. The bytes stay as they are, also behind
 * the length. Maps and sub-ranges that exist keep theirs.
 *
 * Any thread. Apple: IOBufferMemoryDescriptor::setLength, which ignores a
 * length above the capacity without a word.
 *
 * Returns: %TRUE if it was set, %FALSE if @length is above the capacity
 * Since: 1.0
 */
gboolean
io_buffer_memory_descriptor_set_length (IOBufferMemoryDescriptor *self,
                                        gsize                     length)
{
  g_return_val_if_fail (IO_IS_BUFFER_MEMORY_DESCRIPTOR (self), FALSE);

  if (length > self->capacity)
    return FALSE;

  _io_memory_descriptor_set_length (&self->parent_instance, length);
  return TRUE;
}

/**
 * io_buffer_memory_descriptor_append_bytes:
 * @self: an #IOBufferMemoryDescriptor
 * @bytes: (array length=length) (element-type guint8): what to copy
 * @length: how many bytes
 *
 * Copies @bytes behind the bytes that count, and makes the length larger. All
 * or nothing. The length of a new descriptor is its capacity, so set it to 0
 * first.
 *
 * Any thread. Apple: IOBufferMemoryDescriptor::appendBytes, which copies what
 * fits, drops the rest and returns true all the same.
 *
 * Returns: %TRUE if it was copied, %FALSE if it does not fit or the memory
 *   cannot be written
 * Since: 1.0
 */
gboolean
io_buffer_memory_descriptor_append_bytes (IOBufferMemoryDescriptor *self,
                                          const void               *bytes,
                                          gsize                     length)
{
  guint8 *base;

  g_return_val_if_fail (IO_IS_BUFFER_MEMORY_DESCRIPTOR (self), FALSE);
  g_return_val_if_fail (bytes != NULL || length == 0, FALSE);

  base = peek_writable_base (self);
  if (base == NULL)
    return FALSE;

  /* The copy too is under the lock: no two threads get the same place, and
   * whoever sees the new length sees the bytes. */
  g_mutex_lock (&self->parent_instance.lock);
  if (length > self->capacity - self->parent_instance.length)
    {
      g_mutex_unlock (&self->parent_instance.lock);
      return FALSE;
    }
  if (length > 0)
    memcpy (base + self->parent_instance.length, bytes, length);
  self->parent_instance.length += length;
  g_mutex_unlock (&self->parent_instance.lock);

  if (length > 0)
    g_object_notify (G_OBJECT (self), "length");
  return TRUE;
}

/**
 * io_buffer_memory_descriptor_peek_bytes: (skip)
 * @self: an #IOBufferMemoryDescriptor
 * @offset: where the range starts, in bytes
 * @length: how many bytes
 *
 * Gets where a range of the memory is mapped in this process. The address is
 * valid as long as @self is. It can be written if
 * io_memory_descriptor_is_writable().
 *
 * Any thread. Apple: IOBufferMemoryDescriptor::getBytesNoCopy.
 *
 * Returns: (nullable): the address, or %NULL if the range is not within the
 *   length
 * Since: 1.0
 */
void *
io_buffer_memory_descriptor_peek_bytes (IOBufferMemoryDescriptor *self,
                                        gsize                     offset,
                                        gsize                     length)
{
  g_return_val_if_fail (IO_IS_BUFFER_MEMORY_DESCRIPTOR (self), NULL);

  return _io_memory_descriptor_peek_range (&self->parent_instance, offset, length, FALSE);
}
