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
  /* The open is over (closed, failed half way, hung up, or the owner is gone):
   * release what it had. Called once for each OPEN that the owner did not
   * refuse; when the owner is gone, from the context just before
   * #IOConnection::disconnected, or earlier from close() and hang_up(). May
   * come from the dispose of the connection, after that of the subclass. */
  void     (*closed)    (IOConnection      *self);
  /* What OPEN is to say beside the options. */
  void     (*add_options) (IOConnection    *self,
                           GVariantDict    *options);
  /* close(), hang_up() or dispose: whatever goes on by itself has to end. NULL
   * if nothing does. */
  void     (*give_up)   (IOConnection      *self);
} IOConnectionHooks;

/* The owner answered what cannot be. */
void      _io_connection_set_breach  (IOConnection             *self,
                                      GError                  **error,
                                      const char               *operation,
                                      const char               *format,
                                      ...) G_GNUC_PRINTF (4, 5);
void      _io_connection_set_hooks   (IOConnection             *self,
                                      const IOConnectionHooks  *hooks);
/* One call and its answer, waiting no longer than the timeout of the
 * connection, without running a main context. */
GVariant *_io_connection_call        (IOConnection             *self,
                                      IOOpcode                  opcode,
                                      GVariant                 *args,
                                      GCancellable             *cancellable,
                                      GError                  **error);
/* The same with the descriptors that came with the answer (NULL if none did);
 * the caller owns the list, which closes them. */
GVariant *_io_connection_call_with_fds (IOConnection           *self,
                                      IOOpcode                  opcode,
                                      GVariant                 *args,
                                      GUnixFDList             **fds,
                                      GCancellable             *cancellable,
                                      GError                  **error);
/* The same for the callers of GTask: returns a GVariant (or an error) through
 * @task, which is taken over. The descriptors are borrowed from @task. */
void      _io_connection_call_async  (IOConnection             *self,
                                      IOOpcode                  opcode,
                                      GVariant                 *args,
                                      GTask                    *task);
GUnixFDList *_io_connection_peek_task_fds (GTask               *task);
/* The connection is broken: keeps @error (taken over; NULL for a clean end) as
 * the reason, ends every call with it, and emits #IOConnection::disconnected
 * once, from the context. Any thread of the connection. */
void      _io_connection_fail        (IOConnection             *self,
                                      GError                   *error);
GMainContext *_io_connection_get_context (IOConnection         *self);
gboolean  _io_connection_in_own_process (IOConnection          *self);
/* Looks, without blocking, whether the control socket says something; for
 * loops that never run the context. What ends the connection is known at once
 * (is_connected(), get_error()); ::disconnected waits for the context. */
void      _io_connection_poll        (IOConnection             *self);

G_END_DECLS
