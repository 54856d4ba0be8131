/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-connection-private.h"

#include "io-connection-internal-private.h"
#include "io-fork-private.h"

/* For clients that block, and for loops that know nothing of GLib. */

/* How often somebody who cannot sleep looks whether an answer came. */
#define REFRESH_USEC 1000

/* How often somebody whose time is over looks again, whatever the owner does
 * meanwhile. */
#define MAX_LOOKS 3

/* A loop that waits here hears of changes by what it is told next; who listens
 * hears of them from the context. */
static gboolean
see_page (IOStreamConnection *self)
{
  gboolean seen = _io_stream_connection_see_page (self);

  if (seen)
    _io_stream_connection_tell_later (self, 0);

  return seen;
}

/* The owner says that the stream came to @state. It may have left it again by
 * now, which then is a change that is still to be seen. */
void
_io_stream_connection_reach_state (IOStreamConnection *self,
                                   IOStreamState       state)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  _io_stream_connection_note_wish (self, state);
  if (!priv->usable || state == priv->state_seen)
    return;

  priv->state_seen = state;
  _io_stream_connection_tell_later (self, IO_NEWS_STATE);
}

/**
 * io_stream_connection_get_fd:
 * @self: a connection
 *
 * Gets a descriptor for loops that know nothing of GLib: it is readable when
 * the owner has rung, provided that
 * io_stream_connection_prepare_wait() said it would. Poll it and nothing else;
 * it belongs to the connection, changes with each open, and is another one
 * while an owner is waited for (see #IOStreamConnection:resume).
 *
 * In the thread of the connection.
 *
 * Returns: the descriptor, or -1 if the stream is not open
 * Since: 1.0
 */
int
io_stream_connection_get_fd (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv;

  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), -1);

  priv = _io_stream_connection_get_private (self);
  if (_io_stream_connection_is_resuming (self))
    return _io_stream_connection_get_resume_fd (self);

  return priv->port != NULL ? io_notification_port_get_fd (priv->port) : -1;
}

/**
 * io_stream_connection_prepare_wait:
 * @self: a connection
 *
 * Gets ready to sleep on io_stream_connection_get_fd(): the owner will ring
 * from now on. After polling, or instead of it, call
 * io_stream_connection_finish_wait(). Turns
 * #IOStreamConnection:notify-in-context off.
 *
 * |[<!-- language="C" -->
 *   if (io_stream_connection_prepare_wait (connection))
 *     poll (&pollfd, 1, -1);
 *   io_stream_connection_finish_wait (connection);
 * ]|
 *
 * In the thread of the connection.
 *
 * Returns: %TRUE to sleep, %FALSE if there is something already: an entry, a
 *   new state, or the end of the connection
 * Since: 1.0
 */
gboolean
io_stream_connection_prepare_wait (IOStreamConnection *self)
{
  G_GNUC_UNUSED g_autoptr (IOStreamConnection) keep = NULL;
  IOStreamConnectionPrivate *priv;

  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), FALSE);

  keep = g_object_ref (self);
  priv = _io_stream_connection_get_private (self);
  io_stream_connection_set_notify_in_context (self, FALSE);
  if (!_io_stream_connection_has_output (self) && _io_stream_connection_is_resuming (self))
    return _io_stream_connection_try_resume (self) && _io_stream_connection_get_resume_fd (self) >= 0;
  if (!priv->usable || priv->fork_count != _io_fork_count () ||
      _io_stream_connection_has_output (self) || see_page (self))
    return FALSE;
  if (priv->refreshing)
    {
      _io_connection_sleep (IO_CONNECTION (self), g_get_monotonic_time () + REFRESH_USEC, NULL);
      return FALSE;
    }

  return io_notification_port_prepare_wait (priv->port);
}

/**
 * io_stream_connection_finish_wait:
 * @self: a connection
 *
 * Ends what io_stream_connection_prepare_wait() began, and takes note of what
 * happened meanwhile: a new state, or the end of the connection.
 *
 * In the thread of the connection.
 *
 * Since: 1.0
 */
void
io_stream_connection_finish_wait (IOStreamConnection *self)
{
  G_GNUC_UNUSED g_autoptr (IOStreamConnection) keep = NULL;
  IOStreamConnectionPrivate *priv;

  g_return_if_fail (IO_IS_STREAM_CONNECTION (self));

  priv = _io_stream_connection_get_private (self);
  keep = g_object_ref (self);
  if (_io_stream_connection_is_resuming (self) && _io_stream_connection_try_resume (self))
    return;
  if (priv->port == NULL)
    return;

  io_notification_port_finish_wait (priv->port);
  if (!priv->usable)
    return;

  see_page (self);
  if (io_notification_port_is_hung_up (priv->port) ||
      _io_stream_connection_read_state (self) == IO_STREAM_STATE_CLOSED)
    {
      _io_connection_poll (IO_CONNECTION (self));
      _io_stream_connection_is_resuming (self);
    }
}

/* Why there is nothing to wait for, once the queue is empty. */
static gboolean
check_waitable (IOStreamConnection  *self,
                GError             **error)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  const char *name = io_connection_get_name (IO_CONNECTION (self));
  IOStreamState state = _io_stream_connection_read_state (self);
  const GError *reason;

  /* An owner that ends a connection says so before it closes the stream. */
  if (priv->usable && state == IO_STREAM_STATE_CLOSED)
    _io_connection_poll (IO_CONNECTION (self));

  reason = io_connection_get_error (IO_CONNECTION (self));
  if (reason != NULL)
    g_propagate_error (error, g_error_copy (reason));
  else if (!priv->usable || !io_connection_is_connected (IO_CONNECTION (self)))
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN,
                 "Cannot wait for stream “%s”: it is not open", name);
  else if (state == IO_STREAM_STATE_CLOSED)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN,
                 "Cannot wait for stream “%s”: its owner closed it", name);
  else if (state != IO_STREAM_STATE_RUNNING && state != IO_STREAM_STATE_SUSPENDED)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY,
                 "Cannot wait for stream “%s”: it is not running", name);
  else
    return TRUE;

  return FALSE;
}

/* The answer comes on the control socket. Meanwhile entries of buffers that are
 * known may come. */
static gboolean
wait_for_buffers (IOStreamConnection  *self,
                  gint64               deadline,
                  GCancellable        *cancellable,
                  GError             **error)
{
  gint64 now = g_get_monotonic_time ();

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  if (deadline >= 0 && now >= deadline)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT,
                   "Waiting for stream “%s”: its owner has not described its new buffers in the time given",
                   io_connection_get_name (IO_CONNECTION (self)));
      return FALSE;
    }

  _io_connection_sleep (IO_CONNECTION (self), now + REFRESH_USEC, cancellable);

  return TRUE;
}

static gboolean
check_time (IOStreamConnection  *self,
            gint64               deadline,
            GCancellable        *cancellable,
            GError             **error)
{
  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  if (deadline < 0 || g_get_monotonic_time () < deadline)
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT,
               "Waiting for stream “%s”: nothing came in the time given",
               io_connection_get_name (IO_CONNECTION (self)));
  return FALSE;
}

/* The bell is silent and there is nothing more to take: why? */
static void
look_for_end (IOStreamConnection *self)
{
  _io_connection_poll (IO_CONNECTION (self));
  if (_io_stream_connection_read_state (self) == IO_STREAM_STATE_CLOSED)
    return;

  _io_connection_fail (IO_CONNECTION (self),
                       g_error_new (IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE, "The owner of stream “%s” closed it",
                                    io_connection_get_name (IO_CONNECTION (self))));
}

/* TRUE to look again. */
static gboolean
wait_step (IOStreamConnection  *self,
           gint64               deadline,
           GCancellable        *cancellable,
           GError             **error)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  gint64 left = deadline > 0 ? MAX (deadline - g_get_monotonic_time (), 0) : deadline;
  g_autoptr (GError) local_error = NULL;

  if (_io_stream_connection_is_resuming (self))
    return !_io_stream_connection_try_resume (self) ||
           _io_stream_connection_sleep_resume (self, deadline, cancellable, error);
  if (!check_waitable (self, error))
    return _io_stream_connection_is_resuming (self) ? (g_clear_error (error), TRUE) : FALSE;
  if (see_page (self) || _io_stream_connection_has_output (self) || !priv->usable)
    return TRUE;
  if (priv->refreshing)
    return wait_for_buffers (self, deadline, cancellable, error);

  /* A handler may have given the port to the context again. */
  _io_stream_connection_tell_aside (self);
  if (!io_notification_port_wait (priv->port, left, cancellable, &local_error) &&
      !g_error_matches (local_error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE))
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  if (!_io_stream_connection_has_output (self) && io_notification_port_is_hung_up (priv->port) &&
      !_io_stream_connection_has_output (self))
    look_for_end (self);

  return TRUE;
}

/**
 * io_stream_connection_wait:
 * @self: a connection
 * @timeout: how long to wait, in microseconds; -1 for ever, 0 to look only
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Waits until there is an entry to take, without running a main context. Turns
 * #IOStreamConnection:notify-in-context off.
 *
 * With #IOStreamConnection:resume the wait goes on when the owner is gone, until
 * the next one has sent something.
 *
 * In the thread of the connection. Once the queue is empty it fails with
 * %IO_STREAM_ERROR_NOT_READY if the stream is not running,
 * %IO_STREAM_ERROR_NOT_OPEN if it is not open, and with what
 * io_connection_get_error() says if the connection broke. Fails with
 * %IO_STREAM_ERROR_TIMEOUT when the time is over and %G_IO_ERROR_CANCELLED
 * when cancelled.
 *
 * Returns: %TRUE if there is an entry
 * Since: 1.0
 */
gboolean
io_stream_connection_wait (IOStreamConnection  *self,
                           gint64               timeout,
                           GCancellable        *cancellable,
                           GError             **error)
{
  G_GNUC_UNUSED g_autoptr (IOStreamConnection) keep = NULL;
  IOStreamConnectionPrivate *priv;
  gint64 now, deadline;

  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  priv = _io_stream_connection_get_private (self);
  if (!priv->notify_in_context && !_io_stream_connection_has_news (self) && _io_stream_connection_has_output (self))
    return TRUE;

  /* From here on somebody may be told something. */
  keep = g_object_ref (self);
  io_stream_connection_set_notify_in_context (self, FALSE);
  now = g_get_monotonic_time ();
  if (timeout > G_MAXINT64 - now)
    timeout = -1;
  deadline = timeout > 0 ? now + timeout : timeout;

  /* Somebody for whom there always is an entry hears of changes too. */
  see_page (self);
  for (guint n = 0; !_io_stream_connection_has_output (self); n++)
    if ((n >= MAX_LOOKS && !check_time (self, deadline, cancellable, error)) ||
        !wait_step (self, deadline, cancellable, error))
      return FALSE;

  return TRUE;
}
