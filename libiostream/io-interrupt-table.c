/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-interrupt-table-private.h"

#include "io-fork-private.h"

/* The table of the vectors: who is registered, who is pending, and the calls of
 * the handlers. A vector is due if it is registered, enabled, pending, and its
 * handlers do not run just now. */

typedef struct {
  GSource  source;
  GWeakRef controller;
} IOInterruptSource;

static IOInterruptControllerPrivate *
get_private (IOInterruptController *self)
{
  return _io_interrupt_controller_get_private (self);
}

void
_io_interrupt_action_unref (IOInterruptAction *self)
{
  while (self != NULL && g_atomic_ref_count_dec (&self->ref_count))
    {
      IOInterruptAction *next = self->next;

      if (self->destroy != NULL)
        self->destroy (self->data);
      g_free (self);
      self = next;
    }
}

static guint64
bit_of (guint vector)
{
  return G_GUINT64_CONSTANT (1) << (vector % 64);
}

void
_io_interrupt_controller_update_due_locked (IOInterruptControllerPrivate *priv,
                                            guint                         vector)
{
  IOInterruptVector *self = &priv->vectors[vector];
  gboolean due = self->action != NULL && self->enabled && self->pending > 0 && self->runner == NULL;
  gboolean was_due = (priv->due[vector / 64] & bit_of (vector)) != 0;

  if (due == was_due)
    return;

  priv->due[vector / 64] ^= bit_of (vector);
  if (due)
    atomic_fetch_add_explicit (&priv->n_due, 1, memory_order_relaxed);
  else
    atomic_fetch_sub_explicit (&priv->n_due, 1, memory_order_relaxed);
}

void
_io_interrupt_controller_mark_locked (IOInterruptController *self,
                                      guint                  vector,
                                      guint32                count)
{
  IOInterruptControllerPrivate *priv = get_private (self);
  IOInterruptVector *row = &priv->vectors[vector];

  if (row->action == NULL)
    return;

  row->pending = count > G_MAXUINT32 - row->pending ? G_MAXUINT32 : row->pending + count;
  if (!row->enabled && row->hard_enabled)
    {
      priv->to_mask[vector / 64] |= bit_of (vector);
      priv->has_to_mask = TRUE;
    }
  _io_interrupt_controller_update_due_locked (priv, vector);
}

/* With the hooks locked. */
void
_io_interrupt_controller_mask_vector (IOInterruptController *self,
                                      guint                  vector)
{
  IOInterruptControllerPrivate *priv = get_private (self);
  IOInterruptVector *row = &priv->vectors[vector];
  gboolean mask;

  g_mutex_lock (&priv->lock);
  mask = row->hard_enabled && !row->enabled;
  if (mask)
    row->hard_enabled = FALSE;
  g_mutex_unlock (&priv->lock);

  if (mask)
    IO_INTERRUPT_CONTROLLER_GET_CLASS (self)->disable_vector_hard (self, vector);
}

/* A disable is lazy: the source goes on until it fires for nobody. */
static void
mask_all (IOInterruptController *self)
{
  IOInterruptControllerPrivate *priv = get_private (self);

  g_rec_mutex_lock (&priv->hook_lock);
  for (guint word = 0; word < IO_INTERRUPT_N_WORDS; word++)
    {
      guint64 bits;

      g_mutex_lock (&priv->lock);
      bits = priv->to_mask[word];
      priv->to_mask[word] = 0;
      g_mutex_unlock (&priv->lock);

      for (; bits != 0; bits &= bits - 1)
        _io_interrupt_controller_mask_vector (self, word * 64 + (guint) __builtin_ctzll (bits));
    }
  g_rec_mutex_unlock (&priv->hook_lock);
}

void
_io_interrupt_controller_unlock (IOInterruptController *self)
{
  IOInterruptControllerPrivate *priv = get_private (self);
  gboolean has_to_mask = priv->has_to_mask;

  priv->has_to_mask = FALSE;
  g_mutex_unlock (&priv->lock);

  if (has_to_mask)
    mask_all (self);
}

gboolean
_io_interrupt_controller_mark (IOInterruptController *self,
                               guint                  vector)
{
  IOInterruptControllerPrivate *priv = get_private (self);
  gboolean registered;

  g_mutex_lock (&priv->lock);
  registered = priv->vectors[vector].action != NULL;
  _io_interrupt_controller_mark_locked (self, vector, 1);
  _io_interrupt_controller_unlock (self);

  _io_interrupt_controller_wake (self);

  return registered;
}

void
_io_interrupt_controller_mark_own (IOInterruptController *self)
{
  IOInterruptControllerPrivate *priv = get_private (self);

  g_mutex_lock (&priv->lock);
  for (guint vector = 0; vector < priv->n_vectors; vector++)
    if (priv->vectors[vector].action != NULL && priv->vectors[vector].action->handler == NULL)
      _io_interrupt_controller_mark_locked (self, vector, 1);
  _io_interrupt_controller_unlock (self);

  _io_interrupt_controller_wake (self);
}

static gboolean
interrupt_source_dispatch (GSource     *source,
                           GSourceFunc  callback,
                           gpointer     user_data)
{
  IOInterruptSource *self = (IOInterruptSource *) source;
  g_autoptr (IOInterruptController) controller = g_weak_ref_get (&self->controller);

  g_source_set_ready_time (source, -1);
  if (controller == NULL || get_private (controller)->fork_count != _io_fork_count ())
    return G_SOURCE_REMOVE;

  if (get_private (controller)->handle_in_context)
    _io_interrupt_controller_run (controller, NULL);

  return G_SOURCE_CONTINUE;
}

static void
interrupt_source_finalize (GSource *source)
{
  g_weak_ref_clear (&((IOInterruptSource *) source)->controller);
}

static GSourceFuncs interrupt_source_funcs = {
  NULL,
  NULL,
  interrupt_source_dispatch,
  interrupt_source_finalize,
  NULL,
  NULL,
};

static void
make_source_locked (IOInterruptController *self)
{
  IOInterruptControllerPrivate *priv = get_private (self);

  priv->source = g_source_new (&interrupt_source_funcs, sizeof (IOInterruptSource));
  g_weak_ref_init (&((IOInterruptSource *) priv->source)->controller, self);
  g_source_set_static_name (priv->source, "IOInterruptController");
  /* A handler that runs the loop keeps the other vectors alive. */
  g_source_set_can_recurse (priv->source, TRUE);
  g_source_attach (priv->source, priv->context);
}

void
_io_interrupt_controller_wake (IOInterruptController *self)
{
  IOInterruptControllerPrivate *priv = get_private (self);
  g_autoptr (GCancellable) kick = NULL;

  if (atomic_load_explicit (&priv->n_due, memory_order_relaxed) == 0)
    return;

  g_mutex_lock (&priv->lock);
  if (priv->handle_in_context && priv->source == NULL)
    make_source_locked (self);
  if (priv->handle_in_context)
    g_source_set_ready_time (priv->source, 0);
  else if (priv->kick != NULL)
    kick = g_object_ref (priv->kick);
  g_mutex_unlock (&priv->lock);

  g_cancellable_cancel (kick);
}

/* One after the other, until the vector is unregistered. */
static IOInterruptResult
call_chain (IOInterruptController *self,
            guint                  vector,
            guint                  count,
            IOInterruptAction     *first)
{
  IOInterruptControllerPrivate *priv = get_private (self);
  IOInterruptResult result = IO_INTERRUPT_NOTHING;
  IOInterruptAction *action = first;

  while (action != NULL)
    {
      if (action->handler == NULL)
        result |= action->func (self, vector, count, action->data);
      else
        {
          action->handler (self, vector, count, action->data);
          result |= IO_INTERRUPT_CONSUMED;
        }

      g_mutex_lock (&priv->lock);
      action = priv->vectors[vector].action == first ? action->next : NULL;
      g_mutex_unlock (&priv->lock);
    }

  return result;
}

static void
finish_run (IOInterruptController *self,
            guint                  vector,
            IOInterruptAction     *first,
            gboolean               again)
{
  IOInterruptControllerPrivate *priv = get_private (self);
  IOInterruptVector *row = &priv->vectors[vector];
  gboolean due;

  g_mutex_lock (&priv->lock);
  row->runner = NULL;
  if (again && row->action == first && row->pending == 0)
    row->pending = 1;
  _io_interrupt_controller_update_due_locked (priv, vector);
  due = (priv->due[vector / 64] & bit_of (vector)) != 0;
  if (priv->n_waiters > 0)
    g_cond_broadcast (&priv->cond);
  g_mutex_unlock (&priv->lock);

  _io_interrupt_action_unref (first);
  if (due)
    _io_interrupt_controller_wake (self);
}

static gboolean
run_vector (IOInterruptController *self,
            guint                  vector,
            gboolean              *consumed)
{
  IOInterruptControllerPrivate *priv = get_private (self);
  IOInterruptVector *row = &priv->vectors[vector];
  IOInterruptAction *first = NULL;
  IOInterruptResult result;
  guint32 count = 0;

  g_mutex_lock (&priv->lock);
  if ((priv->due[vector / 64] & bit_of (vector)) != 0)
    {
      first = row->action;
      g_atomic_ref_count_inc (&first->ref_count);
      count = row->pending;
      row->pending = 0;
      row->runner = g_thread_self ();
      _io_interrupt_controller_update_due_locked (priv, vector);
    }
  g_mutex_unlock (&priv->lock);

  if (first == NULL)
    return FALSE;

  result = call_chain (self, vector, count, first);
  if (consumed != NULL && (result & IO_INTERRUPT_CONSUMED) != 0)
    *consumed = TRUE;
  finish_run (self, vector, first, (result & IO_INTERRUPT_AGAIN) != 0);

  return TRUE;
}

guint
_io_interrupt_controller_run (IOInterruptController *self,
                              gboolean              *consumed)
{
  IOInterruptControllerPrivate *priv = get_private (self);
  G_GNUC_UNUSED g_autoptr (IOInterruptController) kept = g_object_ref (self);
  guint n_words = (priv->n_vectors + 63) / 64;
  guint n = 0;

  for (guint word = 0; word < n_words; word++)
    {
      guint64 bits;

      if (atomic_load_explicit (&priv->n_due, memory_order_relaxed) == 0)
        break;

      g_mutex_lock (&priv->lock);
      bits = priv->due[word];
      g_mutex_unlock (&priv->lock);

      for (; bits != 0; bits &= bits - 1)
        n += run_vector (self, word * 64 + (guint) __builtin_ctzll (bits), consumed);
    }

  return n;
}

gboolean
_io_interrupt_controller_check (IOInterruptController  *self,
                                const char             *operation,
                                guint                   vector,
                                GError                **error)
{
  IOInterruptControllerPrivate *priv = get_private (self);

  if (priv->fork_count != _io_fork_count ())
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN,
                 "Cannot %s interrupt %u: the controller belongs to the parent process", operation, vector);
  else if (vector >= priv->n_vectors)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_INTERRUPT,
                 "Cannot %s interrupt %u: the controller has %u", operation, vector, priv->n_vectors);
  else
    return TRUE;

  return FALSE;
}
