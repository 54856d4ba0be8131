/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "iostream-python.h"

typedef struct {
  PyObject_HEAD
  Loan *loan;
  IOStreamBufferQueueEntry entry;
  PyObject *weak_references;
} Frame;

static int
frame_traverse (Frame     *self,
                visitproc  visit,
                void      *arg)
{
  Py_VISIT (self->loan);

  return 0;
}

static int
frame_clear (Frame *self)
{
  Py_CLEAR (self->loan);

  return 0;
}

static void
frame_dealloc (Frame *self)
{
  PyObject_GC_UnTrack (self);
  if (self->weak_references != NULL)
    PyObject_ClearWeakRefs ((PyObject *) self);
  frame_clear (self);
  Py_TYPE (self)->tp_free ((PyObject *) self);
}

/* The loan, borrowed. */
static Loan *
frame_check (Frame *self)
{
  if (self->loan == NULL)
    PyErr_Format (PyExc_ValueError, "frame %u is released",
                  self->entry.sequence);
  else if (iostream_loan_is_revoked (self->loan))
    {
      PyErr_Format (PyExc_ValueError, "frame %u is revoked: it was held for "
                    "too long", self->entry.sequence);
      return NULL;
    }

  return self->loan;
}

/* Takes over @loan. */
PyObject *
iostream_frame_new (Loan *loan)
{
  Frame *self = PyObject_GC_New (Frame, &FrameType);

  if (self == NULL)
    {
      Py_DECREF (loan);
      return NULL;
    }
  self->loan = loan;
  self->entry = loan->entry;
  self->weak_references = NULL;
  PyObject_GC_Track (self);

  return (PyObject *) self;
}

/* The next frame in the queue of @connection, or None. */
PyObject *
iostream_frame_take (PyObject *wrapper)
{
  IOStreamConnection *connection;
  IOStreamBufferQueueEntry entry;
  Loan *loan;

  connection = iostream_python_get_object (wrapper, IO_TYPE_STREAM_CONNECTION);
  if (connection == NULL)
    return NULL;
  if (!io_stream_connection_dequeue_output_entry (connection, &entry))
    Py_RETURN_NONE;
  loan = iostream_loan_new (wrapper, &entry);

  return loan != NULL ? iostream_frame_new (loan) : NULL;
}

static PyObject *
frame_get_sequence (Frame *self,
                    void  *closure)
{
  return PyLong_FromUnsignedLong (self->entry.sequence);
}

static PyObject *
frame_get_timestamp (Frame *self,
                     void  *closure)
{
  return PyLong_FromUnsignedLongLong (self->entry.timestamp);
}

static PyObject *
frame_get_buffer_id (Frame *self,
                     void  *closure)
{
  return PyLong_FromUnsignedLong (self->entry.buffer_id);
}

static PyObject *
frame_get_released (Frame *self,
                    void  *closure)
{
  return PyBool_FromLong (self->loan == NULL);
}

static PyObject *
frame_get_revoked (Frame *self,
                   void  *closure)
{
  return PyBool_FromLong (self->loan != NULL &&
                          iostream_loan_is_revoked (self->loan));
}

static PyObject *
frame_get_data (Frame *self,
                void  *closure)
{
  Loan *loan = frame_check (self);

  if (loan == NULL)
    return NULL;

  return iostream_memory_get_view (loan->data_map, self->entry.data_offset,
                                   self->entry.data_length, loan);
}

static PyObject *
frame_get_control (Frame *self,
                   void  *closure)
{
  Loan *loan = frame_check (self);

  if (loan == NULL)
    return NULL;

  return iostream_memory_get_view (loan->control_map,
                                   self->entry.control_offset,
                                   self->entry.control_length, loan);
}

static PyObject *
frame_array (Frame    *self,
             PyObject *args,
             PyObject *kwargs)
{
  static char *names[] = { "dtype", "shape", "offset", NULL };
  PyObject *dtype = Py_None;
  PyObject *shape = Py_None;
  Py_ssize_t offset = 0;
  PyObject *memory, *array;
  Loan *loan;

  if (!PyArg_ParseTupleAndKeywords (args, kwargs, "|OOn:array", names,
                                    &dtype, &shape, &offset))
    return NULL;
  loan = frame_check (self);
  if (loan == NULL)
    return NULL;
  memory = iostream_memory_new (loan->data_map, self->entry.data_offset,
                                self->entry.data_length, loan);
  if (memory == NULL)
    return NULL;
  array = iostream_array_new (memory, dtype, shape, offset);
  Py_DECREF (memory);

  return array;
}

static PyObject *
frame_release (Frame    *self,
               PyObject *unused)
{
  Py_CLEAR (self->loan);
  Py_RETURN_NONE;
}

static PyObject *
frame_enter (Frame    *self,
             PyObject *unused)
{
  if (frame_check (self) == NULL)
    return NULL;

  return Py_NewRef ((PyObject *) self);
}

static PyObject *
frame_exit (Frame    *self,
            PyObject *args)
{
  Py_CLEAR (self->loan);
  Py_RETURN_NONE;
}

/* None is what the entry said; TypeError and ValueError for the rest. */
static gboolean
parse_length (PyObject    *value,
              const char  *name,
              IOMemoryMap *map,
              guint32      offset,
              guint32     *length)
{
  gsize capacity = map != NULL ? io_memory_map_get_length (map) : 0;
  Py_ssize_t number;

  if (value == Py_None)
    return TRUE;
  number = PyNumber_AsSsize_t (value, PyExc_ValueError);
  if (number == -1 && PyErr_Occurred ())
    return FALSE;
  if (number < 0 || number > G_MAXUINT32 || offset > capacity ||
      (gsize) number > capacity - offset)
    {
      PyErr_Format (PyExc_ValueError,
                    "%s %zd: the buffer has room for 0 to %zu", name, number,
                    offset > capacity ? 0 : capacity - offset);
      return FALSE;
    }
  *length = (guint32) number;

  return TRUE;
}

static PyObject *
frame_send (Frame    *self,
            PyObject *args,
            PyObject *kwargs)
{
  static char *names[] = { "data_length", "control_length", "token", NULL };
  guint32 lengths[] = { self->entry.data_length, self->entry.control_length };
  PyObject *data_length = Py_None;
  PyObject *control_length = Py_None;
  unsigned int token = 0;
  Loan *loan;

  if (!PyArg_ParseTupleAndKeywords (args, kwargs, "|OOI:send", names,
                                    &data_length, &control_length, &token))
    return NULL;
  loan = frame_check (self);
  if (loan == NULL ||
      !parse_length (data_length, "data_length", loan->data_map,
                     self->entry.data_offset, &lengths[0]) ||
      !parse_length (control_length, "control_length", loan->control_map,
                     self->entry.control_offset, &lengths[1]))
    return NULL;

  /* Not to be released by another thread meanwhile. */
  Py_INCREF (loan);
  if (iostream_loan_send (loan, lengths[0], lengths[1], token))
    Py_CLEAR (self->loan);
  Py_DECREF (loan);
  if (PyErr_Occurred ())
    return NULL;
  Py_RETURN_NONE;
}

static Py_ssize_t
frame_length (Frame *self)
{
  return self->entry.data_length;
}

/* A frame is something, even if it has no bytes. */
static int
frame_bool (Frame *self)
{
  return 1;
}

static PyObject *
frame_repr (Frame *self)
{
  return PyUnicode_FromFormat ("<IOStream.Frame %u: buffer %u, %u bytes of "
                               "data, %u of control%s>",
                               self->entry.sequence, self->entry.buffer_id,
                               self->entry.data_length,
                               self->entry.control_length,
                               self->loan == NULL ? ", released" : "");
}

static PyGetSetDef frame_getset[] = {
  { "sequence", (getter) frame_get_sequence, NULL,
    "The number of the loan; it counts up with every buffer sent.", NULL },
  { "timestamp", (getter) frame_get_timestamp, NULL,
    "When it was sent, in nanoseconds of CLOCK_MONOTONIC, or 0.", NULL },
  { "buffer_id", (getter) frame_get_buffer_id, NULL,
    "The number of the buffer.", NULL },
  { "released", (getter) frame_get_released, NULL,
    "Whether the frame is released.", NULL },
  { "revoked", (getter) frame_get_revoked, NULL,
    "Whether the owner has taken the buffer away. What was copied out of the "
    "frame before it is sound if this is False afterwards.", NULL },
  { "data", (getter) frame_get_data, NULL,
    "A memoryview of the data part, in the shared memory itself.", NULL },
  { "control", (getter) frame_get_control, NULL,
    "A memoryview of the control part, in the shared memory itself.", NULL },
  { NULL }
};

static PyMethodDef frame_methods[] = {
  { "array", (PyCFunction) (void (*) (void)) frame_array,
    METH_VARARGS | METH_KEYWORDS,
    "array($self, dtype=None, shape=None, offset=0)\n--\n\n"
    "A NumPy array of the data part, without a copy." },
  { "release", (PyCFunction) frame_release, METH_NOARGS,
    "release($self)\n--\n\n"
    "Ends the frame. The buffer goes home with the last view of it." },
  { "send", (PyCFunction) (void (*) (void)) frame_send,
    METH_VARARGS | METH_KEYWORDS,
    "send($self, data_length=None, control_length=None, token=0)\n--\n\n"
    "Sends the buffer, filled, to the owner and ends the frame." },
  { "__enter__", (PyCFunction) frame_enter, METH_NOARGS, NULL },
  { "__exit__", (PyCFunction) frame_exit, METH_VARARGS, NULL },
  { NULL }
};

static PySequenceMethods frame_as_sequence = {
  .sq_length = (lenfunc) frame_length,
};

static PyNumberMethods frame_as_number = {
  .nb_bool = (inquiry) frame_bool,
};

PyTypeObject FrameType = {
  PyVarObject_HEAD_INIT (NULL, 0)
  .tp_name = "gi.overrides._iostream.Frame",
  .tp_doc = "One buffer that the stream lends. It goes back when it is "
            "released or dropped, and no view of it is left.",
  .tp_basicsize = sizeof (Frame),
  .tp_weaklistoffset = offsetof (Frame, weak_references),
  .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
              Py_TPFLAGS_DISALLOW_INSTANTIATION,
  .tp_dealloc = (destructor) frame_dealloc,
  .tp_traverse = (traverseproc) frame_traverse,
  .tp_clear = (inquiry) frame_clear,
  .tp_repr = (reprfunc) frame_repr,
  .tp_getset = frame_getset,
  .tp_methods = frame_methods,
  .tp_as_sequence = &frame_as_sequence,
  .tp_as_number = &frame_as_number,
};
