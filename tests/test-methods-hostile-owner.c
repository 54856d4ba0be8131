/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owners that lie in their answers to methods: the client loses that connection
 * with an error, and nothing else. */

#include "hostile-util.h"

#include "methods-util.h"

#define LARGE "(u@at@aytuu)"

typedef enum {
  FD_NONE,
  FD_SEALED,      /* 8,192 bytes */
  FD_UNSEALED,
  FD_SHRINKABLE,
  FD_PIPE,
  FD_DATAGRAM
} FdKind;

typedef struct {
  const char *path;
  guint       opcode;    /* to lie at */
  const char *body;
  FdKind      kind;
  int         code;      /* what the client gets; 0: it is well */
} Lie;

static const Lie lies[] = {
  { "struct/good", IO_OPCODE_METHOD, "([uint64 1, 2], @ay [1, 2, 3, 4], uint64 0)", FD_NONE, 0 },
  { "struct/good-large", IO_OPCODE_METHOD, "(@at [], @ay [], uint64 8192)", FD_SEALED, 0 },
  { "struct/many-scalars", IO_OPCODE_METHOD, "([uint64 1, 2, 3, 4, 5], @ay [], uint64 0)", FD_NONE, IO_STREAM_ERROR_IPC_ERROR },
  { "struct/no-memory", IO_OPCODE_METHOD, "(@at [], @ay [], uint64 5000)", FD_NONE, IO_STREAM_ERROR_IPC_ERROR },
  { "struct/huge", IO_OPCODE_METHOD, "(@at [], @ay [], uint64 18446744073709551615)", FD_SEALED, IO_STREAM_ERROR_IPC_ERROR },
  { "struct/more-than-asked", IO_OPCODE_METHOD, "(@at [], @ay [], uint64 8193)", FD_SEALED, IO_STREAM_ERROR_IPC_ERROR },
  { "struct/unsealed", IO_OPCODE_METHOD, "(@at [], @ay [], uint64 5000)", FD_UNSEALED, IO_STREAM_ERROR_IPC_ERROR },
  { "struct/shrinkable", IO_OPCODE_METHOD, "(@at [], @ay [], uint64 5000)", FD_SHRINKABLE, IO_STREAM_ERROR_IPC_ERROR },
  { "struct/pipe", IO_OPCODE_METHOD, "(@at [], @ay [], uint64 5000)", FD_PIPE, IO_STREAM_ERROR_IPC_ERROR },
  { "typed/good", IO_OPCODE_VARIANT, "(<uint32 1>, '', uint64 0)", FD_NONE, 0 },
  { "typed/good-large", IO_OPCODE_VARIANT, "(<()>, 'ay', uint64 8192)", FD_SEALED, 0 },
  { "typed/longer-than-memory", IO_OPCODE_VARIANT, "(<()>, 'ay', uint64 8193)", FD_SEALED, IO_STREAM_ERROR_IPC_ERROR },
  { "typed/no-memory", IO_OPCODE_VARIANT, "(<()>, 'ay', uint64 10)", FD_NONE, IO_STREAM_ERROR_IPC_ERROR },
  { "typed/huge", IO_OPCODE_VARIANT, "(<()>, 'ay', uint64 67108865)", FD_SEALED, IO_STREAM_ERROR_IPC_ERROR },
  { "typed/no-type", IO_OPCODE_VARIANT, "(<()>, '', uint64 8192)", FD_SEALED, IO_STREAM_ERROR_IPC_ERROR },
  { "typed/bad-type", IO_OPCODE_VARIANT, "(<()>, 'a{vs}', uint64 8192)", FD_SEALED, IO_STREAM_ERROR_IPC_ERROR },
  { "typed/not-normal", IO_OPCODE_VARIANT, "(<()>, 'b', uint64 8192)", FD_SEALED, IO_STREAM_ERROR_IPC_ERROR },
  { "typed/unsealed", IO_OPCODE_VARIANT, "(<()>, 'ay', uint64 10)", FD_UNSEALED, IO_STREAM_ERROR_IPC_ERROR },
  { "transfer/small", IO_OPCODE_GET_TRANSFER, "(uint64 4999,)", FD_SEALED, IO_STREAM_ERROR_IPC_ERROR },
  { "transfer/huge", IO_OPCODE_GET_TRANSFER, "(uint64 1152921504606846976,)", FD_SEALED, IO_STREAM_ERROR_IPC_ERROR },
  { "transfer/less-than-told", IO_OPCODE_GET_TRANSFER, "(uint64 8193,)", FD_SEALED, IO_STREAM_ERROR_IPC_ERROR },
  { "transfer/no-memory", IO_OPCODE_GET_TRANSFER, "(uint64 5000,)", FD_NONE, IO_STREAM_ERROR_IPC_ERROR },
  { "transfer/shrinkable", IO_OPCODE_GET_TRANSFER, "(uint64 5000,)", FD_SHRINKABLE, IO_STREAM_ERROR_IPC_ERROR },
  { "transfer/pipe", IO_OPCODE_GET_TRANSFER, "(uint64 5000,)", FD_PIPE, IO_STREAM_ERROR_IPC_ERROR },
  /* Sealed against the client as well. */
  { "transfer/not-writable", IO_OPCODE_GET_TRANSFER, "(uint64 5000,)", FD_SEALED, IO_STREAM_ERROR_IPC_ERROR },
  { "memory/good", IO_OPCODE_GET_MEMORY, "(uint32 1, uint32 0, uint64 0, uint64 8192, uint64 8192, false)", FD_SEALED, 0 },
  { "memory/none", IO_OPCODE_GET_MEMORY, "(uint32 1, uint32 0, uint64 0, uint64 8192, uint64 8192, false)", FD_NONE, IO_STREAM_ERROR_IPC_ERROR },
  { "memory/past-end", IO_OPCODE_GET_MEMORY, "(uint32 1, uint32 0, uint64 1, uint64 8192, uint64 8192, false)", FD_SEALED, IO_STREAM_ERROR_IPC_ERROR },
  { "memory/wrapping", IO_OPCODE_GET_MEMORY, "(uint32 1, uint32 0, uint64 18446744073709551615, uint64 2, uint64 8192, false)", FD_SEALED, IO_STREAM_ERROR_IPC_ERROR },
  { "memory/less-than-told", IO_OPCODE_GET_MEMORY, "(uint32 1, uint32 0, uint64 0, uint64 8193, uint64 8193, false)", FD_SEALED, IO_STREAM_ERROR_IPC_ERROR },
  { "memory/empty", IO_OPCODE_GET_MEMORY, "(uint32 1, uint32 0, uint64 0, uint64 0, uint64 0, false)", FD_SEALED, IO_STREAM_ERROR_IPC_ERROR },
  { "memory/shrinkable", IO_OPCODE_GET_MEMORY, "(uint32 1, uint32 0, uint64 0, uint64 8192, uint64 8192, true)", FD_SHRINKABLE, IO_STREAM_ERROR_IPC_ERROR },
  { "memory/unsealed", IO_OPCODE_GET_MEMORY, "(uint32 1, uint32 0, uint64 0, uint64 8192, uint64 8192, false)", FD_UNSEALED, IO_STREAM_ERROR_IPC_ERROR },
  { "port/none", IO_OPCODE_GET_PORT, "()", FD_NONE, IO_STREAM_ERROR_IPC_ERROR },
  { "port/pipe", IO_OPCODE_GET_PORT, "()", FD_PIPE, IO_STREAM_ERROR_IPC_ERROR },
  { "port/memory", IO_OPCODE_GET_PORT, "()", FD_SEALED, IO_STREAM_ERROR_IPC_ERROR },
  { "port/datagram", IO_OPCODE_GET_PORT, "()", FD_DATAGRAM, IO_STREAM_ERROR_IPC_ERROR },
};

static int
make_fd (FdKind kind)
{
  int pair[2] = { -1, -1 };
  int fd;

  switch (kind)
    {
    case FD_PIPE:
      g_assert_cmpint (pipe2 (pair, O_CLOEXEC), ==, 0);
      break;
    case FD_DATAGRAM:
      g_assert_cmpint (socketpair (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), ==, 0);
      break;
    case FD_NONE:
      return -1;
    default:
      fd = memfd_create ("lie", MFD_CLOEXEC | MFD_ALLOW_SEALING);
      g_assert_cmpint (ftruncate (fd, 8192), ==, 0);
      if (kind == FD_UNSEALED)
        fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
      if (kind == FD_SEALED)
        fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
      return fd;
    }

  close (pair[1]);
  return pair[0];
}

/* The owner. */

typedef struct {
  const Lie *lie;
  int        control;
  void     (*talk) (int control, guint opcode, guint serial);
} Owner;

static void
reply (int         control,
       guint       opcode,
       guint       serial,
       const char *body,
       int         fd)
{
  raw_send_packet (control, IO_PACKET_REPLY, opcode, serial, g_variant_new_parsed (body), &fd, fd >= 0);
}

static gpointer
run_owner (gpointer data)
{
  Owner *owner = data;
  IOPacketHeader header;
  int fds[RAW_MAX_FDS];
  guint n_fds;
  GVariant *call;

  while ((call = raw_receive_packet (owner->control, &header, fds, &n_fds)) != NULL)
    {
      g_variant_unref (call);
      if (header.opcode == IO_OPCODE_HELLO)
        reply (owner->control, header.opcode, header.serial, "(uint32 1, 'liar', 'Liar', @a{sv} {})", -1);
      else if (owner->talk != NULL)
        owner->talk (owner->control, header.opcode, header.serial);
      else
        {
          int fd = make_fd (owner->lie->kind);

          g_assert_cmpuint (header.opcode, ==, owner->lie->opcode);
          reply (owner->control, header.opcode, header.serial, owner->lie->body, fd);
          if (fd >= 0)
            close (fd);
        }
    }

  return NULL;
}

static IOConnection *
connect_to (Owner    *owner,
            GThread **thread)
{
  g_autoptr (GSocket) socket = NULL;
  g_autoptr (GError) error = NULL;
  IOConnection *connection;
  int fds[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), ==, 0);
  owner->control = fds[1];
  *thread = g_thread_new ("owner", run_owner, owner);
  socket = g_socket_new_from_fd (fds[0], &error);
  g_assert_no_error (error);
  connection = g_initable_new (IO_TYPE_CONNECTION, NULL, &error, "socket", socket, NULL);
  g_assert_no_error (error);

  return connection;
}

static void
disconnect_from (Owner        *owner,
                 IOConnection *connection,
                 GThread      *thread)
{
  io_connection_hang_up (connection);
  stream_util_settle ();
  g_assert_finalize_object (connection);
  g_thread_join (thread);
  close (owner->control);
}

static gboolean
make_call (IOConnection  *connection,
           guint          opcode,
           GError       **error)
{
  g_autoptr (GBytes) large = methods_new_bytes (5000);
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GObject) object = NULL;

  switch (opcode)
    {
    case IO_OPCODE_METHOD:
      return io_connection_call_method (connection, 0, NULL, 0, NULL, 4, 8192, NULL, NULL, NULL, NULL, error);
    case IO_OPCODE_VARIANT:
      value = io_connection_call (connection, 0, NULL, NULL, NULL, error);
      return value != NULL;
    case IO_OPCODE_GET_TRANSFER:
      return io_connection_call_method (connection, 0, NULL, 0, large, 4, 8192, NULL, NULL, NULL, NULL, error);
    case IO_OPCODE_GET_MEMORY:
      object = (GObject *) io_connection_get_memory (connection, 0, NULL, error);
      return object != NULL;
    default:
      object = (GObject *) io_connection_get_notification_port (connection, 0, 0, NULL, error);
      return object != NULL;
    }
}

static void
test_lie (gconstpointer data)
{
  Owner owner = { data };
  g_autoptr (GError) error = NULL;
  IOConnection *connection;
  GThread *thread;
  guint before = count_fds ();
  gboolean ok;

  connection = connect_to (&owner, &thread);
  ok = make_call (connection, owner.lie->opcode, &error);
  if (owner.lie->code == 0)
    {
      g_assert_no_error (error);
      g_assert_true (ok);
    }
  else
    {
      g_assert_false (ok);
      g_assert_error (error, IO_STREAM_ERROR, owner.lie->code);
    }
  g_assert_true (io_connection_is_connected (connection) ==
                 (owner.lie->code != IO_STREAM_ERROR_IPC_ERROR));
  disconnect_from (&owner, connection, thread);
  g_assert_cmpuint (count_fds (), ==, before);
}

/* Answers out of turn. */

static void
report_on_nothing (int   control,
                   guint opcode,
                   guint serial)
{
  raw_send_packet (control, IO_PACKET_EVENT, IO_OPCODE_PROGRESS, 0,
                   g_variant_new ("(uv)", serial + 1, g_variant_new_uint32 (1)), NULL, 0);
}

static void
answer_twice (int   control,
              guint opcode,
              guint serial)
{
  for (guint i = 0; i < 2; i++)
    reply (control, opcode, serial, "(<uint32 1>, '', uint64 0)", -1);
}

static void
report_after (int   control,
              guint opcode,
              guint serial)
{
  reply (control, opcode, serial, "(<uint32 1>, '', uint64 0)", -1);
  raw_send_packet (control, IO_PACKET_EVENT, IO_OPCODE_PROGRESS, 0,
                   g_variant_new ("(uv)", serial, g_variant_new_uint32 (1)), NULL, 0);
}

static void
lost_cb (IOConnection *connection,
         const GError *error,
         gpointer      user_data)
{
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR);
  *(gboolean *) user_data = TRUE;
}

static void
test_out_of_turn (gconstpointer data)
{
  Owner owner = { NULL };
  g_auto (MethodsAnswer) answer = { 0 };
  IOConnection *connection;
  GThread *thread;
  gboolean lost = FALSE;

  owner.talk = (void (*) (int, guint, guint)) (gsize) data;
  connection = connect_to (&owner, &thread);
  g_signal_connect (connection, "disconnected", G_CALLBACK (lost_cb), &lost);
  methods_start_typed (connection, 0, NULL, NULL, &answer);
  while (!lost)
    g_main_context_iteration (NULL, TRUE);
  g_assert_true (answer.done);
  g_assert_cmpuint (answer.n_destroyed, <=, 1);
  g_assert_cmpuint (answer.n_progress, ==, 0);
  disconnect_from (&owner, connection, thread);
}

/* Reports that come while the client waits for something else: some are kept. */
static void
report_much (int   control,
             guint opcode,
             guint serial)
{
  static guint last;

  if (opcode == IO_OPCODE_VARIANT_ASYNC)
    {
      last = serial;
      return;
    }
  for (guint i = 1; i <= 1000; i++)
    raw_send_packet (control, IO_PACKET_EVENT, IO_OPCODE_PROGRESS, 0,
                     g_variant_new ("(uv)", last, g_variant_new_uint32 (i)), NULL, 0);
  reply (control, opcode, serial, "()", -1);
  reply (control, IO_OPCODE_VARIANT_ASYNC, last, "(<uint32 1>, '', uint64 0)", -1);
}

static void
test_much_progress (void)
{
  Owner owner = { NULL, -1, report_much };
  g_auto (MethodsAnswer) answer = { 0 };
  g_autoptr (GError) error = NULL;
  IOConnection *connection;
  GThread *thread;

  connection = connect_to (&owner, &thread);
  methods_start_typed (connection, 0, NULL, NULL, &answer);
  g_assert_true (io_connection_trap (connection, 0, 0, NULL, &error));
  g_assert_no_error (error);
  methods_finish (&answer);
  g_assert_no_error (answer.error);
  g_assert_cmpuint (answer.n_progress, ==, 32);
  disconnect_from (&owner, connection, thread);
}

/* An owner that never answers: cancelling works, and the connection can go. */
static void
say_nothing (int   control,
             guint opcode,
             guint serial)
{
}

static void
test_silent (void)
{
  Owner owner = { NULL, -1, say_nothing };
  g_auto (MethodsAnswer) answer = { 0 };
  g_auto (MethodsAnswer) large_answer = { 0 };
  g_auto (MethodsAnswer) second_answer = { 0 };
  g_auto (MethodsAnswer) third_answer = { 0 };
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GBytes) large = methods_new_bytes (5000);
  IOConnection *connection;
  GThread *thread;

  connection = connect_to (&owner, &thread);
  methods_start_typed (connection, 0, NULL, cancellable, &answer);
  methods_start (connection, 0, NULL, 0, large, NULL, &large_answer);
  g_cancellable_cancel (cancellable);
  methods_finish (&answer);
  g_assert_error (answer.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_false (large_answer.done);

  /* Nor does one that waits for memory outlive its cancellable, in whatever
   * place of the queue. */
  g_cancellable_reset (cancellable);
  methods_start (connection, 0, NULL, 0, large, cancellable, &second_answer);
  methods_start (connection, 0, NULL, 0, large, NULL, &third_answer);
  g_cancellable_cancel (cancellable);
  methods_finish (&second_answer);
  g_assert_error (second_answer.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_false (large_answer.done);

  io_connection_hang_up (connection);
  methods_finish (&third_answer);
  g_assert_nonnull (third_answer.error);
  methods_finish (&large_answer);
  g_assert_error (large_answer.error, IO_STREAM_ERROR, IO_STREAM_ERROR_ABORTED);
  disconnect_from (&owner, connection, thread);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  /* what GLib opens for good */
  g_main_context_iteration (NULL, FALSE);
  for (guint i = 0; i < G_N_ELEMENTS (lies); i++)
    {
      g_autofree char *path = g_strconcat ("/methods-hostile-owner/", lies[i].path, NULL);

      g_test_add_data_func (path, &lies[i], test_lie);
    }
  g_test_add_data_func ("/methods-hostile-owner/reports-on-nothing",
                        (gconstpointer) (gsize) report_on_nothing, test_out_of_turn);
  g_test_add_data_func ("/methods-hostile-owner/answers-twice",
                        (gconstpointer) (gsize) answer_twice, test_out_of_turn);
  g_test_add_data_func ("/methods-hostile-owner/reports-after",
                        (gconstpointer) (gsize) report_after, test_out_of_turn);
  g_test_add_func ("/methods-hostile-owner/much-progress", test_much_progress);
  g_test_add_func ("/methods-hostile-owner/silent", test_silent);

  return g_test_run ();
}
