/**
 * A mapping drawn in the terminal: each cell is a run of pages, in the colour of the state that most of them
 * have. In a mixed cell the second most shows through. Without colours, letters: small ones for mixed cells.
 */

import pc from "picocolors";
import { PAGE_STATES, type PageState, STATE_MASK, type StateCounts } from "../residency/page-state.ts";

type Paint = (text: string) => string;

interface Look {
  readonly letter: string;
  /** Of a cell in which other states are too. */
  readonly mixedLetter: string;
  readonly paint: Paint;
  readonly paintBehind: Paint;
}

/** Colours, wanted or not: whether they are is asked where something is drawn. */
const colours = pc.createColors(true);

const LOOKS: Readonly<Record<PageState, Look>> = {
  present: { letter: "P", mixedLetter: "p", paint: colours.green, paintBehind: colours.bgGreen },
  cached: { letter: "C", mixedLetter: "c", paint: colours.cyan, paintBehind: colours.bgCyan },
  "swap-cached": { letter: "W", mixedLetter: "w", paint: colours.yellow, paintBehind: colours.bgYellow },
  swapped: { letter: "S", mixedLetter: "s", paint: colours.red, paintBehind: colours.bgRed },
  hole: { letter: ".", mixedLetter: ":", paint: colours.gray, paintBehind: colours.bgBlackBright },
  reserved: { letter: "R", mixedLetter: "r", paint: colours.blue, paintBehind: colours.bgBlue },
  "on-disk": { letter: "D", mixedLetter: "d", paint: colours.magenta, paintBehind: colours.bgMagenta },
  unknown: { letter: "?", mixedLetter: "!", paint: colours.white, paintBehind: colours.bgWhite },
};

const FULL = "█";
const HALF = "▚";

/** How pages are laid out in cells. */
export interface PageMapLayout {
  /** Cells a row. */
  readonly columns: number;
  /** Rows at most; cells get more pages instead. */
  readonly rowsMax: number;
  /**
   * Whether to draw in colours; by default where the terminal has them and the user has not said NO_COLOR.
   */
  readonly inColour?: boolean;
}

/** A row of cells, and the page that its first cell begins with. */
export interface PageMapRow {
  readonly firstPage: number;
  readonly cells: string;
}

/** How many pages a cell stands for: a power of two, so that cells and huge pages meet. */
export function pagesPerCell(
  pages: number,
  { columns, rowsMax }: Pick<PageMapLayout, "columns" | "rowsMax">,
): number {
  let perCell = 1;
  while (pages > perCell * columns * rowsMax) perCell *= 2;
  return perCell;
}

/** Draws a mapping's states, a byte a page. */
export function drawPageMap(states: Uint8Array, layout: PageMapLayout): PageMapRow[] {
  const { columns, inColour = pc.isColorSupported } = layout;
  const perCell = pagesPerCell(states.length, layout);
  const perRow = perCell * columns;
  const rows: PageMapRow[] = [];
  for (let firstPage = 0; firstPage < states.length; firstPage += perRow) {
    const row = states.subarray(firstPage, firstPage + perRow);
    rows.push({ firstPage, cells: drawRow(row, perCell, inColour) });
  }
  return rows;
}

/** What a cell shows: its most frequent state, and the next or -1. */
interface Cell {
  readonly first: number;
  readonly second: number;
}

/** Cells that look alike are painted together: a terminal is sent as little as may be. */
function drawRow(states: Uint8Array, perCell: number, inColour: boolean): string {
  const paintCells = inColour ? inColours : inLetters;
  let text = "";
  let alike: Cell = { first: -1, second: -1 };
  let count = 0;
  for (let page = 0; page < states.length; page += perCell) {
    const cell = cellOf(states, page, Math.min(page + perCell, states.length));
    if (cell.first !== alike.first || cell.second !== alike.second) {
      if (count > 0) text += paintCells(alike, count);
      alike = cell;
      count = 0;
    }
    count++;
  }
  return count > 0 ? text + paintCells(alike, count) : text;
}

function inColours({ first, second }: Cell, count: number): string {
  const { paint } = LOOKS[PAGE_STATES[first]];
  if (second < 0) return paint(FULL.repeat(count));
  return LOOKS[PAGE_STATES[second]].paintBehind(paint(HALF.repeat(count)));
}

function inLetters({ first, second }: Cell, count: number): string {
  const { letter, mixedLetter } = LOOKS[PAGE_STATES[first]];
  return (second < 0 ? letter : mixedLetter).repeat(count);
}

const histogram = new Uint32Array(PAGE_STATES.length);

function cellOf(states: Uint8Array, from: number, end: number): Cell {
  const mask = STATE_MASK | 0;
  histogram.fill(0);
  for (let page = from; page < end; page++) histogram[states[page] & mask]++;
  const first = mostFrequent(-1);
  const second = mostFrequent(first);
  return { first, second: histogram[second] > 0 ? second : -1 };
}

/** The state that most pages of the histogram have, another one than `except`. */
function mostFrequent(except: number): number {
  let most = except === 0 ? 1 : 0;
  for (let state = most + 1; state < histogram.length; state++) {
    if (state !== except && histogram[state] > histogram[most]) most = state;
  }
  return most;
}

/** Explains the cells of the states that are there. */
export function pageMapLegend(states: readonly PageState[], inColour = pc.isColorSupported): string {
  const entries = states.map((state) => {
    const { letter, paint } = LOOKS[state];
    return `${inColour ? paint(FULL) : letter} ${state}`;
  });
  const mixed = inColour ? `${HALF} mixed, of the two most frequent` : "small letters, : and ! mixed";
  return [...entries, mixed].join("  ");
}

/**
 * The shares that states have, as a bar: in the order of {@link PAGE_STATES}, but what is unknown is last.
 */
export function stateBar(counts: StateCounts, columns: number, inColour = pc.isColorSupported): string {
  const [unknown, ...known] = PAGE_STATES;
  const order = [...known, unknown];
  const total = order.reduce((sum, state) => sum + counts[state], 0);
  let bar = "";
  let sum = 0;
  let drawn = 0;
  for (const state of order) {
    sum += counts[state];
    const end = total === 0 ? 0 : Math.round((sum / total) * columns);
    const { letter, paint } = LOOKS[state];
    if (end > drawn) bar += inColour ? paint(FULL.repeat(end - drawn)) : letter.repeat(end - drawn);
    drawn = end;
  }
  return bar + " ".repeat(columns - drawn);
}
