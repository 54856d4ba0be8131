/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-connection-private.h"

#include "io-fork-private.h"
#include "io-shared-interrupt-controller-private.h"

/* The client's side of a stream that is attached to a vector: the owner causes
 * that in place of ringing the bell, and what the bell would have led to is done
 * by the handler. The bell stays for the end, and for waits on this stream
 * alone. */

static void
rely_on_bell (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  priv->by_vector = FALSE;
  if (priv->port != NULL)
    _io_notification_port_wake (priv->port);
}

static IOInterruptResult
vector_cb (IOInterruptController *controller,
           guint                  vector,
           guint                  count,
           gpointer               data)
{
  g_autoptr (IOStreamConnection) self = g_object_ref (data);
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  gboolean consumed;

  /* The controller is over, the stream need not be. */
  if (io_shared_interrupt_controller_get_n_peers (IO_SHARED_INTERRUPT_CONTROLLER (controller)) == 0)
    {
      rely_on_bell (self);
      return IO_INTERRUPT_NOTHING;
    }
  if (!priv->by_vector || priv->fork_count != _io_fork_count () || !priv->usable || !priv->notify_in_context)
    return IO_INTERRUPT_NOTHING;

  consumed = _io_stream_connection_port_funcs.dispatch (self);
  if (!priv->attached || !_io_stream_connection_port_funcs.is_ready (self))
    return consumed ? IO_INTERRUPT_CONSUMED : IO_INTERRUPT_NOTHING;

  return IO_INTERRUPT_AGAIN | (consumed ? IO_INTERRUPT_CONSUMED : IO_INTERRUPT_NOTHING);
}

static gboolean
register_vector (IOStreamConnection           *self,
                 IOSharedInterruptController  *controller,
                 guint                         vector,
                 GError                      **error)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  IOInterruptController *base = IO_INTERRUPT_CONTROLLER (controller);

  if (!_io_interrupt_controller_register (base, vector, vector_cb, self, error))
    return FALSE;

  io_interrupt_controller_enable_interrupt (base, vector, NULL);
  priv->interrupts = g_object_ref (controller);
  priv->vector = vector;

  return TRUE;
}

void
_io_stream_connection_poke (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  if (priv->by_vector)
    _io_interrupt_controller_mark (IO_INTERRUPT_CONTROLLER (priv->interrupts), priv->vector);
}

gboolean
_io_stream_connection_ask_interrupts (IOStreamConnection *self,
                                      IOConnectionCall   *next)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  g_autoptr (IOInterruptLink) link = NULL;

  if (priv->interrupts != NULL && !priv->by_vector)
    link = _io_shared_interrupt_controller_find_link (priv->interrupts, NULL);
  if (link == NULL)
    return FALSE;

  next->opcode = IO_OPCODE_ATTACH_INTERRUPTS;
  next->args = g_variant_new ("(tu)", _io_interrupt_link_get_cookie (link), priv->vector);

  return TRUE;
}

void
_io_stream_connection_begin_interrupts (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  priv->by_vector = priv->interrupts != NULL;
}

void
_io_stream_connection_drop_interrupts (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  g_autoptr (IOSharedInterruptController) controller = g_steal_pointer (&priv->interrupts);

  if (controller == NULL)
    return;

  rely_on_bell (self);
  io_interrupt_controller_unregister_interrupt (IO_INTERRUPT_CONTROLLER (controller), priv->vector, NULL);
}

static gboolean
check_attachable (IOStreamConnection           *self,
                  IOSharedInterruptController  *controller,
                  guint                         vector,
                  GError                      **error)
{
  const char *name = io_connection_get_name (IO_CONNECTION (self));
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  if (priv->fork_count != _io_fork_count ())
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN,
                 "Cannot attach stream “%s” to interrupt %u: it belongs to the parent process", name, vector);
  else if (priv->interrupts != NULL)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_STILL_OPEN,
                 "Cannot attach stream “%s” to interrupt %u: it is attached to interrupt %u", name, vector, priv->vector);
  else if (!controller->is_client)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
                 "Cannot attach stream “%s” to interrupt %u: this is the owner's end of the controller", name, vector);
  else if (io_shared_interrupt_controller_get_n_peers (controller) == 0)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE,
                 "Cannot attach stream “%s” to interrupt %u: the owner of the controller is gone", name, vector);
  else
    return TRUE;

  return FALSE;
}

/* Asks the owner of a stream that is open. */
static gboolean
ask_owner (IOStreamConnection  *self,
           GCancellable        *cancellable,
           GError             **error)
{
  IOConnectionCall call = { 0, NULL };
  g_autoptr (GVariant) answer = NULL;

  if (!_io_stream_connection_ask_interrupts (self, &call))
    return TRUE;

  answer = _io_connection_call (IO_CONNECTION (self), call.opcode, call.args, cancellable, error);
  if (answer == NULL)
    return FALSE;

  _io_stream_connection_begin_interrupts (self);
  _io_notification_port_wake (_io_stream_connection_get_private (self)->port);
  _io_stream_connection_poke (self);

  return TRUE;
}

/**
 * io_stream_connection_attach_interrupts:
 * @self: a connection
 * @controller: a client's end of a controller of the same owner
 * @vector: the vector to take
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Takes a vector of @controller to be notified by: whenever the owner would
 * ring the bell of this stream, it causes the vector instead. A process with
 * many streams of one owner waits on one descriptor then, and is woken up once
 * when many of them have something. See #IOSharedInterruptController.
 *
 * #IOStreamConnection::output-available and the changes of state come from where
 * @controller calls its handlers: from the main context, or from
 * io_interrupt_controller_handle_interrupts(), which has to be called in the
 * thread of this connection then. They come only with
 * #IOStreamConnection:notify-in-context on. io_stream_connection_wait() and
 * the like still work, and use the stream's own bell.
 *
 * The vector is registered and enabled by this; it can be disabled for a while
 * with io_interrupt_controller_disable_interrupt(). If the stream is not open,
 * the owner hears of it with the next open, and with every one after that, until
 * io_stream_connection_detach_interrupts(); an owner that does not have
 * @controller makes that open fail. When the end of the controller is over
 * before the stream is, its own bell is used again.
 *
 * The connection holds a reference on @controller.
 *
 * In the thread of the connection, which is that of @controller. Fails with
 * %IO_STREAM_ERROR_NO_INTERRUPT if there is no such vector,
 * %IO_STREAM_ERROR_NO_RESOURCES if it is registered already,
 * %IO_STREAM_ERROR_STILL_OPEN if the stream is attached already,
 * %IO_STREAM_ERROR_BAD_ARGUMENT if @controller is the end of an owner,
 * %IO_STREAM_ERROR_OFFLINE if its owner is gone, and, if the stream is open,
 * %IO_STREAM_ERROR_NOT_FOUND if its owner is another one, and
 * %IO_STREAM_ERROR_NOT_PERMITTED if the controller was given to another
 * process.
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_connection_attach_interrupts (IOStreamConnection           *self,
                                        IOSharedInterruptController  *controller,
                                        guint                         vector,
                                        GCancellable                 *cancellable,
                                        GError                      **error)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), FALSE);
  g_return_val_if_fail (IO_IS_SHARED_INTERRUPT_CONTROLLER (controller), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!check_attachable (self, controller, vector, error) ||
      !register_vector (self, controller, vector, error))
    return FALSE;
  if (!_io_stream_connection_get_private (self)->usable || ask_owner (self, cancellable, error))
    return TRUE;

  _io_stream_connection_drop_interrupts (self);

  return FALSE;
}

/**
 * io_stream_connection_detach_interrupts:
 * @self: a connection
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Ends what io_stream_connection_attach_interrupts() began: gives the vector
 * back, and has the owner ring the bell of the stream again. Does nothing if it
 * is not attached. Also if it fails, the vector is free; the owner then goes on
 * causing it for as long as the stream is open.
 *
 * In the thread of the connection. Fails as every call does.
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_connection_detach_interrupts (IOStreamConnection  *self,
                                        GCancellable        *cancellable,
                                        GError             **error)
{
  IOStreamConnectionPrivate *priv;
  g_autoptr (GVariant) answer = NULL;
  gboolean told;

  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  priv = _io_stream_connection_get_private (self);
  told = priv->by_vector && priv->usable;
  _io_stream_connection_drop_interrupts (self);
  if (!told)
    return TRUE;

  answer = _io_connection_call (IO_CONNECTION (self), IO_OPCODE_ATTACH_INTERRUPTS,
                                g_variant_new ("(tu)", G_GUINT64_CONSTANT (0), 0), cancellable, error);

  return answer != NULL;
}
