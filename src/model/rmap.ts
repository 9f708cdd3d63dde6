/** Reverse mapping (`mm/rmap.c`): from a page to the PTEs that map it. */

import {
  isPtePresent,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_SOFT_DIRTY,
  PTE_SWP_EXCLUSIVE,
  PTE_SWP_SOFT_DIRTY,
  PTE_SWP_UFFD_WP,
  PTE_UFFD_WP,
} from "../abi/index.ts";
import type { AnonVmaLink } from "./anon-vma.ts";
import { swapEntryPteHi, swapEntryPteLo } from "./entries.ts";
import type { Kernel } from "./kernel.ts";
import { putPage } from "./page-alloc.ts";
import {
  PG_ANON,
  PG_ANON_EXCLUSIVE,
  PG_DIRTY,
  PG_LOCKED,
  PG_SWAPBACKED,
  PG_SWAPCACHE,
  PG_WRITEBACK,
} from "./page-frames.ts";
import { entryOffset } from "./page-table.ts";
import { VM_UFFD_WP, type Vma } from "./vma.ts";

/** `page_add_new_anon_rmap`: a page that nobody else can know yet is mapped at `vpn`. */
export function addNewAnonRmap(k: Kernel, pfn: number, vma: Vma, vpn: number): void {
  const { frames } = k;
  frames.flags[pfn] |= PG_SWAPBACKED;
  setAnon(k, pfn, vma, vpn, true);
  frames.addMapper(pfn);
}

/** `page_add_anon_rmap`: a page that came from swap is mapped at `vpn`. */
export function addAnonRmap(k: Kernel, pfn: number, vma: Vma, vpn: number, exclusive: boolean): void {
  const { frames } = k;
  if ((frames.flags[pfn] & PG_ANON) === 0) setAnon(k, pfn, vma, vpn, exclusive);
  else if (exclusive) frames.flags[pfn] |= PG_ANON_EXCLUSIVE;
  frames.addMapper(pfn);
}

/**
 * `__page_set_anon_rmap`: not exclusive, the page may be another descendant's too, and belongs to the oldest anon_vma.
 */
function setAnon(k: Kernel, pfn: number, vma: Vma, vpn: number, exclusive: boolean): void {
  const { frames } = k;
  let anonVma = k.anonVmas.prepare(vma);
  if (!exclusive) while (anonVma.parent !== null) anonVma = anonVma.parent;
  frames.mapping[pfn] = anonVma.id;
  frames.setIndex(pfn, vma.indexOf(vpn));
  frames.flags[pfn] |= exclusive ? PG_ANON | PG_ANON_EXCLUSIVE : PG_ANON;
}

/**
 * `wp_can_reuse_anon_folio`: whether a private page that is to be written is this area's alone, after giving up its
 * place in swap if that is all that is in the way. It belongs to the area then.
 */
export function mayReuse(k: Kernel, pfn: number, vma: Vma): boolean {
  const { flags, refcount, mapping } = k.frames;
  if ((flags[pfn] & PG_ANON_EXCLUSIVE) !== 0) return true;
  const isCached = (flags[pfn] & PG_SWAPCACHE) !== 0;
  if (refcount[pfn] > 1 + (isCached ? 1 : 0)) return false;
  if ((flags[pfn] & PG_LOCKED) !== 0) return false;
  if (isCached && ((flags[pfn] & PG_WRITEBACK) !== 0 || !k.swap.freeSwapOf(pfn))) return false;
  mapping[pfn] = k.anonVmas.prepare(vma).id;
  flags[pfn] |= PG_ANON_EXCLUSIVE;
  return true;
}

/** A PTE that mapped the page is gone; drops its reference too. */
export function removeRmap(k: Kernel, pfn: number): void {
  const { frames } = k;
  if (frames.removeMapper(pfn) === 0) frames.flags[pfn] &= ~PG_ANON_EXCLUSIVE;
  putPage(k, pfn);
}

/** Appends to `found` the areas in which the page may be mapped. */
export function collectMappers(k: Kernel, pfn: number, found: Vma[]): void {
  const { frames } = k;
  const mapping = frames.mapping[pfn];
  if (mapping === 0) return;
  const index = frames.index(pfn);
  if ((frames.flags[pfn] & PG_ANON) === 0) {
    k.object(mapping).mappings.collect(index, index, found);
    return;
  }
  const links: AnonVmaLink[] = [];
  k.anonVmas.get(mapping).tree.collect(index, index, links);
  for (const link of links) found.push(link.vma);
}

/** Whether the area's PTE for the page maps it (`page_vma_mapped_walk`): the PTE's table, or 0. */
function mappedAt(k: Kernel, pfn: number, vma: Vma, vpn: number): number {
  k.work.rmapVisits++;
  if (vpn < vma.start || vpn >= vma.end) return 0;
  const table = vma.mm.pageTables.find(vpn);
  if (table === 0) return 0;
  const chunk = k.pageTables.chunkOf(table);
  const i = entryOffset(table, vpn);
  k.work.pteReads++;
  const lo = chunk[i];
  return isPtePresent(lo) && ((lo >>> 12) | (chunk[i + 1] << 20)) === pfn ? table : 0;
}

/**
 * `try_to_unmap_one`: takes the page out of one area's page table, leaving what the page's kind and the configuration
 * say: a swap entry for an anonymous page, a marker for a shmem page, or nothing.
 */
export function tryToUnmapOne(k: Kernel, pfn: number, vma: Vma): void {
  const { frames } = k;
  const vpn = vma.pageAt(frames.index(pfn));
  const table = mappedAt(k, pfn, vma, vpn);
  if (table === 0) return;
  const chunk = k.pageTables.chunkOf(table);
  const i = entryOffset(table, vpn);
  const lo = chunk[i];
  if ((frames.flags[pfn] & PG_ANON) !== 0) {
    if ((frames.flags[pfn] & PG_SWAPBACKED) === 0) {
      // MADV_FREE: drop it, unless it was written since.
      if ((lo & PTE_DIRTY) !== 0 || (frames.flags[pfn] & PG_DIRTY) !== 0) {
        frames.flags[pfn] |= PG_SWAPBACKED | PG_DIRTY;
        return;
      }
      k.pageTables.write(chunk, i, 0, 0);
    } else {
      if ((frames.flags[pfn] & PG_SWAPCACHE) === 0) return;
      const entry = frames.swapEntry[pfn];
      k.swap.duplicate(entry);
      const flags =
        ((frames.flags[pfn] & PG_ANON_EXCLUSIVE) !== 0 ? PTE_SWP_EXCLUSIVE : 0) |
        ((lo & PTE_SOFT_DIRTY) !== 0 ? PTE_SWP_SOFT_DIRTY : 0) |
        ((lo & PTE_UFFD_WP) !== 0 ? PTE_SWP_UFFD_WP : 0);
      frames.flags[pfn] &= ~PG_ANON_EXCLUSIVE;
      k.pageTables.write(chunk, i, swapEntryPteLo(entry, flags), swapEntryPteHi(entry));
    }
  } else if ((lo & PTE_UFFD_WP) !== 0 && (vma.flags & VM_UFFD_WP) !== 0 && k.uffdWpMarkerHi !== 0) {
    k.pageTables.write(chunk, i, k.uffdWpMarkerLo, k.uffdWpMarkerHi);
  } else {
    // The RFC's hint: 0, that is none, unless the configuration has PTE_MARKER_PAGEOUT.
    k.pageTables.write(chunk, i, k.pageoutMarkerLo, k.pageoutMarkerHi);
    if (k.pageoutMarkerHi !== 0) k.work.pageoutMarkers++;
  }
  if ((lo & PTE_DIRTY) !== 0) frames.flags[pfn] |= PG_DIRTY;
  removeRmap(k, pfn);
}

const mappers: Vma[] = [];

/** `folio_referenced`: how many areas used the page since it was last asked; clears their accessed bits. */
export function clearReferenced(k: Kernel, pfn: number): number {
  if (k.frames.mapcount[pfn] === 0) return 0;
  mappers.length = 0;
  collectMappers(k, pfn, mappers);
  let referenced = 0;
  for (const vma of mappers) {
    const vpn = vma.pageAt(k.frames.index(pfn));
    const table = mappedAt(k, pfn, vma, vpn);
    if (table === 0) continue;
    const chunk = k.pageTables.chunkOf(table);
    const i = entryOffset(table, vpn);
    if ((chunk[i] & PTE_ACCESSED) === 0) continue;
    k.pageTables.write(chunk, i, chunk[i] & ~PTE_ACCESSED, chunk[i + 1]);
    referenced++;
  }
  return referenced;
}
