/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-fork-private.h"

#include <pthread.h>

static guint fork_count;

static void
count_fork (void)
{
  fork_count++;
}

guint
_io_fork_count (void)
{
  static gsize initialized = 0;

  if (g_once_init_enter (&initialized))
    {
      pthread_atfork (NULL, NULL, count_fork);
      g_once_init_leave (&initialized, 1);
    }

  return fork_count;
}
