/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-shared-data-queue-private.h"

#include "io-fork-private.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static IOAbiRole
to_abi_role (IOSharedDataQueueRole role)
{
  return role == IO_SHARED_DATA_QUEUE_PRODUCER ? IO_ABI_ROLE_PRODUCER : IO_ABI_ROLE_CONSUMER;
}

static IOSharedDataQueueRole
other_role (IOSharedDataQueueRole role)
{
  return role == IO_SHARED_DATA_QUEUE_PRODUCER ? IO_SHARED_DATA_QUEUE_CONSUMER
                                               : IO_SHARED_DATA_QUEUE_PRODUCER;
}

/* With both regions there. */
static void
set_up (IOSharedDataQueue *self,
        int                bell,
        gboolean           ready)
{
  IODataRegion *producer = self->role == IO_SHARED_DATA_QUEUE_PRODUCER ? &self->own : &self->peer;

  _io_data_ring_init (&self->ring, producer->bytes, producer->ring_bytes, self->geometry.capacity,
                      producer->start_position, &self->own.page->position,
                      ready ? &self->peer.page->position : NULL);
  atomic_init (&self->announced, producer->start_position);
  atomic_init (&self->ready, ready);
  self->port = _io_notification_port_new (bell, &self->own.page->bell_epoch, &self->peer.page->bell_epoch,
                                          &_io_shared_data_queue_port_funcs, self);
  _io_fork_add_lifeline (bell);
}

static IOSharedDataQueue *
make_queue (IOSharedDataQueueRole   role,
            const IODataGeometry   *geometry,
            GError                **error)
{
  g_autoptr (IOSharedDataQueue) self = g_object_new (IO_TYPE_SHARED_DATA_QUEUE, NULL);
  int fds[2];

  self->role = role;
  self->geometry = *geometry;
  if (!_io_data_region_create (&self->own, to_abi_role (role), geometry, TRUE, error) ||
      !_io_data_region_create (&self->peer, to_abi_role (other_role (role)), geometry, FALSE, error) ||
      !_io_bell_create_pair (fds, error))
    return NULL;

  set_up (self, fds[0], FALSE);
  self->peer_bell = fds[1];
  _io_fork_add_lifeline (fds[1]);

  return g_steal_pointer (&self);
}

/**
 * io_shared_data_queue_new_with_capacity:
 * @role: what this end does
 * @capacity: bytes for records, from 16 to 2^30; rounded up to eight
 * @error: return location for a #GError
 *
 * Makes a queue. The other end is for a client, who gets it through
 * #IOUserClientClass.client_queue_for_type().
 *
 * Fails with %IO_STREAM_ERROR_BAD_ARGUMENT if @capacity is out of range,
 * %IO_STREAM_ERROR_NO_MEMORY, %IO_STREAM_ERROR_NO_RESOURCES if there are no
 * descriptors left, or %IO_STREAM_ERROR_VM_ERROR.
 *
 * Any thread. Apple: IOSharedDataQueue::withCapacity.
 *
 * Returns: (transfer full): the end of the owner, or %NULL
 * Since: 1.0
 */
IOSharedDataQueue *
io_shared_data_queue_new_with_capacity (IOSharedDataQueueRole   role,
                                        guint64                 capacity,
                                        GError                **error)
{
  IODataGeometry geometry;

  g_return_val_if_fail (role == IO_SHARED_DATA_QUEUE_PRODUCER || role == IO_SHARED_DATA_QUEUE_CONSUMER, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (_io_data_geometry_init (&geometry, capacity))
    return make_queue (role, &geometry, error);

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
               "Cannot make a data queue of %" G_GUINT64_FORMAT " bytes: it can have %u to %u", capacity,
               IO_DATA_QUEUE_MIN_CAPACITY, IO_DATA_QUEUE_MAX_CAPACITY);
  return NULL;
}

/**
 * io_shared_data_queue_new_with_entries:
 * @role: what this end does
 * @n_entries: how many records of @entry_size shall fit at once
 * @entry_size: their size
 * @error: return location for a #GError
 *
 * Makes a queue that holds @n_entries records of @entry_size bytes at least.
 * The numbers limit nothing but the memory: records may have other sizes.
 * There is no spare slot, because none is needed. Fails as
 * io_shared_data_queue_new_with_capacity() does.
 *
 * Any thread. Apple: IOSharedDataQueue::withEntries.
 *
 * Returns: (transfer full): the end of the owner, or %NULL
 * Since: 1.0
 */
IOSharedDataQueue *
io_shared_data_queue_new_with_entries (IOSharedDataQueueRole   role,
                                       guint                   n_entries,
                                       guint64                 entry_size,
                                       GError                **error)
{
  g_return_val_if_fail (role == IO_SHARED_DATA_QUEUE_PRODUCER || role == IO_SHARED_DATA_QUEUE_CONSUMER, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (n_entries > 0 && entry_size <= IO_DATA_QUEUE_MAX_CAPACITY &&
      _io_data_ring_stride (entry_size) * n_entries <= IO_DATA_QUEUE_MAX_CAPACITY)
    return io_shared_data_queue_new_with_capacity (role,
                                                   MAX (_io_data_ring_stride (entry_size) * n_entries,
                                                        IO_DATA_QUEUE_MIN_CAPACITY),
                                                   error);

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
               "Cannot make a data queue for %u records of %" G_GUINT64_FORMAT " bytes: it can have %u to %u bytes",
               n_entries, entry_size, IO_DATA_QUEUE_MIN_CAPACITY, IO_DATA_QUEUE_MAX_CAPACITY);
  return NULL;
}

static int
dup_fd (int      fd,
        GError **error)
{
  int copy = fcntl (fd, F_DUPFD_CLOEXEC, 3);

  if (copy < 0)
    g_set_error_literal (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES,
                         "Cannot duplicate a descriptor of a data queue");

  return copy;
}

static void
close_parts (IOSharedDataQueueParts *parts)
{
  int *fds[] = { &parts->producer_fd, &parts->consumer_fd, &parts->bell_fd };

  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    if (*fds[i] >= 0)
      close (g_steal_fd (fds[i]));
}

/* The other end of @self, in this process. */
static IOSharedDataQueue *
make_other_end (IOSharedDataQueue  *self,
                GError            **error)
{
  IOSharedDataQueueParts parts, copy = { .producer_fd = -1, .consumer_fd = -1, .bell_fd = -1 };
  g_autoptr (IOSharedDataQueue) other = NULL;

  if (!_io_shared_data_queue_begin_hand_over (self, &parts, error))
    return NULL;

  copy.role = parts.role;
  copy.geometry = parts.geometry;
  if ((copy.producer_fd = dup_fd (parts.producer_fd, error)) < 0 ||
      (copy.consumer_fd = dup_fd (parts.consumer_fd, error)) < 0 ||
      (copy.bell_fd = dup_fd (parts.bell_fd, error)) < 0)
    {
      close_parts (&copy);
      return NULL;
    }

  _io_shared_data_queue_end_hand_over (self);
  other = _io_shared_data_queue_new_for_parts (&copy, error);
  if (other == NULL || !_io_shared_data_queue_set_ready (self, error))
    return NULL;

  return g_steal_pointer (&other);
}

/**
 * io_shared_data_queue_new_pair:
 * @capacity: bytes for records, as in io_shared_data_queue_new_with_capacity()
 * @producer: (out) (transfer full): return location for the producing end
 * @consumer: (out) (transfer full): return location for the consuming end
 * @error: return location for a #GError
 *
 * Makes a queue with both ends in this process, for two threads of it. Fails as
 * io_shared_data_queue_new_with_capacity() does.
 *
 * Any thread.
 *
 * Returns: %TRUE on success; else both ends are %NULL
 * Since: 1.0
 */
gboolean
io_shared_data_queue_new_pair (guint64              capacity,
                               IOSharedDataQueue  **producer,
                               IOSharedDataQueue  **consumer,
                               GError             **error)
{
  g_autoptr (IOSharedDataQueue) self = NULL;

  g_return_val_if_fail (producer != NULL && consumer != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  *producer = *consumer = NULL;
  self = io_shared_data_queue_new_with_capacity (IO_SHARED_DATA_QUEUE_PRODUCER, capacity, error);
  if (self == NULL)
    return FALSE;

  *consumer = make_other_end (self, error);
  if (*consumer != NULL)
    *producer = g_steal_pointer (&self);

  return *producer != NULL;
}

/* Handing over. */

gboolean
_io_shared_data_queue_begin_hand_over (IOSharedDataQueue       *self,
                                       IOSharedDataQueueParts  *parts,
                                       GError                 **error)
{
  IODataRegion *producer = self->role == IO_SHARED_DATA_QUEUE_PRODUCER ? &self->own : &self->peer;
  IODataRegion *consumer = producer == &self->own ? &self->peer : &self->own;
  gboolean done;

  g_mutex_lock (&self->lock);
  done = _io_shared_data_queue_check_locked (self, 0, "hand over", error);
  if (done && self->peer_bell < 0)
    {
      g_set_error_literal (error, IO_STREAM_ERROR, IO_STREAM_ERROR_EXCLUSIVE_ACCESS,
                           "Cannot hand over a data queue: somebody has the other end already");
      done = FALSE;
    }
  if (done)
    {
      parts->role = other_role (self->role);
      parts->geometry = self->geometry;
      parts->producer_fd = _io_memory_backing_peek_fd (producer->backing);
      parts->consumer_fd = _io_memory_backing_peek_fd (consumer->backing);
      parts->bell_fd = self->peer_bell;
    }
  g_mutex_unlock (&self->lock);

  return done;
}

void
_io_shared_data_queue_end_hand_over (IOSharedDataQueue *self)
{
  g_mutex_lock (&self->lock);
  self->handed_over = TRUE;
  _io_shared_data_queue_close_peer_bell (self);
  g_mutex_unlock (&self->lock);
}

gboolean
_io_shared_data_queue_set_ready (IOSharedDataQueue  *self,
                                 GError            **error)
{
  gboolean done;

  g_mutex_lock (&self->lock);
  done = _io_shared_data_queue_check_locked (self, 0, "get a data queue ready", error);
  if (done && (!self->handed_over || self->ready))
    {
      g_set_error_literal (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
                           "Cannot get a data queue ready that is not on its way");
      done = FALSE;
    }
  if (done && (done = _io_data_region_seal (&self->peer, error)))
    {
      self->ring.peer_word = &self->peer.page->position;
      atomic_store (&self->ready, TRUE);
      /* Whatever was done until now was done quietly. */
      _io_notification_port_ring (self->port);
      _io_notification_port_wake (self->port);
    }
  g_mutex_unlock (&self->lock);

  return done;
}

IOSharedDataQueue *
_io_shared_data_queue_new_for_parts (IOSharedDataQueueParts  *parts,
                                     GError                 **error)
{
  g_autoptr (IOSharedDataQueue) self = g_object_new (IO_TYPE_SHARED_DATA_QUEUE, NULL);
  gboolean is_producer = parts->role == IO_SHARED_DATA_QUEUE_PRODUCER;
  gboolean done;

  self->role = parts->role;
  self->geometry = parts->geometry;
  done = _io_data_region_attach (is_producer ? &self->own : &self->peer, IO_ABI_ROLE_PRODUCER,
                                 &parts->geometry, g_steal_fd (&parts->producer_fd), is_producer, error) &&
         _io_data_region_attach (is_producer ? &self->peer : &self->own, IO_ABI_ROLE_CONSUMER,
                                 &parts->geometry, g_steal_fd (&parts->consumer_fd), !is_producer, error);
  if (done)
    {
      self->handed_over = TRUE;
      set_up (self, g_steal_fd (&parts->bell_fd), TRUE);
      return g_steal_pointer (&self);
    }

  close_parts (parts);

  return NULL;
}

void
_io_shared_data_queue_cut (IOSharedDataQueue *self)
{
  g_mutex_lock (&self->lock);
  if (self->port != NULL && !self->over && _io_shared_data_queue_is_in_own_process (self))
    {
      atomic_store_explicit (&self->own.page->closed, 1, memory_order_release);
      _io_shared_data_queue_close_peer_bell (self);
      shutdown (io_notification_port_get_fd (self->port), SHUT_RDWR);
    }
  g_mutex_unlock (&self->lock);
}

guint64
_io_shared_data_queue_get_cost (IOSharedDataQueue *self)
{
  return (guint64) _io_data_region_get_size (IO_ABI_ROLE_PRODUCER, &self->geometry) +
         _io_data_region_get_size (IO_ABI_ROLE_CONSUMER, &self->geometry);
}
