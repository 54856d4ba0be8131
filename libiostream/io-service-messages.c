/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-service-internal-private.h"

#include "io-user-client-private.h"

/* What is said: to clients, to listeners of this process, to the service. */

typedef struct {
  guint                  id;
  IOServiceInterest      kind;
  IOServiceInterestFunc  func;
  gpointer               user_data;
  GDestroyNotify         destroy;
} Interest;

static gpointer
copy_interest (gconstpointer interest,
               gpointer      data)
{
  return g_rc_box_acquire ((gpointer) interest);
}

static void
interest_clear (Interest *interest)
{
  if (interest->destroy != NULL)
    interest->destroy (interest->user_data);
}

static void
interest_unref (Interest *interest)
{
  g_rc_box_release_full (interest, (GDestroyNotify) interest_clear);
}

void
_io_service_clear_interests (IOService *self)
{
  IOServicePrivate *priv = _io_service_get_private (self);

  g_list_free_full (g_steal_pointer (&priv->interests), (GDestroyNotify) interest_unref);
}

/* Who is removed meanwhile hears nothing more. */
void
_io_service_tell_interested (IOService         *self,
                             IOServiceInterest  kind,
                             guint              type,
                             GVariant          *argument)
{
  IOServicePrivate *priv = _io_service_get_private (self);
  GList *interests = g_list_copy_deep (priv->interests, copy_interest, NULL);

  for (GList *l = interests; l != NULL; l = l->next)
    {
      Interest *interest = l->data;

      if (interest->kind == kind && g_list_find (priv->interests, interest) != NULL)
        interest->func (self, type, argument, interest->user_data);
    }
  g_list_free_full (interests, (GDestroyNotify) interest_unref);
}

static gboolean
message_client (IOService     *self,
                IOUserClient  *client,
                guint          type,
                GVariant      *argument,
                GError       **error)
{
  g_autoptr (GError) local_error = NULL;

  if (IO_USER_CLIENT_GET_CLASS (client)->message (client, type, argument, &local_error))
    return TRUE;

  if (local_error == NULL)
    g_set_error (&local_error, IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED,
                 "%s did not take message 0x%x", G_OBJECT_TYPE_NAME (client), type);
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

/* The error is the last one; nobody is left out because of another. */
static gboolean
message_all (IOService     *self,
             IOUserClient  *except,
             guint          type,
             GVariant      *argument,
             GError       **error)
{
  GList *clients = _io_service_copy_clients (self);
  g_autoptr (GError) last = NULL;

  for (GList *l = clients; l != NULL; l = l->next)
    {
      g_autoptr (GError) reason = NULL;

      if (l->data == except || !io_user_client_is_connected (l->data) ||
          message_client (self, l->data, type, argument, &reason))
        continue;
      g_clear_error (&last);
      last = g_steal_pointer (&reason);
    }
  g_list_free_full (clients, g_object_unref);
  _io_service_tell_interested (self, IO_SERVICE_INTEREST_GENERAL, type, argument);

  if (last == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&last));
  return FALSE;
}

void
_io_service_tell (IOService    *self,
                  guint         type,
                  GVariant     *argument,
                  IOUserClient *except)
{
  g_autoptr (GVariant) sunk = argument != NULL ? g_variant_ref_sink (argument) : NULL;
  G_GNUC_UNUSED g_autoptr (IOService) kept = g_object_ref (self);

  if (_io_service_in_own_process (self))
    message_all (self, except, type, sunk, NULL);
}

void
_io_service_tell_end (IOService *self)
{
  IOServicePrivate *priv = _io_service_get_private (self);
  GList *clients = _io_service_copy_clients (self);

  for (GList *l = clients; l != NULL; l = l->next)
    if (io_user_client_is_connected (l->data) && !_io_user_client_set_told_end (l->data))
      message_client (self, l->data, IO_SERVICE_MESSAGE_TERMINATED, NULL, NULL);
  g_list_free_full (clients, g_object_unref);

  if (priv->told_end)
    return;
  priv->told_end = TRUE;
  _io_service_tell_interested (self, IO_SERVICE_INTEREST_GENERAL, IO_SERVICE_MESSAGE_TERMINATED, NULL);
}

static gboolean
check_process (IOService  *self,
               GError    **error)
{
  const char *name = _io_service_get_private (self)->name;

  if (_io_service_in_own_process (self))
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN,
               "Cannot use service “%s”: it belongs to the parent process",
               name != NULL ? name : "");
  return FALSE;
}

static gboolean
io_service_real_message (IOService     *self,
                         guint          type,
                         IOUserClient  *client,
                         GVariant      *argument,
                         GError       **error)
{
  const char *name = _io_service_get_private (self)->name;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_UNSUPPORTED,
               "Service “%s” takes no message 0x%x", name != NULL ? name : "", type);
  return FALSE;
}

void
_io_service_class_init_messages (IOServiceClass *klass)
{
  klass->message = io_service_real_message;
}

/**
 * io_service_message: (virtual message)
 * @self: a service
 * @type: what is said: an #IOServiceMessageType, or a number of the kind of
 *   service
 * @client: (nullable): which client says it, or %NULL for somebody in this
 *   process
 * @argument: (nullable): what goes with it; a floating one is taken over
 * @error: return location for an error
 *
 * Tells the service something. The library does this when a client calls
 * io_connection_send_message().
 *
 * Fails with what the class says; by default with
 * %IO_STREAM_ERROR_UNSUPPORTED.
 *
 * In the thread of the service. Apple: IOService::message.
 *
 * Returns: %TRUE if the service has taken the message
 * Since: 1.0
 */
gboolean
io_service_message (IOService     *self,
                    guint          type,
                    IOUserClient  *client,
                    GVariant      *argument,
                    GError       **error)
{
  g_autoptr (GVariant) sunk = argument != NULL ? g_variant_ref_sink (argument) : NULL;
  G_GNUC_UNUSED g_autoptr (IOService) kept = NULL;
  g_autoptr (GError) local_error = NULL;

  g_return_val_if_fail (IO_IS_SERVICE (self), FALSE);
  g_return_val_if_fail (client == NULL || IO_IS_USER_CLIENT (client), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!check_process (self, error))
    return FALSE;

  kept = g_object_ref (self);
  if (IO_SERVICE_GET_CLASS (self)->message (self, type, client, sunk, &local_error))
    return TRUE;

  if (local_error == NULL)
    g_set_error (&local_error, IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED,
                 "%s did not take message 0x%x", G_OBJECT_TYPE_NAME (self), type);
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

/**
 * io_service_message_client:
 * @self: a service
 * @client: one of its clients
 * @type: what is said: an #IOServiceMessageType, or a number of the kind of
 *   service
 * @argument: (nullable): what goes with it; a floating one is taken over
 * @error: return location for an error
 *
 * Tells one client something, by #IOUserClientClass.message(). The other
 * process hears it as #IOConnection::service-message, after what it was told
 * before.
 *
 * Fails with %IO_STREAM_ERROR_OFFLINE if @client is not connected to @self, with
 * %IO_STREAM_ERROR_NO_SPACE if it does not read and too much is due to it (the
 * message is lost, the client is not), and with
 * %IO_STREAM_ERROR_MESSAGE_TOO_LARGE if the packet would be over 8,192 bytes.
 *
 * A client that #IOService::authorize is asked about hears it as the first thing
 * when it is let in, and never if it is not; up to 16 messages are kept for it.
 *
 * In the thread of the service. Apple: IOService::messageClient.
 *
 * Returns: %TRUE if the message is on its way
 * Since: 1.0
 */
gboolean
io_service_message_client (IOService     *self,
                           IOUserClient  *client,
                           guint          type,
                           GVariant      *argument,
                           GError       **error)
{
  g_autoptr (GVariant) sunk = argument != NULL ? g_variant_ref_sink (argument) : NULL;
  G_GNUC_UNUSED g_autoptr (IOUserClient) kept = NULL;

  g_return_val_if_fail (IO_IS_SERVICE (self), FALSE);
  g_return_val_if_fail (IO_IS_USER_CLIENT (client), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!check_process (self, error))
    return FALSE;
  if (!io_user_client_is_connected (client) || io_user_client_get_service (client) != self)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE,
                   "Cannot tell client “%s” message 0x%x: it is not connected",
                   io_user_client_get_client_name (client) != NULL
                   ? io_user_client_get_client_name (client) : "", type);
      return FALSE;
    }

  kept = g_object_ref (client);
  return message_client (self, client, type, sunk, error);
}

/**
 * io_service_message_clients:
 * @self: a service
 * @type: what is said: an #IOServiceMessageType, or a number of the kind of
 *   service
 * @argument: (nullable): what goes with it; a floating one is taken over
 * @error: return location for an error
 *
 * Tells all clients, and then those who registered
 * %IO_SERVICE_INTEREST_GENERAL. Nobody is left out because somebody else cannot
 * be told; the error is the last one. It is as for
 * io_service_message_client().
 *
 * In the thread of the service. Apple: IOService::messageClients.
 *
 * Returns: %TRUE if all were told
 * Since: 1.0
 */
gboolean
io_service_message_clients (IOService  *self,
                            guint       type,
                            GVariant   *argument,
                            GError    **error)
{
  g_autoptr (GVariant) sunk = argument != NULL ? g_variant_ref_sink (argument) : NULL;
  G_GNUC_UNUSED g_autoptr (IOService) kept = NULL;

  g_return_val_if_fail (IO_IS_SERVICE (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!check_process (self, error))
    return FALSE;

  kept = g_object_ref (self);
  return message_all (self, NULL, type, sunk, error);
}

/**
 * io_service_get_clients:
 * @self: a service
 *
 * Gets who is connected, whether or not they have the service open; in the
 * order in which they came.
 *
 * In the thread of the service. Apple: IOService::applyToClients and
 * getClientIterator.
 *
 * Returns: (transfer full) (element-type IOUserClient): the clients
 * Since: 1.0
 */
GList *
io_service_get_clients (IOService *self)
{
  g_return_val_if_fail (IO_IS_SERVICE (self), NULL);

  return _io_service_in_own_process (self) ? _io_service_copy_clients (self) : NULL;
}

/**
 * io_service_register_interest:
 * @self: a service
 * @kind: what to hear
 * @func: (scope notified) (closure user_data) (destroy destroy): what to call
 * @user_data: for @func
 * @destroy: (nullable): frees @user_data
 *
 * Listens in the process of the service to what clients are told. @func may do
 * anything, also remove itself. What another process can hear is
 * #IOConnection::service-message.
 *
 * In the thread of the service. Apple: IOService::registerInterest.
 *
 * Returns: a number for io_service_unregister_interest(), or 0 if the service
 *   is terminated: @destroy was called then
 * Since: 1.0
 */
guint
io_service_register_interest (IOService             *self,
                              IOServiceInterest      kind,
                              IOServiceInterestFunc  func,
                              gpointer               user_data,
                              GDestroyNotify         destroy)
{
  IOServicePrivate *priv;
  Interest *interest;

  g_return_val_if_fail (IO_IS_SERVICE (self), 0);
  g_return_val_if_fail (kind == IO_SERVICE_INTEREST_GENERAL || kind == IO_SERVICE_INTEREST_BUSY, 0);
  g_return_val_if_fail (func != NULL, 0);

  priv = _io_service_get_private (self);
  interest = g_rc_box_new0 (Interest);
  interest->kind = kind;
  interest->func = func;
  interest->user_data = user_data;
  interest->destroy = destroy;
  if (priv->inactive || !_io_service_in_own_process (self))
    {
      interest_unref (interest);
      return 0;
    }

  interest->id = ++priv->last_interest;
  priv->interests = g_list_append (priv->interests, interest);
  return interest->id;
}

/**
 * io_service_unregister_interest:
 * @self: a service
 * @id: what io_service_register_interest() returned
 *
 * Ends an interest; its function is not called any more. Those that are left
 * end with the service.
 *
 * In the thread of the service. Apple: IONotifier::remove.
 *
 * Since: 1.0
 */
void
io_service_unregister_interest (IOService *self,
                                guint      id)
{
  IOServicePrivate *priv;

  g_return_if_fail (IO_IS_SERVICE (self));
  g_return_if_fail (id != 0);

  priv = _io_service_get_private (self);
  for (GList *l = priv->interests; l != NULL; l = l->next)
    {
      Interest *interest = l->data;

      if (interest->id != id)
        continue;
      priv->interests = g_list_delete_link (priv->interests, l);
      interest_unref (interest);
      return;
    }
}
