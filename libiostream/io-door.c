/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-door-private.h"

#include "io-names-private.h"
#include "io-packet-private.h"
#include "io-service-private.h"
#include "io-user-client.h"

#include <glib-unix.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#define ACCEPTS_PER_DISPATCH 16
#define PAUSE_MS             100
#define LOG_INTERVAL         (60 * G_USEC_PER_SEC)
#define LOG_PEERS            64

guint _io_door_hello_timeout = 5000;

struct _IODoor {
  IOService   *service;      /* borrowed: it owns us */
  IONameClaim *claim;
  GSource     *source;
  GSource     *pause;
  int          spare_fd;     /* given up to accept and refuse at the limit */
  GList       *visitors;
  GHashTable  *logged;       /* of pid to gint64 *, when it was last logged */
  guint        violations;
  pid_t        pid;
};

/* A connection that has not said hello. */
typedef struct {
  IODoor       *door;
  IOService    *service;     /* kept alive by every connection */
  IOChannel    *channel;
  struct ucred  credentials;
  GSource      *timeout;
} Visitor;

static void
visitor_free (Visitor *visitor)
{
  visitor->door->visitors = g_list_remove (visitor->door->visitors, visitor);
  g_source_destroy (visitor->timeout);
  g_source_unref (visitor->timeout);
  _io_channel_unref (visitor->channel);
  g_object_unref (visitor->service);
  g_free (visitor);
}

static GBytes *
build_last_words (int         code,
                  const char *text)
{
  return _io_packet_build (IO_PACKET_EVENT, IO_OPCODE_TERMINATED, 0, 0,
                           g_variant_new ("(us)", code, text), NULL);
}

static void
turn_away (Visitor    *visitor,
           int         code,
           const char *text)
{
  _io_channel_close (visitor->channel, build_last_words (code, text));
  visitor_free (visitor);
}

static gboolean
timeout_cb (gpointer user_data)
{
  turn_away (user_data, IO_STREAM_ERROR_TIMEOUT, "No hello came in time");

  return G_SOURCE_REMOVE;
}

static void
visitor_packet_cb (IOChannel            *channel,
                   const IOPacketHeader *header,
                   GVariant             *body,
                   gpointer              user_data)
{
  Visitor *visitor = user_data;
  g_autoptr (IOService) service = NULL;
  g_autoptr (IOChannel) kept = NULL;
  struct ucred credentials = visitor->credentials;

  if (header->kind != IO_PACKET_CALL || header->opcode != IO_OPCODE_HELLO || body == NULL)
    {
      _io_door_note_violation (visitor->door, visitor->credentials.pid, NULL,
                               "The first message is not a hello");
      turn_away (visitor, IO_STREAM_ERROR_IPC_ERROR, "The first message is not a hello");
      return;
    }

  service = g_object_ref (visitor->service);
  kept = _io_channel_ref (channel);
  _io_channel_set_funcs (channel, NULL, NULL);
  visitor_free (visitor);
  _io_service_admit (service, kept, &credentials, header->serial, body);
}

static void
visitor_ended_cb (IOChannel    *channel,
                  const GError *error,
                  gpointer      user_data)
{
  Visitor *visitor = user_data;

  if (error != NULL)
    {
      _io_door_note_violation (visitor->door, visitor->credentials.pid, NULL,
                               error->message);
      turn_away (visitor, error->code, error->message);
      return;
    }

  _io_channel_close (channel, NULL);
  visitor_free (visitor);
}

static const IOChannelFuncs visitor_funcs = { visitor_packet_cb, visitor_ended_cb };

static gboolean
is_room (IODoor *self,
         uid_t   uid)
{
  guint all = 0;
  guint same = 0;

  for (GList *l = self->visitors; l != NULL; l = l->next)
    {
      Visitor *visitor = l->data;

      all++;
      same += visitor->credentials.uid == uid;
    }
  for (GList *l = _io_service_peek_clients (self->service); l != NULL; l = l->next)
    {
      all++;
      same += (uid_t) io_user_client_get_uid (l->data) == uid;
    }

  return all < IO_DOOR_MAX_CONNECTIONS && same < IO_DOOR_MAX_CONNECTIONS_UID;
}

static IOChannel *
receive_visitor (IODoor             *self,
                 GSocket            *socket,
                 const struct ucred *credentials)
{
  GMainContext *context = _io_service_get_context (self->service);
  Visitor *visitor = g_new0 (Visitor, 1);

  visitor->door = self;
  visitor->service = g_object_ref (self->service);
  visitor->channel = _io_channel_new (socket, context);
  visitor->credentials = *credentials;
  _io_channel_set_funcs (visitor->channel, &visitor_funcs, visitor);

  visitor->timeout = g_timeout_source_new (_io_door_hello_timeout);
  g_source_set_static_name (visitor->timeout, "[iostream] hello");
  g_source_set_callback (visitor->timeout, timeout_cb, visitor, NULL);
  g_source_attach (visitor->timeout, context);
  self->visitors = g_list_prepend (self->visitors, visitor);

  return visitor->channel;
}

/* Borrowed. */
static IOChannel *
add_socket (IODoor   *self,
            GSocket  *socket,
            GError  **error)
{
  struct ucred credentials;
  socklen_t length = sizeof credentials;
  struct sockaddr_storage address;
  socklen_t address_length = sizeof address;
  int type = 0;

  if (!g_socket_get_option (socket, SOL_SOCKET, SO_TYPE, &type, NULL) ||
      type != SOCK_SEQPACKET || g_socket_get_family (socket) != G_SOCKET_FAMILY_UNIX ||
      getpeername (g_socket_get_fd (socket), (struct sockaddr *) &address, &address_length) < 0 ||
      getsockopt (g_socket_get_fd (socket), SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0)
    {
      g_set_error_literal (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
                           "Cannot add a socket: it is not a connected local packet socket");
      return NULL;
    }
  if (!is_room (self, credentials.uid))
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES,
                   "Cannot add a socket: there are %u connections, or %u of one user",
                   IO_DOOR_MAX_CONNECTIONS, IO_DOOR_MAX_CONNECTIONS_UID);
      return NULL;
    }

  return receive_visitor (self, socket, &credentials);
}

gboolean
_io_door_add_socket (IODoor   *self,
                     GSocket  *socket,
                     GError  **error)
{
  return add_socket (self, socket, error) != NULL;
}

IOChannel *
_io_door_add_local (IODoor   *self,
                    GSocket  *socket,
                    GError  **error)
{
  IOChannel *channel = add_socket (self, socket, error);

  if (channel == NULL)
    return NULL;

  _io_channel_set_trusted (channel);
  return _io_channel_ref (channel);
}

/* The last descriptors are for what is served already. */
static gboolean
is_near_limit (int fd)
{
  struct rlimit limit;

  return getrlimit (RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
         (rlim_t) fd + IO_DOOR_RESERVED_DESCRIPTORS >= limit.rlim_cur;
}

static void
refuse_fd (int         fd,
           const char *text)
{
  g_autoptr (GBytes) packet = build_last_words (IO_STREAM_ERROR_NO_RESOURCES, text);
  gsize size;
  const void *data = g_bytes_get_data (packet, &size);

  /* Its own fault if there is no room for this. */
  if (send (fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
    g_debug ("A connection was refused in silence: %s", g_strerror (errno));
  close (fd);
}

static void
accept_fd (IODoor *self,
           int     fd)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocket) socket = NULL;

  if (is_near_limit (fd))
    {
      refuse_fd (fd, "The owner has no descriptors left");
      return;
    }

  socket = g_socket_new_from_fd (fd, &error);
  if (socket == NULL)
    {
      g_debug ("A connection was lost: %s", error->message);
      close (fd);
    }
  else if (!_io_door_add_socket (self, socket, &error))
    {
      IOChannel *channel = _io_channel_new (socket, _io_service_get_context (self->service));

      _io_channel_close (channel, build_last_words (error->code, "Too many connections"));
      _io_channel_unref (channel);
    }
}

static int
open_spare (void)
{
  return open ("/dev/null", O_PATH | O_CLOEXEC);
}

static int
accept_retry (IODoor *self)
{
  int fd;

  do
    fd = accept4 (_io_names_claim_peek_fd (self->claim), NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));

  return fd;
}

/* At the limit: answers one caller with the descriptor kept for this, so that
 * the listening socket does not stay readable for ever. */
static gboolean
refuse_with_spare (IODoor *self)
{
  int fd;

  if (self->spare_fd < 0)
    return FALSE;
  close (self->spare_fd);
  fd = accept_retry (self);
  if (fd >= 0)
    refuse_fd (fd, "The owner has no descriptors left");
  self->spare_fd = open_spare ();

  return fd >= 0;
}

static void start_accepting (IODoor *self);

static gboolean
resume_cb (gpointer user_data)
{
  IODoor *self = user_data;

  g_clear_pointer (&self->pause, g_source_unref);
  if (self->spare_fd < 0)
    self->spare_fd = open_spare ();
  start_accepting (self);

  return G_SOURCE_REMOVE;
}

static void
pause_accepting (IODoor *self)
{
  g_source_destroy (self->source);
  g_clear_pointer (&self->source, g_source_unref);
  self->pause = g_timeout_source_new (PAUSE_MS);
  g_source_set_static_name (self->pause, "[iostream] accept again");
  g_source_set_callback (self->pause, resume_cb, self, NULL);
  g_source_attach (self->pause, _io_service_get_context (self->service));
}

static gboolean
accept_cb (int          listening_fd,
           GIOCondition condition,
           gpointer     user_data)
{
  IODoor *self = user_data;

  /* Who calls wants our parent. */
  if (self->pid != getpid ())
    return G_SOURCE_REMOVE;

  for (guint i = 0; i < ACCEPTS_PER_DISPATCH; i++)
    {
      int fd = accept_retry (self);

      if (fd >= 0)
        accept_fd (self, fd);
      else if (errno == EAGAIN || errno == EWOULDBLOCK)
        break;
      else if (!refuse_with_spare (self))
        {
          pause_accepting (self);
          break;
        }
    }

  return G_SOURCE_CONTINUE;
}

static void
start_accepting (IODoor *self)
{
  self->source = g_unix_fd_source_new (_io_names_claim_peek_fd (self->claim), G_IO_IN);
  g_source_set_static_name (self->source, "[iostream] accept");
  g_source_set_callback (self->source, G_SOURCE_FUNC (accept_cb), self, NULL);
  g_source_attach (self->source, _io_service_get_context (self->service));
}

IODoor *
_io_door_new (IOService *service)
{
  IODoor *self = g_new0 (IODoor, 1);

  self->service = service;
  self->spare_fd = -1;
  self->pid = getpid ();

  return self;
}

gboolean
_io_door_listen (IODoor      *self,
                 const char  *name,
                 guint        mode,
                 GError     **error)
{
  self->claim = _io_names_claim (name, _io_service_get_context (self->service), error);
  if (self->claim == NULL)
    return FALSE;
  if (!_io_names_claim_set_mode (self->claim, mode, error))
    {
      g_clear_pointer (&self->claim, _io_names_release);
      return FALSE;
    }

  self->spare_fd = open_spare ();
  start_accepting (self);
  return TRUE;
}

gboolean
_io_door_publish (IODoor     *self,
                  char      **classes,
                  GVariant   *attributes,
                  gboolean    again,
                  GError    **error)
{
  return _io_names_publish (self->claim, classes, attributes, again, error);
}

void
_io_door_unpublish (IODoor *self)
{
  if (self->claim != NULL)
    _io_names_unpublish (self->claim);
}

void
_io_door_stop (IODoor *self)
{
  if (self->source != NULL)
    {
      g_source_destroy (self->source);
      g_clear_pointer (&self->source, g_source_unref);
    }
  if (self->pause != NULL)
    {
      g_source_destroy (self->pause);
      g_clear_pointer (&self->pause, g_source_unref);
    }
  while (self->visitors != NULL)
    turn_away (self->visitors->data, 0, "The service is terminated");
}

void
_io_door_release (IODoor *self)
{
  g_clear_pointer (&self->claim, _io_names_release);
  if (self->spare_fd >= 0)
    close (self->spare_fd);
  self->spare_fd = -1;
}

void
_io_door_free (IODoor *self)
{
  _io_door_stop (self);
  _io_door_release (self);
  g_clear_pointer (&self->logged, g_hash_table_unref);
  g_free (self);
}

static gboolean
is_old_cb (gpointer key,
           gpointer value,
           gpointer user_data)
{
  return *(gint64 *) user_data - *(gint64 *) value >= LOG_INTERVAL;
}

static gboolean
may_log (IODoor *self,
         int     pid)
{
  gint64 now = g_get_monotonic_time ();

  if (self->logged == NULL)
    self->logged = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  g_hash_table_foreach_remove (self->logged, is_old_cb, &now);
  if (g_hash_table_size (self->logged) >= LOG_PEERS ||
      g_hash_table_contains (self->logged, GINT_TO_POINTER (pid)))
    return FALSE;

  g_hash_table_insert (self->logged, GINT_TO_POINTER (pid), g_memdup2 (&now, sizeof now));
  return TRUE;
}

void
_io_door_note_violation (IODoor     *self,
                         int         pid,
                         const char *client_name,
                         const char *text)
{
  const char *name = io_service_get_name (self->service);

  self->violations++;
  if (may_log (self, pid))
    g_message ("Service “%s” disconnects process %d (%s): %s",
               name != NULL ? name : "", pid,
               client_name != NULL ? client_name : "unknown", text);
}

guint
_io_door_get_violations (IODoor *self)
{
  return self->violations;
}

guint
_io_door_get_waiting (IODoor *self)
{
  return g_list_length (self->visitors);
}
