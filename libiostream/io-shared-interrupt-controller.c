/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-shared-interrupt-controller.h"

#include "io-fork-private.h"
#include "io-shared-interrupt-controller-private.h"

/**
 * SECTION:io-shared-interrupt-controller
 * @title: IOSharedInterruptController
 * @short_description: One wake-up for thousands of events between two processes
 *
 * A shared interrupt controller puts up to %IO_INTERRUPT_MAX_VECTORS numbered
 * events between an owner and its clients on one bell: whichever of them comes,
 * the other process is woken up once, with one system call, looks at what
 * fired, and calls the handlers of that.
 *
 * # Life cycle #
 *
 * The owner makes a controller and offers it with one or more of its services:
 *
 * |[<!-- language="C" -->
 *   controller = io_shared_interrupt_controller_new (256, &error);
 *   io_shared_interrupt_controller_offer (controller, service);
 *   ...
 *   io_interrupt_controller_cause_interrupt (IO_INTERRUPT_CONTROLLER (controller), 7, &error);
 * ]|
 *
 * A client gets its end of it with its connection, and registers handlers as
 * with any #IOInterruptController:
 *
 * |[<!-- language="C" -->
 *   controller = io_connection_get_interrupt_controller (connection, NULL, &error);
 *   io_interrupt_controller_register_interrupt (IO_INTERRUPT_CONTROLLER (controller), 7,
 *                                               handler, data, NULL, &error);
 *   io_interrupt_controller_enable_interrupt (IO_INTERRUPT_CONTROLLER (controller), 7, &error);
 * ]|
 *
 * A controller causes at the other side: what the owner causes is pending at
 * every client that has an end (or at one, with
 * io_shared_interrupt_controller_cause_for_client()), and what a client causes
 * is pending at the owner. It is a success if nobody there has registered the
 * vector; the wake-up is saved then if nothing at all is registered.
 *
 * An end lives as long as somebody holds it, the connection it came with
 * stands, and the owner lives. When it is over, handlers are not called any
 * more, to cause fails with %IO_STREAM_ERROR_OFFLINE, and waits do too.
 *
 * # Streams #
 *
 * io_stream_connection_attach_interrupts() makes a stream of the same owner
 * cause a vector whenever it would ring its own bell. A process with hundreds
 * of streams of one owner then waits on one descriptor; when many of them got
 * output in one turn of the owner, that costs the owner one send() and the
 * client one wake-up in place of one for each.
 *
 * A main loop waits on one descriptor in any case: the context watches the
 * bells of all its streams through one epoll. What remains there, and what this
 * saves, is one send() of the owner and one recv() of the client for each
 * stream that got something while the client slept. With a few streams, or with
 * a client that never sleeps because there is always something to do, it saves
 * nothing, and a wake-up takes some microseconds longer. The figures of
 * `bench-interrupts` stand in the chapter on the architecture.
 *
 * # Waiting #
 *
 * Handlers are called from the main context. Loops that do not run it call
 * io_shared_interrupt_controller_wait(), or poll
 * io_shared_interrupt_controller_get_fd(), and then
 * io_interrupt_controller_handle_interrupts(). That is for clients; an owner
 * has one bell for each client, and serves them from its context.
 *
 * # Trust #
 *
 * Each side writes counters in pages of its own, which the other side can only
 * read. What a side has seen and handled is its private matter. Whatever
 * another process writes there makes a vector look as if it had been caused,
 * and nothing more: a handler looks whether there is something to do. A round
 * of handling costs at most one pass over the counters and one call of each
 * registered handler, and a peer that rings for nothing is looked at by timer
 * after a while. Other clients have other pages, and notice nothing.
 *
 * # Threads #
 *
 * As #IOInterruptController. It is made, offered and dropped in the thread of
 * the services that it is offered with, and a client's end in the thread of the
 * connection; to cause is possible from any thread.
 *
 * # The Apple original #
 *
 * It answers to Apple's IOSharedInterruptController, which fans one line out to
 * 128 handlers. There the one line cannot tell who was meant, so all handlers
 * are called, and one that is disabled switches the line off for all others.
 * Here each vector has a counter: only those that fired are called, and one
 * that is disabled stays pending and disturbs nobody.
 */

/**
 * IOSharedInterruptController:
 *
 * A table of vectors that another process causes.
 *
 * Since: 1.0
 */

G_DEFINE_FINAL_TYPE (IOSharedInterruptController, io_shared_interrupt_controller, IO_TYPE_INTERRUPT_CONTROLLER)

static IOInterruptControllerPrivate *
get_private (IOSharedInterruptController *self)
{
  return _io_interrupt_controller_get_private (IO_INTERRUPT_CONTROLLER (self));
}

static void
scan_locked (IOInterruptController *controller)
{
  IOSharedInterruptController *self = IO_SHARED_INTERRUPT_CONTROLLER (controller);

  for (guint i = 0; i < self->links->len; i++)
    _io_interrupt_link_scan_locked (g_ptr_array_index (self->links, i));
}

static GPtrArray *
copy_links (IOSharedInterruptController *self)
{
  IOInterruptControllerPrivate *priv = get_private (self);
  GPtrArray *copy = g_ptr_array_new_with_free_func ((GDestroyNotify) _io_interrupt_link_unref);

  g_mutex_lock (&priv->lock);
  for (guint i = 0; i < self->links->len; i++)
    g_ptr_array_add (copy, _io_interrupt_link_ref (g_ptr_array_index (self->links, i)));
  g_mutex_unlock (&priv->lock);

  return copy;
}

/* In the thread of the controller if it is handle-in-context that changed, else
 * in any. */
static void
changed (IOInterruptController *controller)
{
  IOSharedInterruptController *self = IO_SHARED_INTERRUPT_CONTROLLER (controller);
  IOInterruptControllerPrivate *priv = get_private (self);

  g_mutex_lock (&priv->lock);
  for (guint i = 0; i < self->links->len; i++)
    _io_interrupt_link_wake (g_ptr_array_index (self->links, i));
  g_mutex_unlock (&priv->lock);
}

static void
handle_in_context_changed (IOSharedInterruptController *self)
{
  g_autoptr (GPtrArray) links = copy_links (self);

  for (guint i = 0; i < links->len; i++)
    _io_interrupt_link_serve (g_ptr_array_index (links, i), get_private (self)->handle_in_context);
}

static gboolean
cause (GPtrArray *links,
       guint      vector)
{
  gboolean reached = FALSE;

  for (guint i = 0; i < links->len; i++)
    reached |= _io_interrupt_link_cause (g_ptr_array_index (links, i), vector);

  return reached;
}

static gboolean
io_shared_interrupt_controller_cause_vector (IOInterruptController  *controller,
                                             guint                   vector,
                                             GError                **error)
{
  IOSharedInterruptController *self = IO_SHARED_INTERRUPT_CONTROLLER (controller);
  IOInterruptControllerPrivate *priv = get_private (self);
  gboolean reached;

  g_mutex_lock (&priv->lock);
  reached = cause (self->links, vector);
  g_mutex_unlock (&priv->lock);

  /* An owner without clients has nobody to tell. */
  if (reached || !self->is_client)
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE,
               "Cannot cause interrupt %u: the owner is gone", vector);
  return FALSE;
}

static void
io_shared_interrupt_controller_notify (GObject    *object,
                                       GParamSpec *pspec)
{
  IOSharedInterruptController *self = IO_SHARED_INTERRUPT_CONTROLLER (object);

  if (g_str_equal (pspec->name, "handle-in-context"))
    handle_in_context_changed (self);
}

static void
io_shared_interrupt_controller_dispose (GObject *object)
{
  IOSharedInterruptController *self = IO_SHARED_INTERRUPT_CONTROLLER (object);
  IOInterruptLink *link;

  while ((link = _io_shared_interrupt_controller_find_link (self, NULL)) != NULL)
    {
      _io_shared_interrupt_controller_lose (self, link);
      _io_interrupt_link_unref (link);
    }

  G_OBJECT_CLASS (io_shared_interrupt_controller_parent_class)->dispose (object);
}

static void
io_shared_interrupt_controller_finalize (GObject *object)
{
  IOSharedInterruptController *self = IO_SHARED_INTERRUPT_CONTROLLER (object);

  g_ptr_array_unref (self->links);

  G_OBJECT_CLASS (io_shared_interrupt_controller_parent_class)->finalize (object);
}

static void
io_shared_interrupt_controller_class_init (IOSharedInterruptControllerClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->notify = io_shared_interrupt_controller_notify;
  object_class->dispose = io_shared_interrupt_controller_dispose;
  object_class->finalize = io_shared_interrupt_controller_finalize;
  IO_INTERRUPT_CONTROLLER_CLASS (klass)->cause_vector = io_shared_interrupt_controller_cause_vector;
}

static void
io_shared_interrupt_controller_init (IOSharedInterruptController *self)
{
  IOInterruptControllerPrivate *priv = get_private (self);

  self->links = g_ptr_array_new_with_free_func ((GDestroyNotify) _io_interrupt_link_unref);
  priv->scan_locked = scan_locked;
  priv->changed = changed;
}

IOSharedInterruptController *
_io_shared_interrupt_controller_new_client (guint         n_vectors,
                                            GMainContext *context)
{
  IOSharedInterruptController *self = g_object_new (IO_TYPE_SHARED_INTERRUPT_CONTROLLER,
                                                    "n-vectors", n_vectors, NULL);

  self->is_client = TRUE;
  _io_interrupt_controller_set_context (IO_INTERRUPT_CONTROLLER (self), context);

  return self;
}

void
_io_shared_interrupt_controller_add (IOSharedInterruptController *self,
                                     IOInterruptLink             *link)
{
  IOInterruptControllerPrivate *priv = get_private (self);

  g_mutex_lock (&priv->lock);
  g_ptr_array_add (self->links, link);
  g_mutex_unlock (&priv->lock);

  _io_interrupt_link_serve (link, priv->handle_in_context);
}

void
_io_shared_interrupt_controller_lose (IOSharedInterruptController *self,
                                      IOInterruptLink             *link)
{
  IOInterruptControllerPrivate *priv = get_private (self);
  G_GNUC_UNUSED g_autoptr (IOInterruptLink) kept = _io_interrupt_link_ref (link);
  gboolean found;

  g_mutex_lock (&priv->lock);
  /* What it caused before it went still counts. */
  if (priv->fork_count == _io_fork_count ())
    _io_interrupt_link_scan_locked (link);
  found = g_ptr_array_remove (self->links, link);
  _io_interrupt_controller_unlock (IO_INTERRUPT_CONTROLLER (self));

  if (!found)
    return;

  _io_interrupt_link_end (link);
  _io_interrupt_controller_wake (IO_INTERRUPT_CONTROLLER (self));
  if (self->is_client)
    _io_interrupt_controller_mark_own (IO_INTERRUPT_CONTROLLER (self));
}

IOInterruptLink *
_io_shared_interrupt_controller_find_link (IOSharedInterruptController *self,
                                           IOUserClient                *client)
{
  IOInterruptControllerPrivate *priv = get_private (self);
  IOInterruptLink *found = NULL;

  g_mutex_lock (&priv->lock);
  for (guint i = 0; i < self->links->len && found == NULL; i++)
    {
      IOInterruptLink *link = g_ptr_array_index (self->links, i);

      if (client == NULL || _io_interrupt_link_peek_client (link) == client)
        found = _io_interrupt_link_ref (link);
    }
  g_mutex_unlock (&priv->lock);

  return found;
}

/**
 * io_shared_interrupt_controller_new:
 * @n_vectors: how many vectors, at most %IO_INTERRUPT_MAX_VECTORS
 * @error: return location for an error
 *
 * Makes the owner's end of a controller. Offer it with
 * io_shared_interrupt_controller_offer().
 *
 * In the thread of the services it will be offered with. Fails with
 * %IO_STREAM_ERROR_BAD_ARGUMENT if @n_vectors is 0 or too many. Apple's
 * initInterruptController(), which has a parent to share; here that is the bell.
 *
 * Returns: (transfer full): the controller, or %NULL with @error set
 * Since: 1.0
 */
IOSharedInterruptController *
io_shared_interrupt_controller_new (guint    n_vectors,
                                    GError **error)
{
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (n_vectors > 0 && n_vectors <= IO_INTERRUPT_MAX_VECTORS)
    return g_object_new (IO_TYPE_SHARED_INTERRUPT_CONTROLLER, "n-vectors", n_vectors, NULL);

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
               "Cannot make a shared interrupt controller of %u vectors: 1 to %u are possible",
               n_vectors, IO_INTERRUPT_MAX_VECTORS);
  return NULL;
}

/**
 * io_shared_interrupt_controller_get_n_peers:
 * @self: a shared interrupt controller
 *
 * Tells how many ends there are at the other side: for the owner, how many
 * clients have one; for a client, 1 as long as the owner is there.
 *
 * Any thread.
 *
 * Returns: the number
 * Since: 1.0
 */
guint
io_shared_interrupt_controller_get_n_peers (IOSharedInterruptController *self)
{
  IOInterruptControllerPrivate *priv;
  guint n = 0;

  g_return_val_if_fail (IO_IS_SHARED_INTERRUPT_CONTROLLER (self), 0);

  priv = get_private (self);
  if (priv->fork_count != _io_fork_count ())
    return 0;

  g_mutex_lock (&priv->lock);
  for (guint i = 0; i < self->links->len; i++)
    n += _io_interrupt_link_is_ready (g_ptr_array_index (self->links, i));
  g_mutex_unlock (&priv->lock);

  return n;
}

/**
 * io_shared_interrupt_controller_cause_for_client:
 * @self: the owner's end of a shared interrupt controller
 * @client: a client that has an end
 * @vector: the vector
 * @error: return location for an error
 *
 * Does what io_interrupt_controller_cause_interrupt() does, for one client
 * alone.
 *
 * In the thread of the service of @client. Fails with
 * %IO_STREAM_ERROR_NO_INTERRUPT if there is no such vector,
 * %IO_STREAM_ERROR_NOT_FOUND if the client has no end, %IO_STREAM_ERROR_OFFLINE
 * if it is gone, and %IO_STREAM_ERROR_NOT_OPEN in a forked child.
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_shared_interrupt_controller_cause_for_client (IOSharedInterruptController  *self,
                                                 IOUserClient                 *client,
                                                 guint                         vector,
                                                 GError                      **error)
{
  g_autoptr (IOInterruptLink) link = NULL;

  g_return_val_if_fail (IO_IS_SHARED_INTERRUPT_CONTROLLER (self), FALSE);
  g_return_val_if_fail (IO_IS_USER_CLIENT (client), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!_io_interrupt_controller_check (IO_INTERRUPT_CONTROLLER (self), "cause", vector, error))
    return FALSE;

  link = _io_shared_interrupt_controller_find_link (self, client);
  if (link == NULL || !_io_interrupt_link_is_ready (link))
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND,
                 "Cannot cause interrupt %u: client “%s” does not share it",
                 vector, io_user_client_get_client_name (client));
  else if (!_io_interrupt_link_cause (link, vector))
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE,
                 "Cannot cause interrupt %u: the client is gone", vector);
  else
    return TRUE;

  return FALSE;
}
