/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-user-client-methods-private.h"

#include "io-external-method-private.h"
#include "io-service-methods-private.h"

/* What is called where the class does nothing of its own: the table of
 * external methods, and those of the service. */

static GQuark
dispatch_quark (void)
{
  static GQuark quark;

  if (quark == 0)
    quark = g_quark_from_static_string ("io-external-method-dispatch");

  return quark;
}

static gboolean
find_table (IOUserClient  *self,
            IODispatchTable *table)
{
  IOUserClientMethods *methods = *_io_user_client_get_methods (self);

  if (methods != NULL && methods->table.rows != NULL)
    {
      *table = methods->table;
      return TRUE;
    }

  for (GType type = G_OBJECT_TYPE (self); type != G_TYPE_OBJECT; type = g_type_parent (type))
    {
      IODispatchTable *of_class = g_type_get_qdata (type, dispatch_quark ());

      if (of_class == NULL)
        continue;
      *table = *of_class;
      return TRUE;
    }

  return FALSE;
}

gboolean
_io_user_client_real_external_method (IOUserClient               *self,
                                      guint                       selector,
                                      IOExternalMethodArguments  *arguments,
                                      GError                    **error)
{
  const IOExternalMethodDispatch *row;
  IODispatchTable table;

  if (!find_table (self, &table))
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_UNSUPPORTED,
                   "Cannot call method %u: %s has no methods", selector, G_OBJECT_TYPE_NAME (self));
      return FALSE;
    }
  if (selector >= table.n_rows)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
                   "Cannot call method %u: %s has %u methods", selector, G_OBJECT_TYPE_NAME (self),
                   table.n_rows);
      return FALSE;
    }

  row = &table.rows[selector];
  if (!_io_external_method_check (row, arguments, arguments->completion != NULL, error))
    return FALSE;
  if (row->function != NULL)
    return row->function (self, arguments, error);

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_COMPLETION,
               "Cannot call method %u: nothing would answer it", selector);
  return FALSE;
}

GVariant *
_io_user_client_real_method (IOUserClient  *self,
                             guint          selector,
                             GVariant      *parameters,
                             IOAction      *action,
                             GError       **error)
{
  return _io_service_run_method (io_user_client_get_service (self), self, selector, parameters,
                                 action, error);
}

gboolean
_io_user_client_real_trap (IOUserClient  *self,
                           guint          index,
                           guint32        token,
                           GError       **error)
{
  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
               "Cannot call trap %u: %s does not have it", index, G_OBJECT_TYPE_NAME (self));

  return FALSE;
}

gboolean
_io_user_client_real_register_notification_port (IOUserClient        *self,
                                                 IONotificationPort  *port,
                                                 guint                type,
                                                 guint64              reference,
                                                 GError             **error)
{
  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_UNSUPPORTED,
               "Cannot give a port of type %u: %s has none", type, G_OBJECT_TYPE_NAME (self));

  return FALSE;
}

/**
 * io_user_client_set_dispatch: (skip)
 * @self: a user client
 * @table: (array length=n_methods): a row for each selector, from 0 on; it must
 *   stay as long as @self does
 * @n_methods: the number of rows
 *
 * Installs the table of external methods of this one user client, in place of
 * that of its class.
 *
 * In the thread of the service. Apple: the table given to
 * IOUserClient2022::dispatchExternalMethod.
 *
 * Since: 1.0
 */
void
io_user_client_set_dispatch (IOUserClient                   *self,
                             const IOExternalMethodDispatch *table,
                             guint                           n_methods)
{
  g_return_if_fail (IO_IS_USER_CLIENT (self));
  g_return_if_fail (table != NULL || n_methods == 0);

  _io_user_client_ensure_methods (self)->table = (IODispatchTable) { table, n_methods };
}

/**
 * io_user_client_class_set_dispatch: (skip)
 * @klass: the class of user clients, in its class initialisation
 * @table: (array length=n_methods): a row for each selector, from 0 on; static
 * @n_methods: the number of rows
 *
 * Installs the table of external methods of a class, and of those derived from
 * it that have none of their own.
 *
 * Any thread. Apple: the table given to
 * IOUserClient2022::dispatchExternalMethod.
 *
 * Since: 1.0
 */
void
io_user_client_class_set_dispatch (IOUserClientClass              *klass,
                                   const IOExternalMethodDispatch *table,
                                   guint                           n_methods)
{
  IODispatchTable *of_class;

  g_return_if_fail (IO_IS_USER_CLIENT_CLASS (klass));
  g_return_if_fail (table != NULL);

  /* Types are never unloaded, nor is this. */
  of_class = g_type_get_qdata (G_TYPE_FROM_CLASS (klass), dispatch_quark ());
  if (of_class == NULL)
    of_class = g_new0 (IODispatchTable, 1);
  *of_class = (IODispatchTable) { table, n_methods };
  g_type_set_qdata (G_TYPE_FROM_CLASS (klass), dispatch_quark (), of_class);
}
