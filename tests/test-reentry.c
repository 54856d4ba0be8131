/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Every method that a subclass can override, and every signal, calls back into
 * what called it: each place does each deed, and each connection ends in each
 * way. Whatever happens, it ends, nothing is left, and there is one
 * client-closed for each client-opened. */

#include "service-util.h"

typedef enum {
  DO_TERMINATE,
  DO_DROP,
  DO_TERMINATE_AND_DROP,
  DO_END_CLIENT,
  DO_OPEN,
  DO_CLOSE,
  DO_CLOSE_AND_OPEN,
  DO_REGISTER,
  N_DEEDS
} Deed;

typedef enum {
  END_HANG_UP,
  END_SERVICE,
  END_CLIENT,
  N_ENDS
} End;

static const char * const places[] = {
  "new-user-client", "authorize", "handle-open", "handle-opened", "handle-is-open",
  "handle-close", "client-opened", "client-closed", "client-died", "terminated",
  "client-close", "client-gone", "memory", "notify-registered", "notify-inactive",
  "notify-connected"
};

static struct {
  const char   *place;
  Deed          deed;
  IOService    *service;   /* the reference of the program */
  IOUserClient *client;    /* not a reference */
  gboolean      busy;
  gboolean      refuses;   /* after chaining up */
  guint         n_met;
  guint         n_opened;
  guint         n_closed;
} plan;

static void
do_deed (IOService    *service,
         IOUserClient *client)
{
  switch (plan.deed)
    {
    case DO_TERMINATE:
      io_service_terminate (service);
      break;
    case DO_DROP:
      g_clear_object (&plan.service);
      break;
    case DO_TERMINATE_AND_DROP:
      io_service_terminate (service);
      g_clear_object (&plan.service);
      break;
    case DO_END_CLIENT:
      if (client != NULL)
        io_user_client_terminate (client, NULL);
      break;
    case DO_OPEN:
      if (client != NULL)
        io_service_open (service, client, 0, NULL);
      break;
    case DO_CLOSE:
      if (client != NULL)
        io_service_close (service, client, 0);
      break;
    case DO_CLOSE_AND_OPEN:
      if (client != NULL)
        {
          io_service_close (service, client, 0);
          io_service_open (service, client, 0, NULL);
        }
      break;
    case DO_REGISTER:
      io_service_register (service, NULL);
      break;
    case N_DEEDS:
      g_assert_not_reached ();
    }
}

static void
meet (const char   *place,
      IOService    *service,
      IOUserClient *client)
{
  if (plan.busy || g_strcmp0 (place, plan.place) != 0)
    return;

  plan.busy = TRUE;
  plan.n_met++;
  do_deed (service, client);
  plan.busy = FALSE;
}

/* A client that meets. */
typedef IOUserClient ReentryClient;
typedef IOUserClientClass ReentryClientClass;

static GType reentry_client_get_type (void);
G_DEFINE_TYPE (ReentryClient, reentry_client, IO_TYPE_USER_CLIENT)

static void
reentry_client_client_close (IOUserClient *client)
{
  meet ("client-close", io_user_client_get_service (client), client);
}

static void
reentry_client_client_died (IOUserClient *client)
{
  meet ("client-gone", io_user_client_get_service (client), client);
}

static IOMemoryDescriptor *
reentry_client_client_memory_for_type (IOUserClient      *client,
                                       guint              type,
                                       IOMemoryMapFlags  *flags,
                                       GError           **error)
{
  meet ("memory", io_user_client_get_service (client), client);

  return NULL;
}

static void
reentry_client_class_init (ReentryClientClass *klass)
{
  klass->client_close = reentry_client_client_close;
  klass->client_died = reentry_client_client_died;
  klass->client_memory_for_type = reentry_client_client_memory_for_type;
}

static void
reentry_client_init (ReentryClient *self)
{
}

/* A service that meets. */
typedef IOService ReentryService;
typedef IOServiceClass ReentryServiceClass;

static GType reentry_service_get_type (void);
G_DEFINE_TYPE (ReentryService, reentry_service, IO_TYPE_SERVICE)

static IOServiceClass *
parent_class (void)
{
  return IO_SERVICE_CLASS (reentry_service_parent_class);
}

static void
notify_connected_cb (IOUserClient *client,
                     GParamSpec   *pspec,
                     IOService    *service)
{
  meet ("notify-connected", service, client);
}

static IOUserClient *
reentry_service_new_user_client (IOService  *service,
                                 GVariant   *options,
                                 GError    **error)
{
  plan.client = g_object_new (reentry_client_get_type (), NULL);
  g_object_add_weak_pointer (G_OBJECT (plan.client), (gpointer *) &plan.client);
  g_signal_connect_object (plan.client, "notify::connected", G_CALLBACK (notify_connected_cb),
                           service, 0);
  meet ("new-user-client", service, NULL);

  return plan.client;
}

static gboolean
reentry_service_handle_open (IOService     *service,
                             IOUserClient  *client,
                             guint          options,
                             GError       **error)
{
  gboolean done;

  meet ("handle-open", service, client);
  done = parent_class ()->handle_open (service, client, options, error);
  meet ("handle-opened", service, client);

  return done && !plan.refuses;
}

static gboolean
reentry_service_handle_is_open (IOService    *service,
                                IOUserClient *client)
{
  meet ("handle-is-open", service, client);

  return parent_class ()->handle_is_open (service, client);
}

static void
reentry_service_handle_close (IOService    *service,
                              IOUserClient *client,
                              guint         options)
{
  meet ("handle-close", service, client);
  parent_class ()->handle_close (service, client, options);
}

static gboolean
reentry_service_authorize (IOService    *service,
                           IOUserClient *client)
{
  meet ("authorize", service, client);

  return TRUE;
}

static void
reentry_service_client_opened (IOService    *service,
                               IOUserClient *client)
{
  plan.n_opened++;
  meet ("client-opened", service, client);
}

static void
reentry_service_client_closed (IOService    *service,
                               IOUserClient *client)
{
  plan.n_closed++;
  g_assert_cmpuint (plan.n_closed, <=, plan.n_opened);
  meet ("client-closed", service, client);
}

static void
reentry_service_client_died (IOService    *service,
                             IOUserClient *client)
{
  meet ("client-died", service, client);
}

static void
reentry_service_terminated (IOService *service)
{
  meet ("terminated", service, NULL);
}

static void
reentry_service_notify (GObject    *object,
                        GParamSpec *pspec)
{
  g_autofree char *place = g_strdup_printf ("notify-%s", pspec->name);

  meet (place, IO_SERVICE (object), NULL);
}

static void
reentry_service_class_init (ReentryServiceClass *klass)
{
  G_OBJECT_CLASS (klass)->notify = reentry_service_notify;
  klass->new_user_client = reentry_service_new_user_client;
  klass->handle_open = reentry_service_handle_open;
  klass->handle_is_open = reentry_service_handle_is_open;
  klass->handle_close = reentry_service_handle_close;
  klass->authorize = reentry_service_authorize;
  klass->client_opened = reentry_service_client_opened;
  klass->client_closed = reentry_service_client_closed;
  klass->client_died = reentry_service_client_died;
  klass->terminated = reentry_service_terminated;
}

static void
reentry_service_init (ReentryService *self)
{
}

/* What a client does, whatever becomes of it. */
static int
run_client (void)
{
  int fd = raw_connect ("one");

  if (fd < 0)
    return -1;

  raw_send (fd, IO_OPCODE_HELLO, 1, hello_args (1, "test"));
  settle ();
  raw_send (fd, IO_OPCODE_OPEN, 2, open_args (0));
  raw_send (fd, IO_OPCODE_GET_MEMORY, 3, g_variant_new ("(u)", 1u));
  raw_send (fd, IO_OPCODE_CLOSE, 4, NULL);
  raw_send (fd, IO_OPCODE_OPEN, 5, open_args (0));
  settle ();

  return fd;
}

static void
end_client (IOService *service,
            int        fd,
            End        end)
{
  if (end == END_SERVICE)
    io_service_terminate (service);
  else if (end == END_CLIENT && plan.client != NULL)
    io_user_client_terminate (plan.client, NULL);
  if (fd >= 0)
    close (fd);
  settle ();
}

static guint
run_plan (const char *place,
          Deed        deed,
          End         end)
{
  IOService *service;
  gpointer weak_service;
  int fd;

  memset (&plan, 0, sizeof plan);
  plan.place = place;
  plan.deed = deed;
  plan.service = service = weak_service = g_object_new (reentry_service_get_type (),
                                                        "name", "one", NULL);
  g_object_add_weak_pointer (G_OBJECT (service), &weak_service);

  io_service_register (service, NULL);
  fd = run_client ();

  if (weak_service != NULL)
    {
      g_object_ref (service);
      end_client (service, fd, end);
      io_service_terminate (service);
      g_object_unref (service);
    }
  else if (fd >= 0)
    close (fd);
  g_clear_object (&plan.service);
  settle ();

  g_assert_null (weak_service);
  g_assert_cmpuint (plan.n_closed, ==, plan.n_opened);

  return plan.n_met;
}

static void
test_place (Fixture       *fixture,
            gconstpointer  data)
{
  const char *place = data;
  guint n_met = 0;

  for (Deed deed = 0; deed < N_DEEDS; deed++)
    for (End end = 0; end < N_ENDS; end++)
      {
        g_test_message ("%s, deed %u, end %u", place, deed, end);
        n_met += run_plan (place, deed, end);
      }

  g_assert_cmpuint (n_met, >, 0);
}

/* Chained up, and changed its mind: it is not open. */
static void
test_refused (Fixture       *fixture,
              gconstpointer  data)
{
  IOService *service = g_object_new (reentry_service_get_type (), "name", "one", NULL);
  g_autoptr (GError) error = NULL;
  int fd;

  memset (&plan, 0, sizeof plan);
  plan.refuses = TRUE;
  io_service_register (service, &error);
  g_assert_no_error (error);
  fd = raw_client ("one");
  raw_assert_call_fails (fd, IO_OPCODE_OPEN, open_args (0), IO_STREAM_ERROR_FAILED);
  g_assert_false (io_service_is_open (service, NULL));

  plan.refuses = FALSE;
  raw_assert_call (fd, IO_OPCODE_OPEN, open_args (0));
  raw_assert_call_fails (fd, IO_OPCODE_OPEN, open_args (0), IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  g_assert_true (io_service_is_open (service, plan.client));
  close (fd);
  settle ();
  g_assert_cmpuint (plan.n_opened, ==, 1);
  g_assert_cmpuint (plan.n_closed, ==, 1);
  finish (service);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (places); i++)
    {
      g_autofree char *path = g_strdup_printf ("/reentry/service/%s", places[i]);

      g_test_add (path, Fixture, places[i], set_up, test_place, tear_down);
    }
  ADD ("/reentry/service/refused", test_refused);

  return g_test_run ();
}
