/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

#include "io-protocol-private.h"

G_BEGIN_DECLS

/* The type that the protocol gives the body of a call, of its good answer, or
 * of an event; %NULL if there is no such message. */
const GVariantType *_io_packet_get_body_type (IOPacketKind          kind,
                                              guint                 opcode);

/* Makes a packet. @body (%NULL for the empty tuple) must have the type above,
 * and is taken if floating; with a @status other than 0 it must be (s). Fails
 * with MESSAGE_TOO_LARGE, or BAD_ARGUMENT if it is nested so deep that nobody
 * could read it. */
GBytes             *_io_packet_build         (IOPacketKind          kind,
                                              IOOpcode              opcode,
                                              guint32               serial,
                                              guint32               status,
                                              GVariant             *body,
                                              GError              **error);
/* A reply that carries @reason: its code if it is ours, else FAILED, and as
 * much of its text as fits. Never fails. */
GBytes             *_io_packet_build_error   (guint                 opcode,
                                              guint32               serial,
                                              const GError         *reason);

/* Takes a packet apart. @body gets a full reference to a value in normal form
 * of the type that belongs to it, on memory of its own. Fails with
 *   IPC_ERROR          the header is broken: @header is not to be used
 *   MESSAGE_TOO_LARGE  likewise
 *   BAD_MESSAGE        the header is sound and filled in, so that the call can
 *                      be answered; the opcode is unknown, or the body is not
 *                      what belongs to it */
gboolean            _io_packet_parse         (const void           *data,
                                              gsize                 size,
                                              IOPacketHeader       *header,
                                              GVariant            **body,
                                              GError              **error);
/* The error that a reply with a status carries; the code of a number we do not
 * know is FAILED. */
GError             *_io_packet_to_error      (const IOPacketHeader *header,
                                              GVariant             *body);

G_END_DECLS
