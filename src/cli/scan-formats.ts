/** What scan prints for programs: JSON and CSV. */

import { PAGE_SIZE } from "../abi/mman.ts";
import type { StateCounts } from "../residency/page-state.ts";
import { type Mapping, pagesOf } from "../residency/target.ts";
import type { PageRun } from "./page-runs.ts";
import type { ProcessScan, ScannedMapping } from "./process-scan.ts";
import { STATE_COLUMNS } from "./scan-table.ts";

/** On one line. `runs` are added to the mappings that have some. */
export function scanToJson(
  { pid, name, time, detector, mappings, totals }: ProcessScan,
  kernel: string,
  runs: ReadonlyMap<Mapping, readonly PageRun[]>,
): string {
  return JSON.stringify({
    pid,
    name,
    kernel,
    time: time.toISOString(),
    detector,
    mappings: mappings.map((one) => {
      const { mapping } = one;
      const ofMapping = runs.get(mapping)?.map((run) => jsonOfRun(mapping, run));
      return { ...jsonOfMapping(one), ...(ofMapping && { runs: ofMapping }) };
    }),
    totals: jsonOfCounts(totals),
  });
}

function jsonOfMapping({ mapping, counts, note }: ScannedMapping): object {
  return {
    start: hex(mapping.start),
    end: hex(mapping.end),
    kind: mapping.kind,
    object: mapping.name,
    pages: pagesOf(mapping),
    states: jsonOfCounts(counts),
    note,
  };
}

function jsonOfRun({ start }: Mapping, { first, pages, state, flags }: PageRun): object {
  return { start: hex(start + first * PAGE_SIZE), pages, state, flags };
}

/** In the order of the columns. */
export function jsonOfCounts(counts: StateCounts): object {
  return Object.fromEntries(STATE_COLUMNS.map((state) => [state, counts[state]]));
}

export function hex(address: number): string {
  return `0x${address.toString(16)}`;
}

export const MAPPING_CSV_HEADER = csvLine([
  "pid",
  "name",
  "start",
  "end",
  "kind",
  "object",
  "pages",
  ...STATE_COLUMNS,
  "note",
]);

export function scanToCsv({ pid, name, mappings }: ProcessScan): string {
  return mappings
    .map(({ mapping, counts, note }) =>
      csvLine([
        pid,
        name,
        hex(mapping.start),
        hex(mapping.end),
        mapping.kind,
        mapping.name,
        pagesOf(mapping),
        ...STATE_COLUMNS.map((state) => counts[state]),
        note,
      ]),
    )
    .join("");
}

export const RUN_CSV_HEADER = csvLine(["pid", "name", "start", "pages", "state", "flags", "kind", "object"]);

export function runToCsv(
  { pid, name }: { readonly pid: number; readonly name: string },
  mapping: Mapping,
  { first, pages, state, flags }: PageRun,
): string {
  const start = hex(mapping.start + first * PAGE_SIZE);
  return csvLine([pid, name, start, pages, state, flags.join(" "), mapping.kind, mapping.name]);
}

/** As RFC 4180 has it, but for the line's end. */
export function csvLine(fields: readonly (string | number)[]): string {
  return `${fields.map(csvField).join(",")}\n`;
}

function csvField(field: string | number): string {
  const text = String(field);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
