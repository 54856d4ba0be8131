/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-connection-reach-private.h"

#include "io-names-private.h"

#include <string.h>

#define MAX_RETRY_MSEC 500

struct _IOReach {
  IOConnection    *connection;
  IONamesWait     *wait;
  GSource         *source;
  gboolean         opens;
  guint            options;

  gboolean         stepping;
  gboolean         dead;       /* freed within a step, by somebody who was told */
  gboolean         first;      /* attempt, which needs no event */
  guint            put_off;    /* in ms: before the next one */
  guint            retry;      /* in ms: the backlog is full */
  gboolean         running;    /* an attempt */
  IOConnectionJob  job;
  guint            n_asked;    /* calls; the number of the one that is out */
  gboolean         answered;
  GVariant        *answer;
  GUnixFDList     *fds;
  GError          *error;

  gboolean         lost;       /* it was connected before */
  GError          *loss;       /* why it is not; NULL for a clean end */
  gboolean         untold;     /* and the context still has to tell of it */
};

static gboolean
source_dispatch (GSource     *source,
                 GSourceFunc  callback,
                 gpointer     user_data)
{
  g_source_set_ready_time (source, -1);

  return callback != NULL ? callback (user_data) : G_SOURCE_REMOVE;
}

static GSourceFuncs source_funcs = {
  .dispatch = source_dispatch,
};

GSource *
_io_reach_source_new (const char     *name,
                      GSourceFunc     func,
                      gpointer        data,
                      GDestroyNotify  destroy)
{
  GSource *source = g_source_new (&source_funcs, sizeof (GSource));

  g_source_set_name (source, name);
  g_source_set_callback (source, func, data, destroy);

  return source;
}

IOReach *
_io_reach_new (IOConnection *connection,
               IONamesWait  *wait,
               gboolean      opens,
               guint         options)
{
  IOConnectionPrivate *priv = _io_connection_get_private (connection);
  IOReach *self = g_new0 (IOReach, 1);

  g_assert (priv->reach == NULL);

  priv->reach = self;
  self->connection = connection;
  self->wait = wait;
  self->opens = opens;
  self->options = options;
  self->first = TRUE;
  self->lost = priv->link == IO_LINK_LOST;
  self->loss = self->lost && priv->error != NULL ? g_error_copy (priv->error) : NULL;

  return self;
}

/* Between two attempts it is as lost as it was. */
static void
restore (IOReach *self)
{
  if (!self->lost)
    return;

  _io_connection_put_down (self->connection, self->loss != NULL ? g_error_copy (self->loss) : NULL,
                           self->untold);
  self->untold = FALSE;
}

static void
drop_answer (IOReach *self)
{
  self->answered = FALSE;
  g_clear_pointer (&self->answer, g_variant_unref);
  g_clear_object (&self->fds);
  g_clear_error (&self->error);
}

/* What comes from now on belongs to nobody. */
static void
end_attempt (IOReach  *self,
             GError  **error)
{
  if (!self->running)
    return;

  self->running = FALSE;
  self->n_asked++;
  drop_answer (self);
  _io_connection_end_job (self->connection, &self->job, NULL, error);
}

static void
reach_free (IOReach *self)
{
  drop_answer (self);
  g_clear_error (&self->loss);
  g_free (self);
}

void
_io_reach_free (IOReach *self)
{
  g_autoptr (GError) error = NULL;

  if (self == NULL)
    return;

  if (self->running && _io_connection_in_own_process (self->connection))
    {
      error = _io_connection_new_error (self->connection, IO_OPCODE_OPEN, IO_STREAM_ERROR_ABORTED,
                                        "given up");
      end_attempt (self, &error);
      restore (self);
    }
  _io_connection_get_private (self->connection)->reach = NULL;
  _io_names_wait_set_source (self->wait, NULL);
  self->source = NULL;
  self->dead = TRUE;
  if (!self->stepping)
    reach_free (self);
}

void
_io_reach_expect (IOReach *self)
{
  self->first = FALSE;
}

void
_io_reach_put_off (IOReach *self,
                   guint    msec)
{
  self->put_off = msec;
}

void
_io_reach_set_source (IOReach *self,
                      GSource *source)
{
  self->source = source;
  _io_names_wait_set_source (self->wait, source);
}

static void
answered_cb (IOConnection *connection,
             GVariant     *answer,
             GUnixFDList  *fds,
             const GError *error,
             gpointer      data)
{
  IOReach *self = _io_connection_get_private (connection)->reach;

  if (self == NULL || !self->running || self->n_asked != GPOINTER_TO_UINT (data))
    return;

  self->answered = TRUE;
  self->answer = answer != NULL ? g_variant_ref (answer) : NULL;
  self->fds = fds != NULL ? g_object_ref (fds) : NULL;
  self->error = error != NULL ? g_error_copy (error) : NULL;
  if (self->source != NULL)
    g_source_set_ready_time (self->source, 0);
}

/* An owner that is stopped, or busy with its start, is waited for like one that
 * is not there: its end would be heard of. */
static gboolean
ask (IOReach           *self,
     IOConnectionCall  *next,
     GError           **error)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self->connection);
  gint64 timeout = priv->timeout;
  gboolean asked;

  priv->timeout = -1;
  asked = _io_connection_start_direct_call (self->connection, next->opcode, next->args, answered_cb,
                                            GUINT_TO_POINTER (++self->n_asked), error);
  priv->timeout = timeout;

  return asked;
}

static gboolean
is_published (IOReach *self)
{
  g_autofree char *directory = _io_names_dup_directory ();
  g_autoptr (IORecord) record = NULL;

  return _io_names_look (directory, io_connection_get_name (self->connection),
                         &record) == IO_NAME_PUBLISHED;
}

/* There is nobody, or nobody any more: the next one will be heard of. Anything
 * else is an answer, and would be the same again. */
static gboolean
is_passing (IOReach      *self,
            const GError *error)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self->connection);

  if (g_error_matches (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND) && priv->link != IO_LINK_UP)
    return TRUE;
  if (g_error_matches (error, IO_STREAM_ERROR, IO_STREAM_ERROR_OFFLINE))
    return TRUE;
  if (g_error_matches (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_READY) && !is_published (self))
    return TRUE;

  return priv->link == IO_LINK_LOST && priv->error == NULL;
}

/* WAITING, or FAILED with @error. */
static IOReachState
fail_attempt (IOReach  *self,
              GError   *reason,
              GError  **error)
{
  gboolean passing;

  end_attempt (self, &reason);
  passing = !self->dead && is_passing (self, reason);
  if (!passing)
    {
      g_propagate_error (error, reason);
      return IO_REACH_FAILED;
    }

  g_error_free (reason);
  restore (self);
  return IO_REACH_WAITING;
}

static IOReachState
go_on (IOReach  *self,
       GError  **error)
{
  IOConnectionCall next = { 0, };
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GUnixFDList) fds = NULL;
  GError *reason = g_steal_pointer (&self->error);

  answer = g_steal_pointer (&self->answer);
  fds = g_steal_pointer (&self->fds);
  self->answered = FALSE;
  if (reason == NULL &&
      _io_connection_next_step (self->connection, &self->job, answer, fds, &next, &reason) &&
      next.opcode != 0 && ask (self, &next, &reason))
    return IO_REACH_BUSY;
  if (reason != NULL)
    return fail_attempt (self, reason, error);

  end_attempt (self, &reason);

  return reason == NULL ? IO_REACH_DONE : fail_attempt (self, reason, error);
}

/* A full backlog cannot be polled for. */
static IOReachState
try_again (IOReach *self)
{
  GError *reason = _io_connection_new_error (self->connection, IO_OPCODE_HELLO,
                                             IO_STREAM_ERROR_NOT_RESPONDING, "busy");

  end_attempt (self, &reason);
  g_error_free (reason);
  restore (self);
  self->retry = CLAMP (self->retry * 2, IO_CONNECTION_RETRY_MSEC, MAX_RETRY_MSEC);
  _io_names_wait_poke_after (self->wait, self->retry);

  return IO_REACH_WAITING;
}

static IOReachState
begin_attempt (IOReach  *self,
               GError  **error)
{
  GError *reason = NULL;
  gboolean again = FALSE, done;

  if (_io_connection_get_private (self->connection)->link == IO_LINK_LOST)
    self->untold = _io_connection_renew (self->connection);
  memset (&self->job, 0, sizeof self->job);
  self->job.opens = self->opens;
  self->job.options = self->options;
  if (!_io_connection_begin_job (self->connection, &self->job, &done, error))
    return IO_REACH_FAILED;
  if (done)
    return IO_REACH_DONE;

  self->running = TRUE;
  if (_io_connection_connect_once (self->connection, &again, &reason))
    {
      self->retry = 0;
      return go_on (self, error);
    }

  return again ? try_again (self) : fail_attempt (self, reason, error);
}

/* Is it time for an attempt? */
static gboolean
is_due (IOReach *self)
{
  gboolean touched = _io_names_wait_take (self->wait);

  if (!self->first && !touched)
    return FALSE;
  if (self->put_off > 0)
    {
      _io_names_wait_poke_after (self->wait, self->put_off);
      self->put_off = 0;
      self->first = FALSE;
      return FALSE;
    }

  self->first = FALSE;
  return TRUE;
}

static IOReachState
make_steps (IOReach  *self,
            GError  **error)
{
  IOReachState state;

  do
    {
      if (self->running)
        state = self->answered ? go_on (self, error) : IO_REACH_BUSY;
      else if (is_due (self))
        state = begin_attempt (self, error);
      else
        return IO_REACH_WAITING;
    }
  while (!self->dead && (state == IO_REACH_WAITING || (state == IO_REACH_BUSY && self->answered)));

  return state;
}

IOReachState
_io_reach_step (IOReach  *self,
                GError  **error)
{
  G_GNUC_UNUSED g_autoptr (IOConnection) kept = g_object_ref (self->connection);
  IOReachState state;

  /* From within what this very step tells. */
  if (self->stepping)
    return IO_REACH_BUSY;

  self->stepping = TRUE;
  state = make_steps (self, error);
  self->stepping = FALSE;
  if (self->dead)
    reach_free (self);

  return state;
}

gboolean
_io_reach_is_untold (IOReach       *self,
                     const GError **reason)
{
  *reason = self->loss;

  return self->untold;
}

int
_io_reach_get_fd (IOReach *self)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self->connection);

  return self->running && priv->socket != NULL && !g_socket_is_closed (priv->socket)
         ? g_socket_get_fd (priv->socket) : _io_names_wait_get_fd (self->wait);
}

static gboolean
check_sleep (IOReach       *self,
             gint64         deadline,
             GCancellable  *cancellable,
             GError       **error)
{
  if (g_cancellable_set_error_if_cancelled (cancellable, error) ||
      !_io_connection_enter (self->connection, IO_OPCODE_OPEN, error))
    return FALSE;
  _io_connection_leave (self->connection);
  if (deadline < 0 || g_get_monotonic_time () < deadline)
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT,
               "Waiting for service “%s”: its owner did not come in the time given",
               io_connection_get_name (self->connection));
  return FALSE;
}

gboolean
_io_reach_sleep (IOReach       *self,
                 gint64         deadline,
                 GCancellable  *cancellable,
                 GError       **error)
{
  GPollFD fds[2] = { { _io_reach_get_fd (self), G_IO_IN, 0 }, { -1, 0, 0 } };
  gboolean cancels;
  gint64 left;

  if (!check_sleep (self, deadline, cancellable, error))
    return FALSE;
  if (fds[0].fd < 0)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES,
                   "Waiting for service “%s”: no file descriptor is free",
                   io_connection_get_name (self->connection));
      return FALSE;
    }

  cancels = g_cancellable_make_pollfd (cancellable, &fds[1]);
  left = deadline < 0 ? -1 : (deadline - g_get_monotonic_time () + 999) / 1000;
  g_poll (fds, cancels ? 2 : 1, (int) CLAMP (left, -1, G_MAXINT));
  if (cancels)
    g_cancellable_release_fd (cancellable);
  if (self->running)
    _io_connection_poll (self->connection);

  return TRUE;
}
