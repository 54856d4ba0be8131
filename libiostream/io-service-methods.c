/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-service-methods-private.h"

/**
 * SECTION:io-service-methods
 * @title: Methods of a service
 * @short_description: Typed methods without a class for them
 * @see_also: #IOService, #IOConnection, #IOAction
 *
 * The least that it takes to let clients call something: a function for each
 * number. It gets one #GVariant and gives one, or takes the #IOAction of an
 * asynchronous call and answers later.
 *
 * # Life cycle #
 *
 * Methods are best added before the service is registered. They stay until they
 * are removed, or the service goes.
 *
 * # Ownership #
 *
 * The service owns the function's data until then, and beyond it while the
 * function runs.
 *
 * # Threads #
 *
 * Functions are called in the thread of the service; there they are added and
 * removed too.
 *
 * # Failure #
 *
 * The client gets the error that a function sets. Parameters have the type that
 * the client chose, which is one more thing for the function to refuse.
 *
 * Apple has nothing of the kind.
 */

typedef struct {
  IOServiceMethodFunc func;
  gpointer            user_data;
  GDestroyNotify      destroy;
} Method;

static GQuark
methods_quark (void)
{
  static GQuark quark;

  if (quark == 0)
    quark = g_quark_from_static_string ("io-service-methods");

  return quark;
}

static void
method_clear (gpointer data)
{
  Method *method = data;

  if (method->destroy != NULL)
    method->destroy (method->user_data);
}

static void
method_unref (gpointer data)
{
  g_atomic_rc_box_release_full (data, method_clear);
}

static GHashTable *
get_methods (IOService *self)
{
  return g_object_get_qdata (G_OBJECT (self), methods_quark ());
}

GVariant *
_io_service_run_method (IOService     *self,
                        IOUserClient  *client,
                        guint          selector,
                        GVariant      *parameters,
                        IOAction      *action,
                        GError       **error)
{
  GHashTable *methods = self != NULL ? get_methods (self) : NULL;
  Method *method = NULL;
  GVariant *result;

  if (methods != NULL)
    method = g_hash_table_lookup (methods, GUINT_TO_POINTER (selector));
  if (method == NULL)
    {
      gboolean none = methods == NULL || g_hash_table_size (methods) == 0;

      g_set_error (error, IO_STREAM_ERROR,
                   none ? IO_STREAM_ERROR_UNSUPPORTED : IO_STREAM_ERROR_BAD_ARGUMENT,
                   none ? "Cannot call method %u: %s has no methods"
                        : "Cannot call method %u: %s does not have it", selector,
                   self != NULL ? G_OBJECT_TYPE_NAME (self) : G_OBJECT_TYPE_NAME (client));
      return NULL;
    }

  /* It may remove itself. */
  g_atomic_rc_box_acquire (method);
  result = method->func (self, client, selector, parameters, action, method->user_data, error);
  method_unref (method);

  return result;
}

/**
 * io_service_add_method:
 * @self: a service
 * @selector: the number of the method
 * @func: (scope notified) (closure user_data) (destroy destroy): what to call
 * @user_data: data for @func
 * @destroy: (nullable): frees @user_data
 *
 * Adds a method that clients call with io_connection_call() or
 * io_connection_call_async(), without a class of user clients for it. One that
 * was there with this number is replaced.
 *
 * It is the default #IOUserClientClass.method() that calls it. A call of a
 * number that is not there fails with %IO_STREAM_ERROR_BAD_ARGUMENT, or with
 * %IO_STREAM_ERROR_UNSUPPORTED if there are none at all.
 *
 * In the thread of the service. Apple: none.
 *
 * Since: 1.0
 */
void
io_service_add_method (IOService           *self,
                       guint                selector,
                       IOServiceMethodFunc  func,
                       gpointer             user_data,
                       GDestroyNotify       destroy)
{
  GHashTable *methods;
  Method *method;

  g_return_if_fail (IO_IS_SERVICE (self));
  g_return_if_fail (func != NULL);

  methods = get_methods (self);
  if (methods == NULL)
    {
      methods = g_hash_table_new_full (NULL, NULL, NULL, method_unref);
      g_object_set_qdata_full (G_OBJECT (self), methods_quark (), methods,
                               (GDestroyNotify) g_hash_table_unref);
    }

  method = g_atomic_rc_box_new0 (Method);
  method->func = func;
  method->user_data = user_data;
  method->destroy = destroy;
  g_hash_table_replace (methods, GUINT_TO_POINTER (selector), method);
}

/**
 * io_service_remove_method:
 * @self: a service
 * @selector: the number of the method
 *
 * Takes back what io_service_add_method() added. It can be called in the
 * method itself.
 *
 * In the thread of the service.
 *
 * Returns: %TRUE if it was there
 * Since: 1.0
 */
gboolean
io_service_remove_method (IOService *self,
                          guint      selector)
{
  GHashTable *methods;

  g_return_val_if_fail (IO_IS_SERVICE (self), FALSE);

  methods = get_methods (self);

  return methods != NULL && g_hash_table_remove (methods, GUINT_TO_POINTER (selector));
}
