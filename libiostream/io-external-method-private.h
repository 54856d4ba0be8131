/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gunixfdlist.h>

#include "io-external-method.h"

G_BEGIN_DECLS

struct _IOExternalMethodArguments {
  guint                 selector;
  guint64               scalar_input[IO_EXTERNAL_METHOD_MAX_SCALARS];
  guint                 n_scalar_input;
  GBytes               *structure_input;   /* never NULL */
  /* what the client wants back: exact, or VARIABLE */
  guint32               scalar_output_count;
  guint32               structure_output_size;

  IOAction             *completion;        /* while the method runs */
  guint64               scalar_output[IO_EXTERNAL_METHOD_MAX_SCALARS];
  guint                 n_scalar_output;
  GBytes               *structure_output;
};

/* Takes @structure over. */
IOExternalMethodArguments *_io_external_method_arguments_new (guint           selector,
                                                              const guint64  *scalars,
                                                              gsize           n_scalars,
                                                              GBytes         *structure);
/* BAD_ARGUMENT if the arguments are not what @dispatch wants. */
gboolean  _io_external_method_check        (const IOExternalMethodDispatch   *dispatch,
                                            const IOExternalMethodArguments  *arguments,
                                            gboolean                          is_async,
                                            GError                          **error);
/* Is this result what the client can take? */
gboolean  _io_external_method_check_result (guint                             max_scalars,
                                            guint32                           max_structure,
                                            guint                             n_scalars,
                                            GBytes                           *structure,
                                            GError                          **error);
/* The (floating) body of an answer. */
GVariant *_io_external_method_encode_result (const guint64                   *scalars,
                                             guint                            n_scalars,
                                             GBytes                          *structure,
                                             GUnixFDList                    **fds,
                                             GError                         **error);
/* @value is NULL for the empty tuple. */
GVariant *_io_external_method_encode_value  (GVariant                        *value,
                                             GUnixFDList                    **fds,
                                             GError                         **error);

G_END_DECLS
