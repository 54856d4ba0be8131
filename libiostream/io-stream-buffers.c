/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-private.h"

#include "io-memory-backing-private.h"

/* How many rows of GET_BUFFERS fit into one packet. */
#define ROWS_PER_PACKET 80
#define CACHE_LINES 128
/* How many clients may come and go while the owner sits on a buffer. */
#define MAX_OLD_POOLS 8

static int
get_reference_count (gpointer        home,
                     IOStreamBuffer *buffer)
{
  IOStreamPrivate *priv = _io_stream_get_private (home);
  guint32 id = io_stream_buffer_get_buffer_id (buffer);
  int count = 0;

  g_mutex_lock (&priv->lock);
  _io_stream_drain_locked (priv);
  if (_io_stream_check_process (home, NULL) &&
      id < priv->book.count && _io_loan_book_get_state (&priv->book, id) == IO_LOAN_LENT)
    count = (int) priv->book.loans[id].holders;
  g_mutex_unlock (&priv->lock);

  return count;
}

static gboolean
is_in_use (gpointer home)
{
  return io_service_is_open (home, NULL);
}

static const IOStreamBufferHomeFuncs home_funcs = { get_reference_count, is_in_use };

/* Data parts start on pages of their own unless they are small; what is small
 * starts on lines of its own, so that two buffers never share one. */
static gsize
stride_for (gsize size)
{
  gsize unit = size >= 4096 ? 4096 : CACHE_LINES;

  return (size + unit - 1) / unit * unit;
}

static gboolean
pool_size (const IOStreamPrivate  *priv,
           guint                   n_buffers,
           gsize                  *control_start,
           gsize                  *size,
           GError                **error)
{
  gsize data = stride_for (priv->data_size), control = stride_for (priv->control_size);
  gsize data_total, control_total;

  if (priv->data_size <= G_MAXUINT32 && priv->control_size <= G_MAXUINT32 &&
      g_size_checked_mul (&data_total, data, n_buffers) &&
      g_size_checked_mul (&control_total, control, n_buffers) &&
      g_size_checked_add (size, data_total, control_total) && *size <= G_MAXSSIZE)
    {
      *control_start = data_total;
      return TRUE;
    }

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
               "Cannot make %u buffers of %" G_GUINT64_FORMAT " and %" G_GUINT64_FORMAT " bytes: too large",
               n_buffers, priv->data_size, priv->control_size);
  return FALSE;
}

static IOMemoryDescriptor *
part_of_pool (IOMemoryBacking *pool,
              gsize            start,
              gsize            size,
              guint            place)
{
  if (size == 0)
    return NULL;

  return _io_memory_descriptor_new_for_backing (pool, start + place * stride_for (size), size,
                                                IO_DIRECTION_IN_OUT);
}

static gboolean
is_of_pool (IOMemoryBacking *pool,
            IOStreamBuffer  *buffer)
{
  IOMemoryDescriptor *data = io_stream_buffer_get_data_buffer (buffer);
  IOMemoryDescriptor *control = io_stream_buffer_get_control_buffer (buffer);

  return (data != NULL && _io_memory_descriptor_peek_backing (data) == pool) ||
         (control != NULL && _io_memory_descriptor_peek_backing (control) == pool);
}

/* New memory for @buffers, which the stream itself made. */
static gboolean
fill_pool (IOStream   *self,
           GPtrArray  *buffers,
           GError    **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  g_autoptr (IOMemoryBacking) pool = NULL;
  gsize control_start = 0, size = 0;

  if (!pool_size (priv, buffers->len, &control_start, &size, error))
    return FALSE;
  if (size > 0)
    pool = _io_memory_backing_new ("buffers", size, priv->peer_access, error);
  if (size > 0 && pool == NULL)
    return FALSE;

  for (guint place = 0; place < buffers->len; place++)
    {
      g_autoptr (IOMemoryDescriptor) data = part_of_pool (pool, 0, priv->data_size, place);
      g_autoptr (IOMemoryDescriptor) control = part_of_pool (pool, control_start, priv->control_size, place);

      _io_stream_buffer_replace (g_ptr_array_index (buffers, place), data, control);
      if (!_io_stream_buffer_map (g_ptr_array_index (buffers, place), error))
        return FALSE;
    }

  g_clear_pointer (&priv->pool, _io_memory_backing_unref);
  priv->pool = g_steal_pointer (&pool);

  return TRUE;
}

/* The set of buffers changed: starts a new book in which all are free. The
 * numbers of loans go on. */
static void
renew_book_locked (IOStreamPrivate *priv)
{
  guint32 sequence = priv->book.sequence;

  _io_loan_book_clear (&priv->book);
  _io_loan_book_init (&priv->book, priv->buffers->len);
  priv->book.sequence = sequence;
}

/* Tells the buffers their numbers; without the lock, since others listen. */
static void
publish_numbers (IOStream *self)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);

  for (guint id = 0; id < priv->buffers->len; id++)
    _io_stream_buffer_set_home (g_ptr_array_index (priv->buffers, id), self, &home_funcs, id);

  io_service_set_attribute (IO_SERVICE (self), "buffer-count",
                            g_variant_new_uint32 (priv->buffers->len));
  g_object_notify (G_OBJECT (self), "buffer-count");
}

static void
leave_home (IOStreamBuffer *buffer)
{
  _io_stream_buffer_set_home (buffer, NULL, NULL, IO_STREAM_BUFFER_ID_INVALID);
}

gboolean
_io_stream_make_buffers (IOStream  *self,
                         GError   **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  g_autoptr (GPtrArray) buffers = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < priv->buffer_count; i++)
    g_ptr_array_add (buffers, io_stream_buffer_new (NULL, NULL));
  if (buffers->len > 0 && !fill_pool (self, buffers, error))
    return FALSE;

  g_mutex_lock (&priv->lock);
  g_ptr_array_extend_and_steal (priv->buffers, g_steal_pointer (&buffers));
  renew_book_locked (priv);
  g_mutex_unlock (&priv->lock);
  /* Who listens may use the stream. */
  priv->initialized = TRUE;
  publish_numbers (self);

  return TRUE;
}

/* Takes all free buffers, so that no thread meets one in between. Returns how
 * many the owner has. */
static guint
hide_free_buffers (IOStreamPrivate *priv,
                   GArray          *hidden)
{
  guint n_owned;
  guint32 id;

  g_mutex_lock (&priv->lock);
  _io_loan_book_drop_arrivals (&priv->book);
  n_owned = priv->book.count - priv->book.n_free;
  while ((id = _io_loan_book_acquire (&priv->book)) != IO_STREAM_BUFFER_ID_INVALID)
    g_array_append_val (hidden, id);
  g_mutex_unlock (&priv->lock);

  return n_owned;
}

static void
show_free_buffers (IOStreamPrivate *priv,
                   GArray          *hidden)
{
  g_mutex_lock (&priv->lock);
  for (guint i = hidden->len; i > 0; i--)
    _io_loan_book_release (&priv->book, g_array_index (hidden, guint32, i - 1));
  g_mutex_unlock (&priv->lock);
}

/* The owner may be reading what the last client filled: as long as it has any
 * buffer, what it can have the address of stays mapped. */
static gboolean
retire_pool (IOStream  *self,
             guint      n_owned,
             GError   **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);

  if (n_owned == 0)
    g_ptr_array_set_size (priv->old_pools, 0);
  else if (priv->old_pools->len < MAX_OLD_POOLS)
    g_ptr_array_add (priv->old_pools, _io_memory_backing_ref (priv->pool));
  else
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES,
                   "Cannot replace the memory of stream “%s”: its owner has had %u of its buffers since %u clients",
                   io_service_get_name (IO_SERVICE (self)), n_owned, priv->old_pools->len);
      return FALSE;
    }

  return TRUE;
}

static gboolean
replace_pool (IOStream  *self,
              guint      n_owned,
              GError   **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  g_autoptr (GPtrArray) buffers = g_ptr_array_new ();

  for (guint id = 0; id < priv->buffers->len; id++)
    if (is_of_pool (priv->pool, g_ptr_array_index (priv->buffers, id)))
      g_ptr_array_add (buffers, g_ptr_array_index (priv->buffers, id));

  return retire_pool (self, n_owned, error) && fill_pool (self, buffers, error);
}

/* Memory that a client could write never meets the next client. */
gboolean
_io_stream_refresh_memory (IOStream  *self,
                           GError   **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  g_autoptr (GArray) hidden = NULL;
  guint n_owned;
  gboolean done;

  if (!priv->pool_used || priv->pool == NULL)
    return TRUE;

  hidden = g_array_new (FALSE, FALSE, sizeof (guint32));
  n_owned = hide_free_buffers (priv, hidden);
  done = replace_pool (self, n_owned, error);
  show_free_buffers (priv, hidden);
  if (!done)
    return FALSE;

  priv->pool_used = FALSE;
  g_signal_emit_by_name (self, "memory-changed");

  return TRUE;
}

/* The client has mapped all it will ever map. */
gboolean
_io_stream_seal_memory (IOStream  *self,
                        GError   **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);

  if (priv->pool == NULL || priv->peer_access != IO_STREAM_PEER_ACCESS_READ_WRITE)
    return TRUE;

  return _io_memory_backing_seal_writers (priv->pool, error);
}

void
_io_stream_drop_buffers (IOStream *self)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  g_autoptr (GPtrArray) buffers = NULL;

  g_mutex_lock (&priv->lock);
  buffers = g_steal_pointer (&priv->buffers);
  priv->buffers = g_ptr_array_new_with_free_func (g_object_unref);
  renew_book_locked (priv);
  g_mutex_unlock (&priv->lock);

  g_ptr_array_foreach (buffers, (GFunc) (void *) leave_home, NULL);
  g_clear_pointer (&priv->pool, _io_memory_backing_unref);
  g_ptr_array_set_size (priv->old_pools, 0);
}

static void
describe_part (IOMemoryDescriptor *memory,
               guint32            *number,
               guint64            *offset,
               guint64            *length)
{
  *number = 0;
  *offset = *length = 0;
  if (memory == NULL)
    return;

  *number = _io_memory_backing_get_id (_io_memory_descriptor_peek_backing (memory));
  *offset = io_memory_descriptor_get_offset (memory);
  *length = io_memory_descriptor_get_length (memory);
}

GVariant *
_io_stream_describe_buffers (IOStream *self,
                             guint     first)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  guint end = MIN ((guint64) priv->buffers->len, (guint64) first + ROWS_PER_PACKET);
  GVariantBuilder rows;

  g_variant_builder_init (&rows, G_VARIANT_TYPE ("a(uttutt)"));
  for (guint id = first; id < end; id++)
    {
      IOStreamBuffer *buffer = g_ptr_array_index (priv->buffers, id);
      guint32 data, control;
      guint64 data_offset, data_length, control_offset, control_length;

      describe_part (io_stream_buffer_get_data_buffer (buffer), &data, &data_offset, &data_length);
      describe_part (io_stream_buffer_get_control_buffer (buffer), &control, &control_offset, &control_length);
      g_variant_builder_add (&rows, "(uttutt)", data, data_offset, data_length,
                             control, control_offset, control_length);
    }

  return g_variant_new ("(uua(uttutt))", priv->buffers->len, 0u, &rows);
}

IOMemoryDescriptor *
_io_stream_get_memory (IOStream  *self,
                       guint      type,
                       GError   **error)
{
  guint kind = type & IO_STREAM_MEMORY_TYPE_MASK;
  IOStreamBuffer *buffer = io_stream_get_buffer_with_id (self, type & IO_STREAM_MEMORY_BUFFER_ID_MASK);
  IOMemoryDescriptor *memory = NULL;

  if (buffer != NULL && kind == IO_STREAM_MEMORY_BUFFER_DATA)
    memory = io_stream_buffer_get_data_buffer (buffer);
  else if (buffer != NULL && kind == IO_STREAM_MEMORY_BUFFER_CONTROL)
    memory = io_stream_buffer_get_control_buffer (buffer);

  if (memory != NULL)
    return g_object_ref (memory);

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND,
               "Stream “%s” has no memory of type 0x%08x",
               io_service_get_name (IO_SERVICE (self)), type);
  return NULL;
}

static gboolean
check_closed (IOStream    *self,
              const char  *operation,
              GError     **error)
{
  if (!io_service_is_open (IO_SERVICE (self), NULL))
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_STILL_OPEN,
               "Cannot %s stream “%s” while a client has it open",
               operation, io_service_get_name (IO_SERVICE (self)));
  return FALSE;
}

static gboolean
check_new_buffers (IOStream   *self,
                   GPtrArray  *buffers,
                   GError    **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  g_autoptr (GHashTable) seen = g_hash_table_new (NULL, NULL);

  if (buffers->len > IO_STREAM_MAX_BUFFERS - priv->buffers->len)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES,
                   "Cannot add %u buffers to the %u of stream “%s”: at most %u",
                   buffers->len, priv->buffers->len,
                   io_service_get_name (IO_SERVICE (self)), IO_STREAM_MAX_BUFFERS);
      return FALSE;
    }

  for (guint i = 0; i < buffers->len; i++)
    {
      IOStreamBuffer *buffer = g_ptr_array_index (buffers, i);

      if (_io_stream_buffer_peek_home (buffer) != NULL || !g_hash_table_add (seen, buffer))
        {
          g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY,
                       "Cannot add buffer %u to stream “%s”: it is in a stream already",
                       i, io_service_get_name (IO_SERVICE (self)));
          return FALSE;
        }
      if (!_io_stream_buffer_map (buffer, error))
        return FALSE;
    }

  return TRUE;
}

static gboolean
are_buffers (GPtrArray *buffers)
{
  for (guint i = 0; i < buffers->len; i++)
    if (!IO_IS_STREAM_BUFFER (g_ptr_array_index (buffers, i)))
      return FALSE;

  return TRUE;
}

/**
 * io_stream_add_buffers:
 * @self: a stream
 * @buffers: (element-type IOStreamBuffer): buffers that are in no stream
 * @error: return location for an error
 *
 * Adds buffers at the end, in their order: all of them, or none if one cannot
 * be added. The stream holds them from now on. Buffers that were acquired but
 * not sent become free.
 *
 * In the thread of the stream. Fails with %IO_STREAM_ERROR_STILL_OPEN while a
 * client has the stream open, %IO_STREAM_ERROR_BUSY for a buffer that is in a
 * stream already or twice in @buffers, %IO_STREAM_ERROR_NO_RESOURCES beyond
 * %IO_STREAM_MAX_BUFFERS, %IO_STREAM_ERROR_BAD_ARGUMENT for a part of 4 GiB or
 * more, and %IO_STREAM_ERROR_VM_ERROR if memory cannot be mapped. Apple's
 * addBuffers().
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_add_buffers (IOStream   *self,
                       GPtrArray  *buffers,
                       GError    **error)
{
  IOStreamPrivate *priv;

  g_return_val_if_fail (IO_IS_STREAM (self), FALSE);
  g_return_val_if_fail (buffers != NULL && are_buffers (buffers), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  priv = _io_stream_get_private (self);
  if (!_io_stream_ensure (self, error) ||
      !check_closed (self, "add buffers to", error) ||
      !check_new_buffers (self, buffers, error))
    return FALSE;

  g_mutex_lock (&priv->lock);
  for (guint i = 0; i < buffers->len; i++)
    g_ptr_array_add (priv->buffers, g_object_ref (g_ptr_array_index (buffers, i)));
  renew_book_locked (priv);
  g_mutex_unlock (&priv->lock);
  publish_numbers (self);

  return TRUE;
}

/**
 * io_stream_add_buffer:
 * @self: a stream
 * @buffer: a buffer that is in no stream
 * @error: return location for an error
 *
 * Adds a buffer at the end; see io_stream_add_buffers(). Apple's addBuffer().
 *
 * In the thread of the stream.
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_add_buffer (IOStream        *self,
                      IOStreamBuffer  *buffer,
                      GError         **error)
{
  g_autoptr (GPtrArray) buffers = g_ptr_array_new ();

  g_return_val_if_fail (IO_IS_STREAM_BUFFER (buffer), FALSE);

  g_ptr_array_add (buffers, buffer);

  return io_stream_add_buffers (self, buffers, error);
}

/**
 * io_stream_remove_buffer_with_id:
 * @self: a stream
 * @buffer_id: number of a buffer
 * @error: return location for an error
 *
 * Takes a buffer out of the stream. The numbers of the buffers behind it
 * become smaller by one.
 *
 * In the thread of the stream. Fails with %IO_STREAM_ERROR_STILL_OPEN while a
 * client has the stream open, and with %IO_STREAM_ERROR_NOT_FOUND if there is
 * no such buffer. Apple's removeBuffer().
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_remove_buffer_with_id (IOStream  *self,
                                 guint32    buffer_id,
                                 GError   **error)
{
  g_autoptr (IOStreamBuffer) buffer = NULL;
  IOStreamPrivate *priv;

  g_return_val_if_fail (IO_IS_STREAM (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  priv = _io_stream_get_private (self);
  if (!_io_stream_ensure (self, error) || !check_closed (self, "remove a buffer from", error))
    return FALSE;

  if (buffer_id >= priv->buffers->len)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND,
                   "Cannot remove buffer %u from stream “%s”: it has %u",
                   buffer_id, io_service_get_name (IO_SERVICE (self)), priv->buffers->len);
      return FALSE;
    }

  g_mutex_lock (&priv->lock);
  buffer = g_ptr_array_steal_index (priv->buffers, buffer_id);
  renew_book_locked (priv);
  g_mutex_unlock (&priv->lock);

  leave_home (buffer);
  publish_numbers (self);

  return TRUE;
}

/**
 * io_stream_remove_buffer:
 * @self: a stream
 * @buffer: one of its buffers
 * @error: return location for an error
 *
 * Takes a buffer out of the stream; see io_stream_remove_buffer_with_id().
 * Apple's removeBuffer().
 *
 * In the thread of the stream.
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_remove_buffer (IOStream        *self,
                         IOStreamBuffer  *buffer,
                         GError         **error)
{
  g_return_val_if_fail (IO_IS_STREAM (self), FALSE);
  g_return_val_if_fail (IO_IS_STREAM_BUFFER (buffer), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (_io_stream_buffer_peek_home (buffer) != self)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND,
                   "Cannot remove a buffer from stream “%s”: it is not in it",
                   io_service_get_name (IO_SERVICE (self)));
      return FALSE;
    }

  return io_stream_remove_buffer_with_id (self, io_stream_buffer_get_buffer_id (buffer), error);
}

/**
 * io_stream_remove_all_buffers:
 * @self: a stream
 * @error: return location for an error
 *
 * Takes all buffers out of the stream, for example to add others of another
 * size.
 *
 * In the thread of the stream. Fails with %IO_STREAM_ERROR_STILL_OPEN while a
 * client has the stream open. Apple's removeAllBuffers().
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_remove_all_buffers (IOStream  *self,
                              GError   **error)
{
  g_return_val_if_fail (IO_IS_STREAM (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!_io_stream_ensure (self, error) || !check_closed (self, "remove the buffers of", error))
    return FALSE;

  _io_stream_drop_buffers (self);
  publish_numbers (self);

  return TRUE;
}

/**
 * io_stream_get_buffer_count:
 * @self: a stream
 *
 * Gets the number of buffers. Apple's getBufferCount().
 *
 * In the thread of the stream.
 *
 * Returns: the number of buffers
 * Since: 1.0
 */
guint
io_stream_get_buffer_count (IOStream *self)
{
  g_return_val_if_fail (IO_IS_STREAM (self), 0);

  return _io_stream_ensure (self, NULL) ? _io_stream_get_private (self)->buffers->len : 0;
}

/**
 * io_stream_get_buffers:
 * @self: a stream
 *
 * Gets the buffers in the order of their numbers. Apple's getBuffers().
 *
 * In the thread of the stream.
 *
 * Returns: (transfer container) (element-type IOStreamBuffer): a new array,
 *   which holds references
 * Since: 1.0
 */
GPtrArray *
io_stream_get_buffers (IOStream *self)
{
  GPtrArray *buffers;

  g_return_val_if_fail (IO_IS_STREAM (self), NULL);

  buffers = g_ptr_array_new_with_free_func (g_object_unref);
  if (_io_stream_ensure (self, NULL))
    g_ptr_array_extend (buffers, _io_stream_get_private (self)->buffers, (GCopyFunc) (void *) g_object_ref, NULL);

  return buffers;
}

/**
 * io_stream_get_buffer_with_id:
 * @self: a stream
 * @buffer_id: number of a buffer
 *
 * Gets the buffer with a number. Apple's getBufferWithID().
 *
 * Any thread, as long as no buffer is added or removed meanwhile.
 *
 * Returns: (transfer none) (nullable): the buffer, or %NULL if there is none
 * Since: 1.0
 */
IOStreamBuffer *
io_stream_get_buffer_with_id (IOStream *self,
                              guint32   buffer_id)
{
  IOStreamPrivate *priv;

  g_return_val_if_fail (IO_IS_STREAM (self), NULL);

  priv = _io_stream_get_private (self);
  if (!_io_stream_ensure (self, NULL) || buffer_id >= priv->buffers->len)
    return NULL;

  return g_ptr_array_index (priv->buffers, buffer_id);
}
