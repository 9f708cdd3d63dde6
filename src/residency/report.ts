/** Scans as people and programs get them: JSON, and runs of equal pages. */

import { PAGE_SIZE } from "../abi/index.ts";
import type { DetectorName, MappingScan } from "./detector.ts";
import {
  ARMED,
  MARKED,
  PAGE_STATES,
  type PageState,
  STALE,
  STATE_MASK,
  type StateCounts,
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
