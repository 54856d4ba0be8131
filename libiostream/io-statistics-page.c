/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-statistics-page-private.h"

#include "io-error.h"
#include "io-region-private.h"

#define PAGE_ALIGN 4096

gsize
_io_statistics_page_get_size (guint row_count)
{
  gsize size = G_STRUCT_OFFSET (IOAbiStatistics, clients) + row_count * sizeof (IOAbiStatisticsRow);

  return (size + PAGE_ALIGN - 1) / PAGE_ALIGN * PAGE_ALIGN;
}

static void
write_header (IOAbiStatistics *page,
              guint            row_count)
{
  atomic_store_explicit (&page->abi, IO_ABI_VERSION, memory_order_relaxed);
  atomic_store_explicit (&page->row_count, row_count, memory_order_relaxed);
  atomic_store_explicit (&page->page_bytes, (guint32) _io_statistics_page_get_size (row_count),
                         memory_order_relaxed);
  atomic_store_explicit (&page->magic, IO_ABI_STATISTICS_MAGIC, memory_order_release);
}

gboolean
_io_statistics_page_create (IOStatisticsPage  *self,
                            guint              row_count,
                            GError           **error)
{
  g_autoptr (IOMemoryBacking) backing = NULL;
  guint8 *base;

  base = _io_region_make_page (&backing, "statistics", IO_ABI_SIDE_OWNER,
                               _io_statistics_page_get_size (row_count), error);
  if (base == NULL || !_io_region_publish_page (backing, IO_ABI_SIDE_OWNER, error))
    return FALSE;

  write_header ((IOAbiStatistics *) base, row_count);
  self->page = (IOAbiStatistics *) base;
  self->backing = g_steal_pointer (&backing);
  self->row_count = row_count;
  self->versions = g_new0 (guint64, row_count + 1);

  return TRUE;
}

/* The page is of a process that may be hostile: every field is read once, and
 * must say exactly what the control plane said. */
static gboolean
check_header (const IOAbiStatistics  *page,
              guint                   row_count,
              GError                **error)
{
  guint32 magic = atomic_load_explicit (&page->magic, memory_order_acquire);
  guint abi = atomic_load_explicit (&page->abi, memory_order_relaxed);
  guint32 count = atomic_load_explicit (&page->row_count, memory_order_relaxed);
  guint32 bytes = atomic_load_explicit (&page->page_bytes, memory_order_relaxed);

  if (magic == IO_ABI_STATISTICS_MAGIC && abi == IO_ABI_VERSION && count == row_count &&
      bytes == _io_statistics_page_get_size (row_count))
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR,
               "Cannot attach statistics: magic 0x%08x, layout %u, %u rows, %u bytes; "
               "expected 0x%08x, %u, %u, %" G_GSIZE_FORMAT, magic, abi, count, bytes,
               IO_ABI_STATISTICS_MAGIC, IO_ABI_VERSION, row_count, _io_statistics_page_get_size (row_count));
  return FALSE;
}

gboolean
_io_statistics_page_attach (IOStatisticsPage  *self,
                            int                fd,
                            guint              row_count,
                            GError           **error)
{
  g_autoptr (IOMemoryBacking) backing = NULL;
  guint8 *base;

  base = _io_region_open_page (&backing, fd, IO_ABI_SIDE_OWNER,
                               _io_statistics_page_get_size (row_count), error);
  if (base == NULL || !check_header ((const IOAbiStatistics *) base, row_count, error))
    return FALSE;

  _io_memory_backing_close_fd (backing);
  self->page = (IOAbiStatistics *) base;
  self->backing = g_steal_pointer (&backing);
  self->row_count = row_count;

  return TRUE;
}

void
_io_statistics_page_clear (IOStatisticsPage *self)
{
  g_clear_pointer (&self->backing, _io_memory_backing_unref);
  g_clear_pointer (&self->versions, g_free);
  self->page = NULL;
  self->row_count = 0;
}

/* The fence keeps the words behind the version before: who sees one of them
 * sees that the copy was given up. */
static void
write_row (IOAbiStatisticsRow *row,
           guint64            *version,
           const void         *from)
{
  const guint8 *bytes = from;
  _Atomic uint64_t *copy = row->copies[(*version + 1) & 1];

  atomic_thread_fence (memory_order_release);
  for (guint i = 0; i < IO_ABI_STATISTICS_WORDS; i++)
    {
      guint64 word;

      memcpy (&word, bytes + i * sizeof word, sizeof word);
      atomic_store_explicit (&copy[i], word, memory_order_relaxed);
    }

  (*version)++;
  atomic_store_explicit (&row->version, *version, memory_order_release);
}

static gboolean
read_row (const IOAbiStatisticsRow *row,
          void                     *to)
{
  guint64 words[IO_ABI_STATISTICS_WORDS];
  guint64 version = atomic_load_explicit (&row->version, memory_order_acquire);

  for (guint tries = 0; tries < IO_STATISTICS_TRIES; tries++)
    {
      const _Atomic uint64_t *copy = row->copies[version & 1];
      guint64 before = version;

      for (guint i = 0; i < IO_ABI_STATISTICS_WORDS; i++)
        words[i] = atomic_load_explicit (&copy[i], memory_order_relaxed);

      atomic_thread_fence (memory_order_acquire);
      version = atomic_load_explicit (&row->version, memory_order_acquire);
      if (version == before)
        {
          memcpy (to, words, sizeof words);
          return TRUE;
        }
    }

  return FALSE;
}

void
_io_statistics_page_write_stream (IOStatisticsPage            *self,
                                  const IOAbiStatisticsStream *row)
{
  write_row (&self->page->stream, &self->versions[0], row);
}

void
_io_statistics_page_write_client (IOStatisticsPage            *self,
                                  guint                        index,
                                  const IOAbiStatisticsClient *row)
{
  write_row (&self->page->clients[index], &self->versions[index + 1], row);
}

gboolean
_io_statistics_page_read_stream (IOStatisticsPage      *self,
                                 IOAbiStatisticsStream *row)
{
  return read_row (&self->page->stream, row);
}

gboolean
_io_statistics_page_read_client (IOStatisticsPage      *self,
                                 guint                  index,
                                 IOAbiStatisticsClient *row)
{
  return read_row (&self->page->clients[index], row);
}
