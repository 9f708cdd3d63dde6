import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { onePidOf, pidsOf, refuseWithoutMemory } from "./processes.ts";

const NAME = `a-name-longer-than-15-${process.pid}`;

describe("processes", () => {
  const folder = mkdtempSync(join(tmpdir(), "ptemark-processes-"));
  const pids: number[] = [];
  const ends: (() => void)[] = [];
  beforeAll(async () => {
    copyFileSync("/bin/sleep", join(folder, NAME));
    for (let i = 0; i < 2; i++) {
      const child = spawn(join(folder, NAME), ["600"]);
      await once(child, "spawn");
      pids.push(child.pid as number);
      ends.push(() => child.kill("SIGKILL"));
    }
  });
  afterAll(() => {
    for (const end of ends) end();
    rmSync(folder, { recursive: true });
  });

  test("by pid and by name, each once", () => {
    expect(pidsOf([String(pids[1]), NAME])).toEqual([pids[1], pids[0]]);
    expect(pidsOf([String(pids[0])])).toEqual([pids[0]]);
  });

  test("one, where one is meant; of several with the name, all are told", () => {
    expect(onePidOf(String(pids[0]))).toBe(pids[0]);
    expect(() => onePidOf(NAME)).toThrow(
      `2 processes are named "${NAME}"; give the pid of one:\n  ${pids[0]}  ${join(folder, NAME)} 600\n  ${pids[1]}  `,
    );
  });

  test("that run are none to refuse", () => {
    expect(() => refuseWithoutMemory(pids[0])).not.toThrow();
  });
});

test("a name that nobody has", () => {
  expect(() => pidsOf(["no-such-program"])).toThrow('there is no process "no-such-program"; give a pid');
});

test("a number is a pid, whether there is such a process or not", () => {
  expect(pidsOf(["4194305"])).toEqual([4194305]);
  expect(() => refuseWithoutMemory(4194305)).toThrow("ESRCH");
});
