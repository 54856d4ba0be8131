/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An owner and a client in two processes: every buffer arrives once, in order
 * and whole, whichever way either of them waits. */

#include "peer-process.h"

#define N_BUFFERS 8

typedef struct {
  const char   *waits;      /* how the client does */
  IOStreamMode  mode;
  gsize         size;
  guint64       total;
  gboolean      by_socket;
  gboolean      in_context; /* the owner serves from its main context */
} Params;

/* A piece of the data part that depends on the number. */
static gsize
payload_offset (guint64 number,
                gsize   size)
{
  return 8 * (number % MIN (size / 16, 5));
}

/* The client. */

typedef struct {
  IOStreamConnection *connection;
  IOStreamMode        mode;
  gsize               size;
  guint64             total;
  guint64             done;
  GMainLoop          *main_loop;
} Client;

static void
client_take (Client                   *self,
             IOStreamBufferQueueEntry *entry)
{
  guint8 *data = io_stream_connection_peek_data_buffer (self->connection, entry->buffer_id, NULL);
  guint8 *control = io_stream_connection_peek_control_buffer (self->connection, entry->buffer_id, NULL);
  gsize offset = payload_offset (self->done, self->size);
  g_autoptr (GError) error = NULL;

  if (self->mode == IO_STREAM_MODE_OUTPUT)
    {
      g_assert_cmpuint (entry->sequence, ==, self->done);
      g_assert_cmpuint (entry->data_offset, ==, offset);
      g_assert_cmpuint (entry->data_length, ==, self->size - offset);
      g_assert_cmpuint (entry->control_length, ==, sizeof (PayloadControl));
      g_assert_true (payload_is (data + offset, control, self->size - offset, self->done));
      g_assert_true (io_stream_connection_return_entry (self->connection, entry, &error));
    }
  else
    {
      payload_fill (data + offset, control, self->size - offset, self->done);
      g_assert_true (io_stream_connection_enqueue_input_buffer (self->connection, entry->buffer_id,
                                                                offset, self->size - offset,
                                                                0, sizeof (PayloadControl), &error));
      g_assert_true (io_stream_connection_send_input_notification (self->connection,
                                                                   (guint32) self->done, &error));
    }
  g_assert_no_error (error);
  self->done++;
}

static void
client_drain (Client *self)
{
  IOStreamBufferQueueEntry entry;

  while (self->done < self->total &&
         io_stream_connection_dequeue_output_entry (self->connection, &entry))
    client_take (self, &entry);
}

static void
client_block (Client *self)
{
  g_autoptr (GError) error = NULL;

  while (self->done < self->total && io_stream_connection_wait (self->connection, -1, NULL, &error))
    client_drain (self);
  g_assert_no_error (error);
}

static void
client_spin (Client *self)
{
  io_stream_connection_set_notify_in_context (self->connection, FALSE);
  while (self->done < self->total)
    {
      guint64 before = self->done;

      client_drain (self);
      if (self->done == before)
        sched_yield ();
    }
}

static void
client_output_cb (IOStreamConnection *connection,
                  Client             *self)
{
  client_drain (self);
  if (self->done == self->total)
    g_main_loop_quit (self->main_loop);
}

static void
client_listen (Client *self)
{
  self->main_loop = g_main_loop_new (NULL, FALSE);
  g_signal_connect (self->connection, "output-available", G_CALLBACK (client_output_cb), self);
  g_main_loop_run (self->main_loop);
  g_main_loop_unref (self->main_loop);
}

/* A foreign loop: prepare, poll, finish. */
static void
client_poll (Client *self)
{
  while (self->done < self->total)
    {
      struct pollfd poll_fd = { io_stream_connection_get_fd (self->connection), POLLIN, 0 };

      if (io_stream_connection_prepare_wait (self->connection))
        {
          while (poll (&poll_fd, 1, -1) < 0)
            g_assert_cmpint (errno, ==, EINTR);
          io_stream_connection_finish_wait (self->connection);
        }
      client_drain (self);
    }
}

static IOStreamConnection *
client_open (const char *name)
{
  g_autoptr (GSocket) socket = NULL;
  g_autoptr (GError) error = NULL;
  IOStreamConnection *connection;

  if (strcmp (name, "-") != 0)
    return stream_util_open (name);

  socket = peer_inherited_socket ();
  connection = io_stream_connection_new_for_socket (socket, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (io_connection_open (IO_CONNECTION (connection), 0, NULL, &error));
  g_assert_no_error (error);

  return connection;
}

/* waits, name, size, total */
static int
run_client (char **argv)
{
  g_autofree char *order = NULL;
  Client self = { NULL, };

  self.connection = client_open (argv[1]);
  self.size = strtoull (argv[2], NULL, 10);
  self.total = strtoull (argv[3], NULL, 10);
  self.mode = io_stream_connection_get_mode (self.connection);
  stream_util_start (self.connection);

  if (strcmp (argv[0], "block") == 0)
    client_block (&self);
  else if (strcmp (argv[0], "spin") == 0)
    client_spin (&self);
  else if (strcmp (argv[0], "listen") == 0)
    client_listen (&self);
  else
    client_poll (&self);

  peer_say ("done %" G_GUINT64_FORMAT " received %" G_GUINT64_FORMAT " lost %" G_GUINT64_FORMAT,
            self.done, io_stream_connection_get_received (self.connection),
            io_stream_connection_get_lost (self.connection));
  order = peer_take_order ();
  g_assert_cmpstr (order, ==, "close");
  stream_util_close (self.connection);
  g_assert_finalize_object (self.connection);

  return 0;
}

/* The owner. */

typedef struct {
  const Params *params;
  IOWorkLoop   *loop;
  IOStream     *stream;
  guint64       sent;
  guint64       arrived;
} Owner;

static void
owner_fill (Owner          *self,
            IOStreamBuffer *buffer)
{
  gsize offset = payload_offset (self->sent, self->params->size);
  guint8 *data = io_stream_buffer_peek_data (buffer, NULL);
  g_autoptr (GError) error = NULL;

  payload_fill (data + offset, io_stream_buffer_peek_control (buffer, NULL),
                self->params->size - offset, self->sent);
  g_assert_true (io_stream_enqueue_output_buffer (self->stream, buffer, offset, self->params->size - offset,
                                                  0, sizeof (PayloadControl), &error));
  g_assert_no_error (error);
}

static void
owner_send (Owner *self)
{
  guint unannounced = 0;

  while (self->sent < self->params->total || self->params->mode != IO_STREAM_MODE_OUTPUT)
    {
      g_autoptr (GError) error = NULL;
      IOStreamBuffer *buffer = io_stream_acquire_buffer (self->stream, &error);

      if (buffer == NULL)
        {
          g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_SPACE);
          break;
        }
      if (self->params->mode == IO_STREAM_MODE_OUTPUT)
        owner_fill (self, buffer);
      else
        g_assert_true (io_stream_enqueue_output_buffer (self->stream, buffer, 0, 0, 0, 0, &error));
      g_assert_no_error (error);
      self->sent++;
      /* several at once, in every number */
      if (++unannounced > self->sent % 4)
        {
          g_assert_true (io_stream_send_output_notification (self->stream, NULL));
          unannounced = 0;
        }
    }
  g_assert_true (io_stream_send_output_notification (self->stream, NULL));
}

static void
owner_take (Owner *self)
{
  IOStreamBufferQueueEntry entry;

  while (self->params->mode != IO_STREAM_MODE_OUTPUT && io_stream_dequeue_input_entry (self->stream, &entry))
    {
      IOStreamBuffer *buffer = io_stream_get_buffer_with_id (self->stream, entry.buffer_id);
      guint8 *data = io_stream_buffer_peek_data (buffer, NULL);
      gsize offset = payload_offset (self->arrived, self->params->size);

      g_assert_cmpuint (entry.sequence, ==, self->arrived);
      g_assert_cmpuint (entry.data_offset, ==, offset);
      g_assert_cmpuint (entry.data_length, ==, self->params->size - offset);
      g_assert_true (payload_is (data + offset, io_stream_buffer_peek_control (buffer, NULL),
                                 self->params->size - offset, self->arrived));
      self->arrived++;
      io_stream_release_buffer (self->stream, buffer);
    }
}

static gboolean
owner_is_done (Owner *self)
{
  return (self->params->mode == IO_STREAM_MODE_OUTPUT ? self->sent : self->arrived) == self->params->total;
}

static void
owner_pump (Owner *self)
{
  if (io_stream_get_state (self->stream) != IO_STREAM_STATE_RUNNING)
    return;

  owner_take (self);
  if (!owner_is_done (self))
    owner_send (self);
}

static void
owner_input_cb (IOStream *stream,
                guint     token,
                Owner    *self)
{
  owner_pump (self);
}

static void
owner_state_cb (IOStream   *stream,
                GParamSpec *pspec,
                Owner      *self)
{
  owner_pump (self);
}

static void
owner_run_context (Owner *self)
{
  g_signal_connect (self->stream, "input", G_CALLBACK (owner_input_cb), self);
  g_signal_connect (self->stream, "notify::state", G_CALLBACK (owner_state_cb), self);
  while (!owner_is_done (self))
    g_main_context_iteration (NULL, TRUE);
}

static void
owner_run_blocking (Owner *self)
{
  g_autoptr (GError) error = NULL;

  while (!owner_is_done (self))
    {
      if (self->params->mode == IO_STREAM_MODE_OUTPUT || self->sent == 0)
        g_assert_true (io_stream_wait_buffer (self->stream, -1, NULL, &error));
      else
        g_assert_true (io_stream_wait_input (self->stream, -1, NULL, &error));
      g_assert_no_error (error);
      owner_pump (self);
    }
}

/* All of them are free now. */
static void
assert_all_home (IOStream *stream)
{
  g_autoptr (GError) error = NULL;
  IOStreamBuffer *buffers[N_BUFFERS];

  for (guint i = 0; i < N_BUFFERS; i++)
    {
      buffers[i] = io_stream_acquire_buffer (stream, &error);
      g_assert_no_error (error);
      for (guint j = 0; j < i; j++)
        g_assert_true (buffers[i] != buffers[j]);
    }
  g_assert_null (io_stream_acquire_buffer (stream, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_SPACE);
  for (guint i = 0; i < N_BUFFERS; i++)
    io_stream_release_buffer (stream, buffers[i]);
}

static Peer *
spawn_client (Owner *owner)
{
  const Params *params = owner->params;
  g_autofree char *size = g_strdup_printf ("%" G_GSIZE_FORMAT, params->size);
  g_autofree char *total = g_strdup_printf ("%" G_GUINT64_FORMAT, params->total);
  g_autoptr (GSocket) socket = NULL;
  g_autoptr (GError) error = NULL;
  int fds[2] = { -1, -1 };
  Peer *peer;

  if (params->by_socket)
    {
      make_socket_pair (fds);
      socket = g_socket_new_from_fd (fds[0], &error);
      g_assert_no_error (error);
      g_assert_true (io_service_add_socket (IO_SERVICE (owner->stream), socket, &error));
      g_assert_no_error (error);
    }
  peer = peer_spawn (fds[1], -1, "client", params->waits, params->by_socket ? "-" : "pair", size, total, NULL);
  if (fds[1] >= 0)
    close (fds[1]);

  return peer;
}

static void
owner_set_up (Owner        *self,
              const Params *params)
{
  g_autoptr (GError) error = NULL;

  self->params = params;
  if (!params->in_context)
    self->loop = io_work_loop_new ("owner");
  self->stream = g_initable_new (IO_TYPE_STREAM, NULL, &error,
                                 "name", params->by_socket ? NULL : "pair", "work-loop", self->loop,
                                 "mode", params->mode, "buffer-count", N_BUFFERS,
                                 "data-size", (guint64) params->size,
                                 "control-size", (guint64) sizeof (PayloadControl), NULL);
  g_assert_no_error (error);
  if (!params->by_socket)
    g_assert_true (io_service_register (IO_SERVICE (self->stream), &error));
  g_assert_no_error (error);
}

static void
owner_tear_down (Owner *self)
{
  io_service_terminate (IO_SERVICE (self->stream));
  if (self->loop != NULL)
    io_work_loop_shut_down (self->loop);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_finalize_object (self->stream);
  if (self->loop != NULL)
    g_assert_finalize_object (self->loop);
}

static void
test_stream (gconstpointer data)
{
  const Params *params = data;
  g_autofree char *expected = g_strdup_printf ("done %" G_GUINT64_FORMAT " received %" G_GUINT64_FORMAT " lost 0",
                                               params->total, params->total);
  guint n_maps = count_stream_maps ();
  Owner owner = { NULL, };
  Peer *peer;

  owner_set_up (&owner, params);
  peer = spawn_client (&owner);
  if (params->in_context)
    owner_run_context (&owner);
  else
    owner_run_blocking (&owner);
  peer_expect (peer, expected);
  peer_order (peer, "close");
  while (params->in_context && io_service_is_open (IO_SERVICE (owner.stream), NULL))
    g_main_context_iteration (NULL, TRUE);
  peer_finish (peer);

  g_assert_cmpint (io_stream_get_state (owner.stream), ==, IO_STREAM_STATE_CLOSED);
  assert_all_home (owner.stream);
  owner_tear_down (&owner);
  g_assert_cmpuint (count_stream_maps (), ==, n_maps);
}

static void
add_test (const char   *waits,
          IOStreamMode  mode,
          gsize         size,
          gboolean      by_socket,
          gboolean      in_context)
{
  Params *params = g_new0 (Params, 1);
  g_autofree char *path = g_strdup_printf ("/stream-processes/%s/%s/%" G_GSIZE_FORMAT "%s%s",
                                           mode == IO_STREAM_MODE_OUTPUT ? "output" : "input", waits, size,
                                           by_socket ? "/socket" : "", in_context ? "/context" : "");

  params->waits = waits;
  params->mode = mode;
  params->size = size;
  params->total = size > 4096 ? 500 : 100000;
  params->by_socket = by_socket;
  params->in_context = in_context;
  /* slow there, and no less thorough for it */
  if (g_getenv ("IOSTREAM_TEST_VALGRIND") != NULL)
    params->total /= 50;
  g_test_add_data_func_full (path, params, test_stream, g_free);
}

int
main (int   argc,
      char *argv[])
{
  static const char *const waits[] = { "block", "listen", "spin", "poll" };
  char *dir;
  int status;

  if (argc > 2 && strcmp (argv[1], "--peer") == 0)
    {
      peer_begin ();
      return run_client (argv + 3);
    }

  *peer_program () = argv[0];
  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();

  for (guint i = 0; i < G_N_ELEMENTS (waits); i++)
    for (guint mode = IO_STREAM_MODE_INPUT; mode <= IO_STREAM_MODE_OUTPUT; mode++)
      {
        add_test (waits[i], mode, 64, FALSE, i % 2 == 0);
        add_test (waits[i], mode, 1 << 20, i % 2 == 1, FALSE);
        add_test (waits[i], mode, 64, TRUE, i % 2 == 1);
      }

  status = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return status;
}
