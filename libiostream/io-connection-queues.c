/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-connection-internal-private.h"

#include "io-shared-data-queue-private.h"

#include <unistd.h>

/* GET_QUEUE brings the two regions and the bell, QUEUE_READY says that they are
 * mapped. The owner may be hostile, so the answer is held against what is
 * possible. */

#define fail_queue(self, error, ...) \
  (_io_connection_set_breach ((self), error, "Cannot get a data queue of", __VA_ARGS__), NULL)

static IOSharedDataQueue *
attach_queue (IOConnection  *self,
              GVariant      *answer,
              GUnixFDList   *fds,
              guint32       *number,
              GError       **error)
{
  IOSharedDataQueueParts parts;
  g_autofree int *list = NULL;
  guint32 role;

  g_variant_get (answer, "(uuuu)", number, &role, &parts.geometry.capacity, &parts.geometry.ring_bytes);
  if (role != IO_SHARED_DATA_QUEUE_PRODUCER && role != IO_SHARED_DATA_QUEUE_CONSUMER)
    return fail_queue (self, error, "the owner offers role %u", role);
  if (!_io_data_geometry_is_sound (&parts.geometry))
    return fail_queue (self, error, "the owner offers a capacity of %u in %u bytes",
                       parts.geometry.capacity, parts.geometry.ring_bytes);
  if (fds == NULL || g_unix_fd_list_get_length (fds) != 3)
    return fail_queue (self, error, "the owner sent %d descriptors in place of 3",
                       fds != NULL ? g_unix_fd_list_get_length (fds) : 0);

  list = g_unix_fd_list_steal_fds (fds, NULL);
  parts.role = (IOSharedDataQueueRole) role;
  parts.producer_fd = list[0];
  parts.consumer_fd = list[1];
  parts.bell_fd = list[2];

  return _io_shared_data_queue_new_for_parts (&parts, error);
}

/**
 * io_connection_get_data_queue:
 * @self: an #IOConnection
 * @type: which queue; what the numbers mean is up to the service
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Gets the client's end of a queue of records, which the owner makes for this
 * client in #IOUserClientClass.client_queue_for_type(). It ends when the
 * service is closed and when the connection ends; drop it, and it ends before.
 *
 * Fails with %IO_STREAM_ERROR_UNSUPPORTED if there is no such queue,
 * %IO_STREAM_ERROR_NOT_OPEN if the service is not open,
 * %IO_STREAM_ERROR_NO_RESOURCES if the client has too much already,
 * %IO_STREAM_ERROR_NOT_PERMITTED if it would produce and may only read,
 * %IO_STREAM_ERROR_IPC_ERROR or %IO_STREAM_ERROR_VM_ERROR if what the owner
 * sends cannot be used, %IO_STREAM_ERROR_NOT_RESPONDING,
 * %IO_STREAM_ERROR_CANNOT_LOCK if this thread serves the owner, and what the
 * owner refuses with.
 *
 * In the thread of the connection. Apple: IOConnectMapMemory() with the type
 * of the queue, and IOConnectSetNotificationPort().
 *
 * Returns: (transfer full): the queue, or %NULL
 * Since: 1.0
 */
IOSharedDataQueue *
io_connection_get_data_queue (IOConnection  *self,
                              guint          type,
                              GCancellable  *cancellable,
                              GError       **error)
{
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GVariant) ready = NULL;
  g_autoptr (GUnixFDList) fds = NULL;
  g_autoptr (IOSharedDataQueue) queue = NULL;
  guint32 number;

  g_return_val_if_fail (IO_IS_CONNECTION (self), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  answer = _io_connection_call_with_fds (self, IO_OPCODE_GET_QUEUE, g_variant_new ("(u)", type), &fds,
                                         cancellable, error);
  if (answer == NULL)
    return NULL;

  queue = attach_queue (self, answer, fds, &number, error);
  if (queue == NULL)
    return NULL;

  ready = _io_connection_call (self, IO_OPCODE_QUEUE_READY, g_variant_new ("(u)", number), cancellable, error);

  return ready != NULL ? g_steal_pointer (&queue) : NULL;
}

static void
ready_cb (IOConnection *self,
          GVariant     *answer,
          GUnixFDList  *fds,
          const GError *error,
          gpointer      data)
{
  g_autoptr (GTask) task = data;

  if (error != NULL)
    g_task_return_error (task, g_error_copy (error));
  else
    g_task_return_pointer (task, g_object_ref (g_task_get_task_data (task)), g_object_unref);
}

static void
queue_cb (IOConnection *self,
          GVariant     *answer,
          GUnixFDList  *fds,
          const GError *error,
          gpointer      data)
{
  g_autoptr (GTask) task = data;
  IOSharedDataQueue *queue;
  GError *local_error = NULL;
  guint32 number = 0;

  queue = error == NULL ? attach_queue (self, answer, fds, &number, &local_error) : NULL;
  if (queue != NULL)
    {
      g_task_set_task_data (task, queue, g_object_unref);
      if (_io_connection_start_call (self, IO_OPCODE_QUEUE_READY, g_variant_new ("(u)", number),
                                     g_task_get_cancellable (task), ready_cb, task, &local_error))
        {
          g_steal_pointer (&task);
          return;
        }
    }

  g_task_return_error (task, error != NULL ? g_error_copy (error) : local_error);
}

/**
 * io_connection_get_data_queue_async:
 * @self: an #IOConnection
 * @type: which queue
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async): called when the queue is there, or could not be had
 * @user_data: for @callback
 *
 * Gets the client's end of a queue without waiting. See
 * io_connection_get_data_queue().
 *
 * In the thread of the connection.
 *
 * Since: 1.0
 */
void
io_connection_get_data_queue_async (IOConnection        *self,
                                    guint                type,
                                    GCancellable        *cancellable,
                                    GAsyncReadyCallback  callback,
                                    gpointer             user_data)
{
  GError *error = NULL;
  GTask *task;

  g_return_if_fail (IO_IS_CONNECTION (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, io_connection_get_data_queue_async);
  if (_io_connection_start_call (self, IO_OPCODE_GET_QUEUE, g_variant_new ("(u)", type), cancellable,
                                 queue_cb, task, &error))
    return;

  g_task_return_error (task, error);
  g_object_unref (task);
}

/**
 * io_connection_get_data_queue_finish:
 * @self: an #IOConnection
 * @result: what the callback got
 * @error: return location for a #GError
 *
 * Ends io_connection_get_data_queue_async(); it fails as
 * io_connection_get_data_queue() does.
 *
 * In the thread of the connection.
 *
 * Returns: (transfer full): the queue, or %NULL
 * Since: 1.0
 */
IOSharedDataQueue *
io_connection_get_data_queue_finish (IOConnection  *self,
                                     GAsyncResult  *result,
                                     GError       **error)
{
  g_return_val_if_fail (IO_IS_CONNECTION (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, io_connection_get_data_queue_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}
