/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "libiostream/io-work-loop.h"

#include <sys/wait.h>
#include <unistd.h>

typedef struct {
  IOWorkLoop *loop;
  GThread    *thread;
  guint       runs;
  gboolean    answer;
} Record;

static gboolean
record_cb (gpointer user_data)
{
  Record *record = user_data;

  g_assert_true (io_work_loop_on_thread (record->loop));
  g_assert_true (g_main_context_get_thread_default () ==
                 io_work_loop_get_context (record->loop));
  record->thread = g_thread_self ();
  record->runs++;

  return record->answer;
}

static void
test_basic (void)
{
  IOWorkLoop *loop = io_work_loop_new ("test");
  g_autofree char *name = NULL;

  g_assert_cmpstr (io_work_loop_get_name (loop), ==, "test");
  g_object_get (loop, "name", &name, NULL);
  g_assert_cmpstr (name, ==, "test");
  g_assert_nonnull (io_work_loop_get_context (loop));
  g_assert_false (io_work_loop_on_thread (loop));

  g_assert_finalize_object (loop);
}

static void
test_unnamed (void)
{
  IOWorkLoop *loop = io_work_loop_new (NULL);

  g_assert_null (io_work_loop_get_name (loop));
  g_assert_finalize_object (loop);
}

static void
test_run_action (void)
{
  IOWorkLoop *loop = io_work_loop_new ("test");
  Record record = { .loop = loop, .answer = TRUE };

  g_assert_true (io_work_loop_run_action (loop, record_cb, &record));
  g_assert_true (record.thread != g_thread_self ());
  record.answer = FALSE;
  g_assert_false (io_work_loop_run_action (loop, record_cb, &record));
  g_assert_cmpuint (record.runs, ==, 2);

  g_assert_finalize_object (loop);
}

static gboolean
nested_cb (gpointer user_data)
{
  Record *record = user_data;

  return io_work_loop_run_action (record->loop, record_cb, record);
}

static void
test_nested (void)
{
  IOWorkLoop *loop = io_work_loop_new ("test");
  Record record = { .loop = loop, .answer = TRUE };

  g_assert_true (io_work_loop_run_action (loop, nested_cb, &record));
  g_assert_cmpuint (record.runs, ==, 1);

  g_assert_finalize_object (loop);
}

static void
test_shut_down (void)
{
  IOWorkLoop *loop = io_work_loop_new ("test");
  Record record = { .loop = loop, .answer = TRUE };

  io_work_loop_shut_down (loop);
  io_work_loop_shut_down (loop);
  g_assert_false (io_work_loop_run_action (loop, record_cb, &record));
  g_assert_cmpuint (record.runs, ==, 0);

  g_assert_finalize_object (loop);
}

static gboolean
shut_down_cb (gpointer user_data)
{
  Record *record = user_data;

  io_work_loop_shut_down (record->loop);
  g_assert_false (io_work_loop_run_action (record->loop, record_cb, record));

  return TRUE;
}

static void
test_shut_down_inside (void)
{
  IOWorkLoop *loop = io_work_loop_new ("test");
  Record record = { .loop = loop };

  g_assert_true (io_work_loop_run_action (loop, shut_down_cb, &record));
  g_assert_false (io_work_loop_run_action (loop, record_cb, &record));
  io_work_loop_shut_down (loop);
  g_assert_cmpuint (record.runs, ==, 0);

  g_assert_finalize_object (loop);
}

static gboolean
drop_cb (gpointer user_data)
{
  g_object_unref (user_data);

  return TRUE;
}

/* The last reference goes in the thread itself. */
static void
test_last_reference_inside (void)
{
  IOWorkLoop *loop = io_work_loop_new ("test");
  gpointer weak = loop;

  g_object_add_weak_pointer (G_OBJECT (loop), &weak);
  g_assert_true (io_work_loop_run_action (loop, drop_cb, loop));
  g_assert_null (weak);
}

typedef struct {
  IOWorkLoop *loop;
  guint      *counter;
} Contender;

/* No lock: the thread of the loop is the only one that counts. */
static gboolean
count_cb (gpointer user_data)
{
  Contender *contender = user_data;

  ++*contender->counter;
  return TRUE;
}

static gpointer
contend_func (gpointer data)
{
  Contender *contender = data;
  guint runs = 0;

  while (runs < 500 && io_work_loop_run_action (contender->loop, count_cb, contender))
    runs++;

  return GUINT_TO_POINTER (runs);
}

static void
test_threads (void)
{
  IOWorkLoop *loop = io_work_loop_new ("test");
  guint counter = 0;
  Contender contender = { loop, &counter };
  GThread *threads[4];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("contender", contend_func, &contender);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_assert_cmpuint (GPOINTER_TO_UINT (g_thread_join (threads[i])), ==, 500);
  g_assert_cmpuint (counter, ==, 2000);

  g_assert_finalize_object (loop);
}

/* Nobody is left waiting by a shut-down at any moment. */
static void
test_shut_down_race (void)
{
  for (guint round = 0; round < 50; round++)
    {
      IOWorkLoop *loop = io_work_loop_new ("test");
      guint counter = 0;
      Contender contender = { loop, &counter };
      GThread *first = g_thread_new ("contender", contend_func, &contender);
      GThread *second = g_thread_new ("contender", contend_func, &contender);
      guint sum = 0;

      if (round % 2)
        g_thread_yield ();
      io_work_loop_shut_down (loop);
      sum += GPOINTER_TO_UINT (g_thread_join (first));
      sum += GPOINTER_TO_UINT (g_thread_join (second));
      g_assert_cmpuint (sum, ==, counter);

      g_assert_finalize_object (loop);
    }
}

static gboolean
source_cb (gpointer user_data)
{
  g_main_loop_quit (user_data);

  return G_SOURCE_REMOVE;
}

static gboolean
attach_cb (gpointer user_data)
{
  g_autoptr (GSource) source = g_idle_source_new ();

  g_source_set_callback (source, source_cb, user_data, NULL);
  g_source_attach (source, g_main_context_get_thread_default ());

  return TRUE;
}

static void
test_sources (void)
{
  IOWorkLoop *loop = io_work_loop_new ("test");
  g_autoptr (GMainLoop) waiter = g_main_loop_new (NULL, FALSE);

  /* The quit comes from the other thread, maybe before the run. */
  g_assert_true (io_work_loop_run_action (loop, attach_cb, waiter));
  g_timeout_add (10, source_cb, waiter);
  g_main_loop_run (waiter);

  g_assert_finalize_object (loop);
}

static void
test_fork (void)
{
  IOWorkLoop *loop = io_work_loop_new ("test");
  Record record = { .loop = loop, .answer = TRUE };
  int status;
  pid_t pid = fork ();

  if (pid == 0)
    {
      gboolean ran = io_work_loop_run_action (loop, record_cb, &record);

      io_work_loop_shut_down (loop);
      _exit (ran ? 1 : 0);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);

  g_assert_true (io_work_loop_run_action (loop, record_cb, &record));
  g_assert_finalize_object (loop);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/work-loop/basic", test_basic);
  g_test_add_func ("/work-loop/unnamed", test_unnamed);
  g_test_add_func ("/work-loop/run-action", test_run_action);
  g_test_add_func ("/work-loop/nested", test_nested);
  g_test_add_func ("/work-loop/shut-down", test_shut_down);
  g_test_add_func ("/work-loop/shut-down-inside", test_shut_down_inside);
  g_test_add_func ("/work-loop/last-reference-inside", test_last_reference_inside);
  g_test_add_func ("/work-loop/threads", test_threads);
  g_test_add_func ("/work-loop/shut-down-race", test_shut_down_race);
  g_test_add_func ("/work-loop/sources", test_sources);
  g_test_add_func ("/work-loop/fork", test_fork);

  return g_test_run ();
}
