/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tells the thread sanitizer what the locks of GLib order. They are made of
 * futexes inside a library that it cannot see into, so what they guard would
 * be reported as raced for. Linked into the tests of that build only, in front
 * of GLib. */

#include <dlfcn.h>
#include <glib-object.h>
#include <sanitizer/tsan_interface.h>

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

/* Whoever hands work to a context has done what it did before. */
void
(g_main_context_invoke_full) (GMainContext   *context,
                              int             priority,
                              GSourceFunc     function,
                              gpointer        data,
                              GDestroyNotify  notify)
{
  REAL (g_main_context_invoke_full)
  __tsan_release (context);
  real (context, priority, function, data, notify);
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
