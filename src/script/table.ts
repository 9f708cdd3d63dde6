/** What a step changed, as lines to read. */

import type { MarkerLayout } from "../abi/pte-marker.ts";
import { describeEntry, ENTRY_LEGEND, entrySymbol } from "./entry.ts";
import type { Observation } from "./machine.ts";
import { formatOp } from "./syntax.ts";
import type { TraceStep } from "./trace.ts";

/** A line of the table. What prints it may give each kind its own look. */
export interface TableLine {
  /** The op and its outcome; a mapping's or an object's pages; what exactly changed of some pages. */
  readonly kind: "op" | "failed-op" | "pages" | "detail";
  readonly text: string;
}

/** What the letters of the table mean. */
export const TABLE_LEGEND: readonly string[] = [
  `mapping  ${ENTRY_LEGEND}`,
  "incore   what mincore says: 1 in memory, 0 not",
  "object   R resident, S swapped out, H hole",
];

const LABEL_WIDTH = 14;

/** The lines that tell of a step: the op and its outcome, then whatever is other than before. */
export function stepLines(
  { step, number, before }: { step: TraceStep; number: number; before: Observation },
  layout?: MarkerLayout,
): TableLine[] {
  return [opLine(step, number), ...changeLines(before, step, layout)];
}

function opLine({ op, errno, values }: TraceStep, number: number): TableLine {
  const outcome = [errno, values.join(" ")].filter((text) => text !== "").join(", ");
  const text = `${String(number).padStart(3)}  ${formatOp(op)}${outcome === "" ? "" : `  = ${outcome}`}`;
  return { kind: errno === "" ? "op" : "failed-op", text };
}

function changeLines(before: Observation, after: Observation, layout?: MarkerLayout): TableLine[] {
  const lines: TableLine[] = [];
  for (const [proc, mappings] of Object.entries(after.procs)) {
    if (before.procs[proc] === undefined) lines.push({ kind: "pages", text: `     ${proc}: a new process` });
    for (const [mapping, entries] of Object.entries(mappings)) {
      const label = `${proc} ${mapping}`;
      const entriesBefore = before.procs[proc]?.[mapping];
      const symbols = (all: readonly string[]) => all.map((entry) => entrySymbol(entry, layout)).join("");
      const details = entryChanges(mapping, entriesBefore, entries, layout);
      if (details.length > 0) {
        lines.push(pagesLine(label, entriesBefore && symbols(entriesBefore), symbols(entries)), ...details);
      }
      const incore = after.mincore[proc][mapping];
      const incoreBefore = before.mincore[proc]?.[mapping];
      if (incoreBefore === undefined ? incore.includes("1") : incoreBefore !== incore) {
        lines.push(pagesLine(`${label} incore`, incoreBefore, incore));
      }
    }
  }
  for (const [proc, mappings] of Object.entries(before.procs)) {
    if (after.procs[proc] === undefined) lines.push({ kind: "pages", text: `     ${proc}: ended` });
    else {
      for (const mapping of Object.keys(mappings)) {
        if (after.procs[proc][mapping] === undefined) {
          lines.push({ kind: "pages", text: `     ${proc} ${mapping}: gone` });
        }
      }
    }
  }
  for (const [obj, letters] of Object.entries(after.objs)) {
    if (letters !== before.objs[obj]) lines.push(pagesLine(obj, before.objs[obj], letters));
  }
  return lines;
}

/** One detail line for each run of pages that changed from the same to the same. */
function entryChanges(
  mapping: string,
  before: readonly string[] | undefined,
  after: readonly string[],
  layout?: MarkerLayout,
): TableLine[] {
  const lines: TableLine[] = [];
  for (let first = 0, end: number; first < after.length; first = end) {
    end = first + 1;
    while (end < after.length && after[end] === after[first] && before?.[end] === before?.[first]) end++;
    if (after[first] === before?.[first]) continue;
    const pages = end - first === 1 ? `${first}` : `${first}-${end - 1}`;
    const now = describeEntry(after[first], layout);
    const was = before === undefined ? "" : `${describeEntry(before[first], layout)} -> `;
    lines.push({ kind: "detail", text: `       ${mapping}[${pages}]: ${was}${now}` });
  }
  return lines;
}

function pagesLine(label: string, before: string | undefined, after: string): TableLine {
  const was = before === undefined ? "" : `   was ${abridge(before)}`;
  return { kind: "pages", text: `     ${label.padEnd(LABEL_WIDTH)}${abridge(after)}${was}` };
}

/** What is too long for a line is told in runs: `P*300 .*212`. */
function abridge(letters: string): string {
  if (letters.length <= 64) return letters;
  return letters.replace(/(.)\1*/g, (run, letter) => `${letter}*${run.length} `).trimEnd();
}
