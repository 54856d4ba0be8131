/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* camera [NAME]: the owner of a stream. Shows RGB pictures of 1920x1080 at 60
 * per second to whoever opens it. Ends at Ctrl-C. */

#include <libiostream/iostream.h>

#include "frame-info.h"

#include <glib-unix.h>
#include <locale.h>
#include <stdlib.h>

#define WIDTH     1920
#define HEIGHT    1080
#define STRIDE    (WIDTH * 3)
#define RATE      60
#define N_BUFFERS 4

/* A class of its own: what it has more than a stream is a timer and a number. */

#define DEMO_TYPE_CAMERA (demo_camera_get_type ())
G_DECLARE_FINAL_TYPE (DemoCamera, demo_camera, DEMO, CAMERA, IOStream)

struct _DemoCamera {
  IOStream parent_instance;

  guint8  *strip;     /* two rows' worth of colours */
  GSource *timer;     /* while it is running */
  gint64   due;       /* when the next frame is to be shown, in nanoseconds */
  guint64  number;    /* of that frame */
};

G_DEFINE_FINAL_TYPE (DemoCamera, demo_camera, IO_TYPE_STREAM)

static void
draw (DemoCamera *self,
      guint8     *picture)
{
  gsize shift = self->number * 4 % WIDTH;
  gsize bar = self->number * 3 % (HEIGHT - 16);

  for (gsize y = 0; y < HEIGHT; y++)
    memcpy (picture + y * STRIDE, self->strip + 3 * shift, STRIDE);
  memset (picture + bar * STRIDE, 255, 16 * STRIDE);
}

/* The picture is made where it will be read: in a buffer that nobody else has
 * at the moment. If the client holds them all, this frame is left out. */
static void
show_frame (DemoCamera *self)
{
  g_autoptr (GError) error = NULL;
  IOStreamBuffer *buffer = io_stream_acquire_buffer (IO_STREAM (self), &error);
  FrameInfo *info;
  guint8 *picture;

  if (buffer == NULL)
    {
      g_debug ("Frame %" G_GUINT64_FORMAT " is left out: %s", self->number, error->message);
      return;
    }

  picture = io_stream_buffer_peek_data (buffer, NULL);
  info = io_stream_buffer_peek_control (buffer, NULL);
  info->timestamp = (guint64) g_get_monotonic_time () * 1000;
  draw (self, picture);
  info->magic = FRAME_INFO_MAGIC;
  info->width = WIDTH;
  info->height = HEIGHT;
  info->stride = STRIDE;
  info->number = self->number;
  info->checksum = frame_checksum (picture, STRIDE * HEIGHT);

  if (!io_stream_send_buffer (IO_STREAM (self), buffer, &error))
    {
      g_message ("%s", error->message);
      io_stream_release_buffer (IO_STREAM (self), buffer);
    }
}

static gboolean
timer_dispatch (GSource     *source,
                GSourceFunc  callback,
                gpointer     user_data)
{
  return callback (user_data);
}

static GSourceFuncs timer_funcs = { .dispatch = timer_dispatch };

static gboolean
timer_cb (gpointer user_data)
{
  DemoCamera *self = user_data;

  show_frame (self);
  self->number++;
  self->due += G_GINT64_CONSTANT (1000000000) / RATE;
  g_source_set_ready_time (self->timer, self->due / 1000);

  return G_SOURCE_CONTINUE;
}

/* A client wants to see something. */
static gboolean
demo_camera_start (IOStream  *stream,
                   GError   **error)
{
  DemoCamera *self = DEMO_CAMERA (stream);

  self->due = g_get_monotonic_time () * 1000;
  self->timer = g_source_new (&timer_funcs, sizeof (GSource));
  g_source_set_callback (self->timer, timer_cb, self, NULL);
  g_source_set_ready_time (self->timer, 0);
  g_source_attach (self->timer, g_main_context_get_thread_default ());

  return TRUE;
}

/* It does not want to any more, or it is gone. */
static gboolean
demo_camera_stop (IOStream  *stream,
                  GError   **error)
{
  DemoCamera *self = DEMO_CAMERA (stream);

  if (self->timer != NULL)
    g_source_destroy (self->timer);
  g_clear_pointer (&self->timer, g_source_unref);

  return TRUE;
}

static void
demo_camera_finalize (GObject *object)
{
  DemoCamera *self = DEMO_CAMERA (object);

  g_free (self->strip);

  G_OBJECT_CLASS (demo_camera_parent_class)->finalize (object);
}

static void
demo_camera_class_init (DemoCameraClass *klass)
{
  IOStreamClass *stream_class = IO_STREAM_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = demo_camera_finalize;
  stream_class->start = demo_camera_start;
  stream_class->stop = demo_camera_stop;
  stream_class->suspend = demo_camera_stop;
}

static void
demo_camera_init (DemoCamera *self)
{
  self->strip = g_malloc (2 * STRIDE);
  for (gsize x = 0; x < 2 * WIDTH; x++)
    {
      gsize t = x % WIDTH * 512 / WIDTH;

      self->strip[3 * x] = (guint8) (t < 256 ? t : 511 - t);
      self->strip[3 * x + 1] = (guint8) (t / 2);
      self->strip[3 * x + 2] = (guint8) (255 - t / 2);
    }
}

static DemoCamera *
demo_camera_new (const char  *name,
                 GError     **error)
{
  return g_initable_new (DEMO_TYPE_CAMERA, NULL, error,
                         "name", name,
                         "mode", IO_STREAM_MODE_OUTPUT,
                         "buffer-count", N_BUFFERS,
                         "data-size", (guint64) STRIDE * HEIGHT,
                         "control-size", (guint64) sizeof (FrameInfo),
                         "timestamps", TRUE,
                         NULL);
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
  g_autoptr (DemoCamera) camera = NULL;

  setlocale (LC_ALL, "");

  camera = demo_camera_new (argc > 1 ? argv[1] : "camera", &error);
  if (camera == NULL || !io_service_register (IO_SERVICE (camera), &error))
    {
      g_printerr ("camera: %s\n", error->message);
      return EXIT_FAILURE;
    }

  g_unix_signal_add (SIGINT, quit_cb, loop);
  g_unix_signal_add (SIGTERM, quit_cb, loop);
  g_main_loop_run (loop);

  /* Clients that are there learn that this is the end. */
  io_service_terminate (IO_SERVICE (camera));

  return EXIT_SUCCESS;
}
