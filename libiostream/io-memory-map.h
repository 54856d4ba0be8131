/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-memory-descriptor.h>

G_BEGIN_DECLS

#define IO_TYPE_MEMORY_MAP (io_memory_map_get_type ())

IO_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (IOMemoryMap, io_memory_map, IO, MEMORY_MAP, GObject)

IO_AVAILABLE_IN_ALL
void               *io_memory_map_peek_address          (IOMemoryMap *self);
IO_AVAILABLE_IN_ALL
gsize               io_memory_map_get_length            (IOMemoryMap *self);
IO_AVAILABLE_IN_ALL
gboolean            io_memory_map_is_writable           (IOMemoryMap *self);
IO_AVAILABLE_IN_ALL
IOMemoryDescriptor *io_memory_map_get_memory_descriptor (IOMemoryMap *self);
IO_AVAILABLE_IN_ALL
GBytes             *io_memory_map_get_bytes             (IOMemoryMap *self) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
void                io_memory_map_unmap                 (IOMemoryMap *self);

G_END_DECLS
