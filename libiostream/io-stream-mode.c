/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-private.h"

#include "io-enum-types.h"
#include "io-fork-private.h"

void
_io_stream_set_mode_attribute (IOStream *self)
{
  g_autoptr (GEnumClass) modes = g_type_class_ref (IO_TYPE_STREAM_MODE);
  GEnumValue *value = g_enum_get_value (modes, (int) _io_stream_get_private (self)->mode);

  io_service_set_attribute (IO_SERVICE (self), "mode", g_variant_new_string (value->value_nick));
}

/**
 * io_stream_get_mode:
 * @self: a stream
 *
 * Gets which way payload travels. Apple's getStreamMode().
 *
 * Any thread.
 *
 * Returns: the mode
 * Since: 1.0
 */
IOStreamMode
io_stream_get_mode (IOStream *self)
{
  IOStreamPrivate *priv;
  IOStreamMode mode;

  g_return_val_if_fail (IO_IS_STREAM (self), IO_STREAM_MODE_OUTPUT);

  priv = _io_stream_get_private (self);
  g_mutex_lock (&priv->lock);
  mode = priv->mode;
  g_mutex_unlock (&priv->lock);

  return mode;
}

static gboolean
run_set_mode (IOStream      *self,
              IOStreamMode   mode,
              GError       **error)
{
  IOStreamClass *klass = IO_STREAM_GET_CLASS (self);
  g_autoptr (GError) local_error = NULL;

  if (klass->set_mode == NULL || klass->set_mode (self, mode, &local_error))
    return TRUE;

  if (local_error == NULL)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_FAILED,
                 "The set_mode method of %s failed without saying why", G_OBJECT_TYPE_NAME (self));
  else
    g_propagate_error (error, g_steal_pointer (&local_error));

  return FALSE;
}

/* Clients shall be able to do what the mode asks of them. */
static gboolean
check_supported (IOStream      *self,
                 IOStreamMode   mode,
                 GError       **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  const char *name = io_service_get_name (IO_SERVICE (self));

  if (mode == IO_STREAM_MODE_OUTPUT)
    return TRUE;
  if (priv->links->len > 0 && priv->shared)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_UNSUPPORTED_MODE,
                   "Cannot have the clients of stream “%s” fill its buffers: they share it", name);
      return FALSE;
    }

  for (guint id = 0; id < priv->buffers->len; id++)
    if (!_io_stream_is_fillable (self, g_ptr_array_index (priv->buffers, id)))
      {
        g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_UNSUPPORTED_MODE,
                     "Cannot have the clients of stream “%s” fill its buffers: they can only read buffer %u",
                     name, id);
        return FALSE;
      }

  return TRUE;
}

/* With a buffer on its way, the two sides could not agree on what it is for.
 * What comes back is collected first. */
static gboolean
begin_change_locked (IOStream         *self,
                     IOStreamPrivate  *priv,
                     GError          **error)
{
  const char *name = io_service_get_name (IO_SERVICE (self));
  IOStreamLink *holder;

  _io_stream_drain_locked (priv);
  holder = _io_stream_find_worst_locked (priv);
  if (priv->mode_changing)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY,
                 "The mode of stream “%s” is changing already", name);
  else if (holder != NULL)
    g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BUSY,
                 "Cannot change the mode of stream “%s”: client “%s” holds %u of its buffers",
                 name, io_user_client_get_client_name (holder->client), holder->holder.count);
  else
    {
      priv->mode_changing = TRUE;
      _io_stream_history_clear_locked (priv);
      return TRUE;
    }

  return FALSE;
}

/* In the page before the first entry that means it. The context may not have
 * listened for returns until now. */
static void
end_change_locked (IOStreamPrivate *priv,
                   IOStreamMode     mode)
{
  priv->mode_changing = FALSE;
  priv->mode = mode;

  for (guint i = 0; i < priv->links->len && priv->fork_count == _io_fork_count (); i++)
    {
      IOStreamLink *link = _io_stream_link_at (priv, i);

      atomic_store_explicit (&link->own.page->mode, (guint32) mode, memory_order_release);
      _io_notification_port_ring (link->port);
      _io_notification_port_wake (link->port);
    }
}

static gboolean
change_mode (IOStream      *self,
             IOStreamMode   mode,
             GError       **error)
{
  IOStreamPrivate *priv = _io_stream_get_private (self);
  gboolean done;

  g_mutex_lock (&priv->lock);
  done = begin_change_locked (self, priv, error);
  g_mutex_unlock (&priv->lock);
  if (!done)
    return FALSE;

  /* The method may have added buffers. */
  done = run_set_mode (self, mode, error) && check_supported (self, mode, error);

  g_mutex_lock (&priv->lock);
  end_change_locked (priv, done ? mode : priv->mode);
  g_mutex_unlock (&priv->lock);

  return done;
}

/**
 * io_stream_set_mode:
 * @self: a stream
 * @mode: the new mode
 * @error: return location for an error
 *
 * Changes which way payload travels. Apple's setStreamMode().
 *
 * Inside of the class's method nothing can be sent (%IO_STREAM_ERROR_BUSY).
 * A client that has the stream open sees the new mode before the first entry
 * that was sent in it.
 *
 * In the thread of the stream. Fails with %IO_STREAM_ERROR_STILL_OPEN while a
 * client has the stream open, unless the class lets it;
 * %IO_STREAM_ERROR_BUSY while that client holds buffers, so that there is
 * never a doubt what one of them is for, and inside of the class's method;
 * %IO_STREAM_ERROR_UNSUPPORTED_MODE if clients would have to write buffers
 * that they can only read.
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_set_mode (IOStream      *self,
                    IOStreamMode   mode,
                    GError       **error)
{
  g_autoptr (IOStream) keep = NULL;
  IOStreamPrivate *priv;

  g_return_val_if_fail (IO_IS_STREAM (self), FALSE);
  g_return_val_if_fail (mode <= IO_STREAM_MODE_INPUT_OUTPUT, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  priv = _io_stream_get_private (self);
  if (priv->mode == mode)
    return TRUE;
  if (!_io_stream_ensure (self, &keep, error) || !_io_stream_check_process (self, error) ||
      !check_supported (self, mode, error))
    return FALSE;

  g_set_object (&keep, self);
  if (!change_mode (self, mode, error))
    return FALSE;

  _io_stream_set_mode_attribute (self);
  g_object_notify (G_OBJECT (self), "mode");

  return TRUE;
}
