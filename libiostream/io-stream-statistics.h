/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-types.h>

G_BEGIN_DECLS

#define IO_TYPE_STREAM_STATISTICS        (io_stream_statistics_get_type ())
#define IO_TYPE_STREAM_CLIENT_STATISTICS (io_stream_client_statistics_get_type ())

/**
 * IOStreamClientStatistics:
 * @name: what the client calls itself, cut after 63 bytes; it can be anything
 * @id: number of the connection, in its order; never used twice
 * @pid: process of the client, as the owner sees it
 * @uid: user of the client
 * @is_own: whether this is the client that asked
 * @delivery: what happens when it is slow
 * @state: whether it has the stream running
 * @held: buffers lent to it
 * @queued: those of them that it has not taken yet, as far as it has told
 * @allowance: buffers that it may hold
 * @produced: buffers that the stream sent while this client had it running
 * @delivered: buffers that were lent to it, late ones included
 * @returned: buffers that it returned
 * @dropped: buffers that it missed, for whatever reason
 * @dropped_newest: missed because it had no place for a new one
 * @dropped_oldest: taken back for a newer one, before it had taken them
 * @dropped_latest: likewise, because it wants only the newest
 * @dropped_allowance: missed because it had taken as many as it may hold
 * @dropped_reserve: missed because the owner kept the rest for itself
 * @replayed: buffers of before it joined, part of @delivered
 * @revoked: buffers that were taken back although it had taken them
 * @held_time: for how long it has held the oldest of @held, in nanoseconds
 * @longest_held_time: for how long it ever held one, in nanoseconds
 * @opened_at: when it opened the stream, in nanoseconds of CLOCK_MONOTONIC
 * @last_activity: when it last did something, likewise
 * @violations: what it did that no honest client does
 *
 * What is counted of one client from its opening of a stream on. The books
 * balance: @delivered is the sum of @returned, @held, @dropped_oldest,
 * @dropped_latest and @revoked; @produced is what was delivered without
 * @replayed, and what was dropped for the other reasons.
 *
 * Since: 1.0
 */
struct _IOStreamClientStatistics {
  char             *name;
  guint64           id;
  int               pid;
  guint             uid;
  gboolean          is_own;
  IOStreamDelivery  delivery;
  IOStreamState     state;
  guint             held;
  guint             queued;
  guint             allowance;
  guint64           produced;
  guint64           delivered;
  guint64           returned;
  guint64           dropped;
  guint64           dropped_newest;
  guint64           dropped_oldest;
  guint64           dropped_latest;
  guint64           dropped_allowance;
  guint64           dropped_reserve;
  guint64           replayed;
  guint64           revoked;
  guint64           held_time;
  guint64           longest_held_time;
  guint64           opened_at;
  guint64           last_activity;
  guint64           violations;

  /*< private >*/
  guint64           reserved[4];
};

/**
 * IOStreamStatistics:
 * @state: whether the stream runs
 * @mode: which way payload travels
 * @buffers: how many it has
 * @free_buffers: those that nobody has
 * @owned_buffers: those that the owner has
 * @lent_buffers: those that one or more clients hold
 * @arrived_buffers: those that came back filled and were not dequeued yet
 * @reserve: buffers that clients can never hold
 * @clients: how many have it open
 * @max_clients: how many can
 * @produced: buffers that were sent, each counted once
 * @delivered: loans to clients, also to those that are gone
 * @returned: loans that clients ended
 * @dropped: what clients missed, for whatever reason
 * @failures: times that the owner found no buffer
 * @violations: what clients did that no honest client does
 * @last_activity: when a buffer last moved, in nanoseconds of CLOCK_MONOTONIC
 * @time: when this was looked at, likewise
 *
 * What is counted of one stream since it was made, and of the clients that have
 * it open: see io_stream_statistics_get_clients().
 *
 * Since: 1.0
 */
struct _IOStreamStatistics {
  IOStreamState  state;
  IOStreamMode   mode;
  guint          buffers;
  guint          free_buffers;
  guint          owned_buffers;
  guint          lent_buffers;
  guint          arrived_buffers;
  guint          reserve;
  guint          clients;
  guint          max_clients;
  guint64        produced;
  guint64        delivered;
  guint64        returned;
  guint64        dropped;
  guint64        failures;
  guint64        violations;
  guint64        last_activity;
  guint64        time;

  /*< private >*/
  GPtrArray     *_rows;
  guint64        reserved[4];
};

IO_AVAILABLE_IN_ALL
GType                     io_stream_client_statistics_get_type (void);
IO_AVAILABLE_IN_ALL
IOStreamClientStatistics *io_stream_client_statistics_copy     (const IOStreamClientStatistics *self) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
void                      io_stream_client_statistics_free     (IOStreamClientStatistics       *self);

IO_AVAILABLE_IN_ALL
GType                     io_stream_statistics_get_type        (void);
IO_AVAILABLE_IN_ALL
IOStreamStatistics       *io_stream_statistics_copy            (const IOStreamStatistics       *self) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
void                      io_stream_statistics_free            (IOStreamStatistics             *self);
IO_AVAILABLE_IN_ALL
GPtrArray                *io_stream_statistics_get_clients     (const IOStreamStatistics       *self);
IO_AVAILABLE_IN_ALL
const IOStreamClientStatistics *
                          io_stream_statistics_get_own         (const IOStreamStatistics       *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (IOStreamClientStatistics, io_stream_client_statistics_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (IOStreamStatistics, io_stream_statistics_free)

G_END_DECLS
