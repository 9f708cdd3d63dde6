import { describe, expect, test } from "vitest";
import { fill, PAGE, testKernel, wrongPages } from "../../test/support/model.ts";
import { allocPage, putPage, watermarksFor } from "./page-alloc.ts";

describe("watermarks", () => {
  test.each([
    [1, { min: 1, low: 2, high: 2 }],
    [256, { min: 1, low: 2, high: 2 }],
    [4096, { min: 16, low: 20, high: 24 }],
    [65536, { min: 256, low: 320, high: 384 }],
    [2 ** 30, { min: 16384, low: 20480, high: 24576 }],
  ])("of %i pages", (pages, watermarks) => {
    expect(watermarksFor(pages)).toEqual(watermarks);
  });

  test("rise, and each leaves most of memory to be used", () => {
    for (let pages = 16; pages <= 2 ** 30; pages *= 2) {
      const { min, low, high } = watermarksFor(pages);
      expect(min).toBeGreaterThan(0);
      expect(low).toBeGreaterThan(min);
      expect(high).toBeGreaterThanOrEqual(low);
      expect(high).toBeLessThan(pages / 4);
    }
  });
});

describe("a page", () => {
  test("is charged to the group that took it, and uncharged when the last reference goes", () => {
    const kernel = testKernel({ memoryPages: 16 });
    const group = kernel.createGroup("a");
    const pfn = allocPage(kernel, group);
    expect([pfn > 0, group.usagePages, kernel.frames.refcount[pfn], kernel.frames.freeCount]).toEqual([
      true,
      1,
      1,
      15,
    ]);
    kernel.frames.refcount[pfn]++;
    putPage(kernel, pfn);
    expect([group.usagePages, kernel.frames.freeCount]).toEqual([1, 15]);
    putPage(kernel, pfn);
    expect([group.usagePages, kernel.frames.freeCount]).toEqual([0, 16]);
  });

  test("is had by paging out others when memory is short", () => {
    const kernel = testKernel({ memoryPages: 32 });
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 100 * PAGE, write: true });
    fill(process, address, 100);
    expect(kernel.vmstat.oom).toBe(0);
    expect(kernel.vmstat.pswpout).toBeGreaterThan(60);
    expect(wrongPages(process, address, 100)).toEqual([]);
  });

  test("is not had at all when nothing can go: 0, counted, and everything is as it was", () => {
    const kernel = testKernel({ memoryPages: 8, swapPages: [] });
    const taken: number[] = [];
    for (
      let pfn = allocPage(kernel, kernel.groups.root);
      pfn !== 0;
      pfn = allocPage(kernel, kernel.groups.root)
    )
      taken.push(pfn);
    expect([...taken].sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect([kernel.vmstat.oom, kernel.groups.root.usagePages, kernel.isReclaiming]).toEqual([1, 8, false]);
    for (const pfn of taken) putPage(kernel, pfn);
    expect(kernel.frames.freeCount).toBe(8);
  });

  test("of a process is ENOMEM when there is none, and the process can go on", () => {
    const kernel = testKernel({ memoryPages: 8, swapPages: [] });
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 20 * PAGE, write: true });
    expect(() => process.touchWrite(address, 20 * PAGE)).toThrow("ENOMEM");
    kernel.checkInvariants();
    process.munmap(address, 10 * PAGE);
    process.storeU64(address + 19 * PAGE, 5n);
    expect(process.loadU64(address + 19 * PAGE)).toBe(5n);
  });
});

describe("a group's limit", () => {
  test("is kept by paging out the group's own pages, and nobody else's", () => {
    const kernel = testKernel({ memoryPages: 256 });
    const group = kernel.createGroup("a", { limitPages: 10 });
    const other = kernel.createProcess();
    const [small, free] = [kernel.createProcess({ group }), kernel.createGroup("b")];
    const theirs = other.mmap({ lengthBytes: 20 * PAGE, write: true });
    fill(other, theirs, 20, 1000);
    const address = small.mmap({ lengthBytes: 50 * PAGE, write: true });
    for (let page = 0; page < 50; page++) {
      fill(small, address + page * PAGE, 1, page);
      expect(group.usagePages).toBeLessThanOrEqual(10);
    }
    expect([kernel.groups.root.usagePages, free.usagePages]).toEqual([20, 0]);
    expect(other.frameAt(theirs)).toBeGreaterThan(0);
    expect(wrongPages(small, address, 50)).toEqual([]);
  });

  test("that can't be kept is ENOMEM for the group alone", () => {
    const kernel = testKernel({ memoryPages: 64, swapPages: [] });
    const group = kernel.createGroup("a", { limitPages: 5 });
    const [small, other] = [kernel.createProcess({ group }), kernel.createProcess()];
    const address = small.mmap({ lengthBytes: 10 * PAGE, write: true });
    expect(() => small.touchWrite(address, 10 * PAGE)).toThrow("ENOMEM");
    expect(group.usagePages).toBe(5);
    const theirs = other.mmap({ lengthBytes: 10 * PAGE, write: true });
    other.touchWrite(theirs, 10 * PAGE);
  });

  test("that is lowered is kept from the next page on", () => {
    const kernel = testKernel({ memoryPages: 64 });
    const group = kernel.createGroup("a", { limitPages: 30 });
    const process = kernel.createProcess({ group });
    const address = process.mmap({ lengthBytes: 30 * PAGE, write: true });
    fill(process, address, 25);
    group.limitPages = 10;
    fill(process, address + 25 * PAGE, 1, 25);
    expect(group.usagePages).toBeLessThanOrEqual(10);
    expect(wrongPages(process, address, 26)).toEqual([]);
  });
});
