/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-private.h"

/* The owner's side of a stream whose client waits for vectors. */

static IOInterruptLink *
find_link (IOStream      *self,
           IOUserClient  *client,
           guint64        cookie,
           guint          vector,
           GError       **error)
{
  g_autoptr (IOInterruptLink) link = _io_interrupt_link_find (cookie);
  const char *name = io_service_get_name (IO_SERVICE (self));

  if (link == NULL)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND,
                 "Cannot attach interrupt %u to stream “%s”: its owner has no such controller", vector, name);
  else if (!_io_interrupt_link_is_of (link, client))
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED,
                 "Cannot attach interrupt %u to stream “%s”: the controller belongs to another process than client “%s”",
                 vector, name, io_user_client_get_client_name (client));
  else if (vector >= _io_interrupt_link_get_n_vectors (link))
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_INTERRUPT,
                 "Cannot attach interrupt %u to stream “%s”: the controller has %u",
                 vector, name, _io_interrupt_link_get_n_vectors (link));
  else
    return g_steal_pointer (&link);

  return NULL;
}

gboolean
_io_stream_attach_interrupts (IOStream      *self,
                              IOUserClient  *client,
                              GVariant      *args,
                              GError       **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  IOStreamLink *stream_link = _io_stream_find_link (priv, client);
  g_autoptr (IOInterruptLink) link = NULL;
  IOInterruptLink *old;
  guint64 cookie;
  guint32 vector;

  g_variant_get (args, "(tu)", &cookie, &vector);
  if (cookie != 0)
    {
      link = find_link (self, client, cookie, vector, error);
      if (link == NULL)
        return FALSE;
    }

  g_mutex_lock (&priv->lock);
  old = stream_link->interrupts;
  stream_link->interrupts = g_steal_pointer (&link);
  stream_link->vector = vector;
  g_mutex_unlock (&priv->lock);

  g_clear_pointer (&old, _io_interrupt_link_unref);

  return TRUE;
}
