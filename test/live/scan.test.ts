// `ptemark scan` of a process whose pages are known, with swap on zram.
import { describe, expect, test } from "vitest";
import { PAGE_SIZE } from "../../src/abi/index.ts";
import { SYS } from "../../src/linux/libc.ts";
import { ZramSwap } from "../../src/linux/zram.ts";
import { ptemark } from "../support/cli.ts";
import { LIVE_TIMEOUT_MS, needsZram } from "../support/live.ts";
import { ScannedProcess } from "../support/scanned.ts";

const PAGES = 64;
/** Of the memfd: touched and at home, swapped out, touched, holes, reserved, holes. */
const RUNS = [
  { first: 0, pages: 8, state: "present" },
  { first: 8, pages: 24, state: "swapped" },
  { first: 32, pages: 16, state: "present" },
  { first: 48, pages: 4, state: "hole" },
  { first: 52, pages: 4, state: "reserved" },
  { first: 56, pages: 8, state: "hole" },
];
const STATES = {
  present: 24,
  cached: 0,
  "swap-cached": 0,
  swapped: 24,
  hole: 12,
  reserved: 4,
  "on-disk": 0,
  unknown: 0,
};

/** Makes it so. */
function prepare(scanned: ScannedProcess): number {
  const { address, fd } = scanned.memfd("guest-ram", PAGES);
  scanned.touch(address, 0, 48);
  scanned.call(SYS.fallocate, fd, 0, 52 * PAGE_SIZE, 4 * PAGE_SIZE);
  scanned.pageOut(address, 8, 24);
  return address;
}

async function withSwap(run: (scanned: ScannedProcess, address: number) => void): Promise<void> {
  using _zram = await ZramSwap.create({ sizeBytes: 64 << 20, waitMs: LIVE_TIMEOUT_MS });
  using scanned = new ScannedProcess();
  run(scanned, prepare(scanned));
}

describe("a process", { timeout: LIVE_TIMEOUT_MS }, () => {
  test("in every format, the same", async (context) => {
    needsZram(context);
    await withSwap((scanned, address) => {
      const scan = (...args: string[]) => {
        const outcome = ptemark(["scan", String(scanned.pid), "--mapping", "memfd:guest-ram", ...args]);
        expect([outcome.status, outcome.stderr]).toEqual([0, ""]);
        return outcome.stdout;
      };
      const hex = (first: number) => `0x${(address + first * PAGE_SIZE).toString(16)}`;

      const json = JSON.parse(scan("--json"));
      const mapping = {
        start: hex(0),
        end: hex(PAGES),
        kind: "shmem",
        object: "memfd:guest-ram",
        pages: PAGES,
        states: STATES,
        note: "",
      };
      const { pid } = scanned;
      expect(json).toMatchObject({
        pid,
        name: "scanned",
        detector: "exact",
        mappings: [mapping],
        totals: STATES,
      });
      expect(Object.keys(json)).toEqual(["pid", "name", "kernel", "time", "detector", "mappings", "totals"]);
      expect(Object.keys(json.mappings[0])).toEqual(Object.keys(mapping));

      const runs = JSON.parse(scan("--json", "--pages")).mappings[0].runs;
      const expected = RUNS.map(({ first, pages, state }) => ({
        start: hex(first),
        pages,
        state,
        flags: [],
      }));
      expect(runs).toEqual(expected);

      expect(scan("--csv").split("\n")[1]).toBe(
        `${pid},scanned,${hex(0)},${hex(PAGES)},shmem,memfd:guest-ram,64,24,0,0,24,12,4,0,0,`,
      );
      expect(scan("--csv", "--pages").split("\n").slice(1, -1)).toEqual(
        RUNS.map(
          ({ first, pages, state }) =>
            `${pid},scanned,${hex(first)},${pages},${state},,shmem,memfd:guest-ram`,
        ),
      );
      const lines = RUNS.map(
        ({ first, pages, state }) => `${hex(first)} ${String(pages).padStart(8)} ${state}\n`,
      );
      expect(scan("--pages")).toContain(lines.join(""));
      expect(scan("--map")).toContain(
        `${hex(0)} ${"P".repeat(8)}${"S".repeat(24)}${"P".repeat(16)}....RRRR........\na cell is a page\n`,
      );
      expect(scan()).toMatch(
        /\n[0-9a-f]{12} +shmem +256 +96 +- +- +96 +48 +16 +memfd:guest-ram\ntotal +256 /,
      );
    });
  });

  test("by every detector, as far as it can tell", async (context) => {
    needsZram(context);
    await withSwap((scanned) => {
      const totals = (detector: string) => {
        const args = [
          "scan",
          String(scanned.pid),
          "--mapping",
          "guest-ram",
          "--json",
          "--detector",
          detector,
        ];
        const { status, stdout } = ptemark(args);
        expect(status).toBe(0);
        return JSON.parse(stdout).totals;
      };
      expect(totals("exact")).toEqual(STATES);
      expect(totals("page-cache")).toEqual(STATES);
      expect(totals("pagemap")).toMatchObject({ present: 24, unknown: 40 });
      expect(totals("marker")).toMatchObject({ present: 24, unknown: 40 });
    });
  });

  test("several, and by name: a line of JSON each", async (context) => {
    needsZram(context);
    await withSwap((scanned) => {
      using child = scanned.driven.fork();
      const args = ["scan", String(scanned.pid), String(child.pid), String(scanned.pid), "--json"];
      const { status, stdout } = ptemark(args);
      expect(status).toBe(0);
      const scans = stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line));
      expect(scans.map(({ pid }) => pid)).toEqual([scanned.pid, child.pid]);
      // The child has faulted in nothing: what its parent has in memory is in the page cache to it.
      const states = scans[1].mappings.find(
        ({ object }: { object: string }) => object === "memfd:guest-ram",
      ).states;
      expect(states).toMatchObject({ present: 0, cached: 24, swapped: 24, hole: 12, reserved: 4 });
      const byName = ptemark(["scan", "scanned", "--json"]).stdout;
      expect(byName).toContain(`{"pid":${child.pid},"name":"scanned"`);
    });
  });
});

describe("all processes", { timeout: LIVE_TIMEOUT_MS }, () => {
  test("each object once, with all who hold it", async (context) => {
    needsZram(context);
    await withSwap((scanned) => {
      using child = scanned.driven.fork();
      const pids = [scanned.pid, child.pid];
      const { stdout } = ptemark(["scan", "--all", "--json"]);
      const { objects, totals } = JSON.parse(stdout);
      const found = objects.filter(
        ({ object, holders }: { object: string; holders: { pid: number }[] }) =>
          object === "memfd:guest-ram" && holders.some(({ pid }) => pid === scanned.pid),
      );
      expect(found).toHaveLength(1);
      expect(found[0]).toMatchObject({
        pages: PAGES,
        states: { ...STATES, present: 0, cached: 24 },
        holders: pids.sort((a, b) => a - b).map((pid) => ({ pid, name: "scanned", mappedPages: PAGES })),
      });
      expect(totals.swapped).toBeGreaterThanOrEqual(24);
      const text = ptemark(["scan", "--all"]).stdout;
      expect(text).toMatch(new RegExp(`memfd:guest-ram +scanned ${pids.join(" ")}\n`));
      expect(text).toMatch(
        /\nIn swap: [\d,]+ KiB of shared memory in \d+ objects?, each counted once; swap has/,
      );
    });
  });
});
