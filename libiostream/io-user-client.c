/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-user-client.h"

#include "io-packet-private.h"
#include "io-service-private.h"
#include "io-user-client-private.h"

#include <unistd.h>

/**
 * SECTION:io-user-client
 * @title: IOUserClient
 * @short_description: The owner's side of one connection
 *
 * An #IOUserClient stands for one connection of one process to an #IOService.
 * It is made by the service when the other process has said who it is, tells
 * the uid, gid and pid that the kernel vouches for, answers the calls of the
 * client, and ends with the connection.
 *
 * A service that wants something of its own for each client derives a class
 * and makes instances of it in #IOServiceClass.new_user_client().
 *
 * # Life cycle #
 *
 * After #IOServiceClass.new_user_client() the service asks
 * #IOService::authorize; this is the place for io_user_client_set_read_only()
 * and io_user_client_set_limits(). Then the client may open the service
 * (io_service_open() is called on its behalf), close it, and open it again.
 *
 * When the connection is over, #IOUserClientClass.client_died() is called if
 * the process went away with the service open, else
 * #IOUserClientClass.client_close(); one of them, once. The service is closed
 * for the client if it was open (#IOService::client-died, if so, and
 * #IOService::client-closed), and the service drops its reference.
 *
 * What else a client can ask of it are external methods; see
 * #IOUserClientClass.external_method(), #IOUserClientClass.method(), and the
 * chapter on external methods. A client that is let in can call them whether or
 * not it has the service open; a method that wants it open asks
 * io_service_is_open(). At the end of the connection all actions without an
 * answer are aborted first (#IOAction::aborted).
 *
 * Queues of records are made for a client that asks for one and has the service
 * open, in #IOUserClientClass.client_queue_for_type(), at most 64 at a time and
 * within the memory of io_user_client_set_limits(); see #IOSharedDataQueue. They
 * end when the service is closed for the client.
 *
 * # Ownership #
 *
 * The service owns its user clients while they are connected, and each of them
 * keeps the service alive for as long.
 *
 * # Failure #
 *
 * Whatever comes from the other process is checked. A wrong call gets an error
 * for an answer; a client that breaks the protocol, makes too many calls, or
 * does not read what is sent to it, is disconnected, which is logged at most
 * once a minute. Nothing that a client does touches other clients.
 *
 * # Threads #
 *
 * A user client belongs to the main context of its service, and is used there.
 *
 * It answers to Apple's IOUserClient.
 *
 * Since: 1.0
 */

/**
 * IOUserClient:
 *
 * One connection, in the process of the owner.
 *
 * Since: 1.0
 */

typedef struct {
  IOService            *service;       /* while connected, with a reference */
  IOChannel            *channel;       /* while connected */
  struct ucred          credentials;
  char                 *client_name;
  IOUserClientCallFunc  call_func;
  guint                 max_buffers;
  guint64               max_bytes;
  IOUserClientMethods  *methods;       /* NULL until needed */
  pid_t                 owner_pid;
  guint                 attached : 1;
  guint                 welcome : 1;
  guint                 read_only : 1;
  guint                 opened : 1;    /* and told so */
  guint                 died : 1;
} IOUserClientPrivate;

G_DEFINE_TYPE_WITH_PRIVATE (IOUserClient, io_user_client, G_TYPE_OBJECT)

enum {
  PROP_0,
  PROP_CONNECTED,
  PROP_READ_ONLY,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static IOUserClientPrivate *
get_private (IOUserClient *self)
{
  return io_user_client_get_instance_private (self);
}

/* All ways out lead through here, the first one wins. */
static void
end_connection (IOUserClient *self,
                gboolean      died,
                GBytes       *last_words)
{
  IOUserClientPrivate *priv = get_private (self);
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
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_CONNECTED]);
}

static void
packet_cb (IOChannel            *channel,
           const IOPacketHeader *header,
           GVariant             *body,
           gpointer              user_data)
{
  g_autoptr (IOUserClient) self = g_object_ref (user_data);
  /* Whatever is called may end the connection, and with it the service. */
  G_GNUC_UNUSED g_autoptr (IOService) kept = g_object_ref (get_private (self)->service);
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

  reply = _io_user_client_answer (self, get_private (self)->call_func, header, body, &fds);
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
  IOUserClientPrivate *priv = get_private (self);
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

  _io_service_tell_attributes (get_private (self)->service, self);
}

static const IOChannelFuncs channel_funcs = { packet_cb, ended_cb, drained_cb };

static void
io_user_client_real_client_died (IOUserClient *self)
{
  IOUserClientClass *klass = IO_USER_CLIENT_GET_CLASS (self);

  if (klass->client_close != NULL)
    klass->client_close (self);
}

static void
io_user_client_real_client_close (IOUserClient *self)
{
}

/**
 * IOUserClientClass::external_method:
 * @self: a user client
 * @selector: the number of the method
 * @arguments: what the client gives, and where the results go
 * @error: return location for an error, which the client gets
 *
 * The client calls a method, with io_connection_call_method() or
 * io_connection_call_method_async(). The default looks @selector up in the
 * table of io_user_client_set_dispatch() or of the class, and checks counts
 * and sizes. An override can chain up for the selectors that it does not know.
 *
 * Returns: %TRUE on success. After an asynchronous call, the action of
 *   @arguments is what answers
 * Since: 1.0
 */

/**
 * IOUserClientClass::method:
 * @self: a user client
 * @selector: the number of the method
 * @parameters: what the client gives, of any type
 * @action: (nullable): how to answer later, after an asynchronous call; take a
 *   reference to do so. %NULL if the client waits
 * @error: return location for an error, which the client gets
 *
 * The client calls a typed method, with io_connection_call() or
 * io_connection_call_async().
 *
 * Returns: (transfer full) (nullable): the answer; taken over if floating. %NULL
 *   without an error is the empty tuple if the client waits; if there is an
 *   @action, that is what answers
 * Since: 1.0
 */

/**
 * IOUserClientClass::trap:
 * @self: a user client
 * @index: which trap
 * @token: what the client gives
 * @error: return location for an error, which the client gets
 *
 * The client calls a trap, with io_connection_trap(). Trap 0 of a stream is
 * the notification of input.
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */

/**
 * IOUserClientClass::register_notification_port:
 * @self: a user client
 * @port: the owner's end of a new port
 * @type: which port
 * @reference: what the client gave with it
 * @error: return location for an error, which the client gets
 *
 * The client asks for a port, with io_connection_get_notification_port(). To
 * ring it the owner keeps a reference. It is closed when the connection ends,
 * or the client asks for another one of the same type.
 *
 * Returns: %TRUE to give it
 * Since: 1.0
 */

/**
 * IOUserClientClass::client_memory_for_type:
 * @self: a user client
 * @type: which memory
 * @flags: (out): how the client may map it
 * @error: return location for an error
 *
 * Gives the memory that the client asks for.
 *
 * Returns: (transfer full): the memory
 * Since: 1.0
 */
static IOMemoryDescriptor *
io_user_client_real_client_memory_for_type (IOUserClient      *self,
                                            guint              type,
                                            IOMemoryMapFlags  *flags,
                                            GError           **error)
{
  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_UNSUPPORTED,
               "Cannot give memory 0x%x: %s has none", type, G_OBJECT_TYPE_NAME (self));

  return NULL;
}

/**
 * IOUserClientClass::message:
 * @self: a user client
 * @type: what is said: an #IOServiceMessageType, or a number of the kind of
 *   service
 * @argument: (nullable): what goes with it
 * @error: return location for an error
 *
 * Takes what the service tells its clients. Apple: IOService::message of the
 * user client.
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
static gboolean
io_user_client_real_message (IOUserClient  *self,
                             guint          type,
                             GVariant      *argument,
                             GError       **error)
{
  g_autoptr (GError) local_error = NULL;

  if (_io_user_client_offer_event (self, IO_OPCODE_MESSAGE,
                                   g_variant_new ("(u@mv)", type,
                                                  g_variant_new_maybe (G_VARIANT_TYPE_VARIANT,
                                                                       argument != NULL ? g_variant_new_variant (argument) : NULL)),
                                   IO_CHANNEL_MAX_OFFERS, &local_error))
    return TRUE;

  if (local_error == NULL)
    g_set_error (&local_error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_SPACE,
                 "Cannot tell client “%s” message 0x%x: it does not read",
                 get_private (self)->client_name, type);
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

static void
io_user_client_set_property (GObject      *object,
                             guint         prop_id,
                             const GValue *value,
                             GParamSpec   *pspec)
{
  IOUserClient *self = IO_USER_CLIENT (object);

  switch (prop_id)
    {
    case PROP_READ_ONLY:
      io_user_client_set_read_only (self, g_value_get_boolean (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
io_user_client_get_property (GObject    *object,
                             guint       prop_id,
                             GValue     *value,
                             GParamSpec *pspec)
{
  IOUserClient *self = IO_USER_CLIENT (object);

  switch (prop_id)
    {
    case PROP_CONNECTED:
      g_value_set_boolean (value, io_user_client_is_connected (self));
      break;
    case PROP_READ_ONLY:
      g_value_set_boolean (value, io_user_client_get_read_only (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
io_user_client_finalize (GObject *object)
{
  IOUserClientPrivate *priv = get_private (IO_USER_CLIENT (object));

  /* A connection keeps its user client alive. */
  g_warn_if_fail (priv->channel == NULL);
  _io_user_client_free_methods (IO_USER_CLIENT (object));
  g_free (priv->client_name);

  G_OBJECT_CLASS (io_user_client_parent_class)->finalize (object);
}

static void
io_user_client_class_init (IOUserClientClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->set_property = io_user_client_set_property;
  object_class->get_property = io_user_client_get_property;
  object_class->finalize = io_user_client_finalize;

  klass->client_close = io_user_client_real_client_close;
  klass->client_died = io_user_client_real_client_died;
  klass->client_memory_for_type = io_user_client_real_client_memory_for_type;
  klass->client_queue_for_type = _io_user_client_no_queue;
  klass->external_method = _io_user_client_real_external_method;
  klass->method = _io_user_client_real_method;
  klass->trap = _io_user_client_real_trap;
  klass->register_notification_port = _io_user_client_real_register_notification_port;
  klass->message = io_user_client_real_message;

  /**
   * IOUserClient:connected:
   *
   * Whether the connection still stands.
   *
   * Since: 1.0
   */
  properties[PROP_CONNECTED] =
    g_param_spec_boolean ("connected", NULL, NULL, FALSE,
                          G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);
  /**
   * IOUserClient:read-only:
   *
   * Whether the client may only read. See io_user_client_set_read_only().
   *
   * Since: 1.0
   */
  properties[PROP_READ_ONLY] =
    g_param_spec_boolean ("read-only", NULL, NULL, FALSE,
                          G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
io_user_client_init (IOUserClient *self)
{
  IOUserClientPrivate *priv = get_private (self);

  priv->call_func = _io_user_client_default_call;
  priv->max_buffers = IO_STREAM_MAX_BUFFERS;
  priv->max_bytes = G_MAXUINT64;
  priv->owner_pid = getpid ();
}

/**
 * io_user_client_get_service:
 * @self: a user client
 *
 * Gets the service that @self belongs to. %NULL before the service has taken
 * @self up, and when the connection is over.
 *
 * In the thread of the service. Apple: IOUserClient::getService.
 *
 * Returns: (transfer none) (nullable): the service
 * Since: 1.0
 */
IOService *
io_user_client_get_service (IOUserClient *self)
{
  g_return_val_if_fail (IO_IS_USER_CLIENT (self), NULL);

  return get_private (self)->service;
}

/**
 * io_user_client_get_client_name:
 * @self: a user client
 *
 * Gets the name by which the other program introduced itself. Any program can
 * say any name: it is for people to read, not to decide by.
 *
 * In the thread of the service.
 *
 * Returns: (transfer none) (nullable): the name, without control characters;
 *   %NULL before the service has taken @self up
 * Since: 1.0
 */
const char *
io_user_client_get_client_name (IOUserClient *self)
{
  g_return_val_if_fail (IO_IS_USER_CLIENT (self), NULL);

  return get_private (self)->client_name;
}

/**
 * io_user_client_get_uid:
 * @self: a user client
 *
 * Gets the effective user of the process that made the connection, as the
 * kernel knows it.
 *
 * In the thread of the service.
 *
 * Returns: the user
 * Since: 1.0
 */
guint
io_user_client_get_uid (IOUserClient *self)
{
  g_return_val_if_fail (IO_IS_USER_CLIENT (self), (guint) -1);

  return get_private (self)->credentials.uid;
}

/**
 * io_user_client_get_gid:
 * @self: a user client
 *
 * Gets the effective group of the process that made the connection, as the
 * kernel knows it.
 *
 * In the thread of the service.
 *
 * Returns: the group
 * Since: 1.0
 */
guint
io_user_client_get_gid (IOUserClient *self)
{
  g_return_val_if_fail (IO_IS_USER_CLIENT (self), (guint) -1);

  return get_private (self)->credentials.gid;
}

/**
 * io_user_client_get_pid:
 * @self: a user client
 *
 * Gets the process that made the connection, as the kernel knows it. The
 * process may be gone and its number used again: do not decide by it.
 *
 * In the thread of the service.
 *
 * Returns: the process
 * Since: 1.0
 */
int
io_user_client_get_pid (IOUserClient *self)
{
  g_return_val_if_fail (IO_IS_USER_CLIENT (self), -1);

  return get_private (self)->credentials.pid;
}

/**
 * io_user_client_is_connected:
 * @self: a user client
 *
 * Gets #IOUserClient:connected. In the thread of the service.
 *
 * Returns: %TRUE while the connection stands
 * Since: 1.0
 */
gboolean
io_user_client_is_connected (IOUserClient *self)
{
  IOUserClientPrivate *priv;

  g_return_val_if_fail (IO_IS_USER_CLIENT (self), FALSE);

  priv = get_private (self);
  return priv->channel != NULL && priv->owner_pid == getpid ();
}

/**
 * io_user_client_get_read_only:
 * @self: a user client
 *
 * Gets #IOUserClient:read-only. In the thread of the service.
 *
 * Returns: %TRUE if the client may only read
 * Since: 1.0
 */
gboolean
io_user_client_get_read_only (IOUserClient *self)
{
  g_return_val_if_fail (IO_IS_USER_CLIENT (self), FALSE);

  return get_private (self)->read_only;
}

/**
 * io_user_client_set_read_only:
 * @self: a user client
 * @read_only: whether the client may only read
 *
 * Decides whether the client may only read. Such a client is refused all
 * memory that the kernel would let it write. It has an effect on what the
 * client asks for later; the place for it is #IOService::authorize.
 *
 * In the thread of the service.
 *
 * Since: 1.0
 */
void
io_user_client_set_read_only (IOUserClient *self,
                              gboolean      read_only)
{
  IOUserClientPrivate *priv;

  g_return_if_fail (IO_IS_USER_CLIENT (self));

  priv = get_private (self);
  read_only = !!read_only;
  if (priv->read_only == read_only)
    return;

  priv->read_only = read_only;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_READ_ONLY]);
}

/**
 * io_user_client_set_limits:
 * @self: a user client
 * @max_buffers: how many buffers the client may hold at a time
 * @max_bytes: how much memory may be made for this client alone
 *
 * Sets what the client can have at most. In the beginning that is
 * %IO_STREAM_MAX_BUFFERS, and no limit on memory. It has an effect on what the
 * client asks for later; the place for it is #IOService::authorize.
 *
 * In the thread of the service.
 *
 * Since: 1.0
 */
void
io_user_client_set_limits (IOUserClient *self,
                           guint         max_buffers,
                           guint64       max_bytes)
{
  IOUserClientPrivate *priv;

  g_return_if_fail (IO_IS_USER_CLIENT (self));

  priv = get_private (self);
  priv->max_buffers = max_buffers;
  priv->max_bytes = max_bytes;
}

/**
 * io_user_client_get_memory:
 * @self: a user client
 * @type: which memory; what the numbers mean is up to the service. See
 *   #IOStreamMemoryType for those of streams
 * @flags: (out): how the client may map it
 * @error: return location for an error
 *
 * Gets the memory that the client gets when it asks for @type, by
 * #IOUserClientClass.client_memory_for_type(). The same type gives the same
 * memory each time.
 *
 * Fails with %IO_STREAM_ERROR_UNSUPPORTED if there are no such types, or what
 * the class says.
 *
 * In the thread of the service. Apple: IOUserClient::clientMemoryForType.
 *
 * Returns: (transfer full): the memory, or %NULL
 * Since: 1.0
 */
IOMemoryDescriptor *
io_user_client_get_memory (IOUserClient      *self,
                           guint              type,
                           IOMemoryMapFlags  *flags,
                           GError           **error)
{
  g_autoptr (GError) local_error = NULL;
  IOMemoryDescriptor *memory;
  IOMemoryMapFlags map_flags = IO_MEMORY_MAP_NONE;

  g_return_val_if_fail (IO_IS_USER_CLIENT (self), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  memory = IO_USER_CLIENT_GET_CLASS (self)->client_memory_for_type (self, type, &map_flags,
                                                                    &local_error);
  if (flags != NULL)
    *flags = map_flags | (get_private (self)->read_only ? IO_MEMORY_MAP_READ_ONLY : 0);
  if (memory != NULL)
    return memory;

  if (local_error == NULL)
    g_set_error (&local_error, IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED,
                 "%s gives no memory 0x%x", G_OBJECT_TYPE_NAME (self), type);
  g_propagate_error (error, g_steal_pointer (&local_error));
  return NULL;
}

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
_io_user_client_set_call_func (IOUserClient         *self,
                               IOUserClientCallFunc  func)
{
  get_private (self)->call_func = func;
}

void
_io_user_client_send_event (IOUserClient *self,
                            IOOpcode      opcode,
                            GVariant     *body)
{
  IOUserClientPrivate *priv = get_private (self);
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

gboolean
_io_user_client_offer_event (IOUserClient  *self,
                             IOOpcode       opcode,
                             GVariant      *body,
                             guint          max_due,
                             GError       **error)
{
  IOUserClientPrivate *priv = get_private (self);
  g_autoptr (GVariant) sunk = g_variant_ref_sink (body);
  GBytes *packet;

  if (priv->channel == NULL || !priv->welcome)
    return TRUE;

  packet = _io_packet_build (IO_PACKET_EVENT, opcode, 0, 0, sunk, error);
  return packet != NULL && _io_channel_offer (priv->channel, packet, max_due);
}

gboolean
_io_user_client_answer_again (IOUserClient         *self,
                              const IOPacketHeader *header,
                              GVariant             *body)
{
  IOUserClientPrivate *priv = get_private (self);
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
  IOUserClientPrivate *priv = get_private (self);

  if (priv->channel != NULL)
    _io_channel_send (priv->channel,
                      _io_packet_build_error (header->opcode, header->serial, error), NULL);
}

void
_io_user_client_send (IOUserClient *self,
                      GBytes       *packet,
                      GUnixFDList  *fds)
{
  IOChannel *channel = get_private (self)->channel;

  if (channel != NULL)
    _io_channel_send (channel, packet, fds);
  else
    g_bytes_unref (packet);
}

gboolean
_io_user_client_is_congested (IOUserClient *self)
{
  IOChannel *channel = get_private (self)->channel;

  return channel != NULL && _io_channel_is_congested (channel);
}

IOUserClientMethods **
_io_user_client_get_methods (IOUserClient *self)
{
  return &get_private (self)->methods;
}

void
_io_user_client_violation (IOUserClient *self,
                           const char   *format,
                           ...)
{
  IOUserClientPrivate *priv = get_private (self);
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

guint
_io_user_client_get_max_buffers (IOUserClient *self)
{
  return get_private (self)->max_buffers;
}

guint64
_io_user_client_get_max_bytes (IOUserClient *self)
{
  return get_private (self)->max_bytes;
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
  IOUserClientPrivate *priv = get_private (self);

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
  IOUserClientPrivate *priv = get_private (self);

  priv->welcome = TRUE;
  _io_channel_send (priv->channel, packet, NULL);
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
  IOUserClientPrivate *priv = get_private (self);

  return priv->attached && priv->channel == NULL;
}

gboolean
_io_user_client_set_opened (IOUserClient *self,
                            gboolean      opened)
{
  IOUserClientPrivate *priv = get_private (self);
  gboolean was_opened = priv->opened;

  priv->opened = opened;
  if (!opened)
    _io_user_client_cut_queues (self);

  return was_opened;
}

gboolean
_io_user_client_has_opened (IOUserClient *self)
{
  return get_private (self)->opened;
}

gboolean
_io_user_client_has_died (IOUserClient *self)
{
  return get_private (self)->died;
}
