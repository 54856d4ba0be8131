/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-memory-backing-private.h"

#include "io-error.h"

#include "memory-util.h"

#include <sys/sendfile.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/uio.h>

#define SIZE ((gsize) 3 * 4096 + 100)

static IOMemoryBacking *
make (const char         *label,
      gsize               size,
      IOStreamPeerAccess  access)
{
  g_autoptr (GError) error = NULL;
  IOMemoryBacking *backing = _io_memory_backing_new (label, size, access, &error);

  g_assert_no_error (error);
  g_assert_nonnull (backing);
  return backing;
}

static guint8 *
map (IOMemoryBacking *backing,
     gboolean         writable)
{
  g_autoptr (GError) error = NULL;
  guint8 *bytes = _io_memory_backing_map (backing, writable, &error);

  g_assert_no_error (error);
  g_assert_nonnull (bytes);
  return bytes;
}

static gboolean
is_mapped (const void *address)
{
  unsigned char vec[16];

  return mincore ((void *) address, 4096, vec) == 0;
}

static void
test_new_read (void)
{
  IOMemoryBacking *backing = make ("read", SIZE, IO_STREAM_PEER_ACCESS_READ);
  int fd = _io_memory_backing_peek_fd (backing);
  struct stat st;

  g_assert_cmpuint (_io_memory_backing_get_size (backing), ==, SIZE);
  g_assert_true (_io_memory_backing_is_writable (backing));
  g_assert_false (_io_memory_backing_is_dmabuf (backing));
  g_assert_cmpint (fcntl (fd, F_GET_SEALS) & SEALS_ALL, ==, SEALS_ALL);
  g_assert_cmpint (fcntl (fd, F_GETFD), ==, FD_CLOEXEC);
  g_assert_no_errno (fstat (fd, &st));
  g_assert_cmpint (st.st_size, ==, SIZE);
  /* Nothing is left to be allocated. */
  g_assert_cmpint (st.st_blocks * 512, >=, SIZE);

  _io_memory_backing_unref (backing);
}

static void
test_new_read_write (void)
{
  IOMemoryBacking *backing = make ("write", SIZE, IO_STREAM_PEER_ACCESS_READ_WRITE);
  int fd = _io_memory_backing_peek_fd (backing);
  guint8 *peer;

  g_assert_cmpint (fcntl (fd, F_GET_SEALS) & SEALS_ALL, ==,
                   F_SEAL_SHRINK | F_SEAL_GROW);

  peer = mmap (NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  g_assert_true (peer != MAP_FAILED);
  peer[SIZE - 1] = 42;
  g_assert_cmpint (map (backing, TRUE)[SIZE - 1], ==, 42);
  munmap (peer, SIZE);

  _io_memory_backing_unref (backing);
}

static void
test_id (void)
{
  IOMemoryBacking *a = make ("a", 1, IO_STREAM_PEER_ACCESS_READ);
  IOMemoryBacking *b = make ("b", 1, IO_STREAM_PEER_ACCESS_READ);

  g_assert_cmpuint (_io_memory_backing_get_id (a), !=, 0);
  g_assert_cmpuint (_io_memory_backing_get_id (a), !=, _io_memory_backing_get_id (b));

  _io_memory_backing_unref (a);
  _io_memory_backing_unref (b);
}

static void
test_long_label (void)
{
  g_autofree char *label = g_strnfill (1000, 'x');

  _io_memory_backing_unref (make (label, 1, IO_STREAM_PEER_ACCESS_READ));
}

static void
test_one_mapping (void)
{
  IOMemoryBacking *backing = make ("one", SIZE, IO_STREAM_PEER_ACCESS_READ);
  guint8 *rw = map (backing, TRUE);
  guint8 *ro;

  g_assert_cmpuint (count_maps ("one"), ==, 1);
  ro = map (backing, FALSE);
  g_assert_true (ro != rw);
  g_assert_true (map (backing, TRUE) == rw);
  g_assert_true (map (backing, FALSE) == ro);
  g_assert_cmpuint (count_maps ("one"), ==, 2);

  memcpy (rw, "hello", 6);
  g_assert_cmpstr ((char *) ro, ==, "hello");

  _io_memory_backing_unref (_io_memory_backing_ref (backing));
  g_assert_cmpuint (count_maps ("one"), ==, 2);
  _io_memory_backing_unref (backing);
  g_assert_cmpuint (count_maps ("one"), ==, 0);
}

/* All the ways into memory that is sealed against writers. */
static void
test_future_write (void)
{
  IOMemoryBacking *backing = make ("sealed", SIZE, IO_STREAM_PEER_ACCESS_READ);
  int fd = _io_memory_backing_peek_fd (backing);
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", fd);
  guint8 byte = 1;
  struct iovec iov = { &byte, 1 };
  guint8 *own = map (backing, TRUE);
  guint8 *ro, *copy;
  int again, other;

  own[0] = 1;

  g_assert_true (mmap (NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
  g_assert_cmpint (errno, ==, EPERM);
  g_assert_true (mmap (NULL, SIZE, PROT_WRITE, MAP_SHARED_VALIDATE, fd, 0) == MAP_FAILED);
  g_assert_cmpint (errno, ==, EPERM);

  ro = mmap (NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
  g_assert_true (ro != MAP_FAILED);
  assert_fails (mprotect (ro, SIZE, PROT_READ | PROT_WRITE), EACCES);
  assert_fails (madvise (ro, 4096, MADV_REMOVE), EACCES);
  assert_fails (madvise (own, 4096, MADV_REMOVE), EPERM);

  assert_fails (write (fd, "x", 1), EPERM);
  assert_fails (pwrite (fd, "x", 1, 0), EPERM);
  assert_fails (pwritev (fd, &iov, 1, 0), EPERM);
  assert_fails (fallocate (fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), EPERM);
  assert_fails (fallocate (fd, FALLOC_FL_ZERO_RANGE, 0, 4096), EOPNOTSUPP);
  assert_fails (fallocate (fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), EOPNOTSUPP);
  assert_fails (fallocate (fd, 0, 0, (off_t) SIZE + 4096), EPERM);
  assert_fails (ftruncate (fd, 0), EPERM);
  assert_fails (ftruncate (fd, (off_t) SIZE * 2), EPERM);
  assert_fails (fcntl (fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);

  other = make_memfd (SIZE, 0);
  assert_fails (sendfile (fd, other, NULL, SIZE), EPERM);
  assert_fails (copy_file_range (other, NULL, fd, NULL, SIZE, 0), EPERM);
  close (other);

  assert_fails (open (path, O_RDWR | O_TRUNC | O_CLOEXEC), EPERM);
  again = open (path, O_RDWR | O_CLOEXEC);
  g_assert_cmpint (again, >=, 0);
  g_assert_true (mmap (NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0) == MAP_FAILED);
  g_assert_cmpint (errno, ==, EPERM);
  assert_fails (pwrite (again, "x", 1, 0), EPERM);
  assert_fails (fallocate (again, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), EPERM);
  close (again);

  /* A copy of one's own is harmless. */
  copy = mmap (NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  g_assert_true (copy != MAP_FAILED);
  copy[0] = 99;
  munmap (copy, SIZE);

  /* The owner goes on writing. */
  g_assert_cmpint (ro[0], ==, 1);
  own[0] = 2;
  g_assert_cmpint (ro[0], ==, 2);

  munmap (ro, SIZE);
  _io_memory_backing_unref (backing);
}

static void
test_seal_writers (void)
{
  g_autoptr (GError) error = NULL;
  IOMemoryBacking *backing = make ("late", SIZE, IO_STREAM_PEER_ACCESS_READ_WRITE);
  int fd = _io_memory_backing_peek_fd (backing);
  guint8 *peer = mmap (NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  struct stat st;

  g_assert_true (peer != MAP_FAILED);
  g_assert_no_errno (fallocate (fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));

  g_assert_true (_io_memory_backing_seal_writers (backing, &error));
  g_assert_no_error (error);
  g_assert_cmpint (fcntl (fd, F_GET_SEALS) & SEALS_ALL, ==, SEALS_ALL);
  g_assert_no_errno (fstat (fd, &st));
  g_assert_cmpint (st.st_blocks * 512, >=, SIZE);

  /* The peer's mapping of before still writes, but can make no hole. */
  peer[0] = 7;
  g_assert_cmpint (map (backing, FALSE)[0], ==, 7);
  assert_fails (madvise (peer, 4096, MADV_REMOVE), EPERM);
  g_assert_true (mmap (NULL, SIZE, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);

  g_assert_true (_io_memory_backing_seal_writers (backing, &error));
  _io_memory_backing_close_fd (backing);
  g_assert_false (_io_memory_backing_seal_writers (backing, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);

  munmap (peer, SIZE);
  _io_memory_backing_unref (backing);
}

static void
test_give_up_writing (void)
{
  g_autoptr (GError) error = NULL;
  IOMemoryBacking *backing = make ("given", SIZE, IO_STREAM_PEER_ACCESS_READ_WRITE);
  guint8 *bytes = map (backing, TRUE);

  bytes[0] = 5;
  g_assert_false (write_crashes (bytes));
  g_assert_true (_io_memory_backing_give_up_writing (backing, &error));
  g_assert_no_error (error);
  g_assert_true (write_crashes (bytes));
  g_assert_false (_io_memory_backing_is_writable (backing));
  g_assert_null (_io_memory_backing_map (backing, TRUE, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_WRITABLE);

  /* No second mapping for what one does. */
  g_assert_true (map (backing, FALSE) == bytes);
  g_assert_cmpuint (count_maps ("given"), ==, 1);

  _io_memory_backing_unref (backing);
}

static void
check_not_mapped (gpointer data)
{
  g_assert_false (is_mapped (data));
}

static void
check_mapped (gpointer data)
{
  g_assert_true (is_mapped (data));
}

static void
test_dont_fork (void)
{
  IOMemoryBacking *backing = make ("fork", SIZE, IO_STREAM_PEER_ACCESS_READ);
  guint8 *bytes = map (backing, TRUE);

  run_in_child (check_mapped, bytes);
  _io_memory_backing_dont_fork (backing);
  run_in_child (check_not_mapped, bytes);
  /* Also what is mapped later. */
  run_in_child (check_not_mapped, map (backing, FALSE));
  g_assert_true (is_mapped (bytes));

  _io_memory_backing_unref (backing);
}

static void
test_close_fd (void)
{
  g_autoptr (GError) error = NULL;
  guint fds = count_fds ();
  IOMemoryBacking *backing = make ("closed", SIZE, IO_STREAM_PEER_ACCESS_READ);
  guint8 *bytes = map (backing, TRUE);

  g_assert_cmpuint (count_fds (), ==, fds + 1);
  _io_memory_backing_close_fd (backing);
  _io_memory_backing_close_fd (backing);
  g_assert_cmpuint (count_fds (), ==, fds);
  g_assert_cmpint (_io_memory_backing_peek_fd (backing), ==, -1);

  bytes[0] = 1;
  g_assert_true (map (backing, TRUE) == bytes);
  g_assert_null (_io_memory_backing_map (backing, FALSE, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_VM_ERROR);

  _io_memory_backing_unref (backing);
  g_assert_false (is_mapped (bytes));
}

static void
test_bad_size (void)
{
  static const gsize sizes[] = { 0, G_MAXSIZE, G_MAXSSIZE, (gsize) G_MAXSSIZE + 1 };
  guint fds = count_fds ();

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (_io_memory_backing_new ("bad", sizes[i],
                                             IO_STREAM_PEER_ACCESS_READ, &error));
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
    }

  g_assert_cmpuint (count_fds (), ==, fds);
}

static void
test_no_memory (void)
{
  g_autoptr (GError) error = NULL;
  guint fds = count_fds ();
  struct sysinfo info;

  if (g_getenv ("IOSTREAM_TEST_VALGRIND") != NULL)
    {
      g_test_skip ("valgrind keeps limits of its own");
      return;
    }

  g_assert_no_errno (sysinfo (&info));
  g_assert_null (_io_memory_backing_new ("large",
                                         (info.totalram + info.totalswap + 2) * info.mem_unit,
                                         IO_STREAM_PEER_ACCESS_READ, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_MEMORY);
  g_clear_error (&error);

  /* More than there are addresses. */
  g_assert_null (_io_memory_backing_new_take_fd (make_memfd ((gsize) 1 << 57, SEALS_ALL),
                                                 1, G_MAXSSIZE, TRUE, FALSE, &error));
  g_assert_nonnull (error);
  g_assert_true (error->domain == IO_STREAM_ERROR);

  g_assert_cmpuint (count_fds (), ==, fds);
}

static void
create_over_file_limit (gpointer data)
{
  g_autoptr (GError) error = NULL;
  IOMemoryBacking *backing;

  set_limit (RLIMIT_FSIZE, SIZE);
  g_assert_null (_io_memory_backing_new ("limit", SIZE + 1,
                                         IO_STREAM_PEER_ACCESS_READ, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES);
  g_assert_nonnull (strstr (error->message, "limit of file sizes"));

  backing = make ("limit", SIZE, IO_STREAM_PEER_ACCESS_READ_WRITE);
  set_limit (RLIMIT_FSIZE, 0);
  g_clear_error (&error);
  g_assert_true (_io_memory_backing_seal_writers (backing, &error));
  _io_memory_backing_unref (backing);
}

static void
test_file_size_limit (void)
{
  run_in_child (create_over_file_limit, NULL);
}

static void
create_without_descriptors (gpointer data)
{
  g_autoptr (GError) error = NULL;

  set_limit (RLIMIT_NOFILE, 3);
  g_assert_null (_io_memory_backing_new ("none", SIZE, IO_STREAM_PEER_ACCESS_READ, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES);
  g_clear_error (&error);

  g_assert_null (_io_memory_backing_new_dup_fd (0, FALSE, &error));
  g_assert_nonnull (error);
}

static void
test_no_descriptors (void)
{
  run_in_child (create_without_descriptors, NULL);
}

static void
nothing_cb (int signum)
{
}

/* A timer that is faster than the filling of the memory must not stop it. */
static void
create_under_timer (gpointer data)
{
  struct sigaction action = { .sa_handler = nothing_cb };
  struct itimerval timer = { { 0, 200 }, { 0, 200 } };
  IOMemoryBacking *backing;

  g_assert_no_errno (sigaction (SIGALRM, &action, NULL));
  g_assert_no_errno (setitimer (ITIMER_REAL, &timer, NULL));
  backing = make ("timer", (gsize) 64 << 20, IO_STREAM_PEER_ACCESS_READ);
  _io_memory_backing_unref (backing);
}

static void
test_interrupted (void)
{
  run_in_child (create_under_timer, NULL);
}

static void
assert_refused (int         fd,
                gboolean    read_only,
                const char *text)
{
  g_autoptr (GError) error = NULL;
  guint fds = count_fds ();

  g_assert_null (_io_memory_backing_new_take_fd (fd, SIZE, SIZE * 2, read_only,
                                                 FALSE, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_VM_ERROR);
  if (strstr (error->message, text) == NULL)
    g_error ("\"%s\" does not contain \"%s\"", error->message, text);
  /* It was ours, so it is closed. */
  g_assert_cmpuint (count_fds (), ==, fds - 1);
}

static void
test_foreign_seals (void)
{
  const int size_seals = F_SEAL_SHRINK | F_SEAL_GROW;

  assert_refused (make_memfd (SIZE, 0), FALSE, "missing F_SEAL_SHRINK, F_SEAL_GROW");
  assert_refused (make_memfd (SIZE, F_SEAL_GROW), FALSE, "missing F_SEAL_SHRINK");
  assert_refused (make_memfd (SIZE, F_SEAL_SHRINK), FALSE, "missing F_SEAL_GROW");
  assert_refused (make_memfd (SIZE, size_seals | F_SEAL_SEAL), TRUE,
                  "missing F_SEAL_FUTURE_WRITE");
  assert_refused (make_memfd (SIZE, size_seals | F_SEAL_FUTURE_WRITE), TRUE,
                  "missing F_SEAL_SEAL");
  assert_refused (make_memfd (SIZE, SEALS_ALL), FALSE, "for writing");
}

static void
test_foreign_sizes (void)
{
  assert_refused (make_memfd (SIZE - 1, SEALS_ALL), TRUE, "not within");
  assert_refused (make_memfd (SIZE * 2 + 1, SEALS_ALL), TRUE, "not within");
  assert_refused (make_memfd (0, SEALS_ALL), TRUE, "not within");
  assert_refused (make_memfd (G_MAXSSIZE, SEALS_ALL), TRUE, "not within");
}

static void
test_foreign_kinds (void)
{
  g_autofree char *path = NULL;
  g_autofree char *shm = g_strdup_printf ("/dev/shm/iostream-test-%d", getpid ());
  int fds[2], fd;

  g_assert_no_errno (pipe2 (fds, O_CLOEXEC));
  assert_refused (fds[0], TRUE, "of another kind");
  assert_refused (fds[1], TRUE, "of another kind");

  fd = g_file_open_tmp (NULL, &path, NULL);
  g_assert_cmpint (fd, >=, 0);
  g_assert_no_errno (ftruncate (fd, SIZE));
  unlink (path);
  assert_refused (fd, TRUE, "");

  assert_refused (open ("/dev/null", O_RDWR | O_CLOEXEC), TRUE, "");
  assert_refused (open ("/proc/self/maps", O_RDONLY | O_CLOEXEC), TRUE, "of another kind");

  /* The right file system, but whoever has the name can shrink it. */
  fd = open (shm, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0)
    return g_test_skip ("/dev/shm cannot be written");
  g_assert_no_errno (ftruncate (fd, SIZE));
  unlink (shm);
  assert_refused (fd, TRUE, "missing F_SEAL_SHRINK");
}

static void
test_foreign_huge_pages (void)
{
  int fd = memfd_create ("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);

  if (fd < 0)
    return g_test_skip ("No huge pages here");

  assert_refused (fd, TRUE, "of another kind");
}

static void
test_foreign_read_only (void)
{
  g_autoptr (GError) error = NULL;
  IOMemoryBacking *owner = make ("foreign", SIZE, IO_STREAM_PEER_ACCESS_READ);
  IOMemoryBacking *client;
  int fd = fcntl (_io_memory_backing_peek_fd (owner), F_DUPFD, 3);

  client = _io_memory_backing_new_take_fd (fd, SIZE, SIZE, TRUE, FALSE, &error);
  g_assert_no_error (error);
  g_assert_cmpint (_io_memory_backing_peek_fd (client), ==, fd);
  g_assert_cmpint (fcntl (fd, F_GETFD), ==, FD_CLOEXEC);
  g_assert_cmpuint (_io_memory_backing_get_size (client), ==, SIZE);
  g_assert_false (_io_memory_backing_is_writable (client));
  g_assert_null (_io_memory_backing_map (client, TRUE, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_WRITABLE);

  map (owner, TRUE)[9] = 9;
  g_assert_cmpint (map (client, FALSE)[9], ==, 9);
  g_assert_true (write_crashes (map (client, FALSE)));

  _io_memory_backing_unref (owner);
  g_assert_cmpint (map (client, FALSE)[9], ==, 9);
  _io_memory_backing_unref (client);
}

static void
test_foreign_writable (void)
{
  g_autoptr (GError) error = NULL;
  IOMemoryBacking *owner = make ("both", SIZE, IO_STREAM_PEER_ACCESS_READ_WRITE);
  IOMemoryBacking *client;
  int fd = fcntl (_io_memory_backing_peek_fd (owner), F_DUPFD_CLOEXEC, 3);

  client = _io_memory_backing_new_take_fd (fd, SIZE, SIZE, FALSE, FALSE, &error);
  g_assert_no_error (error);
  g_assert_true (_io_memory_backing_is_writable (client));
  /* It was mapped at once, so a seal does not come too late for us. */
  g_assert_true (_io_memory_backing_seal_writers (owner, &error));
  map (client, TRUE)[0] = 3;
  g_assert_cmpint (map (owner, FALSE)[0], ==, 3);

  _io_memory_backing_unref (client);
  _io_memory_backing_unref (owner);
}

static void
test_foreign_write_sealed (void)
{
  g_autoptr (GError) error = NULL;
  IOMemoryBacking *client;
  int fd = make_memfd (SIZE, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);

  client = _io_memory_backing_new_take_fd (fd, SIZE, SIZE, TRUE, FALSE, &error);
  g_assert_no_error (error);
  g_assert_nonnull (client);
  _io_memory_backing_unref (client);
}

static void
test_dup_fd (void)
{
  g_autoptr (GError) error = NULL;
  guint fds = count_fds ();
  int fd = make_memfd (SIZE, F_SEAL_SHRINK | F_SEAL_GROW);
  IOMemoryBacking *backing = _io_memory_backing_new_dup_fd (fd, TRUE, &error);

  g_assert_no_error (error);
  g_assert_cmpint (_io_memory_backing_peek_fd (backing), !=, fd);
  close (fd);
  map (backing, TRUE)[SIZE - 1] = 1;
  _io_memory_backing_unref (backing);

  g_assert_null (_io_memory_backing_new_dup_fd (-1, TRUE, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
  g_assert_cmpuint (count_fds (), ==, fds);
}

static gpointer
map_thread (gpointer data)
{
  return map (data, FALSE);
}

static void
test_threads (void)
{
  IOMemoryBacking *backing = make ("threads", SIZE, IO_STREAM_PEER_ACCESS_READ);
  GThread *threads[8];
  gpointer first = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("map", map_thread, backing);
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    {
      gpointer address = g_thread_join (threads[i]);

      if (first == NULL)
        first = address;
      g_assert_true (address == first);
    }

  g_assert_cmpuint (count_maps ("threads"), ==, 2);
  _io_memory_backing_unref (backing);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/memory-backing/new/read", test_new_read);
  g_test_add_func ("/memory-backing/new/read-write", test_new_read_write);
  g_test_add_func ("/memory-backing/new/bad-size", test_bad_size);
  g_test_add_func ("/memory-backing/new/no-memory", test_no_memory);
  g_test_add_func ("/memory-backing/new/file-size-limit", test_file_size_limit);
  g_test_add_func ("/memory-backing/new/no-descriptors", test_no_descriptors);
  g_test_add_func ("/memory-backing/new/interrupted", test_interrupted);
  g_test_add_func ("/memory-backing/new/long-label", test_long_label);
  g_test_add_func ("/memory-backing/id", test_id);
  g_test_add_func ("/memory-backing/one-mapping", test_one_mapping);
  g_test_add_func ("/memory-backing/future-write", test_future_write);
  g_test_add_func ("/memory-backing/seal-writers", test_seal_writers);
  g_test_add_func ("/memory-backing/give-up-writing", test_give_up_writing);
  g_test_add_func ("/memory-backing/dont-fork", test_dont_fork);
  g_test_add_func ("/memory-backing/close-fd", test_close_fd);
  g_test_add_func ("/memory-backing/foreign/seals", test_foreign_seals);
  g_test_add_func ("/memory-backing/foreign/sizes", test_foreign_sizes);
  g_test_add_func ("/memory-backing/foreign/kinds", test_foreign_kinds);
  g_test_add_func ("/memory-backing/foreign/huge-pages", test_foreign_huge_pages);
  g_test_add_func ("/memory-backing/foreign/read-only", test_foreign_read_only);
  g_test_add_func ("/memory-backing/foreign/writable", test_foreign_writable);
  g_test_add_func ("/memory-backing/foreign/write-sealed", test_foreign_write_sealed);
  g_test_add_func ("/memory-backing/dup-fd", test_dup_fd);
  g_test_add_func ("/memory-backing/threads", test_threads);

  return g_test_run ();
}
