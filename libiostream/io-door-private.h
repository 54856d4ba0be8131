/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <sys/socket.h>

#include "io-channel-private.h"
#include "io-service.h"

G_BEGIN_DECLS

/* Where connections come in: listens, holds the limits, and keeps whoever has
 * not said hello yet. Belongs to a service and to its context. */
typedef struct _IODoor IODoor;

#define IO_DOOR_MAX_CONNECTIONS      512
#define IO_DOOR_MAX_CONNECTIONS_UID  320
#define IO_DOOR_RESERVED_DESCRIPTORS 16

/* How long a connection may say nothing, in milliseconds. For tests. */
extern guint _io_door_hello_timeout;

IODoor   *_io_door_new        (IOService     *service);
void      _io_door_free       (IODoor        *self);
gboolean  _io_door_listen     (IODoor        *self,
                               const char    *name,
                               guint          mode,
                               GError       **error);
/* Takes @classes over; the rest as _io_names_publish() has it. */
gboolean  _io_door_publish    (IODoor        *self,
                               char         **classes,
                               GVariant      *attributes,
                               gboolean       again,
                               GError       **error);
void      _io_door_unpublish  (IODoor        *self);
gboolean  _io_door_add_socket (IODoor        *self,
                               GSocket       *socket,
                               GError       **error);
/* The same for a client in this process; returns what serves it. */
IOChannel *_io_door_add_local (IODoor        *self,
                               GSocket       *socket,
                               GError       **error);
/* Lets nobody in any more. */
void      _io_door_stop       (IODoor        *self);
/* Gives the name back. */
void      _io_door_release    (IODoor        *self);
/* Counts, and logs at most once a minute for each peer. */
void      _io_door_note_violation (IODoor     *self,
                                   int         pid,
                                   const char *client_name,
                                   const char *text);
guint     _io_door_get_violations (IODoor     *self);
/* For tests. */
guint     _io_door_get_waiting (IODoor       *self);

G_END_DECLS
