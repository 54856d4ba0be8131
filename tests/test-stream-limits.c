/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Either side runs out of descriptors or of address space while a stream is
 * opened: it is told so, nothing is left behind, and the next try works. */

#include "peer-process.h"

#define N_BUFFERS 4
#define MOST_FDS  64

/* A limit counts from the highest number in use. */
static int
highest_fd (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  const char *name;
  int highest = 0;

  while ((name = g_dir_read_name (dir)) != NULL)
    if (fcntl (atoi (name), F_GETFD) >= 0)
      highest = MAX (highest, atoi (name));

  return highest;
}

static void
limit_to (int    resource,
           rlim_t limit)
{
  struct rlimit limits;

  g_assert_cmpint (getrlimit (resource, &limits), ==, 0);
  limits.rlim_cur = limit == RLIM_INFINITY ? limits.rlim_max : limit;
  g_assert_cmpint (setrlimit (resource, &limits), ==, 0);
}

/* Opened, started, one buffer taken and returned, closed. */
static gboolean
use_stream (const char  *name,
            GError     **error)
{
  g_autoptr (IOStreamConnection) client = io_stream_connection_open_name (name, NULL, error);
  gboolean done;

  if (client == NULL)
    return FALSE;

  done = io_stream_connection_start (client, NULL, error) &&
         io_connection_close (IO_CONNECTION (client), NULL, error);

  return done;
}

static IOStream *
make_stream (IOWorkLoop  *loop,
             GError     **error)
{
  g_autoptr (IOStream) stream = g_initable_new (IO_TYPE_STREAM, NULL, error,
                                                "name", "test", "work-loop", loop,
                                                "buffer-count", N_BUFFERS, "data-size", (guint64) 65536,
                                                "control-size", (guint64) 64, NULL);

  if (stream == NULL || !io_service_register (IO_SERVICE (stream), error))
    return NULL;

  return g_steal_pointer (&stream);
}

static void
release_descriptors (GArray *fillers)
{
  for (guint i = 0; i < fillers->len; i++)
    close (g_array_index (fillers, int, i));
  g_array_set_size (fillers, 0);
  limit_to (RLIMIT_NOFILE, RLIM_INFINITY);
}

/* Takes all there are but @n_free. */
static void
leave_descriptors (GArray *fillers,
                   guint   n_free)
{
  int fd;

  limit_to (RLIMIT_NOFILE, 2 * MOST_FDS);
  while ((fd = open ("/dev/null", O_PATH | O_CLOEXEC)) >= 0)
    g_array_append_val (fillers, fd);
  g_assert_cmpuint (fillers->len, >=, n_free);
  for (guint i = 0; i < n_free; i++)
    close (g_array_index (fillers, int, fillers->len - 1 - i));
  g_array_set_size (fillers, fillers->len - n_free);
}

/* The other end is closed when the owner comes to it; the first time tells
 * what there is to be. */
static void
settle_counts (IOWorkLoop *loop,
               IOStream   *stream,
               guint      *n_fds,
               guint      *n_maps)
{
  gint64 deadline = g_get_monotonic_time () + STREAM_UTIL_TIMEOUT;

  stream_util_wait_unused (loop, IO_SERVICE (stream));
  if (*n_fds == 0)
    {
      *n_fds = count_fds ();
      *n_maps = count_maps ("");
    }
  /* One that it could not take in may wait at its door still. */
  while (count_fds () != *n_fds && g_get_monotonic_time () < deadline)
    stream_util_wait_unused (loop, IO_SERVICE (stream));
  g_assert_false (io_service_is_open (IO_SERVICE (stream), NULL));
  g_assert_cmpuint (count_fds (), ==, *n_fds);
  g_assert_cmpuint (count_maps (""), ==, *n_maps);
}

/* The owner, in a process of its own: registers once the limit allows it, and
 * takes new limits as orders. */
static int
run_owner (char **argv)
{
  IOWorkLoop *loop = io_work_loop_new ("owner");
  g_autoptr (GError) error = NULL;
  IOStream *stream = make_stream (loop, &error);
  g_autoptr (GArray) fillers = g_array_new (FALSE, FALSE, sizeof (int));
  guint n_fds = 0, n_maps = 0;
  char *order;

  g_assert_no_error (error);
  g_assert_nonnull (stream);
  peer_say ("ready");
  while ((order = peer_take_order ()) != NULL)
    {
      int n_free = atoi (order);

      release_descriptors (fillers);
      if (n_free >= 0)
        leave_descriptors (fillers, (guint) n_free);
      else
        settle_counts (loop, stream, &n_fds, &n_maps);
      g_free (order);
      peer_say ("done");
    }
  io_service_terminate (IO_SERVICE (stream));
  io_work_loop_shut_down (loop);
  g_assert_finalize_object (stream);
  g_assert_finalize_object (loop);

  return 0;
}

static Peer *
spawn_owner (void)
{
  Peer *peer = peer_spawn (-1, -1, "owner", NULL);

  peer_expect (peer, "ready");

  return peer;
}

/* @n_free: -1 for as many as it likes */
static void
order_limit (Peer *peer,
             int   n_free)
{
  g_autofree char *order = g_strdup_printf ("%d", n_free);

  peer_order (peer, order);
  peer_expect (peer, "done");
}

static void
check_error (const GError *error)
{
  g_test_message ("%s", error->message);
  g_assert_true (error->domain == IO_STREAM_ERROR);
  g_assert_cmpint (error->code, !=, IO_STREAM_ERROR_NOT_RESPONDING);
}

/* For the client, every number of descriptors from none to enough. */
static void
test_client_descriptors (void)
{
  Peer *owner = spawn_owner ();
  int highest;
  guint n_fds, n_maps, n_failed = 0;
  gboolean done = FALSE;
  g_autoptr (GError) first = NULL;

  /* what GLib opens for good */
  g_assert_true (use_stream ("test", &first));
  g_assert_no_error (first);
  n_fds = count_fds ();
  n_maps = count_maps ("");
  highest = highest_fd ();

  for (int n = 3; !done; n++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_cmpint (n, <, highest + MOST_FDS);
      limit_to (RLIMIT_NOFILE, (rlim_t) n);
      done = use_stream ("test", &error);
      limit_to (RLIMIT_NOFILE, RLIM_INFINITY);
      if (!done)
        {
          check_error (error);
          n_failed++;
        }
      while (g_main_context_iteration (NULL, FALSE))
        ;
      g_assert_cmpuint (count_fds (), ==, n_fds);
      g_assert_cmpuint (count_maps (""), ==, n_maps);
    }
  g_assert_cmpuint (n_failed, >, 3);
  g_assert_true (use_stream ("test", &first));
  g_assert_no_error (first);
  peer_finish (owner);
}

/* For the owner, with a client that is connected and wants to open. */
static void
test_owner_descriptors_connected (void)
{
  Peer *owner = spawn_owner ();
  g_autoptr (GError) first = NULL;
  guint n_failed = 0;
  gboolean done = FALSE;

  g_assert_true (use_stream ("test", &first));
  g_assert_no_error (first);
  order_limit (owner, -1);

  for (int n = 0; !done; n++)
    {
      IOStreamConnection *client = io_stream_connection_new_for_name ("test", NULL, &first);
      g_autoptr (GError) error = NULL;

      g_assert_no_error (first);
      g_assert_cmpint (n, <, MOST_FDS);
      order_limit (owner, n);
      done = io_connection_open (IO_CONNECTION (client), 0, NULL, &error) &&
             io_stream_connection_start (client, NULL, &error);
      if (!done)
        {
          check_error (error);
          g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES);
          n_failed++;
        }
      else
        stream_util_close (client);
      g_assert_finalize_object (client);
      order_limit (owner, -1);
    }
  g_assert_cmpuint (n_failed, >, 3);
  peer_finish (owner);
}

/* And for the owner, while clients come. */
static void
test_owner_descriptors (void)
{
  Peer *owner = spawn_owner ();
  guint n_failed = 0;
  gboolean done = FALSE;
  g_autoptr (GError) first = NULL;

  g_assert_true (use_stream ("test", &first));
  g_assert_no_error (first);
  order_limit (owner, -1);

  for (int n = 0; !done; n++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_cmpint (n, <, MOST_FDS);
      order_limit (owner, n);
      done = use_stream ("test", &error);
      if (!done)
        {
          check_error (error);
          n_failed++;
        }
      order_limit (owner, -1);
    }
  g_assert_cmpuint (n_failed, >, 3);
  g_assert_true (use_stream ("test", &first));
  g_assert_no_error (first);
  peer_finish (owner);
}

/* Making a stream. */
static void
test_making_descriptors (void)
{
  IOWorkLoop *loop = io_work_loop_new ("owner");
  guint n_fds, n_maps = count_maps ("");
  IOStream *warm = make_stream (loop, NULL);
  gboolean done = FALSE;
  int highest;

  /* what GLib opens for good */
  io_service_terminate (IO_SERVICE (warm));
  stream_util_catch_up (loop);
  g_assert_finalize_object (warm);
  n_fds = count_fds ();
  highest = highest_fd ();
  for (int n = 3; !done; n++)
    {
      g_autoptr (GError) error = NULL;
      IOStream *stream;

      g_assert_cmpint (n, <, highest + MOST_FDS);
      limit_to (RLIMIT_NOFILE, (rlim_t) n);
      stream = make_stream (loop, &error);
      limit_to (RLIMIT_NOFILE, RLIM_INFINITY);
      done = stream != NULL;
      if (done)
        {
          io_service_terminate (IO_SERVICE (stream));
          io_work_loop_shut_down (loop);
          g_assert_finalize_object (stream);
        }
      else
        check_error (error);
      g_assert_cmpuint (count_maps (""), ==, n_maps);
      if (!done)
        g_assert_cmpuint (count_fds (), ==, n_fds);
    }
  g_assert_finalize_object (loop);
}

static guint64
mapped_bytes (void)
{
  FILE *file = fopen ("/proc/self/statm", "re");
  unsigned long pages;

  g_assert_cmpint (fscanf (file, "%lu", &pages), ==, 1);
  fclose (file);

  return (guint64) pages * (guint64) sysconf (_SC_PAGESIZE);
}

/* A client that has too little address space for the buffers. */
static int
run_cramped (char **argv)
{
  g_autoptr (GError) error = NULL;
  guint n_fds, n_maps = count_maps ("");

  g_assert_false (use_stream ("nobody", NULL));
  n_fds = count_fds ();

  limit_to (RLIMIT_AS, (rlim_t) (mapped_bytes () + (4 << 20)));
  g_assert_false (use_stream ("test", &error));
  limit_to (RLIMIT_AS, RLIM_INFINITY);
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_MEMORY);
  g_assert_cmpuint (count_fds (), ==, n_fds);
  g_assert_cmpuint (count_maps (""), ==, n_maps);
  g_clear_error (&error);

  g_assert_true (use_stream ("test", &error));
  g_assert_no_error (error);
  peer_say ("done");

  return 0;
}

static void
test_address_space (void)
{
#ifdef __SANITIZE_ADDRESS__
  g_test_skip ("the address sanitizer needs all of it");
#else
  IOWorkLoop *loop;
  g_autoptr (GError) error = NULL;
  IOStream *stream;
  Peer *client;

  if (g_getenv ("IOSTREAM_TEST_VALGRIND") != NULL)
    {
      g_test_skip ("valgrind takes its own memory from it");
      return;
    }

  loop = io_work_loop_new ("owner");
  stream = stream_util_new_stream (loop, IO_STREAM_MODE_OUTPUT, 2, 16 << 20, 0);
  client = peer_spawn (-1, -1, "cramped", NULL);
  peer_expect (client, "done");
  peer_finish (client);

  /* and an owner that has too little for them */
  limit_to (RLIMIT_AS, (rlim_t) (mapped_bytes () + (8 << 20)));
  g_assert_null (g_initable_new (IO_TYPE_STREAM, NULL, &error, "work-loop", loop, "buffer-count", 2,
                                 "data-size", (guint64) 16 << 20, NULL));
  limit_to (RLIMIT_AS, RLIM_INFINITY);
  g_test_message ("%s", error->message);
  g_assert_true (error->domain == IO_STREAM_ERROR);

  io_service_terminate (IO_SERVICE (stream));
  io_work_loop_shut_down (loop);
  g_assert_finalize_object (stream);
  g_assert_finalize_object (loop);
#endif
}

int
main (int   argc,
      char *argv[])
{
  char *dir;
  int status;

  if (argc > 2 && strcmp (argv[1], "--peer") == 0)
    {
      peer_begin ();
      return strcmp (argv[2], "owner") == 0 ? run_owner (argv + 3) : run_cramped (argv + 3);
    }

  *peer_program () = argv[0];
  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();

  g_test_add_func ("/stream-limits/descriptors/client", test_client_descriptors);
  g_test_add_func ("/stream-limits/descriptors/owner", test_owner_descriptors);
  g_test_add_func ("/stream-limits/descriptors/owner/connected", test_owner_descriptors_connected);
  g_test_add_func ("/stream-limits/descriptors/making", test_making_descriptors);
  g_test_add_func ("/stream-limits/address-space", test_address_space);

  status = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return status;
}
