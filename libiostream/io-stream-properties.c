/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-private.h"

#include "io-enum-types.h"

/* What a stream can be asked, and told, by name. */

enum {
  PROP_0,
  PROP_MODE,
  PROP_STATE,
  PROP_BUFFER_COUNT,
  PROP_DATA_SIZE,
  PROP_CONTROL_SIZE,
  PROP_QUEUE_LENGTH,
  PROP_PEER_ACCESS,
  PROP_TIMESTAMPS,
  PROP_MAX_CLIENTS,
  PROP_DELIVERIES,
  PROP_RESERVE_COUNT,
  PROP_CLIENT_ALLOWANCE,
  PROP_HISTORY_COUNT,
  PROP_LOAN_TIME_LIMIT,
  PROP_LOAN_ACTION,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static guint
count_buffers (IOStreamPrivate *priv)
{
  guint count;

  g_mutex_lock (&priv->lock);
  count = priv->initialized ? priv->buffers->len : priv->buffer_count;
  g_mutex_unlock (&priv->lock);

  return count;
}

static void
io_stream_get_property (GObject    *object,
                        guint       prop_id,
                        GValue     *value,
                        GParamSpec *pspec)
{
  IOStream *self = IO_STREAM (object);
  IOStreamPrivate *priv = _io_stream_get_private (self);

  switch (prop_id)
    {
    case PROP_MODE:
      g_value_set_enum (value, io_stream_get_mode (self));
      break;
    case PROP_STATE:
      g_value_set_enum (value, io_stream_get_state (self));
      break;
    case PROP_BUFFER_COUNT:
      g_value_set_uint (value, count_buffers (priv));
      break;
    case PROP_DATA_SIZE:
      g_value_set_uint64 (value, priv->data_size);
      break;
    case PROP_CONTROL_SIZE:
      g_value_set_uint64 (value, priv->control_size);
      break;
    case PROP_QUEUE_LENGTH:
      g_value_set_uint (value, priv->queue_length);
      break;
    case PROP_PEER_ACCESS:
      g_value_set_enum (value, priv->peer_access);
      break;
    case PROP_TIMESTAMPS:
      g_value_set_boolean (value, priv->timestamps);
      break;
    case PROP_MAX_CLIENTS:
      g_value_set_uint (value, priv->max_clients);
      break;
    case PROP_DELIVERIES:
      g_value_set_flags (value, priv->deliveries);
      break;
    case PROP_RESERVE_COUNT:
      g_value_set_uint (value, io_stream_get_reserve_count (self));
      break;
    case PROP_CLIENT_ALLOWANCE:
      g_value_set_uint (value, io_stream_get_client_allowance (self));
      break;
    case PROP_HISTORY_COUNT:
      g_value_set_uint (value, io_stream_get_history_count (self));
      break;
    case PROP_LOAN_TIME_LIMIT:
      g_value_set_int64 (value, io_stream_get_loan_time_limit (self));
      break;
    case PROP_LOAN_ACTION:
      g_value_set_enum (value, io_stream_get_loan_action (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
io_stream_set_property (GObject      *object,
                        guint         prop_id,
                        const GValue *value,
                        GParamSpec   *pspec)
{
  IOStream *self = IO_STREAM (object);
  IOStreamPrivate *priv = _io_stream_get_private (self);

  switch (prop_id)
    {
    case PROP_MODE:
      priv->mode = g_value_get_enum (value);
      break;
    case PROP_BUFFER_COUNT:
      priv->buffer_count = g_value_get_uint (value);
      break;
    case PROP_DATA_SIZE:
      priv->data_size = g_value_get_uint64 (value);
      break;
    case PROP_CONTROL_SIZE:
      priv->control_size = g_value_get_uint64 (value);
      break;
    case PROP_QUEUE_LENGTH:
      priv->queue_length = g_value_get_uint (value);
      break;
    case PROP_PEER_ACCESS:
      priv->peer_access = g_value_get_enum (value);
      break;
    case PROP_TIMESTAMPS:
      priv->timestamps = g_value_get_boolean (value);
      break;
    case PROP_MAX_CLIENTS:
      priv->max_clients = g_value_get_uint (value);
      break;
    case PROP_DELIVERIES:
      priv->deliveries = g_value_get_flags (value);
      break;
    case PROP_RESERVE_COUNT:
      io_stream_set_reserve_count (self, g_value_get_uint (value));
      break;
    case PROP_CLIENT_ALLOWANCE:
      io_stream_set_client_allowance (self, g_value_get_uint (value));
      break;
    case PROP_HISTORY_COUNT:
      io_stream_set_history_count (self, g_value_get_uint (value));
      break;
    case PROP_LOAN_TIME_LIMIT:
      io_stream_set_loan_time_limit (self, g_value_get_int64 (value));
      break;
    case PROP_LOAN_ACTION:
      io_stream_set_loan_action (self, g_value_get_enum (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

#define CONSTRUCT (G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | \
                   G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY)

#define SETTABLE (G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY)

static void
define_properties (void)
{
  /**
   * IOStream:mode:
   *
   * Which way payload travels.
   *
   * Since: 1.0
   */
  properties[PROP_MODE] =
    g_param_spec_enum ("mode", NULL, NULL, IO_TYPE_STREAM_MODE, IO_STREAM_MODE_OUTPUT, CONSTRUCT);

  /**
   * IOStream:state:
   *
   * Where the stream is in its life.
   *
   * Since: 1.0
   */
  properties[PROP_STATE] =
    g_param_spec_enum ("state", NULL, NULL, IO_TYPE_STREAM_STATE, IO_STREAM_STATE_CLOSED,
                       G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);

  /**
   * IOStream:buffer-count:
   *
   * How many buffers the stream makes for itself; read, how many it has.
   *
   * Since: 1.0
   */
  properties[PROP_BUFFER_COUNT] =
    g_param_spec_uint ("buffer-count", NULL, NULL, 0, IO_STREAM_MAX_BUFFERS, 0, CONSTRUCT);
}

/* What it makes its buffers and queues from. */
static void
define_shape (void)
{
  /**
   * IOStream:data-size:
   *
   * Size in bytes of the data part of each buffer that the stream makes.
   *
   * Since: 1.0
   */
  properties[PROP_DATA_SIZE] =
    g_param_spec_uint64 ("data-size", NULL, NULL, 0, G_MAXUINT32, 0, CONSTRUCT);

  /**
   * IOStream:control-size:
   *
   * Size in bytes of the control part of each buffer that the stream makes.
   *
   * Since: 1.0
   */
  properties[PROP_CONTROL_SIZE] =
    g_param_spec_uint64 ("control-size", NULL, NULL, 0, G_MAXUINT32, 0, CONSTRUCT);

  /**
   * IOStream:queue-length:
   *
   * How many buffers a client can hold at a time; 0 for all of them. If it is
   * 0, buffers can be added while the stream is open only as long as there are
   * not more than the queues have entries.
   *
   * Since: 1.0
   */
  properties[PROP_QUEUE_LENGTH] =
    g_param_spec_uint ("queue-length", NULL, NULL, 0, IO_STREAM_MAX_BUFFERS, 0, CONSTRUCT);

  /**
   * IOStream:peer-access:
   *
   * What clients can do with the buffers that the stream makes; held by the
   * kernel.
   *
   * Since: 1.0
   */
  properties[PROP_PEER_ACCESS] =
    g_param_spec_enum ("peer-access", NULL, NULL, IO_TYPE_STREAM_PEER_ACCESS,
                       IO_STREAM_PEER_ACCESS_BY_MODE, CONSTRUCT);

  /**
   * IOStream:timestamps:
   *
   * Whether each entry is stamped with the time when it was sent.
   *
   * Since: 1.0
   */
  properties[PROP_TIMESTAMPS] =
    g_param_spec_boolean ("timestamps", NULL, NULL, FALSE, CONSTRUCT);
}

/* Who may have it open together, and how much each may hold. */
static void
define_sharing (void)
{
  /**
   * IOStream:max-clients:
   *
   * How many clients can have the stream open at a time, if they share it.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_CLIENTS] =
    g_param_spec_uint ("max-clients", NULL, NULL, 1, IO_STREAM_MAX_CLIENTS, IO_STREAM_MAX_CLIENTS, CONSTRUCT);

  /**
   * IOStream:deliveries:
   *
   * What clients can choose for the case that they are slow
   * (#IOStreamConnection:delivery). An owner that nobody may hold back leaves
   * out %IO_STREAM_DELIVERY_FLAG_BLOCK.
   *
   * Since: 1.0
   */
  properties[PROP_DELIVERIES] =
    g_param_spec_flags ("deliveries", NULL, NULL, IO_TYPE_STREAM_DELIVERY_FLAGS,
                        IO_STREAM_DELIVERY_FLAG_ANY, CONSTRUCT);

  /**
   * IOStream:reserve-count:
   *
   * How many buffers all clients together leave to the owner. What would touch
   * them is not sent (%IO_STREAM_ERROR_OVERRUN) while a client with
   * %IO_STREAM_DELIVERY_BLOCK runs, and else misses all.
   *
   * Since: 1.0
   */
  properties[PROP_RESERVE_COUNT] =
    g_param_spec_uint ("reserve-count", NULL, NULL, 0, IO_STREAM_MAX_BUFFERS, 0, SETTABLE);

  /**
   * IOStream:client-allowance:
   *
   * How many buffers one client can hold at a time. 0 stands for all of them
   * if one client has the stream for itself, and for half of what
   * #IOStream:reserve-count leaves if clients share it, so that none of them
   * can keep everything from the others. io_user_client_set_limits() and the
   * length of the queues can make it less.
   *
   * Since: 1.0
   */
  properties[PROP_CLIENT_ALLOWANCE] =
    g_param_spec_uint ("client-allowance", NULL, NULL, 0, IO_STREAM_MAX_BUFFERS, 0, SETTABLE);
}

/* What becomes of buffers that were sent. */
static void
define_loans (void)
{
  /**
   * IOStream:history-count:
   *
   * How many of the buffers that were sent last are kept for clients that start
   * later, and ask for them (#IOStreamConnection:replay). In output mode only.
   * A buffer that is kept is not in anybody's way: if no other is free, or the
   * reserve would be touched, the oldest go first. What nobody took is kept
   * too, unless the clients held all that #IOStream:reserve-count leaves.
   *
   * What is kept outlives the clients, and may be old then: see
   * io_stream_clear_history(). It is forgotten when the mode, the memory of a
   * buffer, or the set of buffers changes, but not when buffers are added while
   * it is open.
   *
   * Since: 1.0
   */
  properties[PROP_HISTORY_COUNT] =
    g_param_spec_uint ("history-count", NULL, NULL, 0, IO_STREAM_MAX_BUFFERS, 0, SETTABLE);

  /**
   * IOStream:loan-time-limit:
   *
   * How long a client may hold a buffer, in microseconds; 0 for as long as it
   * likes. What it has not taken yet it holds too. Then
   * #IOStream::loan-expired is emitted and #IOStream:loan-action happens, within
   * some milliseconds. As long as it is 0 nothing is spent on it.
   *
   * Since: 1.0
   */
  properties[PROP_LOAN_TIME_LIMIT] =
    g_param_spec_int64 ("loan-time-limit", NULL, NULL, 0, G_MAXINT64 / 2, 0, SETTABLE);

  /**
   * IOStream:loan-action:
   *
   * What follows when a client holds a buffer for longer than
   * #IOStream:loan-time-limit.
   *
   * Since: 1.0
   */
  properties[PROP_LOAN_ACTION] =
    g_param_spec_enum ("loan-action", NULL, NULL, IO_TYPE_STREAM_LOAN_ACTION, IO_STREAM_LOAN_ACTION_SIGNAL,
                       SETTABLE);
}

void
_io_stream_class_init_properties (GObjectClass *klass)
{
  klass->get_property = io_stream_get_property;
  klass->set_property = io_stream_set_property;

  define_properties ();
  define_shape ();
  define_sharing ();
  define_loans ();
  g_object_class_install_properties (klass, N_PROPS, properties);
}
