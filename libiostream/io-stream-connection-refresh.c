/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-connection-private.h"

#include "io-connection-internal-private.h"
#include "io-fork-private.h"

/* The owner's page says in which state and mode the stream is, and how often
 * its set of buffers has changed. It may say anything. Somebody may look there
 * from the context, from a wait, or only by dequeuing: each of them goes one
 * step further when there are new buffers to ask for. */

IOStreamState
_io_stream_connection_read_state (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  guint32 state;

  if (!priv->usable || priv->fork_count != _io_fork_count ())
    return IO_STREAM_STATE_CLOSED;

  state = atomic_load_explicit (&priv->peer.page->state, memory_order_acquire);

  return state <= IO_STREAM_STATE_SUSPENDED ? (IOStreamState) state : IO_STREAM_STATE_CLOSED;
}

IOStreamMode
_io_stream_connection_read_mode (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  guint32 mode;

  if (!priv->usable || priv->fork_count != _io_fork_count ())
    return priv->mode;

  mode = atomic_load_explicit (&priv->peer.page->mode, memory_order_acquire);

  return mode <= IO_STREAM_MODE_INPUT_OUTPUT ? (IOStreamMode) mode : priv->mode;
}

/* The owner has buffers that are not known here. */
static gboolean
is_behind (IOStreamConnectionPrivate *priv)
{
  return priv->usable && priv->fork_count == _io_fork_count () &&
         atomic_load_explicit (&priv->peer.page->generation, memory_order_acquire) != priv->generation;
}

gboolean
_io_stream_connection_expects (IOStreamConnection *self,
                               guint32             buffer_id)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  return buffer_id >= priv->buffers->len && io_connection_is_connected (IO_CONNECTION (self)) &&
         (priv->refreshing || is_behind (priv));
}

/* Nobody is there any more to tell of a buffer: what is not known is lost. */
static gboolean
has_known_output (IOStreamConnectionPrivate *priv)
{
  guint64 next = _io_stream_connection_get_next (priv);
  guint64 end = next + priv->output.mask + 1;

  for (guint64 i = next; i < end && _io_ring_is_published (&priv->output, i); i++)
    if (_io_ring_peek_id (&priv->output, i) < priv->buffers->len)
      return TRUE;

  return FALSE;
}

/* One that is not known, and that nobody is expected to tell of, is a
 * violation: something to take all the same. */
gboolean
_io_stream_connection_has_output (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  guint64 next;
  guint32 id;

  if (!priv->attached || priv->fork_count != _io_fork_count ())
    return FALSE;

  next = _io_stream_connection_get_next (priv);
  if (!_io_ring_is_published (&priv->output, next))
    return (gint64) (next - priv->output.index) < 0;

  id = _io_ring_peek_id (&priv->output, next);
  if (G_LIKELY (id < priv->buffers->len))
    return TRUE;

  return io_connection_is_connected (IO_CONNECTION (self)) ? !_io_stream_connection_expects (self, id)
                                                           : has_known_output (priv);
}

gboolean
_io_stream_connection_has_news (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  return (priv->news != 0 && priv->news_source == NULL) ||
         _io_stream_connection_read_state (self) != priv->state_seen ||
         _io_stream_connection_read_mode (self) != priv->mode ||
         (priv->n_revoked != priv->n_revoked_told && (priv->news & IO_NEWS_REVOKED) == 0) ||
         _io_stream_connection_has_revocation (priv) ||
         (!priv->refreshing && is_behind (priv));
}

gboolean
_io_stream_connection_see_page (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  IOStreamState state = _io_stream_connection_read_state (self);
  IOStreamMode mode = _io_stream_connection_read_mode (self);
  IOStreamNews news = 0;

  if (state != priv->state_seen)
    news |= IO_NEWS_STATE;
  if (mode != priv->mode)
    news |= IO_NEWS_MODE;
  if (_io_stream_connection_has_revocation (priv))
    {
      g_mutex_lock (&priv->lock);
      if (priv->attached)
        _io_stream_connection_see_revocation_locked (priv);
      g_mutex_unlock (&priv->lock);
    }
  if (priv->n_revoked != priv->n_revoked_told && (priv->news & IO_NEWS_REVOKED) == 0)
    news |= IO_NEWS_REVOKED;
  priv->state_seen = state;
  priv->mode = mode;
  priv->news |= news;

  if (priv->refreshing || is_behind (priv))
    _io_stream_connection_refresh (self);

  return news != 0;
}

/* Asking for what is new. */

static void ask (IOStreamConnection *self);

/* The connection cannot go on: entries may come that it cannot take. */
static void
end_refresh (IOStreamConnection *self,
             GError             *error)
{
  _io_stream_connection_drop_description (self);
  _io_connection_fail (IO_CONNECTION (self), error);
}

/* Somebody may sit on the entry that could not be taken. */
static void
finish_refresh (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  priv->blocked = FALSE;
  priv->announced = priv->output.index;
  _io_stream_connection_tell_later (self, IO_NEWS_BUFFERS);
}

static void
answer_cb (IOConnection *connection,
           GVariant     *answer,
           GUnixFDList  *fds,
           const GError *error,
           gpointer      data)
{
  IOStreamConnection *self = IO_STREAM_CONNECTION (connection);
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  IOOpcode opcode = priv->description.asked;
  GError *local_error = NULL;

  /* It was closed meanwhile. */
  if (!priv->refreshing || GPOINTER_TO_UINT (data) != priv->refreshes)
    return;

  if (error != NULL)
    end_refresh (self, g_error_copy (error));
  else if (_io_stream_connection_take_answer (self, opcode, answer, fds, &local_error))
    ask (self);
  else
    end_refresh (self, local_error);
}

static void
ask (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  IOConnectionCall next = { 0, };
  GError *error = NULL;

  if (!_io_stream_connection_ask_next (self, &next, &error))
    {
      end_refresh (self, error);
      return;
    }
  if (next.opcode == 0)
    {
      finish_refresh (self);
      return;
    }

  priv->description.asked = next.opcode;
  if (!_io_connection_start_direct_call (IO_CONNECTION (self), next.opcode, next.args, answer_cb,
                                         GUINT_TO_POINTER (priv->refreshes), &error))
    end_refresh (self, error);
}

/* One that knows nothing new is a lie, which the answer then shows. */
static void
begin_refresh (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  _io_stream_connection_begin_description (self, priv->buffers->len, priv->buffers->len + 1);
  priv->refreshing = TRUE;
  ask (self);
}

/* A service of this very thread has nobody else to answer for it. */
static void
look_for_answer (IOConnection *connection)
{
  if (_io_connection_get_private (connection)->local &&
      _io_connection_enter (connection, IO_OPCODE_GET_BUFFERS, NULL))
    {
      _io_connection_serve (connection);
      _io_connection_leave (connection);
    }

  _io_connection_poll (connection);
}

void
_io_stream_connection_refresh (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  /* Within an announcement the answer is left to the context, so that the news
   * of the buffers comes before their entries. */
  if (priv->refreshing && priv->announcing)
    return;
  if (priv->refreshing)
    look_for_answer (IO_CONNECTION (self));
  else if (is_behind (priv))
    begin_refresh (self);
}

/* Telling. */

void
_io_stream_connection_tell (IOStreamConnection *self)
{
  G_GNUC_UNUSED g_autoptr (IOStreamConnection) keep = g_object_ref (self);
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  IOStreamNews news = priv->news;
  guint64 n_revoked = priv->n_revoked, n_told = priv->n_revoked_told;

  priv->news = 0;
  if (news & IO_NEWS_REVOKED)
    priv->n_revoked_told = n_revoked;
  if (priv->news_source != NULL)
    g_source_destroy (priv->news_source);
  g_clear_pointer (&priv->news_source, g_source_unref);

  if (news & IO_NEWS_STATE)
    _io_stream_connection_notify_state (self);
  if (news & IO_NEWS_MODE)
    g_object_notify (G_OBJECT (self), "mode");
  if (news & IO_NEWS_BUFFERS)
    _io_stream_connection_announce_buffers (self);
  if ((news & IO_NEWS_REVOKED) && n_revoked != n_told)
    _io_stream_connection_announce_revoked (self, (guint) MIN (n_revoked - n_told, G_MAXUINT));
}

static gboolean
tell_cb (gpointer user_data)
{
  g_autoptr (IOStreamConnection) self = g_weak_ref_get (user_data);

  if (self != NULL)
    _io_stream_connection_tell (self);

  return G_SOURCE_REMOVE;
}

static void
weak_ref_free (gpointer data)
{
  g_weak_ref_clear (data);
  g_free (data);
}

/* Who blocks may never run the context: what waits there is one source, and
 * keeps nothing alive. */
void
_io_stream_connection_tell_aside (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  GWeakRef *weak_ref;

  if (priv->news == 0 || priv->news_source != NULL)
    return;

  weak_ref = g_new0 (GWeakRef, 1);
  g_weak_ref_init (weak_ref, self);
  priv->news_source = g_idle_source_new ();
  g_source_set_callback (priv->news_source, tell_cb, weak_ref, weak_ref_free);
  g_source_attach (priv->news_source, _io_connection_get_context (IO_CONNECTION (self)));
}

void
_io_stream_connection_tell_later (IOStreamConnection *self,
                                  IOStreamNews        news)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  priv->news |= news;
  if (priv->news == 0 || priv->news_source != NULL)
    return;

  /* Before the output that may need it. */
  if (priv->port != NULL && _io_notification_port_is_attached (priv->port))
    _io_notification_port_wake (priv->port);
  else
    _io_stream_connection_tell_aside (self);
}
