/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-names-wait-private.h"

#include "io-error.h"
#include "io-fork-private.h"
#include "io-names-private.h"
#include "io-names-watch-private.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The thread that reads the watches; it is there as long as somebody waits. */
typedef struct {
  GMainContext *context;
  GMainLoop    *loop;
  GThread      *thread;
} Worker;

/* A directory, of which there is more than one only if the environment
 * changes. */
typedef struct {
  char    *path;
  GSource *watch;
  GQueue   waits;
} Directory;

struct _IONamesWait {
  char      *name;
  guint      forks;
  Directory *directory;
  Worker    *worker;
  GList      link;      /* of the directory */
  GSource   *timer;
  GSource   *source;    /* borrowed */
  gboolean   touched;
  int        fd;
};

static GMutex lock;
static GPtrArray *directories;   /* of Directory; NULL if there are none */
static Worker *worker;

/* A forked child has no such thread, and starts anew. */

static void
prepare_fork (void)
{
  g_mutex_lock (&lock);
}

static void
finish_fork (void)
{
  g_mutex_unlock (&lock);
}

static void
start_child (void)
{
  directories = NULL;
  worker = NULL;
  g_mutex_unlock (&lock);
}

static void
watch_forks (void)
{
  static gsize initialized = 0;

  if (g_once_init_enter (&initialized))
    {
      _io_fork_count ();
      pthread_atfork (prepare_fork, finish_fork, start_child);
      g_once_init_leave (&initialized, 1);
    }
}

static gboolean
is_forked (IONamesWait *self)
{
  return self->forks != _io_fork_count ();
}

/* With the lock held. */
static void
touch (IONamesWait *self)
{
  const guint64 one = 1;

  if (!self->touched && self->fd >= 0)
    while (write (self->fd, &one, sizeof one) < 0 && errno == EINTR)
      ;
  self->touched = TRUE;
  if (self->source != NULL)
    g_source_set_ready_time (self->source, 0);
}

static gboolean
is_among (const char *name,
          GPtrArray  *names)
{
  return names == NULL || g_ptr_array_find_with_equal_func (names, name, g_str_equal, NULL);
}

static gboolean
watch_cb (GPtrArray *names,
          gpointer   user_data)
{
  Directory *directory = user_data;
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&lock);

  /* It may have been taken away while this one waited for the lock. */
  if (directories == NULL || !g_ptr_array_find (directories, directory, NULL))
    return FALSE;

  for (GList *l = directory->waits.head; l != NULL; l = l->next)
    if (is_among (((IONamesWait *) l->data)->name, names))
      touch (l->data);

  return FALSE;
}

static gpointer
thread_func (gpointer data)
{
  Worker *self = data;

  g_main_context_push_thread_default (self->context);
  g_main_loop_run (self->loop);
  g_main_context_pop_thread_default (self->context);

  return NULL;
}

/* Signals are for the threads of the program. */
static GThread *
start_thread (Worker  *self,
              GError **error)
{
  sigset_t all, old;
  GThread *thread;

  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &old);
  thread = g_thread_try_new ("iostream-names", thread_func, self, error);
  pthread_sigmask (SIG_SETMASK, &old, NULL);

  return thread;
}

static void
worker_free (Worker *self)
{
  if (self->thread != NULL)
    g_thread_join (self->thread);
  g_main_loop_unref (self->loop);
  g_main_context_unref (self->context);
  g_free (self);
}

static Worker *
worker_new (GError **error)
{
  Worker *self = g_new0 (Worker, 1);
  g_autoptr (GError) reason = NULL;

  self->context = g_main_context_new ();
  self->loop = g_main_loop_new (self->context, FALSE);
  self->thread = start_thread (self, &reason);
  if (self->thread != NULL)
    return self;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES,
               "Cannot wait for a name: %s", reason->message);
  worker_free (self);
  return NULL;
}

static gboolean
quit_cb (gpointer user_data)
{
  g_main_loop_quit (user_data);

  return G_SOURCE_REMOVE;
}

/* From its own thread, so that a loop that has not begun to run ends too. */
static void
worker_quit (Worker *self)
{
  g_autoptr (GSource) source = g_idle_source_new ();

  g_source_set_priority (source, G_PRIORITY_HIGH);
  g_source_set_callback (source, quit_cb, self->loop, NULL);
  g_source_attach (source, self->context);
}

static void
directory_free (gpointer data)
{
  Directory *self = data;

  g_source_destroy (self->watch);
  g_source_unref (self->watch);
  g_free (self->path);
  g_free (self);
}

static Directory *
add_directory (const char  *path,
               GError     **error)
{
  g_autoptr (GSource) watch = _io_names_watch_new (path, error);
  Directory *self;

  if (watch == NULL)
    return NULL;
  if (worker == NULL)
    worker = worker_new (error);
  if (worker == NULL)
    return NULL;

  self = g_new0 (Directory, 1);
  self->path = g_strdup (path);
  self->watch = g_steal_pointer (&watch);
  g_queue_init (&self->waits);
  if (directories == NULL)
    directories = g_ptr_array_new_with_free_func (directory_free);
  g_ptr_array_add (directories, self);
  g_source_set_callback (self->watch, G_SOURCE_FUNC (watch_cb), self, NULL);
  g_source_attach (self->watch, worker->context);

  return self;
}

static Directory *
ensure_directory (const char  *path,
                  GError     **error)
{
  for (guint i = 0; directories != NULL && i < directories->len; i++)
    {
      Directory *self = g_ptr_array_index (directories, i);

      if (g_str_equal (self->path, path))
        return self;
    }

  return add_directory (path, error);
}

/* With the lock held; returns the thread that is to be waited for without it. */
static Worker *
leave_directory (IONamesWait *self)
{
  Worker *idle = NULL;

  g_queue_unlink (&self->directory->waits, &self->link);
  if (self->directory->waits.length == 0)
    g_ptr_array_remove_fast (directories, self->directory);
  if (directories->len > 0)
    return NULL;

  g_clear_pointer (&directories, g_ptr_array_unref);
  idle = g_steal_pointer (&worker);
  worker_quit (idle);

  return idle;
}

IONamesWait *
_io_names_wait_new (const char  *name,
                    GError     **error)
{
  g_autofree char *path = _io_names_dup_directory ();
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = NULL;
  Directory *directory;
  IONamesWait *self;

  watch_forks ();
  if (!_io_names_check (name, error))
    return NULL;

  locker = g_mutex_locker_new (&lock);
  directory = ensure_directory (path, error);
  if (directory == NULL)
    return NULL;

  self = g_new0 (IONamesWait, 1);
  self->name = g_strdup (name);
  self->forks = _io_fork_count ();
  self->directory = directory;
  self->worker = worker;
  self->link.data = self;
  self->fd = -1;
  g_queue_push_tail_link (&directory->waits, &self->link);

  return self;
}

static void
drop_timer (IONamesWait *self)
{
  if (self->timer != NULL)
    g_source_destroy (self->timer);
  g_clear_pointer (&self->timer, g_source_unref);
}

void
_io_names_wait_free (IONamesWait *self)
{
  Worker *idle = NULL;

  if (self == NULL)
    return;

  if (!is_forked (self))
    {
      g_mutex_lock (&lock);
      drop_timer (self);
      idle = leave_directory (self);
      g_mutex_unlock (&lock);
    }
  if (idle != NULL)
    worker_free (idle);

  if (self->fd >= 0)
    close (self->fd);
  g_free (self->name);
  g_free (self);
}

gboolean
_io_names_wait_take (IONamesWait *self)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&lock);
  gboolean touched = self->touched;
  guint64 count;

  if (touched && self->fd >= 0)
    while (read (self->fd, &count, sizeof count) < 0 && errno == EINTR)
      ;
  self->touched = FALSE;

  return touched;
}

static gboolean
timer_cb (gpointer user_data)
{
  IONamesWait *self = user_data;
  GSource *current = g_main_current_source ();
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&lock);

  /* Taken away while this one waited for the lock: then @self may be gone. */
  if (!g_source_is_destroyed (current))
    touch (self);

  return G_SOURCE_REMOVE;
}

void
_io_names_wait_poke_after (IONamesWait *self,
                           guint        msec)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&lock);

  if (is_forked (self))
    return;

  drop_timer (self);
  self->timer = g_timeout_source_new (msec);
  g_source_set_callback (self->timer, timer_cb, self, NULL);
  g_source_attach (self->timer, self->worker->context);
}

void
_io_names_wait_set_source (IONamesWait *self,
                           GSource     *source)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&lock);

  self->source = source;
  if (source != NULL && self->touched)
    g_source_set_ready_time (source, 0);
}

int
_io_names_wait_get_fd (IONamesWait *self)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&lock);

  if (self->fd < 0)
    self->fd = eventfd (self->touched, EFD_CLOEXEC | EFD_NONBLOCK);

  return self->fd;
}

guint
_io_names_wait_count_watches (void)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&lock);

  return directories != NULL ? directories->len : 0;
}
