/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-method-call-private.h"

#include "io-method-data-private.h"

#include <string.h>

void
_io_method_call_stop_waiting (IOMethodCall *call)
{
  if (call->cancel_source != NULL)
    g_source_destroy (call->cancel_source);
  g_clear_pointer (&call->cancel_source, g_source_unref);
}

void
_io_method_call_clear (IOMethodCall *call)
{
  _io_method_call_stop_waiting (call);
  if (call->progress_destroy != NULL)
    call->progress_destroy (call->progress_data);
  g_clear_pointer (&call->structure, g_bytes_unref);
  g_clear_pointer (&call->parameters, g_variant_unref);
  g_clear_pointer (&call->reply_type, g_variant_type_free);
  g_clear_pointer (&call->large, g_bytes_unref);
}

void
_io_method_call_free (IOMethodCall *call)
{
  _io_method_call_clear (call);
  g_free (call);
}

void
_io_method_result_free (IOMethodResult *result)
{
  g_clear_pointer (&result->structure, g_bytes_unref);
  g_free (result);
}

/* What both forms begin with. */
static gboolean
check_size (IOConnection  *self,
            IOMethodCall  *call,
            guint          n_scalars,
            GError       **error)
{
  gsize size = call->large != NULL ? g_bytes_get_size (call->large) : 0;

  if (n_scalars > IO_EXTERNAL_METHOD_MAX_SCALARS)
    g_propagate_error (error, _io_connection_new_error (self, call->opcode,
                                                        IO_STREAM_ERROR_BAD_ARGUMENT,
                                                        "%u scalars are more than %u", n_scalars,
                                                        IO_EXTERNAL_METHOD_MAX_SCALARS));
  else if (size > IO_EXTERNAL_METHOD_MAX_STRUCTURE)
    g_propagate_error (error, _io_connection_new_error (self, call->opcode,
                                                        IO_STREAM_ERROR_MESSAGE_TOO_LARGE,
                                                        "%" G_GSIZE_FORMAT " bytes are more than %u",
                                                        size, IO_EXTERNAL_METHOD_MAX_STRUCTURE));
  else
    return TRUE;

  return FALSE;
}

gboolean
_io_method_call_fill_struct (IOConnection   *self,
                             IOMethodCall   *call,
                             const guint64  *scalars,
                             guint           n_scalars,
                             GBytes         *structure,
                             GError        **error)
{
  if (structure != NULL && g_bytes_get_size (structure) > IO_METHOD_MAX_INLINE)
    call->large = g_bytes_ref (structure);
  else if (structure != NULL)
    call->structure = g_bytes_ref (structure);
  if (!check_size (self, call, n_scalars, error))
    return FALSE;

  call->n_scalars = n_scalars;
  if (n_scalars > 0)
    memcpy (call->scalars, scalars, n_scalars * sizeof *scalars);

  return TRUE;
}

gboolean
_io_method_call_fill_typed (IOConnection        *self,
                            IOMethodCall        *call,
                            GVariant            *parameters,
                            const GVariantType  *reply_type,
                            GError             **error)
{
  call->parameters = g_variant_ref_sink (parameters != NULL ? parameters : g_variant_new ("()"));
  call->reply_type = reply_type != NULL ? g_variant_type_copy (reply_type) : NULL;
  if (!_io_method_data_check_value (call->parameters, error))
    return FALSE;

  call->large = _io_method_data_flatten (call->parameters);

  return check_size (self, call, 0, error);
}

gboolean
_io_method_call_is_typed (const IOMethodCall *call)
{
  return call->opcode == IO_OPCODE_VARIANT || call->opcode == IO_OPCODE_VARIANT_ASYNC;
}

/* Floating. */
GVariant *
_io_method_call_build_args (const IOMethodCall *call)
{
  guint64 length = call->large != NULL ? g_bytes_get_size (call->large) : 0;

  if (_io_method_call_is_typed (call))
    return g_variant_new ("(uvst)", call->selector,
                          length == 0 ? call->parameters : g_variant_new ("()"),
                          length == 0 ? "" : g_variant_get_type_string (call->parameters), length);

  return g_variant_new ("(u@at@aytuu)", call->selector,
                        g_variant_new_fixed_array (G_VARIANT_TYPE_UINT64, call->scalars,
                                                   call->n_scalars, sizeof (guint64)),
                        _io_method_data_new_inline (call->structure), length,
                        call->max_scalars, call->max_structure);
}

/* Takes @reason over. It need not be the owner's fault. */
gboolean
_io_connection_refuse_memory (IOConnection  *self,
                              IOOpcode       opcode,
                              GError        *reason,
                              GError       **error)
{
  g_autoptr (GError) owned = reason;

  if (reason->code != IO_STREAM_ERROR_NO_MEMORY && reason->code != IO_STREAM_ERROR_NO_RESOURCES)
    {
      _io_connection_break_off (self, opcode, reason->message, error);
      return FALSE;
    }

  g_propagate_error (error, g_steal_pointer (&owned));
  return FALSE;
}

/* NULL with no error if @length is 0. */
static GBytes *
take_large (IOConnection  *self,
            IOMethodCall  *call,
            GUnixFDList   *fds,
            guint64        length,
            guint64        max,
            GError       **error)
{
  GError *reason = NULL;
  GBytes *data;

  if (length > MIN (max, IO_EXTERNAL_METHOD_MAX_STRUCTURE))
    return _io_connection_break_off (self, call->opcode, "its answer is larger than it may be", error);
  if (length == 0)
    return NULL;

  data = _io_method_data_detach (fds, length, &reason);
  if (data != NULL)
    return data;

  _io_connection_refuse_memory (self, call->opcode, reason, error);
  return NULL;
}

IOMethodResult *
_io_method_call_read_struct (IOConnection  *self,
                             IOMethodCall  *call,
                             GVariant      *answer,
                             GUnixFDList   *fds,
                             GError       **error)
{
  g_autoptr (GVariant) scalars = g_variant_get_child_value (answer, 0);
  g_autoptr (GVariant) array = g_variant_get_child_value (answer, 1);
  g_autoptr (GBytes) structure = _io_method_data_get_inline (array);
  IOMethodResult *result;
  gsize n_scalars;
  const guint64 *numbers = g_variant_get_fixed_array (scalars, &n_scalars, sizeof (guint64));
  guint64 length;

  g_variant_get_child (answer, 2, "t", &length);
  if (n_scalars > MIN (call->max_scalars, IO_EXTERNAL_METHOD_MAX_SCALARS) ||
      g_bytes_get_size (structure) > call->max_structure)
    return _io_connection_break_off (self, call->opcode, "its answer is more than was asked for", error);
  if (length > 0)
    {
      g_bytes_unref (structure);
      structure = take_large (self, call, fds, length, call->max_structure, error);
      if (structure == NULL)
        return NULL;
    }

  result = g_new0 (IOMethodResult, 1);
  result->n_scalars = n_scalars;
  if (n_scalars > 0)
    memcpy (result->scalars, numbers, n_scalars * sizeof *numbers);
  result->structure = g_steal_pointer (&structure);

  return result;
}

/* A full reference. */
GVariant *
_io_method_call_read_typed (IOConnection  *self,
                            IOMethodCall  *call,
                            GVariant      *answer,
                            GUnixFDList   *fds,
                            GError       **error)
{
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GBytes) data = NULL;
  const char *type;
  guint64 length;

  g_variant_get (answer, "(v&st)", &value, &type, &length);
  if (length > 0)
    {
      data = take_large (self, call, fds, length, IO_EXTERNAL_METHOD_MAX_STRUCTURE, error);
      if (data == NULL)
        return NULL;
      g_variant_unref (value);
      value = _io_method_data_unflatten (type, data);
    }
  if (value == NULL)
    return _io_connection_break_off (self, call->opcode, "its answer is not what it says", error);
  if (call->reply_type == NULL || g_variant_is_of_type (value, call->reply_type))
    return g_steal_pointer (&value);

  g_propagate_error (error, _io_connection_new_error (self, call->opcode, IO_STREAM_ERROR_BAD_MESSAGE,
                                                      "the answer to method %u is of type %s",
                                                      call->selector,
                                                      g_variant_get_type_string (value)));
  return NULL;
}
