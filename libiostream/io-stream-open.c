/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-private.h"

#include "io-enum-types.h"
#include "io-fork-private.h"
#include "io-service-private.h"
#include "io-stream-user-client.h"
#include "io-user-client-private.h"

#include <unistd.h>

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

static gboolean
charge_one (IOStream      *self,
            IOStreamLink  *link,
            GPtrArray     *more,
            GError       **error)
{
  g_autofree char *purpose = g_strdup_printf ("add buffers to stream “%s”", io_service_get_name (IO_SERVICE (self)));

  return _io_user_client_charge (link->client, IO_CHARGE_STREAM,
                                 2 * _io_region_get_size (link->own.entry_count) +
                                 _io_stream_count_memory (_io_stream_get_private (self), more), purpose, error);
}

gboolean
_io_stream_charge_link (IOStream   *self,
                        GPtrArray  *more,
                        GError    **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  guint n_charged = 0;

  while (n_charged < priv->links->len && charge_one (self, _io_stream_link_at (priv, n_charged), more, error))
    n_charged++;
  if (n_charged == priv->links->len)
    return TRUE;

  /* What they have already never is too much. */
  while (n_charged > 0)
    charge_one (self, _io_stream_link_at (priv, --n_charged), NULL, NULL);

  return FALSE;
}

/* What is shared is neither written by clients nor taken by one alone. */
static gboolean
check_sharing (IOStream      *self,
               IOUserClient  *client,
               guint          options,
               GError       **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  const char *name = io_service_get_name (IO_SERVICE (self));

  if (_io_stream_find_link (priv, client) != NULL)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_EXCLUSIVE_ACCESS,
                 "Client “%s” has stream “%s” open already", io_user_client_get_client_name (client), name);
  else if (priv->links->len > 0 && !priv->shared)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_EXCLUSIVE_ACCESS,
                 "Cannot open stream “%s”: process %d has it open exclusively", name,
                 io_user_client_get_pid (_io_stream_link_at (priv, 0)->client));
  else if (priv->links->len > 0 && (options & IO_STREAM_OPEN_SHARED) == 0)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_EXCLUSIVE_ACCESS,
                 "Cannot open stream “%s” exclusively: %u %s it open shared, the first is process %d", name,
                 priv->links->len, priv->links->len == 1 ? "client has" : "clients have",
                 io_user_client_get_pid (_io_stream_link_at (priv, 0)->client));
  else if (priv->links->len >= priv->max_clients)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES,
                 "Cannot open stream “%s”: %u clients have it open, and it takes no more", name, priv->links->len);
  else
    return (options & IO_STREAM_OPEN_SHARED) == 0 || _io_stream_check_shareable (self, error);

  return FALSE;
}

/* Their names, since the client must choose another. */
static char *
describe_deliveries (IOStreamDeliveryFlags deliveries)
{
  g_autoptr (GFlagsClass) flags = g_type_class_ref (IO_TYPE_STREAM_DELIVERY_FLAGS);
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = IO_STREAM_DELIVERY_BLOCK; i <= IO_STREAM_DELIVERY_LATEST; i++)
    if ((deliveries & (1u << i)) != 0)
      g_string_append_printf (text, "%s“%s”", text->len > 0 ? ", " : "",
                              g_flags_get_first_value (flags, 1u << i)->value_nick);

  return g_strdup (text->len > 0 ? text->str : "none");
}

static gboolean
check_delivery (IOStream      *self,
                IOUserClient  *client,
                GError       **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  IOStreamDelivery delivery = io_stream_user_client_get_delivery (IO_STREAM_USER_CLIENT (client));
  g_autoptr (GEnumClass) deliveries = g_type_class_ref (IO_TYPE_STREAM_DELIVERY);
  g_autofree char *permitted = NULL;

  if ((priv->deliveries & (1u << delivery)) != 0)
    return TRUE;

  permitted = describe_deliveries (priv->deliveries);
  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED,
               "Stream “%s” does not permit delivery “%s”, only: %s", io_service_get_name (IO_SERVICE (self)),
               g_enum_get_value (deliveries, (int) delivery)->value_nick, permitted);
  return FALSE;
}

static gboolean
has_writable (IOStreamPrivate *priv)
{
  gboolean found = priv->peer_access == IO_STREAM_PEER_ACCESS_READ_WRITE;

  for (guint id = 0; !found && id < priv->buffers->len; id++)
    found = _io_stream_is_exposed (g_ptr_array_index (priv->buffers, id));

  return found;
}

static gboolean
check_limits (IOStream      *self,
              IOUserClient  *client,
              guint          options,
              GError       **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  const char *name = io_service_get_name (IO_SERVICE (self));
  g_autofree char *purpose = g_strdup_printf ("open stream “%s”", name);

  if (!check_sharing (self, client, options, error) || !check_delivery (self, client, error))
    return FALSE;
  if (!io_user_client_get_read_only (client) || !has_writable (priv))
    return _io_user_client_charge (client, IO_CHARGE_STREAM, get_cost (priv), purpose, error);

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED,
               "Client “%s” may only read, and the buffers of stream “%s” are written by clients",
               io_user_client_get_client_name (client), name);
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
take_queues (IOStreamPrivate   *priv,
             IOStreamDelivery   delivery,
             GError           **error)
{
  g_autoptr (IOStreamQueues) queues = g_steal_pointer (&priv->queues);

  if (queues == NULL || (queues->length == 0 && queues->own.entry_count < priv->buffers->len))
    {
      g_clear_pointer (&queues, _io_stream_queues_free);
      queues = _io_stream_queues_new (priv->buffers->len, priv->queue_length, error);
    }
  if (queues == NULL ||
      (delivery >= IO_STREAM_DELIVERY_DROP_OLDEST && !_io_stream_queues_claim (queues, error)))
    return NULL;

  return g_steal_pointer (&queues);
}

static void
add_link_locked (IOStreamPrivate *priv,
                 IOStreamLink    *link,
                 gboolean         shared)
{
  if (priv->links->len == 0)
    {
      _io_loan_book_drop_arrivals (&priv->book);
      priv->shared = shared;
      priv->session++;
    }
  link->epoch = ++priv->epoch;
  atomic_store_explicit (&link->own.page->open_epoch, link->epoch, memory_order_relaxed);
  atomic_store_explicit (&link->own.page->mode, (guint32) priv->mode, memory_order_relaxed);
  _io_stream_count_open_locked (priv, link);
  g_ptr_array_add (priv->links, link);
  priv->collect_every = _io_stream_get_collect_every (priv);
  _io_stream_set_limits_locked (priv);
}

static gboolean
make_link (IOStream      *self,
           IOUserClient  *client,
           guint          options,
           GError       **error)
{
  g_autoptr (IOStream) keep = NULL;
  IOStreamPrivate *priv = _io_stream_get_private (self);
  IOStreamDelivery delivery = io_stream_user_client_get_delivery (IO_STREAM_USER_CLIENT (client));
  IOStreamQueues *queues;
  IOStreamLink *link;

  if (!_io_stream_ensure (self, &keep, error) ||
      !check_limits (self, client, options, error) ||
      (priv->links->len == 0 && !_io_stream_refresh_memory (self, error)))
    return FALSE;

  queues = take_queues (priv, delivery, error);
  if (queues == NULL)
    return FALSE;
  link = _io_stream_link_new (self, client, priv->buffers->len, queues, &_io_stream_port_funcs, error);
  if (link == NULL)
    return FALSE;
  link->max_buffers = _io_user_client_get_max_buffers (client);
  link->delivery = delivery;
  link->replay = _io_stream_user_client_get_replay (IO_STREAM_USER_CLIENT (client));

  g_mutex_lock (&priv->lock);
  add_link_locked (priv, link, (options & IO_STREAM_OPEN_SHARED) != 0);
  g_mutex_unlock (&priv->lock);

  if (priv->links->len == 1)
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

  if (_io_stream_find_link (_io_stream_get_private (self), client) == NULL)
    _io_user_client_discharge (client, IO_CHARGE_STREAM);
  return FALSE;
}

/* A stream is no longer what only this client had it be. Inside of a state
 * method the one who called that does it. */
static void
step_down_for_close (IOStream     *self,
                     IOStreamLink *link)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);

  IOStreamState reached = priv->state;

  if (priv->changing || link->state <= IO_STREAM_STATE_STOPPED)
    return;

  g_mutex_lock (&priv->lock);
  link->state = IO_STREAM_STATE_STOPPED;
  _io_stream_settle_state_locked (priv);
  g_mutex_unlock (&priv->lock);

  _io_stream_step_down (self, reached);
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
  _io_stream_drain_link_locked (priv, link);
  has_news = link->has_news;
  link->has_news = FALSE;
  token = atomic_load_explicit (&link->peer.page->token, memory_order_relaxed);
  g_mutex_unlock (&priv->lock);

  if (has_news)
    _io_stream_announce_input (self, token);
}

void
_io_stream_break_link (IOStream     *self,
                       IOStreamLink *link)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);

  g_mutex_lock (&priv->lock);
  if (priv->fork_count == _io_fork_count ())
    {
      atomic_store_explicit (&link->own.page->state, IO_STREAM_STATE_CLOSED, memory_order_release);
      _io_stream_link_ring (link);
    }
  _io_stream_count_close_locked (priv, link);
  g_ptr_array_remove (priv->links, link);
  _io_loan_book_end_all (&priv->book, &link->holder);
  _io_stream_set_limits_locked (priv);
  _io_stream_settle_state_locked (priv);
  g_mutex_unlock (&priv->lock);

  priv->pool_used = priv->pool_used || priv->peer_access == IO_STREAM_PEER_ACCESS_READ_WRITE;
  _io_stream_link_free (link);
  if (priv->state != priv->told_state)
    _io_stream_publish_state (self);
}

/* Ends the open of @client, if it has one. */
void
_io_stream_close_link (IOStream     *self,
                       IOUserClient *client)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  IOStreamLink *link = _io_stream_find_link (priv, client);

  if (link != NULL && link->ready)
    collect_last (self, link);
  link = _io_stream_find_link (priv, client);
  if (link != NULL)
    step_down_for_close (self, link);
  link = _io_stream_find_link (priv, client);
  if (link != NULL)
    _io_stream_break_link (self, link);
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
  IOStreamLink *link = _io_stream_find_link (priv, client);

  if (link == NULL || link->state != IO_STREAM_STATE_CLOSED)
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
  link->state = IO_STREAM_STATE_STOPPED;
  _io_stream_settle_state_locked (priv);
  g_mutex_unlock (&priv->lock);

  _io_notification_port_attach (link->port, _io_service_get_context (IO_SERVICE (self)));
  if (priv->state != priv->told_state)
    _io_stream_publish_state (self);
  else
    _io_stream_publish_links (priv);

  return TRUE;
}

GVariant *
_io_stream_describe_open (IOStream      *self,
                          IOUserClient  *client,
                          GUnixFDList  **fds,
                          GError       **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  IOStreamLink *link = _io_stream_find_link (priv, client);
  g_autoptr (GUnixFDList) list = g_unix_fd_list_new ();
  GVariantDict dict;
  guint limit;

  if (link == NULL)
    {
      gboolean opened = _io_user_client_has_opened (client);

      g_set_error (error, IO_STREAM_ERROR, opened ? IO_STREAM_ERROR_FAILED : IO_STREAM_ERROR_ABORTED,
                   opened ? "The handle_open method of %s did not chain up" : "%s closed it while it was being opened",
                   G_OBJECT_TYPE_NAME (self));
      return NULL;
    }

  if (!_io_user_client_pass_fd (client, list, _io_memory_backing_peek_fd (link->own.backing), error) ||
      !_io_user_client_pass_fd (client, list, _io_memory_backing_peek_fd (link->peer.backing), error) ||
      !_io_user_client_pass_fd (client, list, link->peer_bell, error))
    return NULL;

  g_mutex_lock (&priv->lock);
  limit = link->limit;
  g_mutex_unlock (&priv->lock);

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "queue-length", "u", limit);
  g_variant_dict_insert (&dict, "entry-count", "u", link->own.entry_count);
  g_variant_dict_insert (&dict, "epoch", "u", link->epoch);
  g_variant_dict_insert (&dict, "mode", "u", (guint32) priv->mode);
  g_variant_dict_insert (&dict, "delivery", "u", (guint32) link->delivery);
  g_variant_dict_insert (&dict, "buffer-count", "u", (guint32) priv->buffers->len);
  *fds = g_steal_pointer (&list);

  /* Ours would keep the bell from hanging up when the client goes. */
  close (g_steal_fd (&link->peer_bell));

  return g_variant_new ("(@a{sv})", g_variant_dict_end (&dict));
}
