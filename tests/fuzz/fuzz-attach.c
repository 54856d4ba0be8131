/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A peer hands over a descriptor and says that a region is behind it. Either
 * it is refused with an error and the descriptor is closed, or it has the
 * seals, the size and the header that it must have, and all of it can be
 * touched. */

#include "fuzz.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libiostream/io-error.h"
#include "libiostream/io-region-private.h"
#include "libiostream/io-ring-private.h"

typedef struct {
  guint8 seals;
  guint8 side;
  guint8 shift;       /* logarithm of the number of entries promised */
  guint8 more;        /* what the size is beside the right one, in 16 bytes */
  guint8 header[24];
} Input;

static int
make_memory (const Input *input,
             gsize        size)
{
  int fd = memfd_create ("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (ftruncate (fd, size), ==, 0);
  if (size >= sizeof input->header)
    g_assert_cmpint (pwrite (fd, input->header, sizeof input->header, 0), ==,
                     sizeof input->header);
  (void) fcntl (fd, F_ADD_SEALS, input->seals & 0x1f);

  return fd;
}

static void
check_attached (const IORegion *region,
                const Input    *input,
                gsize           size)
{
  IOStreamBufferQueueEntry entry;
  IORing ring;
  guint32 i;

  g_assert_true (input->seals & F_SEAL_SHRINK);
  g_assert_cmpuint (size, >=, _io_region_get_size (region->entry_count));
  g_assert_cmpuint (region->entry_count, ==, 1u << (input->shift & 7));

  _io_ring_init (&ring, region->page->entries, region->entry_count, region->start_index);
  for (i = 0; i <= region->entry_count; i++)
    _io_ring_take (&ring, &entry);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data,
                        size_t         size)
{
  g_autoptr (GError) error = NULL;
  IORegion region = { 0 };
  Input input;
  IOAbiSide side;
  gsize bytes;
  int fd;

  if (size < sizeof input)
    return 0;
  memcpy (&input, data, sizeof input);

  side = input.side & 1 ? IO_ABI_SIDE_OWNER : IO_ABI_SIDE_CLIENT;
  bytes = _io_region_get_size (1u << (input.shift & 7));
  bytes += ((gssize) input.more - 128) * 16;
  fd = make_memory (&input, bytes);
  if (_io_region_attach (&region, side, fd, 1u << (input.shift & 7), &error))
    {
      g_assert_no_error (error);
      check_attached (&region, &input, bytes);
      _io_region_clear (&region);
    }
  else
    {
      g_assert_nonnull (error);
      g_assert_true (error->domain == IO_STREAM_ERROR);
      g_assert_null (region.page);
    }
  g_assert_cmpint (fcntl (fd, F_GETFD), ==, -1);

  return 0;
}
