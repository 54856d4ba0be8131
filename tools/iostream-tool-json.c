/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "iostream-tool.h"

#include <math.h>

/* A GVariant as JSON: attributes are of any type their owner likes. */

static void
append_string (GString    *json,
               const char *text)
{
  g_string_append_c (json, '"');
  for (const char *p = text; *p != '\0'; p++)
    {
      if (*p == '"' || *p == '\\')
        g_string_append_printf (json, "\\%c", *p);
      else if ((guchar) *p < 0x20 || *p == 0x7f)
        g_string_append_printf (json, "\\u%04x", *p);
      else
        g_string_append_c (json, *p);
    }
  g_string_append_c (json, '"');
}

static void
append_double (GString *json,
               double   value)
{
  char buffer[G_ASCII_DTOSTR_BUF_SIZE];

  if (isfinite (value))
    g_string_append (json, g_ascii_formatd (buffer, sizeof buffer, "%.15g", value));
  else
    g_string_append (json, "null");
}

static void append_variant (GString  *json,
                            GVariant *value);

static void
append_children (GString  *json,
                 GVariant *value)
{
  gboolean is_object = g_variant_is_of_type (value, G_VARIANT_TYPE ("a{s*}"));
  gsize n_children = g_variant_n_children (value);

  g_string_append_c (json, is_object ? '{' : '[');
  for (gsize i = 0; i < n_children; i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (value, i);

      if (i > 0)
        g_string_append (json, ", ");
      append_variant (json, child);
    }
  g_string_append_c (json, is_object ? '}' : ']');
}

static void
append_entry (GString  *json,
              GVariant *value)
{
  g_autoptr (GVariant) key = g_variant_get_child_value (value, 0);
  g_autoptr (GVariant) content = g_variant_get_child_value (value, 1);

  if (!g_variant_is_of_type (key, G_VARIANT_TYPE_STRING))
    {
      append_children (json, value);
      return;
    }

  append_variant (json, key);
  g_string_append (json, ": ");
  append_variant (json, content);
}

static void
append_number (GString  *json,
               GVariant *value)
{
  g_autofree char *text = g_variant_print (value, FALSE);

  /* Bytes are the one integer that is printed as hexadecimal. */
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_BYTE))
    g_string_append_printf (json, "%u", g_variant_get_byte (value));
  else
    g_string_append (json, text);
}

static void
append_variant (GString  *json,
                GVariant *value)
{
  g_autoptr (GVariant) content = NULL;

  switch (g_variant_classify (value))
    {
    case G_VARIANT_CLASS_STRING:
    case G_VARIANT_CLASS_OBJECT_PATH:
    case G_VARIANT_CLASS_SIGNATURE:
      append_string (json, g_variant_get_string (value, NULL));
      break;

    case G_VARIANT_CLASS_DOUBLE:
      append_double (json, g_variant_get_double (value));
      break;

    case G_VARIANT_CLASS_VARIANT:
      content = g_variant_get_variant (value);
      append_variant (json, content);
      break;

    case G_VARIANT_CLASS_MAYBE:
      content = g_variant_get_maybe (value);
      if (content != NULL)
        append_variant (json, content);
      else
        g_string_append (json, "null");
      break;

    case G_VARIANT_CLASS_ARRAY:
    case G_VARIANT_CLASS_TUPLE:
      append_children (json, value);
      break;

    case G_VARIANT_CLASS_DICT_ENTRY:
      append_entry (json, value);
      break;

    case G_VARIANT_CLASS_BOOLEAN:
    case G_VARIANT_CLASS_BYTE:
    case G_VARIANT_CLASS_INT16:
    case G_VARIANT_CLASS_UINT16:
    case G_VARIANT_CLASS_INT32:
    case G_VARIANT_CLASS_UINT32:
    case G_VARIANT_CLASS_INT64:
    case G_VARIANT_CLASS_UINT64:
    case G_VARIANT_CLASS_HANDLE:
    default:
      append_number (json, value);
      break;
    }
}

void
tool_print_json (GVariant *value)
{
  g_autoptr (GString) json = g_string_new (NULL);

  append_variant (json, value);
  tool_print ("%s\n", json->str);
}
