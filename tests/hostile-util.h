/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

/* Both ends of the protocol written down once more by hand, so that they can
 * break it. */

#include "stream-util.h"

#include "libiostream/io-abi-private.h"
#include "libiostream/io-packet-private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define RAW_MAX_FDS 8

static inline gboolean
raw_send_packet (int           control,
                 IOPacketKind  kind,
                 guint         opcode,
                 guint         serial,
                 GVariant     *body,
                 const int    *fds,
                 guint         n_fds)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) packet = _io_packet_build (kind, opcode, serial, 0, body, &error);
  union { char bytes[CMSG_SPACE (RAW_MAX_FDS * sizeof (int))]; struct cmsghdr align; } ancillary = { { 0, } };
  struct iovec vector;
  struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };

  g_assert_no_error (error);
  vector.iov_base = (void *) g_bytes_get_data (packet, &vector.iov_len);
  if (n_fds > 0)
    {
      struct cmsghdr *header;

      message.msg_control = &ancillary;
      message.msg_controllen = CMSG_SPACE (n_fds * sizeof (int));
      header = CMSG_FIRSTHDR (&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN (n_fds * sizeof (int));
      memcpy (CMSG_DATA (header), fds, n_fds * sizeof (int));
    }

  return sendmsg (control, &message, MSG_NOSIGNAL) >= 0;
}

/* Blocks for the next packet; NULL at the end. */
static inline GVariant *
raw_receive_packet (int             control,
                    IOPacketHeader *header,
                    int            *fds,
                    guint          *n_fds)
{
  guint8 buffer[IO_PROTOCOL_MAX_PACKET + 1];
  union { char bytes[CMSG_SPACE (RAW_MAX_FDS * sizeof (int))]; struct cmsghdr align; } ancillary;
  struct iovec vector = { buffer, sizeof buffer };
  struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1,
                            .msg_control = &ancillary, .msg_controllen = sizeof ancillary };
  g_autoptr (GError) error = NULL;
  GVariant *body = NULL;
  gssize n = recvmsg (control, &message, MSG_CMSG_CLOEXEC);

  *n_fds = 0;
  if (n <= 0)
    return NULL;
  for (struct cmsghdr *c = CMSG_FIRSTHDR (&message); c != NULL; c = CMSG_NXTHDR (&message, c))
    {
      *n_fds = (c->cmsg_len - CMSG_LEN (0)) / sizeof (int);
      memcpy (fds, CMSG_DATA (c), *n_fds * sizeof (int));
    }
  g_assert_true (_io_packet_parse (buffer, n, header, &body, &error));
  g_assert_no_error (error);

  return body;
}

/* What the layout says, computed without the library. */
static inline guint32
raw_mark (guint64 index,
          guint32 count)
{
  return (guint32) (1 + (index / count) % 255) << 24;
}

static inline gboolean
raw_take (IOAbiRegion *region,
          guint32      count,
          guint64     *index,
          guint32     *tag,
          guint32     *sequence)
{
  IOAbiEntry *entry = &region->entries[*index % count];

  *tag = entry->tag;
  if ((*tag & 0xff000000u) != raw_mark (*index, count))
    return FALSE;
  *sequence = entry->sequence;
  ++*index;

  return TRUE;
}

static inline void
raw_put (IOAbiRegion   *region,
         guint32        count,
         guint64       *index,
         guint32        id,
         guint32        sequence,
         const guint32  range[4])
{
  IOAbiEntry *entry = &region->entries[*index % count];

  entry->data_offset = range[0];
  entry->data_length = range[1];
  entry->control_offset = range[2];
  entry->control_length = range[3];
  entry->sequence = sequence;
  entry->timestamp = 0;
  entry->tag = id | raw_mark (*index, count);
  ++*index;
}

static inline gsize
raw_region_size (guint32 count)
{
  return 0x1000 + 32 * (gsize) count;
}
