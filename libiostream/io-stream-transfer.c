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

/* The client did what no honest client does. Its connection is ended by the
 * context; until then nothing more is taken from it. */
static void
note_violation (IOStreamLink                   *link,
                const IOStreamBufferQueueEntry *entry,
                const char                     *what)
{
  link->violation = g_strdup_printf ("returned buffer %u under number %u, data %u+%u, control %u+%u: %s",
                                     entry->buffer_id, entry->sequence,
                                     entry->data_offset, entry->data_length,
                                     entry->control_offset, entry->control_length, what);
  link->is_broken = TRUE;
  _io_notification_port_wake (link->port);
}

static gboolean
take_back (IOStreamPrivate                *priv,
           IOStreamLink                   *link,
           const IOStreamBufferQueueEntry *entry)
{
  gboolean arrival = priv->mode != IO_STREAM_MODE_OUTPUT;
  const IOStreamBufferParts *parts;

  if (entry->buffer_id >= priv->book.count)
    {
      note_violation (link, entry, "there is no such buffer");
      return FALSE;
    }

  parts = parts_of (priv, entry->buffer_id);
  if (!_io_stream_check_entry_range (entry, parts->data_size, parts->control_size))
    {
      note_violation (link, entry, "outside of the buffer");
      return FALSE;
    }

  if (_io_loan_book_give_back (&priv->book, &link->holder, entry, arrival) == IO_LOAN_NOT_LENT)
    {
      note_violation (link, entry, "it is not lent to this client under this number");
      return FALSE;
    }

  return TRUE;
}

/* The one place where loans end in steady flow. Bounded: a client cannot
 * return more than it holds. */
guint
_io_stream_drain_locked (IOStreamPrivate *priv)
{
  IOStreamLink *link = priv->link;
  IOStreamBufferQueueEntry entry;
  guint n_home = 0;

  if (link == NULL || !link->ready || link->violation != NULL || priv->fork_count != _io_fork_count ())
    return 0;

  link->n_acquired = 0;
  while (_io_ring_take (&link->input, &entry) && take_back (priv, link, &entry))
    n_home++;

  if (n_home > 0)
    {
      atomic_store_explicit (&link->has_news, TRUE, memory_order_relaxed);
      link->starved = FALSE;
      if (priv->n_waiters > 0)
        g_cond_broadcast (&priv->cond);
    }
  /* Last: who sees that these entries are gone sees the news of them too. */
  atomic_store_explicit (&link->next_input, link->input.index, memory_order_release);

  return n_home;
}

/* Without the lock: the port is rung and woken with it held. */
static gboolean
link_is_ready (gpointer owner)
{
  IOStreamLink *link = owner;
  guint64 next = atomic_load_explicit (&link->next_input, memory_order_acquire);

  return link->ready &&
         (_io_ring_is_published (&link->input, next) || link->has_news || link->is_broken);
}

/* After the announcement the link may be gone, with everything in it. */
static gboolean
link_dispatch (gpointer owner)
{
  IOStreamLink *link = owner;
  g_autoptr (IOStream) stream = g_object_ref (link->stream);
  g_autoptr (IOUserClient) client = g_object_ref (link->client);
  IOStreamPrivate *priv = _io_stream_get_private (stream);
  g_autofree char *violation = NULL;
  gboolean has_news;
  guint32 token;

  g_mutex_lock (&priv->lock);
  _io_stream_drain_locked (priv);
  has_news = link->has_news;
  link->has_news = FALSE;
  violation = g_steal_pointer (&link->violation);
  link->is_broken = FALSE;
  link->ready = link->ready && violation == NULL;
  token = atomic_load_explicit (&link->peer.page->token, memory_order_relaxed);
  atomic_store_explicit (&link->own.page->consumed, link->input.index, memory_order_relaxed);
  g_mutex_unlock (&priv->lock);

  if (has_news)
    _io_stream_announce_input (stream, token);
  if (violation != NULL)
    _io_user_client_violation (client, "%s", violation);

  return has_news;
}

/* The bell alone says nothing about the client: its control socket does. */
static void
link_hang_up (gpointer owner)
{
}

/* A stream whose returns nobody waits for lets its owner sleep: they are
 * collected when the next buffer is acquired. */
static gboolean
link_wants_ring (gpointer owner)
{
  IOStreamLink *link = owner;
  IOStreamPrivate *priv = _io_stream_get_private (link->stream);

  return priv->mode != IO_STREAM_MODE_OUTPUT || priv->n_waiters > 0 || link->is_broken ||
         _io_stream_has_input_listener (link->stream);
}

const IONotificationPortFuncs _io_stream_port_funcs = {
  link_is_ready,
  link_dispatch,
  link_hang_up,
  link_wants_ring
};

static void
set_no_space_error (IOStream         *self,
                    IOStreamPrivate  *priv,
                    GError          **error)
{
  const char *name = io_service_get_name (IO_SERVICE (self));
  IOStreamLink *link = priv->link;

  if (link != NULL && link->holder.count > 0)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_SPACE,
                 "No buffer of stream “%s” is free: client “%s” (process %d) holds %u of %u",
                 name, io_user_client_get_client_name (link->client),
                 io_user_client_get_pid (link->client), link->holder.count, priv->book.count);
  else
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_SPACE,
                 "No buffer of stream “%s” is free: the owner has all %u",
                 name, priv->book.count);
}

/* An owner that found nothing may wait for #IOStream::input now: the context
 * looks again whether somebody does. Once, so that trying often costs it
 * nothing. */
static void
ask_for_returns (IOStreamLink *link)
{
  if (link == NULL || link->starved)
    return;

  link->starved = TRUE;
  _io_notification_port_wake (link->port);
}

/* Now and then, or when there is no other way. */
static void
collect_locked (IOStreamPrivate *priv)
{
  IOStreamLink *link = priv->link;

  if (link != NULL && (priv->book.n_free == 0 || ++link->n_acquired >= link->collect_every))
    _io_stream_drain_locked (priv);
}

/**
 * io_stream_acquire_buffer:
 * @self: a stream
 * @error: return location for an error
 *
 * Takes a free buffer, so that the owner can fill it: from now on until it is
 * sent or released nobody else has it. The stream keeps its reference.
 * Collects what clients have returned, not every time if the buffers are
 * small and some are free; never waits.
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
  id = _io_loan_book_acquire (&priv->book);
  if (G_LIKELY (id != IO_STREAM_BUFFER_ID_INVALID))
    buffer = g_ptr_array_index (priv->buffers, id);
  else
    set_no_space_error (self, priv, error);
  if (buffer == NULL)
    ask_for_returns (priv->link);
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
  IOStreamLink *link = priv->link;

  if (id >= priv->book.count)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND,
                 "Stream “%s” has no buffer %u, only %u of them", name, id, priv->book.count);
  else if (link != NULL && _io_loan_holder_has (&link->holder, id))
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
 * number, as device drivers do whose hardware has a fixed order.
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
    _io_stream_drain_locked (priv);
  if (buffer_id < priv->book.count && _io_loan_book_acquire_id (&priv->book, buffer_id))
    buffer = g_ptr_array_index (priv->buffers, buffer_id);
  else
    set_busy_error (self, priv, buffer_id, error);
  if (buffer == NULL)
    ask_for_returns (priv->link);
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
check_sendable_locked (IOStream                        *self,
                       IOStreamPrivate                 *priv,
                       const IOStreamBufferQueueEntry  *entry,
                       GError                         **error)
{
  IOLoanState state = _io_loan_book_get_state (&priv->book, entry->buffer_id);

  if (G_UNLIKELY (priv->fork_count != _io_fork_count ()))
    return fail_send (self, IO_STREAM_ERROR_NOT_OPEN, entry, "it belongs to the parent process", error);
  if (G_UNLIKELY (priv->link == NULL))
    return fail_send (self, IO_STREAM_ERROR_NOT_READY, entry, "no client has it open", error);
  if (G_UNLIKELY (priv->state != IO_STREAM_STATE_RUNNING))
    return fail_send (self, IO_STREAM_ERROR_NOT_READY, entry, "it is not running", error);
  if (G_UNLIKELY (priv->mode_changing))
    return fail_send (self, IO_STREAM_ERROR_BUSY, entry, "its mode is changing", error);
  if (G_UNLIKELY (state == IO_LOAN_LENT))
    return fail_send (self, IO_STREAM_ERROR_BUSY, entry, "it is lent to a client", error);
  if (G_UNLIKELY (state == IO_LOAN_ARRIVED))
    return fail_send (self, IO_STREAM_ERROR_BUSY, entry, "it came back and was not dequeued yet", error);
  if (G_UNLIKELY (priv->link->holder.count >= priv->link->limit))
    return fail_send (self, IO_STREAM_ERROR_OVERRUN, entry, "the client holds as many as its queue has places", error);

  return TRUE;
}

/* To look at what the client returned costs the cache line that it writes, so
 * only if that can change the answer. */
static gboolean
needs_returns_locked (IOStreamPrivate *priv,
                      guint32          id)
{
  return priv->link != NULL &&
         (_io_loan_book_get_state (&priv->book, id) == IO_LOAN_LENT ||
          priv->link->holder.count >= priv->link->limit);
}

static gboolean
enqueue_locked (IOStream                        *self,
                IOStreamPrivate                 *priv,
                const IOStreamBufferQueueEntry  *entry,
                GError                         **error)
{
  IOStreamBufferQueueEntry lent = *entry;
  IOStreamLink *link = priv->link;

  if (!check_entry_locked (self, priv, entry, error))
    return FALSE;
  if (G_UNLIKELY (needs_returns_locked (priv, entry->buffer_id)))
    _io_stream_drain_locked (priv);
  if (!check_sendable_locked (self, priv, entry, error))
    return FALSE;

  _io_loan_book_acquire_id (&priv->book, lent.buffer_id);
  lent.sequence = _io_loan_book_lend (&priv->book, lent.buffer_id, &link->holder);
  lent.timestamp = priv->timestamps ? now_ns () : 0;
  _io_ring_put (&link->output, &lent);

  return TRUE;
}

static void
notify_locked (IOStreamPrivate *priv)
{
  IOStreamLink *link = priv->link;

  if (link == NULL || priv->fork_count != _io_fork_count ())
    return;

  atomic_store_explicit (&link->own.page->produced, link->output.index, memory_order_relaxed);
  _io_stream_link_ring (link);
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
 * %IO_STREAM_ERROR_OVERRUN if the queue is full, %IO_STREAM_ERROR_NOT_FOUND
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
