/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-service-internal-private.h"

/* What everybody can know of a registered service without asking it; the other
 * side of this is the registry. */

G_LOCK_DEFINE_STATIC (publishing);

static char **
list_classes (IOService *self)
{
  GStrvBuilder *builder = g_strv_builder_new ();
  GType type = G_OBJECT_TYPE (self);
  char **classes;

  g_strv_builder_add (builder, g_type_name (type));
  while (type != IO_TYPE_SERVICE)
    {
      type = g_type_parent (type);
      g_strv_builder_add (builder, g_type_name (type));
    }
  classes = g_strv_builder_end (builder);
  g_strv_builder_unref (builder);

  return classes;
}

static int
compare_keys (gconstpointer a,
              gconstpointer b)
{
  return g_strcmp0 (*(const char * const *) a, *(const char * const *) b);
}

/* In one order, so that the same attributes are the same record. */
static GVariant *
copy_sorted (IOService *self)
{
  g_autoptr (GVariant) attributes =
    _io_attributes_copy_readable (_io_service_get_private (self)->attributes);
  g_autoptr (GPtrArray) keys = g_ptr_array_new ();
  GVariantBuilder builder;
  GVariantIter iter;
  const char *key;

  g_variant_iter_init (&iter, attributes);
  while (g_variant_iter_next (&iter, "{&sv}", &key, NULL))
    g_ptr_array_add (keys, (gpointer) key);
  g_ptr_array_sort (keys, compare_keys);

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  for (guint i = 0; i < keys->len; i++)
    {
      g_autoptr (GVariant) value = g_variant_lookup_value (attributes, keys->pdata[i], NULL);

      g_variant_builder_add (&builder, "{sv}", keys->pdata[i], value);
    }

  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

gboolean
_io_service_publish (IOService  *self,
                     gboolean    again,
                     GError    **error)
{
  IOServicePrivate *priv = _io_service_get_private (self);
  g_autoptr (GVariant) attributes = copy_sorted (self);

  if (!_io_door_publish (priv->door, list_classes (self), attributes, again, error))
    return FALSE;

  g_atomic_int_set (&priv->published, TRUE);
  return TRUE;
}

static gboolean
publish_cb (gpointer user_data)
{
  IOService *self = user_data;
  IOServicePrivate *priv = _io_service_get_private (self);
  g_autoptr (GError) error = NULL;

  G_LOCK (publishing);
  g_clear_pointer (&priv->publishing, g_source_unref);
  G_UNLOCK (publishing);

  /* The next change tries again. */
  if (_io_service_in_own_process (self) && !_io_service_publish (self, FALSE, &error))
    g_debug ("%s", error->message);
  return G_SOURCE_REMOVE;
}

void
_io_service_publish_soon (IOService *self)
{
  IOServicePrivate *priv = _io_service_get_private (self);

  if (!g_atomic_int_get (&priv->published))
    return;

  G_LOCK (publishing);
  if (priv->publishing == NULL && g_atomic_int_get (&priv->published))
    {
      priv->publishing = g_idle_source_new ();
      g_source_set_static_name (priv->publishing, "[iostream] publish");
      g_source_set_priority (priv->publishing, G_PRIORITY_DEFAULT);
      g_source_set_callback (priv->publishing, publish_cb, self, NULL);
      g_source_attach (priv->publishing, priv->context);
    }
  G_UNLOCK (publishing);
}

void
_io_service_unpublish (IOService *self)
{
  IOServicePrivate *priv = _io_service_get_private (self);

  g_atomic_int_set (&priv->published, FALSE);
  G_LOCK (publishing);
  if (priv->publishing != NULL)
    {
      g_source_destroy (priv->publishing);
      g_clear_pointer (&priv->publishing, g_source_unref);
    }
  G_UNLOCK (publishing);
  _io_door_unpublish (priv->door);
}
