import { stripVTControlCharacters } from "node:util";
import { describe, expect, test } from "vitest";
import { addCounts, noCounts, type StateCounts } from "../residency/page-state.ts";
import type { ScannedMapping, TargetScan } from "../residency/scan.ts";
import { columnsOf, Footnotes, grouped, renderScan, statesShown } from "./scan-table.ts";

function mapping(pages: number, counts: Partial<StateCounts>, more: Partial<ScannedMapping["mapping"]> = {}) {
  return {
    mapping: {
      start: 0x7f00_0000_0000,
      end: 0x7f00_0000_0000 + pages * 4096,
      kind: "shmem" as const,
      shared: true,
      objectId: "00:01:7",
      name: "memfd:ram",
      objectFirstPage: 0,
      ...more,
    },
    parts: [],
    counts: { ...noCounts(), ...counts },
    note: "",
  };
}

function render(mappings: readonly ScannedMapping[]): string[] {
  const totals = noCounts();
  for (const { counts } of mappings) addCounts(totals, counts);
  const scan: TargetScan = {
    pid: 1,
    name: "p",
    kernel: "6.18",
    time: new Date(0),
    detector: "exact",
    mappings,
    totals,
    vanished: [],
  };
  return stripVTControlCharacters(renderScan(scan)).trimEnd().split("\n");
}

describe("a table of mappings", () => {
  test("in KiB, with totals; a column a state, those that nothing is in left out", () => {
    const table = render([mapping(2 ** 18, { present: 2 ** 18 - 1, swapped: 1 }), mapping(3, { hole: 3 })]);
    expect(table).toEqual([
      "address       kind        size    present  cached  swap-cached  swapped  hole  object",
      "7f0000000000  shmem  1,048,576  1,048,572       -            -        4     -  memfd:ram",
      "7f0000000000  shmem         12          -       -            -        -    12  memfd:ram",
      "total                1,048,588  1,048,572       -            -        4    12  KiB",
    ]);
    expect(statesShown({ ...noCounts(), reserved: 1, unknown: 2 }).slice(-2)).toEqual([
      "reserved",
      "unknown",
    ]);
  });

  test("names each note once, below", () => {
    const noted = { ...mapping(1, { unknown: 1 }), note: "why not" };
    const table = render([noted, mapping(1, { present: 1 }), noted, { ...noted, note: "another" }]);
    expect(table.map((line) => line.slice(line.lastIndexOf("memfd:ram")))).toEqual(
      expect.arrayContaining(["memfd:ram [1]", "memfd:ram", "memfd:ram [2]"]),
    );
    expect(table.slice(-2)).toEqual(["[1] why not", "[2] another"]);
  });

  test("tells a private mapping of shared memory, and lets no name write on the terminal", () => {
    const table = render([mapping(1, { present: 1 }, { shared: false, name: "/dev/shm/\u001b[2Jx" })]);
    expect(table[1]).toContain("shmem private");
    expect(table[1]).toContain("/dev/shm/?[2Jx");
  });
});

test("in a file, names are whole", () => {
  expect(render([mapping(1, { present: 1 }, { name: "n".repeat(500) })])[1]).toContain("n".repeat(500));
});

test("columns are as wide as what is seen of them", () => {
  const text = columnsOf(
    [
      ["a", "number"],
      ["\u001b[31mlonger\u001b[39m", "1"],
    ],
    new Set([0]),
  );
  expect(stripVTControlCharacters(text)).toBe("a       number\nlonger       1\n");
});

test("thousands are grouped", () => {
  expect([0, 12, 999, 1000, 123456, 1234567890].map(grouped)).toEqual([
    "0",
    "12",
    "999",
    "1,000",
    "123,456",
    "1,234,567,890",
  ]);
});

test("notes are numbered as they come", () => {
  const notes = new Footnotes();
  expect(["a", "b", "a"].map((note) => notes.mark(note))).toEqual(["[1]", "[2]", "[1]"]);
  expect(stripVTControlCharacters(notes.render())).toBe("[1] a\n[2] b\n");
});
