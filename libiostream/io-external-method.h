/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-error.h>

G_BEGIN_DECLS

/**
 * IO_EXTERNAL_METHOD_MAX_SCALARS:
 *
 * How many scalars an external method takes and gives at most.
 *
 * Since: 1.0
 */
#define IO_EXTERNAL_METHOD_MAX_SCALARS 16u

/**
 * IO_EXTERNAL_METHOD_MAX_STRUCTURE:
 *
 * How many bytes of a struct, or of a #GVariant, an external method takes and
 * gives at most. In a #GVariant, 1 MiB of that may be something else than
 * arrays of numbers.
 *
 * Since: 1.0
 */
#define IO_EXTERNAL_METHOD_MAX_STRUCTURE 67108864u

/**
 * IO_EXTERNAL_METHOD_VARIABLE:
 *
 * In a dispatch table: any count or size (kIOUCVariableStructureSize). From a
 * client, as what it wants back: whatever the method gives.
 *
 * Since: 1.0
 */
#define IO_EXTERNAL_METHOD_VARIABLE 0xFFFFFFFFu

#define IO_TYPE_EXTERNAL_METHOD_ARGUMENTS (io_external_method_arguments_get_type ())

/**
 * IOExternalMethodFunc:
 * @client: the user client whose client calls
 * @arguments: what the call brings, and where the results go
 * @error: return location for an error
 *
 * One method of a dispatch table. In the thread of the service.
 *
 * Returns: %TRUE on success. If io_external_method_arguments_get_completion()
 *   gives an action, then the action answers, now or later
 * Since: 1.0
 */
typedef gboolean (*IOExternalMethodFunc) (IOUserClient               *client,
                                          IOExternalMethodArguments  *arguments,
                                          GError                    **error);

/**
 * IOExternalMethodDispatch:
 * @function: (nullable): the method; %NULL makes calls fail with
 *   %IO_STREAM_ERROR_NO_COMPLETION
 * @check_scalar_input_count: how many scalars it takes, or
 *   %IO_EXTERNAL_METHOD_VARIABLE
 * @check_structure_input_size: how many bytes it takes, or
 *   %IO_EXTERNAL_METHOD_VARIABLE
 * @check_scalar_output_count: how many scalars it gives, or
 *   %IO_EXTERNAL_METHOD_VARIABLE
 * @check_structure_output_size: how many bytes it gives, or
 *   %IO_EXTERNAL_METHOD_VARIABLE
 * @allow_async: whether it can be called asynchronously; it then gets an
 *   #IOAction
 *
 * A row of a dispatch table: Apple's IOExternalMethodDispatch2022. A call with
 * other counts fails with %IO_STREAM_ERROR_BAD_ARGUMENT before the method is
 * called.
 *
 * Since: 1.0
 */
struct _IOExternalMethodDispatch {
  IOExternalMethodFunc function;
  guint32              check_scalar_input_count;
  guint32              check_structure_input_size;
  guint32              check_scalar_output_count;
  guint32              check_structure_output_size;
  gboolean             allow_async;
};

IO_AVAILABLE_IN_ALL
GType                      io_external_method_arguments_get_type                  (void);
IO_AVAILABLE_IN_ALL
IOExternalMethodArguments *io_external_method_arguments_ref                       (IOExternalMethodArguments *self);
IO_AVAILABLE_IN_ALL
void                       io_external_method_arguments_unref                     (IOExternalMethodArguments *self);
IO_AVAILABLE_IN_ALL
guint                      io_external_method_arguments_get_selector              (IOExternalMethodArguments *self);
IO_AVAILABLE_IN_ALL
const guint64             *io_external_method_arguments_get_scalar_input          (IOExternalMethodArguments *self,
                                                                                   guint                     *n_scalars);
IO_AVAILABLE_IN_ALL
GBytes                    *io_external_method_arguments_get_structure_input       (IOExternalMethodArguments *self);
IO_AVAILABLE_IN_ALL
guint                      io_external_method_arguments_get_scalar_output_count   (IOExternalMethodArguments *self);
IO_AVAILABLE_IN_ALL
guint64                    io_external_method_arguments_get_structure_output_size (IOExternalMethodArguments *self);
IO_AVAILABLE_IN_ALL
IOAction                  *io_external_method_arguments_get_completion            (IOExternalMethodArguments *self);
IO_AVAILABLE_IN_ALL
void                       io_external_method_arguments_set_scalar_output         (IOExternalMethodArguments *self,
                                                                                   const guint64             *scalars,
                                                                                   guint                      n_scalars);
IO_AVAILABLE_IN_ALL
void                       io_external_method_arguments_set_structure_output      (IOExternalMethodArguments *self,
                                                                                   GBytes                    *structure);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (IOExternalMethodArguments, io_external_method_arguments_unref)

G_END_DECLS
