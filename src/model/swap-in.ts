/** Reading pages back from swap: alone, or with their neighbours (`mm/swap_state.c`). */

import type { Kernel } from "./kernel.ts";
import { allocPage, putPage } from "./page-alloc.ts";
import {
  PG_LOCKED,
  PG_READAHEAD,
  PG_SWAPBACKED,
  PG_SWAPCACHE,
  PG_UPTODATE,
  PG_WRITEBACK,
} from "./page-frames.ts";
import { packSwapEntry, swapArea, swapSlot } from "./swap.ts";

/** How far to read ahead: grows with the pages that were used, and does not shrink fast (`swapin_nr_pages`). */
export class SwapReadahead {
  readonly #pagesMax: number;
  #hits = 4;
  #previousSlot = 0;
  #previousPages = 0;

  constructor(pageCluster: number) {
    this.#pagesMax = 2 ** pageCluster;
  }

  get isOn(): boolean {
    return this.#pagesMax > 1;
  }

  /** A page that was read ahead has been used. */
  hit(k: Kernel, pfn: number): void {
    k.frames.flags[pfn] &= ~PG_READAHEAD;
    this.#hits++;
    k.vmstat.swap_ra_hit++;
  }

  /** How many pages to read for a fault on `slot`: a power of two. */
  window(slot: number): number {
    const hits = this.#hits;
    this.#hits = 0;
    let pages = 1;
    if (hits === 0) pages = Math.abs(slot - this.#previousSlot) === 1 ? 2 : 1;
    else for (pages = 4; pages < hits + 2; pages *= 2);
    pages = Math.max(Math.min(pages, this.#pagesMax), Math.floor(this.#previousPages / 2));
    if (hits === 0) this.#previousSlot = slot;
    this.#previousPages = pages;
    return pages;
  }
}

/** A page for `entry`, to be read into: locked, with a reference, in no cache; 0 if there is no memory. */
export function newSwapPage(k: Kernel, entry: number): number {
  const pfn = allocPage(k, k.swap.groupOf(entry));
  if (pfn === 0) return 0;
  k.frames.flags[pfn] = PG_LOCKED | PG_SWAPBACKED | PG_UPTODATE;
  k.lru.add(pfn);
  return pfn;
}

function readAlone(k: Kernel, entry: number): number {
  const pfn = newSwapPage(k, entry);
  if (pfn !== 0) k.swap.read(entry, pfn);
  return pfn;
}

/** Whether a page goes past the swap cache: a synchronous device, no readahead, nobody else who names the slot. */
export function goesPastSwapCache(k: Kernel, entry: number): boolean {
  return !k.readahead.isOn && k.swap.area(entry).device.synchronous && k.swap.count(entry) === 1;
}

/**
 * `read_swap_cache_async`: the page of `entry` in the swap cache, read now if it was not there. Unlocked, with a
 * reference; 0 if there is no memory or nothing names the slot any more.
 */
export function readSwapCache(k: Kernel, entry: number): number {
  const { frames, swap } = k;
  let pfn = swap.lookUp(entry);
  if (pfn > 0) {
    frames.refcount[pfn]++;
    return pfn;
  }
  if (swap.count(entry) === 0) return 0;
  pfn = readAlone(k, entry);
  if (pfn === 0) return 0;
  frames.flags[pfn] &= ~PG_LOCKED;
  if (swap.count(entry) === 0 || swap.lookUp(entry) > 0) {
    // Making room for it freed the slot.
    putPage(k, pfn);
    return 0;
  }
  swap.cacheRead(entry, pfn);
  return pfn;
}

/** `swap_cluster_readahead`: reads the aligned run of slots around `entry` into the swap cache. */
function readCluster(k: Kernel, entry: number): void {
  const { swap } = k;
  const slot = swapSlot(entry);
  const pages = k.readahead.window(slot);
  if (pages === 1) return;
  const area = swap.area(entry);
  const first = Math.max(1, slot - (slot % pages));
  const end = Math.min(area.unusedFrom, slot - (slot % pages) + pages);
  for (let other = first; other < end; other++) {
    if (other === slot || area.counts[other] === 0 || area.cache[other] > 0) continue;
    const pfn = readSwapCache(k, packSwapEntry(swapArea(entry), other));
    if (pfn === 0) continue;
    k.frames.flags[pfn] |= PG_READAHEAD;
    k.vmstat.swap_ra++;
    putPage(k, pfn);
  }
}

/**
 * Brings the page of `entry` in from swap, where it is not in the swap cache: locked and with a reference, 0 if there
 * is no memory. With a synchronous device and no readahead it goes past the swap cache; else it is in it.
 */
export function swapIn(k: Kernel, entry: number): number {
  if (goesPastSwapCache(k, entry)) return readAlone(k, entry);
  if (k.readahead.isOn) readCluster(k, entry);
  const pfn = readSwapCache(k, entry);
  if (pfn !== 0) k.frames.flags[pfn] |= PG_LOCKED;
  return pfn;
}

/** `free_swap_and_cache`: one fewer names the slot; a page left in the swap cache that nobody maps goes too. */
export function freeSwapAndCache(k: Kernel, entry: number): void {
  const pfn = k.swap.lookUp(entry);
  k.swap.release(entry);
  if (pfn > 0) freeSwapCache(k, pfn);
}

/** `free_swap_cache`: a page in the swap cache that no page table maps or names is not worth keeping. */
export function freeSwapCache(k: Kernel, pfn: number): void {
  const { frames, swap } = k;
  if ((frames.flags[pfn] & (PG_SWAPCACHE | PG_LOCKED | PG_WRITEBACK)) !== PG_SWAPCACHE) return;
  if (frames.mapcount[pfn] > 0 && !swap.isFull) return;
  frames.refcount[pfn]++;
  swap.freeSwapOf(pfn);
  putPage(k, pfn);
}
