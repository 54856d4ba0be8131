/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a client is told at the edges: while it is being let in, and when the
 * service ends from within its own end. */

#include "peer-process.h"
#include "service-util.h"

#include "libiostream/io-connection.h"
#include "libiostream/io-work-loop.h"

#define FAMILY_MESSAGE (IO_SERVICE_MESSAGE_FAMILY + 5)
#define MAX_KEPT       16

/* How the owner decides. */
typedef struct {
  guint    n_messages;
  gboolean to_all;
  gboolean allows;
  gboolean ends_client;
  gboolean ends_service;
  guint    n_refused;
} Plan;

static gboolean
authorize_cb (IOService    *service,
              IOUserClient *client,
              gpointer      user_data)
{
  Plan *plan = user_data;

  for (guint i = 0; i < plan->n_messages; i++)
    {
      g_autoptr (GError) error = NULL;
      gboolean told = plan->to_all
        ? io_service_message_clients (service, FAMILY_MESSAGE, g_variant_new_uint32 (i), &error)
        : io_service_message_client (service, client, FAMILY_MESSAGE, g_variant_new_uint32 (i), &error);

      g_assert_true (told == (error == NULL));
      if (told)
        continue;
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_SPACE);
      plan->n_refused++;
    }

  if (plan->ends_client)
    io_user_client_terminate (client, NULL);
  if (plan->ends_service)
    io_service_terminate (service);

  return plan->allows;
}

static IOService *
new_deciding (Plan *plan)
{
  IOService *service = new_registered ("one");

  g_signal_connect (service, "authorize", G_CALLBACK (authorize_cb), plan);
  return service;
}

static void
assert_message (int   fd,
                guint type,
                gint  number)
{
  IOPacketHeader header;
  g_autoptr (GVariant) body = raw_receive (fd, &header, NULL);
  g_autoptr (GVariant) argument = NULL;
  guint told;

  g_assert_nonnull (body);
  g_assert_cmpuint (header.kind, ==, IO_PACKET_EVENT);
  g_assert_cmpuint (header.opcode, ==, IO_OPCODE_MESSAGE);
  g_variant_get (body, "(umv)", &told, &argument);
  g_assert_cmphex (told, ==, type);
  if (number >= 0)
    g_assert_cmpuint (g_variant_get_uint32 (argument), ==, number);
}

static void
assert_silent (int fd)
{
  struct pollfd poll_fd = { fd, POLLIN, 0 };

  settle ();
  g_assert_cmpint (poll (&poll_fd, 1, 0), ==, 0);
}

/* The answer to hello comes first, then all that it was told. */
static void
test_let_in (Fixture       *fixture,
             gconstpointer  data)
{
  Plan plan = { .n_messages = 3, .allows = TRUE };
  IOService *service = new_deciding (&plan);
  int fd = raw_client ("one");

  g_assert_cmpuint (plan.n_refused, ==, 0);
  for (guint i = 0; i < 3; i++)
    assert_message (fd, FAMILY_MESSAGE, i);
  assert_silent (fd);
  g_assert_true (io_service_message_clients (service, FAMILY_MESSAGE, g_variant_new_uint32 (7), NULL));
  assert_message (fd, FAMILY_MESSAGE, 7);

  close (fd);
  settle ();
  finish (service);
}

/* Who is there already hears it at once, the new one in its time. */
static void
test_told_with_others (Fixture       *fixture,
                       gconstpointer  data)
{
  Plan plan = { .n_messages = 0, .to_all = TRUE, .allows = TRUE };
  IOService *service = new_deciding (&plan);
  int old = raw_client ("one");
  int new;

  plan.n_messages = 2;
  new = raw_client ("one");
  for (guint i = 0; i < 2; i++)
    {
      assert_message (old, FAMILY_MESSAGE, i);
      assert_message (new, FAMILY_MESSAGE, i);
    }
  assert_silent (old);
  assert_silent (new);

  close (old);
  close (new);
  settle ();
  finish (service);
}

/* Too much is said to be lost, and no more than that. */
static void
test_too_much (Fixture       *fixture,
               gconstpointer  data)
{
  Plan plan = { .n_messages = MAX_KEPT + 5, .allows = TRUE };
  IOService *service = new_deciding (&plan);
  int fd = raw_client ("one");

  g_assert_cmpuint (plan.n_refused, ==, 5);
  for (guint i = 0; i < MAX_KEPT; i++)
    assert_message (fd, FAMILY_MESSAGE, i);
  assert_silent (fd);
  raw_assert_call (fd, IO_OPCODE_GET_ATTRIBUTES, NULL);

  close (fd);
  settle ();
  finish (service);
}

/* Who is not let in hears why, and nothing else. */
static void
test_sent_away (Fixture       *fixture,
                gconstpointer  data)
{
  static const Plan plans[] = {
    { .n_messages = 3 },
    { .n_messages = 3, .allows = TRUE, .ends_client = TRUE },
    { .n_messages = 3, .allows = TRUE, .ends_service = TRUE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (plans); i++)
    {
      Plan plan = plans[i];
      IOService *service = new_deciding (&plan);
      int fd = raw_connect ("one");
      IOPacketHeader header;
      g_autoptr (GVariant) body = NULL;

      g_assert_true (raw_send (fd, IO_OPCODE_HELLO, 5, hello_args (1, "test")));
      body = raw_receive (fd, &header, NULL);
      g_assert_nonnull (body);
      if (i == 0)
        g_assert_cmpuint (header.status, ==, IO_STREAM_ERROR_NOT_PERMITTED);
      else
        g_assert_cmpuint (header.opcode, ==, IO_OPCODE_TERMINATED);
      raw_assert_end (fd);
      g_assert_cmpuint (plan.n_refused, ==, 0);

      close (fd);
      settle ();
      finish (service);
    }
}

/* The same through the library, from another process. */

static gboolean
tell_all_cb (IOService    *service,
             IOUserClient *client,
             gpointer      user_data)
{
  g_assert_true (io_service_message_client (service, client, FAMILY_MESSAGE,
                                            g_variant_new_string ("welcome"), NULL));
  return TRUE;
}

static int
run_owner (void)
{
  g_autoptr (IOWorkLoop) loop = io_work_loop_new ("owner");
  g_autoptr (IOService) service = g_object_new (IO_TYPE_SERVICE, "name", "one", "work-loop", loop, NULL);
  g_autofree char *order = NULL;

  g_signal_connect (service, "authorize", G_CALLBACK (tell_all_cb), NULL);
  if (!io_service_register (service, NULL))
    return 1;
  peer_say ("ready");
  order = peer_take_order ();
  io_service_terminate (service);
  io_work_loop_shut_down (loop);

  return 0;
}

static void
welcome_cb (IOConnection *connection,
            guint         type,
            GVariant     *argument,
            gpointer      user_data)
{
  g_assert_cmphex (type, ==, FAMILY_MESSAGE);
  g_assert_cmpstr (g_variant_get_string (argument, NULL), ==, "welcome");
  ++*(guint *) user_data;
}

/* The end from within the end. */

typedef struct {
  IOService  parent_instance;
} Ender;

typedef IOUserClient EnderClient;
typedef IOUserClientClass EnderClientClass;

static GType ender_client_get_type (void);
G_DEFINE_TYPE (EnderClient, ender_client, IO_TYPE_USER_CLIENT)

static guint n_told;
static gboolean ends_when_told;

static gboolean
ender_client_message (IOUserClient  *client,
                      guint          type,
                      GVariant      *argument,
                      GError       **error)
{
  IOService *service = io_user_client_get_service (client);
  gboolean told = IO_USER_CLIENT_CLASS (ender_client_parent_class)->message (client, type, argument, error);

  if (type != IO_SERVICE_MESSAGE_TERMINATED)
    return told;
  n_told++;
  if (ends_when_told)
    io_service_terminate (service);

  return told;
}

static void
ender_client_class_init (EnderClientClass *klass)
{
  klass->message = ender_client_message;
}

static void
ender_client_init (EnderClient *self)
{
}

typedef IOServiceClass EnderClass;

static GType ender_get_type (void);
G_DEFINE_TYPE (Ender, ender, IO_TYPE_SERVICE)

static IOUserClient *
ender_new_user_client (IOService  *service,
                       GVariant   *options,
                       GError    **error)
{
  return g_object_new (ender_client_get_type (), NULL);
}

static void
ender_class_init (EnderClass *klass)
{
  klass->new_user_client = ender_new_user_client;
}

static void
ender_init (Ender *self)
{
}

static void
end_cb (IOService  *service,
        GParamSpec *pspec,
        gpointer    user_data)
{
  if (io_service_is_inactive (service))
    io_service_terminate (service);
}

static void
count_end_cb (IOService *service,
              guint      type,
              GVariant  *argument,
              gpointer   user_data)
{
  if (type == IO_SERVICE_MESSAGE_TERMINATED)
    ++*(guint *) user_data;
}

static void
terminated_cb (GObject      *object,
               GAsyncResult *result,
               gpointer      user_data)
{
  g_assert_true (io_service_terminate_finish (IO_SERVICE (object), result, NULL));
  *(gboolean *) user_data = TRUE;
}

/* @data: where the second end is called. */
static void
test_end_in_end (Fixture       *fixture,
                 gconstpointer  data)
{
  const char *place = data;

  /* the first task has GLib start a thread for good */
  g_object_unref (g_task_new (NULL, NULL, NULL, NULL));
  fixture->n_fds = count_fds ();

  for (guint in_order = 0; in_order < 2; in_order++)
    {
      IOService *service = g_object_new (ender_get_type (), "name", "one", NULL);
      int fds[3];
      guint n_heard = 0;
      gboolean done = FALSE;

      n_told = 0;
      ends_when_told = strcmp (place, "message") == 0;
      if (!ends_when_told)
        g_signal_connect (service, place, G_CALLBACK (end_cb), NULL);
      g_assert_true (io_service_register (service, NULL));
      io_service_register_interest (service, IO_SERVICE_INTEREST_GENERAL, count_end_cb, &n_heard, NULL);
      for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
        fds[i] = raw_client ("one");
      raw_assert_call (fds[1], IO_OPCODE_OPEN, open_args (0));
      assert_message (fds[0], IO_SERVICE_MESSAGE_ATTEMPTING_OPEN, -1);
      assert_message (fds[2], IO_SERVICE_MESSAGE_ATTEMPTING_OPEN, -1);

      if (in_order)
        io_service_terminate_async (service, NULL, terminated_cb, &done);
      else
        io_service_terminate (service);
      for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
        {
          IOPacketHeader header;
          g_autoptr (GVariant) body = NULL;

          assert_message (fds[i], IO_SERVICE_MESSAGE_TERMINATED, -1);
          body = raw_receive (fds[i], &header, NULL);
          g_assert_nonnull (body);
          g_assert_cmpuint (header.opcode, ==, IO_OPCODE_TERMINATED);
          raw_assert_end (fds[i]);
          close (fds[i]);
        }
      while (in_order && !done)
        g_main_context_iteration (NULL, TRUE);
      g_assert_cmpuint (n_told, ==, G_N_ELEMENTS (fds));
      g_assert_cmpuint (n_heard, ==, 1);

      settle ();
      g_assert_finalize_object (service);
    }
}

static void
test_let_in_process (Fixture       *fixture,
                     gconstpointer  data)
{
  Peer *owner = peer_spawn (-1, -1, "owner", NULL);
  g_autoptr (GError) error = NULL;
  IOConnection *connection;
  guint n_heard = 0;

  peer_expect (owner, "ready");
  connection = io_connection_new_for_name ("one", NULL, &error);
  g_assert_no_error (error);
  g_signal_connect (connection, "service-message", G_CALLBACK (welcome_cb), &n_heard);
  while (n_heard == 0)
    g_main_context_iteration (NULL, TRUE);

  io_connection_hang_up (connection);
  settle ();
  g_assert_cmpuint (n_heard, ==, 1);
  g_assert_finalize_object (connection);
  peer_finish (owner);
}

int
main (int    argc,
      char **argv)
{
  static const char * const places[] = { "notify::inactive", "notify::registered", "message" };

  *peer_program () = argv[0];
  if (argc >= 3 && strcmp (argv[1], "--peer") == 0)
    {
      peer_begin ();
      return run_owner ();
    }

  g_test_init (&argc, &argv, NULL);

  ADD ("/service-told/let-in", test_let_in);
  ADD ("/service-told/with-others", test_told_with_others);
  ADD ("/service-told/too-much", test_too_much);
  ADD ("/service-told/sent-away", test_sent_away);
  ADD ("/service-told/let-in-process", test_let_in_process);
  for (guint i = 0; i < G_N_ELEMENTS (places); i++)
    {
      g_autofree char *path = g_strdup_printf ("/service-told/end-in-%s", places[i]);

      g_test_add (path, Fixture, places[i], set_up, test_end_in_end, tear_down);
    }

  return g_test_run ();
}
