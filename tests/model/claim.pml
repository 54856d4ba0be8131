/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An owner that takes back entries which its client has not taken; see
 * io-claim-private.h, whose code this follows step by step:
 *
 *   take      load the claim; the tag; the words, each read once; swap the
 *             claim for one more, if it is what it was
 *   withdraw  load the claim; is it between what was seen and what was put?
 *             swap it for k more, if it is what it was; read what came back
 *
 * The owner's entries have two words and a tag, and go to memory as in
 * ring.pml. The ring of returns is that of ring.pml too, and stands here as a
 * channel. A client that stops is one that does not get its turn.
 *
 * What must hold, whatever the order:
 *   - each entry has one winner, and the owner learns who it is;
 *   - an entry that is delivered is whole, the one of its index, and was not
 *     taken back;
 *   - no buffer is lent while the client still has it;
 *   - all buffers come home: no state without a way on but the end;
 *   - the owner never blames an honest client; and whatever a hostile one
 *     (-DHOSTILE) writes into the claim, or gives back without having taken it,
 *     each index is settled once, and the owner reads what it wrote there.
 *
 * tests/model/run lists the mutants, each of which breaks one of these. */

#ifndef N
#define N 2            /* slots of the ring */
#endif
#ifndef B
#define B N            /* buffers */
#endif
#ifndef K
#define K 4            /* entries sent in all */
#endif
#ifndef LIES
#define LIES 3         /* writes of a hostile client */
#endif
#ifndef DEPTH
#define DEPTH 6        /* of the owner's store buffer */
#endif

#ifdef NO_RELEASE
#define WEAK
#endif

/* Laps run 1, 2, 1, 2, and the first index is just before their wrap. */
#define LAPS 2
#define LAP(i) (1 + ((i) / N) % LAPS)
#define START (N * LAPS - 1)
#define NUMBER(i) ((i) - START + 1)

#define TAG_OF(i, id) (LAP(i) * 16 + (id))
#define ID_OF(tag)    ((tag) % 16)
#define MATE(number)  ((number) + 100)

#define WORD0(i) (3 * ((i) % N))
#define WORD1(i) (WORD0(i) + 1)
#define TAG(i)   (WORD0(i) + 2)

byte mem[3 * N];
byte claim = START;

#define PUBLISHED(i) (mem[TAG(i)] / 16 == LAP(i))

chan stores = [DEPTH] of { byte, byte };
#ifdef WEAK
chan tags = [DEPTH] of { byte, byte };
#define DRAINED (len(stores) == 0 && len(tags) == 0)
#define store_tag(a, v) tags!a,v
#else
#define DRAINED (len(stores) == 0)
#define store_tag(a, v) stores!a,v
#endif

/* A swap is a release: what the owner stored before it is there first. */
#ifdef RELAXED_SWAP
#define BEFORE_SWAP true
#else
#define BEFORE_SWAP DRAINED
#endif

chan home = [B + LIES] of { byte, byte };
bool done;             /* the owner has everything back */
bool hung_up;
bool killed;

/* Not in the program, only to state what must hold. */
#define NOBODY 0
#define TAKER  1
#define KEEPER 2
byte winner[K + 1];    /* of the entry with this number */
byte lent_as[K + 1];
bool has[B];           /* does the client have it? */

#ifdef NARROW
#define SAME(a, b) ((a) % N == (b) % N)
#else
#define SAME(a, b) ((a) == (b))
#endif

proctype store_buffer()
{
  byte a, v;

end:
  do
  :: atomic { stores?a,v -> mem[a] = v; a = 0; v = 0 }
#ifdef WEAK
#ifdef NO_RELEASE
  :: atomic { tags?a,v -> mem[a] = v; a = 0; v = 0 }
#else
  :: atomic { len(stores) == 0 && len(tags) > 0 -> tags?a,v; mem[a] = v; a = 0; v = 0 }
#endif
#endif
  od
}

inline put(i, id, number)
{
#ifdef TAG_FIRST
  store_tag(TAG(i), TAG_OF(i, id));
#endif
  stores!WORD0(i),number;
  stores!WORD1(i),MATE(number);
#ifndef TAG_FIRST
  store_tag(TAG(i), TAG_OF(i, id))
#endif
}

inline win(number, who)
{
#ifndef HOSTILE
  assert(winner[number] == NOBODY);
  winner[number] = who
#else
  skip
#endif
}

/* The owner learns that the client has taken all before @upto. */
inline settle_taken(upto)
{
  i = seen;
  do
  :: i < upto ->
#ifndef HOSTILE
     assert(winner[NUMBER(i)] == TAKER);
#endif
     assert(i < next && !settled[i - START]);
     settled[i - START] = true; i++
  :: else -> break
  od;
  i = 0
}

/* [from, upto) is the owner's again: what its own ring says. */
inline settle_withdrawn(from, upto)
{
  i = from;
  do
  :: i < upto && !broken ->
     assert(i >= START && i < next && !settled[i - START]);
     settled[i - START] = true;
     win(NUMBER(i), KEEPER);
#ifdef REUSE_EARLY
     id = lent_as[NUMBER(i)];
#else
     assert(wrote[i % N] == NUMBER(i));
     id = wrote_id[i % N];
#endif
     if
     :: book[id] == NUMBER(i) -> book[id] = 0; free++
     :: else -> broken = true
     fi;
     i++
  :: else -> break
  od;
  i = 0; id = 0
}

#ifdef NO_RANGE_CHECK
#define POSSIBLE(v) true
#else
#define POSSIBLE(v) ((v) >= seen && (v) <= next)
#endif

#if defined(NO_ROOM_CHECK) || defined(REUSE_EARLY)
#define ROOM true
#else
#define ROOM (next - seen < N)
#endif

/* The entry goes over the oldest one before that was taken back. */
#ifdef REUSE_EARLY
#define MAY_LEND (sent < K && free > 0 && B - free < N + 1 && next - seen < N + 1)
#else
#define MAY_LEND (sent < K && free > 0 && B - free < N)
#endif

proctype owner()
{
  byte book[B];        /* number under which it is lent, or 0 */
  byte wrote[N];       /* the owner's ring, as the owner reads it */
  byte wrote_id[N];
  bool settled[K];
  byte free = B;
  byte next = START;
  byte seen = START;
  byte sent = 0;
  byte v = 0, k = 0, i = 0, id = 0, number = 0;
  bool broken = false;

  do
  :: broken -> break
#ifdef HOSTILE
  :: hung_up && !broken -> break
#endif
#ifdef CRASH
  :: hung_up && !broken -> break
#endif
  :: done -> break
  /* a buffer comes home */
  :: atomic { !broken && !done && len(home) > 0 ->
       home?id,number;
       if
       :: book[id] == number -> book[id] = 0; free++
       :: else -> broken = true
       fi;
       id = 0; number = 0
     }
  /* lend one */
  :: atomic { !broken && !done && MAY_LEND && ROOM ->
       do
       :: book[id] != 0 -> id++
       :: else -> break
       od;
       sent++; free--;
       assert(!has[id]);
       book[id] = sent; lent_as[sent] = id;
       wrote[next % N] = sent; wrote_id[next % N] = id;
       put(next, id, sent);
       next++; id = 0
     }
  /* it should be free, and is not as far as the owner knows: sync */
  :: atomic { !broken && !done && MAY_LEND && !ROOM ->
       v = claim;
       if
       :: POSSIBLE(v) -> settle_taken(v); seen = v
       :: else -> broken = true
       fi;
       if
       :: !broken && !ROOM -> broken = true
       :: else
       fi;
       v = 0
     }
  /* take back some, or only look */
  :: atomic { !broken && !done && next > seen -> v = claim }
     atomic {
       if
       :: POSSIBLE(v) ->
          if
          :: k = 0
          :: v < next -> k = 1
          :: v < next && next - v > 1 -> k = next - v
          fi
       :: else -> broken = true
       fi
     }
     atomic {
       broken || BEFORE_SWAP ->
       if
       :: broken
#ifdef OWNER_STORES
       :: !broken ->
#else
       :: !broken && SAME(claim, v) ->
#endif
          claim = v + k;
          settle_taken(v);
          settle_withdrawn(v, v + k);
          seen = v + k
#ifndef OWNER_STORES
       :: !broken && !SAME(claim, v)
#endif
       fi;
       v = 0; k = 0
     }
  :: atomic { !broken && !done && sent == K && free == B -> done = true }
  od;

#if !defined(HOSTILE)
  assert(!broken);
#endif
  /* The end of the client, or of the connection: the book says what it had. */
  atomic {
    id = 0;
    do
    :: id < B && book[id] != 0 -> book[id] = 0; free++; id++
    :: id < B && book[id] == 0 -> id++
    :: else -> break
    od;
    assert(free == B);
    done = true
  }
}

#ifndef HOSTILE
inline deliver()
{
  id = ID_OF(tag);
  assert(w1 == MATE(w0));
  assert(w0 == NUMBER(c));
  assert(id == lent_as[w0]);
#ifndef COPY_AFTER
  win(w0, TAKER);
#endif
  assert(id < B && !has[id]);
  has[id] = true; held[id] = w0;
  id = 0
}

#ifdef CLIENT_STORES
#define SWAPPED true
#else
#define SWAPPED SAME(claim, c)
#endif

proctype client()
{
  byte held[B];
  byte c = 0, tag = 0, w0 = 0, w1 = 0, id = 0;

  {
    do
    :: atomic { !done && PUBLISHED(claim) -> c = claim }
       atomic { tag = mem[TAG(c)];
         if
         :: tag / 16 != LAP(c) -> tag = 0
         :: else
         fi
       }
#ifdef COPY_AFTER
       atomic {
         if
         :: tag != 0 && SWAPPED -> claim = c + 1; win(NUMBER(c), TAKER)
         :: else -> tag = 0
         fi
       }
#endif
       if
       :: tag != 0 ->
          w0 = mem[WORD0(c)];
          w1 = mem[WORD1(c)];
          atomic {
            if
#ifdef COPY_AFTER
            :: true -> deliver()
#else
#ifdef NARROW
            :: SWAPPED -> claim = claim + 1; deliver()
#else
            :: SWAPPED -> claim = c + 1; deliver()
#endif
            :: !(SWAPPED)
#endif
            fi;
            c = 0; tag = 0; w0 = 0; w1 = 0
          }
       :: else
       fi
    :: atomic { held[0] != 0 -> home!0,held[0]; held[0] = 0; has[0] = false }
    :: atomic { held[1] != 0 -> home!1,held[1]; held[1] = 0; has[1] = false }
#if B > 2
    :: atomic { held[2] != 0 -> home!2,held[2]; held[2] = 0; has[2] = false }
#endif
    :: done -> break
    od
  } unless { killed };
#ifdef CRASH
  atomic {
    has[0] = false; has[1] = false;
#if B > 2
    has[2] = false;
#endif
    hung_up = true
  }
#endif
}
#endif

#ifdef CRASH
proctype killer()
{
  killed = true
}
#endif

#ifdef HOSTILE
/* Any value around those that are possible, and returns of what it was sent,
 * taken or not. */
proctype client()
{
  byte lies = 0, n = 0;

  do
  :: lies < LIES && !done ->
     atomic {
       lies++;
       n = START - 1;
       do
       :: n < START + K + 1 -> n++
       :: break
       od;
       claim = n; n = 0
     }
  :: lies < LIES && !done ->
     atomic {
       lies++;
       n = 1;
       do
       :: n < K -> n++
       :: break
       od;
       home!lent_as[n],n; n = 0
     }
  :: hung_up = true; break
  od
}
#endif

init
{
  atomic {
    run store_buffer();
    run owner();
    run client();
#ifdef CRASH
    run killer()
#endif
  }
}
