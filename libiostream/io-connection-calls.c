/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-connection-calls-private.h"

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

void
_io_call_complete (IOConnection *self,
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
IOCall *
_io_connection_give_up_call (IOConnection *self,
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

GError *
_io_connection_new_timeout_error (IOConnection *self,
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
      call = _io_connection_give_up_call (self, call->serial);
      call->error = _io_connection_new_timeout_error (self, call->opcode);
      _io_call_complete (self, call);
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
      _io_call_complete (self, call);
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
  _io_call_complete (self, call);
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
  if (header->opcode == IO_OPCODE_HELLO && header->status == 0)
    priv->heard = TRUE;
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

IOCall *
_io_connection_begin_call (IOConnection            *self,
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
  _io_connection_begin_call (self, opcode, args, FALSE, NULL, NULL, NULL);
}

void
_io_connection_send_close (IOConnection *self)
{
  _io_connection_begin_call (self, IO_OPCODE_CLOSE, NULL, FALSE, NULL, NULL, NULL);
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
         _io_connection_begin_call (self, IO_OPCODE_CANCEL,
                                    g_variant_new ("(u)", g_array_index (due, guint32, n)), FALSE, NULL, NULL,
                                    NULL) != NULL)
    n++;
  if (n < due->len)
    g_array_append_vals (priv->cancels, &g_array_index (due, guint32, n), due->len - n);
}
