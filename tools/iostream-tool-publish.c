/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "iostream-tool.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define READS_AT_ONCE  16
#define FRAMES_AT_ONCE 4
#define NS_PER_SECOND  G_GINT64_CONSTANT (1000000000)

typedef struct {
  ToolRun         run;
  ToolProgress    progress;
  const char     *name;
  IOStream       *stream;
  IOUserClient   *client;      /* who has the stream open */
  IOStreamBuffer *buffer;      /* what is being filled */
  gsize           size;
  gsize           filled;
  guint64         total;
  gboolean        ended;       /* everything is sent */
  gboolean        returned;    /* and everything came back */
  gboolean        started;     /* a client began to take it */
  gboolean        died;

  const char     *path;        /* of a file */
  int             fd;
  guint           watch;

  ToolPattern    *pattern;     /* or of pictures */
  GSource        *timer;
  gint64          next;        /* when to show the next one, in nanoseconds */
  guint64         number;
  guint64         n_sent;
} Publish;

static char *buffer_size = NULL;
static int n_buffers = 0;
static gboolean pattern = FALSE;
static int width = 1280;
static int height = 720;
static double rate = 30;
static gint64 n_frames = 0;

static const GOptionEntry entries[] = {
  { "buffer-size", 's', 0, G_OPTION_ARG_STRING, &buffer_size, "Size of each buffer; K, M and G are understood (256K)", "BYTES" },
  { "buffers", 'b', 0, G_OPTION_ARG_INT, &n_buffers, "How many buffers (8; 4 for pictures)", "N" },
  { "pattern", 0, 0, G_OPTION_ARG_NONE, &pattern, "Publish RGB test pictures", NULL },
  { "width", 0, 0, G_OPTION_ARG_INT, &width, "Their width in pixels (1280)", "W" },
  { "height", 0, 0, G_OPTION_ARG_INT, &height, "Their height in pixels (720)", "H" },
  { "rate", 0, 0, G_OPTION_ARG_DOUBLE, &rate, "How many per second; 0: as many as the client takes (30)", "R" },
  { "frames", 0, 0, G_OPTION_ARG_INT64, &n_frames, "End after so many", "N" },
  { NULL },
};

static void
pause_feed (Publish *self)
{
  g_clear_handle_id (&self->watch, g_source_remove);
  if (self->timer != NULL)
    g_source_set_ready_time (self->timer, -1);
}

/* All that was sent came back: nobody needs the stream any more. */
static void
check_returned (Publish *self)
{
  if (!self->ended || self->client == NULL ||
      io_stream_user_client_get_held (IO_STREAM_USER_CLIENT (self->client)) > 0)
    return;

  self->returned = TRUE;
  tool_run_end (&self->run, 0);
}

static void
end_of_stream (Publish *self)
{
  g_autoptr (GError) error = NULL;

  self->ended = TRUE;
  pause_feed (self);
  if (!io_stream_stop (self->stream, &error))
    tool_run_fail (&self->run, error);
  else
    check_returned (self);
}

/* FALSE if there is none, for now or for ever. */
static gboolean
have_buffer (Publish *self)
{
  g_autoptr (GError) error = NULL;

  if (self->buffer != NULL)
    return TRUE;

  self->filled = 0;
  self->buffer = io_stream_acquire_buffer (self->stream, &error);
  if (self->buffer == NULL && !g_error_matches (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_SPACE))
    tool_run_fail (&self->run, error);

  return self->buffer != NULL;
}

/* FALSE if it cannot be sent now; it stays. */
static gboolean
send_buffer (Publish *self,
             guint32  control_length)
{
  g_autoptr (GError) error = NULL;

  if (io_stream_enqueue_output_buffer (self->stream, self->buffer, 0, (guint32) self->filled,
                                       0, control_length, &error) &&
      io_stream_send_output_notification (self->stream, &error))
    {
      self->buffer = NULL;
      self->total += self->filled;
      return TRUE;
    }

  if (!g_error_matches (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY))
    tool_run_fail (&self->run, error);

  return FALSE;
}

/* What is there of the file. */

static gboolean
is_readable (int fd)
{
  struct pollfd pollfd = { .fd = fd, .events = POLLIN };

  return poll (&pollfd, 1, 0) != 0;
}

static void
read_failed (Publish *self)
{
  int code = errno;
  g_autoptr (GError) error = NULL;

  error = g_error_new (G_IO_ERROR, g_io_error_from_errno (code), "Cannot read %s for stream “%s”: %s",
                       self->path, self->name, g_strerror (code));
  tool_run_fail (&self->run, error);
}

/* FALSE at the end of the file, and when it cannot go on now. A buffer goes out
 * when it is full, or when nothing more is there to be read. */
static gboolean
read_some (Publish *self)
{
  guint8 *bytes = io_stream_buffer_peek_data (self->buffer, NULL);
  gssize n;

  if (self->filled == self->size)
    return send_buffer (self, 0);

  if (!is_readable (self->fd))
    {
      if (self->filled > 0)
        send_buffer (self, 0);
      return FALSE;
    }

  n = read (self->fd, bytes + self->filled, self->size - self->filled);
  if (n < 0 && (errno == EINTR || errno == EAGAIN))
    return errno == EINTR;
  if (n < 0)
    {
      read_failed (self);
      return FALSE;
    }
  self->filled += (gsize) n;
  if (n > 0)
    return self->filled < self->size || send_buffer (self, 0);

  if (self->filled > 0 && !send_buffer (self, 0))
    return FALSE;
  end_of_stream (self);

  return FALSE;
}

static gboolean
watch_cb (int          fd,
          GIOCondition condition,
          gpointer     user_data)
{
  Publish *self = user_data;
  gboolean going = TRUE;

  for (guint i = 0; going && i < READS_AT_ONCE; i++)
    {
      if (!have_buffer (self))
        {
          /* The next one that comes back resumes. */
          self->watch = 0;
          return G_SOURCE_REMOVE;
        }
      going = read_some (self);
    }

  return self->watch != 0 ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

/* Pictures. */

static gint64
now_ns (void)
{
  return g_get_monotonic_time () * 1000;
}

static gboolean
show_picture (Publish *self)
{
  ToolFrameInfo *info;

  if (!have_buffer (self))
    return FALSE;

  info = io_stream_buffer_peek_control (self->buffer, NULL);
  tool_pattern_draw (self->pattern, self->number,
                     io_stream_buffer_peek_data (self->buffer, NULL), info);
  self->filled = self->size;
  if (!send_buffer (self, sizeof *info))
    return FALSE;

  self->n_sent++;
  if (n_frames > 0 && self->n_sent >= (guint64) n_frames)
    end_of_stream (self);

  return !self->ended;
}

/* A picture that finds no free buffer is skipped, as a camera does it. */
static gboolean
timer_cb (gpointer user_data)
{
  Publish *self = user_data;
  gint64 now = now_ns ();

  if (rate <= 0)
    {
      guint i = 0;

      while (i < FRAMES_AT_ONCE && show_picture (self))
        i++, self->number++;
      if (i < FRAMES_AT_ONCE)
        g_source_set_ready_time (self->timer, -1);
      return G_SOURCE_CONTINUE;
    }

  show_picture (self);
  self->number++;
  self->next += (gint64) ((double) NS_PER_SECOND / rate);
  if (self->next < now)
    self->next = now;
  if (!self->ended)
    g_source_set_ready_time (self->timer, self->next / 1000);

  return G_SOURCE_CONTINUE;
}

static gboolean
timer_dispatch (GSource     *source,
                GSourceFunc  callback,
                gpointer     user_data)
{
  return callback (user_data);
}

static GSourceFuncs timer_funcs = { .dispatch = timer_dispatch };

/* The stream. */

static void
resume_feed (Publish *self)
{
  if (self->run.ended || self->ended ||
      io_stream_get_state (self->stream) != IO_STREAM_STATE_RUNNING)
    return;

  if (self->pattern == NULL)
    {
      if (self->watch == 0)
        self->watch = g_unix_fd_add (self->fd, G_IO_IN | G_IO_HUP | G_IO_ERR, watch_cb, self);
    }
  else if (g_source_get_ready_time (self->timer) < 0)
    {
      self->next = MAX (self->next, now_ns ());
      g_source_set_ready_time (self->timer, self->next / 1000);
    }
}

static void
state_cb (IOStream   *stream,
          GParamSpec *pspec,
          Publish    *self)
{
  if (io_stream_get_state (stream) == IO_STREAM_STATE_RUNNING)
    {
      self->started = TRUE;
      resume_feed (self);
    }
  else
    pause_feed (self);
}

static void
input_cb (IOStream *stream,
          guint32   token,
          Publish  *self)
{
  if (self->ended)
    check_returned (self);
  else
    resume_feed (self);
}

static void
opened_cb (IOService    *service,
           IOUserClient *client,
           Publish      *self)
{
  g_set_object (&self->client, client);
  self->died = FALSE;
}

static void
died_cb (IOService    *service,
         IOUserClient *client,
         Publish      *self)
{
  self->died = TRUE;
}

/* Pictures are there for who comes next; of a file the rest is lost, once it
 * was begun. A client that leaves in order has had enough, like the reader of a
 * pipe. */
static void
closed_cb (IOService    *service,
           IOUserClient *client,
           Publish      *self)
{
  g_autoptr (GError) error = NULL;

  g_clear_object (&self->client);
  if (!self->started || (self->pattern != NULL && !self->ended))
    return;
  if (!self->died || self->returned)
    {
      tool_run_end (&self->run, 0);
      return;
    }

  error = g_error_new (IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE,
                       "Cannot publish “%s”: its client, process %d, died before it had returned everything (%"
                       G_GUINT64_FORMAT " bytes were sent)",
                       self->name, io_user_client_get_pid (client), self->total);
  tool_run_fail (&self->run, error);
}

static void
describe_pictures (Publish *self)
{
  IOService *service = IO_SERVICE (self->stream);

  io_service_set_attribute (service, "format", g_variant_new_string ("RGB"));
  io_service_set_attribute (service, "width", g_variant_new_uint32 ((guint32) width));
  io_service_set_attribute (service, "height", g_variant_new_uint32 ((guint32) height));
  io_service_set_attribute (service, "rate", g_variant_new_double (rate));
}

static gboolean
make_stream (Publish  *self,
             GError  **error)
{
  self->stream = g_initable_new (IO_TYPE_STREAM, NULL, error,
                                 "name", self->name,
                                 "buffer-count", (guint) n_buffers,
                                 "data-size", (guint64) self->size,
                                 "control-size", (guint64) (pattern ? sizeof (ToolFrameInfo) : 0),
                                 "timestamps", TRUE,
                                 NULL);
  if (self->stream == NULL)
    return FALSE;

  if (pattern)
    describe_pictures (self);
  g_signal_connect (self->stream, "notify::state", G_CALLBACK (state_cb), self);
  g_signal_connect (self->stream, "input", G_CALLBACK (input_cb), self);
  g_signal_connect (self->stream, "client-opened", G_CALLBACK (opened_cb), self);
  g_signal_connect (self->stream, "client-died", G_CALLBACK (died_cb), self);
  g_signal_connect (self->stream, "client-closed", G_CALLBACK (closed_cb), self);

  return io_service_register (IO_SERVICE (self->stream), error);
}

static gboolean
open_file (Publish  *self,
           GError  **error)
{
  int code;

  if (self->path == NULL || strcmp (self->path, "-") == 0)
    {
      self->path = "standard input";
      self->fd = STDIN_FILENO;
      return TRUE;
    }

  self->fd = open (self->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (self->fd >= 0)
    return TRUE;

  code = errno;
  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code), "Cannot open %s for stream “%s”: %s",
               self->path, self->name, g_strerror (code));
  return FALSE;
}

static void
make_pattern (Publish *self)
{
  self->pattern = tool_pattern_new ((guint) width, (guint) height);
  self->timer = g_source_new (&timer_funcs, sizeof (GSource));
  g_source_set_callback (self->timer, timer_cb, self, NULL);
  g_source_set_ready_time (self->timer, -1);
  g_source_attach (self->timer, NULL);
}

/* In order: the client learns of the end, and keeps what it was sent. */
static void
withdraw (Publish *self)
{
  pause_feed (self);
  if (self->stream == NULL)
    return;

  g_signal_handlers_disconnect_by_data (self->stream, self);
  if (io_stream_get_state (self->stream) == IO_STREAM_STATE_RUNNING)
    io_stream_stop (self->stream, NULL);
  io_service_terminate (IO_SERVICE (self->stream));
}

static void
clear (Publish *self)
{
  withdraw (self);
  g_clear_object (&self->stream);
  g_clear_object (&self->client);
  if (self->fd > STDIN_FILENO)
    close (self->fd);
  if (self->timer != NULL)
    {
      g_source_destroy (self->timer);
      g_source_unref (self->timer);
    }
  g_clear_pointer (&self->pattern, tool_pattern_free);
  g_free (buffer_size);
}

static int
check_options (const Tool *tool,
               Publish    *self,
               gboolean    has_file)
{
  guint64 size = 256 * 1024;

  if (n_buffers == 0)
    n_buffers = pattern ? 4 : 8;
  if (n_buffers < 1 || n_buffers > (int) IO_STREAM_MAX_BUFFERS)
    return tool_misuse (tool, "“%d” is not a number of buffers", n_buffers);
  if (pattern && (has_file || buffer_size != NULL))
    return tool_misuse (tool, "a test picture needs no file and no buffer size");
  if (buffer_size != NULL && (!tool_parse_size (buffer_size, G_MAXUINT32, &size) || size == 0))
    return tool_misuse (tool, "“%s” is not the size of a buffer", buffer_size);
  if (pattern && (width < 1 || height < 1 || width > (int) (G_MAXUINT32 / 3 / (guint) height)))
    return tool_misuse (tool, "%d×%d is not the size of a picture", width, height);
  if (pattern && (!(rate >= 0) || rate > 1e6 || n_frames < 0))
    return tool_misuse (tool, "neither the rate nor the number of frames can be negative");

  self->size = pattern ? (gsize) width * 3 * (gsize) height : size;

  return 0;
}

int
tool_publish_run (const Tool  *tool,
                  int          argc,
                  char       **argv)
{
  g_autoptr (GError) error = NULL;
  Publish self = { .fd = -1 };
  int status;

  if (!tool_parse (tool, entries,
                   "Without FILE, and if it is “-”, standard input is read. Nothing is read before a\n"
                   "client starts the stream.",
                   &argc, &argv, 1, 2))
    return TOOL_EXIT_USAGE;

  self.name = argv[1];
  self.path = argc > 2 ? argv[2] : NULL;
  status = check_options (tool, &self, self.path != NULL);
  if (status != 0)
    return status;

  tool_run_init (&self.run, tool);
  if (pattern)
    make_pattern (&self);
  if ((!pattern && !open_file (&self, &error)) || !make_stream (&self, &error))
    tool_run_fail (&self.run, error);
  else
    tool_progress_start (&self.progress, self.name, &self.total);

  status = tool_run_loop (&self.run);

  tool_progress_stop (&self.progress);
  clear (&self);
  tool_run_clear (&self.run);

  return status;
}
