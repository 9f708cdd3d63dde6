/** madvise (`mm/madvise.c`). Addresses are page numbers. */

import {
  type Advice,
  ERRNO,
  isPtePresent,
  PAGE_SIZE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_RW,
} from "../abi/index.ts";
import { isMarker, pteSwapEntry } from "./entries.ts";
import type { Kernel } from "./kernel.ts";
import type { Mm } from "./mm.ts";
import { EndlessFaultError, FAULTS_MAX, handleFault } from "./mmu.ts";
import { putPage } from "./page-alloc.ts";
import {
  PG_ACTIVE,
  PG_ANON,
  PG_DIRTY,
  PG_LRU,
  PG_REFERENCED,
  PG_SWAPBACKED,
  PG_SWAPCACHE,
  ZERO_PFN,
} from "./page-frames.ts";
import { entryOffset, tableEnd } from "./page-table.ts";
import { isolate, shrinkPages } from "./reclaim.ts";
import { punchHole } from "./shmem.ts";
import { swapOfCacheEntry } from "./shmem-object.ts";
import { freeSwapAndCache, readSwapCache } from "./swap-in.ts";
import { VM_ACCESS_FLAGS, VM_MAYWRITE, VM_SHARED, VM_WRITE, type Vma } from "./vma.ts";
import { zapRange } from "./zap.ts";

/** Does one piece of advice to pages `start` to `end` of one area. Returns 0 or minus an errno. */
type Visit = (k: Kernel, vma: Vma, start: number, end: number) => number;

const VISITS: Readonly<Record<Advice, Visit>> = {
  NORMAL: () => 0,
  WILLNEED: willneed,
  DONTNEED: dontneed,
  FREE: free,
  REMOVE: remove,
  COLD: cold,
  PAGEOUT: pageout,
  POPULATE_READ: (k, vma, start, end) => populate(k, vma, start, end, false),
  POPULATE_WRITE: (k, vma, start, end) => populate(k, vma, start, end, true),
};

/**
 * `madvise` on pages `start` to `end`. Returns 0 or minus an errno. Gaps are passed over, and ENOMEM returned at the
 * end; the first error of an area stops it.
 */
export function madvise(k: Kernel, mm: Mm, start: number, end: number, advice: Advice): number {
  const visit = VISITS[advice];
  const stopsAtGap =
    k.behaviour.populateStopsAtGap && (advice === "POPULATE_READ" || advice === "POPULATE_WRITE");
  let result = 0;
  for (let at = start; at < end; ) {
    const vma = mm.vmas[mm.position(at)];
    if (vma === undefined || vma.start > at) {
      result = -ERRNO.ENOMEM;
      if (stopsAtGap || vma === undefined || vma.start >= end) return result;
      at = vma.start;
    }
    const stop = Math.min(end, (vma as Vma).end);
    const error = visit(k, vma as Vma, at, stop);
    if (error !== 0) return error;
    at = stop;
  }
  return result;
}

function dontneed(k: Kernel, vma: Vma, start: number, end: number): number {
  zapRange(k, vma, start, end, "private copies too");
  return 0;
}

/** `madvise_remove`: punches a hole in the object. */
function remove(k: Kernel, vma: Vma, start: number, end: number): number {
  if (vma.object === null) return -ERRNO.EINVAL;
  if ((vma.flags & (VM_SHARED | VM_MAYWRITE)) !== (VM_SHARED | VM_MAYWRITE)) return -ERRNO.EACCES;
  return punchHole(k, vma.object, vma.indexOf(start) * PAGE_SIZE, (end - start) * PAGE_SIZE);
}

/** `madvise_willneed`: reads what is in swap into the swap cache. */
function willneed(k: Kernel, vma: Vma, start: number, end: number): number {
  const { object } = vma;
  if (object === null) {
    willneedAnonymous(k, vma, start, end);
    return 0;
  }
  const last = vma.indexOf(end) + (k.behaviour.willneedReadsOnePageTooMany ? 1 : 0);
  for (
    let index = object.nextEntry(vma.indexOf(start), last);
    index < last;
    index = object.nextEntry(index + 1, last)
  ) {
    const entry = object.get(index);
    if (entry < 0) readAhead(k, swapOfCacheEntry(entry));
  }
  return 0;
}

function willneedAnonymous(k: Kernel, vma: Vma, start: number, end: number): void {
  vma.mm.pageTables.forEach(start, end, (_vpn, chunk, i) => {
    if (isPtePresent(chunk[i])) return;
    if (isMarker(k, chunk[i], chunk[i + 1])) return;
    readAhead(k, pteSwapEntry(chunk[i], chunk[i + 1]));
  });
}

function readAhead(k: Kernel, entry: number): void {
  const pfn = readSwapCache(k, entry);
  if (pfn !== 0) putPage(k, pfn);
}

/**
 * Visits the pages of an area that are mapped here and nowhere else (`madvise_cold_or_pageout_pte_range`):
 * clears that they were used.
 */
function forOwnPages(k: Kernel, vma: Vma, start: number, end: number, each: (pfn: number) => void): void {
  const { frames } = k;
  const { pageTables } = vma.mm;
  for (let vpn = pageTables.skipToTable(start, end); vpn < end; vpn = pageTables.skipToTable(vpn, end)) {
    const table = pageTables.find(vpn);
    const chunk = k.pageTables.chunkOf(table);
    const stop = Math.min(end, tableEnd(vpn));
    k.work.pteReads += stop - vpn;
    for (let i = entryOffset(table, vpn); vpn < stop; vpn++, i += 2) {
      if (!isPtePresent(chunk[i])) continue;
      const pfn = (chunk[i] >>> 12) | (chunk[i + 1] << 20);
      if (pfn === ZERO_PFN || frames.mapcount[pfn] !== 1 || (frames.flags[pfn] & PG_LRU) === 0) continue;
      if ((chunk[i] & PTE_ACCESSED) !== 0)
        k.pageTables.write(chunk, i, chunk[i] & ~PTE_ACCESSED, chunk[i + 1]);
      frames.flags[pfn] &= ~PG_REFERENCED;
      each(pfn);
    }
  }
}

function cold(k: Kernel, vma: Vma, start: number, end: number): number {
  forOwnPages(k, vma, start, end, (pfn) => k.lru.deactivate(pfn));
  return 0;
}

/** Page-out goes page table by page table, as the kernel's does. */
function pageout(k: Kernel, vma: Vma, start: number, end: number): number {
  const pages: number[] = [];
  for (let from = start; from < end; ) {
    const stop = Math.min(end, tableEnd(from));
    pages.length = 0;
    forOwnPages(k, vma, from, stop, (pfn) => {
      if (isolate(k, pfn)) pages.push(pfn);
    });
    shrinkPages(k, pages, true);
    from = vma.mm.pageTables.skipToTable(stop, end);
  }
  return 0;
}

/** `madvise_free_pte_range`: private pages that may be dropped instead of paged out, until they are written again. */
function free(k: Kernel, vma: Vma, start: number, end: number): number {
  if (vma.object !== null) return -ERRNO.EINVAL;
  vma.mm.pageTables.forEach(start, end, (_vpn, chunk, i) => {
    if (isPtePresent(chunk[i])) freePresent(k, chunk, i);
    else if (!isMarker(k, chunk[i], chunk[i + 1])) {
      const entry = pteSwapEntry(chunk[i], chunk[i + 1]);
      k.pageTables.write(chunk, i, 0, 0);
      freeSwapAndCache(k, entry);
    }
  });
  return 0;
}

function freePresent(k: Kernel, chunk: Uint32Array, i: number): void {
  const { frames } = k;
  const pfn = (chunk[i] >>> 12) | (chunk[i + 1] << 20);
  if (pfn === ZERO_PFN) return;
  if ((frames.flags[pfn] & (PG_SWAPCACHE | PG_DIRTY)) !== 0) {
    if (frames.mapcount[pfn] !== 1) return;
    if ((frames.flags[pfn] & PG_SWAPCACHE) !== 0 && !k.swap.freeSwapOf(pfn)) return;
    frames.flags[pfn] &= ~PG_DIRTY;
  }
  const used = PTE_ACCESSED | PTE_DIRTY;
  if ((chunk[i] & used) !== 0) k.pageTables.write(chunk, i, chunk[i] & ~used, chunk[i + 1]);
  // `mark_page_lazyfree`: to the inactive list of pages that need no swap.
  const needs = PG_ANON | PG_SWAPBACKED | PG_LRU;
  if ((frames.flags[pfn] & (needs | PG_SWAPCACHE)) !== needs) return;
  k.lru.remove(pfn);
  frames.flags[pfn] &= ~(PG_ACTIVE | PG_REFERENCED | PG_SWAPBACKED);
  k.lru.add(pfn);
  k.vmstat.pglazyfree++;
}

/** `faultin_page_range`: faults every page in, as a load or a store would, but touches no page. */
function populate(k: Kernel, vma: Vma, start: number, end: number, isWrite: boolean): number {
  if ((vma.flags & (isWrite ? VM_WRITE : VM_ACCESS_FLAGS)) === 0) return -ERRNO.EINVAL;
  const { frames } = k;
  for (let vpn = start; vpn < end; vpn++) {
    let pfn = mappedPage(k, vma.mm, vpn, isWrite);
    for (let tries = 0; pfn < 0; tries++) {
      if (tries === FAULTS_MAX) throw new EndlessFaultError(vpn);
      const result = handleFault(k, vma.mm, vpn, isWrite);
      if (result === "ENOMEM") return -ERRNO.ENOMEM;
      if (result === "SIGSEGV" || result === "SIGBUS") return -ERRNO.EFAULT;
      pfn = mappedPage(k, vma.mm, vpn, isWrite);
    }
    if (pfn === ZERO_PFN) continue;
    if (isWrite) frames.flags[pfn] |= PG_DIRTY;
    k.lru.markAccessed(pfn);
  }
  return 0;
}

/** `follow_page_pte`: the frame mapped at `vpn`, writable if asked for; -1 if there is none. */
function mappedPage(k: Kernel, mm: Mm, vpn: number, isWrite: boolean): number {
  const table = mm.pageTables.find(vpn);
  if (table === 0) return -1;
  const chunk = k.pageTables.chunkOf(table);
  const i = entryOffset(table, vpn);
  k.work.pteReads++;
  if ((chunk[i] & PTE_PRESENT) === 0 || (isWrite && (chunk[i] & PTE_RW) === 0)) return -1;
  return (chunk[i] >>> 12) | (chunk[i + 1] << 20);
}
