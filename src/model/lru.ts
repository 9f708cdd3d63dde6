/** The LRU lists: active and inactive, of swap-backed ("anon") and other ("file") pages, for each memory group. */

import { type PageFrames, PG_ACTIVE, PG_LRU, PG_REFERENCED, PG_SWAPBACKED } from "./page-frames.ts";

export const LRU_INACTIVE_ANON = 0;
export const LRU_ACTIVE_ANON = 1;
export const LRU_INACTIVE_FILE = 2;
export const LRU_ACTIVE_FILE = 3;
export const LRU_LISTS = 4;

export class LruLists {
  readonly #frames: PageFrames;
  readonly #head: Int32Array;
  readonly #tail: Int32Array;
  readonly #size: Int32Array;

  constructor(frames: PageFrames, groupsMax: number) {
    this.#frames = frames;
    this.#head = new Int32Array(groupsMax * LRU_LISTS);
    this.#tail = new Int32Array(groupsMax * LRU_LISTS);
    this.#size = new Int32Array(groupsMax * LRU_LISTS);
  }

  /** Empties the lists of groups 0 to `groups` - 1, whose frames have been reset. */
  reset(groups: number): void {
    for (let list = 0; list < groups * LRU_LISTS; list++) {
      this.#head[list] = 0;
      this.#tail[list] = 0;
      this.#size[list] = 0;
    }
  }

  /** How many pages a group has on a list. */
  size(group: number, list: number): number {
    return this.#size[group * LRU_LISTS + list];
  }

  /** The page at the tail (the next to be scanned), or 0. */
  tail(group: number, list: number): number {
    return this.#tail[group * LRU_LISTS + list];
  }

  #listOf(pfn: number): number {
    const flags = this.#frames.flags[pfn];
    return (
      this.#frames.group[pfn] * LRU_LISTS +
      ((flags & PG_SWAPBACKED) === 0 ? LRU_INACTIVE_FILE : LRU_INACTIVE_ANON) +
      ((flags & PG_ACTIVE) === 0 ? 0 : 1)
    );
  }

  /** Puts a page at the head of the list that its flags and group name. */
  add(pfn: number): void {
    const { flags, lruPrev, lruNext } = this.#frames;
    const list = this.#listOf(pfn);
    const head = this.#head[list];
    flags[pfn] |= PG_LRU;
    lruPrev[pfn] = 0;
    lruNext[pfn] = head;
    if (head === 0) this.#tail[list] = pfn;
    else lruPrev[head] = pfn;
    this.#head[list] = pfn;
    this.#size[list]++;
  }

  /** Puts a page at the tail: it will be scanned next. */
  addTail(pfn: number): void {
    const { flags, lruPrev, lruNext } = this.#frames;
    const list = this.#listOf(pfn);
    const tail = this.#tail[list];
    flags[pfn] |= PG_LRU;
    lruNext[pfn] = 0;
    lruPrev[pfn] = tail;
    if (tail === 0) this.#head[list] = pfn;
    else lruNext[tail] = pfn;
    this.#tail[list] = pfn;
    this.#size[list]++;
  }

  /** Takes a page off its list. Its flags must still name that list. */
  remove(pfn: number): void {
    const { flags, lruPrev, lruNext } = this.#frames;
    const list = this.#listOf(pfn);
    const prev = lruPrev[pfn];
    const next = lruNext[pfn];
    if (prev === 0) this.#head[list] = next;
    else lruNext[prev] = next;
    if (next === 0) this.#tail[list] = prev;
    else lruPrev[next] = prev;
    lruPrev[pfn] = 0;
    lruNext[pfn] = 0;
    flags[pfn] &= ~PG_LRU;
    this.#size[list]--;
  }

  /** `folio_mark_accessed`: first makes the page referenced, the second time active. */
  markAccessed(pfn: number): void {
    const { flags } = this.#frames;
    if ((flags[pfn] & PG_REFERENCED) === 0) flags[pfn] |= PG_REFERENCED;
    else if ((flags[pfn] & (PG_ACTIVE | PG_LRU)) === PG_LRU) {
      this.remove(pfn);
      flags[pfn] = (flags[pfn] | PG_ACTIVE) & ~PG_REFERENCED;
      this.add(pfn);
    }
  }

  /** `deactivate_page`: to the head of the inactive list, no longer referenced. */
  deactivate(pfn: number): void {
    const { flags } = this.#frames;
    if ((flags[pfn] & PG_LRU) === 0) return;
    this.remove(pfn);
    flags[pfn] &= ~(PG_ACTIVE | PG_REFERENCED);
    this.add(pfn);
  }

  /** The pages of a list from head to tail; for checking, not for speed. */
  *pages(group: number, list: number): Generator<number> {
    for (let pfn = this.#head[group * LRU_LISTS + list]; pfn !== 0; pfn = this.#frames.lruNext[pfn])
      yield pfn;
  }
}
