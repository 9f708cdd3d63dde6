import { describe, expect, test } from "vitest";
import {
  failure,
  fill,
  PAGE,
  pagemap,
  pattern,
  states,
  testKernel,
  wrongPages,
  wrongPagesOf,
} from "../../test/support/model.ts";
import type { Memfd } from "./memfd.ts";
import type { Process } from "./process.ts";

const PAGES = 4;

/** Two processes that map an object; all its pages are out, with a PAGEOUT marker in both. */
function pagedOut() {
  const kernel = testKernel();
  const object = kernel.memfdCreate({ sizePages: PAGES });
  const [a, b] = [kernel.createProcess(), kernel.createProcess()];
  const options = { lengthBytes: PAGES * PAGE, object, shared: true, write: true };
  const [inA, inB] = [a.mmap(options), b.mmap(options)];
  fill(a, inA, PAGES);
  b.touchRead(inB, PAGES * PAGE);
  kernel.reclaimAll();
  const before = [pagemap(a, inA, PAGES), pagemap(b, inB, PAGES)];
  expect(before.flat()).toEqual(Array(2 * PAGES).fill("81:30.2"));
  return { kernel, object, a, b, inA, inB };
}

const NONE = Array(PAGES).fill("1");
const OUT = Array(PAGES).fill("81:30.2");

describe("a PAGEOUT marker always goes", () => {
  test("by DONTNEED, in this process; what is in swap stays", () => {
    const { object, a, b, inA, inB } = pagedOut();
    a.madvise(inA, PAGES * PAGE, "DONTNEED");
    expect([pagemap(a, inA, PAGES), pagemap(b, inB, PAGES)]).toEqual([NONE, OUT]);
    expect(states(object)).toEqual(Array(PAGES).fill("swapped"));
    expect(wrongPages(a, inA, PAGES)).toEqual([]);
  });

  test.each<[string, (a: Process, address: number, object: Memfd) => void]>([
    ["REMOVE", (a, address) => a.madvise(address, PAGES * PAGE, "REMOVE")],
    ["a punched hole", (_a, _address, object) => object.punchHole(0, PAGES * PAGE)],
    ["truncation", (_a, _address, object) => object.ftruncate(0)],
  ])("by %s, in all processes, and so does what is in swap", (_, remove) => {
    const { kernel, object, a, b, inA, inB } = pagedOut();
    remove(a, inA, object);
    expect([pagemap(a, inA, PAGES), pagemap(b, inB, PAGES)]).toEqual([NONE, NONE]);
    expect([states(object).filter((state) => state !== "hole"), kernel.swap.areas[0].usedSlots]).toEqual([
      [],
      0,
    ]);
  });

  test("by a zap of just its pages", () => {
    const { object, a, b, inA, inB } = pagedOut();
    object.punchHole(PAGE, PAGE);
    a.madvise(inA + 3 * PAGE, PAGE, "DONTNEED");
    expect(pagemap(a, inA, PAGES)).toEqual(["81:30.2", "1", "81:30.2", "1"]);
    expect(pagemap(b, inB, PAGES)).toEqual(["81:30.2", "1", "81:30.2", "81:30.2"]);
  });

  test("with its mapping: a new one at the same place has none", () => {
    const { kernel, object, a, inA } = pagedOut();
    a.munmap(inA, PAGES * PAGE);
    kernel.checkInvariants();
    a.mmap({ lengthBytes: PAGES * PAGE, object, address: inA, fixed: true, shared: true, write: true });
    expect(pagemap(a, inA, PAGES)).toEqual(NONE);
    expect(wrongPages(a, inA, PAGES)).toEqual([]);
  });

  test("holds nothing: the slots are freed when the object goes, markers or not", () => {
    const { kernel, object, a, b } = pagedOut();
    expect(kernel.swap.areas[0].usedSlots).toBe(PAGES);
    expect([...kernel.swap.areas[0].counts.slice(1, PAGES + 1)]).toEqual(Array(PAGES).fill(1));
    object.close();
    a.exit();
    expect(kernel.swap.areas[0].usedSlots).toBe(PAGES);
    b.exit();
    expect(kernel.swap.areas[0].usedSlots).toBe(0);
  });
});

/** A mapping whose first half is write-protected by userfaultfd; the pages are in memory, or out. */
function protectedHalf(where: "in memory" | "out") {
  const kernel = testKernel();
  const object = kernel.memfdCreate({ sizePages: PAGES });
  const process = kernel.createProcess();
  const address = process.mmap({ lengthBytes: PAGES * PAGE, object, shared: true, write: true });
  fill(process, address, PAGES);
  const uffd = process.userfaultfd();
  uffd.register(address, PAGES * PAGE);
  uffd.protect(address, 2 * PAGE);
  if (where === "out") process.madvise(address, PAGES * PAGE, "PAGEOUT");
  return { kernel, object, process, address, uffd };
}

describe("write-protection by userfaultfd outlives", () => {
  const ends: [string, (process: Process, address: number, object: Memfd) => void][] = [
    ["DONTNEED", (process, address) => process.madvise(address, PAGES * PAGE, "DONTNEED")],
    ["REMOVE", (process, address) => process.madvise(address, PAGES * PAGE, "REMOVE")],
    ["a punched hole", (_p, _a, object) => object.punchHole(0, PAGES * PAGE)],
    ["truncation, even beyond the object's end", (_p, _a, object) => object.ftruncate(0)],
  ];
  for (const where of ["in memory", "out"] as const)
    test.each(ends)(`%s of pages ${where}`, (_, zap) => {
      const { object, process, address } = protectedHalf(where);
      zap(process, address, object);
      expect(pagemap(process, address, PAGES)).toEqual(["85:30.1", "85:30.1", "1", "1"]);
    });

  test("nothing that takes the mapping away", () => {
    const { object, process, address } = protectedHalf("out");
    process.munmap(address, PAGES * PAGE);
    process.mmap({ lengthBytes: PAGES * PAGE, object, address, fixed: true, shared: true, write: true });
    expect(pagemap(process, address, PAGES)).toEqual(NONE);
  });

  test("no zap of anonymous memory, which has no marker", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 2 * PAGE, write: true });
    fill(process, address, 2);
    const uffd = process.userfaultfd();
    uffd.register(address, 2 * PAGE);
    uffd.protect(address, 2 * PAGE);
    process.madvise(address, PAGE, "PAGEOUT");
    expect(pagemap(process, address, 2)).toEqual(["85", "107"]);
    process.madvise(address, 2 * PAGE, "DONTNEED");
    expect(pagemap(process, address, 2)).toEqual(["1", "1"]);
  });
});

describe("the bytes", () => {
  test("stored through a mapping that is then zapped are not lost: the page is dirty", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 2 });
    const address = process.mmap({ lengthBytes: 2 * PAGE, object, shared: true, write: true });
    process.touchRead(address, 2 * PAGE);
    fill(process, address, 2);
    process.madvise(address, PAGE, "DONTNEED");
    process.munmap(address + PAGE, PAGE);
    kernel.reclaimAll();
    expect([states(object), wrongPagesOf(object, 0, 2)]).toEqual([["swapped", "swapped"], []]);
  });

  test("of a private page go with it, in memory and in swap", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 2 * PAGE, write: true });
    fill(process, address, 2);
    process.madvise(address, PAGE, "PAGEOUT");
    process.madvise(address, 2 * PAGE, "DONTNEED");
    expect([kernel.frames.freeCount, kernel.swap.areas[0].usedSlots]).toEqual([kernel.frames.sizePages, 0]);
    expect([process.loadU64(address), process.loadU64(address + PAGE)]).toEqual([0n, 0n]);
  });

  test("of a private copy go by DONTNEED, and the object's are seen again", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 1 });
    object.pwrite(pattern(1), 0);
    const address = process.mmap({ lengthBytes: PAGE, object, write: true });
    process.writeBytes(address, pattern(2));
    process.madvise(address, PAGE, "DONTNEED");
    expect(wrongPages(process, address, 1, 1)).toEqual([]);
  });

  test("that two processes have in one swap slot stay for the other", () => {
    const kernel = testKernel();
    const parent = kernel.createProcess();
    const address = parent.mmap({ lengthBytes: PAGE, write: true });
    fill(parent, address, 1);
    const child = parent.fork();
    kernel.reclaimPages([parent.frameAt(address)]);
    parent.madvise(address, PAGE, "DONTNEED");
    expect(kernel.swap.areas[0].usedSlots).toBe(1);
    expect([wrongPages(child, address, 1), parent.loadU64(address)]).toEqual([[], 0n]);
  });

  test("of a page in the swap cache go from memory and swap", () => {
    const kernel = testKernel({ synchronous: false });
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 2 * PAGE, write: true });
    fill(process, address, 2);
    process.madvise(address, 2 * PAGE, "PAGEOUT");
    process.loadU64(address);
    process.madvise(address, 2 * PAGE, "DONTNEED");
    expect([kernel.frames.freeCount, kernel.swap.areas[0].usedSlots]).toEqual([kernel.frames.sizePages, 0]);
  });
});

test("a zap of a range without page tables makes none and reads nothing", () => {
  const kernel = testKernel();
  const process = kernel.createProcess();
  const address = process.mmap({ lengthBytes: 2 ** 36, write: true });
  process.storeU64(address, 1n);
  const { pageTables, pteReads } = kernel.work;
  process.madvise(address, 2 ** 36, "DONTNEED");
  expect(kernel.work.pageTables).toBe(pageTables);
  expect(kernel.work.pteReads - pteReads).toBeLessThanOrEqual(512);
  expect(failure(() => process.loadU64(address))).toBe("");
});
