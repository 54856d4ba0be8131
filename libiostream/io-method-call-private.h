/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-connection-internal-private.h"
#include "io-external-method.h"

G_BEGIN_DECLS

/* One call of a method on its way, and what it carries: filled by the caller,
 * sent by io-connection-methods-send.c, and its answer read here. */
typedef struct {
  IOOpcode                  opcode;
  guint                     selector;
  guint64                   scalars[IO_EXTERNAL_METHOD_MAX_SCALARS];
  guint                     n_scalars;
  guint                     max_scalars;
  guint                     max_structure;
  GBytes                   *structure;      /* of a struct call; NULL for none */
  GVariant                 *parameters;     /* of a typed one */
  GVariantType             *reply_type;
  GBytes                   *large;          /* what goes through memory */
  GSource                  *cancel_source;  /* while it waits for that */

  IOConnectionProgressFunc  progress;
  gpointer                  progress_data;
  GDestroyNotify            progress_destroy;
} IOMethodCall;

typedef struct {
  guint64  scalars[IO_EXTERNAL_METHOD_MAX_SCALARS];
  guint    n_scalars;
  GBytes  *structure;
} IOMethodResult;

void            _io_method_call_clear        (IOMethodCall        *self);
void            _io_method_call_free         (IOMethodCall        *self);
void            _io_method_call_stop_waiting (IOMethodCall        *self);
gboolean        _io_method_call_is_typed     (const IOMethodCall  *self);
gboolean        _io_method_call_fill_struct  (IOConnection        *connection,
                                              IOMethodCall        *self,
                                              const guint64       *scalars,
                                              guint                n_scalars,
                                              GBytes              *structure,
                                              GError             **error);
gboolean        _io_method_call_fill_typed   (IOConnection        *connection,
                                              IOMethodCall        *self,
                                              GVariant            *parameters,
                                              const GVariantType  *reply_type,
                                              GError             **error);
/* Floating. */
GVariant       *_io_method_call_build_args   (const IOMethodCall  *self);
IOMethodResult *_io_method_call_read_struct  (IOConnection        *connection,
                                              IOMethodCall        *self,
                                              GVariant            *answer,
                                              GUnixFDList         *fds,
                                              GError             **error);
/* A full reference. */
GVariant       *_io_method_call_read_typed   (IOConnection        *connection,
                                              IOMethodCall        *self,
                                              GVariant            *answer,
                                              GUnixFDList         *fds,
                                              GError             **error);
void            _io_method_result_free       (IOMethodResult      *self);
/* Takes @reason over. It need not be the owner's fault. */
gboolean        _io_connection_refuse_memory (IOConnection        *self,
                                              IOOpcode             opcode,
                                              GError              *reason,
                                              GError             **error);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (IOMethodCall, _io_method_call_clear)

/* io-connection-methods-send.c */
/* The answer, or NULL with @error. */
GVariant *_io_connection_run_method_call (IOConnection  *self,
                                          IOMethodCall  *call,
                                          GUnixFDList  **fds,
                                          GCancellable  *cancellable,
                                          GError       **error);
/* Takes both over; the call is the task's data. */
void      _io_connection_start_method_call (GTask       *task,
                                          GError        *error);

G_END_DECLS
