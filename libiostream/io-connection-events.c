/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-connection-internal-private.h"

#include "io-enum-types.h"

/* What the owner says without being asked. It is taken when it comes, also
 * during a synchronous call, and told from the context in its place among the
 * answers. */

/* Of a connection that never runs its context; the oldest go first. */
#define MAX_MESSAGES 256
#define MAX_CHANGES  (2 * IO_PROTOCOL_MAX_ATTRIBUTES)

enum {
  SERVICE_MESSAGE,
  ATTRIBUTE_CHANGED,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

static gboolean
may_tell (IOConnection *self)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);

  return priv->link == IO_LINK_UP || priv->link == IO_LINK_LOST;
}

/* Messages. */

static GQuark
get_detail (guint type)
{
  g_autoptr (GEnumClass) types = g_type_class_ref (IO_TYPE_SERVICE_MESSAGE_TYPE);
  GEnumValue *value = type < IO_SERVICE_MESSAGE_FAMILY ? g_enum_get_value (types, (int) type) : NULL;

  return value != NULL ? g_quark_from_static_string (value->value_nick) : 0;
}

static void
deliver_message (IOConnection *self,
                 GVariant     *body,
                 GUnixFDList  *fds,
                 const GError *error,
                 gpointer      data)
{
  g_autoptr (GVariant) argument = NULL;
  guint type;

  if (!may_tell (self))
    return;

  g_variant_get (body, "(umv)", &type, &argument);
  g_signal_emit (self, signals[SERVICE_MESSAGE], get_detail (type), type, argument);
}

static void
drop_oldest_message (IOConnectionPrivate *priv)
{
  GList *oldest = NULL;
  guint n = 0;

  for (GList *l = priv->inbox.tail; l != NULL; l = l->prev)
    if (_io_call_is_event (l->data, IO_OPCODE_MESSAGE))
      {
        oldest = l;
        n++;
      }
  if (n < MAX_MESSAGES)
    return;

  _io_call_free (oldest->data);
  g_queue_delete_link (&priv->inbox, oldest);
}

/* Attributes. */

static void
deliver_changes (IOConnection *self,
                 GVariant     *body,
                 GUnixFDList  *fds,
                 const GError *error,
                 gpointer      data)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  g_autoptr (GHashTable) changes = g_steal_pointer (&priv->changes);
  GHashTableIter iter;
  gpointer name;

  priv->changes_due = FALSE;
  if (changes == NULL)
    return;

  g_hash_table_iter_init (&iter, changes);
  while (g_hash_table_iter_next (&iter, &name, NULL))
    {
      g_autoptr (GVariant) value = io_connection_get_attribute (self, name);

      /* Names are the owner's: no quark is made for one. */
      if (may_tell (self) && priv->watching)
        g_signal_emit (self, signals[ATTRIBUTE_CHANGED], g_quark_try_string (name), name, value);
    }
}

static GHashTable *
new_names (void)
{
  return g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
}

static gboolean
is_gone (gpointer name,
         gpointer value,
         gpointer attributes)
{
  return !g_hash_table_contains (attributes, name);
}

static void
note_change (IOConnectionPrivate *priv,
             const char          *name)
{
  if (!priv->complete)
    return;
  if (priv->changes == NULL)
    priv->changes = new_names ();
  /* Names that come and go while nobody listens. */
  if (g_hash_table_size (priv->changes) >= MAX_CHANGES)
    g_hash_table_foreach_remove (priv->changes, is_gone, priv->attributes);
  g_hash_table_add (priv->changes, g_strdup (name));
}

static void
remove_attribute (IOConnectionPrivate *priv,
                  const char          *name)
{
  g_autofree char *kept_name = g_strdup (name);

  if (g_hash_table_remove (priv->attributes, kept_name))
    note_change (priv, kept_name);
}

static void
keep_attribute (IOConnectionPrivate *priv,
                const char          *name,
                GVariant            *value)
{
  GVariant *old = g_hash_table_lookup (priv->attributes, name);

  if (priv->stale != NULL)
    g_hash_table_remove (priv->stale, name);
  if (old != NULL && g_variant_equal (old, value))
    return;
  if (old == NULL && g_hash_table_size (priv->attributes) >= IO_PROTOCOL_MAX_ATTRIBUTES)
    return;

  g_hash_table_insert (priv->attributes, g_strdup (name), g_variant_ref (value));
  note_change (priv, name);
}

static void
begin_whole (IOConnectionPrivate *priv)
{
  GHashTableIter iter;
  gpointer name;

  g_clear_pointer (&priv->stale, g_hash_table_unref);
  priv->stale = new_names ();
  g_hash_table_iter_init (&iter, priv->attributes);
  while (g_hash_table_iter_next (&iter, &name, NULL))
    g_hash_table_add (priv->stale, g_strdup (name));
}

static void
end_whole (IOConnectionPrivate *priv)
{
  g_autoptr (GHashTable) stale = g_steal_pointer (&priv->stale);
  GHashTableIter iter;
  gpointer name;

  if (stale == NULL)
    return;

  g_hash_table_iter_init (&iter, stale);
  while (g_hash_table_iter_next (&iter, &name, NULL))
    remove_attribute (priv, name);
  priv->complete = TRUE;
}

static void
take_attributes (IOConnection *self,
                 GVariant     *body)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  g_autoptr (GVariantIter) values = NULL;
  g_autoptr (GVariantIter) removed = NULL;
  const char *name;
  GVariant *value;
  guint8 part;

  /* It may have been on its way when we lost interest. */
  if (!priv->watching)
    return;

  g_variant_get (body, "(ya{sv}as)", &part, &values, &removed);
  if ((part & IO_ATTRIBUTES_FIRST) != 0)
    begin_whole (priv);
  while (g_variant_iter_loop (values, "{&sv}", &name, &value))
    keep_attribute (priv, name, value);
  while (g_variant_iter_loop (removed, "&s", &name))
    remove_attribute (priv, name);
  if ((part & IO_ATTRIBUTES_LAST) != 0)
    end_whole (priv);

  if (priv->changes == NULL || priv->changes_due)
    return;
  priv->changes_due = TRUE;
  _io_connection_push_event (self, IO_OPCODE_ATTRIBUTES, body, deliver_changes);
}

const char *
_io_connection_take_event (IOConnection         *self,
                           const IOPacketHeader *header,
                           GVariant             *body)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);

  if (!priv->heard)
    return "it speaks before it has said hello";

  switch ((int) header->opcode)
    {
    case IO_OPCODE_MESSAGE:
      drop_oldest_message (priv);
      _io_connection_push_event (self, IO_OPCODE_MESSAGE, body, deliver_message);
      return NULL;
    case IO_OPCODE_ATTRIBUTES:
      take_attributes (self, body);
      return NULL;
    default:
      return "it sends an event that nobody knows";
    }
}

void
_io_connection_init_events (IOConnection *self)
{
  _io_connection_get_private (self)->attributes =
    g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_variant_unref);
}

void
_io_connection_drop_events (IOConnection *self)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);

  g_clear_pointer (&priv->attributes, g_hash_table_unref);
  g_clear_pointer (&priv->stale, g_hash_table_unref);
  g_clear_pointer (&priv->changes, g_hash_table_unref);
}

void
_io_connection_class_init_events (IOConnectionClass *klass)
{
  /**
   * IOConnection::service-message:
   * @self: the connection
   * @type: what is said: an #IOServiceMessageType, or a number of the kind of
   *   service
   * @argument: (nullable): what goes with it
   *
   * The service tells its clients something. The detail is the name of the
   * type, as in `service-message::requesting-close`; numbers of the kind of
   * service have none. Emitted in the context of the connection, in the order
   * in which the owner said it and in its place among the answers of
   * asynchronous calls, also if it came during a synchronous call. The service
   * need not be open.
   *
   * Of a connection whose context never runs, the last 256 messages are kept.
   * Messages are lost, and the connection is not, if a client reads nothing at
   * all for long.
   *
   * It answers to a general-interest notification of IOServiceAddInterestNotification().
   *
   * Since: 1.0
   */
  signals[SERVICE_MESSAGE] =
    g_signal_new ("service-message", G_TYPE_FROM_CLASS (klass),
                  G_SIGNAL_RUN_LAST | G_SIGNAL_DETAILED,
                  G_STRUCT_OFFSET (IOConnectionClass, service_message), NULL, NULL, NULL,
                  G_TYPE_NONE, 2, G_TYPE_UINT, G_TYPE_VARIANT);

  /**
   * IOConnection::attribute-changed:
   * @self: the connection
   * @key: which attribute
   * @value: (nullable): its value now, or %NULL if it is gone
   *
   * An attribute of the service has changed. Only after
   * io_connection_watch_attributes(), and only for what changes after that.
   * The detail is the name of the attribute. Emitted in the context of the
   * connection, once for however many changes there were since. If that context
   * does not run while 2,048 attributes change, those that are gone again are
   * not told of.
   *
   * Since: 1.0
   */
  signals[ATTRIBUTE_CHANGED] =
    g_signal_new ("attribute-changed", G_TYPE_FROM_CLASS (klass),
                  G_SIGNAL_RUN_LAST | G_SIGNAL_DETAILED,
                  G_STRUCT_OFFSET (IOConnectionClass, attribute_changed), NULL, NULL, NULL,
                  G_TYPE_NONE, 2, G_TYPE_STRING, G_TYPE_VARIANT);
}
