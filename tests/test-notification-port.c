/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-notification-port.h"
#include "io-notification-port-private.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LONG_TIME (20 * G_USEC_PER_SEC)

typedef struct {
  IONotificationPort *first;
  IONotificationPort *second;
} Fixture;

static void
fixture_set_up (Fixture       *fixture,
                gconstpointer  user_data)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (io_notification_port_new_pair (&fixture->first, &fixture->second, &error));
  g_assert_no_error (error);
}

static void
fixture_tear_down (Fixture       *fixture,
                   gconstpointer  user_data)
{
  if (fixture->first != NULL)
    g_assert_finalize_object (fixture->first);
  if (fixture->second != NULL)
    g_assert_finalize_object (fixture->second);
}

static guint
count_fds (void)
{
  DIR *dir = opendir ("/proc/self/fd");
  guint n = 0;

  while (readdir (dir) != NULL)
    n++;
  closedir (dir);

  return n;
}

static gssize
count_bytes (IONotificationPort *port)
{
  char bytes[4096];
  gssize total = 0;
  gssize n;

  while ((n = recv (io_notification_port_get_fd (port), bytes, sizeof bytes,
                    MSG_DONTWAIT)) > 0)
    total += n;

  return total;
}

static void
send_one (IONotificationPort *port)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (io_notification_port_send_notification (port, &error));
  g_assert_no_error (error);
}

static void
assert_wait_fails (IONotificationPort *port,
                   gint64              timeout,
                   IOStreamError       code)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (io_notification_port_wait (port, timeout, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, (int) code);
}

static void
test_port_look (Fixture       *fixture,
                gconstpointer  user_data)
{
  assert_wait_fails (fixture->first, 0, IO_STREAM_ERROR_TIMEOUT);
  send_one (fixture->second);
  send_one (fixture->second);
  g_assert_true (io_notification_port_wait (fixture->first, 0, NULL, NULL));
  assert_wait_fails (fixture->first, 0, IO_STREAM_ERROR_TIMEOUT);
  assert_wait_fails (fixture->second, 0, IO_STREAM_ERROR_TIMEOUT);
}

static void
test_port_timeout (Fixture       *fixture,
                   gconstpointer  user_data)
{
  gint64 begin = g_get_monotonic_time ();

  assert_wait_fails (fixture->first, 3000, IO_STREAM_ERROR_TIMEOUT);
  g_assert_cmpint (g_get_monotonic_time () - begin, >=, 3000);
}

/* Nobody sleeps: not a byte. */
static void
test_port_suppression (Fixture       *fixture,
                       gconstpointer  user_data)
{
  guint i;

  for (i = 0; i < 1000; i++)
    send_one (fixture->second);
  g_assert_cmpint (count_bytes (fixture->first), ==, 0);
  g_assert_true (io_notification_port_wait (fixture->first, 0, NULL, NULL));

  g_assert_true (io_notification_port_prepare_wait (fixture->first));
  for (i = 0; i < 1000; i++)
    send_one (fixture->second);
  g_assert_cmpint (count_bytes (fixture->first), ==, 1);
  io_notification_port_finish_wait (fixture->first);
}

static void
test_port_prepare_finish (Fixture       *fixture,
                          gconstpointer  user_data)
{
  struct pollfd pollfd = { io_notification_port_get_fd (fixture->first), POLLIN, 0 };

  g_assert_cmpint (pollfd.fd, >=, 0);
  send_one (fixture->second);
  g_assert_false (io_notification_port_prepare_wait (fixture->first));

  g_assert_true (io_notification_port_prepare_wait (fixture->first));
  g_assert_cmpint (poll (&pollfd, 1, 0), ==, 0);
  send_one (fixture->second);
  g_assert_cmpint (poll (&pollfd, 1, 20000), ==, 1);
  io_notification_port_finish_wait (fixture->first);
  g_assert_cmpint (poll (&pollfd, 1, 0), ==, 0);

  g_assert_false (io_notification_port_prepare_wait (fixture->first));
  g_assert_true (io_notification_port_prepare_wait (fixture->first));
  io_notification_port_finish_wait (fixture->first);
}

/* What comes between the time-out of a poll and finish_wait() is not lost. */
static void
test_port_finish_keeps (Fixture       *fixture,
                        gconstpointer  user_data)
{
  g_assert_true (io_notification_port_prepare_wait (fixture->first));
  send_one (fixture->second);
  io_notification_port_finish_wait (fixture->first);
  g_assert_true (io_notification_port_wait (fixture->first, 0, NULL, NULL));
}

static void
test_port_cancelled (Fixture       *fixture,
                     gconstpointer  user_data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;

  g_cancellable_cancel (cancellable);
  send_one (fixture->second);
  g_assert_false (io_notification_port_wait (fixture->first, -1, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

typedef struct {
  IONotificationPort *port;
  GCancellable       *cancellable;
  _Atomic guint       n;
  GAsyncQueue        *queue;
} Job;

static gpointer
cancel_thread (gpointer data)
{
  Job *job = data;

  g_async_queue_pop (job->queue);
  g_cancellable_cancel (job->cancellable);

  return NULL;
}

static void
test_port_cancel_in_wait (Fixture       *fixture,
                          gconstpointer  user_data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GAsyncQueue) queue = g_async_queue_new ();
  g_autoptr (GError) error = NULL;
  Job job = { fixture->first, cancellable, 0, queue };
  GThread *thread = g_thread_new ("cancel", cancel_thread, &job);

  g_async_queue_push (queue, &job);
  g_assert_false (io_notification_port_wait (fixture->first, LONG_TIME, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_thread_join (thread);
}

static void
test_port_hang_up (Fixture       *fixture,
                   gconstpointer  user_data)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (io_notification_port_is_hung_up (fixture->first));
  send_one (fixture->second);
  g_assert_finalize_object (g_steal_pointer (&fixture->second));
  g_assert_true (io_notification_port_is_hung_up (fixture->first));

  /* First what is left, then the end. */
  g_assert_true (io_notification_port_wait (fixture->first, -1, NULL, NULL));
  assert_wait_fails (fixture->first, -1, IO_STREAM_ERROR_OFFLINE);
  assert_wait_fails (fixture->first, 0, IO_STREAM_ERROR_OFFLINE);
  g_assert_false (io_notification_port_prepare_wait (fixture->first));
  g_assert_false (io_notification_port_send_notification (fixture->first, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
}

static void
test_port_closed (Fixture       *fixture,
                  gconstpointer  user_data)
{
  g_autoptr (GError) error = NULL;

  _io_notification_port_invalidate (fixture->first);
  _io_notification_port_invalidate (fixture->first);

  g_assert_cmpint (io_notification_port_get_fd (fixture->first), ==, -1);
  g_assert_true (io_notification_port_is_hung_up (fixture->first));
  g_assert_false (io_notification_port_prepare_wait (fixture->first));
  io_notification_port_finish_wait (fixture->first);
  assert_wait_fails (fixture->first, -1, IO_STREAM_ERROR_NOT_OPEN);
  g_assert_false (io_notification_port_send_notification (fixture->first, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN);
  g_assert_false (_io_notification_port_ring (fixture->first));
  _io_notification_port_wake (fixture->first);
}

static gpointer
wait_thread (gpointer data)
{
  Job *job = data;
  GError *error = NULL;

  g_async_queue_push (job->queue, job);
  io_notification_port_wait (job->port, LONG_TIME, NULL, &error);

  return error;
}

/* Closed under a sleeper in another thread. */
static void
test_port_closed_in_wait (Fixture       *fixture,
                          gconstpointer  user_data)
{
  guint i;

  for (i = 0; i < 50; i++)
    {
      g_autoptr (IONotificationPort) first = NULL;
      g_autoptr (IONotificationPort) second = NULL;
      g_autoptr (GAsyncQueue) queue = g_async_queue_new ();
      g_autoptr (GError) error = NULL;
      Job job = { NULL, NULL, 0, queue };
      GThread *thread;
      guint yields;

      g_assert_true (io_notification_port_new_pair (&first, &second, NULL));
      job.port = first;
      thread = g_thread_new ("wait", wait_thread, &job);
      g_async_queue_pop (queue);
      for (yields = 0; yields < i; yields++)
        g_thread_yield ();
      _io_notification_port_invalidate (first);
      error = g_thread_join (thread);
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN);
    }
}

/* As many as there is time for, where one is a change of thread each. */
#define N_HANDOVERS 100000
#define MAX_TIME    (5 * G_USEC_PER_SEC)

static gpointer
ping_thread (gpointer data)
{
  Job *job = data;
  guint i;

  for (i = 0; i < job->n; i++)
    {
      g_assert_true (io_notification_port_wait (job->port, LONG_TIME, NULL, NULL));
      send_one (job->port);
    }

  return NULL;
}

/* Each waits for the other, so a lost wake-up ends in a time-out. */
static void
test_port_ping_pong (Fixture       *fixture,
                     gconstpointer  user_data)
{
  Job job = { fixture->second, NULL, N_HANDOVERS / 2, NULL };
  GThread *thread = g_thread_new ("ping", ping_thread, &job);
  gint64 end = g_get_monotonic_time () + MAX_TIME;
  guint i;

  for (i = 0; i < job.n; i++)
    {
      if (g_get_monotonic_time () >= end)
        job.n = i + 1;
      send_one (fixture->first);
      g_assert_true (io_notification_port_wait (fixture->first, LONG_TIME, NULL, NULL));
    }

  g_thread_join (thread);
}

static gpointer
batch_thread (gpointer data)
{
  Job *job = data;
  guint i;

  for (i = 0; i < job->n; i++)
    send_one (job->port);

  return NULL;
}

/* Several senders on one end; the last notification is always seen. */
static void
test_port_many_senders (Fixture       *fixture,
                        gconstpointer  user_data)
{
  Job job = { fixture->second, NULL, 20000, NULL };
  GThread *threads[3];
  guint n_seen = 0;
  guint i;

  for (i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("batch", batch_thread, &job);

  while (io_notification_port_wait (fixture->first, n_seen == 0 ? LONG_TIME : 1000, NULL, NULL))
    n_seen++;
  for (i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  if (io_notification_port_wait (fixture->first, 0, NULL, NULL))
    n_seen++;

  g_assert_cmpuint (n_seen, >, 0);
  g_assert_cmpuint (n_seen, <=, 60000);
  assert_wait_fails (fixture->first, 0, IO_STREAM_ERROR_TIMEOUT);
}

/* The ends part ways: both directions, then the death of the child. */
static void
test_port_other_process (Fixture       *fixture,
                         gconstpointer  user_data)
{
  int status;
  pid_t pid = fork ();
  guint i;

  g_assert_cmpint (pid, >=, 0);
  if (pid == 0)
    {
      g_clear_object (&fixture->first);
      for (i = 0; i < 1000; i++)
        if (!io_notification_port_wait (fixture->second, LONG_TIME, NULL, NULL) ||
            !io_notification_port_send_notification (fixture->second, NULL))
          _exit (1);
      _exit (0);
    }

  g_assert_finalize_object (g_steal_pointer (&fixture->second));
  for (i = 0; i < 1000; i++)
    {
      send_one (fixture->first);
      g_assert_true (io_notification_port_wait (fixture->first, LONG_TIME, NULL, NULL));
    }

  assert_wait_fails (fixture->first, LONG_TIME, IO_STREAM_ERROR_OFFLINE);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
}

/* A peer that rings for ever and publishes nothing. */
static gboolean
never_ready (gpointer owner)
{
  atomic_uint *n_looks = owner;

  atomic_fetch_add (n_looks, 1);

  return FALSE;
}

static const IONotificationPortFuncs storm_funcs = { .is_ready = never_ready };

typedef struct {
  int         fd;
  atomic_bool stop;
} Storm;

static gpointer
storm_thread (gpointer data)
{
  Storm *storm = data;
  char byte = 0;

  while (!atomic_load (&storm->stop))
    if (send (storm->fd, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
      g_thread_yield ();

  return NULL;
}

static gboolean
quit_cb (gpointer data)
{
  gboolean *quit = data;

  *quit = TRUE;

  return G_SOURCE_CONTINUE;
}

static gboolean
count_cb (gpointer data)
{
  guint *count = data;

  (*count)++;

  return G_SOURCE_CONTINUE;
}

static void
run_until (GMainContext *context,
           gboolean     *quit)
{
  while (!*quit)
    g_main_context_iteration (context, TRUE);
}

static void
test_port_storm (Fixture       *fixture,
                 gconstpointer  user_data)
{
  gboolean with_source = GPOINTER_TO_INT (user_data);
  IONotificationPort *port;
  atomic_uint n_looks = 0;
  Storm storm = { -1, FALSE };
  GThread *thread;
  int fds[2];

  g_assert_true (_io_bell_create_pair (fds, NULL));
  port = _io_notification_port_new (fds[0], NULL, NULL, &storm_funcs, &n_looks);
  storm.fd = fds[1];
  thread = g_thread_new ("storm", storm_thread, &storm);

  if (with_source)
    {
      g_autoptr (GMainContext) context = g_main_context_new ();
      g_autoptr (GSource) source = io_notification_port_create_source (port, NULL);
      g_autoptr (GSource) timeout = g_timeout_source_new (300);
      guint n_calls = 0;
      gboolean quit = FALSE;

      g_source_set_callback (source, count_cb, &n_calls, NULL);
      g_source_attach (source, context);
      g_source_set_callback (timeout, quit_cb, &quit, NULL);
      g_source_attach (timeout, context);
      run_until (context, &quit);
      g_source_destroy (source);
      g_source_destroy (timeout);
      g_assert_cmpuint (n_calls, ==, 0);
    }
  else
    assert_wait_fails (port, 300 * 1000, IO_STREAM_ERROR_TIMEOUT);

  atomic_store (&storm.stop, TRUE);
  g_thread_join (thread);
  g_test_message ("%u looks", atomic_load (&n_looks));
  g_assert_cmpuint (atomic_load (&n_looks), <, 1000);
  g_assert_finalize_object (port);
  close (fds[1]);
}

static void
test_port_source (Fixture       *fixture,
                  gconstpointer  user_data)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  GSource *source = io_notification_port_create_source (fixture->first, NULL);
  guint n_calls = 0;

  g_assert_cmpstr (g_source_get_name (source), ==, "IONotificationPort");
  g_source_set_callback (source, count_cb, &n_calls, NULL);
  g_source_attach (source, context);

  g_assert_false (g_main_context_iteration (context, FALSE));
  send_one (fixture->second);
  send_one (fixture->second);
  while (g_main_context_iteration (context, FALSE))
    ;
  g_assert_cmpuint (n_calls, ==, 1);

  send_one (fixture->second);
  g_assert_finalize_object (g_steal_pointer (&fixture->second));
  g_assert_true (g_main_context_iteration (context, TRUE));
  g_assert_cmpuint (n_calls, ==, 2);
  g_assert_false (g_source_is_destroyed (source));

  /* The end, once. */
  while (!g_source_is_destroyed (source))
    g_main_context_iteration (context, TRUE);
  g_assert_cmpuint (n_calls, ==, 3);
  g_assert_true (g_source_is_destroyed (source));
  g_source_unref (source);
}

static void
test_port_source_closed (Fixture       *fixture,
                         gconstpointer  user_data)
{
  gboolean before = GPOINTER_TO_INT (user_data);
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GSource) source = NULL;
  guint n_calls = 0;

  if (before)
    _io_notification_port_invalidate (fixture->first);
  source = io_notification_port_create_source (fixture->first, NULL);
  g_source_set_callback (source, count_cb, &n_calls, NULL);
  g_source_attach (source, context);
  if (!before)
    {
      g_assert_false (g_main_context_iteration (context, FALSE));
      _io_notification_port_invalidate (fixture->first);
    }

  g_assert_true (g_main_context_iteration (context, TRUE));
  g_assert_cmpuint (n_calls, ==, 1);
  g_assert_true (g_source_is_destroyed (source));
}

static void
test_port_source_cancellable (Fixture       *fixture,
                              gconstpointer  user_data)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GSource) source = NULL;
  guint n_calls = 0;

  source = io_notification_port_create_source (fixture->first, cancellable);
  g_source_set_callback (source, count_cb, &n_calls, NULL);
  g_source_attach (source, context);
  g_assert_false (g_main_context_iteration (context, FALSE));

  g_cancellable_cancel (cancellable);
  g_assert_true (g_main_context_iteration (context, TRUE));
  g_assert_cmpuint (n_calls, ==, 1);
  g_source_destroy (source);
}

static void
test_port_source_closure (Fixture       *fixture,
                          gconstpointer  user_data)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GSource) source = io_notification_port_create_source (fixture->first, NULL);
  guint n_calls = 0;

  g_source_set_closure (source, g_cclosure_new (G_CALLBACK (count_cb), &n_calls, NULL));
  g_source_attach (source, context);
  send_one (fixture->second);
  g_assert_true (g_main_context_iteration (context, TRUE));
  g_assert_cmpuint (n_calls, ==, 1);
  g_source_destroy (source);
}

static void
test_port_descriptors (void)
{
  guint n_fds = count_fds ();
  guint i;

  for (i = 0; i < 100; i++)
    {
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      g_autoptr (GSource) source = NULL;
      IONotificationPort *first;
      IONotificationPort *second;

      g_assert_true (io_notification_port_new_pair (&first, &second, NULL));
      source = io_notification_port_create_source (first, cancellable);
      g_assert_false (io_notification_port_wait (first, 1, cancellable, NULL));
      _io_notification_port_invalidate (first);
      g_object_unref (first);
      g_assert_finalize_object (second);
    }

  g_assert_cmpuint (count_fds (), ==, n_fds);
}

#define ADD(path, func, data) \
  g_test_add (path, Fixture, data, fixture_set_up, func, fixture_tear_down)

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  ADD ("/port/look", test_port_look, NULL);
  ADD ("/port/timeout", test_port_timeout, NULL);
  ADD ("/port/suppression", test_port_suppression, NULL);
  ADD ("/port/prepare-finish", test_port_prepare_finish, NULL);
  ADD ("/port/finish-keeps", test_port_finish_keeps, NULL);
  ADD ("/port/cancelled", test_port_cancelled, NULL);
  ADD ("/port/cancel-in-wait", test_port_cancel_in_wait, NULL);
  ADD ("/port/hang-up", test_port_hang_up, NULL);
  ADD ("/port/closed", test_port_closed, NULL);
  ADD ("/port/closed-in-wait", test_port_closed_in_wait, NULL);
  ADD ("/port/ping-pong", test_port_ping_pong, NULL);
  ADD ("/port/many-senders", test_port_many_senders, NULL);
  ADD ("/port/other-process", test_port_other_process, NULL);
  ADD ("/port/storm-wait", test_port_storm, GINT_TO_POINTER (FALSE));
  ADD ("/port/storm-source", test_port_storm, GINT_TO_POINTER (TRUE));
  ADD ("/port/source", test_port_source, NULL);
  ADD ("/port/source-closed-before", test_port_source_closed, GINT_TO_POINTER (TRUE));
  ADD ("/port/source-closed-after", test_port_source_closed, GINT_TO_POINTER (FALSE));
  ADD ("/port/source-cancellable", test_port_source_cancellable, NULL);
  ADD ("/port/source-closure", test_port_source_closure, NULL);
  g_test_add_func ("/port/descriptors", test_port_descriptors);

  return g_test_run ();
}
