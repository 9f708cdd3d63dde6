/** Moving, growing and shrinking a mapping (`mm/mremap.c`). Addresses are page numbers. */

import {
  ERRNO,
  isPtePresent,
  markerBits,
  PTE_SOFT_DIRTY,
  PTE_SWP_SOFT_DIRTY,
  PTE_SWP_UFFD_WP,
  PTE_UFFD_WP,
} from "../abi/index.ts";
import { isMarker } from "./entries.ts";
import type { Kernel } from "./kernel.ts";
import { type Mm, TASK_PAGES } from "./mm.ts";
import { munmap } from "./mmap.ts";
import { entryOffset } from "./page-table.ts";
import { dropRegistration } from "./userfaultfd.ts";
import { Vma } from "./vma.ts";

export interface RemapRequest {
  readonly start: number;
  readonly oldPages: number;
  readonly newPages: number;
  /** It may move if it can't grow where it is (MREMAP_MAYMOVE). */
  readonly mayMove: boolean;
  /** Move it here, replacing what is mapped (MREMAP_FIXED). */
  readonly to: number | undefined;
}

/**
 * `mremap`: the page number at which the mapping now is, or minus an errno: EFAULT if the old range is not in one area
 * (and may not be in several), EINVAL for an empty or overlapping one or a place beyond user addresses, ENOMEM if there
 * is no room.
 */
export function mremap(k: Kernel, mm: Mm, request: RemapRequest): number {
  const { start, oldPages, newPages, to } = request;
  if (newPages <= 0 || oldPages <= 0 || (to !== undefined && !request.mayMove)) return -ERRNO.EINVAL;
  if (mm.find(start) === undefined) return -ERRNO.EFAULT;
  if (to !== undefined) {
    if (to + newPages > TASK_PAGES || (to < start + oldPages && start < to + newPages)) return -ERRNO.EINVAL;
    if (newPages === oldPages && k.behaviour.mremapMovesSeveralVmas)
      return moveAll(k, mm, { ...request, to });
    munmap(k, mm, to, to + newPages);
  }
  if (newPages < oldPages) munmap(k, mm, start + newPages, start + oldPages);
  const keptPages = Math.min(oldPages, newPages);
  if (to === undefined && newPages <= oldPages) return start;
  const vma = mm.find(start);
  if (vma === undefined || start + keptPages > vma.end) return -ERRNO.EFAULT;
  if (to === undefined && start + oldPages === vma.end && mm.isFree(vma.end, start + newPages)) {
    mm.extend(vma, start + newPages);
    mm.merge(vma);
    return start;
  }
  if (!request.mayMove) return -ERRNO.ENOMEM;
  const target = to ?? mm.unmappedArea(newPages);
  if (target === undefined) return -ERRNO.ENOMEM;
  move(k, vma, start, keptPages, target, newPages);
  return target;
}

/**
 * `remap_move`: moves all areas in the range, with the gaps between and behind them. Where userfaultfd has an area that
 * is not all there is, it fails; what is below has moved then.
 */
function moveAll(k: Kernel, mm: Mm, { start, oldPages, to }: RemapRequest & { readonly to: number }): number {
  const end = start + oldPages;
  const distance = to - start;
  for (let from = start; ; ) {
    const vma = mm.vmas[mm.position(from)];
    if (vma === undefined || vma.start >= end) return to;
    from = Math.max(from, vma.start);
    const until = Math.min(vma.end, end);
    if (vma.userfaultfd !== null && (from > start || vma.end < end)) return -ERRNO.EFAULT;
    munmap(k, mm, from + distance, until + distance);
    move(k, mm.find(from)!, from, until - from, from + distance, until - from); // unmapping may have split it
    from = until;
  }
}

/** `move_vma`. */
function move(k: Kernel, vma: Vma, start: number, oldPages: number, to: number, newPages: number): void {
  const { mm } = vma;
  // Anonymous memory without pages starts anew at its new place.
  const pgoff = vma.object === null && vma.anonVma === null ? to : vma.indexOf(start);
  const moved = new Vma(mm, to, to + newPages, vma.flags, vma.object, pgoff);
  moved.protLo = vma.protLo;
  moved.protHi = vma.protHi;
  moved.userfaultfd = vma.userfaultfd;
  k.anonVmas.clone(moved, vma);
  mm.insert(moved);
  movePtes(k, vma, start, oldPages, to);
  dropRegistration(k, moved);
  munmap(k, mm, start, start + oldPages);
  mm.merge(moved);
}

/** `move_ptes`: a moved page is soft-dirty, and write-protection by userfaultfd is dropped. */
function movePtes(k: Kernel, vma: Vma, start: number, sizePages: number, to: number): void {
  const { pageTables } = vma.mm;
  pageTables.forEach(start, start + sizePages, (vpn, chunk, i) => {
    const moved = movedPte(k, vma, chunk[i], chunk[i + 1]);
    const hi = chunk[i + 1];
    k.pageTables.write(chunk, i, 0, 0);
    if (moved === undefined) return;
    const target = vpn - start + to;
    const targetTable = pageTables.ensure(target);
    const targetChunk = k.pageTables.chunkOf(targetTable);
    const j = entryOffset(targetTable, target);
    k.pageTables.write(targetChunk, j, moved, hi);
  });
}

/** The low word of the PTE at its new place; undefined if it is not to be moved. */
function movedPte(k: Kernel, vma: Vma, lo: number, hi: number): number | undefined {
  const dropsWp = vma.userfaultfd !== null;
  if (isPtePresent(lo)) return (lo | k.softDirtyBit) & (dropsWp ? ~PTE_UFFD_WP : -1);
  if (isMarker(k, lo, hi) && (markerBits(lo, hi) & k.markers.UFFD_WP) !== 0 && dropsWp) return undefined;
  const softDirty = k.softDirtyBit === PTE_SOFT_DIRTY ? PTE_SWP_SOFT_DIRTY : 0;
  return (lo | softDirty) & (dropsWp ? ~PTE_SWP_UFFD_WP : -1);
}
