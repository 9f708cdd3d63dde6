import {
  ARMED,
  MARKED,
  PAGE_STATES,
  type PageState,
  STALE,
  STATE_MASK,
  WRITTEN,
} from "../residency/page-state.ts";

/** Pages in a row that are alike. */
export interface PageRun {
  /** The first, counted from the mapping's first. */
  readonly first: number;
  readonly pages: number;
  readonly state: PageState;
  readonly flags: readonly string[];
}

const FLAG_NAMES: readonly (readonly [number, string])[] = [
  [ARMED, "armed"],
  [MARKED, "marked"],
  [STALE, "stale"],
  [WRITTEN, "written"],
];

/** The runs of a mapping's states, in order. */
export function* pageRuns(states: Uint8Array): Generator<PageRun> {
  for (let first = 0; first < states.length; ) {
    const byte = states[first];
    let end = first + 1;
    while (end < states.length && states[end] === byte) end++;
    yield {
      first,
      pages: end - first,
      state: PAGE_STATES[byte & STATE_MASK],
      flags: FLAG_NAMES.flatMap(([flag, name]) => ((byte & flag) !== 0 ? [name] : [])),
    };
    first = end;
  }
}
