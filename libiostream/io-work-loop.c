/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-work-loop.h"

#include <unistd.h>

/**
 * SECTION:io-work-loop
 * @title: IOWorkLoop
 * @short_description: A thread with a main context of its own
 *
 * An #IOWorkLoop runs a thread that does nothing but iterate one
 * #GMainContext. Give it to a service at construction, and the service is
 * served there while the rest of the program computes or blocks: a program
 * that never returns to a main loop (`while (TRUE) produce ();`) can own a
 * stream in this way.
 *
 * The thread runs from construction to io_work_loop_shut_down(), or until the
 * last reference is dropped. Its context is the thread-default one there, so
 * whatever is made in an action belongs to it.
 *
 * Signals and virtual methods of objects that live on a work loop run in its
 * thread. io_work_loop_run_action() brings other work there: since one thread
 * runs it all, an action excludes every callback and every other action, which
 * is what the gate of the original did with a lock.
 *
 * It answers to Apple's IOWorkLoop and, by io_work_loop_run_action(), to
 * IOCommandGate. Event sources are the #GSource of GLib.
 *
 * In a forked child the thread does not exist: actions return %FALSE there.
 *
 * Since: 1.0
 */

/**
 * IOWorkLoop:
 *
 * A thread with a main context of its own.
 *
 * Since: 1.0
 */

typedef struct {
  GSourceFunc func;
  gpointer    user_data;
  gboolean    result;
  gboolean    done;
} Action;

/* What object and thread share; it outlives the object if that dies in its own
 * thread. */
typedef struct {
  GMainContext *context;
  GMainLoop    *loop;
  GMutex        mutex;
  GCond         cond;
  GQueue        actions;   /* of Action, on the stacks of those who wait */
  gboolean      stopped;
} Core;

struct _IOWorkLoop {
  GObject  parent_instance;

  char    *name;
  Core    *core;
  GThread *thread;   /* under core->mutex; NULL when joined or let go */
  pid_t    pid;
};

G_DEFINE_FINAL_TYPE (IOWorkLoop, io_work_loop, G_TYPE_OBJECT)

enum {
  PROP_0,
  PROP_NAME,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static void
core_clear (Core *core)
{
  g_main_loop_unref (core->loop);
  g_main_context_unref (core->context);
  g_mutex_clear (&core->mutex);
  g_cond_clear (&core->cond);
}

static void
core_unref (Core *core)
{
  g_atomic_rc_box_release_full (core, (GDestroyNotify) core_clear);
}

static void
finish_action (Core     *core,
               Action   *action,
               gboolean  result)
{
  g_mutex_lock (&core->mutex);
  action->result = result;
  action->done = TRUE;
  g_cond_broadcast (&core->cond);
  g_mutex_unlock (&core->mutex);
}

static Action *
pop_action (Core *core)
{
  G_GNUC_UNUSED G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&core->mutex);

  return core->stopped ? NULL : g_queue_pop_head (&core->actions);
}

static gboolean
action_cb (gpointer user_data)
{
  Core *core = user_data;
  Action *action = pop_action (core);

  /* NULL if it was given up. */
  if (action != NULL)
    finish_action (core, action, action->func (action->user_data));

  return G_SOURCE_REMOVE;
}

static gpointer
thread_func (gpointer data)
{
  Core *core = data;

  g_main_context_push_thread_default (core->context);
  g_main_loop_run (core->loop);
  g_main_context_pop_thread_default (core->context);
  core_unref (core);

  return NULL;
}

static gboolean
is_stopped (Core *core)
{
  G_GNUC_UNUSED G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&core->mutex);

  return core->stopped;
}

/* Ends everybody's waiting; the loop may still be in its last dispatch. FALSE
 * if that was done before. */
static gboolean
stop (Core *core)
{
  Action *action;
  gboolean first;

  g_mutex_lock (&core->mutex);
  first = !core->stopped;
  core->stopped = TRUE;
  while ((action = g_queue_pop_head (&core->actions)) != NULL)
    action->done = TRUE;
  g_cond_broadcast (&core->cond);
  g_mutex_unlock (&core->mutex);

  return first;
}

static gboolean
quit_cb (gpointer user_data)
{
  g_main_loop_quit (user_data);

  return G_SOURCE_REMOVE;
}

/* g_main_loop_quit() before the thread has come to run the loop would be
 * forgotten, so it goes through the loop itself. */
static void
quit (Core *core)
{
  g_autoptr (GSource) source = g_idle_source_new ();

  g_source_set_priority (source, G_PRIORITY_HIGH);
  g_source_set_static_name (source, "[iostream] quit");
  g_source_set_callback (source, quit_cb, g_main_loop_ref (core->loop),
                         (GDestroyNotify) g_main_loop_unref);
  g_source_attach (source, core->context);
}

static void
io_work_loop_set_property (GObject      *object,
                           guint         prop_id,
                           const GValue *value,
                           GParamSpec   *pspec)
{
  IOWorkLoop *self = IO_WORK_LOOP (object);

  switch (prop_id)
    {
    case PROP_NAME:
      self->name = g_value_dup_string (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
io_work_loop_get_property (GObject    *object,
                           guint       prop_id,
                           GValue     *value,
                           GParamSpec *pspec)
{
  IOWorkLoop *self = IO_WORK_LOOP (object);

  switch (prop_id)
    {
    case PROP_NAME:
      g_value_set_string (value, self->name);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
io_work_loop_constructed (GObject *object)
{
  IOWorkLoop *self = IO_WORK_LOOP (object);
  const char *name = self->name != NULL ? self->name : "iostream";

  G_OBJECT_CLASS (io_work_loop_parent_class)->constructed (object);

  self->thread = g_thread_new (name, thread_func, g_atomic_rc_box_acquire (self->core));
}

static void
io_work_loop_finalize (GObject *object)
{
  IOWorkLoop *self = IO_WORK_LOOP (object);

  io_work_loop_shut_down (self);
  /* Still there only in its own thread, or in a forked child. */
  g_clear_pointer (&self->thread, g_thread_unref);
  core_unref (self->core);
  g_free (self->name);

  G_OBJECT_CLASS (io_work_loop_parent_class)->finalize (object);
}

static void
io_work_loop_class_init (IOWorkLoopClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->set_property = io_work_loop_set_property;
  object_class->get_property = io_work_loop_get_property;
  object_class->constructed = io_work_loop_constructed;
  object_class->finalize = io_work_loop_finalize;

  /**
   * IOWorkLoop:name:
   *
   * The name of the thread, as debuggers show it.
   *
   * Since: 1.0
   */
  properties[PROP_NAME] =
    g_param_spec_string ("name", NULL, NULL, NULL,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY |
                         G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
io_work_loop_init (IOWorkLoop *self)
{
  self->pid = getpid ();
  self->core = g_atomic_rc_box_new0 (Core);
  self->core->context = g_main_context_new ();
  self->core->loop = g_main_loop_new (self->core->context, FALSE);
  g_mutex_init (&self->core->mutex);
  g_cond_init (&self->core->cond);
  g_queue_init (&self->core->actions);
}

/**
 * io_work_loop_new:
 * @name: (nullable): a name for the thread
 *
 * Makes a work loop and starts its thread.
 *
 * Any thread. Apple: IOWorkLoop::workLoop.
 *
 * Returns: (transfer full): the new work loop
 * Since: 1.0
 */
IOWorkLoop *
io_work_loop_new (const char *name)
{
  return g_object_new (IO_TYPE_WORK_LOOP, "name", name, NULL);
}

/**
 * io_work_loop_get_name:
 * @self: a work loop
 *
 * Gets #IOWorkLoop:name. Any thread.
 *
 * Returns: (nullable) (transfer none): the name
 * Since: 1.0
 */
const char *
io_work_loop_get_name (IOWorkLoop *self)
{
  g_return_val_if_fail (IO_IS_WORK_LOOP (self), NULL);

  return self->name;
}

/**
 * io_work_loop_get_context:
 * @self: a work loop
 *
 * Gets the main context that the thread iterates, to attach sources to it. It
 * stays the same for the life of @self. Any thread.
 *
 * Returns: (transfer none): the context
 * Since: 1.0
 */
GMainContext *
io_work_loop_get_context (IOWorkLoop *self)
{
  g_return_val_if_fail (IO_IS_WORK_LOOP (self), NULL);

  return self->core->context;
}

/**
 * io_work_loop_on_thread:
 * @self: a work loop
 *
 * Tells whether the caller runs in the thread of @self.
 *
 * Any thread. Apple: IOWorkLoop::onThread.
 *
 * Returns: %TRUE in the thread of the work loop
 * Since: 1.0
 */
gboolean
io_work_loop_on_thread (IOWorkLoop *self)
{
  g_return_val_if_fail (IO_IS_WORK_LOOP (self), FALSE);

  return g_main_context_is_owner (self->core->context);
}

/**
 * io_work_loop_run_action:
 * @self: a work loop
 * @action: (scope call) (closure user_data): what to run
 * @user_data: data for @action
 *
 * Runs @action once in the thread of @self and waits until it has returned; in
 * that thread itself, calls it directly. Actions run in the order in which they
 * came.
 *
 * After io_work_loop_shut_down() nothing is run. Do not hold a lock that
 * something on the work loop wants.
 *
 * Any thread. Apple: IOWorkLoop::runAction.
 *
 * Returns: what @action returned, or %FALSE if it was not run
 * Since: 1.0
 */
gboolean
io_work_loop_run_action (IOWorkLoop  *self,
                         GSourceFunc  action,
                         gpointer     user_data)
{
  Action record = { action, user_data, FALSE, FALSE };
  g_autoptr (GSource) source = NULL;
  Core *core;

  g_return_val_if_fail (IO_IS_WORK_LOOP (self), FALSE);
  g_return_val_if_fail (action != NULL, FALSE);

  if (self->pid != getpid ())
    return FALSE;
  core = g_atomic_rc_box_acquire (self->core);
  if (g_main_context_is_owner (core->context))
    {
      gboolean result = is_stopped (core) ? FALSE : action (user_data);

      core_unref (core);
      return result;
    }

  source = g_idle_source_new ();
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_static_name (source, "[iostream] action");
  g_source_set_callback (source, action_cb, g_atomic_rc_box_acquire (core),
                         (GDestroyNotify) core_unref);

  g_mutex_lock (&core->mutex);
  if (!core->stopped)
    {
      g_queue_push_tail (&core->actions, &record);
      g_source_attach (source, core->context);
      while (!record.done)
        g_cond_wait (&core->cond, &core->mutex);
    }
  g_mutex_unlock (&core->mutex);
  g_source_destroy (source);
  core_unref (core);

  return record.result;
}

/**
 * io_work_loop_shut_down:
 * @self: a work loop
 *
 * Ends the thread and waits for its end; an action that is running runs to its
 * end, those that wait return %FALSE. In the thread itself it does not wait:
 * the thread ends when it returns to its context. May be called again.
 *
 * Services on @self should have been terminated before, nobody serves them
 * afterwards.
 *
 * Any thread.
 *
 * Since: 1.0
 */
void
io_work_loop_shut_down (IOWorkLoop *self)
{
  GThread *thread = NULL;

  g_return_if_fail (IO_IS_WORK_LOOP (self));

  if (self->pid != getpid ())
    return;

  if (stop (self->core))
    quit (self->core);
  if (g_main_context_is_owner (self->core->context))
    return;

  g_mutex_lock (&self->core->mutex);
  thread = g_steal_pointer (&self->thread);
  g_mutex_unlock (&self->core->mutex);
  if (thread != NULL)
    g_thread_join (thread);
}
