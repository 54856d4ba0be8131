/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "iostream-python.h"

/* numpy.NAME, a new reference. NumPy is wanted by those who ask for arrays
 * only, so it is imported then. */
static PyObject *
get_numpy (const char *name)
{
  PyObject *numpy = PyImport_ImportModule ("numpy");
  PyObject *attribute;

  if (numpy == NULL)
    return NULL;
  attribute = PyObject_GetAttrString (numpy, name);
  Py_DECREF (numpy);

  return attribute;
}

static Py_ssize_t
get_number (PyObject   *object,
            const char *name)
{
  PyObject *attribute = PyObject_GetAttrString (object, name);
  Py_ssize_t number;

  if (attribute == NULL)
    return -1;
  number = PyNumber_AsSsize_t (attribute, PyExc_OverflowError);
  Py_DECREF (attribute);

  return number;
}

/* numpy.dtype(@dtype): bytes if it is None, and never one of pointers, which
 * another process could set. */
static PyObject *
get_dtype (PyObject   *dtype,
           Py_ssize_t *item_size)
{
  PyObject *type = get_numpy ("dtype");
  PyObject *result;

  if (type == NULL)
    return NULL;
  result = dtype == Py_None ? PyObject_CallFunction (type, "s", "u1")
                            : PyObject_CallOneArg (type, dtype);
  Py_DECREF (type);
  if (result == NULL)
    return NULL;

  *item_size = get_number (result, "itemsize");
  if (*item_size > 0 && get_number (result, "hasobject") == 0)
    return result;
  if (!PyErr_Occurred ())
    PyErr_Format (PyExc_ValueError, "shared memory cannot hold items of %R",
                  result);
  Py_DECREF (result);

  return NULL;
}

/* One dimension, or a sequence of them. */
static PyObject *
get_shape (PyObject   *shape,
           Py_ssize_t  n_items)
{
  if (shape == Py_None)
    return Py_BuildValue ("(n)", n_items);
  if (PyIndex_Check (shape))
    return PyTuple_Pack (1, shape);

  return PySequence_Tuple (shape);
}

/* The number of items that @shape wants; with one -1 in it, as many as there
 * are room for. -1 with an exception set if there is not enough room. */
static Py_ssize_t
count_items (PyObject   *shape,
             Py_ssize_t  n_items)
{
  Py_ssize_t count = 1;
  gboolean open = FALSE;
  Py_ssize_t i;

  for (i = 0; i < PyTuple_GET_SIZE (shape); i++)
    {
      Py_ssize_t dimension;

      dimension = PyNumber_AsSsize_t (PyTuple_GET_ITEM (shape, i),
                                      PyExc_ValueError);
      if (dimension == -1 && PyErr_Occurred ())
        return -1;
      if (dimension == -1 && !open)
        open = TRUE;
      else if (dimension < 0 ||
               __builtin_mul_overflow (count, dimension, &count))
        goto wrong;
    }

  if (open && count > 0)
    count *= n_items / count;
  if (count <= n_items)
    return count;

wrong:
  PyErr_Format (PyExc_ValueError, "no array of shape %R in %zd items",
                shape, n_items);

  return -1;
}

static PyObject *
reshape (PyObject *flat,
         PyObject *shape)
{
  if (flat == NULL || PyTuple_GET_SIZE (shape) == 1)
    return flat;
  Py_SETREF (flat, PyObject_CallMethod (flat, "reshape", "(O)", shape));

  return flat;
}

static PyObject *
array_from_buffer (PyObject   *memory,
                   PyObject   *dtype,
                   Py_ssize_t  count,
                   Py_ssize_t  offset)
{
  PyObject *type = get_numpy ("ndarray");
  PyObject *array;

  if (type == NULL)
    return NULL;
  array = PyObject_CallFunction (type, "(n)OOn", count, dtype, memory, offset);
  Py_DECREF (type);

  return array;
}

PyObject *
iostream_array_new (PyObject   *memory,
                    PyObject   *dtype,
                    PyObject   *shape,
                    Py_ssize_t  offset)
{
  Py_ssize_t item_size = 0;
  Py_ssize_t length = PyObject_Size (memory);
  Py_ssize_t n_items, count;
  PyObject *array = NULL;

  if (length < 0)
    return NULL;
  if (offset < 0 || offset > length)
    return PyErr_Format (PyExc_ValueError, "offset %zd is not inside the "
                         "%zd bytes of data", offset, length);
  dtype = get_dtype (dtype, &item_size);
  if (dtype == NULL)
    return NULL;

  n_items = (length - offset) / item_size;
  if (shape == Py_None && (length - offset) % item_size != 0)
    {
      PyErr_Format (PyExc_ValueError, "%zd bytes are no whole number of items "
                    "of %R", length - offset, dtype);
      Py_DECREF (dtype);
      return NULL;
    }
  shape = get_shape (shape, n_items);
  count = shape != NULL ? count_items (shape, n_items) : -1;
  if (count >= 0)
    array = reshape (array_from_buffer (memory, dtype, count, offset), shape);
  Py_XDECREF (shape);
  Py_DECREF (dtype);

  return array;
}
