/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-attributes-private.h"
#include "io-door-private.h"
#include "io-service-private.h"

G_BEGIN_DECLS

/* What the files of #IOService share: io-service.c is the object,
 * io-service-register.c the name and the ways in, io-service-admit.c lets
 * clients in, io-service-open.c has who has it open, io-service-announce.c tells
 * the others of that, io-service-seize.c has who waits for it, io-service-messages.c what is said, io-service-attributes.c
 * the attributes, io-service-watch.c who watches them, io-service-busy.c the
 * count, io-service-terminate.c the end; io-service-turn.c does once per turn
 * what is due. */

typedef struct {
  char         *name;
  IOWorkLoop   *work_loop;
  GMainContext *context;
  GThread      *thread;       /* in which it was made */
  pid_t         pid;
  IOAttributes *attributes;
  IODoor       *door;
  GList        *clients;      /* of IOUserClient, with references */
  IOUserClient *owner;        /* who has it open, as far as the default
                                 handle_open goes; with a reference */
  int           published;    /* atomic: others can know of it */
  GSource      *publishing;   /* what has changed; under a lock */
  gint64        close_timeout;
  guint         socket_mode;
  GList        *waiting;      /* of Waiting: opens that seize, first come first */
  IOUserClient *retrying;     /* of these, the one that tries again; borrowed */
  guint64       opens;        /* how many there were */
  guint64       asked;        /* after how many of them to close was asked for */
  IOAnnouncements told;
  IOAnnouncements told_states;
  gint64        due_at;       /* when what was not told is told; 0: nothing is */
  gboolean      close_due;
  guint         state_due;    /* the message, or 0 */
  GList        *watches;      /* of Watch */
  GList        *interests;    /* of Interest */
  guint         last_interest;
  GList        *terminations; /* of GTask, while the end is on its way */
  gint64        end_deadline;
  guint         methods;      /* in which nothing may be closed */

  GMutex        mutex;        /* of what follows */
  GSource      *turn;
  GCond         quiet;
  guint         busy;

  _Atomic gboolean registered;  /* these two are looked at from everywhere */
  _Atomic gboolean inactive;
  guint         keeps : 1;    /* inactive, and still with the reference of the
                                 registration */
  guint         ending : 1;   /* inactive, and clients have their chance */
  guint         closing : 1;  /* nobody has it any more */
  guint         ended : 1;
  guint         told_end : 1; /* those of this process, too */
} IOServicePrivate;

/* Work that belongs to the thread of the work loop. */
typedef gboolean (*IOServiceFunc) (IOService  *self,
                                   gpointer    data,
                                   GError    **error);

/* io-service.c */
IOServicePrivate *_io_service_get_private (IOService      *self);

/* io-service-register.c */
/* Calls @func in the thread of the service, if there is a work loop. FALSE in
 * @ran: there is no such thread any more, and @func was not called. */
gboolean          _io_service_run         (IOService      *self,
                                           IOServiceFunc   func,
                                           gpointer        data,
                                           gboolean       *ran,
                                           GError        **error);

/* io-service-publish.c */
/* Tells everybody what there is to know, or (@again) that the service is
 * registered again. Context thread, with a name. */
gboolean          _io_service_publish     (IOService      *self,
                                           gboolean        again,
                                           GError        **error);
/* In the next turn, if it is published at all. Any thread. */
void              _io_service_publish_soon (IOService     *self);
void              _io_service_unpublish   (IOService      *self);

/* io-service-open.c */
void              _io_service_class_init_open (IOServiceClass *klass);
/* Asks everybody but @client who has it open to close it. */
void              _io_service_request_close (IOService    *self,
                                           IOUserClient   *except);
/* A copy with references, for loops in which anything can happen. */
GList            *_io_service_copy_clients (IOService     *self);

/* io-service-announce.c */
/* FALSE if it is not told, because there were so many. */
gboolean          _io_service_announce_attempt (IOService *self,
                                           IOUserClient   *client);
/* Told now, or later once for many. */
void              _io_service_announce_close (IOService   *self,
                                           IOUserClient   *client);
/* The next deadline, or -1. */
gint64            _io_service_serve_announcements (IOService *self);

/* io-service-seize.c */
gboolean          _io_service_is_waiting  (IOService      *self,
                                           IOUserClient   *client);
/* Whether @client is the one whose turn it is, also if nobody waits. */
gboolean          _io_service_is_next     (IOService      *self,
                                           IOUserClient   *client);
/* Looks again for all who wait. The next deadline, or -1. */
gint64            _io_service_serve_waiting (IOService    *self);
void              _io_service_forget_waiting (IOService   *self,
                                           IOUserClient   *client);

/* io-service-attributes.c */
void              _io_service_class_init_attributes (IOServiceClass *klass);
/* Keeps book of changes if anybody wants to know of them. */
void              _io_service_track_attributes (IOService *self);

/* io-service-watch.c */
void              _io_service_watch       (IOService      *self,
                                           IOUserClient   *client,
                                           gboolean        on);
/* Tells those who watch what has changed since. */
void              _io_service_tell_changes (IOService     *self);

/* io-service-messages.c */
void              _io_service_class_init_messages (IOServiceClass *klass);
void              _io_service_tell_interested (IOService       *self,
                                           IOServiceInterest  kind,
                                           guint              type,
                                           GVariant          *argument);
void              _io_service_clear_interests (IOService  *self);
/* Tells %IO_SERVICE_MESSAGE_TERMINATED to whoever was not told yet. */
void              _io_service_tell_end    (IOService      *self);

/* io-service-terminate.c */
/* While clients have their chance: ends those that have used it, or all if the
 * time is over. The deadline, or -1. */
gint64            _io_service_go_on_ending (IOService     *self);

/* io-service-turn.c */
/* Has what is due done in the context of the service, at monotonic time @when
 * (0: soon). Any thread; keeps no reference. */
void              _io_service_schedule    (IOService      *self,
                                           gint64          when);
void              _io_service_drop_turn   (IOService      *self);

G_END_DECLS
