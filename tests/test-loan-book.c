/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "io-enums.h"
#include "io-loan-book-private.h"

#define COUNT 40

typedef struct {
  IOLoanBook   book;
  IOLoanHolder first;
  IOLoanHolder second;
} Fixture;

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  _io_loan_book_init (&fixture->book, COUNT);
  _io_loan_holder_init (&fixture->first, COUNT);
  _io_loan_holder_init (&fixture->second, COUNT);
  fixture->book.sequence = G_MAXUINT32 - 2;
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  _io_loan_holder_clear (&fixture->first);
  _io_loan_holder_clear (&fixture->second);
  _io_loan_book_clear (&fixture->book);
}

static IOStreamBufferQueueEntry
lend (Fixture      *fixture,
      IOLoanHolder *holder,
      guint32       id)
{
  IOStreamBufferQueueEntry entry = { 0, };

  g_assert_true (_io_loan_book_acquire_id (&fixture->book, id));
  entry.buffer_id = id;
  entry.sequence = _io_loan_book_begin (&fixture->book, id);
  _io_loan_book_add_holder (&fixture->book, id, holder);
  _io_loan_book_settle (&fixture->book, id);

  return entry;
}

/* Every buffer is in exactly one place. */
static void
assert_balance (Fixture *fixture)
{
  guint n[4] = { 0, };
  g_autofree guint8 *seen = g_new0 (guint8, COUNT);

  for (guint32 id = 0; id < COUNT; id++)
    n[_io_loan_book_get_state (&fixture->book, id)]++;
  for (guint i = 0; i < fixture->book.n_free; i++)
    {
      guint32 id = fixture->book.free_ids[i];

      g_assert_cmpuint (seen[id]++, ==, 0);
      g_assert_cmpuint (fixture->book.loans[id].place, ==, i);
      g_assert_cmpint (_io_loan_book_get_state (&fixture->book, id), ==, IO_LOAN_FREE);
    }
  g_assert_cmpuint (n[IO_LOAN_FREE], ==, fixture->book.n_free);
  g_assert_cmpuint (n[IO_LOAN_ARRIVED], ==, fixture->book.n_arrivals);
  g_assert_cmpuint (n[IO_LOAN_LENT], ==, fixture->book.n_lent);
  g_assert_cmpuint (n[IO_LOAN_LENT], <=, fixture->first.count + fixture->second.count);
}

static void
test_acquire_all (Fixture       *fixture,
                  gconstpointer  data)
{
  for (guint i = 0; i < COUNT; i++)
    g_assert_cmpuint (_io_loan_book_acquire (&fixture->book), ==, i);
  g_assert_cmpuint (_io_loan_book_acquire (&fixture->book), ==, IO_STREAM_BUFFER_ID_INVALID);
  g_assert_false (_io_loan_book_acquire_id (&fixture->book, 3));

  g_assert_true (_io_loan_book_release (&fixture->book, 3));
  g_assert_false (_io_loan_book_release (&fixture->book, 3));
  g_assert_cmpuint (_io_loan_book_acquire (&fixture->book), ==, 3);
  assert_balance (fixture);
}

static void
test_return (Fixture       *fixture,
             gconstpointer  data)
{
  IOStreamBufferQueueEntry entry = lend (fixture, &fixture->first, 7), wrong;

  g_assert_cmpuint (entry.sequence, ==, G_MAXUINT32 - 2);
  g_assert_cmpuint (fixture->first.count, ==, 1);

  wrong = entry;
  wrong.sequence++;
  g_assert_cmpint (_io_loan_book_give_back (&fixture->book, &fixture->first, &wrong, FALSE), ==, IO_LOAN_NOT_LENT);
  wrong = entry;
  wrong.buffer_id = 8;
  g_assert_cmpint (_io_loan_book_give_back (&fixture->book, &fixture->first, &wrong, FALSE), ==, IO_LOAN_NOT_LENT);
  wrong.buffer_id = COUNT;
  g_assert_cmpint (_io_loan_book_give_back (&fixture->book, &fixture->first, &wrong, FALSE), ==, IO_LOAN_NOT_LENT);
  wrong.buffer_id = G_MAXUINT32;
  g_assert_cmpint (_io_loan_book_give_back (&fixture->book, &fixture->first, &wrong, FALSE), ==, IO_LOAN_NOT_LENT);
  g_assert_cmpint (_io_loan_book_give_back (&fixture->book, &fixture->second, &entry, FALSE), ==, IO_LOAN_NOT_LENT);
  assert_balance (fixture);

  g_assert_cmpint (_io_loan_book_give_back (&fixture->book, &fixture->first, &entry, FALSE), ==, IO_LOAN_RETURNED);
  g_assert_cmpint (_io_loan_book_give_back (&fixture->book, &fixture->first, &entry, FALSE), ==, IO_LOAN_NOT_LENT);
  g_assert_cmpuint (fixture->first.count, ==, 0);
  assert_balance (fixture);
}

/* Several hold it under one number, and each gives it back once. */
static void
test_several (Fixture       *fixture,
              gconstpointer  data)
{
  IOStreamBufferQueueEntry entry = lend (fixture, &fixture->first, 5);

  _io_loan_book_add_holder (&fixture->book, 5, &fixture->second);
  assert_balance (fixture);
  g_assert_cmpint (_io_loan_book_give_back (&fixture->book, &fixture->first, &entry, FALSE), ==, IO_LOAN_STILL_HELD);
  g_assert_cmpint (_io_loan_book_give_back (&fixture->book, &fixture->first, &entry, FALSE), ==, IO_LOAN_NOT_LENT);
  g_assert_cmpuint (fixture->book.n_lent, ==, 1);
  assert_balance (fixture);
  g_assert_cmpint (_io_loan_book_give_back (&fixture->book, &fixture->second, &entry, FALSE), ==, IO_LOAN_RETURNED);
  g_assert_cmpuint (fixture->book.n_lent, ==, 0);
  assert_balance (fixture);

  entry = lend (fixture, &fixture->first, 5);
  _io_loan_book_add_holder (&fixture->book, 5, &fixture->second);
  g_assert_cmpuint (_io_loan_book_end_all (&fixture->book, &fixture->first), ==, 0);
  g_assert_cmpuint (_io_loan_book_end_all (&fixture->book, &fixture->second), ==, 1);
  assert_balance (fixture);
}

/* Lent to nobody: the number is used, and the buffer is free. */
static void
test_nobody (Fixture       *fixture,
             gconstpointer  data)
{
  guint32 first, second;

  g_assert_true (_io_loan_book_acquire_id (&fixture->book, 9));
  first = _io_loan_book_begin (&fixture->book, 9);
  _io_loan_book_settle (&fixture->book, 9);
  g_assert_cmpint (_io_loan_book_get_state (&fixture->book, 9), ==, IO_LOAN_FREE);
  assert_balance (fixture);

  second = lend (fixture, &fixture->first, 9).sequence;
  g_assert_cmpuint (second, ==, first + 1);
}

/* A number of an earlier loan of the same buffer is not good for this one. */
static void
test_old_number (Fixture       *fixture,
                 gconstpointer  data)
{
  IOStreamBufferQueueEntry old = lend (fixture, &fixture->first, 0), now;

  _io_loan_book_give_back (&fixture->book, &fixture->first, &old, FALSE);
  now = lend (fixture, &fixture->first, 0);
  g_assert_cmpuint (now.sequence, !=, old.sequence);
  g_assert_cmpint (_io_loan_book_give_back (&fixture->book, &fixture->first, &old, FALSE), ==, IO_LOAN_NOT_LENT);
  g_assert_cmpint (_io_loan_book_give_back (&fixture->book, &fixture->first, &now, FALSE), ==, IO_LOAN_RETURNED);
}

static void
test_arrivals (Fixture       *fixture,
               gconstpointer  data)
{
  IOStreamBufferQueueEntry entries[COUNT], entry;

  /* In the order of coming back, many times around. */
  for (guint round = 0; round < 7; round++)
    {
      for (guint32 id = 0; id < COUNT; id++)
        entries[id] = lend (fixture, &fixture->first, id);
      for (guint32 id = COUNT - round; id > 0; id--)
        g_assert_cmpint (_io_loan_book_give_back (&fixture->book, &fixture->first, &entries[id - 1], TRUE),
                         ==, IO_LOAN_RETURNED);
      assert_balance (fixture);
      g_assert_false (_io_loan_book_release (&fixture->book, 0));
      for (guint32 id = COUNT - round; id > 0; id--)
        {
          g_assert_true (_io_loan_book_next_arrival (&fixture->book, &entry));
          g_assert_cmpuint (entry.buffer_id, ==, id - 1);
          g_assert_true (_io_loan_book_release (&fixture->book, id - 1));
        }
      g_assert_false (_io_loan_book_next_arrival (&fixture->book, &entry));
      g_assert_cmpuint (_io_loan_book_end_all (&fixture->book, &fixture->first), ==, round);
      assert_balance (fixture);
    }

  entries[0] = lend (fixture, &fixture->first, 0);
  _io_loan_book_give_back (&fixture->book, &fixture->first, &entries[0], TRUE);
  _io_loan_book_drop_arrivals (&fixture->book);
  g_assert_cmpuint (fixture->book.n_free, ==, COUNT);
}

/* Any mix of right and wrong steps leaves the books balanced. */
static void
test_random (Fixture       *fixture,
             gconstpointer  data)
{
  IOStreamBufferQueueEntry last[COUNT] = { { 0, }, }, entry;

  for (guint i = 0; i < 100000; i++)
    {
      guint32 id = (guint32) g_test_rand_int_range (0, COUNT);
      IOLoanHolder *holder = g_test_rand_int_range (0, 2) != 0 ? &fixture->first : &fixture->second;

      switch (g_test_rand_int_range (0, 6))
        {
        case 0:
          if (_io_loan_book_acquire_id (&fixture->book, id))
            {
              last[id].buffer_id = id;
              last[id].sequence = _io_loan_book_begin (&fixture->book, id);
              if (g_test_rand_int_range (0, 4) != 0)
                _io_loan_book_add_holder (&fixture->book, id, &fixture->first);
              if (g_test_rand_int_range (0, 4) != 0)
                _io_loan_book_add_holder (&fixture->book, id, &fixture->second);
              _io_loan_book_settle (&fixture->book, id);
            }
          break;
        case 1:
        case 2:
          _io_loan_book_give_back (&fixture->book, holder, &last[id], g_test_rand_int_range (0, 2) != 0);
          break;
        case 3:
          if (_io_loan_book_next_arrival (&fixture->book, &entry))
            g_assert_true (_io_loan_book_release (&fixture->book, entry.buffer_id));
          break;
        case 4:
          _io_loan_book_release (&fixture->book, id);
          break;
        default:
          if (i % 50 == 0)
            _io_loan_book_end_all (&fixture->book, holder);
        }
      if (i % 100 == 0)
        assert_balance (fixture);
    }
}

/* What is where stays there; the new ones are free, and come last. */
static void
test_grow (Fixture       *fixture,
           gconstpointer  data)
{
  const guint count = 3 * COUNT;
  IOStreamBufferQueueEntry lent, gone[COUNT], entry;

  /* the arrivals wrap */
  for (guint round = 0; round < 2; round++)
    {
      for (guint32 id = 0; id < COUNT - 5; id++)
        gone[id] = lend (fixture, &fixture->first, id);
      for (guint32 id = 0; id < COUNT - 5; id++)
        g_assert_cmpint (_io_loan_book_give_back (&fixture->book, &fixture->first, &gone[id], TRUE), ==,
                         IO_LOAN_RETURNED);
      for (guint32 id = 0; round == 0 && _io_loan_book_next_arrival (&fixture->book, &entry); id++)
        _io_loan_book_release (&fixture->book, entry.buffer_id);
    }
  lent = lend (fixture, &fixture->second, COUNT - 1);
  g_assert_true (_io_loan_book_acquire_id (&fixture->book, COUNT - 2));

  _io_loan_book_grow (&fixture->book, COUNT);
  _io_loan_book_grow (&fixture->book, count);
  _io_loan_holder_grow (&fixture->first, COUNT, count);
  _io_loan_holder_grow (&fixture->second, COUNT, count);
  g_assert_cmpuint (fixture->book.count, ==, count);
  g_assert_cmpuint (fixture->book.n_free, ==, 3 + count - COUNT);

  for (guint32 id = 0; id < COUNT - 5; id++)
    {
      g_assert_true (_io_loan_book_next_arrival (&fixture->book, &entry));
      g_assert_cmpuint (entry.buffer_id, ==, id);
    }
  g_assert_false (_io_loan_book_next_arrival (&fixture->book, &entry));
  g_assert_cmpint (_io_loan_book_get_state (&fixture->book, COUNT - 2), ==, IO_LOAN_OWNED);
  for (guint i = 0; i < 3; i++)
    g_assert_cmpuint (_io_loan_book_acquire (&fixture->book), <, COUNT);
  for (guint32 id = COUNT; id < count; id++)
    g_assert_cmpuint (_io_loan_book_acquire (&fixture->book), ==, id);
  g_assert_cmpuint (_io_loan_book_acquire (&fixture->book), ==, IO_STREAM_BUFFER_ID_INVALID);

  /* nobody has a new one by that */
  entry = (IOStreamBufferQueueEntry) { .buffer_id = count - 1 };
  g_assert_cmpint (_io_loan_book_give_back (&fixture->book, &fixture->first, &entry, TRUE), ==, IO_LOAN_NOT_LENT);
  entry.sequence = _io_loan_book_begin (&fixture->book, count - 1);
  _io_loan_book_add_holder (&fixture->book, count - 1, &fixture->first);
  g_assert_cmpint (_io_loan_book_give_back (&fixture->book, &fixture->second, &entry, TRUE), ==, IO_LOAN_NOT_LENT);
  g_assert_cmpint (_io_loan_book_give_back (&fixture->book, &fixture->first, &entry, TRUE), ==, IO_LOAN_RETURNED);
  g_assert_cmpint (_io_loan_book_give_back (&fixture->book, &fixture->second, &lent, FALSE), ==, IO_LOAN_RETURNED);
}

/* Who has not taken what it holds, through every way that ends. */
static void
test_waiting (Fixture       *fixture,
              gconstpointer  data)
{
  IOStreamBufferQueueEntry entry, old;

  _io_loan_holder_watch (&fixture->first, COUNT);
  old = lend (fixture, &fixture->first, 3);
  g_assert_true (_io_loan_holder_is_waiting (&fixture->first, 3));
  g_assert_true (_io_loan_book_is_untaken (&fixture->book, 3, 0));
  g_assert_cmpint (_io_loan_book_give_back (&fixture->book, &fixture->first, &old, FALSE), ==, IO_LOAN_RETURNED);
  g_assert_false (_io_loan_holder_is_waiting (&fixture->first, 3));
  g_assert_false (_io_loan_book_is_untaken (&fixture->book, 3, 0));
  g_assert_cmpuint (fixture->first.n_waiting, ==, 0);

  /* An older number says nothing about this loan. */
  entry = lend (fixture, &fixture->first, 3);
  _io_loan_book_note_taken (&fixture->book, &fixture->first, &old);
  g_assert_true (_io_loan_holder_is_waiting (&fixture->first, 3));
  _io_loan_book_note_taken (&fixture->book, &fixture->first, &entry);
  _io_loan_book_note_taken (&fixture->book, &fixture->first, &entry);
  g_assert_false (_io_loan_holder_is_waiting (&fixture->first, 3));
  g_assert_false (_io_loan_book_is_untaken (&fixture->book, 3, 0));
  g_assert_true (_io_loan_holder_has (&fixture->first, 3));

  /* One that nobody watches has taken everything. */
  entry = lend (fixture, &fixture->second, 5);
  g_assert_false (_io_loan_holder_is_waiting (&fixture->second, 5));
  g_assert_false (_io_loan_book_is_untaken (&fixture->book, 5, 0));
  _io_loan_book_add_holder (&fixture->book, 5, &fixture->first);
  g_assert_false (_io_loan_book_is_untaken (&fixture->book, 5, 0));
  g_assert_cmpint (_io_loan_book_give_back (&fixture->book, &fixture->second, &entry, FALSE), ==, IO_LOAN_STILL_HELD);
  g_assert_true (_io_loan_book_is_untaken (&fixture->book, 5, 0));

  _io_loan_holder_grow (&fixture->first, COUNT, 4 * COUNT + 64);
  _io_loan_holder_grow (&fixture->second, COUNT, 4 * COUNT + 64);
  _io_loan_book_grow (&fixture->book, 4 * COUNT + 64);
  for (guint32 id = COUNT; id < fixture->book.count; id++)
    g_assert_false (_io_loan_holder_is_waiting (&fixture->first, id));
  lend (fixture, &fixture->first, fixture->book.count - 1);
  g_assert_cmpuint (fixture->first.n_waiting, ==, 2);
  g_assert_cmpuint (_io_loan_book_end_all (&fixture->book, &fixture->first), ==, 3);
  g_assert_cmpuint (fixture->first.n_waiting, ==, 0);
  g_assert_cmpuint (fixture->book.n_lent, ==, 0);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);

#define ADD(name, func) g_test_add ("/loan-book/" name, Fixture, NULL, set_up, func, tear_down)
  ADD ("several", test_several);
  ADD ("nobody", test_nobody);
  ADD ("acquire-all", test_acquire_all);
  ADD ("return", test_return);
  ADD ("old-number", test_old_number);
  ADD ("arrivals", test_arrivals);
  ADD ("random", test_random);
  ADD ("grow", test_grow);
  ADD ("waiting", test_waiting);

  return g_test_run ();
}
