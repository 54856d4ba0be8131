/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owner and client in one thread, with synchronous calls. The tests of streams
 * run this way too (NAME-local); here is what only this way has: calls within
 * calls, the thread they are for, and a client of another process beside. */

#include "peer-process.h"
#include "stream-subclass.h"

#include "libiostream/io-connection-private.h"
#include "libiostream/io-door-private.h"

typedef struct {
  IOService    *service;
  IOConnection *connection;
  guint         n_fds;
  int           n_opened;
  int           n_closed;
  int           n_died;
  int           n_disconnected;
  int           n_done;
  GError       *error;
} Fixture;

static void
count_cb (IOService    *service,
          IOUserClient *client,
          int          *count)
{
  (*count)++;
}

static IOService *
new_service (Fixture    *f,
             const char *name)
{
  IOService *service = io_service_new (name);

  g_signal_connect (service, "client-opened", G_CALLBACK (count_cb), &f->n_opened);
  g_signal_connect (service, "client-closed", G_CALLBACK (count_cb), &f->n_closed);
  g_signal_connect (service, "client-died", G_CALLBACK (count_cb), &f->n_died);
  io_service_set_attribute (service, "width", g_variant_new_uint32 (1920));

  return service;
}

static IOConnection *
connect_to (IOService *service)
{
  g_autoptr (GError) error = NULL;
  IOConnection *connection = io_connection_new_for_service (service, &error);

  g_assert_no_error (error);
  g_assert_true (io_connection_is_connected (connection));

  return connection;
}

static void
set_up (Fixture       *f,
        gconstpointer  data)
{
  g_main_context_iteration (NULL, FALSE);
  f->n_fds = count_fds ();
  f->service = new_service (f, NULL);
  f->connection = connect_to (f->service);
}

/* Whatever a test has done, nothing is left. */
static void
tear_down (Fixture       *f,
           gconstpointer  data)
{
  if (f->connection != NULL)
    {
      io_connection_hang_up (f->connection);
      stream_util_settle ();
      g_assert_finalize_object (g_steal_pointer (&f->connection));
    }
  if (f->service != NULL)
    {
      io_service_terminate (f->service);
      stream_util_settle ();
      g_assert_finalize_object (g_steal_pointer (&f->service));
    }
  g_clear_error (&f->error);
  g_assert_cmpint (f->n_closed, ==, f->n_opened);
  g_assert_cmpuint (count_fds (), ==, f->n_fds);
}

static void
open_now (IOConnection *connection)
{
  stream_util_assert_works (io_connection_open (connection, 0, NULL, err));
}

/* --- direct calls ------------------------------------------------------------ */

/* No main context runs in this one. */
static void
test_direct (Fixture       *f,
             gconstpointer  data)
{
  g_autoptr (IOService) service = NULL;
  g_autoptr (GVariant) attributes = NULL;
  guint32 width = 0, pid = 0;

  g_object_get (f->connection, "service", &service, NULL);
  g_assert_true (service == f->service);
  g_assert_cmpstr (io_connection_get_service_class (f->connection), ==, "IOService");
  g_assert_null (io_connection_get_name (f->connection));

  attributes = io_connection_copy_attributes (f->connection, NULL, NULL);
  g_assert_true (g_variant_lookup (attributes, "width", "u", &width));
  g_assert_true (g_variant_lookup (attributes, "pid", "u", &pid));
  g_assert_cmpuint (width, ==, 1920);
  g_assert_cmpuint (pid, ==, (guint) getpid ());

  for (int i = 1; i <= 3; i++)
    {
      open_now (f->connection);
      g_assert_cmpint (f->n_opened, ==, i);
      g_assert_true (io_service_is_open (f->service, NULL));
      stream_util_assert_fails (io_connection_open (f->connection, 0, NULL, err), IO_STREAM_ERROR_STILL_OPEN);
      stream_util_assert_works (io_connection_close (f->connection, NULL, err));
      g_assert_cmpint (f->n_closed, ==, i);
      g_assert_false (io_service_is_open (f->service, NULL));
    }
  stream_util_assert_fails (io_connection_close (f->connection, NULL, err), IO_STREAM_ERROR_NOT_OPEN);
  g_assert_cmpint (f->n_died, ==, 0);
}

/* The owner hears of it at once, as of a client that left with it open. */
static void
test_hang_up (Fixture       *f,
              gconstpointer  data)
{
  open_now (f->connection);
  io_connection_hang_up (f->connection);
  g_assert_cmpint (f->n_died, ==, 1);
  g_assert_cmpint (f->n_closed, ==, 1);
  g_assert_finalize_object (g_steal_pointer (&f->connection));

  /* Nothing keeps the service any more, without a turn of the context. */
  g_assert_finalize_object (g_steal_pointer (&f->service));
}

/* From the context only, if it is just dropped. */
static void
test_drop (Fixture       *f,
           gconstpointer  data)
{
  open_now (f->connection);
  g_assert_finalize_object (g_steal_pointer (&f->connection));
  g_assert_cmpint (f->n_closed, ==, 0);
  stream_util_settle ();
  g_assert_cmpint (f->n_died, ==, 1);
  g_assert_cmpint (f->n_closed, ==, 1);
}

/* Each may have the other: the user client alone keeps the service. */
static void
test_no_cycle (Fixture       *f,
               gconstpointer  data)
{
  IOService *service = f->service;

  open_now (f->connection);
  g_object_set_data_full (G_OBJECT (f->service), "client", g_steal_pointer (&f->connection), g_object_unref);
  g_object_add_weak_pointer (G_OBJECT (service), (gpointer *) &service);
  g_object_unref (g_steal_pointer (&f->service));
  stream_util_settle ();
  g_assert_nonnull (service);
  g_object_set_data (G_OBJECT (service), "client", NULL);
  stream_util_settle ();
  g_assert_null (service);
}

/* There is no bound on calls, as there is for others. */
static void
test_many_calls (Fixture       *f,
                 gconstpointer  data)
{
  for (guint i = 0; i < 5000; i++)
    {
      g_autoptr (GVariant) attributes = io_connection_copy_attributes (f->connection, NULL, NULL);

      g_assert_nonnull (attributes);
    }
}

static void
test_many_connections (Fixture       *f,
                       gconstpointer  data)
{
  g_autoptr (GPtrArray) connections = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GError) error = NULL;

  while (error == NULL)
    {
      IOConnection *connection = io_connection_new_for_service (f->service, &error);

      if (connection != NULL)
        g_ptr_array_add (connections, connection);
    }
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES);
  g_assert_cmpuint (connections->len, ==, IO_DOOR_MAX_CONNECTIONS_UID - 1);

  /* One goes, one comes. */
  io_connection_hang_up (connections->pdata[100]);
  g_ptr_array_add (connections, connect_to (f->service));
  g_ptr_array_set_size (connections, 0);
  stream_util_settle ();
}

static void
test_cancelled (Fixture       *f,
                gconstpointer  data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();

  g_cancellable_cancel (cancellable);
  g_assert_false (io_connection_open (f->connection, 0, cancellable, &f->error));
  g_assert_error (f->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpint (f->n_opened, ==, 0);
  open_now (f->connection);
}

/* --- the decision of the owner ---------------------------------------------- */

static gboolean
refuse_cb (IOService    *service,
           IOUserClient *client,
           int          *count)
{
  g_assert_cmpuint (io_user_client_get_uid (client), ==, geteuid ());
  g_assert_cmpint (io_user_client_get_pid (client), ==, getpid ());
  (*count)++;

  return *count > 1;
}

static void
test_refused (Fixture       *f,
              gconstpointer  data)
{
  g_autoptr (IOConnection) second = NULL;

  g_signal_connect (f->service, "authorize", G_CALLBACK (refuse_cb), &f->n_done);
  g_assert_null (io_connection_new_for_service (f->service, &f->error));
  g_assert_error (f->error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED);
  g_assert_cmpint (f->n_done, ==, 1);

  /* An object that failed can try again. */
  f->n_done = 0;
  second = g_object_new (IO_TYPE_CONNECTION, "service", f->service, NULL);
  stream_util_assert_fails (io_connection_open (second, 0, NULL, err), IO_STREAM_ERROR_NOT_PERMITTED);
  stream_util_assert_works (io_connection_open (second, 0, NULL, err));
  stream_util_assert_fails (io_connection_open (f->connection, 0, NULL, err), IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  stream_util_assert_works (io_connection_close (second, NULL, err));
  open_now (f->connection);
  io_connection_hang_up (second);
}

static void
test_no_service (Fixture       *f,
                 gconstpointer  data)
{
  g_autoptr (IOConnection) early = g_object_new (IO_TYPE_CONNECTION, "service", f->service, NULL);
  g_autoptr (IOConnection) late = NULL;
  g_autoptr (IOService) service = NULL;

  io_service_terminate (f->service);
  g_assert_null (io_connection_new_for_service (f->service, &f->error));
  g_assert_error (f->error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY);
  late = g_object_new (IO_TYPE_CONNECTION, "service", f->service, NULL);
  stream_util_settle ();
  g_assert_finalize_object (g_steal_pointer (&f->service));
  stream_util_assert_fails (io_connection_open (late, 0, NULL, err), IO_STREAM_ERROR_OFFLINE);
  g_object_get (late, "service", &service, NULL);
  g_assert_null (service);
  stream_util_assert_fails (io_connection_open (early, 0, NULL, err), IO_STREAM_ERROR_OFFLINE);
}

static gboolean
open_and_close (Fixture  *f,
                GError  **error)
{
  g_autoptr (IOConnection) connection = io_connection_new_for_service (f->service, error);
  gboolean done;

  if (connection == NULL)
    return FALSE;

  done = io_connection_open (connection, 0, NULL, error);
  if (done)
    io_connection_close (connection, NULL, NULL);
  io_connection_hang_up (connection);

  return done;
}

/* Both ends want descriptors; whichever is missing, none stays behind. */
static void
test_descriptors (Fixture       *f,
                  gconstpointer  data)
{
  struct rlimit all, few;
  guint n_failed = 0;
  gboolean done = FALSE;

  if (g_getenv ("IOSTREAM_TEST_VALGRIND") != NULL)
    {
      g_test_skip ("valgrind keeps limits of its own");
      return;
    }

  stream_util_assert_works (open_and_close (f, err));
  g_assert_cmpint (getrlimit (RLIMIT_NOFILE, &all), ==, 0);
  few = all;
  for (guint n = 0; !done && n < 200; n++)
    {
      g_autoptr (GError) error = NULL;
      guint n_fds = count_fds ();

      few.rlim_cur = n;
      g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &few), ==, 0);
      done = open_and_close (f, &error);
      g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &all), ==, 0);
      if (!done)
        {
          g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES);
          n_failed++;
        }
      g_assert_cmpuint (count_fds (), ==, n_fds);
    }

  g_assert_true (done);
  g_assert_cmpuint (n_failed, >, 1);
}

/* --- the end ------------------------------------------------------------------- */

static void
disconnected_cb (IOConnection *connection,
                 const GError *error,
                 Fixture      *f)
{
  g_assert_true ((error != NULL) == (f->error != NULL));
  f->n_disconnected++;
}

static void
test_terminated (Fixture       *f,
                 gconstpointer  data)
{
  g_signal_connect (f->connection, "disconnected", G_CALLBACK (disconnected_cb), f);
  open_now (f->connection);
  io_service_terminate (f->service);
  g_assert_cmpint (f->n_closed, ==, 1);
  g_assert_finalize_object (g_steal_pointer (&f->service));

  /* The next call sees it, the signal comes from the context. */
  if (GPOINTER_TO_INT (data))
    stream_util_assert_fails (io_connection_close (f->connection, NULL, err), IO_STREAM_ERROR_OFFLINE);
  g_assert_cmpint (f->n_disconnected, ==, 0);
  stream_util_settle ();
  g_assert_cmpint (f->n_disconnected, ==, 1);
  g_assert_null (io_connection_get_error (f->connection));
  g_assert_false (io_connection_is_connected (f->connection));
}

/* --- asynchronous calls ----------------------------------------------------- */

static void
opened_cb (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  Fixture *f = user_data;

  f->n_done++;
  io_connection_open_finish (IO_CONNECTION (source), result, &f->error);
}

/* A direct call comes after what was asked before, and calls nobody back. */
static void
test_async_first (Fixture       *f,
                  gconstpointer  data)
{
  g_autoptr (GVariant) attributes = NULL;

  io_connection_open_async (f->connection, 0, NULL, opened_cb, f);
  g_assert_cmpint (f->n_opened, ==, 0);
  attributes = io_connection_copy_attributes (f->connection, NULL, NULL);
  g_assert_null (attributes);
  stream_util_assert_fails (io_connection_open (f->connection, 0, NULL, err), IO_STREAM_ERROR_BUSY);
  stream_util_iterate_until (f->n_done == 1);
  g_assert_no_error (f->error);
  g_assert_cmpint (f->n_opened, ==, 1);

  io_connection_close_async (f->connection, NULL, NULL, NULL);
  io_connection_hang_up (f->connection);
  g_assert_cmpint (f->n_closed, ==, 1);
  g_assert_cmpint (f->n_died, ==, 0);
  stream_util_settle ();
}

/* --- threads -------------------------------------------------------------------- */

typedef struct {
  Fixture      *f;
  GMutex        lock;
  GCond         cond;
  gboolean      runs;
  gboolean      enough;
} Runner;

static gpointer
run_context_thread (gpointer data)
{
  Runner *runner = data;

  g_assert_true (g_main_context_acquire (NULL));
  g_mutex_lock (&runner->lock);
  runner->runs = TRUE;
  g_cond_broadcast (&runner->cond);
  while (!runner->enough)
    g_cond_wait (&runner->cond, &runner->lock);
  g_mutex_unlock (&runner->lock);
  g_main_context_release (NULL);

  return NULL;
}

/* While another thread runs the context, nothing is done. */
static void
test_other_thread (Fixture       *f,
                   gconstpointer  data)
{
  Runner runner = { f, };
  GThread *thread = g_thread_new ("context", run_context_thread, &runner);

  g_mutex_lock (&runner.lock);
  while (!runner.runs)
    g_cond_wait (&runner.cond, &runner.lock);
  g_mutex_unlock (&runner.lock);

  stream_util_assert_fails (io_connection_open (f->connection, 0, NULL, err), IO_STREAM_ERROR_CANNOT_LOCK);
  g_assert_null (io_connection_copy_attributes (f->connection, NULL, &f->error));
  g_assert_error (f->error, IO_STREAM_ERROR, IO_STREAM_ERROR_CANNOT_LOCK);
  g_clear_error (&f->error);
  g_assert_null (io_connection_new_for_service (f->service, &f->error));
  g_assert_error (f->error, IO_STREAM_ERROR, IO_STREAM_ERROR_CANNOT_LOCK);
  g_assert_cmpint (f->n_opened, ==, 0);

  g_mutex_lock (&runner.lock);
  runner.enough = TRUE;
  g_cond_broadcast (&runner.cond);
  g_mutex_unlock (&runner.lock);
  g_thread_join (thread);
  open_now (f->connection);
}

static gboolean
use_in_loop_cb (gpointer data)
{
  IOStream *stream = data;
  g_autoptr (GError) error = NULL;
  IOStreamConnection *client = io_stream_connection_open_stream (stream, &error);
  IOStreamBufferQueueEntry entry;

  g_assert_no_error (error);
  stream_util_start (client);
  stream_util_send (stream, 5);
  stream_util_take (client, 5, &entry);
  stream_util_return (client, &entry);
  stream_util_close (client);
  io_connection_hang_up (IO_CONNECTION (client));
  g_assert_finalize_object (client);

  return TRUE;
}

/* A stream with a work loop is for the thread of that. */
static void
test_work_loop (void)
{
  IOWorkLoop *loop = io_work_loop_new ("owner");
  IOStream *stream = g_object_new (IO_TYPE_STREAM, "work-loop", loop, "buffer-count", 2,
                                   "data-size", (guint64) 100, NULL);
  g_autoptr (GError) error = NULL;

  /* also while that has not begun */
  g_assert_null (io_stream_connection_open_stream (stream, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_CANNOT_LOCK);
  io_work_loop_run_action (loop, use_in_loop_cb, stream);
  io_service_terminate (IO_SERVICE (stream));
  io_work_loop_shut_down (loop);
  g_assert_finalize_object (stream);
  g_assert_finalize_object (loop);
}

/* --- forks ---------------------------------------------------------------------- */

static void
test_fork (Fixture       *f,
           gconstpointer  data)
{
  pid_t pid;
  int status;

  open_now (f->connection);
  pid = fork ();
  g_assert_cmpint (pid, >=, 0);
  if (pid == 0)
    {
      stream_util_assert_fails (io_connection_close (f->connection, NULL, err), IO_STREAM_ERROR_NOT_OPEN);
      g_assert_null (io_connection_new_for_service (f->service, &f->error));
      g_assert_error (f->error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN);
      io_connection_hang_up (f->connection);
      g_object_unref (f->connection);
      _exit (0);
    }

  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  g_assert_cmpint (f->n_closed, ==, 0);
  stream_util_assert_works (io_connection_close (f->connection, NULL, err));
}

/* --- calls within calls -------------------------------------------------------- */

static struct {
  IOStreamConnection *client;
  guint               depth;
  guint               deepest;
  IOStreamError       last;
} nest;

static void
call_hook (TestStream    *self,
                    IOStreamState  target)
{
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GError) error = NULL;

  if (target != IO_STREAM_STATE_RUNNING)
    return;

  stream_util_assert_fails (io_stream_connection_stop (nest.client, NULL, err), IO_STREAM_ERROR_BUSY);
  stream_util_assert_fails (io_connection_open (IO_CONNECTION (nest.client), 0, NULL, err),
                            IO_STREAM_ERROR_STILL_OPEN);
  answer = _io_connection_call (IO_CONNECTION (nest.client), IO_OPCODE_GET_MODE, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (answer);
  nest.depth++;
}

static void
test_call_in_method (StreamPair    *pair,
                     gconstpointer  data)
{
  nest.client = pair->client;
  nest.depth = 0;
  ((TestStream *) pair->stream)->hook = call_hook;
  stream_util_start (pair->client);
  g_assert_cmpuint (nest.depth, ==, 1);
  g_assert_cmpint (io_stream_connection_get_state (pair->client), ==, IO_STREAM_STATE_RUNNING);
  stream_util_assert_works (io_stream_connection_stop (pair->client, NULL, err));
}

static void
refused_cb (GObject      *object,
            GAsyncResult *result,
            gpointer      user_data)
{
  stream_util_assert_fails (io_service_terminate_finish (IO_SERVICE (object), result, err),
                            IO_STREAM_ERROR_BUSY);
  ++*(guint *) user_data;
}

static void
end_hook (TestStream    *self,
          IOStreamState  target)
{
  stream_util_assert_fails (io_connection_close (IO_CONNECTION (nest.client), NULL, err),
                            IO_STREAM_ERROR_BUSY);
  io_service_terminate_async (IO_SERVICE (self), NULL, refused_cb, &nest.depth);
}

/* Nothing is closed, at either end, and nothing ends. */
static void
test_end_in_method (StreamPair    *pair,
                    gconstpointer  data)
{
  nest.client = pair->client;
  nest.depth = 0;
  ((TestStream *) pair->stream)->hook = end_hook;
  stream_util_start (pair->client);
  g_assert_true (io_connection_is_open (IO_CONNECTION (pair->client)));
  g_assert_true (io_service_is_open (IO_SERVICE (pair->stream), NULL));
  stream_util_assert_works (io_stream_connection_suspend (pair->client, NULL, err));
  stream_util_assert_works (io_stream_connection_stop (pair->client, NULL, err));
  stream_util_iterate_until (nest.depth == 3);
  g_assert_false (io_service_is_inactive (IO_SERVICE (pair->stream)));
  ((TestStream *) pair->stream)->hook = NULL;
  stream_util_close (pair->client);
}

static gboolean
deeper_cb (IOService    *service,
           IOUserClient *client,
           gpointer      user_data)
{
  g_autoptr (IOStreamConnection) next = NULL;
  g_autoptr (GError) error = NULL;

  if (nest.depth == 20)
    return TRUE;

  nest.depth++;
  next = io_stream_connection_new_for_stream (IO_STREAM (service), &error);
  g_assert_no_error (error);
  io_connection_hang_up (IO_CONNECTION (next));

  return TRUE;
}

/* Each in the decision about the one before. */
static void
test_connect_in_authorize (StreamPair    *pair,
                           gconstpointer  data)
{
  g_autoptr (IOStreamConnection) client = NULL;

  nest.depth = 0;
  g_signal_connect (pair->stream, "authorize", G_CALLBACK (deeper_cb), NULL);
  client = io_stream_connection_new_for_stream (pair->stream, NULL);
  g_assert_nonnull (client);
  g_assert_cmpuint (nest.depth, ==, 20);
  io_connection_hang_up (IO_CONNECTION (client));
}

static void
call_deeper (guint options)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = NULL;

  nest.depth++;
  nest.deepest = MAX (nest.deepest, nest.depth);
  answer = _io_connection_call (IO_CONNECTION (nest.client), IO_OPCODE_OPEN,
                                g_variant_new_parsed ("(%u, @a{sv} {})", options), NULL, &error);
  g_assert_null (answer);
  if (nest.last == 0)
    nest.last = error->code;
  nest.depth--;
}

typedef IOStream      DeepStream;
typedef IOStreamClass DeepStreamClass;

static GType deep_stream_get_type (void);
G_DEFINE_TYPE (DeepStream, deep_stream, IO_TYPE_STREAM)

static gboolean
deep_stream_handle_open (IOService     *service,
                         IOUserClient  *client,
                         guint          options,
                         GError       **error)
{
  call_deeper (options);
  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY, "Deep enough");

  return FALSE;
}

static void
deep_stream_class_init (DeepStreamClass *klass)
{
  IO_SERVICE_CLASS (klass)->handle_open = deep_stream_handle_open;
}

static void
deep_stream_init (DeepStream *self)
{
}

/* Without end it ends with an error, not with the stack. */
static void
test_depth (void)
{
  IOStream *stream = g_object_new (deep_stream_get_type (), "buffer-count", 1, "data-size", (guint64) 64, NULL);

  memset (&nest, 0, sizeof nest);
  nest.client = io_stream_connection_new_for_stream (stream, NULL);
  stream_util_assert_fails (io_connection_open (IO_CONNECTION (nest.client), 0, NULL, err),
                            IO_STREAM_ERROR_NOT_READY);
  g_assert_cmpuint (nest.deepest, ==, 30);
  g_assert_cmpint (nest.last, ==, IO_STREAM_ERROR_NOT_RESPONDING);

  /* and it can be used again */
  stream_util_assert_fails (io_connection_open (IO_CONNECTION (nest.client), 0, NULL, err),
                            IO_STREAM_ERROR_NOT_READY);
  io_connection_hang_up (IO_CONNECTION (nest.client));
  g_assert_finalize_object (nest.client);
  g_assert_finalize_object (stream);
}

/* --- every place, every deed ------------------------------------------------ */

typedef enum {
  DEED_ATTRIBUTES,
  DEED_OPEN,
  DEED_CLOSE,
  DEED_START,
  DEED_STOP,
  DEED_SUSPEND,
  DEED_SET_MODE,
  DEED_START_ASYNC,
  DEED_EXCHANGE,
  DEED_HANG_UP,
  DEED_DROP,
  DEED_HANG_UP_AND_DROP,
  DEED_SECOND,
  DEED_ITERATE,
  DEED_TERMINATE,
  DEED_TERMINATE_AND_DROP_ALL,
  N_DEEDS
} LocalDeed;

static const char * const places[] = {
  "new-user-client", "authorize", "client-opened", "client-closed", "client-died", "handle-open",
  "handle-close", "start", "stop", "suspend", "set-mode", "input", "terminated", "owner-notify",
  "output", "client-notify", "disconnected"
};

static struct {
  const char         *place;
  LocalDeed           deed;
  IOStream           *stream;
  IOStreamConnection *client;
  gboolean            busy;
  int                 n_met;
  int                 n_opened;
  int                 n_closed;
} plan;

static void
send_one (void)
{
  g_autoptr (IOStream) stream = g_object_ref (plan.stream);
  IOStreamBuffer *buffer = io_stream_acquire_buffer (stream, NULL);

  if (buffer != NULL && !io_stream_send_buffer (stream, buffer, NULL))
    io_stream_release_buffer (stream, buffer);
}

static void
take_all (void)
{
  IOStreamBufferQueueEntry entry;

  while (io_stream_connection_dequeue_output_entry (plan.client, &entry))
    io_stream_connection_enqueue_input_entry (plan.client, &entry, NULL);
  io_stream_connection_send_input_notification (plan.client, 7, NULL);
}

static void
open_second (void)
{
  g_autoptr (IOStreamConnection) second = io_stream_connection_new_for_stream (plan.stream, NULL);

  if (second == NULL)
    return;
  io_connection_open (IO_CONNECTION (second), 0, NULL, NULL);
  io_stream_connection_start (second, NULL, NULL);
  io_connection_hang_up (IO_CONNECTION (second));
}

static void
do_connection_deed (IOConnection *client)
{
  IOStreamConnection *stream_client = IO_STREAM_CONNECTION (client);

  switch (plan.deed)
    {
    case DEED_ATTRIBUTES:
      {
        G_GNUC_UNUSED g_autoptr (GVariant) attributes = io_connection_copy_attributes (client, NULL, NULL);
        break;
      }
    case DEED_OPEN:
      io_connection_open (client, 0, NULL, NULL);
      break;
    case DEED_CLOSE:
      io_connection_close (client, NULL, NULL);
      break;
    case DEED_START:
      io_stream_connection_start (stream_client, NULL, NULL);
      break;
    case DEED_STOP:
      io_stream_connection_stop (stream_client, NULL, NULL);
      break;
    case DEED_SUSPEND:
      io_stream_connection_suspend (stream_client, NULL, NULL);
      break;
    case DEED_SET_MODE:
      io_stream_connection_set_mode (stream_client, IO_STREAM_MODE_INPUT, NULL, NULL);
      break;
    case DEED_START_ASYNC:
      io_stream_connection_start_async (stream_client, NULL, NULL, NULL);
      break;
    case DEED_HANG_UP:
      io_connection_hang_up (client);
      break;
    case DEED_HANG_UP_AND_DROP:
      io_connection_hang_up (client);
      g_clear_object (&plan.client);
      break;
    case DEED_DROP:
      g_clear_object (&plan.client);
      break;
    default:
      break;
    }
}

static void
do_deed (void)
{
  if (plan.deed == DEED_EXCHANGE)
    {
      send_one ();
      if (plan.client != NULL)
        take_all ();
    }
  else if (plan.deed == DEED_SECOND)
    open_second ();
  else if (plan.deed == DEED_ITERATE)
    stream_util_settle ();
  else if (plan.deed == DEED_TERMINATE || plan.deed == DEED_TERMINATE_AND_DROP_ALL)
    io_service_terminate (IO_SERVICE (plan.stream));
  else if (plan.client != NULL)
    do_connection_deed (IO_CONNECTION (plan.client));

  if (plan.deed != DEED_TERMINATE_AND_DROP_ALL)
    return;
  g_clear_object (&plan.client);
  g_clear_object (&plan.stream);
}

static void
meet (const char *place)
{
  if (plan.busy || plan.stream == NULL || plan.n_met == 9 || g_strcmp0 (place, plan.place) != 0)
    return;

  plan.busy = TRUE;
  plan.n_met++;
  do_deed ();
  plan.busy = FALSE;
}

typedef IOStream      MeetingStream;
typedef IOStreamClass MeetingStreamClass;

static GType meeting_stream_get_type (void);
G_DEFINE_TYPE (MeetingStream, meeting_stream, IO_TYPE_STREAM)

static gboolean
meeting_stream_start (IOStream  *stream,
                      GError   **error)
{
  meet ("start");

  return TRUE;
}

static gboolean
meeting_stream_stop (IOStream  *stream,
                     GError   **error)
{
  meet ("stop");

  return TRUE;
}

static gboolean
meeting_stream_suspend (IOStream  *stream,
                        GError   **error)
{
  meet ("suspend");

  return TRUE;
}

static gboolean
meeting_stream_set_mode (IOStream      *stream,
                         IOStreamMode   mode,
                         GError       **error)
{
  meet ("set-mode");

  return TRUE;
}

static void
meeting_stream_input_callback (IOStream *stream,
                               guint32   token)
{
  IOStreamBufferQueueEntry entry;

  meet ("input");
  while (io_stream_dequeue_input_entry (stream, &entry))
    io_stream_release_buffer (stream, io_stream_get_buffer_with_id (stream, entry.buffer_id));
}

static IOUserClient *
meeting_stream_new_user_client (IOService  *service,
                                GVariant   *options,
                                GError    **error)
{
  meet ("new-user-client");

  return IO_SERVICE_CLASS (meeting_stream_parent_class)->new_user_client (service, options, error);
}

static gboolean
meeting_stream_authorize (IOService    *service,
                          IOUserClient *client)
{
  meet ("authorize");

  return TRUE;
}

static gboolean
meeting_stream_handle_open (IOService     *service,
                            IOUserClient  *client,
                            guint          options,
                            GError       **error)
{
  gboolean opened = IO_SERVICE_CLASS (meeting_stream_parent_class)->handle_open (service, client, options, error);

  meet ("handle-open");

  return opened;
}

static void
meeting_stream_handle_close (IOService    *service,
                             IOUserClient *client,
                             guint         options)
{
  meet ("handle-close");
  IO_SERVICE_CLASS (meeting_stream_parent_class)->handle_close (service, client, options);
}

static void
meeting_stream_client_opened (IOService    *service,
                              IOUserClient *client)
{
  plan.n_opened++;
  meet ("client-opened");
}

static void
meeting_stream_client_closed (IOService    *service,
                              IOUserClient *client)
{
  plan.n_closed++;
  meet ("client-closed");
}

static void
meeting_stream_client_died (IOService    *service,
                            IOUserClient *client)
{
  meet ("client-died");
}

static void
meeting_stream_terminated (IOService *service)
{
  meet ("terminated");
}

static void
meeting_stream_notify (GObject    *object,
                       GParamSpec *pspec)
{
  meet ("owner-notify");
}

static void
meeting_stream_class_init (MeetingStreamClass *klass)
{
  IOServiceClass *service_class = IO_SERVICE_CLASS (klass);

  G_OBJECT_CLASS (klass)->notify = meeting_stream_notify;
  klass->start = meeting_stream_start;
  klass->stop = meeting_stream_stop;
  klass->suspend = meeting_stream_suspend;
  klass->set_mode = meeting_stream_set_mode;
  klass->input_callback = meeting_stream_input_callback;
  service_class->new_user_client = meeting_stream_new_user_client;
  service_class->authorize = meeting_stream_authorize;
  service_class->handle_open = meeting_stream_handle_open;
  service_class->handle_close = meeting_stream_handle_close;
  service_class->client_opened = meeting_stream_client_opened;
  service_class->client_closed = meeting_stream_client_closed;
  service_class->client_died = meeting_stream_client_died;
  service_class->terminated = meeting_stream_terminated;
}

static void
meeting_stream_init (MeetingStream *self)
{
}

static void
meet_cb (gpointer    object,
         gpointer    unused,
         const char *place)
{
  meet (place);
}

static void
meet_output_cb (IOStreamConnection *client,
                const char         *place)
{
  meet (place);
}

static void
new_client (void)
{
  plan.client = g_object_new (IO_TYPE_STREAM_CONNECTION, "service", plan.stream, NULL);
  g_signal_connect (plan.client, "output-available", G_CALLBACK (meet_output_cb), (gpointer) "output");
  g_signal_connect (plan.client, "disconnected", G_CALLBACK (meet_cb), (gpointer) "disconnected");
  g_signal_connect (plan.client, "notify", G_CALLBACK (meet_cb), (gpointer) "client-notify");
}

/* Each call is made while there is something to make it on. */
static void
run_round (void)
{
  if (plan.client != NULL)
    io_connection_open (IO_CONNECTION (plan.client), 0, NULL, NULL);
  if (plan.client != NULL)
    io_stream_connection_start (plan.client, NULL, NULL);
  for (guint i = 0; i < 3; i++)
    {
      if (plan.stream != NULL)
        send_one ();
      stream_util_settle ();
      if (plan.client != NULL)
        take_all ();
      stream_util_settle ();
    }
  if (plan.client != NULL)
    io_stream_connection_suspend (plan.client, NULL, NULL);
  if (plan.client != NULL)
    io_stream_connection_stop (plan.client, NULL, NULL);
  if (plan.client != NULL && plan.stream != NULL)
    io_stream_connection_set_mode (plan.client, io_stream_get_mode (plan.stream) == IO_STREAM_MODE_INPUT
                                   ? IO_STREAM_MODE_INPUT_OUTPUT : IO_STREAM_MODE_INPUT, NULL, NULL);
  if (plan.client != NULL)
    io_connection_close (IO_CONNECTION (plan.client), NULL, NULL);
}

static void
run_plan (const char *place,
          LocalDeed   deed)
{
  IOStream *stream;
  GObject *client;

  memset (&plan, 0, sizeof plan);
  stream = g_object_new (meeting_stream_get_type (), "mode", IO_STREAM_MODE_INPUT_OUTPUT, "buffer-count", 3,
                         "data-size", (guint64) 5000, NULL);
  g_object_add_weak_pointer (G_OBJECT (stream), (gpointer *) &stream);
  plan.stream = stream;
  new_client ();
  client = G_OBJECT (plan.client);
  g_object_add_weak_pointer (client, (gpointer *) &client);
  plan.place = place;
  plan.deed = deed;

  run_round ();
  run_round ();
  if (plan.client != NULL)
    io_connection_open (IO_CONNECTION (plan.client), 0, NULL, NULL);
  if (plan.client != NULL && g_strcmp0 (place, "client-died") == 0)
    io_connection_hang_up (IO_CONNECTION (plan.client));
  if (plan.stream != NULL)
    io_service_terminate (IO_SERVICE (plan.stream));
  stream_util_settle ();

  g_clear_object (&plan.client);
  g_clear_object (&plan.stream);
  stream_util_settle ();
  g_assert_null (client);
  g_assert_null (stream);
  g_assert_cmpint (plan.n_closed, ==, plan.n_opened);
}

static void
test_place (gconstpointer data)
{
  int n_met = 0;
  guint n_fds;

  g_main_context_iteration (NULL, FALSE);
  n_fds = count_fds ();
  for (LocalDeed deed = 0; deed < N_DEEDS; deed++)
    {
      g_test_message ("%s, deed %u", (const char *) data, deed);
      run_plan (data, deed);
      n_met += plan.n_met;
    }

  g_assert_cmpint (n_met, >, 0);
  g_assert_cmpuint (count_fds (), ==, n_fds);
}

/* --- waiting ---------------------------------------------------------------------- */

static gpointer
send_thread (gpointer data)
{
  for (guint8 i = 0; i < 50; i++)
    stream_util_send (data, i);

  return NULL;
}

/* Another thread may send, and this one wait for it. */
static void
test_wait (StreamPair    *pair,
           gconstpointer  data)
{
  GThread *thread;

  stream_util_tear_down (pair);
  pair->n_fds = count_fds ();
  pair->stream = stream_util_new_stream (NULL, IO_STREAM_MODE_OUTPUT, 64, 100, 0);
  pair->client = stream_util_open_stream (pair->stream);
  stream_util_start (pair->client);
  stream_util_assert_fails (io_stream_connection_wait (pair->client, 2000, NULL, err), IO_STREAM_ERROR_TIMEOUT);
  thread = g_thread_new ("send", send_thread, pair->stream);
  for (guint8 i = 0; i < 50; i++)
    {
      IOStreamBufferQueueEntry entry;

      stream_util_take (pair->client, i, &entry);
      stream_util_return (pair->client, &entry);
    }
  g_thread_join (thread);
}

/* --- and another process --------------------------------------------------------- */

static int
run_peer_client (void)
{
  g_autoptr (IOStreamConnection) client = NULL;
  g_autofree char *order = NULL;

  while ((order = peer_take_order ()) != NULL)
    {
      g_autoptr (GError) error = NULL;

      if (g_str_equal (order, "open"))
        {
          client = io_stream_connection_open_name ("test", NULL, &error);
          peer_say ("%d", error != NULL ? error->code : 0);
        }
      else
        {
          IOStreamBufferQueueEntry entry;

          stream_util_start (client);
          stream_util_take (client, 42, &entry);
          stream_util_return (client, &entry);
          stream_util_close (client);
          g_clear_object (&client);
          peer_say ("done");
        }
      g_free (g_steal_pointer (&order));
    }

  return 0;
}

/* Serves it until it has answered. */
static void
expect_served (StreamPair *pair,
               Peer       *peer,
               const char *line)
{
  struct pollfd poll_fd = { fileno (peer->answers), POLLIN, 0 };
  guint id = g_timeout_add (2, stream_util_tick_cb, NULL);

  while (poll (&poll_fd, 1, 0) == 0)
    {
      if (io_stream_get_state (pair->stream) == IO_STREAM_STATE_RUNNING &&
          io_stream_get_buffer_count (pair->stream) > 0 && pair->n_owner == 0)
        {
          stream_util_send (pair->stream, 42);
          pair->n_owner++;
        }
      g_main_context_iteration (NULL, TRUE);
    }
  g_source_remove (id);
  peer_expect (peer, line);
}

/* One after the other, and neither disturbs the other. */
static void
test_beside_process (StreamPair    *pair,
                     gconstpointer  data)
{
  g_autofree char *refused = g_strdup_printf ("%d", IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  Peer *peer = peer_spawn (-1, -1, "client", NULL);
  IOStreamBufferQueueEntry entry;

  stream_util_start (pair->client);
  stream_util_send (pair->stream, 7);
  peer_order (peer, "open");
  pair->n_owner = 1;
  expect_served (pair, peer, refused);
  stream_util_take (pair->client, 7, &entry);
  stream_util_return (pair->client, &entry);
  stream_util_close (pair->client);

  pair->n_owner = 0;
  for (guint i = 0; i < 3; i++)
    {
      peer_order (peer, "open");
      expect_served (pair, peer, "0");
      stream_util_assert_fails (io_connection_open (IO_CONNECTION (pair->client), 0, NULL, err),
                                IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
      peer_order (peer, "exchange");
      pair->n_owner = 0;
      expect_served (pair, peer, "done");

      stream_util_iterate_until (!io_service_is_open (IO_SERVICE (pair->stream), NULL));
      open_now (IO_CONNECTION (pair->client));
      stream_util_start (pair->client);
      stream_util_send (pair->stream, 8);
      stream_util_take (pair->client, 8, &entry);
      stream_util_return (pair->client, &entry);
      stream_util_close (pair->client);
    }
  peer_finish (peer);
}

static void
set_up_pair (StreamPair    *pair,
             gconstpointer  data)
{
  test_stream_set_up (pair, IO_STREAM_MODE_OUTPUT);
}

static void
tear_down_pair (StreamPair    *pair,
                gconstpointer  data)
{
  stream_util_tear_down (pair);
}

int
main (int   argc,
      char *argv[])
{
  char *dir;
  int status;

  *peer_program () = argv[0];
  if (argc > 2 && g_str_equal (argv[1], "--peer"))
    {
      peer_begin ();
      return run_peer_client ();
    }

  g_setenv ("IOSTREAM_TEST_LOCAL", "1", TRUE);
  g_test_init (&argc, &argv, NULL);
  /* what it opens for good */
  g_type_ensure (G_TYPE_TASK);
  dir = stream_util_make_runtime_dir ();

#define ADD(path, data, func) g_test_add ("/connection-local/" path, Fixture, data, set_up, func, tear_down)
#define ADD_PAIR(path, func) g_test_add ("/connection-local/" path, StreamPair, NULL, set_up_pair, func, tear_down_pair)
  ADD ("direct", NULL, test_direct);
  ADD ("hang-up", NULL, test_hang_up);
  ADD ("drop", NULL, test_drop);
  ADD ("no-cycle", NULL, test_no_cycle);
  ADD ("many-calls", NULL, test_many_calls);
  ADD ("many-connections", NULL, test_many_connections);
  ADD ("cancelled", NULL, test_cancelled);
  ADD ("descriptors", NULL, test_descriptors);
  ADD ("refused", NULL, test_refused);
  ADD ("no-service", NULL, test_no_service);
  ADD ("terminated/unseen", GINT_TO_POINTER (FALSE), test_terminated);
  ADD ("terminated/seen", GINT_TO_POINTER (TRUE), test_terminated);
  ADD ("async-first", NULL, test_async_first);
  ADD ("other-thread", NULL, test_other_thread);
  ADD ("fork", NULL, test_fork);
  ADD_PAIR ("call-in-method", test_call_in_method);
  ADD_PAIR ("end-in-method", test_end_in_method);
  ADD_PAIR ("connect-in-authorize", test_connect_in_authorize);
  ADD_PAIR ("wait", test_wait);
  ADD_PAIR ("beside-process", test_beside_process);
  g_test_add_func ("/connection-local/work-loop", test_work_loop);
  g_test_add_func ("/connection-local/depth", test_depth);
  for (guint i = 0; i < G_N_ELEMENTS (places); i++)
    {
      g_autofree char *path = g_strdup_printf ("/connection-local/place/%s", places[i]);

      g_test_add_data_func (path, places[i], test_place);
    }

  status = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return status;
}
