/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Calls of a method, one after the other, from the call to its answer: without
 * arguments, or with a struct of 4,096 bytes each way (-struct). The one who
 * answers sleeps in its main loop, or in the kernel.
 *
 *   call     io_connection_call_method()
 *   typed    io_connection_call(), with the struct as an array of bytes
 *   packet   baseline: a message each way through a SOCK_SEQPACKET pair */

#include "bench-common.h"

#include <libiostream/iostream.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SMALL 16
#define LARGE 4096

typedef struct {
  BenchOptions  options;
  BenchShared  *shared;
  bool          plain;
  bool          typed;
  size_t        size;       /* of the struct */
  int           fds[2];
} Bench;

static uint64_t
total (const Bench *bench)
{
  return bench->options.warm_up + bench->options.count;
}

static void
check (gboolean      done,
       const GError *error)
{
  if (!done)
    bench_fail ("%s", error != NULL ? error->message : "failed");
}

static GSocket *
take_socket (Bench     *bench,
             BenchSide  side)
{
  g_autoptr (GError) error = NULL;
  GSocket *gsocket = g_socket_new_from_fd (bench->fds[side], &error);

  check (gsocket != NULL, error);

  return gsocket;
}

/* --- the client ------------------------------------------------------------ */

static void
call_plain (Bench *bench,
            void  *bytes)
{
  size_t size = bench->size > 0 ? bench->size : SMALL;

  if (send (bench->fds[BENCH_CHILD], bytes, size, MSG_NOSIGNAL) != (ssize_t) size ||
      recv (bench->fds[BENCH_CHILD], bytes, size, 0) != (ssize_t) size)
    bench_fail ("packet: %s", strerror (errno));
}

static void
call_method (Bench        *bench,
             IOConnection *connection,
             GBytes       *bytes)
{
  g_autoptr (GBytes) result = NULL;
  g_autoptr (GError) error = NULL;

  check (io_connection_call_method (connection, 0, NULL, 0, bytes, 0, LARGE, NULL, NULL, &result, NULL,
                                    &error), error);
  if (g_bytes_get_size (result) != bench->size)
    bench->shared->n_errors++;
}

static void
call_typed (Bench        *bench,
            IOConnection *connection,
            GBytes       *bytes)
{
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;
  GVariant *parameters = NULL;

  if (bytes != NULL)
    parameters = g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, bytes, FALSE);
  result = io_connection_call (connection, 0, parameters, NULL, NULL, &error);
  check (result != NULL, error);
  if (parameters != NULL && g_variant_get_size (result) != bench->size)
    bench->shared->n_errors++;
}

static void
run_client (void *data)
{
  Bench *bench = data;
  g_autoptr (IOConnection) connection = NULL;
  g_autoptr (GSocket) gsocket = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;
  uint8_t memory[LARGE] = { 0 };

  if (!bench->plain)
    {
      gsocket = take_socket (bench, BENCH_CHILD);
      connection = IO_CONNECTION (io_stream_connection_new_for_socket (gsocket, NULL, &error));
      check (connection != NULL, error);
    }
  if (bench->size > 0)
    bytes = g_bytes_new (memory, bench->size);

  for (uint64_t i = 0; i < total (bench); i++)
    {
      uint64_t begin = bench_now ();

      if (bench->plain)
        call_plain (bench, memory);
      else if (bench->typed)
        call_typed (bench, connection, bytes);
      else
        call_method (bench, connection, bytes);
      if (i >= bench->options.warm_up)
        bench_sample (bench->shared, begin);
    }
}

/* --- the owner ------------------------------------------------------------- */

static void
answer_plain (Bench *bench)
{
  uint8_t bytes[LARGE];

  for (uint64_t i = 0; i < total (bench); i++)
    {
      ssize_t n = recv (bench->fds[BENCH_PARENT], bytes, sizeof bytes, 0);

      if (n <= 0 || send (bench->fds[BENCH_PARENT], bytes, (size_t) n, MSG_NOSIGNAL) != n)
        bench_fail ("packet: %s", strerror (errno));
    }
}

static gboolean
echo (IOUserClient               *client,
      IOExternalMethodArguments  *arguments,
      GError                    **error)
{
  io_external_method_arguments_set_structure_output (
    arguments, io_external_method_arguments_get_structure_input (arguments));

  return TRUE;
}

static GVariant *
echo_typed (IOService     *service,
            IOUserClient  *client,
            guint          selector,
            GVariant      *parameters,
            IOAction      *action,
            gpointer       user_data,
            GError       **error)
{
  return g_variant_ref (parameters);
}

static void
gone_cb (GObject    *client,
         GParamSpec *pspec,
         gpointer    user_data)
{
  *(gboolean *) user_data = TRUE;
}

/* Before the client is let in. */
static gboolean
authorize_cb (IOService    *service,
              IOUserClient *client,
              gpointer      user_data)
{
  static const IOExternalMethodDispatch table[] = {
    { echo, IO_EXTERNAL_METHOD_VARIABLE, IO_EXTERNAL_METHOD_VARIABLE, IO_EXTERNAL_METHOD_VARIABLE,
      IO_EXTERNAL_METHOD_VARIABLE, FALSE },
  };

  io_user_client_set_dispatch (client, table, G_N_ELEMENTS (table));
  g_signal_connect (client, "notify::connected", G_CALLBACK (gone_cb), user_data);

  return TRUE;
}

/* Until the client is done. */
static void
serve (Bench *bench)
{
  g_autoptr (GSocket) gsocket = take_socket (bench, BENCH_PARENT);
  g_autoptr (IOStream) stream = NULL;
  g_autoptr (GError) error = NULL;
  gboolean gone = FALSE;

  stream = g_initable_new (IO_TYPE_STREAM, NULL, &error, "name", "bench", "buffer-count", 1,
                           "data-size", (guint64) 64, NULL);
  check (stream != NULL, error);
  io_service_add_method (IO_SERVICE (stream), 0, echo_typed, NULL, NULL);
  g_signal_connect (stream, "authorize", G_CALLBACK (authorize_cb), &gone);
  check (io_service_add_socket (IO_SERVICE (stream), gsocket, &error), error);

  while (!gone)
    g_main_context_iteration (NULL, TRUE);
  io_service_terminate (IO_SERVICE (stream));
}

int
main (int    argc,
      char **argv)
{
  static const BenchMode modes[] = {
    { "call", 20000 }, { "call-struct", 20000 }, { "typed", 20000 }, { "typed-struct", 20000 },
    { "packet", 50000 }, { "packet-struct", 50000 }, { NULL }
  };
  Bench bench = { 0 };
  pid_t child;

  bench_init (&bench.options, modes, argc, argv);
  bench.plain = strncmp (bench.options.mode, "packet", 6) == 0;
  bench.typed = strncmp (bench.options.mode, "typed", 5) == 0;
  bench.size = strstr (bench.options.mode, "-struct") != NULL ? LARGE : 0;
  bench.shared = bench_shared (bench.options.count);
  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, bench.fds) != 0)
    bench_fail ("socketpair: %s", strerror (errno));
  child = bench_fork (run_client, &bench);
  if (bench.plain)
    answer_plain (&bench);
  else
    {
      close (bench.fds[BENCH_CHILD]);
      serve (&bench);
    }
  bench_join (child);

  bench_begin (&bench.options);
  bench_latencies (bench.shared);
  bench_end (bench.shared);

  return 0;
}
