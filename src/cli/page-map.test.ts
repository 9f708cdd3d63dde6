import { stripVTControlCharacters } from "node:util";
import { describe, expect, test } from "vitest";
import {
  ARMED,
  CACHED,
  HOLE,
  noCounts,
  PRESENT,
  STALE,
  type StateCounts,
  SWAPPED,
  UNKNOWN,
} from "../residency/page-state.ts";
import { drawPageMap, pageMapLegend, pagesPerCell, stateBar } from "./page-map.ts";

const LETTERS = { inColour: false };

function letters(states: readonly number[], columns: number, rowsMax: number): string[] {
  return drawPageMap(Uint8Array.from(states), { columns, rowsMax, ...LETTERS }).map(
    ({ firstPage, cells }) => `${firstPage} ${cells}`,
  );
}

describe("cells", () => {
  test("stand for a power of two of pages, as few as fit", () => {
    const layout = { columns: 10, rowsMax: 3 };
    expect([1, 30, 31, 60, 61, 2 ** 30].map((pages) => pagesPerCell(pages, layout))).toEqual([
      1,
      1,
      2,
      2,
      4,
      2 ** 26,
    ]);
  });

  test("of a page have its state; flags make no difference", () => {
    const states = [PRESENT, PRESENT | ARMED, CACHED, SWAPPED, HOLE, UNKNOWN, CACHED | STALE];
    expect(letters(states, 3, 4)).toEqual(["0 PPC", "3 S.?", "6 C"]);
  });

  test("of several have the most frequent state, and show that they are mixed", () => {
    const states = [
      PRESENT,
      PRESENT,
      SWAPPED,
      PRESENT,
      SWAPPED,
      SWAPPED,
      HOLE,
      HOLE,
      HOLE,
      CACHED,
      HOLE,
      HOLE,
    ];
    expect(letters(states, 2, 2)).toEqual(["0 ps", "8 :"]);
    expect(letters([SWAPPED, SWAPPED, SWAPPED, SWAPPED, SWAPPED], 1, 1)).toEqual(["0 S"]);
  });

  test("are never more than the rows allow, and all pages are drawn", () => {
    for (const pages of [1, 7, 64, 65, 1000, 4097]) {
      const rows = drawPageMap(new Uint8Array(pages).fill(PRESENT), { columns: 8, rowsMax: 4, ...LETTERS });
      const cells = rows.map(({ cells }) => cells).join("");
      expect(rows.length).toBeLessThanOrEqual(4);
      expect(cells).toBe("P".repeat(Math.ceil(pages / pagesPerCell(pages, { columns: 8, rowsMax: 4 }))));
    }
  });
});

test("in colours, like cells are painted at once, and of a mixed cell both states are seen", () => {
  const states = Uint8Array.from([PRESENT, PRESENT, PRESENT, PRESENT, SWAPPED, SWAPPED, PRESENT, SWAPPED]);
  const [row] = drawPageMap(states, { columns: 4, rowsMax: 1, inColour: true });
  const [green, red, redBehind] = ["\u001b[32m", "\u001b[31m", "\u001b[41m"];
  expect(stripVTControlCharacters(row.cells)).toBe("███▚");
  expect(row.cells.startsWith(`${green}██\u001b[39m${red}█`)).toBe(true);
  expect(row.cells).toContain(`${redBehind}${green}▚`);
});

test("the legend names the states that are there", () => {
  const legend = pageMapLegend(["present", "swapped"], false);
  expect(legend).toBe("P present  S swapped  small letters, : and ! mixed");
  expect(pageMapLegend(["swapped"], true)).toContain("\u001b[31m█\u001b[39m swapped");
});

describe("a bar", () => {
  const bar = (counts: Partial<StateCounts>) => stateBar({ ...noCounts(), ...counts }, 10, false);

  test("has the shares of the states", () => {
    expect(bar({ present: 50, swapped: 30, hole: 20 })).toBe("PPPPPSSS..");
    expect(bar({ unknown: 1, cached: 1 })).toBe("CCCCC?????");
  });

  test("is as long as it is told", () => {
    expect(bar({ present: 1, cached: 1, swapped: 1 })).toHaveLength(10);
    expect(bar({ present: 1000, swapped: 1 })).toBe("PPPPPPPPPP");
    expect(bar({})).toBe(" ".repeat(10));
  });
});
