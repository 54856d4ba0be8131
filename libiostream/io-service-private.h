/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <sys/socket.h>

#include "io-channel-private.h"
#include "io-service.h"

G_BEGIN_DECLS

/* How much was told of opens and closes in the second that began at @since;
 * the most of the whole service, and of one client. */
typedef struct {
  gint64 since;
  guint  n;
} IOAnnouncements;

#define IO_SERVICE_TOLD           200
#define IO_SERVICE_TOLD_OF_CLIENT  50

/* The context in which the service lives (of its work loop, or the
 * thread-default one at construction). Borrowed. */
GMainContext *_io_service_get_context   (IOService *self);
/* Lets a client in this process in, over @socket. What serves it is returned,
 * so that the client can have it served. Context thread. */
IOChannel    *_io_service_add_local     (IOService *self,
                                         GSocket   *socket,
                                         GError   **error);
/* The connections, as a borrowed list of IOUserClient. Context thread. */
GList        *_io_service_peek_clients  (IOService *self);
/* FALSE in a forked child. */
gboolean      _io_service_in_own_process (IOService *self);

/* The rest is for the service layer alone. */

/* NOT_OPEN in a forked child, NOT_READY after the end; @operation is for the
 * message. */
gboolean      _io_service_check_usable   (IOService           *self,
                                          const char          *operation,
                                          GError             **error);
void          _io_service_add_client     (IOService           *self,
                                          IOUserClient        *client);
/* Somebody said hello, with call @serial and @body: makes a user client of it
 * or sends it away. */
void          _io_service_admit          (IOService           *self,
                                          IOChannel           *channel,
                                          const struct ucred  *credentials,
                                          guint32              serial,
                                          GVariant            *body);
/* The user client is no longer connected: closes the service for it if need
 * be, tells everybody, forgets it. */
void          _io_service_forget_client  (IOService           *self,
                                          IOUserClient        *client);
/* The attributes as they are sent. Floating. */
GVariant     *_io_service_build_attributes (IOService         *self);
/* Calls that every service has: attributes and messages. */
GVariant     *_io_service_answer         (IOService            *self,
                                          IOUserClient         *client,
                                          IOOpcode              opcode,
                                          GVariant             *args,
                                          GError              **error);
/* The open of a client that seizes has failed because somebody has the service
 * open. TRUE if it may wait for that to end: the call is kept, and answered
 * when it does, or when the time is over. */
gboolean      _io_service_wait_for_close (IOService            *self,
                                          IOUserClient         *client,
                                          const IOPacketHeader *header,
                                          GVariant             *body);
/* Such a client does not want it any more. FALSE with BUSY inside of a method
 * that must not be interrupted. */
gboolean      _io_service_withdraw       (IOService            *self,
                                          IOUserClient         *client,
                                          GError              **error);
/* Sends a client that watches what has changed, as far as it reads. */
void          _io_service_tell_attributes (IOService           *self,
                                          IOUserClient         *client);
/* Tells everybody a message that the next one of this kind makes obsolete: now,
 * or if there are many, the last one of a second. */
void          _io_service_announce_state  (IOService           *self,
                                           guint                type);
/* A subclass is inside of a method in which nothing may be closed or
 * terminated; calls nest. */
void          _io_service_begin_method   (IOService            *self);
void          _io_service_end_method     (IOService            *self);
/* Tells clients but @except, and listeners, whoever can be told. Takes a
 * floating @argument. */
void          _io_service_tell           (IOService            *self,
                                          guint                 type,
                                          GVariant             *argument,
                                          IOUserClient         *except);
/* Counts, and logs at most once a minute for each peer. */
void          _io_service_note_violation (IOService           *self,
                                          int                  pid,
                                          const char          *client_name,
                                          const char          *text);
guint         _io_service_get_violations (IOService           *self);
/* For tests: connections that have not said hello. */
guint         _io_service_get_waiting    (IOService           *self);

G_END_DECLS
