/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-service-internal-private.h"

#include "io-user-client-private.h"

/* Who opens and who has closed, and whether a stream pauses, is told to all
 * others, so that one call makes as many packets as there are clients. A client
 * that does it all day must not keep everybody busy: attempts beyond the bound
 * are not told, what has become of the rest is told once, later. */

static gint64
get_end (const IOAnnouncements *told)
{
  return told->since + G_USEC_PER_SEC;
}

static gboolean
has_room (IOAnnouncements *told,
          guint            max)
{
  gint64 now = g_get_monotonic_time ();

  if (told->since == 0 || now >= get_end (told))
    {
      told->since = now;
      told->n = 0;
    }

  return told->n < max;
}

static gboolean
count (IOService    *self,
       IOUserClient *client)
{
  IOAnnouncements *all = &_io_service_get_private (self)->told;
  IOAnnouncements *own = _io_user_client_get_announcements (client);

  if (!has_room (own, IO_SERVICE_TOLD_OF_CLIENT) || !has_room (all, IO_SERVICE_TOLD))
    return FALSE;

  own->n++;
  all->n++;
  return TRUE;
}

static void
schedule (IOService *self)
{
  IOServicePrivate *priv = _io_service_get_private (self);

  if (priv->due_at == 0)
    priv->due_at = g_get_monotonic_time () + G_USEC_PER_SEC;
  _io_service_schedule (self, priv->due_at);
}

gboolean
_io_service_announce_attempt (IOService    *self,
                              IOUserClient *client)
{
  if (!count (self, client))
    return FALSE;

  _io_service_tell (self, IO_SERVICE_MESSAGE_ATTEMPTING_OPEN, NULL, client);
  return TRUE;
}

void
_io_service_announce_close (IOService    *self,
                            IOUserClient *client)
{
  IOServicePrivate *priv = _io_service_get_private (self);

  if (priv->inactive)
    return;
  if (count (self, client))
    {
      _io_service_tell (self, IO_SERVICE_MESSAGE_WAS_CLOSED, NULL, client);
      return;
    }

  priv->close_due = TRUE;
  schedule (self);
}

void
_io_service_announce_state (IOService *self,
                            guint      type)
{
  IOServicePrivate *priv = _io_service_get_private (self);

  if (priv->state_due == 0 && has_room (&priv->told_states, IO_SERVICE_TOLD_OF_CLIENT))
    {
      priv->told_states.n++;
      _io_service_tell (self, type, NULL, NULL);
      return;
    }

  priv->state_due = type;
  schedule (self);
}

gint64
_io_service_serve_announcements (IOService *self)
{
  IOServicePrivate *priv = _io_service_get_private (self);
  gboolean closed = priv->close_due;
  guint state = priv->state_due;

  if (priv->due_at == 0)
    return -1;
  if (g_get_monotonic_time () < priv->due_at)
    return priv->due_at;

  priv->due_at = 0;
  priv->close_due = FALSE;
  priv->state_due = 0;
  /* If somebody has it open again, there will be another close. */
  if (closed && !priv->inactive && !io_service_is_open (self, NULL))
    _io_service_tell (self, IO_SERVICE_MESSAGE_WAS_CLOSED, NULL, NULL);
  if (state != 0)
    _io_service_tell (self, state, NULL, NULL);

  return priv->due_at != 0 ? priv->due_at : -1;
}
