import { expect, test } from "vitest";
import {
  failure,
  PAGE,
  pattern,
  stateHash,
  states,
  testKernel,
  wrongPagesOf,
} from "../../test/support/model.ts";

test("has the size it was made with, and what was written", () => {
  const kernel = testKernel();
  const memfd = kernel.memfdCreate({ sizePages: 3 });
  expect([memfd.sizeBytes, states(memfd)]).toEqual([3 * PAGE, ["hole", "hole", "hole"]]);
  expect(memfd.pwrite(pattern(1), PAGE)).toBe(PAGE);
  expect([memfd.frameAt(0), memfd.frameAt(1) > 0, wrongPagesOf(memfd, 1, 1, 1)]).toEqual([-1, true, []]);
});

test("an empty one reads nothing and can be written to", () => {
  const memfd = testKernel().memfdCreate({ sizePages: 0 });
  expect(memfd.pread(new Uint8Array(10), 0)).toBe(0);
  expect([memfd.pwrite(new Uint8Array([1, 2]), 0), memfd.sizeBytes]).toEqual([2, 2]);
  expect(memfd.pwrite(new Uint8Array(0), 100)).toBe(0);
  expect(memfd.sizeBytes).toBe(2);
});

test("after close every call fails with EBADF, once", () => {
  const memfd = testKernel().memfdCreate({ sizePages: 1 });
  memfd.pwrite(pattern(0), 0);
  memfd.close();
  const buffer = new Uint8Array(8);
  const calls = [
    () => memfd.pread(buffer, 0),
    () => memfd.pwrite(buffer, 0),
    () => memfd.fallocate(0, PAGE),
    () => memfd.punchHole(0, PAGE),
    () => memfd.ftruncate(0),
    () => memfd.close(),
  ];
  expect(calls.map(failure)).toEqual(Array(6).fill("EBADF"));
});

test("closing frees its pages, unless something maps it", () => {
  const kernel = testKernel();
  {
    using memfd = kernel.memfdCreate({ sizePages: 2 });
    memfd.pwrite(pattern(0), 0);
    memfd.pwrite(pattern(1), PAGE);
    kernel.reclaimPages([memfd.frameAt(1)]);
  }
  expect([kernel.objects, kernel.frames.freeCount, kernel.swap.areas[0].usedSlots]).toEqual([
    [],
    kernel.frames.sizePages,
    0,
  ]);
});

test("negative positions and sizes are EINVAL, and change nothing", () => {
  const memfd = testKernel().memfdCreate({ sizePages: 1 });
  memfd.pwrite(pattern(0), 0);
  const buffer = new Uint8Array(8);
  const calls = [-1, -PAGE, 0.5, Number.NaN].flatMap((wrong) => [
    () => memfd.pread(buffer, wrong),
    () => memfd.pwrite(buffer, wrong),
    () => memfd.fallocate(wrong, PAGE),
    () => memfd.fallocate(0, wrong),
    () => memfd.punchHole(wrong, PAGE),
    () => memfd.punchHole(0, wrong),
    () => memfd.ftruncate(wrong),
  ]);
  expect(new Set(calls.map(failure))).toEqual(new Set(["EINVAL"]));
  expect(failure(() => memfd.punchHole(0, 0))).toBe("EINVAL");
  expect(failure(() => memfd.fallocate(0, 0))).toBe("EINVAL");
  expect([memfd.sizeBytes, wrongPagesOf(memfd, 0, 1)]).toEqual([PAGE, []]);
});

test("one that can't be made leaves nothing", () => {
  const kernel = testKernel();
  expect(failure(() => kernel.memfdCreate({ sizePages: -1 }))).toBe("EINVAL");
  expect(kernel.objects).toEqual([]);
});

test("pages are charged to the group that is named, else to the root", () => {
  const kernel = testKernel();
  const group = kernel.createGroup("writers");
  const memfd = kernel.memfdCreate({ sizePages: 4 });
  memfd.pwrite(pattern(0), 0, group);
  memfd.fallocate(PAGE, PAGE, group);
  memfd.pwrite(pattern(1), 2 * PAGE);
  expect([group.usagePages, kernel.groups.root.usagePages]).toEqual([2, 1]);
});

test("errors say which call failed", () => {
  const memfd = testKernel().memfdCreate({ sizePages: 1 });
  expect(() => memfd.ftruncate(-1)).toThrow(
    expect.objectContaining({ code: "EINVAL", errno: 22, syscall: "ftruncate" }),
  );
});

test("a huge sparse object costs what it holds", () => {
  const kernel = testKernel();
  const memfd = kernel.memfdCreate({ sizePages: 2 ** 30 });
  memfd.pwrite(pattern(3), (2 ** 30 - 1) * PAGE);
  expect(wrongPagesOf(memfd, 2 ** 30 - 1, 1, 3)).toEqual([]);
  expect(kernel.memoryUse().pageCacheBytes).toBeLessThan(64 * 1024);
  kernel.reclaimAll();
  expect(wrongPagesOf(memfd, 2 ** 30 - 1, 1, 3)).toEqual([]);
  memfd.punchHole(0, 2 ** 42);
  expect(kernel.frames.freeCount).toBe(kernel.frames.sizePages);
});

test("the end of what an object may have, 2^40 pages, can't be passed: EFBIG", () => {
  const end = 2 ** 52;
  const memfd = testKernel().memfdCreate({ sizePages: 1 });
  const calls = [
    () => memfd.ftruncate(end + 1),
    () => memfd.pwrite(new Uint8Array(2), end - 1),
    () => memfd.fallocate(end - PAGE, PAGE + 1),
    () => memfd.punchHole(0, end + 1),
  ];
  expect(calls.map(failure)).toEqual(Array(4).fill("EFBIG"));
  expect([memfd.sizeBytes, states(memfd)]).toEqual([PAGE, ["hole"]]);
});

test("the last page that an object may have keeps its bytes, in memory and in swap", () => {
  const last = 2 ** 40 - 1;
  const kernel = testKernel();
  const memfd = kernel.memfdCreate({ sizePages: last + 1 });
  memfd.pwrite(pattern(1), last * PAGE);
  kernel.checkInvariants();
  kernel.reclaimAll();
  expect([memfd.pageState(last), wrongPagesOf(memfd, last, 1, 1)]).toEqual(["swapped", []]);
  const beyond = [(last + 1) * PAGE, Number.MAX_SAFE_INTEGER];
  expect(beyond.map((position) => memfd.pread(new Uint8Array(PAGE), position))).toEqual([0, 0]);
});

test("cachestat, SEEK_DATA, mincore and fstat tell of its pages, and change nothing", () => {
  const kernel = testKernel({ synchronous: false });
  const memfd = kernel.memfdCreate({ sizePages: 6 });
  memfd.fallocate(PAGE, PAGE);
  for (const page of [2, 3, 4]) memfd.pwrite(pattern(page), page * PAGE);
  kernel.reclaimPages([memfd.frameAt(3), memfd.frameAt(4)]);
  kernel.reclaimPages([memfd.frameAt(4)]);
  expect(states(memfd)).toEqual(["hole", "reserved", "cached", "swap-cached", "swapped", "hole"]);
  const before = stateHash(kernel);
  expect([memfd.cachestat(0, 6), memfd.cachestat(1, 1), memfd.cachestat(4, 10)]).toEqual([
    { cached: 2, evicted: 2 },
    { cached: 1, evicted: 0 },
    { cached: 0, evicted: 1 },
  ]);
  const resident = new Uint8Array(6);
  memfd.mincore(0, 6, resident);
  expect([...resident]).toEqual([0, 0, 1, 1, 0, 0]);
  const runs: number[][] = [];
  memfd.forEachData(0, 10, (first, pages) => runs.push([first, pages]));
  memfd.forEachData(3, 1, (first, pages) => runs.push([first, pages]));
  memfd.forEachData(0, 2, (first, pages) => runs.push([first, pages]));
  expect(runs).toEqual([
    [2, 3],
    [3, 1],
  ]);
  expect(memfd.fstat()).toMatchObject({ sizeBytes: 6 * PAGE, blocks: 4 * 8 });
  expect(stateHash(kernel)).toBe(before);
});

test("fstat shows that a call changed it, and not that a page was touched or paged out", () => {
  const kernel = testKernel();
  const memfd = kernel.memfdCreate({ sizePages: 4 });
  const process = kernel.createProcess();
  const address = process.mmap({ lengthBytes: 4 * PAGE, object: memfd, shared: true, write: true });
  const changed = (action: () => void): boolean => {
    const { changes } = memfd.fstat();
    action();
    return memfd.fstat().changes !== changes;
  };
  expect([
    changed(() => process.storeU64(address, 1n)),
    changed(() => process.madvise(address, PAGE, "PAGEOUT")),
    changed(() => process.madvise(address, PAGE, "REMOVE")),
    changed(() => memfd.pwrite(pattern(0), 0)),
    changed(() => memfd.punchHole(0, PAGE)),
    changed(() => memfd.fallocate(0, PAGE)),
    changed(() => memfd.ftruncate(PAGE)),
  ]).toEqual([false, false, true, true, true, true, true]);
});
