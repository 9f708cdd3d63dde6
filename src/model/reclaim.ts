/** Page-out (`mm/vmscan.c`): which pages, and the way of one page out of memory. */

import type { Kernel } from "./kernel.ts";
import { LRU_INACTIVE_ANON, LRU_INACTIVE_FILE } from "./lru.ts";
import type { MemoryGroup } from "./memory-group.ts";
import { putPage } from "./page-alloc.ts";
import { PG_ACTIVE, PG_LRU, PG_REFERENCED } from "./page-frames.ts";
import { PageOut } from "./page-out.ts";
import { clearReferenced } from "./rmap.ts";

const SWAP_CLUSTER_MAX = 32;
const DEF_PRIORITY = 12;

/**
 * Takes a page off its list for page-out, with a reference (`isolate_lru_page`).
 * False if it is on none, because another page-out has it.
 */
export function isolate(k: Kernel, pfn: number): boolean {
  const { frames, lru } = k;
  if ((frames.flags[pfn] & PG_LRU) === 0) return false;
  lru.remove(pfn);
  frames.flags[pfn] &= ~PG_ACTIVE;
  frames.refcount[pfn]++;
  return true;
}

/** `shrink_folio_list`: pages out what was isolated, puts the rest back on its list. Returns how many were freed. */
export function shrinkPages(k: Kernel, pages: readonly number[], ignoreReferences: boolean): number {
  let freed = 0;
  // Its own, not shared: a page-out may not start within a page-out, but a scheduler may hold others half done.
  const pageOut = new PageOut();
  for (const pfn of pages) {
    pageOut.begin(pfn, ignoreReferences);
    pageOut.run(k);
    if (pageOut.freed) freed++;
  }
  return freed;
}

/** `reclaim_pages`: pages out exactly these, used lately or not. Those that are isolated already are left. */
export function reclaimPages(k: Kernel, pages: readonly number[]): number {
  return shrinkPages(
    k,
    pages.filter((pfn) => isolate(k, pfn)),
    true,
  );
}

/** Isolates up to `count` pages from the tail of a list. */
function isolateTail(k: Kernel, group: number, list: number, count: number): number[] {
  const pages: number[] = [];
  for (let pfn = k.lru.tail(group, list); pfn !== 0 && pages.length < count; pfn = k.lru.tail(group, list)) {
    isolate(k, pfn);
    pages.push(pfn);
  }
  return pages;
}

/** `shrink_active_list`: the oldest active pages become inactive. */
function deactivateTail(k: Kernel, group: number, list: number, count: number): void {
  for (const pfn of isolateTail(k, group, list, count)) {
    clearReferenced(k, pfn);
    k.frames.flags[pfn] &= ~PG_REFERENCED;
    k.vmstat.pgdeactivate++;
    k.lru.add(pfn);
    putPage(k, pfn);
  }
}

/** In the order in which they are scanned; the active list of the same kind comes after each. */
const INACTIVE_LISTS = [LRU_INACTIVE_FILE, LRU_INACTIVE_ANON];

/** `shrink_lruvec`: scans a group's lists, 1/2^priority of each. */
function shrinkGroup(k: Kernel, group: number, priority: number, targetPages: number): number {
  const { lru } = k;
  let freed = 0;
  const canSwap = k.swap.freeSlots > 0;
  for (const inactive of INACTIVE_LISTS) {
    const active = inactive + 1;
    // Without swap, anonymous and shmem pages can't go anywhere (`can_reclaim_anon_pages`).
    if (inactive === LRU_INACTIVE_ANON && !canSwap) continue;
    // `inactive_is_low`, with the ratio of small memories.
    if (lru.size(group, inactive) < lru.size(group, active) || priority === 0)
      deactivateTail(k, group, active, Math.max(1, lru.size(group, active) >> priority));
    let scan = lru.size(group, inactive) === 0 ? 0 : Math.max(1, lru.size(group, inactive) >> priority);
    while (scan > 0 && freed < targetPages) {
      const pages = isolateTail(k, group, inactive, Math.min(scan, SWAP_CLUSTER_MAX));
      if (pages.length === 0) break;
      scan -= pages.length;
      k.vmstat.pgscan += pages.length;
      freed += shrinkPages(k, pages, false);
    }
  }
  k.vmstat.pgsteal += freed;
  return freed;
}

export interface ReclaimRequest {
  /** The group to reclaim from; null for all. */
  readonly group: MemoryGroup | null;
  readonly targetPages: number;
}

/** `try_to_free_pages`: scans harder and harder until `targetPages` are freed. Returns how many were. */
export function reclaim(k: Kernel, { group, targetPages }: ReclaimRequest): number {
  if (k.isReclaiming) return 0;
  k.isReclaiming = true;
  const groups = group === null ? k.groups.all : [group];
  let freed = 0;
  for (let priority = DEF_PRIORITY; priority >= 0 && freed < targetPages; priority--)
    for (const { id } of groups) freed += shrinkGroup(k, id, priority, targetPages - freed);
  k.isReclaiming = false;
  return freed;
}

/** Reclaims all that can be (a cgroup's `memory.force_empty`): until two rounds in a row free nothing. */
export function reclaimAll(k: Kernel, group: MemoryGroup | null): number {
  let freed = 0;
  for (let idle = 0; idle < 3; ) {
    const now = reclaim(k, { group, targetPages: Number.POSITIVE_INFINITY });
    freed += now;
    idle = now === 0 ? idle + 1 : 0;
  }
  return freed;
}
