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
import type { Advice } from "../abi/index.ts";

function shared(pages: number, setup: Setup = {}) {
  const kernel = testKernel(setup);
  const process = kernel.createProcess();
  const object = kernel.memfdCreate({ sizePages: pages });
  const address = process.mmap({ lengthBytes: pages * PAGE, object, shared: true, write: true });
  return { kernel, process, object, address };
}

function anonymous(pages: number, setup: Setup = {}) {
  const kernel = testKernel(setup);
  const process = kernel.createProcess();
  const address = process.mmap({ lengthBytes: pages * PAGE, write: true });
  return { kernel, process, address };
}

describe("any advice", () => {
  test("EINVAL for an address within a page, and for advice there is not", () => {
    const { process, address } = anonymous(1);
    expect(failure(() => process.madvise(address + 1, PAGE, "DONTNEED"))).toBe("EINVAL");
    expect(failure(() => process.madvise(address, PAGE, "WISHFUL" as Advice))).toBe("EINVAL");
    expect(failure(() => process.madvise(address, PAGE, "toString" as Advice))).toBe("EINVAL");
  });

  test("for no length succeeds, mapped or not; a length is rounded up to pages", () => {
    const { process, address } = anonymous(2);
    fill(process, address, 2);
    process.madvise(address, 0, "DONTNEED");
    process.madvise(2 ** 40, 0, "DONTNEED");
    process.madvise(address, 1, "DONTNEED");
    expect(pagemap(process, address, 2)).toEqual(["1", "103"]);
  });

  test.each(["DONTNEED", "PAGEOUT", "COLD", "WILLNEED"] as const)(
    "%s over a gap fails with ENOMEM, and the mapped parts are done all the same",
    (advice) => {
      const { kernel, process, address } = anonymous(5);
      fill(process, address, 5);
      process.munmap(address + 2 * PAGE, PAGE);
      if (advice === "WILLNEED") kernel.reclaimAll();
      expect(failure(() => process.madvise(address, 5 * PAGE, advice))).toBe("ENOMEM");
      const done = {
        DONTNEED: ["1", "0000"],
        PAGEOUT: ["81", "0000"],
        COLD: ["103", "1111"],
        WILLNEED: ["81", "1111"],
      };
      const [flags, digits] = done[advice];
      const parts = [address, address + 3 * PAGE];
      expect(parts.flatMap((at) => pagemap(process, at, 2))).toEqual(Array(4).fill(flags));
      expect(parts.map((at) => mincore(process, at, 2)).join("")).toBe(digits);
    },
  );

  test("of a range that ends in a gap, or is nothing but one, is ENOMEM", () => {
    const { process, address } = anonymous(1);
    expect(failure(() => process.madvise(address, 2 * PAGE, "DONTNEED"))).toBe("ENOMEM");
    expect(failure(() => process.madvise(2 ** 40, PAGE, "PAGEOUT"))).toBe("ENOMEM");
  });
});

describe("REMOVE", () => {
  test("makes holes, in memory and in swap, seen by everyone", () => {
    const { kernel, process, object, address } = shared(4);
    fill(process, address, 4);
    kernel.reclaimPages([object.frameAt(1)]);
    process.madvise(address, 2 * PAGE, "REMOVE");
    expect([states(object), pagemap(process, address, 4)]).toEqual([
      ["hole", "hole", "cached", "cached"],
      ["1", "1", "143", "143"],
    ]);
    expect(process.loadU64(address)).toBe(0n);
  });

  test("works on a read-only shared mapping, whose descriptor may write", () => {
    const { kernel, process, object } = shared(1);
    object.pwrite(pattern(0), 0);
    const address = process.mmap({ lengthBytes: PAGE, object, shared: true });
    process.madvise(address, PAGE, "REMOVE");
    expect([states(object), kernel.frames.freeCount]).toEqual([["hole"], kernel.frames.sizePages]);
  });

  test("EINVAL on anonymous memory, EACCES on private mappings, and nothing changes", () => {
    const { process, object } = shared(1);
    object.pwrite(pattern(0), 0);
    const own = process.mmap({ lengthBytes: PAGE, write: true });
    process.writeBytes(own, pattern(1));
    for (const write of [true, false]) {
      const copy = process.mmap({ lengthBytes: PAGE, object, write });
      expect(failure(() => process.madvise(copy, PAGE, "REMOVE"))).toBe("EACCES");
    }
    expect(failure(() => process.madvise(own, PAGE, "REMOVE"))).toBe("EINVAL");
    expect([wrongPages(process, own, 1, 1), wrongPagesOf(object, 0, 1)]).toEqual([[], []]);
  });

  test("works on shared anonymous memory", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: PAGE, shared: true, write: true });
    process.storeU64(address, 1n);
    process.madvise(address, PAGE, "REMOVE");
    expect(process.loadU64(address)).toBe(0n);
  });
});

describe("PAGEOUT", () => {
  test("skips pages that other processes map too, and succeeds", () => {
    const { kernel, process, object, address } = shared(3);
    fill(process, address, 3);
    const other = kernel.createProcess();
    const inOther = other.mmap({ lengthBytes: PAGE, object, offsetBytes: PAGE, shared: true });
    other.loadU64(inOther);
    process.madvise(address, 3 * PAGE, "PAGEOUT");
    expect(states(object)).toEqual(["swapped", "cached", "swapped"]);
    expect([pagemap(process, address, 3), pagemap(other, inOther, 1)]).toEqual([
      ["81:30.2", "141", "81:30.2"],
      ["141"],
    ]);
    other.exit();
    process.madvise(address, 3 * PAGE, "PAGEOUT");
    expect(states(object)).toEqual(["swapped", "swapped", "swapped"]);
  });

  test("skips private pages that parent and child share", () => {
    const { process, address } = anonymous(2);
    fill(process, address, 2);
    const child = process.fork();
    child.storeU64(address, child.loadU64(address));
    process.madvise(address, 2 * PAGE, "PAGEOUT");
    expect(pagemap(process, address, 2)).toEqual(["81", "101"]);
    expect([wrongPages(process, address, 2), wrongPages(child, address, 2)]).toEqual([[], []]);
  });

  test("skips pages whose own PTE is none or a marker, even if resident", () => {
    const { process, object, address } = shared(2);
    fill(process, address, 2);
    process.madvise(address, 2 * PAGE, "PAGEOUT");
    process.madvise(address, PAGE, "DONTNEED");
    object.pread(new Uint8Array(2 * PAGE), 0);
    expect(pagemap(process, address, 2)).toEqual(["1", "81:30.2"]);
    process.madvise(address, 2 * PAGE, "PAGEOUT");
    expect(states(object)).toEqual(["cached", "cached"]);
  });

  test("of the zero page does nothing", () => {
    const { process, address } = anonymous(1);
    process.loadU64(address);
    process.madvise(address, PAGE, "PAGEOUT");
    expect(pagemap(process, address, 1)).toEqual(["101"]);
  });

  test("works across page tables and areas", () => {
    const { process, object, address } = shared(1200, { memoryPages: 1300, swapPages: [1300] });
    process.touchWrite(address, 1200 * PAGE);
    process.mprotect(address + 600 * PAGE, 100 * PAGE, {});
    process.madvise(address + PAGE, 1198 * PAGE, "PAGEOUT");
    const out = states(object).map((state) => state === "swapped");
    expect([out.indexOf(true), out.lastIndexOf(true), out.filter(Boolean).length]).toEqual([1, 1198, 1198]);
    expect(new Set(pagemap(process, address, 1200))).toEqual(new Set(["143", "81:30.2"]));
  });
});

describe("COLD", () => {
  test("makes pages the first to be reclaimed, but takes none", () => {
    const { kernel, process, object, address } = shared(6);
    fill(process, address, 6);
    for (const page of [0, 1, 2, 3, 4, 5]) object.pwrite(pattern(page), page * PAGE);
    process.madvise(address + 3 * PAGE, 2 * PAGE, "COLD");
    expect(states(object)).toEqual(Array(6).fill("cached"));
    expect(process.smaps()[0].referenced).toBe(4 * PAGE);
    expect(kernel.reclaim({ targetPages: 2 })).toBe(2);
    expect(states(object)).toEqual(["cached", "cached", "cached", "swapped", "swapped", "cached"]);
    expect(wrongPages(process, address, 6)).toEqual([]);
  });

  test("leaves markers and swap entries alone", () => {
    const { process, address } = shared(1);
    const own = process.mmap({ lengthBytes: PAGE, write: true });
    fill(process, address, 1);
    fill(process, own, 1, 1);
    process.madvise(address, PAGE, "PAGEOUT");
    process.madvise(own, PAGE, "PAGEOUT");
    process.madvise(address, PAGE, "COLD");
    process.madvise(own, PAGE, "COLD");
    expect([...pagemap(process, address, 1), ...pagemap(process, own, 1)]).toEqual(["81:30.2", "81"]);
  });
});

describe("WILLNEED", () => {
  test.each([
    ["rfc", ["swapped", "swap-cached", "swap-cached", "swap-cached", "swapped"]],
    ["linux-6.1", ["swapped", "swap-cached", "swap-cached", "swap-cached", "swapped"]],
    ["linux-6.18", ["swapped", "swap-cached", "swap-cached", "swapped", "swapped"]],
  ] as const)("%s: reads shmem pages from swap, on 6.1 one page too many", (profile, expected) => {
    const { process, object, address } = shared(5, { profile });
    fill(process, address, 5);
    process.madvise(address, 5 * PAGE, "PAGEOUT");
    process.madvise(address + PAGE, 2 * PAGE, "WILLNEED");
    expect(states(object)).toEqual(expected);
    expect(wrongPages(process, address, 5)).toEqual([]);
  });

  test("maps nothing: markers are stale then, and the fault is a minor one", () => {
    const { kernel, process, address } = shared(2);
    fill(process, address, 2);
    process.madvise(address, 2 * PAGE, "PAGEOUT");
    process.madvise(address, 2 * PAGE, "WILLNEED");
    expect([pagemap(process, address, 2), mincore(process, address, 2)]).toEqual([
      ["81:30.2", "81:30.2"],
      "11",
    ]);
    expect(wrongPages(process, address, 2)).toEqual([]);
    expect(kernel.vmstat).toMatchObject({ pgmajfault: 0, pswpin: 2 });
  });

  test("reads private pages into the swap cache", () => {
    const { kernel, process, address } = anonymous(3);
    fill(process, address, 3);
    process.madvise(address, 3 * PAGE, "PAGEOUT");
    process.madvise(address, 2 * PAGE, "WILLNEED");
    expect([pagemap(process, address, 3), mincore(process, address, 3)]).toEqual([["81", "81", "81"], "110"]);
    expect(wrongPages(process, address, 3)).toEqual([]);
    expect(kernel.vmstat.pgmajfault).toBe(1);
  });

  test("of holes and of untouched memory makes no pages", () => {
    const { kernel, process, object, address } = shared(4);
    process.madvise(address, 4 * PAGE, "WILLNEED");
    const own = process.mmap({ lengthBytes: 4 * PAGE, write: true });
    process.madvise(own, 4 * PAGE, "WILLNEED");
    expect([states(object), kernel.frames.freeCount]).toEqual([
      Array(4).fill("hole"),
      kernel.frames.sizePages,
    ]);
  });
});

describe("FREE", () => {
  test("leaves the bytes until memory is needed; then they are zeros, and nothing was written to swap", () => {
    const { kernel, process, address } = anonymous(4);
    fill(process, address, 4);
    process.madvise(address, 4 * PAGE, "FREE");
    expect(wrongPages(process, address, 4)).toEqual([]);
    expect(kernel.vmstat.pglazyfree).toBe(4);
    kernel.reclaimAll();
    expect(kernel.vmstat).toMatchObject({ pglazyfreed: 4, pswpout: 0 });
    expect([pagemap(process, address, 4), process.loadU64(address)]).toEqual([Array(4).fill("1"), 0n]);
  });

  test("a page that is written again is kept", () => {
    const { kernel, process, address } = anonymous(3);
    fill(process, address, 3);
    process.madvise(address, 3 * PAGE, "FREE");
    process.storeU64(address + PAGE, process.loadU64(address + PAGE));
    kernel.reclaimAll();
    expect(pagemap(process, address, 3)).toEqual(["1", "81", "1"]);
    expect(wrongPages(process, address + PAGE, 1, 1)).toEqual([]);
  });

  test("drops what is in swap at once", () => {
    const { kernel, process, address } = anonymous(2);
    fill(process, address, 2);
    process.madvise(address, 2 * PAGE, "PAGEOUT");
    process.madvise(address, PAGE, "FREE");
    expect([pagemap(process, address, 2), kernel.swap.areas[0].usedSlots]).toEqual([["1", "81"], 1]);
    expect([process.loadU64(address), wrongPages(process, address + PAGE, 1, 1)]).toEqual([0n, []]);
  });

  test("needs no swap to give memory back", () => {
    const { kernel, process, address } = anonymous(60, { memoryPages: 64, swapPages: [] });
    fill(process, address, 60);
    process.madvise(address, 60 * PAGE, "FREE");
    const more = process.mmap({ lengthBytes: 50 * PAGE, write: true });
    fill(process, more, 50, 100);
    expect(kernel.vmstat.pglazyfreed).toBeGreaterThan(40);
    expect(wrongPages(process, more, 50, 100)).toEqual([]);
  });

  test("by a parent takes nothing from its child", () => {
    const { kernel, process, address } = anonymous(2);
    fill(process, address, 2);
    const child = process.fork();
    process.madvise(address, 2 * PAGE, "FREE");
    kernel.reclaimAll();
    expect(wrongPages(child, address, 2)).toEqual([]);
  });

  test("of a page in the swap cache gives up its slot", () => {
    const { kernel, process, address } = anonymous(1, { synchronous: false });
    fill(process, address, 1);
    process.madvise(address, PAGE, "PAGEOUT");
    process.loadU64(address);
    expect(kernel.swap.areas[0].usedSlots).toBe(1);
    process.madvise(address, PAGE, "FREE");
    expect(kernel.swap.areas[0].usedSlots).toBe(0);
    kernel.reclaimAll();
    expect(process.loadU64(address)).toBe(0n);
  });

  test("EINVAL on a mapping of an object", () => {
    const { process, object, address } = shared(1);
    const copy = process.mmap({ lengthBytes: PAGE, object, write: true });
    for (const at of [address, copy]) expect(failure(() => process.madvise(at, PAGE, "FREE"))).toBe("EINVAL");
  });
});

describe("POPULATE_READ and POPULATE_WRITE", () => {
  test("fault every page in, from holes, swap and markers", () => {
    for (const advice of ["POPULATE_READ", "POPULATE_WRITE"] as const) {
      const { kernel, process, object, address } = shared(6);
      fill(process, address, 4);
      process.madvise(address, 2 * PAGE, "PAGEOUT");
      process.madvise(address + 2 * PAGE, PAGE, "DONTNEED");
      process.madvise(address, 6 * PAGE, advice);
      expect(pagemap(process, address, 6)).toEqual(Array(6).fill("143"));
      expect(states(object)).toEqual(Array(6).fill("cached"));
      const { pgfault } = kernel.vmstat;
      expect(wrongPages(process, address, 4)).toEqual([]);
      fill(process, address, 6);
      expect(kernel.vmstat.pgfault).toBe(pgfault);
    }
  });

  test("of anonymous memory map the zero page, or pages of its own", () => {
    const { kernel, process, address } = anonymous(2);
    process.madvise(address, PAGE, "POPULATE_READ");
    process.madvise(address + PAGE, PAGE, "POPULATE_WRITE");
    expect(pagemap(process, address, 2)).toEqual(["101", "103"]);
    expect(kernel.frames.sizePages - kernel.frames.freeCount).toBe(1);
  });

  test("POPULATE_WRITE makes private copies, with the object's bytes", () => {
    const { process, object } = shared(2);
    fill(process, process.mm.vmas[0].start * PAGE, 2);
    const copy = process.mmap({ lengthBytes: 2 * PAGE, object, write: true });
    process.madvise(copy, 2 * PAGE, "POPULATE_WRITE");
    expect(pagemap(process, copy, 2)).toEqual(["103", "103"]);
    expect(wrongPages(process, copy, 2)).toEqual([]);
  });

  test("EINVAL where the mapping does not allow it, EFAULT beyond the object's end", () => {
    const { process, object, address } = shared(2);
    const readOnly = process.mmap({ lengthBytes: PAGE, object, shared: true });
    expect(failure(() => process.madvise(readOnly, PAGE, "POPULATE_WRITE"))).toBe("EINVAL");
    const nothing = process.mmap({ lengthBytes: PAGE, read: false });
    expect(failure(() => process.madvise(nothing, PAGE, "POPULATE_READ"))).toBe("EINVAL");
    object.ftruncate(PAGE);
    expect(failure(() => process.madvise(address, 2 * PAGE, "POPULATE_READ"))).toBe("EFAULT");
    expect(pagemap(process, address, 2)).toEqual(["143", "1"]);
  });

  test("ENOMEM when memory is full; what was populated before stays", () => {
    const { kernel, process, address } = anonymous(20, { memoryPages: 12, swapPages: [] });
    expect(failure(() => process.madvise(address, 20 * PAGE, "POPULATE_WRITE"))).toBe("ENOMEM");
    expect(kernel.frames.freeCount).toBe(0);
    expect(pagemap(process, address, 20)).toEqual([...Array(12).fill("103"), ...Array(8).fill("1")]);
  });

  test.each([
    ["linux-6.1", ["143", "143"]],
    ["linux-6.18", ["142", "0"]],
  ] as const)(
    "%s: a gap is ENOMEM; only before 6.18 is what lies after it populated",
    (profile, expected) => {
      const { process, address } = shared(3, { profile });
      process.munmap(address + PAGE, PAGE);
      expect(failure(() => process.madvise(address, 3 * PAGE, "POPULATE_READ"))).toBe("ENOMEM");
      expect([...pagemap(process, address, 1), ...pagemap(process, address + 2 * PAGE, 1)]).toEqual(expected);
    },
  );
});
