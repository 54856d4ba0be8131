/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-private.h"

#include "io-fork-private.h"
#include "io-service-private.h"
#include "io-user-client-private.h"

#include <unistd.h>

/* The owner's side of synchronous input. All of it runs in the thread of the
 * stream. A callback may close the stream, terminate it, or run the loop: the
 * pages and the bell are kept until it has its answer. */

struct _IOStreamSync {
  IOStreamLink       *link;         /* NULL: ended */
  IOMemoryBacking    *own_backing;
  IOMemoryBacking    *peer_backing;
  IOAbiRegion        *own;
  IOAbiRegion        *peer;
  IONotificationPort *port;
  guint32             last;         /* number of the last call seen */
  guint               fork_count;
  gboolean            running;
};

static void
sync_clear (IOStreamSync *self)
{
  _io_notification_port_invalidate (self->port);
  g_object_unref (self->port);
  _io_memory_backing_unref (self->own_backing);
  _io_memory_backing_unref (self->peer_backing);
}

static void
sync_unref (IOStreamSync *self)
{
  g_rc_box_release_full (self, (GDestroyNotify) sync_clear);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (IOStreamSync, sync_unref)

static guint64
read_call (IOStreamSync *self)
{
  return atomic_load_explicit (&self->peer->call, memory_order_acquire);
}

static gboolean
sync_is_ready (gpointer owner)
{
  IOStreamSync *self = owner;

  return self->link != NULL && _io_sync_number (read_call (self)) != self->last &&
         !_io_stream_get_private (self->link->stream)->in_sync;
}

static void
answer_call (IOStreamSync *self,
             guint32       number,
             guint32       status)
{
  if (self->fork_count != _io_fork_count ())
    return;

  atomic_store_explicit (&self->own->answer, _io_sync_pack (number, status), memory_order_release);
  _io_notification_port_ring (self->port);
}

/* The text stays here: an answer is one word. */
static guint32
get_status (const GError *error)
{
  return error->domain == IO_STREAM_ERROR && error->code > 0 ? (guint32) error->code
                                                              : IO_STREAM_ERROR_FAILED;
}

/* A call of the next open, or over another bell, waited for this one. */
static void
wake_next (IOStreamPrivate *priv,
           IOStreamSync    *self)
{
  for (guint i = 0; i < priv->links->len; i++)
    {
      IOStreamLink *link = _io_stream_link_at (priv, i);

      if (link->sync != NULL && link->sync != self)
        _io_notification_port_wake (link->sync->port);
    }
}

/* One call for each dispatch, whatever the client writes meanwhile. */
static gboolean
sync_dispatch (gpointer owner)
{
  g_autoptr (IOStreamSync) self = g_rc_box_acquire ((IOStreamSync *) owner);
  g_autoptr (IOStream) stream = NULL;
  g_autoptr (GError) error = NULL;
  guint64 call = read_call (self);

  if (!sync_is_ready (self) || _io_sync_number (call) == self->last)
    return FALSE;

  stream = g_object_ref (self->link->stream);
  self->last = _io_sync_number (call);
  self->running = TRUE;
  _io_stream_port_funcs.dispatch (self->link);
  if (self->link == NULL)
    g_set_error_literal (&error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN, "Closed before the call");
  else
    _io_stream_run_input_sync (stream, (guint32) call, &error);
  self->running = FALSE;

  answer_call (self, _io_sync_number (call), error != NULL ? get_status (error) : 0);
  if (self->link == NULL)
    _io_notification_port_invalidate (self->port);
  wake_next (_io_stream_get_private (stream), self);

  return TRUE;
}

/* The control socket says when the client is gone. */
static void
sync_hang_up (gpointer owner)
{
}

static const IONotificationPortFuncs sync_port_funcs = {
  sync_is_ready,
  sync_dispatch,
  sync_hang_up,
  NULL
};

static IOStreamSync *
sync_new (IOStreamLink *link,
          int           bell)
{
  IOStreamSync *self = g_rc_box_new0 (IOStreamSync);

  self->link = link;
  self->own_backing = _io_memory_backing_ref (link->own.backing);
  self->peer_backing = _io_memory_backing_ref (link->peer.backing);
  self->own = link->own.page;
  self->peer = link->peer.page;
  self->fork_count = _io_fork_count ();
  self->port = _io_notification_port_new (bell, &self->own->call_epoch, &self->peer->call_epoch,
                                          &sync_port_funcs, self);
  _io_fork_add_lifeline (bell);

  return self;
}

void
_io_stream_sync_end (IOStreamSync *self)
{
  self->link = NULL;
  if (!self->running)
    _io_notification_port_invalidate (self->port);
  sync_unref (self);
}

static void
replace_sync (IOStreamLink *link,
              int           bell)
{
  IOStreamSync *sync = sync_new (link, bell);

  if (link->sync != NULL)
    sync->last = link->sync->last;
  g_clear_pointer (&link->sync, _io_stream_sync_end);
  link->sync = sync;
  _io_notification_port_attach (sync->port, _io_service_get_context (IO_SERVICE (link->stream)));
}

GVariant *
_io_stream_make_sync_bell (IOStream      *self,
                           IOUserClient  *client,
                           GUnixFDList  **fds,
                           GError       **error)
{
  IOStreamLink *link = _io_stream_find_link (_io_stream_get_private (self), client);
  g_autoptr (GUnixFDList) list = g_unix_fd_list_new ();
  gboolean passed;
  int bell[2];

  if (!link->ready)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY,
                   "Client “%s” has not made stream “%s” ready", io_user_client_get_client_name (client),
                   io_service_get_name (IO_SERVICE (self)));
      return NULL;
    }

  if (!_io_bell_create_pair (bell, error))
    return NULL;

  passed = _io_user_client_pass_fd (client, list, bell[1], error);
  close (bell[1]);
  if (!passed)
    {
      close (bell[0]);
      return NULL;
    }

  replace_sync (link, bell[0]);
  *fds = g_steal_pointer (&list);

  return g_variant_new ("()");
}

void
_io_stream_serve_sync (IOStream *self,
                       guint32   epoch)
{
  GPtrArray *links = _io_stream_get_private (self)->links;

  for (guint i = 0; i < links->len; i++)
    {
      IOStreamLink *link = g_ptr_array_index (links, i);

      if (link->epoch != epoch)
        continue;
      if (link->sync != NULL)
        sync_dispatch (link->sync);
      return;
    }
}

gboolean
_io_stream_run_input_sync (IOStream  *self,
                           guint32    token,
                           GError   **error)
{
  G_GNUC_UNUSED g_autoptr (IOStream) keep = g_object_ref (self);
  IOStreamClass *klass = IO_STREAM_GET_CLASS (self);
  IOStreamPrivate *priv = _io_stream_get_private (self);
  g_autoptr (GError) local_error = NULL;
  gboolean done;

  if (!_io_stream_check_process (self, error))
    return FALSE;
  if (priv->in_sync)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY,
                   "A synchronous call of stream “%s” runs already", io_service_get_name (IO_SERVICE (self)));
      return FALSE;
    }

  priv->in_sync = TRUE;
  done = klass->input_sync_callback == NULL || klass->input_sync_callback (self, token, &local_error);
  priv->in_sync = FALSE;

  if (!done && local_error == NULL)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED,
                 "The input_sync_callback method of %s failed without saying why", G_OBJECT_TYPE_NAME (self));
  else if (!done)
    g_propagate_error (error, g_steal_pointer (&local_error));

  return done;
}
