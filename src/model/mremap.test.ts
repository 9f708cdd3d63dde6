import { describe, expect, test } from "vitest";
import {
  failure,
  fill,
  mincore,
  PAGE,
  pagemap,
  pattern,
  type Setup,
  testKernel,
  wrongPages,
} from "../../test/support/model.ts";
import type { Process } from "./process.ts";

const AT = 0x1000_0000_0000;
const TO = 0x2000_0000_0000;

function shared(pages: number, setup: Setup = {}) {
  const kernel = testKernel(setup);
  const process = kernel.createProcess();
  const object = kernel.memfdCreate({ sizePages: pages });
  const address = process.mmap({
    lengthBytes: pages * PAGE,
    object,
    address: AT,
    fixed: true,
    shared: true,
    write: true,
  });
  return { kernel, process, object, address };
}

function anonymous(pages: number, setup: Setup = {}) {
  const kernel = testKernel(setup);
  const process = kernel.createProcess();
  const address = process.mmap({ lengthBytes: pages * PAGE, address: AT, fixed: true, write: true });
  return { kernel, process, address };
}

/** Moves whole mappings of so many pages. */
function move(process: Process, address: number, pages: number, to: number): number {
  return process.mremap({ address, oldLengthBytes: pages * PAGE, newLengthBytes: pages * PAGE, to });
}

describe("moving", () => {
  test("takes present pages, pages in swap and markers along; the old place is gone", () => {
    const { kernel, process, address } = shared(4);
    fill(process, address, 4);
    process.madvise(address, 2 * PAGE, "PAGEOUT");
    const { pgfault } = kernel.vmstat;
    expect(move(process, address, 4, TO)).toBe(TO);
    expect(kernel.vmstat.pgfault).toBe(pgfault);
    expect(pagemap(process, TO, 4)).toEqual(["81:30.2", "81:30.2", "143", "143"]);
    expect(pagemap(process, address, 4)).toEqual(["0", "0", "0", "0"]);
    expect(failure(() => process.loadU64(address))).toBe("SIGSEGV");
    expect(wrongPages(process, TO, 4)).toEqual([]);
  });

  test("keeps private pages, in memory, in the swap cache and in swap", () => {
    const { process, address } = anonymous(4, { synchronous: false });
    fill(process, address, 4);
    process.madvise(address, 2 * PAGE, "PAGEOUT");
    process.madvise(address, PAGE, "PAGEOUT");
    process.madvise(address, PAGE, "WILLNEED");
    move(process, address, 4, TO);
    expect([pagemap(process, TO, 4), mincore(process, TO, 4)]).toEqual([["81", "81", "103", "103"], "1111"]);
    expect(wrongPages(process, TO, 4)).toEqual([]);
  });

  test("makes what it moves soft-dirty, PAGEOUT markers too (80 becomes 81), but not none PTEs", () => {
    const { process, address } = shared(4);
    fill(process, address, 3);
    process.clearRefs();
    process.madvise(address, 2 * PAGE, "PAGEOUT");
    expect(pagemap(process, address, 4)).toEqual(["80:30.2", "80:30.2", "142", "0"]);
    move(process, address, 4, TO);
    expect(pagemap(process, TO, 4)).toEqual(["81:30.2", "81:30.2", "143", "0"]);
    // A read fault then loses it.
    process.loadU64(TO);
    expect(pagemap(process, TO, 1)).toEqual(["142"]);
  });

  test("sets no soft-dirty where the kernel has none", () => {
    const { process, address } = shared(2, { config: { MEM_SOFT_DIRTY: false } });
    fill(process, address, 2);
    process.madvise(address, PAGE, "PAGEOUT");
    move(process, address, 2, TO);
    expect(pagemap(process, TO, 2)).toEqual(["80:30.2", "142"]);
  });

  test("drops all write-protection by userfaultfd, and the registration", () => {
    const { kernel, process, address } = shared(4);
    fill(process, address, 4);
    const uffd = process.userfaultfd();
    uffd.register(address, 4 * PAGE);
    uffd.protect(address, 3 * PAGE);
    process.madvise(address, 2 * PAGE, "PAGEOUT");
    expect(pagemap(process, address, 4)).toEqual(["85:30.1", "85:30.1", "147", "143"]);
    move(process, address, 4, TO);
    expect(pagemap(process, TO, 4)).toEqual(["1", "1", "143", "143"]);
    expect(failure(() => uffd.protect(TO, PAGE))).toBe("ENOENT");
    expect(wrongPages(process, TO, 4)).toEqual([]);
    expect(kernel.objects).toHaveLength(1);
  });

  test("drops it from private pages in swap as well", () => {
    const { process, address } = anonymous(2);
    fill(process, address, 2);
    const uffd = process.userfaultfd();
    uffd.register(address, 2 * PAGE);
    uffd.protect(address, 2 * PAGE);
    process.madvise(address, PAGE, "PAGEOUT");
    expect(pagemap(process, address, 2)).toEqual(["85", "107"]);
    move(process, address, 2, TO);
    expect(pagemap(process, TO, 2)).toEqual(["81", "103"]);
    expect(wrongPages(process, TO, 2)).toEqual([]);
  });

  test("replaces what is mapped at the new place", () => {
    const { kernel, process, address } = anonymous(2);
    fill(process, address, 2);
    process.mmap({ lengthBytes: 4 * PAGE, address: TO, fixed: true, write: true });
    fill(process, TO, 4, 50);
    move(process, address, 2, TO + PAGE);
    expect([
      wrongPages(process, TO, 1, 50),
      wrongPages(process, TO + PAGE, 2),
      wrongPages(process, TO + 3 * PAGE, 1, 53),
    ]).toEqual([[], [], []]);
    expect(kernel.frames.sizePages - kernel.frames.freeCount).toBe(4);
  });

  test("a part of a mapping leaves the rest", () => {
    const { process, address } = anonymous(6);
    fill(process, address, 6);
    move(process, address + 2 * PAGE, 2, TO);
    expect([
      wrongPages(process, address, 2),
      wrongPages(process, TO, 2, 2),
      wrongPages(process, address + 4 * PAGE, 2, 4),
    ]).toEqual([[], [], []]);
    expect(failure(() => process.loadU64(address + 2 * PAGE))).toBe("SIGSEGV");
  });

  test("and back again makes one area of the pieces", () => {
    const { process, address } = anonymous(6);
    fill(process, address, 6);
    move(process, address + 2 * PAGE, 2, TO);
    move(process, TO, 2, address + 2 * PAGE);
    expect(process.mm.vmas).toHaveLength(1);
    expect(wrongPages(process, address, 6)).toEqual([]);
  });

  test("to where it overlaps itself is EINVAL, and nothing moves", () => {
    const { process, address } = anonymous(4);
    fill(process, address, 4);
    for (const to of [address, address + PAGE, address - PAGE, address + 3 * PAGE])
      expect(failure(() => move(process, address, 4, to))).toBe("EINVAL");
    expect(wrongPages(process, address, 4)).toEqual([]);
    expect(move(process, address, 4, address + 4 * PAGE)).toBe(address + 4 * PAGE);
  });

  test("a page keeps its frame, and is found there by page-out", () => {
    const { kernel, process, address } = anonymous(2);
    fill(process, address, 2);
    const frame = process.frameAt(address);
    move(process, address, 2, TO);
    expect(process.frameAt(TO)).toBe(frame);
    expect(kernel.reclaimPages([frame])).toBe(1);
    expect(pagemap(process, TO, 1)).toEqual(["81"]);
  });
});

describe("growing", () => {
  test("where there is room stays", () => {
    const { process, address } = anonymous(2);
    fill(process, address, 2);
    const at = process.mremap({ address, oldLengthBytes: 2 * PAGE, newLengthBytes: 5 * PAGE });
    expect([at, process.mm.vmas.length]).toEqual([address, 1]);
    fill(process, address + 2 * PAGE, 3, 2);
    expect(wrongPages(process, address, 5)).toEqual([]);
  });

  test("into a mapping that continues it joins the two", () => {
    const { process, object } = shared(8);
    process.munmap(AT, 8 * PAGE);
    for (const [first, pages] of [
      [0, 2],
      [4, 4],
    ])
      process.mmap({
        lengthBytes: pages * PAGE,
        object,
        offsetBytes: first * PAGE,
        address: AT + first * PAGE,
        fixed: true,
        shared: true,
        write: true,
      });
    process.mremap({ address: AT, oldLengthBytes: 2 * PAGE, newLengthBytes: 4 * PAGE });
    expect(process.mm.vmas).toHaveLength(1);
    fill(process, AT, 8);
    expect(wrongPages(process, AT, 8)).toEqual([]);
  });

  test("where there is none moves, if it may, with its pages", () => {
    const { process, address } = anonymous(4);
    fill(process, address, 4);
    const grow = { address, oldLengthBytes: 2 * PAGE, newLengthBytes: 6 * PAGE };
    expect(failure(() => process.mremap(grow))).toBe("ENOMEM");
    process.mmap({ lengthBytes: PAGE, address: AT + 4 * PAGE, fixed: true });
    const whole = { address, oldLengthBytes: 4 * PAGE, newLengthBytes: 6 * PAGE };
    expect(failure(() => process.mremap(whole))).toBe("ENOMEM");
    const at = process.mremap({ ...whole, mayMove: true });
    expect(at).not.toBe(address);
    fill(process, at + 4 * PAGE, 2, 4);
    expect(wrongPages(process, at, 6)).toEqual([]);
    expect(failure(() => process.loadU64(address))).toBe("SIGSEGV");
  });

  test("of a mapping of an object shows more of the object, and SIGBUS beyond its end", () => {
    const { process, object, address } = shared(2);
    fill(process, address, 2);
    object.pwrite(pattern(2), 2 * PAGE);
    process.mremap({ address, oldLengthBytes: 2 * PAGE, newLengthBytes: 4 * PAGE });
    expect(wrongPages(process, address, 3)).toEqual([]);
    expect(failure(() => process.loadU64(address + 3 * PAGE))).toBe("SIGBUS");
  });

  test("while moving to a given place", () => {
    const { process, address } = shared(4);
    fill(process, address, 4);
    process.mremap({ address, oldLengthBytes: 2 * PAGE, newLengthBytes: 4 * PAGE, to: TO });
    expect(wrongPages(process, TO, 4)).toEqual([]);
    expect(wrongPages(process, address + 2 * PAGE, 2, 2)).toEqual([]);
  });
});

describe("shrinking", () => {
  test("frees the rest: memory, swap and markers", () => {
    const { kernel, process, address } = anonymous(6);
    fill(process, address, 6);
    process.madvise(address + 4 * PAGE, PAGE, "PAGEOUT");
    expect(process.mremap({ address, oldLengthBytes: 6 * PAGE, newLengthBytes: 2 * PAGE })).toBe(address);
    expect([kernel.frames.sizePages - kernel.frames.freeCount, kernel.swap.areas[0].usedSlots]).toEqual([
      2, 0,
    ]);
    expect(failure(() => process.loadU64(address + 2 * PAGE))).toBe("SIGSEGV");
    expect(wrongPages(process, address, 2)).toEqual([]);
  });

  test("while moving takes only what is kept", () => {
    const { kernel, process, address } = anonymous(6);
    fill(process, address, 6);
    process.mremap({ address, oldLengthBytes: 6 * PAGE, newLengthBytes: 2 * PAGE, to: TO });
    expect([wrongPages(process, TO, 2), process.mm.vmas.length]).toEqual([[], 1]);
    expect(kernel.frames.sizePages - kernel.frames.freeCount).toBe(2);
  });

  test("to the same length does nothing", () => {
    const { process, address } = anonymous(2);
    expect(
      process.mremap({ address, oldLengthBytes: 2 * PAGE, newLengthBytes: 2 * PAGE, mayMove: true }),
    ).toBe(address);
  });
});

describe("moving several areas, since 6.17", () => {
  /** Six pages in three areas, since the middle two are read-only. */
  const threeAreas = () => {
    const { kernel, process, address } = anonymous(6, { profile: "linux-6.18" });
    fill(process, address, 6);
    process.mprotect(address + 2 * PAGE, 2 * PAGE, {});
    return { kernel, process, address };
  };
  const areas = (process: Process) =>
    process.mm.vmas.map(({ start, end }) => [start * PAGE, (end - start) as number]);

  test("takes all of them along, as they are", () => {
    const { kernel, process, address } = threeAreas();
    expect(move(process, address, 6, TO)).toBe(TO);
    expect(wrongPages(process, TO, 6)).toEqual([]);
    expect(failure(() => process.storeU64(TO + 2 * PAGE, 1n))).toBe("SIGSEGV");
    expect(failure(() => process.storeU64(TO + 4 * PAGE, 1n))).toBe("");
    expect(failure(() => process.loadU64(address))).toBe("SIGSEGV");
    kernel.checkInvariants();
  });

  test("takes parts of the first and the last", () => {
    const { process, address } = threeAreas();
    move(process, address + PAGE, 4, TO);
    expect(areas(process)).toEqual([
      [address, 1],
      [address + 5 * PAGE, 1],
      [TO, 1],
      [TO + PAGE, 2],
      [TO + 3 * PAGE, 1],
    ]);
    expect(wrongPages(process, TO, 4, 1)).toEqual([]);
  });

  test("keeps gaps, and what is mapped at the new place there", () => {
    const { process, address } = anonymous(6, { profile: "linux-6.18" });
    process.munmap(address + 2 * PAGE, 2 * PAGE);
    process.munmap(address + 5 * PAGE, PAGE);
    process.mmap({ address: TO, fixed: true, lengthBytes: 6 * PAGE, write: true });
    fill(process, TO, 6);
    move(process, address, 6, TO);
    expect([0, 1, 2, 3, 4, 5].filter((i) => process.loadU64(TO + i * PAGE) === 0n)).toEqual([0, 1, 4]);
    expect(wrongPages(process, TO + 2 * PAGE, 2, 2)).toEqual([]);
  });

  test("EFAULT for a gap at the start, and for nothing at all", () => {
    const { process, address } = threeAreas();
    process.munmap(address, PAGE);
    expect(failure(() => move(process, address, 6, TO))).toBe("EFAULT");
    expect(failure(() => move(process, TO, 1, TO + 9 * PAGE))).toBe("EFAULT");
    expect(areas(process)).toHaveLength(3);
  });

  test.each([
    [0, [AT, AT + 2 * PAGE, AT + 4 * PAGE]],
    [1, [AT + 2 * PAGE, AT + 4 * PAGE, TO]],
    [2, [AT + 4 * PAGE, TO, TO + 2 * PAGE]],
  ])("EFAULT where area %i is a userfaultfd's; those before it have moved", (registered, starts) => {
    const { process, address } = threeAreas();
    process.userfaultfd().register(address + registered * 2 * PAGE, 2 * PAGE);
    expect(failure(() => move(process, address, 6, TO))).toBe("EFAULT");
    expect(areas(process).map(([start]) => start)).toEqual(starts);
    expect(move(process, address + registered * 2 * PAGE, 2, 2 * TO)).toBe(2 * TO); // by itself it moves
  });

  test("not when it grows or shrinks as well", () => {
    const { process, address } = threeAreas();
    const grow = { address, oldLengthBytes: 6 * PAGE, newLengthBytes: 7 * PAGE, to: TO };
    expect(failure(() => process.mremap(grow))).toBe("EFAULT");
  });
});

describe("what is refused", () => {
  test("EFAULT where nothing is mapped, or the range is not in one area", () => {
    const { process, address } = anonymous(4);
    process.mprotect(address + 2 * PAGE, 2 * PAGE, {});
    expect(failure(() => move(process, TO, 1, TO + 9 * PAGE))).toBe("EFAULT");
    expect(failure(() => move(process, address, 4, TO))).toBe("EFAULT");
    expect(failure(() => move(process, address + 3 * PAGE, 2, TO))).toBe("EFAULT");
  });

  test("EINVAL for no length and for addresses within a page", () => {
    const { process, address } = anonymous(2);
    const whole = { address, oldLengthBytes: 2 * PAGE, newLengthBytes: 2 * PAGE };
    expect(failure(() => process.mremap({ ...whole, newLengthBytes: 0 }))).toBe("EINVAL");
    expect(failure(() => process.mremap({ ...whole, address: address + 8 }))).toBe("EINVAL");
    expect(failure(() => process.mremap({ ...whole, to: TO + 8 }))).toBe("EINVAL");
  });

  test("EINVAL beyond user addresses, ENOMEM for more than there are", () => {
    const { process, address } = anonymous(2);
    for (const to of [2 ** 47 - PAGE, 2 ** 47 - 2 * PAGE, 2 ** 47, 2 ** 50])
      expect(failure(() => move(process, address, 2, to))).toBe("EINVAL");
    const grow = { address, oldLengthBytes: 2 * PAGE, newLengthBytes: 2 ** 47, mayMove: true };
    expect(failure(() => process.mremap(grow))).toBe("ENOMEM");
    expect(move(process, address, 2, 2 ** 47 - 3 * PAGE)).toBe(2 ** 47 - 3 * PAGE);
  });
});
