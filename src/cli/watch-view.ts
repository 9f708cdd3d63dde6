/** What `watch` shows, as lines of text: from its state and the size of the terminal, and nothing else. */

import pc from "picocolors";
import { PAGE_SIZE } from "../abi/mman.ts";
import { PAGE_STATES, type PageState } from "../residency/page-state.ts";
import type { ScannedMapping } from "../residency/scan.ts";
import { pagesOf } from "../residency/target.ts";
import { formatPages, formatSeconds, formatShort } from "./amount.ts";
import { historyLine } from "./history-line.ts";
import { drawPageMap, pageMapLegend, pagesPerCell, stateBar } from "./page-map.ts";
import { fitEnd, printable } from "./scan-words.ts";
import { type Look, pagesInSwap, type Rates, rowsOf, selectedRow, type WatchState } from "./watch-state.ts";

export interface ViewSize {
  readonly columns: number;
  /** Infinity: as many as there is to show. */
  readonly rows: number;
}

const ADDRESS_COLUMNS = 14;
/** What maps shows no name for. */
const NAMELESS = "(no name)";
const MAP_ROWS_MAX = 32;

const KEYS = "q quit  ↑↓ select  space pause  + - interval  ? legend";

export function viewLines(state: WatchState, size: ViewSize): string[] {
  const { look } = state;
  if (look === undefined) return [pc.bold("looking ...")];
  const head = [titleLine(state, look, size.columns), totalsLine(look, state.rates)];
  if (state.history.length > 1) head.push(historyOf(state, size.columns));
  const foot = size.rows === Number.POSITIVE_INFINITY ? [] : [pc.dim(KEYS)];
  const legend = state.showsLegend ? LEGEND : [];
  const rows = rowsOf(state);
  const selected = selectedRow(state, rows);
  const mapping = rows[selected];
  // Blank lines before the table and the map, the header of each, and the note.
  const room = size.rows - head.length - foot.length - legend.length - (mapping?.note ? 5 : 4);
  const mapRows = Math.max(
    1,
    Math.min(mapRowsWanted(mapping, size), room - Math.min(rows.length, room >> 1)),
  );
  const tableRows = Math.max(1, Math.min(rows.length, room - mapRows));
  const body = [
    "",
    ...tableLines(rows, selected, { columns: size.columns, rows: tableRows }),
    ...(mapping ? ["", ...mapLines(mapping, { columns: size.columns, rows: mapRows })] : []),
    ...legend,
  ];
  const lines = [...head, ...body];
  if (size.rows === Number.POSITIVE_INFINITY) return lines;
  const shown = lines.slice(0, size.rows - foot.length);
  while (shown.length < size.rows - foot.length) shown.push("");
  return [...shown, ...foot];
}

function mapRowsWanted(mapping: ScannedMapping | undefined, { columns }: ViewSize): number {
  const pages = mapping?.parts[0]?.states.length ?? 0;
  return Math.min(MAP_ROWS_MAX, Math.ceil(pages / mapColumns(columns)));
}

function mapColumns(columns: number): number {
  return Math.max(8, columns - ADDRESS_COLUMNS);
}

function titleLine(state: WatchState, { scan, tookMs, written }: Look, columns: number): string {
  const facts = [
    scan.time.toTimeString().slice(0, 8),
    state.isPaused ? "paused" : `every ${formatSeconds(state.intervalS)}`,
    written === undefined ? scan.detector : `${scan.detector}, attached`,
    `looked in ${tookMs.toFixed(tookMs < 10 ? 1 : 0)} ms`,
    `Linux ${scan.kernel}`,
  ];
  const who = `${scan.pid} ${printable(scan.name)}`;
  let rest = "";
  for (const fact of facts) {
    if (who.length + rest.length + fact.length + 2 > columns) break;
    rest += `  ${fact}`;
  }
  return `${pc.bold(who)}${state.isPaused ? pc.yellow(rest) : rest}`;
}

function totalsLine({ scan }: Look, rates: Rates | undefined): string {
  const { totals } = scan;
  const inSwap = pagesInSwap(scan);
  const inMemory = totals.present + totals.cached;
  const share = inSwap + inMemory === 0 ? 0 : Math.round((inSwap / (inSwap + inMemory)) * 100);
  const parts = [
    `in swap ${pc.bold(formatPages(inSwap))} (${share} %)`,
    `in memory ${formatPages(inMemory)}`,
  ];
  if (rates) {
    parts.push(`out ${perSecond(rates.swappedOut)}`, `in ${perSecond(rates.swappedIn)}`);
    if (rates.written !== undefined) parts.push(`written ${perSecond(rates.written)}`);
  }
  return parts.join("   ");
}

function perSecond(pages: number): string {
  return `${formatPages(pages)}/s`;
}

function historyOf({ history }: WatchState, columns: number): string {
  const highest = formatPages(Math.max(...history));
  const label = `in swap, up to ${highest}: `;
  return `${label}${pc.red(historyLine(history, Math.max(1, columns - label.length)))}`;
}

/** The states that have a column, with its title; the others share one, where there is room for it. */
const COLUMNS: ReadonlyMap<PageState, string> = new Map([
  ["present", "present"],
  ["cached", "cached"],
  ["swap-cached", "swapcache"],
  ["swapped", "swapped"],
  ["hole", "hole"],
]);
const OTHERS: readonly PageState[] = ["reserved", "on-disk", "unknown"];
const AMOUNT_MIN = 6;
const MARK_COLUMNS = 2;
/** From so many columns on, there is room for all. */
const WIDE_COLUMNS = 96;

/** How wide what is. */
interface TableLayout {
  readonly titles: readonly string[];
  readonly showsOthers: boolean;
  readonly kind: number;
  readonly bar: number;
  readonly name: number;
}

function layoutOf(columns: number): TableLayout {
  const isWide = columns >= WIDE_COLUMNS;
  const titles = ["size", ...COLUMNS.values(), ...(isWide ? ["other"] : [])];
  const kind = isWide ? 8 : 0;
  const left = columns - MARK_COLUMNS - kind - titles.reduce((sum, title) => sum + widthOf(title) + 1, 0);
  const bar = Math.max(6, Math.min(24, Math.floor(left / 3)));
  return { titles, showsOthers: isWide, kind, bar, name: Math.max(8, left - bar - 2) };
}

function widthOf(title: string): number {
  return Math.max(AMOUNT_MIN, title.length);
}

/** A header, and as many rows as there is room for: the selected one is among them. */
function tableLines(
  rows: readonly ScannedMapping[],
  selected: number,
  { columns, rows: room }: ViewSize,
): string[] {
  const layout = layoutOf(columns);
  const first = Math.max(0, Math.min(rows.length - room, selected - Math.floor(room / 2)));
  const shown = rows.slice(first, first + room);
  const hidden = rows.length - shown.length;
  const titles = layout.titles.map((title) => title.padStart(widthOf(title))).join(" ");
  const more = hidden === 0 ? "" : `, ${hidden} more`;
  const kind = "kind".slice(0, layout.kind).padEnd(layout.kind);
  const header = `  ${titles}  ${"".padEnd(layout.bar)} ${kind}mapping${more}`;
  return [pc.bold(header), ...shown.map((row, i) => tableLine(row, layout, first + i === selected))];
}

function tableLine({ mapping, counts }: ScannedMapping, layout: TableLayout, isSelected: boolean): string {
  const pages = [pagesOf(mapping), ...[...COLUMNS.keys()].map((state) => counts[state])];
  if (layout.showsOthers) pages.push(OTHERS.reduce((sum, state) => sum + counts[state], 0));
  const amounts = pages.map((count, i) => {
    const text = (count === 0 ? "-" : formatShort(count)).padStart(widthOf(layout.titles[i]));
    return layout.titles[i] === "swapped" && count > 0 ? pc.red(text) : text;
  });
  const kind = mapping.kind.slice(0, layout.kind).padEnd(layout.kind);
  const name = fitEnd(printable(mapping.name || NAMELESS), layout.name);
  const line = `${amounts.join(" ")}  ${stateBar(counts, layout.bar)} ${kind}`;
  return isSelected ? `${pc.bold("▸")} ${line}${pc.bold(name)}` : `  ${line}${name}`;
}

function mapLines({ mapping, parts, counts, note }: ScannedMapping, { columns, rows }: ViewSize): string[] {
  const name = printable(mapping.name || NAMELESS);
  // Of a mapping in parts (a very large one, mostly untouched) the first is drawn.
  const part = parts[0];
  if (part === undefined) return [`${pc.bold(name)}: untouched`];
  const layout = { columns: mapColumns(columns), rowsMax: rows };
  const cellPages = pagesPerCell(part.states.length, layout);
  const title = `${pc.bold(name)}, a cell is ${cellPages === 1 ? "a page" : `${formatPages(cellPages)}`}`;
  const drawn = drawPageMap(part.states, layout).map(
    ({ firstPage, cells }) => `${addressOf(part.mapping.start + firstPage * PAGE_SIZE)}  ${cells}`,
  );
  const present = PAGE_STATES.filter((state) => counts[state] > 0);
  return [
    `${title}   ${pageMapLegend(present)}`,
    ...drawn,
    ...(note === "" ? [] : [pc.dim(printable(note))]),
  ];
}

function addressOf(address: number): string {
  return pc.dim(address.toString(16).padStart(ADDRESS_COLUMNS - 2, "0"));
}

const LEGEND = [
  "",
  `${pc.bold("present")} mapped by this process; ${pc.bold("cached")} in memory, not mapped by it`,
  `${pc.bold("swapped")} only in swap; ${pc.bold("swapcache")} in swap, and a copy is in memory`,
  `${pc.bold("hole")} never written, or removed; ${pc.bold("other")} reserved, on a disk, or not known`,
  "out, in: what went to swap and came back since the look before",
];

export function snapshotLines(state: WatchState, columns: number): string[] {
  return viewLines({ ...state, showsLegend: false }, { columns, rows: Number.POSITIVE_INFINITY });
}
