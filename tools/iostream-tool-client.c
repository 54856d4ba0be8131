/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "iostream-tool.h"

ToolClientOptions tool_client_options;

/* How long an owner that hangs can delay the end. */
#define CLOSE_TIMEOUT G_USEC_PER_SEC

static gboolean
more_cb (gpointer user_data)
{
  ToolClient *self = user_data;

  self->more = 0;
  tool_client_look (self);

  return G_SOURCE_REMOVE;
}

/* Nothing is left in the queue. The stream is over when its owner has stopped
 * it or terminated it; an owner that is gone without a word is an error. */
static void
check_end (ToolClient *self)
{
  IOStreamState state = io_stream_connection_get_state (self->connection);
  const GError *error;

  if (io_connection_is_connected (IO_CONNECTION (self->connection)))
    {
      if (self->started && state != IO_STREAM_STATE_RUNNING && state != IO_STREAM_STATE_SUSPENDED)
        tool_run_end (&self->run, 0);
      return;
    }

  error = io_connection_get_error (IO_CONNECTION (self->connection));
  if (error != NULL)
    tool_run_fail (&self->run, error);
  else
    tool_run_end (&self->run, 0);
}

void
tool_client_look (ToolClient *self)
{
  if (self->run.ended || self->connection == NULL)
    return;

  switch (self->pump (self))
    {
    case TOOL_PUMP_EMPTY:
      check_end (self);
      break;
    case TOOL_PUMP_MORE:
      /* Signals of the user come in between. */
      if (self->more == 0)
        self->more = g_idle_add_full (G_PRIORITY_DEFAULT, more_cb, self, NULL);
      break;
    case TOOL_PUMP_BLOCKED:
    default:
      break;
    }
}

static void
started_cb (GObject      *object,
            GAsyncResult *result,
            gpointer      user_data)
{
  ToolClient *self = user_data;
  g_autoptr (GError) error = NULL;

  self->pending = FALSE;
  if (!io_stream_connection_start_finish (self->connection, result, &error))
    {
      /* The owner's own words need not say what they are about. */
      g_prefix_error (&error, "Cannot start stream “%s”: ",
                      io_connection_get_name (IO_CONNECTION (self->connection)));
      tool_run_fail (&self->run, error);
      return;
    }

  self->started = TRUE;
  if (self->started_cb != NULL && !self->run.ended)
    self->started_cb (self);
  tool_client_look (self);
}

static void
opened_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      user_data)
{
  ToolClient *self = user_data;
  g_autoptr (GError) error = NULL;

  self->pending = FALSE;
  if (!io_connection_open_finish (IO_CONNECTION (self->connection), result, &error))
    {
      tool_run_fail (&self->run, error);
      return;
    }
  if (self->run.ended)
    return;

  g_signal_connect_swapped (self->connection, "output-available", G_CALLBACK (tool_client_look), self);
  g_signal_connect_swapped (self->connection, "notify::state", G_CALLBACK (tool_client_look), self);
  g_signal_connect_swapped (self->connection, "disconnected", G_CALLBACK (tool_client_look), self);
  self->pending = TRUE;
  io_stream_connection_start_async (self->connection, self->cancellable, started_cb, self);
}

static void
connected_cb (GObject      *object,
              GAsyncResult *result,
              gpointer      user_data)
{
  ToolClient *self = user_data;
  g_autoptr (GError) error = NULL;
  GObject *connection = g_async_initable_new_finish (G_ASYNC_INITABLE (object), result, &error);

  self->pending = FALSE;
  if (connection == NULL)
    {
      tool_run_fail (&self->run, error);
      return;
    }

  self->connection = IO_STREAM_CONNECTION (connection);
  if (self->run.ended)
    return;
  self->pending = TRUE;
  io_connection_open_async (IO_CONNECTION (self->connection), tool_client_options.share != NULL ? IO_STREAM_OPEN_SHARED : 0,
                            self->cancellable, opened_cb, self);
}

/* FALSE if the options say what cannot be. */
static gboolean
check_options (const Tool       *tool,
               IOStreamDelivery *delivery)
{
  g_autoptr (GEnumClass) deliveries = g_type_class_ref (IO_TYPE_STREAM_DELIVERY);
  const char *share = tool_client_options.share;
  GEnumValue *value = share != NULL ? g_enum_get_value_by_nick (deliveries, share) : NULL;
  int replay = tool_client_options.replay;

  *delivery = value != NULL ? (IOStreamDelivery) value->value : IO_STREAM_DELIVERY_BLOCK;
  if (share != NULL && value == NULL)
    tool_misuse (tool, "“%s” is none of block, drop-newest, drop-oldest and latest", share);
  else if (replay < 0 || (guint) replay > IO_STREAM_MAX_BUFFERS)
    tool_misuse (tool, "“%d” is not a number of buffers", replay);
  else
    return TRUE;

  return FALSE;
}

/* In order, so that the owner does not take this for an accident. */
static void
leave (ToolClient *self)
{
  IOConnection *connection = IO_CONNECTION (self->connection);

  g_signal_handlers_disconnect_by_data (connection, self);
  io_connection_set_timeout (connection, CLOSE_TIMEOUT);
  if (io_connection_is_connected (connection) && io_connection_is_open (connection))
    io_connection_close (connection, NULL, NULL);
  g_clear_object (&self->connection);
}

int
tool_client_run (ToolClient *self,
                 const Tool *tool,
                 const char *name)
{
  IOStreamDelivery delivery;
  int status;

  if (!check_options (tool, &delivery))
    return TOOL_EXIT_USAGE;

  tool_run_init (&self->run, tool);
  self->cancellable = g_cancellable_new ();
  self->pending = TRUE;
  g_async_initable_new_async (IO_TYPE_STREAM_CONNECTION, G_PRIORITY_DEFAULT, self->cancellable, connected_cb, self,
                              "name", name, "delivery", delivery, "replay", (guint) tool_client_options.replay, NULL);

  status = tool_run_loop (&self->run);

  g_cancellable_cancel (self->cancellable);
  while (self->pending)
    g_main_context_iteration (NULL, TRUE);
  if (self->connection != NULL)
    leave (self);
  if (self->more != 0)
    g_source_remove (self->more);
  g_clear_object (&self->cancellable);
  tool_run_clear (&self->run);

  return status;
}
