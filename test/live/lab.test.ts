/** The lab on the running kernel: its experiments agree with the model, and leave nothing behind. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { MODEL_MECHANISMS, measureModelAccuracy } from "../../src/lab/accuracy-mechanisms.ts";
import {
  LiveAccuracyLab,
  measureLiveFaultAround,
  measureLivePagemap,
  measureLiveSwapIn,
} from "../../src/lab/live/index.ts";
import { outcomeOf, SCENARIOS, scenarioOps } from "../../src/lab/scenarios.ts";
import { WORKLOAD_DEFAULTS, workloadProgram } from "../../src/lab/workload.ts";
import { WORKLOADS } from "../../src/lab/workloads.ts";
import { LOCK_PATH, MachineLock } from "../../src/linux/machine-lock.ts";
import { LIVE_TIMEOUT_MS, needsMemoryCgroup, needsSwapFile, needsZram } from "../support/live.ts";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const TIMEOUT = { timeout: LIVE_TIMEOUT_MS };

test(
  "swap-in on zram: markers are there when armed, and every page is read from the device",
  TIMEOUT,
  async (context) => {
    needsZram(context);
    const { rows, majorFaults, markers } = await measureLiveSwapIn({
      sizePages: 1024,
      rounds: 2,
      seed: 1,
      device: "zram",
    });
    expect(rows.map(({ microseconds }) => microseconds.length)).toEqual([2, 2, 2]);
    expect(markers).toEqual([0, 0, 1024]);
    for (const faults of majorFaults) expect(faults).toBeGreaterThanOrEqual(1024);
  },
);

test("swap-in from a file reads the disk, and not what the swap cache has kept", TIMEOUT, async (context) => {
  needsSwapFile(context);
  needsMemoryCgroup(context);
  const { majorFaults, markers } = await measureLiveSwapIn({
    sizePages: 1024,
    rounds: 1,
    seed: 1,
    device: "file",
  });
  expect(markers).toEqual([0, 0, 1024]);
  for (const faults of majorFaults) expect(faults).toBeGreaterThan(0);
});

test("a registered mapping has lost fault-around: sixteen times the faults", TIMEOUT, async (context) => {
  needsZram(context);
  const rows = await measureLiveFaultAround();
  const faults = (stride: number) =>
    rows.filter((row) => row.stride === stride).map(({ minorFaults }) => minorFaults);
  // Whatever else this process touches meanwhile faults too.
  const [plain, registered, armed] = faults(1);
  expect(plain).toBeGreaterThanOrEqual(1024);
  expect(plain).toBeLessThan(1024 + 512);
  for (const count of [registered, armed]) {
    expect(count).toBeGreaterThanOrEqual(16384);
    expect(count).toBeLessThan(16384 + 512);
  }
  expect(rows.map(({ staleAfter }) => staleAfter)).toEqual([0, 0, 0, 0, 0, 15360]);
});

test(
  "who is asked which pages are in swap: markers and objects know, pagemap does not",
  TIMEOUT,
  async (context) => {
    needsZram(context);
    const costs = await measureLivePagemap({ sizePages: 1024, rounds: 1, seed: 1 });
    for (const { method, state, falsePositives, falseNegatives } of costs) {
      const missed =
        { swapped: 1024, "every 2nd page swapped": 512, "every 64th page swapped": 16 }[state] ?? 0;
      const expected = method === "pagemap" ? missed : 0;
      expect([state, method, falsePositives, falseNegatives]).toEqual([state, method, 0, expected]);
    }
  },
);

describe("accuracy on this kernel", () => {
  test(
    "the stand-in errs as the model says, page by page and step by step; exact does not err",
    TIMEOUT,
    async (context) => {
      needsZram(context);
      needsMemoryCgroup(context);
      const standIn = MODEL_MECHANISMS.find(({ name }) => name === "stand-in");
      if (standIn === undefined) throw new Error("no stand-in");
      const options = { ...WORKLOAD_DEFAULTS, pages: 64, steps: 60, seed: 5 };
      using lab = await LiveAccuracyLab.create();
      for (const workload of WORKLOADS) {
        const live = lab.measure(workloadProgram(workload, options));
        expect([workload.name, live.standIn]).toEqual([
          workload.name,
          measureModelAccuracy(standIn, workload, options),
        ]);
        expect([workload.name, live.exact.causes]).toEqual([workload.name, []]);
      }
    },
  );

  test("every flaw but those of the RFC's own making is there; exact has none", TIMEOUT, async (context) => {
    needsZram(context);
    needsMemoryCgroup(context);
    // Where the stand-in, whose markers outlive a zap, is another thing than the RFC.
    const differs = ["functional", "zap", "zapped-sharer", "marker-zapped"];
    using lab = await LiveAccuracyLab.create();
    for (const scenario of SCENARIOS) {
      const { standIn, exact } = lab.measure(scenarioOps(scenario));
      expect([scenario.id, outcomeOf(scenario, exact).wrongAtEnd]).toEqual([scenario.id, 0]);
      expect([scenario.id, outcomeOf(scenario, standIn).isAsExpected]).toEqual([
        scenario.id,
        !differs.includes(scenario.id),
      ]);
    }
  });
});

test("claims --quick measures all of it on this kernel too", {
  timeout: 2 * LIVE_TIMEOUT_MS,
}, async (context) => {
  needsZram(context);
  needsSwapFile(context);
  needsMemoryCgroup(context);
  const child = spawn(process.execPath, [MAIN, "claims", "--quick", "--json"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  expect(await once(child, "close")).toEqual([0, null]);
  const page = JSON.parse(Buffer.concat(chunks).toString("utf8"));
  for (const part of [page, page.swapIn, page.swapInFile, page.pagemap, page.accuracy])
    expect(part.liveObstacle).toBe("");
  const exact = page.scenarios.map(
    ({ byMechanism }: { byMechanism: Record<string, { wrongAtEnd: number }> }) => byMechanism["exact (live)"],
  );
  expect(exact.map(({ wrongAtEnd }: { wrongAtEnd: number }) => wrongAtEnd)).toEqual(exact.map(() => 0));
  expect(page.claims.filter(({ verdict }: { verdict: string }) => verdict === "not shown").length).toBe(1);
});

/** Swap spaces and zram devices of the machine. */
function swapOfMachine(): string {
  const zram = readdirSync("/sys/block").filter((name) => name.startsWith("zram"));
  return `${readFileSync("/proc/swaps", "utf8").replace(/[ \t]+\d+[ \t]+\d+[ \t]+-?\d+$/gm, "")}${zram.sort()}`;
}

/** Cgroups of the lab and of op programs: whoever makes one holds the lock. */
function cgroups(): string[] {
  return ["/sys/fs/cgroup", "/sys/fs/cgroup/memory"].flatMap((top) =>
    existsSync(top)
      ? readdirSync(top)
          .filter((name) => /^ptemark-(script|swap-in)-/.test(name))
          .map((name) => `${top}/${name}`)
      : [],
  );
}

function childrenOf(pid: number): string[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean);
}

const WAIT = { waitMs: LIVE_TIMEOUT_MS };

describe("Ctrl-C at any time leaves nothing behind", () => {
  test.for([
    ["bench", "swapin", "--size", "64M", "--rounds", "500"],
    ["bench", "pagemap", "--size", "64M", "--rounds", "500"],
    ["accuracy", "--steps", "3000"],
  ])("%j", { timeout: 4 * LIVE_TIMEOUT_MS }, async (args, context) => {
    needsZram(context);
    needsMemoryCgroup(context);
    let before = "";
    {
      using _lock = await MachineLock.acquire(WAIT);
      before = swapOfMachine();
    }
    const child = spawn(process.execPath, [MAIN, ...args], { stdio: ["ignore", "ignore", "inherit"] });
    const ended = once(child, "exit");
    const pid = child.pid ?? 0;
    try {
      const isHolder = () => readFileSync(LOCK_PATH, "utf8").trim() === String(pid);
      await expect
        .poll(() => isHolder() && swapOfMachine() !== before, { timeout: LIVE_TIMEOUT_MS })
        .toBe(true);
      // In the middle of what it does.
      await new Promise((resolve) => setTimeout(resolve, 700));
      const ours = { cgroups: cgroups(), children: childrenOf(pid) };
      child.kill("SIGINT");
      await ended;
      // The guard of its swap holds the lock until that is gone.
      using _lock = await MachineLock.acquire(WAIT);
      expect(swapOfMachine()).toBe(before);
      const isLeft = () => [
        ...ours.cgroups.filter((path) => existsSync(path)),
        ...ours.children.filter((id) => existsSync(`/proc/${id}/exe`)),
      ];
      await expect.poll(isLeft, { timeout: 10_000 }).toEqual([]);
    } finally {
      child.kill("SIGKILL");
    }
  });
});
