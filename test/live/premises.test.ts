/** What the exact detector relies on, on this kernel. */
import { fstatSync } from "node:fs";
import process from "node:process";
import { expect, test } from "vitest";
import { MADV } from "../../src/abi/index.ts";
import { drainLruBatches, ZramSwap } from "../../src/linux/index.ts";
import { SharedMemory, touchEveryPage } from "../../src/linux/shared-memory.ts";
import { ExactDetector, LinuxTarget, type Mapping } from "../../src/residency/index.ts";
import {
  countSwapIns,
  markerSwapType,
  removalsAreStamped,
  swapInsAreCounted,
} from "../../src/residency/premises.ts";
import { LIVE_TIMEOUT_MS, needsRoot, needsZram } from "../support/live.ts";

test("every read from swap is counted", { timeout: LIVE_TIMEOUT_MS }, async (context) => {
  needsZram(context);
  using _zram = await ZramSwap.create({ sizeBytes: 16 << 20, waitMs: LIVE_TIMEOUT_MS });
  expect(swapInsAreCounted()).toBe(true);
  using memory = new SharedMemory(64);
  for (let page = 0; page < 64; page++) memory.touch(page);
  memory.words.fill(0, 0, 16 * 1024); // pages of zeros are not written to the device, and are counted apart
  memory.pageOut();
  const before = countSwapIns() ?? 0;
  touchEveryPage(memory.words);
  expect((countSwapIns() ?? 0) - before).toBe(64);
});

test("a removal shows in an object's stamp", () => {
  expect(removalsAreStamped()).toBe(true);
});

test("what does not show: reclaim drops a page that was only read, and another is filled", {
  timeout: LIVE_TIMEOUT_MS,
}, async (context) => {
  needsZram(context);
  using _zram = await ZramSwap.create({ sizeBytes: 16 << 20, waitMs: LIVE_TIMEOUT_MS });
  using memory = new SharedMemory(4);
  using target = LinuxTarget.open(process.pid);
  const mapping = target.mappings().find(({ start }) => start === memory.address) as Mapping;
  const exact = new ExactDetector(target, { settleMs: 0 });
  expect(memory.words[0]).toBe(0);
  const before = fstatSync(memory.fd, { bigint: true });
  exact.scan(mapping);
  drainLruBatches();
  memory.madvise(0, 1, MADV.PAGEOUT);
  expect(exact.scan(mapping).counts).toMatchObject({ hole: 4 });
  expect(memory.words[2 * 1024]).toBe(0);
  memory.madvise(2, 1, MADV.DONTNEED); // filled, and not mapped here
  const after = fstatSync(memory.fd, { bigint: true });
  expect([after.blocks, after.ctimeNs]).toEqual([before.blocks, before.ctimeNs]);
  expect(exact.scan(mapping).counts).toMatchObject({ hole: 3, cached: 1 });
});

test("the type of markers is above all types of swap areas", (context) => {
  needsRoot(context);
  expect(markerSwapType()).toBeGreaterThanOrEqual(22);
});
