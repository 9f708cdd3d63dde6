/** What `watch` knows and shows: changed by looks at the process, and by keys. */

import { flowBetween, type PageFlow } from "../residency/page-flow.ts";
import type { ScannedMapping, TargetScan } from "../residency/scan.ts";
import { type Mapping, mappingKey } from "../residency/target.ts";

/** A look at the process. */
export interface Look {
  readonly scan: TargetScan;
  /** How long it took, milliseconds. */
  readonly tookMs: number;
  /** Pages written since the look before; undefined without an attachment, which tells. */
  readonly written: number | undefined;
}

/** Pages a second, since the look before. */
export interface Rates extends PageFlow {
  readonly written: number | undefined;
}

export interface WatchState {
  readonly look: Look | undefined;
  /** undefined: there was one look only. */
  readonly rates: Rates | undefined;
  /** Pages in swap at each look, the newest last. */
  readonly history: readonly number[];
  /** Key of the mapping whose pages are drawn; undefined: the first. */
  readonly selected: string | undefined;
  readonly intervalS: number;
  readonly isPaused: boolean;
  readonly showsLegend: boolean;
}

/** Longer than any terminal is wide. */
const HISTORY_MAX = 1000;
const INTERVALS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60];

export function initialState(intervalS: number): WatchState {
  return {
    look: undefined,
    rates: undefined,
    history: [],
    selected: undefined,
    intervalS,
    isPaused: false,
    showsLegend: false,
  };
}

/** The state after another look. */
export function looked(state: WatchState, look: Look): WatchState {
  const history = [...state.history, pagesInSwap(look.scan)].slice(-HISTORY_MAX);
  const rates = state.look === undefined ? undefined : ratesBetween(state.look.scan, look);
  return { ...state, look, rates, history };
}

function ratesBetween(before: TargetScan, { scan, written }: Look): Rates | undefined {
  const seconds = (scan.time.getTime() - before.time.getTime()) / 1000;
  if (seconds <= 0) return undefined;
  const { swappedOut, swappedIn } = flowOf(before, scan);
  return {
    swappedOut: swappedOut / seconds,
    swappedIn: swappedIn / seconds,
    written: written === undefined ? undefined : written / seconds,
  };
}

/** Mappings that are in both scans are compared; what was mapped or unmapped meanwhile did not move. */
function flowOf(before: TargetScan, after: TargetScan): PageFlow {
  const partsOf = ({ mappings }: TargetScan) => mappings.flatMap(({ parts }) => parts);
  const earlier = new Map(partsOf(before).map(({ mapping, states }) => [mappingKey(mapping), states]));
  let swappedOut = 0;
  let swappedIn = 0;
  for (const { mapping, states } of partsOf(after)) {
    const flow = flowBetween(earlier.get(mappingKey(mapping)) ?? states, states);
    swappedOut += flow.swappedOut;
    swappedIn += flow.swappedIn;
  }
  return { swappedOut, swappedIn };
}

/** With a copy in memory or without one, as smaps counts. */
export function pagesInSwap({ totals }: TargetScan): number {
  return totals.swapped + totals["swap-cached"];
}

/** The state after a key, by readline's name of it, or "quit". Keys that mean nothing change nothing. */
export function pressed(state: WatchState, key: string): WatchState | "quit" {
  switch (key) {
    case "q":
    case "escape":
    case "ctrl-c":
      return "quit";
    case "up":
    case "k":
      return select(state, -1);
    case "down":
    case "j":
      return select(state, 1);
    case "space":
      return { ...state, isPaused: !state.isPaused };
    case "+":
      return {
        ...state,
        intervalS: INTERVALS_S.find((seconds) => seconds > state.intervalS) ?? state.intervalS,
      };
    case "-":
      return {
        ...state,
        intervalS: INTERVALS_S.filter((seconds) => seconds < state.intervalS).at(-1) ?? state.intervalS,
      };
    case "?":
    case "h":
      return { ...state, showsLegend: !state.showsLegend };
    default:
      return state;
  }
}

function select(state: WatchState, by: number): WatchState {
  const rows = rowsOf(state);
  const row = rows[Math.max(0, Math.min(rows.length - 1, selectedRow(state, rows) + by))];
  return row === undefined ? state : { ...state, selected: mappingKey(row.mapping) };
}

/**
 * The mappings in the order in which they are shown: shared memory first, then the largest. The order does not follow
 * what pages do, or rows would run away from the eye.
 */
export function rowsOf({ look }: WatchState): ScannedMapping[] {
  return [...(look?.scan.mappings ?? [])].sort(
    (a, b) => rankOf(a.mapping) - rankOf(b.mapping) || lengthOf(b.mapping) - lengthOf(a.mapping),
  );
}

function rankOf({ kind, shared }: Mapping): number {
  return kind === "shmem" && shared ? 0 : 1;
}

function lengthOf({ start, end }: Mapping): number {
  return end - start;
}

/** Which row is selected: the first, if the mapping that was is gone. */
export function selectedRow({ selected }: WatchState, rows: readonly ScannedMapping[]): number {
  return Math.max(
    0,
    rows.findIndex(({ mapping }) => mappingKey(mapping) === selected),
  );
}
