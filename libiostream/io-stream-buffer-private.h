/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-stream-buffer.h"

G_BEGIN_DECLS

/* How a buffer asks the stream or the connection it belongs to. */
typedef struct {
  int      (*get_reference_count) (gpointer        home,
                                   IOStreamBuffer *buffer);
  /* TRUE while the memory must not be replaced */
  gboolean (*is_in_use)           (gpointer        home);
  /* After it was replaced from outside. */
  void     (*memory_changed)      (gpointer        home);
} IOStreamBufferHomeFuncs;

/* The mapped parts, for the hot path; NULL and 0 for a part that is absent. */
typedef struct {
  guint8 *data;
  gsize   data_size;
  guint8 *control;
  gsize   control_size;
} IOStreamBufferParts;

/* Maps both parts; as writable as they can be. */
gboolean                   _io_stream_buffer_map        (IOStreamBuffer                *self,
                                                         GError                       **error);
const IOStreamBufferParts *_io_stream_buffer_peek_parts (IOStreamBuffer                *self);
/* @home is borrowed; %NULL takes the buffer out. */
void                       _io_stream_buffer_set_home   (IOStreamBuffer                *self,
                                                         gpointer                       home,
                                                         const IOStreamBufferHomeFuncs *funcs,
                                                         guint32                        id);
gpointer                   _io_stream_buffer_peek_home  (IOStreamBuffer                *self);
guint32                    _io_stream_buffer_peek_id    (IOStreamBuffer                *self);
/* Puts new memory behind the buffer; the caller knows that nobody has it. */
void                       _io_stream_buffer_replace    (IOStreamBuffer                *self,
                                                         IOMemoryDescriptor            *data,
                                                         IOMemoryDescriptor            *control);
/* New memory of the same sizes, mapped, behind a buffer that the owner may have:
 * whoever looks in another thread sees the old or the new one. What goes is put
 * into @retired, or freed if that is NULL. Nothing changes if it fails. */
gboolean                   _io_stream_buffer_renew      (IOStreamBuffer                *self,
                                                         IOMemoryDescriptor            *data,
                                                         IOMemoryDescriptor            *control,
                                                         GPtrArray                     *retired,
                                                         GError                       **error);

G_END_DECLS
