import process from "node:process";
import pc from "picocolors";
import { getBorderCharacters, table } from "table";
import type { PageState, StateCounts } from "../residency/page-state.ts";
import type { ScannedMapping, TargetScan } from "../residency/scan.ts";
import { pagesOf } from "../residency/target.ts";
import { printable, STATE_COLUMNS } from "./scan-words.ts";

/** Shown even where nothing is in that state: these are what people look for. */
const ALWAYS_SHOWN: ReadonlySet<PageState> = new Set(["present", "cached", "swap-cached", "swapped", "hole"]);

const KIB_PER_PAGE = 4;
const WIDTH_DEFAULT = 120;
const NAME_MIN = 16;

/** The states that a table of these counts has columns for. */
export function statesShown(totals: StateCounts): PageState[] {
  return STATE_COLUMNS.filter((state) => ALWAYS_SHOWN.has(state) || totals[state] > 0);
}

/** KiB with separators; nothing is a dash. */
export function kib(pages: number): string {
  return pages === 0 ? pc.dim("-") : (pages * KIB_PER_PAGE).toLocaleString("en-US");
}

export function terminalWidth(): number {
  return process.stdout.columns ?? WIDTH_DEFAULT;
}

/** Rows of cells as lines: numbers to the right, the last column cut off where the terminal ends. */
export function columnsOf(rows: readonly (readonly string[])[], leftAligned: ReadonlySet<number>): string {
  const columns = rows[0].map((_, index) => ({
    alignment: leftAligned.has(index) ? ("left" as const) : ("right" as const),
  }));
  return table(
    rows.map((row) => [...row]),
    {
      border: getBorderCharacters("void"),
      columnDefault: { paddingLeft: 0, paddingRight: 2 },
      columns,
      drawHorizontalLine: () => false,
    },
  ).replace(/ +$/gm, "");
}

/** A table of a process's mappings, a row each, their totals, and the notes below. */
export function renderScan({ mappings, totals }: TargetScan): string {
  const states = statesShown(totals);
  const notes = new Footnotes();
  const header = ["address", "kind", "size", ...states, "object"].map((title) => pc.bold(title));
  const rows = mappings.map((one) => renderMapping(one, states, notes));
  const size = mappings.reduce((sum, { mapping }) => sum + pagesOf(mapping), 0);
  const total = ["total", "", kib(size), ...states.map((state) => kib(totals[state])), "KiB"].map(pc.bold);
  return `${columnsOf([header, ...rows, total], new Set([0, 1, states.length + 3]))}${notes.render()}`;
}

function renderMapping(
  { mapping, counts, note }: ScannedMapping,
  states: readonly PageState[],
  notes: Footnotes,
): string[] {
  const cells = states.map((state) => (state === "swapped" ? pc.red : String)(kib(counts[state])));
  const sharing = mapping.kind === "shmem" && !mapping.shared ? " private" : "";
  const mark = note === "" ? "" : pc.dim(` ${notes.mark(note)}`);
  const address = mapping.start.toString(16).padStart(12, "0");
  return [
    address,
    `${mapping.kind}${sharing}`,
    kib(pagesOf(mapping)),
    ...cells,
    `${shorten(mapping.name)}${mark}`,
  ];
}

/** The end of a name tells more than its beginning. */
function shorten(name: string): string {
  const plain = printable(name);
  const longest = Math.max(NAME_MIN, terminalWidth() - 80);
  return plain.length <= longest ? plain : `…${plain.slice(1 - longest)}`;
}

/** Notes below a table, each told once. */
export class Footnotes {
  readonly #notes: string[] = [];

  mark(note: string): string {
    let index = this.#notes.indexOf(note);
    if (index < 0) index = this.#notes.push(note) - 1;
    return `[${index + 1}]`;
  }

  render(): string {
    return this.#notes.map((note, index) => pc.dim(`[${index + 1}] ${note}\n`)).join("");
  }
}
