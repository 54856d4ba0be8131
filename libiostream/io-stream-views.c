/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-private.h"

#include "io-fork-private.h"
#include "io-service-private.h"
#include "io-user-client-private.h"

#include <unistd.h>

/* The pages in which others see what is counted: one for those who may see all,
 * and one for each that may see no more than itself. A page goes with the last
 * of those it was shown to. */

typedef struct {
  IOStatisticsPage page;
  guint64          client;      /* whom it is for; 0: all that may see all */
  gatomicrefcount  refs;
  _Atomic guint    users;
} IOStatisticsView;

/* Beside each client, of whatever class. */
typedef struct {
  guint64                   id;
  IOStreamStatisticsAccess  access;
  gboolean                  access_set;
  IOStatisticsView         *view;
} ClientView;

#define LATER_US 5000

static
G_DEFINE_QUARK (io-stream-client-view, client_view)

static void
view_unref (IOStatisticsView *view)
{
  if (!g_atomic_ref_count_dec (&view->refs))
    return;

  _io_statistics_page_clear (&view->page);
  g_free (view);
}

static void
drop_view (ClientView *self)
{
  if (self->view == NULL)
    return;

  self->view->users--;
  g_clear_pointer (&self->view, view_unref);
}

static void
client_view_free (gpointer data)
{
  drop_view (data);
  g_free (data);
}

static ClientView *
get_client_view (IOUserClient *client)
{
  static _Atomic guint64 last_id;
  ClientView *self = g_object_get_qdata (G_OBJECT (client), client_view_quark ());

  if (self != NULL)
    return self;

  self = g_new0 (ClientView, 1);
  self->id = ++last_id;
  g_object_set_qdata_full (G_OBJECT (client), client_view_quark (), self, client_view_free);

  return self;
}

guint64
_io_stream_get_client_id (IOUserClient *client)
{
  return get_client_view (client)->id;
}

void
_io_stream_set_client_access (IOUserClient             *client,
                              IOStreamStatisticsAccess  access)
{
  ClientView *self = get_client_view (client);

  self->access = access;
  self->access_set = TRUE;
}

IOStreamStatisticsAccess
_io_stream_get_client_access (IOUserClient *client)
{
  ClientView *self = get_client_view (client);

  if (self->access_set)
    return self->access;

  return io_user_client_get_uid (client) == geteuid () ? IO_STREAM_STATISTICS_ACCESS_ALL
                                                            : IO_STREAM_STATISTICS_ACCESS_OWN;
}

/* --- publishing, with the lock held --------------------------------------- */

static void
drop_left_views (IOStreamCounts *counts)
{
  for (guint i = counts->views->len; i > 0; i--)
    if (((IOStatisticsView *) g_ptr_array_index (counts->views, i - 1))->users == 0)
      g_ptr_array_remove_index_fast (counts->views, i - 1);

  if (counts->views->len == 0)
    g_clear_pointer (&counts->views, g_ptr_array_unref);
}

static void
write_client (IOStreamCounts              *counts,
              guint                        row,
              guint64                      id,
              const IOAbiStatisticsClient *words)
{
  for (guint i = 0; i < counts->views->len; i++)
    {
      IOStatisticsView *view = g_ptr_array_index (counts->views, i);

      if (view->client == 0)
        _io_statistics_page_write_client (&view->page, row, words);
      else if (view->client == id)
        _io_statistics_page_write_client (&view->page, 0, words);
    }
}

static void
write_all (IOStreamPrivate *priv)
{
  IOAbiStatisticsStream stream;
  IOAbiStatisticsClient client;

  for (guint i = 0; i < priv->links->len; i++)
    {
      IOStreamLink *link = g_ptr_array_index (priv->links, i);

      _io_stream_fill_client_row (priv, link, &client);
      write_client (&priv->counts, link->counts.row, link->counts.id, &client);
    }

  _io_stream_fill_stream_row (priv, &stream);
  for (guint i = 0; i < priv->counts.views->len; i++)
    {
      IOStatisticsView *view = g_ptr_array_index (priv->counts.views, i);

      _io_statistics_page_write_stream (&view->page, &stream);
    }
}

static void
publish_later (IOStreamCounts *counts)
{
  if (counts->due || counts->later == NULL)
    return;

  counts->due = TRUE;
  g_source_set_ready_time (counts->later, g_get_monotonic_time () + LATER_US);
}

/* What was returned is looked for first: who looks wants to know who holds
 * what. */
void
_io_stream_publish_views_locked (IOStreamPrivate *priv,
                                 gboolean         at_once)
{
  IOStreamCounts *counts = &priv->counts;
  guint64 now = _io_statistics_tick ();

  if (priv->fork_count != _io_fork_count ())
    return;
  if (!at_once && now == counts->published)
    {
      publish_later (counts);
      return;
    }

  drop_left_views (counts);
  counts->published = now;
  if (counts->views == NULL)
    return;

  _io_stream_drain_locked (priv);
  write_all (priv);
}

void
_io_stream_clear_row_locked (IOStreamPrivate *priv,
                             IOStreamLink    *link)
{
  static const IOAbiStatisticsClient nobody;

  if (priv->counts.views != NULL && priv->fork_count == _io_fork_count ())
    write_client (&priv->counts, link->counts.row, link->counts.id, &nobody);
}

/* --- in the thread of the stream -------------------------------------------- */

static void
later_due (IOStream *self)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);

  g_mutex_lock (&priv->lock);
  priv->counts.due = FALSE;
  if (priv->counts.later != NULL)
    g_source_set_ready_time (priv->counts.later, -1);
  _io_stream_publish_locked (priv, TRUE);
  g_mutex_unlock (&priv->lock);
}

static IOStatisticsView *
find_view (IOStreamPrivate *priv,
           guint64          client)
{
  for (guint i = 0; priv->counts.views != NULL && i < priv->counts.views->len; i++)
    {
      IOStatisticsView *view = g_ptr_array_index (priv->counts.views, i);

      if (view->client == client)
        return view;
    }

  return NULL;
}

static IOStatisticsView *
add_view (IOStream  *self,
          guint64    client,
          GError   **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  IOStatisticsView *view = g_new0 (IOStatisticsView, 1);

  g_atomic_ref_count_init (&view->refs);
  view->client = client;
  if (!_io_statistics_page_create (&view->page, client == 0 ? IO_ABI_STATISTICS_ROWS : 1, error))
    {
      view_unref (view);
      return NULL;
    }

  if (priv->counts.later == NULL)
    priv->counts.later = _io_stream_new_source (self, "[iostream] statistics", later_due);
  if (priv->counts.views == NULL)
    priv->counts.views = g_ptr_array_new_with_free_func ((GDestroyNotify) view_unref);
  g_ptr_array_add (priv->counts.views, view);

  return view;
}

static gboolean
choose_view (IOStream      *self,
             IOUserClient  *client,
             gboolean       all,
             GError       **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  ClientView *whose = get_client_view (client);
  IOStatisticsView *view;

  g_mutex_lock (&priv->lock);
  view = find_view (priv, all ? 0 : whose->id);
  if (view == NULL)
    view = add_view (self, all ? 0 : whose->id, error);
  if (view != NULL && view != whose->view)
    {
      drop_view (whose);
      g_atomic_ref_count_inc (&view->refs);
      view->users++;
      whose->view = view;
    }
  if (view != NULL)
    _io_stream_publish_locked (priv, TRUE);
  g_mutex_unlock (&priv->lock);

  return view != NULL;
}

static gboolean
check_access (IOStream                  *self,
              IOUserClient              *client,
              IOStreamStatisticsAccess   access,
              GError                   **error)
{
  gsize bytes = access == IO_STREAM_STATISTICS_ACCESS_OWN ? _io_statistics_page_get_size (1) : 0;
  g_autofree char *purpose = NULL;

  if (access == IO_STREAM_STATISTICS_ACCESS_NONE)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED,
                   "Client “%s” may not see the statistics of stream “%s”",
                   io_user_client_get_client_name (client), io_service_get_name (IO_SERVICE (self)));
      return FALSE;
    }

  purpose = g_strdup_printf ("show the statistics of stream “%s”", io_service_get_name (IO_SERVICE (self)));

  return _io_user_client_charge (client, IO_CHARGE_STATISTICS, bytes, purpose, error);
}

GVariant *
_io_stream_share_statistics (IOStream      *self,
                             IOUserClient  *client,
                             GUnixFDList  **fds,
                             GError       **error)
{
  IOStreamStatisticsAccess access = _io_stream_get_client_access (client);
  ClientView *whose = get_client_view (client);
  g_autoptr (GUnixFDList) list = g_unix_fd_list_new ();
  g_autoptr (IOStream) keep = NULL;

  if (!_io_stream_ensure (self, &keep, error) ||
      !check_access (self, client, access, error) ||
      !choose_view (self, client, access == IO_STREAM_STATISTICS_ACCESS_ALL, error) ||
      !_io_user_client_pass_fd (client, list, _io_memory_backing_peek_fd (whose->view->page.backing), error))
    return NULL;

  *fds = g_steal_pointer (&list);

  return g_variant_new ("(ut)", whose->view->page.row_count, whose->id);
}

void
_io_stream_drop_views (IOStream *self)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  g_autoptr (GSource) later = NULL;

  g_mutex_lock (&priv->lock);
  later = g_steal_pointer (&priv->counts.later);
  g_clear_pointer (&priv->counts.views, g_ptr_array_unref);
  g_mutex_unlock (&priv->lock);

  if (later != NULL)
    g_source_destroy (later);
}

/**
 * io_stream_get_statistics:
 * @self: a stream
 *
 * Gets what the stream counts of itself and of its clients, as it is now:
 * collects first what clients have returned.
 *
 * Any thread. An original there is none.
 *
 * Returns: (transfer full): the statistics
 * Since: 1.0
 */
IOStreamStatistics *
io_stream_get_statistics (IOStream *self)
{
  IOStreamPrivate *priv;
  IOStreamStatistics *statistics;
  IOAbiStatisticsStream stream;
  IOAbiStatisticsClient client;

  g_return_val_if_fail (IO_IS_STREAM (self), NULL);

  priv = _io_stream_get_private (self);
  g_mutex_lock (&priv->lock);
  _io_stream_drain_locked (priv);
  _io_stream_fill_stream_row (priv, &stream);
  statistics = _io_stream_statistics_new (&stream, _io_statistics_now (), NULL);
  for (guint i = 0; i < priv->links->len; i++)
    {
      _io_stream_fill_client_row (priv, g_ptr_array_index (priv->links, i), &client);
      _io_stream_statistics_add (statistics, &client, 0, NULL);
    }
  g_mutex_unlock (&priv->lock);

  return statistics;
}
