/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include <gio/gunixfdlist.h>

#include "io-protocol-private.h"

G_BEGIN_DECLS

/* The owner's end of a control socket: takes packets in and apart, sends, and
 * holds the bounds. Belongs to the thread of its context; its reference count
 * to any. */
typedef struct _IOChannel IOChannel;

typedef struct {
  /* A packet with a sound header came. @body is NULL if its opcode is unknown
   * or its body wrong. */
  void (*packet) (IOChannel            *channel,
                  const IOPacketHeader *header,
                  GVariant             *body,
                  gpointer              user_data);
  /* Nothing more comes: the other end is gone (@error is NULL), or has broken
   * a rule (our domain). Once, and not after _io_channel_close(). */
  void (*ended)  (IOChannel            *channel,
                  const GError         *error,
                  gpointer              user_data);
  /* Something was offered in vain, and now there is room again. May be NULL. */
  void (*drained) (IOChannel           *channel,
                  gpointer              user_data);
} IOChannelFuncs;

#define IO_CHANNEL_MAX_EVENTS   32    /* due to a client that does not read */
#define IO_CHANNEL_MAX_OFFERS   16    /* so that offers alone never end it */
#define IO_CHANNEL_CALLS_RATE   1000  /* per second */
#define IO_CHANNEL_CALLS_BURST  2000
/* Of external methods, which are made for being called often; over it the
 * client is not disconnected but read later. */
#define IO_CHANNEL_METHODS_RATE  100000
#define IO_CHANNEL_METHODS_BURST 20000

IOChannel *_io_channel_new       (GSocket              *socket,
                                  GMainContext         *context);
IOChannel *_io_channel_ref       (IOChannel            *self);
void       _io_channel_unref     (IOChannel            *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (IOChannel, _io_channel_unref)

/* Takes what has come, @max packets at most, here and now. May be called by
 * what it calls: packets are taken in their order, and each once. FALSE if
 * there was nothing. In the thread of the context. */
gboolean   _io_channel_serve     (IOChannel            *self,
                                  guint                 max);
/* The other end is ourselves: it may call as often as it likes. */
void       _io_channel_set_trusted (IOChannel          *self);
/* Who is told from now on; @user_data is borrowed. */
void       _io_channel_set_funcs (IOChannel            *self,
                                  const IOChannelFuncs *funcs,
                                  gpointer              user_data);
/* Takes over @packet. Never blocks and never calls back. */
void       _io_channel_send      (IOChannel            *self,
                                  GBytes               *packet,
                                  GUnixFDList          *fds);
/* The other end has taken all that was sent. */
gboolean   _io_channel_has_read_all (IOChannel         *self);
/* Something is due that the client has not taken: what need not be sent should
 * not be. */
gboolean   _io_channel_is_congested (IOChannel          *self);
/* Takes over @packet, an event, and queues it if less than @max_due are due.
 * FALSE if it is lost, because the other end reads too little. */
gboolean   _io_channel_offer     (IOChannel            *self,
                                  GBytes               *packet,
                                  guint                 max_due);
/* Sends @last_words (taken over) if that goes at once, and ends the connection
 * for everybody who has a copy of it. Safe in a callback, and twice. */
void       _io_channel_close     (IOChannel            *self,
                                  GBytes               *last_words);

G_END_DECLS
