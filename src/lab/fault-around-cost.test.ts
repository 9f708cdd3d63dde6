import { expect, test } from "vitest";
import { FAULT_AROUND_PAGES, measureFaultAround } from "./fault-around-cost.ts";
import { costOf } from "./reference-costs.ts";

const rows = measureFaultAround();
const row = (name: string, stride: number) => {
  const found = rows.find((one) => one.name === name && one.stride === stride);
  if (found === undefined) throw new Error(`no row ${name}`);
  return found;
};

test("the faults are those of the real kernels", () => {
  const dense = costOf("sequential read, back in the page cache by another process");
  const off = costOf("sequential read, back in the page cache by another process, fault-around off");
  const sparse = costOf("sparse read, 1 page in 16, back in the page cache by another process");
  expect(row("no markers", 1).minorFaults).toBe(dense.stockFaults);
  expect(row("markers", 1).minorFaults).toBe(dense.rfcFaults);
  expect(row("no markers, fault-around off", 1).minorFaults).toBe(off.stockFaults);
  expect(row("markers, fault-around off", 1).minorFaults).toBe(off.rfcFaults);
  expect(row("no markers", 16).minorFaults).toBe(sparse.stockFaults);
  expect(row("markers", 16).minorFaults).toBe(sparse.rfcFaults);
});

test("filling markers gives fault-around back, and leaves no marker that is stale", () => {
  const filled = "markers, and fault-around fills them";
  expect(row(filled, 1)).toMatchObject({ minorFaults: 1024, pagesMapped: FAULT_AROUND_PAGES });
  expect(row(filled, 16)).toMatchObject({
    minorFaults: 1024,
    staleBefore: FAULT_AROUND_PAGES,
    staleAfter: 0,
  });
  expect(row("markers", 16).staleAfter).toBe((FAULT_AROUND_PAGES * 15) / 16);
});
