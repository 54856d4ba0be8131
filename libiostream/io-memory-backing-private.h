/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

#include "io-enums.h"
#include "io-types.h"

G_BEGIN_DECLS

/* A piece of shared memory as the kernel knows it: one descriptor, one size,
 * and at most one mapping for each protection, made when first asked for and
 * kept until the last reference goes. Descriptors and maps are views of it, so
 * a whole set of buffers costs one mapping, and memory that was sealed against
 * further writable mappings stays writable here.
 *
 * Any thread. */
typedef struct _IOMemoryBacking IOMemoryBacking;

/* Makes a new sealed memfd (robustness: created, sized, filled, mapped, sealed
 * in this order). With %IO_STREAM_PEER_ACCESS_READ nobody else can ever write
 * it; with READ_WRITE others can until
 * _io_memory_backing_seal_writers() is called. BY_MODE is not allowed here. */
IOMemoryBacking *_io_memory_backing_new          (const char          *label,
                                                  gsize                size,
                                                  IOStreamPeerAccess   peer_access,
                                                  GError             **error);

/* Takes over @fd, which came from another process, also when it fails. Refuses
 * what is not a memfd sealed against shrinking and of @min_size to @max_size
 * bytes, or a dma-buf if @allow_dmabuf. With @read_only it must be sealed
 * against writing too if it is a memfd, and is mapped so. */
IOMemoryBacking *_io_memory_backing_new_take_fd  (int                  fd,
                                                  gsize                min_size,
                                                  gsize                max_size,
                                                  gboolean             read_only,
                                                  gboolean             allow_dmabuf,
                                                  GError             **error);
/* A view of what the application gave: duplicates @fd, which must be sealed
 * against a change of its size, or a dma-buf. Others may write it. */
IOMemoryBacking *_io_memory_backing_new_dup_fd   (int                  fd,
                                                  gboolean             writable,
                                                  GError             **error);
IOMemoryBacking *_io_memory_backing_ref          (IOMemoryBacking     *self);
void             _io_memory_backing_unref        (IOMemoryBacking     *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (IOMemoryBacking, _io_memory_backing_unref)

/* The base address; %NULL with @error set if the system cannot map it. The
 * same address at every call with the same @writable. */
guint8          *_io_memory_backing_map          (IOMemoryBacking     *self,
                                                  gboolean             writable,
                                                  GError             **error);
gsize            _io_memory_backing_get_size     (IOMemoryBacking     *self);
int              _io_memory_backing_peek_fd      (IOMemoryBacking     *self);
gboolean         _io_memory_backing_is_writable  (IOMemoryBacking     *self);
gboolean         _io_memory_backing_is_dmabuf    (IOMemoryBacking     *self);
/* Made by _io_memory_backing_new(), and not from a descriptor. */
gboolean         _io_memory_backing_is_own       (IOMemoryBacking     *self);
/* Could a client write it, or map it to write when it was made? */
gboolean         _io_memory_backing_is_peer_writable (IOMemoryBacking *self);
/* Unique in this process as long as the backing lives; never 0. */
guint32          _io_memory_backing_get_id       (IOMemoryBacking     *self);

/* Ends writable mappings by others from now on, and fills holes that they may
 * have made meanwhile. */
gboolean         _io_memory_backing_seal_writers (IOMemoryBacking     *self,
                                                  GError             **error);
/* Makes our own mapping read-only for good. */
gboolean         _io_memory_backing_give_up_writing (IOMemoryBacking  *self,
                                                     GError          **error);
/* The same, but for the pages that the first @keep bytes lie in. */
gboolean         _io_memory_backing_give_up_writing_after (IOMemoryBacking  *self,
                                                           gsize             keep,
                                                           GError          **error);
/* Keeps the mapping out of forked children. */
void             _io_memory_backing_dont_fork    (IOMemoryBacking     *self);
/* TRUE in a child that was kept from the mapping: the addresses are void. */
gboolean         _io_memory_backing_is_absent    (IOMemoryBacking     *self);
/* Closes our descriptor; the mappings stay. */
void             _io_memory_backing_close_fd     (IOMemoryBacking     *self);

/* Views of a backing, for the layers above (io-memory-descriptor.c). */
IOMemoryDescriptor *_io_memory_descriptor_new_for_backing (IOMemoryBacking    *backing,
                                                           gsize               offset,
                                                           gsize               length,
                                                           IODirection         direction);
IOMemoryBacking    *_io_memory_descriptor_peek_backing    (IOMemoryDescriptor *self);

G_END_DECLS
