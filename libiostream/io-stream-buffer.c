/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-buffer-private.h"

/**
 * SECTION:io-stream-buffer
 * @title: IOStreamBuffer
 * @short_description: One buffer of a stream: a data part and a control part
 *
 * An #IOStreamBuffer is a piece of shared memory with a number. Its data part
 * carries the payload, its control part what describes it (format, counters,
 * checksum): what is in there is between the owner and its clients. Either
 * part may be absent.
 *
 * # Life cycle
 *
 * Most buffers are made by the stream itself (see io_stream_new() and the
 * properties of #IOStream). io_stream_buffer_new() makes one over memory that
 * the application chose, for example over a dma-buf; it gets its number when
 * it is added with io_stream_add_buffer(), and keeps its memory as long as the
 * stream is open.
 *
 * # Ownership
 *
 * A buffer holds its memory, and the mapping of it. A stream holds its
 * buffers; a buffer does not hold its stream. Addresses given out by
 * io_stream_buffer_peek_data() are good as long as the buffer lives and its
 * memory is not replaced; the maps from io_stream_buffer_get_data_map() keep
 * the memory mapped on their own.
 *
 * # Threads
 *
 * Reading the properties and the memory is safe from any thread. Who may write
 * the bytes follows from the loans of the stream: the owner while it has the
 * buffer, the client while it is lent to it. What a client can write, it can
 * write at any time if it is hostile: copy before you parse.
 *
 * It answers to Apple's IOStreamBuffer.
 */

/**
 * IOStreamBuffer:
 *
 * One buffer of a stream.
 *
 * Since: 1.0
 */

typedef struct {
  IOMemoryDescriptor            *data;
  IOMemoryDescriptor            *control;
  IOMemoryMap                   *data_map;
  IOMemoryMap                   *control_map;
  IOStreamBufferParts            parts;
  guint32                        id;
  gpointer                       home;
  const IOStreamBufferHomeFuncs *funcs;
} IOStreamBufferPrivate;

G_DEFINE_TYPE_WITH_PRIVATE (IOStreamBuffer, io_stream_buffer, G_TYPE_OBJECT)

enum {
  PROP_0,
  PROP_BUFFER_ID,
  PROP_DATA_BUFFER,
  PROP_CONTROL_BUFFER,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static IOStreamBufferPrivate *
get_private (IOStreamBuffer *self)
{
  return io_stream_buffer_get_instance_private (self);
}

static void
io_stream_buffer_dispose (GObject *object)
{
  IOStreamBufferPrivate *priv = get_private (IO_STREAM_BUFFER (object));

  priv->home = NULL;
  memset (&priv->parts, 0, sizeof priv->parts);
  g_clear_object (&priv->data_map);
  g_clear_object (&priv->control_map);
  g_clear_object (&priv->data);
  g_clear_object (&priv->control);

  G_OBJECT_CLASS (io_stream_buffer_parent_class)->dispose (object);
}

static void
io_stream_buffer_get_property (GObject    *object,
                               guint       prop_id,
                               GValue     *value,
                               GParamSpec *pspec)
{
  IOStreamBuffer *self = IO_STREAM_BUFFER (object);

  switch (prop_id)
    {
    case PROP_BUFFER_ID:
      g_value_set_uint (value, io_stream_buffer_get_buffer_id (self));
      break;
    case PROP_DATA_BUFFER:
      g_value_set_object (value, io_stream_buffer_get_data_buffer (self));
      break;
    case PROP_CONTROL_BUFFER:
      g_value_set_object (value, io_stream_buffer_get_control_buffer (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
io_stream_buffer_set_property (GObject      *object,
                               guint         prop_id,
                               const GValue *value,
                               GParamSpec   *pspec)
{
  IOStreamBufferPrivate *priv = get_private (IO_STREAM_BUFFER (object));

  switch (prop_id)
    {
    case PROP_DATA_BUFFER:
      priv->data = g_value_dup_object (value);
      break;
    case PROP_CONTROL_BUFFER:
      priv->control = g_value_dup_object (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
io_stream_buffer_class_init (IOStreamBufferClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->dispose = io_stream_buffer_dispose;
  object_class->get_property = io_stream_buffer_get_property;
  object_class->set_property = io_stream_buffer_set_property;

  /**
   * IOStreamBuffer:buffer-id:
   *
   * The number of the buffer in its stream, or %IO_STREAM_BUFFER_ID_INVALID.
   *
   * Since: 1.0
   */
  properties[PROP_BUFFER_ID] =
    g_param_spec_uint ("buffer-id", NULL, NULL,
                       0, G_MAXUINT32, IO_STREAM_BUFFER_ID_INVALID,
                       G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);

  /**
   * IOStreamBuffer:data-buffer:
   *
   * The memory of the data part, or %NULL.
   *
   * Since: 1.0
   */
  properties[PROP_DATA_BUFFER] =
    g_param_spec_object ("data-buffer", NULL, NULL, IO_TYPE_MEMORY_DESCRIPTOR,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY |
                         G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);

  /**
   * IOStreamBuffer:control-buffer:
   *
   * The memory of the control part, or %NULL.
   *
   * Since: 1.0
   */
  properties[PROP_CONTROL_BUFFER] =
    g_param_spec_object ("control-buffer", NULL, NULL, IO_TYPE_MEMORY_DESCRIPTOR,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY |
                         G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
io_stream_buffer_init (IOStreamBuffer *self)
{
  get_private (self)->id = IO_STREAM_BUFFER_ID_INVALID;
}

/* NULL for a part that is absent. */
static gboolean
make_map (IOMemoryDescriptor  *memory,
          IOMemoryMap        **map,
          GError             **error)
{
  *map = NULL;
  if (memory == NULL)
    return TRUE;

  /* Entries have 32 bits for offsets and lengths. */
  if (io_memory_descriptor_get_length (memory) > G_MAXUINT32)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT,
                   "Cannot make a part of a buffer from %" G_GSIZE_FORMAT " bytes: at most %u",
                   io_memory_descriptor_get_length (memory), G_MAXUINT32);
      return FALSE;
    }

  *map = io_memory_descriptor_map (memory,
                                   io_memory_descriptor_is_writable (memory) ? IO_MEMORY_MAP_NONE
                                                                             : IO_MEMORY_MAP_READ_ONLY,
                                   error);

  return *map != NULL;
}

static gboolean
map_part (IOMemoryDescriptor  *memory,
          IOMemoryMap        **map,
          guint8             **address,
          gsize               *size,
          GError             **error)
{
  if (memory == NULL || *map != NULL)
    return TRUE;
  if (!make_map (memory, map, error))
    return FALSE;

  *address = io_memory_map_peek_address (*map);
  *size = io_memory_map_get_length (*map);

  return TRUE;
}

gboolean
_io_stream_buffer_map (IOStreamBuffer  *self,
                       GError         **error)
{
  IOStreamBufferPrivate *priv = get_private (self);

  return map_part (priv->data, &priv->data_map,
                   &priv->parts.data, &priv->parts.data_size, error) &&
         map_part (priv->control, &priv->control_map,
                   &priv->parts.control, &priv->parts.control_size, error);
}

const IOStreamBufferParts *
_io_stream_buffer_peek_parts (IOStreamBuffer *self)
{
  return &get_private (self)->parts;
}

void
_io_stream_buffer_set_home (IOStreamBuffer                *self,
                            gpointer                       home,
                            const IOStreamBufferHomeFuncs *funcs,
                            guint32                        id)
{
  IOStreamBufferPrivate *priv = get_private (self);

  priv->home = home;
  priv->funcs = home != NULL ? funcs : NULL;
  if (priv->id == id)
    return;

  priv->id = id;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_BUFFER_ID]);
}

gpointer
_io_stream_buffer_peek_home (IOStreamBuffer *self)
{
  return get_private (self)->home;
}

guint32
_io_stream_buffer_peek_id (IOStreamBuffer *self)
{
  return get_private (self)->id;
}

static void
replace_part (IOMemoryDescriptor **place,
              IOMemoryMap        **map,
              guint8             **address,
              gsize               *size,
              IOMemoryDescriptor  *memory)
{
  g_clear_object (map);
  *address = NULL;
  *size = 0;
  g_set_object (place, memory);
}

void
_io_stream_buffer_replace (IOStreamBuffer     *self,
                           IOMemoryDescriptor *data,
                           IOMemoryDescriptor *control)
{
  IOStreamBufferPrivate *priv = get_private (self);

  replace_part (&priv->data, &priv->data_map, &priv->parts.data, &priv->parts.data_size, data);
  replace_part (&priv->control, &priv->control_map, &priv->parts.control, &priv->parts.control_size, control);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_DATA_BUFFER]);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_CONTROL_BUFFER]);
}

static void
retire (gpointer   object,
        GPtrArray *retired)
{
  if (object != NULL && retired != NULL)
    g_ptr_array_add (retired, object);
  else
    g_clear_object (&object);
}

/* Takes over @map. Another thread may be looking. */
static void
renew_part (IOMemoryDescriptor **place,
            IOMemoryMap        **map_place,
            guint8             **address,
            gsize               *size,
            IOMemoryDescriptor  *memory,
            IOMemoryMap         *map,
            GPtrArray           *retired)
{
  IOMemoryDescriptor *old = *place;
  IOMemoryMap *old_map = *map_place;
  gsize length = map != NULL ? io_memory_map_get_length (map) : 0;

  __atomic_store_n (address, map != NULL ? io_memory_map_peek_address (map) : NULL, __ATOMIC_RELEASE);
  __atomic_store_n (map_place, map, __ATOMIC_RELEASE);
  __atomic_store_n (place, memory != NULL ? g_object_ref (memory) : NULL, __ATOMIC_RELEASE);
  if (*size != length)
    *size = length;
  retire (old, retired);
  retire (old_map, retired);
}

gboolean
_io_stream_buffer_renew (IOStreamBuffer      *self,
                         IOMemoryDescriptor  *data,
                         IOMemoryDescriptor  *control,
                         GPtrArray           *retired,
                         GError             **error)
{
  IOStreamBufferPrivate *priv = get_private (self);
  IOMemoryMap *data_map, *control_map;

  if (!make_map (data, &data_map, error))
    return FALSE;
  if (!make_map (control, &control_map, error))
    {
      g_clear_object (&data_map);
      return FALSE;
    }

  renew_part (&priv->data, &priv->data_map, &priv->parts.data, &priv->parts.data_size,
              data, data_map, retired);
  renew_part (&priv->control, &priv->control_map, &priv->parts.control, &priv->parts.control_size,
              control, control_map, retired);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_DATA_BUFFER]);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_CONTROL_BUFFER]);

  return TRUE;
}

/* A part may change as long as no client can be looking at it. */
static gboolean
set_part (IOStreamBuffer       *self,
          gboolean              is_control,
          IOMemoryDescriptor   *memory,
          GError              **error)
{
  IOStreamBufferPrivate *priv = get_private (self);
  g_autoptr (IOMemoryDescriptor) other = NULL;
  g_autoptr (IOMemoryMap) map = NULL;
  G_GNUC_UNUSED g_autoptr (IOStreamBuffer) keep = NULL;
  guint8 *address = NULL;
  gsize size = 0;

  if (priv->home != NULL && priv->funcs->is_in_use (priv->home))
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_STILL_OPEN,
                   "Cannot replace the %s memory of buffer %u: the stream is open",
                   is_control ? "control" : "data", priv->id);
      return FALSE;
    }

  /* Before anything changes: it is kept, so it cannot fail again. */
  if (!map_part (memory, &map, &address, &size, error))
    return FALSE;

  other = is_control ? priv->data : priv->control;
  if (other != NULL)
    g_object_ref (other);
  keep = g_object_ref (self);
  if (is_control)
    _io_stream_buffer_replace (self, other, memory);
  else
    _io_stream_buffer_replace (self, memory, other);
  if (!_io_stream_buffer_map (self, error))
    return FALSE;

  if (priv->home != NULL && priv->funcs->memory_changed != NULL)
    priv->funcs->memory_changed (priv->home);

  return TRUE;
}

/**
 * io_stream_buffer_new:
 * @data: (nullable): memory of the data part
 * @control: (nullable): memory of the control part
 *
 * Makes a buffer over memory that exists. It holds references to both parts,
 * and has no number until it is added to a stream.
 *
 * Any thread. Apple's withMemoryDescriptors().
 *
 * Returns: (transfer full): the new buffer
 * Since: 1.0
 */
IOStreamBuffer *
io_stream_buffer_new (IOMemoryDescriptor *data,
                      IOMemoryDescriptor *control)
{
  g_return_val_if_fail (data == NULL || IO_IS_MEMORY_DESCRIPTOR (data), NULL);
  g_return_val_if_fail (control == NULL || IO_IS_MEMORY_DESCRIPTOR (control), NULL);

  return g_object_new (IO_TYPE_STREAM_BUFFER,
                       "data-buffer", data,
                       "control-buffer", control,
                       NULL);
}

/**
 * io_stream_buffer_get_buffer_id:
 * @self: a buffer
 *
 * Gets the number of the buffer: its place in the stream, from 0 on without
 * gaps. Apple's getBufferID().
 *
 * Any thread.
 *
 * Returns: the number, or %IO_STREAM_BUFFER_ID_INVALID if it is in no stream
 * Since: 1.0
 */
guint32
io_stream_buffer_get_buffer_id (IOStreamBuffer *self)
{
  g_return_val_if_fail (IO_IS_STREAM_BUFFER (self), IO_STREAM_BUFFER_ID_INVALID);

  return get_private (self)->id;
}

/**
 * io_stream_buffer_get_data_buffer:
 * @self: a buffer
 *
 * Gets the memory of the data part. Apple's getDataBuffer().
 *
 * Any thread.
 *
 * Returns: (transfer none) (nullable): the memory, or %NULL if there is no
 *   data part
 * Since: 1.0
 */
IOMemoryDescriptor *
io_stream_buffer_get_data_buffer (IOStreamBuffer *self)
{
  g_return_val_if_fail (IO_IS_STREAM_BUFFER (self), NULL);

  return __atomic_load_n (&get_private (self)->data, __ATOMIC_ACQUIRE);
}

/**
 * io_stream_buffer_set_data_buffer:
 * @self: a buffer
 * @data: (nullable): the new memory
 * @error: return location for an error
 *
 * Puts other memory behind the data part. Addresses given out before are no
 * longer good; maps that somebody holds are. If the buffer is in a stream,
 * #IOStream::memory-changed is emitted, and the next client gets the new
 * memory and never the old one. Apple's setDataBuffer().
 *
 * In the thread of the stream, while no other thread uses the buffer. Fails
 * with %IO_STREAM_ERROR_STILL_OPEN while a client has the stream open,
 * %IO_STREAM_ERROR_BAD_ARGUMENT for 4 GiB or more, and with
 * %IO_STREAM_ERROR_VM_ERROR if the memory cannot be mapped; the buffer then
 * stays as it was.
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_buffer_set_data_buffer (IOStreamBuffer      *self,
                                  IOMemoryDescriptor  *data,
                                  GError             **error)
{
  g_return_val_if_fail (IO_IS_STREAM_BUFFER (self), FALSE);
  g_return_val_if_fail (data == NULL || IO_IS_MEMORY_DESCRIPTOR (data), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return set_part (self, FALSE, data, error);
}

/**
 * io_stream_buffer_get_control_buffer:
 * @self: a buffer
 *
 * Gets the memory of the control part. Apple's getControlBuffer().
 *
 * Any thread.
 *
 * Returns: (transfer none) (nullable): the memory, or %NULL if there is no
 *   control part
 * Since: 1.0
 */
IOMemoryDescriptor *
io_stream_buffer_get_control_buffer (IOStreamBuffer *self)
{
  g_return_val_if_fail (IO_IS_STREAM_BUFFER (self), NULL);

  return __atomic_load_n (&get_private (self)->control, __ATOMIC_ACQUIRE);
}

/**
 * io_stream_buffer_set_control_buffer:
 * @self: a buffer
 * @control: (nullable): the new memory
 * @error: return location for an error
 *
 * Puts other memory behind the control part; see
 * io_stream_buffer_set_data_buffer(). Apple's setControlBuffer().
 *
 * In the thread of the stream.
 *
 * Returns: %TRUE on success
 * Since: 1.0
 */
gboolean
io_stream_buffer_set_control_buffer (IOStreamBuffer      *self,
                                     IOMemoryDescriptor  *control,
                                     GError             **error)
{
  g_return_val_if_fail (IO_IS_STREAM_BUFFER (self), FALSE);
  g_return_val_if_fail (control == NULL || IO_IS_MEMORY_DESCRIPTOR (control), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return set_part (self, TRUE, control, error);
}

/**
 * io_stream_buffer_get_data_map:
 * @self: a buffer
 *
 * Gets the mapping of the data part. It is writable where this process may
 * write the buffer. Hold a reference to keep the memory mapped for longer than
 * the buffer lives.
 *
 * Any thread.
 *
 * Returns: (transfer none) (nullable): the map, or %NULL if there is no data
 *   part or it is not mapped yet
 * Since: 1.0
 */
IOMemoryMap *
io_stream_buffer_get_data_map (IOStreamBuffer *self)
{
  g_return_val_if_fail (IO_IS_STREAM_BUFFER (self), NULL);

  return __atomic_load_n (&get_private (self)->data_map, __ATOMIC_ACQUIRE);
}

/**
 * io_stream_buffer_get_control_map:
 * @self: a buffer
 *
 * Gets the mapping of the control part; see io_stream_buffer_get_data_map().
 *
 * Any thread.
 *
 * Returns: (transfer none) (nullable): the map, or %NULL if there is no control
 *   part or it is not mapped yet
 * Since: 1.0
 */
IOMemoryMap *
io_stream_buffer_get_control_map (IOStreamBuffer *self)
{
  g_return_val_if_fail (IO_IS_STREAM_BUFFER (self), NULL);

  return __atomic_load_n (&get_private (self)->control_map, __ATOMIC_ACQUIRE);
}

/**
 * io_stream_buffer_peek_data: (skip)
 * @self: a buffer
 * @length: (out) (optional): size of the data part in bytes
 *
 * Gets the address of the data part: borrowed, good as long as the buffer
 * lives and its memory is not replaced. If the other side may write the
 * memory, it may change at any time.
 *
 * Any thread. Other languages use io_stream_buffer_get_data_map().
 *
 * Returns: (nullable): the address, or %NULL if there is no data part
 * Since: 1.0
 */
void *
io_stream_buffer_peek_data (IOStreamBuffer *self,
                            gsize          *length)
{
  const IOStreamBufferParts *parts;

  g_return_val_if_fail (IO_IS_STREAM_BUFFER (self), NULL);

  parts = &get_private (self)->parts;
  if (length != NULL)
    *length = parts->data_size;

  return __atomic_load_n (&parts->data, __ATOMIC_ACQUIRE);
}

/**
 * io_stream_buffer_peek_control: (skip)
 * @self: a buffer
 * @length: (out) (optional): size of the control part in bytes
 *
 * Gets the address of the control part; see io_stream_buffer_peek_data().
 *
 * Any thread.
 *
 * Returns: (nullable): the address, or %NULL if there is no control part
 * Since: 1.0
 */
void *
io_stream_buffer_peek_control (IOStreamBuffer *self,
                               gsize          *length)
{
  const IOStreamBufferParts *parts;

  g_return_val_if_fail (IO_IS_STREAM_BUFFER (self), NULL);

  parts = &get_private (self)->parts;
  if (length != NULL)
    *length = parts->control_size;

  return __atomic_load_n (&parts->control, __ATOMIC_ACQUIRE);
}

/**
 * io_stream_buffer_get_client_reference_count:
 * @self: a buffer
 *
 * Tells how many clients hold the buffer at the moment (in the owner), or
 * whether this connection holds it (in a client). It is never negative, and
 * the library keeps it: there is no way to send or receive references by hand.
 *
 * Any thread. Apple's getClientReferenceCount().
 *
 * Returns: the number of holders; 0 for a buffer in no stream
 * Since: 1.0
 */
int
io_stream_buffer_get_client_reference_count (IOStreamBuffer *self)
{
  IOStreamBufferPrivate *priv;

  g_return_val_if_fail (IO_IS_STREAM_BUFFER (self), 0);

  priv = get_private (self);

  return priv->home != NULL ? priv->funcs->get_reference_count (priv->home, self) : 0;
}
