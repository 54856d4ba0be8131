/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-interrupt-controller-private.h"
#include "io-interrupt-link-private.h"
#include "io-protocol-private.h"
#include "io-shared-interrupt-controller.h"

G_BEGIN_DECLS

struct _IOSharedInterruptController {
  IOInterruptController  parent_instance;

  GPtrArray             *links;     /* of IOInterruptLink, under the lock of the parent */
  gboolean               is_client; /* the end of a client: one link, or none any more */
};

/* The client's end. */
IOSharedInterruptController *
                 _io_shared_interrupt_controller_new_client (guint                         n_vectors,
                                                             GMainContext                 *context);
/* Takes over @link. */
void             _io_shared_interrupt_controller_add       (IOSharedInterruptController  *self,
                                                            IOInterruptLink              *link);
/* The link is over: forgets and ends it; a client's streams are told. */
void             _io_shared_interrupt_controller_lose      (IOSharedInterruptController  *self,
                                                            IOInterruptLink              *link);
/* With a reference; NULL client: the first one. */
IOInterruptLink *_io_shared_interrupt_controller_find_link (IOSharedInterruptController  *self,
                                                            IOUserClient                 *client);
/* Answers GET_INTERRUPTS and INTERRUPTS_READY. */
GVariant        *_io_shared_interrupt_controller_answer    (IOUserClient                 *client,
                                                            IOOpcode                      opcode,
                                                            GUnixFDList                 **fds,
                                                            GError                      **error);

G_END_DECLS
