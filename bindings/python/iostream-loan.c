/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "iostream-python.h"

/* The loan holds the connection by its Python wrapper: a cycle through an
 * attribute of the wrapper (`connection.last = frame`) is then one that the
 * collector sees. */
static int
loan_traverse (Loan      *self,
               visitproc  visit,
               void      *arg)
{
  Py_VISIT (self->connection);

  return 0;
}

/* The collector finalises all of a cycle before it clears any of it. That is
 * the last moment at which the wrapper is sure to have its object, but too early
 * to end the loan: a finaliser may still look at the buffer, or save a view. */
static void
loan_finalize (Loan *self)
{
  PyObject *type, *value, *traceback;
  gpointer connection;

  PyErr_Fetch (&type, &value, &traceback);
  connection = iostream_python_get_object (self->connection,
                                           IO_TYPE_STREAM_CONNECTION);
  if (connection != NULL && self->weak_connection == NULL)
    {
      self->weak_connection = g_new (GWeakRef, 1);
      g_weak_ref_init (self->weak_connection, connection);
    }
  PyErr_Restore (type, value, traceback);
}

static int
loan_clear (Loan *self)
{
  if (self->weak_connection != NULL)
    Py_CLEAR (self->connection);

  return 0;
}

static void
return_buffer (Loan *self)
{
  g_autoptr (IOStreamConnection) reference = NULL;
  IOStreamConnection *connection;

  connection = iostream_python_get_object (self->connection,
                                           IO_TYPE_STREAM_CONNECTION);
  if (connection == NULL && self->weak_connection != NULL)
    connection = reference = g_weak_ref_get (self->weak_connection);
  /* Whatever fails here, the connection is over and the loan with it. */
  if (connection != NULL)
    io_stream_connection_return_entry (connection, &self->entry, NULL);
}

static void
end_loan (Loan *self)
{
  PyObject *type, *value, *traceback;

  PyErr_Fetch (&type, &value, &traceback);
  if (!self->over)
    return_buffer (self);
  if (self->weak_connection != NULL)
    g_weak_ref_clear (self->weak_connection);
  g_clear_pointer (&self->weak_connection, g_free);
  PyErr_Restore (type, value, traceback);
}

static void
loan_dealloc (Loan *self)
{
  PyObject_GC_UnTrack (self);
  end_loan (self);
  Py_CLEAR (self->connection);
  g_clear_object (&self->data_map);
  g_clear_object (&self->control_map);
  Py_TYPE (self)->tp_free ((PyObject *) self);
}

static gboolean
loan_map (Loan               *self,
          IOStreamConnection *connection)
{
  IOStreamBuffer *buffer;

  /* The first entry of a new buffer makes the library map it, for which it
   * may ask the owner. */
  Py_BEGIN_ALLOW_THREADS
  buffer = io_stream_connection_get_buffer_with_id (connection,
                                                    self->entry.buffer_id);
  if (buffer != NULL)
    {
      g_set_object (&self->data_map,
                    io_stream_buffer_get_data_map (buffer));
      g_set_object (&self->control_map,
                    io_stream_buffer_get_control_map (buffer));
    }
  Py_END_ALLOW_THREADS

  if (buffer == NULL)
    iostream_python_raise (g_error_new (IO_STREAM_ERROR,
                                        IO_STREAM_ERROR_VM_ERROR,
                                        "Cannot take an entry: buffer %u is "
                                        "not mapped", self->entry.buffer_id));

  return buffer != NULL;
}

/* Takes over the loan of @entry, also if it fails. */
Loan *
iostream_loan_new (PyObject                       *wrapper,
                   const IOStreamBufferQueueEntry *entry)
{
  IOStreamConnection *connection;
  Loan *self;

  connection = iostream_python_get_object (wrapper, IO_TYPE_STREAM_CONNECTION);
  if (connection == NULL)
    return NULL;

  self = PyObject_GC_New (Loan, &LoanType);
  if (self == NULL)
    {
      io_stream_connection_return_entry (connection, entry, NULL);
      return NULL;
    }
  self->connection = Py_NewRef (wrapper);
  self->weak_connection = NULL;
  self->entry = *entry;
  self->data_map = NULL;
  self->control_map = NULL;
  self->over = FALSE;
  self->revoked = FALSE;
  PyObject_GC_Track (self);

  if (!loan_map (self, connection))
    Py_CLEAR (self);

  return self;
}

gboolean
iostream_loan_is_revoked (Loan *self)
{
  IOStreamConnection *connection;

  if (self->revoked || self->over)
    return self->revoked;

  connection = iostream_python_get_object (self->connection,
                                           IO_TYPE_STREAM_CONNECTION);
  if (connection == NULL)
    PyErr_Clear ();
  else if (io_connection_is_open (IO_CONNECTION (connection)))
    self->revoked = !io_stream_connection_check_entry (connection,
                                                       &self->entry) &&
                    io_stream_connection_get_revoked_count (connection) > 0;

  return self->revoked;
}

/* The loan ends by sending the buffer, filled, to the owner. */
gboolean
iostream_loan_send (Loan    *self,
                    guint32  data_length,
                    guint32  control_length,
                    guint32  token)
{
  IOStreamBufferQueueEntry entry = self->entry;
  IOStreamConnection *connection;
  GError *error = NULL;
  gboolean sent;

  connection = iostream_python_get_object (self->connection,
                                           IO_TYPE_STREAM_CONNECTION);
  if (connection == NULL)
    return FALSE;

  entry.data_length = data_length;
  entry.control_length = control_length;
  self->over = TRUE;

  Py_BEGIN_ALLOW_THREADS
  sent = io_stream_connection_enqueue_input_entry (connection, &entry, &error);
  if (sent)
    io_stream_connection_send_input_notification (connection, token, &error);
  Py_END_ALLOW_THREADS

  self->over = sent;
  if (error != NULL)
    iostream_python_raise (error);

  return sent;
}

PyTypeObject LoanType = {
  PyVarObject_HEAD_INIT (NULL, 0)
  .tp_name = "gi.overrides._iostream.Loan",
  .tp_doc = "The loan of a buffer; it ends with the last view of it.",
  .tp_basicsize = sizeof (Loan),
  .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
              Py_TPFLAGS_DISALLOW_INSTANTIATION,
  .tp_dealloc = (destructor) loan_dealloc,
  .tp_traverse = (traverseproc) loan_traverse,
  .tp_clear = (inquiry) loan_clear,
  .tp_finalize = (destructor) loan_finalize,
};
