/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One owner and 64 clients, each a process: most of them are as clients should
 * be, some stand still, one crashes again and again, and one gives back late.
 * The others lose nothing, the owner never waits for the bad ones and keeps
 * nothing of those that died, and the books balance.
 *
 * The owner sends when the good ones are ready for it, so that what is asserted
 * does not hang on who gets a processor when. */

#include "peer-process.h"

#include "libiostream/io-stream-private.h"
#include "libiostream/io-user-client-private.h"

/* It takes as long as a busy machine needs for so many processes. */
#undef STREAM_UTIL_TIMEOUT
#define STREAM_UTIL_TIMEOUT (200 * G_USEC_PER_SEC)

#define N_CLIENTS 64
#define N_FROZEN  3
#define N_FRAMES  600
#define N_CRASHES 12
#define N_BUFFERS 24
#define ALLOWANCE 8
#define DATA_SIZE 512

typedef enum {
  GOOD,
  FROZEN,
  CRASHING,
  SLOW
} Kind;

static const char *kinds[] = { "good", "frozen", "crashing", "slow" };

typedef struct {
  PayloadControl payload;
  guint64        is_last;
} Control;

/* The client. */

typedef struct {
  IOStreamConnection *connection;
  Kind                kind;
  guint64             received;
  guint64             wrong;
  guint32             first;
  guint32             last;
  guint               crash_after;
  GQueue              kept;         /* of entries, by the slow one */
  gboolean            over;
} Client;

static void
client_return (Client                         *self,
               const IOStreamBufferQueueEntry *entry)
{
  g_autoptr (GError) error = NULL;

  if (!io_stream_connection_return_entry (self->connection, entry, &error))
    g_assert_false (io_connection_is_connected (IO_CONNECTION (self->connection)));
}

/* Gives back what is 20 behind. */
static void
client_return_late (Client                         *self,
                    const IOStreamBufferQueueEntry *entry)
{
  g_queue_push_tail (&self->kept, g_memdup2 (entry, sizeof *entry));
  while (!g_queue_is_empty (&self->kept))
    {
      IOStreamBufferQueueEntry *oldest = g_queue_peek_head (&self->kept);

      if (g_queue_get_length (&self->kept) < ALLOWANCE && (gint32) (entry->sequence - oldest->sequence) < 20)
        return;
      client_return (self, oldest);
      g_free (g_queue_pop_head (&self->kept));
    }
}

static void
client_take (Client                         *self,
             const IOStreamBufferQueueEntry *entry)
{
  const void *data = io_stream_connection_peek_data_buffer (self->connection, entry->buffer_id, NULL);
  const Control *control = io_stream_connection_peek_control_buffer (self->connection, entry->buffer_id, NULL);

  if (self->received > 0 && (gint32) (entry->sequence - self->last) <= 0)
    self->wrong++;
  if (!payload_is (data, control, DATA_SIZE, entry->sequence))
    self->wrong++;
  self->first = self->received++ == 0 ? entry->sequence : self->first;
  self->last = entry->sequence;
  self->over = self->over || control->is_last;

  if (self->kind == CRASHING && self->received >= self->crash_after)
    kill (getpid (), SIGKILL);
  if (self->kind == SLOW)
    client_return_late (self, entry);
  else if (self->kind != CRASHING)
    client_return (self, entry);
}

/* What says no more than the owner's end comes last. */
static void
client_run (Client *self)
{
  IOStreamBufferQueueEntry entry;

  while (!self->over && io_stream_connection_wait (self->connection, -1, NULL, NULL))
    while (io_stream_connection_dequeue_output_entry (self->connection, &entry))
      client_take (self, &entry);
}

static gboolean
client_start (Client  *self,
              GError **error)
{
  gboolean done = io_connection_open (IO_CONNECTION (self->connection), IO_STREAM_OPEN_SHARED, NULL, error) &&
                  io_stream_connection_start (self->connection, NULL, error);

  if (self->kind != CRASHING)
    g_assert_no_error (*error);

  return done;
}

static int
client_main (char **args)
{
  Client self = { 0, };
  g_autoptr (GError) error = NULL;
  g_autofree char *order = NULL;

  self.kind = (Kind) atoi (args[1]);
  self.crash_after = (guint) atoi (args[2]);
  self.connection = io_stream_connection_new_for_name ("crowd", NULL, &error);
  if (self.connection == NULL && self.kind == CRASHING)
    return 1;
  g_assert_no_error (error);
  io_stream_connection_set_delivery (self.connection, (IOStreamDelivery) atoi (args[0]));
  if (!client_start (&self, &error))
    {
      /* It came when all was over. */
      g_assert_cmpint (self.kind, ==, CRASHING);
      return 1;
    }

  client_run (&self);
  peer_say ("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %u %u", self.received, self.wrong,
            io_stream_connection_get_lost (self.connection), self.first, self.last);
  order = peer_take_order ();
  g_queue_clear_full (&self.kept, g_free);
  io_connection_hang_up (IO_CONNECTION (self.connection));
  g_object_unref (self.connection);

  return 0;
}

/* The owner. */

typedef struct {
  Peer             *peer;
  Kind              kind;
  IOStreamDelivery  delivery;
  IOUserClient     *client;     /* borrowed; NULL before it has come */
} Member;

typedef struct {
  IOStream *stream;
  Member    members[N_CLIENTS];
  GRand    *rand;
  guint64   n_sent;
  guint     n_crashes;
  gboolean  over;
  guint     early_fds;          /* after some have crashed */
  guint64   early_bytes;
} Crowd;

static void
spawn (Crowd *crowd,
       guint  i)
{
  Member *member = &crowd->members[i];
  g_autofree char *delivery = g_strdup_printf ("%d", (int) member->delivery);
  g_autofree char *kind = g_strdup_printf ("%d", (int) member->kind);
  g_autofree char *after = g_strdup_printf ("%d", g_rand_int_range (crowd->rand, 1, ALLOWANCE));

  member->client = NULL;
  member->peer = peer_spawn (-1, -1, "client", delivery, kind, after, NULL);
}

/* Those that nobody can wait for must not hold back the owner. */
static void
choose (Crowd *crowd,
        guint  i)
{
  Member *member = &crowd->members[i];

  member->delivery = (IOStreamDelivery) (i % 4);
  member->kind = GOOD;
  if (i < N_FROZEN)
    {
      member->kind = FROZEN;
      member->delivery = (IOStreamDelivery) (i + 1);
    }
  else if (i == N_FROZEN)
    {
      member->kind = SLOW;
      member->delivery = IO_STREAM_DELIVERY_DROP_NEWEST;
    }
  else if (i == N_FROZEN + 1)
    {
      member->kind = CRASHING;
      member->delivery = IO_STREAM_DELIVERY_BLOCK;
    }
}

static Member *
find_member (Crowd        *crowd,
             IOUserClient *client)
{
  for (guint i = 0; i < N_CLIENTS; i++)
    if (crowd->members[i].peer != NULL && crowd->members[i].peer->pid == io_user_client_get_pid (client))
      return &crowd->members[i];

  return NULL;
}

static void
opened_cb (IOService    *service,
           IOUserClient *client,
           Crowd        *crowd)
{
  Member *member = find_member (crowd, client);

  g_assert_nonnull (member);
  member->client = client;
}

static void
closed_cb (IOService    *service,
           IOUserClient *client,
           Crowd        *crowd)
{
  Member *member = find_member (crowd, client);

  if (member != NULL)
    member->client = NULL;
}

static gboolean
is_running (const Member *member)
{
  return member->client != NULL && io_stream_user_client_is_running (IO_STREAM_USER_CLIENT (member->client));
}

/* A good client that would have to be passed over is waited for. */
static gboolean
is_ready (Member *member)
{
  guint may_hold = member->delivery == IO_STREAM_DELIVERY_LATEST ? 0 : ALLOWANCE - 1;

  return member->kind != GOOD ||
         io_stream_user_client_get_held (IO_STREAM_USER_CLIENT (member->client)) <= may_hold;
}

static gboolean
are_ready (Crowd *crowd)
{
  for (guint i = 0; i < N_CLIENTS; i++)
    if (!is_ready (&crowd->members[i]))
      return FALSE;

  return TRUE;
}

static gboolean
send_one (Crowd *crowd)
{
  g_autoptr (GError) error = NULL;
  IOStreamBuffer *buffer = io_stream_acquire_buffer (crowd->stream, &error);
  Control *control;

  g_assert_no_error (error);
  control = io_stream_buffer_peek_control (buffer, NULL);
  payload_fill (io_stream_buffer_peek_data (buffer, NULL), control, DATA_SIZE, crowd->n_sent);
  control->is_last = crowd->n_sent >= N_FRAMES && crowd->n_crashes >= N_CRASHES;
  if (!io_stream_send_buffer (crowd->stream, buffer, &error))
    {
      /* The one that crashes blocks until it is dead. */
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OVERRUN);
      io_stream_release_buffer (crowd->stream, buffer);
      return FALSE;
    }

  crowd->n_sent++;
  crowd->over = control->is_last;

  return !crowd->over;
}

static void
go_on (Crowd *crowd)
{
  while (!crowd->over && are_ready (crowd) && send_one (crowd))
    ;
}

static void
input_cb (IOStream *stream,
          guint     token,
          Crowd    *crowd)
{
  if (crowd->n_sent > 0)
    go_on (crowd);
}

/* Of everything that ever went to a client one knows where it is. */
static void
assert_balance (Crowd *crowd)
{
  IOStreamPrivate *priv = _io_stream_get_private (crowd->stream);

  for (guint i = 0; i < priv->links->len; i++)
    {
      IOStreamLink *link = _io_stream_link_at (priv, i);

      g_assert_cmpuint (link->delivered, ==,
                        link->returned + link->holder.count + link->dropped[IO_STREAM_DROP_OLDEST] +
                        link->dropped[IO_STREAM_DROP_LATEST]);
    }
  g_assert_cmpuint (priv->book.n_lent + priv->book.n_free, ==, N_BUFFERS);
}

static void
crashed_cb (Crowd *crowd,
            guint  i)
{
  Member *member = &crowd->members[i];
  int status = peer_reap (g_steal_pointer (&member->peer));

  g_assert_true (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL);
  assert_balance (crowd);
  if (++crowd->n_crashes == N_CRASHES / 2)
    {
      crowd->early_fds = count_open_fds ();
      crowd->early_bytes = resident_bytes ();
    }
  if (!crowd->over)
    spawn (crowd, i);
}

/* Looks after the one that crashes; its death has reached the stream before, as
 * that is what ends its loans. */
static void
look_after (Crowd *crowd)
{
  guint i = N_FROZEN + 1;
  siginfo_t info = { .si_pid = 0 };

  if (crowd->members[i].peer == NULL)
    return;
  g_assert_cmpint (waitid (P_PID, (id_t) crowd->members[i].peer->pid, &info, WEXITED | WNOHANG | WNOWAIT), ==, 0);
  if (info.si_pid == 0)
    return;
  if (crowd->members[i].client != NULL)
    stream_util_iterate_until (crowd->members[i].client == NULL);
  crashed_cb (crowd, i);
}

static gboolean
all_run (Crowd *crowd)
{
  look_after (crowd);
  for (guint i = 0; i < N_CLIENTS; i++)
    if (crowd->members[i].kind != CRASHING && !is_running (&crowd->members[i]))
      return FALSE;

  return TRUE;
}

static gboolean
are_done (Crowd *crowd)
{
  for (guint i = 0; i < N_CLIENTS; i++)
    if (crowd->members[i].kind == GOOD &&
        io_stream_user_client_get_held (IO_STREAM_USER_CLIENT (crowd->members[i].client)) > 0)
      return FALSE;

  return TRUE;
}

static void
assemble (Crowd *crowd)
{
  g_autoptr (GError) error = NULL;

  crowd->rand = g_rand_new_with_seed ((guint32) g_test_rand_int ());
  crowd->stream = g_initable_new (IO_TYPE_STREAM, NULL, &error, "name", "crowd", "buffer-count", N_BUFFERS,
                                  "data-size", (guint64) DATA_SIZE, "control-size", (guint64) sizeof (Control),
                                  "client-allowance", ALLOWANCE, "reserve-count", 2, NULL);
  g_assert_no_error (error);
  g_signal_connect (crowd->stream, "client-opened", G_CALLBACK (opened_cb), crowd);
  g_signal_connect (crowd->stream, "client-closed", G_CALLBACK (closed_cb), crowd);
  g_signal_connect (crowd->stream, "input", G_CALLBACK (input_cb), crowd);
  g_assert_true (io_service_register (IO_SERVICE (crowd->stream), &error));
  g_assert_no_error (error);

  for (guint i = 0; i < N_CLIENTS; i++)
    {
      choose (crowd, i);
      spawn (crowd, i);
    }
  stream_util_iterate_until (all_run (crowd));
  for (guint i = 0; i < N_FROZEN; i++)
    peer_freeze (crowd->members[i].peer);
}

static gboolean
work (Crowd *crowd)
{
  look_after (crowd);
  go_on (crowd);

  return crowd->over;
}

static void
check_report (Crowd  *crowd,
              Member *member)
{
  g_autofree char *line = peer_read (member->peer);
  guint64 received, wrong, lost;
  guint first, last;

  g_assert_nonnull (line);
  g_test_message ("%s, delivery %d: %s", kinds[member->kind], (int) member->delivery, line);
  g_assert_cmpint (sscanf (line, "%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %u %u",
                           &received, &wrong, &lost, &first, &last), ==, 5);
  g_assert_cmpuint (wrong, ==, 0);
  /* It ran before the first was sent. */
  if (received > 0)
    g_assert_cmpuint (received + lost, ==, last + 1);
  if (member->kind == GOOD)
    {
      g_assert_cmpuint (received, ==, crowd->n_sent);
      g_assert_cmpuint (lost, ==, 0);
    }
}

static void
dismiss (Crowd *crowd)
{
  for (guint i = 0; i < N_CLIENTS; i++)
    {
      Member *member = &crowd->members[i];

      if (member->peer == NULL)
        continue;
      if (member->kind == CRASHING)
        {
          kill (member->peer->pid, SIGKILL);
          peer_reap (member->peer);
          continue;
        }
      if (member->kind == FROZEN)
        peer_thaw (member->peer);
      check_report (crowd, member);
      peer_finish (member->peer);
    }
}

/* Everything that the good ones had is at home, and what the bad ones have is
 * as much as they may hold. */
static void
check_end (Crowd *crowd)
{
  assert_balance (crowd);
  for (guint i = 0; i < N_CLIENTS; i++)
    if (crowd->members[i].client != NULL)
      g_assert_cmpuint (io_stream_user_client_get_held (IO_STREAM_USER_CLIENT (crowd->members[i].client)), <=,
                        crowd->members[i].kind == GOOD ? 0 : ALLOWANCE);
#if !defined (__SANITIZE_ADDRESS__) && !defined (__SANITIZE_THREAD__)
  g_assert_cmpuint (resident_bytes (), <, crowd->early_bytes + 8 * 1024 * 1024);
#endif
  g_assert_cmpuint (count_open_fds (), <=, crowd->early_fds + 8);
}

static void
test_crowd (void)
{
  Crowd crowd = { 0, };
  guint n_fds, n_maps;

  g_main_context_iteration (NULL, FALSE);
  n_fds = count_open_fds ();
  n_maps = count_stream_maps ();
  assemble (&crowd);
  stream_util_iterate_until (work (&crowd));
  stream_util_iterate_until (are_done (&crowd));
  check_end (&crowd);

  /* Those that wait for more hear that there is none. */
  io_service_terminate (IO_SERVICE (crowd.stream));
  dismiss (&crowd);
  stream_util_settle ();
  g_assert_finalize_object (crowd.stream);
  g_rand_free (crowd.rand);
  g_assert_cmpuint (count_open_fds (), ==, n_fds);
  g_assert_cmpuint (count_stream_maps (), ==, n_maps);
}

int
main (int    argc,
      char **argv)
{
  char *dir;
  int result;

  if (argc > 2 && g_str_equal (argv[1], "--peer"))
    {
      peer_begin ();
      return client_main (argv + 3);
    }

  g_test_init (&argc, &argv, NULL);
  *peer_program () = argv[0];
  dir = stream_util_make_runtime_dir ();
  g_test_add_func ("/stream-crowd/mixed", test_crowd);
  result = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return result;
}
