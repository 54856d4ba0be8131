/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-service-internal-private.h"

/* The count of what keeps a service from being quiet. */

/**
 * io_service_get_busy_state:
 * @self: a service
 *
 * Gets how many things keep the service busy; see io_service_adjust_busy().
 *
 * Any thread. Apple: IOService::getBusyState.
 *
 * Returns: the count, 0 if the service is quiet
 * Since: 1.0
 */
guint
io_service_get_busy_state (IOService *self)
{
  IOServicePrivate *priv;
  guint busy;

  g_return_val_if_fail (IO_IS_SERVICE (self), 0);

  priv = _io_service_get_private (self);
  g_mutex_lock (&priv->mutex);
  busy = priv->busy;
  g_mutex_unlock (&priv->mutex);

  return busy;
}

static gboolean
adjust_func (IOService  *self,
             gpointer    data,
             GError    **error)
{
  IOServicePrivate *priv = _io_service_get_private (self);
  int delta = GPOINTER_TO_INT (data);
  guint before;
  guint after;

  g_mutex_lock (&priv->mutex);
  before = priv->busy;
  after = (guint) CLAMP ((gint64) before + delta, 0, G_MAXINT);
  priv->busy = after;
  if (after == 0)
    g_cond_broadcast (&priv->quiet);
  g_mutex_unlock (&priv->mutex);

  g_warn_if_fail ((gint64) before + delta >= 0);
  if ((before == 0) != (after == 0))
    {
      g_autoptr (GVariant) is_busy = g_variant_ref_sink (g_variant_new_boolean (after != 0));

      _io_service_tell_interested (self, IO_SERVICE_INTEREST_BUSY,
                                   IO_SERVICE_MESSAGE_BUSY_STATE_CHANGE, is_busy);
    }
  return TRUE;
}

/**
 * io_service_adjust_busy:
 * @self: a service
 * @delta: what to add to the count; negative to take away
 *
 * Says that something begins that keeps the service busy (1), or has ended
 * (-1). Those who registered %IO_SERVICE_INTEREST_BUSY hear of it when the
 * count leaves 0 and when it reaches 0 again. io_service_terminate_async() holds
 * one until it has done its work. Clients do not hear of it: make an attribute
 * of it if they should.
 *
 * In the thread of the service; any thread if it has a work loop. Apple:
 * IOService::adjustBusy.
 *
 * Since: 1.0
 */
void
io_service_adjust_busy (IOService *self,
                        int        delta)
{
  G_GNUC_UNUSED g_autoptr (IOService) kept = NULL;
  gboolean ran;

  g_return_if_fail (IO_IS_SERVICE (self));

  if (delta == 0 || !_io_service_in_own_process (self))
    return;

  kept = g_object_ref (self);
  _io_service_run (self, adjust_func, GINT_TO_POINTER (delta), &ran, NULL);
  if (!ran)
    adjust_func (self, GINT_TO_POINTER (delta), NULL);
}

static void
cancelled_cb (GCancellable *cancellable,
              gpointer      user_data)
{
  IOServicePrivate *priv = _io_service_get_private (user_data);

  g_mutex_lock (&priv->mutex);
  g_cond_broadcast (&priv->quiet);
  g_mutex_unlock (&priv->mutex);
}

/* Whoever runs the context makes it quiet; if nobody does, it is for the thread
 * that made the service to run it. */
static gboolean
is_own_thread (IOServicePrivate *priv)
{
  if (g_main_context_is_owner (priv->context))
    return TRUE;
  if (priv->work_loop != NULL || !g_main_context_acquire (priv->context))
    return FALSE;

  g_main_context_release (priv->context);
  return priv->thread == g_thread_self ();
}

static gboolean
wait_until_quiet (IOService     *self,
                  gint64         deadline,
                  GCancellable  *cancellable)
{
  IOServicePrivate *priv = _io_service_get_private (self);
  gboolean quiet;
  gboolean timed_out = FALSE;

  g_mutex_lock (&priv->mutex);
  while (priv->busy > 0 && !timed_out && !g_cancellable_is_cancelled (cancellable))
    if (deadline < 0)
      g_cond_wait (&priv->quiet, &priv->mutex);
    else
      timed_out = !g_cond_wait_until (&priv->quiet, &priv->mutex, deadline);
  quiet = priv->busy == 0;
  g_mutex_unlock (&priv->mutex);

  return quiet;
}

/**
 * io_service_wait_quiet:
 * @self: a service
 * @timeout: how long to wait, in microseconds; -1 for ever
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Waits until nothing keeps the service busy.
 *
 * Fails with %IO_STREAM_ERROR_TIMEOUT if the time is over,
 * %G_IO_ERROR_CANCELLED, and %IO_STREAM_ERROR_CANNOT_LOCK in the thread of the
 * service, which would wait for itself.
 *
 * Any thread. Apple: IOService::waitQuiet.
 *
 * Returns: %TRUE if the service is quiet
 * Since: 1.0
 */
gboolean
io_service_wait_quiet (IOService     *self,
                       gint64         timeout,
                       GCancellable  *cancellable,
                       GError       **error)
{
  IOServicePrivate *priv;
  gint64 deadline = -1;
  gulong id = 0;
  gboolean quiet;
  const char *name;

  g_return_val_if_fail (IO_IS_SERVICE (self), FALSE);
  g_return_val_if_fail (timeout >= -1, FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  priv = _io_service_get_private (self);
  name = priv->name != NULL ? priv->name : "";
  if (io_service_get_busy_state (self) == 0)
    return TRUE;
  if (timeout != 0 && is_own_thread (priv))
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_CANNOT_LOCK,
                   "Cannot wait for service “%s” to be quiet in its own thread", name);
      return FALSE;
    }

  if (timeout >= 0)
    deadline = g_get_monotonic_time () + MIN (timeout, G_MAXINT64 / 2);
  if (cancellable != NULL)
    id = g_cancellable_connect (cancellable, G_CALLBACK (cancelled_cb), self, NULL);
  quiet = wait_until_quiet (self, deadline, cancellable);
  g_cancellable_disconnect (cancellable, id);

  if (!quiet && !g_cancellable_set_error_if_cancelled (cancellable, error))
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT,
                 "Service “%s” is not quiet after %g s", name, (double) timeout / G_USEC_PER_SEC);
  return quiet;
}
