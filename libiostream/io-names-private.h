/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

#include "io-record-private.h"

G_BEGIN_DECLS

/* A name that this process owns: its lock and its listening socket. */
typedef struct _IONameClaim IONameClaim;

/* $IOSTREAM_RUNTIME_DIR, or iostream in the user's runtime directory. Nothing
 * is made and nothing is looked at. */
char         *_io_names_dup_directory   (void);
/* BAD_ARGUMENT with the reason if @name cannot be a name. */
gboolean      _io_names_check           (const char     *name,
                                         GError        **error);
/* Where the socket of @name is, whether it exists or not; BAD_ARGUMENT as
 * above. For clients. */
char         *_io_names_dup_socket_path (const char     *name,
                                         GError        **error);

/* Makes @name ours and listens on it, from the calling thread and @context
 * (which the claim refers to). EXCLUSIVE_ACCESS if somebody has it. */
IONameClaim  *_io_names_claim           (const char     *name,
                                         GMainContext   *context,
                                         GError        **error);
/* Lets those that @mode says reach the socket. */
gboolean      _io_names_claim_set_mode  (IONameClaim    *self,
                                         guint           mode,
                                         GError        **error);
/* Borrowed; non-blocking, SOCK_SEQPACKET. */
int           _io_names_claim_peek_fd   (IONameClaim    *self);
/* Takes the name away and frees @self. In a forked child only the latter. */
void          _io_names_release         (IONameClaim    *self);

/* Is @name served by this process? @by_caller tells whether it is the calling
 * thread that would have to serve it: whoever waits for it then, waits for
 * ever. Any thread. */
gboolean      _io_names_find_local      (const char     *name,
                                         gboolean       *by_caller);
/* The names that have a living owner, sorted. */
char        **_io_names_list            (GError        **error);

/* Makes it, with what it stands in, or checks that it is only ours. */
gboolean      _io_names_make_directory  (const char     *directory,
                                         GError        **error);
/* The name that has the lock file @file, NULL if it is none. */
char         *_io_names_dup_name_of_lock (const char    *file);
/* The names of all lock files, living or not, in no order. */
GPtrArray    *_io_names_scan            (const char     *directory,
                                         GError        **error);

/* Tells others what stands behind the name, or what changed, or (@again) that
 * it is registered once more. Takes @classes over. BAD_ARGUMENT if they are too
 * long; NO_RESOURCES and others as the system says. Any thread. */
gboolean      _io_names_publish         (IONameClaim    *self,
                                         char          **classes,
                                         GVariant       *attributes,
                                         gboolean        again,
                                         GError        **error);
/* The end of that, ahead of that of the name. */
void          _io_names_unpublish       (IONameClaim    *self);

typedef enum {
  IO_NAME_GONE,       /* no owner, or nothing published */
  IO_NAME_UNCLEAR,    /* being written: look again when told */
  IO_NAME_PUBLISHED
} IONameState;

/* What stands behind @name in @directory, in this or another process. Does not
 * wait for anybody. Any thread. */
IONameState   _io_names_look            (const char     *directory,
                                         const char     *name,
                                         IORecord      **record);

G_END_DECLS
