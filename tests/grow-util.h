/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Buffers of memory of their own, and a stream whose queues have room. */

#pragma once

#include "stream-subclass.h"

#define GROW_SIZE 5000

static inline IOStreamBuffer *
grow_util_new_buffer (gsize              data_size,
                      gsize              control_size,
                      IOStreamPeerAccess access)
{
  g_autoptr (IOMemoryDescriptor) data = NULL;
  g_autoptr (IOMemoryDescriptor) control = NULL;
  g_autoptr (GError) error = NULL;

  if (data_size > 0)
    data = IO_MEMORY_DESCRIPTOR (io_buffer_memory_descriptor_new (data_size, access, &error));
  g_assert_no_error (error);
  if (control_size > 0)
    control = IO_MEMORY_DESCRIPTOR (io_buffer_memory_descriptor_new (control_size, access, &error));
  g_assert_no_error (error);

  return io_stream_buffer_new (data, control);
}

static inline GPtrArray *
grow_util_new_buffers (guint              count,
                       IOStreamPeerAccess access)
{
  GPtrArray *buffers = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < count; i++)
    g_ptr_array_add (buffers, grow_util_new_buffer (GROW_SIZE + i, i % 2 ? 40 : 0, access));

  return buffers;
}

typedef struct {
  StreamPair *pair;
  GPtrArray  *buffers;
  guint       code;      /* expected; 0 is success */
} GrowAction;

static inline gboolean
grow_util_add_cb (gpointer user_data)
{
  GrowAction *action = user_data;
  g_autoptr (GError) error = NULL;
  gboolean done = io_stream_add_buffers (action->pair->stream, action->buffers, &error);

  if (action->code == 0)
    {
      g_assert_no_error (error);
      g_assert_true (done);
      return TRUE;
    }

  g_assert_error (error, IO_STREAM_ERROR, (int) action->code);
  g_assert_false (done);

  return FALSE;
}

/* In the thread of the owner. */
static inline void
grow_util_add (StreamPair         *pair,
               guint               count,
               IOStreamPeerAccess  access,
               guint               code)
{
  g_autoptr (GPtrArray) buffers = grow_util_new_buffers (count, access);
  GrowAction action = { pair, buffers, code };

  stream_util_on_loop (pair, grow_util_add_cb, &action);
}

/* As stream_util_set_up(), with @count buffers and a queue of @length. */
static inline void
grow_util_set_up (StreamPair   *pair,
                  IOStreamMode  mode,
                  guint         count,
                  guint         length)
{
  g_autoptr (GError) error = NULL;

  g_main_context_iteration (NULL, FALSE);
  pair->n_fds = count_fds ();
  pair->loop = stream_util_new_loop ();
  pair->stream = g_initable_new (test_stream_get_type (), NULL, &error,
                                 "name", "test", "work-loop", pair->loop, "mode", mode,
                                 "buffer-count", count, "queue-length", length,
                                 "data-size", (guint64) 10000, "control-size", (guint64) 64, NULL);
  g_assert_no_error (error);
  g_assert_true (io_service_register (IO_SERVICE (pair->stream), &error));
  g_assert_no_error (error);
  pair->client = stream_util_open_stream (pair->stream);
}
