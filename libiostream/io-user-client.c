/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-user-client.h"

#include "io-user-client-internal-private.h"

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

G_DEFINE_TYPE_WITH_PRIVATE (IOUserClient, io_user_client, G_TYPE_OBJECT)

enum {
  PROP_0,
  PROP_CONNECTED,
  PROP_READ_ONLY,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

IOUserClientPrivate *
_io_user_client_get_private (IOUserClient *self)
{
  return io_user_client_get_instance_private (self);
}

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
                 _io_user_client_get_private (self)->client_name, type);
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
  IOUserClientPrivate *priv = _io_user_client_get_private (IO_USER_CLIENT (object));

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
  IOUserClientPrivate *priv = _io_user_client_get_private (self);

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

  return _io_user_client_get_private (self)->service;
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

  return _io_user_client_get_private (self)->client_name;
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

  return _io_user_client_get_private (self)->credentials.uid;
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

  return _io_user_client_get_private (self)->credentials.gid;
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

  return _io_user_client_get_private (self)->credentials.pid;
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

  priv = _io_user_client_get_private (self);
  return priv->channel != NULL && priv->owner_pid == getpid ();
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
    *flags = map_flags | (_io_user_client_get_private (self)->read_only ? IO_MEMORY_MAP_READ_ONLY : 0);
  if (memory != NULL)
    return memory;

  if (local_error == NULL)
    g_set_error (&local_error, IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED,
                 "%s gives no memory 0x%x", G_OBJECT_TYPE_NAME (self), type);
  g_propagate_error (error, g_steal_pointer (&local_error));
  return NULL;
}

void
_io_user_client_set_call_func (IOUserClient         *self,
                               IOUserClientCallFunc  func)
{
  _io_user_client_get_private (self)->call_func = func;
}

IOUserClientMethods **
_io_user_client_get_methods (IOUserClient *self)
{
  return &_io_user_client_get_private (self)->methods;
}

gboolean
_io_user_client_set_opened (IOUserClient *self,
                            gboolean      opened)
{
  IOUserClientPrivate *priv = _io_user_client_get_private (self);
  gboolean was_opened = priv->opened;

  priv->opened = opened;
  if (!opened)
    _io_user_client_cut_queues (self);

  return was_opened;
}

gboolean
_io_user_client_has_opened (IOUserClient *self)
{
  return _io_user_client_get_private (self)->opened;
}
