/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-claim-private.h"
#include "io-interrupt-link-private.h"
#include "io-loan-book-private.h"
#include "io-notification-port-private.h"
#include "io-region-private.h"
#include "io-ring-private.h"
#include "io-stream-counts-private.h"
#include "io-stream-sync-private.h"
#include "io-stream-user-client.h"

G_BEGIN_DECLS

/* The two regions of an open, which can be made before it. */
typedef struct {
  IORegion own;       /* the owner's region: the output ring */
  IORegion peer;      /* the client's region: the input ring */
  guint    length;    /* as asked for; 0: as many as there are buffers */
} IOStreamQueues;

/* @length 0: for @n_buffers, so that the queue never is what limits. */
IOStreamQueues *_io_stream_queues_new  (guint            n_buffers,
                                        guint            length,
                                        GError         **error);
/* For a client from which things can be taken back. */
gboolean        _io_stream_queues_claim (IOStreamQueues *self,
                                        GError         **error);
void            _io_stream_queues_free (IOStreamQueues  *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (IOStreamQueues, _io_stream_queues_free)

/* Why a client missed something. */
typedef enum {
  IO_STREAM_DROP_NEWEST,     /* it had no place for it */
  IO_STREAM_DROP_OLDEST,     /* taken back for a newer one */
  IO_STREAM_DROP_LATEST,     /* likewise, of a client that wants only that */
  IO_STREAM_DROP_ALLOWANCE,  /* it had taken as many as it may hold */
  IO_STREAM_DROP_RESERVE,    /* the owner kept the rest for itself */
  IO_STREAM_N_DROPS
} IOStreamDrop;

/* The owner's end of one open: the two regions and rings, the bell, and what
 * the client holds. Belongs to the stream, whose lock covers it. */
typedef struct {
  IOStream           *stream;      /* borrowed: it owns the link */
  IOUserClient       *client;      /* borrowed: it closes before it goes */
  IORegion            own;         /* the owner's region: the output ring */
  IORegion            peer;        /* the client's region: the input ring */
  IORing              output;
  IORing              input;
  IOClaim             claim;       /* its word is NULL where nothing is taken back */
  IONotificationPort *port;
  int                 peer_bell;   /* the client's end, until it is handed over */
  IOInterruptLink    *interrupts;  /* what the client wants caused beside the bell, or NULL */
  guint               vector;
  IOLoanHolder        holder;
  gint64             *stamps;      /* when each buffer was lent, while there is a limit; 0: said */
  guint               n_stamps;
  GHashTable         *revoked;     /* number -> buffer + 1: taken away, and not returned yet */
  guint               n_revoked;
  IOStreamDelivery    delivery;
  guint               replay;      /* how much of the history it wants when it starts */
  guint32             next_number; /* one more than what it was lent last */
  gboolean            has_number;
  IOStreamState       state;       /* whether this client has it running */
  IOStreamState       previous;    /* while the state changes */
  guint64             delivered;
  guint64             returned;
  guint64             dropped[IO_STREAM_N_DROPS];
  IOLinkCounts        counts;
  guint               length;      /* of the queues; 0: as many as there are buffers */
  guint               max_buffers; /* that the client may hold, as its limits say */
  guint               limit;       /* most buffers the client may hold */
  guint32             epoch;       /* of this open */
  guint32             generation;  /* of the set of buffers, as it stands in the page */

  /* looked at by the port without the lock */
  _Atomic guint64     next_input;  /* index of the next entry from the client */
  _Atomic gboolean    ready;       /* the client has mapped everything */
  _Atomic gboolean    has_news;    /* returns came that were not announced yet */
  _Atomic gboolean    is_broken;   /* there is a violation to report */

  guint64             announced;   /* the client was told of what is before this index */
  gboolean            starved;     /* the owner found no buffer, and the context knows */
  char               *violation;   /* what the client did, until its connection is ended */

  IOStreamSync       *sync;        /* NULL until the client makes synchronous calls;
                                      in the thread of the stream */
} IOStreamLink;

/* Takes over @queues, also when it fails. */
IOStreamLink *_io_stream_link_new   (IOStream                      *stream,
                                     IOUserClient                  *client,
                                     guint                          n_buffers,
                                     IOStreamQueues                *queues,
                                     const IONotificationPortFuncs *funcs,
                                     GError                       **error);
/* After the number of buffers, or of those that the client may hold, changed. */
void          _io_stream_link_set_limit (IOStreamLink              *self,
                                         guint                      n_buffers,
                                         guint                      allowance);
void          _io_stream_link_free  (IOStreamLink                  *self);
/* The client is to look: causes its vector, if it has one, and rings its bell,
 * which is a system call only if it sleeps on that. */
void          _io_stream_link_ring  (IOStreamLink                  *self);

/* What was taken away counts until it comes back: its entries may still be in
 * the queues, which have place for so many. */
static inline gboolean
_io_stream_link_is_full (const IOStreamLink *self)
{
  return self->holder.count + self->n_revoked >= self->limit;
}

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
