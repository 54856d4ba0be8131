/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-version.h>

#ifndef _IO_PUBLIC
#define _IO_PUBLIC __attribute__ ((visibility ("default"))) extern
#endif

/**
 * IO_STREAM_CHECK_VERSION:
 * @major: required major version
 * @minor: required minor version
 * @micro: required micro version
 *
 * Tells at compile time whether the headers are of the given version or newer.
 *
 * Returns: %TRUE if they are
 * Since: 1.0
 */
#define IO_STREAM_CHECK_VERSION(major, minor, micro)                          \
  ((major) < IO_STREAM_MAJOR_VERSION ||                                       \
   ((major) == IO_STREAM_MAJOR_VERSION && (minor) < IO_STREAM_MINOR_VERSION) || \
   ((major) == IO_STREAM_MAJOR_VERSION && (minor) == IO_STREAM_MINOR_VERSION && \
    (micro) <= IO_STREAM_MICRO_VERSION))

#define IO_AVAILABLE_IN_ALL _IO_PUBLIC
#define IO_AVAILABLE_IN_1_0 _IO_PUBLIC
