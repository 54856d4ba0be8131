/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-statistics-page-private.h"
#include "io-stream-statistics.h"

G_BEGIN_DECLS

/* Nanoseconds of CLOCK_MONOTONIC: exactly, and as of the last tick. */
guint64 _io_statistics_now    (void);
guint64 _io_statistics_tick   (void);

/* What rows say, which may be anything: FALSE with IPC_ERROR if it cannot be.
 * @now: the time they were read at. */
IOStreamStatistics *_io_stream_statistics_new (const IOAbiStatisticsStream *row,
                                               guint64                      now,
                                               GError                     **error);
gboolean            _io_stream_statistics_add (IOStreamStatistics          *self,
                                               const IOAbiStatisticsClient *row,
                                               guint64                      own_id,
                                               GError                     **error);

G_END_DECLS
