/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Buffers that are added while a client has the stream open. */

#include "grow-util.h"

#include "libiostream/io-stream-private.h"

#include <poll.h>

static void
set_up (StreamPair    *pair,
        gconstpointer  data)
{
  grow_util_set_up (pair, IO_STREAM_MODE_OUTPUT, 2, 16);
}

static void
set_up_exact (StreamPair    *pair,
              gconstpointer  data)
{
  grow_util_set_up (pair, IO_STREAM_MODE_OUTPUT, 5, 0);
}

static void
set_up_empty (StreamPair    *pair,
              gconstpointer  data)
{
  grow_util_set_up (pair, IO_STREAM_MODE_OUTPUT, 0, 0);
}

static void
tear_down (StreamPair    *pair,
           gconstpointer  data)
{
  stream_util_tear_down (pair);
}

/* Until the end of the tear-down. */
static guint n_notified;

static void
count_cb (gpointer  object,
          guint    *count)
{
  ++*count;
}

static void
count_notify_cb (gpointer    object,
                 GParamSpec *pspec,
                 guint      *count)
{
  ++*count;
}

/* Sends all that are free; the byte is the number. */
static guint
send_all (IOStream *stream)
{
  guint n = 0;

  for (;;)
    {
      IOStreamBuffer *buffer = io_stream_acquire_buffer (stream, NULL);
      gsize length;
      guint8 *bytes;

      if (buffer == NULL)
        return n;
      bytes = io_stream_buffer_peek_data (buffer, &length);
      memset (bytes, (int) io_stream_buffer_get_buffer_id (buffer), length);
      stream_util_assert_works (io_stream_send_buffer (stream, buffer, err));
      n++;
    }
}

static void
check_entry (IOStreamConnection             *client,
             const IOStreamBufferQueueEntry *entry)
{
  gsize length;
  const guint8 *bytes = io_stream_connection_peek_data_buffer (client, entry->buffer_id, &length);

  g_assert_nonnull (bytes);
  g_assert_cmpuint (entry->data_length, ==, length);
  g_assert_cmpuint (bytes[0], ==, entry->buffer_id);
  g_assert_cmpuint (bytes[length - 1], ==, entry->buffer_id);
}

/* With the main loop: the signal comes before the output that needs it. */
static void
output_cb (IOStreamConnection *client,
           StreamPair         *pair)
{
  IOStreamBufferQueueEntry entry;

  while (io_stream_connection_dequeue_output_entry (client, &entry))
    {
      check_entry (client, &entry);
      if (entry.buffer_id >= 2)
        g_assert_cmpint (pair->n_client, >, 0);
      pair->n_owner++;
      stream_util_return (client, &entry);
    }
}

static void
test_context (StreamPair    *pair,
              gconstpointer  data)
{
  n_notified = 0;
  g_signal_connect (pair->client, "buffers-changed", G_CALLBACK (count_cb), &pair->n_client);
  g_signal_connect (pair->client, "notify::buffer-count", G_CALLBACK (count_notify_cb), &n_notified);
  g_signal_connect (pair->client, "output-available", G_CALLBACK (output_cb), pair);
  stream_util_start (pair->client);
  g_assert_cmpuint (send_all (pair->stream), ==, 2);
  stream_util_iterate_until (pair->n_owner == 2);
  g_assert_cmpint (pair->n_client, ==, 0);
  g_assert_cmpuint (io_stream_connection_get_buffer_count (pair->client), ==, 2);

  grow_util_add (pair, 3, IO_STREAM_PEER_ACCESS_READ, 0);
  g_assert_cmpuint (io_stream_get_buffer_count (pair->stream), ==, 5);
  g_assert_cmpuint (send_all (pair->stream), ==, 5);
  stream_util_iterate_until (pair->n_owner == 7);
  g_assert_cmpint (pair->n_client, ==, 1);
  g_assert_cmpuint (n_notified, ==, 1);
  g_assert_cmpuint (io_stream_connection_get_buffer_count (pair->client), ==, 5);

  /* nothing is sent, and it is heard all the same */
  grow_util_add (pair, 1, IO_STREAM_PEER_ACCESS_READ, 0);
  stream_util_iterate_until (pair->n_client == 2);
  g_assert_cmpuint (io_stream_connection_get_buffer_count (pair->client), ==, 6);
  g_assert_cmpuint (io_stream_connection_get_data_buffer_length (pair->client, 5), ==, GROW_SIZE);
  g_assert_cmpuint (io_stream_connection_get_data_buffer_length (pair->client, 3), ==, GROW_SIZE + 1);
  g_assert_cmpuint (io_stream_connection_get_control_buffer_length (pair->client, 3), ==, 40);
  g_assert_null (io_connection_get_error (IO_CONNECTION (pair->client)));
}

/* A client that blocks and never runs its context. */
static void
test_blocking (StreamPair    *pair,
               gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;
  guint seen = 0;

  g_signal_connect (pair->client, "buffers-changed", G_CALLBACK (count_cb), &pair->n_client);
  stream_util_start (pair->client);
  for (guint round = 1; round <= 4; round++)
    {
      guint n;

      grow_util_add (pair, 3, IO_STREAM_PEER_ACCESS_READ, 0);
      n = send_all (pair->stream);
      g_assert_cmpuint (n, ==, 2 + 3 * round);
      while (n-- > 0)
        {
          stream_util_assert_works (io_stream_connection_wait (pair->client, STREAM_UTIL_TIMEOUT, NULL, err));
          g_assert_true (io_stream_connection_dequeue_output_entry (pair->client, &entry));
          check_entry (pair->client, &entry);
          seen = MAX (seen, entry.buffer_id);
          stream_util_return (pair->client, &entry);
        }
    }
  g_assert_cmpuint (seen, ==, 13);
  g_assert_cmpuint (io_stream_connection_get_buffer_count (pair->client), ==, 14);
  g_assert_cmpint (pair->n_client, ==, 0);
  stream_util_iterate_until (pair->n_client > 0);
  stream_util_settle ();
  g_assert_cmpint (pair->n_client, ==, 1);
}

/* One that does nothing but dequeue. */
static void
test_polling (StreamPair    *pair,
              gconstpointer  data)
{
  gint64 deadline = g_get_monotonic_time () + STREAM_UTIL_TIMEOUT;
  IOStreamBufferQueueEntry entry;
  guint n = 0, n_sent;

  io_stream_connection_set_notify_in_context (pair->client, FALSE);
  stream_util_start (pair->client);
  grow_util_add (pair, 6, IO_STREAM_PEER_ACCESS_READ, 0);
  n_sent = send_all (pair->stream);
  g_assert_cmpuint (n_sent, ==, 8);
  while (n < n_sent)
    {
      g_assert_cmpint (g_get_monotonic_time (), <, deadline);
      if (!io_stream_connection_dequeue_output_entry (pair->client, &entry))
        continue;
      check_entry (pair->client, &entry);
      stream_util_return (pair->client, &entry);
      n++;
    }
  g_assert_cmpuint (io_stream_connection_get_buffer_count (pair->client), ==, 8);
  g_assert_cmpuint (io_stream_connection_get_lost (pair->client), ==, 0);
}

/* A foreign loop. */
static void
test_foreign_loop (StreamPair    *pair,
                   gconstpointer  data)
{
  struct pollfd fd = { io_stream_connection_get_fd (pair->client), POLLIN, 0 };
  gint64 deadline = g_get_monotonic_time () + STREAM_UTIL_TIMEOUT;
  IOStreamBufferQueueEntry entry;
  guint n = 0, n_sent;

  stream_util_start (pair->client);
  grow_util_add (pair, 2, IO_STREAM_PEER_ACCESS_READ, 0);
  n_sent = send_all (pair->stream);
  while (n < n_sent)
    {
      g_assert_cmpint (g_get_monotonic_time (), <, deadline);
      if (io_stream_connection_prepare_wait (pair->client))
        poll (&fd, 1, 1000);
      io_stream_connection_finish_wait (pair->client);
      while (io_stream_connection_dequeue_output_entry (pair->client, &entry))
        {
          check_entry (pair->client, &entry);
          stream_util_return (pair->client, &entry);
          n++;
        }
    }
  g_assert_cmpuint (io_stream_connection_get_buffer_count (pair->client), ==, 4);
}

static gboolean
source_cb (gpointer user_data)
{
  StreamPair *pair = user_data;
  IOStreamBufferQueueEntry entry;

  while (io_stream_connection_dequeue_output_entry (pair->client, &entry))
    {
      check_entry (pair->client, &entry);
      stream_util_return (pair->client, &entry);
      pair->n_client++;
    }

  return G_SOURCE_CONTINUE;
}

/* A source of the program's own. */
static void
test_source (StreamPair    *pair,
             gconstpointer  data)
{
  g_autoptr (GSource) source = io_stream_connection_create_source (pair->client, NULL);

  g_source_set_callback (source, source_cb, pair, NULL);
  g_source_attach (source, NULL);
  stream_util_start (pair->client);
  grow_util_add (pair, 2, IO_STREAM_PEER_ACCESS_READ, 0);
  g_assert_cmpuint (send_all (pair->stream), ==, 4);
  stream_util_iterate_until (pair->n_client == 4);
  g_source_destroy (source);
}

/* The queues are as long as there were buffers, rounded up. */
static void
test_room (StreamPair    *pair,
           gconstpointer  data)
{
  n_notified = 0;
  g_signal_connect (pair->stream, "notify::buffer-count", G_CALLBACK (count_notify_cb), &n_notified);
  grow_util_add (pair, 4, IO_STREAM_PEER_ACCESS_READ, IO_STREAM_ERROR_STILL_OPEN);
  g_assert_cmpuint (io_stream_get_buffer_count (pair->stream), ==, 5);
  g_assert_cmpuint (n_notified, ==, 0);
  grow_util_add (pair, 3, IO_STREAM_PEER_ACCESS_READ, 0);
  grow_util_add (pair, 1, IO_STREAM_PEER_ACCESS_READ, IO_STREAM_ERROR_STILL_OPEN);
  grow_util_add (pair, 0, IO_STREAM_PEER_ACCESS_READ, 0);
  g_assert_cmpuint (n_notified, ==, 1);
  stream_util_start (pair->client);
  g_assert_cmpuint (send_all (pair->stream), ==, 8);
  stream_util_close (pair->client);

  grow_util_add (pair, 1, IO_STREAM_PEER_ACCESS_READ, 0);
  stream_util_assert_works (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err));
  g_assert_cmpuint (io_stream_connection_get_buffer_count (pair->client), ==, 9);
}

/* A queue of a given length never refuses buffers: it limits what is lent. */
static void
test_limit (StreamPair    *pair,
            gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;
  IOStreamBuffer *buffer;

  stream_util_start (pair->client);
  grow_util_add (pair, 30, IO_STREAM_PEER_ACCESS_READ, 0);
  for (guint i = 0; i < 16; i++)
    stream_util_send (pair->stream, 7);
  buffer = io_stream_acquire_buffer (pair->stream, NULL);
  stream_util_assert_fails (io_stream_send_buffer (pair->stream, buffer, err), IO_STREAM_ERROR_OVERRUN);
  for (guint i = 0; i < 16; i++)
    {
      stream_util_take (pair->client, 7, &entry);
      stream_util_return (pair->client, &entry);
    }
  stream_util_assert_works (io_stream_send_buffer (pair->stream, buffer, err));
}

/* None at first. */
static void
test_empty (StreamPair    *pair,
            gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  g_assert_cmpuint (io_stream_connection_get_buffer_count (pair->client), ==, 0);
  stream_util_start (pair->client);
  stream_util_assert_fails (io_stream_acquire_buffer (pair->stream, err), IO_STREAM_ERROR_NO_SPACE);
  grow_util_add (pair, 4, IO_STREAM_PEER_ACCESS_READ, 0);
  stream_util_send (pair->stream, 5);
  stream_util_take (pair->client, 5, &entry);
  g_assert_cmpuint (entry.buffer_id, ==, 0);
  stream_util_return (pair->client, &entry);
  grow_util_add (pair, 1, IO_STREAM_PEER_ACCESS_READ, IO_STREAM_ERROR_STILL_OPEN);
}

/* What somebody has stays with him. */
static void
test_loans_stay (StreamPair    *pair,
                 gconstpointer  data)
{
  IOStreamBuffer *owned, *lent;
  IOStreamBufferQueueEntry entry;

  stream_util_start (pair->client);
  stream_util_send (pair->stream, 3);
  lent = io_stream_get_buffer_with_id (pair->stream, 0);
  owned = io_stream_acquire_buffer (pair->stream, NULL);
  grow_util_add (pair, 60, IO_STREAM_PEER_ACCESS_READ, 0);
  g_assert_cmpint (io_stream_buffer_get_client_reference_count (lent), ==, 1);
  stream_util_assert_fails (io_stream_send_buffer (pair->stream, lent, err), IO_STREAM_ERROR_BUSY);
  io_stream_release_buffer (pair->stream, owned);
  /* what is warm comes first */
  g_assert_true (io_stream_acquire_buffer (pair->stream, NULL) == owned);
  g_assert_cmpuint (io_stream_buffer_get_buffer_id (io_stream_acquire_buffer (pair->stream, NULL)), ==, 2);
  stream_util_take (pair->client, 3, &entry);
  g_assert_cmpuint (entry.buffer_id, ==, 0);
  stream_util_return (pair->client, &entry);
}

/* Inside of a virtual method. */
static void
start_hook (TestStream    *self,
            IOStreamState  target)
{
  g_autoptr (GPtrArray) buffers = grow_util_new_buffers (2, IO_STREAM_PEER_ACCESS_READ);

  if (target != IO_STREAM_STATE_RUNNING)
    return;
  stream_util_assert_works (io_stream_add_buffers (IO_STREAM (self), buffers, err));
  g_assert_cmpuint (send_all (IO_STREAM (self)), ==, 4);
}

static void
test_in_start (StreamPair    *pair,
               gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  ((TestStream *) pair->stream)->hook = start_hook;
  stream_util_start (pair->client);
  for (guint n = 0; n < 4; n++)
    {
      stream_util_assert_works (io_stream_connection_wait (pair->client, STREAM_UTIL_TIMEOUT, NULL, err));
      g_assert_true (io_stream_connection_dequeue_output_entry (pair->client, &entry));
      check_entry (pair->client, &entry);
    }
}

/* Who listens to the number of one buffer adds another. */
static void
add_more_cb (IOStreamBuffer *buffer,
             GParamSpec     *pspec,
             IOStream       *stream)
{
  g_autoptr (GPtrArray) more = grow_util_new_buffers (1, IO_STREAM_PEER_ACCESS_READ);

  if (io_stream_buffer_get_buffer_id (buffer) != IO_STREAM_BUFFER_ID_INVALID &&
      io_stream_get_buffer_count (stream) < 6)
    stream_util_assert_works (io_stream_add_buffers (stream, more, err));
}

static void
test_in_notify (StreamPair    *pair,
                gconstpointer  data)
{
  g_autoptr (GPtrArray) buffers = grow_util_new_buffers (2, IO_STREAM_PEER_ACCESS_READ);
  GrowAction action = { pair, buffers, 0 };

  for (guint i = 0; i < 2; i++)
    g_signal_connect (buffers->pdata[i], "notify::buffer-id", G_CALLBACK (add_more_cb), pair->stream);
  stream_util_on_loop (pair, grow_util_add_cb, &action);
  g_assert_cmpuint (io_stream_get_buffer_count (pair->stream), ==, 6);
  for (guint id = 0; id < 6; id++)
    g_assert_cmpuint (io_stream_buffer_get_buffer_id (io_stream_get_buffer_with_id (pair->stream, id)), ==, id);
  stream_util_iterate_until (io_stream_connection_get_buffer_count (pair->client) == 6);
}

/* A client that closes inside of its signal, and opens again. */
static void
close_cb (IOStreamConnection *client,
          StreamPair         *pair)
{
  pair->n_client++;
  stream_util_close (client);
}

static void
test_close_in_signal (StreamPair    *pair,
                      gconstpointer  data)
{
  g_signal_connect (pair->client, "buffers-changed", G_CALLBACK (close_cb), pair);
  stream_util_start (pair->client);
  grow_util_add (pair, 2, IO_STREAM_PEER_ACCESS_READ, 0);
  g_assert_cmpuint (send_all (pair->stream), ==, 4);
  stream_util_iterate_until (pair->n_client == 1);
  g_assert_cmpuint (io_stream_connection_get_buffer_count (pair->client), ==, 0);
  stream_util_assert_works (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err));
  g_assert_cmpuint (io_stream_connection_get_buffer_count (pair->client), ==, 4);
}

/* The answer of an open that is over is of no interest. */
static void
test_close_meanwhile (StreamPair    *pair,
                      gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  for (guint i = 0; i < 14; i++)
    {
      stream_util_start (pair->client);
      grow_util_add (pair, 1, IO_STREAM_PEER_ACCESS_READ, 0);
      send_all (pair->stream);
      while (io_stream_connection_dequeue_output_entry (pair->client, &entry))
        ;
      stream_util_close (pair->client);
      stream_util_assert_works (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err));
      g_assert_cmpuint (io_stream_connection_get_buffer_count (pair->client), ==, 3 + i);
    }
}

/* The owner goes before it could tell of them: what is known can be taken. */
static void
test_death (StreamPair    *pair,
            gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;
  guint n = 0;

  stream_util_start (pair->client);
  grow_util_add (pair, 1, IO_STREAM_PEER_ACCESS_READ, 0);
  stream_util_assert_works (io_stream_enqueue_output_buffer (pair->stream,
                                                             io_stream_get_buffer_with_id (pair->stream, 2),
                                                             0, 0, 0, 0, err));
  stream_util_assert_works (io_stream_enqueue_output_buffer (pair->stream,
                                                             io_stream_get_buffer_with_id (pair->stream, 1),
                                                             0, 0, 0, 0, err));
  io_service_terminate (IO_SERVICE (pair->stream));
  stream_util_iterate_until (!io_connection_is_connected (IO_CONNECTION (pair->client)));
  while (io_stream_connection_dequeue_output_entry (pair->client, &entry))
    n += entry.buffer_id;
  g_assert_cmpuint (n, ==, 1);
}

/* Threads of the owner send while it adds. */
typedef struct {
  StreamPair *pair;
  gint        stop;
} Sender;

static gpointer
sender_thread (gpointer data)
{
  Sender *sender = data;
  IOStream *stream = sender->pair->stream;

  while (!g_atomic_int_get (&sender->stop))
    {
      IOStreamBuffer *buffer = io_stream_acquire_buffer (stream, NULL);

      if (buffer == NULL)
        {
          g_thread_yield ();
          continue;
        }
      if (!io_stream_send_buffer (stream, buffer, NULL))
        io_stream_release_buffer (stream, buffer);
      io_stream_get_buffer_with_id (stream, 3);
    }

  return NULL;
}

static void
test_threads (StreamPair    *pair,
              gconstpointer  data)
{
  Sender sender = { pair, 0 };
  g_autofree guint8 *seen = g_malloc0 (102);
  GThread *threads[2];
  IOStreamBufferQueueEntry entry;
  guint n_seen = 0;

  stream_util_start (pair->client);
  for (guint i = 0; i < 2; i++)
    threads[i] = g_thread_new ("sender", sender_thread, &sender);
  for (guint i = 0; i < 50; i++)
    {
      grow_util_add (pair, 2, IO_STREAM_PEER_ACCESS_READ, 0);
      for (guint n = 0; n < 20; n++)
        {
          stream_util_assert_works (io_stream_connection_wait (pair->client, STREAM_UTIL_TIMEOUT, NULL, err));
          if (!io_stream_connection_dequeue_output_entry (pair->client, &entry))
            continue;
          g_assert_cmpuint (entry.buffer_id, <, 102);
          seen[entry.buffer_id] = 1;
          stream_util_return (pair->client, &entry);
        }
    }
  g_atomic_int_set (&sender.stop, 1);
  for (guint i = 0; i < 2; i++)
    g_thread_join (threads[i]);
  for (guint i = 0; i < 102; i++)
    n_seen += seen[i];
  g_assert_cmpuint (n_seen, >=, 2);
  g_assert_cmpuint (io_stream_get_buffer_count (pair->stream), ==, 102);
  g_assert_null (io_connection_get_error (IO_CONNECTION (pair->client)));
}

/* Removal: not while it is open; renumbers; what was acquired is free. */
static gboolean
remove_cb (gpointer user_data)
{
  StreamPair *pair = user_data;
  g_autoptr (IOStreamBuffer) foreign = grow_util_new_buffer (10, 0, IO_STREAM_PEER_ACCESS_READ);
  IOStreamBuffer *third = io_stream_get_buffer_with_id (pair->stream, 2);
  IOStreamBuffer *owned = io_stream_acquire_buffer (pair->stream, NULL);

  g_assert_nonnull (owned);
  stream_util_assert_fails (io_stream_remove_buffer (pair->stream, foreign, err), IO_STREAM_ERROR_NOT_FOUND);
  stream_util_assert_fails (io_stream_remove_buffer_with_id (pair->stream, 99, err), IO_STREAM_ERROR_NOT_FOUND);
  stream_util_assert_works (io_stream_remove_buffer_with_id (pair->stream, 1, err));
  g_assert_cmpuint (io_stream_buffer_get_buffer_id (third), ==, 1);
  g_assert_true (io_stream_get_buffer_with_id (pair->stream, 1) == third);
  g_assert_cmpuint (io_stream_get_buffer_count (pair->stream), ==, 4);
  g_assert_cmpint (io_stream_buffer_get_client_reference_count (third), ==, 0);

  return TRUE;
}

static gboolean
refuse_removal_cb (gpointer user_data)
{
  StreamPair *pair = user_data;
  IOStreamBuffer *lent = io_stream_get_buffer_with_id (pair->stream, 0);

  stream_util_assert_fails (io_stream_remove_buffer (pair->stream, lent, err), IO_STREAM_ERROR_STILL_OPEN);
  stream_util_assert_fails (io_stream_remove_buffer_with_id (pair->stream, 4, err), IO_STREAM_ERROR_STILL_OPEN);
  stream_util_assert_fails (io_stream_remove_all_buffers (pair->stream, err), IO_STREAM_ERROR_STILL_OPEN);
  g_assert_cmpint (io_stream_buffer_get_client_reference_count (lent), ==, 1);

  return TRUE;
}

static void
test_remove (StreamPair    *pair,
             gconstpointer  data)
{
  stream_util_start (pair->client);
  stream_util_send (pair->stream, 1);
  stream_util_on_loop (pair, refuse_removal_cb, pair);
  stream_util_close (pair->client);
  stream_util_on_loop (pair, remove_cb, pair);
  stream_util_assert_works (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err));
  stream_util_start (pair->client);
  g_assert_cmpuint (send_all (pair->stream), ==, 4);
}

static gboolean
limit_cb (gpointer data)
{
  StreamPair *pair = data;
  IOUserClient *client = _io_stream_link_at (_io_stream_get_private (pair->stream), 0)->client;

  io_user_client_set_limits (client, IO_STREAM_MAX_BUFFERS, 64 * 1024);

  return TRUE;
}

/* What clients can write is theirs, however it came in. */
static void
test_charge (StreamPair    *pair,
             gconstpointer  data)
{
  stream_util_on_loop (pair, limit_cb, pair);
  grow_util_add (pair, 3, IO_STREAM_PEER_ACCESS_READ_WRITE, 0);
  grow_util_add (pair, 10, IO_STREAM_PEER_ACCESS_READ_WRITE, IO_STREAM_ERROR_NO_RESOURCES);
  grow_util_add (pair, 10, IO_STREAM_PEER_ACCESS_READ, 0);
  grow_util_add (pair, 1, IO_STREAM_PEER_ACCESS_READ_WRITE, 0);
  g_assert_cmpuint (io_stream_get_buffer_count (pair->stream), ==, 16);
}

#define ADD(path, up, func) g_test_add ("/stream-grow/" path, StreamPair, NULL, up, func, tear_down)

int
main (int   argc,
      char *argv[])
{
  char *dir;
  int status;

  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();

  ADD ("context", set_up, test_context);
  ADD ("blocking", set_up, test_blocking);
  ADD ("polling", set_up, test_polling);
  ADD ("foreign-loop", set_up, test_foreign_loop);
  ADD ("source", set_up, test_source);
  ADD ("room", set_up_exact, test_room);
  ADD ("limit", set_up, test_limit);
  ADD ("empty", set_up_empty, test_empty);
  ADD ("loans-stay", set_up, test_loans_stay);
  ADD ("in-start", set_up, test_in_start);
  ADD ("in-notify", set_up, test_in_notify);
  ADD ("close-in-signal", set_up, test_close_in_signal);
  ADD ("close-meanwhile", set_up, test_close_meanwhile);
  ADD ("death", set_up, test_death);
  ADD ("threads", set_up, test_threads);
  ADD ("charge", set_up, test_charge);
  ADD ("remove", set_up_exact, test_remove);

  status = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return status;
}
