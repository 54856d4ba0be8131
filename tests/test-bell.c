/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-bell-private.h"
#include "io-error.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
  _Atomic uint32_t words[2];
  IOBell           bells[2];
} Fixture;

static void
fixture_set_up (Fixture       *fixture,
                gconstpointer  user_data)
{
  g_autoptr (GError) error = NULL;
  int fds[2];

  g_assert_true (_io_bell_create_pair (fds, &error));
  g_assert_no_error (error);
  atomic_init (&fixture->words[0], 0);
  atomic_init (&fixture->words[1], 0);
  _io_bell_init (&fixture->bells[0], fds[0], &fixture->words[0], &fixture->words[1]);
  _io_bell_init (&fixture->bells[1], fds[1], &fixture->words[1], &fixture->words[0]);
}

static void
fixture_tear_down (Fixture       *fixture,
                   gconstpointer  user_data)
{
  _io_bell_clear (&fixture->bells[0]);
  _io_bell_clear (&fixture->bells[1]);
}

static gssize
count_bytes (int fd)
{
  char bytes[4096];
  gssize total = 0;
  gssize n;

  while ((n = recv (fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
    total += n;

  return total;
}

static void
test_bell_pair_flags (Fixture       *fixture,
                      gconstpointer  user_data)
{
  guint i;

  for (i = 0; i < 2; i++)
    {
      int fd = fixture->bells[i].fd;

      g_assert_true (fcntl (fd, F_GETFL) & O_NONBLOCK);
      g_assert_true (fcntl (fd, F_GETFD) & FD_CLOEXEC);
    }
}

static void
test_bell_init_sets_flags (void)
{
  IOBell bell;
  int fds[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
  _io_bell_init (&bell, fds[0], NULL, NULL);
  g_assert_true (fcntl (fds[0], F_GETFL) & O_NONBLOCK);
  g_assert_true (fcntl (fds[0], F_GETFD) & FD_CLOEXEC);

  _io_bell_clear (&bell);
  g_assert_cmpint (bell.fd, ==, -1);
  g_assert_cmpint (fcntl (fds[0], F_GETFD), ==, -1);
  _io_bell_clear (&bell);
  close (fds[1]);
}

static void
test_bell_awake_is_not_rung (Fixture       *fixture,
                             gconstpointer  user_data)
{
  guint i;

  for (i = 0; i < 1000; i++)
    g_assert_true (_io_bell_ring (&fixture->bells[1]));

  g_assert_false (_io_bell_has_sleeper (&fixture->bells[1]));
  g_assert_cmpint (count_bytes (fixture->bells[0].fd), ==, 0);
}

static void
test_bell_one_ring_per_sleep (Fixture       *fixture,
                              gconstpointer  user_data)
{
  IOBell *sleeper = &fixture->bells[0];
  IOBell *ringer = &fixture->bells[1];
  guint i;
  guint j;

  for (i = 0; i < 100; i++)
    {
      _io_bell_arm (sleeper);
      g_assert_true (_io_bell_is_armed (sleeper));
      g_assert_true (_io_bell_has_sleeper (ringer));
      for (j = 0; j < 10; j++)
        g_assert_true (_io_bell_ring (ringer));
      g_assert_false (_io_bell_has_sleeper (ringer));
      _io_bell_disarm (sleeper);
      g_assert_false (_io_bell_is_armed (sleeper));
      g_assert_true (_io_bell_ring (ringer));
    }

  g_assert_cmpint (count_bytes (sleeper->fd), ==, 100);
}

/* Zero means awake, so no sleep has that number. */
static void
test_bell_number_wraps (Fixture       *fixture,
                        gconstpointer  user_data)
{
  IOBell *sleeper = &fixture->bells[0];

  sleeper->sleep = G_MAXUINT32;
  _io_bell_arm (sleeper);
  g_assert_cmpuint (atomic_load (&fixture->words[0]), ==, 1);
  g_assert_true (_io_bell_ring (&fixture->bells[1]));
  g_assert_cmpint (_io_bell_drain (sleeper), ==, IO_BELL_RUNG);
  _io_bell_disarm (sleeper);
  g_assert_cmpuint (atomic_load (&fixture->words[0]), ==, 0);
}

static void
test_bell_without_words (void)
{
  IOBell bells[2];
  int fds[2];
  guint i;

  g_assert_true (_io_bell_create_pair (fds, NULL));
  _io_bell_init (&bells[0], fds[0], NULL, NULL);
  _io_bell_init (&bells[1], fds[1], NULL, NULL);

  for (i = 0; i < 10; i++)
    g_assert_true (_io_bell_ring (&bells[1]));
  _io_bell_arm (&bells[0]);
  g_assert_true (_io_bell_is_armed (&bells[0]));
  g_assert_true (_io_bell_ring (&bells[1]));
  _io_bell_disarm (&bells[0]);
  g_assert_cmpint (count_bytes (fds[0]), ==, 11);

  _io_bell_clear (&bells[0]);
  _io_bell_clear (&bells[1]);
}

static void
test_bell_drain (Fixture       *fixture,
                 gconstpointer  user_data)
{
  IOBell *self = &fixture->bells[0];
  char bytes[600] = { 0 };

  g_assert_cmpint (_io_bell_drain (self), ==, IO_BELL_QUIET);
  g_assert_cmpint (send (fixture->bells[1].fd, bytes, sizeof bytes, 0), ==, sizeof bytes);
  g_assert_cmpint (_io_bell_drain (self), ==, IO_BELL_RUNG);
  g_assert_cmpint (_io_bell_drain (self), ==, IO_BELL_RUNG);
  g_assert_cmpint (_io_bell_drain (self), ==, IO_BELL_QUIET);
}

/* The peer fills the bell, makes it blocking, and never reads. */
static void
test_bell_filled_by_peer (Fixture       *fixture,
                          gconstpointer  user_data)
{
  IOBell *ringer = &fixture->bells[0];
  int peer = fixture->bells[1].fd;
  char bytes[4096] = { 0 };
  guint i;

  while (send (ringer->fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
    ;
  g_assert_cmpint (fcntl (ringer->fd, F_SETFL, 0), ==, 0);
  g_assert_cmpint (fcntl (peer, F_SETFL, 0), ==, 0);

  for (i = 1; i < 100; i++)
    {
      atomic_store (&fixture->words[1], i);
      g_assert_true (_io_bell_ring (ringer));
      g_assert_cmpuint (ringer->rung, ==, i);
    }
  g_assert_cmpint (_io_bell_drain (ringer), ==, IO_BELL_QUIET);
}

static void
test_bell_hang_up (Fixture       *fixture,
                   gconstpointer  user_data)
{
  IOBell *self = &fixture->bells[0];

  _io_bell_arm (self);
  g_assert_true (_io_bell_ring (&fixture->bells[1]));
  atomic_store (&fixture->words[1], 1);
  close (fixture->bells[1].fd);
  fixture->bells[1].fd = -1;

  /* What was rung before is still heard. */
  g_assert_cmpint (_io_bell_drain (self), ==, IO_BELL_RUNG);
  g_assert_cmpint (_io_bell_drain (self), ==, IO_BELL_HUNG_UP);
  g_assert_cmpint (_io_bell_drain (self), ==, IO_BELL_HUNG_UP);
  g_assert_false (_io_bell_ring (self));
}

/* The peer dies with rings of ours unread, which is ECONNRESET here. */
static void
test_bell_hang_up_unread (Fixture       *fixture,
                          gconstpointer  user_data)
{
  IOBell *self = &fixture->bells[0];

  _io_bell_arm (&fixture->bells[1]);
  g_assert_true (_io_bell_ring (self));
  close (fixture->bells[1].fd);
  fixture->bells[1].fd = -1;

  g_assert_cmpint (_io_bell_drain (self), ==, IO_BELL_HUNG_UP);
}

static void
test_bell_half_shutdown (Fixture       *fixture,
                         gconstpointer  user_data)
{
  gboolean reads = GPOINTER_TO_INT (user_data);
  IOBell *self = &fixture->bells[0];

  g_assert_cmpint (shutdown (fixture->bells[1].fd, reads ? SHUT_RD : SHUT_WR), ==, 0);
  atomic_store (&fixture->words[1], 7);

  if (reads)
    g_assert_false (_io_bell_ring (self));
  else
    g_assert_cmpint (_io_bell_drain (self), ==, IO_BELL_HUNG_UP);

  g_assert_cmpint (_io_bell_drain (self), ==, IO_BELL_HUNG_UP);
  g_assert_false (_io_bell_ring (self));
}

/* An owner may hand out anything as a bell. */
static void
test_bell_not_a_socket (void)
{
  IOBell bell;
  int fds[2];

  g_assert_cmpint (pipe (fds), ==, 0);
  _io_bell_init (&bell, fds[0], NULL, NULL);
  g_assert_cmpint (_io_bell_drain (&bell), ==, IO_BELL_HUNG_UP);
  _io_bell_clear (&bell);

  _io_bell_init (&bell, fds[1], NULL, NULL);
  g_assert_false (_io_bell_ring (&bell));
  _io_bell_clear (&bell);
}

static void
test_bell_no_descriptors (void)
{
  g_autoptr (GError) error = NULL;
  struct rlimit saved;
  struct rlimit none;
  int fds[2];

  if (g_getenv ("IOSTREAM_TEST_VALGRIND") != NULL)
    {
      g_test_skip ("valgrind keeps limits of its own");
      return;
    }

  g_assert_cmpint (getrlimit (RLIMIT_NOFILE, &saved), ==, 0);
  none = saved;
  none.rlim_cur = 3;
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &none), ==, 0);
  g_assert_false (_io_bell_create_pair (fds, &error));
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &saved), ==, 0);

  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES);
  g_assert_cmpint (fds[0], ==, -1);
  g_assert_cmpint (fds[1], ==, -1);
}

typedef struct {
  IOBell         *bell;
  _Atomic guint   published;
  _Atomic guint   taken;
  _Atomic guint   total;
} Handover;

/* As many as there is time for, where one is a change of thread each. */
#define N_HANDOVERS 100000
#define MAX_TIME    (5 * G_USEC_PER_SEC)

static gpointer
publish_thread (gpointer data)
{
  Handover *handover = data;
  gint64 end = g_get_monotonic_time () + MAX_TIME;
  guint i;

  for (i = 1; i <= handover->total; i++)
    {
      if (g_get_monotonic_time () >= end)
        handover->total = i;
      atomic_store_explicit (&handover->published, i, memory_order_release);
      _io_bell_ring (handover->bell);
      if (i % 3 == 0)
        while (atomic_load (&handover->taken) < i)
          g_thread_yield ();
    }

  return NULL;
}

/* The publisher waits for each third entry to be taken, so a lost wake-up
 * stops both. */
static void
test_bell_no_lost_wake_up (Fixture       *fixture,
                           gconstpointer  user_data)
{
  IOBell *sleeper = &fixture->bells[0];
  Handover handover = { .bell = &fixture->bells[1], .total = N_HANDOVERS };
  GThread *thread = g_thread_new ("publisher", publish_thread, &handover);
  guint seen = 0;
  guint sleeps = 0;
  guint rings = 0;

  while (seen < handover.total)
    {
      struct pollfd pollfd = { sleeper->fd, POLLIN, 0 };

      _io_bell_arm (sleeper);
      if (atomic_load_explicit (&handover.published, memory_order_acquire) == seen)
        {
          sleeps++;
          g_assert_cmpint (poll (&pollfd, 1, 20000), ==, 1);
        }
      _io_bell_disarm (sleeper);
      if (_io_bell_drain (sleeper) == IO_BELL_RUNG)
        rings++;
      seen = atomic_load_explicit (&handover.published, memory_order_acquire);
      atomic_store (&handover.taken, seen);
    }

  g_thread_join (thread);
  g_test_message ("%u sleeps, %u times rung", sleeps, rings);
  g_assert_cmpuint (rings, <=, N_HANDOVERS);
}

/* A child that throws away what it inherited must not end the parent's sleep. */
static void
test_bell_fork (void)
{
  _Atomic uint32_t *words = mmap (NULL, 4096, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  IOBell bells[2];
  int fds[2];
  int status;
  pid_t pid;

  g_assert_true (words != MAP_FAILED);
  g_assert_true (_io_bell_create_pair (fds, NULL));
  _io_bell_init (&bells[0], fds[0], &words[0], &words[1]);
  _io_bell_init (&bells[1], fds[1], &words[1], &words[0]);
  _io_bell_arm (&bells[0]);

  pid = fork ();
  g_assert_cmpint (pid, >=, 0);
  if (pid == 0)
    {
      _io_bell_clear (&bells[0]);
      _exit (_io_bell_ring (&bells[1]) ? 0 : 1);
    }

  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  g_assert_cmpuint (atomic_load (&words[0]), ==, 1);
  g_assert_cmpint (_io_bell_drain (&bells[0]), ==, IO_BELL_RUNG);

  _io_bell_clear (&bells[0]);
  g_assert_cmpuint (atomic_load (&words[0]), ==, 0);
  _io_bell_clear (&bells[1]);
  munmap (words, 4096);
}

#define ADD(path, func, data) \
  g_test_add (path, Fixture, data, fixture_set_up, func, fixture_tear_down)

typedef struct {
  IOBell           *ringer;
  _Atomic guint32   n_races;
  _Atomic guint32   published;
  _Atomic guint32   begun;      /* race that may be run */
  _Atomic guint32   ended;      /* race that the ringer has run */
  gboolean          saw_sleeper;
} Race;

static void
spin_until (_Atomic guint32 *word,
            guint32          value)
{
  guint n = 0;

  while (atomic_load_explicit (word, memory_order_acquire) != value)
    if (++n % 1000 == 0)
      g_thread_yield ();
}

static gpointer
race_ringer_thread (gpointer data)
{
  Race *race = data;

  for (guint32 i = 1; i <= race->n_races; i++)
    {
      spin_until (&race->begun, i);
      atomic_store_explicit (&race->published, i, memory_order_relaxed);
      race->saw_sleeper = _io_bell_has_sleeper (race->ringer);
      atomic_store_explicit (&race->ended, i, memory_order_release);
    }

  return NULL;
}

/* Both at once: one publishes and looks for a sleeper, the other goes to sleep
 * and looks for what is published. One of them must see the other, or the
 * sleep never ends. Without one of the fences some are lost. */
static void
test_fences (void)
{
  _Atomic uint32_t word = 0;
  IOBell sleeper, ringer;
  /* Where only one thread runs at a time there is nothing to race. */
  Race race = { &ringer, g_getenv ("IOSTREAM_TEST_VALGRIND") != NULL ? 100 : 300000, 0, };
  gint64 end = g_get_monotonic_time () + MAX_TIME;
  GThread *thread;
  guint n_lost = 0;

  _io_bell_init (&sleeper, -1, &word, NULL);
  _io_bell_init (&ringer, -1, NULL, &word);
  thread = g_thread_new ("ringer", race_ringer_thread, &race);

  for (guint32 i = 1; i <= race.n_races; i++)
    {
      guint32 seen;

      if (i % 64 == 0 && g_get_monotonic_time () >= end)
        race.n_races = i;
      atomic_store_explicit (&race.begun, i, memory_order_release);
      for (volatile guint delay = 0; delay < i % 64; delay++)
        ;
      _io_bell_arm (&sleeper);
      seen = atomic_load_explicit (&race.published, memory_order_relaxed);
      spin_until (&race.ended, i);
      if (seen != i && !race.saw_sleeper)
        n_lost++;
      _io_bell_disarm (&sleeper);
    }

  g_thread_join (thread);
  g_assert_cmpuint (n_lost, ==, 0);
  _io_bell_clear (&sleeper);
  _io_bell_clear (&ringer);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  ADD ("/bell/pair-flags", test_bell_pair_flags, NULL);
  g_test_add_func ("/bell/init-sets-flags", test_bell_init_sets_flags);
  ADD ("/bell/awake-is-not-rung", test_bell_awake_is_not_rung, NULL);
  ADD ("/bell/one-ring-per-sleep", test_bell_one_ring_per_sleep, NULL);
  ADD ("/bell/number-wraps", test_bell_number_wraps, NULL);
  g_test_add_func ("/bell/without-words", test_bell_without_words);
  ADD ("/bell/drain", test_bell_drain, NULL);
  ADD ("/bell/filled-by-peer", test_bell_filled_by_peer, NULL);
  ADD ("/bell/hang-up", test_bell_hang_up, NULL);
  ADD ("/bell/hang-up-unread", test_bell_hang_up_unread, NULL);
  ADD ("/bell/shutdown-write", test_bell_half_shutdown, GINT_TO_POINTER (FALSE));
  ADD ("/bell/shutdown-read", test_bell_half_shutdown, GINT_TO_POINTER (TRUE));
  g_test_add_func ("/bell/not-a-socket", test_bell_not_a_socket);
  g_test_add_func ("/bell/no-descriptors", test_bell_no_descriptors);
  ADD ("/bell/no-lost-wake-up", test_bell_no_lost_wake_up, NULL);
  g_test_add_func ("/bell/fork", test_bell_fork);
  g_test_add_func ("/bell/fences", test_fences);

  return g_test_run ();
}
