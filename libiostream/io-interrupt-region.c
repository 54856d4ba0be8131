/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-interrupt-region-private.h"

#include "io-error.h"
#include "io-region-private.h"

#define GROUP_SIZE (1u << IO_ABI_GROUP_SHIFT)

static guint
count_groups (guint n_vectors)
{
  return (n_vectors + GROUP_SIZE - 1) >> IO_ABI_GROUP_SHIFT;
}

gsize
_io_interrupt_region_get_size (guint n_vectors)
{
  return G_STRUCT_OFFSET (IOAbiInterruptRegion, vectors) +
         (gsize) count_groups (n_vectors) * GROUP_SIZE * sizeof (uint32_t);
}

static void
write_header (IOAbiInterruptRegion *page,
              IOAbiSide             side,
              guint                 n_vectors)
{
  atomic_store_explicit (&page->abi, IO_ABI_VERSION, memory_order_relaxed);
  atomic_store_explicit (&page->side, side, memory_order_relaxed);
  atomic_store_explicit (&page->group_shift, IO_ABI_GROUP_SHIFT, memory_order_relaxed);
  atomic_store_explicit (&page->vector_count, n_vectors, memory_order_relaxed);
  atomic_store_explicit (&page->region_bytes, (guint32) _io_interrupt_region_get_size (n_vectors),
                         memory_order_relaxed);
  atomic_store_explicit (&page->magic, IO_ABI_INTERRUPT_MAGIC, memory_order_release);
}

gboolean
_io_interrupt_region_create (IOInterruptRegion  *self,
                             IOAbiSide           side,
                             guint               n_vectors,
                             GError            **error)
{
  g_autoptr (IOMemoryBacking) backing = NULL;
  guint8 *base;

  base = _io_region_make_page (&backing, side == IO_ABI_SIDE_OWNER ? "owner-interrupts" : "client-interrupts", side,
                               _io_interrupt_region_get_size (n_vectors), error);
  if (base == NULL)
    return FALSE;

  write_header ((IOAbiInterruptRegion *) base, side, n_vectors);
  if (!_io_region_publish_page (backing, side, error))
    return FALSE;

  self->page = (IOAbiInterruptRegion *) base;
  self->backing = g_steal_pointer (&backing);
  self->n_vectors = n_vectors;

  return TRUE;
}

gboolean
_io_interrupt_region_seal (IOInterruptRegion  *self,
                           GError            **error)
{
  return _io_memory_backing_seal_writers (self->backing, error);
}

/* Every field is read once, and must say exactly what the control plane
 * said. */
static gboolean
check_header (const IOAbiInterruptRegion  *page,
              IOAbiSide                    side,
              guint                        n_vectors,
              GError                     **error)
{
  guint32 magic = atomic_load_explicit (&page->magic, memory_order_acquire);
  guint abi = atomic_load_explicit (&page->abi, memory_order_relaxed);
  guint its_side = atomic_load_explicit (&page->side, memory_order_relaxed);
  guint shift = atomic_load_explicit (&page->group_shift, memory_order_relaxed);
  guint32 count = atomic_load_explicit (&page->vector_count, memory_order_relaxed);
  guint32 bytes = atomic_load_explicit (&page->region_bytes, memory_order_relaxed);

  if (magic == IO_ABI_INTERRUPT_MAGIC && abi == IO_ABI_VERSION && its_side == (guint) side &&
      shift == IO_ABI_GROUP_SHIFT && count == n_vectors &&
      bytes == _io_interrupt_region_get_size (n_vectors))
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR,
               "Cannot attach the %s interrupts: magic 0x%08x, layout %u, side %u, "
               "groups of 2^%u, %u vectors, %u bytes; expected 0x%08x, %u, %u, 2^%u, %u, %" G_GSIZE_FORMAT,
               side == IO_ABI_SIDE_OWNER ? "owner's" : "client's",
               magic, abi, its_side, shift, count, bytes,
               IO_ABI_INTERRUPT_MAGIC, IO_ABI_VERSION, (guint) side, IO_ABI_GROUP_SHIFT,
               n_vectors, _io_interrupt_region_get_size (n_vectors));
  return FALSE;
}

gboolean
_io_interrupt_region_attach (IOInterruptRegion  *self,
                             IOAbiSide           side,
                             int                 fd,
                             guint               n_vectors,
                             GError            **error)
{
  g_autoptr (IOMemoryBacking) backing = NULL;
  guint8 *base;

  base = _io_region_open_page (&backing, fd, side, _io_interrupt_region_get_size (n_vectors), error);
  if (base == NULL || !check_header ((IOAbiInterruptRegion *) base, side, n_vectors, error))
    return FALSE;

  _io_memory_backing_close_fd (backing);
  self->page = (IOAbiInterruptRegion *) base;
  self->backing = g_steal_pointer (&backing);
  self->n_vectors = n_vectors;

  return TRUE;
}

void
_io_interrupt_region_clear (IOInterruptRegion *self)
{
  g_clear_pointer (&self->backing, _io_memory_backing_unref);
  self->page = NULL;
}

void
_io_interrupt_region_cause (IOInterruptRegion *self,
                            guint              vector)
{
  guint group = vector >> IO_ABI_GROUP_SHIFT;

  atomic_fetch_add_explicit (&self->page->vectors[vector], 1, memory_order_release);
  atomic_fetch_add_explicit (&self->page->groups[group], 1, memory_order_release);
}

IOInterruptSeen *
_io_interrupt_seen_new (guint n_vectors)
{
  return g_malloc0 (sizeof (IOInterruptSeen) +
                    (gsize) count_groups (n_vectors) * GROUP_SIZE * sizeof (guint32));
}

gboolean
_io_interrupt_region_has_news (IOInterruptRegion *self,
                               IOInterruptSeen   *seen)
{
  guint n_groups = count_groups (self->n_vectors);

  for (guint group = 0; group < n_groups; group++)
    if (atomic_load_explicit (&self->page->groups[group], memory_order_acquire) !=
        atomic_load_explicit (&seen->groups[group], memory_order_relaxed))
      return TRUE;

  return FALSE;
}

static void
scan_group (IOInterruptRegion   *self,
            IOInterruptSeen     *seen,
            guint                group,
            IOInterruptScanFunc  func,
            gpointer             data)
{
  guint end = MIN ((group + 1) << IO_ABI_GROUP_SHIFT, self->n_vectors);

  for (guint vector = group << IO_ABI_GROUP_SHIFT; vector < end; vector++)
    {
      guint32 count = atomic_load_explicit (&self->page->vectors[vector], memory_order_acquire);

      if (count == seen->vectors[vector])
        continue;

      func (vector, count - seen->vectors[vector], data);
      seen->vectors[vector] = count;
    }
}

void
_io_interrupt_region_scan (IOInterruptRegion   *self,
                           IOInterruptSeen     *seen,
                           IOInterruptScanFunc  func,
                           gpointer             data)
{
  guint n_groups = count_groups (self->n_vectors);

  for (guint group = 0; group < n_groups; group++)
    {
      guint32 count = atomic_load_explicit (&self->page->groups[group], memory_order_acquire);

      if (count == atomic_load_explicit (&seen->groups[group], memory_order_relaxed))
        continue;

      /* Who sees the group as seen must find its vectors marked; that is up to
       * the lock of who scans. */
      atomic_store_explicit (&seen->groups[group], count, memory_order_relaxed);
      scan_group (self, seen, group, func, data);
    }
}
