/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-loan-book-private.h"

#include "io-enums.h"

static void
push_free (IOLoanBook *self,
           guint32     id)
{
  self->loans[id].state = IO_LOAN_FREE;
  self->loans[id].place = self->n_free;
  self->loans[id].n_frees++;
  self->free_ids[self->n_free++] = id;
}

void
_io_loan_book_init (IOLoanBook *self,
                    guint       count)
{
  self->loans = g_new0 (IOLoan, count);
  self->free_ids = g_new0 (guint32, count);
  self->arrivals = g_new0 (IOStreamBufferQueueEntry, count);
  self->count = count;
  self->n_free = 0;
  self->n_lent = 0;
  self->n_arrivals = 0;
  self->first_arrival = 0;

  for (guint id = count; id > 0; id--)
    push_free (self, id - 1);
}

/* In the order of arrival again, from the start. */
static void
grow_arrivals (IOLoanBook *self,
               guint       count)
{
  IOStreamBufferQueueEntry *arrivals = g_new0 (IOStreamBufferQueueEntry, count);

  for (guint i = 0; i < self->n_arrivals; i++)
    arrivals[i] = self->arrivals[(self->first_arrival + i) % self->count];

  g_free (self->arrivals);
  self->arrivals = arrivals;
  self->first_arrival = 0;
}

/* At the bottom of the stack: what was used before is warm. */
static void
grow_free (IOLoanBook *self,
           guint       count)
{
  guint n_new = count - self->count;

  self->free_ids = g_renew (guint32, self->free_ids, count);
  memmove (self->free_ids + n_new, self->free_ids, self->n_free * sizeof (guint32));
  self->n_free += n_new;

  for (guint place = 0; place < n_new; place++)
    {
      self->free_ids[place] = count - 1 - place;
      self->loans[count - 1 - place].state = IO_LOAN_FREE;
    }
  for (guint place = 0; place < self->n_free; place++)
    self->loans[self->free_ids[place]].place = place;
}

void
_io_loan_book_grow (IOLoanBook *self,
                    guint       count)
{
  if (count <= self->count)
    return;

  grow_arrivals (self, count);
  self->loans = g_renew (IOLoan, self->loans, count);
  memset (self->loans + self->count, 0, (count - self->count) * sizeof (IOLoan));
  grow_free (self, count);
  self->count = count;
}

void
_io_loan_book_clear (IOLoanBook *self)
{
  g_clear_pointer (&self->loans, g_free);
  g_clear_pointer (&self->free_ids, g_free);
  g_clear_pointer (&self->arrivals, g_free);
  self->count = 0;
  self->n_free = 0;
  self->n_lent = 0;
  self->n_arrivals = 0;
}

guint32
_io_loan_book_acquire (IOLoanBook *self)
{
  guint32 id;

  if (self->n_free == 0)
    return IO_STREAM_BUFFER_ID_INVALID;

  id = self->free_ids[--self->n_free];
  self->loans[id].state = IO_LOAN_OWNED;

  return id;
}

gboolean
_io_loan_book_acquire_id (IOLoanBook *self,
                          guint32     id)
{
  IOLoan *loan = &self->loans[id];
  guint32 last;

  if (loan->state != IO_LOAN_FREE)
    return FALSE;

  last = self->free_ids[--self->n_free];
  self->free_ids[loan->place] = last;
  self->loans[last].place = loan->place;
  loan->state = IO_LOAN_OWNED;

  return TRUE;
}

gboolean
_io_loan_book_release (IOLoanBook *self,
                       guint32     id)
{
  if (self->loans[id].state != IO_LOAN_OWNED)
    return FALSE;

  push_free (self, id);

  return TRUE;
}

static void
end_waiting (IOLoanBook   *self,
             IOLoanHolder *holder,
             guint32       id)
{
  self->loans[id].waiting--;
  holder->waiting[id / 32] &= ~(1u << (id % 32));
  holder->n_waiting--;
}

void
_io_loan_book_note_taken (IOLoanBook                     *self,
                          IOLoanHolder                   *holder,
                          const IOStreamBufferQueueEntry *entry)
{
  if (_io_loan_holder_is_waiting (holder, entry->buffer_id) &&
      self->loans[entry->buffer_id].sequence == entry->sequence)
    end_waiting (self, holder, entry->buffer_id);
}

void
_io_loan_book_end_unheld (IOLoanBook *self,
                          guint32     id)
{
  self->n_lent--;
  push_free (self, id);
}

static void
push_arrival (IOLoanBook                     *self,
              const IOStreamBufferQueueEntry *entry)
{
  guint place = (self->first_arrival + self->n_arrivals) % self->count;

  self->loans[entry->buffer_id].state = IO_LOAN_ARRIVED;
  self->arrivals[place] = *entry;
  self->arrivals[place].reserved = 0;
  self->n_arrivals++;
}

static gboolean
end_loan (IOLoanBook   *self,
          IOLoanHolder *holder,
          guint32       id)
{
  if (G_UNLIKELY (_io_loan_holder_is_waiting (holder, id)))
    end_waiting (self, holder, id);
  holder->held[id / 32] &= ~(1u << (id % 32));
  holder->count--;
  if (--self->loans[id].holders > 0)
    return FALSE;

  self->n_lent--;

  return TRUE;
}

IOLoanResult
_io_loan_book_give_back (IOLoanBook                     *self,
                         IOLoanHolder                   *holder,
                         const IOStreamBufferQueueEntry *entry,
                         gboolean                        arrival)
{
  guint32 id = entry->buffer_id;

  if (id >= self->count || !_io_loan_holder_has (holder, id) ||
      self->loans[id].sequence != entry->sequence)
    return IO_LOAN_NOT_LENT;

  if (!end_loan (self, holder, id))
    return IO_LOAN_STILL_HELD;

  if (arrival)
    push_arrival (self, entry);
  else
    push_free (self, id);

  return IO_LOAN_RETURNED;
}

guint
_io_loan_book_end_all (IOLoanBook   *self,
                       IOLoanHolder *holder)
{
  guint n_home = 0;

  for (guint id = 0; holder->count > 0 && id < self->count; id++)
    if (_io_loan_holder_has (holder, id) && end_loan (self, holder, id))
      {
        push_free (self, id);
        n_home++;
      }

  return n_home;
}

gboolean
_io_loan_book_next_arrival (IOLoanBook               *self,
                            IOStreamBufferQueueEntry *entry)
{
  if (self->n_arrivals == 0)
    return FALSE;

  *entry = self->arrivals[self->first_arrival];
  self->loans[entry->buffer_id].state = IO_LOAN_OWNED;
  self->first_arrival = (self->first_arrival + 1) % self->count;
  self->n_arrivals--;

  return TRUE;
}

void
_io_loan_book_drop_arrivals (IOLoanBook *self)
{
  IOStreamBufferQueueEntry entry;

  while (_io_loan_book_next_arrival (self, &entry))
    push_free (self, entry.buffer_id);
}

void
_io_loan_holder_init (IOLoanHolder *self,
                      guint         count)
{
  self->held = g_new0 (guint32, count / 32 + 1);
  self->count = 0;
  self->waiting = NULL;
  self->n_waiting = 0;
}

void
_io_loan_holder_watch (IOLoanHolder *self,
                       guint         count)
{
  self->waiting = g_new0 (guint32, count / 32 + 1);
}

static guint32 *
grow_bits (guint32 *bits,
           guint    old_words,
           guint    words)
{
  bits = g_renew (guint32, bits, words);
  memset (bits + old_words, 0, (words - old_words) * sizeof (guint32));

  return bits;
}

void
_io_loan_holder_grow (IOLoanHolder *self,
                      guint         old_count,
                      guint         count)
{
  guint old_words = old_count / 32 + 1, words = count / 32 + 1;

  if (words <= old_words)
    return;

  self->held = grow_bits (self->held, old_words, words);
  if (self->waiting != NULL)
    self->waiting = grow_bits (self->waiting, old_words, words);
}

void
_io_loan_holder_clear (IOLoanHolder *self)
{
  g_clear_pointer (&self->held, g_free);
  g_clear_pointer (&self->waiting, g_free);
  self->count = 0;
  self->n_waiting = 0;
}
