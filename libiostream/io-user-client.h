/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-action.h>
#include <libiostream/io-external-method.h>
#include <libiostream/io-memory-descriptor.h>
#include <libiostream/io-notification-port.h>
#include <libiostream/io-service.h>

G_BEGIN_DECLS

#define IO_TYPE_USER_CLIENT (io_user_client_get_type ())

IO_AVAILABLE_IN_ALL
G_DECLARE_DERIVABLE_TYPE (IOUserClient, io_user_client, IO, USER_CLIENT, GObject)

/**
 * IOUserClientClass:
 * @parent_class: the parent class
 * @client_close: the client closes the connection in order. The default does
 *   nothing
 * @client_died: the client is gone without a word. The default calls
 *   @client_close
 * @client_memory_for_type: gives the memory that the client asks for, and sets
 *   in @flags how it may map it. The default is %IO_STREAM_ERROR_UNSUPPORTED
 * @client_queue_for_type: gives the queue that the client asks for, a new one
 *   each time. The default is %IO_STREAM_ERROR_UNSUPPORTED
 * @external_method: the client calls a method with scalars and a struct. The
 *   default looks into the dispatch table
 * @method: the client calls a typed method. The default calls what
 *   io_service_add_method() added
 * @trap: the client calls a trap: one number of 32 bits and no result. The
 *   default is %IO_STREAM_ERROR_BAD_ARGUMENT
 * @register_notification_port: the client asks for a port, and @port is the
 *   owner's end of it. The default is %IO_STREAM_ERROR_UNSUPPORTED
 * @message: takes what the service tells its clients. The default sends it to
 *   the other process
 *
 * The virtual methods of #IOUserClient. One of @client_close and @client_died
 * is called, once. All are called in the context of the service.
 *
 * Since: 1.0
 */
struct _IOUserClientClass {
  GObjectClass parent_class;

  void                (*client_close)           (IOUserClient      *self);
  void                (*client_died)            (IOUserClient      *self);
  IOMemoryDescriptor *(*client_memory_for_type) (IOUserClient      *self,
                                                 guint              type,
                                                 IOMemoryMapFlags  *flags,
                                                 GError           **error);
  IOSharedDataQueue  *(*client_queue_for_type)  (IOUserClient      *self,
                                                 guint              type,
                                                 GError           **error);
  gboolean            (*external_method)        (IOUserClient               *self,
                                                 guint                       selector,
                                                 IOExternalMethodArguments  *arguments,
                                                 GError                    **error);
  GVariant           *(*method)                 (IOUserClient      *self,
                                                 guint              selector,
                                                 GVariant          *parameters,
                                                 IOAction          *action,
                                                 GError           **error);
  gboolean            (*trap)                   (IOUserClient      *self,
                                                 guint              index,
                                                 guint32            token,
                                                 GError           **error);
  gboolean            (*register_notification_port) (IOUserClient        *self,
                                                     IONotificationPort  *port,
                                                     guint                type,
                                                     guint64              reference,
                                                     GError             **error);

  gboolean            (*message)                (IOUserClient      *self,
                                                 guint              type,
                                                 GVariant          *argument,
                                                 GError           **error);

  /*< private >*/
  gpointer _reserved[8];
};

IO_AVAILABLE_IN_ALL
IOService          *io_user_client_get_service     (IOUserClient      *self);
IO_AVAILABLE_IN_ALL
const char         *io_user_client_get_client_name (IOUserClient      *self);
IO_AVAILABLE_IN_ALL
guint               io_user_client_get_uid         (IOUserClient      *self);
IO_AVAILABLE_IN_ALL
guint               io_user_client_get_gid         (IOUserClient      *self);
IO_AVAILABLE_IN_ALL
int                 io_user_client_get_pid         (IOUserClient      *self);
IO_AVAILABLE_IN_ALL
gboolean            io_user_client_is_connected    (IOUserClient      *self);
IO_AVAILABLE_IN_ALL
gboolean            io_user_client_get_read_only   (IOUserClient      *self);
IO_AVAILABLE_IN_ALL
void                io_user_client_set_read_only   (IOUserClient      *self,
                                                    gboolean           read_only);
IO_AVAILABLE_IN_ALL
void                io_user_client_set_limits      (IOUserClient      *self,
                                                    guint              max_buffers,
                                                    guint64            max_bytes);
IO_AVAILABLE_IN_ALL
IOMemoryDescriptor *io_user_client_get_memory      (IOUserClient      *self,
                                                    guint              type,
                                                    IOMemoryMapFlags  *flags,
                                                    GError           **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
void                io_user_client_set_dispatch    (IOUserClient                    *self,
                                                    const IOExternalMethodDispatch  *table,
                                                    guint                            n_methods);
IO_AVAILABLE_IN_ALL
void                io_user_client_class_set_dispatch (IOUserClientClass               *klass,
                                                       const IOExternalMethodDispatch  *table,
                                                       guint                            n_methods);
IO_AVAILABLE_IN_ALL
void                io_user_client_terminate       (IOUserClient      *self,
                                                    const GError      *reason);

G_END_DECLS
