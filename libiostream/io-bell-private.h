/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include <stdatomic.h>
#include <stdint.h>

G_BEGIN_DECLS

/* One end of a bell: a private stream socket pair, and the two words that
 * keep it quiet. A sleeper writes the number of its sleep into its own word;
 * the other side rings at most once for each number.
 *
 *   sleeper: own word = ++n; full fence; look again; poll; own word = 0
 *   ringer:  publish; full fence; if the word is neither 0 nor the one rung
 *            last, ring
 *
 * Not thread safe; the caller keeps _io_bell_ring() to itself with the lock
 * that also covers what it publishes. One thread may ring while another one
 * sleeps and drains. */
typedef struct {
  int                     fd;         /* -1 when cleared */
  _Atomic uint32_t       *own_word;   /* NULL: the other side rings always */
  const _Atomic uint32_t *peer_word;  /* NULL: ring always */
  guint32                 sleep;      /* number of our last sleep */
  guint                   forks;      /* of that sleep: what a child inherits asleep is
                                         the sleep of its parent */
  gboolean                armed;
  _Atomic uint32_t        rung;       /* number of the peer's sleep we ended */
  atomic_bool             hung_up;    /* the other end is gone */
} IOBell;

typedef enum {
  IO_BELL_QUIET,
  IO_BELL_RUNG,
  IO_BELL_HUNG_UP
} IOBellResult;

gboolean     _io_bell_create_pair (int                      fds[2],
                                   GError                 **error);
/* Takes over @fd, and makes it non-blocking and close-on-exec. */
void         _io_bell_init        (IOBell                  *self,
                                   int                      fd,
                                   _Atomic uint32_t        *own_word,
                                   const _Atomic uint32_t  *peer_word);
void         _io_bell_clear       (IOBell                  *self);
/* Full fence included: look again after it. */
void         _io_bell_arm         (IOBell                  *self);
/* The same for several bells, with one fence after the last of them. */
void         _io_bell_arm_unfenced (IOBell                 *self);
void         _io_bell_disarm      (IOBell                  *self);
gboolean     _io_bell_is_armed    (const IOBell            *self);
/* Full fence included: is there a sleep of the peer to end? The part of
 * _io_bell_ring() that needs no lock. */
gboolean     _io_bell_has_sleeper (IOBell                  *self);
/* Full fence included: call it after publishing. FALSE if the peer is gone. */
gboolean     _io_bell_ring        (IOBell                  *self);
/* One bounded read, never blocks. */
IOBellResult _io_bell_drain       (IOBell                  *self);

G_END_DECLS
