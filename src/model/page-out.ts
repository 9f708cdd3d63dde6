/**
 * One page's way out of memory (`shrink_folio_list`, `mm/vmscan.c`), in named stages. {@link PageOut.run} drives them
 * to the end; a scheduler calls {@link PageOut.step} and so lets faults and other page-outs come between.
 */

import type { Kernel } from "./kernel.ts";
import { putPage } from "./page-alloc.ts";
import {
  PG_ACTIVE,
  PG_ANON,
  PG_DIRTY,
  PG_LOCKED,
  PG_REFERENCED,
  PG_SWAPBACKED,
  PG_SWAPCACHE,
  PG_UPTODATE,
  PG_WRITEBACK,
} from "./page-frames.ts";
import { clearReferenced, collectMappers, tryToUnmapOne } from "./rmap.ts";
import { moveToSwapCache, removeFromPageCache } from "./shmem.ts";
import type { Vma } from "./vma.ts";

export type PageOutStage =
  /** Lock the page; is it in use? */
  | "lock"
  /** An anonymous page gets its place in swap. */
  | "add-to-swap"
  /** Take it out of the page tables, one area a step. */
  | "unmap"
  /** A dirty page is written; a shmem page gets its place in swap here. */
  | "write"
  /** The device says that the write has ended. */
  | "end-writeback"
  /** Take it out of the caches. */
  | "free"
  | "done";

/** What becomes of a page that is not freed: it goes back to its list, or to the active one, or to be scanned next. */
type PutBack = "keep" | "activate" | "rotate";

export class PageOut {
  stage: PageOutStage = "done";
  /** Whether the page was freed, once done. */
  freed = false;
  pfn = 0;
  ignoreReferences = false;
  readonly mappers: Vma[] = [];
  nextMapper = 0;
  /** The page's bytes went to swap and are not here any more. */
  isGiven = false;

  /** Starts on a page that was isolated (see `isolate`). */
  begin(pfn: number, ignoreReferences: boolean): void {
    this.pfn = pfn;
    this.stage = "lock";
    this.freed = false;
    this.isGiven = false;
    this.ignoreReferences = ignoreReferences;
  }

  run(k: Kernel): void {
    while (this.stage !== "done") this.step(k);
  }

  /** Does one stage. */
  step(k: Kernel): void {
    switch (this.stage) {
      case "lock":
        this.#lock(k);
        break;
      case "add-to-swap":
        this.#addToSwap(k);
        break;
      case "unmap":
        this.#unmap(k);
        break;
      case "write":
        this.#write(k);
        break;
      case "end-writeback":
        k.frames.flags[this.pfn] &= ~PG_WRITEBACK;
        this.#putBack(k, "rotate");
        break;
      case "free":
        this.#free(k);
        break;
    }
  }

  #lock(k: Kernel): void {
    const { flags } = k.frames;
    if ((flags[this.pfn] & PG_LOCKED) !== 0) {
      // Somebody else has it locked: leave it, and their lock.
      this.#release(k, "keep");
      return;
    }
    flags[this.pfn] |= PG_LOCKED;
    if ((flags[this.pfn] & PG_WRITEBACK) !== 0) {
      this.#putBack(k, "activate");
      return;
    }
    if (!this.ignoreReferences && this.#isReferenced(k)) return;
    const isAnon = (flags[this.pfn] & (PG_ANON | PG_SWAPBACKED)) === (PG_ANON | PG_SWAPBACKED);
    this.stage = isAnon && (flags[this.pfn] & PG_SWAPCACHE) === 0 ? "add-to-swap" : "unmap";
    this.#startUnmap(k);
  }

  /** `folio_check_references`: a page used once since the last look is kept, used more it becomes active. */
  #isReferenced(k: Kernel): boolean {
    const { flags } = k.frames;
    const referencedPtes = clearReferenced(k, this.pfn);
    const wasReferenced = (flags[this.pfn] & PG_REFERENCED) !== 0;
    flags[this.pfn] &= ~PG_REFERENCED;
    if (referencedPtes === 0) return false;
    flags[this.pfn] |= PG_REFERENCED;
    this.#putBack(k, wasReferenced || referencedPtes > 1 ? "activate" : "keep");
    return true;
  }

  #addToSwap(k: Kernel): void {
    const { flags } = k.frames;
    if (k.swap.addToSwapCache(this.pfn) === 0) {
      this.#putBack(k, "activate");
      return;
    }
    flags[this.pfn] |= PG_DIRTY;
    this.stage = "unmap";
  }

  #startUnmap(k: Kernel): void {
    this.mappers.length = 0;
    this.nextMapper = 0;
    if (k.frames.mapcount[this.pfn] > 0) collectMappers(k, this.pfn, this.mappers);
  }

  #unmap(k: Kernel): void {
    const { mapcount } = k.frames;
    if (mapcount[this.pfn] > 0 && this.nextMapper < this.mappers.length) {
      tryToUnmapOne(k, this.pfn, this.mappers[this.nextMapper++]);
      return;
    }
    this.mappers.length = 0;
    if (mapcount[this.pfn] > 0) this.#putBack(k, "activate");
    else this.stage = (k.frames.flags[this.pfn] & PG_DIRTY) !== 0 ? "write" : "free";
  }

  #write(k: Kernel): void {
    const { flags } = k.frames;
    if ((flags[this.pfn] & PG_SWAPCACHE) === 0) {
      if ((flags[this.pfn] & PG_ANON) !== 0 || !moveToSwapCache(k, this.pfn)) {
        this.#putBack(k, "activate");
        return;
      }
    }
    flags[this.pfn] &= ~PG_DIRTY;
    const { device } = k.swap.area(k.frames.swapEntry[this.pfn]);
    // Locked and unmapped, with no reference but the swap cache's and ours: nobody will see the page again.
    this.isGiven = device.synchronous && k.frames.refcount[this.pfn] === 2;
    if (this.isGiven) k.swap.give(this.pfn);
    else k.swap.write(this.pfn);
    if (device.synchronous) this.stage = "free";
    else {
      flags[this.pfn] |= PG_WRITEBACK;
      this.stage = "end-writeback";
    }
  }

  /** `__remove_mapping`: only if nobody else refers to the page, and it has not been written again. */
  #free(k: Kernel): void {
    const { flags, refcount } = k.frames;
    const isLazyFree = (flags[this.pfn] & (PG_ANON | PG_SWAPBACKED)) === PG_ANON;
    const isCached = (flags[this.pfn] & PG_SWAPCACHE) !== 0 || (flags[this.pfn] & PG_ANON) === 0;
    if (isLazyFree && (flags[this.pfn] & PG_SWAPCACHE) === 0) {
      if (refcount[this.pfn] !== 1) {
        this.#putBack(k, "keep");
        return;
      }
      k.vmstat.pglazyfreed++;
    } else if (!isCached || refcount[this.pfn] !== 2 || (flags[this.pfn] & PG_DIRTY) !== 0) {
      this.#putBack(k, "keep");
      return;
    } else if ((flags[this.pfn] & PG_SWAPCACHE) !== 0) k.swap.deleteFromSwapCache(this.pfn);
    else removeFromPageCache(k, this.pfn);
    flags[this.pfn] &= ~(PG_LOCKED | PG_UPTODATE | PG_REFERENCED);
    this.freed = true;
    this.stage = "done";
    putPage(k, this.pfn);
  }

  #putBack(k: Kernel, how: PutBack): void {
    // Somebody has got hold of the page in the swap cache since its bytes went: it is as it was before the write.
    if (this.isGiven) k.swap.readBack(this.pfn);
    const { flags } = k.frames;
    if (how === "activate") {
      if ((flags[this.pfn] & PG_SWAPCACHE) !== 0 && (flags[this.pfn] & PG_WRITEBACK) === 0 && k.swap.isFull)
        k.swap.freeSwapOf(this.pfn);
      flags[this.pfn] |= PG_ACTIVE;
      k.vmstat.pgactivate++;
    }
    flags[this.pfn] &= ~PG_LOCKED;
    this.#release(k, how);
  }

  #release(k: Kernel, how: PutBack): void {
    if (how === "rotate") k.lru.addTail(this.pfn);
    else k.lru.add(this.pfn);
    this.stage = "done";
    putPage(k, this.pfn);
  }
}
