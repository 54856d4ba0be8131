/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-channel-private.h"
#include "io-connection-private.h"
#include "io-memory-backing-private.h"
#include "io-service.h"

G_BEGIN_DECLS

/* What the files of #IOConnection share: io-connection.c is the object,
 * io-connection-connect.c finds the owner, io-connection-local.c does its part
 * if it is in this thread, io-connection-open.c greets it, opens and closes,
 * io-connection-link.c has the socket, its source and the end,
 * io-connection-calls.c (and -async.c, -sync.c) the calls,
 * io-connection-methods.c (and -send.c) those of methods,
 * io-connection-events.c what the owner says on its own, io-connection-attributes.c the attributes and messages to it. */

/* The socket. A connection is used up when it is lost or hung up; an attempt
 * to connect that fails puts it back to NONE. */
typedef enum {
  IO_LINK_NONE,
  IO_LINK_GREETING,   /* connected, HELLO not answered yet */
  IO_LINK_UP,
  IO_LINK_LOST,       /* by the owner, or because of it */
  IO_LINK_HUNG_UP     /* by ourselves */
} IOLink;

typedef struct _IOConnectionMethods IOConnectionMethods;

typedef enum {
  IO_PHASE_CLOSED,
  IO_PHASE_OPENING,   /* or only connecting, asynchronously */
  IO_PHASE_OPEN,
  IO_PHASE_CLOSING
} IOPhase;

/* The way to an owner that may have still to come (io-connection-reach.c). */
typedef struct _IOReach IOReach;

/* One way to connected or open, walked by synchronous and asynchronous callers
 * alike: HELLO, OPEN, and what the hooks add. */
typedef struct {
  gboolean opens;     /* or only connects */
  guint    options;
  IOOpcode at;        /* the call whose answer comes next */
  gint64   deadline;  /* of connecting */
  gboolean sync;
} IOConnectionJob;

typedef struct {
  char                    *name;        /* NULL until HELLO if made for a socket */
  GSocket                 *socket;
  gboolean                 given;       /* the socket, when it was made */
  gint64                   timeout;
  GMainContext            *context;
  guint                    fork_count;
  const IOConnectionHooks *hooks;

  gboolean                 local;       /* made for a service, not for its name */
  GWeakRef                 service;     /* a user client keeps it alive */
  IOChannel               *channel;     /* the owner's end, once connected */

  IOLink                   link;
  IOPhase                  phase;
  gboolean                 heard;       /* the owner answered HELLO well */
  gboolean                 greeted;     /* and we know it: what else it says may come
                                           between */
  gboolean                 owner_open;  /* OPEN was sent and not refused, and
                                           hooks->closed() not called since */
  guint                    open_options; /* of the last OPEN */
  IOReach                 *reach;       /* borrowed, while there is one */
  char                    *service_class;
  GError                  *error;       /* why it was lost; NULL for a clean end */
  char                    *reason;      /* the same in short, also for a clean end */

  GHashTable              *calls;       /* serial -> Call: every one without an answer */
  guint32                  last_serial;
  guint                    n_actions;   /* of them those whose answer takes its time */
  GArray                  *cancels;     /* serials: CANCEL is due */
  IOConnectionMethods     *methods;     /* io-connection-methods-send.c, -memory.c; NULL until needed */
  GQueue                   inbox;       /* calls and events that the source is to
                                           deliver, in order */
  gboolean                 end_due;     /* and after them the end */
  GSource                 *source;
  gpointer                 fd_tag;

  gboolean                 watching;    /* asked to be told of attributes */
  gboolean                 complete;    /* all were there once */
  gboolean                 changes_due; /* in the inbox */
  GHashTable              *attributes;  /* name -> GVariant, as far as told */
  GHashTable              *stale;       /* names that are not in what comes now */
  GHashTable              *changes;     /* names whose change is to be told */
} IOConnectionPrivate;

typedef enum {
  IO_RECEIVED_NOTHING,
  IO_RECEIVED_PACKET,
  IO_RECEIVED_END
} IOReceived;

typedef struct _IOCall IOCall;

/* @answer is %NULL and @error set, or the other way round. */
typedef void (*IOConnectionAnswerFunc) (IOConnection  *self,
                                        GVariant      *answer,
                                        GUnixFDList   *fds,
                                        const GError  *error,
                                        gpointer       data);

/* io-connection.c */
IOConnectionPrivate *_io_connection_get_private (IOConnection            *self);
const char *_io_connection_get_label    (IOConnection            *self);
/* After the link has changed; emits ::disconnected if it was lost. */
void        _io_connection_notify_link  (IOConnection            *self);
void        _io_connection_run_closed   (IOConnection            *self);
/* Nobody is to be waited for any more. */
void        _io_connection_give_up      (IOConnection            *self);

/* io-connection-connect.c */
/* A full backlog cannot be polled for. */
#define IO_CONNECTION_RETRY_MSEC 10
/* FALSE with @again: the backlog of the owner is full. */
gboolean    _io_connection_connect_once (IOConnection            *self,
                                         gboolean                *again,
                                         GError                 **error);
/* May one more attempt be made? */
gboolean    _io_connection_check_retry  (IOConnection            *self,
                                         gint64                   deadline,
                                         GCancellable            *cancellable,
                                         GError                 **error);
gboolean    _io_connection_connect_now  (IOConnection            *self,
                                         gint64                   deadline,
                                         GCancellable            *cancellable,
                                         GError                 **error);

/* io-connection-local.c */
void        _io_connection_set_service  (IOConnection            *self,
                                         IOService               *service);
/* Around everything that may wait for the owner. FALSE with CANNOT_LOCK if the
 * calling thread would wait for itself, or cannot do the owner's part. */
gboolean    _io_connection_enter        (IOConnection            *self,
                                         IOOpcode                 opcode,
                                         GError                 **error);
void        _io_connection_leave        (IOConnection            *self);
gboolean    _io_connection_connect_local (IOConnection           *self,
                                         GError                 **error);
/* Does the owner's part for one packet; FALSE if there is none, or if the owner
 * is not in this thread. */
gboolean    _io_connection_serve        (IOConnection            *self);
/* The socket is closed: the owner hears of it now. */
void        _io_connection_serve_end    (IOConnection            *self);

/* io-connection-open.c */
gboolean    _io_connection_connect      (IOConnection            *self,
                                         GCancellable            *cancellable,
                                         GError                 **error);
void        _io_connection_connect_async (IOConnection           *self,
                                         GTask                   *task);
/* The steps of a job: one begins it, some go on, one ends it. */
/* TRUE with @done: it is there already. */
gboolean    _io_connection_begin_job    (IOConnection            *self,
                                         IOConnectionJob         *job,
                                         gboolean                *done,
                                         GError                 **error);
gboolean    _io_connection_next_step    (IOConnection            *self,
                                         IOConnectionJob         *job,
                                         GVariant                *answer,
                                         GUnixFDList             *fds,
                                         IOConnectionCall        *next,
                                         GError                 **error);
/* @error is what went wrong so far. FALSE if the job failed after all. */
gboolean    _io_connection_end_job      (IOConnection            *self,
                                         IOConnectionJob         *job,
                                         GCancellable            *cancellable,
                                         GError                 **error);

/* io-connection-link.c */
void        _io_connection_attach       (IOConnection            *self);
void        _io_connection_detach       (IOConnection            *self);
void        _io_connection_drop_source  (IOConnection            *self);
void        _io_connection_update_source (IOConnection           *self);
/* Takes over a call that has its answer or error; delivered in the context. */
void        _io_connection_push_call    (IOConnection            *self,
                                         IOCall                  *call);
IOReceived  _io_connection_receive      (IOConnection            *self,
                                         guint                    max);
gboolean    _io_connection_check        (IOConnection            *self,
                                         IOOpcode                 opcode,
                                         GError                 **error);
GError     *_io_connection_new_error    (IOConnection            *self,
                                         IOOpcode                 opcode,
                                         IOStreamError            code,
                                         const char              *format,
                                         ...) G_GNUC_PRINTF (4, 5);
void        _io_connection_lose         (IOConnection            *self,
                                         IOStreamError            code,
                                         const char              *format,
                                         ...) G_GNUC_PRINTF (3, 4);
/* After a loss: as if it had never been connected, but for the answers that the
 * context has still to deliver. TRUE if the end was not told yet; it is not
 * any more. */
gboolean    _io_connection_renew        (IOConnection            *self);
/* Not connected: lost then, for this reason (taken over). @tell: the context is
 * to tell of it. */
void        _io_connection_put_down     (IOConnection            *self,
                                         GError                  *error,
                                         gboolean                 tell);
/* What is impossible in an answer ends the connection. Returns NULL. */
gpointer    _io_connection_break_off    (IOConnection            *self,
                                         IOOpcode                 opcode,
                                         const char              *text,
                                         GError                 **error);

/* io-connection-events.c */
void        _io_connection_class_init_events (IOConnectionClass   *klass);
void        _io_connection_init_events  (IOConnection            *self);
void        _io_connection_drop_events  (IOConnection            *self);
/* Takes an event but the end. NULL, or what is wrong with it. */
const char *_io_connection_take_event   (IOConnection            *self,
                                         const IOPacketHeader    *header,
                                         GVariant                *body);

/* io-connection-calls.c */
/* Puts an event in line with the answers. @func gets it as its answer, from
 * the context. */
void        _io_connection_push_event   (IOConnection            *self,
                                         IOOpcode                 opcode,
                                         GVariant                *body,
                                         IOConnectionAnswerFunc   func);
void        _io_connection_init_calls   (IOConnection            *self);
void        _io_call_free               (IOCall                  *call);
void        _io_call_deliver            (IOConnection            *self,
                                         IOCall                  *call);
gboolean    _io_call_is_event           (IOCall                  *call,
                                         IOOpcode                 opcode);
/* When #IOConnection:timeout from now is over; -1 for never. */
static inline gint64
_io_connection_end_of_timeout (gint64 timeout)
{
  gint64 now = g_get_monotonic_time ();

  return timeout < 0 || timeout > G_MAXINT64 - now ? -1 : now + timeout;
}

/* The first of the asynchronous calls, or -1. */
gint64      _io_connection_get_deadline (IOConnection            *self);
void        _io_connection_expire_calls (IOConnection            *self);
void        _io_connection_end_calls    (IOConnection            *self,
                                         IOStreamError            code,
                                         const char              *reason);
/* NULL, or what is wrong with this reply. */
const char *_io_connection_take_reply   (IOConnection            *self,
                                         const IOPacketHeader    *header,
                                         GVariant                *body,
                                         GUnixFDList             *fds,
                                         gboolean                 fds_missing);
/* Calls @func from the context; @self is kept alive until then. Returns %FALSE
 * with @error, and does not call @func, if the call cannot be sent. */
gboolean    _io_connection_start_call   (IOConnection            *self,
                                         IOOpcode                 opcode,
                                         GVariant                *args,
                                         GCancellable            *cancellable,
                                         IOConnectionAnswerFunc   func,
                                         gpointer                 data,
                                         GError                 **error);
/* Calls @func as soon as the answer is read, be it in the context, in
 * _io_connection_poll() or in a synchronous call: it emits nothing, and may
 * make such calls. Never called once the connection is disposed of. */
gboolean    _io_connection_start_direct_call (IOConnection       *self,
                                         IOOpcode                 opcode,
                                         GVariant                *args,
                                         IOConnectionAnswerFunc   func,
                                         gpointer                 data,
                                         GError                 **error);
/* Until the owner says something, or @deadline (monotonic, -1 for none); may
 * wake up for nothing. */
void        _io_connection_sleep        (IOConnection            *self,
                                         gint64                   deadline,
                                         GCancellable            *cancellable);
/* The same; for a call with _ASYNC, @progress hears what comes before the
 * answer. */
gboolean    _io_connection_start_action (IOConnection            *self,
                                         IOOpcode                 opcode,
                                         GVariant                *args,
                                         GCancellable            *cancellable,
                                         IOConnectionAnswerFunc   progress,
                                         IOConnectionAnswerFunc   func,
                                         gpointer                 data,
                                         GError                 **error);
/* NULL, or what is wrong with this report. */
const char *_io_connection_take_progress (IOConnection           *self,
                                         GVariant                *body);
void        _io_connection_send_cancels (IOConnection            *self);

/* io-connection-methods-send.c, io-connection-memory.c */
struct _IOConnectionMethods {
  IOMemoryBacking *transfer;   /* the owner's, for large arguments */
  guint64          n_sent;     /* calls whose arguments were put there */
  guint64          n_taken;    /* of them those that the owner is done with */
  GQueue           waiting;    /* tasks of calls that need it; they keep us alive */
  gboolean         asking;     /* for it, asynchronously */
  guint            n_asked;
  guint            n_answered; /* the last of them that gave us memory */
  GPtrArray       *memories;   /* of what io_connection_get_memory() gave */
};

IOConnectionMethods *_io_connection_ensure_methods (IOConnection *self);
void        _io_connection_free_methods (IOConnection            *self);

/* Sends a call whose answer nobody wants. */
void        _io_connection_send_call    (IOConnection            *self,
                                         IOOpcode                 opcode,
                                         GVariant                *args);
/* Sends CLOSE and does not wait for the answer. */
void        _io_connection_send_close   (IOConnection            *self);

G_END_DECLS
