/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include <libiostream/io-connection-private.h>
#include <libiostream/io-names-private.h>

/* An owner that speaks the protocol without the library, in a thread of its
 * own, and misbehaves at one kind of call. */

typedef enum {
  BEHAVE,
  REFUSE,
  SILENT,           /* reads on, never answers that call */
  LATE,             /* answers it when the next call has come */
  CANCEL,           /* cancels the client's cancellable, never answers */
  DIE,
  TERMINATE,
  TERMINATE_WITH_ERROR,
  ANSWER_THEN_DIE,
  RESET,            /* terminates, and leaves calls unread */
  WRONG_SERIAL,
  WRONG_OPCODE,
  WRONG_TYPE,
  WRONG_VERSION,
  NOT_NORMAL,
  CALLS,
  OVERSIZE,
  SHORT,
  TWICE,
  EVENT_WITH_FD,
  UNKNOWN_EVENT,
  TOO_MANY_FDS,
  ERROR_WITH_FD
} Behaviour;

typedef struct {
  int           fd;
  int           listener;
  GThread      *thread;
  gint          behaviour;
  IOOpcode      at;
  GCancellable *cancellable;
  guint32       late_serial;
  IOOpcode      late_opcode;
  gint          counts[128];
} Owner;

static void
send_raw (Owner      *owner,
          const void *data,
          gsize       size,
          int         n_fds)
{
  struct iovec iov = { (void *) data, size };
  union { struct cmsghdr align; char space[CMSG_SPACE (sizeof (int) * 8)]; } control = { 0 };
  struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

  if (n_fds > 0)
    {
      struct cmsghdr *cmsg;
      int fds[8];

      for (int i = 0; i < n_fds; i++)
        fds[i] = STDERR_FILENO;
      msg.msg_control = control.space;
      msg.msg_controllen = CMSG_SPACE (sizeof (int) * n_fds);
      cmsg = CMSG_FIRSTHDR (&msg);
      cmsg->cmsg_level = SOL_SOCKET;
      cmsg->cmsg_type = SCM_RIGHTS;
      cmsg->cmsg_len = CMSG_LEN (sizeof (int) * n_fds);
      memcpy (CMSG_DATA (cmsg), fds, sizeof (int) * n_fds);
    }
  /* The client may be gone already, which is its right. */
  if (sendmsg (owner->fd, &msg, MSG_NOSIGNAL) < 0)
    g_assert_true (errno == EPIPE || errno == ECONNRESET);
}

static void
send_packet (Owner        *owner,
             IOPacketKind  kind,
             guint         opcode,
             guint32       serial,
             guint32       status,
             GVariant     *body,
             int           n_fds)
{
  g_autoptr (GVariant) sunk = g_variant_ref_sink (body);
  IOPacketHeader header = { 1, kind, opcode, serial, status, g_variant_get_size (sunk) };
  guint8 packet[4096];

  memcpy (packet, &header, sizeof header);
  g_variant_store (sunk, packet + sizeof header);
  send_raw (owner, packet, sizeof header + header.length, n_fds);
}

static void
answer (Owner   *owner,
        guint    opcode,
        guint32  serial)
{
  int n_fds = 0;
  GVariant *body;

  switch (opcode)
    {
    case IO_OPCODE_HELLO:
      body = g_variant_new ("(uss@a{sv})", 1, "camera", "Camera", g_variant_new ("a{sv}", NULL));
      break;
    case IO_OPCODE_GET_ATTRIBUTES:
      body = g_variant_new_parsed ("({'width': <1920>},)");
      break;
    case IO_OPCODE_OPEN:
      body = g_variant_new_parsed ("({'epoch': <uint32 1>},)");
      n_fds = 3;
      break;
    case IO_OPCODE_GET_BUFFER_COUNT:
    case IO_OPCODE_GET_MODE:
      body = g_variant_new ("(u)", 7);
      break;
    case IO_OPCODE_GET_MEMORY:
      body = g_variant_new ("(uutttb)", 1, 0, G_GUINT64_CONSTANT (0), G_GUINT64_CONSTANT (1),
                            G_GUINT64_CONSTANT (4096), FALSE);
      n_fds = 1;
      break;
    default:
      body = g_variant_new ("()");
      break;
    }
  send_packet (owner, IO_PACKET_REPLY, opcode, serial, 0, body, n_fds);
}

static void
send_header (Owner *owner,
             guint8 version,
             guint  opcode,
             guint  serial,
             gsize  size)
{
  guint8 packet[8192] = { 0 };
  IOPacketHeader header = { version, IO_PACKET_REPLY, opcode, serial, 0, size - sizeof header };

  memcpy (packet, &header, sizeof header);
  send_raw (owner, packet, size, 0);
}

/* FALSE: the owner leaves. */
static gboolean
misbehave (Owner   *owner,
           guint    opcode,
           guint32  serial)
{
  struct pollfd readable = { owner->fd, POLLIN, 0 };

  switch (g_atomic_int_get (&owner->behaviour))
    {
    case BEHAVE:
      answer (owner, opcode, serial);
      break;
    case REFUSE:
      send_packet (owner, IO_PACKET_REPLY, opcode, serial, IO_STREAM_ERROR_EXCLUSIVE_ACCESS,
                   g_variant_new ("(s)", "Somebody has it"), 0);
      break;
    case SILENT:
      break;
    case LATE:
      owner->late_opcode = opcode;
      owner->late_serial = serial;
      break;
    case CANCEL:
      g_cancellable_cancel (owner->cancellable);
      break;
    case DIE:
      return FALSE;
    case TERMINATE:
      send_packet (owner, IO_PACKET_EVENT, IO_OPCODE_TERMINATED, 0, 0,
                   g_variant_new ("(us)", 0, ""), 0);
      return FALSE;
    case TERMINATE_WITH_ERROR:
      send_packet (owner, IO_PACKET_EVENT, IO_OPCODE_TERMINATED, 0, 0,
                   g_variant_new ("(us)", IO_STREAM_ERROR_NO_DEVICE, "unplugged"), 0);
      return FALSE;
    case ANSWER_THEN_DIE:
      answer (owner, opcode, serial);
      return FALSE;
    case RESET:
      send_packet (owner, IO_PACKET_EVENT, IO_OPCODE_TERMINATED, 0, 0,
                   g_variant_new ("(us)", IO_STREAM_ERROR_NO_DEVICE, "unplugged"), 0);
      g_assert_cmpint (poll (&readable, 1, -1), ==, 1);
      return FALSE;
    case WRONG_SERIAL:
      answer (owner, opcode, serial + 17);
      break;
    case WRONG_OPCODE:
      answer (owner, opcode == IO_OPCODE_READY ? IO_OPCODE_CLOSE : IO_OPCODE_READY, serial);
      break;
    case WRONG_TYPE:
      send_packet (owner, IO_PACKET_REPLY, opcode, serial, 0,
                   g_variant_new ("(sssss)", "a", "b", "c", "d", "e"), 0);
      break;
    case WRONG_VERSION:
      send_header (owner, 2, opcode, serial, sizeof (IOPacketHeader) + 16);
      break;
    case NOT_NORMAL:
      send_packet (owner, IO_PACKET_REPLY, opcode, serial, IO_STREAM_ERROR_BUSY,
                   g_variant_new_bytestring ("no end \xff"), 0);
      break;
    case CALLS:
      send_packet (owner, IO_PACKET_CALL, opcode, serial, 0, g_variant_new ("()"), 0);
      break;
    case OVERSIZE:
      send_header (owner, 1, opcode, serial, 8000);
      break;
    case SHORT:
      send_raw (owner, "\1\2\3", 3, 0);
      break;
    case TWICE:
      answer (owner, opcode, serial);
      answer (owner, opcode, serial);
      break;
    case EVENT_WITH_FD:
      send_packet (owner, IO_PACKET_EVENT, IO_OPCODE_TERMINATED, 0, 0,
                   g_variant_new ("(us)", 0, ""), 2);
      break;
    case UNKNOWN_EVENT:
      send_packet (owner, IO_PACKET_EVENT, 99, 0, 0, g_variant_new ("(u)", 1), 0);
      break;
    case TOO_MANY_FDS:
      send_packet (owner, IO_PACKET_REPLY, opcode, serial, 0, opcode == IO_OPCODE_OPEN
                   ? g_variant_new ("(a{sv})", NULL) : g_variant_new ("()"), 8);
      break;
    case ERROR_WITH_FD:
      send_packet (owner, IO_PACKET_REPLY, opcode, serial, IO_STREAM_ERROR_BUSY,
                   g_variant_new ("(s)", "busy"), 1);
      break;
    default:
      g_assert_not_reached ();
    }

  return TRUE;
}

static gpointer
owner_thread (gpointer data)
{
  Owner *owner = data;
  gboolean stays = TRUE;

  if (owner->listener >= 0)
    owner->fd = accept4 (owner->listener, NULL, NULL, SOCK_CLOEXEC);

  while (stays)
    {
      guint8 packet[4096];
      IOPacketHeader header;
      gssize size = recv (owner->fd, packet, sizeof packet, 0);

      if (size <= 0)
        break;

      g_assert_cmpint (size, >=, sizeof header);
      memcpy (&header, packet, sizeof header);
      g_assert_cmpint (header.version, ==, 1);
      g_assert_cmpint (header.kind, ==, IO_PACKET_CALL);
      g_assert_cmpint (header.length, ==, size - sizeof header);
      g_assert_cmpint (header.opcode, <, 128);
      g_atomic_int_inc (&owner->counts[header.opcode]);

      if (owner->late_serial != 0)
        answer (owner, owner->late_opcode, owner->late_serial);
      owner->late_serial = 0;
      if (header.opcode == owner->at)
        stays = misbehave (owner, header.opcode, header.serial);
      else
        answer (owner, header.opcode, header.serial);
    }
  close (owner->fd);

  return NULL;
}

/* A client with three steps to open. */

typedef struct {
  IOConnection parent_instance;
  GString     *log;
  guint        n_fds;
  gboolean     step_fails;
  IOOpcode     hurries_at;    /* that is not to be waited for long */
} TestConnection;

typedef struct {
  IOConnectionClass parent_class;
} TestConnectionClass;

GType test_connection_get_type (void);
G_DEFINE_TYPE (TestConnection, test_connection, IO_TYPE_CONNECTION)

static gboolean
test_connection_open_step (IOConnection      *connection,
                           IOOpcode           opcode,
                           GVariant          *answer,
                           GUnixFDList       *fds,
                           IOConnectionCall  *next,
                           GError           **error)
{
  TestConnection *self = (TestConnection *) connection;

  if (fds != NULL)
    self->n_fds += g_unix_fd_list_get_length (fds);
  switch (opcode)
    {
    case IO_OPCODE_OPEN:
      next->opcode = IO_OPCODE_GET_BUFFER_COUNT;
      break;
    case IO_OPCODE_GET_BUFFER_COUNT:
      next->opcode = IO_OPCODE_GET_MEMORY;
      next->args = g_variant_new ("(u)", 0x30000000);
      break;
    case IO_OPCODE_GET_MEMORY:
      if (self->step_fails)
        {
          g_set_error_literal (error, IO_STREAM_ERROR, IO_STREAM_ERROR_VM_ERROR, "No seals");
          return FALSE;
        }
      next->opcode = IO_OPCODE_READY;
      break;
    default:
      g_assert_cmpint (opcode, ==, IO_OPCODE_READY);
      break;
    }
  if (self->hurries_at != 0 && next->opcode == self->hurries_at)
    io_connection_set_timeout (connection, 20000);

  return TRUE;
}

static void
test_connection_closed (IOConnection *connection)
{
  g_string_append (((TestConnection *) connection)->log, "closed ");
}

static const IOConnectionHooks test_hooks = {
  test_connection_open_step,
  test_connection_closed
};

static void
test_connection_disconnected (IOConnection *connection,
                              const GError *error)
{
  g_assert_false (io_connection_is_connected (connection));
  g_assert_false (io_connection_is_open (connection));
  g_assert_true (error == io_connection_get_error (connection) ||
                 g_error_matches (error, error->domain, io_connection_get_error (connection)->code));
  g_string_append_printf (((TestConnection *) connection)->log, "disconnected:%d ",
                          error != NULL ? error->code : 0);
}

static void
test_connection_finalize (GObject *object)
{
  g_string_free (((TestConnection *) object)->log, TRUE);
  G_OBJECT_CLASS (test_connection_parent_class)->finalize (object);
}

static void
test_connection_class_init (TestConnectionClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = test_connection_finalize;
  IO_CONNECTION_CLASS (klass)->disconnected = test_connection_disconnected;
}

static void
test_connection_init (TestConnection *self)
{
  self->log = g_string_new (NULL);
  _io_connection_set_hooks (IO_CONNECTION (self), &test_hooks);
}

/* One of each, connected by a socket pair. */

typedef struct {
  Owner           owner;
  TestConnection *client;
  IOConnection   *connection;
  GCancellable   *cancellable;
  int             n_fds;
} Fixture;

static int
count_fds (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  int n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;

  return n;
}

static void
owner_start (Owner     *owner,
             Behaviour  behaviour,
             IOOpcode   at)
{
  owner->behaviour = behaviour;
  owner->at = at;
  owner->thread = g_thread_new ("owner", owner_thread, owner);
}

static void
owner_join (Owner *owner)
{
  if (owner->thread != NULL)
    g_thread_join (owner->thread);
  owner->thread = NULL;
}

static void
set_up (Fixture   *f,
        Behaviour  behaviour,
        IOOpcode   at)
{
  g_autoptr (GSocket) socket = NULL;
  int fds[2];

  /* GLib keeps some for itself from the first use on. */
  g_main_context_iteration (NULL, FALSE);
  g_object_unref (g_task_new (NULL, NULL, NULL, NULL));
  memset (f, 0, sizeof *f);
  f->n_fds = count_fds ();
  f->cancellable = g_cancellable_new ();
  g_assert_no_errno (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds));
  socket = g_socket_new_from_fd (fds[0], NULL);
  f->client = g_object_new (test_connection_get_type (), "socket", socket, NULL);
  f->connection = IO_CONNECTION (f->client);
  f->owner.fd = fds[1];
  f->owner.listener = -1;
  f->owner.cancellable = f->cancellable;
  owner_start (&f->owner, behaviour, at);
}

static void
tear_down (Fixture *f)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
  if (f->client != NULL)
    g_assert_finalize_object (f->client);
  owner_join (&f->owner);
  g_assert_finalize_object (f->cancellable);
  g_assert_cmpint (count_fds (), ==, f->n_fds);
}

typedef struct {
  GAsyncResult *result;
  gboolean      in_call;
  gboolean      cancel;
} Waiter;

static void
ready_cb (GObject      *source,
          GAsyncResult *result,
          gpointer      user_data)
{
  Waiter *waiter = user_data;

  /* Never from within the call that started it, and only once. */
  g_assert_false (waiter->in_call);
  g_assert_null (waiter->result);
  waiter->result = g_object_ref (result);
}

static GAsyncResult *
wait_for (Waiter *waiter)
{
  waiter->in_call = FALSE;
  while (waiter->result == NULL)
    g_main_context_iteration (NULL, TRUE);
  /* The task lets go of its source after the callback. */
  while (g_main_context_iteration (NULL, FALSE))
    ;

  return g_steal_pointer (&waiter->result);
}

static gboolean
open_it (Fixture   *f,
         gboolean   async,
         GError   **error)
{
  g_autoptr (GAsyncResult) result = NULL;
  Waiter waiter = { NULL, TRUE };

  if (!async)
    return io_connection_open (f->connection, 0, f->cancellable, error);

  io_connection_open_async (f->connection, 0, f->cancellable, ready_cb, &waiter);
  result = wait_for (&waiter);

  return io_connection_open_finish (f->connection, result, error);
}

static gboolean
close_it (Fixture   *f,
          gboolean   async,
          GError   **error)
{
  g_autoptr (GAsyncResult) result = NULL;
  Waiter waiter = { NULL, TRUE };

  if (!async)
    return io_connection_close (f->connection, f->cancellable, error);

  io_connection_close_async (f->connection, f->cancellable, ready_cb, &waiter);
  result = wait_for (&waiter);

  return io_connection_close_finish (f->connection, result, error);
}

static void
flush_context (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

static int
get_count (Fixture *f,
           IOOpcode opcode)
{
  return g_atomic_int_get (&f->owner.counts[opcode]);
}

/* Tests. */

static void
test_properties (void)
{
  Fixture f;
  g_autofree char *name = NULL, *class_name = NULL;
  g_autoptr (GSocket) socket = NULL;
  g_autoptr (GError) error = NULL, reason = NULL;
  gboolean connected = TRUE, opened = TRUE;
  gint64 timeout = 0;

  set_up (&f, BEHAVE, 0);
  g_object_get (f.client, "connected", &connected, "opened", &opened, "timeout", &timeout,
                "socket", &socket, "error", &reason, NULL);
  g_assert_false (connected);
  g_assert_false (opened);
  g_assert_cmpint (timeout, ==, 5 * G_USEC_PER_SEC);
  g_assert_true (G_IS_SOCKET (socket));
  g_assert_null (reason);
  g_assert_null (io_connection_get_name (f.connection));
  g_assert_null (io_connection_get_service_class (f.connection));

  g_assert_true (g_initable_init (G_INITABLE (f.client), NULL, &error));
  g_assert_no_error (error);
  g_assert_true (g_initable_init (G_INITABLE (f.client), NULL, &error));
  g_assert_cmpint (get_count (&f, IO_OPCODE_HELLO), ==, 1);

  g_object_get (f.client, "connected", &connected, "name", &name, "service-class", &class_name,
                NULL);
  g_assert_true (connected);
  g_assert_true (io_connection_is_connected (f.connection));
  g_assert_cmpstr (name, ==, "camera");
  g_assert_cmpstr (class_name, ==, "Camera");
  g_assert_cmpstr (io_connection_get_service_class (f.connection), ==, "Camera");

  io_connection_set_timeout (f.connection, -1);
  g_assert_cmpint (io_connection_get_timeout (f.connection), ==, -1);
  io_connection_set_timeout (f.connection, G_MAXINT64);
  g_assert_cmpint (io_connection_get_timeout (f.connection), >, G_MAXINT64 / 4);
  g_assert_true (_io_connection_in_own_process (f.connection));
  g_assert_true (_io_connection_get_context (f.connection) == g_main_context_default ());
  g_clear_object (&socket);
  tear_down (&f);
}

static void
test_open_close (gconstpointer data)
{
  gboolean async = GPOINTER_TO_INT (data);
  g_autoptr (GError) error = NULL;
  Fixture f;

  set_up (&f, BEHAVE, 0);
  for (guint i = 1; i <= 3; i++)
    {
      g_assert_true (open_it (&f, async, &error));
      g_assert_no_error (error);
      g_assert_true (io_connection_is_open (f.connection));
      g_assert_cmpint (f.client->n_fds, ==, 4 * i);

      g_assert_false (open_it (&f, async, &error));
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_STILL_OPEN);
      g_clear_error (&error);
      g_assert_true (io_connection_is_open (f.connection));

      g_assert_true (close_it (&f, async, &error));
      g_assert_no_error (error);
      g_assert_false (io_connection_is_open (f.connection));
      g_assert_true (io_connection_is_connected (f.connection));

      g_assert_false (close_it (&f, async, &error));
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN);
      g_clear_error (&error);
    }
  g_assert_cmpstr (f.client->log->str, ==, "closed closed closed ");
  g_assert_cmpint (get_count (&f, IO_OPCODE_HELLO), ==, 1);
  g_assert_cmpint (get_count (&f, IO_OPCODE_CLOSE), ==, 3);
  tear_down (&f);
}

static void
test_init_async (void)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  Waiter waiter = { NULL, TRUE };
  Fixture f;

  set_up (&f, BEHAVE, 0);
  g_async_initable_init_async (G_ASYNC_INITABLE (f.client), 0, f.cancellable, ready_cb, &waiter);
  g_assert_false (io_connection_open (f.connection, 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY);
  g_clear_error (&error);
  result = wait_for (&waiter);
  g_assert_true (g_async_initable_init_finish (G_ASYNC_INITABLE (f.client), result, &error));
  g_assert_no_error (error);
  g_assert_true (io_connection_is_connected (f.connection));
  g_assert_false (io_connection_is_open (f.connection));
  g_clear_object (&result);
  tear_down (&f);
}

/* Only the call that is never answered is not to be waited for long. */
static void
hurry_at (Fixture  *f,
          IOOpcode  at)
{
  g_autoptr (GError) error = NULL;

  if (at == IO_OPCODE_OPEN)
    {
      g_assert_true (g_initable_init (G_INITABLE (f->client), NULL, &error));
      g_assert_no_error (error);
    }
  if (at == IO_OPCODE_HELLO || at == IO_OPCODE_OPEN)
    io_connection_set_timeout (f->connection, 20000);
  f->client->hurries_at = at;
}

/* Every behaviour at every step, in both ways. */

typedef struct {
  const char   *name;
  Behaviour     behaviour;
  IOStreamError code;
  gboolean      survives;
} Case;

static const Case cases[] = {
  { "refuse", REFUSE, IO_STREAM_ERROR_EXCLUSIVE_ACCESS, TRUE },
  { "silent", SILENT, IO_STREAM_ERROR_NOT_RESPONDING, TRUE },
  { "late", LATE, IO_STREAM_ERROR_NOT_RESPONDING, TRUE },
  { "cancel", CANCEL, IO_STREAM_ERROR_INVALID, TRUE },
  { "die", DIE, IO_STREAM_ERROR_OFFLINE, FALSE },
  { "terminate", TERMINATE, IO_STREAM_ERROR_OFFLINE, FALSE },
  { "terminate-with-error", TERMINATE_WITH_ERROR, IO_STREAM_ERROR_NO_DEVICE, FALSE },
  { "wrong-serial", WRONG_SERIAL, IO_STREAM_ERROR_IPC_ERROR, FALSE },
  { "wrong-opcode", WRONG_OPCODE, IO_STREAM_ERROR_IPC_ERROR, FALSE },
  { "wrong-type", WRONG_TYPE, IO_STREAM_ERROR_IPC_ERROR, FALSE },
  { "wrong-version", WRONG_VERSION, IO_STREAM_ERROR_IPC_ERROR, FALSE },
  { "not-normal", NOT_NORMAL, IO_STREAM_ERROR_IPC_ERROR, FALSE },
  { "calls", CALLS, IO_STREAM_ERROR_IPC_ERROR, FALSE },
  { "oversize", OVERSIZE, IO_STREAM_ERROR_IPC_ERROR, FALSE },
  { "short", SHORT, IO_STREAM_ERROR_IPC_ERROR, FALSE },
  { "event-with-fd", EVENT_WITH_FD, IO_STREAM_ERROR_IPC_ERROR, FALSE },
  { "unknown-event", UNKNOWN_EVENT, IO_STREAM_ERROR_IPC_ERROR, FALSE },
  { "too-many-fds", TOO_MANY_FDS, IO_STREAM_ERROR_IPC_ERROR, FALSE },
  { "error-with-fd", ERROR_WITH_FD, IO_STREAM_ERROR_IPC_ERROR, FALSE },
};

static const IOOpcode steps[] = {
  IO_OPCODE_HELLO,
  IO_OPCODE_OPEN,
  IO_OPCODE_GET_BUFFER_COUNT,
  IO_OPCODE_GET_MEMORY,
  IO_OPCODE_READY
};

static void
check_bad_open (const Case *c,
                IOOpcode    at,
                gboolean    async)
{
  gboolean opened = at != IO_OPCODE_HELLO && !(at == IO_OPCODE_OPEN && c->behaviour == REFUSE);
  gboolean lost = at != IO_OPCODE_HELLO && !c->survives;
  g_autofree char *log = NULL;
  g_autoptr (GError) error = NULL;
  Fixture f;

  g_test_message ("%s at %d, %s", c->name, at, async ? "async" : "sync");
  set_up (&f, c->behaviour, at);
  if (c->behaviour == SILENT || c->behaviour == LATE)
    hurry_at (&f, at);
  g_assert_false (open_it (&f, async, &error));
  if (c->behaviour == CANCEL)
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  else
    g_assert_error (error, IO_STREAM_ERROR, (int) c->code);
  g_assert_false (io_connection_is_open (f.connection));
  g_assert_cmpint (io_connection_is_connected (f.connection), ==,
                   c->survives && at != IO_OPCODE_HELLO);

  flush_context ();
  log = g_strdup_printf ("%s%s", opened ? "closed " : "", lost ? "disconnected" : "");
  g_assert_true (g_str_has_prefix (f.client->log->str, log));
  if (!lost)
    g_assert_cmpstr (f.client->log->str, ==, log);
  else if (c->behaviour != TERMINATE)
    g_assert_error (io_connection_get_error (f.connection), IO_STREAM_ERROR, (int) c->code);
  else
    g_assert_null (io_connection_get_error (f.connection));

  tear_down (&f);
  if (opened && c->survives)
    g_assert_cmpint (get_count (&f, IO_OPCODE_CLOSE), ==, 1);
}

static void
test_bad_open (gconstpointer data)
{
  const Case *c = data;

  for (guint i = 0; i < G_N_ELEMENTS (steps); i++)
    {
      check_bad_open (c, steps[i], FALSE);
      check_bad_open (c, steps[i], TRUE);
    }
}

static void
test_step_fails (gconstpointer data)
{
  gboolean async = GPOINTER_TO_INT (data);
  g_autoptr (GError) error = NULL;
  Fixture f;

  set_up (&f, BEHAVE, 0);
  f.client->step_fails = TRUE;
  g_assert_false (open_it (&f, async, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_VM_ERROR);
  g_clear_error (&error);
  g_assert_cmpstr (f.client->log->str, ==, "closed ");

  f.client->step_fails = FALSE;
  g_assert_true (open_it (&f, async, &error));
  g_assert_no_error (error);
  g_assert_cmpint (get_count (&f, IO_OPCODE_CLOSE), ==, 1);
  tear_down (&f);
}

/* What was given up is opened again at once, and the late answer does no
 * harm. */
static void
test_late_answer (gconstpointer data)
{
  gboolean async = GPOINTER_TO_INT (data);
  g_autoptr (GError) error = NULL;
  Fixture f;

  set_up (&f, LATE, IO_OPCODE_OPEN);
  hurry_at (&f, IO_OPCODE_OPEN);
  g_assert_false (open_it (&f, async, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_RESPONDING);
  g_assert_nonnull (strstr (error->message, "Opening service “camera”"));
  g_clear_error (&error);

  g_atomic_int_set (&f.owner.behaviour, BEHAVE);
  io_connection_set_timeout (f.connection, -1);
  g_assert_true (open_it (&f, async, &error));
  g_assert_no_error (error);
  g_assert_cmpint (f.client->n_fds, ==, 4);
  g_assert_cmpint (get_count (&f, IO_OPCODE_CLOSE), ==, 1);
  tear_down (&f);
}

static void
test_answered_twice (void)
{
  g_autoptr (GError) error = NULL;
  Fixture f;

  set_up (&f, TWICE, IO_OPCODE_READY);
  g_assert_true (io_connection_open (f.connection, 0, NULL, &error));
  g_assert_no_error (error);
  while (io_connection_is_connected (f.connection))
    g_main_context_iteration (NULL, TRUE);
  g_assert_error (io_connection_get_error (f.connection), IO_STREAM_ERROR,
                  IO_STREAM_ERROR_IPC_ERROR);
  flush_context ();
  g_assert_cmpstr (f.client->log->str, ==, "closed disconnected:4 ");
  tear_down (&f);
}

static void
test_close_fails (gconstpointer data)
{
  const struct { Behaviour behaviour; int code; } closes[] = {
    { REFUSE, IO_STREAM_ERROR_EXCLUSIVE_ACCESS },
    { SILENT, IO_STREAM_ERROR_NOT_RESPONDING },
    { CANCEL, 0 },
    { DIE, IO_STREAM_ERROR_OFFLINE },
    { WRONG_SERIAL, IO_STREAM_ERROR_IPC_ERROR },
  };

  for (guint i = 0; i < G_N_ELEMENTS (closes); i++)
    {
      g_autoptr (GError) error = NULL;
      Fixture f;

      set_up (&f, closes[i].behaviour, IO_OPCODE_CLOSE);
      g_assert_true (open_it (&f, GPOINTER_TO_INT (data), &error));
      if (closes[i].behaviour == SILENT)
        io_connection_set_timeout (f.connection, 20000);
      g_assert_false (close_it (&f, GPOINTER_TO_INT (data), &error));
      if (closes[i].behaviour == CANCEL)
        g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      else
        g_assert_error (error, IO_STREAM_ERROR, closes[i].code);
      g_assert_false (io_connection_is_open (f.connection));
      g_assert_true (g_str_has_prefix (f.client->log->str, "closed "));
      flush_context ();
      tear_down (&f);
    }
}

static void
test_close_lost (void)
{
  g_autoptr (GError) error = NULL;
  Fixture f;

  set_up (&f, DIE, IO_OPCODE_GET_MODE);
  g_assert_true (io_connection_open (f.connection, 0, NULL, &error));
  g_assert_null (_io_connection_call (f.connection, IO_OPCODE_GET_MODE, NULL, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
  g_clear_error (&error);
  g_assert_cmpstr (f.client->log->str, ==, "");
  g_assert_false (io_connection_close (f.connection, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
  g_assert_cmpstr (f.client->log->str, ==, "closed ");
  flush_context ();
  g_assert_cmpstr (f.client->log->str, ==, "closed disconnected:22 ");
  tear_down (&f);
}

/* Cancellation. */

typedef enum { BEFORE, AT_ONCE, AFTER } When;

static gboolean
start_open (Fixture  *f,
            Waiter   *waiter,
            GError  **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  io_connection_open_async (f->connection, 0, f->cancellable, ready_cb, waiter);
  if (waiter->cancel)
    g_cancellable_cancel (f->cancellable);
  result = wait_for (waiter);

  return io_connection_open_finish (f->connection, result, error);
}

static gboolean
start_init (Fixture  *f,
            Waiter   *waiter,
            GError  **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  g_async_initable_init_async (G_ASYNC_INITABLE (f->client), 0, f->cancellable, ready_cb, waiter);
  result = wait_for (waiter);

  return g_async_initable_init_finish (G_ASYNC_INITABLE (f->client), result, error);
}

static gboolean
start_close (Fixture  *f,
             Waiter   *waiter,
             GError  **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  g_assert_true (io_connection_open (f->connection, 0, NULL, error));
  io_connection_close_async (f->connection, f->cancellable, ready_cb, waiter);
  result = wait_for (waiter);

  return io_connection_close_finish (f->connection, result, error);
}

static gboolean
start_call (Fixture  *f,
            Waiter   *waiter,
            GError  **error)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GVariant) value = NULL;
  GTask *task;

  g_assert_true (g_initable_init (G_INITABLE (f->client), NULL, error));
  task = g_task_new (f->client, f->cancellable, ready_cb, waiter);
  _io_connection_call_async (f->connection, IO_OPCODE_GET_MEMORY, g_variant_new ("(u)", 1), task);
  result = wait_for (waiter);
  value = g_task_propagate_pointer (G_TASK (result), error);
  if (value != NULL)
    g_assert_cmpint (g_unix_fd_list_get_length (_io_connection_peek_task_fds (G_TASK (result))),
                     ==, 1);

  return value != NULL;
}

static void
check_cancel (gboolean (*start) (Fixture *f, Waiter *waiter, GError **error),
              When     when)
{
  g_autoptr (GError) error = NULL;
  Waiter waiter = { NULL, TRUE };
  Fixture f;

  set_up (&f, BEHAVE, 0);
  if (when == BEFORE)
    g_cancellable_cancel (f.cancellable);
  if (when == AFTER)
    g_assert_true (start (&f, &waiter, &error));
  else
    {
      waiter.cancel = when == AT_ONCE;
      g_assert_false (start (&f, &waiter, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_clear_error (&error);
    }
  g_cancellable_cancel (f.cancellable);
  flush_context ();
  g_assert_no_error (error);
  tear_down (&f);
  if (start == start_open && when != AFTER)
    g_assert_cmpint (get_count (&f, IO_OPCODE_OPEN), ==, get_count (&f, IO_OPCODE_CLOSE));
}

static gboolean
cancel_cb (gpointer user_data)
{
  g_cancellable_cancel (user_data);

  return G_SOURCE_REMOVE;
}

static gboolean
with_idle_cancel (Fixture   *f,
                  Waiter    *waiter,
                  gboolean (*start) (Fixture *f, Waiter *waiter, GError **error),
                  GError   **error)
{
  g_idle_add_full (G_PRIORITY_HIGH, cancel_cb, g_object_ref (f->cancellable), g_object_unref);

  return start (f, waiter, error);
}

static void
test_cancel (void)
{
  gboolean (*starts[]) (Fixture *, Waiter *, GError **) = {
    start_open, start_init, start_close, start_call
  };

  check_cancel (start_open, AT_ONCE);
  for (guint i = 0; i < G_N_ELEMENTS (starts); i++)
    {
      check_cancel (starts[i], BEFORE);
      check_cancel (starts[i], AFTER);
    }
}

/* Before the context has had a chance to read any answer. */
static void
test_cancel_soon (void)
{
  gboolean (*starts[]) (Fixture *, Waiter *, GError **) = { start_open, start_init, start_close,
                                                            start_call };
  const IOOpcode silent[] = { IO_OPCODE_OPEN, IO_OPCODE_HELLO, IO_OPCODE_CLOSE,
                              IO_OPCODE_GET_MEMORY };

  for (guint i = 0; i < G_N_ELEMENTS (starts); i++)
    {
      g_autoptr (GError) error = NULL;
      Waiter waiter = { NULL, FALSE };
      Fixture f;

      set_up (&f, SILENT, silent[i]);
      g_assert_false (with_idle_cancel (&f, &waiter, starts[i], &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_assert_false (io_connection_is_open (f.connection));
      g_assert_null (io_connection_get_error (f.connection));
      tear_down (&f);
    }
}

/* By the owner's thread while the client sleeps in poll(). */
static void
test_cancel_sync_call (void)
{
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;
  Fixture f;

  set_up (&f, CANCEL, IO_OPCODE_GET_ATTRIBUTES);
  io_connection_set_timeout (f.connection, -1);
  g_assert_null (io_connection_copy_attributes (f.connection, f.cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);

  g_atomic_int_set (&f.owner.behaviour, BEHAVE);
  value = io_connection_copy_attributes (f.connection, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_variant_is_of_type (value, G_VARIANT_TYPE_VARDICT));
  tear_down (&f);
}

/* What comes before the end is told before the end. */

static void
log_answer_cb (GObject      *source,
               GAsyncResult *result,
               gpointer      user_data)
{
  g_autoptr (GVariant) value = g_task_propagate_pointer (G_TASK (result), NULL);

  g_string_append (((TestConnection *) source)->log, value != NULL ? "answer " : "error ");
}

static void
test_answer_then_death (gconstpointer data)
{
  gboolean async = GPOINTER_TO_INT (data);
  g_autoptr (GError) error = NULL;
  Fixture f;

  set_up (&f, ANSWER_THEN_DIE, IO_OPCODE_GET_MODE);
  g_assert_true (io_connection_open (f.connection, 0, NULL, &error));
  _io_connection_call_async (f.connection, IO_OPCODE_GET_MODE, NULL,
                             g_task_new (f.client, NULL, log_answer_cb, NULL));
  if (!async)
    {
      g_assert_null (_io_connection_call (f.connection, IO_OPCODE_GET_MODE, NULL, NULL, &error));
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
      g_assert_cmpstr (f.client->log->str, ==, "");
    }
  while (strstr (f.client->log->str, "disconnected") == NULL)
    g_main_context_iteration (NULL, TRUE);
  flush_context ();
  g_assert_cmpstr (f.client->log->str, ==, "answer closed disconnected:22 ");
  tear_down (&f);
}

/* ECONNRESET comes before the owner's last words, and must not hide them. */
static void
test_reset (gconstpointer data)
{
  gboolean async = GPOINTER_TO_INT (data);
  g_autoptr (GError) error = NULL;
  Fixture f;

  set_up (&f, RESET, IO_OPCODE_START);
  g_assert_true (io_connection_open (f.connection, 0, NULL, &error));
  for (guint i = 0; i < 3; i++)
    _io_connection_call_async (f.connection, IO_OPCODE_START, NULL,
                               g_task_new (f.client, NULL, NULL, NULL));
  owner_join (&f.owner);
  if (!async)
    {
      g_assert_null (_io_connection_call (f.connection, IO_OPCODE_GET_MODE, NULL, NULL, &error));
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_DEVICE);
      g_assert_nonnull (strstr (error->message, "unplugged"));
    }
  flush_context ();
  g_assert_cmpstr (f.client->log->str, ==, "closed disconnected:5 ");
  tear_down (&f);
}

static void
test_poll (void)
{
  g_autoptr (GError) error = NULL;
  Fixture f;

  set_up (&f, TERMINATE, IO_OPCODE_STOP);
  g_assert_true (io_connection_open (f.connection, 0, NULL, &error));
  _io_connection_poll (f.connection);
  g_assert_true (io_connection_is_connected (f.connection));
  _io_connection_call_async (f.connection, IO_OPCODE_STOP, NULL,
                             g_task_new (f.client, NULL, NULL, NULL));
  owner_join (&f.owner);
  _io_connection_poll (f.connection);
  g_assert_false (io_connection_is_connected (f.connection));
  g_assert_false (io_connection_is_open (f.connection));
  g_assert_null (io_connection_get_error (f.connection));
  g_assert_cmpstr (f.client->log->str, ==, "");
  flush_context ();
  g_assert_cmpstr (f.client->log->str, ==, "closed disconnected:0 ");
  tear_down (&f);
}

static void
test_too_many_calls (void)
{
  g_autoptr (GError) error = NULL;
  Waiter waiters[30] = { { NULL } };
  Fixture f;

  set_up (&f, SILENT, IO_OPCODE_GET_MODE);
  g_assert_true (io_connection_open (f.connection, 0, NULL, &error));
  for (guint i = 0; i < G_N_ELEMENTS (waiters); i++)
    _io_connection_call_async (f.connection, IO_OPCODE_GET_MODE, NULL,
                               g_task_new (f.client, NULL, ready_cb, &waiters[i]));
  g_assert_null (_io_connection_call (f.connection, IO_OPCODE_GET_MODE, NULL, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_RESPONDING);
  g_clear_error (&error);
  g_assert_true (io_connection_close (f.connection, NULL, &error));
  g_assert_no_error (error);

  io_connection_hang_up (f.connection);
  for (guint i = 0; i < G_N_ELEMENTS (waiters); i++)
    {
      g_autoptr (GAsyncResult) result = wait_for (&waiters[i]);

      g_assert_null (g_task_propagate_pointer (G_TASK (result), &error));
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_ABORTED);
      g_clear_error (&error);
    }
  tear_down (&f);
}

static void
test_async_timeout (void)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  Waiter waiter = { NULL, TRUE };
  Fixture f;

  set_up (&f, SILENT, IO_OPCODE_GET_MODE);
  g_assert_true (g_initable_init (G_INITABLE (f.client), NULL, &error));
  io_connection_set_timeout (f.connection, 20000);
  _io_connection_call_async (f.connection, IO_OPCODE_GET_MODE, NULL,
                             g_task_new (f.client, NULL, ready_cb, &waiter));
  /* A synchronous call meanwhile does not lose the deadline. */
  g_assert_null (_io_connection_call (f.connection, IO_OPCODE_GET_MODE, NULL, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_RESPONDING);
  g_clear_error (&error);
  result = wait_for (&waiter);
  g_assert_null (g_task_propagate_pointer (G_TASK (result), &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_RESPONDING);
  g_clear_object (&result);
  tear_down (&f);
}

/* Endings. */

static void
test_hang_up (void)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  Waiter waiter = { NULL, TRUE };
  Fixture f;

  set_up (&f, SILENT, IO_OPCODE_GET_BUFFER_COUNT);
  g_assert_true (g_initable_init (G_INITABLE (f.client), NULL, &error));
  io_connection_open_async (f.connection, 0, NULL, ready_cb, &waiter);
  g_assert_false (io_connection_close (f.connection, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY);
  g_clear_error (&error);
  io_connection_hang_up (f.connection);
  io_connection_hang_up (f.connection);
  g_assert_false (io_connection_is_connected (f.connection));
  result = wait_for (&waiter);
  g_assert_false (io_connection_open_finish (f.connection, result, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_ABORTED);
  g_clear_error (&error);
  g_assert_cmpstr (f.client->log->str, ==, "closed ");

  g_assert_false (io_connection_open (f.connection, 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN);
  g_clear_object (&result);
  tear_down (&f);
}

/* Also an end that is known but not told yet is not told any more. */
static void
test_hang_up_lost (void)
{
  g_autoptr (GError) error = NULL;
  Fixture f;

  set_up (&f, DIE, IO_OPCODE_GET_MODE);
  g_assert_true (io_connection_open (f.connection, 0, NULL, &error));
  g_assert_null (_io_connection_call (f.connection, IO_OPCODE_GET_MODE, NULL, NULL, &error));
  io_connection_hang_up (f.connection);
  flush_context ();
  g_assert_cmpstr (f.client->log->str, ==, "closed ");
  tear_down (&f);
}

static void
test_fail (void)
{
  g_autoptr (GError) error = NULL;
  Fixture f;

  set_up (&f, BEHAVE, 0);
  g_assert_true (io_connection_open (f.connection, 0, NULL, &error));
  _io_connection_fail (f.connection, g_error_new_literal (IO_STREAM_ERROR,
                                                          IO_STREAM_ERROR_IPC_ERROR, "Bad entry"));
  _io_connection_fail (f.connection, g_error_new_literal (IO_STREAM_ERROR,
                                                          IO_STREAM_ERROR_FAILED, "Second"));
  g_assert_false (io_connection_is_open (f.connection));
  g_assert_cmpstr (io_connection_get_error (f.connection)->message, ==, "Bad entry");
  flush_context ();
  g_assert_cmpstr (f.client->log->str, ==, "closed disconnected:4 ");
  g_assert_false (io_connection_open (f.connection, 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR);
  tear_down (&f);
}

static void
drop_cb (IOConnection *connection,
         const GError *error,
         gpointer      user_data)
{
  g_object_unref (connection);
}

static void
test_drop_in_handler (void)
{
  g_autoptr (GError) error = NULL;
  gpointer weak;
  Fixture f;

  set_up (&f, DIE, IO_OPCODE_GET_MODE);
  g_assert_true (io_connection_open (f.connection, 0, NULL, &error));
  weak = f.client;
  g_object_add_weak_pointer (weak, &weak);
  g_signal_connect (f.client, "disconnected", G_CALLBACK (drop_cb), NULL);
  _io_connection_call_async (f.connection, IO_OPCODE_GET_MODE, NULL,
                             g_task_new (f.client, NULL, NULL, NULL));
  while (weak != NULL)
    g_main_context_iteration (NULL, TRUE);
  f.client = NULL;
  tear_down (&f);
}

static void
drop_opened_cb (GObject      *source,
                GAsyncResult *result,
                gpointer      user_data)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (io_connection_open_finish (IO_CONNECTION (source), result, &error));
  g_assert_no_error (error);
  g_object_unref (source);
}

static void
test_drop_in_callback (void)
{
  gpointer weak;
  Fixture f;

  set_up (&f, BEHAVE, 0);
  weak = f.client;
  g_object_add_weak_pointer (weak, &weak);
  io_connection_open_async (f.connection, 0, NULL, drop_opened_cb, NULL);
  while (weak != NULL)
    g_main_context_iteration (NULL, TRUE);
  f.client = NULL;
  tear_down (&f);
}

static void
close_in_cb (GObject      *source,
             GAsyncResult *result,
             gpointer      user_data)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (io_connection_open_finish (IO_CONNECTION (source), result, &error));
  g_assert_true (io_connection_close (IO_CONNECTION (source), NULL, &error));
  g_assert_no_error (error);
  *(gboolean *) user_data = TRUE;
}

static void
test_call_in_callback (void)
{
  gboolean done = FALSE;
  Fixture f;

  set_up (&f, BEHAVE, 0);
  io_connection_open_async (f.connection, 0, NULL, close_in_cb, &done);
  while (!done)
    g_main_context_iteration (NULL, TRUE);
  tear_down (&f);
}

static void
test_fork (void)
{
  g_autoptr (GError) error = NULL;
  Fixture f;
  pid_t pid;
  int status;

  set_up (&f, BEHAVE, 0);
  g_assert_true (io_connection_open (f.connection, 0, NULL, &error));
  pid = fork ();
  g_assert_no_errno (pid);
  if (pid == 0)
    {
      gboolean ok = !io_connection_is_connected (f.connection) &&
                    !io_connection_is_open (f.connection) &&
                    !io_connection_close (f.connection, NULL, &error) &&
                    g_error_matches (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN);

      g_clear_error (&error);
      ok = ok && !io_connection_open (f.connection, 0, NULL, &error) &&
           g_error_matches (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN);
      _io_connection_poll (f.connection);
      io_connection_hang_up (f.connection);
      g_object_unref (f.connection);
      _exit (ok ? 0 : 1);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);

  g_assert_true (io_connection_is_connected (f.connection));
  g_assert_true (io_connection_close (f.connection, NULL, &error));
  g_assert_no_error (error);
  tear_down (&f);
}

/* Names. */

static int
listen_at (const char *name,
           int         type,
           int         backlog)
{
  g_autofree char *path = _io_names_dup_socket_path (name, NULL);
  g_autofree char *dir = g_path_get_dirname (path);
  struct sockaddr_un address = { AF_UNIX };
  int fd = socket (AF_UNIX, type | SOCK_CLOEXEC, 0);

  g_mkdir_with_parents (dir, 0700);
  g_unlink (path);
  g_strlcpy (address.sun_path, path, sizeof address.sun_path);
  g_assert_no_errno (bind (fd, (struct sockaddr *) &address, sizeof address));
  g_assert_no_errno (listen (fd, backlog));

  return fd;
}

static void
check_connect (const char *name,
               int         code)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (IOConnection) connection = NULL;
  Waiter waiter = { NULL, TRUE };
  g_autoptr (GAsyncResult) result = NULL;

  connection = g_initable_new (IO_TYPE_CONNECTION, NULL, &error, "name", name,
                               "timeout", (gint64) 30000, NULL);
  g_assert_error (error, IO_STREAM_ERROR, code);
  g_assert_nonnull (strstr (error->message, name));
  g_assert_null (connection);
  g_clear_error (&error);

  connection = g_object_new (IO_TYPE_CONNECTION, "name", name, "timeout", (gint64) 30000, NULL);
  io_connection_open_async (connection, 0, NULL, ready_cb, &waiter);
  result = wait_for (&waiter);
  g_assert_false (io_connection_open_finish (connection, result, &error));
  g_assert_error (error, IO_STREAM_ERROR, code);
  g_assert_null (io_connection_get_error (connection));
}

static void
test_name (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (IOConnection) connection = NULL;
  g_autoptr (GVariant) attributes = NULL;
  Owner owner = { 0 };

  owner.listener = listen_at ("named", SOCK_SEQPACKET, 5);
  owner_start (&owner, BEHAVE, 0);
  connection = io_connection_new_for_name ("named", NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (io_connection_get_name (connection), ==, "named");
  attributes = io_connection_copy_attributes (connection, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_variant_lookup (attributes, "width", "i", NULL));
  g_assert_true (io_connection_open (connection, 0, NULL, &error));
  g_assert_finalize_object (g_steal_pointer (&connection));
  g_thread_join (owner.thread);
  close (owner.listener);
}

static void
test_name_missing (void)
{
  check_connect ("nobody", IO_STREAM_ERROR_NOT_FOUND);
  close (listen_at ("stale", SOCK_SEQPACKET, 5));
  check_connect ("stale", IO_STREAM_ERROR_NOT_FOUND);
  check_connect ("no/name", IO_STREAM_ERROR_BAD_ARGUMENT);
}

static void
test_name_other_type (void)
{
  int fd = listen_at ("stream", SOCK_STREAM, 5);

  check_connect ("stream", IO_STREAM_ERROR_IO_ERROR);
  close (fd);
}

static void
test_name_not_permitted (void)
{
  g_autofree char *path = NULL;
  int fd;

  if (geteuid () == 0)
    {
      g_test_skip ("root may do everything");
      return;
    }
  fd = listen_at ("forbidden", SOCK_SEQPACKET, 5);
  path = _io_names_dup_socket_path ("forbidden", NULL);
  g_assert_no_errno (g_chmod (path, 0));
  check_connect ("forbidden", IO_STREAM_ERROR_NOT_PERMITTED);
  close (fd);
}

static void
test_name_backlog (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (IOConnection) filler = NULL;
  int fd = listen_at ("full", SOCK_SEQPACKET, 0);

  /* Takes the only place; then nobody accepts. */
  filler = g_initable_new (IO_TYPE_CONNECTION, NULL, &error, "name", "full",
                           "timeout", (gint64) 10000, NULL);
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_RESPONDING);
  check_connect ("full", IO_STREAM_ERROR_NOT_RESPONDING);
  close (fd);
}

/* The place gets free while the client waits for it. */
static void
test_name_backlog_frees (gconstpointer data)
{
  g_autofree char *path = _io_names_dup_socket_path ("busy", NULL);
  struct sockaddr_un address = { AF_UNIX };
  g_autoptr (IOConnection) connection = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  Waiter waiter = { NULL, TRUE };
  Owner first = { 0 }, second = { 0 };
  int filler;

  first.listener = second.listener = listen_at ("busy", SOCK_SEQPACKET, 0);
  filler = socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  g_strlcpy (address.sun_path, path, sizeof address.sun_path);
  g_assert_no_errno (connect (filler, (struct sockaddr *) &address, sizeof address));

  connection = g_object_new (IO_TYPE_CONNECTION, "name", "busy", NULL);
  if (GPOINTER_TO_INT (data))
    {
      io_connection_open_async (connection, 0, NULL, ready_cb, &waiter);
      g_assert_false (io_connection_is_connected (connection));
      owner_start (&first, BEHAVE, 0);
      owner_start (&second, BEHAVE, 0);
      result = wait_for (&waiter);
      g_assert_true (io_connection_open_finish (connection, result, &error));
    }
  else
    {
      owner_start (&first, BEHAVE, 0);
      owner_start (&second, BEHAVE, 0);
      g_assert_true (io_connection_open (connection, 0, NULL, &error));
    }
  g_assert_no_error (error);
  g_clear_object (&result);
  close (filler);
  g_assert_finalize_object (g_steal_pointer (&connection));
  g_thread_join (first.thread);
  g_thread_join (second.thread);
  close (first.listener);
}

static void
test_name_own_thread (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (IOConnection) connection = NULL;
  IONameClaim *claim = _io_names_claim ("myself", g_main_context_default (), &error);

  g_assert_no_error (error);
  connection = io_connection_new_for_name ("myself", NULL, &error);
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_CANNOT_LOCK);
  g_assert_null (connection);
  _io_names_release (claim);
}

static void
test_nothing_to_connect_to (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (IOConnection) connection = g_object_new (IO_TYPE_CONNECTION, NULL);

  g_assert_false (io_connection_open (connection, 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
  g_clear_error (&error);
  g_assert_null (_io_connection_call (connection, IO_OPCODE_GET_MODE, NULL, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN);
  g_clear_error (&error);
  io_connection_hang_up (connection);
  g_assert_false (io_connection_open (connection, 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN);
}

static void
test_wrong_socket (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocket) socket = NULL;
  g_autoptr (IOConnection) connection = NULL;

  socket = g_socket_new (G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, 0, &error);
  connection = g_initable_new (IO_TYPE_CONNECTION, NULL, &error, "socket", socket, NULL);
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
  g_assert_null (connection);
  g_clear_error (&error);

  /* It was taken over all the same. */
  g_assert_true (g_socket_is_closed (socket));
  connection = g_initable_new (IO_TYPE_CONNECTION, NULL, &error, "socket", socket, NULL);
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN);
}

/* Out of descriptors, in a process of its own. */
static void
test_no_descriptors (void)
{
  struct rlimit limit;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = NULL;
  Fixture f;
  int fd;

  if (!g_test_subprocess ())
    {
      g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
      g_test_trap_assert_passed ();
      return;
    }

  set_up (&f, BEHAVE, 0);
  g_assert_true (g_initable_init (G_INITABLE (f.client), NULL, &error));
  getrlimit (RLIMIT_NOFILE, &limit);
  fd = dup (0);
  close (fd);
  limit.rlim_cur = fd;
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &limit));
  g_assert_null (_io_connection_call (f.connection, IO_OPCODE_GET_MEMORY,
                                      g_variant_new ("(u)", 1), NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES);
  g_clear_error (&error);
  g_assert_null (io_connection_new_for_name ("nobody", NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES);
  g_clear_error (&error);

  limit.rlim_cur = limit.rlim_max;
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &limit));
  value = _io_connection_call (f.connection, IO_OPCODE_GET_MEMORY, g_variant_new ("(u)", 1),
                               NULL, &error);
  g_assert_no_error (error);
  tear_down (&f);
}

static void
remove_directory (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *file = g_build_filename (path, name, NULL);

      g_unlink (file);
    }
  g_rmdir (path);
}

static void
add_both (const char        *path,
          GTestDataFunc      func)
{
  g_autofree char *sync = g_strconcat (path, "/sync", NULL);
  g_autofree char *async = g_strconcat (path, "/async", NULL);

  g_test_add_data_func (sync, GINT_TO_POINTER (FALSE), func);
  g_test_add_data_func (async, GINT_TO_POINTER (TRUE), func);
}

int
main (int   argc,
      char *argv[])
{
  g_autofree char *dir = g_dir_make_tmp ("iostream-XXXXXX", NULL);
  int result;

  g_setenv ("IOSTREAM_RUNTIME_DIR", dir, TRUE);
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/connection/properties", test_properties);
  add_both ("/connection/open-close", test_open_close);
  g_test_add_func ("/connection/init-async", test_init_async);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *path = g_strconcat ("/connection/bad-open/", cases[i].name, NULL);

      g_test_add_data_func (path, &cases[i], test_bad_open);
    }
  add_both ("/connection/step-fails", test_step_fails);
  add_both ("/connection/late-answer", test_late_answer);
  g_test_add_func ("/connection/answered-twice", test_answered_twice);
  add_both ("/connection/close-fails", test_close_fails);
  g_test_add_func ("/connection/close-lost", test_close_lost);
  g_test_add_func ("/connection/cancel", test_cancel);
  g_test_add_func ("/connection/cancel-soon", test_cancel_soon);
  g_test_add_func ("/connection/cancel-sync-call", test_cancel_sync_call);
  add_both ("/connection/answer-then-death", test_answer_then_death);
  add_both ("/connection/reset", test_reset);
  g_test_add_func ("/connection/poll", test_poll);
  g_test_add_func ("/connection/too-many-calls", test_too_many_calls);
  g_test_add_func ("/connection/async-timeout", test_async_timeout);
  g_test_add_func ("/connection/hang-up", test_hang_up);
  g_test_add_func ("/connection/hang-up-lost", test_hang_up_lost);
  g_test_add_func ("/connection/fail", test_fail);
  g_test_add_func ("/connection/drop-in-handler", test_drop_in_handler);
  g_test_add_func ("/connection/drop-in-callback", test_drop_in_callback);
  g_test_add_func ("/connection/call-in-callback", test_call_in_callback);
  g_test_add_func ("/connection/fork", test_fork);
  g_test_add_func ("/connection/name", test_name);
  g_test_add_func ("/connection/name-missing", test_name_missing);
  g_test_add_func ("/connection/name-other-type", test_name_other_type);
  g_test_add_func ("/connection/name-not-permitted", test_name_not_permitted);
  g_test_add_func ("/connection/name-backlog", test_name_backlog);
  add_both ("/connection/name-backlog-frees", test_name_backlog_frees);
  g_test_add_func ("/connection/name-own-thread", test_name_own_thread);
  g_test_add_func ("/connection/nothing-to-connect-to", test_nothing_to_connect_to);
  g_test_add_func ("/connection/wrong-socket", test_wrong_socket);
  g_test_add_func ("/connection/no-descriptors", test_no_descriptors);

  result = g_test_run ();
  remove_directory (dir);

  return result;
}
