import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, type TestContext, test } from "vitest";
import { lacking } from "../../test/support/requirement.ts";
import { startUnfit, TargetFolder } from "../../test/support/target.mjs";
import { MADV_GUARD_INSTALL } from "../abi/index.ts";
import { DrivenProcess } from "./driven-process.ts";
import { processCapabilities } from "./process-capabilities.ts";
import { listPids, processName } from "./procfs.ts";
import { SharedMemory } from "./shared-memory.ts";
import { Userfaultfd } from "./userfaultfd.ts";

function missingOf(pid: number): Record<string, string> {
  const { findings } = processCapabilities(pid);
  return Object.fromEntries(
    findings.filter(({ available }) => !available).map(({ name, reason }) => [name, reason]),
  );
}

describe("a process that runs", () => {
  let pid = 0;
  let end = () => undefined as unknown;
  beforeEach(async () => {
    const child = spawn("/bin/sleep", ["60"]);
    await once(child, "spawn");
    pid = child.pid as number;
    end = () => child.kill();
  });
  afterEach(() => end());

  test("of ours can be looked at and attached to", () => {
    expect(processCapabilities(pid)).toMatchObject({ pid, name: "sleep" });
    expect(missingOf(pid)).toEqual({});
  });
});

test("a process that is traced has its tracer told", () => {
  using driven = DrivenProcess.spawn();
  expect(missingOf(driven.pid)).toMatchObject({
    "no tracer": `thread ${driven.pid}: process ${process.pid} traces it`,
  });
});

describe("a program that is unfit", () => {
  let folder: TargetFolder;
  beforeAll(() => {
    folder = new TargetFolder();
  });
  afterAll(() => folder[Symbol.dispose]());

  async function missingOfUnfit(context: TestContext, mode: string): Promise<Record<string, string>> {
    const compiled = folder.compile("unfit");
    if ("problem" in compiled) lacking(context, compiled.problem);
    await using unfit = await startUnfit(compiled.program, mode);
    return missingOf(unfit.pid);
  }

  test("under a seccomp filter", async (context) => {
    const missing = await missingOfUnfit(context, "seccomp-allow");
    expect(missing).toEqual({ "no seccomp": expect.stringMatching(/^thread \d+: seccomp is in mode 2$/) });
  });

  test("that has ended", async (context) => {
    const missing = await missingOfUnfit(context, "zombie");
    expect(missing).toEqual({ memory: "it has ended (Z (zombie))" });
  });
});

test("guard regions are seen", (context) => {
  using memory = new SharedMemory(4, "guarded");
  try {
    memory.madvise(1, 1, MADV_GUARD_INSTALL);
  } catch {
    lacking(context, "guard regions in shared memory (Linux 6.15)");
  }
  expect(missingOf(process.pid)).toMatchObject({ "no guard regions": "some are in /memfd:guarded" });
});

test("registrations for userfaultfd are seen", (context) => {
  using memory = new SharedMemory(4, "registered");
  let userfaultfd: Userfaultfd;
  try {
    userfaultfd = Userfaultfd.create();
    userfaultfd.handshake({ required: 0, optional: 0xffff_ffff });
  } catch (error) {
    lacking(context, `userfaultfd: ${error}`);
  }
  userfaultfd.register(memory.address, 4 * 4096);
  try {
    expect(missingOf(process.pid)).toMatchObject({ "no userfaultfd": "registered: /memfd:registered" });
  } finally {
    userfaultfd[Symbol.dispose]();
  }
});

test("a kernel thread has no memory", (context) => {
  const kthreadd = listPids().find((pid) => pid === 2 && processName(pid) === "kthreadd");
  if (kthreadd === undefined) lacking(context, "the initial pid namespace, where kernel threads are seen");
  const { findings } = processCapabilities(kthreadd);
  expect(findings).toMatchObject([
    { name: "memory", available: false, reason: "it is a thread of the kernel" },
  ]);
});

test("no such process", () => {
  expect(() => processCapabilities(2 ** 22 + 1)).toThrow(/ESRCH/);
});
