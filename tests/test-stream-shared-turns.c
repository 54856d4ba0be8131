/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "stream-util.h"

#include "libiostream/io-stream-private.h"

/* Clients that share a stream come, go and change their minds while it is busy
 * with what another one wanted. Owner and clients are one thread, so that each
 * thing happens where it is said to. */

#define N_CLIENTS 4

typedef enum {
  WHEN_START,
  WHEN_STOP,
  WHEN_SUSPEND,
  WHEN_TOLD,
  WHEN_OPENED,
  WHEN_CLOSED,
  N_WHENS
} When;

typedef struct {
  IOStream           *stream;
  IOStreamConnection *clients[N_CLIENTS];
  IOUserClient       *opened[N_CLIENTS];    /* as they were opened */
  guint               n_opened;
  GString            *log;           /* the methods, in their order */
  When                when;
  void              (*deed) (void);  /* done once */
  gboolean            fails;
} World;

static World world;

static gboolean
meet (When when)
{
  static const char letters[] = "+-~";
  void (*deed) (void) = world.deed;

  if (when <= WHEN_SUSPEND)
    g_string_append_c (world.log, letters[when]);
  if (deed == NULL || when != world.when)
    return TRUE;

  world.deed = NULL;
  deed ();

  return !world.fails;
}

typedef IOStream TurnStream;
typedef IOStreamClass TurnStreamClass;

static GType turn_stream_get_type (void);
G_DEFINE_TYPE (TurnStream, turn_stream, IO_TYPE_STREAM)

static gboolean
turn_start (IOStream  *stream,
            GError   **error)
{
  return meet (WHEN_START);
}

static gboolean
turn_stop (IOStream  *stream,
           GError   **error)
{
  return meet (WHEN_STOP);
}

static gboolean
turn_suspend (IOStream  *stream,
              GError   **error)
{
  return meet (WHEN_SUSPEND);
}

static void
turn_opened (IOService    *service,
             IOUserClient *client)
{
  if (world.n_opened < N_CLIENTS)
    world.opened[world.n_opened++] = client;
  meet (WHEN_OPENED);
}

static void
turn_closed (IOService    *service,
             IOUserClient *client)
{
  meet (WHEN_CLOSED);
}

static void
turn_stream_class_init (TurnStreamClass *klass)
{
  klass->start = turn_start;
  klass->stop = turn_stop;
  klass->suspend = turn_suspend;
  IO_SERVICE_CLASS (klass)->client_opened = turn_opened;
  IO_SERVICE_CLASS (klass)->client_closed = turn_closed;
}

static void
turn_stream_init (TurnStream *self)
{
}

static void
told_cb (IOStream   *stream,
         GParamSpec *pspec,
         gpointer    data)
{
  meet (WHEN_TOLD);
}

static void
set_up (gpointer      *fixture,
        gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  memset (&world, 0, sizeof world);
  world.log = g_string_new (NULL);
  world.stream = g_initable_new (turn_stream_get_type (), NULL, &error, "name", "turns", "buffer-count", 8,
                                 "data-size", (guint64) 64, NULL);
  g_assert_no_error (error);
  g_signal_connect (world.stream, "notify::state", G_CALLBACK (told_cb), NULL);
  for (guint i = 0; i < N_CLIENTS; i++)
    {
      world.clients[i] = io_stream_connection_new_for_stream (world.stream, &error);
      g_assert_no_error (error);
    }
}

static void
tear_down (gpointer      *fixture,
           gconstpointer  data)
{
  for (guint i = 0; i < N_CLIENTS; i++)
    if (world.clients[i] != NULL)
      {
        io_connection_hang_up (IO_CONNECTION (world.clients[i]));
        stream_util_settle ();
        g_assert_finalize_object (world.clients[i]);
      }
  io_service_terminate (IO_SERVICE (world.stream));
  stream_util_settle ();
  g_assert_finalize_object (world.stream);
  g_string_free (world.log, TRUE);
}

static void
open_one (guint i)
{
  stream_util_assert_works (io_connection_open (IO_CONNECTION (world.clients[i]), IO_STREAM_OPEN_SHARED, NULL, err));
}

static void
run_one (guint i)
{
  open_one (i);
  stream_util_start (world.clients[i]);
}

static void
suspend_one (guint i)
{
  run_one (i);
  stream_util_assert_works (io_stream_connection_suspend (world.clients[i], NULL, err));
}

static void
close_one (guint i)
{
  stream_util_close (world.clients[i]);
}

/* What the owner can do in its methods, and clients cannot. */
static void
expel (guint i)
{
  io_service_close (IO_SERVICE (world.stream), world.opened[i], 0);
}

static void
do_at (When   when,
       void (*deed) (void))
{
  g_string_truncate (world.log, 0);
  world.when = when;
  world.deed = deed;
}

/* All that can be seen of the state says the same. */
static void
assert_state (IOStreamState  state,
              const char    *name)
{
  g_autoptr (GVariant) attribute = NULL;

  stream_util_settle ();
  g_assert_null (world.deed);
  g_assert_cmpint (io_stream_get_state (world.stream), ==, state);
  attribute = io_service_get_attribute (IO_SERVICE (world.stream), "state");
  g_assert_cmpstr (g_variant_get_string (attribute, NULL), ==, name);
}

static void
assert_client (guint         i,
               IOStreamState state)
{
  g_assert_cmpint (io_stream_connection_get_state (world.clients[i]), ==, state);
}

static void
expel_second (void)
{
  expel (1);
}

static void
open_third (void)
{
  open_one (2);
}

/* The method for the one that is suspended runs when that leaves too. */
static void
test_leaves_in_suspend (gpointer      *fixture,
                        gconstpointer  data)
{
  run_one (0);
  suspend_one (1);
  do_at (WHEN_SUSPEND, expel_second);
  close_one (0);
  assert_state (IO_STREAM_STATE_CLOSED, "closed");
  g_assert_cmpstr (world.log->str, ==, "~-");
}

/* The same, when it is the first that changes its mind. */
static void
test_leaves_in_change (gpointer      *fixture,
                       gconstpointer  data)
{
  run_one (0);
  suspend_one (1);
  open_one (2);
  do_at (WHEN_SUSPEND, expel_second);
  stream_util_assert_works (io_stream_connection_stop (world.clients[0], NULL, err));
  assert_state (IO_STREAM_STATE_STOPPED, "stopped");
  assert_client (0, IO_STREAM_STATE_STOPPED);
  assert_client (2, IO_STREAM_STATE_STOPPED);
  g_assert_cmpstr (world.log->str, ==, "~-");
}

static void
expel_both (void)
{
  expel (0);
  world.when = WHEN_SUSPEND;
  world.deed = expel_second;
}

/* Who started it leaves meanwhile, and then the one for whom it was suspended. */
static void
test_leaves_in_turn (gpointer      *fixture,
                     gconstpointer  data)
{
  open_one (0);
  suspend_one (1);
  open_one (2);
  do_at (WHEN_START, expel_both);
  g_assert_false (io_stream_connection_start (world.clients[0], NULL, NULL));
  assert_state (IO_STREAM_STATE_STOPPED, "stopped");
  g_assert_cmpstr (world.log->str, ==, "+~-");
}

/* What was only tried is not told for good. */
static void
test_joins_in_failure (gpointer      *fixture,
                       gconstpointer  data)
{
  open_one (0);
  do_at (WHEN_START, open_third);
  world.fails = TRUE;
  stream_util_assert_fails (io_stream_connection_start (world.clients[0], NULL, err), IO_STREAM_ERROR_FAILED);
  world.fails = FALSE;
  assert_state (IO_STREAM_STATE_STOPPED, "stopped");
  assert_client (0, IO_STREAM_STATE_STOPPED);
  assert_client (2, IO_STREAM_STATE_STOPPED);
  stream_util_start (world.clients[0]);
  assert_client (2, IO_STREAM_STATE_STOPPED);
}

static void
test_leaves_in_failure (gpointer      *fixture,
                        gconstpointer  data)
{
  open_one (0);
  open_one (1);
  do_at (WHEN_START, expel_second);
  world.fails = TRUE;
  stream_util_assert_fails (io_stream_connection_start (world.clients[0], NULL, err), IO_STREAM_ERROR_FAILED);
  world.fails = FALSE;
  assert_state (IO_STREAM_STATE_STOPPED, "stopped");
  assert_client (0, IO_STREAM_STATE_STOPPED);
}

static void
resume (void)
{
  stream_util_assert_works (io_stream_start (world.stream, err));
}

static void
message_cb (IOConnection *connection,
            guint         type,
            GVariant     *argument,
            gpointer      data)
{
  if (type == IO_SERVICE_MESSAGE_SUSPENDED || type == IO_SERVICE_MESSAGE_RESUMED)
    *(guint *) data = type;
}

/* The last message says how it is. */
static void
test_resumes_when_told (gpointer      *fixture,
                        gconstpointer  data)
{
  guint last = 0;

  run_one (0);
  run_one (1);
  g_signal_connect (world.clients[0], "service-message", G_CALLBACK (message_cb), &last);
  do_at (WHEN_TOLD, resume);
  stream_util_assert_works (io_stream_suspend (world.stream, err));
  assert_state (IO_STREAM_STATE_RUNNING, "running");
  assert_client (0, IO_STREAM_STATE_RUNNING);
  assert_client (1, IO_STREAM_STATE_RUNNING);
  g_assert_cmpuint (last, !=, IO_SERVICE_MESSAGE_SUSPENDED);
}

/* The owner closes a client where it hears of it: nobody else notices. */
static void
test_closed_when_opened (gpointer      *fixture,
                         gconstpointer  data)
{
  run_one (0);
  do_at (WHEN_OPENED, expel_second);
  stream_util_assert_fails (io_connection_open (IO_CONNECTION (world.clients[1]), IO_STREAM_OPEN_SHARED, NULL, err),
                            IO_STREAM_ERROR_ABORTED);
  assert_state (IO_STREAM_STATE_RUNNING, "running");
  assert_client (0, IO_STREAM_STATE_RUNNING);
  open_one (1);
}

/* One that waits for a buffer hears of it when the client that blocks no
 * longer runs, though the stream goes on. */

typedef struct {
  GThread  *thread;
  IOStream *stream;
  gboolean  found;
} Waiter;

static gpointer
wait_thread (gpointer data)
{
  Waiter *waiter = data;

  stream_util_assert_works (io_stream_wait_buffer (waiter->stream, -1, NULL, err));

  return NULL;
}

/* Now it sleeps: it gives the lock away only for that. */
static void
start_waiting (Waiter   *waiter,
               IOStream *stream)
{
  IOStreamPrivate *priv = _io_stream_get_private (stream);

  waiter->stream = stream;
  waiter->thread = g_thread_new ("waiter", wait_thread, waiter);
  while (priv->n_waiters == 0)
    g_thread_yield ();
  g_mutex_lock (&priv->lock);
  g_mutex_unlock (&priv->lock);
}

static void
test_waits (gconstpointer stops)
{
  IOWorkLoop *loop = io_work_loop_new ("owner");
  g_autoptr (GError) error = NULL;
  IOStreamConnection *clients[2];
  IOStreamBufferQueueEntry entry;
  Waiter waiter = { 0, };

  IOStream *stream = stream_util_new_stream (loop, IO_STREAM_MODE_OUTPUT, 8, 64, 0);
  for (guint i = 0; i < 2; i++)
    {
      clients[i] = io_stream_connection_new_for_name ("test", NULL, &error);
      g_assert_no_error (error);
      stream_util_assert_works (io_connection_open (IO_CONNECTION (clients[i]), IO_STREAM_OPEN_SHARED, NULL, err));
      stream_util_start (clients[i]);
    }
  for (guint i = 0; i < 4; i++)
    {
      stream_util_send (stream, (guint8) i);
      stream_util_take (clients[0], (guint8) i, &entry);
      stream_util_return (clients[0], &entry);
    }

  start_waiting (&waiter, stream);
  if (stops)
    stream_util_assert_works (io_stream_connection_stop (clients[1], NULL, err));
  else
    stream_util_assert_works (io_stream_connection_suspend (clients[1], NULL, err));
  g_thread_join (waiter.thread);

  for (guint i = 0; i < 2; i++)
    {
      io_connection_hang_up (IO_CONNECTION (clients[i]));
      stream_util_settle ();
      g_assert_finalize_object (clients[i]);
    }
  io_service_terminate (IO_SERVICE (stream));
  io_work_loop_shut_down (loop);
  g_assert_finalize_object (stream);
  g_assert_finalize_object (loop);
}

#define ADD(name, func) g_test_add ("/stream-shared-turns/" name, gpointer, NULL, set_up, func, tear_down)

int
main (int    argc,
      char **argv)
{
  char *dir;
  int result;

  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();
  ADD ("leaves-in-suspend", test_leaves_in_suspend);
  ADD ("leaves-in-change", test_leaves_in_change);
  ADD ("leaves-in-turn", test_leaves_in_turn);
  ADD ("joins-in-failure", test_joins_in_failure);
  ADD ("leaves-in-failure", test_leaves_in_failure);
  ADD ("resumes-when-told", test_resumes_when_told);
  ADD ("closed-when-opened", test_closed_when_opened);
  g_test_add_data_func ("/stream-shared-turns/waits/suspend", NULL, test_waits);
  g_test_add_data_func ("/stream-shared-turns/waits/stop", GINT_TO_POINTER (TRUE), test_waits);
  result = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return result;
}
