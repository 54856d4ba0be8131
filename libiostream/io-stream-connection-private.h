/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-claim-private.h"
#include "io-connection-private.h"
#include "io-notification-port-private.h"
#include "io-region-private.h"
#include "io-ring-private.h"
#include "io-statistics-page-private.h"
#include "io-stream-buffer-private.h"
#include "io-stream-connection.h"

G_BEGIN_DECLS

/* A buffer as the owner described it, and as it is mapped here. */
typedef struct {
  guint32          data_number;
  guint32          control_number;
  guint64          data_offset;
  guint64          control_offset;
  IOStreamBufferParts parts;
  guint32          sequence;   /* of the loan, if held */
  gboolean         held;
  IOStreamBuffer  *object;     /* made when first asked for */
} IOStreamClientBuffer;

/* What happened and was not told to those who listen. */
typedef enum {
  IO_NEWS_STATE   = 1 << 0,
  IO_NEWS_MODE    = 1 << 1,
  IO_NEWS_BUFFERS = 1 << 2,
  IO_NEWS_REVOKED = 1 << 3
} IOStreamNews;

/* Buffers that the owner is describing. */
typedef struct {
  GArray   *buffers;      /* of IOStreamClientBuffer; without a thread's view of it */
  guint     first;        /* number of the first of them */
  guint     count;        /* of all, as the owner said last */
  guint     n_mapped;     /* of them, whose memory is there */
  guint32   generation;   /* likewise */
  IOOpcode  asked;        /* by the last call of a refresh */
} IOStreamDescription;

/* The callback for output. It stands as long as it runs. */
typedef struct {
  IOStreamOutputCallback callback;
  gpointer               data;
  GDestroyNotify         destroy;
} IOOutputHandler;

/* The bell of synchronous calls and the pages they go through, kept for as long
 * as somebody waits there (io-stream-connection-sync.c). */
typedef struct _IOSyncBell IOSyncBell;

/* What it takes to outlive an owner (io-stream-connection-resume.c). */
typedef struct _IOStreamResume IOStreamResume;

/* What the files that make up IOStreamConnection share. */
typedef struct {
  /* under the lock: entries come in one thread, but go home from any */
  GMutex                lock;
  gboolean              attached;      /* the regions and the port are there */
  gboolean              usable;        /* and the owner knows that they are */
  IORegion              own;           /* the client's region: the input ring */
  IORegion              peer;          /* the owner's region: the output ring */
  IORing                output;
  IORing                input;
  IOClaim               claim;         /* its word is NULL where nothing is taken back */
  IONotificationPort   *port;
  GArray               *buffers;       /* of IOStreamClientBuffer */
  GHashTable           *memories;      /* number -> IOMemoryBacking */
  _Atomic guint32       generation;    /* of what is known of the buffers */
  _Atomic gboolean      refreshing;    /* the owner is asked for new ones */
  _Atomic gboolean      blocked;       /* the next entry is of one that is not known yet */
  IOStreamMode          opened_mode;   /* likewise */
  IOStreamDelivery      delivery;      /* of the next open */
  IOStreamDelivery      asked_delivery; /* by the last one */
  guint                 replay;        /* likewise */
  guint                 held;
  guint64               revocation_seen; /* the word in the owner's page */
  _Atomic guint64       n_revoked;
  _Atomic guint64       n_revoked_told;
  guint64               received;
  guint64               lost;
  guint64               epoch;         /* counts the opens; stands in each entry taken */
  guint32               next_sequence;
  guint32               first_sequence;
  gboolean              has_sequence;
  gboolean              has_run;       /* what came last was of a run that the page told of */
  guint32               run_skipped;   /* numbers before that that were not meant for it */
  guint32               next_meant;    /* entries that were, so far */
  IOSyncBell           *sync_bell;     /* NULL until the first synchronous call */
  gboolean              in_sync;       /* one is made at the moment */
  guint32               sync_number;   /* of the last one */
  IOStatisticsPage      statistics;    /* once it was asked for */
  guint64               statistics_id; /* of this client in it */

  /* in the thread of the connection */
  IOStreamMode          mode;
  IOStreamState         state_seen;
  IOStreamNews          news;
  GSource              *news_source;   /* due to tell them */
  IOStreamDescription   description;   /* while opening, and while refreshing */
  guint                 refreshes;     /* counts them, and the opens */
  gboolean              announcing;    /* output, from the context */
  GThread              *thread;        /* that opened the stream; only compared */
  GTask                *sync_task;     /* the synchronous call that is made without waiting */
  guint64               announced;     /* entries before this one were announced */
  guint64               dispatched;    /* where the last dispatch left the queue */
  gboolean              notify_in_context;
  IOStreamBufferQueue  *output_queue;
  IOStreamBufferQueue  *input_queue;
  IOOutputHandler      *handler;       /* counts references */
  guint                 fork_count;
  IOSharedInterruptController *interrupts; /* attached to, or NULL */
  guint                 vector;        /* of it */
  _Atomic gboolean      by_vector;     /* and the owner causes it: no bell is needed */
  IOStreamResume       *resume;
} IOStreamConnectionPrivate;

IOStreamConnectionPrivate *_io_stream_connection_get_private (IOStreamConnection *self);

/* Where the next entry to take is, or will be, while attached. What the owner
 * can take back may be gone as soon as this is told, and an index that is
 * behind that of the ring is a violation that taking finds. */
static inline guint64
_io_stream_connection_get_next (const IOStreamConnectionPrivate *priv)
{
  return G_LIKELY (priv->claim.word == NULL) ? priv->output.index : _io_claim_next_index (&priv->claim);
}

/* Calls (io-stream-connection-calls.c) */
void          _io_stream_connection_keep_mode   (IOStreamConnection *self,
                                                 IOStreamMode        mode);

/* What the owner says of its buffers (io-stream-connection-describe.c) */
void          _io_stream_connection_begin_description (IOStreamConnection *self,
                                                       guint               first,
                                                       guint               count);
void          _io_stream_connection_drop_description  (IOStreamConnection *self);
gboolean      _io_stream_connection_take_answer (IOStreamConnection  *self,
                                                 IOOpcode             opcode,
                                                 GVariant            *answer,
                                                 GUnixFDList         *fds,
                                                 GError             **error);
/* Leaves @next->opcode 0 when all is described, mapped, and known here. */
gboolean      _io_stream_connection_ask_next    (IOStreamConnection  *self,
                                                 IOConnectionCall    *next,
                                                 GError             **error);

/* What stands in the owner's page (io-stream-connection-refresh.c) */
IOStreamState _io_stream_connection_read_state  (IOStreamConnection *self);
IOStreamMode  _io_stream_connection_read_mode   (IOStreamConnection *self);
/* Is there an entry to take? */
gboolean      _io_stream_connection_has_output  (IOStreamConnection *self);
/* Is an entry of this buffer one that the owner has to tell of first? */
gboolean      _io_stream_connection_expects     (IOStreamConnection *self,
                                                 guint32             buffer_id);
/* Something that stands there was not seen yet. */
gboolean      _io_stream_connection_has_news    (IOStreamConnection *self);
/* Notes what is new; TRUE if something is. Asks for new buffers. */
gboolean      _io_stream_connection_see_page    (IOStreamConnection *self);
/* Asks for new buffers, or looks whether the answer came. Does not wait. */
void          _io_stream_connection_refresh     (IOStreamConnection *self);
/* Tells what was noted: now, or from the context. */
void          _io_stream_connection_tell        (IOStreamConnection *self);
void          _io_stream_connection_tell_later  (IOStreamConnection *self,
                                                 IOStreamNews        news);
/* The same, but never with the port: nothing to wake up for. */
void          _io_stream_connection_tell_aside  (IOStreamConnection *self);

/* What the owner takes away (io-stream-connection-revoked.c); with the lock
 * held, but for the first */
gboolean      _io_stream_connection_has_revocation  (IOStreamConnectionPrivate *priv);
/* Gives up what it covers. Costs a look at a word if there is none. */
void          _io_stream_connection_see_revocation_locked (IOStreamConnectionPrivate *priv);
void          _io_stream_connection_give_up_locked  (IOStreamConnectionPrivate *priv,
                                                     const IOStreamBufferQueueEntry *entry);
gboolean      _io_stream_connection_is_revoked_locked (IOStreamConnectionPrivate *priv,
                                                     guint32              sequence);
/* Without the lock. */
void          _io_stream_connection_tell_revoked    (IOStreamConnection *self);
/* (io-stream-connection-transfer.c) */
gboolean      _io_stream_connection_is_held_locked  (IOStreamConnectionPrivate *priv,
                                                     const IOStreamBufferQueueEntry *entry);

/* Opening (io-stream-connection-open.c) */
extern const IOConnectionHooks _io_stream_connection_hooks;
void          _io_stream_connection_detach      (IOStreamConnection *self);
/* Memory knows nothing of streams: an error about it is given the name of the
 * one whose owner sent it. Returns FALSE. */
gboolean      _io_stream_connection_blame       (IOStreamConnection *self,
                                                 GError            **error);

/* Interrupts (io-stream-connection-interrupts.c) */
/* What an open asks of the owner for it; FALSE if nothing. */
gboolean      _io_stream_connection_ask_interrupts (IOStreamConnection *self,
                                                    IOConnectionCall   *next);
/* The owner causes the vector from now on. */
void          _io_stream_connection_begin_interrupts (IOStreamConnection *self);
/* Looks as if the vector had been caused, if there is one. */
void          _io_stream_connection_poke           (IOStreamConnection *self);
void          _io_stream_connection_drop_interrupts (IOStreamConnection *self);

/* Moving buffers (io-stream-connection-transfer.c) */
extern const IONotificationPortFuncs _io_stream_connection_port_funcs;

/* Synchronous input (io-stream-connection-sync.c) */
/* Numbers of calls start shortly before 2^32, so that what happens when they
 * pass it happens in every run. */
#define IO_SYNC_FIRST_NUMBER (G_MAXUINT32 - 3)
/* The open is over: who waits for an answer gets an error. With the lock held
 * the one, without it the other. */
void          _io_stream_connection_drop_sync_bell_locked (IOStreamConnection *self);
void          _io_stream_connection_end_sync    (IOStreamConnection *self);

/* Statistics (io-stream-connection-statistics.c) */
/* The owner is another one: the next look asks it for its page. */
void          _io_stream_connection_drop_statistics (IOStreamConnection *self);

/* Waiting (io-stream-connection-wait.c) */
void          _io_stream_connection_reach_state (IOStreamConnection *self,
                                                 IOStreamState       state);

/* Outliving an owner (io-stream-connection-resume.c) */
void          _io_stream_connection_init_resume  (IOStreamConnection *self);
/* Nothing goes on by itself from now on. */
void          _io_stream_connection_drop_resume  (IOStreamConnection *self);
void          _io_stream_connection_free_resume  (IOStreamConnection *self);
void          _io_stream_connection_class_init_resume (IOStreamConnectionClass *klass);
/* The client asked for this state, and got it. */
void          _io_stream_connection_note_wish    (IOStreamConnection *self,
                                                  IOStreamState       state);
/* The owner's regions come: what views of the last one need stays a while. */
void          _io_stream_connection_begin_epoch  (IOStreamConnection *self);
/* All is mapped. */
void          _io_stream_connection_note_open    (IOStreamConnection *self);
/* What is to be asked for after that; FALSE if nothing. */
gboolean      _io_stream_connection_ask_start    (IOStreamConnection *self,
                                                  IOOpcode            answered,
                                                  IOConnectionCall   *next);
/* The owner is gone. Begins to wait for the next one, if that is wanted. */
void          _io_stream_connection_begin_resume (IOStreamConnection *self);
/* close(), hang_up(): ends the wait. */
void          _io_stream_connection_end_resume   (IOStreamConnection *self);
/* Is an owner waited for? Notes that the last one is gone, without its
 * context. */
gboolean      _io_stream_connection_is_resuming  (IOStreamConnection *self);
/* Goes as far as it can without waiting. TRUE while there is no owner. */
gboolean      _io_stream_connection_try_resume   (IOStreamConnection *self);
int           _io_stream_connection_get_resume_fd (IOStreamConnection *self);
gboolean      _io_stream_connection_sleep_resume (IOStreamConnection  *self,
                                                  gint64               deadline,
                                                  GCancellable        *cancellable,
                                                  GError             **error);

/* The object (io-stream-connection.c) */
void          _io_stream_connection_notify_state    (IOStreamConnection *self);
void          _io_stream_connection_announce_buffers (IOStreamConnection *self);
void          _io_stream_connection_announce_output (IOStreamConnection *self);
void          _io_stream_connection_announce_revoked (IOStreamConnection *self,
                                                      guint               count);

G_END_DECLS
