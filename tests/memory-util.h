/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

#define SEALS_ALL (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

#define assert_fails(result, errsv) \
  G_STMT_START { \
    errno = 0; \
    g_assert_cmpint ((result), ==, -1); \
    g_assert_cmpint (errno, ==, (errsv)); \
  } G_STMT_END

static inline guint
count_fds (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n = 0;

  g_assert_nonnull (dir);
  while (g_dir_read_name (dir) != NULL)
    n++;

  return n;
}

/* How often shared memory of ours with @label is mapped into this process. */
static inline guint
count_maps (const char *label)
{
  g_autofree char *name = g_strdup_printf ("/memfd:iostream-%s", label);
  g_autofree char *text = NULL;
  guint n = 0;

  g_assert_true (g_file_get_contents ("/proc/self/maps", &text, NULL, NULL));
  for (const char *p = text; (p = strstr (p, name)) != NULL; p++)
    n++;

  return n;
}

static inline int
make_memfd (gsize size,
            int   seals)
{
  int fd = memfd_create ("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

  g_assert_cmpint (fd, >=, 0);
  g_assert_no_errno (ftruncate (fd, (off_t) size));
  g_assert_no_errno (fcntl (fd, F_ADD_SEALS, seals));

  return fd;
}

/* The limits that a test sets stay in the child. It leaves by a signal: a
 * checker of leaks has nothing to look for in half a process. */
static inline void
run_in_child (void     (*func) (gpointer data),
              gpointer   data)
{
  volatile int *done = mmap (NULL, sizeof (int), PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t pid;
  int status;

  g_assert_true (done != MAP_FAILED);
  pid = fork ();
  g_assert_cmpint (pid, >=, 0);
  if (pid == 0)
    {
      func (data);
      *done = 1;
      kill (getpid (), SIGKILL);
    }

  while (waitpid (pid, &status, 0) < 0)
    g_assert_cmpint (errno, ==, EINTR);
  g_assert_true (WIFSIGNALED (status));
  g_assert_cmpint (*done, ==, 1);
  munmap ((void *) done, sizeof (int));
}

static inline gboolean
write_crashes (guint8 *bytes)
{
  pid_t pid = fork ();
  struct rlimit none = { 0, 0 };
  int status;

  g_assert_cmpint (pid, >=, 0);
  if (pid == 0)
    {
      setrlimit (RLIMIT_CORE, &none);
      signal (SIGSEGV, SIG_DFL);
      *(volatile guint8 *) bytes = 1;
      kill (getpid (), SIGKILL);
    }

  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFSIGNALED (status));
  return WTERMSIG (status) == SIGSEGV;
}

static inline void
set_limit (int    resource,
           rlim_t value)
{
  struct rlimit limit;

  g_assert_no_errno (getrlimit (resource, &limit));
  limit.rlim_cur = value;
  g_assert_no_errno (setrlimit (resource, &limit));
}
