/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Seizing, messages, interest, attributes that are watched and set, and the end
 * in order. The owner is seen through clients that know only the protocol, and
 * the client through one of its own process in another thread, or in another
 * process. */

#include "service-util.h"

#include "libiostream/io-connection.h"
#include "libiostream/io-work-loop.h"

#include <string.h>

#define FAMILY_MESSAGE (IO_SERVICE_MESSAGE_FAMILY + 5)

/* A service that takes messages and lets clients set "gain". */

typedef struct {
  IOService  parent_instance;
  GString   *log;
} Talker;

typedef IOServiceClass TalkerClass;

static GType talker_get_type (void);

G_DEFINE_TYPE (Talker, talker, IO_TYPE_SERVICE)

static gboolean
talker_message (IOService     *service,
                guint          type,
                IOUserClient  *client,
                GVariant      *argument,
                GError       **error)
{
  g_autofree char *text = argument != NULL ? g_variant_print (argument, FALSE) : g_strdup ("-");

  g_string_append_printf (((Talker *) service)->log, "%x %s ", type, text);
  if (type != 0xffff)
    return TRUE;

  g_set_error_literal (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY, "Not this one");
  return FALSE;
}

static gboolean
talker_client_set_attribute (IOService     *service,
                             IOUserClient  *client,
                             const char    *key,
                             GVariant      *value,
                             GError       **error)
{
  if (strcmp (key, "gain") != 0)
    return FALSE;

  io_service_set_attribute (service, key, value);
  return TRUE;
}

static void
talker_finalize (GObject *object)
{
  g_string_free (((Talker *) object)->log, TRUE);
  G_OBJECT_CLASS (talker_parent_class)->finalize (object);
}

static void
talker_class_init (TalkerClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = talker_finalize;
  klass->message = talker_message;
  klass->client_set_attribute = talker_client_set_attribute;
}

static void
talker_init (Talker *self)
{
  self->log = g_string_new (NULL);
}

static IOService *
new_talker (IOWorkLoop *loop)
{
  IOService *service = g_object_new (talker_get_type (), "name", "one", "work-loop", loop, NULL);
  g_autoptr (GError) error = NULL;

  io_service_register (service, &error);
  g_assert_no_error (error);
  return service;
}

/* The protocol. */

static void
assert_message (int   fd,
                guint type)
{
  IOPacketHeader header;
  g_autoptr (GVariant) body = raw_receive (fd, &header, NULL);
  guint told;

  g_assert_nonnull (body);
  g_assert_cmpuint (header.opcode, ==, IO_OPCODE_MESSAGE);
  g_variant_get (body, "(umv)", &told, NULL);
  g_assert_cmphex (told, ==, type);
}

static void
assert_silent (int fd)
{
  struct pollfd poll_fd = { fd, POLLIN, 0 };

  settle ();
  g_assert_cmpint (poll (&poll_fd, 1, 0), ==, 0);
}

static void
assert_reply (int   fd,
              guint serial,
              guint status)
{
  IOPacketHeader header;
  g_autoptr (GVariant) body = raw_receive (fd, &header, NULL);

  g_assert_nonnull (body);
  g_assert_cmpuint (header.kind, ==, IO_PACKET_REPLY);
  g_assert_cmpuint (header.serial, ==, serial);
  g_assert_cmpuint (header.status, ==, status);
}

static void
assert_answered (int      fd,
                 IOOpcode opcode,
                 guint32  serial)
{
  g_autoptr (GVariant) answer = raw_answer (fd, opcode, serial, NULL, NULL);

  g_assert_nonnull (answer);
}

static void
test_seize (Fixture       *fixture,
            gconstpointer  data)
{
  IOService *service = new_registered ("one");
  int holder = raw_client ("one");
  int seizer = raw_client ("one");
  int third = raw_client ("one");

  io_service_set_close_timeout (service, -1);
  raw_assert_call (holder, IO_OPCODE_OPEN, open_args (0));
  assert_message (seizer, IO_SERVICE_MESSAGE_ATTEMPTING_OPEN);
  assert_message (third, IO_SERVICE_MESSAGE_ATTEMPTING_OPEN);

  /* an attempt that fails is announced as well */
  raw_assert_call_fails (third, IO_OPCODE_OPEN, open_args (0), IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  assert_message (holder, IO_SERVICE_MESSAGE_ATTEMPTING_OPEN);
  assert_message (seizer, IO_SERVICE_MESSAGE_ATTEMPTING_OPEN);

  raw_send (seizer, IO_OPCODE_OPEN, 7, open_args (IO_SERVICE_OPEN_SEIZE));
  assert_message (holder, IO_SERVICE_MESSAGE_ATTEMPTING_OPEN);
  assert_message (holder, IO_SERVICE_MESSAGE_REQUESTING_CLOSE);
  assert_message (third, IO_SERVICE_MESSAGE_ATTEMPTING_OPEN);
  assert_silent (seizer);
  /* the owner goes on, for the one who waits too */
  raw_assert_call (seizer, IO_OPCODE_GET_ATTRIBUTES, NULL);
  raw_assert_call_fails (seizer, IO_OPCODE_OPEN, open_args (0), IO_STREAM_ERROR_BUSY);
  assert_message (holder, IO_SERVICE_MESSAGE_ATTEMPTING_OPEN);

  raw_assert_call (holder, IO_OPCODE_CLOSE, NULL);
  assert_message (seizer, IO_SERVICE_MESSAGE_WAS_CLOSED);
  assert_reply (seizer, 7, 0);
  raw_assert_call (seizer, IO_OPCODE_READY, NULL);
  raw_assert_call_fails (seizer, IO_OPCODE_OPEN, open_args (IO_SERVICE_OPEN_SEIZE),
                         IO_STREAM_ERROR_EXCLUSIVE_ACCESS);

  close (holder);
  close (seizer);
  close (third);
  settle ();
  finish (service);
}

/* Nobody gets in between, and each has its turn. */
static void
test_seize_in_turn (Fixture       *fixture,
                    gconstpointer  data)
{
  IOService *service = new_registered ("one");
  int holder = raw_client ("one");
  int first = raw_client ("one");
  int second = raw_client ("one");

  io_service_set_close_timeout (service, -1);
  raw_assert_call (holder, IO_OPCODE_OPEN, open_args (0));
  raw_send (first, IO_OPCODE_OPEN, 7, open_args (IO_SERVICE_OPEN_SEIZE));
  settle ();
  raw_send (second, IO_OPCODE_OPEN, 8, open_args (IO_SERVICE_OPEN_SEIZE));
  settle ();

  /* death is a way to close */
  close (holder);
  assert_answered (first, IO_OPCODE_OPEN, 7);
  settle ();
  raw_assert_call (first, IO_OPCODE_CLOSE, NULL);
  assert_answered (second, IO_OPCODE_OPEN, 8);

  close (first);
  close (second);
  settle ();
  g_assert_false (io_service_is_open (service, NULL));
  finish (service);
}

static void
test_seize_ends (Fixture       *fixture,
                 gconstpointer  data)
{
  IOService *service = new_registered ("one");
  int holder = raw_client ("one");
  int seizer = raw_client ("one");
  g_autoptr (GError) error = NULL;

  raw_assert_call (holder, IO_OPCODE_OPEN, open_args (0));

  /* the time is over */
  io_service_set_close_timeout (service, 20000);
  raw_assert_call_fails (seizer, IO_OPCODE_OPEN, open_args (IO_SERVICE_OPEN_SEIZE),
                         IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  /* there is no time at all */
  io_service_set_close_timeout (service, 0);
  raw_assert_call_fails (seizer, IO_OPCODE_OPEN, open_args (IO_SERVICE_OPEN_SEIZE),
                         IO_STREAM_ERROR_EXCLUSIVE_ACCESS);

  /* it is taken back */
  io_service_set_close_timeout (service, -1);
  raw_send (seizer, IO_OPCODE_OPEN, 7, open_args (IO_SERVICE_OPEN_SEIZE));
  raw_send (seizer, IO_OPCODE_CLOSE, 8, NULL);
  g_assert_null (raw_answer (seizer, IO_OPCODE_OPEN, 7, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_ABORTED);
  assert_answered (seizer, IO_OPCODE_CLOSE, 8);
  g_assert_true (io_service_is_open (service, NULL));

  /* the seizer dies, or the service */
  raw_send (seizer, IO_OPCODE_OPEN, 9, open_args (IO_SERVICE_OPEN_SEIZE));
  settle ();
  close (seizer);
  settle ();
  seizer = raw_client ("one");
  raw_send (seizer, IO_OPCODE_OPEN, 10, open_args (IO_SERVICE_OPEN_SEIZE));
  settle ();
  io_service_terminate (service);
  g_clear_error (&error);
  g_assert_null (raw_answer (seizer, IO_OPCODE_OPEN, 10, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY);

  close (holder);
  close (seizer);
  finish (service);
}

/* Messages that are sent into the void cost nobody anything. */
static void
test_deaf_client (Fixture       *fixture,
                  gconstpointer  data)
{
  IOService *service = new_registered ("one");
  int deaf = raw_client ("one");
  g_autoptr (GError) error = NULL;
  guint n = 0;

  while (n++ < 100000 && io_service_message_clients (service, FAMILY_MESSAGE, NULL, &error))
    ;
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_SPACE);
  for (guint i = 0; i < 1000; i++)
    io_service_message_clients (service, FAMILY_MESSAGE, NULL, NULL);
  settle ();
  raw_assert_call (deaf, IO_OPCODE_GET_ATTRIBUTES, NULL);

  close (deaf);
  settle ();
  finish (service);
}

static void
test_bad_input (Fixture       *fixture,
                gconstpointer  data)
{
  IOService *service = new_talker (NULL);
  int fd = raw_client ("one");
  int other = raw_client ("one");

  raw_assert_call_fails (fd, IO_OPCODE_SET_ATTRIBUTE,
                         g_variant_new_parsed ("('other', @mv just <1>)"), IO_STREAM_ERROR_FAILED);
  raw_assert_call_fails (fd, IO_OPCODE_SEND_MESSAGE,
                         g_variant_new_parsed ("(%u, @mv nothing)", 0xffff), IO_STREAM_ERROR_NOT_READY);
  io_user_client_set_read_only (_io_service_peek_clients (service)->data, TRUE);
  raw_assert_call_fails (fd, IO_OPCODE_SET_ATTRIBUTE,
                         g_variant_new_parsed ("('gain', @mv nothing)"), IO_STREAM_ERROR_NOT_PERMITTED);
  g_assert_null (io_service_get_attribute (service, "gain"));
  g_assert_true (raw_send_bytes (fd, "\1\1\7\0\5\0\0\0\0\0\0\0\1\0\0\0\7", 17));
  g_assert_null (raw_answer (fd, IO_OPCODE_WATCH_ATTRIBUTES, 5, NULL, NULL));
  raw_assert_call (other, IO_OPCODE_GET_ATTRIBUTES, NULL);

  close (fd);
  close (other);
  settle ();
  finish (service);

  service = new_registered ("one");
  fd = raw_client ("one");
  raw_assert_call_fails (fd, IO_OPCODE_SET_ATTRIBUTE,
                         g_variant_new_parsed ("('gain', @mv nothing)"), IO_STREAM_ERROR_UNSUPPORTED);
  raw_assert_call_fails (fd, IO_OPCODE_SEND_MESSAGE,
                         g_variant_new_parsed ("(%u, @mv nothing)", 1), IO_STREAM_ERROR_UNSUPPORTED);
  close (fd);
  settle ();
  finish (service);
}

static guint
receive_attributes (int       fd,
                    GVariant **values)
{
  IOPacketHeader header;
  g_autoptr (GVariant) body = raw_receive (fd, &header, NULL);
  guint8 part;

  g_assert_nonnull (body);
  g_assert_cmpuint (header.opcode, ==, IO_OPCODE_ATTRIBUTES);
  g_variant_get (body, "(y@a{sv}as)", &part, values, NULL);
  return part;
}

static void
test_watch (Fixture       *fixture,
            gconstpointer  data)
{
  IOService *service = new_registered ("one");
  int fd = raw_client ("one");
  g_autofree char *large = g_strnfill (5000, 'x');
  g_autoptr (GVariant) values = NULL;
  guint part;
  guint n = 0;
  guint n_packets = 0;

  for (guint i = 0; i < 10; i++)
    {
      g_autofree char *key = g_strdup_printf ("large%u", i);

      io_service_set_attribute (service, key, g_variant_new_string (large));
    }
  raw_send (fd, IO_OPCODE_WATCH_ATTRIBUTES, 5, g_variant_new ("(b)", TRUE));
  do
    {
      g_clear_pointer (&values, g_variant_unref);
      part = receive_attributes (fd, &values);
      g_assert_cmpuint (part & IO_ATTRIBUTES_FIRST, ==, n_packets == 0 ? IO_ATTRIBUTES_FIRST : 0);
      n += g_variant_n_children (values);
      n_packets++;
    }
  while ((part & IO_ATTRIBUTES_LAST) == 0);
  g_assert_cmpuint (n, ==, 12);
  g_assert_cmpuint (n_packets, >=, 5);
  assert_reply (fd, 5, 0);

  /* however often it changes, one packet per turn */
  for (guint i = 0; i < 1000; i++)
    io_service_set_attribute (service, "gain", g_variant_new_uint32 (i));
  g_clear_pointer (&values, g_variant_unref);
  g_assert_cmpuint (receive_attributes (fd, &values), ==, 0);
  g_assert_cmpuint (g_variant_n_children (values), ==, 1);
  assert_silent (fd);
  /* no change is no news */
  io_service_set_attribute (service, "gain", g_variant_new_uint32 (999));
  assert_silent (fd);
  /* registering again tells it now */
  io_service_set_attribute (service, "gain", g_variant_new_uint32 (5));
  g_assert_true (io_service_register (service, NULL));
  g_clear_pointer (&values, g_variant_unref);
  g_assert_cmpuint (receive_attributes (fd, &values), ==, 0);

  /* a watcher that does not read holds nothing up, and sees the end of it */
  for (guint i = 0; i < 3000; i++)
    {
      io_service_set_attribute (service, "gain", g_variant_new_string (large + i));
      settle ();
    }
  io_service_set_attribute (service, "gain", g_variant_new_uint32 (77));
  settle ();
  for (gboolean last = FALSE; !last; )
    {
      g_autoptr (GVariant) gain = NULL;

      g_clear_pointer (&values, g_variant_unref);
      receive_attributes (fd, &values);
      gain = g_variant_lookup_value (values, "gain", NULL);
      last = gain != NULL && g_variant_is_of_type (gain, G_VARIANT_TYPE_UINT32);
    }

  close (fd);
  settle ();
  finish (service);
}

/* In the process of the service. */

static void
interest_cb (IOService *service,
             guint      type,
             GVariant  *argument,
             gpointer   user_data)
{
  g_string_append_printf (user_data, "%x%s ", type, argument == NULL ? "" :
                          g_variant_get_boolean (argument) ? "+" : "-");
}

static void
test_interest (Fixture       *fixture,
               gconstpointer  data)
{
  IOService *service = new_registered ("one");
  g_autoptr (GString) general = g_string_new (NULL);
  g_autoptr (GString) busy = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  int fd = raw_client ("one");
  guint id;

  id = io_service_register_interest (service, IO_SERVICE_INTEREST_GENERAL, interest_cb, general, NULL);
  g_assert_cmpuint (id, !=, 0);
  io_service_register_interest (service, IO_SERVICE_INTEREST_BUSY, interest_cb, busy, NULL);
  raw_assert_call (fd, IO_OPCODE_OPEN, open_args (0));
  raw_assert_call (fd, IO_OPCODE_CLOSE, NULL);
  g_assert_cmpstr (general->str, ==, "101 110 ");
  io_service_unregister_interest (service, id);
  io_service_message_clients (service, FAMILY_MESSAGE, NULL, NULL);
  g_assert_cmpstr (general->str, ==, "101 110 ");

  io_service_adjust_busy (service, 2);
  io_service_adjust_busy (service, -1);
  g_assert_cmpuint (io_service_get_busy_state (service), ==, 1);
  g_assert_false (io_service_wait_quiet (service, 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT);
  /* nobody runs the context, and it is ours to run it */
  g_clear_error (&error);
  g_assert_false (io_service_wait_quiet (service, 100000, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_CANNOT_LOCK);
  io_service_adjust_busy (service, -1);
  g_assert_true (io_service_wait_quiet (service, -1, NULL, NULL));
  g_assert_cmpstr (busy->str, ==, "120+ 120- ");

  close (fd);
  settle ();
  io_service_terminate (service);
  g_assert_cmpuint (io_service_register_interest (service, IO_SERVICE_INTEREST_GENERAL, interest_cb,
                                                  general, NULL), ==, 0);
  finish (service);
}

/* The end in order. */

static void
terminated_cb (GObject      *object,
               GAsyncResult *result,
               gpointer      user_data)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (io_service_terminate_finish (IO_SERVICE (object), result, &error));
  g_assert_no_error (error);
  *(gboolean *) user_data = TRUE;
}

static void
run_until (gboolean *done)
{
  while (!*done)
    g_main_context_iteration (NULL, TRUE);
}

static void
test_terminate_in_order (Fixture       *fixture,
                         gconstpointer  data)
{
  /* the first task has GLib start a thread for good */
  g_object_unref (g_task_new (NULL, NULL, NULL, NULL));
  fixture->n_fds = count_fds ();

  for (guint round = 0; round < 4; round++)
    {
      IOService *service = new_registered ("one");
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      int holder = raw_client ("one");
      int idle = raw_client ("one");
      gboolean done = FALSE;

      raw_assert_call (holder, IO_OPCODE_OPEN, open_args (0));
      assert_message (idle, IO_SERVICE_MESSAGE_ATTEMPTING_OPEN);
      io_service_set_close_timeout (service, round == 1 ? 20000 : -1);
      io_service_terminate_async (service, cancellable, terminated_cb, &done);
      assert_message (idle, IO_SERVICE_MESSAGE_TERMINATED);
      g_assert_null (raw_answer (idle, 0, 0, NULL, NULL));
      assert_message (holder, IO_SERVICE_MESSAGE_TERMINATED);
      assert_message (holder, IO_SERVICE_MESSAGE_REQUESTING_CLOSE);
      g_assert_true (io_service_is_inactive (service));
      g_assert_cmpint (raw_connect ("one"), ==, -1);
      if (round != 1)
        raw_assert_call (holder, IO_OPCODE_READY, NULL);

      if (round == 0)
        raw_assert_call (holder, IO_OPCODE_CLOSE, NULL);
      else if (round == 2)
        g_cancellable_cancel (cancellable);
      else if (round == 3)
        io_service_terminate (service);
      g_assert_null (raw_answer (holder, 0, 0, NULL, NULL));
      run_until (&done);
      g_assert_false (io_service_is_registered (service));

      close (holder);
      close (idle);
      settle ();
      g_assert_finalize_object (service);
    }
}

static guint n_pending;

static void
one_ended_cb (GObject      *object,
              GAsyncResult *result,
              gpointer      user_data)
{
  g_assert_true (io_service_terminate_finish (IO_SERVICE (object), result, NULL));
  n_pending--;
}

static void
end_when_busy_cb (IOService *service,
                  guint      type,
                  GVariant  *argument,
                  gpointer   user_data)
{
  if (!g_variant_get_boolean (argument))
    return;

  if (GPOINTER_TO_INT (user_data) == 0)
    {
      io_service_terminate (service);
      return;
    }
  n_pending++;
  io_service_terminate_async (service, NULL, one_ended_cb, NULL);
}

static void
count_notify_cb (IOService  *service,
                 GParamSpec *pspec,
                 gpointer    user_data)
{
  ++*(guint *) user_data;
}

/* Whoever hears that the service is busy with its end, ends it. */
static void
test_terminate_inside (Fixture       *fixture,
                       gconstpointer  data)
{
  g_object_unref (g_task_new (NULL, NULL, NULL, NULL));
  fixture->n_fds = count_fds ();

  for (gint way = 0; way < 2; way++)
    {
      IOService *service = new_registered ("one");
      int fd = raw_client ("one");
      guint n_inactive = 0;

      g_signal_connect (service, "notify::inactive", G_CALLBACK (count_notify_cb), &n_inactive);
      io_service_register_interest (service, IO_SERVICE_INTEREST_BUSY, end_when_busy_cb,
                                    GINT_TO_POINTER (way), NULL);
      n_pending = 1;
      io_service_terminate_async (service, NULL, one_ended_cb, NULL);
      while (n_pending > 0)
        g_main_context_iteration (NULL, TRUE);
      g_assert_cmpuint (n_inactive, ==, 1);
      g_assert_cmpuint (io_service_get_busy_state (service), ==, 0);
      assert_message (fd, IO_SERVICE_MESSAGE_TERMINATED);
      g_assert_null (raw_answer (fd, 0, 0, NULL, NULL));

      close (fd);
      settle ();
      g_assert_finalize_object (service);
    }
}

/* A connection in another thread than the service. */

typedef struct {
  IOConnection *connection;
  GString      *log;
  gboolean      done;
  gboolean      closes;
} Client;

static void
message_cb (IOConnection *connection,
            guint         type,
            GVariant     *argument,
            gpointer      user_data)
{
  Client *client = user_data;

  g_string_append_printf (client->log, "%x ", type);
  if (client->closes && type == IO_SERVICE_MESSAGE_REQUESTING_CLOSE)
    io_connection_close (connection, NULL, NULL);
}

static void
detail_cb (IOConnection *connection,
           guint         type,
           GVariant     *argument,
           gpointer      user_data)
{
  g_assert_cmphex (type, ==, IO_SERVICE_MESSAGE_REQUESTING_CLOSE);
  g_string_append (((Client *) user_data)->log, "d ");
}

static void
attribute_cb (IOConnection *connection,
              const char   *key,
              GVariant     *value,
              gpointer      user_data)
{
  g_autofree char *text = value != NULL ? g_variant_print (value, FALSE) : g_strdup ("none");

  g_string_append_printf (((Client *) user_data)->log, "%s=%s ", key, text);
}

static void
disconnected_cb (IOConnection *connection,
                 const GError *error,
                 gpointer      user_data)
{
  Client *client = user_data;

  g_string_append (client->log, "end");
  client->done = TRUE;
}

static void
client_init (Client *client)
{
  g_autoptr (GError) error = NULL;

  client->connection = io_connection_new_for_name ("one", NULL, &error);
  g_assert_no_error (error);
  client->log = g_string_new (NULL);
  g_signal_connect (client->connection, "service-message", G_CALLBACK (message_cb), client);
  g_signal_connect (client->connection, "service-message::requesting-close", G_CALLBACK (detail_cb), client);
  g_signal_connect (client->connection, "attribute-changed", G_CALLBACK (attribute_cb), client);
  g_signal_connect (client->connection, "disconnected", G_CALLBACK (disconnected_cb), client);
}

static void
client_clear (Client *client)
{
  g_assert_finalize_object (client->connection);
  g_string_free (client->log, TRUE);
}

static void
opened_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      user_data)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (io_connection_open_finish (IO_CONNECTION (object), result, &error));
  g_assert_no_error (error);
  *(gboolean *) user_data = TRUE;
}

static void
test_connection (Fixture       *fixture,
                 gconstpointer  data)
{
  IOWorkLoop *loop = io_work_loop_new ("talker");
  IOService *service = new_talker (loop);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) gain = NULL;
  Client client = { 0 };
  Client second = { 0 };
  gboolean opened = FALSE;

  client_init (&client);
  client_init (&second);
  client.closes = TRUE;
  g_assert_true (io_connection_watch_attributes (client.connection, NULL, &error));
  g_assert_true (io_connection_set_attribute (client.connection, "gain", g_variant_new_uint32 (3),
                                              NULL, &error));
  g_assert_no_error (error);
  while (client.log->len == 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpstr (client.log->str, ==, "gain=3 ");
  gain = io_connection_get_attribute (client.connection, "gain");
  g_assert_cmpuint (g_variant_get_uint32 (gain), ==, 3);
  io_connection_unwatch_attributes (client.connection);
  g_assert_true (io_connection_set_attribute (client.connection, "gain", NULL, NULL, &error));

  g_assert_true (io_connection_send_message (client.connection, FAMILY_MESSAGE,
                                             g_variant_new_string ("hi"), NULL, &error));
  g_assert_false (io_connection_send_message (client.connection, 0xffff, NULL, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY);
  g_clear_error (&error);

  /* told from the context, though it came during a synchronous call */
  g_assert_true (io_connection_open (client.connection, 0, NULL, &error));
  g_string_truncate (client.log, 0);
  io_connection_open_async (second.connection, IO_SERVICE_OPEN_SEIZE, NULL, opened_cb, &opened);
  run_until (&opened);
  g_assert_cmpstr (client.log->str, ==, "101 100 d ");
  g_assert_false (io_connection_is_open (client.connection));
  g_assert_cmpstr (second.log->str, ==, "101 110 ");

  io_service_terminate (service);
  run_until (&client.done);
  run_until (&second.done);
  g_assert_cmpstr (second.log->str, ==, "101 110 10 end");
  client_clear (&client);
  client_clear (&second);
  g_assert_cmpstr (((Talker *) service)->log->str, ==, "10005 'hi' ffff - ");
  io_work_loop_shut_down (loop);
  g_object_unref (service);
  g_object_unref (loop);
}

/* In one thread nobody else can close meanwhile. */
static void
test_local (Fixture       *fixture,
            gconstpointer  data)
{
  IOService *service = new_registered ("one");
  IOConnection *holder = io_connection_new_for_service (service, NULL);
  IOConnection *seizer = io_connection_new_for_service (service, NULL);
  g_autoptr (GError) error = NULL;

  io_service_set_close_timeout (service, -1);
  g_assert_true (io_connection_open (holder, 0, NULL, &error));
  g_assert_false (io_connection_open (seizer, IO_SERVICE_OPEN_SEIZE, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_EXCLUSIVE_ACCESS);

  g_object_unref (holder);
  g_object_unref (seizer);
  settle ();
  finish (service);
}

/* Another process. */

static void
hold (int report)
{
  g_autoptr (GError) error = NULL;
  Client client = { 0 };

  client_init (&client);
  client.closes = TRUE;
  g_assert_true (io_connection_open (client.connection, 0, NULL, &error));
  g_assert_cmpint (write (report, "o", 1), ==, 1);
  run_until (&client.done);
  _exit (strcmp (client.log->str, "101 100 d 110 101 10 end") == 0 ? 0 : 1);
}

static void
test_processes (Fixture       *fixture,
                gconstpointer  data)
{
  IOService *service;
  int report[2];
  int seizer;
  int status;
  char byte = 0;
  pid_t pid;

  g_assert_true (g_unix_open_pipe (report, FD_CLOEXEC, NULL));
  service = new_registered ("one");
  io_service_set_close_timeout (service, -1);
  pid = fork ();
  if (pid == 0)
    hold (report[1]);
  close (report[1]);
  while (!io_service_is_open (service, NULL))
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (read (report[0], &byte, 1), ==, 1);

  seizer = raw_client ("one");
  raw_assert_call (seizer, IO_OPCODE_OPEN, open_args (IO_SERVICE_OPEN_SEIZE));
  raw_assert_call (seizer, IO_OPCODE_CLOSE, NULL);
  close (seizer);
  settle ();
  seizer = raw_client ("one");
  raw_assert_call (seizer, IO_OPCODE_OPEN, open_args (0));
  finish (service);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status) && WEXITSTATUS (status) == 0);
  close (seizer);
  close (report[0]);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  /* forks: before there are threads */
  ADD ("/service-messages/processes", test_processes);
  ADD ("/service-messages/seize", test_seize);
  ADD ("/service-messages/seize-in-turn", test_seize_in_turn);
  ADD ("/service-messages/seize-ends", test_seize_ends);
  ADD ("/service-messages/deaf-client", test_deaf_client);
  ADD ("/service-messages/bad-input", test_bad_input);
  ADD ("/service-messages/watch", test_watch);
  ADD ("/service-messages/interest", test_interest);
  ADD ("/service-messages/terminate-in-order", test_terminate_in_order);
  ADD ("/service-messages/terminate-inside", test_terminate_inside);
  ADD ("/service-messages/local", test_local);
  ADD ("/service-messages/connection", test_connection);

  return g_test_run ();
}
