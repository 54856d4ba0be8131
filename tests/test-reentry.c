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
  DO_TERMINATE_ASYNC,      /* twice */
  DO_TERMINATE_ASYNC_AND_DROP,
  DO_TERMINATE_IN_ALL_WAYS,
  DO_SEIZE,
  DO_SPEAK,
  DO_FORGET_INTERESTS,
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
  "notify-connected", "message", "set-attribute", "interest", "interest-busy", "client-message"
};

static struct {
  const char   *place;
  Deed          deed;
  IOService    *service;   /* the reference of the program */
  IOUserClient *client;    /* not a reference */
  gboolean      busy;
  gboolean      refuses;   /* after chaining up */
  guint         interests[2];
  guint         n_pending; /* terminations */
  guint         n_met;
  guint         n_opened;
  guint         n_closed;
} plan;

static void
interest_cb (IOService *service,
             guint      type,
             GVariant  *argument,
             gpointer   place);

static void
interests_add (IOService *service)
{
  plan.interests[0] = io_service_register_interest (service, IO_SERVICE_INTEREST_GENERAL, interest_cb,
                                                    (gpointer) "interest", NULL);
  plan.interests[1] = io_service_register_interest (service, IO_SERVICE_INTEREST_BUSY, interest_cb,
                                                    (gpointer) "interest-busy", NULL);
}

static void
interests_remove (IOService *service)
{
  for (guint i = 0; i < G_N_ELEMENTS (plan.interests); i++)
    if (plan.interests[i] != 0)
      io_service_unregister_interest (service, plan.interests[i]);
  memset (plan.interests, 0, sizeof plan.interests);
}

static void
speak (IOService    *service,
       IOUserClient *client)
{
  io_service_message_clients (service, IO_SERVICE_MESSAGE_FAMILY, g_variant_new_uint32 (1), NULL);
  if (client != NULL)
    io_service_message_client (service, client, IO_SERVICE_MESSAGE_FAMILY, NULL, NULL);
  io_service_message (service, IO_SERVICE_MESSAGE_FAMILY, client, NULL, NULL);
  io_service_adjust_busy (service, 1);
  io_service_set_attribute (service, "spoken", g_variant_new_int64 (g_get_monotonic_time ()));
  io_service_register (service, NULL);
  io_service_adjust_busy (service, -1);
}

static void
ended_cb (GObject      *object,
          GAsyncResult *result,
          gpointer      user_data)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (io_service_terminate_finish (IO_SERVICE (object), result, &error));
  g_assert_no_error (error);
  plan.n_pending--;
}

static void
terminate_async (IOService *service)
{
  plan.n_pending++;
  io_service_terminate_async (service, NULL, ended_cb, NULL);
}

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
    case DO_TERMINATE_ASYNC:
      terminate_async (service);
      terminate_async (service);
      break;
    case DO_TERMINATE_ASYNC_AND_DROP:
      terminate_async (service);
      g_clear_object (&plan.service);
      break;
    case DO_TERMINATE_IN_ALL_WAYS:
      terminate_async (service);
      io_service_terminate (service);
      terminate_async (service);
      break;
    case DO_SEIZE:
      if (client != NULL)
        io_service_open (service, client, IO_SERVICE_OPEN_SEIZE, NULL);
      break;
    case DO_SPEAK:
      speak (service, client);
      break;
    case DO_FORGET_INTERESTS:
      interests_remove (service);
      interests_add (service);
      interests_remove (service);
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

static void
interest_cb (IOService *service,
             guint      type,
             GVariant  *argument,
             gpointer   place)
{
  meet (place, service, NULL);
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

static gboolean
reentry_client_message (IOUserClient  *client,
                        guint          type,
                        GVariant      *argument,
                        GError       **error)
{
  meet ("client-message", io_user_client_get_service (client), client);

  return IO_USER_CLIENT_CLASS (reentry_client_parent_class)->message (client, type, argument, error);
}

static void
reentry_client_class_init (ReentryClientClass *klass)
{
  klass->client_close = reentry_client_client_close;
  klass->client_died = reentry_client_client_died;
  klass->client_memory_for_type = reentry_client_client_memory_for_type;
  klass->message = reentry_client_message;
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
  IOUserClient *client = g_object_new (reentry_client_get_type (), NULL);

  if (plan.client == NULL)
    g_set_weak_pointer (&plan.client, client);
  g_signal_connect_object (client, "notify::connected", G_CALLBACK (notify_connected_cb),
                           service, 0);
  meet ("new-user-client", service, NULL);

  return client;
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
reentry_service_message (IOService     *service,
                         guint          type,
                         IOUserClient  *client,
                         GVariant      *argument,
                         GError       **error)
{
  meet ("message", service, client);

  return !plan.refuses;
}

static gboolean
reentry_service_client_set_attribute (IOService     *service,
                                      IOUserClient  *client,
                                      const char    *key,
                                      GVariant      *value,
                                      GError       **error)
{
  meet ("set-attribute", service, client);
  io_service_set_attribute (service, key, value);

  return !plan.refuses;
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
  klass->message = reentry_service_message;
  klass->client_set_attribute = reentry_service_client_set_attribute;
  klass->client_opened = reentry_service_client_opened;
  klass->client_closed = reentry_service_client_closed;
  klass->client_died = reentry_service_client_died;
  klass->terminated = reentry_service_terminated;
}

static void
reentry_service_init (ReentryService *self)
{
}

/* What clients do, whatever becomes of it. */
static int
run_seizer (void)
{
  int fd = raw_connect ("one");

  if (fd < 0)
    return -1;

  raw_send (fd, IO_OPCODE_HELLO, 1, hello_args (1, "seizer"));
  raw_send (fd, IO_OPCODE_WATCH_ATTRIBUTES, 2, g_variant_new ("(b)", TRUE));
  raw_send (fd, IO_OPCODE_SEND_MESSAGE, 3, g_variant_new_parsed ("(@u 65536, @mv nothing)"));
  raw_send (fd, IO_OPCODE_SET_ATTRIBUTE, 4, g_variant_new_parsed ("('gain', @mv just <1>)"));
  raw_send (fd, IO_OPCODE_OPEN, 5, open_args (IO_SERVICE_OPEN_SEIZE));
  settle ();

  return fd;
}

static int
run_client (int *seizer)
{
  int fd = raw_connect ("one");

  if (fd < 0)
    return -1;

  raw_send (fd, IO_OPCODE_HELLO, 1, hello_args (1, "test"));
  raw_send (fd, IO_OPCODE_OPEN, 2, open_args (0));
  settle ();
  *seizer = run_seizer ();
  raw_send (fd, IO_OPCODE_CLOSE, 3, NULL);
  raw_send (fd, IO_OPCODE_OPEN, 4, open_args (0));
  raw_send (fd, IO_OPCODE_GET_MEMORY, 5, g_variant_new ("(u)", 1u));
  raw_send (fd, IO_OPCODE_CLOSE, 6, NULL);
  raw_send (fd, IO_OPCODE_OPEN, 7, open_args (0));
  settle ();

  return fd;
}

static void
end_client (IOService *service,
            int        fd,
            int       *seizer,
            End        end)
{
  if (end == END_SERVICE)
    io_service_terminate (service);
  else if (end == END_CLIENT && plan.client != NULL)
    io_user_client_terminate (plan.client, NULL);
  else if (end == END_HANG_UP && *seizer >= 0)
    {
      close (*seizer);
      *seizer = -1;
    }
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
  int seizer = -1;
  int fd;

  memset (&plan, 0, sizeof plan);
  plan.place = place;
  plan.deed = deed;
  plan.service = service = weak_service = g_object_new (reentry_service_get_type (),
                                                        "name", "one", NULL);
  g_object_add_weak_pointer (G_OBJECT (service), &weak_service);

  interests_add (service);
  io_service_register (service, NULL);
  fd = run_client (&seizer);
  if (weak_service != NULL)
    io_service_adjust_busy (service, 1);
  if (weak_service != NULL)
    io_service_adjust_busy (service, -1);

  if (weak_service != NULL)
    {
      g_object_ref (service);
      end_client (service, fd, &seizer, end);
      io_service_terminate (service);
      g_object_unref (service);
    }
  else if (fd >= 0)
    close (fd);
  if (seizer >= 0)
    close (seizer);
  g_clear_object (&plan.service);
  g_clear_weak_pointer (&plan.client);
  settle ();

  g_assert_null (weak_service);
  g_assert_cmpuint (plan.n_closed, ==, plan.n_opened);
  g_assert_cmpuint (plan.n_pending, ==, 0);

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
  g_clear_weak_pointer (&plan.client);
  finish (service);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  /* the first task has GLib start a thread for good */
  g_object_unref (g_task_new (NULL, NULL, NULL, NULL));
  for (guint i = 0; i < G_N_ELEMENTS (places); i++)
    {
      g_autofree char *path = g_strdup_printf ("/reentry/service/%s", places[i]);

      g_test_add (path, Fixture, places[i], set_up, test_place, tear_down);
    }
  ADD ("/reentry/service/refused", test_refused);

  return g_test_run ();
}
