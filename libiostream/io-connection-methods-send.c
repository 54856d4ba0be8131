/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-method-call-private.h"

#include "io-method-data-private.h"

/* Calls of methods on their way: large arguments wait for memory. */

IOConnectionMethods *
_io_connection_ensure_methods (IOConnection *self)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);

  if (priv->methods == NULL)
    priv->methods = g_new0 (IOConnectionMethods, 1);

  return priv->methods;
}

void
_io_connection_free_methods (IOConnection *self)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  IOConnectionMethods *methods = g_steal_pointer (&priv->methods);

  if (methods == NULL)
    return;

  g_clear_pointer (&methods->transfer, _io_memory_backing_unref);
  g_clear_pointer (&methods->memories, g_ptr_array_unref);
  g_free (methods);
}

/* The memory for large arguments. It may be written when the owner is done
 * with all that was put there before, which an answer to anything that was
 * asked for later tells; and when the owner is not about to make another one. */

typedef struct {
  gsize   size;
  guint   number;
  guint64 n_sent;   /* when it was asked for */
  GTask  *task;     /* who asks; borrowed, and may be gone */
} Ask;

static gboolean
is_transfer_free (IOConnection *self,
                  IOMethodCall *call)
{
  IOConnectionMethods *methods = _io_connection_ensure_methods (self);

  return methods->transfer != NULL && !methods->asking && methods->n_taken == methods->n_sent &&
         _io_memory_backing_get_size (methods->transfer) >= g_bytes_get_size (call->large);
}

/* Floating. */
static GVariant *
begin_ask (IOConnection *self,
           IOMethodCall *call,
           Ask          *ask)
{
  IOConnectionMethods *methods = _io_connection_ensure_methods (self);

  ask->size = g_bytes_get_size (call->large);
  ask->number = ++methods->n_asked;
  ask->n_sent = methods->n_sent;

  return g_variant_new ("(t)", (guint64) ask->size);
}

static gboolean
take_transfer (IOConnection  *self,
               const Ask     *ask,
               GVariant      *answer,
               GUnixFDList   *fds,
               GError       **error)
{
  IOConnectionMethods *methods = _io_connection_ensure_methods (self);
  IOMemoryBacking *transfer = NULL;
  GError *reason = NULL;
  g_autofree int *list = NULL;
  guint64 size;

  g_variant_get (answer, "(t)", &size);
  if (size < ask->size || size > 2 * (guint64) IO_EXTERNAL_METHOD_MAX_STRUCTURE ||
      fds == NULL || g_unix_fd_list_get_length (fds) != 1)
    {
      _io_connection_break_off (self, IO_OPCODE_GET_TRANSFER, "it gives no memory for the arguments", error);
      return FALSE;
    }

  methods->n_taken = MAX (methods->n_taken, ask->n_sent);
  /* A synchronous call was quicker, and has what the owner made later. */
  if (ask->number < methods->n_answered)
    return TRUE;

  list = g_unix_fd_list_steal_fds (fds, NULL);
  transfer = _io_memory_backing_new_take_fd (list[0], size, G_MAXSSIZE, FALSE, FALSE, &reason);
  if (transfer == NULL)
    return _io_connection_refuse_memory (self, IO_OPCODE_GET_TRANSFER, reason, error);

  g_clear_pointer (&methods->transfer, _io_memory_backing_unref);
  methods->transfer = transfer;
  methods->n_answered = ask->number;

  return TRUE;
}

static gboolean
fill_transfer (IOConnection  *self,
               IOMethodCall  *call,
               GError       **error)
{
  IOConnectionMethods *methods = _io_connection_ensure_methods (self);

  methods->n_sent++;

  return _io_method_data_store (methods->transfer, call->large, error);
}

/* Synchronous. */

static gboolean
prepare_transfer (IOConnection  *self,
                  IOMethodCall  *call,
                  GCancellable  *cancellable,
                  GError       **error)
{
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GUnixFDList) fds = NULL;
  Ask ask;

  if (!is_transfer_free (self, call))
    {
      answer = _io_connection_call_with_fds (self, IO_OPCODE_GET_TRANSFER,
                                             begin_ask (self, call, &ask), &fds, cancellable, error);
      if (answer == NULL || !take_transfer (self, &ask, answer, fds, error))
        return FALSE;
    }

  return fill_transfer (self, call, error);
}

GVariant *
_io_connection_run_method_call (IOConnection  *self,
                                IOMethodCall  *call,
                                GUnixFDList  **fds,
                                GCancellable  *cancellable,
                                GError       **error)
{
  IOConnectionMethods *methods;
  GVariant *answer;

  if (call->large != NULL && !prepare_transfer (self, call, cancellable, error))
    return NULL;

  answer = _io_connection_call_with_fds (self, call->opcode, _io_method_call_build_args (call), fds, cancellable,
                                         error);
  methods = _io_connection_get_private (self)->methods;
  if (answer != NULL && call->large != NULL && methods != NULL)
    methods->n_taken = methods->n_sent;

  return answer;
}

/* Asynchronous. */

static void
progress_cb (IOConnection *self,
             GVariant     *value,
             GUnixFDList  *fds,
             const GError *error,
             gpointer      data)
{
  g_autoptr (GTask) task = g_object_ref (data);
  IOMethodCall *call = g_task_get_task_data (task);

  call->progress (self, value, call->progress_data);
}

static void
answered_cb (IOConnection *self,
             GVariant     *answer,
             GUnixFDList  *fds,
             const GError *error,
             gpointer      data)
{
  g_autoptr (GTask) task = data;
  IOMethodCall *call = g_task_get_task_data (task);
  GError *reason = error != NULL ? g_error_copy (error) : NULL;
  gpointer result = NULL;

  if (reason == NULL && _io_method_call_is_typed (call))
    result = _io_method_call_read_typed (self, call, answer, fds, &reason);
  else if (reason == NULL)
    result = _io_method_call_read_struct (self, call, answer, fds, &reason);

  if (result == NULL)
    g_task_return_error (task, reason);
  else
    g_task_return_pointer (task, result, _io_method_call_is_typed (call)
                           ? (GDestroyNotify) g_variant_unref : (GDestroyNotify) _io_method_result_free);
}

/* Takes @task over. */
static void
send_call (IOConnection *self,
           GTask        *task)
{
  IOMethodCall *call = g_task_get_task_data (task);
  GError *error = NULL;

  if ((call->large == NULL || fill_transfer (self, call, &error)) &&
      _io_connection_start_action (self, call->opcode, _io_method_call_build_args (call),
                                   g_task_get_cancellable (task),
                                   call->progress != NULL ? progress_cb : NULL,
                                   answered_cb, task, &error))
    return;

  g_task_return_error (task, error);
  g_object_unref (task);
}

static GTask *
pop_waiting (IOConnectionMethods *methods)
{
  GTask *task = g_queue_pop_head (&methods->waiting);

  _io_method_call_stop_waiting (g_task_get_task_data (task));

  return task;
}

static void
fail_first (IOConnectionMethods *methods,
            GError              *error)
{
  g_autoptr (GTask) task = pop_waiting (methods);

  g_task_return_error (task, error);
}

/* The owner may take its time, but the caller need not. */
static gboolean
waiting_cancelled_cb (GCancellable *cancellable,
                      gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  IOConnectionMethods *methods = _io_connection_ensure_methods (g_task_get_source_object (task));

  g_queue_remove (&methods->waiting, task);
  _io_method_call_stop_waiting (g_task_get_task_data (task));
  g_task_return_error_if_cancelled (task);

  return G_SOURCE_REMOVE;
}

static void
push_waiting (IOConnection *self,
              GTask        *task)
{
  IOMethodCall *call = g_task_get_task_data (task);
  GCancellable *cancellable = g_task_get_cancellable (task);

  g_queue_push_tail (&_io_connection_ensure_methods (self)->waiting, task);
  if (cancellable == NULL)
    return;

  call->cancel_source = g_cancellable_source_new (cancellable);
  g_source_set_callback (call->cancel_source, G_SOURCE_FUNC (waiting_cancelled_cb), task, NULL);
  g_source_attach (call->cancel_source, _io_connection_get_private (self)->context);
}

static void transfer_cb (IOConnection *self,
                         GVariant     *answer,
                         GUnixFDList  *fds,
                         const GError *error,
                         gpointer      data);

static gboolean
ask_transfer (IOConnection  *self,
              GTask         *task,
              GError       **error)
{
  IOConnectionMethods *methods = _io_connection_ensure_methods (self);
  IOMethodCall *call = g_task_get_task_data (task);
  g_autofree Ask *ask = g_new0 (Ask, 1);

  ask->task = task;
  if (!_io_connection_start_call (self, IO_OPCODE_GET_TRANSFER, begin_ask (self, call, ask), NULL,
                                  transfer_cb, ask, error))
    return FALSE;

  methods->asking = TRUE;
  ask = NULL;
  return TRUE;
}

/* One asks for memory at a time, and those that need it wait in a queue. What
 * is called back may add to it. */
static void
send_waiting (IOConnection *self)
{
  G_GNUC_UNUSED g_autoptr (IOConnection) kept = g_object_ref (self);
  IOConnectionMethods *methods = _io_connection_ensure_methods (self);
  GTask *task;

  while (!methods->asking && (task = g_queue_peek_head (&methods->waiting)) != NULL)
    {
      IOMethodCall *call = g_task_get_task_data (task);
      GError *error = NULL;

      if (is_transfer_free (self, call))
        send_call (self, pop_waiting (methods));
      else if (!ask_transfer (self, task, &error))
        fail_first (methods, error);
    }
}

static void
transfer_cb (IOConnection *self,
             GVariant     *answer,
             GUnixFDList  *fds,
             const GError *error,
             gpointer      data)
{
  IOConnectionMethods *methods = _io_connection_ensure_methods (self);
  g_autofree Ask *ask = data;
  GError *reason = error != NULL ? g_error_copy (error) : NULL;

  methods->asking = FALSE;
  if (reason == NULL)
    take_transfer (self, ask, answer, fds, &reason);
  /* Who asked may have been cancelled meanwhile. */
  if (reason != NULL && g_queue_peek_head (&methods->waiting) == ask->task)
    fail_first (methods, g_steal_pointer (&reason));
  g_clear_error (&reason);
  send_waiting (self);
}

/* Takes both over. */
void
_io_connection_start_method_call (GTask  *task,
                                  GError *error)
{
  IOConnection *self = g_task_get_source_object (task);
  IOMethodCall *call = g_task_get_task_data (task);

  if (error != NULL)
    {
      g_task_return_error (task, error);
      g_object_unref (task);
    }
  else if (call->large == NULL)
    send_call (self, task);
  else
    {
      push_waiting (self, task);
      send_waiting (self);
    }
}
