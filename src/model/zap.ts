/** Taking pages out of page tables (`zap_pte_range`, `unmap_mapping_range`, `mm/memory.c`). */

import {
  isPteNone,
  isPtePresent,
  markerBits,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_SWP_UFFD_WP,
  PTE_UFFD_WP,
} from "../abi/index.ts";
import { isMarker, pteSwapEntry } from "./entries.ts";
import type { Kernel } from "./kernel.ts";
import { PG_ANON, PG_DIRTY, ZERO_PFN } from "./page-frames.ts";
import { entryOffset, tableEnd } from "./page-table.ts";
import { removeRmap } from "./rmap.ts";
import type { ShmemObject } from "./shmem-object.ts";
import { freeSwapAndCache, freeSwapCache } from "./swap-in.ts";
import { VM_UFFD_WP, type Vma } from "./vma.ts";

/** What a zap takes: the object's pages only, private copies too, or besides those the markers that outlive a zap. */
export type ZapScope = "shared" | "private copies too" | "markers too";

/**
 * Zaps pages `start` to `end` of an area.
 *
 * A PAGEOUT marker always goes: it says that there is something in swap, and after a zap nobody knows.
 * A uffd-wp marker stays, and a write-protected page of an object leaves one, unless the mapping itself goes.
 */
export function zapRange(k: Kernel, vma: Vma, start: number, end: number, scope: ZapScope): void {
  const { pageTables } = vma.mm;
  for (let vpn = pageTables.skipToTable(start, end); vpn < end; vpn = pageTables.skipToTable(vpn, end)) {
    const table = pageTables.find(vpn);
    const chunk = k.pageTables.chunkOf(table);
    const stop = Math.min(end, tableEnd(vpn));
    k.work.pteReads += stop - vpn;
    for (let i = entryOffset(table, vpn); vpn < stop; vpn++, i += 2) {
      const lo = chunk[i];
      const hi = chunk[i + 1];
      if (isPteNone(lo, hi)) continue;
      if (isPtePresent(lo)) zapPresent(k, vma, chunk, i, scope);
      else zapSwapForm(k, vma, chunk, i, scope);
    }
  }
}

function zapPresent(k: Kernel, vma: Vma, chunk: Uint32Array, i: number, scope: ZapScope): void {
  const { frames } = k;
  const lo = chunk[i];
  const pfn = (lo >>> 12) | (chunk[i + 1] << 20);
  if (scope === "shared" && pfn !== ZERO_PFN && (frames.flags[pfn] & PG_ANON) !== 0) return;
  k.pageTables.write(chunk, i, 0, 0);
  if ((lo & PTE_UFFD_WP) !== 0) leaveUffdWpMarker(k, vma, chunk, i, scope);
  if (pfn === ZERO_PFN) return;
  if ((frames.flags[pfn] & PG_ANON) === 0) {
    if ((lo & PTE_DIRTY) !== 0) frames.flags[pfn] |= PG_DIRTY;
    if ((lo & PTE_ACCESSED) !== 0) k.lru.markAccessed(pfn);
  }
  removeRmap(k, pfn);
  freeSwapCache(k, pfn);
}

function zapSwapForm(k: Kernel, vma: Vma, chunk: Uint32Array, i: number, scope: ZapScope): void {
  const lo = chunk[i];
  const hi = chunk[i + 1];
  if (isMarker(k, lo, hi)) {
    if (scope !== "markers too" && outlivesZap(k, vma, markerBits(lo, hi))) return;
    // What is no swap entry that it knows, a zap of an object's pages leaves.
    if (scope === "shared" && !k.config.handle_pte_marker) return;
    k.pageTables.write(chunk, i, 0, 0);
    return;
  }
  // A swap entry is a private page's.
  if (scope === "shared") return;
  k.pageTables.write(chunk, i, 0, 0);
  if ((lo & PTE_SWP_UFFD_WP) !== 0) leaveUffdWpMarker(k, vma, chunk, i, scope);
  freeSwapAndCache(k, pteSwapEntry(lo, hi));
}

/** `zap_install_uffd_wp_if_needed`: what was write-protected in a mapping of an object stays so. */
function leaveUffdWpMarker(k: Kernel, vma: Vma, chunk: Uint32Array, i: number, scope: ZapScope): void {
  if (scope === "markers too" || vma.object === null || (vma.flags & VM_UFFD_WP) === 0) return;
  k.pageTables.write(chunk, i, k.uffdWpMarkerLo, k.uffdWpMarkerHi);
}

/** Markers that only go with their mapping: uffd-wp on an object, guard regions. */
function outlivesZap(k: Kernel, vma: Vma, bits: number): boolean {
  if (k.markers === undefined) return false;
  if ((bits & k.markers.GUARD) !== 0) return true;
  return (bits & k.markers.UFFD_WP) !== 0 && vma.object !== null;
}

const mappers: Vma[] = [];

/** `unmap_mapping_range`: zaps pages `first` to `end` of an object in every area that maps them. */
export function unmapMappingRange(
  k: Kernel,
  object: ShmemObject,
  first: number,
  end: number,
  scope: ZapScope,
): void {
  mappers.length = 0;
  object.mappings.collect(first, end - 1, mappers);
  for (const vma of mappers) {
    const from = Math.max(vma.start, vma.pageAt(first));
    const to = Math.min(vma.end, vma.pageAt(end));
    zapRange(k, vma, from, to, scope);
  }
}
