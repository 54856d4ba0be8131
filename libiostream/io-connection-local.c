/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-connection-internal-private.h"

#include "io-names-private.h"
#include "io-service-private.h"
#include "io-work-loop.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* A connection to a service of this process and thread. It has a socket pair,
 * packets and all that comes with them like any other; but a synchronous call
 * does not wait for the owner, it does the owner's part itself. */

#define PACKETS_AT_END 1024

void
_io_connection_set_service (IOConnection *self,
                            IOService    *service)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);

  if (service == NULL)
    return;

  priv->local = TRUE;
  g_weak_ref_set (&priv->service, service);
  g_main_context_unref (priv->context);
  priv->context = g_main_context_ref (_io_service_get_context (service));
}

static GError *
new_lock_error (IOConnection *self,
                IOOpcode      opcode)
{
  if (_io_connection_get_private (self)->local)
    return _io_connection_new_error (self, opcode, IO_STREAM_ERROR_CANNOT_LOCK,
                                     "another thread runs the main context of the service");

  return _io_connection_new_error (self, opcode, IO_STREAM_ERROR_CANNOT_LOCK,
                                   "this thread serves it itself; use the asynchronous call, "
                                   "or a connection made for the service, not for its name");
}

/* The context is held, so that no other thread can begin to serve. A work loop
 * has a thread for it, even if that has not begun to run it. */
static gboolean
acquire_context (IOConnectionPrivate *priv)
{
  g_autoptr (IOService) service = g_weak_ref_get (&priv->service);
  IOWorkLoop *loop = service != NULL ? io_service_get_work_loop (service) : NULL;

  return (loop == NULL || io_work_loop_on_thread (loop)) && g_main_context_acquire (priv->context);
}

gboolean
_io_connection_enter (IOConnection  *self,
                      IOOpcode       opcode,
                      GError       **error)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  gboolean by_caller = FALSE;

  if (priv->local && acquire_context (priv))
    return TRUE;
  if (!priv->local &&
      (priv->name == NULL || !_io_names_find_local (priv->name, &by_caller) || !by_caller))
    return TRUE;

  g_propagate_error (error, new_lock_error (self, opcode));
  return FALSE;
}

void
_io_connection_leave (IOConnection *self)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);

  if (priv->local)
    g_main_context_release (priv->context);
}

static gboolean
make_pair (IOConnection  *self,
           GSocket       *sockets[2],
           GError       **error)
{
  g_autoptr (GError) reason = NULL;
  int fds[2];

  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
    {
      int saved_errno = errno;

      g_propagate_error (error, _io_connection_new_error (self, IO_OPCODE_HELLO,
                                                          IO_STREAM_ERROR_NO_RESOURCES,
                                                          "no socket can be made: %s",
                                                          g_strerror (saved_errno)));
      return FALSE;
    }

  for (int i = 0; i < 2; i++)
    {
      sockets[i] = g_socket_new_from_fd (fds[i], reason == NULL ? &reason : NULL);
      if (sockets[i] == NULL)
        close (fds[i]);
    }
  if (reason == NULL)
    return TRUE;

  g_clear_object (&sockets[0]);
  g_clear_object (&sockets[1]);
  g_propagate_error (error, _io_connection_new_error (self, IO_OPCODE_HELLO,
                                                      IO_STREAM_ERROR_NO_RESOURCES,
                                                      "%s", reason->message));
  return FALSE;
}

static gboolean
connect_to (IOConnection  *self,
            IOService     *service,
            GError       **error)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  GSocket *sockets[2] = { NULL, NULL };

  if (!make_pair (self, sockets, error))
    return FALSE;

  g_clear_pointer (&priv->channel, _io_channel_unref);
  priv->channel = _io_service_add_local (service, sockets[0], error);
  g_object_unref (sockets[0]);
  if (priv->channel == NULL)
    {
      g_object_unref (sockets[1]);
      return FALSE;
    }

  g_clear_object (&priv->socket);
  priv->socket = sockets[1];
  _io_connection_attach (self);

  return TRUE;
}

gboolean
_io_connection_connect_local (IOConnection  *self,
                              GError       **error)
{
  g_autoptr (IOService) service = g_weak_ref_get (&_io_connection_get_private (self)->service);
  gboolean connected;

  if (service == NULL)
    {
      g_propagate_error (error, _io_connection_new_error (self, IO_OPCODE_HELLO,
                                                          IO_STREAM_ERROR_OFFLINE,
                                                          "the service is gone"));
      return FALSE;
    }
  if (!_io_connection_enter (self, IO_OPCODE_HELLO, error))
    return FALSE;

  connected = connect_to (self, service, error);
  _io_connection_leave (self);

  return connected;
}

gboolean
_io_connection_serve (IOConnection *self)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  g_autoptr (IOChannel) channel = priv->channel != NULL ? _io_channel_ref (priv->channel) : NULL;

  return channel != NULL && _io_channel_serve (channel, 1);
}

void
_io_connection_serve_end (IOConnection *self)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);

  if (!priv->local || priv->channel == NULL || !_io_connection_in_own_process (self) ||
      !_io_connection_enter (self, IO_OPCODE_CLOSE, NULL))
    return;

  for (guint i = 0; i < PACKETS_AT_END; i++)
    if (!_io_connection_serve (self))
      break;
  _io_connection_leave (self);
}
