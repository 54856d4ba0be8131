/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-private.h"

#include "io-enum-types.h"
#include "io-fork-private.h"
#include "io-service-private.h"
#include "io-stream-user-client.h"

/**
 * SECTION:io-stream
 * @title: IOStream
 * @short_description: A stream of buffers, seen by its owner
 *
 * An #IOStream is a fixed set of numbered buffers in shared memory, passed
 * back and forth between its owner (the process that makes this object) and
 * its clients (the processes that open it with #IOStreamConnection). The payload
 * never moves: only small entries travel through two lock-free queues.
 *
 * # Life cycle
 *
 * Make a stream with io_stream_new(), or derive a class from it and make that
 * with its properties; put it under a name with io_service_register(). From
 * then on clients come by themselves. A stream is closed, open (stopped),
 * running or suspended, and #IOStream:state tells. What the owner does when a
 * client starts, stops or suspends the stream is decided by the virtual
 * methods of #IOStreamClass: the state is changed first, so buffers can be
 * sent inside, and it is put back if the method fails. Starting twice is a
 * success that does nothing; starting a stream that no client has open is
 * %IO_STREAM_ERROR_NOT_OPEN; changing the state inside one of these methods is
 * %IO_STREAM_ERROR_BUSY. io_service_terminate() ends it all, also inside one of
 * them: whoever had the state changed gets %IO_STREAM_ERROR_ABORTED then, as
 * when the client is closed there.
 *
 * # Buffers
 *
 * A buffer is free, or the owner has it, or it is lent to the client. In
 * output mode the owner calls io_stream_acquire_buffer(), fills the buffer and
 * calls io_stream_send_buffer(); when the client returns it, it is free again.
 * In input mode the owner sends empty buffers the same way; the client fills
 * and returns them, #IOStream::input is emitted, and
 * io_stream_dequeue_input_entry() gives them out in the order of arrival until
 * io_stream_release_buffer() or the next sending. The library keeps the books:
 * a client that returns what it does not have is disconnected, and when a
 * client dies everything it held is free at once.
 *
 * # Several clients
 *
 * A client that opens a stream has it for itself, unless it asks to share it
 * (%IO_STREAM_OPEN_SHARED): then up to #IOStream:max-clients clients have it
 * open at a time, each with queues of its own, and a buffer that is sent is lent
 * to all that run it, under one number and without a copy; it is free again when
 * the last of them has returned it. Only streams in output mode can be shared,
 * whose buffers clients can only read. Clients come, start, stop and go each for
 * itself: the methods of the class are called when the first starts and when the
 * last stops, and #IOStream:state is running if one of them runs.
 *
 * What happens when one is slow each chooses for itself (#IOStreamDelivery), as
 * far as the owner permits (#IOStream:deliveries). One client holds no more than
 * #IOStream:client-allowance, and all of them together leave
 * #IOStream:reserve-count buffers to the owner. A send that a client with
 * %IO_STREAM_DELIVERY_BLOCK has no place for is %IO_STREAM_ERROR_OVERRUN, and
 * names it; other clients miss the buffer, and see that from the numbers of the
 * next ones. If all miss it the buffer is free again, and the send is a success.
 *
 * Clients that start later can have what was sent last, if the owner keeps it
 * (#IOStream:history-count); see
 * <link linkend="life-cycle-late">Clients that come later</link>.
 *
 * # Notifications
 *
 * A client that hands over input tells so in one of two ways.
 * io_stream_connection_send_input_notification() does not wait, and ends in
 * #IOStream::input some time later, one emission for many notifications.
 * io_stream_connection_send_input_sync_notification() waits until
 * #IOStreamClass.input_sync_callback() has returned, once for each call, and
 * gets what that says. It is called whether the stream runs or not. It may stop
 * or close the stream, terminate it, run the loop, and make such calls to other
 * streams; the client gets its answer all the same.
 *
 * # Ownership
 *
 * The stream holds its buffers. A registered stream is held by its
 * registration until it is terminated.
 *
 * # Threads
 *
 * A stream belongs to the thread-default main context of the thread that made
 * it, or to its #IOService:work-loop: signals and virtual methods run there.
 * io_stream_acquire_buffer(), io_stream_send_buffer() and everything else that
 * says so can be called from any thread. An owner that blocks needs a work
 * loop, since somebody must answer the clients.
 *
 * # Failure
 *
 * Whatever a client does costs that client its connection and nothing else. It
 * is found when the owner looks at what came back. In output mode an owner that
 * nobody waits for does not wake up for that, so a client that lies there is
 * ended when the next buffer is acquired or sent; until then nothing of what it
 * wrote has any effect.
 *
 * It answers to Apple's IOStream. Output and input are seen from the stream,
 * as there.
 */

/**
 * IOStream:
 *
 * A stream of buffers, in the process that owns it.
 *
 * Since: 1.0
 */

enum {
  SIGNAL_INPUT,
  SIGNAL_INPUT_SYNC,
  SIGNAL_MEMORY_CHANGED,
  SIGNAL_LOAN_EXPIRED,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

static void initable_iface_init (GInitableIface *iface);

G_DEFINE_TYPE_WITH_CODE (IOStream, io_stream, IO_TYPE_SERVICE,
                         G_ADD_PRIVATE (IOStream)
                         G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE, initable_iface_init))

IOStreamPrivate *
_io_stream_get_private (IOStream *self)
{
  return io_stream_get_instance_private (self);
}

void
_io_stream_announce_input (IOStream *self,
                           guint32   token)
{
  g_signal_emit (self, signals[SIGNAL_INPUT], 0, token);
}

gboolean
_io_stream_has_input_listener (IOStream *self)
{
  return IO_STREAM_GET_CLASS (self)->input_callback != NULL ||
         g_signal_has_handler_pending (self, signals[SIGNAL_INPUT], 0, TRUE);
}

void
_io_stream_announce_expired (IOStream     *self,
                             IOUserClient *client,
                             guint32       id,
                             gint64        held)
{
  g_signal_emit (self, signals[SIGNAL_LOAN_EXPIRED], 0, client, id, held);
}

void
_io_stream_announce_memory (IOStream *self)
{
  g_signal_emit (self, signals[SIGNAL_MEMORY_CHANGED], 0);
}

static void
set_facts (IOStream *self)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  IOService *service = IO_SERVICE (self);

  _io_stream_set_mode_attribute (self);
  io_service_set_attribute (service, "data-size", g_variant_new_uint64 (priv->data_size));
  io_service_set_attribute (service, "control-size", g_variant_new_uint64 (priv->control_size));
  io_service_set_attribute (service, "state", g_variant_new_string ("closed"));
}

/* The first use may come from several threads at once: one makes the buffers,
 * the others wait for it. FALSE if there is nothing to do. */
static gboolean
begin_init (IOStreamPrivate *priv)
{
  gboolean begins;

  g_mutex_lock (&priv->lock);
  while (priv->initializer != NULL && priv->initializer != g_thread_self ())
    g_cond_wait (&priv->cond, &priv->lock);
  begins = !priv->initialized && priv->initializer == NULL;
  if (begins)
    priv->initializer = g_thread_self ();
  g_mutex_unlock (&priv->lock);

  return begins;
}

static void
give_up_init (IOStreamPrivate *priv)
{
  g_mutex_lock (&priv->lock);
  priv->initializer = NULL;
  g_cond_broadcast (&priv->cond);
  g_mutex_unlock (&priv->lock);
}

static gboolean
check_access (IOStream  *self,
              GError   **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);

  if (priv->mode == IO_STREAM_MODE_OUTPUT || priv->peer_access != IO_STREAM_PEER_ACCESS_READ ||
      priv->buffer_count == 0 || priv->data_size + priv->control_size == 0)
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_UNSUPPORTED_MODE,
               "Cannot make stream “%s”: its mode has clients fill the buffers, and they can only read them",
               io_service_get_name (IO_SERVICE (self)));
  return FALSE;
}

static gboolean
io_stream_initable_init (GInitable     *initable,
                         GCancellable  *cancellable,
                         GError       **error)
{
  G_GNUC_UNUSED g_autoptr (IOStream) keep = g_object_ref (IO_STREAM (initable));
  IOStream *self = keep;
  IOStreamPrivate *priv = _io_stream_get_private (self);
  gboolean done;

  if (!begin_init (priv))
    return TRUE;

  done = check_access (self, error);
  if (done)
    {
      set_facts (self);
      done = _io_stream_make_buffers (self, error);
    }

  if (!done)
    give_up_init (priv);

  return done;
}

static void
initable_iface_init (GInitableIface *iface)
{
  iface->init = io_stream_initable_init;
}

gboolean
_io_stream_ensure (IOStream  *self,
                   IOStream **keep,
                   GError   **error)
{
  if (G_LIKELY (_io_stream_get_private (self)->initialized))
    return TRUE;

  g_set_object (keep, self);

  return g_initable_init (G_INITABLE (self), NULL, error);
}

gboolean
_io_stream_check_process (IOStream  *self,
                          GError   **error)
{
  if (G_LIKELY (_io_stream_get_private (self)->fork_count == _io_fork_count ()))
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN,
               "Stream “%s” belongs to the parent process", io_service_get_name (IO_SERVICE (self)));
  return FALSE;
}

typedef struct {
  GSource   source;
  GWeakRef  stream;
  void    (*func) (IOStream *self);
} StreamSource;

static gboolean
source_dispatch (GSource     *source,
                 GSourceFunc  callback,
                 gpointer     user_data)
{
  StreamSource *self = (StreamSource *) source;
  g_autoptr (IOStream) stream = g_weak_ref_get (&self->stream);

  if (stream != NULL)
    self->func (stream);

  return stream != NULL;
}

static void
source_finalize (GSource *source)
{
  g_weak_ref_clear (&((StreamSource *) source)->stream);
}

GSource *
_io_stream_new_source (IOStream    *self,
                       const char  *name,
                       void       (*func) (IOStream *self))
{
  static GSourceFuncs funcs = { .dispatch = source_dispatch, .finalize = source_finalize };
  GSource *source = g_source_new (&funcs, sizeof (StreamSource));

  g_weak_ref_init (&((StreamSource *) source)->stream, self);
  ((StreamSource *) source)->func = func;
  g_source_set_static_name (source, name);
  g_source_attach (source, _io_service_get_context (IO_SERVICE (self)));

  return source;
}

static void
io_stream_constructed (GObject *object)
{
  IOStreamPrivate *priv = _io_stream_get_private (IO_STREAM (object));

  if (priv->peer_access == IO_STREAM_PEER_ACCESS_BY_MODE)
    priv->peer_access = priv->mode == IO_STREAM_MODE_OUTPUT ? IO_STREAM_PEER_ACCESS_READ
                                                            : IO_STREAM_PEER_ACCESS_READ_WRITE;

  G_OBJECT_CLASS (io_stream_parent_class)->constructed (object);
}

static gboolean
shares (IOService *service,
        guint      options)
{
  guint both = IO_STREAM_OPEN_EXCLUSIVE | IO_STREAM_OPEN_SHARED;

  return (options & both) == IO_STREAM_OPEN_SHARED &&
         !IO_SERVICE_CLASS (io_stream_parent_class)->handle_is_open (service, NULL);
}

static gboolean
io_stream_handle_open (IOService     *service,
                       IOUserClient  *client,
                       guint          options,
                       GError       **error)
{
  IOServiceClass *parent = IO_SERVICE_CLASS (io_stream_parent_class);

  if (!IO_IS_STREAM_USER_CLIENT (client))
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
                   "Stream “%s” can only be opened by a stream's client", io_service_get_name (service));
      return FALSE;
    }

  /* The default knows of one client only, and of what it refuses. */
  if (!shares (service, options) && !parent->handle_open (service, client, options, error))
    return FALSE;
  if (_io_stream_make_link (IO_STREAM (service), client, options, error))
    return TRUE;

  parent->handle_close (service, client, 0);

  return FALSE;
}

static void
io_stream_handle_close (IOService    *service,
                        IOUserClient *client,
                        guint         options)
{
  _io_stream_close_link (IO_STREAM (service), client);

  IO_SERVICE_CLASS (io_stream_parent_class)->handle_close (service, client, options);
}

static gboolean
io_stream_handle_is_open (IOService    *service,
                          IOUserClient *client)
{
  IOStreamPrivate *priv = _io_stream_get_private (IO_STREAM (service));

  return (client != NULL ? _io_stream_find_link (priv, client) != NULL : priv->links->len > 0) ||
         IO_SERVICE_CLASS (io_stream_parent_class)->handle_is_open (service, client);
}

static IOUserClient *
io_stream_new_user_client (IOService  *service,
                           GVariant   *options,
                           GError    **error)
{
  return g_object_new (IO_TYPE_STREAM_USER_CLIENT, NULL);
}

static gboolean
io_stream_real_set_mode (IOStream      *self,
                         IOStreamMode   mode,
                         GError       **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);

  if (priv->links->len == 0)
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_STILL_OPEN,
               "Cannot change the mode of stream “%s” while a client has it open", io_service_get_name (IO_SERVICE (self)));
  return FALSE;
}

/* Start, stop and suspend: languages chain up to what is there. */
static gboolean
io_stream_real_change (IOStream  *self,
                       GError   **error)
{
  return TRUE;
}

static gboolean
io_stream_real_input_sync_callback (IOStream  *self,
                                    guint32    token,
                                    GError   **error)
{
  guint which = g_signal_has_handler_pending (self, signals[SIGNAL_INPUT_SYNC], 0, FALSE)
                  ? SIGNAL_INPUT_SYNC : SIGNAL_INPUT;

  g_signal_emit (self, signals[which], 0, token);

  return TRUE;
}

static void
io_stream_dispose (GObject *object)
{
  IOStream *self = IO_STREAM (object);
  IOStreamPrivate *priv = _io_stream_get_private (self);

  while (priv->links->len > 0)
    _io_stream_break_link (self, _io_stream_link_at (priv, 0));
  _io_stream_drop_views (self);

  G_OBJECT_CLASS (io_stream_parent_class)->dispose (object);
}

static void
io_stream_finalize (GObject *object)
{
  IOStream *self = IO_STREAM (object);
  IOStreamPrivate *priv = _io_stream_get_private (self);

  g_assert (priv->links->len == 0);
  g_assert (priv->n_waiters == 0);

  _io_stream_drop_buffers (self);
  g_ptr_array_unref (priv->buffers);
  g_ptr_array_unref (priv->links);
  g_ptr_array_unref (priv->old_pools);
  g_hash_table_unref (priv->exposed);
  g_clear_pointer (&priv->queues, _io_stream_queues_free);
  _io_stream_drop_age (priv);
  _io_stream_history_free (priv);
  _io_loan_book_clear (&priv->book);
  g_clear_object (&priv->output_queue);
  g_clear_object (&priv->input_queue);
  g_mutex_clear (&priv->lock);
  g_cond_clear (&priv->cond);

  G_OBJECT_CLASS (io_stream_parent_class)->finalize (object);
}

static void
define_loan_signals (void)
{
  /**
   * IOStream::loan-expired:
   * @self: the stream
   * @client: who holds the buffer
   * @buffer_id: the number of the buffer
   * @held: for how long, in microseconds
   *
   * Emitted in the context of the stream when a client has held a buffer for
   * longer than #IOStream:loan-time-limit: once for each loan and client,
   * whatever #IOStream:loan-action says. With %IO_STREAM_LOAN_ACTION_REVOKE the
   * buffer was taken away before, with %IO_STREAM_LOAN_ACTION_DISCONNECT the
   * connection ends after it. The client may have returned it, or gone, since
   * that was found.
   *
   * Since: 1.0
   */
  signals[SIGNAL_LOAN_EXPIRED] =
    g_signal_new ("loan-expired", IO_TYPE_STREAM, G_SIGNAL_RUN_LAST, 0,
                  NULL, NULL, NULL, G_TYPE_NONE, 3, IO_TYPE_USER_CLIENT, G_TYPE_UINT, G_TYPE_INT64);
}

static void
define_signals (void)
{
  /**
   * IOStream::input:
   * @self: the stream
   * @token: the token that the client sent with its last notification
   *
   * Emitted in the context of the stream when the client has returned buffers:
   * in input mode there is something for io_stream_dequeue_input_entry(), in
   * output mode buffers became free. One emission may cover many buffers, and
   * then only the last token is seen. Connect in the thread of the stream, or
   * before it is opened: of a handler that comes later from another thread the
   * context learns in output mode only when it has something else to do.
   * Apple's inputCallback().
   *
   * Since: 1.0
   */
  signals[SIGNAL_INPUT] =
    g_signal_new ("input", IO_TYPE_STREAM, G_SIGNAL_RUN_LAST,
                  G_STRUCT_OFFSET (IOStreamClass, input_callback),
                  NULL, NULL, NULL, G_TYPE_NONE, 1, G_TYPE_UINT);

  /**
   * IOStream::input-sync:
   * @self: the stream
   * @token: the token of the call
   *
   * Emitted in the context of the stream when the client notifies and waits,
   * with io_stream_connection_send_input_sync_notification(): it goes on when
   * the handlers have returned. What it enqueued before has been announced with
   * #IOStream::input. A class that overrides
   * #IOStreamClass.input_sync_callback() has no such signal unless it chains
   * up; only there a call can be refused. If nobody listens to it,
   * #IOStream::input is emitted in its place. Apple's inputSyncCallback().
   *
   * Since: 1.0
   */
  signals[SIGNAL_INPUT_SYNC] =
    g_signal_new ("input-sync", IO_TYPE_STREAM, G_SIGNAL_RUN_LAST, 0,
                  NULL, NULL, NULL, G_TYPE_NONE, 1, G_TYPE_UINT);

  /**
   * IOStream::memory-changed:
   * @self: the stream
   *
   * Emitted in the context of the stream when buffers got new memory: before
   * a client opens it, because the last client could write the old one, or
   * after io_stream_buffer_set_data_buffer() and its sister. Addresses of the
   * buffers asked for earlier are no longer good; maps that somebody holds
   * are, and addresses of a buffer that the owner has, until it gives that
   * away. For the latter the old memory stays, of up to 8 clients: while the
   * owner sits on one and the same buffer and 8 of them came and went, the next
   * one cannot open (%IO_STREAM_ERROR_NO_RESOURCES).
   *
   * Since: 1.0
   */
  signals[SIGNAL_MEMORY_CHANGED] =
    g_signal_new ("memory-changed", IO_TYPE_STREAM, G_SIGNAL_RUN_LAST,
                  0, NULL, NULL, NULL, G_TYPE_NONE, 0);
}

static void
io_stream_class_init (IOStreamClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  IOServiceClass *service_class = IO_SERVICE_CLASS (klass);

  object_class->constructed = io_stream_constructed;
  object_class->dispose = io_stream_dispose;
  object_class->finalize = io_stream_finalize;

  service_class->handle_open = io_stream_handle_open;
  service_class->handle_close = io_stream_handle_close;
  service_class->handle_is_open = io_stream_handle_is_open;
  service_class->new_user_client = io_stream_new_user_client;

  klass->start = io_stream_real_change;
  klass->stop = io_stream_real_change;
  klass->suspend = io_stream_real_change;
  klass->set_mode = io_stream_real_set_mode;
  klass->input_sync_callback = io_stream_real_input_sync_callback;

  _io_stream_class_init_properties (object_class);
  define_signals ();
  define_loan_signals ();
}

/* Whoever waits for the stream waits in vain from now on. */
static void
inactive_cb (IOStream *self)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);

  g_mutex_lock (&priv->lock);
  priv->terminated = TRUE;
  g_cond_broadcast (&priv->cond);
  g_mutex_unlock (&priv->lock);
}

static void
io_stream_init (IOStream *self)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);

  g_mutex_init (&priv->lock);
  g_cond_init (&priv->cond);
  priv->buffers = g_ptr_array_new_with_free_func (g_object_unref);
  priv->links = g_ptr_array_new ();
  priv->old_pools = g_ptr_array_new_with_free_func (_io_stream_free_old_pool);
  priv->exposed = g_hash_table_new_full (NULL, NULL, (GDestroyNotify) _io_memory_backing_unref, NULL);
  priv->fork_count = _io_fork_count ();
  priv->thread = g_thread_self ();
  g_signal_connect (self, "notify::inactive", G_CALLBACK (inactive_cb), NULL);
}

/**
 * io_stream_new:
 * @name: (nullable): the name under which it will be registered
 * @buffer_count: number of buffers
 * @data_size: size of the data part of each, in bytes
 * @control_size: size of the control part of each, in bytes; 0 for none
 * @error: return location for an error
 *
 * Makes a stream in output mode with buffers of its own, in one sealed piece
 * of memory that clients can only read.
 *
 * Any thread; the stream belongs to the thread-default context of this one.
 * Fails with %IO_STREAM_ERROR_NO_MEMORY or %IO_STREAM_ERROR_NO_RESOURCES if
 * the system does not give the memory.
 *
 * Returns: (transfer full): the new stream, or %NULL with @error set
 * Since: 1.0
 */
IOStream *
io_stream_new (const char  *name,
               guint        buffer_count,
               gsize        data_size,
               gsize        control_size,
               GError     **error)
{
  g_return_val_if_fail (buffer_count <= IO_STREAM_MAX_BUFFERS, NULL);
  g_return_val_if_fail (data_size <= G_MAXUINT32 && control_size <= G_MAXUINT32, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_initable_new (IO_TYPE_STREAM, NULL, error,
                         "name", name,
                         "buffer-count", buffer_count,
                         "data-size", (guint64) data_size,
                         "control-size", (guint64) control_size,
                         NULL);
}

/**
 * io_stream_new_with_buffers:
 * @name: (nullable): the name under which it will be registered
 * @buffers: (element-type IOStreamBuffer): the buffers; they get their numbers
 *   in this order
 * @mode: which way payload travels
 * @queue_length: how many buffers a client can hold at a time; 0 for all
 * @error: return location for an error
 *
 * Makes a stream with buffers that exist. Apple's withBuffers().
 *
 * Any thread; the stream belongs to the thread-default context of this one.
 * Fails as io_stream_add_buffers().
 *
 * Returns: (transfer full): the new stream, or %NULL with @error set
 * Since: 1.0
 */
IOStream *
io_stream_new_with_buffers (const char    *name,
                            GPtrArray     *buffers,
                            IOStreamMode   mode,
                            guint          queue_length,
                            GError       **error)
{
  g_autoptr (IOStream) self = NULL;

  g_return_val_if_fail (buffers != NULL, NULL);
  g_return_val_if_fail (mode <= IO_STREAM_MODE_INPUT_OUTPUT, NULL);
  g_return_val_if_fail (queue_length <= IO_STREAM_MAX_BUFFERS, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  self = g_initable_new (IO_TYPE_STREAM, NULL, error,
                         "name", name,
                         "mode", mode,
                         "queue-length", queue_length,
                         NULL);
  if (self == NULL || !io_stream_add_buffers (self, buffers, error))
    return NULL;

  return g_steal_pointer (&self);
}
