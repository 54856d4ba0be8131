/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-memory-backing-private.h"

#include "io-error.h"
#include "io-fork-private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef DMA_BUF_MAGIC
#define DMA_BUF_MAGIC 0x444d4142
#endif

/* fallocate(2) gives back all it took when a signal comes, so a large piece
 * would never be filled under a fast timer. The size of a huge page. */
#define FILL_STEP ((gsize) 2 << 20)
#define FILL_STEP_MIN ((gsize) 4096)

#define MAX_LABEL 200

#define SEALS_SIZE    (F_SEAL_SHRINK | F_SEAL_GROW)
#define SEALS_WRITERS (F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

enum { MAP_RO, MAP_RW, N_MAPS };

struct _IOMemoryBacking {
  gatomicrefcount refs;
  guint32         id;
  gsize           size;
  gboolean        dmabuf;
  gboolean        own;           /* made here */
  gboolean        peer_writable; /* made for others to write; if own */

  GMutex          lock;          /* covers what follows */
  int             fd;            /* -1 when closed */
  gboolean        writable;
  gboolean        dont_fork;
  guint           fork_count;   /* when it was kept out of children */
  guint8         *maps[N_MAPS];  /* NULL: not mapped; never moves once it is */
};

static IOStreamError
error_from_errno (int errsv)
{
  switch (errsv)
    {
    case ENOMEM:
    case ENOSPC:
      return IO_STREAM_ERROR_NO_MEMORY;
    case EMFILE:
    case ENFILE:
    case EFBIG:
    case EDQUOT:
      return IO_STREAM_ERROR_NO_RESOURCES;
    case EACCES:
    case EPERM:
      return IO_STREAM_ERROR_NOT_PERMITTED;
    case EBADF:
      return IO_STREAM_ERROR_BAD_ARGUMENT;
    default:
      return IO_STREAM_ERROR_IO_ERROR;
    }
}

static gboolean
fail_errno (const char  *operation,
            gsize        size,
            int          errsv,
            GError     **error)
{
  g_set_error (error, IO_STREAM_ERROR, error_from_errno (errsv),
               "Cannot %s shared memory of %" G_GSIZE_FORMAT " bytes: %s",
               operation, size, g_strerror (errsv));
  return FALSE;
}

static IOMemoryBacking *
backing_alloc (int   fd,
               gsize size)
{
  static _Atomic guint32 last_id;
  IOMemoryBacking *self = g_new0 (IOMemoryBacking, 1);

  g_atomic_ref_count_init (&self->refs);
  g_mutex_init (&self->lock);
  self->fd = fd;
  self->size = size;
  do
    self->id = atomic_fetch_add (&last_id, 1) + 1;
  while (self->id == 0);

  return self;
}

static void
close_fd (int *fd)
{
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}

/* Called with the lock held, or before anybody else knows the backing. */
static guint8 *
map_locked (IOMemoryBacking  *self,
            gboolean          writable,
            GError          **error)
{
  guint8 **slot = &self->maps[writable ? MAP_RW : MAP_RO];
  void *address;

  if (*slot != NULL)
    return *slot;

  if (self->fd < 0)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_VM_ERROR,
                   "Cannot map shared memory of %" G_GSIZE_FORMAT
                   " bytes: its descriptor is closed", self->size);
      return NULL;
    }

  address = mmap (NULL, self->size, PROT_READ | (writable ? PROT_WRITE : 0),
                  MAP_SHARED, self->fd, 0);
  if (address == MAP_FAILED)
    {
      int errsv = errno;

      g_set_error (error, IO_STREAM_ERROR,
                   errsv == ENOMEM ? IO_STREAM_ERROR_NO_MEMORY
                                   : IO_STREAM_ERROR_VM_ERROR,
                   "Cannot map shared memory of %" G_GSIZE_FORMAT " bytes %s: %s",
                   self->size, writable ? "for writing" : "for reading",
                   g_strerror (errsv));
      return NULL;
    }

  if (self->dont_fork)
    madvise (address, self->size, MADV_DONTFORK);

  return *slot = address;
}

/* Every page is there afterwards, so a full machine is an error now and not a
 * SIGBUS later. */
static gboolean
fill (int      fd,
      gsize    size,
      GError **error)
{
  gsize step = FILL_STEP, done = 0;

  while (done < size)
    {
      gsize n = MIN (step, size - done);

      if (fallocate (fd, 0, (off_t) done, (off_t) n) == 0)
        done += n;
      else if (errno == EINTR)
        step = MAX (step / 2, FILL_STEP_MIN);
      else
        return fail_errno ("allocate", size, errno, error);
    }

  return TRUE;
}

/* A file grown over the limit is a SIGXFSZ, and one beyond the memory of the
 * machine sends the OOM killer around: both are told before. */
static gboolean
check_size (gsize    size,
            GError **error)
{
  struct rlimit limit;
  struct sysinfo info;

  if (size == 0 || size > G_MAXSSIZE - FILL_STEP)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
                   "Cannot create shared memory of %" G_GSIZE_FORMAT " bytes: "
                   "the size is out of range", size);
      return FALSE;
    }

  if (getrlimit (RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
      size > limit.rlim_cur)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES,
                   "Cannot create shared memory of %" G_GSIZE_FORMAT " bytes: "
                   "the limit of file sizes is %" G_GUINT64_FORMAT " bytes",
                   size, (guint64) limit.rlim_cur);
      return FALSE;
    }

  if (sysinfo (&info) == 0 &&
      size / info.mem_unit > (guint64) info.totalram + info.totalswap)
    return fail_errno ("create", size, ENOMEM, error);

  return TRUE;
}

static int
create_memfd (const char  *label,
              gsize        size,
              GError     **error)
{
  g_autofree char *name = g_strdup_printf ("iostream-%.*s", MAX_LABEL, label);
  guint flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  int fd, rc;

  if (!check_size (size, error))
    return -1;

  fd = memfd_create (name, flags | MFD_NOEXEC_SEAL);
  if (fd < 0 && errno == EINVAL)
    fd = memfd_create (name, flags);
  if (fd < 0)
    {
      fail_errno ("create", size, errno, error);
      return -1;
    }

  do
    rc = ftruncate (fd, (off_t) size);
  while (rc < 0 && errno == EINTR);

  if (rc < 0)
    fail_errno ("size", size, errno, error);
  else if (fill (fd, size, error))
    return fd;

  close (fd);
  return -1;
}

static gboolean
add_seals (int      fd,
           int      seals,
           gsize    size,
           GError **error)
{
  int have = fcntl (fd, F_GET_SEALS);

  if (have >= 0 && (have & seals) == seals)
    return TRUE;

  if (have >= 0 && fcntl (fd, F_ADD_SEALS, seals) == 0)
    return TRUE;

  return fail_errno ("seal", size, errno, error);
}

static gboolean
check_seals (int      fd,
             gboolean read_only,
             GError **error)
{
  static const struct { int seal; const char *name; gboolean always; } needed[] = {
    { F_SEAL_SHRINK, "F_SEAL_SHRINK", TRUE },
    { F_SEAL_GROW, "F_SEAL_GROW", TRUE },
    { F_SEAL_FUTURE_WRITE, "F_SEAL_FUTURE_WRITE", FALSE },
    { F_SEAL_SEAL, "F_SEAL_SEAL", FALSE },
  };
  g_autoptr (GString) missing = g_string_new (NULL);
  int seals = fcntl (fd, F_GET_SEALS);

  if (seals < 0)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_VM_ERROR,
                   "Cannot use descriptor %d as shared memory: it has no seals: %s",
                   fd, g_strerror (errno));
      return FALSE;
    }

  /* Nobody at all can write it: stronger than what is asked for. */
  if (seals & F_SEAL_WRITE)
    seals |= F_SEAL_FUTURE_WRITE;

  for (gsize i = 0; i < G_N_ELEMENTS (needed); i++)
    if ((needed[i].always || read_only) && (seals & needed[i].seal) == 0)
      g_string_append_printf (missing, "%s%s", missing->len > 0 ? ", " : "",
                              needed[i].name);

  if (missing->len > 0)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_VM_ERROR,
                   "Cannot use descriptor %d as shared memory: missing %s",
                   fd, missing->str);
      return FALSE;
    }

  return TRUE;
}

/* Finds out what @fd is: a memfd (which lives in a tmpfs), a dma-buf, or
 * nothing we can use. */
static gboolean
check_kind (int       fd,
            gboolean  allow_dmabuf,
            gboolean *dmabuf,
            GError  **error)
{
  struct statfs fs;
  int rc;

  do
    rc = fstatfs (fd, &fs);
  while (rc < 0 && errno == EINTR);

  if (rc < 0)
    {
      int errsv = errno;

      g_set_error (error, IO_STREAM_ERROR, error_from_errno (errsv),
                   "Cannot look at descriptor %d: %s", fd, g_strerror (errsv));
      return FALSE;
    }

  *dmabuf = (guint64) fs.f_type == DMA_BUF_MAGIC;
  if ((guint64) fs.f_type == TMPFS_MAGIC || (*dmabuf && allow_dmabuf))
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_VM_ERROR,
               "Cannot use descriptor %d as shared memory: it is %s, not a memfd%s",
               fd, *dmabuf ? "a dma-buf" : "of another kind",
               allow_dmabuf ? " or a dma-buf" : "");
  return FALSE;
}

static gboolean
check_foreign_size (int       fd,
                    gboolean  dmabuf,
                    gsize     min_size,
                    gsize     max_size,
                    gsize    *size,
                    GError  **error)
{
  struct stat st;
  gint64 bytes;

  /* A dma-buf tells its size by seeking; older kernels leave st_size 0. */
  if (dmabuf)
    bytes = lseek (fd, 0, SEEK_END);
  else
    bytes = fstat (fd, &st) < 0 ? -1 : st.st_size;

  if (bytes <= 0 || (guint64) bytes < min_size || (guint64) bytes > max_size)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_VM_ERROR,
                   "Cannot use descriptor %d as shared memory: its size of %"
                   G_GINT64_FORMAT " bytes is not within %" G_GSIZE_FORMAT
                   " and %" G_GSIZE_FORMAT " bytes", fd, bytes,
                   MAX (min_size, 1), max_size);
      return FALSE;
    }

  *size = (gsize) bytes;
  return TRUE;
}

/* Takes over @fd in any case. */
static IOMemoryBacking *
take_fd (int       fd,
         gsize     min_size,
         gsize     max_size,
         gboolean  writable,
         gboolean  must_be_read_only,
         gboolean  allow_dmabuf,
         GError  **error)
{
  g_autoptr (IOMemoryBacking) self = backing_alloc (fd, 0);

  if (!check_kind (fd, allow_dmabuf, &self->dmabuf, error) ||
      (!self->dmabuf && !check_seals (fd, must_be_read_only, error)) ||
      !check_foreign_size (fd, self->dmabuf, min_size, max_size, &self->size, error))
    return NULL;

  fcntl (fd, F_SETFD, FD_CLOEXEC);
  self->writable = writable;

  /* A dma-buf may never be touched by the processor, so not before it is. */
  if (self->dmabuf)
    self->writable = writable && (fcntl (fd, F_GETFL) & O_ACCMODE) == O_RDWR;
  else if (map_locked (self, writable, error) == NULL)
    return NULL;

  return g_steal_pointer (&self);
}

IOMemoryBacking *
_io_memory_backing_new (const char          *label,
                        gsize                size,
                        IOStreamPeerAccess   peer_access,
                        GError             **error)
{
  g_autoptr (IOMemoryBacking) self = NULL;
  int seals = SEALS_SIZE;
  int fd;

  g_return_val_if_fail (label != NULL, NULL);
  g_return_val_if_fail (peer_access == IO_STREAM_PEER_ACCESS_READ ||
                        peer_access == IO_STREAM_PEER_ACCESS_READ_WRITE, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  fd = create_memfd (label, size, error);
  if (fd < 0)
    return NULL;

  if (peer_access == IO_STREAM_PEER_ACCESS_READ)
    seals |= SEALS_WRITERS;

  /* Mapped before it is sealed: later not even we could. */
  self = backing_alloc (fd, size);
  self->writable = TRUE;
  self->own = TRUE;
  self->peer_writable = peer_access == IO_STREAM_PEER_ACCESS_READ_WRITE;
  if (map_locked (self, TRUE, error) == NULL ||
      !add_seals (fd, seals, size, error))
    return NULL;

  return g_steal_pointer (&self);
}

IOMemoryBacking *
_io_memory_backing_new_take_fd (int        fd,
                                gsize      min_size,
                                gsize      max_size,
                                gboolean   read_only,
                                gboolean   allow_dmabuf,
                                GError   **error)
{
  g_return_val_if_fail (fd >= 0, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return take_fd (fd, min_size, max_size, !read_only, read_only, allow_dmabuf,
                  error);
}

IOMemoryBacking *
_io_memory_backing_new_dup_fd (int        fd,
                               gboolean   writable,
                               GError   **error)
{
  int copy;

  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  copy = fcntl (fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0)
    {
      int errsv = errno;

      g_set_error (error, IO_STREAM_ERROR, error_from_errno (errsv),
                   "Cannot duplicate descriptor %d: %s", fd, g_strerror (errsv));
      return NULL;
    }

  return take_fd (copy, 1, G_MAXSSIZE, writable, FALSE, TRUE, error);
}

IOMemoryBacking *
_io_memory_backing_ref (IOMemoryBacking *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
_io_memory_backing_unref (IOMemoryBacking *self)
{
  if (!g_atomic_ref_count_dec (&self->refs))
    return;

  /* A child may have something else at the address that it did not get. */
  for (int i = 0; i < N_MAPS; i++)
    if (self->maps[i] != NULL && !_io_memory_backing_is_absent (self))
      munmap (self->maps[i], self->size);

  close_fd (&self->fd);
  g_mutex_clear (&self->lock);
  g_free (self);
}

guint8 *
_io_memory_backing_map (IOMemoryBacking  *self,
                        gboolean          writable,
                        GError          **error)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (writable && !self->writable)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_WRITABLE,
                   "Cannot map shared memory of %" G_GSIZE_FORMAT " bytes for "
                   "writing: it is read-only", self->size);
      return NULL;
    }

  /* Given up: what was the writable mapping is as good a read-only one. */
  if (!self->writable && self->maps[MAP_RO] == NULL && self->maps[MAP_RW] != NULL)
    return self->maps[MAP_RW];

  return map_locked (self, writable, error);
}

gsize
_io_memory_backing_get_size (IOMemoryBacking *self)
{
  return self->size;
}

int
_io_memory_backing_peek_fd (IOMemoryBacking *self)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return self->fd;
}

gboolean
_io_memory_backing_is_writable (IOMemoryBacking *self)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return self->writable;
}

gboolean
_io_memory_backing_is_dmabuf (IOMemoryBacking *self)
{
  return self->dmabuf;
}

gboolean
_io_memory_backing_is_own (IOMemoryBacking *self)
{
  return self->own;
}

gboolean
_io_memory_backing_is_peer_writable (IOMemoryBacking *self)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = NULL;
  int seals;

  if (self->own)
    return self->peer_writable;

  locker = g_mutex_locker_new (&self->lock);
  seals = fcntl (self->fd, F_GET_SEALS);
  if (seals >= 0)
    return (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) == 0;

  return (fcntl (self->fd, F_GETFL) & O_ACCMODE) == O_RDWR;
}

guint32
_io_memory_backing_get_id (IOMemoryBacking *self)
{
  return self->id;
}

gboolean
_io_memory_backing_seal_writers (IOMemoryBacking  *self,
                                 GError          **error)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (self->fd < 0)
    return fail_errno ("seal", self->size, EBADF, error);

  return add_seals (self->fd, SEALS_WRITERS, self->size, error) &&
         fill (self->fd, self->size, error);
}

gboolean
_io_memory_backing_give_up_writing (IOMemoryBacking  *self,
                                    GError          **error)
{
  return _io_memory_backing_give_up_writing_after (self, 0, error);
}

gboolean
_io_memory_backing_give_up_writing_after (IOMemoryBacking  *self,
                                          gsize             keep,
                                          GError          **error)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  gsize page = (gsize) sysconf (_SC_PAGESIZE);
  gsize start = (keep + page - 1) / page * page;

  if (self->maps[MAP_RW] != NULL && start < self->size &&
      mprotect (self->maps[MAP_RW] + start, self->size - start, PROT_READ) < 0)
    return fail_errno ("protect", self->size, errno, error);

  self->writable = FALSE;
  return TRUE;
}

void
_io_memory_backing_dont_fork (IOMemoryBacking *self)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  self->dont_fork = TRUE;
  self->fork_count = _io_fork_count ();
  for (int i = 0; i < N_MAPS; i++)
    if (self->maps[i] != NULL)
      madvise (self->maps[i], self->size, MADV_DONTFORK);
}

gboolean
_io_memory_backing_is_absent (IOMemoryBacking *self)
{
  return self->dont_fork && self->fork_count != _io_fork_count ();
}

void
_io_memory_backing_close_fd (IOMemoryBacking *self)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  close_fd (&self->fd);
}
