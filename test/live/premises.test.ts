/** What the exact detector relies on, on this kernel. */
import { expect, test } from "vitest";
import { ZramSwap } from "../../src/linux/index.ts";
import {
  countSwapIns,
  markerSwapType,
  removalsAreStamped,
  swapInsAreCounted,
} from "../../src/residency/premises.ts";
import { LIVE_TIMEOUT_MS, needsRoot, needsZram } from "../support/live.ts";
import { SharedMemory, touchEveryPage } from "../support/shared-memory.ts";

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

test("the type of markers is above all types of swap areas", (context) => {
  needsRoot(context);
  expect(markerSwapType()).toBeGreaterThanOrEqual(22);
});
