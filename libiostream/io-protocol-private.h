/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

/* Version 1 of the control protocol, as written down in doc/protocol.xml: one
 * message is one packet of a SOCK_SEQPACKET socket, a header of 16 bytes and a
 * GVariant, at most 8,192 bytes in all, in the byte order of the machine: room
 * for a struct of 4,096 bytes and 16 scalars, and what goes with them. */

#define IO_PROTOCOL_VERSION      1
#define IO_PROTOCOL_MAX_PACKET   8192
#define IO_PROTOCOL_HEADER_SIZE  16

typedef enum {
  IO_PACKET_CALL  = 1,
  IO_PACKET_REPLY = 2,
  IO_PACKET_EVENT = 3
} IOPacketKind;

typedef struct {
  guint8  version;
  guint8  kind;     /* IOPacketKind */
  guint16 opcode;   /* IOOpcode */
  guint32 serial;   /* of the call; a reply repeats it; 0 in events */
  guint32 status;   /* replies: 0 or an IOStreamError, body is then (s) */
  guint32 length;   /* of the body */
} IOPacketHeader;

G_STATIC_ASSERT (sizeof (IOPacketHeader) == IO_PROTOCOL_HEADER_SIZE);

typedef enum {
  /* every service */
  IO_OPCODE_HELLO          = 1,  /* (usa{sv}) version, program, options
                                    -> (ussa{sv}) version, name, class, attributes */
  IO_OPCODE_GET_ATTRIBUTES = 2,  /* () -> (a{sv}) */
  IO_OPCODE_OPEN           = 3,  /* (ua{sv}) IOStreamOpenFlags, options
                                    -> (a{sv}) and descriptors, see below */
  IO_OPCODE_READY          = 4,  /* () -> (): the client has mapped everything */
  IO_OPCODE_CLOSE          = 5,  /* () -> () */
  IO_OPCODE_GET_MEMORY     = 6,  /* (u) memory type
                                    -> (uutttb) memory number, map flags, offset,
                                       length, size of it all, writable;
                                       one descriptor */
  IO_OPCODE_WATCH_ATTRIBUTES = 7, /* (b) -> (): as ATTRIBUTES from now on; the
                                    first ones come before the answer */
  IO_OPCODE_SET_ATTRIBUTE  = 8,  /* (smv) name, value or nothing to remove
                                    -> () */
  IO_OPCODE_SEND_MESSAGE   = 9,  /* (umv) IOServiceMessageType, argument -> () */

  /* external methods. A struct or a value that is too large for a packet is in
     a memory, and its length in the packet: on its way to the owner in the one
     that GET_TRANSFER gave, else in the one that comes with the answer. */
  IO_OPCODE_METHOD           = 16, /* (uataytuu) selector, scalars, struct, its
                                      length if it is in the memory (else 0),
                                      scalars and bytes to answer with
                                      -> (atayt) scalars, struct, its length if
                                         it is in a memory; one descriptor then */
  IO_OPCODE_METHOD_ASYNC     = 17, /* the same, answered whenever the owner
                                      likes; may be preceded by PROGRESS */
  IO_OPCODE_VARIANT          = 18, /* (uvst) selector, parameters; their type and
                                      length if they are in the memory
                                      -> (vst) likewise */
  IO_OPCODE_VARIANT_ASYNC    = 19, /* the same, as METHOD_ASYNC */
  IO_OPCODE_GET_TRANSFER     = 20, /* (t) bytes wanted -> (t) size; one descriptor */
  IO_OPCODE_TRAP             = 21, /* (uu) index, token -> () */
  IO_OPCODE_GET_PORT         = 22, /* (ut) type, reference -> (); one descriptor */
  IO_OPCODE_CANCEL           = 23, /* (u) serial of a call with _ASYNC -> () */

  /* data queues of user clients */
  IO_OPCODE_GET_QUEUE      = 24, /* (u) type of queue
                                    -> (uuuu) number of the queue, role of the client
                                       (1: producer, 2: consumer), capacity, size
                                       of the ring; three descriptors: the
                                       producer's region, the consumer's, the
                                       client's end of the bell */
  IO_OPCODE_QUEUE_READY    = 25, /* (u) number -> (): the client has mapped it */

  /* what a stream counts; any connection, open or not */
  IO_OPCODE_GET_STATISTICS = 26, /* () -> (ut) rows for clients, number of this
                                    client; one descriptor: the page */

  /* interrupts that the service offers; any connection, open or not */
  IO_OPCODE_GET_INTERRUPTS   = 27, /* () -> (ut) vectors, cookie; three
                                      descriptors: the owner's region, the
                                      client's, the client's end of the bell */
  IO_OPCODE_INTERRUPTS_READY = 28, /* () -> (): the client has mapped them */

  /* streams; the numbers of Apple's selectors + 32 */
  IO_OPCODE_START            = 34, /* () -> () */
  IO_OPCODE_STOP             = 35, /* () -> () */
  IO_OPCODE_SUSPEND          = 36, /* () -> () */
  IO_OPCODE_GET_MODE         = 37, /* () -> (u) */
  IO_OPCODE_SET_MODE         = 38, /* (u) -> () */
  IO_OPCODE_GET_BUFFER_COUNT = 39, /* () -> (u) */
  IO_OPCODE_GET_BUFFERS      = 40, /* (u) first
                                      -> (uua(uttutt)) count of all, generation,
                                         for each buffer from first on, as many
                                         as fit: data memory number (0: none),
                                         offset, length; control likewise */
  IO_OPCODE_GET_SYNC_BELL    = 41, /* () -> () and one descriptor: the client's
                                      end of the bell of synchronous calls; once
                                      more, and the one before is of no use */
  IO_OPCODE_ATTACH_INTERRUPTS = 44, /* (tu) cookie of GET_INTERRUPTS, vector
                                       -> (): cause that as well as ringing the
                                       bell; cookie 0: no longer */

  /* events, from the owner; what changes while a stream is open stands in the
     owner's region instead, so that a client that never reads its control
     socket learns of it too */
  IO_OPCODE_TERMINATED     = 64, /* (us) IOStreamError or 0, reason */
  IO_OPCODE_MESSAGE        = 65, /* (umv) IOServiceMessageType, argument */
  IO_OPCODE_ATTRIBUTES     = 66, /* (ya{sv}as) IOAttributesPart, values,
                                    names that have none any more */
  IO_OPCODE_PROGRESS       = 72  /* (uv) serial of a call with _ASYNC, value */
} IOOpcode;

/* All attributes may take several packets. What is not in any of them from the
 * first to the last is gone. */
typedef enum {
  IO_ATTRIBUTES_FIRST = 1 << 0,
  IO_ATTRIBUTES_LAST  = 1 << 1
} IOAttributesPart;

/* As many as a client keeps. */
#define IO_PROTOCOL_MAX_ATTRIBUTES 1024

/* Answer to OPEN of a stream: a{sv} with
 *   "queue-length" u, "entry-count" u, "epoch" u, "mode" u, "buffer-count" u
 * and three descriptors: the owner's region, the client's region, the client's
 * end of the bell. */
