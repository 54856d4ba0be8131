/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-service-internal-private.h"

#include "io-user-client-private.h"

/* Who has the service open. */

static gboolean
is_to_close (IOService    *self,
             IOUserClient *client)
{
  return _io_service_in_own_process (self) &&
         (_io_user_client_has_opened (client) || io_service_is_open (self, client));
}

/* Closes for @client and tells so, once for each open: handle_close may come
 * here again. */
static void
close_for (IOService    *self,
           IOUserClient *client,
           guint         options)
{
  IOServicePrivate *priv = _io_service_get_private (self);
  gboolean had_opened = _io_user_client_set_opened (client, FALSE);

  IO_SERVICE_GET_CLASS (self)->handle_close (self, client, options);
  if (!had_opened)
    return;

  if (_io_user_client_has_died (client))
    g_signal_emit_by_name (self, "client-died", client);
  g_signal_emit_by_name (self, "client-closed", client);
  _io_service_announce_close (self, client);
  if (priv->waiting != NULL || priv->ending)
    _io_service_schedule (self, 0);
}

void
_io_service_forget_client (IOService    *self,
                           IOUserClient *client)
{
  IOServicePrivate *priv = _io_service_get_private (self);
  GList *link = g_list_find (priv->clients, client);

  if (link != NULL)
    priv->clients = g_list_delete_link (priv->clients, link);
  _io_service_forget_waiting (self, client);
  _io_service_watch (self, client, FALSE);

  if (is_to_close (self, client))
    close_for (self, client, 0);
  if (link != NULL)
    g_object_unref (client);
}

static gboolean
io_service_real_handle_open (IOService     *self,
                             IOUserClient  *client,
                             guint          options,
                             GError       **error)
{
  IOServicePrivate *priv = _io_service_get_private (self);
  guint both = IO_STREAM_OPEN_EXCLUSIVE | IO_STREAM_OPEN_SHARED;
  const char *name = priv->name != NULL ? priv->name : "";

  if ((options & both) == both)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
                   "Cannot open service “%s” exclusively and shared at once", name);
      return FALSE;
    }
  if (priv->owner != NULL)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_EXCLUSIVE_ACCESS,
                   "Cannot open service “%s”: process %d has it open exclusively", name,
                   io_user_client_get_pid (priv->owner));
      return FALSE;
    }

  g_set_object (&priv->owner, client);
  return TRUE;
}

static void
io_service_real_handle_close (IOService    *self,
                              IOUserClient *client,
                              guint         options)
{
  IOServicePrivate *priv = _io_service_get_private (self);

  if (priv->owner == client)
    g_clear_object (&priv->owner);
}

/**
 * IOServiceClass::handle_is_open:
 * @self: a service
 * @client: (nullable): a client, or %NULL for anybody
 *
 * Tells whether @client has the service open.
 *
 * Returns: %TRUE if it is open
 * Since: 1.0
 */
static gboolean
io_service_real_handle_is_open (IOService    *self,
                                IOUserClient *client)
{
  IOServicePrivate *priv = _io_service_get_private (self);

  return priv->owner != NULL && (client == NULL || client == priv->owner);
}

void
_io_service_class_init_open (IOServiceClass *klass)
{
  klass->handle_open = io_service_real_handle_open;
  klass->handle_close = io_service_real_handle_close;
  klass->handle_is_open = io_service_real_handle_is_open;
}

static gpointer
copy_client (gconstpointer client,
             gpointer      data)
{
  return g_object_ref ((gpointer) client);
}

GList *
_io_service_copy_clients (IOService *self)
{
  return g_list_copy_deep (_io_service_get_private (self)->clients, copy_client, NULL);
}

void
_io_service_request_close (IOService    *self,
                           IOUserClient *except)
{
  GList *clients = _io_service_copy_clients (self);

  for (GList *l = clients; l != NULL; l = l->next)
    if (l->data != except && io_service_is_open (self, l->data))
      io_service_message_client (self, l->data, IO_SERVICE_MESSAGE_REQUESTING_CLOSE, NULL, NULL);

  g_list_free_full (clients, g_object_unref);
}

static void
set_refused (IOService      *self,
             IOStreamError   code,
             const char     *why,
             GError        **error)
{
  const char *name = _io_service_get_private (self)->name;

  g_set_error (error, IO_STREAM_ERROR, code, "Cannot open service “%s”: %s",
               name != NULL ? name : "", why);
}

static gboolean
is_of_other (IOService    *self,
             IOUserClient *client)
{
  IOService *service = io_user_client_get_service (client);

  return service != NULL && service != self;
}

/* Says what is about to happen, and asks those in the way to leave; not again
 * when an open that waits is tried again, unless somebody new is in the way. */
static gboolean
announce_open (IOService     *self,
               IOUserClient  *client,
               guint          options,
               GError       **error)
{
  IOServicePrivate *priv = _io_service_get_private (self);
  gboolean told;

  if (priv->retrying == client)
    {
      if (!_io_service_is_next (self, client))
        set_refused (self, IO_STREAM_ERROR_EXCLUSIVE_ACCESS, "another process is before it", error);
      else if (priv->asked != priv->opens)
        {
          priv->asked = priv->opens;
          _io_service_request_close (self, client);
        }
      return _io_service_is_next (self, client);
    }

  told = _io_service_announce_attempt (self, client);
  if ((options & IO_SERVICE_OPEN_SEIZE) != 0 && (told || priv->asked != priv->opens))
    {
      priv->asked = priv->opens;
      _io_service_request_close (self, client);
    }

  if (_io_service_is_waiting (self, client))
    set_refused (self, IO_STREAM_ERROR_BUSY, "it is being opened", error);
  else if (!_io_service_is_next (self, client))
    set_refused (self, IO_STREAM_ERROR_EXCLUSIVE_ACCESS, "another process waits for it", error);
  else
    return _io_service_check_usable (self, "open", error);

  return FALSE;
}

/**
 * io_service_open:
 * @self: a service
 * @client: who opens it
 * @options: how: #IOServiceOpenFlags, and those of the kind of service, as
 *   #IOStreamOpenFlags
 * @error: return location for an error
 *
 * Opens the service for @client, by #IOServiceClass.handle_open(), and emits
 * #IOService::client-opened. The library does this when a client asks for it.
 *
 * Before each attempt, also one that fails, all other clients and listeners are
 * told %IO_SERVICE_MESSAGE_ATTEMPTING_OPEN; of more than 50 opens and closes of a
 * client in a second, or 200 of all, attempts are not told, and
 * %IO_SERVICE_MESSAGE_WAS_CLOSED is told once for many, after a second. With %IO_SERVICE_OPEN_SEIZE whoever
 * has the service open is told %IO_SERVICE_MESSAGE_REQUESTING_CLOSE; this call
 * succeeds only if that closes it within the message. A client in another
 * process that seizes gets no answer until the service is closed, or until
 * #IOService:close-timeout is over; nobody else can open it in between.
 *
 * Fails with %IO_STREAM_ERROR_NOT_READY after io_service_terminate(), with
 * %IO_STREAM_ERROR_OFFLINE if the client is gone, with
 * %IO_STREAM_ERROR_NOT_PERMITTED if a client that may only read seizes, or with
 * what the class says:
 * by default %IO_STREAM_ERROR_EXCLUSIVE_ACCESS if anybody, be it @client, has
 * it open or waits for it, %IO_STREAM_ERROR_BUSY if @client itself waits, and
 * %IO_STREAM_ERROR_BAD_ARGUMENT if @options ask for exclusive and shared, or if
 * @client belongs to another service.
 *
 * In the thread of the service. Apple: IOService::open.
 *
 * Returns: %TRUE if @client has the service open now
 * Since: 1.0
 */
gboolean
io_service_open (IOService     *self,
                 IOUserClient  *client,
                 guint          options,
                 GError       **error)
{
  G_GNUC_UNUSED g_autoptr (IOService) kept = NULL;
  g_autoptr (IOUserClient) kept_client = NULL;
  g_autoptr (GError) local_error = NULL;

  g_return_val_if_fail (IO_IS_SERVICE (self), FALSE);
  g_return_val_if_fail (IO_IS_USER_CLIENT (client), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!_io_service_check_usable (self, "open", error))
    return FALSE;
  if (is_of_other (self, client))
    {
      set_refused (self, IO_STREAM_ERROR_BAD_ARGUMENT, "it is not the service of this client", error);
      return FALSE;
    }
  if ((options & IO_SERVICE_OPEN_SEIZE) != 0 && io_user_client_get_read_only (client))
    {
      set_refused (self, IO_STREAM_ERROR_NOT_PERMITTED,
                   "the client may only read, and takes it from nobody", error);
      return FALSE;
    }

  kept = g_object_ref (self);
  kept_client = g_object_ref (client);
  if (!announce_open (self, client, options, error))
    return FALSE;
  if (!IO_SERVICE_GET_CLASS (self)->handle_open (self, client, options, &local_error))
    {
      /* A subclass may have changed its mind after chaining up. */
      if (!_io_user_client_has_opened (client) && io_service_is_open (self, client))
        IO_SERVICE_GET_CLASS (self)->handle_close (self, client, 0);
      if (local_error == NULL)
        g_set_error (&local_error, IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED,
                     "%s did not open", G_OBJECT_TYPE_NAME (self));
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }

  /* It may have been ended while it was being opened. */
  if (_io_user_client_is_gone (client))
    g_set_error (&local_error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE,
                 "Cannot open for process %d: it is gone", io_user_client_get_pid (client));
  if (local_error != NULL || !_io_service_check_usable (self, "open", &local_error))
    {
      IO_SERVICE_GET_CLASS (self)->handle_close (self, client, 0);
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }

  _io_service_get_private (self)->opens++;
  if (!_io_user_client_set_opened (client, TRUE))
    g_signal_emit_by_name (self, "client-opened", client);
  return TRUE;
}

/**
 * io_service_close:
 * @self: a service
 * @client: who has it open
 * @options: options of the kind of service
 *
 * Closes the service for @client, by #IOServiceClass.handle_close(), and emits
 * #IOService::client-closed. Does nothing if @client does not have it open. The
 * library does this when a client asks for it, and when a client goes.
 *
 * In the thread of the service. Apple: IOService::close.
 *
 * Since: 1.0
 */
void
io_service_close (IOService    *self,
                  IOUserClient *client,
                  guint         options)
{
  G_GNUC_UNUSED g_autoptr (IOService) kept = NULL;
  g_autoptr (IOUserClient) kept_client = NULL;

  g_return_if_fail (IO_IS_SERVICE (self));
  g_return_if_fail (IO_IS_USER_CLIENT (client));

  kept = g_object_ref (self);
  kept_client = g_object_ref (client);
  if (!is_of_other (self, client) && is_to_close (self, client))
    close_for (self, client, options);
}

/**
 * io_service_is_open:
 * @self: a service
 * @client: (nullable): a client, or %NULL for anybody
 *
 * Tells whether @client has the service open, by
 * #IOServiceClass.handle_is_open().
 *
 * In the thread of the service. Apple: IOService::isOpen.
 *
 * Returns: %TRUE if it is open
 * Since: 1.0
 */
gboolean
io_service_is_open (IOService    *self,
                    IOUserClient *client)
{
  g_return_val_if_fail (IO_IS_SERVICE (self), FALSE);
  g_return_val_if_fail (client == NULL || IO_IS_USER_CLIENT (client), FALSE);

  return _io_service_in_own_process (self) &&
         IO_SERVICE_GET_CLASS (self)->handle_is_open (self, client);
}
