import { describe, expect, test } from "vitest";
import {
  failure,
  fill,
  mincore,
  PAGE,
  pagemap,
  pattern,
  states,
  testKernel,
  wrongPages,
  wrongPagesOf,
} from "../../test/support/model.ts";

describe("which pages reclaim takes", () => {
  test("the oldest that nobody used", () => {
    const kernel = testKernel();
    const object = kernel.memfdCreate({ sizePages: 6 });
    for (let page = 0; page < 6; page++) object.pwrite(pattern(page), page * PAGE);
    expect(kernel.reclaim({ targetPages: 2 })).toBe(2);
    expect(states(object)).toEqual(["swapped", "swapped", "cached", "cached", "cached", "cached"]);
    expect(wrongPagesOf(object, 0, 6)).toEqual([]);
  });

  test("not those that were used since the last look, as long as there are others", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 4 });
    const address = process.mmap({ lengthBytes: PAGE, object, shared: true, write: true });
    process.storeU64(address, 1n);
    for (let page = 1; page < 4; page++) object.pwrite(pattern(page), page * PAGE);
    expect(kernel.reclaim({ targetPages: 3 })).toBe(3);
    expect(states(object)).toEqual(["cached", "swapped", "swapped", "swapped"]);
    expect(pagemap(process, address, 1)).toEqual(["143"]);
  });

  test("active pages only after the inactive ones", () => {
    const kernel = testKernel();
    const object = kernel.memfdCreate({ sizePages: 8 });
    for (let page = 0; page < 8; page++) object.pwrite(pattern(page), page * PAGE);
    // Written a second time, the first three become active.
    for (let page = 0; page < 3; page++) object.pwrite(pattern(page), page * PAGE);
    expect(kernel.vmstat.pgdeactivate).toBe(0);
    expect(kernel.reclaim({ targetPages: 5 })).toBe(5);
    expect(states(object)).toEqual([...Array(3).fill("cached"), ...Array(5).fill("swapped")]);
    expect(kernel.reclaim({ targetPages: 3 })).toBe(3);
    expect(kernel.vmstat.pgdeactivate).toBeGreaterThan(0);
  });

  test("no active ones at all while there are more inactive ones", () => {
    const kernel = testKernel();
    const object = kernel.memfdCreate({ sizePages: 10 });
    for (let page = 0; page < 10; page++) object.pwrite(pattern(page), page * PAGE);
    for (let page = 0; page < 2; page++) object.pwrite(pattern(page), page * PAGE);
    expect(kernel.reclaim({ targetPages: 4 })).toBe(4);
    expect(kernel.vmstat).toMatchObject({ pgdeactivate: 0, pgscan: 4, pgsteal: 4 });
  });

  test("exactly these frames, used lately or not, when told which", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 8 * PAGE, write: true });
    fill(process, address, 8);
    const frames = [1, 4, 6].map((page) => process.frameAt(address + page * PAGE));
    expect(kernel.reclaimPages(frames)).toBe(3);
    expect(mincore(process, address, 8)).toBe("10110101");
    expect(wrongPages(process, address, 8)).toEqual([]);
  });

  test("all of them when thorough: no process has a page left", () => {
    const kernel = testKernel();
    const [a, b] = [kernel.createProcess(), kernel.createProcess()];
    const object = kernel.memfdCreate({ sizePages: 4 });
    const inA = a.mmap({ lengthBytes: 4 * PAGE, object, shared: true, write: true });
    const inB = b.mmap({ lengthBytes: 4 * PAGE, object, shared: true, write: true });
    const own = b.mmap({ lengthBytes: 4 * PAGE, write: true });
    fill(a, inA, 4);
    b.touchRead(inB, 4 * PAGE);
    fill(b, own, 4, 10);
    expect(kernel.reclaimAll()).toBe(8);
    expect(kernel.frames.freeCount).toBe(kernel.frames.sizePages);
    expect([pagemap(a, inA, 4), pagemap(b, inB, 4)].flat()).toEqual(Array(8).fill("81:30.2"));
    expect([wrongPages(b, inB, 4), wrongPages(b, own, 4, 10)]).toEqual([[], []]);
  });

  test("nothing when there is nothing, and nothing without swap", () => {
    expect(testKernel().reclaimAll()).toBe(0);
    const kernel = testKernel({ swapPages: [] });
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 4 * PAGE, write: true });
    fill(process, address, 4);
    expect(kernel.reclaimAll()).toBe(0);
    expect(wrongPages(process, address, 4)).toEqual([]);
  });
});

describe("a group", () => {
  test("is reclaimed from alone", () => {
    const kernel = testKernel();
    const group = kernel.createGroup("small");
    const [inside, outside] = [kernel.createProcess({ group }), kernel.createProcess()];
    const a = inside.mmap({ lengthBytes: 4 * PAGE, write: true });
    const b = outside.mmap({ lengthBytes: 4 * PAGE, write: true });
    fill(inside, a, 4);
    fill(outside, b, 4, 10);
    expect(group.usagePages).toBe(4);
    expect(kernel.reclaimAll(group)).toBe(4);
    expect([mincore(inside, a, 4), mincore(outside, b, 4), group.usagePages]).toEqual(["0000", "1111", 0]);
    expect(kernel.reclaim({ targetPages: 2, group })).toBe(0);
  });

  test("never uses more than its limit, and its data survive in swap", () => {
    const kernel = testKernel();
    const group = kernel.createGroup("small", { limitPages: 10 });
    const process = kernel.createProcess({ group });
    const object = kernel.memfdCreate({ sizePages: 40 });
    const shared = process.mmap({ lengthBytes: 40 * PAGE, object, shared: true, write: true });
    const own = process.mmap({ lengthBytes: 40 * PAGE, write: true });
    for (let page = 0; page < 40; page++) {
      process.writeBytes(shared + page * PAGE, pattern(page));
      process.writeBytes(own + page * PAGE, pattern(100 + page));
      expect(group.usagePages).toBeLessThanOrEqual(10);
    }
    expect(kernel.frames.sizePages - kernel.frames.freeCount).toBe(group.usagePages);
    expect([wrongPages(process, shared, 40), wrongPages(process, own, 40, 100)]).toEqual([[], []]);
    expect(group.usagePages).toBeLessThanOrEqual(10);
  });

  test("at its limit without swap gets ENOMEM, while others still get memory", () => {
    const kernel = testKernel({ swapPages: [] });
    const group = kernel.createGroup("small", { limitPages: 4 });
    const [inside, outside] = [kernel.createProcess({ group }), kernel.createProcess()];
    const a = inside.mmap({ lengthBytes: 8 * PAGE, write: true });
    const b = outside.mmap({ lengthBytes: 8 * PAGE, write: true });
    expect(failure(() => fill(inside, a, 8))).toBe("ENOMEM");
    expect(failure(() => fill(outside, b, 8))).toBe("");
    expect([group.usagePages, wrongPages(inside, a, 4)]).toEqual([4, []]);
    group.limitPages = 8;
    fill(inside, a, 8);
    expect(wrongPages(inside, a, 8)).toEqual([]);
  });

  test("is charged again for its page when another process brings it back from swap", () => {
    const kernel = testKernel();
    const group = kernel.createGroup("one");
    const object = kernel.memfdCreate({ sizePages: 1 });
    object.pwrite(pattern(0), 0, group);
    kernel.reclaimAll();
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: PAGE, object, shared: true });
    expect(group.usagePages).toBe(0);
    expect(wrongPages(process, address, 1)).toEqual([]);
    expect(group.usagePages).toBe(1);
  });

  test("whose limit is lowered shrinks at its next allocation", () => {
    const kernel = testKernel();
    const group = kernel.createGroup("shrinking");
    const process = kernel.createProcess({ group });
    const address = process.mmap({ lengthBytes: 20 * PAGE, write: true });
    fill(process, address, 16);
    group.limitPages = 5;
    fill(process, address + 16 * PAGE, 1, 16);
    expect(group.usagePages).toBeLessThanOrEqual(5);
    expect(wrongPages(process, address, 17)).toEqual([]);
  });
});

describe("with less memory than data", () => {
  test.each([
    ["zram", true, 0],
    ["zram and readahead", true, 3],
    ["a disk", false, 0],
    ["a disk and readahead", false, 3],
  ] as const)("every byte survives, on %s", (_, synchronous, page_cluster) => {
    const kernel = testKernel({
      memoryPages: 48,
      swapPages: [100, 200],
      synchronous,
      config: { page_cluster },
    });
    const [a, b] = [kernel.createProcess(), kernel.createProcess()];
    const object = kernel.memfdCreate({ sizePages: 60 });
    const inA = a.mmap({ lengthBytes: 60 * PAGE, object, shared: true, write: true });
    const inB = b.mmap({ lengthBytes: 60 * PAGE, object, shared: true, write: true });
    const own = a.mmap({ lengthBytes: 60 * PAGE, write: true });
    fill(a, inA, 60);
    fill(a, own, 60, 100);
    const child = a.fork();
    for (let round = 0; round < 3; round++) {
      expect(wrongPages(b, inB, 60)).toEqual([]);
      expect(wrongPages(child, own, 60, 100)).toEqual([]);
      expect(wrongPagesOf(object, 0, 60)).toEqual([]);
      expect(wrongPages(a, own, 60, 100)).toEqual([]);
      kernel.checkInvariants();
    }
    fill(child, own, 60, 200);
    expect(wrongPages(a, own, 60, 100)).toEqual([]);
    expect(wrongPages(child, own, 60, 200)).toEqual([]);
    expect(kernel.vmstat.pswpout).toBeGreaterThan(100);
  });

  test("and swap filled as well, the store that finds no place fails; what was stored before stays", () => {
    const kernel = testKernel({ memoryPages: 16, swapPages: [16] });
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 64 * PAGE, write: true });
    let stored = 0;
    expect(
      failure(() => {
        for (; stored < 64; stored++) process.writeBytes(address + stored * PAGE, pattern(stored));
      }),
    ).toBe("ENOMEM");
    expect(stored).toBeGreaterThanOrEqual(28);
    expect(kernel.swap.freeSlots).toBe(0);
    kernel.checkInvariants();
    process.madvise(address, 4 * PAGE, "DONTNEED");
    expect(wrongPages(process, address + 4 * PAGE, stored - 4, 4)).toEqual([]);
  });

  test("readahead that finds no memory is left out, and harms nothing", () => {
    const kernel = testKernel({ memoryPages: 8, swapPages: [8], config: { page_cluster: 2 } });
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 16 * PAGE, write: true });
    let stored = 0;
    failure(() => {
      for (; stored < 16; stored++) process.writeBytes(address + stored * PAGE, pattern(stored));
    });
    expect(kernel.swap.freeSlots).toBe(0);
    const present = mincore(process, address, stored).lastIndexOf("1");
    process.madvise(address + present * PAGE, PAGE, "DONTNEED");
    for (let page = 0; page < stored; page++) {
      failure(() => process.loadU64(address + page * PAGE));
      kernel.checkInvariants();
    }
    process.madvise(address + 8 * PAGE, 8 * PAGE, "DONTNEED");
    expect(wrongPages(process, address, Math.min(8, present))).toEqual([]);
  });

  test("of one page, a process can still use two", () => {
    const kernel = testKernel({ memoryPages: 1, swapPages: [4] });
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 2 * PAGE, write: true });
    fill(process, address, 2);
    expect(wrongPages(process, address, 2)).toEqual([]);
  });
});

test("background reclaim keeps a few pages free", () => {
  const kernel = testKernel({ memoryPages: 1024, swapPages: [2048] });
  const process = kernel.createProcess();
  const address = process.mmap({ lengthBytes: 2000 * PAGE, write: true });
  process.touchWrite(address, 2000 * PAGE);
  expect(kernel.frames.freeCount).toBeGreaterThanOrEqual(kernel.watermarks.min);
  expect(kernel.vmstat.pgsteal).toBeGreaterThan(900);
});
