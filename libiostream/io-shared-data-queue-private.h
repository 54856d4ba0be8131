/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-data-region-private.h"
#include "io-data-ring-private.h"
#include "io-notification-port-private.h"
#include "io-shared-data-queue.h"

G_BEGIN_DECLS

/* io-shared-data-queue.c is the object and its end, -make.c makes it and hands
 * it over, -transfer.c moves records, -wait.c wakes and is woken. */

#define IO_SHARED_DATA_QUEUE_MAX_SPIN 50   /* us */

struct _IOSharedDataQueue {
  GObject                parent_instance;

  IOSharedDataQueueRole  role;
  IODataGeometry         geometry;
  guint                  fork_count;
  IODataRegion           own;           /* written here */
  IODataRegion           peer;          /* only read here */
  IONotificationPort    *port;          /* NULL: was never made properly */

  /* Covers what follows, and is held while the port is rung; never over a
   * callback or a sleep. */
  GMutex                 lock;
  IODataRing             ring;
  GError                *error;         /* set once, and never changed */
  int                    peer_bell;     /* until it is handed over */
  gboolean               handed_over;
  gboolean               attached;
  gboolean               has_reserved;
  guint32                reserved_size;
  gboolean               has_peeked;
  guint32                peeked_size;
  guint64                wanted_stride; /* of the record that was refused; 0: none */
  guint64                n_records;
  guint64                n_bytes;
  guint64                n_refused;
  guint                  spin;          /* us before a sleep; of the thread that waits */

  /* looked at by the port without the lock */
  _Atomic gboolean       ready;         /* the peer has mapped everything */
  _Atomic gboolean       over;          /* by us: hung up, or broken */
  _Atomic gboolean       gone;          /* the other end is */
  _Atomic gboolean       wants_space;
  _Atomic guint64        announced;     /* the tail that data-available told of */
};

extern const IONotificationPortFuncs _io_shared_data_queue_port_funcs;

typedef enum {
  IO_SHARED_DATA_QUEUE_DATA_AVAILABLE,
  IO_SHARED_DATA_QUEUE_SPACE_AVAILABLE,
  IO_SHARED_DATA_QUEUE_ENDED,
  IO_SHARED_DATA_QUEUE_N_SIGNALS
} IOSharedDataQueueSignal;

void     _io_shared_data_queue_emit       (IOSharedDataQueue        *self,
                                           IOSharedDataQueueSignal   signal);

gboolean _io_shared_data_queue_is_in_own_process (IOSharedDataQueue *self);
/* Closes the client's end of the bell, if it is still here. */
void     _io_shared_data_queue_close_peer_bell (IOSharedDataQueue   *self);

/* The lock is held for those that end in _locked. */

/* FALSE with @error: of the other role, not open, or ended by this side.
 * @role 0: any. */
gboolean _io_shared_data_queue_check_locked (IOSharedDataQueue      *self,
                                             IOSharedDataQueueRole   role,
                                             const char             *operation,
                                             GError                **error);
/* Ends the queue for this side; @error (taken over) NULL: in order. */
void     _io_shared_data_queue_end_locked (IOSharedDataQueue        *self,
                                           GError                   *error);
void     _io_shared_data_queue_break_locked (IOSharedDataQueue      *self,
                                             GError                **error);
/* Takes note of the end of the other side. */
void     _io_shared_data_queue_note_gone_locked (IOSharedDataQueue  *self);
/* FALSE with @error if the other side is gone; asks the kernel. */
gboolean _io_shared_data_queue_check_peer_locked (IOSharedDataQueue *self,
                                                  const char        *operation,
                                                  GError           **error);
/* Room for @size bytes; if there is none, asks to be told of it. */
IODataRingResult _io_shared_data_queue_want_space_locked (IOSharedDataQueue *self,
                                                          guint64            stride);
void     _io_shared_data_queue_forget_space_locked (IOSharedDataQueue *self);
gboolean _io_shared_data_queue_check_size (IOSharedDataQueue        *self,
                                           gsize                     size,
                                           const char               *operation,
                                           GError                  **error);

/* Any thread, without the lock. */
gboolean _io_shared_data_queue_has_data   (IOSharedDataQueue        *self);
gboolean _io_shared_data_queue_has_space  (IOSharedDataQueue        *self);

/* For the service layer. */

/* What the owner passes to a client: duplicated by whoever sends them. The
 * bell is the client's end. FALSE with EXCLUSIVE_ACCESS if somebody has them
 * already. */
typedef struct {
  IOSharedDataQueueRole role;       /* the client's */
  IODataGeometry        geometry;
  int                   producer_fd;
  int                   consumer_fd;
  int                   bell_fd;
} IOSharedDataQueueParts;

gboolean _io_shared_data_queue_begin_hand_over (IOSharedDataQueue             *self,
                                                IOSharedDataQueueParts        *parts,
                                                GError                       **error);
/* The descriptors are with the client: closes its end of the bell here. */
void     _io_shared_data_queue_end_hand_over   (IOSharedDataQueue             *self);
/* The client has mapped everything: seals what it writes. */
gboolean _io_shared_data_queue_set_ready       (IOSharedDataQueue             *self,
                                                GError                       **error);
/* The client's end; takes over the descriptors, also when it fails. It is
 * usable at once, though the owner may not be ready yet. */
IOSharedDataQueue *_io_shared_data_queue_new_for_parts (IOSharedDataQueueParts *parts,
                                                        GError                **error);
/* The connection is over: each side sees the other one gone, and can take what
 * is left. */
void     _io_shared_data_queue_cut             (IOSharedDataQueue             *self);
/* The memory that was made for a queue. */
guint64  _io_shared_data_queue_get_cost        (IOSharedDataQueue             *self);

G_END_DECLS
