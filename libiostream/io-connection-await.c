/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-connection-reach-private.h"

/* Connections to services that have still to come. */

typedef struct {
  IOConnection *connection;
  IONamesWait  *wait;
  IOReach      *reach;
  gint64        deadline;
  GSource      *source;
  GSource      *timeout;
  GSource      *cancelled;
} Await;

static void
clear_source (GSource **source)
{
  if (*source != NULL)
    g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

static void
await_clear (Await *self)
{
  g_clear_pointer (&self->reach, _io_reach_free);
  clear_source (&self->source);
  clear_source (&self->timeout);
  clear_source (&self->cancelled);
  g_clear_pointer (&self->wait, _io_names_wait_free);
  g_clear_object (&self->connection);
}

static void
await_free (gpointer data)
{
  Await *self = data;

  await_clear (self);
  g_free (self);
}

static gboolean
await_begin (Await        *self,
             IOConnection *connection,
             gboolean      opens,
             guint         options,
             GError      **error)
{
  self->connection = g_object_ref (connection);
  self->wait = _io_names_wait_new (io_connection_get_name (connection), error);
  if (self->wait == NULL)
    return FALSE;

  self->reach = _io_reach_new (self->connection, self->wait, opens, options);

  return TRUE;
}

static GError *
new_timeout_error (const char *name)
{
  return g_error_new (IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT,
                      "Waiting for service “%s”: its owner did not come in the time given", name);
}

/* One who is not to wait for an owner waits for the answers of one that is
 * there. */
static gint64
get_deadline (Await        *self,
              IOReachState  state,
              gint64        timeout)
{
  if (timeout == 0 && state == IO_REACH_BUSY && self->deadline == 0)
    self->deadline = _io_connection_end_of_timeout (_io_connection_get_private (self->connection)->timeout);

  return self->deadline;
}

IOConnection *
_io_connection_await (IOConnection  *taken,
                      gboolean       opens,
                      guint          options,
                      gint64         timeout,
                      GCancellable  *cancellable,
                      GError       **error)
{
  Await self = { NULL };
  g_autoptr (IOConnection) fresh = taken;
  IOConnection *connection = NULL;
  IOReachState state;

  self.deadline = timeout == 0 ? 0 : _io_connection_end_of_timeout (timeout);
  if (g_cancellable_set_error_if_cancelled (cancellable, error) ||
      !await_begin (&self, fresh, opens, options, error))
    {
      await_clear (&self);
      return NULL;
    }
  if (!_io_connection_enter (self.connection, IO_OPCODE_HELLO, error))
    {
      await_clear (&self);
      return NULL;
    }
  _io_connection_leave (self.connection);

  do
    state = _io_reach_step (self.reach, error);
  while (state < IO_REACH_DONE &&
         _io_reach_sleep (self.reach, get_deadline (&self, state, timeout), cancellable, error));
  if (state == IO_REACH_DONE)
    connection = g_object_ref (self.connection);
  await_clear (&self);

  return connection;
}

static void
await_end (GTask  *task,
           GError *error)
{
  Await *self = g_task_get_task_data (task);
  g_autoptr (IOConnection) connection = g_object_ref (self->connection);

  await_clear (self);
  if (error != NULL)
    g_task_return_error (task, error);
  else
    g_task_return_pointer (task, g_steal_pointer (&connection), g_object_unref);
  g_object_unref (task);
}

static gboolean
timeout_cb (gpointer user_data)
{
  Await *self = g_task_get_task_data (user_data);

  await_end (user_data, new_timeout_error (io_connection_get_name (self->connection)));

  return G_SOURCE_REMOVE;
}

static gboolean
cancelled_cb (GCancellable *cancellable,
              gpointer      user_data)
{
  GError *error = NULL;

  if (g_cancellable_set_error_if_cancelled (cancellable, &error))
    await_end (user_data, error);

  return G_SOURCE_REMOVE;
}

static gboolean
step_cb (gpointer user_data)
{
  Await *self = g_task_get_task_data (user_data);
  GError *error = NULL;
  IOReachState state = _io_reach_step (self->reach, &error);

  if (state < IO_REACH_DONE)
    return G_SOURCE_CONTINUE;

  await_end (user_data, error);
  return G_SOURCE_REMOVE;
}

static void
arm_timeout (GTask  *task,
             gint64  deadline)
{
  Await *self = g_task_get_task_data (task);

  if (deadline < 0)
    return;

  self->timeout = g_timeout_source_new (0);
  g_source_set_ready_time (self->timeout, deadline);
  g_source_set_callback (self->timeout, timeout_cb, task, NULL);
  g_source_attach (self->timeout, g_task_get_context (task));
}

static void
arm (GTask *task)
{
  Await *self = g_task_get_task_data (task);
  GCancellable *cancellable = g_task_get_cancellable (task);

  if (cancellable != NULL)
    {
      self->cancelled = g_cancellable_source_new (cancellable);
      g_source_set_callback (self->cancelled, G_SOURCE_FUNC (cancelled_cb), task, NULL);
      g_source_attach (self->cancelled, g_task_get_context (task));
    }
  self->source = _io_reach_source_new ("[iostream] await", step_cb, task, NULL);
  _io_reach_set_source (self->reach, self->source);
  g_source_attach (self->source, g_task_get_context (task));
}

void
_io_connection_await_async (IOConnection *taken,
                            gboolean      opens,
                            guint         options,
                            gint64        timeout,
                            GTask        *task)
{
  Await *self = g_new0 (Await, 1);
  g_autoptr (IOConnection) fresh = taken;
  GError *error = NULL;
  IOReachState state;

  g_task_set_task_data (task, self, await_free);
  g_task_set_check_cancellable (task, FALSE);
  self->deadline = timeout == 0 ? 0 : _io_connection_end_of_timeout (timeout);
  if (g_cancellable_set_error_if_cancelled (g_task_get_cancellable (task), &error) ||
      !await_begin (self, fresh, opens, options, &error))
    {
      g_task_return_error (task, error);
      g_object_unref (task);
      return;
    }

  arm (task);
  state = _io_reach_step (self->reach, &error);
  if (state >= IO_REACH_DONE)
    await_end (task, error);
  else
    arm_timeout (task, get_deadline (self, state, timeout));
}

/**
 * io_connection_await_name: (constructor)
 * @name: the name of a service
 * @timeout: how long to wait, in microseconds; -1 for ever, 0 for a service
 *   that is there
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Connects to the service called @name as soon as there is one: as
 * io_connection_new_for_name(), but nobody who has the name is no failure.
 * Between the look and the wait there is no gap. Nobody asks at intervals: the
 * kernel tells when something happens to the name, as it does for #IORegistry.
 * All who wait in one process share one watch. To wait for a service that has
 * certain attributes, use io_registry_wait_for_service() first.
 *
 * An owner that is there but does not answer is waited for too, and so is the
 * next one if it dies meanwhile. The main context of the caller is not served.
 *
 * It fails with %IO_STREAM_ERROR_TIMEOUT if nobody came in the time given,
 * %G_IO_ERROR_CANCELLED if cancelled, %IO_STREAM_ERROR_NOT_PERMITTED if the
 * runtime directory cannot be watched or the owner refuses, and otherwise as
 * io_connection_new_for_name() but for %IO_STREAM_ERROR_NOT_FOUND.
 *
 * Any thread; the connection belongs to it.
 *
 * Apple: IOService::waitForMatchingService() and the first half of
 * IOServiceOpen().
 *
 * Returns: (transfer full): the connection, or %NULL with @error set
 * Since: 1.0
 */
IOConnection *
io_connection_await_name (const char    *name,
                          gint64         timeout,
                          GCancellable  *cancellable,
                          GError       **error)
{
  g_return_val_if_fail (name != NULL, NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return _io_connection_await (g_object_new (IO_TYPE_CONNECTION, "name", name, NULL), FALSE, 0, timeout, cancellable, error);
}

/**
 * io_connection_await_name_async:
 * @name: the name of a service
 * @timeout: as in io_connection_await_name()
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async): called when it is connected, or failed
 * @user_data: for @callback
 *
 * Begins what io_connection_await_name() does, without blocking; end it with
 * io_connection_await_name_finish(). It takes no file descriptor of its own. The
 * service may be one that the calling thread is to serve.
 *
 * Any thread; the connection belongs to it, and @callback is called in its
 * thread-default main context.
 *
 * Since: 1.0
 */
void
io_connection_await_name_async (const char          *name,
                                gint64               timeout,
                                GCancellable        *cancellable,
                                GAsyncReadyCallback  callback,
                                gpointer             user_data)
{
  GTask *task;

  g_return_if_fail (name != NULL);
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (NULL, cancellable, callback, user_data);
  g_task_set_source_tag (task, io_connection_await_name_async);
  _io_connection_await_async (g_object_new (IO_TYPE_CONNECTION, "name", name, NULL), FALSE, 0, timeout, task);
}

/**
 * io_connection_await_name_finish: (constructor)
 * @result: what the callback got
 * @error: return location for a #GError
 *
 * Ends io_connection_await_name_async(); it fails as io_connection_await_name()
 * does. In the thread of the callback.
 *
 * Returns: (transfer full): the connection, or %NULL with @error set
 * Since: 1.0
 */
IOConnection *
io_connection_await_name_finish (GAsyncResult  *result,
                                 GError       **error)
{
  g_return_val_if_fail (g_task_is_valid (result, NULL), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, io_connection_await_name_async), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}
