/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Methods, traps, memory and ports: a client in this thread, the owner in
 * another one. */

#include "stream-util.h"

#include "methods-util.h"

#include "libiostream/io-service-private.h"

#define NAME "methods"

typedef struct {
  IOWorkLoop     *loop;
  MethodsService *service;
  IOConnection   *connection;
  gboolean        read_only;
  guint64         max_bytes;
} Fixture;

static void
set_up (Fixture       *f,
        gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  f->loop = stream_util_new_loop ();
  f->service = methods_new_registered (NAME, f->loop);
  f->connection = stream_util_connect_plain (IO_SERVICE (f->service), &error);
  g_assert_no_error (error);
}

static void
tear_down (Fixture       *f,
           gconstpointer  data)
{
  stream_util_settle ();
  if (f->connection != NULL)
    g_assert_finalize_object (f->connection);
  io_service_terminate (IO_SERVICE (f->service));
  stream_util_catch_up (f->loop);
  stream_util_shut_down (f->loop);
  g_assert_cmpint (f->service->n_closed + f->service->n_died, ==, 1);
  g_assert_finalize_object (f->service);
  stream_util_finish_loop (f->loop);
}

static void
assert_call_fails (Fixture       *f,
              guint          selector,
              const guint64 *scalars,
              guint          n_scalars,
              GBytes        *structure,
              guint          max_scalars,
              guint          max_structure,
              int            code)
{
  guint64 *out = (guint64 *) f;
  guint n_out = 77;
  GBytes *structure_out = (GBytes *) f;
  g_autoptr (GError) error = NULL;

  g_assert_false (io_connection_call_method (f->connection, selector, scalars, n_scalars, structure,
                                             max_scalars, max_structure, &out, &n_out,
                                             &structure_out, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, code);
  g_assert_null (out);
  g_assert_cmpuint (n_out, ==, 0);
  g_assert_null (structure_out);
}

static void
check_echo (Fixture *f,
            guint    n_scalars,
            gsize    size)
{
  guint64 scalars[17];
  g_autofree guint64 *out = NULL;
  g_autoptr (GBytes) structure = methods_new_bytes (size);
  g_autoptr (GBytes) back = NULL;
  g_autoptr (GError) error = NULL;
  guint n_out;

  for (guint i = 0; i < n_scalars; i++)
    scalars[i] = G_MAXUINT64 - i;
  g_assert_true (io_connection_call_method (f->connection, METHOD_ECHO, scalars, n_scalars, structure,
                                            16, ANY, &out, &n_out, &back, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (n_out, ==, n_scalars);
  if (n_scalars > 0)
    g_assert_cmpmem (out, n_out * 8, scalars, n_scalars * 8);
  g_assert_true (g_bytes_equal (structure, back));
}

static void
test_echo (Fixture       *f,
           gconstpointer  data)
{
  static const gsize sizes[] = { 0, 1, 4095, 4096, 4097, 65536, 65537, 1000000, 64 << 20 };

  for (guint n = 0; n <= 16; n++)
    check_echo (f, n, 1);
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    check_echo (f, 16, sizes[i]);
  check_echo (f, 3, 5000);
}

static void
test_no_places (Fixture       *f,
                gconstpointer  data)
{
  guint64 scalars[2] = { 40, 2 };
  g_autoptr (GError) error = NULL;

  g_assert_true (io_connection_call_method (f->connection, METHOD_SUM, scalars, 2, NULL, 1, 0,
                                            NULL, NULL, NULL, NULL, &error));
  g_assert_no_error (error);
}

static void
test_counts (Fixture       *f,
             gconstpointer  data)
{
  guint64 scalars[17] = { 40, 2 };
  g_autofree guint64 *out = NULL;
  g_autoptr (GBytes) one = methods_new_bytes (1);
  g_autoptr (GBytes) huge = methods_new_bytes ((64 << 20) + 1);
  g_autoptr (GError) error = NULL;
  guint n_out;

  g_assert_true (io_connection_call_method (f->connection, METHOD_SUM, scalars, 2, NULL, 1, 0, &out,
                                            &n_out, NULL, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (n_out, ==, 1);
  g_assert_cmpuint (out[0], ==, 42);
  g_clear_pointer (&out, g_free);
  /* As the table says. */
  g_assert_true (io_connection_call_method (f->connection, METHOD_SUM, scalars, 2, NULL, ANY, ANY,
                                            &out, &n_out, NULL, NULL, &error));
  g_assert_no_error (error);

  assert_call_fails (f, METHOD_SUM, scalars, 1, NULL, 1, 0, IO_STREAM_ERROR_BAD_ARGUMENT);
  assert_call_fails (f, METHOD_SUM, scalars, 3, NULL, 1, 0, IO_STREAM_ERROR_BAD_ARGUMENT);
  assert_call_fails (f, METHOD_SUM, scalars, 2, one, 1, 0, IO_STREAM_ERROR_BAD_ARGUMENT);
  assert_call_fails (f, METHOD_SUM, scalars, 2, NULL, 0, 0, IO_STREAM_ERROR_BAD_ARGUMENT);
  assert_call_fails (f, METHOD_SUM, scalars, 2, NULL, 2, 0, IO_STREAM_ERROR_BAD_ARGUMENT);
  assert_call_fails (f, METHOD_SUM, scalars, 2, NULL, 1, 1, IO_STREAM_ERROR_BAD_ARGUMENT);
  assert_call_fails (f, METHOD_ECHO, scalars, 17, NULL, 1, 1, IO_STREAM_ERROR_BAD_ARGUMENT);
  assert_call_fails (f, METHOD_ECHO, scalars, 1, NULL, 17, 1, IO_STREAM_ERROR_BAD_ARGUMENT);
  assert_call_fails (f, METHOD_ECHO, NULL, 0, huge, 0, 0, IO_STREAM_ERROR_MESSAGE_TOO_LARGE);
  /* The client's places are too small. */
  assert_call_fails (f, METHOD_ECHO, scalars, 2, NULL, 1, 0, IO_STREAM_ERROR_NO_SPACE);
  assert_call_fails (f, METHOD_ECHO, NULL, 0, one, 0, 0, IO_STREAM_ERROR_NO_SPACE);

  assert_call_fails (f, N_METHODS, NULL, 0, NULL, 0, 0, IO_STREAM_ERROR_BAD_ARGUMENT);
  assert_call_fails (f, G_MAXUINT, NULL, 0, NULL, 0, 0, IO_STREAM_ERROR_BAD_ARGUMENT);
  assert_call_fails (f, METHOD_EMPTY, NULL, 0, NULL, 0, 0, IO_STREAM_ERROR_NO_COMPLETION);
  assert_call_fails (f, METHOD_FAIL, NULL, 0, NULL, 0, 0, IO_STREAM_ERROR_DEVICE_ERROR);
  assert_call_fails (f, METHOD_FAIL_SILENTLY, NULL, 0, NULL, 0, 0, IO_STREAM_ERROR_FAILED);
  check_echo (f, 2, 10);
}

/* A table of its own comes before that of the class. */
static gboolean
set_dispatch (gpointer user_data)
{
  static const IOExternalMethodDispatch table[] = { { methods_sum, 2, 0, 1, 0, FALSE } };
  Fixture *f = user_data;

  io_user_client_set_dispatch (_io_service_peek_clients (IO_SERVICE (f->service))->data, table, 1);

  return G_SOURCE_REMOVE;
}

static void
test_own_table (Fixture       *f,
                gconstpointer  data)
{
  stream_util_run (f->loop, set_dispatch, f);
  assert_call_fails (f, METHOD_SUM, NULL, 0, NULL, 0, 0, IO_STREAM_ERROR_BAD_ARGUMENT);
  assert_call_fails (f, METHOD_ECHO, NULL, 0, NULL, 1, 0, IO_STREAM_ERROR_BAD_ARGUMENT);
}

/* A plain service. */
static void
test_unsupported (void)
{
  IOWorkLoop *loop = stream_util_new_loop ();
  IOService *service = g_object_new (IO_TYPE_SERVICE, "name", "plain", "work-loop", loop, NULL);
  g_autoptr (GError) error = NULL;
  IOConnection *connection;
  Fixture f = { 0 };

  g_assert_true (io_service_register (service, &error));
  connection = f.connection = stream_util_connect_plain (service, &error);
  g_assert_no_error (error);

  assert_call_fails (&f, 0, NULL, 0, NULL, 0, 0, IO_STREAM_ERROR_UNSUPPORTED);
  stream_util_assert_fails (io_connection_call (connection, 0, NULL, NULL, NULL, err), IO_STREAM_ERROR_UNSUPPORTED);
  stream_util_assert_fails (io_connection_trap (connection, 0, 0, NULL, err), IO_STREAM_ERROR_BAD_ARGUMENT);
  stream_util_assert_fails (io_connection_get_memory (connection, 0, NULL, err), IO_STREAM_ERROR_UNSUPPORTED);
  stream_util_assert_fails (io_connection_get_notification_port (connection, 0, 0, NULL, err),
                            IO_STREAM_ERROR_UNSUPPORTED);

  io_connection_hang_up (connection);
  assert_call_fails (&f, 0, NULL, 0, NULL, 0, 0, IO_STREAM_ERROR_NOT_OPEN);
  stream_util_assert_fails (io_connection_call (connection, 0, NULL, NULL, NULL, err), IO_STREAM_ERROR_NOT_OPEN);
  g_assert_finalize_object (connection);
  io_service_terminate (service);
  stream_util_shut_down (loop);
  g_assert_finalize_object (service);
  stream_util_finish_loop (loop);
}

static void
test_limits (Fixture       *f,
             gconstpointer  data)
{
  G_GNUC_UNUSED g_autoptr (GBytes) small = methods_new_bytes (4096);
  g_autoptr (GBytes) fits = methods_new_bytes (70000);
  g_autoptr (GBytes) large = methods_new_bytes ((128 << 10) + 70001);

  /* Set before the client came. */
  g_assert_finalize_object (f->connection);
  stream_util_catch_up (f->loop);
  g_atomic_int_set (&f->service->n_closed, 0);
  /* the arguments, and the answer */
  f->service->max_bytes = (128 << 10) + 70000;
  f->connection = stream_util_connect_plain (IO_SERVICE (f->service), NULL);
  check_echo (f, 0, 70000);
  assert_call_fails (f, METHOD_LENGTH, NULL, 0, large, 1, 0, IO_STREAM_ERROR_NO_RESOURCES);
  check_echo (f, 0, 70000);

  g_assert_finalize_object (f->connection);
  stream_util_catch_up (f->loop);
  g_atomic_int_set (&f->service->n_closed, 0);
  f->service->read_only = TRUE;
  f->connection = stream_util_connect_plain (IO_SERVICE (f->service), NULL);
  check_echo (f, 0, 4096);
  assert_call_fails (f, METHOD_LENGTH, NULL, 0, fits, 1, 0, IO_STREAM_ERROR_NOT_PERMITTED);
}

static void
test_terminate_inside (Fixture       *f,
                       gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (io_connection_call_method (f->connection, METHOD_TERMINATE, NULL, 0, NULL, 0, 0, NULL,
                                             NULL, NULL, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
  g_assert_false (io_connection_is_connected (f->connection));
}

static void
test_terminate_inside_typed (Fixture       *f,
                             gconstpointer  data)
{
  stream_util_assert_fails (io_connection_call (f->connection, TYPED_TERMINATE, NULL, NULL, NULL, err),
                            IO_STREAM_ERROR_OFFLINE);
}

/* Typed. */

static void
check_typed (Fixture  *f,
             GVariant *value)
{
  g_autoptr (GVariant) sent = g_variant_ref_sink (value);
  g_autoptr (GVariant) back = NULL;
  g_autoptr (GError) error = NULL;

  back = io_connection_call (f->connection, TYPED_ECHO, sent, g_variant_get_type (sent), NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_variant_equal (sent, back));
}

static GVariant *
new_large_value (gsize size)
{
  g_autoptr (GBytes) bytes = methods_new_bytes (size);

  return g_variant_new ("(s@ay)", "large",
                        g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, bytes, TRUE));
}

/* A megabyte of it may have to be looked at byte by byte, and no more. */
static GVariant *
new_walked_value (gsize size)
{
  g_autoptr (GBytes) bytes = g_bytes_new_take (g_malloc0 (size), size);

  return g_variant_new_from_bytes (G_VARIANT_TYPE ("ab"), bytes, TRUE);
}

static void
test_typed (Fixture       *f,
            gconstpointer  data)
{
  g_autoptr (GVariant) unit = NULL;
  g_autoptr (GError) error = NULL;

  check_typed (f, g_variant_new ("()"));
  check_typed (f, g_variant_new_uint64 (G_MAXUINT64));
  check_typed (f, g_variant_new_parsed ("{'a': <1>, 'b': <('x', [1, 2, 3])>}"));
  for (gsize size = 4000; size < 4200; size += 7)
    check_typed (f, new_large_value (size));
  check_typed (f, new_large_value (5000000));
  check_typed (f, new_large_value (10));
  check_typed (f, new_walked_value (1 << 20));
  stream_util_assert_fails (io_connection_call (f->connection, TYPED_ECHO, new_walked_value ((1 << 20) + 1), NULL,
                                                NULL, err), IO_STREAM_ERROR_MESSAGE_TOO_LARGE);

  unit = io_connection_call (f->connection, TYPED_NOTHING, NULL, G_VARIANT_TYPE_UNIT, NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (unit);
  stream_util_assert_fails (io_connection_call (f->connection, TYPED_ECHO, g_variant_new_uint32 (1),
                                                G_VARIANT_TYPE_STRING, NULL, err), IO_STREAM_ERROR_BAD_MESSAGE);
  stream_util_assert_fails (io_connection_call (f->connection, TYPED_FAIL, NULL, NULL, NULL, err),
                            IO_STREAM_ERROR_DEVICE_ERROR);
  stream_util_assert_fails (io_connection_call (f->connection, 99, NULL, NULL, NULL, err),
                            IO_STREAM_ERROR_BAD_ARGUMENT);
  stream_util_assert_fails (io_connection_call (f->connection, TYPED_ECHO, new_large_value (64 << 20), NULL,
                                                NULL, err), IO_STREAM_ERROR_MESSAGE_TOO_LARGE);
}

typedef struct {
  Fixture *f;
  guint    n_destroyed;
  guint    n_called;
} Added;

static GVariant *
remove_itself_cb (IOService     *service,
                  IOUserClient  *client,
                  guint          selector,
                  GVariant      *parameters,
                  IOAction      *action,
                  gpointer       user_data,
                  GError       **error)
{
  Added *added = user_data;

  g_assert_true (io_service_remove_method (service, selector));
  g_assert_false (io_service_remove_method (service, selector));
  g_assert_cmpuint (added->n_destroyed, ==, added->n_called);
  added->n_called++;

  return NULL;
}

static void
destroyed_cb (gpointer user_data)
{
  ((Added *) user_data)->n_destroyed++;
}

static gboolean
add_method (gpointer user_data)
{
  Added *added = user_data;

  io_service_add_method (IO_SERVICE (added->f->service), 50, remove_itself_cb, added, destroyed_cb);

  return G_SOURCE_REMOVE;
}

static void
test_add_method (Fixture       *f,
                 gconstpointer  data)
{
  static Added added;
  g_autoptr (GVariant) unit = NULL;
  g_autoptr (GError) error = NULL;

  added = (Added) { f };
  stream_util_run (f->loop, add_method, &added);
  unit = io_connection_call (f->connection, 50, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  stream_util_assert_fails (io_connection_call (f->connection, 50, NULL, NULL, NULL, err),
                            IO_STREAM_ERROR_BAD_ARGUMENT);
  g_assert_cmpuint (added.n_destroyed, ==, 1);
  /* One takes the place of the other. */
  stream_util_run (f->loop, add_method, &added);
  stream_util_run (f->loop, add_method, &added);
  g_assert_cmpuint (added.n_destroyed, ==, 2);
}

static void
test_cancelled (Fixture       *f,
                gconstpointer  data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) large = methods_new_bytes (10000);

  g_cancellable_cancel (cancellable);
  g_assert_false (io_connection_call_method (f->connection, METHOD_ECHO, NULL, 0, large, 0, ANY, NULL, NULL,
                                             NULL, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  check_echo (f, 1, 10000);
}

/* More calls in a second than others may be made. */
static void
test_many_calls (Fixture       *f,
                 gconstpointer  data)
{
  guint n = g_getenv ("IOSTREAM_TEST_VALGRIND") != NULL ? 200 : 5000;

  for (guint i = 0; i < n; i++)
    check_echo (f, 2, 16);
  g_assert_cmpint (g_atomic_int_get (&f->service->n_calls), ==, (int) n);
}

/* Traps. */

static void
test_trap (Fixture       *f,
           gconstpointer  data)
{
  stream_util_assert_works (io_connection_trap (f->connection, 0, G_MAXUINT32, NULL, err));
  g_assert_cmpint (g_atomic_int_get (&f->service->n_traps), ==, 1);
  g_assert_cmpuint (f->service->last_token, ==, G_MAXUINT32);
  stream_util_assert_fails (io_connection_trap (f->connection, 1, 0, NULL, err), IO_STREAM_ERROR_FAILED);
  stream_util_assert_fails (io_connection_trap (f->connection, 2, 0, NULL, err), IO_STREAM_ERROR_BAD_ARGUMENT);
}

static void
input_cb (IOStream *stream,
          guint     token,
          guint    *last)
{
  *last = token;
}

static void
test_stream_trap (void)
{
  StreamPair pair = { NULL };
  guint last = 0;

  stream_util_set_up (&pair, IO_STREAM_MODE_INPUT);
  g_signal_connect (pair.stream, "input", G_CALLBACK (input_cb), &last);
  stream_util_assert_works (io_connection_trap (IO_CONNECTION (pair.client), 0, 77, NULL, err));
  g_assert_cmpuint (last, ==, 77);
  stream_util_assert_fails (io_connection_trap (IO_CONNECTION (pair.client), 2, 0, NULL, err),
                            IO_STREAM_ERROR_BAD_ARGUMENT);
  stream_util_close (pair.client);
  stream_util_assert_fails (io_connection_trap (IO_CONNECTION (pair.client), 0, 0, NULL, err),
                            IO_STREAM_ERROR_NOT_OPEN);
  stream_util_tear_down (&pair);
}

/* Memory. */

static void
test_memory (Fixture       *f,
             gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (IOMemoryDescriptor) writable = NULL;
  g_autoptr (IOMemoryDescriptor) again = NULL;
  g_autoptr (IOMemoryDescriptor) read_only = NULL;
  g_autoptr (IOMemoryDescriptor) first = NULL;
  g_autoptr (IOMemoryDescriptor) second = NULL;
  g_autoptr (IOMemoryMap) map = NULL;
  guint32 word = 0;

  f->service->memory = IO_MEMORY_DESCRIPTOR (io_buffer_memory_descriptor_new (5000, IO_STREAM_PEER_ACCESS_READ_WRITE,
                                                                              &error));
  g_assert_no_error (error);
  writable = io_connection_get_memory (f->connection, 0, NULL, &error);
  g_assert_no_error (error);
  again = io_connection_get_memory (f->connection, 0, NULL, &error);
  g_assert_true (writable == again);
  g_assert_cmpuint (io_memory_descriptor_get_length (writable), ==, 5000);
  g_assert_true (io_memory_descriptor_is_writable (writable));
  word = 0x12345678;
  g_assert_cmpuint (io_memory_descriptor_write_bytes (writable, 4996, &word, 4), ==, 4);
  word = 0;
  g_assert_cmpuint (io_memory_descriptor_read_bytes (f->service->memory, 4996, &word, 4), ==, 4);
  g_assert_cmphex (word, ==, 0x12345678);

  read_only = io_connection_get_memory (f->connection, 1, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (read_only != writable);
  g_assert_cmpuint (io_memory_descriptor_write_bytes (read_only, 0, &word, 4), ==, 0);
  word = 0;
  g_assert_cmpuint (io_memory_descriptor_read_bytes (read_only, 4996, &word, 4), ==, 4);
  g_assert_cmphex (word, ==, 0x12345678);

  /* Another memory is another object. */
  first = io_connection_get_memory (f->connection, 2, NULL, &error);
  second = io_connection_get_memory (f->connection, 2, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (first != second);
  g_assert_false (io_memory_descriptor_is_writable (first));

  stream_util_assert_fails (io_connection_get_memory (f->connection, 3, NULL, err), IO_STREAM_ERROR_NOT_FOUND);

  /* They outlive the connection. */
  map = io_memory_descriptor_map (writable, IO_MEMORY_MAP_NONE, &error);
  g_assert_no_error (error);
  g_clear_object (&again);
  g_assert_finalize_object (f->connection);
  f->connection = NULL;
  stream_util_catch_up (f->loop);
  word = 0;
  g_assert_cmpuint (io_memory_descriptor_read_bytes (writable, 4996, &word, 4), ==, 4);
  g_assert_cmphex (word, ==, 0x12345678);
}

/* Ports. */

static gboolean
ring (gpointer user_data)
{
  Fixture *f = user_data;
  MethodsClient *client = _io_service_peek_clients (IO_SERVICE (f->service))->data;

  io_notification_port_send_notification (client->port, NULL);

  return G_SOURCE_REMOVE;
}

static void
test_port (Fixture       *f,
           gconstpointer  data)
{
  g_autoptr (IONotificationPort) port = NULL;
  g_autoptr (IONotificationPort) second = NULL;
  g_autoptr (GError) error = NULL;

  port = io_connection_get_notification_port (f->connection, 5, G_MAXUINT64, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (f->service->last_reference, ==, G_MAXUINT64);
  stream_util_assert_fails (io_notification_port_wait (port, 0, NULL, err), IO_STREAM_ERROR_TIMEOUT);
  stream_util_run (f->loop, ring, f);
  stream_util_assert_works (io_notification_port_wait (port, -1, NULL, err));
  stream_util_assert_fails (io_notification_port_wait (port, 0, NULL, err), IO_STREAM_ERROR_TIMEOUT);
  stream_util_assert_works (io_notification_port_send_notification (port, err));

  /* One of each type. */
  second = io_connection_get_notification_port (f->connection, 5, 1, NULL, &error);
  g_assert_no_error (error);
  stream_util_assert_fails (io_notification_port_wait (port, -1, NULL, err), IO_STREAM_ERROR_OFFLINE);
  stream_util_run (f->loop, ring, f);
  stream_util_assert_works (io_notification_port_wait (second, -1, NULL, err));
  stream_util_assert_fails (io_connection_get_notification_port (f->connection, 1000, 0, NULL, err),
                            IO_STREAM_ERROR_UNSUPPORTED);

  /* Given back with the connection, though the owner holds one. */
  io_connection_hang_up (f->connection);
  stream_util_assert_fails (io_notification_port_wait (second, -1, NULL, err), IO_STREAM_ERROR_OFFLINE);
}

static void
test_many_ports (Fixture       *f,
                 gconstpointer  data)
{
  g_autoptr (GPtrArray) ports = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GError) error = NULL;

  for (guint type = 0; type < 64; type++)
    {
      g_ptr_array_add (ports, io_connection_get_notification_port (f->connection, type, 0, NULL, &error));
      g_assert_no_error (error);
    }
  stream_util_assert_fails (io_connection_get_notification_port (f->connection, 64, 0, NULL, err),
                            IO_STREAM_ERROR_NO_RESOURCES);
  g_ptr_array_add (ports, io_connection_get_notification_port (f->connection, 63, 0, NULL, &error));
  g_assert_no_error (error);
}

/* The virtual method ends the connection and gives the port. */
static void
test_port_terminates (Fixture       *f,
                      gconstpointer  data)
{
  stream_util_assert_fails (io_connection_get_notification_port (f->connection, 999, 0, NULL, err),
                            IO_STREAM_ERROR_OFFLINE);
}

#define ADD(path, func) g_test_add ("/methods/" path, Fixture, NULL, set_up, func, tear_down)

int
main (int   argc,
      char *argv[])
{
  char *dir;
  int status;

  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();
  ADD ("echo", test_echo);
  ADD ("no-places", test_no_places);
  ADD ("counts", test_counts);
  ADD ("own-table", test_own_table);
  ADD ("limits", test_limits);
  ADD ("terminate-inside", test_terminate_inside);
  ADD ("terminate-inside/typed", test_terminate_inside_typed);
  ADD ("typed", test_typed);
  ADD ("add-method", test_add_method);
  ADD ("cancelled", test_cancelled);
  ADD ("many-calls", test_many_calls);
  ADD ("trap", test_trap);
  ADD ("memory", test_memory);
  ADD ("port", test_port);
  ADD ("many-ports", test_many_ports);
  ADD ("port-terminates", test_port_terminates);
  g_test_add_func ("/methods/unsupported", test_unsupported);
  g_test_add_func ("/methods/stream-trap", test_stream_trap);
  status = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return status;
}
