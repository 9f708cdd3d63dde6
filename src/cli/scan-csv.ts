/** What scan prints for programs that want CSV. */

import { type PageRun, reportOf } from "../residency/report.ts";
import type { TargetScan } from "../residency/scan.ts";
import type { Mapping } from "../residency/target.ts";
import { flagsOf, hex, STATE_COLUMNS } from "./scan-words.ts";

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

/** A line a mapping. */
export function scanToCsv(scan: TargetScan): string {
  const { pid, name, mappings } = reportOf(scan);
  return mappings
    .map(({ start, end, kind, object, pages, states, note }) =>
      csvLine([
        pid,
        name,
        start,
        end,
        kind,
        object,
        pages,
        ...STATE_COLUMNS.map((state) => states[state]),
        note,
      ]),
    )
    .join("");
}

export const RUN_CSV_HEADER = csvLine(["pid", "name", "start", "pages", "state", "flags", "kind", "object"]);

export function runToCsv({ pid, name }: TargetScan, { kind, name: object }: Mapping, run: PageRun): string {
  const { start, pages, state } = run;
  return csvLine([pid, name, hex(start), pages, state, flagsOf(run).join(" "), kind, object]);
}

/** As RFC 4180 has it, but for the line's end. */
export function csvLine(fields: readonly (string | number)[]): string {
  return `${fields.map(csvField).join(",")}\n`;
}

function csvField(field: string | number): string {
  const text = String(field);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
