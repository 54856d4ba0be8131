/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-record-private.h"
#include "io-registry.h"
#include "io-registry-entry.h"

G_BEGIN_DECLS

typedef enum {
  IO_REGISTRY_SIGNAL_PUBLISHED,
  IO_REGISTRY_SIGNAL_MATCHED,
  IO_REGISTRY_SIGNAL_CHANGED,
  IO_REGISTRY_SIGNAL_UNMATCHED,
  IO_REGISTRY_SIGNAL_TERMINATED,
  IO_REGISTRY_N_SIGNALS
} IORegistrySignal;

struct _IORegistry {
  GObject     parent_instance;

  GVariant   *matching;
  char       *directory;
  GError     *error;      /* why it does not work */
  GSource    *watch;
  guint       forks;
  GHashTable *known;      /* of names, theirs, to entries, with references */
  GPtrArray  *services;   /* those that match, as they came */
  GPtrArray  *untold;     /* those of construction; NULL after the first turn */
  GQueue      touched;    /* of char *, to be looked at */
  GHashTable *touched_set;
};

/* Looks at everything, and goes on doing so. */
gboolean         _io_registry_start            (IORegistry       *self,
                                                GError          **error);
void             _io_registry_emit             (IORegistry       *self,
                                                IORegistrySignal  signal,
                                                IORegistryEntry  *entry);

/* A @matching that io_matching_check() has let through, or NULL. */
gboolean         _io_matching_is_satisfied     (GVariant        *matching,
                                                const char      *name,
                                                const IORecord  *record);

IORegistryEntry *_io_registry_entry_new        (const char      *name,
                                                IORecord        *record);
const IORecord  *_io_registry_entry_peek       (IORegistryEntry *self);
void             _io_registry_entry_set_record (IORegistryEntry *self,
                                                IORecord        *record);
void             _io_registry_entry_end        (IORegistryEntry *self);
/* Orders pointers to entries: the oldest registration first. */
int              _io_registry_entry_compare    (gconstpointer    a,
                                                gconstpointer    b);

G_END_DECLS
