/**
 * Asks a shmem object where its pages are. The whole truth of a page is in two answers: cachestat tells whether it is
 * in the page cache, in swap or neither, mincore whether its content is in memory:
 *
 * | | nr_cache | nr_evicted | neither |
 * | --- | --- | --- | --- |
 * | mincore 1 | cached | swap-cached | |
 * | mincore 0 | reserved | swapped | hole |
 *
 * cachestat counts a range, so it is asked for blocks. Where a block's counts leave a doubt, the block is halved: the
 * left half is asked, the right half is the difference.
 */

import { CACHED, HOLE, PRESENT, RESERVED, STATE_MASK, SWAP_CACHED, SWAPPED, UNKNOWN } from "./page-state.ts";
import { ASK } from "./page-table-look.ts";
import type { ObjectView } from "./target.ts";

const BLOCK_PAGES = 512;
/** A call of mincore takes as long as it takes to look up so many pages. */
const GAP_PAGES = 8;

/**
 * What ends a range that is asked about, by byte of states. Pages that are known within it are taken off its
 * counts: so they must be known for sure, and in a private mapping they may be the process's own. That a page
 * is still a hole is the least sure: the detector checks it by the numbers that come of this, so they must
 * not depend on it.
 */
const IS_HOLE = Uint8Array.from({ length: 256 }, (_, byte) =>
  (byte & ASK) === 0 && (byte & STATE_MASK) === HOLE ? 1 : 0,
);
const IS_ANSWERED = Uint8Array.from({ length: 256 }, (_, byte) => ((byte & ASK) === 0 ? 1 : 0));

/** Pages of which is known already where they are are told from the others by {@link ASK}. */
export interface ShmemQuestionOptions {
  /** The object's page at `states[0]`. */
  readonly firstPage: number;
  /** One byte a page; those marked ASK are answered. */
  readonly states: Uint8Array;
  /** MAP_SHARED: what the process maps is the object's. */
  readonly isShared: boolean;
}

export class ShmemQuestion {
  readonly #resident = new Uint8Array(BLOCK_PAGES);
  #view!: ObjectView;
  #firstPage = 0;
  #states: Uint8Array = new Uint8Array(0);
  /** Where `#resident[0]` is in `#states`. */
  #residentFrom = 0;
  #lacksCachestat = false;

  /** Answers. Returns what can't be told and why, or "". */
  ask(view: ObjectView, { firstPage, states, isShared }: ShmemQuestionOptions): string {
    this.#view = view;
    this.#firstPage = firstPage;
    this.#states = states;
    this.#lacksCachestat = false;
    const isBarrier = isShared ? IS_HOLE : IS_ANSWERED;
    for (let block = 0; block < states.length; block += BLOCK_PAGES) {
      const end = Math.min(block + BLOCK_PAGES, states.length);
      for (let low = nextAsked(states, block, end); low < end; ) {
        let asked = low;
        let high = low + 1;
        for (; high < end && isBarrier[states[high]] === 0; high++)
          if ((states[high] & ASK) !== 0) asked = high;
        this.#askRange(low, asked + 1);
        low = nextAsked(states, high, end);
      }
    }
    return this.#lacksCachestat
      ? "without cachestat (Linux 6.5), pages that are in memory but not mapped can't be told from swap-cached ones, " +
          "nor reserved pages from holes"
      : "";
  }

  #askRange(low: number, high: number): void {
    const counts = this.#view.cachestat(this.#firstPage + low, high - low);
    if (counts === undefined) {
      this.#askWithoutCachestat(low, high);
      return;
    }
    if (counts.cached === 0 && counts.evicted === 0) {
      this.#answer(low, high, HOLE, HOLE);
      return;
    }
    this.#askMincore(low, high);
    this.#narrow(low, high, counts.cached, counts.evicted);
  }

  /**
   * Asks mincore about a range, but leaves longer runs of pages out that are known: it looks up each page.
   */
  #askMincore(low: number, high: number): void {
    const states = this.#states;
    this.#residentFrom = low;
    for (let from = low; from < high; ) {
      let end = from + 1; // after the last page asked about
      for (let i = end; i < high && i - end < GAP_PAGES; i++) if ((states[i] & ASK) !== 0) end = i + 1;
      this.#view.mincore(this.#firstPage + from, end - from, this.#resident.subarray(from - low));
      from = nextAsked(states, end, high);
    }
  }

  /** Answers for a range of which so many pages are in the page cache and in swap. */
  #narrow(low: number, high: number, cached: number, evicted: number): void {
    const states = this.#states;
    const resident = this.#resident;
    const from = this.#residentFrom;
    let asked = 0;
    let inMemory = 0;
    let inCache = cached;
    let inSwap = evicted;
    for (let i = low; i < high; i++) {
      const state = states[i];
      if ((state & ASK) !== 0) {
        asked++;
        inMemory += resident[i - from] & 1;
        continue;
      }
      const known = state & STATE_MASK;
      if (known === PRESENT || known === CACHED || known === RESERVED) inCache--;
      else if (known === SWAPPED || known === SWAP_CACHED) inSwap--;
    }
    if (asked === 0) return;
    if (inSwap === 0 && inCache === inMemory) this.#answer(low, high, CACHED, HOLE);
    else if (inSwap === 0 && inCache === asked) this.#answer(low, high, CACHED, RESERVED);
    else if (inCache === 0 && inSwap === asked) this.#answer(low, high, SWAP_CACHED, SWAPPED);
    else if (inCache === 0 && inSwap === inMemory) this.#answer(low, high, SWAP_CACHED, HOLE);
    else if (high - low === 1) {
      // Only if it moves while we look.
      this.#answer(low, high, inSwap > 0 ? SWAP_CACHED : CACHED, inSwap > 0 ? SWAPPED : HOLE);
    } else this.#halve(low, high, cached, evicted);
  }

  #halve(low: number, high: number, cached: number, evicted: number): void {
    const middle = this.#middle(low, high);
    const left = this.#count(low, middle);
    this.#narrow(low, middle, left.cached, left.evicted);
    const rest = { cached: cached - left.cached, evicted: evicted - left.evicted };
    const isPossible = rest.cached >= 0 && rest.evicted >= 0 && rest.cached + rest.evicted <= high - middle;
    const right = isPossible ? rest : this.#count(middle, high);
    this.#narrow(middle, high, right.cached, right.evicted);
  }

  /** cachestat, which has answered for this object before; should it not any more, nothing is there. */
  #count(low: number, high: number): { readonly cached: number; readonly evicted: number } {
    return this.#view.cachestat(this.#firstPage + low, high - low) ?? { cached: 0, evicted: 0 };
  }

  /**
   * Where to halve: near the middle, if possible where mincore's answer changes, since the state changes
   * there.
   */
  #middle(low: number, high: number): number {
    const middle = (low + high) >>> 1;
    const reach = (high - low) >>> 2;
    const resident = this.#resident;
    const from = this.#residentFrom;
    for (let distance = 0; distance < reach; distance++) {
      const after = middle + distance - from;
      if (((resident[after] ^ resident[after - 1]) & 1) !== 0) return after + from;
      const before = middle - distance - from;
      if (((resident[before] ^ resident[before - 1]) & 1) !== 0) return before + from;
    }
    return middle;
  }

  /** Gives the pages asked about the one state where mincore says 1, the other where 0. Keeps flags. */
  #answer(low: number, high: number, ifInMemory: number, ifNot: number): void {
    const states = this.#states;
    const resident = this.#resident;
    const from = this.#residentFrom;
    const flags = ~(ASK | STATE_MASK);
    for (let i = low; i < high; i++) {
      const state = states[i];
      if ((state & ASK) === 0) continue;
      const isInMemory = ifInMemory !== ifNot && (resident[i - from] & 1) !== 0;
      states[i] = (state & flags) | (isInMemory ? ifInMemory : ifNot);
    }
  }

  /** mincore and SEEK_DATA: content that is not in memory is in swap; more can't be told for sure. */
  #askWithoutCachestat(low: number, high: number): void {
    this.#lacksCachestat = true;
    this.#askMincore(low, high);
    let hole = low;
    this.#view.forEachData(this.#firstPage + low, high - low, (first, pages) => {
      const data = first - this.#firstPage;
      this.#answer(hole, data, HOLE, HOLE);
      this.#answer(data, data + pages, UNKNOWN, SWAPPED);
      hole = data + pages;
    });
    this.#answer(hole, high, HOLE, HOLE);
  }
}

function nextAsked(states: Uint8Array, from: number, end: number): number {
  let i = from;
  while (i < end && (states[i] & ASK) === 0) i++;
  return i;
}
