/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-connection-private.h"

#include "io-connection-internal-private.h"
#include "io-fork-private.h"
#include "io-stream-buffer-queue-private.h"

#include <unistd.h>

/* An open is a row of calls: OPEN brings the regions and the bell, what the
 * owner says of its buffers follows, READY says that all is mapped. The owner may be hostile, so
 * every answer is held against what is possible. */

#define fail_open(self, error, ...) \
  (_io_connection_set_breach (IO_CONNECTION (self), error, "Cannot open stream", __VA_ARGS__), FALSE)

static int
steal_fd (int  *fds,
          guint index)
{
  return g_steal_fd (&fds[index]);
}

static void
close_fds (int   *fds,
           gsize  n_fds)
{
  for (gsize i = 0; i < n_fds; i++)
    if (fds[i] >= 0)
      close (fds[i]);
  g_free (fds);
}

static void
make_port (IOStreamConnection *self,
           gboolean            claimed,
           int                 bell)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  priv->port = _io_notification_port_new (bell, &priv->own.page->bell_epoch,
                                          &priv->peer.page->bell_epoch,
                                          &_io_stream_connection_port_funcs, self);
  _io_fork_add_lifeline (bell);
  _io_ring_init (&priv->output, priv->peer.page->entries, priv->peer.entry_count, priv->peer.start_index);
  _io_ring_init (&priv->input, priv->own.page->entries, priv->own.entry_count, priv->own.start_index);
  _io_claim_init (&priv->claim, claimed ? priv->own.claim : NULL, priv->peer.start_index);
  priv->announced = priv->dispatched = priv->peer.start_index;
  priv->output_queue = _io_stream_buffer_queue_new (&priv->peer, &priv->own);
  priv->input_queue = _io_stream_buffer_queue_new (&priv->own, &priv->peer);
  priv->attached = TRUE;
}

gboolean
_io_stream_connection_blame (IOStreamConnection  *self,
                             GError             **error)
{
  g_prefix_error (error, "The owner of stream “%s” sent memory of no use: ",
                  io_connection_get_name (IO_CONNECTION (self)));

  return FALSE;
}

static gboolean
attach_regions (IOStreamConnection  *self,
                guint32              entry_count,
                gboolean             claimed,
                GUnixFDList         *list,
                GError             **error)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  int n_fds = 0;
  int *fds = g_unix_fd_list_steal_fds (list, &n_fds);
  gboolean done;

  done = _io_region_attach (&priv->peer, IO_ABI_SIDE_OWNER, steal_fd (fds, 0), entry_count, error) &&
         _io_region_attach (&priv->own, IO_ABI_SIDE_CLIENT, steal_fd (fds, 1), entry_count, error);
  if (done)
    make_port (self, claimed, steal_fd (fds, 2));
  close_fds (fds, n_fds);

  return done || _io_stream_connection_blame (self, error);
}

static gboolean
handle_open (IOStreamConnection  *self,
             GVariant            *answer,
             GUnixFDList         *fds,
             GError             **error)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  g_autoptr (GVariant) dict = g_variant_get_child_value (answer, 0);
  guint32 entry_count = 0, buffer_count = 0, mode = IO_STREAM_MODE_OUTPUT;
  guint32 delivery = IO_STREAM_DELIVERY_BLOCK;

  if (g_variant_n_children (dict) == 0)
    return fail_open (self, error, "it is a service of class %s, which is no stream",
                      io_connection_get_service_class (IO_CONNECTION (self)));
  if (!g_variant_lookup (dict, "entry-count", "u", &entry_count) ||
      !g_variant_lookup (dict, "buffer-count", "u", &buffer_count) ||
      !g_variant_lookup (dict, "mode", "u", &mode))
    return fail_open (self, error, "the owner's answer lacks a value");
  g_variant_lookup (dict, "delivery", "u", &delivery);
  if (entry_count == 0 || (entry_count & (entry_count - 1)) != 0 || entry_count > IO_ABI_MAX_ENTRIES)
    return fail_open (self, error, "the owner offers queues of %u entries", entry_count);
  if (buffer_count > IO_STREAM_MAX_BUFFERS)
    return fail_open (self, error, "the owner offers %u buffers", buffer_count);
  if (mode > IO_STREAM_MODE_INPUT_OUTPUT)
    return fail_open (self, error, "there is no mode %u", mode);
  if (delivery != (guint32) priv->asked_delivery)
    return fail_open (self, error, "the owner delivers in way %u, and way %u was asked for", delivery,
                      (guint) priv->asked_delivery);
  if (fds == NULL || g_unix_fd_list_get_length (fds) != 3)
    return fail_open (self, error, "the owner sent %d descriptors in place of 3",
                      fds != NULL ? g_unix_fd_list_get_length (fds) : 0);

  /* What the last open left for late entries goes now. */
  _io_stream_connection_begin_epoch (self);
  _io_stream_connection_detach (self);
  if (!attach_regions (self, entry_count, delivery >= IO_STREAM_DELIVERY_DROP_OLDEST, fds, error))
    return FALSE;

  priv->opened_mode = (IOStreamMode) mode;
  _io_stream_connection_begin_description (self, 0, buffer_count);

  return TRUE;
}

static void
become_usable (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  g_mutex_lock (&priv->lock);
  priv->usable = TRUE;
  priv->thread = g_thread_self ();
  g_mutex_unlock (&priv->lock);

  /* Who listens may end it all. */
  g_object_freeze_notify (G_OBJECT (self));
  priv->state_seen = IO_STREAM_STATE_STOPPED;
  _io_stream_connection_note_open (self);
  if (priv->notify_in_context && !io_stream_connection_is_waiting (self))
    _io_notification_port_attach (priv->port, _io_connection_get_context (IO_CONNECTION (self)));
  _io_stream_connection_poke (self);

  _io_stream_connection_keep_mode (self, priv->opened_mode);
  _io_stream_connection_notify_state (self);
  g_object_notify (G_OBJECT (self), "buffer-count");
  g_object_thaw_notify (G_OBJECT (self));
}

/* Leaves @next alone when all of the stream is known and mapped. */
static gboolean
describe_step (IOStreamConnection  *self,
               IOOpcode             opcode,
               GVariant            *answer,
               GUnixFDList         *fds,
               IOConnectionCall    *next,
               GError             **error)
{
  gboolean done;

  if (opcode == IO_OPCODE_OPEN)
    done = handle_open (self, answer, fds, error);
  else
    done = _io_stream_connection_take_answer (self, opcode, answer, fds, error);

  return done && _io_stream_connection_ask_next (self, next, error);
}

static gboolean
open_step (IOConnection      *connection,
           IOOpcode           opcode,
           GVariant          *answer,
           GUnixFDList       *fds,
           IOConnectionCall  *next,
           GError           **error)
{
  IOStreamConnection *self = IO_STREAM_CONNECTION (connection);

  if (opcode == IO_OPCODE_READY)
    {
      become_usable (self);
      _io_stream_connection_ask_start (self, opcode, next);
      return TRUE;
    }
  if (_io_stream_connection_ask_start (self, opcode, next))
    return TRUE;

  if (opcode == IO_OPCODE_ATTACH_INTERRUPTS)
    _io_stream_connection_begin_interrupts (self);
  else if (!describe_step (self, opcode, answer, fds, next, error))
    return FALSE;

  if (next->opcode == 0 && !_io_stream_connection_ask_interrupts (self, next))
    {
      next->opcode = IO_OPCODE_READY;
      next->args = g_variant_new ("()");
    }

  return TRUE;
}

static void
forget_object (IOStreamClientBuffer *buffer)
{
  if (buffer->object == NULL)
    return;

  _io_stream_buffer_set_home (buffer->object, NULL, NULL, IO_STREAM_BUFFER_ID_INVALID);
  g_clear_object (&buffer->object);
}

/* Forgets all of an open. Views that somebody has keep their memory. */
void
_io_stream_connection_detach (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  g_autoptr (GArray) buffers = NULL;

  g_mutex_lock (&priv->lock);
  priv->attached = FALSE;
  priv->usable = FALSE;
  priv->by_vector = FALSE;
  _io_stream_connection_drop_sync_bell_locked (self);
  if (priv->port != NULL)
    _io_notification_port_invalidate (priv->port);
  g_clear_object (&priv->port);
  priv->claim.word = NULL;
  _io_region_clear (&priv->own);
  _io_region_clear (&priv->peer);
  buffers = g_steal_pointer (&priv->buffers);
  priv->buffers = g_array_new (FALSE, TRUE, sizeof (IOStreamClientBuffer));
  g_hash_table_remove_all (priv->memories);
  priv->held = 0;
  priv->has_sequence = FALSE;
  priv->has_run = FALSE;
  priv->revocation_seen = 0;
  priv->next_meant = 0;
  priv->generation = 0;
  priv->blocked = FALSE;
  g_mutex_unlock (&priv->lock);

  _io_stream_connection_drop_description (self);
  for (guint id = 0; id < buffers->len; id++)
    forget_object (&g_array_index (buffers, IOStreamClientBuffer, id));
  g_clear_object (&priv->output_queue);
  g_clear_object (&priv->input_queue);
}

/* The owner is gone. What it sent before can still be taken, and is announced
 * before anybody hears of the end. */
static void
keep_last_output (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  g_mutex_lock (&priv->lock);
  priv->usable = FALSE;
  g_mutex_unlock (&priv->lock);

  _io_notification_port_detach (priv->port);
  if (priv->notify_in_context &&
      _io_ring_is_published (&priv->output, MAX (_io_stream_connection_get_next (priv), priv->announced)))
    _io_stream_connection_announce_output (self);
}

static void
closed (IOConnection *connection)
{
  IOStreamConnection *self = IO_STREAM_CONNECTION (connection);
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  gboolean was_usable = priv->usable;
  gboolean lost = _io_connection_get_private (connection)->link == IO_LINK_LOST;

  _io_stream_connection_end_sync (self);
  if (was_usable && lost)
    keep_last_output (self);
  else if (!lost)
    _io_stream_connection_detach (self);

  priv->state_seen = IO_STREAM_STATE_CLOSED;
  priv->news &= ~(guint) IO_NEWS_BUFFERS;
  if (was_usable)
    priv->news |= IO_NEWS_STATE;
  if (was_usable && lost)
    _io_stream_connection_begin_resume (self);
  _io_stream_connection_tell (self);
  if (was_usable && !lost)
    g_object_notify (G_OBJECT (self), "buffer-count");
}

static void
add_options (IOConnection *connection,
             GVariantDict *options)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (IO_STREAM_CONNECTION (connection));

  priv->asked_delivery = priv->delivery;
  if (priv->delivery != IO_STREAM_DELIVERY_BLOCK)
    g_variant_dict_insert (options, "delivery", "u", (guint32) priv->delivery);
  if (priv->replay > 0)
    g_variant_dict_insert (options, "replay", "u", (guint32) priv->replay);
}

static void
give_up (IOConnection *connection)
{
  _io_stream_connection_end_resume (IO_STREAM_CONNECTION (connection));
}

const IOConnectionHooks _io_stream_connection_hooks = {
  open_step,
  closed,
  add_options,
  give_up
};
