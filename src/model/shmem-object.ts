/** A shmem object (a memfd or tmpfs file, or shared anonymous memory): its size, its page cache, and who maps it. */

import { PAGE_SIZE } from "../abi/index.ts";
import { IntervalTree } from "./interval-tree.ts";
import type { Vma } from "./vma.ts";

/** The page cache is in leaves of so many entries, made when first needed. */
export const LEAF_PAGES = 1024;

/** A page-cache entry: 0 a hole, positive a frame number, negative the complement of a packed swap entry. */
export type CacheEntry = number;

export function cacheEntryOfSwap(swapEntry: number): CacheEntry {
  return ~swapEntry;
}

export function swapOfCacheEntry(entry: CacheEntry): number {
  return ~entry;
}

export class ShmemObject {
  readonly id: number;
  /** `i_size`. */
  sizeBytes: number;
  /** How often a call changed size or content; where Linux has a timestamp (ctime), as there is no clock here. */
  changes = 0;
  /** Whether a descriptor keeps the object alive; areas that map it do too. */
  isOpen = true;
  /** Pages in the page cache, and pages in swap. */
  residentPages = 0;
  swappedPages = 0;
  /** The areas that map the object (`i_mmap`), by the pages they map. */
  readonly mappings = new IntervalTree<Vma>();
  readonly #leaves = new Map<number, Int32Array>();
  /** The numbers of the leaves there are, in order. */
  readonly #leafNumbers: number[] = [];
  #lastLeaf = -1;
  #lastEntries: Int32Array = new Int32Array(0);

  constructor(id: number, sizeBytes: number) {
    this.id = id;
    this.sizeBytes = sizeBytes;
  }

  /** Pages that the object's size spans. */
  get sizePages(): number {
    return Math.ceil(this.sizeBytes / PAGE_SIZE);
  }

  get isUnused(): boolean {
    return !this.isOpen && this.mappings.size === 0;
  }

  #leaf(number: number): Int32Array | undefined {
    if (number === this.#lastLeaf) return this.#lastEntries;
    const entries = this.#leaves.get(number);
    if (entries === undefined) return undefined;
    this.#lastLeaf = number;
    this.#lastEntries = entries;
    return entries;
  }

  /** The entries of the leaf that has `index`: its own is at `index % LEAF_PAGES`. Undefined if all are holes. */
  leafOf(index: number): Int32Array | undefined {
    return this.#leaf(Math.floor(index / LEAF_PAGES));
  }

  get(index: number): CacheEntry {
    const number = Math.floor(index * (1 / LEAF_PAGES));
    const entries = this.#leaf(number);
    return entries === undefined ? 0 : entries[index - number * LEAF_PAGES];
  }

  set(index: number, entry: CacheEntry): void {
    const number = Math.floor(index * (1 / LEAF_PAGES));
    let entries = this.#leaf(number);
    if (entries === undefined) {
      if (entry === 0) return;
      entries = new Int32Array(LEAF_PAGES);
      this.#leaves.set(number, entries);
      this.#leafNumbers.splice(this.#leafPosition(number), 0, number);
      this.#lastLeaf = number;
      this.#lastEntries = entries;
    }
    const at = index - number * LEAF_PAGES;
    const was = entries[at];
    if (was > 0) this.residentPages--;
    else if (was < 0) this.swappedPages--;
    if (entry > 0) this.residentPages++;
    else if (entry < 0) this.swappedPages++;
    entries[at] = entry;
  }

  /** Index of the first entry that is not a hole from `from` on, below `end`; `end` if there is none. */
  nextEntry(from: number, end: number): number {
    let index = from;
    while (index < end) {
      const number = Math.floor(index / LEAF_PAGES);
      const entries = this.#leaf(number);
      if (entries === undefined) {
        const next = this.#nextLeaf(number);
        if (next === undefined) return end;
        index = next * LEAF_PAGES;
        continue;
      }
      const stop = Math.min(end, (number + 1) * LEAF_PAGES);
      const base = number * LEAF_PAGES;
      for (; index < stop; index++) if (entries[index - base] !== 0) return index;
    }
    return end;
  }

  #nextLeaf(after: number): number | undefined {
    return this.#leafNumbers[this.#leafPosition(after + 1)];
  }

  /** How many leaves have a lower number. */
  #leafPosition(number: number): number {
    const numbers = this.#leafNumbers;
    let low = 0;
    let high = numbers.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (numbers[middle] < number) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Gives back the page cache's own memory from `index` on, where the object has been truncated. */
  dropLeavesFrom(index: number): void {
    const first = Math.ceil(index / LEAF_PAGES);
    for (const number of this.#leafNumbers.splice(this.#leafPosition(first))) this.#leaves.delete(number);
    this.#lastLeaf = -1;
  }

  get allocatedBytes(): number {
    return this.#leaves.size * LEAF_PAGES * 4;
  }

  link(vma: Vma): void {
    this.mappings.insert(vma, vma.pgoff, vma.pgoff + vma.sizePages - 1);
  }

  unlink(vma: Vma): void {
    this.mappings.remove(vma, vma.pgoff);
  }
}
