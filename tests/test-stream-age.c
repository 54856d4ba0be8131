/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "peer-process.h"

#include "libiostream/io-stream-connection-private.h"

/* How long a client may hold a buffer, and what follows. */

#define N_BUFFERS 4
#define LIMIT     (20 * 1000)

typedef struct {
  IOWorkLoop         *loop;
  IOStream           *stream;
  IOStreamConnection *client;
  guint               n_fds;
  StreamCounter       expired;
  guint               n_told;      /* in this thread */
  guint               n_revoked;
  gint64              held;        /* of the last */
  guint               pid;
  IOStreamDelivery    delivery;
} Fixture;

static void
expired_cb (IOStream     *stream,
            IOUserClient *client,
            guint         buffer_id,
            gint64        held,
            Fixture      *fixture)
{
  g_assert_cmpuint (buffer_id, <, N_BUFFERS);
  g_assert_cmpint (held, >=, LIMIT);
  fixture->held = held;
  fixture->pid = (guint) io_user_client_get_pid (client);
  stream_counter_add (&fixture->expired);
}

static void
revoked_cb (IOStreamConnection *client,
            guint               count,
            Fixture            *fixture)
{
  fixture->n_told++;
  fixture->n_revoked += count;
}

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  g_main_context_iteration (NULL, FALSE);
  fixture->n_fds = count_fds ();
  fixture->loop = stream_util_new_loop ();
  fixture->stream = g_initable_new (IO_TYPE_STREAM, NULL, &error,
                                    "name", "age", "work-loop", fixture->loop,
                                    "buffer-count", N_BUFFERS, "data-size", (guint64) 256,
                                    "loan-action", GPOINTER_TO_INT (data), NULL);
  g_assert_no_error (error);
  g_signal_connect (fixture->stream, "loan-expired", G_CALLBACK (expired_cb), fixture);
  stream_util_assert_works (io_service_register (IO_SERVICE (fixture->stream), err));
}

static void
join (Fixture          *fixture,
      IOStreamDelivery  delivery)
{
  g_autoptr (GError) error = NULL;

  fixture->client = stream_util_connect (fixture->stream, &error);
  g_assert_no_error (error);
  io_stream_connection_set_delivery (fixture->client, delivery);
  g_signal_connect (fixture->client, "revoked", G_CALLBACK (revoked_cb), fixture);
  stream_util_assert_works (io_connection_open (IO_CONNECTION (fixture->client), 0, NULL, err));
  stream_util_start (fixture->client);
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  if (fixture->client != NULL)
    {
      io_connection_hang_up (IO_CONNECTION (fixture->client));
      stream_util_settle ();
      g_assert_finalize_object (g_steal_pointer (&fixture->client));
    }
  io_service_terminate (IO_SERVICE (fixture->stream));
  stream_util_shut_down (fixture->loop);
  g_assert_finalize_object (fixture->stream);
  stream_util_finish_loop (fixture->loop);
  g_assert_cmpuint (count_fds (), ==, fixture->n_fds);
}

static void
wait_expired (Fixture *fixture,
              guint    n)
{
  stream_counter_wait (&fixture->expired, n);
  stream_util_catch_up (fixture->loop);
  g_assert_cmpuint (stream_counter_get (&fixture->expired), ==, n);
}

static guint
count_free (Fixture *fixture)
{
  IOStreamBuffer *buffers[N_BUFFERS];
  guint n = 0;

  while (n < N_BUFFERS && (buffers[n] = io_stream_acquire_buffer (fixture->stream, NULL)) != NULL)
    n++;
  for (guint i = 0; i < n; i++)
    io_stream_release_buffer (fixture->stream, buffers[i]);

  return n;
}

/* Told once for each loan, and nothing else. */
static void
test_signal (Fixture       *fixture,
             gconstpointer  data)
{
  IOStreamBufferQueueEntry entries[2];

  join (fixture, IO_STREAM_DELIVERY_BLOCK);
  g_assert_cmpint (io_stream_get_loan_time_limit (fixture->stream), ==, 0);
  stream_util_send (fixture->stream, 1);
  stream_util_take (fixture->client, 1, &entries[0]);
  io_stream_set_loan_time_limit (fixture->stream, LIMIT);
  g_assert_cmpint (io_stream_get_loan_time_limit (fixture->stream), ==, LIMIT);
  wait_expired (fixture, 1);
  g_assert_cmpuint (fixture->pid, ==, getpid ());

  stream_util_send (fixture->stream, 2);
  wait_expired (fixture, 2);
  stream_util_take (fixture->client, 2, &entries[1]);
  for (guint i = 0; i < 2; i++)
    {
      g_assert_true (io_stream_connection_check_entry (fixture->client, &entries[i]));
      stream_util_return (fixture->client, &entries[i]);
      g_assert_false (io_stream_connection_check_entry (fixture->client, &entries[i]));
    }
  g_assert_cmpuint (count_free (fixture), ==, N_BUFFERS);
  g_assert_cmpuint (io_stream_connection_get_revoked_count (fixture->client), ==, 0);

  io_stream_set_loan_time_limit (fixture->stream, 0);
  stream_util_send (fixture->stream, 3);
  stream_util_take (fixture->client, 3, &entries[0]);
  stream_util_return (fixture->client, &entries[0]);
  g_assert_cmpuint (stream_counter_get (&fixture->expired), ==, 2);
}

/* It is free, and the client is told, before and after it looks. */
static void
test_revoke (Fixture       *fixture,
             gconstpointer  data)
{
  IOStreamBufferQueueEntry taken, again;
  guint8 byte;

  join (fixture, fixture->delivery);
  stream_util_send (fixture->stream, 1);
  stream_util_take (fixture->client, 1, &taken);
  g_assert_true (io_stream_connection_check_entry (fixture->client, &taken));
  stream_util_send (fixture->stream, 2);
  io_stream_set_loan_time_limit (fixture->stream, LIMIT);
  wait_expired (fixture, 2);
  io_stream_set_loan_time_limit (fixture->stream, 0);

  byte = *(const guint8 *) io_stream_connection_peek_data_buffer (fixture->client, taken.buffer_id, NULL);
  g_assert_cmpuint (byte, ==, 1);
  g_assert_false (io_stream_connection_check_entry (fixture->client, &taken));
  g_assert_cmpuint (count_free (fixture), ==, N_BUFFERS);
  stream_util_iterate_until (fixture->n_revoked > 0);
  g_assert_cmpuint (io_stream_connection_get_held (fixture->client), ==, 0);

  /* What comes late is no error, and ends no other loan. */
  stream_util_return (fixture->client, &taken);
  for (guint i = 0; i < 20; i++)
    {
      stream_util_send (fixture->stream, (guint8) i);
      stream_util_take (fixture->client, (guint8) i, &again);
      g_assert_cmpuint (again.sequence, ==, 2 + i);
      stream_util_return (fixture->client, &taken);
      g_assert_true (io_stream_connection_check_entry (fixture->client, &again));
      stream_util_return (fixture->client, &again);
    }
  stream_util_iterate_until (fixture->n_revoked == 2);
  g_assert_cmpuint (io_stream_connection_get_revoked_count (fixture->client), ==, 2);
  g_assert_cmpuint (count_free (fixture), ==, N_BUFFERS);
  g_assert_null (io_connection_get_error (IO_CONNECTION (fixture->client)));
}

/* Again and again, also of one that never looks: it gets nothing new until it
 * does, nobody waits for it, and then it goes on. */
static void
test_asleep (Fixture       *fixture,
             gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;
  guint n_sent = 0, n_taken = 0;

  join (fixture, IO_STREAM_DELIVERY_BLOCK);
  io_stream_connection_set_notify_in_context (fixture->client, FALSE);
  io_stream_set_loan_time_limit (fixture->stream, LIMIT);
  for (guint round = 0; round < 3; round++)
    {
      stream_util_send (fixture->stream, 1);
      n_sent++;
      stream_util_send (fixture->stream, 1);
      n_sent++;
      if (round < 2)
        wait_expired (fixture, n_sent);
      if (stream_util_is_local ())
        break;
    }
  io_stream_set_loan_time_limit (fixture->stream, 0);
  stream_util_send (fixture->stream, 9);
  while (io_stream_connection_dequeue_output_entry (fixture->client, &entry))
    {
      stream_util_return (fixture->client, &entry);
      n_taken++;
    }
  stream_util_send (fixture->stream, 7);
  stream_util_take (fixture->client, 7, &entry);
  stream_util_return (fixture->client, &entry);
  g_assert_cmpuint (count_free (fixture), ==, N_BUFFERS);
  g_assert_cmpuint (n_taken + io_stream_connection_get_revoked_count (fixture->client), <=, n_sent + 1);
}

/* What can be taken back without revoking it is; the rest as above. */
static void
test_claimed (Fixture       *fixture,
              gconstpointer  data)
{
  IOStreamBufferQueueEntry taken, entry;

  join (fixture, IO_STREAM_DELIVERY_DROP_OLDEST);
  stream_util_send (fixture->stream, 1);
  stream_util_take (fixture->client, 1, &taken);
  stream_util_send (fixture->stream, 2);
  stream_util_send (fixture->stream, 3);
  io_stream_set_loan_time_limit (fixture->stream, LIMIT);
  wait_expired (fixture, 3);
  io_stream_set_loan_time_limit (fixture->stream, 0);
  g_assert_cmpuint (count_free (fixture), ==, N_BUFFERS);
  g_assert_false (io_stream_connection_dequeue_output_entry (fixture->client, &entry));

  /* The same buffer once more, before the client has noticed. */
  memset (io_stream_buffer_peek_data (io_stream_get_buffer_with_id (fixture->stream, taken.buffer_id), NULL), 4, 256);
  stream_util_assert_works (io_stream_send_buffer (fixture->stream,
                                                   io_stream_get_buffer_with_id (fixture->stream, taken.buffer_id),
                                                   err));
  g_assert_false (io_stream_connection_check_entry (fixture->client, &taken));
  g_assert_cmpint (io_stream_buffer_get_client_reference_count (
                     io_stream_get_buffer_with_id (fixture->stream, taken.buffer_id)), ==, 1);
  stream_util_take (fixture->client, 4, &entry);
  g_assert_cmpuint (entry.buffer_id, ==, taken.buffer_id);
  stream_util_return (fixture->client, &taken);
  stream_util_return (fixture->client, &entry);
  stream_util_iterate_until (fixture->n_revoked == 1);

  for (guint i = 0; i < 20; i++)
    {
      stream_util_send (fixture->stream, (guint8) i);
      stream_util_take (fixture->client, (guint8) i, &entry);
      stream_util_return (fixture->client, &entry);
    }
  g_assert_cmpuint (io_stream_connection_get_revoked_count (fixture->client), ==, 1);
  g_assert_cmpuint (io_stream_connection_get_lost (fixture->client), ==, 2);
}

static void
test_disconnect (Fixture       *fixture,
                 gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  join (fixture, IO_STREAM_DELIVERY_BLOCK);
  stream_util_send (fixture->stream, 1);
  stream_util_take (fixture->client, 1, &entry);
  io_stream_set_loan_time_limit (fixture->stream, LIMIT);
  wait_expired (fixture, 1);
  stream_util_iterate_until (!io_connection_is_connected (IO_CONNECTION (fixture->client)));
  g_assert_error (io_connection_get_error (IO_CONNECTION (fixture->client)), IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT);
  g_assert_nonnull (strstr (io_connection_get_error (IO_CONNECTION (fixture->client))->message, "was held for"));
  g_assert_cmpuint (count_free (fixture), ==, N_BUFFERS);
}

/* In another process. */

static int
run_client (const char *role)
{
  IOStreamConnection *client = stream_util_open ("age");
  IOStreamBufferQueueEntry taken, next;
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (client);

  stream_util_start (client);
  peer_say ("running");
  stream_util_take (client, 1, &taken);
  peer_say ("taken");
  g_free (peer_take_order ());

  if (g_str_equal (role, "lie"))
    {
      /* Twice, by hand: once is tolerated. */
      for (guint i = 0; i < 2; i++)
        _io_ring_put (&priv->input, &taken);
      _io_notification_port_ring (priv->port);
      stream_util_iterate_until (!io_connection_is_connected (IO_CONNECTION (client)));
      peer_say ("thrown out");
      return 0;
    }
  if (g_str_equal (role, "disconnect"))
    {
      stream_util_iterate_until (!io_connection_is_connected (IO_CONNECTION (client)));
      g_assert_error (io_connection_get_error (IO_CONNECTION (client)), IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT);
      peer_say ("thrown out");
      return 0;
    }

  if (g_str_equal (role, "revoke"))
    g_assert_false (io_stream_connection_check_entry (client, &taken));
  else
    g_assert_true (io_stream_connection_check_entry (client, &taken));
  stream_util_return (client, &taken);
  peer_say ("returned");
  stream_util_take (client, 2, &next);
  stream_util_return (client, &next);
  peer_say ("going on");
  g_free (peer_take_order ());

  return 0;
}

static const char *const roles[] = { "signal", "revoke", "disconnect", "lie" };

/* One that is stopped holds up nobody, with each action. */
static void
test_processes (Fixture       *fixture,
                gconstpointer  data)
{
  stream_util_skip_if_local ("there are two of them");

  for (guint i = 0; i < G_N_ELEMENTS (roles); i++)
    {
      Peer *peer = peer_spawn (-1, -1, roles[i], NULL);
      guint n = stream_counter_get (&fixture->expired);

      io_stream_set_loan_action (fixture->stream, i == 3 ? IO_STREAM_LOAN_ACTION_REVOKE : (IOStreamLoanAction) i);
      peer_expect (peer, "running");
      stream_util_send (fixture->stream, 1);
      peer_expect (peer, "taken");
      peer_freeze (peer);
      io_stream_set_loan_time_limit (fixture->stream, LIMIT);
      wait_expired (fixture, n + 1);
      g_assert_cmpuint (fixture->pid, ==, peer->pid);
      io_stream_set_loan_time_limit (fixture->stream, 0);
      g_assert_cmpuint (count_free (fixture), ==, i == 0 ? N_BUFFERS - 1 : N_BUFFERS);
      peer_thaw (peer);
      peer_order (peer, "go on");
      if (i < 2)
        {
          peer_expect (peer, "returned");
          stream_util_send (fixture->stream, 2);
          peer_expect (peer, "going on");
        }
      else
        {
          while (io_work_loop_run_action (fixture->loop, stream_util_has_clients_cb, fixture->stream))
            count_free (fixture);
          peer_expect (peer, "thrown out");
        }
      peer_finish (peer);
      stream_util_wait_unused (fixture->loop, IO_SERVICE (fixture->stream));
      g_assert_cmpuint (count_free (fixture), ==, N_BUFFERS);
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
      return run_client (argv[2]);
    }

  *peer_program () = argv[0];
  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();

#define ADD(name, action) \
  g_test_add ("/stream-age/" #name, Fixture, GINT_TO_POINTER (IO_STREAM_LOAN_ACTION_ ## action), \
              set_up, test_ ## name, tear_down)
  ADD (signal, SIGNAL);
  ADD (revoke, REVOKE);
  ADD (asleep, REVOKE);
  ADD (claimed, REVOKE);
  ADD (disconnect, DISCONNECT);
  ADD (processes, SIGNAL);

  result = g_test_run ();
  stream_util_remove_runtime_dir (g_steal_pointer (&dir));

  return result;
}
