import process from "node:process";
import { stripVTControlCharacters } from "node:util";
import pc from "picocolors";
import type { PageState, StateCounts } from "../residency/page-state.ts";
import type { ScannedMapping, TargetScan } from "../residency/scan.ts";
import { pagesOf } from "../residency/target.ts";
import { fitEnd, printable, STATE_COLUMNS } from "./scan-words.ts";

/** Shown even where nothing is in that state: these are what people look for. */
const ALWAYS_SHOWN: ReadonlySet<PageState> = new Set(["present", "cached", "swap-cached", "swapped", "hole"]);

const KIB_PER_PAGE = 4;
const WIDTH_DEFAULT = 120;
const NAME_MIN = 16;
/** What the other columns take, more or less. */
const BESIDE_NAME = 80;

/** The states that a table of these counts has columns for. */
export function statesShown(totals: StateCounts): PageState[] {
  return STATE_COLUMNS.filter((state) => ALWAYS_SHOWN.has(state) || totals[state] > 0);
}

/** KiB; nothing is a dash. */
export function kib(pages: number): string {
  return pages === 0 ? pc.dim("-") : grouped(pages * KIB_PER_PAGE);
}

/** What is swapped stands out. */
export function inColumn(state: PageState, counts: StateCounts): string {
  const amount = kib(counts[state]);
  return state === "swapped" && counts.swapped > 0 ? pc.red(amount) : amount;
}

/**
 * 1234567 as 1,234,567. Not by toLocaleString: that loads the languages of the world, for longer than a scan
 * takes.
 */
export function grouped(number: number): string {
  return String(number).replace(/\B(?=(\d{3})+$)/g, ",");
}

export function terminalWidth(): number {
  return process.stdout.columns ?? WIDTH_DEFAULT;
}

/**
 * Rows of cells as lines, numbers to the right. By hand: a process may have thousands of mappings, and the
 * package that draws our other tables takes as long to load and to draw as all the rest of a small scan.
 */
export function columnsOf(rows: readonly (readonly string[])[], leftAligned: ReadonlySet<number>): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => widthOf(row[column]))));
  const lines = rows.map((row) => {
    const cells = row.map((cell, column) => {
      const padding = " ".repeat(widths[column] - widthOf(cell));
      return leftAligned.has(column) ? cell + padding : padding + cell;
    });
    return cells.join("  ").trimEnd();
  });
  return `${lines.join("\n")}\n`;
}

function widthOf(cell: string): number {
  return cell.includes("\u001b") ? stripVTControlCharacters(cell).length : cell.length;
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
  const cells = states.map((state) => inColumn(state, counts));
  const sharing = mapping.kind === "shmem" && !mapping.shared ? " private" : "";
  const mark = note === "" ? "" : pc.dim(` ${notes.mark(note)}`);
  const address = mapping.start.toString(16).padStart(12, "0");
  return [
    address,
    `${mapping.kind}${sharing}`,
    kib(pagesOf(mapping)),
    ...cells,
    `${fitEnd(printable(mapping.name), nameColumns())}${mark}`,
  ];
}

/** So that a line fits in the terminal; in a file names are whole. */
function nameColumns(): number {
  const { columns } = process.stdout;
  return columns === undefined ? Number.POSITIVE_INFINITY : Math.max(NAME_MIN, columns - BESIDE_NAME);
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
