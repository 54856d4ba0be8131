/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Vectors between an owner and its clients: in two threads, in two processes,
 * and with one of them hostile. */

#include "peer-process.h"

#include "hostile-util.h"

#include "libiostream/io-interrupt-region-private.h"
#include "libiostream/io-names-private.h"
#include "libiostream/io-service-private.h"
#include "libiostream/io-shared-interrupt-controller-private.h"

#include <sys/syscall.h>
#include <sys/un.h>

#define N_VECTORS 256
#define SECOND    G_USEC_PER_SEC

/* Bells are the only things that are rung with send(). */
static atomic_uint n_sends;

ssize_t send (int fd, const void *data, size_t size, int flags);

ssize_t
send (int         fd,
      const void *data,
      size_t      size,
      int         flags)
{
  n_sends++;

  return syscall (SYS_sendto, fd, data, size, flags, NULL, 0);
}

typedef struct {
  IOWorkLoop                  *loop;
  IOService                   *service;
  IOSharedInterruptController *owner;
  IOConnection                *connection;
  IOSharedInterruptController *client;
  guint                        n_fds;
  guint                        n_vectors;

  guint                        n_calls;
  guint                        n_counts;
  guint                        last;
  atomic_uint                  n_owner_calls;
} Fixture;

static IOInterruptController *
base (IOSharedInterruptController *controller)
{
  return IO_INTERRUPT_CONTROLLER (controller);
}

static gboolean
make_owner_cb (gpointer data)
{
  Fixture *fixture = data;

  fixture->service = g_object_new (IO_TYPE_SERVICE, "name", "test", "work-loop", fixture->loop, NULL);
  stream_util_assert_works (fixture->owner = io_shared_interrupt_controller_new (fixture->n_vectors, err));
  io_shared_interrupt_controller_offer (fixture->owner, fixture->service);
  stream_util_assert_works (io_service_register (fixture->service, err));

  return G_SOURCE_REMOVE;
}

static gboolean
drop_owner_cb (gpointer data)
{
  Fixture *fixture = data;

  io_service_terminate (fixture->service);
  g_clear_object (&fixture->owner);
  g_clear_object (&fixture->service);

  return G_SOURCE_REMOVE;
}

static gboolean
drop_controller_cb (gpointer data)
{
  Fixture *fixture = data;

  io_shared_interrupt_controller_withdraw (fixture->owner, fixture->service);
  g_assert_finalize_object (g_steal_pointer (&fixture->owner));

  return G_SOURCE_REMOVE;
}

static gboolean
sync_cb (gpointer data)
{
  return G_SOURCE_REMOVE;
}

/* The owner has done what it had to do. */
static void
sync_owner (Fixture *fixture)
{
  for (guint i = 0; i < 3; i++)
    io_work_loop_run_action (fixture->loop, sync_cb, NULL);
}

#define wait_for_owner(fixture, expression) \
  G_STMT_START { \
    gint64 end_ = g_get_monotonic_time () + STREAM_UTIL_TIMEOUT; \
    while (!(expression)) \
      { \
        g_assert_cmpint (g_get_monotonic_time (), <, end_); \
        io_work_loop_run_action ((fixture)->loop, sync_cb, NULL); \
        g_thread_yield (); \
      } \
  } G_STMT_END

static IOConnection *
connect_client (void)
{
  IOConnection *connection;

  stream_util_assert_works (connection = io_connection_new_for_name ("test", NULL, err));

  return connection;
}

static IOSharedInterruptController *
get_end (IOConnection *connection)
{
  IOSharedInterruptController *end;

  stream_util_assert_works (end = io_connection_get_interrupt_controller (connection, NULL, err));

  return end;
}

static void
set_up_of (Fixture *fixture,
           guint    n_vectors)
{
  g_main_context_iteration (NULL, FALSE);
  /* the first task has GLib start a thread for good */
  g_object_unref (g_task_new (NULL, NULL, NULL, NULL));
  fixture->n_fds = count_fds ();
  fixture->n_vectors = n_vectors;
  fixture->loop = io_work_loop_new ("owner");
  io_work_loop_run_action (fixture->loop, make_owner_cb, fixture);
  fixture->connection = connect_client ();
  fixture->client = get_end (fixture->connection);
}

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  set_up_of (fixture, N_VECTORS);
}

static void
set_up_large (Fixture       *fixture,
              gconstpointer  data)
{
  set_up_of (fixture, IO_INTERRUPT_MAX_VECTORS);
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  if (fixture->client != NULL)
    g_assert_finalize_object (fixture->client);
  io_connection_hang_up (fixture->connection);
  stream_util_settle ();
  g_assert_finalize_object (fixture->connection);
  io_work_loop_run_action (fixture->loop, drop_owner_cb, fixture);
  io_work_loop_shut_down (fixture->loop);
  g_assert_finalize_object (fixture->loop);
  g_assert_cmpuint (count_fds (), ==, fixture->n_fds);
}

static void
handler_cb (IOInterruptController *controller,
            guint                  vector,
            guint                  count,
            gpointer               user_data)
{
  Fixture *fixture = user_data;

  fixture->n_calls++;
  fixture->n_counts += count;
  fixture->last = vector;
}

static void
owner_handler_cb (IOInterruptController *controller,
                  guint                  vector,
                  guint                  count,
                  gpointer               user_data)
{
  Fixture *fixture = user_data;

  fixture->n_owner_calls++;
}

static void
handle (Fixture                     *fixture,
        IOSharedInterruptController *controller,
        guint                        vector)
{
  stream_util_assert_works (io_interrupt_controller_register_interrupt (base (controller), vector, handler_cb,
                                                                        fixture, NULL, err));
  stream_util_assert_works (io_interrupt_controller_enable_interrupt (base (controller), vector, err));
}

static void
cause (IOSharedInterruptController *controller,
       guint                        vector)
{
  stream_util_assert_works (io_interrupt_controller_cause_interrupt (base (controller), vector, err));
}

static void
test_basic (Fixture       *fixture,
            gconstpointer  data)
{
  g_autoptr (IOSharedInterruptController) again = get_end (fixture->connection);

  g_assert_true (again == fixture->client);
  g_assert_cmpuint (io_interrupt_controller_get_n_vectors (base (fixture->client)), ==, N_VECTORS);
  g_assert_cmpuint (io_shared_interrupt_controller_get_n_peers (fixture->client), ==, 1);
  g_assert_cmpuint (io_shared_interrupt_controller_get_n_peers (fixture->owner), ==, 1);

  handle (fixture, fixture->client, 3);
  handle (fixture, fixture->client, 255);
  cause (fixture->owner, 3);
  stream_util_iterate_until (fixture->n_calls == 1);
  g_assert_cmpuint (fixture->last, ==, 3);

  /* Nobody wants 4; 255 is disabled, and 3 does not mind. */
  stream_util_assert_works (io_interrupt_controller_disable_interrupt (base (fixture->client), 255, err));
  cause (fixture->owner, 4);
  cause (fixture->owner, 255);
  cause (fixture->owner, 255);
  cause (fixture->owner, 3);
  stream_util_iterate_until (fixture->n_calls == 2);
  g_assert_cmpuint (fixture->last, ==, 3);
  g_assert_true (io_interrupt_controller_is_interrupt_pending (base (fixture->client), 255));
  g_assert_false (io_interrupt_controller_is_interrupt_pending (base (fixture->client), 4));
  fixture->n_counts = 0;
  stream_util_assert_works (io_interrupt_controller_enable_interrupt (base (fixture->client), 255, err));
  stream_util_iterate_until (fixture->n_calls == 3);
  g_assert_cmpuint (fixture->last, ==, 255);
  g_assert_cmpuint (fixture->n_counts, ==, 2);

  stream_util_assert_fails (io_interrupt_controller_cause_interrupt (base (fixture->owner), N_VECTORS, err),
                            IO_STREAM_ERROR_NO_INTERRUPT);
  stream_util_assert_fails (io_interrupt_controller_register_interrupt (base (fixture->client), N_VECTORS, handler_cb,
                                                                        NULL, NULL, err),
                            IO_STREAM_ERROR_NO_INTERRUPT);
}

static gboolean
register_owner_cb (gpointer data)
{
  Fixture *fixture = data;

  stream_util_assert_works (io_interrupt_controller_register_interrupt (base (fixture->owner), 9, owner_handler_cb,
                                                                        fixture, NULL, err));
  stream_util_assert_works (io_interrupt_controller_enable_interrupt (base (fixture->owner), 9, err));

  return G_SOURCE_REMOVE;
}

static void
test_to_owner (Fixture       *fixture,
               gconstpointer  data)
{
  /* Nothing is registered there: no wake-up. */
  sync_owner (fixture);
  n_sends = 0;
  cause (fixture->client, 9);
  g_assert_cmpuint (n_sends, ==, 0);

  io_work_loop_run_action (fixture->loop, register_owner_cb, fixture);
  wait_for_owner (fixture, fixture->n_owner_calls <= 1);
  cause (fixture->client, 9);
  wait_for_owner (fixture, fixture->n_owner_calls >= 1);
  cause (fixture->client, 10);
  cause (fixture->client, 9);
  wait_for_owner (fixture, fixture->n_owner_calls >= 2);
}


static gboolean
cause_for_one_cb (gpointer data)
{
  Fixture *fixture = data;
  IOUserClient *first = _io_service_peek_clients (fixture->service)->data;
  g_autoptr (IOUserClient) stranger = g_object_new (IO_TYPE_USER_CLIENT, NULL);

  stream_util_assert_works (io_shared_interrupt_controller_cause_for_client (fixture->owner, first, 1, err));
  stream_util_assert_fails (io_shared_interrupt_controller_cause_for_client (fixture->owner, first, N_VECTORS, err),
                            IO_STREAM_ERROR_NO_INTERRUPT);
  stream_util_assert_fails (io_shared_interrupt_controller_cause_for_client (fixture->owner, stranger, 1, err),
                            IO_STREAM_ERROR_NOT_FOUND);

  return G_SOURCE_REMOVE;
}

static void
test_two_clients (Fixture       *fixture,
                  gconstpointer  data)
{
  Fixture second = { 0, };

  second.connection = connect_client ();
  second.client = get_end (second.connection);
  g_assert_cmpuint (io_shared_interrupt_controller_get_n_peers (fixture->owner), ==, 2);
  handle (fixture, fixture->client, 1);
  handle (&second, second.client, 1);

  cause (fixture->owner, 1);
  stream_util_iterate_until (fixture->n_calls == 1 && second.n_calls == 1);
  io_work_loop_run_action (fixture->loop, cause_for_one_cb, fixture);
  stream_util_iterate_until (fixture->n_calls + second.n_calls == 3);
  g_assert_cmpuint (ABS ((int) fixture->n_calls - (int) second.n_calls), ==, 1);

  /* One drops its end, and gets another one. */
  g_assert_finalize_object (g_steal_pointer (&second.client));
  wait_for_owner (fixture, io_shared_interrupt_controller_get_n_peers (fixture->owner) == 1);
  second.client = get_end (second.connection);
  g_assert_cmpuint (io_shared_interrupt_controller_get_n_peers (fixture->owner), ==, 2);

  /* It hangs up, and the end knows. */
  io_connection_hang_up (second.connection);
  stream_util_iterate_until (io_shared_interrupt_controller_get_n_peers (second.client) == 0);
  stream_util_assert_fails (io_interrupt_controller_cause_interrupt (base (second.client), 1, err),
                            IO_STREAM_ERROR_OFFLINE);
  stream_util_settle ();
  g_object_unref (second.connection);
  g_object_unref (second.client);
}

/* As many as there can be, one bell, every one handled once. */
static void
test_one_ring (Fixture       *fixture,
               gconstpointer  data)
{
  struct pollfd pollfd = { -1, POLLIN, 0 };

  for (guint i = 0; i < IO_INTERRUPT_MAX_VECTORS; i++)
    handle (fixture, fixture->client, i);

  g_assert_true (io_shared_interrupt_controller_prepare_wait (fixture->client));
  g_assert_false (io_interrupt_controller_get_handle_in_context (base (fixture->client)));
  pollfd.fd = io_shared_interrupt_controller_get_fd (fixture->client);
  g_assert_cmpint (poll (&pollfd, 1, 0), ==, 0);

  n_sends = 0;
  for (guint i = 0; i < IO_INTERRUPT_MAX_VECTORS; i++)
    cause (fixture->owner, i);
  g_assert_cmpuint (n_sends, ==, 1);

  g_assert_cmpint (poll (&pollfd, 1, 20000), ==, 1);
  io_shared_interrupt_controller_finish_wait (fixture->client);
  g_assert_cmpint (poll (&pollfd, 1, 0), ==, 0);
  g_assert_cmpuint (io_interrupt_controller_handle_interrupts (base (fixture->client)), ==, IO_INTERRUPT_MAX_VECTORS);
  g_assert_cmpuint (fixture->n_calls, ==, IO_INTERRUPT_MAX_VECTORS);
  g_assert_cmpuint (fixture->n_counts, ==, IO_INTERRUPT_MAX_VECTORS);

  /* Awake: no bell at all, and only what fired. */
  n_sends = 0;
  cause (fixture->owner, 4095);
  cause (fixture->owner, 4095);
  g_assert_cmpuint (n_sends, ==, 0);
  g_assert_false (io_shared_interrupt_controller_prepare_wait (fixture->client));
  g_assert_cmpuint (io_interrupt_controller_handle_interrupts (base (fixture->client)), ==, 1);
  g_assert_cmpuint (fixture->last, ==, 4095);
}

typedef struct {
  Fixture      *fixture;
  GCancellable *cancellable;
  char          what;
} Later;

static gpointer
later_thread (gpointer data)
{
  Later *later = data;

  g_usleep (2000);
  if (later->what == 'c')
    g_cancellable_cancel (later->cancellable);
  else if (later->what == 'e')
    stream_util_assert_works (io_interrupt_controller_enable_interrupt (base (later->fixture->client), 5, err));
  else
    cause (later->fixture->owner, 5);

  return NULL;
}

static gboolean
wait_while (Fixture  *fixture,
            char      what,
            GError  **error)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Later later = { fixture, cancellable, what };
  GThread *thread = g_thread_new ("later", later_thread, &later);
  gboolean done = io_shared_interrupt_controller_wait (fixture->client, 10 * SECOND, cancellable, error);

  g_thread_join (thread);

  return done;
}

static void
test_wait (Fixture       *fixture,
           gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  handle (fixture, fixture->client, 5);
  stream_util_assert_fails (io_shared_interrupt_controller_wait (fixture->client, 0, NULL, err), IO_STREAM_ERROR_TIMEOUT);
  stream_util_assert_fails (io_shared_interrupt_controller_wait (fixture->client, 1000, NULL, err), IO_STREAM_ERROR_TIMEOUT);
  stream_util_assert_fails (io_shared_interrupt_controller_wait (fixture->owner, 0, NULL, err), IO_STREAM_ERROR_UNSUPPORTED);
  g_assert_cmpint (io_shared_interrupt_controller_get_fd (fixture->owner), ==, -1);
  g_assert_false (io_shared_interrupt_controller_prepare_wait (fixture->owner));
  io_shared_interrupt_controller_finish_wait (fixture->owner);

  stream_util_assert_works (wait_while (fixture, 'i', err));
  g_assert_cmpuint (io_interrupt_controller_handle_interrupts (base (fixture->client)), ==, 1);

  /* Disabled it is nothing to wait for, until somebody enables it. */
  stream_util_assert_works (io_interrupt_controller_disable_interrupt (base (fixture->client), 5, err));
  cause (fixture->owner, 5);
  stream_util_assert_fails (io_shared_interrupt_controller_wait (fixture->client, 1000, NULL, err), IO_STREAM_ERROR_TIMEOUT);
  stream_util_assert_works (wait_while (fixture, 'e', err));
  g_assert_cmpuint (io_interrupt_controller_handle_interrupts (base (fixture->client)), ==, 1);

  g_assert_false (wait_while (fixture, 'c', &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);

  /* What was caused last is still handled when the owner's end is gone. */
  cause (fixture->owner, 5);
  io_work_loop_run_action (fixture->loop, drop_controller_cb, fixture);
  stream_util_assert_works (io_shared_interrupt_controller_wait (fixture->client, 10 * SECOND, NULL, err));
  g_assert_cmpuint (io_interrupt_controller_handle_interrupts (base (fixture->client)), ==, 1);
  stream_util_assert_fails (io_shared_interrupt_controller_wait (fixture->client, 10 * SECOND, NULL, err), IO_STREAM_ERROR_OFFLINE);
  stream_util_assert_fails (io_shared_interrupt_controller_wait (fixture->client, -1, NULL, err), IO_STREAM_ERROR_OFFLINE);
  g_assert_cmpint (io_shared_interrupt_controller_get_fd (fixture->client), ==, -1);
  g_assert_false (io_shared_interrupt_controller_prepare_wait (fixture->client));
  g_assert_cmpuint (io_shared_interrupt_controller_get_n_peers (fixture->client), ==, 0);
  stream_util_assert_fails (io_interrupt_controller_cause_interrupt (base (fixture->client), 5, err), IO_STREAM_ERROR_OFFLINE);
}

/* Handlers that free what is called. */
static void
drop_cb (IOInterruptController *controller,
         guint                  vector,
         guint                  count,
         gpointer               user_data)
{
  Fixture *fixture = user_data;

  fixture->n_calls++;
  g_clear_object (&fixture->client);
}

static void
test_drop_inside (Fixture       *fixture,
                  gconstpointer  data)
{
  for (guint i = 0; i < 3; i++)
    {
      stream_util_assert_works (io_interrupt_controller_register_interrupt (base (fixture->client), i, drop_cb,
                                                                            fixture, NULL, err));
      stream_util_assert_works (io_interrupt_controller_enable_interrupt (base (fixture->client), i, err));
    }
  cause (fixture->owner, 0);
  stream_util_iterate_until (fixture->n_calls == 1);
  stream_util_settle ();
  g_assert_null (fixture->client);
}

static gboolean
no_offer_cb (gpointer data)
{
  Fixture *fixture = data;

  io_shared_interrupt_controller_withdraw (fixture->owner, fixture->service);
  io_shared_interrupt_controller_withdraw (fixture->owner, fixture->service);

  return G_SOURCE_REMOVE;
}

static gboolean
small_offer_cb (gpointer data)
{
  Fixture *fixture = data;
  IOUserClient *client = _io_service_peek_clients (fixture->service)->data;

  io_shared_interrupt_controller_offer (fixture->owner, fixture->service);
  io_user_client_set_limits (client, 1, 100);

  return G_SOURCE_REMOVE;
}

static void
test_errors (Fixture       *fixture,
             gconstpointer  data)
{
  stream_util_assert_fails (io_shared_interrupt_controller_new (0, err) != NULL, IO_STREAM_ERROR_BAD_ARGUMENT);
  stream_util_assert_fails (io_shared_interrupt_controller_new (4097, err) != NULL, IO_STREAM_ERROR_BAD_ARGUMENT);

  g_assert_finalize_object (g_steal_pointer (&fixture->client));
  io_work_loop_run_action (fixture->loop, no_offer_cb, fixture);
  stream_util_assert_fails (io_connection_get_interrupt_controller (fixture->connection, NULL, err) != NULL,
                            IO_STREAM_ERROR_NOT_FOUND);
  io_work_loop_run_action (fixture->loop, small_offer_cb, fixture);
  stream_util_assert_fails (io_connection_get_interrupt_controller (fixture->connection, NULL, err) != NULL,
                            IO_STREAM_ERROR_NO_RESOURCES);
  /* An owner whose clients are gone causes for nobody. */
  cause (fixture->owner, 1);
}

/* Without waiting. */

typedef struct {
  IOSharedInterruptController *end;
  GError                      *error;
  gboolean                     done;
} Got;

static void
got_cb (GObject      *object,
        GAsyncResult *result,
        gpointer      user_data)
{
  Got *got = user_data;

  got->end = io_connection_get_interrupt_controller_finish (IO_CONNECTION (object), result, &got->error);
  got->done = TRUE;
}

static void
test_async (Fixture       *fixture,
            gconstpointer  data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  IOSharedInterruptController *sync;
  Got got[4] = { { NULL } };

  /* the same again */
  io_connection_get_interrupt_controller_async (fixture->connection, NULL, got_cb, &got[0]);
  stream_util_iterate_until (got[0].done);
  g_assert_true (got[0].end == fixture->client);
  g_clear_object (&got[0].end);
  g_assert_finalize_object (g_steal_pointer (&fixture->client));

  /* one that is given up, two that ask at once, and one that does not wait for
   * them: they all get the same, and it works */
  for (guint i = 0; i < G_N_ELEMENTS (got); i++)
    {
      got[i].done = FALSE;
      io_connection_get_interrupt_controller_async (fixture->connection, i == 1 ? cancellable : NULL,
                                                    got_cb, &got[i]);
    }
  g_cancellable_cancel (cancellable);
  sync = get_end (fixture->connection);
  for (guint i = 0; i < G_N_ELEMENTS (got); i++)
    {
      stream_util_iterate_until (got[i].done);
      if (i == 1)
        g_assert_error (got[i].error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      else
        g_assert_no_error (got[i].error);
      g_assert_true (got[i].end == (i == 1 ? NULL : sync));
      g_clear_object (&got[i].end);
      g_clear_error (&got[i].error);
    }
  g_assert_finalize_object (sync);

  /* by itself */
  got[0].done = got[1].done = FALSE;
  io_connection_get_interrupt_controller_async (fixture->connection, NULL, got_cb, &got[0]);
  io_connection_get_interrupt_controller_async (fixture->connection, NULL, got_cb, &got[1]);
  stream_util_iterate_until (got[0].done && got[1].done);
  g_assert_no_error (got[0].error);
  g_assert_true (got[0].end != NULL && got[0].end == got[1].end);
  g_object_unref (got[1].end);
  fixture->client = got[0].end;
  handle (fixture, fixture->client, 3);
  wait_for_owner (fixture, io_shared_interrupt_controller_get_n_peers (fixture->owner) == 1);
  cause (fixture->owner, 3);
  stream_util_iterate_until (fixture->n_calls == 1);

  /* the end comes in between */
  g_assert_finalize_object (g_steal_pointer (&fixture->client));
  got[0].done = got[1].done = FALSE;
  io_connection_get_interrupt_controller_async (fixture->connection, NULL, got_cb, &got[0]);
  io_connection_get_interrupt_controller_async (fixture->connection, NULL, got_cb, &got[1]);
  io_connection_hang_up (fixture->connection);
  stream_util_iterate_until (got[0].done && got[1].done);
  for (guint i = 0; i < 2; i++)
    {
      g_assert_error (got[i].error, IO_STREAM_ERROR, (i == 0 ? IO_STREAM_ERROR_ABORTED : IO_STREAM_ERROR_NOT_OPEN));
      g_clear_error (&got[i].error);
    }
}

/* Several threads cause, nothing is lost, handlers come and go. */

#define N_CAUSES 5000

static gpointer
cause_thread (gpointer data)
{
  Fixture *fixture = data;

  for (guint i = 0; i < N_CAUSES; i++)
    {
      cause (fixture->owner, i % N_VECTORS);
      if (i % 32 == 0)
        g_thread_yield ();
    }

  return NULL;
}

static void
test_threads (Fixture       *fixture,
              gconstpointer  data)
{
  GThread *threads[3];

  for (guint i = 0; i < N_VECTORS; i++)
    handle (fixture, fixture->client, i);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("causer", cause_thread, fixture);
  for (guint i = 0; i < 200; i++)
    {
      stream_util_assert_works (io_interrupt_controller_disable_interrupt (base (fixture->client), 7, err));
      g_main_context_iteration (NULL, FALSE);
      stream_util_assert_works (io_interrupt_controller_enable_interrupt (base (fixture->client), 7, err));
    }
  stream_util_iterate_until (fixture->n_counts == G_N_ELEMENTS (threads) * N_CAUSES);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
}

static void
test_fork (Fixture       *fixture,
           gconstpointer  data)
{
  StreamPark park;
  pid_t pid;
  int status;

  handle (fixture, fixture->client, 1);
  stream_util_park (fixture->loop, &park);
  pid = fork ();
  if (pid == 0)
    {
      stream_util_assert_fails (io_interrupt_controller_cause_interrupt (base (fixture->client), 1, err), IO_STREAM_ERROR_NOT_OPEN);
      stream_util_assert_fails (io_interrupt_controller_cause_interrupt (base (fixture->owner), 1, err), IO_STREAM_ERROR_NOT_OPEN);
      stream_util_assert_fails (io_shared_interrupt_controller_wait (fixture->client, 0, NULL, err), IO_STREAM_ERROR_NOT_OPEN);
      g_assert_cmpuint (io_interrupt_controller_handle_interrupts (base (fixture->client)), ==, 0);
      g_assert_false (io_interrupt_controller_is_interrupt_pending (base (fixture->client), 1));
      g_assert_cmpuint (io_shared_interrupt_controller_get_n_peers (fixture->client), ==, 0);
      g_assert_false (io_shared_interrupt_controller_prepare_wait (fixture->client));
      io_shared_interrupt_controller_finish_wait (fixture->client);
      g_assert_cmpint (io_shared_interrupt_controller_get_fd (fixture->client), ==, -1);
      _exit (0);
    }
  stream_util_go_on (&park);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status) && WEXITSTATUS (status) == 0);

  cause (fixture->owner, 1);
  stream_util_iterate_until (fixture->n_calls == 1);
}

/* A client that knows only the protocol, and no manners. */

typedef struct {
  int                   control;
  int                   fds[RAW_MAX_FDS];
  guint                 n_fds;
  IOAbiInterruptRegion *own;
  guint32               status;
} RawClient;

static GVariant *
raw_call (RawClient *self,
          guint      opcode,
          GVariant  *args)
{
  static guint serial;
  IOPacketHeader header;
  GVariant *body;

  if (!raw_send_packet (self->control, IO_PACKET_CALL, opcode, ++serial, args, NULL, 0))
    return NULL;
  do
    body = raw_receive_packet (self->control, &header, self->fds, &self->n_fds);
  while (body != NULL && header.kind == IO_PACKET_EVENT);
  self->status = body != NULL ? header.status : G_MAXUINT32;

  return body;
}

static guint32
raw_status (RawClient *self,
            guint      opcode,
            GVariant  *args)
{
  G_GNUC_UNUSED g_autoptr (GVariant) body = raw_call (self, opcode, args);

  return self->status;
}

static void
raw_connect (RawClient *self)
{
  g_autofree char *path = _io_names_dup_socket_path ("test", NULL);
  struct sockaddr_un address = { .sun_family = AF_UNIX };

  self->control = socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  g_strlcpy (address.sun_path, path, sizeof address.sun_path);
  g_assert_cmpint (connect (self->control, (struct sockaddr *) &address, sizeof address), ==, 0);
  g_assert_cmpuint (raw_status (self, IO_OPCODE_HELLO, g_variant_new_parsed ("(uint32 1, 'raw', @a{sv} {})")), ==, 0);
}

static void
raw_get (RawClient *self)
{
  g_assert_cmpuint (raw_status (self, IO_OPCODE_GET_INTERRUPTS, g_variant_new ("()")), ==, 0);
  g_assert_cmpuint (self->n_fds, ==, 3);
  /* The owner's pages cannot be written, ours can until it is sealed. */
  g_assert_true (mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, self->fds[0], 0) == MAP_FAILED);
  self->own = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, self->fds[1], 0);
  g_assert_true (self->own != MAP_FAILED);
}

static void
raw_clear (RawClient *self)
{
  munmap (self->own, 4096);
  for (guint i = 0; i < 3; i++)
    close (self->fds[i]);
  close (self->control);
}

static void
test_hostile_client (Fixture       *fixture,
                     gconstpointer  data)
{
  RawClient raw = { 0, };
  guint n_calls;

  io_work_loop_run_action (fixture->loop, register_owner_cb, fixture);
  handle (fixture, fixture->client, 1);

  raw_connect (&raw);
  g_assert_cmpuint (raw_status (&raw, IO_OPCODE_INTERRUPTS_READY, g_variant_new ("()")), ==, IO_STREAM_ERROR_NOT_OPEN);
  raw_get (&raw);
  /* Not ready: nothing it writes counts. */
  raw.own->vectors[9]++;
  raw.own->groups[0]++;
  g_assert_cmpint (send (raw.fds[2], "x", 1, MSG_NOSIGNAL), ==, 1);
  sync_owner (fixture);
  g_assert_cmpuint (fixture->n_owner_calls, ==, 0);
  g_assert_cmpuint (io_shared_interrupt_controller_get_n_peers (fixture->owner), ==, 1);
  g_assert_cmpuint (raw_status (&raw, IO_OPCODE_INTERRUPTS_READY, g_variant_new ("()")), ==, 0);
  g_assert_cmpuint (raw_status (&raw, IO_OPCODE_INTERRUPTS_READY, g_variant_new ("()")), ==, IO_STREAM_ERROR_STILL_OPEN);
  g_assert_true (mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, raw.fds[1], 0) == MAP_FAILED);
  wait_for_owner (fixture, fixture->n_owner_calls == 1);

  /* All counters, the words that tell what the page is, and bells without end:
   * at most one call for each round, and the other client is served. */
  for (guint round = 0; round < 300; round++)
    {
      for (guint i = 0; i < N_VECTORS; i++)
        raw.own->vectors[i] += 0x10001 * (round + 1);
      for (guint i = 0; i < IO_ABI_INTERRUPT_GROUPS; i++)
        raw.own->groups[i]--;
      raw.own->magic = round;
      raw.own->vector_count = G_MAXUINT32;
      raw.own->region_bytes = G_MAXUINT32;
      raw.own->bell_epoch = round;
      send (raw.fds[2], "xxxxxxxx", 8, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (round % 50 == 0)
        {
          n_calls = fixture->n_calls;
          cause (fixture->owner, 1);
          stream_util_iterate_until (fixture->n_calls > n_calls);
        }
    }
  g_assert_cmpuint (fixture->n_owner_calls, <=, 302);

  /* A new end takes the place of the old one; strangers are nobody. */
  munmap (raw.own, 4096);
  for (guint i = 0; i < 3; i++)
    close (raw.fds[i]);
  raw_get (&raw);
  g_assert_cmpuint (raw_status (&raw, IO_OPCODE_INTERRUPTS_READY, g_variant_new ("()")), ==, 0);
  g_assert_cmpuint (io_shared_interrupt_controller_get_n_peers (fixture->owner), ==, 2);
  raw_clear (&raw);
  wait_for_owner (fixture, io_shared_interrupt_controller_get_n_peers (fixture->owner) == 1);
}

/* An owner that lies. */

typedef struct {
  const char *name;
  guint32     n_vectors;
  guint64     cookie;
  guint       n_fds;
  gboolean    unsealed, swapped, small, magic, no_memory, refuses;
  int         code;
} Lie;

static const Lie lies[] = {
  { "no-vectors", 0, 1, 3, .code = IO_STREAM_ERROR_IPC_ERROR },
  { "many-vectors", 4097, 1, 3, .code = IO_STREAM_ERROR_IPC_ERROR },
  { "all-vectors", G_MAXUINT32, 1, 3, .code = IO_STREAM_ERROR_IPC_ERROR },
  { "other-vectors", 128, 1, 3, .code = IO_STREAM_ERROR_IPC_ERROR },
  { "no-cookie", 64, 0, 3, .code = IO_STREAM_ERROR_IPC_ERROR },
  { "no-fds", 64, 1, 0, .code = IO_STREAM_ERROR_IPC_ERROR },
  { "few-fds", 64, 1, 2, .code = IO_STREAM_ERROR_IPC_ERROR },
  { "many-fds", 64, 1, 4, .code = IO_STREAM_ERROR_IPC_ERROR },
  { "unsealed", 64, 1, 3, .unsealed = TRUE, .code = IO_STREAM_ERROR_VM_ERROR },
  { "swapped", 64, 1, 3, .swapped = TRUE, .code = IO_STREAM_ERROR_VM_ERROR },
  { "small", 64, 1, 3, .small = TRUE, .code = IO_STREAM_ERROR_VM_ERROR },
  { "magic", 64, 1, 3, .magic = TRUE, .code = IO_STREAM_ERROR_IPC_ERROR },
  { "no-memory", 64, 1, 3, .no_memory = TRUE, .code = IO_STREAM_ERROR_VM_ERROR },
  { "not-ready", 64, 1, 3, .refuses = TRUE, .code = IO_STREAM_ERROR_BUSY },
  { "honest", 64, 1, 3, .code = 0 },
};

static int
make_region (const Lie *lie,
             IOAbiSide  side)
{
  int fd = memfd_create ("iostream-fake", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  gsize size = lie->small ? 256 : 4096;
  IOAbiInterruptRegion *page;
  int seals = F_SEAL_SHRINK | F_SEAL_GROW;

  g_assert_cmpint (ftruncate (fd, 4096), ==, 0);
  page = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  page->magic = lie->magic ? IO_ABI_MAGIC : IO_ABI_INTERRUPT_MAGIC;
  page->abi = 1;
  page->side = side;
  page->group_shift = 6;
  page->vector_count = 64;
  page->region_bytes = 0x200 + 64 * 4;
  munmap (page, 4096);
  if (size < 4096)
    g_assert_cmpint (ftruncate (fd, size), ==, 0);
  if (side == IO_ABI_SIDE_OWNER)
    seals |= F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
  if (!lie->unsealed)
    g_assert_cmpint (fcntl (fd, F_ADD_SEALS, seals), ==, 0);

  return fd;
}

static void
answer_lie (int                   control,
            const Lie            *lie,
            const IOPacketHeader *header,
            int                   bells[2])
{
  int fds[4] = { -1, -1, -1, -1 };

  if (header->opcode == IO_OPCODE_HELLO)
    {
      raw_send_packet (control, IO_PACKET_REPLY, header->opcode, header->serial,
                       g_variant_new_parsed ("(uint32 1, 'liar', 'IOService', @a{sv} {})"), NULL, 0);
      return;
    }
  if (header->opcode == IO_OPCODE_INTERRUPTS_READY)
    {
      if (lie->refuses)
        {
          g_autoptr (GError) reason = g_error_new_literal (IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY, "no");
          g_autoptr (GBytes) packet = _io_packet_build_error (header->opcode, header->serial, reason);

          g_assert_cmpint (send (control, g_bytes_get_data (packet, NULL), g_bytes_get_size (packet), MSG_NOSIGNAL), >, 0);
        }
      else
        raw_send_packet (control, IO_PACKET_REPLY, header->opcode, header->serial, g_variant_new ("()"), NULL, 0);
      return;
    }

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, bells), ==, 0);
  fds[lie->swapped] = lie->no_memory ? dup (bells[0]) : make_region (lie, IO_ABI_SIDE_OWNER);
  fds[!lie->swapped] = make_region (lie, IO_ABI_SIDE_CLIENT);
  fds[2] = dup (bells[1]);
  fds[3] = dup (bells[1]);
  raw_send_packet (control, IO_PACKET_REPLY, header->opcode, header->serial,
                   g_variant_new ("(ut)", lie->n_vectors, lie->cookie), fds, lie->n_fds);
  for (guint i = 0; i < 4; i++)
    close (fds[i]);
}

typedef struct {
  int        control;
  const Lie *lie;
} Liar;

static gpointer
liar_thread (gpointer data)
{
  Liar *liar = data;
  int bells[2] = { -1, -1 };

  for (;;)
    {
      IOPacketHeader header;
      int fds[RAW_MAX_FDS];
      guint n_fds;
      g_autoptr (GVariant) body = raw_receive_packet (liar->control, &header, fds, &n_fds);

      if (body == NULL)
        break;
      answer_lie (liar->control, liar->lie, &header, bells);
    }
  for (guint i = 0; i < 2; i++)
    if (bells[i] >= 0)
      close (bells[i]);
  close (liar->control);

  return NULL;
}

static void
test_lie (gconstpointer data)
{
  Liar liar = { -1, data };
  g_autoptr (IOSharedInterruptController) end = NULL;
  g_autoptr (GError) error = NULL;
  IOStreamConnection *connection;
  GSocket *socket;
  GThread *thread;
  int fds[2];
  guint n_fds;

  g_main_context_iteration (NULL, FALSE);
  n_fds = count_fds ();
  make_socket_pair (fds);
  liar.control = fds[0];
  thread = g_thread_new ("liar", liar_thread, &liar);
  socket = g_socket_new_from_fd (fds[1], &error);
  g_assert_no_error (error);
  connection = io_stream_connection_new_for_socket (socket, NULL, &error);
  g_assert_no_error (error);
  g_object_unref (socket);

  end = io_connection_get_interrupt_controller (IO_CONNECTION (connection), NULL, &error);
  if (liar.lie->code == 0)
    {
      g_assert_no_error (error);
      g_assert_cmpuint (io_interrupt_controller_get_n_vectors (base (end)), ==, 64);
    }
  else
    {
      g_assert_null (end);
      g_assert_error (error, IO_STREAM_ERROR, liar.lie->code);
    }
  g_clear_object (&end);
  io_connection_hang_up (IO_CONNECTION (connection));
  stream_util_settle ();
  g_assert_finalize_object (connection);
  g_thread_join (thread);
  g_assert_cmpuint (count_fds (), ==, n_fds);
}

/* Two processes. */

static int
run_owner (void)
{
  g_autoptr (IOSharedInterruptController) controller = NULL;
  g_autoptr (IOService) service = io_service_new ("test");

  stream_util_assert_works (controller = io_shared_interrupt_controller_new (N_VECTORS, err));
  io_shared_interrupt_controller_offer (controller, service);
  stream_util_assert_works (io_service_register (service, err));
  peer_say ("ready");

  /* For each connection that has an end: everything, in numbers. */
  for (;;)
    {
      if (io_shared_interrupt_controller_get_n_peers (controller) > 0)
        for (guint i = 0; i < N_VECTORS; i++)
          cause (controller, i);
      g_main_context_iteration (NULL, io_shared_interrupt_controller_get_n_peers (controller) == 0);
    }

  return 0;
}

static int
run_client (void)
{
  g_autoptr (IOConnection) connection = connect_client ();
  g_autoptr (IOSharedInterruptController) controller = get_end (connection);
  Fixture fixture = { 0, };

  for (guint i = 0; i < N_VECTORS; i++)
    handle (&fixture, controller, i);
  peer_say ("ready");
  while (io_shared_interrupt_controller_wait (controller, -1, NULL, NULL))
    {
      io_interrupt_controller_handle_interrupts (base (controller));
      cause (controller, 9);
    }

  return 0;
}

static void
test_owner_killed (void)
{
  Peer *peer = peer_spawn (-1, -1, "owner", NULL);
  g_autoptr (IOConnection) connection = NULL;
  g_autoptr (IOSharedInterruptController) end = NULL;
  Fixture fixture = { 0, };
  g_autoptr (GError) error = NULL;
  guint n = 0;

  peer_expect (peer, "ready");
  connection = connect_client ();
  end = get_end (connection);
  for (guint i = 0; i < N_VECTORS; i++)
    handle (&fixture, end, i);
  stream_util_iterate_until (fixture.n_calls > 20 * N_VECTORS);

  peer_kill (peer);
  while (io_shared_interrupt_controller_wait (end, STREAM_UTIL_TIMEOUT, NULL, &error))
    {
      io_interrupt_controller_handle_interrupts (base (end));
      g_assert_cmpuint (n++, <, 100);
    }
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
  io_connection_hang_up (connection);
  stream_util_settle ();
}

static void
remove_leftovers (void)
{
  g_autofree char *path = _io_names_dup_socket_path ("test", NULL);
  g_autofree char *lock = g_strconcat (path, ".lock", NULL);

  unlink (path);
  unlink (lock);
}

static void
test_client_killed (Fixture       *fixture,
                    gconstpointer  data)
{
  Peer *peer = peer_spawn (-1, -1, "client", NULL);

  io_work_loop_run_action (fixture->loop, register_owner_cb, fixture);
  peer_expect (peer, "ready");
  g_assert_cmpuint (io_shared_interrupt_controller_get_n_peers (fixture->owner), ==, 2);
  for (guint i = 0; fixture->n_owner_calls < 10; i++)
    {
      cause (fixture->owner, i % N_VECTORS);
      io_work_loop_run_action (fixture->loop, sync_cb, NULL);
    }

  /* One that does not run costs nothing either. */
  peer_freeze (peer);
  for (guint i = 0; i < 100 * N_VECTORS; i++)
    cause (fixture->owner, i % N_VECTORS);
  peer_kill (peer);
  wait_for_owner (fixture, io_shared_interrupt_controller_get_n_peers (fixture->owner) == 1);

  handle (fixture, fixture->client, 1);
  cause (fixture->owner, 1);
  stream_util_iterate_until (fixture->n_calls == 1);
}

#define ADD(path, set_up, func) g_test_add ("/shared-interrupt/" path, Fixture, NULL, set_up, func, tear_down)

int
main (int   argc,
      char *argv[])
{
  char *dir;
  int status;

  if (argc > 2 && strcmp (argv[1], "--peer") == 0)
    {
      peer_begin ();
      return strcmp (argv[2], "owner") == 0 ? run_owner () : run_client ();
    }

  *peer_program () = argv[0];
  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();

  ADD ("basic", set_up, test_basic);
  ADD ("to-owner", set_up, test_to_owner);
  ADD ("two-clients", set_up, test_two_clients);
  ADD ("one-ring", set_up_large, test_one_ring);
  ADD ("wait", set_up, test_wait);
  ADD ("drop-inside", set_up, test_drop_inside);
  ADD ("errors", set_up, test_errors);
  ADD ("async", set_up, test_async);
  ADD ("threads", set_up, test_threads);
  ADD ("fork", set_up, test_fork);
  ADD ("hostile-client", set_up, test_hostile_client);
  for (guint i = 0; i < G_N_ELEMENTS (lies); i++)
    {
      g_autofree char *path = g_strconcat ("/shared-interrupt/hostile-owner/", lies[i].name, NULL);

      g_test_add_data_func (path, &lies[i], test_lie);
    }
  g_test_add_func ("/shared-interrupt/owner-killed", test_owner_killed);
  ADD ("client-killed", set_up, test_client_killed);

  status = g_test_run ();
  remove_leftovers ();
  stream_util_remove_runtime_dir (dir);

  return status;
}
