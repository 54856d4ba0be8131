/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

/* The clock of the library, which a test may stop or put forward: what is
 * bounded by time has a bound then that does not depend on the machine. */

#include <glib.h>

#include <time.h>

static _Atomic gint64 stopped_clock;
static _Atomic gint64 clock_advance;

gint64
g_get_monotonic_time (void)
{
  gint64 stopped = stopped_clock;
  struct timespec now;

  if (stopped != 0)
    return stopped;

  clock_gettime (CLOCK_MONOTONIC, &now);

  return now.tv_sec * G_USEC_PER_SEC + now.tv_nsec / 1000 + clock_advance;
}

static inline void
stop_clock (void)
{
  stopped_clock = g_get_monotonic_time ();
}

static inline void
resume_clock (void)
{
  stopped_clock = 0;
}

static inline void
advance_clock (gint64 time)
{
  clock_advance += time;
}
