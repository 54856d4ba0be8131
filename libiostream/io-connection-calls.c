/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-connection-internal-private.h"

#include "io-packet-private.h"

#include <sys/socket.h>

/* The owner refuses more than 32 calls without an answer. CLOSE may always be
 * sent: there is one for each OPEN that stays without an answer at most. */
#define MAX_CALLS            30
#define MAX_PACKETS_AT_END 1024
/* The owner has a bound of its own for asynchronous ones, which is lower. */
#define MAX_ACTIONS       1024
/* Reports that are not delivered yet, of one call: more are dropped. */
#define MAX_DUE_PROGRESS    32

struct _IOCall {
  IOConnection           *self;     /* a reference, if asynchronous */
  guint32                 serial;
  IOOpcode                opcode;
  gint64                  deadline; /* monotonic, -1 for none */
  gboolean                sync;
  gboolean                direct;   /* the answer is not left to the context */
  gboolean                action;   /* the answer may take as long as it likes */
  IOConnectionAnswerFunc  progress; /* NULL: nobody listens */
  guint                   n_due;    /* reports in the inbox */
  IOConnectionAnswerFunc  func;     /* NULL: given up, the answer is ignored */
  gpointer                data;
  GSource                *cancel_source;

  GVariant               *answer;
  GUnixFDList            *fds;
  GError                 *error;
};

void
_io_call_free (IOCall *call)
{
  if (call->cancel_source != NULL)
    {
      g_source_destroy (call->cancel_source);
      g_source_unref (call->cancel_source);
    }
  g_clear_pointer (&call->answer, g_variant_unref);
  g_clear_object (&call->fds);
  g_clear_error (&call->error);
  g_clear_object (&call->self);
  g_free (call);
}

void
_io_connection_init_calls (IOConnection *self)
{
  _io_connection_get_private (self)->calls =
    g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) _io_call_free);
  _io_connection_get_private (self)->cancels = g_array_new (FALSE, FALSE, sizeof (guint32));
}

gboolean
_io_call_is_event (IOCall   *call,
                   IOOpcode  opcode)
{
  return call->serial == 0 && call->opcode == opcode;
}

/* Keeps no reference: what nobody hears keeps nothing alive. */
void
_io_connection_push_event (IOConnection           *self,
                           IOOpcode                opcode,
                           GVariant               *body,
                           IOConnectionAnswerFunc  func)
{
  IOCall *call = g_new0 (IOCall, 1);

  call->opcode = opcode;
  call->func = func;
  call->answer = g_variant_ref (body);
  _io_connection_push_call (self, call);
}

void
_io_call_deliver (IOConnection *self,
                  IOCall       *call)
{
  call->func (self, call->answer, call->fds, call->error, call->data);
}

static void
complete (IOConnection *self,
          IOCall         *call)
{
  if (call->sync || call->direct)
    {
      call->func (self, call->answer, call->fds, call->error, call->data);
      _io_call_free (call);
      return;
    }

  if (call->cancel_source != NULL)
    g_source_destroy (call->cancel_source);
  _io_connection_push_call (self, call);
}

/* Takes the call out of the table and leaves word that its answer, which may
 * still come, is to be ignored. */
static IOCall *
give_up (IOConnection *self,
         guint32       serial)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  IOCall *ignored = g_new0 (IOCall, 1);
  IOCall *call = NULL;

  g_hash_table_steal_extended (priv->calls, GUINT_TO_POINTER (serial), NULL, (gpointer *) &call);
  ignored->serial = serial;
  ignored->opcode = call->opcode;
  ignored->action = call->action;
  g_hash_table_insert (priv->calls, GUINT_TO_POINTER (serial), ignored);

  return call;
}

static GError *
new_timeout_error (IOConnection *self,
                   IOOpcode      opcode)
{
  gint64 timeout = _io_connection_get_private (self)->timeout;

  return _io_connection_new_error (self, opcode, IO_STREAM_ERROR_NOT_RESPONDING,
                                   "the owner does not answer within %g s",
                                   (double) timeout / G_USEC_PER_SEC);
}

void
_io_connection_expire_calls (IOConnection *self)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  g_autoptr (GList) serials = g_hash_table_get_keys (priv->calls);
  gint64 now = g_get_monotonic_time ();

  for (GList *l = serials; l != NULL; l = l->next)
    {
      IOCall *call = g_hash_table_lookup (priv->calls, l->data);

      if (call == NULL || call->func == NULL || call->sync || call->deadline < 0 || now < call->deadline)
        continue;
      call = give_up (self, call->serial);
      call->error = new_timeout_error (self, call->opcode);
      complete (self, call);
    }
}

gint64
_io_connection_get_deadline (IOConnection *self)
{
  gint64 deadline = -1;
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, _io_connection_get_private (self)->calls);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      IOCall *call = value;

      if (call->func == NULL || call->sync || call->deadline < 0)
        continue;
      if (deadline < 0 || call->deadline < deadline)
        deadline = call->deadline;
    }

  return deadline;
}

void
_io_connection_end_calls (IOConnection  *self,
                          IOStreamError  code,
                          const char    *reason)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  g_autoptr (GList) serials = g_hash_table_get_keys (priv->calls);

  for (GList *l = serials; l != NULL; l = l->next)
    {
      IOCall *call = NULL;

      g_hash_table_steal_extended (priv->calls, l->data, NULL, (gpointer *) &call);
      priv->n_actions -= call->action;
      if (call->func == NULL)
        {
          _io_call_free (call);
          continue;
        }
      call->error = _io_connection_new_error (self, call->opcode, code, "%s", reason);
      complete (self, call);
    }
}

/* The buffer for descriptors takes as many as the kernel lets into one packet,
 * so if some are missing, then because this process can have no more. */
static void
answer_call (IOConnection         *self,
             IOCall                 *call,
             const IOPacketHeader *header,
             GVariant             *body,
             GUnixFDList          *fds,
             gboolean              fds_missing)
{
  if (header->status != 0)
    {
      call->error = _io_packet_to_error (header, body);
      if (call->opcode == IO_OPCODE_OPEN)
        _io_connection_get_private (self)->owner_open = FALSE;
    }
  else if (fds_missing)
    call->error = _io_connection_new_error (self, call->opcode, IO_STREAM_ERROR_NO_RESOURCES,
                                            "no file descriptor is free for the answer");
  else
    {
      call->answer = g_variant_ref (body);
      call->fds = fds != NULL ? g_object_ref (fds) : NULL;
    }
  complete (self, call);
}

const char *
_io_connection_take_reply (IOConnection         *self,
                           const IOPacketHeader *header,
                           GVariant             *body,
                           GUnixFDList          *fds,
                           gboolean              fds_missing)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  IOCall *call = g_hash_table_lookup (priv->calls, GUINT_TO_POINTER (header->serial));

  if (call == NULL || call->opcode != header->opcode)
    return call == NULL ? "it answers a call that was never made"
                        : "it answers another call than was made";

  g_hash_table_steal (priv->calls, GUINT_TO_POINTER (header->serial));
  priv->n_actions -= call->action;
  if (call->func == NULL)
    _io_call_free (call);
  else
    answer_call (self, call, header, body, fds, fds_missing);

  return NULL;
}

/* Reports wait in the inbox in front of the answer, which frees the call. */
static void
deliver_progress (IOConnection *self,
                  GVariant     *value,
                  GUnixFDList  *fds,
                  const GError *error,
                  gpointer      data)
{
  IOCall *call = data;

  call->n_due--;
  if (call->error == NULL)
    call->progress (self, value, NULL, NULL, call->data);
}

const char *
_io_connection_take_progress (IOConnection *self,
                              GVariant     *body)
{
  g_autoptr (GVariant) value = NULL;
  guint32 serial;
  IOCall *call, *report;

  g_variant_get (body, "(uv)", &serial, &value);
  call = g_hash_table_lookup (_io_connection_get_private (self)->calls, GUINT_TO_POINTER (serial));
  if (call == NULL || !call->action)
    return "it reports on a call that was never made";
  if (call->func == NULL || call->progress == NULL || call->n_due >= MAX_DUE_PROGRESS)
    return NULL;

  call->n_due++;
  report = g_new0 (IOCall, 1);
  report->self = g_object_ref (self);
  report->func = deliver_progress;
  report->data = call;
  report->answer = g_steal_pointer (&value);
  _io_connection_push_call (self, report);

  return NULL;
}

/* Sending. */

static void
handle_send_error (IOConnection  *self,
                   IOOpcode       opcode,
                   const GError  *reason,
                   GError       **error)
{
  if (g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
    {
      /* Without it the two sides no longer agree on what is open. */
      if (opcode == IO_OPCODE_CLOSE)
        _io_connection_lose (self, IO_STREAM_ERROR_NOT_RESPONDING,
                             "the owner does not take the call");
      g_propagate_error (error, _io_connection_new_error (self, opcode,
                                                          IO_STREAM_ERROR_NOT_RESPONDING,
                                                          "the owner does not take the call"));
      return;
    }

  /* The owner may have said why before it left. */
  _io_connection_receive (self, MAX_PACKETS_AT_END);
  _io_connection_lose (self, IO_STREAM_ERROR_OFFLINE, "the owner is gone");
  _io_connection_check (self, opcode, error);
}

static gboolean
send_packet (IOConnection  *self,
             IOOpcode       opcode,
             guint32        serial,
             GVariant      *args,
             GError       **error)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  g_autoptr (GBytes) packet = NULL;
  g_autoptr (GError) reason = NULL;
  GOutputVector vector;

  packet = _io_packet_build (IO_PACKET_CALL, opcode, serial, 0, args, error);
  if (packet == NULL)
    return FALSE;

  vector.buffer = g_bytes_get_data (packet, &vector.size);
  if (g_socket_send_message (priv->socket, NULL, &vector, 1, NULL, 0, MSG_DONTWAIT, NULL,
                             &reason) >= 0)
    return TRUE;

  handle_send_error (self, opcode, reason, error);
  return FALSE;
}

static guint32
next_serial (IOConnectionPrivate *priv)
{
  do
    priv->last_serial++;
  while (priv->last_serial == 0 ||
         g_hash_table_contains (priv->calls, GUINT_TO_POINTER (priv->last_serial)));

  return priv->last_serial;
}

static gboolean
check_room (IOConnection  *self,
            IOOpcode       opcode,
            gboolean       action,
            GError       **error)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  guint n_calls = g_hash_table_size (priv->calls) - priv->n_actions;

  if (opcode == IO_OPCODE_CLOSE || opcode == IO_OPCODE_CANCEL)
    return TRUE;
  if (action ? priv->n_actions < MAX_ACTIONS : n_calls < MAX_CALLS)
    return TRUE;

  g_propagate_error (error, _io_connection_new_error (self, opcode,
                                                      action ? IO_STREAM_ERROR_NO_RESOURCES
                                                             : IO_STREAM_ERROR_NOT_RESPONDING,
                                                      "%d calls have no answer",
                                                      action ? MAX_ACTIONS : MAX_CALLS));
  return FALSE;
}

static IOCall *
start_call (IOConnection            *self,
            IOOpcode                 opcode,
            GVariant                *args,
            gboolean                 sync,
            IOConnectionAnswerFunc   func,
            gpointer                 data,
            GError                 **error)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  g_autoptr (GVariant) sunk = args != NULL ? g_variant_ref_sink (args) : NULL;
  guint32 serial;
  IOCall *call;

  gboolean action = opcode == IO_OPCODE_METHOD_ASYNC || opcode == IO_OPCODE_VARIANT_ASYNC ||
                    opcode == IO_OPCODE_CANCEL;

  if (!_io_connection_check (self, opcode, error) || !check_room (self, opcode, action, error))
    return NULL;

  serial = next_serial (priv);
  if (!send_packet (self, opcode, serial, sunk, error))
    return NULL;
  if (opcode == IO_OPCODE_OPEN)
    priv->owner_open = TRUE;

  call = g_new0 (IOCall, 1);
  call->self = func != NULL && !sync ? g_object_ref (self) : NULL;
  call->serial = serial;
  call->opcode = opcode;
  call->action = action;
  call->deadline = action ? -1 : _io_connection_end_of_timeout (priv->timeout);
  call->sync = sync;
  call->func = func;
  call->data = data;
  priv->n_actions += action;
  g_hash_table_insert (priv->calls, GUINT_TO_POINTER (serial), call);

  return call;
}

void
_io_connection_send_call (IOConnection *self,
                          IOOpcode      opcode,
                          GVariant     *args)
{
  start_call (self, opcode, args, FALSE, NULL, NULL, NULL);
}

void
_io_connection_send_close (IOConnection *self)
{
  start_call (self, IO_OPCODE_CLOSE, NULL, FALSE, NULL, NULL, NULL);
}

/* The owner does not read at the moment: once it does it will answer
 * something, and then this is tried again. */
void
_io_connection_send_cancels (IOConnection *self)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  /* What cannot be sent leads back here, to find nothing. */
  g_autoptr (GArray) due = g_steal_pointer (&priv->cancels);
  guint n = 0;

  priv->cancels = g_array_new (FALSE, FALSE, sizeof (guint32));
  while (n < due->len &&
         start_call (self, IO_OPCODE_CANCEL,
                     g_variant_new ("(u)", g_array_index (due, guint32, n)), FALSE, NULL, NULL,
                     NULL) != NULL)
    n++;
  if (n < due->len)
    g_array_append_vals (priv->cancels, &g_array_index (due, guint32, n), due->len - n);
}

/* Asynchronous calls. */

static gboolean
cancelled_cb (GCancellable *cancellable,
              gpointer      user_data)
{
  IOCall *call = user_data;
  IOConnection *self = call->self;

  call = give_up (self, call->serial);
  g_cancellable_set_error_if_cancelled (cancellable, &call->error);
  if (call->action)
    {
      g_array_append_val (_io_connection_get_private (self)->cancels, call->serial);
      _io_connection_send_cancels (self);
    }
  complete (self, call);

  return G_SOURCE_REMOVE;
}

gboolean
_io_connection_start_action (IOConnection            *self,
                             IOOpcode                 opcode,
                             GVariant                *args,
                             GCancellable            *cancellable,
                             IOConnectionAnswerFunc   progress,
                             IOConnectionAnswerFunc   func,
                             gpointer                 data,
                             GError                 **error)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  IOCall *call;

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    {
      if (args != NULL)
        g_variant_unref (g_variant_ref_sink (args));
      return FALSE;
    }

  call = start_call (self, opcode, args, FALSE, func, data, error);
  if (call == NULL)
    return FALSE;

  call->progress = progress;
  if (cancellable != NULL)
    {
      call->cancel_source = g_cancellable_source_new (cancellable);
      g_source_set_callback (call->cancel_source, G_SOURCE_FUNC (cancelled_cb), call, NULL);
      g_source_attach (call->cancel_source, priv->context);
    }
  _io_connection_update_source (self);

  return TRUE;
}

gboolean
_io_connection_start_direct_call (IOConnection            *self,
                                  IOOpcode                 opcode,
                                  GVariant                *args,
                                  IOConnectionAnswerFunc   func,
                                  gpointer                 data,
                                  GError                 **error)
{
  IOCall *call = start_call (self, opcode, args, FALSE, func, data, error);

  if (call == NULL)
    return FALSE;

  g_clear_object (&call->self);
  call->direct = TRUE;
  _io_connection_update_source (self);

  return TRUE;
}

gboolean
_io_connection_start_call (IOConnection            *self,
                           IOOpcode                 opcode,
                           GVariant                *args,
                           GCancellable            *cancellable,
                           IOConnectionAnswerFunc   func,
                           gpointer                 data,
                           GError                 **error)
{
  return _io_connection_start_action (self, opcode, args, cancellable, NULL, func, data, error);
}

static void
return_answer (IOConnection *self,
               GVariant     *answer,
               GUnixFDList  *fds,
               const GError *error,
               gpointer      data)
{
  g_autoptr (GTask) task = data;

  if (error != NULL)
    {
      g_task_return_error (task, g_error_copy (error));
      return;
    }

  if (fds != NULL)
    g_object_set_data_full (G_OBJECT (task), "io-fds", g_object_ref (fds), g_object_unref);
  g_task_return_pointer (task, g_variant_ref (answer), (GDestroyNotify) g_variant_unref);
}

void
_io_connection_call_async (IOConnection *self,
                           IOOpcode      opcode,
                           GVariant     *args,
                           GTask        *task)
{
  GError *error = NULL;

  if (_io_connection_start_call (self, opcode, args, g_task_get_cancellable (task),
                                 return_answer, task, &error))
    return;

  g_task_return_error (task, error);
  g_object_unref (task);
}

GUnixFDList *
_io_connection_peek_task_fds (GTask *task)
{
  return g_object_get_data (G_OBJECT (task), "io-fds");
}

/* Synchronous calls. */

typedef struct {
  gboolean     done;
  GVariant    *answer;
  GUnixFDList *fds;
  GError      *error;
} SyncCall;

static void
keep_answer (IOConnection *self,
             GVariant     *answer,
             GUnixFDList  *fds,
             const GError *error,
             gpointer      data)
{
  SyncCall *sync = data;

  sync->done = TRUE;
  sync->answer = answer != NULL ? g_variant_ref (answer) : NULL;
  sync->fds = fds != NULL ? g_object_ref (fds) : NULL;
  sync->error = error != NULL ? g_error_copy (error) : NULL;
}

/* Sleeps until the socket is readable, the cancellable is cancelled, or the
 * deadline is over; may wake up for nothing. */
static void
sleep_until (IOConnection *self,
             gint64        deadline,
             GPollFD      *cancel_fd,
             gboolean      has_cancel_fd,
             gboolean      has_cancellable)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  GPollFD fds[2] = { { g_socket_get_fd (priv->socket), G_IO_IN, 0 }, *cancel_fd };
  gint64 msec = -1;

  if (deadline >= 0)
    msec = CLAMP ((deadline - g_get_monotonic_time () + 999) / 1000, 0, G_MAXINT);
  /* No descriptor is left to wait on the cancellable with. */
  if (has_cancellable && !has_cancel_fd)
    msec = msec < 0 ? 50 : MIN (msec, 50);

  g_poll (fds, has_cancel_fd ? 2 : 1, (int) msec);
}

/* Nobody else can do it, so there is nothing to wait for. */
static void
get_answer_here (IOConnection *self,
                 IOCall       *call,
                 SyncCall     *sync)
{
  guint32 serial = call->serial;
  IOOpcode opcode = call->opcode;

  while (!sync->done)
    {
      gboolean served = _io_connection_serve (self);
      IOReceived received = _io_connection_receive (self, 1);

      if (!sync->done && !served && received == IO_RECEIVED_NOTHING)
        break;
    }
  if (sync->done)
    return;

  _io_call_free (give_up (self, serial));
  sync->error = _io_connection_new_error (self, opcode, IO_STREAM_ERROR_CANNOT_LOCK,
                                          "the owner answers later, from the main context of "
                                          "this thread; use the asynchronous call");
}

void
_io_connection_sleep (IOConnection *self,
                      gint64        deadline,
                      GCancellable *cancellable)
{
  GPollFD cancel_fd = { -1, 0, 0 };
  gboolean has_cancel_fd;

  if (_io_connection_get_private (self)->local || !_io_connection_check (self, IO_OPCODE_HELLO, NULL))
    return;

  has_cancel_fd = g_cancellable_make_pollfd (cancellable, &cancel_fd);
  sleep_until (self, deadline, &cancel_fd, has_cancel_fd, cancellable != NULL);
  if (has_cancel_fd)
    g_cancellable_release_fd (cancellable);
}

static void
wait_for_answer (IOConnection *self,
                 IOCall         *call,
                 SyncCall     *sync,
                 GCancellable *cancellable)
{
  gint64 deadline = call->deadline;
  guint32 serial = call->serial;
  IOOpcode opcode = call->opcode;
  GPollFD cancel_fd = { -1, 0, 0 };
  gboolean has_cancel_fd = g_cancellable_make_pollfd (cancellable, &cancel_fd);

  while (!sync->done)
    {
      IOReceived received = _io_connection_receive (self, 1);

      if (sync->done)
        break;
      if (g_cancellable_set_error_if_cancelled (cancellable, &sync->error))
        break;
      if (deadline >= 0 && g_get_monotonic_time () >= deadline)
        {
          sync->error = new_timeout_error (self, opcode);
          break;
        }
      if (received == IO_RECEIVED_NOTHING)
        sleep_until (self, deadline, &cancel_fd, has_cancel_fd, cancellable != NULL);
    }

  if (!sync->done)
    _io_call_free (give_up (self, serial));
  if (has_cancel_fd)
    g_cancellable_release_fd (cancellable);
}

GVariant *
_io_connection_call_with_fds (IOConnection  *self,
                              IOOpcode       opcode,
                              GVariant      *args,
                              GUnixFDList  **fds,
                              GCancellable  *cancellable,
                              GError       **error)
{
  g_autoptr (GVariant) sunk = args != NULL ? g_variant_ref_sink (args) : NULL;
  G_GNUC_UNUSED g_autoptr (IOConnection) kept = g_object_ref (self);
  SyncCall sync = { FALSE };
  IOCall *call;

  if (g_cancellable_set_error_if_cancelled (cancellable, error) ||
      !_io_connection_enter (self, opcode, error))
    return NULL;

  call = start_call (self, opcode, sunk, TRUE, keep_answer, &sync, error);
  if (call != NULL && _io_connection_get_private (self)->local)
    get_answer_here (self, call, &sync);
  else if (call != NULL)
    wait_for_answer (self, call, &sync, cancellable);
  _io_connection_leave (self);
  if (sync.error != NULL)
    g_propagate_error (error, sync.error);
  if (fds != NULL)
    *fds = g_steal_pointer (&sync.fds);
  g_clear_object (&sync.fds);

  return sync.answer;
}

GVariant *
_io_connection_call (IOConnection  *self,
                     IOOpcode       opcode,
                     GVariant      *args,
                     GCancellable  *cancellable,
                     GError       **error)
{
  return _io_connection_call_with_fds (self, opcode, args, NULL, cancellable, error);
}
