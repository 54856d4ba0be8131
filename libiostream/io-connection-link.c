/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-connection-internal-private.h"

#include "io-fork-private.h"
#include "io-packet-private.h"

#include <sys/socket.h>

#include <gio/gunixfdmessage.h>

#define MAX_PACKETS   32   /* per dispatch */
#define MAX_OPEN_FDS   3
#define MAX_QUEUE_FDS  3
#define MAX_MEMORY_FDS 1
#define MAX_INTERRUPT_FDS 3

typedef struct {
  GSource  source;
  GWeakRef connection;
} ConnectionSource;

static const char *
get_operation (IOOpcode opcode)
{
  switch (opcode)
    {
    case IO_OPCODE_HELLO:
      return "Connecting to";
    case IO_OPCODE_SET_ATTRIBUTE:
      return "Setting an attribute of";
    case IO_OPCODE_SEND_MESSAGE:
      return "Sending a message to";
    case IO_OPCODE_WATCH_ATTRIBUTES:
      return "Watching the attributes of";
    case IO_OPCODE_GET_ATTRIBUTES:
      return "Reading the attributes of";
    case IO_OPCODE_OPEN:
    case IO_OPCODE_READY:
      return "Opening";
    case IO_OPCODE_CLOSE:
      return "Closing";
    case IO_OPCODE_GET_MEMORY:
      return "Getting memory of";
    case IO_OPCODE_GET_PORT:
      return "Getting a port of";
    case IO_OPCODE_START:
      return "Starting";
    case IO_OPCODE_STOP:
      return "Stopping";
    case IO_OPCODE_SUSPEND:
      return "Suspending";
    case IO_OPCODE_GET_MODE:
      return "Getting the mode of";
    case IO_OPCODE_SET_MODE:
      return "Setting the mode of";
    case IO_OPCODE_GET_BUFFER_COUNT:
    case IO_OPCODE_GET_BUFFERS:
      return "Getting the buffers of";
    case IO_OPCODE_GET_SYNC_BELL:
      return "Synchronous input to";
    case IO_OPCODE_GET_STATISTICS:
      return "Getting the statistics of";
    case IO_OPCODE_GET_INTERRUPTS:
    case IO_OPCODE_INTERRUPTS_READY:
      return "Getting the interrupts of";
    case IO_OPCODE_ATTACH_INTERRUPTS:
      return "Attaching an interrupt to";
    default:
      return "Calling";
    }
}

GError *
_io_connection_new_error (IOConnection  *self,
                          IOOpcode       opcode,
                          IOStreamError  code,
                          const char    *format,
                          ...)
{
  g_autofree char *reason = NULL;
  va_list args;

  va_start (args, format);
  reason = g_strdup_vprintf (format, args);
  va_end (args);

  return g_error_new (IO_STREAM_ERROR, code, "%s service “%s”: %s", get_operation (opcode),
                      _io_connection_get_label (self), reason);
}

/* The inbox, and the source that empties it. */

void
_io_connection_update_source (IOConnection *self)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);

  if (priv->source != NULL)
    g_source_set_ready_time (priv->source, g_queue_is_empty (&priv->inbox)
                             && !priv->end_due ? _io_connection_get_deadline (self) : 0);
}

void
_io_connection_push_call (IOConnection *self,
                          IOCall       *call)
{
  g_queue_push_tail (&_io_connection_get_private (self)->inbox, call);
  _io_connection_update_source (self);
}

static void
deliver_end (IOConnection *self)
{
  if (_io_connection_get_private (self)->link != IO_LINK_LOST)
    return;

  _io_connection_run_closed (self);
  _io_connection_notify_link (self);
}

/* Only what is there now: a callback may make more. */
static void
deliver (IOConnection *self)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);

  for (guint n = g_queue_get_length (&priv->inbox); n > 0; n--)
    {
      IOCall *call = g_queue_pop_head (&priv->inbox);

      if (call == NULL)
        break;
      _io_call_deliver (self, call);
      _io_call_free (call);
    }

  if (!priv->end_due || !g_queue_is_empty (&priv->inbox))
    return;

  priv->end_due = FALSE;
  deliver_end (self);
}

/* The end. */

static void
lose (IOConnection *self,
      GError       *error,
      const char   *reason)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);

  if (priv->link != IO_LINK_UP && priv->link != IO_LINK_GREETING)
    {
      g_clear_error (&error);
      return;
    }

  _io_connection_detach (self);
  priv->link = IO_LINK_LOST;
  priv->error = error;
  g_free (priv->reason);
  priv->reason = g_strdup (reason);
  if (priv->phase == IO_PHASE_OPEN)
    priv->phase = IO_PHASE_CLOSED;

  _io_connection_end_calls (self, error != NULL && error->domain == IO_STREAM_ERROR
                            ? error->code : IO_STREAM_ERROR_OFFLINE, reason);
  /* Who never was there is not missed. */
  priv->end_due = priv->greeted && priv->reach == NULL;
  _io_connection_update_source (self);
}

void
_io_connection_lose (IOConnection  *self,
                     IOStreamError  code,
                     const char    *format,
                     ...)
{
  g_autofree char *reason = NULL;
  va_list args;

  va_start (args, format);
  reason = g_strdup_vprintf (format, args);
  va_end (args);

  lose (self, g_error_new (IO_STREAM_ERROR, code, "Connection to service “%s”: %s",
                           _io_connection_get_label (self), reason), reason);
}

void
_io_connection_set_breach (IOConnection  *self,
                           GError       **error,
                           const char    *operation,
                           const char    *format,
                           ...)
{
  g_autofree char *why = NULL;
  va_list args;

  va_start (args, format);
  why = g_strdup_vprintf (format, args);
  va_end (args);

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR, "%s “%s”: %s",
               operation, _io_connection_get_label (self), why);
}

gpointer
_io_connection_break_off (IOConnection  *self,
                          IOOpcode       opcode,
                          const char    *text,
                          GError       **error)
{
  _io_connection_lose (self, IO_STREAM_ERROR_IPC_ERROR, "the owner broke the protocol: %s", text);
  g_propagate_error (error, _io_connection_new_error (self, opcode, IO_STREAM_ERROR_IPC_ERROR,
                                                      "%s", text));

  return NULL;
}

void
_io_connection_fail (IOConnection *self,
                     GError       *error)
{
  g_autofree char *reason = g_strdup (error != NULL ? error->message : "it ended");

  lose (self, error, reason);
}

gboolean
_io_connection_renew (IOConnection *self)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  gboolean untold = priv->end_due;

  g_return_val_if_fail (priv->link == IO_LINK_LOST, FALSE);

  _io_connection_run_closed (self);
  priv->link = IO_LINK_NONE;
  priv->greeted = FALSE;
  priv->end_due = FALSE;
  priv->watching = priv->complete = FALSE;
  g_clear_object (&priv->socket);
  g_clear_error (&priv->error);
  g_clear_pointer (&priv->reason, g_free);
  g_clear_pointer (&priv->service_class, g_free);
  _io_connection_free_methods (self);
  _io_connection_update_source (self);

  return untold;
}

void
_io_connection_put_down (IOConnection *self,
                         GError       *error,
                         gboolean      tell)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);

  if (priv->link == IO_LINK_HUNG_UP)
    {
      g_clear_error (&error);
      return;
    }

  _io_connection_detach (self);
  priv->link = IO_LINK_LOST;
  g_free (priv->reason);
  priv->reason = g_strdup (error != NULL ? error->message : "the service is terminated");
  g_clear_error (&priv->error);
  priv->error = error;
  priv->end_due = tell;
  _io_connection_end_calls (self, error != NULL && error->domain == IO_STREAM_ERROR
                            ? error->code : IO_STREAM_ERROR_OFFLINE, priv->reason);
  _io_connection_update_source (self);
}

gboolean
_io_connection_check (IOConnection  *self,
                      IOOpcode       opcode,
                      GError       **error)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  IOStreamError code = IO_STREAM_ERROR_NOT_OPEN;
  const char *reason = NULL;

  if (!_io_connection_in_own_process (self))
    reason = "the connection belongs to another process (fork)";
  else if (priv->link == IO_LINK_NONE)
    reason = "not connected";
  else if (priv->link == IO_LINK_HUNG_UP)
    reason = "hung up";
  else if (priv->link == IO_LINK_LOST)
    {
      reason = priv->reason;
      code = priv->error != NULL && priv->error->domain == IO_STREAM_ERROR
             ? (IOStreamError) priv->error->code : IO_STREAM_ERROR_OFFLINE;
    }

  if (reason == NULL)
    return TRUE;

  g_propagate_error (error, _io_connection_new_error (self, opcode, code, "%s", reason));
  return FALSE;
}

/* Receiving. */

static void
take_termination (IOConnection *self,
                  GVariant     *body)
{
  const char *reason;
  guint32 code;

  g_variant_get (body, "(u&s)", &code, &reason);
  if (*reason == '\0')
    reason = "the service is terminated";
  if (code == 0)
    lose (self, NULL, reason);
  else
    _io_connection_lose (self, code <= IO_STREAM_ERROR_INVALID ? code : IO_STREAM_ERROR_FAILED,
                         "%s", reason);
}

static int
get_max_fds (const IOPacketHeader *header)
{
  if (header->kind != IO_PACKET_REPLY || header->status != 0)
    return 0;

  switch ((int) header->opcode)
    {
    case IO_OPCODE_OPEN:
      return MAX_OPEN_FDS;
    case IO_OPCODE_GET_MEMORY:
    case IO_OPCODE_METHOD:
    case IO_OPCODE_METHOD_ASYNC:
    case IO_OPCODE_VARIANT:
    case IO_OPCODE_VARIANT_ASYNC:
    case IO_OPCODE_GET_TRANSFER:
    case IO_OPCODE_GET_PORT:
      return MAX_MEMORY_FDS;
    case IO_OPCODE_GET_QUEUE:
      return MAX_QUEUE_FDS;
    case IO_OPCODE_GET_SYNC_BELL:
    case IO_OPCODE_GET_STATISTICS:
      return 1;
    case IO_OPCODE_GET_INTERRUPTS:
      return MAX_INTERRUPT_FDS;
    default:
      return 0;
    }
}

static void
take_packet (IOConnection *self,
             const guint8 *packet,
             gsize         size,
             GUnixFDList  *fds,
             int           n_fds,
             int           flags)
{
  g_autoptr (GVariant) body = NULL;
  g_autoptr (GError) error = NULL;
  IOPacketHeader header;
  const char *wrong = NULL;

  if (!_io_packet_parse (packet, size, &header, &body, &error))
    wrong = error->message;
  else if (header.kind == IO_PACKET_CALL)
    wrong = "it makes a call";
  else if (n_fds > get_max_fds (&header))
    wrong = "it sends file descriptors where none belong";
  else if (header.kind == IO_PACKET_REPLY)
    wrong = _io_connection_take_reply (self, &header, body, fds, (flags & MSG_CTRUNC) != 0);
  else if (header.opcode == IO_OPCODE_PROGRESS)
    wrong = _io_connection_take_progress (self, body);
  else if (header.opcode == IO_OPCODE_TERMINATED)
    take_termination (self, body);
  else
    wrong = _io_connection_take_event (self, &header, body);

  if (wrong == NULL && _io_connection_get_private (self)->cancels->len > 0)
    _io_connection_send_cancels (self);

  if (wrong != NULL)
    _io_connection_lose (self, IO_STREAM_ERROR_IPC_ERROR, "the owner broke the protocol: %s",
                         wrong);
}

/* Ends the messages; descriptors that nobody keeps are closed with them. */
static GUnixFDList *
take_fds (GSocketControlMessage **messages,
          int                     n_messages,
          int                    *n_fds)
{
  GUnixFDList *fds = NULL;

  *n_fds = 0;
  for (int i = 0; i < n_messages; i++)
    {
      if (G_IS_UNIX_FD_MESSAGE (messages[i]))
        {
          GUnixFDList *list = g_unix_fd_message_get_fd_list (G_UNIX_FD_MESSAGE (messages[i]));

          *n_fds += g_unix_fd_list_get_length (list);
          if (fds == NULL)
            fds = g_object_ref (list);
        }
      g_object_unref (messages[i]);
    }
  g_free (messages);

  return fds;
}

static IOReceived
handle_receive_error (IOConnection *self,
                      const GError *error)
{
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
    return IO_RECEIVED_NOTHING;

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED))
    _io_connection_lose (self, IO_STREAM_ERROR_OFFLINE, "the owner is gone");
  else
    _io_connection_lose (self, IO_STREAM_ERROR_IO_ERROR, "%s", error->message);
  return IO_RECEIVED_END;
}

static IOReceived
receive_one (IOConnection *self)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  guint8 packet[IO_PROTOCOL_MAX_PACKET + 1];
  GInputVector vector = { packet, sizeof packet };
  g_autoptr (GUnixFDList) fds = NULL;
  g_autoptr (GError) error = NULL;
  GSocketControlMessage **messages = NULL;
  int n_messages = 0, n_fds, flags = MSG_DONTWAIT;
  gssize size;

  if (priv->link != IO_LINK_UP && priv->link != IO_LINK_GREETING)
    return IO_RECEIVED_END;

  size = g_socket_receive_message (priv->socket, NULL, &vector, 1, &messages, &n_messages,
                                   &flags, NULL, &error);
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED))
    {
      /* ECONNRESET is told once, and before what the owner sent last. */
      g_clear_error (&error);
      flags = MSG_DONTWAIT;
      size = g_socket_receive_message (priv->socket, NULL, &vector, 1, &messages, &n_messages,
                                       &flags, NULL, &error);
    }
  if (size < 0)
    return handle_receive_error (self, error);

  fds = take_fds (messages, n_messages, &n_fds);
  if (size > 0)
    take_packet (self, packet, size, fds, n_fds, flags);
  else
    _io_connection_lose (self, IO_STREAM_ERROR_OFFLINE, "the owner is gone");

  return priv->link == IO_LINK_LOST ? IO_RECEIVED_END : IO_RECEIVED_PACKET;
}

IOReceived
_io_connection_receive (IOConnection *self,
                        guint         max)
{
  IOReceived received = IO_RECEIVED_PACKET;

  for (guint i = 0; i < max && received == IO_RECEIVED_PACKET; i++)
    received = receive_one (self);

  return received;
}

void
_io_connection_poll (IOConnection *self)
{
  if (!_io_connection_in_own_process (self))
    return;

  _io_connection_receive (self, MAX_PACKETS);
  _io_connection_expire_calls (self);
}

/* The source. */

static gboolean
connection_source_dispatch (GSource     *source,
                            GSourceFunc  callback,
                            gpointer     user_data)
{
  ConnectionSource *connection_source = (ConnectionSource *) source;
  g_autoptr (IOConnection) self = g_weak_ref_get (&connection_source->connection);

  if (self == NULL || !_io_connection_in_own_process (self))
    return G_SOURCE_REMOVE;

  g_source_set_ready_time (source, -1);
  _io_connection_receive (self, MAX_PACKETS);
  _io_connection_expire_calls (self);
  deliver (self);
  _io_connection_update_source (self);

  return G_SOURCE_CONTINUE;
}

static void
connection_source_finalize (GSource *source)
{
  g_weak_ref_clear (&((ConnectionSource *) source)->connection);
}

static GSourceFuncs connection_source_funcs = {
  .dispatch = connection_source_dispatch,
  .finalize = connection_source_finalize,
};

void
_io_connection_attach (IOConnection *self)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);

  g_socket_set_blocking (priv->socket, FALSE);
  if (priv->source == NULL)
    {
      priv->source = g_source_new (&connection_source_funcs, sizeof (ConnectionSource));
      g_weak_ref_init (&((ConnectionSource *) priv->source)->connection, self);
      g_source_set_static_name (priv->source, "IOConnection");
      g_source_attach (priv->source, priv->context);
    }
  priv->fd_tag = g_source_add_unix_fd (priv->source, g_socket_get_fd (priv->socket), G_IO_IN);
  _io_fork_add_lifeline (g_socket_get_fd (priv->socket));
  priv->link = IO_LINK_GREETING;
  priv->heard = FALSE;
}

void
_io_connection_detach (IOConnection *self)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);

  if (priv->fd_tag != NULL)
    g_source_remove_unix_fd (priv->source, priv->fd_tag);
  priv->fd_tag = NULL;

  if (priv->socket == NULL || g_socket_is_closed (priv->socket))
    return;
  /* Others may have the socket from a fork; they must not keep it alive, and
   * in the child the parent's must stay. */
  if (_io_connection_in_own_process (self))
    g_socket_shutdown (priv->socket, TRUE, TRUE, NULL);
  _io_fork_remove_lifeline (g_socket_get_fd (priv->socket));
  g_socket_close (priv->socket, NULL);
}

void
_io_connection_drop_source (IOConnection *self)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);

  g_queue_clear_full (&priv->inbox, (GDestroyNotify) _io_call_free);
  _io_connection_drop_events (self);
  g_clear_pointer (&priv->calls, g_hash_table_unref);
  g_clear_pointer (&priv->cancels, g_array_unref);
  _io_connection_free_methods (self);
  if (priv->source != NULL)
    g_source_destroy (priv->source);
  g_clear_pointer (&priv->source, g_source_unref);
}
