/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gunixfdlist.h>

#include "io-connection.h"
#include "io-protocol-private.h"

G_BEGIN_DECLS

/* A call that an open is to make next. */
typedef struct {
  IOOpcode  opcode;
  GVariant *args;   /* floating */
} IOConnectionCall;

/* What a kind of connection adds to the plain one; set in instance init. All
 * run in the thread of the connection, from a synchronous call or from its
 * context. */
typedef struct {
  /* Called with the answer to OPEN first, then with the answer to each call
   * it asked for. Fills @next and returns TRUE to go on; leaves @next->opcode
   * 0 when all is done; returns FALSE with @error set to give up (the
   * connection then sends CLOSE and calls @closed). @answer has the type that
   * the protocol gives the opcode. Shared by synchronous and asynchronous
   * opens. */
  gboolean (*open_step) (IOConnection      *self,
                         IOOpcode           opcode,
                         GVariant          *answer,
                         GUnixFDList       *fds,
                         IOConnectionCall  *next,
                         GError           **error);
  /* The open is over (closed, failed half way, or the owner is gone): release
   * what it had. May be called when nothing was open. */
  void     (*closed)    (IOConnection      *self);
  /* An event came; delivered in the context of the connection. */
  void     (*event)     (IOConnection      *self,
                         IOOpcode           opcode,
                         GVariant          *body);
} IOConnectionHooks;

void      _io_connection_set_hooks   (IOConnection             *self,
                                      const IOConnectionHooks  *hooks);
/* One call and its answer, waiting no longer than the timeout of the
 * connection, without running a main context. */
GVariant *_io_connection_call        (IOConnection             *self,
                                      IOOpcode                  opcode,
                                      GVariant                 *args,
                                      GCancellable             *cancellable,
                                      GError                  **error);
/* The same for the callers of GTask: returns a GVariant (or an error) through
 * @task, which is taken over. */
void      _io_connection_call_async  (IOConnection             *self,
                                      IOOpcode                  opcode,
                                      GVariant                 *args,
                                      GTask                    *task);
/* The connection is broken: keeps @error (taken over; NULL for a clean end) as
 * the reason, ends every call with it, and emits #IOConnection::disconnected
 * once, from the context. Any thread of the connection. */
void      _io_connection_fail        (IOConnection             *self,
                                      GError                   *error);
GMainContext *_io_connection_get_context (IOConnection         *self);
gboolean  _io_connection_in_own_process (IOConnection          *self);
/* Looks, without blocking, whether the control socket says something; for
 * loops that never run the context. Handles what is there. */
void      _io_connection_poll        (IOConnection             *self);

G_END_DECLS
