/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-action-call-private.h"

#include "io-fork-private.h"
#include "io-packet-private.h"
#include "io-user-client-private.h"

/* The call behind an action: what is said in whatever thread goes to the client
 * in that of the service. */

/* Said in other threads, and not sent yet. */
#define MAX_DUE_PROGRESS 32

typedef struct {
  GBytes      *packet;
  GUnixFDList *fds;
  gboolean     is_answer;
} Message;

static void
message_free (Message *message)
{
  g_bytes_unref (message->packet);
  g_clear_object (&message->fds);
  g_free (message);
}

IOActionCall *
_io_action_call_new (IOUserClient *client,
                     GMainContext *context,
                     IOOpcode      opcode,
                     guint32       serial,
                     guint         selector,
                     guint         max_scalars,
                     guint32       max_structure)
{
  IOActionCall *self = g_atomic_rc_box_new0 (IOActionCall);

  self->client = client;
  self->context = g_main_context_ref (context);
  self->thread = g_thread_self ();
  self->fork_count = _io_fork_count ();
  self->opcode = opcode;
  self->serial = serial;
  self->selector = selector;
  self->max_scalars = max_scalars;
  self->max_structure = max_structure;
  g_mutex_init (&self->lock);
  g_queue_init (&self->due);
  g_weak_ref_init (&self->action, NULL);

  return self;
}

static void
call_clear (gpointer data)
{
  IOActionCall *self = data;

  g_queue_clear_full (&self->due, (GDestroyNotify) message_free);
  g_weak_ref_clear (&self->action);
  g_mutex_clear (&self->lock);
  g_main_context_unref (self->context);
}

IOActionCall *
_io_action_call_ref (IOActionCall *self)
{
  return g_atomic_rc_box_acquire (self);
}

void
_io_action_call_unref (IOActionCall *self)
{
  g_atomic_rc_box_release_full (self, call_clear);
}

GBytes *
_io_action_call_build_failure (IOActionCall  *self,
                               IOStreamError  code,
                               const char    *text)
{
  g_autoptr (GError) error = g_error_new_literal (IO_STREAM_ERROR, code, text);

  return _io_packet_build_error (self->opcode, self->serial, error);
}

/* In the thread of the service. Memory is not kept for a client that does not
 * read, nor is what it can do without. */
static void
send_message (IOActionCall *self,
              Message      *message)
{
  IOUserClient *client = self->client;
  gboolean congested;

  if (client == NULL)
    return;

  congested = _io_user_client_is_congested (client);
  if (message->is_answer)
    {
      self->client = NULL;
      if (message->fds != NULL &&
          (congested || !_io_user_client_charge_answer (client, message->fds, NULL)))
        _io_user_client_send (client, _io_action_call_build_failure (self, IO_STREAM_ERROR_NO_RESOURCES,
                                                                     "The client does not read its answers"), NULL);
      else
        _io_user_client_send (client, g_bytes_ref (message->packet), message->fds);
      _io_user_client_forget_action (client, self->serial);
    }
  else if (!congested)
    _io_user_client_send (client, g_bytes_ref (message->packet), NULL);
  else
    {
      g_mutex_lock (&self->lock);
      self->n_dropped++;
      g_mutex_unlock (&self->lock);
    }
}

static Message *
pop_message (IOActionCall *self)
{
  Message *message;

  g_mutex_lock (&self->lock);
  message = g_queue_pop_head (&self->due);
  g_mutex_unlock (&self->lock);

  return message;
}

static void
flush (IOActionCall *self)
{
  g_autoptr (IOActionCall) kept = _io_action_call_ref (self);
  Message *message;

  while ((message = pop_message (kept)) != NULL)
    {
      send_message (kept, message);
      message_free (message);
    }
}

static gboolean
flush_cb (gpointer user_data)
{
  IOActionCall *self = user_data;

  g_mutex_lock (&self->lock);
  self->scheduled = FALSE;
  g_mutex_unlock (&self->lock);
  flush (self);

  return G_SOURCE_REMOVE;
}

static void
schedule_locked (IOActionCall *self)
{
  g_autoptr (GSource) source = NULL;

  if (self->scheduled)
    return;

  self->scheduled = TRUE;
  source = g_idle_source_new ();
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_static_name (source, "[iostream] action");
  g_source_set_callback (source, flush_cb, _io_action_call_ref (self),
                         (GDestroyNotify) _io_action_call_unref);
  g_source_attach (source, self->context);
}

static gboolean
set_over_error (IOActionCall  *self,
                gboolean       aborted,
                GError       **error)
{
  if (self->fork_count != _io_fork_count ())
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_OPEN,
                 "Cannot answer call %u: it belongs to another process (fork)", self->selector);
  else
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_ABORTED,
                 aborted ? "Cannot answer call %u: the client does not wait for it any more"
                         : "Cannot answer call %u: it has an answer already", self->selector);

  return FALSE;
}

/* Takes over @packet. */
gboolean
_io_action_call_post (IOActionCall  *self,
                      gboolean       is_answer,
                      GBytes        *packet,
                      GUnixFDList   *fds,
                      GError       **error)
{
  gboolean over, aborted, full = FALSE;

  if (self->fork_count != _io_fork_count ())
    {
      g_bytes_unref (packet);
      return set_over_error (self, FALSE, error);
    }

  g_mutex_lock (&self->lock);
  over = self->answered;
  aborted = self->aborted;
  if (!over)
    {
      full = !is_answer && g_queue_get_length (&self->due) >= MAX_DUE_PROGRESS;
      self->answered = is_answer;
      self->n_dropped += full;
    }
  if (!over && !full)
    {
      Message *message = g_new0 (Message, 1);

      message->packet = g_bytes_ref (packet);
      message->fds = fds != NULL ? g_object_ref (fds) : NULL;
      message->is_answer = is_answer;
      g_queue_push_tail (&self->due, message);
      if (self->thread != g_thread_self ())
        schedule_locked (self);
    }
  g_mutex_unlock (&self->lock);
  g_bytes_unref (packet);

  if (over)
    return set_over_error (self, aborted, error);
  if (self->thread == g_thread_self ())
    flush (self);

  return TRUE;
}

void
_io_action_call_fail (IOActionCall *self,
                      const GError *reason)
{
  _io_action_call_post (self, TRUE, _io_packet_build_error (self->opcode, self->serial, reason), NULL, NULL);
}

void
_io_action_call_abort (IOActionCall *self,
                       gboolean      tell)
{
  G_GNUC_UNUSED g_autoptr (IOActionCall) kept = _io_action_call_ref (self);
  g_autoptr (IOAction) action = NULL;
  IOUserClient *client = self->client;
  gboolean aborted;

  g_mutex_lock (&self->lock);
  aborted = !self->answered;
  if (aborted)
    {
      self->answered = self->aborted = TRUE;
      g_queue_clear_full (&self->due, (GDestroyNotify) message_free);
    }
  g_mutex_unlock (&self->lock);

  /* An answer from another thread is on its way to the client. */
  if (!aborted && tell)
    return;

  self->client = NULL;
  if (client != NULL && tell)
    {
      _io_user_client_send (client, _io_action_call_build_failure (self, IO_STREAM_ERROR_ABORTED,
                                                                   "The call was cancelled"), NULL);
      _io_user_client_forget_action (client, self->serial);
    }

  action = aborted ? g_weak_ref_get (&self->action) : NULL;
  if (action == NULL)
    return;

  _io_action_tell_aborted (action);
}

gboolean
_io_action_call_is_answered (IOActionCall *self,
                             gboolean     *aborted)
{
  gboolean answered;

  g_mutex_lock (&self->lock);
  answered = self->answered;
  *aborted = self->aborted;
  g_mutex_unlock (&self->lock);

  return answered;
}

/* Before the work of making an answer. */
gboolean
_io_action_call_check_pending (IOActionCall  *self,
                               GError       **error)
{
  gboolean aborted;

  if (!_io_action_call_is_answered (self, &aborted) && self->fork_count == _io_fork_count ())
    return TRUE;

  return set_over_error (self, aborted, error);
}
