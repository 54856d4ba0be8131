/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One ring each way between an owner and a client, with their bells.
 *
 * The owner lends entries through the ring in its own region, the client
 * returns them through the ring in its own; see io-ring-private.h and
 * io-bell-private.h, whose code this follows line by line:
 *
 *   put      two words, then the tag that carries the lap of the index
 *   take     the tag, then the words, each read once
 *   sleep    epoch = ++n; fence; look again; poll; epoch = 0; drain; look
 *   notify   fence; epoch neither 0 nor the one rung last: ring
 *
 * A side's stores wait in its store buffer, and a process of its own carries
 * them to memory: first in, first out as in x86-TSO; with -DWEAK as C11 allows
 * it, where everything but the tag is relaxed: a tag goes out only when all
 * that was stored before it has gone, anything else may overtake it. A fence
 * waits until the buffer is empty. Nobody reads a word that it writes itself,
 * so there is nothing to forward from a store buffer.
 *
 * What must hold, whatever the order:
 *   - entries arrive in order, once each, whole, with the id that was lent;
 *   - every loan ends once, also if the client dies (-DCRASH), at any step;
 *   - nobody sleeps for ever: no state without a way on but the end of both
 *     sides, and they end only when all entries have come home;
 *   - at most one ring for each number of a sleep.
 *
 * tests/model/run lists the mutants, each of which breaks one of these. */

#ifndef N
#define N 2            /* slots of a ring */
#endif
#ifndef B
#define B N            /* buffers; more than slots needs the loan limit */
#endif
#ifndef K
#define K 5            /* entries sent in all: over two laps, and the wrap */
#endif
#ifndef DEPTH
#define DEPTH 4        /* of a store buffer */
#endif

#ifdef NO_RELEASE
#define WEAK
#endif

#define OWNER  0
#define CLIENT 1
#define PEER(s) (1 - (s))

/* Laps run 1, 2, 1, 2: zeroed memory is none of them. */
#define LAPS 2
#ifdef LAP_ZERO
#define LAP(i) (((i) / N) % LAPS)
#else
#define LAP(i) (1 + ((i) / N) % LAPS)
#endif
#define START (N * LAPS - 1)   /* just before the wrap of the laps */

#define TAG_OF(i, id) (LAP(i) * 16 + (id))
#define ID_OF(tag)    ((tag) % 16)
#define MATE(seq)     ((seq) + 100)

/* A region: N entries of three words, and the epoch of the bell. */
#define REGION      (3 * N + 1)
#define WORD0(s, i) ((s) * REGION + 3 * ((i) % N))
#define WORD1(s, i) (WORD0(s, i) + 1)
#define TAG(s, i)   (WORD0(s, i) + 2)
#define EPOCH(s)    ((s) * REGION + 3 * N)

byte mem[2 * REGION];

/* The tag of an entry as its reader sees it: one load. */
#define PUBLISHED(s, i) (mem[TAG(s, i)] / 16 == LAP(i))

chan stores[2] = [DEPTH] of { byte, byte };
#ifdef WEAK
chan tags[2] = [DEPTH] of { byte, byte };
#define DRAINED(s) (len(stores[s]) == 0 && len(tags[s]) == 0)
#define store_tag(s, a, v) tags[s]!a,v
#else
#define DRAINED(s) (len(stores[s]) == 0)
#define store_tag(s, a, v) stores[s]!a,v
#endif
#define store(s, a, v) stores[s]!a,v

byte bell[2];          /* bytes waiting in the socket of a side */
byte seen[2];          /* number of the peer's sleep, while about to ring */
byte rung[2];          /* number of the peer's sleep that was ended last */
bool hung_up;          /* the client's end is closed */
bool killed;

/* Not in the program, only to state what must hold. */
byte lent_as[K + 1];   /* id under which a sequence number went out */
byte ended[K + 1];     /* how often its loan ended */

proctype store_buffer(byte s)
{
  byte a, v;

end:
  do
  :: atomic { stores[s]?a,v -> mem[a] = v; a = 0; v = 0 }
#ifdef WEAK
#ifdef NO_RELEASE
  :: atomic { tags[s]?a,v -> mem[a] = v; a = 0; v = 0 }
#else
  :: atomic { len(stores[s]) == 0 && len(tags[s]) > 0 ->
       tags[s]?a,v; mem[a] = v; a = 0; v = 0 }
#endif
#endif
  od
}

/* A fence and the load behind it are one step: nobody sees the time between. */
inline fence(s)
{
  DRAINED(s)
}

/* The order in which a store buffer is filled is seen by nobody else, so this
 * is one step, except where a side may die between two stores. */
inline put(s, i, id, seq)
{
#ifdef TAG_FIRST
  store_tag(s, TAG(s, i), TAG_OF(i, id));
#endif
  store(s, WORD0(s, i), seq);
  store(s, WORD1(s, i), MATE(seq));
#ifndef TAG_FIRST
  store_tag(s, TAG(s, i), TAG_OF(i, id));
#endif
}

/* A tag with the expected lap, then the words, each loaded once. */
inline take_words(s, i)
{
  w0 = mem[WORD0(s, i)];
  w1 = mem[WORD1(s, i)]
}

inline notify(s)
{
  atomic {
#ifndef NO_PRODUCER_FENCE
    fence(s);
#endif
    seen[s] = mem[EPOCH(PEER(s))];
#ifndef FLAG_NOT_EPOCH
    if
    :: seen[s] == rung[s] -> seen[s] = 0
    :: else
    fi
#endif
  }
  if
  :: seen[s] != 0 ->
     /* by now that sleep may be over, and the next one begun */
     atomic {
       assert(seen[s] != rung[s]);
       rung[s] = seen[s];
       seen[s] = 0;
       bell[PEER(s)]++
     }
  :: else
  fi
}

#ifdef CRASH_NO_HANGUP
#define CALLED(s) (bell[s] > 0)
#else
#define CALLED(s) (bell[s] > 0 || hung_up)
#endif

/* Numbers of sleeps are only compared for equality, so the smallest that
 * nobody has in hand stands for the next one, and the states stay few. */
#define IN_HAND(s, n) \
  (n == rung[PEER(s)] || n == seen[PEER(s)] || n == mem[EPOCH(s)] || \
   stores[s]??[eval(EPOCH(s)), eval(n)])

/* i: index of the next entry to read from the peer */
inline sleep(s, i)
{
  atomic {
    id = 1;
    do
    :: IN_HAND(s, id) -> id++
    :: else -> break
    od;
    store(s, EPOCH(s), id);
    id = 0
  }
  atomic {
#ifndef NO_SLEEPER_FENCE
    fence(s);
#endif
#ifndef NO_RELOOK
    if
    :: PUBLISHED(PEER(s), i)
    :: !PUBLISHED(PEER(s), i) -> id = 1
    fi
#else
    id = 1
#endif
  }
  if
  :: id == 0
  :: id == 1 ->
#ifdef DRAIN_AFTER_LOOK
     bell[s] = 0;
#endif
     atomic { CALLED(s) -> id = 0 }
  fi;
  store(s, EPOCH(s), 0);
  bell[s] = 0
}

inline end_loan(seq)
{
  ended[seq]++;
  assert(ended[seq] == 1)
}

#ifdef NO_LOAN_LIMIT
#define MAY_LEND (free > 0)
#else
#define MAY_LEND (free > 0 && B - free < N)
#endif

proctype owner()
{
  byte book[B];        /* sequence number under which it is lent, or 0 */
  byte free = B;
  byte next = START, back = START;
  byte sent = 0;
  byte id = 0, tag = 0, w0 = 0, w1 = 0;
  bool unrung = false;

  do
  /* a buffer comes home */
  :: atomic { PUBLISHED(CLIENT, back) -> tag = mem[TAG(CLIENT, back)] }
     take_words(CLIENT, back);
     atomic {
       id = ID_OF(tag);
       assert(w1 == MATE(w0));
       assert(id < B && w0 != 0 && book[id] == w0);
       end_loan(w0);
       book[id] = 0; free++; back++;
       id = 0; tag = 0; w0 = 0; w1 = 0
     }
  /* lend one: the first that is free, as nothing tells them apart, or any if
   * some are not used otherwise */
  :: atomic { sent < K && MAY_LEND && !hung_up ->
#if B > N
       if
       :: book[0] == 0 -> id = 0
       :: book[1] == 0 -> id = 1
       :: book[2] == 0 -> id = 2
       fi;
#else
       do
       :: book[id] != 0 -> id++
       :: else -> break
       od;
#endif
       sent++; free--;
       book[id] = sent; lent_as[sent] = id;
       put(OWNER, next, id, sent);
       next++; id = 0; unrung = true
     }
  /* one notify may cover many entries */
  :: atomic { unrung -> unrung = false } notify(OWNER)
  :: !unrung && !hung_up && !PUBLISHED(CLIENT, back) && free < B &&
     (sent == K || !MAY_LEND) ->
     sleep(OWNER, back)
  :: sent == K && free == B && !unrung -> break
#ifdef CRASH
  :: hung_up ->
#ifndef CRASH_HOME_TWICE
     /* what was returned before the end is taken first */
     do
     :: atomic { PUBLISHED(CLIENT, back) -> tag = mem[TAG(CLIENT, back)] }
        take_words(CLIENT, back);
        atomic {
          id = ID_OF(tag);
          assert(w1 == MATE(w0) && book[id] == w0);
          end_loan(w0);
          book[id] = 0; free++; back++;
          id = 0; tag = 0; w0 = 0; w1 = 0
        }
     :: else -> break
     od;
#endif
     atomic {
       id = 0;
       do
       :: id < B && book[id] != 0 ->
          end_loan(book[id]); book[id] = 0; free++; id++
       :: id < B && book[id] == 0 -> id++
       :: id == B -> break
       od;
       id = 0
     }
#ifdef CRASH_HOME_TWICE
     /* a late return ends a loan without a look into the book */
     do
     :: atomic { PUBLISHED(CLIENT, back) -> tag = mem[TAG(CLIENT, back)] }
        take_words(CLIENT, back);
        atomic { end_loan(w0); back++; tag = 0; w0 = 0; w1 = 0 }
     :: else -> break
     od;
#endif
     break
#endif
  od;

  atomic {
    assert(free == B);
    id = 1;
    do
    :: id <= sent -> assert(ended[id] == 1); id++
    :: else -> break
    od
  }
}

proctype client()
{
  byte held[B];        /* sequence number under which it is held, or 0 */
  byte holds = 0;
  byte next = START, back = START;
  byte received = 0;
  byte id = 0, tag = 0, w0 = 0, w1 = 0;
  bool unrung = false;
#ifdef NO_ACQUIRE
  bool early = false;
#endif

  {
    do
#ifndef NO_ACQUIRE
    :: atomic { received < K && PUBLISHED(OWNER, next) -> tag = mem[TAG(OWNER, next)] }
       take_words(OWNER, next);
       atomic {
#else
    /* the words are loaded ahead of the tag */
    :: !early && received < K -> take_words(OWNER, next); early = true
    :: early && !PUBLISHED(OWNER, next) -> atomic { early = false; w0 = 0; w1 = 0 }
    :: early && PUBLISHED(OWNER, next) ->
       atomic {
         early = false;
         tag = mem[TAG(OWNER, next)];
#endif
         id = ID_OF(tag);
         assert(w1 == MATE(w0));
         assert(w0 == received + 1);
         assert(id == lent_as[w0]);
         assert(id < B && held[id] == 0);
         held[id] = w0; holds++; next++; received++;
         id = 0; tag = 0; w0 = 0; w1 = 0
       }
    /* return one, in any order */
    :: holds > 0 ->
       atomic {
         if
         :: held[0] != 0 -> id = 0
         :: held[1] != 0 -> id = 1
#if B > 2
         :: held[2] != 0 -> id = 2
#endif
         fi;
         w0 = held[id]; held[id] = 0; holds--;
#ifdef CRASH
       }
       put(CLIENT, back, id, w0);
       atomic {
#else
         put(CLIENT, back, id, w0);
#endif
         back++; id = 0; w0 = 0; unrung = true
       }
    :: atomic { unrung -> unrung = false } notify(CLIENT)
    /* waits for the next while it holds some, but not all */
    :: !unrung && !PUBLISHED(OWNER, next) && received < K && holds < N ->
       sleep(CLIENT, next)
    :: received == K && holds == 0 && !unrung -> break
    od
  } unless { killed };

#ifdef CRASH
  /* What the processor had stored reaches memory before the kernel closes the
   * socket. */
  fence(CLIENT);
  hung_up = true
#endif
}

#ifdef CRASH
proctype killer()
{
  killed = true
}
#endif

init
{
  atomic {
    run store_buffer(OWNER);
    run store_buffer(CLIENT);
    run owner();
    run client();
#ifdef CRASH
    run killer()
#endif
  }
}
