/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A service with methods of every kind, as its clients and the tests of them
 * know it. */

#pragma once

#include <libiostream/iostream.h>

#include <string.h>

/* With scalars and a struct. */
enum {
  METHOD_ECHO,         /* gives back what it gets, also asynchronously */
  METHOD_SUM,          /* 2 scalars -> 1 */
  METHOD_EMPTY,        /* no function */
  METHOD_FAIL,         /* DEVICE_ERROR */
  METHOD_FAIL_SILENTLY,
  METHOD_KEEP,         /* asynchronously: keeps the action */
  METHOD_TERMINATE,    /* ends the connection */
  METHOD_LENGTH,       /* size of the struct -> 1 scalar; at most 16 of 1 byte back */
  METHOD_COMPLETE_AND_FAIL,
  N_METHODS
};

/* Typed. */
enum {
  TYPED_ECHO,
  TYPED_KEEP,
  TYPED_FAIL,
  TYPED_NOTHING,       /* no value and no error */
  TYPED_TERMINATE
};

#define METHODS_TYPE_CLIENT (methods_client_get_type ())
G_DECLARE_FINAL_TYPE (MethodsClient, methods_client, METHODS, CLIENT, IOUserClient)

#define METHODS_TYPE_SERVICE (methods_service_get_type ())
G_DECLARE_FINAL_TYPE (MethodsService, methods_service, METHODS, SERVICE, IOService)

struct _MethodsClient {
  IOUserClient parent_instance;

  IONotificationPort *port;
};

struct _MethodsService {
  IOService           parent_instance;

  gboolean            read_only;
  guint64             max_bytes;
  IOMemoryDescriptor *memory;
  GPtrArray          *kept;       /* of IOAction */
  gint                n_calls;
  gint                n_closed;
  gint                n_died;
  gint                n_aborted;
  gint                n_traps;
  guint32             last_token;
  guint64             last_reference;
};

G_DEFINE_FINAL_TYPE (MethodsClient, methods_client, IO_TYPE_USER_CLIENT)
G_DEFINE_FINAL_TYPE (MethodsService, methods_service, IO_TYPE_SERVICE)

static inline MethodsService *
methods_get_service (IOUserClient *client)
{
  return METHODS_SERVICE (io_user_client_get_service (client));
}

static void
methods_aborted_cb (IOAction       *action,
                    MethodsService *service)
{
  g_assert_true (io_action_is_cancelled (action));
  g_assert_false (io_action_is_completed (action));
  g_atomic_int_inc (&service->n_aborted);
}

static inline void
methods_keep (MethodsService *service,
              IOAction       *action)
{
  g_signal_connect_object (action, "aborted", G_CALLBACK (methods_aborted_cb), service, 0);
  g_ptr_array_add (service->kept, g_object_ref (action));
}

static gboolean
methods_echo (IOUserClient               *client,
              IOExternalMethodArguments  *arguments,
              GError                    **error)
{
  IOAction *action = io_external_method_arguments_get_completion (arguments);
  GBytes *structure = io_external_method_arguments_get_structure_input (arguments);
  guint n;
  const guint64 *scalars = io_external_method_arguments_get_scalar_input (arguments, &n);

  g_atomic_int_inc (&methods_get_service (client)->n_calls);
  if (action != NULL)
    return io_action_complete (action, scalars, n, structure, error);

  io_external_method_arguments_set_scalar_output (arguments, scalars, n);
  io_external_method_arguments_set_structure_output (arguments, structure);
  return TRUE;
}

static gboolean
methods_sum (IOUserClient               *client,
             IOExternalMethodArguments  *arguments,
             GError                    **error)
{
  const guint64 *scalars = io_external_method_arguments_get_scalar_input (arguments, NULL);
  guint64 sum = scalars[0] + scalars[1];

  g_assert_cmpuint (io_external_method_arguments_get_selector (arguments), ==, METHOD_SUM);
  g_assert_cmpuint (io_external_method_arguments_get_scalar_output_count (arguments), >=, 1);
  io_external_method_arguments_set_scalar_output (arguments, &sum, 1);
  return TRUE;
}

static gboolean
methods_fail (IOUserClient               *client,
              IOExternalMethodArguments  *arguments,
              GError                    **error)
{
  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_DEVICE_ERROR, "The lens is dirty");
  return FALSE;
}

static gboolean
methods_fail_silently (IOUserClient               *client,
                       IOExternalMethodArguments  *arguments,
                       GError                    **error)
{
  return FALSE;
}

static gboolean
methods_keep_action (IOUserClient               *client,
                     IOExternalMethodArguments  *arguments,
                     GError                    **error)
{
  IOAction *action = io_external_method_arguments_get_completion (arguments);

  g_assert_true (io_action_get_client (action) == client);
  methods_keep (methods_get_service (client), action);
  return TRUE;
}

static gboolean
methods_terminate (IOUserClient               *client,
                   IOExternalMethodArguments  *arguments,
                   GError                    **error)
{
  io_user_client_terminate (client, NULL);
  return TRUE;
}

static gboolean
methods_length (IOUserClient               *client,
                IOExternalMethodArguments  *arguments,
                GError                    **error)
{
  guint64 length = g_bytes_get_size (io_external_method_arguments_get_structure_input (arguments));

  io_external_method_arguments_set_scalar_output (arguments, &length, 1);
  return TRUE;
}

static gboolean
methods_complete_and_fail (IOUserClient               *client,
                           IOExternalMethodArguments  *arguments,
                           GError                    **error)
{
  IOAction *action = io_external_method_arguments_get_completion (arguments);

  g_assert_true (io_action_complete (action, NULL, 0, NULL, error));
  g_assert_true (io_action_is_completed (action));
  return methods_fail (client, arguments, error);
}

#define ANY IO_EXTERNAL_METHOD_VARIABLE

static const IOExternalMethodDispatch methods_table[N_METHODS] = {
  [METHOD_ECHO] = { methods_echo, ANY, ANY, ANY, ANY, TRUE },
  [METHOD_SUM] = { methods_sum, 2, 0, 1, 0, FALSE },
  [METHOD_EMPTY] = { NULL, ANY, ANY, ANY, ANY, TRUE },
  [METHOD_FAIL] = { methods_fail, ANY, ANY, ANY, ANY, TRUE },
  [METHOD_FAIL_SILENTLY] = { methods_fail_silently, ANY, ANY, ANY, ANY, TRUE },
  [METHOD_KEEP] = { methods_keep_action, ANY, ANY, ANY, ANY, TRUE },
  [METHOD_TERMINATE] = { methods_terminate, ANY, ANY, ANY, ANY, TRUE },
  [METHOD_LENGTH] = { methods_length, 0, ANY, 1, 0, FALSE },
  [METHOD_COMPLETE_AND_FAIL] = { methods_complete_and_fail, ANY, ANY, ANY, ANY, TRUE },
};

static GVariant *
methods_typed_cb (IOService     *service,
                  IOUserClient  *client,
                  guint          selector,
                  GVariant      *parameters,
                  IOAction      *action,
                  gpointer       user_data,
                  GError       **error)
{
  MethodsService *self = METHODS_SERVICE (service);

  g_atomic_int_inc (&self->n_calls);
  switch (selector)
    {
    case TYPED_ECHO:
      return g_variant_ref (parameters);
    case TYPED_KEEP:
      if (action != NULL)
        methods_keep (self, action);
      return NULL;
    case TYPED_FAIL:
      methods_fail (client, NULL, error);
      return NULL;
    case TYPED_TERMINATE:
      io_user_client_terminate (client, NULL);
      return g_variant_new_uint32 (1);
    default:
      return NULL;
    }
}

static void
methods_client_client_close (IOUserClient *client)
{
  g_atomic_int_inc (&methods_get_service (client)->n_closed);
}

static void
methods_client_client_died (IOUserClient *client)
{
  g_atomic_int_inc (&methods_get_service (client)->n_died);
}

static IOMemoryDescriptor *
methods_client_client_memory_for_type (IOUserClient      *client,
                                       guint              type,
                                       IOMemoryMapFlags  *flags,
                                       GError           **error)
{
  MethodsService *service = methods_get_service (client);

  if (type <= 1 && service->memory != NULL)
    {
      *flags = type == 1 ? IO_MEMORY_MAP_READ_ONLY : IO_MEMORY_MAP_NONE;
      return g_object_ref (service->memory);
    }
  /* A new one each time. */
  if (type == 2)
    return IO_MEMORY_DESCRIPTOR (io_buffer_memory_descriptor_new (100, IO_STREAM_PEER_ACCESS_READ, error));

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND, "There is no memory %u", type);
  return NULL;
}

static gboolean
methods_client_trap (IOUserClient  *client,
                     guint          index,
                     guint32        token,
                     GError       **error)
{
  MethodsService *service = methods_get_service (client);

  if (index > 1)
    return IO_USER_CLIENT_CLASS (methods_client_parent_class)->trap (client, index, token, error);

  service->last_token = token;
  g_atomic_int_inc (&service->n_traps);
  return index == 0;
}

static gboolean
methods_client_register_notification_port (IOUserClient        *client,
                                           IONotificationPort  *port,
                                           guint                type,
                                           guint64              reference,
                                           GError             **error)
{
  if (type >= 1000)
    return IO_USER_CLIENT_CLASS (methods_client_parent_class)->register_notification_port (client, port, type,
                                                                                           reference, error);
  if (type == 999)
    io_user_client_terminate (client, NULL);
  else
    {
      methods_get_service (client)->last_reference = reference;
      g_set_object (&METHODS_CLIENT (client)->port, port);
    }
  return TRUE;
}

static void
methods_client_dispose (GObject *object)
{
  g_clear_object (&METHODS_CLIENT (object)->port);
  G_OBJECT_CLASS (methods_client_parent_class)->dispose (object);
}

static void
methods_client_class_init (MethodsClientClass *klass)
{
  IOUserClientClass *client_class = IO_USER_CLIENT_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = methods_client_dispose;
  client_class->client_close = methods_client_client_close;
  client_class->client_died = methods_client_client_died;
  client_class->client_memory_for_type = methods_client_client_memory_for_type;
  client_class->trap = methods_client_trap;
  client_class->register_notification_port = methods_client_register_notification_port;
  io_user_client_class_set_dispatch (client_class, methods_table, N_METHODS);
}

static void
methods_client_init (MethodsClient *self)
{
}

static IOUserClient *
methods_service_new_user_client (IOService  *service,
                                 GVariant   *properties,
                                 GError    **error)
{
  MethodsService *self = METHODS_SERVICE (service);
  IOUserClient *client = g_object_new (METHODS_TYPE_CLIENT, NULL);

  io_user_client_set_read_only (client, self->read_only);
  if (self->max_bytes > 0)
    io_user_client_set_limits (client, 1, self->max_bytes);

  return client;
}

static void
methods_service_dispose (GObject *object)
{
  MethodsService *self = METHODS_SERVICE (object);

  g_clear_pointer (&self->kept, g_ptr_array_unref);
  g_clear_object (&self->memory);
  G_OBJECT_CLASS (methods_service_parent_class)->dispose (object);
}

static void
methods_service_class_init (MethodsServiceClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = methods_service_dispose;
  IO_SERVICE_CLASS (klass)->new_user_client = methods_service_new_user_client;
}

static void
methods_service_init (MethodsService *self)
{
  self->kept = g_ptr_array_new_with_free_func (g_object_unref);
  for (guint selector = TYPED_ECHO; selector <= TYPED_TERMINATE; selector++)
    io_service_add_method (IO_SERVICE (self), selector, methods_typed_cb, NULL, NULL);
}

static inline MethodsService *
methods_new_registered (const char *name,
                        IOWorkLoop *loop)
{
  MethodsService *service = g_object_new (METHODS_TYPE_SERVICE, "name", name, "work-loop", loop, NULL);
  g_autoptr (GError) error = NULL;

  io_service_register (IO_SERVICE (service), &error);
  g_assert_no_error (error);

  return service;
}

static inline GBytes *
methods_new_bytes (gsize size)
{
  guint8 *bytes = g_malloc (size);

  for (gsize i = 0; i < size; i++)
    bytes[i] = (guint8) (i * 7 + i / 251);

  return g_bytes_new_take (bytes, size);
}

/* What an asynchronous call brought. */
typedef struct {
  gboolean  done;
  guint     n_progress;
  guint32   last_progress;
  guint     n_destroyed;
  guint64  *scalars;
  guint     n_scalars;
  GBytes   *structure;
  GVariant *value;
  GError   *error;
} MethodsAnswer;

static inline void
methods_answer_clear (MethodsAnswer *answer)
{
  g_clear_pointer (&answer->scalars, g_free);
  g_clear_pointer (&answer->structure, g_bytes_unref);
  g_clear_pointer (&answer->value, g_variant_unref);
  g_clear_error (&answer->error);
  memset (answer, 0, sizeof *answer);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (MethodsAnswer, methods_answer_clear)

static void
methods_progress_cb (IOConnection *connection,
                     GVariant     *progress,
                     gpointer      user_data)
{
  MethodsAnswer *answer = user_data;

  g_assert_false (answer->done);
  answer->n_progress++;
  if (g_variant_is_of_type (progress, G_VARIANT_TYPE_UINT32))
    {
      g_assert_cmpuint (g_variant_get_uint32 (progress), >, answer->last_progress);
      answer->last_progress = g_variant_get_uint32 (progress);
    }
}

static void
methods_destroyed_cb (gpointer user_data)
{
  ((MethodsAnswer *) user_data)->n_destroyed++;
}

static void
methods_struct_cb (GObject      *source,
                   GAsyncResult *result,
                   gpointer      user_data)
{
  MethodsAnswer *answer = user_data;

  g_assert_false (answer->done);
  answer->done = TRUE;
  io_connection_call_method_finish (IO_CONNECTION (source), result, &answer->scalars, &answer->n_scalars,
                                    &answer->structure, &answer->error);
}

static void
methods_value_cb (GObject      *source,
                  GAsyncResult *result,
                  gpointer      user_data)
{
  MethodsAnswer *answer = user_data;

  g_assert_false (answer->done);
  answer->done = TRUE;
  answer->value = io_connection_call_finish (IO_CONNECTION (source), result, &answer->error);
}

static inline void
methods_start (IOConnection  *connection,
               guint          selector,
               const guint64 *scalars,
               guint          n_scalars,
               GBytes        *structure,
               GCancellable  *cancellable,
               MethodsAnswer *answer)
{
  io_connection_call_method_async (connection, selector, scalars, n_scalars, structure, ANY, ANY,
                                   methods_progress_cb, answer, methods_destroyed_cb, cancellable,
                                   methods_struct_cb, answer);
}

static inline void
methods_start_typed (IOConnection  *connection,
                     guint          selector,
                     GVariant      *parameters,
                     GCancellable  *cancellable,
                     MethodsAnswer *answer)
{
  io_connection_call_async (connection, selector, parameters, NULL, methods_progress_cb, answer,
                            methods_destroyed_cb, cancellable, methods_value_cb, answer);
}

static inline void
methods_finish (MethodsAnswer *answer)
{
  while (!answer->done)
    g_main_context_iteration (NULL, TRUE);
}
