/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-loan-book-private.h"
#include "io-stream-buffer-private.h"
#include "io-stream-link-private.h"
#include "io-stream.h"
#include "io-work-loop.h"

#include <gio/gunixfdlist.h>

G_BEGIN_DECLS

/* What is kept for clients that come later (io-stream-history.c). */
typedef struct _IOStreamHistory IOStreamHistory;

/* What the files that make up IOStream share. */
typedef struct {
  /* set at construction */
  guint              buffer_count;
  guint64            data_size;
  guint64            control_size;
  guint              queue_length;
  IOStreamPeerAccess peer_access;
  guint              max_clients;
  IOStreamDeliveryFlags deliveries;
  guint              fork_count;
  GThread           *thread;        /* that made the stream; only compared */

  /* in the thread of the stream */
  gboolean           changing;      /* a state method of the subclass runs */
  IOStreamState      told_state;    /* as published last */
  gboolean           in_sync;       /* a synchronous input callback runs */
  IOMemoryBacking   *pool;          /* memory of the buffers made by the stream */
  gboolean           pool_used;     /* a client could write it: replace it */
  GHashTable        *exposed;       /* IOMemoryBacking that a client could write, not the pool */
  GPtrArray         *old_pools;     /* memory and maps that were replaced, and the owner may
                                       still look at them (io-stream-memory.c) */
  IOStreamQueues    *queues;        /* made by hand, for the next open */
  IOStreamBufferQueue *output_queue;
  IOStreamBufferQueue *input_queue;

  /* under the lock */
  GMutex             lock;
  GThread           *initializer;   /* makes the buffers at the moment */
  _Atomic gboolean   initialized;   /* looked at without the lock */
  GCond              cond;          /* something came home, or the state changed */
  _Atomic guint      n_waiters;     /* looked at without the lock */
  GPtrArray         *buffers;       /* of IOStreamBuffer */
  IOLoanBook         book;
  IOStreamHistory   *history;       /* NULL: none is kept */
  _Atomic IOStreamMode mode;      /* looked at by the port without the lock */
  IOStreamState      state;
  gboolean           mode_changing; /* nothing can be sent meanwhile */
  gboolean           timestamps;
  GPtrArray         *links;         /* of IOStreamLink; changes in the thread of the stream only */
  gboolean           shared;        /* how it is open, if it is */
  guint              reserve_count;
  guint              client_allowance;
  gint64             loan_time_limit; /* in microseconds; 0: none */
  IOStreamLoanAction loan_action;
  gboolean           watches_age;   /* there is a limit, or was one, or something was revoked */
  GSource           *age_source;
  gboolean           age_armed;
  guint              collect_every; /* acquires for which free buffers do */
  guint              n_acquired;    /* since returns were looked for */
  IOStreamCounts     counts;
  guint32            epoch;         /* counts the opens */
  guint32            session;       /* counts how often the first client came */
  gboolean           terminated;
} IOStreamPrivate;

IOStreamPrivate *_io_stream_get_private     (IOStream      *self);

/* Who owns which buffer (io-stream-buffers.c) */
gboolean         _io_stream_make_buffers    (IOStream      *self,
                                             GError       **error);
void             _io_stream_drop_buffers    (IOStream      *self);
/* FALSE with STILL_OPEN */
gboolean         _io_stream_check_closed    (IOStream      *self,
                                             const char    *operation,
                                             GError       **error);

/* What lies behind the buffers (io-stream-memory.c) */
/* New memory for @buffers, which the stream itself made; @retired as for
 * _io_stream_buffer_renew(). */
gboolean         _io_stream_fill_pool       (IOStream      *self,
                                             GPtrArray     *buffers,
                                             GPtrArray     *retired,
                                             GError       **error);
void             _io_stream_free_old_pool   (gpointer       data);
/* Before an open. */
gboolean         _io_stream_refresh_memory  (IOStream      *self,
                                             GError       **error);
gboolean         _io_stream_seal_memory     (IOStream      *self,
                                             GError       **error);
/* Can clients write anything of this buffer, or has it no memory at all? */
gboolean         _io_stream_is_fillable     (IOStream      *self,
                                             IOStreamBuffer *buffer);
gboolean         _io_stream_is_exposed      (IOStreamBuffer *buffer);
/* What a client can write of the buffers, and of @more, has to be made anew for
 * the next one. In bytes. */
guint64          _io_stream_count_memory    (IOStreamPrivate *priv,
                                             GPtrArray       *more);
/* What GET_BUFFERS and GET_MEMORY answer. */
GVariant        *_io_stream_describe_buffers (IOStream     *self,
                                              guint32       generation,
                                              guint         first);
IOMemoryDescriptor *_io_stream_get_memory   (IOStream      *self,
                                             guint          type,
                                             GError       **error);

/* Who has it open (io-stream-links.c). In the thread of the stream, or with the
 * lock held. */
static inline IOStreamLink *
_io_stream_link_at (IOStreamPrivate *priv,
                    guint            place)
{
  return g_ptr_array_index (priv->links, place);
}
IOStreamLink    *_io_stream_find_link       (IOStreamPrivate *priv,
                                             IOUserClient  *client);
/* How many buffers each client may hold. */
guint            _io_stream_get_allowance   (IOStreamPrivate *priv);
/* After anything that the limits hang on has changed. */
void             _io_stream_set_limits_locked (IOStreamPrivate *priv);
/* The client that holds most, or NULL. */
IOStreamLink    *_io_stream_find_worst_locked (IOStreamPrivate *priv);
/* Who has this buffer, or NULL. */
IOStreamLink    *_io_stream_find_holder_locked (IOStreamPrivate *priv,
                                             guint32        id);
/* How many buffers the reserve leaves to clients. */
guint            _io_stream_count_lendable  (IOStreamPrivate *priv);
/* Whether clients can hold one buffer more. */
static inline gboolean
_io_stream_can_lend_locked (IOStreamPrivate *priv)
{
  return priv->book.n_lent + priv->reserve_count < priv->book.count;
}
/* The client that does not let the owner send, or NULL; @can_lend: as
 * _io_stream_can_lend_locked() says. */
static inline gboolean
_io_stream_is_blocker (const IOStreamLink *link)
{
  return link->holder.count >= link->limit && link->delivery == IO_STREAM_DELIVERY_BLOCK &&
         link->state == IO_STREAM_STATE_RUNNING;
}
IOStreamLink    *_io_stream_find_blocker_locked (IOStreamPrivate *priv,
                                             gboolean       can_lend);
/* Nothing that clients can write, and only output. */
gboolean         _io_stream_check_shareable (IOStream      *self,
                                             GError       **error);

/* What is taken back (io-stream-claims.c); with the lock held, and for links
 * that have a claim word */
/* For one entry more, as the client's delivery says. FALSE: it misses that. */
gboolean         _io_stream_make_place_locked (IOStreamPrivate *priv,
                                             IOStreamLink  *link);
/* Takes back until one buffer more is free, the oldest first; nothing if that
 * does not help. */
gboolean         _io_stream_reclaim_locked  (IOStreamPrivate *priv);
gboolean         _io_stream_reclaim_id_locked (IOStreamPrivate *priv,
                                             guint32        id);
/* The same until clients can hold one buffer more. */
gboolean         _io_stream_reclaim_reserve_locked (IOStreamPrivate *priv);
/* Takes back all before this number that the client has not taken. */
void             _io_stream_withdraw_older_locked (IOStreamPrivate *priv,
                                             IOStreamLink  *link,
                                             guint32        before);
/* It gives this one back: has it taken it? */
gboolean         _io_stream_has_taken_locked (IOStreamPrivate *priv,
                                             IOStreamLink  *link,
                                             guint32        id);

/* What is kept for later (io-stream-history.c); with the lock held. */
void             _io_stream_history_free    (IOStreamPrivate *priv);
void             _io_stream_history_clear_locked (IOStreamPrivate *priv);
void             _io_stream_history_grow_locked (IOStreamPrivate *priv,
                                             guint          old_count,
                                             guint          count);
/* The book is a new one. */
void             _io_stream_history_renew_locked (IOStreamPrivate *priv);
gboolean         _io_stream_history_has_locked (IOStreamPrivate *priv,
                                             guint32        id);
/* It gives way, the oldest first: until a buffer is free; until @n more can be
 * lent. What a client has too is no way to that. */
void             _io_stream_history_free_one_locked (IOStreamPrivate *priv);
void             _io_stream_history_make_room_locked (IOStreamPrivate *priv,
                                             guint          n);
/* Makes this buffer free if nobody else has it. */
void             _io_stream_history_release_locked (IOStreamPrivate *priv,
                                             guint32        id);
/* Not if there is none. */
void             _io_stream_history_keep_locked (IOStreamPrivate *priv,
                                             const IOStreamBufferQueueEntry *entry);
/* The client starts: gives it what it wants of it, and tells it. */
void             _io_stream_history_replay_locked (IOStreamPrivate *priv,
                                             IOStreamLink  *link);

/* What goes out (io-stream-transfer.c); with the lock held. The client must
 * have a place for it. */
void             _io_stream_lend_to_locked  (IOStreamPrivate *priv,
                                             IOStreamLink  *link,
                                             const IOStreamBufferQueueEntry *entry,
                                             guint32        flags);
void             _io_stream_notify_link_locked (IOStreamLink *link);

/* How much of it the client wants, as it said at its last open. */
guint            _io_stream_user_client_get_replay (IOStreamUserClient *client);

/* How long it is held (io-stream-age.c); with the lock held. */
void             _io_stream_drop_age        (IOStreamPrivate *priv);
/* Before this is lent. */
void             _io_stream_note_age_locked (IOStreamPrivate *priv,
                                             IOStreamLink  *link,
                                             guint32        id,
                                             guint32        sequence);
/* Ends all loans of the client before this number. */
void             _io_stream_revoke_locked   (IOStreamPrivate *priv,
                                             IOStreamLink  *link,
                                             guint32        before);
/* It comes back. FALSE if it was not taken away. */
gboolean         _io_stream_forget_revoked_locked (IOStreamLink *link,
                                             const IOStreamBufferQueueEntry *entry);

/* What comes back (io-stream-drain.c); with the lock held */
/* The client did what no honest one does; takes over @what. */
void             _io_stream_note_violation  (IOStreamLink  *link,
                                             char          *what);
guint            _io_stream_drain_link_locked (IOStreamPrivate *priv,
                                             IOStreamLink  *link);
guint            _io_stream_drain_locked    (IOStreamPrivate *priv);
/* The contexts look again whether somebody waits for what comes. */
void             _io_stream_wake_locked     (IOStreamPrivate *priv);
extern const IONotificationPortFuncs _io_stream_port_funcs;

/* The state (io-stream-state.c) */
/* After the state of a client has changed, and before the lock is given up: the
 * state of all together, running if one runs. Who sends relies on both. */
IOStreamState    _io_stream_settle_state_locked (IOStreamPrivate *priv);
/* To each client its own state, and to all others that of the stream. */
void             _io_stream_publish_links   (IOStreamPrivate *priv);
void             _io_stream_publish_state   (IOStream      *self);
/* @client: whose state, NULL for that of all. */
gboolean         _io_stream_change_state    (IOStream      *self,
                                             IOUserClient  *client,
                                             IOStreamState  target,
                                             GError       **error);
/* Clients left, and what they say no longer matters: runs the methods of the
 * class that bring it down from @reached to what those have it be who stay. */
void             _io_stream_step_down       (IOStream      *self,
                                             IOStreamState  reached);

/* What ATTACH_INTERRUPTS does (io-stream-interrupts.c) */
gboolean         _io_stream_attach_interrupts (IOStream    *self,
                                               IOUserClient *client,
                                               GVariant    *args,
                                               GError     **error);

/* Opening and closing (io-stream-open.c) */
gboolean         _io_stream_make_link       (IOStream      *self,
                                             IOUserClient  *client,
                                             guint          options,
                                             GError       **error);
/* Charges the clients that have it open for @more buffers. */
gboolean         _io_stream_charge_link     (IOStream      *self,
                                             GPtrArray     *more,
                                             GError       **error);
void             _io_stream_close_link      (IOStream      *self,
                                             IOUserClient  *client);
void             _io_stream_break_link      (IOStream      *self,
                                             IOStreamLink  *link);
gboolean         _io_stream_set_ready       (IOStream      *self,
                                             IOUserClient  *client,
                                             GError       **error);
GVariant        *_io_stream_describe_open   (IOStream      *self,
                                             IOUserClient  *client,
                                             GUnixFDList  **fds,
                                             GError       **error);
guint            _io_stream_get_collect_every (IOStreamPrivate *priv);
void             _io_stream_show_queues     (IOStreamPrivate *priv,
                                             const IORegion *own,
                                             const IORegion *peer);

/* The mode (io-stream-mode.c) */
void             _io_stream_set_mode_attribute (IOStream   *self);

/* What is counted (io-stream-counts.c); with the lock held */
void             _io_stream_count_open_locked  (IOStreamPrivate *priv,
                                                IOStreamLink    *link);
/* Before the loans of the link end, and before it is no longer among the
 * links. */
void             _io_stream_count_close_locked (IOStreamPrivate *priv,
                                                IOStreamLink    *link);
/* 0: it holds nothing. */
guint64          _io_stream_find_held_since    (IOStreamPrivate *priv,
                                                IOStreamLink    *link);
void             _io_stream_fill_client_row    (IOStreamPrivate       *priv,
                                                IOStreamLink          *link,
                                                IOAbiStatisticsClient *row);
void             _io_stream_fill_stream_row    (IOStreamPrivate       *priv,
                                                IOAbiStatisticsStream *row);
/* Numbers from this one on are meant for the client; also before older ones are
 * put into its queue. */
void             _io_stream_begin_run_locked   (IOStreamLink          *link,
                                                guint32                sequence);
/* Who holds what and for how long, the worst first. */
char            *_io_stream_describe_holders_locked (IOStreamPrivate  *priv);

/* Who sees it (io-stream-views.c) */
guint64          _io_stream_get_client_id      (IOUserClient          *client);
IOStreamStatisticsAccess
                 _io_stream_get_client_access  (IOUserClient          *client);
void             _io_stream_set_client_access  (IOUserClient          *client,
                                                IOStreamStatisticsAccess access);
GVariant        *_io_stream_share_statistics   (IOStream              *self,
                                                IOUserClient          *client,
                                                GUnixFDList          **fds,
                                                GError               **error);
void             _io_stream_drop_views         (IOStream              *self);
/* With the lock held. */
void             _io_stream_publish_views_locked (IOStreamPrivate     *priv,
                                                  gboolean             at_once);
void             _io_stream_clear_row_locked   (IOStreamPrivate       *priv,
                                                IOStreamLink          *link);

/* Costs a look at a pointer unless somebody looks. */
static inline void
_io_stream_publish_locked (IOStreamPrivate *priv,
                           gboolean         at_once)
{
  if (G_UNLIKELY (priv->counts.views != NULL))
    _io_stream_publish_views_locked (priv, at_once);
}

/* A buffer is sent: its number is in the book. */
static inline void
_io_stream_count_sent_locked (IOStreamPrivate *priv,
                              guint32          id)
{
  IOStreamCounts *counts = &priv->counts;

  counts->produced++;
  counts->last_sent = _io_stamp_clock_get (&counts->clock);
  priv->book.loans[id].since = counts->last_sent;
}

/* Whether this client gets it or not: it counts as one that was meant for it.
 * To be said before the entry is put into its queue. */
static inline void
_io_stream_count_meant_locked (IOStreamLink *link,
                               guint32       sequence)
{
  if (G_UNLIKELY (link->counts.next_sequence != sequence))
    _io_stream_begin_run_locked (link, sequence);
  link->counts.next_sequence++;
}

/* It came back from this client, whose returns began to be taken a moment
 * ago. */
static inline void
_io_stream_count_returned_locked (IOStreamPrivate *priv,
                                  IOStreamLink    *link,
                                  guint32          id)
{
  guint64 held = priv->counts.clock.now - MAX (priv->book.loans[id].since, link->counts.opened);

  if (G_UNLIKELY (held > link->counts.longest_held))
    link->counts.longest_held = held;
}

/* Synchronous input (io-stream-sync.c) */
/* Calls the method of the class; what it is to see must be drained. For calls
 * that come directly as well: in the thread of the stream, where it fails with
 * BUSY inside such a callback. @error is always set if it fails. */
gboolean         _io_stream_run_input_sync  (IOStream      *self,
                                             guint32        token,
                                             GError       **error);
/* Looks for a call of the open with this number without its ring. In the thread
 * of the stream. */
void             _io_stream_serve_sync     (IOStream      *self,
                                             guint32        epoch);
/* Makes the bell of the calls, and passes the client's end. */
GVariant        *_io_stream_make_sync_bell  (IOStream      *self,
                                             IOUserClient  *client,
                                             GUnixFDList  **fds,
                                             GError       **error);

/* Its properties (io-stream-properties.c) */
void             _io_stream_class_init_properties (GObjectClass *klass);

/* The object (io-stream.c) */
/* A source of the stream's context that calls @func with the stream, as long as
 * there is one, when its ready time has come. */
GSource         *_io_stream_new_source      (IOStream      *self,
                                             const char    *name,
                                             void         (*func) (IOStream *self));
void             _io_stream_announce_input  (IOStream      *self,
                                             guint32        token);
void             _io_stream_announce_memory (IOStream      *self);
void             _io_stream_announce_expired (IOStream     *self,
                                             IOUserClient  *client,
                                             guint32        id,
                                             gint64         held);
gboolean         _io_stream_has_input_listener (IOStream   *self);
/* Makes the buffers at the first use. Who listens to that may drop the last
 * reference: then *@keep has one, for as long as the caller goes on; it is NULL
 * at the start, and stays it at each later use. */
gboolean         _io_stream_ensure          (IOStream      *self,
                                             IOStream     **keep,
                                             GError       **error);
/* FALSE in a forked child: the stream stays with the parent. */
gboolean         _io_stream_check_process   (IOStream      *self,
                                             GError       **error);

G_END_DECLS
