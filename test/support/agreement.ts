/** What must agree about where a process's pages are, whoever is asked. */
import { spawnSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { PAGE_SIZE } from "../../src/abi/index.ts";
import { readSmaps, readVmstat } from "../../src/linux/index.ts";
import {
  addCounts,
  ExactDetector,
  LinuxTarget,
  type MappingScan,
  noCounts,
  PageCacheDetector,
  STATE_MASK,
} from "../../src/residency/index.ts";

const TRIES = 50;

/** Pages that went to swap or came back since boot, on the whole machine. */
function swapTraffic(): number {
  const { pswpin = 0, pswpout = 0, swpin_zero = 0, swpout_zero = 0 } = readVmstat();
  return pswpin + pswpout + swpin_zero + swpout_zero;
}

/**
 * Looks, and looks again if it failed and pages moved meanwhile: a stopped process is at rest, the machine need not be.
 * It may page out cold memory by itself (DAMON does), and answers given one after the other differ then.
 */
export function whenAtRest<T>(look: () => T): T {
  for (let tries = 1; ; tries++) {
    const before = swapTraffic();
    try {
      return look();
    } catch (error) {
      if (swapTraffic() === before || tries === TRIES) throw error;
    }
  }
}

/**
 * Scans all mappings of a process at rest, and expects the exact detector (new to it, and when it remembers) and the
 * page-cache detector to agree on every page, and smaps to agree on how many are in swap. Returns the exact answer.
 */
export function expectAgreement(pid: number): MappingScan[] {
  using target = LinuxTarget.open(pid);
  const exact = new ExactDetector(target);
  const pageCache = new PageCacheDetector(target);
  const swapBytes = new Map(readSmaps(pid).map(({ start, fields }) => [start, fields.Swap]));
  return target.mappings().map((mapping) => {
    const asked = pageCache.scan(mapping);
    const answers = [exact.scan(mapping), exact.scan(mapping)];
    for (const { states } of answers) {
      const differs = states.findIndex((state, page) => ((state ^ asked.states[page]) & STATE_MASK) !== 0);
      expect(differs, `first page of ${mapping.name} that differs`).toBe(-1);
    }
    // Of private mappings smaps counts the process's own pages and, where nobody wrote, the object's.
    if (mapping.kind === "anon" || (mapping.kind === "shmem" && mapping.shared)) {
      const inSwap = asked.counts.swapped + asked.counts["swap-cached"];
      expect(inSwap * PAGE_SIZE, `Swap of ${mapping.name}`).toBe(swapBytes.get(mapping.start));
    }
    return answers[1];
  });
}

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

/** Expects `ptemark scan` to say what these scans say, and to sum it up. */
export function expectCommandAgrees(pid: number, scans: readonly MappingScan[]): void {
  const { stdout, stderr } = spawnSync(process.execPath, [MAIN, "scan", String(pid), "--json"], {
    encoding: "utf8",
    maxBuffer: 64 * 2 ** 20,
  });
  expect(stderr).not.toContain("Error");
  const said = JSON.parse(stdout) as {
    pid: number;
    mappings: { start: string; states: object }[];
    totals: object;
  };
  expect(said.pid).toBe(pid);
  expect(said.mappings.map(({ start, states }) => [Number(start), states])).toEqual(
    scans.map(({ mapping, counts }) => [mapping.start, counts]),
  );
  const totals = noCounts();
  for (const { counts } of scans) addCounts(totals, counts);
  expect(said.totals).toEqual(totals);
}
