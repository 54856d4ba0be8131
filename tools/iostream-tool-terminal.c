/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "iostream-tool.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* A screen of its own, keys one by one, and everything as it was before at the
 * end, however that comes. */

#define ENTER_SCREEN "\033[?1049h\033[?25l"
#define LEAVE_SCREEN "\033[?25h\033[?1049l"

static struct termios saved;
static gboolean entered = FALSE;

gboolean
tool_terminal_is_there (void)
{
  return isatty (STDIN_FILENO) && isatty (STDOUT_FILENO);
}

static void
say (const char *text)
{
  gssize n;

  do
    n = write (STDOUT_FILENO, text, strlen (text));
  while (n < 0 && errno == EINTR);
}

/* Also from a signal handler and at exit. */
void
tool_terminal_leave (void)
{
  if (!entered)
    return;

  entered = FALSE;
  say (LEAVE_SCREEN);
  tcsetattr (STDIN_FILENO, TCSANOW, &saved);
}

/* Signals that nobody handles end the process; it ends by the same one, with
 * the terminal as it was. */
static void
last_signal_cb (int number)
{
  tool_terminal_leave ();
  raise (number);
}

static void
guard (void)
{
  static const int deadly[] = { SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL };
  struct sigaction action = { .sa_handler = last_signal_cb, .sa_flags = (int) SA_RESETHAND };
  static gboolean done = FALSE;

  if (done)
    return;

  done = TRUE;
  atexit (tool_terminal_leave);
  for (gsize i = 0; i < G_N_ELEMENTS (deadly); i++)
    sigaction (deadly[i], &action, NULL);
}

gboolean
tool_terminal_enter (void)
{
  struct termios raw;

  if (entered || tcgetattr (STDIN_FILENO, &saved) < 0)
    return entered;

  guard ();
  raw = saved;
  /* Also what the terminal makes signals of: to be stopped in order, the screen
   * must be left first. */
  raw.c_lflag &= ~(tcflag_t) (ICANON | ECHO | ISIG);
  raw.c_cc[VMIN] = 0;
  raw.c_cc[VTIME] = 0;
  if (tcsetattr (STDIN_FILENO, TCSANOW, &raw) < 0)
    return FALSE;

  entered = TRUE;
  say (ENTER_SCREEN);

  return TRUE;
}

/* What Ctrl-Z does elsewhere. Comes back when it goes on. */
void
tool_terminal_stop (void)
{
  tool_terminal_leave ();
  raise (SIGSTOP);
  tool_terminal_enter ();
}

void
tool_terminal_get_size (guint *columns,
                        guint *rows)
{
  struct winsize size = { 0, };

  if (ioctl (STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
    size.ws_col = size.ws_row = 0;
  *columns = size.ws_col > 0 ? size.ws_col : 80;
  *rows = size.ws_row > 0 ? size.ws_row : 24;
}

/* The next key, or 0. The end of the input is as good as a “q”. */
int
tool_terminal_read_key (void)
{
  guchar key;
  gssize n;

  do
    n = read (STDIN_FILENO, &key, 1);
  while (n < 0 && errno == EINTR);

  return n == 1 ? key : 0;
}
