/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any packet may come from a peer: it is refused with an error, or it can be
 * read to the end and made again. */

#include "fuzz.h"

#include <string.h>

#include "libiostream/io-error.h"
#include "libiostream/io-packet-private.h"

static void
check_refusal (const GError *error)
{
  g_assert_nonnull (error);
  g_assert_true (error->domain == IO_STREAM_ERROR);
  g_assert_true (error->code == IO_STREAM_ERROR_IPC_ERROR ||
                 error->code == IO_STREAM_ERROR_MESSAGE_TOO_LARGE ||
                 error->code == IO_STREAM_ERROR_BAD_MESSAGE);
}

static void
check_packet (const IOPacketHeader *header,
              GVariant             *body)
{
  g_autofree char *text = g_variant_print (body, TRUE);
  g_autoptr (GBytes) again = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_nonnull (text);
  g_assert_true (g_variant_is_normal_form (body));
  g_assert_cmpuint (g_variant_get_size (body), <=, IO_PROTOCOL_MAX_PACKET);
  if (header->status != 0)
    {
      g_autoptr (GError) reason = _io_packet_to_error (header, body);

      g_assert_nonnull (reason);
    }

  again = _io_packet_build (header->kind, header->opcode, header->serial,
                            header->status, body, &error);
  g_assert_no_error (error);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data,
                        size_t         size)
{
  g_autofree guint8 *copy = g_memdup2 (data, size);
  g_autoptr (GVariant) body = NULL;
  g_autoptr (GError) error = NULL;
  IOPacketHeader header;

  memset (&header, 0, sizeof header);
  if (_io_packet_parse (copy, size, &header, &body, &error))
    {
      g_assert_no_error (error);
      /* The body has memory of its own. */
      if (size > 0)
        memset (copy, 0xff, size);
      check_packet (&header, body);
    }
  else
    {
      check_refusal (error);
      g_assert_null (body);
    }

  return 0;
}
