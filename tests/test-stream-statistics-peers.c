/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Statistics between processes, and of an owner that lies. */

#include "peer-process.h"

#include "hostile-util.h"

#include "libiostream/io-statistics-page-private.h"

#define N_BUFFERS 4
#define N_HELD    2

/* --- three processes ------------------------------------------------------------ */

/* Takes some buffers and keeps them. */
static int
run_holder (void)
{
  IOStreamConnection *client = stream_util_open ("test");
  IOStreamBufferQueueEntry entry;

  stream_util_start (client);
  for (guint i = 0; i < N_HELD; i++)
    stream_util_take (client, 1, &entry);
  peer_say ("held");
  g_free (peer_take_order ());
  g_object_unref (client);

  return 0;
}

/* Looks, and takes no part. */
static int
run_watcher (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (IOStreamConnection) watcher = io_stream_connection_new_for_name ("test", NULL, &error);
  g_autoptr (IOStreamStatistics) first = NULL;
  char *order;

  g_assert_no_error (error);
  first = io_stream_connection_get_statistics (watcher, NULL, &error);
  g_assert_no_error (error);
  peer_say ("ready");
  while ((order = peer_take_order ()) != NULL && order[0] == 'l')
    {
      g_autoptr (IOStreamStatistics) statistics = io_stream_connection_get_statistics (watcher, NULL, &error);
      GPtrArray *rows;

      g_assert_no_error (error);
      rows = io_stream_statistics_get_clients (statistics);
      peer_say ("%u %u %" G_GUINT64_FORMAT " %d", statistics->clients, rows->len, statistics->produced,
                rows->len > 0 ? ((IOStreamClientStatistics *) rows->pdata[0])->pid : 0);
      g_free (order);
    }
  g_free (order);

  return 0;
}

/* FALSE: not yet. */
static gboolean
watcher_says (Peer       *watcher,
              const char *text)
{
  g_autofree char *answer = NULL;

  peer_order (watcher, "look");
  answer = peer_read (watcher);
  g_strchomp (answer);

  return g_str_equal (answer, text);
}

static void
test_processes (void)
{
  IOWorkLoop *loop = io_work_loop_new ("owner");
  IOStream *stream = stream_util_new_stream (loop, IO_STREAM_MODE_OUTPUT, N_BUFFERS, 1000, 0);
  Peer *holder = peer_spawn (-1, -1, "holder", NULL);
  Peer *watcher = peer_spawn (-1, -1, "watcher", NULL);
  g_autofree char *text = g_strdup_printf ("1 1 %d %d", N_HELD, (int) holder->pid);
  g_autofree char *process = g_strdup_printf ("(process %d) holds %d of %d, the oldest for ",
                                              (int) holder->pid, N_HELD, N_BUFFERS);
  g_autoptr (GError) error = NULL;

  peer_expect (watcher, "ready");
  stream_util_iterate_until (io_stream_get_state (stream) == IO_STREAM_STATE_RUNNING);
  for (guint i = 0; i < N_HELD; i++)
    stream_util_send (stream, 1);
  peer_expect (holder, "held");
  stream_util_iterate_until (watcher_says (watcher, text));

  while (io_stream_acquire_buffer (stream, &error) != NULL)
    ;
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_SPACE);
  g_assert_nonnull (strstr (error->message, process));

  peer_order (holder, "end");
  peer_finish (holder);
  stream_util_iterate_until (watcher_says (watcher, "0 0 2 0"));
  peer_order (watcher, "end");
  peer_finish (watcher);

  io_service_terminate (IO_SERVICE (stream));
  io_work_loop_shut_down (loop);
  g_assert_finalize_object (stream);
  g_assert_finalize_object (loop);
}

/* --- an owner that lies ------------------------------------------------------------ */

typedef struct {
  const char    *name;
  guint32        rows;         /* that it says */
  guint          real_rows;    /* that the page has */
  gboolean       no_fd;
  guint32        magic;
  guint32        state;
  IOStreamError  code;
} Lie;

static const Lie lies[] = {
  { "none", 1, 1, FALSE, 0, 0, 0 },
  { "no-descriptor", 1, 1, TRUE, 0, 0, IO_STREAM_ERROR_IPC_ERROR },
  { "no-rows", 0, 1, FALSE, 0, 0, IO_STREAM_ERROR_IPC_ERROR },
  { "many-rows", G_MAXUINT32, 1, FALSE, 0, 0, IO_STREAM_ERROR_IPC_ERROR },
  { "small-page", IO_ABI_STATISTICS_ROWS, 1, FALSE, 0, 0, IO_STREAM_ERROR_VM_ERROR },
  { "other-rows", 2, 1, FALSE, 0, 0, IO_STREAM_ERROR_IPC_ERROR },
  { "magic", 1, 1, FALSE, 0x12345678, 0, IO_STREAM_ERROR_IPC_ERROR },
  { "state", 1, 1, FALSE, 0, 77, IO_STREAM_ERROR_IPC_ERROR },
};

typedef struct {
  const Lie *lie;
  int        control;
} Liar;

static gpointer
liar_cb (gpointer user_data)
{
  Liar *self = user_data;
  const Lie *lie = self->lie;
  IOStatisticsPage page = { 0, };
  IOAbiStatisticsStream row = { .state = lie->state };
  IOPacketHeader header;
  int fds[RAW_MAX_FDS], fd;
  guint n_fds;
  GVariant *call;

  g_assert_true (_io_statistics_page_create (&page, lie->real_rows, NULL));
  _io_statistics_page_write_stream (&page, &row);
  if (lie->magic != 0)
    page.page->magic = lie->magic;
  fd = _io_memory_backing_peek_fd (page.backing);

  while ((call = raw_receive_packet (self->control, &header, fds, &n_fds)) != NULL)
    {
      gboolean asked = header.opcode == IO_OPCODE_GET_STATISTICS;
      g_autoptr (GVariant) answer = NULL;

      answer = g_variant_ref_sink (asked ? g_variant_new ("(ut)", lie->rows, (guint64) 1)
                                         : g_variant_new_parsed ("(uint32 1, 'x', 'IOStream', @a{sv} {})"));
      raw_send_packet (self->control, IO_PACKET_REPLY, header.opcode, header.serial, answer,
                       &fd, asked && !lie->no_fd ? 1 : 0);
      g_variant_unref (call);
    }

  close (self->control);
  _io_statistics_page_clear (&page);

  return NULL;
}

static void
test_lie (gconstpointer data)
{
  Liar liar = { .lie = data };
  guint n_fds = count_fds ();
  int pair[2];
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocket) socket = NULL;
  IOStreamConnection *client;
  IOStreamStatistics *statistics;
  GThread *thread;

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), ==, 0);
  liar.control = pair[0];
  thread = g_thread_new ("liar", liar_cb, &liar);
  socket = g_socket_new_from_fd (pair[1], &error);
  g_assert_no_error (error);
  client = g_initable_new (IO_TYPE_STREAM_CONNECTION, NULL, &error, "socket", socket,
                           "timeout", (gint64) STREAM_UTIL_TIMEOUT, NULL);
  g_assert_no_error (error);

  statistics = io_stream_connection_get_statistics (client, NULL, &error);
  if (liar.lie->code == 0)
    {
      g_assert_no_error (error);
      g_assert_cmpuint (io_stream_statistics_get_clients (statistics)->len, ==, 0);
      io_stream_statistics_free (statistics);
    }
  else
    {
      g_assert_null (statistics);
      g_assert_error (error, IO_STREAM_ERROR, (int) liar.lie->code);
    }

  io_connection_hang_up (IO_CONNECTION (client));
  stream_util_settle ();
  g_assert_finalize_object (client);
  g_clear_object (&socket);
  g_thread_join (thread);
  g_assert_cmpuint (count_fds (), ==, n_fds);
}

int
main (int    argc,
      char **argv)
{
  char *dir;
  int status;

  if (argc > 2 && strcmp (argv[1], "--peer") == 0)
    {
      peer_begin ();
      return strcmp (argv[2], "holder") == 0 ? run_holder () : run_watcher ();
    }

  *peer_program () = argv[0];
  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();
  g_main_context_iteration (NULL, FALSE);

  g_test_add_func ("/stream-statistics/processes", test_processes);
  for (guint i = 0; i < G_N_ELEMENTS (lies); i++)
    {
      g_autofree char *path = g_strconcat ("/stream-statistics/lie/", lies[i].name, NULL);

      g_test_add_data_func (path, &lies[i], test_lie);
    }

  status = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return status;
}
