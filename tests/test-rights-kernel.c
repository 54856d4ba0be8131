/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A client that may only read, and knows every way to write what it was given:
 * the kernel lets it do none of them. Whether it is of the same user or of
 * another does not matter. */

#include "rights-util.h"

#include "libiostream/io-names-private.h"
#include "libiostream/io-packet-private.h"
#include "libiostream/io-service-private.h"
#include "libiostream/io-user-client-private.h"

#include <sys/ptrace.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/un.h>

#define N_BUFFERS 2
#define DATA_SIZE 10000
#define PATTERN   0x5a

/* --- the client ---------------------------------------------------------- */

typedef struct {
  int  socket;
  int  fds[8];
  int  n_fds;
  int  status;
} Raw;

static void
raw_connect (Raw *raw)
{
  g_autofree char *path = _io_names_dup_socket_path ("test", NULL);
  struct sockaddr_un address = { .sun_family = AF_UNIX };

  raw->socket = socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  g_strlcpy (address.sun_path, path, sizeof address.sun_path);
  g_assert_cmpint (connect (raw->socket, (struct sockaddr *) &address, sizeof address), ==, 0);
}

/* Keeps the descriptors of the answer. */
static void
raw_receive (Raw   *raw,
             guint  opcode)
{
  guint8 buffer[IO_PROTOCOL_MAX_PACKET];
  union { char bytes[CMSG_SPACE (8 * sizeof (int))]; struct cmsghdr align; } control;
  struct iovec vector = { buffer, sizeof buffer };
  IOPacketHeader header;

  do
    {
      struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1,
                                .msg_control = &control, .msg_controllen = sizeof control };
      g_autoptr (GVariant) body = NULL;
      gssize n = recvmsg (raw->socket, &message, MSG_CMSG_CLOEXEC);
      struct cmsghdr *cmsg = CMSG_FIRSTHDR (&message);

      g_assert_cmpint (n, >, 0);
      g_assert_true (_io_packet_parse (buffer, (gsize) n, &header, &body, NULL));
      raw->n_fds = cmsg != NULL ? (int) ((cmsg->cmsg_len - CMSG_LEN (0)) / sizeof (int)) : 0;
      if (raw->n_fds > 0)
        memcpy (raw->fds, CMSG_DATA (cmsg), (gsize) raw->n_fds * sizeof (int));
    }
  while (header.kind == IO_PACKET_EVENT);
  g_assert_cmpuint (header.opcode, ==, opcode);
  raw->status = header.status;
}

static void
raw_call (Raw      *raw,
          guint     opcode,
          GVariant *args)
{
  static guint serial;
  g_autoptr (GBytes) packet = _io_packet_build (IO_PACKET_CALL, opcode, ++serial, 0, args, NULL);
  gsize size;
  const void *data = g_bytes_get_data (packet, &size);

  g_assert_cmpint (send (raw->socket, data, size, MSG_NOSIGNAL), ==, (gssize) size);
  raw_receive (raw, opcode);
}

/* The ways to write. Each tells whether it worked. */

static gboolean
write_mapped (int fd)
{
  guint8 *bytes = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

  if (bytes == MAP_FAILED)
    return FALSE;
  bytes[0] ^= 1;
  munmap (bytes, 4096);

  return TRUE;
}

static gboolean
write_protected (int fd)
{
  void *bytes = mmap (NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
  gboolean works;

  if (bytes == MAP_FAILED)
    return FALSE;
  works = mprotect (bytes, 4096, PROT_READ | PROT_WRITE) == 0 ||
          madvise (bytes, 4096, MADV_REMOVE) == 0;
  munmap (bytes, 4096);

  return works;
}

static gboolean
write_at (int fd)
{
  return pwrite (fd, "x", 1, 0) == 1;
}

static gboolean
change_size (int fd)
{
  struct stat st;

  g_assert_cmpint (fstat (fd, &st), ==, 0);

  return ftruncate (fd, 0) == 0 || ftruncate (fd, st.st_size - 1) == 0 || ftruncate (fd, st.st_size + 4096) == 0;
}

static gboolean
punch (int fd)
{
  return fallocate (fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0 ||
         fallocate (fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0;
}

/* From the inside of the kernel. */
static gboolean
move_into (int fd)
{
  int from = memfd_create ("from", MFD_CLOEXEC);
  gboolean works;
  int ends[2];

  g_assert_cmpint (pwrite (from, "x", 1, 0), ==, 1);
  g_assert_cmpint (pipe2 (ends, O_CLOEXEC), ==, 0);
  g_assert_cmpint (write (ends[1], "x", 1), ==, 1);
  works = copy_file_range (from, &(off_t) { 0 }, fd, &(off_t) { 0 }, 1, 0) > 0 ||
          sendfile (fd, from, &(off_t) { 0 }, 1) > 0 ||
          splice (ends[0], NULL, fd, &(off_t) { 0 }, 1, 0) > 0;
  close (ends[0]);
  close (ends[1]);
  close (from);

  return works;
}

static const struct {
  const char *name;
  gboolean  (*func) (int fd);
} ways[] = {
  { "mmap", write_mapped },
  { "mprotect", write_protected },
  { "pwrite", write_at },
  { "ftruncate", change_size },
  { "fallocate", punch },
  { "splice", move_into },
};

static const char *
attack_one (int fd)
{
  for (guint i = 0; i < G_N_ELEMENTS (ways); i++)
    if (ways[i].func (fd))
      return ways[i].name;

  return NULL;
}

/* The name of a way in, or NULL. */
static const char *
attack (int fd)
{
  const int flags[] = { O_RDWR, O_WRONLY, O_RDWR | O_TRUNC, O_RDWR | O_APPEND };
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", fd);
  const char *way = attack_one (fd);

  /* Given as much right to the file as there is. */
  G_GNUC_UNUSED int ignored = fchmod (fd, 0777);
  for (guint i = 0; way == NULL && i < G_N_ELEMENTS (flags); i++)
    {
      int again = open (path, flags[i] | O_CLOEXEC);

      if (again < 0)
        continue;
      way = attack_one (again);
      close (again);
    }

  return way;
}

static void
answer_attack (const char *what,
               int         fd)
{
  const char *way = attack (fd);

  peer_say ("%s: %s", what, way != NULL ? way : "no way");
}

/* What needs no descriptor, and only another user is refused. */
static void
attack_process (void)
{
  g_autofree char *memory = g_strdup_printf ("/proc/%d/mem", getppid ());
  struct iovec here = { memory, 1 };

  if (geteuid () == 0)
    return;

  g_assert_cmpint (open (memory, O_RDWR | O_CLOEXEC), ==, -1);
  g_assert_cmpint (process_vm_writev (getppid (), &here, 1, &here, 1, 0), ==, -1);
  g_assert_cmpint (ptrace (PTRACE_SEIZE, getppid (), NULL, NULL), ==, -1);
}

static void
get_memory (Raw        *raw,
            guint       id,
            const char *what)
{
  raw_call (raw, IO_OPCODE_GET_MEMORY, g_variant_new ("(u)", IO_STREAM_MEMORY_BUFFER_DATA | id));
  if (raw->status != 0)
    peer_say ("%s: %d", what, raw->status);
  else
    answer_attack (what, raw->fds[0]);
}

static int
run_attacker (char **argv)
{
  Raw raw = { 0, };
  int own, mine;

  rights_become (argv[0]);
  if (strcmp (argv[0], MYSELF) != 0)
    attack_process ();
  raw_connect (&raw);
  raw_call (&raw, IO_OPCODE_HELLO, g_variant_new_parsed ("(%u, 'attacker', @a{sv} {})", IO_PROTOCOL_VERSION));
  peer_say ("hello: %d", raw.status);
  raw_call (&raw, IO_OPCODE_OPEN, g_variant_new_parsed ("(uint32 0, @a{sv} {})"));
  peer_say ("open: %d, %d descriptors", raw.status, raw.n_fds);
  if (raw.status != 0)
    return 0;

  own = raw.fds[0];
  mine = raw.fds[1];
  answer_attack ("region of the owner", own);
  answer_attack ("region of the client", mine);
  get_memory (&raw, 0, "buffer");
  raw_call (&raw, IO_OPCODE_READY, NULL);
  peer_say ("ready: %d", raw.status);
  answer_attack ("region of the owner", own);
  answer_attack ("region of the client", mine);
  get_memory (&raw, 1, "buffer");
  g_free (peer_take_order ());
  get_memory (&raw, N_BUFFERS, "new buffer");
  raw_call (&raw, IO_OPCODE_GET_TRANSFER, g_variant_new ("(t)", (guint64) 100000));
  peer_say ("transfer: %d", raw.status);

  return 0;
}

/* Tries to write what it has a read-only descriptor of. */
static int
run_reader (char **argv)
{
  rights_become (argv[0]);
  g_assert_cmpint (fcntl (PEER_SOCKET_FD, F_GETFL) & O_ACCMODE, ==, O_RDONLY);
  g_assert_null (attack_one (PEER_SOCKET_FD));
  answer_attack ("memory", PEER_SOCKET_FD);

  return 0;
}

/* --- the owner ----------------------------------------------------------- */

typedef struct {
  IOWorkLoop *loop;
  IOStream   *stream;
} Owner;

static gboolean
read_only_cb (IOService    *service,
              IOUserClient *client,
              gpointer      data)
{
  io_user_client_set_read_only (client, TRUE);

  return TRUE;
}

static void
owner_start (Owner        *self,
             IOStreamMode  mode)
{
  g_autoptr (GError) error = NULL;

  self->loop = io_work_loop_new ("owner");
  self->stream = g_initable_new (IO_TYPE_STREAM, NULL, &error, "name", "test", "work-loop", self->loop,
                                 "mode", mode, "buffer-count", N_BUFFERS, "queue-length", 8,
                                 "data-size", (guint64) DATA_SIZE, "socket-mode", 0666, NULL);
  g_assert_no_error (error);
  g_signal_connect (self->stream, "authorize", G_CALLBACK (read_only_cb), NULL);
  for (guint i = 0; i < N_BUFFERS; i++)
    memset (io_stream_buffer_peek_data (io_stream_get_buffer_with_id (self->stream, i), NULL), PATTERN, DATA_SIZE);
  g_assert_true (io_service_register (IO_SERVICE (self->stream), &error));
  g_assert_no_error (error);
}

static void
owner_finish (Owner *self)
{
  io_service_terminate (IO_SERVICE (self->stream));
  io_work_loop_shut_down (self->loop);
  g_assert_finalize_object (self->stream);
  g_assert_finalize_object (self->loop);
}

static gboolean
add_cb (gpointer user_data)
{
  Owner *self = user_data;
  g_autoptr (GPtrArray) buffers = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (IOBufferMemoryDescriptor) memory = NULL;
  g_autoptr (GError) error = NULL;

  memory = io_buffer_memory_descriptor_new (DATA_SIZE, IO_STREAM_PEER_ACCESS_READ, &error);
  g_assert_no_error (error);
  g_ptr_array_add (buffers, io_stream_buffer_new (IO_MEMORY_DESCRIPTOR (memory), NULL));
  g_assert_true (io_stream_add_buffers (self->stream, buffers, &error));
  g_assert_no_error (error);

  return TRUE;
}

static void
check_reader (const char *user)
{
  Owner owner;
  Peer *peer;

  owner_start (&owner, IO_STREAM_MODE_OUTPUT);
  peer = peer_spawn (-1, -1, "attacker", user, NULL);
  peer_expect (peer, "hello: 0");
  peer_expect (peer, "open: 0, 3 descriptors");
  peer_expect (peer, "region of the owner: no way");
  /* what it returns is written there */
  peer_expect (peer, "region of the client: mmap");
  peer_expect (peer, "buffer: no way");
  peer_expect (peer, "ready: 0");
  peer_expect (peer, "region of the owner: no way");
  peer_expect (peer, "region of the client: no way");
  peer_expect (peer, "buffer: no way");
  io_work_loop_run_action (owner.loop, add_cb, &owner);
  peer_order (peer, "go on");
  peer_expect (peer, "new buffer: no way");
  peer_expect (peer, "transfer: " G_STRINGIFY (29));
  peer_finish (peer);

  for (guint i = 0; i < N_BUFFERS; i++)
    {
      const guint8 *bytes = io_stream_buffer_peek_data (io_stream_get_buffer_with_id (owner.stream, i), NULL);

      for (guint j = 0; j < DATA_SIZE; j++)
        g_assert_cmpuint (bytes[j], ==, PATTERN);
    }
  owner_finish (&owner);
}

static void
test_own_user (void)
{
  G_STATIC_ASSERT (IO_STREAM_ERROR_NOT_PERMITTED == 29);

  check_reader (MYSELF);
}

static void
test_other_user (void)
{
  rights_skip_unless_root ();
  check_reader (G_STRINGIFY (NOBODY));
}

/* Where clients write, one that may only read gets nothing at all. */
static void
test_writable_stream (void)
{
  Owner owner;
  Peer *peer;

  owner_start (&owner, IO_STREAM_MODE_INPUT);
  peer = peer_spawn (-1, -1, "attacker", MYSELF, NULL);
  peer_expect (peer, "hello: 0");
  peer_expect (peer, "open: 29, 0 descriptors");
  peer_finish (peer);
  owner_finish (&owner);
}

/* Why it gets no read-only descriptor of memory that others can write. */
static void
check_descriptor (guint       mode,
                  const char *user,
                  const char *way)
{
  int fd = make_memfd (4096, F_SEAL_SHRINK | F_SEAL_GROW);
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", fd);
  g_autofree char *answer = g_strconcat ("memory: ", way, NULL);
  int read_only = open (path, O_RDONLY | O_CLOEXEC);
  Peer *peer;

  g_assert_cmpint (read_only, >=, 0);
  g_assert_no_errno (fchmod (fd, mode));
  peer = peer_spawn (read_only, -1, "reader", user, NULL);
  peer_expect (peer, answer);
  peer_finish (peer);
  close (read_only);
  close (fd);
}

static void
test_read_only_descriptor (void)
{
  /* its own user changes the mode back */
  check_descriptor (0777, MYSELF, "mmap");
  check_descriptor (0400, MYSELF, "mmap");
  check_descriptor (0000, MYSELF, "mmap");
}

static void
test_read_only_descriptor_others (void)
{
  rights_skip_unless_root ();
  /* as memfd_create() makes it */
  check_descriptor (0777, G_STRINGIFY (NOBODY), "mmap");
  /* this would hold, but only here */
  check_descriptor (0400, G_STRINGIFY (NOBODY), "no way");
}

static int
run_peer (const char  *role,
          char       **argv)
{
  peer_begin ();

  return strcmp (role, "attacker") == 0 ? run_attacker (argv) : run_reader (argv);
}

int
main (int   argc,
      char *argv[])
{
  char *dir;
  int status;

  if (argc > 3 && strcmp (argv[1], "--peer") == 0)
    return run_peer (argv[2], argv + 3);

  *peer_program () = argv[0];
  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();
  g_assert_cmpint (chmod (dir, 0711), ==, 0);

  g_test_add_func ("/rights-kernel/reader/own-user", test_own_user);
  g_test_add_func ("/rights-kernel/reader/other-user", test_other_user);
  g_test_add_func ("/rights-kernel/writable-stream", test_writable_stream);
  g_test_add_func ("/rights-kernel/read-only-descriptor/own-user", test_read_only_descriptor);
  g_test_add_func ("/rights-kernel/read-only-descriptor/other-user", test_read_only_descriptor_others);

  status = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return status;
}
