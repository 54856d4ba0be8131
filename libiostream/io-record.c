/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-record-private.h"

#include <string.h>

/* A header in the byte order of the machine, and a GVariant. The writer does
 * not wait for readers: whoever reads while it writes finds that the checksum
 * is wrong, and is told of the end of the write by the kernel. */

#define MAGIC     0x63524f49u   /* "IORc" */
#define VERSION   1u
#define BODY_TYPE ((const GVariantType *) "(asa{sv})")

typedef struct {
  guint32 magic;
  guint32 version;
  guint32 length;         /* of the body */
  guint32 checksum;       /* of all that follows, body included */
  guint64 id;
  gint64  time;
  guint32 registrations;
  guint32 flags;
} Header;

G_STATIC_ASSERT (sizeof (Header) == 40);

#define CHECKED_FROM G_STRUCT_OFFSET (Header, id)

/* FNV-1a. Against torn writes, not against anybody. */
static guint32
calculate_checksum (const guint8 *bytes,
                    gsize         size)
{
  guint32 sum = 0x811c9dc5u;

  for (gsize i = 0; i < size; i++)
    sum = (sum ^ bytes[i]) * 0x01000193u;

  return sum;
}

static void
record_clear (gpointer data)
{
  IORecord *self = data;

  g_strfreev (self->classes);
  g_clear_pointer (&self->attributes, g_variant_unref);
}

IORecord *
_io_record_new (char     **classes,
                GVariant  *attributes)
{
  IORecord *self = g_atomic_rc_box_new0 (IORecord);

  self->classes = classes;
  self->attributes = g_variant_ref_sink (attributes);

  return self;
}

IORecord *
_io_record_ref (IORecord *self)
{
  return g_atomic_rc_box_acquire (self);
}

void
_io_record_unref (IORecord *self)
{
  g_atomic_rc_box_release_full (self, record_clear);
}

static GVariant *
build_body (IORecord *self)
{
  return g_variant_ref_sink (g_variant_new ("(^as@a{sv})", self->classes, self->attributes));
}

void
_io_record_leave_out_attributes (IORecord *self)
{
  g_variant_unref (self->attributes);
  self->attributes = g_variant_ref_sink (g_variant_new_parsed ("@a{sv} {}"));
  self->flags |= IO_RECORD_NO_ATTRIBUTES;
}

GBytes *
_io_record_encode (IORecord *self)
{
  g_autoptr (GVariant) body = build_body (self);
  Header header = { .magic = MAGIC, .version = VERSION, .id = self->id, .time = self->time,
                    .registrations = self->registrations };
  guint8 *bytes;
  gsize size;

  if (g_variant_get_size (body) > IO_RECORD_MAX_SIZE - sizeof header)
    {
      _io_record_leave_out_attributes (self);
      g_variant_unref (body);
      body = build_body (self);
    }
  header.flags = self->flags;
  header.length = g_variant_get_size (body);
  size = sizeof header + header.length;
  if (size > IO_RECORD_MAX_SIZE)
    return NULL;

  bytes = g_malloc (size);
  memcpy (bytes, &header, sizeof header);
  g_variant_store (body, bytes + sizeof header);
  header.checksum = calculate_checksum (bytes + CHECKED_FROM, size - CHECKED_FROM);
  memcpy (bytes, &header, sizeof header);

  return g_bytes_new_take (bytes, size);
}

static gboolean
is_header (const Header *header,
           const guint8 *bytes,
           gsize         size)
{
  return header->magic == MAGIC && header->version == VERSION &&
         header->length <= size - sizeof *header &&
         header->checksum == calculate_checksum (bytes + CHECKED_FROM,
                                                 sizeof *header - CHECKED_FROM + header->length);
}

/* They are printed and compared: names of types, and nothing else. */
static gboolean
are_classes (char **classes)
{
  guint n = g_strv_length (classes);

  if (n == 0 || n > IO_RECORD_MAX_CLASSES)
    return FALSE;

  for (guint i = 0; i < n; i++)
    {
      if (classes[i][0] == '\0')
        return FALSE;
      for (const char *p = classes[i]; *p != '\0'; p++)
        if (!g_ascii_isalnum (*p) && strchr ("_-+", *p) == NULL)
          return FALSE;
    }

  return TRUE;
}

IORecord *
_io_record_decode (gconstpointer data,
                   gsize         size)
{
  const guint8 *bytes = data;
  g_autoptr (GVariant) body = NULL;
  g_autoptr (GVariant) attributes = NULL;
  g_auto (GStrv) classes = NULL;
  IORecord *self;
  Header header;
  gpointer copy;

  if (size < sizeof header)
    return NULL;
  memcpy (&header, bytes, sizeof header);
  if (!is_header (&header, bytes, size))
    return NULL;

  copy = g_memdup2 (bytes + sizeof header, header.length);
  body = g_variant_ref_sink (g_variant_new_from_data (BODY_TYPE, copy, header.length, FALSE,
                                                      g_free, copy));
  if (!g_variant_is_normal_form (body))
    return NULL;
  g_variant_get (body, "(^as@a{sv})", &classes, &attributes);
  if (!are_classes (classes))
    return NULL;

  self = _io_record_new (g_steal_pointer (&classes), attributes);
  self->id = header.id;
  self->time = header.time;
  self->registrations = header.registrations;
  self->flags = header.flags;

  return self;
}
