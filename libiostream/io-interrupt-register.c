/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-interrupt-table-private.h"

/* Who gets into the table of the vectors, and out of it again. */

static IOInterruptControllerPrivate *
get_private (IOInterruptController *self)
{
  return _io_interrupt_controller_get_private (self);
}

static gboolean
set_unregistered_error (const char  *operation,
                        guint        vector,
                        GError     **error)
{
  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_INTERRUPT,
               "Cannot %s interrupt %u: it is not registered", operation, vector);
  return FALSE;
}

static gboolean
append_action (IOInterruptController  *self,
               guint                   vector,
               IOInterruptAction      *action,
               gboolean                shared)
{
  IOInterruptControllerPrivate *priv = get_private (self);
  IOInterruptAction **link = &priv->vectors[vector].action;
  gboolean done;

  g_mutex_lock (&priv->lock);
  done = *link == NULL || shared;
  if (*link == NULL)
    priv->n_registered++;
  while (done && *link != NULL)
    link = &(*link)->next;
  if (done)
    *link = action;
  g_mutex_unlock (&priv->lock);

  return done;
}

/* What a subclass says may come without an error. */
static gboolean
init_vector (IOInterruptController  *self,
             guint                   vector,
             GError                **error)
{
  g_autoptr (GError) local_error = NULL;

  if (IO_INTERRUPT_CONTROLLER_GET_CLASS (self)->init_vector (self, vector, &local_error))
    return TRUE;

  if (local_error == NULL)
    g_set_error (&local_error, IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED,
                 "%s failed to prepare interrupt %u", G_OBJECT_TYPE_NAME (self), vector);
  g_propagate_error (error, g_steal_pointer (&local_error));

  return FALSE;
}

/* With the hooks locked. */
static gboolean
add_action (IOInterruptController  *self,
            guint                   vector,
            IOInterruptAction      *action,
            GError                **error)
{
  IOInterruptControllerPrivate *priv = get_private (self);
  IOInterruptControllerClass *klass = IO_INTERRUPT_CONTROLLER_GET_CLASS (self);
  gboolean taken;

  g_mutex_lock (&priv->lock);
  taken = priv->vectors[vector].action != NULL;
  g_mutex_unlock (&priv->lock);

  if (!taken && !init_vector (self, vector, error))
    return FALSE;
  if (append_action (self, vector, action, taken && klass->vector_can_be_shared (self, vector)))
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES,
               "Cannot register interrupt %u: it is registered already, and %s does not share it",
               vector, G_OBJECT_TYPE_NAME (self));
  return FALSE;
}

static gboolean
register_action (IOInterruptController  *self,
                 guint                   vector,
                 IOInterruptAction      *action,
                 GError                **error)
{
  IOInterruptControllerPrivate *priv = get_private (self);
  gboolean done;

  if (!_io_interrupt_controller_check (self, "register", vector, error))
    return FALSE;

  g_rec_mutex_lock (&priv->hook_lock);
  done = add_action (self, vector, action, error);
  g_rec_mutex_unlock (&priv->hook_lock);

  if (done && priv->changed != NULL)
    priv->changed (self);

  return done;
}

static IOInterruptAction *
action_new (IOInterruptHandler handler,
            IOInterruptFunc    func,
            gpointer           data,
            GDestroyNotify     destroy)
{
  IOInterruptAction *self = g_new0 (IOInterruptAction, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->handler = handler;
  self->func = func;
  self->data = data;
  self->destroy = destroy;

  return self;
}

gboolean
_io_interrupt_controller_register (IOInterruptController  *self,
                                   guint                   vector,
                                   IOInterruptFunc         func,
                                   gpointer                data,
                                   GError                **error)
{
  IOInterruptAction *action = action_new (NULL, func, data, NULL);

  if (register_action (self, vector, action, error))
    return TRUE;

  _io_interrupt_action_unref (action);
  return FALSE;
}

/* Waits until the handlers of the vector do not run any more, unless that is
 * us. Without the hooks locked: the handler may want them. */
static void
wait_for_runner (IOInterruptControllerPrivate *priv,
                 guint                         vector)
{
  IOInterruptVector *row = &priv->vectors[vector];

  g_mutex_lock (&priv->lock);
  priv->n_waiters++;
  while (row->runner != NULL && row->runner != g_thread_self ())
    g_cond_wait (&priv->cond, &priv->lock);
  priv->n_waiters--;
  g_mutex_unlock (&priv->lock);
}

/* With the hooks locked. */
static IOInterruptAction *
remove_actions (IOInterruptController *self,
                guint                  vector)
{
  IOInterruptControllerPrivate *priv = get_private (self);
  IOInterruptVector *row = &priv->vectors[vector];
  IOInterruptAction *first;

  g_mutex_lock (&priv->lock);
  first = g_steal_pointer (&row->action);
  row->enabled = FALSE;
  row->pending = 0;
  if (first != NULL)
    priv->n_registered--;
  _io_interrupt_controller_update_due_locked (priv, vector);
  g_mutex_unlock (&priv->lock);

  if (first != NULL)
    _io_interrupt_controller_mask_vector (self, vector);

  return first;
}

void
_io_interrupt_controller_clear (IOInterruptController *self)
{
  IOInterruptControllerPrivate *priv = get_private (self);

  for (guint vector = 0; vector < priv->n_vectors; vector++)
    {
      IOInterruptAction *first;

      g_mutex_lock (&priv->lock);
      first = g_steal_pointer (&priv->vectors[vector].action);
      priv->vectors[vector].pending = 0;
      if (first != NULL)
        priv->n_registered--;
      _io_interrupt_controller_update_due_locked (priv, vector);
      g_mutex_unlock (&priv->lock);
      _io_interrupt_action_unref (first);
    }
}

/**
 * io_interrupt_controller_register_interrupt:
 * @self: an interrupt controller
 * @vector: the vector
 * @handler: (scope notified) (closure user_data) (destroy destroy): called when
 *   the vector was caused
 * @user_data: passed to @handler
 * @destroy: (nullable): called with @user_data when it is not needed any more,
 *   also if this fails
 * @error: return location for an error
 *
 * Registers a handler. The vector starts disabled: what is caused stays pending
 * until io_interrupt_controller_enable_interrupt().
 *
 * A vector takes one handler, unless
 * #IOInterruptControllerClass.vector_can_be_shared() says otherwise: then there
 * can be more, which are called in the order in which they came, are enabled
 * and disabled together, and go together. Who wants a state of his own takes a
 * vector of his own.
 *
 * Any thread. Fails with %IO_STREAM_ERROR_NO_INTERRUPT if there is no such
 * vector, %IO_STREAM_ERROR_NO_RESOURCES if it is registered already,
 * %IO_STREAM_ERROR_NOT_OPEN in a forked child, and with what
 * #IOInterruptControllerClass.init_vector() says. Apple's registerInterrupt(),
 * without a nub: the vector is named.
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_interrupt_controller_register_interrupt (IOInterruptController  *self,
                                            guint                   vector,
                                            IOInterruptHandler      handler,
                                            gpointer                user_data,
                                            GDestroyNotify          destroy,
                                            GError                **error)
{
  IOInterruptAction *action;

  g_return_val_if_fail (IO_IS_INTERRUPT_CONTROLLER (self), FALSE);
  g_return_val_if_fail (handler != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  action = action_new (handler, NULL, user_data, destroy);
  if (register_action (self, vector, action, error))
    return TRUE;

  _io_interrupt_action_unref (action);
  return FALSE;
}

/**
 * io_interrupt_controller_unregister_interrupt:
 * @self: an interrupt controller
 * @vector: the vector
 * @error: return location for an error
 *
 * Forgets the handlers of a vector, and what is pending of it. A handler that
 * runs in another thread has returned when this does. Inside of the handler
 * itself nobody waits (Apple's would wait for itself); it is just not called
 * again. If nothing is registered this is a success that does nothing.
 *
 * Any thread, but do not hold a lock that the handler takes. Fails with
 * %IO_STREAM_ERROR_NO_INTERRUPT if there is no such vector, and
 * %IO_STREAM_ERROR_NOT_OPEN in a forked child. Apple's unregisterInterrupt().
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_interrupt_controller_unregister_interrupt (IOInterruptController  *self,
                                              guint                   vector,
                                              GError                **error)
{
  IOInterruptControllerPrivate *priv;
  IOInterruptAction *first;

  g_return_val_if_fail (IO_IS_INTERRUPT_CONTROLLER (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!_io_interrupt_controller_check (self, "unregister", vector, error))
    return FALSE;

  priv = get_private (self);
  g_rec_mutex_lock (&priv->hook_lock);
  first = remove_actions (self, vector);
  g_rec_mutex_unlock (&priv->hook_lock);

  wait_for_runner (priv, vector);
  _io_interrupt_action_unref (first);
  if (first != NULL && priv->changed != NULL)
    priv->changed (self);

  return TRUE;
}

/**
 * io_interrupt_controller_enable_interrupt:
 * @self: an interrupt controller
 * @vector: the vector
 * @error: return location for an error
 *
 * Lets the handlers of a vector be called. If it is pending that happens soon,
 * from the context. Other vectors have nothing to do with it.
 *
 * Any thread. Fails with %IO_STREAM_ERROR_NO_INTERRUPT if there is no such
 * vector, or it is not registered, and %IO_STREAM_ERROR_NOT_OPEN in a forked
 * child. Apple's enableInterrupt().
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_interrupt_controller_enable_interrupt (IOInterruptController  *self,
                                          guint                   vector,
                                          GError                **error)
{
  IOInterruptControllerPrivate *priv;
  IOInterruptVector *row;
  gboolean registered, was_off = FALSE;

  g_return_val_if_fail (IO_IS_INTERRUPT_CONTROLLER (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!_io_interrupt_controller_check (self, "enable", vector, error))
    return FALSE;

  priv = get_private (self);
  row = &priv->vectors[vector];

  g_rec_mutex_lock (&priv->hook_lock);
  g_mutex_lock (&priv->lock);
  registered = row->action != NULL;
  if (registered)
    {
      was_off = !row->hard_enabled;
      row->hard_enabled = TRUE;
      row->enabled = TRUE;
      _io_interrupt_controller_update_due_locked (priv, vector);
    }
  g_mutex_unlock (&priv->lock);
  if (was_off)
    IO_INTERRUPT_CONTROLLER_GET_CLASS (self)->enable_vector (self, vector);
  g_rec_mutex_unlock (&priv->hook_lock);

  if (!registered)
    return set_unregistered_error ("enable", vector, error);

  _io_interrupt_controller_wake (self);

  return TRUE;
}

/**
 * io_interrupt_controller_disable_interrupt:
 * @self: an interrupt controller
 * @vector: the vector
 * @error: return location for an error
 *
 * Keeps the handlers of a vector from being called. What is caused stays
 * pending until it is enabled again. All other vectors go on, where Apple's
 * shared controller falls silent for all of them. A handler that runs in
 * another thread has returned when this does.
 *
 * Disabling is lazy, as Apple's is: only when the vector is caused is
 * #IOInterruptControllerClass.disable_vector_hard() called.
 *
 * Any thread, also from the handler itself; but do not hold a lock that the
 * handler takes. Fails with %IO_STREAM_ERROR_NO_INTERRUPT if there is no such
 * vector, or it is not registered, and %IO_STREAM_ERROR_NOT_OPEN in a forked
 * child. Apple's disableInterrupt().
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_interrupt_controller_disable_interrupt (IOInterruptController  *self,
                                           guint                   vector,
                                           GError                **error)
{
  IOInterruptControllerPrivate *priv;
  gboolean registered;

  g_return_val_if_fail (IO_IS_INTERRUPT_CONTROLLER (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!_io_interrupt_controller_check (self, "disable", vector, error))
    return FALSE;

  priv = get_private (self);
  g_mutex_lock (&priv->lock);
  registered = priv->vectors[vector].action != NULL;
  priv->vectors[vector].enabled = FALSE;
  _io_interrupt_controller_update_due_locked (priv, vector);
  g_mutex_unlock (&priv->lock);

  wait_for_runner (priv, vector);

  return registered || set_unregistered_error ("disable", vector, error);
}
