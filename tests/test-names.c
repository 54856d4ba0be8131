/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <libiostream/io-error.h>

#include "libiostream/io-names-private.h"

#include <glib/gstdio.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
  char *directory;
} Fixture;

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  fixture->directory = g_dir_make_tmp ("io-XXXXXX", NULL);
  g_assert_nonnull (fixture->directory);
  g_setenv ("IOSTREAM_RUNTIME_DIR", fixture->directory, TRUE);
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  g_autoptr (GDir) dir = g_dir_open (fixture->directory, 0, NULL);

  /* Nothing is left behind. */
  g_assert_nonnull (dir);
  g_assert_cmpstr (g_dir_read_name (dir), ==, NULL);
  g_assert_cmpint (g_rmdir (fixture->directory), ==, 0);
  g_free (fixture->directory);
}

static IONameClaim *
claim (const char *name)
{
  g_autoptr (GError) error = NULL;
  IONameClaim *self = _io_names_claim (name, g_main_context_default (), &error);

  g_assert_no_error (error);
  g_assert_nonnull (self);
  return self;
}

static void
assert_claim_fails (const char *name,
                    int         code)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (_io_names_claim (name, g_main_context_default (), &error));
  g_assert_error (error, IO_STREAM_ERROR, code);
}

static int
connect_to (const char *name)
{
  g_autofree char *path = _io_names_dup_socket_path (name, NULL);
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

  g_strlcpy (address.sun_path, path, sizeof address.sun_path);
  if (connect (fd, (struct sockaddr *) &address, sizeof address) == 0)
    return fd;
  close (fd);
  return -1;
}

static void
test_check (void)
{
  static const char * const good[] = { "camera", "a", "Kamera größe 1", "a.b", "日本", "lock" };
  static const char * const bad[] = { "", ".", "..", ".a", "a/b", "/", "a\n", "\x7f", "a\tb",
                                      "a.lock", "\xff", "a\xc3", "\xc2\x85" };

  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    g_assert_true (_io_names_check (good[i], NULL));
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_false (_io_names_check (bad[i], &error));
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
      g_assert_true (g_utf8_validate (error->message, -1, NULL));
    }
}

static void
test_length (Fixture       *fixture,
             gconstpointer  data)
{
  gsize room = sizeof (((struct sockaddr_un *) NULL)->sun_path) - 1 - strlen (fixture->directory) - 1;
  g_autofree char *fits = g_strnfill (room, 'n');
  g_autofree char *too_long = g_strnfill (room + 1, 'n');

  _io_names_release (claim (fits));
  assert_claim_fails (too_long, IO_STREAM_ERROR_BAD_ARGUMENT);
}

static void
test_directory (void)
{
  g_autofree char *explicit = NULL;
  g_autofree char *runtime = NULL;
  g_autofree char *fallback = NULL;
  g_autofree char *relative = NULL;
  g_autofree char *old = g_strdup (g_getenv ("XDG_RUNTIME_DIR"));

  g_setenv ("IOSTREAM_RUNTIME_DIR", "/some/where", TRUE);
  explicit = _io_names_dup_directory ();
  g_assert_cmpstr (explicit, ==, "/some/where");

  g_unsetenv ("IOSTREAM_RUNTIME_DIR");
  g_setenv ("XDG_RUNTIME_DIR", "/run/x", TRUE);
  runtime = _io_names_dup_directory ();
  g_assert_cmpstr (runtime, ==, "/run/x/iostream");

  g_setenv ("XDG_RUNTIME_DIR", "relative", TRUE);
  relative = _io_names_dup_directory ();
  g_assert_true (g_path_is_absolute (relative));

  g_unsetenv ("XDG_RUNTIME_DIR");
  fallback = _io_names_dup_directory ();
  g_assert_true (g_str_has_suffix (fallback, "/iostream"));
  g_assert_true (g_path_is_absolute (fallback));

  if (old != NULL)
    g_setenv ("XDG_RUNTIME_DIR", old, TRUE);
}

static void
test_claim (Fixture       *fixture,
            gconstpointer  data)
{
  g_autofree char *path = _io_names_dup_socket_path ("one", NULL);
  IONameClaim *self = claim ("one");
  struct stat st;
  int client;

  g_assert_cmpint (stat (path, &st), ==, 0);
  g_assert_true (S_ISSOCK (st.st_mode));
  g_assert_cmpint (st.st_mode & 0777, ==, 0600);
  g_assert_cmpint (fcntl (_io_names_claim_peek_fd (self), F_GETFD) & FD_CLOEXEC, !=, 0);
  client = connect_to ("one");
  g_assert_cmpint (client, >=, 0);
  close (client);

  _io_names_release (self);
  g_assert_cmpint (stat (path, &st), ==, -1);
  g_assert_cmpint (connect_to ("one"), ==, -1);
}

static void
test_makes_directory (Fixture       *fixture,
                      gconstpointer  data)
{
  g_autofree char *parent = g_build_filename (fixture->directory, "a", NULL);
  g_autofree char *deep = g_build_filename (parent, "b", NULL);
  struct stat st;

  g_setenv ("IOSTREAM_RUNTIME_DIR", deep, TRUE);
  _io_names_release (claim ("one"));
  g_assert_cmpint (stat (deep, &st), ==, 0);
  g_assert_cmpint (st.st_mode & 0777, ==, 0700);

  g_assert_cmpint (g_rmdir (deep), ==, 0);
  g_assert_cmpint (g_rmdir (parent), ==, 0);
}

static void
test_directory_refused (Fixture       *fixture,
                        gconstpointer  data)
{
  g_assert_cmpint (chmod (fixture->directory, 0777), ==, 0);
  assert_claim_fails ("one", IO_STREAM_ERROR_NOT_PERMITTED);
  g_assert_cmpint (chmod (fixture->directory, 0720), ==, 0);
  assert_claim_fails ("one", IO_STREAM_ERROR_NOT_PERMITTED);
  g_assert_cmpint (chmod (fixture->directory, 0700), ==, 0);

  g_setenv ("IOSTREAM_RUNTIME_DIR", "/proc/none/of/this", TRUE);
  g_assert_null (_io_names_claim ("one", g_main_context_default (), NULL));
  g_setenv ("IOSTREAM_RUNTIME_DIR", "/dev/null", TRUE);
  g_assert_null (_io_names_claim ("one", g_main_context_default (), NULL));
}

static void
test_directory_of_others (Fixture       *fixture,
                          gconstpointer  data)
{
  if (geteuid () != 0)
    {
      g_test_skip ("needs root");
      return;
    }

  g_assert_cmpint (chown (fixture->directory, 12345, -1), ==, 0);
  assert_claim_fails ("one", IO_STREAM_ERROR_NOT_PERMITTED);
  g_assert_cmpint (chown (fixture->directory, 0, -1), ==, 0);
}

static void
test_unwritable (Fixture       *fixture,
                 gconstpointer  data)
{
  int status;
  pid_t pid;

  /* Root writes everywhere, so as somebody else. */
  if (geteuid () == 0)
    g_assert_cmpint (chown (fixture->directory, 12345, -1), ==, 0);
  g_assert_cmpint (chmod (fixture->directory, 0500), ==, 0);
  pid = fork ();
  if (pid == 0)
    {
      g_autoptr (GError) error = NULL;

      if (geteuid () == 0 && setuid (12345) < 0)
        _exit (2);
      _exit (_io_names_claim ("one", g_main_context_default (), &error) == NULL &&
             g_error_matches (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED) &&
             strstr (error->message, "one") != NULL ? 0 : 1);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
}

static void
test_taken_here (Fixture       *fixture,
                 gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  IONameClaim *self = claim ("one");
  IONameClaim *other = claim ("two");

  g_assert_null (_io_names_claim ("one", g_main_context_default (), &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  g_assert_nonnull (strstr (error->message, "one"));
  /* and the failed try took nothing away */
  assert_claim_fails ("one", IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  close (connect_to ("one"));

  _io_names_release (self);
  self = claim ("one");
  _io_names_release (self);
  _io_names_release (other);
}

/* By another spelling of the directory it is still the same lock file. */
static void
test_taken_by_other_path (Fixture       *fixture,
                          gconstpointer  data)
{
  IONameClaim *self = claim ("one");
  g_autofree char *link = g_strconcat (fixture->directory, "-link", NULL);
  g_auto (GStrv) names = NULL;
  int status;
  pid_t pid;

  g_assert_cmpint (symlink (fixture->directory, link), ==, 0);
  g_setenv ("IOSTREAM_RUNTIME_DIR", link, TRUE);
  assert_claim_fails ("one", IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  names = _io_names_list (NULL);
  g_assert_cmpint (g_strv_length (names), ==, 1);

  /* The lock is still there for others. */
  pid = fork ();
  if (pid == 0)
    _exit (_io_names_claim ("one", g_main_context_default (), NULL) == NULL ? 0 : 1);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);

  _io_names_release (self);
  g_assert_cmpint (g_unlink (link), ==, 0);
}

/* A process that has @name, and says so with one byte. */
static pid_t
fork_owner (const char *name,
            int        *out_fd)
{
  int fds[2];
  char byte;
  pid_t pid;

  g_assert_cmpint (pipe2 (fds, O_CLOEXEC), ==, 0);
  pid = fork ();
  if (pid == 0)
    {
      close (fds[0]);
      if (_io_names_claim (name, g_main_context_default (), NULL) == NULL)
        _exit (1);
      if (write (fds[1], "!", 1) != 1)
        _exit (2);
      for (;;)
        pause ();
    }
  close (fds[1]);
  g_assert_cmpint (read (fds[0], &byte, 1), ==, 1);
  if (out_fd != NULL)
    *out_fd = fds[0];
  else
    close (fds[0]);

  return pid;
}

static void
kill_owner (pid_t pid)
{
  g_assert_cmpint (kill (pid, SIGKILL), ==, 0);
  g_assert_cmpint (waitpid (pid, NULL, 0), ==, pid);
}

static void
test_taken_elsewhere (Fixture       *fixture,
                      gconstpointer  data)
{
  pid_t pid = fork_owner ("one", NULL);
  g_auto (GStrv) names = NULL;

  assert_claim_fails ("one", IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  names = _io_names_list (NULL);
  g_assert_cmpint (g_strv_length (names), ==, 1);
  g_assert_cmpstr (names[0], ==, "one");

  kill_owner (pid);
  _io_names_release (claim ("one"));
}

static void
test_stale (Fixture       *fixture,
            gconstpointer  data)
{
  for (guint i = 0; i < 20; i++)
    {
      g_autofree char *path = _io_names_dup_socket_path ("one", NULL);
      g_auto (GStrv) names = NULL;
      IONameClaim *self;

      kill_owner (fork_owner ("one", NULL));
      g_assert_true (g_file_test (path, G_FILE_TEST_EXISTS));
      names = _io_names_list (NULL);
      g_assert_cmpint (g_strv_length (names), ==, 0);

      self = claim ("one");
      close (connect_to ("one"));
      _io_names_release (self);
    }
}

/* Our child lives on with copies of everything, and keeps nothing. */
static void
test_fork (Fixture       *fixture,
           gconstpointer  data)
{
  IONameClaim *self = claim ("one");
  int status;
  pid_t pid = fork ();

  if (pid == 0)
    {
      gboolean by_caller;
      gboolean found = _io_names_find_local ("one", &by_caller);

      _io_names_release (self);
      _exit (found ? 1 : 0);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  close (connect_to ("one"));
  assert_claim_fails ("one", IO_STREAM_ERROR_EXCLUSIVE_ACCESS);

  pid = fork ();
  if (pid == 0)
    for (;;)
      pause ();
  _io_names_release (self);
  self = claim ("one");
  kill_owner (pid);
  _io_names_release (self);
}

/* Somebody removed the files of a living owner; the new ones are not his. */
static void
test_removed (Fixture       *fixture,
              gconstpointer  data)
{
  g_autofree char *path = _io_names_dup_socket_path ("one", NULL);
  g_autofree char *lock = g_strconcat (path, ".lock", NULL);
  IONameClaim *first = claim ("one");
  IONameClaim *second;

  g_assert_cmpint (g_unlink (path), ==, 0);
  g_assert_cmpint (g_unlink (lock), ==, 0);
  second = claim ("one");
  _io_names_release (first);
  g_assert_true (g_file_test (path, G_FILE_TEST_EXISTS));
  close (connect_to ("one"));
  _io_names_release (second);
}

static gpointer
find_func (gpointer data)
{
  gboolean by_caller = TRUE;

  g_assert_true (_io_names_find_local ("one", &by_caller));
  return GINT_TO_POINTER (by_caller);
}

static void
test_find_local (Fixture       *fixture,
                 gconstpointer  data)
{
  gboolean by_caller = TRUE;
  IONameClaim *self;

  g_assert_false (_io_names_find_local ("one", &by_caller));
  g_assert_false (by_caller);
  g_assert_false (_io_names_find_local ("../x", &by_caller));

  self = claim ("one");
  g_assert_true (_io_names_find_local ("one", &by_caller));
  g_assert_true (by_caller);
  g_assert_false (_io_names_find_local ("two", &by_caller));

  /* nobody runs the context; then we do */
  g_assert_false (GPOINTER_TO_INT (g_thread_join (g_thread_new ("find", find_func, NULL))));
  g_assert_true (g_main_context_acquire (NULL));
  g_assert_false (GPOINTER_TO_INT (g_thread_join (g_thread_new ("find", find_func, NULL))));
  g_assert_true (_io_names_find_local ("one", &by_caller));
  g_assert_true (by_caller);
  g_main_context_release (NULL);

  _io_names_release (self);
}

static void
test_list (Fixture       *fixture,
           gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) empty = _io_names_list (&error);
  g_auto (GStrv) names = NULL;
  g_auto (GStrv) none = NULL;
  g_autofree char *junk = g_build_filename (fixture->directory, "junk.lock", NULL);
  IONameClaim *b = claim ("b");
  IONameClaim *a = claim ("a");

  g_assert_no_error (error);
  g_assert_cmpint (g_strv_length (empty), ==, 0);

  g_assert_true (g_file_set_contents (junk, "", 0, NULL));
  names = _io_names_list (NULL);
  g_assert_cmpint (g_strv_length (names), ==, 2);
  g_assert_cmpstr (names[0], ==, "a");
  g_assert_cmpstr (names[1], ==, "b");
  g_assert_cmpint (g_unlink (junk), ==, 0);

  /* and looking took nobody's lock away */
  assert_claim_fails ("a", IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  _io_names_release (a);
  _io_names_release (b);

  g_setenv ("IOSTREAM_RUNTIME_DIR", "/nowhere/at/all", TRUE);
  none = _io_names_list (&error);
  g_assert_no_error (error);
  g_assert_cmpint (g_strv_length (none), ==, 0);
}

/* Many processes at once: never two owners. */
static void
test_contention (Fixture       *fixture,
                 gconstpointer  data)
{
  pid_t pids[6];

  for (guint i = 0; i < G_N_ELEMENTS (pids); i++)
    {
      pids[i] = fork ();
      if (pids[i] != 0)
        continue;
      for (guint round = 0; round < 300; round++)
        {
          g_autofree char *mark = g_build_filename (fixture->directory, "mark", NULL);
          IONameClaim *self = _io_names_claim ("one", g_main_context_default (), NULL);
          int fd;

          if (self == NULL)
            continue;
          fd = open (mark, O_CREAT | O_EXCL | O_CLOEXEC, 0600);
          if (fd < 0)
            _exit (1);
          close (fd);
          if (unlink (mark) < 0)
            _exit (2);
          _io_names_release (self);
        }
      _exit (0);
    }
  for (guint i = 0; i < G_N_ELEMENTS (pids); i++)
    {
      int status;

      g_assert_cmpint (waitpid (pids[i], &status, 0), ==, pids[i]);
      g_assert_cmpint (status, ==, 0);
    }
}

#define ADD(path, func) g_test_add ("/names/" path, Fixture, NULL, set_up, func, tear_down)

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/names/check", test_check);
  g_test_add_func ("/names/directory", test_directory);
  ADD ("length", test_length);
  ADD ("claim", test_claim);
  ADD ("makes-directory", test_makes_directory);
  ADD ("directory-refused", test_directory_refused);
  ADD ("directory-of-others", test_directory_of_others);
  ADD ("unwritable", test_unwritable);
  ADD ("taken-here", test_taken_here);
  ADD ("taken-by-other-path", test_taken_by_other_path);
  ADD ("taken-elsewhere", test_taken_elsewhere);
  ADD ("stale", test_stale);
  ADD ("fork", test_fork);
  ADD ("removed", test_removed);
  ADD ("find-local", test_find_local);
  ADD ("list", test_list);
  ADD ("contention", test_contention);

  return g_test_run ();
}
