/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-error.h"

/**
 * SECTION:io-error
 * @title: Errors
 * @short_description: What can go wrong, with Apple's codes
 *
 * Everything that another process, a file or the system can do wrong is a
 * #GError, almost always in the %IO_STREAM_ERROR domain. Cancellation is
 * %G_IO_ERROR_CANCELLED as everywhere in GIO. Wrong arguments are programming
 * errors and end in a precondition warning.
 */

/**
 * io_stream_error_quark:
 *
 * Gets the error domain of the library; use %IO_STREAM_ERROR.
 *
 * Any thread.
 *
 * Returns: the quark
 * Since: 1.0
 */
G_DEFINE_QUARK (io-stream-error-quark, io_stream_error)
