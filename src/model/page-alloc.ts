/** Taking and giving back pages, with reclaim when there are too few (`mm/page_alloc.c`, `mm/memcontrol.c`). */

import type { Kernel } from "./kernel.ts";
import type { MemoryGroup } from "./memory-group.ts";
import { PG_LRU } from "./page-frames.ts";
import { reclaim } from "./reclaim.ts";

/**
 * How many free pages the memory should have (`mm/page_alloc.c`, `__setup_per_zone_wmarks`, scaled to small memories).
 */
export interface Watermarks {
  readonly min: number;
  /** Below this, background reclaim begins, */
  readonly low: number;
  /** and goes on to here. */
  readonly high: number;
}

export function watermarksFor(sizePages: number): Watermarks {
  const min = Math.max(1, Math.min(16384, Math.floor(sizePages / 256)));
  return { min, low: min + Math.ceil(min / 4), high: min + Math.ceil(min / 2) };
}

/**
 * A page with one reference, charged to `group`; its contents are undefined. Reclaims if memory or the group's limit
 * asks for it. 0 if there is none to be had: the caller's operation fails, nothing else does.
 *
 * May page out anything that is not locked or referenced: what the caller saw before, it must look at again.
 */
export function allocPage(k: Kernel, group: MemoryGroup): number {
  const { frames, watermarks } = k;
  if (group.usagePages >= group.limitPages) {
    reclaim(k, { group, targetPages: 1 + group.usagePages - group.limitPages });
    if (group.usagePages >= group.limitPages) {
      k.vmstat.oom++;
      return 0;
    }
  }
  if (frames.freeCount <= watermarks.low)
    reclaim(k, { group: null, targetPages: watermarks.high - frames.freeCount + 1 });
  const pfn = frames.take();
  if (pfn === 0) {
    k.vmstat.oom++;
    return 0;
  }
  k.groups.charge(pfn, group);
  return pfn;
}

/** Drops a reference; the last one frees the page. */
export function putPage(k: Kernel, pfn: number): void {
  const { frames } = k;
  if (--frames.refcount[pfn] > 0) return;
  if ((frames.flags[pfn] & PG_LRU) !== 0) k.lru.remove(pfn);
  k.groups.uncharge(pfn);
  frames.giveBack(pfn);
}
