/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "service-util.h"
#include "clock-util.h"

#include <libiostream/io-buffer-memory-descriptor.h>

#include "libiostream/io-memory-backing-private.h"

/* A kind of user client that does what the test says. */
#define TEST_TYPE_CLIENT (test_client_get_type ())
G_DECLARE_FINAL_TYPE (TestClient, test_client, TEST, CLIENT, IOUserClient)

struct _TestClient {
  IOUserClient        parent_instance;

  IOMemoryDescriptor *memory;
  IOMemoryMapFlags    flags;
  guint               n_closed;
  guint               n_died;
  gboolean            chain_died;
};

G_DEFINE_FINAL_TYPE (TestClient, test_client, IO_TYPE_USER_CLIENT)

static void
test_client_client_close (IOUserClient *client)
{
  /* The service is still there to be asked. */
  g_assert_nonnull (io_user_client_get_service (client));
  g_assert_false (io_user_client_is_connected (client));
  TEST_CLIENT (client)->n_closed++;
}

static void
test_client_client_died (IOUserClient *client)
{
  TestClient *self = TEST_CLIENT (client);

  self->n_died++;
  if (self->chain_died)
    IO_USER_CLIENT_CLASS (test_client_parent_class)->client_died (client);
}

static IOMemoryDescriptor *
test_client_client_memory_for_type (IOUserClient      *client,
                                    guint              type,
                                    IOMemoryMapFlags  *flags,
                                    GError           **error)
{
  TestClient *self = TEST_CLIENT (client);

  if (type == 1)
    {
      *flags = self->flags;
      return g_object_ref (self->memory);
    }
  if (type == 2)
    return NULL;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND, "No memory %u", type);
  return NULL;
}

static GVariant *
test_client_call (IOUserClient  *client,
                  IOOpcode       opcode,
                  GVariant      *args,
                  GUnixFDList  **fds,
                  GError       **error)
{
  switch ((int) opcode)
    {
    case IO_OPCODE_OPEN:
      if (!io_service_open (io_user_client_get_service (client), client, 0, error))
        return NULL;
      return g_variant_new_parsed ("({'answer': <uint32 42>},)");
    case IO_OPCODE_CLOSE:
      io_service_close (io_user_client_get_service (client), client, 0);
      return g_variant_new ("()");
    case IO_OPCODE_START:
      io_user_client_terminate (client, NULL);
      return g_variant_new ("()");
    case IO_OPCODE_STOP:
      _io_user_client_violation (client, "It asked for %s", "it");
      return g_variant_new ("()");
    case IO_OPCODE_SUSPEND:
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_BUSY, "Foreign");
      return NULL;
    case IO_OPCODE_GET_MODE:
      return NULL;
    case IO_OPCODE_SET_MODE:
      _io_user_client_send_event (client, IO_OPCODE_TERMINATED, g_variant_new ("(us)", 1, ""));
      return g_variant_new ("()");
    case IO_OPCODE_GET_BUFFER_COUNT:
      return g_variant_new ("(u)", 7);
    case IO_OPCODE_GET_BUFFERS:
      return g_variant_new_parsed ("(uint32 1, uint32 2, @a(uttutt) [])");
    default:
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_UNSUPPORTED, "No call %u", opcode);
      return NULL;
    }
}

static void
test_client_finalize (GObject *object)
{
  g_clear_object (&TEST_CLIENT (object)->memory);
  G_OBJECT_CLASS (test_client_parent_class)->finalize (object);
}

static void
test_client_class_init (TestClientClass *klass)
{
  IOUserClientClass *client_class = IO_USER_CLIENT_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = test_client_finalize;
  client_class->client_close = test_client_client_close;
  client_class->client_died = test_client_client_died;
  client_class->client_memory_for_type = test_client_client_memory_for_type;
}

static void
test_client_init (TestClient *self)
{
  _io_user_client_set_call_func (IO_USER_CLIENT (self), test_client_call);
}

#define TEST_TYPE_SERVICE (test_service_get_type ())
G_DECLARE_FINAL_TYPE (TestService, test_service, TEST, SERVICE, IOService)

struct _TestService {
  IOService parent_instance;
};

G_DEFINE_FINAL_TYPE (TestService, test_service, IO_TYPE_SERVICE)

static IOUserClient *
test_service_new_user_client (IOService  *service,
                              GVariant   *options,
                              GError    **error)
{
  return g_object_new (TEST_TYPE_CLIENT, NULL);
}

static void
test_service_class_init (TestServiceClass *klass)
{
  IO_SERVICE_CLASS (klass)->new_user_client = test_service_new_user_client;
}

static void
test_service_init (TestService *self)
{
}

/* A service, and the one client it has. */
typedef struct {
  IOService  *service;
  TestClient *client;
  int         fd;
} Pair;

static Pair
make_pair (void)
{
  Pair pair;
  g_autoptr (GError) error = NULL;

  pair.service = g_object_new (TEST_TYPE_SERVICE, "name", "one", NULL);
  io_service_register (pair.service, &error);
  g_assert_no_error (error);
  pair.fd = raw_client ("one");
  pair.client = g_object_ref (_io_service_peek_clients (pair.service)->data);

  return pair;
}

static void
end_pair (Pair *pair)
{
  if (pair->fd >= 0)
    close (pair->fd);
  settle ();
  g_assert_false (io_user_client_is_connected (IO_USER_CLIENT (pair->client)));
  g_assert_null (io_user_client_get_service (IO_USER_CLIENT (pair->client)));
  g_assert_null (_io_service_peek_clients (pair->service));
  io_service_terminate (pair->service);
  g_assert_finalize_object (pair->client);
  g_assert_finalize_object (pair->service);
}

static void
count_cb (GObject    *object,
          GParamSpec *pspec,
          gpointer    user_data)
{
  ++*(guint *) user_data;
}

static void
test_properties (Fixture       *fixture,
                 gconstpointer  data)
{
  Pair pair = make_pair ();
  IOUserClient *client = IO_USER_CLIENT (pair.client);
  gboolean connected = FALSE;
  gboolean read_only = TRUE;
  guint n_connected = 0;
  guint n_read_only = 0;

  g_signal_connect (client, "notify::connected", G_CALLBACK (count_cb), &n_connected);
  g_signal_connect (client, "notify::read-only", G_CALLBACK (count_cb), &n_read_only);
  g_object_get (client, "connected", &connected, "read-only", &read_only, NULL);
  g_assert_true (connected);
  g_assert_false (read_only);
  g_assert_cmpstr (io_user_client_get_client_name (client), ==, "test");
  g_assert_cmpint (io_user_client_get_pid (client), ==, getpid ());

  io_user_client_set_read_only (client, FALSE);
  g_assert_cmpuint (n_read_only, ==, 0);
  io_user_client_set_read_only (client, TRUE);
  g_assert_true (io_user_client_get_read_only (client));
  g_object_set (client, "read-only", FALSE, NULL);
  g_assert_cmpuint (n_read_only, ==, 2);

  g_assert_cmpuint (_io_user_client_get_max_buffers (client), ==, IO_STREAM_MAX_BUFFERS);
  g_assert_true (_io_user_client_charge (client, IO_CHARGE_STREAM, G_MAXUINT64, "test", NULL));
  _io_user_client_discharge (client, IO_CHARGE_STREAM);
  io_user_client_set_limits (client, 3, 4096);
  g_assert_cmpuint (_io_user_client_get_max_buffers (client), ==, 3);
  g_assert_true (_io_user_client_charge (client, IO_CHARGE_STREAM, 4000, "test", NULL));
  g_assert_true (_io_user_client_charge (client, IO_CHARGE_TRANSFER, 96, "test", NULL));
  g_assert_false (_io_user_client_charge (client, IO_CHARGE_TRANSFER, 97, "test", NULL));
  g_assert_false (_io_user_client_charge (client, IO_CHARGE_INTERRUPTS, G_MAXUINT64, "test", NULL));
  g_assert_true (_io_user_client_charge (client, IO_CHARGE_STREAM, 3000, "test", NULL));
  g_assert_true (_io_user_client_charge (client, IO_CHARGE_TRANSFER, 1096, "test", NULL));
  /* What is there already may get less, whatever the limit has become. */
  io_user_client_set_limits (client, 3, 10);
  g_assert_true (_io_user_client_charge (client, IO_CHARGE_TRANSFER, 1000, "test", NULL));
  g_assert_false (_io_user_client_charge (client, IO_CHARGE_INTERRUPTS, 1, "test", NULL));

  end_pair (&pair);
  g_assert_cmpuint (n_connected, ==, 1);
}

static void
test_client_name (Fixture       *fixture,
                  gconstpointer  data)
{
  IOService *service = new_registered ("one");
  g_autofree char *long_name = g_strnfill (1000, 'n');
  IOUserClient *client;
  int fd = raw_connect ("one");

  raw_assert_call (fd, IO_OPCODE_HELLO, hello_args (1, "a\nb\x1b[31mc ü"));
  client = _io_service_peek_clients (service)->data;
  g_assert_cmpstr (io_user_client_get_client_name (client), ==, "a?b?[31mc ü");
  close (fd);
  settle ();

  fd = raw_connect ("one");
  raw_assert_call (fd, IO_OPCODE_HELLO, hello_args (1, long_name));
  client = _io_service_peek_clients (service)->data;
  g_assert_cmpuint (strlen (io_user_client_get_client_name (client)), ==, 128);
  close (fd);
  settle ();
  finish (service);
}

static void
test_calls (Fixture       *fixture,
            gconstpointer  data)
{
  Pair pair = make_pair ();
  g_autoptr (GVariant) opened = NULL;
  g_autoptr (GVariant) count = NULL;
  g_autoptr (GVariant) options = NULL;
  g_autoptr (GError) error = NULL;
  guint number = 0;

  opened = raw_call (pair.fd, IO_OPCODE_OPEN, open_args (0), NULL);
  g_variant_get (opened, "(@a{sv})", &options);
  g_assert_true (g_variant_lookup (options, "answer", "u", &number));
  g_assert_cmpuint (number, ==, 42);
  count = raw_call (pair.fd, IO_OPCODE_GET_BUFFER_COUNT, NULL, NULL);
  g_variant_get (count, "(u)", &number);
  g_assert_cmpuint (number, ==, 7);

  raw_assert_call_fails (pair.fd, IO_OPCODE_READY, NULL, IO_STREAM_ERROR_UNSUPPORTED);
  raw_assert_call_fails (pair.fd, IO_OPCODE_SUSPEND, NULL, IO_STREAM_ERROR_FAILED);
  g_assert_null (raw_call (pair.fd, IO_OPCODE_GET_MODE, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED);
  g_assert_nonnull (strstr (error->message, "TestClient"));

  end_pair (&pair);
}

/* A plain user client has no streams to start. */
static void
test_plain (Fixture       *fixture,
            gconstpointer  data)
{
  IOService *service = new_registered ("one");
  int fd = raw_client ("one");

  raw_assert_call_fails (fd, IO_OPCODE_START, NULL, IO_STREAM_ERROR_UNSUPPORTED);
  raw_assert_call_fails (fd, IO_OPCODE_GET_MEMORY, g_variant_new ("(u)", 1),
                         IO_STREAM_ERROR_UNSUPPORTED);
  raw_assert_call (fd, IO_OPCODE_CLOSE, NULL);
  close (fd);
  settle ();
  finish (service);
}

/* Wrong calls get an answer, and do no harm. */
static void
test_wrong_calls (Fixture       *fixture,
                  gconstpointer  data)
{
  Pair pair = make_pair ();
  g_autoptr (GError) unknown = NULL;
  g_autoptr (GError) wrong = NULL;
  guint8 packet[IO_PROTOCOL_HEADER_SIZE + 3] = { 0 };
  IOPacketHeader header = { 1, IO_PACKET_CALL, 1000, 5, 0, 3 };

  memcpy (packet, &header, sizeof header);
  g_assert_true (raw_send_bytes (pair.fd, packet, sizeof packet));
  g_assert_null (raw_answer (pair.fd, 1000, 5, NULL, &unknown));
  g_assert_error (unknown, IO_STREAM_ERROR, IO_STREAM_ERROR_UNSUPPORTED);

  header.opcode = IO_OPCODE_SET_MODE;
  memcpy (packet, &header, sizeof header);
  g_assert_true (raw_send_bytes (pair.fd, packet, sizeof packet));
  g_assert_null (raw_answer (pair.fd, IO_OPCODE_SET_MODE, 5, NULL, &wrong));
  g_assert_error (wrong, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);

  raw_assert_call (pair.fd, IO_OPCODE_GET_ATTRIBUTES, NULL);
  g_assert_cmpuint (_io_service_get_violations (pair.service), ==, 0);
  end_pair (&pair);
}

/* Whatever breaks the protocol ends the connection, with a reason. */
static void
assert_violation (const void *bytes,
                  gsize       size,
                  int         code)
{
  Pair pair = make_pair ();
  g_autoptr (GError) error = NULL;

  raw_assert_call (pair.fd, IO_OPCODE_OPEN, open_args (0));
  g_assert_true (raw_send_bytes (pair.fd, bytes, size));
  g_assert_null (raw_answer (pair.fd, 0, 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, code);
  raw_assert_end (pair.fd);
  g_assert_cmpuint (_io_service_get_violations (pair.service), ==, 1);
  g_assert_cmpuint (pair.client->n_closed, ==, 1);
  g_assert_cmpuint (pair.client->n_died, ==, 0);
  g_assert_false (io_service_is_open (pair.service, NULL));
  end_pair (&pair);
}

static void
test_violations (Fixture       *fixture,
                 gconstpointer  data)
{
  static const guint8 zeros[IO_PROTOCOL_MAX_PACKET + 1];
  g_autoptr (GError) error = g_error_new (IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY, "No");
  g_autoptr (GBytes) reply = _io_packet_build_error (IO_OPCODE_START, 1, error);
  g_autoptr (GBytes) event = _io_packet_build (IO_PACKET_EVENT, IO_OPCODE_TERMINATED, 0, 0,
                                               g_variant_new ("(us)", 1, ""), NULL);
  g_autoptr (GBytes) call = _io_packet_build (IO_PACKET_CALL, IO_OPCODE_START, 1, 0, NULL, NULL);

  assert_violation ("x", 1, IO_STREAM_ERROR_IPC_ERROR);
  assert_violation (zeros, IO_PROTOCOL_MAX_PACKET, IO_STREAM_ERROR_IPC_ERROR);
  assert_violation (zeros, IO_PROTOCOL_MAX_PACKET + 1, IO_STREAM_ERROR_MESSAGE_TOO_LARGE);
  assert_violation (g_bytes_get_data (reply, NULL), g_bytes_get_size (reply),
                    IO_STREAM_ERROR_IPC_ERROR);
  assert_violation (g_bytes_get_data (event, NULL), g_bytes_get_size (event),
                    IO_STREAM_ERROR_IPC_ERROR);
  assert_violation (g_bytes_get_data (call, NULL), g_bytes_get_size (call) - 1,
                    IO_STREAM_ERROR_IPC_ERROR);
}

static void
test_violation_in_call (Fixture       *fixture,
                        gconstpointer  data)
{
  Pair pair = make_pair ();
  g_autoptr (GError) error = NULL;

  g_assert_null (raw_call (pair.fd, IO_OPCODE_STOP, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR);
  g_assert_cmpstr (error->message, ==, "It asked for it");
  g_assert_cmpuint (_io_service_get_violations (pair.service), ==, 1);
  /* once it is over, nothing counts any more */
  _io_user_client_violation (IO_USER_CLIENT (pair.client), "Again");
  g_assert_cmpuint (_io_service_get_violations (pair.service), ==, 1);
  end_pair (&pair);
}

static void
test_terminate_in_call (Fixture       *fixture,
                        gconstpointer  data)
{
  Pair pair = make_pair ();
  g_autoptr (GError) error = NULL;

  raw_assert_call (pair.fd, IO_OPCODE_OPEN, open_args (0));
  g_assert_null (raw_call (pair.fd, IO_OPCODE_START, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, 0);
  raw_assert_end (pair.fd);
  g_assert_cmpuint (pair.client->n_closed, ==, 1);
  end_pair (&pair);
}

static void
test_terminate (Fixture       *fixture,
                gconstpointer  data)
{
  Pair pair = make_pair ();
  g_autofree char *long_text = g_strnfill (10000, 'x');
  g_autoptr (GError) reason = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_BUSY, long_text);
  g_autoptr (GError) error = NULL;

  io_user_client_terminate (IO_USER_CLIENT (pair.client), reason);
  io_user_client_terminate (IO_USER_CLIENT (pair.client), reason);
  g_assert_null (raw_answer (pair.fd, 0, 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED);
  g_assert_cmpuint (pair.client->n_closed, ==, 1);
  g_assert_cmpuint (pair.client->n_died, ==, 0);
  end_pair (&pair);
}

/* What the end is called: died with it open, closed otherwise. */
static void
test_ends (Fixture       *fixture,
           gconstpointer  data)
{
  Pair pair = make_pair ();

  end_pair (&pair);

  pair = make_pair ();
  close (pair.fd);
  pair.fd = -1;
  settle ();
  g_assert_cmpuint (pair.client->n_closed, ==, 1);
  g_assert_cmpuint (pair.client->n_died, ==, 0);
  end_pair (&pair);

  pair = make_pair ();
  raw_assert_call (pair.fd, IO_OPCODE_OPEN, open_args (0));
  close (pair.fd);
  pair.fd = -1;
  settle ();
  g_assert_cmpuint (pair.client->n_closed, ==, 0);
  g_assert_cmpuint (pair.client->n_died, ==, 1);
  end_pair (&pair);

  /* the default chains from one to the other */
  pair = make_pair ();
  pair.client->chain_died = TRUE;
  raw_assert_call (pair.fd, IO_OPCODE_OPEN, open_args (0));
  close (pair.fd);
  pair.fd = -1;
  settle ();
  g_assert_cmpuint (pair.client->n_closed, ==, 1);
  g_assert_cmpuint (pair.client->n_died, ==, 1);
  end_pair (&pair);
}

/* Closed in its last words, and gone before it read the answers. */
static void
test_last_words (Fixture       *fixture,
                 gconstpointer  data)
{
  Pair pair = make_pair ();

  raw_send (pair.fd, IO_OPCODE_OPEN, 1, open_args (0));
  raw_send (pair.fd, IO_OPCODE_GET_ATTRIBUTES, 2, NULL);
  raw_send (pair.fd, IO_OPCODE_CLOSE, 3, NULL);
  close (pair.fd);
  pair.fd = -1;
  settle ();
  g_assert_cmpuint (pair.client->n_closed, ==, 1);
  g_assert_cmpuint (pair.client->n_died, ==, 0);
  end_pair (&pair);

  /* With answers unread in its socket, the kernel says "reset" first. */
  pair = make_pair ();
  raw_assert_call (pair.fd, IO_OPCODE_OPEN, open_args (0));
  raw_send (pair.fd, IO_OPCODE_GET_ATTRIBUTES, 2, NULL);
  settle ();
  raw_send (pair.fd, IO_OPCODE_CLOSE, 3, NULL);
  close (pair.fd);
  pair.fd = -1;
  settle ();
  g_assert_cmpuint (pair.client->n_closed, ==, 1);
  g_assert_cmpuint (pair.client->n_died, ==, 0);
  end_pair (&pair);
}

static void
test_events (Fixture       *fixture,
             gconstpointer  data)
{
  Pair pair = make_pair ();
  g_autoptr (GVariant) event = NULL;
  g_autoptr (GVariant) answer = NULL;
  IOPacketHeader header;

  /* in order with the answers */
  raw_send (pair.fd, IO_OPCODE_SET_MODE, 8, g_variant_new ("(u)", 1));
  event = raw_receive (pair.fd, &header, NULL);
  g_assert_cmpuint (header.kind, ==, IO_PACKET_EVENT);
  g_assert_cmpuint (header.opcode, ==, IO_OPCODE_TERMINATED);
  answer = raw_receive (pair.fd, &header, NULL);
  g_assert_cmpuint (header.kind, ==, IO_PACKET_REPLY);

  close (pair.fd);
  pair.fd = -1;
  settle ();
  _io_user_client_send_event (IO_USER_CLIENT (pair.client), IO_OPCODE_TERMINATED,
                              g_variant_new ("(us)", 1, ""));
  end_pair (&pair);
}

static gboolean
authorize_cb (IOService    *service,
              IOUserClient *client,
              gpointer      user_data)
{
  _io_user_client_send_event (client, IO_OPCODE_TERMINATED, g_variant_new ("(us)", 1, ""));
  return TRUE;
}

/* Nothing comes before the answer to hello. */
static void
test_events_before_hello (Fixture       *fixture,
                          gconstpointer  data)
{
  IOService *service = new_registered ("one");
  g_autoptr (GVariant) body = NULL;
  IOPacketHeader header;
  int fd = raw_connect ("one");

  g_signal_connect (service, "authorize", G_CALLBACK (authorize_cb), NULL);
  raw_send (fd, IO_OPCODE_HELLO, 1, hello_args (1, "x"));
  body = raw_receive (fd, &header, NULL);
  g_assert_cmpuint (header.kind, ==, IO_PACKET_REPLY);
  close (fd);
  settle ();
  finish (service);
}

/* It does not read: a bounded number of events is kept, then it is cut off. */
static void
test_not_reading (Fixture       *fixture,
                  gconstpointer  data)
{
  Pair pair = make_pair ();
  IOUserClient *client = IO_USER_CLIENT (pair.client);
  guint sent = 0;
  guint got = 0;
  guint8 buffer[4096];

  while (io_user_client_is_connected (client))
    {
      _io_user_client_send_event (client, IO_OPCODE_TERMINATED, g_variant_new ("(us)", sent, ""));
      sent++;
      settle ();
      g_assert_cmpuint (sent, <, 10000);
    }
  while (recv (pair.fd, buffer, sizeof buffer, 0) > 0)
    got++;
  g_assert_cmpuint (got, >=, sent - IO_CHANNEL_MAX_EVENTS - 1);
  g_assert_cmpuint (got, <, sent);
  g_assert_cmpuint (pair.client->n_closed, ==, 1);
  end_pair (&pair);
}

/* Events that had to wait come later, in order. */
static void
test_slow_reader (Fixture       *fixture,
                  gconstpointer  data)
{
  Pair pair = make_pair ();
  IOUserClient *client = IO_USER_CLIENT (pair.client);
  int size = 1;
  guint n = 0;

  /* As little room as the kernel allows, so that it fills soon. */
  {
    int owner_fd = -1;

    for (int fd = 3; fd < 1024; fd++)
      {
        struct sockaddr_un address;
        socklen_t length = sizeof address;

        if (fd != pair.fd && getsockname (fd, (struct sockaddr *) &address, &length) == 0 &&
            setsockopt (fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0)
          owner_fd = fd;
      }
    g_assert_cmpint (owner_fd, >=, 0);
  }

  for (guint i = 0; i < IO_CHANNEL_MAX_EVENTS; i++)
    _io_user_client_send_event (client, IO_OPCODE_TERMINATED, g_variant_new ("(us)", i, ""));
  /* Nothing is read from it meanwhile: the call waits in the kernel. */
  raw_send (pair.fd, IO_OPCODE_GET_BUFFER_COUNT, 5, NULL);
  settle ();
  for (;;)
    {
      g_autoptr (GVariant) body = NULL;
      IOPacketHeader header;
      guint number;

      body = raw_receive (pair.fd, &header, NULL);
      g_assert_nonnull (body);
      if (header.kind == IO_PACKET_REPLY)
        break;
      g_variant_get (body, "(u&s)", &number, NULL);
      g_assert_cmpuint (number, ==, n++);
    }
  g_assert_cmpuint (n, ==, IO_CHANNEL_MAX_EVENTS);
  g_assert_true (io_user_client_is_connected (client));
  end_pair (&pair);
}

/* Calls whose answers are never read: the owner keeps one answer. */
static void
test_answers_not_read (Fixture       *fixture,
                       gconstpointer  data)
{
  Pair pair = make_pair ();
  guint sent = 0;

  for (;;)
    {
      if (raw_send (pair.fd, IO_OPCODE_GET_ATTRIBUTES, 1, NULL))
        sent++;
      else if (errno == EAGAIN)
        {
          guint before = sent;

          settle ();
          if (raw_send (pair.fd, IO_OPCODE_GET_ATTRIBUTES, 1, NULL))
            sent++;
          if (sent == before)
            break;
        }
      else
        break;
      g_assert_cmpuint (sent, <, IO_CHANNEL_CALLS_BURST * 2);
    }
  g_assert_true (io_user_client_is_connected (IO_USER_CLIENT (pair.client)));
  end_pair (&pair);
}

static void
test_too_many_calls (Fixture       *fixture,
                     gconstpointer  data)
{
  Pair pair = make_pair ();
  g_autoptr (GError) error = NULL;
  guint calls = 0;

  stop_clock ();
  while (error == NULL)
    {
      g_autoptr (GVariant) result = NULL;

      if (!raw_send (pair.fd, IO_OPCODE_GET_BUFFER_COUNT, 1, NULL))
        g_assert_cmpint (errno, ==, EPIPE);
      result = raw_answer (pair.fd, IO_OPCODE_GET_BUFFER_COUNT, 1, NULL, &error);
      calls++;
      g_assert_cmpuint (calls, <=, IO_CHANNEL_CALLS_BURST + 10);
    }
  resume_clock ();
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR);
  g_assert_cmpuint (calls, >=, IO_CHANNEL_CALLS_BURST - 10);
  end_pair (&pair);
}

/* While one floods, another gets its turn. */
static void
test_fair (Fixture       *fixture,
           gconstpointer  data)
{
  Pair pair = make_pair ();
  int other = raw_client ("one");
  guint8 buffer[4096];
  guint sent = 0;
  guint answered = 0;

  while (sent < 200 && raw_send (pair.fd, IO_OPCODE_GET_BUFFER_COUNT, 1, NULL))
    sent++;
  raw_send (other, IO_OPCODE_GET_BUFFER_COUNT, 1, NULL);
  while (recv (other, buffer, sizeof buffer, 0) < 0)
    g_main_context_iteration (NULL, TRUE);
  while (recv (pair.fd, buffer, sizeof buffer, 0) > 0)
    answered++;
  g_assert_cmpuint (answered, <=, 64);

  close (other);
  end_pair (&pair);
}

/* Descriptors that a client sends never arrive. */
static void
test_descriptors_dropped (Fixture       *fixture,
                          gconstpointer  data)
{
  Pair pair = make_pair ();
  g_autoptr (GBytes) packet = _io_packet_build (IO_PACKET_CALL, IO_OPCODE_GET_BUFFER_COUNT, 5, 0,
                                                NULL, NULL);
  union { char bytes[CMSG_SPACE (10 * sizeof (int))]; struct cmsghdr align; } control;
  struct iovec vector = { (gpointer) g_bytes_get_data (packet, NULL), g_bytes_get_size (packet) };
  struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1,
                            .msg_control = &control, .msg_controllen = sizeof control };
  struct cmsghdr *cmsg;
  int pipe_fds[2];
  int sent[10];
  guint8 byte;
  guint before = count_fds ();

  g_assert_cmpint (pipe2 (pipe_fds, O_CLOEXEC), ==, 0);
  for (guint i = 0; i < G_N_ELEMENTS (sent); i++)
    sent[i] = pipe_fds[1];
  memset (&control, 0, sizeof control);
  cmsg = CMSG_FIRSTHDR (&message);
  cmsg->cmsg_level = SOL_SOCKET;
  cmsg->cmsg_type = SCM_RIGHTS;
  cmsg->cmsg_len = CMSG_LEN (sizeof sent);
  memcpy (CMSG_DATA (cmsg), sent, sizeof sent);

  g_assert_cmpint (sendmsg (pair.fd, &message, MSG_NOSIGNAL), ==, g_bytes_get_size (packet));
  close (pipe_fds[1]);
  g_variant_unref (raw_answer (pair.fd, IO_OPCODE_GET_BUFFER_COUNT, 5, NULL, NULL));
  /* nobody has the other end of the pipe any more */
  g_assert_cmpint (read (pipe_fds[0], &byte, 1), ==, 0);
  close (pipe_fds[0]);
  g_assert_cmpuint (count_fds (), ==, before);
  end_pair (&pair);
}

static void
test_memory (Fixture       *fixture,
             gconstpointer  data)
{
  Pair pair = make_pair ();
  g_autoptr (GVariant) reply = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (IOMemoryBacking) backing = NULL;
  IOMemoryBacking *owned = _io_memory_backing_new ("test", 8192, IO_STREAM_PEER_ACCESS_READ,
                                                   &error);
  guint number, flags;
  guint64 offset, length, size;
  gboolean writable;
  int fd;

  g_assert_no_error (error);
  pair.client->memory = _io_memory_descriptor_new_for_backing (owned, 4096, 100,
                                                               IO_DIRECTION_IN_OUT);
  pair.client->flags = IO_MEMORY_MAP_READ_ONLY;
  raw_send (pair.fd, IO_OPCODE_GET_MEMORY, 5, g_variant_new ("(u)", 1));
  reply = raw_answer (pair.fd, IO_OPCODE_GET_MEMORY, 5, &fd, &error);
  g_assert_no_error (error);
  g_variant_get (reply, "(uutttb)", &number, &flags, &offset, &length, &size, &writable);
  g_assert_cmpuint (number, ==, _io_memory_backing_get_id (owned));
  g_assert_cmpuint (flags, ==, IO_MEMORY_MAP_READ_ONLY);
  g_assert_cmpuint (offset, ==, 4096);
  g_assert_cmpuint (length, ==, 100);
  g_assert_cmpuint (size, ==, 8192);
  g_assert_false (writable);
  g_assert_cmpint (fd, >=, 0);
  backing = _io_memory_backing_new_take_fd (fd, size, size, !writable, FALSE, &error);
  g_assert_no_error (error);

  raw_assert_call_fails (pair.fd, IO_OPCODE_GET_MEMORY, g_variant_new ("(u)", 2),
                         IO_STREAM_ERROR_FAILED);
  raw_assert_call_fails (pair.fd, IO_OPCODE_GET_MEMORY, g_variant_new ("(u)", 3),
                         IO_STREAM_ERROR_NOT_FOUND);
  _io_memory_backing_unref (owned);
  end_pair (&pair);
}

/* Read-only is what the kernel holds, or there is nothing. */
static void
test_memory_read_only (Fixture       *fixture,
                       gconstpointer  data)
{
  Pair pair = make_pair ();
  IOUserClient *client = IO_USER_CLIENT (pair.client);
  g_autoptr (GVariant) reply = NULL;
  g_autoptr (IOMemoryDescriptor) memory = NULL;
  g_autoptr (GError) error = NULL;
  IOMemoryBacking *owned = _io_memory_backing_new ("test", 4096, IO_STREAM_PEER_ACCESS_READ_WRITE,
                                                   &error);
  IOMemoryMapFlags flags = IO_MEMORY_MAP_NONE;
  gboolean writable = FALSE;
  int fd;

  pair.client->memory = _io_memory_descriptor_new_for_backing (owned, 0, 4096,
                                                               IO_DIRECTION_IN_OUT);
  raw_send (pair.fd, IO_OPCODE_GET_MEMORY, 5, g_variant_new ("(u)", 1));
  reply = raw_answer (pair.fd, IO_OPCODE_GET_MEMORY, 5, &fd, &error);
  g_assert_no_error (error);
  g_variant_get (reply, "(uutttb)", NULL, NULL, NULL, NULL, NULL, &writable);
  g_assert_true (writable);
  close (fd);

  io_user_client_set_read_only (client, TRUE);
  raw_assert_call_fails (pair.fd, IO_OPCODE_GET_MEMORY, g_variant_new ("(u)", 1),
                         IO_STREAM_ERROR_NOT_PERMITTED);
  memory = io_user_client_get_memory (client, 1, &flags, &error);
  g_assert_no_error (error);
  g_assert_true (memory == pair.client->memory);
  g_assert_cmpuint (flags, ==, IO_MEMORY_MAP_READ_ONLY);
  _io_memory_backing_unref (owned);
  end_pair (&pair);
}

/* Ten thousand packets of rubbish, from many connections: an honest neighbour
 * notices nothing, and nothing is left. */
static void
test_garbage (Fixture       *fixture,
              gconstpointer  data)
{
  Pair pair = make_pair ();
  guint8 bytes[IO_PROTOCOL_MAX_PACKET + 1];
  guint sent = 0;
  int fd = -1;

  while (sent < 10000)
    {
      gsize size = g_test_rand_int_range (1, sent % 50 ? 80 : (int) sizeof bytes + 1);

      if (fd < 0)
        fd = raw_client ("one");
      for (gsize i = 0; i < size; i++)
        bytes[i] = g_test_rand_int ();
      /* mostly with a header that is sound, to come further */
      if (sent % 8 && size > IO_PROTOCOL_HEADER_SIZE)
        {
          IOPacketHeader header = { 1, IO_PACKET_CALL, g_test_rand_int_range (0, 70), sent + 1, 0,
                                    size - IO_PROTOCOL_HEADER_SIZE };

          memcpy (bytes, &header, sizeof header);
        }
      if (!raw_send_bytes (fd, bytes, size) && errno != EAGAIN)
        {
          close (fd);
          fd = -1;
        }
      sent++;
      settle ();
      if (fd >= 0)
        {
          int got = recv (fd, bytes, sizeof bytes, 0);

          while (got > 0)
            got = recv (fd, bytes, sizeof bytes, 0);
          if (got == 0)
            {
              close (fd);
              fd = -1;
            }
        }
      if (sent % 500 == 0)
        raw_assert_call (pair.fd, IO_OPCODE_GET_BUFFER_COUNT, NULL);
    }

  if (fd >= 0)
    close (fd);
  settle ();
  g_assert_cmpuint (g_list_length (_io_service_peek_clients (pair.service)), ==, 1);
  end_pair (&pair);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  ADD ("/user-client/properties", test_properties);
  ADD ("/user-client/client-name", test_client_name);
  ADD ("/user-client/calls", test_calls);
  ADD ("/user-client/plain", test_plain);
  ADD ("/user-client/wrong-calls", test_wrong_calls);
  ADD ("/user-client/violations", test_violations);
  ADD ("/user-client/violation-in-call", test_violation_in_call);
  ADD ("/user-client/terminate-in-call", test_terminate_in_call);
  ADD ("/user-client/terminate", test_terminate);
  ADD ("/user-client/ends", test_ends);
  ADD ("/user-client/last-words", test_last_words);
  ADD ("/user-client/events", test_events);
  ADD ("/user-client/events-before-hello", test_events_before_hello);
  ADD ("/user-client/not-reading", test_not_reading);
  ADD ("/user-client/slow-reader", test_slow_reader);
  ADD ("/user-client/answers-not-read", test_answers_not_read);
  ADD ("/user-client/too-many-calls", test_too_many_calls);
  ADD ("/user-client/fair", test_fair);
  ADD ("/user-client/descriptors-dropped", test_descriptors_dropped);
  ADD ("/user-client/memory", test_memory);
  ADD ("/user-client/memory-read-only", test_memory_read_only);
  ADD ("/user-client/garbage", test_garbage);

  return g_test_run ();
}
