/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Waiting for owners that have still to come. */

#include "peer-process.h"

#include "libiostream/io-names-wait-private.h"
#include "libiostream/io-names-watch-private.h"

#define N_CLIENTS 100

typedef struct {
  char *directory;
  guint n_fds;
} Fixture;

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  fixture->directory = stream_util_make_runtime_dir ();
  stream_util_settle ();
  g_object_unref (g_task_new (NULL, NULL, NULL, NULL));
  fixture->n_fds = count_fds ();
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  stream_util_settle ();
  g_assert_cmpuint (count_fds (), ==, fixture->n_fds);
  g_assert_cmpuint (_io_names_wait_count_watches (), ==, 0);
  stream_util_remove_runtime_dir (fixture->directory);
}

/* The owner. */

static int
run_owner (void)
{
  IOWorkLoop *loop = io_work_loop_new ("owner");
  IOStream *stream = stream_util_new_stream (loop, IO_STREAM_MODE_OUTPUT, 4, 4096, 0);
  g_autofree char *order = NULL;

  peer_say ("ready");
  order = peer_take_order ();
  io_service_terminate (IO_SERVICE (stream));
  io_work_loop_shut_down (loop);
  g_object_unref (stream);
  g_object_unref (loop);

  return 0;
}

static void
keep_result_cb (GObject      *source,
                GAsyncResult *result,
                gpointer      user_data)
{
  GAsyncResult **kept = user_data;

  g_assert_null (*kept);
  *kept = g_object_ref (result);
}

static IOStreamConnection *
finish_stream (GAsyncResult **result,
               GError       **error)
{
  IOStreamConnection *client;

  stream_util_iterate_until (*result != NULL);
  client = io_stream_connection_await_name_finish (*result, error);
  g_clear_object (result);

  return client;
}

static void
test_later (Fixture       *fixture,
            gconstpointer  data)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  IOStreamConnection *client;
  Peer *peer;

  _io_names_watch_without_inotify = data != NULL;
  io_stream_connection_await_name_async ("test", IO_STREAM_OPEN_NONE, -1, NULL, keep_result_cb, &result);
  g_assert_cmpuint (_io_names_wait_count_watches (), ==, 1);
  stream_util_settle ();
  g_assert_null (result);

  peer = peer_spawn (-1, -1, "owner", NULL);
  client = finish_stream (&result, &error);
  _io_names_watch_without_inotify = FALSE;
  g_assert_no_error (error);
  g_assert_true (io_connection_is_open (IO_CONNECTION (client)));
  g_assert_cmpuint (io_stream_connection_get_generation (client), ==, 1);
  g_assert_cmpint (io_connection_get_timeout (IO_CONNECTION (client)), ==, 5 * G_USEC_PER_SEC);
  stream_util_close (client);
  g_assert_finalize_object (client);
  peer_expect (peer, "ready");
  peer_end (peer);
}

/* Chosen before there is anybody to choose from. */
static void
test_shared (Fixture       *fixture,
             gconstpointer  data)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  IOStreamConnection *clients[2];
  Peer *peer;

  io_stream_connection_await_shared_async ("test", IO_STREAM_DELIVERY_LATEST, 2, -1, NULL, keep_result_cb, &result);
  stream_util_settle ();
  g_assert_null (result);

  peer = peer_spawn (-1, -1, "owner", NULL);
  stream_util_iterate_until (result != NULL);
  clients[0] = io_stream_connection_await_shared_finish (result, &error);
  g_assert_no_error (error);
  clients[1] = io_stream_connection_await_shared ("test", IO_STREAM_DELIVERY_DROP_OLDEST, 0, 0, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (io_stream_connection_get_delivery (clients[0]), ==, IO_STREAM_DELIVERY_LATEST);
  g_assert_cmpuint (io_stream_connection_get_replay (clients[0]), ==, 2);
  g_assert_cmpint (io_stream_connection_get_delivery (clients[1]), ==, IO_STREAM_DELIVERY_DROP_OLDEST);
  stream_util_assert_fails (io_stream_connection_await_name ("test", IO_STREAM_OPEN_EXCLUSIVE, -1, NULL, err) != NULL,
                            IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  stream_util_assert_fails (io_stream_connection_await_shared ("else", IO_STREAM_DELIVERY_BLOCK, 0, 0, NULL, err) != NULL,
                            IO_STREAM_ERROR_TIMEOUT);

  for (guint i = 0; i < 2; i++)
    {
      stream_util_close (clients[i]);
      g_assert_finalize_object (clients[i]);
    }
  g_clear_object (&result);
  peer_expect (peer, "ready");
  peer_end (peer);
}

static gpointer
await_thread (gpointer data)
{
  g_autoptr (GError) error = NULL;
  IOStreamConnection *client = io_stream_connection_await_name ("test", IO_STREAM_OPEN_NONE, -1, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (io_connection_is_open (IO_CONNECTION (client)));
  stream_util_start (client);
  stream_util_close (client);
  g_assert_finalize_object (client);

  return NULL;
}

/* One waits in another thread, whatever comes first. */
static void
test_blocking (Fixture       *fixture,
               gconstpointer  data)
{
  GThread *thread = g_thread_new ("await", await_thread, NULL);
  Peer *peer = peer_spawn (-1, -1, "owner", NULL);

  g_thread_join (thread);
  peer_expect (peer, "ready");
  peer_end (peer);
}

/* It is there: nobody waits. Exclusively means what it ever meant. */
static void
test_there (Fixture       *fixture,
            gconstpointer  data)
{
  Peer *peer = peer_spawn (-1, -1, "owner", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  IOStreamConnection *client;
  IOConnection *plain;

  peer_expect (peer, "ready");
  client = io_stream_connection_await_name ("test", IO_STREAM_OPEN_NONE, 0, NULL, &error);
  g_assert_no_error (error);
  stream_util_assert_fails (io_stream_connection_await_name ("test", IO_STREAM_OPEN_NONE, -1, NULL, err) != NULL,
                            IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  io_stream_connection_await_name_async ("test", IO_STREAM_OPEN_NONE, 0, NULL, keep_result_cb, &result);
  g_assert_null (finish_stream (&result, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  g_clear_error (&error);

  plain = io_connection_await_name ("test", 0, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (io_connection_is_connected (plain));
  g_assert_false (io_connection_is_open (plain));
  g_assert_finalize_object (plain);

  g_assert_finalize_object (client);
  peer_end (peer);
}

static void
test_in_vain (Fixture       *fixture,
              gconstpointer  data)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;

  stream_util_assert_fails (io_connection_await_name ("test", 0, NULL, err) != NULL, IO_STREAM_ERROR_TIMEOUT);
  stream_util_assert_fails (io_connection_await_name ("test", 1000, NULL, err) != NULL, IO_STREAM_ERROR_TIMEOUT);
  stream_util_assert_fails (io_connection_await_name ("../test", -1, NULL, err) != NULL, IO_STREAM_ERROR_BAD_ARGUMENT);

  io_stream_connection_await_name_async ("test", 0, 0, NULL, keep_result_cb, &result);
  g_assert_null (finish_stream (&result, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT);
  g_clear_error (&error);
  io_stream_connection_await_name_async ("test", 0, 1000, NULL, keep_result_cb, &result);
  g_assert_null (finish_stream (&result, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT);
  g_clear_error (&error);
  io_stream_connection_await_name_async ("", 0, -1, NULL, keep_result_cb, &result);
  g_assert_null (finish_stream (&result, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
}

static gpointer
cancel_thread (gpointer data)
{
  g_cancellable_cancel (data);

  return NULL;
}

static void
test_cancel (Fixture       *fixture,
             gconstpointer  data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  GThread *thread;

  io_stream_connection_await_name_async ("test", 0, -1, cancellable, keep_result_cb, &result);
  stream_util_settle ();
  g_assert_null (result);
  g_cancellable_cancel (cancellable);
  g_assert_null (finish_stream (&result, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);

  g_cancellable_reset (cancellable);
  thread = g_thread_new ("cancel", cancel_thread, cancellable);
  g_assert_null (io_connection_await_name ("test", -1, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_thread_join (thread);
}

typedef struct {
  guint         n_done;
  IOConnection *connections[N_CLIENTS];
} Crowd;

static void
crowd_cb (GObject      *source,
          GAsyncResult *result,
          gpointer      user_data)
{
  Crowd *crowd = user_data;
  g_autoptr (GError) error = NULL;

  crowd->connections[crowd->n_done] = io_connection_await_name_finish (result, &error);
  g_assert_no_error (error);
  crowd->n_done++;
}

/* They all share one watch; and the service may be this thread's own. */
static void
test_crowd (Fixture       *fixture,
            gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  Crowd crowd = { 0, };
  IOService *service;

  for (guint i = 0; i < N_CLIENTS; i++)
    io_connection_await_name_async ("test", -1, NULL, crowd_cb, &crowd);
  g_assert_cmpuint (_io_names_wait_count_watches (), ==, 1);
  g_assert_cmpuint (count_fds (), <=, fixture->n_fds + 4);
  stream_util_settle ();
  g_assert_cmpuint (crowd.n_done, ==, 0);

  service = io_service_new ("test");
  g_assert_true (io_service_register (service, &error));
  g_assert_no_error (error);
  stream_util_assert_fails (io_connection_await_name ("test", -1, NULL, err) != NULL,
                            IO_STREAM_ERROR_CANNOT_LOCK);
  stream_util_iterate_until (crowd.n_done == N_CLIENTS);

  for (guint i = 0; i < N_CLIENTS; i++)
    g_assert_finalize_object (crowd.connections[i]);
  io_service_terminate (service);
  stream_util_settle ();
  g_assert_finalize_object (service);
}

static void
test_fork (Fixture       *fixture,
           gconstpointer  data)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  IOStreamConnection *client;
  Peer *peer;
  int status;
  pid_t pid;

  io_stream_connection_await_name_async ("test", 0, -1, NULL, keep_result_cb, &result);
  pid = fork ();
  if (pid == 0)
    {
      /* The child can wait for itself; its threads are none that TSan bears. */
#ifndef __SANITIZE_THREAD__
      if (io_connection_await_name ("test", 1000, NULL, &error) != NULL ||
          !g_error_matches (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT))
        _exit (1);
#endif
      stream_util_settle ();
      _exit (result != NULL);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);

  peer = peer_spawn (-1, -1, "owner", NULL);
  client = finish_stream (&result, &error);
  g_assert_no_error (error);
  g_assert_finalize_object (client);
  peer_expect (peer, "ready");
  peer_end (peer);
}

#define ADD(path, data, func) g_test_add (path, Fixture, data, set_up, func, tear_down)

int
main (int    argc,
      char **argv)
{
  *peer_program () = argv[0];
  if (argc > 2 && g_str_equal (argv[1], "--peer"))
    {
      peer_begin ();
      return run_owner ();
    }

  g_test_init (&argc, &argv, NULL);

  ADD ("/await/shared", NULL, test_shared);
  ADD ("/await/later", NULL, test_later);
  ADD ("/await/later/without-inotify", "", test_later);
  ADD ("/await/blocking", NULL, test_blocking);
  ADD ("/await/there", NULL, test_there);
  ADD ("/await/in-vain", NULL, test_in_vain);
  ADD ("/await/cancel", NULL, test_cancel);
  ADD ("/await/crowd", NULL, test_crowd);
  ADD ("/await/fork", NULL, test_fork);

  return g_test_run ();
}
