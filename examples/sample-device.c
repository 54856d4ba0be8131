/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sample-device [NAME] [RATE]: a camera driver in the shape of Apple's video
 * sample: one device with two streams, each of ten buffers. NAME.capture shows
 * pictures; NAME.playback plays the pictures that a client fills in. The
 * device has the timer and the work; a stream only tells it what its client
 * wants. sample-host is the other side. Ends at Ctrl-C.
 *
 * Apple's sample goes round its buffers by number, and writes the next picture
 * into a buffer that a client may still be looking at. Here a buffer is asked
 * for before it is written, so that cannot be: the device counts how often it
 * would have been. */

#include <libiostream/iostream.h>

#include "frame-info.h"

#include <glib-unix.h>
#include <locale.h>
#include <stdlib.h>

#define WIDTH     320
#define HEIGHT    240
#define STRIDE    (WIDTH * 3)
#define PICTURE   ((guint64) STRIDE * HEIGHT)
#define N_BUFFERS 10

typedef struct {
  IOStream *stream;
  GSource  *timer;        /* while it runs */
  guint32   next;         /* number of the buffer whose turn it is */
  guint64   number;       /* of the next picture */
  guint64   n_done;       /* shown or played */
  guint64   n_left_out;   /* no buffer was free, or none was filled */
  guint64   n_in_use;     /* turns at which a client still looked at the buffer */
  guint64   n_broken;     /* filled in with something else than a picture */
} Channel;

typedef struct {
  guint   rate;           /* pictures a second */
  Channel capture;
  Channel playback;
} SampleDevice;

/* --- the streams -------------------------------------------------------------- */

#define SAMPLE_TYPE_STREAM (sample_stream_get_type ())
G_DECLARE_FINAL_TYPE (SampleStream, sample_stream, SAMPLE, STREAM, IOStream)

struct _SampleStream {
  IOStream      parent_instance;

  SampleDevice *device;   /* it outlives its streams' work */
};

G_DEFINE_FINAL_TYPE (SampleStream, sample_stream, IO_TYPE_STREAM)

static gboolean sample_device_start_stream (SampleDevice  *self,
                                            IOStream      *stream,
                                            GError       **error);
static void     sample_device_stop_stream  (SampleDevice  *self,
                                            IOStream      *stream);

static gboolean
sample_stream_start (IOStream  *stream,
                     GError   **error)
{
  return sample_device_start_stream (SAMPLE_STREAM (stream)->device, stream, error);
}

static gboolean
sample_stream_stop (IOStream  *stream,
                    GError   **error)
{
  sample_device_stop_stream (SAMPLE_STREAM (stream)->device, stream);

  return TRUE;
}

static void
sample_stream_class_init (SampleStreamClass *klass)
{
  IO_STREAM_CLASS (klass)->start = sample_stream_start;
  IO_STREAM_CLASS (klass)->stop = sample_stream_stop;
  IO_STREAM_CLASS (klass)->suspend = sample_stream_stop;
}

static void
sample_stream_init (SampleStream *self)
{
}

/* --- capture -------------------------------------------------------------------- */

static void
draw (IOStreamBuffer *buffer,
      guint64         number)
{
  guint8 *picture = io_stream_buffer_peek_data (buffer, NULL);
  FrameInfo *info = io_stream_buffer_peek_control (buffer, NULL);

  for (gsize y = 0; y < HEIGHT; y++)
    memset (picture + y * STRIDE, (int) (number + y) & 0xff, STRIDE);
  *info = (FrameInfo) {
    FRAME_INFO_MAGIC, WIDTH, HEIGHT, STRIDE, number,
    (guint64) g_get_monotonic_time () * 1000, frame_checksum (picture, PICTURE)
  };
}

/* The buffer whose turn it is; any other one if a client still looks at it. */
static IOStreamBuffer *
take_next_buffer (Channel *channel)
{
  IOStreamBuffer *buffer = io_stream_acquire_buffer_with_id (channel->stream, channel->next, NULL);

  if (buffer != NULL)
    return buffer;

  channel->n_in_use++;
  return io_stream_acquire_buffer (channel->stream, NULL);
}

static gboolean
capture_tick_cb (gpointer user_data)
{
  Channel *channel = user_data;
  IOStreamBuffer *buffer = take_next_buffer (channel);
  g_autoptr (GError) error = NULL;

  channel->next = (channel->next + 1) % io_stream_get_buffer_count (channel->stream);
  channel->number++;
  if (buffer == NULL)
    {
      channel->n_left_out++;
      return G_SOURCE_CONTINUE;
    }

  draw (buffer, channel->number - 1);
  if (io_stream_send_buffer (channel->stream, buffer, &error))
    channel->n_done++;
  else
    {
      g_printerr ("sample-device: %s\n", error->message);
      io_stream_release_buffer (channel->stream, buffer);
    }

  return G_SOURCE_CONTINUE;
}

/* --- playback ------------------------------------------------------------------- */

/* Everything that is free goes out to be filled. */
static gboolean
post_free_buffers (Channel  *channel,
                   GError  **error)
{
  IOStreamBuffer *buffer;

  while ((buffer = io_stream_acquire_buffer (channel->stream, NULL)) != NULL)
    if (!io_stream_enqueue_output_buffer (channel->stream, buffer, 0, (guint32) PICTURE,
                                          0, (guint32) sizeof (FrameInfo), error))
      {
        io_stream_release_buffer (channel->stream, buffer);
        return FALSE;
      }

  return io_stream_send_output_notification (channel->stream, error);
}

/* What is in the buffer is the client's word: it is copied before it is looked
 * at, and it proves nothing. */
static void
play (Channel                        *channel,
      const IOStreamBufferQueueEntry *entry)
{
  IOStreamBuffer *buffer = io_stream_get_buffer_with_id (channel->stream, entry->buffer_id);
  g_autofree guint8 *picture = g_memdup2 (io_stream_buffer_peek_data (buffer, NULL), PICTURE);
  FrameInfo info = *(const FrameInfo *) io_stream_buffer_peek_control (buffer, NULL);

  if (entry->data_length == PICTURE && info.magic == FRAME_INFO_MAGIC &&
      info.number == channel->number && info.checksum == frame_checksum (picture, PICTURE))
    channel->n_done++;
  else
    channel->n_broken++;

  channel->number++;
  io_stream_release_buffer (channel->stream, buffer);
}

static gboolean
playback_tick_cb (gpointer user_data)
{
  Channel *channel = user_data;
  IOStreamBufferQueueEntry entry;
  g_autoptr (GError) error = NULL;

  if (io_stream_dequeue_input_entry (channel->stream, &entry))
    play (channel, &entry);
  else
    channel->n_left_out++;

  if (!post_free_buffers (channel, &error))
    g_printerr ("sample-device: %s\n", error->message);

  return G_SOURCE_CONTINUE;
}

/* --- the device ----------------------------------------------------------------- */

static Channel *
find_channel (SampleDevice *self,
              IOStream     *stream)
{
  return stream == self->capture.stream ? &self->capture : &self->playback;
}

static gboolean
sample_device_start_stream (SampleDevice  *self,
                            IOStream      *stream,
                            GError       **error)
{
  Channel *channel = find_channel (self, stream);
  gboolean captures = channel == &self->capture;

  if (!captures && !post_free_buffers (channel, error))
    return FALSE;

  channel->timer = g_timeout_source_new (MAX (1000 / self->rate, 1));
  g_source_set_callback (channel->timer, captures ? capture_tick_cb : playback_tick_cb, channel, NULL);
  g_source_attach (channel->timer, g_main_context_get_thread_default ());

  return TRUE;
}

static void
sample_device_stop_stream (SampleDevice *self,
                           IOStream     *stream)
{
  Channel *channel = find_channel (self, stream);

  if (channel->timer != NULL)
    g_source_destroy (channel->timer);
  g_clear_pointer (&channel->timer, g_source_unref);
}

/* The client is gone; the next one begins anew. */
static void
client_closed_cb (IOService    *service,
                  IOUserClient *client,
                  SampleDevice *self)
{
  Channel *channel = find_channel (self, IO_STREAM (service));
  IOStreamBufferQueueEntry entry;

  if (channel == &self->capture)
    g_print ("capture: %" G_GUINT64_FORMAT " shown, %" G_GUINT64_FORMAT " left out, %"
             G_GUINT64_FORMAT " would have been overwritten\n",
             channel->n_done, channel->n_left_out, channel->n_in_use);
  else
    {
      while (io_stream_dequeue_input_entry (channel->stream, &entry))
        play (channel, &entry);
      g_print ("playback: %" G_GUINT64_FORMAT " played, %" G_GUINT64_FORMAT " broken\n",
               channel->n_done, channel->n_broken);
    }
  *channel = (Channel) { .stream = channel->stream, .timer = channel->timer };
}

static gboolean
add_stream (SampleDevice  *self,
            Channel       *channel,
            const char    *name,
            IOStreamMode   mode,
            GError       **error)
{
  channel->stream = g_initable_new (SAMPLE_TYPE_STREAM, NULL, error,
                                    "name", name,
                                    "mode", mode,
                                    "buffer-count", N_BUFFERS,
                                    "data-size", PICTURE,
                                    "control-size", (guint64) sizeof (FrameInfo),
                                    NULL);
  if (channel->stream == NULL)
    return FALSE;

  SAMPLE_STREAM (channel->stream)->device = self;
  io_service_set_attribute (IO_SERVICE (channel->stream), "frame-rate",
                            g_variant_new_uint32 (self->rate));
  g_signal_connect (channel->stream, "client-closed", G_CALLBACK (client_closed_cb), self);

  return io_service_register (IO_SERVICE (channel->stream), error);
}

static void
remove_stream (Channel *channel)
{
  if (channel->stream != NULL)
    io_service_terminate (IO_SERVICE (channel->stream));
  g_clear_object (&channel->stream);
}

static gboolean
quit_cb (gpointer user_data)
{
  g_main_loop_quit (user_data);

  return G_SOURCE_CONTINUE;
}

int
main (int    argc,
      char **argv)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GError) error = NULL;
  const char *name = argc > 1 ? argv[1] : "sample";
  g_autofree char *capture = g_strconcat (name, ".capture", NULL);
  g_autofree char *playback = g_strconcat (name, ".playback", NULL);
  SampleDevice device = { .rate = argc > 2 ? (guint) CLAMP (atoi (argv[2]), 1, 1000) : 30 };

  setlocale (LC_ALL, "");

  g_unix_signal_add (SIGINT, quit_cb, loop);
  g_unix_signal_add (SIGTERM, quit_cb, loop);
  if (add_stream (&device, &device.capture, capture, IO_STREAM_MODE_OUTPUT, &error) &&
      add_stream (&device, &device.playback, playback, IO_STREAM_MODE_INPUT, &error))
    g_main_loop_run (loop);
  else
    g_printerr ("sample-device: %s\n", error->message);

  remove_stream (&device.capture);
  remove_stream (&device.playback);

  return error == NULL ? EXIT_SUCCESS : EXIT_FAILURE;
}
