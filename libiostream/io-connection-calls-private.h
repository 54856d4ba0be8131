/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-connection-internal-private.h"

G_BEGIN_DECLS

/* What io-connection-calls.c, the calls that have no answer yet, shares with
 * io-connection-calls-async.c and io-connection-calls-sync.c. */

struct _IOCall {
  IOConnection           *self;     /* a reference, if asynchronous */
  guint32                 serial;
  IOOpcode                opcode;
  gint64                  deadline; /* monotonic, -1 for none */
  gboolean                sync;
  gboolean                direct;   /* the answer is not left to the context */
  gboolean                action;   /* the answer may take as long as it likes */
  IOConnectionAnswerFunc  progress; /* NULL: nobody listens */
  guint                   n_due;    /* reports in the inbox */
  IOConnectionAnswerFunc  func;     /* NULL: given up, the answer is ignored */
  gpointer                data;
  GSource                *cancel_source;

  GVariant               *answer;
  GUnixFDList            *fds;
  GError                 *error;
};

/* Sends a call, and is its place until the answer. @sync: nothing is kept alive
 * by it. NULL with @error. */
IOCall     *_io_connection_begin_call   (IOConnection            *self,
                                         IOOpcode                 opcode,
                                         GVariant                *args,
                                         gboolean                 sync,
                                         IOConnectionAnswerFunc   func,
                                         gpointer                 data,
                                         GError                 **error);
/* Takes the call out of the table and leaves word that its answer, which may
 * still come, is to be ignored. */
IOCall     *_io_connection_give_up_call (IOConnection            *self,
                                         guint32                  serial);
/* There is an answer, or an error, which goes to who waits for it. */
void        _io_call_complete           (IOConnection            *self,
                                         IOCall                  *call);
GError     *_io_connection_new_timeout_error (IOConnection       *self,
                                         IOOpcode                 opcode);

G_END_DECLS
