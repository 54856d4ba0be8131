/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-user-client-private.h"

#include "io-action-private.h"
#include "io-bell-private.h"
#include "io-external-method-private.h"
#include "io-memory-backing-private.h"
#include "io-method-data-private.h"
#include "io-notification-port-private.h"
#include "io-packet-private.h"
#include "io-service-methods-private.h"
#include "io-service-private.h"

#include <unistd.h>

#define MAX_PORTS          64
#define MIN_TRANSFER_SIZE  65536

typedef struct {
  const IOExternalMethodDispatch *rows;   /* borrowed: static */
  guint                           n_rows;
} DispatchTable;

typedef struct {
  guint               type;
  IONotificationPort *port;
} TypedPort;

/* What only a client that calls methods needs. */
struct _IOUserClientMethods {
  DispatchTable    table;
  IOMemoryBacking *transfer;   /* where the client puts large arguments */
  GArray          *ports;      /* of TypedPort */
  GHashTable      *actions;    /* serial -> IOActionCall */
};

static GQuark
dispatch_quark (void)
{
  static GQuark quark;

  if (quark == 0)
    quark = g_quark_from_static_string ("io-external-method-dispatch");

  return quark;
}

static IOUserClientMethods *
ensure_methods (IOUserClient *self)
{
  IOUserClientMethods **methods = _io_user_client_get_methods (self);

  if (*methods == NULL)
    {
      *methods = g_new0 (IOUserClientMethods, 1);
      (*methods)->ports = g_array_new (FALSE, FALSE, sizeof (TypedPort));
      (*methods)->actions = g_hash_table_new_full (NULL, NULL, NULL,
                                                   (GDestroyNotify) _io_action_call_unref);
    }

  return *methods;
}

/* Dispatch. */

static gboolean
find_table (IOUserClient  *self,
            DispatchTable *table)
{
  IOUserClientMethods *methods = *_io_user_client_get_methods (self);

  if (methods != NULL && methods->table.rows != NULL)
    {
      *table = methods->table;
      return TRUE;
    }

  for (GType type = G_OBJECT_TYPE (self); type != G_TYPE_OBJECT; type = g_type_parent (type))
    {
      DispatchTable *of_class = g_type_get_qdata (type, dispatch_quark ());

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
  DispatchTable table;

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

/* A virtual method that fails without saying why. */
static gboolean
check_failure (IOUserClient  *self,
               const char    *what,
               guint          number,
               gboolean       ok,
               GError       **error)
{
  if (!ok && *error == NULL)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED, "%s failed in %s %u",
                 G_OBJECT_TYPE_NAME (self), what, number);

  return ok && *error == NULL;
}

static gboolean
run_external_method (IOUserClient               *self,
                     IOExternalMethodArguments  *arguments,
                     GError                    **error)
{
  GError *reason = NULL;
  gboolean ok;

  ok = IO_USER_CLIENT_GET_CLASS (self)->external_method (self, arguments->selector, arguments, &reason);
  g_clear_object (&arguments->completion);
  if (check_failure (self, "method", arguments->selector, ok, &reason))
    return TRUE;

  g_propagate_error (error, reason);
  return FALSE;
}

/* Reading calls. */

static GBytes *
take_data (IOUserClient  *self,
           GBytes        *in_packet,
           guint64        length,
           GError       **error)
{
  IOUserClientMethods *methods = *_io_user_client_get_methods (self);
  gsize size = methods != NULL && methods->transfer != NULL
               ? _io_memory_backing_get_size (methods->transfer) : 0;

  if (length > IO_EXTERNAL_METHOD_MAX_STRUCTURE ||
      (length == 0 && g_bytes_get_size (in_packet) > IO_METHOD_MAX_INLINE))
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_MESSAGE_TOO_LARGE,
                 "Cannot take %" G_GUINT64_FORMAT " bytes of arguments: at most %u in the message and "
                 "%u in memory can be", MAX (length, g_bytes_get_size (in_packet)),
                 IO_METHOD_MAX_INLINE, IO_EXTERNAL_METHOD_MAX_STRUCTURE);
  else if (length == 0)
    return g_bytes_ref (in_packet);
  else if (length > size || g_bytes_get_size (in_packet) > 0)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
                 "Cannot take %" G_GUINT64_FORMAT " bytes of arguments: the memory for them has %"
                 G_GSIZE_FORMAT, length, size);
  else
    return _io_method_data_copy (methods->transfer, length, error);

  return NULL;
}

static IOExternalMethodArguments *
read_arguments (IOUserClient  *self,
                GVariant      *args,
                GError       **error)
{
  g_autoptr (GVariant) scalars = g_variant_get_child_value (args, 1);
  g_autoptr (GVariant) array = g_variant_get_child_value (args, 2);
  g_autoptr (GBytes) in_packet = _io_method_data_get_inline (array);
  IOExternalMethodArguments *arguments;
  GBytes *structure;
  guint32 selector, scalar_count, structure_size;
  guint64 length;
  gsize n_scalars;
  const guint64 *numbers = g_variant_get_fixed_array (scalars, &n_scalars, sizeof (guint64));

  g_variant_get (args, "(u@at@aytuu)", &selector, NULL, NULL, &length, &scalar_count, &structure_size);
  if (n_scalars > IO_EXTERNAL_METHOD_MAX_SCALARS ||
      (scalar_count > IO_EXTERNAL_METHOD_MAX_SCALARS && scalar_count != IO_EXTERNAL_METHOD_VARIABLE))
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
                   "Cannot call method %u: %" G_GSIZE_FORMAT " scalars are given and %u wanted; at most %u can be",
                   selector, n_scalars, scalar_count, IO_EXTERNAL_METHOD_MAX_SCALARS);
      return NULL;
    }
  structure = take_data (self, in_packet, length, error);
  if (structure == NULL)
    return NULL;

  arguments = _io_external_method_arguments_new (selector, numbers, n_scalars, structure);
  arguments->scalar_output_count = scalar_count;
  arguments->structure_output_size = structure_size;

  return arguments;
}

/* A full reference. */
static GVariant *
read_parameters (IOUserClient  *self,
                 GVariant      *args,
                 guint         *selector,
                 GError       **error)
{
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GBytes) nothing = g_bytes_new_static (NULL, 0);
  g_autoptr (GBytes) data = NULL;
  GVariant *parameters;
  const char *type;
  guint64 length;

  g_variant_get (args, "(uv&st)", selector, &value, &type, &length);
  if (length == 0)
    return g_steal_pointer (&value);

  data = take_data (self, nothing, length, error);
  if (data == NULL)
    return NULL;

  parameters = _io_method_data_unflatten (type, data);
  if (parameters == NULL)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
                 "Cannot call method %u: its parameters are not what they say", *selector);

  return parameters;
}

/* Calls with an answer at once. */

/* Takes over a floating @result, and gives it back. */
static GVariant *
charge_answer (IOUserClient  *self,
               GVariant      *result,
               GUnixFDList  **fds,
               GError       **error)
{
  if (result == NULL || _io_user_client_charge_answer (self, *fds, error))
    return result;

  g_clear_object (fds);
  g_variant_unref (g_variant_ref_sink (result));

  return NULL;
}

static GVariant *
answer_method (IOUserClient  *self,
               GVariant      *args,
               GUnixFDList  **fds,
               GError       **error)
{
  g_autoptr (IOExternalMethodArguments) arguments = read_arguments (self, args, error);

  if (arguments == NULL ||
      !run_external_method (self, arguments, error) ||
      !_io_external_method_check_result (arguments->scalar_output_count,
                                         arguments->structure_output_size,
                                         arguments->n_scalar_output, arguments->structure_output,
                                         error))
    return NULL;

  return charge_answer (self,
                        _io_external_method_encode_result (arguments->scalar_output,
                                                           arguments->n_scalar_output,
                                                           arguments->structure_output, fds, error),
                        fds, error);
}

static GVariant *
answer_variant (IOUserClient  *self,
                GVariant      *args,
                GUnixFDList  **fds,
                GError       **error)
{
  g_autoptr (GVariant) parameters = NULL;
  g_autoptr (GVariant) result = NULL;
  GError *reason = NULL;
  guint selector;

  parameters = read_parameters (self, args, &selector, error);
  if (parameters == NULL)
    return NULL;

  result = IO_USER_CLIENT_GET_CLASS (self)->method (self, selector, parameters, NULL, &reason);
  if (result != NULL)
    g_variant_take_ref (result);
  if (reason != NULL)
    {
      g_propagate_error (error, reason);
      return NULL;
    }

  return charge_answer (self, _io_external_method_encode_value (result, fds, error), fds, error);
}

static GVariant *
answer_trap (IOUserClient  *self,
             GVariant      *args,
             GError       **error)
{
  GError *reason = NULL;
  guint32 index, token;
  gboolean ok;

  g_variant_get (args, "(uu)", &index, &token);
  ok = IO_USER_CLIENT_GET_CLASS (self)->trap (self, index, token, &reason);
  if (check_failure (self, "trap", index, ok, &reason))
    return g_variant_new ("()");

  g_propagate_error (error, reason);
  return NULL;
}

static gboolean
check_transfer (IOUserClient  *self,
                guint64        size,
                GError       **error)
{
  if (size == 0 || size > IO_EXTERNAL_METHOD_MAX_STRUCTURE)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_MESSAGE_TOO_LARGE,
                 "Cannot take %" G_GUINT64_FORMAT " bytes of arguments: at most %u can be", size,
                 IO_EXTERNAL_METHOD_MAX_STRUCTURE);
  else if (io_user_client_get_read_only (self))
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED,
                 "Cannot take %" G_GUINT64_FORMAT " bytes of arguments: client “%s” may only read, "
                 "and gets no memory to write them", size, io_user_client_get_client_name (self));
  else
    return TRUE;

  return FALSE;
}

static IOMemoryBacking *
make_transfer (IOUserClient  *self,
               guint64        size,
               GError       **error)
{
  guint64 rounded = MIN_TRANSFER_SIZE;

  while (rounded < size)
    rounded *= 2;
  /* What is not needed must not keep the answer from being made. */
  if (!_io_user_client_charge (self, IO_CHARGE_TRANSFER, 2 * rounded, "take arguments", NULL))
    rounded = size;
  if (!_io_user_client_charge (self, IO_CHARGE_TRANSFER, rounded, "take arguments", error))
    return NULL;

  return _io_memory_backing_new ("transfer", rounded, IO_STREAM_PEER_ACCESS_READ_WRITE, error);
}

static gsize
get_transfer_size (IOUserClientMethods *methods)
{
  return methods->transfer != NULL ? _io_memory_backing_get_size (methods->transfer) : 0;
}

/* There is one at a time; an old one stays as long as the client has it. */
static gboolean
ensure_transfer (IOUserClient  *self,
                 guint64        size,
                 GError       **error)
{
  IOUserClientMethods *methods = ensure_methods (self);
  IOMemoryBacking *transfer;

  if (get_transfer_size (methods) >= size)
    return TRUE;

  transfer = make_transfer (self, size, error);
  if (transfer == NULL)
    {
      _io_user_client_charge (self, IO_CHARGE_TRANSFER, get_transfer_size (methods), "take arguments", NULL);
      return FALSE;
    }

  g_clear_pointer (&methods->transfer, _io_memory_backing_unref);
  methods->transfer = transfer;

  return TRUE;
}

static GVariant *
answer_get_transfer (IOUserClient  *self,
                     GVariant      *args,
                     GUnixFDList  **fds,
                     GError       **error)
{
  IOUserClientMethods *methods = ensure_methods (self);
  g_autoptr (GUnixFDList) list = g_unix_fd_list_new ();
  guint64 size;

  g_variant_get (args, "(t)", &size);
  if (!check_transfer (self, size, error) ||
      !ensure_transfer (self, size, error) ||
      !_io_user_client_pass_fd (self, list, _io_memory_backing_peek_fd (methods->transfer), error))
    return NULL;

  *fds = g_steal_pointer (&list);
  return g_variant_new ("(t)", (guint64) _io_memory_backing_get_size (methods->transfer));
}

/* Ports. */

static void
drop_port (IOUserClientMethods *methods,
           guint                index)
{
  g_autoptr (IONotificationPort) port = g_array_index (methods->ports, TypedPort, index).port;

  g_array_remove_index_fast (methods->ports, index);
  _io_notification_port_invalidate (port);
}

static void
keep_port (IOUserClientMethods *methods,
           guint                type,
           IONotificationPort  *port)
{
  TypedPort typed = { type, g_object_ref (port) };

  for (guint i = 0; i < methods->ports->len; i++)
    if (g_array_index (methods->ports, TypedPort, i).type == type)
      {
        drop_port (methods, i);
        break;
      }
  g_array_append_val (methods->ports, typed);
}

static gboolean
has_port (IOUserClientMethods *methods,
          guint                type)
{
  for (guint i = 0; i < methods->ports->len; i++)
    if (g_array_index (methods->ports, TypedPort, i).type == type)
      return TRUE;

  return FALSE;
}

static gboolean
register_port (IOUserClient        *self,
               IONotificationPort  *port,
               guint                type,
               guint64              reference,
               GError             **error)
{
  GError *reason = NULL;
  gboolean ok;

  ok = IO_USER_CLIENT_GET_CLASS (self)->register_notification_port (self, port, type, reference,
                                                                    &reason);
  if (check_failure (self, "the port of type", type, ok, &reason))
    return TRUE;

  g_propagate_error (error, reason);
  return FALSE;
}

static GVariant *
answer_get_port (IOUserClient  *self,
                 GVariant      *args,
                 GUnixFDList  **fds,
                 GError       **error)
{
  IOUserClientMethods *methods = ensure_methods (self);
  g_autoptr (GUnixFDList) list = g_unix_fd_list_new ();
  g_autoptr (IONotificationPort) port = NULL;
  guint64 reference;
  guint32 type;
  int ends[2];
  gboolean ok;

  g_variant_get (args, "(ut)", &type, &reference);
  if (methods->ports->len >= MAX_PORTS && !has_port (methods, type))
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES,
                   "Cannot give a port of type %u: client “%s” has %u", type,
                   io_user_client_get_client_name (self), MAX_PORTS);
      return NULL;
    }
  if (!_io_bell_create_pair (ends, error))
    return NULL;

  port = _io_notification_port_new (ends[0], NULL, NULL, NULL, NULL);
  ok = _io_user_client_pass_fd (self, list, ends[1], error) &&
       register_port (self, port, type, reference, error);
  close (ends[1]);
  /* It may have ended the connection, which gives its ports back. */
  if (!ok || !io_user_client_is_connected (self))
    {
      _io_notification_port_invalidate (port);
      return ok ? g_variant_new ("()") : NULL;
    }

  keep_port (methods, type, port);
  *fds = g_steal_pointer (&list);
  return g_variant_new ("()");
}

/* Actions. */

static GVariant *
answer_cancel (IOUserClient *self,
               GVariant     *args)
{
  IOUserClientMethods *methods = *_io_user_client_get_methods (self);
  IOActionCall *call = NULL;
  guint32 serial;

  g_variant_get (args, "(u)", &serial);
  if (methods != NULL)
    call = g_hash_table_lookup (methods->actions, GUINT_TO_POINTER (serial));
  /* Else the answer and this have passed each other. */
  if (call != NULL)
    _io_action_call_abort (call, TRUE);

  return g_variant_new ("()");
}

void
_io_user_client_forget_action (IOUserClient *self,
                               guint32       serial)
{
  g_hash_table_remove (ensure_methods (self)->actions, GUINT_TO_POINTER (serial));
}

/* The error is the answer; so it comes before the action is dropped. */
static void
run_struct_action (IOUserClient              *self,
                   IOExternalMethodArguments *arguments,
                   IOActionCall              *call)
{
  g_autoptr (IOAction) action = _io_action_new (call);
  g_autoptr (GError) error = NULL;

  arguments->completion = g_object_ref (action);
  if (!run_external_method (self, arguments, &error))
    _io_action_call_fail (call, error);
}

/* A value is the answer; without one the action will be, if it was kept. */
static void
run_variant_action (IOUserClient *self,
                    guint         selector,
                    GVariant     *parameters,
                    IOActionCall *call)
{
  g_autoptr (IOAction) action = _io_action_new (call);
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  result = IO_USER_CLIENT_GET_CLASS (self)->method (self, selector, parameters, action, &error);
  if (result != NULL)
    g_variant_take_ref (result);
  if (error == NULL && result != NULL && !io_action_is_completed (action) &&
      !io_action_is_cancelled (action))
    io_action_complete_variant (action, result, &error);
  if (error != NULL)
    _io_action_call_fail (call, error);
}

static IOActionCall *
new_action_call (IOUserClient          *self,
                 const IOPacketHeader  *header,
                 guint                  selector,
                 guint                  max_scalars,
                 guint32                max_structure)
{
  IOActionCall *call = _io_action_call_new (self,
                                            _io_service_get_context (io_user_client_get_service (self)),
                                            header->opcode, header->serial, selector,
                                            max_scalars, max_structure);

  g_hash_table_insert (ensure_methods (self)->actions, GUINT_TO_POINTER (header->serial),
                       _io_action_call_ref (call));

  return call;
}

static gboolean
check_action (IOUserClient          *self,
              const IOPacketHeader  *header,
              GError               **error)
{
  GHashTable *actions = ensure_methods (self)->actions;

  if (g_hash_table_contains (actions, GUINT_TO_POINTER (header->serial)))
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_MESSAGE,
                 "Cannot take call %u: another one of this number has no answer", header->serial);
  else if (g_hash_table_size (actions) >= IO_ACTION_MAX_OUTSTANDING)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES,
                 "Cannot take another call: %u have no answer", IO_ACTION_MAX_OUTSTANDING);
  else
    return TRUE;

  return FALSE;
}

void
_io_user_client_run_async (IOUserClient         *self,
                           const IOPacketHeader *header,
                           GVariant             *body)
{
  g_autoptr (IOExternalMethodArguments) arguments = NULL;
  g_autoptr (GVariant) parameters = NULL;
  g_autoptr (IOActionCall) call = NULL;
  g_autoptr (GError) error = NULL;
  gboolean typed = header->opcode == IO_OPCODE_VARIANT_ASYNC;
  guint selector;

  if (check_action (self, header, &error))
    {
      if (typed)
        parameters = read_parameters (self, body, &selector, &error);
      else
        arguments = read_arguments (self, body, &error);
    }
  if (parameters != NULL)
    {
      call = new_action_call (self, header, selector, 0, IO_EXTERNAL_METHOD_VARIABLE);
      run_variant_action (self, selector, parameters, call);
    }
  else if (arguments != NULL)
    {
      call = new_action_call (self, header, arguments->selector, arguments->scalar_output_count,
                              arguments->structure_output_size);
      run_struct_action (self, arguments, call);
    }
  else
    _io_user_client_send (self, _io_packet_build_error (header->opcode, header->serial, error), NULL);
}

GVariant *
_io_user_client_call_method (IOUserClient  *self,
                             IOOpcode       opcode,
                             GVariant      *args,
                             GUnixFDList  **fds,
                             GError       **error)
{
  switch ((int) opcode)
    {
    case IO_OPCODE_METHOD:
      return answer_method (self, args, fds, error);
    case IO_OPCODE_VARIANT:
      return answer_variant (self, args, fds, error);
    case IO_OPCODE_GET_TRANSFER:
      return answer_get_transfer (self, args, fds, error);
    case IO_OPCODE_TRAP:
      return answer_trap (self, args, error);
    case IO_OPCODE_GET_PORT:
      return answer_get_port (self, args, fds, error);
    case IO_OPCODE_CANCEL:
      return answer_cancel (self, args);
    default:
      g_return_val_if_reached (NULL);
    }
}

/* The end. */

void
_io_user_client_abort_actions (IOUserClient *self)
{
  IOUserClientMethods *methods = *_io_user_client_get_methods (self);
  g_autoptr (GList) calls = NULL;
  GHashTable *actions;

  if (methods == NULL)
    return;

  actions = g_steal_pointer (&methods->actions);
  methods->actions = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) _io_action_call_unref);
  calls = g_hash_table_get_values (actions);
  for (GList *l = calls; l != NULL; l = l->next)
    _io_action_call_abort (l->data, FALSE);
  g_hash_table_unref (actions);
}

void
_io_user_client_drop_methods (IOUserClient *self)
{
  IOUserClientMethods *methods = *_io_user_client_get_methods (self);

  if (methods == NULL)
    return;

  while (methods->ports->len > 0)
    drop_port (methods, methods->ports->len - 1);
  g_clear_pointer (&methods->transfer, _io_memory_backing_unref);
  _io_user_client_discharge (self, IO_CHARGE_TRANSFER);
}

void
_io_user_client_free_methods (IOUserClient *self)
{
  IOUserClientMethods **methods = _io_user_client_get_methods (self);

  if (*methods == NULL)
    return;

  _io_user_client_drop_methods (self);
  g_array_unref ((*methods)->ports);
  g_hash_table_unref ((*methods)->actions);
  g_clear_pointer (methods, g_free);
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

  ensure_methods (self)->table = (DispatchTable) { table, n_methods };
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
  DispatchTable *of_class;

  g_return_if_fail (IO_IS_USER_CLIENT_CLASS (klass));
  g_return_if_fail (table != NULL);

  /* Types are never unloaded, nor is this. */
  of_class = g_type_get_qdata (G_TYPE_FROM_CLASS (klass), dispatch_quark ());
  if (of_class == NULL)
    of_class = g_new0 (DispatchTable, 1);
  *of_class = (DispatchTable) { table, n_methods };
  g_type_set_qdata (G_TYPE_FROM_CLASS (klass), dispatch_quark (), of_class);
}
