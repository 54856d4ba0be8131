/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "iostream-python.h"

/* One record of a queue, where it lies. It is taken out of the queue when the
 * last view of it is gone, and the next one is not shown before. */
typedef struct {
  PyObject_HEAD
  PyObject *queue;
  GWeakRef *weak_queue;   /* a collector clears the wrapper in any order */
  PyObject *weak_view;
  const char *address;
  Py_ssize_t length;
  Py_ssize_t n_exports;
} Record;

static GQuark
get_quark (void)
{
  return g_quark_from_static_string ("iostream-python-record");
}

static int
record_traverse (Record    *self,
                 visitproc  visit,
                 void      *arg)
{
  Py_VISIT (self->queue);

  return 0;
}

static void
record_dealloc (Record *self)
{
  GObject *queue = g_weak_ref_get (self->weak_queue);

  PyObject_GC_UnTrack (self);
  if (queue != NULL && g_object_get_qdata (queue, get_quark ()) == self)
    {
      g_object_set_qdata (queue, get_quark (), NULL);
      io_shared_data_queue_consume (IO_SHARED_DATA_QUEUE (queue));
    }
  g_clear_object (&queue);
  g_weak_ref_clear (self->weak_queue);
  g_free (self->weak_queue);
  Py_CLEAR (self->weak_view);
  Py_CLEAR (self->queue);
  Py_TYPE (self)->tp_free ((PyObject *) self);
}

static int
record_get_buffer (Record    *self,
                   Py_buffer *view,
                   int        flags)
{
  if (PyBuffer_FillInfo (view, (PyObject *) self, (char *) self->address, self->length, TRUE, flags) < 0)
    return -1;
  self->n_exports++;

  return 0;
}

static void
record_release_buffer (Record    *self,
                       Py_buffer *view)
{
  self->n_exports--;
}

static PyBufferProcs record_as_buffer = {
  .bf_getbuffer = (getbufferproc) record_get_buffer,
  .bf_releasebuffer = (releasebufferproc) record_release_buffer,
};

PyTypeObject RecordType = {
  PyVarObject_HEAD_INIT (NULL, 0)
  .tp_name = "gi.overrides._iostream.Record",
  .tp_doc = "What the memoryview of a record looks at.",
  .tp_basicsize = sizeof (Record),
  .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
  .tp_dealloc = (destructor) record_dealloc,
  .tp_traverse = (traverseproc) record_traverse,
  .tp_as_buffer = &record_as_buffer,
};

static PyObject *
record_new (PyObject          *queue,
            IOSharedDataQueue *object,
            const void        *data,
            gsize              size)
{
  Record *self = PyObject_GC_New (Record, &RecordType);
  PyObject *view;

  if (self == NULL)
    return NULL;
  self->queue = Py_NewRef (queue);
  self->weak_queue = g_new0 (GWeakRef, 1);
  g_weak_ref_init (self->weak_queue, object);
  self->weak_view = NULL;
  self->address = data;
  self->length = (Py_ssize_t) size;
  self->n_exports = 0;
  PyObject_GC_Track (self);

  view = PyMemoryView_FromObject ((PyObject *) self);
  if (view != NULL)
    {
      self->weak_view = PyWeakref_NewRef (view, NULL);
      if (self->weak_view == NULL)
        Py_CLEAR (view);
      else
        g_object_set_qdata (G_OBJECT (object), get_quark (), self);
    }
  /* From here on the view keeps it. */
  Py_DECREF (self);

  return view;
}

/* Releases the view that was handed out; what was made of that view (a slice,
 * an array) is not ours to end. */
static gboolean
release (Record *self)
{
  PyObject *view = Py_XNewRef (PyWeakref_GetObject (self->weak_view));
  PyObject *result = NULL;

  if (view != NULL && view != Py_None)
    result = PyObject_CallMethod (view, "release", NULL);
  else if (view != NULL)
    result = Py_NewRef (Py_None);
  Py_XDECREF (view);
  if (result == NULL && !PyErr_ExceptionMatches (PyExc_BufferError))
    return FALSE;
  Py_XDECREF (result);
  PyErr_Clear ();
  if (self->n_exports == 0)
    return TRUE;
  PyErr_SetString (PyExc_BufferError,
                   "the last record is still looked at: copy what is to be "
                   "kept, with bytes(view)");

  return FALSE;
}

PyObject *
iostream_record_finish (PyObject *queue)
{
  GObject *object = iostream_python_get_object (queue, IO_TYPE_SHARED_DATA_QUEUE);
  Record *record;
  gboolean done;

  if (object == NULL)
    return NULL;
  record = g_object_get_qdata (object, get_quark ());
  if (record == NULL)
    Py_RETURN_FALSE;
  Py_INCREF (record);
  done = release (record);
  Py_DECREF (record);
  if (!done)
    return NULL;
  Py_RETURN_TRUE;
}

PyObject *
iostream_record_take (PyObject *queue)
{
  PyObject *done = iostream_record_finish (queue);
  IOSharedDataQueue *object;
  const GError *error;
  const void *data;
  gsize size;

  if (done == NULL)
    return NULL;
  Py_DECREF (done);
  object = iostream_python_get_object (queue, IO_TYPE_SHARED_DATA_QUEUE);
  if (io_shared_data_queue_peek (object, &data, &size))
    return record_new (queue, object, data, size);

  error = io_shared_data_queue_get_error (object);
  if (error == NULL || error->code != IO_STREAM_ERROR_IPC_ERROR)
    Py_RETURN_NONE;
  iostream_python_raise (g_error_copy (error));

  return NULL;
}
