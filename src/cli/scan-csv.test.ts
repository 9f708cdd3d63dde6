import { expect, test } from "vitest";
import { noCounts } from "../residency/page-state.ts";
import type { TargetScan } from "../residency/scan.ts";
import { csvLine, MAPPING_CSV_HEADER, RUN_CSV_HEADER, runToCsv, scanToCsv } from "./scan-csv.ts";

const mapping = {
  start: 0x7f00_0000_0000,
  end: 0x7f00_0000_3000,
  kind: "shmem",
  shared: true,
  objectId: "00:01:7",
  name: 'memfd:a "b", c',
  objectFirstPage: 0,
} as const;
const counts = { ...noCounts(), present: 1, swapped: 2 };
const scan: TargetScan = {
  pid: 4711,
  name: "postgres",
  time: new Date(Date.UTC(2026, 0, 2, 3, 4, 5, 6)),
  detector: "exact",
  kernel: "6.18",
  mappings: [{ mapping, parts: [], counts, note: "a note" }],
  totals: counts,
  vanished: [],
};
test("CSV has as many fields as its header, and quotes what needs it", () => {
  expect(MAPPING_CSV_HEADER).toBe(
    "pid,name,start,end,kind,object,pages,present,cached,swap-cached,swapped,hole,reserved,on-disk,unknown,note\n",
  );
  expect(scanToCsv(scan)).toBe(
    '4711,postgres,0x7f0000000000,0x7f0000003000,shmem,"memfd:a ""b"", c",3,1,0,0,2,0,0,0,0,a note\n',
  );
  expect(csvLine(["a\nb", "c", 1])).toBe('"a\nb",c,1\n');
});

test("CSV of runs", () => {
  expect(RUN_CSV_HEADER).toBe("pid,name,start,pages,state,flags,kind,object\n");
  const flags = { isArmed: false, isWritten: false, isMarked: true, isStale: true };
  expect(runToCsv(scan, mapping, { start: 0x7f00_0000_2000, pages: 1, state: "hole", ...flags })).toBe(
    '4711,postgres,0x7f0000002000,1,hole,marked stale,shmem,"memfd:a ""b"", c"\n',
  );
});
