/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* data-queue [NAME]: an owner that sends each client the lines of a log. A slow
 * client holds nobody up: it is told how many lines found no room.
 *
 * data-queue --follow NAME COUNT: the other side. Prints the first COUNT. */

#include <libiostream/iostream.h>

#include <locale.h>
#include <string.h>

typedef struct {
  IOUserClient       parent_instance;
  IOSharedDataQueue *queue;
  guint              timer, n_lines, n_lost;
} LogClient;

typedef IOUserClientClass LogClientClass;
typedef IOService         LogService;
typedef IOServiceClass    LogServiceClass;

static GType log_client_get_type (void);
static GType log_service_get_type (void);

G_DEFINE_TYPE (LogClient, log_client, IO_TYPE_USER_CLIENT)
G_DEFINE_TYPE (LogService, log_service, IO_TYPE_SERVICE)

static void
space_available_cb (IOSharedDataQueue *queue,
                    LogClient         *self)
{
  g_autofree char *line = g_strdup_printf ("(%u lines lost)", self->n_lost);

  if (self->n_lost > 0 && io_shared_data_queue_enqueue (queue, line, strlen (line), NULL))
    self->n_lost = 0;
}

static gboolean
tick_cb (gpointer user_data)
{
  LogClient *self = user_data;
  g_autofree char *line = g_strdup_printf ("line %u", ++self->n_lines);

  if (self->n_lost > 0 || !io_shared_data_queue_enqueue (self->queue, line, strlen (line), NULL))
    self->n_lost++;

  return G_SOURCE_CONTINUE;
}

static void
log_client_close (IOUserClient *client)
{
  LogClient *self = (LogClient *) client;

  g_clear_handle_id (&self->timer, g_source_remove);
  if (self->queue != NULL)
    io_shared_data_queue_detach (self->queue);
  g_clear_object (&self->queue);
}

static IOSharedDataQueue *
log_client_queue_for_type (IOUserClient  *client,
                           guint          type,
                           GError       **error)
{
  LogClient *self = (LogClient *) client;

  log_client_close (client);
  self->queue = io_shared_data_queue_new_with_capacity (IO_SHARED_DATA_QUEUE_PRODUCER, 4096, error);
  if (self->queue == NULL)
    return NULL;

  g_signal_connect (self->queue, "space-available", G_CALLBACK (space_available_cb), self);
  io_shared_data_queue_attach (self->queue);
  self->timer = g_timeout_add (2, tick_cb, self);

  return g_object_ref (self->queue);
}

static void
log_client_class_init (LogClientClass *klass)
{
  klass->client_queue_for_type = log_client_queue_for_type;
  klass->client_close = log_client_close;
}

static void log_client_init (LogClient *self) {}

static IOUserClient *
log_service_new_user_client (IOService  *service,
                             GVariant   *options,
                             GError    **error)
{
  return g_object_new (log_client_get_type (), NULL);
}

static void
log_service_class_init (LogServiceClass *klass)
{
  klass->new_user_client = log_service_new_user_client;
}

static void log_service_init (LogService *self) {}

static gboolean
follow (const char  *name,
        guint        count,
        GError     **error)
{
  g_autoptr (IOConnection) connection = io_connection_new_for_name (name, NULL, error);
  g_autoptr (IOSharedDataQueue) queue = NULL;
  const void *line;
  gsize size;

  if (connection == NULL || !io_connection_open (connection, 0, NULL, error))
    return FALSE;
  queue = io_connection_get_data_queue (connection, 0, NULL, error);

  while (queue != NULL && count > 0 && io_shared_data_queue_wait_data (queue, -1, NULL, error))
    for (; count > 0 && io_shared_data_queue_peek (queue, &line, &size); count--)
      {
        g_print ("%.*s\n", (int) size, (const char *) line);
        io_shared_data_queue_consume (queue);
      }

  return count == 0;
}

int
main (int    argc,
      char **argv)
{
  g_autoptr (IOService) service = NULL;
  g_autoptr (GError) error = NULL;

  setlocale (LC_ALL, "");
  if (argc == 4 && strcmp (argv[1], "--follow") == 0)
    follow (argv[2], (guint) g_ascii_strtoull (argv[3], NULL, 10), &error);
  else
    {
      service = g_object_new (log_service_get_type (), "name", argc > 1 ? argv[1] : "log", NULL);
      if (io_service_register (service, &error))
        g_main_loop_run (g_main_loop_new (NULL, FALSE));
    }

  if (error != NULL)
    g_printerr ("data-queue: %s\n", error->message);
  return error != NULL;
}
