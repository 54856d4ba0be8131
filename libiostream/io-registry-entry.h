/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-error.h>

G_BEGIN_DECLS

#define IO_TYPE_REGISTRY_ENTRY (io_registry_entry_get_type ())

IO_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (IORegistryEntry, io_registry_entry, IO, REGISTRY_ENTRY, GObject)

IO_AVAILABLE_IN_ALL
const char   *io_registry_entry_get_name          (IORegistryEntry  *self);
IO_AVAILABLE_IN_ALL
const char   *io_registry_entry_get_service_class (IORegistryEntry  *self);
IO_AVAILABLE_IN_ALL
guint64       io_registry_entry_get_id            (IORegistryEntry  *self);
IO_AVAILABLE_IN_ALL
int           io_registry_entry_get_pid           (IORegistryEntry  *self);
IO_AVAILABLE_IN_ALL
GVariant     *io_registry_entry_copy_attributes   (IORegistryEntry  *self) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
GVariant     *io_registry_entry_get_attribute     (IORegistryEntry  *self,
                                                   const char       *key) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
gboolean      io_registry_entry_conforms_to       (IORegistryEntry  *self,
                                                   const char       *class_name);
IO_AVAILABLE_IN_ALL
gboolean      io_registry_entry_matches           (IORegistryEntry  *self,
                                                   GVariant         *matching);
IO_AVAILABLE_IN_ALL
gboolean      io_registry_entry_is_inactive       (IORegistryEntry  *self);
IO_AVAILABLE_IN_ALL
IOConnection *io_registry_entry_create_connection (IORegistryEntry  *self,
                                                   GCancellable     *cancellable,
                                                   GError          **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
