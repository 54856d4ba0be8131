/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "libiostream/io-door-private.h"
#include "libiostream/io-work-loop.h"

#include "service-util.h"

#include <sys/resource.h>

/* A kind of service that does what the test says. */
#define TEST_TYPE_SERVICE (test_service_get_type ())
G_DECLARE_FINAL_TYPE (TestService, test_service, TEST, SERVICE, IOService)

typedef enum {
  OPEN_DEFAULT,
  OPEN_FAIL,
  OPEN_FAIL_SILENTLY,
  OPEN_TERMINATE_SERVICE,
  OPEN_TERMINATE_CLIENT
} OpenMode;

typedef enum {
  CLIENT_DEFAULT,
  CLIENT_FAIL,
  CLIENT_FAIL_SILENTLY,
  CLIENT_TWICE,
  CLIENT_TERMINATE_SERVICE
} ClientMode;

struct _TestService {
  IOService     parent_instance;

  OpenMode      open_mode;
  ClientMode    client_mode;
  IOUserClient *last_client;   /* for CLIENT_TWICE */
  guint         closes;
  GString      *log;
};

G_DEFINE_FINAL_TYPE (TestService, test_service, IO_TYPE_SERVICE)

static IOUserClient *
test_service_new_user_client (IOService  *service,
                              GVariant   *options,
                              GError    **error)
{
  TestService *self = TEST_SERVICE (service);

  g_assert_true (g_variant_is_of_type (options, G_VARIANT_TYPE_VARDICT));
  switch (self->client_mode)
    {
    case CLIENT_FAIL:
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY, "Not now");
      return NULL;
    case CLIENT_FAIL_SILENTLY:
      return NULL;
    case CLIENT_TWICE:
      if (self->last_client == NULL)
        self->last_client = g_object_new (IO_TYPE_USER_CLIENT, NULL);
      return g_object_ref (self->last_client);
    case CLIENT_TERMINATE_SERVICE:
      io_service_terminate (service);
      break;
    case CLIENT_DEFAULT:
      break;
    }

  return IO_SERVICE_CLASS (test_service_parent_class)->new_user_client (service, options, error);
}

static gboolean
test_service_handle_open (IOService     *service,
                          IOUserClient  *client,
                          guint          options,
                          GError       **error)
{
  TestService *self = TEST_SERVICE (service);

  switch (self->open_mode)
    {
    case OPEN_FAIL:
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_DEVICE, "No camera");
      return FALSE;
    case OPEN_FAIL_SILENTLY:
      return FALSE;
    case OPEN_TERMINATE_SERVICE:
      io_service_terminate (service);
      break;
    case OPEN_TERMINATE_CLIENT:
      io_user_client_terminate (client, NULL);
      break;
    case OPEN_DEFAULT:
      break;
    }

  return IO_SERVICE_CLASS (test_service_parent_class)->handle_open (service, client, options,
                                                                    error);
}

static void
test_service_handle_close (IOService    *service,
                           IOUserClient *client,
                           guint         options)
{
  TEST_SERVICE (service)->closes++;
  IO_SERVICE_CLASS (test_service_parent_class)->handle_close (service, client, options);
}

static void
test_service_client_opened (IOService    *service,
                            IOUserClient *client)
{
  /* unless a handler that ran before has ended it */
  g_assert_true (io_service_is_open (service, client) != io_service_is_inactive (service));
  g_string_append_c (TEST_SERVICE (service)->log, 'o');
}

static void
test_service_client_closed (IOService    *service,
                            IOUserClient *client)
{
  g_assert_false (io_service_is_open (service, client));
  g_string_append_c (TEST_SERVICE (service)->log, 'c');
}

static void
test_service_client_died (IOService    *service,
                          IOUserClient *client)
{
  g_assert_true (IO_IS_USER_CLIENT (client));
  g_string_append_c (TEST_SERVICE (service)->log, 'd');
}

static void
test_service_terminated (IOService *service)
{
  g_assert_null (_io_service_peek_clients (service));
  g_assert_true (io_service_is_inactive (service));
  g_string_append_c (TEST_SERVICE (service)->log, 't');
}

static void
test_service_finalize (GObject *object)
{
  TestService *self = TEST_SERVICE (object);

  g_clear_object (&self->last_client);
  g_string_free (self->log, TRUE);
  G_OBJECT_CLASS (test_service_parent_class)->finalize (object);
}

static void
test_service_class_init (TestServiceClass *klass)
{
  IOServiceClass *service_class = IO_SERVICE_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = test_service_finalize;
  service_class->new_user_client = test_service_new_user_client;
  service_class->handle_open = test_service_handle_open;
  service_class->handle_close = test_service_handle_close;
  service_class->client_opened = test_service_client_opened;
  service_class->client_closed = test_service_client_closed;
  service_class->client_died = test_service_client_died;
  service_class->terminated = test_service_terminated;
}

static void
test_service_init (TestService *self)
{
  self->log = g_string_new (NULL);
}

static TestService *
new_test_service (void)
{
  TestService *self = g_object_new (TEST_TYPE_SERVICE, "name", "one", NULL);
  g_autoptr (GError) error = NULL;

  io_service_register (IO_SERVICE (self), &error);
  g_assert_no_error (error);
  return self;
}

static void
count_cb (GObject    *object,
          GParamSpec *pspec,
          gpointer    user_data)
{
  ++*(guint *) user_data;
}

static void
test_properties (void)
{
  IOService *service = io_service_new ("one");
  IOService *nameless = io_service_new (NULL);
  g_autofree char *name = NULL;
  g_autoptr (IOWorkLoop) work_loop = NULL;
  gboolean registered = TRUE;
  gboolean inactive = TRUE;

  g_object_get (service, "name", &name, "work-loop", &work_loop, "registered", &registered,
                "inactive", &inactive, NULL);
  g_assert_cmpstr (name, ==, "one");
  g_assert_cmpstr (io_service_get_name (service), ==, "one");
  g_assert_null (io_service_get_name (nameless));
  g_assert_null (work_loop);
  g_assert_null (io_service_get_work_loop (service));
  g_assert_false (registered);
  g_assert_false (inactive);
  g_assert_false (io_service_is_open (service, NULL));

  g_assert_finalize_object (service);
  g_assert_finalize_object (nameless);
}

static void
test_attributes (void)
{
  IOService *service = io_service_new ("one");
  g_autoptr (GVariant) width = NULL;
  g_autoptr (GVariant) all = NULL;
  g_autoptr (GVariant) none = NULL;

  io_service_set_attribute (service, "width", g_variant_new_uint32 (640));
  io_service_set_attribute (service, "width", g_variant_new_uint32 (1920));
  io_service_set_attribute (service, "format", g_variant_new_string ("RGB"));
  io_service_set_attribute (service, "gone", g_variant_new_boolean (TRUE));
  io_service_set_attribute (service, "gone", NULL);
  io_service_set_attribute (service, "never", NULL);

  width = io_service_get_attribute (service, "width");
  g_assert_cmpuint (g_variant_get_uint32 (width), ==, 1920);
  g_assert_null (io_service_get_attribute (service, "gone"));
  all = io_service_copy_attributes (service);
  g_assert_false (g_variant_is_floating (all));
  g_assert_cmpuint (g_variant_n_children (all), ==, 2);

  io_service_set_attribute (service, "width", NULL);
  io_service_set_attribute (service, "format", NULL);
  none = io_service_copy_attributes (service);
  g_assert_cmpuint (g_variant_n_children (none), ==, 0);
  g_assert_finalize_object (service);
}

static gpointer
attributes_func (gpointer data)
{
  for (guint i = 0; i < 2000; i++)
    {
      g_autoptr (GVariant) value = NULL;
      g_autoptr (GVariant) all = NULL;

      io_service_set_attribute (data, "n", i % 7 ? g_variant_new_uint32 (i) : NULL);
      value = io_service_get_attribute (data, "n");
      all = io_service_copy_attributes (data);
    }

  return NULL;
}

static void
test_attributes_threads (void)
{
  IOService *service = io_service_new ("one");
  GThread *first = g_thread_new ("first", attributes_func, service);
  GThread *second = g_thread_new ("second", attributes_func, service);

  g_thread_join (first);
  g_thread_join (second);
  g_assert_finalize_object (service);
}

static void
test_register (Fixture       *fixture,
               gconstpointer  data)
{
  IOService *service = io_service_new ("one");
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) names = NULL;
  g_auto (GStrv) none = NULL;
  guint registered = 0;
  guint inactive = 0;

  g_signal_connect (service, "notify::registered", G_CALLBACK (count_cb), &registered);
  g_signal_connect (service, "notify::inactive", G_CALLBACK (count_cb), &inactive);
  g_assert_true (io_service_register (service, &error));
  g_assert_true (io_service_register (service, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (registered, ==, 1);
  names = io_service_list_names (&error);
  g_assert_cmpstr (names[0], ==, "one");
  g_assert_null (names[1]);

  io_service_terminate (service);
  io_service_terminate (service);
  g_assert_false (io_service_is_registered (service));
  g_assert_true (io_service_is_inactive (service));
  g_assert_cmpuint (registered, ==, 2);
  g_assert_cmpuint (inactive, ==, 1);
  none = io_service_list_names (&error);
  g_assert_null (none[0]);

  g_assert_false (io_service_register (service, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY);
  g_assert_finalize_object (service);
}

/* The registration alone keeps it. */
static void
test_registration_holds (Fixture       *fixture,
                         gconstpointer  data)
{
  IOService *service = new_registered ("one");
  gpointer weak = service;
  int client;

  g_object_add_weak_pointer (G_OBJECT (service), &weak);
  g_object_unref (service);
  g_assert_nonnull (weak);
  client = raw_client ("one");

  io_service_terminate (service);
  g_assert_null (weak);
  close (client);
}

static void
test_register_fails (Fixture       *fixture,
                     gconstpointer  data)
{
  g_autoptr (IOService) nameless = io_service_new (NULL);
  g_autoptr (IOService) bad = io_service_new ("a/b");
  g_autoptr (IOService) nowhere = io_service_new ("one");
  g_autoptr (GError) error = NULL;

  g_assert_false (io_service_register (nameless, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
  g_clear_error (&error);
  g_assert_false (io_service_register (bad, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
  g_clear_error (&error);

  /* and it can be tried again */
  g_setenv ("IOSTREAM_RUNTIME_DIR", "/dev/null/x", TRUE);
  g_assert_false (io_service_register (nowhere, &error));
  g_assert_nonnull (strstr (error->message, "“one”"));
  g_clear_error (&error);
  g_setenv ("IOSTREAM_RUNTIME_DIR", fixture->directory, TRUE);
  g_assert_true (io_service_register (nowhere, &error));
  g_assert_no_error (error);
  io_service_terminate (nowhere);
}

static void
test_taken (Fixture       *fixture,
            gconstpointer  data)
{
  IOService *first = new_registered ("one");
  IOService *second = io_service_new ("one");
  g_autoptr (GError) error = NULL;

  g_assert_false (io_service_register (second, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  g_assert_nonnull (strstr (error->message, "“one”"));

  finish (first);
  g_assert_true (io_service_register (second, NULL));
  finish (second);
}

static void
test_hello (Fixture       *fixture,
            gconstpointer  data)
{
  IOService *service = new_registered ("one");
  int fd = raw_connect ("one");
  g_autoptr (GVariant) reply = NULL;
  g_autoptr (GVariant) attributes = NULL;
  g_autoptr (GError) error = NULL;
  const char *name;
  const char *type;
  guint version;
  guint width = 0;
  guint pid = 0;
  guint uid = G_MAXUINT;

  io_service_set_attribute (service, "width", g_variant_new_uint32 (640));
  reply = raw_hello (fd, &error);
  g_assert_no_error (error);
  g_variant_get (reply, "(u&s&s@a{sv})", &version, &name, &type, &attributes);
  g_assert_cmpuint (version, ==, 1);
  g_assert_cmpstr (name, ==, "one");
  g_assert_cmpstr (type, ==, "IOService");
  g_assert_true (g_variant_lookup (attributes, "width", "u", &width));
  g_assert_true (g_variant_lookup (attributes, "pid", "u", &pid));
  g_assert_true (g_variant_lookup (attributes, "uid", "u", &uid));
  g_assert_cmpuint (width, ==, 640);
  g_assert_cmpuint (pid, ==, getpid ());
  g_assert_cmpuint (uid, ==, geteuid ());
  g_assert_cmpuint (g_list_length (_io_service_peek_clients (service)), ==, 1);

  raw_assert_call_fails (fd, IO_OPCODE_HELLO, hello_args (1, "again"),
                         IO_STREAM_ERROR_BAD_MESSAGE);
  close (fd);
  settle ();
  g_assert_null (_io_service_peek_clients (service));
  finish (service);
}

static void
test_hello_refused (Fixture       *fixture,
                    gconstpointer  data)
{
  IOService *service = new_registered ("one");
  g_autoptr (GError) error = NULL;
  int fd = raw_connect ("one");

  raw_assert_call_fails (fd, IO_OPCODE_HELLO, hello_args (2, "new"),
                         IO_STREAM_ERROR_UNSUPPORTED);
  raw_assert_end (fd);
  close (fd);

  fd = raw_connect ("one");
  raw_assert_call_fails (fd, IO_OPCODE_GET_ATTRIBUTES, NULL, IO_STREAM_ERROR_IPC_ERROR);
  raw_assert_end (fd);
  close (fd);

  fd = raw_connect ("one");
  g_assert_true (raw_send_bytes (fd, "rubbish", 7));
  g_assert_null (raw_answer (fd, 0, 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR);
  close (fd);

  g_assert_cmpuint (_io_service_get_violations (service), ==, 2);
  g_assert_cmpuint (_io_service_get_waiting (service), ==, 0);
  finish (service);
}

static void
test_hello_timeout (Fixture       *fixture,
                    gconstpointer  data)
{
  IOService *service = new_registered ("one");
  g_autoptr (GError) error = NULL;
  int fd;

  _io_door_hello_timeout = 1;
  fd = raw_connect ("one");
  g_assert_null (raw_answer (fd, 0, 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT);
  raw_assert_end (fd);
  _io_door_hello_timeout = 5000;

  close (fd);
  finish (service);
}

static void
test_too_many_attributes (Fixture       *fixture,
                          gconstpointer  data)
{
  IOService *service = new_registered ("one");
  g_autofree char *text = g_strnfill (IO_PROTOCOL_MAX_PACKET, 'x');
  int fd;

  io_service_set_attribute (service, "long", g_variant_new_string (text));
  fd = raw_client ("one");
  raw_assert_call_fails (fd, IO_OPCODE_GET_ATTRIBUTES, NULL, IO_STREAM_ERROR_MESSAGE_TOO_LARGE);
  io_service_set_attribute (service, "long", NULL);
  raw_assert_call (fd, IO_OPCODE_GET_ATTRIBUTES, NULL);

  close (fd);
  settle ();
  finish (service);
}

static gboolean
authorize_cb (IOService    *service,
              IOUserClient *client,
              gpointer      user_data)
{
  g_assert_true (io_user_client_is_connected (client));
  g_assert_cmpint (io_user_client_get_pid (client), ==, getpid ());
  g_assert_cmpuint (io_user_client_get_uid (client), ==, geteuid ());
  g_assert_cmpuint (io_user_client_get_gid (client), ==, getegid ());
  g_assert_true (io_user_client_get_service (client) == service);

  return GPOINTER_TO_INT (user_data);
}

static void
test_authorize (Fixture       *fixture,
                gconstpointer  data)
{
  IOService *service = new_registered ("one");
  int fd = raw_connect ("one");
  gulong id = g_signal_connect (service, "authorize", G_CALLBACK (authorize_cb),
                                GINT_TO_POINTER (FALSE));

  raw_assert_call_fails (fd, IO_OPCODE_HELLO, hello_args (1, "x"),
                         IO_STREAM_ERROR_NOT_PERMITTED);
  raw_assert_end (fd);
  close (fd);
  g_assert_null (_io_service_peek_clients (service));
  g_signal_handler_disconnect (service, id);

  /* The first decides. */
  g_signal_connect (service, "authorize", G_CALLBACK (authorize_cb), GINT_TO_POINTER (TRUE));
  g_signal_connect (service, "authorize", G_CALLBACK (authorize_cb), GINT_TO_POINTER (FALSE));
  close (raw_client ("one"));
  settle ();
  finish (service);
}

static gboolean
authorize_terminate_cb (IOService    *service,
                        IOUserClient *client,
                        gpointer      user_data)
{
  if (user_data != NULL)
    io_service_terminate (service);
  else
    io_user_client_terminate (client, NULL);

  return TRUE;
}

static void
test_authorize_terminate (Fixture       *fixture,
                          gconstpointer  data)
{
  IOService *service = new_registered ("one");
  int fd = raw_connect ("one");
  gulong id = g_signal_connect (service, "authorize", G_CALLBACK (authorize_terminate_cb), NULL);
  g_autoptr (GError) error = NULL;

  g_assert_null (raw_hello (fd, &error));
  g_assert_error (error, IO_STREAM_ERROR, 0);
  raw_assert_end (fd);
  close (fd);
  g_clear_error (&error);
  g_signal_handler_disconnect (service, id);

  g_signal_connect (service, "authorize", G_CALLBACK (authorize_terminate_cb), service);
  fd = raw_connect ("one");
  g_assert_null (raw_hello (fd, &error));
  g_assert_error (error, IO_STREAM_ERROR, 0);
  close (fd);
  settle ();
  g_assert_finalize_object (service);
}

static void
test_other_user (Fixture       *fixture,
                 gconstpointer  data)
{
  IOService *service;
  int pair[2];
  int status;
  pid_t pid;

  if (geteuid () != 0)
    {
      g_test_skip ("needs root");
      return;
    }

  service = new_registered ("one");
  g_assert_cmpint (chmod (fixture->directory, 0711), ==, 0);
  {
    g_autofree char *path = _io_names_dup_socket_path ("one", NULL);

    g_assert_cmpint (chmod (path, 0666), ==, 0);
  }
  g_assert_cmpint (pipe2 (pair, O_CLOEXEC), ==, 0);
  pid = fork ();
  if (pid == 0)
    {
      struct pollfd poll_fd;
      guint8 buffer[4096];
      IOPacketHeader header;
      g_autoptr (GVariant) body = NULL;
      gssize n;
      int fd;

      if (setgid (12345) < 0 || setuid (12345) < 0)
        _exit (1);
      fd = raw_connect ("one");
      if (fd < 0 || !raw_send (fd, IO_OPCODE_HELLO, 1, hello_args (1, "stranger")))
        _exit (2);
      poll_fd = (struct pollfd) { fd, POLLIN, 0 };
      poll (&poll_fd, 1, 10000);
      n = recv (fd, buffer, sizeof buffer, 0);
      if (n <= 0 || !_io_packet_parse (buffer, n, &header, &body, NULL))
        _exit (3);
      _exit (header.status == IO_STREAM_ERROR_NOT_PERMITTED ? 0 : 4);
    }
  close (pair[1]);
  raw_wait (pair[0]);
  close (pair[0]);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  g_assert_cmpint (chmod (fixture->directory, 0700), ==, 0);
  settle ();
  finish (service);
}

static void
test_new_user_client_fails (Fixture       *fixture,
                            gconstpointer  data)
{
  TestService *service = new_test_service ();
  g_autoptr (GError) error = NULL;
  int first;
  int fd = raw_connect ("one");

  service->client_mode = CLIENT_FAIL;
  raw_assert_call_fails (fd, IO_OPCODE_HELLO, hello_args (1, "x"), IO_STREAM_ERROR_BUSY);
  close (fd);

  service->client_mode = CLIENT_FAIL_SILENTLY;
  fd = raw_connect ("one");
  g_assert_null (raw_hello (fd, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED);
  g_assert_nonnull (strstr (error->message, "TestService"));
  close (fd);

  service->client_mode = CLIENT_TWICE;
  first = raw_client ("one");
  fd = raw_connect ("one");
  raw_assert_call_fails (fd, IO_OPCODE_HELLO, hello_args (1, "x"), IO_STREAM_ERROR_FAILED);
  raw_assert_call (first, IO_OPCODE_GET_ATTRIBUTES, NULL);
  close (fd);
  close (first);

  service->client_mode = CLIENT_TERMINATE_SERVICE;
  fd = raw_connect ("one");
  raw_assert_call_fails (fd, IO_OPCODE_HELLO, hello_args (1, "x"), IO_STREAM_ERROR_NOT_READY);
  close (fd);
  settle ();
  g_assert_finalize_object (service);
}

static void
test_open_close (Fixture       *fixture,
                 gconstpointer  data)
{
  TestService *service = new_test_service ();
  int first = raw_client ("one");
  int second = raw_client ("one");

  raw_assert_call_fails (first, IO_OPCODE_READY, NULL, IO_STREAM_ERROR_NOT_OPEN);
  raw_assert_call_fails (first, IO_OPCODE_OPEN,
                         open_args (IO_STREAM_OPEN_EXCLUSIVE | IO_STREAM_OPEN_SHARED),
                         IO_STREAM_ERROR_BAD_ARGUMENT);
  raw_assert_call (first, IO_OPCODE_OPEN, open_args (0));
  raw_assert_call (first, IO_OPCODE_READY, NULL);
  g_assert_true (io_service_is_open (IO_SERVICE (service), NULL));
  raw_assert_call_fails (first, IO_OPCODE_OPEN, open_args (0), IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  raw_assert_call_fails (second, IO_OPCODE_OPEN, open_args (0), IO_STREAM_ERROR_EXCLUSIVE_ACCESS);

  raw_assert_call (second, IO_OPCODE_CLOSE, NULL);
  g_assert_true (io_service_is_open (IO_SERVICE (service), NULL));
  raw_assert_call (first, IO_OPCODE_CLOSE, NULL);
  g_assert_false (io_service_is_open (IO_SERVICE (service), NULL));
  raw_assert_call (second, IO_OPCODE_OPEN, open_args (0));
  g_assert_cmpstr (service->log->str, ==, "oco");

  /* gone with it open, and without */
  close (first);
  close (second);
  settle ();
  g_assert_cmpstr (service->log->str, ==, "ocodc");
  g_assert_cmpuint (service->closes, ==, 2);
  finish (IO_SERVICE (service));
}

static void
test_open_fails (Fixture       *fixture,
                 gconstpointer  data)
{
  TestService *service = new_test_service ();
  g_autoptr (GError) error = NULL;
  int fd = raw_client ("one");

  service->open_mode = OPEN_FAIL;
  g_assert_null (raw_call (fd, IO_OPCODE_OPEN, open_args (0), &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_DEVICE);
  g_assert_cmpstr (error->message, ==, "No camera");
  g_clear_error (&error);

  service->open_mode = OPEN_FAIL_SILENTLY;
  g_assert_null (raw_call (fd, IO_OPCODE_OPEN, open_args (0), &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED);
  g_assert_nonnull (strstr (error->message, "TestService"));
  g_clear_error (&error);
  g_assert_cmpuint (service->closes, ==, 0);

  /* Opened for somebody who is gone by then: closed again, and not told. */
  service->open_mode = OPEN_TERMINATE_CLIENT;
  g_assert_null (raw_call (fd, IO_OPCODE_OPEN, open_args (0), &error));
  g_assert_cmpuint (service->closes, ==, 1);
  g_assert_false (io_service_is_open (IO_SERVICE (service), NULL));
  close (fd);

  service->open_mode = OPEN_TERMINATE_SERVICE;
  fd = raw_client ("one");
  raw_send (fd, IO_OPCODE_OPEN, 9, open_args (0));
  settle ();
  g_assert_cmpuint (service->closes, ==, 2);
  g_assert_cmpstr (service->log->str, ==, "t");
  close (fd);
  g_assert_finalize_object (service);
}

/* The same by the functions, for a user client that nobody is connected to. */
static void
test_open_function (void)
{
  IOService *service = io_service_new (NULL);
  IOUserClient *client = g_object_new (IO_TYPE_USER_CLIENT, NULL);
  IOUserClient *other = g_object_new (IO_TYPE_USER_CLIENT, NULL);
  g_autoptr (GError) error = NULL;

  g_assert_null (io_user_client_get_service (client));
  g_assert_null (io_user_client_get_client_name (client));
  g_assert_true (io_service_open (service, client, 0, &error));
  g_assert_no_error (error);
  g_assert_true (io_service_is_open (service, client));
  g_assert_true (io_service_is_open (service, NULL));
  g_assert_false (io_service_is_open (service, other));
  g_assert_false (io_service_open (service, other, 0, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  g_clear_error (&error);
  io_service_close (service, other, 0);
  g_assert_true (io_service_is_open (service, client));
  io_service_close (service, client, 0);
  g_assert_false (io_service_is_open (service, NULL));

  io_service_terminate (service);
  g_assert_false (io_service_open (service, client, 0, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY);
  g_assert_finalize_object (service);
  g_assert_finalize_object (client);
  g_assert_finalize_object (other);
}

static void
test_terminate_with_clients (Fixture       *fixture,
                             gconstpointer  data)
{
  TestService *service = new_test_service ();
  int opened = raw_client ("one");
  int idle = raw_client ("one");
  int silent = raw_connect ("one");
  int fds[] = { opened, idle, silent };

  raw_assert_call (opened, IO_OPCODE_OPEN, open_args (0));
  settle ();
  g_assert_cmpuint (_io_service_get_waiting (IO_SERVICE (service)), ==, 1);
  /* something unread does not hide the last words */
  raw_send (idle, IO_OPCODE_GET_ATTRIBUTES, 5, NULL);
  io_service_terminate (IO_SERVICE (service));
  g_assert_cmpstr (service->log->str, ==, "oct");

  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      g_autoptr (GVariant) body = NULL;
      IOPacketHeader header;

      /* what is said to all clients comes before */
      do
        {
          g_clear_pointer (&body, g_variant_unref);
          body = raw_receive (fds[i], &header, NULL);
          g_assert_nonnull (body);
        }
      while (header.opcode == IO_OPCODE_MESSAGE);
      g_assert_cmpuint (header.opcode, ==, IO_OPCODE_TERMINATED);
      raw_assert_end (fds[i]);
      close (fds[i]);
    }
  g_assert_cmpint (raw_connect ("one"), ==, -1);
  g_assert_finalize_object (service);
}

static void
terminate_cb (IOService    *service,
              IOUserClient *client,
              gpointer      user_data)
{
  io_service_terminate (service);
  g_assert_false (io_user_client_is_connected (client));
}

/* From within each of its own signals. */
static void
test_terminate_in_handlers (Fixture       *fixture,
                            gconstpointer  data)
{
  static const char * const names[] = { "client-opened", "client-closed", "client-died" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      TestService *service = new_test_service ();
      int fd = raw_client ("one");
      gpointer weak = service;

      g_signal_connect (service, names[i], G_CALLBACK (terminate_cb), NULL);
      g_object_add_weak_pointer (G_OBJECT (service), &weak);
      raw_send (fd, IO_OPCODE_OPEN, 9, open_args (0));
      close (fd);
      g_object_unref (service);
      settle ();
      g_assert_null (weak);
    }
}

static void
test_add_socket (Fixture       *fixture,
                 gconstpointer  data)
{
  TestService *service = g_object_new (TEST_TYPE_SERVICE, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocket) socket = NULL;
  g_autoptr (GVariant) reply = NULL;
  gpointer weak = service;
  int fds[2];

  g_object_add_weak_pointer (G_OBJECT (service), &weak);
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
                   ==, 0);
  socket = g_socket_new_from_fd (fds[0], &error);
  g_assert_true (io_service_add_socket (IO_SERVICE (service), socket, &error));
  g_assert_no_error (error);
  g_clear_object (&socket);

  reply = raw_hello (fds[1], &error);
  g_assert_no_error (error);
  raw_assert_call (fds[1], IO_OPCODE_OPEN, open_args (0));

  /* The connection keeps it. */
  g_object_unref (service);
  g_assert_nonnull (weak);
  raw_assert_call (fds[1], IO_OPCODE_GET_ATTRIBUTES, NULL);
  close (fds[1]);
  settle ();
  g_assert_null (weak);
}

static void
test_add_socket_fails (Fixture       *fixture,
                       gconstpointer  data)
{
  IOService *service = io_service_new (NULL);
  g_autoptr (GError) error = NULL;
  int types[] = { SOCK_STREAM, SOCK_DGRAM };
  GSocket *added;
  int fds[2];

  for (guint i = 0; i < G_N_ELEMENTS (types); i++)
    {
      g_assert_cmpint (socketpair (AF_UNIX, types[i] | SOCK_CLOEXEC, 0, fds), ==, 0);
      added = g_socket_new_from_fd (fds[0], NULL);
      g_assert_false (io_service_add_socket (service, added, &error));
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
      g_clear_error (&error);
      g_object_unref (added);
      close (fds[1]);
    }

  /* not connected */
  added = g_socket_new_from_fd (socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), NULL);
  g_assert_false (io_service_add_socket (service, added, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
  g_clear_error (&error);
  g_object_unref (added);

  io_service_terminate (service);
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), ==, 0);
  added = g_socket_new_from_fd (fds[0], NULL);
  g_assert_false (io_service_add_socket (service, added, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY);
  g_object_unref (added);
  close (fds[1]);
  g_assert_finalize_object (service);
}

static void
test_limit_of_user (Fixture       *fixture,
                    gconstpointer  data)
{
  IOService *service = new_registered ("one");
  int fds[IO_DOOR_MAX_CONNECTIONS_UID];
  g_autoptr (GError) error = NULL;
  int fd;

  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      fds[i] = raw_connect ("one");
      g_assert_cmpint (fds[i], >=, 0);
      if (i % 32 == 31)
        settle ();
    }
  g_assert_cmpuint (_io_service_get_waiting (service), ==, IO_DOOR_MAX_CONNECTIONS_UID);

  fd = raw_connect ("one");
  g_assert_null (raw_answer (fd, 0, 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES);
  raw_assert_end (fd);
  close (fd);

  /* One goes, one can come. */
  close (fds[0]);
  settle ();
  close (raw_client ("one"));
  for (guint i = 1; i < G_N_ELEMENTS (fds); i++)
    close (fds[i]);
  settle ();
  g_assert_cmpuint (_io_service_get_waiting (service), ==, 0);
  finish (service);
}

/* The limit on descriptors: visitors are turned away and nothing spins. */
static void
test_out_of_descriptors (Fixture       *fixture,
                         gconstpointer  data)
{
  IOService *service = new_registered ("one");
  g_autoptr (GError) error = NULL;
  struct rlimit old;
  struct rlimit low;
  int served = raw_client ("one");
  int near = raw_connect ("one");
  int over = raw_connect ("one");
  int top = dup (0);

  close (top);
  g_assert_cmpint (getrlimit (RLIMIT_NOFILE, &old), ==, 0);
  low = old;
  low.rlim_cur = top + IO_DOOR_RESERVED_DESCRIPTORS - 4;
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &low), ==, 0);
  g_assert_null (raw_answer (near, 0, 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES);
  g_clear_error (&error);
  g_assert_null (raw_answer (over, 0, 0, NULL, &error));
  close (near);
  close (over);
  g_clear_error (&error);

  /* none at all left */
  near = raw_connect ("one");
  low.rlim_cur = top;
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &low), ==, 0);
  g_assert_null (raw_answer (near, 0, 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES);
  raw_assert_call (served, IO_OPCODE_GET_ATTRIBUTES, NULL);
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &old), ==, 0);

  close (near);
  close (raw_client ("one"));
  close (served);
  settle ();
  finish (service);
}

static gboolean
on_loop_cb (IOService    *service,
            IOUserClient *client,
            gpointer      user_data)
{
  g_assert_true (io_work_loop_on_thread (io_service_get_work_loop (service)));
  return TRUE;
}

static void
test_work_loop (Fixture       *fixture,
                gconstpointer  data)
{
  g_autoptr (IOWorkLoop) loop = io_work_loop_new ("service");
  IOService *service = g_object_new (IO_TYPE_SERVICE, "name", "one", "work-loop", loop, NULL);
  g_autoptr (GError) error = NULL;
  int fd;

  g_assert_true (io_service_get_work_loop (service) == loop);
  g_assert_true (_io_service_get_context (service) == io_work_loop_get_context (loop));
  g_signal_connect (service, "authorize", G_CALLBACK (on_loop_cb), NULL);
  g_assert_true (io_service_register (service, &error));
  g_assert_no_error (error);

  fd = raw_client ("one");
  raw_assert_call (fd, IO_OPCODE_OPEN, open_args (0));
  io_service_terminate (service);
  g_assert_false (io_service_is_registered (service));
  close (fd);
  io_work_loop_shut_down (loop);
  g_assert_finalize_object (service);
}

static void
test_work_loop_shut_down (Fixture       *fixture,
                          gconstpointer  data)
{
  g_autoptr (IOWorkLoop) loop = io_work_loop_new ("service");
  IOService *first = g_object_new (IO_TYPE_SERVICE, "name", "one", "work-loop", loop, NULL);
  IOService *second = g_object_new (IO_TYPE_SERVICE, "name", "two", "work-loop", loop, NULL);
  g_autoptr (GError) error = NULL;

  g_assert_true (io_service_register (first, NULL));
  io_work_loop_shut_down (loop);
  g_assert_false (io_service_register (second, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY);
  io_service_terminate (first);
  g_assert_true (io_service_is_inactive (first));
  g_assert_finalize_object (first);
  g_assert_finalize_object (second);
}

static void
test_fork (Fixture       *fixture,
           gconstpointer  data)
{
  TestService *service = new_test_service ();
  IOService *idle = io_service_new ("two");
  int fd = raw_client ("one");
  int status;
  pid_t pid;

  raw_assert_call (fd, IO_OPCODE_OPEN, open_args (0));
  pid = fork ();
  if (pid == 0)
    {
      g_autoptr (GError) error = NULL;
      IOUserClient *client = _io_service_peek_clients (IO_SERVICE (service))->data;

      if (io_service_register (idle, &error) ||
          !g_error_matches (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN))
        _exit (1);
      if (io_service_open (IO_SERVICE (service), client, 0, NULL) ||
          io_service_is_open (IO_SERVICE (service), NULL) ||
          io_service_is_registered (IO_SERVICE (service)) ||
          io_user_client_is_connected (client))
        _exit (2);
      io_user_client_terminate (client, NULL);
      io_service_terminate (IO_SERVICE (service));
      raw_send (fd, IO_OPCODE_GET_ATTRIBUTES, 77, NULL);
      settle ();
      exit (0);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);

  /* All is as it was, and what the child sent is still there for us. */
  g_variant_unref (raw_answer (fd, IO_OPCODE_GET_ATTRIBUTES, 77, NULL, NULL));
  raw_assert_call (fd, IO_OPCODE_READY, NULL);
  close (raw_client ("one"));
  close (fd);
  settle ();
  g_assert_cmpstr (service->log->str, ==, "odc");
  finish (IO_SERVICE (service));
  g_assert_finalize_object (idle);
}

/* A child of ours that lives on does not keep the client waiting. */
static void
test_terminate_with_child (Fixture       *fixture,
                           gconstpointer  data)
{
  IOService *service = new_registered ("one");
  int fd = raw_client ("one");
  g_autoptr (GVariant) body = NULL;
  IOPacketHeader header;
  pid_t pid = fork ();

  if (pid == 0)
    for (;;)
      pause ();
  finish (service);
  do
    {
      g_clear_pointer (&body, g_variant_unref);
      body = raw_receive (fd, &header, NULL);
      g_assert_nonnull (body);
    }
  while (header.opcode == IO_OPCODE_MESSAGE);
  g_assert_cmpuint (header.opcode, ==, IO_OPCODE_TERMINATED);
  raw_assert_end (fd);
  close (fd);

  service = new_registered ("one");
  finish (service);
  g_assert_cmpint (kill (pid, SIGKILL), ==, 0);
  g_assert_cmpint (waitpid (pid, NULL, 0), ==, pid);
}

/* An owner in a process of its own, which says when it is ready. */
static pid_t
fork_owner (const char *name)
{
  int fds[2];
  char byte;
  pid_t pid;

  g_assert_cmpint (pipe2 (fds, O_CLOEXEC), ==, 0);
  pid = fork ();
  if (pid == 0)
    {
      IOService *service = io_service_new (name);

      if (!io_service_register (service, NULL) || write (fds[1], "!", 1) != 1)
        _exit (1);
      for (;;)
        g_main_context_iteration (NULL, TRUE);
    }
  close (fds[1]);
  g_assert_cmpint (read (fds[0], &byte, 1), ==, 1);
  close (fds[0]);
  return pid;
}

static void
test_killed_owner (Fixture       *fixture,
                   gconstpointer  data)
{
  for (guint i = 0; i < 20; i++)
    {
      pid_t pid = fork_owner ("one");
      int fd = raw_client ("one");
      g_autoptr (IOService) service = io_service_new ("one");
      g_autoptr (GError) error = NULL;

      g_assert_false (io_service_register (service, &error));
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
      g_clear_error (&error);
      raw_assert_call (fd, IO_OPCODE_OPEN, open_args (0));

      g_assert_cmpint (kill (pid, SIGKILL), ==, 0);
      g_assert_cmpint (waitpid (pid, NULL, 0), ==, pid);
      raw_assert_end (fd);
      close (fd);
      g_assert_true (io_service_register (service, &error));
      g_assert_no_error (error);
      close (raw_client ("one"));
      settle ();
      io_service_terminate (service);
    }
}

/* One that opens in a process of its own, and is killed. */
static void
test_killed_client (Fixture       *fixture,
                    gconstpointer  data)
{
  TestService *service = new_test_service ();

  for (guint i = 0; i < 20; i++)
    {
      pid_t pid = fork ();

      if (pid == 0)
        {
          int fd = raw_connect ("one");

          raw_send (fd, IO_OPCODE_HELLO, 1, hello_args (1, "child"));
          raw_send (fd, IO_OPCODE_OPEN, 2, open_args (0));
          for (;;)
            pause ();
        }
      while (!io_service_is_open (IO_SERVICE (service), NULL))
        g_main_context_iteration (NULL, TRUE);
      g_assert_cmpint (kill (pid, SIGKILL), ==, 0);
      while (io_service_is_open (IO_SERVICE (service), NULL))
        g_main_context_iteration (NULL, TRUE);
      g_assert_cmpint (waitpid (pid, NULL, 0), ==, pid);
      g_assert_cmpstr (service->log->str, ==, "odc");
      g_string_truncate (service->log, 0);
    }

  finish (IO_SERVICE (service));
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/service/properties", test_properties);
  g_test_add_func ("/service/attributes", test_attributes);
  g_test_add_func ("/service/open-function", test_open_function);
  ADD ("/service/register", test_register);
  ADD ("/service/registration-holds", test_registration_holds);
  ADD ("/service/register-fails", test_register_fails);
  ADD ("/service/taken", test_taken);
  ADD ("/service/hello", test_hello);
  ADD ("/service/hello-refused", test_hello_refused);
  ADD ("/service/hello-timeout", test_hello_timeout);
  ADD ("/service/too-many-attributes", test_too_many_attributes);
  ADD ("/service/authorize", test_authorize);
  ADD ("/service/authorize-terminate", test_authorize_terminate);
  ADD ("/service/other-user", test_other_user);
  ADD ("/service/new-user-client-fails", test_new_user_client_fails);
  ADD ("/service/open-close", test_open_close);
  ADD ("/service/open-fails", test_open_fails);
  ADD ("/service/terminate-with-clients", test_terminate_with_clients);
  ADD ("/service/terminate-in-handlers", test_terminate_in_handlers);
  ADD ("/service/add-socket", test_add_socket);
  ADD ("/service/add-socket-fails", test_add_socket_fails);
  ADD ("/service/limit-of-user", test_limit_of_user);
  ADD ("/service/out-of-descriptors", test_out_of_descriptors);
  ADD ("/service/fork", test_fork);
  ADD ("/service/terminate-with-child", test_terminate_with_child);
  ADD ("/service/killed-owner", test_killed_owner);
  ADD ("/service/killed-client", test_killed_client);
  /* the ones that make threads */
  g_test_add_func ("/service/attributes-threads", test_attributes_threads);
  ADD ("/service/work-loop", test_work_loop);
  ADD ("/service/work-loop-shut-down", test_work_loop_shut_down);

  return g_test_run ();
}
