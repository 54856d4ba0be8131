/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-action.h>
#include <libiostream/io-service.h>

G_BEGIN_DECLS

/**
 * IOServiceMethodFunc:
 * @service: the service
 * @client: the client that calls
 * @selector: the number of the method
 * @parameters: what the client gives. Its type is what the client chose: look
 *   at it first, with g_variant_is_of_type()
 * @action: (nullable): how to answer later, if the client called
 *   asynchronously; take a reference to do so. %NULL if it waits
 * @user_data: what was given to io_service_add_method()
 * @error: return location for an error, which the client gets
 *
 * A typed method of a service. In the thread of the service.
 *
 * Returns: (transfer full) (nullable): the answer; taken over if floating.
 *   %NULL without an error is the empty tuple if the client waits; if there is
 *   an @action, that is what answers
 * Since: 1.0
 */
typedef GVariant *(*IOServiceMethodFunc) (IOService     *service,
                                          IOUserClient  *client,
                                          guint          selector,
                                          GVariant      *parameters,
                                          IOAction      *action,
                                          gpointer       user_data,
                                          GError       **error);

IO_AVAILABLE_IN_ALL
void     io_service_add_method    (IOService            *self,
                                   guint                 selector,
                                   IOServiceMethodFunc   func,
                                   gpointer              user_data,
                                   GDestroyNotify        destroy);
IO_AVAILABLE_IN_ALL
gboolean io_service_remove_method (IOService            *self,
                                   guint                 selector);

G_END_DECLS
