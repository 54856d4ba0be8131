/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Streams that are attached to the vectors of one controller. */

#include "peer-process.h"

#include "libiostream/io-connection-private.h"
#include "libiostream/io-shared-interrupt-controller-private.h"

#include <sys/syscall.h>

#define N_STREAMS 40
#define SECOND    G_USEC_PER_SEC

/* Bells are the only things that are rung with send(). */
static atomic_uint n_sends;

ssize_t send (int fd, const void *data, size_t size, int flags);

ssize_t
send (int         fd,
      const void *data,
      size_t      size,
      int         flags)
{
  n_sends++;

  return syscall (SYS_sendto, fd, data, size, flags, NULL, 0);
}

typedef struct {
  IOWorkLoop                  *loop;
  IOSharedInterruptController *owner;
  IOStream                    *streams[N_STREAMS];
  IOStreamConnection          *clients[N_STREAMS];
  IOSharedInterruptController *end;
  guint                        n_fds;

  guint                        n_output[N_STREAMS];
  guint                        n_taken;
  guint                        n_states;
  guint                        n_disconnected;
  gboolean                     leave;     /* entries in the queue */
  gboolean                     close;     /* in the handler */
} Fixture;

static IOInterruptController *
base (IOSharedInterruptController *controller)
{
  return IO_INTERRUPT_CONTROLLER (controller);
}

static IOStream *
make_stream (IOWorkLoop *loop,
             guint       i)
{
  g_autofree char *name = g_strdup_printf ("s%u", i);
  IOStream *stream;

  stream_util_assert_works (stream = g_initable_new (IO_TYPE_STREAM, NULL, err, "name", name, "work-loop", loop,
                                                     "mode", IO_STREAM_MODE_OUTPUT, "buffer-count", 4,
                                                     "data-size", (guint64) 64, NULL));

  return stream;
}

static gboolean
make_owner_cb (gpointer data)
{
  Fixture *fixture = data;

  stream_util_assert_works (fixture->owner = io_shared_interrupt_controller_new (N_STREAMS, err));
  for (guint i = 0; i < N_STREAMS; i++)
    {
      fixture->streams[i] = make_stream (fixture->loop, i);
      stream_util_assert_works (io_service_register (IO_SERVICE (fixture->streams[i]), err));
    }
  io_shared_interrupt_controller_offer (fixture->owner, IO_SERVICE (fixture->streams[0]));

  return G_SOURCE_REMOVE;
}

static gboolean
drop_owner_cb (gpointer data)
{
  Fixture *fixture = data;

  for (guint i = 0; i < N_STREAMS; i++)
    {
      io_service_terminate (IO_SERVICE (fixture->streams[i]));
      g_clear_object (&fixture->streams[i]);
    }
  g_clear_object (&fixture->owner);

  return G_SOURCE_REMOVE;
}

static guint
index_of (Fixture            *fixture,
          IOStreamConnection *client)
{
  for (guint i = 0; i < N_STREAMS; i++)
    if (fixture->clients[i] == client)
      return i;

  g_assert_not_reached ();
}

static void
output_cb (IOStreamConnection *client,
           gpointer            user_data)
{
  Fixture *fixture = user_data;
  IOStreamBufferQueueEntry entry;

  fixture->n_output[index_of (fixture, client)]++;
  if (fixture->close)
    {
      fixture->close = FALSE;
      stream_util_close (client);
      return;
    }
  while (!fixture->leave && io_stream_connection_dequeue_output_entry (client, &entry))
    {
      stream_util_return (client, &entry);
      fixture->n_taken++;
    }
}

static void
state_cb (IOStreamConnection *client,
          GParamSpec         *pspec,
          gpointer            user_data)
{
  ((Fixture *) user_data)->n_states++;
}

static void
disconnected_cb (IOStreamConnection *client,
                 const GError       *error,
                 gpointer            user_data)
{
  ((Fixture *) user_data)->n_disconnected++;
}

static void
watch_client (Fixture *fixture,
              guint    i)
{
  g_signal_connect (fixture->clients[i], "output-available", G_CALLBACK (output_cb), fixture);
  g_signal_connect (fixture->clients[i], "notify::state", G_CALLBACK (state_cb), fixture);
  g_signal_connect (fixture->clients[i], "disconnected", G_CALLBACK (disconnected_cb), fixture);
}

static void
open_client (Fixture *fixture,
             guint    i)
{
  g_autofree char *name = g_strdup_printf ("s%u", i);

  fixture->clients[i] = stream_util_open (name);
  watch_client (fixture, i);
}

static void
set_up_clients (Fixture *fixture)
{
  for (guint i = 0; i < N_STREAMS; i++)
    {
      open_client (fixture, i);
      stream_util_start (fixture->clients[i]);
    }
  stream_util_assert_works (fixture->end = io_connection_get_interrupt_controller (IO_CONNECTION (fixture->clients[0]), NULL, err));
}

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  g_main_context_iteration (NULL, FALSE);
  fixture->n_fds = count_fds ();
  fixture->loop = io_work_loop_new ("owner");
  io_work_loop_run_action (fixture->loop, make_owner_cb, fixture);
  set_up_clients (fixture);
}

static void
drop_clients (Fixture *fixture)
{
  for (guint i = 0; i < N_STREAMS; i++)
    if (fixture->clients[i] != NULL)
      io_connection_hang_up (IO_CONNECTION (fixture->clients[i]));
  stream_util_settle ();
  for (guint i = 0; i < N_STREAMS; i++)
    if (fixture->clients[i] != NULL)
      g_assert_finalize_object (fixture->clients[i]);
  if (fixture->end != NULL)
    g_assert_finalize_object (fixture->end);
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  drop_clients (fixture);
  if (fixture->streams[0] != NULL)
    io_work_loop_run_action (fixture->loop, drop_owner_cb, fixture);
  io_work_loop_shut_down (fixture->loop);
  g_assert_finalize_object (fixture->loop);
  g_assert_cmpuint (count_fds (), ==, fixture->n_fds);
}

static void
attach (Fixture *fixture,
        guint    i)
{
  stream_util_assert_works (io_stream_connection_attach_interrupts (fixture->clients[i], fixture->end, i, NULL, err));
}

static void
attach_all (Fixture *fixture)
{
  for (guint i = 0; i < N_STREAMS; i++)
    attach (fixture, i);
}

static void
send_all (Fixture *fixture)
{
  for (guint i = 0; i < N_STREAMS; i++)
    stream_util_send (fixture->streams[i], 1);
}

/* What it is for: one send() and one wake-up in place of forty. */
static void
test_one_ring (Fixture       *fixture,
               gconstpointer  data)
{
  struct pollfd pollfd = { -1, POLLIN, 0 };

  for (guint i = 0; i < N_STREAMS; i++)
    g_assert_true (io_stream_connection_prepare_wait (fixture->clients[i]));
  n_sends = 0;
  send_all (fixture);
  g_assert_cmpuint (n_sends, ==, N_STREAMS);
  for (guint i = 0; i < N_STREAMS; i++)
    {
      io_stream_connection_finish_wait (fixture->clients[i]);
      io_stream_connection_set_notify_in_context (fixture->clients[i], TRUE);
    }
  stream_util_iterate_until (fixture->n_taken == N_STREAMS);

  attach_all (fixture);
  stream_util_settle ();
  g_assert_true (io_shared_interrupt_controller_prepare_wait (fixture->end));
  n_sends = 0;
  send_all (fixture);
  g_assert_cmpuint (n_sends, ==, 1);
  pollfd.fd = io_shared_interrupt_controller_get_fd (fixture->end);
  g_assert_cmpint (poll (&pollfd, 1, 20000), ==, 1);
  io_shared_interrupt_controller_finish_wait (fixture->end);
  g_assert_cmpuint (io_interrupt_controller_handle_interrupts (base (fixture->end)), ==, N_STREAMS);
  g_assert_cmpuint (fixture->n_taken, ==, 2 * N_STREAMS);

  /* Only what fired. */
  g_assert_true (io_shared_interrupt_controller_prepare_wait (fixture->end));
  stream_util_send (fixture->streams[17], 1);
  g_assert_cmpint (poll (&pollfd, 1, 20000), ==, 1);
  io_shared_interrupt_controller_finish_wait (fixture->end);
  g_assert_cmpuint (io_interrupt_controller_handle_interrupts (base (fixture->end)), ==, 1);
  g_assert_cmpuint (fixture->n_taken, ==, 2 * N_STREAMS + 1);
}

static gboolean
stop_stream_cb (gpointer data)
{
  Fixture *fixture = data;

  stream_util_assert_works (io_stream_stop (fixture->streams[5], err));

  return G_SOURCE_REMOVE;
}

static void
test_main_loop (Fixture       *fixture,
                gconstpointer  data)
{
  guint n;

  /* What came before it is attached is seen. */
  stream_util_send (fixture->streams[3], 1);
  attach_all (fixture);
  stream_util_iterate_until (fixture->n_taken == 1);

  for (guint round = 1; round <= 20; round++)
    {
      send_all (fixture);
      stream_util_iterate_until (fixture->n_taken == 1 + round * N_STREAMS);
    }

  /* Entries that are left are announced once, and new ones again. */
  fixture->leave = TRUE;
  memset (fixture->n_output, 0, sizeof fixture->n_output);
  stream_util_send (fixture->streams[7], 1);
  stream_util_iterate_until (fixture->n_output[7] == 1);
  stream_util_settle ();
  g_assert_cmpuint (fixture->n_output[7], ==, 1);
  stream_util_send (fixture->streams[7], 1);
  stream_util_iterate_until (fixture->n_output[7] == 2);
  fixture->leave = FALSE;
  stream_util_send (fixture->streams[7], 1);
  stream_util_iterate_until (fixture->n_taken == 1 + 20 * N_STREAMS + 3);

  /* The state comes the same way. */
  stream_util_settle ();
  n = fixture->n_states;
  io_work_loop_run_action (fixture->loop, stop_stream_cb, fixture);
  stream_util_iterate_until (fixture->n_states == n + 1);
  g_assert_cmpint (io_stream_connection_get_state (fixture->clients[5]), ==, IO_STREAM_STATE_STOPPED);
}

static void
test_disabled (Fixture       *fixture,
               gconstpointer  data)
{
  attach_all (fixture);
  stream_util_assert_works (io_interrupt_controller_disable_interrupt (base (fixture->end), 2, err));
  send_all (fixture);
  stream_util_iterate_until (fixture->n_taken == N_STREAMS - 1);
  stream_util_settle ();
  g_assert_cmpuint (fixture->n_output[2], ==, 0);
  g_assert_true (io_interrupt_controller_is_interrupt_pending (base (fixture->end), 2));
  stream_util_assert_works (io_interrupt_controller_enable_interrupt (base (fixture->end), 2, err));
  stream_util_iterate_until (fixture->n_taken == N_STREAMS);
}

/* A stream that is attached can still be waited for by itself. */
static void
test_waits (Fixture       *fixture,
            gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;
  struct pollfd pollfd = { -1, POLLIN, 0 };

  attach (fixture, 0);
  attach (fixture, 1);
  stream_util_settle ();
  stream_util_send (fixture->streams[0], 42);
  stream_util_take (fixture->clients[0], 42, &entry);
  stream_util_return (fixture->clients[0], &entry);
  stream_util_settle ();
  g_assert_cmpuint (fixture->n_output[0], ==, 0);

  g_assert_true (io_stream_connection_prepare_wait (fixture->clients[0]));
  stream_util_send (fixture->streams[0], 43);
  pollfd.fd = io_stream_connection_get_fd (fixture->clients[0]);
  g_assert_cmpint (poll (&pollfd, 1, 20000), ==, 1);
  io_stream_connection_finish_wait (fixture->clients[0]);

  /* And goes back to the context. */
  io_stream_connection_set_notify_in_context (fixture->clients[0], TRUE);
  stream_util_iterate_until (fixture->n_taken == 1);
  stream_util_send (fixture->streams[0], 44);
  stream_util_send (fixture->streams[1], 44);
  stream_util_iterate_until (fixture->n_taken == 3);
}

static void
call_attach_fails (IOStreamConnection *client,
                   guint64             cookie,
                   guint               vector,
                   int                 code)
{
  stream_util_assert_fails (_io_connection_call (IO_CONNECTION (client), IO_OPCODE_ATTACH_INTERRUPTS,
                                                 g_variant_new ("(tu)", cookie, vector), NULL, err) != NULL, code);
}

static guint64
get_cookie (Fixture *fixture)
{
  g_autoptr (IOInterruptLink) link = _io_shared_interrupt_controller_find_link (fixture->end, NULL);

  return _io_interrupt_link_get_cookie (link);
}

static void
test_errors (Fixture       *fixture,
             gconstpointer  data)
{
  IOStreamConnection *client = fixture->clients[1];
  guint64 cookie = get_cookie (fixture);
  g_autofree char *text = g_strdup_printf ("%" G_GUINT64_FORMAT, cookie);
  Peer *peer;

  stream_util_assert_fails (io_stream_connection_attach_interrupts (client, fixture->end, N_STREAMS, NULL, err),
                            IO_STREAM_ERROR_NO_INTERRUPT);
  stream_util_assert_fails (io_stream_connection_attach_interrupts (client, fixture->owner, 1, NULL, err),
                            IO_STREAM_ERROR_BAD_ARGUMENT);
  attach (fixture, 1);
  stream_util_assert_fails (io_stream_connection_attach_interrupts (client, fixture->end, 2, NULL, err),
                            IO_STREAM_ERROR_STILL_OPEN);
  stream_util_assert_fails (io_stream_connection_attach_interrupts (fixture->clients[2], fixture->end, 1, NULL, err),
                            IO_STREAM_ERROR_NO_RESOURCES);

  /* What a client can only say by the protocol. */
  call_attach_fails (client, cookie ^ 1, 1, IO_STREAM_ERROR_NOT_FOUND);
  call_attach_fails (client, cookie, N_STREAMS, IO_STREAM_ERROR_NO_INTERRUPT);
  call_attach_fails (client, cookie, G_MAXUINT32, IO_STREAM_ERROR_NO_INTERRUPT);

  /* A cookie is no right: another process cannot use it. */
  stream_util_close (fixture->clients[3]);
  peer = peer_spawn (-1, -1, "thief", text, NULL);
  peer_expect (peer, "refused");
  peer_finish (peer);

  stream_util_close (fixture->clients[4]);
  call_attach_fails (fixture->clients[4], cookie, 4, IO_STREAM_ERROR_NOT_OPEN);

  stream_util_send (fixture->streams[1], 1);
  stream_util_iterate_until (fixture->n_taken == 1);
}

static void
test_reopen (Fixture       *fixture,
             gconstpointer  data)
{
  IOStreamConnection *client = fixture->clients[6];

  attach_all (fixture);
  for (guint round = 0; round < 3; round++)
    {
      stream_util_send (fixture->streams[6], 1);
      stream_util_iterate_until (fixture->n_output[6] == round + 1);
      stream_util_close (client);
      stream_util_assert_works (io_connection_open (IO_CONNECTION (client), 0, NULL, err));
      stream_util_start (client);
    }

  /* It was told so: nothing but the vector. */
  stream_util_settle ();
  g_assert_true (io_shared_interrupt_controller_prepare_wait (fixture->end));
  n_sends = 0;
  stream_util_send (fixture->streams[6], 1);
  stream_util_send (fixture->streams[7], 1);
  g_assert_cmpuint (n_sends, ==, 1);
  io_shared_interrupt_controller_finish_wait (fixture->end);
  io_interrupt_controller_set_handle_in_context (base (fixture->end), TRUE);
  stream_util_iterate_until (fixture->n_output[6] == 4 && fixture->n_output[7] == 1);

  /* Attached while closed. */
  stream_util_assert_works (io_stream_connection_detach_interrupts (client, NULL, err));
  stream_util_assert_works (io_stream_connection_detach_interrupts (client, NULL, err));
  stream_util_send (fixture->streams[6], 1);
  stream_util_iterate_until (fixture->n_output[6] == 5);
  stream_util_close (client);
  attach (fixture, 6);
  stream_util_assert_works (io_stream_connection_detach_interrupts (client, NULL, err));
  attach (fixture, 6);
  stream_util_assert_works (io_connection_open (IO_CONNECTION (client), 0, NULL, err));
  stream_util_start (client);
  stream_util_send (fixture->streams[6], 1);
  stream_util_iterate_until (fixture->n_output[6] == 6);

  /* In its own handler. */
  fixture->close = TRUE;
  stream_util_send (fixture->streams[6], 1);
  stream_util_iterate_until (fixture->n_output[6] == 7);
  stream_util_settle ();
  g_assert_false (io_connection_is_open (IO_CONNECTION (client)));
}

/* What is taken back is announced by the vector as well as what stays. */
static void
test_slow (Fixture       *fixture,
           gconstpointer  data)
{
  attach_all (fixture);
  for (guint i = 3; i < 5; i++)
    {
      stream_util_close (fixture->clients[i]);
      io_stream_connection_set_delivery (fixture->clients[i], i == 3 ? IO_STREAM_DELIVERY_DROP_OLDEST
                                                                     : IO_STREAM_DELIVERY_LATEST);
      stream_util_assert_works (io_connection_open (IO_CONNECTION (fixture->clients[i]), 0, NULL, err));
      stream_util_start (fixture->clients[i]);
    }
  for (guint round = 1; round <= 5; round++)
    {
      for (guint n = 0; n < 50; n++)
        {
          stream_util_send (fixture->streams[3], 1);
          stream_util_send (fixture->streams[4], 1);
        }
      stream_util_iterate_until (fixture->n_taken == 5 * round);
    }
  g_assert_cmpuint (io_stream_connection_get_received (fixture->clients[3]), ==, 20);
  g_assert_cmpuint (io_stream_connection_get_lost (fixture->clients[3]), ==, 230);
  g_assert_cmpuint (io_stream_connection_get_received (fixture->clients[4]), ==, 5);
  g_assert_cmpuint (io_stream_connection_get_lost (fixture->clients[4]), ==, 245);
}

static gboolean
drop_controller_cb (gpointer data)
{
  Fixture *fixture = data;

  io_shared_interrupt_controller_withdraw (fixture->owner, IO_SERVICE (fixture->streams[0]));
  g_assert_finalize_object (g_steal_pointer (&fixture->owner));

  return G_SOURCE_REMOVE;
}

/* The controller goes first, in one way or another: the bells are used again. */
static void
test_controller_gone (Fixture       *fixture,
                      gconstpointer  data)
{
  GObject *end = G_OBJECT (fixture->end);

  attach_all (fixture);
  /* The streams hold it. */
  g_clear_object (&fixture->end);
  send_all (fixture);
  stream_util_iterate_until (fixture->n_taken == N_STREAMS);

  if (GPOINTER_TO_INT (data) == 0)
    io_work_loop_run_action (fixture->loop, drop_controller_cb, fixture);
  else
    {
      /* The connection that it came with. */
      io_connection_hang_up (IO_CONNECTION (fixture->clients[0]));
      stream_util_settle ();
      g_assert_finalize_object (g_steal_pointer (&fixture->clients[0]));
    }

  for (guint i = 1; i < N_STREAMS; i++)
    stream_util_send (fixture->streams[i], 1);
  stream_util_iterate_until (fixture->n_taken == 2 * N_STREAMS - 1);
  stream_util_iterate_until (io_shared_interrupt_controller_get_n_peers (IO_SHARED_INTERRUPT_CONTROLLER (end)) == 0);
  for (guint i = 1; i < N_STREAMS; i++)
    stream_util_send (fixture->streams[i], 1);
  stream_util_iterate_until (fixture->n_taken == 3 * N_STREAMS - 2);

  stream_util_assert_fails (io_stream_connection_attach_interrupts (fixture->clients[1], IO_SHARED_INTERRUPT_CONTROLLER (end), 1, NULL, err),
                            IO_STREAM_ERROR_STILL_OPEN);
  stream_util_assert_works (io_stream_connection_detach_interrupts (fixture->clients[1], NULL, err));
  stream_util_assert_fails (io_stream_connection_attach_interrupts (fixture->clients[1], IO_SHARED_INTERRUPT_CONTROLLER (end), 1, NULL, err),
                            IO_STREAM_ERROR_OFFLINE);
}

static void
test_owner_gone (Fixture       *fixture,
                 gconstpointer  data)
{
  attach_all (fixture);
  fixture->leave = TRUE;
  send_all (fixture);
  io_work_loop_run_action (fixture->loop, drop_owner_cb, fixture);
  stream_util_iterate_until (fixture->n_disconnected == N_STREAMS);
  for (guint i = 0; i < N_STREAMS; i++)
    g_assert_cmpuint (fixture->n_output[i], >=, 1);
}

/* The owner sends from several threads, and the client comes and goes. */
static gpointer
send_thread (gpointer data)
{
  Fixture *fixture = data;

  for (guint i = 0; i < 200; i++)
    for (guint k = 8; k < 16; k++)
      {
        IOStreamBuffer *buffer = io_stream_acquire_buffer (fixture->streams[k], NULL);

        if (buffer != NULL && !io_stream_send_buffer (fixture->streams[k], buffer, NULL))
          io_stream_release_buffer (fixture->streams[k], buffer);
      }

  return NULL;
}

static void
test_threads (Fixture       *fixture,
              gconstpointer  data)
{
  GThread *threads[2];
  guint n;

  attach_all (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("sender", send_thread, fixture);
  for (guint i = 0; i < 50; i++)
    {
      guint k = 8 + i % 8;

      stream_util_assert_works (io_stream_connection_detach_interrupts (fixture->clients[k], NULL, err));
      g_main_context_iteration (NULL, FALSE);
      attach (fixture, k);
      g_main_context_iteration (NULL, FALSE);
    }
  stream_util_iterate_until (fixture->n_taken >= 16);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  stream_util_settle ();

  n = fixture->n_taken;
  send_all (fixture);
  stream_util_iterate_until (fixture->n_taken >= n + N_STREAMS);
}

/* Owner and client in one thread. */
static void
test_local (void)
{
  Fixture *fixture = g_new0 (Fixture, 1);

  stream_util_assert_works (fixture->owner = io_shared_interrupt_controller_new (N_STREAMS, err));
  for (guint i = 0; i < 2; i++)
    {
      fixture->streams[i] = make_stream (NULL, i);
      io_shared_interrupt_controller_offer (fixture->owner, IO_SERVICE (fixture->streams[i]));
      stream_util_assert_works (io_service_register (IO_SERVICE (fixture->streams[i]), err));
    }
  for (guint i = 0; i < 2; i++)
    {
      stream_util_assert_works (fixture->clients[i] = io_stream_connection_new_for_stream (fixture->streams[i], err));
      watch_client (fixture, i);
      stream_util_assert_works (io_connection_open (IO_CONNECTION (fixture->clients[i]), 0, NULL, err));
      stream_util_start (fixture->clients[i]);
    }
  stream_util_assert_works (fixture->end = io_connection_get_interrupt_controller (IO_CONNECTION (fixture->clients[1]), NULL, err));
  attach (fixture, 0);
  attach (fixture, 1);
  for (guint round = 1; round < 5; round++)
    {
      stream_util_send (fixture->streams[0], 1);
      stream_util_send (fixture->streams[1], 1);
      stream_util_iterate_until (fixture->n_taken == 2 * round);
    }

  drop_clients (fixture);
  for (guint i = 0; i < 2; i++)
    {
      io_service_terminate (IO_SERVICE (fixture->streams[i]));
      stream_util_settle ();
      g_assert_finalize_object (fixture->streams[i]);
    }
  g_assert_finalize_object (fixture->owner);
  g_free (fixture);
}

/* Two processes. */

static int
run_thief (guint64 cookie)
{
  g_autoptr (IOStreamConnection) client = stream_util_open ("s3");

  call_attach_fails (client, cookie, 3, IO_STREAM_ERROR_NOT_PERMITTED);
  peer_say ("refused");
  io_connection_hang_up (IO_CONNECTION (client));

  return 0;
}

static gpointer
order_thread (gpointer data)
{
  G_GNUC_UNUSED g_autofree char *order = peer_take_order ();

  *(atomic_bool *) data = TRUE;
  g_main_context_wakeup (NULL);

  return NULL;
}

/* Sends on all streams whatever can be sent; tells its bells when asked. */
static int
run_owner (void)
{
  Fixture *fixture = g_new0 (Fixture, 1);
  atomic_bool go = FALSE;

  stream_util_assert_works (fixture->owner = io_shared_interrupt_controller_new (N_STREAMS, err));
  for (guint i = 0; i < N_STREAMS; i++)
    {
      fixture->streams[i] = make_stream (NULL, i);
      io_shared_interrupt_controller_offer (fixture->owner, IO_SERVICE (fixture->streams[i]));
      stream_util_assert_works (io_service_register (IO_SERVICE (fixture->streams[i]), err));
    }
  peer_say ("ready");

  for (;;)
    {
      GThread *thread = g_thread_new ("orders", order_thread, &go);

      while (!go)
        g_main_context_iteration (NULL, TRUE);
      g_thread_join (thread);
      go = FALSE;
      n_sends = 0;
      send_all (fixture);
      peer_say ("%u", n_sends);
    }

  return 0;
}

static void
test_processes (void)
{
  Peer *peer = peer_spawn (-1, -1, "owner", NULL);
  Fixture *fixture = g_new0 (Fixture, 1);

  peer_expect (peer, "ready");
  set_up_clients (fixture);
  attach_all (fixture);

  for (guint round = 1; round <= 10; round++)
    {
      while (!io_shared_interrupt_controller_prepare_wait (fixture->end))
        io_interrupt_controller_handle_interrupts (base (fixture->end));
      peer_order (peer, "send");
      /* One system call for all of them. */
      peer_expect (peer, "1");
      io_shared_interrupt_controller_finish_wait (fixture->end);
      io_interrupt_controller_handle_interrupts (base (fixture->end));
      g_assert_cmpuint (fixture->n_taken, ==, round * N_STREAMS);
    }

  peer_order (peer, "send");
  peer_kill (peer);
  stream_util_iterate_until (fixture->n_disconnected == N_STREAMS);
  drop_clients (fixture);
  g_free (fixture);

  for (guint i = 0; i < N_STREAMS; i++)
    {
      g_autofree char *dir = g_strdup_printf ("%s/s%u", g_getenv ("IOSTREAM_RUNTIME_DIR"), i);
      g_autofree char *lock = g_strconcat (dir, ".lock", NULL);

      unlink (dir);
      unlink (lock);
    }
}

#define ADD(path, data, func) g_test_add ("/stream-interrupts/" path, Fixture, GINT_TO_POINTER (data), set_up, func, tear_down)

int
main (int   argc,
      char *argv[])
{
  char *dir;
  int status;

  if (argc > 2 && strcmp (argv[1], "--peer") == 0)
    {
      peer_begin ();
      return strcmp (argv[2], "owner") == 0 ? run_owner () : run_thief (g_ascii_strtoull (argv[3], NULL, 10));
    }

  *peer_program () = argv[0];
  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();

  ADD ("one-ring", 0, test_one_ring);
  ADD ("main-loop", 0, test_main_loop);
  ADD ("disabled", 0, test_disabled);
  ADD ("waits", 0, test_waits);
  ADD ("errors", 0, test_errors);
  ADD ("reopen", 0, test_reopen);
  ADD ("slow", 0, test_slow);
  ADD ("controller-gone/owner", 0, test_controller_gone);
  ADD ("controller-gone/client", 1, test_controller_gone);
  ADD ("owner-gone", 0, test_owner_gone);
  ADD ("threads", 0, test_threads);
  g_test_add_func ("/stream-interrupts/local", test_local);
  g_test_add_func ("/stream-interrupts/processes", test_processes);

  status = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return status;
}
