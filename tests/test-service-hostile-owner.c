/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An owner that says what it likes about messages and attributes. */

#include "hostile-util.h"

#include "libiostream/io-connection-internal-private.h"

#include <gio/gio.h>

typedef enum {
  SAYS_IN_HELLO,     /* an event before the answer to hello */
  WRONG_TYPE,
  NOT_NORMAL,
  WITH_SERIAL,
  STORM_OF_NAMES,    /* that come and go, while the client waits for an answer */
  MANY_NAMES,
  STORM_OF_MESSAGES,
  N_TRICKS
} Trick;

typedef struct {
  int      fd;
  Trick    trick;
  GThread *thread;
} Owner;

static void
say (Owner    *owner,
     guint     opcode,
     GVariant *body)
{
  raw_send_packet (owner->fd, IO_PACKET_EVENT, opcode, 0, body, NULL, 0);
}

static void
say_bytes (Owner      *owner,
           guint       opcode,
           guint32     serial,
           const void *body,
           gsize       size)
{
  IOPacketHeader header = { 1, IO_PACKET_EVENT, opcode, serial, 0, size };
  guint8 packet[256];

  memcpy (packet, &header, sizeof header);
  memcpy (packet + sizeof header, body, size);
  g_assert_cmpint (send (owner->fd, packet, sizeof header + size, MSG_NOSIGNAL), >, 0);
}

static GVariant *
attributes (guint8      flags,
            guint       first,
            guint       n,
            const char *removed)
{
  const char *gone[] = { removed, NULL };
  GVariantBuilder values;

  g_variant_builder_init (&values, G_VARIANT_TYPE_VARDICT);
  for (guint i = first; i < first + n; i++)
    {
      g_autofree char *key = g_strdup_printf ("name-%u", i);

      g_variant_builder_add (&values, "{sv}", key, g_variant_new_uint32 (i));
    }

  return g_variant_new ("(y@a{sv}@as)", flags, g_variant_builder_end (&values),
                        g_variant_new_strv (gone, removed != NULL ? 1 : 0));
}

static void
do_trick (Owner *owner)
{
  switch (owner->trick)
    {
    case WRONG_TYPE:
      say_bytes (owner, IO_OPCODE_MESSAGE, 0, "x", 1);
      break;
    case NOT_NORMAL:
      say_bytes (owner, IO_OPCODE_ATTRIBUTES, 0, "\3\377\377\377\377\377\377\377", 8);
      break;
    case WITH_SERIAL:
      say_bytes (owner, IO_OPCODE_ATTRIBUTES, 9, "\3\2\2", 3);
      break;
    case STORM_OF_NAMES:
      for (guint i = 0; i < 5000; i++)
        {
          g_autofree char *key = g_strdup_printf ("name-%u", i);

          say (owner, IO_OPCODE_ATTRIBUTES, attributes (0, i, 1, NULL));
          say (owner, IO_OPCODE_ATTRIBUTES, attributes (0, 0, 0, key));
        }
      break;
    case MANY_NAMES:
      for (guint i = 0; i < 3000; i += 100)
        say (owner, IO_OPCODE_ATTRIBUTES, attributes (0, i, 100, NULL));
      break;
    case STORM_OF_MESSAGES:
      for (guint i = 0; i < 2000; i++)
        say (owner, IO_OPCODE_MESSAGE, g_variant_new ("(u@mv)", i, g_variant_new_maybe (G_VARIANT_TYPE_VARIANT, NULL)));
      break;
    default:
      g_assert_not_reached ();
    }
}

static gpointer
owner_thread (gpointer data)
{
  Owner *owner = data;
  IOPacketHeader header;
  GVariant *body;
  guint n_fds;
  int fds[RAW_MAX_FDS];

  while ((body = raw_receive_packet (owner->fd, &header, fds, &n_fds)) != NULL)
    {
      GVariant *answer = NULL;

      if (header.opcode == IO_OPCODE_HELLO)
        {
          if (owner->trick == SAYS_IN_HELLO)
            say (owner, IO_OPCODE_ATTRIBUTES, attributes (3, 0, 0, NULL));
          answer = g_variant_new_parsed ("(@u 1, 'evil', 'Evil', @a{sv} {})");
        }
      else if (header.opcode == IO_OPCODE_WATCH_ATTRIBUTES)
        say (owner, IO_OPCODE_ATTRIBUTES, attributes (IO_ATTRIBUTES_FIRST | IO_ATTRIBUTES_LAST, 0, 0, NULL));
      else if (header.opcode == IO_OPCODE_GET_ATTRIBUTES)
        {
          do_trick (owner);
          answer = g_variant_new_parsed ("(@a{sv} {},)");
        }
      g_variant_unref (body);
      raw_send_packet (owner->fd, IO_PACKET_REPLY, header.opcode, header.serial, answer, NULL, 0);
    }
  close (owner->fd);

  return NULL;
}

static IOConnection *
connect_to (Owner *owner,
            Trick  trick)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocket) socket = NULL;
  int fds[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), ==, 0);
  owner->fd = fds[0];
  owner->trick = trick;
  owner->thread = g_thread_new ("owner", owner_thread, owner);
  socket = g_socket_new_from_fd (fds[1], &error);
  g_assert_no_error (error);

  return g_object_new (IO_TYPE_CONNECTION, "socket", socket, NULL);
}

static void
finish (Owner        *owner,
        IOConnection *connection)
{
  g_assert_finalize_object (connection);
  g_thread_join (owner->thread);
}

static void
count_cb (IOConnection *connection,
          guint         type,
          GVariant     *argument,
          gpointer      user_data)
{
  guint *n = user_data;

  n[0]++;
  n[1] = type;
}

static void
changed_cb (IOConnection *connection,
            const char   *key,
            GVariant     *value,
            gpointer      user_data)
{
  ++*(guint *) user_data;
}

static void
settle (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

/* Whatever is no event of the protocol ends the connection. */
static void
test_broken (gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  Owner owner;
  IOConnection *connection = connect_to (&owner, GPOINTER_TO_INT (data));
  g_autoptr (GVariant) attributes = NULL;

  if (owner.trick != SAYS_IN_HELLO)
    {
      g_assert_true (io_connection_watch_attributes (connection, NULL, &error));
      g_assert_no_error (error);
    }
  attributes = io_connection_copy_attributes (connection, NULL, &error);
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR);
  g_assert_null (attributes);
  finish (&owner, connection);
}

/* A client that only makes synchronous calls keeps no more than it can hold. */
static void
test_storm (gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) attributes = NULL;
  Owner owner;
  IOConnection *connection = connect_to (&owner, GPOINTER_TO_INT (data));
  IOConnectionPrivate *priv = _io_connection_get_private (connection);
  guint messages[2] = { 0, 0 };
  guint changes = 0;

  g_signal_connect (connection, "service-message", G_CALLBACK (count_cb), messages);
  g_signal_connect (connection, "attribute-changed", G_CALLBACK (changed_cb), &changes);
  g_assert_true (io_connection_watch_attributes (connection, NULL, &error));
  g_assert_no_error (error);
  io_connection_set_timeout (connection, -1);
  attributes = io_connection_copy_attributes (connection, NULL, &error);
  g_assert_no_error (error);

  g_assert_cmpuint (g_queue_get_length (&priv->inbox), <=, 300);
  g_assert_cmpuint (g_hash_table_size (priv->attributes), <=, IO_PROTOCOL_MAX_ATTRIBUTES);
  if (priv->changes != NULL)
    g_assert_cmpuint (g_hash_table_size (priv->changes), <=, 2 * IO_PROTOCOL_MAX_ATTRIBUTES);
  settle ();
  if (owner.trick == STORM_OF_MESSAGES)
    {
      g_assert_cmpuint (messages[0], ==, 256);
      g_assert_cmpuint (messages[1], ==, 1999);
    }
  else
    g_assert_cmpuint (changes, >=, 1);
  if (owner.trick == MANY_NAMES)
    g_assert_cmpuint (changes, ==, IO_PROTOCOL_MAX_ATTRIBUTES);
  finish (&owner, connection);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

#define ADD(name, trick, func) g_test_add_data_func ("/service-hostile-owner/" name, GINT_TO_POINTER (trick), func)
  ADD ("says-in-hello", SAYS_IN_HELLO, test_broken);
  ADD ("wrong-type", WRONG_TYPE, test_broken);
  ADD ("not-normal", NOT_NORMAL, test_broken);
  ADD ("with-serial", WITH_SERIAL, test_broken);
  ADD ("storm-of-names", STORM_OF_NAMES, test_storm);
  ADD ("many-names", MANY_NAMES, test_storm);
  ADD ("storm-of-messages", STORM_OF_MESSAGES, test_storm);

  return g_test_run ();
}
