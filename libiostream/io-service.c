/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-service.h"

#include "io-attributes-private.h"
#include "io-door-private.h"
#include "io-names-private.h"
#include "io-service-private.h"
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
 *
 * A service without a name is for connections that are there already: give
 * io_service_add_socket() one end of a socket pair, and the other end to a
 * child.
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
 * nothing needs cleaning up.
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
 * to 512, and to 256 of one user; one that does not introduce itself within 5
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

typedef struct {
  char         *name;
  IOWorkLoop   *work_loop;
  GMainContext *context;
  pid_t         pid;
  IOAttributes *attributes;
  IODoor       *door;
  GList        *clients;      /* of IOUserClient, with references */
  IOUserClient *owner;        /* who has it open, as far as the default
                                 handle_open goes; with a reference */
  guint         registered : 1;
  guint         inactive : 1;
} IOServicePrivate;

G_DEFINE_TYPE_WITH_PRIVATE (IOService, io_service, G_TYPE_OBJECT)

enum {
  PROP_0,
  PROP_NAME,
  PROP_WORK_LOOP,
  PROP_REGISTERED,
  PROP_INACTIVE,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

enum {
  SIGNAL_AUTHORIZE,
  SIGNAL_CLIENT_OPENED,
  SIGNAL_CLIENT_CLOSED,
  SIGNAL_CLIENT_DIED,
  SIGNAL_TERMINATED,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

static IOServicePrivate *
get_private (IOService *self)
{
  return io_service_get_instance_private (self);
}

gboolean
_io_service_check_usable (IOService   *self,
                          const char  *operation,
                          GError     **error)
{
  IOServicePrivate *priv = get_private (self);

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

/* Work that belongs to the thread of the work loop. */
typedef struct {
  IOService  *self;
  gboolean  (*func) (IOService  *self,
                     gpointer    data,
                     GError    **error);
  gpointer    data;
  GError    **error;
  gboolean    ran;
} Job;

static gboolean
job_cb (gpointer user_data)
{
  Job *job = user_data;

  job->ran = TRUE;
  return job->func (job->self, job->data, job->error);
}

static gboolean
run_job (Job *job)
{
  IOServicePrivate *priv = get_private (job->self);
  gboolean result;

  if (priv->work_loop == NULL || !_io_service_in_own_process (job->self))
    return job_cb (job);

  result = io_work_loop_run_action (priv->work_loop, job_cb, job);
  if (!job->ran)
    g_set_error (job->error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY,
                 "Cannot use service “%s”: its work loop is shut down",
                 priv->name != NULL ? priv->name : "");
  return result;
}

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
  gboolean had_opened = _io_user_client_set_opened (client, FALSE);

  IO_SERVICE_GET_CLASS (self)->handle_close (self, client, options);
  if (!had_opened)
    return;

  if (_io_user_client_has_died (client))
    g_signal_emit (self, signals[SIGNAL_CLIENT_DIED], 0, client);
  g_signal_emit (self, signals[SIGNAL_CLIENT_CLOSED], 0, client);
}

void
_io_service_forget_client (IOService    *self,
                           IOUserClient *client)
{
  IOServicePrivate *priv = get_private (self);
  GList *link = g_list_find (priv->clients, client);

  if (link != NULL)
    priv->clients = g_list_delete_link (priv->clients, link);

  if (is_to_close (self, client))
    close_for (self, client, 0);
  if (link != NULL)
    g_object_unref (client);
}

void
_io_service_add_client (IOService    *self,
                        IOUserClient *client)
{
  IOServicePrivate *priv = get_private (self);

  priv->clients = g_list_append (priv->clients, g_object_ref (client));
}

void
_io_service_note_violation (IOService  *self,
                            int         pid,
                            const char *client_name,
                            const char *text)
{
  _io_door_note_violation (get_private (self)->door, pid, client_name, text);
}

guint
_io_service_get_violations (IOService *self)
{
  return _io_door_get_violations (get_private (self)->door);
}

guint
_io_service_get_waiting (IOService *self)
{
  return _io_door_get_waiting (get_private (self)->door);
}

GMainContext *
_io_service_get_context (IOService *self)
{
  return get_private (self)->context;
}

GList *
_io_service_peek_clients (IOService *self)
{
  return get_private (self)->clients;
}

gboolean
_io_service_in_own_process (IOService *self)
{
  return get_private (self)->pid == getpid ();
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
io_service_real_handle_open (IOService     *self,
                             IOUserClient  *client,
                             guint          options,
                             GError       **error)
{
  IOServicePrivate *priv = get_private (self);
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
                   "Cannot open service “%s”: process %d has it open", name,
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
  IOServicePrivate *priv = get_private (self);

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
  IOServicePrivate *priv = get_private (self);

  return priv->owner != NULL && (client == NULL || client == priv->owner);
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
  IOServicePrivate *priv = get_private (IO_SERVICE (object));

  switch (prop_id)
    {
    case PROP_NAME:
      priv->name = g_value_dup_string (value);
      break;
    case PROP_WORK_LOOP:
      priv->work_loop = g_value_dup_object (value);
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
  IOServicePrivate *priv = get_private (IO_SERVICE (object));

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
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
io_service_constructed (GObject *object)
{
  IOServicePrivate *priv = get_private (IO_SERVICE (object));

  G_OBJECT_CLASS (io_service_parent_class)->constructed (object);

  if (priv->work_loop != NULL)
    priv->context = g_main_context_ref (io_work_loop_get_context (priv->work_loop));
  else
    priv->context = g_main_context_ref_thread_default ();
}

static void
io_service_finalize (GObject *object)
{
  IOServicePrivate *priv = get_private (IO_SERVICE (object));

  /* Clients, visitors and the registration have references. */
  g_warn_if_fail (priv->clients == NULL);
  _io_door_free (priv->door);
  g_clear_object (&priv->owner);
  g_clear_object (&priv->work_loop);
  _io_attributes_free (priv->attributes);
  g_main_context_unref (priv->context);
  g_free (priv->name);

  G_OBJECT_CLASS (io_service_parent_class)->finalize (object);
}

static void
install_properties (GObjectClass *object_class)
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

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static guint
new_client_signal (const char *name,
                   guint       class_offset)
{
  return g_signal_new (name, IO_TYPE_SERVICE, G_SIGNAL_RUN_LAST, class_offset,
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
   * @client is in place already: its user, process and name can be asked for,
   * it can be limited, and it can be ended with io_user_client_terminate().
   *
   * Returns: %TRUE to let @client in
   * Since: 1.0
   */
  signals[SIGNAL_AUTHORIZE] =
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
  signals[SIGNAL_CLIENT_OPENED] =
    new_client_signal ("client-opened", G_STRUCT_OFFSET (IOServiceClass, client_opened));
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
  signals[SIGNAL_CLIENT_CLOSED] =
    new_client_signal ("client-closed", G_STRUCT_OFFSET (IOServiceClass, client_closed));
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
  signals[SIGNAL_CLIENT_DIED] =
    new_client_signal ("client-died", G_STRUCT_OFFSET (IOServiceClass, client_died));
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
  signals[SIGNAL_TERMINATED] =
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
  klass->handle_open = io_service_real_handle_open;
  klass->handle_close = io_service_real_handle_close;
  klass->handle_is_open = io_service_real_handle_is_open;
  klass->authorize = io_service_real_authorize;

  install_properties (object_class);
  install_signals_of_clients ();
  install_signal_terminated ();
}

static void
io_service_init (IOService *self)
{
  IOServicePrivate *priv = get_private (self);

  priv->pid = getpid ();
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

  return get_private (self)->name;
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

  return get_private (self)->work_loop;
}

/**
 * io_service_set_attribute:
 * @self: a service
 * @key: which attribute
 * @value: (nullable): its value, or %NULL to remove it
 *
 * Sets something that clients can know about the service, such as the size of
 * its pictures. A floating @value is taken over. All attributes together go
 * into one message of 4,096 bytes; if they do not fit, clients get none.
 *
 * Clients see an attribute that changes while they are connected when they ask
 * again. The library adds "pid" and "uid" for them.
 *
 * Any thread. Apple: IORegistryEntry::setProperty.
 *
 * Since: 1.0
 */
void
io_service_set_attribute (IOService  *self,
                          const char *key,
                          GVariant   *value)
{
  g_return_if_fail (IO_IS_SERVICE (self));
  g_return_if_fail (key != NULL && g_utf8_validate (key, -1, NULL));

  _io_attributes_set (get_private (self)->attributes, key, value);
}

/**
 * io_service_get_attribute:
 * @self: a service
 * @key: which attribute
 *
 * Gets an attribute. Any thread. Apple: IORegistryEntry::copyProperty.
 *
 * Returns: (transfer full) (nullable): its value, or %NULL if there is none
 * Since: 1.0
 */
GVariant *
io_service_get_attribute (IOService  *self,
                          const char *key)
{
  g_return_val_if_fail (IO_IS_SERVICE (self), NULL);
  g_return_val_if_fail (key != NULL, NULL);

  return _io_attributes_get (get_private (self)->attributes, key);
}

/**
 * io_service_copy_attributes:
 * @self: a service
 *
 * Gets all attributes. Any thread.
 *
 * Returns: (transfer full): a dictionary of type a{sv}
 * Since: 1.0
 */
GVariant *
io_service_copy_attributes (IOService *self)
{
  g_return_val_if_fail (IO_IS_SERVICE (self), NULL);

  return _io_attributes_copy (get_private (self)->attributes);
}

/**
 * io_service_open:
 * @self: a service
 * @client: who opens it
 * @options: how; see #IOStreamOpenFlags for those of streams
 * @error: return location for an error
 *
 * Opens the service for @client, by #IOServiceClass.handle_open(), and emits
 * #IOService::client-opened. The library does this when a client asks for it.
 *
 * Fails with %IO_STREAM_ERROR_NOT_READY after io_service_terminate(), with
 * %IO_STREAM_ERROR_OFFLINE if the client is gone, or with what the class says:
 * by default %IO_STREAM_ERROR_EXCLUSIVE_ACCESS if anybody, be it @client, has
 * it open, and %IO_STREAM_ERROR_BAD_ARGUMENT if @options ask for exclusive and
 * shared.
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

  kept = g_object_ref (self);
  kept_client = g_object_ref (client);
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

  if (!_io_user_client_set_opened (client, TRUE))
    g_signal_emit (self, signals[SIGNAL_CLIENT_OPENED], 0, client);
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
  if (is_to_close (self, client))
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

static gboolean
register_func (IOService  *self,
               gpointer    data,
               GError    **error)
{
  IOServicePrivate *priv = get_private (self);

  if (!_io_service_check_usable (self, "register", error))
    return FALSE;
  if (priv->registered)
    return TRUE;
  if (priv->name == NULL)
    {
      g_set_error_literal (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
                           "Cannot register a service that has no name");
      return FALSE;
    }
  if (!_io_door_listen (priv->door, priv->name, error))
    {
      g_prefix_error (error, "Cannot register service “%s”: ", priv->name);
      return FALSE;
    }

  priv->registered = TRUE;
  g_object_ref (self);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_REGISTERED]);
  return TRUE;
}

/**
 * io_service_register:
 * @self: a service
 * @error: return location for an error
 *
 * Takes the name and lets processes connect. The registration holds a
 * reference on @self until io_service_terminate(). Does nothing if @self is
 * registered.
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
  Job job = { self, register_func, NULL, error, FALSE };
  G_GNUC_UNUSED g_autoptr (IOService) kept = NULL;

  g_return_val_if_fail (IO_IS_SERVICE (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  kept = g_object_ref (self);
  /* A subclass that has something to make which can fail makes it now, if it
   * was constructed without g_initable_new(), as other languages do. */
  if (G_IS_INITABLE (self) && !g_initable_init (G_INITABLE (self), NULL, error))
    return FALSE;

  return run_job (&job);
}

/**
 * io_service_is_registered:
 * @self: a service
 *
 * Gets #IOService:registered. In the thread of the service.
 *
 * Returns: %TRUE if processes can connect by name
 * Since: 1.0
 */
gboolean
io_service_is_registered (IOService *self)
{
  g_return_val_if_fail (IO_IS_SERVICE (self), FALSE);

  return get_private (self)->registered && _io_service_in_own_process (self);
}

static gboolean
add_socket_func (IOService  *self,
                 gpointer    data,
                 GError    **error)
{
  return _io_service_check_usable (self, "add a socket to", error) &&
         _io_door_add_socket (get_private (self)->door, data, error);
}

/**
 * io_service_add_socket:
 * @self: a service
 * @socket: a connected local socket of packet type (SOCK_SEQPACKET)
 * @error: return location for an error
 *
 * Serves whoever is at the other end of @socket, for example a child that was
 * given one end of a socket pair. Everything is as with a connection that came
 * by name; the user of it is the one that made the socket. The service keeps
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
  Job job = { self, add_socket_func, socket, error, FALSE };

  g_return_val_if_fail (IO_IS_SERVICE (self), FALSE);
  g_return_val_if_fail (G_IS_SOCKET (socket), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return run_job (&job);
}

static void
end_client (IOService    *self,
            IOUserClient *client)
{
  if (io_user_client_is_connected (client))
    io_user_client_terminate (client, NULL);
  else
    /* Called from its own end. */
    _io_service_forget_client (self, client);
}

static gboolean
terminate_func (IOService  *self,
                gpointer    data,
                GError    **error)
{
  IOServicePrivate *priv = get_private (self);
  G_GNUC_UNUSED g_autoptr (IOService) kept = g_object_ref (self);
  gboolean was_registered = priv->registered;

  if (priv->inactive)
    return TRUE;

  priv->inactive = TRUE;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_INACTIVE]);

  _io_door_stop (priv->door);
  while (priv->clients != NULL)
    end_client (self, priv->clients->data);
  _io_door_release (priv->door);

  priv->registered = FALSE;
  if (was_registered)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_REGISTERED]);
  g_signal_emit (self, signals[SIGNAL_TERMINATED], 0);
  if (was_registered)
    g_object_unref (self);

  return TRUE;
}

/**
 * io_service_terminate:
 * @self: a service
 *
 * Ends the service: nobody can connect any more, clients are told so and
 * disconnected (with #IOService::client-closed for those that had it open), the
 * name is free, #IOService::terminated is emitted, and the reference of the
 * registration is dropped. Does nothing if it was called before.
 *
 * Can be called in any virtual method and signal handler.
 *
 * In the thread of the service; any thread if it has a work loop. Apple:
 * IOService::terminate.
 *
 * Since: 1.0
 */
void
io_service_terminate (IOService *self)
{
  Job job = { self, terminate_func, NULL, NULL, FALSE };

  g_return_if_fail (IO_IS_SERVICE (self));

  if (!_io_service_in_own_process (self))
    return;

  run_job (&job);
  /* Its thread is gone, so nobody is in the way. */
  if (!job.ran)
    job_cb (&job);
}

/**
 * io_service_is_inactive:
 * @self: a service
 *
 * Gets #IOService:inactive. In the thread of the service. Apple:
 * IOService::isInactive.
 *
 * Returns: %TRUE from the first moment of io_service_terminate() on
 * Since: 1.0
 */
gboolean
io_service_is_inactive (IOService *self)
{
  g_return_val_if_fail (IO_IS_SERVICE (self), FALSE);

  return get_private (self)->inactive;
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
