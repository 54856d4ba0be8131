/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-connection-internal-private.h"

#include "io-notification-port-private.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the owner gave for a type. The same file, by its inode, is the same
 * memory, whatever number the owner has for it. */
typedef struct {
  guint               type;
  dev_t               device;
  ino_t               inode;
  guint64             offset;
  guint64             length;
  IOMemoryMapFlags    flags;
  gboolean            writable;
  IOMemoryDescriptor *descriptor;
} TypedMemory;

static void
typed_memory_free (gpointer data)
{
  TypedMemory *memory = data;

  g_clear_object (&memory->descriptor);
  g_free (memory);
}

static gboolean
is_same (const TypedMemory *memory,
         const TypedMemory *other)
{
  return memory->type == other->type && memory->device == other->device &&
         memory->inode == other->inode && memory->offset == other->offset &&
         memory->length == other->length && memory->flags == other->flags &&
         memory->writable == other->writable;
}

/* Of this very memory, or of the type. */
static TypedMemory *
find_memory (IOConnectionMethods *methods,
             const TypedMemory   *wanted,
             gboolean             same)
{
  for (guint i = 0; methods->memories != NULL && i < methods->memories->len; i++)
    {
      TypedMemory *memory = g_ptr_array_index (methods->memories, i);

      if (same ? is_same (memory, wanted) : memory->type == wanted->type)
        return memory;
    }

  return NULL;
}

/* There is one of each type. */
static IOMemoryDescriptor *
keep_memory (IOConnection      *self,
             const TypedMemory *memory,
             IOMemoryBacking   *backing)
{
  IOConnectionMethods *methods = _io_connection_ensure_methods (self);
  TypedMemory *old = find_memory (methods, memory, FALSE);
  TypedMemory *kept = g_memdup2 (memory, sizeof *memory);
  gboolean read_only = !memory->writable || (memory->flags & IO_MEMORY_MAP_READ_ONLY) != 0;

  kept->descriptor = _io_memory_descriptor_new_for_backing (backing, memory->offset, memory->length,
                                                            read_only ? IO_DIRECTION_IN
                                                                      : IO_DIRECTION_IN_OUT);
  if (old != NULL)
    g_ptr_array_remove_fast (methods->memories, old);
  if (methods->memories == NULL)
    methods->memories = g_ptr_array_new_with_free_func (typed_memory_free);
  g_ptr_array_add (methods->memories, kept);

  return g_object_ref (kept->descriptor);
}

/* Takes @fd over. */
static IOMemoryDescriptor *
take_memory (IOConnection  *self,
             TypedMemory   *memory,
             guint64        size,
             int            fd,
             GError       **error)
{
  g_autoptr (IOMemoryBacking) backing = NULL;
  g_autoptr (GError) reason = NULL;
  TypedMemory *known;
  struct stat status;

  if (fstat (fd, &status) == 0)
    {
      memory->device = status.st_dev;
      memory->inode = status.st_ino;
      known = find_memory (_io_connection_ensure_methods (self), memory, TRUE);
      if (known != NULL)
        {
          close (fd);
          return g_object_ref (known->descriptor);
        }
    }

  backing = _io_memory_backing_new_take_fd (fd, size, G_MAXSSIZE, !memory->writable, TRUE, &reason);
  if (backing != NULL)
    return keep_memory (self, memory, backing);
  /* That need not be the owner's fault. */
  if (reason->code != IO_STREAM_ERROR_NO_MEMORY && reason->code != IO_STREAM_ERROR_NO_RESOURCES)
    return _io_connection_break_off (self, IO_OPCODE_GET_MEMORY, reason->message, error);

  g_propagate_error (error, g_steal_pointer (&reason));
  return NULL;
}

/**
 * io_connection_get_memory:
 * @self: a connection
 * @type: which memory; what the numbers mean is up to the service
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Gets memory that the owner shares, see
 * #IOUserClientClass.client_memory_for_type(). Map it with
 * io_memory_descriptor_map(). As long as the owner gives the same memory for a
 * type, it is the same object each time, until the connection goes; memory and
 * maps outlive it.
 *
 * What the owner sends is checked: memory that could be cut off under the
 * client's hands, or that is smaller than the owner says, ends the connection
 * with %IO_STREAM_ERROR_IPC_ERROR.
 *
 * Fails with %IO_STREAM_ERROR_UNSUPPORTED or %IO_STREAM_ERROR_NOT_FOUND if
 * there is no such memory, %IO_STREAM_ERROR_NOT_PERMITTED if the owner lets the
 * client only read and the memory is writable, an error of the owner, or an
 * error of the connection. The original made %IO_STREAM_ERROR_BAD_ARGUMENT of
 * them all.
 *
 * In the thread of the connection. Apple: IOConnectMapMemory64 without the
 * mapping.
 *
 * Returns: (transfer full): the memory
 * Since: 1.0
 */
IOMemoryDescriptor *
io_connection_get_memory (IOConnection  *self,
                          guint          type,
                          GCancellable  *cancellable,
                          GError       **error)
{
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GUnixFDList) fds = NULL;
  g_autofree int *list = NULL;
  TypedMemory memory = { .type = type };
  guint32 number, flags;
  guint64 size;

  g_return_val_if_fail (IO_IS_CONNECTION (self), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  answer = _io_connection_call_with_fds (self, IO_OPCODE_GET_MEMORY, g_variant_new ("(u)", type),
                                         &fds, cancellable, error);
  if (answer == NULL)
    return NULL;

  g_variant_get (answer, "(uutttb)", &number, &flags, &memory.offset, &memory.length, &size,
                 &memory.writable);
  memory.flags = flags;
  if (size == 0 || size > G_MAXSSIZE || memory.length > size || memory.offset > size - memory.length)
    return _io_connection_break_off (self, IO_OPCODE_GET_MEMORY, "it gives memory that is not within itself", error);
  if (fds == NULL || g_unix_fd_list_get_length (fds) != 1)
    return _io_connection_break_off (self, IO_OPCODE_GET_MEMORY, "it gives memory without a descriptor", error);

  list = g_unix_fd_list_steal_fds (fds, NULL);

  return take_memory (self, &memory, size, list[0], error);
}

static gboolean
is_bell (int fd)
{
  int domain = 0, type = 0;
  socklen_t domain_length = sizeof domain, type_length = sizeof type;

  return getsockopt (fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_length) == 0 &&
         getsockopt (fd, SOL_SOCKET, SO_TYPE, &type, &type_length) == 0 &&
         domain == AF_UNIX && type == SOCK_STREAM;
}

/**
 * io_connection_get_notification_port:
 * @self: a connection
 * @type: which port; what the numbers mean is up to the service
 * @reference: a number that the owner gets with it
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Asks the owner for a port over which it tells something, see
 * #IOUserClientClass.register_notification_port(). Each side can notify the
 * other. The port is the caller's. Its other end is closed when the connection
 * ends, or when the client asks for another port of the same type.
 *
 * Fails with %IO_STREAM_ERROR_UNSUPPORTED if the service has no such port,
 * %IO_STREAM_ERROR_NO_RESOURCES if there are too many, an error of the owner,
 * or an error of the connection.
 *
 * In the thread of the connection. Apple: IOConnectSetNotificationPort.
 *
 * Returns: (transfer full): the port
 * Since: 1.0
 */
IONotificationPort *
io_connection_get_notification_port (IOConnection  *self,
                                     guint          type,
                                     guint64        reference,
                                     GCancellable  *cancellable,
                                     GError       **error)
{
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GUnixFDList) fds = NULL;
  g_autofree int *list = NULL;

  g_return_val_if_fail (IO_IS_CONNECTION (self), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  answer = _io_connection_call_with_fds (self, IO_OPCODE_GET_PORT,
                                         g_variant_new ("(ut)", type, reference), &fds, cancellable,
                                         error);
  if (answer == NULL)
    return NULL;
  if (fds == NULL || g_unix_fd_list_get_length (fds) != 1)
    return _io_connection_break_off (self, IO_OPCODE_GET_PORT, "it gives a port without a descriptor", error);

  list = g_unix_fd_list_steal_fds (fds, NULL);
  if (is_bell (list[0]))
    return _io_notification_port_new (list[0], NULL, NULL, NULL, NULL);

  close (list[0]);
  return _io_connection_break_off (self, IO_OPCODE_GET_PORT, "it gives a port that is none", error);
}
