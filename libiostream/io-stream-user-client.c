/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-user-client.h"

#include "io-stream-private.h"
#include "io-user-client-private.h"

/**
 * SECTION:io-stream-user-client
 * @title: IOStreamUserClient
 * @short_description: A client of a stream, seen by the owner
 *
 * An #IOStreamUserClient stands for one connection to an #IOStream: it answers
 * the calls that #IOStreamConnection makes. Owners meet it as the argument of
 * signals such as #IOService::authorize, where it tells who is there and takes
 * limits.
 *
 * It is made by the stream, belongs to its thread, and lives as long as the
 * connection. A subclass of #IOStream that wants its own kind overrides
 * #IOServiceClass.new_user_client().
 *
 * It answers to Apple's IOStreamUserClient; its selectors are the calls of the
 * control protocol.
 */

/**
 * IOStreamUserClient:
 *
 * A client of a stream, in the process of the owner.
 *
 * Since: 1.0
 */

typedef struct {
  IOStreamDelivery delivery;   /* as the client asked for it last */
  guint32          replay;     /* likewise */
} IOStreamUserClientPrivate;

G_DEFINE_TYPE_WITH_PRIVATE (IOStreamUserClient, io_stream_user_client, IO_TYPE_USER_CLIENT)

/* NULL before and after the connection, and if a service of another kind took
 * such a client. */
static IOStream *
get_stream (IOUserClient *client)
{
  IOService *service = io_user_client_get_service (client);

  return service != NULL && IO_IS_STREAM (service) ? IO_STREAM (service) : NULL;
}

static void
set_no_stream_error (IOUserClient  *client,
                     GError       **error)
{
  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN,
               "%s is not connected to a stream", G_OBJECT_TYPE_NAME (client));
}

static IOStreamLink *
find_link (IOStream     *stream,
           IOUserClient *client)
{
  return _io_stream_find_link (_io_stream_get_private (stream), client);
}

/* Only a client that has the stream open may steer it. */
static gboolean
check_open (IOStream      *stream,
            IOUserClient  *client,
            GError       **error)
{
  if (find_link (stream, client) != NULL)
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN,
               "Client “%s” does not have stream “%s” open",
               io_user_client_get_client_name (client), io_service_get_name (IO_SERVICE (stream)));
  return FALSE;
}

/* Leaves @number alone if the client does not say. */
static gboolean
get_wish (GVariant    *wishes,
          const char  *key,
          guint32     *number,
          GError     **error)
{
  g_autoptr (GVariant) value = g_variant_lookup_value (wishes, key, NULL);

  if (value == NULL || g_variant_is_of_type (value, G_VARIANT_TYPE_UINT32))
    {
      *number = value != NULL ? g_variant_get_uint32 (value) : *number;
      return TRUE;
    }

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
               "Cannot open with a “%s” of type %s", key, g_variant_get_type_string (value));
  return FALSE;
}

/* They are those of the open that it has, or of the last attempt. */
static gboolean
take_wishes (IOStreamUserClient  *self,
             IOStream            *stream,
             GVariant            *wishes,
             GError             **error)
{
  IOStreamUserClientPrivate *priv = io_stream_user_client_get_instance_private (self);
  guint32 delivery = IO_STREAM_DELIVERY_BLOCK, replay = 0;

  if (!get_wish (wishes, "delivery", &delivery, error) || !get_wish (wishes, "replay", &replay, error))
    return FALSE;
  if (delivery > IO_STREAM_DELIVERY_LATEST)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT, "There is no delivery %u", delivery);
      return FALSE;
    }

  if (find_link (stream, IO_USER_CLIENT (self)) != NULL)
    return TRUE;

  priv->delivery = (IOStreamDelivery) delivery;
  priv->replay = replay;

  return TRUE;
}

static GVariant *
open_method (IOUserClient  *client,
             IOStream      *stream,
             GVariant      *args,
             GUnixFDList  **fds,
             GError       **error)
{
  g_autoptr (GVariant) wishes = NULL;
  guint32 options;
  GVariant *answer;

  g_variant_get (args, "(u@a{sv})", &options, &wishes);
  if (!take_wishes (IO_STREAM_USER_CLIENT (client), stream, wishes, error) ||
      !io_service_open (IO_SERVICE (stream), client, options, error))
    return NULL;

  answer = _io_stream_describe_open (stream, client, fds, error);
  if (answer == NULL)
    io_service_close (IO_SERVICE (stream), client, 0);

  return answer;
}

static gboolean
control_method (IOUserClient  *client,
                IOStream      *stream,
                IOOpcode       opcode,
                GVariant      *args,
                GError       **error)
{
  guint32 mode;

  if (!check_open (stream, client, error))
    return FALSE;

  if (opcode == IO_OPCODE_READY)
    return _io_stream_set_ready (stream, client, error);
  if (opcode == IO_OPCODE_START)
    return _io_stream_change_state (stream, client, IO_STREAM_STATE_RUNNING, error);
  if (opcode == IO_OPCODE_STOP)
    return _io_stream_change_state (stream, client, IO_STREAM_STATE_STOPPED, error);
  if (opcode == IO_OPCODE_SUSPEND)
    return _io_stream_change_state (stream, client, IO_STREAM_STATE_SUSPENDED, error);
  if (opcode == IO_OPCODE_CLOSE)
    {
      io_service_close (IO_SERVICE (stream), client, 0);
      return TRUE;
    }

  g_variant_get (args, "(u)", &mode);
  if (io_user_client_get_read_only (client))
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED,
                   "Client “%s” may only read, and not set the mode of stream “%s”",
                   io_user_client_get_client_name (client), io_service_get_name (IO_SERVICE (stream)));
      return FALSE;
    }
  if (mode <= IO_STREAM_MODE_INPUT_OUTPUT)
    return io_stream_set_mode (stream, (IOStreamMode) mode, error);

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT, "There is no stream mode %u", mode);
  return FALSE;
}

static GVariant *
stream_call (IOUserClient  *client,
             IOOpcode       opcode,
             GVariant      *args,
             GUnixFDList  **fds,
             GError       **error)
{
  IOStream *stream = get_stream (client);
  guint32 first;

  if (stream == NULL)
    {
      set_no_stream_error (client, error);
      return NULL;
    }

  switch (opcode)
    {
    case IO_OPCODE_OPEN:
      return open_method (client, stream, args, fds, error);

    case IO_OPCODE_READY:
    case IO_OPCODE_CLOSE:
    case IO_OPCODE_START:
    case IO_OPCODE_STOP:
    case IO_OPCODE_SUSPEND:
    case IO_OPCODE_SET_MODE:
      return control_method (client, stream, opcode, args, error) ? g_variant_new ("()") : NULL;

    case IO_OPCODE_GET_MODE:
      return g_variant_new ("(u)", (guint32) io_stream_get_mode (stream));

    case IO_OPCODE_GET_BUFFER_COUNT:
      return g_variant_new ("(u)", io_stream_get_buffer_count (stream));

    case IO_OPCODE_GET_BUFFERS:
      if (!check_open (stream, client, error))
        return NULL;
      g_variant_get (args, "(u)", &first);
      return _io_stream_describe_buffers (stream, find_link (stream, client)->generation, first);

    case IO_OPCODE_GET_SYNC_BELL:
      if (!check_open (stream, client, error))
        return NULL;
      return _io_stream_make_sync_bell (stream, client, fds, error);

    case IO_OPCODE_GET_STATISTICS:
      return _io_stream_share_statistics (stream, client, fds, error);

    case IO_OPCODE_ATTACH_INTERRUPTS:
      if (!check_open (stream, client, error) ||
          !_io_stream_attach_interrupts (stream, client, args, error))
        return NULL;
      return g_variant_new ("()");

    case IO_OPCODE_HELLO:
    case IO_OPCODE_GET_ATTRIBUTES:
    case IO_OPCODE_GET_MEMORY:
    case IO_OPCODE_GET_INTERRUPTS:
    case IO_OPCODE_INTERRUPTS_READY:
    case IO_OPCODE_TERMINATED:
    default:
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_UNSUPPORTED,
                   "A stream has no call %u", (guint) opcode);
      return NULL;
    }
}

static IOMemoryDescriptor *
io_stream_user_client_client_memory_for_type (IOUserClient      *client,
                                              guint              type,
                                              IOMemoryMapFlags  *flags,
                                              GError           **error)
{
  IOStream *stream = get_stream (client);

  if (stream == NULL)
    {
      set_no_stream_error (client, error);
      return NULL;
    }
  if (!check_open (stream, client, error))
    return NULL;

  *flags = _io_stream_get_private (stream)->peer_access == IO_STREAM_PEER_ACCESS_READ
             ? IO_MEMORY_MAP_READ_ONLY : IO_MEMORY_MAP_NONE;

  return _io_stream_get_memory (stream, type, error);
}

/* What came is collected first, so that the handler finds it. */
static void
announce_input (IOStream     *stream,
                IOStreamLink *link,
                guint32       token)
{
  IOStreamPrivate *priv = _io_stream_get_private (stream);

  g_mutex_lock (&priv->lock);
  _io_stream_drain_link_locked (priv, link);
  link->has_news = FALSE;
  g_mutex_unlock (&priv->lock);

  _io_stream_announce_input (stream, token);
}

/* Trap 1 of the original, synchronous input, goes through shared memory. */
static gboolean
io_stream_user_client_trap (IOUserClient  *client,
                            guint          index,
                            guint32        token,
                            GError       **error)
{
  IOStream *stream = get_stream (client);

  if (stream == NULL)
    {
      set_no_stream_error (client, error);
      return FALSE;
    }
  if (!check_open (stream, client, error))
    return FALSE;

  switch (index)
    {
    case 0:
      announce_input (stream, find_link (stream, client), token);
      return TRUE;
    default:
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
                   "Stream “%s” has no trap %u", io_service_get_name (IO_SERVICE (stream)), index);
      return FALSE;
    }
}

static void
io_stream_user_client_class_init (IOStreamUserClientClass *klass)
{
  IO_USER_CLIENT_CLASS (klass)->client_memory_for_type = io_stream_user_client_client_memory_for_type;
  IO_USER_CLIENT_CLASS (klass)->trap = io_stream_user_client_trap;
}

static void
io_stream_user_client_init (IOStreamUserClient *self)
{
  _io_user_client_set_call_func (IO_USER_CLIENT (self), stream_call);
}

/* What the client is to the stream at the moment; FALSE if nothing. */
static gboolean
look (IOStreamUserClient *self,
      gboolean           *running,
      guint              *held)
{
  IOStream *stream = get_stream (IO_USER_CLIENT (self));
  IOStreamPrivate *priv;
  IOStreamLink *link;

  if (stream == NULL)
    return FALSE;

  priv = _io_stream_get_private (stream);
  g_mutex_lock (&priv->lock);
  link = _io_stream_find_link (priv, IO_USER_CLIENT (self));
  if (link != NULL)
    {
      _io_stream_drain_link_locked (priv, link);
      *running = link->state == IO_STREAM_STATE_RUNNING;
      *held = link->holder.count;
    }
  g_mutex_unlock (&priv->lock);

  return link != NULL;
}

/**
 * io_stream_user_client_is_running:
 * @self: a client of a stream
 *
 * Tells whether the client has the stream open and running.
 *
 * In the thread of the stream.
 *
 * Returns: %TRUE if buffers are sent to it
 * Since: 1.0
 */
gboolean
io_stream_user_client_is_running (IOStreamUserClient *self)
{
  gboolean running = FALSE;
  guint held = 0;

  g_return_val_if_fail (IO_IS_STREAM_USER_CLIENT (self), FALSE);

  return look (self, &running, &held) && running;
}

/**
 * io_stream_user_client_get_held:
 * @self: a client of a stream
 *
 * Gets how many buffers the client holds at the moment.
 *
 * In the thread of the stream.
 *
 * Returns: the number of buffers lent to it
 * Since: 1.0
 */
guint
io_stream_user_client_get_held (IOStreamUserClient *self)
{
  gboolean running = FALSE;
  guint held = 0;

  g_return_val_if_fail (IO_IS_STREAM_USER_CLIENT (self), 0);

  return look (self, &running, &held) ? held : 0;
}

/**
 * io_stream_user_client_get_delivery:
 * @self: a client of a stream
 *
 * Gets what the client wants to happen when it is slow, as it said when it
 * opened the stream, or tries to.
 *
 * In the thread of the stream.
 *
 * Returns: its #IOStreamConnection:delivery
 * Since: 1.0
 */
IOStreamDelivery
io_stream_user_client_get_delivery (IOStreamUserClient *self)
{
  IOStreamUserClientPrivate *priv;

  g_return_val_if_fail (IO_IS_STREAM_USER_CLIENT (self), IO_STREAM_DELIVERY_BLOCK);

  priv = io_stream_user_client_get_instance_private (self);

  return priv->delivery;
}

/**
 * io_stream_user_client_get_statistics_access:
 * @self: a client of a stream
 *
 * Gets what the client may see of the statistics. Unless that was set, it is
 * everything for a client of the user of the owner, and what concerns itself
 * for others.
 *
 * In the thread of the stream.
 *
 * Returns: what it may see
 * Since: 1.0
 */
IOStreamStatisticsAccess
io_stream_user_client_get_statistics_access (IOStreamUserClient *self)
{
  g_return_val_if_fail (IO_IS_STREAM_USER_CLIENT (self), IO_STREAM_STATISTICS_ACCESS_NONE);

  return _io_stream_get_client_access (IO_USER_CLIENT (self));
}

/**
 * io_stream_user_client_set_statistics_access:
 * @self: a client of a stream
 * @access: what the client may see
 *
 * Decides what the client may see of the statistics. It has an effect on what
 * the client asks for later; the place for it is #IOService::authorize.
 *
 * In the thread of the stream.
 *
 * Since: 1.0
 */
void
io_stream_user_client_set_statistics_access (IOStreamUserClient       *self,
                                             IOStreamStatisticsAccess  access)
{
  g_return_if_fail (IO_IS_STREAM_USER_CLIENT (self));
  g_return_if_fail (access <= IO_STREAM_STATISTICS_ACCESS_ALL);

  _io_stream_set_client_access (IO_USER_CLIENT (self), access);
}

guint
_io_stream_user_client_get_replay (IOStreamUserClient *self)
{
  return ((IOStreamUserClientPrivate *) io_stream_user_client_get_instance_private (self))->replay;
}
