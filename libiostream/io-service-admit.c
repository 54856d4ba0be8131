/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-service-private.h"

#include "io-packet-private.h"
#include "io-user-client-private.h"

/* From the hello of a client to its place in the service. */

static IOUserClient *
make_client (IOService  *self,
             GVariant   *options,
             GError    **error)
{
  IOServiceClass *klass = IO_SERVICE_GET_CLASS (self);
  g_autoptr (GError) local_error = NULL;
  IOUserClient *client = klass->new_user_client (self, options, &local_error);

  if (client != NULL)
    return client;

  if (local_error == NULL)
    g_set_error (&local_error, IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED,
                 "%s makes no user client", G_OBJECT_TYPE_NAME (self));
  g_propagate_error (error, g_steal_pointer (&local_error));
  return NULL;
}

static GBytes *
build_welcome (IOService *self,
               guint32    serial)
{
  const char *name = io_service_get_name (self) != NULL ? io_service_get_name (self) : "";
  const char *type = G_OBJECT_TYPE_NAME (self);
  g_autoptr (GError) error = NULL;
  GBytes *packet;

  packet = _io_packet_build (IO_PACKET_REPLY, IO_OPCODE_HELLO, serial, 0,
                             g_variant_new ("(uss@a{sv})", IO_PROTOCOL_VERSION, name, type,
                                            _io_service_build_attributes (self)),
                             &error);
  if (packet != NULL)
    return packet;

  /* Too many attributes: to ask for them fails, to connect does not. */
  return _io_packet_build (IO_PACKET_REPLY, IO_OPCODE_HELLO, serial, 0,
                           g_variant_new_parsed ("(%u, %s, %s, @a{sv} {})",
                                                 IO_PROTOCOL_VERSION, name, type), NULL);
}

static void
send_away (IOChannel    *channel,
           guint32       serial,
           const GError *reason)
{
  _io_channel_close (channel, _io_packet_build_error (IO_OPCODE_HELLO, serial, reason));
}

/* Asks whoever decides, with the client in place so that it can be ended. */
static void
decide (IOService    *self,
        IOUserClient *client,
        guint32       serial)
{
  g_autoptr (GError) error = NULL;
  gboolean allowed = FALSE;

  g_signal_emit_by_name (self, "authorize", client, &allowed);
  if (!io_user_client_is_connected (client))
    return;

  if (allowed)
    {
      _io_user_client_welcome (client, build_welcome (self, serial));
      return;
    }

  g_set_error (&error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED,
               "Cannot connect to service “%s”: user %u is not let in",
               io_service_get_name (self) != NULL ? io_service_get_name (self) : "",
               io_user_client_get_uid (client));
  _io_user_client_dismiss (client, _io_packet_build_error (IO_OPCODE_HELLO, serial, error));
}

void
_io_service_admit (IOService          *self,
                   IOChannel          *channel,
                   const struct ucred *credentials,
                   guint32             serial,
                   GVariant           *body)
{
  g_autoptr (IOUserClient) client = NULL;
  g_autoptr (GVariant) options = NULL;
  g_autoptr (GError) error = NULL;
  const char *client_name;
  guint version;

  g_variant_get (body, "(u&s@a{sv})", &version, &client_name, &options);
  if (version != IO_PROTOCOL_VERSION)
    g_set_error (&error, IO_STREAM_ERROR, IO_STREAM_ERROR_UNSUPPORTED,
                 "Cannot speak version %u of the protocol, only %u", version, IO_PROTOCOL_VERSION);
  else
    client = make_client (self, options, &error);

  /* The virtual method may have ended it all. */
  if (client != NULL && _io_service_check_usable (self, "connect to", &error) &&
      !_io_user_client_attach (client, self, channel, credentials, client_name))
    g_set_error (&error, IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED,
                 "%s gives a user client that is in use", G_OBJECT_TYPE_NAME (self));
  if (error != NULL)
    {
      send_away (channel, serial, error);
      return;
    }

  _io_service_add_client (self, client);
  decide (self, client, serial);
}
