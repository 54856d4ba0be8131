/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Clients that lie to the methods of an owner. Whatever they do, another one
 * notices nothing. */

#include "methods-util.h"
#include "service-util.h"

#include "libiostream/io-external-method-private.h"

#include <sys/mman.h>

typedef struct {
  MethodsService *service;
  int             fd;
  int             other;   /* the one that notices nothing */
} Pair;

static Pair
make_pair (void)
{
  Pair pair;

  pair.service = methods_new_registered ("one", NULL);
  pair.other = raw_client ("one");
  pair.fd = raw_client ("one");

  return pair;
}

static GVariant *
struct_args (guint   selector,
             guint   n_scalars,
             gsize   size,
             guint64 length,
             guint   max_scalars,
             guint   max_structure)
{
  guint64 scalars[64] = { 0 };
  g_autofree guint8 *bytes = g_malloc0 (size + 1);

  return g_variant_new ("(u@at@aytuu)", selector,
                        g_variant_new_fixed_array (G_VARIANT_TYPE_UINT64, scalars, n_scalars, 8),
                        g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes, size, 1),
                        length, max_scalars, max_structure);
}

static void
check_other (Pair *pair)
{
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GError) error = NULL;

  answer = raw_call (pair->other, IO_OPCODE_METHOD, struct_args (METHOD_ECHO, 3, 10, 0, 3, 10), &error);
  g_assert_no_error (error);
  g_assert_nonnull (answer);
}

static void
end_pair (Pair *pair)
{
  check_other (pair);
  close (pair->fd);
  close (pair->other);
  settle ();
  g_assert_cmpint (pair->service->n_closed + pair->service->n_died, ==, 2);
  io_service_terminate (IO_SERVICE (pair->service));
  g_ptr_array_set_size (pair->service->kept, 0);
  settle ();
  g_assert_finalize_object (pair->service);
}

static void
test_struct (Fixture       *fixture,
             gconstpointer  data)
{
  static const struct {
    guint   selector, n_scalars;
    gsize   size;
    guint64 length;
    guint   max_scalars, max_structure;
    int     code;
  } cases[] = {
    { N_METHODS, 0, 0, 0, 0, 0, IO_STREAM_ERROR_BAD_ARGUMENT },
    { G_MAXUINT, 0, 0, 0, 0, 0, IO_STREAM_ERROR_BAD_ARGUMENT },
    { METHOD_ECHO, 17, 0, 0, 16, 0, IO_STREAM_ERROR_BAD_ARGUMENT },
    { METHOD_ECHO, 64, 0, 0, 16, 0, IO_STREAM_ERROR_BAD_ARGUMENT },
    { METHOD_ECHO, 0, 0, 0, 17, 0, IO_STREAM_ERROR_BAD_ARGUMENT },
    { METHOD_ECHO, 0, 0, 0, ANY - 1, 0, IO_STREAM_ERROR_BAD_ARGUMENT },
    { METHOD_ECHO, 0, 4097, 0, 0, ANY, IO_STREAM_ERROR_MESSAGE_TOO_LARGE },
    { METHOD_ECHO, 0, 0, (64 << 20) + 1, 0, ANY, IO_STREAM_ERROR_MESSAGE_TOO_LARGE },
    { METHOD_ECHO, 0, 0, G_MAXUINT64, 0, ANY, IO_STREAM_ERROR_MESSAGE_TOO_LARGE },
    { METHOD_ECHO, 0, 0, 1, 0, ANY, IO_STREAM_ERROR_BAD_ARGUMENT },
    { METHOD_ECHO, 0, 1, 1, 0, ANY, IO_STREAM_ERROR_BAD_ARGUMENT },
    { METHOD_ECHO, 2, 0, 0, 1, 0, IO_STREAM_ERROR_NO_SPACE },
    { METHOD_ECHO, 0, 2, 0, 0, 1, IO_STREAM_ERROR_NO_SPACE },
    { METHOD_SUM, 1, 0, 0, 1, 0, IO_STREAM_ERROR_BAD_ARGUMENT },
    { METHOD_EMPTY, 0, 0, 0, 0, 0, IO_STREAM_ERROR_NO_COMPLETION },
  };
  Pair pair = make_pair ();

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    for (guint async = 0; async < 2; async++)
      {
        /* There it is the handler that finds it. */
        if (async && cases[i].code == IO_STREAM_ERROR_NO_SPACE)
          continue;
        raw_assert_call_fails (pair.fd, async ? IO_OPCODE_METHOD_ASYNC : IO_OPCODE_METHOD,
                               struct_args (cases[i].selector, cases[i].n_scalars, cases[i].size,
                                            cases[i].length, cases[i].max_scalars,
                                            cases[i].max_structure), cases[i].code);
      }
  end_pair (&pair);
}

static int
get_transfer (Pair    *pair,
              guint64  size,
              guint64 *given)
{
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GError) error = NULL;
  int fd = -1;

  g_assert_true (raw_send (pair->fd, IO_OPCODE_GET_TRANSFER, 9, g_variant_new ("(t)", size)));
  answer = raw_answer (pair->fd, IO_OPCODE_GET_TRANSFER, 9, &fd, &error);
  g_assert_no_error (error);
  g_variant_get (answer, "(t)", given);
  g_assert_cmpuint (*given, >=, size);
  g_assert_cmpint (fd, >=, 0);

  return fd;
}

static GVariant *
typed_args (const char *type,
            guint64     length)
{
  return g_variant_new ("(uvst)", TYPED_ECHO, g_variant_new ("()"), type, length);
}

static void
test_transfer (Fixture       *fixture,
               gconstpointer  data)
{
  static const char *const types[] = { "", "(", "((", "*", "r", "a", "aa?", "a{vs}", "\x01" };
  Pair pair = make_pair ();
  g_autofree guint8 *bytes = g_malloc (5000);
  g_autoptr (GVariant) answer = NULL;
  guint64 size, again;
  int fd, same, larger;

  memset (bytes, 0xff, 5000);
  raw_assert_call_fails (pair.fd, IO_OPCODE_GET_TRANSFER, g_variant_new ("(t)", (guint64) 0),
                         IO_STREAM_ERROR_MESSAGE_TOO_LARGE);
  raw_assert_call_fails (pair.fd, IO_OPCODE_GET_TRANSFER, g_variant_new ("(t)", G_MAXUINT64),
                         IO_STREAM_ERROR_MESSAGE_TOO_LARGE);
  raw_assert_call_fails (pair.fd, IO_OPCODE_VARIANT, typed_args ("as", 10), IO_STREAM_ERROR_BAD_ARGUMENT);

  fd = get_transfer (&pair, 5000, &size);
  same = get_transfer (&pair, 1, &again);
  g_assert_cmpuint (size, ==, again);
  g_assert_cmpint (pwrite (fd, bytes, 5000, 0), ==, 5000);
  raw_assert_call_fails (pair.fd, IO_OPCODE_METHOD, struct_args (METHOD_ECHO, 0, 0, size + 1, 0, ANY),
                         IO_STREAM_ERROR_BAD_ARGUMENT);
  raw_assert_call_fails (pair.fd, IO_OPCODE_METHOD, struct_args (METHOD_ECHO, 0, 1, 10, 0, ANY),
                         IO_STREAM_ERROR_BAD_ARGUMENT);
  for (guint i = 0; i < G_N_ELEMENTS (types); i++)
    raw_assert_call_fails (pair.fd, IO_OPCODE_VARIANT, typed_args (types[i], 5000),
                           IO_STREAM_ERROR_BAD_ARGUMENT);
  /* What is no array of strings. */
  raw_assert_call_fails (pair.fd, IO_OPCODE_VARIANT, typed_args ("as", 5000), IO_STREAM_ERROR_BAD_ARGUMENT);
  raw_assert_call_fails (pair.fd, IO_OPCODE_VARIANT_ASYNC, typed_args ("as", 5000),
                         IO_STREAM_ERROR_BAD_ARGUMENT);

  /* It cannot be cut off, and holes are zeros. */
  g_assert_cmpint (ftruncate (fd, 0), <, 0);
  g_assert_cmpint (fallocate (fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, size), ==, 0);
  answer = raw_call (pair.fd, IO_OPCODE_METHOD, struct_args (METHOD_LENGTH, 0, 0, size, 1, 0), NULL);
  g_assert_nonnull (answer);

  larger = get_transfer (&pair, size + 1, &again);
  g_assert_cmpuint (again, >, size);
  close (fd);
  close (same);
  close (larger);
  end_pair (&pair);
}

/* One serial for two calls, cancels of what is not there. */
static void
test_serials (Fixture       *fixture,
              gconstpointer  data)
{
  Pair pair = make_pair ();
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (raw_send (pair.fd, IO_OPCODE_METHOD_ASYNC, 7, struct_args (METHOD_KEEP, 0, 0, 0, 0, 0)));
  g_assert_true (raw_send (pair.fd, IO_OPCODE_METHOD_ASYNC, 7, struct_args (METHOD_KEEP, 0, 0, 0, 0, 0)));
  g_assert_null (raw_answer (pair.fd, IO_OPCODE_METHOD_ASYNC, 7, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_MESSAGE);
  g_clear_error (&error);
  g_assert_cmpuint (pair.service->kept->len, ==, 1);

  raw_assert_call (pair.fd, IO_OPCODE_CANCEL, g_variant_new ("(u)", 8));
  raw_assert_call (pair.fd, IO_OPCODE_CANCEL, g_variant_new ("(u)", 0));
  g_assert_cmpint (pair.service->n_aborted, ==, 0);

  /* The cancelled call is answered first. */
  g_assert_true (raw_send (pair.fd, IO_OPCODE_CANCEL, 9, g_variant_new ("(u)", 7)));
  g_assert_null (raw_answer (pair.fd, IO_OPCODE_METHOD_ASYNC, 7, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_ABORTED);
  g_clear_error (&error);
  answer = raw_answer (pair.fd, IO_OPCODE_CANCEL, 9, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (pair.service->n_aborted, ==, 1);
  raw_assert_call (pair.fd, IO_OPCODE_CANCEL, g_variant_new ("(u)", 7));
  g_assert_cmpint (pair.service->n_aborted, ==, 1);
  end_pair (&pair);
}

/* 256 calls, never an answer read: no memory and no descriptor waits for it. */
static void
test_never_reads (Fixture       *fixture,
                  gconstpointer  data)
{
  Pair pair = make_pair ();
  g_autoptr (GBytes) large = methods_new_bytes (100000);
  guint before, n_sent = 0;

  while (n_sent < IO_ACTION_MAX_OUTSTANDING)
    {
      if (raw_send (pair.fd, IO_OPCODE_METHOD_ASYNC, 1000 + n_sent, struct_args (METHOD_KEEP, 0, 0, 0, 16, ANY)))
        n_sent++;
      settle ();
    }
  g_assert_cmpuint (pair.service->kept->len, ==, IO_ACTION_MAX_OUTSTANDING);

  before = count_fds ();
  for (guint i = 0; i < 200; i++)
    for (guint j = 0; j < 20; j++)
      io_action_report_progress (g_ptr_array_index (pair.service->kept, i),
                                 g_variant_new_take_string (g_strnfill (4000, 'x')), NULL);
  for (guint i = 0; i < IO_ACTION_MAX_OUTSTANDING; i++)
    {
      g_autoptr (GError) error = NULL;

      io_action_complete (g_ptr_array_index (pair.service->kept, i), NULL, 0, large, &error);
      g_assert_no_error (error);
    }
  g_assert_cmpuint (count_fds (), <=, before + 1);
  end_pair (&pair);
}

static guint
read_all (int fd)
{
  char buffer[IO_PROTOCOL_MAX_PACKET];
  guint n = 0;

  while (recv (fd, buffer, sizeof buffer, MSG_DONTWAIT) > 0)
    n++;

  return n;
}

/* Descriptors that nobody takes: few are on their way, and when they are taken
 * the others come. Meanwhile the other client gets its own. */
static void
test_unread_descriptors (Fixture       *fixture,
                         gconstpointer  data)
{
  Pair pair = make_pair ();
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GError) error = NULL;
  const guint n_calls = 300;
  guint n_read = 0, n_sent = 0, n_turns = 0;
  int fd = -1;

  while (n_sent < n_calls && n_turns++ < 1000)
    {
      n_sent += raw_send (pair.fd, IO_OPCODE_GET_TRANSFER, 1 + n_sent, g_variant_new ("(t)", (guint64) 4096));
      settle ();
    }
  g_assert_cmpuint (n_sent, >, 128);

  g_assert_true (raw_send (pair.other, IO_OPCODE_GET_TRANSFER, 9, g_variant_new ("(t)", (guint64) 4096)));
  answer = raw_answer (pair.other, IO_OPCODE_GET_TRANSFER, 9, &fd, &error);
  g_assert_no_error (error);
  close (fd);

  n_read = read_all (pair.fd);
  g_assert_cmpuint (n_read, <=, 128);
  while (n_read < n_sent)
    {
      raw_wait (pair.fd);
      n_read += read_all (pair.fd);
    }
  g_assert_cmpuint (n_read, ==, n_sent);
  end_pair (&pair);
}

/* Arguments and answers count together, and an answer as long as it is not
 * read. */
static void
test_account (Fixture       *fixture,
              gconstpointer  data)
{
  Pair pair = make_pair ();
  guint64 size;
  guint n_given = 0, n_refused = 0;
  int limited, fd;

  pair.service->max_bytes = 4 * 1024 * 1024;
  limited = pair.fd;
  pair.fd = raw_client ("one");
  fd = get_transfer (&pair, 1024 * 1024, &size);
  close (fd);
  raw_assert_call_fails (pair.fd, IO_OPCODE_GET_TRANSFER, g_variant_new ("(t)", (guint64) 5 * 1024 * 1024),
                         IO_STREAM_ERROR_NO_RESOURCES);

  for (guint round = 0; round < 2; round++)
    {
      guint8 buffer[IO_PROTOCOL_MAX_PACKET];

      for (guint i = 0; i < 6; i++)
        {
          g_assert_true (raw_send (pair.fd, i % 2 ? IO_OPCODE_METHOD : IO_OPCODE_METHOD_ASYNC, 100 + i,
                                   struct_args (METHOD_ECHO, 0, 0, 1024 * 1024, 0, ANY)));
          settle ();
        }
      for (guint i = 0; i < 6; i++)
        {
          IOPacketHeader *header = (IOPacketHeader *) buffer;

          g_assert_cmpint (recv (pair.fd, buffer, sizeof buffer, MSG_DONTWAIT), >, 0);
          n_given += header->status == 0;
          n_refused += header->status == IO_STREAM_ERROR_NO_RESOURCES;
        }
      g_assert_cmpuint (n_given, ==, 3 * (round + 1));
      g_assert_cmpuint (n_refused, ==, 3 * (round + 1));
    }
  close (limited);
  while (pair.service->n_closed + pair.service->n_died == 0)
    g_main_context_iteration (NULL, TRUE);
  pair.service->n_closed = pair.service->n_died = 0;
  end_pair (&pair);
}

/* The one who goes with all that unread is noticed as ever. */
static void
test_unread_and_gone (Fixture       *fixture,
                      gconstpointer  data)
{
  Pair pair = make_pair ();
  guint before = count_fds ();
  int fd = raw_client ("one");

  for (guint i = 0; i < 40; i++)
    raw_send (fd, IO_OPCODE_GET_PORT, 1 + i, g_variant_new ("(ut)", i, (guint64) 0));
  settle ();
  g_assert_cmpuint (count_fds (), >, before);
  close (fd);
  while (count_fds () > before)
    g_main_context_iteration (NULL, TRUE);
  pair.service->n_closed = pair.service->n_died = 0;
  end_pair (&pair);
}

/* It is not disconnected, as with other calls, but slowed down. */
static void
test_flood (Fixture       *fixture,
            gconstpointer  data)
{
  Pair pair = make_pair ();
  guint n = g_getenv ("IOSTREAM_TEST_VALGRIND") != NULL ? 3000 : 2 * IO_CHANNEL_METHODS_BURST;

  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GVariant) answer = raw_call (pair.fd, IO_OPCODE_TRAP, g_variant_new ("(uu)", 0, i), NULL);

      g_assert_nonnull (answer);
    }
  g_assert_cmpint (pair.service->n_traps, ==, (int) n);
  end_pair (&pair);
}

static void
test_wrong_bodies (Fixture       *fixture,
                   gconstpointer  data)
{
  Pair pair = make_pair ();

  for (guint opcode = IO_OPCODE_METHOD; opcode <= IO_OPCODE_CANCEL; opcode++)
    {
      IOPacketHeader header = { 1, IO_PACKET_CALL, opcode, 77, 0, 3 };
      g_autoptr (GError) error = NULL;
      guint8 packet[sizeof header + 3];

      memcpy (packet, &header, sizeof header);
      memset (packet + sizeof header, 0xff, 3);
      g_assert_true (raw_send_bytes (pair.fd, packet, sizeof packet));
      g_assert_null (raw_answer (pair.fd, opcode, 77, NULL, &error));
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
    }
  end_pair (&pair);
}

/* An event is not the client's to send. */
static void
test_sends_progress (Fixture       *fixture,
                     gconstpointer  data)
{
  Pair pair = make_pair ();
  g_autoptr (GBytes) packet = _io_packet_build (IO_PACKET_EVENT, IO_OPCODE_PROGRESS, 0, 0,
                                                g_variant_new ("(uv)", 1, g_variant_new_uint32 (1)), NULL);
  g_autoptr (GError) error = NULL;

  raw_send_bytes (pair.fd, g_bytes_get_data (packet, NULL), g_bytes_get_size (packet));
  g_assert_null (raw_answer (pair.fd, IO_OPCODE_METHOD, 1, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR);
  end_pair (&pair);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  ADD ("/methods-hostile/struct", test_struct);
  ADD ("/methods-hostile/transfer", test_transfer);
  ADD ("/methods-hostile/serials", test_serials);
  ADD ("/methods-hostile/never-reads", test_never_reads);
  ADD ("/methods-hostile/unread-descriptors", test_unread_descriptors);
  ADD ("/methods-hostile/account", test_account);
  ADD ("/methods-hostile/unread-and-gone", test_unread_and_gone);
  ADD ("/methods-hostile/flood", test_flood);
  ADD ("/methods-hostile/wrong-bodies", test_wrong_bodies);
  ADD ("/methods-hostile/sends-progress", test_sends_progress);

  return g_test_run ();
}
