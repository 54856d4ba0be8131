/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-fork-private.h"
#include "io-shared-interrupt-controller-private.h"

/* For clients that block, and for loops that know nothing of GLib. */

/* After so many wake-ups in a row that led to nothing, the owner is not
 * listened to but looked at by timer. */
#define MAX_FRUITLESS 64
#define MAX_DELAY     100 /* ms */

typedef struct {
  gint64        deadline;    /* -1: none */
  GCancellable *cancellable;
  GCancellable *kick;
  guint         n_fruitless;
  guint         delay;       /* ms */
} Wait;

static IOInterruptControllerPrivate *
get_private (IOSharedInterruptController *self)
{
  return _io_interrupt_controller_get_private (IO_INTERRUPT_CONTROLLER (self));
}

/* Is a handler to be called? */
static gboolean
look (IOSharedInterruptController *self)
{
  IOInterruptControllerPrivate *priv = get_private (self);

  if (priv->fork_count != _io_fork_count ())
    return FALSE;

  g_mutex_lock (&priv->lock);
  priv->scan_locked (IO_INTERRUPT_CONTROLLER (self));
  _io_interrupt_controller_unlock (IO_INTERRUPT_CONTROLLER (self));

  return priv->n_due > 0;
}

/* The link of a client that is not over. */
static IOInterruptLink *
get_link (IOSharedInterruptController *self)
{
  if (!self->is_client || get_private (self)->fork_count != _io_fork_count ())
    return NULL;

  return _io_shared_interrupt_controller_find_link (self, NULL);
}

static gboolean
set_wait_error (IOSharedInterruptController  *self,
                GError                      **error)
{
  if (!self->is_client)
    g_set_error_literal (error, IO_STREAM_ERROR, IO_STREAM_ERROR_UNSUPPORTED,
                         "Cannot wait for interrupts: the owner's end is served by its main context");
  else if (get_private (self)->fork_count != _io_fork_count ())
    g_set_error_literal (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN,
                         "Cannot wait for interrupts: the controller belongs to the parent process");
  else
    g_set_error_literal (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE,
                         "Cannot wait for interrupts: the owner is gone");

  return FALSE;
}

/* Made once: what other threads enable or mark ends the sleep of who waits. */
static GCancellable *
get_kick (IOSharedInterruptController *self)
{
  IOInterruptControllerPrivate *priv = get_private (self);
  GCancellable *kick;

  g_mutex_lock (&priv->lock);
  if (priv->kick == NULL)
    priv->kick = g_cancellable_new ();
  kick = priv->kick;
  g_mutex_unlock (&priv->lock);

  return kick;
}

static gint64
get_time_left (Wait *wait)
{
  return wait->deadline < 0 ? -1 : MAX (wait->deadline - g_get_monotonic_time (), 0);
}

static void
kick_cb (GCancellable *cancellable,
         gpointer      kick)
{
  g_cancellable_cancel (kick);
}

/* An owner that rings for nothing is heard less often. */
static void
slow_down (Wait *wait)
{
  gint64 left = get_time_left (wait);
  GPollFD pollfd;

  if (++wait->n_fruitless <= MAX_FRUITLESS)
    return;

  wait->delay = CLAMP (wait->delay * 2, 1, MAX_DELAY);
  if (left >= 0)
    wait->delay = MIN (wait->delay, (guint) MIN (left / 1000 + 1, MAX_DELAY));
  if (!g_cancellable_make_pollfd (wait->kick, &pollfd))
    return;

  g_poll (&pollfd, 1, (int) wait->delay);
  g_cancellable_release_fd (wait->kick);
}

/* TRUE: look again. */
static gboolean
sleep_once (IOSharedInterruptController  *self,
            Wait                         *wait,
            GError                      **error)
{
  g_autoptr (IOInterruptLink) link = get_link (self);
  g_autoptr (IONotificationPort) port = NULL;
  g_autoptr (GError) local_error = NULL;

  if (g_cancellable_set_error_if_cancelled (wait->cancellable, error))
    return FALSE;
  if (link == NULL)
    return set_wait_error (self, error);

  port = g_object_ref (_io_interrupt_link_peek_port (link));
  if (io_notification_port_wait (port, get_time_left (wait), wait->kick, &local_error))
    slow_down (wait);
  else if (g_error_matches (local_error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT))
    {
      g_set_error_literal (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT,
                           "Cannot wait for interrupts: none came in time");
      return FALSE;
    }
  else if (!g_error_matches (local_error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    _io_shared_interrupt_controller_lose (self, link);

  return TRUE;
}

/**
 * io_shared_interrupt_controller_wait:
 * @self: a client's end of a shared interrupt controller
 * @timeout: how long to wait, in microseconds; -1 for ever, 0 to look only
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Waits until a handler is to be called, without running a main context. Call
 * io_interrupt_controller_handle_interrupts() then. Turns
 * #IOInterruptController:handle-in-context off.
 *
 * In the thread of the controller. Fails with %IO_STREAM_ERROR_TIMEOUT when the
 * time is over, %IO_STREAM_ERROR_OFFLINE if the owner is gone and nothing is
 * left, %IO_STREAM_ERROR_UNSUPPORTED at the owner's end,
 * %IO_STREAM_ERROR_NOT_OPEN in a forked child, and %G_IO_ERROR_CANCELLED.
 *
 * Returns: %TRUE if there is something to handle
 * Since: 1.0
 */
gboolean
io_shared_interrupt_controller_wait (IOSharedInterruptController  *self,
                                     gint64                        timeout,
                                     GCancellable                 *cancellable,
                                     GError                      **error)
{
  Wait wait = { -1, cancellable, NULL, 0, 0 };
  gint64 now = g_get_monotonic_time ();
  gboolean found, more = TRUE;
  gulong id = 0;

  g_return_val_if_fail (IO_IS_SHARED_INTERRUPT_CONTROLLER (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!self->is_client || get_private (self)->fork_count != _io_fork_count ())
    return set_wait_error (self, error);

  io_interrupt_controller_set_handle_in_context (IO_INTERRUPT_CONTROLLER (self), FALSE);
  wait.kick = get_kick (self);
  if (timeout >= 0 && timeout <= G_MAXINT64 - now)
    wait.deadline = now + timeout;
  if (cancellable != NULL)
    id = g_cancellable_connect (cancellable, G_CALLBACK (kick_cb), wait.kick, NULL);

  do
    {
      /* First: who kicks from now on has marked before. */
      g_cancellable_reset (wait.kick);
      found = look (self);
      if (!found)
        more = sleep_once (self, &wait, error);
    }
  while (!found && more);

  g_cancellable_disconnect (cancellable, id);

  return found;
}

/**
 * io_shared_interrupt_controller_get_fd:
 * @self: a client's end of a shared interrupt controller
 *
 * Gets the descriptor that a foreign loop sleeps on, between
 * io_shared_interrupt_controller_prepare_wait() and
 * io_shared_interrupt_controller_finish_wait(). Poll it and nothing else; it
 * belongs to the controller. What other threads of this process enable does not
 * make it readable.
 *
 * In the thread of the controller.
 *
 * Returns: the descriptor, or -1 if the owner is gone, or at the owner's end
 * Since: 1.0
 */
int
io_shared_interrupt_controller_get_fd (IOSharedInterruptController *self)
{
  g_autoptr (IOInterruptLink) link = NULL;

  g_return_val_if_fail (IO_IS_SHARED_INTERRUPT_CONTROLLER (self), -1);

  link = get_link (self);

  return link != NULL ? io_notification_port_get_fd (_io_interrupt_link_peek_port (link)) : -1;
}

/**
 * io_shared_interrupt_controller_prepare_wait:
 * @self: a client's end of a shared interrupt controller
 *
 * Gets ready to sleep on io_shared_interrupt_controller_get_fd(): the owner
 * will ring from now on. After polling, or instead of it, call
 * io_shared_interrupt_controller_finish_wait(), and then
 * io_interrupt_controller_handle_interrupts(). Turns
 * #IOInterruptController:handle-in-context off.
 *
 * |[<!-- language="C" -->
 *   if (io_shared_interrupt_controller_prepare_wait (controller))
 *     poll (&pollfd, 1, -1);
 *   io_shared_interrupt_controller_finish_wait (controller);
 *   io_interrupt_controller_handle_interrupts (IO_INTERRUPT_CONTROLLER (controller));
 * ]|
 *
 * In the thread of the controller.
 *
 * Returns: %TRUE to sleep, %FALSE if there is something already, or the owner
 *   is gone
 * Since: 1.0
 */
gboolean
io_shared_interrupt_controller_prepare_wait (IOSharedInterruptController *self)
{
  g_autoptr (IOInterruptLink) link = NULL;

  g_return_val_if_fail (IO_IS_SHARED_INTERRUPT_CONTROLLER (self), FALSE);

  link = get_link (self);
  if (link == NULL)
    return FALSE;

  io_interrupt_controller_set_handle_in_context (IO_INTERRUPT_CONTROLLER (self), FALSE);

  return !look (self) && io_notification_port_prepare_wait (_io_interrupt_link_peek_port (link));
}

/**
 * io_shared_interrupt_controller_finish_wait:
 * @self: a client's end of a shared interrupt controller
 *
 * Ends what io_shared_interrupt_controller_prepare_wait() began, and takes note
 * of the end of the owner.
 *
 * In the thread of the controller.
 *
 * Since: 1.0
 */
void
io_shared_interrupt_controller_finish_wait (IOSharedInterruptController *self)
{
  g_autoptr (IOInterruptLink) link = NULL;
  IONotificationPort *port;

  g_return_if_fail (IO_IS_SHARED_INTERRUPT_CONTROLLER (self));

  link = get_link (self);
  if (link == NULL)
    return;

  port = _io_interrupt_link_peek_port (link);
  io_notification_port_finish_wait (port);
  if (io_notification_port_is_hung_up (port))
    _io_shared_interrupt_controller_lose (self, link);
}
