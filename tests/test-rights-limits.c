/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How much a client can have: each kind of memory that is made for it, with
 * exactly as much as that takes and with one byte less, and the buffers. */

#include "grow-util.h"

#include "libiostream/io-service-private.h"
#include "libiostream/io-user-client-internal-private.h"

#define LARGE 100000

/* --- a service with everything ------------------------------------------- */

#define TEST_TYPE_CLIENT (test_client_get_type ())
G_DECLARE_FINAL_TYPE (TestClient, test_client, TEST, CLIENT, IOUserClient)

struct _TestClient {
  IOUserClient parent_instance;
};

G_DEFINE_FINAL_TYPE (TestClient, test_client, IO_TYPE_USER_CLIENT)

static IOSharedDataQueue *
test_client_client_queue_for_type (IOUserClient  *client,
                                   guint          type,
                                   GError       **error)
{
  return io_shared_data_queue_new_with_capacity (type == 0 ? IO_SHARED_DATA_QUEUE_PRODUCER
                                                           : IO_SHARED_DATA_QUEUE_CONSUMER, LARGE, error);
}

/* Takes what it gets, and gives back as much as the selector says. */
static gboolean
test_client_external_method (IOUserClient               *client,
                             guint                       selector,
                             IOExternalMethodArguments  *arguments,
                             GError                    **error)
{
  g_autoptr (GBytes) bytes = g_bytes_new_take (g_malloc0 (selector), selector);

  io_external_method_arguments_set_structure_output (arguments, bytes);
  return TRUE;
}

static void
test_client_class_init (TestClientClass *klass)
{
  IO_USER_CLIENT_CLASS (klass)->client_queue_for_type = test_client_client_queue_for_type;
  IO_USER_CLIENT_CLASS (klass)->external_method = test_client_external_method;
}

static void
test_client_init (TestClient *self)
{
}

#define TEST_TYPE_SERVICE (test_service_get_type ())
G_DECLARE_FINAL_TYPE (TestService, test_service, TEST, SERVICE, IOService)

struct _TestService {
  IOService parent_instance;
};

G_DEFINE_FINAL_TYPE (TestService, test_service, IO_TYPE_SERVICE)

static IOUserClient *
test_service_new_user_client (IOService  *service,
                              GVariant   *properties,
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

/* --- bytes --------------------------------------------------------------- */

typedef struct {
  IOService                   *service;
  IOSharedInterruptController *controller;
  IOConnection                *connection;
  IOUserClient                *client;     /* borrowed */
  guint64                      max_bytes;
  GPtrArray                   *kept;       /* what the client has */
} Fixture;

static gboolean
limit_cb (IOService    *service,
          IOUserClient *client,
          gpointer      user_data)
{
  Fixture *self = user_data;

  self->client = client;
  io_user_client_set_limits (client, IO_STREAM_MAX_BUFFERS, self->max_bytes);

  return TRUE;
}

/* Owner and client are in one thread. */
static void
set_up (Fixture       *self,
        gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  self->service = g_object_new (TEST_TYPE_SERVICE, "name", "test", NULL);
  g_signal_connect (self->service, "authorize", G_CALLBACK (limit_cb), self);
  self->controller = io_shared_interrupt_controller_new (1000, &error);
  g_assert_no_error (error);
  io_shared_interrupt_controller_offer (self->controller, self->service);
  self->kept = g_ptr_array_new_with_free_func (g_object_unref);
}

static void
disconnect (Fixture *self)
{
  g_ptr_array_set_size (self->kept, 0);
  if (self->connection != NULL)
    io_connection_hang_up (self->connection);
  g_clear_object (&self->connection);
  stream_util_settle ();
}

static void
tear_down (Fixture       *self,
           gconstpointer  data)
{
  disconnect (self);
  g_ptr_array_unref (self->kept);
  io_shared_interrupt_controller_withdraw (self->controller, self->service);
  g_assert_finalize_object (self->controller);
  io_service_terminate (self->service);
  stream_util_settle ();
  g_assert_finalize_object (self->service);
}

static void
connect_with (Fixture *self,
              guint64  max_bytes)
{
  g_autoptr (GError) error = NULL;

  disconnect (self);
  self->max_bytes = max_bytes;
  self->connection = io_connection_new_for_service (self->service, &error);
  g_assert_no_error (error);
  g_assert_true (io_connection_open (self->connection, 0, NULL, &error));
  g_assert_no_error (error);
}

static gboolean
keep (Fixture  *self,
      gpointer  object)
{
  if (object != NULL)
    g_ptr_array_add (self->kept, object);

  return object != NULL;
}

static gboolean
get_produced (Fixture  *self,
              GError  **error)
{
  return keep (self, io_connection_get_data_queue (self->connection, 0, NULL, error));
}

static gboolean
get_consumed (Fixture  *self,
              GError  **error)
{
  return keep (self, io_connection_get_data_queue (self->connection, 1, NULL, error));
}

static gboolean
get_interrupts (Fixture  *self,
                GError  **error)
{
  return keep (self, io_connection_get_interrupt_controller (self->connection, NULL, error));
}

static gboolean
call_with_arguments (Fixture  *self,
                     GError  **error)
{
  g_autoptr (GBytes) bytes = g_bytes_new_take (g_malloc0 (LARGE), LARGE);
  g_autoptr (GBytes) back = NULL;

  return io_connection_call_method (self->connection, 0, NULL, 0, bytes, 0, 16, NULL, NULL, &back, NULL, error);
}

static gboolean
call_with_answer (Fixture  *self,
                  GError  **error)
{
  g_autoptr (GBytes) back = NULL;

  return io_connection_call_method (self->connection, LARGE, NULL, 0, NULL, 0, LARGE, NULL, NULL,
                                    &back, NULL, error);
}

static const struct {
  const char *name;
  gboolean  (*func) (Fixture *self, GError **error);
  IOCharge    charge;
  guint64     least;     /* that is enough where there is no more; 0: the same */
} kinds[] = {
  { "queue/produced", get_produced, IO_CHARGE_QUEUES, 0 },
  { "queue/consumed", get_consumed, IO_CHARGE_QUEUES, 0 },
  { "interrupts", get_interrupts, IO_CHARGE_INTERRUPTS, 0 },
  { "arguments", call_with_arguments, IO_CHARGE_TRANSFER, LARGE },
  { "answer", call_with_answer, IO_CHARGE_ANSWERS, 0 },
};

/* What a kind of memory costs; afterwards the client is gone. */
static guint64
measure (Fixture *self,
         guint    kind)
{
  guint64 cost;

  connect_with (self, G_MAXUINT64);
  stream_util_assert_works (kinds[kind].func (self, err));
  cost = _io_user_client_get_private (self->client)->charges[kinds[kind].charge];
  g_test_message ("%s: %" G_GUINT64_FORMAT " bytes", kinds[kind].name, cost);
  g_assert_cmpuint (cost, >=, 1000 * 4);
  disconnect (self);

  return kinds[kind].least > 0 ? kinds[kind].least : cost;
}

static void
test_bytes (Fixture       *self,
            gconstpointer  data)
{
  guint kind = GPOINTER_TO_UINT (data);
  guint64 cost = measure (self, kind);

  connect_with (self, cost - 1);
  for (guint i = 0; i < 3; i++)
    stream_util_assert_fails (kinds[kind].func (self, err), IO_STREAM_ERROR_NO_RESOURCES);
  /* what is refused costs nothing, and the client goes on */
  io_user_client_set_limits (self->client, 1, cost);
  stream_util_assert_works (kinds[kind].func (self, err));

  connect_with (self, cost);
  stream_util_assert_works (kinds[kind].func (self, err));
  /* what was given back does not count */
  g_ptr_array_set_size (self->kept, 0);
  stream_util_settle ();
  stream_util_assert_works (kinds[kind].func (self, err));

  connect_with (self, 0);
  stream_util_assert_fails (kinds[kind].func (self, err), IO_STREAM_ERROR_NO_RESOURCES);
}

/* They count together. */
static void
test_together (Fixture       *self,
               gconstpointer  data)
{
  guint64 sum = measure (self, 0) + measure (self, 1) + measure (self, 2);

  for (guint less = 0; less < 2; less++)
    {
      connect_with (self, sum - less);
      stream_util_assert_works (get_produced (self, err));
      stream_util_assert_works (get_consumed (self, err));
      if (less == 0)
        stream_util_assert_works (get_interrupts (self, err));
      else
        stream_util_assert_fails (get_interrupts (self, err), IO_STREAM_ERROR_NO_RESOURCES);
      stream_util_assert_fails (get_produced (self, err), IO_STREAM_ERROR_NO_RESOURCES);
    }
}

/* --- streams ------------------------------------------------------------- */

typedef struct {
  guint    max_buffers;
  guint64  max_bytes;
  gboolean read_only;
} Limits;

static gboolean
limit_stream_cb (IOService    *service,
                 IOUserClient *client,
                 gpointer      user_data)
{
  const Limits *limits = user_data;

  io_user_client_set_limits (client, limits->max_buffers, limits->max_bytes);
  io_user_client_set_read_only (client, limits->read_only);

  return TRUE;
}

static void
set_up_stream (StreamPair    *pair,
               gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  pair->stream = g_initable_new (IO_TYPE_STREAM, NULL, &error, "name", "test",
                                 "mode", GPOINTER_TO_INT (data), "buffer-count", 4, "queue-length", 16,
                                 "data-size", (guint64) 10000, NULL);
  g_assert_no_error (error);
}

static void
hang_up (StreamPair *pair)
{
  if (pair->client != NULL)
    io_connection_hang_up (IO_CONNECTION (pair->client));
  g_clear_object (&pair->client);
  stream_util_settle ();
}

static void
tear_down_stream (StreamPair    *pair,
                  gconstpointer  data)
{
  hang_up (pair);
  io_service_terminate (IO_SERVICE (pair->stream));
  stream_util_settle ();
  g_assert_finalize_object (pair->stream);
}

static gboolean
open_stream (StreamPair  *pair,
             GError     **error)
{
  hang_up (pair);
  pair->client = io_stream_connection_open_stream (pair->stream, error);

  return pair->client != NULL;
}

static IOUserClientPrivate *
get_client (StreamPair *pair)
{
  return _io_user_client_get_private (_io_service_peek_clients (IO_SERVICE (pair->stream))->data);
}

static gboolean
add_buffers (StreamPair  *pair,
             GError     **error)
{
  g_autoptr (GPtrArray) buffers = grow_util_new_buffers (3, IO_STREAM_PEER_ACCESS_READ_WRITE);

  return io_stream_add_buffers (pair->stream, buffers, error);
}

static void
test_open (StreamPair    *pair,
           gconstpointer  data)
{
  Limits limits = { IO_STREAM_MAX_BUFFERS, G_MAXUINT64, FALSE };
  guint64 cost;

  g_signal_connect (pair->stream, "authorize", G_CALLBACK (limit_stream_cb), &limits);
  stream_util_assert_works (open_stream (pair, err));
  cost = get_client (pair)->charges[IO_CHARGE_STREAM];
  g_assert_cmpuint (cost, >=, GPOINTER_TO_INT (data) == IO_STREAM_MODE_INPUT ? 40000 : 8192);
  limits.max_bytes = cost - 1;
  stream_util_assert_fails (open_stream (pair, err), IO_STREAM_ERROR_NO_RESOURCES);
  limits.max_bytes = cost;
  stream_util_assert_works (open_stream (pair, err));
  stream_util_assert_works (open_stream (pair, err));
  stream_util_start (pair->client);
}

/* One byte too little for what is added: nothing is, and all goes on. */
static void
test_growth (StreamPair    *pair,
             gconstpointer  data)
{
  Limits limits = { IO_STREAM_MAX_BUFFERS, G_MAXUINT64, FALSE };
  guint64 before, after;

  g_signal_connect (pair->stream, "authorize", G_CALLBACK (limit_stream_cb), &limits);
  stream_util_assert_works (open_stream (pair, err));
  before = get_client (pair)->charges[IO_CHARGE_STREAM];
  stream_util_assert_works (add_buffers (pair, err));
  after = get_client (pair)->charges[IO_CHARGE_STREAM];
  g_assert_cmpuint (after - before, >=, 3 * GROW_SIZE);

  get_client (pair)->max_bytes = after + (after - before) - 1;
  stream_util_assert_fails (add_buffers (pair, err), IO_STREAM_ERROR_NO_RESOURCES);
  g_assert_cmpuint (io_stream_get_buffer_count (pair->stream), ==, 7);
  g_assert_cmpuint (get_client (pair)->charges[IO_CHARGE_STREAM], ==, after);
  get_client (pair)->max_bytes++;
  stream_util_assert_works (add_buffers (pair, err));
  g_assert_cmpuint (io_stream_get_buffer_count (pair->stream), ==, 10);
}

/* A client that may only read keeps buffers that clients write out, and they
 * keep it out. */
static void
test_growth_read_only (StreamPair    *pair,
                       gconstpointer  data)
{
  Limits limits = { IO_STREAM_MAX_BUFFERS, G_MAXUINT64, TRUE };
  g_autoptr (GPtrArray) buffers = grow_util_new_buffers (3, IO_STREAM_PEER_ACCESS_READ);

  g_signal_connect (pair->stream, "authorize", G_CALLBACK (limit_stream_cb), &limits);
  stream_util_assert_works (open_stream (pair, err));
  stream_util_start (pair->client);
  stream_util_assert_fails (add_buffers (pair, err), IO_STREAM_ERROR_NOT_PERMITTED);
  g_assert_cmpuint (io_stream_get_buffer_count (pair->stream), ==, 4);
  stream_util_assert_works (io_stream_add_buffers (pair->stream, buffers, err));
  g_assert_cmpuint (io_stream_get_buffer_count (pair->stream), ==, 7);

  hang_up (pair);
  stream_util_assert_works (add_buffers (pair, err));
  stream_util_assert_fails (open_stream (pair, err), IO_STREAM_ERROR_NOT_PERMITTED);
  limits.read_only = FALSE;
  stream_util_assert_works (open_stream (pair, err));
  stream_util_start (pair->client);
}

/* Sends as many as the client can get. */
static guint
fill (StreamPair *pair)
{
  for (guint n = 0;; n++)
    {
      g_autoptr (GError) error = NULL;
      IOStreamBuffer *buffer = io_stream_acquire_buffer (pair->stream, &error);

      if (buffer == NULL)
        return n;
      if (!io_stream_send_buffer (pair->stream, buffer, &error))
        {
          g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OVERRUN);
          io_stream_release_buffer (pair->stream, buffer);
          return n;
        }
    }
}

static guint
count_held (StreamPair *pair)
{
  return io_stream_user_client_get_held (_io_service_peek_clients (IO_SERVICE (pair->stream))->data);
}

static void
test_buffers (StreamPair    *pair,
              gconstpointer  data)
{
  const guint most[] = { 0, 1, 2, 3, 4, 5, IO_STREAM_MAX_BUFFERS };
  Limits limits = { 0, G_MAXUINT64, FALSE };

  g_signal_connect (pair->stream, "authorize", G_CALLBACK (limit_stream_cb), &limits);
  for (guint i = 0; i < G_N_ELEMENTS (most); i++)
    {
      IOStreamBufferQueueEntry entry;
      guint n = MIN (most[i], 4);

      limits.max_buffers = most[i];
      stream_util_assert_works (open_stream (pair, err));
      stream_util_start (pair->client);
      for (guint round = 0; round < 3; round++)
        {
          g_assert_cmpuint (fill (pair), ==, n);
          g_assert_cmpuint (count_held (pair), ==, n);
          while (io_stream_connection_dequeue_output_entry (pair->client, &entry))
            stream_util_return (pair->client, &entry);
          g_assert_cmpuint (count_held (pair), ==, 0);
        }
    }
}

/* New buffers are no more for a client that has its share. */
static void
test_buffers_growth (StreamPair    *pair,
                     gconstpointer  data)
{
  Limits limits = { 2, G_MAXUINT64, FALSE };

  g_signal_connect (pair->stream, "authorize", G_CALLBACK (limit_stream_cb), &limits);
  stream_util_assert_works (open_stream (pair, err));
  stream_util_start (pair->client);
  g_assert_cmpuint (fill (pair), ==, 2);
  stream_util_assert_works (add_buffers (pair, err));
  g_assert_cmpuint (fill (pair), ==, 0);
  g_assert_cmpuint (count_held (pair), ==, 2);
}

#define ADD_STREAM(path, mode, func) \
  g_test_add ("/rights-limits/" path, StreamPair, GINT_TO_POINTER (mode), set_up_stream, func, tear_down_stream)

int
main (int   argc,
      char *argv[])
{
  char *dir;
  int status;

  g_setenv ("IOSTREAM_TEST_LOCAL", "1", TRUE);
  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();

  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autofree char *path = g_strconcat ("/rights-limits/bytes/", kinds[i].name, NULL);

      g_test_add (path, Fixture, GUINT_TO_POINTER (i), set_up, test_bytes, tear_down);
    }
  g_test_add ("/rights-limits/bytes/together", Fixture, NULL, set_up, test_together, tear_down);
  ADD_STREAM ("open/output", IO_STREAM_MODE_OUTPUT, test_open);
  ADD_STREAM ("open/input", IO_STREAM_MODE_INPUT, test_open);
  ADD_STREAM ("growth", IO_STREAM_MODE_OUTPUT, test_growth);
  ADD_STREAM ("growth/read-only", IO_STREAM_MODE_OUTPUT, test_growth_read_only);
  ADD_STREAM ("buffers", IO_STREAM_MODE_OUTPUT, test_buffers);
  ADD_STREAM ("buffers/growth", IO_STREAM_MODE_OUTPUT, test_buffers_growth);

  status = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return status;
}
