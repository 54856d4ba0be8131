/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>
#include <stdatomic.h>
#include <stdint.h>

/* Version 1 of the layout of the shared pages, as written down in doc/abi.xml.
 * A connection has two regions of this layout: the owner's, which only the
 * owner writes, and the client's, which only the client writes. Lines are 128
 * bytes, because processors fetch pairs. Everything here can be rewritten by a
 * peer at any moment: each field is read once, with an atomic load, and what
 * was read is checked before it is used. */

#define IO_ABI_MAGIC        0x72745349u /* "ISTr" */
#define IO_ABI_VERSION      1
#define IO_ABI_ENTRIES      0x1000
#define IO_ABI_ENTRY_SHIFT  5
#define IO_ABI_MAX_ENTRIES  65536u

typedef enum {
  IO_ABI_SIDE_OWNER  = 1,
  IO_ABI_SIDE_CLIENT = 2
} IOAbiSide;

typedef struct {
  _Atomic uint32_t tag;      /* id (16) | flags (8): replayed (1) | lap (8), stored last */
  _Atomic uint32_t data_offset;
  _Atomic uint32_t data_length;
  _Atomic uint32_t control_offset;
  _Atomic uint32_t control_length;
  _Atomic uint32_t sequence;
  _Atomic uint64_t timestamp;
} IOAbiEntry;

typedef struct {
  /* 0x000: read once at attach, never again */
  _Atomic uint32_t magic;
  _Atomic uint16_t abi;
  _Atomic uint8_t  side;
  _Atomic uint8_t  entry_shift;
  _Atomic uint32_t entry_count;
  _Atomic uint32_t region_bytes;
  _Atomic uint64_t start_index;
  uint8_t pad0[128 - 24];

  /* 0x080: 0 = awake, else the number of this sleep */
  _Atomic uint32_t bell_epoch;
  uint8_t pad1[128 - 4];

  /* 0x100: next index nobody has taken; only for clients that let the owner
   * take entries back */
  _Atomic uint64_t claim;
  uint8_t pad2[128 - 8];

  /* 0x180: the owner's word on the stream */
  _Atomic uint64_t revoked_before;
  _Atomic uint32_t state;
  _Atomic uint32_t generation;
  _Atomic uint32_t open_epoch;
  _Atomic uint32_t mode;
  _Atomic uint64_t run;        /* of the numbers of loans: the first since the
                                  client runs (32) | those before that were not
                                  for it (32), in one store */
  uint8_t pad3[128 - 32];

  /* 0x200: synchronous calls, and the token of the last notification.
   * call_epoch is to the bell of the calls what bell_epoch is to the other. */
  _Atomic uint64_t call;       /* number (32) | token (32), in one store */
  _Atomic uint64_t answer;     /* number (32) | status (32), likewise */
  _Atomic uint32_t token;
  _Atomic uint32_t call_epoch;
  uint8_t pad4[128 - 24];

  /* 0x280: statistics; never used for a decision */
  _Atomic uint64_t produced;
  _Atomic uint64_t consumed;
  uint8_t pad5[128 - 16];

  uint8_t reserved[IO_ABI_ENTRIES - 0x300];

  /* 0x1000 */
  IOAbiEntry entries[];
} IOAbiRegion;

/* The regions of a data queue, after the same rule: the producer's has the ring
 * behind its first page, the consumer's is that page alone. The ring begins at
 * the next multiple of the page size of the machine. */
#define IO_ABI_DATA_MAGIC  0x71745349u /* "ISTq" */
#define IO_ABI_DATA_HEADER 0x1000
#define IO_ABI_DATA_ALIGN  8

typedef enum {
  IO_ABI_ROLE_PRODUCER = 1,
  IO_ABI_ROLE_CONSUMER = 2
} IOAbiRole;

typedef struct {
  /* 0x000: read once at attach, never again */
  _Atomic uint32_t magic;
  _Atomic uint16_t abi;
  _Atomic uint8_t  role;
  uint8_t pad0;
  _Atomic uint32_t capacity;
  _Atomic uint32_t ring_bytes;
  _Atomic uint64_t start_position;
  uint8_t pad1[128 - 24];

  /* 0x080: 0 = awake, else the number of this sleep */
  _Atomic uint32_t bell_epoch;
  uint8_t pad2[128 - 4];

  /* 0x100: bytes ever produced, or ever consumed */
  _Atomic uint64_t position;
  uint8_t pad3[128 - 8];

  /* 0x180: the position of the consumer for which the producer sleeps */
  _Atomic uint64_t wanted;
  uint8_t pad4[128 - 8];

  /* 0x200: 1 when this side ended the queue in order */
  _Atomic uint32_t closed;
  uint8_t reserved[IO_ABI_DATA_HEADER - 0x204];
} IOAbiDataRegion;

typedef struct {
  _Atomic uint32_t size;  /* of the payload, as the producer gave it */
  uint32_t         unused;
  uint8_t          payload[];
} IOAbiDataRecord;

G_STATIC_ASSERT (sizeof (IOAbiDataRegion) == IO_ABI_DATA_HEADER);
G_STATIC_ASSERT (sizeof (IOAbiDataRecord) == IO_ABI_DATA_ALIGN);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiDataRegion, magic) == 0x000);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiDataRegion, abi) == 0x004);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiDataRegion, role) == 0x006);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiDataRegion, capacity) == 0x008);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiDataRegion, ring_bytes) == 0x00c);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiDataRegion, start_position) == 0x010);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiDataRegion, bell_epoch) == 0x080);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiDataRegion, position) == 0x100);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiDataRegion, wanted) == 0x180);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiDataRegion, closed) == 0x200);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiDataRecord, size) == 0);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiDataRecord, payload) == 8);
G_STATIC_ASSERT (sizeof (IOAbiEntry) == 1 << IO_ABI_ENTRY_SHIFT);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiEntry, tag) == 0);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiEntry, data_offset) == 4);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiEntry, data_length) == 8);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiEntry, control_offset) == 12);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiEntry, control_length) == 16);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiEntry, sequence) == 20);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiEntry, timestamp) == 24);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiRegion, magic) == 0x000);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiRegion, abi) == 0x004);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiRegion, side) == 0x006);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiRegion, entry_shift) == 0x007);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiRegion, entry_count) == 0x008);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiRegion, region_bytes) == 0x00c);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiRegion, start_index) == 0x010);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiRegion, bell_epoch) == 0x080);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiRegion, claim) == 0x100);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiRegion, revoked_before) == 0x180);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiRegion, state) == 0x188);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiRegion, generation) == 0x18c);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiRegion, open_epoch) == 0x190);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiRegion, mode) == 0x194);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiRegion, run) == 0x198);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiRegion, call) == 0x200);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiRegion, answer) == 0x208);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiRegion, token) == 0x210);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiRegion, call_epoch) == 0x214);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiRegion, produced) == 0x280);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiRegion, consumed) == 0x288);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiRegion, entries) == IO_ABI_ENTRIES);
G_STATIC_ASSERT (ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_LLONG_LOCK_FREE == 2);

/* What two ends of an interrupt controller share, likewise a region for each,
 * which that side alone writes. A cause adds one to the counter of its vector,
 * then one to the counter of the group of 64 that the vector is in; the other
 * side keeps what it has seen to itself. */

#define IO_ABI_INTERRUPT_MAGIC    0x6e495349u /* "ISIn" */
#define IO_ABI_INTERRUPT_GROUPS   64u
#define IO_ABI_GROUP_SHIFT        6
#define IO_ABI_MAX_VECTORS        (IO_ABI_INTERRUPT_GROUPS << IO_ABI_GROUP_SHIFT)

typedef struct {
  /* 0x000: read once at attach, never again */
  _Atomic uint32_t magic;
  _Atomic uint16_t abi;
  _Atomic uint8_t  side;
  _Atomic uint8_t  group_shift;
  _Atomic uint32_t vector_count;
  _Atomic uint32_t region_bytes;
  uint8_t pad0[128 - 16];

  /* 0x080: 0 = awake, else the number of this sleep */
  _Atomic uint32_t bell_epoch;
  uint8_t pad1[128 - 4];

  /* 0x100: causes in each group, stored after those of the vectors */
  _Atomic uint32_t groups[IO_ABI_INTERRUPT_GROUPS];

  /* 0x200: causes of each vector */
  _Atomic uint32_t vectors[];
} IOAbiInterruptRegion;

G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiInterruptRegion, magic) == 0x000);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiInterruptRegion, abi) == 0x004);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiInterruptRegion, side) == 0x006);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiInterruptRegion, group_shift) == 0x007);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiInterruptRegion, vector_count) == 0x008);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiInterruptRegion, region_bytes) == 0x00c);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiInterruptRegion, bell_epoch) == 0x080);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiInterruptRegion, groups) == 0x100);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiInterruptRegion, vectors) == 0x200);
G_STATIC_ASSERT (IO_ABI_MAX_VECTORS == 4096);

/* What is counted of a stream, written by the owner alone and mapped read-only
 * by whoever may see it: a header, a row for the stream, and rows for clients.
 * A row has a version and two copies; what counts is copy (version & 1). The
 * owner writes the other copy, then the next version: who reads looks at the
 * version before and after, and never waits for an owner that was interrupted
 * while it wrote. Times are nanoseconds of CLOCK_MONOTONIC. */

#define IO_ABI_STATISTICS_MAGIC    0x73745349u /* "ISts" */
#define IO_ABI_STATISTICS_ROWS     256u        /* clients, at most */
#define IO_ABI_STATISTICS_WORDS    32u
#define IO_ABI_STATISTICS_NAME     64u

typedef struct {
  _Atomic uint64_t version;
  uint8_t          pad0[128 - 8];
  _Atomic uint64_t copies[2][IO_ABI_STATISTICS_WORDS];
} IOAbiStatisticsRow;

typedef struct {
  /* 0x000: read once at attach, never again */
  _Atomic uint32_t magic;
  _Atomic uint16_t abi;
  uint16_t         unused;
  _Atomic uint32_t row_count;   /* of clients */
  _Atomic uint32_t page_bytes;
  uint8_t          pad0[128 - 16];

  /* 0x080 */
  IOAbiStatisticsRow stream;

  /* 0x300 */
  IOAbiStatisticsRow clients[];
} IOAbiStatistics;

/* The words of a copy, for the stream. */
typedef struct {
  uint32_t state;
  uint32_t mode;
  uint32_t buffers;
  uint32_t free_buffers;
  uint32_t owned_buffers;
  uint32_t lent_buffers;
  uint32_t arrived_buffers;
  uint32_t reserve;
  uint32_t clients;
  uint32_t max_clients;
  uint64_t produced;
  uint64_t delivered;
  uint64_t returned;
  uint64_t dropped[8];          /* newest, oldest, latest, allowance, reserve, 0… */
  uint64_t replayed;
  uint64_t revoked;
  uint64_t failures;            /* of acquire */
  uint64_t last_activity;
  uint64_t violations;
  uint64_t reserved[11];
} IOAbiStatisticsStream;

/* For a client. */
typedef struct {
  uint64_t id;                  /* 0: the row is not used */
  int32_t  pid;
  uint32_t uid;
  uint32_t delivery;
  uint32_t state;
  uint32_t held;
  uint32_t queued;
  uint32_t allowance;
  uint32_t unused;
  uint64_t opened;              /* when */
  uint64_t delivered;
  uint64_t returned;
  uint64_t dropped[8];          /* as above */
  uint64_t replayed;
  uint64_t revoked;
  uint64_t held_since;          /* the oldest of those held now; 0: none */
  uint64_t longest_held;        /* how long, of those that came back */
  uint64_t last_activity;
  uint64_t violations;
  uint8_t  name[IO_ABI_STATISTICS_NAME];
  uint64_t reserved[2];
} IOAbiStatisticsClient;

G_STATIC_ASSERT (sizeof (IOAbiStatisticsRow) == 0x280);
G_STATIC_ASSERT (sizeof (IOAbiStatisticsStream) == IO_ABI_STATISTICS_WORDS * 8);
G_STATIC_ASSERT (sizeof (IOAbiStatisticsClient) == IO_ABI_STATISTICS_WORDS * 8);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsRow, version) == 0x000);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsRow, copies) == 0x080);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatistics, magic) == 0x000);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatistics, abi) == 0x004);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatistics, row_count) == 0x008);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatistics, page_bytes) == 0x00c);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatistics, stream) == 0x080);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatistics, clients) == 0x300);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsStream, state) == 0x000);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsStream, mode) == 0x004);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsStream, buffers) == 0x008);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsStream, free_buffers) == 0x00c);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsStream, owned_buffers) == 0x010);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsStream, lent_buffers) == 0x014);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsStream, arrived_buffers) == 0x018);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsStream, reserve) == 0x01c);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsStream, clients) == 0x020);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsStream, max_clients) == 0x024);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsStream, produced) == 0x028);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsStream, delivered) == 0x030);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsStream, returned) == 0x038);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsStream, dropped) == 0x040);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsStream, replayed) == 0x080);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsStream, revoked) == 0x088);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsStream, failures) == 0x090);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsStream, last_activity) == 0x098);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsStream, violations) == 0x0a0);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsClient, id) == 0x000);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsClient, pid) == 0x008);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsClient, uid) == 0x00c);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsClient, delivery) == 0x010);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsClient, state) == 0x014);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsClient, held) == 0x018);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsClient, queued) == 0x01c);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsClient, allowance) == 0x020);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsClient, opened) == 0x028);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsClient, delivered) == 0x030);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsClient, returned) == 0x038);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsClient, dropped) == 0x040);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsClient, replayed) == 0x080);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsClient, revoked) == 0x088);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsClient, held_since) == 0x090);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsClient, longest_held) == 0x098);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsClient, last_activity) == 0x0a0);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsClient, violations) == 0x0a8);
G_STATIC_ASSERT (G_STRUCT_OFFSET (IOAbiStatisticsClient, name) == 0x0b0);
