// Bad input and bad luck: each time a clear message, the right exit code, and nothing left behind.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chownSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { MAP_SHARED, PAGE_SIZE } from "../../src/abi/index.ts";
import { posixSpawn, SYS, waitpidRaw } from "../../src/linux/libc.ts";
import { listPids, processName } from "../../src/linux/procfs.ts";
import { readStatus } from "../../src/linux/status.ts";
import { ZramSwap } from "../../src/linux/zram.ts";
import { LinuxTarget } from "../../src/residency/linux-target.ts";
import { createDetector, scanTarget } from "../../src/residency/scan.ts";
import { type Outcome, ptemark } from "../support/cli.ts";
import { LIVE_TIMEOUT_MS, needs, needsRoot, needsZram } from "../support/live.ts";
import { lacking } from "../support/requirement.ts";
import { ScannedProcess } from "../support/scanned.ts";
import { startUnfit, TargetFolder } from "../support/target.mjs";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

const NOBODY = 65534;

/** Told on one line of stderr, and nothing else. */
function expectRefusal({ status, stdout, stderr }: Outcome, code: number, message: RegExp): void {
  expect(stderr).toMatch(message);
  expect(stderr.split("\n")).toHaveLength(2);
  expect([status, stdout]).toEqual([code, ""]);
}

describe("there is nothing to scan", () => {
  test("no such process", () => {
    const { pid } = spawnSync("/bin/true");
    expectRefusal(
      ptemark(["scan", String(pid)]),
      2,
      /^ptemark: .* ESRCH: there is no process \d+ \(any more\)$/m,
    );
    expectRefusal(ptemark(["scan", "no-such-program"]), 2, /^ptemark: there is no process "no-such-program"/);
  });

  test("a zombie", () => {
    const pid = posixSpawn("/bin/true", ["true"]);
    try {
      while (!readStatus(pid).State?.startsWith("Z"));
      expectRefusal(
        ptemark(["scan", String(pid)]),
        2,
        /^ptemark: process \d+ \(true\) has ended, .*Z \(zombie\)$/m,
      );
    } finally {
      waitpidRaw(pid, 0);
    }
  });

  test("a process whose first thread has ended: another's id does", async (context) => {
    using folder = new TargetFolder();
    const compiled = folder.compile("unfit");
    if ("problem" in compiled) lacking(context, compiled.problem);
    await using unfit = await startUnfit(compiled.program, "leader-gone");
    const refusal = ptemark(["scan", String(unfit.pid)]);
    expectRefusal(refusal, 2, /^ptemark: the first thread of process .* give another's id, such as \d+$/m);
    const other = /\d+$/.exec(refusal.stderr.trim())?.[0] ?? "";
    const { totals } = JSON.parse(ptemark(["scan", other, "--json"]).stdout);
    expect(totals.present).toBeGreaterThan(10);
  });

  test("a thread of the kernel", (context) => {
    needs(
      context,
      listPids().includes(2) && processName(2) === "kthreadd" ? undefined : "the initial pid namespace",
    );
    expectRefusal(ptemark(["scan", "2"]), 2, /^ptemark: process 2 \(kthreadd\) is a thread of the kernel/);
  });

  test("one of several: the others are told, and the exit code says that a part is missing", () => {
    const { pid } = spawnSync("/bin/true");
    const { status, stdout, stderr } = ptemark(["scan", String(pid), String(process.pid), "--json"]);
    expect(stderr).toContain("ESRCH");
    expect(JSON.parse(stdout).pid).toBe(process.pid);
    expect(status).toBe(1);
  });
});

describe("misuse", () => {
  test.each([
    [["scan"], /scan takes either --all or processes/],
    [["scan", "--all", "1"], /scan takes either --all or processes/],
    [["scan", "1", "--json", "--csv"], /--json and --csv exclude each other/],
    [["scan", "1", "--map", "--json"], /--map draws for the eye/],
    [["scan", "--all", "--pages"], /--all tells of objects as a whole/],
    [["scan", "1", "--mapping", "(["], /--mapping \(\[: Invalid regular expression/],
    [["scan", "1", "--detector", "guess"], /Allowed choices are exact, page-cache, marker, pagemap/],
  ])("%j", (args, message) => {
    const { status, stdout, stderr } = ptemark(args);
    expect(stderr).toMatch(message);
    expect([status, stdout]).toEqual([2, ""]);
  });
});

describe("what changes while it is scanned is told", () => {
  function scanWhile(scanned: ScannedProcess, change: () => void) {
    using target = LinuxTarget.open(scanned.pid);
    let isFirst = true;
    return scanTarget(target, createDetector("exact", target), {
      choose: ({ kind }) => kind === "shmem",
      onProgress() {
        if (isFirst) change();
        isFirst = false;
      },
    });
  }

  test("a mapping that is unmapped before its turn, and one that is not", () => {
    using scanned = new ScannedProcess();
    const addresses = ["a", "b", "c"].map((name) => scanned.memfd(name, 4).address).sort((a, b) => a - b);
    for (const address of addresses) scanned.touch(address, 0, 2);
    const [, unmapped] = addresses;
    const { mappings, vanished } = scanWhile(scanned, () =>
      scanned.call(SYS.munmap, unmapped, 4 * PAGE_SIZE),
    );
    expect(vanished.map(({ start }) => start)).toEqual([unmapped]);
    for (const { mapping, counts, note } of mappings.filter(({ mapping }) =>
      addresses.includes(mapping.start),
    )) {
      if (mapping.start === unmapped) expect(note).toMatch(/gone|unmapped while it was read/);
      else expect([counts.present, counts.hole, note]).toEqual([2, 2, ""]);
    }
  });

  test("a process that ends", () => {
    const scanned = new ScannedProcess();
    scanned.memfd("a", 4);
    scanned.memfd("b", 4);
    const { mappings, vanished } = scanWhile(scanned, () => scanned[Symbol.dispose]());
    expect(vanished).toHaveLength(mappings.length);
    expect(mappings.at(-1)?.note).toMatch(/ended|gone|unmapped/);
  });

  test("the command, over a process that is killed at any moment", { timeout: 60_000 }, async () => {
    const codes = new Set<number | null>();
    for (let delayMs = 40; delayMs <= 240; delayMs += 20) {
      const victim = spawn("/bin/sleep", ["600"]);
      await once(victim, "spawn");
      const command = spawn(process.execPath, [MAIN, "scan", String(victim.pid), "--json"]);
      let [stdout, stderr] = ["", ""];
      command.stdout.on("data", (text) => (stdout += text));
      command.stderr.on("data", (text) => (stderr += text));
      setTimeout(() => victim.kill("SIGKILL"), delayMs);
      const [status] = await once(command, "close");
      codes.add(status);
      if (stdout !== "") expect(JSON.parse(stdout).pid).toBe(victim.pid);
      if (status === 1) expect(stderr).toMatch(/ended while it was scanned|changed or went|unknown/);
      if (status === 2) expect(stderr).toMatch(/there is no process|has ended/);
      expect([0, 1, 2]).toContain(status);
    }
    expect(codes.size).toBeGreaterThan(0);
  });
});

/** Root without some capabilities. */
function without(...capabilities: readonly string[]): readonly string[] {
  return ["setpriv", `--bounding-set=${capabilities.map((name) => `-${name}`).join(",")}`, "--inh-caps=-all"];
}

interface ScannedMapping {
  readonly object: string;
  readonly kind: string;
  readonly states: Readonly<Record<string, number>>;
  readonly note: string;
}

function mappingsOf({ stdout }: Outcome): ScannedMapping[] {
  return JSON.parse(stdout).mappings;
}

describe("each privilege dropped in turn", () => {
  const PRESENT_OF_8 = { present: 3, hole: 5, unknown: 0 };

  function withScanned(run: (pid: string) => void): void {
    using scanned = new ScannedProcess();
    for (const address of [scanned.memfd("named", 8).address, scanned.sharedAnonymous(8)])
      scanned.touch(address, 0, 3);
    run(String(scanned.pid));
  }

  test("CAP_SYS_PTRACE, and what else lets one look: exit code 3", (context) => {
    needsRoot(context);
    withScanned((pid) => {
      const wrapper = without("sys_ptrace", "perfmon", "sys_admin");
      const needed = /^ptemark: .*EACCES: ptrace read access .*CAP_SYS_PTRACE/;
      expectRefusal(ptemark(["scan", pid], { wrapper }), 3, needed);
    });
  });

  test("CAP_SYS_PTRACE alone: page tables may be told on some kernels (CAP_PERFMON)", (context) => {
    needsRoot(context);
    withScanned((pid) => {
      const args = ["scan", pid, "--mapping", "anonymous", "--json"];
      const outcome = ptemark(args, { wrapper: without("sys_ptrace") });
      if (outcome.status === 3) return;
      expect(outcome.status).toBe(1);
      expect(mappingsOf(outcome)[0]).toMatchObject({ states: { present: 3, unknown: 5 } });
      expect(mappingsOf(outcome)[0].note).toContain("CAP_SYS_PTRACE");
    });
  });

  test.for(["sys_admin", "checkpoint_restore", "sys_nice", "fowner", "dac_override"])(
    "cap_%s alone: all of shared memory is told",
    (capability, context) => {
      needsRoot(context);
      withScanned((pid) => {
        const outcome = ptemark(["scan", pid, "--mapping", "named|anonymous", "--json"], {
          wrapper: without(capability),
        });
        expect([outcome.status, outcome.stderr]).toEqual([0, ""]);
        const objects = mappingsOf(outcome);
        expect(objects.map(({ object }) => object).sort()).toEqual(["memfd:named", "shared anonymous"]);
        for (const { states } of objects) expect(states).toMatchObject(PRESENT_OF_8);
      });
    },
  );

  test("CAP_SYS_ADMIN and CAP_CHECKPOINT_RESTORE: a memfd is told, nameless memory not", (context) => {
    needsRoot(context);
    withScanned((pid) => {
      const wrapper = without("sys_admin", "checkpoint_restore");
      const outcome = ptemark(["scan", pid, "--mapping", "named|anonymous", "--json"], { wrapper });
      expect(outcome.status).toBe(1);
      expect(outcome.stderr).toMatch(
        /^ptemark: process \d+ \(scanned\): of 5 pages it is unknown where they are/,
      );
      const mappings = mappingsOf(outcome);
      const named = mappings.find(({ object }) => object === "memfd:named");
      expect(named).toMatchObject({ kind: "shmem", states: PRESENT_OF_8, note: "" });
      const nameless = mappings.find(({ object }) => object === "shared anonymous");
      expect(nameless).toMatchObject({ kind: "shmem", states: { present: 3, unknown: 5 } });
      expect(nameless?.note).toContain("CAP_CHECKPOINT_RESTORE");
    });
  });

  test("CAP_FOWNER and CAP_DAC_OVERRIDE: another user's object is not told", (context) => {
    needsRoot(context);
    const path = `/dev/shm/ptemark-test-${process.pid}`;
    writeFileSync(path, new Uint8Array(8 * PAGE_SIZE), { mode: 0o600 });
    try {
      chownSync(path, NOBODY, NOBODY);
      using scanned = new ScannedProcess();
      const fd = scanned.call(SYS.open, scanned.driven.putString(path), 2, 0);
      scanned.map(8, MAP_SHARED, fd);
      const args = ["scan", String(scanned.pid), "--mapping", path, "--json"];
      const told = mappingsOf(ptemark(args))[0];
      expect(told).toMatchObject({ kind: "shmem", states: { cached: 8, unknown: 0 } });
      const outcome = ptemark(args, { wrapper: without("fowner", "dac_override") });
      expect(outcome.status).toBe(1);
      expect(mappingsOf(outcome)[0]).toMatchObject({ states: { cached: 0, unknown: 8 } });
      expect(mappingsOf(outcome)[0].note).toMatch(
        /to own the object, to be allowed to write it, or CAP_FOWNER/,
      );
    } finally {
      rmSync(path);
    }
  });

  test("all of them: own private memory is told, files of others are not", async (context) => {
    needsRoot(context);
    const sleeper = spawn("/bin/sleep", ["600"], { uid: NOBODY, gid: NOBODY });
    await once(sleeper, "spawn");
    try {
      const wrapper = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
      const outcome = ptemark(["scan", String(sleeper.pid), "--json"], { wrapper });
      expect(outcome.status).toBe(1);
      const mappings = mappingsOf(outcome);
      const anonymous = mappings.filter(({ kind }) => kind === "anon");
      expect(anonymous.length).toBeGreaterThan(1);
      for (const { states } of anonymous) expect(states.unknown).toBe(0);
      const libc = mappings.filter(({ object }) => /libc[.-]/.test(object) || object.includes("musl"));
      expect(libc.some(({ note }) => note.includes("CAP_FOWNER"))).toBe(true);
    } finally {
      sleeper.kill("SIGKILL");
    }
  });
});

describe("swap", { timeout: LIVE_TIMEOUT_MS }, () => {
  test("is full: what found no place is still in memory, and told so", async (context) => {
    needsZram(context);
    using _zram = await ZramSwap.create({ sizeBytes: 16 * PAGE_SIZE, waitMs: LIVE_TIMEOUT_MS });
    using scanned = new ScannedProcess();
    const { address } = scanned.memfd("too-much", 64);
    scanned.touch(address, 0, 64);
    scanned.pageOut(address, 0, 64);
    const outcome = ptemark(["scan", String(scanned.pid), "--mapping", "too-much", "--json"]);
    expect(outcome.status).toBe(0);
    const { present, cached, swapped, "swap-cached": swapCached, ...others } = mappingsOf(outcome)[0].states;
    expect(swapped + swapCached).toBeGreaterThan(0);
    expect(swapped + swapCached).toBeLessThan(16);
    expect(present + cached + swapped + swapCached).toBe(64);
    expect(others).toEqual({ hole: 0, reserved: 0, "on-disk": 0, unknown: 0 });
  });
});
