/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gunixfdlist.h>

#include "io-memory-backing-private.h"

G_BEGIN_DECLS

/* Structs and values on their way through a packet, or through shared memory
 * if they are larger. That memory is read and written with system calls alone:
 * what the other side does to it meanwhile is an error, and no SIGBUS. */

#define IO_METHOD_MAX_INLINE 4096

/* A copy that nobody else can change; @length is within the memory. */
GBytes          *_io_method_data_copy       (IOMemoryBacking     *backing,
                                             gsize                length,
                                             GError             **error);
gboolean         _io_method_data_store      (IOMemoryBacking     *backing,
                                             GBytes              *data,
                                             GError             **error);
/* Puts what is too large for a packet into a new memory for the answer. */
gboolean         _io_method_data_attach     (GBytes              *data,
                                             GUnixFDList        **fds,
                                             GError             **error);
/* The other way: @length is what the answer says. The memory must be sealed. */
GBytes          *_io_method_data_detach     (GUnixFDList         *fds,
                                             guint64              length,
                                             GError             **error);
/* A floating ay. */
GVariant        *_io_method_data_new_inline (GBytes              *data);
GBytes          *_io_method_data_get_inline (GVariant            *array);

/* MESSAGE_TOO_LARGE if the other side would be held up by looking at @value. */
gboolean         _io_method_data_check_value (GVariant           *value,
                                             GError             **error);
/* The serialised form, if @value is too large for a packet; else NULL. */
GBytes          *_io_method_data_flatten    (GVariant            *value);
/* A full reference. NULL if @type or @data are nothing of the kind. */
GVariant        *_io_method_data_unflatten  (const char          *type,
                                             GBytes              *data);

G_END_DECLS
