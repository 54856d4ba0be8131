/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Asynchronous calls: the owner in another thread keeps them and answers
 * later, from its thread and from this one. */

#include "stream-util.h"

#include "methods-util.h"

#define NAME "actions"

typedef struct {
  IOWorkLoop     *loop;
  MethodsService *service;
  IOConnection   *connection;
} Fixture;

static void
set_up (Fixture       *f,
        gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  f->loop = stream_util_new_loop ();
  f->service = methods_new_registered (NAME, f->loop);
  f->connection = stream_util_connect_plain (IO_SERVICE (f->service), &error);
  g_assert_no_error (error);
  io_connection_set_timeout (f->connection, 20 * G_USEC_PER_SEC);
}

static void
hang_up (Fixture *f)
{
  stream_util_settle ();
  io_connection_hang_up (f->connection);
  stream_util_settle ();
  g_assert_finalize_object (g_steal_pointer (&f->connection));
}

typedef struct {
  Fixture *f;
  guint    n;
} CountKept;

static gboolean
count_kept_cb (gpointer user_data)
{
  CountKept *count = user_data;

  count->n = count->f->service->kept->len;

  return G_SOURCE_REMOVE;
}

/* As the owner sees it. */
static guint
count_kept (Fixture *f)
{
  CountKept count = { f, 0 };

  stream_util_run (f->loop, count_kept_cb, &count);

  return count.n;
}

static gboolean
drop_kept (gpointer user_data)
{
  g_ptr_array_set_size (((Fixture *) user_data)->service->kept, 0);

  return G_SOURCE_REMOVE;
}

static void
tear_down (Fixture       *f,
           gconstpointer  data)
{
  if (f->connection != NULL)
    hang_up (f);
  io_service_terminate (IO_SERVICE (f->service));
  stream_util_catch_up (f->loop);
  stream_util_run (f->loop, drop_kept, f);
  stream_util_shut_down (f->loop);
  g_assert_cmpint (f->service->n_closed + f->service->n_died, ==, 1);
  g_assert_finalize_object (f->service);
  stream_util_finish_loop (f->loop);
}

/* The owner has it when this call, which was made later, is answered. */
static IOAction *
get_kept (Fixture *f,
          guint    index)
{
  stream_util_assert_works (io_connection_trap (f->connection, 0, 0, NULL, err));
  g_assert_cmpuint (f->service->kept->len, >, index);

  return g_ptr_array_index (f->service->kept, index);
}

typedef struct {
  Fixture  *f;
  void    (*func) (Fixture *f, IOAction *action);
  IOAction *action;
} OnLoop;

static gboolean
on_loop_cb (gpointer user_data)
{
  OnLoop *on_loop = user_data;

  on_loop->func (on_loop->f, on_loop->action);

  return G_SOURCE_REMOVE;
}

/* In the thread of the owner, or in this one. */
static void
run (Fixture  *f,
     gboolean  here,
     void    (*func) (Fixture *f, IOAction *action),
     IOAction *action)
{
  OnLoop on_loop = { f, func, action };

  if (here)
    func (f, action);
  else
    stream_util_run (f->loop, on_loop_cb, &on_loop);
}

static void
complete_all (Fixture  *f,
              IOAction *action)
{
  guint64 scalars[16];
  g_autoptr (GBytes) structure = methods_new_bytes (10000);
  g_autoptr (GError) error = NULL;

  for (guint64 i = 0; i < 16; i++)
    scalars[i] = i * i;
  for (guint32 i = 1; i <= 5; i++)
    stream_util_assert_works (io_action_report_progress (action, g_variant_new_uint32 (i), err));
  g_assert_false (io_action_is_completed (action));
  g_assert_true (io_action_complete (action, scalars, 16, structure, &error));
  g_assert_no_error (error);
  g_assert_true (io_action_is_completed (action));
  g_assert_false (io_action_is_cancelled (action));

  /* Once. */
  stream_util_assert_fails (io_action_complete (action, NULL, 0, NULL, err), IO_STREAM_ERROR_ABORTED);
  stream_util_assert_fails (io_action_report_progress (action, g_variant_new_uint32 (9), err),
                            IO_STREAM_ERROR_ABORTED);
  error = g_error_new_literal (IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY, "Late");
  g_assert_false (io_action_fail (action, error));
}

static void
test_complete (Fixture       *f,
               gconstpointer  data)
{
  gboolean here = GPOINTER_TO_INT (data);
  g_auto (MethodsAnswer) answer = { 0 };
  g_autoptr (GBytes) structure = methods_new_bytes (10000);
  guint selector;
  gboolean completed, cancelled;
  IOAction *action;

  methods_start (f->connection, METHOD_KEEP, NULL, 0, structure, NULL, &answer);
  while (count_kept (f) == 0)
    {
      g_main_context_iteration (NULL, FALSE);
      stream_util_catch_up (f->loop);
    }
  action = get_kept (f, 0);
  g_object_get (action, "selector", &selector, "completed", &completed, "cancelled", &cancelled, NULL);
  g_assert_cmpuint (selector, ==, METHOD_KEEP);
  g_assert_false (completed || cancelled);
  run (f, here, complete_all, action);
  methods_finish (&answer);

  g_assert_no_error (answer.error);
  g_assert_cmpuint (answer.n_scalars, ==, 16);
  for (guint64 i = 0; i < 16; i++)
    g_assert_cmpuint (answer.scalars[i], ==, i * i);
  g_assert_true (g_bytes_equal (answer.structure, structure));
  g_assert_cmpuint (answer.n_progress, ==, 5);
  g_assert_cmpuint (answer.last_progress, ==, 5);
  stream_util_settle ();
  g_assert_cmpuint (answer.n_destroyed, ==, 1);
  stream_util_run (f->loop, drop_kept, f);
  g_assert_cmpint (f->service->n_aborted, ==, 0);
}

static void
complete_typed (Fixture  *f,
                IOAction *action)
{
  g_autoptr (GBytes) bytes = methods_new_bytes (200000);

  stream_util_assert_fails (io_action_complete (action, NULL, 0, NULL, err), IO_STREAM_ERROR_BAD_ARGUMENT);
  stream_util_assert_works (io_action_report_progress (action, g_variant_new_uint32 (1), err));
  stream_util_assert_works (io_action_complete_variant (action,
                                                        g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING,
                                                                                  bytes, TRUE), err));
  stream_util_assert_fails (io_action_complete_variant (action, g_variant_new_uint32 (1), err),
                            IO_STREAM_ERROR_ABORTED);
}

static void
test_typed (Fixture       *f,
            gconstpointer  data)
{
  g_auto (MethodsAnswer) answer = { 0 };

  methods_start_typed (f->connection, TYPED_KEEP, g_variant_new_string ("hello"), NULL, &answer);
  run (f, GPOINTER_TO_INT (data), complete_typed, get_kept (f, 0));
  methods_finish (&answer);
  g_assert_no_error (answer.error);
  g_assert_cmpuint (g_variant_n_children (answer.value), ==, 200000);
  g_assert_cmpuint (answer.n_progress, ==, 1);
}

/* The method answers at once. */
static void
test_at_once (Fixture       *f,
              gconstpointer  data)
{
  MethodsAnswer answers[6] = { { 0 } };
  guint64 scalars[3] = { 1, 2, 3 };
  g_autoptr (GBytes) large = methods_new_bytes (100000);

  methods_start (f->connection, METHOD_ECHO, scalars, 3, large, NULL, &answers[0]);
  methods_start (f->connection, METHOD_COMPLETE_AND_FAIL, NULL, 0, NULL, NULL, &answers[1]);
  methods_start (f->connection, METHOD_FAIL, NULL, 0, NULL, NULL, &answers[2]);
  methods_start_typed (f->connection, TYPED_ECHO, g_variant_new_string ("x"), NULL, &answers[3]);
  methods_start_typed (f->connection, TYPED_FAIL, NULL, NULL, &answers[4]);
  methods_start (f->connection, METHOD_FAIL_SILENTLY, NULL, 0, NULL, NULL, &answers[5]);
  for (guint i = 0; i < 6; i++)
    methods_finish (&answers[i]);

  g_assert_no_error (answers[0].error);
  g_assert_cmpuint (answers[0].n_scalars, ==, 3);
  g_assert_true (g_bytes_equal (answers[0].structure, large));
  g_assert_no_error (answers[1].error);
  g_assert_error (answers[2].error, IO_STREAM_ERROR, IO_STREAM_ERROR_DEVICE_ERROR);
  g_assert_no_error (answers[3].error);
  g_assert_cmpstr (g_variant_get_string (answers[3].value, NULL), ==, "x");
  g_assert_error (answers[4].error, IO_STREAM_ERROR, IO_STREAM_ERROR_DEVICE_ERROR);
  g_assert_error (answers[5].error, IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED);
  stream_util_settle ();
  for (guint i = 0; i < 6; i++)
    {
      g_assert_cmpuint (answers[i].n_destroyed, ==, 1);
      methods_answer_clear (&answers[i]);
    }
}

static void
check_refused (Fixture *f,
               guint    selector,
               guint    n_scalars,
               int      code)
{
  guint64 scalars[17] = { 0 };
  g_auto (MethodsAnswer) answer = { 0 };

  methods_start (f->connection, selector, scalars, n_scalars, NULL, NULL, &answer);
  g_assert_false (answer.done);
  methods_finish (&answer);
  g_assert_error (answer.error, IO_STREAM_ERROR, code);
  stream_util_settle ();
}

static void
test_refused (Fixture       *f,
              gconstpointer  data)
{
  g_auto (MethodsAnswer) answer = { 0 };

  check_refused (f, N_METHODS, 0, IO_STREAM_ERROR_BAD_ARGUMENT);
  check_refused (f, METHOD_SUM, 2, IO_STREAM_ERROR_BAD_ARGUMENT);
  check_refused (f, METHOD_EMPTY, 0, IO_STREAM_ERROR_NO_COMPLETION);
  check_refused (f, METHOD_ECHO, 17, IO_STREAM_ERROR_BAD_ARGUMENT);
  methods_start_typed (f->connection, 99, NULL, NULL, &answer);
  methods_finish (&answer);
  g_assert_error (answer.error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
}

/* Dropped without an answer: at once, later, and in another thread. */
static void
drop_first (Fixture  *f,
            IOAction *action)
{
  g_ptr_array_remove_index (f->service->kept, 0);
}

static void
test_dropped (Fixture       *f,
              gconstpointer  data)
{
  g_auto (MethodsAnswer) at_once = { 0 };
  g_auto (MethodsAnswer) later = { 0 };

  methods_start_typed (f->connection, TYPED_NOTHING, NULL, NULL, &at_once);
  methods_finish (&at_once);
  g_assert_error (at_once.error, IO_STREAM_ERROR, IO_STREAM_ERROR_ABORTED);

  methods_start (f->connection, METHOD_KEEP, NULL, 0, NULL, NULL, &later);
  get_kept (f, 0);
  run (f, GPOINTER_TO_INT (data), drop_first, NULL);
  methods_finish (&later);
  g_assert_error (later.error, IO_STREAM_ERROR, IO_STREAM_ERROR_ABORTED);
  g_assert_cmpint (f->service->n_aborted, ==, 0);
}

static void
complete_late (Fixture  *f,
               IOAction *action)
{
  g_assert_true (io_action_is_cancelled (action));
  g_assert_null (io_action_get_client (action));
  stream_util_assert_fails (io_action_report_progress (action, g_variant_new_uint32 (1), err),
                            IO_STREAM_ERROR_ABORTED);
  stream_util_assert_fails (io_action_complete (action, NULL, 0, NULL, err), IO_STREAM_ERROR_ABORTED);
}

static void
test_cancel (Fixture       *f,
             gconstpointer  data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_auto (MethodsAnswer) answer = { 0 };
  g_auto (MethodsAnswer) other = { 0 };
  IOAction *action;

  methods_start (f->connection, METHOD_KEEP, NULL, 0, NULL, cancellable, &answer);
  methods_start (f->connection, METHOD_KEEP, NULL, 0, NULL, NULL, &other);
  action = get_kept (f, 0);
  g_cancellable_cancel (cancellable);
  methods_finish (&answer);
  g_assert_error (answer.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  /* The owner has heard of it when it answers this. */
  g_assert_true (get_kept (f, 0) == action);
  g_assert_cmpint (f->service->n_aborted, ==, 1);
  run (f, GPOINTER_TO_INT (data), complete_late, action);

  run (f, FALSE, complete_all, get_kept (f, 1));
  methods_finish (&other);
  g_assert_no_error (other.error);
  g_assert_cmpint (f->service->n_aborted, ==, 1);
}

static void
test_cancelled_before (Fixture       *f,
                       gconstpointer  data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_auto (MethodsAnswer) answer = { 0 };

  g_cancellable_cancel (cancellable);
  methods_start (f->connection, METHOD_KEEP, NULL, 0, NULL, cancellable, &answer);
  methods_finish (&answer);
  g_assert_error (answer.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  stream_util_catch_up (f->loop);
  g_assert_cmpuint (f->service->kept->len, ==, 0);
}

/* Cancelled and answered at the same time: one of them. */
static void
test_cancel_race (Fixture       *f,
                  gconstpointer  data)
{
  guint n = g_getenv ("IOSTREAM_TEST_VALGRIND") != NULL ? 20 : 500, n_cancelled = 0;

  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      g_auto (MethodsAnswer) answer = { 0 };

      methods_start (f->connection, METHOD_KEEP, NULL, 0, NULL, cancellable, &answer);
      get_kept (f, 0);
      if (i % 2 == 0)
        {
          g_autoptr (IOAction) action = g_ptr_array_steal_index (f->service->kept, 0);

          g_cancellable_cancel (cancellable);
          io_action_complete (action, NULL, 0, NULL, NULL);
        }
      else
        {
          run (f, TRUE, drop_first, NULL);
          g_cancellable_cancel (cancellable);
        }
      methods_finish (&answer);
      n_cancelled += answer.error != NULL && answer.error->domain == G_IO_ERROR;
    }
  g_test_message ("%u of %u were cancelled", n_cancelled, n);
}

/* The client goes with calls that have no answer. */
static void
test_client_gone (Fixture       *f,
                  gconstpointer  data)
{
  MethodsAnswer answers[10] = { { 0 } };

  for (guint i = 0; i < 10; i++)
    methods_start (f->connection, METHOD_KEEP, NULL, 0, NULL, NULL, &answers[i]);
  get_kept (f, 9);
  hang_up (f);
  for (guint i = 0; i < 10; i++)
    {
      g_assert_true (answers[i].done);
      g_assert_error (answers[i].error, IO_STREAM_ERROR, IO_STREAM_ERROR_ABORTED);
      g_assert_cmpuint (answers[i].n_destroyed, ==, 1);
      methods_answer_clear (&answers[i]);
    }
  while (g_atomic_int_get (&f->service->n_closed) == 0)
    stream_util_catch_up (f->loop);
  g_assert_cmpint (g_atomic_int_get (&f->service->n_aborted), ==, 10);
  run (f, GPOINTER_TO_INT (data), complete_late, g_ptr_array_index (f->service->kept, 0));
}

/* The service ends with calls that have no answer. */
static void
test_terminate (Fixture       *f,
                gconstpointer  data)
{
  g_auto (MethodsAnswer) answer = { 0 };

  methods_start (f->connection, METHOD_KEEP, NULL, 0, NULL, NULL, &answer);
  get_kept (f, 0);
  io_service_terminate (IO_SERVICE (f->service));
  methods_finish (&answer);
  g_assert_error (answer.error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
  stream_util_catch_up (f->loop);
  g_assert_cmpint (f->service->n_aborted, ==, 1);
}

static void
terminate_client (Fixture  *f,
                  IOAction *action)
{
  io_user_client_terminate (io_action_get_client (action), NULL);
  g_assert_cmpint (f->service->n_aborted, ==, 1);
  complete_late (f, action);
}

/* The method ends the connection while it has the action. */
static void
test_terminate_inside (Fixture       *f,
                       gconstpointer  data)
{
  g_auto (MethodsAnswer) answer = { 0 };
  guint selector = GPOINTER_TO_UINT (data);

  if (selector == METHOD_TERMINATE)
    methods_start (f->connection, METHOD_TERMINATE, NULL, 0, NULL, NULL, &answer);
  else if (selector == 1000)
    methods_start_typed (f->connection, TYPED_TERMINATE, NULL, NULL, &answer);
  else
    {
      methods_start (f->connection, METHOD_KEEP, NULL, 0, NULL, NULL, &answer);
      run (f, FALSE, terminate_client, get_kept (f, 0));
    }
  methods_finish (&answer);
  g_assert_error (answer.error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE);
}

/* One more than there can be; and it goes on when there are fewer. */
static void
test_outstanding (Fixture       *f,
                  gconstpointer  data)
{
  g_autofree MethodsAnswer *answers = g_new0 (MethodsAnswer, IO_ACTION_MAX_OUTSTANDING + 1);
  MethodsAnswer *last = &answers[IO_ACTION_MAX_OUTSTANDING];

  for (guint i = 0; i < IO_ACTION_MAX_OUTSTANDING; i++)
    methods_start (f->connection, METHOD_KEEP, NULL, 0, NULL, NULL, &answers[i]);
  get_kept (f, IO_ACTION_MAX_OUTSTANDING - 1);
  methods_start (f->connection, METHOD_KEEP, NULL, 0, NULL, NULL, last);
  methods_finish (last);
  g_assert_error (last->error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES);
  methods_answer_clear (last);

  /* Others are not in the way. */
  stream_util_assert_works (io_connection_trap (f->connection, 0, 0, NULL, err));
  run (f, FALSE, drop_first, NULL);
  methods_finish (&answers[0]);
  methods_start (f->connection, METHOD_ECHO, NULL, 0, NULL, NULL, last);
  methods_finish (last);
  g_assert_no_error (last->error);

  stream_util_run (f->loop, drop_kept, f);
  for (guint i = 1; i < IO_ACTION_MAX_OUTSTANDING; i++)
    {
      methods_finish (&answers[i]);
      g_assert_error (answers[i].error, IO_STREAM_ERROR, IO_STREAM_ERROR_ABORTED);
    }
  for (guint i = 0; i <= IO_ACTION_MAX_OUTSTANDING; i++)
    methods_answer_clear (&answers[i]);
}

/* Large arguments from several calls at once do not overwrite each other. */
static void
test_large_at_once (Fixture       *f,
                    gconstpointer  data)
{
  MethodsAnswer answers[20] = { { 0 } };

  for (guint i = 0; i < 20; i++)
    {
      g_autoptr (GBytes) large = methods_new_bytes (10000 + i * 9999);

      methods_start (f->connection, METHOD_ECHO, NULL, 0, large, NULL, &answers[i]);
      if (i % 5 == 4)
        {
          g_autoptr (GVariant) text = g_variant_ref_sink (g_variant_new_take_string (g_strnfill (50000, 'x')));
          g_autoptr (GVariant) back = NULL;
          g_autoptr (GError) error = NULL;

          back = io_connection_call (f->connection, TYPED_ECHO, text, NULL, NULL, &error);
          g_assert_no_error (error);
          g_assert_true (g_variant_equal (text, back));
        }
    }
  for (guint i = 0; i < 20; i++)
    {
      g_autoptr (GBytes) large = methods_new_bytes (10000 + i * 9999);

      methods_finish (&answers[i]);
      g_assert_no_error (answers[i].error);
      g_assert_true (g_bytes_equal (large, answers[i].structure));
    }
  stream_util_settle ();
  for (guint i = 0; i < 20; i++)
    methods_answer_clear (&answers[i]);
}

/* Many large answers, before the client can read the first. */
static void
test_large_answers (Fixture       *f,
                    gconstpointer  data)
{
  MethodsAnswer answers[60] = { { 0 } };
  g_autoptr (GBytes) large = methods_new_bytes (10000);

  for (guint i = 0; i < G_N_ELEMENTS (answers); i++)
    methods_start (f->connection, METHOD_KEEP, NULL, 0, NULL, NULL, &answers[i]);
  while (count_kept (f) < G_N_ELEMENTS (answers))
    stream_util_catch_up (f->loop);
  for (guint i = 0; i < G_N_ELEMENTS (answers); i++)
    {
      g_autoptr (GError) error = NULL;

      io_action_complete (g_ptr_array_index (f->service->kept, i), NULL, 0, large, &error);
      g_assert_no_error (error);
    }
  for (guint i = 0; i < G_N_ELEMENTS (answers); i++)
    {
      methods_finish (&answers[i]);
      g_assert_no_error (answers[i].error);
      g_assert_true (g_bytes_equal (large, answers[i].structure));
      methods_answer_clear (&answers[i]);
    }
}

/* The default timeout is not for these. */
static void
test_no_timeout (Fixture       *f,
                 gconstpointer  data)
{
  g_auto (MethodsAnswer) answer = { 0 };

  io_connection_set_timeout (f->connection, 1);
  methods_start (f->connection, METHOD_KEEP, NULL, 0, NULL, NULL, &answer);
  while (count_kept (f) == 0)
    stream_util_catch_up (f->loop);
  for (guint i = 0; i < 10; i++)
    {
      g_usleep (1);
      g_main_context_iteration (NULL, FALSE);
    }
  g_assert_false (answer.done);
  run (f, FALSE, complete_all, g_ptr_array_index (f->service->kept, 0));
  methods_finish (&answer);
  g_assert_no_error (answer.error);
}

static void
report_often (Fixture  *f,
              IOAction *action)
{
  g_autofree char *text = g_strnfill (4000, 'x');
  g_autofree char *too_long = g_strnfill (9000, 'x');

  for (guint i = 0; i < 2000; i++)
    stream_util_assert_works (io_action_report_progress (action, g_variant_new_string (text), err));
  stream_util_assert_fails (io_action_report_progress (action, g_variant_new_string (too_long), err),
                            IO_STREAM_ERROR_MESSAGE_TOO_LARGE);
  g_assert_cmpuint (io_action_get_n_dropped (action), >, 0);
  stream_util_assert_works (io_action_complete (action, NULL, 0, NULL, err));
}

/* The client does not read: what finds no room is dropped, the answer comes. */
static void
test_not_read (Fixture       *f,
               gconstpointer  data)
{
  g_auto (MethodsAnswer) answer = { 0 };
  IOAction *action;

  methods_start (f->connection, METHOD_KEEP, NULL, 0, NULL, NULL, &answer);
  action = get_kept (f, 0);
  run (f, GPOINTER_TO_INT (data), report_often, action);
  methods_finish (&answer);
  g_assert_no_error (answer.error);
  g_assert_cmpuint (answer.n_progress, >, 0);
  g_assert_cmpuint (answer.n_progress + io_action_get_n_dropped (action), <=, 2000);
  g_assert_true (io_connection_is_connected (f->connection));
}

/* No answer can be given to more than was asked for. */
static void
complete_too_much (Fixture  *f,
                   IOAction *action)
{
  guint64 scalars[17] = { 0 };
  g_autoptr (GBytes) structure = methods_new_bytes (9);
  g_autoptr (GBytes) huge = methods_new_bytes (IO_EXTERNAL_METHOD_MAX_STRUCTURE + 1);

  stream_util_assert_fails (io_action_complete (action, scalars, 17, NULL, err),
                            IO_STREAM_ERROR_MESSAGE_TOO_LARGE);
  stream_util_assert_fails (io_action_complete (action, NULL, 0, huge, err),
                            IO_STREAM_ERROR_MESSAGE_TOO_LARGE);
  stream_util_assert_fails (io_action_complete (action, scalars, 3, NULL, err), IO_STREAM_ERROR_NO_SPACE);
  stream_util_assert_fails (io_action_complete (action, NULL, 0, structure, err), IO_STREAM_ERROR_NO_SPACE);
  stream_util_assert_fails (io_action_complete_variant (action, NULL, err), IO_STREAM_ERROR_BAD_ARGUMENT);
  g_assert_false (io_action_is_completed (action));
  stream_util_assert_works (io_action_complete (action, scalars, 2, NULL, err));
}

static void
test_too_much (Fixture       *f,
               gconstpointer  data)
{
  g_auto (MethodsAnswer) answer = { 0 };

  io_connection_call_method_async (f->connection, METHOD_KEEP, NULL, 0, NULL, 2, 8, NULL, NULL, NULL, NULL,
                                   methods_struct_cb, &answer);
  run (f, TRUE, complete_too_much, get_kept (f, 0));
  methods_finish (&answer);
  g_assert_no_error (answer.error);
  g_assert_cmpuint (answer.n_scalars, ==, 2);
}

/* In a child the action is its parent's. */
static void
complete_in_child (gpointer data)
{
  stream_util_assert_fails (io_action_complete (data, NULL, 0, NULL, err), IO_STREAM_ERROR_NOT_OPEN);
  stream_util_assert_fails (io_action_report_progress (data, g_variant_new_uint32 (1), err),
                            IO_STREAM_ERROR_NOT_OPEN);
}

static void
test_fork (Fixture       *f,
           gconstpointer  data)
{
  g_auto (MethodsAnswer) answer = { 0 };
  IOAction *action;

  methods_start (f->connection, METHOD_KEEP, NULL, 0, NULL, NULL, &answer);
  action = get_kept (f, 0);
  run_in_child (complete_in_child, action);
  run (f, FALSE, complete_all, action);
  methods_finish (&answer);
  g_assert_no_error (answer.error);
  g_assert_cmpuint (answer.n_progress, ==, 5);
}

/* The callback of one call makes the next, and the last drops everything. */
typedef struct {
  IOConnection *connection;
  guint         left;
} Chain;

static void
chain_cb (GObject      *source,
          GAsyncResult *result,
          gpointer      user_data)
{
  Chain *chain = user_data;
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;

  value = io_connection_call_finish (IO_CONNECTION (source), result, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_get_uint32 (value), ==, chain->left);
  if (--chain->left > 0)
    io_connection_call_async (chain->connection, TYPED_ECHO, g_variant_new_uint32 (chain->left), NULL, NULL,
                              NULL, NULL, NULL, chain_cb, chain);
  else
    g_clear_object (&chain->connection);
}

static void
test_chain (Fixture       *f,
            gconstpointer  data)
{
  Chain chain = { g_steal_pointer (&f->connection), 20 };

  io_connection_call_async (chain.connection, TYPED_ECHO, g_variant_new_uint32 (20), NULL, NULL, NULL, NULL,
                            NULL, chain_cb, &chain);
  while (chain.connection != NULL)
    g_main_context_iteration (NULL, TRUE);
  while (g_atomic_int_get (&f->service->n_closed) == 0)
    {
      stream_util_settle ();
      stream_util_catch_up (f->loop);
    }
}

#define ADD(path, func) g_test_add ("/action/" path, Fixture, NULL, set_up, func, tear_down)
#define ADD_WITH(path, func, data) \
  g_test_add ("/action/" path, Fixture, GINT_TO_POINTER (data), set_up, func, tear_down)
/* From the thread of the owner, and from another one. */
#define ADD_BOTH(path, func) \
  ADD_WITH (path, func, FALSE); \
  ADD_WITH (path "/other-thread", func, TRUE)

int
main (int   argc,
      char *argv[])
{
  char *dir;
  int status;

  g_test_init (&argc, &argv, NULL);
  dir = stream_util_make_runtime_dir ();
  ADD_BOTH ("complete", test_complete);
  ADD_BOTH ("typed", test_typed);
  ADD ("at-once", test_at_once);
  ADD ("refused", test_refused);
  ADD_BOTH ("dropped", test_dropped);
  ADD_BOTH ("cancel", test_cancel);
  ADD ("cancelled-before", test_cancelled_before);
  ADD ("cancel-race", test_cancel_race);
  ADD_BOTH ("client-gone", test_client_gone);
  ADD ("terminate", test_terminate);
  ADD_WITH ("terminate-inside", test_terminate_inside, METHOD_TERMINATE);
  ADD_WITH ("terminate-inside/typed", test_terminate_inside, 1000);
  ADD_WITH ("terminate-inside/later", test_terminate_inside, 1001);
  ADD ("outstanding", test_outstanding);
  ADD ("large-at-once", test_large_at_once);
  ADD ("large-answers", test_large_answers);
  ADD ("no-timeout", test_no_timeout);
  ADD_BOTH ("not-read", test_not_read);
  ADD ("too-much", test_too_much);
  ADD ("fork", test_fork);
  ADD ("chain", test_chain);
  status = g_test_run ();
  stream_util_remove_runtime_dir (dir);

  return status;
}
