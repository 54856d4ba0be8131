/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-error.h>

G_BEGIN_DECLS

#define IO_TYPE_INTERRUPT_CONTROLLER (io_interrupt_controller_get_type ())

IO_AVAILABLE_IN_ALL
G_DECLARE_DERIVABLE_TYPE (IOInterruptController, io_interrupt_controller, IO, INTERRUPT_CONTROLLER, GObject)

/**
 * IOInterruptHandler:
 * @controller: the controller
 * @vector: the vector that was caused
 * @count: how often it was caused since the last call; a hint, if another
 *   process causes it
 * @user_data: what was given to io_interrupt_controller_register_interrupt()
 *
 * Handles an interrupt. It may call everything of @controller, also to
 * unregister itself. Calls for one vector do not overlap.
 *
 * In the context of the controller, or in the thread that calls
 * io_interrupt_controller_handle_interrupts().
 *
 * Since: 1.0
 */
typedef void (*IOInterruptHandler) (IOInterruptController *controller,
                                    guint                  vector,
                                    guint                  count,
                                    gpointer               user_data);

/**
 * IOInterruptControllerClass:
 * @parent_class: the parent class
 * @init_vector: a vector gets its first handler. The default does nothing and
 *   succeeds
 * @get_vector_type: what the vector stands for. The default is
 *   %IO_INTERRUPT_EDGE
 * @vector_can_be_shared: whether the vector takes more than one handler. The
 *   default is %FALSE
 * @disable_vector_hard: the source of a vector is to be turned off: it was
 *   caused while nobody wanted it, or its handler went. The default does
 *   nothing
 * @enable_vector: the source of a vector is to be turned on again. The default
 *   does nothing
 * @cause_vector: causes a vector. The default makes it pending here
 *
 * The virtual methods of #IOInterruptController, Apple's hooks. They are called
 * without a lock that a method of the controller takes, in the thread that
 * registers, enables, unregisters or causes; calls of @init_vector,
 * @disable_vector_hard and @enable_vector do not overlap.
 *
 * Since: 1.0
 */
struct _IOInterruptControllerClass {
  GObjectClass parent_class;

  gboolean        (*init_vector)          (IOInterruptController  *self,
                                           guint                   vector,
                                           GError                **error);
  IOInterruptType (*get_vector_type)      (IOInterruptController  *self,
                                           guint                   vector);
  gboolean        (*vector_can_be_shared) (IOInterruptController  *self,
                                           guint                   vector);
  void            (*disable_vector_hard)  (IOInterruptController  *self,
                                           guint                   vector);
  void            (*enable_vector)        (IOInterruptController  *self,
                                           guint                   vector);
  gboolean        (*cause_vector)         (IOInterruptController  *self,
                                           guint                   vector,
                                           GError                **error);

  /*< private >*/
  gpointer _reserved[8];
};

IO_AVAILABLE_IN_ALL
IOInterruptController *io_interrupt_controller_new                  (guint                   n_vectors,
                                                                     GError                **error) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
guint                  io_interrupt_controller_get_n_vectors        (IOInterruptController  *self);
IO_AVAILABLE_IN_ALL
gboolean               io_interrupt_controller_get_handle_in_context (IOInterruptController *self);
IO_AVAILABLE_IN_ALL
void                   io_interrupt_controller_set_handle_in_context (IOInterruptController *self,
                                                                     gboolean                handle_in_context);
IO_AVAILABLE_IN_ALL
gboolean               io_interrupt_controller_register_interrupt   (IOInterruptController  *self,
                                                                     guint                   vector,
                                                                     IOInterruptHandler      handler,
                                                                     gpointer                user_data,
                                                                     GDestroyNotify          destroy,
                                                                     GError                **error);
IO_AVAILABLE_IN_ALL
gboolean               io_interrupt_controller_unregister_interrupt (IOInterruptController  *self,
                                                                     guint                   vector,
                                                                     GError                **error);
IO_AVAILABLE_IN_ALL
gboolean               io_interrupt_controller_enable_interrupt     (IOInterruptController  *self,
                                                                     guint                   vector,
                                                                     GError                **error);
IO_AVAILABLE_IN_ALL
gboolean               io_interrupt_controller_disable_interrupt    (IOInterruptController  *self,
                                                                     guint                   vector,
                                                                     GError                **error);
IO_AVAILABLE_IN_ALL
gboolean               io_interrupt_controller_cause_interrupt      (IOInterruptController  *self,
                                                                     guint                   vector,
                                                                     GError                **error);
IO_AVAILABLE_IN_ALL
gboolean               io_interrupt_controller_get_interrupt_type   (IOInterruptController  *self,
                                                                     guint                   vector,
                                                                     IOInterruptType        *type,
                                                                     GError                **error);
IO_AVAILABLE_IN_ALL
gboolean               io_interrupt_controller_is_interrupt_enabled (IOInterruptController  *self,
                                                                     guint                   vector);
IO_AVAILABLE_IN_ALL
gboolean               io_interrupt_controller_is_interrupt_pending (IOInterruptController  *self,
                                                                     guint                   vector);
IO_AVAILABLE_IN_ALL
guint                  io_interrupt_controller_handle_interrupts    (IOInterruptController  *self);

G_END_DECLS
