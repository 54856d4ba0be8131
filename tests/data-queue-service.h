/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "data-queue-util.h"
#include "libiostream/io-connection.h"
#include "libiostream/io-service.h"
#include "libiostream/io-user-client.h"

/* A service whose clients get queues: type 0, the client consumes; type 1, the
 * client produces. */

#define CAPACITY  4096

typedef struct {
  IOUserClient parent_instance;
} QueueClient;
typedef struct {
  IOUserClientClass parent_class;
} QueueClientClass;
typedef struct {
  IOService   parent_instance;
  GHashTable *clients;     /* any number of them have it open */
} QueueService;
typedef struct {
  IOServiceClass parent_class;
} QueueServiceClass;

GType queue_client_get_type (void);
GType queue_service_get_type (void);

G_DEFINE_TYPE (QueueClient, queue_client, IO_TYPE_USER_CLIENT)
G_DEFINE_TYPE (QueueService, queue_service, IO_TYPE_SERVICE)

/* The one that was made last. */
static IOSharedDataQueue *last_queue;

static IOSharedDataQueue *
queue_client_client_queue_for_type (IOUserClient  *client,
                                    guint          type,
                                    GError       **error)
{
  if (type == 7)
    return NULL;
  if (type == 8 && last_queue != NULL)
    return g_object_ref (last_queue);
  if (type > 1)
    return IO_USER_CLIENT_CLASS (queue_client_parent_class)->client_queue_for_type (client, type, error);

  g_clear_object (&last_queue);
  last_queue = io_shared_data_queue_new_with_capacity (type == 0 ? IO_SHARED_DATA_QUEUE_PRODUCER
                                                                 : IO_SHARED_DATA_QUEUE_CONSUMER,
                                                       CAPACITY, error);

  return last_queue != NULL ? g_object_ref (last_queue) : NULL;
}

static void
queue_client_class_init (QueueClientClass *klass)
{
  IO_USER_CLIENT_CLASS (klass)->client_queue_for_type = queue_client_client_queue_for_type;
}

static void
queue_client_init (QueueClient *self)
{
}

static IOUserClient *
queue_service_new_user_client (IOService  *service,
                               GVariant   *options,
                               GError    **error)
{
  return g_object_new (queue_client_get_type (), NULL);
}

static gboolean
queue_service_handle_open (IOService     *service,
                           IOUserClient  *client,
                           guint          options,
                           GError       **error)
{
  return g_hash_table_add (((QueueService *) service)->clients, client);
}

static void
queue_service_handle_close (IOService    *service,
                            IOUserClient *client,
                            guint         options)
{
  g_hash_table_remove (((QueueService *) service)->clients, client);
}

static gboolean
queue_service_handle_is_open (IOService    *service,
                              IOUserClient *client)
{
  GHashTable *clients = ((QueueService *) service)->clients;

  return client != NULL ? g_hash_table_contains (clients, client) : g_hash_table_size (clients) > 0;
}

static void
queue_service_finalize (GObject *object)
{
  g_hash_table_unref (((QueueService *) object)->clients);

  G_OBJECT_CLASS (queue_service_parent_class)->finalize (object);
}

static void
queue_service_class_init (QueueServiceClass *klass)
{
  IOServiceClass *service_class = IO_SERVICE_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = queue_service_finalize;
  service_class->new_user_client = queue_service_new_user_client;
  service_class->handle_open = queue_service_handle_open;
  service_class->handle_close = queue_service_handle_close;
  service_class->handle_is_open = queue_service_handle_is_open;
}

static void
queue_service_init (QueueService *self)
{
  self->clients = g_hash_table_new (NULL, NULL);
}

static inline IOService *
new_queue_service (void)
{
  IOService *service = g_object_new (queue_service_get_type (), "name", "queues", NULL);
  g_autoptr (GError) error = NULL;

  io_service_register (service, &error);
  g_assert_no_error (error);

  return service;
}

static inline void
finish_service (IOService *service)
{
  io_service_terminate (service);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_clear_object (&last_queue);
  g_assert_finalize_object (service);
}
