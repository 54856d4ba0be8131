/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-registry-private.h"

#include "io-matching.h"
#include "io-names-private.h"
#include "io-names-watch-private.h"

/* Follows what happens to the names, and tells what that means. */

/* Looks in one turn, so that a crowd does not hold up the main loop. */
#define MAX_LOOKS 512

/* What a look at a name found. */
typedef struct {
  char        *name;
  IORecord    *record;
  IONameState  state;
} Look;

static void
look_clear (gpointer data)
{
  Look *look = data;

  g_free (look->name);
  g_clear_pointer (&look->record, _io_record_unref);
}

/* Ends first, so that a service that moves to another name is not there twice. */
static int
look_compare (gconstpointer a,
              gconstpointer b)
{
  const Look *one = a;
  const Look *other = b;

  if (one->record == NULL || other->record == NULL)
    return (one->record != NULL) - (other->record != NULL);
  if (one->record->time != other->record->time)
    return one->record->time < other->record->time ? -1 : 1;

  return g_strcmp0 (one->name, other->name);
}

static void
add_service (IORegistry      *self,
             IORegistryEntry *entry)
{
  g_ptr_array_add (self->services, g_object_ref (entry));
  g_list_model_items_changed (G_LIST_MODEL (self), self->services->len - 1, 0, 1);
}

static gboolean
remove_service (IORegistry      *self,
                IORegistryEntry *entry)
{
  guint position;

  if (!g_ptr_array_find (self->services, entry, &position))
    return FALSE;

  g_ptr_array_remove_index (self->services, position);
  g_list_model_items_changed (G_LIST_MODEL (self), position, 1, 0);
  return TRUE;
}

static gboolean
is_wanted (IORegistry     *self,
           const Look     *look)
{
  return _io_matching_is_satisfied (self->matching, look->name, look->record);
}

static void
end_entry (IORegistry      *self,
           IORegistryEntry *entry)
{
  G_GNUC_UNUSED g_autoptr (IORegistryEntry) kept = g_object_ref (entry);

  g_hash_table_remove (self->known, io_registry_entry_get_name (entry));
  _io_registry_entry_end (entry);
  if (remove_service (self, entry))
    _io_registry_emit (self, IO_REGISTRY_SIGNAL_TERMINATED, entry);
}

static void
begin_entry (IORegistry *self,
             const Look *look)
{
  g_autoptr (IORegistryEntry) entry = _io_registry_entry_new (look->name, look->record);

  g_hash_table_insert (self->known, (gpointer) io_registry_entry_get_name (entry),
                       g_object_ref (entry));
  if (!is_wanted (self, look))
    return;

  add_service (self, entry);
  _io_registry_emit (self, IO_REGISTRY_SIGNAL_PUBLISHED, entry);
  _io_registry_emit (self, IO_REGISTRY_SIGNAL_MATCHED, entry);
}

static void
update_entry (IORegistry      *self,
              IORegistryEntry *entry,
              const Look      *look)
{
  G_GNUC_UNUSED g_autoptr (IORegistryEntry) kept = g_object_ref (entry);
  const IORecord *old = _io_registry_entry_peek (entry);
  gboolean again = old->registrations != look->record->registrations;
  gboolean changed = !g_variant_equal (old->attributes, look->record->attributes);
  gboolean was_wanted = g_ptr_array_find (self->services, entry, NULL);
  gboolean wanted = is_wanted (self, look);

  _io_registry_entry_set_record (entry, look->record);
  if (was_wanted && !wanted && remove_service (self, entry))
    _io_registry_emit (self, IO_REGISTRY_SIGNAL_UNMATCHED, entry);
  if (!was_wanted && wanted)
    add_service (self, entry);

  if (wanted && again)
    _io_registry_emit (self, IO_REGISTRY_SIGNAL_PUBLISHED, entry);
  if (wanted && !was_wanted)
    _io_registry_emit (self, IO_REGISTRY_SIGNAL_MATCHED, entry);
  else if (wanted && changed)
    _io_registry_emit (self, IO_REGISTRY_SIGNAL_CHANGED, entry);
}

static void
apply_look (IORegistry *self,
            const Look *look)
{
  IORegistryEntry *entry = g_hash_table_lookup (self->known, look->name);

  /* The end of the write will be told. */
  if (look->state == IO_NAME_UNCLEAR)
    return;

  if (entry != NULL &&
      (look->record == NULL || look->record->id != _io_registry_entry_peek (entry)->id))
    {
      end_entry (self, entry);
      entry = NULL;
    }
  if (look->record == NULL)
    return;

  if (entry == NULL)
    begin_entry (self, look);
  else
    update_entry (self, entry, look);
}

static void
touch (IORegistry *self,
       const char *name)
{
  char *copy;

  if (g_hash_table_contains (self->touched_set, name))
    return;

  copy = g_strdup (name);
  g_hash_table_add (self->touched_set, copy);
  g_queue_push_tail (&self->touched, copy);
}

static void
touch_all (IORegistry *self)
{
  g_autoptr (GPtrArray) names = _io_names_scan (self->directory, NULL);
  GHashTableIter iter;
  gpointer name;

  g_hash_table_iter_init (&iter, self->known);
  while (g_hash_table_iter_next (&iter, &name, NULL))
    touch (self, name);
  for (guint i = 0; names != NULL && i < names->len; i++)
    touch (self, g_ptr_array_index (names, i));
}

static void
look_at_touched (IORegistry *self,
                 guint       max)
{
  g_autoptr (GArray) looks = g_array_new (FALSE, FALSE, sizeof (Look));

  g_array_set_clear_func (looks, look_clear);
  while (self->touched.length > 0 && looks->len < max)
    {
      Look look = { .name = g_queue_pop_head (&self->touched) };

      g_hash_table_remove (self->touched_set, look.name);
      look.state = _io_names_look (self->directory, look.name, &look.record);
      g_array_append_val (looks, look);
    }

  g_array_sort (looks, look_compare);
  for (guint i = 0; i < looks->len; i++)
    apply_look (self, &g_array_index (looks, Look, i));
}

static void
tell_first (IORegistry *self)
{
  g_autoptr (GPtrArray) untold = g_steal_pointer (&self->untold);

  for (guint i = 0; untold != NULL && i < untold->len; i++)
    {
      _io_registry_emit (self, IO_REGISTRY_SIGNAL_PUBLISHED, g_ptr_array_index (untold, i));
      _io_registry_emit (self, IO_REGISTRY_SIGNAL_MATCHED, g_ptr_array_index (untold, i));
    }
}

static gboolean
watch_cb (GPtrArray *names,
          gpointer   user_data)
{
  G_GNUC_UNUSED g_autoptr (IORegistry) self = g_object_ref (user_data);

  tell_first (self);
  if (names == NULL)
    touch_all (self);
  for (guint i = 0; names != NULL && i < names->len; i++)
    touch (self, g_ptr_array_index (names, i));
  look_at_touched (self, MAX_LOOKS);

  return self->touched.length > 0;
}

/* The watch first, so that nothing happens unseen between the two. */
gboolean
_io_registry_start (IORegistry  *self,
                    GError     **error)
{
  g_autoptr (GMainContext) context = g_main_context_ref_thread_default ();

  if (!io_matching_check (self->matching, error))
    return FALSE;
  self->watch = _io_names_watch_new (self->directory, error);
  if (self->watch == NULL)
    return FALSE;
  g_source_set_callback (self->watch, G_SOURCE_FUNC (watch_cb), self, NULL);
  g_source_attach (self->watch, context);

  touch_all (self);
  look_at_touched (self, G_MAXUINT);
  self->untold = io_registry_get_services (self);
  return TRUE;
}
