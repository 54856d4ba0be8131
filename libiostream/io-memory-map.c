/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-memory-map.h"

#include "io-memory-descriptor-private.h"

/**
 * SECTION:io-memory-map
 * @title: IOMemoryMap
 * @short_description: Shared memory in the address space of this process
 * @see_also: #IOMemoryDescriptor
 *
 * #IOMemoryMap is a view of shared memory: an address, a length, and whether
 * it can be written.
 *
 * # Life cycle
 *
 * A map comes from io_memory_descriptor_map() or
 * io_memory_descriptor_map_range(). It is of use until its last reference is
 * gone, or until io_memory_map_unmap().
 *
 * # Ownership
 *
 * A map holds its descriptor and the memory. io_memory_map_get_bytes() gives
 * the memory as #GBytes without a copy; such bytes hold the memory by
 * themselves and stay valid after io_memory_map_unmap(), and after the map,
 * the descriptor, and the process at the other end are gone.
 *
 * All maps of one piece of memory show the same mapping, one for each
 * protection, so a map is cheap. The pages leave the address space with the
 * last map, descriptor and #GBytes of that memory.
 *
 * # What is in there may change
 *
 * Whoever may write the memory can do so while it is being read, also behind
 * #GBytes. Copy with io_memory_descriptor_read_bytes() what is to be parsed.
 * Writing where io_memory_map_is_writable() is %FALSE ends the process.
 *
 * # Threads
 *
 * All functions can be called from any thread. Who uses the address has to
 * see to it that nobody unmaps meanwhile.
 *
 * The Apple original is IOMemoryMap, which maps into any task.
 */

/**
 * IOMemoryMap:
 *
 * A view of shared memory.
 *
 * Since: 1.0
 */

struct _IOMemoryMap {
  GObject             parent_instance;

  IOMemoryDescriptor *descriptor;  /* constant */
  gboolean            writable;    /* constant */

  GMutex              lock;        /* covers what follows */
  IOMemoryBacking    *backing;     /* NULL once unmapped */
  guint8             *address;
  gsize               length;
};

enum {
  PROP_0,
  PROP_LENGTH,
  PROP_MEMORY_DESCRIPTOR,
  PROP_WRITABLE,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

G_DEFINE_TYPE (IOMemoryMap, io_memory_map, G_TYPE_OBJECT)

IOMemoryMap *
_io_memory_map_new (IOMemoryDescriptor  *descriptor,
                    IOMemoryBacking     *backing,
                    gsize                offset,
                    gsize                length,
                    gboolean             writable,
                    GError             **error)
{
  guint8 *base = _io_memory_backing_map (backing, writable, error);
  IOMemoryMap *self;

  if (base == NULL)
    return NULL;

  self = g_object_new (IO_TYPE_MEMORY_MAP, NULL);
  self->descriptor = g_object_ref (descriptor);
  self->backing = _io_memory_backing_ref (backing);
  self->address = base + offset;
  self->length = length;
  self->writable = writable;

  return self;
}

static void
unmap (IOMemoryMap *self)
{
  IOMemoryBacking *backing;

  g_mutex_lock (&self->lock);
  backing = g_steal_pointer (&self->backing);
  self->address = NULL;
  self->length = 0;
  g_mutex_unlock (&self->lock);

  if (backing != NULL)
    _io_memory_backing_unref (backing);
}

static void
io_memory_map_finalize (GObject *object)
{
  IOMemoryMap *self = IO_MEMORY_MAP (object);

  unmap (self);
  g_clear_object (&self->descriptor);
  g_mutex_clear (&self->lock);

  G_OBJECT_CLASS (io_memory_map_parent_class)->finalize (object);
}

static void
io_memory_map_get_property (GObject    *object,
                            guint       prop_id,
                            GValue     *value,
                            GParamSpec *pspec)
{
  IOMemoryMap *self = IO_MEMORY_MAP (object);

  switch (prop_id)
    {
    case PROP_LENGTH:
      g_value_set_uint64 (value, io_memory_map_get_length (self));
      break;
    case PROP_MEMORY_DESCRIPTOR:
      g_value_set_object (value, self->descriptor);
      break;
    case PROP_WRITABLE:
      g_value_set_boolean (value, self->writable);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
io_memory_map_class_init (IOMemoryMapClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->finalize = io_memory_map_finalize;
  object_class->get_property = io_memory_map_get_property;

  /**
   * IOMemoryMap:length:
   *
   * How many bytes are mapped, 0 after io_memory_map_unmap().
   *
   * Since: 1.0
   */
  properties[PROP_LENGTH] =
    g_param_spec_uint64 ("length", NULL, NULL, 0, G_MAXUINT64, 0,
                         G_PARAM_READABLE | G_PARAM_STATIC_STRINGS |
                         G_PARAM_EXPLICIT_NOTIFY);

  /**
   * IOMemoryMap:memory-descriptor:
   *
   * What is mapped.
   *
   * Since: 1.0
   */
  properties[PROP_MEMORY_DESCRIPTOR] =
    g_param_spec_object ("memory-descriptor", NULL, NULL, IO_TYPE_MEMORY_DESCRIPTOR,
                         G_PARAM_READABLE | G_PARAM_STATIC_STRINGS |
                         G_PARAM_EXPLICIT_NOTIFY);

  /**
   * IOMemoryMap:writable:
   *
   * Whether the memory can be written through this map.
   *
   * Since: 1.0
   */
  properties[PROP_WRITABLE] =
    g_param_spec_boolean ("writable", NULL, NULL, FALSE,
                          G_PARAM_READABLE | G_PARAM_STATIC_STRINGS |
                          G_PARAM_EXPLICIT_NOTIFY);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
io_memory_map_init (IOMemoryMap *self)
{
  g_mutex_init (&self->lock);
}

/**
 * io_memory_map_peek_address: (skip)
 * @self: an #IOMemoryMap
 *
 * Gets where the memory is mapped. The address is valid as long as @self is
 * and io_memory_map_unmap() is not called. It is aligned as the offset in the
 * file descriptor is.
 *
 * Any thread. Apple: IOMemoryMap::getVirtualAddress.
 *
 * Returns: (nullable): the address of the first byte, or %NULL if it is no
 *   longer mapped
 * Since: 1.0
 */
void *
io_memory_map_peek_address (IOMemoryMap *self)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = NULL;

  g_return_val_if_fail (IO_IS_MEMORY_MAP (self), NULL);

  locker = g_mutex_locker_new (&self->lock);
  return self->address;
}

/**
 * io_memory_map_get_length:
 * @self: an #IOMemoryMap
 *
 * Gets how many bytes are mapped.
 *
 * Any thread. Apple: IOMemoryMap::getLength.
 *
 * Returns: the length in bytes, 0 after io_memory_map_unmap()
 * Since: 1.0
 */
gsize
io_memory_map_get_length (IOMemoryMap *self)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = NULL;

  g_return_val_if_fail (IO_IS_MEMORY_MAP (self), 0);

  locker = g_mutex_locker_new (&self->lock);
  return self->length;
}

/**
 * io_memory_map_is_writable:
 * @self: an #IOMemoryMap
 *
 * Tells whether the memory can be written through this map. The system holds
 * that: writing a map that is not writable ends the process.
 *
 * Any thread. Apple: IOMemoryMap::getMapOptions.
 *
 * Returns: %TRUE if it can be written
 * Since: 1.0
 */
gboolean
io_memory_map_is_writable (IOMemoryMap *self)
{
  g_return_val_if_fail (IO_IS_MEMORY_MAP (self), FALSE);

  return self->writable;
}

/**
 * io_memory_map_get_memory_descriptor:
 * @self: an #IOMemoryMap
 *
 * Gets what is mapped, also after io_memory_map_unmap().
 *
 * Any thread. Apple: IOMemoryMap::getMemoryDescriptor.
 *
 * Returns: (transfer none) (nullable): the descriptor, which @self holds, or
 *   %NULL if @self was not made by one
 * Since: 1.0
 */
IOMemoryDescriptor *
io_memory_map_get_memory_descriptor (IOMemoryMap *self)
{
  g_return_val_if_fail (IO_IS_MEMORY_MAP (self), NULL);

  return self->descriptor;
}

/**
 * io_memory_map_get_bytes:
 * @self: an #IOMemoryMap
 *
 * Gets the memory as bytes, without a copy. They hold the memory by
 * themselves, and stay valid after @self. They are not constant: they show
 * what is written into the memory later.
 *
 * Any thread.
 *
 * Returns: (transfer full) (nullable): the bytes, or %NULL after
 *   io_memory_map_unmap()
 * Since: 1.0
 */
GBytes *
io_memory_map_get_bytes (IOMemoryMap *self)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = NULL;

  g_return_val_if_fail (IO_IS_MEMORY_MAP (self), NULL);

  locker = g_mutex_locker_new (&self->lock);
  if (self->backing == NULL)
    return NULL;

  return g_bytes_new_with_free_func (self->address, self->length,
                                     (GDestroyNotify) _io_memory_backing_unref,
                                     _io_memory_backing_ref (self->backing));
}

/**
 * io_memory_map_unmap:
 * @self: an #IOMemoryMap
 *
 * Gives up the memory before the map goes. The address is %NULL and the length
 * 0 from now on; bytes that io_memory_map_get_bytes() gave before stay valid.
 * A second call does nothing.
 *
 * Any thread, but nobody may use the address meanwhile. Apple:
 * IOMemoryMap::unmap.
 *
 * Since: 1.0
 */
void
io_memory_map_unmap (IOMemoryMap *self)
{
  gboolean changed;

  g_return_if_fail (IO_IS_MEMORY_MAP (self));

  changed = io_memory_map_get_length (self) > 0;
  unmap (self);

  if (changed)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_LENGTH]);
}
