/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Both sides together: connections to a service in another thread, in another
 * process, and in this very thread. */

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib-unix.h>
#include <glib/gstdio.h>

#include <libiostream/io-connection.h>
#include <libiostream/io-service.h>
#include <libiostream/io-user-client.h>
#include <libiostream/io-work-loop.h>

#define NAME "both-sides"

static char *directory;

typedef struct {
  IOWorkLoop *loop;
  IOService  *service;
  gint        opened;
  gint        closed;
  gint        died;
} Fixture;

static void
count_cb (IOService    *service,
          IOUserClient *client,
          gpointer      user_data)
{
  g_atomic_int_inc ((gint *) user_data);
}

/* Nothing is left behind. */
static void
check_directory (Fixture       *f,
                 gconstpointer  data)
{
  g_autoptr (GDir) dir = g_dir_open (directory, 0, NULL);

  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpstr (g_dir_read_name (dir), ==, NULL);
}

static void
set_up_service (Fixture    *f,
                IOWorkLoop *loop)
{
  g_autoptr (GError) error = NULL;

  f->service = g_object_new (IO_TYPE_SERVICE, "name", NAME, "work-loop", loop, NULL);
  g_signal_connect (f->service, "client-opened", G_CALLBACK (count_cb), &f->opened);
  g_signal_connect (f->service, "client-closed", G_CALLBACK (count_cb), &f->closed);
  g_signal_connect (f->service, "client-died", G_CALLBACK (count_cb), &f->died);
  io_service_set_attribute (f->service, "width", g_variant_new_uint32 (1920));
  g_assert_true (io_service_register (f->service, &error));
  g_assert_no_error (error);
}

static void
set_up (Fixture       *f,
        gconstpointer  data)
{
  f->loop = io_work_loop_new ("owner");
  set_up_service (f, f->loop);
}

static void
tear_down (Fixture       *f,
           gconstpointer  data)
{
  io_service_terminate (f->service);
  io_work_loop_shut_down (f->loop);
  g_assert_finalize_object (f->service);
  g_assert_finalize_object (f->loop);
  check_directory (f, data);
}

static IOConnection *
connect_to_service (void)
{
  g_autoptr (GError) error = NULL;
  IOConnection *connection = io_connection_new_for_name (NAME, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (io_connection_is_connected (connection));

  return connection;
}

static gboolean
do_nothing (gpointer user_data)
{
  return G_SOURCE_REMOVE;
}

/* After this the owner has done all it was asked for before. */
static void
settle (Fixture *f)
{
  io_work_loop_run_action (f->loop, do_nothing, NULL);
}

static void
wait_for_count (gint *count,
                gint  value)
{
  while (g_atomic_int_get (count) < value)
    g_thread_yield ();
  g_assert_cmpint (g_atomic_int_get (count), ==, value);
}

static void
result_cb (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

static gboolean
open_async (IOConnection  *connection,
            GCancellable  *cancellable,
            GError       **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  io_connection_open_async (connection, 0, cancellable, result_cb, &result);
  while (result == NULL)
    g_main_context_iteration (NULL, TRUE);

  return io_connection_open_finish (connection, result, error);
}

static gboolean
close_async (IOConnection  *connection,
             GError       **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  io_connection_close_async (connection, NULL, result_cb, &result);
  while (result == NULL)
    g_main_context_iteration (NULL, TRUE);

  return io_connection_close_finish (connection, result, error);
}

typedef struct {
  guint   n;
  GError *error;
} Ending;

static void
disconnected_cb (IOConnection *connection,
                 const GError *error,
                 gpointer      user_data)
{
  Ending *ending = user_data;

  ending->n++;
  ending->error = error != NULL ? g_error_copy (error) : NULL;
}

static void
wait_for_end (IOConnection *connection,
              Ending       *ending)
{
  g_signal_connect (connection, "disconnected", G_CALLBACK (disconnected_cb), ending);
  while (ending->n == 0)
    g_main_context_iteration (NULL, TRUE);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (ending->n, ==, 1);
  g_assert_false (io_connection_is_connected (connection));
  g_assert_false (io_connection_is_open (connection));
}

/* Another thread. */

static void
test_thread (Fixture       *f,
             gconstpointer  data)
{
  g_autoptr (IOConnection) connection = connect_to_service ();
  g_autoptr (GVariant) attributes = NULL;
  g_autoptr (GError) error = NULL;
  guint32 width = 0;

  g_assert_cmpstr (io_connection_get_name (connection), ==, NAME);
  g_assert_cmpstr (io_connection_get_service_class (connection), ==, "IOService");
  attributes = io_connection_copy_attributes (connection, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_variant_lookup (attributes, "width", "u", &width));
  g_assert_cmpuint (width, ==, 1920);

  for (int i = 1; i <= 3; i++)
    {
      g_assert_true (io_connection_open (connection, 0, NULL, &error));
      g_assert_no_error (error);
      g_assert_cmpint (g_atomic_int_get (&f->opened), ==, 2 * i - 1);
      g_assert_true (io_connection_close (connection, NULL, &error));
      g_assert_no_error (error);
      g_assert_cmpint (g_atomic_int_get (&f->closed), ==, 2 * i - 1);

      g_assert_true (open_async (connection, NULL, &error));
      g_assert_no_error (error);
      g_assert_true (close_async (connection, &error));
      g_assert_no_error (error);
    }
  g_assert_cmpint (f->opened, ==, 6);
  g_assert_cmpint (f->died, ==, 0);
  g_assert_finalize_object (g_steal_pointer (&connection));
}

static void
test_exclusive (Fixture       *f,
                gconstpointer  data)
{
  g_autoptr (IOConnection) first = connect_to_service ();
  g_autoptr (IOConnection) second = connect_to_service ();
  g_autoptr (GError) error = NULL;

  g_assert_true (io_connection_open (first, IO_STREAM_OPEN_EXCLUSIVE, NULL, &error));
  g_assert_false (io_connection_open (second, 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  g_clear_error (&error);
  g_assert_false (open_async (second, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  g_clear_error (&error);
  g_assert_true (io_connection_is_connected (second));

  g_assert_false (io_connection_open (second, IO_STREAM_OPEN_EXCLUSIVE | IO_STREAM_OPEN_SHARED,
                                      NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
  g_clear_error (&error);

  /* The one that is dropped makes room, without any word of it. */
  g_assert_finalize_object (g_steal_pointer (&first));
  wait_for_count (&f->closed, 1);
  g_assert_true (io_connection_open (second, 0, NULL, &error));
  g_assert_no_error (error);
}

static void
test_terminate (Fixture       *f,
                gconstpointer  data)
{
  g_autoptr (IOConnection) connection = connect_to_service ();
  g_autoptr (GError) error = NULL;
  Ending ending = { 0 };

  g_assert_true (io_connection_open (connection, 0, NULL, &error));
  io_service_terminate (f->service);
  wait_for_end (connection, &ending);
  g_assert_no_error (ending.error);
  g_assert_null (io_connection_get_error (connection));
  g_assert_cmpint (f->closed, ==, 1);

  g_assert_false (io_connection_open (connection, 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
  g_clear_error (&error);
  g_assert_null (io_connection_new_for_name (NAME, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND);
}

static gboolean
refuse_cb (IOService    *service,
           IOUserClient *client,
           gpointer      user_data)
{
  g_assert_cmpint (io_user_client_get_uid (client), ==, getuid ());
  g_assert_cmpint (io_user_client_get_pid (client), ==, getpid ());

  return FALSE;
}

static void
test_not_authorized (Fixture       *f,
                     gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  g_signal_connect (f->service, "authorize", G_CALLBACK (refuse_cb), NULL);
  g_assert_null (io_connection_new_for_name (NAME, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED);
  g_assert_nonnull (strstr (error->message, NAME));
}

static void
test_socket (Fixture       *f,
             gconstpointer  data)
{
  g_autoptr (GSocket) ours = NULL;
  g_autoptr (GSocket) theirs = NULL;
  g_autoptr (IOConnection) connection = NULL;
  g_autoptr (GError) error = NULL;
  int fds[2];

  g_assert_no_errno (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds));
  ours = g_socket_new_from_fd (fds[0], &error);
  theirs = g_socket_new_from_fd (fds[1], &error);
  g_assert_true (io_service_add_socket (f->service, theirs, &error));
  g_assert_no_error (error);
  g_clear_object (&theirs);

  connection = g_initable_new (IO_TYPE_CONNECTION, NULL, &error, "socket", ours, NULL);
  g_assert_no_error (error);
  g_assert_cmpstr (io_connection_get_name (connection), ==, NAME);
  g_assert_true (io_connection_open (connection, 0, NULL, &error));
  g_assert_no_error (error);
  io_connection_hang_up (connection);
  wait_for_count (&f->closed, 1);
}

/* However far an open came before it is cancelled: after it, nothing is open at
 * either end, and the next one works. */
static void
test_cancel_anywhere (Fixture       *f,
                      gconstpointer  data)
{
  guint n_cancelled = 0;

  for (guint turns = 0; turns < 40; turns++)
    {
      g_autoptr (IOConnection) connection = g_object_new (IO_TYPE_CONNECTION, "name", NAME, NULL);
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      g_autoptr (GAsyncResult) result = NULL;
      g_autoptr (GError) error = NULL;

      io_connection_open_async (connection, 0, cancellable, result_cb, &result);
      for (guint i = 0; i < turns / 4 && result == NULL; i++)
        g_main_context_iteration (NULL, i % 2 == 0);
      g_cancellable_cancel (cancellable);
      while (result == NULL)
        g_main_context_iteration (NULL, TRUE);
      if (!io_connection_open_finish (connection, result, &error))
        {
          g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
          g_clear_error (&error);
          n_cancelled++;
          g_assert_false (io_connection_is_open (connection));
          g_assert_true (io_connection_open (connection, 0, NULL, &error));
        }
      g_assert_no_error (error);
      g_assert_true (io_connection_is_open (connection));
      g_assert_true (io_connection_close (connection, NULL, &error));
      g_assert_no_error (error);
      g_assert_cmpint (g_atomic_int_get (&f->opened), ==, g_atomic_int_get (&f->closed));
    }
  g_assert_cmpuint (n_cancelled, >, 0);
  g_assert_cmpint (f->died, ==, 0);
}

/* A service whose thread is busy does not answer; it does once it can. */

typedef struct {
  GMutex   mutex;
  GCond    cond;
  gboolean entered;
  gboolean leave;
} Gate;

static gboolean
block_cb (gpointer user_data)
{
  Gate *gate = user_data;

  g_mutex_lock (&gate->mutex);
  gate->entered = TRUE;
  g_cond_signal (&gate->cond);
  while (!gate->leave)
    g_cond_wait (&gate->cond, &gate->mutex);
  g_mutex_unlock (&gate->mutex);

  return G_SOURCE_REMOVE;
}

static void
test_busy_owner (Fixture       *f,
                 gconstpointer  data)
{
  g_autoptr (IOConnection) connection = connect_to_service ();
  g_autoptr (GError) error = NULL;
  Gate gate = { 0 };

  g_main_context_invoke (io_work_loop_get_context (f->loop), block_cb, &gate);
  g_mutex_lock (&gate.mutex);
  while (!gate.entered)
    g_cond_wait (&gate.cond, &gate.mutex);
  g_mutex_unlock (&gate.mutex);

  io_connection_set_timeout (connection, 20000);
  g_assert_false (io_connection_open (connection, 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_RESPONDING);
  g_clear_error (&error);
  g_assert_null (io_connection_new_for_name ("nobody-else", NULL, &error));
  g_clear_error (&error);

  g_mutex_lock (&gate.mutex);
  gate.leave = TRUE;
  g_cond_signal (&gate.cond);
  g_mutex_unlock (&gate.mutex);

  io_connection_set_timeout (connection, -1);
  g_assert_true (io_connection_open (connection, 0, NULL, &error));
  g_assert_no_error (error);
  settle (f);
  g_assert_cmpint (f->opened, ==, 2);
  g_assert_cmpint (f->closed, ==, 1);
  g_mutex_clear (&gate.mutex);
  g_cond_clear (&gate.cond);
}

/* The same thread. */

static void
test_same_thread (Fixture       *f,
                  gconstpointer  data)
{
  g_autoptr (IOConnection) connection = NULL;
  g_autoptr (GError) error = NULL;

  set_up_service (f, NULL);
  g_assert_null (io_connection_new_for_name (NAME, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_CANNOT_LOCK);
  g_clear_error (&error);

  connection = g_object_new (IO_TYPE_CONNECTION, "name", NAME, NULL);
  g_assert_true (open_async (connection, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpint (f->opened, ==, 1);
  g_assert_false (io_connection_close (connection, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_CANNOT_LOCK);
  g_clear_error (&error);
  g_assert_true (io_connection_is_open (connection));
  g_assert_null (io_connection_copy_attributes (connection, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_CANNOT_LOCK);
  g_clear_error (&error);
  g_assert_true (close_async (connection, &error));
  g_assert_no_error (error);
  g_assert_cmpint (f->closed, ==, 1);
  g_assert_finalize_object (g_steal_pointer (&connection));

  io_service_terminate (f->service);
  g_assert_finalize_object (f->service);
}

/* Another process. */

static gboolean
quit_cb (int          fd,
         GIOCondition condition,
         gpointer     user_data)
{
  g_main_loop_quit (user_data);

  return G_SOURCE_REMOVE;
}

/* Serves until its input ends. */
static int
be_owner (void)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (IOService) service = io_service_new (NAME);
  g_autoptr (GError) error = NULL;

  if (!io_service_register (service, &error))
    g_error ("%s", error->message);
  g_unix_fd_add (STDIN_FILENO, G_IO_IN | G_IO_HUP, quit_cb, loop);
  if (write (STDOUT_FILENO, "r", 1) != 1)
    return 1;
  g_main_loop_run (loop);
  io_service_terminate (service);

  return 0;
}

/* Opens, says so, and stays. */
static int
be_client (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (IOConnection) connection = io_connection_new_for_name (NAME, NULL, &error);
  char c;

  if (connection == NULL || !io_connection_open (connection, 0, NULL, &error))
    g_error ("%s", error->message);
  if (write (STDOUT_FILENO, "r", 1) != 1)
    return 1;

  return read (STDIN_FILENO, &c, 1) < 0;
}

static GSubprocess *
spawn (const char *role)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autoptr (GError) error = NULL;
  GSubprocess *process;
  char ready = '\0';

  process = g_subprocess_new (G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE,
                              &error, program, role, NULL);
  g_assert_no_error (error);
  g_input_stream_read (g_subprocess_get_stdout_pipe (process), &ready, 1, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (ready, ==, 'r');

  return process;
}

static void
finish (GSubprocess *process)
{
  g_autoptr (GError) error = NULL;

  g_output_stream_close (g_subprocess_get_stdin_pipe (process), NULL, &error);
  g_subprocess_wait_check (process, NULL, &error);
  g_assert_no_error (error);
}

static void
test_process (Fixture       *f,
              gconstpointer  data)
{
  g_autoptr (GSubprocess) owner = spawn ("--owner");
  g_autoptr (IOConnection) connection = connect_to_service ();
  g_autoptr (GError) error = NULL;
  Ending ending = { 0 };

  g_assert_true (io_connection_open (connection, 0, NULL, &error));
  g_assert_no_error (error);
  finish (owner);
  wait_for_end (connection, &ending);
  g_assert_no_error (ending.error);
}

/* The owner is killed, again and again; the next one takes the name over. */
static void
test_owner_killed (Fixture       *f,
                   gconstpointer  data)
{
  g_autoptr (GSubprocess) last = NULL;
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 20; i++)
    {
      g_autoptr (GSubprocess) owner = spawn ("--owner");
      g_autoptr (IOConnection) connection = connect_to_service ();
      Ending ending = { 0 };

      g_assert_true (io_connection_open (connection, 0, NULL, &error));
      g_assert_no_error (error);
      g_subprocess_force_exit (owner);
      if (i % 2 == 0)
        {
          wait_for_end (connection, &ending);
          g_assert_error (ending.error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
          g_clear_error (&ending.error);
        }
      else
        {
          g_subprocess_wait (owner, NULL, NULL);
          g_assert_false (io_connection_close (connection, NULL, &error));
          g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
          g_clear_error (&error);
        }
      g_subprocess_wait (owner, NULL, NULL);
      g_assert_null (io_connection_new_for_name (NAME, NULL, &error));
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND);
      g_clear_error (&error);
    }

  /* A good end takes away what the killed ones left. */
  last = spawn ("--owner");
  finish (last);
}

/* A stopped owner is no dead owner: the call is late, the connection stays. */
static void
test_owner_stopped (Fixture       *f,
                    gconstpointer  data)
{
  g_autoptr (GSubprocess) owner = spawn ("--owner");
  g_autoptr (IOConnection) connection = connect_to_service ();
  g_autoptr (GVariant) attributes = NULL;
  g_autoptr (GError) error = NULL;
  siginfo_t stopped;

  g_subprocess_send_signal (owner, SIGSTOP);
  /* It may still be answering on the other processor. */
  g_assert_no_errno (waitid (P_PID, (id_t) g_ascii_strtoull (g_subprocess_get_identifier (owner), NULL, 10),
                             &stopped, WSTOPPED | WNOWAIT));
  io_connection_set_timeout (connection, 20000);
  g_assert_false (io_connection_open (connection, 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_RESPONDING);
  g_clear_error (&error);
  g_assert_true (io_connection_is_connected (connection));

  g_subprocess_send_signal (owner, SIGCONT);
  io_connection_set_timeout (connection, -1);
  g_assert_true (io_connection_open (connection, 0, NULL, &error));
  g_assert_no_error (error);
  attributes = io_connection_copy_attributes (connection, NULL, &error);
  g_assert_no_error (error);
  finish (owner);
}

static void
test_client_killed (Fixture       *f,
                    gconstpointer  data)
{
  g_autoptr (IOConnection) connection = connect_to_service ();
  g_autoptr (GError) error = NULL;

  for (gint i = 1; i <= 20; i++)
    {
      g_autoptr (GSubprocess) client = spawn ("--client");

      g_assert_false (io_connection_open (connection, 0, NULL, &error));
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
      g_clear_error (&error);
      g_subprocess_force_exit (client);
      g_subprocess_wait (client, NULL, NULL);
      wait_for_count (&f->died, i);
    }
  g_assert_true (io_connection_open (connection, 0, NULL, &error));
  g_assert_no_error (error);
}

#define ADD(path, func) g_test_add (path, Fixture, NULL, set_up, func, tear_down)
#define ADD_ALONE(path, func) \
  g_test_add (path, Fixture, NULL, NULL, func, check_directory)

int
main (int   argc,
      char *argv[])
{
  int result;

  if (argc > 1 && g_str_equal (argv[1], "--owner"))
    return be_owner ();
  if (argc > 1 && g_str_equal (argv[1], "--client"))
    return be_client ();

  directory = g_dir_make_tmp ("io-XXXXXX", NULL);
  g_setenv ("IOSTREAM_RUNTIME_DIR", directory, TRUE);
  g_test_init (&argc, &argv, NULL);

  ADD ("/connection-service/thread", test_thread);
  ADD ("/connection-service/exclusive", test_exclusive);
  ADD ("/connection-service/terminate", test_terminate);
  ADD ("/connection-service/not-authorized", test_not_authorized);
  ADD ("/connection-service/socket", test_socket);
  ADD ("/connection-service/cancel-anywhere", test_cancel_anywhere);
  ADD ("/connection-service/busy-owner", test_busy_owner);
  ADD ("/connection-service/client-killed", test_client_killed);
  ADD_ALONE ("/connection-service/same-thread", test_same_thread);
  ADD_ALONE ("/connection-service/process", test_process);
  ADD_ALONE ("/connection-service/owner-killed", test_owner_killed);
  ADD_ALONE ("/connection-service/owner-stopped", test_owner_stopped);

  result = g_test_run ();
  g_rmdir (directory);
  g_free (directory);

  return result;
}
