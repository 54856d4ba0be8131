/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-attributes-private.h"

struct _IOAttributes {
  GMutex      mutex;
  GHashTable *values;   /* of char * to GVariant, under the mutex */
  GHashTable *changes;  /* names, likewise; NULL if no book is kept */
};

IOAttributes *
_io_attributes_new (void)
{
  IOAttributes *self = g_new0 (IOAttributes, 1);

  g_mutex_init (&self->mutex);
  self->values = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                        (GDestroyNotify) g_variant_unref);

  return self;
}

void
_io_attributes_free (IOAttributes *self)
{
  g_hash_table_unref (self->values);
  g_clear_pointer (&self->changes, g_hash_table_unref);
  g_mutex_clear (&self->mutex);
  g_free (self);
}

static GHashTable *
new_set (void)
{
  return g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
}

static gboolean
is_same (GVariant *a,
         GVariant *b)
{
  return a == NULL || b == NULL ? a == b : g_variant_equal (a, b);
}

gboolean
_io_attributes_set (IOAttributes *self,
                    const char   *key,
                    GVariant     *value)
{
  g_autoptr (GVariant) old = NULL;
  g_autofree char *old_key = NULL;
  gboolean noted;

  if (value != NULL)
    g_variant_ref_sink (value);

  /* What was there goes after the lock is gone. */
  g_mutex_lock (&self->mutex);
  g_hash_table_steal_extended (self->values, key, (gpointer *) &old_key, (gpointer *) &old);
  if (value != NULL)
    g_hash_table_insert (self->values, g_strdup (key), value);
  noted = self->changes != NULL && !is_same (old, value);
  if (noted)
    g_hash_table_add (self->changes, g_strdup (key));
  g_mutex_unlock (&self->mutex);

  return noted;
}

void
_io_attributes_track (IOAttributes *self,
                      gboolean      on)
{
  g_mutex_lock (&self->mutex);
  if (on && self->changes == NULL)
    self->changes = new_set ();
  else if (!on)
    g_clear_pointer (&self->changes, g_hash_table_unref);
  g_mutex_unlock (&self->mutex);
}

GHashTable *
_io_attributes_take_changes (IOAttributes *self)
{
  GHashTable *changes = NULL;

  g_mutex_lock (&self->mutex);
  if (self->changes != NULL && g_hash_table_size (self->changes) > 0)
    {
      changes = self->changes;
      self->changes = new_set ();
    }
  g_mutex_unlock (&self->mutex);

  return changes;
}

GPtrArray *
_io_attributes_list (IOAttributes *self)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  GHashTableIter iter;
  gpointer key;

  g_mutex_lock (&self->mutex);
  g_hash_table_iter_init (&iter, self->values);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    g_ptr_array_add (names, g_strdup (key));
  g_mutex_unlock (&self->mutex);

  return names;
}

GVariant *
_io_attributes_get (IOAttributes *self,
                    const char   *key)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->mutex);
  GVariant *value = g_hash_table_lookup (self->values, key);

  return value != NULL ? g_variant_ref (value) : NULL;
}

/* As part of the deepest of what attributes are sent in. */
static gboolean
is_readable (GVariant *value)
{
  g_autoptr (GVariant) whole = NULL;
  g_autoptr (GVariant) again = NULL;
  g_autoptr (GBytes) bytes = NULL;
  GVariantBuilder values;

  if (!g_variant_is_container (value))
    return TRUE;

  g_variant_builder_init (&values, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&values, "{sv}", "", value);
  whole = g_variant_ref_sink (g_variant_new ("(a{sv})", &values));
  bytes = g_variant_get_data_as_bytes (whole);
  again = g_variant_ref_sink (g_variant_new_from_bytes (g_variant_get_type (whole), bytes, FALSE));

  return g_variant_is_normal_form (again);
}

static GVariant *
make_readable (GVariant *value)
{
  g_autoptr (GVariant) normal = value != NULL ? g_variant_get_normal_form (value) : NULL;

  return normal != NULL && is_readable (normal) ? g_steal_pointer (&normal) : NULL;
}

GVariant *
_io_attributes_get_readable (IOAttributes *self,
                             const char   *key)
{
  g_autoptr (GVariant) value = _io_attributes_get (self, key);

  return make_readable (value);
}

GVariant *
_io_attributes_copy_readable (IOAttributes *self)
{
  g_autoptr (GVariant) attributes = _io_attributes_copy (self);
  GVariantBuilder builder;
  GVariantIter iter;
  const char *key;
  GVariant *value;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_iter_init (&iter, attributes);
  while (g_variant_iter_loop (&iter, "{&sv}", &key, &value))
    {
      g_autoptr (GVariant) readable = make_readable (value);

      if (readable != NULL)
        g_variant_builder_add (&builder, "{sv}", key, readable);
    }

  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

GVariant *
_io_attributes_copy (IOAttributes *self)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->mutex);
  GHashTableIter iter;
  GVariantDict dict;
  gpointer key;
  gpointer value;

  g_variant_dict_init (&dict, NULL);
  g_hash_table_iter_init (&iter, self->values);
  while (g_hash_table_iter_next (&iter, &key, &value))
    g_variant_dict_insert_value (&dict, key, value);

  return g_variant_ref_sink (g_variant_dict_end (&dict));
}
