/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is counted, who sees it, and what a page of somebody else can say. */

#include "peer-process.h"

#include "libiostream/io-stream-statistics-private.h"

#define N_BUFFERS 4

/* --- the page ---------------------------------------------------------------- */

static void
test_page (void)
{
  IOStatisticsPage own = { 0, }, other = { 0, };
  IOAbiStatisticsStream stream = { .produced = 1 }, seen_stream;
  IOAbiStatisticsClient client = { .id = 7, .pid = 42 }, seen;
  g_autoptr (GError) error = NULL;

  g_assert_true (_io_statistics_page_create (&own, 3, &error));
  g_assert_no_error (error);
  g_assert_true (_io_statistics_page_attach (&other, dup (_io_memory_backing_peek_fd (own.backing)), 3, &error));
  g_assert_no_error (error);

  g_assert_true (_io_statistics_page_read_client (&other, 2, &seen));
  g_assert_cmpuint (seen.id, ==, 0);

  for (guint i = 0; i < 5; i++)
    {
      stream.produced = i;
      client.delivered = 100 + i;
      _io_statistics_page_write_stream (&own, &stream);
      _io_statistics_page_write_client (&own, 2, &client);
      g_assert_true (_io_statistics_page_read_stream (&other, &seen_stream));
      g_assert_cmpmem (&seen_stream, sizeof seen_stream, &stream, sizeof stream);
      g_assert_true (_io_statistics_page_read_client (&other, 2, &seen));
      g_assert_cmpmem (&seen, sizeof seen, &client, sizeof client);
    }

  _io_statistics_page_clear (&own);
  _io_statistics_page_clear (&other);
}

static void
check_attach_fails (int   fd,
                    guint rows)
{
  IOStatisticsPage page = { 0, };
  g_autoptr (GError) error = NULL;

  g_assert_false (_io_statistics_page_attach (&page, fd, rows, &error));
  g_assert_nonnull (error);
  g_assert_true (error->domain == IO_STREAM_ERROR);
  g_assert_null (page.page);
}

static void
test_page_hostile (void)
{
  IOStatisticsPage own = { 0, };
  g_autoptr (GError) error = NULL;
  int fd;

  g_assert_true (_io_statistics_page_create (&own, 1, &error));
  g_assert_no_error (error);
  fd = _io_memory_backing_peek_fd (own.backing);

  /* too small for the rows that it is said to have */
  check_attach_fails (dup (fd), IO_ABI_STATISTICS_ROWS);
  /* large enough for them, and says something else */
  check_attach_fails (dup (fd), 2);
  own.page->magic ^= 1;
  check_attach_fails (dup (fd), 1);
  own.page->magic ^= 1;
  own.page->abi = 2;
  check_attach_fails (dup (fd), 1);
  own.page->abi = IO_ABI_VERSION;
  own.page->row_count = G_MAXUINT32;
  check_attach_fails (dup (fd), 1);
  own.page->row_count = 1;
  own.page->page_bytes = G_MAXUINT32;
  check_attach_fails (dup (fd), 1);

  /* not sealed */
  fd = memfd_create ("statistics", MFD_CLOEXEC);
  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (ftruncate (fd, (off_t) _io_statistics_page_get_size (1)), ==, 0);
  check_attach_fails (fd, 1);

  _io_statistics_page_clear (&own);
}

typedef struct {
  IOStatisticsPage page;
  _Atomic gboolean stop;
  _Atomic guint64  rounds;
} Writer;

/* Every word of a row says the same. */
static gpointer
write_cb (gpointer user_data)
{
  Writer *writer = user_data;
  guint64 words[IO_ABI_STATISTICS_WORDS];

  while (!writer->stop)
    {
      guint64 round = ++writer->rounds;

      for (guint i = 0; i < G_N_ELEMENTS (words); i++)
        words[i] = round;
      _io_statistics_page_write_client (&writer->page, 0, (IOAbiStatisticsClient *) words);
    }

  return NULL;
}

static void
test_page_restless (void)
{
  Writer writer = { .stop = FALSE };
  guint64 words[IO_ABI_STATISTICS_WORDS], last = 0;
  g_autoptr (GError) error = NULL;
  GThread *thread;

  g_assert_true (_io_statistics_page_create (&writer.page, 1, &error));
  g_assert_no_error (error);
  thread = g_thread_new ("writer", write_cb, &writer);

  while (writer.rounds < 100000)
    {
      if (!_io_statistics_page_read_client (&writer.page, 0, (IOAbiStatisticsClient *) words))
        continue;
      for (guint i = 1; i < G_N_ELEMENTS (words); i++)
        g_assert_cmpuint (words[i], ==, words[0]);
      g_assert_cmpuint (words[0], >=, last);
      last = words[0];
    }

  writer.stop = TRUE;
  g_thread_join (thread);
  _io_statistics_page_clear (&writer.page);
}

/* Whoever looks while the owner writes sees what it wrote before. */
static void
test_page_interrupted (void)
{
  IOStatisticsPage page = { 0, };
  IOAbiStatisticsClient client = { .id = 1, .delivered = 1 }, seen;
  g_autoptr (GError) error = NULL;

  g_assert_true (_io_statistics_page_create (&page, 1, &error));
  g_assert_no_error (error);
  for (guint i = 0; i < 4; i++)
    {
      IOAbiStatisticsRow *row = &page.page->clients[0];

      client.delivered = i;
      _io_statistics_page_write_client (&page, 0, &client);
      for (guint word = 0; word < IO_ABI_STATISTICS_WORDS; word++)
        row->copies[(row->version + 1) & 1][word] = G_MAXUINT64;
      g_assert_true (_io_statistics_page_read_client (&page, 0, &seen));
      g_assert_cmpmem (&seen, sizeof seen, &client, sizeof client);
    }

  _io_statistics_page_clear (&page);
}

/* --- what rows say ------------------------------------------------------------- */

static void
test_rows (void)
{
  IOAbiStatisticsStream stream = { .state = IO_STREAM_STATE_RUNNING, .mode = IO_STREAM_MODE_OUTPUT,
                                   .clients = G_MAXUINT32 };
  IOAbiStatisticsClient client = { .id = 9, .held = 1, .queued = G_MAXUINT32, .held_since = G_MAXUINT64,
                                   .delivered = 10, .replayed = 2, .dropped = { 1, 2, 3, 4, 5, 0, 0, 0 } };
  g_autoptr (IOStreamStatistics) statistics = NULL;
  g_autoptr (IOStreamStatistics) copy = NULL;
  g_autoptr (GError) error = NULL;
  const IOStreamClientStatistics *row;

  memset (client.name, 0xff, sizeof client.name);
  statistics = _io_stream_statistics_new (&stream, 1000, &error);
  g_assert_no_error (error);
  g_assert_true (_io_stream_statistics_add (statistics, &client, 9, &error));
  g_assert_no_error (error);
  client.id = 0;
  g_assert_true (_io_stream_statistics_add (statistics, &client, 9, &error));
  g_assert_cmpuint (io_stream_statistics_get_clients (statistics)->len, ==, 1);

  row = io_stream_statistics_get_own (statistics);
  g_assert_nonnull (row);
  g_assert_true (g_utf8_validate (row->name, -1, NULL));
  g_assert_cmpuint (row->queued, ==, 1);
  g_assert_cmpuint (row->held_time, ==, 0);
  g_assert_cmpuint (row->dropped, ==, 15);
  g_assert_cmpuint (row->produced, ==, 8 + 1 + 4 + 5);

  copy = io_stream_statistics_copy (statistics);
  g_assert_cmpuint (copy->clients, ==, G_MAXUINT32);
  g_assert_cmpstr (io_stream_statistics_get_own (copy)->name, ==, row->name);
  g_assert_true (io_stream_statistics_get_own (copy)->name != row->name);
}

static void
test_rows_impossible (void)
{
  const IOAbiStatisticsStream good = { .state = IO_STREAM_STATE_RUNNING, .mode = IO_STREAM_MODE_OUTPUT };
  IOAbiStatisticsStream stream = good;
  IOAbiStatisticsClient client = { .id = 1, .delivery = IO_STREAM_DELIVERY_LATEST + 1 };
  g_autoptr (IOStreamStatistics) statistics = _io_stream_statistics_new (&good, 0, NULL);

  stream.state = 77;
  stream_util_assert_fails (_io_stream_statistics_new (&stream, 0, err) != NULL, IO_STREAM_ERROR_IPC_ERROR);
  stream = good;
  stream.mode = G_MAXUINT32;
  stream_util_assert_fails (_io_stream_statistics_new (&stream, 0, err) != NULL, IO_STREAM_ERROR_IPC_ERROR);
  stream_util_assert_fails (_io_stream_statistics_add (statistics, &client, 0, err), IO_STREAM_ERROR_IPC_ERROR);
  client.delivery = 0;
  client.state = G_MAXUINT32;
  stream_util_assert_fails (_io_stream_statistics_add (statistics, &client, 0, err), IO_STREAM_ERROR_IPC_ERROR);
}

/* --- owner and clients ----------------------------------------------------------- */

typedef struct {
  char                     *dir;
  StreamPair                pair;
  IOStreamStatisticsAccess  access;
} Fixture;

static gboolean
authorize_cb (IOService    *service,
              IOUserClient *client,
              Fixture      *fixture)
{
  io_stream_user_client_set_statistics_access (IO_STREAM_USER_CLIENT (client), fixture->access);

  return TRUE;
}

/* Shared, so that others can come. */
static IOStreamConnection *
open_shared (IOStream         *stream,
             IOStreamDelivery  delivery)
{
  g_autoptr (GError) error = NULL;
  IOStreamConnection *client = stream_util_connect (stream, &error);

  g_assert_no_error (error);
  io_stream_connection_set_delivery (client, delivery);
  io_connection_open (IO_CONNECTION (client), IO_STREAM_OPEN_SHARED, NULL, &error);
  g_assert_no_error (error);

  return client;
}

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  StreamPair *pair = &fixture->pair;

  fixture->dir = stream_util_make_runtime_dir ();
  fixture->access = IO_STREAM_STATISTICS_ACCESS_OWN;
  g_main_context_iteration (NULL, FALSE);
  pair->n_fds = count_fds ();
  pair->loop = stream_util_new_loop ();
  pair->stream = stream_util_new_stream (pair->loop, IO_STREAM_MODE_OUTPUT, N_BUFFERS, 1000, 0);
  if (data != NULL)
    g_signal_connect (pair->stream, "authorize", G_CALLBACK (authorize_cb), fixture);
  pair->client = open_shared (pair->stream, IO_STREAM_DELIVERY_BLOCK);
  stream_util_start (pair->client);
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  stream_util_tear_down (&fixture->pair);
  stream_util_remove_runtime_dir (fixture->dir);
}

static IOStreamStatistics *
look (IOStreamConnection *client)
{
  g_autoptr (GError) error = NULL;
  IOStreamStatistics *statistics = io_stream_connection_get_statistics (client, NULL, &error);

  g_assert_no_error (error);
  g_assert_nonnull (statistics);

  return statistics;
}

static void
drop_client (IOStreamConnection *client)
{
  io_connection_hang_up (IO_CONNECTION (client));
  stream_util_settle ();
  g_assert_finalize_object (client);
}

static const IOStreamClientStatistics *
row_at (IOStreamStatistics *statistics,
        guint               index)
{
  GPtrArray *rows = io_stream_statistics_get_clients (statistics);

  g_assert_cmpuint (index, <, rows->len);

  return g_ptr_array_index (rows, index);
}

static void
check_books (IOStreamStatistics *statistics)
{
  GPtrArray *rows = io_stream_statistics_get_clients (statistics);

  g_assert_cmpuint (statistics->free_buffers + statistics->owned_buffers + statistics->lent_buffers +
                    statistics->arrived_buffers, ==, statistics->buffers);
  for (guint i = 0; i < rows->len; i++)
    {
      const IOStreamClientStatistics *row = g_ptr_array_index (rows, i);

      g_assert_cmpuint (row->delivered, ==, row->returned + row->held + row->dropped_oldest +
                        row->dropped_latest + row->revoked);
      g_assert_cmpuint (row->produced, ==, row->delivered - row->replayed + row->dropped_newest +
                        row->dropped_allowance + row->dropped_reserve);
    }
}

static void
test_owner (Fixture       *fixture,
            gconstpointer  data)
{
  StreamPair *pair = &fixture->pair;
  g_autoptr (IOStreamStatistics) before = NULL;
  g_autoptr (IOStreamStatistics) after = NULL;
  IOStreamBufferQueueEntry entry;
  const IOStreamClientStatistics *row;

  stream_util_send (pair->stream, 1);
  stream_util_send (pair->stream, 2);
  before = io_stream_get_statistics (pair->stream);
  check_books (before);
  g_assert_cmpuint (before->state, ==, IO_STREAM_STATE_RUNNING);
  g_assert_cmpuint (before->buffers, ==, N_BUFFERS);
  g_assert_cmpuint (before->free_buffers, ==, N_BUFFERS - 2);
  g_assert_cmpuint (before->lent_buffers, ==, 2);
  g_assert_cmpuint (before->clients, ==, 1);
  g_assert_cmpuint (before->produced, ==, 2);
  g_assert_cmpuint (before->delivered, ==, 2);
  row = row_at (before, 0);
  g_assert_cmpint (row->pid, ==, getpid ());
  g_assert_cmpuint (row->uid, ==, getuid ());
  g_assert_false (row->is_own);
  g_assert_cmpuint (row->held, ==, 2);
  g_assert_cmpuint (row->queued, ==, 2);
  g_assert_cmpuint (row->opened_at, <=, before->time);

  stream_util_take (pair->client, 1, &entry);
  stream_util_return (pair->client, &entry);
  after = io_stream_get_statistics (pair->stream);
  check_books (after);
  row = row_at (after, 0);
  g_assert_cmpuint (row->held, ==, 1);
  g_assert_cmpuint (row->returned, ==, 1);
  g_assert_cmpuint (row->delivered, ==, 2);
  g_assert_cmpuint (after->returned, ==, 1);
  g_assert_cmpuint (after->time, >=, before->time);
  g_assert_cmpuint (row->longest_held_time, >=, row->held_time);
}

/* The rows of a client that left go, what they said of the stream stays. */
static void
test_client_left (Fixture       *fixture,
                  gconstpointer  data)
{
  StreamPair *pair = &fixture->pair;
  g_autoptr (IOStreamStatistics) statistics = NULL;

  stream_util_send (pair->stream, 1);
  stream_util_close (pair->client);
  statistics = io_stream_get_statistics (pair->stream);
  check_books (statistics);
  g_assert_cmpuint (statistics->clients, ==, 0);
  g_assert_cmpuint (io_stream_statistics_get_clients (statistics)->len, ==, 0);
  g_assert_cmpuint (statistics->delivered, ==, 1);
  g_assert_cmpuint (statistics->free_buffers, ==, N_BUFFERS);
}

static void
test_drops (Fixture       *fixture,
            gconstpointer  data)
{
  StreamPair *pair = &fixture->pair;
  IOStreamConnection *slow = open_shared (pair->stream, IO_STREAM_DELIVERY_DROP_NEWEST);
  g_autoptr (IOStreamStatistics) statistics = NULL;
  IOStreamBufferQueueEntry entry;
  guint dropped = 0;

  stream_util_start (slow);
  for (guint i = 0; i < 10; i++)
    {
      stream_util_send (pair->stream, 1);
      stream_util_take (pair->client, 1, &entry);
      stream_util_return (pair->client, &entry);
    }

  statistics = io_stream_get_statistics (pair->stream);
  check_books (statistics);
  for (guint i = 0; i < 2; i++)
    {
      const IOStreamClientStatistics *row = row_at (statistics, i);

      g_assert_cmpuint (row->produced, ==, 10);
      if (row->delivery == IO_STREAM_DELIVERY_DROP_NEWEST)
        {
          dropped += row->dropped;
          g_assert_cmpuint (row->delivered, ==, row->held);
          g_assert_cmpuint (row->held, ==, row->allowance);
        }
      else
        g_assert_cmpuint (row->dropped, ==, 0);
    }
  g_assert_cmpuint (dropped, ==, 8);
  g_assert_cmpuint (statistics->dropped, ==, 8);
  g_assert_cmpuint (statistics->produced, ==, 10);
  g_assert_cmpuint (statistics->delivered, ==, 12);

  drop_client (slow);
}

/* --- the page of a stream ---------------------------------------------------------- */

static gboolean
page_says (IOStreamConnection *client,
           guint64             produced,
           guint64             returned)
{
  g_autoptr (IOStreamStatistics) statistics = look (client);

  check_books (statistics);

  return statistics->produced == produced && statistics->returned == returned;
}

static void
test_look (Fixture       *fixture,
           gconstpointer  data)
{
  StreamPair *pair = &fixture->pair;
  g_autoptr (GError) error = NULL;
  IOStreamConnection *watcher = stream_util_connect (pair->stream, &error);
  g_autoptr (IOStreamStatistics) statistics = NULL;
  IOStreamBufferQueueEntry entry;

  g_assert_no_error (error);
  g_assert_true (page_says (watcher, 0, 0));
  for (guint i = 0; i < 20; i++)
    {
      stream_util_send (pair->stream, 1);
      stream_util_take (pair->client, 1, &entry);
      stream_util_return (pair->client, &entry);
    }

  /* What came back last is seen when something happens again. */
  stream_util_send (pair->stream, 1);
  stream_util_iterate_until (page_says (watcher, 21, 20));
  statistics = look (watcher);
  g_assert_null (io_stream_statistics_get_own (statistics));
  g_assert_cmpuint (statistics->clients, ==, 1);
  g_assert_cmpuint (io_stream_statistics_get_clients (statistics)->len, ==, 1);
  drop_client (watcher);
}

static void
test_own (Fixture       *fixture,
          gconstpointer  data)
{
  StreamPair *pair = &fixture->pair;
  IOStreamConnection *other = open_shared (pair->stream, IO_STREAM_DELIVERY_DROP_NEWEST);
  g_autoptr (IOStreamStatistics) mine = look (pair->client);
  g_autoptr (IOStreamStatistics) others = look (other);

  g_assert_cmpuint (io_stream_statistics_get_clients (mine)->len, ==, 2);
  g_assert_cmpuint (io_stream_statistics_get_own (mine)->delivery, ==, IO_STREAM_DELIVERY_BLOCK);
  g_assert_cmpuint (io_stream_statistics_get_own (others)->delivery, ==, IO_STREAM_DELIVERY_DROP_NEWEST);
  g_assert_cmpuint (io_stream_statistics_get_own (others)->state, ==, IO_STREAM_STATE_STOPPED);
  g_assert_cmpuint (io_stream_statistics_get_own (others)->id, !=, io_stream_statistics_get_own (mine)->id);

  drop_client (other);
}

/* Somebody who may see no more than itself. */
static void
test_restricted (Fixture       *fixture,
                 gconstpointer  data)
{
  StreamPair *pair = &fixture->pair;
  IOStreamConnection *other = open_shared (pair->stream, IO_STREAM_DELIVERY_DROP_NEWEST);
  g_autoptr (IOStreamStatistics) mine = look (pair->client);
  g_autoptr (IOStreamStatistics) others = look (other);
  g_autoptr (IOStreamStatistics) later = NULL;

  g_assert_cmpuint (mine->clients, ==, 2);
  g_assert_cmpuint (io_stream_statistics_get_clients (mine)->len, ==, 1);
  g_assert_cmpuint (io_stream_statistics_get_own (mine)->delivery, ==, IO_STREAM_DELIVERY_BLOCK);
  g_assert_cmpuint (io_stream_statistics_get_clients (others)->len, ==, 1);
  g_assert_cmpuint (io_stream_statistics_get_own (others)->delivery, ==, IO_STREAM_DELIVERY_DROP_NEWEST);

  /* Not open any more, it has no row. */
  stream_util_close (other);
  later = look (other);
  g_assert_cmpuint (later->clients, ==, 1);
  g_assert_cmpuint (io_stream_statistics_get_clients (later)->len, ==, 0);

  drop_client (other);
}

static void
test_refused (Fixture       *fixture,
              gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  IOStreamConnection *watcher;

  fixture->access = IO_STREAM_STATISTICS_ACCESS_NONE;
  watcher = stream_util_connect (fixture->pair.stream, &error);
  g_assert_no_error (error);
  stream_util_assert_fails (io_stream_connection_get_statistics (watcher, NULL, err) != NULL,
                            IO_STREAM_ERROR_NOT_PERMITTED);
  g_assert_true (io_connection_is_connected (IO_CONNECTION (watcher)));
  drop_client (watcher);
}

/* What is mapped can be looked at when nobody is there any more. */
static void
test_owner_gone (Fixture       *fixture,
                 gconstpointer  data)
{
  StreamPair *pair = &fixture->pair;
  g_autoptr (IOStreamStatistics) before = look (pair->client);
  g_autoptr (IOStreamStatistics) after = NULL;

  io_service_terminate (IO_SERVICE (pair->stream));
  stream_util_shut_down (pair->loop);
  after = look (pair->client);
  g_assert_cmpuint (after->produced, ==, before->produced);
}

/* --- who holds what ------------------------------------------------------------------ */

static void
test_no_space (Fixture       *fixture,
               gconstpointer  data)
{
  StreamPair *pair = &fixture->pair;
  IOStreamConnection *others[5];
  g_autoptr (GError) error = NULL;
  g_autoptr (IOStreamStatistics) statistics = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (others); i++)
    {
      others[i] = open_shared (pair->stream, IO_STREAM_DELIVERY_DROP_NEWEST);
      stream_util_start (others[i]);
    }
  stream_util_send (pair->stream, 1);
  stream_util_send (pair->stream, 2);
  while (io_stream_acquire_buffer (pair->stream, &error) != NULL)
    ;

  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_SPACE);
  g_assert_nonnull (strstr (error->message, ", and 2 more"));
  g_assert_true (g_regex_match_simple ("^No buffer of stream “test” is free: "
                                       "(client “[^”]*” \\(process [0-9]+\\) holds 2 of 4, "
                                       "the oldest for [0-9]+\\.[0-9]{3} s(, )?){4}, and 2 more$|"
                                       "^No buffer of stream “test” is free: "
                                       "(client “[^”]*” \\(process [0-9]+\\) holds 2 of 4, "
                                       "the oldest for [0-9]+\\.[0-9]{3} s, ){4}and 2 more$",
                                       error->message, 0, 0));
  statistics = io_stream_get_statistics (pair->stream);
  g_assert_cmpuint (statistics->failures, ==, 1);

  for (guint i = 0; i < G_N_ELEMENTS (others); i++)
    drop_client (others[i]);
}

/* --- what a client knows it missed ---------------------------------------------------- */

static void
test_lost (Fixture       *fixture,
           gconstpointer  data)
{
  StreamPair *pair = &fixture->pair;
  IOStreamConnection *late;
  IOStreamBufferQueueEntry entry;
  guint64 delivered = 0;
  g_autoptr (IOStreamStatistics) statistics = NULL;

  for (guint i = 0; i < 3; i++)
    {
      stream_util_send (pair->stream, 1);
      stream_util_take (pair->client, 1, &entry);
      stream_util_return (pair->client, &entry);
    }

  /* What was sent before it came, it did not lose. */
  late = open_shared (pair->stream, IO_STREAM_DELIVERY_DROP_NEWEST);
  stream_util_start (late);
  for (guint i = 0; i < 10; i++)
    {
      stream_util_send (pair->stream, 1);
      stream_util_take (pair->client, 1, &entry);
      stream_util_return (pair->client, &entry);
    }
  while (io_stream_connection_dequeue_output_entry (late, &entry))
    {
      stream_util_return (late, &entry);
      delivered++;
    }
  g_assert_cmpuint (io_stream_connection_get_lost (late), ==, 0);
  stream_util_send (pair->stream, 1);
  stream_util_take (late, 1, &entry);
  stream_util_return (late, &entry);
  g_assert_cmpuint (io_stream_connection_get_lost (late), ==, 10 - delivered);
  stream_util_take (pair->client, 1, &entry);
  stream_util_return (pair->client, &entry);

  statistics = io_stream_get_statistics (pair->stream);
  g_assert_cmpuint (statistics->dropped, ==, io_stream_connection_get_lost (late));

  /* Nor what was sent while it did not have it open. */
  stream_util_close (late);
  stream_util_send (pair->stream, 1);
  g_assert_true (io_connection_open (IO_CONNECTION (late), IO_STREAM_OPEN_SHARED, NULL, NULL));
  stream_util_start (late);
  stream_util_take (pair->client, 1, &entry);
  stream_util_return (pair->client, &entry);
  stream_util_send (pair->stream, 1);
  stream_util_take (late, 1, &entry);
  stream_util_return (late, &entry);
  stream_util_take (pair->client, 1, &entry);
  stream_util_return (pair->client, &entry);

  /* Nor what was sent while it had it stopped. */
  g_assert_true (io_stream_connection_stop (late, NULL, NULL));
  stream_util_send (pair->stream, 1);
  stream_util_take (pair->client, 1, &entry);
  stream_util_return (pair->client, &entry);
  stream_util_start (late);
  stream_util_send (pair->stream, 1);
  stream_util_take (late, 1, &entry);
  g_assert_cmpuint (io_stream_connection_get_lost (late), ==, 10 - delivered);
  g_assert_cmpuint (io_stream_connection_get_lost (pair->client), ==, 0);

  drop_client (late);
}

/* What was missed before anything came is known with what comes. */
static void
test_lost_first (Fixture       *fixture,
                 gconstpointer  data)
{
  StreamPair *pair = &fixture->pair;
  IOStreamConnection *late = open_shared (pair->stream, IO_STREAM_DELIVERY_DROP_NEWEST);
  IOStreamBufferQueueEntry entry, held[N_BUFFERS];
  guint n_held = 0;

  stream_util_start (late);
  stream_util_send (pair->stream, 1);
  stream_util_take (pair->client, 1, &entry);
  stream_util_return (pair->client, &entry);
  stream_util_take (late, 1, &held[n_held++]);
  stream_util_close (late);
  g_assert_true (io_connection_open (IO_CONNECTION (late), IO_STREAM_OPEN_SHARED, NULL, NULL));
  stream_util_start (late);

  /* It may hold two: the others pass it by. */
  for (guint i = 0; i < 5; i++)
    {
      stream_util_send (pair->stream, 1);
      stream_util_take (pair->client, 1, &entry);
      stream_util_return (pair->client, &entry);
    }
  while (io_stream_connection_dequeue_output_entry (late, &entry))
    stream_util_return (late, &entry);
  stream_util_send (pair->stream, 1);
  stream_util_take (late, 1, &entry);
  g_assert_cmpuint (io_stream_connection_get_received (late) + io_stream_connection_get_lost (late), ==, 1 + 6);

  drop_client (late);
}

#define ADD(path, func, data) g_test_add (path, Fixture, data, set_up, func, tear_down)

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/stream-statistics/page", test_page);
  g_test_add_func ("/stream-statistics/page/hostile", test_page_hostile);
  g_test_add_func ("/stream-statistics/page/restless", test_page_restless);
  g_test_add_func ("/stream-statistics/page/interrupted", test_page_interrupted);
  g_test_add_func ("/stream-statistics/rows", test_rows);
  g_test_add_func ("/stream-statistics/rows/impossible", test_rows_impossible);
  ADD ("/stream-statistics/owner", test_owner, NULL);
  ADD ("/stream-statistics/client-left", test_client_left, NULL);
  ADD ("/stream-statistics/drops", test_drops, NULL);
  ADD ("/stream-statistics/look", test_look, NULL);
  ADD ("/stream-statistics/own", test_own, NULL);
  ADD ("/stream-statistics/restricted", test_restricted, "authorize");
  ADD ("/stream-statistics/refused", test_refused, "authorize");
  ADD ("/stream-statistics/owner-gone", test_owner_gone, NULL);
  ADD ("/stream-statistics/no-space", test_no_space, NULL);
  ADD ("/stream-statistics/lost", test_lost, NULL);
  ADD ("/stream-statistics/lost/first", test_lost_first, NULL);

  return g_test_run ();
}
