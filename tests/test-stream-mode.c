/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Payload that travels both ways, changes of the mode, and buffers of odd
 * sizes. */

#include "grow-util.h"
#include "peer-process.h"

#define ROUNDS 2000

static void
set_up (StreamPair    *pair,
        gconstpointer  data)
{
  grow_util_set_up (pair, GPOINTER_TO_UINT (data), 4, 16);
}

static void
tear_down (StreamPair    *pair,
           gconstpointer  data)
{
  stream_util_tear_down (pair);
}

/* Nobody else answers for it. */
static IOStreamBufferQueueEntry
take_input (IOStream *stream)
{
  IOStreamBufferQueueEntry entry;

  if (!stream_util_is_local ())
    stream_util_assert_works (io_stream_wait_input (stream, STREAM_UTIL_TIMEOUT, NULL, err));
  g_assert_true (io_stream_dequeue_input_entry (stream, &entry));

  return entry;
}

static IOStreamBuffer *
send_range (IOStream *stream,
            guint8    value,
            guint32   offset,
            guint32   length)
{
  IOStreamBuffer *buffer = io_stream_acquire_buffer (stream, NULL);

  memset ((guint8 *) io_stream_buffer_peek_data (buffer, NULL) + offset, value, length);
  stream_util_assert_works (io_stream_enqueue_output_buffer (stream, buffer, offset, length, 0, 8, err));
  stream_util_assert_works (io_stream_send_output_notification (stream, err));

  return buffer;
}

/* There with one payload, back with another: other ranges, other order. */
static void
test_both_ways (StreamPair    *pair,
                gconstpointer  data)
{
  static const guint order[] = { 2, 0, 3, 1 };
  IOStreamBufferQueueEntry entries[4], entry;

  g_assert_cmpint (io_stream_connection_get_mode (pair->client), ==, IO_STREAM_MODE_INPUT_OUTPUT);
  stream_util_start (pair->client);
  for (guint i = 0; i < 4; i++)
    send_range (pair->stream, (guint8) (10 + i), 100 * i, 50 + i);
  for (guint i = 0; i < 4; i++)
    {
      guint8 *bytes;

      stream_util_assert_works (io_stream_connection_wait (pair->client, STREAM_UTIL_TIMEOUT, NULL, err));
      g_assert_true (io_stream_connection_dequeue_output_entry (pair->client, &entries[i]));
      g_assert_cmpuint (entries[i].data_offset, ==, 100 * i);
      g_assert_cmpuint (entries[i].data_length, ==, 50 + i);
      g_assert_cmpuint (entries[i].control_length, ==, 8);
      bytes = io_stream_connection_peek_data_buffer (pair->client, entries[i].buffer_id, NULL);
      g_assert_cmpuint (bytes[100 * i], ==, 10 + i);
      bytes[5000] = (guint8) (110 + i);
      *(guint8 *) io_stream_connection_peek_control_buffer (pair->client, entries[i].buffer_id, NULL) = (guint8) i;
    }
  for (guint i = 0; i < 4; i++)
    {
      entry = entries[order[i]];
      entry.data_offset = 5000;
      entry.data_length = 1 + order[i];
      entry.control_offset = 1;
      entry.control_length = 0;
      stream_util_return (pair->client, &entry);
    }

  for (guint i = 0; i < 4; i++)
    {
      IOStreamBuffer *buffer;

      entry = take_input (pair->stream);
      g_assert_cmpuint (entry.sequence, ==, entries[order[i]].sequence);
      g_assert_cmpuint (entry.data_offset, ==, 5000);
      g_assert_cmpuint (entry.data_length, ==, 1 + order[i]);
      g_assert_cmpuint (entry.control_length, ==, 0);
      buffer = io_stream_get_buffer_with_id (pair->stream, entry.buffer_id);
      g_assert_cmpuint (((guint8 *) io_stream_buffer_peek_data (buffer, NULL))[5000], ==, 110 + order[i]);
      g_assert_cmpuint (*(guint8 *) io_stream_buffer_peek_control (buffer, NULL), ==, order[i]);
      /* the owner has it: it can be sent again at once, or be free */
      if (i % 2 == 0)
        io_stream_release_buffer (pair->stream, buffer);
      else
        stream_util_assert_works (io_stream_send_buffer (pair->stream, buffer, err));
    }
  g_assert_false (io_stream_dequeue_input_entry (pair->stream, &entry));
  g_assert_nonnull (io_stream_acquire_buffer (pair->stream, NULL));
  g_assert_nonnull (io_stream_acquire_buffer (pair->stream, NULL));
  stream_util_assert_fails (io_stream_acquire_buffer (pair->stream, err), IO_STREAM_ERROR_NO_SPACE);
}

/* Arrived and not dequeued: nobody can have it. */
static void
test_arrived (StreamPair    *pair,
              gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;
  IOStreamBuffer *buffer;

  stream_util_start (pair->client);
  buffer = send_range (pair->stream, 1, 0, 10);
  stream_util_assert_works (io_stream_connection_wait (pair->client, STREAM_UTIL_TIMEOUT, NULL, err));
  g_assert_true (io_stream_connection_dequeue_output_entry (pair->client, &entry));
  stream_util_return (pair->client, &entry);
  if (!stream_util_is_local ())
    stream_util_assert_works (io_stream_wait_input (pair->stream, STREAM_UTIL_TIMEOUT, NULL, err));
  stream_util_assert_fails (io_stream_send_buffer (pair->stream, buffer, err), IO_STREAM_ERROR_BUSY);
  stream_util_close (pair->client);
  /* and after the close it can still be had */
  g_assert_true (io_stream_dequeue_input_entry (pair->stream, &entry));
  io_stream_release_buffer (pair->stream, buffer);
}

/* Modes and memory. */

static void
test_unsupported (void)
{
  g_autoptr (GPtrArray) sealed = grow_util_new_buffers (2, IO_STREAM_PEER_ACCESS_READ);
  g_autoptr (GPtrArray) open = grow_util_new_buffers (2, IO_STREAM_PEER_ACCESS_READ_WRITE);
  g_autoptr (IOStreamBuffer) nothing = io_stream_buffer_new (NULL, NULL);
  IOStream *stream;

  for (guint mode = IO_STREAM_MODE_INPUT; mode <= IO_STREAM_MODE_INPUT_OUTPUT; mode += 2)
    {
      stream_util_assert_fails (io_stream_new_with_buffers (NULL, sealed, mode, 0, err),
                                IO_STREAM_ERROR_UNSUPPORTED_MODE);
      stream_util_assert_fails (g_initable_new (IO_TYPE_STREAM, NULL, err, "mode", mode, "buffer-count", 2u,
                                                "data-size", (guint64) 10,
                                                "peer-access", IO_STREAM_PEER_ACCESS_READ, NULL),
                                IO_STREAM_ERROR_UNSUPPORTED_MODE);
    }

  stream = io_stream_new_with_buffers (NULL, open, IO_STREAM_MODE_OUTPUT, 0, NULL);
  stream_util_assert_works (io_stream_set_mode (stream, IO_STREAM_MODE_INPUT_OUTPUT, err));
  stream_util_assert_fails (io_stream_add_buffers (stream, sealed, err), IO_STREAM_ERROR_UNSUPPORTED_MODE);
  stream_util_assert_works (io_stream_add_buffer (stream, nothing, err));
  stream_util_assert_works (io_stream_set_mode (stream, IO_STREAM_MODE_OUTPUT, err));
  stream_util_assert_works (io_stream_add_buffers (stream, sealed, err));
  stream_util_assert_fails (io_stream_set_mode (stream, IO_STREAM_MODE_INPUT, err), IO_STREAM_ERROR_UNSUPPORTED_MODE);
  g_assert_cmpint (io_stream_get_mode (stream), ==, IO_STREAM_MODE_OUTPUT);
  g_assert_finalize_object (stream);
}

typedef struct {
  IOStream     *stream;
  IOStreamMode  mode;
  guint         code;
} ModeAction;

static gboolean
set_mode_cb (gpointer user_data)
{
  ModeAction *action = user_data;
  g_autoptr (GError) error = NULL;
  gboolean done = io_stream_set_mode (action->stream, action->mode, &error);

  if (action->code != 0)
    g_assert_error (error, IO_STREAM_ERROR, (int) action->code);
  else
    g_assert_no_error (error);
  g_assert_true (done == (action->code == 0));

  return done;
}

static void
set_mode (StreamPair   *pair,
          IOStreamMode  mode,
          guint         code)
{
  ModeAction action = { pair->stream, mode, code };

  stream_util_on_loop (pair, set_mode_cb, &action);
}

static void
count_notify_cb (gpointer    object,
                 GParamSpec *pspec,
                 int        *count)
{
  ++*count;
}

/* Of a class that lets it; the client learns of it in its context. */
static void
test_change_in_context (StreamPair    *pair,
                        gconstpointer  data)
{
  ((TestStream *) pair->stream)->lets_mode_change = TRUE;
  g_signal_connect (pair->client, "notify::mode", G_CALLBACK (count_notify_cb), &pair->n_client);
  stream_util_start (pair->client);
  set_mode (pair, IO_STREAM_MODE_OUTPUT, 0);
  g_assert_cmpint (io_stream_connection_get_mode (pair->client), ==, IO_STREAM_MODE_OUTPUT);
  stream_util_iterate_until (pair->n_client == 1);
  set_mode (pair, IO_STREAM_MODE_INPUT, 0);
  stream_util_iterate_until (pair->n_client == 2);
  g_assert_cmpint (io_stream_connection_get_mode (pair->client), ==, IO_STREAM_MODE_INPUT);

  /* asked for by the client: told once */
  stream_util_assert_works (io_stream_connection_set_mode (pair->client, IO_STREAM_MODE_INPUT_OUTPUT, NULL, err));
  stream_util_settle ();
  g_assert_cmpint (pair->n_client, ==, 3);
  stream_util_close (pair->client);
  g_assert_cmpint (io_stream_connection_get_mode (pair->client), ==, IO_STREAM_MODE_INPUT_OUTPUT);
}

/* A client that blocks sees it with the first entry that was sent in it. */
static void
test_change_seen_by_waiter (StreamPair    *pair,
                            gconstpointer  data)
{
  ((TestStream *) pair->stream)->lets_mode_change = TRUE;
  g_signal_connect (pair->client, "notify::mode", G_CALLBACK (count_notify_cb), &pair->n_client);
  stream_util_start (pair->client);
  for (guint i = 0; i < 30; i++)
    {
      IOStreamMode mode = (i + 1) % 3;
      IOStreamBufferQueueEntry entry;

      set_mode (pair, mode, 0);
      stream_util_send (pair->stream, (guint8) mode);
      stream_util_take (pair->client, (guint8) mode, &entry);
      g_assert_cmpint (io_stream_connection_get_mode (pair->client), ==, (int) mode);
      stream_util_return (pair->client, &entry);
      if (mode != IO_STREAM_MODE_OUTPUT)
        {
          IOStreamBufferQueueEntry back = take_input (pair->stream);

          io_stream_release_buffer (pair->stream, io_stream_get_buffer_with_id (pair->stream, back.buffer_id));
        }
    }
  stream_util_iterate_until (pair->n_client > 0);
  g_assert_cmpuint (((guint) ((TestStream *) pair->stream)->n_set_mode), >=, 29);
}

/* Not while the client holds any; what came home is collected first. */
static void
test_change_while_lent (StreamPair    *pair,
                        gconstpointer  data)
{
  IOStreamBufferQueueEntry entry;

  ((TestStream *) pair->stream)->lets_mode_change = TRUE;
  stream_util_start (pair->client);
  stream_util_send (pair->stream, 1);
  set_mode (pair, IO_STREAM_MODE_OUTPUT, IO_STREAM_ERROR_BUSY);
  stream_util_take (pair->client, 1, &entry);
  set_mode (pair, IO_STREAM_MODE_OUTPUT, IO_STREAM_ERROR_BUSY);
  stream_util_assert_fails (io_stream_connection_set_mode (pair->client, IO_STREAM_MODE_OUTPUT, NULL, err),
                            IO_STREAM_ERROR_BUSY);
  g_assert_cmpint (((TestStream *) pair->stream)->n_set_mode, ==, 0);
  stream_util_return (pair->client, &entry);
  set_mode (pair, IO_STREAM_MODE_OUTPUT, 0);
  /* it came in the other mode */
  g_assert_true (io_stream_dequeue_input_entry (pair->stream, &entry));
  io_stream_release_buffer (pair->stream, io_stream_get_buffer_with_id (pair->stream, entry.buffer_id));
}

/* The method of the class. */
typedef IOStream PickyStream;
typedef IOStreamClass PickyStreamClass;
static GType picky_stream_get_type (void);
G_DEFINE_TYPE (PickyStream, picky_stream, IO_TYPE_STREAM)

static gboolean
picky_stream_set_mode (IOStream      *stream,
                       IOStreamMode   mode,
                       GError       **error)
{
  IOStreamBuffer *buffer = io_stream_acquire_buffer (stream, NULL);

  g_assert_cmpint (io_stream_get_mode (stream), ==, IO_STREAM_MODE_INPUT);
  stream_util_assert_fails (io_stream_set_mode (stream, IO_STREAM_MODE_OUTPUT, err), IO_STREAM_ERROR_BUSY);
  if (io_service_is_open (IO_SERVICE (stream), NULL))
    {
      io_stream_start (stream, NULL);
      stream_util_assert_fails (io_stream_send_buffer (stream, buffer, err), IO_STREAM_ERROR_BUSY);
    }
  io_stream_release_buffer (stream, buffer);

  return mode == IO_STREAM_MODE_INPUT_OUTPUT;
}

static void
picky_stream_class_init (PickyStreamClass *klass)
{
  klass->set_mode = picky_stream_set_mode;
}

static void
picky_stream_init (PickyStream *self)
{
}

static void
test_change_in_method (void)
{
  StreamPair pair = { NULL, };
  g_autoptr (GError) error = NULL;

  pair.n_fds = count_fds ();
  pair.loop = stream_util_new_loop ();
  pair.stream = g_initable_new (picky_stream_get_type (), NULL, &error, "name", "test", "work-loop", pair.loop,
                                "mode", IO_STREAM_MODE_INPUT, "buffer-count", 2u, "data-size", (guint64) 100, NULL);
  g_assert_no_error (error);
  io_service_register (IO_SERVICE (pair.stream), NULL);
  set_mode (&pair, IO_STREAM_MODE_OUTPUT, IO_STREAM_ERROR_FAILED);
  pair.client = stream_util_open_stream (pair.stream);
  stream_util_start (pair.client);
  set_mode (&pair, IO_STREAM_MODE_OUTPUT, IO_STREAM_ERROR_FAILED);
  g_assert_cmpint (io_stream_connection_get_mode (pair.client), ==, IO_STREAM_MODE_INPUT);
  /* what it refused has left nothing behind */
  stream_util_send (pair.stream, 1);
  stream_util_close (pair.client);
  set_mode (&pair, IO_STREAM_MODE_INPUT_OUTPUT, 0);
  stream_util_tear_down (&pair);
}

/* A method that brings what clients cannot fill. */
typedef IOStream GrowingStream;
typedef IOStreamClass GrowingStreamClass;
static GType growing_stream_get_type (void);
G_DEFINE_TYPE (GrowingStream, growing_stream, IO_TYPE_STREAM)

static gboolean
growing_stream_set_mode (IOStream      *stream,
                         IOStreamMode   mode,
                         GError       **error)
{
  g_autoptr (IOMemoryDescriptor) memory =
    IO_MEMORY_DESCRIPTOR (io_buffer_memory_descriptor_new (64, IO_STREAM_PEER_ACCESS_READ, error));
  g_autoptr (IOStreamBuffer) buffer = io_stream_buffer_new (memory, NULL);

  return io_stream_add_buffer (stream, buffer, error);
}

static void
growing_stream_class_init (GrowingStreamClass *klass)
{
  klass->set_mode = growing_stream_set_mode;
}

static void
growing_stream_init (GrowingStream *self)
{
}

static void
test_add_in_method (void)
{
  g_autoptr (IOStream) stream = g_object_new (growing_stream_get_type (), "peer-access",
                                              IO_STREAM_PEER_ACCESS_READ_WRITE, "buffer-count", 1,
                                              "data-size", (guint64) 64, NULL);

  stream_util_assert_fails (io_stream_set_mode (stream, IO_STREAM_MODE_INPUT, err), IO_STREAM_ERROR_UNSUPPORTED_MODE);
  g_assert_cmpint (io_stream_get_mode (stream), ==, IO_STREAM_MODE_OUTPUT);
  g_assert_cmpuint (io_stream_get_buffer_count (stream), ==, 2);
}

/* Sizes: of data, of control, of neither. */

typedef struct {
  IOStreamMode mode;
  gsize        data_size;
  gsize        control_size;
} Sizes;

/* All of it there, and all of it back, in any mode. */
static void
exchange (StreamPair  *pair,
          const Sizes *sizes)
{
  const guint32 data_size = (guint32) sizes->data_size, control_size = (guint32) sizes->control_size;
  IOStreamBufferQueueEntry entry;
  IOStreamBuffer *buffer = io_stream_acquire_buffer (pair->stream, NULL);
  gsize length;

  g_assert_true ((io_stream_buffer_peek_data (buffer, &length) == NULL) == (data_size == 0));
  g_assert_cmpuint (length, ==, data_size);
  g_assert_true ((io_stream_buffer_peek_control (buffer, &length) == NULL) == (control_size == 0));
  g_assert_cmpuint (length, ==, control_size);
  stream_util_assert_fails (io_stream_enqueue_output_buffer (pair->stream, buffer, 0, data_size + 1, 0, 0, err),
                            IO_STREAM_ERROR_BAD_ARGUMENT);
  stream_util_assert_fails (io_stream_enqueue_output_buffer (pair->stream, buffer, 0, 0, 0, control_size + 1, err),
                            IO_STREAM_ERROR_BAD_ARGUMENT);
  stream_util_assert_fails (io_stream_enqueue_output_buffer (pair->stream, buffer, data_size + 1, 0, 0, 0, err),
                            IO_STREAM_ERROR_BAD_ARGUMENT);
  stream_util_assert_works (io_stream_send_buffer (pair->stream, buffer, err));

  stream_util_assert_works (io_stream_connection_wait (pair->client, STREAM_UTIL_TIMEOUT, NULL, err));
  g_assert_true (io_stream_connection_dequeue_output_entry (pair->client, &entry));
  g_assert_cmpuint (entry.data_length, ==, data_size);
  g_assert_cmpuint (entry.control_length, ==, control_size);
  g_assert_true ((io_stream_connection_peek_data_buffer (pair->client, entry.buffer_id, &length) == NULL) ==
                 (data_size == 0));
  g_assert_cmpuint (length, ==, data_size);
  g_assert_true ((io_stream_connection_peek_control_buffer (pair->client, entry.buffer_id, &length) == NULL) ==
                 (control_size == 0));
  g_assert_cmpuint (length, ==, control_size);
  entry.control_length = control_size + 1;
  stream_util_assert_fails (io_stream_connection_return_entry (pair->client, &entry, err),
                            IO_STREAM_ERROR_BAD_ARGUMENT);
  entry.control_length = control_size;
  stream_util_return (pair->client, &entry);

  if (sizes->mode == IO_STREAM_MODE_OUTPUT)
    return;
  entry = take_input (pair->stream);
  g_assert_cmpuint (entry.data_length, ==, data_size);
  g_assert_cmpuint (entry.control_length, ==, control_size);
  io_stream_release_buffer (pair->stream, io_stream_get_buffer_with_id (pair->stream, entry.buffer_id));
}

static void
test_sizes (gconstpointer data)
{
  const Sizes *sizes = data;
  StreamPair pair = { NULL, };

  g_main_context_iteration (NULL, FALSE);
  pair.n_fds = count_fds ();
  pair.loop = stream_util_new_loop ();
  pair.stream = stream_util_new_stream (pair.loop, sizes->mode, 3, sizes->data_size, sizes->control_size);
  pair.client = stream_util_open_stream (pair.stream);
  stream_util_start (pair.client);
  for (guint i = 0; i < 10; i++)
    exchange (&pair, sizes);
  stream_util_tear_down (&pair);
}

/* Many buffers that share no size, with and without each part. */
static void
test_mixed (void)
{
  static const gsize data_sizes[] = { 0, 1, 127, 4096, 4097, 0, 100000 };
  static const gsize control_sizes[] = { 0, 64, 0, 1, 4096, 9, 3 };
  g_autoptr (GPtrArray) buffers = g_ptr_array_new_with_free_func (g_object_unref);
  IOStreamBufferQueueEntry entry;
  StreamPair pair = { NULL, };

  g_main_context_iteration (NULL, FALSE);
  pair.n_fds = count_fds ();
  for (guint i = 0; i < G_N_ELEMENTS (data_sizes); i++)
    g_ptr_array_add (buffers, grow_util_new_buffer (data_sizes[i], control_sizes[i], IO_STREAM_PEER_ACCESS_READ_WRITE));
  pair.loop = stream_util_new_loop ();
  pair.stream = stream_util_new_stream (pair.loop, IO_STREAM_MODE_INPUT_OUTPUT, 0, 0, 0);
  stream_util_assert_works (io_stream_add_buffers (pair.stream, buffers, err));
  pair.client = stream_util_open_stream (pair.stream);
  stream_util_start (pair.client);
  for (guint i = 0; i < buffers->len; i++)
    stream_util_assert_works (io_stream_send_buffer (pair.stream, buffers->pdata[i], err));
  for (guint i = 0; i < buffers->len; i++)
    {
      stream_util_assert_works (io_stream_connection_wait (pair.client, STREAM_UTIL_TIMEOUT, NULL, err));
      g_assert_true (io_stream_connection_dequeue_output_entry (pair.client, &entry));
      g_assert_cmpuint (entry.buffer_id, ==, i);
      g_assert_cmpuint (entry.data_length, ==, data_sizes[i]);
      g_assert_cmpuint (entry.control_length, ==, control_sizes[i]);
      entry.data_length = entry.control_length = 0;
      stream_util_return (pair.client, &entry);
    }
  for (guint i = 0; i < buffers->len; i++)
    {
      entry = take_input (pair.stream);
      g_assert_cmpuint (entry.data_length + entry.control_length, ==, 0);
    }
  g_ptr_array_set_size (buffers, 0);
  stream_util_tear_down (&pair);
}

/* As many as there can be. */
static void
test_most (void)
{
  const guint count = IO_STREAM_MAX_BUFFERS;
  IOStreamBufferQueueEntry entry;
  StreamPair pair = { NULL, };
  guint n = 0;

  g_main_context_iteration (NULL, FALSE);
  pair.n_fds = count_fds ();
  pair.loop = stream_util_new_loop ();
  pair.stream = stream_util_new_stream (pair.loop, IO_STREAM_MODE_INPUT_OUTPUT, count, 16, 0);
  pair.client = stream_util_open_stream (pair.stream);
  g_assert_cmpuint (io_stream_connection_get_buffer_count (pair.client), ==, count);
  stream_util_start (pair.client);
  for (guint i = 0; i < count; i++)
    stream_util_assert_works (io_stream_send_buffer (pair.stream, io_stream_get_buffer_with_id (pair.stream, i), err));
  while (io_stream_connection_dequeue_output_entry (pair.client, &entry))
    {
      g_assert_cmpuint (entry.buffer_id, ==, n++);
      stream_util_return (pair.client, &entry);
    }
  g_assert_cmpuint (n, ==, count);
  for (n = 0; n < count; n++)
    {
      entry = take_input (pair.stream);
      g_assert_cmpuint (entry.buffer_id, ==, n);
    }
  grow_util_add (&pair, 1, IO_STREAM_PEER_ACCESS_READ_WRITE, IO_STREAM_ERROR_STILL_OPEN);
  stream_util_close (pair.client);
  grow_util_add (&pair, 1, IO_STREAM_PEER_ACCESS_READ_WRITE, IO_STREAM_ERROR_NO_RESOURCES);
  stream_util_tear_down (&pair);
}

/* Two processes: the other one turns each byte round, and grows the stream by
 * what it is told. */
static int
run_filter (void)
{
  g_autoptr (IOStreamConnection) client = stream_util_open ("test");
  g_autoptr (GError) error = NULL;
  IOStreamBufferQueueEntry entry;
  guint n = 0;

  stream_util_start (client);
  while (io_stream_connection_wait (client, STREAM_UTIL_TIMEOUT, NULL, &error))
    while (io_stream_connection_dequeue_output_entry (client, &entry))
      {
        guint8 *bytes = io_stream_connection_peek_data_buffer (client, entry.buffer_id, NULL);

        for (guint32 i = 0; i < entry.data_length; i++)
          bytes[entry.data_offset + i] ^= 0xff;
        if (io_stream_connection_get_control_buffer_length (client, entry.buffer_id) >= sizeof n)
          {
            memcpy (io_stream_connection_peek_control_buffer (client, entry.buffer_id, NULL), &n, sizeof n);
            entry.control_length = sizeof n;
          }
        n++;
        stream_util_return (client, &entry);
      }
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN);
  peer_say ("%u of %u buffers", n, io_stream_connection_get_buffer_count (client));

  return 0;
}

static void
send_number (IOStream *stream,
             guint     number)
{
  IOStreamBuffer *buffer = io_stream_acquire_buffer (stream, NULL);
  guint8 *bytes = io_stream_buffer_peek_data (buffer, NULL);

  memset (bytes, (int) (number & 0xff), 200);
  stream_util_assert_works (io_stream_enqueue_output_buffer (stream, buffer, number % 100, 100, 0, 0, err));
  stream_util_assert_works (io_stream_send_output_notification (stream, err));
}

static void
check_number (IOStream                       *stream,
              const IOStreamBufferQueueEntry *entry,
              guint                           number)
{
  IOStreamBuffer *buffer = io_stream_get_buffer_with_id (stream, entry->buffer_id);
  guint8 *bytes = (guint8 *) io_stream_buffer_peek_data (buffer, NULL);
  guint seen;

  g_assert_cmpuint (entry->data_offset, ==, number % 100);
  g_assert_cmpuint (bytes[number % 100], ==, (~number) & 0xff);
  g_assert_cmpuint (bytes[number % 100 + 99], ==, (~number) & 0xff);
  if (entry->control_length > 0)
    {
      memcpy (&seen, io_stream_buffer_peek_control (buffer, NULL), sizeof seen);
      g_assert_cmpuint (seen, ==, number);
    }
  io_stream_release_buffer (stream, buffer);
}

static void
test_two_processes (void)
{
  StreamPair pair = { NULL, };
  guint sent = 0, back = 0, count = 4;
  g_autofree char *expected = NULL;
  Peer *peer;

  stream_util_skip_if_local ("the client is in another one");
  g_main_context_iteration (NULL, FALSE);
  pair.n_fds = count_fds ();
  grow_util_set_up (&pair, IO_STREAM_MODE_INPUT_OUTPUT, count, 16);
  stream_util_close (pair.client);
  io_connection_hang_up (IO_CONNECTION (pair.client));
  stream_util_settle ();
  g_assert_finalize_object (g_steal_pointer (&pair.client));
  peer = peer_spawn (-1, -1, "filter", NULL);

  while (back < ROUNDS)
    {
      IOStreamBufferQueueEntry entry;

      if (sent < 1600 && sent % 400 == 399 && count < 4 + 3 * (sent / 400 + 1))
        {
          grow_util_add (&pair, 3, IO_STREAM_PEER_ACCESS_READ_WRITE, 0);
          count += 3;
        }
      stream_util_assert_works (sent == back ? io_stream_wait_buffer (pair.stream, STREAM_UTIL_TIMEOUT, NULL, err)
                                             : TRUE);
      while (sent < ROUNDS && sent - back < MIN (count, 16) && sent % 400 != 399)
        send_number (pair.stream, sent++);
      if (sent < ROUNDS && sent % 400 == 399 && sent - back < MIN (count, 16))
        send_number (pair.stream, sent++);
      entry = take_input (pair.stream);
      check_number (pair.stream, &entry, back++);
    }
  g_assert_cmpuint (io_stream_get_buffer_count (pair.stream), ==, count);
  io_service_terminate (IO_SERVICE (pair.stream));
  expected = g_strdup_printf ("%u of %u buffers", ROUNDS, count);
  peer_expect (peer, expected);
  peer_finish (peer);
  stream_util_tear_down (&pair);
}

#define ADD(path, mode, func) \
  g_test_add ("/stream-mode/" path, StreamPair, GUINT_TO_POINTER (mode), set_up, func, tear_down)

int
main (int   argc,
      char *argv[])
{
  static const Sizes parts[] = { { 0, 0, 0 }, { 0, 100, 0 }, { 0, 0, 30 }, { 0, 4096, 4096 }, { 0, 1, 1 } };
  Sizes sizes[3 * G_N_ELEMENTS (parts)];
  char *dir;
  int status;

  if (argc > 2 && strcmp (argv[1], "--peer") == 0)
    {
      peer_begin ();
      return run_filter ();
    }

  *peer_program () = argv[0];
  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();

  ADD ("both-ways", IO_STREAM_MODE_INPUT_OUTPUT, test_both_ways);
  ADD ("arrived", IO_STREAM_MODE_INPUT_OUTPUT, test_arrived);
  g_test_add_func ("/stream-mode/unsupported", test_unsupported);
  ADD ("change/context", IO_STREAM_MODE_INPUT_OUTPUT, test_change_in_context);
  ADD ("change/waiter", IO_STREAM_MODE_INPUT, test_change_seen_by_waiter);
  ADD ("change/lent", IO_STREAM_MODE_INPUT, test_change_while_lent);
  g_test_add_func ("/stream-mode/change/method", test_change_in_method);
  g_test_add_func ("/stream-mode/change/add-in-method", test_add_in_method);
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autofree char *path = g_strdup_printf ("/stream-mode/sizes/%u", i);

      sizes[i] = parts[i / 3];
      sizes[i].mode = i % 3;
      g_test_add_data_func (path, &sizes[i], test_sizes);
    }
  g_test_add_func ("/stream-mode/sizes/mixed", test_mixed);
  g_test_add_func ("/stream-mode/sizes/most", test_most);
  g_test_add_func ("/stream-mode/two-processes", test_two_processes);

  status = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return status;
}
