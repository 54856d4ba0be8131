/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What each client may do, by who it is: clients in other processes, some of
 * them of other users. */

#include "rights-util.h"

#include "libiostream/io-door-private.h"
#include "libiostream/io-names-private.h"
#include "libiostream/io-packet-private.h"

#include <sys/un.h>

#define N_BUFFERS 8

/* What the owner decides, and whom it saw last. */
typedef struct {
  const char *dir;
  IOWorkLoop *loop;
  IOStream   *stream;

  GMutex      lock;
  guint       uid;
  guint       gid;
  int         pid;
  char       *name;
  guint       n_seen;
} Fixture;

static void
look_at (Fixture      *self,
         IOUserClient *client)
{
  g_mutex_lock (&self->lock);
  self->uid = io_user_client_get_uid (client);
  self->gid = io_user_client_get_gid (client);
  self->pid = io_user_client_get_pid (client);
  self->n_seen++;
  g_free (self->name);
  self->name = g_strdup (io_user_client_get_client_name (client));
  g_mutex_unlock (&self->lock);
}

static gboolean
allow_cb (IOService    *service,
          IOUserClient *client,
          gpointer      user_data)
{
  look_at (user_data, client);

  return TRUE;
}

static gboolean
read_only_cb (IOService    *service,
              IOUserClient *client,
              gpointer      user_data)
{
  look_at (user_data, client);
  io_user_client_set_read_only (client, TRUE);

  return TRUE;
}

/* All for itself, little for one, nothing for the others. */
static gboolean
by_user_cb (IOService    *service,
            IOUserClient *client,
            gpointer      user_data)
{
  g_autoptr (GError) reason = NULL;

  look_at (user_data, client);
  if (io_user_client_get_uid (client) == geteuid ())
    return TRUE;
  if (io_user_client_get_uid (client) != NOBODY)
    {
      reason = g_error_new (IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PRIVILEGED,
                            "Strangers such as user %u buy a ticket first", io_user_client_get_uid (client));
      io_user_client_terminate (client, reason);
      return FALSE;
    }

  io_user_client_set_read_only (client, TRUE);
  io_user_client_set_limits (client, 2, 1 << 20);
  return TRUE;
}

/* The same without other users: the second gets little, the third nothing. */
static gboolean
by_turn_cb (IOService    *service,
            IOUserClient *client,
            gpointer      user_data)
{
  Fixture *self = user_data;

  look_at (self, client);
  if (self->n_seen == 2)
    {
      io_user_client_set_read_only (client, TRUE);
      io_user_client_set_limits (client, 2, 1 << 20);
    }

  return self->n_seen < 3;
}

static void
make_stream (Fixture   *self,
             guint      socket_mode,
             GCallback  authorize)
{
  g_autoptr (GError) error = NULL;

  self->stream = g_initable_new (IO_TYPE_STREAM, NULL, &error, "name", "test", "work-loop", self->loop,
                                 "buffer-count", N_BUFFERS, "data-size", (guint64) 10000,
                                 "socket-mode", socket_mode, NULL);
  g_assert_no_error (error);
  if (authorize != NULL)
    g_signal_connect (self->stream, "authorize", authorize, self);
  g_assert_true (io_service_register (IO_SERVICE (self->stream), &error));
  g_assert_no_error (error);
}

static void
set_up (Fixture       *self,
        gconstpointer  data)
{
  self->dir = data;
  self->loop = io_work_loop_new ("owner");
  g_mutex_init (&self->lock);
}

static void
tear_down (Fixture       *self,
           gconstpointer  data)
{
  if (self->stream != NULL)
    io_service_terminate (IO_SERVICE (self->stream));
  io_work_loop_shut_down (self->loop);
  if (self->stream != NULL)
    g_assert_finalize_object (self->stream);
  g_assert_finalize_object (self->loop);
  g_mutex_clear (&self->lock);
  g_free (self->name);
}

static void
assert_seen (Fixture *self,
             guint    uid,
             int      pid)
{
  g_mutex_lock (&self->lock);
  g_assert_cmpuint (self->uid, ==, uid);
  g_assert_cmpuint (self->gid, ==, uid == geteuid () ? getegid () : uid);
  g_assert_cmpint (self->pid, ==, pid);
  g_mutex_unlock (&self->lock);
}

static char *
name_user (guint uid)
{
  return g_strdup_printf ("“test”: user %u is not let in", uid);
}

static void
open_and_start (Peer *peer)
{
  rights_ask (peer, "connect", 0, NULL);
  rights_ask (peer, "open", 0, NULL);
  rights_ask (peer, "start", 0, NULL);
}

static gboolean
send_one (Fixture  *self,
          GError  **error)
{
  IOStreamBuffer *buffer = io_stream_acquire_buffer (self->stream, error);

  if (buffer == NULL)
    return FALSE;
  if (io_stream_send_buffer (self->stream, buffer, error))
    return TRUE;

  io_stream_release_buffer (self->stream, buffer);
  return FALSE;
}

/* Who is let in. */

/* Without a handler: those of the same user, and nobody else. */
static void
test_default (Fixture       *self,
              gconstpointer  data)
{
  Peer *peer = rights_spawn (-1, "client", MYSELF);

  make_stream (self, 0666, NULL);
  open_and_start (peer);
  peer_finish (peer);
}

static void
test_default_others (Fixture       *self,
                     gconstpointer  data)
{
  guint uids[] = { NOBODY, STRANGER };

  rights_skip_unless_root ();
  make_stream (self, 0666, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (uids); i++)
    {
      g_autofree char *user = g_strdup_printf ("%u", uids[i]);
      g_autofree char *text = name_user (uids[i]);
      Peer *peer = rights_spawn (-1, "client", user);

      rights_ask (peer, "connect", IO_STREAM_ERROR_NOT_PERMITTED, text);
      /* and again */
      rights_ask (peer, "connect", IO_STREAM_ERROR_NOT_PERMITTED, text);
      peer_finish (peer);
    }
}

static void
test_by_user (Fixture       *self,
              gconstpointer  data)
{
  Peer *own, *nobody, *stranger;

  rights_skip_unless_root ();
  make_stream (self, 0666, G_CALLBACK (by_user_cb));
  own = rights_spawn (-1, "client", MYSELF);
  nobody = rights_spawn (-1, "client", G_STRINGIFY (NOBODY));
  stranger = rights_spawn (-1, "client", G_STRINGIFY (STRANGER));

  rights_ask (stranger, "connect", IO_STREAM_ERROR_NOT_PRIVILEGED,
              "Strangers such as user " G_STRINGIFY (STRANGER) " buy a ticket first");
  assert_seen (self, STRANGER, stranger->pid);
  open_and_start (nobody);
  assert_seen (self, NOBODY, nobody->pid);
  rights_ask (own, "connect", 0, NULL);
  assert_seen (self, geteuid (), own->pid);

  for (guint round = 0; round < 3; round++)
    {
      stream_util_assert_works (send_one (self, err));
      stream_util_assert_works (send_one (self, err));
      rights_ask (nobody, "take", 0, NULL);
      rights_ask (nobody, "take", 0, NULL);
      stream_util_assert_fails (send_one (self, err), IO_STREAM_ERROR_OVERRUN);
      rights_ask (nobody, "return", 0, NULL);
      stream_util_assert_works (send_one (self, err));
      stream_util_assert_fails (send_one (self, err), IO_STREAM_ERROR_OVERRUN);
      rights_ask (nobody, "take", 0, NULL);
      rights_ask (nobody, "return", 0, NULL);
      rights_ask (nobody, "return", 0, NULL);
    }
  rights_ask (nobody, "attribute", IO_STREAM_ERROR_NOT_PERMITTED, "may only read");

  peer_finish (stranger);
  peer_finish (nobody);
  peer_finish (own);
}

/* What a client that may only read cannot do; of what user it is does not
 * matter. */
static void
test_read_only (Fixture       *self,
                gconstpointer  data)
{
  Peer *first = rights_spawn (-1, "client", MYSELF);
  Peer *second = rights_spawn (-1, "client", MYSELF);

  make_stream (self, 0600, G_CALLBACK (read_only_cb));
  open_and_start (first);
  stream_util_assert_works (send_one (self, err));
  rights_ask (first, "take", 0, NULL);
  rights_ask (first, "attribute", IO_STREAM_ERROR_NOT_PERMITTED, "may only read");
  rights_ask (first, "mode", IO_STREAM_ERROR_NOT_PERMITTED, "stream “test”");
  rights_ask (second, "connect", 0, NULL);
  rights_ask (second, "seize", IO_STREAM_ERROR_NOT_PERMITTED, "may only read");
  rights_ask (second, "open", IO_STREAM_ERROR_EXCLUSIVE_ACCESS, NULL);
  /* the first one noticed nothing */
  rights_ask (first, "return", 0, NULL);
  stream_util_assert_works (send_one (self, err));
  rights_ask (first, "take", 0, NULL);
  rights_ask (first, "stop", 0, NULL);

  peer_finish (second);
  peer_finish (first);
}

typedef struct {
  Fixture *fixture;
  guint    n_clients;
  guint    most;      /* that any but the first holds */
} Held;

static gboolean
look_at_held_cb (gpointer user_data)
{
  Held *held = user_data;
  g_autolist (IOUserClient) clients = io_service_get_clients (IO_SERVICE (held->fixture->stream));

  held->n_clients = g_list_length (clients);
  held->most = 0;
  for (GList *l = clients; l != NULL; l = l->next)
    if (io_user_client_get_read_only (l->data))
      held->most = MAX (held->most, io_stream_user_client_get_held (l->data));

  return TRUE;
}

/* Also looks at what came back. */
static void
assert_held (Fixture *self,
             guint    n)
{
  Held held = { self, 0, 0 };

  io_work_loop_run_action (self->loop, look_at_held_cb, &held);
  g_assert_cmpuint (held.n_clients, ==, 2);
  g_assert_cmpuint (held.most, ==, n);
}

/* Each of several clients of one stream has its own rights: the first gets
 * everything, the second never has more than two buffers and misses the rest,
 * and the third is sent away. */
static void
share (Fixture    *self,
       const char *second,
       const char *third,
       int         code)
{
  Peer *all = rights_spawn (-1, "client", MYSELF);
  Peer *limited = rights_spawn (-1, "client", second);
  Peer *refused = rights_spawn (-1, "client", third);
  guint missed = 0;

  rights_ask (all, "connect", 0, NULL);
  rights_ask (all, "share", 0, NULL);
  rights_ask (all, "start", 0, NULL);
  rights_ask (limited, "connect", 0, NULL);
  rights_ask (limited, "drop-newest", 0, NULL);
  rights_ask (limited, "share", 0, NULL);
  rights_ask (limited, "start", 0, NULL);
  rights_ask (refused, "connect", code, NULL);

  for (guint round = 0; round < 5; round++)
    {
      for (guint i = 0; i < 2 + round * 3; i++)
        {
          stream_util_assert_works (send_one (self, err));
          rights_ask (all, "take", 0, NULL);
          rights_ask (all, "return", 0, NULL);
          assert_held (self, MIN (i + 1, 2));
        }
      rights_ask (limited, "take", 0, NULL);
      rights_ask (limited, "take", 0, NULL);
      assert_held (self, 2);
      if (round > 0)
        {
          /* what it missed after the last two that it took */
          g_autofree char *order = g_strdup_printf ("missed %u", missed);

          rights_ask (limited, order, 0, NULL);
        }
      missed += round * 3;
      rights_ask (limited, "mode", IO_STREAM_ERROR_NOT_PERMITTED, NULL);
      rights_ask (limited, "return", 0, NULL);
      assert_held (self, 1);
      rights_ask (limited, "return", 0, NULL);
      assert_held (self, 0);
    }
  rights_ask (all, "missed 0", 0, NULL);
  rights_ask (refused, "connect", code, NULL);

  peer_finish (refused);
  peer_finish (limited);
  peer_finish (all);
}

static void
test_shared (Fixture       *self,
             gconstpointer  data)
{
  make_stream (self, 0600, G_CALLBACK (by_turn_cb));
  share (self, MYSELF, MYSELF, IO_STREAM_ERROR_NOT_PERMITTED);
}

static void
test_shared_by_user (Fixture       *self,
                     gconstpointer  data)
{
  rights_skip_unless_root ();
  make_stream (self, 0666, G_CALLBACK (by_user_cb));
  share (self, G_STRINGIFY (NOBODY), G_STRINGIFY (STRANGER), IO_STREAM_ERROR_NOT_PRIVILEGED);
}

/* Who is who. */

static int
raw_connect (void)
{
  g_autofree char *path = _io_names_dup_socket_path ("test", NULL);
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

  g_strlcpy (address.sun_path, path, sizeof address.sun_path);
  g_assert_cmpint (connect (fd, (struct sockaddr *) &address, sizeof address), ==, 0);

  return fd;
}

static GBytes *
make_hello (void)
{
  GVariant *body = g_variant_new_parsed ("(%u, 'root (uid 0)', {'uid': <uint32 0>, 'pid': <uint32 1>})",
                                         IO_PROTOCOL_VERSION);

  return _io_packet_build (IO_PACKET_CALL, IO_OPCODE_HELLO, 1, 0, body, NULL);
}

/* The status of the answer, or of what came instead of it. */
static int
raw_answer (int fd)
{
  guint8 buffer[IO_PROTOCOL_MAX_PACKET];
  g_autoptr (GVariant) body = NULL;
  IOPacketHeader header;
  gssize n = recv (fd, buffer, sizeof buffer, 0);
  guint code = 0;

  g_assert_cmpint (n, >, 0);
  g_assert_true (_io_packet_parse (buffer, (gsize) n, &header, &body, NULL));
  if (header.opcode == IO_OPCODE_TERMINATED)
    {
      g_variant_get (body, "(us)", &code, NULL);
      return (int) code;
    }

  g_assert_cmpuint (header.opcode, ==, IO_OPCODE_HELLO);
  return header.status;
}

/* Tries to send hello with credentials that it does not have. */
static gboolean
send_with_credentials (int                 fd,
                       const struct ucred *credentials)
{
  g_autoptr (GBytes) hello = make_hello ();
  union { char bytes[CMSG_SPACE (sizeof (struct ucred))]; struct cmsghdr align; } control = { { 0, } };
  struct iovec vector = { (gpointer) g_bytes_get_data (hello, NULL), g_bytes_get_size (hello) };
  struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1,
                            .msg_control = &control, .msg_controllen = sizeof control };
  struct cmsghdr *header = CMSG_FIRSTHDR (&message);

  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_CREDENTIALS;
  header->cmsg_len = CMSG_LEN (sizeof *credentials);
  memcpy (CMSG_DATA (header), credentials, sizeof *credentials);

  return sendmsg (fd, &message, MSG_NOSIGNAL) > 0;
}

/* Says to be root, in all ways there are. */
static int
run_liar (char **argv)
{
  struct ucred root = { .pid = getppid () };
  g_autofree char *order = NULL;
  int fd;

  rights_become (argv[0]);
  peer_say ("ready");
  order = peer_take_order ();
  fd = raw_connect ();
  g_assert_false (send_with_credentials (fd, &root));
  g_assert_cmpint (errno, ==, EPERM);
  g_assert_true (send_with_credentials (fd, &(struct ucred) { getpid (), getuid (), getgid () }));
  peer_say ("%d ", raw_answer (fd));

  return 0;
}

static void
test_liar (Fixture       *self,
           gconstpointer  data)
{
  Peer *peer;

  rights_skip_unless_root ();
  make_stream (self, 0666, G_CALLBACK (allow_cb));
  peer = rights_spawn (-1, "liar", G_STRINGIFY (NOBODY));
  rights_ask (peer, "connect", 0, NULL);
  assert_seen (self, NOBODY, peer->pid);
  peer_finish (peer);

  /* by default it is what the kernel says that decides */
  g_signal_handlers_disconnect_by_func (self->stream, allow_cb, self);
  peer = rights_spawn (-1, "liar", G_STRINGIFY (NOBODY));
  rights_ask (peer, "connect", IO_STREAM_ERROR_NOT_PERMITTED, NULL);
  peer_finish (peer);
}

/* It is who it was when it connected; the owner is not told of more. */
static void
test_changes_user (Fixture       *self,
                   gconstpointer  data)
{
  Peer *peer;

  rights_skip_unless_root ();
  make_stream (self, 0600, NULL);
  g_signal_connect (self->stream, "authorize", G_CALLBACK (by_user_cb), self);
  peer = rights_spawn (-1, "client", MYSELF);
  rights_ask (peer, "connect", 0, NULL);
  rights_ask (peer, "become " G_STRINGIFY (STRANGER), 0, NULL);
  rights_ask (peer, "open", 0, NULL);
  rights_ask (peer, "start", 0, NULL);
  stream_util_assert_works (send_one (self, err));
  rights_ask (peer, "take", 0, NULL);
  assert_seen (self, geteuid (), peer->pid);
  /* and it comes in no second time */
  rights_ask (peer, "connect", IO_STREAM_ERROR_NOT_PERMITTED, NULL);
  peer_finish (peer);
}

/* Connects, and leaves the rest to a process of another user. */
static int
run_giver (char **argv)
{
  g_autofree char *order = NULL;
  g_autoptr (GBytes) hello = make_hello ();
  int fd, status;
  pid_t pid;

  peer_say ("ready");
  order = peer_take_order ();
  fd = raw_connect ();
  pid = fork ();
  if (pid == 0)
    {
      rights_become (argv[0]);
      g_assert_cmpint (send (fd, g_bytes_get_data (hello, NULL), g_bytes_get_size (hello), MSG_NOSIGNAL), >, 0);
      peer_say ("%d ", raw_answer (fd));
      _exit (0);
    }
  close (fd);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);

  return 0;
}

/* Who gives his socket away gives his rights away. */
static void
test_passed_on (Fixture       *self,
                gconstpointer  data)
{
  Peer *peer;

  rights_skip_unless_root ();
  make_stream (self, 0600, NULL);
  g_signal_connect (self->stream, "authorize", G_CALLBACK (by_user_cb), self);
  peer = rights_spawn (-1, "giver", G_STRINGIFY (NOBODY));
  rights_ask (peer, "connect", 0, NULL);
  assert_seen (self, geteuid (), peer->pid);
  peer_finish (peer);
}

/* The kernel knows who made a pair, and that is the owner: to give one end to
 * somebody is to let him in. */
static void
test_socket_pair (Fixture       *self,
                  gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocket) socket = NULL;
  int fds[2];
  Peer *peer;

  rights_skip_unless_root ();
  make_stream (self, 0600, G_CALLBACK (by_user_cb));
  make_socket_pair (fds);
  socket = g_socket_new_from_fd (fds[0], &error);
  g_assert_no_error (error);
  g_assert_true (io_service_add_socket (IO_SERVICE (self->stream), socket, &error));
  g_assert_no_error (error);
  peer = rights_spawn (fds[1], "client", G_STRINGIFY (NOBODY));
  close (fds[1]);
  rights_ask (peer, "connect-socket", 0, NULL);
  assert_seen (self, geteuid (), getpid ());
  rights_ask (peer, "open", 0, NULL);
  /* the name is not for it */
  rights_ask (peer, "connect", IO_STREAM_ERROR_NOT_PERMITTED, NULL);
  peer_finish (peer);
}

/* How many. */

/* Takes all the connections that one user can have, and says nothing. */
static int
run_crowd (char **argv)
{
  g_autofree char *order = NULL;
  int fds[IO_DOOR_MAX_CONNECTIONS_UID];

  rights_become (argv[0]);
  peer_say ("ready");
  order = peer_take_order ();
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      g_autoptr (GBytes) hello = make_hello ();

      fds[i] = raw_connect ();
      g_assert_cmpint (send (fds[i], g_bytes_get_data (hello, NULL), g_bytes_get_size (hello), MSG_NOSIGNAL), >, 0);
      g_assert_cmpint (raw_answer (fds[i]), ==, 0);
    }
  peer_say ("%d ", raw_answer (raw_connect ()));
  g_assert_null (peer_take_order ());

  return 0;
}

static void
test_crowd (Fixture       *self,
            gconstpointer  data)
{
  Peer *crowd, *own, *nobody;

  rights_skip_unless_root ();
  make_stream (self, 0666, G_CALLBACK (allow_cb));
  crowd = rights_spawn (-1, "crowd", G_STRINGIFY (NOBODY));
  own = rights_spawn (-1, "client", MYSELF);
  nobody = rights_spawn (-1, "client", G_STRINGIFY (NOBODY));
  rights_ask (crowd, "connect", IO_STREAM_ERROR_NO_RESOURCES, NULL);
  rights_ask (nobody, "connect", IO_STREAM_ERROR_NO_RESOURCES, NULL);
  open_and_start (own);
  peer_finish (crowd);
  peer_finish (nobody);
  peer_finish (own);
}

/* The files. */

static guint
get_mode (Fixture    *self,
          const char *name)
{
  g_autofree char *path = g_build_filename (self->dir, name, NULL);
  struct stat st;

  g_assert_cmpint (lstat (path, &st), ==, 0);

  return st.st_mode & 07777;
}

/* Whatever the process takes away from the modes of its files, or does not. */
static void
test_modes (Fixture       *self,
            gconstpointer  data)
{
  const guint masks[] = { 0, 022, 077 };
  const guint modes[] = { 0600, 0660, 0666 };

  for (guint i = 0; i < G_N_ELEMENTS (masks) * G_N_ELEMENTS (modes); i++)
    {
      mode_t old = umask (masks[i / 3]);

      make_stream (self, modes[i % 3], NULL);
      g_assert_cmpuint (io_service_get_socket_mode (IO_SERVICE (self->stream)), ==, modes[i % 3]);
      g_assert_cmpuint (get_mode (self, "test"), ==, modes[i % 3]);
      g_assert_cmpuint (get_mode (self, "test.lock"), ==, 0600);
      io_service_terminate (IO_SERVICE (self->stream));
      stream_util_catch_up (self->loop);
      g_assert_finalize_object (g_steal_pointer (&self->stream));
      umask (old);
    }
}

/* A directory that is made is for its user alone; one that others can write
 * is not taken, not even where they can only add to it: somebody could have
 * the name already. */
static void
test_directory (Fixture       *self,
                gconstpointer  data)
{
  const guint modes[] = { 0777, 01777, 0770, 01770 };
  g_autofree char *inner = g_build_filename (self->dir, "inner", NULL);
  g_autoptr (IOService) service = io_service_new ("test");
  mode_t old = umask (0);

  g_setenv ("IOSTREAM_RUNTIME_DIR", inner, TRUE);
  stream_util_assert_works (io_service_register (service, err));
  io_service_terminate (service);
  umask (old);
  g_assert_cmpuint (get_mode (self, "inner"), ==, 0700);

  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      g_autoptr (IOService) other = io_service_new ("other");

      g_assert_cmpint (chmod (inner, modes[i]), ==, 0);
      stream_util_assert_fails (io_service_register (other, err), IO_STREAM_ERROR_NOT_PERMITTED);
    }
  g_assert_cmpint (chmod (inner, 0755), ==, 0);
  if (geteuid () == 0)
    {
      g_autoptr (IOService) other = io_service_new ("other");

      g_assert_cmpint (chown (inner, NOBODY, (gid_t) -1), ==, 0);
      stream_util_assert_fails (io_service_register (other, err), IO_STREAM_ERROR_NOT_PERMITTED);
    }
  g_assert_cmpint (g_rmdir (inner), ==, 0);
  g_setenv ("IOSTREAM_RUNTIME_DIR", self->dir, TRUE);
}

/* By default nobody else reaches the socket, even where the directory is open;
 * and no socket, where it is not. */
static void
test_unreachable (Fixture       *self,
                  gconstpointer  data)
{
  Peer *peer;

  rights_skip_unless_root ();
  make_stream (self, 0600, G_CALLBACK (allow_cb));
  peer = rights_spawn (-1, "client", G_STRINGIFY (NOBODY));
  rights_ask (peer, "connect", IO_STREAM_ERROR_NOT_PERMITTED, NULL);
  io_service_terminate (IO_SERVICE (self->stream));
  stream_util_catch_up (self->loop);
  g_assert_finalize_object (g_steal_pointer (&self->stream));

  make_stream (self, 0666, G_CALLBACK (allow_cb));
  g_assert_cmpint (chmod (self->dir, 0700), ==, 0);
  rights_ask (peer, "connect", IO_STREAM_ERROR_NOT_PERMITTED, NULL);
  g_assert_cmpint (chmod (self->dir, 0711), ==, 0);
  rights_ask (peer, "connect", 0, NULL);
  peer_finish (peer);
}

static int
run_peer (const char  *role,
          char       **argv)
{
  peer_begin ();
  if (strcmp (role, "client") == 0)
    return rights_run_client (argv);
  if (strcmp (role, "liar") == 0)
    return run_liar (argv);
  if (strcmp (role, "giver") == 0)
    return run_giver (argv);

  return run_crowd (argv);
}

#define ADD(path, func) g_test_add ("/rights/" path, Fixture, dir, set_up, func, tear_down)

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
  /* everybody may look for names in it */
  g_assert_cmpint (chmod (dir, 0711), ==, 0);

  ADD ("default/own", test_default);
  ADD ("default/others", test_default_others);
  ADD ("by-user", test_by_user);
  ADD ("read-only", test_read_only);
  ADD ("shared/by-turn", test_shared);
  ADD ("shared/by-user", test_shared_by_user);
  ADD ("liar", test_liar);
  ADD ("changes-user", test_changes_user);
  ADD ("passed-on", test_passed_on);
  ADD ("socket-pair", test_socket_pair);
  ADD ("crowd", test_crowd);
  ADD ("modes", test_modes);
  ADD ("directory", test_directory);
  ADD ("unreachable", test_unreachable);

  status = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return status;
}
