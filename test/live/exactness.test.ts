/** The detectors on random histories of real processes, on swap without and with a swap cache. */
import process from "node:process";
import { afterEach, describe, expect, onTestFinished, test } from "vitest";
import { ExactnessFailure, type ExactnessTally, newTally, runHistory } from "../../src/lab/exactness.ts";
import { LiveHost } from "../../src/lab/live-host.ts";
import { MemoryCgroup, PageCacheView, SwapFile, type SwapSpace, ZramSwap } from "../../src/linux/index.ts";
import { LinuxTarget } from "../../src/residency/index.ts";
import { LIVE_TIMEOUT_MS, needs } from "../support/live.ts";

/** `npm run exactness` runs more. */
const HISTORIES = Number(process.env.PTEMARK_HISTORIES ?? 25);
const SEED = Number(process.env.PTEMARK_SEED ?? 1);
const SWAP = { sizeBytes: 64 << 20, waitMs: LIVE_TIMEOUT_MS };
const TIMEOUT_MS = LIVE_TIMEOUT_MS + HISTORIES * 5000;

/** How long a read from swap may take. */
const ZRAM_SETTLE_MS = 12;
const DISK_SETTLE_MS = 40;

async function hostOn(create: () => Promise<SwapSpace>): Promise<LiveHost> {
  const host = new LiveHost(await create());
  onTestFinished(() => host[Symbol.dispose]());
  return host;
}

function runAll(host: LiveHost, settleMs: number): ExactnessTally {
  const tally = newTally();
  for (let i = 0; i < HISTORIES; i++) runHistory(host, { seed: SEED + i, settleMs, tally });
  process.stderr.write(`exactness: ${JSON.stringify(tally)}\n`);
  return tally;
}

function expectMeaningful(tally: ExactnessTally): void {
  expect(tally.histories).toBe(HISTORIES);
  expect(tally.unrested / tally.comparisons).toBeLessThan(0.05);
  for (const count of Object.values(tally.states)) expect(count).toBeGreaterThan(0);
  expect(tally.recalledPages).toBeGreaterThan(tally.pages / 50);
  // The markers' own errors, by which they differ from exact, do come up.
  expect(tally.markerFalsePositives).toBeGreaterThan(0);
  expect(tally.markerFalseNegatives).toBeGreaterThan(0);
}

describe("exact (kept over a history) and page-cache are right on every page at rest", () => {
  test("with swap on zram", { timeout: TIMEOUT_MS }, async (context) => {
    needs(context, ZramSwap.obstacle() ?? MemoryCgroup.obstacle());
    const host = await hostOn(() => ZramSwap.create(SWAP));
    expectMeaningful(runAll(host, ZRAM_SETTLE_MS));
  });

  test("with swap in a file on a disk, and its swap cache", { timeout: TIMEOUT_MS }, async (context) => {
    needs(context, SwapFile.obstacle() ?? MemoryCgroup.obstacle());
    const host = await hostOn(() => SwapFile.create(SWAP));
    expectMeaningful(runAll(host, DISK_SETTLE_MS));
  });
});

describe("an error in what the detectors stand on is found", () => {
  const { swapIns } = LinuxTarget.prototype;
  const { mincore, cachestat, stat } = PageCacheView.prototype;

  afterEach(() => {
    LinuxTarget.prototype.swapIns = swapIns;
    Object.assign(PageCacheView.prototype, { mincore, cachestat, stat });
  });

  const DAMAGES: Readonly<Record<string, () => void>> = {
    "reads from swap are not counted": () => {
      LinuxTarget.prototype.swapIns = () => 0;
    },
    "removals leave no stamp": () => {
      PageCacheView.prototype.stat = function (this: PageCacheView) {
        return { ...stat.call(this), changedNs: 0n };
      };
    },
    "the swap cache is not seen": () => {
      PageCacheView.prototype.mincore = (_first, pages, resident) => {
        resident.fill(0, 0, pages);
      };
    },
    "a page in the last place of a range is not counted": () => {
      PageCacheView.prototype.cachestat = function (this: PageCacheView, first, pages) {
        return cachestat.call(this, first, pages > 1 ? pages - 1 : pages);
      };
    },
  };

  test.each(Object.keys(DAMAGES))("%s", { timeout: TIMEOUT_MS }, async (name) => {
    const needed = ZramSwap.obstacle() ?? MemoryCgroup.obstacle();
    if (needed !== undefined) return; // the histories above say so
    const host = await hostOn(() => ZramSwap.create(SWAP));
    DAMAGES[name]();
    const find = (): void => {
      for (let seed = 1; seed <= 40; seed++)
        runHistory(host, { seed, settleMs: ZRAM_SETTLE_MS, tally: newTally() });
    };
    expect(find).toThrow(ExactnessFailure);
  });
});
