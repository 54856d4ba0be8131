/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-registry-entry.h"

#include "io-connection.h"
#include "io-matching.h"
#include "io-registry-private.h"

/**
 * SECTION:io-registry-entry
 * @title: IORegistryEntry
 * @short_description: A service, as it is seen from outside
 *
 * An #IORegistryEntry tells about a service that is registered, in this or
 * another process: its name, its class and what that derives from, its owner
 * and its attributes. To know these takes no connection, and the owner neither
 * answers for it nor hears of it.
 *
 * # Life cycle
 *
 * Entries come from an #IORegistry. One stands for one registration of a name:
 * if the owner dies and another takes the name, that is another entry, with
 * another io_registry_entry_get_id(). The registry keeps its entries up to date
 * (with "notify" for #IORegistryEntry:attributes and
 * #IORegistryEntry:inactive), as long as it lives itself; those of
 * io_registry_list_services() and io_registry_wait_for_service() stay as they
 * are.
 *
 * # Threads
 *
 * An entry is used in the thread of its registry. One that has no registry can
 * be used by one thread at a time.
 *
 * # Trust
 *
 * What an entry tells is what the owner says about itself, except for the
 * process, which the kernel tells.
 *
 * It answers to the handle of a service that a client has in Apple's IOKitLib
 * (io_service_t), with the functions that ask such a handle.
 *
 * Since: 1.0
 */

/**
 * IORegistryEntry:
 *
 * A service, as it is seen from outside.
 *
 * Since: 1.0
 */
struct _IORegistryEntry {
  GObject    parent_instance;

  char      *name;
  IORecord  *record;
  gboolean   inactive;
};

G_DEFINE_FINAL_TYPE (IORegistryEntry, io_registry_entry, G_TYPE_OBJECT)

enum {
  PROP_0,
  PROP_NAME,
  PROP_SERVICE_CLASS,
  PROP_ID,
  PROP_PID,
  PROP_ATTRIBUTES,
  PROP_INACTIVE,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

IORegistryEntry *
_io_registry_entry_new (const char *name,
                        IORecord   *record)
{
  IORegistryEntry *self = g_object_new (IO_TYPE_REGISTRY_ENTRY, NULL);

  g_free (self->name);
  self->name = g_strdup (name);
  _io_record_unref (self->record);
  self->record = _io_record_ref (record);

  return self;
}

const IORecord *
_io_registry_entry_peek (IORegistryEntry *self)
{
  return self->record;
}

void
_io_registry_entry_set_record (IORegistryEntry *self,
                               IORecord        *record)
{
  g_autoptr (IORecord) old = g_steal_pointer (&self->record);

  self->record = _io_record_ref (record);
  if (!g_variant_equal (old->attributes, record->attributes))
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_ATTRIBUTES]);
}

void
_io_registry_entry_end (IORegistryEntry *self)
{
  self->inactive = TRUE;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_INACTIVE]);
}

int
_io_registry_entry_compare (gconstpointer a,
                            gconstpointer b)
{
  const IORegistryEntry *one = *(const IORegistryEntry * const *) a;
  const IORegistryEntry *other = *(const IORegistryEntry * const *) b;

  if (one->record->time != other->record->time)
    return one->record->time < other->record->time ? -1 : 1;

  return g_strcmp0 (one->name, other->name);
}

static void
io_registry_entry_get_property (GObject    *object,
                                guint       prop_id,
                                GValue     *value,
                                GParamSpec *pspec)
{
  IORegistryEntry *self = IO_REGISTRY_ENTRY (object);

  switch (prop_id)
    {
    case PROP_NAME:
      g_value_set_string (value, self->name);
      break;
    case PROP_SERVICE_CLASS:
      g_value_set_string (value, self->record != NULL ? self->record->classes[0] : NULL);
      break;
    case PROP_ID:
      g_value_set_uint64 (value, self->record != NULL ? self->record->id : 0);
      break;
    case PROP_PID:
      g_value_set_int (value, self->record != NULL ? self->record->pid : 0);
      break;
    case PROP_ATTRIBUTES:
      g_value_set_variant (value, self->record != NULL ? self->record->attributes : NULL);
      break;
    case PROP_INACTIVE:
      g_value_set_boolean (value, self->inactive);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
io_registry_entry_finalize (GObject *object)
{
  IORegistryEntry *self = IO_REGISTRY_ENTRY (object);

  g_clear_pointer (&self->record, _io_record_unref);
  g_free (self->name);

  G_OBJECT_CLASS (io_registry_entry_parent_class)->finalize (object);
}

static void
install_properties (GObjectClass *object_class)
{
  GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;

  /**
   * IORegistryEntry:name:
   *
   * The name of the service.
   *
   * Since: 1.0
   */
  properties[PROP_NAME] = g_param_spec_string ("name", NULL, NULL, NULL, flags);
  /**
   * IORegistryEntry:service-class:
   *
   * The class of the service.
   *
   * Since: 1.0
   */
  properties[PROP_SERVICE_CLASS] = g_param_spec_string ("service-class", NULL, NULL, NULL, flags);
  /**
   * IORegistryEntry:id:
   *
   * The number of this registration.
   *
   * Since: 1.0
   */
  properties[PROP_ID] = g_param_spec_uint64 ("id", NULL, NULL, 0, G_MAXUINT64, 0, flags);
  /**
   * IORegistryEntry:pid:
   *
   * The process that owns the service; 0 if it is in another namespace.
   *
   * Since: 1.0
   */
  properties[PROP_PID] = g_param_spec_int ("pid", NULL, NULL, 0, G_MAXINT, 0, flags);
  /**
   * IORegistryEntry:attributes:
   *
   * The attributes of the service, of type a{sv}.
   *
   * Since: 1.0
   */
  properties[PROP_ATTRIBUTES] =
    g_param_spec_variant ("attributes", NULL, NULL, G_VARIANT_TYPE_VARDICT, NULL, flags);
  /**
   * IORegistryEntry:inactive:
   *
   * Whether the service is gone.
   *
   * Since: 1.0
   */
  properties[PROP_INACTIVE] = g_param_spec_boolean ("inactive", NULL, NULL, FALSE, flags);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
io_registry_entry_class_init (IORegistryEntryClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = io_registry_entry_get_property;
  object_class->finalize = io_registry_entry_finalize;

  install_properties (object_class);
}

static void
io_registry_entry_init (IORegistryEntry *self)
{
  /* Languages that construct one by themselves get one of no service. */
  self->name = g_strdup ("");
  self->record = _io_record_new (g_new0 (char *, 1), g_variant_new_parsed ("@a{sv} {}"));
}

/**
 * io_registry_entry_get_name:
 * @self: an entry
 *
 * Gets #IORegistryEntry:name. In the thread of the entry. Apple:
 * IORegistryEntryGetName.
 *
 * Returns: (transfer none): the name
 * Since: 1.0
 */
const char *
io_registry_entry_get_name (IORegistryEntry *self)
{
  g_return_val_if_fail (IO_IS_REGISTRY_ENTRY (self), NULL);

  return self->name;
}

/**
 * io_registry_entry_get_service_class:
 * @self: an entry
 *
 * Gets #IORegistryEntry:service-class. In the thread of the entry. Apple:
 * IOObjectGetClass, IOObjectCopyClass.
 *
 * Returns: (transfer none): the name of the class
 * Since: 1.0
 */
const char *
io_registry_entry_get_service_class (IORegistryEntry *self)
{
  g_return_val_if_fail (IO_IS_REGISTRY_ENTRY (self), NULL);

  return self->record->classes[0];
}

/**
 * io_registry_entry_get_id:
 * @self: an entry
 *
 * Gets #IORegistryEntry:id, which no two registrations have in common. In the
 * thread of the entry. Apple: IORegistryEntryGetRegistryEntryID.
 *
 * Returns: the number of the registration
 * Since: 1.0
 */
guint64
io_registry_entry_get_id (IORegistryEntry *self)
{
  g_return_val_if_fail (IO_IS_REGISTRY_ENTRY (self), 0);

  return self->record->id;
}

/**
 * io_registry_entry_get_pid:
 * @self: an entry
 *
 * Gets #IORegistryEntry:pid. In the thread of the entry.
 *
 * Returns: the process, or 0 if it cannot be known
 * Since: 1.0
 */
int
io_registry_entry_get_pid (IORegistryEntry *self)
{
  g_return_val_if_fail (IO_IS_REGISTRY_ENTRY (self), 0);

  return self->record->pid;
}

/**
 * io_registry_entry_copy_attributes:
 * @self: an entry
 *
 * Gets #IORegistryEntry:attributes. It is empty if the owner has set more than
 * 64 KiB of them: a connection may still tell them one by one. In the thread of
 * the entry. Apple: IORegistryEntryCreateCFProperties.
 *
 * Returns: (transfer full): a dictionary of type a{sv}
 * Since: 1.0
 */
GVariant *
io_registry_entry_copy_attributes (IORegistryEntry *self)
{
  g_return_val_if_fail (IO_IS_REGISTRY_ENTRY (self), NULL);

  return g_variant_ref (self->record->attributes);
}

/**
 * io_registry_entry_get_attribute:
 * @self: an entry
 * @key: which attribute
 *
 * Gets an attribute. In the thread of the entry. Apple:
 * IORegistryEntryCreateCFProperty.
 *
 * Returns: (transfer full) (nullable): its value, or %NULL if there is none
 * Since: 1.0
 */
GVariant *
io_registry_entry_get_attribute (IORegistryEntry *self,
                                 const char      *key)
{
  g_return_val_if_fail (IO_IS_REGISTRY_ENTRY (self), NULL);
  g_return_val_if_fail (key != NULL, NULL);

  return g_variant_lookup_value (self->record->attributes, key, NULL);
}

/**
 * io_registry_entry_conforms_to:
 * @self: an entry
 * @class_name: the name of a class
 *
 * Tells whether the service is of that class, or of one that derives from it.
 * The class need not be known in this process.
 *
 * In the thread of the entry. Apple: IOObjectConformsTo.
 *
 * Returns: %TRUE if it is
 * Since: 1.0
 */
gboolean
io_registry_entry_conforms_to (IORegistryEntry *self,
                               const char      *class_name)
{
  g_return_val_if_fail (IO_IS_REGISTRY_ENTRY (self), FALSE);
  g_return_val_if_fail (class_name != NULL, FALSE);

  return g_strv_contains ((const char * const *) self->record->classes, class_name);
}

/**
 * io_registry_entry_matches:
 * @self: an entry
 * @matching: (nullable): a matching, which is not consumed
 *
 * Tells whether the service satisfies @matching at this moment, as far as
 * @self knows. What io_matching_check() refuses is satisfied by none.
 *
 * In the thread of the entry. Apple: IOServiceMatchPropertyTable.
 *
 * Returns: %TRUE if it does
 * Since: 1.0
 */
gboolean
io_registry_entry_matches (IORegistryEntry *self,
                           GVariant        *matching)
{
  g_return_val_if_fail (IO_IS_REGISTRY_ENTRY (self), FALSE);

  return io_matching_check (matching, NULL) &&
         _io_matching_is_satisfied (matching, self->name, self->record);
}

/**
 * io_registry_entry_is_inactive:
 * @self: an entry
 *
 * Gets #IORegistryEntry:inactive. In the thread of the entry.
 *
 * Returns: %TRUE if the registry of @self has seen the service go
 * Since: 1.0
 */
gboolean
io_registry_entry_is_inactive (IORegistryEntry *self)
{
  g_return_val_if_fail (IO_IS_REGISTRY_ENTRY (self), FALSE);

  return self->inactive;
}

/**
 * io_registry_entry_create_connection:
 * @self: an entry
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Connects to the service, as io_connection_new_for_name() does. For a stream,
 * give io_registry_entry_get_name() to io_stream_connection_new_for_name().
 *
 * Fails with %IO_STREAM_ERROR_NOT_FOUND if @self is inactive, and as that
 * function does. If another owner has taken the name and @self does not know
 * it yet, the connection is to that one.
 *
 * In the thread of the entry. Apple: IOServiceOpen.
 *
 * Returns: (transfer full): the connection, or %NULL
 * Since: 1.0
 */
IOConnection *
io_registry_entry_create_connection (IORegistryEntry  *self,
                                     GCancellable     *cancellable,
                                     GError          **error)
{
  g_return_val_if_fail (IO_IS_REGISTRY_ENTRY (self), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!self->inactive)
    return io_connection_new_for_name (self->name, cancellable, error);

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND,
               "Cannot connect to service “%s”: it is gone", self->name);
  return NULL;
}
