/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "peer-process.h"

/* What a stream keeps for clients that come later: who gets it, how much and
 * when, and that it is in nobody's way. */

#define N_CLIENTS 3
#define N_BUFFERS 8

typedef struct {
  IOWorkLoop         *loop;
  IOStream           *stream;
  IOStreamConnection *clients[N_CLIENTS];
  guint               n_fds;
  guint8              next;       /* byte, and number, of the next buffer */
} Fixture;

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  g_main_context_iteration (NULL, FALSE);
  fixture->n_fds = count_fds ();
  fixture->loop = stream_util_new_loop ();
  fixture->stream = g_initable_new (IO_TYPE_STREAM, NULL, &error,
                                    "name", "history", "work-loop", fixture->loop,
                                    "buffer-count", N_BUFFERS, "data-size", (guint64) 256,
                                    "history-count", 4, NULL);
  g_assert_no_error (error);
  g_assert_true (io_service_register (IO_SERVICE (fixture->stream), &error));
  g_assert_no_error (error);
}

static void
hang_up (Fixture *fixture,
         guint    i)
{
  stream_util_hang_up (&fixture->clients[i]);
  stream_util_catch_up (fixture->loop);
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  stream_util_end (fixture->loop, fixture->stream, fixture->clients, N_CLIENTS, fixture->n_fds);
}

static void
join_with (Fixture *fixture,
           guint    i,
           guint    replay,
           guint    options)
{
  g_autoptr (GError) error = NULL;

  if (fixture->clients[i] == NULL)
    fixture->clients[i] = stream_util_connect (fixture->stream, &error);
  g_assert_no_error (error);
  io_stream_connection_set_replay (fixture->clients[i], replay);
  g_assert_cmpuint (io_stream_connection_get_replay (fixture->clients[i]), ==, replay);
  io_stream_connection_set_delivery (fixture->clients[i], IO_STREAM_DELIVERY_DROP_NEWEST);
  stream_util_assert_works (io_connection_open (IO_CONNECTION (fixture->clients[i]), options, NULL, err));
}

static void
join (Fixture *fixture,
      guint    i,
      guint    replay)
{
  join_with (fixture, i, replay, IO_STREAM_OPEN_SHARED);
  stream_util_start (fixture->clients[i]);
}

/* It is there at once: nobody waits. */
static void
take_and_keep (Fixture                  *fixture,
               guint                     i,
               guint32                   number,
               IOStreamBufferQueueEntry *entry)
{
  const guint8 *data;

  g_assert_true (io_stream_connection_dequeue_output_entry (fixture->clients[i], entry));
  g_assert_cmpuint (entry->sequence, ==, number);
  data = io_stream_connection_peek_data_buffer (fixture->clients[i], entry->buffer_id, NULL);
  g_assert_cmpuint (data[0], ==, (guint8) number);
}

static void
take (Fixture *fixture,
      guint    i,
      guint32  number)
{
  IOStreamBufferQueueEntry entry;

  take_and_keep (fixture, i, number, &entry);
  stream_util_return (fixture->clients[i], &entry);
}

static void
take_range (Fixture *fixture,
            guint    i,
            guint32  first,
            guint32  last)
{
  for (guint32 number = first; number <= last; number++)
    take (fixture, i, number);
  stream_util_assert_empty (fixture->clients[i]);
}

/* The first client takes each. */
static void
send_many (Fixture *fixture,
           guint    n)
{
  for (guint i = 0; i < n; i++)
    {
      stream_util_send (fixture->stream, fixture->next);
      take (fixture, 0, fixture->next++);
    }
}

/* As many as it asks for, the newest, in order, and what is new after them. */
static void
test_replay (Fixture       *fixture,
             gconstpointer  data)
{
  join (fixture, 0, 0);
  send_many (fixture, 10);
  join (fixture, 1, 2);
  join (fixture, 2, 0);
  send_many (fixture, 2);

  take_range (fixture, 1, 8, 11);
  g_assert_cmpuint (io_stream_connection_get_lost (fixture->clients[1]), ==, 0);
  g_assert_cmpuint (io_stream_connection_get_received (fixture->clients[1]), ==, 4);
  take_range (fixture, 2, 10, 11);
}

/* Not more than the owner keeps, and not more than it may hold. */
static void
test_bounds (Fixture       *fixture,
             gconstpointer  data)
{
  join (fixture, 0, 0);
  send_many (fixture, 10);
  join (fixture, 1, IO_STREAM_MAX_BUFFERS);
  take_range (fixture, 1, 6, 9);

  io_stream_set_client_allowance (fixture->stream, 2);
  join (fixture, 2, 4);
  take_range (fixture, 2, 8, 9);
  hang_up (fixture, 2);
  io_stream_set_client_allowance (fixture->stream, 0);

  io_stream_set_history_count (fixture->stream, 1);
  g_assert_cmpuint (io_stream_get_history_count (fixture->stream), ==, 1);
  join (fixture, 2, 4);
  take_range (fixture, 2, 9, 9);
  hang_up (fixture, 2);

  io_stream_set_history_count (fixture->stream, 3);
  send_many (fixture, 1);
  join (fixture, 2, 4);
  take_range (fixture, 2, 9, 10);
}

/* An owner that takes everything gets everything. */
static void
test_gives_way (Fixture       *fixture,
                gconstpointer  data)
{
  IOStreamBuffer *buffers[N_BUFFERS];

  io_stream_set_history_count (fixture->stream, 100);
  join (fixture, 0, 0);
  send_many (fixture, 100);
  for (guint i = 0; i < N_BUFFERS; i++)
    {
      buffers[i] = io_stream_acquire_buffer (fixture->stream, NULL);
      g_assert_nonnull (buffers[i]);
    }
  stream_util_assert_fails (io_stream_acquire_buffer (fixture->stream, err), IO_STREAM_ERROR_NO_SPACE);
  join (fixture, 1, 4);
  stream_util_assert_empty (fixture->clients[1]);
  for (guint i = 0; i < N_BUFFERS; i++)
    io_stream_release_buffer (fixture->stream, buffers[i]);
}

/* By number too, acquired first or not. */
static void
test_by_number (Fixture       *fixture,
                gconstpointer  data)
{
  IOStreamBufferQueueEntry entry = { 0, };
  IOStreamBuffer *buffer;

  io_stream_set_history_count (fixture->stream, N_BUFFERS);
  join (fixture, 0, 0);
  for (guint32 number = 0; number < 50; number++)
    {
      entry.buffer_id = number % N_BUFFERS;
      buffer = io_stream_get_buffer_with_id (fixture->stream, entry.buffer_id);
      if (number % 3 > 0)
        stream_util_assert_works (io_stream_acquire_buffer_with_id (fixture->stream, entry.buffer_id, err));
      memset (io_stream_buffer_peek_data (buffer, NULL), (int) number, 256);
      entry.data_length = 256;
      stream_util_assert_works (io_stream_enqueue_output_entry (fixture->stream, &entry, err));
      g_assert_cmpint (io_stream_buffer_get_client_reference_count (buffer), ==, 1);
      take (fixture, 0, number);
      g_assert_cmpint (io_stream_buffer_get_client_reference_count (buffer), ==, 0);
    }
  join (fixture, 1, 3);
  take_range (fixture, 1, 47, 49);

  /* One that a client has too is not given away. */
  join (fixture, 2, 1);
  take_and_keep (fixture, 2, 49, &entry);
  stream_util_assert_fails (io_stream_acquire_buffer_with_id (fixture->stream, 1, err), IO_STREAM_ERROR_BUSY);
  stream_util_return (fixture->clients[2], &entry);
  stream_util_assert_works (io_stream_acquire_buffer_with_id (fixture->stream, 1, err));
  io_stream_release_buffer (fixture->stream, io_stream_get_buffer_with_id (fixture->stream, 1));
  hang_up (fixture, 2);
  join (fixture, 2, 8);
  take_range (fixture, 2, 45, 48);
}

/* What is kept never is why a reserve is touched, and leaves it alone. */
static void
test_reserve (Fixture       *fixture,
              gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  io_stream_set_history_count (fixture->stream, 100);
  io_stream_set_reserve_count (fixture->stream, 5);
  join (fixture, 0, 0);
  send_many (fixture, 20);
  join (fixture, 1, 1);
  take_and_keep (fixture, 1, 19, &entry);
  send_many (fixture, 20);
  g_assert_cmpuint (io_stream_connection_get_received (fixture->clients[0]), ==, 40);
  g_assert_cmpuint (io_stream_connection_get_lost (fixture->clients[0]), ==, 0);

  io_stream_set_reserve_count (fixture->stream, 6);
  join (fixture, 2, 8);
  take_range (fixture, 2, 39, 39);
  stream_util_return (fixture->clients[1], &entry);
}

/* Nothing twice: not what it had before it stopped, and nothing after a
 * pause. */
static void
test_once (Fixture       *fixture,
           gconstpointer  data)
{
  join (fixture, 0, 0);
  send_many (fixture, 4);
  join (fixture, 1, 2);
  send_many (fixture, 1);
  take_range (fixture, 1, 2, 4);

  stream_util_start (fixture->clients[1]);
  stream_util_assert_empty (fixture->clients[1]);
  stream_util_assert_works (io_stream_connection_stop (fixture->clients[1], NULL, err));
  stream_util_start (fixture->clients[1]);
  stream_util_assert_empty (fixture->clients[1]);

  stream_util_assert_works (io_stream_connection_stop (fixture->clients[1], NULL, err));
  send_many (fixture, 1);
  stream_util_start (fixture->clients[1]);
  take_range (fixture, 1, 5, 5);
  stream_util_assert_works (io_stream_connection_stop (fixture->clients[1], NULL, err));
  send_many (fixture, 6);
  stream_util_start (fixture->clients[1]);
  take_range (fixture, 1, 10, 11);
  send_many (fixture, 1);
  take_range (fixture, 1, 12, 12);
  g_assert_cmpuint (io_stream_connection_get_lost (fixture->clients[1]), ==, 0);

  stream_util_assert_works (io_stream_connection_suspend (fixture->clients[1], NULL, err));
  send_many (fixture, 2);
  stream_util_start (fixture->clients[1]);
  stream_util_assert_empty (fixture->clients[1]);

  /* Another open starts from nothing. */
  stream_util_close (fixture->clients[1]);
  join (fixture, 1, 4);
  take_range (fixture, 1, 11, 14);
}

/* It outlives the clients, shared or not, and what an exclusive one left is for
 * the next. */
static void
test_session (Fixture       *fixture,
              gconstpointer  data)
{
  join_with (fixture, 0, 4, 0);
  stream_util_start (fixture->clients[0]);
  stream_util_assert_empty (fixture->clients[0]);
  send_many (fixture, 3);
  stream_util_close (fixture->clients[0]);

  io_stream_release_buffer (fixture->stream, io_stream_acquire_buffer (fixture->stream, NULL));
  join_with (fixture, 1, 4, IO_STREAM_OPEN_EXCLUSIVE);
  stream_util_assert_empty (fixture->clients[1]);
  stream_util_start (fixture->clients[1]);
  take_range (fixture, 1, 0, 2);
  g_assert_cmpuint (io_stream_connection_get_lost (fixture->clients[1]), ==, 0);
  stream_util_close (fixture->clients[1]);

  io_stream_clear_history (fixture->stream);
  io_stream_clear_history (fixture->stream);
  join (fixture, 2, 4);
  stream_util_assert_empty (fixture->clients[2]);
  io_stream_set_history_count (fixture->stream, 0);
  io_stream_clear_history (fixture->stream);
}

static void
reopen_and_find_nothing (Fixture *fixture)
{
  join (fixture, 1, 4);
  stream_util_assert_empty (fixture->clients[1]);
  stream_util_close (fixture->clients[1]);
}

static gboolean
change_memory_cb (gpointer data)
{
  Fixture *fixture = data;
  IOStreamBuffer *buffer = io_stream_get_buffer_with_id (fixture->stream, 3);
  g_autoptr (GError) error = NULL;
  g_autoptr (IOMemoryDescriptor) memory =
    IO_MEMORY_DESCRIPTOR (io_buffer_memory_descriptor_new (256, IO_STREAM_PEER_ACCESS_READ, &error));

  g_assert_no_error (error);
  stream_util_assert_works (io_stream_buffer_set_data_buffer (buffer, memory, err));

  return G_SOURCE_REMOVE;
}

static gboolean
remove_cb (gpointer data)
{
  Fixture *fixture = data;

  stream_util_assert_works (io_stream_remove_buffer_with_id (fixture->stream, 7, err));

  return G_SOURCE_REMOVE;
}

static gboolean
add_cb (gpointer data)
{
  Fixture *fixture = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (IOMemoryDescriptor) memory =
    IO_MEMORY_DESCRIPTOR (io_buffer_memory_descriptor_new (256, IO_STREAM_PEER_ACCESS_READ, &error));
  g_autoptr (IOStreamBuffer) buffer = io_stream_buffer_new (memory, NULL);

  g_assert_no_error (error);
  stream_util_assert_works (io_stream_add_buffer (fixture->stream, buffer, err));

  return G_SOURCE_REMOVE;
}

/* What is kept would mean something else now. */
static void
test_forgets (Fixture       *fixture,
              gconstpointer  data)
{
  GSourceFunc changes[] = { change_memory_cb, remove_cb };

  for (guint i = 0; i < G_N_ELEMENTS (changes); i++)
    {
      join (fixture, 0, 0);
      send_many (fixture, 3);
      stream_util_close (fixture->clients[0]);
      stream_util_run (fixture->loop, changes[i], fixture);
      reopen_and_find_nothing (fixture);
    }

  join (fixture, 0, 0);
  send_many (fixture, 3);
  stream_util_run (fixture->loop, add_cb, fixture);
  send_many (fixture, 10);
  join (fixture, 1, 2);
  take_range (fixture, 1, fixture->next - 2u, fixture->next - 1u);
}

static gboolean
change_mode_cb (gpointer data)
{
  stream_util_assert_works (io_stream_set_mode (data, IO_STREAM_MODE_INPUT, err));
  stream_util_assert_works (io_stream_set_mode (data, IO_STREAM_MODE_OUTPUT, err));

  return G_SOURCE_REMOVE;
}

/* How many an open and start brings. */
static guint
count_replayed (IOStream *stream)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (IOStreamConnection) client = stream_util_connect (stream, &error);
  IOStreamBufferQueueEntry entry;
  guint n = 0;

  g_assert_no_error (error);
  io_stream_connection_set_replay (client, 4);
  stream_util_assert_works (io_connection_open (IO_CONNECTION (client), 0, NULL, err));
  stream_util_start (client);
  while (io_stream_connection_dequeue_output_entry (client, &entry))
    {
      stream_util_return (client, &entry);
      n++;
    }
  io_stream_release_buffer (stream, io_stream_acquire_buffer (stream, NULL));
  stream_util_assert_works (io_stream_send_buffer (stream, io_stream_get_buffer_with_id (stream, 1), err));
  stream_util_close (client);

  return n;
}

/* Memory that clients could write is never shown to another one; what was sent
 * before the mode changed is of another time. */
static void
test_access (Fixture       *fixture,
             gconstpointer  data)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (IOWorkLoop) loop = stream_util_new_loop ();
      g_autoptr (GError) error = NULL;
      g_autoptr (IOStream) stream =
        g_initable_new (IO_TYPE_STREAM, NULL, &error, "name", "access", "work-loop", loop, "buffer-count", 4,
                        "data-size", (guint64) (i == 0 ? 64 : 0), "history-count", 4,
                        "peer-access", i == 0 ? IO_STREAM_PEER_ACCESS_READ_WRITE : IO_STREAM_PEER_ACCESS_READ, NULL);

      stream_util_assert_works (io_service_register (IO_SERVICE (stream), err));
      g_assert_cmpuint (count_replayed (stream), ==, 0);
      if (i > 0)
        {
          g_assert_cmpuint (count_replayed (stream), ==, 1);
          stream_util_run (loop, change_mode_cb, stream);
        }
      g_assert_cmpuint (count_replayed (stream), ==, 0);
      io_service_terminate (IO_SERVICE (stream));
      stream_util_shut_down (loop);
    }
}

/* A waiting owner is let go by what is kept. */
static void
test_wait (Fixture       *fixture,
           gconstpointer  data)
{
  stream_util_skip_if_local ("nobody may wait");

  io_stream_set_history_count (fixture->stream, N_BUFFERS);
  join (fixture, 0, 0);
  send_many (fixture, 30);
  for (guint i = 0; i < 100; i++)
    {
      stream_util_assert_works (io_stream_wait_buffer (fixture->stream, STREAM_UTIL_TIMEOUT, NULL, err));
      send_many (fixture, 1);
    }
}

/* Who looks whether it could send, while nobody runs or has a place, takes away
 * nothing. */
static void
test_looks_only (Fixture       *fixture,
                 gconstpointer  data)
{
  stream_util_skip_if_local ("nobody may wait");

  io_stream_set_history_count (fixture->stream, N_BUFFERS);
  io_stream_set_client_allowance (fixture->stream, N_BUFFERS);
  join (fixture, 0, 0);
  send_many (fixture, 30);
  stream_util_assert_works (io_stream_connection_stop (fixture->clients[0], NULL, err));
  stream_util_assert_fails (io_stream_wait_buffer (fixture->stream, 0, NULL, err), IO_STREAM_ERROR_TIMEOUT);

  join (fixture, 1, N_BUFFERS);
  take_range (fixture, 1, 22, 29);
}

/* What a client holds too does not come free when it is forgotten. */
static void
test_goes_for_a_use (Fixture       *fixture,
                     gconstpointer  data)
{
  IOStreamBufferQueueEntry entries[N_BUFFERS];

  io_stream_set_history_count (fixture->stream, N_BUFFERS);
  io_stream_set_client_allowance (fixture->stream, N_BUFFERS);
  join (fixture, 0, 0);
  for (guint i = 0; i < N_BUFFERS; i++)
    {
      stream_util_send (fixture->stream, fixture->next);
      take_and_keep (fixture, 0, fixture->next++, &entries[i]);
    }
  stream_util_assert_fails (io_stream_acquire_buffer (fixture->stream, err), IO_STREAM_ERROR_NO_SPACE);
  stream_util_assert_fails (io_stream_acquire_buffer_with_id (fixture->stream, entries[2].buffer_id, err),
                            IO_STREAM_ERROR_BUSY);
  if (fixture->loop != NULL)
    stream_util_assert_fails (io_stream_wait_buffer (fixture->stream, 0, NULL, err), IO_STREAM_ERROR_TIMEOUT);

  join (fixture, 1, N_BUFFERS);
  take_range (fixture, 1, 0, N_BUFFERS - 1);
  for (guint i = 0; i < N_BUFFERS; i++)
    stream_util_return (fixture->clients[0], &entries[i]);
}

static void
stand_still (Fixture          *fixture,
             guint             i,
             IOStreamDelivery  delivery)
{
  g_autoptr (GError) error = NULL;

  fixture->clients[i] = stream_util_connect (fixture->stream, &error);
  g_assert_no_error (error);
  io_stream_connection_set_delivery (fixture->clients[i], delivery);
  stream_util_assert_works (io_connection_open (IO_CONNECTION (fixture->clients[i]), IO_STREAM_OPEN_SHARED,
                                                NULL, err));
  stream_util_start (fixture->clients[i]);
}

/* What a slow client has not taken and what is kept go together, one by one: it
 * is no reason to forget all that is newer. */
static void
test_beside_slow (Fixture       *fixture,
                  gconstpointer  data)
{
  io_stream_set_history_count (fixture->stream, N_BUFFERS);
  io_stream_set_client_allowance (fixture->stream, N_BUFFERS);
  stand_still (fixture, 0, IO_STREAM_DELIVERY_DROP_OLDEST);
  stand_still (fixture, 2, IO_STREAM_DELIVERY_LATEST);
  while (fixture->next < 20)
    stream_util_send (fixture->stream, fixture->next++);
  join (fixture, 1, N_BUFFERS);
  take_range (fixture, 1, 12, 19);
  stream_util_close (fixture->clients[1]);

  io_stream_set_reserve_count (fixture->stream, 5);
  while (fixture->next < 40)
    stream_util_send (fixture->stream, fixture->next++);
  take_range (fixture, 0, 37, 39);
  g_assert_cmpuint (io_stream_connection_get_lost (fixture->clients[0]), ==, 37);
  take_range (fixture, 2, 39, 39);
  g_assert_cmpuint (io_stream_connection_get_lost (fixture->clients[2]), ==, 39);
  join (fixture, 1, N_BUFFERS);
  take_range (fixture, 1, 37, 39);
}

/* Exactly what was sent while it ran and did not reach it: no more for what it
 * had not taken when it stopped, and no less for what was sent while it did not
 * run. */
static void
test_lost (Fixture       *fixture,
           gconstpointer  data)
{
  guint replay = GPOINTER_TO_UINT (data);
  IOStreamBufferQueueEntry entry;

  io_stream_set_client_allowance (fixture->stream, 5);
  join (fixture, 0, 0);
  send_many (fixture, 5);
  join_with (fixture, 1, replay, IO_STREAM_OPEN_SHARED);
  send_many (fixture, 1);
  stream_util_start (fixture->clients[1]);
  for (guint32 number = 6 - replay; number < 6; number++)
    take (fixture, 1, number);

  send_many (fixture, 1);
  stream_util_assert_works (io_stream_connection_stop (fixture->clients[1], NULL, err));
  send_many (fixture, 3);
  stream_util_start (fixture->clients[1]);
  send_many (fixture, 1);
  take (fixture, 1, 6);
  for (guint32 number = 10 - replay; number < 10; number++)
    take (fixture, 1, number);
  take (fixture, 1, 10);
  g_assert_cmpuint (io_stream_connection_get_lost (fixture->clients[1]), ==, 0);

  send_many (fixture, 1);
  io_stream_set_client_allowance (fixture->stream, 1);
  take_and_keep (fixture, 1, 11, &entry);
  send_many (fixture, 2);
  stream_util_return (fixture->clients[1], &entry);
  send_many (fixture, 1);
  take (fixture, 1, 14);
  g_assert_cmpuint (io_stream_connection_get_lost (fixture->clients[1]), ==, 2);
  g_assert_cmpuint (io_stream_connection_get_received (fixture->clients[1]), ==, 4 + 2 * replay);
}

/* In another process. */

static int
run_late_client (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (IOStreamConnection) client = io_stream_connection_new_for_name ("history", NULL, &error);
  IOStreamBufferQueueEntry entry;

  g_assert_no_error (error);
  io_stream_connection_set_replay (client, 3);
  stream_util_assert_works (io_connection_open (IO_CONNECTION (client), IO_STREAM_OPEN_SHARED, NULL, err));
  stream_util_start (client);
  while (io_stream_connection_dequeue_output_entry (client, &entry))
    {
      const guint8 *data = io_stream_connection_peek_data_buffer (client, entry.buffer_id, NULL);

      peer_say ("%u: %u", entry.sequence, data[0]);
      stream_util_return (client, &entry);
    }
  peer_say ("lost %u", (guint) io_stream_connection_get_lost (client));
  g_free (peer_take_order ());

  return 0;
}

/* With a picture at once, though nothing new is sent; also after it crashed. */
static void
test_processes (Fixture       *fixture,
                gconstpointer  data)
{
  stream_util_skip_if_local ("there are two of them");

  join (fixture, 0, 0);
  send_many (fixture, 20);
  for (guint round = 0; round < 5; round++)
    {
      Peer *peer = peer_spawn (-1, -1, "late", NULL);

      peer_expect (peer, "17: 17");
      peer_expect (peer, "18: 18");
      peer_expect (peer, "19: 19");
      peer_expect (peer, "lost 0");
      if (round % 2 > 0)
        peer_kill (peer);
      else
        peer_finish (peer);
    }
}

int
main (int   argc,
      char *argv[])
{
  g_autofree char *dir = NULL;
  int result;

  if (argc > 2 && g_str_equal (argv[1], "--peer"))
    {
      peer_begin ();
      return run_late_client ();
    }

  *peer_program () = argv[0];
  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();

#define ADD(name) g_test_add ("/stream-history/" #name, Fixture, NULL, set_up, test_ ## name, tear_down)
  ADD (replay);
  ADD (bounds);
  ADD (gives_way);
  ADD (by_number);
  ADD (reserve);
  ADD (once);
  ADD (session);
  ADD (forgets);
  ADD (access);
  ADD (wait);
  ADD (looks_only);
  ADD (goes_for_a_use);
  ADD (beside_slow);
  g_test_add ("/stream-history/lost/0", Fixture, GUINT_TO_POINTER (0), set_up, test_lost, tear_down);
  g_test_add ("/stream-history/lost/3", Fixture, GUINT_TO_POINTER (3), set_up, test_lost, tear_down);
  ADD (processes);

  result = g_test_run ();
  stream_util_remove_runtime_dir (g_steal_pointer (&dir));

  return result;
}
