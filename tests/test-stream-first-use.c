/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A stream makes its buffers when it is first used, whatever that is, and says
 * so: who listens may drop the last reference to it, and what made it may not
 * notice. */

#include "stream-util.h"

#define N_BUFFERS 3

typedef struct {
  IOStream *stream;    /* the only reference */
  gpointer  weak;
  guint     n_heard;
} Drop;

typedef struct {
  const char *name;
  void      (*use) (IOStream *stream);
} Use;

static void
drop_cb (GObject    *object,
         GParamSpec *pspec,
         gpointer    user_data)
{
  Drop *drop = user_data;

  drop->n_heard++;
  g_clear_object (&drop->stream);
}

static IOStreamBuffer *
make_buffer (void)
{
  g_autoptr (IOMemoryDescriptor) memory =
    IO_MEMORY_DESCRIPTOR (io_buffer_memory_descriptor_new (4096, IO_STREAM_PEER_ACCESS_READ_WRITE, NULL));

  return io_stream_buffer_new (memory, NULL);
}

static void
use_add (IOStream *stream)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (IOStreamBuffer) buffer = make_buffer ();

  g_assert_true (io_stream_add_buffer (stream, buffer, &error));
  g_assert_no_error (error);
}

static void
use_remove (IOStream *stream)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (io_stream_remove_buffer_with_id (stream, 1, &error));
  g_assert_no_error (error);
}

static void
use_remove_all (IOStream *stream)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (io_stream_remove_all_buffers (stream, &error));
  g_assert_no_error (error);
}

static void
use_count (IOStream *stream)
{
  g_assert_cmpuint (io_stream_get_buffer_count (stream), ==, N_BUFFERS);
}

static void
use_list (IOStream *stream)
{
  g_autoptr (GPtrArray) buffers = io_stream_get_buffers (stream);

  g_assert_cmpuint (buffers->len, ==, N_BUFFERS);
}

/* What it returns went with the stream. */
static void
use_get (IOStream *stream)
{
  g_assert_true (io_stream_get_buffer_with_id (stream, 1) != NULL);
}

static void
use_acquire (IOStream *stream)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (io_stream_acquire_buffer (stream, &error) != NULL);
  g_assert_no_error (error);
}

static void
use_acquire_id (IOStream *stream)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (io_stream_acquire_buffer_with_id (stream, 2, &error) != NULL);
  g_assert_no_error (error);
}

static void
use_acquire_missing (IOStream *stream)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (io_stream_acquire_buffer_with_id (stream, N_BUFFERS, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND);
}

static void
use_wait_buffer (IOStream *stream)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (io_stream_wait_buffer (stream, 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_CANNOT_LOCK);
}

static void
use_wait_input (IOStream *stream)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (io_stream_wait_input (stream, 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_CANNOT_LOCK);
}

static void
use_queues (IOStream *stream)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (io_stream_create_queues (stream, 0, &error));
  g_assert_no_error (error);
}

static void
use_mode (IOStream *stream)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (io_stream_set_mode (stream, IO_STREAM_MODE_INPUT, &error));
  g_assert_no_error (error);
}

static void
use_init (IOStream *stream)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (g_initable_init (G_INITABLE (stream), NULL, &error));
  g_assert_no_error (error);
}

static void
use_register (IOStream *stream)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (io_service_register (IO_SERVICE (stream), &error));
  g_assert_no_error (error);
}

static const Use uses[] = {
  { "add", use_add },
  { "remove", use_remove },
  { "remove-all", use_remove_all },
  { "count", use_count },
  { "list", use_list },
  { "get", use_get },
  { "acquire", use_acquire },
  { "acquire-id", use_acquire_id },
  { "acquire-missing", use_acquire_missing },
  { "wait-buffer", use_wait_buffer },
  { "wait-input", use_wait_input },
  { "queues", use_queues },
  { "mode", use_mode },
  { "init", use_init },
  { "register", use_register },
};

static void
drop_init (Drop *drop)
{
  drop->stream = g_object_new (IO_TYPE_STREAM, "name", "first-use",
                               "mode", IO_STREAM_MODE_OUTPUT,
                               "peer-access", IO_STREAM_PEER_ACCESS_READ_WRITE,
                               "buffer-count", N_BUFFERS, "data-size", (guint64) 64, NULL);
  drop->weak = drop->stream;
  drop->n_heard = 0;
  g_object_add_weak_pointer (G_OBJECT (drop->stream), &drop->weak);
  g_signal_connect (drop->stream, "notify::buffer-count", G_CALLBACK (drop_cb), drop);
}

static void
test_use (gconstpointer data)
{
  const Use *use = data;
  Drop drop;

  drop_init (&drop);
  use->use (drop.stream);

  g_assert_cmpuint (drop.n_heard, >=, 1);
  g_assert_null (drop.stream);
  /* A name keeps it. */
  if (drop.weak != NULL && io_service_is_registered (IO_SERVICE (drop.weak)))
    io_service_terminate (IO_SERVICE (drop.weak));
  stream_util_settle ();
  g_assert_null (drop.weak);
}

/* Nobody registers a stream that clients of this process find by the object. */
static void
test_connect (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (IOStreamConnection) client = NULL;
  Drop drop;

  drop_init (&drop);
  client = io_stream_connection_new_for_stream (drop.stream, &error);
  stream_util_settle ();
  if (client != NULL)
    io_connection_hang_up (IO_CONNECTION (client));
  g_clear_object (&client);
  stream_util_settle ();

  g_assert_cmpuint (drop.n_heard, ==, 1);
  g_assert_null (drop.stream);
  g_assert_null (drop.weak);
}

int
main (int    argc,
      char **argv)
{
  char *dir;
  int result;

  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();
  for (guint i = 0; i < G_N_ELEMENTS (uses); i++)
    {
      g_autofree char *path = g_strdup_printf ("/stream-first-use/%s", uses[i].name);

      g_test_add_data_func (path, &uses[i], test_use);
    }
  g_test_add_func ("/stream-first-use/connect", test_connect);
  result = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return result;
}
