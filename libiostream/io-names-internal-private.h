/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <sys/types.h>

#include "io-names-private.h"

G_BEGIN_DECLS

/* What the files of the names share: io-names.c takes them and gives them back,
 * io-names-record.c has what is told about them. */

#define IO_NAMES_LOCK_SUFFIX ".lock"

/* Who has the first byte locked has the name; who has the second locked as well
 * vouches for the record in the file, which may else be that of an owner long
 * dead. */
#define IO_NAMES_NAME_BYTE   0
#define IO_NAMES_RECORD_BYTE 1

struct _IONameClaim {
  char         *name;
  char         *socket_path;
  char         *lock_path;
  int           lock_fd;
  dev_t         lock_dev;
  ino_t         lock_ino;
  int           socket_fd;
  dev_t         socket_dev;
  ino_t         socket_ino;
  GMainContext *context;
  GThread      *thread;   /* only compared */
  pid_t         pid;
  IORecord     *record;   /* NULL: not published; under the mutex */
  GBytes       *bytes;    /* of it */
};

/* Guards all claims. */
extern GMutex _io_names_mutex;

/* The claim of ours, if any, whose lock file is at @lock_path. Under the mutex. */
IONameClaim *_io_names_find_claim (const char  *lock_path);
gboolean     _io_names_fail_errno (GError     **error,
                                   int          saved_errno,
                                   const char  *operation,
                                   const char  *path);

G_END_DECLS
