/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-notification-port-private.h"

G_BEGIN_DECLS

/* The inside of a notification port, for the three files that make it. */

typedef struct _IOContextSource IOContextSource;
typedef struct _IOPortPair      IOPortPair;

/* After so many wakes in a row that led to nothing, a peer is no longer
 * listened to but looked at by timer, until there is progress. */
#define IO_PORT_MAX_FRUITLESS 64
#define IO_PORT_MIN_DELAY     1   /* ms */
#define IO_PORT_MAX_DELAY     100 /* ms */

typedef enum {
  IO_PORT_NOTHING,
  IO_PORT_READY,
  IO_PORT_HUNG_UP,  /* and nothing left */
  IO_PORT_CLOSED
} IOPortLook;

/* Where a port is on its way to hang_up(). */
typedef enum {
  IO_PORT_CONNECTED,
  IO_PORT_HANGING_UP, /* noticed, what is left is being dispatched */
  IO_PORT_GONE        /* reported */
} IOPortHangUp;

struct _IONotificationPort {
  GObject                        parent_instance;

  /* Held by every thread but the context's while it uses what
   * _io_notification_port_invalidate() takes away, and while ringing. Not held
   * over a sleep. */
  GMutex                         lock;
  IOBell                         bell;
  const IONotificationPortFuncs *funcs;
  gpointer                       owner;
  IOPortPair                    *pair;     /* NULL: has funcs, or only a bell */
  guint                          side;     /* in the pair */
  guint32                        seen;     /* notifications of the pair taken */
  atomic_bool                    pending;  /* rung, and no is_ready() to ask */

  /* Sleepers on the descriptor in other threads, and free-standing sources. As
   * long as there are any, it is shut down but not closed. */
  guint                          n_users;
  int                            old_fd;

  /* In the context's thread; @source is set with the lock held as well. */
  IOContextSource               *source;
  GQueue                        *queue;    /* of the source; holds @link */
  GList                          link;
  GList                          wake_link;
  gboolean                       woken;    /* @wake_link is in use; lock of the source */
  gboolean                       dispatching;
  gboolean                       again;    /* the last dispatch consumed something */
  gboolean                       in_epoll;
  gboolean                       storming; /* rang again since the last look by timer */
  IOPortHangUp                   hang_up;
  guint                          n_last;   /* dispatches since it hung up */
  guint                          n_fruitless;
  guint                          delay;
  gint64                         due;
};

/* All four with the lock held, or in the thread of the context that the port
 * is attached to. */
gboolean     _io_notification_port_is_ready  (IONotificationPort *self);
IOPortLook   _io_notification_port_look      (IONotificationPort *self);
void         _io_notification_port_take      (IONotificationPort *self);
IOBellResult _io_notification_port_hear      (IONotificationPort *self);

/* FALSE if there is something already; else the bell is armed. */
gboolean     _io_notification_port_sleep     (IONotificationPort *self);
/* Keeps the descriptor open, -1 if it is closed. */
int          _io_notification_port_begin_use (IONotificationPort *self);
void         _io_notification_port_end_use   (IONotificationPort *self);

/* Any thread, with the lock of @port held. */
void         _io_context_source_wake         (IOContextSource    *self,
                                              IONotificationPort *port);

G_END_DECLS
