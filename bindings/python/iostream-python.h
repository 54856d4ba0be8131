/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <libiostream/iostream.h>

G_BEGIN_DECLS

/* One loan of one buffer. Whoever may still look at the bytes (the frame, each
 * exporter under a memoryview or an array) holds a reference, so the count of
 * this object is the count of them all, and its end is the end of the loan. */
typedef struct {
  PyObject_HEAD
  PyObject *connection;
  GWeakRef *weak_connection;
  IOStreamBufferQueueEntry entry;
  IOMemoryMap *data_map;
  IOMemoryMap *control_map;
  gboolean over;
  gboolean revoked;
} Loan;

/* What memoryview() and NumPy take the bytes from. It cannot be released by
 * hand: it lives as long as something looks through it. */
typedef struct {
  PyObject_HEAD
  Loan *loan;
  GBytes *bytes;
  const char *address;
  Py_ssize_t length;
  gboolean read_only;
} Memory;

extern PyTypeObject LoanType;
extern PyTypeObject MemoryType;
extern PyTypeObject FrameType;
extern PyTypeObject FramesType;
extern PyTypeObject RecordType;

/* The GObject of a wrapper, borrowed; TypeError if it is of another type. */
gpointer  iostream_python_get_object (PyObject   *wrapper,
                                      GType       type);
/* Raises @error as GLib.Error and frees it. */
void      iostream_python_raise      (GError     *error);

PyObject *iostream_memory_new        (IOMemoryMap *map,
                                      gsize        offset,
                                      gsize        length,
                                      Loan        *loan);
PyObject *iostream_memory_get_view   (IOMemoryMap *map,
                                      gsize        offset,
                                      gsize        length,
                                      Loan        *loan);
PyObject *iostream_array_new         (PyObject    *memory,
                                      PyObject    *dtype,
                                      PyObject    *shape,
                                      Py_ssize_t   offset);

Loan     *iostream_loan_new          (PyObject                       *connection,
                                      const IOStreamBufferQueueEntry *entry);
/* Has the owner taken it away? */
gboolean  iostream_loan_is_revoked   (Loan                           *loan);
gboolean  iostream_loan_send         (Loan                           *loan,
                                      guint32                         data_length,
                                      guint32                         control_length,
                                      guint32                         token);

PyObject *iostream_frame_new         (Loan        *loan);
PyObject *iostream_frame_take        (PyObject    *connection);

PyObject *iostream_record_take       (PyObject    *queue);
PyObject *iostream_record_finish     (PyObject    *queue);

PyObject *iostream_wait              (PyObject    *args);

G_END_DECLS
