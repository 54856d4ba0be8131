/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-private.h"

#include "io-fork-private.h"
#include "io-service-private.h"
#include "io-user-client-private.h"

#include <time.h>

static guint64
now_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);

  return (guint64) now.tv_sec * G_GUINT64_CONSTANT (1000000000) + (guint64) now.tv_nsec;
}

static const IOStreamBufferParts *
parts_of (IOStreamPrivate *priv,
          guint32          id)
{
  return _io_stream_buffer_peek_parts (g_ptr_array_index (priv->buffers, id));
}

static gboolean
fail_send (IOStream    *self,
           int          code,
           const IOStreamBufferQueueEntry *entry,
           const char  *why,
           GError     **error)
{
  g_set_error (error, IO_STREAM_ERROR, code, "Cannot send buffer %u of stream “%s”: %s",
               entry->buffer_id, io_service_get_name (IO_SERVICE (self)), why);
  return FALSE;
}

static gboolean
check_entry_locked (IOStream                        *self,
                    IOStreamPrivate                 *priv,
                    const IOStreamBufferQueueEntry  *entry,
                    GError                         **error)
{
  const IOStreamBufferParts *parts;

  if (G_UNLIKELY (entry->buffer_id >= priv->book.count))
    return fail_send (self, IO_STREAM_ERROR_NOT_FOUND, entry, "there is no such buffer", error);

  parts = parts_of (priv, entry->buffer_id);
  if (G_UNLIKELY (!_io_stream_check_entry_range (entry, parts->data_size, parts->control_size)))
    return fail_send (self, IO_STREAM_ERROR_BAD_ARGUMENT, entry,
                      "the offset and length do not lie within its parts", error);

  return TRUE;
}

static gboolean
fail_blocked (IOStream                        *self,
              IOStreamLink                    *link,
              const IOStreamBufferQueueEntry  *entry,
              GError                         **error)
{
  g_autofree char *why =
    g_strdup_printf ("client “%s” (process %d) holds %u and may hold %u", io_user_client_get_client_name (link->client),
                     io_user_client_get_pid (link->client), link->holder.count, link->limit);

  return fail_send (self, IO_STREAM_ERROR_OVERRUN, entry,
                    link->holder.count >= link->limit ? why : "clients hold all that the reserve leaves", error);
}

static gboolean
check_state_locked (IOStream                        *self,
                    IOStreamPrivate                 *priv,
                    const IOStreamBufferQueueEntry  *entry,
                    GError                         **error)
{
  if (G_UNLIKELY (priv->fork_count != _io_fork_count ()))
    return fail_send (self, IO_STREAM_ERROR_NOT_OPEN, entry, "it belongs to the parent process", error);
  if (G_UNLIKELY (priv->links->len == 0))
    return fail_send (self, IO_STREAM_ERROR_NOT_READY, entry, "no client has it open", error);
  if (G_UNLIKELY (priv->state != IO_STREAM_STATE_RUNNING))
    return fail_send (self, IO_STREAM_ERROR_NOT_READY, entry, "it is not running", error);
  if (G_UNLIKELY (priv->mode_changing))
    return fail_send (self, IO_STREAM_ERROR_BUSY, entry, "its mode is changing", error);

  return TRUE;
}

static gboolean
check_sendable_locked (IOStream                        *self,
                       IOStreamPrivate                 *priv,
                       const IOStreamBufferQueueEntry  *entry,
                       IOStreamLink                    *blocker,
                       GError                         **error)
{
  IOLoanState state = _io_loan_book_get_state (&priv->book, entry->buffer_id);

  if (G_UNLIKELY (!check_state_locked (self, priv, entry, error)))
    return FALSE;
  if (G_UNLIKELY (state == IO_LOAN_LENT))
    return fail_send (self, IO_STREAM_ERROR_BUSY, entry, "it is lent to a client", error);
  if (G_UNLIKELY (state == IO_LOAN_ARRIVED))
    return fail_send (self, IO_STREAM_ERROR_BUSY, entry, "it came back and was not dequeued yet", error);

  if (G_LIKELY (blocker == NULL) && G_UNLIKELY (!_io_stream_can_lend_locked (priv)) &&
      !_io_stream_reclaim_reserve_locked (priv))
    blocker = _io_stream_find_blocker_locked (priv, FALSE);
  if (G_UNLIKELY (blocker != NULL))
    return fail_blocked (self, blocker, entry, error);

  return TRUE;
}

/* To look at what the clients returned costs the cache lines that they write,
 * so only if that can change the answer. Gives the client that has no place all
 * the same, and does not let the owner go on. */
static IOStreamLink *
collect_locked (IOStreamPrivate *priv,
                guint32          id)
{
  gboolean lent = _io_loan_book_get_state (&priv->book, id) == IO_LOAN_LENT || !_io_stream_can_lend_locked (priv);
  IOStreamLink *blocker = NULL;

  for (guint i = 0; i < priv->links->len; i++)
    {
      IOStreamLink *link = _io_stream_link_at (priv, i);

      if (G_LIKELY (!lent && !_io_stream_link_is_full (link)))
        continue;

      _io_stream_drain_link_locked (priv, link);
      if (blocker == NULL && _io_stream_is_blocker (link))
        blocker = link;
    }
  if (G_UNLIKELY (lent))
    {
      _io_stream_history_release_locked (priv, id);
      _io_stream_history_make_room_locked (priv, 1);
    }

  return blocker;
}

/* FALSE if the client misses it. */
static gboolean
has_place (IOStreamPrivate *priv,
           IOStreamLink    *link,
           gboolean         can_lend)
{
  if (G_UNLIKELY (link->claim.word != NULL) && can_lend)
    return _io_stream_make_place_locked (priv, link);
  if (G_LIKELY (can_lend && !_io_stream_link_is_full (link)))
    return TRUE;

  link->dropped[can_lend ? IO_STREAM_DROP_NEWEST : IO_STREAM_DROP_RESERVE]++;

  return FALSE;
}

void
_io_stream_lend_to_locked (IOStreamPrivate                *priv,
                           IOStreamLink                   *link,
                           const IOStreamBufferQueueEntry *entry,
                           guint32                         flags)
{
  if (G_UNLIKELY (priv->watches_age))
    _io_stream_note_age_locked (priv, link, entry->buffer_id, entry->sequence);
  _io_loan_book_add_holder (&priv->book, entry->buffer_id, &link->holder);
  _io_ring_put_with_flags (&link->output, entry, flags);
  link->delivered++;
  link->next_number = entry->sequence + 1;
  link->has_number = TRUE;
}

static void
lend_locked (IOStreamPrivate          *priv,
             IOStreamBufferQueueEntry *entry)
{
  gboolean can_lend = _io_stream_can_lend_locked (priv);

  _io_loan_book_acquire_id (&priv->book, entry->buffer_id);
  entry->sequence = _io_loan_book_begin (&priv->book, entry->buffer_id);
  _io_stream_count_sent_locked (priv, entry->buffer_id);
  entry->timestamp = priv->timestamps ? now_ns () : 0;

  for (guint i = 0; i < priv->links->len; i++)
    {
      IOStreamLink *link = _io_stream_link_at (priv, i);

      if (link->state != IO_STREAM_STATE_RUNNING)
        continue;

      _io_stream_count_meant_locked (link, entry->sequence);
      if (!has_place (priv, link, can_lend))
        continue;

      _io_stream_lend_to_locked (priv, link, entry, 0);
    }

  if (priv->history != NULL && can_lend)
    _io_stream_history_keep_locked (priv, entry);
  _io_loan_book_settle (&priv->book, entry->buffer_id);
}

static gboolean
enqueue_locked (IOStream                        *self,
                IOStreamPrivate                 *priv,
                const IOStreamBufferQueueEntry  *entry,
                GError                         **error)
{
  IOStreamBufferQueueEntry lent = *entry;
  IOStreamLink *blocker;

  if (!check_entry_locked (self, priv, entry, error))
    return FALSE;
  blocker = collect_locked (priv, entry->buffer_id);
  if (!check_sendable_locked (self, priv, entry, blocker, error))
    return FALSE;

  lend_locked (priv, &lent);

  return TRUE;
}

void
_io_stream_notify_link_locked (IOStreamLink *link)
{
  link->announced = link->output.index;
  atomic_store_explicit (&link->own.page->produced, link->output.index, memory_order_relaxed);
  _io_stream_link_ring (link);
}

/* One client is told each time, as the owner asks for; of many those for whom
 * there is something new. */
static void
notify_locked (IOStreamPrivate *priv)
{
  if (priv->fork_count != _io_fork_count ())
    return;

  for (guint i = 0; i < priv->links->len; i++)
    {
      IOStreamLink *link = _io_stream_link_at (priv, i);

      if (link->announced == link->output.index && priv->links->len > 1)
        continue;

      _io_stream_notify_link_locked (link);
    }

  _io_stream_publish_locked (priv, FALSE);
}

/**
 * io_stream_enqueue_output_entry:
 * @self: a stream
 * @entry: which buffer, and which part of it
 * @error: return location for an error
 *
 * Puts a buffer on the output queue: it is lent to the client until that
 * returns it. The buffer must be one the owner has, or a free one, which is
 * acquired on the way. The number of the loan and the time stamp are filled in
 * by the stream; a length of 0 means no bytes.
 *
 * The client is not woken up: call io_stream_send_output_notification() after
 * one or several entries.
 *
 * Any thread. Never waits. Fails with %IO_STREAM_ERROR_NOT_READY unless the
 * stream is running, %IO_STREAM_ERROR_BUSY if the buffer is lent,
 * %IO_STREAM_ERROR_OVERRUN if a client with %IO_STREAM_DELIVERY_BLOCK holds as
 * many as it may, or the reserve would be touched, %IO_STREAM_ERROR_NOT_FOUND
 * for an unknown number, and %IO_STREAM_ERROR_BAD_ARGUMENT if the range is not
 * within the buffer. The buffer then stays where it was. Apple's
 * enqueueOutputEntry().
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_enqueue_output_entry (IOStream                        *self,
                                const IOStreamBufferQueueEntry  *entry,
                                GError                         **error)
{
  IOStreamPrivate *priv;
  gboolean done;

  g_return_val_if_fail (IO_IS_STREAM (self), FALSE);
  g_return_val_if_fail (entry != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  priv = _io_stream_get_private (self);
  g_mutex_lock (&priv->lock);
  done = enqueue_locked (self, priv, entry, error);
  g_mutex_unlock (&priv->lock);

  return done;
}

static gboolean
check_home (IOStream        *self,
            IOStreamBuffer  *buffer,
            GError         **error)
{
  if (G_LIKELY (_io_stream_buffer_peek_home (buffer) == self))
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND,
               "Cannot send a buffer with stream “%s”: it is not in it",
               io_service_get_name (IO_SERVICE (self)));
  return FALSE;
}

/**
 * io_stream_enqueue_output_buffer:
 * @self: a stream
 * @buffer: one of its buffers
 * @data_offset: where the valid bytes start in the data part
 * @data_length: number of valid bytes in the data part; 0 means none
 * @control_offset: where the valid bytes start in the control part
 * @control_length: number of valid bytes in the control part; 0 means none
 * @error: return location for an error
 *
 * Puts a buffer on the output queue; see io_stream_enqueue_output_entry().
 *
 * Any thread. Never waits. Apple's enqueueOutputBuffer().
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_enqueue_output_buffer (IOStream        *self,
                                 IOStreamBuffer  *buffer,
                                 guint32          data_offset,
                                 guint32          data_length,
                                 guint32          control_offset,
                                 guint32          control_length,
                                 GError         **error)
{
  IOStreamBufferQueueEntry entry = { 0, };

  g_return_val_if_fail (IO_IS_STREAM (self), FALSE);
  g_return_val_if_fail (IO_IS_STREAM_BUFFER (buffer), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!check_home (self, buffer, error))
    return FALSE;

  entry.buffer_id = _io_stream_buffer_peek_id (buffer);
  entry.data_offset = data_offset;
  entry.data_length = data_length;
  entry.control_offset = control_offset;
  entry.control_length = control_length;

  return io_stream_enqueue_output_entry (self, &entry, error);
}

/**
 * io_stream_send_buffer:
 * @self: a stream
 * @buffer: one of its buffers, that the owner has
 * @error: return location for an error
 *
 * Sends a whole buffer and wakes the client:
 * io_stream_enqueue_output_buffer() with everything in it and
 * io_stream_send_output_notification() in one call.
 *
 * Any thread. Never waits. Fails as io_stream_enqueue_output_entry(); the
 * owner then still has the buffer.
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_send_buffer (IOStream        *self,
                       IOStreamBuffer  *buffer,
                       GError         **error)
{
  const IOStreamBufferParts *parts;
  IOStreamBufferQueueEntry entry = { 0, };
  IOStreamPrivate *priv;
  gboolean done;

  g_return_val_if_fail (IO_IS_STREAM (self), FALSE);
  g_return_val_if_fail (IO_IS_STREAM_BUFFER (buffer), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!check_home (self, buffer, error))
    return FALSE;

  priv = _io_stream_get_private (self);
  parts = _io_stream_buffer_peek_parts (buffer);
  entry.buffer_id = _io_stream_buffer_peek_id (buffer);
  entry.data_length = (guint32) parts->data_size;
  entry.control_length = (guint32) parts->control_size;

  g_mutex_lock (&priv->lock);
  done = enqueue_locked (self, priv, &entry, error);
  if (done)
    notify_locked (priv);
  g_mutex_unlock (&priv->lock);

  return done;
}

/**
 * io_stream_send_output_notification:
 * @self: a stream
 * @error: return location for an error
 *
 * Tells the client to look at the output queue. One notification may cover
 * many entries; nothing is sent to a client that is awake, and without a
 * client it is a success that does nothing.
 *
 * Any thread. Never waits. Apple's sendOutputNotification().
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_send_output_notification (IOStream  *self,
                                    GError   **error)
{
  IOStreamPrivate *priv;

  g_return_val_if_fail (IO_IS_STREAM (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  priv = _io_stream_get_private (self);
  g_mutex_lock (&priv->lock);
  notify_locked (priv);
  g_mutex_unlock (&priv->lock);

  return TRUE;
}

/**
 * io_stream_dequeue_input_entry:
 * @self: a stream
 * @entry: (out caller-allocates): where to put the entry
 *
 * Takes the oldest buffer that a client filled and returned. The owner has it
 * now: send it again, or give it free with io_stream_release_buffer(). In
 * output mode returned buffers are free at once and none appears here.
 *
 * What stands in @entry was checked: the number is one of this stream's, and
 * the ranges lie within the buffer. The bytes themselves are the client's, and
 * may change as long as it can write them.
 *
 * Any thread. Never waits. Apple's dequeueInputEntry().
 *
 * Returns: %TRUE if there was one, %FALSE if the queue is empty
 * Since: 1.0
 */
gboolean
io_stream_dequeue_input_entry (IOStream                 *self,
                               IOStreamBufferQueueEntry *entry)
{
  IOStreamPrivate *priv;
  gboolean found;

  g_return_val_if_fail (IO_IS_STREAM (self), FALSE);
  g_return_val_if_fail (entry != NULL, FALSE);

  priv = _io_stream_get_private (self);
  g_mutex_lock (&priv->lock);
  _io_stream_drain_locked (priv);
  found = _io_loan_book_next_arrival (&priv->book, entry);
  g_mutex_unlock (&priv->lock);

  return found;
}
