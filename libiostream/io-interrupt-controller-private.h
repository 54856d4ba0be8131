/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-interrupt-controller.h"

#include <stdatomic.h>

G_BEGIN_DECLS

typedef struct _IOInterruptAction IOInterruptAction;

/* What a handler of the library's own says. */
typedef enum {
  IO_INTERRUPT_NOTHING  = 0,
  IO_INTERRUPT_CONSUMED = 1 << 0, /* it was not for nothing */
  IO_INTERRUPT_AGAIN    = 1 << 1  /* there is more: call me in the next turn */
} IOInterruptResult;

typedef IOInterruptResult (*IOInterruptFunc) (IOInterruptController *self,
                                              guint                  vector,
                                              guint                  count,
                                              gpointer               data);

typedef struct {
  IOInterruptAction *action;       /* the first; NULL: not registered */
  GThread           *runner;       /* in whom the handlers run now; only compared */
  guint32            pending;
  gboolean           enabled;
  gboolean           hard_enabled; /* the source is on, as far as we know */
} IOInterruptVector;

#define IO_INTERRUPT_N_WORDS (IO_INTERRUPT_MAX_VECTORS / 64)

/* The table of the vectors (io-interrupt-table.c, and io-interrupt-register.c). */
typedef struct {
  guint              n_vectors;
  guint              fork_count;

  /* Taken before the lock: puts the hooks of the class in order, and lets them
   * call us. */
  GRecMutex          hook_lock;

  GMutex             lock;         /* for all below; not held over a callback */
  GCond              cond;         /* a handler returned */
  guint              n_waiters;
  IOInterruptVector *vectors;
  guint64            due[IO_INTERRUPT_N_WORDS];     /* to be handled */
  guint64            to_mask[IO_INTERRUPT_N_WORDS]; /* caused while disabled */
  gboolean           has_to_mask;
  atomic_uint        n_due;        /* looked at without the lock */
  atomic_uint        n_registered; /* likewise */
  GMainContext      *context;
  GSource           *source;       /* made when first needed */
  atomic_bool        handle_in_context;
  GCancellable      *kick;         /* ends the sleep of who waits; NULL: nobody ever did */

  /* Of the subclass that shares; NULL: none. */
  void             (*scan_locked)  (IOInterruptController *self); /* marks what others caused */
  void             (*changed)      (IOInterruptController *self); /* n_registered, handle_in_context */
} IOInterruptControllerPrivate;

IOInterruptControllerPrivate *_io_interrupt_controller_get_private (IOInterruptController *self);
/* Before anything is registered; the one of the calling thread otherwise. */
void     _io_interrupt_controller_set_context (IOInterruptController  *self,
                                               GMainContext           *context);
/* Range and process; @operation is for the message. */
gboolean _io_interrupt_controller_check       (IOInterruptController  *self,
                                               const char             *operation,
                                               guint                   vector,
                                               GError                **error);
gboolean _io_interrupt_controller_register    (IOInterruptController  *self,
                                               guint                   vector,
                                               IOInterruptFunc         func,
                                               gpointer                data,
                                               GError                **error);

/* Makes a vector pending, if it is registered. */
void     _io_interrupt_controller_mark_locked (IOInterruptController  *self,
                                               guint                   vector,
                                               guint32                 count);
/* Gives up the lock and does what marking leaves to be done. */
void     _io_interrupt_controller_unlock      (IOInterruptController  *self);
/* All three at once, and wakes. FALSE if the vector is not registered. */
gboolean _io_interrupt_controller_mark        (IOInterruptController  *self,
                                               guint                   vector);
/* Makes all vectors with a handler of the library's own pending, and wakes. */
void     _io_interrupt_controller_mark_own    (IOInterruptController  *self);
/* Who handles interrupts is to look. */
void     _io_interrupt_controller_wake        (IOInterruptController  *self);
/* Calls what is due, each vector at most once. Returns how many. */
guint    _io_interrupt_controller_run         (IOInterruptController  *self,
                                               gboolean               *consumed);
/* Forgets all handlers. */
void     _io_interrupt_controller_clear       (IOInterruptController  *self);

G_END_DECLS
