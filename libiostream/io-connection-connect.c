/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-connection-internal-private.h"

#include "io-names-private.h"

#include <gio/gunixsocketaddress.h>

static GError *
new_connect_error (IOConnection *self,
                   const GError *reason)
{
  IOStreamError code = IO_STREAM_ERROR_IO_ERROR;

  if (g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_NOT_FOUND) ||
      g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_NOT_DIRECTORY) ||
      g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED))
    return g_error_new (IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND,
                        "No service named “%s”: %s", _io_connection_get_label (self),
                        g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED)
                        ? "its owner is gone" : "nobody has registered it");

  if (g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED))
    code = IO_STREAM_ERROR_NOT_PERMITTED;
  else if (g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES))
    code = IO_STREAM_ERROR_NO_RESOURCES;

  return _io_connection_new_error (self, IO_OPCODE_HELLO, code, "%s", reason->message);
}

static gboolean
check_given_socket (IOConnection  *self,
                    GError       **error)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);

  if (g_socket_is_closed (priv->socket))
    g_propagate_error (error, _io_connection_new_error (self, IO_OPCODE_HELLO,
                                                        IO_STREAM_ERROR_NOT_OPEN,
                                                        "the socket is closed"));
  else if (g_socket_get_socket_type (priv->socket) != G_SOCKET_TYPE_SEQPACKET ||
           g_socket_get_family (priv->socket) != G_SOCKET_FAMILY_UNIX)
    g_propagate_error (error, _io_connection_new_error (self, IO_OPCODE_HELLO,
                                                        IO_STREAM_ERROR_BAD_ARGUMENT,
                                                        "not a Unix socket of packets"));
  else
    return TRUE;

  return FALSE;
}

gboolean
_io_connection_connect_once (IOConnection  *self,
                             gboolean      *again,
                             GError       **error)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  g_autofree char *path = NULL;
  g_autoptr (GSocket) socket = NULL;
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (GError) reason = NULL;

  *again = FALSE;
  if (priv->local)
    return _io_connection_connect_local (self, error);
  if (priv->socket != NULL)
    {
      if (!check_given_socket (self, error))
        return FALSE;
      _io_connection_attach (self);
      return TRUE;
    }

  path = _io_names_dup_socket_path (priv->name, error);
  if (path == NULL)
    return FALSE;

  address = g_unix_socket_address_new (path);
  socket = g_socket_new (G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_SEQPACKET,
                         G_SOCKET_PROTOCOL_DEFAULT, &reason);
  if (socket != NULL)
    g_socket_set_blocking (socket, FALSE);
  if (socket == NULL || !g_socket_connect (socket, address, NULL, &reason))
    {
      *again = g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
      if (!*again)
        g_propagate_error (error, new_connect_error (self, reason));
      return FALSE;
    }

  priv->socket = g_steal_pointer (&socket);
  _io_connection_attach (self);
  return TRUE;
}

gboolean
_io_connection_check_retry (IOConnection  *self,
                            gint64         deadline,
                            GCancellable  *cancellable,
                            GError       **error)
{
  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  if (deadline < 0 || g_get_monotonic_time () < deadline)
    return TRUE;

  g_propagate_error (error, _io_connection_new_error (self, IO_OPCODE_HELLO,
                                                      IO_STREAM_ERROR_NOT_RESPONDING,
                                                      "the owner takes no connections"));
  return FALSE;
}

gboolean
_io_connection_connect_now (IOConnection  *self,
                            gint64         deadline,
                            GCancellable  *cancellable,
                            GError       **error)
{
  gboolean again;

  while (!_io_connection_connect_once (self, &again, error))
    {
      if (!again || !_io_connection_check_retry (self, deadline, cancellable, error))
        return FALSE;
      g_usleep (IO_CONNECTION_RETRY_MSEC * 1000);
    }

  return TRUE;
}
