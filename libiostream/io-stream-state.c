/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-private.h"

#include "io-enum-types.h"
#include "io-fork-private.h"
#include "io-service-private.h"

void
_io_stream_store_state (IOStreamPrivate *priv,
                        IOStreamState    state)
{
  g_mutex_lock (&priv->lock);
  priv->state = state;
  g_cond_broadcast (&priv->cond);
  g_mutex_unlock (&priv->lock);
}

/* Makes the state known: in the owner's page, where a client finds it that
 * never looks at its control socket; in the attributes; to who listens here. */
void
_io_stream_publish_state (IOStream *self)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  g_autoptr (GEnumClass) states = g_type_class_ref (IO_TYPE_STREAM_STATE);

  g_mutex_lock (&priv->lock);
  if (priv->link != NULL && priv->fork_count == _io_fork_count ())
    {
      atomic_store_explicit (&priv->link->own.page->state, priv->state, memory_order_release);
      _io_stream_link_ring (priv->link);
    }
  g_mutex_unlock (&priv->lock);

  io_service_set_attribute (IO_SERVICE (self), "state",
                            g_variant_new_string (g_enum_get_value (states, (int) priv->state)->value_nick));
  g_object_notify (G_OBJECT (self), "state");
}

gboolean
_io_stream_run_method (IOStream       *self,
                       IOStreamState   target,
                       GError        **error)
{
  IOStreamClass *klass = IO_STREAM_GET_CLASS (self);
  g_autoptr (GError) local_error = NULL;
  gboolean done;
  const char *name;
  gboolean (*method) (IOStream *, GError **);

  switch (target)
    {
    case IO_STREAM_STATE_RUNNING:
      method = klass->start;
      name = "start";
      break;
    case IO_STREAM_STATE_SUSPENDED:
      method = klass->suspend;
      name = "suspend";
      break;
    case IO_STREAM_STATE_CLOSED:
    case IO_STREAM_STATE_STOPPED:
    default:
      method = klass->stop;
      name = "stop";
      break;
    }

  if (method == NULL)
    return TRUE;

  _io_service_begin_method (IO_SERVICE (self));
  done = method (self, &local_error);
  _io_service_end_method (IO_SERVICE (self));
  if (done)
    return TRUE;

  if (local_error == NULL)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED,
                 "The %s method of %s failed without saying why", name, G_OBJECT_TYPE_NAME (self));
  else
    g_propagate_error (error, g_steal_pointer (&local_error));

  return FALSE;
}

void
_io_stream_stop_for_close (IOStream *self)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  g_autoptr (GError) local_error = NULL;

  priv->changing = TRUE;
  if (!_io_stream_run_method (self, IO_STREAM_STATE_STOPPED, &local_error))
    g_message ("Stopping stream “%s” for a client that left: %s",
               io_service_get_name (IO_SERVICE (self)), local_error->message);
  priv->changing = FALSE;
}

static gboolean
check_change (IOStream       *self,
              IOStreamState   target,
              GError        **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);

  if (priv->fork_count != _io_fork_count ())
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN,
                 "Stream “%s” belongs to the parent process", io_service_get_name (IO_SERVICE (self)));
  else if (priv->changing)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY,
                 "The state of stream “%s” is changing already", io_service_get_name (IO_SERVICE (self)));
  else if (priv->link == NULL || !priv->link->ready)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN,
                 "No client has stream “%s” open", io_service_get_name (IO_SERVICE (self)));
  else if (target == IO_STREAM_STATE_SUSPENDED && priv->state == IO_STREAM_STATE_STOPPED)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY,
                 "Stream “%s” cannot be suspended: it is not running", io_service_get_name (IO_SERVICE (self)));
  else
    return TRUE;

  return FALSE;
}

static void
tell_change (IOStream      *self,
             IOStreamState  previous,
             IOStreamState  target)
{
  _io_stream_publish_state (self);
  if (target == IO_STREAM_STATE_SUSPENDED)
    _io_service_announce_state (IO_SERVICE (self), IO_SERVICE_MESSAGE_SUSPENDED);
  else if (target == IO_STREAM_STATE_RUNNING && previous == IO_STREAM_STATE_SUSPENDED)
    _io_service_announce_state (IO_SERVICE (self), IO_SERVICE_MESSAGE_RESUMED);
}

/* The new state first, so that the method can send buffers; back if it
 * fails. The client may die meanwhile, with the link. */
static gboolean
change_state (IOStream       *self,
              IOStreamState   target,
              GError        **error)
{
  G_GNUC_UNUSED g_autoptr (IOStream) keep = g_object_ref (self);
  IOStreamPrivate *priv = _io_stream_get_private (self);
  IOStreamState previous = priv->state;
  guint32 epoch = priv->epoch;
  gboolean done;

  if (!check_change (self, target, error))
    return FALSE;
  if (previous == target)
    return TRUE;

  _io_stream_store_state (priv, target);
  priv->changing = TRUE;
  done = _io_stream_run_method (self, target, error);
  priv->changing = FALSE;

  if (priv->link == NULL || priv->epoch != epoch)
    {
      if ((done ? target : previous) != IO_STREAM_STATE_STOPPED)
        _io_stream_stop_for_close (self);
      g_clear_error (error);
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_ABORTED,
                   "The client of stream “%s” left meanwhile", io_service_get_name (IO_SERVICE (self)));
      return FALSE;
    }

  if (done)
    tell_change (self, previous, target);
  else
    _io_stream_store_state (priv, previous);

  return done;
}

typedef struct {
  IOStream      *stream;
  IOStreamState  state;
  GError       **error;
  gboolean       done;
} StateAction;

static gboolean
state_action_cb (gpointer user_data)
{
  StateAction *action = user_data;

  action->done = change_state (action->stream, action->state, action->error);

  return action->done;
}

static gboolean
change_state_on_loop (IOStream       *self,
                      IOStreamState   state,
                      GError        **error)
{
  IOWorkLoop *loop = io_service_get_work_loop (IO_SERVICE (self));
  StateAction action = { self, state, error, FALSE };

  if (loop == NULL || io_work_loop_on_thread (loop))
    return change_state (self, state, error);

  if (!io_work_loop_run_action (loop, state_action_cb, &action) && error != NULL && *error == NULL)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN,
                 "The work loop of stream “%s” is shut down", io_service_get_name (IO_SERVICE (self)));

  return action.done;
}

/**
 * io_stream_get_state:
 * @self: a stream
 *
 * Gets where the stream is in its life.
 *
 * Any thread.
 *
 * Returns: the state
 * Since: 1.0
 */
IOStreamState
io_stream_get_state (IOStream *self)
{
  IOStreamPrivate *priv;
  IOStreamState state;

  g_return_val_if_fail (IO_IS_STREAM (self), IO_STREAM_STATE_CLOSED);

  priv = _io_stream_get_private (self);
  g_mutex_lock (&priv->lock);
  state = priv->state;
  g_mutex_unlock (&priv->lock);

  return state;
}

/**
 * io_stream_start: (virtual start)
 * @self: a stream
 * @error: return location for an error
 *
 * Starts the stream, as a client does with io_stream_connection_start(). Does
 * nothing if it runs already. Apple's startStream().
 *
 * In the thread of the stream, or any other if it has a work loop. Fails with
 * %IO_STREAM_ERROR_NOT_OPEN unless a client has it open,
 * %IO_STREAM_ERROR_BUSY inside a start, stop or suspend method, and with what
 * the method of the class says.
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_start (IOStream  *self,
                 GError   **error)
{
  g_return_val_if_fail (IO_IS_STREAM (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return change_state_on_loop (self, IO_STREAM_STATE_RUNNING, error);
}

/**
 * io_stream_stop: (virtual stop)
 * @self: a stream
 * @error: return location for an error
 *
 * Stops the stream. What was sent before can still be taken by the client.
 * Does nothing if it is stopped already. Apple's stopStream().
 *
 * In the thread of the stream, or any other if it has a work loop. Fails as
 * io_stream_start().
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_stop (IOStream  *self,
                GError   **error)
{
  g_return_val_if_fail (IO_IS_STREAM (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return change_state_on_loop (self, IO_STREAM_STATE_STOPPED, error);
}

/**
 * io_stream_suspend: (virtual suspend)
 * @self: a stream
 * @error: return location for an error
 *
 * Pauses a running stream; io_stream_start() goes on. Does nothing if it is
 * suspended already. Apple's suspendStream().
 *
 * In the thread of the stream, or any other if it has a work loop. Fails with
 * %IO_STREAM_ERROR_NOT_READY if it is stopped, otherwise as io_stream_start().
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_suspend (IOStream  *self,
                   GError   **error)
{
  g_return_val_if_fail (IO_IS_STREAM (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return change_state_on_loop (self, IO_STREAM_STATE_SUSPENDED, error);
}
