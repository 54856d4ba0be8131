/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-revocation-private.h"

static void
test_numbers (void)
{
  g_autofree IOAbiRegion *page = g_malloc0 (sizeof (IOAbiRegion));
  static const guint32 numbers[] = { 0, 5, 0x7fffffff, 0x80000000, 0xffffffff };

  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    {
      guint32 before = numbers[i];

      atomic_store (&page->revoked_before, 0);
      g_assert_false (_io_revocation_covers (page, before));
      g_assert_false (_io_revocation_covers (page, before - 1));
      g_assert_false (_io_revocation_is_stale (page, before + 0x7fffffff));

      _io_revocation_store (page, before);
      g_assert_true (_io_revocation_covers (page, before - 1));
      g_assert_true (_io_revocation_covers (page, before - 0x40000000));
      g_assert_false (_io_revocation_covers (page, before));
      g_assert_false (_io_revocation_covers (page, before + 0x40000000));

      g_assert_false (_io_revocation_is_stale (page, before));
      g_assert_false (_io_revocation_is_stale (page, before + IO_REVOCATION_SPAN));
      g_assert_true (_io_revocation_is_stale (page, before + IO_REVOCATION_SPAN + 1));
      _io_revocation_store (page, before + 1);
      g_assert_false (_io_revocation_is_stale (page, before + IO_REVOCATION_SPAN + 1));
    }
}

/* One thread fills a buffer again and again, and revokes it before; the other
 * copies it. No copy that it believes is of something else. */

#define N_WORDS 64

typedef struct {
  IOAbiRegion     *page;
  _Atomic guint32  lent;
  _Atomic guint32  words[N_WORDS];
  gboolean         done;  /* atomic */
} Reading;

static gpointer
read_thread (gpointer user_data)
{
  Reading *reading = user_data;
  guint32 copy[N_WORDS];

  while (!g_atomic_int_get (&reading->done))
    {
      guint32 number = atomic_load_explicit (&reading->lent, memory_order_acquire);

      for (guint i = 0; i < N_WORDS; i++)
        copy[i] = atomic_load_explicit (&reading->words[i], memory_order_relaxed);
      if (_io_revocation_covers (reading->page, number))
        continue;
      for (guint i = 0; i < N_WORDS; i++)
        g_assert_cmpuint (copy[i], ==, number);
    }

  return NULL;
}

static void
test_storm (void)
{
  g_autofree IOAbiRegion *page = g_malloc0 (sizeof (IOAbiRegion));
  g_autofree Reading *reading = g_new0 (Reading, 1);
  guint32 first = G_MAXUINT32 - 50000;
  GThread *thread;

  reading->page = page;
  for (guint i = 0; i < N_WORDS; i++)
    atomic_store (&reading->words[i], first);
  atomic_store (&reading->lent, first);
  thread = g_thread_new ("reader", read_thread, reading);
  for (guint32 number = first + 1; number != first + 100000; number++)
    {
      _io_revocation_store (reading->page, number);
      for (guint i = 0; i < N_WORDS; i++)
        atomic_store_explicit (&reading->words[i], number, memory_order_relaxed);
      atomic_store_explicit (&reading->lent, number, memory_order_release);
    }
  g_atomic_int_set (&reading->done, TRUE);
  g_thread_join (thread);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/revocation/numbers", test_numbers);
  g_test_add_func ("/revocation/storm", test_storm);

  return g_test_run ();
}
