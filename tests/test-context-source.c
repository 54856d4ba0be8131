/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-notification-port-private.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* A stand-in for a connection: a counter that the peer raises, and ours, with
 * the words of both bells, in a shared page. */
typedef struct {
  _Atomic uint32_t words[2];
  _Atomic guint    published;
} Shared;

typedef struct _Client Client;

struct _Client {
  Shared             *shared;
  IONotificationPort *port;
  IOBell              peer;
  guint               seen;       /* at the last dispatch */
  atomic_uint         taken;
  atomic_uint         total;      /* that will be published */
  guint               batch;      /* entries per dispatch, 0: takes nothing */
  guint               n_dispatches;
  guint               n_hang_ups;
  guint               taken_at_hang_up;
  guint               n_looks;
  gboolean            quiet;      /* wants no ring */
  gboolean            always;     /* is_ready() lies */
  void              (*action) (Client *self);
  void              (*hang_up_action) (Client *self);
  Client             *other;
  GMainContext       *context;
};

static gboolean
client_is_ready (gpointer owner)
{
  Client *self = owner;

  self->n_looks++;

  return self->always ||
         atomic_load_explicit (&self->shared->published, memory_order_acquire) != self->seen;
}

static gboolean
client_dispatch (gpointer owner)
{
  Client *self = owner;
  guint before = self->taken;
  gboolean consumed;

  self->n_dispatches++;
  self->seen = atomic_load_explicit (&self->shared->published, memory_order_acquire);
  self->taken += MIN (self->seen - self->taken, self->batch);
  consumed = self->taken != before;
  if (self->action != NULL)
    self->action (self);

  return consumed;
}

static void
client_hang_up (gpointer owner)
{
  Client *self = owner;

  self->n_hang_ups++;
  self->taken_at_hang_up = self->taken;
  if (self->hang_up_action != NULL)
    self->hang_up_action (self);
}

static gboolean
client_wants_ring (gpointer owner)
{
  Client *self = owner;

  return !self->quiet;
}

static const IONotificationPortFuncs client_funcs = {
  client_is_ready, client_dispatch, client_hang_up, client_wants_ring
};

static const IONotificationPortFuncs bell_funcs = {
  NULL, client_dispatch, client_hang_up, NULL
};

static Client *
client_new_full (GMainContext                  *context,
                 const IONotificationPortFuncs *funcs)
{
  Client *self = g_new0 (Client, 1);
  int fds[2];

  self->shared = mmap (NULL, sizeof (Shared), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  g_assert_true (self->shared != MAP_FAILED);
  g_assert_true (_io_bell_create_pair (fds, NULL));
  self->batch = G_MAXUINT;
  self->context = context;
  self->port = _io_notification_port_new (fds[0],
                                          &self->shared->words[0],
                                          &self->shared->words[1],
                                          funcs, self);
  _io_bell_init (&self->peer, fds[1], &self->shared->words[1], &self->shared->words[0]);
  if (context != NULL)
    _io_notification_port_attach (self->port, context);

  return self;
}

static Client *
client_new (GMainContext *context)
{
  return client_new_full (context, &client_funcs);
}

static void
client_close (Client *self)
{
  if (self->port == NULL)
    return;

  _io_notification_port_invalidate (self->port);
  g_assert_false (_io_notification_port_is_attached (self->port));
  g_clear_object (&self->port);
}

static void
client_free (Client *self)
{
  client_close (self);
  _io_bell_clear (&self->peer);
  munmap (self->shared, sizeof (Shared));
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Client, client_free)

static void
publish (Client *self)
{
  atomic_fetch_add_explicit (&self->shared->published, 1, memory_order_release);
  _io_bell_ring (&self->peer);
}

static void
settle (GMainContext *context)
{
  while (g_main_context_iteration (context, FALSE))
    ;
}

static guint
count_fds (void)
{
  DIR *dir = opendir ("/proc/self/fd");
  guint n = 0;

  while (readdir (dir) != NULL)
    n++;
  closedir (dir);

  return n;
}

static gboolean
quit_cb (gpointer data)
{
  gboolean *quit = data;

  *quit = TRUE;

  return G_SOURCE_REMOVE;
}

static guint
run_for (GMainContext *context,
         guint         ms)
{
  g_autoptr (GSource) timeout = g_timeout_source_new (ms);
  gboolean quit = FALSE;
  guint n = 0;

  g_source_set_callback (timeout, quit_cb, &quit, NULL);
  g_source_attach (timeout, context);
  while (!quit)
    {
      g_main_context_iteration (context, TRUE);
      n++;
    }

  return n;
}

static void
test_source_one_entry (void)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (Client) client = client_new (context);

  g_assert_true (_io_notification_port_is_attached (client->port));
  settle (context);
  g_assert_cmpuint (client->n_dispatches, ==, 0);
  g_assert_cmpuint (atomic_load (&client->shared->words[0]), !=, 0);

  publish (client);
  g_assert_true (g_main_context_iteration (context, TRUE));
  g_assert_cmpuint (client->taken, ==, 1);
  settle (context);
  g_assert_cmpuint (client->n_hang_ups, ==, 0);
}

/* What was there before is found without a ring. */
static void
test_source_before_attach (void)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (Client) client = client_new (NULL);

  publish (client);
  _io_notification_port_attach (client->port, context);
  g_assert_true (g_main_context_iteration (context, TRUE));
  g_assert_cmpuint (client->taken, ==, 1);
}

static void
test_source_one_ring_per_sleep (void)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (Client) client = client_new (context);
  char bytes[64];
  guint i;

  settle (context);
  for (i = 0; i < 100; i++)
    publish (client);
  g_assert_cmpint (recv (io_notification_port_get_fd (client->port), bytes, sizeof bytes,
                         MSG_DONTWAIT | MSG_PEEK), ==, 1);
  settle (context);
  g_assert_cmpuint (client->taken, ==, 100);
  g_assert_cmpuint (client->n_dispatches, <=, 2);
}

static void
test_source_bounded_batches (void)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (Client) client = client_new (context);
  guint i;

  client->batch = 8;
  settle (context);
  for (i = 0; i < 100; i++)
    publish (client);
  settle (context);

  g_assert_cmpuint (client->taken, ==, 100);
  g_assert_cmpuint (client->n_dispatches, ==, 14);
}

/* Nothing new and nothing taken: it sleeps. */
static void
test_source_never_drains (void)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (Client) client = client_new (context);

  client->batch = 0;
  publish (client);
  run_for (context, 50);
  g_assert_cmpuint (client->n_dispatches, ==, 1);

  publish (client);
  run_for (context, 50);
  g_assert_cmpuint (client->n_dispatches, ==, 2);
}

/* The same, with an is_ready() that is always true: by timer. */
static void
test_source_always_ready (void)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (Client) client = client_new (context);

  client->batch = 0;
  client->always = TRUE;
  run_for (context, 300);
  g_test_message ("%u dispatches", client->n_dispatches);
  g_assert_cmpuint (client->n_dispatches, <, 64 + 20);

  client->always = FALSE;
  client->batch = 100;
  publish (client);
  run_for (context, 150);
  g_assert_cmpuint (client->taken, ==, 1);
  publish (client);
  g_assert_true (g_main_context_iteration (context, TRUE));
  g_assert_cmpuint (client->taken, ==, 2);
}

static void
test_source_bell_only (void)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (Client) client = client_new_full (context, &bell_funcs);

  client->batch = 0;
  settle (context);
  publish (client);
  run_for (context, 20);
  g_assert_cmpuint (client->n_dispatches, ==, 1);
  publish (client);
  run_for (context, 20);
  g_assert_cmpuint (client->n_dispatches, ==, 2);

  _io_bell_clear (&client->peer);
  run_for (context, 20);
  g_assert_cmpuint (client->n_hang_ups, ==, 1);
}

static void
test_source_wants_no_ring (void)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (Client) client = client_new (context);

  client->quiet = TRUE;
  settle (context);
  publish (client);
  g_assert_false (g_main_context_iteration (context, FALSE));
  g_assert_cmpuint (client->n_dispatches, ==, 0);

  client->quiet = FALSE;
  _io_notification_port_wake (client->port);
  settle (context);
  g_assert_cmpuint (client->taken, ==, 1);

  /* The end is told all the same. */
  client->quiet = TRUE;
  publish (client);
  _io_bell_clear (&client->peer);
  run_for (context, 20);
  g_assert_cmpuint (client->n_hang_ups, ==, 1);
  g_assert_cmpuint (client->taken, ==, 1);
}

/* All that was published, in small batches, then the end, once. */
static void
test_source_hang_up_order (void)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (Client) client = client_new (context);
  guint i;

  client->batch = 10;
  settle (context);
  for (i = 0; i < 1000; i++)
    publish (client);
  _io_bell_clear (&client->peer);

  run_for (context, 50);
  g_assert_cmpuint (client->n_hang_ups, ==, 1);
  g_assert_cmpuint (client->taken_at_hang_up, ==, 1000);

  /* Attached again it is not told again. */
  _io_notification_port_detach (client->port);
  _io_notification_port_attach (client->port, context);
  g_assert_cmpuint (run_for (context, 20), <, 10);
  g_assert_cmpuint (client->n_hang_ups, ==, 1);
}

/* The peer closes, and goes on publishing through its mapping. */
static void
test_source_publishes_after_end (void)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (Client) client = client_new (context);

  client->action = publish;
  shutdown (client->peer.fd, SHUT_RDWR);
  while (client->n_hang_ups == 0)
    g_main_context_iteration (context, TRUE);
  g_test_message ("%u dispatches", client->n_dispatches);
}

static void
test_source_half_shutdown (gconstpointer data)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (Client) client = client_new (context);
  gboolean reads = GPOINTER_TO_INT (data);

  settle (context);
  g_assert_cmpint (shutdown (client->peer.fd, reads ? SHUT_RD : SHUT_WR), ==, 0);
  atomic_store (&client->shared->words[1], 77);
  if (reads)
    g_assert_false (_io_notification_port_ring (client->port));
  while (client->n_hang_ups == 0)
    g_main_context_iteration (context, TRUE);

  g_assert_false (_io_notification_port_ring (client->port));
  g_assert_cmpuint (run_for (context, 20), <, 10);
  g_assert_cmpuint (client->n_hang_ups, ==, 1);
}

/* Not everything that an owner hands out can be waited for. */
static void
test_source_not_a_bell (void)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (Client) client = client_new (NULL);
  char path[] = "/tmp/iostream-test-XXXXXX";

  client_close (client);
  client->port = _io_notification_port_new (g_mkstemp (path), NULL, NULL, &client_funcs, client);
  unlink (path);
  _io_notification_port_attach (client->port, context);
  run_for (context, 20);
  g_assert_cmpuint (client->n_hang_ups, ==, 1);
}

typedef struct {
  Client      *client;
  atomic_bool  stop;
  guint        pause;
} Storm;

static gpointer
storm_thread (gpointer data)
{
  Storm *storm = data;
  char byte = 0;

  while (!atomic_load (&storm->stop))
    {
      if (send (storm->client->peer.fd, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        g_thread_yield ();
      if (storm->pause > 0)
        g_usleep (storm->pause);
    }

  return NULL;
}

/* A million rings for nothing cost next to nothing, a neighbour notices
 * nothing, and after progress the bell is heard again. */
static void
test_source_storm (gconstpointer data)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (Client) client = client_new (context);
  g_autoptr (Client) neighbour = client_new (context);
  Storm storm = { client, FALSE, GPOINTER_TO_UINT (data) };
  GThread *thread;
  guint n_turns;

  settle (context);
  thread = g_thread_new ("storm", storm_thread, &storm);
  n_turns = run_for (context, 500);
  g_test_message ("%u turns, %u looks", n_turns, client->n_looks);
  g_assert_cmpuint (n_turns, <, 300);
  g_assert_cmpuint (client->n_dispatches, ==, 0);
  g_assert_cmpuint (client->n_hang_ups, ==, 0);

  publish (neighbour);
  while (neighbour->taken == 0)
    g_main_context_iteration (context, TRUE);
  publish (client);
  while (client->taken == 0)
    g_main_context_iteration (context, TRUE);

  atomic_store (&storm.stop, TRUE);
  g_thread_join (thread);
  run_for (context, 150);
  publish (client);
  while (client->taken == 1)
    g_main_context_iteration (context, TRUE);
  g_assert_cmpuint (run_for (context, 50), <, 10);

  _io_bell_clear (&client->peer);
  while (client->n_hang_ups == 0)
    g_main_context_iteration (context, TRUE);
}

static void
detach_self (Client *self)
{
  _io_notification_port_detach (self->port);
}

static void
close_self (Client *self)
{
  client_close (self);
}

static void
close_other (Client *self)
{
  client_close (self->other);
}

static void
close_both (Client *self)
{
  client_close (self->other);
  client_close (self);
}

static void
reattach_self (Client *self)
{
  _io_notification_port_detach (self->port);
  _io_notification_port_attach (self->port, self->context);
}

static void
attach_other (Client *self)
{
  if (!_io_notification_port_is_attached (self->other->port))
    _io_notification_port_attach (self->other->port, self->context);
}

/* Whatever a handler does to its port and to others, for both handlers. */
static void
test_source_handler_changes (gconstpointer data)
{
  void (*actions[]) (Client *) = { detach_self, close_self, close_other, close_both, reattach_self };
  gboolean at_end = GPOINTER_TO_INT (data);
  guint i;

  for (i = 0; i < G_N_ELEMENTS (actions) * 4; i++)
    {
      g_autoptr (GMainContext) context = g_main_context_new ();
      g_autoptr (Client) a = client_new (context);
      G_GNUC_UNUSED g_autoptr (Client) b = client_new (context);

      a->other = b;
      b->other = a;
      if (at_end)
        a->hang_up_action = b->hang_up_action = actions[i / 4];
      else
        a->action = actions[i / 4];
      if (i & 1)
        settle (context);
      publish (b);
      publish (a);
      if (i & 2)
        settle (context);
      _io_bell_clear (&b->peer);
      _io_bell_clear (&a->peer);
      run_for (context, 5);

      g_assert_cmpuint (a->n_hang_ups, <=, 1);
      g_assert_cmpuint (b->n_hang_ups, <=, 1);
    }
}

static void
test_source_attach_in_dispatch (void)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (Client) a = client_new (context);
  g_autoptr (Client) b = client_new (NULL);

  a->other = b;
  a->action = attach_other;
  publish (b);
  publish (a);
  while (b->taken == 0)
    g_main_context_iteration (context, TRUE);
}

static void
iterate (Client *self)
{
  publish (self->other);
  while (self->other->taken < self->taken)
    g_main_context_iteration (self->context, TRUE);
}

/* A handler that runs the loop: the others are served, it is not entered. */
static void
test_source_recursion (void)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (Client) a = client_new (context);
  g_autoptr (Client) b = client_new (context);
  guint i;

  a->other = b;
  a->action = iterate;
  for (i = 1; i <= 10; i++)
    {
      publish (a);
      while (a->taken < i)
        g_main_context_iteration (context, TRUE);
      g_assert_cmpuint (b->taken, >=, i);
      a->action = NULL;
      settle (context);
      a->action = iterate;
    }
}

static void
recurse_and_close (Client *self)
{
  self->action = NULL;
  publish (self);
  publish (self->other);
  g_main_context_iteration (self->context, FALSE);
  client_close (self);
  g_main_context_iteration (self->context, FALSE);
}

static void
test_source_recursion_and_close (void)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (Client) a = client_new (context);
  g_autoptr (Client) b = client_new (context);

  a->other = b;
  a->action = recurse_and_close;
  publish (a);
  settle (context);
  g_assert_null (a->port);
  g_assert_cmpuint (b->taken, ==, 1);
}

/* Two that never run dry, and one that speaks once. */
static void
test_source_no_starvation (void)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (Client) a = client_new (context);
  g_autoptr (Client) b = client_new (context);
  g_autoptr (Client) c = client_new (context);
  guint n_turns;

  settle (context);
  a->action = b->action = publish;
  publish (a);
  publish (b);
  publish (c);
  for (n_turns = 0; c->taken == 0; n_turns++)
    g_main_context_iteration (context, TRUE);

  g_assert_cmpuint (n_turns, <=, 2);
  while (a->taken < 1000 || b->taken < 1000)
    g_main_context_iteration (context, TRUE);
  g_assert_cmpuint (MAX (a->taken, b->taken) - MIN (a->taken, b->taken), <=, 2);
}

/* Other sources of the context have their turn within a millisecond or so. */
static void
test_source_leaves (void)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (Client) client = client_new (context);

  client->action = publish;
  publish (client);
  /* The first time out may be over before it begins, if others keep the machine
   * busy. */
  while (run_for (context, 50) <= 10)
    ;
}

/* As many as there is time for, where one is a change of thread each. */
#define N_HANDOVERS 100000
#define MAX_TIME    (5 * G_USEC_PER_SEC)

static gpointer
publish_thread (gpointer data)
{
  Client *client = data;
  gint64 end = g_get_monotonic_time () + MAX_TIME;
  guint i;

  for (i = 0; i < client->total; i++)
    {
      if (g_get_monotonic_time () >= end)
        client->total = i + 1;
      publish (client);
      if (i % 7 == 0)
        while (atomic_load (&client->taken) + 3 < i)
          g_thread_yield ();
    }

  return NULL;
}

static gpointer
loop_thread (gpointer data)
{
  guint n = GPOINTER_TO_UINT (data);
  g_autoptr (GMainContext) context = g_main_context_new ();
  Client *clients[2];
  GThread *threads[2];
  guint i;

  for (i = 0; i < n; i++)
    {
      clients[i] = client_new (context);
      clients[i]->total = N_HANDOVERS;
      threads[i] = g_thread_new ("publish", publish_thread, clients[i]);
    }

  /* A lost wake-up ends in the time-out of the test. */
  for (i = 0; i < n; i++)
    while (clients[i]->taken < clients[i]->total)
      g_main_context_iteration (context, TRUE);

  for (i = 0; i < n; i++)
    {
      g_thread_join (threads[i]);
      client_free (clients[i]);
    }

  return NULL;
}

static void
test_source_no_lost_wake_up (void)
{
  loop_thread (GUINT_TO_POINTER (1));
}

static void
test_source_two_contexts (void)
{
  GThread *threads[2];
  guint i;

  for (i = 0; i < 2; i++)
    threads[i] = g_thread_new ("loop", loop_thread, GUINT_TO_POINTER (2));
  for (i = 0; i < 2; i++)
    g_thread_join (threads[i]);
}

static gpointer
wake_thread (gpointer data)
{
  Client *client = data;
  guint i;

  for (i = 0; i < 1000; i++)
    {
      atomic_fetch_add_explicit (&client->shared->published, 1, memory_order_release);
      _io_notification_port_wake (client->port);
    }

  return NULL;
}

static void
test_source_wake (void)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (Client) client = client_new (context);
  GThread *thread;

  settle (context);
  thread = g_thread_new ("wake", wake_thread, client);
  while (client->taken < 1000)
    g_main_context_iteration (context, TRUE);
  g_thread_join (thread);

  /* Woken and detached. */
  _io_notification_port_wake (client->port);
  _io_notification_port_detach (client->port);
  _io_notification_port_wake (client->port);
  settle (context);
}

/* A blocking wait takes the ring that the source waits for. */
static void
test_source_wait_beside (void)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (Client) client = client_new (context);

  settle (context);
  g_assert_false (io_notification_port_wait (client->port, 1000, NULL, NULL));
  publish (client);
  while (client->taken == 0)
    g_main_context_iteration (context, TRUE);
}

/* The child throws away what it inherited, and the parent sleeps on. */
static void
test_source_fork (void)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (Client) client = client_new (context);
  int status;
  pid_t pid;

  settle (context);
  pid = fork ();
  g_assert_cmpint (pid, >=, 0);
  if (pid == 0)
    {
      Client *own = client_new (context);

      publish (own);
      while (own->taken == 0)
        g_main_context_iteration (context, TRUE);
      client_free (own);
      status = client->n_dispatches;
      client_free (client);
      _exit (status);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);

  publish (client);
  g_assert_true (g_main_context_iteration (context, TRUE));
  while (client->taken == 0)
    g_main_context_iteration (context, TRUE);
}

/* The peer is another process, killed while it publishes. */
static void
test_source_killed_peer (void)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (Client) client = client_new (context);
  int status;
  pid_t pid = fork ();

  g_assert_cmpint (pid, >=, 0);
  if (pid == 0)
    {
      close (io_notification_port_get_fd (client->port));
      for (;;)
        publish (client);
    }
  close (client->peer.fd);
  client->peer.fd = -1;

  while (client->taken < 10000)
    g_main_context_iteration (context, TRUE);
  g_assert_cmpint (kill (pid, SIGKILL), ==, 0);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  while (client->n_hang_ups == 0)
    g_main_context_iteration (context, TRUE);
  g_assert_cmpuint (client->taken_at_hang_up, ==, atomic_load (&client->shared->published));
}

static void
test_source_context_goes_first (void)
{
  GMainContext *context = g_main_context_new ();
  g_autoptr (Client) client = client_new (context);

  settle (context);
  publish (client);
  g_main_context_unref (context);
  g_assert_false (_io_notification_port_is_attached (client->port));
  _io_notification_port_wake (client->port);
  g_assert_finalize_object (g_steal_pointer (&client->port));
}

static void
test_source_descriptors (void)
{
  guint n_fds = count_fds ();
  guint i;

  for (i = 0; i < 50; i++)
    {
      g_autoptr (GMainContext) context = g_main_context_new ();
      g_autoptr (Client) a = client_new (context);
      G_GNUC_UNUSED g_autoptr (Client) b = client_new (context);

      publish (a);
      settle (context);
    }
  g_assert_cmpuint (count_fds (), ==, n_fds);
}

/* Without an epoll the ports are looked at by timer. */
static void
test_source_no_descriptors (void)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (Client) client = client_new (NULL);
  struct rlimit saved;
  struct rlimit none;

  g_assert_cmpint (getrlimit (RLIMIT_NOFILE, &saved), ==, 0);
  none = saved;
  none.rlim_cur = 3;
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &none), ==, 0);
  _io_notification_port_attach (client->port, context);
  settle (context);
  publish (client);
  while (client->taken == 0)
    g_main_context_iteration (context, TRUE);
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &saved), ==, 0);

  run_for (context, 10);
  publish (client);
  g_assert_true (g_main_context_iteration (context, TRUE));
  while (client->taken < 2)
    g_main_context_iteration (context, TRUE);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/source/one-entry", test_source_one_entry);
  g_test_add_func ("/source/before-attach", test_source_before_attach);
  g_test_add_func ("/source/one-ring-per-sleep", test_source_one_ring_per_sleep);
  g_test_add_func ("/source/bounded-batches", test_source_bounded_batches);
  g_test_add_func ("/source/never-drains", test_source_never_drains);
  g_test_add_func ("/source/always-ready", test_source_always_ready);
  g_test_add_func ("/source/bell-only", test_source_bell_only);
  g_test_add_func ("/source/wants-no-ring", test_source_wants_no_ring);
  g_test_add_func ("/source/hang-up-order", test_source_hang_up_order);
  g_test_add_func ("/source/publishes-after-end", test_source_publishes_after_end);
  g_test_add_data_func ("/source/shutdown-write", GINT_TO_POINTER (FALSE), test_source_half_shutdown);
  g_test_add_data_func ("/source/shutdown-read", GINT_TO_POINTER (TRUE), test_source_half_shutdown);
  g_test_add_func ("/source/not-a-bell", test_source_not_a_bell);
  g_test_add_data_func ("/source/storm", GUINT_TO_POINTER (0), test_source_storm);
  g_test_add_data_func ("/source/storm-of-pulses", GUINT_TO_POINTER (300), test_source_storm);
  g_test_add_data_func ("/source/handler-changes", GINT_TO_POINTER (FALSE), test_source_handler_changes);
  g_test_add_data_func ("/source/hang-up-changes", GINT_TO_POINTER (TRUE), test_source_handler_changes);
  g_test_add_func ("/source/attach-in-dispatch", test_source_attach_in_dispatch);
  g_test_add_func ("/source/recursion", test_source_recursion);
  g_test_add_func ("/source/recursion-and-close", test_source_recursion_and_close);
  g_test_add_func ("/source/no-starvation", test_source_no_starvation);
  g_test_add_func ("/source/leaves", test_source_leaves);
  g_test_add_func ("/source/no-lost-wake-up", test_source_no_lost_wake_up);
  g_test_add_func ("/source/two-contexts", test_source_two_contexts);
  g_test_add_func ("/source/wake", test_source_wake);
  g_test_add_func ("/source/wait-beside", test_source_wait_beside);
  g_test_add_func ("/source/fork", test_source_fork);
  g_test_add_func ("/source/killed-peer", test_source_killed_peer);
  g_test_add_func ("/source/context-goes-first", test_source_context_goes_first);
  g_test_add_func ("/source/descriptors", test_source_descriptors);
  g_test_add_func ("/source/no-descriptors", test_source_no_descriptors);

  return g_test_run ();
}
