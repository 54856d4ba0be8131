/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-private.h"

#include "io-service-private.h"
#include "io-user-client-private.h"

#include <unistd.h>

static IOStreamLink *
link_of (IOStreamPrivate *priv,
         IOUserClient    *client)
{
  return priv->link != NULL && priv->link->client == client ? priv->link : NULL;
}

/* So much of a processor's cache may be taken by free buffers. */
#define WARM_BYTES        (256 * 1024)
#define MAX_COLLECT_EVERY 16

/* What is made for this client alone: its two regions, and what it can write of
 * the buffers. */
static guint64
get_cost (IOStreamPrivate *priv)
{
  guint length = priv->queues != NULL ? priv->queues->length : priv->queue_length;

  return 2 * _io_region_get_size (_io_region_entry_count (length > 0 ? length : priv->buffers->len)) +
         _io_stream_count_memory (priv, NULL);
}

gboolean
_io_stream_charge_link (IOStream   *self,
                        GPtrArray  *more,
                        GError    **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  g_autofree char *purpose = g_strdup_printf ("add buffers to stream “%s”", io_service_get_name (IO_SERVICE (self)));

  return priv->link == NULL ||
         _io_user_client_charge (priv->link->client, IO_CHARGE_STREAM,
                                 2 * _io_region_get_size (priv->link->own.entry_count) +
                                 _io_stream_count_memory (priv, more), purpose, error);
}

static gboolean
check_limits (IOStream      *self,
              IOUserClient  *client,
              guint          options,
              GError       **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  const char *name = io_service_get_name (IO_SERVICE (self));
  const char *client_name = io_user_client_get_client_name (client);

  if ((options & IO_STREAM_OPEN_SHARED) != 0)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_UNSUPPORTED,
                 "Stream “%s” cannot be opened shared", name);
  else if (io_user_client_get_read_only (client) && priv->peer_access == IO_STREAM_PEER_ACCESS_READ_WRITE)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED,
                 "Client “%s” may only read, and the buffers of stream “%s” are written by clients",
                 client_name, name);
  else
    {
      g_autofree char *purpose = g_strdup_printf ("open stream “%s”", name);

      return _io_user_client_charge (client, IO_CHARGE_STREAM, get_cost (priv), purpose, error);
    }

  return FALSE;
}

/* Looking at returns costs the cache line that the client writes. A buffer that
 * came back is the one that is still in the cache, which is worth more than
 * that line if the buffers are large; of small ones many fit there. */
guint
_io_stream_get_collect_every (IOStreamPrivate *priv)
{
  gsize largest = 1;

  for (guint i = 0; i < priv->buffers->len; i++)
    {
      const IOStreamBufferParts *parts = _io_stream_buffer_peek_parts (g_ptr_array_index (priv->buffers, i));

      largest = MAX (largest, parts->data_size + parts->control_size);
    }

  return (guint) CLAMP (WARM_BYTES / largest, 1, MAX_COLLECT_EVERY);
}

/* Those that were made by hand, if they still are long enough. */
static IOStreamQueues *
take_queues (IOStreamPrivate  *priv,
             GError          **error)
{
  g_autoptr (IOStreamQueues) queues = g_steal_pointer (&priv->queues);

  if (queues != NULL && (queues->length > 0 || queues->own.entry_count >= priv->buffers->len))
    return g_steal_pointer (&queues);

  return _io_stream_queues_new (priv->buffers->len, priv->queue_length, error);
}

static gboolean
make_link (IOStream      *self,
           IOUserClient  *client,
           guint          options,
           GError       **error)
{
  g_autoptr (IOStream) keep = NULL;
  IOStreamPrivate *priv = _io_stream_get_private (self);
  IOStreamQueues *queues;
  IOStreamLink *link;

  if (!_io_stream_ensure (self, &keep, error) ||
      !check_limits (self, client, options, error) ||
      !_io_stream_refresh_memory (self, error))
    return FALSE;

  queues = take_queues (priv, error);
  if (queues == NULL)
    return FALSE;
  link = _io_stream_link_new (self, client, priv->buffers->len, queues, &_io_stream_port_funcs, error);
  if (link == NULL)
    return FALSE;
  link->max_buffers = _io_user_client_get_max_buffers (client);
  _io_stream_link_set_limit (link, priv->buffers->len);
  link->collect_every = _io_stream_get_collect_every (priv);

  g_mutex_lock (&priv->lock);
  _io_loan_book_drop_arrivals (&priv->book);
  priv->link = link;
  priv->epoch++;
  atomic_store_explicit (&link->own.page->open_epoch, priv->epoch, memory_order_relaxed);
  atomic_store_explicit (&link->own.page->mode, (guint32) priv->mode, memory_order_relaxed);
  g_mutex_unlock (&priv->lock);

  _io_stream_show_queues (priv, &link->own, &link->peer);

  return TRUE;
}

gboolean
_io_stream_make_link (IOStream      *self,
                      IOUserClient  *client,
                      guint          options,
                      GError       **error)
{
  if (make_link (self, client, options, error))
    return TRUE;

  if (link_of (_io_stream_get_private (self), client) == NULL)
    _io_user_client_discharge (client, IO_CHARGE_STREAM);
  return FALSE;
}

/* A stream without clients is stopped. Inside of a state method the one who
 * called that does it. */
static void
stop_for_close (IOStream *self)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);

  if (priv->changing || priv->state == IO_STREAM_STATE_STOPPED || priv->state == IO_STREAM_STATE_CLOSED)
    return;

  _io_stream_store_state (priv, IO_STREAM_STATE_STOPPED);
  _io_stream_stop_for_close (self);
}

/* What the client sent before it left still counts. */
static void
collect_last (IOStream     *self,
              IOStreamLink *link)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  gboolean has_news;
  guint32 token;

  if (_io_memory_backing_is_absent (link->peer.backing))
    return;

  g_mutex_lock (&priv->lock);
  _io_stream_drain_locked (priv);
  has_news = link->has_news;
  link->has_news = FALSE;
  token = atomic_load_explicit (&link->peer.page->token, memory_order_relaxed);
  g_mutex_unlock (&priv->lock);

  if (has_news)
    _io_stream_announce_input (self, token);
}

void
_io_stream_break_link (IOStream *self)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  IOStreamLink *link;

  _io_stream_store_state (priv, IO_STREAM_STATE_CLOSED);
  _io_stream_publish_state (self);

  g_mutex_lock (&priv->lock);
  link = g_steal_pointer (&priv->link);
  if (link != NULL)
    _io_loan_book_end_all (&priv->book, &link->holder);
  g_cond_broadcast (&priv->cond);
  g_mutex_unlock (&priv->lock);

  priv->pool_used = priv->pool_used || priv->peer_access == IO_STREAM_PEER_ACCESS_READ_WRITE;
  if (link != NULL)
    _io_stream_link_free (link);
}

/* Ends the open of @client, if it has one. */
void
_io_stream_close_link (IOStream     *self,
                       IOUserClient *client)
{
  IOStreamLink *link = link_of (_io_stream_get_private (self), client);

  if (link != NULL && link->ready)
    collect_last (self, link);
  if (link_of (_io_stream_get_private (self), client) != NULL)
    stop_for_close (self);
  if (link_of (_io_stream_get_private (self), client) != NULL)
    _io_stream_break_link (self);
  _io_user_client_discharge (client, IO_CHARGE_STREAM);
}

/* The client says it has mapped everything: nothing more can be mapped to
 * write from now on, and the stream can be used. */
gboolean
_io_stream_set_ready (IOStream      *self,
                      IOUserClient  *client,
                      GError       **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  IOStreamLink *link = link_of (priv, client);

  if (link == NULL || link->ready)
    {
      g_set_error (error, IO_STREAM_ERROR, link == NULL ? IO_STREAM_ERROR_NOT_OPEN : IO_STREAM_ERROR_STILL_OPEN,
                   "Client “%s” cannot make stream “%s” ready: it %s",
                   io_user_client_get_client_name (client), io_service_get_name (IO_SERVICE (self)),
                   link == NULL ? "does not have it open" : "is ready already");
      return FALSE;
    }

  if (!_io_region_seal (&link->peer, error) || !_io_stream_seal_memory (self, error))
    return FALSE;

  g_mutex_lock (&priv->lock);
  link->ready = TRUE;
  priv->state = IO_STREAM_STATE_STOPPED;
  g_mutex_unlock (&priv->lock);

  _io_notification_port_attach (link->port, _io_service_get_context (IO_SERVICE (self)));
  _io_stream_publish_state (self);

  return TRUE;
}

GVariant *
_io_stream_describe_open (IOStream      *self,
                          IOUserClient  *client,
                          GUnixFDList  **fds,
                          GError       **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  IOStreamLink *link = link_of (priv, client);
  g_autoptr (GUnixFDList) list = g_unix_fd_list_new ();
  GVariantDict dict;

  if (link == NULL)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED,
                   "The handle_open method of %s did not chain up", G_OBJECT_TYPE_NAME (self));
      return NULL;
    }

  if (!_io_user_client_pass_fd (client, list, _io_memory_backing_peek_fd (link->own.backing), error) ||
      !_io_user_client_pass_fd (client, list, _io_memory_backing_peek_fd (link->peer.backing), error) ||
      !_io_user_client_pass_fd (client, list, link->peer_bell, error))
    return NULL;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "queue-length", "u", link->limit);
  g_variant_dict_insert (&dict, "entry-count", "u", link->own.entry_count);
  g_variant_dict_insert (&dict, "epoch", "u", priv->epoch);
  g_variant_dict_insert (&dict, "mode", "u", (guint32) priv->mode);
  g_variant_dict_insert (&dict, "buffer-count", "u", (guint32) priv->buffers->len);
  *fds = g_steal_pointer (&list);

  /* Ours would keep the bell from hanging up when the client goes. */
  close (g_steal_fd (&link->peer_bell));

  return g_variant_new ("(@a{sv})", g_variant_dict_end (&dict));
}
