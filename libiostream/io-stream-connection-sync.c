/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-connection-sync-private.h"

#include "io-fork-private.h"
#include "io-stream-private.h"
#include "io-stream-sync-private.h"

#include <unistd.h>

/* The client's side of synchronous input. The wait is on a bell of its own, so
 * that it takes no ring that the output queue waits for, and on nothing else:
 * what the owner says in its control socket meanwhile stays there.
 *
 * The answer is looked at from a thread that may not touch the connection, and
 * the connection may be closed under its hands: so the bell counts references,
 * and keeps the pages. */

/* An owner whose loop is hot answers before this is over; how long it is worth
 * to look is learnt. */
#define MAX_SPIN 20 /* us */
#define MIN_SPIN 2  /* us */

static void
bell_clear (IOSyncBell *self)
{
  _io_notification_port_invalidate (self->port);
  g_object_unref (self->port);
  _io_memory_backing_unref (self->own_backing);
  _io_memory_backing_unref (self->peer_backing);
}

void
_io_sync_bell_unref (IOSyncBell *self)
{
  g_atomic_rc_box_release_full (self, (GDestroyNotify) bell_clear);
}

/* The owner may write another answer at any moment: the one that fits is
 * kept. */
gboolean
_io_sync_bell_is_ready (gpointer owner)
{
  IOSyncBell *self = owner;
  guint32 number = atomic_load_explicit (&self->number, memory_order_relaxed);
  guint64 answer = atomic_load_explicit (&self->peer->answer, memory_order_acquire);

  if (number == 0 || _io_sync_number (answer) != number)
    return FALSE;

  atomic_store_explicit (&self->answer, answer, memory_order_relaxed);

  return TRUE;
}

static const IONotificationPortFuncs bell_funcs = {
  _io_sync_bell_is_ready,
  _io_sync_bell_dispatch,
  _io_sync_bell_hang_up,
  NULL
};

static IOSyncBell *
bell_new (IOStreamConnectionPrivate *priv,
          int                        fd)
{
  IOSyncBell *self = g_atomic_rc_box_new0 (IOSyncBell);

  self->own_backing = _io_memory_backing_ref (priv->own.backing);
  self->peer_backing = _io_memory_backing_ref (priv->peer.backing);
  self->own = priv->own.page;
  self->peer = priv->peer.page;
  self->spin = MAX_SPIN;
  self->port = _io_notification_port_new (fd, &self->own->call_epoch, &self->peer->call_epoch,
                                          &bell_funcs, self);
  _io_fork_add_lifeline (fd);

  return self;
}

gboolean
_io_stream_connection_fail_sync (IOStreamConnection  *self,
                                 IOStreamError        code,
                                 const char          *why,
                                 GError             **error)
{
  g_set_error (error, IO_STREAM_ERROR, code, "Cannot notify stream “%s” and wait: %s",
               io_connection_get_name (IO_CONNECTION (self)), why);
  return FALSE;
}

/* Only one call at a time, from whatever thread; _io_stream_connection_finish_sync() ends
 * it. */
gboolean
_io_stream_connection_begin_sync (IOStreamConnection  *self,
                                  GError             **error)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  gboolean usable, busy;

  g_mutex_lock (&priv->lock);
  usable = priv->usable && priv->fork_count == _io_fork_count ();
  busy = priv->in_sync;
  priv->in_sync = busy || usable;
  g_mutex_unlock (&priv->lock);

  if (!usable)
    return _io_stream_connection_fail_sync (self, IO_STREAM_ERROR_NOT_OPEN, "it is not open", error);
  if (busy)
    return _io_stream_connection_fail_sync (self, IO_STREAM_ERROR_BUSY, "another call has no answer yet", error);

  return TRUE;
}

void
_io_stream_connection_finish_sync (IOStreamConnection *self,
                                   IOSyncBell         *bell)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  g_mutex_lock (&priv->lock);
  if (bell != NULL)
    atomic_store_explicit (&bell->number, 0, memory_order_relaxed);
  priv->in_sync = FALSE;
  g_mutex_unlock (&priv->lock);
}

/* The lock keeps the bell from being closed; if it is, the wait says so. */
void
_io_stream_connection_post_sync (IOStreamConnection *self,
                                 IOSyncBell         *bell,
                                 guint32             token,
                                 gboolean            rings)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  g_mutex_lock (&priv->lock);
  if (++priv->sync_number == 0)
    priv->sync_number = 1;
  atomic_store_explicit (&bell->number, priv->sync_number, memory_order_relaxed);
  atomic_store_explicit (&bell->own->call, _io_sync_pack (priv->sync_number, token),
                         memory_order_release);
  if (rings && priv->sync_bell == bell)
    _io_notification_port_ring (bell->port);
  g_mutex_unlock (&priv->lock);
}

/* What the owner says in its answer. */
gboolean
_io_stream_connection_check_sync (IOStreamConnection  *self,
                                  IOSyncBell          *bell,
                                  GError             **error)
{
  guint32 status = (guint32) atomic_load_explicit (&bell->answer, memory_order_relaxed);

  if (status == 0)
    return TRUE;
  if (status < IO_STREAM_ERROR_FAILED || status > IO_STREAM_ERROR_INVALID)
    status = IO_STREAM_ERROR_FAILED;

  return _io_stream_connection_fail_sync (self, (IOStreamError) status, "its owner refuses", error);
}

/* The owner hung up. It never does so alone with this bell. */
void
_io_stream_connection_fail_sync_offline (IOStreamConnection  *self,
                                         GError             **error)
{
  IOConnection *connection = IO_CONNECTION (self);
  const GError *reason;

  _io_connection_poll (connection);
  if (io_connection_is_connected (connection) &&
      _io_stream_connection_read_state (self) != IO_STREAM_STATE_CLOSED)
    _io_connection_fail (connection, g_error_new (IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE,
                                                  "The owner of stream “%s” hung up",
                                                  io_connection_get_name (connection)));

  reason = io_connection_get_error (connection);
  if (reason != NULL)
    g_propagate_error (error, g_error_copy (reason));
  else
    _io_stream_connection_fail_sync (self, IO_STREAM_ERROR_NOT_OPEN, "its owner closed it", error);
}

static gboolean
in_own_thread (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  gboolean own;

  g_mutex_lock (&priv->lock);
  own = priv->thread == g_thread_self ();
  g_mutex_unlock (&priv->lock);

  return own;
}

/* For the first call, and for every one to a stream of the same thread. */
static gboolean
check_thread (IOStreamConnection  *self,
              GError             **error)
{
  return in_own_thread (self) ||
         _io_stream_connection_fail_sync (self, IO_STREAM_ERROR_CANNOT_LOCK, "this is not the thread of the connection", error);
}

void
_io_stream_connection_fail_sync_timeout (IOStreamConnection  *self,
                                         GError             **error)
{
  g_autofree char *why = NULL;

  why = g_strdup_printf ("its owner does not answer within %g s",
                         (double) io_connection_get_timeout (IO_CONNECTION (self)) / G_USEC_PER_SEC);
  _io_stream_connection_fail_sync (self, IO_STREAM_ERROR_NOT_RESPONDING, why, error);
}

/* The bell. */

/* -1 if there are not as many as there should be; an owner that sends others
 * is not listened to any more. */
static int
take_fd (IOStreamConnection  *self,
         GUnixFDList         *list,
         GError             **error)
{
  int n_fds = list != NULL ? g_unix_fd_list_get_length (list) : 0;
  g_autofree int *fds = NULL;
  GError *reason;

  if (n_fds == 1)
    {
      fds = g_unix_fd_list_steal_fds (list, NULL);
      return fds[0];
    }

  reason = g_error_new (IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR,
                        "The owner of stream “%s” sent %d descriptors in place of 1",
                        io_connection_get_name (IO_CONNECTION (self)), n_fds);
  _io_connection_fail (IO_CONNECTION (self), g_error_copy (reason));
  g_propagate_error (error, reason);

  return -1;
}

IOSyncBell *
_io_stream_connection_take_sync_bell (IOStreamConnection  *self,
                                      GUnixFDList         *list,
                                      GError             **error)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  int fd = take_fd (self, list, error);
  IOSyncBell *bell = NULL;

  if (fd < 0)
    return NULL;

  g_mutex_lock (&priv->lock);
  if (priv->usable)
    {
      bell = priv->sync_bell = bell_new (priv, fd);
      g_atomic_rc_box_acquire (bell);
    }
  g_mutex_unlock (&priv->lock);

  if (bell == NULL)
    {
      close (fd);
      _io_stream_connection_fail_sync (self, IO_STREAM_ERROR_NOT_OPEN, "it was closed", error);
    }

  return bell;
}

IOSyncBell *
_io_stream_connection_find_sync_bell (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  IOSyncBell *bell;

  g_mutex_lock (&priv->lock);
  bell = priv->sync_bell != NULL ? g_atomic_rc_box_acquire (priv->sync_bell) : NULL;
  g_mutex_unlock (&priv->lock);

  return bell;
}

static IOSyncBell *
get_bell (IOStreamConnection  *self,
          GCancellable        *cancellable,
          GError             **error)
{
  gboolean local = _io_connection_get_private (IO_CONNECTION (self))->local;
  g_autoptr (IOSyncBell) bell = _io_stream_connection_find_sync_bell (self);
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GUnixFDList) list = NULL;

  if ((bell == NULL || local) && !check_thread (self, error))
    return NULL;
  if (bell != NULL)
    return g_steal_pointer (&bell);

  answer = _io_connection_call_with_fds (IO_CONNECTION (self), IO_OPCODE_GET_SYNC_BELL,
                                         g_variant_new ("()"), &list, cancellable, error);

  return answer != NULL ? _io_stream_connection_take_sync_bell (self, list, error) : NULL;
}

void
_io_stream_connection_drop_sync_bell_locked (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  if (priv->sync_bell == NULL)
    return;

  _io_notification_port_invalidate (priv->sync_bell->port);
  g_clear_pointer (&priv->sync_bell, _io_sync_bell_unref);
}

/* Waiting. */

static void
spin (IOSyncBell *bell)
{
  gint64 end = g_get_monotonic_time () + bell->spin;

  if (!_io_notification_port_may_spin ())
    return;

  while (!_io_sync_bell_is_ready (bell) && g_get_monotonic_time () < end)
    ;
}

static void
learn (IOSyncBell *bell,
       gint64      duration)
{
  if (duration < 2 * MAX_SPIN)
    bell->spin = MAX_SPIN;
  else
    bell->spin = MAX (bell->spin / 2, MIN_SPIN);
}

static gboolean
wait_for_answer (IOStreamConnection  *self,
                 IOSyncBell          *bell,
                 GCancellable        *cancellable,
                 GError             **error)
{
  gint64 begin = g_get_monotonic_time ();
  g_autoptr (GError) reason = NULL;
  gboolean answered;

  spin (bell);
  answered = _io_sync_bell_is_ready (bell) ||
             io_notification_port_wait (bell->port, io_connection_get_timeout (IO_CONNECTION (self)),
                                        cancellable, &reason);
  learn (bell, g_get_monotonic_time () - begin);

  if (answered)
    return _io_stream_connection_check_sync (self, bell, error);

  if (g_error_matches (reason, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT))
    _io_stream_connection_fail_sync_timeout (self, error);
  else if (g_error_matches (reason, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN))
    _io_stream_connection_fail_sync (self, IO_STREAM_ERROR_NOT_OPEN, "it was closed meanwhile", error);
  else if (!g_error_matches (reason, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE))
    g_propagate_error (error, g_steal_pointer (&reason));
  else if (in_own_thread (self))
    _io_stream_connection_fail_sync_offline (self, error);
  else
    _io_stream_connection_fail_sync (self, IO_STREAM_ERROR_OFFLINE, "its owner hung up", error);

  return FALSE;
}

/* The stream is in this thread: the call is a plain one. */
static gboolean
call_here (IOStreamConnection  *self,
           IOSyncBell          *bell,
           GError             **error)
{
  g_autoptr (IOService) service = g_weak_ref_get (&_io_connection_get_private (IO_CONNECTION (self))->service);

  if (service != NULL)
    _io_stream_serve_sync (IO_STREAM (service), atomic_load_explicit (&bell->peer->open_epoch, memory_order_relaxed));
  if (_io_sync_bell_is_ready (bell))
    return _io_stream_connection_check_sync (self, bell, error);

  if (service != NULL && _io_stream_connection_read_state (self) != IO_STREAM_STATE_CLOSED)
    return _io_stream_connection_fail_sync (self, IO_STREAM_ERROR_BUSY, "its owner is in a callback of that kind", error);

  _io_stream_connection_fail_sync_offline (self, error);
  return FALSE;
}

static gboolean
make_call (IOStreamConnection  *self,
           IOSyncBell          *bell,
           guint32              token,
           GCancellable        *cancellable,
           GError             **error)
{
  gboolean local = _io_connection_get_private (IO_CONNECTION (self))->local;

  _io_stream_connection_post_sync (self, bell, token, !local);

  return local ? call_here (self, bell, error) : wait_for_answer (self, bell, cancellable, error);
}

/**
 * io_stream_connection_send_input_sync_notification:
 * @self: a connection
 * @token: what the owner gets with #IOStream::input-sync
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Calls the owner, and waits until its callback has run, no longer than
 * #IOConnection:timeout. What was put into the input queue before is announced
 * to the owner first. The stream has to be open; whether it runs does not
 * matter. A main context does not run meanwhile, and output is not lost: it is
 * announced afterwards.
 *
 * There is one such call at a time. After one that failed for want of an
 * answer, by time or by @cancellable, the connection can be used further: what
 * is answered late is ignored, and the callback may or may not have run, or
 * still run.
 *
 * The thread of the connection, and once a call has succeeded there, any
 * thread; the first call of each open asks the owner for a bell. Fails with
 * %IO_STREAM_ERROR_NOT_OPEN if the stream is not open or is closed meanwhile,
 * %IO_STREAM_ERROR_BUSY if another call has no answer yet,
 * %IO_STREAM_ERROR_NOT_RESPONDING when the time is over, %G_IO_ERROR_CANCELLED
 * when cancelled, %IO_STREAM_ERROR_OFFLINE if the owner dies,
 * %IO_STREAM_ERROR_CANNOT_LOCK if the calling thread itself serves the stream
 * or is not the right one, and with the code that the owner's callback
 * fails with. Two processes that call each other like this wait for each other
 * until the time is over. A connection that was made for a stream of the same
 * thread calls directly, only there, and without a time or a way to cancel.
 * Apple's SendInputSyncNotification().
 *
 * Returns: %TRUE if the owner's callback has run and succeeded
 * Since: 1.0
 */
gboolean
io_stream_connection_send_input_sync_notification (IOStreamConnection  *self,
                                                   guint32              token,
                                                   GCancellable        *cancellable,
                                                   GError             **error)
{
  G_GNUC_UNUSED g_autoptr (IOStreamConnection) keep = NULL;
  g_autoptr (IOSyncBell) bell = NULL;
  gboolean done = FALSE;

  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (g_cancellable_set_error_if_cancelled (cancellable, error) ||
      !_io_connection_enter (IO_CONNECTION (self), IO_OPCODE_GET_SYNC_BELL, error))
    return FALSE;

  keep = g_object_ref (self);
  if (_io_stream_connection_begin_sync (self, error))
    {
      bell = get_bell (self, cancellable, error);
      done = bell != NULL && make_call (self, bell, token, cancellable, error);
      _io_stream_connection_finish_sync (self, bell);
    }
  _io_connection_leave (IO_CONNECTION (self));

  return done;
}
