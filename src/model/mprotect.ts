/** Changing protections (`change_pte_range`, `mprotect_fixup`, `mm/mprotect.c`). */

import {
  ERRNO,
  isPteNone,
  isPtePresent,
  markerBits,
  PTE_CHANGE_MASK_LO,
  PTE_DIRTY,
  PTE_PFN_HI_MASK,
  PTE_RW,
  PTE_SOFT_DIRTY,
  PTE_SWP_UFFD_WP,
  PTE_UFFD_WP,
} from "../abi/index.ts";
import { isMarker } from "./entries.ts";
import type { Kernel } from "./kernel.ts";
import type { Mm } from "./mm.ts";
import { PG_ANON, PG_ANON_EXCLUSIVE, ZERO_PFN } from "./page-frames.ts";
import { entryOffset, tableEnd } from "./page-table.ts";
import {
  isSoftDirtyTracked,
  setPageProt,
  VM_ACCESS_FLAGS,
  VM_SHARED,
  VM_UFFD_WP,
  VM_WRITE,
  type Vma,
  wantsWriteNotify,
} from "./vma.ts";

export interface ProtectionChange {
  /** The new flag bits of a PTE. */
  readonly protLo: number;
  readonly protHi: number;
  /** What userfaultfd asks for besides. */
  readonly userfaultfd: "nothing" | "protect" | "resolve";
  /** Make a PTE writable where a write would be let through anyway (MM_CP_TRY_CHANGE_WRITABLE). */
  readonly tryWritable: boolean;
}

/** `change_protection`: rewrites the PTEs of pages `start` to `end` of an area. */
export function changeProtection(
  k: Kernel,
  vma: Vma,
  start: number,
  end: number,
  change: ProtectionChange,
): void {
  const { pageTables } = vma.mm;
  // Markers are left on none PTEs too, so page tables are made for them.
  const marksNone =
    change.userfaultfd === "protect" &&
    k.uffdWpMarkerHi !== 0 &&
    (vma.object !== null || k.behaviour.uffdWpUnpopulatedAnon);
  for (let vpn = start; vpn < end; ) {
    if (marksNone) pageTables.ensure(vpn);
    else vpn = pageTables.skipToTable(vpn, end);
    if (vpn >= end) return;
    const table = pageTables.find(vpn);
    const chunk = k.pageTables.chunkOf(table);
    const stop = Math.min(end, tableEnd(vpn));
    k.work.pteReads += stop - vpn;
    for (let i = entryOffset(table, vpn); vpn < stop; vpn++, i += 2) {
      const lo = chunk[i];
      const hi = chunk[i + 1];
      if (isPtePresent(lo)) changePresent(k, vma, chunk, i, change);
      else if (isPteNone(lo, hi)) {
        if (marksNone) setUffdWpMarker(k, chunk, i);
      } else changeSwapForm(k, vma, chunk, i, change);
    }
  }
}

function setUffdWpMarker(k: Kernel, chunk: Uint32Array, i: number): void {
  k.pageTables.write(chunk, i, k.uffdWpMarkerLo, k.uffdWpMarkerHi);
}

function changePresent(k: Kernel, vma: Vma, chunk: Uint32Array, i: number, change: ProtectionChange): void {
  const hi = chunk[i + 1];
  let lo = (chunk[i] & PTE_CHANGE_MASK_LO) | change.protLo;
  if (change.userfaultfd === "protect") lo = (lo | PTE_UFFD_WP) & ~PTE_RW;
  else if (change.userfaultfd === "resolve") lo &= ~PTE_UFFD_WP;
  if (change.tryWritable && (lo & PTE_RW) === 0 && canBeWritable(k, vma, lo, hi)) lo |= PTE_RW;
  k.pageTables.write(chunk, i, lo, (hi & PTE_PFN_HI_MASK) | change.protHi);
}

/** `can_change_pte_writable`: whether no write to the page needs to be seen by a fault. */
function canBeWritable(k: Kernel, vma: Vma, lo: number, hi: number): boolean {
  if ((vma.flags & VM_WRITE) === 0 || (lo & PTE_DIRTY) === 0) return false;
  if (isSoftDirtyTracked(k.config, vma) && (lo & PTE_SOFT_DIRTY) === 0) return false;
  if ((vma.flags & VM_UFFD_WP) !== 0 && (lo & PTE_UFFD_WP) !== 0) return false;
  if ((vma.flags & VM_SHARED) !== 0) return true;
  const pfn = (lo >>> 12) | (hi << 20);
  const mine = PG_ANON | PG_ANON_EXCLUSIVE;
  return pfn !== ZERO_PFN && (k.frames.flags[pfn] & mine) === mine;
}

function changeSwapForm(k: Kernel, vma: Vma, chunk: Uint32Array, i: number, change: ProtectionChange): void {
  if (change.userfaultfd === "nothing") return;
  const lo = chunk[i];
  const hi = chunk[i + 1];
  if (isMarker(k, lo, hi)) {
    const { markers } = k;
    const bits = markerBits(lo, hi);
    if ((bits & markers.POISONED) !== 0) return;
    if (change.userfaultfd === "protect") {
      // A PAGEOUT marker gives way: the two bits are never in one marker.
      if (bits === markers.PAGEOUT && vma.object !== null) setUffdWpMarker(k, chunk, i);
    } else if ((bits & markers.UFFD_WP) !== 0) k.pageTables.write(chunk, i, 0, 0);
    return;
  }
  const changed = change.userfaultfd === "protect" ? lo | PTE_SWP_UFFD_WP : lo & ~PTE_SWP_UFFD_WP;
  if (changed >>> 0 !== lo) k.pageTables.write(chunk, i, changed, hi);
}

/** Whether PTEs must be made writable one by one (`vma_wants_manual_pte_write_upgrade`). */
export function wantsManualWriteUpgrade(k: Kernel, vma: Vma): boolean {
  return (vma.flags & VM_SHARED) !== 0 ? wantsWriteNotify(k.config, vma) : (vma.flags & VM_WRITE) !== 0;
}

/**
 * `mprotect` of pages `start` to `end`; `access` is a set of VM_READ, VM_WRITE, VM_EXEC.
 * Returns 0 or minus an errno: ENOMEM at a gap (what lies before it is done), EACCES where the mapping forbids it.
 */
export function mprotect(k: Kernel, mm: Mm, start: number, end: number, access: number): number {
  if (end === start) return 0;
  for (let at = start; at < end; ) {
    const found = mm.find(at);
    if (found === undefined) return -ERRNO.ENOMEM;
    const stop = Math.min(end, found.end);
    if ((access & ~(found.flags >>> 4) & VM_ACCESS_FLAGS) !== 0) return -ERRNO.EACCES;
    const flags = (found.flags & ~VM_ACCESS_FLAGS) | access;
    if (flags !== found.flags) protectPart(k, mm, at, stop, flags);
    at = stop;
  }
  return 0;
}

/** `mprotect_fixup`: pages `start` to `end`, which lie in one area, get `flags`. */
function protectPart(k: Kernel, mm: Mm, start: number, end: number, flags: number): void {
  mm.splitAt(start, end);
  const part = mm.find(start) as Vma;
  part.flags = flags;
  const vma = mm.merge(part);
  setPageProt(k.config, vma);
  changeProtection(k, vma, start, end, {
    protLo: vma.protLo,
    protHi: vma.protHi,
    userfaultfd: "nothing",
    tryWritable: wantsManualWriteUpgrade(k, vma),
  });
}
