/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* An equal value, in normal form and known to be so; NULL if @value, which may
 * be of a peer, is in another form. A full reference.
 *
 * GVariant looks at each byte of an array of bytes by a call of its own, though
 * any byte will do. This does not, for arrays of numbers that are the value or
 * lie within tuples and variants, to some depth. */
GVariant *_io_variant_to_trusted (GVariant *value);
/* The same, but makes the normal form if need be. */
GVariant *_io_variant_to_normal  (GVariant *value);
/* How many bytes of @value these two must look at one by one. */
gsize     _io_variant_get_walked_size (GVariant *value);

G_END_DECLS
