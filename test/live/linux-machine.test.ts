// Op programs on this kernel: what they show, and that nothing of them is left, however they end.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { release, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findMemoryHierarchy } from "../../src/linux/cgroup.ts";
import { MachineLock } from "../../src/linux/machine-lock.ts";
import { parseProgram, parseTrace, replay, runProgram } from "../../src/script/index.ts";
import { createLinuxMachine, LinuxHost } from "../../src/script/linux-machine.ts";
import { LIVE_TIMEOUT_MS, needsMemoryCgroup, needsZram, untilSwapIsFree } from "../support/live.ts";
import { lacking } from "../support/requirement.ts";
import { recordedLines } from "../support/trace-fixtures.ts";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const PAGE_CLUSTER = "/proc/sys/vm/page-cluster";
const TIMEOUT = { timeout: LIVE_TIMEOUT_MS };
const WAIT = { waitMs: LIVE_TIMEOUT_MS };

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ptemark-live-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function withHost(use: (host: LinuxHost) => void): Promise<void> {
  const host = await LinuxHost.create(WAIT);
  try {
    use(host);
  } finally {
    host[Symbol.dispose]();
  }
}

function run(host: LinuxHost, lines: readonly string[]) {
  const program = parseProgram(lines.join("\n"), { file: "live" });
  const machine = createLinuxMachine(host);
  try {
    return [...runProgram(program, machine)];
  } finally {
    machine.close();
  }
}

test("a program sees what its ops do", TIMEOUT, async (context) => {
  needsZram(context);
  needsMemoryCgroup(context);
  await withHost((host) => {
    const steps = run(host, [
      "obj o0 4",
      "map A v0 o0 0 4 rw",
      "write A v0 0 3",
      "madvise A v0 0 1 PAGEOUT",
      "fork A B",
      "mapanon B v1 2 r",
      "write B v1 0 1",
      "unmap A v0 1 2",
      "read B v0 0 4",
      "exit B",
      "readfd o0 0 5",
      "truncate o0 1",
      "read A v0 2 2",
      "swapon",
      "punch o0 0 0",
      "uffdwp A v0 0 1 1",
    ]);
    expect(steps[3]).toMatchObject({
      procs: { A: { v0: ["0", "142", "142", "0"] } },
      mincore: { A: { v0: "0110" } },
      objs: { o0: "SRRH" },
    });
    expect(steps[4].procs).toEqual({
      A: { v0: ["0", "142", "142", "0"] },
      B: { v0: ["0", "0", "0", "0"] },
    });
    expect(steps[6]).toMatchObject({ errno: "SIGSEGV", values: [] });
    expect(steps[7]).toMatchObject({
      procs: { A: { v0: ["0", "-", "-", "0"] } },
      mincore: { A: { v0: "0--0" } },
    });
    expect(steps[8]).toMatchObject({ errno: "", values: [3, 3, 3, 0], objs: { o0: "RRRR" } });
    expect(Object.keys(steps[9].procs)).toEqual(["A"]);
    expect(steps[10]).toMatchObject({ errno: "", values: [3, 3, 3, 0] });
    expect(steps[11].objs).toEqual({ o0: "R" });
    expect(steps.slice(12).map(({ errno }) => errno)).toEqual(["SIGSEGV", "EBUSY", "EINVAL", "EBADF"]);
  });
});

test(
  "a host serves one machine after the other; none sees anything of those before",
  TIMEOUT,
  async (context) => {
    needsZram(context);
    needsMemoryCgroup(context);
    await withHost((host) => {
      const program = ["obj o0 2", "map A v0 o0 0 2 rw", "write A v0 0 2", "fork A B", "swapoff"];
      const first = run(host, program);
      expect(first.at(-1)!.errno).toBe("");
      expect(run(host, program)).toEqual(first); // swap was given back
      expect(tracedBy(process.pid)).toEqual([host.keeper.pid]);
      expect(host.keeper.syscall(3, 0)).toBe(-9); // no descriptor is left open
    });
    expect(tracedBy(process.pid)).toEqual([]);
  },
);

test("recorded programs show again what they showed", TIMEOUT, async (context) => {
  needsZram(context);
  needsMemoryCgroup(context);
  if (!release().startsWith("6.18."))
    lacking(context, `needs Linux 6.18, of which traces are recorded: ${release()}`);
  await withHost((host) => {
    let count = 0;
    for (const { file, line, text } of recordedLines()) {
      if (file !== "host618.jsonl.gz" || line % 4 !== 1) continue;
      const trace = parseTrace(text, { file, line });
      if (trace.config.reclaim_rounds === 0 || trace.config.fault_around_bytes !== 65536) continue;
      const machine = createLinuxMachine(host);
      try {
        expect(replay(trace, machine)).toBeUndefined();
      } finally {
        machine.close();
      }
      count++;
    }
    expect(count).toBeGreaterThan(20);
  });
});

describe("ptemark run --backend linux", () => {
  const PROGRAM = [
    "obj o0 2",
    "map A v0 o0 0 2 rw",
    "write A v0 0 2",
    "madvise A v0 0 1 PAGEOUT",
    "read A v0 0 1",
  ];
  async function ptemark(args: readonly string[], options: { uid?: number } = {}) {
    await untilSwapIsFree();
    return spawnSync(process.execPath, [MAIN, ...args], {
      cwd: folder,
      encoding: "utf8",
      env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined },
      ...options,
    });
  }

  test("shows the steps, or prints a trace that conform takes", TIMEOUT, async (context) => {
    needsZram(context);
    needsMemoryCgroup(context);
    writeFileSync(join(folder, "program.ops"), PROGRAM.join("\n"));
    const shown = await ptemark(["run", "--backend", "linux", "program.ops"]);
    expect(shown.stderr).toBe("");
    expect(shown.status).toBe(0);
    expect(shown.stdout).toContain("  4  madvise A v0 0 1 PAGEOUT\n     A v0          .P   was PP\n");
    expect(shown.stdout).toContain("     o0            SR   was RR\n");
    expect(shown.stdout).toContain("  5  read A v0 0 1  = 3\n");

    const { stdout: json } = await ptemark(["run", "--backend", "linux", "--json", "program.ops"]);
    const trace = parseTrace(json, { file: "stdout" });
    expect(trace).toMatchObject({
      id: "program",
      kernel: release(),
      config: { page_cluster: 0, thp: "never", reclaim_rounds: 3 },
    });
    expect(trace.steps).toHaveLength(PROGRAM.length);
  });

  test("says what is missing to somebody else than root, exit code 3", TIMEOUT, async (context) => {
    needsZram(context);
    const { status, stderr } = await ptemark(["conform", "--live"], { uid: 65534 });
    if (/EACCES|Cannot find module/.test(stderr)) lacking(context, "needs a checkout that others may read");
    expect(stderr).toMatch(/^ptemark: zram: root \(CAP_SYS_ADMIN/);
    expect(status).toBe(3);
  });
});

describe("a run that is ended from outside", () => {
  test.for(["SIGKILL", "SIGTERM", "SIGINT"] as const)(
    "by %s leaves no process, swap, cgroup or setting behind",
    TIMEOUT,
    async (signal, context) => {
      needsZram(context);
      needsMemoryCgroup(context);
      const before = await settings();
      const child = spawn(process.execPath, [MAIN, "conform", "--live", "--seeds", "1000000"], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      try {
        let output = "";
        child.stdout.setEncoding("utf8").on("data", (text: string) => {
          output += text;
        });
        const driven = await drivenBy(child);
        const cgroup = cgroupOf(driven[0]);
        expect(cgroup).toContain("ptemark-script");
        expect(readFileSync(PAGE_CLUSTER, "utf8")).toBe("0\n");
        child.kill(signal);
        const [code, by] = await once(child, "exit");
        if (signal === "SIGINT") {
          expect(code).toBe(130);
          expect(output).toMatch(/(\d+) of \1 traces agree/); // what was done until then is told
        } else expect(by).toBe(signal);
        expect(await settings()).toBe(before);
        expect(tracedBy(child.pid!)).toEqual([]);
        await until(() => driven.every(hasEnded));
        await until(() => !existsSync(cgroup));
      } finally {
        child.kill("SIGKILL");
      }
    },
  );
});

/**
 * What a run changes on the machine, seen while no run is on: the lock of the last one is let go when all is
 * undone.
 */
async function settings(): Promise<string> {
  using _noRun = await MachineLock.acquire(WAIT);
  const zram = readdirSync("/sys/block").filter((name) => name.startsWith("zram"));
  return `${readFileSync(PAGE_CLUSTER, "utf8")}${readFileSync("/proc/swaps", "utf8")}${zram}`;
}

/** The child's driven processes, once it has some. */
async function drivenBy(child: ChildProcess): Promise<number[]> {
  await until(() => tracedBy(child.pid!).length > 1 || child.exitCode !== null);
  const driven = tracedBy(child.pid!);
  expect(driven).not.toEqual([]);
  return driven;
}

function tracedBy(tracer: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => statusOf(pid).includes(`\nTracerPid:\t${tracer}\n`))
    .map(Number);
}

function statusOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return ""; // it has ended
  }
}

/** Ended, though init may not have taken notice yet. */
function hasEnded(pid: number): boolean {
  const status = statusOf(String(pid));
  return status === "" || /^State:\t[ZX]/m.test(status);
}

function cgroupOf(pid: number): string {
  const [, place] = /^(?:\d+:memory|0:):(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, "utf8")) ?? ["", ""];
  const mounts = readFileSync("/proc/self/mountinfo", "utf8");
  return join(findMemoryHierarchy(mounts)!.path, place);
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await sleep(20);
}
