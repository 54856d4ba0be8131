/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-user-client-private.h"

G_BEGIN_DECLS

/* What the files of #IOUserClient share: io-user-client.c is the object,
 * io-user-client-link.c its connection, io-user-client-limits.c what it may
 * have, io-user-client-calls.c and io-user-client-methods.c answer it, and
 * io-user-client-queues.c has its queues. */
typedef struct {
  IOService            *service;       /* while connected, with a reference */
  IOChannel            *channel;       /* while connected */
  struct ucred          credentials;
  char                 *client_name;
  IOUserClientCallFunc  call_func;
  guint                 max_buffers;
  guint64               max_bytes;
  guint64               charges[IO_N_CHARGES];   /* bytes */
  IOAnnouncements       told;
  GPtrArray            *kept;          /* of GBytes: for when it is let in, or NULL */
  IOUserClientMethods  *methods;       /* NULL until needed */
  pid_t                 owner_pid;
  guint                 attached : 1;
  guint                 welcome : 1;
  guint                 read_only : 1;
  guint                 opened : 1;    /* and told so */
  guint                 died : 1;
  guint                 told_end : 1;  /* of the service */
} IOUserClientPrivate;

IOUserClientPrivate *_io_user_client_get_private (IOUserClient *self);

G_END_DECLS
