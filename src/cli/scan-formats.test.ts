import { expect, test } from "vitest";
import { noCounts } from "../residency/page-state.ts";
import type { ProcessScan } from "./process-scan.ts";
import {
  csvLine,
  MAPPING_CSV_HEADER,
  RUN_CSV_HEADER,
  runToCsv,
  scanToCsv,
  scanToJson,
} from "./scan-formats.ts";

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
const scan: ProcessScan = {
  pid: 4711,
  name: "postgres",
  time: new Date(Date.UTC(2026, 0, 2, 3, 4, 5, 6)),
  detector: "exact",
  mappings: [{ mapping, counts, note: "a note" }],
  totals: counts,
  changes: [],
};
const STATES =
  '{"present":1,"cached":0,"swap-cached":0,"swapped":2,"hole":0,"reserved":0,"on-disk":0,"unknown":0}';

test("JSON is on one line, with every state", () => {
  expect(scanToJson(scan, "6.18", new Map())).toBe(
    '{"pid":4711,"name":"postgres","kernel":"6.18","time":"2026-01-02T03:04:05.006Z","detector":"exact","mappings":' +
      '[{"start":"0x7f0000000000","end":"0x7f0000003000","kind":"shmem","object":"memfd:a \\"b\\", c","pages":3,' +
      `"states":${STATES},"note":"a note"}],"totals":${STATES}}`,
  );
});

test("JSON with runs has them in their mapping, by address", () => {
  const run = { first: 1, pages: 2, state: "swapped", flags: ["marked"] } as const;
  const { mappings } = JSON.parse(scanToJson(scan, "6.18", new Map([[mapping, [run]]])));
  expect(mappings[0].runs).toEqual([
    { start: "0x7f0000001000", pages: 2, state: "swapped", flags: ["marked"] },
  ]);
});

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
  expect(runToCsv(scan, mapping, { first: 2, pages: 1, state: "hole", flags: ["marked", "stale"] })).toBe(
    '4711,postgres,0x7f0000002000,1,hole,marked stale,shmem,"memfd:a ""b"", c"\n',
  );
});
