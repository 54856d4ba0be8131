/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-action-call-private.h"

#include "io-external-method-private.h"
#include "io-packet-private.h"

/**
 * SECTION:io-action
 * @title: IOAction
 * @short_description: The answer to an asynchronous call, due later
 * @see_also: #IOUserClient, #IOConnection
 *
 * When a client calls a method asynchronously, with io_connection_call_async()
 * or io_connection_call_method_async(), the owner gets an #IOAction with the
 * call. The action is the right, and the duty, to answer it.
 *
 * # Life cycle #
 *
 * The method takes a reference, returns, and answers when it can, from any
 * later turn of the main loop: with io_action_complete(),
 * io_action_complete_variant(), or io_action_fail(). It may also answer before
 * it returns. Until then it can report how far things are, with
 * io_action_report_progress().
 *
 * There is exactly one answer. The first one counts, any other is refused. If
 * the method itself returns an error, that is the answer. An action whose last
 * reference is dropped without an answer tells the client
 * %IO_STREAM_ERROR_ABORTED.
 *
 * If the client cancels the call, closes the connection or dies before there
 * is an answer, #IOAction::aborted is emitted, once, and
 * #IOAction:cancelled is %TRUE; what the owner says after that goes nowhere.
 *
 * # Ownership #
 *
 * The library keeps no reference once the method has returned: who wants to
 * answer later holds one. The action keeps neither the user client nor the
 * service alive.
 *
 * # Threads #
 *
 * An action can be answered, reported on, and dropped in any thread. What is
 * said in the thread of the service is sent at once; from other threads it
 * waits, in order, for the main context of the service.
 * #IOAction::aborted is emitted in the thread of the service.
 *
 * # Failure #
 *
 * An answer that cannot be sent (too large, or more than the client has room
 * for) is refused with an error, and the action can still be answered
 * otherwise. A client can have %IO_ACTION_MAX_OUTSTANDING calls without an
 * answer; one more is refused with %IO_STREAM_ERROR_NO_RESOURCES and never
 * reaches the owner. Progress is never queued for a client that does not read:
 * it is dropped and counted, see io_action_get_n_dropped().
 *
 * It answers to Apple's OSAction as it is used for the completion of
 * asynchronous calls, OSAction_IOUserClient_KernelCompletion. There, several
 * completions were several messages, and an abort was silent.
 *
 * Since: 1.0
 */

/**
 * IOAction:
 *
 * The right to answer an asynchronous call.
 *
 * Since: 1.0
 */

struct _IOAction {
  GObject       parent_instance;

  IOActionCall *call;
};

G_DEFINE_FINAL_TYPE (IOAction, io_action, G_TYPE_OBJECT)

enum {
  PROP_0,
  PROP_SELECTOR,
  PROP_COMPLETED,
  PROP_CANCELLED,
  N_PROPS
};

enum {
  ABORTED,
  N_SIGNALS
};

static GParamSpec *properties[N_PROPS];
static guint signals[N_SIGNALS];

static void
io_action_get_property (GObject    *object,
                        guint       prop_id,
                        GValue     *value,
                        GParamSpec *pspec)
{
  IOAction *self = IO_ACTION (object);

  switch (prop_id)
    {
    case PROP_SELECTOR:
      g_value_set_uint (value, io_action_get_selector (self));
      break;
    case PROP_COMPLETED:
      g_value_set_boolean (value, io_action_is_completed (self));
      break;
    case PROP_CANCELLED:
      g_value_set_boolean (value, io_action_is_cancelled (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
io_action_finalize (GObject *object)
{
  IOAction *self = IO_ACTION (object);
  gboolean aborted;

  if (self->call != NULL)
    {
      if (!_io_action_call_is_answered (self->call, &aborted))
        _io_action_call_post (self->call, TRUE, _io_action_call_build_failure (self->call, IO_STREAM_ERROR_ABORTED,
                                                               "The owner dropped the call without an answer"),
                              NULL, NULL);
      _io_action_call_unref (self->call);
    }

  G_OBJECT_CLASS (io_action_parent_class)->finalize (object);
}

static void
io_action_class_init (IOActionClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;

  object_class->get_property = io_action_get_property;
  object_class->finalize = io_action_finalize;

  /**
   * IOAction:selector:
   *
   * The number of the method that was called.
   *
   * Since: 1.0
   */
  properties[PROP_SELECTOR] = g_param_spec_uint ("selector", NULL, NULL, 0, G_MAXUINT, 0, flags);
  /**
   * IOAction:completed:
   *
   * Whether there is an answer. Notification is not given: who answers knows.
   *
   * Since: 1.0
   */
  properties[PROP_COMPLETED] = g_param_spec_boolean ("completed", NULL, NULL, FALSE, flags);
  /**
   * IOAction:cancelled:
   *
   * Whether the client gave the call up, or is gone, before there was an
   * answer.
   *
   * Since: 1.0
   */
  properties[PROP_CANCELLED] = g_param_spec_boolean ("cancelled", NULL, NULL, FALSE, flags);
  g_object_class_install_properties (object_class, N_PROPS, properties);

  /**
   * IOAction::aborted:
   * @self: the action
   *
   * Emitted when the client cancels the call, closes the connection or dies
   * before there is an answer. At most once. An action that was answered, or
   * dropped, hears nothing.
   *
   * In the thread of the service. Apple: OSAction::SetAbortedHandler.
   *
   * Since: 1.0
   */
  signals[ABORTED] = g_signal_new ("aborted", IO_TYPE_ACTION, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                   NULL, G_TYPE_NONE, 0);
}

static void
io_action_init (IOAction *self)
{
}

void
_io_action_tell_aborted (IOAction *self)
{
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_CANCELLED]);
  g_signal_emit (self, signals[ABORTED], 0);
}

IOAction *
_io_action_new (IOActionCall *call)
{
  IOAction *self = g_object_new (IO_TYPE_ACTION, NULL);

  self->call = _io_action_call_ref (call);
  g_weak_ref_set (&call->action, self);

  return self;
}

/**
 * io_action_get_client:
 * @self: an action
 *
 * Gets the user client whose client made the call.
 *
 * In the thread of the service.
 *
 * Returns: (transfer none) (nullable): the user client; %NULL when the call is
 *   answered or the client is gone
 * Since: 1.0
 */
IOUserClient *
io_action_get_client (IOAction *self)
{
  g_return_val_if_fail (IO_IS_ACTION (self), NULL);

  return self->call != NULL ? self->call->client : NULL;
}

/**
 * io_action_get_selector:
 * @self: an action
 *
 * Gets #IOAction:selector. Any thread.
 *
 * Returns: the number of the method
 * Since: 1.0
 */
guint
io_action_get_selector (IOAction *self)
{
  g_return_val_if_fail (IO_IS_ACTION (self), 0);

  return self->call != NULL ? self->call->selector : 0;
}

/**
 * io_action_is_completed:
 * @self: an action
 *
 * Gets #IOAction:completed. Any thread.
 *
 * Returns: %TRUE if there is an answer
 * Since: 1.0
 */
gboolean
io_action_is_completed (IOAction *self)
{
  gboolean aborted;

  g_return_val_if_fail (IO_IS_ACTION (self), FALSE);

  return self->call != NULL && _io_action_call_is_answered (self->call, &aborted) && !aborted;
}

/**
 * io_action_is_cancelled:
 * @self: an action
 *
 * Gets #IOAction:cancelled. Any thread; work in a thread of its own can look
 * from time to time whether it is still wanted.
 *
 * Returns: %TRUE if nobody waits for the answer any more
 * Since: 1.0
 */
gboolean
io_action_is_cancelled (IOAction *self)
{
  gboolean aborted;

  g_return_val_if_fail (IO_IS_ACTION (self), FALSE);

  return self->call != NULL && _io_action_call_is_answered (self->call, &aborted) && aborted;
}

static gboolean
check_form (IOAction  *self,
            IOOpcode   opcode,
            GError   **error)
{
  if (self->call == NULL || self->call->opcode != opcode)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
                   "Cannot answer call %u in this form: it was not made in it",
                   io_action_get_selector (self));
      return FALSE;
    }

  return _io_action_call_check_pending (self->call, error);
}

/* Takes over a floating @body. */
static gboolean
answer (IOAction     *self,
        GVariant     *body,
        GUnixFDList  *fds,
        GError      **error)
{
  GBytes *packet = NULL;

  if (body != NULL)
    packet = _io_packet_build (IO_PACKET_REPLY, self->call->opcode, self->call->serial, 0, body, error);

  return packet != NULL && _io_action_call_post (self->call, TRUE, packet, fds, error);
}

/**
 * io_action_complete:
 * @self: an action
 * @scalars: (array length=n_scalars) (nullable): results
 * @n_scalars: how many, at most %IO_EXTERNAL_METHOD_MAX_SCALARS
 * @structure: (nullable): a struct that is the result
 * @error: return location for an error
 *
 * Answers a call of io_connection_call_method_async() with success.
 *
 * Fails with %IO_STREAM_ERROR_ABORTED, and does nothing, if there is an answer
 * already or the client does not wait any more;
 * %IO_STREAM_ERROR_BAD_ARGUMENT if the call was made in the other form;
 * %IO_STREAM_ERROR_MESSAGE_TOO_LARGE or %IO_STREAM_ERROR_NO_SPACE if this is
 * more than can be sent or than the client has room for, and
 * %IO_STREAM_ERROR_NO_MEMORY or %IO_STREAM_ERROR_NO_RESOURCES. After the last
 * four the action can still be answered.
 *
 * Any thread. Apple: IOUserClient::AsyncCompletion, sendAsyncResult64.
 *
 * Returns: %TRUE if this is the answer
 * Since: 1.0
 */
gboolean
io_action_complete (IOAction       *self,
                    const guint64  *scalars,
                    guint           n_scalars,
                    GBytes         *structure,
                    GError        **error)
{
  g_autoptr (GUnixFDList) fds = NULL;
  GVariant *body;

  g_return_val_if_fail (IO_IS_ACTION (self), FALSE);
  g_return_val_if_fail (scalars != NULL || n_scalars == 0, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!check_form (self, IO_OPCODE_METHOD_ASYNC, error) ||
      !_io_external_method_check_result (self->call->max_scalars, self->call->max_structure,
                                         n_scalars, structure, error))
    return FALSE;

  body = _io_external_method_encode_result (scalars, n_scalars, structure, &fds, error);

  return answer (self, body, fds, error);
}

/**
 * io_action_complete_variant:
 * @self: an action
 * @result: (nullable): the result, %NULL for the empty tuple; taken over if
 *   floating
 * @error: return location for an error
 *
 * Answers a call of io_connection_call_async() with success.
 *
 * Fails as io_action_complete(). Any thread.
 *
 * Returns: %TRUE if this is the answer
 * Since: 1.0
 */
gboolean
io_action_complete_variant (IOAction  *self,
                            GVariant  *result,
                            GError   **error)
{
  g_autoptr (GVariant) sunk = NULL;
  g_autoptr (GUnixFDList) fds = NULL;
  GVariant *body;

  g_return_val_if_fail (IO_IS_ACTION (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (result != NULL)
    sunk = g_variant_ref_sink (result);
  if (!check_form (self, IO_OPCODE_VARIANT_ASYNC, error))
    return FALSE;

  body = _io_external_method_encode_value (sunk, &fds, error);

  return answer (self, body, fds, error);
}

/**
 * io_action_fail:
 * @self: an action
 * @reason: what to tell the client
 *
 * Answers a call with an error. The client gets the code if it is an
 * #IOStreamError, else %IO_STREAM_ERROR_FAILED, and the text. Does nothing if
 * there is an answer already or the client does not wait any more.
 *
 * Any thread. Apple: IOUserClient::AsyncCompletion with a status.
 *
 * Returns: %TRUE if this is the answer
 * Since: 1.0
 */
gboolean
io_action_fail (IOAction     *self,
                const GError *reason)
{
  g_return_val_if_fail (IO_IS_ACTION (self), FALSE);
  g_return_val_if_fail (reason != NULL, FALSE);

  return self->call != NULL &&
         _io_action_call_post (self->call, TRUE,
                               _io_packet_build_error (self->call->opcode, self->call->serial, reason), NULL, NULL);
}

/**
 * io_action_report_progress:
 * @self: an action
 * @progress: what to tell the client; taken over if floating
 * @error: return location for an error
 *
 * Tells the client how far things are, in both forms of a call. All that was
 * reported comes before the answer.
 *
 * Nothing is queued for a client that does not read: what finds no room is
 * dropped, and counted in io_action_get_n_dropped(). So is what another thread
 * reports faster than the main context of the service sends it.
 *
 * Fails with %IO_STREAM_ERROR_ABORTED if there is an answer already or the
 * client does not wait any more, and with %IO_STREAM_ERROR_MESSAGE_TOO_LARGE
 * if @progress does not fit into a message of the control protocol, about
 * 8,000 bytes.
 *
 * Any thread. Apple: several calls of sendAsyncResult64 for one reference.
 *
 * Returns: %TRUE if it was sent, will be, or was dropped
 * Since: 1.0
 */
gboolean
io_action_report_progress (IOAction  *self,
                           GVariant  *progress,
                           GError   **error)
{
  g_autoptr (GVariant) sunk = NULL;
  GBytes *packet;

  g_return_val_if_fail (IO_IS_ACTION (self) && self->call != NULL, FALSE);
  g_return_val_if_fail (progress != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  sunk = g_variant_ref_sink (progress);
  if (!_io_action_call_check_pending (self->call, error))
    return FALSE;

  packet = _io_packet_build (IO_PACKET_EVENT, IO_OPCODE_PROGRESS, 0, 0,
                             g_variant_new ("(uv)", self->call->serial, sunk), error);

  return packet != NULL && _io_action_call_post (self->call, FALSE, packet, NULL, error);
}

/**
 * io_action_get_n_dropped:
 * @self: an action
 *
 * Gets how many reports of progress were dropped because the client does not
 * read, or because they came too fast. Any thread.
 *
 * Returns: the number
 * Since: 1.0
 */
guint
io_action_get_n_dropped (IOAction *self)
{
  guint n_dropped;

  g_return_val_if_fail (IO_IS_ACTION (self), 0);

  if (self->call == NULL)
    return 0;

  g_mutex_lock (&self->call->lock);
  n_dropped = self->call->n_dropped;
  g_mutex_unlock (&self->call->lock);

  return n_dropped;
}
