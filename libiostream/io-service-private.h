/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-service.h"

G_BEGIN_DECLS

/* The context in which the service lives (of its work loop, or the
 * thread-default one at construction). Borrowed. */
GMainContext *_io_service_get_context   (IOService *self);
/* The connections, as a borrowed list of IOUserClient. Context thread. */
GList        *_io_service_peek_clients  (IOService *self);
/* FALSE in a forked child. */
gboolean      _io_service_in_own_process (IOService *self);

G_END_DECLS
