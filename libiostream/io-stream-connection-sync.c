/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-connection-private.h"

#include "io-connection-internal-private.h"
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

struct _IOSyncBell {
  IOStreamConnection *connection;   /* borrowed; of the call without waiting */
  IOMemoryBacking    *own_backing;
  IOMemoryBacking    *peer_backing;
  IOAbiRegion        *own;
  IOAbiRegion        *peer;
  IONotificationPort *port;
  guint               spin;         /* us */
  _Atomic guint32     number;       /* of the call that waits, or 0 */
  _Atomic guint64     answer;       /* as it was when it had this number */
};

static void
bell_clear (IOSyncBell *self)
{
  _io_notification_port_invalidate (self->port);
  g_object_unref (self->port);
  _io_memory_backing_unref (self->own_backing);
  _io_memory_backing_unref (self->peer_backing);
}

static void
bell_unref (IOSyncBell *self)
{
  g_atomic_rc_box_release_full (self, (GDestroyNotify) bell_clear);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (IOSyncBell, bell_unref)

/* The owner may write another answer at any moment: the one that fits is
 * kept. */
static gboolean
bell_is_ready (gpointer owner)
{
  IOSyncBell *self = owner;
  guint32 number = atomic_load_explicit (&self->number, memory_order_relaxed);
  guint64 answer = atomic_load_explicit (&self->peer->answer, memory_order_acquire);

  if (number == 0 || _io_sync_number (answer) != number)
    return FALSE;

  atomic_store_explicit (&self->answer, answer, memory_order_relaxed);

  return TRUE;
}

static gboolean bell_dispatch (gpointer owner);
static void     bell_hang_up  (gpointer owner);

static const IONotificationPortFuncs bell_funcs = {
  bell_is_ready,
  bell_dispatch,
  bell_hang_up,
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

static gboolean
fail_sync (IOStreamConnection  *self,
           IOStreamError        code,
           const char          *why,
           GError             **error)
{
  g_set_error (error, IO_STREAM_ERROR, code, "Cannot notify stream “%s” and wait: %s",
               io_connection_get_name (IO_CONNECTION (self)), why);
  return FALSE;
}

/* Only one call at a time, from whatever thread; end_call() ends it. */
static gboolean
begin_call (IOStreamConnection  *self,
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
    return fail_sync (self, IO_STREAM_ERROR_NOT_OPEN, "it is not open", error);
  if (busy)
    return fail_sync (self, IO_STREAM_ERROR_BUSY, "another call has no answer yet", error);

  return TRUE;
}

static void
end_call (IOStreamConnection *self,
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
static void
post_call (IOStreamConnection *self,
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
static gboolean
check_answer (IOStreamConnection  *self,
              IOSyncBell          *bell,
              GError             **error)
{
  guint32 status = (guint32) atomic_load_explicit (&bell->answer, memory_order_relaxed);

  if (status == 0)
    return TRUE;
  if (status < IO_STREAM_ERROR_FAILED || status > IO_STREAM_ERROR_INVALID)
    status = IO_STREAM_ERROR_FAILED;

  return fail_sync (self, (IOStreamError) status, "its owner refuses", error);
}

/* The owner hung up. It never does so alone with this bell. */
static void
fail_offline (IOStreamConnection  *self,
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
    fail_sync (self, IO_STREAM_ERROR_NOT_OPEN, "its owner closed it", error);
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
         fail_sync (self, IO_STREAM_ERROR_CANNOT_LOCK, "this is not the thread of the connection", error);
}

static void
fail_timeout (IOStreamConnection  *self,
              GError             **error)
{
  g_autofree char *why = NULL;

  why = g_strdup_printf ("its owner does not answer within %g s",
                         (double) io_connection_get_timeout (IO_CONNECTION (self)) / G_USEC_PER_SEC);
  fail_sync (self, IO_STREAM_ERROR_NOT_RESPONDING, why, error);
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

static IOSyncBell *
take_bell (IOStreamConnection  *self,
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
      fail_sync (self, IO_STREAM_ERROR_NOT_OPEN, "it was closed", error);
    }

  return bell;
}

static IOSyncBell *
find_bell (IOStreamConnection *self)
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
  g_autoptr (IOSyncBell) bell = find_bell (self);
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GUnixFDList) list = NULL;

  if ((bell == NULL || local) && !check_thread (self, error))
    return NULL;
  if (bell != NULL)
    return g_steal_pointer (&bell);

  answer = _io_connection_call_with_fds (IO_CONNECTION (self), IO_OPCODE_GET_SYNC_BELL,
                                         g_variant_new ("()"), &list, cancellable, error);

  return answer != NULL ? take_bell (self, list, error) : NULL;
}

void
_io_stream_connection_drop_sync_bell_locked (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  if (priv->sync_bell == NULL)
    return;

  _io_notification_port_invalidate (priv->sync_bell->port);
  g_clear_pointer (&priv->sync_bell, bell_unref);
}

/* Waiting. */

static void
spin (IOSyncBell *bell)
{
  gint64 end = g_get_monotonic_time () + bell->spin;

  if (!_io_notification_port_may_spin ())
    return;

  while (!bell_is_ready (bell) && g_get_monotonic_time () < end)
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
  answered = bell_is_ready (bell) ||
             io_notification_port_wait (bell->port, io_connection_get_timeout (IO_CONNECTION (self)),
                                        cancellable, &reason);
  learn (bell, g_get_monotonic_time () - begin);

  if (answered)
    return check_answer (self, bell, error);

  if (g_error_matches (reason, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT))
    fail_timeout (self, error);
  else if (g_error_matches (reason, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN))
    fail_sync (self, IO_STREAM_ERROR_NOT_OPEN, "it was closed meanwhile", error);
  else if (!g_error_matches (reason, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE))
    g_propagate_error (error, g_steal_pointer (&reason));
  else if (in_own_thread (self))
    fail_offline (self, error);
  else
    fail_sync (self, IO_STREAM_ERROR_OFFLINE, "its owner hung up", error);

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
  if (bell_is_ready (bell))
    return check_answer (self, bell, error);

  if (service != NULL && _io_stream_connection_read_state (self) != IO_STREAM_STATE_CLOSED)
    return fail_sync (self, IO_STREAM_ERROR_BUSY, "its owner is in a callback of that kind", error);

  fail_offline (self, error);
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

  post_call (self, bell, token, !local);

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
  if (begin_call (self, error))
    {
      bell = get_bell (self, cancellable, error);
      done = bell != NULL && make_call (self, bell, token, cancellable, error);
      end_call (self, bell);
    }
  _io_connection_leave (IO_CONNECTION (self));

  return done;
}

/* The same without waiting. */

typedef struct {
  IOSyncBell *bell;
  guint32     token;
  GSource    *timeout_source;
  GSource    *cancel_source;
  GError     *error;
} AsyncCall;

static void
drop_source (GSource **source)
{
  if (*source == NULL)
    return;

  g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

static void
async_call_free (gpointer data)
{
  AsyncCall *call = data;

  drop_source (&call->timeout_source);
  drop_source (&call->cancel_source);
  g_clear_pointer (&call->bell, bell_unref);
  g_clear_error (&call->error);
  g_free (call);
}

/* Ends the call and hands the task over; its callback has not run. */
static GTask *
end_async (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  GTask *task = g_steal_pointer (&priv->sync_task);
  AsyncCall *call = g_task_get_task_data (task);

  drop_source (&call->timeout_source);
  drop_source (&call->cancel_source);
  _io_notification_port_detach (call->bell->port);
  call->bell->connection = NULL;
  end_call (self, call->bell);

  return task;
}

static void
return_task (GTask  *task,
             GError *error)
{
  if (error != NULL)
    g_task_return_error (task, error);
  else
    g_task_return_boolean (task, TRUE);
  g_object_unref (task);
}

/* Takes over @error; %NULL: the answer is there. */
static void
finish_async (IOStreamConnection *self,
              GError             *error)
{
  GTask *task = end_async (self);
  AsyncCall *call = g_task_get_task_data (task);

  if (error == NULL)
    check_answer (self, call->bell, &error);
  return_task (task, error);
}

static gboolean
bell_dispatch (gpointer owner)
{
  IOSyncBell *self = owner;

  if (self->connection == NULL || !bell_is_ready (self))
    return FALSE;

  finish_async (self->connection, NULL);

  return TRUE;
}

static void
bell_hang_up (gpointer owner)
{
  IOSyncBell *self = owner;
  g_autoptr (IOStreamConnection) connection = NULL;
  GError *error = NULL;

  if (self->connection == NULL)
    return;

  connection = g_object_ref (self->connection);
  fail_offline (connection, &error);
  if (_io_stream_connection_get_private (connection)->sync_task != NULL)
    finish_async (connection, g_steal_pointer (&error));
  g_clear_error (&error);
}

static gboolean
timeout_cb (gpointer user_data)
{
  GError *error = NULL;

  fail_timeout (user_data, &error);
  finish_async (user_data, error);

  return G_SOURCE_REMOVE;
}

static gboolean
cancelled_cb (GCancellable *cancellable,
              gpointer      user_data)
{
  GError *error = NULL;

  g_cancellable_set_error_if_cancelled (cancellable, &error);
  finish_async (user_data, error);

  return G_SOURCE_REMOVE;
}

static gboolean
return_cb (gpointer user_data)
{
  AsyncCall *call = g_task_get_task_data (user_data);

  return_task (g_object_ref (user_data), g_steal_pointer (&call->error));

  return G_SOURCE_REMOVE;
}

/* From inside of a close: the callback of the task waits for its turn. */
void
_io_stream_connection_end_sync (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  g_autoptr (GSource) source = NULL;
  AsyncCall *call;
  gboolean answered;
  GTask *task;

  if (priv->sync_task == NULL)
    return;

  call = g_task_get_task_data (priv->sync_task);
  answered = priv->fork_count == _io_fork_count () && bell_is_ready (call->bell);
  task = end_async (self);
  if (answered)
    check_answer (self, call->bell, &call->error);
  else if (io_connection_get_error (IO_CONNECTION (self)) != NULL)
    call->error = g_error_copy (io_connection_get_error (IO_CONNECTION (self)));
  else
    fail_sync (self, IO_STREAM_ERROR_NOT_OPEN, "it was closed meanwhile", &call->error);

  source = g_idle_source_new ();
  g_source_set_priority (source, g_task_get_priority (task));
  g_source_set_callback (source, return_cb, task, g_object_unref);
  g_source_attach (source, g_task_get_context (task));
}

static void
watch_async (IOStreamConnection *self,
             GTask              *task)
{
  AsyncCall *call = g_task_get_task_data (task);
  GCancellable *cancellable = g_task_get_cancellable (task);
  gint64 timeout = io_connection_get_timeout (IO_CONNECTION (self));
  GMainContext *context = _io_connection_get_context (IO_CONNECTION (self));

  if (timeout >= 0)
    {
      call->timeout_source = g_timeout_source_new ((guint) MIN (timeout / 1000 + 1, G_MAXUINT));
      g_source_set_callback (call->timeout_source, timeout_cb, self, NULL);
      g_source_attach (call->timeout_source, context);
    }
  if (cancellable != NULL)
    {
      call->cancel_source = g_cancellable_source_new (cancellable);
      g_source_set_callback (call->cancel_source, G_SOURCE_FUNC (cancelled_cb), self, NULL);
      g_source_attach (call->cancel_source, context);
    }
  _io_notification_port_attach (call->bell->port, context);
}

/* Takes over @task and @bell. */
static void
start_async (IOStreamConnection *self,
             GTask              *task,
             IOSyncBell         *bell)
{
  AsyncCall *call = g_task_get_task_data (task);

  call->bell = bell;
  bell->connection = self;
  _io_stream_connection_get_private (self)->sync_task = task;
  post_call (self, bell, call->token, TRUE);
  watch_async (self, task);
}

static void
got_bell_cb (GObject      *object,
             GAsyncResult *result,
             gpointer      user_data)
{
  IOStreamConnection *self = IO_STREAM_CONNECTION (object);
  g_autoptr (GVariant) answer = NULL;
  GError *error = NULL;
  IOSyncBell *bell = NULL;

  answer = g_task_propagate_pointer (G_TASK (result), &error);
  if (answer != NULL)
    bell = take_bell (self, _io_connection_peek_task_fds (G_TASK (result)), &error);
  if (bell != NULL)
    {
      start_async (self, user_data, bell);
      return;
    }

  end_call (self, NULL);
  return_task (user_data, error);
}

/**
 * io_stream_connection_send_input_sync_notification_async:
 * @self: a connection
 * @token: what the owner gets with #IOStream::input-sync
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async): called when it is done
 * @user_data: passed to @callback
 *
 * Begins what io_stream_connection_send_input_sync_notification() does, without
 * waiting; end it with
 * io_stream_connection_send_input_sync_notification_finish(). The thread may
 * serve the stream itself.
 *
 * In the thread of the connection; @callback is called in its context.
 *
 * Since: 1.0
 */
void
io_stream_connection_send_input_sync_notification_async (IOStreamConnection  *self,
                                                         guint32              token,
                                                         GCancellable        *cancellable,
                                                         GAsyncReadyCallback  callback,
                                                         gpointer             user_data)
{
  GError *error = NULL;
  IOSyncBell *bell;
  AsyncCall *call;
  GTask *task;

  g_return_if_fail (IO_IS_STREAM_CONNECTION (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, io_stream_connection_send_input_sync_notification_async);
  call = g_new0 (AsyncCall, 1);
  call->token = token;
  g_task_set_task_data (task, call, async_call_free);

  if (g_cancellable_set_error_if_cancelled (cancellable, &error) || !begin_call (self, &error))
    {
      return_task (task, error);
      return;
    }

  bell = find_bell (self);
  if (bell != NULL)
    start_async (self, task, bell);
  else
    _io_connection_call_async (IO_CONNECTION (self), IO_OPCODE_GET_SYNC_BELL, g_variant_new ("()"),
                               g_task_new (self, cancellable, got_bell_cb, task));
}

/**
 * io_stream_connection_send_input_sync_notification_finish:
 * @self: a connection
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends what io_stream_connection_send_input_sync_notification_async() began.
 *
 * In the thread of the connection.
 *
 * Returns: %TRUE if the owner's callback has run and succeeded
 * Since: 1.0
 */
gboolean
io_stream_connection_send_input_sync_notification_finish (IOStreamConnection  *self,
                                                          GAsyncResult        *result,
                                                          GError             **error)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result,
                                                  io_stream_connection_send_input_sync_notification_async),
                        FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}
