/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <libiostream/io-error.h>

#include "libiostream/io-packet-private.h"

#include <string.h>

static void
parse_bytes (GBytes          *packet,
             IOPacketHeader  *header,
             GVariant       **body)
{
  g_autoptr (GError) error = NULL;
  gsize size;
  const void *data = g_bytes_get_data (packet, &size);
  gboolean ok = _io_packet_parse (data, size, header, body, &error);

  g_assert_no_error (error);
  g_assert_true (ok);
}

static void
assert_refused (const void *data,
                gsize       size,
                int         code)
{
  g_autoptr (GError) error = NULL;
  GVariant *body = NULL;
  IOPacketHeader header;

  g_assert_false (_io_packet_parse (data, size, &header, &body, &error));
  g_assert_error (error, IO_STREAM_ERROR, code);
  g_assert_null (body);
}

static void
test_round_trip (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) packet = NULL;
  g_autoptr (GVariant) body = NULL;
  g_autoptr (GVariant) options = NULL;
  IOPacketHeader header;
  const char *program;
  guint version;

  packet = _io_packet_build (IO_PACKET_CALL, IO_OPCODE_HELLO, 7, 0,
                             g_variant_new ("(us@a{sv})", 1, "test",
                                            g_variant_new_parsed ("{'a': <uint64 5>}")),
                             &error);
  g_assert_no_error (error);
  parse_bytes (packet, &header, &body);

  g_assert_cmpuint (header.version, ==, IO_PROTOCOL_VERSION);
  g_assert_cmpuint (header.kind, ==, IO_PACKET_CALL);
  g_assert_cmpuint (header.opcode, ==, IO_OPCODE_HELLO);
  g_assert_cmpuint (header.serial, ==, 7);
  g_assert_cmpuint (header.status, ==, 0);
  g_variant_get (body, "(u&s@a{sv})", &version, &program, &options);
  g_assert_cmpuint (version, ==, 1);
  g_assert_cmpstr (program, ==, "test");
  g_assert_cmpuint (g_variant_n_children (options), ==, 1);
}

/* As many messages as there are: each type is one that GVariant knows and goes
 * through a packet, a call has an answer, and an event has neither. */
static void
check_message (IOPacketKind kind,
               guint        opcode)
{
  const GVariantType *type = _io_packet_get_body_type (kind, opcode);
  g_autofree char *string = g_variant_type_dup_string (type);
  g_autoptr (GVariant) plain = NULL;
  g_autoptr (GVariant) sent = NULL;
  g_autoptr (GVariant) body = NULL;
  g_autoptr (GBytes) packet = NULL;
  g_autoptr (GError) error = NULL;
  IOPacketHeader header;

  g_assert_true (g_variant_type_string_is_valid (string));
  g_assert_true (g_variant_type_is_tuple (type));
  plain = g_variant_ref_sink (g_variant_new_from_data (type, NULL, 0, FALSE, NULL, NULL));
  sent = g_variant_get_normal_form (plain);
  packet = _io_packet_build (kind, opcode, kind == IO_PACKET_EVENT ? 0 : 3, 0, sent, &error);
  g_assert_no_error (error);
  parse_bytes (packet, &header, &body);
  g_assert_cmpuint (header.opcode, ==, opcode);
  g_assert_cmpvariant (body, sent);
}

static void
test_every_message (void)
{
  for (guint opcode = 0; opcode <= G_MAXUINT16; opcode++)
    {
      gboolean calls = _io_packet_get_body_type (IO_PACKET_CALL, opcode) != NULL;
      gboolean replies = _io_packet_get_body_type (IO_PACKET_REPLY, opcode) != NULL;
      gboolean events = _io_packet_get_body_type (IO_PACKET_EVENT, opcode) != NULL;

      g_assert_true (calls == replies && !(calls && events));
      for (int kind = IO_PACKET_CALL; kind <= IO_PACKET_EVENT; kind++)
        if (_io_packet_get_body_type (kind, opcode) != NULL)
          check_message (kind, opcode);
    }

  g_assert_nonnull (_io_packet_get_body_type (IO_PACKET_EVENT, IO_OPCODE_ATTRIBUTES));
  g_assert_null (_io_packet_get_body_type (0, IO_OPCODE_HELLO));
}

static void
test_empty_body (void)
{
  g_autoptr (GBytes) packet = _io_packet_build (IO_PACKET_CALL, IO_OPCODE_START, 1, 0, NULL, NULL);
  g_autoptr (GVariant) body = NULL;
  IOPacketHeader header;
  guint8 bytes[IO_PROTOCOL_HEADER_SIZE];

  /* GVariant's empty tuple is one zero byte. */
  g_assert_cmpuint (g_bytes_get_size (packet), ==, IO_PROTOCOL_HEADER_SIZE + 1);
  parse_bytes (packet, &header, &body);
  g_assert_cmpstr (g_variant_get_type_string (body), ==, "()");

  memcpy (bytes, g_bytes_get_data (packet, NULL), sizeof bytes);
  header.length = 0;
  memcpy (bytes, &header, sizeof header);
  assert_refused (bytes, sizeof bytes, IO_STREAM_ERROR_BAD_MESSAGE);
}

static void
test_too_large (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = g_strnfill (IO_PROTOCOL_MAX_PACKET, 'x');
  guint8 zeros[IO_PROTOCOL_MAX_PACKET + 1] = { 0 };

  g_assert_null (_io_packet_build (IO_PACKET_EVENT, IO_OPCODE_TERMINATED, 0, 0,
                                   g_variant_new ("(us)", 0, text), &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_MESSAGE_TOO_LARGE);
  assert_refused (zeros, sizeof zeros, IO_STREAM_ERROR_MESSAGE_TOO_LARGE);
}

static void
test_largest (void)
{
  g_autoptr (GBytes) packet = NULL;
  g_autoptr (GVariant) body = NULL;
  g_autofree char *text = g_strnfill (IO_PROTOCOL_MAX_PACKET - 16 - 5, 'x');
  IOPacketHeader header;

  packet = _io_packet_build (IO_PACKET_EVENT, IO_OPCODE_TERMINATED, 0, 0,
                             g_variant_new ("(us)", 0, text), NULL);
  g_assert_cmpuint (g_bytes_get_size (packet), ==, IO_PROTOCOL_MAX_PACKET);
  parse_bytes (packet, &header, &body);
}

static void
test_broken_header (void)
{
  static const struct {
    IOPacketHeader header;
    int code;
  } cases[] = {
    { { 0, IO_PACKET_CALL, IO_OPCODE_START, 1, 0, 1 }, IO_STREAM_ERROR_IPC_ERROR },
    { { 2, IO_PACKET_CALL, IO_OPCODE_START, 1, 0, 1 }, IO_STREAM_ERROR_IPC_ERROR },
    { { 1, 0, IO_OPCODE_START, 1, 0, 1 }, IO_STREAM_ERROR_IPC_ERROR },
    { { 1, 4, IO_OPCODE_START, 1, 0, 1 }, IO_STREAM_ERROR_IPC_ERROR },
    { { 1, IO_PACKET_CALL, IO_OPCODE_START, 1, 0, 0 }, IO_STREAM_ERROR_IPC_ERROR },
    { { 1, IO_PACKET_CALL, IO_OPCODE_START, 1, 0, 2 }, IO_STREAM_ERROR_IPC_ERROR },
    { { 1, IO_PACKET_CALL, IO_OPCODE_START, 1, 0, G_MAXUINT32 }, IO_STREAM_ERROR_IPC_ERROR },
    { { 1, IO_PACKET_CALL, IO_OPCODE_START, 1, 5, 1 }, IO_STREAM_ERROR_IPC_ERROR },
    { { 1, IO_PACKET_CALL, IO_OPCODE_START, 0, 0, 1 }, IO_STREAM_ERROR_IPC_ERROR },
    { { 1, IO_PACKET_EVENT, IO_OPCODE_TERMINATED, 3, 0, 1 }, IO_STREAM_ERROR_IPC_ERROR },
    { { 1, IO_PACKET_CALL, 0, 1, 0, 1 }, IO_STREAM_ERROR_BAD_MESSAGE },
    { { 1, IO_PACKET_CALL, IO_OPCODE_TERMINATED, 1, 0, 1 }, IO_STREAM_ERROR_BAD_MESSAGE },
    { { 1, IO_PACKET_CALL, G_MAXUINT16, 1, 0, 1 }, IO_STREAM_ERROR_BAD_MESSAGE },
    { { 1, IO_PACKET_CALL, IO_OPCODE_SET_MODE, 1, 0, 1 }, IO_STREAM_ERROR_BAD_MESSAGE },
    { { 1, IO_PACKET_CALL, IO_OPCODE_HELLO, 1, 0, 1 }, IO_STREAM_ERROR_BAD_MESSAGE },
  };
  guint8 packet[IO_PROTOCOL_HEADER_SIZE + 1] = { 0 };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      memcpy (packet, &cases[i].header, IO_PROTOCOL_HEADER_SIZE);
      assert_refused (packet, sizeof packet, cases[i].code);
    }
}

static void
test_every_length (void)
{
  g_autoptr (GBytes) packet = NULL;
  const guint8 *data;
  gsize size;

  packet = _io_packet_build (IO_PACKET_CALL, IO_OPCODE_HELLO, 7, 0,
                             g_variant_new_parsed ("(uint32 1, 'name', {'k': <'v'>})"), NULL);
  data = g_bytes_get_data (packet, &size);
  for (gsize cut = 0; cut < size; cut++)
    assert_refused (data, cut, IO_STREAM_ERROR_IPC_ERROR);
}

/* The header is right, the body anything: parsed, or refused in order. */
static void
test_random_bodies (void)
{
  guint8 packet[IO_PROTOCOL_MAX_PACKET];
  guint accepted = 0;

  for (guint round = 0; round < 20000; round++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) body = NULL;
      gsize length = g_test_rand_int_range (0, round % 10 == 0 ? 4081 : 64);
      IOPacketHeader header = { 1, g_test_rand_int_range (1, 4), g_test_rand_int_range (0, 70),
                                1, 0, length };

      if (header.kind == IO_PACKET_EVENT)
        header.serial = 0;
      memcpy (packet, &header, sizeof header);
      for (gsize i = 0; i < length; i++)
        packet[sizeof header + i] = round % 2 ? g_test_rand_int () : g_test_rand_int_range (0, 4);

      if (_io_packet_parse (packet, sizeof header + length, &header, &body, &error))
        {
          g_autofree char *text = g_variant_print (body, TRUE);

          g_assert_no_error (error);
          g_assert_nonnull (text);
          accepted++;
        }
      else
        g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_MESSAGE);
    }

  g_assert_cmpuint (accepted, >, 0);
}

static void
test_nested (void)
{
  g_autoptr (GBytes) packet = NULL;
  g_autoptr (GVariant) body = NULL;
  g_autoptr (GError) error = NULL;
  GVariant *nest = g_variant_new_boolean (TRUE);
  GVariantDict options;
  IOPacketHeader header;

  for (guint depth = 0; depth < 60; depth++)
    nest = g_variant_new_variant (nest);
  g_variant_dict_init (&options, NULL);
  g_variant_dict_insert_value (&options, "deep", nest);
  packet = _io_packet_build (IO_PACKET_CALL, IO_OPCODE_OPEN, 1, 0,
                             g_variant_new ("(u@a{sv})", 0, g_variant_dict_end (&options)),
                             &error);
  g_assert_no_error (error);
  parse_bytes (packet, &header, &body);
}

static void
test_error_reply (void)
{
  g_autoptr (GError) ours = g_error_new (IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY, "Busy with %s", "x");
  g_autoptr (GError) foreign = g_error_new (G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "No file");
  g_autoptr (GBytes) first = _io_packet_build_error (IO_OPCODE_START, 9, ours);
  g_autoptr (GBytes) second = _io_packet_build_error (999, 10, foreign);
  g_autoptr (GVariant) first_body = NULL;
  g_autoptr (GVariant) second_body = NULL;
  g_autoptr (GError) first_error = NULL;
  g_autoptr (GError) second_error = NULL;
  g_autoptr (GError) strange_error = NULL;
  IOPacketHeader header;

  parse_bytes (first, &header, &first_body);
  g_assert_cmpuint (header.serial, ==, 9);
  first_error = _io_packet_to_error (&header, first_body);
  g_assert_error (first_error, IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY);
  g_assert_cmpstr (first_error->message, ==, "Busy with x");

  parse_bytes (second, &header, &second_body);
  g_assert_cmpuint (header.opcode, ==, 999);
  second_error = _io_packet_to_error (&header, second_body);
  g_assert_error (second_error, IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED);
  g_assert_cmpstr (second_error->message, ==, "No file");

  header.status = G_MAXUINT32;
  strange_error = _io_packet_to_error (&header, second_body);
  g_assert_error (strange_error, IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED);
}

static void
test_error_reply_cut (void)
{
  g_autoptr (GError) reason = NULL;
  g_autoptr (GBytes) packet = NULL;
  g_autoptr (GVariant) body = NULL;
  GString *text = g_string_new (NULL);
  IOPacketHeader header;

  for (guint i = 0; i < 5000; i++)
    g_string_append_unichar (text, 0x1F600);
  g_string_append_c (text, '\xff');
  reason = g_error_new_literal (IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED, text->str);
  g_string_free (text, TRUE);

  packet = _io_packet_build_error (IO_OPCODE_OPEN, 1, reason);
  g_assert_nonnull (packet);
  g_assert_cmpuint (g_bytes_get_size (packet), <=, IO_PROTOCOL_MAX_PACKET);
  parse_bytes (packet, &header, &body);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/packet/round-trip", test_round_trip);
  g_test_add_func ("/packet/every-message", test_every_message);
  g_test_add_func ("/packet/empty-body", test_empty_body);
  g_test_add_func ("/packet/too-large", test_too_large);
  g_test_add_func ("/packet/largest", test_largest);
  g_test_add_func ("/packet/broken-header", test_broken_header);
  g_test_add_func ("/packet/every-length", test_every_length);
  g_test_add_func ("/packet/random-bodies", test_random_bodies);
  g_test_add_func ("/packet/nested", test_nested);
  g_test_add_func ("/packet/error-reply", test_error_reply);
  g_test_add_func ("/packet/error-reply-cut", test_error_reply_cut);

  return g_test_run ();
}
