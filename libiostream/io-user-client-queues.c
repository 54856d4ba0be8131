/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-user-client-private.h"

#include "io-service-private.h"
#include "io-shared-data-queue-private.h"

/* A queue each for so many types, at most, whatever a class gives. */
#define MAX_QUEUES 64

typedef struct {
  guint32            number;
  IOSharedDataQueue *queue;
} ClientQueue;

typedef struct {
  GPtrArray *queues;
  guint32    last_number;
} ClientQueues;

static void
client_queue_free (gpointer data)
{
  ClientQueue *self = data;

  g_object_unref (self->queue);
  g_free (self);
}

static void
client_queues_free (gpointer data)
{
  ClientQueues *self = data;

  g_ptr_array_unref (self->queues);
  g_free (self);
}

static GQuark
get_quark (void)
{
  return g_quark_from_static_string ("io-user-client-queues");
}

static ClientQueues *
get_queues (IOUserClient *self)
{
  ClientQueues *queues = g_object_get_qdata (G_OBJECT (self), get_quark ());

  if (queues == NULL)
    {
      queues = g_new0 (ClientQueues, 1);
      queues->queues = g_ptr_array_new_with_free_func (client_queue_free);
      g_object_set_qdata_full (G_OBJECT (self), get_quark (), queues, client_queues_free);
    }

  return queues;
}

/**
 * IOUserClientClass::client_queue_for_type:
 * @self: a user client
 * @type: which queue
 * @error: return location for an error
 *
 * Gives the queue that the client asks for. A queue has one client, so that
 * each call makes a new one.
 *
 * Returns: (transfer full): the owner's end
 * Since: 1.0
 */
IOSharedDataQueue *
_io_user_client_no_queue (IOUserClient  *self,
                          guint          type,
                          GError       **error)
{
  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_UNSUPPORTED,
               "Cannot give data queue %u: %s has none", type, G_OBJECT_TYPE_NAME (self));

  return NULL;
}

guint64
_io_user_client_count_queues (IOUserClient *self)
{
  ClientQueues *queues = g_object_get_qdata (G_OBJECT (self), get_quark ());
  guint64 sum = 0;

  for (guint i = queues != NULL ? queues->queues->len : 0; i > 0; i--)
    {
      ClientQueue *entry = g_ptr_array_index (queues->queues, i - 1);

      if (io_shared_data_queue_is_connected (entry->queue))
        sum += _io_shared_data_queue_get_cost (entry->queue);
      else
        g_ptr_array_remove_index_fast (queues->queues, i - 1);
    }

  return sum;
}

static gboolean
check_limits (IOUserClient       *self,
              guint               type,
              IOSharedDataQueue  *queue,
              GError            **error)
{
  guint64 sum = _io_user_client_count_queues (self);
  guint64 cost = _io_shared_data_queue_get_cost (queue);
  const char *name = io_user_client_get_client_name (self);
  g_autofree char *purpose = NULL;

  if (get_queues (self)->queues->len >= MAX_QUEUES)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES,
                   "Cannot give data queue %u: client “%s” has %u", type, name, MAX_QUEUES);
      return FALSE;
    }
  if (io_shared_data_queue_get_role (queue) == IO_SHARED_DATA_QUEUE_CONSUMER &&
      io_user_client_get_read_only (self))
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED,
                   "Cannot give data queue %u: client “%s” would produce, and may only read", type, name);
      return FALSE;
    }

  purpose = g_strdup_printf ("give data queue %u", type);

  return _io_user_client_charge (self, IO_CHARGE_QUEUES, sum + cost, purpose, error);
}

static IOSharedDataQueue *
ask_class (IOUserClient  *self,
           guint          type,
           GError       **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autoptr (IOSharedDataQueue) queue = NULL;

  if (!io_service_is_open (io_user_client_get_service (self), self))
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN,
                   "Cannot give data queue %u: the client has not opened the service", type);
      return NULL;
    }
  queue = IO_USER_CLIENT_GET_CLASS (self)->client_queue_for_type (self, type, &local_error);
  if (queue == NULL && local_error == NULL)
    g_set_error (&local_error, IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED,
                 "%s gives no data queue %u", G_OBJECT_TYPE_NAME (self), type);
  if (local_error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }

  return g_steal_pointer (&queue);
}

static guint32
keep_queue (IOUserClient      *self,
            IOSharedDataQueue *queue)
{
  ClientQueues *queues = get_queues (self);
  ClientQueue *entry = g_new0 (ClientQueue, 1);

  entry->number = ++queues->last_number;
  entry->queue = g_object_ref (queue);
  g_ptr_array_add (queues->queues, entry);

  return entry->number;
}

GVariant *
_io_user_client_answer_get_queue (IOUserClient  *self,
                                  GVariant      *args,
                                  GUnixFDList  **fds,
                                  GError       **error)
{
  g_autoptr (GUnixFDList) list = g_unix_fd_list_new ();
  g_autoptr (IOSharedDataQueue) queue = NULL;
  IOSharedDataQueueParts parts;
  guint type;

  g_variant_get (args, "(u)", &type);
  queue = ask_class (self, type, error);
  /* The class may have ended the connection. */
  if (queue == NULL || !io_user_client_is_connected (self))
    return NULL;

  if (!check_limits (self, type, queue, error) ||
      !_io_shared_data_queue_begin_hand_over (queue, &parts, error) ||
      !_io_user_client_pass_fd (self, list, parts.producer_fd, error) ||
      !_io_user_client_pass_fd (self, list, parts.consumer_fd, error) ||
      !_io_user_client_pass_fd (self, list, parts.bell_fd, error))
    return NULL;

  _io_shared_data_queue_end_hand_over (queue);
  *fds = g_steal_pointer (&list);

  return g_variant_new ("(uuuu)", keep_queue (self, queue), (guint32) parts.role,
                        parts.geometry.capacity, parts.geometry.ring_bytes);
}

GVariant *
_io_user_client_answer_queue_ready (IOUserClient  *self,
                                    GVariant      *args,
                                    GError       **error)
{
  ClientQueues *queues = get_queues (self);
  guint number;

  g_variant_get (args, "(u)", &number);
  for (guint i = 0; i < queues->queues->len; i++)
    {
      ClientQueue *entry = g_ptr_array_index (queues->queues, i);

      if (entry->number == number)
        return _io_shared_data_queue_set_ready (entry->queue, error) ? g_variant_new ("()") : NULL;
    }

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND,
               "Cannot get data queue %u ready: the client has no such queue", number);
  return NULL;
}

void
_io_user_client_cut_queues (IOUserClient *self)
{
  ClientQueues *queues = g_object_steal_qdata (G_OBJECT (self), get_quark ());

  if (queues == NULL)
    return;

  for (guint i = 0; i < queues->queues->len; i++)
    {
      ClientQueue *entry = g_ptr_array_index (queues->queues, i);

      _io_shared_data_queue_cut (entry->queue);
    }
  client_queues_free (queues);
}
