/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-user-client-methods-private.h"

#include "io-action-private.h"
#include "io-external-method-private.h"
#include "io-method-data-private.h"

/* Reads the calls of methods, and answers those that are answered at once. */

#define MIN_TRANSFER_SIZE 65536

IOUserClientMethods *
_io_user_client_ensure_methods (IOUserClient *self)
{
  IOUserClientMethods **methods = _io_user_client_get_methods (self);

  if (*methods == NULL)
    {
      *methods = g_new0 (IOUserClientMethods, 1);
      (*methods)->ports = g_array_new (FALSE, FALSE, sizeof (IOTypedPort));
      (*methods)->actions = g_hash_table_new_full (NULL, NULL, NULL,
                                                   (GDestroyNotify) _io_action_call_unref);
    }

  return *methods;
}

/* A virtual method that fails without saying why. */
gboolean
_io_user_client_check_failure (IOUserClient  *self,
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

gboolean
_io_user_client_run_external_method (IOUserClient               *self,
                                     IOExternalMethodArguments  *arguments,
                                     GError                    **error)
{
  GError *reason = NULL;
  gboolean ok;

  ok = IO_USER_CLIENT_GET_CLASS (self)->external_method (self, arguments->selector, arguments, &reason);
  g_clear_object (&arguments->completion);
  if (_io_user_client_check_failure (self, "method", arguments->selector, ok, &reason))
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

IOExternalMethodArguments *
_io_user_client_read_arguments (IOUserClient  *self,
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
GVariant *
_io_user_client_read_parameters (IOUserClient  *self,
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
  g_autoptr (IOExternalMethodArguments) arguments = _io_user_client_read_arguments (self, args, error);

  if (arguments == NULL ||
      !_io_user_client_run_external_method (self, arguments, error) ||
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

  parameters = _io_user_client_read_parameters (self, args, &selector, error);
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
  if (_io_user_client_check_failure (self, "trap", index, ok, &reason))
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
  IOUserClientMethods *methods = _io_user_client_ensure_methods (self);
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
  IOUserClientMethods *methods = _io_user_client_ensure_methods (self);
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
      return _io_user_client_answer_get_port (self, args, fds, error);
    case IO_OPCODE_CANCEL:
      return _io_user_client_answer_cancel (self, args);
    default:
      g_return_val_if_reached (NULL);
    }
}

/* The end. */

void
_io_user_client_drop_methods (IOUserClient *self)
{
  IOUserClientMethods *methods = *_io_user_client_get_methods (self);

  if (methods == NULL)
    return;

  _io_user_client_drop_ports (methods);
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
