import { describe, expect, test } from "vitest";
import {
  fill,
  PAGE,
  pagemap,
  pattern,
  type Setup,
  testKernel,
  wrongPages,
} from "../../test/support/model.ts";

function shared(pages: number, setup: Setup = {}) {
  const kernel = testKernel(setup);
  const process = kernel.createProcess();
  const object = kernel.memfdCreate({ sizePages: pages });
  const address = process.mmap({ lengthBytes: pages * PAGE, object, shared: true, write: true });
  return { kernel, process, object, address };
}

/** Bit 55 of each page. */
function softDirty(...args: Parameters<typeof pagemap>): string {
  return pagemap(...args)
    .map((flags) => Number.parseInt(flags, 16) & 1)
    .join("");
}

test("a new area is soft-dirty all over, until it is cleared", () => {
  const { process, address } = shared(3);
  process.storeU64(address, 1n);
  expect(softDirty(process, address, 3)).toBe("111");
  process.clearRefs();
  expect(softDirty(process, address, 3)).toBe("000");
});

describe("after clearing", () => {
  test("the pages that are stored to are soft-dirty, loads and the descriptor make none so", () => {
    const { process, object, address } = shared(4);
    fill(process, address, 4);
    process.clearRefs();
    process.storeU64(address + PAGE, 1n);
    process.touchRead(address, 4 * PAGE);
    object.pwrite(pattern(9), 2 * PAGE);
    expect(softDirty(process, address, 4)).toBe("0100");
  });

  test("the first store to each page faults once, and again after the next clearing", () => {
    const { kernel, process, address } = shared(2);
    fill(process, address, 2);
    for (let round = 0; round < 3; round++) {
      process.clearRefs();
      const { pgfault } = kernel.vmstat;
      for (let times = 0; times < 3; times++) process.touchWrite(address, 2 * PAGE);
      expect(kernel.vmstat.pgfault - pgfault).toBe(2);
      expect(softDirty(process, address, 2)).toBe("11");
    }
  });

  test("a page that is loaded first and stored to later is caught at the store", () => {
    for (const make of ["shared", "private"] as const) {
      const { kernel, process } = shared(1);
      const object = kernel.memfdCreate({ sizePages: 1 });
      const address = process.mmap({ lengthBytes: PAGE, object, shared: make === "shared", write: true });
      process.clearRefs();
      process.loadU64(address);
      expect(softDirty(process, address, 1)).toBe("0");
      process.storeU64(address, 1n);
      expect(softDirty(process, address, 1)).toBe("1");
    }
  });

  test("a store to memory that was never touched is caught", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 3 * PAGE, write: true });
    process.loadU64(address);
    process.clearRefs();
    process.storeU64(address, 1n);
    process.storeU64(address + PAGE, 1n);
    expect(softDirty(process, address, 3)).toBe("110");
  });

  test("no byte is lost, in memory or in swap", () => {
    const { process, address } = shared(4);
    const own = process.mmap({ lengthBytes: 4 * PAGE, write: true });
    fill(process, address, 4);
    fill(process, own, 4, 10);
    process.madvise(address, 2 * PAGE, "PAGEOUT");
    process.madvise(own, 2 * PAGE, "PAGEOUT");
    process.clearRefs();
    expect([wrongPages(process, address, 4), wrongPages(process, own, 4, 10)]).toEqual([[], []]);
  });
});

describe("over page-out", () => {
  test("a private page keeps it in its swap entry, where clearing reaches it too", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 3 * PAGE, write: true });
    fill(process, address, 3);
    process.clearRefs();
    process.touchWrite(address, 2 * PAGE);
    process.madvise(address, 3 * PAGE, "PAGEOUT");
    expect(pagemap(process, address, 3)).toEqual(["81", "81", "80"]);
    process.loadU64(address);
    expect(pagemap(process, address, 3)).toEqual(["103", "81", "80"]);
    process.clearRefs();
    expect(pagemap(process, address, 3)).toEqual(["102", "80", "80"]);
  });

  test("a shmem page loses it: neither markers nor none PTEs remember", () => {
    for (const profile of ["rfc", "linux-6.1"]) {
      const { process, address } = shared(1, { profile });
      process.clearRefs();
      process.storeU64(address, 1n);
      expect(softDirty(process, address, 1)).toBe("1");
      process.madvise(address, PAGE, "PAGEOUT");
      expect(pagemap(process, address, 1)).toEqual([profile === "rfc" ? "80:30.2" : "0"]);
      process.loadU64(address);
      expect(softDirty(process, address, 1)).toBe("0");
    }
  });

  test("clearing also clears it from markers, which stay markers", () => {
    const { process, address } = shared(1);
    process.storeU64(address, 1n);
    process.clearRefs();
    process.madvise(address, PAGE, "PAGEOUT");
    const moved = process.mremap({
      address,
      oldLengthBytes: PAGE,
      newLengthBytes: PAGE,
      to: 0x2000_0000_0000,
    });
    expect(pagemap(process, moved, 1)).toEqual(["81:30.2"]);
    process.clearRefs();
    expect(pagemap(process, moved, 1)).toEqual(["80:30.2"]);
  });
});

describe("what else makes pages soft-dirty", () => {
  test("a new area, but not its old neighbour's pages", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const at = 0x1000_0000_0000;
    process.mmap({ lengthBytes: 2 * PAGE, address: at, fixed: true, write: true });
    process.clearRefs();
    process.mmap({ lengthBytes: 2 * PAGE, address: at + 4 * PAGE, fixed: true, write: true });
    expect(softDirty(process, at, 2) + softDirty(process, at + 4 * PAGE, 2)).toBe("0011");
  });

  test("a new area that is joined with a cleared one: the whole is soft-dirty", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const at = 0x1000_0000_0000;
    process.mmap({ lengthBytes: 2 * PAGE, address: at, fixed: true, write: true });
    process.clearRefs();
    process.mmap({ lengthBytes: 2 * PAGE, address: at + 2 * PAGE, fixed: true, write: true });
    expect(process.mm.vmas).toHaveLength(1);
    expect(softDirty(process, at, 4)).toBe("1111");
  });
});

test("another process' soft-dirty bits are its own", () => {
  const { kernel, process, object, address } = shared(1);
  const other = kernel.createProcess();
  const inOther = other.mmap({ lengthBytes: PAGE, object, shared: true, write: true });
  process.storeU64(address, 1n);
  other.storeU64(inOther, 2n);
  process.clearRefs();
  other.storeU64(inOther, 3n);
  expect(softDirty(process, address, 1) + softDirty(other, inOther, 1)).toBe("01");
});

test("without MEM_SOFT_DIRTY nothing is, and clearing succeeds and changes nothing", () => {
  const { kernel, process, address } = shared(2, { profile: "linux-6.18" });
  fill(process, address, 2);
  const before = pagemap(process, address, 2);
  const { pteWrites } = kernel.work;
  process.clearRefs();
  expect([pagemap(process, address, 2), kernel.work.pteWrites]).toEqual([before, pteWrites]);
  expect(before).toEqual(["142", "142"]);
});
