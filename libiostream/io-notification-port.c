/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-notification-port.h"

#include "io-context-source-private.h"
#include "io-fork-private.h"

#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/**
 * SECTION:io-notification-port
 * @title: IONotificationPort
 * @short_description: One end of a bell between two processes
 *
 * A notification port wakes whoever waits at its other end, and is woken from
 * there. It carries no data: what there is to see stands in shared memory, and
 * a notification says "look". Notifications are therefore merged, one may
 * stand for many, and a wake-up may turn out to be for nothing.
 *
 * Ports come from a stream connection, or in pairs from
 * io_notification_port_new_pair(). The ends of a pair can part ways with
 * fork(): parent and child each keep one end and drop the other.
 *
 * # Waiting
 *
 * There are three ways, and a port is waited for in one of them at a time:
 * io_notification_port_wait() blocks the calling thread without a main
 * context; io_notification_port_create_source() makes a #GSource; and for a
 * foreign loop there is the descriptor of io_notification_port_get_fd(),
 * with io_notification_port_prepare_wait() before and
 * io_notification_port_finish_wait() after each sleep on it. The descriptor
 * alone says little: the other end rings it only if this end has said that it
 * goes to sleep, so that steady traffic makes no system calls.
 *
 * On a pair, a notification is taken by the wait, the callback or the
 * io_notification_port_prepare_wait() that reports it. On the port of a stream
 * there is something to report until the entries in the queue are taken.
 *
 * # Life cycle and ownership
 *
 * A port belongs to the object it wakes, which invalidates it when it closes:
 * whoever still holds it then gets %IO_STREAM_ERROR_NOT_OPEN. Dropping the last
 * reference of a port closes it. If the other end goes away, however suddenly,
 * waits end with %IO_STREAM_ERROR_OFFLINE as soon as nothing is left to be
 * seen.
 *
 * # Threads
 *
 * A notification can be sent from any thread. One thread at a time waits.
 *
 * # Trust
 *
 * The other end can ring for nothing, not ring, fill the bell or change its
 * flags. Nothing here blocks on that; a wait or source that was woken more
 * than 64 times for nothing looks at intervals of up to 100 ms instead.
 *
 * It answers to Apple's IONotificationPort, and to the Mach ports that
 * IOStream's clients register.
 */

/**
 * IONotificationPort:
 *
 * One end of a bell between two processes.
 *
 * Since: 1.0
 */

typedef struct {
  _Alignas (128) _Atomic uint32_t word;
  _Atomic uint32_t                count;  /* notifications sent */
} IOPortSide;

/* What the two ends of a pair share. The sides are shared over a fork as well,
 * the count of references is that of one process. */
struct _IOPortPair {
  IOPortSide *sides;
};

G_DEFINE_FINAL_TYPE (IONotificationPort, io_notification_port, G_TYPE_OBJECT)

static void
pair_clear (gpointer data)
{
  IOPortPair *pair = data;

  munmap (pair->sides, 2 * sizeof (IOPortSide));
}

static IOPortPair *
pair_new (GError **error)
{
  IOPortPair *pair;
  void *memory = mmap (NULL, 2 * sizeof (IOPortSide), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

  if (memory == MAP_FAILED)
    {
      int saved_errno = errno;

      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_MEMORY,
                   "Cannot map the page of a pair of ports: %s", g_strerror (saved_errno));
      return NULL;
    }

  pair = g_atomic_rc_box_new (IOPortPair);
  pair->sides = memory;

  return pair;
}

static void
pair_unref (IOPortPair *pair)
{
  g_atomic_rc_box_release_full (pair, pair_clear);
}

static IONotificationPort *
port_new_for_side (IOPortPair *pair,
                   guint       side,
                   int         fd)
{
  IONotificationPort *self = _io_notification_port_new (fd,
                                                        &pair->sides[side].word,
                                                        &pair->sides[!side].word,
                                                        NULL, NULL);

  self->pair = g_atomic_rc_box_acquire (pair);
  self->side = side;

  return self;
}

static gint64
get_deadline (gint64 timeout)
{
  gint64 now = g_get_monotonic_time ();

  if (timeout < 0 || timeout > G_MAXINT64 - now)
    return G_MAXINT64;

  return now + timeout;
}

static gboolean
set_look_error (IOPortLook   look,
                const char  *operation,
                GError     **error)
{
  if (look == IO_PORT_CLOSED)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN,
                 "Cannot %s: the notification port is closed", operation);
  else if (look == IO_PORT_HUNG_UP)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE,
                 "Cannot %s: the other end of the notification port is gone", operation);
  else
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT,
                 "Cannot %s: nothing came in time", operation);

  return FALSE;
}

/* A sleep of somebody else's has taken rings that the context's source may
 * have been waiting for. */
static void
wake_source_locked (IONotificationPort *self)
{
  if (self->source != NULL)
    _io_context_source_wake (self->source, self);
}

/* Sleeps on the bell, or, if @delay is not 0, beside it. */
static void
poll_until (int                fd,
            gint64             deadline,
            guint              delay,
            const GPollFD     *cancel)
{
  struct pollfd fds[2] = {
    { delay > 0 ? -1 : fd, POLLIN | POLLRDHUP, 0 },
    { cancel->fd, cancel->events, 0 },
  };
  gint64 timeout = deadline;
  struct timespec spec;

  if (deadline != G_MAXINT64)
    timeout = MAX (deadline - g_get_monotonic_time (), 0);
  if (delay > 0)
    timeout = MIN (timeout, (gint64) delay * 1000);

  spec.tv_sec = timeout / G_USEC_PER_SEC;
  spec.tv_nsec = timeout % G_USEC_PER_SEC * 1000;

  /* Whatever the reason to return is, the caller looks again. */
  ppoll (fds, G_N_ELEMENTS (fds), timeout == G_MAXINT64 ? NULL : &spec, NULL);
}

typedef struct {
  gint64        deadline;
  GCancellable *cancellable;
  GPollFD       cancel;       /* fd -1 until the first sleep */
  int           fd;
  guint         n_fruitless;
  guint         delay;        /* ms, 0: listens to the bell */
  guint         penalty;      /* last delay */
} Wait;

/* With the lock held, which is given up for the sleep. */
static void
wait_sleep (IONotificationPort *self,
            Wait               *wait)
{
  if (wait->cancellable != NULL && wait->cancel.fd < 0 &&
      !g_cancellable_make_pollfd (wait->cancellable, &wait->cancel))
    wait->cancel.fd = -1;

  if (wait->delay > 0 || _io_notification_port_sleep (self))
    {
      g_mutex_unlock (&self->lock);
      poll_until (wait->fd, wait->deadline, wait->delay, &wait->cancel);
      g_mutex_lock (&self->lock);
      _io_bell_disarm (&self->bell);
    }

  if (_io_notification_port_hear (self) != IO_BELL_RUNG)
    wait->delay = 0;
  else if (++wait->n_fruitless > IO_PORT_MAX_FRUITLESS)
    wait->delay = wait->penalty = CLAMP (wait->penalty * 2, IO_PORT_MIN_DELAY, IO_PORT_MAX_DELAY);
}

/* With the lock held. */
static IOPortLook
wait_until (IONotificationPort *self,
            Wait               *wait)
{
  IOPortLook look;

  while ((look = _io_notification_port_look (self)) == IO_PORT_NOTHING)
    {
      if (g_cancellable_is_cancelled (wait->cancellable))
        break;

      if (g_get_monotonic_time () < wait->deadline)
        {
          wait_sleep (self, wait);
          continue;
        }

      /* A last look behind the bell, which alone knows of the end. */
      _io_notification_port_hear (self);
      look = _io_notification_port_look (self);
      break;
    }

  if (look == IO_PORT_READY)
    _io_notification_port_take (self);

  return look;
}

gboolean
_io_notification_port_is_ready (IONotificationPort *self)
{
  if (self->pair != NULL)
    {
      IOPortSide *peer = &self->pair->sides[!self->side];

      return atomic_load_explicit (&peer->count, memory_order_acquire) != self->seen;
    }

  if (self->funcs != NULL && self->funcs->is_ready != NULL)
    return self->funcs->is_ready (self->owner);

  return atomic_load_explicit (&self->pending, memory_order_relaxed);
}

/* A child has the bell, but not the memory of who owns the port; its rings are
 * for the parent. */
static gboolean
is_of_parent (IONotificationPort *self)
{
  return self->pair == NULL && self->bell.own_word != NULL && self->bell.forks != _io_fork_count ();
}

IOPortLook
_io_notification_port_look (IONotificationPort *self)
{
  /* In this order: what was published before the end is seen after it. */
  gboolean hung_up = atomic_load_explicit (&self->bell.hung_up, memory_order_acquire);

  if (self->bell.fd < 0 || is_of_parent (self))
    return IO_PORT_CLOSED;
  if (_io_notification_port_is_ready (self))
    return IO_PORT_READY;

  return hung_up ? IO_PORT_HUNG_UP : IO_PORT_NOTHING;
}

void
_io_notification_port_take (IONotificationPort *self)
{
  atomic_store_explicit (&self->pending, FALSE, memory_order_relaxed);
  if (self->pair != NULL)
    self->seen = atomic_load_explicit (&self->pair->sides[!self->side].count,
                                       memory_order_acquire);
}

IOBellResult
_io_notification_port_hear (IONotificationPort *self)
{
  IOBellResult result;

  if (self->bell.fd < 0 || is_of_parent (self))
    return IO_BELL_HUNG_UP;

  result = _io_bell_drain (&self->bell);
  if (result == IO_BELL_RUNG && (self->funcs == NULL || self->funcs->is_ready == NULL))
    atomic_store_explicit (&self->pending, TRUE, memory_order_relaxed);

  return result;
}

gboolean
_io_notification_port_sleep (IONotificationPort *self)
{
  if (self->bell.fd < 0 || is_of_parent (self))
    return FALSE;

  _io_bell_arm (&self->bell);
  if (_io_notification_port_look (self) == IO_PORT_NOTHING)
    return TRUE;

  _io_bell_disarm (&self->bell);

  return FALSE;
}

int
_io_notification_port_begin_use (IONotificationPort *self)
{
  if (self->bell.fd >= 0)
    self->n_users++;

  return self->bell.fd;
}

void
_io_notification_port_end_use (IONotificationPort *self)
{
  g_assert (self->n_users > 0);

  if (--self->n_users == 0 && self->old_fd >= 0)
    {
      close (self->old_fd);
      self->old_fd = -1;
    }
}

/* To ask for the number of processors reads files. */
gboolean
_io_notification_port_may_spin (void)
{
  static gsize n_processors = 0;

  if (g_once_init_enter (&n_processors))
    g_once_init_leave (&n_processors, g_get_num_processors ());

  return n_processors > 1;
}

IONotificationPort *
_io_notification_port_new (int                            fd,
                           _Atomic uint32_t              *own_word,
                           const _Atomic uint32_t        *peer_word,
                           const IONotificationPortFuncs *funcs,
                           gpointer                       owner)
{
  IONotificationPort *self = g_object_new (IO_TYPE_NOTIFICATION_PORT, NULL);

  _io_bell_init (&self->bell, fd, own_word, peer_word);
  self->funcs = funcs;
  self->owner = owner;

  return self;
}

void
_io_notification_port_invalidate (IONotificationPort *self)
{
  g_return_if_fail (IO_IS_NOTIFICATION_PORT (self));

  _io_notification_port_detach (self);

  g_mutex_lock (&self->lock);
  if (self->n_users > 0 && self->bell.fd >= 0)
    {
      shutdown (self->bell.fd, SHUT_RDWR);
      _io_fork_remove_lifeline (self->bell.fd);
      self->old_fd = g_steal_fd (&self->bell.fd);
    }
  _io_bell_clear (&self->bell);
  g_clear_pointer (&self->pair, pair_unref);
  self->owner = NULL;
  self->funcs = NULL;
  g_mutex_unlock (&self->lock);
}

gboolean
_io_notification_port_ring (IONotificationPort *self)
{
  gboolean knew = atomic_load_explicit (&self->bell.hung_up, memory_order_relaxed);
  gboolean rung;

  if (!_io_bell_has_sleeper (&self->bell))
    return !knew;

  g_mutex_lock (&self->lock);
  rung = self->bell.fd >= 0 && _io_bell_ring (&self->bell);
  if (!rung && !knew)
    wake_source_locked (self);
  g_mutex_unlock (&self->lock);

  return rung;
}

void
_io_notification_port_wake (IONotificationPort *self)
{
  g_mutex_lock (&self->lock);
  wake_source_locked (self);
  g_mutex_unlock (&self->lock);
}

static void
io_notification_port_dispose (GObject *object)
{
  IONotificationPort *self = IO_NOTIFICATION_PORT (object);

  _io_notification_port_invalidate (self);

  G_OBJECT_CLASS (io_notification_port_parent_class)->dispose (object);
}

static void
io_notification_port_finalize (GObject *object)
{
  IONotificationPort *self = IO_NOTIFICATION_PORT (object);

  g_assert (self->n_users == 0);
  g_mutex_clear (&self->lock);

  G_OBJECT_CLASS (io_notification_port_parent_class)->finalize (object);
}

static void
io_notification_port_class_init (IONotificationPortClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->dispose = io_notification_port_dispose;
  object_class->finalize = io_notification_port_finalize;
}

static void
io_notification_port_init (IONotificationPort *self)
{
  g_mutex_init (&self->lock);
  _io_bell_init (&self->bell, -1, NULL, NULL);
  self->old_fd = -1;
  self->delay = IO_PORT_MIN_DELAY;
  self->link.data = self;
  self->wake_link.data = self;
}

/**
 * io_notification_port_new_pair:
 * @first: (out) (transfer full): return location for one end
 * @second: (out) (transfer full): return location for the other end
 * @error: return location for a #GError
 *
 * Makes two ports that notify each other. To use them between two processes,
 * fork(), and drop one end in each; as long as a process has the end that the
 * other one uses, the other one's death is not noticed.
 *
 * Fails with %IO_STREAM_ERROR_NO_RESOURCES if there are no descriptors left,
 * %IO_STREAM_ERROR_NO_MEMORY or %IO_STREAM_ERROR_IO_ERROR.
 *
 * Any thread. Apple's counterpart is IONotificationPortCreate().
 *
 * Returns: %TRUE on success; else both ends are %NULL
 * Since: 1.0
 */
gboolean
io_notification_port_new_pair (IONotificationPort **first,
                               IONotificationPort **second,
                               GError             **error)
{
  IOPortPair *pair;
  int fds[2];

  g_return_val_if_fail (first != NULL, FALSE);
  g_return_val_if_fail (second != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  *first = *second = NULL;

  pair = pair_new (error);
  if (pair == NULL)
    return FALSE;

  if (_io_bell_create_pair (fds, error))
    {
      *first = port_new_for_side (pair, 0, fds[0]);
      *second = port_new_for_side (pair, 1, fds[1]);
    }
  pair_unref (pair);

  return *first != NULL;
}

/**
 * io_notification_port_get_fd:
 * @self: a port
 *
 * Gets the descriptor that a foreign loop sleeps on, between
 * io_notification_port_prepare_wait() and io_notification_port_finish_wait().
 * It becomes readable when the other end rings or is gone. Do not read, write
 * or close it; it stays the port's, and is closed with it.
 *
 * Any thread. Apple's counterpart is IONotificationPortGetMachPort().
 *
 * Returns: the descriptor, or -1 if the port is closed
 * Since: 1.0
 */
int
io_notification_port_get_fd (IONotificationPort *self)
{
  int fd;

  g_return_val_if_fail (IO_IS_NOTIFICATION_PORT (self), -1);

  g_mutex_lock (&self->lock);
  fd = self->bell.fd;
  g_mutex_unlock (&self->lock);

  return fd;
}

/**
 * io_notification_port_send_notification:
 * @self: a port
 * @error: return location for a #GError
 *
 * Notifies the other end. This never blocks, and costs a system call only if
 * somebody sleeps there who was not notified yet. It is a success if nobody
 * waits.
 *
 * Fails with %IO_STREAM_ERROR_OFFLINE if the other end is gone, and with
 * %IO_STREAM_ERROR_NOT_OPEN if the port is closed.
 *
 * Any thread.
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_notification_port_send_notification (IONotificationPort  *self,
                                        GError             **error)
{
  IOPortLook look = IO_PORT_CLOSED;

  g_return_val_if_fail (IO_IS_NOTIFICATION_PORT (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  g_mutex_lock (&self->lock);
  if (self->bell.fd >= 0)
    {
      if (self->pair != NULL)
        atomic_fetch_add_explicit (&self->pair->sides[self->side].count, 1,
                                   memory_order_release);
      look = _io_bell_ring (&self->bell) ? IO_PORT_READY : IO_PORT_HUNG_UP;
    }
  g_mutex_unlock (&self->lock);

  return look == IO_PORT_READY || set_look_error (look, "send a notification", error);
}

/**
 * io_notification_port_wait:
 * @self: a port
 * @timeout: how long to wait in microseconds, 0 only to look, -1 for ever
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Waits until there is something to see, without a main context. It may return
 * for nothing now and then.
 *
 * Fails with %IO_STREAM_ERROR_TIMEOUT, with %IO_STREAM_ERROR_OFFLINE if the
 * other end is gone and nothing is left, with %IO_STREAM_ERROR_NOT_OPEN if the
 * port is closed, also during the wait, and with %G_IO_ERROR_CANCELLED.
 *
 * Any thread, one at a time.
 *
 * Returns: %TRUE if there is something to see
 * Since: 1.0
 */
gboolean
io_notification_port_wait (IONotificationPort  *self,
                           gint64               timeout,
                           GCancellable        *cancellable,
                           GError             **error)
{
  IOPortLook look = IO_PORT_CLOSED;
  Wait wait = { get_deadline (timeout), cancellable, { -1, 0, 0 }, -1, 0, 0, 0 };

  g_return_val_if_fail (IO_IS_NOTIFICATION_PORT (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;

  g_object_ref (self);
  g_mutex_lock (&self->lock);
  wait.fd = _io_notification_port_begin_use (self);
  if (wait.fd >= 0)
    {
      look = wait_until (self, &wait);
      wake_source_locked (self);
      _io_notification_port_end_use (self);
    }
  g_mutex_unlock (&self->lock);
  g_object_unref (self);

  if (wait.cancel.fd >= 0)
    g_cancellable_release_fd (cancellable);
  if (look == IO_PORT_NOTHING && g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;

  return look == IO_PORT_READY || set_look_error (look, "wait for a notification", error);
}

/**
 * io_notification_port_prepare_wait:
 * @self: a port
 *
 * Goes to sleep, as a foreign loop does it before it polls the descriptor of
 * io_notification_port_get_fd(). If there is something to see already, or the
 * other end is gone, or the port is closed, there is nothing to sleep for:
 * look at once. Else poll, call io_notification_port_finish_wait() whatever
 * the poll said, and begin again:
 *
 * |[<!-- language="C" -->
 * while (running)
 *   {
 *     if (io_notification_port_prepare_wait (port))
 *       {
 *         poll (&pollfd, 1, -1);
 *         io_notification_port_finish_wait (port);
 *       }
 *     else
 *       look ();
 *   }
 * ]|
 *
 * Any thread, one at a time.
 *
 * Returns: %TRUE if the descriptor can be polled now
 * Since: 1.0
 */
gboolean
io_notification_port_prepare_wait (IONotificationPort *self)
{
  gboolean asleep;

  g_return_val_if_fail (IO_IS_NOTIFICATION_PORT (self), FALSE);

  g_mutex_lock (&self->lock);
  asleep = _io_notification_port_sleep (self);
  if (!asleep)
    _io_notification_port_take (self);
  g_mutex_unlock (&self->lock);

  return asleep;
}

/**
 * io_notification_port_finish_wait:
 * @self: a port
 *
 * Ends the sleep that began with io_notification_port_prepare_wait(), so that
 * the other end does not ring any more, and quiets the descriptor.
 *
 * The thread of io_notification_port_prepare_wait().
 *
 * Since: 1.0
 */
void
io_notification_port_finish_wait (IONotificationPort *self)
{
  g_return_if_fail (IO_IS_NOTIFICATION_PORT (self));

  g_mutex_lock (&self->lock);
  _io_bell_disarm (&self->bell);
  _io_notification_port_hear (self);
  wake_source_locked (self);
  g_mutex_unlock (&self->lock);
}

/**
 * io_notification_port_is_hung_up:
 * @self: a port
 *
 * Tells whether the other end is gone. There may still be something to see.
 *
 * Any thread.
 *
 * Returns: %TRUE if the other end is gone, or the port is closed
 * Since: 1.0
 */
gboolean
io_notification_port_is_hung_up (IONotificationPort *self)
{
  gboolean hung_up = TRUE;

  g_return_val_if_fail (IO_IS_NOTIFICATION_PORT (self), TRUE);

  g_mutex_lock (&self->lock);
  if (self->bell.fd >= 0)
    {
      struct pollfd pollfd = { self->bell.fd, POLLRDHUP, 0 };

      hung_up = atomic_load_explicit (&self->bell.hung_up, memory_order_relaxed) ||
                poll (&pollfd, 1, 0) > 0;
    }
  g_mutex_unlock (&self->lock);

  return hung_up;
}
