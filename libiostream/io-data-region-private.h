/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-abi-private.h"
#include "io-memory-backing-private.h"

G_BEGIN_DECLS

/* What a queue is made of, as both sides know it from the control plane. */
typedef struct {
  guint32 capacity;
  guint32 ring_bytes;   /* a multiple of the page size */
} IODataGeometry;

/* One side's shared page, and the producer's ring behind it, mapped twice in a
 * row. */
typedef struct {
  IOMemoryBacking *backing;
  IOAbiDataRegion *page;
  guint8          *bytes;           /* NULL: the consumer's */
  gsize            ring_bytes;
  guint64          start_position;
} IODataRegion;

/* As IO_REGION_START_INDEX: passed in every run. */
#define IO_DATA_REGION_START_POSITION (G_GUINT64_CONSTANT (0x100000000) - 64)
/* For `wanted`, relative to a position: never reached. */
#define IO_DATA_REGION_NEVER          (G_GUINT64_CONSTANT (1) << 62)

#define IO_DATA_QUEUE_MIN_CAPACITY    ((guint32) 2 * IO_ABI_DATA_ALIGN)
#define IO_DATA_QUEUE_MAX_CAPACITY    ((guint32) 1 << 30)

/* FALSE: out of range. */
gboolean _io_data_geometry_init     (IODataGeometry        *self,
                                     guint64                capacity);
gboolean _io_data_geometry_is_sound (const IODataGeometry  *self);
gsize    _io_data_region_get_size   (IOAbiRole              role,
                                     const IODataGeometry  *geometry);
/* As with streams the owner makes both; @is_own: it writes this one, which is
 * sealed at once. */
gboolean _io_data_region_create     (IODataRegion          *self,
                                     IOAbiRole              role,
                                     const IODataGeometry  *geometry,
                                     gboolean               is_own,
                                     GError               **error);
gboolean _io_data_region_seal       (IODataRegion          *self,
                                     GError               **error);
/* Takes over @fd, also when it fails. */
gboolean _io_data_region_attach     (IODataRegion          *self,
                                     IOAbiRole              role,
                                     const IODataGeometry  *geometry,
                                     int                    fd,
                                     gboolean               is_own,
                                     GError               **error);
void     _io_data_region_clear      (IODataRegion          *self);

G_END_DECLS
