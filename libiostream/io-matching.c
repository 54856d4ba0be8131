/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-matching.h"

#include "io-registry-private.h"

#include <string.h>

/**
 * SECTION:io-matching
 * @title: Matching
 * @short_description: Which services are meant
 *
 * A matching is a dictionary of type a{sv} that tells which services are meant.
 * Every key of it that the library knows must be satisfied:
 *
 * - %IO_MATCHING_CLASS: the class of the service, or one of its ancestors
 * - %IO_MATCHING_NAME: its name
 * - %IO_MATCHING_PROPERTIES: some of its attributes, with their values
 * - %IO_MATCHING_PROPERTIES_EXIST: some of its attributes
 * - %IO_MATCHING_ENTRY_ID: one registration of one service
 *
 * The names of the keys are Apple's. As there, other keys are ignored, and a
 * matching that is empty, or %NULL, is satisfied by every service. But a key
 * that is known and has a value of the wrong type, for which Apple's matching is
 * never satisfied, is an error here, %IO_STREAM_ERROR_BAD_ARGUMENT.
 *
 * # Names of classes
 *
 * The name of a class is that of its #GType. For a class that is written in
 * Python it has the module in it, as in `__main__+Lamp`, unless the class says
 * `__gtype_name__ = 'Lamp'`.
 *
 * # Values of attributes
 *
 * A dictionary among the attributes is compared on the keys that the matching
 * names, however deep; what else it has does not matter. Integers are equal if
 * their values are, of whatever width they may be, as with OSNumber. Everything
 * else is equal if type and value are.
 *
 * # Ownership
 *
 * The functions that make a matching return a floating reference, so that it
 * can be given right to whoever takes one: the matching is consumed, as with
 * IOServiceMatching() of Apple. Larger ones are made with a #GVariantDict, or
 * in Python as `GLib.Variant('a{sv}', {...})`.
 *
 * # Threads
 *
 * Any thread.
 */

static gboolean
is_integer (GVariant *value)
{
  return strchr ("ynqiuxt", g_variant_classify (value)) != NULL;
}

/* The sign, and the value as far as it fits. */
static guint64
get_integer (GVariant *value,
             gboolean *negative)
{
  gint64 number = 0;

  *negative = FALSE;
  switch (g_variant_classify (value))
    {
    case G_VARIANT_CLASS_BYTE:
      return g_variant_get_byte (value);
    case G_VARIANT_CLASS_UINT16:
      return g_variant_get_uint16 (value);
    case G_VARIANT_CLASS_UINT32:
      return g_variant_get_uint32 (value);
    case G_VARIANT_CLASS_UINT64:
      return g_variant_get_uint64 (value);
    case G_VARIANT_CLASS_INT16:
      number = g_variant_get_int16 (value);
      break;
    case G_VARIANT_CLASS_INT32:
      number = g_variant_get_int32 (value);
      break;
    default:
      number = g_variant_get_int64 (value);
    }

  *negative = number < 0;
  return (guint64) number;
}

static gboolean
is_same_integer (GVariant *a,
                 GVariant *b)
{
  gboolean a_negative;
  gboolean b_negative;

  return get_integer (a, &a_negative) == get_integer (b, &b_negative) && a_negative == b_negative;
}

static GVariant *
unbox (GVariant *value)
{
  GVariant *inner = g_variant_ref (value);

  while (g_variant_is_of_type (inner, G_VARIANT_TYPE_VARIANT))
    {
      GVariant *outer = inner;

      inner = g_variant_get_variant (outer);
      g_variant_unref (outer);
    }

  return inner;
}

static gboolean is_part_of (GVariant *wanted,
                            GVariant *dictionary);

/* As deep as the matching is, and that is a GVariant, which has a limit. */
static gboolean
is_satisfied_by (GVariant *wanted,
                 GVariant *found)
{
  g_autoptr (GVariant) a = unbox (wanted);
  g_autoptr (GVariant) b = unbox (found);

  if (g_variant_is_of_type (a, G_VARIANT_TYPE_VARDICT) &&
      g_variant_is_of_type (b, G_VARIANT_TYPE_VARDICT))
    return is_part_of (a, b);
  if (is_integer (a) && is_integer (b))
    return is_same_integer (a, b);

  return g_variant_equal (a, b);
}

static gboolean
is_part_of (GVariant *wanted,
            GVariant *dictionary)
{
  GVariantIter iter;
  const char *key;
  GVariant *value;

  g_variant_iter_init (&iter, wanted);
  while (g_variant_iter_next (&iter, "{&sv}", &key, &value))
    {
      g_autoptr (GVariant) owned = value;
      g_autoptr (GVariant) found = g_variant_lookup_value (dictionary, key, NULL);

      if (found == NULL || !is_satisfied_by (owned, found))
        return FALSE;
    }

  return TRUE;
}

static gboolean
is_known (const char     *name,
          const IORecord *record,
          GVariant       *value)
{
  return g_strv_contains ((const char * const *) record->classes, g_variant_get_string (value, NULL));
}

static gboolean
is_named (const char     *name,
          const IORecord *record,
          GVariant       *value)
{
  g_autofree const char **patterns = NULL;

  if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING))
    return g_pattern_match_simple (g_variant_get_string (value, NULL), name);

  patterns = g_variant_get_strv (value, NULL);
  for (gsize i = 0; patterns[i] != NULL; i++)
    if (g_pattern_match_simple (patterns[i], name))
      return TRUE;

  return FALSE;
}

static gboolean
has_properties (const char     *name,
                const IORecord *record,
                GVariant       *value)
{
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_VARDICT))
    return is_part_of (value, record->attributes);

  for (gsize i = 0; i < g_variant_n_children (value); i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (value, i);
      g_autoptr (GVariant) dictionary = unbox (child);

      if (is_part_of (dictionary, record->attributes))
        return TRUE;
    }

  return FALSE;
}

static gboolean
has_property (const IORecord *record,
              const char     *key)
{
  g_autoptr (GVariant) found = g_variant_lookup_value (record->attributes, key, NULL);

  return found != NULL;
}

static gboolean
have_properties (const char     *name,
                 const IORecord *record,
                 GVariant       *value)
{
  g_autofree const char **keys = NULL;

  if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING))
    return has_property (record, g_variant_get_string (value, NULL));

  keys = g_variant_get_strv (value, NULL);
  for (gsize i = 0; keys[i] != NULL; i++)
    if (!has_property (record, keys[i]))
      return FALSE;

  return TRUE;
}

static gboolean
is_entry (const char     *name,
          const IORecord *record,
          GVariant       *value)
{
  gboolean negative;

  return get_integer (value, &negative) == record->id && !negative;
}

static gboolean
is_string (GVariant *value)
{
  return g_variant_is_of_type (value, G_VARIANT_TYPE_STRING);
}

static gboolean
is_string_or_strings (GVariant *value)
{
  return is_string (value) || g_variant_is_of_type (value, G_VARIANT_TYPE_STRING_ARRAY);
}

static gboolean
is_dictionary_or_dictionaries (GVariant *value)
{
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_VARDICT))
    return TRUE;
  if (!g_variant_is_of_type (value, G_VARIANT_TYPE ("aa{sv}")) &&
      !g_variant_is_of_type (value, G_VARIANT_TYPE ("av")))
    return FALSE;

  for (gsize i = 0; i < g_variant_n_children (value); i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (value, i);
      g_autoptr (GVariant) dictionary = unbox (child);

      if (!g_variant_is_of_type (dictionary, G_VARIANT_TYPE_VARDICT))
        return FALSE;
    }

  return TRUE;
}

static const struct {
  const char *key;
  const char *types;
  gboolean  (*is_right)  (GVariant       *value);
  gboolean  (*satisfied) (const char     *name,
                          const IORecord *record,
                          GVariant       *value);
} criteria[] = {
  { IO_MATCHING_CLASS, "s", is_string, is_known },
  { IO_MATCHING_NAME, "s or as", is_string_or_strings, is_named },
  { IO_MATCHING_PROPERTIES, "a{sv} or an array of them", is_dictionary_or_dictionaries,
    has_properties },
  { IO_MATCHING_PROPERTIES_EXIST, "s or as", is_string_or_strings, have_properties },
  { IO_MATCHING_ENTRY_ID, "t", is_integer, is_entry },
};

gboolean
_io_matching_is_satisfied (GVariant       *matching,
                           const char     *name,
                           const IORecord *record)
{
  for (gsize i = 0; matching != NULL && i < G_N_ELEMENTS (criteria); i++)
    {
      g_autoptr (GVariant) found = g_variant_lookup_value (matching, criteria[i].key, NULL);
      g_autoptr (GVariant) value = found != NULL ? unbox (found) : NULL;

      if (value != NULL &&
          (!criteria[i].is_right (value) || !criteria[i].satisfied (name, record, value)))
        return FALSE;
    }

  return TRUE;
}

static GVariant *
new_matching (const char *key,
              GVariant   *value)
{
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert_value (&dict, key, value);

  return g_variant_dict_end (&dict);
}

/**
 * io_matching_new_for_class:
 * @class_name: the name of a class, such as "IOStream"
 *
 * Makes a matching for services of a class, and of those that derive from it.
 *
 * Any thread. Apple: IOServiceMatching, IOService::serviceMatching.
 *
 * Returns: (transfer none): a floating dictionary with %IO_MATCHING_CLASS
 * Since: 1.0
 */
GVariant *
io_matching_new_for_class (const char *class_name)
{
  g_return_val_if_fail (class_name != NULL && g_utf8_validate (class_name, -1, NULL), NULL);

  return new_matching (IO_MATCHING_CLASS, g_variant_new_string (class_name));
}

/**
 * io_matching_new_for_name:
 * @name: a name, in which * stands for any characters and ? for any one
 *
 * Makes a matching for services by their names.
 *
 * Any thread. Apple: IOServiceNameMatching, IOService::nameMatching.
 *
 * Returns: (transfer none): a floating dictionary with %IO_MATCHING_NAME
 * Since: 1.0
 */
GVariant *
io_matching_new_for_name (const char *name)
{
  g_return_val_if_fail (name != NULL && g_utf8_validate (name, -1, NULL), NULL);

  return new_matching (IO_MATCHING_NAME, g_variant_new_string (name));
}

/**
 * io_matching_new_for_property:
 * @key: an attribute
 * @value: its value; a floating one is consumed
 *
 * Makes a matching for services that have an attribute with a value.
 *
 * Any thread. Apple: IOService::propertyMatching.
 *
 * Returns: (transfer none): a floating dictionary with %IO_MATCHING_PROPERTIES
 * Since: 1.0
 */
GVariant *
io_matching_new_for_property (const char *key,
                              GVariant   *value)
{
  g_return_val_if_fail (key != NULL && g_utf8_validate (key, -1, NULL), NULL);
  g_return_val_if_fail (value != NULL, NULL);

  return new_matching (IO_MATCHING_PROPERTIES, new_matching (key, value));
}

/**
 * io_matching_new_for_entry_id:
 * @id: from io_registry_entry_get_id()
 *
 * Makes a matching for one registration of one service: another owner of its
 * name does not satisfy it.
 *
 * Any thread. Apple: IORegistryEntryIDMatching,
 * IOService::registryEntryIDMatching.
 *
 * Returns: (transfer none): a floating dictionary with %IO_MATCHING_ENTRY_ID
 * Since: 1.0
 */
GVariant *
io_matching_new_for_entry_id (guint64 id)
{
  return new_matching (IO_MATCHING_ENTRY_ID, g_variant_new_uint64 (id));
}

/**
 * io_matching_check:
 * @matching: (nullable): a matching
 * @error: return location for an error
 *
 * Tells whether @matching can be used. It is not consumed.
 *
 * Fails with %IO_STREAM_ERROR_BAD_ARGUMENT if it is no a{sv}, or if a key that
 * the library knows has a value of the wrong type.
 *
 * Any thread.
 *
 * Returns: %TRUE if it can
 * Since: 1.0
 */
gboolean
io_matching_check (GVariant  *matching,
                   GError   **error)
{
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (matching == NULL)
    return TRUE;
  if (!g_variant_is_of_type (matching, G_VARIANT_TYPE_VARDICT))
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
                   "Cannot match with a value of type %s, only with a{sv}",
                   g_variant_get_type_string (matching));
      return FALSE;
    }

  for (gsize i = 0; i < G_N_ELEMENTS (criteria); i++)
    {
      g_autoptr (GVariant) found = g_variant_lookup_value (matching, criteria[i].key, NULL);
      g_autoptr (GVariant) value = found != NULL ? unbox (found) : NULL;

      if (value == NULL || criteria[i].is_right (value))
        continue;
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
                   "Cannot match %s with a value of type %s, only with %s", criteria[i].key,
                   g_variant_get_type_string (value), criteria[i].types);
      return FALSE;
    }

  return TRUE;
}
