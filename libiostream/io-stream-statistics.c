/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-statistics-private.h"

#include "io-error.h"

#include <time.h>

/**
 * SECTION:io-stream-statistics
 * @title: Statistics
 * @short_description: What is counted of a stream and of its clients
 *
 * Everything that a stream does is counted: what it produced, what was
 * delivered to whom, what each client missed and why, who holds what and for
 * how long. The owner gets it from io_stream_get_statistics(). Others get it
 * from io_stream_connection_get_statistics(), without having the stream open:
 * it stands in shared memory that they can only read, so to look at it takes
 * no part in the stream, costs its owner nothing, and works when that does not
 * answer. The tool shows it with “iostream info” and “iostream top”.
 *
 * # Who sees what
 *
 * A client sees the row of the stream and its own row. A client of the same
 * user as the owner sees the rows of all. io_stream_user_client_set_statistics_access()
 * decides otherwise, in a handler of #IOService::authorize.
 *
 * # Ownership and life
 *
 * An #IOStreamStatistics is a copy of the numbers at one moment, with a copy of
 * a row for each client that has the stream open. Each row is consistent, the
 * rows among each other are not quite. Rates come from the difference of two of
 * them, and of their times.
 *
 * # When the numbers are of
 *
 * The owner counts in its private memory and never reads what it has published.
 * If somebody looks, it publishes once per tick of the system's clock (1 to 10
 * ms) in which something happened, at the latest one tick after that if its
 * context runs. It learns of what clients returned when it looks for returns,
 * so a stream at rest can show buffers as held that came back since.
 * Times on the owner's side are those of the tick as well, and of a stream that
 * sends many buffers per tick those of up to 15 buffers before.
 *
 * # Failure
 *
 * Numbers of another process can be anything; those that cannot be (a state
 * that there is none of, a row that changes all the time) are an error of that
 * one look, %IO_STREAM_ERROR_IPC_ERROR.
 *
 * Apple's IOStream counts nothing.
 */

G_DEFINE_BOXED_TYPE (IOStreamClientStatistics, io_stream_client_statistics,
                     io_stream_client_statistics_copy, io_stream_client_statistics_free)

G_DEFINE_BOXED_TYPE (IOStreamStatistics, io_stream_statistics,
                     io_stream_statistics_copy, io_stream_statistics_free)

enum {
  NEWEST,
  OLDEST,
  LATEST,
  ALLOWANCE,
  RESERVE
};

static guint64
get_time (clockid_t clock)
{
  struct timespec now;

  clock_gettime (clock, &now);

  return (guint64) now.tv_sec * G_GUINT64_CONSTANT (1000000000) + (guint64) now.tv_nsec;
}

guint64
_io_statistics_now (void)
{
  return get_time (CLOCK_MONOTONIC);
}

guint64
_io_statistics_tick (void)
{
  return get_time (CLOCK_MONOTONIC_COARSE);
}

static gboolean
check_value (const char  *what,
             guint32      value,
             guint32      max,
             GError     **error)
{
  if (value <= max)
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR,
               "The statistics are of no use: there is no %s %u", what, value);
  return FALSE;
}

static guint64
sum (const guint64 *values)
{
  return values[NEWEST] + values[OLDEST] + values[LATEST] + values[ALLOWANCE] + values[RESERVE];
}

IOStreamStatistics *
_io_stream_statistics_new (const IOAbiStatisticsStream  *row,
                           guint64                       now,
                           GError                      **error)
{
  IOStreamStatistics *self;

  if (!check_value ("state", row->state, IO_STREAM_STATE_SUSPENDED, error) ||
      !check_value ("mode", row->mode, IO_STREAM_MODE_INPUT_OUTPUT, error))
    return NULL;

  self = g_new0 (IOStreamStatistics, 1);
  self->_rows = g_ptr_array_new_with_free_func ((GDestroyNotify) io_stream_client_statistics_free);
  self->state = (IOStreamState) row->state;
  self->mode = (IOStreamMode) row->mode;
  self->buffers = row->buffers;
  self->free_buffers = row->free_buffers;
  self->owned_buffers = row->owned_buffers;
  self->lent_buffers = row->lent_buffers;
  self->arrived_buffers = row->arrived_buffers;
  self->reserve = row->reserve;
  self->clients = row->clients;
  self->max_clients = row->max_clients;
  self->produced = row->produced;
  self->delivered = row->delivered;
  self->returned = row->returned;
  self->dropped = sum (row->dropped);
  self->failures = row->failures;
  self->violations = row->violations;
  self->last_activity = row->last_activity;
  self->time = now;

  return self;
}

static char *
dup_name (const guint8 *name)
{
  return g_utf8_make_valid ((const char *) name, (gssize) strnlen ((const char *) name, IO_ABI_STATISTICS_NAME));
}

static void
copy_drops (IOStreamClientStatistics    *self,
            const IOAbiStatisticsClient *row)
{
  self->dropped_newest = row->dropped[NEWEST];
  self->dropped_oldest = row->dropped[OLDEST];
  self->dropped_latest = row->dropped[LATEST];
  self->dropped_allowance = row->dropped[ALLOWANCE];
  self->dropped_reserve = row->dropped[RESERVE];
  self->dropped = sum (row->dropped);
  self->produced = row->delivered - row->replayed +
                   row->dropped[NEWEST] + row->dropped[ALLOWANCE] + row->dropped[RESERVE];
}

gboolean
_io_stream_statistics_add (IOStreamStatistics           *self,
                           const IOAbiStatisticsClient  *row,
                           guint64                       own_id,
                           GError                      **error)
{
  IOStreamClientStatistics *client;

  if (row->id == 0)
    return TRUE;
  if (!check_value ("delivery", row->delivery, IO_STREAM_DELIVERY_LATEST, error) ||
      !check_value ("state", row->state, IO_STREAM_STATE_SUSPENDED, error))
    return FALSE;

  client = g_new0 (IOStreamClientStatistics, 1);
  client->name = dup_name (row->name);
  client->id = row->id;
  client->pid = row->pid;
  client->uid = row->uid;
  client->is_own = row->id == own_id;
  client->delivery = (IOStreamDelivery) row->delivery;
  client->state = (IOStreamState) row->state;
  client->held = row->held;
  client->queued = MIN (row->queued, row->held);
  client->allowance = row->allowance;
  client->delivered = row->delivered;
  client->returned = row->returned;
  client->replayed = row->replayed;
  client->revoked = row->revoked;
  client->held_time = row->held_since != 0 && row->held_since < self->time ? self->time - row->held_since : 0;
  client->longest_held_time = MAX (row->longest_held, client->held_time);
  client->opened_at = row->opened;
  client->last_activity = row->last_activity;
  client->violations = row->violations;
  copy_drops (client, row);
  g_ptr_array_add (self->_rows, client);

  return TRUE;
}

/**
 * io_stream_client_statistics_copy:
 * @self: statistics of a client
 *
 * Copies them.
 *
 * Any thread.
 *
 * Returns: (transfer full): the copy
 * Since: 1.0
 */
IOStreamClientStatistics *
io_stream_client_statistics_copy (const IOStreamClientStatistics *self)
{
  IOStreamClientStatistics *copy;

  g_return_val_if_fail (self != NULL, NULL);

  copy = g_memdup2 (self, sizeof *self);
  copy->name = g_strdup (self->name);

  return copy;
}

/**
 * io_stream_client_statistics_free:
 * @self: (transfer full): statistics of a client
 *
 * Frees them.
 *
 * Any thread.
 *
 * Since: 1.0
 */
void
io_stream_client_statistics_free (IOStreamClientStatistics *self)
{
  if (self == NULL)
    return;

  g_free (self->name);
  g_free (self);
}

/**
 * io_stream_statistics_copy:
 * @self: statistics
 *
 * Copies them, with those of the clients.
 *
 * Any thread.
 *
 * Returns: (transfer full): the copy
 * Since: 1.0
 */
IOStreamStatistics *
io_stream_statistics_copy (const IOStreamStatistics *self)
{
  IOStreamStatistics *copy;

  g_return_val_if_fail (self != NULL, NULL);

  copy = g_memdup2 (self, sizeof *self);
  copy->_rows = g_ptr_array_new_with_free_func ((GDestroyNotify) io_stream_client_statistics_free);
  for (guint i = 0; i < self->_rows->len; i++)
    g_ptr_array_add (copy->_rows, io_stream_client_statistics_copy (g_ptr_array_index (self->_rows, i)));

  return copy;
}

/**
 * io_stream_statistics_free:
 * @self: (transfer full): statistics
 *
 * Frees them, with those of the clients.
 *
 * Any thread.
 *
 * Since: 1.0
 */
void
io_stream_statistics_free (IOStreamStatistics *self)
{
  if (self == NULL)
    return;

  g_ptr_array_unref (self->_rows);
  g_free (self);
}

/**
 * io_stream_statistics_get_clients:
 * @self: statistics
 *
 * Gets the rows of the clients that have the stream open, as far as they may be
 * seen, in no order.
 *
 * Any thread.
 *
 * Returns: (element-type IOStreamClientStatistics) (transfer none): the rows
 * Since: 1.0
 */
GPtrArray *
io_stream_statistics_get_clients (const IOStreamStatistics *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->_rows;
}

/**
 * io_stream_statistics_get_own:
 * @self: statistics
 *
 * Gets the row of the client that asked.
 *
 * Any thread.
 *
 * Returns: (transfer none) (nullable): the row, or %NULL if it does not have
 *   the stream open, or if the owner asked
 * Since: 1.0
 */
const IOStreamClientStatistics *
io_stream_statistics_get_own (const IOStreamStatistics *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  for (guint i = 0; i < self->_rows->len; i++)
    {
      const IOStreamClientStatistics *client = g_ptr_array_index (self->_rows, i);

      if (client->is_own)
        return client;
    }

  return NULL;
}
