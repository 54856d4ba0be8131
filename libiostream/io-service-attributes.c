/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-service-internal-private.h"

#include <unistd.h>

/**
 * io_service_set_attribute:
 * @self: a service
 * @key: which attribute
 * @value: (nullable): its value, or %NULL to remove it
 *
 * Sets something that clients can know about the service, such as the size of
 * its pictures. A floating @value is taken over. All attributes together go
 * into one message of 8,192 bytes; if they do not fit, clients get none.
 *
 * Clients see an attribute that changes while they are connected when they ask
 * again. The library adds "pid" and "uid" for them.
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

  _io_attributes_set (_io_service_get_private (self)->attributes, key, value);
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

GVariant *
_io_service_build_attributes (IOService *self)
{
  g_autoptr (GVariant) attributes = io_service_copy_attributes (self);
  GVariantDict dict;

  g_variant_dict_init (&dict, attributes);
  g_variant_dict_insert (&dict, "pid", "u", (guint) getpid ());
  g_variant_dict_insert (&dict, "uid", "u", (guint) geteuid ());

  return g_variant_dict_end (&dict);
}
