/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "iostream-python.h"

#include <pygobject.h>

/* What `for frame in connection` runs on: frames that are there already never
 * pass through Python code; the callable waits for more. */
typedef struct {
  PyObject_HEAD
  PyObject *connection;
  PyObject *wait;
} Frames;

static int
frames_traverse (Frames    *self,
                 visitproc  visit,
                 void      *arg)
{
  Py_VISIT (self->connection);
  Py_VISIT (self->wait);

  return 0;
}

static int
frames_clear (Frames *self)
{
  Py_CLEAR (self->connection);
  Py_CLEAR (self->wait);

  return 0;
}

static void
frames_dealloc (Frames *self)
{
  PyObject_GC_UnTrack (self);
  frames_clear (self);
  Py_TYPE (self)->tp_free ((PyObject *) self);
}

static PyObject *
frames_new (PyTypeObject *type,
            PyObject     *args,
            PyObject     *kwargs)
{
  static char *names[] = { "connection", "wait", NULL };
  PyObject *connection, *wait;
  Frames *self;

  if (!PyArg_ParseTupleAndKeywords (args, kwargs, "OO:Frames", names,
                                    &connection, &wait))
    return NULL;
  if (iostream_python_get_object (connection, IO_TYPE_STREAM_CONNECTION) == NULL)
    return NULL;
  self = (Frames *) type->tp_alloc (type, 0);
  if (self == NULL)
    return NULL;
  self->connection = Py_NewRef (connection);
  self->wait = Py_NewRef (wait);

  return (PyObject *) self;
}

static PyObject *
frames_next (Frames *self)
{
  PyObject *frame;

  if (self->connection == NULL)
    return NULL;
  frame = iostream_frame_take (self->connection);
  if (frame == Py_None)
    Py_SETREF (frame, PyObject_CallOneArg (self->wait, self->connection));
  /* The end, which is without an exception set. */
  if (frame == Py_None)
    Py_CLEAR (frame);

  return frame;
}

PyTypeObject FramesType = {
  PyVarObject_HEAD_INIT (NULL, 0)
  .tp_name = "gi.overrides._iostream.Frames",
  .tp_doc = "Frames(connection, wait)\n--\n\n"
            "Iterates over the frames of a connection; wait(connection) is "
            "called if there is none, for the next one or None at the end.",
  .tp_basicsize = sizeof (Frames),
  .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
  .tp_new = frames_new,
  .tp_dealloc = (destructor) frames_dealloc,
  .tp_traverse = (traverseproc) frames_traverse,
  .tp_clear = (inquiry) frames_clear,
  .tp_iter = PyObject_SelfIter,
  .tp_iternext = (iternextfunc) frames_next,
};

gpointer
iostream_python_get_object (PyObject *wrapper,
                            GType     type)
{
  GObject *object = NULL;

  if (wrapper != NULL && PyObject_TypeCheck (wrapper, &PyGObject_Type))
    object = pygobject_get (wrapper);
  if (object != NULL && G_TYPE_CHECK_INSTANCE_TYPE (object, type))
    return object;
  PyErr_Format (PyExc_TypeError, "not an %s but %R", g_type_name (type),
                wrapper != NULL ? wrapper : Py_None);

  return NULL;
}

void
iostream_python_raise (GError *error)
{
  pyg_error_check (&error);
}

static PyObject *
module_take (PyObject *module,
             PyObject *connection)
{
  return iostream_frame_take (connection);
}

static PyObject *
module_array (PyObject *module,
              PyObject *args)
{
  PyObject *memory, *dtype, *shape;
  Py_ssize_t offset;

  if (!PyArg_ParseTuple (args, "OOOn:array", &memory, &dtype,
                         &shape, &offset))
    return NULL;

  return iostream_array_new (memory, dtype, shape, offset);
}

static PyObject *
module_wait (PyObject *module,
             PyObject *args)
{
  return iostream_wait (args);
}

static PyObject *
module_take_record (PyObject *module,
                    PyObject *queue)
{
  return iostream_record_take (queue);
}

static PyObject *
module_finish_record (PyObject *module,
                      PyObject *queue)
{
  return iostream_record_finish (queue);
}

static PyMethodDef module_methods[] = {
  { "array", module_array, METH_VARARGS,
    "array(memory, dtype, shape, offset, /)\n--\n\n"
    "A NumPy array of a Memory, without a copy." },
  { "take", module_take, METH_O,
    "take(connection, /)\n--\n\n"
    "The next frame in the queue, or None if it is empty." },
  { "finish_record", module_finish_record, METH_O,
    "finish_record(queue, /)\n--\n\n"
    "Ends the view of the last record; False if there is none." },
  { "take_record", module_take_record, METH_O,
    "take_record(queue, /)\n--\n\n"
    "A view of the next record of a queue, or None if it is empty." },
  { "wait", module_wait, METH_VARARGS,
    "wait(object, method, timeout, cancellable, size=0, /)\n--\n\n"
    "Calls a method of the library that waits, so that Ctrl-C ends it." },
  { NULL }
};

static struct PyModuleDef module_def = {
  PyModuleDef_HEAD_INIT,
  .m_name = "_iostream",
  .m_doc = "The part of the Python override that is written in C: shared "
           "memory as Python sees it.",
  .m_size = -1,
  .m_methods = module_methods,
};

PyMODINIT_FUNC PyInit__iostream (void);

PyMODINIT_FUNC
PyInit__iostream (void)
{
  PyTypeObject *types[] = { &LoanType, &MemoryType, &FrameType, &FramesType,
                            &RecordType };
  PyObject *module;
  guint i;

  if (pygobject_init (3, 42, 0) == NULL)
    return NULL;
  module = PyModule_Create (&module_def);
  for (i = 0; module != NULL && i < G_N_ELEMENTS (types); i++)
    if (PyModule_AddType (module, types[i]) < 0)
      Py_CLEAR (module);

  return module;
}
