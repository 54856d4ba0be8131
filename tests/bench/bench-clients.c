/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One stream, many clients, each a process of its own asleep in a wait; the
 * owner has one processor, the clients share the other one.
 *
 *   rate-N     64-byte buffers as fast as all can take them: none is lost
 *   paced-N    one at a time, with a rest after it; latency of every client
 *   crowd      64 clients of all four deliveries, paced
 *   crowd-bad  the same, and of the 64 one stands still, one crashes again and
 *              again, and one keeps what it gets: latency and losses of the
 *              other 61
 *
 * Rates are of buffers delivered, to all clients together. */

#include "bench-common.h"

#include <libiostream/iostream.h>

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_CLIENTS 256
#define N_CROWD     64
#define N_BUFFERS   64
#define ALLOWANCE   32
/* Of a paced owner, for each client: several times what a wake-up takes here, so
 * that all have their turn. */
#define REST_NS     200000

typedef enum {
  GOOD,
  FROZEN,
  CRASHING,
  KEEPING
} Kind;

typedef struct {
  uint64_t received;
  uint64_t lost;
  uint64_t errors;
} Result;

typedef struct {
  BenchOptions      options;
  BenchShared      *shared;
  _Atomic uint32_t *ready;      /* shared: clients that run, clients that are done */
  _Atomic uint32_t *over;       /* shared: the owner has sent all */
  Result           *results;    /* shared: of each client */
  uint32_t         *samples;    /* shared: of each client, for each buffer */
  guint             n_clients;
  guint             n_good;
  guint64           total;
  gboolean          paced;
  gboolean          crowd;
  guint             place;      /* of the client */
  pid_t             pids[MAX_CLIENTS];
  IOStream         *stream;
} Bench;

static void
check (gboolean      done,
       const char   *what,
       const GError *error)
{
  if (!done)
    bench_fail ("%s: %s", what, error != NULL ? error->message : "no error");
}

static Kind
kind_of (const Bench *bench,
         guint        place)
{
  return place < bench->n_good ? GOOD : (Kind) (1 + place - bench->n_good);
}

/* Nobody may hold back the owner who does not come back for what it has. */
static IOStreamDelivery
delivery_of (const Bench *bench,
             guint        place)
{
  static const IOStreamDelivery of_bad[] = {
    IO_STREAM_DELIVERY_BLOCK, IO_STREAM_DELIVERY_DROP_OLDEST, IO_STREAM_DELIVERY_BLOCK, IO_STREAM_DELIVERY_DROP_NEWEST
  };

  if (!bench->crowd)
    return IO_STREAM_DELIVERY_BLOCK;

  return kind_of (bench, place) == GOOD ? (IOStreamDelivery) (place % 4) : of_bad[kind_of (bench, place)];
}

/* The clients. */

static IOStreamConnection *
join (Bench *bench)
{
  IOStreamConnection *connection;
  g_autoptr (GError) error = NULL;

  connection = io_stream_connection_new_for_name ("clients", NULL, &error);
  check (connection != NULL, "connect", error);
  io_stream_connection_set_delivery (connection, delivery_of (bench, bench->place));
  check (io_connection_open (IO_CONNECTION (connection), IO_STREAM_OPEN_SHARED, NULL, &error), "open", error);
  check (io_stream_connection_start (connection, NULL, &error), "start", error);
  atomic_fetch_add (&bench->ready[0], 1);

  return connection;
}

static void
take (Bench                          *bench,
      IOStreamConnection             *connection,
      const IOStreamBufferQueueEntry *entry)
{
  const guint8 *data = io_stream_connection_peek_data_buffer (connection, entry->buffer_id, NULL);
  Result *result = &bench->results[bench->place];

  if (bench->paced)
    bench->samples[bench->place * bench->total + entry->sequence] =
      (uint32_t) MIN (bench_now () - entry->timestamp, G_MAXUINT32);
  result->received++;
  if (!bench_read_lines (data, 64, entry->sequence))
    result->errors++;
  if (kind_of (bench, bench->place) != KEEPING)
    io_stream_connection_return_entry (connection, entry, NULL);
}

static void
run_good (Bench *bench)
{
  IOStreamConnection *connection = join (bench);
  IOStreamBufferQueueEntry entry = { 0, };
  gboolean over = FALSE;

  while (!over && io_stream_connection_wait (connection, -1, NULL, NULL))
    while (io_stream_connection_dequeue_output_entry (connection, &entry))
      {
        take (bench, connection, &entry);
        over = entry.sequence == bench->total - 1;
      }
  bench->results[bench->place].lost = io_stream_connection_get_lost (connection) + bench->total - 1 - entry.sequence;
  atomic_fetch_add (&bench->ready[1], 1);
  while (atomic_load (bench->over) == 0)
    pause ();
}

/* At any moment between two buffers. */
static void
crash (void)
{
  g_usleep ((gulong) g_random_int_range (0, N_CROWD * REST_NS / 1000));
  kill (getpid (), SIGKILL);
}

/* It is killed when all is over. */
static void
run_bad (Bench *bench)
{
  IOStreamConnection *connection = join (bench);
  IOStreamBufferQueueEntry entry;

  if (kind_of (bench, bench->place) == FROZEN)
    raise (SIGSTOP);
  for (;;)
    {
      io_stream_connection_wait (connection, -1, NULL, NULL);
      while (io_stream_connection_dequeue_output_entry (connection, &entry))
        if (kind_of (bench, bench->place) == CRASHING)
          crash ();
        else
          take (bench, connection, &entry);
    }
}

static void
run_crashing (Bench *bench)
{
  for (;;)
    {
      pid_t pid = fork ();

      if (pid == 0)
        {
          prctl (PR_SET_PDEATHSIG, SIGKILL);
          run_bad (bench);
        }
      waitpid (pid, NULL, 0);
    }
}

static void
run_client (void *data)
{
  Bench *bench = data;

  if (kind_of (bench, bench->place) == GOOD)
    run_good (bench);
  else if (kind_of (bench, bench->place) == CRASHING)
    run_crashing (bench);
  else
    run_bad (bench);
}

/* The owner. */

static void
send_one (Bench   *bench,
          guint64  number)
{
  g_autoptr (GError) error = NULL;
  IOStreamBuffer *buffer;

  check (io_stream_wait_buffer (bench->stream, -1, NULL, &error), "wait", error);
  buffer = io_stream_acquire_buffer (bench->stream, &error);
  check (buffer != NULL, "acquire", error);
  bench_write_all (io_stream_buffer_peek_data (buffer, NULL), 64, number);
  while (!io_stream_send_buffer (bench->stream, buffer, &error))
    {
      /* The one that crashes has come meanwhile, and blocks. */
      check (g_error_matches (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OVERRUN), "send", error);
      g_clear_error (&error);
      check (io_stream_wait_buffer (bench->stream, -1, NULL, &error), "wait", error);
    }
}

/* Returns how long it took until all good clients had all of it. */
static guint64
send_all (Bench *bench)
{
  guint64 begin = bench_now ();

  for (guint64 number = 0; number < bench->total; number++)
    {
      send_one (bench, number);
      if (bench->paced)
        bench_spin (REST_NS * (bench->n_clients + 3));
    }
  while (atomic_load (&bench->ready[1]) < bench->n_good)
    g_usleep (100);

  return bench_now () - begin;
}

static IOStream *
make_stream (IOWorkLoop *loop)
{
  g_autoptr (GError) error = NULL;
  IOStream *stream = g_initable_new (IO_TYPE_STREAM, NULL, &error, "name", "clients", "work-loop", loop,
                                     "buffer-count", N_BUFFERS, "data-size", (guint64) 64, "timestamps", TRUE,
                                     "client-allowance", ALLOWANCE, "reserve-count", 2, NULL);

  check (stream != NULL, "stream", error);
  check (io_service_register (IO_SERVICE (stream), &error), "register", error);

  return stream;
}

/* The first of them warm up. */
static void
collect (Bench *bench)
{
  for (guint place = 0; place < bench->n_good; place++)
    {
      const uint32_t *samples = bench->samples + place * bench->total;

      for (guint64 i = bench->options.warm_up; bench->paced && i < bench->total; i++)
        if (samples[i] > 0)
          bench->shared->samples[bench->shared->n_samples++] = samples[i];
      bench->shared->n_errors += bench->results[place].errors;
    }
}

static void
report (Bench   *bench,
        guint64  ns)
{
  guint64 received = 0, lost = 0;

  for (guint place = 0; place < bench->n_good; place++)
    {
      received += bench->results[place].received;
      lost += bench->results[place].lost;
    }
  collect (bench);
  bench_begin (&bench->options);
  bench_rate (received, ns);
  bench_value ("lost", (double) lost);
  if (bench->paced)
    bench_latencies (bench->shared);
  bench_end (bench->shared);
}

static void
dismiss (Bench *bench)
{
  signal (SIGCHLD, SIG_DFL);
  for (guint place = 0; place < bench->n_clients; place++)
    {
      kill (bench->pids[place], SIGKILL);
      while (waitpid (bench->pids[place], NULL, 0) < 0)
        if (errno != EINTR)
          bench_fail ("waitpid: %s", strerror (errno));
    }
}

static void
run_owner (Bench *bench,
           int    gate)
{
  IOWorkLoop *loop = io_work_loop_new ("owner");
  guint64 ns;

  bench->stream = make_stream (loop);
  close (gate);
  while (atomic_load (&bench->ready[0]) < bench->n_clients)
    g_usleep (1000);

  ns = send_all (bench);
  report (bench, ns);
  atomic_store (bench->over, 1);
  dismiss (bench);
  io_service_terminate (IO_SERVICE (bench->stream));
  g_object_unref (bench->stream);
  io_work_loop_shut_down (loop);
  g_object_unref (loop);
}

/* Each waits until the stream is there. */
static void
client_cb (void *data)
{
  Bench *bench = ((gpointer *) data)[0];
  int *gate = ((gpointer *) data)[1];
  char byte;

  close (gate[1]);
  while (read (gate[0], &byte, 1) < 0 && errno == EINTR)
    ;
  run_client (bench);
}

static void
raise_limit (void)
{
  struct rlimit limit;

  getrlimit (RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit (RLIMIT_NOFILE, &limit);
}

static void
set_up (Bench *bench,
        int    argc,
        char **argv)
{
  static const BenchMode modes[] = {
    { "rate-1", 200000 }, { "rate-4", 50000 }, { "rate-16", 12000 }, { "rate-64", 3000 }, { "rate-256", 800 },
    { "paced-1", 1000 }, { "paced-4", 500 }, { "paced-16", 300 }, { "paced-64", 100 }, { "paced-256", 40 },
    { "crowd", 200 }, { "crowd-bad", 200 }, { NULL, 0 }
  };

  bench_init (&bench->options, modes, argc, argv);
  bench->crowd = strncmp (bench->options.mode, "crowd", 5) == 0;
  bench->paced = strncmp (bench->options.mode, "rate", 4) != 0;
  bench->n_clients = bench->crowd ? N_CROWD : (guint) atoi (strchr (bench->options.mode, '-') + 1);
  bench->n_good = bench->n_clients - (strcmp (bench->options.mode, "crowd-bad") == 0 ? 3 : 0);
  bench->total = bench->options.warm_up + bench->options.count;
  bench->shared = bench_shared (bench->n_clients * bench->total);
  bench->ready = bench_share (2 * sizeof (uint32_t));
  bench->over = bench_share (sizeof (uint32_t));
  bench->results = bench_share (MAX_CLIENTS * sizeof (Result));
  bench->samples = bench_share (bench->n_clients * bench->total * sizeof (uint32_t));
}

int
main (int   argc,
      char *argv[])
{
  Bench bench = { 0, };
  char dir[] = "/tmp/bench-clients-XXXXXX";
  int gate[2];
  gpointer data[2] = { &bench, gate };

  set_up (&bench, argc, argv);
  if (mkdtemp (dir) == NULL || pipe (gate) != 0)
    bench_fail ("Cannot set up: %s", strerror (errno));
  setenv ("IOSTREAM_RUNTIME_DIR", dir, TRUE);
  raise_limit ();

  for (bench.place = 0; bench.place < bench.n_clients; bench.place++)
    bench.pids[bench.place] = bench_fork (client_cb, data);
  close (gate[0]);
  run_owner (&bench, gate[1]);
  g_rmdir (dir);

  return 0;
}
