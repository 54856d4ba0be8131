/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The attributes of a service. Any thread. */
typedef struct _IOAttributes IOAttributes;

IOAttributes *_io_attributes_new  (void);
void          _io_attributes_free (IOAttributes *self);
/* Takes a floating @value; %NULL removes. TRUE if that is a change of which
 * book is kept. */
gboolean      _io_attributes_set  (IOAttributes *self,
                                   const char   *key,
                                   GVariant     *value);
GVariant     *_io_attributes_get  (IOAttributes *self,
                                   const char   *key);
/* Whether book is kept of what changes. */
void          _io_attributes_track (IOAttributes *self,
                                   gboolean      on);
/* The names of what has changed since, as a set; NULL if nothing has. */
GHashTable   *_io_attributes_take_changes (IOAttributes *self);
/* The names of all, with references. */
GPtrArray    *_io_attributes_list (IOAttributes *self);
/* A full reference to an a{sv}. */
GVariant     *_io_attributes_copy (IOAttributes *self);
/* The same for others to read: in normal form, and without what is nested so
 * deep that they would not read it, nor anything that goes with it. */
GVariant     *_io_attributes_copy_readable (IOAttributes *self);
/* One of them. */
GVariant     *_io_attributes_get_readable (IOAttributes *self,
                                   const char   *key);

G_END_DECLS
