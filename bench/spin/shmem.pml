/*
 * Pages of a shmem object, two processes that map it, and what loads, stores, zaps and page-outs make of their PTEs,
 * with the RFC's markers: the explorer's scope (no fork, no swapoff, fault-around off) written by hand.
 * One step of the loop is one operation; nothing else is a state.
 *
 *   spin -a -DPAGES=2 shmem.pml && cc -O2 -DSAFETY -DNOFAIR -o pan pan.c && ./pan -m100000
 */

#ifndef PAGES
#define PAGES 2
#endif

/* How a page is kept. */
#define HOLE 0
#define CLEAN 1 /* in memory, never written, all zero */
#define DIRTY 2 /* in memory */
#define SWAPPED 3

/* What a PTE is. */
#define NONE 0
#define PRESENT 1
#define WRITTEN 2 /* present, and the processor has set its dirty bit */
#define MARKER 3

byte page[PAGES];
/* Of process p, page i: pte[p * PAGES + i]. */
byte pte[PAGES * 2];

#define is_present(e) (e == PRESENT || e == WRITTEN)

/* A fault brings the page in; from swap it comes dirty, as its slot is given up. */
inline bring_in(i) {
  if
  :: page[i] == HOLE -> page[i] = CLEAN
  :: page[i] == SWAPPED -> page[i] = DIRTY
  :: else
  fi
}

inline load(p, i) {
  if
  :: is_present(pte[p * PAGES + i])
  :: else -> bring_in(i); pte[p * PAGES + i] = PRESENT
  fi
}

inline store(p, i) {
  if
  :: is_present(pte[p * PAGES + i])
  :: else -> bring_in(i); page[i] = DIRTY
  fi;
  pte[p * PAGES + i] = WRITTEN
}

/* A dirty bit goes from the PTE to the page. */
inline unmap(p, i, leave) {
  if
  :: pte[p * PAGES + i] == WRITTEN -> page[i] = DIRTY; pte[p * PAGES + i] = leave
  :: pte[p * PAGES + i] == PRESENT -> pte[p * PAGES + i] = leave
  :: else
  fi
}

/* The page leaves memory: to swap if it is dirty, else it is dropped. */
inline page_out(i) {
  unmap(0, i, MARKER);
  unmap(1, i, MARKER);
  if
  :: page[i] == DIRTY -> page[i] = SWAPPED
  :: page[i] == CLEAN -> page[i] = HOLE
  :: else
  fi
}

/* madvise: of pages that this process maps, and no other. */
inline advise_pageout(p, i) {
  if
  :: is_present(pte[p * PAGES + i]) && !is_present(pte[(1 - p) * PAGES + i]) -> page_out(i)
  :: else
  fi
}

inline dontneed(p, i) {
  unmap(p, i, NONE);
  pte[p * PAGES + i] = NONE
}

inline punch(i) {
  page[i] = HOLE;
  pte[i] = NONE;
  pte[PAGES + i] = NONE
}

inline readfd(i) {
  if
  :: page[i] == SWAPPED -> page[i] = DIRTY
  :: else
  fi
}

inline writefd(i) {
  page[i] = DIRTY
}

active proctype machine() {
  byte p, i;
  do
  :: d_step { p = 0; i = 0;
       do :: i < PAGES -> page_out(i); i++ :: else -> break od;
       i = 0 }
#define ON(N) \
  :: d_step { load(0, N) } \
  :: d_step { load(1, N) } \
  :: d_step { store(0, N) } \
  :: d_step { store(1, N) } \
  :: d_step { advise_pageout(0, N) } \
  :: d_step { advise_pageout(1, N) } \
  :: d_step { dontneed(0, N) } \
  :: d_step { dontneed(1, N) } \
  :: d_step { punch(N) } \
  :: d_step { readfd(N) } \
  :: d_step { writefd(N) }
  ON(0)
#if PAGES > 1
  ON(1)
#endif
#if PAGES > 2
  ON(2)
#endif
#if PAGES > 3
  ON(3)
#endif
  od
}
