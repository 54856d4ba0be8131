/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "peer-process.h"

#include "data-queue-service.h"

#define N_RECORDS 20000

/* The other process. */

static IOSharedDataQueue *
peer_connect (IOConnection **connection,
              guint          type)
{
  g_autoptr (GError) error = NULL;
  IOSharedDataQueue *queue;

  *connection = io_connection_new_for_name ("queues", NULL, &error);
  g_assert_no_error (error);
  io_connection_open (*connection, 0, NULL, &error);
  g_assert_no_error (error);
  queue = io_connection_get_data_queue (*connection, type, NULL, &error);
  g_assert_no_error (error);

  return queue;
}

static void
consume_all (IOSharedDataQueue *queue)
{
  g_autoptr (GError) error = NULL;
  const void *record;
  guint64 i = 0;
  gsize size;

  while (io_shared_data_queue_wait_data (queue, LONG_TIME, NULL, &error))
    while (io_shared_data_queue_peek (queue, &record, &size))
      {
        g_assert_cmpuint (size, ==, record_size (i, 500));
        g_assert_true (record_is (record, size, i));
        io_shared_data_queue_consume (queue);
        i++;
      }
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
  peer_say ("took %" G_GUINT64_FORMAT, i);
}

/* @n: 0 for ever */
static void
produce (IOSharedDataQueue *queue,
         guint64            n)
{
  guint8 buffer[500];
  g_autoptr (GError) error = NULL;

  for (guint64 i = 0; n == 0 || i < n; i++)
    {
      gsize size = record_size (i, sizeof buffer);

      record_fill (buffer, size, i);
      while (!io_shared_data_queue_enqueue (queue, buffer, size, &error))
        {
          g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OVERRUN);
          g_clear_error (&error);
          io_shared_data_queue_wait_space (queue, size, LONG_TIME, NULL, &error);
          g_assert_no_error (error);
        }
      if (i == 100)
        peer_say ("going");
    }
}

/* An owner that gives three records and waits to be killed. */
static gboolean
fill_cb (gpointer data)
{
  if (last_queue == NULL || !last_queue->ready)
    return G_SOURCE_CONTINUE;

  for (guint i = 0; i < 3; i++)
    assert_enqueue (last_queue, 20, i);
  peer_say ("filled");

  return G_SOURCE_REMOVE;
}

static int
run_peer (char **argv)
{
  g_autoptr (IOConnection) connection = NULL;
  g_autoptr (IOSharedDataQueue) queue = NULL;

  if (strcmp (argv[0], "own") == 0)
    {
      new_queue_service ();
      g_idle_add (fill_cb, NULL);
      peer_say ("ready");
      for (;;)
        g_main_context_iteration (NULL, TRUE);
    }

  if (strcmp (argv[0], "consume") == 0)
    {
      queue = peer_connect (&connection, 0);
      consume_all (queue);
    }
  else
    {
      queue = peer_connect (&connection, 1);
      produce (queue, g_ascii_strtoull (argv[1], NULL, 10));
      io_shared_data_queue_hang_up (queue);
    }

  return 0;
}

/* Two processes. */

typedef struct {
  guint64            next;
  gsize              max;
  gboolean           ended;
  IOSharedDataQueue *queue;
} Work;

static void
ended_cb (IOSharedDataQueue *queue,
          Work              *work)
{
  work->ended = TRUE;
}

static void
fill_queue_cb (IOSharedDataQueue *queue,
               Work              *work)
{
  guint8 buffer[500];
  g_autoptr (GError) error = NULL;

  for (; work->next < N_RECORDS; work->next++)
    {
      gsize size = record_size (work->next, 500);

      record_fill (buffer, size, work->next);
      if (!io_shared_data_queue_enqueue (queue, buffer, size, &error))
        {
          g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OVERRUN);
          return;
        }
    }
  io_shared_data_queue_hang_up (queue);
}

static void
wait_for_queue (void)
{
  while (last_queue == NULL || !last_queue->ready)
    g_main_context_iteration (NULL, TRUE);
}

static void
test_owner_produces (void)
{
  IOService *service = new_queue_service ();
  Peer *peer = peer_spawn (-1, -1, "consume", NULL);
  Work work = { 0, };

  wait_for_queue ();
  g_signal_connect (last_queue, "space-available", G_CALLBACK (fill_queue_cb), &work);
  g_signal_connect (last_queue, "ended", G_CALLBACK (ended_cb), &work);
  io_shared_data_queue_attach (last_queue);
  fill_queue_cb (last_queue, &work);
  while (!work.ended)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (work.next, ==, N_RECORDS);
  peer_expect (peer, "took 20000");
  peer_finish (peer);
  finish_service (service);
}

static void
drain_queue_cb (IOSharedDataQueue *queue,
                Work              *work)
{
  const void *record;
  gsize size;

  while (io_shared_data_queue_peek (queue, &record, &size))
    {
      g_assert_cmpuint (size, ==, record_size (work->next, 500));
      g_assert_true (record_is (record, size, work->next));
      io_shared_data_queue_consume (queue);
      work->next++;
    }
}

static void
consume_from (Peer *peer,
              Work *work)
{
  wait_for_queue ();
  g_signal_connect (last_queue, "data-available", G_CALLBACK (drain_queue_cb), work);
  g_signal_connect (last_queue, "ended", G_CALLBACK (ended_cb), work);
  io_shared_data_queue_attach (last_queue);
}

static void
test_client_produces (void)
{
  IOService *service = new_queue_service ();
  Peer *peer = peer_spawn (-1, -1, "produce", "20000", NULL);
  Work work = { 0, };

  consume_from (peer, &work);
  while (!work.ended)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (work.next, ==, N_RECORDS);
  g_assert_null (io_shared_data_queue_get_error (last_queue));
  peer_expect (peer, "going");
  peer_finish (peer);
  finish_service (service);
}

/* Whatever the moment: a sound beginning, and the end. */
static void
test_client_is_killed (void)
{
  IOService *service = new_queue_service ();

  for (guint i = 0; i < 10; i++)
    {
      Peer *peer = peer_spawn (-1, -1, "produce", "0", NULL);
      Work work = { 0, };

      consume_from (peer, &work);
      while (work.next < 101 + i * 333)
        g_main_context_iteration (NULL, TRUE);
      peer_expect (peer, "going");
      peer_kill (peer);
      while (!work.ended)
        g_main_context_iteration (NULL, TRUE);
      g_assert_error (io_shared_data_queue_get_error (last_queue), IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
      drain_queue_cb (last_queue, &work);
      assert_nothing (last_queue, IO_STREAM_ERROR_OFFLINE);
      g_clear_object (&last_queue);
        }
  finish_service (service);
}

static void
test_owner_is_killed (void)
{
  Peer *peer = peer_spawn (-1, -1, "own", NULL);
  g_autoptr (GError) error = NULL;
  IOConnection *connection;
  IOSharedDataQueue *queue;
  const char *dir = g_getenv ("IOSTREAM_RUNTIME_DIR");
  g_autofree char *lock = g_build_filename (dir, "queues.lock", NULL);
  g_autofree char *name = g_build_filename (dir, "queues", NULL);

  peer_expect (peer, "ready");
  queue = peer_connect (&connection, 0);
  peer_expect (peer, "filled");
  peer_kill (peer);
  for (guint i = 0; i < 3; i++)
    {
      g_assert_true (io_shared_data_queue_wait_data (queue, LONG_TIME, NULL, &error));
      assert_dequeue (queue, 20, i);
    }
  g_assert_false (io_shared_data_queue_wait_data (queue, LONG_TIME, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
  g_assert_error (io_shared_data_queue_get_error (queue), IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
  assert_nothing (queue, IO_STREAM_ERROR_OFFLINE);
  g_assert_finalize_object (queue);
  g_assert_finalize_object (connection);
  /* The next owner would take the name over. */
  g_unlink (lock);
  g_unlink (name);
}

int
main (int    argc,
      char **argv)
{
  char *dir;
  int status;

  if (argc > 2 && strcmp (argv[1], "--peer") == 0)
    {
      peer_begin ();
      return run_peer (argv + 2);
    }

  *peer_program () = argv[0];
  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();

  g_test_add_func ("/data-queue-processes/owner-produces", test_owner_produces);
  g_test_add_func ("/data-queue-processes/client-produces", test_client_produces);
  g_test_add_func ("/data-queue-processes/client-is-killed", test_client_is_killed);
  g_test_add_func ("/data-queue-processes/owner-is-killed", test_owner_is_killed);

  status = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return status;
}
