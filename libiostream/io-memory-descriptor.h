/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-error.h>

G_BEGIN_DECLS

#define IO_TYPE_MEMORY_DESCRIPTOR (io_memory_descriptor_get_type ())
#define IO_MEMORY_DESCRIPTOR(obj) \
  (G_TYPE_CHECK_INSTANCE_CAST ((obj), IO_TYPE_MEMORY_DESCRIPTOR, IOMemoryDescriptor))
#define IO_IS_MEMORY_DESCRIPTOR(obj) \
  (G_TYPE_CHECK_INSTANCE_TYPE ((obj), IO_TYPE_MEMORY_DESCRIPTOR))

typedef struct _IOMemoryDescriptorClass IOMemoryDescriptorClass;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (IOMemoryDescriptor, g_object_unref)

IO_AVAILABLE_IN_ALL
GType               io_memory_descriptor_get_type      (void);
IO_AVAILABLE_IN_ALL
IOMemoryDescriptor *io_memory_descriptor_new_for_fd    (int                  fd,
                                                        guint64              offset,
                                                        gsize                length,
                                                        IODirection          direction,
                                                        GError             **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
IOMemoryDescriptor *io_memory_descriptor_new_sub_range (IOMemoryDescriptor  *self,
                                                        gsize                offset,
                                                        gsize                length,
                                                        IODirection          direction,
                                                        GError             **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
gsize               io_memory_descriptor_get_length    (IOMemoryDescriptor  *self);
IO_AVAILABLE_IN_ALL
guint64             io_memory_descriptor_get_offset    (IOMemoryDescriptor  *self);
IO_AVAILABLE_IN_ALL
IODirection         io_memory_descriptor_get_direction (IOMemoryDescriptor  *self);
IO_AVAILABLE_IN_ALL
gboolean            io_memory_descriptor_is_writable   (IOMemoryDescriptor  *self);
IO_AVAILABLE_IN_ALL
guint32             io_memory_descriptor_get_tag       (IOMemoryDescriptor  *self);
IO_AVAILABLE_IN_ALL
void                io_memory_descriptor_set_tag       (IOMemoryDescriptor  *self,
                                                        guint32              tag);
IO_AVAILABLE_IN_ALL
int                 io_memory_descriptor_peek_fd       (IOMemoryDescriptor  *self);
IO_AVAILABLE_IN_ALL
int                 io_memory_descriptor_get_fd        (IOMemoryDescriptor  *self,
                                                        GError             **error);
IO_AVAILABLE_IN_ALL
gboolean            io_memory_descriptor_prepare       (IOMemoryDescriptor  *self,
                                                        IODirection          direction,
                                                        GError             **error);
IO_AVAILABLE_IN_ALL
gboolean            io_memory_descriptor_complete      (IOMemoryDescriptor  *self,
                                                        IODirection          direction,
                                                        GError             **error);
IO_AVAILABLE_IN_ALL
gsize               io_memory_descriptor_read_bytes    (IOMemoryDescriptor  *self,
                                                        gsize                offset,
                                                        void                *bytes,
                                                        gsize                length);
IO_AVAILABLE_IN_ALL
GBytes             *io_memory_descriptor_copy_bytes    (IOMemoryDescriptor  *self,
                                                        gsize                offset,
                                                        gsize                length,
                                                        GError             **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
gsize               io_memory_descriptor_write_bytes   (IOMemoryDescriptor  *self,
                                                        gsize                offset,
                                                        const void          *bytes,
                                                        gsize                length);
IO_AVAILABLE_IN_ALL
IOMemoryMap        *io_memory_descriptor_map           (IOMemoryDescriptor  *self,
                                                        IOMemoryMapFlags     flags,
                                                        GError             **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
IOMemoryMap        *io_memory_descriptor_map_range     (IOMemoryDescriptor  *self,
                                                        gsize                offset,
                                                        gsize                length,
                                                        IOMemoryMapFlags     flags,
                                                        GError             **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
