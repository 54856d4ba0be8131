/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Baseline: the ring of this library without the library, in one file. 32-byte
 * entries that are published by their own mark, no bell, no book, no checks.
 *
 *   latency   one entry, from before it is written until its reader has it;
 *             the next when that came back
 *   single    entries one way, the reader's progress told now and then
 *   cycle     a buffer of 64 bytes taken from the free ones, written, sent,
 *             received, read, and returned through a second ring
 *   frames    the same with buffers of a 1080p RGB frame: the sender writes
 *             every byte, the receiver reads every cache line */

#include "bench-common.h"

#include <string.h>

#define SHIFT       6
#define N_ENTRIES   (1u << SHIFT)
#define BUFFER_SIZE 64
#define N_FRAMES    4

typedef struct {
  _Atomic uint32_t tag;
  _Atomic uint32_t offset;
  _Atomic uint32_t length;
  _Atomic uint32_t control_offset;
  _Atomic uint32_t control_length;
  _Atomic uint32_t sequence;
  _Atomic uint64_t timestamp;
} Entry;

typedef struct {
  _Alignas (BENCH_LINE) Entry entries[N_ENTRIES];
} Ring;

typedef struct {
  Ring there;
  Ring back;
  _Alignas (BENCH_LINE) _Atomic uint64_t consumed;
} Memory;

typedef struct {
  BenchOptions options;
  BenchShared *shared;
  Memory      *memory;
  uint8_t     *buffers;
  size_t       size;        /* of each */
  uint32_t     n_buffers;
} Bench;

static uint32_t
mark_of (uint64_t index)
{
  return (1 + (uint32_t) ((index >> SHIFT) % 255)) << 24;
}

static void
put (Ring     *ring,
     uint64_t  index,
     uint32_t  id,
     uint32_t  sequence,
     uint64_t  timestamp)
{
  Entry *entry = &ring->entries[index % N_ENTRIES];

  atomic_store_explicit (&entry->offset, 0, memory_order_relaxed);
  atomic_store_explicit (&entry->length, BUFFER_SIZE, memory_order_relaxed);
  atomic_store_explicit (&entry->control_offset, 0, memory_order_relaxed);
  atomic_store_explicit (&entry->control_length, 0, memory_order_relaxed);
  atomic_store_explicit (&entry->sequence, sequence, memory_order_relaxed);
  atomic_store_explicit (&entry->timestamp, timestamp, memory_order_relaxed);
  atomic_store_explicit (&entry->tag, mark_of (index) | id, memory_order_release);
}

static bool
take (Ring     *ring,
      uint64_t  index,
      uint32_t *id,
      uint32_t *sequence,
      uint64_t *timestamp)
{
  Entry *entry = &ring->entries[index % N_ENTRIES];
  uint32_t tag = atomic_load_explicit (&entry->tag, memory_order_acquire);

  if ((tag & 0xff000000u) != mark_of (index))
    return false;

  *id = tag & 0xffffu;
  *sequence = atomic_load_explicit (&entry->sequence, memory_order_relaxed);
  *timestamp = atomic_load_explicit (&entry->timestamp, memory_order_relaxed);

  return true;
}

static uint64_t
take_wait (Ring     *ring,
           uint64_t  index,
           uint32_t *id,
           uint32_t *sequence)
{
  uint64_t timestamp;

  while (!take (ring, index, id, sequence, &timestamp))
    bench_relax ();

  return timestamp;
}

static uint64_t
total (const Bench *bench)
{
  return bench->options.warm_up + bench->options.count;
}

/* --- latency --------------------------------------------------------------- */

static void
echo (void *data)
{
  Bench *bench = data;
  uint32_t id, sequence;

  bench_meet (bench->shared, BENCH_CHILD, 1);
  for (uint64_t i = 0; i < total (bench); i++)
    {
      uint64_t sent = take_wait (&bench->memory->there, i, &id, &sequence);

      if (i >= bench->options.warm_up)
        bench_sample (bench->shared, sent);
      put (&bench->memory->back, i, id, sequence, 0);
    }
}

static void
measure_latency (Bench *bench)
{
  uint32_t id, sequence;

  for (uint64_t i = 0; i < total (bench); i++)
    {
      put (&bench->memory->there, i, (uint32_t) i % N_ENTRIES, (uint32_t) i, bench_now ());
      take_wait (&bench->memory->back, i, &id, &sequence);
      bench->shared->n_errors += sequence != (uint32_t) i;
    }
}

/* --- single ---------------------------------------------------------------- */

static void
read_entries (void *data)
{
  Bench *bench = data;
  uint32_t id, sequence;

  bench_meet (bench->shared, BENCH_CHILD, 1);
  for (uint64_t i = 0; i < total (bench); i++)
    {
      take_wait (&bench->memory->there, i, &id, &sequence);
      bench->shared->n_errors += sequence != (uint32_t) i;
      if (i % (N_ENTRIES / 4) == 0 || i + 1 == total (bench))
        atomic_store_explicit (&bench->memory->consumed, i + 1, memory_order_release);
    }
}

static void
wait_consumed (Bench    *bench,
               uint64_t  index)
{
  while (atomic_load_explicit (&bench->memory->consumed, memory_order_acquire) < index)
    bench_relax ();
}

static void
write_entries (Bench *bench)
{
  uint64_t seen = 0;

  for (uint64_t i = 0; i < total (bench); i++)
    {
      while (i >= seen + N_ENTRIES)
        {
          seen = atomic_load_explicit (&bench->memory->consumed, memory_order_acquire);
          bench_relax ();
        }
      put (&bench->memory->there, i, (uint32_t) i % N_ENTRIES, (uint32_t) i, 0);
    }
  wait_consumed (bench, total (bench));
}

/* --- cycle ----------------------------------------------------------------- */

static void
fill_buffer (Bench    *bench,
             uint32_t  id,
             uint64_t  number)
{
  uint8_t *data = bench->buffers + id * bench->size;
  uint64_t words[BUFFER_SIZE / 8];

  if (bench->size != BUFFER_SIZE)
    {
      bench_write_all (data, bench->size, number);
      return;
    }

  for (size_t i = 0; i < BUFFER_SIZE / 8; i++)
    words[i] = number;
  memcpy (data, words, BUFFER_SIZE);
}

static bool
check_buffer (Bench    *bench,
              uint32_t  id,
              uint64_t  number)
{
  const uint8_t *data = bench->buffers + id * bench->size;
  uint64_t words[BUFFER_SIZE / 8];

  if (bench->size != BUFFER_SIZE)
    return bench_read_lines (data, bench->size, number);

  memcpy (words, data, BUFFER_SIZE);

  return words[0] == number && words[BUFFER_SIZE / 8 - 1] == number;
}

static void
read_buffers (void *data)
{
  Bench *bench = data;
  uint32_t id, sequence;

  bench_meet (bench->shared, BENCH_CHILD, 1);
  for (uint64_t i = 0; i < total (bench); i++)
    {
      take_wait (&bench->memory->there, i, &id, &sequence);
      bench->shared->n_errors += !check_buffer (bench, id, i);
      put (&bench->memory->back, i, id, sequence, 0);
    }
}

typedef struct {
  uint32_t free[N_ENTRIES];
  uint32_t n_free;
  uint64_t back;
} Book;

static void
take_back (Bench *bench,
           Book  *book)
{
  uint32_t id, sequence;
  uint64_t timestamp;

  while (take (&bench->memory->back, book->back, &id, &sequence, &timestamp))
    {
      book->free[book->n_free++] = id;
      book->back++;
    }
}

static void
write_buffers (Bench *bench)
{
  Book book = { .n_free = bench->n_buffers };

  for (uint32_t id = 0; id < bench->n_buffers; id++)
    book.free[id] = id;

  for (uint64_t i = 0; i < total (bench); i++)
    {
      uint32_t id;

      for (take_back (bench, &book); book.n_free == 0; take_back (bench, &book))
        bench_relax ();
      id = book.free[--book.n_free];
      fill_buffer (bench, id, i);
      put (&bench->memory->there, i, id, (uint32_t) i, 0);
    }

  while (book.n_free < bench->n_buffers)
    {
      take_back (bench, &book);
      bench_relax ();
    }
}

/* --------------------------------------------------------------------------- */

static void
measure_rate (Bench *bench,
              void (*write) (Bench *bench))
{
  uint64_t start = bench_now ();

  write (bench);
  start = bench_now () - start;
  bench_begin (&bench->options);
  bench_rate (total (bench), start);
  bench_value ("gb_per_second", (double) total (bench) * (double) bench->size / (double) start);
  bench_end (bench->shared);
}

int
main (int    argc,
      char **argv)
{
  static const BenchMode modes[] = {
    { "latency", 300000 }, { "single", 5000000 }, { "cycle", 2000000 },
    { "frames", 400 }, { NULL }
  };
  Bench bench = { 0 };
  bool latency, frames, single;
  pid_t child;

  bench_init (&bench.options, modes, argc, argv);
  latency = strcmp (bench.options.mode, "latency") == 0;
  frames = strcmp (bench.options.mode, "frames") == 0;
  single = strcmp (bench.options.mode, "single") == 0;
  bench.shared = bench_shared (latency ? bench.options.count : 1);
  bench.memory = bench_share (sizeof (Memory));
  bench.size = frames ? BENCH_FRAME_SIZE : BUFFER_SIZE;
  bench.n_buffers = frames ? N_FRAMES : N_ENTRIES;
  bench.buffers = bench_share (bench.n_buffers * bench.size);
  child = bench_fork (latency ? echo : single ? read_entries : read_buffers, &bench);

  bench_meet (bench.shared, BENCH_PARENT, 1);
  if (!latency)
    {
      measure_rate (&bench, single ? write_entries : write_buffers);
      bench_join (child);
      return 0;
    }

  measure_latency (&bench);
  bench_join (child);
  bench_begin (&bench.options);
  bench_latencies (bench.shared);
  bench_end (bench.shared);

  return 0;
}
