import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, readlinkSync } from "node:fs";
import process from "node:process";
import { expect, test } from "vitest";
import { Pidfd } from "./pidfd.ts";
import { SharedMemory } from "./shared-memory.ts";

test("a descriptor of a process, taken over", () => {
  using memory = new SharedMemory(1, "taken");
  using pidfd = Pidfd.open(process.pid);
  const copy = pidfd.getfd(memory.fd);
  expect(copy).not.toBe(memory.fd);
  expect(readlinkSync(`/proc/self/fd/${copy}`)).toBe("/memfd:taken (deleted)");
  closeSync(copy);
  expect(() => pidfd.getfd(999_999)).toThrow(/EBADF: the process has no such descriptor/);
});

test("no such process", () => {
  const { pid } = spawnSync("/bin/true");
  expect(() => Pidfd.open(pid)).toThrow(/pidfd_open of \d+: ESRCH: there is no process/);
});

test("whether a process is still there", async () => {
  const child = spawn("/bin/sleep", ["100"]);
  const ended = once(child, "exit");
  using pidfd = Pidfd.open(child.pid!);
  expect(pidfd.isAlive()).toBe(true);
  child.kill("SIGKILL");
  await ended;
  expect(pidfd.isAlive()).toBe(false);
});

test("of a thread, where this kernel has that", () => {
  using thread = Pidfd.openThread(process.pid);
  if (thread === undefined) return; // before 6.9
  using memory = new SharedMemory(1, "taken");
  const copy = thread.getfd(memory.fd);
  expect(readlinkSync(`/proc/self/fd/${copy}`)).toBe("/memfd:taken (deleted)");
  closeSync(copy);
  expect(Pidfd.openThread(2 ** 22 + 1)).toBeUndefined();
});
