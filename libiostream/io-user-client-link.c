/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-user-client-internal-private.h"

#include "io-packet-private.h"

/* The connection: what comes, what goes, and the end. */

/* All ways out lead through here, the first one wins. */
static void
end_connection (IOUserClient *self,
                gboolean      died,
                GBytes       *last_words)
{
  IOUserClientPrivate *priv = _io_user_client_get_private (self);
  IOUserClientClass *klass = IO_USER_CLIENT_GET_CLASS (self);
  G_GNUC_UNUSED g_autoptr (IOUserClient) kept = g_object_ref (self);
  g_autoptr (IOChannel) channel = g_steal_pointer (&priv->channel);
  g_autoptr (IOService) service = NULL;

  if (channel == NULL)
    {
      g_clear_pointer (&last_words, g_bytes_unref);
      return;
    }

  priv->died = died;
  g_clear_pointer (&priv->kept, g_ptr_array_unref);
  _io_channel_close (channel, last_words);
  _io_user_client_cut_queues (self);
  _io_user_client_abort_actions (self);
  if (died)
    klass->client_died (self);
  else if (klass->client_close != NULL)
    klass->client_close (self);

  _io_user_client_drop_methods (self);
  _io_service_forget_client (priv->service, self);
  service = g_steal_pointer (&priv->service);
  g_object_notify (G_OBJECT (self), "connected");
}

static void
packet_cb (IOChannel            *channel,
           const IOPacketHeader *header,
           GVariant             *body,
           gpointer              user_data)
{
  g_autoptr (IOUserClient) self = g_object_ref (user_data);
  /* Whatever is called may end the connection, and with it the service. */
  G_GNUC_UNUSED g_autoptr (IOService) kept = g_object_ref (_io_user_client_get_private (self)->service);
  g_autoptr (GUnixFDList) fds = NULL;
  GBytes *reply;

  if (header->kind != IO_PACKET_CALL)
    {
      _io_user_client_violation (self, "A message of kind %u is not a call", header->kind);
      return;
    }

  if (body != NULL && (header->opcode == IO_OPCODE_METHOD_ASYNC ||
                       header->opcode == IO_OPCODE_VARIANT_ASYNC))
    {
      _io_user_client_run_async (self, header, body);
      return;
    }

  reply = _io_user_client_answer (self, _io_user_client_get_private (self)->call_func, header, body, &fds);
  /* Does nothing if the connection went meanwhile. */
  if (reply != NULL)
    _io_channel_send (channel, reply, fds);
}

static void
ended_cb (IOChannel    *channel,
          const GError *error,
          gpointer      user_data)
{
  g_autoptr (IOUserClient) self = g_object_ref (user_data);
  IOUserClientPrivate *priv = _io_user_client_get_private (self);
  g_autoptr (IOService) service = g_object_ref (priv->service);

  /* To hang up with nothing open is a way to close. */
  if (error == NULL || error->code == IO_STREAM_ERROR_IO_ERROR)
    end_connection (self, io_service_is_open (service, self), NULL);
  else
    {
      _io_service_note_violation (service, priv->credentials.pid, priv->client_name,
                                  error->message);
      io_user_client_terminate (self, error);
    }
}

static void
drained_cb (IOChannel *channel,
            gpointer   user_data)
{
  g_autoptr (IOUserClient) self = g_object_ref (user_data);

  _io_service_tell_attributes (_io_user_client_get_private (self)->service, self);
}

static const IOChannelFuncs channel_funcs = { packet_cb, ended_cb, drained_cb };

/**
 * io_user_client_terminate:
 * @self: a user client
 * @reason: (nullable): what to tell the client, or %NULL if nothing is wrong
 *
 * Ends the connection. The client is told @reason if there is room to tell it;
 * #IOUserClientClass.client_close() is called, and the service is closed for
 * the client if it was open. Does nothing if the connection is over.
 *
 * Can be called in any virtual method and signal handler.
 *
 * In the thread of the service. Apple: IOUserClient::terminate.
 *
 * Since: 1.0
 */
void
io_user_client_terminate (IOUserClient *self,
                          const GError *reason)
{
  g_autofree char *text = NULL;
  int code = 0;

  g_return_if_fail (IO_IS_USER_CLIENT (self));

  if (!io_user_client_is_connected (self))
    return;

  if (reason != NULL)
    {
      g_autofree char *valid = g_utf8_make_valid (reason->message, -1);

      code = reason->domain == IO_STREAM_ERROR ? reason->code : IO_STREAM_ERROR_FAILED;
      text = g_utf8_substring (valid, 0, MIN (g_utf8_strlen (valid, -1), 900));
    }
  end_connection (self, FALSE,
                  _io_packet_build (IO_PACKET_EVENT, IO_OPCODE_TERMINATED, 0, 0,
                                    g_variant_new ("(us)", code, text != NULL ? text : ""),
                                    NULL));
}

void
_io_user_client_send_event (IOUserClient *self,
                            IOOpcode      opcode,
                            GVariant     *body)
{
  IOUserClientPrivate *priv = _io_user_client_get_private (self);
  g_autoptr (GVariant) sunk = g_variant_ref_sink (body);
  g_autoptr (GError) error = NULL;
  GBytes *packet;

  /* The answer to hello comes first. */
  if (priv->channel == NULL || !priv->welcome)
    return;

  packet = _io_packet_build (IO_PACKET_EVENT, opcode, 0, 0, sunk, &error);
  if (packet != NULL)
    _io_channel_send (priv->channel, packet, NULL);
  else if (error != NULL)
    g_warning ("%s", error->message);
}

/* What the client is told before it is let in, it hears when it is. FALSE if
 * that is too much. Takes @packet. */
static gboolean
keep_packet (IOUserClientPrivate *priv,
             GBytes              *packet,
             guint                max_kept)
{
  g_autoptr (GBytes) owned = packet;

  if (priv->kept == NULL)
    priv->kept = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  if (priv->kept->len >= max_kept)
    return FALSE;

  g_ptr_array_add (priv->kept, g_steal_pointer (&owned));
  return TRUE;
}

gboolean
_io_user_client_offer_event (IOUserClient  *self,
                             IOOpcode       opcode,
                             GVariant      *body,
                             guint          max_due,
                             GError       **error)
{
  IOUserClientPrivate *priv = _io_user_client_get_private (self);
  g_autoptr (GVariant) sunk = g_variant_ref_sink (body);
  GBytes *packet;

  /* The attributes are in the answer to hello. */
  if (priv->channel == NULL || (!priv->welcome && max_due == 0))
    return TRUE;

  packet = _io_packet_build (IO_PACKET_EVENT, opcode, 0, 0, sunk, error);
  if (packet == NULL)
    return FALSE;

  return priv->welcome ? _io_channel_offer (priv->channel, packet, max_due)
                       : keep_packet (priv, packet, max_due);
}

gboolean
_io_user_client_answer_again (IOUserClient         *self,
                              const IOPacketHeader *header,
                              GVariant             *body)
{
  IOUserClientPrivate *priv = _io_user_client_get_private (self);
  g_autoptr (GUnixFDList) fds = NULL;
  g_autoptr (IOChannel) channel = _io_channel_ref (priv->channel);
  GBytes *reply = _io_user_client_answer (self, priv->call_func, header, body, &fds);

  if (reply != NULL)
    _io_channel_send (channel, reply, fds);

  return reply != NULL;
}

void
_io_user_client_refuse (IOUserClient         *self,
                        const IOPacketHeader *header,
                        const GError         *error)
{
  IOUserClientPrivate *priv = _io_user_client_get_private (self);

  if (priv->channel != NULL)
    _io_channel_send (priv->channel,
                      _io_packet_build_error (header->opcode, header->serial, error), NULL);
}

void
_io_user_client_send (IOUserClient *self,
                      GBytes       *packet,
                      GUnixFDList  *fds)
{
  IOChannel *channel = _io_user_client_get_private (self)->channel;

  if (channel != NULL)
    _io_channel_send (channel, packet, fds);
  else
    g_bytes_unref (packet);
}

gboolean
_io_user_client_is_congested (IOUserClient *self)
{
  IOChannel *channel = _io_user_client_get_private (self)->channel;

  return channel != NULL && _io_channel_is_congested (channel);
}

void
_io_user_client_violation (IOUserClient *self,
                           const char   *format,
                           ...)
{
  IOUserClientPrivate *priv = _io_user_client_get_private (self);
  g_autoptr (GError) error = NULL;
  va_list args;

  if (priv->channel == NULL)
    return;

  va_start (args, format);
  error = g_error_new_valist (IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR, format, args);
  va_end (args);

  _io_service_note_violation (priv->service, priv->credentials.pid, priv->client_name,
                              error->message);
  io_user_client_terminate (self, error);
}

/* It ends up on terminals. */
static char *
clean_name (const char *name)
{
  GString *clean = g_string_new (NULL);

  for (const char *p = name; *p != '\0' && clean->len < 128; p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);

      g_string_append_unichar (clean, g_unichar_isprint (c) ? c : '?');
    }

  return g_string_free (clean, FALSE);
}

gboolean
_io_user_client_attach (IOUserClient       *self,
                        IOService          *service,
                        IOChannel          *channel,
                        const struct ucred *credentials,
                        const char         *client_name)
{
  IOUserClientPrivate *priv = _io_user_client_get_private (self);

  if (priv->attached)
    return FALSE;

  priv->attached = TRUE;
  priv->service = g_object_ref (service);
  priv->channel = _io_channel_ref (channel);
  priv->credentials = *credentials;
  priv->client_name = clean_name (client_name);
  _io_channel_set_funcs (channel, &channel_funcs, self);

  return TRUE;
}

void
_io_user_client_welcome (IOUserClient *self,
                         GBytes       *packet)
{
  IOUserClientPrivate *priv = _io_user_client_get_private (self);
  g_autoptr (GPtrArray) kept = g_steal_pointer (&priv->kept);

  priv->welcome = TRUE;
  _io_channel_send (priv->channel, packet, NULL);
  for (guint i = 0; kept != NULL && i < kept->len; i++)
    _io_user_client_send (self, g_bytes_ref (g_ptr_array_index (kept, i)), NULL);
}

void
_io_user_client_dismiss (IOUserClient *self,
                         GBytes       *last_words)
{
  end_connection (self, FALSE, last_words);
}

gboolean
_io_user_client_is_gone (IOUserClient *self)
{
  IOUserClientPrivate *priv = _io_user_client_get_private (self);

  return priv->attached && priv->channel == NULL;
}

gboolean
_io_user_client_set_told_end (IOUserClient *self)
{
  IOUserClientPrivate *priv = _io_user_client_get_private (self);
  gboolean told = priv->told_end;

  priv->told_end = TRUE;
  return told;
}

gboolean
_io_user_client_has_died (IOUserClient *self)
{
  return _io_user_client_get_private (self)->died;
}
