/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-connection.h"

#include "io-connection-internal-private.h"
#include "io-shared-interrupt-controller-private.h"

/* The client's way to its end of a shared interrupt controller. */

static G_DEFINE_QUARK (io-connection-interrupts, interrupts)
static G_DEFINE_QUARK (io-connection-interrupts-tasks, tasks)

static void
weak_ref_free (gpointer data)
{
  g_weak_ref_clear (data);
  g_free (data);
}

/* The end that was got before, if it is still good. */
static IOSharedInterruptController *
find_known (IOConnection *self)
{
  GWeakRef *weak_ref = g_object_get_qdata (G_OBJECT (self), interrupts_quark ());
  g_autoptr (IOSharedInterruptController) controller = NULL;

  if (weak_ref != NULL)
    controller = g_weak_ref_get (weak_ref);
  if (controller == NULL || io_shared_interrupt_controller_get_n_peers (controller) == 0)
    return NULL;

  return g_steal_pointer (&controller);
}

static void
keep_known (IOConnection                *self,
            IOSharedInterruptController *controller)
{
  GWeakRef *weak_ref = g_new0 (GWeakRef, 1);

  g_weak_ref_init (weak_ref, controller);
  g_object_set_qdata_full (G_OBJECT (self), interrupts_quark (), weak_ref, weak_ref_free);
}

static gboolean
check_answer (IOConnection  *self,
              guint32        n_vectors,
              guint64        cookie,
              GUnixFDList   *fds,
              GError       **error)
{
  int n_fds = fds != NULL ? g_unix_fd_list_get_length (fds) : 0;

  if (n_vectors > 0 && n_vectors <= IO_INTERRUPT_MAX_VECTORS && cookie != 0 && n_fds == 3)
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR,
               "Cannot get the interrupts of service “%s”: the owner offers %u vectors with %d descriptors",
               io_connection_get_name (self), n_vectors, n_fds);
  return FALSE;
}

static IOSharedInterruptController *
make_controller (IOConnection  *self,
                 GVariant      *answer,
                 GUnixFDList   *fds,
                 GError       **error)
{
  g_autoptr (IOSharedInterruptController) controller = NULL;
  IOInterruptLink *link;
  guint32 n_vectors;
  guint64 cookie;

  g_variant_get (answer, "(ut)", &n_vectors, &cookie);
  if (!check_answer (self, n_vectors, cookie, fds, error))
    return NULL;

  controller = _io_shared_interrupt_controller_new_client (n_vectors, _io_connection_get_context (self));
  link = _io_interrupt_link_new_client (controller, cookie, fds, error);
  if (link == NULL)
    return NULL;

  _io_shared_interrupt_controller_add (controller, link);

  return g_steal_pointer (&controller);
}

/* The owner may cause from the moment at which it hears of it. */
static gboolean
say_ready (IOConnection                 *self,
           IOSharedInterruptController  *controller,
           GCancellable                 *cancellable,
           GError                      **error)
{
  g_autoptr (IOInterruptLink) link = _io_shared_interrupt_controller_find_link (controller, NULL);
  g_autoptr (GVariant) answer = NULL;

  _io_interrupt_link_set_ready (link, NULL);
  answer = _io_connection_call (self, IO_OPCODE_INTERRUPTS_READY, g_variant_new ("()"), cancellable, error);

  return answer != NULL;
}

/**
 * io_connection_get_interrupt_controller:
 * @self: a connection
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Gets this client's end of the controller that the service offers. The service
 * need not be open. Waits for the owner, no longer than
 * #IOConnection:timeout. As long as somebody holds what this returned, it
 * returns the same again. It ends with the connection.
 *
 * In the thread of the connection, whose context calls the handlers. Fails with
 * %IO_STREAM_ERROR_NOT_FOUND if the service offers none,
 * %IO_STREAM_ERROR_NO_RESOURCES if it takes more memory than this client may
 * have, %IO_STREAM_ERROR_IPC_ERROR or %IO_STREAM_ERROR_VM_ERROR if what the
 * owner sent cannot be trusted, and as every call does.
 *
 * Returns: (transfer full): the controller, or %NULL with @error set
 * Since: 1.0
 */
IOSharedInterruptController *
io_connection_get_interrupt_controller (IOConnection  *self,
                                        GCancellable  *cancellable,
                                        GError       **error)
{
  g_autoptr (IOSharedInterruptController) controller = NULL;
  g_autoptr (GUnixFDList) fds = NULL;
  g_autoptr (GVariant) answer = NULL;

  g_return_val_if_fail (IO_IS_CONNECTION (self), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  controller = find_known (self);
  if (controller != NULL)
    return g_steal_pointer (&controller);

  answer = _io_connection_call_with_fds (self, IO_OPCODE_GET_INTERRUPTS, g_variant_new ("()"),
                                         &fds, cancellable, error);
  if (answer == NULL)
    return NULL;

  controller = make_controller (self, answer, fds, error);
  if (controller == NULL || !say_ready (self, controller, cancellable, error))
    return NULL;

  keep_known (self, controller);

  return g_steal_pointer (&controller);
}

/* Asynchronous: one after the other, because the owner ends what it gave before
 * when it is asked again. */

static GQueue *
ensure_tasks (IOConnection *self)
{
  GQueue *tasks = g_object_get_qdata (G_OBJECT (self), tasks_quark ());

  if (tasks == NULL)
    {
      tasks = g_queue_new ();
      g_object_set_qdata_full (G_OBJECT (self), tasks_quark (), tasks, (GDestroyNotify) g_queue_free);
    }

  return tasks;
}

/* Takes over @error. */
static void
return_first (IOConnection *self,
              GError       *error)
{
  g_autoptr (GTask) task = g_queue_pop_head (ensure_tasks (self));
  g_autoptr (IOSharedInterruptController) known = error == NULL ? find_known (self) : NULL;

  if (known != NULL)
    g_task_return_pointer (task, g_steal_pointer (&known), g_object_unref);
  else if (error != NULL)
    g_task_return_error (task, error);
  else
    g_task_return_new_error (task, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE,
                             "Cannot get the interrupts of service “%s”: it has ended them",
                             io_connection_get_name (self));
}

static void interrupts_cb (IOConnection *self,
                           GVariant     *answer,
                           GUnixFDList  *fds,
                           const GError *error,
                           gpointer      data);

static void
begin_first (IOConnection *self)
{
  G_GNUC_UNUSED g_autoptr (IOConnection) kept = g_object_ref (self);
  GTask *task;

  while ((task = g_queue_peek_head (ensure_tasks (self))) != NULL)
    {
      g_autoptr (IOSharedInterruptController) known = find_known (self);
      GError *error = NULL;

      if (known == NULL &&
          _io_connection_start_call (self, IO_OPCODE_GET_INTERRUPTS, g_variant_new ("()"),
                                     g_task_get_cancellable (task), interrupts_cb, task, &error))
        return;
      return_first (self, error);
    }
}

static void
end_first (IOConnection *self,
           GError       *error)
{
  return_first (self, error);
  begin_first (self);
}

static void
ready_cb (IOConnection *self,
          GVariant     *answer,
          GUnixFDList  *fds,
          const GError *error,
          gpointer      data)
{
  g_autoptr (IOSharedInterruptController) controller = data;
  g_autoptr (IOSharedInterruptController) known = find_known (self);

  /* A synchronous call may have been faster. */
  if (error == NULL && known == NULL)
    keep_known (self, controller);
  end_first (self, error != NULL ? g_error_copy (error) : NULL);
}

static void
interrupts_cb (IOConnection *self,
               GVariant     *answer,
               GUnixFDList  *fds,
               const GError *error,
               gpointer      data)
{
  g_autoptr (IOSharedInterruptController) controller = find_known (self);
  g_autoptr (IOInterruptLink) link = NULL;
  GTask *task = data;
  GError *reason = error != NULL ? g_error_copy (error) : NULL;

  if (reason == NULL && controller == NULL)
    {
      controller = make_controller (self, answer, fds, &reason);
      if (controller != NULL)
        {
          link = _io_shared_interrupt_controller_find_link (controller, NULL);
          _io_interrupt_link_set_ready (link, NULL);
          if (_io_connection_start_call (self, IO_OPCODE_INTERRUPTS_READY, g_variant_new ("()"),
                                         g_task_get_cancellable (task), ready_cb, controller, &reason))
            {
              g_steal_pointer (&controller);
              return;
            }
        }
    }

  end_first (self, reason);
}

/**
 * io_connection_get_interrupt_controller_async:
 * @self: a connection
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async): called when the controller is there, or could not be
 *   had
 * @user_data: for @callback
 *
 * Gets this client's end of the controller without waiting. See
 * io_connection_get_interrupt_controller(). The connection must be made. Calls
 * that were made before are done first.
 *
 * In the thread of the connection.
 *
 * Since: 1.0
 */
void
io_connection_get_interrupt_controller_async (IOConnection        *self,
                                              GCancellable        *cancellable,
                                              GAsyncReadyCallback  callback,
                                              gpointer             user_data)
{
  GQueue *tasks;
  GTask *task;

  g_return_if_fail (IO_IS_CONNECTION (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  tasks = ensure_tasks (self);
  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, io_connection_get_interrupt_controller_async);
  g_queue_push_tail (tasks, task);
  if (g_queue_get_length (tasks) == 1)
    begin_first (self);
}

/**
 * io_connection_get_interrupt_controller_finish:
 * @self: a connection
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends io_connection_get_interrupt_controller_async(); it fails as
 * io_connection_get_interrupt_controller() does, and with
 * %IO_STREAM_ERROR_NOT_OPEN if the connection was not made.
 *
 * In the thread of the connection.
 *
 * Returns: (transfer full): the controller, or %NULL with @error set
 * Since: 1.0
 */
IOSharedInterruptController *
io_connection_get_interrupt_controller_finish (IOConnection  *self,
                                               GAsyncResult  *result,
                                               GError       **error)
{
  g_return_val_if_fail (IO_IS_CONNECTION (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, io_connection_get_interrupt_controller_async), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}
