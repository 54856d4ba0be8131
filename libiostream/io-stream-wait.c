/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-private.h"

#include "io-service-private.h"

/* For owners that block, and let a work loop serve their clients. */

static void
cancelled_cb (GCancellable *cancellable,
              gpointer      user_data)
{
  IOStreamPrivate *priv = user_data;

  g_mutex_lock (&priv->lock);
  g_cond_broadcast (&priv->cond);
  g_mutex_unlock (&priv->lock);
}

/* What acquiring and sending would take back is taken back now, unless there is
 * nobody to send it to. */
static gboolean
can_send_locked (IOStreamPrivate *priv)
{
  if (priv->state != IO_STREAM_STATE_RUNNING || _io_stream_find_blocker_locked (priv, TRUE) != NULL)
    return FALSE;

  _io_stream_history_free_one_locked (priv);
  _io_stream_history_make_room_locked (priv, 1);

  return (priv->book.n_free > 0 || _io_stream_reclaim_locked (priv)) &&
         (_io_stream_reclaim_reserve_locked (priv) || _io_stream_find_blocker_locked (priv, FALSE) == NULL);
}

static gboolean
has_arrival_locked (IOStreamPrivate *priv)
{
  return priv->book.n_arrivals > 0;
}

/* Whoever serves the stream must not wait for what it serves. */
static gboolean
check_waiter (IOStream  *self,
              GError   **error)
{
  IOWorkLoop *loop = io_service_get_work_loop (IO_SERVICE (self));
  gboolean own = loop != NULL ? io_work_loop_on_thread (loop)
                              : _io_stream_get_private (self)->thread == g_thread_self () ||
                                g_main_context_is_owner (_io_service_get_context (IO_SERVICE (self)));

  if (!own)
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_CANNOT_LOCK,
               "Cannot wait for stream “%s” in the thread that serves it; give it a work loop",
               io_service_get_name (IO_SERVICE (self)));
  return FALSE;
}

static gboolean
fail_wait (IOStream    *self,
           int          code,
           const char  *why,
           GError     **error)
{
  g_set_error (error, IO_STREAM_ERROR, code, "Waiting for stream “%s”: %s",
               io_service_get_name (IO_SERVICE (self)), why);
  return FALSE;
}

static gboolean
wait_locked (IOStream         *self,
             IOStreamPrivate  *priv,
             gboolean        (*condition) (IOStreamPrivate *priv),
             gint64            deadline,
             GCancellable     *cancellable,
             GError          **error)
{
  for (;;)
    {
      _io_stream_drain_locked (priv);
      if (condition (priv))
        return TRUE;
      if (g_cancellable_set_error_if_cancelled (cancellable, error))
        return FALSE;
      if (priv->terminated)
        return fail_wait (self, IO_STREAM_ERROR_NOT_READY, "it is terminated", error);
      /* Announces the waiter, so that the context arms the bells for it. */
      _io_stream_wake_locked (priv);

      if (deadline < 0)
        g_cond_wait (&priv->cond, &priv->lock);
      else if (!g_cond_wait_until (&priv->cond, &priv->lock, deadline) && !condition (priv))
        return fail_wait (self, IO_STREAM_ERROR_TIMEOUT, "nothing happened in the time given", error);
    }
}

static gboolean
wait_for (IOStream      *self,
          gboolean     (*condition) (IOStreamPrivate *priv),
          gint64         timeout,
          GCancellable  *cancellable,
          GError       **error)
{
  g_autoptr (IOStream) keep = NULL;
  IOStreamPrivate *priv = _io_stream_get_private (self);
  gint64 now = g_get_monotonic_time ();
  gint64 deadline = timeout < 0 || timeout > G_MAXINT64 - now ? -1 : now + timeout;
  gulong handler = 0;
  gboolean done;

  if (!_io_stream_check_process (self, error) || !_io_stream_ensure (self, &keep, error) ||
      !check_waiter (self, error))
    return FALSE;

  if (cancellable != NULL)
    handler = g_cancellable_connect (cancellable, G_CALLBACK (cancelled_cb), priv, NULL);

  g_mutex_lock (&priv->lock);
  priv->n_waiters++;
  done = wait_locked (self, priv, condition, deadline, cancellable, error);
  priv->n_waiters--;
  g_mutex_unlock (&priv->lock);

  g_cancellable_disconnect (cancellable, handler);

  return done;
}

/**
 * io_stream_wait_buffer:
 * @self: a stream
 * @timeout: how long to wait, in microseconds; -1 for ever, 0 to look only
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Waits until a buffer can be acquired and sent: the stream is running, a
 * buffer is free, and no client with %IO_STREAM_DELIVERY_BLOCK runs that cannot
 * take it. What changes in between, as #IOStream:reserve-count, counts as well;
 * a reserve of all buffers is waited for in vain. For owners that block, and whose stream is served by a
 * #IOWorkLoop or by another thread.
 *
 * Any thread but the one that serves the stream, where it fails with
 * %IO_STREAM_ERROR_CANNOT_LOCK. Fails with %IO_STREAM_ERROR_TIMEOUT when the
 * time is over, %IO_STREAM_ERROR_NOT_READY when the stream is terminated and
 * %G_IO_ERROR_CANCELLED when cancelled.
 *
 * Returns: %TRUE if there is a buffer
 * Since: 1.0
 */
gboolean
io_stream_wait_buffer (IOStream      *self,
                       gint64         timeout,
                       GCancellable  *cancellable,
                       GError       **error)
{
  g_return_val_if_fail (IO_IS_STREAM (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return wait_for (self, can_send_locked, timeout, cancellable, error);
}

/**
 * io_stream_wait_input:
 * @self: a stream
 * @timeout: how long to wait, in microseconds; -1 for ever, 0 to look only
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Waits until io_stream_dequeue_input_entry() has something; otherwise as
 * io_stream_wait_buffer().
 *
 * Any thread but the one that serves the stream.
 *
 * Returns: %TRUE if there is an entry
 * Since: 1.0
 */
gboolean
io_stream_wait_input (IOStream      *self,
                      gint64         timeout,
                      GCancellable  *cancellable,
                      GError       **error)
{
  g_return_val_if_fail (IO_IS_STREAM (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return wait_for (self, has_arrival_locked, timeout, cancellable, error);
}
