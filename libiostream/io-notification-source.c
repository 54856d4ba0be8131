/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-context-source-private.h"

/* The free-standing source of one port. The ports of streams are served by the
 * one source of their context instead, see io-context-source.c. */

typedef struct {
  GSource             source;
  IONotificationPort *port;
  GCancellable       *cancellable;
  gpointer            tag;          /* NULL: the port was closed already */
  guint               n_fruitless;
  guint               delay;        /* ms, 0: listens to the bell */
  guint               penalty;      /* last delay since there was progress */
} IONotificationSource;

static IOPortLook
look (IONotificationSource *self)
{
  IOPortLook result;

  g_mutex_lock (&self->port->lock);
  result = _io_notification_port_look (self->port);
  g_mutex_unlock (&self->port->lock);

  return result;
}

static void
set_delay (IONotificationSource *self,
           guint                 delay)
{
  GSource *source = &self->source;

  if (delay == 0 && self->delay == 0)
    return;

  self->delay = delay;
  g_source_modify_unix_fd (source, self->tag, delay > 0 ? 0 : G_IO_IN);
  g_source_set_ready_time (source, delay > 0 ? g_get_monotonic_time () + delay * 1000 : -1);
}

/* Takes the rings; too many of them for nothing, and it looks by timer. */
static void
hear (IONotificationSource *self)
{
  IOBellResult result;
  gboolean fruitless;

  g_mutex_lock (&self->port->lock);
  _io_bell_disarm (&self->port->bell);
  result = _io_notification_port_hear (self->port);
  fruitless = _io_notification_port_look (self->port) == IO_PORT_NOTHING;
  g_mutex_unlock (&self->port->lock);

  if (!fruitless)
    return;

  if (self->delay > 0 && result == IO_BELL_QUIET)
    set_delay (self, 0);
  else if (++self->n_fruitless > IO_PORT_MAX_FRUITLESS)
    {
      self->penalty = CLAMP (self->penalty * 2, IO_PORT_MIN_DELAY, IO_PORT_MAX_DELAY);
      set_delay (self, self->penalty);
    }
}

static void
note_progress (IONotificationSource *self)
{
  self->n_fruitless = 0;
  self->penalty = 0;
  set_delay (self, 0);

  g_mutex_lock (&self->port->lock);
  _io_bell_disarm (&self->port->bell);
  _io_notification_port_take (self->port);
  g_mutex_unlock (&self->port->lock);
}

static gboolean
notification_source_prepare (GSource *source,
                             int     *timeout)
{
  IONotificationSource *self = (IONotificationSource *) source;
  gboolean asleep;

  *timeout = -1;
  if (self->delay > 0)
    return look (self) != IO_PORT_NOTHING;

  g_mutex_lock (&self->port->lock);
  asleep = _io_notification_port_sleep (self->port);
  g_mutex_unlock (&self->port->lock);

  return !asleep;
}

static gboolean
notification_source_check (GSource *source)
{
  IONotificationSource *self = (IONotificationSource *) source;

  if (self->tag != NULL && g_source_query_unix_fd (source, self->tag) != 0)
    hear (self);

  return look (self) != IO_PORT_NOTHING;
}

static gboolean
notification_source_dispatch (GSource     *source,
                              GSourceFunc  callback,
                              gpointer     user_data)
{
  IONotificationSource *self = (IONotificationSource *) source;
  IOPortLook result;

  if (self->delay > 0 && g_source_get_ready_time (source) <= g_source_get_time (source))
    hear (self);

  /* A ring for nothing, or only the time. */
  result = look (self);
  if (result == IO_PORT_NOTHING && !g_cancellable_is_cancelled (self->cancellable))
    return G_SOURCE_CONTINUE;

  if (result == IO_PORT_READY)
    note_progress (self);

  if (callback == NULL)
    {
      g_warning ("The source of a notification port has no callback");
      return G_SOURCE_REMOVE;
    }

  /* The end is told once. */
  return callback (user_data) && result != IO_PORT_HUNG_UP && result != IO_PORT_CLOSED;
}

static void
notification_source_finalize (GSource *source)
{
  IONotificationSource *self = (IONotificationSource *) source;

  g_mutex_lock (&self->port->lock);
  _io_bell_disarm (&self->port->bell);
  if (self->tag != NULL)
    _io_notification_port_end_use (self->port);
  g_mutex_unlock (&self->port->lock);

  g_clear_object (&self->cancellable);
  g_object_unref (self->port);
}

static gboolean
closure_callback (gpointer data)
{
  GClosure *closure = data;
  g_auto (GValue) result = G_VALUE_INIT;

  g_value_init (&result, G_TYPE_BOOLEAN);
  g_closure_invoke (closure, &result, 0, NULL, NULL);

  return g_value_get_boolean (&result);
}

/* GObject's own marshallers want an instance. */
static void
closure_marshal (GClosure     *closure,
                 GValue       *result,
                 guint         n_params,
                 const GValue *params,
                 gpointer      invocation_hint,
                 gpointer      marshal_data)
{
  GSourceFunc callback = (GSourceFunc) ((GCClosure *) closure)->callback;

  g_value_set_boolean (result, callback (closure->data));
}

static GSourceFuncs notification_source_funcs = {
  notification_source_prepare,
  notification_source_check,
  notification_source_dispatch,
  notification_source_finalize,
  closure_callback,
  (GSourceDummyMarshal) G_CALLBACK (closure_marshal),
};

/**
 * io_notification_port_create_source:
 * @self: a port
 * @cancellable: (nullable): a #GCancellable
 *
 * Makes a source that calls its callback, a #GSourceFunc, whenever there is
 * something to see: on a pair once per notification that it finds, else as
 * long as there is. When @cancellable is cancelled, the callback is called as
 * well. When the other end is gone and nothing is left, or the port is closed,
 * it is called a last time, and the source is removed; see
 * io_notification_port_is_hung_up().
 *
 * The source holds a reference on the port. It is not attached to a context
 * yet.
 *
 * Any thread; the callback runs in the thread of the context. Apple's
 * counterpart is IONotificationPortGetRunLoopSource().
 *
 * Returns: (transfer full): the source
 * Since: 1.0
 */
GSource *
io_notification_port_create_source (IONotificationPort *self,
                                    GCancellable       *cancellable)
{
  IONotificationSource *result;
  GSource *source;
  int fd;

  g_return_val_if_fail (IO_IS_NOTIFICATION_PORT (self), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  source = g_source_new (&notification_source_funcs, sizeof (IONotificationSource));
  g_source_set_static_name (source, "IONotificationPort");
  result = (IONotificationSource *) source;
  result->port = g_object_ref (self);

  g_mutex_lock (&self->lock);
  fd = _io_notification_port_begin_use (self);
  g_mutex_unlock (&self->lock);
  if (fd >= 0)
    result->tag = g_source_add_unix_fd (source, fd, G_IO_IN);

  if (cancellable != NULL)
    {
      g_autoptr (GSource) child = g_cancellable_source_new (cancellable);

      result->cancellable = g_object_ref (cancellable);
      g_source_set_dummy_callback (child);
      g_source_add_child_source (source, child);
    }

  return source;
}
