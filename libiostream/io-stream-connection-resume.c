/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-connection-private.h"

#include "io-connection-reach-private.h"

/* A connection that outlives its owner. From the loss on there is a reach
 * (io-connection-reach.c), which the source here takes forward in the context,
 * and a wait in whoever sleeps. What is to be signalled is left to the
 * source. */

/* After so many owners in a row that ended without having sent anything, the
 * next one is given time. */
#define MAX_BARREN     4
#define MIN_DELAY_MSEC 10
#define MAX_DELAY_MSEC 1000

struct _IOStreamResume {
  gboolean       on;
  gboolean       waiting;
  guint          generation;
  gboolean       counted;     /* the present owner */
  gboolean       expected;    /* the wait was there before the present owner */
  IOStreamState  wish;        /* what the client asked for last */
  IONamesWait   *wait;
  IOReach       *reach;
  GSource       *source;
  GHashTable    *retired;     /* memory of the last owner that somebody may look at */
  guint64        received;    /* when the present one came */
  guint          n_barren;

  /* to be signalled */
  gboolean       end_due;
  GError        *end_reason;
  gboolean       resumed_due;
};

static guint resumed_signal;

static IOStreamResume *
get_resume (IOStreamConnection *self)
{
  return _io_stream_connection_get_private (self)->resume;
}

void
_io_stream_connection_init_resume (IOStreamConnection *self)
{
  _io_stream_connection_get_private (self)->resume = g_new0 (IOStreamResume, 1);
}

void
_io_stream_connection_class_init_resume (IOStreamConnectionClass *klass)
{
  /**
   * IOStreamConnection::resumed:
   * @self: the connection
   * @generation: #IOStreamConnection:generation
   *
   * Emitted in the context of the connection when another owner has the stream
   * open for it, after the #IOConnection::disconnected of the last one. If this
   * client had started the stream, it is started, and its output is announced
   * after this. Buffers, sequence numbers and
   * #IOStreamConnection:lost are those of the new owner; a program that waits by
   * itself may have taken some of its entries before. If several owners came
   * and went since the context ran last, only the last is told of.
   *
   * Since: 1.0
   */
  resumed_signal =
    g_signal_new ("resumed", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST,
                  G_STRUCT_OFFSET (IOStreamConnectionClass, resumed),
                  NULL, NULL, NULL, G_TYPE_NONE, 1, G_TYPE_UINT);
}

static void
set_waiting (IOStreamConnection *self,
             gboolean            waiting)
{
  IOStreamResume *resume = get_resume (self);

  if (resume->waiting == waiting)
    return;

  resume->waiting = waiting;
  g_object_notify (G_OBJECT (self), "waiting");
}

static void
forget_tellings (IOStreamResume *resume)
{
  resume->end_due = FALSE;
  resume->resumed_due = FALSE;
  g_clear_error (&resume->end_reason);
}

/* The news of the owner come before its entries. */
static void
announce_from_now (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  if (priv->usable && priv->notify_in_context && !_io_notification_port_is_attached (priv->port))
    _io_notification_port_attach (priv->port, _io_connection_get_context (IO_CONNECTION (self)));
}

static void
tell (IOStreamConnection *self)
{
  IOStreamResume *resume = get_resume (self);
  g_autoptr (GError) reason = g_steal_pointer (&resume->end_reason);
  gboolean end_due = resume->end_due;

  resume->end_due = FALSE;
  if (end_due)
    g_signal_emit_by_name (self, "disconnected", reason);
  if (!resume->resumed_due)
    return;

  resume->resumed_due = FALSE;
  g_signal_emit (self, resumed_signal, 0, resume->generation);
  announce_from_now (self);
}

static void
finish (IOStreamConnection *self)
{
  IOStreamResume *resume = get_resume (self);
  const GError *reason = NULL;

  if (_io_reach_is_untold (resume->reach, &reason))
    {
      resume->end_due = TRUE;
      g_clear_error (&resume->end_reason);
      resume->end_reason = reason != NULL ? g_error_copy (reason) : NULL;
    }
  g_clear_pointer (&resume->reach, _io_reach_free);
  resume->expected = TRUE;
  resume->resumed_due = TRUE;
  g_source_set_ready_time (resume->source, 0);
  set_waiting (self, FALSE);
}

static void
fail (IOStreamConnection *self,
      GError             *error)
{
  IOStreamResume *resume = get_resume (self);

  g_prefix_error (&error, "Resuming stream “%s”: ", io_connection_get_name (IO_CONNECTION (self)));
  g_clear_pointer (&resume->reach, _io_reach_free);
  forget_tellings (resume);
  _io_connection_put_down (IO_CONNECTION (self), error, TRUE);
  set_waiting (self, FALSE);
}

static void
advance (IOStreamConnection *self)
{
  G_GNUC_UNUSED g_autoptr (IOStreamConnection) keep = g_object_ref (self);
  IOStreamResume *resume = get_resume (self);
  IOReach *reach = resume->reach;
  g_autoptr (GError) error = NULL;
  IOReachState state;

  if (reach == NULL)
    return;

  state = _io_reach_step (reach, &error);
  /* Somebody may have ended it. */
  if (resume->reach != reach)
    return;

  if (state == IO_REACH_DONE)
    finish (self);
  else if (state == IO_REACH_FAILED)
    fail (self, g_steal_pointer (&error));
}

static gboolean
step_cb (gpointer user_data)
{
  g_autoptr (IOStreamConnection) self = g_weak_ref_get (user_data);

  if (self == NULL || !_io_connection_in_own_process (IO_CONNECTION (self)))
    return G_SOURCE_REMOVE;

  advance (self);
  tell (self);

  return G_SOURCE_CONTINUE;
}

static void
weak_ref_free (gpointer data)
{
  g_weak_ref_clear (data);
  g_free (data);
}

static void
ensure_source (IOStreamConnection *self)
{
  IOStreamResume *resume = get_resume (self);
  GWeakRef *weak_ref;

  if (resume->source != NULL)
    return;

  weak_ref = g_new0 (GWeakRef, 1);
  g_weak_ref_init (weak_ref, self);
  resume->source = _io_reach_source_new ("[iostream] resume", step_cb, weak_ref, weak_ref_free);
  g_source_attach (resume->source, _io_connection_get_context (IO_CONNECTION (self)));
}

/* Only what has a name can be found again; a name that an owner told over a
 * socket is not one that somebody asked for. */
static gboolean
can_resume (IOStreamConnection *self)
{
  IOConnectionPrivate *connection = _io_connection_get_private (IO_CONNECTION (self));

  return get_resume (self)->on && !connection->local && !connection->given &&
         connection->name != NULL && _io_connection_in_own_process (IO_CONNECTION (self));
}

static gboolean
ensure_wait (IOStreamConnection  *self,
             GError             **error)
{
  IOStreamResume *resume = get_resume (self);

  if (resume->wait == NULL)
    {
      resume->wait = _io_names_wait_new (io_connection_get_name (IO_CONNECTION (self)), error);
      resume->expected = FALSE;
    }

  return resume->wait != NULL;
}

static guint
get_delay (IOStreamConnection *self)
{
  IOStreamResume *resume = get_resume (self);

  if (_io_stream_connection_get_private (self)->received != resume->received)
    resume->n_barren = 0;
  else
    resume->n_barren = MIN (resume->n_barren + 1, MAX_BARREN + 8);

  return resume->n_barren <= MAX_BARREN ? 0
         : MIN ((guint) MIN_DELAY_MSEC << (resume->n_barren - MAX_BARREN), (guint) MAX_DELAY_MSEC);
}

static void
begin_reach (IOStreamConnection *self)
{
  IOStreamResume *resume = get_resume (self);
  IOConnectionPrivate *connection = _io_connection_get_private (IO_CONNECTION (self));

  ensure_source (self);
  resume->reach = _io_reach_new (IO_CONNECTION (self), resume->wait, TRUE, connection->open_options);
  if (resume->expected)
    _io_reach_expect (resume->reach);
  _io_reach_put_off (resume->reach, get_delay (self));
  _io_reach_set_source (resume->reach, resume->source);
  g_source_set_ready_time (resume->source, 0);
}

void
_io_stream_connection_begin_resume (IOStreamConnection *self)
{
  IOStreamResume *resume = get_resume (self);
  IOConnectionPrivate *connection = _io_connection_get_private (IO_CONNECTION (self));
  GError *error = NULL;

  if (!can_resume (self) || resume->reach != NULL || connection->link != IO_LINK_LOST)
    return;

  /* The end of this owner is still to be told, and is enough. */
  forget_tellings (resume);
  if (!ensure_wait (self, &error))
    {
      _io_connection_put_down (IO_CONNECTION (self), error, connection->end_due);
      return;
    }

  resume->counted = FALSE;
  begin_reach (self);
  set_waiting (self, TRUE);
}

void
_io_stream_connection_end_resume (IOStreamConnection *self)
{
  IOStreamResume *resume = get_resume (self);

  forget_tellings (resume);
  if (resume->reach == NULL)
    return;

  g_clear_pointer (&resume->reach, _io_reach_free);
  set_waiting (self, FALSE);
}

void
_io_stream_connection_drop_resume (IOStreamConnection *self)
{
  IOStreamResume *resume = get_resume (self);

  resume->on = FALSE;
  _io_stream_connection_end_resume (self);
  if (resume->source != NULL)
    g_source_destroy (resume->source);
  g_clear_pointer (&resume->source, g_source_unref);
  g_clear_pointer (&resume->wait, _io_names_wait_free);
}

void
_io_stream_connection_free_resume (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  g_clear_pointer (&priv->resume->retired, g_hash_table_unref);
  g_clear_pointer (&priv->resume, g_free);
}

/* The way of an open. */

void
_io_stream_connection_note_wish (IOStreamConnection *self,
                                 IOStreamState       state)
{
  get_resume (self)->wish = state;
}

static GHashTable *
copy_memories (GHashTable *memories)
{
  GHashTable *copy = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) _io_memory_backing_unref);
  GHashTableIter iter;
  gpointer number, memory;

  g_hash_table_iter_init (&iter, memories);
  while (g_hash_table_iter_next (&iter, &number, &memory))
    g_hash_table_insert (copy, number, _io_memory_backing_ref (memory));

  return copy;
}

/* Somebody may be reading at an address that was good a moment ago. */
void
_io_stream_connection_begin_epoch (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  g_autoptr (GHashTable) old = NULL;

  g_mutex_lock (&priv->lock);
  priv->epoch++;
  old = g_steal_pointer (&priv->resume->retired);
  if (priv->resume->reach != NULL && priv->held > 0)
    priv->resume->retired = copy_memories (priv->memories);
  if (priv->resume->reach != NULL)
    priv->lost = 0;
  g_mutex_unlock (&priv->lock);
}

void
_io_stream_connection_note_open (IOStreamConnection *self)
{
  IOStreamResume *resume = get_resume (self);

  resume->received = _io_stream_connection_get_private (self)->received;
  if (resume->reach == NULL)
    resume->wish = IO_STREAM_STATE_STOPPED;
  if (resume->reach == NULL && can_resume (self))
    ensure_wait (self, NULL);
  if (resume->reach == NULL && resume->counted)
    return;

  resume->counted = TRUE;
  resume->generation++;
  _io_stream_connection_drop_statistics (self);
  g_object_notify (G_OBJECT (self), "generation");
}

gboolean
_io_stream_connection_ask_start (IOStreamConnection *self,
                                 IOOpcode            answered,
                                 IOConnectionCall   *next)
{
  IOStreamResume *resume = get_resume (self);
  IOStreamState wish = resume->wish;

  next->opcode = 0;
  if (answered == IO_OPCODE_READY && resume->reach != NULL && wish != IO_STREAM_STATE_STOPPED)
    next->opcode = IO_OPCODE_START;
  else if (answered == IO_OPCODE_START && wish == IO_STREAM_STATE_SUSPENDED)
    next->opcode = IO_OPCODE_SUSPEND;
  else if (answered != IO_OPCODE_START && answered != IO_OPCODE_SUSPEND)
    return FALSE;

  if (next->opcode != 0)
    next->args = g_variant_new ("()");
  else
    _io_stream_connection_reach_state (self, wish);

  return TRUE;
}

/* For those who wait by themselves. */

gboolean
_io_stream_connection_is_resuming (IOStreamConnection *self)
{
  IOConnectionPrivate *connection = _io_connection_get_private (IO_CONNECTION (self));

  if (!can_resume (self))
    return FALSE;

  if (connection->link == IO_LINK_LOST && connection->phase != IO_PHASE_OPENING)
    _io_connection_run_closed (IO_CONNECTION (self));

  return get_resume (self)->reach != NULL;
}

gboolean
_io_stream_connection_try_resume (IOStreamConnection *self)
{
  _io_connection_poll (IO_CONNECTION (self));
  advance (self);

  return get_resume (self)->reach != NULL;
}

int
_io_stream_connection_get_resume_fd (IOStreamConnection *self)
{
  return _io_reach_get_fd (get_resume (self)->reach);
}

gboolean
_io_stream_connection_sleep_resume (IOStreamConnection  *self,
                                    gint64               deadline,
                                    GCancellable        *cancellable,
                                    GError             **error)
{
  return _io_reach_sleep (get_resume (self)->reach, deadline, cancellable, error);
}

/**
 * io_stream_connection_get_resume:
 * @self: a connection
 *
 * Gets #IOStreamConnection:resume.
 *
 * In the thread of the connection.
 *
 * Returns: whether the connection outlives its owner
 * Since: 1.0
 */
gboolean
io_stream_connection_get_resume (IOStreamConnection *self)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), FALSE);

  return get_resume (self)->on;
}

/**
 * io_stream_connection_set_resume:
 * @self: a connection
 * @resume: whether it outlives its owner
 *
 * Sets whether the connection waits for the next owner when the one that has
 * the stream open for it dies or ends it; see
 * [Resuming][io-stream-connection-resuming]. Turned off while it waits, it is
 * a connection that was lost. Turned on after the loss it does nothing for that
 * one.
 *
 * It works for connections that were made for a name; those made for a socket
 * or an object end with it.
 *
 * In the thread of the connection.
 *
 * Since: 1.0
 */
void
io_stream_connection_set_resume (IOStreamConnection *self,
                                 gboolean            resume)
{
  g_return_if_fail (IO_IS_STREAM_CONNECTION (self));

  if (get_resume (self)->on == !!resume)
    return;

  if (!resume)
    {
      _io_stream_connection_drop_resume (self);
      announce_from_now (self);
    }
  get_resume (self)->on = !!resume;
  if (can_resume (self) && io_connection_is_open (IO_CONNECTION (self)))
    ensure_wait (self, NULL);
  g_object_notify (G_OBJECT (self), "resume");
}

/**
 * io_stream_connection_is_waiting:
 * @self: a connection
 *
 * Tells whether the owner is gone and the next one is waited for:
 * #IOStreamConnection:waiting.
 *
 * In the thread of the connection.
 *
 * Returns: %TRUE if so
 * Since: 1.0
 */
gboolean
io_stream_connection_is_waiting (IOStreamConnection *self)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), FALSE);

  return get_resume (self)->waiting;
}

/**
 * io_stream_connection_get_generation:
 * @self: a connection
 *
 * Gets how many owners have had the stream open for this connection: 0 before
 * the first open, and then 1 more with each resumption.
 *
 * In the thread of the connection.
 *
 * Returns: #IOStreamConnection:generation
 * Since: 1.0
 */
guint
io_stream_connection_get_generation (IOStreamConnection *self)
{
  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), 0);

  return get_resume (self)->generation;
}
