/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-connection-internal-private.h"
#include "io-names-wait-private.h"

G_BEGIN_DECLS

/* The way to an owner that may have still to come, or to come again: waits for
 * the name, connects, opens. It goes forward only by steps that never wait, so
 * that it does not matter who sleeps in between: a context, a thread, or
 * somebody else's loop. It makes one attempt when it begins, and after that one
 * for each time that something happens to the name. In the thread of the
 * connection. */

typedef enum {
  IO_REACH_WAITING,   /* for the name */
  IO_REACH_BUSY,      /* for an answer of the owner */
  IO_REACH_DONE,
  IO_REACH_FAILED     /* for good: another attempt would not help */
} IOReachState;

/* @connection and @wait are borrowed; the connection is not connected, or lost.
 * One at a time for a connection. The owner's answers have no time limit. */
IOReach     *_io_reach_new          (IOConnection  *connection,
                                     IONamesWait   *wait,
                                     gboolean       opens,
                                     guint          options);
/* Gives up what was begun: a connection that was lost is so again. May come from within a step, which then fails. */
void         _io_reach_free         (IOReach       *self);
/* The first attempt too waits until something happens to the name, which may
 * have been since the last attempt of whoever waited before with @wait. */
void         _io_reach_expect       (IOReach       *self);
/* The next attempt comes so much later. */
void         _io_reach_put_off      (IOReach       *self,
                                     guint          msec);
/* To be made ready when a step can be made. Borrowed. */
void         _io_reach_set_source   (IOReach       *self,
                                     GSource       *source);
/* It tells the properties of the connection, and so may call anybody: look
 * whether @self is still there. */
IOReachState _io_reach_step         (IOReach       *self,
                                     GError       **error);
/* The end of the last owner was not told when this one came. @reason is
 * borrowed. */
gboolean     _io_reach_is_untold    (IOReach       *self,
                                     const GError **reason);
/* To sleep on between two steps; -1 if there is nothing to sleep on. */
int          _io_reach_get_fd       (IOReach       *self);
/* Sleeps until a step can be made. FALSE when the time is over (TIMEOUT) or
 * cancelled, or when nobody could ever come while this thread sleeps. */
gboolean     _io_reach_sleep        (IOReach       *self,
                                     gint64         deadline,
                                     GCancellable  *cancellable,
                                     GError       **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (IOReach, _io_reach_free)

/* A source that does nothing but to call @func when it is made ready. */
GSource     *_io_reach_source_new   (const char    *name,
                                     GSourceFunc    func,
                                     gpointer       data,
                                     GDestroyNotify destroy);

/* Takes a new connection to its name there, which is taken over, and returned
 * if it comes there (io-connection-await.c). */
IOConnection *_io_connection_await       (IOConnection   *taken,
                                          gboolean        opens,
                                          guint           options,
                                          gint64          timeout,
                                          GCancellable   *cancellable,
                                          GError        **error);
/* The same; @task, which is taken over, returns the connection. */
void          _io_connection_await_async (IOConnection   *taken,
                                          gboolean        opens,
                                          guint           options,
                                          gint64          timeout,
                                          GTask          *task);

G_END_DECLS
