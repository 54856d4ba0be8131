/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What one client does to the others, and to the service, with calls that are
 * all well formed. */

#include "service-util.h"
#include "clock-util.h"

#include "libiostream/io-connection.h"
#include "libiostream/io-registry.h"
#include "libiostream/io-registry-entry.h"
#include "libiostream/io-work-loop.h"

/* A service that keeps whatever a client gives it. */

typedef IOService      Shelf;
typedef IOServiceClass ShelfClass;

static GType shelf_get_type (void);

G_DEFINE_TYPE (Shelf, shelf, IO_TYPE_SERVICE)

static gboolean
shelf_client_set_attribute (IOService     *service,
                            IOUserClient  *client,
                            const char    *key,
                            GVariant      *value,
                            GError       **error)
{
  io_service_set_attribute (service, key, value);
  return TRUE;
}

static void
shelf_class_init (ShelfClass *klass)
{
  klass->client_set_attribute = shelf_client_set_attribute;
}

static void
shelf_init (Shelf *self)
{
}

static IOService *
new_shelf (void)
{
  IOService *service = g_object_new (shelf_get_type (), "name", "one", NULL);
  g_autoptr (GError) error = NULL;

  io_service_register (service, &error);
  g_assert_no_error (error);
  return service;
}

static GVariant *
nest (guint depth)
{
  GVariant *value = g_variant_new_uint32 (7);

  while (depth-- > 0)
    value = g_variant_new_variant (value);

  return value;
}

static GVariant *
set_args (const char *key,
          GVariant   *value)
{
  return g_variant_new ("(s@mv)", key, g_variant_new_maybe (NULL, g_variant_new_variant (value)));
}

/* What is as deep as can be in one message is too deep in another: it must not
 * end those who are told, nor those who come. */
static void
test_nested (Fixture       *fixture,
             gconstpointer  data)
{
  IOService *service = new_shelf ();
  int evil = raw_client ("one");
  int watcher = raw_client ("one");
  int late;

  raw_assert_call (watcher, IO_OPCODE_WATCH_ATTRIBUTES, g_variant_new ("(b)", TRUE));
  for (guint depth = 100; depth < 125; depth++)
    {
      g_autofree char *key = g_strdup_printf ("deep%u", depth);

      raw_assert_call (evil, IO_OPCODE_SET_ATTRIBUTE, set_args (key, nest (depth)));
    }
  settle ();
  raw_assert_call (watcher, IO_OPCODE_GET_ATTRIBUTES, NULL);
  late = raw_client ("one");
  raw_assert_call (late, IO_OPCODE_WATCH_ATTRIBUTES, g_variant_new ("(b)", TRUE));

  /* and everybody can still know of the service */
  {
    g_autoptr (GPtrArray) services = io_registry_list_services (NULL, NULL);
    g_autoptr (GVariant) deep = NULL;

    g_assert_cmpuint (services->len, ==, 1);
    deep = io_registry_entry_get_attribute (services->pdata[0], "deep120");
    g_assert_nonnull (deep);
  }

  /* nor what the owner says itself */
  {
    g_autoptr (GError) error = NULL;

    g_assert_false (io_service_message_clients (service, IO_SERVICE_MESSAGE_FAMILY, nest (126), &error));
    g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
    raw_assert_call (watcher, IO_OPCODE_GET_ATTRIBUTES, NULL);
  }

  close (evil);
  close (watcher);
  close (late);
  settle ();
  finish (service);
}

static guint
count_messages (int   fd,
                guint type)
{
  struct pollfd poll_fd = { fd, POLLIN, 0 };
  guint n = 0;

  while (poll (&poll_fd, 1, 0) == 1)
    {
      IOPacketHeader header;
      g_autoptr (GVariant) body = raw_receive (fd, &header, NULL);
      guint told = 0;

      g_assert_nonnull (body);
      if (header.opcode == IO_OPCODE_MESSAGE)
        g_variant_get (body, "(umv)", &told, NULL);
      n += told == type;
    }

  return n;
}

/* One call is one packet for each of the others: not for long. */
static void
test_hammered_open (Fixture       *fixture,
                    gconstpointer  data)
{
  IOService *service = new_registered ("one");
  int holder = raw_client ("one");
  int other = raw_client ("one");
  int evil = raw_client ("one");
  guint attempts = 0;
  guint requests = 0;

  io_service_set_close_timeout (service, 0);
  raw_assert_call (holder, IO_OPCODE_OPEN, open_args (0));
  stop_clock ();
  for (guint i = 0; i < 1500; i++)
    {
      raw_assert_call_fails (evil, IO_OPCODE_OPEN, open_args (IO_SERVICE_OPEN_SEIZE),
                             IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
      attempts += count_messages (other, IO_SERVICE_MESSAGE_ATTEMPTING_OPEN);
      requests += count_messages (holder, IO_SERVICE_MESSAGE_REQUESTING_CLOSE);
    }
  resume_clock ();
  g_assert_cmpuint (attempts, >=, 51);
  g_assert_cmpuint (attempts, <=, 400);
  g_assert_cmpuint (requests, >=, 50);
  g_assert_cmpuint (requests, <=, 400);

  close (holder);
  close (other);
  close (evil);
  settle ();
  finish (service);
}

/* That it is closed is worth waiting for: it may come late, and comes. */
static void
test_hammered_close (Fixture       *fixture,
                     gconstpointer  data)
{
  IOService *service = new_registered ("one");
  int other = raw_client ("one");
  int evil = raw_client ("one");
  guint n = 0;

  stop_clock ();
  for (guint i = 0; i < 600; i++)
    {
      raw_assert_call (evil, IO_OPCODE_OPEN, open_args (0));
      raw_assert_call (evil, IO_OPCODE_CLOSE, NULL);
      n += count_messages (other, IO_SERVICE_MESSAGE_WAS_CLOSED);
    }
  resume_clock ();
  g_assert_cmpuint (n, >=, 25);
  g_assert_cmpuint (n, <=, 300);
  while (count_messages (other, IO_SERVICE_MESSAGE_WAS_CLOSED) == 0)
    raw_wait (other);

  close (other);
  close (evil);
  settle ();
  finish (service);
}

static void
count_cb (IOService    *service,
          IOUserClient *client,
          gpointer      user_data)
{
  ++*(guint *) user_data;
}

/* A client of one service is none of another. */
static void
test_other_service (Fixture       *fixture,
                    gconstpointer  data)
{
  IOService *service = new_registered ("one");
  IOService *other = new_registered ("two");
  int fd = raw_client ("one");
  IOUserClient *client = _io_service_peek_clients (service)->data;
  g_autoptr (GError) error = NULL;
  guint n = 0;

  g_signal_connect (other, "client-opened", G_CALLBACK (count_cb), &n);
  g_signal_connect (other, "client-closed", G_CALLBACK (count_cb), &n);
  g_assert_false (io_service_open (other, client, 0, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
  g_assert_false (io_service_is_open (other, NULL));
  raw_assert_call (fd, IO_OPCODE_OPEN, open_args (0));
  io_service_close (other, client, 0);
  g_assert_true (io_service_is_open (service, client));
  g_assert_cmpuint (n, ==, 0);

  close (fd);
  settle ();
  finish (service);
  finish (other);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  ADD ("/service-attacks/nested", test_nested);
  ADD ("/service-attacks/hammered-open", test_hammered_open);
  ADD ("/service-attacks/hammered-close", test_hammered_close);
  ADD ("/service-attacks/other-service", test_other_service);

  return g_test_run ();
}
