/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-action.h"
#include "io-protocol-private.h"

G_BEGIN_DECLS

/* One asynchronous call that has no answer yet: what an action, which may go in
 * any thread, and a user client, which may go at any time, know of each other.
 * Counts its references atomically. */
typedef struct _IOActionCall IOActionCall;

/* In the thread of the service, which is the one of the call from now on. The
 * user client ends the call before it goes. */
IOActionCall *_io_action_call_new        (IOUserClient  *client,
                                          GMainContext  *context,
                                          IOOpcode       opcode,
                                          guint32        serial,
                                          guint          selector,
                                          guint          max_scalars,
                                          guint32        max_structure);
IOActionCall *_io_action_call_ref        (IOActionCall  *self);
void          _io_action_call_unref      (IOActionCall  *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (IOActionCall, _io_action_call_unref)

/* What the method gets; there is one for each call. */
IOAction     *_io_action_new             (IOActionCall  *call);
/* The method failed: that is the answer, unless there was one. */
void          _io_action_call_fail       (IOActionCall  *self,
                                          const GError  *reason);
/* Nobody waits for it any more; @tell: but for the answer, which is ABORTED.
 * Emits IOAction::aborted if there was no answer. In the thread of the service. */
void          _io_action_call_abort      (IOActionCall  *self,
                                          gboolean       tell);

G_END_DECLS
