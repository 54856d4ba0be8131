/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-memory-backing-private.h"
#include "io-memory-descriptor.h"
#include "io-memory-map.h"

G_BEGIN_DECLS

struct _IOMemoryDescriptor {
  GObject          parent_instance;

  IODirection      direction;    /* constant once constructed */
  gsize            offset;       /* in the backing; constant once constructed */

  GMutex           lock;         /* covers what follows */
  IOMemoryBacking *backing;      /* NULL until needed, then constant */
  gsize            length;
  guint32          tag;

  GMutex           prepare_lock; /* covers the counts; held over the sync */
  guint            prepared_in;
  guint            prepared_out;
};

struct _IOMemoryDescriptorClass {
  GObjectClass parent_class;

  /* Makes the memory when it is first needed. */
  IOMemoryBacking *(*create_backing) (IOMemoryDescriptor  *self,
                                      GError             **error);
};

/* The memory, made now if it was not; borrowed. */
IOMemoryBacking *_io_memory_descriptor_ensure_backing (IOMemoryDescriptor  *self,
                                                       GError             **error);
/* The address of a range of the present length, or %NULL. */
guint8          *_io_memory_descriptor_peek_range     (IOMemoryDescriptor  *self,
                                                       gsize                offset,
                                                       gsize                length,
                                                       gboolean             writable);
gboolean         _io_memory_descriptor_check_range    (gsize                offset,
                                                       gsize                length,
                                                       gsize                capacity,
                                                       GError             **error);
/* Resolves %IO_DIRECTION_NONE, and refuses what is more than ours. */
gboolean         _io_memory_descriptor_narrow_direction (IOMemoryDescriptor  *self,
                                                         IODirection         *direction,
                                                         GError             **error);
/* The caller keeps the length within the memory. */
void             _io_memory_descriptor_set_length     (IOMemoryDescriptor  *self,
                                                       gsize                length);

/* A view of a range of @backing that was checked before. */
IOMemoryMap     *_io_memory_map_new                   (IOMemoryDescriptor  *descriptor,
                                                       IOMemoryBacking     *backing,
                                                       gsize                offset,
                                                       gsize                length,
                                                       gboolean             writable,
                                                       GError             **error);

static inline gboolean
_io_direction_is_valid (IODirection direction)
{
  return (direction & ~(guint) IO_DIRECTION_IN_OUT) == 0;
}

static inline gboolean
_io_memory_range_is_inside (gsize offset,
                            gsize length,
                            gsize capacity)
{
  return length <= capacity && offset <= capacity - length;
}

G_END_DECLS
