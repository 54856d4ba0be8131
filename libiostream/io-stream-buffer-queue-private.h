/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-region-private.h"
#include "io-stream-buffer-queue.h"

G_BEGIN_DECLS

/* A look at the ring in @writer, whose reader publishes in @reader. */
IOStreamBufferQueue *_io_stream_buffer_queue_new (const IORegion *writer,
                                                  const IORegion *reader);

G_END_DECLS
