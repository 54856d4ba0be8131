/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An owner that lies: the client gets an error, and keeps nothing. */

#include "hostile-util.h"
#include "clock-util.h"

#include "libiostream/io-region-private.h"

#define COUNT     4
#define PART_SIZE 4096
/* Where nothing is to come; elsewhere there is time for the slowest machine. */
#define TIMEOUT   (100 * 1000)

/* What is wrong with the owner. A zero (or NULL) is what an honest one does. */
typedef struct {
  const char   *name;
  IOStreamError code;

  guint         silent_at;      /* opcode that is never answered */
  guint         hangs_up_at;    /* opcode that is answered with the end */
  guint         refused_at;     /* opcode that is answered with an error */
  guint         fds_at;         /* opcode that brings descriptors nobody asked for */

  int           n_open_fds;     /* + 1 */
  const char   *open_answer;    /* a{sv} */
  guint32       entry_count;
  gboolean      is_unsealed;
  gboolean      is_short;
  gboolean      is_no_memory;   /* a descriptor of something else */
  gboolean      is_swapped;     /* the regions */
  guint32       magic;

  guint32       buffer_count;
  const char   *rows;           /* the body of each GET_BUFFERS */
  const char   *memory;         /* the body of GET_MEMORY */
  gboolean      memory_counts;  /* each answer brings another memory */
  gboolean      memory_unsealed;
  gboolean      memory_short;
  gboolean      memory_foreign; /* not tmpfs */
  int           n_memory_fds;   /* + 1 */

  /* What it says when it has more buffers than it said at first. */
  guint32       generation;
  const char   *more_rows;
  const char   *more_memory;
  gboolean      more_refused;
  gboolean      more_gone;
  gboolean      more_silent;

  /* What it sends: id, data offset and length, control offset and length. */
  const guint32 (*entries)[5];
  guint         n_entries;
} Lie;

#define ROW  "(uint32 7, uint64 0, uint64 4096, uint32 0, uint64 0, uint64 0)"
#define ROWS(count, rows) "(uint32 " count ", uint32 0, @a(uttutt) [" rows "])"
#define ROWS_1 "(uint32 3, uint32 1, @a(uttutt) [" ROW "])"

static const guint32 unknown_id[][5] = { { 2, 0, 0, 0, 0 } };
static const guint32 far_id[][5] = { { 0xffff, 0, 0, 0, 0 } };
static const guint32 duplicates[][5] = { { 1, 0, 8, 0, 0 }, { 1, 0, 8, 0, 0 } };
static const guint32 too_long[][5] = { { 0, 0, PART_SIZE + 1, 0, 0 } };
static const guint32 wrapping[][5] = { { 0, 0xffffffffu, 2, 0, 0 } };
static const guint32 no_control[][5] = { { 0, 0, 8, 0, 1 } };
static const guint32 far_control[][5] = { { 0, 0, 8, 1, 0 } };

static const guint32 added[][5] = { { 0, 0, 8, 0, 0 }, { 2, 0, 8, 0, 0 } };
static const guint32 added_unknown[][5] = { { 2, 0, 8, 0, 0 }, { 3, 0, 8, 0, 0 } };
static const guint32 added_too_long[][5] = { { 2, 0, PART_SIZE + 1, 0, 0 } };
static const guint32 added_twice[][5] = { { 2, 0, 8, 0, 0 }, { 2, 0, 8, 0, 0 } };

#define IPC       IO_STREAM_ERROR_IPC_ERROR
#define ENTRIES(e) .entries = e, .n_entries = G_N_ELEMENTS (e)

static const Lie lies[] = {
  { "silent/hello", IO_STREAM_ERROR_NOT_RESPONDING, .silent_at = IO_OPCODE_HELLO },
  { "silent/open", IO_STREAM_ERROR_NOT_RESPONDING, .silent_at = IO_OPCODE_OPEN },
  { "silent/buffers", IO_STREAM_ERROR_NOT_RESPONDING, .silent_at = IO_OPCODE_GET_BUFFERS },
  { "silent/memory", IO_STREAM_ERROR_NOT_RESPONDING, .silent_at = IO_OPCODE_GET_MEMORY },
  { "silent/ready", IO_STREAM_ERROR_NOT_RESPONDING, .silent_at = IO_OPCODE_READY },
  { "gone/hello", IO_STREAM_ERROR_OFFLINE, .hangs_up_at = IO_OPCODE_HELLO },
  { "gone/open", IO_STREAM_ERROR_OFFLINE, .hangs_up_at = IO_OPCODE_OPEN },
  { "gone/buffers", IO_STREAM_ERROR_OFFLINE, .hangs_up_at = IO_OPCODE_GET_BUFFERS },
  { "gone/memory", IO_STREAM_ERROR_OFFLINE, .hangs_up_at = IO_OPCODE_GET_MEMORY },
  { "gone/ready", IO_STREAM_ERROR_OFFLINE, .hangs_up_at = IO_OPCODE_READY },
  { "refused/open", IO_STREAM_ERROR_FAILED, .refused_at = IO_OPCODE_OPEN },
  { "refused/buffers", IO_STREAM_ERROR_FAILED, .refused_at = IO_OPCODE_GET_BUFFERS },
  { "refused/memory", IO_STREAM_ERROR_FAILED, .refused_at = IO_OPCODE_GET_MEMORY },
  { "refused/ready", IO_STREAM_ERROR_FAILED, .refused_at = IO_OPCODE_READY },
  { "unasked-fds/hello", IPC, .fds_at = IO_OPCODE_HELLO },
  { "unasked-fds/buffers", IPC, .fds_at = IO_OPCODE_GET_BUFFERS },
  { "unasked-fds/ready", IPC, .fds_at = IO_OPCODE_READY },

  { "open-fds/0", IPC, .n_open_fds = 1 },
  { "open-fds/1", IPC, .n_open_fds = 2 },
  { "open-fds/2", IPC, .n_open_fds = 3 },
  { "open-fds/4", IPC, .n_open_fds = 5 },
  { "open-fds/8", IPC, .n_open_fds = 9 },
  { "open-answer/empty", IPC, .open_answer = "@a{sv} {}" },
  { "open-answer/types", IPC,
    .open_answer = "{'entry-count': <'4'>, 'buffer-count': <@t 2>, 'mode': <true>}" },
  { "open-answer/mode", IPC,
    .open_answer = "{'entry-count': <uint32 4>, 'buffer-count': <uint32 2>, 'mode': <uint32 3>}" },
  { "open-answer/delivery/1", IPC, .open_answer = "{'entry-count': <uint32 4>, 'buffer-count': <uint32 2>, "
    "'mode': <uint32 1>, 'delivery': <uint32 1>}" },
  { "open-answer/delivery/3", IPC, .open_answer = "{'entry-count': <uint32 4>, 'buffer-count': <uint32 2>, "
    "'mode': <uint32 1>, 'delivery': <uint32 3>}" },
  { "open-answer/delivery/4294967295", IPC, .open_answer = "{'entry-count': <uint32 4>, 'buffer-count': <uint32 2>, "
    "'mode': <uint32 1>, 'delivery': <uint32 4294967295>}" },
  { "entry-count/0", IPC, .open_answer = "{'entry-count': <uint32 0>, 'buffer-count': <uint32 2>, 'mode': <uint32 1>}" },
  { "entry-count/3", IPC, .entry_count = 3 },
  { "entry-count/8", IPC, .entry_count = 8 },
  { "entry-count/65536", IPC, .entry_count = 65536 },
  { "entry-count/131072", IPC, .entry_count = 131072 },
  { "entry-count/2^31", IPC, .entry_count = 0x80000000u },
  { "entry-count/2^32-1", IPC, .entry_count = G_MAXUINT32 },
  { "region/unsealed", IPC, .is_unsealed = TRUE },
  { "region/short", IPC, .is_short = TRUE },
  { "region/no-memory", IPC, .is_no_memory = TRUE },
  { "region/swapped", IPC, .is_swapped = TRUE },
  { "region/magic", IPC, .magic = 0x12345678 },

  { "buffer-count/2^31", IPC, .buffer_count = 0x80000000u },
  { "buffer-count/65537", IPC, .buffer_count = 65537 },
  { "rows/none", IPC, .rows = ROWS ("2", "") },
  { "rows/many", IPC, .rows = ROWS ("2", ROW "," ROW "," ROW) },
  { "rows/fewer", IPC, .rows = ROWS ("1", ROW) },
  { "rows/70000", IPC, .rows = ROWS ("70000", ROW) },
  { "rows/huge", IPC, .rows = ROWS ("2", "(7, 0, 1099511627776, 0, 0, 0)") },
  { "rows/past-end", IPC, .rows = ROWS ("2", "(7, 4096, 4097, 0, 0, 0)," ROW) },
  { "rows/wrapping", IPC, .rows = ROWS ("2", "(7, 18446744073709551615, 4096, 0, 0, 0)," ROW) },
  { "rows/control-past-end", IPC, .rows = ROWS ("2", "(7, 0, 4096, 7, 8191, 2)," ROW) },
  { "rows/unknown-control", IPC, .rows = ROWS ("2", "(7, 0, 4096, 8, 0, 2)," ROW) },
  { "memory/other-number", IPC, .memory = "(uint32 8, uint32 0, uint64 0, uint64 4096, uint64 8192, false)" },
  { "memory/ever-new", IPC, .memory_counts = TRUE },
  { "memory/number-0", IPC, .memory = "(uint32 0, uint32 0, uint64 0, uint64 4096, uint64 8192, false)" },
  { "memory/size-0", IPC, .memory = "(uint32 7, uint32 0, uint64 0, uint64 4096, uint64 0, false)" },
  { "memory/terabytes", IPC, .memory = "(uint32 7, uint32 0, uint64 0, uint64 4096, uint64 1125899906842624, false)" },
  { "memory/size-wraps", IPC, .memory = "(uint32 7, uint32 0, uint64 0, uint64 4096, uint64 18446744073709551615, false)" },
  { "memory/unsealed", IPC, .memory_unsealed = TRUE },
  { "memory/short", IPC, .memory_short = TRUE },
  { "memory/not-tmpfs", IPC, .memory_foreign = TRUE },
  { "memory/no-fd", IPC, .n_memory_fds = 1 },
  { "memory/2-fds", IPC, .n_memory_fds = 3 },

  { "entries/unknown", IPC, ENTRIES (unknown_id) },
  { "entries/far-unknown", IPC, ENTRIES (far_id) },
  { "entries/duplicates", IPC, ENTRIES (duplicates) },
  { "entries/too-long", IPC, ENTRIES (too_long) },
  { "entries/wrapping", IPC, ENTRIES (wrapping) },
  { "entries/no-control", IPC, ENTRIES (no_control) },
  { "entries/far-control", IPC, ENTRIES (far_control) },

  { "more/none", IPC, ENTRIES (added), .generation = 1, .more_rows = ROWS ("3", "") },
  { "more/no-more", IPC, ENTRIES (added), .generation = 1, .more_rows = ROWS ("2", "") },
  { "more/fewer", IPC, ENTRIES (added), .generation = 1, .more_rows = ROWS ("1", ROW) },
  { "more/many-rows", IPC, ENTRIES (added), .generation = 1, .more_rows = ROWS ("3", ROW "," ROW) },
  { "more/70000", IPC, ENTRIES (added), .generation = 1, .more_rows = ROWS ("70000", ROW) },
  { "more/2^32-1", IPC, ENTRIES (added), .generation = 1, .more_rows = ROWS ("4294967295", ROW) },
  { "more/without-end", IO_STREAM_ERROR_OFFLINE, ENTRIES (added), .generation = 1, .more_rows = ROWS ("65536", ROW) },
  { "more/huge", IPC, ENTRIES (added), .generation = 1,
    .more_rows = ROWS ("3", "(7, 0, 1099511627776, 0, 0, 0)") },
  { "more/past-end", IPC, ENTRIES (added), .generation = 1, .more_rows = ROWS ("3", "(7, 4097, 4096, 0, 0, 0)") },
  { "more/wrapping", IPC, ENTRIES (added), .generation = 1,
    .more_rows = ROWS ("3", "(7, 18446744073709551615, 4096, 0, 0, 0)") },
  { "more/memory-known", IPC, ENTRIES (added), .generation = 1, .more_rows = ROWS ("3", "(9, 0, 4096, 0, 0, 0)") },
  { "more/memory-size-0", IPC, ENTRIES (added), .generation = 1, .more_rows = ROWS ("3", "(9, 0, 4096, 0, 0, 0)"),
    .more_memory = "(9, 0, 0, 4096, 0, false)" },
  { "more/memory-past-end", IPC, ENTRIES (added), .generation = 1, .more_rows = ROWS ("3", "(9, 1, 8192, 0, 0, 0)"),
    .more_memory = "(9, 0, 0, 4096, 8192, false)" },
  { "more/refused", IO_STREAM_ERROR_FAILED, ENTRIES (added), .generation = 1, .more_refused = TRUE },
  { "more/gone", IO_STREAM_ERROR_OFFLINE, ENTRIES (added), .generation = 1, .more_gone = TRUE },
  { "more/too-long", IPC, ENTRIES (added_too_long), .generation = 1, .more_rows = ROWS_1 },
  { "more/twice", IPC, ENTRIES (added_twice), .generation = 1, .more_rows = ROWS_1 },
  { "more/unknown", IPC, ENTRIES (added_unknown), .generation = 1, .more_rows = ROWS_1 },
  { "more/storm", IPC, ENTRIES (added_unknown), .generation = 0xfffffff0u, .more_rows = ROWS_1 },
};

typedef struct {
  const Lie *lie;
  int        control;
  int        fds[RAW_MAX_FDS];   /* of the answer to open, and more */
  int        memory_fd;
  int        odd_fd;
  IORegion   own;
  IORegion   peer;
  guint      calls;
} Liar;

static int
make_pool (const Lie *lie)
{
  int fd = lie->memory_foreign ? open (g_get_tmp_dir (), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)
                               : memfd_create ("iostream-pool", MFD_CLOEXEC | MFD_ALLOW_SEALING);

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (ftruncate (fd, lie->memory_short ? PART_SIZE : 2 * PART_SIZE), ==, 0);
  if (!lie->memory_unsealed && !lie->memory_foreign)
    g_assert_cmpint (fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL), ==, 0);

  return fd;
}

/* One that was never sealed, or is too small, with a page as it should be. */
static int
make_bad_region (const Liar *self)
{
  gsize size = self->lie->is_short ? 4096 : raw_region_size (COUNT);
  int fd = memfd_create ("iostream-region", MFD_CLOEXEC | MFD_ALLOW_SEALING);

  g_assert_cmpint (ftruncate (fd, size), ==, 0);
  g_assert_cmpint (pwrite (fd, self->own.page, 4096, 0), ==, 4096);
  if (self->lie->is_short)
    g_assert_cmpint (fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL), ==, 0);

  return fd;
}

static void
make_things (Liar *self)
{
  g_autoptr (GError) error = NULL;
  int bells[2];

  g_assert_true (_io_region_create (&self->own, IO_ABI_SIDE_OWNER, COUNT, IO_REGION_START_INDEX, &error));
  g_assert_true (_io_region_create (&self->peer, IO_ABI_SIDE_CLIENT, COUNT, IO_REGION_START_INDEX, &error));
  g_assert_no_error (error);
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, bells), ==, 0);
  if (self->lie->magic != 0)
    self->own.page->magic = self->lie->magic;

  self->fds[0] = dup (_io_memory_backing_peek_fd (self->own.backing));
  self->fds[1] = dup (_io_memory_backing_peek_fd (self->peer.backing));
  self->fds[2] = bells[1];
  for (guint i = 3; i < RAW_MAX_FDS; i++)
    self->fds[i] = dup (bells[1]);
  self->odd_fd = bells[0];
  self->memory_fd = make_pool (self->lie);

  if (self->lie->is_unsealed || self->lie->is_short || self->lie->is_no_memory)
    {
      close (self->fds[0]);
      self->fds[0] = self->lie->is_no_memory ? dup (bells[0]) : make_bad_region (self);
    }
  if (self->lie->is_swapped)
    {
      int swapped = self->fds[0];

      self->fds[0] = self->fds[1];
      self->fds[1] = swapped;
    }
}

static void
drop_things (Liar *self)
{
  for (guint i = 0; i < RAW_MAX_FDS; i++)
    close (self->fds[i]);
  close (self->odd_fd);
  close (self->memory_fd);
  _io_region_clear (&self->own);
  _io_region_clear (&self->peer);
}

static GVariant *
parse (const char *type,
       const char *text)
{
  g_autoptr (GError) error = NULL;
  GVariant *value = g_variant_parse (G_VARIANT_TYPE (type), text, NULL, NULL, &error);

  g_assert_no_error (error);

  return value;
}

static GVariant *
answer_open (Liar *self)
{
  guint32 count = self->lie->entry_count > 0 ? self->lie->entry_count : COUNT;
  guint32 buffers = self->lie->buffer_count > 0 ? self->lie->buffer_count : 2;
  g_autofree char *text = NULL;
  g_autoptr (GVariant) dict = NULL;

  if (self->lie->open_answer != NULL)
    text = g_strdup (self->lie->open_answer);
  else
    text = g_strdup_printf ("{'entry-count': <uint32 %u>, 'buffer-count': <uint32 %u>, 'mode': <uint32 1>}",
                            count, buffers);
  dict = parse ("a{sv}", text);

  return g_variant_new ("(@a{sv})", dict);
}

/* The number from which on the client asks. */
static gboolean
is_about_more (guint     opcode,
               GVariant *call)
{
  guint32 first = 0;

  if (opcode == IO_OPCODE_GET_BUFFERS || opcode == IO_OPCODE_GET_MEMORY)
    g_variant_get (call, "(u)", &first);

  return (first & IO_STREAM_MEMORY_BUFFER_ID_MASK) >= 2;
}

static GVariant *
make_more (Liar *self,
           guint opcode)
{
  if (opcode == IO_OPCODE_GET_BUFFERS && self->lie->more_rows != NULL)
    return parse ("(uua(uttutt))", self->lie->more_rows);
  if (opcode == IO_OPCODE_GET_MEMORY && self->lie->more_memory != NULL)
    return parse ("(uutttb)", self->lie->more_memory);

  return NULL;
}

static GVariant *
make_answer (Liar *self,
             guint opcode)
{
  switch (opcode)
    {
    case IO_OPCODE_HELLO:
      return parse ("(ussa{sv})", "(1, 'liar', 'IOStream', {})");
    case IO_OPCODE_OPEN:
      return answer_open (self);
    case IO_OPCODE_GET_BUFFERS:
      return parse ("(uua(uttutt))", self->lie->rows != NULL ? self->lie->rows : ROWS ("2", ROW "," ROW));
    case IO_OPCODE_GET_MEMORY:
      g_assert_cmpuint (self->calls, <, 100);
      if (self->lie->memory_counts)
        return g_variant_new ("(uutttb)", 100 + self->calls, 0, (guint64) 0, (guint64) 4096, (guint64) 8192, FALSE);
      return parse ("(uutttb)", self->lie->memory != NULL ? self->lie->memory : "(7, 0, 0, 4096, 8192, false)");
    case IO_OPCODE_START:
      self->own.page->generation = self->lie->generation;
      self->own.page->state = IO_STREAM_STATE_RUNNING;
      return g_variant_new ("()");
    default:
      return g_variant_new ("()");
    }
}

static guint
choose_fds (Liar  *self,
            guint  opcode,
            int    fds[RAW_MAX_FDS])
{
  memcpy (fds, self->fds, sizeof self->fds);
  if (opcode == IO_OPCODE_OPEN)
    return self->lie->n_open_fds > 0 ? (guint) self->lie->n_open_fds - 1 : 3;
  fds[0] = self->memory_fd;
  if (opcode == IO_OPCODE_GET_MEMORY)
    return self->lie->n_memory_fds > 0 ? (guint) self->lie->n_memory_fds - 1 : 1;

  return self->lie->fds_at == opcode ? 2 : 0;
}

static void
send_entries (Liar *self)
{
  guint64 index = self->own.start_index;

  for (guint i = 0; i < self->lie->n_entries; i++)
    raw_put (self->own.page, COUNT, &index, self->lie->entries[i][0], i, &self->lie->entries[i][1]);
}

/* Answers until the client goes. */
static gpointer
liar_thread (gpointer data)
{
  Liar *self = data;
  IOPacketHeader header;
  int fds[RAW_MAX_FDS];
  gboolean more;
  guint n_fds;

  for (;;)
    {
      g_autoptr (GVariant) call = raw_receive_packet (self->control, &header, fds, &n_fds);
      g_autoptr (GVariant) body = NULL;

      if (call == NULL || header.opcode == self->lie->hangs_up_at || self->calls++ > 200)
        break;
      more = is_about_more (header.opcode, call);
      if (header.opcode == self->lie->silent_at || (more && self->lie->more_silent))
        continue;
      if (more && self->lie->more_gone)
        break;
      if (header.opcode == self->lie->refused_at || (more && self->lie->more_refused))
        {
          g_autoptr (GError) error = g_error_new (IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED, "no");
          g_autoptr (GBytes) packet = _io_packet_build_error (header.opcode, header.serial, error);

          send (self->control, g_bytes_get_data (packet, NULL), g_bytes_get_size (packet), MSG_NOSIGNAL);
          continue;
        }
      body = more ? make_more (self, header.opcode) : NULL;
      body = g_variant_take_ref (body != NULL ? body : make_answer (self, header.opcode));
      if (header.opcode == IO_OPCODE_START)
        send_entries (self);
      n_fds = choose_fds (self, header.opcode, fds);
      raw_send_packet (self->control, IO_PACKET_REPLY, header.opcode, header.serial, body, fds, n_fds);
    }
  close (self->control);

  return NULL;
}

static IOStreamConnection *
new_client (int      fd,
            GError **error)
{
  g_autoptr (GSocket) socket = g_socket_new_from_fd (fd, error);

  g_assert_nonnull (socket);

  return g_object_new (IO_TYPE_STREAM_CONNECTION, "socket", socket, "timeout", STREAM_UTIL_TIMEOUT, NULL);
}

/* Hello is answered in any time, unless that is what is not answered. */
static gboolean
greet (IOStreamConnection  *client,
       const Lie           *lie,
       GError             **error)
{
  if (lie->silent_at == IO_OPCODE_HELLO)
    io_connection_set_timeout (IO_CONNECTION (client), TIMEOUT);
  if (!g_initable_init (G_INITABLE (client), NULL, error))
    return FALSE;
  if (lie->silent_at != 0)
    io_connection_set_timeout (IO_CONNECTION (client), TIMEOUT);

  return TRUE;
}

static void
count_cb (guint *n)
{
  ++*n;
}

static void
disconnected_cb (IOConnection *connection,
                 const GError *error,
                 guint        *n)
{
  ++*n;
}

static gboolean
stream_all (IOStreamConnection  *client,
            const Lie           *lie,
            GError             **error)
{
  gint64 timeout = lie->code == IO_STREAM_ERROR_TIMEOUT ? TIMEOUT : STREAM_UTIL_TIMEOUT;
  IOStreamBufferQueueEntry entry;

  if (!greet (client, lie, error) ||
      !io_connection_open (IO_CONNECTION (client), 0, NULL, error) ||
      !io_stream_connection_start (client, NULL, error))
    return FALSE;

  while (io_stream_connection_wait (client, timeout, NULL, error))
    while (io_stream_connection_dequeue_output_entry (client, &entry))
      g_assert_cmpuint (io_stream_connection_get_held (client), <=, 2);

  return FALSE;
}

static void
meet_liar (const Lie *lie)
{
  guint n_fds = count_fds (), n_maps = count_maps (""), n_ends = 0;
  IOStreamConnection *client;
  g_autoptr (GError) error = NULL;
  Liar liar = { .lie = lie };
  GThread *thread;
  int pair[2];

  make_things (&liar);
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), ==, 0);
  liar.control = pair[0];
  thread = g_thread_new ("liar", liar_thread, &liar);

  client = new_client (pair[1], &error);
  g_signal_connect (client, "disconnected", G_CALLBACK (disconnected_cb), &n_ends);
  g_assert_false (stream_all (client, lie, &error));
  g_test_message ("%s", error->message);
  if (lie->code != IPC)
    g_assert_error (error, IO_STREAM_ERROR, (int) lie->code);
  /* of ours, and about the owner: not that nothing came in time */
  g_assert_true (error->domain == IO_STREAM_ERROR);
  g_assert_true (lie->code == IO_STREAM_ERROR_NOT_RESPONDING || error->code != IO_STREAM_ERROR_NOT_RESPONDING);
  g_assert_cmpint (error->code, !=, IO_STREAM_ERROR_TIMEOUT);
  /* Whatever it is, it says of whom; but the name comes with hello, and what
   * the owner says is left as it is. */
  if (!g_str_equal (error->message, "no") && lie->silent_at != IO_OPCODE_HELLO &&
      lie->hangs_up_at != IO_OPCODE_HELLO && lie->fds_at != IO_OPCODE_HELLO)
    g_assert_nonnull (strstr (error->message, "“liar”"));
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (n_ends, <=, 1);
  if (lie->entries != NULL)
    {
      g_assert_cmpuint (n_ends, ==, 1);
      g_assert_error (io_connection_get_error (IO_CONNECTION (client)), IO_STREAM_ERROR, (int) lie->code);
    }

  io_connection_hang_up (IO_CONNECTION (client));
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_finalize_object (client);
  g_thread_join (thread);
  drop_things (&liar);
  g_assert_cmpuint (count_fds (), ==, n_fds);
  g_assert_cmpuint (count_maps (""), ==, n_maps);
}

static void
test_lie (gconstpointer data)
{
  meet_liar (data);
}

/* What the others differ from; without it they would prove nothing. */
static void
test_honest (void)
{
  static const guint32 entries[][5] = { { 0, 0, PART_SIZE, 0, 0 }, { 1, PART_SIZE, 0, 0, 0 } };
  const Lie honest = { "honest", IO_STREAM_ERROR_TIMEOUT, ENTRIES (entries) };
  Liar liar = { .lie = &honest };
  g_autoptr (GError) error = NULL;
  IOStreamConnection *client;
  GThread *thread;
  int pair[2];

  make_things (&liar);
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), ==, 0);
  liar.control = pair[0];
  thread = g_thread_new ("honest", liar_thread, &liar);
  client = new_client (pair[1], &error);
  g_assert_false (stream_all (client, &honest, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT);
  g_assert_cmpuint (io_stream_connection_get_received (client), ==, 2);
  stream_util_close (client);
  g_assert_finalize_object (client);
  g_thread_join (thread);
  drop_things (&liar);
}

/* An owner that adds a buffer and never describes it: nobody waits longer than
 * for any other answer, and what is known can still be had. */
static void
test_more_silent (void)
{
  const Lie silent = { "silent", 0, ENTRIES (added), .generation = 1, .more_silent = TRUE };
  Liar liar = { .lie = &silent };
  g_autoptr (GError) error = NULL;
  IOStreamBufferQueueEntry entry;
  IOStreamConnection *client;
  GThread *thread;
  int pair[2];

  make_things (&liar);
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), ==, 0);
  liar.control = pair[0];
  thread = g_thread_new ("silent", liar_thread, &liar);
  client = new_client (pair[1], &error);
  g_assert_true (io_connection_open (IO_CONNECTION (client), 0, NULL, &error));
  stream_util_start (client);
  g_assert_true (io_stream_connection_wait (client, 10 * G_USEC_PER_SEC, NULL, &error));
  g_assert_true (io_stream_connection_dequeue_output_entry (client, &entry));
  g_assert_false (io_stream_connection_dequeue_output_entry (client, &entry));
  g_assert_false (io_stream_connection_wait (client, 1, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT);
  g_clear_error (&error);
  advance_clock (STREAM_UTIL_TIMEOUT);
  g_assert_false (io_stream_connection_wait (client, -1, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_RESPONDING);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  io_connection_hang_up (IO_CONNECTION (client));
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_finalize_object (client);
  g_thread_join (thread);
  drop_things (&liar);
}

/* Everything the owner can write, again and again, while the client looks. */
static gpointer
scribble_thread (gpointer data)
{
  Liar *self = data;
  guint32 *words = (guint32 *) (void *) self->own.page;

  for (guint round = 0; round < 2000; round++)
    for (gsize i = 0; i < raw_region_size (COUNT) / 4; i++)
      words[i] = (guint32) (round * 2654435761u + i * 40503u) & (i % 3 ? 0xff000003u : 0xffffffffu);

  return NULL;
}

static void
test_scribble (void)
{
  const Lie honest = { "scribble", IPC };

  for (guint round = 0; round < 10; round++)
    {
      Liar liar = { .lie = &honest };
      g_autoptr (GError) error = NULL;
      IOStreamBufferQueueEntry entry;
      IOStreamConnection *client;
      GThread *thread, *scribbler;
      int pair[2];

      make_things (&liar);
      g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), ==, 0);
      liar.control = pair[0];
      thread = g_thread_new ("liar", liar_thread, &liar);
      client = new_client (pair[1], &error);
      g_assert_true (io_connection_open (IO_CONNECTION (client), 0, NULL, &error));
      stream_util_start (client);
      scribbler = g_thread_new ("scribble", scribble_thread, &liar);
      for (guint i = 0; i < 2000; i++)
        {
          if (io_stream_connection_dequeue_output_entry (client, &entry))
            io_stream_connection_return_entry (client, &entry, NULL);
          io_stream_connection_get_state (client);
          io_stream_connection_send_input_notification (client, i, NULL);
          if (i % 100 == 0)
            while (g_main_context_iteration (NULL, FALSE))
              ;
        }
      g_thread_join (scribbler);
      io_connection_hang_up (IO_CONNECTION (client));
      while (g_main_context_iteration (NULL, FALSE))
        ;
      g_assert_finalize_object (client);
      g_thread_join (thread);
      drop_things (&liar);
    }
}

/* An owner that is honest until the client has heard of what it sent. */
typedef struct {
  Liar                liar;
  Lie                 lie;
  IOStreamConnection *client;
  GThread            *thread;
} Turncoat;

static void
turncoat_set_up (Turncoat      *self,
                 gconstpointer  data)
{
  static const guint32 entries[][5] = { { 0, 0, 8, 0, 0 }, { 1, 0, 8, 0, 0 } };
  g_autoptr (GError) error = NULL;
  int pair[2];

  self->lie = (Lie) { "turncoat", IPC, ENTRIES (entries) };
  self->liar.lie = &self->lie;
  make_things (&self->liar);
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), ==, 0);
  self->liar.control = pair[0];
  self->thread = g_thread_new ("turncoat", liar_thread, &self->liar);
  self->client = new_client (pair[1], &error);
  g_assert_true (io_connection_open (IO_CONNECTION (self->client), 0, NULL, &error));
  stream_util_start (self->client);
}

static void
turncoat_tear_down (Turncoat      *self,
                    gconstpointer  data)
{
  io_connection_hang_up (IO_CONNECTION (self->client));
  stream_util_settle ();
  g_assert_finalize_object (self->client);
  g_thread_join (self->thread);
  drop_things (&self->liar);
}

/* The first entry vanishes, and the second one stays. */
static void
test_unpublished (Turncoat      *self,
                  gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  IOAbiRegion *page = self->liar.own.page;
  guint64 first = self->liar.own.start_index;
  guint n = 0;

  page->entries[(first + 1) % COUNT].tag = 0;
  g_signal_connect_swapped (self->client, "output-available", G_CALLBACK (count_cb), &n);
  stream_util_iterate_until (n > 0);
  stream_util_settle ();
  page->entries[first % COUNT].tag = 0;
  page->entries[(first + 1) % COUNT].tag = 1 | raw_mark (first + 1, COUNT);

  for (gint64 timeout = 0; timeout <= TIMEOUT; timeout += TIMEOUT)
    {
      g_assert_false (io_stream_connection_wait (self->client, timeout, NULL, &error));
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT);
      g_clear_error (&error);
    }
}

static gpointer
restless_thread (gpointer data)
{
  Turncoat *self = data;
  guint i = 0;

  while (g_atomic_int_get ((int *) &self->lie.n_open_fds) == 0)
    self->liar.own.page->state = i++ % 2 ? IO_STREAM_STATE_RUNNING : IO_STREAM_STATE_SUSPENDED;

  return NULL;
}

/* News without end are no reason to wait longer than was asked for. */
static void
test_restless (Turncoat      *self,
               gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  IOStreamBufferQueueEntry entry;
  GThread *thread;

  while (io_stream_connection_dequeue_output_entry (self->client, &entry))
    ;
  thread = g_thread_new ("restless", restless_thread, self);
  for (guint i = 0; i < 10; i++)
    {
      gint64 begin = g_get_monotonic_time ();

      g_assert_false (io_stream_connection_wait (self->client, i * 1000, NULL, &error));
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT);
      g_assert_cmpint (g_get_monotonic_time () - begin, <, STREAM_UTIL_TIMEOUT);
      g_clear_error (&error);
    }
  g_atomic_int_set ((int *) &self->lie.n_open_fds, 1);
  g_thread_join (thread);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  /* what GLib opens for good */
  g_main_context_iteration (NULL, FALSE);

  g_test_add_func ("/stream-hostile-owner/honest", test_honest);
  for (guint i = 0; i < G_N_ELEMENTS (lies); i++)
    {
      g_autofree char *path = g_strconcat ("/stream-hostile-owner/", lies[i].name, NULL);

      g_test_add_data_func (path, &lies[i], test_lie);
    }
  g_test_add_func ("/stream-hostile-owner/more-silent", test_more_silent);
  g_test_add_func ("/stream-hostile-owner/scribble", test_scribble);
  g_test_add ("/stream-hostile-owner/unpublished", Turncoat, NULL, turncoat_set_up, test_unpublished, turncoat_tear_down);
  g_test_add ("/stream-hostile-owner/restless", Turncoat, NULL, turncoat_set_up, test_restless, turncoat_tear_down);

  return g_test_run ();
}
