/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Services whose clients are processes that die, stand still, or do not want
 * to leave. */

#include "clock-util.h"
#include "peer-process.h"

#include "libiostream/io-service-private.h"

#define NAME "one"

/* A service that any number can have open. */

typedef struct {
  IOService  parent_instance;
  GPtrArray *holders;   /* of IOUserClient */
} Hall;

typedef IOServiceClass HallClass;

static GType hall_get_type (void);

G_DEFINE_TYPE (Hall, hall, IO_TYPE_SERVICE)

static gboolean
hall_handle_open (IOService     *service,
                  IOUserClient  *client,
                  guint          options,
                  GError       **error)
{
  g_ptr_array_add (((Hall *) service)->holders, g_object_ref (client));
  return TRUE;
}

static void
hall_handle_close (IOService    *service,
                   IOUserClient *client,
                   guint         options)
{
  g_ptr_array_remove (((Hall *) service)->holders, client);
}

static gboolean
hall_handle_is_open (IOService    *service,
                     IOUserClient *client)
{
  GPtrArray *holders = ((Hall *) service)->holders;

  return client == NULL ? holders->len > 0 : g_ptr_array_find (holders, client, NULL);
}

static void
hall_finalize (GObject *object)
{
  g_assert_cmpuint (((Hall *) object)->holders->len, ==, 0);
  g_ptr_array_unref (((Hall *) object)->holders);
  G_OBJECT_CLASS (hall_parent_class)->finalize (object);
}

static void
hall_class_init (HallClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = hall_finalize;
  klass->handle_open = hall_handle_open;
  klass->handle_close = hall_handle_close;
  klass->handle_is_open = hall_handle_is_open;
}

static void
hall_init (Hall *self)
{
  self->holders = g_ptr_array_new_with_free_func (g_object_unref);
}

/* The owner, served by a thread, so that this one can wait for others. */

typedef struct {
  IOWorkLoop *loop;
  IOService  *service;
  guint       n_fds;
  GString    *log;       /* in the thread of the service */
} Fixture;

static void
closed_cb (IOService    *service,
           IOUserClient *client,
           gpointer      user_data)
{
  g_string_append_printf (user_data, "-%d ", io_user_client_get_pid (client));
}

static void
terminated_cb (IOService *service,
               gpointer   user_data)
{
  g_string_append (user_data, "end");
}

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  GType type = GPOINTER_TO_SIZE (data) != 0 ? hall_get_type () : IO_TYPE_SERVICE;

  g_main_context_iteration (NULL, FALSE);
  /* the first task has GLib start a thread for good */
  g_object_unref (g_task_new (NULL, NULL, NULL, NULL));
  fixture->n_fds = count_open_fds ();
  fixture->loop = io_work_loop_new ("owner");
  fixture->log = g_string_new (NULL);
  fixture->service = g_object_new (type, "name", NAME, "work-loop", fixture->loop, NULL);
  g_signal_connect (fixture->service, "client-closed", G_CALLBACK (closed_cb), fixture->log);
  g_signal_connect (fixture->service, "terminated", G_CALLBACK (terminated_cb), fixture->log);
  stream_util_assert_works (io_service_register (fixture->service, err));
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  io_service_terminate (fixture->service);
  io_work_loop_shut_down (fixture->loop);
  stream_util_settle ();
  g_assert_finalize_object (fixture->service);
  g_assert_finalize_object (fixture->loop);
  g_string_free (fixture->log, TRUE);
  g_assert_cmpuint (count_open_fds (), ==, fixture->n_fds);
}

/* The clients. */

static void
message_cb (IOConnection *connection,
            guint         type,
            GVariant     *argument,
            gpointer      closes)
{
  peer_say ("%x", type);
  if (type == IO_SERVICE_MESSAGE_REQUESTING_CLOSE && closes != NULL)
    io_connection_close (connection, NULL, NULL);
}

static void
disconnected_cb (IOConnection *connection,
                 const GError *error,
                 gpointer      loop)
{
  peer_say ("end %d", error != NULL ? error->code : 0);
  g_main_loop_quit (loop);
}

/* Says what it hears. */
static int
run_client (gboolean opens,
            gboolean closes)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (IOConnection) connection = NULL;

  stream_util_assert_works (connection = io_connection_new_for_name (NAME, NULL, err));
  g_signal_connect (connection, "service-message", G_CALLBACK (message_cb), GINT_TO_POINTER (closes));
  g_signal_connect (connection, "disconnected", G_CALLBACK (disconnected_cb), loop);
  if (opens)
    stream_util_assert_works (io_connection_open (connection, 0, NULL, err));
  peer_say ("ready");
  g_main_loop_run (loop);

  return 0;
}

static int
run_seizer (void)
{
  g_autoptr (IOConnection) connection = NULL;
  g_autoptr (GError) error = NULL;
  gint64 since;

  stream_util_assert_works (connection = io_connection_new_for_name (NAME, NULL, err));
  io_connection_set_timeout (connection, -1);
  since = g_get_monotonic_time ();
  if (io_connection_open (connection, IO_SERVICE_OPEN_SEIZE, NULL, &error))
    peer_say ("open");
  else
    peer_say ("%d %s", error->code,
              g_get_monotonic_time () - since < STREAM_UTIL_TIMEOUT ? "soon" : "late");
  g_free (peer_take_order ());

  return 0;
}

static void
published_cb (IORegistry      *registry,
              IORegistryEntry *entry,
              gpointer         user_data)
{
  if (g_strcmp0 (io_registry_entry_get_name (entry), NAME) == 0)
    peer_say ("published");
}

static int
run_watcher (void)
{
  g_autoptr (IORegistry) registry = NULL;

  stream_util_assert_works (registry = io_registry_new (NULL, err));
  g_signal_connect (registry, "published", G_CALLBACK (published_cb), NULL);
  peer_say ("ready");
  for (;;)
    g_main_context_iteration (NULL, TRUE);

  return 0;
}

static Peer *
start (const char *role)
{
  Peer *peer = peer_spawn (-1, -1, role, NULL);

  peer_expect (peer, "ready");

  return peer;
}

/* Whoever has it open never answers: the one that seizes waits no longer than
 * the owner says. */
static void
test_seize_bounded (Fixture       *fixture,
                    gconstpointer  data)
{
  Peer *holder = start ("stay");
  Peer *seizer;

  io_service_set_close_timeout (fixture->service, 50 * 1000);
  peer_freeze (holder);
  seizer = peer_spawn (-1, -1, "seize", NULL);
  peer_expect (seizer, "8 soon");
  peer_kill (seizer);
  peer_thaw (holder);
  peer_expect (holder, "101");
  peer_expect (holder, "100");
  peer_kill (holder);
}

static void
test_seize_deaths (Fixture       *fixture,
                   gconstpointer  data)
{
  Peer *holder = start ("stay");
  Peer *first, *second;

  io_service_set_close_timeout (fixture->service, -1);
  first = peer_spawn (-1, -1, "seize", NULL);
  peer_expect (holder, "101");
  peer_expect (holder, "100");
  peer_kill (first);

  first = peer_spawn (-1, -1, "seize", NULL);
  peer_expect (holder, "101");
  peer_expect (holder, "100");
  second = peer_spawn (-1, -1, "seize", NULL);
  peer_expect (holder, "101");
  peer_expect (holder, "100");
  peer_kill (holder);
  peer_expect (first, "open");
  peer_kill (first);
  peer_expect (second, "open");
  peer_kill (second);
}

static void
test_register_again (Fixture       *fixture,
                     gconstpointer  data)
{
  Peer *watcher = peer_spawn (-1, -1, "watch", NULL);
  g_autofree char *line = peer_read (watcher);

  /* what exists already may be told before it is ready, or after */
  if (strcmp (line, "ready") == 0)
    peer_expect (watcher, "published");
  else
    peer_expect (watcher, "ready");
  for (guint i = 0; i < 3; i++)
    {
      stream_util_assert_works (io_service_register (fixture->service, err));
      peer_expect (watcher, "published");
    }
  peer_kill (watcher);
}

static void
ended_cb (GObject      *object,
          GAsyncResult *result,
          gpointer      user_data)
{
  stream_util_assert_works (io_service_terminate_finish (IO_SERVICE (object), result, err));
  *(gboolean *) user_data = TRUE;
}

/* One goes, one stays, one stands still, and one does not have it open: nobody
 * waits for another, and the end is bounded. */
static void
test_terminate (Fixture       *fixture,
                gconstpointer  data)
{
  Peer *goes = start ("go");
  Peer *stays = start ("stay");
  Peer *frozen = start ("stay");
  Peer *idle = start ("idle");
  g_autofree char *first = g_strdup_printf ("-%d ", goes->pid);
  gboolean done = FALSE;

  /* those that came later were announced */
  peer_expect (goes, "101");
  peer_expect (goes, "101");
  peer_expect (stays, "101");
  peer_freeze (frozen);
  io_service_set_close_timeout (fixture->service, 300 * 1000);
  io_service_terminate_async (fixture->service, NULL, ended_cb, &done);
  peer_expect (goes, "10");
  peer_expect (goes, "100");
  peer_expect (goes, "end 0");
  peer_expect (idle, "10");
  peer_expect (idle, "end 0");
  peer_expect (stays, "10");
  peer_expect (stays, "100");
  peer_expect (stays, "end 0");
  stream_util_iterate_until (done);
  g_assert_true (g_str_has_prefix (fixture->log->str, first));
  g_assert_true (g_str_has_suffix (fixture->log->str, " end"));

  peer_thaw (frozen);
  peer_expect (frozen, "10");
  peer_expect (frozen, "100");
  peer_expect (frozen, "end 0");
  peer_finish (goes);
  peer_finish (stays);
  peer_finish (idle);
  peer_finish (frozen);
}

/* Whoever else is connected hears of a stream that pauses; of many changes, at
 * least the last. */
static void
test_suspend (void)
{
  g_autoptr (IOWorkLoop) loop = io_work_loop_new ("owner");
  g_autoptr (IOStream) stream = NULL;
  g_autoptr (IOStreamConnection) client = NULL;
  g_autofree char *line = NULL;
  Peer *observer;
  guint n = 0;

  stream = g_object_new (IO_TYPE_STREAM, "name", NAME, "work-loop", loop, NULL);
  stream_util_assert_works (io_service_register (IO_SERVICE (stream), err));
  observer = start ("idle");
  stream_util_assert_works (client = io_stream_connection_new_for_name (NAME, NULL, err));
  stream_util_assert_works (io_connection_open (IO_CONNECTION (client), 0, NULL, err));
  peer_expect (observer, "101");
  stream_util_assert_works (io_stream_connection_start (client, NULL, err));
  stream_util_assert_works (io_stream_connection_suspend (client, NULL, err));
  peer_expect (observer, "20");
  stream_util_assert_works (io_stream_connection_start (client, NULL, err));
  peer_expect (observer, "30");

  stop_clock ();
  for (guint i = 0; i < 300; i++)
    {
      stream_util_assert_works (io_stream_connection_suspend (client, NULL, err));
      if (i < 299)
        stream_util_assert_works (io_stream_connection_start (client, NULL, err));
    }
  resume_clock ();
  io_connection_hang_up (IO_CONNECTION (client));
  stream_util_settle ();
  do
    {
      g_free (line);
      line = peer_read (observer);
      n++;
    }
  while (strcmp (line, "110") != 0);
  g_assert_cmpuint (n, <=, 250);

  io_service_terminate (IO_SERVICE (stream));
  peer_expect (observer, "10");
  peer_expect (observer, "end 0");
  peer_finish (observer);
  io_work_loop_shut_down (loop);
}

/* Another thread waits. */

static gpointer
wait_thread (gpointer data)
{
  return GINT_TO_POINTER (io_service_wait_quiet (data, 20 * G_USEC_PER_SEC, NULL, NULL));
}

static gpointer
wait_cancelled_thread (gpointer data)
{
  gpointer *both = data;
  g_autoptr (GError) error = NULL;

  g_assert_false (io_service_wait_quiet (both[0], -1, both[1], &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);

  return NULL;
}

static gboolean
wait_own_cb (gpointer user_data)
{
  stream_util_assert_fails (io_service_wait_quiet (user_data, -1, NULL, err),
                            IO_STREAM_ERROR_CANNOT_LOCK);
  return TRUE;
}

static void
test_wait_quiet (Fixture       *fixture,
                 gconstpointer  data)
{
  GThread *threads[4];
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  gpointer both[2] = { fixture->service, cancellable };
  GThread *cancelled;

  io_service_adjust_busy (fixture->service, 2);
  stream_util_assert_fails (io_service_wait_quiet (fixture->service, 1000, NULL, err), IO_STREAM_ERROR_TIMEOUT);
  io_work_loop_run_action (fixture->loop, wait_own_cb, fixture->service);
  cancelled = g_thread_new ("cancelled", wait_cancelled_thread, both);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("waiter", wait_thread, fixture->service);
  g_cancellable_cancel (cancellable);
  g_thread_join (cancelled);
  io_service_adjust_busy (fixture->service, -1);
  g_assert_cmpuint (io_service_get_busy_state (fixture->service), ==, 1);
  io_service_adjust_busy (fixture->service, -1);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_assert_true (GPOINTER_TO_INT (g_thread_join (threads[i])));
}

int
main (int    argc,
      char **argv)
{
  g_autofree char *directory = NULL;
  int result;

  *peer_program () = argv[0];
  if (argc >= 3 && strcmp (argv[1], "--peer") == 0)
    {
      peer_begin ();
      if (strcmp (argv[2], "seize") == 0)
        return run_seizer ();
      if (strcmp (argv[2], "watch") == 0)
        return run_watcher ();
      return run_client (strcmp (argv[2], "idle") != 0, strcmp (argv[2], "go") == 0);
    }

  g_test_init (&argc, &argv, NULL);
  directory = g_dir_make_tmp ("io-XXXXXX", NULL);
  g_setenv ("IOSTREAM_RUNTIME_DIR", directory, TRUE);

#define ADD(name, data, func) \
  g_test_add ("/service-processes/" name, Fixture, GINT_TO_POINTER (data), set_up, func, tear_down)
  ADD ("seize-bounded", FALSE, test_seize_bounded);
  ADD ("seize-deaths", FALSE, test_seize_deaths);
  ADD ("register-again", FALSE, test_register_again);
  ADD ("terminate", TRUE, test_terminate);
  ADD ("wait-quiet", FALSE, test_wait_quiet);
  g_test_add_func ("/service-processes/suspend", test_suspend);
  result = g_test_run ();

  /* Nothing is left behind. */
  g_assert_cmpint (g_rmdir (directory), ==, 0);

  return result;
}
