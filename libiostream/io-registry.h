/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-error.h>

G_BEGIN_DECLS

#define IO_TYPE_REGISTRY (io_registry_get_type ())

IO_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (IORegistry, io_registry, IO, REGISTRY, GObject)

IO_AVAILABLE_IN_ALL
IORegistry      *io_registry_new                     (GVariant             *matching,
                                                      GError              **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
GVariant        *io_registry_get_matching            (IORegistry           *self);
IO_AVAILABLE_IN_ALL
GPtrArray       *io_registry_get_services            (IORegistry           *self) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
IORegistryEntry *io_registry_lookup_name             (IORegistry           *self,
                                                      const char           *name);

IO_AVAILABLE_IN_ALL
GPtrArray       *io_registry_list_services           (GVariant             *matching,
                                                      GError              **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
IORegistryEntry *io_registry_wait_for_service        (GVariant             *matching,
                                                      gint64                timeout,
                                                      GCancellable         *cancellable,
                                                      GError              **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
void             io_registry_wait_for_service_async  (GVariant             *matching,
                                                      gint64                timeout,
                                                      GCancellable         *cancellable,
                                                      GAsyncReadyCallback   callback,
                                                      gpointer              user_data);
IO_AVAILABLE_IN_ALL
IORegistryEntry *io_registry_wait_for_service_finish (GAsyncResult         *result,
                                                      GError              **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
