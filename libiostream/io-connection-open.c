/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-connection-internal-private.h"

#include "io-names-private.h"

#include <gio/gunixsocketaddress.h>

/* A full backlog cannot be polled for. */
#define RETRY_MSEC         10
#define MAX_PROGRAM_LENGTH 128

/* One way to connected or open, walked by synchronous and asynchronous callers
 * alike: HELLO, OPEN, and what the hooks add. */
typedef struct {
  gboolean opens;     /* or only connects */
  guint    options;
  IOOpcode at;        /* the call whose answer comes next */
  gint64   deadline;  /* of connecting */
} Job;

gboolean
_io_connection_check_thread (IOConnection  *self,
                             IOOpcode       opcode,
                             GError       **error)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  gboolean by_caller = FALSE;

  if (priv->name == NULL || !_io_names_find_local (priv->name, &by_caller) || !by_caller)
    return TRUE;

  g_propagate_error (error, _io_connection_new_error (self, opcode, IO_STREAM_ERROR_CANNOT_LOCK,
                                                      "this thread serves it itself; "
                                                      "use the asynchronous call"));
  return FALSE;
}

static IOOpcode
get_opcode (Job *job)
{
  return job->opens ? IO_OPCODE_OPEN : IO_OPCODE_HELLO;
}

/* Connecting. */

static GError *
new_connect_error (IOConnection *self,
                   const GError *reason)
{
  IOStreamError code = IO_STREAM_ERROR_IO_ERROR;

  if (g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_NOT_FOUND) ||
      g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_NOT_DIRECTORY) ||
      g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED))
    return g_error_new (IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND,
                        "No service named “%s”: %s", _io_connection_get_label (self),
                        g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED)
                        ? "its owner is gone" : "nobody has registered it");

  if (g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED))
    code = IO_STREAM_ERROR_NOT_PERMITTED;
  else if (g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES))
    code = IO_STREAM_ERROR_NO_RESOURCES;

  return _io_connection_new_error (self, IO_OPCODE_HELLO, code, "%s", reason->message);
}

static gboolean
check_given_socket (IOConnection  *self,
                    GError       **error)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);

  if (g_socket_is_closed (priv->socket))
    g_propagate_error (error, _io_connection_new_error (self, IO_OPCODE_HELLO,
                                                        IO_STREAM_ERROR_NOT_OPEN,
                                                        "the socket is closed"));
  else if (g_socket_get_socket_type (priv->socket) != G_SOCKET_TYPE_SEQPACKET ||
           g_socket_get_family (priv->socket) != G_SOCKET_FAMILY_UNIX)
    g_propagate_error (error, _io_connection_new_error (self, IO_OPCODE_HELLO,
                                                        IO_STREAM_ERROR_BAD_ARGUMENT,
                                                        "not a Unix socket of packets"));
  else
    return TRUE;

  return FALSE;
}

/* FALSE with @again: the backlog of the owner is full. */
static gboolean
connect_once (IOConnection  *self,
              gboolean      *again,
              GError       **error)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  g_autofree char *path = NULL;
  g_autoptr (GSocket) socket = NULL;
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (GError) reason = NULL;

  *again = FALSE;
  if (priv->socket != NULL)
    {
      if (!check_given_socket (self, error))
        return FALSE;
      _io_connection_attach (self);
      return TRUE;
    }

  path = _io_names_dup_socket_path (priv->name, error);
  if (path == NULL)
    return FALSE;

  address = g_unix_socket_address_new (path);
  socket = g_socket_new (G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_SEQPACKET,
                         G_SOCKET_PROTOCOL_DEFAULT, &reason);
  if (socket != NULL)
    g_socket_set_blocking (socket, FALSE);
  if (socket == NULL || !g_socket_connect (socket, address, NULL, &reason))
    {
      *again = g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
      if (!*again)
        g_propagate_error (error, new_connect_error (self, reason));
      return FALSE;
    }

  priv->socket = g_steal_pointer (&socket);
  _io_connection_attach (self);
  return TRUE;
}

/* May one more attempt be made? */
static gboolean
check_retry (IOConnection  *self,
             gint64         deadline,
             GCancellable  *cancellable,
             GError       **error)
{
  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  if (deadline < 0 || g_get_monotonic_time () < deadline)
    return TRUE;

  g_propagate_error (error, _io_connection_new_error (self, IO_OPCODE_HELLO,
                                                      IO_STREAM_ERROR_NOT_RESPONDING,
                                                      "the owner takes no connections"));
  return FALSE;
}

static gboolean
connect_now (IOConnection  *self,
             gint64         deadline,
             GCancellable  *cancellable,
             GError       **error)
{
  gboolean again;

  while (!connect_once (self, &again, error))
    {
      if (!again || !check_retry (self, deadline, cancellable, error))
        return FALSE;
      g_usleep (RETRY_MSEC * 1000);
    }

  return TRUE;
}

/* The steps. */

static GVariant *
new_hello (void)
{
  const char *program = g_get_prgname ();
  g_autofree char *valid = g_utf8_make_valid (program != NULL ? program : "", -1);

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
      next->args = g_variant_new ("(u@a{sv})", job->options, g_variant_new ("a{sv}", NULL));
    }

  return TRUE;
}

/* What comes after the answer to the last call; nothing, if @next keeps 0. */
static gboolean
next_step (IOConnection      *self,
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
static gboolean
begin_job (IOConnection  *self,
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
  if (priv->name == NULL && priv->socket == NULL)
    {
      g_set_error_literal (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
                           "Connecting needs the name of a service or a socket");
      return FALSE;
    }

  *done = !job->opens && priv->link == IO_LINK_UP;
  if (!*done)
    priv->phase = IO_PHASE_OPENING;
  job->deadline = priv->timeout < 0 ? -1 : g_get_monotonic_time () + priv->timeout;

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
  if (priv->name != NULL)
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
static gboolean
end_job (IOConnection  *self,
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
      !connect_now (self, job->deadline, cancellable, error))
    return;

  while (next_step (self, job, answer, fds, &next, error) && next.opcode != 0)
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
  GError *reason = NULL;
  gboolean done;

  if (g_cancellable_set_error_if_cancelled (cancellable, error) ||
      !begin_job (self, job, &done, error))
    return FALSE;
  if (done)
    return TRUE;

  if (_io_connection_check_thread (self, get_opcode (job), &reason))
    run_job (self, job, cancellable, &reason);
  if (end_job (self, job, cancellable, &reason))
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

gboolean
_io_connection_open (IOConnection  *self,
                     guint          options,
                     GCancellable  *cancellable,
                     GError       **error)
{
  Job job = { TRUE, options };

  return do_job (self, &job, cancellable, error);
}

/* Asynchronous. */

static void
finish_job (GTask  *task,
            GError *error)
{
  IOConnection *self = g_task_get_source_object (task);

  if (end_job (self, g_task_get_task_data (task), g_task_get_cancellable (task), &error))
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

  if (!next_step (self, g_task_get_task_data (task), answer, fds, &next, &error) ||
      next.opcode == 0)
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
  g_autoptr (GSource) source = g_timeout_source_new (RETRY_MSEC);

  g_source_set_callback (source, connect_cb, task, NULL);
  g_source_attach (source, _io_connection_get_private (self)->context);
}

static gboolean
connect_cb (gpointer user_data)
{
  GTask *task = user_data;
  IOConnection *self = g_task_get_source_object (task);
  Job *job = g_task_get_task_data (task);
  GError *error = NULL;
  gboolean again = FALSE;

  /* Hung up while it waited. */
  if (_io_connection_get_private (self)->link != IO_LINK_NONE)
    _io_connection_check (self, IO_OPCODE_HELLO, &error);
  else if (connect_once (self, &again, &error))
    {
      step_job (task, NULL, NULL);
      return G_SOURCE_REMOVE;
    }

  if (again && check_retry (self, job->deadline, g_task_get_cancellable (task), &error))
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
      !begin_job (self, job, &done, &error))
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

void
_io_connection_open_async (IOConnection *self,
                           guint         options,
                           GTask        *task)
{
  Job *job = g_new0 (Job, 1);

  job->opens = TRUE;
  job->options = options;
  start_job (self, job, task);
}

/* Closing. */

static gboolean
begin_close (IOConnection  *self,
             GCancellable  *cancellable,
             GError       **error)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  gboolean busy = priv->phase == IO_PHASE_OPENING || priv->phase == IO_PHASE_CLOSING;

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
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
end_close (IOConnection *self)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);

  if (priv->phase != IO_PHASE_CLOSING)
    return;

  priv->phase = IO_PHASE_CLOSED;
  _io_connection_run_closed (self);
  g_object_notify (G_OBJECT (self), "opened");
}

gboolean
_io_connection_close (IOConnection  *self,
                      GCancellable  *cancellable,
                      GError       **error)
{
  g_autoptr (GVariant) answer = NULL;

  if (!_io_connection_check_thread (self, IO_OPCODE_CLOSE, error) ||
      !begin_close (self, cancellable, error))
    return FALSE;

  answer = _io_connection_call (self, IO_OPCODE_CLOSE, NULL, cancellable, error);
  end_close (self);

  return answer != NULL;
}

static void
closed (IOConnection *self,
        GVariant     *answer,
        GUnixFDList  *fds,
        const GError *error,
        gpointer      data)
{
  g_autoptr (GTask) task = data;

  end_close (self);
  if (error != NULL)
    g_task_return_error (task, g_error_copy (error));
  else
    g_task_return_boolean (task, TRUE);
}

void
_io_connection_close_async (IOConnection *self,
                            GTask        *task)
{
  GCancellable *cancellable = g_task_get_cancellable (task);
  GError *error = NULL;

  g_task_set_check_cancellable (task, FALSE);
  if (begin_close (self, cancellable, &error))
    {
      if (_io_connection_start_call (self, IO_OPCODE_CLOSE, NULL, cancellable, closed, task,
                                     &error))
        return;
      end_close (self);
    }

  g_task_return_error (task, error);
  g_object_unref (task);
}
