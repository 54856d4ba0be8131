/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-abi-private.h"
#include "io-memory-backing-private.h"

G_BEGIN_DECLS

/* The page of statistics, as its owner writes it or as somebody else sees it.
 * The owner keeps the versions to itself: nothing in the page is read back. */
typedef struct {
  IOMemoryBacking *backing;
  IOAbiStatistics *page;
  guint            row_count;   /* of clients */
  guint64         *versions;    /* of the stream, then of the clients; the owner's */
} IOStatisticsPage;

/* As often as a row is looked at that changes meanwhile. */
#define IO_STATISTICS_TRIES 256

gsize    _io_statistics_page_get_size (guint                         row_count);
gboolean _io_statistics_page_create   (IOStatisticsPage             *self,
                                       guint                         row_count,
                                       GError                      **error);
/* Takes over @fd, also when it fails. */
gboolean _io_statistics_page_attach   (IOStatisticsPage             *self,
                                       int                           fd,
                                       guint                         row_count,
                                       GError                      **error);
void     _io_statistics_page_clear    (IOStatisticsPage             *self);

void     _io_statistics_page_write_stream (IOStatisticsPage            *self,
                                           const IOAbiStatisticsStream *row);
void     _io_statistics_page_write_client (IOStatisticsPage            *self,
                                           guint                        index,
                                           const IOAbiStatisticsClient *row);
/* FALSE: it changes all the time. */
gboolean _io_statistics_page_read_stream  (IOStatisticsPage            *self,
                                           IOAbiStatisticsStream       *row);
gboolean _io_statistics_page_read_client  (IOStatisticsPage            *self,
                                           guint                        index,
                                           IOAbiStatisticsClient       *row);

G_END_DECLS
