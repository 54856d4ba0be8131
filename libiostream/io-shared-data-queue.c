/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-shared-data-queue-private.h"

#include "io-enum-types.h"
#include "io-fork-private.h"

#include <sys/socket.h>
#include <unistd.h>

/**
 * SECTION:io-shared-data-queue
 * @title: IOSharedDataQueue
 * @short_description: Records of any size from one process to another
 *
 * An #IOSharedDataQueue carries records of any size, in order, through one ring
 * in shared memory: log lines, sensor readings, events. It is the small sister
 * of #IOStream, for what is copied sooner than lent. One end produces, the
 * other one consumes; either can be the owner's.
 *
 * Each end writes memory of its own and only reads that of the other, which the
 * kernel enforces. Nothing that the other end writes is trusted: if it cannot
 * be, the queue ends for this side with %IO_STREAM_ERROR_IPC_ERROR, and nothing
 * else is touched.
 *
 * # Life cycle
 *
 * The owner of a service makes a queue with
 * io_shared_data_queue_new_with_capacity() or
 * io_shared_data_queue_new_with_entries(), says which end is its own, and
 * returns it from #IOUserClientClass.client_queue_for_type(). The client gets
 * the other end with io_connection_get_data_queue(). A queue belongs to one
 * client. Records can be enqueued before the client comes.
 * io_shared_data_queue_new_pair() makes both ends in one process, for threads.
 *
 * A queue ends with io_shared_data_queue_hang_up(), with the connection, or
 * when the process at the other end dies. What is in it can still be taken.
 *
 * # Moving records
 *
 * io_shared_data_queue_enqueue() and io_shared_data_queue_dequeue() copy;
 * io_shared_data_queue_reserve() with io_shared_data_queue_commit(), and
 * io_shared_data_queue_peek() with io_shared_data_queue_consume(), give the
 * memory itself. A record takes its size and eight bytes, rounded up to
 * eight. It lies in one piece, always, and an empty queue takes every record
 * that fits the capacity at all.
 *
 * What io_shared_data_queue_peek() shows is memory that the producer can still
 * write, in breach of the agreement: copy first what is then checked.
 *
 * # Waiting
 *
 * A consumer is woken when there are records, a producer, after a record was
 * refused with %IO_STREAM_ERROR_OVERRUN, when there is room for one of that
 * size. Wake-ups are merged: none as long as the other end is awake.
 *
 * There are four ways, one at a time: io_shared_data_queue_attach() lets a main
 * context emit #IOSharedDataQueue::data-available,
 * #IOSharedDataQueue::space-available and #IOSharedDataQueue::ended;
 * io_shared_data_queue_create_source() makes a #GSource;
 * io_shared_data_queue_wait_data() and io_shared_data_queue_wait_space() block;
 * and io_shared_data_queue_prepare_wait() serves foreign loops. A queue is not
 * attached by itself, because often a thread of its own works on it.
 *
 * # Ownership
 *
 * The maker owns the object; io_connection_get_data_queue() gives the caller a
 * reference. Memory that was shown stays mapped as long as the object lives.
 *
 * # Threads
 *
 * Any thread can use a queue, one at a time for each end: one produces, one
 * consumes. io_shared_data_queue_attach() and all that follows from it belong
 * to the thread of the main context, where the last reference on an attached
 * queue is dropped as well. After a `fork()` the queue stays with the parent:
 * in the child everything fails with %IO_STREAM_ERROR_NOT_OPEN.
 *
 * # Failure
 *
 * Full is %IO_STREAM_ERROR_OVERRUN, empty %IO_STREAM_ERROR_UNDERRUN, a record
 * that can never fit %IO_STREAM_ERROR_MESSAGE_TOO_LARGE, a destination that is
 * too small %IO_STREAM_ERROR_NO_SPACE; none of these changes anything.
 * %IO_STREAM_ERROR_OFFLINE says that the other end is gone,
 * %IO_STREAM_ERROR_IPC_ERROR that it broke the rules; see
 * io_shared_data_queue_get_error().
 *
 * It answers to Apple's IOSharedDataQueue, IODataQueue, the IODataQueueClient
 * functions and DriverKit's IODataQueueDispatchSource.
 */

/**
 * IOSharedDataQueue:
 *
 * One end of a queue of records.
 *
 * Since: 1.0
 */

G_DEFINE_FINAL_TYPE (IOSharedDataQueue, io_shared_data_queue, G_TYPE_OBJECT)

static guint signals[IO_SHARED_DATA_QUEUE_N_SIGNALS];

void
_io_shared_data_queue_emit (IOSharedDataQueue       *self,
                            IOSharedDataQueueSignal  signal)
{
  g_signal_emit (self, signals[signal], 0);
}

gboolean
_io_shared_data_queue_is_in_own_process (IOSharedDataQueue *self)
{
  return self->fork_count == _io_fork_count ();
}

gboolean
_io_shared_data_queue_check_locked (IOSharedDataQueue      *self,
                                    IOSharedDataQueueRole   role,
                                    const char             *operation,
                                    GError                **error)
{
  if (self->error != NULL && self->error->code == IO_STREAM_ERROR_IPC_ERROR)
    g_propagate_error (error, g_error_copy (self->error));
  else if (self->port == NULL || self->over)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN,
                 "Cannot %s: the data queue was hung up", operation);
  else if (!_io_shared_data_queue_is_in_own_process (self))
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN,
                 "Cannot %s: the data queue belongs to another process (fork)", operation);
  else if (role != 0 && role != self->role)
    g_set_error (error, IO_STREAM_ERROR,
                 role == IO_SHARED_DATA_QUEUE_PRODUCER ? IO_STREAM_ERROR_NOT_WRITABLE
                                                       : IO_STREAM_ERROR_NOT_READABLE,
                 "Cannot %s: this is the %s end of the data queue", operation,
                 role == IO_SHARED_DATA_QUEUE_PRODUCER ? "consuming" : "producing");
  else
    return TRUE;

  return FALSE;
}

/* Both sides see the end of the socket, this one as well: so it comes to
 * whoever waits here, in whatever way. */
void
_io_shared_data_queue_end_locked (IOSharedDataQueue *self,
                                  GError            *error)
{
  if (self->error == NULL && !self->over)
    self->error = error;
  else
    g_clear_error (&error);

  if (self->over || self->port == NULL)
    return;

  atomic_store (&self->over, TRUE);
  if (!_io_shared_data_queue_is_in_own_process (self))
    return;

  atomic_store_explicit (&self->own.page->closed, 1, memory_order_release);
  shutdown (io_notification_port_get_fd (self->port), SHUT_RDWR);
}

void
_io_shared_data_queue_break_locked (IOSharedDataQueue  *self,
                                    GError            **error)
{
  _io_shared_data_queue_end_locked (self, g_error_new (IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR,
                                                       "The %s of a data queue of %u bytes wrote what cannot be: "
                                                       "position 0x%" G_GINT64_MODIFIER "x to 0x%" G_GINT64_MODIFIER "x",
                                                       self->role == IO_SHARED_DATA_QUEUE_PRODUCER ? "consumer" : "producer",
                                                       self->geometry.capacity, self->ring.seen,
                                                       _io_data_ring_peer_position (&self->ring)));
  _io_shared_data_queue_check_locked (self, self->role, "use it", error);
}

void
_io_shared_data_queue_note_gone_locked (IOSharedDataQueue *self)
{
  if (self->over || self->gone)
    return;

  atomic_store (&self->gone, TRUE);
  if (self->ready && atomic_load_explicit (&self->peer.page->closed, memory_order_acquire) == 1)
    return;

  self->error = g_error_new (IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE,
                             "The %s of a data queue of %u bytes is gone",
                             self->role == IO_SHARED_DATA_QUEUE_PRODUCER ? "consumer" : "producer",
                             self->geometry.capacity);
}

gboolean
_io_shared_data_queue_check_peer_locked (IOSharedDataQueue  *self,
                                         const char         *operation,
                                         GError            **error)
{
  if (!self->gone && io_notification_port_is_hung_up (self->port))
    _io_shared_data_queue_note_gone_locked (self);
  if (!self->gone)
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE,
               "Cannot %s: the other end of the data queue %s", operation,
               self->error != NULL ? "is gone" : "hung up");
  return FALSE;
}

gboolean
_io_shared_data_queue_check_size (IOSharedDataQueue  *self,
                                  gsize               size,
                                  const char         *operation,
                                  GError            **error)
{
  if (size <= _io_data_ring_max_size (self->geometry.capacity))
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_MESSAGE_TOO_LARGE,
               "Cannot %s: a record of %" G_GSIZE_FORMAT " bytes is more than the %u that the data queue can hold",
               operation, size, _io_data_ring_max_size (self->geometry.capacity));
  return FALSE;
}

static void
io_shared_data_queue_dispose (GObject *object)
{
  IOSharedDataQueue *self = IO_SHARED_DATA_QUEUE (object);

  g_mutex_lock (&self->lock);
  _io_shared_data_queue_end_locked (self, NULL);
  g_mutex_unlock (&self->lock);
  if (self->port != NULL)
    _io_notification_port_invalidate (self->port);

  G_OBJECT_CLASS (io_shared_data_queue_parent_class)->dispose (object);
}

void
_io_shared_data_queue_close_peer_bell (IOSharedDataQueue *self)
{
  if (self->peer_bell < 0)
    return;

  _io_fork_remove_lifeline (self->peer_bell);
  close (g_steal_fd (&self->peer_bell));
}

static void
io_shared_data_queue_finalize (GObject *object)
{
  IOSharedDataQueue *self = IO_SHARED_DATA_QUEUE (object);

  _io_shared_data_queue_close_peer_bell (self);
  g_clear_object (&self->port);
  _io_data_region_clear (&self->own);
  _io_data_region_clear (&self->peer);
  g_clear_error (&self->error);
  g_mutex_clear (&self->lock);

  G_OBJECT_CLASS (io_shared_data_queue_parent_class)->finalize (object);
}

static guint
add_signal (const char *name)
{
  return g_signal_new (name, IO_TYPE_SHARED_DATA_QUEUE, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                       G_TYPE_NONE, 0);
}

static void
io_shared_data_queue_class_init (IOSharedDataQueueClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->dispose = io_shared_data_queue_dispose;
  object_class->finalize = io_shared_data_queue_finalize;

  /**
   * IOSharedDataQueue::data-available:
   * @self: the consuming end
   *
   * There are records to take. Emitted again only if a handler took some and
   * left others, or new ones come; so a handler takes all there are:
   *
   * |[<!-- language="C" -->
   *   while (io_shared_data_queue_peek (queue, &data, &size))
   *     {
   *       handle (data, size);
   *       io_shared_data_queue_consume (queue);
   *     }
   * ]|
   *
   * In the context of io_shared_data_queue_attach(). Apple:
   * sendDataAvailableNotification, DataAvailable.
   *
   * Since: 1.0
   */
  signals[IO_SHARED_DATA_QUEUE_DATA_AVAILABLE] = add_signal ("data-available");
  /**
   * IOSharedDataQueue::space-available:
   * @self: the producing end
   *
   * A record was refused because the queue was full, and one of that size fits
   * now. Emitted once for each time that this happens.
   *
   * In the context of io_shared_data_queue_attach(). Apple: DataServiced, of
   * DriverKit alone.
   *
   * Since: 1.0
   */
  signals[IO_SHARED_DATA_QUEUE_SPACE_AVAILABLE] = add_signal ("space-available");
  /**
   * IOSharedDataQueue::ended:
   * @self: a queue
   *
   * The queue ended: the other end is gone or broke the rules, or this one was
   * hung up. See io_shared_data_queue_get_error(). Records that are left can
   * still be taken. Emitted once.
   *
   * In the context of io_shared_data_queue_attach().
   *
   * Since: 1.0
   */
  signals[IO_SHARED_DATA_QUEUE_ENDED] = add_signal ("ended");
}

static void
io_shared_data_queue_init (IOSharedDataQueue *self)
{
  g_mutex_init (&self->lock);
  self->peer_bell = -1;
  self->spin = IO_SHARED_DATA_QUEUE_MAX_SPIN;
  self->fork_count = _io_fork_count ();
}

/**
 * io_shared_data_queue_get_role:
 * @self: a queue
 *
 * Gets what this end does. Any thread.
 *
 * Returns: the role
 * Since: 1.0
 */
IOSharedDataQueueRole
io_shared_data_queue_get_role (IOSharedDataQueue *self)
{
  g_return_val_if_fail (IO_IS_SHARED_DATA_QUEUE (self), IO_SHARED_DATA_QUEUE_CONSUMER);

  return self->role != 0 ? self->role : IO_SHARED_DATA_QUEUE_CONSUMER;
}

/**
 * io_shared_data_queue_get_capacity:
 * @self: a queue
 *
 * Gets how many bytes of records fit at once; each takes its size and eight
 * bytes, rounded up to eight. The number is kept privately and never read from
 * shared memory. Any thread. Apple: getQueueSize.
 *
 * Returns: the capacity
 * Since: 1.0
 */
guint64
io_shared_data_queue_get_capacity (IOSharedDataQueue *self)
{
  g_return_val_if_fail (IO_IS_SHARED_DATA_QUEUE (self), 0);

  return self->geometry.capacity;
}

/**
 * io_shared_data_queue_get_max_size:
 * @self: a queue
 *
 * Gets the size of the largest record that fits, at least into the empty queue.
 * Any thread.
 *
 * Returns: a size in bytes
 * Since: 1.0
 */
guint64
io_shared_data_queue_get_max_size (IOSharedDataQueue *self)
{
  g_return_val_if_fail (IO_IS_SHARED_DATA_QUEUE (self), 0);

  return self->port != NULL ? _io_data_ring_max_size (self->geometry.capacity) : 0;
}

/**
 * io_shared_data_queue_get_memory_descriptor:
 * @self: a queue
 *
 * Gets the memory of the producer: its page and the ring. It is for looking;
 * clients get it through io_connection_get_data_queue() instead. Any thread.
 * Apple: getMemoryDescriptor.
 *
 * Returns: (transfer full) (nullable): a new descriptor
 * Since: 1.0
 */
IOMemoryDescriptor *
io_shared_data_queue_get_memory_descriptor (IOSharedDataQueue *self)
{
  IODataRegion *producer;

  g_return_val_if_fail (IO_IS_SHARED_DATA_QUEUE (self), NULL);

  producer = self->role == IO_SHARED_DATA_QUEUE_PRODUCER ? &self->own : &self->peer;
  if (producer->backing == NULL || !_io_shared_data_queue_is_in_own_process (self))
    return NULL;

  return _io_memory_descriptor_new_for_backing (producer->backing, 0,
                                                _io_memory_backing_get_size (producer->backing),
                                                self->role == IO_SHARED_DATA_QUEUE_PRODUCER
                                                  ? IO_DIRECTION_OUT : IO_DIRECTION_IN);
}

/**
 * io_shared_data_queue_is_empty:
 * @self: a queue
 *
 * Tells whether all records that were enqueued have been taken. The other end
 * may change that at any moment. Any thread. Apple: IODataQueueDataAvailable().
 *
 * Returns: %TRUE if there is no record
 * Since: 1.0
 */
gboolean
io_shared_data_queue_is_empty (IOSharedDataQueue *self)
{
  guint64 position, other;

  g_return_val_if_fail (IO_IS_SHARED_DATA_QUEUE (self), TRUE);

  if (self->port == NULL || !_io_shared_data_queue_is_in_own_process (self))
    return TRUE;

  position = _io_data_ring_position (&self->ring);
  other = self->ready ? atomic_load_explicit (&self->peer.page->position, memory_order_relaxed)
                      : self->own.start_position;

  return position == other;
}

/**
 * io_shared_data_queue_is_connected:
 * @self: a queue
 *
 * Tells whether the other end is still there, or may still come. There may be
 * records to take even if it is not. Any thread.
 *
 * Returns: %FALSE if the queue ended
 * Since: 1.0
 */
gboolean
io_shared_data_queue_is_connected (IOSharedDataQueue *self)
{
  gboolean connected;

  g_return_val_if_fail (IO_IS_SHARED_DATA_QUEUE (self), FALSE);

  g_mutex_lock (&self->lock);
  connected = _io_shared_data_queue_check_locked (self, 0, "look", NULL) &&
              _io_shared_data_queue_check_peer_locked (self, "look", NULL);
  g_mutex_unlock (&self->lock);

  return connected;
}

/**
 * io_shared_data_queue_get_error:
 * @self: a queue
 *
 * Gets why the queue ended: %IO_STREAM_ERROR_OFFLINE if the other end is gone
 * without a word, %IO_STREAM_ERROR_IPC_ERROR if it broke the rules. %NULL as
 * long as it is not known to have ended, and if either end hung up in order.
 * Any thread.
 *
 * Returns: (transfer none) (nullable): the reason
 * Since: 1.0
 */
const GError *
io_shared_data_queue_get_error (IOSharedDataQueue *self)
{
  const GError *error;

  g_return_val_if_fail (IO_IS_SHARED_DATA_QUEUE (self), NULL);

  g_mutex_lock (&self->lock);
  error = self->error;
  g_mutex_unlock (&self->lock);

  return error;
}

/**
 * io_shared_data_queue_get_statistics:
 * @self: a queue
 * @n_records: (out) (optional): records that this end moved
 * @n_bytes: (out) (optional): their sizes, added up
 * @n_refused: (out) (optional): records that were refused because the queue was
 *   full; 0 for a consumer
 *
 * Gets what this end did so far, as it knows itself. Any thread.
 *
 * Since: 1.0
 */
void
io_shared_data_queue_get_statistics (IOSharedDataQueue *self,
                                     guint64           *n_records,
                                     guint64           *n_bytes,
                                     guint64           *n_refused)
{
  g_return_if_fail (IO_IS_SHARED_DATA_QUEUE (self));

  g_mutex_lock (&self->lock);
  if (n_records != NULL)
    *n_records = self->n_records;
  if (n_bytes != NULL)
    *n_bytes = self->n_bytes;
  if (n_refused != NULL)
    *n_refused = self->n_refused;
  g_mutex_unlock (&self->lock);
}

/**
 * io_shared_data_queue_hang_up:
 * @self: a queue
 *
 * Ends the queue. The other end can still take what is in it, and then sees an
 * end in order; here every call fails with %IO_STREAM_ERROR_NOT_OPEN from now
 * on. Dropping the last reference does the same. Does nothing if the queue
 * ended already.
 *
 * Any thread.
 *
 * Since: 1.0
 */
void
io_shared_data_queue_hang_up (IOSharedDataQueue *self)
{
  g_return_if_fail (IO_IS_SHARED_DATA_QUEUE (self));

  g_mutex_lock (&self->lock);
  _io_shared_data_queue_end_locked (self, NULL);
  g_mutex_unlock (&self->lock);
}
