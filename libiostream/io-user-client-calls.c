/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-user-client-private.h"

#include "io-memory-backing-private.h"
#include "io-packet-private.h"
#include "io-service-private.h"
#include "io-shared-interrupt-controller-private.h"

#include <fcntl.h>

static GVariant *
answer_open (IOUserClient  *self,
             GVariant      *args,
             GError       **error)
{
  guint options;

  g_variant_get_child (args, 0, "u", &options);
  if (!io_service_open (io_user_client_get_service (self), self, options, error))
    return NULL;

  return g_variant_new_parsed ("(@a{sv} {},)");
}

/* What a user client without a kind of its own does. */
GVariant *
_io_user_client_default_call (IOUserClient  *self,
                              IOOpcode       opcode,
                              GVariant      *args,
                              GUnixFDList  **fds,
                              GError       **error)
{
  IOService *service = io_user_client_get_service (self);

  switch (opcode)
    {
    case IO_OPCODE_OPEN:
      return answer_open (self, args, error);
    case IO_OPCODE_READY:
      if (io_service_is_open (service, self))
        return g_variant_new ("()");
      g_set_error_literal (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN,
                           "Cannot be ready: the service is not open");
      return NULL;
    case IO_OPCODE_CLOSE:
      io_service_close (service, self, 0);
      return g_variant_new ("()");
    default:
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_UNSUPPORTED,
                   "Cannot do call %u: %s does not have it", opcode, G_OBJECT_TYPE_NAME (self));
      return NULL;
    }
}

/* Whether the kernel lets a client write what it gets. */
static gboolean
is_writable_by_others (IOMemoryBacking *backing)
{
  int fd = _io_memory_backing_peek_fd (backing);
  int seals = fcntl (fd, F_GET_SEALS);

  if (seals >= 0)
    return (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) == 0;

  return (fcntl (fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
}

gboolean
_io_user_client_pass_fd (IOUserClient  *self,
                         GUnixFDList   *fds,
                         int            fd,
                         GError       **error)
{
  g_autoptr (GError) local_error = NULL;

  if (g_unix_fd_list_append (fds, fd, &local_error) >= 0)
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES,
               "Cannot pass a descriptor to client “%s”: %s",
               io_user_client_get_client_name (self), local_error->message);
  return FALSE;
}

static GVariant *
answer_get_memory (IOUserClient  *self,
                   GVariant      *args,
                   GUnixFDList  **fds,
                   GError       **error)
{
  g_autoptr (IOMemoryDescriptor) memory = NULL;
  g_autoptr (GUnixFDList) list = g_unix_fd_list_new ();
  IOMemoryMapFlags flags = IO_MEMORY_MAP_NONE;
  IOMemoryBacking *backing;
  gboolean writable;
  guint type;

  g_variant_get (args, "(u)", &type);
  memory = io_user_client_get_memory (self, type, &flags, error);
  if (memory == NULL)
    return NULL;

  backing = _io_memory_descriptor_peek_backing (memory);
  writable = is_writable_by_others (backing);
  if (writable && io_user_client_get_read_only (self))
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED,
                   "Cannot give memory 0x%x: it is writable, and the client may only read", type);
      return NULL;
    }
  if (!_io_user_client_pass_fd (self, list, _io_memory_backing_peek_fd (backing), error))
    return NULL;

  *fds = g_steal_pointer (&list);
  return g_variant_new ("(uutttb)", _io_memory_backing_get_id (backing), (guint) flags,
                        io_memory_descriptor_get_offset (memory),
                        (guint64) io_memory_descriptor_get_length (memory),
                        (guint64) _io_memory_backing_get_size (backing), writable);
}

static GVariant *
answer (IOUserClient          *self,
        IOUserClientCallFunc   func,
        const IOPacketHeader  *header,
        GVariant              *body,
        GUnixFDList          **fds,
        GError               **error)
{

  if (body == NULL)
    {
      gboolean known = _io_packet_get_body_type (header->kind, header->opcode) != NULL;

      g_set_error (error, IO_STREAM_ERROR,
                   known ? IO_STREAM_ERROR_BAD_ARGUMENT : IO_STREAM_ERROR_UNSUPPORTED,
                   known ? "Cannot read the arguments of call %u" : "There is no call %u",
                   header->opcode);
      return NULL;
    }

  switch ((int) header->opcode)
    {
    case IO_OPCODE_HELLO:
      g_set_error_literal (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_MESSAGE,
                           "Cannot say hello twice");
      return NULL;
    case IO_OPCODE_GET_ATTRIBUTES:
      return g_variant_new ("(@a{sv})", _io_service_build_attributes (io_user_client_get_service (self)));
    case IO_OPCODE_GET_MEMORY:
      return answer_get_memory (self, body, fds, error);
    case IO_OPCODE_GET_QUEUE:
      return _io_user_client_answer_get_queue (self, body, fds, error);
    case IO_OPCODE_QUEUE_READY:
      return _io_user_client_answer_queue_ready (self, body, error);
    case IO_OPCODE_METHOD:
    case IO_OPCODE_VARIANT:
    case IO_OPCODE_GET_TRANSFER:
    case IO_OPCODE_TRAP:
    case IO_OPCODE_GET_PORT:
    case IO_OPCODE_CANCEL:
      return _io_user_client_call_method (self, header->opcode, body, fds, error);
    case IO_OPCODE_GET_INTERRUPTS:
    case IO_OPCODE_INTERRUPTS_READY:
      return _io_shared_interrupt_controller_answer (self, header->opcode, fds, error);
    case IO_OPCODE_WATCH_ATTRIBUTES:
    case IO_OPCODE_SET_ATTRIBUTE:
    case IO_OPCODE_SEND_MESSAGE:
      return _io_service_answer (io_user_client_get_service (self), self, header->opcode, body, error);
    case IO_OPCODE_CLOSE:
      if (!_io_service_withdraw (io_user_client_get_service (self), self, error))
        return NULL;
      return func (self, header->opcode, body, fds, error);
    default:
      return func (self, header->opcode, body, fds, error);
    }
}

static GBytes *
build_reply (IOUserClient          *self,
             const IOPacketHeader  *header,
             GVariant              *result,
             GError               **error)
{
  const GVariantType *type = _io_packet_get_body_type (IO_PACKET_REPLY, header->opcode);

  if (!g_variant_is_of_type (result, type))
    {
      g_critical ("%s answers call %u with %s", G_OBJECT_TYPE_NAME (self), header->opcode,
                  g_variant_get_type_string (result));
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_INTERNAL_ERROR,
                   "Cannot answer call %u", header->opcode);
      return NULL;
    }

  return _io_packet_build (IO_PACKET_REPLY, header->opcode, header->serial, 0, result, error);
}

GBytes *
_io_user_client_answer (IOUserClient          *self,
                        IOUserClientCallFunc   func,
                        const IOPacketHeader  *header,
                        GVariant              *body,
                        GUnixFDList          **fds)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) result = answer (self, func, header, body, fds, &error);
  GBytes *reply = NULL;

  if (result != NULL)
    {
      g_variant_take_ref (result);
      reply = build_reply (self, header, result, &error);
    }
  if (reply != NULL)
    return reply;

  g_clear_object (fds);
  if (header->opcode == IO_OPCODE_OPEN && body != NULL &&
      g_error_matches (error, IO_STREAM_ERROR, IO_STREAM_ERROR_EXCLUSIVE_ACCESS) &&
      _io_service_wait_for_close (io_user_client_get_service (self), self, header, body))
    return NULL;
  if (error == NULL)
    g_set_error (&error, IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED,
                 "%s failed in call %u", G_OBJECT_TYPE_NAME (self), header->opcode);
  return _io_packet_build_error (header->opcode, header->serial, error);
}
