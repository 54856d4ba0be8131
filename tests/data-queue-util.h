/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

/* Records whose size and bytes follow from their number. */

#include "libiostream/io-shared-data-queue-private.h"

#include <string.h>

#define LONG_TIME (20 * G_USEC_PER_SEC)

static inline gsize
record_size (guint64 number,
             gsize   max)
{
  return (gsize) ((number * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15)) >> 40) % (max + 1);
}

static inline void
record_fill (guint8  *data,
             gsize    size,
             guint64  number)
{
  for (gsize i = 0; i < size; i++)
    data[i] = (guint8) (number * 31 + i);
}

static inline gboolean
record_is (const guint8 *data,
           gsize         size,
           guint64       number)
{
  for (gsize i = 0; i < size; i++)
    if (data[i] != (guint8) (number * 31 + i))
      return FALSE;

  return TRUE;
}

static inline void
assert_enqueue (IOSharedDataQueue *queue,
                gsize              size,
                guint64            number)
{
  g_autofree guint8 *data = g_malloc (size + 1);
  g_autoptr (GError) error = NULL;

  record_fill (data, size, number);
  io_shared_data_queue_enqueue (queue, data, size, &error);
  g_assert_no_error (error);
}

static inline void
assert_dequeue (IOSharedDataQueue *queue,
                gsize              size,
                guint64            number)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = io_shared_data_queue_dequeue_bytes (queue, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (g_bytes_get_size (bytes), ==, size);
  g_assert_true (record_is (g_bytes_get_data (bytes, NULL), size, number));
}

static inline void
assert_refused (IOSharedDataQueue *queue,
                gsize              size,
                int                code)
{
  g_autofree guint8 *data = g_malloc0 (size + 1);
  g_autoptr (GError) error = NULL;

  g_assert_false (io_shared_data_queue_enqueue (queue, data, size, &error));
  g_assert_error (error, IO_STREAM_ERROR, code);
}

static inline void
assert_nothing (IOSharedDataQueue *queue,
                int                code)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (io_shared_data_queue_dequeue_bytes (queue, &error));
  g_assert_error (error, IO_STREAM_ERROR, code);
}
