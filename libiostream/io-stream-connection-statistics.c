/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-connection-private.h"

#include "io-connection-internal-private.h"
#include "io-fork-private.h"
#include "io-stream-statistics-private.h"

/* The page of statistics: asked for once, then looked at. */

static gboolean
take_answer (IOStreamConnection  *self,
             GVariant            *answer,
             GUnixFDList         *fds,
             IOStatisticsPage    *page,
             guint64             *own_id,
             GError             **error)
{
  g_autofree int *list = NULL;
  guint32 row_count;

  g_variant_get (answer, "(ut)", &row_count, own_id);
  if (row_count == 0 || row_count > IO_ABI_STATISTICS_ROWS)
    {
      _io_connection_set_breach (IO_CONNECTION (self), error, "Cannot get the statistics of stream",
                                 "the owner offers %u rows", row_count);
      return FALSE;
    }
  if (fds == NULL || g_unix_fd_list_get_length (fds) != 1)
    {
      _io_connection_set_breach (IO_CONNECTION (self), error, "Cannot get the statistics of stream",
                                 "the owner sent no descriptor");
      return FALSE;
    }

  list = g_unix_fd_list_steal_fds (fds, NULL);

  return _io_statistics_page_attach (page, list[0], row_count, error) ||
         _io_stream_connection_blame (self, error);
}

/* A page that came meanwhile, from another call, is as good. */
static void
keep_page (IOStreamConnectionPrivate *priv,
           IOStatisticsPage          *page,
           guint64                    own_id)
{
  g_mutex_lock (&priv->lock);
  if (priv->statistics.page == NULL)
    {
      priv->statistics = *page;
      priv->statistics_id = own_id;
    }
  else
    _io_statistics_page_clear (page);
  g_mutex_unlock (&priv->lock);
}

static gboolean
map_page (IOStreamConnection  *self,
          GCancellable        *cancellable,
          GError             **error)
{
  G_GNUC_UNUSED g_autoptr (IOStreamConnection) keep = g_object_ref (self);
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GUnixFDList) fds = NULL;
  IOStatisticsPage page = { 0, };
  guint64 own_id;

  answer = _io_connection_call_with_fds (IO_CONNECTION (self), IO_OPCODE_GET_STATISTICS,
                                         g_variant_new ("()"), &fds, cancellable, error);
  if (answer == NULL || !take_answer (self, answer, fds, &page, &own_id, error))
    return FALSE;

  keep_page (_io_stream_connection_get_private (self), &page, own_id);

  return TRUE;
}

static void
set_restless_error (GError **error)
{
  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR,
               "A row of the statistics changes all the time");
}

static IOStreamStatistics *
read_page (IOStatisticsPage  *page,
           guint64            own_id,
           GError           **error)
{
  g_autoptr (IOStreamStatistics) statistics = NULL;
  IOAbiStatisticsStream stream;
  IOAbiStatisticsClient client;

  if (!_io_statistics_page_read_stream (page, &stream))
    {
      set_restless_error (error);
      return NULL;
    }

  statistics = _io_stream_statistics_new (&stream, _io_statistics_now (), error);
  for (guint i = 0; statistics != NULL && i < page->row_count; i++)
    {
      if (!_io_statistics_page_read_client (page, i, &client))
        set_restless_error (error);
      else if (_io_stream_statistics_add (statistics, &client, own_id, error))
        continue;
      return NULL;
    }

  return g_steal_pointer (&statistics);
}

static gboolean
try_read (IOStreamConnection   *self,
          IOStreamStatistics  **statistics,
          GError              **error)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);
  gboolean mapped;

  g_mutex_lock (&priv->lock);
  mapped = priv->statistics.page != NULL;
  if (mapped)
    *statistics = read_page (&priv->statistics, priv->statistics_id, error);
  g_mutex_unlock (&priv->lock);

  if (mapped && *statistics == NULL)
    g_prefix_error (error, "Cannot get the statistics of stream “%s”: ",
                    io_connection_get_name (IO_CONNECTION (self)));

  return mapped;
}

void
_io_stream_connection_drop_statistics (IOStreamConnection *self)
{
  IOStreamConnectionPrivate *priv = _io_stream_connection_get_private (self);

  g_mutex_lock (&priv->lock);
  _io_statistics_page_clear (&priv->statistics);
  g_mutex_unlock (&priv->lock);
}

/**
 * io_stream_connection_get_statistics:
 * @self: a connection
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Gets what the stream counts of itself and of its clients, as far as the owner
 * lets this connection see it. The stream need not be open here. The first call
 * asks the owner for the page and waits for the answer, no longer than
 * #IOConnection:timeout; later ones look at the page, without a system call and
 * without the owner, also when that is gone.
 *
 * The first call in the thread of the connection, later ones in any. Fails with
 * %IO_STREAM_ERROR_NOT_PERMITTED if the owner does not let this connection see
 * anything, %IO_STREAM_ERROR_UNSUPPORTED if the service is no stream,
 * %IO_STREAM_ERROR_NOT_RESPONDING if the owner does not answer,
 * %IO_STREAM_ERROR_IPC_ERROR if what the owner shows cannot be, and
 * %IO_STREAM_ERROR_NOT_OPEN in a forked child. An original there is none.
 *
 * Returns: (transfer full): the statistics, or %NULL with @error set
 * Since: 1.0
 */
IOStreamStatistics *
io_stream_connection_get_statistics (IOStreamConnection  *self,
                                     GCancellable        *cancellable,
                                     GError             **error)
{
  IOStreamStatistics *statistics = NULL;

  g_return_val_if_fail (IO_IS_STREAM_CONNECTION (self), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (_io_stream_connection_get_private (self)->fork_count != _io_fork_count ())
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN,
                   "Cannot get the statistics of stream “%s”: it belongs to the parent process",
                   io_connection_get_name (IO_CONNECTION (self)));
      return NULL;
    }

  if (try_read (self, &statistics, error) || !map_page (self, cancellable, error))
    return statistics;

  try_read (self, &statistics, error);

  return statistics;
}
