/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-region-private.h"

#include "io-error.h"

guint32
_io_region_entry_count (guint32 queue_length)
{
  guint32 count = 4;

  while (count < queue_length && count < IO_ABI_MAX_ENTRIES)
    count *= 2;

  return count;
}

gsize
_io_region_get_size (guint32 entry_count)
{
  return IO_ABI_ENTRIES + ((gsize) entry_count << IO_ABI_ENTRY_SHIFT);
}

static const char *
side_name (IOAbiSide side)
{
  return side == IO_ABI_SIDE_OWNER ? "owner" : "client";
}

guint8 *
_io_region_make_page (IOMemoryBacking **backing,
                      const char       *name,
                      IOAbiSide         side,
                      gsize             size,
                      GError          **error)
{
  *backing = _io_memory_backing_new (name, size,
                                     side == IO_ABI_SIDE_OWNER ? IO_STREAM_PEER_ACCESS_READ
                                                               : IO_STREAM_PEER_ACCESS_READ_WRITE,
                                     error);

  return *backing != NULL ? _io_memory_backing_map (*backing, TRUE, error) : NULL;
}

static gboolean
publish (IOMemoryBacking  *backing,
         IOAbiSide         side,
         gsize             writable,
         GError          **error)
{
  if (side == IO_ABI_SIDE_CLIENT && !_io_memory_backing_give_up_writing_after (backing, writable, error))
    return FALSE;

  _io_memory_backing_dont_fork (backing);

  return TRUE;
}

gboolean
_io_region_publish_page (IOMemoryBacking  *backing,
                         IOAbiSide         side,
                         GError          **error)
{
  return publish (backing, side, 0, error);
}

guint8 *
_io_region_open_page (IOMemoryBacking **backing,
                      int               fd,
                      IOAbiSide         side,
                      gsize             size,
                      GError          **error)
{
  gboolean read_only = side == IO_ABI_SIDE_OWNER;
  guint8 *base;

  *backing = _io_memory_backing_new_take_fd (fd, size, size + 0x100000, read_only, FALSE, error);
  if (*backing == NULL)
    return NULL;

  base = _io_memory_backing_map (*backing, !read_only, error);
  if (base != NULL)
    _io_memory_backing_dont_fork (*backing);

  return base;
}

static void
write_header (IOAbiRegion *page,
              IOAbiSide    side,
              guint32      entry_count,
              guint64      start_index)
{
  atomic_store_explicit (&page->abi, IO_ABI_VERSION, memory_order_relaxed);
  atomic_store_explicit (&page->side, side, memory_order_relaxed);
  atomic_store_explicit (&page->entry_shift, IO_ABI_ENTRY_SHIFT, memory_order_relaxed);
  atomic_store_explicit (&page->entry_count, entry_count, memory_order_relaxed);
  atomic_store_explicit (&page->region_bytes, (guint32) _io_region_get_size (entry_count), memory_order_relaxed);
  atomic_store_explicit (&page->start_index, start_index, memory_order_relaxed);
  atomic_store_explicit (&page->claim, start_index, memory_order_relaxed);
  atomic_store_explicit (&page->produced, start_index, memory_order_relaxed);
  atomic_store_explicit (&page->consumed, start_index, memory_order_relaxed);
  atomic_store_explicit (&page->magic, IO_ABI_MAGIC, memory_order_release);
}

static gboolean
create (IORegion   *self,
        IOAbiSide   side,
        guint32     entry_count,
        guint64     start_index,
        gsize       writable,
        GError    **error)
{
  g_autoptr (IOMemoryBacking) backing = NULL;
  guint8 *base = NULL;

  base = _io_region_make_page (&backing, side_name (side), side,
                               _io_region_get_size (entry_count), error);
  if (base == NULL)
    return FALSE;

  write_header ((IOAbiRegion *) base, side, entry_count, start_index);
  if (!publish (backing, side, writable, error))
    return FALSE;

  self->page = (IOAbiRegion *) base;
  self->claim = writable > 0 ? &self->page->claim : NULL;
  self->backing = g_steal_pointer (&backing);
  self->entry_count = entry_count;
  self->start_index = start_index;

  return TRUE;
}

gboolean
_io_region_create (IORegion   *self,
                   IOAbiSide   side,
                   guint32     entry_count,
                   guint64     start_index,
                   GError    **error)
{
  return create (self, side, entry_count, start_index, 0, error);
}

gboolean
_io_region_create_claimed (IORegion  *self,
                           guint32    entry_count,
                           guint64    start_index,
                           GError   **error)
{
  return create (self, IO_ABI_SIDE_CLIENT, entry_count, start_index, IO_ABI_ENTRIES, error);
}

gboolean
_io_region_seal (IORegion  *self,
                 GError   **error)
{
  return _io_memory_backing_seal_writers (self->backing, error);
}

/* The page is of a process that may be hostile: every field is read once, and
 * must say exactly what the control plane said. */
static gboolean
check_header (const IOAbiRegion  *page,
              IOAbiSide           side,
              guint32             entry_count,
              GError            **error)
{
  guint32 magic = atomic_load_explicit (&page->magic, memory_order_acquire);
  guint abi = atomic_load_explicit (&page->abi, memory_order_relaxed);
  guint its_side = atomic_load_explicit (&page->side, memory_order_relaxed);
  guint shift = atomic_load_explicit (&page->entry_shift, memory_order_relaxed);
  guint32 count = atomic_load_explicit (&page->entry_count, memory_order_relaxed);
  guint32 bytes = atomic_load_explicit (&page->region_bytes, memory_order_relaxed);

  if (magic == IO_ABI_MAGIC && abi == IO_ABI_VERSION && its_side == (guint) side &&
      shift == IO_ABI_ENTRY_SHIFT && count == entry_count &&
      bytes == _io_region_get_size (entry_count))
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR,
               "Cannot attach the %s region: magic 0x%08x, layout %u, side %u, "
               "entry size 2^%u, %u entries, %u bytes; expected 0x%08x, %u, %u, 2^%u, %u, %" G_GSIZE_FORMAT,
               side == IO_ABI_SIDE_OWNER ? "owner's" : "client's",
               magic, abi, its_side, shift, count, bytes,
               IO_ABI_MAGIC, IO_ABI_VERSION, (guint) side, IO_ABI_ENTRY_SHIFT,
               entry_count, _io_region_get_size (entry_count));
  return FALSE;
}

gboolean
_io_region_attach (IORegion   *self,
                   IOAbiSide   side,
                   int         fd,
                   guint32     entry_count,
                   GError    **error)
{
  g_autoptr (IOMemoryBacking) backing = NULL;
  guint8 *base = NULL;

  base = _io_region_open_page (&backing, fd, side, _io_region_get_size (entry_count), error);
  if (base == NULL || !check_header ((IOAbiRegion *) base, side, entry_count, error))
    return FALSE;

  _io_memory_backing_close_fd (backing);
  self->page = (IOAbiRegion *) base;
  self->claim = side == IO_ABI_SIDE_CLIENT ? &self->page->claim : NULL;
  self->backing = g_steal_pointer (&backing);
  self->entry_count = entry_count;
  self->start_index = atomic_load_explicit (&self->page->start_index, memory_order_relaxed);

  return TRUE;
}

void
_io_region_clear (IORegion *self)
{
  g_clear_pointer (&self->backing, _io_memory_backing_unref);
  self->page = NULL;
  self->claim = NULL;
  self->entry_count = 0;
}
