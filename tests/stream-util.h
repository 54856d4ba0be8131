/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the tests of streams share: an owner that a work loop serves, a client
 * in this thread, and a runtime directory of their own.
 *
 * Run with IOSTREAM_TEST_LOCAL=1 they test the other way to be a client: owner
 * and client in one thread, and no work loop. What is said to run on the loop
 * then runs at once. */

#pragma once

#include <libiostream/iostream.h>

#include "memory-util.h"

#include <glib/gstdio.h>

#define STREAM_UTIL_TIMEOUT (20 * G_USEC_PER_SEC)

/* Something to wait for that happens in another thread. */
typedef struct {
  GMutex lock;
  GCond  cond;
  guint  count;
} StreamCounter;

/* What signal handlers count stands here, since they are called until the end
 * of the tear-down. */
typedef struct {
  IOWorkLoop         *loop;
  IOStream           *stream;
  IOStreamConnection *client;
  guint               n_fds;

  int                 n_owner;
  int                 n_client;
  StreamCounter       opened;
  StreamCounter       closed;
  StreamCounter       died;
  StreamCounter       terminated;
  StreamCounter       input;
} StreamPair;

static inline gboolean
stream_util_is_local (void)
{
  return g_getenv ("IOSTREAM_TEST_LOCAL") != NULL;
}

/* A test that has nothing to say when owner and client are one thread. */
#define stream_util_skip_if_local(why) \
  if (stream_util_is_local ()) \
    { \
      g_test_skip ("in one process: " why); \
      return; \
    }

static inline void
stream_counter_add (StreamCounter *counter)
{
  g_mutex_lock (&counter->lock);
  counter->count++;
  g_cond_broadcast (&counter->cond);
  g_mutex_unlock (&counter->lock);
}

static inline guint
stream_counter_get (StreamCounter *counter)
{
  guint count;

  g_mutex_lock (&counter->lock);
  count = counter->count;
  g_mutex_unlock (&counter->lock);

  return count;
}

/* Iterates the main context until @expression holds. */
#define stream_util_iterate_until(expression) \
  G_STMT_START { \
    gint64 deadline_ = g_get_monotonic_time () + STREAM_UTIL_TIMEOUT; \
    guint id_ = g_timeout_add (10, stream_util_tick_cb, NULL); \
    while (!(expression)) \
      { \
        g_assert_cmpint (g_get_monotonic_time (), <, deadline_); \
        g_main_context_iteration (NULL, TRUE); \
      } \
    g_source_remove (id_); \
  } G_STMT_END

static inline gboolean
stream_util_tick_cb (gpointer user_data)
{
  return G_SOURCE_CONTINUE;
}

static inline void
stream_util_settle (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

static inline void
stream_counter_wait (StreamCounter *counter,
                     guint          count)
{
  gint64 deadline = g_get_monotonic_time () + STREAM_UTIL_TIMEOUT;

  if (stream_util_is_local ())
    {
      stream_util_iterate_until (stream_counter_get (counter) >= count);
      return;
    }

  g_mutex_lock (&counter->lock);
  while (counter->count < count)
    g_assert_true (g_cond_wait_until (&counter->cond, &counter->lock, deadline));
  g_mutex_unlock (&counter->lock);
}

/* The work loop of an owner, or %NULL if this thread serves it. */
static inline IOWorkLoop *
stream_util_new_loop (void)
{
  return stream_util_is_local () ? NULL : io_work_loop_new ("owner");
}

static inline void
stream_util_run (IOWorkLoop  *loop,
                 GSourceFunc  func,
                 gpointer     data)
{
  if (loop != NULL)
    io_work_loop_run_action (loop, func, data);
  else
    func (data);
}

static inline gboolean
stream_util_do_nothing_cb (gpointer data)
{
  return G_SOURCE_REMOVE;
}

/* After this the owner has done all it was asked for before. The first time may
 * fall into a turn of the loop that had looked for work already. */
static inline void
stream_util_catch_up (IOWorkLoop *loop)
{
  if (loop == NULL)
    stream_util_settle ();
  for (guint i = 0; i < 2; i++)
    stream_util_run (loop, stream_util_do_nothing_cb, NULL);
}

/* A child inherits the locks that other threads hold when it is made, those of
 * GLib as well, and nobody gives them back there. So the owner stands still
 * meanwhile where it holds none. */
typedef struct {
  GMutex   lock;
  GCond    cond;
  gboolean parked;
  gboolean goes_on;
} StreamPark;

static inline gboolean
stream_util_park_cb (gpointer data)
{
  StreamPark *park = data;

  g_mutex_lock (&park->lock);
  park->parked = TRUE;
  g_cond_broadcast (&park->cond);
  while (!park->goes_on)
    g_cond_wait (&park->cond, &park->lock);
  park->parked = FALSE;
  g_cond_broadcast (&park->cond);
  g_mutex_unlock (&park->lock);

  return G_SOURCE_REMOVE;
}

static inline void
stream_util_park (IOWorkLoop *loop,
                  StreamPark *park)
{
  g_autoptr (GSource) source = NULL;

  memset (park, 0, sizeof *park);
  if (loop == NULL)
    return;

  source = g_idle_source_new ();
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, stream_util_park_cb, park, NULL);
  g_mutex_lock (&park->lock);
  g_source_attach (source, io_work_loop_get_context (loop));
  while (!park->parked)
    g_cond_wait (&park->cond, &park->lock);
  g_mutex_unlock (&park->lock);
}

static inline void
stream_util_go_on (StreamPark *park)
{
  g_mutex_lock (&park->lock);
  park->goes_on = TRUE;
  g_cond_broadcast (&park->cond);
  while (park->parked)
    g_cond_wait (&park->cond, &park->lock);
  g_mutex_unlock (&park->lock);
}

static inline gboolean
stream_util_has_clients_cb (gpointer service)
{
  GList *clients = io_service_get_clients (service);
  gboolean has_some = clients != NULL;

  g_list_free_full (clients, g_object_unref);

  return has_some;
}

/* After this the owner knows of the end of its last client, and has nothing
 * left that was for it. */
static inline void
stream_util_wait_unused (IOWorkLoop *loop,
                         IOService  *service)
{
  gint64 deadline = g_get_monotonic_time () + STREAM_UTIL_TIMEOUT;

  while (io_work_loop_run_action (loop, stream_util_has_clients_cb, service))
    g_assert_cmpint (g_get_monotonic_time (), <, deadline);
  stream_util_catch_up (loop);
}

static inline void
stream_util_shut_down (IOWorkLoop *loop)
{
  if (loop != NULL)
    io_work_loop_shut_down (loop);
  else
    stream_util_settle ();
}

static inline void
stream_util_finish_loop (IOWorkLoop *loop)
{
  if (loop != NULL)
    g_assert_finalize_object (loop);
}

/* Runs @func in the thread of the owner. */
static inline void
stream_util_on_loop (StreamPair  *pair,
                     GSourceFunc  func,
                     gpointer     data)
{
  stream_util_run (pair->loop, func, data);
}

#define stream_util_assert_fails(expression, error_code) \
  G_STMT_START { \
    GError *error_ = NULL; \
    GError **err = &error_; \
    g_assert_false (expression); \
    g_assert_error (error_, IO_STREAM_ERROR, (error_code)); \
    g_assert_cmpstr (error_->message, !=, ""); \
    g_error_free (error_); \
  } G_STMT_END

#define stream_util_assert_works(expression) \
  G_STMT_START { \
    GError *error_ = NULL; \
    GError **err = &error_; \
    gboolean works_ = (expression) ? TRUE : FALSE; \
    g_assert_no_error (error_); \
    g_assert_true (works_); \
  } G_STMT_END

static inline char *
stream_util_make_runtime_dir (void)
{
  g_autoptr (GError) error = NULL;
  char *dir = g_dir_make_tmp ("iostream-test-XXXXXX", &error);

  g_assert_no_error (error);
  g_setenv ("IOSTREAM_RUNTIME_DIR", dir, TRUE);

  return dir;
}

/* Nothing must be left in it. */
static inline void
stream_util_remove_runtime_dir (char *dir)
{
  g_assert_cmpint (g_rmdir (dir), ==, 0);
  g_free (dir);
}

static inline IOStream *
stream_util_new_stream (IOWorkLoop   *loop,
                        IOStreamMode  mode,
                        guint         count,
                        guint64       data_size,
                        guint64       control_size)
{
  g_autoptr (GError) error = NULL;
  IOStream *stream;

  stream = g_initable_new (IO_TYPE_STREAM, NULL, &error,
                           "name", "test", "work-loop", loop, "mode", mode,
                           "buffer-count", count, "data-size", data_size,
                           "control-size", control_size, NULL);
  g_assert_no_error (error);
  g_assert_true (io_service_register (IO_SERVICE (stream), &error));
  g_assert_no_error (error);

  return stream;
}

/* Not yet open. */
static inline IOStreamConnection *
stream_util_connect (IOStream  *stream,
                     GError   **error)
{
  if (stream_util_is_local ())
    return io_stream_connection_new_for_stream (stream, error);

  return io_stream_connection_new_for_name (io_service_get_name (IO_SERVICE (stream)), NULL, error);
}

/* The same for any service. */
static inline IOConnection *
stream_util_connect_plain (IOService  *service,
                           GError    **error)
{
  if (stream_util_is_local ())
    return io_connection_new_for_service (service, error);

  return io_connection_new_for_name (io_service_get_name (service), NULL, error);
}

static inline IOStreamConnection *
stream_util_open_stream (IOStream *stream)
{
  g_autoptr (GError) error = NULL;
  IOStreamConnection *client = stream_util_connect (stream, &error);

  g_assert_no_error (error);
  g_assert_true (io_connection_open (IO_CONNECTION (client), 0, NULL, &error));
  g_assert_no_error (error);
  g_assert_nonnull (client);

  return client;
}

/* By name, and so in another thread or process. */
static inline IOStreamConnection *
stream_util_open (const char *name)
{
  g_autoptr (GError) error = NULL;
  IOStreamConnection *client = io_stream_connection_open_name (name, NULL, &error);

  g_assert_no_error (error);
  g_assert_nonnull (client);

  return client;
}

static inline void
stream_util_start (IOStreamConnection *client)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (io_stream_connection_start (client, NULL, &error));
  g_assert_no_error (error);
}

static inline void
stream_util_close (IOStreamConnection *client)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (io_connection_close (IO_CONNECTION (client), NULL, &error));
  g_assert_no_error (error);
}

static inline void
stream_util_set_up (StreamPair   *pair,
                    IOStreamMode  mode)
{
  g_main_context_iteration (NULL, FALSE);
  pair->n_fds = count_fds ();
  pair->loop = stream_util_new_loop ();
  pair->stream = stream_util_new_stream (pair->loop, mode, 4, 10000, 64);
  pair->client = stream_util_open_stream (pair->stream);
}

static inline void
stream_util_tear_down (StreamPair *pair)
{
  if (pair->client != NULL)
    {
      io_connection_hang_up (IO_CONNECTION (pair->client));
      while (g_main_context_iteration (NULL, FALSE))
        ;
      g_assert_finalize_object (g_steal_pointer (&pair->client));
    }
  if (pair->stream != NULL)
    {
      io_service_terminate (IO_SERVICE (pair->stream));
      stream_util_shut_down (pair->loop);
      g_assert_finalize_object (g_steal_pointer (&pair->stream));
    }
  stream_util_finish_loop (g_steal_pointer (&pair->loop));
  g_assert_cmpuint (count_fds (), ==, pair->n_fds);
}

/* Sends one buffer with this byte everywhere. */
static inline void
stream_util_send (IOStream *stream,
                  guint8    value)
{
  g_autoptr (GError) error = NULL;
  IOStreamBuffer *buffer = io_stream_acquire_buffer (stream, &error);
  gsize length;
  guint8 *data;

  g_assert_no_error (error);
  data = io_stream_buffer_peek_data (buffer, &length);
  memset (data, value, length);
  g_assert_true (io_stream_send_buffer (stream, buffer, &error));
  g_assert_no_error (error);
}

static inline void
stream_util_take (IOStreamConnection       *client,
                  guint8                    value,
                  IOStreamBufferQueueEntry *entry)
{
  g_autoptr (GError) error = NULL;
  const guint8 *data;
  gsize length;

  g_assert_true (io_stream_connection_wait (client, 10 * G_USEC_PER_SEC, NULL, &error));
  g_assert_no_error (error);
  g_assert_true (io_stream_connection_dequeue_output_entry (client, entry));
  data = io_stream_connection_peek_data_buffer (client, entry->buffer_id, &length);
  g_assert_cmpuint (entry->data_length, ==, length);
  g_assert_cmpuint (data[0], ==, value);
  g_assert_cmpuint (data[length - 1], ==, value);
}

static inline void
stream_util_return (IOStreamConnection             *client,
                    const IOStreamBufferQueueEntry *entry)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (io_stream_connection_return_entry (client, entry, &error));
  g_assert_no_error (error);
}

/* Several clients of one stream, each NULL before it comes. */

static inline void
stream_util_hang_up (IOStreamConnection **client)
{
  io_connection_hang_up (IO_CONNECTION (*client));
  stream_util_settle ();
  g_assert_finalize_object (g_steal_pointer (client));
}

static inline void
stream_util_end (IOWorkLoop          *loop,
                 IOStream            *stream,
                 IOStreamConnection **clients,
                 guint                n_clients,
                 guint                n_fds)
{
  for (guint i = 0; i < n_clients; i++)
    if (clients[i] != NULL)
      stream_util_hang_up (&clients[i]);
  io_service_terminate (IO_SERVICE (stream));
  stream_util_shut_down (loop);
  g_assert_finalize_object (stream);
  stream_util_finish_loop (loop);
  g_assert_cmpuint (count_fds (), ==, n_fds);
}

/* Connects if it has not come yet. */
static inline gboolean
stream_util_try_open (IOStream            *stream,
                      IOStreamConnection **client,
                      IOStreamDelivery     delivery,
                      guint                options,
                      GError             **error)
{
  g_autoptr (GError) local_error = NULL;

  if (*client == NULL)
    *client = stream_util_connect (stream, &local_error);
  g_assert_no_error (local_error);
  io_stream_connection_set_delivery (*client, delivery);
  g_assert_cmpint (io_stream_connection_get_delivery (*client), ==, delivery);

  return io_connection_open (IO_CONNECTION (*client), options, NULL, error);
}

static inline void
stream_util_assert_empty (IOStreamConnection *client)
{
  IOStreamBufferQueueEntry entry;

  g_assert_false (io_stream_connection_dequeue_output_entry (client, &entry));
}
