/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-interrupt-controller.h>

G_BEGIN_DECLS

#define IO_TYPE_SHARED_INTERRUPT_CONTROLLER (io_shared_interrupt_controller_get_type ())

IO_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (IOSharedInterruptController, io_shared_interrupt_controller,
                      IO, SHARED_INTERRUPT_CONTROLLER, IOInterruptController)

IO_AVAILABLE_IN_ALL
IOSharedInterruptController *io_shared_interrupt_controller_new              (guint                         n_vectors,
                                                                              GError                      **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
void                         io_shared_interrupt_controller_offer            (IOSharedInterruptController  *self,
                                                                              IOService                    *service);
IO_AVAILABLE_IN_ALL
void                         io_shared_interrupt_controller_withdraw         (IOSharedInterruptController  *self,
                                                                              IOService                    *service);
IO_AVAILABLE_IN_ALL
guint                        io_shared_interrupt_controller_get_n_peers      (IOSharedInterruptController  *self);
IO_AVAILABLE_IN_ALL
gboolean                     io_shared_interrupt_controller_cause_for_client (IOSharedInterruptController  *self,
                                                                              IOUserClient                 *client,
                                                                              guint                         vector,
                                                                              GError                      **error);
IO_AVAILABLE_IN_ALL
gboolean                     io_shared_interrupt_controller_wait             (IOSharedInterruptController  *self,
                                                                              gint64                        timeout,
                                                                              GCancellable                 *cancellable,
                                                                              GError                      **error);
IO_AVAILABLE_IN_ALL
int                          io_shared_interrupt_controller_get_fd           (IOSharedInterruptController  *self);
IO_AVAILABLE_IN_ALL
gboolean                     io_shared_interrupt_controller_prepare_wait     (IOSharedInterruptController  *self);
IO_AVAILABLE_IN_ALL
void                         io_shared_interrupt_controller_finish_wait      (IOSharedInterruptController  *self);

G_END_DECLS
