/** Mapping and unmapping (`mm/mmap.c`). Addresses are page numbers. */

import { ERRNO } from "../abi/index.ts";
import type { Kernel } from "./kernel.ts";
import { FIRST_PAGE, type Mm, TASK_PAGES } from "./mm.ts";
import { dropIfUnused } from "./shmem.ts";
import type { ShmemObject } from "./shmem-object.ts";
import { setPageProt, VM_SOFTDIRTY, Vma } from "./vma.ts";
import { zapRange } from "./zap.ts";

/** All that 4-level page tables can map. */
const USER_PAGES = 2 ** 36;

export interface MapRequest {
  /** Where; undefined for anywhere. */
  readonly start: number | undefined;
  /** Just there, replacing what is mapped (MAP_FIXED); else only if it is free. */
  readonly isFixed: boolean;
  readonly sizePages: number;
  /** The area's `VM_` flags. */
  readonly flags: number;
  readonly object: ShmemObject | null;
  /** First page of the object. */
  readonly pgoff: number;
}

/** `mmap_region`: the page number at which the area is, or minus an errno (ENOMEM: no room; EINVAL: no length). */
export function mmap(k: Kernel, mm: Mm, request: MapRequest): number {
  const { sizePages, object } = request;
  if (sizePages <= 0) return -ERRNO.EINVAL;
  const start = request.isFixed ? request.start : place(mm, request.start, sizePages);
  if (start === undefined || start + sizePages > TASK_PAGES) return -ERRNO.ENOMEM;
  if (request.isFixed) munmap(k, mm, start, start + sizePages);
  const flags = request.flags | (k.config.MEM_SOFT_DIRTY ? VM_SOFTDIRTY : 0);
  const vma = new Vma(mm, start, start + sizePages, flags, object, object === null ? start : request.pgoff);
  mm.insert(vma);
  setPageProt(k.config, mm.merge(vma));
  return start;
}

/** `arch_get_unmapped_area_topdown`: at the hint if that is free, else the highest place there is. */
function place(mm: Mm, hint: number | undefined, sizePages: number): number | undefined {
  if (hint !== undefined && hint > 0) {
    const start = Math.max(hint, FIRST_PAGE);
    if (mm.isFree(start, start + sizePages)) return start;
  }
  return mm.unmappedArea(sizePages);
}

/**
 * `munmap` of pages `start` to `end`; gaps are no error. Returns 0, or minus EINVAL for a range that is empty or not
 * within user addresses.
 */
export function munmap(k: Kernel, mm: Mm, start: number, end: number): number {
  if (end <= start || end > TASK_PAGES) return -ERRNO.EINVAL;
  mm.splitAt(start, end);
  const first = mm.position(start);
  const gone: Vma[] = [];
  for (let i = first; i < mm.vmas.length && mm.vmas[i].start < end; i++) gone.push(mm.vmas[i]);
  if (gone.length === 0) return 0;
  removeAreas(k, mm, gone);
  // The tables that no neighbour needs any more.
  const below = mm.vmas[first - 1]?.end ?? 0;
  const above = mm.vmas[first]?.start ?? USER_PAGES;
  mm.pageTables.freeTables(below, above);
  return 0;
}

function removeAreas(k: Kernel, mm: Mm, areas: readonly Vma[]): void {
  for (const vma of areas) zapRange(k, vma, vma.start, vma.end, "markers too");
  for (const vma of areas) mm.remove(vma);
  for (const { object } of areas) if (object !== null) dropIfUnused(k, object);
}

/** `exit_mmap`: everything goes, the page tables too. */
export function unmapAll(k: Kernel, mm: Mm): void {
  removeAreas(k, mm, [...mm.vmas].reverse());
  mm.pageTables.destroy();
}
