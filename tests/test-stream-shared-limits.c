/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "stream-util.h"

#include "libiostream/io-stream-private.h"

#include <sys/resource.h>

/* A shared stream at the end of what there is: of clients, of descriptors, and
 * of numbers. Who is there already notices nothing. */

typedef struct {
  IOStream           *stream;
  IOStreamConnection *client;    /* who is there already */
  guint               n_fds;
} Fixture;

static IOStreamConnection *
new_client (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;
  IOStreamConnection *client = io_stream_connection_new_for_stream (fixture->stream, &error);

  g_assert_no_error (error);

  return client;
}

static gboolean
share (IOStreamConnection  *client,
       IOStreamDelivery     delivery,
       GError             **error)
{
  io_stream_connection_set_delivery (client, delivery);

  return io_connection_open (IO_CONNECTION (client), IO_STREAM_OPEN_SHARED, NULL, error);
}

static void
drop (IOStreamConnection *client)
{
  io_connection_hang_up (IO_CONNECTION (client));
  stream_util_settle ();
  g_assert_finalize_object (client);
}

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  g_main_context_iteration (NULL, FALSE);
  fixture->n_fds = count_fds ();
  fixture->stream = stream_util_new_stream (NULL, IO_STREAM_MODE_OUTPUT, 8, 64, 0);
  fixture->client = new_client (fixture);
  stream_util_assert_works (share (fixture->client, IO_STREAM_DELIVERY_BLOCK, err));
  stream_util_start (fixture->client);
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  drop (fixture->client);
  io_service_terminate (IO_SERVICE (fixture->stream));
  stream_util_settle ();
  g_assert_finalize_object (fixture->stream);
  g_assert_cmpuint (count_fds (), ==, fixture->n_fds);
}

/* Nobody runs it beside the one that is there already. */
static void
assert_flows (Fixture *fixture)
{
  IOStreamBufferQueueEntry entry;

  for (guint8 i = 0; i < 10; i++)
    {
      stream_util_send (fixture->stream, i);
      stream_util_take (fixture->client, i, &entry);
      stream_util_return (fixture->client, &entry);
    }
  g_assert_cmpuint (io_stream_connection_get_lost (fixture->client), ==, 0);
}

/* FALSE if the system does not give so many. */
static gboolean
allow_descriptors (rlim_t         count,
                   struct rlimit *old)
{
  struct rlimit limit;

  g_assert_cmpint (getrlimit (RLIMIT_NOFILE, old), ==, 0);
  limit = *old;
  limit.rlim_cur = count;

  return count <= old->rlim_max && setrlimit (RLIMIT_NOFILE, &limit) == 0;
}

static void
test_full (Fixture       *fixture,
           gconstpointer  data)
{
  IOStreamConnection *clients[IO_STREAM_MAX_CLIENTS];
  IOStreamBufferQueueEntry entry;
  struct rlimit old;

  if (!allow_descriptors (8192, &old))
    {
      g_test_skip ("cannot open so many files");
      return;
    }

  for (guint i = 0; i < IO_STREAM_MAX_CLIENTS; i++)
    clients[i] = new_client (fixture);
  for (guint i = 0; i + 1 < IO_STREAM_MAX_CLIENTS; i++)
    {
      stream_util_assert_works (share (clients[i], IO_STREAM_DELIVERY_BLOCK, err));
      stream_util_start (clients[i]);
    }
  stream_util_assert_fails (share (clients[IO_STREAM_MAX_CLIENTS - 1], IO_STREAM_DELIVERY_BLOCK, err),
                            IO_STREAM_ERROR_NO_RESOURCES);

  stream_util_send (fixture->stream, 7);
  stream_util_take (fixture->client, 7, &entry);
  for (guint i = 0; i + 1 < IO_STREAM_MAX_CLIENTS; i++)
    {
      IOStreamBufferQueueEntry other;

      stream_util_take (clients[i], 7, &other);
      g_assert_cmpuint (other.sequence, ==, entry.sequence);
      stream_util_assert_fails (io_stream_acquire_buffer_with_id (fixture->stream, entry.buffer_id, err),
                                IO_STREAM_ERROR_BUSY);
      if (i % 2 == 0)
        stream_util_return (clients[i], &other);
    }
  stream_util_return (fixture->client, &entry);

  stream_util_close (clients[0]);
  stream_util_assert_works (share (clients[IO_STREAM_MAX_CLIENTS - 1], IO_STREAM_DELIVERY_BLOCK, err));
  for (guint i = 0; i < IO_STREAM_MAX_CLIENTS; i++)
    drop (clients[i]);
  g_assert_nonnull (io_stream_acquire_buffer_with_id (fixture->stream, entry.buffer_id, NULL));
  io_stream_release_buffer (fixture->stream, io_stream_get_buffer_with_id (fixture->stream, entry.buffer_id));
  assert_flows (fixture);
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &old), ==, 0);
}

/* It fails as a whole wherever it stops. */
static void
test_descriptors (Fixture       *fixture,
                  gconstpointer  data)
{
  IOStreamConnection *other = new_client (fixture);
  guint n_fds = count_fds (), n_failed = 0;
  gboolean opened = FALSE;

  for (rlim_t more = 0; !opened; more++)
    {
      g_autoptr (GError) error = NULL;
      struct rlimit old;
      int next = dup (0);

      g_assert_cmpint (next, >=, 0);
      close (next);
      g_assert_true (allow_descriptors ((rlim_t) next + more, &old));
      opened = share (other, IO_STREAM_DELIVERY_BLOCK, &error);
      g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &old), ==, 0);
      n_failed += !opened;
      g_assert_cmpuint (n_failed, <, 64);
      if (opened)
        break;

      g_assert_nonnull (error);
      g_test_message ("%u more: %s", (guint) more, error->message);
      stream_util_settle ();
      if (!io_connection_is_connected (IO_CONNECTION (other)))
        {
          drop (other);
          other = new_client (fixture);
        }
      g_assert_cmpuint (count_fds (), ==, n_fds);
      g_assert_cmpint (io_stream_get_state (fixture->stream), ==, IO_STREAM_STATE_RUNNING);
      assert_flows (fixture);
    }

  g_assert_cmpuint (n_failed, >, 0);
  drop (other);
  assert_flows (fixture);
}

/* The number after the greatest is 0: nothing is lost there, and what is lost is
 * counted right. */
static void
test_wrap (Fixture       *fixture,
           gconstpointer  data)
{
  IOStreamConnection *slow = new_client (fixture);
  IOStreamBufferQueueEntry entry;

  stream_util_assert_works (share (slow, IO_STREAM_DELIVERY_DROP_NEWEST, err));
  stream_util_start (slow);
  _io_stream_get_private (fixture->stream)->book.sequence = G_MAXUINT32 - 5;
  for (guint32 i = 0; i < 20; i++)
    {
      stream_util_send (fixture->stream, (guint8) i);
      stream_util_take (fixture->client, (guint8) i, &entry);
      g_assert_cmpuint (entry.sequence, ==, G_MAXUINT32 - 5 + i);
      stream_util_return (fixture->client, &entry);
    }
  for (guint32 i = 0; i < 4; i++)
    {
      stream_util_take (slow, (guint8) i, &entry);
      g_assert_cmpuint (entry.sequence, ==, G_MAXUINT32 - 5 + i);
      stream_util_return (slow, &entry);
    }
  stream_util_send (fixture->stream, 20);
  stream_util_take (slow, 20, &entry);
  g_assert_cmpuint (entry.sequence, ==, 14);
  g_assert_cmpuint (io_stream_connection_get_lost (slow), ==, 16);
  stream_util_take (fixture->client, 20, &entry);
  stream_util_return (fixture->client, &entry);
  g_assert_cmpuint (io_stream_connection_get_lost (fixture->client), ==, 0);
  drop (slow);
}

/* What leaves clients nothing is said to them who may hold back, and to others
 * it is a buffer they miss. */
static void
test_reserve_of_all (Fixture       *fixture,
                     gconstpointer  data)
{
  IOStreamConnection *other;
  IOStreamBuffer *buffer;

  io_stream_set_reserve_count (fixture->stream, IO_STREAM_MAX_BUFFERS);
  buffer = io_stream_acquire_buffer (fixture->stream, NULL);
  stream_util_assert_fails (io_stream_send_buffer (fixture->stream, buffer, err), IO_STREAM_ERROR_OVERRUN);
  stream_util_assert_works (io_stream_connection_suspend (fixture->client, NULL, err));
  stream_util_assert_fails (io_stream_send_buffer (fixture->stream, buffer, err), IO_STREAM_ERROR_NOT_READY);
  other = new_client (fixture);
  stream_util_assert_works (share (other, IO_STREAM_DELIVERY_DROP_NEWEST, err));
  stream_util_start (other);
  stream_util_assert_works (io_stream_send_buffer (fixture->stream, buffer, err));
  stream_util_assert_fails (io_stream_connection_wait (other, 0, NULL, err), IO_STREAM_ERROR_TIMEOUT);
  io_stream_set_reserve_count (fixture->stream, 0);
  drop (other);
  stream_util_start (fixture->client);
  assert_flows (fixture);
}

#define ADD(name, func) g_test_add ("/stream-shared-limits/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int    argc,
      char **argv)
{
  char *dir;
  int result;

  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();
  ADD ("full", test_full);
  ADD ("descriptors", test_descriptors);
  ADD ("wrap", test_wrap);
  ADD ("reserve-of-all", test_reserve_of_all);
  result = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return result;
}
