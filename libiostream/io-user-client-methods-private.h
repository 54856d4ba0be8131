/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-memory-backing-private.h"
#include "io-notification-port.h"
#include "io-user-client-private.h"

G_BEGIN_DECLS

/* What the files of the methods of #IOUserClient share: io-user-client-methods.c
 * reads and answers, io-user-client-dispatch.c finds what to call,
 * io-user-client-actions.c has the calls that are answered later, and
 * io-user-client-ports.c the ports. */

typedef struct {
  const IOExternalMethodDispatch *rows;   /* borrowed: static */
  guint                           n_rows;
} IODispatchTable;

typedef struct {
  guint               type;
  IONotificationPort *port;
} IOTypedPort;

/* What only a client that calls methods needs. */
struct _IOUserClientMethods {
  IODispatchTable  table;
  IOMemoryBacking *transfer;   /* where the client puts large arguments */
  GArray          *ports;      /* of IOTypedPort */
  GHashTable      *actions;    /* serial -> IOActionCall */
};

/* io-user-client-methods.c */
IOUserClientMethods *_io_user_client_ensure_methods (IOUserClient *self);
/* A virtual method that fails without saying why. */
gboolean  _io_user_client_check_failure  (IOUserClient               *self,
                                          const char                 *what,
                                          guint                       number,
                                          gboolean                    ok,
                                          GError                    **error);
gboolean  _io_user_client_run_external_method (IOUserClient          *self,
                                          IOExternalMethodArguments  *arguments,
                                          GError                    **error);
IOExternalMethodArguments *_io_user_client_read_arguments (IOUserClient *self,
                                          GVariant                   *args,
                                          GError                    **error);
/* A full reference. */
GVariant *_io_user_client_read_parameters (IOUserClient              *self,
                                          GVariant                   *args,
                                          guint                      *selector,
                                          GError                    **error);

/* io-user-client-actions.c */
GVariant *_io_user_client_answer_cancel  (IOUserClient               *self,
                                          GVariant                   *args);

/* io-user-client-ports.c */
GVariant *_io_user_client_answer_get_port (IOUserClient              *self,
                                          GVariant                   *args,
                                          GUnixFDList               **fds,
                                          GError                    **error);
void      _io_user_client_drop_ports     (IOUserClientMethods        *methods);

G_END_DECLS
