import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { expect, test } from "vitest";
import {
  commandLine,
  isKernelThread,
  listPids,
  listThreads,
  parseCounters,
  parseSwaps,
  processName,
  processStartTime,
  readSwaps,
  readVmstat,
  statFields,
} from "./procfs.ts";

test("this process is among the processes, and its main thread among its threads", () => {
  expect(listPids()).toContain(process.pid);
  expect(listThreads(process.pid)).toContain(process.pid);
});

test("a process's name and start; the start is not that of one started later", async () => {
  const started = performance.now();
  while (performance.now() - started < 30); // more than a clock tick after whatever came before
  const child = spawn("/bin/sleep", ["60"]);
  try {
    await once(child, "spawn");
    const pid = child.pid as number;
    expect(processName(pid)).toBe("sleep");
    expect(commandLine(pid)).toEqual(["/bin/sleep", "60"]);
    expect(processStartTime(pid)).toBeGreaterThan(processStartTime(process.pid));
    expect(isKernelThread(pid)).toBe(false);
  } finally {
    child.kill();
  }
});

test("stat's name may hold anything", () => {
  expect(statFields("42 (a) R 1 (b)) S 1 42 0\n")).toEqual(["S", "1", "42", "0"]);
});

test("a process that has ended is ESRCH, whatever is asked of it", () => {
  const { pid } = spawnSync("/bin/true");
  for (const ask of [processName, processStartTime, listThreads]) {
    expect(() => ask(pid)).toThrow(/ESRCH: there is no process/);
  }
});

test("vmstat has counters", () => {
  expect(parseCounters("pswpin 3\npswpout 18446744073709551615\n")).toEqual({ pswpin: 3, pswpout: 2 ** 64 });
  expect(readVmstat().pgfault).toBeGreaterThan(0);
});

test("swap areas", () => {
  const text = `Filename				Type		Size		Used		Priority
/dev/zram0                              partition	1048572		512		100
/tmp/a\\040swap\\040file                   file		2044		0		-2
/tmp/gone\\040(deleted)                   file		2044		0		-3
`;
  const kb = 1024;
  expect(parseSwaps(text)).toEqual([
    { path: "/dev/zram0", type: "partition", sizeBytes: 1048572 * kb, usedBytes: 512 * kb, priority: 100 },
    { path: "/tmp/a swap file", type: "file", sizeBytes: 2044 * kb, usedBytes: 0, priority: -2 },
    { path: "/tmp/gone", type: "file", sizeBytes: 2044 * kb, usedBytes: 0, priority: -3 },
  ]);
  for (const { sizeBytes } of readSwaps()) expect(sizeBytes).toBeGreaterThan(0);
});
