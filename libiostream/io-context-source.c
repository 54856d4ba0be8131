/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-context-source-private.h"

#include "io-fork-private.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

/* One source for all ports of a context. A source of its own for each would
 * make every turn of the loop cost time for every port; here a port that sleeps
 * costs nothing.
 *
 * A port is in one of four queues:
 *
 *   active   awake: looked at in every turn, served round robin
 *   asleep   armed, its bell in the epoll; only that or a wake brings it back
 *   muted    asleep, and wants no ring: each turn asks some of them again
 *   polled   rang too often for nothing; looked at by timer, out of the epoll
 *
 * or in none while it is being dispatched. Every callback may change all of
 * that for any port, and may run the loop again: no function here keeps a
 * place in a queue over a callback.
 *
 * After work, dispatch looks again while entries keep coming, because a turn of
 * the loop costs more than an entry. How long it spins is learnt: a spin that
 * found something doubles the next one, a spin for nothing halves it. */

#define MAX_EVENTS  64
#define MAX_TURN    200  /* us in one dispatch */
#define MAX_SPIN    50   /* us without an entry */
#define MIN_SPIN    4    /* us, where growing begins */
/* The peer may go on publishing into shared memory after it hung up. */
#define MAX_LAST    4096
/* How many that want no ring are asked again in one turn. */
#define MAX_ASKED   16

struct _IOContextSource {
  GSource       source;
  GMainContext *context;     /* borrowed: it owns the source */
  int           epoll_fd;    /* -1 until the first bell */
  guint         forks;
  guint         n_ports;
  GQueue        active;
  GQueue        asleep;
  GQueue        muted;
  GQueue        polled;

  guint         spin;        /* us */
  gint64        last_work;
  gboolean      can_spin;    /* some active port can be looked at without its bell */

  GMutex        lock;
  GQueue        woken;       /* with the lock held */
  atomic_uint   n_woken;
};

G_LOCK_DEFINE_STATIC (sources);
static GHashTable *sources; /* (GMainContext, IOContextSource), both borrowed */

static void
forget_source (IOContextSource *self)
{
  G_LOCK (sources);
  if (sources != NULL && g_hash_table_lookup (sources, self->context) == self)
    {
      g_hash_table_remove (sources, self->context);
      if (g_hash_table_size (sources) == 0)
        g_clear_pointer (&sources, g_hash_table_unref);
    }
  G_UNLOCK (sources);
}

/* The epoll is shared with the parent: a child must not touch it. */
static gboolean
is_forked (IOContextSource *self)
{
  return self->forks != _io_fork_count ();
}

/* After somebody was called. */
static gboolean
is_over (IOContextSource *self)
{
  return g_source_is_destroyed (&self->source) || is_forked (self);
}

static gboolean
wants_ring (IONotificationPort *port)
{
  return port->funcs->wants_ring == NULL || port->funcs->wants_ring (port->owner);
}

static gboolean
is_due (IONotificationPort *port)
{
  return port->hang_up == IO_PORT_HANGING_UP ||
         (wants_ring (port) && (port->again || _io_notification_port_is_ready (port)));
}

static void
move_to (IONotificationPort *port,
         GQueue             *queue)
{
  if (port->queue != NULL)
    g_queue_unlink (port->queue, &port->link);
  port->queue = queue;
  if (queue != NULL)
    g_queue_push_tail_link (queue, &port->link);
}

static gboolean
ensure_epoll (IOContextSource *self)
{
  if (self->epoll_fd >= 0)
    return TRUE;

  self->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
  if (self->epoll_fd < 0)
    return FALSE;

  g_source_add_unix_fd (&self->source, self->epoll_fd, G_IO_IN);

  return TRUE;
}

static void
leave_epoll (IOContextSource    *self,
             IONotificationPort *port)
{
  if (port->in_epoll && !is_forked (self))
    epoll_ctl (self->epoll_fd, EPOLL_CTL_DEL, port->bell.fd, NULL);
  port->in_epoll = FALSE;
}

static void
begin_hang_up (IOContextSource    *self,
               IONotificationPort *port)
{
  leave_epoll (self, port);
  if (port->hang_up == IO_PORT_CONNECTED)
    port->hang_up = IO_PORT_HANGING_UP;
}

/* FALSE: no resources. What cannot be waited for was never a bell. */
static gboolean
enter_epoll (IOContextSource    *self,
             IONotificationPort *port)
{
  struct epoll_event event = { EPOLLIN | EPOLLRDHUP, { .ptr = port } };

  if (port->in_epoll || port->hang_up != IO_PORT_CONNECTED)
    return TRUE;
  if (!ensure_epoll (self))
    return FALSE;

  if (epoll_ctl (self->epoll_fd, EPOLL_CTL_ADD, port->bell.fd, &event) == 0)
    port->in_epoll = TRUE;
  else if (errno == ENOMEM || errno == ENOSPC)
    return FALSE;
  else
    begin_hang_up (self, port);

  return TRUE;
}

static void
poll_later (IOContextSource    *self,
            IONotificationPort *port)
{
  leave_epoll (self, port);
  port->due = g_get_monotonic_time () + port->delay * 1000;
  port->delay = MIN (port->delay * 2, IO_PORT_MAX_DELAY);
  move_to (port, &self->polled);
}

static void
note_progress (IOContextSource    *self,
               IONotificationPort *port)
{
  port->n_fruitless = 0;
  port->delay = IO_PORT_MIN_DELAY;
  port->storming = FALSE;
  enter_epoll (self, port);
}

static void
update_timer (IOContextSource *self)
{
  gint64 due = -1;
  GList *l;

  for (l = self->polled.head; l != NULL; l = l->next)
    {
      IONotificationPort *port = l->data;

      if (due < 0 || port->due < due)
        due = port->due;
    }

  if (due != g_source_get_ready_time (&self->source))
    g_source_set_ready_time (&self->source, due);
}

/* Takes the rings of a port, and wakes it up. */
static void
hear (IOContextSource    *self,
      IONotificationPort *port,
      guint32             events)
{
  IOBellResult result = _io_notification_port_hear (port);

  _io_bell_disarm (&port->bell);
  port->storming = result == IO_BELL_RUNG;

  if (result == IO_BELL_HUNG_UP ||
      (result == IO_BELL_QUIET && (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0))
    begin_hang_up (self, port);
  else if (port->dispatching)
    return;
  else if (events != 0 && !is_due (port) && ++port->n_fruitless > IO_PORT_MAX_FRUITLESS)
    {
      poll_later (self, port);
      return;
    }

  if (!port->dispatching)
    move_to (port, &self->active);
}

static void
collect_rung (IOContextSource *self)
{
  struct epoll_event events[MAX_EVENTS];
  int n;
  int i;

  if (self->epoll_fd < 0)
    return;

  n = epoll_wait (self->epoll_fd, events, MAX_EVENTS, 0);
  for (i = 0; i < n; i++)
    hear (self, events[i].data.ptr, events[i].events);
}

static void
collect_polled (IOContextSource *self)
{
  gint64 now;
  guint n = self->polled.length;

  if (n == 0)
    return;

  now = g_get_monotonic_time ();
  while (n-- > 0)
    {
      IONotificationPort *port = g_queue_peek_head (&self->polled);

      if (port->due <= now)
        hear (self, port, 0);
      else
        move_to (port, &self->polled);
    }
}

static void
collect_woken (IOContextSource *self)
{
  GList *link;

  if (atomic_load_explicit (&self->n_woken, memory_order_acquire) == 0)
    return;

  g_mutex_lock (&self->lock);
  while ((link = g_queue_pop_head_link (&self->woken)) != NULL)
    {
      IONotificationPort *port = link->data;

      port->woken = FALSE;
      atomic_fetch_sub_explicit (&self->n_woken, 1, memory_order_relaxed);
      _io_bell_disarm (&port->bell);
      if (atomic_load_explicit (&port->bell.hung_up, memory_order_relaxed))
        begin_hang_up (self, port);
      if (!port->dispatching)
        move_to (port, &self->active);
    }
  g_mutex_unlock (&self->lock);
}

static GQueue *
get_bed (IOContextSource    *self,
         IONotificationPort *port)
{
  return wants_ring (port) ? &self->asleep : &self->muted;
}

/* Somebody may have begun to listen in this turn, which nobody tells. */
static void
ask_muted (IOContextSource *self)
{
  guint n = MIN (self->muted.length, MAX_ASKED);

  while (n-- > 0)
    {
      IONotificationPort *port = g_queue_peek_head (&self->muted);

      move_to (port, wants_ring (port) ? &self->active : &self->muted);
    }
}

static void
put_to_sleep (IOContextSource    *self,
              IONotificationPort *port)
{
  if (port->in_epoll || port->hang_up != IO_PORT_CONNECTED)
    {
      move_to (port, get_bed (self, port));
      return;
    }

  /* The peer that rings on is looked at by timer again. */
  if (!port->storming && enter_epoll (self, port))
    {
      move_to (port, port->in_epoll ? get_bed (self, port) : &self->active);
      return;
    }

  _io_bell_disarm (&port->bell);
  poll_later (self, port);
}

/* Sends all to sleep that find nothing after a last look; one fence for all.
 * TRUE if some stay awake. */
static gboolean
settle (IOContextSource *self)
{
  gboolean busy = FALSE;
  GList *next;
  GList *l;

  for (l = self->active.head; l != NULL; l = l->next)
    {
      IONotificationPort *port = l->data;

      if (!port->dispatching && wants_ring (port))
        _io_bell_arm_unfenced (&port->bell);
    }

  atomic_thread_fence (memory_order_seq_cst);

  for (l = self->active.head; l != NULL; l = next)
    {
      IONotificationPort *port = l->data;

      next = l->next;
      if (port->dispatching)
        continue;

      if (!is_due (port))
        put_to_sleep (self, port);

      if (port->queue == &self->active)
        {
          _io_bell_disarm (&port->bell);
          busy = TRUE;
        }
    }

  return busy;
}

static void
report_hang_up (IOContextSource    *self,
                IONotificationPort *port)
{
  port->hang_up = IO_PORT_GONE;
  move_to (port, &self->asleep);

  if (port->funcs->hang_up != NULL)
    port->funcs->hang_up (port->owner);
}

/* What a dispatch leaves behind. */
static void
conclude (IOContextSource    *self,
          IONotificationPort *port,
          gboolean            hanging_up,
          gboolean            consumed)
{
  gboolean repeated = port->again;

  port->again = consumed;
  if (consumed)
    note_progress (self, port);
  else if (!repeated)
    port->n_fruitless++;

  if (hanging_up && (!consumed || ++port->n_last > MAX_LAST))
    report_hang_up (self, port);
  else if (port->hang_up == IO_PORT_GONE && !consumed)
    move_to (port, &self->asleep);
  else if (port->n_fruitless > IO_PORT_MAX_FRUITLESS &&
           port->hang_up == IO_PORT_CONNECTED)
    poll_later (self, port);
  else
    move_to (port, &self->active);
}

/* TRUE if something was consumed. */
static gboolean
serve_port (IOContextSource    *self,
            IONotificationPort *port)
{
  gboolean hanging_up = port->hang_up == IO_PORT_HANGING_UP;
  gboolean consumed = FALSE;

  g_object_ref (port);
  move_to (port, NULL);
  _io_bell_disarm (&port->bell);
  atomic_store_explicit (&port->pending, FALSE, memory_order_relaxed);
  port->dispatching = TRUE;

  if (port->funcs->dispatch != NULL && wants_ring (port))
    consumed = port->funcs->dispatch (port->owner);

  /* Whoever was called may have forked: the child has no part in any of it. */
  if (port->source == self && port->queue == NULL && !is_forked (self))
    conclude (self, port, hanging_up, consumed);
  port->dispatching = FALSE;

  g_object_unref (port);

  return consumed;
}

/* Each active port once, or until the time is over. TRUE if something was
 * consumed. */
static gboolean
serve_all (IOContextSource *self,
           gint64           end)
{
  gboolean worked = FALSE;
  guint n = self->active.length;

  self->can_spin = FALSE;
  while (n-- > 0 && self->active.head != NULL)
    {
      IONotificationPort *port = self->active.head->data;

      if (port->funcs->is_ready != NULL)
        self->can_spin = TRUE;

      if (port->dispatching || !is_due (port))
        {
          move_to (port, &self->active);
          continue;
        }

      worked |= serve_port (self, port);
      if (is_over (self))
        break;
      if (n > 0 && g_get_monotonic_time () >= end)
        break;
    }

  return worked;
}

/* Work after an empty round is the fruit of a spin. Work that a turn begins
 * with could have been, had the spin before it been long enough. */
static void
learn (IOContextSource *self,
       gboolean         first,
       gboolean         spinning,
       gint64           gap)
{
  if (spinning)
    self->spin = CLAMP (self->spin * 2, MIN_SPIN, MAX_SPIN);
  else if (first && self->can_spin && gap < MAX_SPIN)
    self->spin = CLAMP (self->spin * 4, MIN_SPIN, MAX_SPIN);
}

static void
serve_while_it_comes (IOContextSource *self)
{
  gint64 now = g_get_monotonic_time ();
  gint64 end = now + MAX_TURN;
  gboolean first = TRUE;
  gboolean spinning = FALSE;

  while (now < end)
    {
      gint64 gap = now - self->last_work;
      gboolean worked = serve_all (self, end);

      if (is_over (self))
        return;

      now = g_get_monotonic_time ();
      if (worked)
        {
          learn (self, first, spinning, gap);
          self->last_work = now;
          spinning = FALSE;
        }
      else if (!self->can_spin || gap >= self->spin)
        {
          if (spinning)
            self->spin /= 2;
          return;
        }
      else
        spinning = TRUE;
      first = FALSE;
    }
}

static gboolean
context_source_prepare (GSource *source,
                        int     *timeout)
{
  IOContextSource *self = (IOContextSource *) source;
  gboolean busy;

  *timeout = -1;
  if (is_forked (self))
    return FALSE;

  collect_woken (self);
  ask_muted (self);
  busy = settle (self);
  if (self->polled.length > 0)
    update_timer (self);

  return busy;
}

static gboolean
context_source_check (GSource *source)
{
  IOContextSource *self = (IOContextSource *) source;

  return self->active.length > 0 ||
         atomic_load_explicit (&self->n_woken, memory_order_relaxed) > 0;
}

static gboolean
context_source_dispatch (GSource     *source,
                         GSourceFunc  callback,
                         gpointer     user_data)
{
  IOContextSource *self = (IOContextSource *) source;

  if (is_forked (self))
    return G_SOURCE_REMOVE;

  collect_polled (self);
  collect_woken (self);
  collect_rung (self);
  serve_while_it_comes (self);

  if (!is_over (self) &&
      (self->polled.length > 0 || g_source_get_ready_time (source) >= 0))
    update_timer (self);

  return G_SOURCE_CONTINUE;
}

static void
release_ports (GQueue *queue)
{
  GList *link;

  while ((link = queue->head) != NULL)
    {
      IONotificationPort *port = link->data;

      move_to (port, NULL);
      _io_bell_disarm (&port->bell);
      port->in_epoll = FALSE;
      g_mutex_lock (&port->lock);
      port->source = NULL;
      port->woken = FALSE;
      g_mutex_unlock (&port->lock);
    }
}

/* The context may go before the ports do. */
static void
context_source_finalize (GSource *source)
{
  IOContextSource *self = (IOContextSource *) source;

  forget_source (self);
  release_ports (&self->active);
  release_ports (&self->asleep);
  release_ports (&self->muted);
  release_ports (&self->polled);
  if (self->epoll_fd >= 0)
    close (self->epoll_fd);
  g_mutex_clear (&self->lock);
}

static GSourceFuncs context_source_funcs = {
  context_source_prepare,
  context_source_check,
  context_source_dispatch,
  context_source_finalize,
  NULL,
  NULL,
};

static IOContextSource *
context_source_new (GMainContext *context)
{
  GSource *source = g_source_new (&context_source_funcs, sizeof (IOContextSource));
  IOContextSource *self = (IOContextSource *) source;

  self->context = context;
  self->epoll_fd = -1;
  self->forks = _io_fork_count ();
  self->last_work = G_MININT64 / 2;
  g_mutex_init (&self->lock);
  atomic_init (&self->n_woken, 0);

  g_source_set_static_name (source, "IOStream");
  /* A handler that runs the loop keeps the other ports alive. */
  g_source_set_can_recurse (source, TRUE);
  g_source_attach (source, context);
  g_source_unref (source);

  return self;
}

static IOContextSource *
get_source (GMainContext *context)
{
  IOContextSource *self = NULL;

  G_LOCK (sources);
  if (sources != NULL)
    self = g_hash_table_lookup (sources, context);
  G_UNLOCK (sources);

  if (self != NULL && is_forked (self))
    {
      forget_source (self);
      g_source_destroy (&self->source);
      self = NULL;
    }
  if (self != NULL)
    return self;

  self = context_source_new (context);

  G_LOCK (sources);
  if (sources == NULL)
    sources = g_hash_table_new (NULL, NULL);
  g_hash_table_insert (sources, context, self);
  G_UNLOCK (sources);

  return self;
}

static void
destroy_source (IOContextSource *self)
{
  forget_source (self);
  g_source_destroy (&self->source);
}

void
_io_context_source_wake (IOContextSource    *self,
                         IONotificationPort *port)
{
  gboolean wake = FALSE;

  g_mutex_lock (&self->lock);
  if (!port->woken)
    {
      port->woken = wake = TRUE;
      g_queue_push_tail_link (&self->woken, &port->wake_link);
      atomic_fetch_add_explicit (&self->n_woken, 1, memory_order_release);
    }
  g_mutex_unlock (&self->lock);

  if (wake)
    g_main_context_wakeup (self->context);
}

void
_io_notification_port_attach (IONotificationPort *self,
                              GMainContext       *context)
{
  IOContextSource *source;

  g_return_if_fail (IO_IS_NOTIFICATION_PORT (self));
  g_return_if_fail (self->source == NULL);
  g_return_if_fail (self->funcs != NULL);

  source = get_source (context != NULL ? context : g_main_context_default ());
  source->n_ports++;

  g_mutex_lock (&self->lock);
  self->source = source;
  g_mutex_unlock (&self->lock);

  self->again = FALSE;
  self->storming = FALSE;
  enter_epoll (source, self);
  move_to (self, &source->active);
}

void
_io_notification_port_detach (IONotificationPort *self)
{
  IOContextSource *source;

  g_return_if_fail (IO_IS_NOTIFICATION_PORT (self));

  source = self->source;
  if (source == NULL)
    return;

  g_mutex_lock (&self->lock);
  self->source = NULL;
  g_mutex_lock (&source->lock);
  if (self->woken)
    {
      g_queue_unlink (&source->woken, &self->wake_link);
      atomic_fetch_sub_explicit (&source->n_woken, 1, memory_order_relaxed);
      self->woken = FALSE;
    }
  g_mutex_unlock (&source->lock);
  g_mutex_unlock (&self->lock);

  leave_epoll (source, self);
  _io_bell_disarm (&self->bell);
  move_to (self, NULL);

  if (--source->n_ports == 0)
    destroy_source (source);
}

gboolean
_io_notification_port_is_attached (IONotificationPort *self)
{
  return self->source != NULL;
}
