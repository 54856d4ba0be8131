/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

/* Clients in processes of other users, for the tests of what each may do: they
 * take orders, and answer with the code of the error, 0 for none, and its text.
 * Only root can be somebody else. */

#include "peer-process.h"

#include <grp.h>

#define NOBODY   65534
#define STRANGER 12345
#define MYSELF   "-"

#define rights_skip_unless_root() \
  if (geteuid () != 0) \
    { \
      g_test_skip ("needs root"); \
      return; \
    }

/* Within the peer. After this /proc still shows the process to itself. */
static inline void
rights_become (const char *user)
{
  uid_t uid;

  if (strcmp (user, MYSELF) == 0)
    return;

  uid = (uid_t) strtoul (user, NULL, 10);
  g_assert_cmpint (setgroups (0, NULL), ==, 0);
  g_assert_cmpint (setgid (uid), ==, 0);
  g_assert_cmpint (setuid (uid), ==, 0);
  g_assert_cmpint (prctl (PR_SET_DUMPABLE, 1), ==, 0);
  peer_begin ();
}

static inline void
rights_answer (gboolean      ok,
               const GError *error)
{
  g_assert_true (ok == (error == NULL));
  peer_say ("%d %s", ok ? 0 : error->code, ok ? "" : error->message);
}

typedef struct {
  IOStreamConnection *client;
  guint               n_held;
  IOStreamBufferQueueEntry held[16];
} RightsClient;

static inline gboolean
rights_take (RightsClient  *self,
             GError       **error)
{
  g_assert_cmpuint (self->n_held, <, G_N_ELEMENTS (self->held));

  return io_stream_connection_wait (self->client, 60 * G_USEC_PER_SEC, NULL, error) &&
         io_stream_connection_dequeue_output_entry (self->client, &self->held[self->n_held++]);
}

static inline gboolean
rights_return (RightsClient  *self,
               GError       **error)
{
  g_assert_cmpuint (self->n_held, >, 0);

  return io_stream_connection_return_entry (self->client, &self->held[--self->n_held], error);
}

static inline gboolean
rights_connect (RightsClient  *self,
                GError       **error)
{
  IOStreamConnection *client = io_stream_connection_new_for_name ("test", NULL, error);

  if (client == NULL)
    return FALSE;
  g_clear_object (&self->client);
  self->client = client;

  return TRUE;
}

static inline gboolean
rights_connect_socket (RightsClient  *self,
                       GError       **error)
{
  g_autoptr (GSocket) socket = peer_inherited_socket ();

  self->client = io_stream_connection_new_for_socket (socket, NULL, error);

  return self->client != NULL;
}

static inline gboolean
rights_obey (RightsClient  *self,
             const char    *order,
             GError       **error)
{
  IOConnection *connection = (IOConnection *) self->client;

  if (strcmp (order, "connect") == 0)
    return rights_connect (self, error);
  if (strcmp (order, "connect-socket") == 0)
    return rights_connect_socket (self, error);
  if (strcmp (order, "open") == 0)
    return io_connection_open (connection, 0, NULL, error);
  if (strcmp (order, "share") == 0)
    return io_connection_open (connection, IO_STREAM_OPEN_SHARED, NULL, error);
  if (strcmp (order, "drop-newest") == 0)
    {
      io_stream_connection_set_delivery (self->client, IO_STREAM_DELIVERY_DROP_NEWEST);
      return TRUE;
    }
  if (strcmp (order, "seize") == 0)
    return io_connection_open (connection, IO_SERVICE_OPEN_SEIZE, NULL, error);
  if (strcmp (order, "start") == 0)
    return io_stream_connection_start (self->client, NULL, error);
  if (strcmp (order, "stop") == 0)
    return io_stream_connection_stop (self->client, NULL, error);
  if (strcmp (order, "mode") == 0)
    return io_stream_connection_set_mode (self->client, IO_STREAM_MODE_OUTPUT, NULL, error);
  if (strcmp (order, "attribute") == 0)
    return io_connection_set_attribute (connection, "gain", g_variant_new_uint32 (1), NULL, error);
  if (strcmp (order, "take") == 0)
    return rights_take (self, error);
  if (strcmp (order, "return") == 0)
    return rights_return (self, error);
  if (g_str_has_prefix (order, "missed "))
    {
      g_assert_cmpuint (io_stream_connection_get_lost (self->client), ==, strtoul (order + strlen ("missed "), NULL, 10));
      return TRUE;
    }
  if (g_str_has_prefix (order, "become "))
    {
      rights_become (order + strlen ("become "));
      return TRUE;
    }

  g_assert_not_reached ();
}

/* The role "client": its argument is the user. */
static inline int
rights_run_client (char **argv)
{
  RightsClient self = { NULL, };
  char *order;

  rights_become (argv[0]);
  peer_say ("ready");
  while ((order = peer_take_order ()) != NULL)
    {
      g_autoptr (GError) error = NULL;
      gboolean ok = rights_obey (&self, order, &error);

      rights_answer (ok, error);
      g_free (order);
    }
  g_clear_object (&self.client);

  return 0;
}

/* In the test. */

static inline Peer *
rights_spawn (int         socket,
              const char *role,
              const char *user)
{
  Peer *peer = peer_spawn (socket, -1, role, user, NULL);

  peer_expect (peer, "ready");

  return peer;
}

/* @part: of the text of the error */
static inline void
rights_ask (Peer       *peer,
            const char *order,
            int         code,
            const char *part)
{
  g_autofree char *answer = NULL;
  char *text;

  peer_order (peer, order);
  answer = peer_read (peer);
  g_assert_nonnull (answer);
  g_test_message ("%s: %s", order, answer);
  g_assert_cmpint (strtol (answer, &text, 10), ==, code);
  if (part != NULL && strstr (text, part) == NULL)
    g_error ("“%s” is not in: %s", part, text);
}
