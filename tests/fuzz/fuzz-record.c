/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Anything may stand in the lock file of a name: it is no record, or one that
 * can be matched, printed and made again. The checksum is put right first,
 * since it does not defend against anybody. */

#include "fuzz.h"

#include <string.h>

#include "libiostream/io-record-private.h"
#include "libiostream/io-registry-private.h"

#define HEADER_SIZE 40

static void
put_right (guint8 *bytes,
           gsize   size)
{
  guint32 sum = 0x811c9dc5u;
  guint32 length;

  if (size < HEADER_SIZE)
    return;
  memcpy (&length, bytes + 8, sizeof length);
  if (length > size - HEADER_SIZE)
    return;

  for (gsize i = 16; i < HEADER_SIZE + length; i++)
    sum = (sum ^ bytes[i]) * 0x01000193u;
  memcpy (bytes + 12, &sum, sizeof sum);
}

static void
check_record (IORecord *record)
{
  g_autoptr (IORegistryEntry) entry = _io_registry_entry_new ("x", record);
  g_autofree char *text = g_variant_print (record->attributes, TRUE);
  g_autoptr (GVariant) matching = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (IORecord) again = NULL;

  matching = g_variant_ref_sink (g_variant_new_parsed ("{'IOPropertyMatch': <%@a{sv}>}",
                                                       record->attributes));
  g_assert_true (io_registry_entry_conforms_to (entry, record->classes[0]));
  g_assert_true (g_utf8_validate (text, -1, NULL));
  io_registry_entry_matches (entry, matching);
  io_registry_entry_matches (entry, record->attributes);

  bytes = _io_record_encode (record);
  g_assert_nonnull (bytes);
  again = _io_record_decode (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  g_assert_nonnull (again);
  g_assert_cmpuint (again->id, ==, record->id);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data,
                        size_t         size)
{
  g_autofree guint8 *copy = g_memdup2 (data, size);
  g_autoptr (IORecord) record = NULL;

  put_right (copy, size);
  record = _io_record_decode (copy, size);
  if (record != NULL)
    {
      /* It has memory of its own. */
      memset (copy, 0xff, size);
      check_record (record);
    }

  return 0;
}
