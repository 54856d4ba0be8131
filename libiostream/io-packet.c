/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-packet-private.h"

#include "io-error.h"
#include "io-variant-private.h"

#include <string.h>

typedef struct {
  guint16     opcode;
  const char *call;
  const char *reply;
  const char *event;
} PacketType;

static const PacketType packet_types[] = {
  { IO_OPCODE_HELLO,            "(usa{sv})", "(ussa{sv})",    NULL    },
  { IO_OPCODE_GET_ATTRIBUTES,   "()",        "(a{sv})",       NULL    },
  { IO_OPCODE_OPEN,             "(ua{sv})",  "(a{sv})",       NULL    },
  { IO_OPCODE_READY,            "()",        "()",            NULL    },
  { IO_OPCODE_CLOSE,            "()",        "()",            NULL    },
  { IO_OPCODE_GET_MEMORY,       "(u)",       "(uutttb)",      NULL    },
  { IO_OPCODE_METHOD,           "(uataytuu)", "(atayt)",      NULL    },
  { IO_OPCODE_METHOD_ASYNC,     "(uataytuu)", "(atayt)",      NULL    },
  { IO_OPCODE_VARIANT,          "(uvst)",    "(vst)",         NULL    },
  { IO_OPCODE_VARIANT_ASYNC,    "(uvst)",    "(vst)",         NULL    },
  { IO_OPCODE_GET_TRANSFER,     "(t)",       "(t)",           NULL    },
  { IO_OPCODE_TRAP,             "(uu)",      "()",            NULL    },
  { IO_OPCODE_GET_PORT,         "(ut)",      "()",            NULL    },
  { IO_OPCODE_CANCEL,           "(u)",       "()",            NULL    },
  { IO_OPCODE_GET_QUEUE,        "(u)",       "(uuuu)",        NULL    },
  { IO_OPCODE_QUEUE_READY,      "(u)",       "()",            NULL    },
  { IO_OPCODE_GET_STATISTICS,   "()",        "(ut)",          NULL    },
  { IO_OPCODE_GET_INTERRUPTS,   "()",        "(ut)",          NULL    },
  { IO_OPCODE_INTERRUPTS_READY, "()",        "()",            NULL    },
  { IO_OPCODE_WATCH_ATTRIBUTES, "(b)",       "()",            NULL    },
  { IO_OPCODE_SET_ATTRIBUTE,    "(smv)",     "()",            NULL    },
  { IO_OPCODE_SEND_MESSAGE,     "(umv)",     "()",            NULL    },
  { IO_OPCODE_START,            "()",        "()",            NULL    },
  { IO_OPCODE_STOP,             "()",        "()",            NULL    },
  { IO_OPCODE_SUSPEND,          "()",        "()",            NULL    },
  { IO_OPCODE_GET_MODE,         "()",        "(u)",           NULL    },
  { IO_OPCODE_SET_MODE,         "(u)",       "()",            NULL    },
  { IO_OPCODE_GET_BUFFER_COUNT, "()",        "(u)",           NULL    },
  { IO_OPCODE_GET_BUFFERS,      "(u)",       "(uua(uttutt))", NULL    },
  { IO_OPCODE_GET_SYNC_BELL,    "()",        "()",            NULL    },
  { IO_OPCODE_ATTACH_INTERRUPTS, "(tu)",     "()",            NULL    },
  { IO_OPCODE_TERMINATED,       NULL,        NULL,            "(us)"  },
  { IO_OPCODE_PROGRESS,         NULL,        NULL,            "(uv)"  },
  { IO_OPCODE_MESSAGE,          NULL,        NULL,            "(umv)" },
  { IO_OPCODE_ATTRIBUTES,       NULL,        NULL,            "(ya{sv}as)" },
};

static const char *
find_body_type (IOPacketKind kind,
                guint        opcode)
{
  for (guint i = 0; i < G_N_ELEMENTS (packet_types); i++)
    {
      if (packet_types[i].opcode != opcode)
        continue;
      switch (kind)
        {
        case IO_PACKET_CALL:
          return packet_types[i].call;
        case IO_PACKET_REPLY:
          return packet_types[i].reply;
        case IO_PACKET_EVENT:
          return packet_types[i].event;
        default:
          return NULL;
        }
    }

  return NULL;
}

const GVariantType *
_io_packet_get_body_type (IOPacketKind kind,
                          guint        opcode)
{
  const char *type = find_body_type (kind, opcode);

  return type != NULL ? G_VARIANT_TYPE (type) : NULL;
}

static GBytes *
assemble (const IOPacketHeader *header,
          GVariant             *body)
{
  guint8 *packet = g_malloc0 (IO_PROTOCOL_HEADER_SIZE + header->length);

  memcpy (packet, header, IO_PROTOCOL_HEADER_SIZE);
  g_variant_store (body, packet + IO_PROTOCOL_HEADER_SIZE);

  return g_bytes_new_take (packet, IO_PROTOCOL_HEADER_SIZE + header->length);
}

/* GLib writes what is nested so deep that it would not read it again, and what
 * was read as part of one message can be too deep as part of another. */
static gboolean
can_be_read (GVariant *body,
             GBytes   *packet)
{
  const char *type = g_variant_get_type_string (body);
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GVariant) again = NULL;
  g_autoptr (GVariant) trusted = NULL;

  if (strchr (type, 'v') == NULL)
    return TRUE;

  bytes = g_bytes_new_from_bytes (packet, IO_PROTOCOL_HEADER_SIZE,
                                  g_bytes_get_size (packet) - IO_PROTOCOL_HEADER_SIZE);
  again = g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (type), bytes, FALSE));
  trusted = _io_variant_to_trusted (again);

  return trusted != NULL;
}

GBytes *
_io_packet_build (IOPacketKind   kind,
                  IOOpcode       opcode,
                  guint32        serial,
                  guint32        status,
                  GVariant      *body,
                  GError       **error)
{
  g_autoptr (GVariant) sunk = g_variant_ref_sink (body != NULL ? body : g_variant_new ("()"));
  g_autoptr (GVariant) normal = NULL;
  g_autoptr (GBytes) packet = NULL;
  IOPacketHeader header = { IO_PROTOCOL_VERSION, kind, opcode, serial, status, 0 };
  gsize size;

  g_return_val_if_fail (status != 0 ||
                        (_io_packet_get_body_type (kind, opcode) != NULL &&
                         g_variant_is_of_type (sunk, _io_packet_get_body_type (kind, opcode))),
                        NULL);

  /* An attribute may hold what came from elsewhere and was never checked. */
  normal = _io_variant_to_normal (sunk);
  size = g_variant_get_size (normal);
  if (size > IO_PROTOCOL_MAX_PACKET - IO_PROTOCOL_HEADER_SIZE)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_MESSAGE_TOO_LARGE,
                   "Cannot send message %u: its %" G_GSIZE_FORMAT
                   " bytes are more than the %u that fit", opcode, size,
                   IO_PROTOCOL_MAX_PACKET - IO_PROTOCOL_HEADER_SIZE);
      return NULL;
    }

  header.length = size;
  packet = assemble (&header, normal);
  if (can_be_read (normal, packet))
    return g_steal_pointer (&packet);

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
               "Cannot send message %u: what is in it is nested too deep", opcode);
  return NULL;
}

GBytes *
_io_packet_build_error (guint         opcode,
                        guint32       serial,
                        const GError *reason)
{
  g_autofree char *valid = g_utf8_make_valid (reason->message, -1);
  g_autofree char *text = NULL;
  guint32 status = IO_STREAM_ERROR_FAILED;

  if (reason->domain == IO_STREAM_ERROR && reason->code > 0)
    status = reason->code;

  text = g_utf8_substring (valid, 0, MIN (g_utf8_strlen (valid, -1), 900));
  return _io_packet_build (IO_PACKET_REPLY, opcode, serial, status,
                           g_variant_new ("(s)", text), NULL);
}

static gboolean
refuse (GError     **error,
        const char  *format,
        ...) G_GNUC_PRINTF (2, 3);

static gboolean
refuse (GError     **error,
        const char  *format,
        ...)
{
  va_list args;

  va_start (args, format);
  if (error != NULL)
    *error = g_error_new_valist (IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR, format, args);
  va_end (args);

  return FALSE;
}

static gboolean
parse_header (const void      *data,
              gsize            size,
              IOPacketHeader  *header,
              GError         **error)
{
  if (size > IO_PROTOCOL_MAX_PACKET)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_MESSAGE_TOO_LARGE,
                   "A packet is larger than %u bytes", IO_PROTOCOL_MAX_PACKET);
      return FALSE;
    }
  if (size < IO_PROTOCOL_HEADER_SIZE)
    return refuse (error, "A packet of %" G_GSIZE_FORMAT " bytes is too short", size);

  memcpy (header, data, IO_PROTOCOL_HEADER_SIZE);
  if (header->version != IO_PROTOCOL_VERSION)
    return refuse (error, "A packet has protocol version %u instead of %u",
                   header->version, IO_PROTOCOL_VERSION);
  if (header->kind < IO_PACKET_CALL || header->kind > IO_PACKET_EVENT)
    return refuse (error, "A packet is of unknown kind %u", header->kind);
  if (header->length != size - IO_PROTOCOL_HEADER_SIZE)
    return refuse (error, "A packet says %u bytes of body and carries %" G_GSIZE_FORMAT,
                   header->length, size - IO_PROTOCOL_HEADER_SIZE);
  if (header->status != 0 && header->kind != IO_PACKET_REPLY)
    return refuse (error, "A packet of kind %u has status %u", header->kind, header->status);
  if ((header->serial == 0) != (header->kind == IO_PACKET_EVENT))
    return refuse (error, "A packet of kind %u has serial %u", header->kind, header->serial);

  return TRUE;
}

/* The copy is aligned as GVariant wants it, and nobody else's. There are zeros
 * behind it, because GLib 2.74 looks one byte too far when it checks the form
 * of some broken bodies. */
static GBytes *
copy_body (const guint8 *body,
           gsize         length)
{
  guint8 *copy = g_malloc0 (length + sizeof (guint64));

  if (length > 0)
    memcpy (copy, body, length);

  return g_bytes_new_with_free_func (copy, length, g_free, copy);
}

gboolean
_io_packet_parse (const void      *data,
                  gsize            size,
                  IOPacketHeader  *header,
                  GVariant       **body,
                  GError         **error)
{
  const char *type;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GVariant) value = NULL;
  GVariant *trusted;

  if (!parse_header (data, size, header, error))
    return FALSE;

  type = header->status != 0 ? "(s)" : find_body_type (header->kind, header->opcode);
  if (type == NULL)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_MESSAGE,
                   "There is no message %u of kind %u", header->opcode, header->kind);
      return FALSE;
    }

  bytes = copy_body ((const guint8 *) data + IO_PROTOCOL_HEADER_SIZE, header->length);
  value = g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (type), bytes, FALSE));
  trusted = _io_variant_to_trusted (value);
  if (trusted == NULL)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_MESSAGE,
                   "The body of message %u is not of type %s", header->opcode, type);
      return FALSE;
    }

  *body = trusted;
  return TRUE;
}

GError *
_io_packet_to_error (const IOPacketHeader *header,
                     GVariant             *body)
{
  const char *text;
  int code = IO_STREAM_ERROR_FAILED;

  if (header->status >= IO_STREAM_ERROR_FAILED && header->status <= IO_STREAM_ERROR_INVALID)
    code = header->status;

  g_variant_get (body, "(&s)", &text);
  return g_error_new_literal (IO_STREAM_ERROR, code, text);
}
