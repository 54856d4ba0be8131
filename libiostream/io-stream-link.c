/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-stream-link-private.h"

#include "io-fork-private.h"

#include <unistd.h>

static gboolean
make_port (IOStreamLink                   *self,
           const IONotificationPortFuncs  *funcs,
           GError                        **error)
{
  int fds[2];

  if (!_io_bell_create_pair (fds, error))
    return FALSE;

  self->port = _io_notification_port_new (fds[0], &self->own.page->bell_epoch,
                                          &self->peer.page->bell_epoch, funcs, self);
  self->peer_bell = fds[1];
  _io_fork_add_lifeline (fds[0]);

  return TRUE;
}

IOStreamQueues *
_io_stream_queues_new (guint    n_buffers,
                       guint    length,
                       GError **error)
{
  IOStreamQueues *self = g_new0 (IOStreamQueues, 1);
  guint32 entry_count = _io_region_entry_count (length > 0 ? length : MAX (n_buffers, 1));

  self->length = length;
  if (_io_region_create (&self->own, IO_ABI_SIDE_OWNER, entry_count, IO_REGION_START_INDEX, error) &&
      _io_region_create (&self->peer, IO_ABI_SIDE_CLIENT, entry_count, IO_REGION_START_INDEX, error))
    return self;

  _io_stream_queues_free (self);

  return NULL;
}

gboolean
_io_stream_queues_claim (IOStreamQueues  *self,
                         GError         **error)
{
  IORegion claimed = { 0, };

  if (!_io_region_create_claimed (&claimed, self->own.entry_count, self->peer.start_index, error))
    return FALSE;

  _io_region_clear (&self->peer);
  self->peer = claimed;

  return TRUE;
}

void
_io_stream_queues_free (IOStreamQueues *self)
{
  _io_region_clear (&self->own);
  _io_region_clear (&self->peer);
  g_free (self);
}

void
_io_stream_link_set_limit (IOStreamLink *self,
                           guint         n_buffers,
                           guint         allowance)
{
  guint length = self->length > 0 ? self->length : MAX (n_buffers, 1);

  self->limit = MIN (MIN (length, self->own.entry_count), MIN (self->max_buffers, allowance));
}

static void
init_rings (IOStreamLink *self)
{
  guint32 entry_count = self->own.entry_count;

  _io_ring_init (&self->output, self->own.page->entries, entry_count, self->own.start_index);
  _io_ring_init (&self->input, self->peer.page->entries, entry_count, self->peer.start_index);
  _io_claim_init (&self->claim, self->peer.claim, self->own.start_index);
  self->next_input = self->input.index;
  self->announced = self->output.index;
}

IOStreamLink *
_io_stream_link_new (IOStream                       *stream,
                     IOUserClient                   *client,
                     guint                           n_buffers,
                     IOStreamQueues                 *queues,
                     const IONotificationPortFuncs  *funcs,
                     GError                        **error)
{
  IOStreamLink *self = g_new0 (IOStreamLink, 1);

  self->stream = stream;
  self->state = IO_STREAM_STATE_CLOSED;
  self->client = client;
  self->peer_bell = -1;
  self->length = queues->length;
  self->own = queues->own;
  self->peer = queues->peer;
  g_free (queues);
  _io_loan_holder_init (&self->holder, n_buffers);

  if (!make_port (self, funcs, error))
    {
      _io_stream_link_free (self);
      return NULL;
    }
  init_rings (self);
  if (self->claim.word != NULL)
    _io_loan_holder_watch (&self->holder, n_buffers);

  return self;
}

void
_io_stream_link_ring (IOStreamLink *self)
{
  if (G_UNLIKELY (self->interrupts != NULL))
    _io_interrupt_link_cause (self->interrupts, self->vector);

  _io_notification_port_ring (self->port);
}

void
_io_stream_link_free (IOStreamLink *self)
{
  g_clear_pointer (&self->sync, _io_stream_sync_end);
  if (self->port != NULL)
    _io_notification_port_invalidate (self->port);
  g_clear_object (&self->port);
  g_clear_pointer (&self->interrupts, _io_interrupt_link_unref);
  if (self->peer_bell >= 0)
    close (self->peer_bell);
  _io_region_clear (&self->own);
  _io_region_clear (&self->peer);
  _io_loan_holder_clear (&self->holder);
  g_free (self->stamps);
  g_clear_pointer (&self->revoked, g_hash_table_unref);
  g_free (self->violation);
  g_free (self);
}
