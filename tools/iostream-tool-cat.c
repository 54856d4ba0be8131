/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "iostream-tool.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENTRIES_AT_ONCE 64
#define BYTES_AT_ONCE   (1024 * 1024)

typedef struct {
  ToolClient               client;
  ToolProgress             progress;
  IOStreamBufferQueueEntry entry;
  gboolean                 has_entry;
  gsize                    written;
  guint64                  total;
  int                      fd;
  gboolean                 is_socket;
  gsize                    at_once;
  guint                    end_source;
  guint                    ready_source;
} Cat;

static const GOptionEntry entries[] = {
  TOOL_CLIENT_ENTRIES,
  { NULL },
};

/* Standard output is shared with others, so it cannot be made non-blocking for
 * us alone; but behind it is a file that can be opened once more. Where that
 * does not work, what fits for sure is written at a time. */
static void
open_output (Cat *self)
{
  struct stat st;

  self->fd = STDOUT_FILENO;
  self->at_once = BYTES_AT_ONCE;
  if (fstat (STDOUT_FILENO, &st) < 0)
    return;

  self->is_socket = S_ISSOCK (st.st_mode);
  if (!S_ISFIFO (st.st_mode) && !S_ISCHR (st.st_mode))
    return;

  self->fd = open ("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  if (self->fd < 0)
    {
      self->fd = STDOUT_FILENO;
      self->at_once = PIPE_BUF;
    }
}

static gboolean
is_ready (int fd)
{
  struct pollfd pollfd = { .fd = fd, .events = POLLOUT };

  return poll (&pollfd, 1, 0) != 0;
}

static gssize
write_some (Cat          *self,
            const guint8 *bytes,
            gsize         length)
{
  length = MIN (length, self->at_once);

  if (self->is_socket)
    return send (self->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);

  if (!is_ready (self->fd))
    {
      errno = EAGAIN;
      return -1;
    }

  return write (self->fd, bytes, length);
}

static gboolean
ready_cb (int          fd,
          GIOCondition condition,
          gpointer     user_data)
{
  Cat *self = user_data;

  self->ready_source = 0;
  tool_client_look (&self->client);

  return G_SOURCE_REMOVE;
}

static void
write_failed (Cat *self)
{
  int code = errno;

  if (code == EAGAIN || code == EWOULDBLOCK)
    {
      if (self->ready_source == 0)
        self->ready_source = g_unix_fd_add (self->fd, G_IO_OUT | G_IO_ERR | G_IO_HUP, ready_cb, self);
      return;
    }

  if (code == EPIPE || code == ECONNRESET)
    {
      tool_run_end (&self->client.run, 0);
      return;
    }

  {
    g_autoptr (GError) error = g_error_new (G_IO_ERROR, g_io_error_from_errno (code),
                                            "Cannot write to standard output: %s", g_strerror (code));

    tool_run_fail (&self->client.run, error);
  }
}

/* FALSE if it cannot go on now. */
static gboolean
write_entry (Cat *self)
{
  gsize size;
  const guint8 *bytes = io_stream_connection_peek_data_buffer (self->client.connection,
                                                               self->entry.buffer_id, &size);
  gsize length = bytes != NULL ? self->entry.data_length : 0;

  while (self->written < length)
    {
      gssize n = write_some (self, bytes + self->entry.data_offset + self->written,
                             length - self->written);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        {
          write_failed (self);
          return FALSE;
        }
      self->written += (gsize) n;
      self->total += (gsize) n;
    }

  return TRUE;
}

static ToolPump
cat_pump (ToolClient *client)
{
  Cat *self = (Cat *) client;

  for (guint i = 0; i < ENTRIES_AT_ONCE; i++)
    {
      g_autoptr (GError) error = NULL;

      if (!self->has_entry)
        {
          self->written = 0;
          self->has_entry = io_stream_connection_dequeue_output_entry (client->connection, &self->entry);
          if (!self->has_entry)
            return TOOL_PUMP_EMPTY;
        }
      if (!write_entry (self))
        return TOOL_PUMP_BLOCKED;

      self->has_entry = FALSE;
      if (!io_stream_connection_return_entry (client->connection, &self->entry, &error))
        {
          tool_run_fail (&client->run, error);
          return TOOL_PUMP_BLOCKED;
        }
    }

  return TOOL_PUMP_MORE;
}

/* The reader went away while nothing was there to write. */
static gboolean
end_cb (int          fd,
        GIOCondition condition,
        gpointer     user_data)
{
  Cat *self = user_data;

  self->end_source = 0;
  tool_run_end (&self->client.run, 0);

  return G_SOURCE_REMOVE;
}

static void
watch_end (Cat *self)
{
  struct stat st;

  if (fstat (self->fd, &st) == 0 && (S_ISFIFO (st.st_mode) || S_ISSOCK (st.st_mode)))
    self->end_source = g_unix_fd_add (self->fd, G_IO_ERR | G_IO_HUP, end_cb, self);
}

int
tool_cat_run (const Tool  *tool,
              int          argc,
              char       **argv)
{
  Cat self = { 0, };
  int status;

  if (!tool_parse (tool, entries, NULL, &argc, &argv, 1, 1))
    return TOOL_EXIT_USAGE;

  open_output (&self);
  watch_end (&self);
  if (!isatty (STDOUT_FILENO))
    tool_progress_start (&self.progress, argv[1], &self.total);

  self.client.pump = cat_pump;
  status = tool_client_run (&self.client, tool, argv[1]);

  tool_progress_stop (&self.progress);
  if (self.end_source != 0)
    g_source_remove (self.end_source);
  if (self.ready_source != 0)
    g_source_remove (self.ready_source);
  if (self.fd != STDOUT_FILENO)
    close (self.fd);

  return status;
}
