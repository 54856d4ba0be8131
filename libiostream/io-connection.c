/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-connection-internal-private.h"

#include "io-fork-private.h"

/**
 * SECTION:io-connection
 * @title: IOConnection
 * @short_description: The client's side of a service in another process
 * @see_also: #IOService, #IOUserClient
 *
 * #IOConnection is what a client holds of an #IOService that lives in another
 * process (or in this one, see below): Apple's `io_connect_t`, the
 * result of `IOServiceOpen()`. At the owner's end an #IOUserClient stands for
 * it. A connection to a stream is an #IOStreamConnection.
 *
 * # Life cycle
 *
 * io_connection_new_for_name() connects: it finds the name in the runtime
 * directory and exchanges greetings with the owner. Connecting gives no right
 * to anything yet but to read the attributes and to call methods, which look
 * after themselves; io_connection_open() opens the
 * service, io_connection_close() closes it again, as often as wanted. An object
 * made by its properties alone (as the constructor of a Python subclass does)
 * connects when it is initialised with g_initable_init(), or when it is opened.
 * io_connection_await_name() waits for a name that nobody has yet.
 * An attempt to connect or to open that fails can be made again.
 *
 * What else the service offers is called with io_connection_call() and
 * io_connection_call_method(), whether or not it is open.
 *
 * The connection ends when the owner terminates the service or its process
 * dies (#IOConnection::disconnected tells so, once), or when
 * io_connection_hang_up() is called, or the object goes. It cannot be used
 * again then; make another one. (Only an #IOStreamConnection that is told to
 * finds the next owner.) What was open is closed with it: the owner sees
 * the end of the socket, so that nothing is left behind even by a client that
 * is killed.
 *
 * # Messages and attributes
 *
 * #IOConnection::service-message tells what the service tells its clients:
 * that somebody else opens or closes it, that it is to be closed because it is
 * seized or ends, and what the kind of service adds. io_connection_send_message()
 * is the other way. io_connection_watch_attributes() keeps a copy of the
 * attributes up to date, and #IOConnection::attribute-changed tells of changes.
 *
 * # Ownership
 *
 * The caller owns the object. An asynchronous operation keeps a reference until
 * it has called back; nothing else does. Every callback may drop the last one.
 *
 * # Threads
 *
 * A connection belongs to the thread in which it was made, and to the
 * thread-default main context there: signals are emitted and callbacks called
 * in that context. A synchronous call does not run a main context. It waits for
 * the answer on the socket alone, and keeps what else it learns (answers to
 * asynchronous calls, the end of the connection) for the context. So a thread
 * that never runs its context can use synchronous calls; it reads
 * io_connection_is_connected() and io_connection_get_error() instead of hearing
 * the signal.
 *
 * A synchronous call to a service that the calling thread itself serves would
 * wait for ever, if the connection was made for its name: it fails with
 * %IO_STREAM_ERROR_CANNOT_LOCK, and the asynchronous one works. After a `fork()` the connection stays with the
 * parent: in the child every call fails with %IO_STREAM_ERROR_NOT_OPEN.
 *
 * # In one process # {#io-connection-in-one-process}
 *
 * io_connection_new_for_service() connects to a service that the calling thread
 * itself serves, without a name. All is as between processes: the service makes
 * an #IOUserClient, asks #IOService::authorize, and sees the uid, gid and pid of
 * this process; the same messages travel, and the same memory is sealed. Only
 * nobody waits for anybody: a synchronous call does the owner's part too, so
 * that its virtual methods and signals run within the call, on the stack of the
 * caller. io_connection_hang_up() likewise tells the owner before it returns;
 * dropping the last reference leaves that to the context. Asynchronous calls,
 * and all that is signalled to the client, come through the main context as
 * ever.
 *
 * The connection belongs to the main context of the service. A synchronous call
 * holds that context; while another thread runs it, it fails with
 * %IO_STREAM_ERROR_CANNOT_LOCK, and does nothing. Calls can be made within what
 * a call runs, up to 30 deep: what the owner is busy with is its own to refuse,
 * as a stream refuses to be stopped within its start. A call that the owner does
 * not answer before its method returns cannot be waited for: it fails with
 * %IO_STREAM_ERROR_CANNOT_LOCK, and the asynchronous one works.
 * #IOConnection:timeout plays no part in it.
 *
 * Neither keeps the other: the connection has no reference on the service, and
 * the service none on the connection. As between processes, an #IOUserClient
 * keeps the service until the connection ends.
 *
 * # Failure
 *
 * No call waits longer than #IOConnection:timeout for an answer of the owner,
 * and each takes a #GCancellable. An owner that answers too late does no harm:
 * its answer is ignored, and an open that was given up is closed again. Nothing
 * the owner sends is trusted: what the protocol does not allow ends the
 * connection with %IO_STREAM_ERROR_IPC_ERROR. An error the owner answers with
 * has the code and the text that the owner gave it.
 */

/**
 * IOConnection:
 *
 * The client's side of a service in another process.
 *
 * Since: 1.0
 */

enum {
  PROP_0,
  PROP_NAME,
  PROP_SOCKET,
  PROP_SERVICE,
  PROP_TIMEOUT,
  PROP_CONNECTED,
  PROP_OPENED,
  PROP_ERROR,
  PROP_SERVICE_CLASS,
  N_PROPS
};

enum {
  DISCONNECTED,
  N_SIGNALS
};

#define DEFAULT_TIMEOUT (5 * G_USEC_PER_SEC)

static GParamSpec *properties[N_PROPS];
static guint signals[N_SIGNALS];

static void initable_iface_init       (GInitableIface      *iface);
static void async_initable_iface_init (GAsyncInitableIface *iface);

G_DEFINE_TYPE_WITH_CODE (IOConnection, io_connection, G_TYPE_OBJECT,
                         G_ADD_PRIVATE (IOConnection)
                         G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE, initable_iface_init)
                         G_IMPLEMENT_INTERFACE (G_TYPE_ASYNC_INITABLE, async_initable_iface_init))

IOConnectionPrivate *
_io_connection_get_private (IOConnection *self)
{
  return io_connection_get_instance_private (self);
}

void
_io_connection_set_hooks (IOConnection            *self,
                          const IOConnectionHooks *hooks)
{
  _io_connection_get_private (self)->hooks = hooks;
}

GMainContext *
_io_connection_get_context (IOConnection *self)
{
  return _io_connection_get_private (self)->context;
}

gboolean
_io_connection_in_own_process (IOConnection *self)
{
  return _io_connection_get_private (self)->fork_count == _io_fork_count ();
}

const char *
_io_connection_get_label (IOConnection *self)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);

  if (priv->name != NULL)
    return priv->name;
  return priv->local ? "(local)" : "(socket)";
}

void
_io_connection_notify_link (IOConnection *self)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  gboolean was_lost = priv->link == IO_LINK_LOST;

  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_CONNECTED]);
  if (priv->link == IO_LINK_UP)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_SERVICE_CLASS]);
  if (!was_lost)
    return;

  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_OPENED]);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_ERROR]);
  /* Who hung up in one of these does not hear of the end. */
  if (priv->link == IO_LINK_LOST)
    g_signal_emit (self, signals[DISCONNECTED], 0, priv->error);
}

void
_io_connection_run_closed (IOConnection *self)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);

  if (!priv->owner_open)
    return;

  priv->owner_open = FALSE;
  if (priv->hooks != NULL && priv->hooks->closed != NULL)
    priv->hooks->closed (self);
}

void
_io_connection_give_up (IOConnection *self)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);

  if (priv->hooks != NULL && priv->hooks->give_up != NULL && _io_connection_in_own_process (self))
    priv->hooks->give_up (self);
}

static void
drop (IOConnection *self)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);

  _io_connection_give_up (self);
  _io_connection_detach (self);
  priv->link = IO_LINK_HUNG_UP;
  if (!_io_connection_in_own_process (self))
    return;

  if (priv->phase == IO_PHASE_OPEN)
    priv->phase = IO_PHASE_CLOSED;
  _io_connection_end_calls (self, IO_STREAM_ERROR_ABORTED, "hung up");
  _io_connection_run_closed (self);
}

static gboolean
io_connection_initable_init (GInitable     *initable,
                             GCancellable  *cancellable,
                             GError       **error)
{
  return _io_connection_connect (IO_CONNECTION (initable), cancellable, error);
}

static void
initable_iface_init (GInitableIface *iface)
{
  iface->init = io_connection_initable_init;
}

static void
io_connection_init_async (GAsyncInitable      *initable,
                          int                  io_priority,
                          GCancellable        *cancellable,
                          GAsyncReadyCallback  callback,
                          gpointer             user_data)
{
  GTask *task = g_task_new (initable, cancellable, callback, user_data);

  g_task_set_source_tag (task, io_connection_init_async);
  _io_connection_connect_async (IO_CONNECTION (initable), task);
}

static gboolean
io_connection_init_finish (GAsyncInitable  *initable,
                           GAsyncResult    *result,
                           GError         **error)
{
  g_return_val_if_fail (g_task_is_valid (result, initable), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

static void
async_initable_iface_init (GAsyncInitableIface *iface)
{
  iface->init_async = io_connection_init_async;
  iface->init_finish = io_connection_init_finish;
}

static void
io_connection_get_property (GObject    *object,
                            guint       prop_id,
                            GValue     *value,
                            GParamSpec *pspec)
{
  IOConnection *self = IO_CONNECTION (object);
  IOConnectionPrivate *priv = io_connection_get_instance_private (self);

  switch (prop_id)
    {
    case PROP_NAME:
      g_value_set_string (value, priv->name);
      break;
    case PROP_SOCKET:
      g_value_set_object (value, priv->socket);
      break;
    case PROP_SERVICE:
      g_value_take_object (value, g_weak_ref_get (&priv->service));
      break;
    case PROP_TIMEOUT:
      g_value_set_int64 (value, priv->timeout);
      break;
    case PROP_CONNECTED:
      g_value_set_boolean (value, io_connection_is_connected (self));
      break;
    case PROP_OPENED:
      g_value_set_boolean (value, io_connection_is_open (self));
      break;
    case PROP_ERROR:
      g_value_set_boxed (value, priv->error);
      break;
    case PROP_SERVICE_CLASS:
      g_value_set_string (value, priv->service_class);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
io_connection_set_property (GObject      *object,
                            guint         prop_id,
                            const GValue *value,
                            GParamSpec   *pspec)
{
  IOConnection *self = IO_CONNECTION (object);
  IOConnectionPrivate *priv = io_connection_get_instance_private (self);

  switch (prop_id)
    {
    case PROP_NAME:
      priv->name = g_value_dup_string (value);
      break;
    case PROP_SOCKET:
      priv->socket = g_value_dup_object (value);
      priv->given = priv->socket != NULL;
      break;
    case PROP_SERVICE:
      _io_connection_set_service (self, g_value_get_object (value));
      break;
    case PROP_TIMEOUT:
      io_connection_set_timeout (self, g_value_get_int64 (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
io_connection_dispose (GObject *object)
{
  drop (IO_CONNECTION (object));

  G_OBJECT_CLASS (io_connection_parent_class)->dispose (object);
}

static void
io_connection_finalize (GObject *object)
{
  IOConnection *self = IO_CONNECTION (object);
  IOConnectionPrivate *priv = io_connection_get_instance_private (self);

  _io_connection_drop_source (self);
  g_clear_pointer (&priv->channel, _io_channel_unref);
  g_weak_ref_clear (&priv->service);
  g_clear_object (&priv->socket);
  g_clear_error (&priv->error);
  g_free (priv->reason);
  g_free (priv->service_class);
  g_free (priv->name);
  g_main_context_unref (priv->context);

  G_OBJECT_CLASS (io_connection_parent_class)->finalize (object);
}

#define COMMON_FLAGS (G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY)

static void
define_settings (void)
{
  /**
   * IOConnection:name:
   *
   * The name of the service. For a connection made for a socket it is %NULL
   * until the owner has told it.
   *
   * Since: 1.0
   */
  properties[PROP_NAME] =
    g_param_spec_string ("name", NULL, NULL, NULL,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | COMMON_FLAGS);

  /**
   * IOConnection:socket:
   *
   * The control socket: a connected #GSocket of the Unix family and type
   * %G_SOCKET_TYPE_SEQPACKET, to use instead of looking for
   * #IOConnection:name. The connection takes it over, and closes it.
   *
   * Since: 1.0
   */
  properties[PROP_SOCKET] =
    g_param_spec_object ("socket", NULL, NULL, G_TYPE_SOCKET,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | COMMON_FLAGS);

  /**
   * IOConnection:service:
   *
   * The service to connect to, if it is in this process and served by this
   * thread; it comes before #IOConnection:name and #IOConnection:socket. The
   * connection then belongs to the main context of the service. It has no
   * reference on it, and gives %NULL when the service is gone, or is in another
   * process.
   *
   * Since: 1.0
   */
  properties[PROP_SERVICE] =
    g_param_spec_object ("service", NULL, NULL, IO_TYPE_SERVICE,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | COMMON_FLAGS);

  /**
   * IOConnection:timeout:
   *
   * How long each call waits for the answer of the owner, in microseconds; -1
   * for ever.
   *
   * Since: 1.0
   */
  properties[PROP_TIMEOUT] =
    g_param_spec_int64 ("timeout", NULL, NULL, -1, G_MAXINT64, DEFAULT_TIMEOUT,
                        G_PARAM_READWRITE | G_PARAM_CONSTRUCT | COMMON_FLAGS);
}

static void
define_properties (void)
{
  /**
   * IOConnection:connected:
   *
   * Whether the owner is at the other end, as far as is known.
   *
   * Since: 1.0
   */
  properties[PROP_CONNECTED] =
    g_param_spec_boolean ("connected", NULL, NULL, FALSE, G_PARAM_READABLE | COMMON_FLAGS);

  /**
   * IOConnection:opened:
   *
   * Whether the service is open for this connection. The name is not "open"
   * because the method has it.
   *
   * Since: 1.0
   */
  properties[PROP_OPENED] =
    g_param_spec_boolean ("opened", NULL, NULL, FALSE, G_PARAM_READABLE | COMMON_FLAGS);

  /**
   * IOConnection:error:
   *
   * Why the connection was lost; %NULL while it is not, and after a clean end.
   *
   * Since: 1.0
   */
  properties[PROP_ERROR] =
    g_param_spec_boxed ("error", NULL, NULL, G_TYPE_ERROR, G_PARAM_READABLE | COMMON_FLAGS);

  /**
   * IOConnection:service-class:
   *
   * The name of the class of the service in the owner's process; %NULL before
   * the connection is made. It is for information only.
   *
   * Since: 1.0
   */
  properties[PROP_SERVICE_CLASS] =
    g_param_spec_string ("service-class", NULL, NULL, NULL, G_PARAM_READABLE | COMMON_FLAGS);
}

static void
io_connection_class_init (IOConnectionClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = io_connection_get_property;
  object_class->set_property = io_connection_set_property;
  object_class->dispose = io_connection_dispose;
  object_class->finalize = io_connection_finalize;

  define_settings ();
  define_properties ();
  g_object_class_install_properties (object_class, N_PROPS, properties);
  _io_connection_class_init_events (klass);

  /**
   * IOConnection::disconnected:
   * @self: the connection
   * @error: (nullable): why, or %NULL if the owner terminated the service in
   *   good order
   *
   * The connection is lost: the owner has terminated the service, its process
   * is gone, or it broke the protocol (then the code is
   * %IO_STREAM_ERROR_IPC_ERROR). Emitted once (or, with
 * #IOStreamConnection:resume, once for each owner), in the context of the
   * connection, after all answers that came before. io_connection_hang_up()
   * does not emit it.
   *
   * It answers to kIOMessageServiceIsTerminated.
   *
   * Since: 1.0
   */
  signals[DISCONNECTED] =
    g_signal_new ("disconnected", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST,
                  G_STRUCT_OFFSET (IOConnectionClass, disconnected), NULL, NULL, NULL,
                  G_TYPE_NONE, 1, G_TYPE_ERROR);
}

static void
io_connection_init (IOConnection *self)
{
  IOConnectionPrivate *priv = io_connection_get_instance_private (self);

  priv->context = g_main_context_ref_thread_default ();
  priv->fork_count = _io_fork_count ();
  g_weak_ref_init (&priv->service, NULL);
  _io_connection_init_calls (self);
  _io_connection_init_events (self);
}

/**
 * io_connection_new_for_name: (constructor)
 * @name: the name of a service
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Connects to the service called @name (Apple: IOServiceGetMatchingService()
 * and the first half of IOServiceOpen()). Nothing is open yet.
 *
 * It fails with %IO_STREAM_ERROR_NOT_FOUND if there is no such service,
 * %IO_STREAM_ERROR_NOT_PERMITTED if the system or the owner refuses,
 * %IO_STREAM_ERROR_NOT_RESPONDING if the owner does not answer within five
 * seconds, %IO_STREAM_ERROR_CANNOT_LOCK if the calling thread serves it,
 * %IO_STREAM_ERROR_BAD_ARGUMENT if @name cannot be a name,
 * %IO_STREAM_ERROR_NO_RESOURCES if no file descriptor is free,
 * %IO_STREAM_ERROR_UNSUPPORTED if the owner speaks another version of the
 * protocol, and %IO_STREAM_ERROR_IPC_ERROR if it breaks it.
 *
 * Any thread; the connection belongs to it.
 *
 * Returns: (transfer full): the connection, or %NULL with @error set
 * Since: 1.0
 */
IOConnection *
io_connection_new_for_name (const char    *name,
                            GCancellable  *cancellable,
                            GError       **error)
{
  g_return_val_if_fail (name != NULL, NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_initable_new (IO_TYPE_CONNECTION, cancellable, error, "name", name, NULL);
}

/**
 * io_connection_new_for_service: (constructor)
 * @service: a service that the calling thread serves
 * @error: return location for a #GError
 *
 * Connects to a service of this process, which need not be registered; see
 * [In one process][io-connection-in-one-process]. Nothing is open yet. The
 * service decides as about any other client, and does so before this returns.
 *
 * It fails with %IO_STREAM_ERROR_CANNOT_LOCK if another thread runs the main
 * context of @service, %IO_STREAM_ERROR_NOT_PERMITTED if the owner refuses,
 * %IO_STREAM_ERROR_NOT_READY if @service is terminated,
 * %IO_STREAM_ERROR_NOT_OPEN if it belongs to the parent of a forked process,
 * and %IO_STREAM_ERROR_NO_RESOURCES if it has too many connections or no file
 * descriptor is free.
 *
 * In the thread of @service; the connection belongs to its context.
 *
 * Returns: (transfer full): the connection, or %NULL with @error set
 * Since: 1.0
 */
IOConnection *
io_connection_new_for_service (IOService  *service,
                               GError    **error)
{
  g_return_val_if_fail (IO_IS_SERVICE (service), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_initable_new (IO_TYPE_CONNECTION, NULL, error, "service", service, NULL);
}

/**
 * io_connection_get_timeout:
 * @self: an #IOConnection
 *
 * Gets how long a call waits for its answer.
 *
 * In the thread of the connection.
 *
 * Returns: #IOConnection:timeout, in microseconds or -1
 * Since: 1.0
 */
gint64
io_connection_get_timeout (IOConnection *self)
{
  g_return_val_if_fail (IO_IS_CONNECTION (self), -1);

  return _io_connection_get_private (self)->timeout;
}

/**
 * io_connection_set_timeout:
 * @self: an #IOConnection
 * @timeout: microseconds, or -1 for ever
 *
 * Sets how long each call made from now on waits for its answer. An open is
 * several calls.
 *
 * In the thread of the connection.
 *
 * Since: 1.0
 */
void
io_connection_set_timeout (IOConnection *self,
                           gint64        timeout)
{
  IOConnectionPrivate *priv;

  g_return_if_fail (IO_IS_CONNECTION (self));
  g_return_if_fail (timeout >= -1);

  priv = _io_connection_get_private (self);
  /* More than this is for ever, and would overflow a deadline. */
  timeout = MIN (timeout, G_MAXINT64 / 2);
  if (priv->timeout == timeout)
    return;

  priv->timeout = timeout;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_TIMEOUT]);
}

/**
 * io_connection_hang_up:
 * @self: an #IOConnection
 *
 * Ends the connection at once, without a word to the owner and without
 * waiting; what was open is closed. Calls that are under way end with
 * %IO_STREAM_ERROR_ABORTED, later ones with %IO_STREAM_ERROR_NOT_OPEN.
 * #IOConnection::disconnected is not emitted, also not for an end that the
 * context had still to tell. Calling it again does nothing.
 *
 * In the thread of the connection.
 *
 * Since: 1.0
 */
void
io_connection_hang_up (IOConnection *self)
{
  gboolean was_connected, was_open;

  g_return_if_fail (IO_IS_CONNECTION (self));

  if (_io_connection_get_private (self)->link == IO_LINK_HUNG_UP)
    return;

  was_connected = io_connection_is_connected (self);
  was_open = io_connection_is_open (self);
  g_object_ref (self);
  drop (self);
  _io_connection_serve_end (self);
  if (was_open)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_OPENED]);
  if (was_connected)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_CONNECTED]);
  g_object_unref (self);
}
