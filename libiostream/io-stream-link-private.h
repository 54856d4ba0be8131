/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-loan-book-private.h"
#include "io-notification-port-private.h"
#include "io-region-private.h"
#include "io-ring-private.h"
#include "io-stream-sync-private.h"
#include "io-stream-user-client.h"

G_BEGIN_DECLS

/* The owner's end of one open: the two regions and rings, the bell, and what
 * the client holds. Belongs to the stream, whose lock covers it. */
typedef struct {
  IOStream           *stream;      /* borrowed: it owns the link */
  IOUserClient       *client;      /* borrowed: it closes before it goes */
  IORegion            own;         /* the owner's region: the output ring */
  IORegion            peer;        /* the client's region: the input ring */
  IORing              output;
  IORing              input;
  IONotificationPort *port;
  int                 peer_bell;   /* the client's end, until it is handed over */
  IOLoanHolder        holder;
  guint               limit;       /* most buffers the client may hold */

  /* looked at by the port without the lock */
  _Atomic guint64     next_input;  /* index of the next entry from the client */
  _Atomic gboolean    ready;       /* the client has mapped everything */
  _Atomic gboolean    has_news;    /* returns came that were not announced yet */
  _Atomic gboolean    is_broken;   /* there is a violation to report */

  guint               collect_every; /* acquires for which free buffers do */
  guint               n_acquired;  /* since returns were looked for */
  gboolean            starved;     /* the owner found no buffer, and the context knows */
  char               *violation;   /* what the client did, until its connection is ended */

  IOStreamSync       *sync;        /* NULL until the client makes synchronous calls;
                                      in the thread of the stream */
} IOStreamLink;

IOStreamLink *_io_stream_link_new   (IOStream                      *stream,
                                     IOUserClient                  *client,
                                     guint                          n_buffers,
                                     guint                          queue_length,
                                     const IONotificationPortFuncs *funcs,
                                     GError                       **error);
void          _io_stream_link_free  (IOStreamLink                  *self);

/* What the peer wrote, copied out once: does it lie within the parts of its
 * buffer? */
static inline gboolean
_io_stream_check_entry_range (const IOStreamBufferQueueEntry *entry,
                              gsize                           data_size,
                              gsize                           control_size)
{
  return entry->data_length <= data_size &&
         entry->data_offset <= data_size - entry->data_length &&
         entry->control_length <= control_size &&
         entry->control_offset <= control_size - entry->control_length;
}

G_END_DECLS
