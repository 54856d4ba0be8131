/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Many threads at one shared stream: some send, some change what clients may
 * hold, one adds buffers, and each client comes, takes, holds and goes in a
 * thread of its own. What a client holds does not change under its eyes, numbers
 * only grow, and who may hold the others back misses nothing. */

#include "stream-util.h"

#define N_CLIENTS 6
#define N_BUFFERS 8
#define MAX_BUFFERS 14
#define DATA_SIZE 512
#define N_OPENS   8
#define N_TAKEN   40

typedef struct {
  IOWorkLoop *loop;
  IOStream   *stream;
  int         n_running;   /* clients */
} Storm;

typedef struct {
  Storm            *storm;
  IOStreamDelivery  delivery;
  guint             seed;
} Guest;

static gboolean
is_over (Storm *storm)
{
  return g_atomic_int_get (&storm->n_running) == 0;
}

static gpointer
send_thread (gpointer data)
{
  Storm *storm = data;
  guint8 value = 0;

  while (!is_over (storm))
    {
      IOStreamBuffer *buffer = io_stream_acquire_buffer (storm->stream, NULL);

      if (buffer != NULL)
        memset (io_stream_buffer_peek_data (buffer, NULL), value++, DATA_SIZE);
      if (buffer == NULL || !io_stream_send_buffer (storm->stream, buffer, NULL))
        {
          if (buffer != NULL)
            io_stream_release_buffer (storm->stream, buffer);
          io_stream_wait_buffer (storm->stream, 1000, NULL, NULL);
        }
    }

  return NULL;
}

static gboolean
grow_cb (gpointer data)
{
  Storm *storm = data;
  g_autoptr (IOMemoryDescriptor) memory =
    IO_MEMORY_DESCRIPTOR (io_buffer_memory_descriptor_new (DATA_SIZE, IO_STREAM_PEER_ACCESS_READ, NULL));
  g_autoptr (IOStreamBuffer) buffer = io_stream_buffer_new (memory, NULL);

  if (io_stream_get_buffer_count (storm->stream) < MAX_BUFFERS)
    io_stream_add_buffer (storm->stream, buffer, NULL);

  return TRUE;
}

static gpointer
change_thread (gpointer data)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  Storm *storm = data;

  while (!is_over (storm))
    {
      io_stream_set_client_allowance (storm->stream, (guint) g_rand_int_range (rand, 0, 6));
      io_stream_set_reserve_count (storm->stream, (guint) g_rand_int_range (rand, 0, 3));
      io_stream_get_state (storm->stream);
      if (g_rand_int_range (rand, 0, 50) == 0)
        io_work_loop_run_action (storm->loop, grow_cb, storm);
      g_thread_yield ();
    }

  return NULL;
}

/* One byte all over, from the first look to the last. */
static void
look (IOStreamConnection             *client,
      const IOStreamBufferQueueEntry *entry,
      guint8                          value)
{
  gsize length;
  const guint8 *bytes = io_stream_connection_peek_data_buffer (client, entry->buffer_id, &length);

  g_assert_nonnull (bytes);
  g_assert_cmpuint (length, >=, DATA_SIZE);
  for (guint i = 0; i < DATA_SIZE; i++)
    g_assert_cmpuint (bytes[i], ==, value);
}

static void
visit (Guest              *guest,
       GRand              *rand,
       IOStreamConnection *client)
{
  IOStreamBufferQueueEntry entry;
  gboolean has_last = FALSE;
  guint32 last = 0;

  stream_util_assert_works (io_connection_open (IO_CONNECTION (client), IO_STREAM_OPEN_SHARED, NULL, err));
  stream_util_start (client);
  for (guint n = 0; n < N_TAKEN; n++)
    {
      guint8 value;

      /* What was there may have been taken back. */
      do
        stream_util_assert_works (io_stream_connection_wait (client, STREAM_UTIL_TIMEOUT, NULL, err));
      while (!io_stream_connection_dequeue_output_entry (client, &entry));
      g_assert_true (!has_last || (gint32) (entry.sequence - last) > 0);
      has_last = TRUE;
      last = entry.sequence;
      value = *(const guint8 *) io_stream_connection_peek_data_buffer (client, entry.buffer_id, NULL);
      look (client, &entry, value);
      if (g_rand_boolean (rand))
        g_thread_yield ();
      look (client, &entry, value);
      /* It keeps one, and the owner has to get that home. */
      if (n + 1 < N_TAKEN || g_rand_boolean (rand))
        stream_util_return (client, &entry);
    }
  if (guest->delivery == IO_STREAM_DELIVERY_BLOCK)
    g_assert_cmpuint (io_stream_connection_get_lost (client), ==, 0);
}

static gpointer
client_thread (gpointer data)
{
  Guest *guest = data;
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GRand) rand = g_rand_new_with_seed (guest->seed);

  g_main_context_push_thread_default (context);
  for (guint i = 0; i < N_OPENS; i++)
    {
      g_autoptr (GError) error = NULL;
      IOStreamConnection *client = io_stream_connection_new_for_name ("storm", NULL, &error);

      g_assert_no_error (error);
      io_stream_connection_set_notify_in_context (client, FALSE);
      io_stream_connection_set_delivery (client, guest->delivery);
      visit (guest, rand, client);
      if (g_rand_boolean (rand))
        stream_util_close (client);
      else
        io_connection_hang_up (IO_CONNECTION (client));
      while (g_main_context_iteration (context, FALSE))
        ;
      g_assert_finalize_object (client);
    }
  g_main_context_pop_thread_default (context);
  g_atomic_int_add (&guest->storm->n_running, -1);

  return NULL;
}

static void
assert_all_home (Storm *storm)
{
  guint count = 0;

  while (io_stream_acquire_buffer (storm->stream, NULL) != NULL)
    count++;
  g_assert_cmpuint (count, ==, io_stream_get_buffer_count (storm->stream));
  for (guint32 id = 0; id < count; id++)
    io_stream_release_buffer (storm->stream, io_stream_get_buffer_with_id (storm->stream, id));
}

static void
test_storm (void)
{
  static const GThreadFunc funcs[] = { send_thread, send_thread, change_thread };
  GThread *threads[N_CLIENTS + G_N_ELEMENTS (funcs)];
  Guest guests[N_CLIENTS];
  Storm storm = { NULL, NULL, N_CLIENTS };
  g_autoptr (GError) error = NULL;

  storm.loop = io_work_loop_new ("storm");
  storm.stream = g_object_new (IO_TYPE_STREAM, "name", "storm", "work-loop", storm.loop, "queue-length", 16,
                               "buffer-count", N_BUFFERS, "data-size", (guint64) DATA_SIZE, NULL);
  g_assert_true (io_service_register (IO_SERVICE (storm.stream), &error));
  g_assert_no_error (error);

  for (guint i = 0; i < N_CLIENTS; i++)
    {
      guests[i] = (Guest) { &storm, i < 2 ? IO_STREAM_DELIVERY_BLOCK
                                          : (IOStreamDelivery) (i % (IO_STREAM_DELIVERY_LATEST + 1)), i };
      threads[i] = g_thread_new ("client", client_thread, &guests[i]);
    }
  for (guint i = 0; i < G_N_ELEMENTS (funcs); i++)
    threads[N_CLIENTS + i] = g_thread_new ("owner", funcs[i], &storm);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);

  stream_util_wait_unused (storm.loop, IO_SERVICE (storm.stream));
  g_assert_cmpint (io_stream_get_state (storm.stream), ==, IO_STREAM_STATE_CLOSED);
  assert_all_home (&storm);
  io_service_terminate (IO_SERVICE (storm.stream));
  io_work_loop_shut_down (storm.loop);
  g_assert_finalize_object (storm.stream);
  g_assert_finalize_object (storm.loop);
}

int
main (int    argc,
      char **argv)
{
  char *dir;
  int result;

  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();
  g_test_add_func ("/stream-shared-storm/threads", test_storm);
  result = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return result;
}
