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

gboolean
_io_service_publish (IOService  *self,
                     gboolean    again,
                     GError    **error)
{
  IOServicePrivate *priv = _io_service_get_private (self);
  g_autoptr (GVariant) attributes = io_service_copy_attributes (self);

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
