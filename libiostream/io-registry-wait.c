/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-registry.h"

#include "io-matching.h"
#include "io-registry-private.h"
#include "io-names-private.h"

/* The two ways to ask the registry without keeping it: once, and until there
 * is something. */

/**
 * io_registry_list_services:
 * @matching: (nullable): which services to tell, %NULL for all; a floating one
 *   is consumed
 * @error: return location for an error
 *
 * Looks once, and tells the services that satisfy @matching now.
 *
 * Fails with %IO_STREAM_ERROR_BAD_ARGUMENT if io_matching_check() refuses
 * @matching, and with %IO_STREAM_ERROR_NOT_PERMITTED if the runtime directory
 * cannot be read. If it does not exist, there are no services.
 *
 * Any thread. Apple: IOServiceGetMatchingServices,
 * IOService::getMatchingServices.
 *
 * Returns: (transfer container) (element-type IORegistryEntry): the services, in the
 *   order in which they were registered, or %NULL
 * Since: 1.0
 */
GPtrArray *
io_registry_list_services (GVariant  *matching,
                           GError   **error)
{
  g_autoptr (GVariant) owned = matching != NULL ? g_variant_ref_sink (matching) : NULL;
  g_autofree char *directory = _io_names_dup_directory ();
  g_autoptr (GPtrArray) services = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GPtrArray) names = NULL;

  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!io_matching_check (owned, error))
    return NULL;
  names = _io_names_scan (directory, error);
  if (names == NULL)
    return NULL;

  for (guint i = 0; i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);
      g_autoptr (IORecord) record = NULL;

      _io_names_look (directory, name, &record);
      if (record != NULL && _io_matching_is_satisfied (owned, name, record))
        g_ptr_array_add (services, _io_registry_entry_new (name, record));
    }

  g_ptr_array_sort (services, _io_registry_entry_compare);
  return g_steal_pointer (&services);
}

typedef struct {
  IORegistry *registry;
  GSource    *timeout;
  GSource    *cancelled;
  gulong      handler;
} Wait;

static void
clear_source (GSource **source)
{
  if (*source == NULL)
    return;

  g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

static void
wait_free (gpointer data)
{
  Wait *self = data;

  clear_source (&self->timeout);
  clear_source (&self->cancelled);
  g_clear_signal_handler (&self->handler, self->registry);
  g_clear_object (&self->registry);
  g_free (self);
}

/* The end of the wait; the sources and the handler hold no reference, so that
 * of the task goes here. */
static void
wait_end (GTask           *task,
          IORegistryEntry *entry,
          GError          *error)
{
  Wait *self = g_task_get_task_data (task);

  clear_source (&self->timeout);
  clear_source (&self->cancelled);
  g_clear_signal_handler (&self->handler, self->registry);

  if (entry != NULL)
    g_task_return_pointer (task, g_object_ref (entry), g_object_unref);
  else
    g_task_return_error (task, error);
  g_object_unref (task);
}

static void
matched_cb (IORegistry      *registry,
            IORegistryEntry *entry,
            gpointer         user_data)
{
  wait_end (user_data, entry, NULL);
}

static GError *
new_timeout_error (void)
{
  return g_error_new_literal (IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT,
                              "Cannot wait for a service: none that matches came in time");
}

static gboolean
timeout_cb (gpointer user_data)
{
  wait_end (user_data, NULL, new_timeout_error ());
  return G_SOURCE_REMOVE;
}

static gboolean
cancelled_cb (GCancellable *cancellable,
              gpointer      user_data)
{
  GError *error = NULL;

  if (g_cancellable_set_error_if_cancelled (cancellable, &error))
    wait_end (user_data, NULL, error);
  return G_SOURCE_REMOVE;
}

static void
wait_start (GTask  *task,
            gint64  timeout)
{
  Wait *self = g_task_get_task_data (task);
  GCancellable *cancellable = g_task_get_cancellable (task);
  gint64 now = g_get_monotonic_time ();

  self->handler = g_signal_connect (self->registry, "matched", G_CALLBACK (matched_cb), task);
  if (timeout >= 0 && timeout <= G_MAXINT64 - now)
    {
      self->timeout = g_timeout_source_new (0);
      g_source_set_ready_time (self->timeout, now + timeout);
      g_source_set_callback (self->timeout, timeout_cb, task, NULL);
      g_source_attach (self->timeout, g_task_get_context (task));
    }
  if (cancellable != NULL)
    {
      self->cancelled = g_cancellable_source_new (cancellable);
      g_source_set_callback (self->cancelled, G_SOURCE_FUNC (cancelled_cb), task, NULL);
      g_source_attach (self->cancelled, g_task_get_context (task));
    }
}

/**
 * io_registry_wait_for_service_async:
 * @matching: (nullable): which service, %NULL for any; a floating one is
 *   consumed
 * @timeout: how long to wait, in microseconds; negative: for ever
 * @cancellable: (nullable): a cancellable
 * @callback: called in the thread-default main context when it is over
 * @user_data: for @callback
 *
 * Waits for a service that satisfies @matching. One that exists ends the wait at
 * once.
 *
 * Any thread.
 *
 * Since: 1.0
 */
void
io_registry_wait_for_service_async (GVariant            *matching,
                                    gint64               timeout,
                                    GCancellable        *cancellable,
                                    GAsyncReadyCallback  callback,
                                    gpointer             user_data)
{
  g_autoptr (GTask) task = NULL;
  g_autoptr (GPtrArray) services = NULL;
  GError *error = NULL;
  Wait *self;

  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (NULL, cancellable, callback, user_data);
  g_task_set_source_tag (task, io_registry_wait_for_service_async);
  self = g_new0 (Wait, 1);
  g_task_set_task_data (task, self, wait_free);

  self->registry = io_registry_new (matching, &error);
  if (self->registry == NULL || g_cancellable_set_error_if_cancelled (cancellable, &error))
    {
      g_task_return_error (task, error);
      return;
    }

  services = io_registry_get_services (self->registry);
  if (services->len > 0)
    g_task_return_pointer (task, g_object_ref (g_ptr_array_index (services, 0)), g_object_unref);
  else if (timeout == 0)
    g_task_return_error (task, new_timeout_error ());
  else
    wait_start (g_steal_pointer (&task), timeout);
}

/**
 * io_registry_wait_for_service_finish:
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Ends io_registry_wait_for_service_async(), and fails as
 * io_registry_wait_for_service() does. In the thread of the callback.
 *
 * Returns: (transfer full): the service, or %NULL
 * Since: 1.0
 */
IORegistryEntry *
io_registry_wait_for_service_finish (GAsyncResult  *result,
                                     GError       **error)
{
  g_return_val_if_fail (g_task_is_valid (result, NULL), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

static void
waited_cb (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

/**
 * io_registry_wait_for_service:
 * @matching: (nullable): which service, %NULL for any; a floating one is
 *   consumed
 * @timeout: how long to wait, in microseconds; negative: for ever
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Waits for a service that satisfies @matching, and returns the oldest one if
 * there are some already. The main context of the caller is not served
 * meanwhile: a service that the calling thread is to register does not come.
 *
 * Fails with %IO_STREAM_ERROR_TIMEOUT if none came in time, with
 * %G_IO_ERROR_CANCELLED, and as io_registry_new() does.
 *
 * Any thread. Apple: IOService::waitForMatchingService,
 * IOServiceGetMatchingService.
 *
 * Returns: (transfer full): the service, or %NULL
 * Since: 1.0
 */
IORegistryEntry *
io_registry_wait_for_service (GVariant      *matching,
                              gint64         timeout,
                              GCancellable  *cancellable,
                              GError       **error)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GAsyncResult) result = NULL;

  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  g_main_context_push_thread_default (context);
  io_registry_wait_for_service_async (matching, timeout, cancellable, waited_cb, &result);
  while (result == NULL)
    g_main_context_iteration (context, TRUE);
  g_main_context_pop_thread_default (context);

  return io_registry_wait_for_service_finish (result, error);
}
