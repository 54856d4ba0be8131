/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tells the thread sanitizer what the locks of GLib order. They are made of
 * futexes inside a library that it cannot see into, so what they guard would
 * be reported as raced for. Linked into the tests of that build only, in front
 * of GLib. */

#include <dlfcn.h>
#include <gio/gio.h>
#include <sanitizer/tsan_interface.h>
#include <stdlib.h>

/* Found by each thread that is early; all find the same. */
#define REAL(name) \
  static gpointer found; \
  __typeof__ (&(name)) real = __atomic_load_n (&found, __ATOMIC_RELAXED); \
  if (!real) \
    { \
      real = (__typeof__ (&(name))) dlsym (RTLD_NEXT, #name); \
      __atomic_store_n (&found, (gpointer) real, __ATOMIC_RELAXED); \
    }

#define WRAP_LOCK(name, Type) \
  void \
  (name) (Type *lock) \
  { \
    REAL (name) \
    real (lock); \
    __tsan_acquire (lock); \
  }

#define WRAP_TRYLOCK(name, Type) \
  gboolean \
  (name) (Type *lock) \
  { \
    gboolean locked; \
    REAL (name) \
    locked = real (lock); \
    if (locked) \
      __tsan_acquire (lock); \
    return locked; \
  }

#define WRAP_UNLOCK(name, Type) \
  void \
  (name) (Type *lock) \
  { \
    REAL (name) \
    __tsan_release (lock); \
    real (lock); \
  }

WRAP_LOCK (g_mutex_lock, GMutex)
WRAP_TRYLOCK (g_mutex_trylock, GMutex)
WRAP_UNLOCK (g_mutex_unlock, GMutex)
WRAP_LOCK (g_rec_mutex_lock, GRecMutex)
WRAP_TRYLOCK (g_rec_mutex_trylock, GRecMutex)
WRAP_UNLOCK (g_rec_mutex_unlock, GRecMutex)

void
(g_cond_wait) (GCond  *cond,
               GMutex *mutex)
{
  REAL (g_cond_wait)
  __tsan_release (mutex);
  real (cond, mutex);
  __tsan_acquire (mutex);
}

gboolean
(g_cond_wait_until) (GCond  *cond,
                     GMutex *mutex,
                     gint64  end_time)
{
  gboolean signalled;
  REAL (g_cond_wait_until)

  __tsan_release (mutex);
  signalled = real (cond, mutex, end_time);
  __tsan_acquire (mutex);

  return signalled;
}

/* The last reference may go in another thread than the last use. */
#define WRAP_UNREF(name) \
  void \
  (name) (gpointer object) \
  { \
    REAL (name) \
    __tsan_release (object); \
    __tsan_acquire (object); \
    real (object); \
  }

WRAP_UNREF (g_object_unref)
WRAP_UNREF (g_atomic_rc_box_release)

void
(g_atomic_rc_box_release_full) (gpointer       object,
                                GDestroyNotify clear)
{
  REAL (g_atomic_rc_box_release_full)
  __tsan_release (object);
  __tsan_acquire (object);
  real (object, clear);
}

gboolean
(g_atomic_ref_count_dec) (gatomicrefcount *count)
{
  REAL (g_atomic_ref_count_dec)
  __tsan_release (count);
  __tsan_acquire (count);
  return real (count);
}

/* Whoever hands a function to a context has done what it did before that. */
typedef struct {
  GSourceFunc    function;
  gpointer       data;
  GDestroyNotify notify;
} Call;

static gboolean
call_cb (gpointer user_data)
{
  Call *call = user_data;

  __tsan_acquire (call);
  return call->function (call->data);
}

static void
call_free (gpointer user_data)
{
  Call *call = user_data;

  __tsan_acquire (call);
  if (call->notify != NULL)
    call->notify (call->data);
  free (call);
}

void
(g_main_context_invoke_full) (GMainContext   *context,
                              int             priority,
                              GSourceFunc     function,
                              gpointer        data,
                              GDestroyNotify  notify)
{
  Call *call = malloc (sizeof *call);
  REAL (g_main_context_invoke_full);

  *call = (Call) { function, data, notify };
  __tsan_release (call);
  real (context, priority, call_cb, call, call_free);
}

void
(g_main_context_invoke) (GMainContext *context,
                         GSourceFunc   function,
                         gpointer      data)
{
  g_main_context_invoke_full (context, G_PRIORITY_DEFAULT, function, data, NULL);
}

guint
(g_source_attach) (GSource      *source,
                   GMainContext *context)
{
  REAL (g_source_attach)
  __tsan_release (source);
  return real (source, context);
}

void
(g_once_init_leave) (volatile void *location,
                     gsize          result)
{
  REAL (g_once_init_leave)
  __tsan_release ((void *) location);
  real (location, result);
}

/* Packets between two threads of one process order what they do. Which socket
 * is at the other end cannot be asked for, so one word stands for all. A packet
 * that is there to be read was sent before its reader asked for the
 * descriptor, and one that is sent without GIO follows such a question. */
static char packets;

gssize
(g_socket_send_message) (GSocket                *socket,
                         GSocketAddress         *address,
                         GOutputVector          *vectors,
                         int                     n_vectors,
                         GSocketControlMessage **messages,
                         int                     n_messages,
                         int                     flags,
                         GCancellable           *cancellable,
                         GError                **error)
{
  REAL (g_socket_send_message);
  __tsan_release (&packets);
  return real (socket, address, vectors, n_vectors, messages, n_messages, flags,
               cancellable, error);
}

gssize
(g_socket_receive_message) (GSocket                 *socket,
                            GSocketAddress         **address,
                            GInputVector            *vectors,
                            int                      n_vectors,
                            GSocketControlMessage ***messages,
                            int                     *n_messages,
                            int                     *flags,
                            GCancellable            *cancellable,
                            GError                 **error)
{
  gssize size;
  REAL (g_socket_receive_message);

  size = real (socket, address, vectors, n_vectors, messages, n_messages, flags,
               cancellable, error);
  __tsan_acquire (&packets);

  return size;
}

int
(g_socket_get_fd) (GSocket *socket)
{
  REAL (g_socket_get_fd);
  __tsan_acquire (&packets);
  __tsan_release (&packets);
  return real (socket);
}
