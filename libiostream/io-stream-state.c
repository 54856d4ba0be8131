/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-private.h"

#include "io-enum-types.h"
#include "io-fork-private.h"
#include "io-service-private.h"

/* The numbers are those of the original. */
static guint
rank (IOStreamState state)
{
  return state == IO_STREAM_STATE_RUNNING ? G_MAXUINT : state;
}

static IOStreamState
sum_states (IOStreamPrivate *priv)
{
  IOStreamState sum = IO_STREAM_STATE_CLOSED;

  for (guint i = 0; i < priv->links->len; i++)
    {
      IOStreamLink *link = _io_stream_link_at (priv, i);

      if (rank (link->state) > rank (sum))
        sum = link->state;
    }

  return sum;
}

IOStreamState
_io_stream_settle_state_locked (IOStreamPrivate *priv)
{
  priv->state = sum_states (priv);
  _io_stream_publish_locked (priv, TRUE);
  /* One that held back the others may no longer run. */
  g_cond_broadcast (&priv->cond);

  return priv->state;
}

/* In the owner's page, where a client finds it that never looks at its control
 * socket. */
void
_io_stream_publish_links (IOStreamPrivate *priv)
{
  g_mutex_lock (&priv->lock);
  for (guint i = 0; i < priv->links->len && priv->fork_count == _io_fork_count (); i++)
    {
      IOStreamLink *link = _io_stream_link_at (priv, i);

      if (atomic_exchange_explicit (&link->own.page->state, link->state, memory_order_release) != link->state)
        _io_stream_link_ring (link);
    }
  g_mutex_unlock (&priv->lock);
}

/* Makes the state known: to the clients; in the attributes; to who listens
 * here. */
void
_io_stream_publish_state (IOStream *self)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  g_autoptr (GEnumClass) states = g_type_class_ref (IO_TYPE_STREAM_STATE);

  priv->told_state = priv->state;
  _io_stream_publish_links (priv);
  io_service_set_attribute (IO_SERVICE (self), "state",
                            g_variant_new_string (g_enum_get_value (states, (int) priv->state)->value_nick));
  g_object_notify (G_OBJECT (self), "state");
}

static gboolean
run_method (IOStream       *self,
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

/* More of them may leave in the methods. */
void
_io_stream_step_down (IOStream      *self,
                      IOStreamState  reached)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);

  while (rank (MAX (priv->state, IO_STREAM_STATE_STOPPED)) < rank (reached))
    {
      g_autoptr (GError) local_error = NULL;

      reached = MAX (priv->state, IO_STREAM_STATE_STOPPED);
      priv->changing = TRUE;
      if (!run_method (self, reached, &local_error))
        g_message ("Stopping stream “%s” for a client that left: %s",
                   io_service_get_name (IO_SERVICE (self)), local_error->message);
      priv->changing = FALSE;
    }
}

static gboolean
has_ready_link (IOStreamPrivate *priv)
{
  for (guint i = 0; i < priv->links->len; i++)
    if (_io_stream_link_at (priv, i)->ready)
      return TRUE;

  return FALSE;
}

/* @link: NULL for all together */
static gboolean
check_change (IOStream       *self,
              IOStreamLink   *link,
              IOStreamState   target,
              GError        **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  IOStreamState state = link != NULL ? link->state : priv->state;
  const char *name = io_service_get_name (IO_SERVICE (self));

  if (priv->fork_count != _io_fork_count ())
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN,
                 "Stream “%s” belongs to the parent process", name);
  else if (priv->changing)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY,
                 "The state of stream “%s” is changing already", name);
  else if (link != NULL ? !link->ready : !has_ready_link (priv))
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN,
                 "No client has stream “%s” open", name);
  else if (target == IO_STREAM_STATE_SUSPENDED && state == IO_STREAM_STATE_STOPPED)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY,
                 "Stream “%s” cannot be suspended: it is not running", name);
  else
    return TRUE;

  return FALSE;
}

static void
tell_change (IOStream      *self,
             IOStreamState  previous,
             IOStreamState  target)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);

  _io_stream_publish_state (self);
  if (priv->state != target)
    return;
  if (target == IO_STREAM_STATE_SUSPENDED)
    _io_service_announce_state (IO_SERVICE (self), IO_SERVICE_MESSAGE_SUSPENDED);
  else if (target == IO_STREAM_STATE_RUNNING && previous == IO_STREAM_STATE_SUSPENDED)
    _io_service_announce_state (IO_SERVICE (self), IO_SERVICE_MESSAGE_RESUMED);
}

/* Of @only, or of all that have it open; what is stopped is not suspended with
 * the others. Gives the new state of all together. */
static IOStreamState
set_states (IOStreamPrivate *priv,
            IOStreamLink    *only,
            IOStreamState    target)
{
  IOStreamState sum;

  g_mutex_lock (&priv->lock);
  for (guint i = 0; i < priv->links->len; i++)
    {
      IOStreamLink *link = _io_stream_link_at (priv, i);
      gboolean stays = !link->ready ||
                       (target == IO_STREAM_STATE_SUSPENDED && link->state == IO_STREAM_STATE_STOPPED);

      link->previous = link->state;
      if (only != NULL ? only == link : !stays)
        link->state = target;
      if (link->previous == IO_STREAM_STATE_STOPPED && link->state == IO_STREAM_STATE_RUNNING)
        _io_stream_history_replay_locked (priv, link);
    }
  sum = _io_stream_settle_state_locked (priv);
  g_mutex_unlock (&priv->lock);

  return sum;
}

static void
restore_states (IOStreamPrivate *priv,
                IOStreamLink    *only)
{
  g_mutex_lock (&priv->lock);
  for (guint i = 0; i < priv->links->len; i++)
    {
      IOStreamLink *link = _io_stream_link_at (priv, i);

      if (only != NULL ? only == link : link->previous != IO_STREAM_STATE_CLOSED)
        link->state = link->previous;
    }
  _io_stream_settle_state_locked (priv);
  g_mutex_unlock (&priv->lock);
}

/* What clients that came or left in the method made known was not yet sure. */
static void
tell_failure (IOStream *self)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);

  if (priv->state != priv->told_state)
    _io_stream_publish_state (self);
  else
    _io_stream_publish_links (priv);
}

/* Whoever wanted it left meanwhile. */
static gboolean
is_gone (IOStreamPrivate *priv,
         IOUserClient    *client,
         guint32          epoch,
         IOStreamState    target)
{
  IOStreamLink *link = client != NULL ? _io_stream_find_link (priv, client) : NULL;

  if (client != NULL)
    return link == NULL || link->epoch != epoch;

  return priv->links->len == 0 || priv->session != epoch || rank (priv->state) < rank (target);
}

static gboolean
fail_left (IOStream  *self,
           GError   **error)
{
  g_clear_error (error);
  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_ABORTED,
               "The client of stream “%s” left meanwhile", io_service_get_name (IO_SERVICE (self)));

  return FALSE;
}

/* The new state first, so that the method can send buffers; back if it fails.
 * Any client may die meanwhile, with its link. */
static gboolean
run_change (IOStream       *self,
            IOUserClient   *client,
            IOStreamLink   *link,
            IOStreamState   target,
            GError        **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  guint32 epoch = link != NULL ? link->epoch : priv->session;
  IOStreamState previous = priv->state, sum = set_states (priv, link, target);
  gboolean done, gone;

  if (sum == previous)
    {
      _io_stream_publish_links (priv);
      return TRUE;
    }

  priv->changing = TRUE;
  done = run_method (self, sum, error);
  priv->changing = FALSE;

  gone = is_gone (priv, client, epoch, target);
  if (!gone && !done)
    restore_states (priv, link);
  _io_stream_step_down (self, done ? sum : previous);
  if (done && !gone)
    tell_change (self, previous, sum);
  else
    tell_failure (self);

  return gone ? fail_left (self, error) : done;
}

gboolean
_io_stream_change_state (IOStream       *self,
                         IOUserClient   *client,
                         IOStreamState   target,
                         GError        **error)
{
  G_GNUC_UNUSED g_autoptr (IOStream) keep = g_object_ref (self);
  IOStreamPrivate *priv = _io_stream_get_private (self);
  IOStreamLink *link = client != NULL ? _io_stream_find_link (priv, client) : NULL;

  g_return_val_if_fail (client == NULL || link != NULL, FALSE);

  if (!check_change (self, link, target, error))
    return FALSE;
  if (link != NULL && link->state == target)
    return TRUE;

  return run_change (self, client, link, target, error);
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

  action->done = _io_stream_change_state (action->stream, NULL, action->state, action->error);

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
    return _io_stream_change_state (self, NULL, state, error);

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
 * Starts the stream for all clients that have it open, as each does for itself
 * with io_stream_connection_start(). Does nothing if it runs already. The
 * method of the class is called when the first client runs. Apple's
 * startStream().
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
 * Stops the stream for all clients; a client that stops it does so for itself
 * alone, and the method of the class is called when none runs any more. What
 * was sent before can still be taken. Does nothing if it is stopped already. Apple's stopStream().
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
 * Pauses a running stream for all clients; io_stream_start() goes on. Does nothing if it is
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
