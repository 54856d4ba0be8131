/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bench-common.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A measurement that hangs is one that failed. */
#define DEADLINE_SECONDS 300

bool bench_single_cpu;

static int cpus[2];

void
bench_fail (const char *format, ...)
{
  va_list args;

  va_start (args, format);
  fprintf (stderr, "%s: ", program_invocation_short_name);
  vfprintf (stderr, format, args);
  fputc ('\n', stderr);
  va_end (args);
  exit (1);
}

/* The first two processors that we may use. */
static void
find_cpus (void)
{
  cpu_set_t set;
  int found = 0;

  if (sched_getaffinity (0, sizeof set, &set) != 0)
    bench_fail ("sched_getaffinity: %s", strerror (errno));

  for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
    if (CPU_ISSET (cpu, &set))
      cpus[found++] = cpu;

  bench_single_cpu = found < 2;
  if (bench_single_cpu)
    cpus[1] = cpus[0];
}

static const BenchMode *
find_mode (const BenchMode *modes,
           const char      *name)
{
  for (; modes->mode != NULL; modes++)
    if (name == NULL || strcmp (modes->mode, name) == 0)
      return modes;

  bench_fail ("No mode \"%s\"", name);
}

void
bench_init (BenchOptions     *options,
            const BenchMode  *modes,
            int               argc,
            char            **argv)
{
  static const struct option known[] = {
    { "mode", required_argument, NULL, 'm' },
    { "count", required_argument, NULL, 'c' },
    { "quick", no_argument, NULL, 'q' },
    { NULL }
  };
  const char *name = NULL;
  uint64_t count = 0;
  bool quick = false;
  int c;

  while ((c = getopt_long (argc, argv, "m:c:q", known, NULL)) != -1)
    switch (c)
      {
      case 'm': name = optarg; break;
      case 'c': count = strtoull (optarg, NULL, 10); break;
      case 'q': quick = true; break;
      default: exit (2);
      }

  modes = find_mode (modes, name);
  options->mode = modes->mode;
  options->count = modes->count;
  if (quick)
    options->count = modes->count / 50;
  if (count > 0)
    options->count = count;
  if (options->count < 5)
    options->count = 5;
  options->warm_up = 1 + options->count / 10;

  find_cpus ();
  alarm (DEADLINE_SECONDS);
}

void *
bench_share (size_t size)
{
  void *memory = mmap (NULL, size, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

  if (memory == MAP_FAILED)
    bench_fail ("Cannot share %zu bytes: %s", size, strerror (errno));

  return memory;
}

BenchShared *
bench_shared (uint64_t max_samples)
{
  return bench_share (sizeof (BenchShared) + max_samples * sizeof (uint32_t));
}

void
bench_pin (BenchSide side)
{
  cpu_set_t set;

  CPU_ZERO (&set);
  CPU_SET (cpus[side], &set);
  if (sched_setaffinity (0, sizeof set, &set) != 0)
    bench_fail ("Cannot move to processor %d: %s", cpus[side], strerror (errno));
}

/* Only what is safe in a handler; bench_join() still gets the status. */
static void
child_cb (int signal)
{
  static const char text[] = "The other process failed\n";
  siginfo_t info = { 0 };

  if (waitid (P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0 ||
      (info.si_code == CLD_EXITED && info.si_status == 0))
    return;

  (void) !write (STDERR_FILENO, text, sizeof text - 1);
  _exit (1);
}

pid_t
bench_fork (void (*child) (void *data),
            void  *data)
{
  pid_t parent = getpid ();
  pid_t pid;

  signal (SIGCHLD, child_cb);
  pid = fork ();
  if (pid < 0)
    bench_fail ("fork: %s", strerror (errno));

  if (pid == 0)
    {
      signal (SIGCHLD, SIG_DFL);
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      if (getppid () != parent)
        _exit (1);
      alarm (DEADLINE_SECONDS);
      bench_pin (BENCH_CHILD);
      child (data);
      _exit (0);
    }

  bench_pin (BENCH_PARENT);

  return pid;
}

void
bench_join (pid_t child)
{
  int status;

  while (waitpid (child, &status, 0) < 0)
    if (errno != EINTR)
      bench_fail ("waitpid: %s", strerror (errno));

  if (!WIFEXITED (status) || WEXITSTATUS (status) != 0)
    bench_fail ("The other process failed with status %#x", (unsigned) status);
}

void
bench_meet (BenchShared *shared,
            BenchSide    side,
            uint32_t     nth)
{
  atomic_store (&shared->arrived[side], nth);
  while (atomic_load (&shared->arrived[1 - side]) < nth)
    sched_yield ();
}

uint64_t
bench_now (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);

  return (uint64_t) now.tv_sec * 1000000000u + (uint64_t) now.tv_nsec;
}

void
bench_spin (uint64_t ns)
{
  uint64_t end = bench_now () + ns;

  while (bench_now () < end)
    bench_relax ();
}

static void
take_sample (BenchShared *shared,
             uint64_t     sent,
             uint64_t     received)
{
  int64_t ns = (int64_t) (received - sent);

  /* The clocks of two processors may differ by the time of a cache line. */
  ns = ns < 0 ? 0 : ns > UINT32_MAX ? UINT32_MAX : ns;
  shared->samples[shared->n_samples++] = (uint32_t) ns;
}

void
bench_sample (BenchShared *shared,
              uint64_t     sent)
{
  take_sample (shared, sent, bench_now ());
}

void
bench_sample_times (BenchShared    *shared,
                    const uint64_t *sent,
                    const uint64_t *received,
                    uint64_t        count)
{
  for (uint64_t i = 0; i < count; i++)
    take_sample (shared, sent[i], received[i]);
}

void
bench_begin (const BenchOptions *options)
{
  printf ("{\"program\": \"%s\", \"mode\": \"%s\", \"count\": %" PRIu64 ", \"cpus\": %d",
          program_invocation_short_name, options->mode, options->count,
          bench_single_cpu ? 1 : 2);
}

void
bench_value (const char *key,
             double      value)
{
  printf (", \"%s\": %.6g", key, value);
}

static int
compare_samples (const void *a,
                 const void *b)
{
  uint32_t x = *(const uint32_t *) a;
  uint32_t y = *(const uint32_t *) b;

  return (x > y) - (x < y);
}

/* Of all samples, sorted: nothing is left out. */
void
bench_latencies (BenchShared *shared)
{
  uint64_t n = shared->n_samples;

  if (n == 0)
    bench_fail ("No samples");

  qsort (shared->samples, n, sizeof (uint32_t), compare_samples);
  bench_value ("p50_ns", shared->samples[n / 2]);
  bench_value ("p99_ns", shared->samples[n - 1 - n / 100]);
  bench_value ("max_ns", shared->samples[n - 1]);
}

void
bench_rate (uint64_t count,
            uint64_t ns)
{
  bench_value ("per_second", (double) count * 1e9 / (double) ns);
}

void
bench_end (const BenchShared *shared)
{
  printf (", \"errors\": %" PRIu64 "}\n", shared->n_errors);
  if (fflush (stdout) != 0)
    bench_fail ("stdout: %s", strerror (errno));
  if (shared->n_errors > 0)
    bench_fail ("%" PRIu64 " messages were not what was sent", shared->n_errors);
}

void
bench_write_all (void     *data,
                 size_t    size,
                 uint64_t  number)
{
  memset (data, (int) (1 + number % 255), size);
}

bool
bench_read_lines (const void *data,
                  size_t      size,
                  uint64_t    number)
{
  const uint8_t *bytes = data;
  uint64_t sum = 0;
  size_t n_lines = 0;

  for (size_t i = 0; i < size; i += 64)
    {
      sum += *(const volatile uint8_t *) (bytes + i);
      n_lines++;
    }

  return sum == n_lines * (1 + number % 255);
}
