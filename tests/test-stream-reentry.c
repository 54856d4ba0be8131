/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* As test-reentry.c, for streams: every method and signal of both sides calls
 * back into the stream or the connection, and drops it. */

#include "stream-util.h"

#define N_BUFFERS 3

typedef enum {
  DO_TERMINATE,
  DO_DROP,
  DO_TERMINATE_AND_DROP,
  DO_END_CLIENT,
  DO_CLOSE,
  DO_START,
  DO_STOP,
  DO_SUSPEND,
  DO_SET_MODE,
  DO_SEND,
  DO_CHANGE_BUFFERS,
  DO_FAIL,
  N_DEEDS
} Deed;

static const char * const places[] = {
  "start", "stop", "suspend", "set-mode", "input", "authorize", "handle-open", "handle-close",
  "client-opened", "client-closed", "client-died", "terminated", "memory-changed",
  "notify-state", "notify-mode", "notify-buffer-count", "memory"
};

/* In the thread of the owner, but for n_met. */
static struct {
  const char   *place;
  Deed          deed;
  IOStream     *stream;   /* the reference of the program */
  IOUserClient *client;   /* with a reference */
  gboolean      busy;
  int           n_met;
  int           n_opened;
  int           n_closed;
} plan;

static void
change_buffers (IOStream *stream)
{
  g_autoptr (IOStreamBuffer) buffer = NULL;
  g_autoptr (IOMemoryDescriptor) memory = NULL;

  io_stream_remove_all_buffers (stream, NULL);
  memory = IO_MEMORY_DESCRIPTOR (io_buffer_memory_descriptor_new (4096, IO_STREAM_PEER_ACCESS_READ_WRITE, NULL));
  buffer = io_stream_buffer_new (memory, NULL);
  io_stream_add_buffer (stream, buffer, NULL);
  io_stream_remove_buffer_with_id (stream, 0, NULL);
}

static void
send_one (IOStream *stream)
{
  IOStreamBufferQueueEntry entry;
  IOStreamBuffer *buffer = io_stream_acquire_buffer (stream, NULL);

  if (buffer != NULL && !io_stream_send_buffer (stream, buffer, NULL))
    io_stream_release_buffer (stream, buffer);
  while (io_stream_dequeue_input_entry (stream, &entry))
    io_stream_release_buffer (stream, io_stream_get_buffer_with_id (stream, entry.buffer_id));
}

static void
do_deed (IOStream *stream)
{
  switch (plan.deed)
    {
    case DO_TERMINATE:
      io_service_terminate (IO_SERVICE (stream));
      break;
    case DO_DROP:
      g_clear_object (&plan.stream);
      break;
    case DO_TERMINATE_AND_DROP:
      io_service_terminate (IO_SERVICE (stream));
      g_clear_object (&plan.stream);
      break;
    case DO_END_CLIENT:
      if (plan.client != NULL)
        io_user_client_terminate (plan.client, NULL);
      break;
    case DO_CLOSE:
      if (plan.client != NULL)
        io_service_close (IO_SERVICE (stream), plan.client, 0);
      break;
    case DO_START:
      io_stream_start (stream, NULL);
      break;
    case DO_STOP:
      io_stream_stop (stream, NULL);
      break;
    case DO_SUSPEND:
      io_stream_suspend (stream, NULL);
      break;
    case DO_SET_MODE:
      io_stream_set_mode (stream, io_stream_get_mode (stream) == IO_STREAM_MODE_INPUT
                          ? IO_STREAM_MODE_INPUT_OUTPUT : IO_STREAM_MODE_INPUT, NULL);
      break;
    case DO_SEND:
      send_one (stream);
      break;
    case DO_CHANGE_BUFFERS:
      change_buffers (stream);
      break;
    case DO_FAIL:
      break;
    case N_DEEDS:
      g_assert_not_reached ();
    }
}

/* What the method answers. GObject emits "notify" anew if a handler changed the
 * property: not without end. */
static gboolean
meet (const char *place,
      gpointer    stream)
{
  if (plan.busy || plan.n_met == 9 || g_strcmp0 (place, plan.place) != 0)
    return TRUE;

  plan.busy = TRUE;
  g_atomic_int_inc (&plan.n_met);
  do_deed (stream);
  plan.busy = FALSE;

  return plan.deed != DO_FAIL;
}

typedef IOStreamUserClient ReentryClient;
typedef IOStreamUserClientClass ReentryClientClass;

static GType reentry_client_get_type (void);
G_DEFINE_TYPE (ReentryClient, reentry_client, IO_TYPE_STREAM_USER_CLIENT)

static IOMemoryDescriptor *
reentry_client_client_memory_for_type (IOUserClient      *client,
                                       guint              type,
                                       IOMemoryMapFlags  *flags,
                                       GError           **error)
{
  if (!meet ("memory", io_user_client_get_service (client)) || !io_user_client_is_connected (client))
    return NULL;

  return IO_USER_CLIENT_CLASS (reentry_client_parent_class)->client_memory_for_type (client, type,
                                                                                     flags, error);
}

static void
reentry_client_class_init (ReentryClientClass *klass)
{
  IO_USER_CLIENT_CLASS (klass)->client_memory_for_type = reentry_client_client_memory_for_type;
}

static void
reentry_client_init (ReentryClient *self)
{
}

typedef IOStream ReentryStream;
typedef IOStreamClass ReentryStreamClass;

static GType reentry_stream_get_type (void);
G_DEFINE_TYPE (ReentryStream, reentry_stream, IO_TYPE_STREAM)

static gboolean
reentry_stream_start (IOStream  *stream,
                      GError   **error)
{
  send_one (stream);

  return meet ("start", stream);
}

static gboolean
reentry_stream_stop (IOStream  *stream,
                     GError   **error)
{
  return meet ("stop", stream);
}

static gboolean
reentry_stream_suspend (IOStream  *stream,
                        GError   **error)
{
  return meet ("suspend", stream);
}

static gboolean
reentry_stream_set_mode (IOStream      *stream,
                         IOStreamMode   mode,
                         GError       **error)
{
  return meet ("set-mode", stream);
}

static void
reentry_stream_input_callback (IOStream *stream,
                               guint32   token)
{
  IOStreamBufferQueueEntry entry;

  meet ("input", stream);
  if (io_stream_dequeue_input_entry (stream, &entry))
    io_stream_release_buffer (stream, io_stream_get_buffer_with_id (stream, entry.buffer_id));
}

static IOUserClient *
reentry_stream_new_user_client (IOService  *service,
                                GVariant   *options,
                                GError    **error)
{
  IOUserClient *client = g_object_new (reentry_client_get_type (), NULL);

  g_set_object (&plan.client, client);

  return client;
}

static gboolean
reentry_stream_authorize (IOService    *service,
                          IOUserClient *client)
{
  return meet ("authorize", service);
}

static gboolean
reentry_stream_handle_open (IOService     *service,
                            IOUserClient  *client,
                            guint          options,
                            GError       **error)
{
  return IO_SERVICE_CLASS (reentry_stream_parent_class)->handle_open (service, client, options, error) &&
         meet ("handle-open", service);
}

static void
reentry_stream_handle_close (IOService    *service,
                             IOUserClient *client,
                             guint         options)
{
  meet ("handle-close", service);
  IO_SERVICE_CLASS (reentry_stream_parent_class)->handle_close (service, client, options);
}

static void
reentry_stream_client_opened (IOService    *service,
                              IOUserClient *client)
{
  plan.n_opened++;
  meet ("client-opened", service);
}

static void
reentry_stream_client_closed (IOService    *service,
                              IOUserClient *client)
{
  plan.n_closed++;
  meet ("client-closed", service);
}

static void
reentry_stream_client_died (IOService    *service,
                            IOUserClient *client)
{
  meet ("client-died", service);
}

static void
reentry_stream_terminated (IOService *service)
{
  meet ("terminated", service);
}

static void
reentry_stream_notify (GObject    *object,
                       GParamSpec *pspec)
{
  g_autofree char *place = g_strdup_printf ("notify-%s", pspec->name);

  /* one more fits into the queues */
  g_assert_cmpuint (io_stream_get_buffer_count (IO_STREAM (object)), <=, N_BUFFERS + 1);
  meet (place, object);
}

static void
reentry_stream_class_init (ReentryStreamClass *klass)
{
  IOServiceClass *service_class = IO_SERVICE_CLASS (klass);

  G_OBJECT_CLASS (klass)->notify = reentry_stream_notify;
  klass->start = reentry_stream_start;
  klass->stop = reentry_stream_stop;
  klass->suspend = reentry_stream_suspend;
  klass->set_mode = reentry_stream_set_mode;
  klass->input_callback = reentry_stream_input_callback;
  service_class->new_user_client = reentry_stream_new_user_client;
  service_class->authorize = reentry_stream_authorize;
  service_class->handle_open = reentry_stream_handle_open;
  service_class->handle_close = reentry_stream_handle_close;
  service_class->client_opened = reentry_stream_client_opened;
  service_class->client_closed = reentry_stream_client_closed;
  service_class->client_died = reentry_stream_client_died;
  service_class->terminated = reentry_stream_terminated;
}

static void
memory_changed_cb (IOStream *stream,
                   gpointer  user_data)
{
  meet ("memory-changed", stream);
}

static void
reentry_stream_init (ReentryStream *self)
{
  g_signal_connect (self, "memory-changed", G_CALLBACK (memory_changed_cb), NULL);
}

/* What a client does, whatever becomes of it. */
static void
exchange (IOStreamConnection *client)
{
  IOStreamBufferQueueEntry entry;

  io_stream_connection_start (client, NULL, NULL);
  io_stream_connection_wait (client, 0, NULL, NULL);
  while (io_stream_connection_dequeue_output_entry (client, &entry))
    io_stream_connection_return_entry (client, &entry, NULL);
  io_stream_connection_send_input_notification (client, 7, NULL);
}

static void
run_client (GWeakRef *weak_stream)
{
  g_autoptr (IOStreamConnection) client = NULL;
  g_autoptr (IOStream) stream = g_weak_ref_get (weak_stream);

  if (stream != NULL)
    client = stream_util_connect (stream, NULL);
  g_clear_object (&stream);
  if (client == NULL)
    return;

  for (guint i = 0; i < 2; i++)
    {
      io_connection_open (IO_CONNECTION (client), IO_STREAM_OPEN_NONE, NULL, NULL);
      exchange (client);
      io_stream_connection_suspend (client, NULL, NULL);
      exchange (client);
      io_stream_connection_stop (client, NULL, NULL);
      io_stream_connection_set_mode (client, IO_STREAM_MODE_INPUT, NULL, NULL);
      exchange (client);
      if (i == 0)
        io_connection_close (IO_CONNECTION (client), NULL, NULL);
    }

  io_connection_hang_up (IO_CONNECTION (client));
  stream_util_settle ();
}

static gboolean
end_plan_cb (gpointer weak_stream)
{
  g_autoptr (IOStream) stream = g_weak_ref_get (weak_stream);

  if (stream != NULL)
    io_service_terminate (IO_SERVICE (stream));
  g_clear_object (&plan.client);
  g_clear_object (&plan.stream);

  return TRUE;
}

static int
run_plan (const char *place,
          Deed        deed)
{
  IOWorkLoop *loop = stream_util_new_loop ();
  GWeakRef weak_stream;

  memset (&plan, 0, sizeof plan);
  plan.place = place;
  plan.deed = deed;
  plan.stream = g_object_new (reentry_stream_get_type (),
                              "name", "reentry", "work-loop", loop,
                              "mode", IO_STREAM_MODE_INPUT_OUTPUT,
                              "buffer-count", N_BUFFERS, "data-size", (guint64) 5000,
                              "control-size", (guint64) 64, NULL);
  g_weak_ref_init (&weak_stream, plan.stream);
  io_service_register (IO_SERVICE (plan.stream), NULL);
  run_client (&weak_stream);
  stream_util_run (loop, end_plan_cb, &weak_stream);
  stream_util_shut_down (loop);

  g_assert_null (g_weak_ref_get (&weak_stream));
  g_weak_ref_clear (&weak_stream);
  stream_util_finish_loop (loop);
  g_assert_cmpint (plan.n_closed, ==, plan.n_opened);

  return plan.n_met;
}

static void
test_place (gconstpointer data)
{
  const char *place = data;
  guint n_fds;
  int n_met = 0;

  g_main_context_iteration (NULL, FALSE);
  n_fds = count_fds ();
  for (Deed deed = 0; deed < N_DEEDS; deed++)
    {
      g_test_message ("%s, deed %u", place, deed);
      n_met += run_plan (place, deed);
    }

  g_assert_cmpint (n_met, >, 0);
  g_assert_cmpuint (count_fds (), ==, n_fds);
}

/* The client's side, in this thread. */
typedef enum {
  CLIENT_HANG_UP,
  CLIENT_DROP,
  CLIENT_HANG_UP_AND_DROP,
  CLIENT_CLOSE,
  CLIENT_OPEN,
  CLIENT_START,
  CLIENT_STOP,
  CLIENT_TAKE,
  CLIENT_WAIT,
  CLIENT_FORGET_CALLBACK,
  CLIENT_TERMINATE_OWNER,
  CLIENT_ITERATE,
  N_CLIENT_DEEDS
} ClientDeed;

static const char * const client_places[] = {
  "output", "callback", "destroy", "disconnected", "notify-state", "notify-opened",
  "notify-connected", "notify-error", "notify-buffer-count"
};

static struct {
  const char         *place;
  ClientDeed          deed;
  IOStreamConnection *client;   /* the reference of the program */
  IOService          *service;
  gboolean            busy;
  gboolean            hung_up;
  int                 n_met;
  int                 n_disconnected;
  int                 n_destroyed;
} client_plan;

static void
do_client_deed (IOStreamConnection *client)
{
  switch (client_plan.deed)
    {
    case CLIENT_HANG_UP:
      client_plan.hung_up = TRUE;
      io_connection_hang_up (IO_CONNECTION (client));
      break;
    case CLIENT_DROP:
      g_clear_object (&client_plan.client);
      break;
    case CLIENT_HANG_UP_AND_DROP:
      client_plan.hung_up = TRUE;
      io_connection_hang_up (IO_CONNECTION (client));
      g_clear_object (&client_plan.client);
      break;
    case CLIENT_CLOSE:
      io_connection_close (IO_CONNECTION (client), NULL, NULL);
      break;
    case CLIENT_OPEN:
      io_connection_open (IO_CONNECTION (client), IO_STREAM_OPEN_NONE, NULL, NULL);
      break;
    case CLIENT_START:
      io_stream_connection_start (client, NULL, NULL);
      break;
    case CLIENT_STOP:
      io_stream_connection_stop (client, NULL, NULL);
      break;
    case CLIENT_TAKE:
      exchange (client);
      break;
    case CLIENT_WAIT:
      if (io_stream_connection_prepare_wait (client))
        io_stream_connection_finish_wait (client);
      io_stream_connection_wait (client, 0, NULL, NULL);
      break;
    case CLIENT_FORGET_CALLBACK:
      io_stream_connection_set_output_callback (client, NULL, NULL, NULL);
      break;
    case CLIENT_TERMINATE_OWNER:
      io_service_terminate (client_plan.service);
      break;
    case CLIENT_ITERATE:
      stream_util_settle ();
      break;
    case N_CLIENT_DEEDS:
      g_assert_not_reached ();
    }
}

static void
meet_client (const char *place,
             gpointer    client)
{
  if (client_plan.busy || client_plan.n_met == 9 || g_strcmp0 (place, client_plan.place) != 0)
    return;

  client_plan.busy = TRUE;
  client_plan.n_met++;
  do_client_deed (client);
  client_plan.busy = FALSE;
}

static void
output_available_cb (IOStreamConnection *client,
                     gpointer            user_data)
{
  meet_client ("output", client);
}

static void
disconnected_cb (IOConnection *client,
                 const GError *error,
                 gpointer      user_data)
{
  g_assert_false (client_plan.hung_up);
  client_plan.n_disconnected++;
  meet_client ("disconnected", client);
}

static void
notify_client_cb (GObject    *client,
                  GParamSpec *pspec,
                  gpointer    user_data)
{
  g_autofree char *place = g_strdup_printf ("notify-%s", pspec->name);

  meet_client (place, client);
}

/* What a callback is told must stand as long as it runs. */
static void
output_cb (IOStreamConnection *client,
           gpointer            user_data)
{
  int n_destroyed = client_plan.n_destroyed;

  meet_client ("callback", client);
  g_assert_cmpint (client_plan.n_destroyed, ==, n_destroyed);
}

static void
output_destroy_cb (gpointer user_data)
{
  client_plan.n_destroyed++;
  if (client_plan.client != NULL)
    meet_client ("destroy", client_plan.client);
}

static void
run_client_plan (IOStream *stream)
{
  GObject *client = G_OBJECT (stream_util_connect (stream, NULL));

  client_plan.client = IO_STREAM_CONNECTION (client);
  g_object_add_weak_pointer (client, (gpointer *) &client);
  g_signal_connect (client, "output-available", G_CALLBACK (output_available_cb), NULL);
  g_signal_connect (client, "disconnected", G_CALLBACK (disconnected_cb), NULL);
  g_signal_connect (client, "notify", G_CALLBACK (notify_client_cb), NULL);
  io_stream_connection_set_output_callback (client_plan.client, output_cb, NULL, output_destroy_cb);

  io_connection_open (IO_CONNECTION (client), IO_STREAM_OPEN_NONE, NULL, NULL);
  stream_util_settle ();
  if (client != NULL)
    io_stream_connection_start (IO_STREAM_CONNECTION (client), NULL, NULL);
  stream_util_settle ();
  send_one (stream);
  stream_util_settle ();
  send_one (stream);
  if (client != NULL)
    io_stream_connection_set_output_callback (IO_STREAM_CONNECTION (client), output_cb, NULL,
                                              output_destroy_cb);
  io_service_terminate (IO_SERVICE (stream));
  stream_util_settle ();

  if (client != NULL && !client_plan.hung_up)
    g_assert_cmpint (client_plan.n_disconnected, ==, 1);
  g_clear_object (&client_plan.client);
  g_assert_null (client);
}

static void
test_client_place (gconstpointer data)
{
  const char *place = data;
  guint n_fds;
  int n_met = 0;

  g_main_context_iteration (NULL, FALSE);
  n_fds = count_fds ();
  for (ClientDeed deed = 0; deed < N_CLIENT_DEEDS; deed++)
    {
      IOWorkLoop *loop = stream_util_new_loop ();
      IOStream *stream = g_object_new (IO_TYPE_STREAM, "name", "reentry", "work-loop", loop,
                                       "buffer-count", N_BUFFERS, "data-size", (guint64) 5000, NULL);

      g_test_message ("%s, deed %u", place, deed);
      memset (&client_plan, 0, sizeof client_plan);
      client_plan.place = place;
      client_plan.deed = deed;
      client_plan.service = IO_SERVICE (stream);
      io_service_register (IO_SERVICE (stream), NULL);
      run_client_plan (stream);
      n_met += client_plan.n_met;

      stream_util_shut_down (loop);
      g_assert_finalize_object (stream);
      stream_util_finish_loop (loop);
    }

  g_assert_cmpint (n_met, >, 0);
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
  for (guint i = 0; i < G_N_ELEMENTS (places); i++)
    {
      g_autofree char *path = g_strdup_printf ("/stream-reentry/owner/%s", places[i]);

      g_test_add_data_func (path, places[i], test_place);
    }
  for (guint i = 0; i < G_N_ELEMENTS (client_places); i++)
    {
      g_autofree char *path = g_strdup_printf ("/stream-reentry/client/%s", client_places[i]);

      g_test_add_data_func (path, client_places[i], test_client_place);
    }
  result = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return result;
}
