/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owners and clients that call anything at any time, also from within what is
 * called: methods, signals, callbacks, handlers of properties. Nobody knows what
 * comes out of it, but nothing crashes, hangs or stays behind. What happens
 * follows from a number, so that it can be seen again. */

#include "stream-util.h"

#include <stdlib.h>

#define N_BUFFERS 3
#define N_STEPS   60
#define MAX_DEPTH 3
#define MAX_BUFFERS 12
#define MAX_CLIENTS 4

typedef struct {
  IOWorkLoop         *loop;
  IOStream           *stream;
  IOStreamConnection *clients[MAX_CLIENTS];
  guint               n_clients;   /* that there may be */
  GRand              *rand;
  guint               depth;
  guint               n_nested;    /* deeds that may still happen inside of others */
  guint               n_pending;   /* asynchronous calls */
  gboolean            is_over;
} Chaos;

static Chaos chaos;

static void do_anything (void);

/* In whatever is called back. */
static gboolean
meet (void)
{
  if (chaos.is_over || chaos.depth >= MAX_DEPTH || chaos.n_nested == 0 || g_rand_int_range (chaos.rand, 0, 4) != 0)
    return TRUE;

  chaos.n_nested--;
  chaos.depth++;
  do_anything ();
  chaos.depth--;

  return g_rand_int_range (chaos.rand, 0, 8) != 0;
}

typedef IOStream ChaosStream;
typedef IOStreamClass ChaosStreamClass;

static GType chaos_stream_get_type (void);
G_DEFINE_TYPE (ChaosStream, chaos_stream, IO_TYPE_STREAM)

static gboolean
chaos_change (IOStream  *self,
              GError   **error)
{
  return meet ();
}

/* One that fails for a client that left is told to the log. */
static gboolean
chaos_stop (IOStream  *self,
            GError   **error)
{
  meet ();

  return TRUE;
}

static gboolean
chaos_set_mode (IOStream      *self,
                IOStreamMode   mode,
                GError       **error)
{
  return meet ();
}

static gboolean
chaos_sync (IOStream  *self,
            guint32    token,
            GError   **error)
{
  return meet ();
}

static void
chaos_input (IOStream *self,
             guint32   token)
{
  meet ();
}

static gboolean
chaos_open (IOService     *self,
            IOUserClient  *client,
            guint          options,
            GError       **error)
{
  return meet () && IO_SERVICE_CLASS (chaos_stream_parent_class)->handle_open (self, client, options, error) && meet ();
}

static void
chaos_close (IOService    *self,
             IOUserClient *client,
             guint         options)
{
  meet ();
  IO_SERVICE_CLASS (chaos_stream_parent_class)->handle_close (self, client, options);
  meet ();
}

static void
chaos_client (IOService    *self,
              IOUserClient *client)
{
  meet ();
}

static void
chaos_notify (GObject    *object,
              GParamSpec *pspec)
{
  meet ();
}

static void
chaos_stream_class_init (ChaosStreamClass *klass)
{
  IOServiceClass *service_class = IO_SERVICE_CLASS (klass);

  G_OBJECT_CLASS (klass)->notify = chaos_notify;
  klass->start = klass->suspend = chaos_change;
  klass->stop = chaos_stop;
  klass->set_mode = chaos_set_mode;
  klass->input_sync_callback = chaos_sync;
  klass->input_callback = chaos_input;
  service_class->handle_open = chaos_open;
  service_class->handle_close = chaos_close;
  service_class->client_opened = service_class->client_closed = service_class->client_died = chaos_client;
}

static void
chaos_stream_init (ChaosStream *self)
{
  g_signal_connect (self, "memory-changed", G_CALLBACK (meet), NULL);
}

/* What there is to do. */

static IOStreamBuffer *
new_buffer (void)
{
  g_autoptr (IOMemoryDescriptor) memory = NULL;
  IOStreamBuffer *buffer;

  if (g_rand_int_range (chaos.rand, 0, 4) != 0)
    memory = IO_MEMORY_DESCRIPTOR (io_buffer_memory_descriptor_new (4096, g_rand_boolean (chaos.rand)
                                                                    ? IO_STREAM_PEER_ACCESS_READ_WRITE
                                                                    : IO_STREAM_PEER_ACCESS_READ, NULL));
  buffer = io_stream_buffer_new (memory, NULL);
  g_signal_connect (buffer, "notify", G_CALLBACK (meet), NULL);

  return buffer;
}

static void
change_buffers (IOStream *stream)
{
  G_GNUC_UNUSED g_autoptr (IOStream) keep = g_object_ref (stream);
  g_autoptr (IOStreamBuffer) buffer = NULL;
  guint count = io_stream_get_buffer_count (stream);

  switch (g_rand_int_range (chaos.rand, 0, 4))
    {
    case 0:
      io_stream_remove_buffer_with_id (stream, g_rand_int_range (chaos.rand, 0, MAX_BUFFERS), NULL);
      break;
    case 1:
      io_stream_create_queues (stream, g_rand_int_range (chaos.rand, 0, MAX_BUFFERS), NULL);
      break;
    case 2:
      io_stream_destroy_queues (stream, NULL);
      break;
    default:
      if (count >= MAX_BUFFERS)
        io_stream_remove_all_buffers (stream, NULL);
      buffer = new_buffer ();
      io_stream_add_buffer (stream, buffer, NULL);
    }
}

/* One call may drop the stream, the next one is of this function. */
static void
send_some (IOStream *stream)
{
  G_GNUC_UNUSED g_autoptr (IOStream) keep = g_object_ref (stream);
  IOStreamBufferQueueEntry entry;
  IOStreamBuffer *buffer;

  for (guint i = g_rand_int_range (chaos.rand, 0, 3); i > 0; i--)
    {
      buffer = io_stream_acquire_buffer (stream, NULL);
      if (buffer != NULL && !io_stream_send_buffer (stream, buffer, NULL) && g_rand_boolean (chaos.rand))
        io_stream_release_buffer (stream, buffer);
    }
  while (g_rand_boolean (chaos.rand) && io_stream_dequeue_input_entry (stream, &entry))
    io_stream_release_buffer (stream, io_stream_get_buffer_with_id (stream, entry.buffer_id));
}

static void
take_some (IOStreamConnection *client)
{
  IOStreamBufferQueueEntry entry;

  while (g_rand_int_range (chaos.rand, 0, 3) != 0 && io_stream_connection_dequeue_output_entry (client, &entry))
    if (g_rand_int_range (chaos.rand, 0, 3) != 0)
      {
        io_stream_connection_get_buffer_with_id (client, entry.buffer_id);
        io_stream_connection_return_entry (client, &entry, NULL);
      }
  io_stream_connection_send_input_notification (client, 1, NULL);
}

static void
called_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      data)
{
  chaos.n_pending--;
  io_stream_connection_send_input_sync_notification_finish (IO_STREAM_CONNECTION (object), result, NULL);
  meet ();
}

static void
call (IOStreamConnection *client)
{
  if (g_rand_boolean (chaos.rand))
    {
      io_stream_connection_send_input_sync_notification (client, 1, NULL, NULL);
      return;
    }

  chaos.n_pending++;
  io_stream_connection_send_input_sync_notification_async (client, 1, NULL, called_cb, NULL);
}

static void
opened_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      data)
{
  chaos.n_pending--;
  io_connection_open_finish (IO_CONNECTION (object), result, NULL);
  meet ();
}

static void
open_client (IOStreamConnection *client)
{
  G_GNUC_UNUSED g_autoptr (IOStreamConnection) keep = g_object_ref (client);
  static const guint ways[] = { 0, IO_STREAM_OPEN_EXCLUSIVE, IO_SERVICE_OPEN_SEIZE };
  guint options = chaos.n_clients > 1 && g_rand_int_range (chaos.rand, 0, 8) != 0
                    ? IO_STREAM_OPEN_SHARED : ways[g_rand_int_range (chaos.rand, 0, G_N_ELEMENTS (ways))];

  g_object_set (client, "delivery", g_rand_int_range (chaos.rand, 0, 2), NULL);
  if (g_rand_boolean (chaos.rand))
    {
      io_connection_open (IO_CONNECTION (client), options, NULL, NULL);
      return;
    }

  chaos.n_pending++;
  io_connection_open_async (IO_CONNECTION (client), options, NULL, opened_cb, NULL);
}

static void
new_client (guint place)
{
  IOStreamConnection *client;

  if (chaos.clients[place] != NULL || chaos.stream == NULL)
    return;

  client = io_stream_connection_new_for_stream (chaos.stream, NULL);
  if (client == NULL)
    return;
  if (chaos.clients[place] != NULL)
    {
      g_object_unref (client);
      return;
    }
  chaos.clients[place] = client;
  io_connection_set_timeout (IO_CONNECTION (client), 200 * 1000);
  g_signal_connect (client, "notify", G_CALLBACK (meet), NULL);
  g_signal_connect (client, "output-available", G_CALLBACK (meet), NULL);
  g_signal_connect (client, "buffers-changed", G_CALLBACK (meet), NULL);
  g_signal_connect (client, "disconnected", G_CALLBACK (meet), NULL);
}

static void
do_with_client (guint place,
                guint deed)
{
  IOStreamConnection *client = chaos.clients[place];
  G_GNUC_UNUSED g_autoptr (IOStreamConnection) keep = deed == 7 ? g_object_ref (client) : NULL;   /* two calls */
  g_autoptr (GSource) source = NULL;

  switch (deed)
    {
    case 0:
      io_connection_close (IO_CONNECTION (client), NULL, NULL);
      break;
    case 1:
      if (g_rand_int_range (chaos.rand, 0, 6) == 0)
        io_connection_hang_up (IO_CONNECTION (client));
      break;
    case 2:
      if (g_rand_int_range (chaos.rand, 0, 6) == 0)
        g_clear_object (&chaos.clients[place]);
      break;
    case 3:
      io_stream_connection_stop (client, NULL, NULL);
      break;
    case 4:
      io_stream_connection_suspend (client, NULL, NULL);
      break;
    case 5:
      io_stream_connection_set_mode (client, g_rand_int_range (chaos.rand, 0, 3), NULL, NULL);
      break;
    case 6:
      io_stream_connection_wait (client, 0, NULL, NULL);
      break;
    case 7:
      if (io_stream_connection_prepare_wait (client))
        io_stream_connection_finish_wait (client);
      break;
    case 8:
      io_stream_connection_set_notify_in_context (client, TRUE);
      break;
    case 9:
    case 10:
      call (client);
      break;
    case 11:
    case 12:
      take_some (client);
      break;
    case 13:
    case 14:
      open_client (client);
      break;
    case 15:
      source = io_stream_connection_create_source (client, NULL);
      break;
    default:
      io_stream_connection_start (client, NULL, NULL);
    }
}

static void
do_with_stream (IOStream *stream,
                guint     deed)
{
  switch (deed)
    {
    case 0:
      if (g_rand_int_range (chaos.rand, 0, 20) == 0)
        io_service_terminate (IO_SERVICE (stream));
      break;
    case 1:
      if (g_rand_int_range (chaos.rand, 0, 20) == 0)
        g_clear_object (&chaos.stream);
      break;
    case 2:
      io_stream_start (stream, NULL);
      break;
    case 3:
      io_stream_stop (stream, NULL);
      break;
    case 4:
      io_stream_suspend (stream, NULL);
      break;
    case 5:
      io_stream_set_mode (stream, g_rand_int_range (chaos.rand, 0, 3), NULL);
      break;
    case 6:
    case 7:
      change_buffers (stream);
      break;
    case 8:
      io_stream_set_reserve_count (stream, g_rand_int_range (chaos.rand, 0, 3));
      break;
    case 9:
      io_stream_set_client_allowance (stream, g_rand_int_range (chaos.rand, 0, 4));
      break;
    default:
      send_some (stream);
    }
}

static void
do_anything (void)
{
  guint which = g_rand_int_range (chaos.rand, 0, 10), place = g_rand_int_range (chaos.rand, 0, (int) chaos.n_clients);

  if (which == 0)
    g_main_context_iteration (NULL, FALSE);
  else if (which <= 5 && chaos.clients[place] != NULL)
    {
      G_GNUC_UNUSED g_autoptr (IOStreamConnection) keep = g_rand_boolean (chaos.rand) ? g_object_ref (chaos.clients[place]) : NULL;

      do_with_client (place, g_rand_int_range (chaos.rand, 0, 18));
    }
  else if (which <= 8 && chaos.stream != NULL)
    do_with_stream (chaos.stream, g_rand_int_range (chaos.rand, 0, 15));
  else
    new_client (place);
}

static void
run (guint32  seed,
     gboolean shares)
{
  GWeakRef stream;

  memset (&chaos, 0, sizeof chaos);
  chaos.rand = g_rand_new_with_seed (seed);
  chaos.n_nested = 100;
  chaos.n_clients = shares ? MAX_CLIENTS : 1;
  chaos.stream = g_object_new (chaos_stream_get_type (), "name", "chaos",
                               "mode", shares ? IO_STREAM_MODE_OUTPUT : g_rand_int_range (chaos.rand, 0, 3),
                               "peer-access", shares ? IO_STREAM_PEER_ACCESS_READ : IO_STREAM_PEER_ACCESS_READ_WRITE,
                               "close-timeout", (gint64) 0,
                               "queue-length", g_rand_int_range (chaos.rand, 0, 3) * 4,
                               "buffer-count", N_BUFFERS, "data-size", (guint64) 64, NULL);
  g_weak_ref_init (&stream, chaos.stream);
  if (g_rand_int_range (chaos.rand, 0, 4) != 0)
    io_service_register (IO_SERVICE (chaos.stream), NULL);

  for (guint i = 0; i < N_STEPS; i++)
    do_anything ();

  chaos.is_over = TRUE;
  for (guint i = 0; i < MAX_CLIENTS; i++)
    if (chaos.clients[i] != NULL)
      io_connection_hang_up (IO_CONNECTION (chaos.clients[i]));
  stream_util_iterate_until (chaos.n_pending == 0);
  stream_util_settle ();
  for (guint i = 0; i < MAX_CLIENTS; i++)
    if (chaos.clients[i] != NULL)
      g_assert_finalize_object (g_steal_pointer (&chaos.clients[i]));
  if (chaos.stream == NULL)
    chaos.stream = g_weak_ref_get (&stream);
  if (chaos.stream != NULL)
    io_service_terminate (IO_SERVICE (chaos.stream));
  g_clear_object (&chaos.stream);
  stream_util_settle ();
  g_assert_null (g_weak_ref_get (&stream));
  g_weak_ref_clear (&stream);
  g_rand_free (chaos.rand);
}

static void
test_chaos (gconstpointer shares)
{
  const char *only = g_getenv ("IOSTREAM_TEST_SEED"), *many = g_getenv ("IOSTREAM_TEST_SEEDS");
  guint first = only != NULL ? (guint) atoi (only) : 1;
  guint count = only != NULL ? 1 : many != NULL ? (guint) atoi (many) : 300;
  guint n_fds;

  g_main_context_iteration (NULL, FALSE);
  run (first, shares != NULL);
  n_fds = count_fds ();
  for (guint seed = first; seed < first + count; seed++)
    {
      if (only != NULL || many != NULL)
        g_printerr ("seed %u\n", seed);
      run (seed, shares != NULL);
      g_assert_cmpuint (count_fds (), ==, n_fds);
    }
}

/* Threads that do what may be done in any thread, while the owner grows and the
 * client comes and goes. */

typedef struct {
  IOWorkLoop         *loop;
  IOStream           *stream;
  IOStreamConnection *client;
  GAsyncQueue        *taken;      /* of IOStreamBufferQueueEntry */
  int                 is_over;
  int                 n_sent;
  int                 n_called;
} Storm;

static gpointer
send_thread (gpointer data)
{
  Storm *storm = data;

  while (!g_atomic_int_get (&storm->is_over))
    {
      IOStreamBuffer *buffer = io_stream_acquire_buffer (storm->stream, NULL);

      if (buffer != NULL)
        memset (io_stream_buffer_peek_data (buffer, NULL), 1, 64);
      if (buffer != NULL && io_stream_send_buffer (storm->stream, buffer, NULL))
        g_atomic_int_inc (&storm->n_sent);
      else
        {
          if (buffer != NULL)
            io_stream_release_buffer (storm->stream, buffer);
          io_stream_wait_buffer (storm->stream, 100, NULL, NULL);
        }
      io_stream_get_state (storm->stream);
      io_stream_get_mode (storm->stream);
    }

  return NULL;
}

/* Also what belongs to an open that is over. */
static gpointer
return_thread (gpointer data)
{
  Storm *storm = data;

  while (!g_atomic_int_get (&storm->is_over))
    {
      g_autofree IOStreamBufferQueueEntry *entry = g_async_queue_timeout_pop (storm->taken, 1000);

      if (entry != NULL)
        io_stream_connection_return_entry (storm->client, entry, NULL);
      io_stream_connection_send_input_notification (storm->client, 1, NULL);
    }

  return NULL;
}

static gpointer
call_thread (gpointer data)
{
  Storm *storm = data;

  while (!g_atomic_int_get (&storm->is_over))
    if (io_stream_connection_send_input_sync_notification (storm->client, 1, NULL, NULL))
      g_atomic_int_inc (&storm->n_called);

  return NULL;
}

static gboolean
grow_cb (gpointer data)
{
  Storm *storm = data;
  g_autoptr (IOMemoryDescriptor) memory =
    IO_MEMORY_DESCRIPTOR (io_buffer_memory_descriptor_new (4096, IO_STREAM_PEER_ACCESS_READ_WRITE, NULL));
  g_autoptr (IOStreamBuffer) buffer = io_stream_buffer_new (memory, NULL);

  if (io_stream_get_buffer_count (storm->stream) < 14)
    io_stream_add_buffer (storm->stream, buffer, NULL);

  return TRUE;
}

static gboolean
terminate_cb (gpointer data)
{
  Storm *storm = data;

  io_service_terminate (IO_SERVICE (storm->stream));

  return TRUE;
}

static void
take_all (Storm *storm)
{
  IOStreamBufferQueueEntry entry;

  for (guint i = 0; i < 20; i++)
    {
      io_stream_connection_wait (storm->client, 200, NULL, NULL);
      while (io_stream_connection_dequeue_output_entry (storm->client, &entry))
        g_async_queue_push (storm->taken, g_memdup2 (&entry, sizeof entry));
      if (i % 5 == 0)
        io_work_loop_run_action (storm->loop, grow_cb, storm);
      if (i == 10)
        io_stream_connection_send_input_sync_notification (storm->client, 1, NULL, NULL);
      while (i % 7 == 0 && g_main_context_iteration (NULL, FALSE))
        ;
    }
}

static void
test_storm (void)
{
  static const GThreadFunc funcs[] = { send_thread, send_thread, return_thread, return_thread, call_thread };
  GThread *threads[G_N_ELEMENTS (funcs)];
  Storm storm = { 0, };
  g_autoptr (GError) error = NULL;
  guint n_fds;

  g_main_context_iteration (NULL, FALSE);
  n_fds = count_fds ();
  storm.taken = g_async_queue_new_full (g_free);
  storm.loop = io_work_loop_new ("storm");
  storm.stream = g_object_new (IO_TYPE_STREAM, "name", "storm", "work-loop", storm.loop,
                               "buffer-count", N_BUFFERS, "data-size", (guint64) 64, "queue-length", 16,
                               "peer-access", IO_STREAM_PEER_ACCESS_READ_WRITE, NULL);
  g_assert_true (io_service_register (IO_SERVICE (storm.stream), &error));
  storm.client = io_stream_connection_new_for_name ("storm", NULL, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < G_N_ELEMENTS (funcs); i++)
    threads[i] = g_thread_new ("storm", funcs[i], &storm);

  /* A busy machine may leave a thread out for a while: go on until each had its
   * part. */
  for (guint round = 0; round < 15 || g_atomic_int_get (&storm.n_sent) == 0 ||
                        g_atomic_int_get (&storm.n_called) == 0; round++)
    {
      g_assert_true (io_connection_open (IO_CONNECTION (storm.client), 0, NULL, &error));
      stream_util_start (storm.client);
      take_all (&storm);
      io_connection_close (IO_CONNECTION (storm.client), NULL, NULL);
    }
  g_assert_true (io_connection_open (IO_CONNECTION (storm.client), 0, NULL, &error));
  stream_util_start (storm.client);
  io_work_loop_run_action (storm.loop, terminate_cb, &storm);
  take_all (&storm);

  g_atomic_int_set (&storm.is_over, TRUE);
  for (guint i = 0; i < G_N_ELEMENTS (funcs); i++)
    g_thread_join (threads[i]);
  io_connection_hang_up (IO_CONNECTION (storm.client));
  stream_util_settle ();
  g_assert_finalize_object (storm.client);
  io_work_loop_shut_down (storm.loop);
  g_assert_finalize_object (storm.stream);
  g_assert_finalize_object (storm.loop);
  g_async_queue_unref (storm.taken);
  g_assert_cmpuint (count_fds (), ==, n_fds);
}

int
main (int    argc,
      char **argv)
{
  char *dir;
  int result;

  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();
  g_test_add_data_func ("/stream-chaos/one-client", NULL, test_chaos);
  g_test_add_data_func ("/stream-chaos/several-clients", GINT_TO_POINTER (TRUE), test_chaos);
  g_test_add_func ("/stream-chaos/threads", test_storm);
  result = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return result;
}
