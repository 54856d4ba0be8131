/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-service-internal-private.h"

#include "io-packet-private.h"
#include "io-user-client-private.h"

#include <string.h>
#include <unistd.h>

/* Clients that watch the attributes. What is due to one is a set of names: the
 * values are looked up when there is room to send them, so that an attribute
 * that changes faster than its client reads costs nothing. */

typedef struct {
  IOUserClient *client;    /* borrowed: the watch ends with its connection */
  GHashTable   *due;       /* names */
  gboolean      first;     /* the next packet is the first of all attributes */
  gboolean      whole;     /* all attributes are on their way */
} Watch;

/* One packet. */
typedef struct {
  GVariantBuilder  values;
  GVariantBuilder  removed;
  GPtrArray       *names;    /* borrowed from what is due */
  gsize            size;
} Part;

#define PART_SIZE (IO_PROTOCOL_MAX_PACKET - IO_PROTOCOL_HEADER_SIZE - 32)
/* Alignment, the type, and what marks the ends. */
#define ENTRY_COST 32

static Watch *
find (IOService    *self,
      IOUserClient *client)
{
  for (GList *l = _io_service_get_private (self)->watches; l != NULL; l = l->next)
    if (((Watch *) l->data)->client == client)
      return l->data;

  return NULL;
}

static void
make_all_due (IOService *self,
              Watch     *watch)
{
  g_autoptr (GPtrArray) names = _io_attributes_list (_io_service_get_private (self)->attributes);

  g_hash_table_remove_all (watch->due);
  for (guint i = 0; i < names->len; i++)
    g_hash_table_add (watch->due, g_strdup (g_ptr_array_index (names, i)));
  g_hash_table_add (watch->due, g_strdup ("pid"));
  g_hash_table_add (watch->due, g_strdup ("uid"));
  watch->first = TRUE;
  watch->whole = TRUE;
}

static GVariant *
look_up (IOService  *self,
         const char *name)
{
  if (strcmp (name, "pid") == 0)
    return g_variant_ref_sink (g_variant_new_uint32 (getpid ()));
  if (strcmp (name, "uid") == 0)
    return g_variant_ref_sink (g_variant_new_uint32 (geteuid ()));

  return _io_attributes_get_readable (_io_service_get_private (self)->attributes, name);
}

/* FALSE if there is no room for it any more. What would not even fit in a
 * packet of its own is not there for clients. */
static gboolean
add (IOService  *self,
     Part       *part,
     const char *name)
{
  g_autoptr (GVariant) value = look_up (self, name);
  gsize cost = strlen (name) + ENTRY_COST;

  if (cost > PART_SIZE)
    {
      g_ptr_array_add (part->names, (gpointer) name);
      return TRUE;
    }
  if (value != NULL)
    {
      gsize full = cost + g_variant_get_size (value) + strlen (g_variant_get_type_string (value));

      if (full > PART_SIZE)
        g_clear_pointer (&value, g_variant_unref);
      else
        cost = full;
    }
  if (part->size + cost > PART_SIZE)
    return FALSE;

  if (value != NULL)
    g_variant_builder_add (&part->values, "{sv}", name, value);
  else
    g_variant_builder_add (&part->removed, "s", name);
  part->size += cost;
  g_ptr_array_add (part->names, (gpointer) name);
  return TRUE;
}

/* FALSE if the client cannot be told now. */
static gboolean
tell_part (IOService *self,
           Watch     *watch)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  Part part = { .names = names };
  GHashTableIter iter;
  gpointer name;
  guint8 flags = watch->first ? IO_ATTRIBUTES_FIRST : 0;

  g_variant_builder_init (&part.values, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_init (&part.removed, G_VARIANT_TYPE_STRING_ARRAY);
  g_hash_table_iter_init (&iter, watch->due);
  while (g_hash_table_iter_next (&iter, &name, NULL))
    if (!add (self, &part, name))
      break;

  if (watch->whole && names->len == g_hash_table_size (watch->due))
    flags |= IO_ATTRIBUTES_LAST;
  if (!_io_user_client_offer_event (watch->client, IO_OPCODE_ATTRIBUTES,
                                    g_variant_new ("(y@a{sv}@as)", flags,
                                                   g_variant_builder_end (&part.values),
                                                   g_variant_builder_end (&part.removed)), 0, NULL))
    return FALSE;

  for (guint i = 0; i < names->len; i++)
    g_hash_table_remove (watch->due, g_ptr_array_index (names, i));
  watch->first = FALSE;
  watch->whole = watch->whole && (flags & IO_ATTRIBUTES_LAST) == 0;
  return TRUE;
}

void
_io_service_tell_attributes (IOService    *self,
                             IOUserClient *client)
{
  Watch *watch = find (self, client);

  if (watch == NULL)
    return;
  while (g_hash_table_size (watch->due) > 0)
    if (!tell_part (self, watch))
      break;
}

static void
tell_watchers (IOService  *self,
               GHashTable *changes)
{
  for (GList *l = _io_service_get_private (self)->watches; l != NULL; l = l->next)
    {
      Watch *watch = l->data;
      GHashTableIter iter;
      gpointer name;

      g_hash_table_iter_init (&iter, changes);
      while (g_hash_table_iter_next (&iter, &name, NULL))
        g_hash_table_add (watch->due, g_strdup (name));
      /* Names that come and go while nobody reads. */
      if (g_hash_table_size (watch->due) > IO_PROTOCOL_MAX_ATTRIBUTES)
        make_all_due (self, watch);
      _io_service_tell_attributes (self, watch->client);
    }
}

void
_io_service_tell_changes (IOService *self)
{
  g_autoptr (GHashTable) changes =
    _io_attributes_take_changes (_io_service_get_private (self)->attributes);

  if (changes != NULL)
    tell_watchers (self, changes);
}

static void
watch_free (Watch *watch)
{
  g_hash_table_unref (watch->due);
  g_free (watch);
}

void
_io_service_watch (IOService    *self,
                   IOUserClient *client,
                   gboolean      on)
{
  IOServicePrivate *priv = _io_service_get_private (self);
  Watch *watch = find (self, client);

  if (on && watch == NULL)
    {
      watch = g_new0 (Watch, 1);
      watch->client = client;
      watch->due = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
      priv->watches = g_list_prepend (priv->watches, watch);
    }
  else if (!on && watch != NULL)
    {
      priv->watches = g_list_remove (priv->watches, watch);
      watch_free (watch);
    }

  _io_service_track_attributes (self);
  if (!on)
    return;

  make_all_due (self, watch);
  _io_service_tell_attributes (self, client);
}
