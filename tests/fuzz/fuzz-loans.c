/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Two clients give back whatever they like, while the owner lends. A plain
 * model of who holds what is kept beside the book; both must agree after every
 * step, and every buffer must be in one place. */

#include "fuzz.h"

#include <string.h>

#include "libiostream/io-loan-book-private.h"

#define BUFFERS 8
#define CLIENTS 2
#define STEP    4

typedef struct {
  IOLoanBook   book;
  IOLoanHolder holders[CLIENTS];
  guint32      lent_as[BUFFERS];             /* number of the loan */
  gboolean     holds[CLIENTS][BUFFERS];
} World;

static gboolean
is_lent (const World *world,
         guint        id)
{
  return world->holds[0][id] || world->holds[1][id];
}

static void
lend (World *world,
      guint  client)
{
  guint32 id = _io_loan_book_acquire (&world->book);

  if (id == IO_STREAM_BUFFER_ID_INVALID)
    return;
  g_assert_cmpuint (id, <, BUFFERS);
  g_assert_false (is_lent (world, id));
  world->lent_as[id] = _io_loan_book_begin (&world->book, id);
  for (guint i = 0; i < 2; i++)
    if (i == client || (world->lent_as[id] & 1) != 0)
      {
        _io_loan_book_add_holder (&world->book, id, &world->holders[i]);
        world->holds[i][id] = TRUE;
      }
  _io_loan_book_settle (&world->book, id);
}

/* The caller of the book checks that the number is one of a buffer. */
static void
give_back (World   *world,
           guint    client,
           guint    id,
           gint8    beside,
           gboolean arrival)
{
  IOStreamBufferQueueEntry entry = { .buffer_id = id % BUFFERS };
  gboolean right;
  IOLoanResult result, wanted;

  id = entry.buffer_id;
  entry.sequence = world->lent_as[id] + beside;
  right = world->holds[client][id] && beside == 0;
  result = _io_loan_book_give_back (&world->book, &world->holders[client], &entry, arrival);

  if (right)
    world->holds[client][id] = FALSE;
  wanted = is_lent (world, id) ? IO_LOAN_STILL_HELD : IO_LOAN_RETURNED;
  g_assert_cmpint (result, ==, right ? wanted : IO_LOAN_NOT_LENT);
}

static void
take_arrivals (World *world)
{
  IOStreamBufferQueueEntry entry;

  while (_io_loan_book_next_arrival (&world->book, &entry))
    {
      g_assert_cmpuint (entry.buffer_id, <, BUFFERS);
      g_assert_false (is_lent (world, entry.buffer_id));
      g_assert_true (_io_loan_book_release (&world->book, entry.buffer_id));
      g_assert_false (_io_loan_book_release (&world->book, entry.buffer_id));
    }
}

static void
end_all (World *world,
         guint  client)
{
  guint i, n = 0;

  for (i = 0; i < BUFFERS; i++)
    n += world->holds[client][i] && !world->holds[!client][i];
  g_assert_cmpuint (_io_loan_book_end_all (&world->book, &world->holders[client]), ==, n);
  memset (world->holds[client], 0, sizeof world->holds[client]);
}

static void
check (const World *world)
{
  guint client, id;

  for (client = 0; client < CLIENTS; client++)
    {
      guint n = 0;

      for (id = 0; id < BUFFERS; id++)
        {
          n += world->holds[client][id];
          g_assert_cmpint (!!_io_loan_holder_has (&world->holders[client], id), ==,
                           world->holds[client][id]);
        }
      g_assert_cmpuint (world->holders[client].count, ==, n);
    }
  for (id = 0; id < BUFFERS; id++)
    g_assert_cmpint (_io_loan_book_get_state (&world->book, id) == IO_LOAN_LENT, ==,
                     is_lent (world, id));
}

static void
step (World         *world,
      const uint8_t *data)
{
  guint client = data[0] & 1;

  switch ((data[0] >> 1) % 6)
    {
    case 0:
    case 1:
      lend (world, client);
      break;
    case 2:
      give_back (world, client, data[1], (gint8) data[2], data[3] & 1);
      break;
    case 3:
      give_back (world, client, data[1], 0, data[3] & 1);
      break;
    case 4:
      take_arrivals (world);
      break;
    default:
      end_all (world, client);
      break;
    }
  check (world);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data,
                        size_t         size)
{
  World world = { 0 };
  guint i;

  _io_loan_book_init (&world.book, BUFFERS);
  for (i = 0; i < CLIENTS; i++)
    _io_loan_holder_init (&world.holders[i], BUFFERS);

  for (; size >= STEP; data += STEP, size -= STEP)
    step (&world, data);

  for (i = 0; i < CLIENTS; i++)
    end_all (&world, i);
  _io_loan_book_drop_arrivals (&world.book);
  for (i = 0; i < BUFFERS; i++)
    g_assert_cmpuint (_io_loan_book_acquire (&world.book), <, BUFFERS);
  g_assert_cmpuint (_io_loan_book_acquire (&world.book), ==, IO_STREAM_BUFFER_ID_INVALID);

  for (i = 0; i < CLIENTS; i++)
    _io_loan_holder_clear (&world.holders[i]);
  _io_loan_book_clear (&world.book);

  return 0;
}
