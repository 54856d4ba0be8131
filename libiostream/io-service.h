/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-error.h>

G_BEGIN_DECLS

/**
 * IOServiceInterestFunc:
 * @service: a service
 * @type: what is said: an #IOServiceMessageType, or a number of the kind of
 *   service
 * @argument: (nullable): what goes with it
 * @user_data: what was given to io_service_register_interest()
 *
 * Hears what a service tells its clients. In the thread of the service.
 *
 * Since: 1.0
 */
typedef void (*IOServiceInterestFunc) (IOService *service,
                                       guint      type,
                                       GVariant  *argument,
                                       gpointer   user_data);

#define IO_TYPE_SERVICE (io_service_get_type ())

IO_AVAILABLE_IN_ALL
G_DECLARE_DERIVABLE_TYPE (IOService, io_service, IO, SERVICE, GObject)

/**
 * IOServiceClass:
 * @parent_class: the parent class
 * @new_user_client: makes the object that stands for a new connection. The
 *   default makes an #IOUserClient
 * @handle_open: decides whether @client may have the service open, and makes
 *   what goes with it. The default lets one client at a time
 * @handle_close: takes down what @handle_open made. The default frees the
 *   place of @client
 * @handle_is_open: tells whether @client, or anybody if it is %NULL, has the
 *   service open. The default asks for what @handle_open kept
 * @authorize: class handler of #IOService::authorize. The default lets in
 *   processes of the same user
 * @client_opened: class handler of #IOService::client-opened
 * @client_closed: class handler of #IOService::client-closed
 * @client_died: class handler of #IOService::client-died
 * @terminated: class handler of #IOService::terminated
 * @message: takes a message of a client, or of anybody in this process. The
 *   default refuses all
 * @client_set_attribute: sets an attribute because a client asks for it. The
 *   default refuses all
 *
 * The virtual methods of #IOService. All are called in the context of the
 * service, with no lock held.
 *
 * Since: 1.0
 */
struct _IOServiceClass {
  GObjectClass parent_class;

  IOUserClient *(*new_user_client) (IOService     *self,
                                    GVariant      *properties,
                                    GError       **error);
  gboolean      (*handle_open)     (IOService     *self,
                                    IOUserClient  *client,
                                    guint          options,
                                    GError       **error);
  void          (*handle_close)    (IOService     *self,
                                    IOUserClient  *client,
                                    guint          options);
  gboolean      (*handle_is_open)  (IOService     *self,
                                    IOUserClient  *client);
  gboolean      (*authorize)       (IOService     *self,
                                    IOUserClient  *client);
  void          (*client_opened)   (IOService     *self,
                                    IOUserClient  *client);
  void          (*client_closed)   (IOService     *self,
                                    IOUserClient  *client);
  void          (*client_died)     (IOService     *self,
                                    IOUserClient  *client);
  void          (*terminated)      (IOService     *self);
  gboolean      (*message)         (IOService     *self,
                                    guint          type,
                                    IOUserClient  *client,
                                    GVariant      *argument,
                                    GError       **error);
  gboolean      (*client_set_attribute) (IOService     *self,
                                    IOUserClient  *client,
                                    const char    *key,
                                    GVariant      *value,
                                    GError       **error);

  /*< private >*/
  gpointer _reserved[8];
};

IO_AVAILABLE_IN_ALL
IOService  *io_service_new             (const char    *name) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
const char *io_service_get_name        (IOService     *self);
IO_AVAILABLE_IN_ALL
IOWorkLoop *io_service_get_work_loop   (IOService     *self);
IO_AVAILABLE_IN_ALL
void        io_service_set_attribute   (IOService     *self,
                                        const char    *key,
                                        GVariant      *value);
IO_AVAILABLE_IN_ALL
GVariant   *io_service_get_attribute   (IOService     *self,
                                        const char    *key) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
GVariant   *io_service_copy_attributes (IOService     *self) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
gboolean    io_service_open            (IOService     *self,
                                        IOUserClient  *client,
                                        guint          options,
                                        GError       **error);
IO_AVAILABLE_IN_ALL
void        io_service_close           (IOService     *self,
                                        IOUserClient  *client,
                                        guint          options);
IO_AVAILABLE_IN_ALL
gboolean    io_service_is_open         (IOService     *self,
                                        IOUserClient  *client);
IO_AVAILABLE_IN_ALL
gboolean    io_service_register        (IOService     *self,
                                        GError       **error);
IO_AVAILABLE_IN_ALL
gboolean    io_service_is_registered   (IOService     *self);
IO_AVAILABLE_IN_ALL
gboolean    io_service_add_socket      (IOService     *self,
                                        GSocket       *socket,
                                        GError       **error);
IO_AVAILABLE_IN_ALL
void        io_service_terminate       (IOService     *self);
IO_AVAILABLE_IN_ALL
void        io_service_terminate_async (IOService           *self,
                                        GCancellable        *cancellable,
                                        GAsyncReadyCallback  callback,
                                        gpointer             user_data);
IO_AVAILABLE_IN_ALL
gboolean    io_service_terminate_finish (IOService     *self,
                                        GAsyncResult  *result,
                                        GError       **error);
IO_AVAILABLE_IN_ALL
gint64      io_service_get_close_timeout (IOService    *self);
IO_AVAILABLE_IN_ALL
void        io_service_set_close_timeout (IOService    *self,
                                        gint64         timeout);
IO_AVAILABLE_IN_ALL
guint       io_service_get_socket_mode (IOService     *self);
IO_AVAILABLE_IN_ALL
GList      *io_service_get_clients     (IOService     *self) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
gboolean    io_service_message         (IOService     *self,
                                        guint          type,
                                        IOUserClient  *client,
                                        GVariant      *argument,
                                        GError       **error);
IO_AVAILABLE_IN_ALL
gboolean    io_service_message_client  (IOService     *self,
                                        IOUserClient  *client,
                                        guint          type,
                                        GVariant      *argument,
                                        GError       **error);
IO_AVAILABLE_IN_ALL
gboolean    io_service_message_clients (IOService     *self,
                                        guint          type,
                                        GVariant      *argument,
                                        GError       **error);
IO_AVAILABLE_IN_ALL
guint       io_service_register_interest (IOService             *self,
                                        IOServiceInterest      kind,
                                        IOServiceInterestFunc  func,
                                        gpointer               user_data,
                                        GDestroyNotify         destroy);
IO_AVAILABLE_IN_ALL
void        io_service_unregister_interest (IOService  *self,
                                        guint          id);
IO_AVAILABLE_IN_ALL
guint       io_service_get_busy_state  (IOService     *self);
IO_AVAILABLE_IN_ALL
void        io_service_adjust_busy     (IOService     *self,
                                        int            delta);
IO_AVAILABLE_IN_ALL
gboolean    io_service_wait_quiet      (IOService     *self,
                                        gint64         timeout,
                                        GCancellable  *cancellable,
                                        GError       **error);
IO_AVAILABLE_IN_ALL
gboolean    io_service_is_inactive     (IOService     *self);
IO_AVAILABLE_IN_ALL
char      **io_service_list_names      (GError       **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
