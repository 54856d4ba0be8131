/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-names-watch-private.h"

#include "io-fork-private.h"
#include "io-names-private.h"

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* The kernel tells of everything that can happen to a name: its record is
 * written (modify), it is given back (delete), or its owner dies, for then the
 * kernel closes the descriptor of the lock file (close-write), after the lock
 * is gone. So nobody needs to be asked at intervals, unless the system has no
 * inotify left for us.
 *
 * We read the files ourselves, which would be heard by close-nowrite and access:
 * these two are not listened to. */

#define EVENTS    (IN_CLOSE_WRITE | IN_MODIFY | IN_CREATE | IN_DELETE | IN_MOVED_FROM | \
                   IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define MAX_READS 64

typedef struct {
  GSource   source;
  char     *directory;
  int       fd;
  int       wd;        /* -1: the directory is not watched */
  guint     forks;
} NamesWatch;

/* What one turn heard. */
typedef struct {
  GPtrArray  *names;
  GHashTable *seen;    /* of the same strings */
  gboolean    all;
  gboolean    lost;    /* the directory is no longer there */
} Heard;

gboolean _io_names_watch_without_inotify;

static void
hear_event (NamesWatch                 *self,
            const struct inotify_event *event,
            Heard                      *heard)
{
  char *name;

  if (event->mask & IN_Q_OVERFLOW)
    heard->all = TRUE;
  if (event->wd != self->wd)
    return;
  if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT))
    heard->lost = TRUE;
  if (event->len == 0)
    return;

  name = _io_names_dup_name_of_lock (event->name);
  if (name == NULL || g_hash_table_contains (heard->seen, name))
    {
      g_free (name);
      return;
    }
  g_hash_table_add (heard->seen, name);
  g_ptr_array_add (heard->names, name);
}

static gboolean
hear_some (NamesWatch *self,
           Heard      *heard)
{
  _Alignas (struct inotify_event) char buffer[16384];
  gssize n;

  do
    n = read (self->fd, buffer, sizeof buffer);
  while (n < 0 && errno == EINTR);

  for (gssize i = 0; i < n;)
    {
      const struct inotify_event *event = (const struct inotify_event *) (const void *) (buffer + i);

      hear_event (self, event, heard);
      i += sizeof *event + event->len;
    }

  return n > 0;
}

static gboolean
watch_directory (NamesWatch  *self,
                 GError     **error)
{
  if (!_io_names_make_directory (self->directory, error))
    return FALSE;

  if (self->fd >= 0)
    self->wd = inotify_add_watch (self->fd, self->directory, EVENTS);

  return TRUE;
}

static void
watch_again (NamesWatch *self)
{
  if (self->fd >= 0 && self->wd >= 0)
    inotify_rm_watch (self->fd, self->wd);
  self->wd = -1;
  watch_directory (self, NULL);
}

static gboolean
is_forked (NamesWatch *self)
{
  return self->forks != _io_fork_count ();
}

static gboolean
names_watch_dispatch (GSource     *source,
                      GSourceFunc  callback,
                      gpointer     user_data)
{
  NamesWatch *self = (NamesWatch *) source;
  IONamesWatchFunc func = (IONamesWatchFunc) (GCallback) callback;
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  Heard heard = { names, seen, FALSE, FALSE };
  gboolean again = FALSE;

  /* The events belong to the parent. */
  if (is_forked (self))
    return G_SOURCE_REMOVE;

  for (guint i = 0; self->fd >= 0 && i < MAX_READS && hear_some (self, &heard); i++)
    ;
  if (heard.lost || self->wd < 0)
    {
      watch_again (self);
      heard.all = TRUE;
    }

  if (func != NULL)
    again = func (heard.all ? NULL : names, user_data);
  if (g_source_is_destroyed (source))
    return G_SOURCE_REMOVE;

  g_source_set_ready_time (source, again ? 0 : self->wd >= 0 ? -1 :
                           g_get_monotonic_time () + IO_NAMES_WATCH_INTERVAL * 1000);
  return G_SOURCE_CONTINUE;
}

static void
names_watch_finalize (GSource *source)
{
  NamesWatch *self = (NamesWatch *) source;

  if (self->fd >= 0)
    close (self->fd);
  g_free (self->directory);
}

static GSourceFuncs names_watch_funcs = {
  NULL,
  NULL,
  names_watch_dispatch,
  names_watch_finalize,
  NULL,
  NULL,
};

GSource *
_io_names_watch_new (const char  *directory,
                     GError     **error)
{
  g_autoptr (GSource) source = g_source_new (&names_watch_funcs, sizeof (NamesWatch));
  NamesWatch *self = (NamesWatch *) source;

  g_source_set_static_name (source, "[iostream] names");
  self->directory = g_strdup (directory);
  self->forks = _io_fork_count ();
  self->wd = -1;
  self->fd = _io_names_watch_without_inotify ? -1 : inotify_init1 (IN_CLOEXEC | IN_NONBLOCK);
  if (!watch_directory (self, error))
    return NULL;

  if (self->fd >= 0)
    g_source_add_unix_fd (source, self->fd, G_IO_IN);
  g_source_set_ready_time (source, 0);

  return g_steal_pointer (&source);
}
