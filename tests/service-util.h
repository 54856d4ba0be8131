/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

/* A client that knows nothing but the protocol, for the tests of the owner's
 * side. */

#include <libiostream/io-error.h>

#include "libiostream/io-names-private.h"
#include "libiostream/io-packet-private.h"
#include "libiostream/io-service-private.h"
#include "libiostream/io-user-client-private.h"

#include "memory-util.h"

#include <glib-unix.h>
#include <glib/gstdio.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
  char *directory;
  guint n_fds;
} Fixture;

static inline void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  fixture->directory = g_dir_make_tmp ("io-XXXXXX", NULL);
  g_assert_nonnull (fixture->directory);
  g_setenv ("IOSTREAM_RUNTIME_DIR", fixture->directory, TRUE);
  /* what GLib opens for good */
  g_main_context_iteration (NULL, FALSE);
  fixture->n_fds = count_fds ();
}

/* Nothing is left behind. */
static inline void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  g_autoptr (GDir) dir = g_dir_open (fixture->directory, 0, NULL);

  g_assert_nonnull (dir);
  g_assert_cmpstr (g_dir_read_name (dir), ==, NULL);
  g_clear_pointer (&dir, g_dir_close);
  g_assert_cmpuint (count_fds (), ==, fixture->n_fds);
  g_assert_cmpint (g_rmdir (fixture->directory), ==, 0);
  g_free (fixture->directory);
}

#define ADD(path, func) g_test_add (path, Fixture, NULL, set_up, func, tear_down)

static inline int
raw_connect (const char *name)
{
  g_autofree char *path = _io_names_dup_socket_path (name, NULL);
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

  g_strlcpy (address.sun_path, path, sizeof address.sun_path);
  if (connect (fd, (struct sockaddr *) &address, sizeof address) == 0)
    return fd;

  close (fd);
  return -1;
}

static inline gboolean
raw_ready_cb (int          fd,
              GIOCondition condition,
              gpointer     user_data)
{
  return G_SOURCE_CONTINUE;
}

/* Runs the service until the client has something to read, or the end. */
static inline void
raw_wait (int fd)
{
  struct pollfd poll_fd = { fd, POLLIN, 0 };
  guint id = g_unix_fd_add (fd, G_IO_IN, raw_ready_cb, NULL);

  while (poll (&poll_fd, 1, 0) == 0)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (id);
}

/* Runs the service until it has nothing to do. */
static inline void
settle (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

static inline gboolean
raw_send_bytes (int         fd,
                const void *data,
                gsize       size)
{
  return send (fd, data, size, MSG_NOSIGNAL) == (gssize) size;
}

static inline gboolean
raw_send (int         fd,
          guint       opcode,
          guint       serial,
          GVariant   *body)
{
  g_autoptr (GBytes) packet = _io_packet_build (IO_PACKET_CALL, opcode, serial, 0, body, NULL);
  gsize size;
  const void *data = g_bytes_get_data (packet, &size);

  return raw_send_bytes (fd, data, size);
}

/* The next packet; NULL at the end. */
static inline GVariant *
raw_receive (int             fd,
             IOPacketHeader *header,
             int            *passed_fd)
{
  guint8 buffer[IO_PROTOCOL_MAX_PACKET + 1];
  union { char bytes[CMSG_SPACE (8 * sizeof (int))]; struct cmsghdr align; } control;
  struct iovec vector = { buffer, sizeof buffer };
  struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1,
                            .msg_control = &control, .msg_controllen = sizeof control };
  g_autoptr (GError) error = NULL;
  GVariant *body = NULL;
  gssize n;

  raw_wait (fd);
  n = recvmsg (fd, &message, MSG_CMSG_CLOEXEC);
  if (n <= 0)
    return NULL;

  if (passed_fd != NULL)
    *passed_fd = -1;
  if (CMSG_FIRSTHDR (&message) != NULL)
    {
      g_assert_nonnull (passed_fd);
      memcpy (passed_fd, CMSG_DATA (CMSG_FIRSTHDR (&message)), sizeof (int));
    }
  g_assert_true (_io_packet_parse (buffer, n, header, &body, &error));
  g_assert_no_error (error);
  return body;
}

static inline void
raw_assert_end (int fd)
{
  guint8 byte;

  raw_wait (fd);
  g_assert_cmpint (recv (fd, &byte, 1, 0), ==, 0);
}

/* What came instead of an answer, or with it. */
static inline GVariant *
raw_answer (int       fd,
            guint     opcode,
            guint     serial,
            int      *passed_fd,
            GError  **error)
{
  g_autoptr (GVariant) body = NULL;
  IOPacketHeader header;

  do
    {
      g_clear_pointer (&body, g_variant_unref);
      body = raw_receive (fd, &header, passed_fd);
      if (body == NULL)
        {
          g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE, "gone");
          return NULL;
        }
      if (header.opcode == IO_OPCODE_TERMINATED)
        {
          guint code;
          const char *text;

          g_variant_get (body, "(u&s)", &code, &text);
          g_set_error (error, IO_STREAM_ERROR, code, "%s", text);
          return NULL;
        }
    }
  while (header.kind == IO_PACKET_EVENT);

  g_assert_cmpuint (header.kind, ==, IO_PACKET_REPLY);
  g_assert_cmpuint (header.opcode, ==, opcode);
  g_assert_cmpuint (header.serial, ==, serial);
  if (header.status != 0)
    {
      g_propagate_error (error, _io_packet_to_error (&header, body));
      return NULL;
    }
  return g_steal_pointer (&body);
}

static inline GVariant *
raw_call (int        fd,
          guint      opcode,
          GVariant  *args,
          GError   **error)
{
  static guint serial = 100;

  g_assert_true (raw_send (fd, opcode, ++serial, args));
  return raw_answer (fd, opcode, serial, NULL, error);
}

static inline void
raw_assert_call_fails (int        fd,
                       guint      opcode,
                       GVariant  *args,
                       int        code)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (raw_call (fd, opcode, args, &error));
  g_assert_error (error, IO_STREAM_ERROR, code);
}

static inline void
raw_assert_call (int        fd,
                 guint      opcode,
                 GVariant  *args)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) result = raw_call (fd, opcode, args, &error);

  g_assert_no_error (error);
  g_assert_nonnull (result);
}

static inline GVariant *
hello_args (guint       version,
            const char *name)
{
  return g_variant_new_parsed ("(%u, %s, @a{sv} {})", version, name);
}

static inline GVariant *
open_args (guint options)
{
  return g_variant_new_parsed ("(%u, @a{sv} {})", options);
}

static inline GVariant *
raw_hello (int      fd,
           GError **error)
{
  return raw_call (fd, IO_OPCODE_HELLO, hello_args (1, "test"), error);
}

/* Connected and introduced. */
static inline int
raw_client (const char *name)
{
  int fd = raw_connect (name);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply = NULL;

  g_assert_cmpint (fd, >=, 0);
  reply = raw_hello (fd, &error);
  g_assert_no_error (error);
  return fd;
}

static inline IOService *
new_registered (const char *name)
{
  IOService *service = io_service_new (name);
  g_autoptr (GError) error = NULL;

  io_service_register (service, &error);
  g_assert_no_error (error);
  g_assert_true (io_service_is_registered (service));
  return service;
}

static inline void
finish (IOService *service)
{
  io_service_terminate (service);
  settle ();
  g_assert_finalize_object (service);
}
