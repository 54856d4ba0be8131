/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-private.h"

#include "io-memory-backing-private.h"

/* The memory behind the buffers: what the stream makes itself, what a client
 * is told of it, and what becomes of memory that a client could write. */

#define CACHE_LINES 128
/* How many clients may come and go while the owner sits on one and the same
 * buffer. It can have the address of that in each of these memories, so none of
 * them can go before the buffer does. */
#define MAX_OLD_POOLS 8
/* How many rows of GET_BUFFERS fit into one packet. */
#define ROWS_PER_PACKET 80

/* A buffer, in the time from its becoming owned to its becoming free. */
typedef struct {
  guint32 id;
  guint32 n_frees;
} Stay;

/* What was replaced while the owner had these buffers. */
typedef struct {
  GPtrArray *memory;
  GArray    *owned;      /* of Stay */
} OldPool;

void
_io_stream_free_old_pool (gpointer data)
{
  OldPool *self = data;

  g_ptr_array_unref (self->memory);
  g_array_unref (self->owned);
  g_free (self);
}

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

gboolean
_io_stream_fill_pool (IOStream   *self,
                      GPtrArray  *buffers,
                      GPtrArray  *retired,
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

      if (!_io_stream_buffer_renew (g_ptr_array_index (buffers, place), data, control, retired, error))
        return FALSE;
    }

  g_clear_pointer (&priv->pool, _io_memory_backing_unref);
  priv->pool = g_steal_pointer (&pool);

  return TRUE;
}

/* Takes all free buffers, so that no thread meets one in between, and notes
 * what the owner has. */
static void
hide_free_buffers (IOStreamPrivate *priv,
                   GArray          *hidden,
                   GArray          *owned)
{
  guint32 id;

  g_mutex_lock (&priv->lock);
  _io_loan_book_drop_arrivals (&priv->book);
  _io_stream_history_clear_locked (priv);
  for (id = 0; id < priv->book.count; id++)
    if (_io_loan_book_get_state (&priv->book, id) == IO_LOAN_OWNED)
      {
        Stay stay = { id, _io_loan_book_get_n_frees (&priv->book, id) };

        g_array_append_val (owned, stay);
      }
  while ((id = _io_loan_book_acquire (&priv->book)) != IO_STREAM_BUFFER_ID_INVALID)
    g_array_append_val (hidden, id);
  g_mutex_unlock (&priv->lock);
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

static gboolean
is_among (GArray     *stays,
          const Stay *stay)
{
  for (guint i = 0; i < stays->len; i++)
    if (memcmp (&g_array_index (stays, Stay, i), stay, sizeof *stay) == 0)
      return TRUE;

  return FALSE;
}

static void
drop_old_pools (IOStreamPrivate *priv,
                GArray          *owned)
{
  for (guint i = priv->old_pools->len; i > 0; i--)
    {
      OldPool *old = g_ptr_array_index (priv->old_pools, i - 1);
      gboolean in_use = FALSE;

      for (guint j = 0; !in_use && j < old->owned->len; j++)
        in_use = is_among (owned, &g_array_index (old->owned, Stay, j));
      if (!in_use)
        g_ptr_array_remove_index (priv->old_pools, i - 1);
    }
}

/* The owner may be reading what the last client filled, also in another thread:
 * as long as it keeps any buffer that it had then, what it can have the address
 * of stays mapped. An owner that always has some buffer, but each one for a
 * while only, is no hindrance. @retired, with a reference, is where to put what
 * is replaced, NULL for nowhere. */
static gboolean
begin_retirement (IOStream   *self,
                  GArray     *owned,
                  GPtrArray **retired,
                  GError    **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  OldPool *old;

  *retired = NULL;
  drop_old_pools (priv, owned);
  if (owned->len == 0)
    return TRUE;

  if (priv->old_pools->len >= MAX_OLD_POOLS)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES,
                   "Cannot replace the memory of stream “%s”: its owner has had %u of its buffers since %u clients",
                   io_service_get_name (IO_SERVICE (self)), owned->len, priv->old_pools->len);
      return FALSE;
    }

  old = g_new0 (OldPool, 1);
  old->memory = g_ptr_array_new_with_free_func (g_object_unref);
  old->owned = g_array_ref (owned);
  g_ptr_array_add (priv->old_pools, old);
  *retired = g_ptr_array_ref (old->memory);

  return TRUE;
}

static gboolean
replace_pool (IOStream   *self,
              GPtrArray  *retired,
              GError    **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  g_autoptr (GPtrArray) buffers = g_ptr_array_new ();

  if (!priv->pool_used || priv->pool == NULL)
    return TRUE;

  for (guint id = 0; id < priv->buffers->len; id++)
    if (is_of_pool (priv->pool, g_ptr_array_index (priv->buffers, id)))
      g_ptr_array_add (buffers, g_ptr_array_index (priv->buffers, id));

  return _io_stream_fill_pool (self, buffers, retired, error);
}

static gboolean
is_exposed (IOStreamPrivate    *priv,
            IOMemoryDescriptor *part)
{
  return part != NULL &&
         g_hash_table_contains (priv->exposed, _io_memory_descriptor_peek_backing (part));
}

/* New memory of the same size for all that lies in the old one. */
static IOMemoryDescriptor *
renew_part (IOMemoryDescriptor  *part,
            GHashTable          *renewed,
            GError             **error)
{
  IOMemoryBacking *old = _io_memory_descriptor_peek_backing (part);
  IOMemoryBacking *backing = g_hash_table_lookup (renewed, old);

  if (backing == NULL)
    {
      backing = _io_memory_backing_new ("buffers", _io_memory_backing_get_size (old),
                                        IO_STREAM_PEER_ACCESS_READ_WRITE, error);
      if (backing == NULL)
        return NULL;
      g_hash_table_insert (renewed, old, backing);
    }

  return _io_memory_descriptor_new_for_backing (backing, io_memory_descriptor_get_offset (part),
                                                io_memory_descriptor_get_length (part),
                                                io_memory_descriptor_get_direction (part));
}

static gboolean
check_renewable (IOStream            *self,
                 guint                id,
                 IOMemoryDescriptor  *part,
                 GError             **error)
{
  if (!is_exposed (_io_stream_get_private (self), part) ||
      _io_memory_backing_is_own (_io_memory_descriptor_peek_backing (part)))
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY,
               "Cannot open stream “%s”: an earlier client can still write buffer %u, "
               "whose memory came from outside and must be replaced by the owner",
               io_service_get_name (IO_SERVICE (self)), id);
  return FALSE;
}

static gboolean
renew_buffer (IOStream        *self,
              IOStreamBuffer  *buffer,
              GHashTable      *renewed,
              GPtrArray       *retired,
              GError         **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  IOMemoryDescriptor *data = io_stream_buffer_get_data_buffer (buffer);
  IOMemoryDescriptor *control = io_stream_buffer_get_control_buffer (buffer);
  g_autoptr (IOMemoryDescriptor) new_data = NULL;
  g_autoptr (IOMemoryDescriptor) new_control = NULL;

  if (!is_exposed (priv, data) && !is_exposed (priv, control))
    return TRUE;

  if (data != NULL)
    new_data = is_exposed (priv, data) ? renew_part (data, renewed, error) : g_object_ref (data);
  if (control != NULL && (data == NULL || new_data != NULL))
    new_control = is_exposed (priv, control) ? renew_part (control, renewed, error) : g_object_ref (control);
  if ((data != NULL && new_data == NULL) || (control != NULL && new_control == NULL))
    return FALSE;

  return _io_stream_buffer_renew (buffer, new_data, new_control, retired, error);
}

/* Memory that the application gave: what the library itself made for it is
 * replaced, what came from outside it must replace itself. */
static gboolean
replace_foreign (IOStream   *self,
                 GPtrArray  *retired,
                 GError    **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  g_autoptr (GHashTable) renewed = NULL;

  if (g_hash_table_size (priv->exposed) == 0)
    return TRUE;

  for (guint id = 0; id < priv->buffers->len; id++)
    {
      IOStreamBuffer *buffer = g_ptr_array_index (priv->buffers, id);

      if (!check_renewable (self, id, io_stream_buffer_get_data_buffer (buffer), error) ||
          !check_renewable (self, id, io_stream_buffer_get_control_buffer (buffer), error))
        return FALSE;
    }

  renewed = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) _io_memory_backing_unref);
  for (guint id = 0; id < priv->buffers->len; id++)
    if (!renew_buffer (self, g_ptr_array_index (priv->buffers, id), renewed, retired, error))
      return FALSE;

  return TRUE;
}

/* Memory that a client could write never meets the next client. */
gboolean
_io_stream_refresh_memory (IOStream  *self,
                           GError   **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  g_autoptr (GArray) hidden = NULL;
  g_autoptr (GArray) owned = NULL;
  g_autoptr (GPtrArray) retired = NULL;
  gboolean done;

  if ((!priv->pool_used || priv->pool == NULL) && g_hash_table_size (priv->exposed) == 0)
    return TRUE;

  hidden = g_array_new (FALSE, FALSE, sizeof (guint32));
  owned = g_array_new (FALSE, FALSE, sizeof (Stay));
  hide_free_buffers (priv, hidden, owned);
  done = begin_retirement (self, owned, &retired, error) && replace_foreign (self, retired, error) &&
         replace_pool (self, retired, error);
  show_free_buffers (priv, hidden);
  if (!done)
    return FALSE;

  priv->pool_used = FALSE;
  g_hash_table_remove_all (priv->exposed);
  _io_stream_announce_memory (self);

  return TRUE;
}

gboolean
_io_stream_is_fillable (IOStream       *self,
                        IOStreamBuffer *buffer)
{
  return (io_stream_buffer_get_data_buffer (buffer) == NULL &&
          io_stream_buffer_get_control_buffer (buffer) == NULL) || _io_stream_is_exposed (buffer);
}

gboolean
_io_stream_is_exposed (IOStreamBuffer *buffer)
{
  IOMemoryDescriptor *data = io_stream_buffer_get_data_buffer (buffer);
  IOMemoryDescriptor *control = io_stream_buffer_get_control_buffer (buffer);

  return (data != NULL && _io_memory_backing_is_peer_writable (_io_memory_descriptor_peek_backing (data))) ||
         (control != NULL && _io_memory_backing_is_peer_writable (_io_memory_descriptor_peek_backing (control)));
}

static guint64
count_part (IOStreamPrivate    *priv,
            IOMemoryDescriptor *part,
            GHashTable         *seen)
{
  IOMemoryBacking *backing = part != NULL ? _io_memory_descriptor_peek_backing (part) : NULL;

  if (backing == NULL || backing == priv->pool || !_io_memory_backing_is_peer_writable (backing) ||
      !g_hash_table_add (seen, backing))
    return 0;

  return _io_memory_backing_get_size (backing);
}

static guint64
count_parts (IOStreamPrivate *priv,
             GPtrArray       *buffers,
             GHashTable      *seen)
{
  guint64 sum = 0;

  for (guint i = 0; i < buffers->len; i++)
    sum += count_part (priv, io_stream_buffer_get_data_buffer (g_ptr_array_index (buffers, i)), seen) +
           count_part (priv, io_stream_buffer_get_control_buffer (g_ptr_array_index (buffers, i)), seen);

  return sum;
}

guint64
_io_stream_count_memory (IOStreamPrivate *priv,
                         GPtrArray       *more)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (NULL, NULL);
  guint64 sum = count_parts (priv, priv->buffers, seen);

  if (more != NULL)
    sum += count_parts (priv, more, seen);
  if (priv->pool != NULL && priv->peer_access == IO_STREAM_PEER_ACCESS_READ_WRITE)
    sum += _io_memory_backing_get_size (priv->pool);

  return sum;
}

static gboolean
seal_part (IOStreamPrivate     *priv,
           IOMemoryDescriptor  *part,
           GError             **error)
{
  IOMemoryBacking *backing = part != NULL ? _io_memory_descriptor_peek_backing (part) : NULL;

  if (backing == NULL || backing == priv->pool || !_io_memory_backing_is_own (backing) ||
      !_io_memory_backing_is_peer_writable (backing))
    return TRUE;

  return _io_memory_backing_seal_writers (backing, error);
}

/* The client has mapped all there is, and from now on can make no holes in it,
 * also through what it has mapped. What came from outside is not ours to seal. */
gboolean
_io_stream_seal_memory (IOStream  *self,
                        GError   **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);

  for (guint id = 0; id < priv->buffers->len; id++)
    {
      IOStreamBuffer *buffer = g_ptr_array_index (priv->buffers, id);

      if (!seal_part (priv, io_stream_buffer_get_data_buffer (buffer), error) ||
          !seal_part (priv, io_stream_buffer_get_control_buffer (buffer), error))
        return FALSE;
    }

  if (priv->pool == NULL || priv->peer_access != IO_STREAM_PEER_ACCESS_READ_WRITE)
    return TRUE;

  return _io_memory_backing_seal_writers (priv->pool, error);
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
                             guint32   generation,
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

  return g_variant_new ("(uua(uttutt))", priv->buffers->len, generation, &rows);
}

/* It is about to go to a client. The pool has its own flag. */
static void
note_exposed (IOStream        *self,
              IOMemoryBacking *backing)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);

  if (backing != priv->pool && _io_memory_backing_is_peer_writable (backing))
    g_hash_table_add (priv->exposed, _io_memory_backing_ref (backing));
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
    {
      note_exposed (self, _io_memory_descriptor_peek_backing (memory));
      return g_object_ref (memory);
    }

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND,
               "Stream “%s” has no memory of type 0x%08x",
               io_service_get_name (IO_SERVICE (self)), type);
  return NULL;
}
