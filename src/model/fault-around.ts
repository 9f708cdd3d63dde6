/** Fault-around (`do_fault_around`, `filemap_map_pages`): a read fault maps what is in the page cache near it. */

import { PAGE_SIZE } from "../abi/index.ts";
import type { Kernel } from "./kernel.ts";
import { PG_LOCKED, PG_READAHEAD, PG_UPTODATE } from "./page-frames.ts";
import { entryOffset, PTRS_PER_TABLE } from "./page-table.ts";
import { LEAF_PAGES } from "./shmem-object.ts";
import type { Vma } from "./vma.ts";

/**
 * Maps the pages of the window around `vpn` that are in the page cache, where the PTE is none: a marker is not.
 * Returns whether `vpn` itself got mapped.
 */
export function faultAround(k: Kernel, vma: Vma, vpn: number): boolean {
  const { frames } = k;
  const { object } = vma;
  if (object === null) return false;
  const windowPages = k.faultAroundPages;
  // Aligned, but within the area and the page table. Cut at its start, the window moves up rather than shrinks.
  const tableStart = vpn - (vpn % PTRS_PER_TABLE);
  const first = Math.max(vpn - (vpn % windowPages), vma.start);
  const sizePages = Math.ceil(object.sizeBytes / PAGE_SIZE);
  const end = Math.min(
    first + windowPages,
    tableStart + PTRS_PER_TABLE,
    vma.end,
    vma.pageAt(sizePages),
  );
  let mapped = false;
  for (let at = first; at < end; ) {
    const index = vma.indexOf(at);
    const leaf = object.leafOf(index);
    const stop = Math.min(end, at + LEAF_PAGES - (index % LEAF_PAGES));
    k.work.pageCacheLookups += stop - at;
    if (leaf === undefined) {
      at = stop;
      continue;
    }
    for (let i = index % LEAF_PAGES; at < stop; at++, i++) {
      const pfn = leaf[i];
      if (pfn <= 0 || (frames.flags[pfn] & (PG_LOCKED | PG_UPTODATE | PG_READAHEAD)) !== PG_UPTODATE) continue;
      if (mapIfNone(k, vma, at, pfn) && at === vpn) mapped = true;
    }
  }
  return mapped;
}

function mapIfNone(k: Kernel, vma: Vma, vpn: number, pfn: number): boolean {
  const table = vma.mm.pageTables.ensure(vpn);
  const chunk = k.pageTables.chunkOf(table);
  const i = entryOffset(table, vpn);
  k.work.pteReads++;
  if ((chunk[i] | chunk[i + 1]) !== 0) return false;
  k.pageTables.write(chunk, i, (pfn << 12) | vma.protLo, (pfn >>> 20) | vma.protHi);
  k.frames.addMapper(pfn);
  k.frames.refcount[pfn]++;
  return true;
}
