import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { expect, test } from "vitest";
import { PAGE_SIZE, PM_HI_FILE, PM_HI_PRESENT, TASK_SIZE } from "../abi/index.ts";
import { PagemapFile, pagemapShowsFrames } from "./pagemap.ts";
import { SharedMemory } from "./shared-memory.ts";

test("pages that were touched are present", () => {
  using memory = new SharedMemory(64);
  for (let page = 0; page < 64; page += 3) memory.touch(page);
  using pagemap = PagemapFile.open(process.pid);
  const words = new Uint32Array(2 * 64);
  expect(pagemap.read(memory.firstPage, words)).toBe(64);
  for (let page = 0; page < 64; page++) {
    const flags = words[2 * page + 1] & (PM_HI_PRESENT | PM_HI_FILE);
    expect(flags >>> 0).toBe(page % 3 === 0 ? PM_HI_PRESENT + PM_HI_FILE : 0);
  }
});

test("a range of several chunks comes whole and in order", () => {
  const pages = 150_000;
  using memory = new SharedMemory(pages);
  const touched = [0, 65_535, 65_536, 131_072, pages - 1];
  for (const page of touched) memory.touch(page);
  using pagemap = PagemapFile.open(process.pid);
  const found: number[] = [];
  let next = memory.firstPage;
  const count = pagemap.forEachChunk(memory.firstPage, pages, (words, first, chunkPages) => {
    expect(first).toBe(next);
    next += chunkPages;
    for (let page = 0; page < chunkPages; page++) {
      if (words[2 * page + 1] >= PM_HI_PRESENT) found.push(first + page - memory.firstPage);
    }
  });
  expect(count).toBe(pages);
  expect(found).toEqual(touched);
});

test("the address space ends", () => {
  using pagemap = PagemapFile.open(process.pid);
  const end = Math.ceil(TASK_SIZE / PAGE_SIZE);
  const words = new Uint32Array(2 * 1024).fill(7);
  const count = pagemap.read(end - 16, words);
  expect(count).toBeLessThan(1024); // at the end of what the page tables of this CPU can map
  expect(count).toBeGreaterThanOrEqual(16);
});

test("a process that has ended has no pages", async () => {
  const child = spawn("/bin/sleep", ["60"]);
  await once(child, "spawn");
  using pagemap = PagemapFile.open(child.pid as number);
  child.kill("SIGKILL");
  await once(child, "exit");
  expect(pagemap.read(16, new Uint32Array(20))).toBe(0);
  expect(pagemap.forEachChunk(16, 10, () => expect.unreachable())).toBe(0);
  expect(() => PagemapFile.open(child.pid as number)).toThrow(/pagemap: ESRCH/);
});

test("frame numbers are shown to root, and to root alone", () => {
  expect(pagemapShowsFrames()).toBe(process.geteuid?.() === 0);
});
