/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-connection-internal-private.h"

#include "io-external-method.h"
#include "io-method-data-private.h"

#include <string.h>

/* One call of a method on its way. */
typedef struct {
  IOOpcode                  opcode;
  guint                     selector;
  guint64                   scalars[IO_EXTERNAL_METHOD_MAX_SCALARS];
  guint                     n_scalars;
  guint                     max_scalars;
  guint                     max_structure;
  GBytes                   *structure;      /* of a struct call; NULL for none */
  GVariant                 *parameters;     /* of a typed one */
  GVariantType             *reply_type;
  GBytes                   *large;          /* what goes through memory */
  GSource                  *cancel_source;  /* while it waits for that */

  IOConnectionProgressFunc  progress;
  gpointer                  progress_data;
  GDestroyNotify            progress_destroy;
} MethodCall;

typedef struct {
  guint64  scalars[IO_EXTERNAL_METHOD_MAX_SCALARS];
  guint    n_scalars;
  GBytes  *structure;
} MethodResult;

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

static void
stop_waiting (MethodCall *call)
{
  if (call->cancel_source != NULL)
    g_source_destroy (call->cancel_source);
  g_clear_pointer (&call->cancel_source, g_source_unref);
}

static void
method_call_clear (MethodCall *call)
{
  stop_waiting (call);
  if (call->progress_destroy != NULL)
    call->progress_destroy (call->progress_data);
  g_clear_pointer (&call->structure, g_bytes_unref);
  g_clear_pointer (&call->parameters, g_variant_unref);
  g_clear_pointer (&call->reply_type, g_variant_type_free);
  g_clear_pointer (&call->large, g_bytes_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (MethodCall, method_call_clear)

static void
method_call_free (MethodCall *call)
{
  method_call_clear (call);
  g_free (call);
}

static void
method_result_free (MethodResult *result)
{
  g_clear_pointer (&result->structure, g_bytes_unref);
  g_free (result);
}

/* What both forms begin with. */
static gboolean
check_size (IOConnection  *self,
            MethodCall    *call,
            guint          n_scalars,
            GError       **error)
{
  gsize size = call->large != NULL ? g_bytes_get_size (call->large) : 0;

  if (n_scalars > IO_EXTERNAL_METHOD_MAX_SCALARS)
    g_propagate_error (error, _io_connection_new_error (self, call->opcode,
                                                        IO_STREAM_ERROR_BAD_ARGUMENT,
                                                        "%u scalars are more than %u", n_scalars,
                                                        IO_EXTERNAL_METHOD_MAX_SCALARS));
  else if (size > IO_EXTERNAL_METHOD_MAX_STRUCTURE)
    g_propagate_error (error, _io_connection_new_error (self, call->opcode,
                                                        IO_STREAM_ERROR_MESSAGE_TOO_LARGE,
                                                        "%" G_GSIZE_FORMAT " bytes are more than %u",
                                                        size, IO_EXTERNAL_METHOD_MAX_STRUCTURE));
  else
    return TRUE;

  return FALSE;
}

static gboolean
fill_struct_call (IOConnection   *self,
                  MethodCall     *call,
                  const guint64  *scalars,
                  guint           n_scalars,
                  GBytes         *structure,
                  GError        **error)
{
  if (structure != NULL && g_bytes_get_size (structure) > IO_METHOD_MAX_INLINE)
    call->large = g_bytes_ref (structure);
  else if (structure != NULL)
    call->structure = g_bytes_ref (structure);
  if (!check_size (self, call, n_scalars, error))
    return FALSE;

  call->n_scalars = n_scalars;
  if (n_scalars > 0)
    memcpy (call->scalars, scalars, n_scalars * sizeof *scalars);

  return TRUE;
}

static gboolean
fill_typed_call (IOConnection        *self,
                 MethodCall          *call,
                 GVariant            *parameters,
                 const GVariantType  *reply_type,
                 GError             **error)
{
  call->parameters = g_variant_ref_sink (parameters != NULL ? parameters : g_variant_new ("()"));
  call->reply_type = reply_type != NULL ? g_variant_type_copy (reply_type) : NULL;
  if (!_io_method_data_check_value (call->parameters, error))
    return FALSE;

  call->large = _io_method_data_flatten (call->parameters);

  return check_size (self, call, 0, error);
}

static gboolean
is_typed (const MethodCall *call)
{
  return call->opcode == IO_OPCODE_VARIANT || call->opcode == IO_OPCODE_VARIANT_ASYNC;
}

/* Floating. */
static GVariant *
build_args (const MethodCall *call)
{
  guint64 length = call->large != NULL ? g_bytes_get_size (call->large) : 0;

  if (is_typed (call))
    return g_variant_new ("(uvst)", call->selector,
                          length == 0 ? call->parameters : g_variant_new ("()"),
                          length == 0 ? "" : g_variant_get_type_string (call->parameters), length);

  return g_variant_new ("(u@at@aytuu)", call->selector,
                        g_variant_new_fixed_array (G_VARIANT_TYPE_UINT64, call->scalars,
                                                   call->n_scalars, sizeof (guint64)),
                        _io_method_data_new_inline (call->structure), length,
                        call->max_scalars, call->max_structure);
}

/* Takes @reason over. It need not be the owner's fault. */
static gboolean
refuse_memory (IOConnection  *self,
               IOOpcode       opcode,
               GError        *reason,
               GError       **error)
{
  g_autoptr (GError) owned = reason;

  if (reason->code != IO_STREAM_ERROR_NO_MEMORY && reason->code != IO_STREAM_ERROR_NO_RESOURCES)
    {
      _io_connection_break_off (self, opcode, reason->message, error);
      return FALSE;
    }

  g_propagate_error (error, g_steal_pointer (&owned));
  return FALSE;
}

/* NULL with no error if @length is 0. */
static GBytes *
take_large (IOConnection  *self,
            MethodCall    *call,
            GUnixFDList   *fds,
            guint64        length,
            guint64        max,
            GError       **error)
{
  GError *reason = NULL;
  GBytes *data;

  if (length > MIN (max, IO_EXTERNAL_METHOD_MAX_STRUCTURE))
    return _io_connection_break_off (self, call->opcode, "its answer is larger than it may be", error);
  if (length == 0)
    return NULL;

  data = _io_method_data_detach (fds, length, &reason);
  if (data != NULL)
    return data;

  refuse_memory (self, call->opcode, reason, error);
  return NULL;
}

static MethodResult *
read_struct_answer (IOConnection  *self,
                    MethodCall    *call,
                    GVariant      *answer,
                    GUnixFDList   *fds,
                    GError       **error)
{
  g_autoptr (GVariant) scalars = g_variant_get_child_value (answer, 0);
  g_autoptr (GVariant) array = g_variant_get_child_value (answer, 1);
  g_autoptr (GBytes) structure = _io_method_data_get_inline (array);
  MethodResult *result;
  gsize n_scalars;
  const guint64 *numbers = g_variant_get_fixed_array (scalars, &n_scalars, sizeof (guint64));
  guint64 length;

  g_variant_get_child (answer, 2, "t", &length);
  if (n_scalars > MIN (call->max_scalars, IO_EXTERNAL_METHOD_MAX_SCALARS) ||
      g_bytes_get_size (structure) > call->max_structure)
    return _io_connection_break_off (self, call->opcode, "its answer is more than was asked for", error);
  if (length > 0)
    {
      g_bytes_unref (structure);
      structure = take_large (self, call, fds, length, call->max_structure, error);
      if (structure == NULL)
        return NULL;
    }

  result = g_new0 (MethodResult, 1);
  result->n_scalars = n_scalars;
  if (n_scalars > 0)
    memcpy (result->scalars, numbers, n_scalars * sizeof *numbers);
  result->structure = g_steal_pointer (&structure);

  return result;
}

/* A full reference. */
static GVariant *
read_typed_answer (IOConnection  *self,
                   MethodCall    *call,
                   GVariant      *answer,
                   GUnixFDList   *fds,
                   GError       **error)
{
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GBytes) data = NULL;
  const char *type;
  guint64 length;

  g_variant_get (answer, "(v&st)", &value, &type, &length);
  if (length > 0)
    {
      data = take_large (self, call, fds, length, IO_EXTERNAL_METHOD_MAX_STRUCTURE, error);
      if (data == NULL)
        return NULL;
      g_variant_unref (value);
      value = _io_method_data_unflatten (type, data);
    }
  if (value == NULL)
    return _io_connection_break_off (self, call->opcode, "its answer is not what it says", error);
  if (call->reply_type == NULL || g_variant_is_of_type (value, call->reply_type))
    return g_steal_pointer (&value);

  g_propagate_error (error, _io_connection_new_error (self, call->opcode, IO_STREAM_ERROR_BAD_MESSAGE,
                                                      "the answer to method %u is of type %s",
                                                      call->selector,
                                                      g_variant_get_type_string (value)));
  return NULL;
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
                  MethodCall   *call)
{
  IOConnectionMethods *methods = _io_connection_ensure_methods (self);

  return methods->transfer != NULL && !methods->asking && methods->n_taken == methods->n_sent &&
         _io_memory_backing_get_size (methods->transfer) >= g_bytes_get_size (call->large);
}

/* Floating. */
static GVariant *
begin_ask (IOConnection *self,
           MethodCall   *call,
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
    return refuse_memory (self, IO_OPCODE_GET_TRANSFER, reason, error);

  g_clear_pointer (&methods->transfer, _io_memory_backing_unref);
  methods->transfer = transfer;
  methods->n_answered = ask->number;

  return TRUE;
}

static gboolean
fill_transfer (IOConnection  *self,
               MethodCall    *call,
               GError       **error)
{
  IOConnectionMethods *methods = _io_connection_ensure_methods (self);

  methods->n_sent++;

  return _io_method_data_store (methods->transfer, call->large, error);
}

/* Synchronous. */

static gboolean
prepare_transfer (IOConnection  *self,
                  MethodCall    *call,
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

static GVariant *
run_call (IOConnection  *self,
          MethodCall    *call,
          GUnixFDList  **fds,
          GCancellable  *cancellable,
          GError       **error)
{
  IOConnectionMethods *methods;
  GVariant *answer;

  if (call->large != NULL && !prepare_transfer (self, call, cancellable, error))
    return NULL;

  answer = _io_connection_call_with_fds (self, call->opcode, build_args (call), fds, cancellable,
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
  MethodCall *call = g_task_get_task_data (task);

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
  MethodCall *call = g_task_get_task_data (task);
  GError *reason = error != NULL ? g_error_copy (error) : NULL;
  gpointer result = NULL;

  if (reason == NULL && is_typed (call))
    result = read_typed_answer (self, call, answer, fds, &reason);
  else if (reason == NULL)
    result = read_struct_answer (self, call, answer, fds, &reason);

  if (result == NULL)
    g_task_return_error (task, reason);
  else
    g_task_return_pointer (task, result, is_typed (call) ? (GDestroyNotify) g_variant_unref
                                                         : (GDestroyNotify) method_result_free);
}

/* Takes @task over. */
static void
send_call (IOConnection *self,
           GTask        *task)
{
  MethodCall *call = g_task_get_task_data (task);
  GError *error = NULL;

  if ((call->large == NULL || fill_transfer (self, call, &error)) &&
      _io_connection_start_action (self, call->opcode, build_args (call),
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

  stop_waiting (g_task_get_task_data (task));

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
  stop_waiting (g_task_get_task_data (task));
  g_task_return_error_if_cancelled (task);

  return G_SOURCE_REMOVE;
}

static void
push_waiting (IOConnection *self,
              GTask        *task)
{
  MethodCall *call = g_task_get_task_data (task);
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
  MethodCall *call = g_task_get_task_data (task);
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
      MethodCall *call = g_task_get_task_data (task);
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

static GTask *
new_task (IOConnection             *self,
          MethodCall               *call,
          IOConnectionProgressFunc  progress,
          gpointer                  progress_data,
          GDestroyNotify            progress_destroy,
          GCancellable             *cancellable,
          GAsyncReadyCallback       callback,
          gpointer                  user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);

  call->progress = progress;
  call->progress_data = progress_data;
  call->progress_destroy = progress_destroy;
  g_task_set_task_data (task, call, (GDestroyNotify) method_call_free);
  /* An answer that is there is not thrown away. */
  g_task_set_check_cancellable (task, FALSE);

  return task;
}

/* Takes both over. */
static void
start_task (GTask  *task,
            GError *error)
{
  IOConnection *self = g_task_get_source_object (task);
  MethodCall *call = g_task_get_task_data (task);

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

static void
give_result (MethodResult  *result,
             guint64      **scalar_output,
             guint         *n_scalar_output,
             GBytes       **structure_output)
{
  if (scalar_output != NULL)
    *scalar_output = g_memdup2 (result->scalars, result->n_scalars * sizeof (guint64));
  if (n_scalar_output != NULL)
    *n_scalar_output = result->n_scalars;
  if (structure_output != NULL)
    *structure_output = g_steal_pointer (&result->structure);
  method_result_free (result);
}

static void
clear_result (guint64 **scalar_output,
              guint    *n_scalar_output,
              GBytes  **structure_output)
{
  if (scalar_output != NULL)
    *scalar_output = NULL;
  if (n_scalar_output != NULL)
    *n_scalar_output = 0;
  if (structure_output != NULL)
    *structure_output = NULL;
}

/**
 * io_connection_call_method:
 * @self: a connection
 * @selector: the number of the method
 * @scalar_input: (array length=n_scalar_input) (nullable): scalars to give
 * @n_scalar_input: how many, at most %IO_EXTERNAL_METHOD_MAX_SCALARS
 * @structure_input: (nullable): a struct to give, of at most
 *   %IO_EXTERNAL_METHOD_MAX_STRUCTURE bytes
 * @max_scalar_output: how many scalars to take, or
 *   %IO_EXTERNAL_METHOD_VARIABLE for what there is
 * @max_structure_output: how many bytes of a struct to take, or
 *   %IO_EXTERNAL_METHOD_VARIABLE for what there is
 * @scalar_output: (out) (optional) (transfer full) (array length=n_scalar_output):
 *   return location for scalars
 * @n_scalar_output: (out) (optional): return location for their number
 * @structure_output: (out) (optional) (transfer full): return location for a
 *   struct, of size 0 if there is none
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Calls a method of the owner, see #IOUserClientClass.external_method(), and
 * waits for its answer. The service need not be open, unless the method wants
 * it so.
 *
 * Structs of more than 4,096 bytes travel in shared memory: the owner makes a
 * piece of it for what is given, which is kept for the next call. A client that
 * the owner lets only read cannot give such.
 *
 * Fails with %IO_STREAM_ERROR_BAD_ARGUMENT if there is no such method or it
 * wants other arguments, %IO_STREAM_ERROR_MESSAGE_TOO_LARGE for a larger
 * struct, %IO_STREAM_ERROR_NO_SPACE if the result is larger than asked for,
 * %IO_STREAM_ERROR_UNSUPPORTED if the service has no methods,
 * %IO_STREAM_ERROR_NO_COMPLETION if the method is empty,
 * %IO_STREAM_ERROR_NOT_PERMITTED and %IO_STREAM_ERROR_NO_RESOURCES if there is
 * no memory for a large struct, an error of the method, or an error of the
 * connection.
 *
 * In the thread of the connection. Apple: IOConnectCallMethod and its short
 * forms.
 *
 * Returns: %TRUE on success; else nothing is returned in the other places
 * Since: 1.0
 */
gboolean
io_connection_call_method (IOConnection   *self,
                           guint           selector,
                           const guint64  *scalar_input,
                           guint           n_scalar_input,
                           GBytes         *structure_input,
                           guint           max_scalar_output,
                           guint           max_structure_output,
                           guint64       **scalar_output,
                           guint          *n_scalar_output,
                           GBytes        **structure_output,
                           GCancellable   *cancellable,
                           GError        **error)
{
  g_auto (MethodCall) call = { .opcode = IO_OPCODE_METHOD, .selector = selector };
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GUnixFDList) fds = NULL;
  MethodResult *result;

  clear_result (scalar_output, n_scalar_output, structure_output);
  g_return_val_if_fail (IO_IS_CONNECTION (self), FALSE);
  g_return_val_if_fail (scalar_input != NULL || n_scalar_input == 0, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  call.max_scalars = max_scalar_output;
  call.max_structure = max_structure_output;
  if (!fill_struct_call (self, &call, scalar_input, n_scalar_input, structure_input, error))
    return FALSE;

  answer = run_call (self, &call, &fds, cancellable, error);
  if (answer == NULL)
    return FALSE;
  result = read_struct_answer (self, &call, answer, fds, error);
  if (result == NULL)
    return FALSE;

  give_result (result, scalar_output, n_scalar_output, structure_output);
  return TRUE;
}

/**
 * io_connection_call_method_async:
 * @self: a connection
 * @selector: the number of the method
 * @scalar_input: (array length=n_scalar_input) (nullable): scalars to give
 * @n_scalar_input: how many, at most %IO_EXTERNAL_METHOD_MAX_SCALARS
 * @structure_input: (nullable): a struct to give
 * @max_scalar_output: how many scalars to take, or
 *   %IO_EXTERNAL_METHOD_VARIABLE for what there is
 * @max_structure_output: how many bytes of a struct to take, or
 *   %IO_EXTERNAL_METHOD_VARIABLE for what there is
 * @progress: (nullable) (scope notified) (closure progress_data) (destroy progress_destroy):
 *   what to call when the owner reports progress
 * @progress_data: data for @progress
 * @progress_destroy: (nullable): frees @progress_data
 * @cancellable: (nullable): a #GCancellable
 * @callback: (nullable) (scope async): what to call with the answer
 * @user_data: data for @callback
 *
 * Calls a method of the owner, which gets an #IOAction and may take its time:
 * #IOConnection:timeout does not count here. To give the call up, cancel it;
 * the owner hears of that. All @progress comes before @callback. Of reports
 * that are not delivered yet, because the context does not run, 32 are kept for
 * each call and more are dropped.
 *
 * Any number of such calls can be without an answer, but the owner may refuse
 * one with %IO_STREAM_ERROR_NO_RESOURCES; this one takes
 * %IO_ACTION_MAX_OUTSTANDING. They are answered in any order. A call with a
 * large struct waits for memory, and can be overtaken on its way by others.
 *
 * In the thread of the connection. Apple: IOConnectCallAsyncMethod.
 *
 * Since: 1.0
 */
void
io_connection_call_method_async (IOConnection             *self,
                                 guint                     selector,
                                 const guint64            *scalar_input,
                                 guint                     n_scalar_input,
                                 GBytes                   *structure_input,
                                 guint                     max_scalar_output,
                                 guint                     max_structure_output,
                                 IOConnectionProgressFunc  progress,
                                 gpointer                  progress_data,
                                 GDestroyNotify            progress_destroy,
                                 GCancellable             *cancellable,
                                 GAsyncReadyCallback       callback,
                                 gpointer                  user_data)
{
  MethodCall *call;
  GTask *task;
  GError *error = NULL;

  g_return_if_fail (IO_IS_CONNECTION (self));
  g_return_if_fail (scalar_input != NULL || n_scalar_input == 0);

  call = g_new0 (MethodCall, 1);
  call->opcode = IO_OPCODE_METHOD_ASYNC;
  call->selector = selector;
  call->max_scalars = max_scalar_output;
  call->max_structure = max_structure_output;
  task = new_task (self, call, progress, progress_data, progress_destroy, cancellable, callback,
                   user_data);
  g_task_set_source_tag (task, io_connection_call_method_async);
  fill_struct_call (self, call, scalar_input, n_scalar_input, structure_input, &error);
  start_task (task, error);
}

/**
 * io_connection_call_method_finish:
 * @self: a connection
 * @result: what the callback got
 * @scalar_output: (out) (optional) (transfer full) (array length=n_scalar_output):
 *   return location for scalars
 * @n_scalar_output: (out) (optional): return location for their number
 * @structure_output: (out) (optional) (transfer full): return location for a
 *   struct, of size 0 if there is none
 * @error: return location for an error
 *
 * Gets the answer to io_connection_call_method_async().
 *
 * Fails as io_connection_call_method(), with %G_IO_ERROR_CANCELLED, and with
 * %IO_STREAM_ERROR_ABORTED if the owner dropped the call without an answer.
 *
 * In the thread of the connection.
 *
 * Returns: %TRUE on success; else nothing is returned in the other places
 * Since: 1.0
 */
gboolean
io_connection_call_method_finish (IOConnection  *self,
                                  GAsyncResult  *result,
                                  guint64      **scalar_output,
                                  guint         *n_scalar_output,
                                  GBytes       **structure_output,
                                  GError       **error)
{
  MethodResult *answer;

  clear_result (scalar_output, n_scalar_output, structure_output);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, io_connection_call_method_async), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  answer = g_task_propagate_pointer (G_TASK (result), error);
  if (answer == NULL)
    return FALSE;

  give_result (answer, scalar_output, n_scalar_output, structure_output);
  return TRUE;
}

/**
 * io_connection_call:
 * @self: a connection
 * @selector: the number of the method
 * @parameters: (nullable): what to give, %NULL for the empty tuple; taken over
 *   if floating
 * @reply_type: (nullable): the type that the answer must have, %NULL for any
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Calls a typed method of the owner, see #IOUserClientClass.method() and
 * io_service_add_method(), and waits for its answer. Values of any size up to
 * %IO_EXTERNAL_METHOD_MAX_STRUCTURE bytes can be given and taken, large ones in
 * shared memory as in io_connection_call_method(); but what is in them besides
 * arrays of numbers must be looked at byte by byte, and may take 1 MiB.
 *
 * Fails as io_connection_call_method(), and with %IO_STREAM_ERROR_BAD_MESSAGE
 * if the answer is not of type @reply_type.
 *
 * In the thread of the connection. Apple: none; it takes the place of
 * IOConnectCallMethod with property lists.
 *
 * Returns: (transfer full): the answer
 * Since: 1.0
 */
GVariant *
io_connection_call (IOConnection        *self,
                    guint                selector,
                    GVariant            *parameters,
                    const GVariantType  *reply_type,
                    GCancellable        *cancellable,
                    GError             **error)
{
  g_auto (MethodCall) call = { .opcode = IO_OPCODE_VARIANT, .selector = selector };
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GUnixFDList) fds = NULL;

  g_return_val_if_fail (IO_IS_CONNECTION (self), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!fill_typed_call (self, &call, parameters, reply_type, error))
    return NULL;

  answer = run_call (self, &call, &fds, cancellable, error);

  return answer != NULL ? read_typed_answer (self, &call, answer, fds, error) : NULL;
}

/**
 * io_connection_call_async:
 * @self: a connection
 * @selector: the number of the method
 * @parameters: (nullable): what to give, %NULL for the empty tuple; taken over
 *   if floating
 * @reply_type: (nullable): the type that the answer must have, %NULL for any
 * @progress: (nullable) (scope notified) (closure progress_data) (destroy progress_destroy):
 *   what to call when the owner reports progress
 * @progress_data: data for @progress
 * @progress_destroy: (nullable): frees @progress_data
 * @cancellable: (nullable): a #GCancellable
 * @callback: (nullable) (scope async): what to call with the answer
 * @user_data: data for @callback
 *
 * Calls a typed method of the owner, which gets an #IOAction and may take its
 * time, or answer at once. As io_connection_call_method_async().
 *
 * In the thread of the connection.
 *
 * Since: 1.0
 */
void
io_connection_call_async (IOConnection             *self,
                          guint                     selector,
                          GVariant                 *parameters,
                          const GVariantType       *reply_type,
                          IOConnectionProgressFunc  progress,
                          gpointer                  progress_data,
                          GDestroyNotify            progress_destroy,
                          GCancellable             *cancellable,
                          GAsyncReadyCallback       callback,
                          gpointer                  user_data)
{
  MethodCall *call;
  GTask *task;
  GError *error = NULL;

  g_return_if_fail (IO_IS_CONNECTION (self));

  call = g_new0 (MethodCall, 1);
  call->opcode = IO_OPCODE_VARIANT_ASYNC;
  call->selector = selector;
  task = new_task (self, call, progress, progress_data, progress_destroy, cancellable, callback,
                   user_data);
  g_task_set_source_tag (task, io_connection_call_async);
  fill_typed_call (self, call, parameters, reply_type, &error);
  start_task (task, error);
}

/**
 * io_connection_call_finish:
 * @self: a connection
 * @result: what the callback got
 * @error: return location for an error
 *
 * Gets the answer to io_connection_call_async().
 *
 * Fails as io_connection_call(), with %G_IO_ERROR_CANCELLED, and with
 * %IO_STREAM_ERROR_ABORTED if the owner dropped the call without an answer.
 *
 * In the thread of the connection.
 *
 * Returns: (transfer full): the answer
 * Since: 1.0
 */
GVariant *
io_connection_call_finish (IOConnection  *self,
                           GAsyncResult  *result,
                           GError       **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, io_connection_call_async), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * io_connection_trap:
 * @self: a connection
 * @index: which trap
 * @token: a number to give
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Calls a trap of the owner, see #IOUserClientClass.trap(), and waits until it
 * has run. Trap 0 of a stream announces input, as
 * io_stream_connection_send_input_notification() does without waiting.
 *
 * Fails with %IO_STREAM_ERROR_BAD_ARGUMENT if there is no such trap, which the
 * original reported as success in later versions, an error of the trap, or an
 * error of the connection.
 *
 * In the thread of the connection. Apple: IOConnectTrap1.
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_connection_trap (IOConnection  *self,
                    guint          index,
                    guint32        token,
                    GCancellable  *cancellable,
                    GError       **error)
{
  g_autoptr (GVariant) answer = NULL;

  g_return_val_if_fail (IO_IS_CONNECTION (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  answer = _io_connection_call (self, IO_OPCODE_TRAP, g_variant_new ("(uu)", index, token),
                                cancellable, error);

  return answer != NULL;
}
