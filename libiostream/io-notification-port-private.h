/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-bell-private.h"
#include "io-notification-port.h"

G_BEGIN_DECLS

/* What a port asks of the object it wakes (a connection, a stream's client). */
typedef struct {
  /* Is there something new since the last dispatch? Cheap; any thread; takes no
   * lock under which a port is rung or woken. NULL: only rings of the bell
   * count. */
  gboolean (*is_ready) (gpointer owner);
  /* Handles what is there, bounded. TRUE if something was consumed. Only in
   * the context the port is attached to. May detach, invalidate, or drop the
   * last reference to the port and the owner. */
  gboolean (*dispatch) (gpointer owner);
  /* The other end is gone; once, after a last dispatch. As dispatch. */
  void     (*hang_up)  (gpointer owner);
  /* Shall the other side ring at all while this one sleeps? If not, it is not
   * dispatched either, only hang_up() comes. As is_ready; call
   * _io_notification_port_wake() when the answer changes. NULL: yes. */
  gboolean (*wants_ring) (gpointer owner);
} IONotificationPortFuncs;

/* Whether it can help to look again for a while before a sleep: with one
 * processor nobody does anything meanwhile. */
gboolean            _io_notification_port_may_spin   (void);
/* Takes over @fd. The words must stay mapped until the port is invalidated.
 * @owner is borrowed: it invalidates the port before it goes. */
IONotificationPort *_io_notification_port_new        (int                            fd,
                                                      _Atomic uint32_t              *own_word,
                                                      const _Atomic uint32_t        *peer_word,
                                                      const IONotificationPortFuncs *funcs,
                                                      gpointer                       owner);
/* Serves the port from the one source that @context has for all of them.
 * Context thread only. */
void                _io_notification_port_attach     (IONotificationPort            *self,
                                                      GMainContext                  *context);
void                _io_notification_port_detach     (IONotificationPort            *self);
gboolean            _io_notification_port_is_attached (IONotificationPort           *self);
/* Closes the bell and forgets words and owner; whoever holds the port meets
 * %IO_STREAM_ERROR_NOT_OPEN from now on. Also detaches. */
void                _io_notification_port_invalidate (IONotificationPort            *self);
/* The hot path of io_notification_port_send_notification(): FALSE if the peer
 * is gone. Any thread that keeps the port from being invalidated meanwhile. */
gboolean            _io_notification_port_ring       (IONotificationPort            *self);
/* Something changed that makes is_ready TRUE without a ring of the peer. Any
 * thread. */
void                _io_notification_port_wake       (IONotificationPort            *self);

G_END_DECLS
