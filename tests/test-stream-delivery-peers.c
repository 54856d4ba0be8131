/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Slow clients in other processes and threads: that stand still, keep all that
 * they get, lie about what they took, and race with the owner. What each gets
 * is checked against what was sent, and against what the owner counted. */

#include "peer-process.h"

#include "libiostream/io-stream-connection-private.h"
#include "libiostream/io-stream-private.h"

#define N_BUFFERS 16
#define DATA_SIZE 512
#define FOR_EVER  (-1)

typedef struct {
  IOWorkLoop *loop;
  IOStream   *stream;
} Fixture;

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  fixture->loop = io_work_loop_new ("owner");
  fixture->stream = g_initable_new (IO_TYPE_STREAM, NULL, &error,
                                    "name", "slow", "work-loop", fixture->loop, "buffer-count", N_BUFFERS,
                                    "data-size", (guint64) DATA_SIZE, "control-size", (guint64) 16, NULL);
  g_assert_no_error (error);
  g_assert_true (io_service_register (IO_SERVICE (fixture->stream), &error));
  g_assert_no_error (error);
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  stream_util_wait_unused (fixture->loop, IO_SERVICE (fixture->stream));
  io_service_terminate (IO_SERVICE (fixture->stream));
  io_work_loop_shut_down (fixture->loop);
  g_assert_finalize_object (fixture->stream);
  g_assert_finalize_object (fixture->loop);
}

static IOStreamConnection *
open_client (IOStreamDelivery delivery,
             guint            options)
{
  g_autoptr (GError) error = NULL;
  IOStreamConnection *client = io_stream_connection_new_for_name ("slow", NULL, &error);

  g_assert_no_error (error);
  io_stream_connection_set_delivery (client, delivery);
  stream_util_assert_works (io_connection_open (IO_CONNECTION (client), options, NULL, err));
  stream_util_start (client);

  return client;
}

/* With its number in every word. FALSE if the owner is blocked. */
static gboolean
send_one (IOStream *stream,
          guint64   number)
{
  g_autoptr (GError) error = NULL;
  IOStreamBuffer *buffer = io_stream_acquire_buffer (stream, &error);

  if (buffer == NULL)
    {
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_SPACE);
      return FALSE;
    }
  payload_fill (io_stream_buffer_peek_data (buffer, NULL), io_stream_buffer_peek_control (buffer, NULL),
                DATA_SIZE, number);
  if (io_stream_send_buffer (stream, buffer, &error))
    return TRUE;

  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OVERRUN);
  io_stream_release_buffer (stream, buffer);

  return FALSE;
}

static void
assert_whole (IOStreamConnection             *client,
              const IOStreamBufferQueueEntry *entry)
{
  g_assert_true (payload_is (io_stream_connection_peek_data_buffer (client, entry->buffer_id, NULL),
                             io_stream_connection_peek_control_buffer (client, entry->buffer_id, NULL),
                             DATA_SIZE, entry->sequence));
}

/* The number of what the owner counted for the client at this place. */
static guint64
sum_dropped (IOStreamPrivate *priv,
             guint            place)
{
  IOStreamLink *link;
  guint64 n = 0;

  g_mutex_lock (&priv->lock);
  link = _io_stream_link_at (priv, place);
  _io_stream_drain_locked (priv);
  for (guint reason = 0; reason < IO_STREAM_N_DROPS; reason++)
    n += link->dropped[reason];
  g_assert_cmpuint (link->delivered, ==, link->returned + link->holder.count +
                    link->dropped[IO_STREAM_DROP_OLDEST] + link->dropped[IO_STREAM_DROP_LATEST]);
  g_mutex_unlock (&priv->lock);

  return n;
}

/* Until it has this one, which is the last. */
static void
take_until (IOStreamConnection *client,
            guint32             last)
{
  IOStreamBufferQueueEntry entry = { 0, };
  guint64 n = 0;

  while (n == 0 || entry.sequence != last)
    {
      guint32 before = entry.sequence;

      g_assert_true (io_stream_connection_wait (client, FOR_EVER, NULL, NULL));
      if (!io_stream_connection_dequeue_output_entry (client, &entry))
        {
          entry.sequence = before;
          continue;
        }
      assert_whole (client, &entry);
      g_assert_true (n == 0 || entry.sequence > before);
      n++;
      stream_util_return (client, &entry);
    }
  peer_say ("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT, n, io_stream_connection_get_lost (client));
}

/* The other process: opens, and does what it is told. */

static void
take_all (IOStreamConnection *client,
          gboolean            keep)
{
  IOStreamBufferQueueEntry entry;
  guint64 sum = 0;
  guint n = 0;

  while (io_stream_connection_dequeue_output_entry (client, &entry))
    {
      assert_whole (client, &entry);
      n++;
      sum += entry.sequence;
      if (!keep)
        stream_util_return (client, &entry);
    }
  peer_say ("%u %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT, n, sum, io_stream_connection_get_lost (client));
}

static int
run_peer (const char *delivery,
          const char *options)
{
  IOStreamConnection *client;

  peer_begin ();
  client = open_client ((IOStreamDelivery) atoi (delivery), (guint) strtoul (options, NULL, 10));
  peer_say ("ready");
  for (;;)
    {
      g_autofree char *order = peer_take_order ();

      if (order == NULL)
        break;
      if (g_str_has_prefix (order, "until "))
        take_until (client, (guint32) strtoul (order + 6, NULL, 10));
      else
        take_all (client, g_str_equal (order, "keep"));
    }
  g_object_unref (client);

  return 0;
}

static Peer *
spawn (IOStreamDelivery delivery,
       guint            options)
{
  g_autofree char *number = g_strdup_printf ("%d", delivery);
  g_autofree char *bits = g_strdup_printf ("%u", options);
  Peer *peer = peer_spawn (-1, -1, "client", number, bits, NULL);

  peer_expect (peer, "ready");

  return peer;
}

static void
expect_range (Peer   *peer,
              guint64 first,
              guint64 end,
              guint64 lost)
{
  g_autofree char *expected = g_strdup_printf ("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT,
                                               end - first, (first + end - 1) * (end - first) / 2, lost);

  peer_order (peer, "take");
  peer_expect (peer, expected);
}

/* It stands still from the first entry on. */
static void
test_frozen (Fixture       *fixture,
             gconstpointer  data)
{
  IOStreamDelivery delivery = (IOStreamDelivery) GPOINTER_TO_INT (data);
  IOStreamConnection *other = open_client (IO_STREAM_DELIVERY_BLOCK, IO_STREAM_OPEN_SHARED);
  Peer *peer = spawn (delivery, IO_STREAM_OPEN_SHARED);
  IOStreamBufferQueueEntry entry;
  guint n = 0;

  peer_freeze (peer);
  while (n < 1000 && send_one (fixture->stream, n))
    {
      g_assert_true (io_stream_connection_wait (other, FOR_EVER, NULL, NULL));
      g_assert_true (io_stream_connection_dequeue_output_entry (other, &entry));
      assert_whole (other, &entry);
      stream_util_return (other, &entry);
      n++;
    }
  g_assert_cmpuint (n, ==, delivery == IO_STREAM_DELIVERY_BLOCK ? 8 : 1000);
  peer_thaw (peer);

  if (delivery == IO_STREAM_DELIVERY_LATEST)
    expect_range (peer, 999, 1000, 999);
  else if (delivery == IO_STREAM_DELIVERY_DROP_OLDEST)
    expect_range (peer, 992, 1000, 992);
  else
    expect_range (peer, 0, 8, 0);
  g_assert_true (send_one (fixture->stream, n));
  expect_range (peer, n, n + 1, n == 8 ? 0 : delivery == IO_STREAM_DELIVERY_LATEST ? 999 : 992);
  g_assert_cmpuint (sum_dropped (_io_stream_get_private (fixture->stream), 1), ==,
                    n == 8 ? 0 : delivery == IO_STREAM_DELIVERY_LATEST ? 999 : 992);
  peer_finish (peer);
  g_object_unref (other);
}

/* It has the stream for itself, and may have every buffer: the owner takes them
 * back as it needs them, and that it dies changes nothing. */
static void
test_frozen_alone (Fixture       *fixture,
                   gconstpointer  data)
{
  IOStreamDelivery delivery = (IOStreamDelivery) GPOINTER_TO_INT (data);
  guint n_last = delivery == IO_STREAM_DELIVERY_LATEST ? 1 : N_BUFFERS;

  for (guint round = 0; round < 2; round++)
    {
      Peer *peer = spawn (delivery, 0);
      guint64 first = round * 3000;

      peer_freeze (peer);
      for (guint64 i = first; i < first + 3000; i++)
        g_assert_true (send_one (fixture->stream, i));
      if (round == 0)
        {
          peer_thaw (peer);
          expect_range (peer, 3000 - n_last, 3000, 3000 - n_last);
          peer_finish (peer);
        }
      else
        peer_kill (peer);
      stream_util_wait_unused (fixture->loop, IO_SERVICE (fixture->stream));
    }
  for (guint i = 0; i < N_BUFFERS; i++)
    g_assert_nonnull (io_stream_acquire_buffer (fixture->stream, NULL));
  for (guint i = 0; i < N_BUFFERS; i++)
    io_stream_release_buffer (fixture->stream, io_stream_get_buffer_with_id (fixture->stream, i));
}

/* It takes what it may hold, keeps it, and stands still. */
static void
test_keeper (Fixture       *fixture,
             gconstpointer  data)
{
  Peer *peer = spawn ((IOStreamDelivery) GPOINTER_TO_INT (data), IO_STREAM_OPEN_SHARED);
  IOStreamPrivate *priv = _io_stream_get_private (fixture->stream);
  guint64 number = 0;

  for (; number < N_BUFFERS / 2; number++)
    {
      g_autofree char *expected = g_strdup_printf ("1 %" G_GUINT64_FORMAT " 0", number);

      g_assert_true (send_one (fixture->stream, number));
      peer_order (peer, "keep");
      peer_expect (peer, expected);
    }
  peer_freeze (peer);
  for (; number < 1000; number++)
    g_assert_true (send_one (fixture->stream, number));
  g_assert_cmpuint (sum_dropped (priv, 0), ==, 1000 - N_BUFFERS / 2);
  peer_thaw (peer);
  peer_order (peer, "keep");
  peer_expect (peer, "0 0 0");
  peer_kill (peer);
  stream_util_wait_unused (fixture->loop, IO_SERVICE (fixture->stream));
  for (guint i = 0; i < N_BUFFERS; i++)
    g_assert_nonnull (io_stream_acquire_buffer (fixture->stream, NULL));
  for (guint i = 0; i < N_BUFFERS; i++)
    io_stream_release_buffer (fixture->stream, io_stream_get_buffer_with_id (fixture->stream, i));
}

/* It stands still now and then, wherever it is just then. */
static void
test_stop_and_go (Fixture       *fixture,
                  gconstpointer  data)
{
  Peer *peer = spawn ((IOStreamDelivery) GPOINTER_TO_INT (data), 0);
  IOStreamPrivate *priv = _io_stream_get_private (fixture->stream);
  g_autofree char *expected = NULL;
  guint64 dropped;

  peer_order (peer, "until 19999");
  for (guint64 number = 0; number < 20000; number++)
    {
      if (number % 400 == 100)
        peer_freeze (peer);
      if (number % 400 == 200)
        peer_thaw (peer);
      g_assert_true (send_one (fixture->stream, number));
      if (number % 64 == 0)
        g_thread_yield ();
    }
  dropped = sum_dropped (priv, 0);
  expected = g_strdup_printf ("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT, 20000 - dropped, dropped);
  peer_expect (peer, expected);
  peer_finish (peer);
}

/* Liars. The pages are the real ones, and nothing on the way to them checks
 * anything. */

static _Atomic uint64_t *
word_of (IOStreamConnection *client)
{
  return _io_stream_connection_get_private (client)->own.claim;
}

static void
assert_ended (IOStreamConnection *client)
{
  while (io_connection_is_connected (IO_CONNECTION (client)))
    g_main_context_iteration (NULL, TRUE);
}

/* What no client can leave there ends it, whoever looks first, and only it. */
static void
test_bad_word (Fixture       *fixture,
               gconstpointer  data)
{
  IOStreamConnection *honest = open_client (IO_STREAM_DELIVERY_BLOCK, IO_STREAM_OPEN_SHARED);
  guint64 number = 0;

  for (guint round = 0; round < 3 * 12; round++)
    {
      IOStreamDelivery delivery = round % 2 ? IO_STREAM_DELIVERY_LATEST : IO_STREAM_DELIVERY_DROP_OLDEST;
      IOStreamConnection *liar = open_client (delivery, IO_STREAM_OPEN_SHARED);
      guint64 start = atomic_load (word_of (liar));
      const guint64 values[12] = { 0, 1, start - 1, start + 1, start + 9, start + N_BUFFERS, G_MAXUINT32, G_MAXUINT64,
                                   G_MAXUINT64 / 2, start | G_MAXINT64, start + G_MAXUINT32, start ^ 1 };
      IOStreamBufferQueueEntry entry;

      atomic_store (word_of (liar), values[round % 12]);
      for (guint i = 0; i < 12; i++, number++)
        {
          g_assert_true (send_one (fixture->stream, number));
          g_assert_true (io_stream_connection_wait (honest, FOR_EVER, NULL, NULL));
          g_assert_true (io_stream_connection_dequeue_output_entry (honest, &entry));
          assert_whole (honest, &entry);
          stream_util_return (honest, &entry);
          if (round >= 24 && i == 0)
            atomic_store (word_of (liar), values[round % 12]);
        }
      if (values[round % 12] < start || values[round % 12] > start + 12)
        assert_ended (liar);
      g_object_unref (liar);
      stream_util_settle ();
    }
  g_assert_cmpuint (io_stream_connection_get_lost (honest), ==, 0);
  g_object_unref (honest);
}

static void
drain (IOStream *stream)
{
  IOStreamPrivate *priv = _io_stream_get_private (stream);

  g_mutex_lock (&priv->lock);
  _io_stream_drain_locked (priv);
  g_mutex_unlock (&priv->lock);
}

/* It gives back what it did not take, or what was taken back. */
static void
test_bad_return (Fixture       *fixture,
                 gconstpointer  data)
{
  gboolean withdrawn = GPOINTER_TO_INT (data);
  IOStreamConnection *liar = open_client (IO_STREAM_DELIVERY_LATEST, IO_STREAM_OPEN_SHARED);
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (liar);
  IOStreamBufferQueueEntry entry = { 0, };
  guint64 number = 0, index;

  g_assert_true (send_one (fixture->stream, number++));
  g_assert_cmpint (_io_claim_peek (&priv->claim, &priv->output, &index, &entry), ==, IO_CLAIM_ENTRY);
  if (withdrawn)
    g_assert_true (send_one (fixture->stream, number++));
  _io_ring_put (&priv->input, &entry);
  while (io_connection_is_connected (IO_CONNECTION (liar)))
    {
      drain (fixture->stream);
      g_main_context_iteration (NULL, FALSE);
    }
  g_object_unref (liar);
}

typedef struct {
  IOStreamConnection *client;
  _Atomic uint64_t   *word;
  guint64             start;
  int                 done;
  gboolean            wild;
} Racer;

/* Forward by one as fast as it goes, or anything. */
static gpointer
racer_thread (gpointer data)
{
  Racer *racer = data;
  g_autoptr (GRand) rand = g_rand_new_with_seed (42);

  while (!g_atomic_int_get (&racer->done))
    if (racer->wild)
      atomic_store (racer->word, racer->start + g_rand_int_range (rand, -2, 40));
    else
      atomic_fetch_add (racer->word, 1);

  return NULL;
}

/* Whether or not the library has parted the two by now. */
static void
send_if_possible (IOStream *stream)
{
  IOStreamBuffer *buffer = io_stream_acquire_buffer (stream, NULL);

  if (buffer != NULL && !io_stream_send_buffer (stream, buffer, NULL))
    io_stream_release_buffer (stream, buffer);
}

/* Nothing that moves there makes the owner slow, or wrong. */
static void
test_racing_word (Fixture       *fixture,
                  gconstpointer  data)
{
  IOStreamConnection *liar = open_client (IO_STREAM_DELIVERY_DROP_OLDEST, IO_STREAM_OPEN_SHARED);
  IOStreamConnection *honest = open_client (IO_STREAM_DELIVERY_BLOCK, IO_STREAM_OPEN_SHARED);
  Racer racer = { liar, word_of (liar), atomic_load (word_of (liar)), FALSE, GPOINTER_TO_INT (data) };
  GThread *thread = g_thread_new ("racer", racer_thread, &racer);
  IOStreamBufferQueueEntry entry;

  /* It may say that it has taken all that it may hold, but no more. */
  for (guint64 number = 0; number < 2000; number++)
    {
      g_assert_true (io_stream_wait_buffer (fixture->stream, FOR_EVER, NULL, NULL));
      g_assert_true (send_one (fixture->stream, number));
      g_assert_true (io_stream_connection_wait (honest, FOR_EVER, NULL, NULL));
      g_assert_true (io_stream_connection_dequeue_output_entry (honest, &entry));
      assert_whole (honest, &entry);
      stream_util_return (honest, &entry);
    }
  g_assert_cmpuint (io_stream_connection_get_lost (honest), ==, 0);

  /* Now it may say that of everything. */
  stream_util_close (honest);
  io_stream_set_client_allowance (fixture->stream, N_BUFFERS);
  for (guint i = 0; i < 2000; i++)
    send_if_possible (fixture->stream);
  g_atomic_int_set (&racer.done, TRUE);
  g_thread_join (thread);
  g_object_unref (honest);
  g_object_unref (liar);
}

/* The owner plays with the word of a client that looks and takes: it gets no
 * entry twice, none that is torn, and it always comes to an end. */
static void
test_hostile_owner (Fixture       *fixture,
                    gconstpointer  data)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (7);

  for (guint round = 0; round < 60; round++)
    {
      IOStreamConnection *client = open_client (IO_STREAM_DELIVERY_DROP_OLDEST, IO_STREAM_OPEN_SHARED);
      guint64 start = atomic_load (word_of (client));
      const guint64 values[8] = { 0, 1, start - 1, start + 3, start + 64, G_MAXUINT64, G_MAXUINT64 / 2, start + G_MAXUINT32 };
      Racer racer = { client, word_of (client), start, FALSE, round % 3 == 0 };
      GThread *thread = round >= 40 ? g_thread_new ("racer", racer_thread, &racer) : NULL;
      IOStreamBufferQueueEntry entry;

      for (guint i = 0; i < 6; i++)
        {
          send_if_possible (fixture->stream);
          if (i % 2 && io_stream_connection_dequeue_output_entry (client, &entry))
            g_assert_cmpuint (entry.buffer_id, <, N_BUFFERS);
          if (thread == NULL)
            atomic_store (word_of (client), round < 8 ? values[round] : values[g_rand_int_range (rand, 0, 8)]);
        }
      for (guint i = 0; i < 200 && io_connection_is_connected (IO_CONNECTION (client)); i++)
        {
          io_stream_connection_wait (client, 0, NULL, NULL);
          if (io_stream_connection_dequeue_output_entry (client, &entry))
            g_assert_cmpuint (entry.buffer_id, <, N_BUFFERS);
          g_main_context_iteration (NULL, FALSE);
        }
      g_atomic_int_set (&racer.done, TRUE);
      if (thread != NULL)
        g_thread_join (thread);
      g_object_unref (client);
      stream_util_settle ();
    }
}

/* Everybody at once, at random; each client with an account of its own. */

#define N_READERS 8
#define N_SENT    6000

typedef struct {
  IOStreamDelivery delivery;
  guint            seed;
  int             *ready;
  int             *done;
  _Atomic guint64  put;      /* LATEST: at least so new is what there is; 0: nothing */
  guint8           got[N_SENT];
  guint64          n_got;
  guint64          lost;
  guint64          place;
  guint32          last;
  GMutex          *lock;
  IOStreamConnection *client;
} Reader;

static void
keep_account (Reader                         *self,
              const IOStreamBufferQueueEntry *entry,
              guint64                         put)
{
  assert_whole (self->client, entry);
  g_assert_cmpuint (entry->sequence, <, N_SENT);
  g_assert_true (self->n_got == 0 || entry->sequence > self->last);
  g_assert_cmpuint (self->got[entry->sequence]++, ==, 0);
  if (self->delivery == IO_STREAM_DELIVERY_LATEST)
    g_assert_cmpuint (entry->sequence + 1, >=, put);
  self->last = entry->sequence;
  self->n_got++;
}

static gpointer
reader_thread (gpointer data)
{
  Reader *self = data;
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GRand) rand = g_rand_new_with_seed (self->seed);
  IOStreamBufferQueueEntry held[3], entry;
  guint n_held = 0;
  gboolean done;

  g_main_context_push_thread_default (context);
  g_mutex_lock (self->lock);
  self->client = open_client (self->delivery, IO_STREAM_OPEN_SHARED);
  self->place = (guint64) g_atomic_int_get (self->ready);
  g_atomic_int_inc (self->ready);
  g_mutex_unlock (self->lock);

  do
    {
      guint64 put = atomic_load (&self->put);

      done = g_atomic_int_get (self->done);
      if (io_stream_connection_dequeue_output_entry (self->client, &entry))
        {
          keep_account (self, &entry, put);
          held[n_held++] = entry;
          done = FALSE;
        }
      else if (!done)
        g_thread_yield ();
      while (n_held > 0 && (n_held == G_N_ELEMENTS (held) || done || g_rand_int_range (rand, 0, 3) == 0))
        stream_util_return (self->client, &held[--n_held]);
    }
  while (!done);

  self->lost = io_stream_connection_get_lost (self->client);
  g_atomic_int_add (self->ready, -1);
  while (g_atomic_int_get (self->done) == 1)
    g_thread_yield ();
  g_clear_object (&self->client);
  g_main_context_pop_thread_default (context);

  return NULL;
}

/* The owner knows what is the newest that a client was given. */
static void
note_put (IOStreamPrivate *priv,
          Reader         **by_place,
          guint64         *delivered,
          guint64          number)
{
  g_mutex_lock (&priv->lock);
  for (guint i = 0; i < N_READERS; i++)
    if (delivered[i] != _io_stream_link_at (priv, i)->delivered)
      {
        delivered[i] = _io_stream_link_at (priv, i)->delivered;
        atomic_store (&by_place[i]->put, number + 1);
      }
  g_mutex_unlock (&priv->lock);
}

static void
check_account (IOStreamPrivate *priv,
               Reader          *reader)
{
  IOStreamLink *link = _io_stream_link_at (priv, (guint) reader->place);

  g_assert_cmpint (link->delivery, ==, reader->delivery);
  g_assert_cmpuint (reader->n_got + sum_dropped (priv, (guint) reader->place), ==, N_SENT);
  g_assert_cmpuint (link->holder.count, ==, 0);
  g_assert_cmpuint (link->returned, ==, reader->n_got);
  if (reader->n_got > 0)
    g_assert_cmpuint (reader->lost, ==, reader->last + 1 - reader->n_got);
  if (reader->delivery == IO_STREAM_DELIVERY_BLOCK)
    g_assert_cmpuint (reader->n_got, ==, N_SENT);
}

static void
test_random (Fixture       *fixture,
             gconstpointer  data)
{
  IOStreamPrivate *priv = _io_stream_get_private (fixture->stream);
  g_autofree Reader *readers = g_new0 (Reader, N_READERS);
  Reader *by_place[N_READERS];
  GThread *threads[N_READERS];
  guint64 delivered[N_READERS] = { 0, };
  GMutex lock;
  int ready = 0, done = 0;

  g_mutex_init (&lock);
  io_stream_set_reserve_count (fixture->stream, 2);
  io_stream_set_client_allowance (fixture->stream, GPOINTER_TO_UINT (data));
  for (guint i = 0; i < N_READERS; i++)
    {
      readers[i].delivery = (IOStreamDelivery) (i % 4);
      readers[i].seed = (guint) g_test_rand_int ();
      readers[i].ready = &ready;
      readers[i].done = &done;
      readers[i].lock = &lock;
      threads[i] = g_thread_new ("reader", reader_thread, &readers[i]);
    }
  while (g_atomic_int_get (&ready) < N_READERS)
    g_thread_yield ();
  for (guint i = 0; i < N_READERS; i++)
    by_place[readers[i].place] = &readers[i];

  for (guint64 number = 0; number < N_SENT; number++)
    {
      g_assert_true (io_stream_wait_buffer (fixture->stream, FOR_EVER, NULL, NULL));
      g_assert_true (send_one (fixture->stream, number));
      note_put (priv, by_place, delivered, number);
    }
  g_atomic_int_set (&done, 1);
  while (g_atomic_int_get (&ready) > 0)
    g_thread_yield ();
  for (guint i = 0; i < N_READERS; i++)
    check_account (priv, &readers[i]);
  g_assert_cmpuint (priv->book.n_lent, ==, 0);
  g_atomic_int_set (&done, 2);
  for (guint i = 0; i < N_READERS; i++)
    g_thread_join (threads[i]);
  g_mutex_clear (&lock);
}

#define ADD(name, data, func) \
  g_test_add ("/stream-delivery-peers/" name, Fixture, GINT_TO_POINTER (data), set_up, func, tear_down)
#define ADD_BOTH(name, func) \
  ADD (name "/drop-oldest", IO_STREAM_DELIVERY_DROP_OLDEST, func); \
  ADD (name "/latest", IO_STREAM_DELIVERY_LATEST, func)

int
main (int    argc,
      char **argv)
{
  char *dir;
  int result;

  if (argc == 5 && g_str_equal (argv[1], "--peer"))
    return run_peer (argv[3], argv[4]);

  g_test_init (&argc, &argv, NULL);
  *peer_program () = argv[0];
  dir = stream_util_make_runtime_dir ();
  ADD ("frozen/block", IO_STREAM_DELIVERY_BLOCK, test_frozen);
  ADD ("frozen/drop-newest", IO_STREAM_DELIVERY_DROP_NEWEST, test_frozen);
  ADD_BOTH ("frozen", test_frozen);
  ADD_BOTH ("frozen-alone", test_frozen_alone);
  ADD_BOTH ("keeper", test_keeper);
  ADD_BOTH ("stop-and-go", test_stop_and_go);
  ADD ("bad-word", 0, test_bad_word);
  ADD ("bad-return/not-taken", FALSE, test_bad_return);
  ADD ("bad-return/taken-back", TRUE, test_bad_return);
  ADD ("racing-word/forward", FALSE, test_racing_word);
  ADD ("racing-word/wild", TRUE, test_racing_word);
  ADD ("hostile-owner", 0, test_hostile_owner);
  ADD ("random/roomy", N_BUFFERS, test_random);
  ADD ("random/automatic", 0, test_random);
  ADD ("random/tight", 3, test_random);
  result = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return result;
}
