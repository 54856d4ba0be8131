/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "iostream-python.h"

/* A wait in C does not see Ctrl-C, so it is cut into pieces, in microseconds.
 * It is done here, since PyGObject makes the error of each time-out by calling
 * into Python, where Ctrl-C would break that in turn. */
#define PIECE (G_USEC_PER_SEC / 10)

typedef gboolean (*WaitFunc) (gpointer       object,
                              gint64         timeout,
                              GCancellable  *cancellable,
                              GError       **error);

typedef gboolean (*WaitSizeFunc) (gpointer       object,
                                  gsize          size,
                                  gint64         timeout,
                                  GCancellable  *cancellable,
                                  GError       **error);

typedef struct {
  const char *name;
  GType (*get_type) (void);
  WaitFunc func;
  WaitSizeFunc size_func;   /* in its place */
} Wait;

static const Wait waits[] = {
  { "wait_buffer", io_stream_get_type, (WaitFunc) (void (*) (void)) io_stream_wait_buffer },
  { "wait_input", io_stream_get_type, (WaitFunc) (void (*) (void)) io_stream_wait_input },
  { "wait", io_stream_connection_get_type, (WaitFunc) (void (*) (void)) io_stream_connection_wait },
  { "wait", io_shared_interrupt_controller_get_type, (WaitFunc) (void (*) (void)) io_shared_interrupt_controller_wait },
  { "wait", io_notification_port_get_type, (WaitFunc) (void (*) (void)) io_notification_port_wait },
  { "wait_data", io_shared_data_queue_get_type,
    (WaitFunc) (void (*) (void)) io_shared_data_queue_wait_data },
  { "wait_space", io_shared_data_queue_get_type, NULL,
    (WaitSizeFunc) (void (*) (void)) io_shared_data_queue_wait_space },
};

static const Wait *
find_wait (GObject    *object,
           const char *name)
{
  guint i;

  for (i = 0; i < G_N_ELEMENTS (waits); i++)
    if (g_str_equal (waits[i].name, name) &&
        G_TYPE_CHECK_INSTANCE_TYPE (object, waits[i].get_type ()))
      return &waits[i];

  PyErr_Format (PyExc_TypeError, "%s has no %s", G_OBJECT_TYPE_NAME (object),
                name);

  return NULL;
}

static PyObject *
run_wait (const Wait   *wait,
          gpointer      object,
          gsize         size,
          gint64        timeout,
          GCancellable *cancellable)
{
  /* What would overflow is for ever. */
  gint64 left = timeout > G_MAXINT64 / 2 ? -1 : timeout;
  gint64 deadline = left > 0 ? g_get_monotonic_time () + left : 0;
  GError *error = NULL;
  gboolean done;

  for (;;)
    {
      gint64 piece = left < 0 || left > PIECE ? PIECE : left;

      Py_BEGIN_ALLOW_THREADS
      done = wait->func != NULL
               ? wait->func (object, piece, cancellable, &error)
               : wait->size_func (object, size, piece, cancellable, &error);
      Py_END_ALLOW_THREADS

      if (PyErr_CheckSignals () < 0)
        {
          g_clear_error (&error);
          return NULL;
        }
      if (done)
        Py_RETURN_TRUE;
      if (piece == left || !g_error_matches (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT))
        break;

      g_clear_error (&error);
      if (left > 0)
        left = MAX (deadline - g_get_monotonic_time (), 0);
    }

  if (error == NULL)
    Py_RETURN_FALSE;
  iostream_python_raise (error);

  return NULL;
}

PyObject *
iostream_wait (PyObject *args)
{
  PyObject *wrapper, *cancellable_wrapper;
  GCancellable *cancellable = NULL;
  long long timeout;
  Py_ssize_t size = 0;
  const char *name;
  GObject *object;
  const Wait *wait;

  if (!PyArg_ParseTuple (args, "OsLO|n:wait", &wrapper, &name, &timeout,
                         &cancellable_wrapper, &size))
    return NULL;
  object = iostream_python_get_object (wrapper, G_TYPE_OBJECT);
  if (object == NULL)
    return NULL;
  if (cancellable_wrapper != Py_None)
    {
      cancellable = iostream_python_get_object (cancellable_wrapper,
                                                G_TYPE_CANCELLABLE);
      if (cancellable == NULL)
        return NULL;
    }
  if (size < 0)
    return PyErr_Format (PyExc_ValueError, "size %zd is negative", size);
  wait = find_wait (object, name);

  return wait != NULL ? run_wait (wait, object, (gsize) size, timeout, cancellable) : NULL;
}
