/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A stream that overrides every virtual method, counts the calls, and does in
 * them what a test wants. */

#pragma once

#include "stream-util.h"

typedef enum {
  DO_SUCCEED,
  DO_FAIL,
  DO_FAIL_FOREIGN,
  DO_FAIL_SILENTLY
} TestResult;

typedef struct _TestStream TestStream;

struct _TestStream {
  IOStream   parent_instance;

  int        n_start;
  int        n_stop;
  int        n_suspend;
  int        n_set_mode;
  int        n_input;
  guint32    token;
  TestResult result;
  gboolean   lets_mode_change;
  gboolean   refuses_open;
  gboolean   keeps_open;     /* does not chain up */
  /* called in start, stop and suspend, before the result */
  void     (*hook)  (TestStream    *self,
                     IOStreamState  target);
  gpointer   hook_data;
};

typedef struct {
  IOStreamClass parent_class;
} TestStreamClass;

static GType test_stream_get_type (void);
G_DEFINE_TYPE (TestStream, test_stream, IO_TYPE_STREAM)

static inline gboolean
test_stream_answer (TestStream  *self,
                    GError     **error)
{
  if (self->result == DO_FAIL)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_DEVICE_ERROR, "the lamp is broken");
  else if (self->result == DO_FAIL_FOREIGN)
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_NOENT, "the lamp is lost");

  return self->result == DO_SUCCEED;
}

static inline gboolean
test_stream_change (IOStream       *stream,
                    IOStreamState   target,
                    int            *count,
                    GError        **error)
{
  TestStream *self = (TestStream *) stream;

  g_atomic_int_inc (count);
  /* the state is there already, unless the client left in another method */
  if (target != IO_STREAM_STATE_STOPPED || io_stream_get_state (stream) != IO_STREAM_STATE_CLOSED)
    g_assert_cmpint (io_stream_get_state (stream), ==, target);
  if (self->hook != NULL)
    self->hook (self, target);

  return test_stream_answer (self, error);
}

static gboolean
test_stream_start (IOStream  *stream,
                   GError   **error)
{
  return test_stream_change (stream, IO_STREAM_STATE_RUNNING, &((TestStream *) stream)->n_start, error);
}

static gboolean
test_stream_stop (IOStream  *stream,
                  GError   **error)
{
  return test_stream_change (stream, IO_STREAM_STATE_STOPPED, &((TestStream *) stream)->n_stop, error);
}

static gboolean
test_stream_suspend (IOStream  *stream,
                     GError   **error)
{
  return test_stream_change (stream, IO_STREAM_STATE_SUSPENDED, &((TestStream *) stream)->n_suspend, error);
}

static gboolean
test_stream_set_mode (IOStream      *stream,
                      IOStreamMode   mode,
                      GError       **error)
{
  TestStream *self = (TestStream *) stream;

  g_atomic_int_inc (&self->n_set_mode);
  if (!self->lets_mode_change)
    return IO_STREAM_CLASS (test_stream_parent_class)->set_mode (stream, mode, error);

  return test_stream_answer (self, error);
}

static void
test_stream_input_callback (IOStream *stream,
                            guint32   token)
{
  TestStream *self = (TestStream *) stream;

  g_atomic_int_set (&self->token, token);
  g_atomic_int_inc (&self->n_input);
}

static gboolean
test_stream_handle_open (IOService     *service,
                         IOUserClient  *client,
                         guint          options,
                         GError       **error)
{
  TestStream *self = (TestStream *) service;

  if (self->refuses_open)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY, "the lamp is warming up");
      return FALSE;
    }
  if (self->keeps_open)
    return TRUE;

  return IO_SERVICE_CLASS (test_stream_parent_class)->handle_open (service, client, options, error);
}

static void
test_stream_class_init (TestStreamClass *klass)
{
  IOStreamClass *stream_class = IO_STREAM_CLASS (klass);

  stream_class->start = test_stream_start;
  stream_class->stop = test_stream_stop;
  stream_class->suspend = test_stream_suspend;
  stream_class->set_mode = test_stream_set_mode;
  stream_class->input_callback = test_stream_input_callback;
  IO_SERVICE_CLASS (klass)->handle_open = test_stream_handle_open;
}

static void
test_stream_init (TestStream *self)
{
}

/* As stream_util_set_up(), with a TestStream. */
static inline void
test_stream_set_up (StreamPair   *pair,
                    IOStreamMode  mode)
{
  g_autoptr (GError) error = NULL;

  g_main_context_iteration (NULL, FALSE);
  pair->n_fds = count_fds ();
  pair->loop = stream_util_new_loop ();
  pair->stream = g_initable_new (test_stream_get_type (), NULL, &error,
                                 "name", "test", "work-loop", pair->loop, "mode", mode,
                                 "buffer-count", 4, "data-size", (guint64) 10000,
                                 "control-size", (guint64) 64, NULL);
  g_assert_no_error (error);
  g_assert_true (io_service_register (IO_SERVICE (pair->stream), &error));
  g_assert_no_error (error);
  pair->client = stream_util_open_stream (pair->stream);
}
