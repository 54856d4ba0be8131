/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-buffer-queue-entry.h"

/**
 * SECTION:io-stream-buffer-queue-entry
 * @title: IOStreamBufferQueueEntry
 * @short_description: One entry of a queue: a buffer and the part of it that counts
 *
 * What travels between the owner of a stream and its clients is not payload
 * but an #IOStreamBufferQueueEntry: the number of a buffer, which bytes of its
 * data part and of its control part count, and the number of the loan under
 * which the buffer is away. Whoever returns a buffer gives back the entry that
 * it got, or one with the same buffer number and the same number of the loan.
 *
 * It is plain memory with no reference to anything, so it is as cheap as a
 * copy of 40 bytes. It answers to Apple's IOStreamBufferQueueEntry.
 */

G_DEFINE_BOXED_TYPE (IOStreamBufferQueueEntry, io_stream_buffer_queue_entry,
                     io_stream_buffer_queue_entry_copy,
                     io_stream_buffer_queue_entry_free)

/**
 * io_stream_buffer_queue_entry_new:
 *
 * Makes an entry with all fields 0. In C, put entries on the stack instead.
 *
 * Any thread.
 *
 * Returns: (transfer full): the new entry; free it with
 *   io_stream_buffer_queue_entry_free()
 * Since: 1.0
 */
IOStreamBufferQueueEntry *
io_stream_buffer_queue_entry_new (void)
{
  return g_new0 (IOStreamBufferQueueEntry, 1);
}

/**
 * io_stream_buffer_queue_entry_copy:
 * @self: an entry
 *
 * Copies an entry.
 *
 * Any thread.
 *
 * Returns: (transfer full): the copy
 * Since: 1.0
 */
IOStreamBufferQueueEntry *
io_stream_buffer_queue_entry_copy (const IOStreamBufferQueueEntry *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return g_memdup2 (self, sizeof *self);
}

/**
 * io_stream_buffer_queue_entry_free:
 * @self: (transfer full): an entry made by io_stream_buffer_queue_entry_new()
 *   or io_stream_buffer_queue_entry_copy()
 *
 * Frees an entry.
 *
 * Any thread.
 *
 * Since: 1.0
 */
void
io_stream_buffer_queue_entry_free (IOStreamBufferQueueEntry *self)
{
  g_free (self);
}
