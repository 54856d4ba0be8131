/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The library, through its public API: an owner and a client in two processes.
 * An entry means a whole turn: acquire, fill, send, receive, read, return.
 *
 *   latency        one buffer to and fro, the client polls
 *   context        the same through the client's main loop, which stays hot
 *   sleep          the client waits, and is asleep when the buffer is sent
 *   sleep-context  the same, asleep in its main loop
 *   rate           64-byte entries as fast as they go, the client polls
 *   rate-context   the same through the client's main loop
 *   batch          the same, 16 of them with one notification, both ways
 *   frames         1080p RGB; the owner writes every byte, the client reads
 *                  every cache line
 *   flow           64-byte entries, both sides wait when they have nothing to
 *                  do; with the number of times that either went to sleep
 *   call           a synchronous call, there and back, one after the other; the
 *                  owner is in its main loop, which stays hot
 *   call-sleep     the same, and the owner has fallen asleep before
 *   python         64-byte entries, the client is bench-stream.py
 *   idle           nothing is sent for so many milliseconds; how often the
 *                  owner and the client wake up
 *   idle-context   the same, the client is in its main loop
 *
 * Latency is from the call that sends until the entry is in the receiver's
 * hands. */

#include "bench-common.h"

#include <libiostream/iostream.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* Longer than a loop looks again before it sleeps. */
#define GAP_NS     300000
#define SMALL_SIZE 64
#define BATCH      16
#define SETTLE_MS  20

typedef struct _Bench Bench;

typedef struct {
  guint      n_buffers;
  gsize      size;
  gboolean   paced;         /* the client is given time to fall asleep */
  gboolean   blocking;      /* the owner waits, and a work loop serves */
  gboolean   latency;
  gboolean   batched;
  gboolean   idle;
  gboolean   calls;         /* nothing is sent */
  void     (*consume) (Bench              *bench,
                       IOStreamConnection *connection);
} Kind;

struct _Bench {
  BenchOptions  options;
  const Kind   *kind;
  BenchShared  *shared;
  guint64      *client_sleeps;   /* shared, as the two that follow */
  guint64      *sent_at;
  guint64      *received_at;
  int           fds[2];

  /* of the owner */
  IOStream     *stream;
  guint64       sent;

  /* of the client */
  guint64       received;
  guint64       sleeps;
  GMainLoop    *loop;
};

static guint64
total (const Bench *bench)
{
  if (bench->kind->idle)
    return 3;

  return bench->options.warm_up + bench->options.count;
}

/* Of the warm-up no samples are taken. */
static gboolean
is_sampled (const Bench *bench,
            guint64      number)
{
  return bench->kind->latency && number >= bench->options.warm_up;
}

static void
check (gboolean    done,
       const char *what,
       GError     *error)
{
  if (!done)
    bench_fail ("%s: %s", what, error != NULL ? error->message : "failed");
}

static guint64
count_sleeps (void)
{
  struct rusage usage;

  getrusage (RUSAGE_SELF, &usage);

  return (guint64) usage.ru_nvcsw;
}

static GSocket *
take_socket (Bench     *bench,
             BenchSide  side)
{
  g_autoptr (GError) error = NULL;
  GSocket *gsocket = g_socket_new_from_fd (bench->fds[side], &error);

  check (gsocket != NULL, "socket", error);
  close (bench->fds[1 - side]);

  return gsocket;
}

/* --- the client ------------------------------------------------------------ */

static void
read_buffer (Bench                          *bench,
             IOStreamConnection             *connection,
             const IOStreamBufferQueueEntry *entry)
{
  guint64 words[SMALL_SIZE / 8];
  gsize length;
  const void *data = io_stream_connection_peek_data_buffer (connection, entry->buffer_id, &length);

  if (entry->data_length != bench->kind->size || length < entry->data_length)
    bench_fail ("%u of %zu bytes", entry->data_length, length);

  if (bench->kind->size != SMALL_SIZE)
    {
      bench->shared->n_errors += !bench_read_lines (data, length, bench->received);
      return;
    }

  memcpy (words, data, SMALL_SIZE);
  bench->shared->n_errors += words[0] != bench->received ||
                             words[SMALL_SIZE / 8 - 1] != bench->received;
}

static void
handle_entry (Bench                          *bench,
              IOStreamConnection             *connection,
              const IOStreamBufferQueueEntry *entry)
{
  g_autoptr (GError) error = NULL;

  if (is_sampled (bench, bench->received))
    bench->received_at[bench->received - bench->options.warm_up] = bench_now ();
  if (bench->received == (bench->kind->idle ? 1 : bench->options.warm_up))
    bench->sleeps = count_sleeps ();
  read_buffer (bench, connection, entry);
  bench->received++;

  if (bench->kind->batched)
    check (io_stream_connection_enqueue_input_entry (connection, entry, &error), "return", error);
  else
    check (io_stream_connection_return_entry (connection, entry, &error), "return", error);
}

static void
consume_polling (Bench              *bench,
                 IOStreamConnection *connection)
{
  IOStreamBufferQueueEntry entry;

  io_stream_connection_set_notify_in_context (connection, FALSE);
  while (bench->received < total (bench))
    if (io_stream_connection_dequeue_output_entry (connection, &entry))
      handle_entry (bench, connection, &entry);
    else
      bench_relax ();
}

/* Sixteen go home with one notification. */
static void
consume_batches (Bench              *bench,
                 IOStreamConnection *connection)
{
  IOStreamBufferQueueEntry entry;

  io_stream_connection_set_notify_in_context (connection, FALSE);
  while (bench->received < total (bench))
    {
      g_autoptr (GError) error = NULL;

      if (!io_stream_connection_dequeue_output_entry (connection, &entry))
        {
          bench_relax ();
          continue;
        }

      handle_entry (bench, connection, &entry);
      if (bench->received % BATCH == 0 || bench->received == total (bench))
        check (io_stream_connection_send_input_notification (connection, 0, &error), "notify", error);
    }
}

static void
consume_waiting (Bench              *bench,
                 IOStreamConnection *connection)
{
  IOStreamBufferQueueEntry entry;

  io_stream_connection_set_notify_in_context (connection, FALSE);
  while (bench->received < total (bench))
    {
      g_autoptr (GError) error = NULL;

      if (io_stream_connection_dequeue_output_entry (connection, &entry))
        handle_entry (bench, connection, &entry);
      else
        check (io_stream_connection_wait (connection, -1, NULL, &error), "wait", error);
    }
}

static void
output_cb (IOStreamConnection *connection,
           gpointer            user_data)
{
  Bench *bench = user_data;
  IOStreamBufferQueueEntry entry;

  while (io_stream_connection_dequeue_output_entry (connection, &entry))
    handle_entry (bench, connection, &entry);
  if (bench->received == total (bench))
    g_main_loop_quit (bench->loop);
}

static void
consume_in_context (Bench              *bench,
                    IOStreamConnection *connection)
{
  bench->loop = g_main_loop_new (NULL, FALSE);
  io_stream_connection_set_output_callback (connection, output_cb, bench, NULL);
  if (bench->received < total (bench))
    g_main_loop_run (bench->loop);
  io_stream_connection_set_output_callback (connection, NULL, NULL, NULL);
  g_main_loop_unref (bench->loop);
}

/* The callback of the owner does nothing. */
static void
consume_calling (Bench              *bench,
                 IOStreamConnection *connection)
{
  for (guint64 i = 0; i < total (bench); i++)
    {
      g_autoptr (GError) error = NULL;
      guint64 begin;

      if (bench->kind->paced)
        bench_spin (GAP_NS);
      begin = bench_now ();
      check (io_stream_connection_send_input_sync_notification (connection, 0, NULL, &error), "call", error);
      if (!is_sampled (bench, i))
        continue;
      bench->sent_at[i - bench->options.warm_up] = begin;
      bench->received_at[i - bench->options.warm_up] = bench_now ();
    }
}

static void
run_client (void *data)
{
  Bench *bench = data;
  g_autoptr (GSocket) gsocket = take_socket (bench, BENCH_CHILD);
  g_autoptr (IOStreamConnection) connection = NULL;
  g_autoptr (GError) error = NULL;

  connection = io_stream_connection_new_for_socket (gsocket, NULL, &error);
  check (connection != NULL, "connect", error);
  check (io_connection_open (IO_CONNECTION (connection), IO_STREAM_OPEN_NONE, NULL, &error),
         "open", error);
  check (io_stream_connection_start (connection, NULL, &error), "start", error);

  bench->kind->consume (bench, connection);
  *bench->client_sleeps = count_sleeps () - bench->sleeps;

  check (io_connection_close (IO_CONNECTION (connection), NULL, &error), "close", error);
}

/* The other end of the socket is inherited under its number. */
static void
run_python (void *data)
{
  Bench *bench = data;
  const char *script = g_getenv ("BENCH_PYTHON_SCRIPT");
  g_autofree char *fd = g_strdup_printf ("%d", bench->fds[BENCH_CHILD]);
  g_autofree char *count = g_strdup_printf ("%" G_GUINT64_FORMAT, total (bench));

  if (script == NULL)
    bench_fail ("BENCH_PYTHON_SCRIPT is not set");
  fcntl (bench->fds[BENCH_CHILD], F_SETFD, 0);
  execlp ("/usr/bin/python3", "python3", script, fd, count, NULL);
  bench_fail ("python3: %s", strerror (errno));
}

/* --- the owner ------------------------------------------------------------- */

static void
make_stream (Bench *bench)
{
  g_autoptr (GSocket) gsocket = take_socket (bench, BENCH_PARENT);
  g_autoptr (IOWorkLoop) loop = NULL;
  g_autoptr (GError) error = NULL;

  if (bench->kind->blocking)
    loop = io_work_loop_new ("bench");

  bench->stream = g_initable_new (IO_TYPE_STREAM, NULL, &error,
                                  "name", "bench",
                                  "work-loop", loop,
                                  "buffer-count", bench->kind->n_buffers,
                                  "data-size", (guint64) bench->kind->size,
                                  NULL);
  check (bench->stream != NULL, "stream", error);
  check (io_service_add_socket (IO_SERVICE (bench->stream), gsocket, &error), "socket", error);
}

static void
serve_until (Bench         *bench,
             IOStreamState  state)
{
  if (bench->kind->blocking)
    return;

  while (io_stream_get_state (bench->stream) != state)
    g_main_context_iteration (NULL, TRUE);
}

static IOStreamBuffer *
acquire (Bench *bench)
{
  IOStreamBuffer *buffer;

  while ((buffer = io_stream_acquire_buffer (bench->stream, NULL)) == NULL)
    {
      g_autoptr (GError) error = NULL;

      /* A client that has all leaves, and its buffers come home without
       * anything to send to: then look again. */
      if (!bench->kind->blocking)
        bench_relax ();
      else if (!io_stream_wait_buffer (bench->stream, 50000, NULL, &error) &&
               !g_error_matches (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT))
        check (FALSE, "wait", error);
    }

  return buffer;
}

static void
write_buffer (Bench          *bench,
              IOStreamBuffer *buffer)
{
  guint64 words[SMALL_SIZE / 8];
  gsize length;
  void *data = io_stream_buffer_peek_data (buffer, &length);

  if (bench->kind->size != SMALL_SIZE)
    {
      bench_write_all (data, length, bench->sent);
      return;
    }

  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    words[i] = bench->sent;
  memcpy (data, words, SMALL_SIZE);
}

static void
send_one (Bench          *bench,
          IOStreamBuffer *buffer)
{
  g_autoptr (GError) error = NULL;
  guint64 number = bench->sent++;

  if (is_sampled (bench, number))
    bench->sent_at[number - bench->options.warm_up] = bench_now ();
  check (io_stream_send_buffer (bench->stream, buffer, &error), "send", error);
}

/* The last of a batch tells of all. */
static void
enqueue_one (Bench          *bench,
             IOStreamBuffer *buffer,
             gboolean        last)
{
  g_autoptr (GError) error = NULL;

  bench->sent++;
  check (io_stream_enqueue_output_buffer (bench->stream, buffer, 0, SMALL_SIZE, 0, 0, &error),
         "enqueue", error);
  if (last)
    check (io_stream_send_output_notification (bench->stream, &error), "notify", error);
}

static void
send_many (Bench   *bench,
           guint64  count)
{
  for (guint64 i = 1; i <= count; i++)
    {
      IOStreamBuffer *buffer = acquire (bench);

      if (bench->kind->paced)
        bench_spin (GAP_NS);
      write_buffer (bench, buffer);
      if (bench->kind->batched)
        enqueue_one (bench, buffer, i % BATCH == 0 || i == count);
      else
        send_one (bench, buffer);
    }
}

/* Until the client has returned everything. */
static void
wait_all_home (Bench *bench)
{
  g_autofree IOStreamBuffer **buffers = g_new (IOStreamBuffer *, bench->kind->n_buffers);

  for (guint i = 0; i < bench->kind->n_buffers; i++)
    buffers[i] = acquire (bench);
  for (guint i = 0; i < bench->kind->n_buffers; i++)
    io_stream_release_buffer (bench->stream, buffers[i]);
}

static gboolean
time_is_over_cb (gpointer over)
{
  *(gboolean *) over = TRUE;

  return G_SOURCE_REMOVE;
}

static void
serve_for (guint ms)
{
  gboolean over = FALSE;

  g_timeout_add (ms, time_is_over_cb, &over);
  while (!over)
    g_main_context_iteration (NULL, TRUE);
}

/* What counts is between the second entry and the third. */
static guint64
run_idle_owner (Bench   *bench,
                guint64 *sleeps)
{
  make_stream (bench);
  serve_until (bench, IO_STREAM_STATE_RUNNING);

  send_many (bench, 1);
  serve_for (SETTLE_MS);
  send_many (bench, 1);
  serve_for (SETTLE_MS);
  *sleeps = count_sleeps ();
  serve_for ((guint) bench->options.count);
  *sleeps = count_sleeps () - *sleeps;
  send_many (bench, 1);

  serve_until (bench, IO_STREAM_STATE_CLOSED);

  return 0;
}

static guint64
run_called_owner (Bench   *bench,
                  guint64 *sleeps)
{
  make_stream (bench);
  serve_until (bench, IO_STREAM_STATE_RUNNING);
  serve_until (bench, IO_STREAM_STATE_CLOSED);
  *sleeps = 0;

  return 0;
}

static guint64
run_owner (Bench   *bench,
           guint64 *sleeps)
{
  g_autoptr (GError) error = NULL;
  guint64 start;

  make_stream (bench);
  serve_until (bench, IO_STREAM_STATE_RUNNING);
  if (bench->kind->blocking)
    check (io_stream_wait_buffer (bench->stream, -1, NULL, &error), "wait", error);

  send_many (bench, bench->options.warm_up);
  wait_all_home (bench);
  *sleeps = count_sleeps ();
  start = bench_now ();
  send_many (bench, bench->options.count);
  wait_all_home (bench);
  start = bench_now () - start;
  *sleeps = count_sleeps () - *sleeps;

  serve_until (bench, IO_STREAM_STATE_CLOSED);

  return start;
}

/* --------------------------------------------------------------------------- */

static const BenchMode modes[] = {
  { "latency", 300000 },
  { "context", 300000 },
  { "sleep", 2000 },
  { "sleep-context", 2000 },
  { "rate", 2000000 },
  { "rate-context", 2000000 },
  { "batch", 2000000 },
  { "frames", 400 },
  { "flow", 1000000 },
  { "call", 100000 },
  { "call-sleep", 2000 },
  { "python", 200000 },
  { "idle", 300 },
  { "idle-context", 300 },
  { NULL }
};

static const Kind kinds[] = {
  { 1, SMALL_SIZE, .latency = TRUE, .consume = consume_polling },
  { 1, SMALL_SIZE, .latency = TRUE, .consume = consume_in_context },
  { 1, SMALL_SIZE, .latency = TRUE, .paced = TRUE, .consume = consume_waiting },
  { 1, SMALL_SIZE, .latency = TRUE, .paced = TRUE, .consume = consume_in_context },
  { 64, SMALL_SIZE, .consume = consume_polling },
  { 64, SMALL_SIZE, .consume = consume_in_context },
  { 64, SMALL_SIZE, .batched = TRUE, .consume = consume_batches },
  { 4, BENCH_FRAME_SIZE, .consume = consume_waiting },
  { 64, SMALL_SIZE, .blocking = TRUE, .consume = consume_waiting },
  { 1, SMALL_SIZE, .latency = TRUE, .calls = TRUE, .consume = consume_calling },
  { 1, SMALL_SIZE, .latency = TRUE, .calls = TRUE, .paced = TRUE, .consume = consume_calling },
  { 64, SMALL_SIZE },
  { 4, SMALL_SIZE, .idle = TRUE, .consume = consume_waiting },
  { 4, SMALL_SIZE, .idle = TRUE, .consume = consume_in_context },
};

G_STATIC_ASSERT (G_N_ELEMENTS (kinds) + 1 == G_N_ELEMENTS (modes));

static const Kind *
find_kind (const char *mode)
{
  guint i = 0;

  while (strcmp (modes[i].mode, mode) != 0)
    i++;

  return &kinds[i];
}

static void
report_rate (Bench   *bench,
             guint64  ns,
             guint64  owner_sleeps)
{
  const double count = (double) bench->options.count;

  bench_rate (bench->options.count, ns);
  bench_value ("gb_per_second", count * (double) bench->kind->size / (double) ns);
  bench_value ("sleeps_per_message", (double) (owner_sleeps + *bench->client_sleeps) / count);
}

/* One sleep of each lasts all the time; whatever is more woke somebody up. */
static void
report_idle (Bench   *bench,
             guint64  owner_sleeps)
{
  gint64 sleeps = (gint64) (owner_sleeps + *bench->client_sleeps);

  bench_value ("wakeups_per_second",
               (double) MAX (sleeps - 2, 0) * 1000 / (double) bench->options.count);
}

static void
report (Bench   *bench,
        guint64  ns,
        guint64  owner_sleeps)
{
  bench_begin (&bench->options);
  if (bench->kind->latency)
    {
      bench_sample_times (bench->shared, bench->sent_at, bench->received_at, bench->options.count);
      bench_latencies (bench->shared);
    }
  else if (bench->kind->idle)
    report_idle (bench, owner_sleeps);
  else
    report_rate (bench, ns, owner_sleeps);
  bench_end (bench->shared);
}

static void
share (Bench *bench)
{
  guint64 n = bench->kind->latency ? bench->options.count : 1;

  bench->shared = bench_shared (n);
  bench->client_sleeps = bench_share (sizeof (guint64));
  bench->sent_at = bench_share (n * sizeof (guint64));
  bench->received_at = bench_share (n * sizeof (guint64));
}

int
main (int    argc,
      char **argv)
{
  Bench bench = { 0 };
  guint64 sleeps = 0;
  guint64 ns;
  pid_t child;

  bench_init (&bench.options, modes, argc, argv);
  bench.kind = find_kind (bench.options.mode);
  share (&bench);
  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, bench.fds) != 0)
    bench_fail ("socketpair: %s", strerror (errno));

  child = bench_fork (bench.kind->consume != NULL ? run_client : run_python, &bench);
  if (bench.kind->calls)
    ns = run_called_owner (&bench, &sleeps);
  else
    ns = bench.kind->idle ? run_idle_owner (&bench, &sleeps) : run_owner (&bench, &sleeps);
  bench_join (child);
  if (bench.kind->blocking)
    io_service_terminate (IO_SERVICE (bench.stream));
  g_object_unref (bench.stream);

  report (&bench, ns, sleeps);

  return 0;
}
