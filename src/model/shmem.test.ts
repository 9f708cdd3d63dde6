import { describe, expect, test } from "vitest";
import {
  failure,
  fill,
  mincore,
  PAGE,
  pagemap,
  pattern,
  type Setup,
  states,
  testKernel,
  wrongPages,
  wrongPagesOf,
} from "../../test/support/model.ts";

function object(pages: number, setup: Setup = {}) {
  const kernel = testKernel(setup);
  const memfd = kernel.memfdCreate({ sizePages: pages });
  for (let page = 0; page < pages; page++) memfd.pwrite(pattern(page), page * PAGE);
  return { kernel, memfd };
}

function allZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

describe("the states of a page", () => {
  test("hole, reserved, cached, swap-cached, swapped", () => {
    const kernel = testKernel({ synchronous: false });
    const memfd = kernel.memfdCreate({ sizePages: 5 });
    memfd.fallocate(PAGE, PAGE);
    for (const page of [2, 3, 4]) memfd.pwrite(pattern(page), page * PAGE);
    kernel.reclaimPages([memfd.frameAt(3), memfd.frameAt(4)]);
    kernel.reclaimPages([memfd.frameAt(4)]);
    expect(states(memfd)).toEqual(["hole", "reserved", "cached", "swap-cached", "swapped"]);
    expect([0, 1, 2, 3, 4].map((page) => memfd.frameAt(page) > 0)).toEqual([false, true, true, true, false]);
  });

  test("a load makes content of a reserved page, of zeros", () => {
    const kernel = testKernel();
    const memfd = kernel.memfdCreate({ sizePages: 1 });
    memfd.fallocate(0, PAGE);
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: PAGE, object: memfd, shared: true });
    expect(mincore(process, address, 1)).toBe("0");
    expect(process.loadU64(address)).toBe(0n);
    expect([states(memfd), mincore(process, address, 1)]).toEqual([["cached"], "1"]);
  });
});

describe("reads and writes through the descriptor", () => {
  test("touch no page table, and leave stale markers where the pages come back", () => {
    const { kernel, memfd } = object(4);
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 4 * PAGE, object: memfd, shared: true, write: true });
    process.touchRead(address, 4 * PAGE);
    process.madvise(address, 4 * PAGE, "PAGEOUT");
    const { pteReads, pteWrites, pageTables } = kernel.work;
    memfd.pread(new Uint8Array(2 * PAGE), 0);
    memfd.pwrite(pattern(9), 2 * PAGE);
    expect(kernel.work).toMatchObject({ pteReads, pteWrites, pageTables });
    expect(states(memfd)).toEqual(["cached", "cached", "cached", "swapped"]);
    expect(pagemap(process, address, 4)).toEqual(Array(4).fill("81:30.2"));
    expect(mincore(process, address, 4)).toBe("1110");
    expect(wrongPages(process, address + 2 * PAGE, 1, 9)).toEqual([]);
  });

  test("of a hole give zeros and leave it one", () => {
    const kernel = testKernel();
    const memfd = kernel.memfdCreate({ sizePages: 2 });
    const bytes = new Uint8Array(2 * PAGE).fill(7);
    expect(memfd.pread(bytes, 0)).toBe(2 * PAGE);
    expect([allZero(bytes), states(memfd)]).toEqual([true, ["hole", "hole"]]);
  });

  test("may start and end within pages", () => {
    const { memfd } = object(3);
    const whole = new Uint8Array([...pattern(0), ...pattern(1), ...pattern(2)]);
    const part = new Uint8Array(5000);
    expect(memfd.pread(part, 3000)).toBe(5000);
    expect(part).toEqual(whole.subarray(3000, 8000));
    memfd.pwrite(new Uint8Array([1, 2, 3]), PAGE - 1);
    whole.set([1, 2, 3], PAGE - 1);
    const all = new Uint8Array(3 * PAGE);
    memfd.pread(all, 0);
    expect(all).toEqual(whole);
  });

  test("stop at the end, and a write beyond extends the object", () => {
    const { memfd } = object(1);
    const bytes = new Uint8Array(2 * PAGE);
    expect([memfd.pread(bytes, 100), memfd.pread(bytes, PAGE), memfd.pread(bytes, 9 * PAGE)]).toEqual([
      PAGE - 100,
      0,
      0,
    ]);
    expect(memfd.pwrite(new Uint8Array([5]), 3 * PAGE)).toBe(1);
    expect([memfd.sizeBytes, states(memfd)]).toEqual([3 * PAGE + 1, ["cached", "hole", "hole", "cached"]]);
    expect(memfd.pread(bytes, 3 * PAGE)).toBe(1);
  });

  test("and loads and stores are of the same bytes", () => {
    const { kernel, memfd } = object(2);
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 2 * PAGE, object: memfd, shared: true, write: true });
    expect(wrongPages(process, address, 2)).toEqual([]);
    memfd.pwrite(pattern(5), 0);
    expect(wrongPages(process, address, 1, 5)).toEqual([]);
    process.writeBytes(address + PAGE, pattern(6));
    expect(wrongPagesOf(memfd, 0, 2, 5)).toEqual([]);
  });

  test("that find no memory fail with ENOMEM or stop early, and lose nothing", () => {
    const kernel = testKernel({ memoryPages: 8, swapPages: [] });
    const memfd = kernel.memfdCreate({ sizePages: 0 });
    const bytes = new Uint8Array(12 * PAGE).fill(3);
    const written = memfd.pwrite(bytes, 0);
    expect(written).toBe(8 * PAGE);
    expect(memfd.sizeBytes).toBe(written);
    expect(failure(() => memfd.pwrite(bytes, written))).toBe("ENOMEM");
    const back = new Uint8Array(12 * PAGE);
    expect(memfd.pread(back, 0)).toBe(written);
    expect(back.subarray(0, written).every((byte) => byte === 3)).toBe(true);
  });

  test("bring pages back from swap", () => {
    const { kernel, memfd } = object(6);
    kernel.reclaimAll();
    expect(states(memfd)).toEqual(Array(6).fill("swapped"));
    expect(wrongPagesOf(memfd, 0, 6)).toEqual([]);
    expect(kernel.swap.areas[0].usedSlots).toBe(0);
  });
});

describe("fallocate", () => {
  test("reserves, extends, and leaves content alone", () => {
    const { memfd } = object(2);
    memfd.fallocate(PAGE, 3 * PAGE);
    expect([memfd.sizeBytes, states(memfd)]).toEqual([
      4 * PAGE,
      ["cached", "cached", "reserved", "reserved"],
    ]);
    expect(wrongPagesOf(memfd, 0, 2)).toEqual([]);
    const bytes = new Uint8Array(PAGE).fill(1);
    memfd.pread(bytes, 2 * PAGE);
    expect([allZero(bytes), memfd.pageState(2)]).toEqual([true, "reserved"]);
  });

  test("that finds no memory gives back what it took, and leaves the size", () => {
    const kernel = testKernel({ memoryPages: 8, swapPages: [] });
    const memfd = kernel.memfdCreate({ sizePages: 2 });
    memfd.pwrite(pattern(0), 0);
    expect(failure(() => memfd.fallocate(0, 20 * PAGE))).toBe("ENOMEM");
    expect([memfd.sizeBytes, states(memfd)]).toEqual([2 * PAGE, ["cached", "hole"]]);
    expect(wrongPagesOf(memfd, 0, 1)).toEqual([]);
  });
});

describe("punching a hole", () => {
  test("removes whole pages from memory and swap, in all processes", () => {
    const { kernel, memfd } = object(6);
    const processes = [kernel.createProcess(), kernel.createProcess()];
    const addresses = processes.map((process) =>
      process.mmap({ lengthBytes: 6 * PAGE, object: memfd, shared: true, write: true }),
    );
    for (const [i, process] of processes.entries()) process.touchRead(addresses[i], 6 * PAGE);
    kernel.reclaimPages([memfd.frameAt(3), memfd.frameAt(4)]);
    memfd.punchHole(2 * PAGE, 2 * PAGE);
    expect(states(memfd)).toEqual(["cached", "cached", "hole", "hole", "swapped", "cached"]);
    expect(kernel.swap.areas[0].usedSlots).toBe(1);
    for (const [i, process] of processes.entries()) {
      expect(pagemap(process, addresses[i], 6).slice(2, 4)).toEqual(["1", "1"]);
      expect(process.loadU64(addresses[i] + 2 * PAGE)).toBe(0n);
    }
    expect(memfd.sizeBytes).toBe(6 * PAGE);
  });

  test("zeroes parts of pages, in memory or in swap, and leaves the rest", () => {
    const { kernel, memfd } = object(3);
    kernel.reclaimPages([memfd.frameAt(0)]);
    memfd.punchHole(1000, 2 * PAGE);
    const expected = new Uint8Array([...pattern(0), ...pattern(1), ...pattern(2)]).fill(
      0,
      1000,
      1000 + 2 * PAGE,
    );
    const bytes = new Uint8Array(3 * PAGE);
    memfd.pread(bytes, 0);
    expect(bytes).toEqual(expected);
    expect(states(memfd)).toEqual(["cached", "hole", "cached"]);
  });

  test("within one page zeroes just that", () => {
    const { memfd } = object(1);
    memfd.punchHole(10, 20);
    const bytes = new Uint8Array(PAGE);
    memfd.pread(bytes, 0);
    expect(bytes).toEqual(pattern(0).fill(0, 10, 30));
  });

  test("or truncating, where there is no memory to bring a part of a page in, fails and leaves everything", () => {
    const { kernel, memfd } = object(3, { memoryPages: 8, swapPages: [1] });
    expect(kernel.reclaimPages([memfd.frameAt(0)])).toBe(1);
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 6 * PAGE, write: true });
    fill(process, address, 6, 50);
    const before = states(memfd);
    expect(before[0]).toBe("swapped");
    expect(failure(() => memfd.punchHole(100, 2 * PAGE))).toBe("ENOMEM");
    expect(failure(() => memfd.ftruncate(100))).toBe("ENOMEM");
    expect([states(memfd), memfd.sizeBytes]).toEqual([before, 3 * PAGE]);
    process.munmap(address, 6 * PAGE);
    expect(wrongPagesOf(memfd, 0, 3)).toEqual([]);
  });

  test("leaves private copies", () => {
    const { kernel, memfd } = object(1);
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: PAGE, object: memfd, write: true });
    process.writeBytes(address, pattern(8));
    memfd.punchHole(0, PAGE);
    expect([wrongPages(process, address, 1, 8), states(memfd)]).toEqual([[], ["hole"]]);
  });
});

describe("truncation", () => {
  test("removes pages from memory and swap, private copies included", () => {
    const { kernel, memfd } = object(4);
    const process = kernel.createProcess();
    const shared = process.mmap({ lengthBytes: 4 * PAGE, object: memfd, shared: true, write: true });
    const copy = process.mmap({ lengthBytes: 4 * PAGE, object: memfd, write: true });
    process.touchRead(shared, 4 * PAGE);
    process.touchWrite(copy, 4 * PAGE);
    kernel.reclaimPages([memfd.frameAt(3), process.frameAt(copy + 2 * PAGE)]);
    memfd.ftruncate(2 * PAGE);
    expect(kernel.swap.areas[0].usedSlots).toBe(0);
    expect(pagemap(process, copy, 4).slice(2)).toEqual(["1", "1"]);
    expect(failure(() => process.loadU64(copy + 2 * PAGE))).toBe("SIGBUS");
    expect([wrongPages(process, shared, 2), wrongPages(process, copy, 2)]).toEqual([[], []]);
  });

  test("within a page zeroes the rest of it, so that growing again shows no old bytes", () => {
    for (const swapped of [false, true]) {
      const { kernel, memfd } = object(2);
      if (swapped) kernel.reclaimAll();
      memfd.ftruncate(100);
      memfd.ftruncate(2 * PAGE);
      const bytes = new Uint8Array(2 * PAGE);
      memfd.pread(bytes, 0);
      expect(bytes.subarray(0, 100)).toEqual(pattern(0).subarray(0, 100));
      expect([allZero(bytes.subarray(100)), states(memfd)]).toEqual([true, ["cached", "hole"]]);
    }
  });

  test("to a greater size adds holes", () => {
    const { memfd } = object(1);
    memfd.ftruncate(3 * PAGE);
    expect([memfd.sizeBytes, states(memfd)]).toEqual([3 * PAGE, ["cached", "hole", "hole"]]);
  });
});

describe("the life of an object", () => {
  test("lasts as long as its descriptor or a mapping", () => {
    const { kernel, memfd } = object(4);
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 4 * PAGE, object: memfd, shared: true, write: true });
    kernel.reclaimPages([memfd.frameAt(2)]);
    memfd.close();
    expect(wrongPages(process, address, 4)).toEqual([]);
    const child = process.fork();
    process.munmap(address, 4 * PAGE);
    expect(wrongPages(child, address, 4)).toEqual([]);
    kernel.reclaimPages([child.frameAt(address)]);
    child.exit();
    expect(kernel.objects).toEqual([]);
    expect([kernel.frames.freeCount, kernel.swap.areas[0].usedSlots]).toEqual([kernel.frames.sizePages, 0]);
  });

  test("of shared anonymous memory is that of its mappings; parent and child share it", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 2 * PAGE, shared: true, write: true });
    expect(pagemap(process, address, 1)).toEqual(["1"]);
    const child = process.fork();
    process.storeU64(address, 1n);
    child.storeU64(address + 8, 2n);
    expect([child.loadU64(address), process.loadU64(address + 8)]).toEqual([1n, 2n]);
    // File or shared anonymous.
    expect(pagemap(process, address, 1)).toEqual(["141"]);
    process.exit();
    kernel.reclaimAll();
    expect(child.loadU64(address + 8)).toBe(2n);
    child.munmap(address, 2 * PAGE);
    expect(kernel.objects).toEqual([]);
  });
});

describe("the swap cache", () => {
  test("readahead fills it: the neighbours in swap come too, and are used by minor faults", () => {
    const { kernel, memfd } = object(16, { config: { page_cluster: 3, fault_around_bytes: 4096 } });
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 16 * PAGE, object: memfd, shared: true, write: true });
    kernel.reclaimAll();
    process.loadU64(address + 9 * PAGE);
    expect(kernel.vmstat).toMatchObject({ pgmajfault: 1, swap_ra: 7, pswpin: 8 });
    expect(states(memfd).filter((state) => state === "swap-cached")).toHaveLength(7);
    expect(wrongPages(process, address, 16)).toEqual([]);
    expect(kernel.vmstat.swap_ra_hit).toBeGreaterThanOrEqual(7);
    expect(kernel.vmstat.pgmajfault).toBeLessThan(5);
    expect(kernel.swap.areas[0].usedSlots).toBe(0);
  });

  test("without page_cluster nothing else comes", () => {
    const { kernel, memfd } = object(16);
    kernel.reclaimAll();
    memfd.pread(new Uint8Array(8), 9 * PAGE);
    expect(states(memfd).filter((state) => state !== "swapped")).toEqual(["cached"]);
    expect(kernel.vmstat.swap_ra).toBe(0);
  });

  test("a page in it that is removed is gone from memory and swap", () => {
    const { kernel, memfd } = object(2, { synchronous: false });
    kernel.reclaimPages([memfd.frameAt(0), memfd.frameAt(1)]);
    expect(states(memfd)).toEqual(["swap-cached", "swap-cached"]);
    memfd.punchHole(0, PAGE);
    expect([kernel.swap.areas[0].usedSlots, kernel.frames.sizePages - kernel.frames.freeCount]).toEqual([
      1, 1,
    ]);
    memfd.ftruncate(0);
    expect([kernel.swap.areas[0].usedSlots, kernel.frames.sizePages - kernel.frames.freeCount]).toEqual([
      0, 0,
    ]);
  });

  test("a page in it that is written through the descriptor holds the new bytes", () => {
    const { kernel, memfd } = object(1, { synchronous: false });
    kernel.reclaimPages([memfd.frameAt(0)]);
    memfd.pwrite(pattern(7), 0);
    kernel.reclaimAll();
    expect([states(memfd), wrongPagesOf(memfd, 0, 1, 7)]).toEqual([["swapped"], []]);
  });
});

test("descriptor and mappings agree through page-out, swap-in and copy on write", () => {
  const { kernel, memfd } = object(8, { memoryPages: 24 });
  const process = kernel.createProcess();
  const shared = process.mmap({ lengthBytes: 8 * PAGE, object: memfd, shared: true, write: true });
  const copy = process.mmap({ lengthBytes: 8 * PAGE, object: memfd, write: true });
  fill(process, copy, 4, 50);
  fill(process, shared, 8, 20);
  expect(wrongPages(process, copy, 4, 50)).toEqual([]);
  expect(wrongPages(process, copy + 4 * PAGE, 4, 24)).toEqual([]);
  kernel.reclaimAll();
  expect(wrongPagesOf(memfd, 0, 8, 20)).toEqual([]);
  expect(wrongPages(process, copy, 4, 50)).toEqual([]);
});
