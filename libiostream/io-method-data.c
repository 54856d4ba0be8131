/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-method-data-private.h"

#include "io-error.h"
#include "io-variant-private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static gboolean
fail_io (const char  *operation,
         gsize        length,
         int          errsv,
         GError     **error)
{
  g_set_error (error, IO_STREAM_ERROR,
               errsv == ENOSPC || errsv == ENOMEM ? IO_STREAM_ERROR_NO_MEMORY : IO_STREAM_ERROR_IO_ERROR,
               "Cannot %s %" G_GSIZE_FORMAT " bytes of arguments: %s", operation, length,
               g_strerror (errsv));

  return FALSE;
}

/* There are zeros behind it, because GLib 2.74 looks one byte too far when it
 * checks the form of some broken values. */
GBytes *
_io_method_data_copy (IOMemoryBacking  *backing,
                      gsize             length,
                      GError          **error)
{
  int fd = _io_memory_backing_peek_fd (backing);
  g_autofree guint8 *copy = g_try_malloc0 (length + sizeof (guint64));
  guint8 *address = copy;
  gsize done = 0;

  if (copy == NULL)
    {
      fail_io ("copy", length, ENOMEM, error);
      return NULL;
    }

  while (done < length)
    {
      gssize n = pread (fd, copy + done, length - done, (off_t) done);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        {
          fail_io ("copy", length, n < 0 ? errno : EIO, error);
          return NULL;
        }
      done += n;
    }

  copy = NULL;
  return g_bytes_new_with_free_func (address, length, g_free, address);
}

gboolean
_io_method_data_store (IOMemoryBacking  *backing,
                       GBytes           *data,
                       GError          **error)
{
  gsize length, done = 0;
  const guint8 *bytes = g_bytes_get_data (data, &length);
  int fd = _io_memory_backing_peek_fd (backing);

  while (done < length)
    {
      gssize n = pwrite (fd, bytes + done, length - done, (off_t) done);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return fail_io ("pass", length, n < 0 ? errno : EIO, error);
      done += n;
    }

  return TRUE;
}

gboolean
_io_method_data_attach (GBytes       *data,
                        GUnixFDList **fds,
                        GError      **error)
{
  gsize length;
  const void *bytes = g_bytes_get_data (data, &length);
  g_autoptr (IOMemoryBacking) backing = NULL;
  g_autoptr (GUnixFDList) list = g_unix_fd_list_new ();
  g_autoptr (GError) local_error = NULL;
  guint8 *memory;

  backing = _io_memory_backing_new ("result", length, IO_STREAM_PEER_ACCESS_READ, error);
  if (backing == NULL)
    return FALSE;
  memory = _io_memory_backing_map (backing, TRUE, error);
  if (memory == NULL)
    return FALSE;

  memcpy (memory, bytes, length);
  if (g_unix_fd_list_append (list, _io_memory_backing_peek_fd (backing), &local_error) < 0)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NO_RESOURCES,
                   "Cannot pass a descriptor: %s", local_error->message);
      return FALSE;
    }

  *fds = g_steal_pointer (&list);
  return TRUE;
}

GBytes *
_io_method_data_detach (GUnixFDList  *fds,
                        guint64       length,
                        GError      **error)
{
  g_autoptr (IOMemoryBacking) backing = NULL;
  g_autofree int *list = NULL;

  if (fds == NULL || g_unix_fd_list_get_length (fds) != 1 || length > G_MAXSSIZE)
    {
      g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_IPC_ERROR,
                   "%" G_GUINT64_FORMAT " bytes came with %d memories", length,
                   fds != NULL ? g_unix_fd_list_get_length (fds) : 0);
      return NULL;
    }

  list = g_unix_fd_list_steal_fds (fds, NULL);
  backing = _io_memory_backing_new_take_fd (list[0], length, G_MAXSSIZE, TRUE, FALSE, error);

  return backing != NULL ? _io_method_data_copy (backing, length, error) : NULL;
}

GVariant *
_io_method_data_new_inline (GBytes *data)
{
  g_autoptr (GBytes) nothing = g_bytes_new_static (NULL, 0);

  return g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, data != NULL ? data : nothing, TRUE);
}

GBytes *
_io_method_data_get_inline (GVariant *array)
{
  gsize length;
  const void *bytes = g_variant_get_fixed_array (array, &length, 1);

  return g_bytes_new (bytes, length);
}

/* It takes some 40 ns a byte. */
#define MAX_WALKED (1024 * 1024)

gboolean
_io_method_data_check_value (GVariant  *value,
                             GError   **error)
{
  gsize size = _io_variant_get_walked_size (value);

  if (size <= MAX_WALKED)
    return TRUE;

  g_set_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_MESSAGE_TOO_LARGE,
               "Cannot carry a value of type %.100s: %" G_GSIZE_FORMAT
               " bytes of it are no arrays of numbers, more than %d",
               g_variant_get_type_string (value), size, MAX_WALKED);
  return FALSE;
}

GBytes *
_io_method_data_flatten (GVariant *value)
{
  gsize size = g_variant_get_size (value) + strlen (g_variant_get_type_string (value));
  g_autoptr (GVariant) normal = NULL;

  if (size <= IO_METHOD_MAX_INLINE)
    return NULL;

  normal = _io_variant_to_normal (value);

  return g_variant_get_data_as_bytes (normal);
}

GVariant *
_io_method_data_unflatten (const char *type,
                           GBytes     *data)
{
  g_autoptr (GVariant) value = NULL;

  if (!g_variant_type_string_is_valid (type) ||
      !g_variant_type_is_definite (G_VARIANT_TYPE (type)))
    return NULL;

  value = g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (type), data, FALSE));

  return _io_method_data_check_value (value, NULL) ? _io_variant_to_trusted (value) : NULL;
}
