/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-interrupt-controller-private.h"

G_BEGIN_DECLS

/* The handlers of a vector are a chain that grows at its end and goes as a
 * whole: who holds the first one holds all. */
struct _IOInterruptAction {
  gatomicrefcount     ref_count;
  IOInterruptAction  *next;
  IOInterruptHandler  handler;   /* NULL: one of our own */
  IOInterruptFunc     func;
  gpointer            data;
  GDestroyNotify      destroy;
};

void _io_interrupt_action_unref                 (IOInterruptAction            *self);
/* After registered, enabled, pending or runner of a vector have changed. */
void _io_interrupt_controller_update_due_locked (IOInterruptControllerPrivate *priv,
                                                 guint                         vector);
/* Switches the source off if it need not be on. With the hooks locked. */
void _io_interrupt_controller_mask_vector       (IOInterruptController        *self,
                                                 guint                         vector);

G_END_DECLS
