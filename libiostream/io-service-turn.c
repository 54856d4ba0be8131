/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-service-internal-private.h"

/* What a service does later: once per turn of its context however often it was
 * asked for, or when a time is over. */

typedef struct {
  GSource  source;
  GWeakRef service;
} TurnSource;

static void
add_deadline (gint64 *first,
              gint64  deadline)
{
  if (deadline >= 0 && (*first < 0 || deadline < *first))
    *first = deadline;
}

static void
do_what_is_due (IOService *self)
{
  gint64 deadline = -1;

  add_deadline (&deadline, _io_service_go_on_ending (self));
  add_deadline (&deadline, _io_service_serve_waiting (self));

  add_deadline (&deadline, _io_service_serve_announcements (self));

  _io_service_tell_changes (self);

  if (deadline >= 0)
    _io_service_schedule (self, deadline);
}

static gboolean
turn_source_dispatch (GSource     *source,
                      GSourceFunc  callback,
                      gpointer     user_data)
{
  g_autoptr (IOService) self = g_weak_ref_get (&((TurnSource *) source)->service);
  IOServicePrivate *priv;

  if (self == NULL || !_io_service_in_own_process (self))
    return G_SOURCE_REMOVE;

  priv = _io_service_get_private (self);
  g_mutex_lock (&priv->mutex);
  if (priv->turn == source)
    g_clear_pointer (&priv->turn, g_source_unref);
  g_mutex_unlock (&priv->mutex);

  do_what_is_due (self);

  return G_SOURCE_REMOVE;
}

static void
turn_source_finalize (GSource *source)
{
  g_weak_ref_clear (&((TurnSource *) source)->service);
}

static GSourceFuncs turn_source_funcs = {
  .dispatch = turn_source_dispatch,
  .finalize = turn_source_finalize,
};

void
_io_service_schedule (IOService *self,
                      gint64     when)
{
  IOServicePrivate *priv = _io_service_get_private (self);

  g_mutex_lock (&priv->mutex);
  if (priv->turn == NULL)
    {
      priv->turn = g_source_new (&turn_source_funcs, sizeof (TurnSource));
      g_weak_ref_init (&((TurnSource *) priv->turn)->service, self);
      g_source_set_static_name (priv->turn, "[iostream] service");
      g_source_set_ready_time (priv->turn, when);
      g_source_attach (priv->turn, priv->context);
    }
  else if (when < g_source_get_ready_time (priv->turn))
    g_source_set_ready_time (priv->turn, when);
  g_mutex_unlock (&priv->mutex);
}

void
_io_service_drop_turn (IOService *self)
{
  IOServicePrivate *priv = _io_service_get_private (self);

  if (priv->turn != NULL)
    g_source_destroy (priv->turn);
  g_clear_pointer (&priv->turn, g_source_unref);
}
