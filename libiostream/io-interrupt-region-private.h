/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-abi-private.h"
#include "io-memory-backing-private.h"

G_BEGIN_DECLS

/* One side's counters, mapped. */
typedef struct {
  IOMemoryBacking      *backing;
  IOAbiInterruptRegion *page;
  guint                 n_vectors;
} IOInterruptRegion;

/* What this side has seen of the other one's counters. The groups are looked at
 * by any thread; all else belongs to who scans. */
typedef struct {
  _Atomic guint32 groups[IO_ABI_INTERRUPT_GROUPS];
  guint32         vectors[];
} IOInterruptSeen;

typedef void (*IOInterruptScanFunc) (guint    vector,
                                     guint32  count,
                                     gpointer data);

gsize            _io_interrupt_region_get_size (guint                n_vectors);
/* The owner makes both regions. Its own one is sealed at once; the client's is
 * mapped read-only here, and sealed when the client has mapped it. */
gboolean         _io_interrupt_region_create   (IOInterruptRegion   *self,
                                                IOAbiSide            side,
                                                guint                n_vectors,
                                                GError             **error);
gboolean         _io_interrupt_region_seal     (IOInterruptRegion   *self,
                                                GError             **error);
/* The client maps what it got: checks first, and then never asks again. Takes
 * over @fd, also when it fails. */
gboolean         _io_interrupt_region_attach   (IOInterruptRegion   *self,
                                                IOAbiSide            side,
                                                int                  fd,
                                                guint                n_vectors,
                                                GError             **error);
void             _io_interrupt_region_clear    (IOInterruptRegion   *self);
/* Publishes; the caller then fences and rings. */
void             _io_interrupt_region_cause    (IOInterruptRegion   *self,
                                                guint                vector);

IOInterruptSeen *_io_interrupt_seen_new        (guint                n_vectors);
/* Is there a group to scan? Any thread. */
gboolean         _io_interrupt_region_has_news (IOInterruptRegion   *self,
                                                IOInterruptSeen     *seen);
/* Calls @func for each vector whose counter differs from what was seen. One
 * pass: what changes behind it is found by the next. */
void             _io_interrupt_region_scan     (IOInterruptRegion   *self,
                                                IOInterruptSeen     *seen,
                                                IOInterruptScanFunc  func,
                                                gpointer             data);

G_END_DECLS
