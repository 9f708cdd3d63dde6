/** Fault-around (`do_fault_around`, `filemap_map_pages`): a read fault maps what is in the page cache near it. */

import { PAGE_SIZE } from "../abi/index.ts";
import type { Kernel } from "./kernel.ts";
import { PG_LOCKED, PG_READAHEAD, PG_UPTODATE } from "./page-frames.ts";
import { entryOffset, PTRS_PER_TABLE, tableStart } from "./page-table.ts";
import { LEAF_PAGES } from "./shmem-object.ts";
import type { Vma } from "./vma.ts";

/**
 * Maps the pages of the window around `vpn` that are in the page cache, where the PTE is none: a marker is not,
 * but for a plain PAGEOUT marker in a configuration with FAULT_AROUND_MARKERS. Returns whether `vpn` itself got mapped.
 */
export function faultAround(k: Kernel, vma: Vma, vpn: number): boolean {
  const { object } = vma;
  if (object === null) return false;
  // Aligned, but within the area, the page table and the object. Cut at the area's start, the window moves up
  // rather than shrinks.
  const windowPages = k.faultAroundPages;
  const base = tableStart(vpn);
  const first = Math.max(vpn - ((vpn - base) & (windowPages - 1)), vma.start);
  const sizePages = Math.ceil(object.sizeBytes / PAGE_SIZE);
  const end = Math.min(first + windowPages, base + PTRS_PER_TABLE, vma.end, vma.pageAt(sizePages));
  const firstIndex = vma.indexOf(first);
  const leafStart = Math.floor(firstIndex * (1 / LEAF_PAGES)) * LEAF_PAGES;
  const inLeaf = Math.min(end, first + leafStart + LEAF_PAGES - firstIndex);
  const mapped = mapLeaf(k, vma, { first, end: inLeaf, entry: firstIndex - leafStart }, vpn);
  return inLeaf < end ? mapLeaf(k, vma, { first: inLeaf, end, entry: 0 }, vpn) || mapped : mapped;
}

/** Pages `first` to `end`, the first of which is this entry of its leaf of the page cache. */
interface LeafRun {
  readonly first: number;
  readonly end: number;
  readonly entry: number;
}

/** Maps what one leaf of the page cache has. Whether `wanted` got mapped. */
function mapLeaf(k: Kernel, vma: Vma, run: LeafRun, wanted: number): boolean {
  const leaf = vma.object?.leafOf(vma.indexOf(run.first));
  const count = run.end - run.first;
  k.work.pageCacheLookups += count;
  if (leaf === undefined) return false;
  let n = 0;
  while (n < count && leaf[run.entry + n] <= 0) n++;
  if (n === count) return false;
  const table = vma.mm.pageTables.ensure(run.first);
  const chunk = k.pageTables.chunkOf(table);
  const base = entryOffset(table, run.first);
  const fillsMarkers = k.config.FAULT_AROUND_MARKERS;
  let mapped = false;
  let reads = 0;
  for (; n < count; n++) {
    const pfn = leaf[run.entry + n];
    if (pfn <= 0) continue;
    const i = base + (n << 1);
    reads++;
    if ((chunk[i] | chunk[i + 1]) !== 0 && !(fillsMarkers && isPlainPageoutMarker(k, chunk, i))) continue;
    if ((k.frames.flags[pfn] & (PG_LOCKED | PG_UPTODATE | PG_READAHEAD)) !== PG_UPTODATE) continue;
    k.pageTables.write(chunk, i, (pfn << 12) | vma.protLo, (pfn >>> 20) | vma.protHi);
    k.frames.addMapper(pfn);
    k.frames.refcount[pfn]++;
    if (run.first + n === wanted) mapped = true;
  }
  k.work.pteReads += reads;
  return mapped;
}

/** A marker that says page-out and nothing else (mremap marks those it moves soft-dirty). */
function isPlainPageoutMarker(k: Kernel, chunk: Uint32Array, i: number): boolean {
  return (chunk[i] | 0) === k.pageoutMarkerLo && (chunk[i + 1] | 0) === k.pageoutMarkerHi;
}
