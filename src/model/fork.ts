/** fork (`dup_mmap`, `copy_page_range`, `mm/memory.c`): what a child gets of its parent's address space. */

import {
  isPteNone,
  isPtePresent,
  markerBits,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_RW,
  PTE_SWP_EXCLUSIVE,
  PTE_SWP_UFFD_WP,
  PTE_UFFD_WP,
} from "../abi/index.ts";
import { isMarker, pteSwapEntry } from "./entries.ts";
import type { Kernel } from "./kernel.ts";
import type { Mm } from "./mm.ts";
import { PG_ANON_EXCLUSIVE, ZERO_PFN } from "./page-frames.ts";
import { entryOffset, tableEnd } from "./page-table.ts";
import { dropRegistration } from "./userfaultfd.ts";
import { isCowMapping, VM_SHARED, VM_UFFD_WP, Vma } from "./vma.ts";

/**
 * Copies the areas of `parent` to the empty `child`, and the PTEs of those whose pages a fault could not find again.
 */
export function copyAddressSpace(k: Kernel, child: Mm, parent: Mm): void {
  for (const from of parent.vmas) {
    const to = new Vma(child, from.start, from.end, from.flags, from.object, from.pgoff);
    to.protLo = from.protLo;
    to.protHi = from.protHi;
    dropRegistration(k, to);
    k.anonVmas.fork(to, from);
    child.insert(to);
    if (needsCopy(to, from)) copyRange(k, to, from);
  }
}

/**
 * `vma_needs_copy`: an object's pages are found again in its page cache, so the PTEs of an area without private pages
 * are not copied, markers included; unless the child is registered for write-protection, which is in the PTEs alone.
 */
function needsCopy(to: Vma, from: Vma): boolean {
  return (to.flags & VM_UFFD_WP) !== 0 || from.anonVma !== null;
}

function copyRange(k: Kernel, to: Vma, from: Vma): void {
  const parentTables = from.mm.pageTables;
  const childTables = to.mm.pageTables;
  for (let vpn = parentTables.skipToTable(from.start, from.end); vpn < from.end; ) {
    const table = parentTables.find(vpn);
    const chunk = k.pageTables.chunkOf(table);
    const stop = Math.min(from.end, tableEnd(vpn));
    const childTable = childTables.ensure(vpn);
    const childChunk = k.pageTables.chunkOf(childTable);
    k.work.pteReads += stop - vpn;
    let i = entryOffset(table, vpn);
    for (let j = entryOffset(childTable, vpn); vpn < stop; vpn++, i += 2, j += 2) {
      if (isPteNone(chunk[i], chunk[i + 1])) continue;
      if (isPtePresent(chunk[i])) copyPresent(k, to, chunk, i, childChunk, j);
      else copySwapForm(k, to, chunk, i, childChunk, j);
    }
    vpn = parentTables.skipToTable(vpn, from.end);
  }
}

/** `copy_present_pte`: both map the page; of a private one neither may write. */
function copyPresent(
  k: Kernel,
  to: Vma,
  chunk: Uint32Array,
  i: number,
  childChunk: Uint32Array,
  j: number,
): void {
  const { frames } = k;
  const pfn = (chunk[i] >>> 12) | (chunk[i + 1] << 20);
  if (pfn !== ZERO_PFN) {
    frames.refcount[pfn]++;
    frames.addMapper(pfn);
    frames.flags[pfn] &= ~PG_ANON_EXCLUSIVE;
  }
  if (isCowMapping(to.flags) && (chunk[i] & PTE_RW) !== 0)
    k.pageTables.write(chunk, i, chunk[i] & ~PTE_RW, chunk[i + 1]);
  let lo = chunk[i] & ~PTE_ACCESSED;
  if ((to.flags & VM_SHARED) !== 0) lo &= ~PTE_DIRTY;
  if ((to.flags & VM_UFFD_WP) === 0) lo &= ~PTE_UFFD_WP;
  k.pageTables.write(childChunk, j, lo, chunk[i + 1]);
}

/** `copy_nonpresent_pte`. */
function copySwapForm(
  k: Kernel,
  to: Vma,
  chunk: Uint32Array,
  i: number,
  childChunk: Uint32Array,
  j: number,
): void {
  const lo = chunk[i];
  const hi = chunk[i + 1];
  const isRegistered = (to.flags & VM_UFFD_WP) !== 0;
  if (isMarker(k, lo, hi)) {
    const { markers } = k;
    const outlasting = markers.POISONED | markers.GUARD | (isRegistered ? markers.UFFD_WP : 0);
    if ((markerBits(lo, hi) & outlasting) !== 0) k.pageTables.write(childChunk, j, lo, hi);
    return;
  }
  k.swap.duplicate(pteSwapEntry(lo, hi));
  // Shared from now on.
  const shared = lo & ~PTE_SWP_EXCLUSIVE;
  if ((lo & PTE_SWP_EXCLUSIVE) !== 0) k.pageTables.write(chunk, i, shared, hi);
  k.pageTables.write(childChunk, j, shared & (isRegistered ? -1 : ~PTE_SWP_UFFD_WP), hi);
}
