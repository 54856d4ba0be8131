/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-service-internal-private.h"

#include "io-user-client-private.h"

/* Opens that seize: their call stays without an answer until whoever has the
 * service open has closed it, is gone, or has had its time. Nobody else gets
 * in between. */

typedef struct {
  IOUserClient   *client;    /* borrowed: it is forgotten with its connection */
  IOPacketHeader  header;
  GVariant       *body;
  gint64          deadline;  /* -1: for ever */
  gboolean        last;      /* nothing but an answer will do */
} Waiting;

static void
waiting_free (Waiting *waiting)
{
  g_variant_unref (waiting->body);
  g_free (waiting);
}

static Waiting *
find (IOService    *self,
      IOUserClient *client)
{
  for (GList *l = _io_service_get_private (self)->waiting; l != NULL; l = l->next)
    if (((Waiting *) l->data)->client == client)
      return l->data;

  return NULL;
}

static gboolean
is_seizing (GVariant *body)
{
  g_autoptr (GVariant) details = g_variant_get_child_value (body, 1);
  gboolean waits = TRUE;
  guint options;

  g_variant_get_child (body, 0, "u", &options);
  g_variant_lookup (details, "wait", "b", &waits);
  return (options & IO_SERVICE_OPEN_SEIZE) != 0 && waits;
}

gboolean
_io_service_is_waiting (IOService    *self,
                        IOUserClient *client)
{
  return find (self, client) != NULL;
}

gboolean
_io_service_is_next (IOService    *self,
                     IOUserClient *client)
{
  GList *first = _io_service_get_private (self)->waiting;

  return first == NULL || ((Waiting *) first->data)->client == client;
}

gboolean
_io_service_wait_for_close (IOService            *self,
                            IOUserClient         *client,
                            const IOPacketHeader *header,
                            GVariant             *body)
{
  IOServicePrivate *priv;
  Waiting *waiting;

  /* The connection may have ended meanwhile. */
  if (self == NULL || !is_seizing (body))
    return FALSE;

  priv = _io_service_get_private (self);
  waiting = find (self, client);
  if (waiting != NULL)
    return !waiting->last && waiting->header.serial == header->serial;
  if (priv->close_timeout == 0 || priv->inactive || io_service_is_open (self, client))
    return FALSE;

  waiting = g_new0 (Waiting, 1);
  waiting->client = client;
  waiting->header = *header;
  waiting->body = g_variant_ref (body);
  waiting->deadline = priv->close_timeout < 0 ? -1 : g_get_monotonic_time () + priv->close_timeout;
  priv->waiting = g_list_append (priv->waiting, waiting);
  _io_service_schedule (self, waiting->deadline < 0 ? 0 : waiting->deadline);

  return TRUE;
}

void
_io_service_forget_waiting (IOService    *self,
                            IOUserClient *client)
{
  IOServicePrivate *priv = _io_service_get_private (self);
  Waiting *waiting = find (self, client);

  if (waiting == NULL)
    return;

  priv->waiting = g_list_remove (priv->waiting, waiting);
  waiting_free (waiting);
  /* The next one may have its turn. */
  if (priv->waiting != NULL)
    _io_service_schedule (self, 0);
}

gboolean
_io_service_withdraw (IOService     *self,
                      IOUserClient  *client,
                      GError       **error)
{
  IOServicePrivate *priv = _io_service_get_private (self);
  Waiting *waiting = find (self, client);
  g_autoptr (GError) reason = NULL;

  if (priv->methods > 0)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY,
                   "Cannot close service “%s”: its state is changing",
                   priv->name != NULL ? priv->name : "");
      return FALSE;
    }
  if (waiting == NULL)
    return TRUE;

  reason = g_error_new (IO_STREAM_ERROR, IO_STREAM_ERROR_ABORTED,
                        "Cannot open service “%s”: it was closed while it waited",
                        priv->name != NULL ? priv->name : "");
  _io_user_client_refuse (client, &waiting->header, reason);
  _io_service_forget_waiting (self, client);
  return TRUE;
}

/* What is called may change the list in any way, and end the client. */
static void
try_again (IOService *self,
           Waiting   *waiting)
{
  g_autoptr (IOUserClient) client = g_object_ref (waiting->client);
  g_autoptr (GVariant) body = g_variant_ref (waiting->body);
  IOServicePrivate *priv = _io_service_get_private (self);
  IOPacketHeader header = waiting->header;

  waiting->last = priv->inactive ||
                  (waiting->deadline >= 0 && g_get_monotonic_time () >= waiting->deadline);
  /* Nobody reads an answer then, but it is not to stay here for ever. */
  priv->retrying = client;
  if (_io_user_client_answer_again (client, &header, body))
    _io_service_forget_waiting (self, client);
  priv->retrying = NULL;
}

static GList *
list_clients (IOService *self)
{
  GList *clients = NULL;

  for (GList *l = _io_service_get_private (self)->waiting; l != NULL; l = l->next)
    clients = g_list_prepend (clients, g_object_ref (((Waiting *) l->data)->client));

  return g_list_reverse (clients);
}

gint64
_io_service_serve_waiting (IOService *self)
{
  IOServicePrivate *priv = _io_service_get_private (self);
  GList *clients = list_clients (self);
  gint64 first = -1;

  for (GList *l = clients; l != NULL; l = l->next)
    {
      Waiting *waiting = find (self, l->data);

      if (waiting != NULL)
        try_again (self, waiting);
    }
  g_list_free_full (clients, g_object_unref);

  for (GList *l = priv->waiting; l != NULL; l = l->next)
    {
      gint64 deadline = ((Waiting *) l->data)->deadline;

      if (deadline >= 0 && (first < 0 || deadline < first))
        first = deadline;
    }

  return first;
}
