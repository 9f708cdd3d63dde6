/** `/proc/PID/smaps` (`fs/proc/task_mmu.c`), its totals for each area. Changes nothing. */

import { isPteNone, isPtePresent, PAGE_SIZE, PTE_ACCESSED, PTE_DIRTY } from "../abi/index.ts";
import { isMarker, pteSwapEntry } from "./entries.ts";
import type { Kernel } from "./kernel.ts";
import { perms } from "./maps.ts";
import type { Mm } from "./mm.ts";
import { PG_ANON, PG_DIRTY, PG_REFERENCED, ZERO_PFN } from "./page-frames.ts";
import { entryOffset } from "./page-table.ts";
import { isCowMapping, VM_WRITE, type Vma } from "./vma.ts";

/** One area: all figures in bytes, by the kernel's names. */
export interface SmapsEntry {
  /** First byte, and the byte after the last. */
  readonly start: number;
  readonly end: number;
  /** As "rw-s". */
  readonly perms: string;
  readonly size: number;
  readonly rss: number;
  /** Each page divided by how many map it. */
  readonly pss: number;
  readonly sharedClean: number;
  readonly sharedDirty: number;
  readonly privateClean: number;
  readonly privateDirty: number;
  readonly referenced: number;
  readonly anonymous: number;
  /** Swap entries of the page table, and of a shmem object's pages that have no PTE. */
  readonly swap: number;
  readonly swapPss: number;
}

type Totals = { -readonly [Key in Exclude<keyof SmapsEntry, "start" | "end" | "perms" | "size">]: number };

export function smaps(k: Kernel, mm: Mm): SmapsEntry[] {
  return mm.vmas.map((vma) => smapsOf(k, vma));
}

function smapsOf(k: Kernel, vma: Vma): SmapsEntry {
  const totals: Totals = {
    rss: 0,
    pss: 0,
    sharedClean: 0,
    sharedDirty: 0,
    privateClean: 0,
    privateDirty: 0,
    referenced: 0,
    anonymous: 0,
    swap: 0,
    swapPss: 0,
  };
  vma.mm.pageTables.forEach(vma.start, vma.end, (_vpn, chunk, i) =>
    addPte(k, totals, chunk[i], chunk[i + 1]),
  );
  totals.swap += shmemSwapBytes(k, vma);
  return {
    start: vma.start * PAGE_SIZE,
    end: vma.end * PAGE_SIZE,
    perms: perms(vma.flags),
    size: vma.sizePages * PAGE_SIZE,
    ...totals,
  };
}

function addPte(k: Kernel, totals: Totals, lo: number, hi: number): void {
  if (isPteNone(lo, hi)) return;
  if (!isPtePresent(lo)) {
    if (isMarker(k, lo, hi)) return;
    totals.swap += PAGE_SIZE;
    totals.swapPss += PAGE_SIZE / Math.max(1, k.swap.count(pteSwapEntry(lo, hi)));
    return;
  }
  const pfn = (lo >>> 12) | (hi << 20);
  // `vm_normal_page`: the zero page is nobody's.
  if (pfn === ZERO_PFN) return;
  const flags = k.frames.flags[pfn];
  const mappers = k.frames.mapcount[pfn];
  const isDirty = (lo & PTE_DIRTY) !== 0 || (flags & PG_DIRTY) !== 0;
  totals.rss += PAGE_SIZE;
  totals.pss += PAGE_SIZE / mappers;
  if (mappers > 1) totals[isDirty ? "sharedDirty" : "sharedClean"] += PAGE_SIZE;
  else totals[isDirty ? "privateDirty" : "privateClean"] += PAGE_SIZE;
  if ((lo & PTE_ACCESSED) !== 0 || (flags & PG_REFERENCED) !== 0) totals.referenced += PAGE_SIZE;
  if ((flags & PG_ANON) !== 0) totals.anonymous += PAGE_SIZE;
}

/**
 * What of an object is in swap: of a shared or read-only mapping, all its pages there (`shmem_swap_usage`);
 * of a private writable one, those without a PTE, because copies are counted from the PTEs: a marker hides the page.
 */
function shmemSwapBytes(k: Kernel, vma: Vma): number {
  const { object } = vma;
  if (object === null || object.swappedPages === 0) return 0;
  const onlyNone = isCowMapping(vma.flags) && (vma.flags & VM_WRITE) !== 0;
  const end = vma.indexOf(vma.end);
  let bytes = 0;
  for (let index = object.nextEntry(vma.pgoff, end); index < end; index = object.nextEntry(index + 1, end)) {
    if (object.get(index) >= 0) continue;
    if (onlyNone && !isNoneAt(k, vma, vma.pageAt(index))) continue;
    bytes += PAGE_SIZE;
  }
  return bytes;
}

function isNoneAt(k: Kernel, vma: Vma, vpn: number): boolean {
  const table = vma.mm.pageTables.find(vpn);
  if (table === 0) return true;
  const chunk = k.pageTables.chunkOf(table);
  const i = entryOffset(table, vpn);
  return isPteNone(chunk[i], chunk[i + 1]);
}
