/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-interrupt-controller.h"

#include "io-fork-private.h"
#include "io-interrupt-controller-private.h"

/**
 * SECTION:io-interrupt-controller
 * @title: IOInterruptController
 * @short_description: A table of numbered events and their handlers
 *
 * An interrupt controller has a fixed number of vectors, up to
 * %IO_INTERRUPT_MAX_VECTORS. Somebody causes a vector, and the handler that is
 * registered for it is called. This class is the table alone, for events within
 * a process; #IOSharedInterruptController is the one whose vectors another
 * process causes.
 *
 * |[<!-- language="C" -->
 *   IOInterruptController *controller = io_interrupt_controller_new (16, &error);
 *
 *   io_interrupt_controller_register_interrupt (controller, 3, handler, data, NULL, &error);
 *   io_interrupt_controller_enable_interrupt (controller, 3, &error);
 *   io_interrupt_controller_cause_interrupt (controller, 3, &error);
 * ]|
 *
 * # Life cycle #
 *
 * A vector is registered, which leaves it disabled, enabled, disabled, and
 * unregistered. Causes of a vector before it is registered are lost (they may
 * be seen if they race with it). While it is registered and disabled it stays
 * pending; it is handled when it is enabled, and the others do not notice
 * anything of it. Causes that come before the handler is called are merged into
 * one call, which is told how many there were.
 *
 * In a round the handlers of all vectors that are due are called, once each and
 * in the order of the numbers. What a handler causes comes in this round if the
 * number is higher, else in the next.
 *
 * # Ownership #
 *
 * A controller holds no reference on what its handlers belong to. It may be
 * dropped at any time outside of its handlers; what was registered is forgotten
 * then.
 *
 * # Subclasses #
 *
 * A subclass that stands for a device, or for a thread that watches one,
 * implements Apple's hooks: #IOInterruptControllerClass.enable_vector() turns a
 * source on, #IOInterruptControllerClass.disable_vector_hard() turns it off
 * again when it fired for nobody or its handler went, and
 * #IOInterruptControllerClass.cause_vector() makes it fire.
 *
 * # Threads #
 *
 * Everything but handling is safe from any thread. Handlers are called in the
 * main context that was the thread-default one when the controller was made, or
 * by whoever calls io_interrupt_controller_handle_interrupts() when
 * #IOInterruptController:handle-in-context is off. Handlers of one vector never
 * overlap. To unregister or disable a vector waits for its handler in another
 * thread, and not for the one it is called from.
 *
 * # Failure #
 *
 * %IO_STREAM_ERROR_NO_INTERRUPT: there is no such vector, or it is not
 * registered. %IO_STREAM_ERROR_NO_RESOURCES: it is taken.
 *
 * # The Apple original #
 *
 * It answers to Apple's IOInterruptController, which is an IOService so that a
 * device finds it in the registry. Here nobody looks one up by its name: a
 * service offers the one that it has, so it is a plain object. There is no nub
 * either: where Apple's maps a device and the index of a source to a vector,
 * the caller names the vector.
 */

/**
 * IOInterruptController:
 *
 * A table of vectors.
 *
 * Since: 1.0
 */

/* As many as Apple's shared controller has at most. */
#define DEFAULT_VECTORS 128

G_DEFINE_TYPE_WITH_PRIVATE (IOInterruptController, io_interrupt_controller, G_TYPE_OBJECT)

enum {
  PROP_0,
  PROP_N_VECTORS,
  PROP_HANDLE_IN_CONTEXT,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static IOInterruptControllerPrivate *
get_private (IOInterruptController *self)
{
  return io_interrupt_controller_get_instance_private (self);
}

IOInterruptControllerPrivate *
_io_interrupt_controller_get_private (IOInterruptController *self)
{
  return get_private (self);
}

void
_io_interrupt_controller_set_context (IOInterruptController *self,
                                      GMainContext          *context)
{
  IOInterruptControllerPrivate *priv = get_private (self);

  g_return_if_fail (priv->source == NULL);

  g_main_context_ref (context);
  g_main_context_unref (priv->context);
  priv->context = context;
}

static gboolean
io_interrupt_controller_real_init_vector (IOInterruptController  *self,
                                          guint                   vector,
                                          GError                **error)
{
  return TRUE;
}

static IOInterruptType
io_interrupt_controller_real_get_vector_type (IOInterruptController *self,
                                              guint                  vector)
{
  return IO_INTERRUPT_EDGE;
}

static gboolean
io_interrupt_controller_real_vector_can_be_shared (IOInterruptController *self,
                                                   guint                  vector)
{
  return FALSE;
}

static void
io_interrupt_controller_real_disable_vector_hard (IOInterruptController *self,
                                                  guint                  vector)
{
}

static void
io_interrupt_controller_real_enable_vector (IOInterruptController *self,
                                            guint                  vector)
{
}

static gboolean
io_interrupt_controller_real_cause_vector (IOInterruptController  *self,
                                           guint                   vector,
                                           GError                **error)
{
  if (_io_interrupt_controller_mark (self, vector))
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_INTERRUPT,
               "Cannot cause interrupt %u: it is not registered", vector);
  return FALSE;
}

static void
io_interrupt_controller_set_property (GObject      *object,
                                      guint         prop_id,
                                      const GValue *value,
                                      GParamSpec   *pspec)
{
  IOInterruptController *self = IO_INTERRUPT_CONTROLLER (object);

  switch (prop_id)
    {
    case PROP_N_VECTORS:
      get_private (self)->n_vectors = g_value_get_uint (value);
      break;
    case PROP_HANDLE_IN_CONTEXT:
      io_interrupt_controller_set_handle_in_context (self, g_value_get_boolean (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
io_interrupt_controller_get_property (GObject    *object,
                                      guint       prop_id,
                                      GValue     *value,
                                      GParamSpec *pspec)
{
  IOInterruptController *self = IO_INTERRUPT_CONTROLLER (object);

  switch (prop_id)
    {
    case PROP_N_VECTORS:
      g_value_set_uint (value, io_interrupt_controller_get_n_vectors (self));
      break;
    case PROP_HANDLE_IN_CONTEXT:
      g_value_set_boolean (value, io_interrupt_controller_get_handle_in_context (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
io_interrupt_controller_constructed (GObject *object)
{
  IOInterruptControllerPrivate *priv = get_private (IO_INTERRUPT_CONTROLLER (object));

  G_OBJECT_CLASS (io_interrupt_controller_parent_class)->constructed (object);
  priv->vectors = g_new0 (IOInterruptVector, priv->n_vectors);
}

static void
io_interrupt_controller_dispose (GObject *object)
{
  IOInterruptController *self = IO_INTERRUPT_CONTROLLER (object);
  IOInterruptControllerPrivate *priv = get_private (self);
  GSource *source;

  _io_interrupt_controller_clear (self);

  g_mutex_lock (&priv->lock);
  source = g_steal_pointer (&priv->source);
  priv->handle_in_context = FALSE;
  g_mutex_unlock (&priv->lock);
  if (source != NULL)
    {
      g_source_destroy (source);
      g_source_unref (source);
    }

  G_OBJECT_CLASS (io_interrupt_controller_parent_class)->dispose (object);
}

static void
io_interrupt_controller_finalize (GObject *object)
{
  IOInterruptControllerPrivate *priv = get_private (IO_INTERRUPT_CONTROLLER (object));

  g_free (priv->vectors);
  g_clear_object (&priv->kick);
  g_main_context_unref (priv->context);
  g_mutex_clear (&priv->lock);
  g_cond_clear (&priv->cond);
  g_rec_mutex_clear (&priv->hook_lock);

  G_OBJECT_CLASS (io_interrupt_controller_parent_class)->finalize (object);
}

static void
io_interrupt_controller_class_init (IOInterruptControllerClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->set_property = io_interrupt_controller_set_property;
  object_class->get_property = io_interrupt_controller_get_property;
  object_class->constructed = io_interrupt_controller_constructed;
  object_class->dispose = io_interrupt_controller_dispose;
  object_class->finalize = io_interrupt_controller_finalize;

  klass->init_vector = io_interrupt_controller_real_init_vector;
  klass->get_vector_type = io_interrupt_controller_real_get_vector_type;
  klass->vector_can_be_shared = io_interrupt_controller_real_vector_can_be_shared;
  klass->disable_vector_hard = io_interrupt_controller_real_disable_vector_hard;
  klass->enable_vector = io_interrupt_controller_real_enable_vector;
  klass->cause_vector = io_interrupt_controller_real_cause_vector;

  /**
   * IOInterruptController:n-vectors:
   *
   * How many vectors there are.
   *
   * Since: 1.0
   */
  properties[PROP_N_VECTORS] =
    g_param_spec_uint ("n-vectors", NULL, NULL, 1, IO_INTERRUPT_MAX_VECTORS, DEFAULT_VECTORS,
                       G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS |
                       G_PARAM_EXPLICIT_NOTIFY);
  /**
   * IOInterruptController:handle-in-context:
   *
   * Whether handlers are called from the main context. Who waits in another way
   * turns it off.
   *
   * Since: 1.0
   */
  properties[PROP_HANDLE_IN_CONTEXT] =
    g_param_spec_boolean ("handle-in-context", NULL, NULL, TRUE,
                          G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
io_interrupt_controller_init (IOInterruptController *self)
{
  IOInterruptControllerPrivate *priv = get_private (self);

  g_mutex_init (&priv->lock);
  g_cond_init (&priv->cond);
  g_rec_mutex_init (&priv->hook_lock);
  priv->context = g_main_context_ref_thread_default ();
  priv->fork_count = _io_fork_count ();
  priv->handle_in_context = TRUE;
}

/**
 * io_interrupt_controller_new:
 * @n_vectors: how many vectors, at most %IO_INTERRUPT_MAX_VECTORS
 * @error: return location for an error
 *
 * Makes a controller for events within this process. Its handlers are called in
 * the thread-default main context of the calling thread.
 *
 * Any thread. Fails with %IO_STREAM_ERROR_BAD_ARGUMENT if @n_vectors is 0 or
 * too many.
 *
 * Returns: (transfer full): the controller, or %NULL with @error set
 * Since: 1.0
 */
IOInterruptController *
io_interrupt_controller_new (guint    n_vectors,
                             GError **error)
{
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (n_vectors > 0 && n_vectors <= IO_INTERRUPT_MAX_VECTORS)
    return g_object_new (IO_TYPE_INTERRUPT_CONTROLLER, "n-vectors", n_vectors, NULL);

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
               "Cannot make an interrupt controller of %u vectors: 1 to %u are possible",
               n_vectors, IO_INTERRUPT_MAX_VECTORS);
  return NULL;
}

/**
 * io_interrupt_controller_get_n_vectors:
 * @self: an interrupt controller
 *
 * Gets #IOInterruptController:n-vectors. Any thread.
 *
 * Returns: the number of vectors
 * Since: 1.0
 */
guint
io_interrupt_controller_get_n_vectors (IOInterruptController *self)
{
  g_return_val_if_fail (IO_IS_INTERRUPT_CONTROLLER (self), 0);

  return get_private (self)->n_vectors;
}

/**
 * io_interrupt_controller_get_handle_in_context:
 * @self: an interrupt controller
 *
 * Gets #IOInterruptController:handle-in-context. Any thread.
 *
 * Returns: %TRUE if handlers are called from the main context
 * Since: 1.0
 */
gboolean
io_interrupt_controller_get_handle_in_context (IOInterruptController *self)
{
  g_return_val_if_fail (IO_IS_INTERRUPT_CONTROLLER (self), FALSE);

  return get_private (self)->handle_in_context;
}

/**
 * io_interrupt_controller_set_handle_in_context:
 * @self: an interrupt controller
 * @handle_in_context: whether handlers are called from the main context
 *
 * Sets #IOInterruptController:handle-in-context. With it off, handlers are
 * called by io_interrupt_controller_handle_interrupts() alone.
 *
 * In the thread of the controller.
 *
 * Since: 1.0
 */
void
io_interrupt_controller_set_handle_in_context (IOInterruptController *self,
                                               gboolean               handle_in_context)
{
  IOInterruptControllerPrivate *priv;

  g_return_if_fail (IO_IS_INTERRUPT_CONTROLLER (self));

  priv = get_private (self);
  handle_in_context = !!handle_in_context;
  if (priv->handle_in_context == handle_in_context)
    return;

  priv->handle_in_context = handle_in_context;
  if (priv->changed != NULL)
    priv->changed (self);
  _io_interrupt_controller_wake (self);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_HANDLE_IN_CONTEXT]);
}

/**
 * io_interrupt_controller_cause_interrupt:
 * @self: an interrupt controller
 * @vector: the vector
 * @error: return location for an error
 *
 * Causes an interrupt: calls #IOInterruptControllerClass.cause_vector(). It
 * never waits, and the handler is never called from in here.
 *
 * Any thread. Fails with %IO_STREAM_ERROR_NO_INTERRUPT if there is no such
 * vector or, within one process, it is not registered; with
 * %IO_STREAM_ERROR_NOT_OPEN in a forked child; and with what the method says.
 * Apple's causeInterrupt().
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_interrupt_controller_cause_interrupt (IOInterruptController  *self,
                                         guint                   vector,
                                         GError                **error)
{
  g_autoptr (GError) local_error = NULL;

  g_return_val_if_fail (IO_IS_INTERRUPT_CONTROLLER (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!_io_interrupt_controller_check (self, "cause", vector, error))
    return FALSE;
  if (IO_INTERRUPT_CONTROLLER_GET_CLASS (self)->cause_vector (self, vector, &local_error))
    return TRUE;

  if (local_error == NULL)
    g_set_error (&local_error, IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED,
                 "%s failed to cause interrupt %u", G_OBJECT_TYPE_NAME (self), vector);
  g_propagate_error (error, g_steal_pointer (&local_error));

  return FALSE;
}

/**
 * io_interrupt_controller_get_interrupt_type:
 * @self: an interrupt controller
 * @vector: the vector
 * @type: (out): return location for the type
 * @error: return location for an error
 *
 * Tells what a vector stands for. It is for whoever writes the handler to know;
 * the calls are the same.
 *
 * Any thread. Fails with %IO_STREAM_ERROR_NO_INTERRUPT if there is no such
 * vector, and %IO_STREAM_ERROR_NOT_OPEN in a forked child. Apple's
 * getInterruptType().
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_interrupt_controller_get_interrupt_type (IOInterruptController  *self,
                                            guint                   vector,
                                            IOInterruptType        *type,
                                            GError                **error)
{
  g_return_val_if_fail (IO_IS_INTERRUPT_CONTROLLER (self), FALSE);
  g_return_val_if_fail (type != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  *type = IO_INTERRUPT_EDGE;
  if (!_io_interrupt_controller_check (self, "tell the type of", vector, error))
    return FALSE;

  *type = IO_INTERRUPT_CONTROLLER_GET_CLASS (self)->get_vector_type (self, vector);

  return TRUE;
}

/**
 * io_interrupt_controller_is_interrupt_enabled:
 * @self: an interrupt controller
 * @vector: the vector
 *
 * Tells whether a vector is registered and enabled. Any thread.
 *
 * Returns: %TRUE if it is
 * Since: 1.0
 */
gboolean
io_interrupt_controller_is_interrupt_enabled (IOInterruptController *self,
                                              guint                  vector)
{
  IOInterruptControllerPrivate *priv;
  gboolean enabled;

  g_return_val_if_fail (IO_IS_INTERRUPT_CONTROLLER (self), FALSE);

  priv = get_private (self);
  if (vector >= priv->n_vectors)
    return FALSE;

  g_mutex_lock (&priv->lock);
  enabled = priv->vectors[vector].enabled;
  g_mutex_unlock (&priv->lock);

  return enabled;
}

/* Gives up the lock. */
static void
scan_and_unlock (IOInterruptController *self)
{
  IOInterruptControllerPrivate *priv = get_private (self);

  if (priv->scan_locked != NULL && priv->fork_count == _io_fork_count ())
    priv->scan_locked (self);
  _io_interrupt_controller_unlock (self);
}

/**
 * io_interrupt_controller_is_interrupt_pending:
 * @self: an interrupt controller
 * @vector: the vector
 *
 * Tells whether a vector that is registered was caused and not handled since.
 * Any thread.
 *
 * Returns: %TRUE if it is
 * Since: 1.0
 */
gboolean
io_interrupt_controller_is_interrupt_pending (IOInterruptController *self,
                                              guint                  vector)
{
  IOInterruptControllerPrivate *priv;
  gboolean pending;

  g_return_val_if_fail (IO_IS_INTERRUPT_CONTROLLER (self), FALSE);

  priv = get_private (self);
  if (vector >= priv->n_vectors)
    return FALSE;

  g_mutex_lock (&priv->lock);
  scan_and_unlock (self);
  /* What was found here is not found by the context any more. */
  _io_interrupt_controller_wake (self);

  g_mutex_lock (&priv->lock);
  pending = priv->vectors[vector].pending > 0;
  g_mutex_unlock (&priv->lock);

  return pending;
}

/**
 * io_interrupt_controller_handle_interrupts:
 * @self: an interrupt controller
 *
 * Calls the handlers of all vectors that are due, each once, in the calling
 * thread. It is what the main context does by itself, and what other loops call
 * after a wait, with #IOInterruptController:handle-in-context off.
 *
 * Any thread. A vector whose handler runs in another thread is left out. In a
 * forked child it does nothing. Apple's handleInterrupt().
 *
 * Returns: how many vectors were handled
 * Since: 1.0
 */
guint
io_interrupt_controller_handle_interrupts (IOInterruptController *self)
{
  IOInterruptControllerPrivate *priv;

  g_return_val_if_fail (IO_IS_INTERRUPT_CONTROLLER (self), 0);

  priv = get_private (self);
  if (priv->fork_count != _io_fork_count ())
    return 0;

  g_mutex_lock (&priv->lock);
  scan_and_unlock (self);

  return _io_interrupt_controller_run (self, NULL);
}
