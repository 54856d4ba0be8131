/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Baseline: how long one cache line takes to the other processor. Each side
 * writes a line of its own and polls the other's. What is written is the time,
 * so that one way is measured as it is for everything else: from before the
 * sender writes until the receiver has it. Nothing that talks through memory
 * can be faster than this. */

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

/* Polls until the line changes, and returns what it says. */
static uint64_t
wait_change (_Atomic uint64_t *line,
             uint64_t          old)
{
  uint64_t value;

  while ((value = atomic_load_explicit (line, memory_order_acquire)) == old)
    bench_relax ();

  return value;
}

static void
echo (void *data)
{
  Bench *bench = data;
  uint64_t sent = 0;

  bench_meet (bench->shared, BENCH_CHILD, 1);
  for (uint64_t i = 0; i < total (bench); i++)
    {
      sent = wait_change (&bench->lines->ping, sent);
      if (i >= bench->options.warm_up)
        bench_sample (bench->shared, sent);
      atomic_store_explicit (&bench->lines->pong, i + 1, memory_order_release);
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
  for (uint64_t i = 0; i < total (&bench); i++)
    {
      atomic_store_explicit (&bench.lines->ping, bench_now (), memory_order_release);
      wait_change (&bench.lines->pong, i);
    }

  bench_join (child);
  bench_begin (&bench.options);
  bench_latencies (bench.shared);
  bench_end (bench.shared);

  return 0;
}
