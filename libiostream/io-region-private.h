/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-abi-private.h"
#include "io-memory-backing-private.h"

G_BEGIN_DECLS

/* One side's shared page and entries, mapped. Its geometry is kept here, read
 * or written once; what stands in the page later is never asked for it. */
typedef struct {
  IOMemoryBacking *backing;
  IOAbiRegion     *page;
  guint32          entry_count;
  guint64          start_index;

  /* of the client's region, where it can be written from here */
  _Atomic uint64_t *claim;
} IORegion;

/* Indices start shortly before 2^32, so that what happens when they pass it
 * happens in every run and not after months. */
#define IO_REGION_START_INDEX (G_GUINT64_CONSTANT (0x100000000) - 5)

/* What all regions of two sides have in common, for those that are laid out
 * otherwise. @backing is the caller's even where these fail. The owner makes the
 * page, maps it writable, fills it, and publishes it: it keeps its own one
 * sealed, and of the client's a map that only reads. */
guint8  *_io_region_make_page    (IOMemoryBacking **backing,
                                  const char       *name,
                                  IOAbiSide         side,
                                  gsize             size,
                                  GError          **error);
gboolean _io_region_publish_page (IOMemoryBacking  *backing,
                                  IOAbiSide         side,
                                  GError          **error);
/* The client maps it, and checks what is in it. Takes over @fd, also when it
 * fails. */
guint8  *_io_region_open_page    (IOMemoryBacking **backing,
                                  int               fd,
                                  IOAbiSide         side,
                                  gsize             size,
                                  GError          **error);

/* The least number of entries a ring for @queue_length buffers has. */
guint32  _io_region_entry_count (guint32     queue_length);
gsize    _io_region_get_size    (guint32     entry_count);
/* The owner makes both regions. Its own one is sealed at once; the client's is
 * mapped read-only here, and sealed when the client has mapped it. */
gboolean _io_region_create      (IORegion   *self,
                                 IOAbiSide   side,
                                 guint32     entry_count,
                                 guint64     start_index,
                                 GError    **error);
/* The client's region for an owner that takes back entries (io-claim-private.h):
 * the first page stays writable here, for the claim word and nothing else. */
gboolean _io_region_create_claimed (IORegion *self,
                                    guint32   entry_count,
                                    guint64   start_index,
                                    GError  **error);
gboolean _io_region_seal        (IORegion   *self,
                                 GError    **error);
/* The client maps what it got: checks first, and then never asks again. Takes
 * over @fd, also when it fails. */
gboolean _io_region_attach      (IORegion   *self,
                                 IOAbiSide   side,
                                 int         fd,
                                 guint32     entry_count,
                                 GError    **error);
void     _io_region_clear       (IORegion   *self);

G_END_DECLS
