/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-data-region-private.h"

#include "io-error.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

static gsize
get_page_size (void)
{
  long size = sysconf (_SC_PAGESIZE);

  return size > 0 ? (gsize) size : 4096;
}

/* Where the ring begins in its file. */
static gsize
get_header_size (void)
{
  return MAX (get_page_size (), (gsize) IO_ABI_DATA_HEADER);
}

gboolean
_io_data_geometry_init (IODataGeometry *self,
                        guint64         capacity)
{
  guint64 page = get_page_size ();

  if (capacity < IO_DATA_QUEUE_MIN_CAPACITY || capacity > IO_DATA_QUEUE_MAX_CAPACITY)
    return FALSE;

  self->capacity = (guint32) ((capacity + IO_ABI_DATA_ALIGN - 1) & ~(guint64) (IO_ABI_DATA_ALIGN - 1));
  self->ring_bytes = (guint32) ((self->capacity + page - 1) / page * page);

  return TRUE;
}

gboolean
_io_data_geometry_is_sound (const IODataGeometry *self)
{
  return self->capacity >= IO_DATA_QUEUE_MIN_CAPACITY &&
         self->capacity <= IO_DATA_QUEUE_MAX_CAPACITY &&
         self->capacity % IO_ABI_DATA_ALIGN == 0 &&
         self->ring_bytes >= self->capacity &&
         self->ring_bytes <= IO_DATA_QUEUE_MAX_CAPACITY &&
         self->ring_bytes % get_page_size () == 0;
}

gsize
_io_data_region_get_size (IOAbiRole             role,
                          const IODataGeometry *geometry)
{
  return get_header_size () + (role == IO_ABI_ROLE_PRODUCER ? geometry->ring_bytes : 0);
}

static const char *
role_name (IOAbiRole role)
{
  return role == IO_ABI_ROLE_PRODUCER ? "producer" : "consumer";
}

static void
write_header (IOAbiDataRegion      *page,
              IOAbiRole             role,
              const IODataGeometry *geometry)
{
  guint64 start = IO_DATA_REGION_START_POSITION;

  atomic_store_explicit (&page->abi, IO_ABI_VERSION, memory_order_relaxed);
  atomic_store_explicit (&page->role, role, memory_order_relaxed);
  atomic_store_explicit (&page->capacity, geometry->capacity, memory_order_relaxed);
  atomic_store_explicit (&page->ring_bytes, geometry->ring_bytes, memory_order_relaxed);
  atomic_store_explicit (&page->start_position, start, memory_order_relaxed);
  atomic_store_explicit (&page->position, start, memory_order_relaxed);
  atomic_store_explicit (&page->wanted, start + IO_DATA_REGION_NEVER, memory_order_relaxed);
  atomic_store_explicit (&page->magic, IO_ABI_DATA_MAGIC, memory_order_release);
}

/* The producer's page may be of a process that is hostile: every field is read
 * once, and must say exactly what the control plane said. */
static gboolean
check_header (const IOAbiDataRegion  *page,
              IOAbiRole               role,
              const IODataGeometry   *geometry,
              guint64                *start,
              GError                **error)
{
  guint32 magic = atomic_load_explicit (&page->magic, memory_order_acquire);
  guint abi = atomic_load_explicit (&page->abi, memory_order_relaxed);
  guint its_role = atomic_load_explicit (&page->role, memory_order_relaxed);
  guint32 capacity = atomic_load_explicit (&page->capacity, memory_order_relaxed);
  guint32 bytes = atomic_load_explicit (&page->ring_bytes, memory_order_relaxed);

  *start = atomic_load_explicit (&page->start_position, memory_order_relaxed);
  if (magic == IO_ABI_DATA_MAGIC && abi == IO_ABI_VERSION && its_role == (guint) role &&
      capacity == geometry->capacity && bytes == geometry->ring_bytes &&
      *start % IO_ABI_DATA_ALIGN == 0)
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR,
               "Cannot attach the %s's region of a data queue: magic 0x%08x, layout %u, role %u, "
               "capacity %u, ring of %u bytes, start 0x%" G_GINT64_MODIFIER "x; "
               "expected 0x%08x, %u, %u, %u, %u",
               role_name (role), magic, abi, its_role, capacity, bytes, *start,
               IO_ABI_DATA_MAGIC, IO_ABI_VERSION, (guint) role,
               geometry->capacity, geometry->ring_bytes);
  return FALSE;
}

static gboolean
map_half (guint8 *address,
          gsize   size,
          int     protection,
          int     fd)
{
  return mmap (address, size, protection, MAP_SHARED | MAP_FIXED, fd,
               (off_t) get_header_size ()) != MAP_FAILED;
}

static gboolean
map_mirror (IODataRegion  *self,
            gsize          ring_bytes,
            gboolean       writable,
            GError       **error)
{
  int fd = _io_memory_backing_peek_fd (self->backing);
  int protection = PROT_READ | (writable ? PROT_WRITE : 0);
  guint8 *bytes = mmap (NULL, 2 * ring_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  int saved_errno;

  if (bytes != MAP_FAILED &&
      map_half (bytes, ring_bytes, protection, fd) &&
      map_half (bytes + ring_bytes, ring_bytes, protection, fd))
    {
      madvise (bytes, 2 * ring_bytes, MADV_DONTFORK);
      self->bytes = bytes;
      self->ring_bytes = ring_bytes;
      return TRUE;
    }

  saved_errno = errno;
  if (bytes != MAP_FAILED)
    munmap (bytes, 2 * ring_bytes);
  g_set_error (error, IO_STREAM_ERROR,
               saved_errno == ENOMEM ? IO_STREAM_ERROR_NO_MEMORY : IO_STREAM_ERROR_VM_ERROR,
               "Cannot map a ring of %" G_GSIZE_FORMAT " bytes twice: %s", ring_bytes, g_strerror (saved_errno));
  return FALSE;
}

/* Everything is mapped before it is sealed: later not even we could. */
static gboolean
fill_region (IODataRegion          *self,
             IOAbiRole              role,
             const IODataGeometry  *geometry,
             gboolean               is_own,
             GError               **error)
{
  self->page = (IOAbiDataRegion *) (void *) _io_memory_backing_map (self->backing, TRUE, error);
  if (self->page == NULL)
    return FALSE;

  write_header (self->page, role, geometry);
  self->start_position = IO_DATA_REGION_START_POSITION;
  _io_memory_backing_dont_fork (self->backing);
  if (role == IO_ABI_ROLE_PRODUCER && !map_mirror (self, geometry->ring_bytes, is_own, error))
    return FALSE;

  return is_own ? _io_memory_backing_seal_writers (self->backing, error)
                : _io_memory_backing_give_up_writing (self->backing, error);
}

gboolean
_io_data_region_create (IODataRegion          *self,
                        IOAbiRole              role,
                        const IODataGeometry  *geometry,
                        gboolean               is_own,
                        GError               **error)
{
  self->backing = _io_memory_backing_new (role_name (role), _io_data_region_get_size (role, geometry),
                                          IO_STREAM_PEER_ACCESS_READ_WRITE, error);
  if (self->backing != NULL && fill_region (self, role, geometry, is_own, error))
    return TRUE;

  _io_data_region_clear (self);

  return FALSE;
}

gboolean
_io_data_region_seal (IODataRegion  *self,
                      GError       **error)
{
  return _io_memory_backing_seal_writers (self->backing, error);
}

gboolean
_io_data_region_attach (IODataRegion          *self,
                        IOAbiRole              role,
                        const IODataGeometry  *geometry,
                        int                    fd,
                        gboolean               is_own,
                        GError               **error)
{
  gsize size = _io_data_region_get_size (role, geometry);

  self->backing = _io_memory_backing_new_take_fd (fd, size, size, !is_own, FALSE, error);
  if (self->backing == NULL)
    return FALSE;

  self->page = (IOAbiDataRegion *) (void *) _io_memory_backing_map (self->backing, is_own, error);
  if (self->page != NULL)
    {
      _io_memory_backing_dont_fork (self->backing);
      if (check_header (self->page, role, geometry, &self->start_position, error) &&
          (role != IO_ABI_ROLE_PRODUCER || map_mirror (self, geometry->ring_bytes, is_own, error)))
        return TRUE;
    }

  _io_data_region_clear (self);

  return FALSE;
}

void
_io_data_region_clear (IODataRegion *self)
{
  if (self->bytes != NULL && !_io_memory_backing_is_absent (self->backing))
    munmap (self->bytes, 2 * self->ring_bytes);
  self->bytes = NULL;
  self->page = NULL;
  g_clear_pointer (&self->backing, _io_memory_backing_unref);
}
