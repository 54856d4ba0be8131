/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

/* The other process of the tests with two of them: this program once more,
 * with "--peer" and the name of a role. It takes orders on its standard input
 * and answers on its standard output, line by line. */

#include "stream-util.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where a peer finds what is handed down to it. */
#define PEER_SOCKET_FD 3
#define PEER_BOARD_FD  4

typedef struct {
  GPid  pid;
  FILE *orders;
  FILE *answers;
} Peer;

static inline char **
peer_program (void)
{
  static char *program;

  return &program;
}

static inline void
peer_add_fd (GArray *sources,
             GArray *targets,
             int     fd,
             int     target)
{
  if (fd < 0)
    return;
  g_array_append_val (sources, fd);
  g_array_append_val (targets, target);
}

/* @socket and @board: -1 for none; they stay open here. */
static inline Peer *
peer_spawn (int         socket,
            int         board,
            const char *role,
            ...) G_GNUC_NULL_TERMINATED;

static inline Peer *
peer_spawn (int         socket,
            int         board,
            const char *role,
            ...)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  g_autoptr (GArray) sources = g_array_new (FALSE, FALSE, sizeof (int));
  g_autoptr (GArray) targets = g_array_new (FALSE, FALSE, sizeof (int));
  g_autoptr (GError) error = NULL;
  Peer *self = g_new0 (Peer, 1);
  int in, out;
  va_list args;

  peer_add_fd (sources, targets, socket, PEER_SOCKET_FD);
  peer_add_fd (sources, targets, board, PEER_BOARD_FD);
  g_ptr_array_add (argv, *peer_program ());
  g_ptr_array_add (argv, (gpointer) "--peer");
  va_start (args, role);
  for (const char *arg = role; arg != NULL; arg = va_arg (args, const char *))
    g_ptr_array_add (argv, (gpointer) arg);
  va_end (args);
  g_ptr_array_add (argv, NULL);

  g_spawn_async_with_pipes_and_fds (NULL, (const char *const *) argv->pdata, NULL,
                                    G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, -1, -1, -1,
                                    (int *) (void *) sources->data, (int *) (void *) targets->data,
                                    sources->len, &self->pid, &in, &out, NULL, &error);
  g_assert_no_error (error);
  fcntl (in, F_SETFD, FD_CLOEXEC);
  fcntl (out, F_SETFD, FD_CLOEXEC);
  self->orders = fdopen (in, "w");
  self->answers = fdopen (out, "r");

  return self;
}

/* The next line; NULL at the end. */
static inline char *
peer_read (Peer *self)
{
  char line[4096];

  if (fgets (line, sizeof line, self->answers) == NULL)
    return NULL;

  return g_strchomp (g_strdup (line));
}

static inline void
peer_expect (Peer       *self,
             const char *line)
{
  g_autofree char *answer = peer_read (self);

  g_assert_cmpstr (answer, ==, line);
}

static inline void
peer_order (Peer       *self,
            const char *order)
{
  g_assert_cmpint (fprintf (self->orders, "%s\n", order), >, 0);
  g_assert_cmpint (fflush (self->orders), ==, 0);
}

/* Waits for its end; returns what waitpid() says. */
static inline int
peer_reap (Peer *self)
{
  int status = 0;

  fclose (self->orders);
  while (waitpid (self->pid, &status, 0) < 0)
    g_assert_cmpint (errno, ==, EINTR);
  fclose (self->answers);
  g_free (self);

  return status;
}

static inline void
peer_kill (Peer *self)
{
  int status;

  g_assert_cmpint (kill (self->pid, SIGKILL), ==, 0);
  status = peer_reap (self);
  g_assert_true (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL);
}

static inline void
peer_finish (Peer *self)
{
  int status = peer_reap (self);

  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);
}

/* For those that wait for one more order. */
static inline void
peer_end (Peer *self)
{
  peer_order (self, "end");
  peer_finish (self);
}

/* Stops it, and returns when it stands still. */
static inline void
peer_freeze (Peer *self)
{
  int status;

  g_assert_cmpint (kill (self->pid, SIGSTOP), ==, 0);
  g_assert_cmpint (waitpid (self->pid, &status, WUNTRACED), ==, self->pid);
  g_assert_true (WIFSTOPPED (status));
}

static inline void
peer_thaw (Peer *self)
{
  g_assert_cmpint (kill (self->pid, SIGCONT), ==, 0);
}

/* Within the peer. */

/* It does not outlive the test, also if that fails while it is stopped. */
static inline void
peer_begin (void)
{
  g_assert_cmpint (prctl (PR_SET_PDEATHSIG, SIGKILL), ==, 0);
}

static inline void
peer_say (const char *format,
          ...) G_GNUC_PRINTF (1, 2);

static inline void
peer_say (const char *format,
          ...)
{
  va_list args;

  va_start (args, format);
  vprintf (format, args);
  va_end (args);
  putchar ('\n');
  fflush (stdout);
}

/* The next order; NULL when the other process is gone. */
static inline char *
peer_take_order (void)
{
  char line[256];

  if (fgets (line, sizeof line, stdin) == NULL)
    return NULL;

  return g_strchomp (g_strdup (line));
}

static inline GSocket *
peer_inherited_socket (void)
{
  g_autoptr (GError) error = NULL;
  GSocket *socket = g_socket_new_from_fd (PEER_SOCKET_FD, &error);

  g_assert_no_error (error);
  fcntl (PEER_SOCKET_FD, F_SETFD, FD_CLOEXEC);

  return socket;
}

static inline void
make_socket_pair (int fds[2])
{
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), ==, 0);
}

/* A page that both processes see, for what one of them did last. */
static inline _Atomic guint64 *
map_board (int fd)
{
  _Atomic guint64 *board = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

  g_assert_true (board != MAP_FAILED);

  return board;
}

static inline int
make_board (void)
{
  int fd = memfd_create ("board", MFD_CLOEXEC);

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (ftruncate (fd, 4096), ==, 0);

  return fd;
}

/* What a process holds. */

static inline guint
count_lines (const char *path,
             const char *part)
{
  char line[1024];
  FILE *file = fopen (path, "re");
  guint n = 0;

  g_assert_nonnull (file);
  while (fgets (line, sizeof line, file) != NULL)
    n += strstr (line, part) != NULL;
  fclose (file);

  return n;
}

static inline guint
count_stream_maps (void)
{
  return count_lines ("/proc/self/maps", "memfd:iostream");
}

static inline guint
count_open_fds (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;

  return n;
}

static inline guint64
resident_bytes (void)
{
  FILE *file = fopen ("/proc/self/statm", "re");
  unsigned long size, resident;

  g_assert_cmpint (fscanf (file, "%lu %lu", &size, &resident), ==, 2);
  fclose (file);

  return (guint64) resident * (guint64) sysconf (_SC_PAGESIZE);
}

/* The payload: the data part is filled after its number, the control part
 * tells the number and a checksum that goes over every word. */

typedef struct {
  guint64 number;
  guint64 sum;
} PayloadControl;

static inline guint64
payload_word (guint64 number,
              gsize   i)
{
  return (number + 1) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15) + i * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
}

static inline guint64
payload_sum (const guint64 *words,
             gsize          n)
{
  guint64 sum = n;

  for (gsize i = 0; i < n; i++)
    sum = (sum ^ words[i]) * G_GUINT64_CONSTANT (0x100000001b3);

  return sum;
}

static inline void
payload_fill (void    *data,
              void    *control,
              gsize    size,
              guint64  number)
{
  PayloadControl *words = control;
  guint64 *to = data;

  for (gsize i = 0; i < size / 8; i++)
    to[i] = payload_word (number, i);
  words->number = number;
  words->sum = payload_sum (to, size / 8);
}

static inline gboolean
payload_is (const void *data,
            const void *control,
            gsize       size,
            guint64     number)
{
  const PayloadControl *words = control;
  const guint64 *from = data;

  return words->number == number && words->sum == payload_sum (from, size / 8) &&
         from[0] == payload_word (number, 0) &&
         from[size / 8 - 1] == payload_word (number, size / 8 - 1);
}
