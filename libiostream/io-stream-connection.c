/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-connection-private.h"

#include "io-enum-types.h"
#include "io-fork-private.h"

/**
 * SECTION:io-stream-connection
 * @title: IOStreamConnection
 * @short_description: A stream of another process, seen by its client
 *
 * An #IOStreamConnection is a client's handle on an #IOStream that another
 * process owns. It finds the stream by its name, maps its buffers, takes what
 * the stream sends and gives the buffers back.
 *
 * # Life cycle
 *
 * io_stream_connection_open_name() connects and opens in one call;
 * io_stream_connection_new_for_name() connects only, for example to look at
 * the attributes, and io_connection_open() opens later.
 * io_stream_connection_start() asks the owner to send. Take entries with
 * io_stream_connection_dequeue_output_entry(), read their bytes where they
 * are, and return each with io_stream_connection_return_entry(), in any order.
 * io_stream_connection_stop() and io_connection_close() end it; what is still
 * held then goes home by itself. A closed connection can be opened again.
 *
 * In input mode it is the client that has the payload: what it dequeues are
 * empty buffers, and io_stream_connection_enqueue_input_buffer() with
 * io_stream_connection_send_input_notification() hands them over filled.
 * io_stream_connection_send_input_sync_notification() does the same and waits
 * until the owner has looked at them.
 *
 * # Sharing a stream # {#io-stream-connection-sharing}
 *
 * io_stream_connection_open_name() opens a stream exclusively. To share it with
 * others, connect with io_stream_connection_new_for_name(), say what is to
 * happen if this client is slow (io_stream_connection_set_delivery(); by default
 * the owner waits for it, which not every owner permits) and how much it wants
 * of what was sent before (io_stream_connection_set_replay()), and open it with
 * io_connection_open() and %IO_STREAM_OPEN_SHARED:
 *
 * |[<!-- language="C" -->
 * camera = io_stream_connection_new_for_name ("camera", NULL, &error);
 * if (camera == NULL)
 *   return FALSE;
 *
 * io_stream_connection_set_delivery (camera, IO_STREAM_DELIVERY_LATEST);
 * io_stream_connection_set_replay (camera, 1);
 * if (!io_connection_open (IO_CONNECTION (camera), IO_STREAM_OPEN_SHARED, NULL, &error) ||
 *     !io_stream_connection_start (camera, NULL, &error))
 *   return FALSE;
 * ]|
 *
 * What it missed io_stream_connection_get_lost() tells, and for which reason
 * io_stream_connection_get_statistics(). What the deliveries do is in the
 * chapter <link linkend="slow-clients">Slow clients</link>.
 *
 * # Waiting
 *
 * With a main loop, connect to #IOStreamConnection::output-available or set a
 * callback with io_stream_connection_set_output_callback(): they are called
 * from the context in which the connection was made. Without one,
 * io_stream_connection_wait() blocks, and io_stream_connection_get_fd() with
 * io_stream_connection_prepare_wait() and io_stream_connection_finish_wait()
 * serves any other loop. The two ways exclude each other; waiting turns
 * #IOStreamConnection:notify-in-context off.
 *
 * # Waiting for an owner
 *
 * io_stream_connection_await_name() opens a stream that has still to come:
 * nobody asks for it at intervals, and there is no gap between the look and the
 * wait. io_stream_connection_await_shared() is the same for a stream that is
 * shared. To wait for a stream by its attributes, take the name of what
 * io_registry_wait_for_service() finds.
 *
 * # Resuming # {#io-stream-connection-resuming}
 *
 * With #IOStreamConnection:resume the connection outlives its owner. When that
 * one dies, ends the stream or restarts, #IOConnection::disconnected is emitted
 * as ever; but then the connection waits for somebody to have the name again
 * (#IOStreamConnection:waiting), connects, opens the stream with the same
 * options, starts it if this client had started it (and suspends it if it had
 * suspended it), and emits #IOStreamConnection::resumed.
 * #IOStreamConnection:generation counts the owners.
 *
 * Only what is of the connection itself goes on. The attributes have to be
 * watched again, a #GSource of io_stream_connection_create_source() has to be
 * made again, and so have ports, queues and memory that the service gave: do it
 * in #IOStreamConnection::resumed. #IOStreamConnection:lost and the sequence
 * numbers begin anew, #IOStreamConnection:received goes on.
 *
 * What the last owner had sent can be taken until the next one opens the
 * stream. Entries of an owner that is gone mean nothing to the next one: to
 * return one is a success that does nothing, even if its numbers are the same
 * (which the entry itself tells; do not make up one by hand). Views keep their
 * memory, and the bare addresses of buffers that were held stay good until
 * another owner after that, or the close.
 *
 * io_stream_connection_wait() goes on across the restart, within its own time
 * and #GCancellable. For other loops io_stream_connection_get_fd() is another
 * descriptor while an owner is waited for: ask for it after each
 * io_stream_connection_prepare_wait() that returned %TRUE.
 *
 * io_connection_close(), io_connection_hang_up(), the end of the object and
 * turning the property off end the wait at once, with no trace. While it waits
 * the connection is one that was lost: calls fail with the reason of the loss.
 *
 * An attempt is made when the owner is lost and then each time that something
 * happens to the name; an owner that is still there and has ended this
 * connection is not asked again before that. Nobody there, somebody who goes
 * away again, and silence are waited out. Any other answer would be the same
 * again, and ends it: the stream is open exclusively elsewhere
 * (%IO_STREAM_ERROR_EXCLUSIVE_ACCESS), the owner refuses
 * (%IO_STREAM_ERROR_NOT_PERMITTED and what else it may say, to the open or to
 * the start), it speaks another version (%IO_STREAM_ERROR_UNSUPPORTED), it is
 * no stream or breaks the protocol (%IO_STREAM_ERROR_IPC_ERROR), or something
 * is used up here (%IO_STREAM_ERROR_NO_RESOURCES). Then
 * #IOConnection::disconnected is emitted again, with that error. After five
 * owners in a row that sent nothing, each next one is given more time, up to a
 * second.
 *
 * # In one process # {#io-stream-connection-in-one-process}
 *
 * io_stream_connection_open_stream() opens a stream that the calling thread
 * itself serves: to look at one's own stream, or to test one's own subclass
 * without a second process. Calls are direct: io_stream_connection_start() runs
 * #IOStreamClass.start() before it returns. See
 * [#IOConnection][io-connection-in-one-process] for what holds for all calls.
 * Buffers travel as they do between processes, and are announced to either side
 * by the main context; dequeuing, returning, acquiring and sending do not need
 * it. The client sees the memory as any client does, read-only if it is so.
 *
 * io_stream_connection_wait() works, but while it waits, the thread does nothing
 * for the owner: give it a timeout, unless another thread sends.
 *
 * # Ownership
 *
 * The addresses of the buffers belong to the connection and are good until it
 * is closed; an #IOMemoryMap from io_stream_buffer_get_data_map() keeps its
 * memory mapped for as long as somebody holds it. In output mode the kernel
 * itself keeps clients from writing.
 *
 * # Threads
 *
 * A connection belongs to the thread that made it, and its signals are emitted
 * in the thread-default main context of that thread. Entries can be returned
 * from any thread.
 *
 * # Failure
 *
 * When the owner dies, what it sent before can still be taken; then
 * #IOConnection::disconnected is emitted once, and io_connection_get_error()
 * tells why. (With #IOStreamConnection:resume, once for each owner.) Everything that is mapped stays readable.
 *
 * It answers to Apple's IOStreamLib (IOStreamInterface).
 */

/**
 * IOStreamConnection:
 *
 * A stream of another process, in the hands of its client.
 *
 * Since: 1.0
 */

enum {
  PROP_0,
  PROP_MODE,
  PROP_STATE,
  PROP_BUFFER_COUNT,
  PROP_NOTIFY_IN_CONTEXT,
  PROP_DELIVERY,
  PROP_REPLAY,
  PROP_HELD,
  PROP_RECEIVED,
  PROP_LOST,
  PROP_REVOKED_COUNT,
  PROP_RESUME,
  PROP_WAITING,
  PROP_GENERATION,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

enum {
  SIGNAL_OUTPUT_AVAILABLE,
  SIGNAL_BUFFERS_CHANGED,
  SIGNAL_REVOKED,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

G_DEFINE_TYPE_WITH_PRIVATE (IOStreamConnection, io_stream_connection, IO_TYPE_CONNECTION)

IOStreamConnectionPrivate *
_io_stream_connection_get_private (IOStreamConnection *self)
{
  return io_stream_connection_get_instance_private (self);
}

void
_io_stream_connection_notify_state (IOStreamConnection *self)
{
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_STATE]);
}

void
_io_stream_connection_announce_buffers (IOStreamConnection *self)
{
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_BUFFER_COUNT]);
  g_signal_emit (self, signals[SIGNAL_BUFFERS_CHANGED], 0);
}

void
_io_stream_connection_announce_revoked (IOStreamConnection *self,
                                        guint               count)
{
  g_signal_emit (self, signals[SIGNAL_REVOKED], 0, count);
}

static void
output_handler_clear (gpointer data)
{
  IOOutputHandler *handler = data;

  if (handler->destroy != NULL)
    handler->destroy (handler->data);
}

static void
output_handler_unref (IOOutputHandler *handler)
{
  g_rc_box_release_full (handler, output_handler_clear);
}

void
_io_stream_connection_announce_output (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  IOOutputHandler *handler = priv->handler;

  if (handler != NULL && handler->callback != NULL)
    {
      g_rc_box_acquire (handler);
      handler->callback (self, handler->data);
      output_handler_unref (handler);
    }
  /* It may have hung up or closed. */
  if (priv->attached)
    g_signal_emit (self, signals[SIGNAL_OUTPUT_AVAILABLE], 0);
}

static void
io_stream_connection_dispose (GObject *object)
{
  IOStreamConnection *self = IO_STREAM_CONNECTION (object);
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  _io_stream_connection_drop_interrupts (self);
  _io_stream_connection_drop_resume (self);
  /* The socket first, so that the owner hears of the end from it. */
  G_OBJECT_CLASS (io_stream_connection_parent_class)->dispose (object);

  _io_stream_connection_detach (self);
  io_stream_connection_set_output_callback (self, NULL, NULL, NULL);
  if (priv->news_source != NULL)
    g_source_destroy (priv->news_source);
  g_clear_pointer (&priv->news_source, g_source_unref);
}

static void
io_stream_connection_finalize (GObject *object)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (IO_STREAM_CONNECTION (object));

  g_assert (!priv->attached);
  g_assert (priv->sync_task == NULL);

  _io_stream_connection_free_resume (IO_STREAM_CONNECTION (object));
  g_array_unref (priv->buffers);
  g_hash_table_unref (priv->memories);
  _io_statistics_page_clear (&priv->statistics);
  g_mutex_clear (&priv->lock);

  G_OBJECT_CLASS (io_stream_connection_parent_class)->finalize (object);
}

static void
io_stream_connection_get_property (GObject    *object,
                                   guint       prop_id,
                                   GValue     *value,
                                   GParamSpec *pspec)
{
  IOStreamConnection *self = IO_STREAM_CONNECTION (object);

  switch (prop_id)
    {
    case PROP_MODE:
      g_value_set_enum (value, io_stream_connection_get_mode (self));
      break;
    case PROP_STATE:
      g_value_set_enum (value, io_stream_connection_get_state (self));
      break;
    case PROP_BUFFER_COUNT:
      g_value_set_uint (value, io_stream_connection_get_buffer_count (self));
      break;
    case PROP_NOTIFY_IN_CONTEXT:
      g_value_set_boolean (value, io_stream_connection_get_notify_in_context (self));
      break;
    case PROP_DELIVERY:
      g_value_set_enum (value, io_stream_connection_get_delivery (self));
      break;
    case PROP_REPLAY:
      g_value_set_uint (value, io_stream_connection_get_replay (self));
      break;
    case PROP_HELD:
      g_value_set_uint (value, io_stream_connection_get_held (self));
      break;
    case PROP_RECEIVED:
      g_value_set_uint64 (value, io_stream_connection_get_received (self));
      break;
    case PROP_LOST:
      g_value_set_uint64 (value, io_stream_connection_get_lost (self));
      break;
    case PROP_REVOKED_COUNT:
      g_value_set_uint64 (value, io_stream_connection_get_revoked_count (self));
      break;
    case PROP_RESUME:
      g_value_set_boolean (value, io_stream_connection_get_resume (self));
      break;
    case PROP_WAITING:
      g_value_set_boolean (value, io_stream_connection_is_waiting (self));
      break;
    case PROP_GENERATION:
      g_value_set_uint (value, io_stream_connection_get_generation (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
io_stream_connection_set_property (GObject      *object,
                                   guint         prop_id,
                                   const GValue *value,
                                   GParamSpec   *pspec)
{
  if (prop_id == PROP_NOTIFY_IN_CONTEXT)
    io_stream_connection_set_notify_in_context (IO_STREAM_CONNECTION (object), g_value_get_boolean (value));
  else if (prop_id == PROP_DELIVERY)
    io_stream_connection_set_delivery (IO_STREAM_CONNECTION (object), g_value_get_enum (value));
  else if (prop_id == PROP_REPLAY)
    io_stream_connection_set_replay (IO_STREAM_CONNECTION (object), g_value_get_uint (value));
  else if (prop_id == PROP_RESUME)
    io_stream_connection_set_resume (IO_STREAM_CONNECTION (object), g_value_get_boolean (value));
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
}

#define READABLE (G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY)

static void
define_properties (void)
{
  /**
   * IOStreamConnection:mode:
   *
   * Which way payload travels.
   *
   * Since: 1.0
   */
  properties[PROP_MODE] =
    g_param_spec_enum ("mode", NULL, NULL, IO_TYPE_STREAM_MODE, IO_STREAM_MODE_OUTPUT,
                      READABLE);

  /**
   * IOStreamConnection:state:
   *
   * Where the stream is in its life.
   *
   * Since: 1.0
   */
  properties[PROP_STATE] =
    g_param_spec_enum ("state", NULL, NULL, IO_TYPE_STREAM_STATE, IO_STREAM_STATE_CLOSED,
                      READABLE);

  /**
   * IOStreamConnection:buffer-count:
   *
   * The number of buffers; 0 if the stream is not open.
   *
   * Since: 1.0
   */
  properties[PROP_BUFFER_COUNT] =
    g_param_spec_uint ("buffer-count", NULL, NULL, 0, IO_STREAM_MAX_BUFFERS, 0,
                      READABLE);

  /**
   * IOStreamConnection:notify-in-context:
   *
   * Whether output is announced from the main context of the connection.
   * Waiting turns it off.
   *
   * Since: 1.0
   */
  properties[PROP_NOTIFY_IN_CONTEXT] =
    g_param_spec_boolean ("notify-in-context", NULL, NULL, TRUE,
                      G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);

  /**
   * IOStreamConnection:delivery:
   *
   * What happens when this client is slow. It has an effect on the next open.
   *
   * Since: 1.0
   */
  properties[PROP_DELIVERY] =
    g_param_spec_enum ("delivery", NULL, NULL, IO_TYPE_STREAM_DELIVERY, IO_STREAM_DELIVERY_BLOCK,
                      G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);
}

static void
define_statistics (void)
{
  /**
   * IOStreamConnection:revoked-count:
   *
   * How many buffers the owner took away from this client. It changes without
   * notification; see #IOStreamConnection::revoked.
   *
   * Since: 1.0
   */
  properties[PROP_REVOKED_COUNT] =
    g_param_spec_uint64 ("revoked-count", NULL, NULL, 0, G_MAXUINT64, 0,
                      READABLE);

  /**
   * IOStreamConnection:replay:
   *
   * How many of the buffers that were sent before this client gets when it
   * starts. It has an effect on the next open.
   *
   * Since: 1.0
   */
  properties[PROP_REPLAY] =
    g_param_spec_uint ("replay", NULL, NULL, 0, IO_STREAM_MAX_BUFFERS, 0,
                      G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);

  /**
   * IOStreamConnection:held:
   *
   * How many buffers this client holds. It changes without notification.
   *
   * Since: 1.0
   */
  properties[PROP_HELD] =
    g_param_spec_uint ("held", NULL, NULL, 0, IO_STREAM_MAX_BUFFERS, 0,
                      READABLE);

  /**
   * IOStreamConnection:received:
   *
   * How many entries were taken. It changes without notification.
   *
   * Since: 1.0
   */
  properties[PROP_RECEIVED] =
    g_param_spec_uint64 ("received", NULL, NULL, 0, G_MAXUINT64, 0,
                      READABLE);

  /**
   * IOStreamConnection:lost:
   *
   * How many buffers never reached this client. It changes without
   * notification.
   *
   * Since: 1.0
   */
  properties[PROP_LOST] =
    g_param_spec_uint64 ("lost", NULL, NULL, 0, G_MAXUINT64, 0,
                      READABLE);
}

static void
define_resuming (void)
{
  /**
   * IOStreamConnection:resume:
   *
   * Whether the connection outlives its owner: see
   * [Resuming][io-stream-connection-resuming].
   *
   * Since: 1.0
   */
  properties[PROP_RESUME] =
    g_param_spec_boolean ("resume", NULL, NULL, FALSE,
                          G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);

  /**
   * IOStreamConnection:waiting:
   *
   * Whether the owner is gone and the next one is waited for. It is so before
   * #IOConnection::disconnected is emitted, and until
   * #IOStreamConnection::resumed.
   *
   * Since: 1.0
   */
  properties[PROP_WAITING] =
    g_param_spec_boolean ("waiting", NULL, NULL, FALSE, READABLE);

  /**
   * IOStreamConnection:generation:
   *
   * How many owners have had the stream open for this connection.
   *
   * Since: 1.0
   */
  properties[PROP_GENERATION] =
    g_param_spec_uint ("generation", NULL, NULL, 0, G_MAXUINT, 0, READABLE);
}

static void
define_revoked (IOStreamConnectionClass *klass)
{
  /**
   * IOStreamConnection::revoked:
   * @self: the connection
   * @count: how many buffers, since it was emitted last
   *
   * Emitted in the context of the connection when the owner took away buffers
   * that this client held for longer than #IOStream:loan-time-limit, or had not
   * taken yet. Those need not be given back; which they are says
   * io_stream_connection_check_entry(), also before this is emitted.
   *
   * To a program that waits by itself it comes when it has looked at the queue
   * or at an entry and the context runs after that; one that runs no context
   * asks io_stream_connection_get_revoked_count().
   *
   * Since: 1.0
   */
  signals[SIGNAL_REVOKED] =
    g_signal_new ("revoked", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0,
                  NULL, NULL, NULL, G_TYPE_NONE, 1, G_TYPE_UINT);
}

static void
io_stream_connection_class_init (IOStreamConnectionClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->dispose = io_stream_connection_dispose;
  object_class->finalize = io_stream_connection_finalize;
  object_class->get_property = io_stream_connection_get_property;
  object_class->set_property = io_stream_connection_set_property;

  define_properties ();
  define_statistics ();
  define_resuming ();
  g_object_class_install_properties (object_class, N_PROPS, properties);

  /**
   * IOStreamConnection::output-available:
   * @self: the connection
   *
   * Emitted in the context of the connection when the output queue has
   * something new. One emission may cover many entries: take them with
   * io_stream_connection_dequeue_output_entry() until it returns %FALSE. What
   * is left in the queue is not announced again until something new comes.
   *
   * Since: 1.0
   */
  signals[SIGNAL_OUTPUT_AVAILABLE] =
    g_signal_new ("output-available", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST,
                  G_STRUCT_OFFSET (IOStreamConnectionClass, output_available),
                  NULL, NULL, NULL, G_TYPE_NONE, 0);

  /**
   * IOStreamConnection::buffers-changed:
   * @self: the connection
   *
   * Emitted in the context of the connection when the owner has added buffers
   * while the stream is open. They are mapped and can be looked at;
   * io_stream_connection_get_buffer_count() has grown. The buffers that were
   * there before stay as they are. It comes before
   * #IOStreamConnection::output-available for their entries; to a program that
   * waits by itself it comes when the context runs, and the count may have
   * grown before.
   *
   * Since: 1.0
   */
  signals[SIGNAL_BUFFERS_CHANGED] =
    g_signal_new ("buffers-changed", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST,
                  G_STRUCT_OFFSET (IOStreamConnectionClass, buffers_changed),
                  NULL, NULL, NULL, G_TYPE_NONE, 0);
  define_revoked (klass);
  _io_stream_connection_class_init_resume (klass);
}

static void
io_stream_connection_init (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  g_mutex_init (&priv->lock);
  priv->sync_number = IO_SYNC_FIRST_NUMBER;
  priv->buffers = g_array_new (FALSE, TRUE, sizeof (IOStreamClientBuffer));
  priv->memories = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) _io_memory_backing_unref);
  priv->mode = IO_STREAM_MODE_OUTPUT;
  priv->notify_in_context = TRUE;
  priv->fork_count = _io_fork_count ();
  _io_stream_connection_init_resume (self);
  _io_connection_set_hooks (IO_CONNECTION (self), &_io_stream_connection_hooks);
}

/**
 * io_stream_connection_get_mode:
 * @self: a connection
 *
 * Gets which way payload travels. While the stream is open this is what the
 * owner says now, and it is there before the first entry of a new mode can be
 * taken; #IOStreamConnection:mode is notified later, from the context. Apple's
 * GetMode().
 *
 * In the thread of the connection.
 *
 * Returns: the mode
 * Since: 1.0
 */
IOStreamMode
io_stream_connection_get_mode (IOStreamConnection *self)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), IO_STREAM_MODE_OUTPUT);

  return _io_stream_connection_read_mode (self);
}

/**
 * io_stream_connection_get_state:
 * @self: a connection
 *
 * Gets where the stream is in its life, as the owner says now.
 *
 * In the thread of the connection.
 *
 * Returns: the state; %IO_STREAM_STATE_CLOSED if this connection does not have
 *   it open
 * Since: 1.0
 */
IOStreamState
io_stream_connection_get_state (IOStreamConnection *self)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), IO_STREAM_STATE_CLOSED);

  if (!io_connection_is_connected (IO_CONNECTION (self)))
    return IO_STREAM_STATE_CLOSED;

  return _io_stream_connection_read_state (self);
}

/**
 * io_stream_connection_set_output_callback:
 * @self: a connection
 * @callback: (nullable) (scope notified): called when output arrives, or %NULL
 *   to have none
 * @user_data: passed to @callback
 * @destroy: (nullable): frees @user_data, when @callback is replaced and does
 *   not run any more
 *
 * Sets the function to be called when the output queue has something new: the
 * same as #IOStreamConnection::output-available, without the cost of a signal.
 * It can be set before the stream is opened. Apple's SetOutputCallback().
 *
 * In the thread of the connection; @callback is called in its context.
 *
 * Since: 1.0
 */
void
io_stream_connection_set_output_callback (IOStreamConnection     *self,
                                          IOStreamOutputCallback  callback,
                                          gpointer                user_data,
                                          GDestroyNotify          destroy)
{
  IOStreamConnectionPrivate *priv;
  IOOutputHandler *old_handler;

  g_return_if_fail (IO_IS_STREAM_CONNECTION (self));

  priv = _io_stream_connection_get_private (self);
  old_handler = g_steal_pointer (&priv->handler);
  if (callback != NULL || destroy != NULL)
    {
      priv->handler = g_rc_box_new (IOOutputHandler);
      *priv->handler = (IOOutputHandler) { callback, user_data, destroy };
    }
  g_clear_pointer (&old_handler, output_handler_unref);
}

/**
 * io_stream_connection_get_notify_in_context:
 * @self: a connection
 *
 * Tells whether output is announced from the main context of the connection.
 *
 * In the thread of the connection.
 *
 * Returns: %TRUE if it is
 * Since: 1.0
 */
gboolean
io_stream_connection_get_notify_in_context (IOStreamConnection *self)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), FALSE);

  return _io_stream_connection_get_private (self)->notify_in_context;
}

/**
 * io_stream_connection_set_notify_in_context:
 * @self: a connection
 * @notify_in_context: whether output is announced from the main context
 *
 * Says who waits for output: the main context of the connection, which then
 * emits #IOStreamConnection::output-available (the default), or the program
 * itself with io_stream_connection_wait() or a source of its own. Apple's
 * AddToRunLoop() and RemoveFromRunLoop().
 *
 * In the thread of the connection.
 *
 * Since: 1.0
 */
void
io_stream_connection_set_notify_in_context (IOStreamConnection *self,
                                            gboolean            notify_in_context)
{
  IOStreamConnectionPrivate *priv;

  g_return_if_fail (IO_IS_STREAM_CONNECTION (self));

  priv = _io_stream_connection_get_private (self);
  if (priv->notify_in_context == !!notify_in_context)
    return;

  priv->notify_in_context = !!notify_in_context;
  if (priv->usable && priv->notify_in_context)
    _io_notification_port_attach (priv->port, _io_connection_get_context (IO_CONNECTION (self)));
  else if (priv->port != NULL)
    _io_notification_port_detach (priv->port);
  _io_stream_connection_tell_later (self, 0);
  _io_stream_connection_poke (self);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_NOTIFY_IN_CONTEXT]);
}

/**
 * io_stream_connection_create_source:
 * @self: a connection that is open
 * @cancellable: (nullable): a #GCancellable
 *
 * Makes a source that is ready when the output queue has something new, for a
 * main context of the caller's choice. Its callback is a #GSourceFunc. Turns
 * #IOStreamConnection:notify-in-context off. Apple's GetRunLoopSource().
 *
 * In the thread of the connection, where the source must be attached too.
 *
 * Returns: (transfer full) (nullable): the source, or %NULL if the stream is
 *   not open
 * Since: 1.0
 */
GSource *
io_stream_connection_create_source (IOStreamConnection *self,
                                    GCancellable       *cancellable)
{
  G_GNUC_UNUSED g_autoptr (IOStreamConnection) keep = NULL;
  IOStreamConnectionPrivate *priv;

  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  priv = _io_stream_connection_get_private (self);
  if (priv->port == NULL)
    return NULL;

  keep = g_object_ref (self);
  io_stream_connection_set_notify_in_context (self, FALSE);

  return priv->port != NULL ? io_notification_port_create_source (priv->port, cancellable) : NULL;
}
