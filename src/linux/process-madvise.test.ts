import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { expect, test } from "vitest";
import { PAGE_SIZE } from "../abi/index.ts";
import { Pidfd } from "./pidfd.ts";
import { processMadvise } from "./process-madvise.ts";
import { SharedMemory } from "./shared-memory.ts";

test("takes any number of ranges, and tells how many bytes were advised", () => {
  const pages = 3000;
  using memory = new SharedMemory(pages);
  for (let page = 0; page < pages; page++) memory.touch(page);
  using pidfd = Pidfd.open(process.pid);
  const ranges = Array.from({ length: pages / 2 }, (_, index) => {
    const start = memory.address + 2 * index * PAGE_SIZE;
    return { start, end: start + PAGE_SIZE };
  });
  expect(processMadvise(pidfd, ranges, "COLD")).toBe((pages / 2) * PAGE_SIZE);
  expect(processMadvise(pidfd, [], "COLD")).toBe(0);
});

test("stops at what is not mapped", () => {
  using memory = new SharedMemory(4);
  using pidfd = Pidfd.open(process.pid);
  const mapped = { start: memory.address, end: memory.address + PAGE_SIZE };
  const unmapped = { start: PAGE_SIZE, end: 2 * PAGE_SIZE };
  expect(processMadvise(pidfd, [mapped, unmapped, mapped], "COLD")).toBe(PAGE_SIZE);
  expect(() => processMadvise(pidfd, [unmapped], "COLD")).toThrow(/process_madvise COLD .* ENOMEM/);
});

test("a process that has ended", async () => {
  const child = spawn("/bin/sleep", ["60"]);
  await once(child, "spawn");
  using pidfd = Pidfd.open(child.pid as number);
  child.kill("SIGKILL");
  await once(child, "exit");
  expect(() => processMadvise(pidfd, [{ start: 4096, end: 8192 }], "PAGEOUT")).toThrow(/ESRCH.*has ended/);
});
