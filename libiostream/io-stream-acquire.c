/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-private.h"

#include "io-user-client-private.h"

/* Buffers for the owner to fill. */

static void
set_no_space_error (IOStream         *self,
                    IOStreamPrivate  *priv,
                    GError          **error)
{
  const char *name = io_service_get_name (IO_SERVICE (self));
  g_autofree char *holders = NULL;

  priv->counts.failures++;
  _io_stream_publish_locked (priv, FALSE);
  if (error == NULL)
    return;

  holders = _io_stream_describe_holders_locked (priv);
  if (holders[0] != '\0')
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_SPACE,
                 "No buffer of stream “%s” is free: %s", name, holders);
  else
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_SPACE,
                 "No buffer of stream “%s” is free: the owner has all %u",
                 name, priv->book.count);
}

/* An owner that found nothing may wait for #IOStream::input now: the context
 * looks again whether somebody does. Once, so that trying often costs it
 * nothing. */
static void
ask_for_returns (IOStreamPrivate *priv)
{
  for (guint i = 0; i < priv->links->len; i++)
    {
      IOStreamLink *link = _io_stream_link_at (priv, i);

      if (!link->starved)
        _io_notification_port_wake (link->port);
      link->starved = TRUE;
    }
}

/* Now and then, or when there is no other way. */
static void
collect_locked (IOStreamPrivate *priv)
{
  if (priv->book.n_free == 0 || ++priv->n_acquired >= priv->collect_every)
    _io_stream_drain_locked (priv);
  if (priv->book.n_free == 0)
    _io_stream_history_free_one_locked (priv);
}

/**
 * io_stream_acquire_buffer:
 * @self: a stream
 * @error: return location for an error
 *
 * Takes a free buffer, so that the owner can fill it: from now on until it is
 * sent or released nobody else has it. The stream keeps its reference.
 * Collects what clients have returned, not every time if the buffers are
 * small and some are free; never waits. If none is free, the oldest of what
 * clients with %IO_STREAM_DELIVERY_DROP_OLDEST or %IO_STREAM_DELIVERY_LATEST
 * have not taken is taken back, as far as that helps.
 *
 * This is the step that Apple's own sample lacks, which overwrites buffers
 * that a consumer still reads.
 *
 * Any thread. Fails with %IO_STREAM_ERROR_NO_SPACE if no buffer is free, and
 * says who holds them, and with %IO_STREAM_ERROR_NOT_OPEN in a forked child.
 *
 * Returns: (transfer none) (nullable): a buffer, or %NULL with @error set
 * Since: 1.0
 */
IOStreamBuffer *
io_stream_acquire_buffer (IOStream  *self,
                          GError   **error)
{
  g_autoptr (IOStream) keep = NULL;
  IOStreamPrivate *priv;
  IOStreamBuffer *buffer = NULL;
  guint32 id;

  g_return_val_if_fail (IO_IS_STREAM (self), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  priv = _io_stream_get_private (self);
  if (!_io_stream_ensure (self, &keep, error) || !_io_stream_check_process (self, error))
    return NULL;

  g_mutex_lock (&priv->lock);
  collect_locked (priv);
  if (G_UNLIKELY (priv->book.n_free == 0))
    _io_stream_reclaim_locked (priv);
  id = _io_loan_book_acquire (&priv->book);
  if (G_LIKELY (id != IO_STREAM_BUFFER_ID_INVALID))
    buffer = g_ptr_array_index (priv->buffers, id);
  else
    set_no_space_error (self, priv, error);
  if (buffer == NULL)
    ask_for_returns (priv);
  g_mutex_unlock (&priv->lock);

  return buffer;
}

static void
set_busy_error (IOStream         *self,
                IOStreamPrivate  *priv,
                guint32           id,
                GError          **error)
{
  const char *name = io_service_get_name (IO_SERVICE (self));
  IOStreamLink *link = id < priv->book.count ? _io_stream_find_holder_locked (priv, id) : NULL;

  if (id >= priv->book.count)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND,
                 "Stream “%s” has no buffer %u, only %u of them", name, id, priv->book.count);
  else if (link != NULL)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY,
                 "Buffer %u of stream “%s” is not free: client “%s” (process %d) has it",
                 id, name, io_user_client_get_client_name (link->client),
                 io_user_client_get_pid (link->client));
  else
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY,
                 "Buffer %u of stream “%s” is not free: the owner has it", id, name);
}

/**
 * io_stream_acquire_buffer_with_id:
 * @self: a stream
 * @buffer_id: the number of the buffer
 * @error: return location for an error
 *
 * Takes one particular buffer, if it is free, so that the owner can fill it; as
 * io_stream_acquire_buffer() otherwise. It is for owners that go round by
 * number, as device drivers do whose hardware has a fixed order. What clients
 * have not taken, of whom that can be taken back, is taken back.
 *
 * Any thread. Fails with %IO_STREAM_ERROR_BUSY if the buffer is not free, and
 * says who has it, with %IO_STREAM_ERROR_NOT_FOUND if there is no such buffer,
 * and with %IO_STREAM_ERROR_NOT_OPEN in a forked child.
 *
 * Returns: (transfer none) (nullable): the buffer, or %NULL with @error set
 * Since: 1.0
 */
IOStreamBuffer *
io_stream_acquire_buffer_with_id (IOStream  *self,
                                  guint32    buffer_id,
                                  GError   **error)
{
  g_autoptr (IOStream) keep = NULL;
  IOStreamPrivate *priv;
  IOStreamBuffer *buffer = NULL;

  g_return_val_if_fail (IO_IS_STREAM (self), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  priv = _io_stream_get_private (self);
  if (!_io_stream_ensure (self, &keep, error) || !_io_stream_check_process (self, error))
    return NULL;

  g_mutex_lock (&priv->lock);
  if (buffer_id < priv->book.count && _io_loan_book_get_state (&priv->book, buffer_id) == IO_LOAN_LENT)
    {
      _io_stream_drain_locked (priv);
      _io_stream_reclaim_id_locked (priv, buffer_id);
    }
  if (buffer_id < priv->book.count && _io_loan_book_acquire_id (&priv->book, buffer_id))
    buffer = g_ptr_array_index (priv->buffers, buffer_id);
  else
    set_busy_error (self, priv, buffer_id, error);
  if (buffer == NULL)
    ask_for_returns (priv);
  g_mutex_unlock (&priv->lock);

  return buffer;
}

/**
 * io_stream_release_buffer:
 * @self: a stream
 * @buffer: a buffer that the owner has, from io_stream_acquire_buffer() or
 *   io_stream_dequeue_input_entry()
 *
 * Makes a buffer free again without sending it.
 *
 * Any thread.
 *
 * Since: 1.0
 */
void
io_stream_release_buffer (IOStream       *self,
                          IOStreamBuffer *buffer)
{
  IOStreamPrivate *priv;
  gboolean owned = FALSE;
  guint32 id;

  g_return_if_fail (IO_IS_STREAM (self));
  g_return_if_fail (IO_IS_STREAM_BUFFER (buffer));
  g_return_if_fail (_io_stream_buffer_peek_home (buffer) == self);

  priv = _io_stream_get_private (self);
  id = _io_stream_buffer_peek_id (buffer);
  g_mutex_lock (&priv->lock);
  owned = id < priv->book.count && _io_loan_book_release (&priv->book, id);
  if (owned && priv->n_waiters > 0)
    g_cond_broadcast (&priv->cond);
  g_mutex_unlock (&priv->lock);

  if (!owned)
    g_critical ("%s: the owner does not have buffer %u", G_STRFUNC, id);
}
