/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Records from one process to another, as fast as both can: 64 bytes, or 4 KiB
 * (-large). The sender writes every byte, the receiver reads every cache line.
 *
 *   queue    through an IOSharedDataQueue, made and read in place
 *   copy     the same with a copy at each end
 *   socket   baseline: one message each through a Unix socket pair
 *   pipe     baseline: one write and one read each */

#include "bench-common.h"

#include "libiostream/io-shared-data-queue-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SMALL    64
#define LARGE    4096
#define CAPACITY (256 * 1024)

typedef struct {
  BenchOptions           options;
  BenchShared           *shared;
  size_t                 size;
  IOSharedDataQueue     *queue;
  IOSharedDataQueueParts parts;
  int                    fds[2];   /* to read, to write */
} Bench;

static uint64_t
total (const Bench *bench)
{
  return bench->options.warm_up + bench->options.count;
}

static bool
is_mode (const Bench *bench,
         const char  *name)
{
  return strncmp (bench->options.mode, name, strlen (name)) == 0;
}

static void
check (gboolean  done,
       GError   *error)
{
  if (!done)
    bench_fail ("%s", error != NULL ? error->message : "failed");
}

/* --- through the library --------------------------------------------------- */

static void
send_in_place (Bench    *bench,
               uint64_t  number)
{
  g_autoptr (GError) error = NULL;
  void *record;

  while ((record = io_shared_data_queue_reserve (bench->queue, bench->size, NULL)) == NULL)
    check (io_shared_data_queue_wait_space (bench->queue, CAPACITY / 2, -1, NULL, &error), error);
  bench_write_all (record, bench->size, number);
  check (io_shared_data_queue_commit (bench->queue, bench->size, &error), error);
}

static void
send_copy (Bench    *bench,
           uint64_t  number)
{
  g_autoptr (GError) error = NULL;
  uint8_t record[LARGE];

  bench_write_all (record, bench->size, number);
  while (!io_shared_data_queue_enqueue (bench->queue, record, bench->size, NULL))
    check (io_shared_data_queue_wait_space (bench->queue, CAPACITY / 2, -1, NULL, &error), error);
}

static bool
receive_in_place (Bench    *bench,
                  uint64_t  number)
{
  g_autoptr (GError) error = NULL;
  const void *record;
  bool good;
  gsize size;

  while (!io_shared_data_queue_peek (bench->queue, &record, &size))
    check (io_shared_data_queue_wait_data (bench->queue, -1, NULL, &error), error);
  good = size == bench->size && bench_read_lines (record, size, number);
  io_shared_data_queue_consume (bench->queue);

  return good;
}

static bool
receive_copy (Bench    *bench,
              uint64_t  number)
{
  g_autoptr (GError) error = NULL;
  uint8_t record[LARGE];
  gsize size = sizeof record;

  while (io_shared_data_queue_is_empty (bench->queue))
    check (io_shared_data_queue_wait_data (bench->queue, -1, NULL, &error), error);
  check (io_shared_data_queue_dequeue (bench->queue, record, &size, &error), error);

  return size == bench->size && bench_read_lines (record, size, number);
}

/* --- without it ------------------------------------------------------------ */

static void
send_plain (Bench    *bench,
            uint64_t  number)
{
  uint8_t record[LARGE];
  ssize_t n;

  bench_write_all (record, bench->size, number);
  do
    n = write (bench->fds[1], record, bench->size);
  while (n < 0 && errno == EINTR);
  if (n != (ssize_t) bench->size)
    bench_fail ("write: %s", n < 0 ? strerror (errno) : "short");
}

static bool
receive_plain (Bench    *bench,
               uint64_t  number)
{
  uint8_t record[LARGE];
  size_t done = 0;

  while (done < bench->size)
    {
      ssize_t n = read (bench->fds[0], record + done, bench->size - done);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        bench_fail ("read: %s", n < 0 ? strerror (errno) : "closed");
      done += (size_t) n;
    }

  return bench_read_lines (record, bench->size, number);
}

/* --- both ------------------------------------------------------------------ */

static void
receive_all (void *data)
{
  Bench *bench = data;
  g_autoptr (GError) error = NULL;
  bool in_place = is_mode (bench, "queue"), copy = is_mode (bench, "copy");

  if (in_place || copy)
    {
      bench->queue = _io_shared_data_queue_new_for_parts (&bench->parts, &error);
      check (bench->queue != NULL, error);
    }

  bench_meet (bench->shared, BENCH_CHILD, 1);
  for (uint64_t i = 0; i < total (bench); i++)
    {
      bool good = in_place ? receive_in_place (bench, i)
                  : copy   ? receive_copy (bench, i)
                           : receive_plain (bench, i);

      if (!good)
        bench->shared->n_errors++;
      if (i + 1 == bench->options.warm_up)
        bench_meet (bench->shared, BENCH_CHILD, 2);
    }
  bench_meet (bench->shared, BENCH_CHILD, 3);
}

static uint64_t
send_all (Bench *bench)
{
  uint64_t start = 0;
  bool in_place = is_mode (bench, "queue"), copy = is_mode (bench, "copy");

  for (uint64_t i = 0; i < total (bench); i++)
    {
      if (i == bench->options.warm_up)
        {
          bench_meet (bench->shared, BENCH_PARENT, 2);
          start = bench_now ();
        }
      if (in_place)
        send_in_place (bench, i);
      else if (copy)
        send_copy (bench, i);
      else
        send_plain (bench, i);
    }
  bench_meet (bench->shared, BENCH_PARENT, 3);

  return bench_now () - start;
}

/* The descriptors go over with the fork, the queue does not. */
static void
make_queue (Bench *bench)
{
  g_autoptr (GError) error = NULL;

  bench->queue = io_shared_data_queue_new_with_capacity (IO_SHARED_DATA_QUEUE_PRODUCER, CAPACITY, &error);
  check (bench->queue != NULL && _io_shared_data_queue_begin_hand_over (bench->queue, &bench->parts, &error),
         error);
  bench->parts.producer_fd = dup (bench->parts.producer_fd);
  bench->parts.consumer_fd = dup (bench->parts.consumer_fd);
  bench->parts.bell_fd = dup (bench->parts.bell_fd);
  _io_shared_data_queue_end_hand_over (bench->queue);
}

static void
make_plain (Bench *bench)
{
  const int size = CAPACITY;

  if (is_mode (bench, "pipe"))
    {
      if (pipe2 (bench->fds, O_CLOEXEC) != 0)
        bench_fail ("pipe: %s", strerror (errno));
      fcntl (bench->fds[1], F_SETPIPE_SZ, CAPACITY);
      return;
    }

  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, bench->fds) != 0)
    bench_fail ("socketpair: %s", strerror (errno));
  setsockopt (bench->fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

int
main (int    argc,
      char **argv)
{
  static const BenchMode modes[] = {
    { "queue", 1000000 }, { "queue-large", 200000 }, { "copy", 1000000 }, { "copy-large", 200000 },
    { "socket", 200000 }, { "socket-large", 100000 }, { "pipe", 200000 }, { "pipe-large", 100000 }, { NULL }
  };
  Bench bench = { 0 };
  g_autoptr (GError) error = NULL;
  uint64_t ns;
  pid_t child;

  bench_init (&bench.options, modes, argc, argv);
  bench.shared = bench_shared (1);
  bench.size = strstr (bench.options.mode, "-large") != NULL ? LARGE : SMALL;
  if (is_mode (&bench, "queue") || is_mode (&bench, "copy"))
    make_queue (&bench);
  else
    make_plain (&bench);
  child = bench_fork (receive_all, &bench);

  bench_meet (bench.shared, BENCH_PARENT, 1);
  if (bench.queue != NULL)
    check (_io_shared_data_queue_set_ready (bench.queue, &error), error);
  ns = send_all (&bench);
  bench_join (child);

  bench_begin (&bench.options);
  bench_rate (bench.options.count, ns);
  bench_value ("gb_per_second", (double) bench.options.count * (double) bench.size / (double) ns);
  bench_end (bench.shared);
  g_clear_object (&bench.queue);

  return 0;
}
