import { describe, expect, test } from "vitest";
import {
  busyKernel,
  failure,
  fill,
  mincore,
  PAGE,
  pagemap,
  pattern,
  stateHash,
  states,
  testKernel,
} from "../../test/support/model.ts";

describe("of a mapping of an object", () => {
  test("is 1 for what is in the page cache or the swap cache, mapped here or not", () => {
    const kernel = testKernel({ synchronous: false });
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 6 });
    object.fallocate(PAGE, PAGE);
    for (const page of [2, 3, 4, 5]) object.pwrite(pattern(page), page * PAGE);
    const address = process.mmap({ lengthBytes: 8 * PAGE, object, shared: true, write: true });
    process.storeU64(address + 5 * PAGE, 1n);
    kernel.reclaimPages([object.frameAt(3), object.frameAt(4)]);
    kernel.reclaimPages([object.frameAt(4)]);
    expect(states(object)).toEqual(["hole", "reserved", "cached", "swap-cached", "swapped", "cached"]);
    // Nothing is in memory beyond the object's end.
    expect(mincore(process, address, 8)).toBe("00110100");
  });

  test("asks the page cache where there is a marker", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 3 });
    const address = process.mmap({ lengthBytes: 3 * PAGE, object, shared: true, write: true });
    fill(process, address, 3);
    process.madvise(address, 2 * PAGE, "PAGEOUT");
    object.pread(new Uint8Array(8), 0);
    const { pageCacheLookups } = kernel.work;
    expect([pagemap(process, address, 3), mincore(process, address, 3)]).toEqual([
      ["81:30.2", "81:30.2", "143"],
      "101",
    ]);
    // A present page needs no look-up.
    expect(kernel.work.pageCacheLookups - pageCacheLookups).toBe(2);
    const { pteReads } = kernel.work;
    process.mincore(address, 3 * PAGE);
    expect(kernel.work.pteReads - pteReads).toBe(3);
  });

  test("that is private asks for its copies' swap entries, and for the object's pages", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 3 });
    for (const page of [0, 1, 2]) object.pwrite(pattern(page), page * PAGE);
    const address = process.mmap({ lengthBytes: 3 * PAGE, object, write: true });
    process.touchWrite(address, 2 * PAGE);
    process.madvise(address, PAGE, "PAGEOUT");
    // The object's first page is in memory, but this mapping has its own, in swap.
    expect([mincore(process, address, 3), object.pageState(0)]).toEqual(["011", "cached"]);
  });
});

describe("of anonymous memory", () => {
  test("is 1 for pages in memory, the zero page and the swap cache, 0 for swap and for nothing", () => {
    const kernel = testKernel({ synchronous: false });
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 5 * PAGE, write: true });
    process.loadU64(address);
    fill(process, address + PAGE, 3);
    process.madvise(address + 2 * PAGE, 2 * PAGE, "PAGEOUT");
    kernel.reclaimPages([process.frameAt(address + 3 * PAGE)]);
    expect([pagemap(process, address, 5), mincore(process, address, 5)]).toEqual([
      ["101", "103", "81", "81", "1"],
      "11100",
    ]);
  });

  test("is 1 for a page that may not be accessed", () => {
    const process = testKernel().createProcess();
    const address = process.mmap({ lengthBytes: PAGE, write: true });
    process.storeU64(address, 1n);
    process.mprotect(address, PAGE, { read: false });
    expect(mincore(process, address, 1)).toBe("1");
  });
});

describe("what is refused", () => {
  test("a gap, with ENOMEM; an address within a page, with EINVAL", () => {
    const process = testKernel().createProcess();
    const address = process.mmap({ lengthBytes: 3 * PAGE });
    process.munmap(address + PAGE, PAGE);
    expect(failure(() => process.mincore(address, 3 * PAGE))).toBe("ENOMEM");
    expect(failure(() => process.mincore(2 ** 47, PAGE))).toBe("ENOMEM");
    expect(failure(() => process.mincore(address + 1, PAGE))).toBe("EINVAL");
    expect(process.mincore(2 ** 40, 0)).toHaveLength(0);
    expect(process.mincore(address, 1)).toHaveLength(1);
  });

  test("nothing, over two areas", () => {
    const process = testKernel().createProcess();
    const address = process.mmap({ lengthBytes: 4 * PAGE, write: true });
    process.touchWrite(address, 4 * PAGE);
    process.mprotect(address, 2 * PAGE, {});
    expect(mincore(process, address, 4)).toBe("1111");
  });
});

test("looking changes nothing, but an access does", () => {
  const { kernel, processes, objects } = busyKernel();
  const before = stateHash(kernel);
  for (const process of processes)
    for (const vma of process.mm.vmas) {
      process.mincore(vma.start * PAGE, vma.sizePages * PAGE);
      for (let vpn = vma.start; vpn < vma.end; vpn++) process.frameAt(vpn * PAGE);
      process.mappedEnd(vma.start * PAGE);
    }
  for (const object of objects)
    for (let page = 0; page < 70; page++) [object.pageState(page), object.frameAt(page)];
  kernel.memoryUse();
  kernel.checkInvariants();
  expect(stateHash(kernel)).toBe(before);
  const process = processes[0];
  process.clearRefs();
  const cleared = stateHash(kernel);
  expect(cleared).not.toBe(before);
  const present = process.mm.vmas.find((vma) => process.frameAt(vma.start * PAGE) > 0)!;
  process.madvise(present.start * PAGE, PAGE, "COLD");
  const cold = stateHash(kernel);
  process.loadU64(present.start * PAGE);
  expect(stateHash(kernel)).not.toBe(cold);
});
