/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-connection-calls-private.h"

/* Calls that wait for their answer. */

typedef struct {
  gboolean     done;
  GVariant    *answer;
  GUnixFDList *fds;
  GError      *error;
} SyncCall;

static void
keep_answer (IOConnection *self,
             GVariant     *answer,
             GUnixFDList  *fds,
             const GError *error,
             gpointer      data)
{
  SyncCall *sync = data;

  sync->done = TRUE;
  sync->answer = answer != NULL ? g_variant_ref (answer) : NULL;
  sync->fds = fds != NULL ? g_object_ref (fds) : NULL;
  sync->error = error != NULL ? g_error_copy (error) : NULL;
}

/* Sleeps until the socket is readable, the cancellable is cancelled, or the
 * deadline is over; may wake up for nothing. */
static void
sleep_until (IOConnection *self,
             gint64        deadline,
             GPollFD      *cancel_fd,
             gboolean      has_cancel_fd,
             gboolean      has_cancellable)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  GPollFD fds[2] = { { g_socket_get_fd (priv->socket), G_IO_IN, 0 }, *cancel_fd };
  gint64 msec = -1;

  if (deadline >= 0)
    msec = CLAMP ((deadline - g_get_monotonic_time () + 999) / 1000, 0, G_MAXINT);
  /* No descriptor is left to wait on the cancellable with. */
  if (has_cancellable && !has_cancel_fd)
    msec = msec < 0 ? 50 : MIN (msec, 50);

  g_poll (fds, has_cancel_fd ? 2 : 1, (int) msec);
}

/* Nobody else can do it, so there is nothing to wait for. */
static void
get_answer_here (IOConnection *self,
                 IOCall       *call,
                 SyncCall     *sync)
{
  guint32 serial = call->serial;
  IOOpcode opcode = call->opcode;

  while (!sync->done)
    {
      gboolean served = _io_connection_serve (self);
      IOReceived received = _io_connection_receive (self, 1);

      if (!sync->done && !served && received == IO_RECEIVED_NOTHING)
        break;
    }
  if (sync->done)
    return;

  _io_call_free (_io_connection_give_up_call (self, serial));
  sync->error = _io_connection_new_error (self, opcode, IO_STREAM_ERROR_CANNOT_LOCK,
                                          "the owner answers later, from the main context of "
                                          "this thread; use the asynchronous call");
}

void
_io_connection_sleep (IOConnection *self,
                      gint64        deadline,
                      GCancellable *cancellable)
{
  GPollFD cancel_fd = { -1, 0, 0 };
  gboolean has_cancel_fd;

  if (_io_connection_get_private (self)->local || !_io_connection_check (self, IO_OPCODE_HELLO, NULL))
    return;

  has_cancel_fd = g_cancellable_make_pollfd (cancellable, &cancel_fd);
  sleep_until (self, deadline, &cancel_fd, has_cancel_fd, cancellable != NULL);
  if (has_cancel_fd)
    g_cancellable_release_fd (cancellable);
}

static void
wait_for_answer (IOConnection *self,
                 IOCall         *call,
                 SyncCall     *sync,
                 GCancellable *cancellable)
{
  gint64 deadline = call->deadline;
  guint32 serial = call->serial;
  IOOpcode opcode = call->opcode;
  GPollFD cancel_fd = { -1, 0, 0 };
  gboolean has_cancel_fd = g_cancellable_make_pollfd (cancellable, &cancel_fd);

  while (!sync->done)
    {
      IOReceived received = _io_connection_receive (self, 1);

      if (sync->done)
        break;
      if (g_cancellable_set_error_if_cancelled (cancellable, &sync->error))
        break;
      if (deadline >= 0 && g_get_monotonic_time () >= deadline)
        {
          sync->error = _io_connection_new_timeout_error (self, opcode);
          break;
        }
      if (received == IO_RECEIVED_NOTHING)
        sleep_until (self, deadline, &cancel_fd, has_cancel_fd, cancellable != NULL);
    }

  if (!sync->done)
    _io_call_free (_io_connection_give_up_call (self, serial));
  if (has_cancel_fd)
    g_cancellable_release_fd (cancellable);
}

GVariant *
_io_connection_call_with_fds (IOConnection  *self,
                              IOOpcode       opcode,
                              GVariant      *args,
                              GUnixFDList  **fds,
                              GCancellable  *cancellable,
                              GError       **error)
{
  g_autoptr (GVariant) sunk = args != NULL ? g_variant_ref_sink (args) : NULL;
  G_GNUC_UNUSED g_autoptr (IOConnection) kept = g_object_ref (self);
  SyncCall sync = { FALSE };
  IOCall *call;

  if (g_cancellable_set_error_if_cancelled (cancellable, error) ||
      !_io_connection_enter (self, opcode, error))
    return NULL;

  call = _io_connection_begin_call (self, opcode, sunk, TRUE, keep_answer, &sync, error);
  if (call != NULL && _io_connection_get_private (self)->local)
    get_answer_here (self, call, &sync);
  else if (call != NULL)
    wait_for_answer (self, call, &sync, cancellable);
  _io_connection_leave (self);
  if (sync.error != NULL)
    g_propagate_error (error, sync.error);
  if (fds != NULL)
    *fds = g_steal_pointer (&sync.fds);
  g_clear_object (&sync.fds);

  return sync.answer;
}

GVariant *
_io_connection_call (IOConnection  *self,
                     IOOpcode       opcode,
                     GVariant      *args,
                     GCancellable  *cancellable,
                     GError       **error)
{
  return _io_connection_call_with_fds (self, opcode, args, NULL, cancellable, error);
}
