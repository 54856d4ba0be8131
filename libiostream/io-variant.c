/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-variant-private.h"

#include <string.h>

/* Each level is copied, so there are few. */
#define MAX_DEPTH 4

static GVariant *rebuild (GVariant *value,
                          guint     depth);

/* 0 if not every pattern of bits is a value, or it is no number. */
static gsize
get_number_size (char type)
{
  switch (type)
    {
    case 'y':
      return 1;
    case 'n':
    case 'q':
      return 2;
    case 'i':
    case 'u':
    case 'h':
      return 4;
    case 'x':
    case 't':
    case 'd':
      return 8;
    default:
      return 0;
    }
}

static gboolean
is_number_array (const char *type)
{
  return type[0] == 'a' && get_number_size (type[1]) > 0;
}

static GVariant *
rebuild_array (GVariant   *value,
               const char *type)
{
  g_autoptr (GBytes) bytes = NULL;

  if (g_variant_get_size (value) % get_number_size (type[1]) != 0)
    return NULL;

  bytes = g_variant_get_data_as_bytes (value);

  return g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (type), bytes, TRUE));
}

static GVariant *
rebuild_tuple (GVariant *value,
               guint     depth)
{
  g_autoptr (GPtrArray) children = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
  gsize n = g_variant_n_children (value);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (value, i);
      GVariant *again = rebuild (child, depth + 1);

      if (again == NULL)
        return NULL;
      g_ptr_array_add (children, again);
    }

  return g_variant_ref_sink (g_variant_new_tuple ((GVariant **) children->pdata, n));
}

static GVariant *
rebuild_variant (GVariant *value,
                 guint     depth)
{
  g_autoptr (GVariant) child = g_variant_get_variant (value);
  g_autoptr (GVariant) again = rebuild (child, depth + 1);

  return again != NULL ? g_variant_ref_sink (g_variant_new_variant (again)) : NULL;
}

/* What is made of good children is good; whether it is what was there, the
 * caller sees. */
static GVariant *
rebuild (GVariant *value,
         guint     depth)
{
  const char *type = g_variant_get_type_string (value);

  if (is_number_array (type))
    return rebuild_array (value, type);
  if (depth < MAX_DEPTH && type[0] == '(')
    return rebuild_tuple (value, depth);
  if (depth < MAX_DEPTH && type[0] == 'v')
    return rebuild_variant (value, depth);

  return g_variant_is_normal_form (value) ? g_variant_ref (value) : NULL;
}

static gboolean
is_same (GVariant *value,
         GVariant *other)
{
  gsize size = g_variant_get_size (value);
  gconstpointer bytes = g_variant_get_data (value);

  /* A value of fixed size whose memory has another one has none. */
  return g_variant_get_size (other) == size &&
         (size == 0 || (bytes != NULL && memcmp (bytes, g_variant_get_data (other), size) == 0));
}

GVariant *
_io_variant_to_trusted (GVariant *value)
{
  g_autoptr (GVariant) again = rebuild (value, 0);

  return again != NULL && is_same (value, again) ? g_steal_pointer (&again) : NULL;
}

GVariant *
_io_variant_to_normal (GVariant *value)
{
  GVariant *trusted = _io_variant_to_trusted (value);

  return trusted != NULL ? trusted : g_variant_get_normal_form (value);
}

static gsize
get_walked_size (GVariant *value,
                 guint     depth)
{
  const char *type = g_variant_get_type_string (value);
  gboolean is_tuple = depth < MAX_DEPTH && type[0] == '(';
  gboolean is_variant = depth < MAX_DEPTH && type[0] == 'v';
  gsize sum = 0, n = is_tuple || is_variant ? g_variant_n_children (value) : 0;

  if (is_number_array (type))
    return 0;
  if (!is_tuple && !is_variant)
    return g_variant_get_size (value);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (value, i);

      sum += get_walked_size (child, depth + 1);
    }

  return sum;
}

gsize
_io_variant_get_walked_size (GVariant *value)
{
  return get_walked_size (value, 0);
}
