/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-names-internal-private.h"

#include "io-error.h"
#include "io-fork-private.h"

#include <glib/gstdio.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A name is a socket and beside it a lock file. The lock is a POSIX record
 * lock, because that one is not inherited by fork: a child that lives on does
 * not keep the name. Such locks have two holes, which the table of our own
 * claims fills: they do not exclude within a process, and closing any
 * descriptor of the file drops them. So no lock file that is ours is opened a
 * second time, by whatever path. */

#define BACKLOG 128

GMutex _io_names_mutex;
static GList *claims;   /* of IONameClaim, under the mutex */

gboolean
_io_names_fail_errno (GError     **error,
                      int          saved_errno,
                      const char  *operation,
                      const char  *path)
{
  int code = IO_STREAM_ERROR_IO_ERROR;

  if (saved_errno == EACCES || saved_errno == EPERM || saved_errno == EROFS)
    code = IO_STREAM_ERROR_NOT_PERMITTED;
  else if (saved_errno == EMFILE || saved_errno == ENFILE || saved_errno == ENOSPC ||
           saved_errno == EDQUOT || saved_errno == ENOLCK)
    code = IO_STREAM_ERROR_NO_RESOURCES;
  else if (saved_errno == ENOMEM)
    code = IO_STREAM_ERROR_NO_MEMORY;

  g_set_error (error, IO_STREAM_ERROR, code, "Cannot %s %s: %s", operation, path,
               g_strerror (saved_errno));
  return FALSE;
}

char *
_io_names_dup_directory (void)
{
  const char *directory = g_getenv ("IOSTREAM_RUNTIME_DIR");
  const char *runtime = g_getenv ("XDG_RUNTIME_DIR");

  if (directory != NULL && *directory != '\0')
    return g_canonicalize_filename (directory, NULL);
  /* The specification says to ignore a relative path there. */
  if (runtime != NULL && g_path_is_absolute (runtime))
    return g_build_filename (runtime, "iostream", NULL);

  /* What g_get_user_runtime_dir() falls back to; that one remembers what it saw
   * first. */
  return g_build_filename (g_get_user_cache_dir (), "iostream", NULL);
}

static const char *
find_fault (const char *name)
{
  if (*name == '\0')
    return "it is empty";
  if (!g_utf8_validate (name, -1, NULL))
    return "it is not UTF-8";
  if (*name == '.')
    return "it begins with a dot";
  if (g_str_has_suffix (name, IO_NAMES_LOCK_SUFFIX))
    return "it ends in " IO_NAMES_LOCK_SUFFIX;
  for (const char *p = name; *p != '\0'; p = g_utf8_next_char (p))
    {
      if (*p == '/')
        return "it has a slash";
      if (g_unichar_iscntrl (g_utf8_get_char (p)))
        return "it has a control character";
    }

  return NULL;
}

gboolean
_io_names_check (const char  *name,
                 GError     **error)
{
  const char *fault = find_fault (name);
  g_autofree char *escaped = NULL;

  if (fault == NULL)
    return TRUE;

  escaped = g_strescape (name, NULL);
  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
               "Cannot use “%s” as a name: %s", escaped, fault);
  return FALSE;
}

char *
_io_names_dup_name_of_lock (const char *file)
{
  g_autofree char *name = NULL;

  if (!g_str_has_suffix (file, IO_NAMES_LOCK_SUFFIX))
    return NULL;
  name = g_strndup (file, strlen (file) - strlen (IO_NAMES_LOCK_SUFFIX));

  return find_fault (name) == NULL ? g_steal_pointer (&name) : NULL;
}

char *
_io_names_dup_socket_path (const char  *name,
                           GError     **error)
{
  g_autofree char *directory = _io_names_dup_directory ();
  g_autofree char *path = NULL;
  gsize room = sizeof (((struct sockaddr_un *) NULL)->sun_path) - 1;

  if (!_io_names_check (name, error))
    return NULL;

  path = g_build_filename (directory, name, NULL);
  if (strlen (path) > room)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
                   "Cannot use “%s” as a name: the path %s is longer than the %" G_GSIZE_FORMAT
                   " bytes of a socket address", name, path, room);
      return NULL;
    }

  return g_steal_pointer (&path);
}

gboolean
_io_names_make_directory (const char  *directory,
                          GError     **error)
{
  struct stat st;

  if (g_mkdir_with_parents (directory, 0700) < 0)
    return _io_names_fail_errno (error, errno, "make the directory", directory);
  if (stat (directory, &st) < 0)
    return _io_names_fail_errno (error, errno, "look at the directory", directory);

  if (st.st_uid != geteuid ())
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED,
                   "Cannot use the directory %s: it belongs to user %u", directory, st.st_uid);
      return FALSE;
    }
  if (st.st_mode & (S_IWGRP | S_IWOTH))
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED,
                   "Cannot use the directory %s: others can write it", directory);
      return FALSE;
    }

  return TRUE;
}

IONameClaim *
_io_names_find_claim (const char *lock_path)
{
  struct stat st;

  /* Most clients own nothing, and ask before each call. */
  if (claims == NULL || lstat (lock_path, &st) < 0)
    return NULL;

  for (GList *l = claims; l != NULL; l = l->next)
    {
      IONameClaim *claim = l->data;

      if (claim->lock_dev == st.st_dev && claim->lock_ino == st.st_ino &&
          claim->pid == getpid ())
        return claim;
    }

  return NULL;
}

static gboolean
fail_taken (const char  *name,
            GError     **error)
{
  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_EXCLUSIVE_ACCESS,
               "Cannot take the name “%s”: somebody has it", name);
  return FALSE;
}

/* One try: TRUE with lock_fd -1 means that the file went away meanwhile. */
static gboolean
try_lock (IONameClaim  *self,
          GError      **error)
{
  struct flock lock = { .l_type = F_WRLCK, .l_start = IO_NAMES_NAME_BYTE, .l_len = 1 };
  struct stat opened;
  struct stat found;
  int fd = open (self->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

  if (fd < 0)
    return _io_names_fail_errno (error, errno, "open", self->lock_path);

  if (fcntl (fd, F_SETLK, &lock) < 0)
    {
      int saved_errno = errno;

      close (fd);
      if (saved_errno == EAGAIN || saved_errno == EACCES)
        return fail_taken (self->name, error);
      return _io_names_fail_errno (error, saved_errno, "lock", self->lock_path);
    }

  if (fstat (fd, &opened) < 0 || lstat (self->lock_path, &found) < 0 ||
      opened.st_dev != found.st_dev || opened.st_ino != found.st_ino)
    {
      close (fd);
      return TRUE;
    }
  /* The record of an owner that was killed. */
  if (opened.st_size > 0 && ftruncate (fd, 0) < 0)
    {
      int saved_errno = errno;

      close (fd);
      return _io_names_fail_errno (error, saved_errno, "empty", self->lock_path);
    }

  self->lock_fd = fd;
  _io_fork_add_lifeline (fd);
  self->lock_dev = opened.st_dev;
  self->lock_ino = opened.st_ino;
  return TRUE;
}

static gboolean
take_lock (IONameClaim  *self,
           GError      **error)
{
  if (_io_names_find_claim (self->lock_path) != NULL)
    return fail_taken (self->name, error);

  /* The file changes under us only when its owner leaves at this moment. */
  for (guint i = 0; i < 100; i++)
    {
      if (!try_lock (self, error))
        return FALSE;
      if (self->lock_fd >= 0)
        return TRUE;
    }

  return fail_taken (self->name, error);
}

static gboolean
start_listening (IONameClaim  *self,
                 GError      **error)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  struct stat st;

  if (unlink (self->socket_path) < 0 && errno != ENOENT)
    return _io_names_fail_errno (error, errno, "remove the old socket", self->socket_path);

  self->socket_fd = socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (self->socket_fd < 0)
    return _io_names_fail_errno (error, errno, "make a socket for", self->socket_path);
  _io_fork_add_lifeline (self->socket_fd);

  /* bind() takes the mode of the file from that of the socket. */
  strcpy (address.sun_path, self->socket_path);
  if (fchmod (self->socket_fd, 0600) < 0 ||
      bind (self->socket_fd, (struct sockaddr *) &address, sizeof address) < 0)
    return _io_names_fail_errno (error, errno, "bind", self->socket_path);

  if (lstat (self->socket_path, &st) == 0)
    {
      self->socket_dev = st.st_dev;
      self->socket_ino = st.st_ino;
    }
  if (listen (self->socket_fd, BACKLOG) < 0)
    return _io_names_fail_errno (error, errno, "listen on", self->socket_path);

  return TRUE;
}

static void
unlink_if_ours (const char *path,
                dev_t       dev,
                ino_t       ino)
{
  struct stat st;

  if (lstat (path, &st) == 0 && st.st_dev == dev && st.st_ino == ino)
    unlink (path);
}

/* Under the mutex. */
static void
claim_free (IONameClaim *self)
{
  if (self->lock_fd >= 0 && self->pid == getpid ())
    {
      if (self->socket_ino != 0)
        unlink_if_ours (self->socket_path, self->socket_dev, self->socket_ino);
      unlink_if_ours (self->lock_path, self->lock_dev, self->lock_ino);
    }

  if (self->socket_fd >= 0)
    {
      _io_fork_remove_lifeline (self->socket_fd);
      close (self->socket_fd);
    }
  if (self->lock_fd >= 0)
    {
      _io_fork_remove_lifeline (self->lock_fd);
      close (self->lock_fd);
    }
  g_clear_pointer (&self->record, _io_record_unref);
  g_clear_pointer (&self->bytes, g_bytes_unref);
  g_clear_pointer (&self->context, g_main_context_unref);
  g_free (self->name);
  g_free (self->socket_path);
  g_free (self->lock_path);
  g_free (self);
}

IONameClaim *
_io_names_claim (const char    *name,
                 GMainContext  *context,
                 GError       **error)
{
  g_autofree char *directory = _io_names_dup_directory ();
  g_autofree char *path = _io_names_dup_socket_path (name, error);
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = NULL;
  IONameClaim *self;

  if (path == NULL || !_io_names_make_directory (directory, error))
    return NULL;

  self = g_new0 (IONameClaim, 1);
  self->name = g_strdup (name);
  self->lock_path = g_strconcat (path, IO_NAMES_LOCK_SUFFIX, NULL);
  self->socket_path = g_steal_pointer (&path);
  self->lock_fd = -1;
  self->socket_fd = -1;
  self->context = g_main_context_ref (context);
  self->thread = g_thread_self ();
  self->pid = getpid ();

  locker = g_mutex_locker_new (&_io_names_mutex);
  if (!take_lock (self, error) || !start_listening (self, error))
    {
      claim_free (self);
      return NULL;
    }

  claims = g_list_prepend (claims, self);
  return self;
}

/* Nobody else can put anything in the place of the socket: the directory is
 * ours alone to write. */
gboolean
_io_names_claim_set_mode (IONameClaim  *self,
                          guint         mode,
                          GError      **error)
{
  if (chmod (self->socket_path, (mode_t) mode) == 0)
    return TRUE;

  return _io_names_fail_errno (error, errno, "set the mode of", self->socket_path);
}

int
_io_names_claim_peek_fd (IONameClaim *self)
{
  return self->socket_fd;
}

void
_io_names_release (IONameClaim *self)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&_io_names_mutex);

  claims = g_list_remove (claims, self);
  claim_free (self);
}

/* Whoever runs the context serves; if nobody does, it is for the thread that
 * claimed the name to run it. */
static gboolean
is_served_by_caller (GMainContext *context,
                     GThread      *thread)
{
  if (g_main_context_is_owner (context))
    return TRUE;
  if (!g_main_context_acquire (context))
    return FALSE;

  g_main_context_release (context);
  return thread == g_thread_self ();
}

gboolean
_io_names_find_local (const char *name,
                      gboolean   *by_caller)
{
  g_autofree char *path = _io_names_dup_socket_path (name, NULL);
  g_autofree char *lock_path = NULL;
  g_autoptr (GMainContext) context = NULL;
  GThread *thread = NULL;

  *by_caller = FALSE;
  if (path == NULL)
    return FALSE;
  lock_path = g_strconcat (path, IO_NAMES_LOCK_SUFFIX, NULL);

  g_mutex_lock (&_io_names_mutex);
  {
    IONameClaim *claim = _io_names_find_claim (lock_path);

    if (claim != NULL)
      {
        context = g_main_context_ref (claim->context);
        thread = claim->thread;
      }
  }
  g_mutex_unlock (&_io_names_mutex);

  if (context == NULL)
    return FALSE;

  *by_caller = is_served_by_caller (context, thread);
  return TRUE;
}

/* Under the mutex, so that the lock we look at cannot become ours meanwhile. */
static gboolean
is_alive (const char *lock_path)
{
  struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
  int fd;
  gboolean alive;

  if (_io_names_find_claim (lock_path) != NULL)
    return TRUE;

  fd = open (lock_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0)
    return FALSE;

  alive = fcntl (fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
  close (fd);
  return alive;
}

static int
compare_names (gconstpointer a,
               gconstpointer b)
{
  return strcmp (*(const char * const *) a, *(const char * const *) b);
}

GPtrArray *
_io_names_scan (const char  *directory,
                GError     **error)
{
  g_autoptr (GDir) dir = NULL;
  g_autoptr (GError) local_error = NULL;
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const char *entry;

  dir = g_dir_open (directory, 0, &local_error);
  if (dir == NULL && !g_error_matches (local_error, G_FILE_ERROR, G_FILE_ERROR_NOENT))
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED,
                   "Cannot list the names in %s: %s", directory, local_error->message);
      return NULL;
    }

  while (dir != NULL && (entry = g_dir_read_name (dir)) != NULL)
    {
      char *name = _io_names_dup_name_of_lock (entry);

      if (name != NULL)
        g_ptr_array_add (names, name);
    }

  return g_steal_pointer (&names);
}

char **
_io_names_list (GError **error)
{
  g_autofree char *directory = _io_names_dup_directory ();
  g_autoptr (GPtrArray) names = _io_names_scan (directory, error);

  if (names == NULL)
    return NULL;

  for (guint i = names->len; i > 0; i--)
    {
      g_autofree char *file = g_strconcat (g_ptr_array_index (names, i - 1), IO_NAMES_LOCK_SUFFIX, NULL);
      g_autofree char *path = g_build_filename (directory, file, NULL);
      G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&_io_names_mutex);

      if (!is_alive (path))
        g_ptr_array_remove_index_fast (names, i - 1);
    }

  g_ptr_array_sort (names, compare_names);
  g_ptr_array_add (names, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&names), FALSE);
}
