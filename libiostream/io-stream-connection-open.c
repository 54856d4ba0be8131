/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-connection-private.h"

#include "io-connection-internal-private.h"
#include "io-fork-private.h"
#include "io-stream-buffer-queue-private.h"

#include <unistd.h>

/* An open is a row of calls: OPEN brings the regions and the bell,
 * GET_BUFFERS describes the buffers, GET_MEMORY brings each piece of memory
 * they lie in, READY says that all is mapped. The owner may be hostile, so
 * every answer is held against what is possible. */

static gboolean
fail_open (IOStreamConnection  *self,
           GError             **error,
           const char          *format,
           ...) G_GNUC_PRINTF (3, 4);

static gboolean
fail_open (IOStreamConnection  *self,
           GError             **error,
           const char          *format,
           ...)
{
  g_autofree char *why = NULL;
  va_list args;

  va_start (args, format);
  why = g_strdup_vprintf (format, args);
  va_end (args);

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR,
               "Cannot open stream “%s”: %s", io_connection_get_name (IO_CONNECTION (self)), why);
  return FALSE;
}

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
           int                 bell)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  priv->port = _io_notification_port_new (bell, &priv->own.page->bell_epoch,
                                          &priv->peer.page->bell_epoch,
                                          &_io_stream_connection_port_funcs, self);
  _io_fork_add_lifeline (bell);
  _io_ring_init (&priv->output, priv->peer.page->entries, priv->peer.entry_count, priv->peer.start_index);
  _io_ring_init (&priv->input, priv->own.page->entries, priv->own.entry_count, priv->own.start_index);
  priv->announced = priv->dispatched = priv->peer.start_index;
  priv->output_queue = _io_stream_buffer_queue_new (&priv->peer, &priv->own);
  priv->input_queue = _io_stream_buffer_queue_new (&priv->own, &priv->peer);
  priv->attached = TRUE;
}

static gboolean
attach_regions (IOStreamConnection  *self,
                guint32              entry_count,
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
    make_port (self, steal_fd (fds, 2));
  close_fds (fds, n_fds);

  return done;
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

  if (!g_variant_lookup (dict, "entry-count", "u", &entry_count) ||
      !g_variant_lookup (dict, "buffer-count", "u", &buffer_count) ||
      !g_variant_lookup (dict, "mode", "u", &mode))
    return fail_open (self, error, "the owner's answer lacks a value");
  if (entry_count == 0 || (entry_count & (entry_count - 1)) != 0 || entry_count > IO_ABI_MAX_ENTRIES)
    return fail_open (self, error, "the owner offers queues of %u entries", entry_count);
  if (buffer_count > IO_STREAM_MAX_BUFFERS)
    return fail_open (self, error, "the owner offers %u buffers", buffer_count);
  if (mode > IO_STREAM_MODE_INPUT_OUTPUT)
    return fail_open (self, error, "there is no mode %u", mode);
  if (fds == NULL || g_unix_fd_list_get_length (fds) != 3)
    return fail_open (self, error, "the owner sent %d descriptors in place of 3",
                      fds != NULL ? g_unix_fd_list_get_length (fds) : 0);

  /* What the last open left for late entries goes now. */
  _io_stream_connection_detach (self);
  if (!attach_regions (self, entry_count, fds, error))
    return FALSE;

  priv->opened_mode = (IOStreamMode) mode;
  priv->buffer_count = buffer_count;

  return TRUE;
}

static gboolean
handle_buffers (IOStreamConnection  *self,
                GVariant            *answer,
                GError             **error)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  g_autoptr (GVariantIter) rows = NULL;
  IOStreamClientBuffer buffer = { 0, };
  guint64 data_size, control_size;
  guint32 count, generation;

  g_variant_get (answer, "(uua(uttutt))", &count, &generation, &rows);
  if (count != priv->buffer_count || g_variant_iter_n_children (rows) == 0 ||
      g_variant_iter_n_children (rows) > count - priv->buffers->len)
    return fail_open (self, error, "the owner describes %" G_GSIZE_FORMAT " buffers after %u of %u",
                      g_variant_iter_n_children (rows), priv->buffers->len, priv->buffer_count);

  while (g_variant_iter_next (rows, "(uttutt)",
                              &buffer.data_number, &buffer.data_offset, &data_size,
                              &buffer.control_number, &buffer.control_offset, &control_size))
    {
      if (data_size > G_MAXUINT32 || control_size > G_MAXUINT32)
        return fail_open (self, error, "buffer %u has %" G_GUINT64_FORMAT " and %" G_GUINT64_FORMAT " bytes",
                          priv->buffers->len, data_size, control_size);
      buffer.parts.data_size = buffer.data_number != 0 ? data_size : 0;
      buffer.parts.control_size = buffer.control_number != 0 ? control_size : 0;
      g_array_append_val (priv->buffers, buffer);
    }

  return TRUE;
}

/* No honest stream is larger than the memory of the machine. */
static guint64
most_memory (void)
{
  long pages = sysconf (_SC_PHYS_PAGES), page_size = sysconf (_SC_PAGESIZE);

  return pages > 0 && page_size > 0 ? (guint64) pages * (guint64) page_size : G_MAXSSIZE;
}

static gboolean
handle_memory (IOStreamConnection  *self,
               GVariant            *answer,
               GUnixFDList         *fds,
               GError             **error)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  g_autoptr (IOMemoryBacking) backing = NULL;
  guint64 offset, length, size;
  guint32 number, flags;
  g_autofree int *list = NULL;
  gboolean writable;

  g_variant_get (answer, "(uutttb)", &number, &flags, &offset, &length, &size, &writable);
  if (number == 0 || g_hash_table_contains (priv->memories, GUINT_TO_POINTER (number)))
    return fail_open (self, error, "the owner sent memory %u, which was not asked for", number);
  if (size == 0 || size > most_memory ())
    return fail_open (self, error, "the owner offers %" G_GUINT64_FORMAT " bytes of memory", size);
  if (fds == NULL || g_unix_fd_list_get_length (fds) != 1)
    return fail_open (self, error, "the owner sent no descriptor for memory %u", number);

  list = g_unix_fd_list_steal_fds (fds, NULL);
  backing = _io_memory_backing_new_take_fd (list[0], size, G_MAXSSIZE, !writable, TRUE, error);
  if (backing == NULL || _io_memory_backing_map (backing, writable, error) == NULL)
    return FALSE;

  g_hash_table_insert (priv->memories, GUINT_TO_POINTER (number), g_steal_pointer (&backing));

  return TRUE;
}

static gboolean
is_missing (IOStreamConnectionPrivate *priv,
            guint32                    number)
{
  return number != 0 && !g_hash_table_contains (priv->memories, GUINT_TO_POINTER (number));
}

/* The memory to ask for next, as Apple's memory type; 0 if all is there. */
static guint32
next_memory (IOStreamConnectionPrivate *priv)
{
  for (guint32 id = 0; id < priv->buffers->len; id++)
    {
      IOStreamClientBuffer *buffer = &g_array_index (priv->buffers, IOStreamClientBuffer, id);

      if (is_missing (priv, buffer->data_number))
        return (guint32) IO_STREAM_MEMORY_BUFFER_DATA | id;
      if (is_missing (priv, buffer->control_number))
        return (guint32) IO_STREAM_MEMORY_BUFFER_CONTROL | id;
    }

  return 0;
}

static gboolean
place_part (IOStreamConnection  *self,
            guint32              number,
            guint64              offset,
            gsize                length,
            guint8             **address,
            GError             **error)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  IOMemoryBacking *backing = g_hash_table_lookup (priv->memories, GUINT_TO_POINTER (number));
  gsize size;

  if (number == 0)
    return TRUE;

  size = _io_memory_backing_get_size (backing);
  if (length > size || offset > size - length)
    return fail_open (self, error, "a buffer of %" G_GSIZE_FORMAT " bytes at %" G_GUINT64_FORMAT
                      " is not within its memory of %" G_GSIZE_FORMAT, length, offset, size);

  *address = _io_memory_backing_map (backing, _io_memory_backing_is_writable (backing), error);
  if (*address == NULL)
    return FALSE;
  *address += offset;

  return TRUE;
}

static gboolean
place_buffers (IOStreamConnection  *self,
               GError             **error)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  for (guint32 id = 0; id < priv->buffers->len; id++)
    {
      IOStreamClientBuffer *buffer = &g_array_index (priv->buffers, IOStreamClientBuffer, id);

      if (!place_part (self, buffer->data_number, buffer->data_offset,
                       buffer->parts.data_size, &buffer->parts.data, error) ||
          !place_part (self, buffer->control_number, buffer->control_offset,
                       buffer->parts.control_size, &buffer->parts.control, error))
        return FALSE;
    }

  return TRUE;
}

static gboolean
ask_next (IOStreamConnection  *self,
          IOConnectionCall    *next,
          GError             **error)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  guint32 memory;

  if (priv->buffers->len < priv->buffer_count)
    {
      next->opcode = IO_OPCODE_GET_BUFFERS;
      next->args = g_variant_new ("(u)", priv->buffers->len);
      return TRUE;
    }

  memory = next_memory (priv);
  if (memory != 0)
    {
      next->opcode = IO_OPCODE_GET_MEMORY;
      next->args = g_variant_new ("(u)", memory);
      return TRUE;
    }

  if (!place_buffers (self, error))
    return FALSE;

  next->opcode = IO_OPCODE_READY;
  next->args = g_variant_new ("()");

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

  priv->state_seen = IO_STREAM_STATE_STOPPED;
  if (priv->notify_in_context)
    _io_notification_port_attach (priv->port, _io_connection_get_context (IO_CONNECTION (self)));

  g_object_freeze_notify (G_OBJECT (self));
  _io_stream_connection_keep_mode (self, priv->opened_mode);
  _io_stream_connection_notify_state (self);
  g_object_notify (G_OBJECT (self), "buffer-count");
  g_object_thaw_notify (G_OBJECT (self));
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
      return TRUE;
    }

  if (opcode == IO_OPCODE_OPEN && !handle_open (self, answer, fds, error))
    return FALSE;
  if (opcode == IO_OPCODE_GET_BUFFERS && !handle_buffers (self, answer, error))
    return FALSE;
  if (opcode == IO_OPCODE_GET_MEMORY && !handle_memory (self, answer, fds, error))
    return FALSE;

  return ask_next (self, next, error);
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
  _io_stream_connection_drop_sync_bell_locked (self);
  if (priv->port != NULL)
    _io_notification_port_invalidate (priv->port);
  g_clear_object (&priv->port);
  _io_region_clear (&priv->own);
  _io_region_clear (&priv->peer);
  buffers = g_steal_pointer (&priv->buffers);
  priv->buffers = g_array_new (FALSE, TRUE, sizeof (IOStreamClientBuffer));
  g_hash_table_remove_all (priv->memories);
  priv->held = 0;
  priv->has_sequence = FALSE;
  g_mutex_unlock (&priv->lock);

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
      _io_ring_is_published (&priv->output, MAX (priv->output.index, priv->announced)))
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
  if (was_usable)
    _io_stream_connection_notify_state (self);
  if (was_usable && !lost)
    g_object_notify (G_OBJECT (self), "buffer-count");
}

const IOConnectionHooks _io_stream_connection_hooks = {
  open_step,
  closed
};
