/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <glib.h>

G_BEGIN_DECLS

/**
 * SECTION:io-enums
 * @title: Enumerations and constants
 * @short_description: Modes, states, directions, and the limits
 *
 * What several classes share. Where a constant answers to one of Apple's, the
 * number is the same.
 */

/**
 * IODirection:
 * @IO_DIRECTION_NONE: no direction
 * @IO_DIRECTION_IN: the memory is written by the device (or by the peer) and
 *   read here
 * @IO_DIRECTION_OUT: the memory is written here and read by the device (or by
 *   the peer)
 * @IO_DIRECTION_IN_OUT: both
 *
 * Which way data moves through a piece of memory, as in Apple's IODirection.
 * It has nothing to do with the input and output of a stream.
 *
 * Since: 1.0
 */
typedef enum {
  IO_DIRECTION_NONE   = 0,
  IO_DIRECTION_IN     = 1 << 0,
  IO_DIRECTION_OUT    = 1 << 1,
  IO_DIRECTION_IN_OUT = IO_DIRECTION_IN | IO_DIRECTION_OUT
} IODirection;

/**
 * IOMemoryMapFlags:
 * @IO_MEMORY_MAP_NONE: readable, and writable if the memory is
 * @IO_MEMORY_MAP_READ_ONLY: readable only (kIOMapReadOnly)
 *
 * How memory is mapped. The values are those of Apple's map options.
 *
 * Since: 1.0
 */
typedef enum /*< flags >*/ {
  IO_MEMORY_MAP_NONE      = 0,
  IO_MEMORY_MAP_READ_ONLY = 0x1000
} IOMemoryMapFlags;

/**
 * IOStreamMode:
 * @IO_STREAM_MODE_INPUT: payload travels from the client to the stream
 * @IO_STREAM_MODE_OUTPUT: payload travels from the stream to the client
 * @IO_STREAM_MODE_INPUT_OUTPUT: payload travels both ways
 *
 * Which way payload travels, seen from the stream. The numbers are those of
 * Apple's IOStreamMode. Both queues are used in every mode: the one that does
 * not carry payload carries the buffers back.
 *
 * Since: 1.0
 */
typedef enum {
  IO_STREAM_MODE_INPUT,
  IO_STREAM_MODE_OUTPUT,
  IO_STREAM_MODE_INPUT_OUTPUT
} IOStreamMode;

/**
 * IOStreamState:
 * @IO_STREAM_STATE_CLOSED: no client has the stream open
 * @IO_STREAM_STATE_STOPPED: open, and not running
 * @IO_STREAM_STATE_RUNNING: buffers travel
 * @IO_STREAM_STATE_SUSPENDED: started, and paused for the moment
 *
 * Where a stream is in its life: closed, open (stopped), running, suspended
 * and running again, stopped, closed. Of clients that share a stream each has
 * a state of its own, and sees that; the stream is running if one of them
 * runs, else suspended if one of them is, and stopped if all are.
 *
 * Since: 1.0
 */
typedef enum {
  IO_STREAM_STATE_CLOSED,
  IO_STREAM_STATE_STOPPED,
  IO_STREAM_STATE_RUNNING,
  IO_STREAM_STATE_SUSPENDED
} IOStreamState;

/**
 * IOStreamPeerAccess:
 * @IO_STREAM_PEER_ACCESS_BY_MODE: read-only if the stream is made in output
 *   mode, else writable
 * @IO_STREAM_PEER_ACCESS_READ: the kernel lets clients only read the buffers
 * @IO_STREAM_PEER_ACCESS_READ_WRITE: clients may write the buffers
 *
 * What clients can do with the memory of the buffers. The choice is made when
 * the stream is made, and held by the kernel.
 *
 * Since: 1.0
 */
typedef enum {
  IO_STREAM_PEER_ACCESS_BY_MODE,
  IO_STREAM_PEER_ACCESS_READ,
  IO_STREAM_PEER_ACCESS_READ_WRITE
} IOStreamPeerAccess;

/**
 * IOStreamOpenFlags:
 * @IO_STREAM_OPEN_NONE: as %IO_STREAM_OPEN_EXCLUSIVE
 * @IO_STREAM_OPEN_EXCLUSIVE: nobody else can open the stream meanwhile
 *   (kIOStreamOpenExclusive)
 * @IO_STREAM_OPEN_SHARED: others can open it too, if they share it as well
 *   (kIOStreamOpenShared); for streams in output mode whose buffers clients can
 *   only read
 *
 * How a stream is opened. The numbers are those of Apple's open options.
 * Giving both is %IO_STREAM_ERROR_BAD_ARGUMENT. Each buffer goes to all clients
 * that share a stream, without a copy, and is free again when the last has
 * returned it.
 *
 * Since: 1.0
 */
typedef enum /*< flags >*/ {
  IO_STREAM_OPEN_NONE      = 0,
  IO_STREAM_OPEN_EXCLUSIVE = 0x00010000,
  IO_STREAM_OPEN_SHARED    = 0x00020000
} IOStreamOpenFlags;

/**
 * IOStreamDelivery:
 * @IO_STREAM_DELIVERY_BLOCK: it loses nothing: the owner cannot send before the
 *   client has returned something
 * @IO_STREAM_DELIVERY_DROP_NEWEST: it keeps what it has, and misses the new one
 * @IO_STREAM_DELIVERY_DROP_OLDEST: it gets the new one, and misses the oldest
 *   that it has not taken yet
 * @IO_STREAM_DELIVERY_LATEST: of what it has not taken yet it only ever sees
 *   the newest
 *
 * What happens to a client that is slow: that holds as many buffers as it may,
 * or whose buffers are needed. The client chooses before it opens a stream
 * (#IOStreamConnection:delivery), the owner says what it permits
 * (#IOStream:deliveries). What a client misses it sees from the numbers of the
 * entries that it gets.
 *
 * Since: 1.0
 */
typedef enum {
  IO_STREAM_DELIVERY_BLOCK,
  IO_STREAM_DELIVERY_DROP_NEWEST,
  IO_STREAM_DELIVERY_DROP_OLDEST,
  IO_STREAM_DELIVERY_LATEST
} IOStreamDelivery;

/**
 * IOStreamDeliveryFlags:
 * @IO_STREAM_DELIVERY_FLAG_NONE: nothing at all
 * @IO_STREAM_DELIVERY_FLAG_BLOCK: %IO_STREAM_DELIVERY_BLOCK
 * @IO_STREAM_DELIVERY_FLAG_DROP_NEWEST: %IO_STREAM_DELIVERY_DROP_NEWEST
 * @IO_STREAM_DELIVERY_FLAG_DROP_OLDEST: %IO_STREAM_DELIVERY_DROP_OLDEST
 * @IO_STREAM_DELIVERY_FLAG_LATEST: %IO_STREAM_DELIVERY_LATEST
 * @IO_STREAM_DELIVERY_FLAG_ANY: each of them
 *
 * A set of #IOStreamDelivery.
 *
 * Since: 1.0
 */
typedef enum /*< flags >*/ {
  IO_STREAM_DELIVERY_FLAG_NONE        = 0,
  IO_STREAM_DELIVERY_FLAG_BLOCK       = 1 << 0,
  IO_STREAM_DELIVERY_FLAG_DROP_NEWEST = 1 << 1,
  IO_STREAM_DELIVERY_FLAG_DROP_OLDEST = 1 << 2,
  IO_STREAM_DELIVERY_FLAG_LATEST      = 1 << 3,
  IO_STREAM_DELIVERY_FLAG_ANY         = 0xf
} IOStreamDeliveryFlags;

/**
 * IOStreamStatisticsAccess:
 * @IO_STREAM_STATISTICS_ACCESS_NONE: nothing
 * @IO_STREAM_STATISTICS_ACCESS_OWN: what is counted of the stream, and of itself
 * @IO_STREAM_STATISTICS_ACCESS_ALL: also what is counted of the other clients,
 *   with their names, processes and users
 *
 * What a client may see of the statistics of a stream.
 *
 * Since: 1.0
 */
typedef enum {
  IO_STREAM_STATISTICS_ACCESS_NONE,
  IO_STREAM_STATISTICS_ACCESS_OWN,
  IO_STREAM_STATISTICS_ACCESS_ALL
} IOStreamStatisticsAccess;

/**
 * IOStreamLoanAction:
 * @IO_STREAM_LOAN_ACTION_SIGNAL: nothing: the owner is told, and decides itself
 * @IO_STREAM_LOAN_ACTION_REVOKE: the buffer is taken away: it can be used again
 *   at once, and the client is told (#IOStreamConnection::revoked)
 * @IO_STREAM_LOAN_ACTION_DISCONNECT: the connection of the client is ended, and
 *   all that it holds comes back
 *
 * What follows when a client holds a buffer for longer than
 * #IOStream:loan-time-limit.
 *
 * Since: 1.0
 */
typedef enum {
  IO_STREAM_LOAN_ACTION_SIGNAL,
  IO_STREAM_LOAN_ACTION_REVOKE,
  IO_STREAM_LOAN_ACTION_DISCONNECT
} IOStreamLoanAction;

/**
 * IOServiceOpenFlags:
 * @IO_SERVICE_OPEN_NONE: fail if somebody else has it open
 * @IO_SERVICE_OPEN_SEIZE: ask whoever has it open to close it, and wait for
 *   that a while (kIOServiceSeize)
 *
 * How a service of any kind is opened. The bits 0xFFFF0000 belong to the kind
 * of service, as those of #IOStreamOpenFlags to streams; both can be combined.
 *
 * Since: 1.0
 */
typedef enum /*< flags >*/ {
  IO_SERVICE_OPEN_NONE  = 0,
  IO_SERVICE_OPEN_SEIZE = 0x00000001
} IOServiceOpenFlags;

/**
 * IOServiceMessageType:
 * @IO_SERVICE_MESSAGE_TERMINATED: the service ends
 *   (kIOMessageServiceIsTerminated)
 * @IO_SERVICE_MESSAGE_SUSPENDED: the service pauses
 *   (kIOMessageServiceIsSuspended). A stream says so
 * @IO_SERVICE_MESSAGE_RESUMED: the service goes on
 *   (kIOMessageServiceIsResumed). A stream says so
 * @IO_SERVICE_MESSAGE_REQUESTING_CLOSE: whoever has the service open is asked
 *   to close it, because somebody else seizes it or because it ends
 *   (kIOMessageServiceIsRequestingClose)
 * @IO_SERVICE_MESSAGE_ATTEMPTING_OPEN: somebody else is about to open the
 *   service, maybe in vain (kIOMessageServiceIsAttemptingOpen)
 * @IO_SERVICE_MESSAGE_WAS_CLOSED: somebody else has closed the service
 *   (kIOMessageServiceWasClosed)
 * @IO_SERVICE_MESSAGE_BUSY_STATE_CHANGE: the service has become busy, or quiet;
 *   the argument is a boolean. Only for %IO_SERVICE_INTEREST_BUSY
 *   (kIOMessageServiceBusyStateChange)
 * @IO_SERVICE_MESSAGE_PROPERTY_CHANGE: for the kind of service to use
 *   (kIOMessageServicePropertyChange)
 * @IO_SERVICE_MESSAGE_FAMILY: the first number that kinds of services can give
 *   to messages of their own; they end with 0xFFFFFFFF
 *
 * What a message between a service and its clients says. The numbers are the
 * codes of Apple's messages.
 *
 * Since: 1.0
 */
typedef enum {
  IO_SERVICE_MESSAGE_TERMINATED        = 0x010,
  IO_SERVICE_MESSAGE_SUSPENDED         = 0x020,
  IO_SERVICE_MESSAGE_RESUMED           = 0x030,
  IO_SERVICE_MESSAGE_REQUESTING_CLOSE  = 0x100,
  IO_SERVICE_MESSAGE_ATTEMPTING_OPEN   = 0x101,
  IO_SERVICE_MESSAGE_WAS_CLOSED        = 0x110,
  IO_SERVICE_MESSAGE_BUSY_STATE_CHANGE = 0x120,
  IO_SERVICE_MESSAGE_PROPERTY_CHANGE   = 0x130,
  IO_SERVICE_MESSAGE_FAMILY            = 0x10000
} IOServiceMessageType;

/**
 * IOServiceInterest:
 * @IO_SERVICE_INTEREST_GENERAL: all that clients are told (kIOGeneralInterest)
 * @IO_SERVICE_INTEREST_BUSY: whether the service is busy (kIOBusyInterest)
 *
 * What a listener in the process of the service wants to hear of.
 *
 * Since: 1.0
 */
typedef enum {
  IO_SERVICE_INTEREST_GENERAL,
  IO_SERVICE_INTEREST_BUSY
} IOServiceInterest;

/**
 * IOStreamMemoryType:
 * @IO_STREAM_MEMORY_OUTPUT_QUEUE: the queue from the stream to the client
 * @IO_STREAM_MEMORY_INPUT_QUEUE: the queue from the client to the stream
 * @IO_STREAM_MEMORY_BUFFER_DATA: the data part of a buffer; its number is
 *   or-ed to the value
 * @IO_STREAM_MEMORY_BUFFER_CONTROL: the control part of a buffer; its number
 *   is or-ed to the value
 *
 * The memory a client can ask for. The numbers are those of Apple's
 * IOStreamMemoryType; see %IO_STREAM_MEMORY_TYPE_MASK and
 * %IO_STREAM_MEMORY_BUFFER_ID_MASK.
 *
 * Since: 1.0
 */
typedef enum {
  IO_STREAM_MEMORY_OUTPUT_QUEUE   = 0x10000000,
  IO_STREAM_MEMORY_INPUT_QUEUE    = 0x20000000,
  IO_STREAM_MEMORY_BUFFER_DATA    = 0x30000000,
  IO_STREAM_MEMORY_BUFFER_CONTROL = 0x40000000
} IOStreamMemoryType;

/**
 * IOInterruptType:
 * @IO_INTERRUPT_EDGE: an event: causes that come before the handler is called
 *   are merged into one call
 * @IO_INTERRUPT_LEVEL: a state that lasts: the handler is to look until
 *   nothing is left
 *
 * What an interrupt stands for. The numbers are those of Apple's
 * kIOInterruptTypeEdge and kIOInterruptTypeLevel.
 *
 * Since: 1.0
 */
typedef enum {
  IO_INTERRUPT_EDGE  = 0,
  IO_INTERRUPT_LEVEL = 1
} IOInterruptType;

/**
 * IO_INTERRUPT_MAX_VECTORS:
 *
 * How many vectors an interrupt controller can have.
 *
 * Since: 1.0
 */
#define IO_INTERRUPT_MAX_VECTORS 4096u

/**
 * IO_STREAM_MEMORY_TYPE_MASK:
 *
 * The bits of a memory type that hold the #IOStreamMemoryType.
 *
 * Since: 1.0
 */
#define IO_STREAM_MEMORY_TYPE_MASK 0xF0000000u

/**
 * IO_STREAM_MEMORY_BUFFER_ID_MASK:
 *
 * The bits of a memory type that hold the number of the buffer.
 *
 * Since: 1.0
 */
#define IO_STREAM_MEMORY_BUFFER_ID_MASK 0x0FFFFFFFu

/**
 * IO_STREAM_BUFFER_ID_INVALID:
 *
 * A buffer number that no buffer has (kIOStreamBufferIDInvalid).
 *
 * Since: 1.0
 */
#define IO_STREAM_BUFFER_ID_INVALID 0xFFFFFFFFu

/**
 * IO_STREAM_MAX_BUFFERS:
 *
 * How many buffers a stream can have.
 *
 * Since: 1.0
 */
#define IO_STREAM_MAX_BUFFERS 65536u

/**
 * IO_STREAM_MAX_CLIENTS:
 *
 * The most clients that can share a stream.
 *
 * Since: 1.0
 */
#define IO_STREAM_MAX_CLIENTS 256u

/**
 * IOSharedDataQueueRole:
 * @IO_SHARED_DATA_QUEUE_PRODUCER: this end enqueues records
 * @IO_SHARED_DATA_QUEUE_CONSUMER: this end dequeues them
 *
 * What one end of an #IOSharedDataQueue does.
 *
 * Since: 1.0
 */
typedef enum {
  IO_SHARED_DATA_QUEUE_PRODUCER = 1,
  IO_SHARED_DATA_QUEUE_CONSUMER = 2
} IOSharedDataQueueRole;

G_END_DECLS
