/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-service-internal-private.h"

#include "io-work-loop.h"

/* The ways in. */

typedef struct {
  IOService      *self;
  IOServiceFunc   func;
  gpointer        data;
  GError        **error;
  gboolean        ran;
} Job;

static gboolean
job_cb (gpointer user_data)
{
  Job *job = user_data;

  job->ran = TRUE;
  return job->func (job->self, job->data, job->error);
}

gboolean
_io_service_run (IOService      *self,
                 IOServiceFunc   func,
                 gpointer        data,
                 gboolean       *ran,
                 GError        **error)
{
  IOServicePrivate *priv = _io_service_get_private (self);
  Job job = { self, func, data, error, FALSE };
  gboolean result;

  if (priv->work_loop == NULL || !_io_service_in_own_process (self))
    result = job_cb (&job);
  else
    result = io_work_loop_run_action (priv->work_loop, job_cb, &job);
  if (!job.ran)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY,
                 "Cannot use service “%s”: its work loop is shut down",
                 priv->name != NULL ? priv->name : "");
  if (ran != NULL)
    *ran = job.ran;

  return result;
}

static gboolean
register_func (IOService  *self,
               gpointer    data,
               GError    **error)
{
  IOServicePrivate *priv = _io_service_get_private (self);

  if (!_io_service_check_usable (self, "register", error))
    return FALSE;
  if (priv->registered)
    {
      _io_service_tell_changes (self);
      return _io_service_publish (self, TRUE, error);
    }
  if (priv->name == NULL)
    {
      g_set_error_literal (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
                           "Cannot register a service that has no name");
      return FALSE;
    }
  if (!_io_door_listen (priv->door, priv->name, priv->socket_mode, error))
    {
      g_prefix_error (error, "Cannot register service “%s”: ", priv->name);
      return FALSE;
    }
  if (!_io_service_publish (self, FALSE, error))
    {
      g_prefix_error (error, "Cannot register service “%s”: ", priv->name);
      _io_door_stop (priv->door);
      _io_door_release (priv->door);
      return FALSE;
    }

  priv->registered = TRUE;
  g_object_ref (self);
  g_object_notify (G_OBJECT (self), "registered");
  return TRUE;
}

/**
 * io_service_register:
 * @self: a service
 * @error: return location for an error
 *
 * Takes the name and lets processes connect. The registration holds a
 * reference on @self until io_service_terminate(). If @self is registered, this
 * tells every #IORegistry once more, with #IORegistry::published, and what has
 * changed of its attributes is told to those who watch them now, and not at the
 * next turn of the context.
 *
 * Fails with %IO_STREAM_ERROR_EXCLUSIVE_ACCESS if the name is taken, in
 * whatever process; with %IO_STREAM_ERROR_BAD_ARGUMENT if it cannot be a name
 * or is missing; with %IO_STREAM_ERROR_NOT_PERMITTED if the runtime directory
 * cannot be written, belongs to somebody else, or can be written by others; with
 * %IO_STREAM_ERROR_NOT_READY if @self is terminated or its work loop shut down;
 * with %IO_STREAM_ERROR_NO_RESOURCES, %IO_STREAM_ERROR_NO_MEMORY or
 * %IO_STREAM_ERROR_IO_ERROR if the system cannot do it. It can be tried again.
 *
 * In the thread of the service; any thread if it has a work loop. Apple:
 * IOService::registerService.
 *
 * Returns: %TRUE if @self is registered
 * Since: 1.0
 */
gboolean
io_service_register (IOService  *self,
                     GError    **error)
{
  G_GNUC_UNUSED g_autoptr (IOService) kept = NULL;

  g_return_val_if_fail (IO_IS_SERVICE (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  kept = g_object_ref (self);
  /* A subclass that has something to make which can fail makes it now, if it
   * was constructed without g_initable_new(), as other languages do. */
  if (G_IS_INITABLE (self) && !g_initable_init (G_INITABLE (self), NULL, error))
    return FALSE;

  return _io_service_run (self, register_func, NULL, NULL, error);
}

/**
 * io_service_is_registered:
 * @self: a service
 *
 * Gets #IOService:registered. Any thread.
 *
 * Returns: %TRUE if processes can connect by name
 * Since: 1.0
 */
gboolean
io_service_is_registered (IOService *self)
{
  g_return_val_if_fail (IO_IS_SERVICE (self), FALSE);

  return _io_service_get_private (self)->registered && _io_service_in_own_process (self);
}

static gboolean
add_socket_func (IOService  *self,
                 gpointer    data,
                 GError    **error)
{
  return _io_service_check_usable (self, "add a socket to", error) &&
         _io_door_add_socket (_io_service_get_private (self)->door, data, error);
}

/**
 * io_service_add_socket:
 * @self: a service
 * @socket: a connected local socket of packet type (SOCK_SEQPACKET)
 * @error: return location for an error
 *
 * Serves whoever is at the other end of @socket, for example a child that was
 * given one end of a socket pair. Everything is as with a connection that came
 * by name; the user of it is the one that made the socket: of a pair made here
 * it is the owner itself, whoever gets the other end. The service keeps
 * @socket and closes it in the end; do not use it any more.
 *
 * Fails with %IO_STREAM_ERROR_BAD_ARGUMENT if @socket is not such a socket,
 * with %IO_STREAM_ERROR_NO_RESOURCES if there are too many connections, and with
 * %IO_STREAM_ERROR_NOT_READY if @self is terminated or its work loop shut down.
 *
 * In the thread of the service; any thread if it has a work loop.
 *
 * Returns: %TRUE if it is served
 * Since: 1.0
 */
gboolean
io_service_add_socket (IOService  *self,
                       GSocket    *socket,
                       GError    **error)
{
  g_return_val_if_fail (IO_IS_SERVICE (self), FALSE);
  g_return_val_if_fail (G_IS_SOCKET (socket), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return _io_service_run (self, add_socket_func, socket, NULL, error);
}

IOChannel *
_io_service_add_local (IOService  *self,
                       GSocket    *socket,
                       GError    **error)
{
  G_GNUC_UNUSED g_autoptr (IOService) kept = g_object_ref (self);

  /* As in io_service_register(), which this service may never see. */
  if (!_io_service_check_usable (self, "connect to", error) ||
      (G_IS_INITABLE (self) && !g_initable_init (G_INITABLE (self), NULL, error)))
    return NULL;

  return _io_door_add_local (_io_service_get_private (self)->door, socket, error);
}
