/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <libiostream/io-memory-descriptor.h>
#include <libiostream/io-memory-map.h>

G_BEGIN_DECLS

#define IO_TYPE_STREAM_BUFFER (io_stream_buffer_get_type ())

IO_AVAILABLE_IN_ALL
G_DECLARE_DERIVABLE_TYPE (IOStreamBuffer, io_stream_buffer, IO, STREAM_BUFFER, GObject)

/**
 * IOStreamBufferClass:
 * @parent_class: the parent class
 *
 * The class of #IOStreamBuffer has no virtual methods.
 *
 * Since: 1.0
 */
struct _IOStreamBufferClass {
  GObjectClass parent_class;

  /*< private >*/
  gpointer _reserved[8];
};

IO_AVAILABLE_IN_ALL
IOStreamBuffer     *io_stream_buffer_new                        (IOMemoryDescriptor  *data,
                                                                 IOMemoryDescriptor  *control) G_GNUC_WARN_UNUSED_RESULT;
IO_AVAILABLE_IN_ALL
guint32             io_stream_buffer_get_buffer_id              (IOStreamBuffer      *self);
IO_AVAILABLE_IN_ALL
IOMemoryDescriptor *io_stream_buffer_get_data_buffer            (IOStreamBuffer      *self);
IO_AVAILABLE_IN_ALL
gboolean            io_stream_buffer_set_data_buffer            (IOStreamBuffer      *self,
                                                                 IOMemoryDescriptor  *data,
                                                                 GError             **error);
IO_AVAILABLE_IN_ALL
IOMemoryDescriptor *io_stream_buffer_get_control_buffer         (IOStreamBuffer      *self);
IO_AVAILABLE_IN_ALL
gboolean            io_stream_buffer_set_control_buffer         (IOStreamBuffer      *self,
                                                                 IOMemoryDescriptor  *control,
                                                                 GError             **error);
IO_AVAILABLE_IN_ALL
IOMemoryMap        *io_stream_buffer_get_data_map               (IOStreamBuffer      *self);
IO_AVAILABLE_IN_ALL
IOMemoryMap        *io_stream_buffer_get_control_map            (IOStreamBuffer      *self);
IO_AVAILABLE_IN_ALL
void               *io_stream_buffer_peek_data                  (IOStreamBuffer      *self,
                                                                 gsize               *length);
IO_AVAILABLE_IN_ALL
void               *io_stream_buffer_peek_control               (IOStreamBuffer      *self,
                                                                 gsize               *length);
IO_AVAILABLE_IN_ALL
int                 io_stream_buffer_get_client_reference_count (IOStreamBuffer      *self);

G_END_DECLS
