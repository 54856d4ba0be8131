/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-stream-statistics-private.h"

G_BEGIN_DECLS

/* What is counted where it happens, under the lock of the stream. Nothing here
 * is ever used for a decision, and nothing of what is published is read back. */

#define IO_N_COUNTED_DROPS 8

/* The time, as of the last look at the clock: of many buffers in one tick of it
 * only every sixteenth looks, since a look costs a tenth of a small buffer's
 * way. As soon as a tick passes between two of them each looks again. */
typedef struct {
  guint64 now;
  guint   stride;
  guint   left;
} IOStampClock;

/* Of a client, beside what the link itself counts. */
typedef struct {
  guint64 id;
  guint   row;               /* in the page for those who may see all */
  guint64 opened;
  guint64 replayed;
  guint64 revoked;
  guint64 longest_held;
  guint64 last_activity;
  guint32 next_sequence;     /* if the client goes on running */
  guint32 skipped;           /* numbers that were not for it */
} IOLinkCounts;

typedef struct {
  IOStampClock clock;
  guint64      produced;
  guint64      failures;
  guint64      last_activity;  /* of those that return */
  guint64      last_sent;
  /* of the clients that left */
  guint64      delivered;
  guint64      returned;
  guint64      dropped[IO_N_COUNTED_DROPS];
  guint64      replayed;
  guint64      revoked;
  guint64      violations;

  GPtrArray   *views;        /* of IOStatisticsView, or NULL: nobody looks */
  guint64      published;    /* when */
  GSource     *later;        /* publishes what was not published yet */
  gboolean     due;
} IOStreamCounts;

void _io_stamp_clock_look (IOStampClock *self,
                           gboolean      exactly);

static inline guint64
_io_stamp_clock_get (IOStampClock *self)
{
  if (G_UNLIKELY (self->left <= 1))
    _io_stamp_clock_look (self, FALSE);
  else
    self->left--;

  return self->now;
}

G_END_DECLS
