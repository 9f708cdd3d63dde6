// A userfaultfd made in running processes that check themselves: none notices.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import {
  UFFD_FEATURE_PAGEFAULT_FLAG_WP,
  UFFD_FEATURE_WP_ASYNC,
  UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
} from "ptemark/abi";
import {
  createUserfaultfdIn,
  isKernelThread,
  listPids,
  type MapsEntry,
  readMaps,
  Userfaultfd,
} from "ptemark/linux";
import { afterAll, beforeAll, describe, expect, type TestContext, test } from "vitest";
import { lacking } from "../support/requirement.ts";
import { SELFCHECK_MODES, SelfCheckingTarget, startUnfit, TargetFolder } from "../support/target.mjs";

const ATTACHES = 25;
const WRITE_PROTECT =
  UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_HUGETLBFS_SHMEM;

/** None if the thread has ended. */
const descriptorsOf = (pid: number, tid: string) => readdirSync(`/proc/${pid}/task/${tid}/fd`).length;

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await sleep(1);
}

let folder: TargetFolder;

beforeAll(() => {
  folder = new TargetFolder();
});

afterAll(() => folder[Symbol.dispose]());

/** A program of test/support/targets. */
function compiled(context: TestContext, name: string, flags?: string[]): string {
  const built = folder.compile(name, flags);
  return "program" in built ? built.program : lacking(context, built.problem);
}

function status(pid: number, field: string): string {
  return new RegExp(`^${field}:\\s*(.*)$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "";
}

describe("a userfaultfd made in a process that checks itself", () => {
  test.for(SELFCHECK_MODES)("%s", async (mode, context) => {
    const target = new SelfCheckingTarget(compiled(context, "selfcheck"), mode);
    try {
      await target.progress();
      const mask = status(target.pid, "SigBlk");
      for (let i = 0; i < ATTACHES; i++) {
        const { fd, thread, stoppedMs } = createUserfaultfdIn(target.pid, { patienceMs: 10_000 });
        expect(readlinkSync(`/proc/self/fd/${fd}`)).toBe("anon_inode:[userfaultfd]");
        closeSync(fd);
        expect(readdirSync(`/proc/${target.pid}/task`)).toContain(String(thread));
        expect(stoppedMs).toBeGreaterThan(0);
        await target.progress(1);
      }
      expect(target.interruptions).toBe(0);
      expect(target.userfaultfds).toBe(0);
      expect(status(target.pid, "TracerPid")).toBe("0");
      if (!mode.startsWith("sig")) expect(status(target.pid, "SigBlk")).toBe(mask);
    } finally {
      await target.stop();
    }
  });
});

/** Of a large piece of shared memory. */
const isData = ({ shared, write, end, start, path }: MapsEntry) =>
  shared && write && end - start >= 32_768 && path === "/dev/zero";

describe("write-protection of another process's memory, from here,", () => {
  test.for([
    ["that the process writes", "shared-memory", undefined],
    ["that the kernel writes for it", "kernel-writes", undefined],
    ["that the kernel writes, of a process that may only handle faults of its own", "kernel-writes", 65_534],
  ] as const)("%s", async ([, mode, uid], context) => {
    if (uid !== undefined && process.getuid?.() !== 0) lacking(context, "needs root, to be somebody else");
    const target = new SelfCheckingTarget(
      compiled(context, "selfcheck"),
      mode,
      uid === undefined ? {} : { uid },
    );
    try {
      await target.progress();
      using uffd = Userfaultfd.adopt(createUserfaultfdIn(target.pid).fd);
      uffd.handshake({ required: WRITE_PROTECT });
      const { start, end } = readMaps(target.pid).find(isData)!;
      uffd.register(start, end - start);
      for (let i = 0; i < 20; i++) {
        uffd.writeProtect(start, end - start, "protect");
        await target.progress(100);
      }
      uffd.unregister(start, end - start);
      await target.progress(100);
    } finally {
      await target.stop();
    }
  });
});

test("a process that is killed at any point of it: an error says that it has ended", async (context) => {
  const program = compiled(context, "unfit");
  const steps: string[] = [];
  {
    await using unfit = await startUnfit(program, "waits");
    closeSync(createUserfaultfdIn(unfit.pid, { onStep: (step) => steps.push(step) }).fd);
  }
  expect(steps.length).toBeGreaterThan(10);
  // At the last ones there is nothing more to do in it.
  for (const fatal of steps.slice(0, steps.indexOf("close: done"))) {
    await using unfit = await startUnfit(program, "waits");
    const onStep = (step: string) => {
      if (step === fatal) process.kill(unfit.pid, "SIGKILL");
    };
    expect(() => createUserfaultfdIn(unfit.pid, { onStep }), fatal).toThrow(/ESRCH|has ended/);
  }
});

test("of our own process it is a plain one", () => {
  using uffd = Userfaultfd.adopt(createUserfaultfdIn(process.pid).fd);
  expect(uffd.handshake({ required: WRITE_PROTECT })).toBe(WRITE_PROTECT);
});

test("a process that is stopped stays stopped, and goes on when it is told to", async (context) => {
  const target = new SelfCheckingTarget(compiled(context, "selfcheck"), "read");
  try {
    await target.progress();
    process.kill(target.pid, "SIGSTOP");
    await until(() => status(target.pid, "State").startsWith("T"));
    const { rounds } = target;
    for (let i = 0; i < 5; i++) closeSync(createUserfaultfdIn(target.pid).fd);
    await until(() => status(target.pid, "State").startsWith("T"));
    expect(target.rounds).toBe(rounds);
    process.kill(target.pid, "SIGCONT");
    await target.progress();
  } finally {
    await target.stop();
  }
});

test("a process that is told to stop, and to go on, at any point of it", async (context) => {
  const target = new SelfCheckingTarget(compiled(context, "selfcheck"), "read");
  try {
    await target.progress();
    const steps: string[] = [];
    closeSync(createUserfaultfdIn(target.pid, { onStep: (step) => steps.push(step) }).fd);
    for (const at of steps) {
      const onStep = (step: string) => {
        if (step === at) process.kill(target.pid, "SIGSTOP");
      };
      closeSync(createUserfaultfdIn(target.pid, { onStep, patienceMs: 10_000 }).fd);
      await until(() => status(target.pid, "State").startsWith("T"));
      const onNextStep = (step: string) => {
        if (step === at) process.kill(target.pid, "SIGCONT");
      };
      closeSync(createUserfaultfdIn(target.pid, { onStep: onNextStep, patienceMs: 10_000 }).fd);
      await target.progress();
    }
  } finally {
    await target.stop();
  }
});

test("a process whose first thread has ended, and the other has descriptors of its own", async (context) => {
  await using unfit = await startUnfit(compiled(context, "unfit"), "leader-gone");
  const descriptors = () =>
    readdirSync(`/proc/${unfit.pid}/task`).map((tid) => descriptorsOf(unfit.pid, tid));
  const before = descriptors();
  const { fd, thread } = createUserfaultfdIn(unfit.pid);
  expect(thread).not.toBe(unfit.pid);
  expect(readlinkSync(`/proc/self/fd/${fd}`)).toBe("anon_inode:[userfaultfd]");
  closeSync(fd);
  expect(descriptors()).toEqual(before);
});

describe("refused, before anything is touched:", () => {
  test.for([
    ["seccomp-allow", "under a seccomp filter"],
    ["seccomp-strict", "under seccomp's strict mode"],
    ["zombie", "has ended (a zombie"],
    ["vfork", "waits for a device or a child of vfork"],
  ])("%s", async ([mode, reason], context) => {
    await using unfit = await startUnfit(compiled(context, "unfit"), mode);
    const steps: string[] = [];
    const options = { patienceMs: 50, onStep: (step: string) => steps.push(step) };
    expect(() => createUserfaultfdIn(unfit.pid, options)).toThrow(reason);
    expect(steps).toEqual([]);
  });

  test("what another process traces", async (context) => {
    const target = new SelfCheckingTarget(compiled(context, "selfcheck"), "read");
    const strace = spawn("strace", ["-qq", "-o", "/dev/null", "-p", String(target.pid)], { stdio: "ignore" });
    const failed = once(strace, "error").then(() => true);
    try {
      await target.progress();
      const traced = until(() => status(target.pid, "TracerPid") !== "0").then(() => false);
      if (await Promise.race([failed, traced])) lacking(context, "needs strace");
      expect(() => createUserfaultfdIn(target.pid)).toThrow(`process ${strace.pid} traces it`);
    } finally {
      const ended = strace.pid === undefined ? undefined : once(strace, "exit");
      strace.kill();
      await ended;
      await target.stop();
    }
  });

  test("a 32-bit program", async (context) => {
    const flags = ["-m32", "-static", "-nostdlib", "-O1", "-fno-pie", "-no-pie", "-fno-stack-protector"];
    await using unfit = await startUnfit(compiled(context, "sleep-without-libc", flags), "");
    expect(() => createUserfaultfdIn(unfit.pid)).toThrow("it is not a program for 64-bit x86");
  });

  test("a program without libc", async (context) => {
    const flags = ["-static", "-nostdlib", "-O1", "-fno-stack-protector"];
    await using unfit = await startUnfit(compiled(context, "sleep-without-libc", flags), "");
    expect(() => createUserfaultfdIn(unfit.pid)).toThrow("it has no code that makes a system call");
  });

  test("init, a thread of the kernel, and what is not there", () => {
    expect(() => createUserfaultfdIn(1)).toThrow("it is init");
    const kernelThread = listPids().find((pid) => isKernelThread(pid));
    if (kernelThread !== undefined)
      expect(() => createUserfaultfdIn(kernelThread)).toThrow("a thread of the kernel");
    expect(() => createUserfaultfdIn(2 ** 22 + 1)).toThrow("ESRCH");
  });
});

describe("refused, where its thread is when it is stopped:", () => {
  test.for([
    ["own-stack", "it runs on a stack of its program's making"],
    ["stack-end", "it is too near the end of its stack"],
    ["alternate-stack", "it runs a signal handler on an alternate stack"],
    ["syscall-dispatch", "it handles system calls itself"],
  ])("%s", async ([mode, reason], context) => {
    await using unfit = await startUnfit(compiled(context, "unfit"), mode);
    const steps = new Set<string>();
    const options = { patienceMs: 1000, onStep: (step: string) => steps.add(step) };
    expect(() => createUserfaultfdIn(unfit.pid, options)).toThrow(reason);
    // Nothing was written.
    expect([...steps]).toEqual(["chosen", "seized", "interrupted", "stopped", "detached"]);
    expect(status(unfit.pid, "TracerPid")).toBe("0");
  });
});

test("no call is made in a restartable sequence, which it would not notice", async (context) => {
  await using unfit = await startUnfit(compiled(context, "unfit"), "restartable");
  // Now and then the kernel has just taken the thread out of it when it stops.
  await until(() => {
    try {
      closeSync(createUserfaultfdIn(unfit.pid, { patienceMs: 1000 }).fd);
      return false;
    } catch (error) {
      expect(String(error)).toContain("it is in a restartable sequence");
      return true;
    }
  });
});

describe("under a seccomp filter, with force,", () => {
  test("it works if the filter allows it", async (context) => {
    await using unfit = await startUnfit(compiled(context, "unfit"), "seccomp-allow");
    closeSync(createUserfaultfdIn(unfit.pid, { force: true }).fd);
  });

  test("the filter's error is told, and the process goes on", async (context) => {
    await using unfit = await startUnfit(compiled(context, "unfit"), "seccomp-errno");
    expect(() => createUserfaultfdIn(unfit.pid, { force: true })).toThrow(
      `userfaultfd in process ${unfit.pid}: EPERM`,
    );
    expect(status(unfit.pid, "State")).toMatch(/^S/);
  });
});
