/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-fork-private.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

/* The inode too, so that a number that was closed behind our back and given
 * to something else is left alone. */
typedef struct {
  int   fd;
  dev_t dev;
  ino_t ino;
} Lifeline;

static guint fork_count;
static GArray *lifelines;
static GMutex lifelines_mutex;

static void
prepare_fork (void)
{
  g_mutex_lock (&lifelines_mutex);
}

static void
finish_fork (void)
{
  g_mutex_unlock (&lifelines_mutex);
}

static gboolean
is_ours (const Lifeline *line)
{
  struct stat st;

  return fstat (line->fd, &st) == 0 && st.st_dev == line->dev && st.st_ino == line->ino;
}

/* The numbers stay taken, by something that means nothing, since objects of
 * the child still close them. Only calls that are safe here. */
static void
cut_lifelines (void)
{
  int blank = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);

  for (guint i = 0; i < lifelines->len; i++)
    {
      const Lifeline *line = &g_array_index (lifelines, Lifeline, i);

      /* With no descriptor left there is none to put in its place. */
      if (is_ours (line) && (blank < 0 || dup3 (blank, line->fd, O_CLOEXEC) < 0))
        close (line->fd);
    }

  if (blank >= 0)
    close (blank);
  g_array_set_size (lifelines, 0);
}

static void
start_child (void)
{
  fork_count++;
  cut_lifelines ();
  g_mutex_unlock (&lifelines_mutex);
}

static void
watch_forks (void)
{
  static gsize initialized = 0;

  if (g_once_init_enter (&initialized))
    {
      lifelines = g_array_new (FALSE, FALSE, sizeof (Lifeline));
      pthread_atfork (prepare_fork, finish_fork, start_child);
      g_once_init_leave (&initialized, 1);
    }
}

guint
_io_fork_count (void)
{
  watch_forks ();

  return fork_count;
}

void
_io_fork_add_lifeline (int fd)
{
  Lifeline line = { .fd = fd };
  struct stat st;

  watch_forks ();
  if (fstat (fd, &st) < 0)
    return;

  line.dev = st.st_dev;
  line.ino = st.st_ino;
  g_mutex_lock (&lifelines_mutex);
  g_array_append_val (lifelines, line);
  g_mutex_unlock (&lifelines_mutex);
}

void
_io_fork_remove_lifeline (int fd)
{
  watch_forks ();
  g_mutex_lock (&lifelines_mutex);
  for (guint i = 0; i < lifelines->len; i++)
    if (g_array_index (lifelines, Lifeline, i).fd == fd)
      {
        g_array_remove_index_fast (lifelines, i);
        break;
      }
  g_mutex_unlock (&lifelines_mutex);
}
