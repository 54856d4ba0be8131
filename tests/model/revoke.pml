/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An owner that takes away a buffer which a client may be reading; see
 * io-revocation-private.h.
 *
 *   revoke    store the number before which loans are over; fence; end the
 *             loan; fill the buffer anew, and lend it under the next number
 *   read      copy the bytes; acquire fence; load the number: is what was
 *             copied of a loan that is over?
 *
 * The owner's stores go to memory one by one as in ring.pml; with -DWEAK in any
 * order but for fences. The client's loads can be done in any order, too, that
 * its fence permits.
 *
 * What must hold: a copy that the client believes is of one loan, and that the
 * one it holds. */

#ifndef K
#define K 3            /* loans of the one buffer */
#endif

#define DATA0   0
#define DATA1   1
#define REVOKED 2
#define LENT    3      /* the number of the loan; stands for the ring */

byte mem[4];

#ifdef WEAK
chan stores[4] = [2] of { byte };
#define store(a, v) stores[a]!v
#define DRAINED (len(stores[0]) == 0 && len(stores[1]) == 0 && \
                 len(stores[2]) == 0 && len(stores[3]) == 0)
#else
chan stores = [6] of { byte, byte };
#define store(a, v) stores!a,v
#define DRAINED (len(stores) == 0)
#endif

proctype store_buffer()
{
  byte a, v;

end:
  do
#ifdef WEAK
  :: atomic { stores[0]?v -> mem[0] = v; v = 0 }
  :: atomic { stores[1]?v -> mem[1] = v; v = 0 }
  :: atomic { stores[2]?v -> mem[2] = v; v = 0 }
  :: atomic { stores[3]?v -> mem[3] = v; v = 0 }
#else
  :: atomic { stores?a,v -> mem[a] = v; a = 0; v = 0 }
#endif
  od
}

proctype owner()
{
  byte n = 1;

  do
  :: n <= K ->
     store(DATA0, n);
     store(DATA1, n);
     /* the tag of its entry: a release */
     DRAINED;
     store(LENT, n);
     n++;
#ifdef FILL_FIRST
     store(DATA0, n);
     store(DATA1, n);
#endif
     store(REVOKED, n);
#ifndef NO_OWNER_FENCE
     DRAINED
#else
     skip
#endif
  :: else -> break
  od
}

proctype client()
{
  byte n = 0, d0 = 0, d1 = 0, revoked = 0;

  do
  :: mem[LENT] > n ->
     n = mem[LENT];
     if
#ifndef LOOK_FIRST
     :: d0 = mem[DATA0]; d1 = mem[DATA1]; revoked = mem[REVOKED]
     :: d1 = mem[DATA1]; d0 = mem[DATA0]; revoked = mem[REVOKED]
#else
     :: revoked = mem[REVOKED]; d0 = mem[DATA0]; d1 = mem[DATA1]
#endif
#ifdef NO_CLIENT_FENCE
     :: d0 = mem[DATA0]; revoked = mem[REVOKED]; d1 = mem[DATA1]
#endif
     fi;
     assert(n < revoked || (d0 == n && d1 == n));
     revoked = 0; d0 = 0; d1 = 0
  :: n == K -> break
  od
}

init
{
  atomic {
    run store_buffer();
    run owner();
    run client()
  }
}
