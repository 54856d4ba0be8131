/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Baseline: how long one cache line takes to the other processor. Each side
 * writes a line of its own and polls the other's; one way is half of the round
 * trip. Nothing that talks through memory can be faster than this. */

#include "bench-common.h"

typedef struct {
  BenchOptions options;
  BenchShared *shared;
  struct {
    _Alignas (BENCH_LINE) _Atomic uint64_t ping;
    _Alignas (BENCH_LINE) _Atomic uint64_t pong;
  } *lines;
} Bench;

static uint64_t
total (const Bench *bench)
{
  return bench->options.warm_up + bench->options.count;
}

static void
wait_for (_Atomic uint64_t *line,
          uint64_t          value)
{
  while (atomic_load_explicit (line, memory_order_acquire) != value)
    bench_relax ();
}

static void
echo (void *data)
{
  Bench *bench = data;

  bench_meet (bench->shared, BENCH_CHILD, 1);
  for (uint64_t i = 1; i <= total (bench); i++)
    {
      wait_for (&bench->lines->ping, i);
      atomic_store_explicit (&bench->lines->pong, i, memory_order_release);
    }
}

int
main (int    argc,
      char **argv)
{
  static const BenchMode modes[] = { { "latency", 500000 }, { NULL } };
  Bench bench = { 0 };
  pid_t child;

  bench_init (&bench.options, modes, argc, argv);
  bench.shared = bench_shared (bench.options.count);
  bench.lines = bench_share (sizeof *bench.lines);
  child = bench_fork (echo, &bench);

  bench_meet (bench.shared, BENCH_PARENT, 1);
  for (uint64_t i = 1; i <= total (&bench); i++)
    {
      uint64_t start = bench_now ();

      atomic_store_explicit (&bench.lines->ping, i, memory_order_release);
      wait_for (&bench.lines->pong, i);
      if (i > bench.options.warm_up)
        bench_sample (bench.shared, (bench_now () - start) / 2);
    }

  bench_join (child);
  bench_begin (&bench.options);
  bench_latencies (bench.shared);
  bench_end (bench.shared);

  return 0;
}
