/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-names-internal-private.h"

#include "io-error.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* The record that stands in the lock file of a name. Its owner writes it on the
 * descriptor that holds the lock, and everybody else reads it. For the names of
 * our own process it comes from the claim: to open the file, and close it
 * again, would drop the lock. */

/* Locked before it is written: the write is what others are told of. */
static gboolean
write_record (IONameClaim  *self,
              GBytes       *bytes,
              GError      **error)
{
  struct flock lock = { .l_type = F_WRLCK, .l_start = IO_NAMES_RECORD_BYTE, .l_len = 1 };
  gsize size;
  const void *data = g_bytes_get_data (bytes, &size);
  gssize n;

  if (fcntl (self->lock_fd, F_SETLK, &lock) < 0)
    return _io_names_fail_errno (error, errno, "lock", self->lock_path);

  do
    n = pwrite (self->lock_fd, data, size, 0);
  while (n < 0 && errno == EINTR);
  if (n == (gssize) size)
    return TRUE;

  return _io_names_fail_errno (error, n < 0 ? errno : ENOSPC, "write", self->lock_path);
}

static void
number_record (IONameClaim *self,
               IORecord    *record,
               gboolean     again)
{
  const IORecord *old = self->record;

  record->pid = self->pid;
  record->id = old != NULL ? old->id : ((guint64) g_random_int () << 32) | g_random_int ();
  record->time = old != NULL && !again ? old->time : g_get_monotonic_time ();
  record->registrations = old != NULL ? old->registrations + !!again : 1;
}

/* What was there is gone from the file if this fails, so it tries again with
 * less before it gives up. */
static gboolean
store_record (IONameClaim  *self,
              IORecord     *record,
              GError      **error)
{
  g_autoptr (GBytes) bytes = _io_record_encode (record);

  if (bytes == NULL)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
                   "Cannot publish “%s”: the names of its classes are too long", self->name);
      return FALSE;
    }
  if (self->bytes != NULL && g_bytes_equal (self->bytes, bytes))
    return TRUE;

  g_clear_pointer (&self->bytes, g_bytes_unref);
  if (!write_record (self, bytes, NULL))
    {
      _io_record_leave_out_attributes (record);
      g_bytes_unref (bytes);
      bytes = _io_record_encode (record);
      if (!write_record (self, bytes, error))
        return FALSE;
    }

  self->bytes = g_steal_pointer (&bytes);
  return TRUE;
}

gboolean
_io_names_publish (IONameClaim  *self,
                   char        **classes,
                   GVariant     *attributes,
                   gboolean      again,
                   GError      **error)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&_io_names_mutex);
  g_autoptr (IORecord) record = _io_record_new (classes, attributes);

  number_record (self, record, again);
  if (!store_record (self, record, error))
    return FALSE;

  g_clear_pointer (&self->record, _io_record_unref);
  self->record = g_steal_pointer (&record);
  return TRUE;
}

void
_io_names_unpublish (IONameClaim *self)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&_io_names_mutex);
  struct flock lock = { .l_type = F_UNLCK, .l_start = IO_NAMES_RECORD_BYTE, .l_len = 1 };

  if (self->record == NULL || self->pid != getpid ())
    return;

  g_clear_pointer (&self->record, _io_record_unref);
  g_clear_pointer (&self->bytes, g_bytes_unref);
  /* If this fails, others are told when the file goes. */
  if (fcntl (self->lock_fd, F_SETLK, &lock) < 0 || ftruncate (self->lock_fd, 0) < 0)
    g_debug ("Cannot empty %s: %s", self->lock_path, g_strerror (errno));
}

/* TRUE if the locked byte tells that somebody vouches for the record. */
static gboolean
is_vouched_for (int  fd,
                int *pid)
{
  struct flock lock = { .l_type = F_WRLCK, .l_start = IO_NAMES_RECORD_BYTE, .l_len = 1 };

  if (fcntl (fd, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
    return FALSE;

  /* 0 in another namespace, -1 if it is no lock of a process. */
  *pid = MAX (lock.l_pid, 0);
  return TRUE;
}

/* Under the mutex, as above. What is there may be anything, and nothing that is
 * there can make us wait. */
static IONameState
read_record (const char  *lock_path,
             IORecord   **record)
{
  g_autofree guint8 *buffer = NULL;
  IONameState state = IO_NAME_GONE;
  struct stat st;
  gssize n;
  int pid = 0;
  int fd = open (lock_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

  if (fd < 0)
    return IO_NAME_GONE;

  if (fstat (fd, &st) == 0 && S_ISREG (st.st_mode) && st.st_uid == geteuid () &&
      is_vouched_for (fd, &pid))
    {
      gsize size = CLAMP (st.st_size, 1, IO_RECORD_MAX_SIZE);

      buffer = g_malloc (size);
      do
        n = pread (fd, buffer, size, 0);
      while (n < 0 && errno == EINTR);
      *record = _io_record_decode (buffer, MAX (n, 0));
      state = *record != NULL ? IO_NAME_PUBLISHED : IO_NAME_UNCLEAR;
    }
  close (fd);

  if (*record != NULL)
    (*record)->pid = pid;
  return state;
}

IONameState
_io_names_look (const char  *directory,
                const char  *name,
                IORecord   **record)
{
  g_autofree char *lock_name = g_strconcat (name, IO_NAMES_LOCK_SUFFIX, NULL);
  g_autofree char *lock_path = g_build_filename (directory, lock_name, NULL);
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&_io_names_mutex);
  IONameClaim *claim = _io_names_find_claim (lock_path);

  *record = NULL;
  if (claim == NULL)
    return read_record (lock_path, record);
  if (claim->record == NULL)
    return IO_NAME_GONE;

  *record = _io_record_ref (claim->record);
  return IO_NAME_PUBLISHED;
}
