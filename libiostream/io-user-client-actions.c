/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-user-client-methods-private.h"

#include "io-action-private.h"
#include "io-external-method-private.h"
#include "io-packet-private.h"
#include "io-service-private.h"

/* Calls that are answered now or later. */

GVariant *
_io_user_client_answer_cancel (IOUserClient *self,
                               GVariant     *args)
{
  IOUserClientMethods *methods = *_io_user_client_get_methods (self);
  IOActionCall *call = NULL;
  guint32 serial;

  g_variant_get (args, "(u)", &serial);
  if (methods != NULL)
    call = g_hash_table_lookup (methods->actions, GUINT_TO_POINTER (serial));
  /* Else the answer and this have passed each other. */
  if (call != NULL)
    _io_action_call_abort (call, TRUE);

  return g_variant_new ("()");
}

void
_io_user_client_forget_action (IOUserClient *self,
                               guint32       serial)
{
  g_hash_table_remove (_io_user_client_ensure_methods (self)->actions, GUINT_TO_POINTER (serial));
}

/* The error is the answer; so it comes before the action is dropped. */
static void
run_struct_action (IOUserClient              *self,
                   IOExternalMethodArguments *arguments,
                   IOActionCall              *call)
{
  g_autoptr (IOAction) action = _io_action_new (call);
  g_autoptr (GError) error = NULL;

  arguments->completion = g_object_ref (action);
  if (!_io_user_client_run_external_method (self, arguments, &error))
    _io_action_call_fail (call, error);
}

/* A value is the answer; without one the action will be, if it was kept. */
static void
run_variant_action (IOUserClient *self,
                    guint         selector,
                    GVariant     *parameters,
                    IOActionCall *call)
{
  g_autoptr (IOAction) action = _io_action_new (call);
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  result = IO_USER_CLIENT_GET_CLASS (self)->method (self, selector, parameters, action, &error);
  if (result != NULL)
    g_variant_take_ref (result);
  if (error == NULL && result != NULL && !io_action_is_completed (action) &&
      !io_action_is_cancelled (action))
    io_action_complete_variant (action, result, &error);
  if (error != NULL)
    _io_action_call_fail (call, error);
}

static IOActionCall *
new_action_call (IOUserClient          *self,
                 const IOPacketHeader  *header,
                 guint                  selector,
                 guint                  max_scalars,
                 guint32                max_structure)
{
  IOActionCall *call = _io_action_call_new (self,
                                            _io_service_get_context (io_user_client_get_service (self)),
                                            header->opcode, header->serial, selector,
                                            max_scalars, max_structure);

  g_hash_table_insert (_io_user_client_ensure_methods (self)->actions, GUINT_TO_POINTER (header->serial),
                       _io_action_call_ref (call));

  return call;
}

static gboolean
check_action (IOUserClient          *self,
              const IOPacketHeader  *header,
              GError               **error)
{
  GHashTable *actions = _io_user_client_ensure_methods (self)->actions;

  if (g_hash_table_contains (actions, GUINT_TO_POINTER (header->serial)))
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_MESSAGE,
                 "Cannot take call %u: another one of this number has no answer", header->serial);
  else if (g_hash_table_size (actions) >= IO_ACTION_MAX_OUTSTANDING)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES,
                 "Cannot take another call: %u have no answer", IO_ACTION_MAX_OUTSTANDING);
  else
    return TRUE;

  return FALSE;
}

void
_io_user_client_run_async (IOUserClient         *self,
                           const IOPacketHeader *header,
                           GVariant             *body)
{
  g_autoptr (IOExternalMethodArguments) arguments = NULL;
  g_autoptr (GVariant) parameters = NULL;
  g_autoptr (IOActionCall) call = NULL;
  g_autoptr (GError) error = NULL;
  gboolean typed = header->opcode == IO_OPCODE_VARIANT_ASYNC;
  guint selector;

  if (check_action (self, header, &error))
    {
      if (typed)
        parameters = _io_user_client_read_parameters (self, body, &selector, &error);
      else
        arguments = _io_user_client_read_arguments (self, body, &error);
    }
  if (parameters != NULL)
    {
      call = new_action_call (self, header, selector, 0, IO_EXTERNAL_METHOD_VARIABLE);
      run_variant_action (self, selector, parameters, call);
    }
  else if (arguments != NULL)
    {
      call = new_action_call (self, header, arguments->selector, arguments->scalar_output_count,
                              arguments->structure_output_size);
      run_struct_action (self, arguments, call);
    }
  else
    _io_user_client_send (self, _io_packet_build_error (header->opcode, header->serial, error), NULL);
}

void
_io_user_client_abort_actions (IOUserClient *self)
{
  IOUserClientMethods *methods = *_io_user_client_get_methods (self);
  g_autoptr (GList) calls = NULL;
  GHashTable *actions;

  if (methods == NULL)
    return;

  actions = g_steal_pointer (&methods->actions);
  methods->actions = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) _io_action_call_unref);
  calls = g_hash_table_get_values (actions);
  for (GList *l = calls; l != NULL; l = l->next)
    _io_action_call_abort (l->data, FALSE);
  g_hash_table_unref (actions);
}
