/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gunixfdlist.h>
#include <sys/socket.h>

#include "io-channel-private.h"
#include "io-protocol-private.h"
#include "io-service-private.h"
#include "io-user-client.h"

G_BEGIN_DECLS

/* Answers a call that the user client itself does not know (OPEN, READY,
 * CLOSE and the stream's own). @args has the type that the protocol gives the
 * opcode. Returns a (floating) answer of the right type and, if descriptors
 * go with it, @fds; or %NULL with @error set, which only this client sees.
 *
 * In the context of the service. */
typedef GVariant *(*IOUserClientCallFunc) (IOUserClient  *self,
                                           IOOpcode       opcode,
                                           GVariant      *args,
                                           GUnixFDList  **fds,
                                           GError       **error);

/* Set by a subclass in its instance init. */
void     _io_user_client_set_call_func (IOUserClient          *self,
                                        IOUserClientCallFunc   func);
/* Sends an event; never blocks. A client that does not read is disconnected
 * when too much is due. Takes a floating @body. */
void     _io_user_client_send_event    (IOUserClient          *self,
                                        IOOpcode               opcode,
                                        GVariant              *body);
/* The same for an event that can be lost, or told later: FALSE if the client
 * reads too little to be told now, and nothing happens to it. If @max_due is 0
 * the service is asked to go on with its attributes when it reads again. A
 * client that is not let in yet is told when it is. */
gboolean _io_user_client_offer_event   (IOUserClient          *self,
                                        IOOpcode               opcode,
                                        GVariant              *body,
                                        guint                  max_due,
                                        GError               **error);
/* A proven violation: counts it, says so once, and ends the connection with
 * %IO_STREAM_ERROR_IPC_ERROR and this text. Safe inside its own dispatch. */
void     _io_user_client_violation     (IOUserClient          *self,
                                        const char            *format,
                                        ...) G_GNUC_PRINTF (2, 3);
/* Duplicates @fd into what goes along with an answer. */
gboolean _io_user_client_pass_fd       (IOUserClient          *self,
                                        GUnixFDList           *fds,
                                        int                    fd,
                                        GError               **error);
guint    _io_user_client_get_max_buffers (IOUserClient        *self);

/* Memory that is made for a client alone counts together, whatever for, against
 * what io_user_client_set_limits() says. */
typedef enum {
  IO_CHARGE_STREAM,
  IO_CHARGE_QUEUES,
  IO_CHARGE_INTERRUPTS,
  IO_CHARGE_STATISTICS,
  IO_CHARGE_TRANSFER,   /* of arguments */
  IO_CHARGE_ANSWERS,    /* that it has not read yet */
  IO_N_CHARGES
} IOCharge;

/* It is @bytes of this kind from now on. FALSE with NO_RESOURCES, and nothing
 * changes, if that is too much beside the others; @purpose as in "Cannot ...". */
gboolean _io_user_client_charge          (IOUserClient         *self,
                                          IOCharge              charge,
                                          guint64               bytes,
                                          const char           *purpose,
                                          GError              **error);
void     _io_user_client_discharge       (IOUserClient         *self,
                                          IOCharge              charge);
/* The memories that go along with an answer. */
gboolean _io_user_client_charge_answer   (IOUserClient         *self,
                                          GUnixFDList          *fds,
                                          GError              **error);

/* The rest is for the service layer alone. */

/* What others were told of it. */
IOAnnouncements *_io_user_client_get_announcements (IOUserClient *self);

/* Sends a packet, which is taken over, as _io_channel_send(). Nothing if the
 * connection is over. */
void     _io_user_client_send           (IOUserClient          *self,
                                         GBytes                *packet,
                                         GUnixFDList           *fds);
gboolean _io_user_client_is_congested   (IOUserClient          *self);

/* Methods, traps, ports, actions (io-user-client-methods-private.h). */
typedef struct _IOUserClientMethods IOUserClientMethods;

IOUserClientMethods **_io_user_client_get_methods (IOUserClient *self);
/* Answers METHOD, VARIANT, GET_TRANSFER, TRAP, GET_PORT and CANCEL. As
 * IOUserClientCallFunc. */
GVariant *_io_user_client_call_method   (IOUserClient          *self,
                                         IOOpcode               opcode,
                                         GVariant              *args,
                                         GUnixFDList          **fds,
                                         GError               **error);
/* METHOD_ASYNC or VARIANT_ASYNC, which is answered now or later. */
void     _io_user_client_run_async      (IOUserClient          *self,
                                         const IOPacketHeader  *header,
                                         GVariant              *body);
void     _io_user_client_forget_action  (IOUserClient          *self,
                                         guint32                serial);
/* At the end of the connection: before, and after, the class is told. */
void     _io_user_client_abort_actions  (IOUserClient          *self);
void     _io_user_client_drop_methods   (IOUserClient          *self);
void     _io_user_client_free_methods   (IOUserClient          *self);

gboolean  _io_user_client_real_external_method (IOUserClient               *self,
                                                guint                       selector,
                                                IOExternalMethodArguments  *arguments,
                                                GError                    **error);
GVariant *_io_user_client_real_method   (IOUserClient          *self,
                                         guint                  selector,
                                         GVariant              *parameters,
                                         IOAction              *action,
                                         GError               **error);
gboolean  _io_user_client_real_trap     (IOUserClient          *self,
                                         guint                  index,
                                         guint32                token,
                                         GError               **error);
gboolean  _io_user_client_real_register_notification_port (IOUserClient        *self,
                                                           IONotificationPort  *port,
                                                           guint                type,
                                                           guint64              reference,
                                                           GError             **error);

/* Makes a fresh user client stand for a connection. FALSE if it does so
 * already. */
gboolean _io_user_client_attach         (IOUserClient          *self,
                                         IOService             *service,
                                         IOChannel             *channel,
                                         const struct ucred    *credentials,
                                         const char            *client_name);
/* Sends the answer to hello; from now on the client gets events. */
void     _io_user_client_welcome        (IOUserClient          *self,
                                         GBytes                *packet);
/* Ends the connection with @last_words (taken over) of the caller. */
void     _io_user_client_dismiss        (IOUserClient          *self,
                                         GBytes                *last_words);
/* What a user client does that has no call func of its own. */
GVariant *_io_user_client_default_call  (IOUserClient          *self,
                                         IOOpcode               opcode,
                                         GVariant              *args,
                                         GUnixFDList          **fds,
                                         GError               **error);
/* Does a call, with @func for what not every user client has. @body is NULL if
 * it could not be read. Returns the reply, whatever happens; %NULL if that
 * comes later. */
GBytes  *_io_user_client_answer         (IOUserClient          *self,
                                         IOUserClientCallFunc   func,
                                         const IOPacketHeader  *header,
                                         GVariant              *body,
                                         GUnixFDList          **fds);
/* io-user-client-queues.c */
IOSharedDataQueue *_io_user_client_no_queue (IOUserClient      *self,
                                         guint                  type,
                                         GError               **error);
GVariant *_io_user_client_answer_get_queue (IOUserClient       *self,
                                         GVariant              *args,
                                         GUnixFDList          **fds,
                                         GError               **error);
GVariant *_io_user_client_answer_queue_ready (IOUserClient     *self,
                                         GVariant              *args,
                                         GError               **error);
/* The memory of those that the client did not give up. */
guint64   _io_user_client_count_queues   (IOUserClient         *self);
/* Ends the queues of the client; what is in them can still be taken. */
void     _io_user_client_cut_queues     (IOUserClient          *self);
/* Answers a call that was left without an answer, if it can be answered now. */
gboolean _io_user_client_answer_again   (IOUserClient          *self,
                                         const IOPacketHeader  *header,
                                         GVariant              *body);
/* Answers such a call with @error. */
void     _io_user_client_refuse         (IOUserClient          *self,
                                         const IOPacketHeader  *header,
                                         const GError          *error);
/* It stood for a connection, and that is over. */
gboolean _io_user_client_is_gone        (IOUserClient          *self);
/* Whether IOService::client-opened was emitted for it, and not yet
 * IOService::client-closed. Returns what it was before. */
gboolean _io_user_client_set_opened     (IOUserClient          *self,
                                         gboolean               opened);
gboolean _io_user_client_has_opened     (IOUserClient          *self);
/* It is told %IO_SERVICE_MESSAGE_TERMINATED. Returns whether it was before. */
gboolean _io_user_client_set_told_end   (IOUserClient          *self);
/* It ended without a word, with the service open. */
gboolean _io_user_client_has_died       (IOUserClient          *self);

G_END_DECLS
