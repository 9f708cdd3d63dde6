/**
 * Physical memory: what the kernel keeps in `struct page` (`include/linux/mm_types.h`), as one typed array a
 * field, 28 bytes a frame in all, and the pages' contents, with 4 more to find them.
 *
 * Frame 0 is the zero page: always there, on no list, never counted. Frame numbers from 1 to `sizePages` are
 * memory; so 0 also serves as "none" in links, in a page cache and in a swap cache.
 */

import type { PageStore } from "./page-store.ts";

export const ZERO_PFN = 0;

/** Page flags (`include/linux/page-flags.h`). */
export const PG_LOCKED = 0x001;
export const PG_REFERENCED = 0x002;
export const PG_UPTODATE = 0x004;
export const PG_DIRTY = 0x008;
export const PG_LRU = 0x010;
export const PG_ACTIVE = 0x020;
/** Backed by swap: anonymous and shmem pages; not after MADV_FREE. */
export const PG_SWAPBACKED = 0x040;
/** Anonymous: `mapping` is an anon_vma, not an object (the kernel's PAGE_MAPPING_ANON). */
export const PG_ANON = 0x080;
export const PG_SWAPCACHE = 0x100;
export const PG_ANON_EXCLUSIVE = 0x200;
/** Under write-out to a device that has not finished. */
export const PG_WRITEBACK = 0x400;
/** Brought in by readahead and not used yet. */
export const PG_READAHEAD = 0x800;

/** Besides what finding the contents takes. */
export const BYTES_PER_FRAME = 28;

/** Counts are 16 bits; a page has a few references more than mappers. */
const MAPPERS_MAX = 65_000;

/** A page's index is 40 bits: less than this. */
export const INDEX_MAX = 2 ** 40;

export class PageFrames {
  readonly sizePages: number;
  readonly flags: Uint16Array;
  /** The memory group that is charged for the page. */
  readonly group: Uint8Array;
  readonly #indexHigh: Uint8Array;
  readonly refcount: Uint16Array;
  /** How many PTEs map the page. */
  readonly mapcount: Uint16Array;
  /** Object id, or anon_vma id with PG_ANON; 0 none. */
  readonly mapping: Int32Array;
  readonly #index: Uint32Array;
  readonly lruPrev: Int32Array;
  /** Next on an LRU list; of a free frame, the next free one. */
  readonly lruNext: Int32Array;
  /** The packed swap entry of a page in the swap cache (the kernel's `page_private`). */
  readonly swapEntry: Uint32Array;
  readonly contents: PageStore;

  /**
   * Changes whenever a page comes to be mapped once or more than once: the exclusive bit of others' pagemaps.
   */
  sharingEpoch = 0;
  #freeHead = 0;
  #freeTail = 0;
  #freeCount: number;
  /** Frames from here up have never been used. */
  #unused = 1;

  constructor(sizePages: number, contents: PageStore) {
    const n = sizePages + 1;
    this.sizePages = sizePages;
    this.contents = contents;
    this.flags = new Uint16Array(n);
    this.group = new Uint8Array(n);
    this.#indexHigh = new Uint8Array(n);
    this.refcount = new Uint16Array(n);
    this.mapcount = new Uint16Array(n);
    this.mapping = new Int32Array(n);
    this.#index = new Uint32Array(n);
    this.lruPrev = new Int32Array(n);
    this.lruNext = new Int32Array(n);
    this.swapEntry = new Uint32Array(n);
    this.#freeCount = sizePages;
    this.flags[ZERO_PFN] = PG_UPTODATE;
  }

  get freeCount(): number {
    return this.#freeCount;
  }

  /**
   * Takes a free frame with one reference and no flags; 0 if there is none. Its contents are whatever they
   * were. The frame that has been free longest comes first: pages that went in a row come back in a row,
   * which the processor's caches like where bytes are copied.
   */
  take(): number {
    let pfn = this.#freeHead;
    if (pfn !== 0) {
      this.#freeHead = this.lruNext[pfn];
      if (this.#freeHead === 0) this.#freeTail = 0;
      this.lruNext[pfn] = 0;
    } else if (this.#unused <= this.sizePages) pfn = this.#unused++;
    else return 0;
    this.#freeCount--;
    this.refcount[pfn] = 1;
    return pfn;
  }

  /** Gives a frame back. It must be unreferenced, unmapped and on no list. */
  giveBack(pfn: number): void {
    this.flags[pfn] = 0;
    this.mapping[pfn] = 0;
    this.swapEntry[pfn] = 0;
    this.lruNext[pfn] = 0;
    if (this.#freeTail === 0) this.#freeHead = pfn;
    else this.lruNext[this.#freeTail] = pfn;
    this.#freeTail = pfn;
    this.#freeCount++;
  }

  /** Makes all frames free and as if never used; whoever refers to one must forget it. */
  reset(): void {
    const { flags, group, refcount, mapcount, mapping, lruPrev, lruNext, swapEntry } = this;
    for (let pfn = 1; pfn < this.#unused; pfn++) {
      flags[pfn] = 0;
      group[pfn] = 0;
      refcount[pfn] = 0;
      mapcount[pfn] = 0;
      mapping[pfn] = 0;
      lruPrev[pfn] = 0;
      lruNext[pfn] = 0;
      swapEntry[pfn] = 0;
    }
    this.sharingEpoch++;
    this.#freeHead = 0;
    this.#freeTail = 0;
    this.#freeCount = this.sizePages;
    this.#unused = 1;
  }

  /** One more PTE maps the page. */
  addMapper(pfn: number): void {
    if (this.mapcount[pfn] === MAPPERS_MAX)
      throw new RangeError(`frame ${pfn} is mapped ${MAPPERS_MAX} times: the model counts no further`);
    if (++this.mapcount[pfn] === 2) this.sharingEpoch++;
  }

  /** One fewer maps it. Returns how many still do. */
  removeMapper(pfn: number): number {
    const left = --this.mapcount[pfn];
    if (left === 1) this.sharingEpoch++;
    return left;
  }

  /** The page's index in its object or anon_vma, in pages. */
  index(pfn: number): number {
    return this.#indexHigh[pfn] * 0x1_0000_0000 + this.#index[pfn];
  }

  setIndex(pfn: number, index: number): void {
    this.#index[pfn] = index;
    this.#indexHigh[pfn] = Math.floor(index / 0x1_0000_0000);
  }

  /** Frames that are free now, in the order they would be taken; for checking, not for speed. */
  *freeFrames(): Generator<number> {
    for (let pfn = this.#freeHead; pfn !== 0; pfn = this.lruNext[pfn]) yield pfn;
    for (let pfn = this.#unused; pfn <= this.sizePages; pfn++) yield pfn;
  }
}
