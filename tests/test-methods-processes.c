/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Methods and actions between two processes, either of which is killed. */

#include "peer-process.h"

#include "methods-util.h"

#include <glib-unix.h>

/* Serves until its orders end; "complete", "drop" and "count" are about what it
 * keeps. */
static gboolean
order_cb (gint         fd,
          GIOCondition condition,
          gpointer     user_data)
{
  MethodsService *service = user_data;
  g_autofree char *order = peer_take_order ();

  if (order == NULL)
    {
      g_main_context_wakeup (NULL);
      service->n_traps = -1;
      return G_SOURCE_REMOVE;
    }
  if (strcmp (order, "complete") == 0)
    {
      IOAction *action = g_ptr_array_index (service->kept, 0);
      g_autoptr (GBytes) large = methods_new_bytes (300000);

      for (guint32 i = 1; i <= 10; i++)
        io_action_report_progress (action, g_variant_new_uint32 (i), NULL);
      g_assert_true (io_action_complete (action, NULL, 0, large, NULL));
      g_ptr_array_remove_index (service->kept, 0);
    }
  peer_say ("kept %u aborted %d died %d closed %d", service->kept->len, service->n_aborted,
            service->n_died, service->n_closed);

  return G_SOURCE_CONTINUE;
}

static int
run_owner (char **argv)
{
  MethodsService *service = methods_new_registered (argv[0], NULL);

  g_unix_fd_add (STDIN_FILENO, G_IO_IN | G_IO_HUP, order_cb, service);
  peer_say ("ready");
  while (service->n_traps >= 0)
    g_main_context_iteration (NULL, TRUE);
  io_service_terminate (IO_SERVICE (service));
  g_ptr_array_set_size (service->kept, 0);
  g_assert_finalize_object (service);

  return 0;
}

/* Makes calls that are kept, and is killed. */
static int
run_client (char **argv)
{
  IOConnection *connection = io_connection_new_for_name (argv[0], NULL, NULL);
  MethodsAnswer answer = { 0 };

  g_assert_true (io_connection_open (connection, 0, NULL, NULL));
  for (guint i = 0; i < 5; i++)
    methods_start (connection, METHOD_KEEP, NULL, 0, NULL, NULL, &answer);
  g_assert_true (io_connection_trap (connection, 0, 0, NULL, NULL));
  peer_say ("waiting");
  while (TRUE)
    g_main_context_iteration (NULL, TRUE);

  return 0;
}

typedef struct {
  Peer         *owner;
  IOConnection *connection;
} Fixture;

static void
set_up (Fixture       *f,
        gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  f->owner = peer_spawn (-1, -1, "owner", "lens", NULL);
  peer_expect (f->owner, "ready");
  f->connection = io_connection_new_for_name ("lens", NULL, &error);
  g_assert_no_error (error);
}

static void
tear_down (Fixture       *f,
           gconstpointer  data)
{
  io_connection_hang_up (f->connection);
  stream_util_settle ();
  g_assert_finalize_object (f->connection);
  if (f->owner != NULL)
    g_assert_cmpint (peer_reap (f->owner), ==, 0);
}

static void
test_calls (Fixture       *f,
            gconstpointer  data)
{
  guint n = g_getenv ("IOSTREAM_TEST_VALGRIND") != NULL ? 20 : 300;

  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GBytes) structure = methods_new_bytes (i * 57);
      g_autoptr (GBytes) back = NULL;
      g_autofree guint64 *scalars = NULL;
      g_autoptr (GError) error = NULL;
      guint64 number = i;
      guint n_scalars;

      g_assert_true (io_connection_call_method (f->connection, METHOD_ECHO, &number, 1, structure, 1, ANY,
                                                &scalars, &n_scalars, &back, NULL, &error));
      g_assert_no_error (error);
      g_assert_cmpuint (scalars[0], ==, i);
      g_assert_true (g_bytes_equal (structure, back));
    }
}

static void
test_action (Fixture       *f,
             gconstpointer  data)
{
  g_auto (MethodsAnswer) answer = { 0 };

  methods_start (f->connection, METHOD_KEEP, NULL, 0, NULL, NULL, &answer);
  stream_util_assert_works (io_connection_trap (f->connection, 0, 0, NULL, err));
  peer_order (f->owner, "complete");
  methods_finish (&answer);
  g_assert_no_error (answer.error);
  g_assert_cmpuint (answer.n_progress, ==, 10);
  g_assert_cmpuint (g_bytes_get_size (answer.structure), ==, 300000);
  peer_expect (f->owner, "kept 0 aborted 0 died 0 closed 0");
}

/* It hears of all five, and of its death once; another client of nothing. */
static void
test_client_killed (Fixture       *f,
                    gconstpointer  data)
{
  Peer *client = peer_spawn (-1, -1, "client", "lens", NULL);
  g_auto (MethodsAnswer) answer = { 0 };
  g_autofree char *line = NULL;

  peer_expect (client, "waiting");
  methods_start (f->connection, METHOD_KEEP, NULL, 0, NULL, NULL, &answer);
  stream_util_assert_works (io_connection_trap (f->connection, 0, 0, NULL, err));
  peer_order (f->owner, "count");
  peer_expect (f->owner, "kept 6 aborted 0 died 0 closed 0");
  kill (client->pid, SIGKILL);
  peer_reap (client);
  do
    {
      g_clear_pointer (&line, g_free);
      peer_order (f->owner, "count");
      line = peer_read (f->owner);
    }
  while (strcmp (line, "kept 6 aborted 0 died 0 closed 0") == 0);
  g_assert_cmpstr (line, ==, "kept 6 aborted 5 died 1 closed 0");

  stream_util_settle ();
  g_assert_false (answer.done);
  io_connection_hang_up (f->connection);
  methods_finish (&answer);
}

/* A killed owner leaves its name behind, for the next one to take. */
static void
remove_name (void)
{
  static const char *const names[] = { "lens", "lens.lock", "lens.record" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *path = g_build_filename (g_getenv ("IOSTREAM_RUNTIME_DIR"), names[i], NULL);

      g_unlink (path);
    }
}

static void
test_owner_killed (Fixture       *f,
                   gconstpointer  data)
{
  g_auto (MethodsAnswer) answer = { 0 };
  g_autoptr (IONotificationPort) port = NULL;
  g_autoptr (GError) error = NULL;

  port = io_connection_get_notification_port (f->connection, 0, 0, NULL, &error);
  g_assert_no_error (error);
  methods_start (f->connection, METHOD_KEEP, NULL, 0, NULL, NULL, &answer);
  stream_util_assert_works (io_connection_trap (f->connection, 0, 0, NULL, err));
  kill (f->owner->pid, SIGKILL);
  peer_reap (g_steal_pointer (&f->owner));
  methods_finish (&answer);
  g_assert_error (answer.error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
  stream_util_assert_fails (io_notification_port_wait (port, -1, NULL, err), IO_STREAM_ERROR_OFFLINE);
  stream_util_assert_fails (io_connection_call (f->connection, TYPED_ECHO, NULL, NULL, NULL, err),
                            IO_STREAM_ERROR_OFFLINE);
  remove_name ();
}

#define ADD(path, func) g_test_add ("/methods-processes/" path, Fixture, NULL, set_up, func, tear_down)

int
main (int   argc,
      char *argv[])
{
  char *dir;
  int status;

  if (argc > 2 && strcmp (argv[1], "--peer") == 0)
    {
      peer_begin ();
      return strcmp (argv[2], "client") == 0 ? run_client (argv + 3) : run_owner (argv + 3);
    }

  *peer_program () = argv[0];
  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();
  ADD ("calls", test_calls);
  ADD ("action", test_action);
  ADD ("client-killed", test_client_killed);
  ADD ("owner-killed", test_owner_killed);
  status = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return status;
}
