/**
 * The vocabulary: where a page of a mapping is, as seen from the process that maps it. One byte a page: a state in the
 * low three bits, and flags above it.
 *
 * | state | meaning | how the kernel tells |
 * | --- | --- | --- |
 * | `present` | mapped by this process's page table | pagemap bit 63 |
 * | `cached` | in the page cache, not mapped by this process | cachestat nr_cache |
 * | `swap-cached` | has a place in swap, and a copy still in memory | cachestat nr_evicted, mincore 1 |
 * | `swapped` | its only copy is in swap | cachestat nr_evicted, mincore 0 |
 * | `hole` | never allocated, or removed | neither counted |
 * | `reserved` | fallocated, never written | cachestat nr_cache, mincore 0 |
 * | `on-disk` | of a file that is on a disk, and not in memory | not swap-backed, mincore 0 |
 * | `unknown` | we may not ask, or the detector can't tell; the mapping's note gives the reason | |
 */

export const PAGE_STATES = [
  "unknown",
  "present",
  "cached",
  "swap-cached",
  "swapped",
  "hole",
  "reserved",
  "on-disk",
] as const;

export type PageState = (typeof PAGE_STATES)[number];

export const UNKNOWN = 0;
export const PRESENT = 1;
export const CACHED = 2;
export const SWAP_CACHED = 3;
export const SWAPPED = 4;
export const HOLE = 5;
export const RESERVED = 6;
export const ON_DISK = 7;

export const STATE_MASK = 7;
/** Write-protected through userfaultfd: page-out will leave a marker. */
export const ARMED = 1 << 3;
/** Written since it was armed last. */
export const WRITTEN = 1 << 4;
/** The page table has a marker (PM_SWAP in pagemap), and the page is not in swap. */
export const STALE = 1 << 5;
/** The page table has a marker, true or stale. */
export const MARKED = 1 << 6;

/** How many pages are in each state. */
export type StateCounts = Record<PageState, number>;

export function noCounts(): StateCounts {
  return {
    present: 0,
    cached: 0,
    "swap-cached": 0,
    swapped: 0,
    hole: 0,
    reserved: 0,
    "on-disk": 0,
    unknown: 0,
  };
}

/** Counts the pages of each state. */
export function countStates(states: Uint8Array): StateCounts {
  const histogram = new Uint32Array(STATE_MASK + 1);
  const mask = STATE_MASK | 0;
  for (let i = 0; i < states.length; i++) histogram[states[i] & mask]++;
  const counts = noCounts();
  for (let state = 0; state < PAGE_STATES.length; state++) counts[PAGE_STATES[state]] = histogram[state];
  return counts;
}

export function addCounts(sum: StateCounts, counts: StateCounts): void {
  for (const state of PAGE_STATES) sum[state] += counts[state];
}
