/** What must agree about a process's shared memory, whoever is asked. */
import { expect } from "vitest";
import { PAGE_SIZE } from "../../src/abi/mman.ts";
import { PageCacheView } from "../../src/linux/page-cache.ts";
import { readSmaps } from "../../src/linux/smaps.ts";

export interface SharedMapping {
  readonly path: string;
  readonly pages: number;
  readonly swapped: number;
  readonly holes: number;
}

/** Counts the pages of each mapping of shared memory, and expects smaps to agree. Returns the counts. */
export function expectSharedMemory(pid: number): SharedMapping[] {
  const mappings: SharedMapping[] = [];
  for (const entry of readSmaps(pid)) {
    if (!entry.shared || entry.device !== "00:01") continue;
    using view = PageCacheView.open(pid, entry);
    const pages = (entry.end - entry.start) / PAGE_SIZE;
    const first = entry.offsetBytes / PAGE_SIZE;
    const counts = view.cachestat(first, pages);
    expect(counts?.evicted).toBe(entry.fields.Swap / PAGE_SIZE);
    let data = 0;
    view.forEachData(first, pages, (_, length) => {
      data += length;
    });
    mappings.push({ path: entry.path, pages, swapped: counts?.evicted ?? 0, holes: pages - data });
  }
  return mappings;
}
