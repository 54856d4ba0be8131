/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-types.h>

G_BEGIN_DECLS

/**
 * IO_STREAM_ERROR:
 *
 * The error domain of the library; its codes are #IOStreamError.
 *
 * Since: 1.0
 */
#define IO_STREAM_ERROR (io_stream_error_quark ())

/**
 * IOStreamError:
 * @IO_STREAM_ERROR_FAILED: the operation failed for a reason the message
 *   tells (kIOReturnError)
 * @IO_STREAM_ERROR_NO_MEMORY: memory could not be allocated
 *   (kIOReturnNoMemory)
 * @IO_STREAM_ERROR_NO_RESOURCES: a limit of the system or of a quota is
 *   reached: descriptors, connections, buffers (kIOReturnNoResources)
 * @IO_STREAM_ERROR_IPC_ERROR: the other process broke the protocol
 *   (kIOReturnIPCError)
 * @IO_STREAM_ERROR_NO_DEVICE: the device behind the service is gone
 *   (kIOReturnNoDevice)
 * @IO_STREAM_ERROR_NOT_PRIVILEGED: a privilege is missing
 *   (kIOReturnNotPrivileged)
 * @IO_STREAM_ERROR_BAD_ARGUMENT: an argument is out of its range
 *   (kIOReturnBadArgument)
 * @IO_STREAM_ERROR_EXCLUSIVE_ACCESS: somebody else has it open exclusively,
 *   or the name is taken (kIOReturnExclusiveAccess)
 * @IO_STREAM_ERROR_BAD_MESSAGE: a message is of an unknown kind
 *   (kIOReturnBadMessageID)
 * @IO_STREAM_ERROR_UNSUPPORTED: the operation is not supported
 *   (kIOReturnUnsupported)
 * @IO_STREAM_ERROR_VM_ERROR: memory cannot be mapped, or has not the seals
 *   it must have (kIOReturnVMError)
 * @IO_STREAM_ERROR_INTERNAL_ERROR: the library itself is at fault
 *   (kIOReturnInternalError)
 * @IO_STREAM_ERROR_IO_ERROR: a system call failed (kIOReturnIOError)
 * @IO_STREAM_ERROR_CANNOT_LOCK: the call would wait for the calling thread
 *   itself (kIOReturnCannotLock)
 * @IO_STREAM_ERROR_NOT_OPEN: the object is not open (kIOReturnNotOpen)
 * @IO_STREAM_ERROR_NOT_READABLE: the memory cannot be read
 *   (kIOReturnNotReadable)
 * @IO_STREAM_ERROR_NOT_WRITABLE: the memory cannot be written
 *   (kIOReturnNotWritable)
 * @IO_STREAM_ERROR_NOT_ALIGNED: an address or a length is not aligned
 *   (kIOReturnNotAligned)
 * @IO_STREAM_ERROR_STILL_OPEN: not possible while it is open
 *   (kIOReturnStillOpen)
 * @IO_STREAM_ERROR_BUSY: the object is in use at the moment (kIOReturnBusy)
 * @IO_STREAM_ERROR_TIMEOUT: the time given is over (kIOReturnTimeout)
 * @IO_STREAM_ERROR_OFFLINE: the other process is gone (kIOReturnOffline)
 * @IO_STREAM_ERROR_NOT_READY: the stream is not running (kIOReturnNotReady)
 * @IO_STREAM_ERROR_NOT_ATTACHED: the object belongs to nothing
 *   (kIOReturnNotAttached)
 * @IO_STREAM_ERROR_NO_SPACE: no buffer is free, or the place is too small
 *   (kIOReturnNoSpace)
 * @IO_STREAM_ERROR_PORT_EXISTS: there is a port already
 *   (kIOReturnPortExists)
 * @IO_STREAM_ERROR_NO_INTERRUPT: there is no such interrupt
 *   (kIOReturnNoInterrupt)
 * @IO_STREAM_ERROR_MESSAGE_TOO_LARGE: a message is over the limit
 *   (kIOReturnMessageTooLarge)
 * @IO_STREAM_ERROR_NOT_PERMITTED: the owner refuses, or the system does
 *   (kIOReturnNotPermitted)
 * @IO_STREAM_ERROR_UNSUPPORTED_MODE: the stream does not have this mode
 *   (kIOReturnUnsupportedMode)
 * @IO_STREAM_ERROR_UNDERRUN: the queue is empty (kIOReturnUnderrun)
 * @IO_STREAM_ERROR_OVERRUN: the queue is full (kIOReturnOverrun)
 * @IO_STREAM_ERROR_DEVICE_ERROR: the device failed (kIOReturnDeviceError)
 * @IO_STREAM_ERROR_NO_COMPLETION: nothing will complete this call
 *   (kIOReturnNoCompletion)
 * @IO_STREAM_ERROR_ABORTED: the operation was given up (kIOReturnAborted)
 * @IO_STREAM_ERROR_NOT_RESPONDING: the other process does not answer in time
 *   (kIOReturnNotResponding)
 * @IO_STREAM_ERROR_NOT_FOUND: there is no such service, buffer or memory
 *   (kIOReturnNotFound)
 * @IO_STREAM_ERROR_INVALID: a value that never occurs (kIOReturnInvalid)
 *
 * What can go wrong. The codes mirror Apple's IOReturn; their numbers are part
 * of the control protocol, so a code crosses the border between two processes
 * unchanged. Cancellation stays %G_IO_ERROR_CANCELLED.
 *
 * Since: 1.0
 */
typedef enum {
  IO_STREAM_ERROR_FAILED = 1,
  IO_STREAM_ERROR_NO_MEMORY,
  IO_STREAM_ERROR_NO_RESOURCES,
  IO_STREAM_ERROR_IPC_ERROR,
  IO_STREAM_ERROR_NO_DEVICE,
  IO_STREAM_ERROR_NOT_PRIVILEGED,
  IO_STREAM_ERROR_BAD_ARGUMENT,
  IO_STREAM_ERROR_EXCLUSIVE_ACCESS,
  IO_STREAM_ERROR_BAD_MESSAGE,
  IO_STREAM_ERROR_UNSUPPORTED,
  IO_STREAM_ERROR_VM_ERROR,
  IO_STREAM_ERROR_INTERNAL_ERROR,
  IO_STREAM_ERROR_IO_ERROR,
  IO_STREAM_ERROR_CANNOT_LOCK,
  IO_STREAM_ERROR_NOT_OPEN,
  IO_STREAM_ERROR_NOT_READABLE,
  IO_STREAM_ERROR_NOT_WRITABLE,
  IO_STREAM_ERROR_NOT_ALIGNED,
  IO_STREAM_ERROR_STILL_OPEN,
  IO_STREAM_ERROR_BUSY,
  IO_STREAM_ERROR_TIMEOUT,
  IO_STREAM_ERROR_OFFLINE,
  IO_STREAM_ERROR_NOT_READY,
  IO_STREAM_ERROR_NOT_ATTACHED,
  IO_STREAM_ERROR_NO_SPACE,
  IO_STREAM_ERROR_PORT_EXISTS,
  IO_STREAM_ERROR_NO_INTERRUPT,
  IO_STREAM_ERROR_MESSAGE_TOO_LARGE,
  IO_STREAM_ERROR_NOT_PERMITTED,
  IO_STREAM_ERROR_UNSUPPORTED_MODE,
  IO_STREAM_ERROR_UNDERRUN,
  IO_STREAM_ERROR_OVERRUN,
  IO_STREAM_ERROR_DEVICE_ERROR,
  IO_STREAM_ERROR_NO_COMPLETION,
  IO_STREAM_ERROR_ABORTED,
  IO_STREAM_ERROR_NOT_RESPONDING,
  IO_STREAM_ERROR_NOT_FOUND,
  IO_STREAM_ERROR_INVALID
} IOStreamError;

IO_AVAILABLE_IN_ALL
GQuark io_stream_error_quark (void);

G_END_DECLS
