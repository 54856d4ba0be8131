/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owner and client in one thread: all through main contexts, and nothing may
 * block. */

#include "stream-util.h"

#include <sys/socket.h>

typedef struct {
  GMainContext       *context;   /* NULL: the default one */
  IOStream           *stream;
  IOStreamConnection *client;
  GError             *error;
  guint               n_fds;
  guint               n_done;
  guint               n_output;
  guint               n_input;
  guint               n_state;
  guint               n_disconnected;
  guint               n_taken;
  IOStreamMode        mode;
} Context;

static void
make_stream (Context      *self,
             IOStreamMode  mode)
{
  g_autoptr (GError) error = NULL;

  self->mode = mode;
  self->stream = g_initable_new (IO_TYPE_STREAM, NULL, &error, "name", "test", "mode", mode,
                                 "buffer-count", 4, "data-size", (guint64) 10000,
                                 "control-size", (guint64) 64, NULL);
  g_assert_no_error (error);
}

static void
ignore_cb (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
}

/* What GLib opens for good when something is done asynchronously. */
static void
warm_up (void)
{
  io_stream_connection_open_name_async ("nobody", NULL, ignore_cb, NULL);
  stream_util_settle ();
}

static void
set_up (Context       *self,
        gconstpointer  data)
{
  warm_up ();
  self->n_fds = count_fds ();
  make_stream (self, GPOINTER_TO_INT (data));
}

#define iterate_until(self, expression) \
  G_STMT_START { \
    gint64 deadline_ = g_get_monotonic_time () + STREAM_UTIL_TIMEOUT; \
    while (!(expression)) \
      { \
        g_assert_cmpint (g_get_monotonic_time (), <, deadline_); \
        g_main_context_iteration ((self)->context, FALSE); \
      } \
  } G_STMT_END

static void
settle (Context *self)
{
  while (g_main_context_iteration (self->context, FALSE))
    ;
}

static void
tear_down (Context       *self,
           gconstpointer  data)
{
  if (self->client != NULL)
    {
      io_connection_hang_up (IO_CONNECTION (self->client));
      settle (self);
      g_assert_finalize_object (g_steal_pointer (&self->client));
    }
  io_service_terminate (IO_SERVICE (self->stream));
  settle (self);
  g_assert_finalize_object (g_steal_pointer (&self->stream));
  g_clear_error (&self->error);
  g_assert_cmpuint (count_fds (), ==, self->n_fds);
}

static GSocket *
wrap_socket (int fd)
{
  g_autoptr (GError) error = NULL;
  GSocket *socket = g_socket_new_from_fd (fd, &error);

  g_assert_no_error (error);

  return socket;
}

/* A connection that is not connected yet, over one end of a pair. */
static void
make_client_for_pair (Context *self)
{
  g_autoptr (GSocket) first = NULL;
  g_autoptr (GSocket) second = NULL;
  int fds[2];

  if (stream_util_is_local ())
    {
      self->client = g_object_new (IO_TYPE_STREAM_CONNECTION, "service", self->stream, NULL);
      return;
    }

  g_assert_no_errno (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds));
  first = wrap_socket (fds[0]);
  second = wrap_socket (fds[1]);
  stream_util_assert_works (io_service_add_socket (IO_SERVICE (self->stream), first, err));
  self->client = g_object_new (IO_TYPE_STREAM_CONNECTION, "socket", second, NULL);
}

static void
opened_cb (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  Context *self = user_data;

  self->n_done++;
  io_connection_open_finish (IO_CONNECTION (source), result, &self->error);
}

static void
open_client (Context *self)
{
  guint n_done = self->n_done;

  io_connection_open_async (IO_CONNECTION (self->client), 0, NULL, opened_cb, self);
  g_assert_cmpuint (self->n_done, ==, n_done);
  iterate_until (self, self->n_done > n_done);
  g_assert_no_error (self->error);
  g_assert_true (io_connection_is_open (IO_CONNECTION (self->client)));
}

static void
started_cb (GObject      *source,
            GAsyncResult *result,
            gpointer      user_data)
{
  Context *self = user_data;

  self->n_done++;
  io_stream_connection_start_finish (IO_STREAM_CONNECTION (source), result, &self->error);
}

static void
stopped_cb (GObject      *source,
            GAsyncResult *result,
            gpointer      user_data)
{
  Context *self = user_data;

  self->n_done++;
  io_stream_connection_stop_finish (IO_STREAM_CONNECTION (source), result, &self->error);
}

static void
suspended_cb (GObject      *source,
              GAsyncResult *result,
              gpointer      user_data)
{
  Context *self = user_data;

  self->n_done++;
  io_stream_connection_suspend_finish (IO_STREAM_CONNECTION (source), result, &self->error);
}

static void
mode_set_cb (GObject      *source,
             GAsyncResult *result,
             gpointer      user_data)
{
  Context *self = user_data;

  self->n_done++;
  io_stream_connection_set_mode_finish (IO_STREAM_CONNECTION (source), result, &self->error);
}

static void
closed_cb (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  Context *self = user_data;

  self->n_done++;
  io_connection_close_finish (IO_CONNECTION (source), result, &self->error);
}

typedef void (*StreamAsyncFunc) (IOStreamConnection  *connection,
                                 GCancellable        *cancellable,
                                 GAsyncReadyCallback  callback,
                                 gpointer             user_data);

static void
call (Context             *self,
      StreamAsyncFunc      func,
      GAsyncReadyCallback  callback)
{
  guint n_done = self->n_done;

  g_clear_error (&self->error);
  func (self->client, NULL, callback, self);
  g_assert_cmpuint (self->n_done, ==, n_done);
  iterate_until (self, self->n_done > n_done);
}

static void
start_client (Context *self)
{
  call (self, io_stream_connection_start_async, started_cb);
  g_assert_no_error (self->error);
}

static void
output_cb (IOStreamConnection *client,
           Context            *self)
{
  IOStreamBufferQueueEntry entry;

  self->n_output++;
  while (io_stream_connection_dequeue_output_entry (client, &entry))
    {
      self->n_taken++;
      stream_util_assert_works (io_stream_connection_enqueue_input_entry (client, &entry, err));
      stream_util_assert_works (io_stream_connection_send_input_notification (client, entry.sequence, err));
    }
}

static void
input_cb (IOStream *stream,
          guint     token,
          Context  *self)
{
  IOStreamBufferQueueEntry entry;

  if (self->mode == IO_STREAM_MODE_OUTPUT)
    self->n_input++;
  while (io_stream_dequeue_input_entry (stream, &entry))
    {
      self->n_input++;
      io_stream_release_buffer (stream, io_stream_get_buffer_with_id (stream, entry.buffer_id));
    }
}

/* As fast as it goes, both announced by signals alone. */
static void
stream_through (Context *self)
{
  guint n_sent = 0;

  g_signal_connect (self->client, "output-available", G_CALLBACK (output_cb), self);
  g_signal_connect (self->stream, "input", G_CALLBACK (input_cb), self);
  while (n_sent < 500)
    {
      IOStreamBuffer *buffer = io_stream_acquire_buffer (self->stream, NULL);

      if (buffer == NULL)
        {
          g_main_context_iteration (self->context, TRUE);
          continue;
        }
      stream_util_assert_works (io_stream_send_buffer (self->stream, buffer, err));
      n_sent++;
    }
  iterate_until (self, self->n_taken == n_sent);
  if (self->mode == IO_STREAM_MODE_OUTPUT)
    iterate_until (self, self->n_input > 0);
  else
    iterate_until (self, self->n_input == n_sent);
  g_assert_cmpuint (io_stream_connection_get_held (self->client), ==, 0);
}

static void
test_socket_pair (Context       *self,
                  gconstpointer  data)
{
  make_client_for_pair (self);
  open_client (self);
  start_client (self);
  stream_through (self);
}

static void
test_name (Context       *self,
           gconstpointer  data)
{
  stream_util_skip_if_local ("made for its name");
  stream_util_assert_works (io_service_register (IO_SERVICE (self->stream), err));
  self->client = g_object_new (IO_TYPE_STREAM_CONNECTION, "name", "test", NULL);
  open_client (self);
  start_client (self);
  stream_through (self);
}

static void
name_opened_cb (GObject      *source,
                GAsyncResult *result,
                gpointer      user_data)
{
  Context *self = user_data;

  self->n_done++;
  self->client = io_stream_connection_open_name_finish (result, &self->error);
}

static void
test_open_name (Context       *self,
                gconstpointer  data)
{
  stream_util_skip_if_local ("made for its name");
  stream_util_assert_works (io_service_register (IO_SERVICE (self->stream), err));
  io_stream_connection_open_name_async ("test", NULL, name_opened_cb, self);
  iterate_until (self, self->n_done == 1);
  g_assert_no_error (self->error);
  g_assert_nonnull (self->client);
  start_client (self);
  stream_through (self);
}

static void
test_open_name_fails (Context       *self,
                      gconstpointer  data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();

  stream_util_skip_if_local ("made for its name");
  io_stream_connection_open_name_async ("nobody", NULL, name_opened_cb, self);
  iterate_until (self, self->n_done == 1);
  g_assert_error (self->error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND);
  g_assert_null (self->client);
  g_clear_error (&self->error);

  stream_util_assert_works (io_service_register (IO_SERVICE (self->stream), err));
  g_cancellable_cancel (cancellable);
  io_stream_connection_open_name_async ("test", cancellable, name_opened_cb, self);
  iterate_until (self, self->n_done == 2);
  g_assert_error (self->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_null (self->client);
  settle (self);
}

static void
local_opened_cb (GObject      *source,
                 GAsyncResult *result,
                 gpointer      user_data)
{
  Context *self = user_data;

  self->n_done++;
  if (io_connection_open_finish (IO_CONNECTION (source), result, &self->error))
    self->client = g_object_ref (IO_STREAM_CONNECTION (source));
}

static void
open_test_async (Context      *self,
                 GCancellable *cancellable)
{
  g_autoptr (IOStreamConnection) client = NULL;

  if (!stream_util_is_local ())
    {
      io_stream_connection_open_name_async ("test", cancellable, name_opened_cb, self);
      return;
    }

  client = g_object_new (IO_TYPE_STREAM_CONNECTION, "service", self->stream, NULL);
  io_connection_open_async (IO_CONNECTION (client), 0, cancellable, local_opened_cb, self);
}

/* Cancelled after so many turns of the loop: whatever is half done is taken
 * back, and the next open works. */
static void
test_cancel_open (Context       *self,
                  gconstpointer  data)
{
  stream_util_assert_works (io_service_register (IO_SERVICE (self->stream), err));
  for (guint n_turns = 0; n_turns < 40; n_turns++)
    {
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      guint n_done = self->n_done;

      open_test_async (self, cancellable);
      for (guint i = 0; i < n_turns; i++)
        g_main_context_iteration (self->context, FALSE);
      g_cancellable_cancel (cancellable);
      iterate_until (self, self->n_done > n_done);
      if (self->client != NULL)
        {
          g_assert_no_error (self->error);
          io_connection_hang_up (IO_CONNECTION (self->client));
          g_assert_finalize_object (g_steal_pointer (&self->client));
        }
      else
        g_assert_error (self->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_clear_error (&self->error);
      iterate_until (self, !io_service_is_open (IO_SERVICE (self->stream), NULL));
    }

  open_test_async (self, NULL);
  iterate_until (self, self->client != NULL);
  start_client (self);
  stream_through (self);
}

static void
state_cb (GObject    *object,
          GParamSpec *pspec,
          Context    *self)
{
  self->n_state++;
}

static void
test_states (Context       *self,
             gconstpointer  data)
{
  make_client_for_pair (self);
  g_signal_connect (self->client, "notify::state", G_CALLBACK (state_cb), self);
  call (self, io_stream_connection_start_async, started_cb);
  g_assert_error (self->error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN);
  g_clear_error (&self->error);

  open_client (self);
  g_assert_cmpuint (self->n_state, ==, 1);
  call (self, io_stream_connection_suspend_async, suspended_cb);
  g_assert_error (self->error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY);
  start_client (self);
  iterate_until (self, self->n_state == 2);
  call (self, io_stream_connection_suspend_async, suspended_cb);
  g_assert_no_error (self->error);
  g_assert_cmpint (io_stream_get_state (self->stream), ==, IO_STREAM_STATE_SUSPENDED);
  iterate_until (self, self->n_state == 3);
  call (self, io_stream_connection_stop_async, stopped_cb);
  g_assert_no_error (self->error);
  g_assert_cmpint (io_stream_connection_get_state (self->client), ==, IO_STREAM_STATE_STOPPED);
  iterate_until (self, self->n_state == 4);

  io_stream_connection_set_mode_async (self->client, IO_STREAM_MODE_OUTPUT, NULL, mode_set_cb, self);
  iterate_until (self, self->error != NULL);
  g_assert_error (self->error, IO_STREAM_ERROR, IO_STREAM_ERROR_STILL_OPEN);
  g_clear_error (&self->error);
  self->n_done = 0;
  io_stream_connection_set_mode_async (self->client, IO_STREAM_MODE_INPUT, NULL, mode_set_cb, self);
  iterate_until (self, self->n_done == 1);
  g_assert_no_error (self->error);

  io_connection_close_async (IO_CONNECTION (self->client), NULL, closed_cb, self);
  iterate_until (self, self->n_done == 2);
  g_assert_no_error (self->error);
  g_assert_cmpuint (self->n_state, ==, 5);
  g_assert_cmpint (io_stream_get_state (self->stream), ==, IO_STREAM_STATE_CLOSED);
  open_client (self);
  g_assert_cmpuint (self->n_state, ==, 6);
}

/* A call that waits cannot be answered. */
static void
test_synchronous (Context       *self,
                  gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  stream_util_assert_works (io_service_register (IO_SERVICE (self->stream), err));
  g_assert_null (io_stream_connection_open_name ("test", NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_CANNOT_LOCK);
  g_assert_nonnull (strstr (error->message, "made for the service"));

  self->client = g_object_new (IO_TYPE_STREAM_CONNECTION, "name", "test", NULL);
  open_client (self);
  stream_util_assert_fails (io_stream_connection_start (self->client, NULL, err), IO_STREAM_ERROR_CANNOT_LOCK);
  start_client (self);
  stream_util_assert_fails (io_stream_wait_buffer (self->stream, -1, NULL, err), IO_STREAM_ERROR_CANNOT_LOCK);
}

static void
disconnected_cb (IOConnection *connection,
                 const GError *error,
                 Context      *self)
{
  g_assert_null (error);
  g_assert_cmpuint (self->n_taken, ==, 3);
  self->n_disconnected++;
}

static void
test_owner_ends (Context       *self,
                 gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  make_client_for_pair (self);
  open_client (self);
  start_client (self);
  settle (self);
  g_signal_connect (self->client, "disconnected", G_CALLBACK (disconnected_cb), self);
  for (guint i = 0; i < 3; i++)
    stream_util_assert_works (io_stream_send_buffer (self->stream, io_stream_acquire_buffer (self->stream, NULL), err));
  io_service_terminate (IO_SERVICE (self->stream));
  while (io_stream_connection_dequeue_output_entry (self->client, &entry))
    self->n_taken++;
  iterate_until (self, self->n_disconnected == 1);
  for (guint i = 0; i < 10; i++)
    settle (self);
  g_assert_cmpuint (self->n_disconnected, ==, 1);
  g_assert_cmpint (io_stream_connection_get_state (self->client), ==, IO_STREAM_STATE_CLOSED);
}

/* The client goes in the middle of everything. */
static void
test_client_ends (Context       *self,
                  gconstpointer  data)
{
  for (guint n_turns = 0; n_turns < 30; n_turns++)
    {
      make_client_for_pair (self);
      io_connection_open_async (IO_CONNECTION (self->client), 0, NULL, opened_cb, self);
      for (guint i = 0; i < n_turns; i++)
        g_main_context_iteration (self->context, FALSE);
      io_connection_hang_up (IO_CONNECTION (self->client));
      iterate_until (self, self->n_done == n_turns + 1);
      g_clear_error (&self->error);
      settle (self);
      g_assert_finalize_object (g_steal_pointer (&self->client));
      iterate_until (self, !io_service_is_open (IO_SERVICE (self->stream), NULL));
    }
}

/* Many streams in one context. */
static void
test_many (Context       *self,
           gconstpointer  data)
{
  Context others[8] = { { 0, }, };

  for (guint i = 0; i < G_N_ELEMENTS (others); i++)
    {
      set_up (&others[i], data);
      make_client_for_pair (&others[i]);
      open_client (&others[i]);
      start_client (&others[i]);
      g_signal_connect (others[i].client, "output-available", G_CALLBACK (output_cb), &others[i]);
      g_signal_connect (others[i].stream, "input", G_CALLBACK (input_cb), &others[i]);
    }

  for (guint n = 1; n <= 100; n++)
    {
      for (guint i = 0; i < G_N_ELEMENTS (others); i++)
        stream_util_assert_works (io_stream_send_buffer (others[i].stream,
                                                         io_stream_acquire_buffer (others[i].stream, NULL), err));
      for (guint i = 0; i < G_N_ELEMENTS (others); i++)
        iterate_until (self, others[i].n_taken == n);
    }

  for (guint i = G_N_ELEMENTS (others); i > 0; i--)
    {
      io_connection_hang_up (IO_CONNECTION (others[i - 1].client));
      settle (self);
      g_assert_finalize_object (others[i - 1].client);
      io_service_terminate (IO_SERVICE (others[i - 1].stream));
      settle (self);
      g_assert_finalize_object (others[i - 1].stream);
    }
}

/* All in a thread with a context of its own, which the default one does not
 * help along. */
static gpointer
context_thread (gpointer data)
{
  Context self = { 0, };

  self.context = g_main_context_new ();
  g_main_context_push_thread_default (self.context);
  make_stream (&self, IO_STREAM_MODE_INPUT);
  make_client_for_pair (&self);
  open_client (&self);
  start_client (&self);
  stream_through (&self);
  io_connection_hang_up (IO_CONNECTION (self.client));
  settle (&self);
  g_assert_finalize_object (self.client);
  io_service_terminate (IO_SERVICE (self.stream));
  settle (&self);
  g_assert_finalize_object (self.stream);
  g_main_context_pop_thread_default (self.context);
  g_main_context_unref (self.context);

  return NULL;
}

static void
test_thread_default (void)
{
  guint n_fds;

  g_thread_join (g_thread_new ("context", context_thread, NULL));
  n_fds = count_fds ();
  g_thread_join (g_thread_new ("context", context_thread, NULL));
  g_assert_cmpuint (count_fds (), ==, n_fds);
}

int
main (int   argc,
      char *argv[])
{
  const gpointer output = GINT_TO_POINTER (IO_STREAM_MODE_OUTPUT);
  const gpointer input = GINT_TO_POINTER (IO_STREAM_MODE_INPUT);
  char *dir;
  int status;

  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();

#define ADD(path, data, func) g_test_add ("/stream-context/" path, Context, data, set_up, func, tear_down)
  ADD ("socket-pair/output", output, test_socket_pair);
  ADD ("socket-pair/input", input, test_socket_pair);
  ADD ("name/output", output, test_name);
  ADD ("name/input", input, test_name);
  ADD ("open-name/works", output, test_open_name);
  ADD ("open-name/fails", output, test_open_name_fails);
  ADD ("open-name/cancelled", output, test_cancel_open);
  ADD ("states", input, test_states);
  ADD ("synchronous", output, test_synchronous);
  ADD ("owner-ends", output, test_owner_ends);
  ADD ("client-ends/output", output, test_client_ends);
  ADD ("client-ends/input", input, test_client_ends);
  ADD ("many/output", output, test_many);
  ADD ("many/input", input, test_many);
  g_test_add_func ("/stream-context/thread-default", test_thread_default);

  status = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return status;
}
