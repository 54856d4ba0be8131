/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-stream.h>
#include <libiostream/io-user-client.h>

G_BEGIN_DECLS

#define IO_TYPE_STREAM_USER_CLIENT (io_stream_user_client_get_type ())

IO_AVAILABLE_IN_ALL
G_DECLARE_DERIVABLE_TYPE (IOStreamUserClient, io_stream_user_client, IO, STREAM_USER_CLIENT, IOUserClient)

/**
 * IOStreamUserClientClass:
 * @parent_class: the parent class
 *
 * The class of #IOStreamUserClient adds no virtual methods.
 *
 * Since: 1.0
 */
struct _IOStreamUserClientClass {
  IOUserClientClass parent_class;

  /*< private >*/
  gpointer _reserved[8];
};

IO_AVAILABLE_IN_ALL
gboolean io_stream_user_client_is_running (IOStreamUserClient *self);
IO_AVAILABLE_IN_ALL
guint    io_stream_user_client_get_held   (IOStreamUserClient *self);
IO_AVAILABLE_IN_ALL
IOStreamDelivery io_stream_user_client_get_delivery (IOStreamUserClient *self);
IO_AVAILABLE_IN_ALL
IOStreamStatisticsAccess
         io_stream_user_client_get_statistics_access (IOStreamUserClient       *self);
IO_AVAILABLE_IN_ALL
void     io_stream_user_client_set_statistics_access (IOStreamUserClient       *self,
                                                      IOStreamStatisticsAccess  access);

G_END_DECLS
