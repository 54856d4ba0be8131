/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-user-client-methods-private.h"

#include "io-bell-private.h"
#include "io-notification-port-private.h"

#include <unistd.h>

/* The notification ports of a client, one of each type. */

#define MAX_PORTS 64

static void
drop_port (IOUserClientMethods *methods,
           guint                index)
{
  g_autoptr (IONotificationPort) port = g_array_index (methods->ports, IOTypedPort, index).port;

  g_array_remove_index_fast (methods->ports, index);
  _io_notification_port_invalidate (port);
}

static void
keep_port (IOUserClientMethods *methods,
           guint                type,
           IONotificationPort  *port)
{
  IOTypedPort typed = { type, g_object_ref (port) };

  for (guint i = 0; i < methods->ports->len; i++)
    if (g_array_index (methods->ports, IOTypedPort, i).type == type)
      {
        drop_port (methods, i);
        break;
      }
  g_array_append_val (methods->ports, typed);
}

static gboolean
has_port (IOUserClientMethods *methods,
          guint                type)
{
  for (guint i = 0; i < methods->ports->len; i++)
    if (g_array_index (methods->ports, IOTypedPort, i).type == type)
      return TRUE;

  return FALSE;
}

static gboolean
register_port (IOUserClient        *self,
               IONotificationPort  *port,
               guint                type,
               guint64              reference,
               GError             **error)
{
  GError *reason = NULL;
  gboolean ok;

  ok = IO_USER_CLIENT_GET_CLASS (self)->register_notification_port (self, port, type, reference,
                                                                    &reason);
  if (_io_user_client_check_failure (self, "the port of type", type, ok, &reason))
    return TRUE;

  g_propagate_error (error, reason);
  return FALSE;
}

GVariant *
_io_user_client_answer_get_port (IOUserClient  *self,
                                 GVariant      *args,
                                 GUnixFDList  **fds,
                                 GError       **error)
{
  IOUserClientMethods *methods = _io_user_client_ensure_methods (self);
  g_autoptr (GUnixFDList) list = g_unix_fd_list_new ();
  g_autoptr (IONotificationPort) port = NULL;
  guint64 reference;
  guint32 type;
  int ends[2];
  gboolean ok;

  g_variant_get (args, "(ut)", &type, &reference);
  if (methods->ports->len >= MAX_PORTS && !has_port (methods, type))
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES,
                   "Cannot give a port of type %u: client “%s” has %u", type,
                   io_user_client_get_client_name (self), MAX_PORTS);
      return NULL;
    }
  if (!_io_bell_create_pair (ends, error))
    return NULL;

  port = _io_notification_port_new (ends[0], NULL, NULL, NULL, NULL);
  ok = _io_user_client_pass_fd (self, list, ends[1], error) &&
       register_port (self, port, type, reference, error);
  close (ends[1]);
  /* It may have ended the connection, which gives its ports back. */
  if (!ok || !io_user_client_is_connected (self))
    {
      _io_notification_port_invalidate (port);
      return ok ? g_variant_new ("()") : NULL;
    }

  keep_port (methods, type, port);
  *fds = g_steal_pointer (&list);
  return g_variant_new ("()");
}

void
_io_user_client_drop_ports (IOUserClientMethods *methods)
{
  while (methods->ports->len > 0)
    drop_port (methods, methods->ports->len - 1);
}
