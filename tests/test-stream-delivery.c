/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Clients that lose what they have not taken: what each delivery lets them see,
 * and what the owner gets back. */

#include "stream-util.h"

#include "libiostream/io-stream-connection-private.h"
#include "libiostream/io-stream-private.h"

#define N_CLIENTS 4
#define N_BUFFERS 8

typedef struct {
  IOWorkLoop         *loop;
  IOStream           *stream;
  IOStreamConnection *clients[N_CLIENTS];
  guint               n_fds;
  guint               n_seen;
  guint32             last_seen;
} Fixture;

static void
make (Fixture      *fixture,
      guint         n_buffers,
      guint         queue_length,
      IOStreamMode  mode)
{
  g_autoptr (GError) error = NULL;

  g_main_context_iteration (NULL, FALSE);
  fixture->n_fds = count_fds ();
  fixture->loop = stream_util_new_loop ();
  fixture->stream = g_initable_new (IO_TYPE_STREAM, NULL, &error,
                                    "name", "delivery", "work-loop", fixture->loop, "mode", mode,
                                    "queue-length", queue_length, "buffer-count", n_buffers,
                                    "peer-access", mode == IO_STREAM_MODE_OUTPUT ? IO_STREAM_PEER_ACCESS_READ
                                                                                 : IO_STREAM_PEER_ACCESS_READ_WRITE,
                                    "data-size", (guint64) 64, NULL);
  g_assert_no_error (error);
  g_assert_true (io_service_register (IO_SERVICE (fixture->stream), &error));
  g_assert_no_error (error);
}

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  make (fixture, N_BUFFERS, 0, IO_STREAM_MODE_OUTPUT);
}

static void
set_up_input (Fixture       *fixture,
              gconstpointer  data)
{
  make (fixture, N_BUFFERS, 0, IO_STREAM_MODE_INPUT);
}

static void
set_up_short (Fixture       *fixture,
              gconstpointer  data)
{
  make (fixture, N_BUFFERS, 3, IO_STREAM_MODE_OUTPUT);
}

static void
set_up_seven (Fixture       *fixture,
              gconstpointer  data)
{
  make (fixture, 7, 0, IO_STREAM_MODE_OUTPUT);
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  stream_util_end (fixture->loop, fixture->stream, fixture->clients, N_CLIENTS, fixture->n_fds);
}

static void
join (Fixture          *fixture,
      guint             i,
      IOStreamDelivery  delivery,
      guint             options)
{
  stream_util_assert_works (stream_util_try_open (fixture->stream, &fixture->clients[i], delivery, options, err));
  stream_util_start (fixture->clients[i]);
}

static void
share (Fixture          *fixture,
       guint             i,
       IOStreamDelivery  delivery)
{
  join (fixture, i, delivery, IO_STREAM_OPEN_SHARED);
}

static void
send_many (Fixture *fixture,
           guint    first,
           guint    end)
{
  for (guint i = first; i < end; i++)
    stream_util_send (fixture->stream, (guint8) i);
}

/* The next that it gets is that with this number, and it gets it whole. */
static void
take (Fixture                  *fixture,
      guint                     i,
      guint32                   number,
      IOStreamBufferQueueEntry *entry)
{
  stream_util_take (fixture->clients[i], (guint8) number, entry);
  g_assert_cmpuint (entry->sequence, ==, number);
}

static void
take_and_return (Fixture *fixture,
                 guint    i,
                 guint32  number)
{
  IOStreamBufferQueueEntry entry;

  take (fixture, i, number, &entry);
  stream_util_return (fixture->clients[i], &entry);
}

static guint64
get_dropped (Fixture      *fixture,
             guint         place,
             IOStreamDrop  reason)
{
  IOStreamPrivate *priv = _io_stream_get_private (fixture->stream);
  guint64 n;

  g_mutex_lock (&priv->lock);
  n = _io_stream_link_at (priv, place)->dropped[reason];
  g_mutex_unlock (&priv->lock);

  return n;
}

/* What it missed until it got the last, it has seen itself. */
static void
assert_lost (Fixture *fixture,
             guint    i)
{
  IOStreamPrivate *priv = _io_stream_get_private (fixture->stream);
  guint64 n = 0;

  g_mutex_lock (&priv->lock);
  for (guint reason = 0; reason < IO_STREAM_N_DROPS; reason++)
    n += _io_stream_link_at (priv, i)->dropped[reason];
  g_mutex_unlock (&priv->lock);
  g_assert_cmpuint (io_stream_connection_get_lost (fixture->clients[i]), ==, n);
}

#define assert_dropped(fixture, place, reason, n) \
  g_assert_cmpuint (get_dropped (fixture, place, reason), ==, n)

/* Everything that was delivered came back, is held, or was taken back; and what
 * is held by all together is what the book says. */
static void
assert_balance (Fixture *fixture)
{
  IOStreamPrivate *priv = _io_stream_get_private (fixture->stream);

  g_mutex_lock (&priv->lock);
  _io_stream_drain_locked (priv);
  for (guint i = 0; i < priv->links->len; i++)
    {
      IOStreamLink *link = _io_stream_link_at (priv, i);

      g_assert_cmpuint (link->delivered, ==, link->returned + link->holder.count +
                        link->dropped[IO_STREAM_DROP_OLDEST] + link->dropped[IO_STREAM_DROP_LATEST]);
      g_assert_cmpuint (link->holder.n_waiting, <=, link->holder.count);
      for (guint id = 0; id < priv->book.count; id++)
        g_assert_true (!_io_loan_holder_is_waiting (&link->holder, id) || _io_loan_holder_has (&link->holder, id));
    }
  for (guint id = 0; id < priv->book.count; id++)
    {
      guint holders = 0, waiting = 0;

      for (guint i = 0; i < priv->links->len; i++)
        {
          holders += _io_loan_holder_has (&_io_stream_link_at (priv, i)->holder, id);
          waiting += _io_loan_holder_is_waiting (&_io_stream_link_at (priv, i)->holder, id);
        }
      if (priv->book.loans[id].state == IO_LOAN_LENT)
        {
          g_assert_cmpuint (priv->book.loans[id].holders, ==, holders);
          g_assert_cmpuint (priv->book.loans[id].waiting, ==, waiting);
        }
      else
        g_assert_cmpuint (holders + waiting, ==, 0);
    }
  g_mutex_unlock (&priv->lock);
}

static void
test_latest (Fixture       *fixture,
             gconstpointer  data)
{
  share (fixture, 0, IO_STREAM_DELIVERY_LATEST);
  send_many (fixture, 0, 100);
  assert_dropped (fixture, 0, IO_STREAM_DROP_LATEST, 99);
  take_and_return (fixture, 0, 99);
  stream_util_assert_empty (fixture->clients[0]);
  for (guint i = 100; i < 400; i += 3)
    {
      send_many (fixture, i, i + 3);
      take_and_return (fixture, 0, i + 2);
      stream_util_assert_empty (fixture->clients[0]);
    }
  assert_dropped (fixture, 0, IO_STREAM_DROP_LATEST, 299);
  assert_lost (fixture, 0);
  assert_dropped (fixture, 0, IO_STREAM_DROP_OLDEST, 0);
  assert_balance (fixture);
}

static void
test_drop_oldest (Fixture       *fixture,
                  gconstpointer  data)
{
  share (fixture, 0, IO_STREAM_DELIVERY_DROP_OLDEST);
  send_many (fixture, 0, 100);
  assert_dropped (fixture, 0, IO_STREAM_DROP_OLDEST, 96);
  for (guint i = 96; i < 100; i++)
    take_and_return (fixture, 0, i);
  stream_util_assert_empty (fixture->clients[0]);

  /* One that keeps up loses nothing. */
  for (guint i = 100; i < 400; i++)
    {
      send_many (fixture, i, i + 1);
      take_and_return (fixture, 0, i);
    }
  assert_dropped (fixture, 0, IO_STREAM_DROP_OLDEST, 96);
  assert_lost (fixture, 0);
  assert_balance (fixture);
}

/* It has taken all that it may hold: it misses what comes until it returns. */
static void
test_greedy (Fixture       *fixture,
             gconstpointer  data)
{
  IOStreamDelivery delivery = GPOINTER_TO_INT (data);
  IOStreamBufferQueueEntry held[4];

  share (fixture, 0, delivery);
  for (guint i = 0; i < 4; i++)
    {
      send_many (fixture, i, i + 1);
      take (fixture, 0, i, &held[i]);
    }
  send_many (fixture, 4, 54);
  stream_util_assert_empty (fixture->clients[0]);
  assert_dropped (fixture, 0, IO_STREAM_DROP_ALLOWANCE, 50);
  assert_balance (fixture);

  stream_util_return (fixture->clients[0], &held[1]);
  send_many (fixture, 54, 60);
  take_and_return (fixture, 0, 59);
  assert_dropped (fixture, 0, IO_STREAM_DROP_ALLOWANCE, 50);
  assert_dropped (fixture, 0, delivery == IO_STREAM_DELIVERY_LATEST ? IO_STREAM_DROP_LATEST : IO_STREAM_DROP_OLDEST, 5);
  for (guint i = 0; i < 4; i++)
    if (i != 1)
      stream_util_return (fixture->clients[0], &held[i]);
  assert_balance (fixture);
}

/* All four side by side. */
static void
test_four (Fixture       *fixture,
           gconstpointer  data)
{
  for (guint i = 0; i < 4; i++)
    share (fixture, i, (IOStreamDelivery) i);
  for (guint i = 0; i < 60; i++)
    {
      send_many (fixture, i, i + 1);
      take_and_return (fixture, 0, i);
    }
  for (guint i = 0; i < 4; i++)
    {
      take_and_return (fixture, 1, i);
      take_and_return (fixture, 2, 56 + i);
    }
  take_and_return (fixture, 3, 59);
  send_many (fixture, 60, 61);
  for (guint i = 0; i < 4; i++)
    {
      take_and_return (fixture, i, 60);
      stream_util_assert_empty (fixture->clients[i]);
      assert_lost (fixture, i);
    }
  assert_balance (fixture);
  for (guint i = 0; i < N_BUFFERS; i++)
    g_assert_nonnull (io_stream_acquire_buffer (fixture->stream, NULL));
  for (guint i = 0; i < N_BUFFERS; i++)
    io_stream_release_buffer (fixture->stream, io_stream_get_buffer_with_id (fixture->stream, i));
}

/* One that has the stream for itself may have every buffer, and the owner goes
 * on for ever all the same. */
static void
test_acquire (Fixture       *fixture,
              gconstpointer  data)
{
  IOStreamDelivery delivery = GPOINTER_TO_INT (data);
  IOStreamBufferQueueEntry held[N_BUFFERS];
  guint n = delivery == IO_STREAM_DELIVERY_LATEST ? 1 : N_BUFFERS;

  join (fixture, 0, delivery, 0);
  send_many (fixture, 0, 200);
  assert_balance (fixture);
  for (guint i = 0; i < n; i++)
    take (fixture, 0, 200 - n + i, &held[i]);
  stream_util_assert_empty (fixture->clients[0]);
  if (n == N_BUFFERS)
    stream_util_assert_fails (io_stream_acquire_buffer (fixture->stream, err) != NULL, IO_STREAM_ERROR_NO_SPACE);
  for (guint i = 0; i < n; i++)
    stream_util_return (fixture->clients[0], &held[i]);
  assert_balance (fixture);
}

/* By number: everything before it in the queue goes as well. */
static void
test_acquire_with_id (Fixture       *fixture,
                      gconstpointer  data)
{
  IOStreamBufferQueueEntry entries[2];
  IOStreamBuffer *buffer;

  io_stream_set_client_allowance (fixture->stream, N_BUFFERS);
  share (fixture, 0, IO_STREAM_DELIVERY_DROP_OLDEST);
  share (fixture, 1, IO_STREAM_DELIVERY_DROP_OLDEST);
  for (guint32 id = 0; id < 5; id++)
    {
      buffer = io_stream_acquire_buffer_with_id (fixture->stream, id, NULL);
      memset (io_stream_buffer_peek_data (buffer, NULL), (int) id, 64);
      stream_util_assert_works (io_stream_send_buffer (fixture->stream, buffer, err));
    }
  take (fixture, 0, 0, &entries[0]);
  take (fixture, 0, 1, &entries[1]);

  stream_util_assert_fails (io_stream_acquire_buffer_with_id (fixture->stream, 1, err) != NULL, IO_STREAM_ERROR_BUSY);
  stream_util_assert_fails (io_stream_acquire_buffer_with_id (fixture->stream, 99, err) != NULL,
                            IO_STREAM_ERROR_NOT_FOUND);
  buffer = io_stream_acquire_buffer_with_id (fixture->stream, 3, NULL);
  g_assert_nonnull (buffer);
  assert_dropped (fixture, 0, IO_STREAM_DROP_OLDEST, 2);
  io_stream_release_buffer (fixture->stream, buffer);
  take_and_return (fixture, 0, 4);
  assert_balance (fixture);
  for (guint i = 0; i < 2; i++)
    stream_util_return (fixture->clients[0], &entries[i]);
}

/* What somebody else still has is not taken back for nothing, and what helps is
 * taken back from everybody. */
static void
test_acquire_shared (Fixture       *fixture,
                     gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  io_stream_set_client_allowance (fixture->stream, N_BUFFERS);
  share (fixture, 0, IO_STREAM_DELIVERY_BLOCK);
  share (fixture, 1, IO_STREAM_DELIVERY_DROP_OLDEST);
  share (fixture, 2, IO_STREAM_DELIVERY_DROP_OLDEST);
  send_many (fixture, 0, N_BUFFERS);
  stream_util_assert_fails (io_stream_acquire_buffer (fixture->stream, err) != NULL, IO_STREAM_ERROR_NO_SPACE);
  assert_dropped (fixture, 1, IO_STREAM_DROP_OLDEST, 0);

  take_and_return (fixture, 0, 0);
  take_and_return (fixture, 0, 1);
  send_many (fixture, N_BUFFERS, N_BUFFERS + 1);
  assert_dropped (fixture, 1, IO_STREAM_DROP_OLDEST, 1);
  assert_dropped (fixture, 2, IO_STREAM_DROP_OLDEST, 1);

  /* One of the two has taken the next: the rest of that one stays. */
  take (fixture, 1, 1, &entry);
  stream_util_assert_fails (io_stream_acquire_buffer (fixture->stream, err) != NULL, IO_STREAM_ERROR_NO_SPACE);
  assert_dropped (fixture, 2, IO_STREAM_DROP_OLDEST, 1);
  stream_util_return (fixture->clients[1], &entry);
  send_many (fixture, N_BUFFERS + 1, N_BUFFERS + 2);
  assert_dropped (fixture, 1, IO_STREAM_DROP_OLDEST, 1);
  assert_dropped (fixture, 2, IO_STREAM_DROP_OLDEST, 2);
  assert_balance (fixture);
  take_and_return (fixture, 1, 2);
  take_and_return (fixture, 2, 2);
}

/* The reserve is the owner's before anybody misses something or blocks it. */
static void
test_reserve (Fixture       *fixture,
              gconstpointer  data)
{
  IOStreamBufferQueueEntry held[5];
  IOStreamBuffer *buffer;

  g_object_set (fixture->stream, "reserve-count", 3, "client-allowance", N_BUFFERS, NULL);
  share (fixture, 0, IO_STREAM_DELIVERY_DROP_OLDEST);
  share (fixture, 1, IO_STREAM_DELIVERY_BLOCK);
  for (guint i = 0; i < 40; i++)
    {
      send_many (fixture, i, i + 1);
      take_and_return (fixture, 1, i);
    }
  assert_dropped (fixture, 0, IO_STREAM_DROP_OLDEST, 35);
  assert_dropped (fixture, 0, IO_STREAM_DROP_RESERVE, 0);
  for (guint i = 0; i < 5; i++)
    take (fixture, 0, 35 + i, &held[i]);

  /* What is taken stays taken. */
  buffer = io_stream_acquire_buffer (fixture->stream, NULL);
  stream_util_assert_fails (io_stream_send_buffer (fixture->stream, buffer, err), IO_STREAM_ERROR_OVERRUN);
  io_stream_release_buffer (fixture->stream, buffer);
  stream_util_close (fixture->clients[1]);
  send_many (fixture, 40, 41);
  assert_dropped (fixture, 0, IO_STREAM_DROP_RESERVE, 1);
  for (guint i = 0; i < 5; i++)
    stream_util_return (fixture->clients[0], &held[i]);
  send_many (fixture, 41, 42);
  take_and_return (fixture, 0, 41);
}

/* Less room than there was: what it could still have it keeps. */
static void
test_less_room (Fixture       *fixture,
                gconstpointer  data)
{
  IOStreamBufferQueueEntry held[3];

  share (fixture, 0, IO_STREAM_DELIVERY_DROP_OLDEST);
  send_many (fixture, 0, 4);
  for (guint i = 0; i < 3; i++)
    take (fixture, 0, i, &held[i]);
  io_stream_set_client_allowance (fixture->stream, 2);
  send_many (fixture, 4, 10);
  assert_dropped (fixture, 0, IO_STREAM_DROP_ALLOWANCE, 6);
  assert_dropped (fixture, 0, IO_STREAM_DROP_OLDEST, 0);
  for (guint i = 0; i < 3; i++)
    stream_util_return (fixture->clients[0], &held[i]);
  send_many (fixture, 10, 12);
  take_and_return (fixture, 0, 10);
  take_and_return (fixture, 0, 11);

  io_stream_set_client_allowance (fixture->stream, 4);
  send_many (fixture, 12, 16);
  io_stream_set_client_allowance (fixture->stream, 1);
  send_many (fixture, 16, 17);
  take_and_return (fixture, 0, 16);
  assert_dropped (fixture, 0, IO_STREAM_DROP_OLDEST, 5);
  assert_balance (fixture);
}

/* Fewer places in the queue than buffers, over many laps of it. */
static void
test_short_queue (Fixture       *fixture,
                  gconstpointer  data)
{
  share (fixture, 0, IO_STREAM_DELIVERY_DROP_OLDEST);
  for (guint round = 0; round < 3000; round += 5)
    {
      send_many (fixture, round, round + 5);
      take_and_return (fixture, 0, round + 2);
      take_and_return (fixture, 0, round + 3);
      take_and_return (fixture, 0, round + 4);
      stream_util_assert_empty (fixture->clients[0]);
    }
  assert_balance (fixture);
}

/* Who waits for a buffer gets what can be taken back. */
static void
test_wait (Fixture       *fixture,
           gconstpointer  data)
{
  stream_util_skip_if_local ("who serves the stream does not wait for it");
  g_object_set (fixture->stream, "client-allowance", N_BUFFERS, NULL);
  share (fixture, 0, IO_STREAM_DELIVERY_DROP_OLDEST);
  for (guint i = 0; i < 50; i++)
    {
      stream_util_assert_works (io_stream_wait_buffer (fixture->stream, 10 * G_USEC_PER_SEC, NULL, err));
      send_many (fixture, i, i + 1);
    }
  take_and_return (fixture, 0, 42);
  io_stream_set_reserve_count (fixture->stream, 4);
  share (fixture, 1, IO_STREAM_DELIVERY_BLOCK);
  stream_util_assert_works (io_stream_wait_buffer (fixture->stream, 0, NULL, err));
  send_many (fixture, 50, 51);
  take_and_return (fixture, 1, 50);
  assert_balance (fixture);
}

static void
seen_cb (IOStreamConnection *client,
         gpointer            data)
{
  Fixture *fixture = data;
  IOStreamBufferQueueEntry entry;

  while (io_stream_connection_dequeue_output_entry (client, &entry))
    {
      fixture->n_seen++;
      fixture->last_seen = entry.sequence;
      stream_util_return (client, &entry);
    }
}

static void
ignored_cb (IOStreamConnection *client,
            gpointer            data)
{
  Fixture *fixture = data;

  fixture->n_seen++;
}

/* The context announces what comes in place of what was announced before. */
static void
test_context (Fixture       *fixture,
              gconstpointer  data)
{
  gulong handler;

  share (fixture, 0, GPOINTER_TO_INT (data));
  handler = g_signal_connect (fixture->clients[0], "output-available", G_CALLBACK (ignored_cb), fixture);
  for (guint i = 0; i < 20; i++)
    {
      fixture->n_seen = 0;
      send_many (fixture, i, i + 1);
      stream_util_iterate_until (fixture->n_seen > 0);
    }
  g_signal_handler_disconnect (fixture->clients[0], handler);

  handler = g_signal_connect (fixture->clients[0], "output-available", G_CALLBACK (seen_cb), fixture);
  for (guint i = 20; i < 200; i++)
    {
      send_many (fixture, i, i + 1);
      stream_util_iterate_until (fixture->last_seen == i);
    }
  g_signal_handler_disconnect (fixture->clients[0], handler);
  assert_balance (fixture);
}

/* What was sent before the stream stopped can be taken, or taken back. */
static void
test_stop (Fixture       *fixture,
           gconstpointer  data)
{
  share (fixture, 0, IO_STREAM_DELIVERY_DROP_OLDEST);
  share (fixture, 1, IO_STREAM_DELIVERY_LATEST);
  send_many (fixture, 0, 10);
  for (guint i = 0; i < 2; i++)
    stream_util_assert_works (io_stream_connection_stop (fixture->clients[i], NULL, err));
  take_and_return (fixture, 0, 6);
  take_and_return (fixture, 1, 9);
  for (guint i = 0; i < N_BUFFERS; i++)
    g_assert_nonnull (io_stream_acquire_buffer (fixture->stream, NULL));
  stream_util_assert_empty (fixture->clients[0]);
  assert_dropped (fixture, 0, IO_STREAM_DROP_OLDEST, 9);
  for (guint i = 0; i < N_BUFFERS; i++)
    io_stream_release_buffer (fixture->stream, io_stream_get_buffer_with_id (fixture->stream, i));
  assert_balance (fixture);

  stream_util_start (fixture->clients[0]);
  send_many (fixture, 10, 11);
  take_and_return (fixture, 0, 10);
}

/* Each open has a delivery of its own. */
static void
test_reopen (Fixture       *fixture,
             gconstpointer  data)
{
  guint32 number = 0;

  for (guint i = 0; i < 24; i++)
    {
      IOStreamDelivery delivery = (IOStreamDelivery) (i % 4);
      gboolean claimed = delivery >= IO_STREAM_DELIVERY_DROP_OLDEST;

      if (i % 3 == 0)
        stream_util_assert_works (io_stream_create_queues (fixture->stream, 0, err));
      join (fixture, 0, delivery, i % 2 ? IO_STREAM_OPEN_SHARED : 0);
      g_assert_true ((_io_stream_connection_get_private (fixture->clients[0])->claim.word != NULL) == claimed);
      send_many (fixture, number, number + 3);
      take_and_return (fixture, 0, delivery == IO_STREAM_DELIVERY_LATEST ? number + 2 : number);
      assert_balance (fixture);
      number += 3;
      stream_util_close (fixture->clients[0]);
    }
}

/* After the owner is gone what it left can be taken. */
static void
test_last (Fixture       *fixture,
           gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  share (fixture, 0, IO_STREAM_DELIVERY_DROP_OLDEST);
  share (fixture, 1, IO_STREAM_DELIVERY_LATEST);
  send_many (fixture, 0, 10);
  io_service_terminate (IO_SERVICE (fixture->stream));
  for (guint i = 0; i < 2; i++)
    stream_util_iterate_until (!io_connection_is_connected (IO_CONNECTION (fixture->clients[i])));
  for (guint32 i = 6; i < 10; i++)
    {
      g_assert_true (io_stream_connection_dequeue_output_entry (fixture->clients[0], &entry));
      g_assert_cmpuint (entry.sequence, ==, i);
    }
  stream_util_assert_empty (fixture->clients[0]);
  g_assert_true (io_stream_connection_dequeue_output_entry (fixture->clients[1], &entry));
  g_assert_cmpuint (entry.sequence, ==, 9);
  stream_util_assert_empty (fixture->clients[1]);
}

/* Buffers to be filled are taken back as well. */
static void
test_input (Fixture       *fixture,
            gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  join (fixture, 0, GPOINTER_TO_INT (data), 0);
  send_many (fixture, 0, 30);
  g_assert_true (io_stream_connection_dequeue_output_entry (fixture->clients[0], &entry));
  memset (io_stream_connection_peek_data_buffer (fixture->clients[0], entry.buffer_id, NULL), 77, 64);
  stream_util_return (fixture->clients[0], &entry);
  stream_util_catch_up (fixture->loop);
  g_assert_true (io_stream_dequeue_input_entry (fixture->stream, &entry));
  g_assert_cmpint (((guint8 *) io_stream_buffer_peek_data (io_stream_get_buffer_with_id (fixture->stream,
                                                                                         entry.buffer_id), NULL))[0], ==, 77);
  g_assert_false (io_stream_dequeue_input_entry (fixture->stream, &entry));
  assert_balance (fixture);
}

static gboolean
grow_cb (gpointer data)
{
  Fixture *fixture = data;
  g_autoptr (IOMemoryDescriptor) memory =
    IO_MEMORY_DESCRIPTOR (io_buffer_memory_descriptor_new (64, IO_STREAM_PEER_ACCESS_READ, NULL));
  g_autoptr (IOStreamBuffer) buffer = io_stream_buffer_new (memory, NULL);

  stream_util_assert_works (io_stream_add_buffer (fixture->stream, buffer, err));

  return G_SOURCE_REMOVE;
}

/* The new buffer comes, is taken back, comes again, and is announced once the
 * client knows it. */
static void
test_grow (Fixture       *fixture,
           gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;
  IOStreamBuffer *buffer;

  for (guint i = 0; i < 2; i++)
    share (fixture, i, GPOINTER_TO_INT (data));
  stream_util_run (fixture->loop, grow_cb, fixture);
  for (guint i = 0; i < 9; i++)
    {
      buffer = io_stream_acquire_buffer_with_id (fixture->stream, 7, NULL);
      g_assert_nonnull (buffer);
      memset (io_stream_buffer_peek_data (buffer, NULL), (int) i, 64);
      stream_util_assert_works (io_stream_send_buffer (fixture->stream, buffer, err));
    }
  for (guint i = 0; i < 2; i++)
    {
      stream_util_iterate_until (io_stream_connection_get_buffer_count (fixture->clients[i]) == 8);
      take (fixture, i, 8, &entry);
      g_assert_cmpuint (entry.buffer_id, ==, 7);
      stream_util_return (fixture->clients[i], &entry);
    }
  assert_balance (fixture);
}

/* Many clients leave and come, with whatever they have. */
static void
test_come_and_go (Fixture       *fixture,
                  gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;
  guint32 number = 0;

  share (fixture, 0, IO_STREAM_DELIVERY_BLOCK);
  for (guint round = 0; round < 40; round++)
    {
      guint i = 1 + round % 3;

      share (fixture, i, round % 2 ? IO_STREAM_DELIVERY_LATEST : IO_STREAM_DELIVERY_DROP_OLDEST);
      for (guint k = 0; k < 6; k++, number++)
        {
          send_many (fixture, number, number + 1);
          take_and_return (fixture, 0, number);
          if (k == round % 6)
            take (fixture, i, round % 2 ? number : k < 4 ? number - k : number - 3, &entry);
        }
      assert_balance (fixture);
      if (round % 4 == 0)
        stream_util_hang_up (&fixture->clients[i]);
      else
        stream_util_close (fixture->clients[i]);
    }
  stream_util_catch_up (fixture->loop);
  assert_balance (fixture);
}

#define ADD(name, data, up, func) \
  g_test_add ("/stream-delivery/" name, Fixture, GINT_TO_POINTER (data), up, func, tear_down)
#define ADD_BOTH(name, up, func) \
  ADD (name "/drop-oldest", IO_STREAM_DELIVERY_DROP_OLDEST, up, func); \
  ADD (name "/latest", IO_STREAM_DELIVERY_LATEST, up, func)

int
main (int    argc,
      char **argv)
{
  char *dir;
  int result;

  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();
  ADD ("latest", 0, set_up, test_latest);
  ADD ("drop-oldest", 0, set_up, test_drop_oldest);
  ADD_BOTH ("greedy", set_up, test_greedy);
  ADD ("four", 0, set_up, test_four);
  ADD_BOTH ("acquire", set_up, test_acquire);
  ADD ("acquire-with-id", 0, set_up, test_acquire_with_id);
  ADD ("acquire-shared", 0, set_up, test_acquire_shared);
  ADD ("reserve", 0, set_up, test_reserve);
  ADD ("less-room", 0, set_up, test_less_room);
  ADD ("short-queue", 0, set_up_short, test_short_queue);
  ADD ("wait", 0, set_up, test_wait);
  ADD_BOTH ("context", set_up, test_context);
  ADD ("stop", 0, set_up, test_stop);
  ADD ("reopen", 0, set_up, test_reopen);
  ADD ("last", 0, set_up, test_last);
  ADD_BOTH ("input", set_up_input, test_input);
  ADD_BOTH ("grow", set_up_seven, test_grow);
  ADD ("come-and-go", 0, set_up, test_come_and_go);
  result = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return result;
}
