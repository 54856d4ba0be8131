/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-connection-internal-private.h"
#include "io-stream-connection-private.h"

G_BEGIN_DECLS

/* What io-stream-connection-sync.c, where the thread waits, shares with
 * io-stream-connection-sync-async.c, where it does not. */

struct _IOSyncBell {
  IOStreamConnection *connection;   /* borrowed; of the call without waiting */
  IOMemoryBacking    *own_backing;
  IOMemoryBacking    *peer_backing;
  IOAbiRegion        *own;
  IOAbiRegion        *peer;
  IONotificationPort *port;
  guint               spin;         /* us */
  _Atomic guint32     number;       /* of the call that waits, or 0 */
  _Atomic guint64     answer;       /* as it was when it had this number */
};

void        _io_sync_bell_unref         (IOSyncBell *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (IOSyncBell, _io_sync_bell_unref)

gboolean    _io_sync_bell_is_ready      (gpointer owner);
gboolean    _io_stream_connection_fail_sync (IOStreamConnection *self,
                                             IOStreamError code,
                                             const char *why,
                                             GError **error);
gboolean    _io_stream_connection_begin_sync (IOStreamConnection *self,
                                              GError **error);
void        _io_stream_connection_finish_sync (IOStreamConnection *self,
                                               IOSyncBell *bell);
void        _io_stream_connection_post_sync (IOStreamConnection *self,
                                             IOSyncBell *bell,
                                             guint32 token,
                                             gboolean rings);
gboolean    _io_stream_connection_check_sync (IOStreamConnection *self,
                                              IOSyncBell *bell,
                                              GError **error);
void        _io_stream_connection_fail_sync_offline (IOStreamConnection *self,
                                                     GError **error);
void        _io_stream_connection_fail_sync_timeout (IOStreamConnection *self,
                                                     GError **error);
IOSyncBell *_io_stream_connection_take_sync_bell (IOStreamConnection *self,
                                                  GUnixFDList *list,
                                                  GError **error);
IOSyncBell *_io_stream_connection_find_sync_bell (IOStreamConnection *self);

/* io-stream-connection-sync-async.c: what the port of the bell calls. */
gboolean    _io_sync_bell_dispatch      (gpointer owner);
void        _io_sync_bell_hang_up       (gpointer owner);

G_END_DECLS
