/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "iostream-tool.h"

#include <string.h>
#include <time.h>

/* A colour wheel that moves to the left by one pixel per picture, and a white
 * bar that moves down. Rows are copied from one that is twice as wide. */
struct _ToolPattern {
  guint   width;
  guint   height;
  gsize   stride;
  guint8 *strip;
};

#define BYTES_PER_PIXEL 3
#define BAR_HEIGHT      8

static guint8
hue_part (guint position,
          guint shift)
{
  guint x = (position + shift) % 768;

  if (x < 256)
    return (guint8) x;

  return x < 512 ? (guint8) (511 - x) : 0;
}

ToolPattern *
tool_pattern_new (guint width,
                  guint height)
{
  ToolPattern *self = g_new0 (ToolPattern, 1);

  self->width = width;
  self->height = height;
  self->stride = (gsize) width * BYTES_PER_PIXEL;
  self->strip = g_malloc (2 * self->stride);

  for (guint x = 0; x < width; x++)
    {
      guint position = (guint) ((guint64) x * 768 / width);

      for (guint i = 0; i < BYTES_PER_PIXEL; i++)
        self->strip[x * BYTES_PER_PIXEL + i] = hue_part (position, i * 256);
    }
  memcpy (self->strip + self->stride, self->strip, self->stride);

  return self;
}

gsize
tool_pattern_size (ToolPattern *self)
{
  return self->stride * self->height;
}

/* The sum of all little-endian 64-bit words, modulo 2^64; missing bytes at the
 * end count as zero. */
static guint64
sum_words (const guint8 *bytes,
           gsize         length)
{
  guint64 sum = 0;
  guint64 word;

  for (; length >= sizeof word; bytes += sizeof word, length -= sizeof word)
    {
      memcpy (&word, bytes, sizeof word);
      sum += GUINT64_FROM_LE (word);
    }

  word = 0;
  memcpy (&word, bytes, length);

  return sum + GUINT64_FROM_LE (word);
}

void
tool_pattern_draw (ToolPattern   *self,
                   guint64        number,
                   void          *picture,
                   ToolFrameInfo *info)
{
  const guint8 *row = self->strip + number % self->width * BYTES_PER_PIXEL;
  guint bar = (guint) (number * 2 % self->height);
  guint8 *bytes = picture;
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  for (guint y = 0; y < self->height; y++)
    memcpy (bytes + y * self->stride, row, self->stride);
  memset (bytes + bar * self->stride, 255, MIN (BAR_HEIGHT, self->height - bar) * self->stride);

  info->magic = GUINT32_TO_LE (TOOL_FRAME_MAGIC);
  info->width = GUINT32_TO_LE (self->width);
  info->height = GUINT32_TO_LE (self->height);
  info->stride = GUINT32_TO_LE ((guint32) self->stride);
  info->number = GUINT64_TO_LE (number);
  info->timestamp = GUINT64_TO_LE ((guint64) now.tv_sec * 1000000000u + (guint64) now.tv_nsec);
  info->checksum = GUINT64_TO_LE (sum_words (bytes, tool_pattern_size (self)));
}

void
tool_pattern_free (ToolPattern *self)
{
  g_free (self->strip);
  g_free (self);
}
