/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-memory-descriptor.h>

G_BEGIN_DECLS

#define IO_TYPE_BUFFER_MEMORY_DESCRIPTOR (io_buffer_memory_descriptor_get_type ())
#define IO_BUFFER_MEMORY_DESCRIPTOR(obj) \
  (G_TYPE_CHECK_INSTANCE_CAST ((obj), IO_TYPE_BUFFER_MEMORY_DESCRIPTOR, IOBufferMemoryDescriptor))
#define IO_IS_BUFFER_MEMORY_DESCRIPTOR(obj) \
  (G_TYPE_CHECK_INSTANCE_TYPE ((obj), IO_TYPE_BUFFER_MEMORY_DESCRIPTOR))

typedef struct _IOBufferMemoryDescriptorClass IOBufferMemoryDescriptorClass;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (IOBufferMemoryDescriptor, g_object_unref)

IO_AVAILABLE_IN_ALL
GType                     io_buffer_memory_descriptor_get_type     (void);
IO_AVAILABLE_IN_ALL
IOBufferMemoryDescriptor *io_buffer_memory_descriptor_new          (gsize                       capacity,
                                                                    IOStreamPeerAccess          peer_access,
                                                                    GError                    **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
IOBufferMemoryDescriptor *io_buffer_memory_descriptor_new_bytes    (GBytes                     *bytes,
                                                                    IOStreamPeerAccess          peer_access,
                                                                    GError                    **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
gsize                     io_buffer_memory_descriptor_get_capacity (IOBufferMemoryDescriptor   *self);
IO_AVAILABLE_IN_ALL
gboolean                  io_buffer_memory_descriptor_set_length   (IOBufferMemoryDescriptor   *self,
                                                                    gsize                       length);
IO_AVAILABLE_IN_ALL
gboolean                  io_buffer_memory_descriptor_append_bytes (IOBufferMemoryDescriptor   *self,
                                                                    const void                 *bytes,
                                                                    gsize                       length);
IO_AVAILABLE_IN_ALL
void                     *io_buffer_memory_descriptor_peek_bytes   (IOBufferMemoryDescriptor   *self,
                                                                    gsize                       offset,
                                                                    gsize                       length);

G_END_DECLS
