/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The sources that talk to the kernel, with a kernel that fails when it is
 * told to, and that says of any file that it is a dma-buf. */

#include "config.h"

#include "io-buffer-memory-descriptor.h"
#include "io-memory-descriptor-private.h"

#include "memory-util.h"

#include <linux/dma-buf.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/sysinfo.h>
#include <sys/vfs.h>

#define DMA_BUF_MAGIC 0x444d4142

typedef enum {
  CALL_MEMFD_CREATE,
  CALL_FTRUNCATE,
  CALL_FALLOCATE,
  CALL_MMAP,
  CALL_MPROTECT,
  CALL_FCNTL,
  CALL_FSTATFS,
  CALL_FSTAT,
  CALL_IOCTL,
  N_CALLS
} Call;

static struct {
  Call     call;
  int      nth;         /* of this kind fails; 0: none */
  int      errsv;
  guint    failed;
  gboolean dmabuf;
  guint64  syncs[16];
  guint    n_syncs;
} kernel;

static gboolean
fails (Call call)
{
  if (kernel.call != call || kernel.nth == 0 || --kernel.nth > 0)
    return FALSE;

  kernel.failed++;
  errno = kernel.errsv;
  return TRUE;
}

static int
fake_fstatfs (int            fd,
              struct statfs *fs)
{
  int rc = fails (CALL_FSTATFS) ? -1 : fstatfs (fd, fs);

  if (rc == 0 && kernel.dmabuf)
    fs->f_type = DMA_BUF_MAGIC;
  return rc;
}

static int
fake_ioctl (int                  fd,
            unsigned long        request,
            struct dma_buf_sync *sync)
{
  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpuint (request, ==, DMA_BUF_IOCTL_SYNC);
  if (fails (CALL_IOCTL))
    return -1;

  g_assert_cmpuint (kernel.n_syncs, <, G_N_ELEMENTS (kernel.syncs));
  kernel.syncs[kernel.n_syncs++] = sync->flags;
  return 0;
}

#define memfd_create(...) (fails (CALL_MEMFD_CREATE) ? -1 : memfd_create (__VA_ARGS__))
#define ftruncate(...)    (fails (CALL_FTRUNCATE) ? -1 : ftruncate (__VA_ARGS__))
#define fallocate(...)    (fails (CALL_FALLOCATE) ? -1 : fallocate (__VA_ARGS__))
#define mmap(...)         (fails (CALL_MMAP) ? MAP_FAILED : mmap (__VA_ARGS__))
#define mprotect(...)     (fails (CALL_MPROTECT) ? -1 : mprotect (__VA_ARGS__))
#define fcntl(...)        (fails (CALL_FCNTL) ? -1 : fcntl (__VA_ARGS__))
#define fstat(...)        (fails (CALL_FSTAT) ? -1 : fstat (__VA_ARGS__))
#define fstatfs           fake_fstatfs
#define ioctl             fake_ioctl

#include "io-memory-backing.c"
#include "io-memory-transfer.c"

#define SIZE ((gsize) 5 << 20)

/* An operation that makes something and lets it go, or fails. */
typedef gboolean (*Operation) (GError **error);

static gboolean
operate_create (GError **error)
{
  IOMemoryBacking *backing = _io_memory_backing_new ("fault", SIZE,
                                                     IO_STREAM_PEER_ACCESS_READ, error);

  if (backing == NULL)
    return FALSE;

  _io_memory_backing_unref (backing);
  return TRUE;
}

static gboolean
operate_seal (GError **error)
{
  Call call = kernel.call;
  IOMemoryBacking *backing;
  gboolean result;

  kernel.call = N_CALLS;
  backing = _io_memory_backing_new ("fault", SIZE, IO_STREAM_PEER_ACCESS_READ_WRITE, NULL);
  kernel.call = call;
  result = _io_memory_backing_seal_writers (backing, error) &&
           _io_memory_backing_give_up_writing (backing, error);
  _io_memory_backing_unref (backing);

  return result;
}

static gboolean
operate_take (GError **error)
{
  Call call = kernel.call;
  IOMemoryBacking *backing;
  int fd;

  kernel.call = N_CALLS;
  fd = make_memfd (SIZE, F_SEAL_SHRINK | F_SEAL_GROW);
  kernel.call = call;
  backing = _io_memory_backing_new_dup_fd (fd, TRUE, error);
  (close) (fd);
  if (backing == NULL)
    return FALSE;

  _io_memory_backing_unref (backing);
  return TRUE;
}

static const Operation operations[] = { operate_create, operate_seal, operate_take };

/* What one failure of @call with @errsv, the first, the second and so on until
 * none is left, does to everything. */
static void
inject (Call     call,
        int      errsv,
        int      code)
{
  for (gsize i = 0; i < G_N_ELEMENTS (operations); i++)
    for (int nth = 1; ; nth++)
      {
        g_autoptr (GError) error = NULL;
        guint fds = count_fds ();
        gboolean result;

        memset (&kernel, 0, sizeof kernel);
        kernel.call = call;
        kernel.nth = nth;
        kernel.errsv = errsv;
        result = operations[i] (&error);

        g_assert_cmpint (result, ==, error == NULL);
        if (code != 0 && kernel.failed > 0)
          g_assert_error (error, IO_STREAM_ERROR, code);
        if (!result)
          g_assert_cmpuint (kernel.failed, ==, 1);

        g_assert_cmpuint (count_fds (), ==, fds);
        g_assert_cmpuint (count_maps ("fault"), ==, 0);

        kernel.nth = 0;
        g_assert_true (operations[i] (NULL));
        if (kernel.failed == 0)
          break;
      }
}

static void
test_memory (void)
{
  inject (CALL_MEMFD_CREATE, ENOMEM, IO_STREAM_ERROR_NO_MEMORY);
  inject (CALL_FTRUNCATE, ENOMEM, IO_STREAM_ERROR_NO_MEMORY);
  inject (CALL_FALLOCATE, ENOSPC, IO_STREAM_ERROR_NO_MEMORY);
  inject (CALL_FALLOCATE, ENOMEM, IO_STREAM_ERROR_NO_MEMORY);
  inject (CALL_MMAP, ENOMEM, IO_STREAM_ERROR_NO_MEMORY);
  inject (CALL_MPROTECT, ENOMEM, IO_STREAM_ERROR_NO_MEMORY);
}

static void
test_resources (void)
{
  inject (CALL_MEMFD_CREATE, EMFILE, IO_STREAM_ERROR_NO_RESOURCES);
  inject (CALL_MEMFD_CREATE, ENFILE, IO_STREAM_ERROR_NO_RESOURCES);
  inject (CALL_FTRUNCATE, EFBIG, IO_STREAM_ERROR_NO_RESOURCES);
}

static void
test_refusals (void)
{
  inject (CALL_MEMFD_CREATE, EACCES, IO_STREAM_ERROR_NOT_PERMITTED);
  inject (CALL_FALLOCATE, EOPNOTSUPP, IO_STREAM_ERROR_IO_ERROR);
  inject (CALL_MMAP, EPERM, IO_STREAM_ERROR_VM_ERROR);
  inject (CALL_FSTATFS, ENOSYS, IO_STREAM_ERROR_IO_ERROR);
  inject (CALL_FSTAT, EIO, IO_STREAM_ERROR_VM_ERROR);
  inject (CALL_FCNTL, EPERM, 0);
  inject (CALL_FCNTL, EINVAL, 0);
  inject (CALL_FCNTL, EMFILE, 0);
}

/* A signal, or a kernel that does not know MFD_NOEXEC_SEAL, is no failure. */
static void
assert_no_matter (Call call,
                  int  errsv)
{
  for (gsize i = 0; i < G_N_ELEMENTS (operations); i++)
    for (int nth = 1; nth <= 4; nth++)
      {
        g_autoptr (GError) error = NULL;

        memset (&kernel, 0, sizeof kernel);
        kernel.call = call;
        kernel.nth = nth;
        kernel.errsv = errsv;
        g_assert_true (operations[i] (&error));
        g_assert_no_error (error);
      }
}

static void
test_no_matter (void)
{
  assert_no_matter (CALL_MEMFD_CREATE, EINVAL);
  assert_no_matter (CALL_FTRUNCATE, EINTR);
  assert_no_matter (CALL_FALLOCATE, EINTR);
  assert_no_matter (CALL_FSTATFS, EINTR);
}

static IOMemoryDescriptor *
make_dmabuf (IODirection direction,
             gboolean    read_only_fd)
{
  g_autoptr (GError) error = NULL;
  IOMemoryDescriptor *memory;
  int fd = make_memfd (8192, 0);

  if (read_only_fd)
    {
      g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", fd);
      int again = open (path, O_RDONLY | O_CLOEXEC);

      (close) (fd);
      fd = again;
    }

  memset (&kernel, 0, sizeof kernel);
  kernel.dmabuf = TRUE;
  memory = io_memory_descriptor_new_for_fd (fd, 0, 0, direction, &error);
  (close) (fd);
  g_assert_no_error (error);
  g_assert_true (_io_memory_backing_is_dmabuf (_io_memory_descriptor_peek_backing (memory)));
  g_assert_cmpuint (io_memory_descriptor_get_length (memory), ==, 8192);

  return memory;
}

static void
test_dmabuf_sync (void)
{
  static const guint64 expected[] = {
    DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ,
    DMA_BUF_SYNC_START | DMA_BUF_SYNC_WRITE,
    DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ,
    DMA_BUF_SYNC_END | DMA_BUF_SYNC_WRITE,
    DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW,
    DMA_BUF_SYNC_END | DMA_BUF_SYNC_RW,
  };
  g_autoptr (GError) error = NULL;
  IOMemoryDescriptor *memory = make_dmabuf (IO_DIRECTION_IN_OUT, FALSE);

  /* The kernel hears of the first and of the last of each direction only. */
  g_assert_true (io_memory_descriptor_prepare (memory, IO_DIRECTION_IN, &error));
  g_assert_true (io_memory_descriptor_prepare (memory, IO_DIRECTION_IN_OUT, &error));
  g_assert_true (io_memory_descriptor_complete (memory, IO_DIRECTION_IN, &error));
  g_assert_true (io_memory_descriptor_complete (memory, IO_DIRECTION_IN, &error));
  g_assert_true (io_memory_descriptor_complete (memory, IO_DIRECTION_OUT, &error));
  g_assert_true (io_memory_descriptor_prepare (memory, IO_DIRECTION_NONE, &error));
  g_assert_true (io_memory_descriptor_complete (memory, IO_DIRECTION_NONE, &error));
  g_assert_false (io_memory_descriptor_complete (memory, IO_DIRECTION_NONE, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY);

  g_assert_cmpmem (kernel.syncs, kernel.n_syncs * sizeof (guint64),
                   expected, sizeof expected);
  g_assert_finalize_object (memory);
}

static void
test_dmabuf_sync_fails (void)
{
  g_autoptr (GError) error = NULL;
  IOMemoryDescriptor *memory = make_dmabuf (IO_DIRECTION_IN_OUT, FALSE);

  kernel.call = CALL_IOCTL;
  kernel.nth = 1;
  kernel.errsv = EIO;
  g_assert_false (io_memory_descriptor_prepare (memory, IO_DIRECTION_OUT, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_IO_ERROR);
  g_clear_error (&error);
  g_assert_false (io_memory_descriptor_complete (memory, IO_DIRECTION_OUT, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY);
  g_clear_error (&error);

  /* A failure to complete leaves it prepared; a signal is no failure. */
  g_assert_true (io_memory_descriptor_prepare (memory, IO_DIRECTION_OUT, &error));
  kernel.nth = 1;
  g_assert_false (io_memory_descriptor_complete (memory, IO_DIRECTION_OUT, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_IO_ERROR);
  g_clear_error (&error);
  kernel.nth = 1;
  kernel.errsv = EINTR;
  g_assert_true (io_memory_descriptor_complete (memory, IO_DIRECTION_OUT, &error));
  g_assert_no_error (error);

  g_assert_finalize_object (memory);
}

static void
test_dmabuf_access (void)
{
  IOMemoryDescriptor *memory = make_dmabuf (IO_DIRECTION_IN_OUT, FALSE);
  IOMemoryDescriptor *read_only;
  char byte = 'x';

  g_assert_true (io_memory_descriptor_is_writable (memory));
  g_assert_cmpuint (io_memory_descriptor_write_bytes (memory, 8191, &byte, 1), ==, 1);
  g_assert_finalize_object (memory);

  read_only = make_dmabuf (IO_DIRECTION_IN_OUT, TRUE);
  g_assert_false (io_memory_descriptor_is_writable (read_only));
  g_assert_cmpuint (io_memory_descriptor_write_bytes (read_only, 0, &byte, 1), ==, 0);
  g_assert_cmpuint (io_memory_descriptor_read_bytes (read_only, 0, &byte, 1), ==, 1);
  g_assert_finalize_object (read_only);
}

static void
test_dmabuf_refused (void)
{
  g_autoptr (GError) error = NULL;
  guint fds = count_fds ();

  memset (&kernel, 0, sizeof kernel);
  kernel.dmabuf = TRUE;
  g_assert_null (_io_memory_backing_new_take_fd (make_memfd (8192, SEALS_ALL), 1, 8192,
                                                 TRUE, FALSE, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_VM_ERROR);
  g_assert_nonnull (strstr (error->message, "a dma-buf, not a memfd"));
  g_clear_error (&error);

  g_assert_null (_io_memory_backing_new_take_fd (make_memfd (8192, SEALS_ALL), 1, 8191,
                                                 TRUE, TRUE, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_VM_ERROR);
  g_assert_nonnull (strstr (error->message, "not within"));
  g_assert_cmpuint (count_fds (), ==, fds);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/memory-faults/memory", test_memory);
  g_test_add_func ("/memory-faults/resources", test_resources);
  g_test_add_func ("/memory-faults/refusals", test_refusals);
  g_test_add_func ("/memory-faults/no-matter", test_no_matter);
  g_test_add_func ("/memory-faults/dmabuf/sync", test_dmabuf_sync);
  g_test_add_func ("/memory-faults/dmabuf/sync-fails", test_dmabuf_sync_fails);
  g_test_add_func ("/memory-faults/dmabuf/access", test_dmabuf_access);
  g_test_add_func ("/memory-faults/dmabuf/refused", test_dmabuf_refused);

  return g_test_run ();
}
