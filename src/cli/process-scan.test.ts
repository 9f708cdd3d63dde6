import { describe, expect, test } from "vitest";
import { LinuxError } from "../linux/linux-error.ts";
import type { Detector } from "../residency/detector.ts";
import { countStates, HOLE, PRESENT } from "../residency/page-state.ts";
import { type Mapping, pagesOf, type Target } from "../residency/target.ts";
import { scanProcess } from "./process-scan.ts";

const PAGE = 4096;

function mapping(firstPage: number, pages: number, name = "memfd:a"): Mapping {
  return {
    start: firstPage * PAGE,
    end: (firstPage + pages) * PAGE,
    kind: "shmem",
    shared: true,
    objectId: "00:01:7",
    name,
    objectFirstPage: 0,
  };
}

/** A process whose mappings are these, and those the next time they are asked for. */
function target(...lists: readonly (readonly Mapping[] | LinuxError)[]): Target {
  let asked = 0;
  const known: Pick<Target, "pid" | "name" | "mappings"> = {
    pid: 42,
    name: "a process",
    mappings() {
      const list = lists[Math.min(asked++, lists.length - 1)];
      if (list instanceof LinuxError) throw list;
      return [...list];
    },
  };
  return known as Target; // no more of it is asked
}

const scannedPages: number[] = [];

/** Finds the first page of each mapping present, and holes in the rest. */
const detector: Detector = {
  name: "exact",
  scan(mapping) {
    scannedPages.push(pagesOf(mapping));
    const states = new Uint8Array(pagesOf(mapping)).fill(HOLE);
    states[0] = PRESENT;
    return { mapping, states, counts: countStates(states), note: "" };
  },
};

describe("a scan", () => {
  test("looks at each mapping once and adds up", () => {
    scannedPages.length = 0;
    const progress: string[] = [];
    const mappings = [mapping(0, 3), mapping(10, 5)];
    const scan = scanProcess(target(mappings), detector, {
      onProgress: (done, pages) => progress.push(`${done}/${pages}`),
    });
    expect(scannedPages).toEqual([3, 5]);
    expect(scan).toMatchObject({ pid: 42, name: "a process", detector: "exact", changes: [] });
    expect(scan.totals).toMatchObject({ present: 2, hole: 6, swapped: 0 });
    expect(progress).toEqual(["3/8", "8/8"]);
  });

  test("hands out the pages of the mappings that are wanted", () => {
    const seen: string[] = [];
    scanProcess(target([mapping(0, 1, "a"), mapping(1, 2, "b")]), detector, {
      isWanted: ({ name }) => name === "b",
      onMapping: ({ mapping, states }) => seen.push(`${mapping.name} ${states}`),
    });
    expect(seen).toEqual([`b ${PRESENT},${HOLE}`]);
  });
});

describe("what changes under a scan is told", () => {
  const changed = "unmapped, moved or resized while the process was scanned";

  test("a mapping that is gone, and one that came", () => {
    const scan = scanProcess(
      target([mapping(0, 1), mapping(5, 2)], [mapping(0, 1), mapping(9, 2)]),
      detector,
    );
    expect(scan.mappings.map(({ note }) => note)).toEqual(["", changed]);
    expect(scan.changes).toEqual([
      "1 mapping changed while the process was scanned",
      "1 mapping came up meanwhile and is not told of",
    ]);
  });

  test("one that was resized is both", () => {
    const { mappings, changes } = scanProcess(target([mapping(0, 4)], [mapping(0, 8)]), detector);
    expect(mappings[0].note).toBe(changed);
    expect(changes).toHaveLength(2);
  });

  test.each([
    ["and reaped", new LinuxError({ code: "ESRCH", call: "read maps" })],
    ["and a zombie", []],
  ])("a process that has ended %s", (_, then) => {
    const { changes, mappings } = scanProcess(target([mapping(0, 1)], then), detector);
    expect(changes).toEqual(["the process ended while it was scanned"]);
    expect(mappings).toHaveLength(1);
  });

  test("what is not wanted may change", () => {
    const scan = scanProcess(target([mapping(0, 1), mapping(1, 1, "b")], [mapping(0, 1)]), detector, {
      isWanted: ({ name }) => name !== "b",
    });
    expect(scan.changes).toEqual([]);
  });

  test("a process that had ended before is an error", () => {
    const ended = target(new LinuxError({ code: "ESRCH", call: "read maps" }));
    expect(() => scanProcess(ended, detector)).toThrow("ESRCH");
  });
});
