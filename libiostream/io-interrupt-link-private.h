/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gunixfdlist.h>

#include "io-interrupt-region-private.h"
#include "io-notification-port-private.h"
#include "io-shared-interrupt-controller.h"
#include "io-user-client.h"

G_BEGIN_DECLS

/* One end of what an owner and a client of its share: two regions and a bell.
 * The owner's controller has one for each client, a client's has one. Counts
 * references, because streams cause through it; what it stands on goes with
 * _io_interrupt_link_end(). */
typedef struct _IOInterruptLink IOInterruptLink;

/* The owner's end; served by the context of @service. */
IOInterruptLink *_io_interrupt_link_new_owner  (IOSharedInterruptController  *controller,
                                                IOService                    *service,
                                                IOUserClient                 *client,
                                                GError                      **error);
/* The client's end; takes the three descriptors out of @fds. */
IOInterruptLink *_io_interrupt_link_new_client (IOSharedInterruptController  *controller,
                                                guint64                       cookie,
                                                GUnixFDList                  *fds,
                                                GError                      **error);
IOInterruptLink *_io_interrupt_link_ref        (IOInterruptLink              *self);
void             _io_interrupt_link_unref      (IOInterruptLink              *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (IOInterruptLink, _io_interrupt_link_unref)

/* The owner's ready end that has this cookie, with a reference; NULL if there
 * is none. Any thread. */
IOInterruptLink *_io_interrupt_link_find       (guint64                       cookie);
guint64          _io_interrupt_link_get_cookie (IOInterruptLink              *self);
guint            _io_interrupt_link_get_n_vectors (IOInterruptLink           *self);
/* Is it of the process that @client is of? */
gboolean         _io_interrupt_link_is_of      (IOInterruptLink              *self,
                                                IOUserClient                 *client);
IOUserClient    *_io_interrupt_link_peek_client (IOInterruptLink             *self);
IONotificationPort *_io_interrupt_link_peek_port (IOInterruptLink            *self);
gboolean         _io_interrupt_link_pass_fds   (IOInterruptLink              *self,
                                                GUnixFDList                  *fds,
                                                GError                      **error);
/* The client has mapped everything. */
gboolean         _io_interrupt_link_set_ready  (IOInterruptLink              *self,
                                                GError                      **error);
gboolean         _io_interrupt_link_is_ready   (IOInterruptLink              *self);
/* Any thread. FALSE if nobody is there. */
gboolean         _io_interrupt_link_cause      (IOInterruptLink              *self,
                                                guint                         vector);
/* Marks what the other end caused, with the lock of the controller held. */
void             _io_interrupt_link_scan_locked (IOInterruptLink             *self);
/* What makes its port sleep has changed. With the lock of the controller held. */
void             _io_interrupt_link_wake       (IOInterruptLink              *self);
/* Attaches its port to its context or takes it out. In its thread. */
void             _io_interrupt_link_serve      (IOInterruptLink              *self,
                                                gboolean                      serve);
/* In its thread, when the controller does not scan it any more. */
void             _io_interrupt_link_end        (IOInterruptLink              *self);

G_END_DECLS
