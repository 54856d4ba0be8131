/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-stream-buffer-queue-entry.h"

G_BEGIN_DECLS

/* The owner's private truth about its buffers. Nothing in it comes from shared
 * memory, so nothing a client does can make a buffer be in two places.
 *
 *   free     nobody has it
 *   owned    the owner has it
 *   lent     one or more clients hold it, all under the same number
 *   arrived  it came back with payload, and the owner has not dequeued it yet
 *
 * Not thread safe: the stream has one lock for it. */

typedef enum {
  IO_LOAN_FREE,
  IO_LOAN_OWNED,
  IO_LOAN_LENT,
  IO_LOAN_ARRIVED
} IOLoanState;

typedef enum {
  IO_LOAN_RETURNED,      /* the last holder gave it back */
  IO_LOAN_STILL_HELD,    /* others hold it too */
  IO_LOAN_NOT_LENT       /* this holder does not have it under this number */
} IOLoanResult;

typedef struct {
  guint32     sequence;  /* number of the last loan */
  guint32     holders;
  guint32     waiting;   /* of the holders, those that have not taken it yet */
  guint32     place;     /* in the stack of free ones */
  guint32     n_frees;   /* how often it became free */
  guint64     since;     /* when it was lent; for the eye alone */
  IOLoanState state;
} IOLoan;

/* What one client holds, and for one from which things can be taken back, what
 * of that it has not taken. */
typedef struct {
  guint32 *held;         /* one bit for each buffer */
  guint    count;
  guint32 *waiting;      /* likewise; NULL where nobody asks */
  guint    n_waiting;
} IOLoanHolder;

typedef struct {
  IOLoan  *loans;
  guint    count;
  guint32 *free_ids;     /* a stack: the one that came back last is warm */
  guint    n_free;
  guint    n_lent;
  guint32  sequence;     /* of the next loan */

  /* come back with payload, in order of arrival */
  IOStreamBufferQueueEntry *arrivals;
  guint    first_arrival;
  guint    n_arrivals;
} IOLoanBook;

void         _io_loan_book_init        (IOLoanBook                     *self,
                                        guint                           count);
void         _io_loan_book_clear       (IOLoanBook                     *self);
/* More buffers, behind those that are there, which stay as they are. The new
 * ones are free, and acquired last. */
void         _io_loan_book_grow        (IOLoanBook                     *self,
                                        guint                           count);
/* IO_STREAM_BUFFER_ID_INVALID if none is free */
guint32      _io_loan_book_acquire     (IOLoanBook                     *self);
/* FALSE if it is not free */
gboolean     _io_loan_book_acquire_id  (IOLoanBook                     *self,
                                        guint32                         id);
/* FALSE if it is not owned */
gboolean     _io_loan_book_release     (IOLoanBook                     *self,
                                        guint32                         id);
/* For _io_loan_book_settle(). */
void         _io_loan_book_end_unheld  (IOLoanBook                     *self,
                                        guint32                         id);
/* Ends the loan of @holder. When it was the last one the buffer has arrived if
 * @arrival (and waits in order), else it is free. */
IOLoanResult _io_loan_book_give_back   (IOLoanBook                     *self,
                                        IOLoanHolder                   *holder,
                                        const IOStreamBufferQueueEntry *entry,
                                        gboolean                        arrival);
/* Ends all loans of @holder. Returns how many came home. */
guint        _io_loan_book_end_all     (IOLoanBook                     *self,
                                        IOLoanHolder                   *holder);
/* @holder has taken what it got under this number. */
void         _io_loan_book_note_taken  (IOLoanBook                     *self,
                                        IOLoanHolder                   *holder,
                                        const IOStreamBufferQueueEntry *entry);
gboolean     _io_loan_book_next_arrival (IOLoanBook                    *self,
                                         IOStreamBufferQueueEntry      *entry);
/* Frees what arrived and was never dequeued. */
void         _io_loan_book_drop_arrivals (IOLoanBook                   *self);

void         _io_loan_holder_init      (IOLoanHolder                   *self,
                                        guint                           count);
/* @old_count, @count: numbers of buffers */
void         _io_loan_holder_grow      (IOLoanHolder                   *self,
                                        guint                           old_count,
                                        guint                           count);
/* From the start: notes what is not taken. */
void         _io_loan_holder_watch     (IOLoanHolder                   *self,
                                        guint                           count);
void         _io_loan_holder_clear     (IOLoanHolder                   *self);

static inline gboolean
_io_loan_holder_has (const IOLoanHolder *self,
                     guint32             id)
{
  return (self->held[id / 32] >> (id % 32)) & 1;
}

static inline gboolean
_io_loan_holder_is_waiting (const IOLoanHolder *self,
                            guint32             id)
{
  return self->waiting != NULL && ((self->waiting[id / 32] >> (id % 32)) & 1);
}

/* Whether it is free when everybody who has not taken it loses it, and @n_others
 * holders of whom nothing is noted let go of it. */
static inline gboolean
_io_loan_book_is_untaken (const IOLoanBook *self,
                          guint32           id,
                          guint             n_others)
{
  const IOLoan *loan = &self->loans[id];

  return loan->state == IO_LOAN_LENT && loan->waiting + n_others == loan->holders;
}

/* As long as it stays the same, whoever has the buffer has not let go of it. */
static inline guint32
_io_loan_book_get_n_frees (const IOLoanBook *self,
                           guint32           id)
{
  return self->loans[id].n_frees;
}

static inline IOLoanState
_io_loan_book_get_state (const IOLoanBook *self,
                         guint32           id)
{
  return self->loans[id].state;
}

/* Begins a loan of an owned buffer, that nobody holds yet; gives its number. */
static inline guint32
_io_loan_book_begin (IOLoanBook *self,
                     guint32     id)
{
  IOLoan *loan = &self->loans[id];

  g_assert (loan->state == IO_LOAN_OWNED);

  loan->state = IO_LOAN_LENT;
  loan->holders = 0;
  loan->waiting = 0;
  loan->sequence = self->sequence++;
  self->n_lent++;

  return loan->sequence;
}

/* One more client holds it, under the number it has. */
static inline void
_io_loan_book_add_holder (IOLoanBook   *self,
                          guint32       id,
                          IOLoanHolder *holder)
{
  g_assert (self->loans[id].state == IO_LOAN_LENT && !_io_loan_holder_has (holder, id));

  self->loans[id].holders++;
  holder->held[id / 32] |= 1u << (id % 32);
  holder->count++;
  if (G_UNLIKELY (holder->waiting != NULL))
    {
      self->loans[id].waiting++;
      holder->waiting[id / 32] |= 1u << (id % 32);
      holder->n_waiting++;
    }
}

/* After the last _io_loan_book_add_holder(): free at once if there was none. */
static inline void
_io_loan_book_settle (IOLoanBook *self,
                      guint32     id)
{
  if (G_UNLIKELY (self->loans[id].holders == 0))
    _io_loan_book_end_unheld (self, id);
}

G_END_DECLS
