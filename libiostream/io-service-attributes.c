/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-service-internal-private.h"

#include "io-user-client.h"

#include <unistd.h>

/**
 * io_service_set_attribute:
 * @self: a service
 * @key: which attribute
 * @value: (nullable): its value, or %NULL to remove it
 *
 * Sets something that clients can know about the service, such as the size of
 * its pictures. A floating @value is taken over. What is nested more than 120
 * deep is not there for them. Who asks for all attributes
 * gets them in one message of 8,192 bytes; if they do not fit, none.
 *
 * Clients that watch (see io_connection_watch_attributes()) are told what has
 * changed at the next turn of the context of the service, once for however many
 * changes, and later if they do not read; they can see up to 1,024 attributes,
 * each up to about 8,000 bytes with its name. The library adds "pid" and "uid"
 * for clients.
 *
 * Any thread. Apple: IORegistryEntry::setProperty.
 *
 * Since: 1.0
 */
void
io_service_set_attribute (IOService  *self,
                          const char *key,
                          GVariant   *value)
{
  g_return_if_fail (IO_IS_SERVICE (self));
  g_return_if_fail (key != NULL && g_utf8_validate (key, -1, NULL));

  if (_io_attributes_set (_io_service_get_private (self)->attributes, key, value) &&
      _io_service_in_own_process (self))
    _io_service_schedule (self, 0);
  _io_service_publish_soon (self);
}

/**
 * io_service_get_attribute:
 * @self: a service
 * @key: which attribute
 *
 * Gets an attribute. Any thread. Apple: IORegistryEntry::copyProperty.
 *
 * Returns: (transfer full) (nullable): its value, or %NULL if there is none
 * Since: 1.0
 */
GVariant *
io_service_get_attribute (IOService  *self,
                          const char *key)
{
  g_return_val_if_fail (IO_IS_SERVICE (self), NULL);
  g_return_val_if_fail (key != NULL, NULL);

  return _io_attributes_get (_io_service_get_private (self)->attributes, key);
}

/**
 * io_service_copy_attributes:
 * @self: a service
 *
 * Gets all attributes. Any thread.
 *
 * Returns: (transfer full): a dictionary of type a{sv}
 * Since: 1.0
 */
GVariant *
io_service_copy_attributes (IOService *self)
{
  g_return_val_if_fail (IO_IS_SERVICE (self), NULL);

  return _io_attributes_copy (_io_service_get_private (self)->attributes);
}

void
_io_service_track_attributes (IOService *self)
{
  IOServicePrivate *priv = _io_service_get_private (self);

  _io_attributes_track (priv->attributes, priv->watches != NULL);
}

static gboolean
io_service_real_client_set_attribute (IOService     *self,
                                      IOUserClient  *client,
                                      const char    *key,
                                      GVariant      *value,
                                      GError       **error)
{
  const char *name = io_service_get_name (self);

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_UNSUPPORTED,
               "Cannot set attribute “%s” of service “%s”: it lets no client", key,
               name != NULL ? name : "");
  return FALSE;
}

void
_io_service_class_init_attributes (IOServiceClass *klass)
{
  klass->client_set_attribute = io_service_real_client_set_attribute;
}

/* The calls. */

static gboolean
answer_set (IOService     *self,
            IOUserClient  *client,
            GVariant      *args,
            GError       **error)
{
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) local_error = NULL;
  const char *key;

  g_variant_get (args, "(&smv)", &key, &value);
  if (io_user_client_get_read_only (client))
    g_set_error (&local_error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED,
                 "Cannot set attribute “%s”: the client may only read", key);
  else if (IO_SERVICE_GET_CLASS (self)->client_set_attribute (self, client, key, value, &local_error))
    return TRUE;

  if (local_error == NULL)
    g_set_error (&local_error, IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED,
                 "%s did not set attribute “%s”", G_OBJECT_TYPE_NAME (self), key);
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

static gboolean
answer_message (IOService     *self,
                IOUserClient  *client,
                GVariant      *args,
                GError       **error)
{
  g_autoptr (GVariant) argument = NULL;
  guint type;

  g_variant_get (args, "(umv)", &type, &argument);
  return io_service_message (self, type, client, argument, error);
}

GVariant *
_io_service_answer (IOService     *self,
                    IOUserClient  *client,
                    IOOpcode       opcode,
                    GVariant      *args,
                    GError       **error)
{
  gboolean on;
  gboolean done = TRUE;

  if (opcode == IO_OPCODE_WATCH_ATTRIBUTES)
    {
      g_variant_get (args, "(b)", &on);
      _io_service_watch (self, client, on);
    }
  else if (opcode == IO_OPCODE_SET_ATTRIBUTE)
    done = answer_set (self, client, args, error);
  else
    done = answer_message (self, client, args, error);

  return done ? g_variant_new ("()") : NULL;
}

GVariant *
_io_service_build_attributes (IOService *self)
{
  IOAttributes *all = _io_service_get_private (self)->attributes;
  g_autoptr (GVariant) attributes = _io_attributes_copy_readable (all);
  GVariantDict dict;

  g_variant_dict_init (&dict, attributes);
  g_variant_dict_insert (&dict, "pid", "u", (guint) getpid ());
  g_variant_dict_insert (&dict, "uid", "u", (guint) geteuid ());

  return g_variant_dict_end (&dict);
}
