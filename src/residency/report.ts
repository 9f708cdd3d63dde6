/** Scans as people and programs get them: JSON, runs of equal pages, objects counted once. */

import { PAGE_SIZE } from "../abi/index.ts";
import type { DetectorName, MappingScan } from "./detector.ts";
import {
  ARMED,
  countStates,
  MARKED,
  PAGE_STATES,
  type PageState,
  PRESENT,
  STALE,
  STATE_MASK,
  type StateCounts,
  UNKNOWN,
  WRITTEN,
} from "./page-state.ts";
import type { ScannedMapping, TargetScan } from "./scan.ts";
import { type MappingKind, pagesOf } from "./target.ts";

export interface MappingReport {
  /** "0x7f0000000000" */
  readonly start: string;
  readonly end: string;
  readonly kind: MappingKind;
  readonly object: string;
  readonly pages: number;
  readonly states: StateCounts;
  readonly note: string;
}

/** The JSON of a scan. */
export interface ScanReport {
  readonly pid: number;
  readonly name: string;
  readonly kernel: string;
  /** ISO 8601, UTC. */
  readonly time: string;
  readonly detector: DetectorName;
  readonly mappings: readonly MappingReport[];
  readonly totals: StateCounts;
}

export function reportOf({ pid, name, kernel, time, detector, mappings, totals }: TargetScan): ScanReport {
  return {
    pid,
    name,
    kernel,
    time: time.toISOString(),
    detector,
    mappings: mappings.map(reportMapping),
    totals,
  };
}

function reportMapping({ mapping, counts, note }: ScannedMapping): MappingReport {
  return {
    start: hex(mapping.start),
    end: hex(mapping.end),
    kind: mapping.kind,
    object: mapping.name,
    pages: pagesOf(mapping),
    states: counts,
    note,
  };
}

function hex(address: number): string {
  return `0x${address.toString(16)}`;
}

/** Pages next to each other that are alike. */
export interface PageRun {
  /** Address of the first; bytes. */
  readonly start: number;
  readonly pages: number;
  readonly state: PageState;
  readonly isArmed: boolean;
  readonly isWritten: boolean;
  readonly isMarked: boolean;
  readonly isStale: boolean;
}

/** The runs of a mapping, in order. */
export function* runsOf({ mapping, states }: MappingScan): Generator<PageRun> {
  for (let from = 0; from < states.length; ) {
    const byte = states[from];
    let end = from + 1;
    while (end < states.length && states[end] === byte) end++;
    yield {
      start: mapping.start + from * PAGE_SIZE,
      pages: end - from,
      state: PAGE_STATES[byte & STATE_MASK],
      isArmed: (byte & ARMED) !== 0,
      isWritten: (byte & WRITTEN) !== 0,
      isMarked: (byte & MARKED) !== 0,
      isStale: (byte & STALE) !== 0,
    };
    from = end;
  }
}

/** A shared object over all processes that were scanned, each of its pages counted once. */
export interface ObjectReport {
  readonly objectId: string;
  readonly name: string;
  /** Who maps it, in order of pid. */
  readonly pids: readonly number[];
  /** Pages that any of them maps. `present`: some process has it in its page table. */
  readonly states: StateCounts;
}

interface Tally {
  readonly name: string;
  readonly pids: Set<number>;
  states: Uint8Array;
  /** Which pages some mapping covers. */
  covered: Uint8Array;
}

/** Shared memory of the scans, by object, the most swapped first. */
export function objectsOf(scans: readonly TargetScan[]): ObjectReport[] {
  const tallies = new Map<string, Tally>();
  for (const { pid, mappings } of scans) {
    for (const { mapping, parts } of mappings) {
      if (mapping.kind !== "shmem" || !mapping.shared) continue;
      let tally = tallies.get(mapping.objectId);
      if (tally === undefined) {
        tally = {
          name: mapping.name,
          pids: new Set(),
          states: new Uint8Array(0),
          covered: new Uint8Array(0),
        };
        tallies.set(mapping.objectId, tally);
      }
      tally.pids.add(pid);
      for (const part of parts) addPart(tally, part);
    }
  }
  return [...tallies]
    .map(([objectId, { name, pids, states, covered }]) => ({
      objectId,
      name,
      pids: [...pids].sort((a, b) => a - b),
      states: countStates(states.filter((_, page) => covered[page] !== 0)),
    }))
    .sort((a, b) => b.states.swapped - a.states.swapped);
}

/** Present anywhere is present; known anywhere is known. */
function addPart(tally: Tally, { mapping, states }: MappingScan): void {
  const first = mapping.objectFirstPage;
  const end = first + states.length;
  tally.states = grown(tally.states, end);
  tally.covered = grown(tally.covered, end);
  tally.covered.fill(1, first, end);
  for (let i = 0; i < states.length; i++) {
    const page = first + i;
    const state = states[i] & STATE_MASK;
    if (tally.states[page] === UNKNOWN || state === PRESENT) tally.states[page] = state;
  }
}

function grown(bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.length >= length) return bytes;
  const longer = new Uint8Array(length);
  longer.set(bytes);
  return longer;
}
