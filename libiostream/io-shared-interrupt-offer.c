/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-fork-private.h"
#include "io-service.h"
#include "io-shared-interrupt-controller-private.h"
#include "io-user-client-private.h"

/* The owner's side of the way to an end: GET_INTERRUPTS makes a link for the
 * client and sends it, INTERRUPTS_READY seals it. */

static G_DEFINE_QUARK (io-shared-interrupt-controller, offer)

static IOSharedInterruptController *
find_offer (IOUserClient  *client,
            GError       **error)
{
  IOService *service = io_user_client_get_service (client);
  IOSharedInterruptController *self = g_object_get_qdata (G_OBJECT (service), offer_quark ());

  if (self != NULL)
    return self;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND,
               "Service “%s” offers no interrupts", io_service_get_name (service));
  return NULL;
}

/* When the client goes, so does its end; the controller may go first. */
static void
connected_changed_cb (IOUserClient *client,
                      GParamSpec   *pspec,
                      gpointer      user_data)
{
  IOSharedInterruptController *self = user_data;
  g_autoptr (IOInterruptLink) link = _io_shared_interrupt_controller_find_link (self, client);

  if (link != NULL && !io_user_client_is_connected (client))
    _io_shared_interrupt_controller_lose (self, link);
}

static void
watch_client (IOSharedInterruptController *self,
              IOUserClient                *client)
{
  if (g_signal_handler_find (client, G_SIGNAL_MATCH_FUNC | G_SIGNAL_MATCH_DATA, 0, 0, NULL,
                             connected_changed_cb, self) != 0)
    return;

  g_signal_connect_object (client, "notify::connected", G_CALLBACK (connected_changed_cb), self, 0);
}

static gboolean
check_limits (IOSharedInterruptController  *self,
              IOUserClient                 *client,
              gboolean                      replaces,
              GError                      **error)
{
  guint n_vectors = io_interrupt_controller_get_n_vectors (IO_INTERRUPT_CONTROLLER (self));
  g_autofree char *purpose = g_strdup_printf ("share %u interrupts", n_vectors);

  /* It has given up the end that it had. */
  if (!replaces)
    _io_user_client_discharge (client, IO_CHARGE_INTERRUPTS);
  return _io_user_client_charge (client, IO_CHARGE_INTERRUPTS,
                                 2 * _io_interrupt_region_get_size (n_vectors), purpose, error);
}

/* One end for each client: asking again ends the one before. */
static GVariant *
answer_get (IOSharedInterruptController  *self,
            IOUserClient                 *client,
            GUnixFDList                 **fds,
            GError                      **error)
{
  g_autoptr (IOInterruptLink) old = _io_shared_interrupt_controller_find_link (self, client);
  g_autoptr (GUnixFDList) list = g_unix_fd_list_new ();
  g_autoptr (IOInterruptLink) link = NULL;

  if (!_io_interrupt_controller_check (IO_INTERRUPT_CONTROLLER (self), "share", 0, error) ||
      !check_limits (self, client, old != NULL, error))
    return NULL;
  if (old != NULL)
    _io_shared_interrupt_controller_lose (self, old);

  link = _io_interrupt_link_new_owner (self, io_user_client_get_service (client), client, error);
  if (link == NULL || !_io_interrupt_link_pass_fds (link, list, error))
    return NULL;

  watch_client (self, client);
  _io_shared_interrupt_controller_add (self, _io_interrupt_link_ref (link));
  *fds = g_steal_pointer (&list);

  return g_variant_new ("(ut)", (guint32) _io_interrupt_link_get_n_vectors (link),
                        _io_interrupt_link_get_cookie (link));
}

static GVariant *
answer_ready (IOSharedInterruptController  *self,
              IOUserClient                 *client,
              GError                      **error)
{
  g_autoptr (IOInterruptLink) link = _io_shared_interrupt_controller_find_link (self, client);

  if (link == NULL || _io_interrupt_link_is_ready (link))
    {
      g_set_error (error, IO_STREAM_ERROR,
                   link == NULL ? IO_STREAM_ERROR_NOT_OPEN : IO_STREAM_ERROR_STILL_OPEN,
                   "Client “%s” cannot be ready for interrupts: it %s",
                   io_user_client_get_client_name (client),
                   link == NULL ? "did not get them" : "is so already");
      return NULL;
    }

  if (!_io_interrupt_link_set_ready (link, error))
    return NULL;

  /* The client may have caused before it said so. */
  _io_interrupt_link_wake (link);

  return g_variant_new ("()");
}

GVariant *
_io_shared_interrupt_controller_answer (IOUserClient  *client,
                                        IOOpcode       opcode,
                                        GUnixFDList  **fds,
                                        GError       **error)
{
  IOSharedInterruptController *offer = find_offer (client, error);
  g_autoptr (IOSharedInterruptController) self = NULL;

  if (offer == NULL)
    return NULL;

  /* To end an old link may tell somebody. */
  self = g_object_ref (offer);

  return opcode == IO_OPCODE_GET_INTERRUPTS ? answer_get (self, client, fds, error)
                                            : answer_ready (self, client, error);
}

/**
 * io_shared_interrupt_controller_offer:
 * @self: the owner's end of a shared interrupt controller
 * @service: a service of the same thread
 *
 * Lets the clients of a service have an end of this controller, with
 * io_connection_get_interrupt_controller(). A service offers one controller; a
 * later offer takes the place of an earlier one, and leaves the clients that
 * have that. One controller can be offered with many services. The service
 * holds a reference on it.
 *
 * In the thread of the service, which is that of the controller.
 *
 * Since: 1.0
 */
void
io_shared_interrupt_controller_offer (IOSharedInterruptController *self,
                                      IOService                   *service)
{
  g_return_if_fail (IO_IS_SHARED_INTERRUPT_CONTROLLER (self));
  g_return_if_fail (!self->is_client);
  g_return_if_fail (IO_IS_SERVICE (service));

  g_object_set_qdata_full (G_OBJECT (service), offer_quark (), g_object_ref (self), g_object_unref);
}

/**
 * io_shared_interrupt_controller_withdraw:
 * @self: the owner's end of a shared interrupt controller
 * @service: a service
 *
 * Ends what io_shared_interrupt_controller_offer() began. Clients that have an
 * end keep it. Does nothing if the service does not offer this controller.
 *
 * In the thread of the service.
 *
 * Since: 1.0
 */
void
io_shared_interrupt_controller_withdraw (IOSharedInterruptController *self,
                                         IOService                   *service)
{
  g_return_if_fail (IO_IS_SHARED_INTERRUPT_CONTROLLER (self));
  g_return_if_fail (IO_IS_SERVICE (service));

  if (g_object_get_qdata (G_OBJECT (service), offer_quark ()) == self)
    g_object_set_qdata (G_OBJECT (service), offer_quark (), NULL);
}
