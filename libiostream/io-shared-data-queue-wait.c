/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-shared-data-queue-private.h"

#include "io-fork-private.h"

#define MIN_SPIN 2   /* us */

gboolean
_io_shared_data_queue_has_data (IOSharedDataQueue *self)
{
  return self->ready && !self->over &&
         atomic_load_explicit (&self->peer.page->position, memory_order_relaxed) !=
         _io_data_ring_position (&self->ring);
}

gboolean
_io_shared_data_queue_has_space (IOSharedDataQueue *self)
{
  guint64 head, wanted;

  if (!self->ready || self->over || !self->wants_space)
    return FALSE;

  head = atomic_load_explicit (&self->peer.page->position, memory_order_relaxed);
  wanted = atomic_load_explicit (&self->own.page->wanted, memory_order_relaxed);

  return (gint64) (head - wanted) >= 0;
}

/* What the port asks. */

static gboolean
is_ready (gpointer owner)
{
  IOSharedDataQueue *self = owner;
  guint64 position, announced, tail;

  if (self->role == IO_SHARED_DATA_QUEUE_PRODUCER)
    return _io_shared_data_queue_has_space (self);
  if (!self->ready || self->over)
    return FALSE;

  position = _io_data_ring_position (&self->ring);
  announced = atomic_load_explicit (&self->announced, memory_order_relaxed);
  tail = atomic_load_explicit (&self->peer.page->position, memory_order_relaxed);

  return tail != ((gint64) (announced - position) > 0 ? announced : position);
}

static gboolean
announce_data (IOSharedDataQueue *self)
{
  guint64 before = _io_data_ring_position (&self->ring);
  guint64 tail = atomic_load_explicit (&self->peer.page->position, memory_order_relaxed);
  guint64 after;

  _io_shared_data_queue_emit (self, IO_SHARED_DATA_QUEUE_DATA_AVAILABLE);

  /* Who took some is asked for the others as well. */
  after = _io_data_ring_position (&self->ring);
  atomic_store_explicit (&self->announced, after != before ? after : tail, memory_order_relaxed);

  return after != before;
}

static gboolean
dispatch (gpointer owner)
{
  g_autoptr (IOSharedDataQueue) self = g_object_ref (owner);

  if (!is_ready (self))
    return FALSE;
  if (self->role == IO_SHARED_DATA_QUEUE_CONSUMER)
    return announce_data (self);

  g_mutex_lock (&self->lock);
  _io_shared_data_queue_forget_space_locked (self);
  g_mutex_unlock (&self->lock);
  _io_shared_data_queue_emit (self, IO_SHARED_DATA_QUEUE_SPACE_AVAILABLE);

  return TRUE;
}

static void
hang_up (gpointer owner)
{
  g_autoptr (IOSharedDataQueue) self = g_object_ref (owner);

  g_mutex_lock (&self->lock);
  _io_shared_data_queue_note_gone_locked (self);
  g_mutex_unlock (&self->lock);
  _io_shared_data_queue_emit (self, IO_SHARED_DATA_QUEUE_ENDED);
}

static gboolean
wants_ring (gpointer owner)
{
  IOSharedDataQueue *self = owner;

  return !self->over && (self->role == IO_SHARED_DATA_QUEUE_CONSUMER || self->wants_space);
}

const IONotificationPortFuncs _io_shared_data_queue_port_funcs = { is_ready, dispatch, hang_up, wants_ring };

/* FALSE without a port, in a child, or if the main context has it. */
static gboolean
check_waitable (IOSharedDataQueue      *self,
                IOSharedDataQueueRole   role,
                const char             *operation,
                GError                **error)
{
  gboolean can;

  g_mutex_lock (&self->lock);
  can = _io_shared_data_queue_check_locked (self, role, operation, error);
  if (can && self->attached)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY,
                   "Cannot %s: the data queue is attached to a main context", operation);
      can = FALSE;
    }
  g_mutex_unlock (&self->lock);

  return can;
}

/**
 * io_shared_data_queue_attach:
 * @self: a queue
 *
 * Lets the thread-default main context of the caller serve the queue: the
 * signals are emitted there from now on. If there is data already,
 * #IOSharedDataQueue::data-available follows at once. Nothing else may wait for
 * the queue meanwhile. Does nothing if it is attached already.
 *
 * In the thread of that context, which from now on is that of the queue. Apple:
 * SetDataAvailableHandler, SetDataServicedHandler.
 *
 * Since: 1.0
 */
void
io_shared_data_queue_attach (IOSharedDataQueue *self)
{
  g_autoptr (GMainContext) context = NULL;

  g_return_if_fail (IO_IS_SHARED_DATA_QUEUE (self));

  if (self->port == NULL || self->fork_count != _io_fork_count () ||
      _io_notification_port_is_attached (self->port))
    return;

  context = g_main_context_ref_thread_default ();
  g_mutex_lock (&self->lock);
  self->attached = TRUE;
  g_mutex_unlock (&self->lock);
  _io_notification_port_attach (self->port, context);
}

/**
 * io_shared_data_queue_detach:
 * @self: a queue
 *
 * Ends what io_shared_data_queue_attach() began. Does nothing if that was not
 * called.
 *
 * In the thread of io_shared_data_queue_attach().
 *
 * Since: 1.0
 */
void
io_shared_data_queue_detach (IOSharedDataQueue *self)
{
  g_return_if_fail (IO_IS_SHARED_DATA_QUEUE (self));

  if (self->port == NULL || !_io_notification_port_is_attached (self->port))
    return;

  _io_notification_port_detach (self->port);
  g_mutex_lock (&self->lock);
  self->attached = FALSE;
  g_mutex_unlock (&self->lock);
  atomic_store_explicit (&self->announced, _io_data_ring_position (&self->ring), memory_order_relaxed);
}

/**
 * io_shared_data_queue_create_source:
 * @self: a queue
 * @cancellable: (nullable): a #GCancellable
 *
 * Makes a source that calls its callback, a #GSourceFunc, as long as there are
 * records (at the consuming end), or as long as a record that was refused would
 * fit and none was enqueued (at the producing end). When @cancellable is
 * cancelled, the callback is called as well. When the queue ended and nothing
 * is left, it is called a last time, and the source is removed.
 *
 * The source holds no reference on the queue, but ends with it. It is not
 * attached to a context yet. Do not use it together with
 * io_shared_data_queue_attach().
 *
 * Any thread; the callback runs in the thread of the context. Apple: the
 * dispatch queue of an IODataQueueDispatchSource.
 *
 * Returns: (transfer full): the source
 * Since: 1.0
 */
GSource *
io_shared_data_queue_create_source (IOSharedDataQueue *self,
                                    GCancellable      *cancellable)
{
  g_return_val_if_fail (IO_IS_SHARED_DATA_QUEUE (self), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (self->port != NULL, NULL);

  return io_notification_port_create_source (self->port, cancellable);
}

/* Waiting. */

static gint64
get_deadline (gint64 timeout)
{
  gint64 now = g_get_monotonic_time ();

  return timeout < 0 || timeout > G_MAXINT64 - now ? -1 : now + timeout;
}

static gint64
get_left (gint64 deadline)
{
  return deadline < 0 ? -1 : MAX (deadline - g_get_monotonic_time (), 0);
}

/* A sleep costs both ends a system call, and a record less than that: an end
 * that is a little faster than the other would sleep for each of them. */
static gboolean
spin (IOSharedDataQueue *self,
      gint64             deadline)
{
  gboolean is_consumer = self->role == IO_SHARED_DATA_QUEUE_CONSUMER;
  gint64 end = g_get_monotonic_time () + self->spin;

  if (!_io_notification_port_may_spin () || (deadline >= 0 && deadline < end))
    return FALSE;

  while (!self->over && !self->gone && g_get_monotonic_time () < end)
    if (is_consumer ? _io_shared_data_queue_has_data (self) : _io_shared_data_queue_has_space (self))
      return TRUE;

  return FALSE;
}

static void
learn (IOSharedDataQueue *self,
       gint64             duration)
{
  if (duration < 2 * IO_SHARED_DATA_QUEUE_MAX_SPIN)
    self->spin = IO_SHARED_DATA_QUEUE_MAX_SPIN;
  else
    self->spin = MAX (self->spin / 2, MIN_SPIN);
}

/* One sleep. TRUE: look again; it may have been for nothing. */
static gboolean
sleep_until (IOSharedDataQueue  *self,
             gint64              deadline,
             GCancellable       *cancellable,
             GError            **error)
{
  gint64 begin = g_get_monotonic_time ();
  g_autoptr (GError) local_error = NULL;
  gboolean found;

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;

  found = spin (self, deadline) ||
          io_notification_port_wait (self->port, get_left (deadline), cancellable, &local_error);
  learn (self, g_get_monotonic_time () - begin);
  if (found)
    return TRUE;

  if (g_error_matches (local_error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE))
    {
      g_mutex_lock (&self->lock);
      _io_shared_data_queue_note_gone_locked (self);
      g_mutex_unlock (&self->lock);
      return TRUE;
    }

  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

/**
 * io_shared_data_queue_wait_data:
 * @self: a queue
 * @timeout: how long to wait in microseconds, 0 only to look, -1 for ever
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Waits until there is a record to take, without a main context.
 *
 * Fails with %IO_STREAM_ERROR_TIMEOUT, %IO_STREAM_ERROR_OFFLINE if the queue is
 * empty and the other end is gone, %IO_STREAM_ERROR_BUSY if the queue is
 * attached to a main context, %IO_STREAM_ERROR_NOT_READABLE at the producing
 * end, %IO_STREAM_ERROR_NOT_OPEN, %IO_STREAM_ERROR_IPC_ERROR and
 * %G_IO_ERROR_CANCELLED.
 *
 * In the thread that consumes. Apple: IODataQueueWaitForAvailableData().
 *
 * Returns: %TRUE if there is a record
 * Since: 1.0
 */
gboolean
io_shared_data_queue_wait_data (IOSharedDataQueue  *self,
                                gint64              timeout,
                                GCancellable       *cancellable,
                                GError            **error)
{
  gint64 deadline;

  g_return_val_if_fail (IO_IS_SHARED_DATA_QUEUE (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  deadline = get_deadline (timeout);
  for (;;)
    {
      gboolean gone = self->gone, there = TRUE;

      if (!check_waitable (self, IO_SHARED_DATA_QUEUE_CONSUMER, "wait for data", error))
        return FALSE;
      if (_io_shared_data_queue_has_data (self))
        return TRUE;
      if (gone)
        {
          g_mutex_lock (&self->lock);
          there = _io_shared_data_queue_check_peer_locked (self, "wait for data", error);
          g_mutex_unlock (&self->lock);
        }
      if (!there || !sleep_until (self, deadline, cancellable, error))
        return FALSE;
    }
}

/* TRUE if there is room, or with @error; else asks for it. */
static gboolean
ask_for_space (IOSharedDataQueue  *self,
               gsize               size,
               gboolean           *found,
               GError            **error)
{
  IODataRingResult result = IO_DATA_RING_BROKEN;

  g_mutex_lock (&self->lock);
  if (!self->gone || _io_shared_data_queue_check_peer_locked (self, "wait for space", error))
    {
      result = _io_shared_data_queue_want_space_locked (self, _io_data_ring_stride (size));
      if (result == IO_DATA_RING_BROKEN)
        _io_shared_data_queue_break_locked (self, error);
      else if (result == IO_DATA_RING_DONE)
        _io_shared_data_queue_forget_space_locked (self);
    }
  g_mutex_unlock (&self->lock);
  *found = result == IO_DATA_RING_DONE;

  return result != IO_DATA_RING_NOTHING;
}

/**
 * io_shared_data_queue_wait_space:
 * @self: a queue
 * @size: the size of a record
 * @timeout: how long to wait in microseconds, 0 only to look, -1 for ever
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Waits until there is room for a record of @size bytes, without a main
 * context.
 *
 * Fails with %IO_STREAM_ERROR_TIMEOUT, %IO_STREAM_ERROR_OFFLINE if the other
 * end is gone, %IO_STREAM_ERROR_MESSAGE_TOO_LARGE if there can never be room,
 * %IO_STREAM_ERROR_BUSY if the queue is attached to a main context,
 * %IO_STREAM_ERROR_NOT_WRITABLE at the consuming end,
 * %IO_STREAM_ERROR_NOT_OPEN, %IO_STREAM_ERROR_IPC_ERROR and
 * %G_IO_ERROR_CANCELLED.
 *
 * In the thread that produces.
 *
 * Returns: %TRUE if there is room
 * Since: 1.0
 */
gboolean
io_shared_data_queue_wait_space (IOSharedDataQueue  *self,
                                 gsize               size,
                                 gint64              timeout,
                                 GCancellable       *cancellable,
                                 GError            **error)
{
  gint64 deadline;
  gboolean found = FALSE;

  g_return_val_if_fail (IO_IS_SHARED_DATA_QUEUE (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  deadline = get_deadline (timeout);
  for (;;)
    {
      if (!check_waitable (self, IO_SHARED_DATA_QUEUE_PRODUCER, "wait for space", error) ||
          !_io_shared_data_queue_check_size (self, size, "wait for space", error))
        return FALSE;
      if (ask_for_space (self, size, &found, error))
        return found;
      if (!sleep_until (self, deadline, cancellable, error))
        return FALSE;
    }
}

/**
 * io_shared_data_queue_get_fd:
 * @self: a queue
 *
 * Gets a descriptor for loops that know nothing of GLib: it is readable when
 * the other end has rung, provided that io_shared_data_queue_prepare_wait()
 * said it would. Poll it and nothing else; it stays the queue's.
 *
 * Any thread. Apple: IODataQueueAllocateNotificationPort().
 *
 * Returns: the descriptor, or -1 if there is none
 * Since: 1.0
 */
int
io_shared_data_queue_get_fd (IOSharedDataQueue *self)
{
  g_return_val_if_fail (IO_IS_SHARED_DATA_QUEUE (self), -1);

  return self->port != NULL ? io_notification_port_get_fd (self->port) : -1;
}

/**
 * io_shared_data_queue_prepare_wait:
 * @self: a queue
 *
 * Gets ready to sleep on io_shared_data_queue_get_fd(): the other end will ring
 * from now on, a producer for records, a consumer for the room that a refused
 * record needs. After polling, or instead of it, call
 * io_shared_data_queue_finish_wait().
 *
 * In the thread of this end.
 *
 * Returns: %TRUE to sleep, %FALSE if there is something already, or the queue
 *   ended
 * Since: 1.0
 */
gboolean
io_shared_data_queue_prepare_wait (IOSharedDataQueue *self)
{
  g_return_val_if_fail (IO_IS_SHARED_DATA_QUEUE (self), FALSE);

  if (!check_waitable (self, 0, "wait", NULL) || self->gone)
    return FALSE;

  return io_notification_port_prepare_wait (self->port);
}

/**
 * io_shared_data_queue_finish_wait:
 * @self: a queue
 *
 * Ends what io_shared_data_queue_prepare_wait() began, and takes note of the
 * end of the queue.
 *
 * In the thread of this end.
 *
 * Since: 1.0
 */
void
io_shared_data_queue_finish_wait (IOSharedDataQueue *self)
{
  g_return_if_fail (IO_IS_SHARED_DATA_QUEUE (self));

  if (self->port == NULL || self->fork_count != _io_fork_count ())
    return;

  io_notification_port_finish_wait (self->port);
  g_mutex_lock (&self->lock);
  _io_shared_data_queue_check_peer_locked (self, "wait", NULL);
  g_mutex_unlock (&self->lock);
}
