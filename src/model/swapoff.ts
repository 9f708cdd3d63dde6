/** Taking a swap area away (`try_to_unuse`, `mm/swapfile.c`): everything in it is read back. */

import {
  ERRNO,
  isPtePresent,
  PTE_ACCESSED,
  PTE_SOFT_DIRTY,
  PTE_SWP_EXCLUSIVE,
  PTE_SWP_SOFT_DIRTY,
  PTE_SWP_UFFD_WP,
  PTE_UFFD_WP,
} from "../abi/index.ts";
import { isMarker, pteSwapEntry } from "./entries.ts";
import type { Kernel } from "./kernel.ts";
import { putPage } from "./page-alloc.ts";
import { PG_LOCKED, PG_WRITEBACK } from "./page-frames.ts";
import { BLOCKED } from "./page-lock.ts";
import { addAnonRmap } from "./rmap.ts";
import { unuseObject } from "./shmem.ts";
import { type SwapArea, swapArea } from "./swap.ts";
import { readSwapCache } from "./swap-in.ts";
import type { Vma } from "./vma.ts";

/**
 * Reads everything back and removes the area. Returns 0, or minus ENOMEM if it doesn't fit, or {@link
 * BLOCKED} if a page must be waited for: then the area stays on.
 */
export function swapoff(k: Kernel, area: SwapArea): number {
  area.writeOk = false;
  const isOfArea = (entry: number): boolean => swapArea(entry) === area.type;
  while (area.usedSlots > 0) {
    const used = area.usedSlots;
    let error = 0;
    for (const object of k.objects) error ||= Math.min(0, unuseObject(k, object, isOfArea));
    for (const mm of k.mms)
      for (const vma of mm.vmas) if (error === 0 && vma.anonVma !== null) error = unuseVma(k, vma, area);
    dropCacheOnly(k, area);
    if (error !== 0 || area.usedSlots === used) {
      area.writeOk = true;
      return error === BLOCKED || hasLockedPage(k, area) ? BLOCKED : -ERRNO.ENOMEM;
    }
  }
  k.swap.removeArea(area);
  area.device.close();
  return 0;
}

/** `unuse_vma`. */
function unuseVma(k: Kernel, vma: Vma, area: SwapArea): number {
  let error = 0;
  vma.mm.pageTables.forEach(vma.start, vma.end, (vpn, chunk, i) => {
    const lo = chunk[i];
    const hi = chunk[i + 1];
    if (error !== 0 || isPtePresent(lo) || isMarker(k, lo, hi)) return;
    const entry = pteSwapEntry(lo, hi);
    if (swapArea(entry) !== area.type) return;
    const pfn = readSwapCache(k, entry);
    if (pfn === 0) {
      error = -ERRNO.ENOMEM;
      return;
    }
    // Making room may have changed the PTE; what was read is in the swap cache, and is looked at again.
    if (chunk[i] === lo && chunk[i + 1] === hi) unusePte(k, vma, vpn, chunk, i, pfn);
    putPage(k, pfn);
  });
  return error;
}

/**
 * `unuse_pte`: maps the page, unaccessed and read-only as a private page is at first, in place of its swap
 * entry.
 */
function unusePte(k: Kernel, vma: Vma, vpn: number, chunk: Uint32Array, i: number, pfn: number): void {
  const { frames, swap } = k;
  if ((frames.flags[pfn] & (PG_LOCKED | PG_WRITEBACK)) !== 0) return;
  const lo = chunk[i];
  const entry = pteSwapEntry(lo, chunk[i + 1]);
  frames.refcount[pfn]++;
  addAnonRmap(k, pfn, vma, vpn, (lo & PTE_SWP_EXCLUSIVE) !== 0);
  const flags =
    (vma.protLo & ~PTE_ACCESSED) |
    ((lo & PTE_SWP_SOFT_DIRTY) !== 0 ? PTE_SOFT_DIRTY : 0) |
    ((lo & PTE_SWP_UFFD_WP) !== 0 ? PTE_UFFD_WP : 0);
  k.pageTables.write(chunk, i, (pfn << 12) | flags, (pfn >>> 20) | vma.protHi);
  swap.release(entry);
  swap.freeSwapOf(pfn);
}

/** Whether a page of the area is in a task's hands. */
function hasLockedPage(k: Kernel, area: SwapArea): boolean {
  for (let slot = 1; slot < area.unusedFrom; slot++) {
    const pfn = area.cache[slot];
    if (pfn > 0 && (k.frames.flags[pfn] & (PG_LOCKED | PG_WRITEBACK)) !== 0) return true;
  }
  return false;
}

/** Slots that only the swap cache holds. */
function dropCacheOnly(k: Kernel, area: SwapArea): void {
  for (let slot = 1; slot < area.unusedFrom; slot++) {
    const pfn = area.cache[slot];
    if (pfn <= 0 || area.counts[slot] > 0) continue;
    if ((k.frames.flags[pfn] & (PG_LOCKED | PG_WRITEBACK)) !== 0) continue;
    k.frames.refcount[pfn]++;
    k.swap.freeSwapOf(pfn);
    putPage(k, pfn);
  }
}
