import { expect, test } from "vitest";
import {
  ARMED,
  CACHED,
  countStates,
  HOLE,
  MARKED,
  PRESENT,
  STALE,
  SWAPPED,
  UNKNOWN,
  WRITTEN,
} from "./page-state.ts";
import { reportOf, runsOf } from "./report.ts";
import type { TargetScan } from "./scan.ts";
import type { Mapping } from "./target.ts";

const MAPPING: Mapping = {
  start: 0x10000,
  end: 0x16000,
  kind: "shmem",
  shared: true,
  objectId: "00:01:7",
  name: "memfd:x",
  objectFirstPage: 0,
};

function scanOf(pid: number, mapping: Mapping, bytes: readonly number[], note = ""): TargetScan {
  const states = Uint8Array.from(bytes);
  const counts = countStates(states);
  const part = { mapping, states, counts, asked: 0, note };
  return {
    pid,
    name: "holder",
    kernel: "6.18",
    time: new Date(0),
    detector: "exact",
    mappings: [{ mapping, parts: [part], counts, note }],
    totals: counts,
    vanished: [],
  };
}

test("the JSON of a scan", () => {
  const scan = scanOf(
    42,
    MAPPING,
    [PRESENT, PRESENT | ARMED, SWAPPED, HOLE | MARKED | STALE, CACHED, UNKNOWN],
    "why",
  );
  const states = {
    unknown: 1,
    present: 2,
    cached: 1,
    "swap-cached": 0,
    swapped: 1,
    hole: 1,
    reserved: 0,
    "on-disk": 0,
  };
  expect(JSON.parse(JSON.stringify(reportOf(scan)))).toEqual({
    pid: 42,
    name: "holder",
    kernel: "6.18",
    time: "1970-01-01T00:00:00.000Z",
    detector: "exact",
    mappings: [
      { start: "0x10000", end: "0x16000", kind: "shmem", object: "memfd:x", pages: 6, states, note: "why" },
    ],
    totals: states,
  });
});

test("runs of equal pages, flags included", () => {
  const { parts } = scanOf(1, MAPPING, [
    PRESENT | WRITTEN,
    PRESENT | WRITTEN,
    PRESENT | ARMED,
    SWAPPED | MARKED,
    SWAPPED | MARKED,
    HOLE | MARKED | STALE,
  ]).mappings[0];
  const flags = { isArmed: false, isWritten: false, isMarked: false, isStale: false };
  expect([...runsOf(parts[0])]).toEqual([
    { ...flags, start: 0x10000, pages: 2, state: "present", isWritten: true },
    { ...flags, start: 0x12000, pages: 1, state: "present", isArmed: true },
    { ...flags, start: 0x13000, pages: 2, state: "swapped", isMarked: true },
    { ...flags, start: 0x15000, pages: 1, state: "hole", isMarked: true, isStale: true },
  ]);
});
