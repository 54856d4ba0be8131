/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-bell-private.h"

#include "io-error.h"
#include "io-fork-private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Each send is an allocation of the kernel's, so a full bell holds only some
 * hundreds of rings; one read empties it. */
#define DRAIN_SIZE 512

/* Two descriptors of one socket share its O_NONBLOCK, so a peer that was given
 * a copy of ours could clear it: no call here relies on it. */
static void
set_flags (int fd)
{
  int flags = fcntl (fd, F_GETFL);

  if (flags >= 0 && (flags & O_NONBLOCK) == 0)
    fcntl (fd, F_SETFL, flags | O_NONBLOCK);

  flags = fcntl (fd, F_GETFD);
  if (flags >= 0 && (flags & FD_CLOEXEC) == 0)
    fcntl (fd, F_SETFD, flags | FD_CLOEXEC);
}

/* FALSE if the peer is awake, or was rung in this sleep already. */
static gboolean
find_sleeper (IOBell  *self,
              guint32 *number)
{
  *number = 0;
  if (self->peer_word == NULL)
    return TRUE;

  *number = atomic_load_explicit (self->peer_word, memory_order_relaxed);

  return *number != 0 &&
         *number != atomic_load_explicit (&self->rung, memory_order_relaxed);
}

static gboolean
is_hung_up (IOBell *self)
{
  return atomic_load_explicit (&self->hung_up, memory_order_relaxed);
}

gboolean
_io_bell_create_pair (int      fds[2],
                      GError **error)
{
  int saved_errno;

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0)
    return TRUE;

  saved_errno = errno;
  fds[0] = fds[1] = -1;
  g_set_error (error, IO_STREAM_ERROR,
               saved_errno == EMFILE || saved_errno == ENFILE
                 ? IO_STREAM_ERROR_NO_RESOURCES
                 : IO_STREAM_ERROR_IO_ERROR,
               "Cannot make a socket pair: %s", g_strerror (saved_errno));

  return FALSE;
}

void
_io_bell_init (IOBell                 *self,
               int                     fd,
               _Atomic uint32_t       *own_word,
               const _Atomic uint32_t *peer_word)
{
  self->fd = fd;
  self->own_word = own_word;
  self->peer_word = peer_word;
  self->sleep = 0;
  self->forks = _io_fork_count ();
  self->armed = FALSE;
  atomic_init (&self->rung, 0);
  atomic_init (&self->hung_up, FALSE);

  if (fd >= 0)
    set_flags (fd);
}

void
_io_bell_clear (IOBell *self)
{
  _io_bell_disarm (self);

  if (self->fd >= 0)
    {
      _io_fork_remove_lifeline (self->fd);
      close (self->fd);
    }
  self->fd = -1;
  self->own_word = NULL;
  self->peer_word = NULL;
}

void
_io_bell_arm_unfenced (IOBell *self)
{
  if (++self->sleep == 0)
    self->sleep = 1;

  self->armed = TRUE;
  self->forks = _io_fork_count ();
  if (self->own_word != NULL)
    atomic_store_explicit (self->own_word, self->sleep, memory_order_relaxed);
}

void
_io_bell_arm (IOBell *self)
{
  _io_bell_arm_unfenced (self);
  atomic_thread_fence (memory_order_seq_cst);
}

void
_io_bell_disarm (IOBell *self)
{
  if (!self->armed)
    return;

  self->armed = FALSE;
  if (self->own_word != NULL && self->forks == _io_fork_count ())
    atomic_store_explicit (self->own_word, 0, memory_order_relaxed);
}

gboolean
_io_bell_is_armed (const IOBell *self)
{
  return self->armed;
}

gboolean
_io_bell_has_sleeper (IOBell *self)
{
  guint32 number;

  atomic_thread_fence (memory_order_seq_cst);

  return find_sleeper (self, &number);
}

gboolean
_io_bell_ring (IOBell *self)
{
  const char byte = 1;
  guint32 number;
  ssize_t n;

  atomic_thread_fence (memory_order_seq_cst);
  if (is_hung_up (self) || !find_sleeper (self, &number))
    return !is_hung_up (self);

  do
    n = send (self->fd, &byte, sizeof byte, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);

  /* A full bell is a rung bell. Without memory it is not rung, and the next
   * ring tries again. */
  if (n >= 0 || errno == EAGAIN || errno == EWOULDBLOCK)
    atomic_store_explicit (&self->rung, number, memory_order_relaxed);
  else if (errno != ENOMEM && errno != ENOBUFS)
    atomic_store_explicit (&self->hung_up, TRUE, memory_order_relaxed);

  return !is_hung_up (self);
}

IOBellResult
_io_bell_drain (IOBell *self)
{
  char bytes[DRAIN_SIZE];
  ssize_t n;

  do
    n = recv (self->fd, bytes, sizeof bytes, MSG_DONTWAIT);
  while (n < 0 && errno == EINTR);

  if (n > 0)
    return IO_BELL_RUNG;

  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOMEM || errno == ENOBUFS))
    return is_hung_up (self) ? IO_BELL_HUNG_UP : IO_BELL_QUIET;

  atomic_store_explicit (&self->hung_up, TRUE, memory_order_relaxed);

  return IO_BELL_HUNG_UP;
}
