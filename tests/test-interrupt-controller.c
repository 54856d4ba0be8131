/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table of the vectors, within one process. */

#include "stream-util.h"

#include "libiostream/io-interrupt-controller-private.h"

typedef struct {
  IOInterruptController *controller;
  GArray                *calls;    /* of vector numbers, in order */
  guint                  last_count;
  guint                  n_destroyed;
} Fixture;

static void
handler_cb (IOInterruptController *controller,
            guint                  vector,
            guint                  count,
            gpointer               user_data)
{
  Fixture *fixture = user_data;

  g_array_append_val (fixture->calls, vector);
  fixture->last_count = count;
}

static void
destroy_cb (gpointer user_data)
{
  ((Fixture *) user_data)->n_destroyed++;
}

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  fixture->controller = io_interrupt_controller_new (IO_INTERRUPT_MAX_VECTORS, &error);
  g_assert_no_error (error);
  fixture->calls = g_array_new (FALSE, FALSE, sizeof (guint));
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  if (fixture->controller != NULL)
    g_assert_finalize_object (fixture->controller);
  g_array_unref (fixture->calls);
}

static void
do_register (Fixture *fixture,
             guint    vector)
{
  stream_util_assert_works (io_interrupt_controller_register_interrupt (fixture->controller, vector, handler_cb,
                                                                        fixture, destroy_cb, err));
}

static void
do_enable (Fixture *fixture,
           guint    vector)
{
  stream_util_assert_works (io_interrupt_controller_enable_interrupt (fixture->controller, vector, err));
}

static void
do_cause (Fixture *fixture,
          guint    vector)
{
  stream_util_assert_works (io_interrupt_controller_cause_interrupt (fixture->controller, vector, err));
}

static void
assert_calls (Fixture *fixture,
              guint    n,
              ...)
{
  va_list args;

  g_assert_cmpuint (fixture->calls->len, ==, n);
  va_start (args, n);
  for (guint i = 0; i < n; i++)
    g_assert_cmpuint (g_array_index (fixture->calls, guint, i), ==, va_arg (args, guint));
  va_end (args);
  g_array_set_size (fixture->calls, 0);
}

static void
test_handles (Fixture       *fixture,
              gconstpointer  data)
{
  IOInterruptType type = IO_INTERRUPT_LEVEL;

  g_assert_cmpuint (io_interrupt_controller_get_n_vectors (fixture->controller), ==, 4096);
  stream_util_assert_works (io_interrupt_controller_get_interrupt_type (fixture->controller, 4095, &type, err));
  g_assert_cmpint (type, ==, IO_INTERRUPT_EDGE);

  do_register (fixture, 7);
  do_register (fixture, 4095);
  do_register (fixture, 64);
  g_assert_false (io_interrupt_controller_is_interrupt_enabled (fixture->controller, 7));
  do_enable (fixture, 7);
  do_enable (fixture, 4095);
  do_enable (fixture, 64);
  g_assert_true (io_interrupt_controller_is_interrupt_enabled (fixture->controller, 7));

  /* In the order of their numbers, merged, and never from inside. */
  do_cause (fixture, 4095);
  do_cause (fixture, 64);
  do_cause (fixture, 7);
  do_cause (fixture, 7);
  do_cause (fixture, 7);
  g_assert_true (io_interrupt_controller_is_interrupt_pending (fixture->controller, 7));
  assert_calls (fixture, 0);
  stream_util_settle ();
  assert_calls (fixture, 3, 7, 64, 4095);
  g_assert_false (io_interrupt_controller_is_interrupt_pending (fixture->controller, 7));
  g_assert_cmpuint (fixture->last_count, ==, 1);

  do_cause (fixture, 7);
  do_cause (fixture, 7);
  stream_util_settle ();
  assert_calls (fixture, 1, 7);
  g_assert_cmpuint (fixture->last_count, ==, 2);

  g_assert_cmpuint (fixture->n_destroyed, ==, 0);
  stream_util_assert_works (io_interrupt_controller_unregister_interrupt (fixture->controller, 7, err));
  g_assert_cmpuint (fixture->n_destroyed, ==, 1);
  g_assert_finalize_object (g_steal_pointer (&fixture->controller));
  g_assert_cmpuint (fixture->n_destroyed, ==, 3);
}

/* The fault of the original. */
static void
test_disabled (Fixture       *fixture,
               gconstpointer  data)
{
  do_register (fixture, 1);
  do_register (fixture, 2);
  do_register (fixture, 3);
  do_enable (fixture, 2);
  do_enable (fixture, 3);

  /* 1 was never enabled, 3 is disabled: 2 goes on. */
  stream_util_assert_works (io_interrupt_controller_disable_interrupt (fixture->controller, 3, err));
  for (guint i = 0; i < 3; i++)
    {
      do_cause (fixture, 1);
      do_cause (fixture, 2);
      do_cause (fixture, 3);
      stream_util_settle ();
      assert_calls (fixture, 1, 2);
    }
  g_assert_true (io_interrupt_controller_is_interrupt_pending (fixture->controller, 1));
  g_assert_true (io_interrupt_controller_is_interrupt_pending (fixture->controller, 3));

  do_enable (fixture, 3);
  assert_calls (fixture, 0);
  stream_util_settle ();
  assert_calls (fixture, 1, 3);
  g_assert_cmpuint (fixture->last_count, ==, 3);

  do_enable (fixture, 1);
  stream_util_assert_works (io_interrupt_controller_disable_interrupt (fixture->controller, 1, err));
  stream_util_settle ();
  assert_calls (fixture, 0);

  /* What is pending goes with the registration. */
  stream_util_assert_works (io_interrupt_controller_unregister_interrupt (fixture->controller, 1, err));
  do_register (fixture, 1);
  do_enable (fixture, 1);
  stream_util_settle ();
  assert_calls (fixture, 0);
}

static void
test_errors (Fixture       *fixture,
             gconstpointer  data)
{
  IOInterruptController *controller = fixture->controller;
  IOInterruptType type;

  stream_util_assert_fails (io_interrupt_controller_new (0, err) != NULL, IO_STREAM_ERROR_BAD_ARGUMENT);
  stream_util_assert_fails (io_interrupt_controller_new (4097, err) != NULL, IO_STREAM_ERROR_BAD_ARGUMENT);

  stream_util_assert_fails (io_interrupt_controller_register_interrupt (controller, 4096, handler_cb, fixture,
                                                                        destroy_cb, err),
                            IO_STREAM_ERROR_NO_INTERRUPT);
  g_assert_cmpuint (fixture->n_destroyed, ==, 1);
  stream_util_assert_fails (io_interrupt_controller_unregister_interrupt (controller, 4096, err),
                            IO_STREAM_ERROR_NO_INTERRUPT);
  stream_util_assert_fails (io_interrupt_controller_enable_interrupt (controller, G_MAXUINT, err),
                            IO_STREAM_ERROR_NO_INTERRUPT);
  stream_util_assert_fails (io_interrupt_controller_disable_interrupt (controller, 4096, err),
                            IO_STREAM_ERROR_NO_INTERRUPT);
  stream_util_assert_fails (io_interrupt_controller_cause_interrupt (controller, 4096, err),
                            IO_STREAM_ERROR_NO_INTERRUPT);
  stream_util_assert_fails (io_interrupt_controller_get_interrupt_type (controller, 4096, &type, err),
                            IO_STREAM_ERROR_NO_INTERRUPT);
  g_assert_false (io_interrupt_controller_is_interrupt_enabled (controller, 4096));
  g_assert_false (io_interrupt_controller_is_interrupt_pending (controller, 4096));

  /* Not registered. */
  stream_util_assert_works (io_interrupt_controller_unregister_interrupt (controller, 5, err));
  stream_util_assert_fails (io_interrupt_controller_enable_interrupt (controller, 5, err),
                            IO_STREAM_ERROR_NO_INTERRUPT);
  stream_util_assert_fails (io_interrupt_controller_disable_interrupt (controller, 5, err),
                            IO_STREAM_ERROR_NO_INTERRUPT);
  stream_util_assert_fails (io_interrupt_controller_cause_interrupt (controller, 5, err),
                            IO_STREAM_ERROR_NO_INTERRUPT);

  /* Taken. */
  do_register (fixture, 5);
  do_enable (fixture, 5);
  stream_util_assert_fails (io_interrupt_controller_register_interrupt (controller, 5, handler_cb, fixture,
                                                                        NULL, err),
                            IO_STREAM_ERROR_NO_RESOURCES);
  do_cause (fixture, 5);
  stream_util_settle ();
  assert_calls (fixture, 1, 5);
}

/* A handler that does something to the vectors. */
typedef struct {
  Fixture *fixture;
  guint    n;
  guint    depth;
  char     what;
} Inside;

static void
inside_cb (IOInterruptController *controller,
           guint                  vector,
           guint                  count,
           gpointer               user_data)
{
  Inside *inside = user_data;

  inside->n++;
  g_assert_cmpuint (inside->depth++, ==, 0);
  if (inside->what == 'u')
    stream_util_assert_works (io_interrupt_controller_unregister_interrupt (controller, vector, err));
  else if (inside->what == 'd')
    stream_util_assert_works (io_interrupt_controller_disable_interrupt (controller, vector, err));
  else if (inside->what == 'r')
    {
      stream_util_assert_works (io_interrupt_controller_unregister_interrupt (controller, vector, err));
      do_register (inside->fixture, vector);
      do_enable (inside->fixture, vector);
    }
  else if (inside->what == 'o')
    {
      /* A handler later in this round, and one of the next. */
      do_cause (inside->fixture, vector + 100);
      do_cause (inside->fixture, vector - 1);
      stream_util_assert_works (io_interrupt_controller_unregister_interrupt (controller, vector + 1, err));
    }
  else if (inside->what == 'l')
    {
      do_cause (inside->fixture, vector);
      do_cause (inside->fixture, vector + 100);
      if (inside->n < 3)
        stream_util_settle ();
    }
  else if (inside->what == 'f')
    g_clear_object (&inside->fixture->controller);
  inside->depth--;
}

static void
run_inside (Fixture *fixture,
            char     what,
            Inside  *inside)
{
  *inside = (Inside) { fixture, 0, 0, what };
  stream_util_assert_works (io_interrupt_controller_register_interrupt (fixture->controller, 50, inside_cb,
                                                                        inside, NULL, err));
  do_enable (fixture, 50);
  do_cause (fixture, 50);
}

static void
test_inside (Fixture       *fixture,
             gconstpointer  data)
{
  Inside inside;

  do_register (fixture, 49);
  do_register (fixture, 51);
  do_register (fixture, 150);
  do_enable (fixture, 49);
  do_enable (fixture, 51);
  do_enable (fixture, 150);

  run_inside (fixture, 'd', &inside);
  stream_util_settle ();
  do_cause (fixture, 50);
  stream_util_settle ();
  g_assert_cmpuint (inside.n, ==, 1);
  inside.what = 'u';
  do_enable (fixture, 50);
  stream_util_settle ();
  g_assert_cmpuint (inside.n, ==, 2);
  stream_util_assert_fails (io_interrupt_controller_cause_interrupt (fixture->controller, 50, err),
                            IO_STREAM_ERROR_NO_INTERRUPT);

  /* What another handler took away is not called in this round. */
  run_inside (fixture, 'o', &inside);
  do_cause (fixture, 51);
  g_assert_cmpuint (io_interrupt_controller_handle_interrupts (fixture->controller), ==, 2);
  assert_calls (fixture, 1, 150);
  stream_util_settle ();
  assert_calls (fixture, 1, 49);
  stream_util_assert_works (io_interrupt_controller_unregister_interrupt (fixture->controller, 50, err));

  /* It runs the loop, and is not called again while it does. */
  run_inside (fixture, 'l', &inside);
  while (inside.n < 3)
    g_main_context_iteration (NULL, TRUE);
  inside.what = 'r';
  stream_util_settle ();
  g_assert_cmpuint (inside.n, ==, 4);
  g_assert_cmpuint (fixture->calls->len, >=, 3);
  g_array_set_size (fixture->calls, 0);
  do_cause (fixture, 50);
  stream_util_settle ();
  assert_calls (fixture, 1, 50);
  stream_util_assert_works (io_interrupt_controller_unregister_interrupt (fixture->controller, 50, err));

  run_inside (fixture, 'f', &inside);
  stream_util_settle ();
  g_assert_cmpuint (inside.n, ==, 1);
  g_assert_null (fixture->controller);
}

static void
test_by_hand (Fixture       *fixture,
              gconstpointer  data)
{
  do_register (fixture, 9);
  do_enable (fixture, 9);
  g_assert_true (io_interrupt_controller_get_handle_in_context (fixture->controller));
  g_object_set (fixture->controller, "handle-in-context", FALSE, NULL);

  do_cause (fixture, 9);
  stream_util_settle ();
  assert_calls (fixture, 0);
  g_assert_cmpuint (io_interrupt_controller_handle_interrupts (fixture->controller), ==, 1);
  g_assert_cmpuint (io_interrupt_controller_handle_interrupts (fixture->controller), ==, 0);
  assert_calls (fixture, 1, 9);

  do_cause (fixture, 9);
  io_interrupt_controller_set_handle_in_context (fixture->controller, TRUE);
  stream_util_settle ();
  assert_calls (fixture, 1, 9);
}

static void
test_all_vectors (Fixture       *fixture,
                  gconstpointer  data)
{
  guint n_enabled = 0;

  for (guint i = 0; i < IO_INTERRUPT_MAX_VECTORS; i++)
    {
      do_register (fixture, i);
      if (i % 3 != 0)
        {
          do_enable (fixture, i);
          n_enabled++;
        }
    }
  for (guint i = IO_INTERRUPT_MAX_VECTORS; i-- > 0;)
    do_cause (fixture, i);
  stream_util_settle ();

  g_assert_cmpuint (fixture->calls->len, ==, n_enabled);
  for (guint i = 1; i < n_enabled; i++)
    g_assert_cmpuint (g_array_index (fixture->calls, guint, i - 1), <, g_array_index (fixture->calls, guint, i));
  for (guint i = 0; i < IO_INTERRUPT_MAX_VECTORS; i += 3)
    g_assert_true (io_interrupt_controller_is_interrupt_pending (fixture->controller, i));
}

/* A device whose interrupts can be turned on and off. */

#define DEVICE_TYPE (device_get_type ())
G_DECLARE_FINAL_TYPE (Device, device, TEST, DEVICE, IOInterruptController)

struct _Device {
  IOInterruptController  parent_instance;
  GString               *log;
  gboolean               fails;
};

G_DEFINE_FINAL_TYPE (Device, device, IO_TYPE_INTERRUPT_CONTROLLER)

static gboolean
device_init_vector (IOInterruptController  *controller,
                    guint                   vector,
                    GError                **error)
{
  g_string_append_printf (TEST_DEVICE (controller)->log, "i%u ", vector);

  return !TEST_DEVICE (controller)->fails;
}

static IOInterruptType
device_get_vector_type (IOInterruptController *controller,
                        guint                  vector)
{
  return vector % 2 == 0 ? IO_INTERRUPT_EDGE : IO_INTERRUPT_LEVEL;
}

static gboolean
device_vector_can_be_shared (IOInterruptController *controller,
                             guint                  vector)
{
  return vector == 2;
}

static void
device_disable_vector_hard (IOInterruptController *controller,
                            guint                  vector)
{
  g_string_append_printf (TEST_DEVICE (controller)->log, "d%u ", vector);
  /* Hooks may ask. */
  g_assert_false (io_interrupt_controller_is_interrupt_enabled (controller, vector));
}

static void
device_enable_vector (IOInterruptController *controller,
                      guint                  vector)
{
  g_string_append_printf (TEST_DEVICE (controller)->log, "e%u ", vector);
}

static gboolean
device_cause_vector (IOInterruptController  *controller,
                     guint                   vector,
                     GError                **error)
{
  g_string_append_printf (TEST_DEVICE (controller)->log, "c%u ", vector);
  if (vector == 3)
    return FALSE;

  return IO_INTERRUPT_CONTROLLER_CLASS (device_parent_class)->cause_vector (controller, vector, error);
}

static void
device_finalize (GObject *object)
{
  g_string_free (TEST_DEVICE (object)->log, TRUE);

  G_OBJECT_CLASS (device_parent_class)->finalize (object);
}

static void
device_class_init (DeviceClass *klass)
{
  IOInterruptControllerClass *controller_class = IO_INTERRUPT_CONTROLLER_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = device_finalize;
  controller_class->init_vector = device_init_vector;
  controller_class->get_vector_type = device_get_vector_type;
  controller_class->vector_can_be_shared = device_vector_can_be_shared;
  controller_class->disable_vector_hard = device_disable_vector_hard;
  controller_class->enable_vector = device_enable_vector;
  controller_class->cause_vector = device_cause_vector;
}

static void
device_init (Device *self)
{
  self->log = g_string_new (NULL);
}

static void
assert_log (Device     *device,
            const char *expected)
{
  g_assert_cmpstr (device->log->str, ==, expected);
  g_string_set_size (device->log, 0);
}

static void
test_hooks (Fixture       *fixture,
            gconstpointer  data)
{
  Device *device = g_object_new (DEVICE_TYPE, "n-vectors", 4, NULL);
  IOInterruptType type;

  g_object_unref (fixture->controller);
  fixture->controller = IO_INTERRUPT_CONTROLLER (device);

  stream_util_assert_works (io_interrupt_controller_get_interrupt_type (fixture->controller, 1, &type, err));
  g_assert_cmpint (type, ==, IO_INTERRUPT_LEVEL);

  /* Lazy: turned off only when it fires for nobody; once. */
  do_register (fixture, 1);
  assert_log (device, "i1 ");
  do_enable (fixture, 1);
  do_enable (fixture, 1);
  assert_log (device, "e1 ");
  stream_util_assert_works (io_interrupt_controller_disable_interrupt (fixture->controller, 1, err));
  do_enable (fixture, 1);
  stream_util_assert_works (io_interrupt_controller_disable_interrupt (fixture->controller, 1, err));
  assert_log (device, "");
  do_cause (fixture, 1);
  do_cause (fixture, 1);
  assert_log (device, "c1 d1 c1 ");
  do_enable (fixture, 1);
  assert_log (device, "e1 ");
  stream_util_settle ();
  assert_calls (fixture, 1, 1);
  stream_util_assert_works (io_interrupt_controller_unregister_interrupt (fixture->controller, 1, err));
  assert_log (device, "d1 ");

  /* Two handlers on one vector. */
  do_register (fixture, 2);
  do_register (fixture, 2);
  assert_log (device, "i2 ");
  do_enable (fixture, 2);
  do_cause (fixture, 2);
  stream_util_settle ();
  assert_calls (fixture, 2, 2, 2);
  stream_util_assert_works (io_interrupt_controller_unregister_interrupt (fixture->controller, 2, err));
  g_assert_cmpuint (fixture->n_destroyed, ==, 3);

  /* Failures without an error. */
  device->fails = TRUE;
  stream_util_assert_fails (io_interrupt_controller_register_interrupt (fixture->controller, 0, handler_cb,
                                                                        fixture, NULL, err),
                            IO_STREAM_ERROR_FAILED);
  stream_util_assert_fails (io_interrupt_controller_cause_interrupt (fixture->controller, 3, err),
                            IO_STREAM_ERROR_FAILED);
}

/* Threads: causes from several, while another one goes through the life of a
 * vector again and again. */

#define N_CAUSERS 3
#define N_CAUSES  2000

typedef struct {
  IOInterruptController *controller;
  guint                  vector;
  atomic_uint            n_handled;
  atomic_uint            running;
} Shared;

static void
count_cb (IOInterruptController *controller,
          guint                  vector,
          guint                  count,
          gpointer               user_data)
{
  Shared *shared = user_data;

  g_assert_cmpuint (shared->running++, ==, 0);
  shared->n_handled += count;
  shared->running--;
}

static gpointer
cause_thread (gpointer data)
{
  Shared *shared = data;

  for (guint i = 0; i < N_CAUSES; i++)
    {
      io_interrupt_controller_cause_interrupt (shared->controller, shared->vector, NULL);
      if (i % 64 == 0)
        g_thread_yield ();
    }

  return NULL;
}

static void
test_causers (Fixture       *fixture,
              gconstpointer  data)
{
  Shared shared = { fixture->controller, 77, 0, 0 };
  GThread *threads[N_CAUSERS];

  stream_util_assert_works (io_interrupt_controller_register_interrupt (fixture->controller, 77, count_cb,
                                                                        &shared, NULL, err));
  do_enable (fixture, 77);
  for (guint i = 0; i < N_CAUSERS; i++)
    threads[i] = g_thread_new ("causer", cause_thread, &shared);
  /* Not one is lost. */
  stream_util_iterate_until (shared.n_handled == N_CAUSERS * N_CAUSES);
  for (guint i = 0; i < N_CAUSERS; i++)
    g_thread_join (threads[i]);
  stream_util_settle ();
  g_assert_cmpuint (shared.n_handled, ==, N_CAUSERS * N_CAUSES);
}

static gpointer
life_thread (gpointer data)
{
  Shared *shared = data;

  for (guint i = 0; i < 500; i++)
    {
      stream_util_assert_works (io_interrupt_controller_register_interrupt (shared->controller, shared->vector,
                                                                            count_cb, shared, NULL, err));
      stream_util_assert_works (io_interrupt_controller_enable_interrupt (shared->controller, shared->vector, err));
      stream_util_assert_works (io_interrupt_controller_cause_interrupt (shared->controller, shared->vector, err));
      if (i % 2 == 0)
        {
          stream_util_assert_works (io_interrupt_controller_disable_interrupt (shared->controller, shared->vector, err));
          /* It returned, and is not called any more. */
          g_assert_cmpuint (shared->running, ==, 0);
        }
      stream_util_assert_works (io_interrupt_controller_unregister_interrupt (shared->controller, shared->vector, err));
      g_assert_cmpuint (shared->running, ==, 0);
    }
  shared->vector = G_MAXUINT;

  return NULL;
}

static void
test_life_in_thread (Fixture       *fixture,
                     gconstpointer  data)
{
  Shared shared = { fixture->controller, 3, 0, 0 };
  Shared other = { fixture->controller, 3, 0, 0 };
  GThread *life = g_thread_new ("life", life_thread, &shared);
  GThread *causer = g_thread_new ("causer", cause_thread, &other);

  g_object_ref (fixture->controller);
  for (guint i = 0; i < 2000; i++)
    g_main_context_iteration (NULL, FALSE);
  g_thread_join (causer);
  g_thread_join (life);
  g_object_unref (fixture->controller);
}

/* Unregister waits for the handler that runs. */
typedef struct {
  GMutex   lock;
  GCond    cond;
  gboolean inside;
  gboolean may_leave;
  gboolean gone;
  IOInterruptController *controller;
} Slow;

static void
slow_cb (IOInterruptController *controller,
         guint                  vector,
         guint                  count,
         gpointer               user_data)
{
  Slow *slow = user_data;

  g_mutex_lock (&slow->lock);
  slow->inside = TRUE;
  g_cond_broadcast (&slow->cond);
  while (!slow->may_leave)
    g_cond_wait (&slow->cond, &slow->lock);
  g_assert_false (slow->gone);
  slow->inside = FALSE;
  g_mutex_unlock (&slow->lock);
}

static gpointer
unregister_thread (gpointer data)
{
  Slow *slow = data;

  g_mutex_lock (&slow->lock);
  while (!slow->inside)
    g_cond_wait (&slow->cond, &slow->lock);
  slow->may_leave = TRUE;
  g_cond_broadcast (&slow->cond);
  g_mutex_unlock (&slow->lock);

  stream_util_assert_works (io_interrupt_controller_unregister_interrupt (slow->controller, 8, err));
  slow->gone = TRUE;
  g_assert_false (slow->inside);

  return NULL;
}

static void
test_unregister_waits (Fixture       *fixture,
                       gconstpointer  data)
{
  Slow slow = { .controller = fixture->controller };
  GThread *thread;

  g_mutex_init (&slow.lock);
  g_cond_init (&slow.cond);
  stream_util_assert_works (io_interrupt_controller_register_interrupt (fixture->controller, 8, slow_cb,
                                                                        &slow, NULL, err));
  do_enable (fixture, 8);
  do_cause (fixture, 8);
  thread = g_thread_new ("unregister", unregister_thread, &slow);
  stream_util_settle ();
  g_thread_join (thread);
  g_assert_true (slow.gone);
  g_mutex_clear (&slow.lock);
  g_cond_clear (&slow.cond);
}

#define ADD(path, func) g_test_add ("/interrupt-controller/" path, Fixture, NULL, set_up, func, tear_down)

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  ADD ("handles", test_handles);
  ADD ("disabled", test_disabled);
  ADD ("errors", test_errors);
  ADD ("inside", test_inside);
  ADD ("by-hand", test_by_hand);
  ADD ("all-vectors", test_all_vectors);
  ADD ("hooks", test_hooks);
  ADD ("causers", test_causers);
  ADD ("life-in-thread", test_life_in_thread);
  ADD ("unregister-waits", test_unregister_waits);

  return g_test_run ();
}
