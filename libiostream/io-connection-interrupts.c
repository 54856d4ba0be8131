/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-connection.h"

#include "io-connection-private.h"
#include "io-shared-interrupt-controller-private.h"

/* The client's way to its end of a shared interrupt controller. */

static G_DEFINE_QUARK (io-connection-interrupts, interrupts)

static void
weak_ref_free (gpointer data)
{
  g_weak_ref_clear (data);
  g_free (data);
}

/* The end that was got before, if it is still good. */
static IOSharedInterruptController *
find_known (IOConnection *self)
{
  GWeakRef *weak_ref = g_object_get_qdata (G_OBJECT (self), interrupts_quark ());
  g_autoptr (IOSharedInterruptController) controller = NULL;

  if (weak_ref != NULL)
    controller = g_weak_ref_get (weak_ref);
  if (controller == NULL || io_shared_interrupt_controller_get_n_peers (controller) == 0)
    return NULL;

  return g_steal_pointer (&controller);
}

static void
keep_known (IOConnection                *self,
            IOSharedInterruptController *controller)
{
  GWeakRef *weak_ref = g_new0 (GWeakRef, 1);

  g_weak_ref_init (weak_ref, controller);
  g_object_set_qdata_full (G_OBJECT (self), interrupts_quark (), weak_ref, weak_ref_free);
}

static gboolean
check_answer (IOConnection  *self,
              guint32        n_vectors,
              guint64        cookie,
              GUnixFDList   *fds,
              GError       **error)
{
  int n_fds = fds != NULL ? g_unix_fd_list_get_length (fds) : 0;

  if (n_vectors > 0 && n_vectors <= IO_INTERRUPT_MAX_VECTORS && cookie != 0 && n_fds == 3)
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR,
               "Cannot get the interrupts of service “%s”: the owner offers %u vectors with %d descriptors",
               io_connection_get_name (self), n_vectors, n_fds);
  return FALSE;
}

static IOSharedInterruptController *
make_controller (IOConnection  *self,
                 GVariant      *answer,
                 GUnixFDList   *fds,
                 GError       **error)
{
  g_autoptr (IOSharedInterruptController) controller = NULL;
  IOInterruptLink *link;
  guint32 n_vectors;
  guint64 cookie;

  g_variant_get (answer, "(ut)", &n_vectors, &cookie);
  if (!check_answer (self, n_vectors, cookie, fds, error))
    return NULL;

  controller = _io_shared_interrupt_controller_new_client (n_vectors, _io_connection_get_context (self));
  link = _io_interrupt_link_new_client (controller, cookie, fds, error);
  if (link == NULL)
    return NULL;

  _io_shared_interrupt_controller_add (controller, link);

  return g_steal_pointer (&controller);
}

/* The owner may cause from the moment at which it hears of it. */
static gboolean
say_ready (IOConnection                 *self,
           IOSharedInterruptController  *controller,
           GCancellable                 *cancellable,
           GError                      **error)
{
  g_autoptr (IOInterruptLink) link = _io_shared_interrupt_controller_find_link (controller, NULL);
  g_autoptr (GVariant) answer = NULL;

  _io_interrupt_link_set_ready (link, NULL);
  answer = _io_connection_call (self, IO_OPCODE_INTERRUPTS_READY, g_variant_new ("()"), cancellable, error);

  return answer != NULL;
}

/**
 * io_connection_get_interrupt_controller:
 * @self: a connection
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for an error
 *
 * Gets this client's end of the controller that the service offers. The service
 * need not be open. Waits for the owner, no longer than
 * #IOConnection:timeout. As long as somebody holds what this returned, it
 * returns the same again. It ends with the connection.
 *
 * In the thread of the connection, whose context calls the handlers. Fails with
 * %IO_STREAM_ERROR_NOT_FOUND if the service offers none,
 * %IO_STREAM_ERROR_NO_RESOURCES if it takes more memory than this client may
 * have, %IO_STREAM_ERROR_IPC_ERROR or %IO_STREAM_ERROR_VM_ERROR if what the
 * owner sent cannot be trusted, and as every call does.
 *
 * Returns: (transfer full): the controller, or %NULL with @error set
 * Since: 1.0
 */
IOSharedInterruptController *
io_connection_get_interrupt_controller (IOConnection  *self,
                                        GCancellable  *cancellable,
                                        GError       **error)
{
  g_autoptr (IOSharedInterruptController) controller = NULL;
  g_autoptr (GUnixFDList) fds = NULL;
  g_autoptr (GVariant) answer = NULL;

  g_return_val_if_fail (IO_IS_CONNECTION (self), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  controller = find_known (self);
  if (controller != NULL)
    return g_steal_pointer (&controller);

  answer = _io_connection_call_with_fds (self, IO_OPCODE_GET_INTERRUPTS, g_variant_new ("()"),
                                         &fds, cancellable, error);
  if (answer == NULL)
    return NULL;

  controller = make_controller (self, answer, fds, error);
  if (controller == NULL || !say_ready (self, controller, cancellable, error))
    return NULL;

  keep_known (self, controller);

  return g_steal_pointer (&controller);
}
