/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "stream-util.h"

/* Several clients on one stream: who gets what, who is passed over, and what
 * the owner hears. */

#define N_CLIENTS 5

typedef struct {
  IOWorkLoop         *loop;
  IOStream           *stream;
  IOStreamConnection *clients[N_CLIENTS];
  guint               n_fds;
  int                 n_started;
  int                 n_stopped;
  int                 n_suspended;
  int                 n_told;       /* times that the state was told */
  int                 over;
  gboolean            refuses;
} Fixture;

typedef struct {
  IOStream  parent;
  Fixture  *fixture;
} Counting;

typedef struct {
  IOStreamClass parent_class;
} CountingClass;

GType counting_get_type (void);
G_DEFINE_TYPE (Counting, counting, IO_TYPE_STREAM)

static gboolean
counting_start (IOStream  *stream,
                GError   **error)
{
  Fixture *fixture = ((Counting *) stream)->fixture;

  g_atomic_int_inc (&fixture->n_started);
  if (fixture->refuses)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY, "Not now");

  return !fixture->refuses;
}

static gboolean
counting_stop (IOStream  *stream,
               GError   **error)
{
  g_atomic_int_inc (&((Counting *) stream)->fixture->n_stopped);

  return TRUE;
}

static gboolean
counting_suspend (IOStream  *stream,
                  GError   **error)
{
  g_atomic_int_inc (&((Counting *) stream)->fixture->n_suspended);

  return TRUE;
}

static void
counting_class_init (CountingClass *klass)
{
  IO_STREAM_CLASS (klass)->start = counting_start;
  IO_STREAM_CLASS (klass)->stop = counting_stop;
  IO_STREAM_CLASS (klass)->suspend = counting_suspend;
}

static void
counting_init (Counting *self)
{
}

static void
state_cb (IOStream   *stream,
          GParamSpec *pspec,
          Fixture    *fixture)
{
  g_atomic_int_inc (&fixture->n_told);
}

static void
make (Fixture            *fixture,
      guint               n_buffers,
      IOStreamPeerAccess  access,
      IOStreamMode        mode)
{
  g_autoptr (GError) error = NULL;

  /* GLib keeps a descriptor for each of these, once. */
  g_main_context_iteration (NULL, FALSE);
  g_type_ensure (G_TYPE_TASK);
  fixture->n_fds = count_fds ();
  fixture->loop = stream_util_new_loop ();
  fixture->stream = g_initable_new (counting_get_type (), NULL, &error,
                                    "name", "shared", "work-loop", fixture->loop,
                                    "buffer-count", n_buffers, "data-size", (guint64) 256,
                                    "mode", mode, "peer-access", access, NULL);
  g_assert_no_error (error);
  ((Counting *) fixture->stream)->fixture = fixture;
  g_signal_connect (fixture->stream, "notify::state", G_CALLBACK (state_cb), fixture);
  g_assert_true (io_service_register (IO_SERVICE (fixture->stream), &error));
  g_assert_no_error (error);
}

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  make (fixture, 8, IO_STREAM_PEER_ACCESS_READ, IO_STREAM_MODE_OUTPUT);
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  stream_util_end (fixture->loop, fixture->stream, fixture->clients, N_CLIENTS, fixture->n_fds);
}

static gboolean
try_open (Fixture           *fixture,
          guint              i,
          IOStreamDelivery   delivery,
          guint              options,
          GError           **error)
{
  return stream_util_try_open (fixture->stream, &fixture->clients[i], delivery, options, error);
}

static void
join (Fixture          *fixture,
      guint             i,
      IOStreamDelivery  delivery)
{
  stream_util_assert_works (try_open (fixture, i, delivery, IO_STREAM_OPEN_SHARED, err));
}

static void
join_and_start (Fixture          *fixture,
                guint             i,
                IOStreamDelivery  delivery)
{
  join (fixture, i, delivery);
  stream_util_start (fixture->clients[i]);
}

/* Everybody gets everything, in one piece of memory, and it comes home once. */
static void
test_everybody (Fixture       *fixture,
                gconstpointer  data)
{
  IOStreamBufferQueueEntry entries[N_CLIENTS];

  for (guint i = 0; i < N_CLIENTS; i++)
    join_and_start (fixture, i, IO_STREAM_DELIVERY_BLOCK);
  g_assert_cmpint (fixture->n_started, ==, 1);

  for (guint32 round = 0; round < 500; round++)
    {
      stream_util_send (fixture->stream, (guint8) round);
      for (guint i = 0; i < N_CLIENTS; i++)
        {
          stream_util_take (fixture->clients[i], (guint8) round, &entries[i]);
          g_assert_cmpuint (entries[i].sequence, ==, round);
          g_assert_cmpuint (entries[i].buffer_id, ==, entries[0].buffer_id);
        }
      for (guint i = 0; i < N_CLIENTS; i++)
        {
          stream_util_assert_fails (io_stream_acquire_buffer_with_id (fixture->stream, entries[0].buffer_id, err),
                                    IO_STREAM_ERROR_BUSY);
          stream_util_return (fixture->clients[(i + round) % N_CLIENTS], &entries[(i + round) % N_CLIENTS]);
        }
      g_assert_nonnull (io_stream_acquire_buffer_with_id (fixture->stream, entries[0].buffer_id, NULL));
      io_stream_release_buffer (fixture->stream, io_stream_get_buffer_with_id (fixture->stream, entries[0].buffer_id));
    }

  for (guint i = 0; i < N_CLIENTS; i++)
    {
      g_assert_cmpuint (io_stream_connection_get_received (fixture->clients[i]), ==, 500);
      g_assert_cmpuint (io_stream_connection_get_lost (fixture->clients[i]), ==, 0);
    }
}

/* Who shares and who does not are not mixed. */
static void
test_exclusive (Fixture       *fixture,
                gconstpointer  data)
{
  guint both = IO_STREAM_OPEN_SHARED | IO_STREAM_OPEN_EXCLUSIVE;

  stream_util_assert_fails (try_open (fixture, 0, 0, both, err), IO_STREAM_ERROR_BAD_ARGUMENT);
  join (fixture, 0, IO_STREAM_DELIVERY_BLOCK);
  stream_util_assert_fails (try_open (fixture, 1, 0, 0, err), IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  stream_util_assert_fails (try_open (fixture, 1, 0, IO_STREAM_OPEN_EXCLUSIVE, err), IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  stream_util_assert_fails (try_open (fixture, 1, 0, both, err), IO_STREAM_ERROR_BAD_ARGUMENT);
  join (fixture, 1, IO_STREAM_DELIVERY_BLOCK);
  stream_util_close (fixture->clients[0]);
  stream_util_assert_fails (try_open (fixture, 0, 0, 0, err), IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  stream_util_close (fixture->clients[1]);

  stream_util_assert_works (try_open (fixture, 0, 0, 0, err));
  stream_util_assert_fails (try_open (fixture, 1, 0, IO_STREAM_OPEN_SHARED, err), IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  stream_util_close (fixture->clients[0]);
  join (fixture, 1, IO_STREAM_DELIVERY_BLOCK);
}

/* One method call for all of them together. */
static void
test_states (Fixture       *fixture,
             gconstpointer  data)
{
  for (guint i = 0; i < 3; i++)
    join (fixture, i, IO_STREAM_DELIVERY_BLOCK);
  g_assert_cmpint (io_stream_get_state (fixture->stream), ==, IO_STREAM_STATE_STOPPED);

  fixture->refuses = TRUE;
  stream_util_assert_fails (io_stream_connection_start (fixture->clients[0], NULL, err), IO_STREAM_ERROR_BUSY);
  g_assert_cmpint (io_stream_connection_get_state (fixture->clients[0]), ==, IO_STREAM_STATE_STOPPED);
  fixture->refuses = FALSE;
  stream_util_start (fixture->clients[0]);
  stream_util_start (fixture->clients[1]);
  stream_util_start (fixture->clients[1]);
  g_assert_cmpint (fixture->n_started, ==, 2);
  g_assert_cmpint (io_stream_connection_get_state (fixture->clients[1]), ==, IO_STREAM_STATE_RUNNING);
  g_assert_cmpint (io_stream_connection_get_state (fixture->clients[2]), ==, IO_STREAM_STATE_STOPPED);

  stream_util_assert_fails (io_stream_connection_suspend (fixture->clients[2], NULL, err), IO_STREAM_ERROR_NOT_READY);
  stream_util_assert_works (io_stream_connection_suspend (fixture->clients[0], NULL, err));
  g_assert_cmpint (fixture->n_suspended, ==, 0);
  g_assert_cmpint (io_stream_get_state (fixture->stream), ==, IO_STREAM_STATE_RUNNING);
  stream_util_assert_works (io_stream_connection_suspend (fixture->clients[1], NULL, err));
  g_assert_cmpint (fixture->n_suspended, ==, 1);
  g_assert_cmpint (io_stream_get_state (fixture->stream), ==, IO_STREAM_STATE_SUSPENDED);

  stream_util_start (fixture->clients[0]);
  g_assert_cmpint (fixture->n_started, ==, 3);
  stream_util_assert_works (io_stream_connection_stop (fixture->clients[0], NULL, err));
  g_assert_cmpint (fixture->n_suspended, ==, 2);
  g_assert_cmpint (fixture->n_stopped, ==, 0);
  stream_util_close (fixture->clients[1]);
  g_assert_cmpint (fixture->n_stopped, ==, 1);
  g_assert_cmpint (io_stream_get_state (fixture->stream), ==, IO_STREAM_STATE_STOPPED);

  stream_util_start (fixture->clients[2]);
  stream_util_hang_up (&fixture->clients[2]);
  stream_util_catch_up (fixture->loop);
  g_assert_cmpint (g_atomic_int_get (&fixture->n_stopped), ==, 2);
  stream_util_close (fixture->clients[0]);
  g_assert_cmpint (io_stream_get_state (fixture->stream), ==, IO_STREAM_STATE_CLOSED);
}

/* What concerns one client only is not told as the state of the stream. */
static void
test_told (Fixture       *fixture,
           gconstpointer  data)
{
  for (guint i = 0; i < 3; i++)
    join_and_start (fixture, i, IO_STREAM_DELIVERY_BLOCK);
  g_assert_cmpint (fixture->n_told, ==, 2);
  stream_util_assert_works (io_stream_connection_suspend (fixture->clients[0], NULL, err));
  stream_util_assert_works (io_stream_connection_stop (fixture->clients[1], NULL, err));
  stream_util_close (fixture->clients[1]);
  g_assert_cmpint (fixture->n_told, ==, 2);
  stream_util_close (fixture->clients[2]);
  g_assert_cmpint (fixture->n_told, ==, 3);
  stream_util_close (fixture->clients[0]);
  g_assert_cmpint (fixture->n_told, ==, 4);
}

static void
closes_cb (IOConnection *connection,
           guint         type,
           GVariant     *argument,
           gpointer      data)
{
  if (type == IO_SERVICE_MESSAGE_REQUESTING_CLOSE)
    io_connection_close_async (connection, NULL, NULL, NULL);
}

static void
opened_cb (GObject      *source,
           GAsyncResult *result,
           gpointer      data)
{
  stream_util_assert_works (io_connection_open_finish (IO_CONNECTION (source), result, err));
  *(gboolean *) data = TRUE;
}

/* One that wants it for itself asks all who share it, and gets it from the
 * last. */
static void
test_seize (Fixture       *fixture,
            gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  gboolean opened = FALSE;

  for (guint i = 0; i < 3; i++)
    {
      join_and_start (fixture, i, IO_STREAM_DELIVERY_BLOCK);
      g_signal_connect (fixture->clients[i], "service-message", G_CALLBACK (closes_cb), NULL);
    }
  fixture->clients[3] = stream_util_connect (fixture->stream, &error);
  g_assert_no_error (error);
  io_connection_open_async (IO_CONNECTION (fixture->clients[3]), IO_SERVICE_OPEN_SEIZE, NULL, opened_cb, &opened);
  stream_util_iterate_until (opened);
  for (guint i = 0; i < 3; i++)
    g_assert_cmpint (io_stream_connection_get_state (fixture->clients[i]), ==, IO_STREAM_STATE_CLOSED);
  stream_util_start (fixture->clients[3]);
  stream_util_assert_fails (try_open (fixture, 0, 0, IO_STREAM_OPEN_SHARED, err), IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
}

static gboolean
owner_cb (gpointer data)
{
  Fixture *fixture = data;

  stream_util_assert_works (io_stream_start (fixture->stream, err));
  stream_util_assert_works (io_stream_suspend (fixture->stream, err));
  stream_util_assert_works (io_stream_start (fixture->stream, err));

  return G_SOURCE_REMOVE;
}

static gboolean
owner_stop_cb (gpointer data)
{
  Fixture *fixture = data;

  stream_util_assert_works (io_stream_stop (fixture->stream, err));

  return G_SOURCE_REMOVE;
}

/* The owner does it for all. */
static void
test_owner (Fixture       *fixture,
            gconstpointer  data)
{
  for (guint i = 0; i < 3; i++)
    join (fixture, i, IO_STREAM_DELIVERY_BLOCK);
  stream_util_run (fixture->loop, owner_cb, fixture);
  for (guint i = 0; i < 3; i++)
    g_assert_cmpint (io_stream_connection_get_state (fixture->clients[i]), ==, IO_STREAM_STATE_RUNNING);
  g_assert_cmpint (fixture->n_started, ==, 2);
  stream_util_run (fixture->loop, owner_stop_cb, fixture);
  for (guint i = 0; i < 3; i++)
    g_assert_cmpint (io_stream_connection_get_state (fixture->clients[i]), ==, IO_STREAM_STATE_STOPPED);
  g_assert_cmpint (fixture->n_stopped, ==, 1);
}

/* One that does not run gets nothing, and has missed nothing either. */
static void
test_stopped (Fixture       *fixture,
              gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  join_and_start (fixture, 0, IO_STREAM_DELIVERY_BLOCK);
  join (fixture, 1, IO_STREAM_DELIVERY_BLOCK);
  for (guint i = 0; i < 20; i++)
    {
      stream_util_send (fixture->stream, (guint8) i);
      stream_util_take (fixture->clients[0], (guint8) i, &entry);
      stream_util_return (fixture->clients[0], &entry);
    }
  stream_util_assert_empty (fixture->clients[1]);

  stream_util_start (fixture->clients[1]);
  stream_util_send (fixture->stream, 77);
  stream_util_take (fixture->clients[1], 77, &entry);
  g_assert_cmpuint (entry.sequence, ==, 20);
  g_assert_cmpuint (io_stream_connection_get_lost (fixture->clients[1]), ==, 0);
}

static gpointer
sender_thread (gpointer data)
{
  Fixture *fixture = data;

  while (!g_atomic_int_get (&fixture->over))
    {
      IOStreamBuffer *buffer = io_stream_acquire_buffer (fixture->stream, NULL);

      if (buffer != NULL && !io_stream_send_buffer (fixture->stream, buffer, NULL))
        io_stream_release_buffer (fixture->stream, buffer);
    }

  return NULL;
}

static void
take_in_order (Fixture *fixture,
               guint32 *next)
{
  IOStreamBufferQueueEntry entry;

  while (io_stream_connection_dequeue_output_entry (fixture->clients[0], &entry))
    {
      g_assert_cmpuint (entry.sequence, ==, *next);
      ++*next;
      stream_util_return (fixture->clients[0], &entry);
    }
}

/* What is sent while the only client suspends goes to it, or fails: nothing is
 * sent to nobody. */
static void
test_nothing_between (Fixture       *fixture,
                      gconstpointer  data)
{
  GThread *thread;
  guint32 next = 0;

  join_and_start (fixture, 0, IO_STREAM_DELIVERY_BLOCK);
  io_stream_connection_set_notify_in_context (fixture->clients[0], FALSE);
  thread = g_thread_new ("sender", sender_thread, fixture);
  for (guint round = 0; round < 400; round++)
    {
      if (round % 2 == 0)
        stream_util_assert_works (io_stream_connection_suspend (fixture->clients[0], NULL, err));
      else
        stream_util_assert_works (io_stream_connection_stop (fixture->clients[0], NULL, err));
      take_in_order (fixture, &next);
      stream_util_start (fixture->clients[0]);
      take_in_order (fixture, &next);
    }

  g_atomic_int_set (&fixture->over, TRUE);
  g_thread_join (thread);
  take_in_order (fixture, &next);
  g_assert_cmpuint (io_stream_connection_get_lost (fixture->clients[0]), ==, 0);
}

/* A client that blocks holds all back, and the owner hears who it is. */
static void
test_block (Fixture       *fixture,
            gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;
  g_autoptr (GError) error = NULL;
  IOStreamBuffer *buffer;

  join_and_start (fixture, 0, IO_STREAM_DELIVERY_BLOCK);
  join_and_start (fixture, 1, IO_STREAM_DELIVERY_BLOCK);
  for (guint i = 0; i < 4; i++)
    {
      stream_util_send (fixture->stream, (guint8) i);
      stream_util_take (fixture->clients[0], (guint8) i, &entry);
      stream_util_return (fixture->clients[0], &entry);
    }

  buffer = io_stream_acquire_buffer (fixture->stream, &error);
  g_assert_no_error (error);
  g_assert_false (io_stream_send_buffer (fixture->stream, buffer, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OVERRUN);
  g_assert_nonnull (strstr (error->message, "holds 4 and may hold 4"));

  stream_util_take (fixture->clients[1], 0, &entry);
  stream_util_return (fixture->clients[1], &entry);
  stream_util_assert_works (io_stream_send_buffer (fixture->stream, buffer, err));
}

/* Joining and leaving never disturbs the others. */
static void
test_come_and_go (Fixture       *fixture,
                  gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  join_and_start (fixture, 0, IO_STREAM_DELIVERY_BLOCK);
  for (guint i = 0; i < 60; i++)
    {
      guint other = 1 + i % (N_CLIENTS - 1);

      join_and_start (fixture, other, i % 2 ? IO_STREAM_DELIVERY_BLOCK : IO_STREAM_DELIVERY_DROP_NEWEST);
      for (guint k = 0; k < 3; k++)
        stream_util_send (fixture->stream, (guint8) (3 * i + k));
      if (i % 3 == 0)
        g_assert_true (io_stream_connection_dequeue_output_entry (fixture->clients[other], &entry));
      if (i % 4 == 0)
        stream_util_hang_up (&fixture->clients[other]);
      else
        stream_util_close (fixture->clients[other]);
      for (guint k = 0; k < 3; k++)
        {
          stream_util_take (fixture->clients[0], (guint8) (3 * i + k), &entry);
          stream_util_return (fixture->clients[0], &entry);
        }
    }
  g_assert_cmpuint (io_stream_connection_get_received (fixture->clients[0]), ==, 180);
  g_assert_cmpuint (io_stream_connection_get_lost (fixture->clients[0]), ==, 0);
  g_assert_cmpint (fixture->n_started, ==, 1);
}

/* The slow one misses what comes, the other does not, and both can tell. */
static void
test_drop_newest (Fixture       *fixture,
                  gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  join_and_start (fixture, 0, IO_STREAM_DELIVERY_BLOCK);
  join_and_start (fixture, 1, IO_STREAM_DELIVERY_DROP_NEWEST);
  for (guint i = 0; i < 100; i++)
    {
      stream_util_send (fixture->stream, (guint8) i);
      stream_util_take (fixture->clients[0], (guint8) i, &entry);
      stream_util_return (fixture->clients[0], &entry);
    }
  for (guint i = 0; i < 4; i++)
    {
      stream_util_take (fixture->clients[1], (guint8) i, &entry);
      stream_util_return (fixture->clients[1], &entry);
    }
  stream_util_assert_empty (fixture->clients[1]);

  stream_util_send (fixture->stream, 100);
  stream_util_take (fixture->clients[1], 100, &entry);
  g_assert_cmpuint (entry.sequence, ==, 100);
  g_assert_cmpuint (io_stream_connection_get_lost (fixture->clients[1]), ==, 96);
  stream_util_take (fixture->clients[0], 100, &entry);
  g_assert_cmpuint (io_stream_connection_get_lost (fixture->clients[0]), ==, 0);
}

/* All miss it: the owner goes on as if they had got it. */
static void
test_nobody (Fixture       *fixture,
             gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  io_stream_set_client_allowance (fixture->stream, 2);
  g_assert_cmpuint (io_stream_get_client_allowance (fixture->stream), ==, 2);
  join_and_start (fixture, 0, IO_STREAM_DELIVERY_DROP_NEWEST);
  join_and_start (fixture, 1, IO_STREAM_DELIVERY_DROP_NEWEST);
  for (guint i = 0; i < 1000; i++)
    stream_util_send (fixture->stream, (guint8) i);
  for (guint c = 0; c < 2; c++)
    for (guint i = 0; i < 2; i++)
      {
        stream_util_take (fixture->clients[c], (guint8) i, &entry);
        stream_util_return (fixture->clients[c], &entry);
      }
}

/* What is kept for the owner no client gets, whatever it may hold. */
static void
test_reserve (Fixture       *fixture,
              gconstpointer  data)
{
  IOStreamBuffer *buffers[3];

  g_object_set (fixture->stream, "reserve-count", 3, "client-allowance", 8, NULL);
  g_assert_cmpuint (io_stream_get_reserve_count (fixture->stream), ==, 3);
  join_and_start (fixture, 0, IO_STREAM_DELIVERY_DROP_NEWEST);
  for (guint i = 0; i < 50; i++)
    stream_util_send (fixture->stream, (guint8) i);
  stream_util_catch_up (fixture->loop);
  for (guint i = 0; i < 3; i++)
    {
      buffers[i] = io_stream_acquire_buffer (fixture->stream, NULL);
      g_assert_nonnull (buffers[i]);
    }
  stream_util_assert_fails (io_stream_acquire_buffer (fixture->stream, err) != NULL, IO_STREAM_ERROR_NO_SPACE);

  join_and_start (fixture, 1, IO_STREAM_DELIVERY_BLOCK);
  stream_util_assert_fails (io_stream_send_buffer (fixture->stream, buffers[0], err), IO_STREAM_ERROR_OVERRUN);
  io_stream_set_reserve_count (fixture->stream, 2);
  stream_util_assert_works (io_stream_send_buffer (fixture->stream, buffers[0], err));
  stream_util_assert_fails (io_stream_send_buffer (fixture->stream, buffers[1], err), IO_STREAM_ERROR_OVERRUN);
  io_stream_release_buffer (fixture->stream, buffers[1]);
  io_stream_release_buffer (fixture->stream, buffers[2]);
}

static void
test_permitted (Fixture       *fixture,
                gconstpointer  data)
{
  g_autoptr (IOStream) strict = NULL;
  g_autoptr (IOStream) old = fixture->stream;
  IOWorkLoop *loop = fixture->loop;
  g_autoptr (GError) error = NULL;

  strict = g_initable_new (IO_TYPE_STREAM, NULL, &error, "name", "strict", "work-loop", loop,
                           "buffer-count", 4, "data-size", (guint64) 16, "max-clients", 2,
                           "deliveries", IO_STREAM_DELIVERY_FLAG_DROP_NEWEST | IO_STREAM_DELIVERY_FLAG_LATEST, NULL);
  g_assert_no_error (error);
  g_assert_true (io_service_register (IO_SERVICE (strict), &error));
  fixture->stream = strict;

  g_assert_false (try_open (fixture, 0, IO_STREAM_DELIVERY_BLOCK, IO_STREAM_OPEN_SHARED, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED);
  g_assert_cmpstr (error->message, ==,
                   "Stream “strict” does not permit delivery “block”, only: “drop-newest”, “latest”");
  g_clear_error (&error);
  join (fixture, 0, IO_STREAM_DELIVERY_DROP_NEWEST);
  join (fixture, 1, IO_STREAM_DELIVERY_DROP_NEWEST);
  stream_util_assert_fails (try_open (fixture, 2, IO_STREAM_DELIVERY_DROP_NEWEST, IO_STREAM_OPEN_SHARED, err),
                            IO_STREAM_ERROR_NO_RESOURCES);
  for (guint i = 0; i < 3; i++)
    stream_util_hang_up (&fixture->clients[i]);
  fixture->stream = g_steal_pointer (&old);
  io_service_terminate (IO_SERVICE (strict));
  stream_util_catch_up (loop);
}

static void
set_up_writable (Fixture       *fixture,
                 gconstpointer  data)
{
  make (fixture, 4, IO_STREAM_PEER_ACCESS_READ_WRITE, IO_STREAM_MODE_OUTPUT);
}

static void
set_up_input (Fixture       *fixture,
              gconstpointer  data)
{
  make (fixture, 4, IO_STREAM_PEER_ACCESS_READ_WRITE, IO_STREAM_MODE_INPUT);
}

/* What one client can write, others cannot rely on. */
static void
test_unsupported (Fixture       *fixture,
                  gconstpointer  data)
{
  stream_util_assert_fails (try_open (fixture, 0, 0, IO_STREAM_OPEN_SHARED, err), IO_STREAM_ERROR_UNSUPPORTED);
  stream_util_assert_works (try_open (fixture, 0, 0, 0, err));
}

static gboolean
grow_cb (gpointer data)
{
  Fixture *fixture = data;
  g_autoptr (IOMemoryDescriptor) writable =
    IO_MEMORY_DESCRIPTOR (io_buffer_memory_descriptor_new (256, IO_STREAM_PEER_ACCESS_READ_WRITE, NULL));
  g_autoptr (IOMemoryDescriptor) memory =
    IO_MEMORY_DESCRIPTOR (io_buffer_memory_descriptor_new (256, IO_STREAM_PEER_ACCESS_READ, NULL));
  g_autoptr (IOStreamBuffer) bad = io_stream_buffer_new (writable, NULL);
  g_autoptr (IOStreamBuffer) good = io_stream_buffer_new (memory, NULL);

  stream_util_assert_fails (io_stream_add_buffer (fixture->stream, bad, err), IO_STREAM_ERROR_STILL_OPEN);
  stream_util_assert_works (io_stream_add_buffer (fixture->stream, good, err));

  return G_SOURCE_REMOVE;
}

static void
set_up_seven (Fixture       *fixture,
              gconstpointer  data)
{
  make (fixture, 7, IO_STREAM_PEER_ACCESS_READ, IO_STREAM_MODE_OUTPUT);
}

/* A buffer more for all of them. */
static void
test_grow (Fixture       *fixture,
           gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;
  g_autoptr (GError) error = NULL;
  IOStreamBuffer *buffer;

  for (guint i = 0; i < 3; i++)
    join_and_start (fixture, i, IO_STREAM_DELIVERY_BLOCK);
  stream_util_run (fixture->loop, grow_cb, fixture);
  buffer = io_stream_acquire_buffer_with_id (fixture->stream, 7, &error);
  g_assert_no_error (error);
  memset (io_stream_buffer_peek_data (buffer, NULL), 9, 256);
  stream_util_assert_works (io_stream_send_buffer (fixture->stream, buffer, err));
  for (guint i = 0; i < 3; i++)
    {
      stream_util_iterate_until (io_stream_connection_get_buffer_count (fixture->clients[i]) == 8);
      stream_util_take (fixture->clients[i], 9, &entry);
      g_assert_cmpuint (entry.buffer_id, ==, 7);
      stream_util_return (fixture->clients[i], &entry);
    }
}

#define ADD(name, up, func) g_test_add ("/stream-shared/" name, Fixture, NULL, up, func, tear_down)

int
main (int    argc,
      char **argv)
{
  char *dir;
  int result;

  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();
  ADD ("everybody", set_up, test_everybody);
  ADD ("exclusive", set_up, test_exclusive);
  ADD ("states", set_up, test_states);
  ADD ("told", set_up, test_told);
  ADD ("seize", set_up, test_seize);
  ADD ("owner", set_up, test_owner);
  ADD ("stopped", set_up, test_stopped);
  ADD ("nothing-between", set_up, test_nothing_between);
  ADD ("block", set_up, test_block);
  ADD ("come-and-go", set_up, test_come_and_go);
  ADD ("drop-newest", set_up, test_drop_newest);
  ADD ("nobody", set_up, test_nobody);
  ADD ("reserve", set_up, test_reserve);
  ADD ("permitted", set_up, test_permitted);
  ADD ("writable", set_up_writable, test_unsupported);
  ADD ("input", set_up_input, test_unsupported);
  ADD ("grow", set_up_seven, test_grow);
  result = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return result;
}
