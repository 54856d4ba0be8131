/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-service-internal-private.h"

#include "io-user-client-private.h"

/* The end, at once or in order. */

static void
end_client (IOService    *self,
            IOUserClient *client)
{
  if (io_user_client_is_connected (client))
    io_user_client_terminate (client, NULL);
  else
    /* Called from its own end. */
    _io_service_forget_client (self, client);
}

/* From now on nobody comes in, and those who are there know. */
static void
begin_end (IOService *self)
{
  IOServicePrivate *priv = _io_service_get_private (self);
  gboolean was_registered = priv->registered;

  priv->inactive = TRUE;
  _io_service_unpublish (self);
  _io_door_stop (priv->door);
  _io_door_release (priv->door);
  priv->registered = FALSE;
  priv->keeps = was_registered;
  g_object_notify (G_OBJECT (self), "inactive");
  if (was_registered)
    g_object_notify (G_OBJECT (self), "registered");
  _io_service_serve_waiting (self);
  _io_service_tell_end (self);
}

static void
finish_end (IOService *self)
{
  IOServicePrivate *priv = _io_service_get_private (self);
  GList *tasks = g_steal_pointer (&priv->terminations);

  priv->ended = TRUE;
  _io_service_track_attributes (self);
  g_signal_emit_by_name (self, "terminated");
  if (priv->ending)
    io_service_adjust_busy (self, -1);
  priv->ending = FALSE;

  for (GList *l = tasks; l != NULL; l = l->next)
    {
      gulong id = GPOINTER_TO_SIZE (g_task_get_task_data (l->data));

      g_clear_signal_handler (&id, g_task_get_cancellable (l->data));
      g_task_return_boolean (l->data, TRUE);
    }
  g_list_free_full (tasks, g_object_unref);
  if (priv->keeps)
    g_object_unref (self);
}

static gboolean
terminate_func (IOService  *self,
                gpointer    data,
                GError    **error)
{
  IOServicePrivate *priv = _io_service_get_private (self);
  G_GNUC_UNUSED g_autoptr (IOService) kept = g_object_ref (self);

  /* Whoever is told may come here again. */
  if (priv->closing)
    return TRUE;
  priv->closing = TRUE;

  if (!priv->inactive)
    begin_end (self);
  /* Whoever hears of the beginning may be here before everybody was told. */
  _io_service_tell_end (self);
  while (priv->clients != NULL)
    end_client (self, priv->clients->data);
  finish_end (self);

  return TRUE;
}

/**
 * io_service_terminate:
 * @self: a service
 *
 * Ends the service at once: nobody can connect any more, clients are told
 * %IO_SERVICE_MESSAGE_TERMINATED and disconnected (with
 * #IOService::client-closed for those that had it open), the name is free,
 * #IOService::terminated is emitted, and the reference of the registration is
 * dropped. Does nothing if it was called before; ends the patience of
 * io_service_terminate_async().
 *
 * Can be called in any virtual method and signal handler.
 *
 * In the thread of the service; any thread if it has a work loop. Apple:
 * IOService::terminate.
 *
 * Since: 1.0
 */
void
io_service_terminate (IOService *self)
{
  gboolean ran;

  g_return_if_fail (IO_IS_SERVICE (self));

  if (!_io_service_in_own_process (self))
    return;

  _io_service_run (self, terminate_func, NULL, &ran, NULL);
  /* Its thread is gone, so nobody is in the way. */
  if (!ran)
    terminate_func (self, NULL, NULL);
}

static gboolean
is_patience_over (IOServicePrivate *priv)
{
  if (priv->end_deadline >= 0 && g_get_monotonic_time () >= priv->end_deadline)
    return TRUE;

  for (GList *l = priv->terminations; l != NULL; l = l->next)
    if (g_cancellable_is_cancelled (g_task_get_cancellable (l->data)))
      return TRUE;

  return FALSE;
}

gint64
_io_service_go_on_ending (IOService *self)
{
  IOServicePrivate *priv = _io_service_get_private (self);
  GList *clients;

  if (!priv->ending || priv->closing)
    return -1;

  clients = _io_service_copy_clients (self);
  for (GList *l = clients; l != NULL; l = l->next)
    if (!io_service_is_open (self, l->data))
      end_client (self, l->data);
  g_list_free_full (clients, g_object_unref);

  if (priv->clients != NULL && !is_patience_over (priv))
    return priv->end_deadline;

  terminate_func (self, NULL, NULL);
  return -1;
}

static void
cancelled_cb (GCancellable *cancellable,
              gpointer      user_data)
{
  g_autoptr (IOService) self = g_weak_ref_get (user_data);

  if (self != NULL)
    _io_service_schedule (self, 0);
}

static void
weak_ref_free (GWeakRef *ref)
{
  g_weak_ref_clear (ref);
  g_free (ref);
}

static void
heed_cancellable (IOService *self,
                  GTask     *task)
{
  GCancellable *cancellable = g_task_get_cancellable (task);
  GWeakRef *ref;
  gulong id;

  if (cancellable == NULL)
    return;

  ref = g_new0 (GWeakRef, 1);
  g_weak_ref_init (ref, self);
  id = g_signal_connect_data (cancellable, "cancelled", G_CALLBACK (cancelled_cb), ref,
                              (GClosureNotify) (GCallback) weak_ref_free, 0);
  g_task_set_task_data (task, GSIZE_TO_POINTER (id), NULL);
}

static gboolean
terminate_in_order_func (IOService  *self,
                         gpointer    data,
                         GError    **error)
{
  IOServicePrivate *priv = _io_service_get_private (self);
  G_GNUC_UNUSED g_autoptr (IOService) kept = g_object_ref (self);
  GTask *task = data;

  if (priv->ended)
    {
      g_task_return_boolean (task, TRUE);
      return TRUE;
    }
  if (priv->methods > 0)
    {
      g_task_return_new_error (task, IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY,
                               "Cannot terminate service “%s”: its state is changing",
                               priv->name != NULL ? priv->name : "");
      return FALSE;
    }

  priv->terminations = g_list_append (priv->terminations, g_object_ref (task));
  heed_cancellable (self, task);
  if (priv->inactive || priv->ending)
    return TRUE;

  priv->ending = TRUE;
  priv->end_deadline = priv->close_timeout < 0 ? -1 : g_get_monotonic_time () + priv->close_timeout;
  io_service_adjust_busy (self, 1);
  /* Whoever heard of that may have ended it. */
  if (priv->inactive)
    return TRUE;

  begin_end (self);
  _io_service_request_close (self, NULL);
  _io_service_schedule (self, 0);

  return TRUE;
}

/**
 * io_service_terminate_async:
 * @self: a service
 * @cancellable: (nullable): a #GCancellable; cancelling it ends the patience
 * @callback: (scope async): called when the service has ended
 * @user_data: for @callback
 *
 * Ends the service in order. The name is free at once, and nobody can connect or
 * open any more; all clients,
 * and then the listeners, are told %IO_SERVICE_MESSAGE_TERMINATED. A client that
 * does not have the service open is disconnected; one that has is told
 * %IO_SERVICE_MESSAGE_REQUESTING_CLOSE and keeps all it has, until it closes.
 * When #IOService:close-timeout is over, or @cancellable is cancelled, those
 * that are left are closed and disconnected. Then all is as after
 * io_service_terminate().
 *
 * In the thread of the service; any thread if it has a work loop. @callback is
 * called in the thread-default main context of the caller. Apple:
 * IOService::terminate, with the steps didTerminate and stop.
 *
 * Since: 1.0
 */
void
io_service_terminate_async (IOService           *self,
                            GCancellable        *cancellable,
                            GAsyncReadyCallback  callback,
                            gpointer             user_data)
{
  g_autoptr (GTask) task = NULL;
  gboolean ran;

  g_return_if_fail (IO_IS_SERVICE (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, io_service_terminate_async);
  /* It has ended all the same. */
  g_task_set_check_cancellable (task, FALSE);
  if (!_io_service_in_own_process (self))
    {
      g_task_return_new_error (task, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN,
                               "Cannot terminate a service of the parent process");
      return;
    }

  _io_service_run (self, terminate_in_order_func, task, &ran, NULL);
  if (ran)
    return;

  terminate_func (self, NULL, NULL);
  g_task_return_boolean (task, TRUE);
}

/**
 * io_service_terminate_finish:
 * @self: a service
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends io_service_terminate_async().
 *
 * Fails with %IO_STREAM_ERROR_BUSY if that was called within a start, stop or
 * suspend method of a stream, and %IO_STREAM_ERROR_NOT_OPEN in a forked child.
 *
 * Any thread.
 *
 * Returns: %TRUE if the service has ended
 * Since: 1.0
 */
gboolean
io_service_terminate_finish (IOService     *self,
                             GAsyncResult  *result,
                             GError       **error)
{
  g_return_val_if_fail (IO_IS_SERVICE (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, io_service_terminate_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

void
_io_service_begin_method (IOService *self)
{
  _io_service_get_private (self)->methods++;
}

void
_io_service_end_method (IOService *self)
{
  _io_service_get_private (self)->methods--;
}

/**
 * io_service_is_inactive:
 * @self: a service
 *
 * Gets #IOService:inactive. Any thread. Apple: IOService::isInactive.
 *
 * Returns: %TRUE from the first moment of io_service_terminate() or
 *   io_service_terminate_async() on
 * Since: 1.0
 */
gboolean
io_service_is_inactive (IOService *self)
{
  g_return_val_if_fail (IO_IS_SERVICE (self), FALSE);

  return _io_service_get_private (self)->inactive;
}
