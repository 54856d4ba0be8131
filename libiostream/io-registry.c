/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-registry.h"

#include "io-fork-private.h"
#include "io-matching.h"
#include "io-names-private.h"
#include "io-registry-private.h"

/**
 * SECTION:io-registry
 * @title: IORegistry
 * @short_description: Which services there are, and which come and go
 *
 * An #IORegistry tells which services of this user satisfy a matching (see
 * io_matching_check()), in this and in all other processes, and tells when
 * such services come, change and go.
 *
 * # Life cycle
 *
 * From its construction on the registry knows the services that exist, in the
 * order in which they were registered: io_registry_get_services() and the
 * #GListModel that it is have them at once. Nobody can have connected to its
 * signals by then, so #IORegistry::published and #IORegistry::matched come for
 * them too, in the first turn of the main loop, before anything that happened
 * since. There is no gap between those that exist and those that will come,
 * none comes twice, and none is lost however many come at once.
 *
 * A service is one registration of a name. It is published whenever its owner
 * calls io_service_register(), which can be more than once; it is matched
 * once, when it begins to satisfy the matching, be it by a change of its
 * attributes; and for one that was matched either #IORegistry::unmatched comes,
 * if its attributes change again, or #IORegistry::terminated, if it ends. If
 * another owner takes the name, the old entry is terminated before the new one
 * is published.
 *
 * What happens between two turns of the main loop is seen as one change: of a
 * service that came and went meanwhile, nothing is told.
 *
 * # Ownership
 *
 * The registry holds its entries, and whoever is given one can keep it. It is
 * enough to drop the last reference of the registry to end it.
 *
 * # Threads
 *
 * A registry belongs to the main context that was the thread-default one at its
 * construction: signals come from there, and methods are called there. In a
 * forked child it is empty and tells nothing.
 *
 * # Failure
 *
 * The registry talks to no owner, so that none can hold it up. That an owner
 * is killed is seen as soon as the kernel has ended its process; one that is
 * stopped is still there. What is in the runtime directory and is no service is
 * passed over. Where the system has no inotify left (a user has 128 of them by
 * default), the registry looks twice a second.
 *
 * It answers to IOServiceAddMatchingNotification() of Apple's IOKitLib and to
 * IOService::addMatchingNotification, without their arming by an iterator, their
 * limit of 1,024 services at once, and their order, in which the newest comes
 * first.
 *
 * Since: 1.0
 */

/**
 * IORegistry:
 *
 * Which services there are, and which come and go.
 *
 * Since: 1.0
 */
static void initable_iface_init   (GInitableIface      *iface);
static void list_model_iface_init (GListModelInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (IORegistry, io_registry, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE, initable_iface_init)
                               G_IMPLEMENT_INTERFACE (G_TYPE_LIST_MODEL, list_model_iface_init))

enum {
  PROP_0,
  PROP_MATCHING,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static guint signals[IO_REGISTRY_N_SIGNALS];

static gboolean
is_forked (IORegistry *self)
{
  return self->forks != _io_fork_count ();
}

void
_io_registry_emit (IORegistry       *self,
                   IORegistrySignal  signal,
                   IORegistryEntry  *entry)
{
  g_signal_emit (self, signals[signal], 0, entry);
}

static gboolean
io_registry_initable_init (GInitable     *initable,
                           GCancellable  *cancellable,
                           GError       **error)
{
  IORegistry *self = IO_REGISTRY (initable);

  if (self->error == NULL)
    return TRUE;

  g_propagate_error (error, g_error_copy (self->error));
  return FALSE;
}

static void
initable_iface_init (GInitableIface *iface)
{
  iface->init = io_registry_initable_init;
}

static GType
io_registry_get_item_type (GListModel *model)
{
  return IO_TYPE_REGISTRY_ENTRY;
}

static guint
io_registry_get_n_items (GListModel *model)
{
  IORegistry *self = IO_REGISTRY (model);

  return is_forked (self) ? 0 : self->services->len;
}

static gpointer
io_registry_get_item (GListModel *model,
                      guint       position)
{
  IORegistry *self = IO_REGISTRY (model);

  if (position >= io_registry_get_n_items (model))
    return NULL;

  return g_object_ref (g_ptr_array_index (self->services, position));
}

static void
list_model_iface_init (GListModelInterface *iface)
{
  iface->get_item_type = io_registry_get_item_type;
  iface->get_n_items = io_registry_get_n_items;
  iface->get_item = io_registry_get_item;
}

static void
io_registry_set_property (GObject      *object,
                          guint         prop_id,
                          const GValue *value,
                          GParamSpec   *pspec)
{
  IORegistry *self = IO_REGISTRY (object);

  switch (prop_id)
    {
    case PROP_MATCHING:
      self->matching = g_value_dup_variant (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
io_registry_get_property (GObject    *object,
                          guint       prop_id,
                          GValue     *value,
                          GParamSpec *pspec)
{
  IORegistry *self = IO_REGISTRY (object);

  switch (prop_id)
    {
    case PROP_MATCHING:
      g_value_set_variant (value, self->matching);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
io_registry_constructed (GObject *object)
{
  IORegistry *self = IO_REGISTRY (object);

  G_OBJECT_CLASS (io_registry_parent_class)->constructed (object);

  self->directory = _io_names_dup_directory ();
  _io_registry_start (self, &self->error);
}

static void
io_registry_dispose (GObject *object)
{
  IORegistry *self = IO_REGISTRY (object);

  if (self->watch != NULL)
    {
      g_source_destroy (self->watch);
      g_clear_pointer (&self->watch, g_source_unref);
    }
  g_clear_pointer (&self->untold, g_ptr_array_unref);

  G_OBJECT_CLASS (io_registry_parent_class)->dispose (object);
}

static void
io_registry_finalize (GObject *object)
{
  IORegistry *self = IO_REGISTRY (object);

  g_hash_table_unref (self->touched_set);
  g_queue_clear_full (&self->touched, g_free);
  g_ptr_array_unref (self->services);
  g_hash_table_unref (self->known);
  g_clear_error (&self->error);
  g_clear_pointer (&self->matching, g_variant_unref);
  g_free (self->directory);

  G_OBJECT_CLASS (io_registry_parent_class)->finalize (object);
}

static guint
new_signal (const char *name)
{
  return g_signal_new (name, IO_TYPE_REGISTRY, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                       G_TYPE_NONE, 1, IO_TYPE_REGISTRY_ENTRY);
}

static void
install_signals_of_coming (void)
{
  /**
   * IORegistry::published:
   * @self: a registry
   * @entry: a service that satisfies the matching
   *
   * The service was registered, or registered again. Apple:
   * kIOPublishNotification; the first one for an @entry is that of
   * kIOFirstPublishNotification.
   *
   * Since: 1.0
   */
  signals[IO_REGISTRY_SIGNAL_PUBLISHED] = new_signal ("published");
  /**
   * IORegistry::matched:
   * @self: a registry
   * @entry: a service
   *
   * The service begins to satisfy the matching: with its registration, just
   * after #IORegistry::published, or because its attributes have changed.
   * Apple: kIOMatchedNotification, kIOFirstMatchNotification.
   *
   * Since: 1.0
   */
  signals[IO_REGISTRY_SIGNAL_MATCHED] = new_signal ("matched");
  /**
   * IORegistry::changed:
   * @self: a registry
   * @entry: a service that satisfies the matching, as before
   *
   * The attributes of the service have changed.
   *
   * Since: 1.0
   */
  signals[IO_REGISTRY_SIGNAL_CHANGED] = new_signal ("changed");
}

static void
install_signals_of_going (void)
{
  /**
   * IORegistry::unmatched:
   * @self: a registry
   * @entry: a service that was matched
   *
   * The attributes of the service have changed, and it no longer satisfies the
   * matching. It may be matched again later.
   *
   * Since: 1.0
   */
  signals[IO_REGISTRY_SIGNAL_UNMATCHED] = new_signal ("unmatched");
  /**
   * IORegistry::terminated:
   * @self: a registry
   * @entry: a service that was matched, inactive by now
   *
   * The service is gone: its owner has terminated it, or is dead. Apple:
   * kIOTerminatedNotification.
   *
   * Since: 1.0
   */
  signals[IO_REGISTRY_SIGNAL_TERMINATED] = new_signal ("terminated");
}

static void
io_registry_class_init (IORegistryClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->set_property = io_registry_set_property;
  object_class->get_property = io_registry_get_property;
  object_class->constructed = io_registry_constructed;
  object_class->dispose = io_registry_dispose;
  object_class->finalize = io_registry_finalize;

  /**
   * IORegistry:matching:
   *
   * Which services are told, of type a{sv}; %NULL for all.
   *
   * Since: 1.0
   */
  properties[PROP_MATCHING] =
    g_param_spec_variant ("matching", NULL, NULL, G_VARIANT_TYPE_ANY, NULL,
                          G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY |
                          G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);
  g_object_class_install_properties (object_class, N_PROPS, properties);

  install_signals_of_coming ();
  install_signals_of_going ();
}

static void
io_registry_init (IORegistry *self)
{
  self->forks = _io_fork_count ();
  self->known = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, g_object_unref);
  self->services = g_ptr_array_new_with_free_func (g_object_unref);
  self->touched_set = g_hash_table_new (g_str_hash, g_str_equal);
}

/**
 * io_registry_new:
 * @matching: (nullable): which services to tell, %NULL for all; a floating one
 *   is consumed
 * @error: return location for an error
 *
 * Makes a registry that belongs to the thread-default main context.
 *
 * Fails with %IO_STREAM_ERROR_BAD_ARGUMENT if io_matching_check() refuses
 * @matching, with %IO_STREAM_ERROR_NOT_PERMITTED if the runtime directory is not
 * there and cannot be made, belongs to somebody else, or can be written by
 * others, and with %IO_STREAM_ERROR_NO_RESOURCES or %IO_STREAM_ERROR_IO_ERROR if
 * the system cannot do it.
 *
 * Any thread. Apple: IOServiceAddMatchingNotification,
 * IOService::addMatchingNotification.
 *
 * Returns: (transfer full): the new registry, or %NULL
 * Since: 1.0
 */
IORegistry *
io_registry_new (GVariant  *matching,
                 GError   **error)
{
  g_autoptr (GVariant) owned = matching != NULL ? g_variant_ref_sink (matching) : NULL;

  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_initable_new (IO_TYPE_REGISTRY, NULL, error, "matching", owned, NULL);
}

/**
 * io_registry_get_matching:
 * @self: a registry
 *
 * Gets #IORegistry:matching. Any thread.
 *
 * Returns: (transfer none) (nullable): the matching
 * Since: 1.0
 */
GVariant *
io_registry_get_matching (IORegistry *self)
{
  g_return_val_if_fail (IO_IS_REGISTRY (self), NULL);

  return self->matching;
}

/**
 * io_registry_get_services:
 * @self: a registry
 *
 * Gets the services that satisfy the matching, as far as @self has seen: those
 * that it has as a #GListModel.
 *
 * In the thread of the registry.
 *
 * Returns: (transfer container) (element-type IORegistryEntry): the services, in the
 *   order in which they came
 * Since: 1.0
 */
GPtrArray *
io_registry_get_services (IORegistry *self)
{
  GPtrArray *services;

  g_return_val_if_fail (IO_IS_REGISTRY (self), NULL);

  services = g_ptr_array_new_with_free_func (g_object_unref);
  for (guint i = 0; !is_forked (self) && i < self->services->len; i++)
    g_ptr_array_add (services, g_object_ref (g_ptr_array_index (self->services, i)));

  return services;
}

/**
 * io_registry_lookup_name:
 * @self: a registry
 * @name: a name
 *
 * Finds the service that has @name, if it satisfies the matching.
 *
 * In the thread of the registry.
 *
 * Returns: (transfer none) (nullable): the service, or %NULL if there is none
 * Since: 1.0
 */
IORegistryEntry *
io_registry_lookup_name (IORegistry *self,
                         const char *name)
{
  IORegistryEntry *entry;

  g_return_val_if_fail (IO_IS_REGISTRY (self), NULL);
  g_return_val_if_fail (name != NULL, NULL);

  if (is_forked (self))
    return NULL;

  entry = g_hash_table_lookup (self->known, name);
  return entry != NULL && g_ptr_array_find (self->services, entry, NULL) ? entry : NULL;
}
