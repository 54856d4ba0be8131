/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-connection-private.h"

#include <unistd.h>

/* GET_BUFFERS describes the buffers from a number on, GET_MEMORY brings each
 * piece of memory that they lie in. What is described stands apart until all
 * of it is mapped, and then is added in one step. Numbers that are known
 * already are never asked for again, so an owner cannot change what was there;
 * each answer brings at least one buffer, so it cannot go on for ever. */

#define fail_answer(self, error, ...) \
  (_io_connection_set_breach (IO_CONNECTION (self), error, "Cannot use the buffers of stream", __VA_ARGS__), FALSE)

void
_io_stream_connection_begin_description (IOStreamConnection *self,
                                         guint               first,
                                         guint               count)
{
  IOStreamDescription *description = &_io_stream_connection_get_private (self)->description;

  _io_stream_connection_drop_description (self);
  description->buffers = g_array_new (FALSE, TRUE, sizeof (IOStreamClientBuffer));
  description->first = first;
  description->count = count;
}

void
_io_stream_connection_drop_description (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  g_clear_pointer (&priv->description.buffers, g_array_unref);
  priv->description = (IOStreamDescription) { NULL, };
  priv->refreshing = FALSE;
  priv->refreshes++;
}

static guint
count_known (const IOStreamDescription *description)
{
  return description->first + description->buffers->len;
}

static gboolean
handle_buffers (IOStreamConnection  *self,
                GVariant            *answer,
                GError             **error)
{
  IOStreamDescription *description = &_io_stream_connection_get_private (self)->description;
  g_autoptr (GVariantIter) rows = NULL;
  IOStreamClientBuffer buffer = { 0, };
  guint64 data_size, control_size;
  guint32 count, generation;

  g_variant_get (answer, "(uua(uttutt))", &count, &generation, &rows);
  if (count < description->count || count > IO_STREAM_MAX_BUFFERS ||
      g_variant_iter_n_children (rows) == 0 ||
      g_variant_iter_n_children (rows) > count - count_known (description))
    return fail_answer (self, error, "the owner describes %" G_GSIZE_FORMAT " after %u, and %u of %u in all",
                        g_variant_iter_n_children (rows), count_known (description), count, description->count);

  while (g_variant_iter_next (rows, "(uttutt)",
                              &buffer.data_number, &buffer.data_offset, &data_size,
                              &buffer.control_number, &buffer.control_offset, &control_size))
    {
      if (data_size > G_MAXUINT32 || control_size > G_MAXUINT32)
        return fail_answer (self, error, "number %u has %" G_GUINT64_FORMAT " and %" G_GUINT64_FORMAT " bytes",
                            count_known (description), data_size, control_size);
      buffer.parts.data_size = buffer.data_number != 0 ? data_size : 0;
      buffer.parts.control_size = buffer.control_number != 0 ? control_size : 0;
      g_array_append_val (description->buffers, buffer);
    }

  description->count = count;
  description->generation = generation;

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
is_missing (IOStreamConnectionPrivate *priv,
            guint32                    number)
{
  return number != 0 && !g_hash_table_contains (priv->memories, GUINT_TO_POINTER (number));
}

/* Number of the memory that was asked for last. */
static guint32
wanted_memory (IOStreamConnectionPrivate *priv)
{
  IOStreamDescription *description = &priv->description;
  IOStreamClientBuffer *buffer;

  if (description->n_mapped >= description->buffers->len)
    return 0;

  buffer = &g_array_index (description->buffers, IOStreamClientBuffer, description->n_mapped);

  return is_missing (priv, buffer->data_number) ? buffer->data_number : buffer->control_number;
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
  if (number == 0 || number != wanted_memory (priv))
    return fail_answer (self, error, "the owner sent memory %u, which was not asked for", number);
  if (size == 0 || size > most_memory ())
    return fail_answer (self, error, "the owner offers %" G_GUINT64_FORMAT " bytes of memory", size);
  if (fds == NULL || g_unix_fd_list_get_length (fds) != 1)
    return fail_answer (self, error, "the owner sent no descriptor for memory %u", number);

  list = g_unix_fd_list_steal_fds (fds, NULL);
  backing = _io_memory_backing_new_take_fd (list[0], size, G_MAXSSIZE, !writable, TRUE, error);
  if (backing == NULL || _io_memory_backing_map (backing, writable, error) == NULL)
    return _io_stream_connection_blame (self, error);

  g_hash_table_insert (priv->memories, GUINT_TO_POINTER (number), g_steal_pointer (&backing));

  return TRUE;
}

gboolean
_io_stream_connection_take_answer (IOStreamConnection  *self,
                                   IOOpcode             opcode,
                                   GVariant            *answer,
                                   GUnixFDList         *fds,
                                   GError             **error)
{
  return opcode == IO_OPCODE_GET_BUFFERS ? handle_buffers (self, answer, error)
                                         : handle_memory (self, answer, fds, error);
}

/* The memory to ask for next, as Apple's memory type; 0 if all is there. */
static guint32
next_memory (IOStreamConnectionPrivate *priv)
{
  IOStreamDescription *description = &priv->description;

  for (; description->n_mapped < description->buffers->len; description->n_mapped++)
    {
      guint32 id = description->first + description->n_mapped;
      IOStreamClientBuffer *buffer = &g_array_index (description->buffers, IOStreamClientBuffer,
                                                     description->n_mapped);

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
    return fail_answer (self, error, "one of %" G_GSIZE_FORMAT " bytes at %" G_GUINT64_FORMAT
                        " is not within its memory of %" G_GSIZE_FORMAT, length, offset, size);

  *address = _io_memory_backing_map (backing, _io_memory_backing_is_writable (backing), error);
  if (*address == NULL)
    return _io_stream_connection_blame (self, error);
  *address += offset;

  return TRUE;
}

static gboolean
place_buffers (IOStreamConnection  *self,
               GError             **error)
{
  GArray *buffers = _io_stream_connection_get_private (self)->description.buffers;

  for (guint i = 0; i < buffers->len; i++)
    {
      IOStreamClientBuffer *buffer = &g_array_index (buffers, IOStreamClientBuffer, i);

      if (!place_part (self, buffer->data_number, buffer->data_offset,
                       buffer->parts.data_size, &buffer->parts.data, error) ||
          !place_part (self, buffer->control_number, buffer->control_offset,
                       buffer->parts.control_size, &buffer->parts.control, error))
        return FALSE;
    }

  return TRUE;
}

/* From here on its entries can be taken. */
static void
add_buffers (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  IOStreamDescription *description = &priv->description;

  g_mutex_lock (&priv->lock);
  g_array_append_vals (priv->buffers, description->buffers->data, description->buffers->len);
  priv->generation = description->generation;
  g_mutex_unlock (&priv->lock);

  _io_stream_connection_drop_description (self);
}

gboolean
_io_stream_connection_ask_next (IOStreamConnection  *self,
                                IOConnectionCall    *next,
                                GError             **error)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  IOStreamDescription *description = &priv->description;
  guint32 memory;

  if (count_known (description) < description->count)
    {
      next->opcode = IO_OPCODE_GET_BUFFERS;
      next->args = g_variant_new ("(u)", count_known (description));
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

  add_buffers (self);

  return TRUE;
}
