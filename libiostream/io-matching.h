/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-error.h>

G_BEGIN_DECLS

/**
 * IO_MATCHING_CLASS:
 *
 * The key of a matching for the class of a service, or one that its class
 * derives from: a string (kIOProviderClassKey).
 *
 * Since: 1.0
 */
#define IO_MATCHING_CLASS "IOProviderClass"

/**
 * IO_MATCHING_NAME:
 *
 * The key of a matching for the name of a service: a string, or an array of
 * them, any of which will do (kIONameMatchKey). The wildcards * and ? can be
 * used.
 *
 * Since: 1.0
 */
#define IO_MATCHING_NAME "IONameMatch"

/**
 * IO_MATCHING_PROPERTIES:
 *
 * The key of a matching for attributes: a dictionary of type a{sv}, or an array
 * of them, any of which will do (kIOPropertyMatchKey).
 *
 * Since: 1.0
 */
#define IO_MATCHING_PROPERTIES "IOPropertyMatch"

/**
 * IO_MATCHING_PROPERTIES_EXIST:
 *
 * The key of a matching for attributes of whatever value: a string, or an array
 * of them, all of which must be there (kIOPropertyExistsMatchKey).
 *
 * Since: 1.0
 */
#define IO_MATCHING_PROPERTIES_EXIST "IOPropertyExistsMatch"

/**
 * IO_MATCHING_ENTRY_ID:
 *
 * The key of a matching for one registration: an unsigned 64-bit number, from
 * io_registry_entry_get_id() (kIORegistryEntryIDKey).
 *
 * Since: 1.0
 */
#define IO_MATCHING_ENTRY_ID "IORegistryEntryID"

IO_AVAILABLE_IN_ALL
GVariant *io_matching_new_for_class    (const char  *class_name);
IO_AVAILABLE_IN_ALL
GVariant *io_matching_new_for_name     (const char  *name);
IO_AVAILABLE_IN_ALL
GVariant *io_matching_new_for_property (const char  *key,
                                        GVariant    *value);
IO_AVAILABLE_IN_ALL
GVariant *io_matching_new_for_entry_id (guint64      id);
IO_AVAILABLE_IN_ALL
gboolean  io_matching_check            (GVariant    *matching,
                                        GError     **error);

G_END_DECLS
