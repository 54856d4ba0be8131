/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What all benchmarks share. One run of a program is one measurement between
 * two processes, each on its own processor, and prints one record, an object
 * of JSON on a line; tests/bench/run repeats the programs and takes medians.
 *
 * Plain C without GLib, so that the baselines owe nothing to the library. */

#define BENCH_LINE       128
#define BENCH_FRAME_SIZE (1920 * 1080 * 3)

typedef struct {
  const char *mode;     /* which measurement of the program */
  uint64_t    count;    /* of messages, after the warm-up */
  uint64_t    warm_up;
} BenchOptions;

/* In memory that both processes share; what follows belongs to the program. */
typedef struct {
  _Alignas (BENCH_LINE) _Atomic uint32_t arrived[2];
  _Alignas (BENCH_LINE) uint64_t n_samples;
  uint64_t n_errors;
  uint32_t samples[];   /* ns */
} BenchShared;

typedef enum {
  BENCH_PARENT,
  BENCH_CHILD
} BenchSide;

extern bool bench_single_cpu;

/* @counts: default of --count for each mode, ended by a NULL mode */
typedef struct {
  const char *mode;
  uint64_t    count;
} BenchMode;

void         bench_init      (BenchOptions     *options,
                              const BenchMode  *modes,
                              int               argc,
                              char            **argv);

/* Zeroed and touched memory that a child shares. */
void        *bench_share     (size_t            size);
BenchShared *bench_shared    (uint64_t          max_samples);

/* Forks: runs @child in a process of its own that dies with this one. When it
 * fails, so does this one, whatever it waits for. */
pid_t        bench_fork      (void            (*child) (void *data),
                              void             *data);
void         bench_join      (pid_t             child);
void         bench_pin       (BenchSide         side);

/* Returns when both sides have come here, for the @nth time from 1. */
void         bench_meet      (BenchShared      *shared,
                              BenchSide         side,
                              uint32_t          nth);

uint64_t     bench_now       (void);
void         bench_spin      (uint64_t          ns);
/* One way, from @sent until now. */
void         bench_sample    (BenchShared      *shared,
                              uint64_t          sent);
/* The same from two times that were taken down, each on its own side. */
void         bench_sample_times (BenchShared      *shared,
                                 const uint64_t   *sent,
                                 const uint64_t   *received,
                                 uint64_t          count);

void         bench_begin     (const BenchOptions *options);
void         bench_value     (const char       *key,
                              double            value);
void         bench_latencies (BenchShared      *shared);
void         bench_rate      (uint64_t          count,
                              uint64_t          ns);
void         bench_end       (const BenchShared *shared);

void         bench_fail      (const char       *format,
                              ...) __attribute__ ((format (printf, 1, 2), noreturn));

/* Inside a loop that polls: with one processor the other side needs it. */
static inline void
bench_relax (void)
{
  if (bench_single_cpu)
    sched_yield ();
}

/* Writes every byte, so that each value of @number gives other bytes. */
void         bench_write_all (void             *data,
                              size_t            size,
                              uint64_t          number);
/* Reads every cache line; false if it is not what was written. */
bool         bench_read_lines (const void      *data,
                               size_t           size,
                               uint64_t         number);
