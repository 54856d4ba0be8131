/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-abi-private.h"

G_BEGIN_DECLS

/* The owner's end of the synchronous calls of one open. It may outlive that
 * for as long as its last call runs. */
typedef struct _IOStreamSync IOStreamSync;

/* The open is over, or the client got another bell. */
void _io_stream_sync_end (IOStreamSync *self);

/* Number and token of a call, number and status of an answer. */
static inline guint64
_io_sync_pack (guint32 number,
               guint32 value)
{
  return (guint64) number << 32 | value;
}

static inline guint32
_io_sync_number (guint64 word)
{
  return (guint32) (word >> 32);
}

G_END_DECLS
