/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "iostream-python.h"

static int
memory_traverse (Memory    *self,
                 visitproc  visit,
                 void      *arg)
{
  Py_VISIT (self->loan);

  return 0;
}

/* The loan stays until the end: a collector clears in any order, and a buffer
 * that somebody looks at must not go home before. */
static void
memory_dealloc (Memory *self)
{
  PyObject_GC_UnTrack (self);
  Py_CLEAR (self->loan);
  g_clear_pointer (&self->bytes, g_bytes_unref);
  Py_TYPE (self)->tp_free ((PyObject *) self);
}

static int
memory_get_buffer (Memory    *self,
                   Py_buffer *view,
                   int        flags)
{
  return PyBuffer_FillInfo (view, (PyObject *) self, (char *) self->address,
                            self->length, self->read_only, flags);
}

static Py_ssize_t
memory_length (Memory *self)
{
  return self->length;
}

static PyObject *
memory_repr (Memory *self)
{
  return PyUnicode_FromFormat ("<_iostream.Memory of %zd bytes, %s>",
                               self->length,
                               self->read_only ? "read-only" : "writable");
}

PyObject *
iostream_memory_new (IOMemoryMap *map,
                     gsize        offset,
                     gsize        length,
                     Loan        *loan)
{
  /* It keeps the memory mapped even if the map is told to unmap. */
  g_autoptr (GBytes) bytes = NULL;
  const char *address = "";
  gsize capacity = 0;
  Memory *self;

  if (map != NULL)
    bytes = io_memory_map_get_bytes (map);
  if (bytes != NULL)
    address = g_bytes_get_data (bytes, &capacity);
  if (offset > capacity || length > capacity - offset)
    return PyErr_Format (PyExc_ValueError,
                         "%zu bytes at %zu are not inside the %zu bytes of "
                         "the map", length, offset, capacity);

  self = PyObject_GC_New (Memory, &MemoryType);
  if (self == NULL)
    return NULL;
  self->loan = (Loan *) Py_XNewRef ((PyObject *) loan);
  self->read_only = bytes == NULL || !io_memory_map_is_writable (map);
  self->bytes = g_steal_pointer (&bytes);
  self->address = address + offset;
  self->length = (Py_ssize_t) length;
  PyObject_GC_Track (self);

  return (PyObject *) self;
}

PyObject *
iostream_memory_get_view (IOMemoryMap *map,
                          gsize        offset,
                          gsize        length,
                          Loan        *loan)
{
  PyObject *memory = iostream_memory_new (map, offset, length, loan);
  PyObject *view;

  if (memory == NULL)
    return NULL;
  view = PyMemoryView_FromObject (memory);
  Py_DECREF (memory);

  return view;
}

static PyObject *
memory_new (PyTypeObject *type,
            PyObject     *args,
            PyObject     *kwargs)
{
  static char *names[] = { "map", "offset", "length", NULL };
  PyObject *wrapper;
  IOMemoryMap *map;
  Py_ssize_t offset = 0;
  Py_ssize_t length = -1;
  gsize capacity;

  if (!PyArg_ParseTupleAndKeywords (args, kwargs, "O|nn:Memory", names,
                                    &wrapper, &offset, &length))
    return NULL;
  map = iostream_python_get_object (wrapper, IO_TYPE_MEMORY_MAP);
  if (map == NULL)
    return NULL;
  if (offset < 0 || length < -1)
    return PyErr_Format (PyExc_ValueError, "negative offset or length");
  capacity = io_memory_map_get_length (map);
  if (length == -1)
    length = (gsize) offset <= capacity ? (Py_ssize_t) (capacity - offset) : 0;

  return iostream_memory_new (map, offset, length, NULL);
}

static PyBufferProcs memory_as_buffer = {
  .bf_getbuffer = (getbufferproc) memory_get_buffer,
};

static PySequenceMethods memory_as_sequence = {
  .sq_length = (lenfunc) memory_length,
};

PyTypeObject MemoryType = {
  PyVarObject_HEAD_INIT (NULL, 0)
  .tp_name = "gi.overrides._iostream.Memory",
  .tp_doc = "Memory(map, offset=0, length=-1)\n--\n\n"
            "Exports the bytes of an IOStream.MemoryMap to memoryview() and "
            "NumPy. The map lives as long as a view does.",
  .tp_basicsize = sizeof (Memory),
  .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
  .tp_new = memory_new,
  .tp_dealloc = (destructor) memory_dealloc,
  .tp_traverse = (traverseproc) memory_traverse,
  .tp_repr = (reprfunc) memory_repr,
  .tp_as_buffer = &memory_as_buffer,
  .tp_as_sequence = &memory_as_sequence,
};
