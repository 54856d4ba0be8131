/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-connection-internal-private.h"

#include <errno.h>

#define MAX_PROGRAM_LENGTH 128

typedef IOConnectionJob Job;

static IOOpcode
get_opcode (Job *job)
{
  return job->opens ? IO_OPCODE_OPEN : IO_OPCODE_HELLO;
}

/* The steps. */

static GVariant *
new_hello (void)
{
  /* Nobody has set the first one in Python, and in C without options. */
  const char *program = g_get_prgname () != NULL ? g_get_prgname () : program_invocation_short_name;
  g_autofree char *valid = g_utf8_make_valid (program, -1);

  if (g_utf8_strlen (valid, -1) > MAX_PROGRAM_LENGTH)
    *g_utf8_offset_to_pointer (valid, MAX_PROGRAM_LENGTH) = '\0';

  return g_variant_new ("(us@a{sv})", IO_PROTOCOL_VERSION, valid,
                        g_variant_new ("a{sv}", NULL));
}

static gboolean
take_hello (IOConnection  *self,
            GVariant      *answer,
            GError       **error)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  const char *name, *service_class;
  guint32 version;

  g_variant_get_child (answer, 0, "u", &version);
  g_variant_get_child (answer, 1, "&s", &name);
  g_variant_get_child (answer, 2, "&s", &service_class);
  if (version != IO_PROTOCOL_VERSION)
    {
      g_propagate_error (error, _io_connection_new_error (self, IO_OPCODE_HELLO,
                                                          IO_STREAM_ERROR_UNSUPPORTED,
                                                          "the owner speaks version %u of the "
                                                          "protocol, not %u", version,
                                                          IO_PROTOCOL_VERSION));
      return FALSE;
    }

  priv->service_class = g_strdup (service_class);
  if (priv->name == NULL && *name != '\0')
    {
      priv->name = g_strdup (name);
      g_object_notify (G_OBJECT (self), "name");
    }
  priv->greeted = TRUE;
  priv->link = IO_LINK_UP;
  _io_connection_notify_link (self);

  return TRUE;
}

/* A synchronous call in the thread of the service would wait for ever for others
 * to close it. */
static GVariant *
new_open (IOConnection *self,
          Job          *job)
{
  const IOConnectionHooks *hooks = _io_connection_get_private (self)->hooks;
  GVariantDict options;

  _io_connection_get_private (self)->open_options = job->options;
  g_variant_dict_init (&options, NULL);
  if (job->sync && _io_connection_get_private (self)->local)
    g_variant_dict_insert (&options, "wait", "b", FALSE);
  if (hooks != NULL && hooks->add_options != NULL)
    hooks->add_options (self, &options);

  return g_variant_new ("(u@a{sv})", job->options, g_variant_dict_end (&options));
}

static gboolean
first_step (IOConnection      *self,
            Job               *job,
            IOConnectionCall  *next)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);

  if (!priv->greeted)
    {
      next->opcode = IO_OPCODE_HELLO;
      next->args = new_hello ();
    }
  else if (job->opens)
    {
      next->opcode = IO_OPCODE_OPEN;
      next->args = new_open (self, job);
    }

  return TRUE;
}

/* What comes after the answer to the last call; nothing, if @next keeps 0. */
gboolean
_io_connection_next_step (IOConnection      *self,
                          Job               *job,
                          GVariant          *answer,
                          GUnixFDList       *fds,
                          IOConnectionCall  *next,
                          GError           **error)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  gboolean ok = TRUE;

  next->opcode = 0;
  next->args = NULL;
  /* It may have been hung up, or lost, while the answer waited for its turn:
   * what that was about is gone. */
  if (job->at != 0 && !_io_connection_check (self, get_opcode (job), error))
    return FALSE;

  if (job->at == 0)
    ok = first_step (self, job, next);
  else if (job->at == IO_OPCODE_HELLO)
    ok = take_hello (self, answer, error) && first_step (self, job, next);
  else if (priv->hooks != NULL && priv->hooks->open_step != NULL)
    ok = priv->hooks->open_step (self, job->at, answer, fds, next, error);

  job->at = next->opcode;

  return ok;
}

/* TRUE with @done: it is there already. */
gboolean
_io_connection_begin_job (IOConnection  *self,
                          Job           *job,
                          gboolean      *done,
                          GError       **error)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  IOOpcode opcode = get_opcode (job);
  gboolean busy = priv->phase == IO_PHASE_OPENING || priv->phase == IO_PHASE_CLOSING;

  *done = FALSE;
  if (priv->link != IO_LINK_NONE || !_io_connection_in_own_process (self))
    if (!_io_connection_check (self, opcode, error))
      return FALSE;

  if (busy || (job->opens && priv->phase == IO_PHASE_OPEN))
    {
      g_propagate_error (error, _io_connection_new_error (self, opcode, busy
                                                          ? IO_STREAM_ERROR_BUSY
                                                          : IO_STREAM_ERROR_STILL_OPEN,
                                                          busy ? "it is being opened or closed"
                                                               : "it is open already"));
      return FALSE;
    }
  if (priv->name == NULL && priv->socket == NULL && !priv->local)
    {
      g_set_error_literal (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
                           "Connecting needs the name of a service, a socket, or a service");
      return FALSE;
    }

  *done = !job->opens && priv->link == IO_LINK_UP;
  if (!*done)
    priv->phase = IO_PHASE_OPENING;
  job->deadline = _io_connection_end_of_timeout (priv->timeout);

  return TRUE;
}

/* The next attempt is made on a new socket. */
static void
forget_link (IOConnection *self)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);

  if (priv->link == IO_LINK_NONE)
    return;

  _io_connection_detach (self);
  _io_connection_end_calls (self, IO_STREAM_ERROR_NOT_OPEN, "not connected");
  priv->link = IO_LINK_NONE;
  g_clear_error (&priv->error);
  g_clear_pointer (&priv->reason, g_free);
  if (priv->name != NULL || priv->local)
    g_clear_object (&priv->socket);
}

static void
abort_job (IOConnection *self)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);

  if (!priv->greeted && priv->link != IO_LINK_HUNG_UP)
    forget_link (self);
  else if (priv->link == IO_LINK_UP && priv->owner_open)
    _io_connection_send_close (self);
  _io_connection_run_closed (self);
  priv->phase = IO_PHASE_CLOSED;
}

/* @error is what went wrong so far. FALSE if the job failed after all. */
gboolean
_io_connection_end_job (IOConnection  *self,
                        Job           *job,
                        GCancellable  *cancellable,
                        GError       **error)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);

  if (*error == NULL)
    g_cancellable_set_error_if_cancelled (cancellable, error);
  if (*error == NULL)
    _io_connection_check (self, get_opcode (job), error);
  if (*error != NULL)
    {
      abort_job (self);
      return FALSE;
    }

  priv->phase = job->opens ? IO_PHASE_OPEN : IO_PHASE_CLOSED;
  if (job->opens)
    g_object_notify (G_OBJECT (self), "opened");

  return TRUE;
}

/* Synchronous. */

static void
run_job (IOConnection  *self,
         Job           *job,
         GCancellable  *cancellable,
         GError       **error)
{
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GUnixFDList) fds = NULL;
  IOConnectionCall next;

  if (_io_connection_get_private (self)->link == IO_LINK_NONE &&
      !_io_connection_connect_now (self, job->deadline, cancellable, error))
    return;

  while (_io_connection_next_step (self, job, answer, fds, &next, error) && next.opcode != 0)
    {
      g_clear_pointer (&answer, g_variant_unref);
      g_clear_object (&fds);
      answer = _io_connection_call_with_fds (self, next.opcode, next.args, &fds,
                                             cancellable, error);
      if (answer == NULL)
        return;
    }
}

static gboolean
do_job (IOConnection  *self,
        Job           *job,
        GCancellable  *cancellable,
        GError       **error)
{
  /* What is told on the way may drop the last reference of the caller. */
  G_GNUC_UNUSED g_autoptr (IOConnection) kept = g_object_ref (self);
  GError *reason = NULL;
  gboolean done;

  job->sync = TRUE;
  if (g_cancellable_set_error_if_cancelled (cancellable, error) ||
      !_io_connection_begin_job (self, job, &done, error))
    return FALSE;
  if (done)
    return TRUE;

  if (_io_connection_enter (self, get_opcode (job), &reason))
    {
      run_job (self, job, cancellable, &reason);
      _io_connection_leave (self);
    }
  if (_io_connection_end_job (self, job, cancellable, &reason))
    return TRUE;

  g_propagate_error (error, reason);
  return FALSE;
}

gboolean
_io_connection_connect (IOConnection  *self,
                        GCancellable  *cancellable,
                        GError       **error)
{
  Job job = { FALSE };

  return do_job (self, &job, cancellable, error);
}

/* Asynchronous. */

static void
finish_job (GTask  *task,
            GError *error)
{
  IOConnection *self = g_task_get_source_object (task);

  if (_io_connection_end_job (self, g_task_get_task_data (task), g_task_get_cancellable (task),
                              &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
  g_object_unref (task);
}

static void answered (IOConnection *self,
                      GVariant     *answer,
                      GUnixFDList  *fds,
                      const GError *error,
                      gpointer      data);

static void
step_job (GTask       *task,
          GVariant    *answer,
          GUnixFDList *fds)
{
  IOConnection *self = g_task_get_source_object (task);
  IOConnectionCall next;
  GError *error = NULL;

  if (!_io_connection_next_step (self, g_task_get_task_data (task), answer, fds, &next,
                                 &error) || next.opcode == 0)
    finish_job (task, error);
  else if (!_io_connection_start_call (self, next.opcode, next.args,
                                       g_task_get_cancellable (task), answered, task, &error))
    finish_job (task, error);
}

static void
answered (IOConnection *self,
          GVariant     *answer,
          GUnixFDList  *fds,
          const GError *error,
          gpointer      data)
{
  GTask *task = data;

  if (error != NULL)
    finish_job (task, g_error_copy (error));
  else
    step_job (task, answer, fds);
}

static gboolean connect_cb (gpointer user_data);

static void
connect_later (GTask *task)
{
  IOConnection *self = g_task_get_source_object (task);
  g_autoptr (GSource) source = g_timeout_source_new (IO_CONNECTION_RETRY_MSEC);

  g_source_set_callback (source, connect_cb, task, NULL);
  g_source_attach (source, _io_connection_get_private (self)->context);
}

static gboolean
connect_cb (gpointer user_data)
{
  GTask *task = user_data;
  IOConnection *self = g_task_get_source_object (task);
  GCancellable *cancellable = g_task_get_cancellable (task);
  Job *job = g_task_get_task_data (task);
  GError *error = NULL;
  gboolean again = FALSE;

  /* Hung up while it waited. */
  if (_io_connection_get_private (self)->link != IO_LINK_NONE)
    _io_connection_check (self, IO_OPCODE_HELLO, &error);
  else if (_io_connection_connect_once (self, &again, &error))
    {
      step_job (task, NULL, NULL);
      return G_SOURCE_REMOVE;
    }

  if (again && _io_connection_check_retry (self, job->deadline, cancellable, &error))
    connect_later (task);
  else
    finish_job (task, error);

  return G_SOURCE_REMOVE;
}

static void
start_job (IOConnection *self,
           Job          *job,
           GTask        *task)
{
  GError *error = NULL;
  gboolean done = FALSE;

  g_task_set_task_data (task, job, g_free);
  /* Success must be success: what is open is not thrown away by a
   * cancellation that comes too late. */
  g_task_set_check_cancellable (task, FALSE);

  if (g_cancellable_set_error_if_cancelled (g_task_get_cancellable (task), &error) ||
      !_io_connection_begin_job (self, job, &done, &error))
    g_task_return_error (task, error);
  else if (done)
    g_task_return_boolean (task, TRUE);
  else
    {
      if (_io_connection_get_private (self)->link == IO_LINK_NONE)
        connect_cb (task);
      else
        step_job (task, NULL, NULL);
      return;
    }
  g_object_unref (task);
}

void
_io_connection_connect_async (IOConnection *self,
                              GTask        *task)
{
  start_job (self, g_new0 (Job, 1), task);
}

/* Closing. */

static gboolean
begin_close (IOConnection  *self,
             GCancellable  *cancellable,
             GError       **error)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  gboolean busy;

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  _io_connection_give_up (self);
  busy = priv->phase == IO_PHASE_OPENING || priv->phase == IO_PHASE_CLOSING;
  if (!_io_connection_check (self, IO_OPCODE_CLOSE, error))
    {
      if (priv->link == IO_LINK_LOST && !busy)
        _io_connection_run_closed (self);
      return FALSE;
    }
  if (priv->phase != IO_PHASE_OPEN)
    {
      g_propagate_error (error, _io_connection_new_error (self, IO_OPCODE_CLOSE, busy
                                                          ? IO_STREAM_ERROR_BUSY
                                                          : IO_STREAM_ERROR_NOT_OPEN,
                                                          busy ? "it is being opened or closed"
                                                               : "it is not open"));
      return FALSE;
    }

  priv->phase = IO_PHASE_CLOSING;
  return TRUE;
}

static void
end_close (IOConnection *self,
           const GError *error)
{
  G_GNUC_UNUSED g_autoptr (IOConnection) kept = g_object_ref (self);
  IOConnectionPrivate *priv = _io_connection_get_private (self);

  if (priv->phase != IO_PHASE_CLOSING)
    return;

  /* The owner has not closed it, and keeps it open for us. */
  if (g_error_matches (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY) && priv->link == IO_LINK_UP)
    {
      priv->phase = IO_PHASE_OPEN;
      return;
    }

  priv->phase = IO_PHASE_CLOSED;
  _io_connection_run_closed (self);
  g_object_notify (G_OBJECT (self), "opened");
}

static void
close_answered (IOConnection *self,
                GVariant     *answer,
                GUnixFDList  *fds,
                const GError *error,
                gpointer      data)
{
  g_autoptr (GTask) task = data;

  end_close (self, error);
  if (error != NULL)
    g_task_return_error (task, g_error_copy (error));
  else
    g_task_return_boolean (task, TRUE);
}

/**
 * io_connection_open:
 * @self: an #IOConnection
 * @options: #IOStreamOpenFlags for a stream, else what the service defines
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Opens the service (Apple: IOServiceOpen()); connects first if that has not
 * been done. If it fails nothing is open, also not at the owner's end.
 *
 * Beside the errors of io_connection_new_for_name() there are
 * %IO_STREAM_ERROR_STILL_OPEN if it is open already, %IO_STREAM_ERROR_BUSY if it
 * is being opened or closed, %IO_STREAM_ERROR_EXCLUSIVE_ACCESS if another client
 * has it open, %IO_STREAM_ERROR_OFFLINE if the owner is gone,
 * %IO_STREAM_ERROR_NOT_OPEN after io_connection_hang_up(), and what the owner
 * refuses with.
 *
 * In the thread of the connection.
 *
 * Returns: whether the service is open now
 * Since: 1.0
 */
gboolean
io_connection_open (IOConnection  *self,
                    guint          options,
                    GCancellable  *cancellable,
                    GError       **error)
{
  Job job = { TRUE, options };

  g_return_val_if_fail (IO_IS_CONNECTION (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return do_job (self, &job, cancellable, error);
}

/**
 * io_connection_open_async:
 * @self: an #IOConnection
 * @options: as in io_connection_open()
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async): called when the service is open or could not be
 *   opened
 * @user_data: for @callback
 *
 * Opens the service without waiting. An open that is cancelled before its end
 * leaves nothing open. The service may be one that the calling thread serves.
 *
 * In the thread of the connection.
 *
 * Since: 1.0
 */
void
io_connection_open_async (IOConnection        *self,
                          guint                options,
                          GCancellable        *cancellable,
                          GAsyncReadyCallback  callback,
                          gpointer             user_data)
{
  GTask *task;
  Job *job;

  g_return_if_fail (IO_IS_CONNECTION (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, io_connection_open_async);
  job = g_new0 (Job, 1);
  job->opens = TRUE;
  job->options = options;
  start_job (self, job, task);
}

/**
 * io_connection_open_finish:
 * @self: an #IOConnection
 * @result: what the callback got
 * @error: return location for a #GError
 *
 * Ends io_connection_open_async(); it fails as io_connection_open() does.
 *
 * In the thread of the connection.
 *
 * Returns: whether the service is open now
 * Since: 1.0
 */
gboolean
io_connection_open_finish (IOConnection  *self,
                           GAsyncResult  *result,
                           GError       **error)
{
  g_return_val_if_fail (IO_IS_CONNECTION (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, io_connection_open_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * io_connection_close:
 * @self: an #IOConnection
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Closes the service (Apple: IOServiceClose()); the connection stays. Once the
 * owner has been asked, the service is closed at this end, whatever the owner
 * answers and also if the call is cancelled or the owner is late: the error is
 * for information then. Cancelled before the call, nothing happens.
 *
 * It fails with %IO_STREAM_ERROR_NOT_OPEN if the service is not open,
 * %IO_STREAM_ERROR_BUSY if it is being opened or closed, or if the owner cannot
 * close it within a start, stop or suspend method (in both cases nothing has
 * changed),
 * %IO_STREAM_ERROR_NOT_RESPONDING, and the reason of the end (mostly
 * %IO_STREAM_ERROR_OFFLINE) if the connection is lost.
 *
 * In the thread of the connection.
 *
 * Returns: whether the owner has closed it
 * Since: 1.0
 */
gboolean
io_connection_close (IOConnection  *self,
                     GCancellable  *cancellable,
                     GError       **error)
{
  G_GNUC_UNUSED g_autoptr (IOConnection) kept = NULL;
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GError) reason = NULL;

  g_return_val_if_fail (IO_IS_CONNECTION (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  kept = g_object_ref (self);
  if (!_io_connection_enter (self, IO_OPCODE_CLOSE, error))
    return FALSE;
  if (begin_close (self, cancellable, error))
    {
      answer = _io_connection_call (self, IO_OPCODE_CLOSE, NULL, cancellable, &reason);
      end_close (self, reason);
    }
  _io_connection_leave (self);
  if (reason != NULL)
    g_propagate_error (error, g_steal_pointer (&reason));

  return answer != NULL;
}

/**
 * io_connection_close_async:
 * @self: an #IOConnection
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async): called when the owner has answered
 * @user_data: for @callback
 *
 * Closes the service without waiting. See io_connection_close().
 *
 * In the thread of the connection.
 *
 * Since: 1.0
 */
void
io_connection_close_async (IOConnection        *self,
                           GCancellable        *cancellable,
                           GAsyncReadyCallback  callback,
                           gpointer             user_data)
{
  GError *error = NULL;
  GTask *task;

  g_return_if_fail (IO_IS_CONNECTION (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, io_connection_close_async);
  g_task_set_check_cancellable (task, FALSE);
  if (begin_close (self, cancellable, &error))
    {
      if (_io_connection_start_call (self, IO_OPCODE_CLOSE, NULL, cancellable, close_answered,
                                     task, &error))
        return;
      end_close (self, NULL);
    }

  g_task_return_error (task, error);
  g_object_unref (task);
}

/**
 * io_connection_close_finish:
 * @self: an #IOConnection
 * @result: what the callback got
 * @error: return location for a #GError
 *
 * Ends io_connection_close_async(); it fails as io_connection_close() does.
 *
 * In the thread of the connection.
 *
 * Returns: whether the owner has closed it
 * Since: 1.0
 */
gboolean
io_connection_close_finish (IOConnection  *self,
                            GAsyncResult  *result,
                            GError       **error)
{
  g_return_val_if_fail (IO_IS_CONNECTION (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, io_connection_close_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}
