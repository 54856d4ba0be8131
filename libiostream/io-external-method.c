/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-external-method-private.h"

#include "io-action.h"
#include "io-method-data-private.h"

#include <string.h>

/**
 * SECTION:io-external-method
 * @title: External methods
 * @short_description: What clients can call
 * @see_also: #IOUserClient, #IOConnection, #IOAction
 *
 * A client asks more of a service than streams by external methods, which have
 * numbers: io_connection_call_method() and io_connection_call() call them.
 * There are two forms, and the numbers of one have nothing to do with those of
 * the other:
 *
 * - That of the original: up to 16 scalars of 64 bits and one struct each way.
 *   It reaches the owner as #IOExternalMethodArguments.
 * - A typed one: one #GVariant each way, see #IOUserClientClass.method() and
 *   io_service_add_method().
 *
 * # Life cycle #
 *
 * The owner gets the arguments in #IOUserClientClass.external_method(), whose
 * default looks the selector up in the table that
 * io_user_client_set_dispatch() or io_user_client_class_set_dispatch()
 * installed, checks counts and sizes, and calls the function there. It sets
 * what the client is to get and returns %TRUE, or fails with an error that the
 * client gets as it is. When the client called asynchronously,
 * io_external_method_arguments_get_completion() gives the #IOAction that
 * answers, and results that are set in the arguments are of no interest.
 *
 * # Ownership #
 *
 * The arguments are reference counted, and what they hold never changes under
 * the method: a struct in shared memory was copied before. The action is with
 * them only while the method runs.
 *
 * # Threads #
 *
 * A method is called in the thread of the service. The arguments are not safe
 * for use in several threads at once.
 *
 * # Failure #
 *
 * More than 16 scalars, or other counts than the table wants, are
 * %IO_STREAM_ERROR_BAD_ARGUMENT; so is a selector behind the end of the table.
 * A struct of more than %IO_EXTERNAL_METHOD_MAX_STRUCTURE bytes is
 * %IO_STREAM_ERROR_MESSAGE_TOO_LARGE, a row without a function
 * %IO_STREAM_ERROR_NO_COMPLETION, a user client without methods
 * %IO_STREAM_ERROR_UNSUPPORTED. A result with more than the client wants is
 * %IO_STREAM_ERROR_NO_SPACE, and the client gets nothing of it.
 *
 * It answers to Apple's IOExternalMethodArguments and
 * IOExternalMethodDispatch2022. The limits are the same, but that a struct of
 * any size up to the limit is given as bytes: what does not fit into a message
 * travels in shared memory, which neither side notices.
 */

/**
 * IOExternalMethodArguments:
 *
 * The arguments and results of one call.
 *
 * Since: 1.0
 */

G_DEFINE_BOXED_TYPE (IOExternalMethodArguments, io_external_method_arguments,
                     io_external_method_arguments_ref, io_external_method_arguments_unref)

IOExternalMethodArguments *
_io_external_method_arguments_new (guint          selector,
                                   const guint64 *scalars,
                                   gsize          n_scalars,
                                   GBytes        *structure)
{
  IOExternalMethodArguments *self = g_atomic_rc_box_new0 (IOExternalMethodArguments);

  self->selector = selector;
  self->n_scalar_input = MIN (n_scalars, IO_EXTERNAL_METHOD_MAX_SCALARS);
  if (self->n_scalar_input > 0)
    memcpy (self->scalar_input, scalars, self->n_scalar_input * sizeof *scalars);
  self->structure_input = structure;

  return self;
}

static gboolean
check_count (const char  *what,
             guint32      wanted,
             guint64      given,
             gboolean     any_given,
             guint        selector,
             GError     **error)
{
  if (wanted == IO_EXTERNAL_METHOD_VARIABLE || wanted == given ||
      (any_given && given == IO_EXTERNAL_METHOD_VARIABLE))
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
               "Cannot call method %u: %s is %" G_GUINT64_FORMAT " instead of %u", selector, what,
               given, wanted);
  return FALSE;
}

gboolean
_io_external_method_check (const IOExternalMethodDispatch   *dispatch,
                           const IOExternalMethodArguments  *arguments,
                           gboolean                          is_async,
                           GError                          **error)
{
  guint selector = arguments->selector;

  if (is_async && !dispatch->allow_async)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
                   "Cannot call method %u: it cannot be called asynchronously", selector);
      return FALSE;
    }

  return check_count ("the number of scalars given", dispatch->check_scalar_input_count,
                      arguments->n_scalar_input, FALSE, selector, error) &&
         check_count ("the size of the struct given", dispatch->check_structure_input_size,
                      g_bytes_get_size (arguments->structure_input), FALSE, selector, error) &&
         check_count ("the number of scalars wanted", dispatch->check_scalar_output_count,
                      arguments->scalar_output_count, TRUE, selector, error) &&
         check_count ("the size of the struct wanted", dispatch->check_structure_output_size,
                      arguments->structure_output_size, TRUE, selector, error);
}

gboolean
_io_external_method_check_result (guint     max_scalars,
                                  guint32   max_structure,
                                  guint     n_scalars,
                                  GBytes   *structure,
                                  GError  **error)
{
  gsize size = structure != NULL ? g_bytes_get_size (structure) : 0;

  if (n_scalars > IO_EXTERNAL_METHOD_MAX_SCALARS || size > IO_EXTERNAL_METHOD_MAX_STRUCTURE)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_MESSAGE_TOO_LARGE,
                 "Cannot answer with %u scalars and %" G_GSIZE_FORMAT " bytes: at most %u and %u can be",
                 n_scalars, size, IO_EXTERNAL_METHOD_MAX_SCALARS, IO_EXTERNAL_METHOD_MAX_STRUCTURE);
  else if (n_scalars > max_scalars ||
           (max_structure != IO_EXTERNAL_METHOD_VARIABLE && size > max_structure))
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_SPACE,
                 "Cannot answer with %u scalars and %" G_GSIZE_FORMAT " bytes: the client has room for %u and %u",
                 n_scalars, size, max_scalars, max_structure);
  else
    return TRUE;

  return FALSE;
}

GVariant *
_io_external_method_encode_result (const guint64  *scalars,
                                   guint           n_scalars,
                                   GBytes         *structure,
                                   GUnixFDList   **fds,
                                   GError        **error)
{
  guint64 length = structure != NULL ? g_bytes_get_size (structure) : 0;

  if (length <= IO_METHOD_MAX_INLINE)
    length = 0;
  else if (!_io_method_data_attach (structure, fds, error))
    return NULL;

  return g_variant_new ("(@at@ayt)",
                        g_variant_new_fixed_array (G_VARIANT_TYPE_UINT64, scalars, n_scalars,
                                                   sizeof *scalars),
                        _io_method_data_new_inline (length == 0 ? structure : NULL), length);
}

GVariant *
_io_external_method_encode_value (GVariant     *value,
                                  GUnixFDList **fds,
                                  GError      **error)
{
  g_autoptr (GVariant) kept = g_variant_ref_sink (value != NULL ? value : g_variant_new ("()"));
  g_autoptr (GBytes) flat = NULL;

  if (!_io_method_data_check_value (kept, error))
    return NULL;

  flat = _io_method_data_flatten (kept);
  if (flat == NULL)
    return g_variant_new ("(vst)", kept, "", (guint64) 0);

  if (!_io_external_method_check_result (0, IO_EXTERNAL_METHOD_VARIABLE, 0, flat, error) ||
      !_io_method_data_attach (flat, fds, error))
    return NULL;

  return g_variant_new ("(vst)", g_variant_new ("()"), g_variant_get_type_string (kept),
                        (guint64) g_bytes_get_size (flat));
}

static void
arguments_clear (IOExternalMethodArguments *self)
{
  g_clear_object (&self->completion);
  g_clear_pointer (&self->structure_input, g_bytes_unref);
  g_clear_pointer (&self->structure_output, g_bytes_unref);
}

/**
 * io_external_method_arguments_ref:
 * @self: arguments
 *
 * Takes a reference. Any thread.
 *
 * Returns: (transfer full): @self
 * Since: 1.0
 */
IOExternalMethodArguments *
io_external_method_arguments_ref (IOExternalMethodArguments *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return g_atomic_rc_box_acquire (self);
}

/**
 * io_external_method_arguments_unref:
 * @self: (transfer full): arguments
 *
 * Drops a reference. Any thread.
 *
 * Since: 1.0
 */
void
io_external_method_arguments_unref (IOExternalMethodArguments *self)
{
  g_return_if_fail (self != NULL);

  g_atomic_rc_box_release_full (self, (GDestroyNotify) arguments_clear);
}

/**
 * io_external_method_arguments_get_selector:
 * @self: arguments
 *
 * Gets the number of the method. In the thread of the service.
 *
 * Returns: the selector
 * Since: 1.0
 */
guint
io_external_method_arguments_get_selector (IOExternalMethodArguments *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return self->selector;
}

/**
 * io_external_method_arguments_get_scalar_input:
 * @self: arguments
 * @n_scalars: (out) (optional): return location for their number
 *
 * Gets the scalars that the client gives, at most
 * %IO_EXTERNAL_METHOD_MAX_SCALARS. In the thread of the service. Apple:
 * scalarInput and scalarInputCount.
 *
 * Returns: (transfer none) (array length=n_scalars): the scalars
 * Since: 1.0
 */
const guint64 *
io_external_method_arguments_get_scalar_input (IOExternalMethodArguments *self,
                                               guint                     *n_scalars)
{
  if (n_scalars != NULL)
    *n_scalars = 0;
  g_return_val_if_fail (self != NULL, NULL);

  if (n_scalars != NULL)
    *n_scalars = self->n_scalar_input;

  return self->scalar_input;
}

/**
 * io_external_method_arguments_get_structure_input:
 * @self: arguments
 *
 * Gets the struct that the client gives; its bytes are the owner's own, and do
 * not change. In the thread of the service. Apple: structureInput and
 * structureInputDescriptor.
 *
 * Returns: (transfer none): the struct, of size 0 if there is none
 * Since: 1.0
 */
GBytes *
io_external_method_arguments_get_structure_input (IOExternalMethodArguments *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->structure_input;
}

/**
 * io_external_method_arguments_get_scalar_output_count:
 * @self: arguments
 *
 * Gets how many scalars the client takes at most. In the thread of the
 * service. Apple: scalarOutputCount.
 *
 * Returns: the number; %IO_EXTERNAL_METHOD_MAX_SCALARS if it takes what there
 *   is
 * Since: 1.0
 */
guint
io_external_method_arguments_get_scalar_output_count (IOExternalMethodArguments *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return MIN (self->scalar_output_count, IO_EXTERNAL_METHOD_MAX_SCALARS);
}

/**
 * io_external_method_arguments_get_structure_output_size:
 * @self: arguments
 *
 * Gets how large a struct the client takes at most. In the thread of the
 * service. Apple: structureOutputSize.
 *
 * Returns: the size; %IO_EXTERNAL_METHOD_MAX_STRUCTURE if it takes what there
 *   is
 * Since: 1.0
 */
guint64
io_external_method_arguments_get_structure_output_size (IOExternalMethodArguments *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return MIN (self->structure_output_size, IO_EXTERNAL_METHOD_MAX_STRUCTURE);
}

/**
 * io_external_method_arguments_get_completion:
 * @self: arguments
 *
 * Gets the action by which an asynchronous call is answered. Who wants to do
 * that after the method has returned takes a reference: an action that is
 * dropped tells the client %IO_STREAM_ERROR_ABORTED.
 *
 * In the thread of the service. Apple: the completion of
 * IOUserClientMethodArguments, and asyncReference.
 *
 * Returns: (transfer none) (nullable): the action; %NULL if the client waits,
 *   and after the method has returned
 * Since: 1.0
 */
IOAction *
io_external_method_arguments_get_completion (IOExternalMethodArguments *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->completion;
}

/**
 * io_external_method_arguments_set_scalar_output:
 * @self: arguments
 * @scalars: (array length=n_scalars) (nullable): the scalars
 * @n_scalars: how many, at most %IO_EXTERNAL_METHOD_MAX_SCALARS
 *
 * Sets the scalars that the client gets. If they are more than it takes, the
 * call fails with %IO_STREAM_ERROR_NO_SPACE.
 *
 * In the thread of the service. Apple: scalarOutput.
 *
 * Since: 1.0
 */
void
io_external_method_arguments_set_scalar_output (IOExternalMethodArguments *self,
                                                const guint64             *scalars,
                                                guint                      n_scalars)
{
  g_return_if_fail (self != NULL);
  g_return_if_fail (n_scalars <= IO_EXTERNAL_METHOD_MAX_SCALARS);
  g_return_if_fail (scalars != NULL || n_scalars == 0);

  self->n_scalar_output = n_scalars;
  if (n_scalars > 0)
    memcpy (self->scalar_output, scalars, n_scalars * sizeof *scalars);
}

/**
 * io_external_method_arguments_set_structure_output:
 * @self: arguments
 * @structure: (nullable): the struct
 *
 * Sets the struct that the client gets. If it is larger than what it takes,
 * the call fails with %IO_STREAM_ERROR_NO_SPACE.
 *
 * In the thread of the service. Apple: structureOutput and
 * structureOutputDescriptor.
 *
 * Since: 1.0
 */
void
io_external_method_arguments_set_structure_output (IOExternalMethodArguments *self,
                                                   GBytes                    *structure)
{
  g_return_if_fail (self != NULL);

  if (structure != NULL)
    g_bytes_ref (structure);
  g_clear_pointer (&self->structure_output, g_bytes_unref);
  self->structure_output = structure;
}
