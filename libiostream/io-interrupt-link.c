/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-interrupt-link-private.h"

#include "io-fork-private.h"
#include "io-interrupt-controller-private.h"
#include "io-service-private.h"
#include "io-shared-interrupt-controller-private.h"
#include "io-user-client-private.h"

#include <sys/random.h>
#include <unistd.h>

struct _IOInterruptLink {
  gatomicrefcount              ref_count;
  IOSharedInterruptController *controller; /* borrowed: it ends us before it goes */
  IOUserClient                *client;     /* borrowed, owner only; it ends us too */
  GMainContext                *context;
  guint64                      cookie;
  guint                        n_vectors;
  guint                        uid;
  int                          pid;
  guint                        fork_count;
  atomic_bool                  ready;

  /* Whoever causes holds the lock, so that the end waits. */
  GMutex                       lock;
  gboolean                     ended;
  IOInterruptRegion            own;
  IOInterruptRegion            peer;
  IOInterruptSeen             *seen;       /* with the lock of the controller */
  IONotificationPort          *port;
  int                          peer_bell;  /* until it is handed over */
};

/* By which a stream finds the link that its client means. */
G_LOCK_DEFINE_STATIC (links);
static GHashTable *links; /* (cookie, IOInterruptLink), borrowed */

static gboolean
port_is_ready (gpointer owner)
{
  IOInterruptLink *self = owner;

  return self->ready && _io_interrupt_region_has_news (&self->peer, self->seen);
}

static gboolean
port_dispatch (gpointer owner)
{
  IOInterruptLink *self = owner;
  G_GNUC_UNUSED g_autoptr (IOSharedInterruptController) kept = g_object_ref (self->controller);
  IOInterruptController *controller = IO_INTERRUPT_CONTROLLER (self->controller);
  IOInterruptControllerPrivate *priv = _io_interrupt_controller_get_private (controller);
  gboolean consumed = FALSE;

  g_mutex_lock (&priv->lock);
  _io_interrupt_link_scan_locked (self);
  _io_interrupt_controller_unlock (controller);

  if (priv->context == self->context)
    _io_interrupt_controller_run (controller, &consumed);
  else
    _io_interrupt_controller_wake (controller);

  return consumed;
}

static void
port_hang_up (gpointer owner)
{
  IOInterruptLink *self = owner;

  if (self->client != NULL)
    _io_user_client_discharge (self->client, IO_CHARGE_INTERRUPTS);
  _io_shared_interrupt_controller_lose (self->controller, self);
}

/* Without handlers there is nothing to be woken up for. */
static gboolean
port_wants_ring (gpointer owner)
{
  IOInterruptLink *self = owner;

  return _io_interrupt_controller_get_private (IO_INTERRUPT_CONTROLLER (self->controller))->n_registered > 0;
}

static const IONotificationPortFuncs port_funcs = {
  port_is_ready,
  port_dispatch,
  port_hang_up,
  port_wants_ring
};

static IOInterruptLink *
link_new (IOSharedInterruptController *controller,
          GMainContext                *context)
{
  IOInterruptLink *self = g_new0 (IOInterruptLink, 1);

  g_atomic_ref_count_init (&self->ref_count);
  g_mutex_init (&self->lock);
  self->controller = controller;
  self->context = g_main_context_ref (context);
  self->n_vectors = io_interrupt_controller_get_n_vectors (IO_INTERRUPT_CONTROLLER (controller));
  self->seen = _io_interrupt_seen_new (self->n_vectors);
  self->fork_count = _io_fork_count ();
  self->peer_bell = -1;

  return self;
}

/* Nobody guesses it: it is a name, and no right. */
static guint64
make_cookie (void)
{
  guint64 cookie = 0;

  while (cookie == 0)
    if (getrandom (&cookie, sizeof cookie, 0) != sizeof cookie)
      cookie = (guint64) g_random_int () << 32 | g_random_int ();

  return cookie;
}

static void
make_port (IOInterruptLink *self,
           int              bell)
{
  self->port = _io_notification_port_new (bell, &self->own.page->bell_epoch,
                                          &self->peer.page->bell_epoch, &port_funcs, self);
  _io_fork_add_lifeline (bell);
}

IOInterruptLink *
_io_interrupt_link_new_owner (IOSharedInterruptController  *controller,
                              IOService                    *service,
                              IOUserClient                 *client,
                              GError                      **error)
{
  g_autoptr (IOInterruptLink) self = link_new (controller, _io_service_get_context (service));
  int fds[2];

  self->client = client;
  self->uid = io_user_client_get_uid (client);
  self->pid = io_user_client_get_pid (client);
  self->cookie = make_cookie ();

  if (!_io_interrupt_region_create (&self->own, IO_ABI_SIDE_OWNER, self->n_vectors, error) ||
      !_io_interrupt_region_create (&self->peer, IO_ABI_SIDE_CLIENT, self->n_vectors, error) ||
      !_io_bell_create_pair (fds, error))
    return NULL;

  make_port (self, fds[0]);
  self->peer_bell = fds[1];

  G_LOCK (links);
  if (links == NULL)
    links = g_hash_table_new (g_int64_hash, g_int64_equal);
  g_hash_table_insert (links, &self->cookie, self);
  G_UNLOCK (links);

  return g_steal_pointer (&self);
}

IOInterruptLink *
_io_interrupt_link_new_client (IOSharedInterruptController  *controller,
                               guint64                       cookie,
                               GUnixFDList                  *list,
                               GError                      **error)
{
  IOInterruptController *base = IO_INTERRUPT_CONTROLLER (controller);
  g_autoptr (IOInterruptLink) self =
    link_new (controller, _io_interrupt_controller_get_private (base)->context);
  g_autofree int *fds = g_unix_fd_list_steal_fds (list, NULL);
  gboolean done;

  self->cookie = cookie;
  done = _io_interrupt_region_attach (&self->peer, IO_ABI_SIDE_OWNER, fds[0], self->n_vectors, error);
  if (done)
    done = _io_interrupt_region_attach (&self->own, IO_ABI_SIDE_CLIENT, fds[1], self->n_vectors, error);
  else
    close (fds[1]);
  if (done)
    make_port (self, fds[2]);
  else
    close (fds[2]);

  return done ? g_steal_pointer (&self) : NULL;
}

IOInterruptLink *
_io_interrupt_link_ref (IOInterruptLink *self)
{
  g_atomic_ref_count_inc (&self->ref_count);

  return self;
}

void
_io_interrupt_link_unref (IOInterruptLink *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  _io_interrupt_link_end (self);
  g_free (self->seen);
  g_main_context_unref (self->context);
  g_mutex_clear (&self->lock);
  g_free (self);
}

IOInterruptLink *
_io_interrupt_link_find (guint64 cookie)
{
  IOInterruptLink *self = NULL;

  G_LOCK (links);
  if (links != NULL)
    self = g_hash_table_lookup (links, &cookie);
  if (self != NULL && self->ready)
    _io_interrupt_link_ref (self);
  else
    self = NULL;
  G_UNLOCK (links);

  return self;
}

static void
forget_cookie (IOInterruptLink *self)
{
  G_LOCK (links);
  if (links != NULL && g_hash_table_lookup (links, &self->cookie) == self)
    {
      g_hash_table_remove (links, &self->cookie);
      if (g_hash_table_size (links) == 0)
        g_clear_pointer (&links, g_hash_table_unref);
    }
  G_UNLOCK (links);
}

guint64
_io_interrupt_link_get_cookie (IOInterruptLink *self)
{
  return self->cookie;
}

guint
_io_interrupt_link_get_n_vectors (IOInterruptLink *self)
{
  return self->n_vectors;
}

gboolean
_io_interrupt_link_is_of (IOInterruptLink *self,
                          IOUserClient    *client)
{
  return self->uid == io_user_client_get_uid (client) &&
         self->pid == io_user_client_get_pid (client);
}

IOUserClient *
_io_interrupt_link_peek_client (IOInterruptLink *self)
{
  return self->client;
}

IONotificationPort *
_io_interrupt_link_peek_port (IOInterruptLink *self)
{
  return self->port;
}

gboolean
_io_interrupt_link_pass_fds (IOInterruptLink  *self,
                             GUnixFDList      *fds,
                             GError          **error)
{
  if (!_io_user_client_pass_fd (self->client, fds, _io_memory_backing_peek_fd (self->own.backing), error) ||
      !_io_user_client_pass_fd (self->client, fds, _io_memory_backing_peek_fd (self->peer.backing), error) ||
      !_io_user_client_pass_fd (self->client, fds, self->peer_bell, error))
    return FALSE;

  close (g_steal_fd (&self->peer_bell));

  return TRUE;
}

gboolean
_io_interrupt_link_set_ready (IOInterruptLink  *self,
                              GError          **error)
{
  /* Of ours alone there is something to seal. */
  if (self->client != NULL && !_io_interrupt_region_seal (&self->peer, error))
    return FALSE;

  self->ready = TRUE;

  return TRUE;
}

gboolean
_io_interrupt_link_is_ready (IOInterruptLink *self)
{
  return self->ready;
}

gboolean
_io_interrupt_link_cause (IOInterruptLink *self,
                          guint            vector)
{
  gboolean done = FALSE;

  if (self->fork_count != _io_fork_count ())
    return FALSE;

  g_mutex_lock (&self->lock);
  if (!self->ended && self->ready)
    {
      _io_interrupt_region_cause (&self->own, vector);
      done = _io_notification_port_ring (self->port);
    }
  g_mutex_unlock (&self->lock);

  return done;
}

static void
mark_cb (guint    vector,
         guint32  count,
         gpointer data)
{
  _io_interrupt_controller_mark_locked (data, vector, count);
}

void
_io_interrupt_link_scan_locked (IOInterruptLink *self)
{
  if (self->ready)
    _io_interrupt_region_scan (&self->peer, self->seen, mark_cb, self->controller);
}

void
_io_interrupt_link_wake (IOInterruptLink *self)
{
  if (self->port != NULL)
    _io_notification_port_wake (self->port);
}

void
_io_interrupt_link_serve (IOInterruptLink *self,
                          gboolean         serve)
{
  if (serve == _io_notification_port_is_attached (self->port))
    return;

  if (serve)
    _io_notification_port_attach (self->port, self->context);
  else
    _io_notification_port_detach (self->port);
}

void
_io_interrupt_link_end (IOInterruptLink *self)
{
  forget_cookie (self);

  g_mutex_lock (&self->lock);
  self->ended = TRUE;
  self->ready = FALSE;
  self->client = NULL;
  if (self->port != NULL)
    _io_notification_port_invalidate (self->port);
  g_clear_object (&self->port);
  if (self->peer_bell >= 0)
    close (g_steal_fd (&self->peer_bell));
  _io_interrupt_region_clear (&self->own);
  _io_interrupt_region_clear (&self->peer);
  g_mutex_unlock (&self->lock);
}
