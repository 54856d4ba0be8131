/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A client that breaks every rule it can: the owner loses that client and
 * nothing else. */

#include "hostile-util.h"

#include "libiostream/io-names-private.h"

#include <sys/un.h>

#define N_BUFFERS    4
#define DATA_SIZE    10000
#define CONTROL_SIZE 64
#define PATIENCE     STREAM_UTIL_TIMEOUT

/* The client. */

typedef struct {
  int          control;
  guint32      options;          /* how it opens */
  guint        serial;
  int          bell;
  int          memory_fds[2];    /* of the owner's region, and of ours */
  guint32      count;
  IOAbiRegion *peer;             /* the owner's */
  IOAbiRegion *own;
  guint64      output;
  guint64      input;
  guint32      ids[N_BUFFERS];   /* what it was lent */
  guint32      sequences[N_BUFFERS];
} Raw;

static void
raw_connect (Raw *self)
{
  g_autofree char *path = _io_names_dup_socket_path ("test", NULL);
  struct sockaddr_un address = { .sun_family = AF_UNIX };

  memset (self, 0, sizeof *self);
  self->bell = self->memory_fds[0] = self->memory_fds[1] = -1;
  self->control = socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  g_strlcpy (address.sun_path, path, sizeof address.sun_path);
  g_assert_cmpint (connect (self->control, (struct sockaddr *) &address, sizeof address), ==, 0);
}

static void
close_one (int *fd)
{
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}

static void
raw_clear (Raw *self)
{
  close_one (&self->control);
  close_one (&self->bell);
  close_one (&self->memory_fds[0]);
  close_one (&self->memory_fds[1]);
  if (self->peer != NULL)
    munmap (self->peer, raw_region_size (self->count));
  if (self->own != NULL)
    munmap (self->own, raw_region_size (self->count));
  self->peer = self->own = NULL;
}

/* The code that the owner answers, -1 if it hangs up. */
static int
raw_call (Raw        *self,
          guint       opcode,
          GVariant   *args,
          GVariant  **answer,
          int        *fds,
          guint      *n_fds)
{
  g_autoptr (GVariant) body = NULL;
  IOPacketHeader header;
  int ignored[RAW_MAX_FDS];
  guint n = 0;

  if (!raw_send_packet (self->control, IO_PACKET_CALL, opcode, ++self->serial, args, NULL, 0))
    return -1;
  body = raw_receive_packet (self->control, &header, fds != NULL ? fds : ignored, &n);
  if (fds == NULL)
    for (guint i = 0; i < n; i++)
      close (ignored[i]);
  if (n_fds != NULL)
    *n_fds = n;
  if (body == NULL || header.kind != IO_PACKET_REPLY)
    return -1;

  g_assert_cmpuint (header.serial, ==, self->serial);
  if (answer != NULL)
    *answer = g_steal_pointer (&body);

  return (int) header.status;
}

static void
raw_hello (Raw *self)
{
  g_assert_cmpint (raw_call (self, IO_OPCODE_HELLO, g_variant_new_parsed ("(uint32 1, 'hostile', @a{sv} {})"),
                             NULL, NULL, NULL), ==, 0);
}

static GVariant *
open_args (guint32 options)
{
  return g_variant_new_parsed ("(%u, @a{sv} {})", options);
}

/* Never in the way of others. */
static GVariant *
share_args (void)
{
  return g_variant_new_parsed ("(%u, {'delivery': <%u>})", (guint32) IO_STREAM_OPEN_SHARED,
                               (guint32) IO_STREAM_DELIVERY_DROP_NEWEST);
}

static void
raw_open (Raw *self)
{
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GVariant) dict = NULL;
  int fds[RAW_MAX_FDS];
  guint n_fds;

  g_assert_cmpint (raw_call (self, IO_OPCODE_OPEN, self->options != 0 ? share_args () : open_args (0),
                             &answer, fds, &n_fds), ==, 0);
  g_assert_cmpuint (n_fds, ==, 3);
  dict = g_variant_get_child_value (answer, 0);
  g_assert_true (g_variant_lookup (dict, "entry-count", "u", &self->count));
  self->memory_fds[0] = fds[0];
  self->memory_fds[1] = fds[1];
  self->bell = fds[2];
}

static void
raw_map (Raw *self)
{
  gsize size = raw_region_size (self->count);

  self->peer = mmap (NULL, size, PROT_READ, MAP_SHARED, self->memory_fds[0], 0);
  self->own = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, self->memory_fds[1], 0);
  g_assert_true (self->peer != MAP_FAILED && self->own != MAP_FAILED);
  self->output = self->peer->start_index;
  self->input = self->own->start_index;
}

static int
raw_simple (Raw   *self,
            guint  opcode)
{
  return raw_call (self, opcode, NULL, NULL, NULL, NULL);
}

static void
raw_set_up (Raw     *self,
            guint32  options)
{
  raw_connect (self);
  self->options = options;
  raw_hello (self);
  raw_open (self);
  raw_map (self);
  g_assert_cmpint (raw_simple (self, IO_OPCODE_READY), ==, 0);
  g_assert_cmpint (raw_simple (self, IO_OPCODE_START), ==, 0);
}

/* Takes what the owner lent; it was lent all of it before. */
static void
raw_take_all (Raw *self)
{
  for (guint i = 0; i < N_BUFFERS; i++)
    {
      guint32 tag = 0;

      g_assert_true (raw_take (self->peer, self->count, &self->output, &tag, &self->sequences[i]));
      self->ids[i] = tag & 0xffff;
    }
}

static void
raw_return (Raw           *self,
            guint32        id,
            guint32        sequence,
            const guint32  range[4])
{
  const char byte = 0;

  raw_put (self->own, self->count, &self->input, id, sequence, range);
  send (self->bell, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static const guint32 nothing[4] = { 0, 0, 0, 0 };

/* The attacks. They have all the buffers. */

static void
return_unknown (Raw *raw)
{
  raw_return (raw, N_BUFFERS, raw->sequences[0], nothing);
}

static void
return_far_unknown (Raw *raw)
{
  raw_return (raw, 0xffff, raw->sequences[0], nothing);
}

static void
return_twice (Raw *raw)
{
  raw_return (raw, raw->ids[0], raw->sequences[0], nothing);
  raw_return (raw, raw->ids[0], raw->sequences[0], nothing);
}

static void
return_old_number (Raw *raw)
{
  raw_return (raw, raw->ids[1], raw->sequences[1] - 1, nothing);
}

static void
return_next_number (Raw *raw)
{
  raw_return (raw, raw->ids[1], raw->sequences[1] + N_BUFFERS, nothing);
}

static void
return_swapped (Raw *raw)
{
  raw_return (raw, raw->ids[0], raw->sequences[1], nothing);
}

static void
return_wrapping (Raw *raw)
{
  const guint32 range[4] = { 0xffffffffu, 2, 0, 0 };

  raw_return (raw, raw->ids[0], raw->sequences[0], range);
}

static void
return_too_long (Raw *raw)
{
  const guint32 range[4] = { 0, DATA_SIZE + 1, 0, 0 };

  raw_return (raw, raw->ids[0], raw->sequences[0], range);
}

static void
return_past_end (Raw *raw)
{
  const guint32 range[4] = { DATA_SIZE, 1, 0, 0 };

  raw_return (raw, raw->ids[0], raw->sequences[0], range);
}

static void
return_control_wrapping (Raw *raw)
{
  const guint32 range[4] = { 0, 0, 0xfffffff0u, CONTROL_SIZE };

  raw_return (raw, raw->ids[0], raw->sequences[0], range);
}

static void
return_control_past_end (Raw *raw)
{
  const guint32 range[4] = { 0, 0, 1, CONTROL_SIZE };

  raw_return (raw, raw->ids[0], raw->sequences[0], range);
}

/* Every byte it can write, entries with the right mark among them. */
static void
scribble (Raw *raw)
{
  guint32 *words = (guint32 *) (void *) raw->own;

  for (guint round = 0; round < 200; round++)
    for (gsize i = 0; i < raw_region_size (raw->count) / 4; i++)
      words[i] = (guint32) g_test_rand_int ();
  for (guint i = 0; i < raw->count; i++)
    raw->own->entries[(raw->input + i) % raw->count].tag = raw_mark (raw->input + i, raw->count) | ((guint32) g_test_rand_int () & 0xffffff);
  send (raw->bell, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Not provable: an entry that is ahead of those that are missing is not seen. */
static void
run_ahead (Raw *raw)
{
  guint64 index = raw->input + 1;

  raw_put (raw->own, raw->count, &index, 9999, 0, nothing);
  raw->own->produced = G_MAXUINT64;
  raw->own->consumed = 1;
  raw->own->claim = G_MAXUINT64 / 2;
  send (raw->bell, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
write_garbage_words (Raw *raw)
{
  memset (raw->own, 0xa5, 0x1000);
  raw->own->bell_epoch = 0xdeadbeef;
}

static void
fill_bell (Raw *raw)
{
  char bytes[512] = { 0, };

  while (send (raw->bell, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL) > 0 || errno == EINTR)
    ;
  fcntl (raw->bell, F_SETFL, 0);
}

static void
stop_bell_reading (Raw *raw)
{
  shutdown (raw->bell, SHUT_RD);
}

static void
stop_bell_writing (Raw *raw)
{
  shutdown (raw->bell, SHUT_WR);
}

static void
drop_bell (Raw *raw)
{
  close_one (&raw->bell);
}

static void
open_twice (Raw *raw)
{
  g_assert_cmpint (raw_call (raw, IO_OPCODE_OPEN, open_args (0), NULL, NULL, NULL), >, 0);
  g_assert_cmpint (raw_call (raw, IO_OPCODE_OPEN, open_args (0xffffffffu), NULL, NULL, NULL), >, 0);
  g_assert_cmpint (raw_simple (raw, IO_OPCODE_READY), ==, IO_STREAM_ERROR_STILL_OPEN);
}

static void
ask_for_odd_memory (Raw *raw)
{
  static const guint32 types[] = {
    0, 1, 0x30000004, 0x3fffffff, 0x40000004, 0x50000000, 0x80000000, 0xffffffff, 0xf0000000, 0x30010000
  };

  for (guint i = 0; i < G_N_ELEMENTS (types); i++)
    g_assert_cmpint (raw_call (raw, IO_OPCODE_GET_MEMORY, g_variant_new ("(u)", types[i]), NULL, NULL, NULL), >, 0);
}

static void
ask_for_odd_buffers (Raw *raw)
{
  static const guint32 firsts[] = { N_BUFFERS, N_BUFFERS + 1, 0x80000000, G_MAXUINT32 - 40, G_MAXUINT32 };

  for (guint i = 0; i < G_N_ELEMENTS (firsts); i++)
    {
      g_autoptr (GVariant) answer = NULL;
      g_autoptr (GVariant) rows = NULL;

      g_assert_cmpint (raw_call (raw, IO_OPCODE_GET_BUFFERS, g_variant_new ("(u)", firsts[i]), &answer, NULL, NULL), ==, 0);
      rows = g_variant_get_child_value (answer, 2);
      g_assert_cmpuint (g_variant_n_children (rows), ==, 0);
    }
}

static void
set_odd_modes (Raw *raw)
{
  g_assert_cmpint (raw_call (raw, IO_OPCODE_SET_MODE, g_variant_new ("(u)", 3u), NULL, NULL, NULL), >, 0);
  g_assert_cmpint (raw_call (raw, IO_OPCODE_SET_MODE, g_variant_new ("(u)", G_MAXUINT32), NULL, NULL, NULL), >, 0);
  g_assert_cmpint (raw_call (raw, IO_OPCODE_SET_MODE, g_variant_new ("(u)", 2u), NULL, NULL, NULL), >, 0);
}

/* Start and stop as fast as it is allowed. */
static void
toggle (Raw *raw)
{
  for (guint i = 0; i < 200; i++)
    {
      g_assert_cmpint (raw_simple (raw, IO_OPCODE_STOP), ==, 0);
      g_assert_cmpint (raw_simple (raw, IO_OPCODE_START), ==, 0);
    }
}

/* Not one way into the owner's page, and no second one into its own. */
static void
force_entry (Raw *raw)
{
  gsize size = raw_region_size (raw->count);

  for (guint i = 0; i < 2; i++)
    {
      g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", raw->memory_fds[i]);
      int again = open (path, O_RDWR | O_CLOEXEC);

      g_assert_true (mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, raw->memory_fds[i], 0) == MAP_FAILED);
      g_assert_true (again < 0 || mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0) == MAP_FAILED);
      g_assert_cmpint (pwrite (raw->memory_fds[i], "x", 1, 0), <, 0);
      g_assert_cmpint (ftruncate (raw->memory_fds[i], 0), <, 0);
      g_assert_cmpint (ftruncate (raw->memory_fds[i], 1 << 20), <, 0);
      g_assert_cmpint (fallocate (raw->memory_fds[i], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, size), <, 0);
      g_assert_cmpint (fcntl (raw->memory_fds[i], F_ADD_SEALS, F_SEAL_WRITE), <, 0);
      close_one (&again);
    }
  g_assert_cmpint (mprotect (raw->peer, size, PROT_READ | PROT_WRITE), <, 0);
  g_assert_cmpint (madvise (raw->peer, size, MADV_REMOVE), <, 0);
}

/* Synchronous calls. */

static int
get_sync_bell (Raw *raw)
{
  int fds[RAW_MAX_FDS] = { -1, };
  guint n_fds = 0;

  g_assert_cmpint (raw_call (raw, IO_OPCODE_GET_SYNC_BELL, NULL, NULL, fds, &n_fds), ==, 0);
  g_assert_cmpuint (n_fds, ==, 1);

  return fds[0];
}

static void
ring_sync (int bell)
{
  send (bell, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* As one should, by hand; the answer rings, because this side looks asleep. Each
 * sleep is rung once, be it by the answer to an earlier call. */
static void
call_sync (Raw     *raw,
           int      bell,
           guint32  number)
{
  static guint32 sleep_number;
  struct pollfd poll_fd = { bell, POLLIN, 0 };
  char bytes[64];

  raw->own->call = (guint64) number << 32 | 5;
  ring_sync (bell);
  for (;;)
    {
      raw->own->call_epoch = ++sleep_number;
      if (raw->peer->answer == (guint64) number << 32)
        break;
      g_assert_cmpint (poll (&poll_fd, 1, PATIENCE / 1000), ==, 1);
      g_assert_cmpint (recv (bell, bytes, sizeof bytes, 0), >, 0);
    }
  raw->own->call_epoch = 0;
}

/* Another call at every moment, faster than any owner can look. */
static void
storm_sync (Raw *raw)
{
  int bell = get_sync_bell (raw);

  for (guint i = 0; i < 300000; i++)
    {
      raw->own->call = (guint64) g_test_rand_int () << 32 | i;
      if (i % 64 == 0)
        ring_sync (bell);
    }
  call_sync (raw, bell, 1);
  close (bell);
}

static void
ring_sync_for_nothing (Raw *raw)
{
  int bell = get_sync_bell (raw);

  for (guint i = 0; i < 20000; i++)
    ring_sync (bell);
  close (bell);
}

/* There is one at a time, however often it asks. */
static void
ask_for_sync_bells (Raw *raw)
{
  int bell = get_sync_bell (raw);
  char byte;

  call_sync (raw, bell, 1);
  for (guint i = 2; i < 100; i++)
    {
      int last = bell;

      bell = get_sync_bell (raw);
      while (recv (last, &byte, 1, 0) > 0)
        ;
      g_assert_cmpint (recv (last, &byte, 1, 0), ==, 0);
      close (last);
      call_sync (raw, bell, i);
    }
  close (bell);
}

static void
call_sync_with_odd_numbers (Raw *raw)
{
  static const guint32 numbers[] = { 1, G_MAXUINT32, 0, 0x80000000u, 1, 0 };
  int bell = get_sync_bell (raw);

  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    call_sync (raw, bell, numbers[i]);
  close (bell);
}

static void
break_sync_bell (Raw *raw)
{
  char bytes[512] = { 0, };
  int bell = get_sync_bell (raw);

  while (send (bell, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL) > 0 || errno == EINTR)
    ;
  fcntl (bell, F_SETFL, 0);
  for (guint i = 0; i < 1000; i++)
    {
      raw->own->call_epoch = i;
      raw->own->call = (guint64) i << 32;
    }
  close (bell);
  raw->own->call = 0x1234500000000u;
  bell = get_sync_bell (raw);
  memset (raw->own, 0xa5, 0x1000);
  shutdown (bell, SHUT_WR);
  close (bell);
}

/* It is gone before the answer comes. */
static void
leave_during_sync (Raw *raw)
{
  int bell = get_sync_bell (raw);

  raw->own->call = (guint64) 1 << 32;
  ring_sync (bell);
  close (bell);
  drop_bell (raw);
}

typedef struct {
  const char *name;
  void      (*run) (Raw *raw);
  gboolean    is_violation;
} Attack;

static const Attack attacks[] = {
  { "return-unknown", return_unknown, TRUE },
  { "return-far-unknown", return_far_unknown, TRUE },
  { "return-twice", return_twice, TRUE },
  { "return-old-number", return_old_number, TRUE },
  { "return-next-number", return_next_number, TRUE },
  { "return-swapped", return_swapped, TRUE },
  { "return-wrapping", return_wrapping, TRUE },
  { "return-too-long", return_too_long, TRUE },
  { "return-past-end", return_past_end, TRUE },
  { "return-control-wrapping", return_control_wrapping, TRUE },
  { "return-control-past-end", return_control_past_end, TRUE },
  { "scribble", scribble, TRUE },
  { "run-ahead", run_ahead, FALSE },
  { "garbage-words", write_garbage_words, FALSE },
  { "fill-bell", fill_bell, FALSE },
  { "bell/no-reading", stop_bell_reading, FALSE },
  { "bell/no-writing", stop_bell_writing, FALSE },
  { "bell/closed", drop_bell, FALSE },
  { "open-twice", open_twice, FALSE },
  { "odd-memory", ask_for_odd_memory, FALSE },
  { "odd-buffers", ask_for_odd_buffers, FALSE },
  { "odd-modes", set_odd_modes, FALSE },
  { "toggle", toggle, FALSE },
  { "force-entry", force_entry, FALSE },
  { "sync/storm", storm_sync, FALSE },
  { "sync/rings", ring_sync_for_nothing, FALSE },
  { "sync/bells", ask_for_sync_bells, FALSE },
  { "sync/numbers", call_sync_with_odd_numbers, FALSE },
  { "sync/broken-bell", break_sync_bell, FALSE },
  { "sync/leave", leave_during_sync, FALSE },
};

/* The owner. */

typedef struct {
  IOWorkLoop *loop;
  IOStream   *stream;
  IOStreamConnection *neighbour;   /* shares the stream with the client, or NULL */
  guint32     sequence;
  guint       n_fds;
  guint       n_maps;
} Fixture;

static void
set_up_mode (Fixture      *self,
             IOStreamMode  mode)
{
  self->loop = io_work_loop_new ("owner");
  self->stream = stream_util_new_stream (self->loop, mode, N_BUFFERS, DATA_SIZE, CONTROL_SIZE);
  self->sequence = 0;
}

static void
set_up (Fixture       *self,
        gconstpointer  data)
{
  set_up_mode (self, IO_STREAM_MODE_OUTPUT);
}

static void
tear_down (Fixture       *self,
           gconstpointer  data)
{
  io_service_terminate (IO_SERVICE (self->stream));
  io_work_loop_shut_down (self->loop);
  g_assert_finalize_object (self->stream);
  g_assert_finalize_object (self->loop);
}

/* Streams as one should; nothing is lost to whoever was there before. */
static void
stream_honestly (Fixture *self)
{
  IOStreamConnection *client = stream_util_open ("test");
  IOStreamBufferQueueEntry entry;

  stream_util_start (client);
  for (guint i = 0; i < 3 * N_BUFFERS; i++)
    {
      stream_util_send (self->stream, (guint8) i);
      stream_util_take (client, (guint8) i, &entry);
      g_assert_cmpuint (entry.sequence, ==, self->sequence++);
      stream_util_return (client, &entry);
    }
  g_assert_cmpuint (io_stream_connection_get_lost (client), ==, 0);
  stream_util_close (client);
  g_assert_finalize_object (client);
}

static void
assert_all_home (Fixture *self)
{
  g_autoptr (GError) error = NULL;
  IOStreamBuffer *buffers[N_BUFFERS];

  for (guint i = 0; i < N_BUFFERS; i++)
    {
      buffers[i] = io_stream_acquire_buffer (self->stream, &error);
      g_assert_no_error (error);
      for (guint j = 0; j < i; j++)
        g_assert_true (buffers[i] != buffers[j]);
    }
  g_assert_null (io_stream_acquire_buffer (self->stream, NULL));
  for (guint i = 0; i < N_BUFFERS; i++)
    io_stream_release_buffer (self->stream, buffers[i]);
}

/* As an owner does that wants to send. */
static void
look (Fixture *self)
{
  IOStreamBuffer *buffer = io_stream_acquire_buffer (self->stream, NULL);
  gint64 start = g_get_monotonic_time ();

  if (buffer != NULL)
    io_stream_release_buffer (self->stream, buffer);
  io_work_loop_run_action (self->loop, stream_util_do_nothing_cb, NULL);
  g_assert_cmpint (g_get_monotonic_time () - start, <, PATIENCE);
  if (io_stream_get_output_queue (self->stream) != NULL)
    g_assert_cmpuint (io_stream_buffer_queue_get_entry_count (io_stream_get_output_queue (self->stream)), >, 0);
}

static gboolean
is_cut_off (Raw *raw)
{
  struct pollfd poll_fd = { raw->control, POLLIN, 0 };

  return poll (&poll_fd, 1, 0) > 0 && (poll_fd.revents & POLLHUP) != 0;
}

/* But for the neighbour. */
static gboolean
has_it_open_cb (gpointer data)
{
  Fixture *self = data;
  GList *clients = io_service_get_clients (IO_SERVICE (self->stream));
  guint n_open = 0;

  for (GList *l = clients; l != NULL; l = l->next)
    n_open += io_service_is_open (IO_SERVICE (self->stream), l->data);
  g_list_free_full (clients, g_object_unref);

  return n_open > (self->neighbour != NULL ? 1 : 0);
}

static gboolean
has_it_open (Fixture *self)
{
  return io_work_loop_run_action (self->loop, has_it_open_cb, self);
}

static void
assert_cut_off (Fixture *self,
                Raw     *raw)
{
  gint64 start = g_get_monotonic_time ();

  while (!is_cut_off (raw) || has_it_open (self))
    {
      look (self);
      g_assert_cmpint (g_get_monotonic_time () - start, <, PATIENCE);
    }
  g_test_message ("cut off after %" G_GINT64_FORMAT " us", g_get_monotonic_time () - start);
}

static gint64
cpu_time (void)
{
  struct timespec now;

  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &now);

  return now.tv_sec * G_USEC_PER_SEC + now.tv_nsec / 1000;
}

/* It hurts itself only; nobody burns a core over it, once what it did is seen
 * to. */
static void
assert_tolerated (Fixture *self,
                  Raw     *raw)
{
  struct pollfd poll_fd = { raw->control, POLLIN, 0 };
  gint64 deadline, start;

  for (guint i = 0; i < 100; i++)
    look (self);
  g_assert_false (is_cut_off (raw));
  g_assert_cmpint (raw_simple (raw, IO_OPCODE_GET_MODE), ==, 0);

  deadline = g_get_monotonic_time () + PATIENCE;
  do
    {
      g_assert_cmpint (g_get_monotonic_time (), <, deadline);
      start = cpu_time ();
      g_assert_cmpint (poll (&poll_fd, 1, 100), ==, 0);
    }
  while (cpu_time () - start >= 50 * 1000);
}

static void
drop_quietly (Fixture *self,
              Raw     *raw)
{
  gint64 start = g_get_monotonic_time ();

  raw_clear (raw);
  while (has_it_open (self))
    {
      look (self);
      g_assert_cmpint (g_get_monotonic_time () - start, <, PATIENCE);
    }
  g_assert_cmpint (io_stream_get_state (self->stream), ==,
                   self->neighbour != NULL ? IO_STREAM_STATE_RUNNING : IO_STREAM_STATE_CLOSED);
}

static void
drop (Fixture *self,
      Raw     *raw)
{
  drop_quietly (self, raw);
  assert_all_home (self);
}

static void
lend_all (Fixture *self)
{
  for (guint i = 0; i < N_BUFFERS; i++)
    {
      stream_util_send (self->stream, 1);
      self->sequence++;
    }
}

static void
input_cb (IOStream *stream,
          guint     token,
          gpointer  data)
{
}

static void
run_attack (const Attack *attack,
            IOStreamMode  mode,
            gboolean      is_listening)
{
  Fixture fixture;
  Raw raw;

  memset (&fixture, 0, sizeof fixture);
  set_up_mode (&fixture, mode);
  if (is_listening)
    g_signal_connect (fixture.stream, "input", G_CALLBACK (input_cb), NULL);
  stream_honestly (&fixture);
  stream_util_wait_unused (fixture.loop, IO_SERVICE (fixture.stream));
  fixture.n_fds = count_fds ();
  fixture.n_maps = count_maps ("");

  raw_set_up (&raw, 0);
  lend_all (&fixture);
  raw_take_all (&raw);
  attack->run (&raw);
  if (attack->is_violation)
    assert_cut_off (&fixture, &raw);
  else
    assert_tolerated (&fixture, &raw);
  drop (&fixture, &raw);

  stream_util_wait_unused (fixture.loop, IO_SERVICE (fixture.stream));
  g_assert_cmpuint (count_fds (), ==, fixture.n_fds);
  g_assert_cmpuint (count_maps (""), ==, fixture.n_maps);
  stream_honestly (&fixture);
  tear_down (&fixture, NULL);
}

static void
test_output (gconstpointer data)
{
  run_attack (data, IO_STREAM_MODE_OUTPUT, FALSE);
}

static void
test_listening (gconstpointer data)
{
  run_attack (data, IO_STREAM_MODE_OUTPUT, TRUE);
}

/* One that shares with it loses nothing. */

static void
meet_neighbour (Fixture *self,
                guint    n_sent)
{
  IOStreamBufferQueueEntry entry;

  for (guint i = 0; i < n_sent; i++)
    {
      stream_util_take (self->neighbour, 1, &entry);
      g_assert_cmpuint (entry.sequence, ==, self->sequence - n_sent + i);
      stream_util_return (self->neighbour, &entry);
    }
  g_assert_cmpuint (io_stream_connection_get_lost (self->neighbour), ==, 0);
}

static void
set_up_shared (Fixture *self)
{
  g_autoptr (GError) error = NULL;

  memset (self, 0, sizeof *self);
  set_up_mode (self, IO_STREAM_MODE_OUTPUT);
  io_stream_set_client_allowance (self->stream, N_BUFFERS);
  self->neighbour = io_stream_connection_new_for_name ("test", NULL, &error);
  g_assert_no_error (error);
  stream_util_assert_works (io_connection_open (IO_CONNECTION (self->neighbour), IO_STREAM_OPEN_SHARED, NULL, err));
  stream_util_start (self->neighbour);
}

static void
tear_down_shared (Fixture *self)
{
  lend_all (self);
  meet_neighbour (self, N_BUFFERS);
  stream_util_close (self->neighbour);
  g_assert_finalize_object (g_steal_pointer (&self->neighbour));
  assert_all_home (self);
  tear_down (self, NULL);
}

static void
test_shared (gconstpointer data)
{
  const Attack *attack = data;
  Fixture fixture;
  Raw raw;

  set_up_shared (&fixture);
  raw_set_up (&raw, IO_STREAM_OPEN_SHARED);
  lend_all (&fixture);
  raw_take_all (&raw);
  attack->run (&raw);
  meet_neighbour (&fixture, N_BUFFERS);
  if (attack->is_violation)
    assert_cut_off (&fixture, &raw);
  else
    assert_tolerated (&fixture, &raw);
  drop (&fixture, &raw);
  tear_down_shared (&fixture);
}

/* What the neighbour has, it has under a number that is known. */
static void
test_shared_foreign (void)
{
  Fixture fixture;
  Raw raw;

  set_up_shared (&fixture);
  raw_set_up (&raw, IO_STREAM_OPEN_SHARED);
  g_assert_cmpint (raw_simple (&raw, IO_OPCODE_STOP), ==, 0);
  lend_all (&fixture);
  for (guint32 id = 0; id < N_BUFFERS; id++)
    raw_return (&raw, id, fixture.sequence - 1 - id, nothing);
  assert_cut_off (&fixture, &raw);
  drop_quietly (&fixture, &raw);
  meet_neighbour (&fixture, N_BUFFERS);
  tear_down_shared (&fixture);
}

/* The owner is inside of what it hears of the entries when the call comes. */
static void
serve_cb (IOStream *stream,
          guint     token,
          gpointer  done)
{
  for (guint i = 0; i < 100000 && !g_atomic_int_get ((int *) done); i++)
    g_main_context_iteration (io_work_loop_get_context (io_service_get_work_loop (IO_SERVICE (stream))), FALSE);
}

static void
test_shared_ready_again (void)
{
  Fixture fixture;
  int done = 0;
  Raw raw;

  set_up_shared (&fixture);
  g_signal_connect (fixture.stream, "input", G_CALLBACK (serve_cb), &done);
  raw_set_up (&raw, IO_STREAM_OPEN_SHARED);
  lend_all (&fixture);
  raw_take_all (&raw);
  raw_return (&raw, raw.ids[0], raw.sequences[0], nothing);
  raw_return (&raw, raw.ids[0], raw.sequences[0], nothing);
  g_assert_cmpint (raw_simple (&raw, IO_OPCODE_READY), !=, 0);
  g_atomic_int_set (&done, TRUE);
  meet_neighbour (&fixture, N_BUFFERS);
  assert_cut_off (&fixture, &raw);
  drop (&fixture, &raw);
  tear_down_shared (&fixture);
}

static gboolean
delivery_cb (gpointer data)
{
  GList *clients = io_service_get_clients (data);
  gboolean same = TRUE;

  for (GList *l = clients; l != NULL; l = l->next)
    if (g_str_equal (io_user_client_get_client_name (l->data), "hostile"))
      same = io_stream_user_client_get_delivery (l->data) == IO_STREAM_DELIVERY_DROP_NEWEST;
  g_list_free_full (clients, g_object_unref);

  return same;
}

/* Opens as nobody should. */
static void
test_shared_wishes (void)
{
  static const char * const wishes[] = {
    "{'delivery': <uint32 4>}", "{'delivery': <uint32 4294967295>}", "{'delivery': <'block'>}",
    "{'delivery': <int32 1>}", "{'delivery': <@mu nothing>}", "{'delivery': <(uint32 1,)>}"
  };
  Fixture fixture;
  Raw raw;

  set_up_shared (&fixture);
  raw_connect (&raw);
  raw_hello (&raw);
  for (guint i = 0; i < G_N_ELEMENTS (wishes); i++)
    {
      g_autoptr (GVariant) dict = g_variant_parse (G_VARIANT_TYPE_VARDICT, wishes[i], NULL, NULL, NULL);

      g_assert_cmpint (raw_call (&raw, IO_OPCODE_OPEN,
                                 g_variant_new ("(u@a{sv})", (guint32) IO_STREAM_OPEN_SHARED, dict),
                                 NULL, NULL, NULL), ==, IO_STREAM_ERROR_BAD_ARGUMENT);
    }
  raw.options = IO_STREAM_OPEN_SHARED;
  raw_open (&raw);
  raw_map (&raw);
  g_assert_cmpint (raw_simple (&raw, IO_OPCODE_START), ==, IO_STREAM_ERROR_NOT_OPEN);
  g_assert_cmpint (raw_simple (&raw, IO_OPCODE_READY), ==, 0);
  g_assert_cmpint (raw_simple (&raw, IO_OPCODE_READY), ==, IO_STREAM_ERROR_STILL_OPEN);
  g_assert_cmpint (raw_call (&raw, IO_OPCODE_OPEN, open_args (IO_STREAM_OPEN_SHARED), NULL, NULL, NULL),
                   ==, IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  g_assert_true (io_work_loop_run_action (fixture.loop, delivery_cb, fixture.stream));
  drop (&fixture, &raw);
  tear_down_shared (&fixture);
}

/* Out of step with the protocol. */

static void
test_before_hello (Fixture       *self,
                   gconstpointer  data)
{
  static const guint opcodes[] = {
    IO_OPCODE_GET_ATTRIBUTES, IO_OPCODE_READY, IO_OPCODE_CLOSE, IO_OPCODE_START, IO_OPCODE_STOP,
    IO_OPCODE_SUSPEND, IO_OPCODE_GET_MODE, IO_OPCODE_GET_BUFFER_COUNT, IO_OPCODE_GET_SYNC_BELL
  };

  for (guint i = 0; i < G_N_ELEMENTS (opcodes) + 3; i++)
    {
      Raw raw;
      int result;

      raw_connect (&raw);
      if (i < G_N_ELEMENTS (opcodes))
        result = raw_simple (&raw, opcodes[i]);
      else if (i == G_N_ELEMENTS (opcodes))
        result = raw_call (&raw, IO_OPCODE_OPEN, open_args (0), NULL, NULL, NULL);
      else
        result = raw_call (&raw, i % 2 ? IO_OPCODE_GET_MEMORY : IO_OPCODE_GET_BUFFERS,
                           g_variant_new ("(u)", 0x30000000), NULL, NULL, NULL);
      g_assert_cmpint (result, !=, 0);
      drop (self, &raw);
      stream_honestly (self);
    }
}

static void
test_before_open (Fixture       *self,
                  gconstpointer  data)
{
  Raw raw;

  raw_connect (&raw);
  raw_hello (&raw);
  g_assert_cmpint (raw_simple (&raw, IO_OPCODE_READY), ==, IO_STREAM_ERROR_NOT_OPEN);
  g_assert_cmpint (raw_simple (&raw, IO_OPCODE_START), ==, IO_STREAM_ERROR_NOT_OPEN);
  g_assert_cmpint (raw_simple (&raw, IO_OPCODE_STOP), ==, IO_STREAM_ERROR_NOT_OPEN);
  g_assert_cmpint (raw_simple (&raw, IO_OPCODE_GET_SYNC_BELL), ==, IO_STREAM_ERROR_NOT_OPEN);
  g_assert_cmpint (raw_simple (&raw, IO_OPCODE_SUSPEND), ==, IO_STREAM_ERROR_NOT_OPEN);
  g_assert_cmpint (raw_call (&raw, IO_OPCODE_GET_MEMORY, g_variant_new ("(u)", 0x30000000), NULL, NULL, NULL),
                   ==, IO_STREAM_ERROR_NOT_OPEN);
  g_assert_cmpint (raw_call (&raw, IO_OPCODE_GET_BUFFERS, g_variant_new ("(u)", 0), NULL, NULL, NULL),
                   ==, IO_STREAM_ERROR_NOT_OPEN);
  drop (self, &raw);
  stream_honestly (self);
}

static void
test_before_ready (Fixture       *self,
                   gconstpointer  data)
{
  Raw raw;

  raw_connect (&raw);
  raw_hello (&raw);
  raw_open (&raw);
  g_assert_cmpint (raw_simple (&raw, IO_OPCODE_START), >, 0);
  g_assert_cmpint (raw_simple (&raw, IO_OPCODE_SUSPEND), >, 0);
  g_assert_cmpint (raw_simple (&raw, IO_OPCODE_GET_SYNC_BELL), ==, IO_STREAM_ERROR_NOT_READY);
  g_assert_false (io_stream_send_buffer (self->stream, io_stream_get_buffer_with_id (self->stream, 0), NULL));

  /* What it writes before is not looked at. */
  raw_map (&raw);
  raw_return (&raw, 0, 0, nothing);
  look (self);
  g_assert_false (is_cut_off (&raw));
  drop (self, &raw);
  stream_honestly (self);
}

/* Nothing can be mapped after it. */
static void
test_ready_before_mapping (Fixture       *self,
                           gconstpointer  data)
{
  Raw raw;

  raw_connect (&raw);
  raw_hello (&raw);
  raw_open (&raw);
  g_assert_cmpint (raw_simple (&raw, IO_OPCODE_READY), ==, 0);
  g_assert_cmpint (raw_simple (&raw, IO_OPCODE_START), ==, 0);
  g_assert_true (mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, raw.memory_fds[1], 0) == MAP_FAILED);
  lend_all (self);
  drop (self, &raw);
  stream_honestly (self);
}

/* Asks and never reads what it is told. */
static void
test_never_reading (Fixture       *self,
                    gconstpointer  data)
{
  guint n_calls = 0;
  Raw raw;

  raw_set_up (&raw, 0);
  lend_all (self);
  while (n_calls < 100000 && !is_cut_off (&raw))
    {
      g_autoptr (GBytes) packet = _io_packet_build (IO_PACKET_CALL, IO_OPCODE_GET_ATTRIBUTES, ++raw.serial,
                                                    0, NULL, NULL);
      gsize size;
      const void *bytes = g_bytes_get_data (packet, &size);

      if (send (raw.control, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN)
        break;
      n_calls++;
    }
  look (self);
  drop (self, &raw);
  stream_honestly (self);
}

/* The bounds of what it writes are looked at twice, once by each thread. */
static gpointer
flip_thread (gpointer data)
{
  Raw *raw = data;

  for (guint i = 0; i < 300000; i++)
    {
      guint64 index = raw->input + i % raw->count;
      IOAbiEntry *entry = &raw->own->entries[index % raw->count];

      entry->data_length = i % 2 ? 0 : G_MAXUINT32;
      entry->control_offset = (guint32) i * 0x10000;
      entry->sequence = i;
      entry->tag = raw_mark (index, raw->count) | i % 8;
    }

  return NULL;
}

static void
test_racing (Fixture       *self,
             gconstpointer  data)
{
  for (guint round = 0; round < 10; round++)
    {
      GThread *thread;
      Raw raw;

      raw_set_up (&raw, 0);
      lend_all (self);
      raw_take_all (&raw);
      thread = g_thread_new ("flip", flip_thread, &raw);
      assert_cut_off (self, &raw);
      g_thread_join (thread);
      drop (self, &raw);
      stream_honestly (self);
    }
}

#define ADD(path, func) g_test_add ("/stream-hostile/" path, Fixture, NULL, set_up, func, tear_down)

int
main (int   argc,
      char *argv[])
{
  char *dir;
  int status;

  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();

  for (guint i = 0; i < G_N_ELEMENTS (attacks); i++)
    {
      g_autofree char *output = g_strconcat ("/stream-hostile/", attacks[i].name, NULL);
      g_autofree char *shared = g_strconcat ("/stream-hostile/shared/", attacks[i].name, NULL);
      g_autofree char *listening = g_strconcat ("/stream-hostile/listening/", attacks[i].name, NULL);

      g_test_add_data_func (output, &attacks[i], test_output);
      g_test_add_data_func (listening, &attacks[i], test_listening);
      g_test_add_data_func (shared, &attacks[i], test_shared);
    }
  g_test_add_func ("/stream-hostile/shared/foreign", test_shared_foreign);
  g_test_add_func ("/stream-hostile/shared/ready-again", test_shared_ready_again);
  g_test_add_func ("/stream-hostile/shared/wishes", test_shared_wishes);
  ADD ("before-hello", test_before_hello);
  ADD ("before-open", test_before_open);
  ADD ("before-ready", test_before_ready);
  ADD ("ready-before-mapping", test_ready_before_mapping);
  ADD ("never-reading", test_never_reading);
  ADD ("racing", test_racing);

  status = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return status;
}
