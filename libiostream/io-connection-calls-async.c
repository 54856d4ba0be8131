/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-connection-calls-private.h"

/* Calls whose answer is heard later. */

static gboolean
cancelled_cb (GCancellable *cancellable,
              gpointer      user_data)
{
  IOCall *call = user_data;
  IOConnection *self = call->self;

  call = _io_connection_give_up_call (self, call->serial);
  g_cancellable_set_error_if_cancelled (cancellable, &call->error);
  if (call->action)
    {
      g_array_append_val (_io_connection_get_private (self)->cancels, call->serial);
      _io_connection_send_cancels (self);
    }
  _io_call_complete (self, call);

  return G_SOURCE_REMOVE;
}

gboolean
_io_connection_start_action (IOConnection            *self,
                             IOOpcode                 opcode,
                             GVariant                *args,
                             GCancellable            *cancellable,
                             IOConnectionAnswerFunc   progress,
                             IOConnectionAnswerFunc   func,
                             gpointer                 data,
                             GError                 **error)
{
  IOConnectionPrivate *priv = _io_connection_get_private (self);
  IOCall *call;

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    {
      if (args != NULL)
        g_variant_unref (g_variant_ref_sink (args));
      return FALSE;
    }

  call = _io_connection_begin_call (self, opcode, args, FALSE, func, data, error);
  if (call == NULL)
    return FALSE;

  call->progress = progress;
  if (cancellable != NULL)
    {
      call->cancel_source = g_cancellable_source_new (cancellable);
      g_source_set_callback (call->cancel_source, G_SOURCE_FUNC (cancelled_cb), call, NULL);
      g_source_attach (call->cancel_source, priv->context);
    }
  _io_connection_update_source (self);

  return TRUE;
}

gboolean
_io_connection_start_direct_call (IOConnection            *self,
                                  IOOpcode                 opcode,
                                  GVariant                *args,
                                  IOConnectionAnswerFunc   func,
                                  gpointer                 data,
                                  GError                 **error)
{
  IOCall *call = _io_connection_begin_call (self, opcode, args, FALSE, func, data, error);

  if (call == NULL)
    return FALSE;

  g_clear_object (&call->self);
  call->direct = TRUE;
  _io_connection_update_source (self);

  return TRUE;
}

gboolean
_io_connection_start_call (IOConnection            *self,
                           IOOpcode                 opcode,
                           GVariant                *args,
                           GCancellable            *cancellable,
                           IOConnectionAnswerFunc   func,
                           gpointer                 data,
                           GError                 **error)
{
  return _io_connection_start_action (self, opcode, args, cancellable, NULL, func, data, error);
}

static void
return_answer (IOConnection *self,
               GVariant     *answer,
               GUnixFDList  *fds,
               const GError *error,
               gpointer      data)
{
  g_autoptr (GTask) task = data;

  if (error != NULL)
    {
      g_task_return_error (task, g_error_copy (error));
      return;
    }

  if (fds != NULL)
    g_object_set_data_full (G_OBJECT (task), "io-fds", g_object_ref (fds), g_object_unref);
  g_task_return_pointer (task, g_variant_ref (answer), (GDestroyNotify) g_variant_unref);
}

void
_io_connection_call_async (IOConnection *self,
                           IOOpcode      opcode,
                           GVariant     *args,
                           GTask        *task)
{
  GError *error = NULL;

  if (_io_connection_start_call (self, opcode, args, g_task_get_cancellable (task),
                                 return_answer, task, &error))
    return;

  g_task_return_error (task, error);
  g_object_unref (task);
}

GUnixFDList *
_io_connection_peek_task_fds (GTask *task)
{
  return g_object_get_data (G_OBJECT (task), "io-fds");
}
