/** What has moved between two looks at a process. */

import type { MappingScan } from "../residency/detector.ts";
import {
  CACHED,
  PAGE_STATES,
  PRESENT,
  STATE_MASK,
  SWAP_CACHED,
  SWAPPED,
  UNKNOWN,
} from "../residency/page-state.ts";
import type { TargetScan } from "../residency/scan.ts";
import { keyOf } from "./mapping-key.ts";

/** Pages that went, as their states then and now tell; a page that went and came back meanwhile is not seen. */
export interface PageFlow {
  readonly swappedOut: number;
  readonly swappedIn: number;
}

/** By state: 0 unknown, 1 in swap (with or without a copy in memory), 2 in memory, 3 elsewhere. */
const PLACE = Uint8Array.from({ length: PAGE_STATES.length }, (_, state) => {
  if (state === UNKNOWN) return 0;
  if (state === SWAPPED || state === SWAP_CACHED) return 1;
  return state === PRESENT || state === CACHED ? 2 : 3;
});

/** From place to place, four to a row: 1 went to swap, 2 came back from it. */
const MOVE = Uint8Array.of(0, 0, 0, 0, 0, 0, 2, 0, 0, 1, 0, 0, 0, 1, 0, 0);

/** Mappings that are in both scans are compared; what was mapped or unmapped meanwhile did not move. */
export function flowBetween(before: TargetScan, after: TargetScan): PageFlow {
  const moves = new Uint32Array(3);
  const then = new Map(
    before.mappings.flatMap(({ parts }) => parts.map((part) => [keyOf(part.mapping), part])),
  );
  for (const { parts } of after.mappings) {
    for (const part of parts) {
      const earlier = then.get(keyOf(part.mapping));
      if (earlier !== undefined) countMoves(earlier, part, moves);
    }
  }
  return { swappedOut: moves[1], swappedIn: moves[2] };
}

function countMoves(
  { states: before }: MappingScan,
  { states: after }: MappingScan,
  moves: Uint32Array,
): void {
  const mask = STATE_MASK | 0;
  const [place, move] = [PLACE, MOVE];
  for (let i = 0; i < after.length; i++) {
    if (before[i] !== after[i]) moves[move[(place[before[i] & mask] << 2) | place[after[i] & mask]]]++;
  }
}
