/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "service-util.h"

#include "libiostream/io-user-client-private.h"

#include "data-queue-service.h"

#include <sys/mman.h>

/* In one process, through the socket. */

typedef struct {
  IOConnection      *connection;
  IOSharedDataQueue *queue;
  GError            *error;
  gboolean           done;
} Client;

static void
opened_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      data)
{
  Client *client = data;

  io_connection_open_finish (client->connection, result, &client->error);
  g_assert_no_error (client->error);
  client->done = TRUE;
}

static void
queue_cb (GObject      *object,
          GAsyncResult *result,
          gpointer      data)
{
  Client *client = data;

  client->queue = io_connection_get_data_queue_finish (client->connection, result, &client->error);
  client->done = TRUE;
}

static void
client_run (Client *client)
{
  while (!client->done)
    g_main_context_iteration (NULL, TRUE);
  client->done = FALSE;
}

static void
client_init (Client *client)
{
  *client = (Client) { 0, };
  client->connection = g_object_new (IO_TYPE_CONNECTION, "name", "queues", NULL);
  io_connection_open_async (client->connection, 0, NULL, opened_cb, client);
  client_run (client);
}

static void
client_get_queue (Client *client,
                  guint   type)
{
  g_clear_error (&client->error);
  io_connection_get_data_queue_async (client->connection, type, NULL, queue_cb, client);
  client_run (client);
}

static void
client_clear (Client *client)
{
  g_clear_error (&client->error);
  g_clear_object (&client->queue);
  g_clear_object (&client->connection);
  settle ();
}

/* No way out but the socket: each has its own, whoever the other one is. */
static void
test_close (Fixture       *fixture,
            gconstpointer  data)
{
  IOService *service = new_queue_service ();
  g_autoptr (IOSharedDataQueue) owned = NULL;
  g_autoptr (GError) error = NULL;
  Client client;

  client_init (&client);
  client_get_queue (&client, 0);
  g_assert_no_error (client.error);
  owned = g_object_ref (last_queue);
  assert_enqueue (owned, 33, 3);
  g_assert_true (io_shared_data_queue_is_connected (owned));

  /* The connection goes; what was sent stays. */
  io_connection_hang_up (client.connection);
  while (io_service_is_open (service, NULL))
    g_main_context_iteration (NULL, TRUE);
  settle ();
  g_assert_false (io_shared_data_queue_is_connected (owned));
  g_assert_false (io_shared_data_queue_is_connected (client.queue));
  assert_refused (owned, 1, IO_STREAM_ERROR_OFFLINE);
  assert_dequeue (client.queue, 33, 3);
  g_assert_false (io_shared_data_queue_wait_data (client.queue, LONG_TIME, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);

  client_clear (&client);
  finish_service (service);
}

/* Asked for in the thread that serves. */
static void
test_local (Fixture       *fixture,
            gconstpointer  data)
{
  IOService *service = new_queue_service ();
  g_autoptr (GError) error = NULL;
  Client client = { 0, };

  client.connection = io_connection_new_for_service (service, &error);
  g_assert_no_error (error);
  g_assert_true (io_connection_open (client.connection, 0, NULL, &error));
  for (guint i = 0; i < 2; i++)
    {
      client.queue = io_connection_get_data_queue (client.connection, i, NULL, &error);
      g_assert_no_error (error);
      assert_enqueue (i == 0 ? last_queue : client.queue, 500, 7);
      assert_dequeue (i == 0 ? client.queue : last_queue, 500, 7);
      g_clear_object (&client.queue);
    }
  g_assert_null (io_connection_get_data_queue (client.connection, 9, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_UNSUPPORTED);
  io_connection_hang_up (client.connection);
  g_assert_false (io_service_is_open (service, NULL));

  client_clear (&client);
  finish_service (service);
}

/* Before the client comes, and handed over once. */
static void
test_hand_over (Fixture       *fixture,
                gconstpointer  data)
{
  IOService *service = new_queue_service ();
  g_autoptr (GError) error = NULL;
  Client client, other;

  client_init (&client);
  client_init (&other);
  last_queue = io_shared_data_queue_new_with_capacity (IO_SHARED_DATA_QUEUE_PRODUCER, CAPACITY, &error);
  g_assert_no_error (error);
  assert_enqueue (last_queue, 1000, 1);
  assert_enqueue (last_queue, 10, 2);
  client_get_queue (&client, 8);
  g_assert_no_error (client.error);
  assert_dequeue (client.queue, 1000, 1);
  assert_dequeue (client.queue, 10, 2);
  client_get_queue (&other, 8);
  g_assert_error (other.error, IO_STREAM_ERROR, IO_STREAM_ERROR_EXCLUSIVE_ACCESS);
  client_get_queue (&other, 7);
  g_assert_error (other.error, IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED);
  client_get_queue (&other, 9);
  g_assert_error (other.error, IO_STREAM_ERROR, IO_STREAM_ERROR_UNSUPPORTED);

  /* The one client's end does not touch the other's. */
  client_clear (&other);
  assert_enqueue (last_queue, 10, 3);
  assert_dequeue (client.queue, 10, 3);
  client_clear (&client);
  finish_service (service);
}

static gboolean
limit_cb (IOService    *service,
          IOUserClient *client,
          gpointer      data)
{
  *(IOUserClient **) data = client;
  io_user_client_set_limits (client, 1, 30000);
  io_user_client_set_read_only (client, TRUE);

  return TRUE;
}

static void
test_limits (Fixture       *fixture,
             gconstpointer  data)
{
  IOService *service = new_queue_service ();
  IOSharedDataQueue *kept;
  IOUserClient *limited = NULL;
  Client client;

  g_signal_connect (service, "authorize", G_CALLBACK (limit_cb), &limited);
  client_init (&client);
  client_get_queue (&client, 1);
  g_assert_error (client.error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED);
  client_get_queue (&client, 0);
  g_assert_no_error (client.error);
  kept = g_steal_pointer (&client.queue);
  /* Other memory of the client counts as well. */
  g_assert_true (_io_user_client_charge (limited, IO_CHARGE_TRANSFER, 10000, "test", NULL));
  client_get_queue (&client, 0);
  g_assert_error (client.error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES);
  g_assert_false (_io_user_client_charge (limited, IO_CHARGE_TRANSFER, 30000, "test", NULL));
  _io_user_client_discharge (limited, IO_CHARGE_TRANSFER);
  client_get_queue (&client, 0);
  g_assert_no_error (client.error);
  g_clear_object (&kept);
  kept = g_steal_pointer (&client.queue);
  /* What was dropped does not count. */
  client_get_queue (&client, 0);
  g_assert_no_error (client.error);
  g_clear_object (&client.queue);
  client_get_queue (&client, 0);
  g_assert_no_error (client.error);
  g_object_unref (g_steal_pointer (&client.queue));
  g_clear_object (&kept);
  client_clear (&client);
  finish_service (service);
}

static void
test_too_much (Fixture       *fixture,
               gconstpointer  data)
{
  IOService *service = new_queue_service ();
  g_autoptr (GPtrArray) queues = g_ptr_array_new_with_free_func (g_object_unref);
  Client client;

  client_init (&client);
  for (guint i = 0; i < 64; i++)
    {
      client_get_queue (&client, 0);
      g_assert_no_error (client.error);
      g_ptr_array_add (queues, g_steal_pointer (&client.queue));
    }
  client_get_queue (&client, 0);
  g_assert_error (client.error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES);
  g_ptr_array_set_size (queues, 0);
  client_get_queue (&client, 0);
  g_assert_no_error (client.error);
  client_clear (&client);
  finish_service (service);
}

/* A client that knows nothing but the protocol. */

static GVariant *
queue_args (guint number)
{
  return g_variant_new ("(u)", number);
}

static void
raw_get_queue (int   client,
               guint type,
               int   fds[3])
{
  guint8 buffer[IO_PROTOCOL_MAX_PACKET];
  union { char bytes[CMSG_SPACE (8 * sizeof (int))]; struct cmsghdr align; } control;
  struct iovec vector = { buffer, sizeof buffer };
  struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1,
                            .msg_control = &control, .msg_controllen = sizeof control };

  g_assert_true (raw_send (client, IO_OPCODE_GET_QUEUE, 77, queue_args (type)));
  raw_wait (client);
  g_assert_cmpint (recvmsg (client, &message, MSG_CMSG_CLOEXEC), >, 0);
  g_assert_nonnull (CMSG_FIRSTHDR (&message));
  g_assert_cmpuint (CMSG_FIRSTHDR (&message)->cmsg_len, ==, CMSG_LEN (3 * sizeof (int)));
  memcpy (fds, CMSG_DATA (CMSG_FIRSTHDR (&message)), 3 * sizeof (int));
}

static gboolean
can_write (int fd)
{
  void *address = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

  if (address == MAP_FAILED)
    return FALSE;
  munmap (address, 4096);

  return TRUE;
}

static void
test_protocol (Fixture       *fixture,
               gconstpointer  data)
{
  IOService *service = new_queue_service ();
  IOAbiDataRegion *page;
  Client other;
  int client, fds[3];

  client_init (&other);
  client_get_queue (&other, 0);
  g_assert_no_error (other.error);
  client = raw_client ("queues");
  raw_assert_call_fails (client, IO_OPCODE_GET_QUEUE, queue_args (0), IO_STREAM_ERROR_NOT_OPEN);
  raw_assert_call_fails (client, IO_OPCODE_QUEUE_READY, queue_args (1), IO_STREAM_ERROR_NOT_FOUND);
  raw_assert_call (client, IO_OPCODE_OPEN, open_args (0));
  raw_assert_call_fails (client, IO_OPCODE_GET_QUEUE, queue_args (G_MAXUINT32), IO_STREAM_ERROR_UNSUPPORTED);
  raw_get_queue (client, 1, fds);

  /* Ours can be written until we say that we have it. */
  g_assert_false (can_write (fds[1]));
  page = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
  g_assert_true (page != MAP_FAILED);
  raw_assert_call_fails (client, IO_OPCODE_QUEUE_READY, queue_args (2), IO_STREAM_ERROR_NOT_FOUND);
  assert_nothing (last_queue, IO_STREAM_ERROR_UNDERRUN);
  raw_assert_call (client, IO_OPCODE_QUEUE_READY, queue_args (1));
  raw_assert_call_fails (client, IO_OPCODE_QUEUE_READY, queue_args (1), IO_STREAM_ERROR_BAD_ARGUMENT);
  g_assert_false (can_write (fds[0]));
  g_assert_cmpint (fallocate (fds[0], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), <, 0);
  g_assert_cmpint (ftruncate (fds[0], 0), <, 0);

  /* What cannot be costs the queue, and neither connection. */
  atomic_store (&page->position, G_MAXUINT64);
  assert_nothing (last_queue, IO_STREAM_ERROR_IPC_ERROR);
  g_assert_true (io_connection_is_connected (other.connection));
  g_assert_true (io_shared_data_queue_is_connected (other.queue));
  raw_assert_call_fails (client, IO_OPCODE_QUEUE_READY, queue_args (1), IO_STREAM_ERROR_IPC_ERROR);
  for (guint i = 0; i < 3; i++)
    close (fds[i]);
  raw_get_queue (client, 0, fds);
  raw_assert_call (client, IO_OPCODE_QUEUE_READY, queue_args (2));

  for (guint i = 0; i < 3; i++)
    close (fds[i]);
  close (client);
  munmap (page, 4096);
  client_clear (&other);
  finish_service (service);
}

/* An owner that sends what is not to be used. */

typedef enum {
  SOUND,
  SHORT,
  LONG,
  UNSEALED,
  WRITABLE,
  NO_MEMFD,
  BAD_MAGIC,
  BAD_ROLE,
  BAD_CAPACITY,
  N_FLAWS
} Flaw;

static int
make_region (IOAbiRole             role,
             const IODataGeometry *geometry,
             Flaw                  flaw)
{
  gsize size = _io_data_region_get_size (role, geometry);
  int fd = memfd_create ("queue", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  int seals = F_SEAL_SHRINK | F_SEAL_GROW;
  IOAbiDataRegion *page;

  g_assert_cmpint (ftruncate (fd, size + (flaw == LONG ? 4096 : flaw == SHORT ? -1 : 0)), ==, 0);
  page = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  atomic_store (&page->magic, IO_ABI_DATA_MAGIC + (flaw == BAD_MAGIC));
  atomic_store (&page->abi, IO_ABI_VERSION);
  atomic_store (&page->role, role + (flaw == BAD_ROLE));
  atomic_store (&page->capacity, geometry->capacity + (flaw == BAD_CAPACITY ? 8 : 0));
  atomic_store (&page->ring_bytes, geometry->ring_bytes);
  munmap (page, 4096);
  if (flaw == NO_MEMFD)
    {
      close (fd);
      return open ("/dev/zero", O_RDWR | O_CLOEXEC);
    }
  if (role == IO_ABI_ROLE_PRODUCER && flaw != WRITABLE)
    seals |= F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
  if (flaw != UNSEALED)
    g_assert_cmpint (fcntl (fd, F_ADD_SEALS, seals), ==, 0);

  return fd;
}

static void
test_bad_parts (Fixture       *fixture,
                gconstpointer  data)
{
  guint n_fds = count_fds ();

  for (Flaw flaw = SOUND; flaw < N_FLAWS; flaw++)
    for (guint bad = 0; bad < 2; bad++)
      {
        IOSharedDataQueueParts parts = { IO_SHARED_DATA_QUEUE_CONSUMER, };
        g_autoptr (IOSharedDataQueue) queue = NULL;
        g_autoptr (GError) error = NULL;
        int bells[2];

        if (flaw == WRITABLE && bad == 1)
          continue;
        g_assert_true (_io_data_geometry_init (&parts.geometry, 4096));
        g_assert_true (_io_bell_create_pair (bells, NULL));
        parts.producer_fd = make_region (IO_ABI_ROLE_PRODUCER, &parts.geometry, bad == 0 ? flaw : SOUND);
        parts.consumer_fd = make_region (IO_ABI_ROLE_CONSUMER, &parts.geometry, bad == 1 ? flaw : SOUND);
        parts.bell_fd = bells[0];
        queue = _io_shared_data_queue_new_for_parts (&parts, &error);
        if (flaw == SOUND)
          g_assert_no_error (error);
        else if (flaw >= BAD_MAGIC)
          g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR);
        else
          g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_VM_ERROR);
        g_assert_true ((queue != NULL) == (flaw == SOUND));
        close (bells[1]);
        g_clear_object (&queue);
        g_assert_cmpuint (count_fds (), ==, n_fds);
      }
}

static void
nothing_thread (GTask        *task,
                gpointer      source,
                gpointer      data,
                GCancellable *cancellable)
{
}

int
main (int    argc,
      char **argv)
{
  g_autoptr (GTask) task = NULL;

  g_test_init (&argc, &argv, NULL);
  /* What GLib opens for good when it connects. */
  task = g_task_new (NULL, NULL, NULL, NULL);
  g_task_run_in_thread_sync (task, nothing_thread);

  ADD ("/data-queue-service/close", test_close);
  ADD ("/data-queue-service/local", test_local);
  ADD ("/data-queue-service/hand-over", test_hand_over);
  ADD ("/data-queue-service/limits", test_limits);
  ADD ("/data-queue-service/too-much", test_too_much);
  ADD ("/data-queue-service/protocol", test_protocol);
  ADD ("/data-queue-service/bad-parts", test_bad_parts);

  return g_test_run ();
}
