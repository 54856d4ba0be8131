/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>
#include <string.h>

/* What stands in the control part of each frame: little-endian numbers without
 * gaps, so that any language can read them (Python: struct "<4I3Q"). */
typedef struct {
  guint32 magic;       /* FRAME_INFO_MAGIC */
  guint32 width;       /* in pixels of three bytes: red, green, blue */
  guint32 height;
  guint32 stride;      /* bytes from one row to the next */
  guint64 number;      /* of the frame, counted from 0 */
  guint64 timestamp;   /* when it was begun, CLOCK_MONOTONIC in nanoseconds */
  guint64 checksum;    /* sum of the picture's 64-bit words, modulo 2^64 */
} FrameInfo;

#define FRAME_INFO_MAGIC 0x46534f49u   /* the letters "IOSF" */

G_STATIC_ASSERT (sizeof (FrameInfo) == 40);
G_STATIC_ASSERT (G_BYTE_ORDER == G_LITTLE_ENDIAN);

/* @length is a multiple of 8. */
static inline guint64
frame_checksum (const void *bytes,
                gsize       length)
{
  guint64 sum = 0;

  for (gsize i = 0; i < length; i += sizeof sum)
    {
      guint64 word;

      memcpy (&word, (const guint8 *) bytes + i, sizeof word);
      sum += word;
    }

  return sum;
}
