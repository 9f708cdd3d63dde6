/** What has moved between two looks at the same pages. */

import { CACHED, PAGE_STATES, PRESENT, STATE_MASK, SWAP_CACHED, SWAPPED } from "./page-state.ts";

/** Pages, as their states then and now tell: one that went and came back in between is not seen. */
export interface PageFlow {
  readonly swappedOut: number;
  readonly swappedIn: number;
}

/** By state: in swap (a copy in memory or not) 1, in memory 2, elsewhere or unknown 0. */
const PLACE = Uint8Array.from({ length: PAGE_STATES.length }, (_, state) => {
  if (state === SWAPPED || state === SWAP_CACHED) return 1;
  return state === PRESENT || state === CACHED ? 2 : 0;
});
const IN_SWAP = 1;
const IN_MEMORY = 2;

/** Two scans of one mapping: a byte a page. A page that was not there before and is in swap now went out. */
export function flowBetween(before: Uint8Array, after: Uint8Array): PageFlow {
  const mask = STATE_MASK | 0;
  const place = PLACE;
  let swappedOut = 0;
  let swappedIn = 0;
  for (let i = 0; i < after.length; i++) {
    if (before[i] === after[i]) continue;
    const was = place[before[i] & mask];
    const is = place[after[i] & mask];
    if (is === IN_SWAP) swappedOut += was === IN_SWAP ? 0 : 1;
    else if (is === IN_MEMORY && was === IN_SWAP) swappedIn++;
  }
  return { swappedOut, swappedIn };
}
