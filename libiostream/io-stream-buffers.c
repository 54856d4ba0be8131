/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-private.h"

#include "io-memory-backing-private.h"

/* The numbers of buffers are 16 bits, and so is what follows from them. */
G_STATIC_ASSERT (IO_STREAM_MAX_BUFFERS == IO_ABI_MAX_ENTRIES);

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
    count = (int) priv->book.loans[id].holders - (_io_stream_history_has_locked (priv, id) ? 1 : 0);
  g_mutex_unlock (&priv->lock);

  return count;
}

static gboolean
is_in_use (gpointer home)
{
  return io_service_is_open (home, NULL);
}

static void
memory_changed (gpointer home)
{
  io_stream_clear_history (home);
  _io_stream_announce_memory (home);
}

static const IOStreamBufferHomeFuncs home_funcs = { get_reference_count, is_in_use, memory_changed };

/* The set of buffers changed: starts a new book in which all are free. The
 * numbers of loans go on. */
static void
renew_book_locked (IOStreamPrivate *priv)
{
  guint32 sequence = priv->book.sequence;

  _io_loan_book_clear (&priv->book);
  _io_loan_book_init (&priv->book, priv->buffers->len);
  priv->book.sequence = sequence;
  _io_stream_history_renew_locked (priv);
}

static void
publish_count (IOStream *self)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);

  io_service_set_attribute (IO_SERVICE (self), "buffer-count",
                            g_variant_new_uint32 (priv->buffers->len));
  g_object_notify (G_OBJECT (self), "buffer-count");
}

/* Tells the buffers their numbers; without the lock, since others listen. */
static void
publish_numbers (IOStream *self)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);

  for (guint id = 0; id < priv->buffers->len; id++)
    _io_stream_buffer_set_home (g_ptr_array_index (priv->buffers, id), self, &home_funcs, id);

  publish_count (self);
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
  if (buffers->len > 0 && !_io_stream_fill_pool (self, buffers, NULL, error))
    return FALSE;

  /* Nobody knows them yet, so nobody can listen. */
  for (guint id = 0; id < buffers->len; id++)
    _io_stream_buffer_set_home (g_ptr_array_index (buffers, id), self, &home_funcs, id);

  /* Who listens may use the stream, and wait for a thread that does. */
  g_mutex_lock (&priv->lock);
  g_ptr_array_extend_and_steal (priv->buffers, g_steal_pointer (&buffers));
  renew_book_locked (priv);
  priv->initialized = TRUE;
  priv->initializer = NULL;
  g_cond_broadcast (&priv->cond);
  g_mutex_unlock (&priv->lock);
  publish_count (self);

  return TRUE;
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
  g_hash_table_remove_all (priv->exposed);
}

gboolean
_io_stream_check_closed (IOStream    *self,
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

/* Clients shall put payload into it. */
static gboolean
check_fillable (IOStream        *self,
                IOStreamBuffer  *buffer,
                GError         **error)
{
  if (_io_stream_get_private (self)->mode == IO_STREAM_MODE_OUTPUT || _io_stream_is_fillable (self, buffer))
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_UNSUPPORTED_MODE,
               "Cannot add a buffer to stream “%s”: its mode has clients fill it, and they can only read it "
               "(its memory was made without read-write peer access)",
               io_service_get_name (IO_SERVICE (self)));
  return FALSE;
}

/* What one client writes is not for the others, and nothing for one that may
 * only read. */
static gboolean
check_shared (IOStream        *self,
              IOStreamBuffer  *buffer,
              GError         **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  IOUserClient *first = priv->links->len > 0 ? _io_stream_link_at (priv, 0)->client : NULL;

  if (first == NULL || !_io_stream_is_exposed (buffer))
    return TRUE;

  if (priv->shared)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_STILL_OPEN,
                 "Cannot add a buffer that clients can write to stream “%s” while clients share it",
                 io_service_get_name (IO_SERVICE (self)));
  else if (io_user_client_get_read_only (first))
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED,
                 "Cannot add a buffer that clients can write to stream “%s”: client “%s” may only read",
                 io_service_get_name (IO_SERVICE (self)), io_user_client_get_client_name (first));
  else
    return TRUE;

  return FALSE;
}

static gboolean
check_new_buffers (IOStream   *self,
                   GPtrArray  *buffers,
                   GError    **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  g_autoptr (GHashTable) seen = g_hash_table_new (NULL, NULL);

  if (!_io_stream_check_process (self, error))
    return FALSE;
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
      if (!_io_stream_buffer_map (buffer, error) || !check_fillable (self, buffer, error) ||
          !check_shared (self, buffer, error))
        return FALSE;
    }

  return TRUE;
}

/* The queues of an open have the length they have. */
static gboolean
check_room (IOStream  *self,
            guint      n_new,
            GError   **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  guint count = priv->buffers->len + n_new;

  if (priv->links->len == 0)
    return _io_stream_check_closed (self, "add buffers to", error);

  for (guint i = 0; i < priv->links->len; i++)
    {
      IOStreamLink *link = _io_stream_link_at (priv, i);

      if (link->length > 0 || count <= link->own.entry_count)
        continue;
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_STILL_OPEN,
                   "Cannot add %u buffers to the %u of stream “%s”: a client has it open, with queues for %u",
                   n_new, priv->buffers->len, io_service_get_name (IO_SERVICE (self)), link->own.entry_count);
      return FALSE;
    }

  return TRUE;
}

/* The client finds the new number in the owner's page when it meets an entry
 * that it does not know, so it must stand there before the first. */
static void
grow_link_locked (IOStreamPrivate *priv,
                  IOStreamLink    *link,
                  guint            old_count)
{
  _io_loan_holder_grow (&link->holder, old_count, priv->buffers->len);
  link->generation++;
  atomic_store_explicit (&link->own.page->generation, link->generation, memory_order_release);
  _io_notification_port_ring (link->port);
}

/* Nobody can get one before it has its number. */
static void
append_locked (IOStream  *self,
               GPtrArray *buffers)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  guint old_count = priv->buffers->len;

  for (guint i = 0; i < buffers->len; i++)
    {
      IOStreamBuffer *buffer = g_ptr_array_index (buffers, i);

      g_ptr_array_add (priv->buffers, g_object_ref (buffer));
      _io_stream_buffer_set_home (buffer, self, &home_funcs, old_count + i);
    }

  _io_loan_book_grow (&priv->book, priv->buffers->len);
  _io_stream_history_grow_locked (priv, old_count, priv->buffers->len);
  priv->collect_every = _io_stream_get_collect_every (priv);
  _io_stream_set_limits_locked (priv);
  for (guint i = 0; i < priv->links->len; i++)
    grow_link_locked (priv, _io_stream_link_at (priv, i), old_count);
  g_cond_broadcast (&priv->cond);
}

static gboolean
are_buffers (GPtrArray *buffers)
{
  for (guint i = 0; i < buffers->len; i++)
    if (!IO_IS_STREAM_BUFFER (g_ptr_array_index (buffers, i)))
      return FALSE;

  return TRUE;
}

static gpointer
copy_buffer (gconstpointer source,
             gpointer      data)
{
  return g_object_ref ((gpointer) source);
}

/**
 * io_stream_add_buffers:
 * @self: a stream
 * @buffers: (element-type IOStreamBuffer): buffers that are in no stream
 * @error: return location for an error
 *
 * Adds buffers at the end, in their order: all of them, or none if one cannot
 * be added. The stream holds them from now on. Nothing else changes: who has
 * which of the other buffers stays as it is.
 *
 * This works while a client has the stream open, also inside of its virtual
 * methods and handlers: the new buffers can be acquired and sent at once, and
 * the client hears #IOStreamConnection::buffers-changed. The queues keep their
 * length, though: if that is the number of buffers (#IOStream:queue-length is
 * 0), there may never be more of those than the queues have entries. Give a
 * queue length, or call io_stream_create_queues(), to plan for more.
 *
 * Memory that #IOBufferMemoryDescriptor made for clients to write can be mapped
 * by one of them: when that has opened the stream, the memory is sealed, and
 * nobody maps it for writing any more who had not done so before.
 *
 * In the thread of the stream. Fails with %IO_STREAM_ERROR_STILL_OPEN if the
 * queues of the client cannot hold them, %IO_STREAM_ERROR_BUSY for a buffer
 * that is in a stream already or twice in @buffers,
 * %IO_STREAM_ERROR_NO_RESOURCES beyond %IO_STREAM_MAX_BUFFERS or the memory
 * that the client may have (io_user_client_set_limits()),
 * %IO_STREAM_ERROR_BAD_ARGUMENT for a part of 4 GiB or more,
 * %IO_STREAM_ERROR_NOT_PERMITTED if clients can write it and the one that has
 * the stream open may only read, %IO_STREAM_ERROR_UNSUPPORTED_MODE if clients
 * must fill it and can only read it, and %IO_STREAM_ERROR_VM_ERROR if memory
 * cannot be mapped. Apple's
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
  g_autoptr (IOStream) keep = NULL;
  g_autoptr (GPtrArray) added = NULL;
  IOStreamPrivate *priv;

  g_return_val_if_fail (IO_IS_STREAM (self), FALSE);
  g_return_val_if_fail (buffers != NULL && are_buffers (buffers), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  priv = _io_stream_get_private (self);
  if (!_io_stream_ensure (self, &keep, error) ||
      !check_room (self, buffers->len, error) ||
      !check_new_buffers (self, buffers, error) ||
      !_io_stream_charge_link (self, buffers, error))
    return FALSE;
  if (buffers->len == 0)
    return TRUE;

  added = g_ptr_array_copy (buffers, copy_buffer, NULL);
  g_ptr_array_set_free_func (added, g_object_unref);
  g_set_object (&keep, self);

  /* Who listens hears of it without the lock, and when all is done. */
  g_ptr_array_foreach (added, (GFunc) (void *) g_object_freeze_notify, NULL);
  g_mutex_lock (&priv->lock);
  append_locked (self, added);
  g_mutex_unlock (&priv->lock);
  g_ptr_array_foreach (added, (GFunc) (void *) g_object_thaw_notify, NULL);
  publish_count (self);

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
 * become smaller by one, and all buffers that are left are free: what the
 * owner had acquired, it has no longer.
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
  g_autoptr (IOStream) keep = NULL;
  g_autoptr (IOStreamBuffer) buffer = NULL;
  IOStreamPrivate *priv;

  g_return_val_if_fail (IO_IS_STREAM (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  priv = _io_stream_get_private (self);
  if (!_io_stream_ensure (self, &keep, error) || !_io_stream_check_closed (self, "remove a buffer from", error))
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
  g_autoptr (IOStream) keep = NULL;

  g_return_val_if_fail (IO_IS_STREAM (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!_io_stream_ensure (self, &keep, error) || !_io_stream_check_closed (self, "remove the buffers of", error))
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
  g_autoptr (IOStream) keep = NULL;

  g_return_val_if_fail (IO_IS_STREAM (self), 0);

  return _io_stream_ensure (self, &keep, NULL) ? _io_stream_get_private (self)->buffers->len : 0;
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
  g_autoptr (IOStream) keep = NULL;
  GPtrArray *buffers;

  g_return_val_if_fail (IO_IS_STREAM (self), NULL);

  buffers = g_ptr_array_new_with_free_func (g_object_unref);
  if (_io_stream_ensure (self, &keep, NULL))
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
 * Any thread, as long as no buffer is removed meanwhile.
 *
 * Returns: (transfer none) (nullable): the buffer, or %NULL if there is none
 * Since: 1.0
 */
IOStreamBuffer *
io_stream_get_buffer_with_id (IOStream *self,
                              guint32   buffer_id)
{
  g_autoptr (IOStream) keep = NULL;
  IOStreamBuffer *buffer = NULL;
  IOStreamPrivate *priv;

  g_return_val_if_fail (IO_IS_STREAM (self), NULL);

  priv = _io_stream_get_private (self);
  if (!_io_stream_ensure (self, &keep, NULL))
    return NULL;

  g_mutex_lock (&priv->lock);
  if (buffer_id < priv->buffers->len)
    buffer = g_ptr_array_index (priv->buffers, buffer_id);
  g_mutex_unlock (&priv->lock);

  return buffer;
}
