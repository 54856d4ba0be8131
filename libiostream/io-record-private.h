/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What the owner of a name writes about its service into the lock file, and
 * whoever looks reads there. */

#define IO_RECORD_MAX_SIZE    65536
#define IO_RECORD_MAX_CLASSES 64

/* The attributes would not have fitted, and are not there. */
#define IO_RECORD_NO_ATTRIBUTES (1u << 0)

typedef struct {
  guint64    id;             /* of this registration of the name, random */
  gint64     time;           /* of the last registering, of the monotonic clock */
  guint32    registrations;
  guint32    flags;
  int        pid;            /* not in the file: who holds the lock, 0 if unknown */
  char     **classes;        /* its own first, IOService last */
  GVariant  *attributes;     /* a{sv} */
} IORecord;

/* Takes @classes over. */
IORecord *_io_record_new    (char           **classes,
                             GVariant        *attributes);
IORecord *_io_record_ref    (IORecord        *self);
void      _io_record_unref  (IORecord        *self);
/* ... and says so in the flags. */
void      _io_record_leave_out_attributes (IORecord *self);
/* Leaves the attributes out if they are too large. NULL: it does not fit even
 * so. */
GBytes   *_io_record_encode (IORecord        *self);
/* NULL if this is no record. @data may be anything. */
IORecord *_io_record_decode (gconstpointer    data,
                             gsize            size);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (IORecord, _io_record_unref)

G_END_DECLS
