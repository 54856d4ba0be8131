/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-channel-private.h"

#include "io-error.h"
#include "io-fork-private.h"
#include "io-packet-private.h"

#include <glib-unix.h>

#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PACKETS_PER_DISPATCH 32
#define HOLD_USEC            1000
/* The kernel has a bound on those that are on their way in all sockets of a
 * user together, and the memory behind them is ours until they are taken. */
#define MAX_UNREAD_FDS       128
#define MAX_FDS              16
#define MIN_RETRY_USEC       1000
#define MAX_RETRY_USEC       100000

typedef struct {
  GBytes      *packet;
  GUnixFDList *fds;
} Pending;

struct _IOChannel {
  GSocket              *socket;        /* NULL once closed */
  GSource              *source;
  gpointer              tag;           /* of the descriptor in the source */
  const IOChannelFuncs *funcs;
  gpointer              user_data;
  GQueue                pending;       /* of Pending: while something is due,
                                          nothing is read */
  GError               *broken;        /* to be told at the next dispatch */
  gboolean              deaf;          /* the other end reads no more */
  gboolean              trusted;       /* no bound on how often it calls */
  gboolean              starved;       /* an offer was lost */
  double                tokens;        /* calls that may still come */
  gint64                refilled;
  double                method_tokens;
  gint64                methods_refilled;
  gboolean              held;          /* reads nothing until the next turn */
  guint                 n_unread_fds;  /* passed since the other end had read all */
  gint64                retry;         /* us; 0: what is due waits for the socket alone */
  pid_t                 pid;
};

typedef struct {
  GSource    parent;
  IOChannel *channel;   /* borrowed; it destroys the source */
} ChannelSource;

static void
pending_free (Pending *pending)
{
  g_bytes_unref (pending->packet);
  g_clear_object (&pending->fds);
  g_free (pending);
}

static void
clear_pending (IOChannel *self)
{
  g_queue_clear_full (&self->pending, (GDestroyNotify) pending_free);
}

static void
update_poll (IOChannel *self)
{
  GIOCondition condition = self->held ? 0 : G_IO_IN;

  if (!g_queue_is_empty (&self->pending))
    condition = self->retry > 0 ? 0 : G_IO_OUT;
  else if (self->starved)
    condition |= G_IO_OUT;
  if (self->source != NULL)
    g_source_modify_unix_fd (self->source, self->tag, condition);
}

static void
set_broken (IOChannel   *self,
            int          code,
            const char  *text)
{
  if (self->broken == NULL)
    self->broken = g_error_new_literal (IO_STREAM_ERROR, code, text);
  /* It is told from the context, not from within whatever sends. */
  if (self->source != NULL)
    g_source_set_ready_time (self->source, 0);
}

static gboolean
is_socket_empty (IOChannel *self)
{
  int n_bytes = 0;

  return ioctl (g_socket_get_fd (self->socket), SIOCOUTQ, &n_bytes) != 0 || n_bytes == 0;
}

/* Whether descriptors can go now. */
static gboolean
may_pass (IOChannel *self,
          guint      n_fds)
{
  if (n_fds == 0 || self->n_unread_fds + n_fds <= MAX_UNREAD_FDS)
    return TRUE;
  if (!is_socket_empty (self))
    return FALSE;

  self->n_unread_fds = 0;
  return TRUE;
}

static void
add_fds (struct msghdr *message,
         GUnixFDList   *fds,
         guint          n_fds)
{
  struct cmsghdr *header = message->msg_control;

  message->msg_controllen = CMSG_SPACE (n_fds * sizeof (int));
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN (n_fds * sizeof (int));
  memcpy (CMSG_DATA (header), g_unix_fd_list_peek_fds (fds, NULL), n_fds * sizeof (int));
}

/* 0, or errno. */
static int
send_packet (IOChannel   *self,
             GBytes      *packet,
             GUnixFDList *fds,
             guint        n_fds)
{
  union {
    struct cmsghdr header;
    char           bytes[CMSG_SPACE (MAX_FDS * sizeof (int))];
  } control = { 0 };
  gsize size;
  struct iovec vector = { (void *) g_bytes_get_data (packet, &size), 0 };
  struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control };
  gssize n;

  vector.iov_len = size;
  if (n_fds > 0)
    add_fds (&message, fds, n_fds);
  else
    message.msg_control = NULL;

  do
    n = sendmsg (g_socket_get_fd (self->socket), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);

  return n < 0 ? errno : 0;
}

/* The socket does not say when there is room for descriptors. */
static gboolean
try_later (IOChannel *self)
{
  self->retry = CLAMP (2 * self->retry, MIN_RETRY_USEC, MAX_RETRY_USEC);
  if (self->source != NULL)
    g_source_set_ready_time (self->source, g_get_monotonic_time () + self->retry);

  return FALSE;
}

/* FALSE if it must wait. */
static gboolean
try_send (IOChannel   *self,
          GBytes      *packet,
          GUnixFDList *fds)
{
  guint n_fds = fds != NULL ? g_unix_fd_list_get_length (fds) : 0;
  int reason;

  g_return_val_if_fail (n_fds <= MAX_FDS, TRUE);

  if (!may_pass (self, n_fds))
    return try_later (self);

  reason = send_packet (self, packet, fds, n_fds);
  if (reason == ETOOMANYREFS)
    return try_later (self);

  self->retry = 0;
  if (reason == EAGAIN || reason == EWOULDBLOCK)
    return FALSE;

  if (reason == 0)
    self->n_unread_fds += n_fds;
  /* What it said before it went is still there to be read. */
  else if (reason == EPIPE || reason == ECONNRESET || reason == ENOTCONN)
    self->deaf = TRUE;
  else
    set_broken (self, IO_STREAM_ERROR_IO_ERROR, g_strerror (reason));
  return TRUE;
}

static void
flush (IOChannel *self)
{
  Pending *pending;

  while ((pending = g_queue_peek_head (&self->pending)) != NULL)
    {
      if (!self->deaf && self->broken == NULL && !try_send (self, pending->packet, pending->fds))
        break;
      pending_free (g_queue_pop_head (&self->pending));
    }

  update_poll (self);
}

static void
tell_drained (IOChannel *self)
{
  if (!self->starved || !g_queue_is_empty (&self->pending) || self->broken != NULL)
    return;

  self->starved = FALSE;
  update_poll (self);
  if (self->funcs != NULL && self->funcs->drained != NULL)
    self->funcs->drained (self, self->user_data);
}

static gboolean
take_token (double *tokens,
            gint64 *refilled,
            double  rate,
            double  burst)
{
  gint64 now = g_get_monotonic_time ();

  *tokens = MIN (*tokens + (now - *refilled) * (rate / G_USEC_PER_SEC), burst);
  *refilled = now;
  if (*tokens < 1)
    return FALSE;

  *tokens -= 1;
  return TRUE;
}

static gboolean
is_method (const guint8 *buffer,
           gsize         size)
{
  IOPacketHeader header;

  if (size < sizeof header)
    return FALSE;

  memcpy (&header, buffer, sizeof header);

  return header.opcode >= IO_OPCODE_METHOD && header.opcode <= IO_OPCODE_CANCEL;
}

/* FALSE if the client is to be disconnected for it. */
static gboolean
count_call (IOChannel    *self,
            const guint8 *buffer,
            gsize         size)
{
  if (!is_method (buffer, size))
    return take_token (&self->tokens, &self->refilled, IO_CHANNEL_CALLS_RATE,
                       IO_CHANNEL_CALLS_BURST);

  if (!take_token (&self->method_tokens, &self->methods_refilled, IO_CHANNEL_METHODS_RATE,
                   IO_CHANNEL_METHODS_BURST))
    {
      self->held = TRUE;
      g_source_set_ready_time (self->source, g_get_monotonic_time () + HOLD_USEC);
      update_poll (self);
    }

  return TRUE;
}

/* With no place for control messages, so that the kernel drops whatever
 * descriptors come along. */
static gssize
receive (IOChannel *self,
         guint8    *buffer,
         gsize      size)
{
  gssize n;

  do
    n = recv (g_socket_get_fd (self->socket), buffer, size, MSG_DONTWAIT);
  while (n < 0 && errno == EINTR);

  return n;
}

static void
end (IOChannel    *self,
     const GError *error)
{
  g_source_destroy (self->source);
  g_clear_pointer (&self->source, g_source_unref);
  if (self->funcs != NULL)
    self->funcs->ended (self, error, self->user_data);
}

static void
handle_packet (IOChannel    *self,
               const guint8 *buffer,
               gsize         size)
{
  g_autoptr (GVariant) body = NULL;
  g_autoptr (GError) error = NULL;
  IOPacketHeader header;

  if (!self->trusted && !count_call (self, buffer, size))
    {
      set_broken (self, IO_STREAM_ERROR_IPC_ERROR, "Too many calls came in a short time");
      return;
    }
  if (!_io_packet_parse (buffer, size, &header, &body, &error) &&
      error->code != IO_STREAM_ERROR_BAD_MESSAGE)
    {
      set_broken (self, error->code, error->message);
      return;
    }

  if (self->funcs != NULL)
    self->funcs->packet (self, &header, body, self->user_data);
}

/* FALSE when there is nothing more to read now. */
static gboolean
read_packet (IOChannel *self)
{
  guint8 buffer[IO_PROTOCOL_MAX_PACKET + 1];
  gssize n = receive (self, buffer, sizeof buffer);

  if (n > 0)
    {
      handle_packet (self, buffer, n);
      return TRUE;
    }
  if (n == 0)
    {
      end (self, NULL);
      return FALSE;
    }
  if (errno == EAGAIN || errno == EWOULDBLOCK)
    return FALSE;
  /* It left without reading all we sent. Comes once, before its last words. */
  if (errno == ECONNRESET)
    return TRUE;

  set_broken (self, IO_STREAM_ERROR_IO_ERROR, g_strerror (errno));
  return FALSE;
}

gboolean
_io_channel_serve (IOChannel *self,
                   guint      max)
{
  G_GNUC_UNUSED g_autoptr (IOChannel) kept = _io_channel_ref (self);
  guint n = 0;

  /* What arrives is for our parent. */
  if (self->source == NULL || self->pid != getpid ())
    return FALSE;

  flush (self);
  tell_drained (self);
  while (n < max && self->source != NULL && self->broken == NULL && !self->held &&
         g_queue_is_empty (&self->pending) && read_packet (self))
    n++;
  if (self->source != NULL && self->broken != NULL)
    {
      g_autoptr (GError) broken = g_steal_pointer (&self->broken);

      end (self, broken);
    }

  return n > 0 || self->source == NULL;
}

static gboolean
channel_source_dispatch (GSource     *source,
                         GSourceFunc  callback,
                         gpointer     user_data)
{
  IOChannel *self = ((ChannelSource *) source)->channel;

  if (self->pid != getpid ())
    return G_SOURCE_REMOVE;

  g_source_set_ready_time (source, -1);
  self->held = FALSE;
  _io_channel_serve (self, PACKETS_PER_DISPATCH);

  return G_SOURCE_CONTINUE;
}

static GSourceFuncs channel_source_funcs = {
  .dispatch = channel_source_dispatch,
};

IOChannel *
_io_channel_new (GSocket      *socket,
                 GMainContext *context)
{
  IOChannel *self = g_atomic_rc_box_new0 (IOChannel);

  self->socket = g_object_ref (socket);
  self->pid = getpid ();
  self->tokens = IO_CHANNEL_CALLS_BURST;
  self->refilled = g_get_monotonic_time ();
  self->method_tokens = IO_CHANNEL_METHODS_BURST;
  self->methods_refilled = self->refilled;
  g_queue_init (&self->pending);
  g_socket_set_blocking (socket, FALSE);
  _io_fork_add_lifeline (g_socket_get_fd (socket));

  self->source = g_source_new (&channel_source_funcs, sizeof (ChannelSource));
  ((ChannelSource *) self->source)->channel = self;
  g_source_set_static_name (self->source, "[iostream] control socket");
  self->tag = g_source_add_unix_fd (self->source, g_socket_get_fd (socket), G_IO_IN);
  g_source_attach (self->source, context);

  return self;
}

IOChannel *
_io_channel_ref (IOChannel *self)
{
  return g_atomic_rc_box_acquire (self);
}

static void
channel_clear (IOChannel *self)
{
  _io_channel_close (self, NULL);
}

void
_io_channel_unref (IOChannel *self)
{
  g_atomic_rc_box_release_full (self, (GDestroyNotify) channel_clear);
}

void
_io_channel_set_trusted (IOChannel *self)
{
  self->trusted = TRUE;
}

void
_io_channel_set_funcs (IOChannel            *self,
                       const IOChannelFuncs *funcs,
                       gpointer              user_data)
{
  self->funcs = funcs;
  self->user_data = user_data;
}

static gboolean
is_event (const Pending *pending)
{
  const IOPacketHeader *header = g_bytes_get_data (pending->packet, NULL);

  return header->kind == IO_PACKET_EVENT;
}

static guint
count_events (IOChannel *self)
{
  guint n = 0;

  for (GList *l = self->pending.head; l != NULL; l = l->next)
    n += is_event (l->data);

  return n;
}

static void
push_pending (IOChannel   *self,
              GBytes      *packet,
              GUnixFDList *fds)
{
  Pending *pending = g_new0 (Pending, 1);

  pending->packet = g_bytes_ref (packet);
  g_set_object (&pending->fds, fds);
  g_queue_push_tail (&self->pending, pending);
  update_poll (self);
}

gboolean
_io_channel_offer (IOChannel *self,
                   GBytes    *packet,
                   guint      max_due)
{
  g_autoptr (GBytes) owned = packet;

  /* Nobody will miss it. */
  if (self->source == NULL || self->deaf || self->broken != NULL || self->pid != getpid ())
    return TRUE;
  if (g_queue_is_empty (&self->pending) && try_send (self, owned, NULL))
    return TRUE;
  if (count_events (self) < max_due)
    {
      push_pending (self, owned, NULL);
      return TRUE;
    }

  self->starved = TRUE;
  update_poll (self);
  return FALSE;
}

void
_io_channel_send (IOChannel   *self,
                  GBytes      *packet,
                  GUnixFDList *fds)
{
  g_autoptr (GBytes) owned = packet;

  if (self->source == NULL || self->deaf || self->broken != NULL || self->pid != getpid ())
    return;
  if (g_queue_is_empty (&self->pending) && try_send (self, owned, fds))
    return;

  if (count_events (self) >= IO_CHANNEL_MAX_EVENTS)
    {
      set_broken (self, IO_STREAM_ERROR_NO_RESOURCES, "What was sent is not read");
      return;
    }

  push_pending (self, owned, fds);
}

gboolean
_io_channel_has_read_all (IOChannel *self)
{
  return self->socket == NULL || (g_queue_is_empty (&self->pending) && is_socket_empty (self));
}

gboolean
_io_channel_is_congested (IOChannel *self)
{
  return !g_queue_is_empty (&self->pending);
}

/* A peer that left something unread in our end would be told of a reset
 * before it is told of our last words. */
static void
drain (IOChannel *self)
{
  guint8 buffer[1];

  for (guint i = 0; i < 1024; i++)
    if (receive (self, buffer, sizeof buffer) <= 0)
      break;
}

void
_io_channel_close (IOChannel *self,
                   GBytes    *last_words)
{
  g_autoptr (GBytes) owned = last_words;

  if (self->source != NULL)
    {
      g_source_destroy (self->source);
      g_clear_pointer (&self->source, g_source_unref);
    }
  self->funcs = NULL;
  if (self->socket == NULL)
    return;

  if (self->pid == getpid ())
    {
      if (owned != NULL && g_queue_is_empty (&self->pending) && !self->deaf)
        try_send (self, owned, NULL);
      /* A child of ours may have a copy of the socket. */
      shutdown (g_socket_get_fd (self->socket), SHUT_RDWR);
      drain (self);
    }
  clear_pending (self);
  g_clear_error (&self->broken);
  _io_fork_remove_lifeline (g_socket_get_fd (self->socket));
  g_socket_close (self->socket, NULL);
  g_clear_object (&self->socket);
}
