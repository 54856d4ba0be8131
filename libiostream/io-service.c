/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-service.h"

#include "io-names-private.h"
#include "io-service-internal-private.h"
#include "io-user-client-private.h"
#include "io-work-loop.h"

#include <unistd.h>

/**
 * SECTION:io-service
 * @title: IOService
 * @short_description: Something that other processes can find and open
 *
 * An #IOService is the owner's side of something that other processes connect
 * to by name. Most services are streams; see #IOStream, which derives from it.
 *
 * # Life cycle #
 *
 * A service is made with a name, gets its attributes, and is put up with
 * io_service_register(). From then on processes can connect. Each connection
 * is an #IOUserClient: when the other side has said who it is,
 * #IOServiceClass.new_user_client() makes one, and #IOService::authorize
 * decides whether it may stay. Such a client can open the service, which
 * #IOServiceClass.handle_open() decides, and close it again.
 * io_service_terminate() ends it all: clients are told and disconnected, the
 * name is given back. A terminated service stays so.
 * io_service_terminate_async() does the same in order, and gives clients that
 * have the service open #IOService:close-timeout to close it.
 *
 * A client that opens with %IO_SERVICE_OPEN_SEIZE has whoever has the service
 * open asked to close it, and waits for that as long.
 *
 * # Messages and attributes #
 *
 * io_service_message_clients() tells all clients something, and the library
 * tells them of opens and closes by others and of the end; see
 * #IOServiceMessageType. io_service_register_interest() hears the same here.
 * Clients reach #IOServiceClass.message(). Attributes can be read by all
 * clients, watched, and set where #IOServiceClass.client_set_attribute() lets
 * them. A client that does not read loses messages, and gets the last value of
 * an attribute when it reads again; it holds nobody up.
 *
 * A service without a name is for connections that are there already: give
 * io_service_add_socket() one end of a socket pair, and the other end to a
 * child. The thread that serves it can itself be a client, with
 * io_connection_new_for_service().
 *
 * # Ownership #
 *
 * The registration holds a reference on the service until
 * io_service_terminate(), and so does each connection until it ends. A service
 * that was only dropped therefore still works.
 *
 * # Names #
 *
 * A name is a file of the user's runtime directory:
 * `$IOSTREAM_RUNTIME_DIR`, or `iostream` in `$XDG_RUNTIME_DIR` or, where
 * that is not set, in the user's cache directory. The kernel knows whether its
 * owner lives, so the name of a killed process can be taken again at once, and
 * nothing needs cleaning up. What a registered service is, and its attributes,
 * everybody of the same user can know without connecting; see #IORegistry.
 *
 * # Threads #
 *
 * A service belongs to the main context that was the thread-default one when
 * it was made, or to that of its #IOService:work-loop. All signals and virtual
 * methods come from there, and methods are called there, unless they say
 * otherwise. Attributes can be used from any thread. io_service_register(),
 * io_service_add_socket() and io_service_terminate() go to the work loop by
 * themselves if there is one.
 *
 * In a forked child the service is not there: what can fail fails with
 * %IO_STREAM_ERROR_NOT_OPEN, and nothing that belongs to the parent is touched.
 *
 * # Failure #
 *
 * Nothing another process does makes the service fail. Connections are limited
 * to 512, and to 320 of one user; one that does not introduce itself within 5
 * seconds is closed.
 *
 * It answers to Apple's IOService, without its providers: construct properties,
 * #GInitable and dispose take the place of attach, start and stop.
 *
 * Since: 1.0
 */

/**
 * IOService:
 *
 * Something that other processes can find by its name, and open.
 *
 * Since: 1.0
 */

#define DEFAULT_CLOSE_TIMEOUT G_USEC_PER_SEC
#define DEFAULT_SOCKET_MODE   0600

G_DEFINE_TYPE_WITH_PRIVATE (IOService, io_service, G_TYPE_OBJECT)

enum {
  PROP_0,
  PROP_NAME,
  PROP_WORK_LOOP,
  PROP_REGISTERED,
  PROP_INACTIVE,
  PROP_CLOSE_TIMEOUT,
  PROP_SOCKET_MODE,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

IOServicePrivate *
_io_service_get_private (IOService *self)
{
  return io_service_get_instance_private (self);
}

gboolean
_io_service_check_usable (IOService   *self,
                          const char  *operation,
                          GError     **error)
{
  IOServicePrivate *priv = _io_service_get_private (self);

  if (!_io_service_in_own_process (self))
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN,
                   "Cannot %s service “%s”: it belongs to the parent process", operation,
                   priv->name != NULL ? priv->name : "");
      return FALSE;
    }
  if (priv->inactive)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY,
                   "Cannot %s service “%s”: it is terminated", operation,
                   priv->name != NULL ? priv->name : "");
      return FALSE;
    }

  return TRUE;
}

void
_io_service_add_client (IOService    *self,
                        IOUserClient *client)
{
  IOServicePrivate *priv = _io_service_get_private (self);

  priv->clients = g_list_append (priv->clients, g_object_ref (client));
}

void
_io_service_note_violation (IOService  *self,
                            int         pid,
                            const char *client_name,
                            const char *text)
{
  _io_door_note_violation (_io_service_get_private (self)->door, pid, client_name, text);
}

guint
_io_service_get_violations (IOService *self)
{
  return _io_door_get_violations (_io_service_get_private (self)->door);
}

guint
_io_service_get_waiting (IOService *self)
{
  return _io_door_get_waiting (_io_service_get_private (self)->door);
}

GMainContext *
_io_service_get_context (IOService *self)
{
  return _io_service_get_private (self)->context;
}

GList *
_io_service_peek_clients (IOService *self)
{
  return _io_service_get_private (self)->clients;
}

gboolean
_io_service_in_own_process (IOService *self)
{
  return _io_service_get_private (self)->pid == getpid ();
}

/**
 * IOServiceClass::new_user_client:
 * @self: a service
 * @properties: what the client says about itself, of type a{sv}
 * @error: return location for an error
 *
 * Makes the object that stands for a new connection.
 *
 * Returns: (transfer full): a user client that stands for no connection yet
 * Since: 1.0
 */
static IOUserClient *
io_service_real_new_user_client (IOService  *self,
                                 GVariant   *options,
                                 GError    **error)
{
  return g_object_new (IO_TYPE_USER_CLIENT, NULL);
}

static gboolean
io_service_real_authorize (IOService    *self,
                           IOUserClient *client)
{
  return io_user_client_get_uid (client) == geteuid ();
}

static void
io_service_set_property (GObject      *object,
                         guint         prop_id,
                         const GValue *value,
                         GParamSpec   *pspec)
{
  IOServicePrivate *priv = _io_service_get_private (IO_SERVICE (object));

  switch (prop_id)
    {
    case PROP_NAME:
      priv->name = g_value_dup_string (value);
      break;
    case PROP_WORK_LOOP:
      priv->work_loop = g_value_dup_object (value);
      break;
    case PROP_CLOSE_TIMEOUT:
      io_service_set_close_timeout (IO_SERVICE (object), g_value_get_int64 (value));
      break;
    case PROP_SOCKET_MODE:
      priv->socket_mode = g_value_get_uint (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
io_service_get_property (GObject    *object,
                         guint       prop_id,
                         GValue     *value,
                         GParamSpec *pspec)
{
  IOServicePrivate *priv = _io_service_get_private (IO_SERVICE (object));

  switch (prop_id)
    {
    case PROP_NAME:
      g_value_set_string (value, priv->name);
      break;
    case PROP_WORK_LOOP:
      g_value_set_object (value, priv->work_loop);
      break;
    case PROP_REGISTERED:
      g_value_set_boolean (value, priv->registered);
      break;
    case PROP_INACTIVE:
      g_value_set_boolean (value, priv->inactive);
      break;
    case PROP_CLOSE_TIMEOUT:
      g_value_set_int64 (value, priv->close_timeout);
      break;
    case PROP_SOCKET_MODE:
      g_value_set_uint (value, priv->socket_mode);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
io_service_constructed (GObject *object)
{
  IOServicePrivate *priv = _io_service_get_private (IO_SERVICE (object));

  G_OBJECT_CLASS (io_service_parent_class)->constructed (object);

  if (priv->work_loop != NULL)
    priv->context = g_main_context_ref (io_work_loop_get_context (priv->work_loop));
  else
    priv->context = g_main_context_ref_thread_default ();
  priv->thread = g_thread_self ();
}

static void
io_service_finalize (GObject *object)
{
  IOServicePrivate *priv = _io_service_get_private (IO_SERVICE (object));

  /* Clients, visitors and the registration have references. */
  g_warn_if_fail (priv->clients == NULL);
  g_warn_if_fail (priv->waiting == NULL && priv->watches == NULL);
  _io_service_drop_turn (IO_SERVICE (object));
  _io_service_clear_interests (IO_SERVICE (object));
  _io_door_free (priv->door);
  g_clear_object (&priv->owner);
  g_clear_object (&priv->work_loop);
  _io_attributes_free (priv->attributes);
  g_main_context_unref (priv->context);
  g_free (priv->name);
  g_mutex_clear (&priv->mutex);
  g_cond_clear (&priv->quiet);

  G_OBJECT_CLASS (io_service_parent_class)->finalize (object);
}

/* How others reach it. */
static void
define_ways_in (void)
{
  /**
   * IOService:name:
   *
   * The name under which the service is registered; %NULL if it takes only
   * ready sockets.
   *
   * Since: 1.0
   */
  properties[PROP_NAME] =
    g_param_spec_string ("name", NULL, NULL, NULL,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY |
                         G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);
  /**
   * IOService:work-loop:
   *
   * The work loop that serves; %NULL for the main context that was the
   * thread-default one at construction.
   *
   * Since: 1.0
   */
  properties[PROP_WORK_LOOP] =
    g_param_spec_object ("work-loop", NULL, NULL, IO_TYPE_WORK_LOOP,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY |
                         G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);
  /**
   * IOService:socket-mode:
   *
   * Who can reach the socket of the name, as the mode of its file: 0600, its
   * user alone; 0660, also the group of the process; 0666, everybody. The
   * directory must let them through as well, and #IOService::authorize decides
   * about who comes.
   *
   * Since: 1.0
   */
  properties[PROP_SOCKET_MODE] =
    g_param_spec_uint ("socket-mode", NULL, NULL, 0, 0777, DEFAULT_SOCKET_MODE,
                       G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY |
                       G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);
}

static void
install_properties (GObjectClass *object_class)
{
  define_ways_in ();

  /**
   * IOService:registered:
   *
   * Whether other processes can connect by name.
   *
   * Since: 1.0
   */
  properties[PROP_REGISTERED] =
    g_param_spec_boolean ("registered", NULL, NULL, FALSE,
                          G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);
  /**
   * IOService:inactive:
   *
   * Whether io_service_terminate() was called.
   *
   * Since: 1.0
   */
  properties[PROP_INACTIVE] =
    g_param_spec_boolean ("inactive", NULL, NULL, FALSE,
                          G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);
  /**
   * IOService:close-timeout:
   *
   * How long somebody who has the service open may take to close it when asked
   * to, because somebody else seizes it or because it ends; in microseconds,
   * -1 for ever, 0 for no time at all.
   *
   * Since: 1.0
   */
  properties[PROP_CLOSE_TIMEOUT] =
    g_param_spec_int64 ("close-timeout", NULL, NULL, -1, G_MAXINT64, DEFAULT_CLOSE_TIMEOUT,
                        G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
install_client_signal (const char *name,
                       guint       class_offset)
{
  g_signal_new (name, IO_TYPE_SERVICE, G_SIGNAL_RUN_LAST, class_offset,
                NULL, NULL, NULL, G_TYPE_NONE, 1, IO_TYPE_USER_CLIENT);
}

static void
install_signals_of_clients (void)
{
  /**
   * IOService::authorize:
   * @self: a service
   * @client: who wants to connect
   *
   * Somebody wants to connect. The first handler decides, and the class handler
   * only if no handler is connected: it lets in processes of the same user.
   *
   * @client is in place already: its user, group, process and name can be asked
   * for, and it can be given less than all with io_user_client_set_read_only()
   * and io_user_client_set_limits(). User, group and process are what the
   * kernel knew when it connected; the name is only what it says. It can also be
   * told something that it hears when it is let in (io_service_message_client()).
   *
   * Whoever is not let in gets %IO_STREAM_ERROR_NOT_PERMITTED, with a text that
   * names the service and the user. A handler that has a better reason calls
   * io_user_client_terminate() with it.
   *
   * Returns: %TRUE to let @client in
   * Since: 1.0
   */
  g_signal_new ("authorize", IO_TYPE_SERVICE, G_SIGNAL_RUN_LAST,
                  G_STRUCT_OFFSET (IOServiceClass, authorize),
                  g_signal_accumulator_first_wins, NULL, NULL,
                  G_TYPE_BOOLEAN, 1, IO_TYPE_USER_CLIENT);
  /**
   * IOService::client-opened:
   * @self: a service
   * @client: the client
   *
   * @client has opened the service.
   *
   * Since: 1.0
   */
  install_client_signal ("client-opened", G_STRUCT_OFFSET (IOServiceClass, client_opened));
  /**
   * IOService::client-closed:
   * @self: a service
   * @client: the client
   *
   * The service is closed for @client, for whatever reason. There is one for
   * each #IOService::client-opened.
   *
   * Since: 1.0
   */
  install_client_signal ("client-closed", G_STRUCT_OFFSET (IOServiceClass, client_closed));
  /**
   * IOService::client-died:
   * @self: a service
   * @client: the client
   *
   * @client went away with the service open. #IOService::client-closed
   * follows.
   *
   * Since: 1.0
   */
  install_client_signal ("client-died", G_STRUCT_OFFSET (IOServiceClass, client_died));
}

static void
install_signal_terminated (void)
{
  /**
   * IOService::terminated:
   * @self: a service
   *
   * io_service_terminate() has done its work: no client is left, and the name
   * is free.
   *
   * Since: 1.0
   */
  g_signal_new ("terminated", IO_TYPE_SERVICE, G_SIGNAL_RUN_LAST,
                  G_STRUCT_OFFSET (IOServiceClass, terminated),
                  NULL, NULL, NULL, G_TYPE_NONE, 0);
}

static void
io_service_class_init (IOServiceClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->set_property = io_service_set_property;
  object_class->get_property = io_service_get_property;
  object_class->constructed = io_service_constructed;
  object_class->finalize = io_service_finalize;

  klass->new_user_client = io_service_real_new_user_client;
  klass->authorize = io_service_real_authorize;
  _io_service_class_init_open (klass);
  _io_service_class_init_messages (klass);
  _io_service_class_init_attributes (klass);

  install_properties (object_class);
  install_signals_of_clients ();
  install_signal_terminated ();
}

static void
io_service_init (IOService *self)
{
  IOServicePrivate *priv = _io_service_get_private (self);

  priv->pid = getpid ();
  priv->close_timeout = DEFAULT_CLOSE_TIMEOUT;
  g_mutex_init (&priv->mutex);
  g_cond_init (&priv->quiet);
  priv->attributes = _io_attributes_new ();
  priv->door = _io_door_new (self);
}

/**
 * io_service_new:
 * @name: (nullable): the name to register, or %NULL for a service that takes
 *   only ready sockets
 *
 * Makes a service that belongs to the thread-default main context. Whether
 * @name is free, and can be a name at all, shows in io_service_register().
 *
 * Any thread.
 *
 * Returns: (transfer full): the new service
 * Since: 1.0
 */
IOService *
io_service_new (const char *name)
{
  return g_object_new (IO_TYPE_SERVICE, "name", name, NULL);
}

/**
 * io_service_get_name:
 * @self: a service
 *
 * Gets #IOService:name. Any thread.
 *
 * Returns: (transfer none) (nullable): the name
 * Since: 1.0
 */
const char *
io_service_get_name (IOService *self)
{
  g_return_val_if_fail (IO_IS_SERVICE (self), NULL);

  return _io_service_get_private (self)->name;
}

/**
 * io_service_get_work_loop:
 * @self: a service
 *
 * Gets #IOService:work-loop. Any thread. Apple: IOService::getWorkLoop.
 *
 * Returns: (transfer none) (nullable): the work loop
 * Since: 1.0
 */
IOWorkLoop *
io_service_get_work_loop (IOService *self)
{
  g_return_val_if_fail (IO_IS_SERVICE (self), NULL);

  return _io_service_get_private (self)->work_loop;
}

/**
 * io_service_get_socket_mode:
 * @self: a service
 *
 * Gets #IOService:socket-mode. Any thread.
 *
 * Returns: the mode of the socket's file
 * Since: 1.0
 */
guint
io_service_get_socket_mode (IOService *self)
{
  g_return_val_if_fail (IO_IS_SERVICE (self), 0);

  return _io_service_get_private (self)->socket_mode;
}

/**
 * io_service_get_close_timeout:
 * @self: a service
 *
 * Gets #IOService:close-timeout. In the thread of the service.
 *
 * Returns: the time in microseconds, or -1
 * Since: 1.0
 */
gint64
io_service_get_close_timeout (IOService *self)
{
  g_return_val_if_fail (IO_IS_SERVICE (self), -1);

  return _io_service_get_private (self)->close_timeout;
}

/**
 * io_service_set_close_timeout:
 * @self: a service
 * @timeout: microseconds, -1 for ever, 0 for no time at all
 *
 * Sets #IOService:close-timeout, for requests made from now on. In the thread
 * of the service.
 *
 * Since: 1.0
 */
void
io_service_set_close_timeout (IOService *self,
                              gint64     timeout)
{
  IOServicePrivate *priv;

  g_return_if_fail (IO_IS_SERVICE (self));
  g_return_if_fail (timeout >= -1);

  priv = _io_service_get_private (self);
  /* More than this is for ever, and would overflow a deadline. */
  timeout = MIN (timeout, G_MAXINT64 / 2);
  if (priv->close_timeout == timeout)
    return;

  priv->close_timeout = timeout;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_CLOSE_TIMEOUT]);
}

/**
 * io_service_list_names:
 * @error: return location for an error
 *
 * Lists the names that services of this user have registered, in this and in
 * other processes. Names whose owner is gone are left out.
 *
 * Fails with %IO_STREAM_ERROR_NOT_PERMITTED if the runtime directory cannot be
 * read. If it does not exist, there are no names.
 *
 * Any thread.
 *
 * Returns: (transfer full) (array zero-terminated=1): the names, sorted, or
 *   %NULL
 * Since: 1.0
 */
char **
io_service_list_names (GError **error)
{
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return _io_names_list (error);
}
