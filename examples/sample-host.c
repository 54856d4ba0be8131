/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The host of sample-device.
 *
 * sample-host capture NAME COUNT KEEP: takes COUNT pictures of the stream NAME,
 * and keeps each until KEEP more have come, as an encoder does, and the first
 * one to the end, as a still. Says whether the pictures were still what they
 * were when it let go of them.
 *
 * sample-host playback NAME COUNT: shows COUNT pictures of its own. */

#include <libiostream/iostream.h>

#include "frame-info.h"

#include <locale.h>
#include <stdlib.h>

/* A picture that somebody still needs. */
typedef struct {
  IOStreamBufferQueueEntry entry;
  guint64                  number;
} Kept;

/* Nothing of the peer's proves anything: sizes come from the entry, which was
 * checked. */
static gboolean
is_picture (IOStreamConnection             *connection,
            const IOStreamBufferQueueEntry *entry,
            guint64                        *number)
{
  const guint8 *picture = io_stream_connection_peek_data_buffer (connection, entry->buffer_id, NULL);
  const FrameInfo *info = io_stream_connection_peek_control_buffer (connection, entry->buffer_id, NULL);

  if (entry->control_length < sizeof *info || entry->data_length % 8 != 0)
    return FALSE;

  *number = info->number;
  return info->magic == FRAME_INFO_MAGIC &&
         info->checksum == frame_checksum (picture + entry->data_offset, entry->data_length);
}

static gboolean
wait_for_entry (IOStreamConnection        *connection,
                IOStreamBufferQueueEntry  *entry,
                GError                   **error)
{
  while (!io_stream_connection_dequeue_output_entry (connection, entry))
    if (!io_stream_connection_wait (connection, -1, NULL, error))
      return FALSE;

  return TRUE;
}

/* FALSE if it is another picture now. */
static gboolean
let_go (IOStreamConnection *connection,
        Kept               *picture)
{
  g_autofree Kept *oldest = picture;
  guint64 number = 0;
  gboolean same = is_picture (connection, &oldest->entry, &number) && number == oldest->number;

  if (!io_stream_connection_return_entry (connection, &oldest->entry, NULL) ||
      !io_stream_connection_send_input_notification (connection, 0xAA, NULL))
    return FALSE;

  return same;
}

static gboolean
capture (IOStreamConnection  *connection,
         guint                count,
         guint                keep,
         GError             **error)
{
  GQueue kept = G_QUEUE_INIT;
  guint n_broken = 0, n_changed = 0;

  /* One must be left to take the next picture. */
  keep = MIN (keep, MAX (io_stream_connection_get_buffer_count (connection), 2) - 2);

  for (guint i = 0; i < count; i++)
    {
      Kept *picture = g_new0 (Kept, 1);

      if (!wait_for_entry (connection, &picture->entry, error))
        {
          g_free (picture);
          g_queue_clear_full (&kept, g_free);
          return FALSE;
        }
      n_broken += !is_picture (connection, &picture->entry, &picture->number);
      g_queue_push_tail (&kept, picture);
      if (kept.length > keep + 1)
        n_changed += !let_go (connection, g_queue_pop_nth (&kept, 1));
    }
  while (kept.length > 0)
    n_changed += !let_go (connection, g_queue_pop_head (&kept));

  g_print ("captured %u, broken %u, changed while kept %u\n", count, n_broken, n_changed);
  return TRUE;
}

static void
fill (IOStreamConnection       *connection,
      IOStreamBufferQueueEntry *entry,
      guint64                   number)
{
  gsize size, room;
  guint8 *picture = io_stream_connection_peek_data_buffer (connection, entry->buffer_id, &size);
  FrameInfo *info = io_stream_connection_peek_control_buffer (connection, entry->buffer_id, &room);

  memset (picture, (int) number & 0xff, size);
  if (room >= sizeof *info)
    *info = (FrameInfo) {
      .magic = FRAME_INFO_MAGIC, .number = number, .checksum = frame_checksum (picture, size)
    };
  entry->data_offset = entry->control_offset = 0;
  entry->data_length = (guint32) size;
  entry->control_length = (guint32) room;
}

static gboolean
playback (IOStreamConnection  *connection,
          guint                count,
          GError             **error)
{
  for (guint i = 0; i < count; i++)
    {
      IOStreamBufferQueueEntry entry;

      if (!wait_for_entry (connection, &entry, error))
        return FALSE;
      fill (connection, &entry, i);
      if (!io_stream_connection_enqueue_input_entry (connection, &entry, error) ||
          !io_stream_connection_send_input_notification (connection, 0xAA, error))
        return FALSE;
    }

  g_print ("played %u\n", count);
  return TRUE;
}

int
main (int    argc,
      char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (IOStreamConnection) connection = NULL;
  gboolean captures = argc > 1 && strcmp (argv[1], "capture") == 0;
  gboolean done;

  setlocale (LC_ALL, "");
  if (argc != (captures ? 5 : 4) || (!captures && strcmp (argv[1], "playback") != 0))
    {
      g_printerr ("Usage: sample-host capture NAME COUNT KEEP\n"
                  "       sample-host playback NAME COUNT\n");
      return 2;
    }

  connection = io_stream_connection_open_name (argv[2], NULL, &error);
  done = connection != NULL && io_stream_connection_start (connection, NULL, &error);
  if (done && captures)
    done = capture (connection, (guint) atoi (argv[3]), (guint) atoi (argv[4]), &error);
  else if (done)
    done = playback (connection, (guint) atoi (argv[3]), &error);
  if (done)
    done = io_stream_connection_stop (connection, NULL, &error) &&
           io_connection_close (IO_CONNECTION (connection), NULL, &error);

  if (!done)
    g_printerr ("sample-host: %s\n", error->message);

  return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
