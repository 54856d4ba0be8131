/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What it costs to wake up a client of many streams: an owner that sends one
 * buffer on each of them, and a client asleep in its main loop.
 *
 *   bells-1, -16, -256     each stream rings its own bell
 *   vectors-1, -16, -256   the streams are attached to one interrupt controller
 *
 * Latency is from before the first buffer is sent until the last one is taken.
 * Beside it: the time in which the owner has sent all, and its system calls. */

#include "bench-common.h"

#include <libiostream/iostream.h>

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Longer than a loop looks again before it sleeps. */
#define GAP_NS      300000
#define MAX_STREAMS 256

typedef struct {
  BenchShared      *shared;
  _Atomic guint64  *words;   /* shared: when the round began, rounds that are over */
  BenchOptions      options;
  guint             n_streams;
  gboolean          by_vector;

  IOStream         *streams[MAX_STREAMS];
  guint             taken;
  guint64           round;
} Bench;

static guint64 n_sends;

ssize_t send (int fd, const void *data, size_t size, int flags);

/* The library calls this one. */
ssize_t
send (int         fd,
      const void *data,
      size_t      size,
      int         flags)
{
  n_sends++;

  return syscall (SYS_sendto, fd, data, size, flags, NULL, 0);
}

static void
check (gboolean      done,
       const char   *what,
       const GError *error)
{
  if (!done)
    bench_fail ("%s: %s", what, error != NULL ? error->message : "no error");
}

static void
output_cb (IOStreamConnection *connection,
           Bench              *bench)
{
  IOStreamBufferQueueEntry entry;

  while (io_stream_connection_dequeue_output_entry (connection, &entry))
    {
      io_stream_connection_return_entry (connection, &entry, NULL);
      if (++bench->taken < bench->n_streams)
        continue;

      if (bench->round >= bench->options.warm_up)
        bench_sample (bench->shared, bench->words[0]);
      bench->taken = 0;
      bench->words[1] = ++bench->round;
    }
}

static void
run_client (void *data)
{
  Bench *bench = data;
  g_autoptr (IOSharedInterruptController) controller = NULL;
  g_autoptr (GPtrArray) connections = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GError) error = NULL;

  bench_pin (BENCH_CHILD);
  bench_meet (bench->shared, BENCH_CHILD, 1);
  for (guint i = 0; i < bench->n_streams; i++)
    {
      g_autofree char *name = g_strdup_printf ("s%u", i);
      IOStreamConnection *connection = io_stream_connection_open_name (name, NULL, &error);

      check (connection != NULL, "open", error);
      g_ptr_array_add (connections, connection);
      if (bench->by_vector && controller == NULL)
        controller = io_connection_get_interrupt_controller (IO_CONNECTION (connection), NULL, &error);
      check (!bench->by_vector || controller != NULL, "interrupts", error);
      if (bench->by_vector)
        check (io_stream_connection_attach_interrupts (connection, controller, i, NULL, &error), "attach", error);
      g_signal_connect (connection, "output-available", G_CALLBACK (output_cb), bench);
      check (io_stream_connection_start (connection, NULL, &error), "start", error);
    }

  bench_meet (bench->shared, BENCH_CHILD, 2);
  while (bench->round < bench->options.warm_up + bench->options.count)
    g_main_context_iteration (NULL, TRUE);
}

static void
make_streams (Bench      *bench,
              IOWorkLoop *loop,
              IOSharedInterruptController *controller)
{
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < bench->n_streams; i++)
    {
      g_autofree char *name = g_strdup_printf ("s%u", i);

      bench->streams[i] = g_initable_new (IO_TYPE_STREAM, NULL, &error, "name", name, "work-loop", loop,
                                          "mode", IO_STREAM_MODE_OUTPUT, "buffer-count", 2,
                                          "data-size", (guint64) 64, NULL);
      check (bench->streams[i] != NULL, "stream", error);
      check (io_service_register (IO_SERVICE (bench->streams[i]), &error), "register", error);
    }
  io_shared_interrupt_controller_offer (controller, IO_SERVICE (bench->streams[0]));
}

/* How long it took to send all of it. */
static guint64
send_round (Bench *bench)
{
  guint64 begin = bench_now ();
  g_autoptr (GError) error = NULL;

  bench->words[0] = begin;
  for (guint i = 0; i < bench->n_streams; i++)
    {
      IOStreamBuffer *buffer = io_stream_acquire_buffer (bench->streams[i], &error);

      check (buffer != NULL && io_stream_send_buffer (bench->streams[i], buffer, &error), "send", error);
    }

  return bench_now () - begin;
}

static void
run_owner (Bench *bench,
           pid_t  child)
{
  g_autoptr (IOWorkLoop) loop = io_work_loop_new ("owner");
  g_autoptr (IOSharedInterruptController) controller = io_shared_interrupt_controller_new (MAX_STREAMS, NULL);
  guint64 ns = 0;

  make_streams (bench, loop, controller);
  bench_meet (bench->shared, BENCH_PARENT, 1);
  bench_meet (bench->shared, BENCH_PARENT, 2);
  bench_pin (BENCH_PARENT);

  for (guint64 round = 0; round < bench->options.warm_up + bench->options.count; round++)
    {
      guint64 spent;

      bench_spin (GAP_NS);
      if (round == bench->options.warm_up)
        n_sends = 0;
      spent = send_round (bench);
      if (round >= bench->options.warm_up)
        ns += spent;
      while (bench->words[1] <= round)
        bench_relax ();
    }

  bench_begin (&bench->options);
  bench_latencies (bench->shared);
  bench_value ("owner_ns", (double) ns / (double) bench->options.count);
  bench_value ("calls_per_round", (double) n_sends / (double) bench->options.count);
  bench_end (bench->shared);

  bench_join (child);
  for (guint i = 0; i < bench->n_streams; i++)
    {
      io_service_terminate (IO_SERVICE (bench->streams[i]));
      g_object_unref (bench->streams[i]);
    }
  io_work_loop_shut_down (loop);
}

static void
raise_limit (void)
{
  struct rlimit limit;

  getrlimit (RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit (RLIMIT_NOFILE, &limit);
}

int
main (int   argc,
      char *argv[])
{
  static const BenchMode modes[] = {
    { "bells-1", 1000 }, { "bells-16", 1000 }, { "bells-256", 300 },
    { "vectors-1", 1000 }, { "vectors-16", 1000 }, { "vectors-256", 300 }, { NULL, 0 }
  };
  Bench bench = { 0, };
  char dir[] = "/tmp/bench-interrupts-XXXXXX";

  bench_init (&bench.options, modes, argc, argv);
  bench.by_vector = strncmp (bench.options.mode, "vectors", 7) == 0;
  bench.n_streams = (guint) atoi (strchr (bench.options.mode, '-') + 1);
  bench.shared = bench_shared (bench.options.count);
  bench.words = bench_share (2 * sizeof (guint64));
  if (mkdtemp (dir) == NULL)
    bench_fail ("no directory");
  setenv ("IOSTREAM_RUNTIME_DIR", dir, TRUE);
  raise_limit ();

  run_owner (&bench, bench_fork (run_client, &bench));
  g_rmdir (dir);

  return 0;
}
