/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Baselines: what a Unix stream socket gives.
 *
 *   hop      from one byte sent until a sleeping reader has it
 *   turn     from one byte sent until the one that answers it is here, one turn
 *            after the other
 *   turn-sleep  the same, and the one who answers has fallen asleep before
 *   frames   1080p RGB frames copied through: the sender writes every byte of
 *            a frame, the receiver reads every cache line of it */

#include "bench-common.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Long enough for the reader to be asleep again. */
#define GAP_NS      300000
#define SOCKET_SIZE (1 << 20)

typedef struct {
  BenchOptions options;
  BenchShared *shared;
  uint8_t     *frames[2];   /* one of each side */
  int          fds[2];
} Bench;

static uint64_t
total (const Bench *bench)
{
  return bench->options.warm_up + bench->options.count;
}

static void
send_all (int         fd,
          const void *data,
          size_t      size)
{
  const uint8_t *bytes = data;

  while (size > 0)
    {
      ssize_t n = send (fd, bytes, size, MSG_NOSIGNAL);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        bench_fail ("send: %s", strerror (errno));
      bytes += n;
      size -= (size_t) n;
    }
}

static void
receive_all (int     fd,
             void   *data,
             size_t  size)
{
  uint8_t *bytes = data;

  while (size > 0)
    {
      ssize_t n = recv (fd, bytes, size, 0);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        bench_fail ("recv: %s", n < 0 ? strerror (errno) : "closed");
      bytes += n;
      size -= (size_t) n;
    }
}

static void
receive_hops (void *data)
{
  Bench *bench = data;
  uint64_t sent;

  bench_meet (bench->shared, BENCH_CHILD, 1);
  for (uint64_t i = 0; i < total (bench); i++)
    {
      receive_all (bench->fds[BENCH_CHILD], &sent, sizeof sent);
      if (i >= bench->options.warm_up)
        bench_sample (bench->shared, sent);
    }
}

static void
send_hops (Bench *bench)
{
  for (uint64_t i = 0; i < total (bench); i++)
    {
      uint64_t now;

      bench_spin (GAP_NS);
      now = bench_now ();
      send_all (bench->fds[BENCH_PARENT], &now, sizeof now);
    }
}

static void
answer_turns (void *data)
{
  Bench *bench = data;
  uint64_t word;

  bench_meet (bench->shared, BENCH_CHILD, 1);
  for (uint64_t i = 0; i < total (bench); i++)
    {
      receive_all (bench->fds[BENCH_CHILD], &word, sizeof word);
      send_all (bench->fds[BENCH_CHILD], &word, sizeof word);
    }
}

static void
take_turns (Bench *bench,
            bool   paced)
{
  for (uint64_t i = 0; i < total (bench); i++)
    {
      uint64_t now, word;

      if (paced)
        bench_spin (GAP_NS);
      now = bench_now ();
      send_all (bench->fds[BENCH_PARENT], &now, sizeof now);
      receive_all (bench->fds[BENCH_PARENT], &word, sizeof word);
      if (i >= bench->options.warm_up)
        bench_sample (bench->shared, now);
    }
}

static void
receive_frames (void *data)
{
  Bench *bench = data;

  bench_meet (bench->shared, BENCH_CHILD, 1);
  for (uint64_t i = 0; i < total (bench); i++)
    {
      receive_all (bench->fds[BENCH_CHILD], bench->frames[BENCH_CHILD], BENCH_FRAME_SIZE);
      if (!bench_read_lines (bench->frames[BENCH_CHILD], BENCH_FRAME_SIZE, i))
        bench->shared->n_errors++;
      if (i + 1 == bench->options.warm_up)
        bench_meet (bench->shared, BENCH_CHILD, 2);
    }
  bench_meet (bench->shared, BENCH_CHILD, 3);
}

static uint64_t
send_frames (Bench *bench)
{
  uint64_t start = 0;

  for (uint64_t i = 0; i < total (bench); i++)
    {
      if (i == bench->options.warm_up)
        {
          bench_meet (bench->shared, BENCH_PARENT, 2);
          start = bench_now ();
        }
      bench_write_all (bench->frames[BENCH_PARENT], BENCH_FRAME_SIZE, i);
      send_all (bench->fds[BENCH_PARENT], bench->frames[BENCH_PARENT], BENCH_FRAME_SIZE);
    }
  bench_meet (bench->shared, BENCH_PARENT, 3);

  return bench_now () - start;
}

static void
make_sockets (Bench *bench)
{
  const int size = SOCKET_SIZE;

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, bench->fds) != 0)
    bench_fail ("socketpair: %s", strerror (errno));

  for (int side = 0; side < 2; side++)
    {
      setsockopt (bench->fds[side], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
      bench->frames[side] = bench_share (BENCH_FRAME_SIZE);
    }
}

int
main (int    argc,
      char **argv)
{
  static const BenchMode modes[] = {
    { "hop", 2000 }, { "turn", 50000 }, { "turn-sleep", 2000 }, { "frames", 300 }, { NULL }
  };
  Bench bench = { 0 };
  uint64_t ns = 0;
  bool hop, turn;
  pid_t child;

  bench_init (&bench.options, modes, argc, argv);
  hop = strcmp (bench.options.mode, "hop") == 0;
  turn = strncmp (bench.options.mode, "turn", 4) == 0;
  bench.shared = bench_shared (bench.options.count);
  make_sockets (&bench);
  child = bench_fork (hop ? receive_hops : turn ? answer_turns : receive_frames, &bench);

  bench_meet (bench.shared, BENCH_PARENT, 1);
  if (hop)
    send_hops (&bench);
  else if (turn)
    take_turns (&bench, strcmp (bench.options.mode, "turn-sleep") == 0);
  else
    ns = send_frames (&bench);
  bench_join (child);

  bench_begin (&bench.options);
  if (hop || turn)
    bench_latencies (bench.shared);
  else
    {
      bench_rate (bench.options.count, ns);
      bench_value ("gb_per_second",
                   (double) bench.options.count * BENCH_FRAME_SIZE / (double) ns);
    }
  bench_end (bench.shared);

  return 0;
}
