import { describe, expect, test } from "vitest";
import { failure, fill, PAGE, pagemap, pattern, testKernel, wrongPages } from "../../test/support/model.ts";
import { TASK_SIZE } from "../abi/index.ts";
import type { Process } from "./process.ts";

const AT = 0x1000_0000_0000;

/** The areas, as "first page + pages" relative to an address. */
function areas(process: Process, from = AT): string {
  return process.mm.vmas.map((vma) => `${vma.start - from / PAGE}+${vma.end - vma.start}`).join(" ");
}

function mapAt(process: Process, page: number, pages: number): number {
  return process.mmap({ lengthBytes: pages * PAGE, address: AT + page * PAGE, fixed: true, write: true });
}

describe("where a mapping goes", () => {
  test("top down from the end of user addresses", () => {
    const process = testKernel().createProcess();
    const addresses = [3, 1, 2].map((pages) => process.mmap({ lengthBytes: pages * PAGE }));
    expect(addresses.map((address) => (TASK_SIZE - address) / PAGE)).toEqual([3, 4, 6]);
  });

  test("at its hint, if that is free", () => {
    const process = testKernel().createProcess();
    expect(process.mmap({ lengthBytes: 2 * PAGE, address: AT })).toBe(AT);
    const elsewhere = process.mmap({ lengthBytes: 2 * PAGE, address: AT + PAGE });
    expect(elsewhere).toBe(TASK_SIZE - 2 * PAGE);
    expect(process.mmap({ lengthBytes: PAGE, address: AT + 2 * PAGE })).toBe(AT + 2 * PAGE);
  });

  test("at the start of the page that its hint is in, and not below the lowest address", () => {
    const process = testKernel().createProcess();
    expect(process.mmap({ lengthBytes: PAGE, address: AT + 1 })).toBe(AT);
    expect(process.mmap({ lengthBytes: PAGE, address: PAGE })).toBe(65536);
    expect(process.mmap({ lengthBytes: PAGE, address: 2 ** 47 })).toBe(TASK_SIZE - PAGE);
  });

  test("in the highest gap that is large enough, and gaps are used again", () => {
    const process = testKernel().createProcess();
    const [, b, , d] = [1, 1, 1, 3, 1].map((pages) => process.mmap({ lengthBytes: pages * PAGE }));
    process.munmap(b, PAGE);
    process.munmap(d, 3 * PAGE);
    expect(process.mmap({ lengthBytes: 2 * PAGE })).toBe(d + PAGE);
    expect(process.mmap({ lengthBytes: PAGE })).toBe(b);
    expect(process.mmap({ lengthBytes: PAGE })).toBe(d);
  });

  test("in a gap that became larger by what was unmapped beside it", () => {
    const process = testKernel().createProcess();
    const [, b, c] = [1, 1, 1, 1].map(() => process.mmap({ lengthBytes: PAGE }));
    process.munmap(b, PAGE);
    process.mmap({ lengthBytes: 2 * PAGE });
    process.munmap(c, PAGE);
    expect(process.mmap({ lengthBytes: 2 * PAGE })).toBe(c);
  });

  test("ENOMEM where there is no room, and nothing is mapped", () => {
    const process = testKernel().createProcess();
    expect(failure(() => process.mmap({ lengthBytes: 2 ** 47 }))).toBe("ENOMEM");
    expect(failure(() => process.mmap({ lengthBytes: 2 ** 60 }))).toBe("ENOMEM");
    const all = process.mmap({ lengthBytes: TASK_SIZE - 65536 });
    expect(all).toBe(65536);
    expect(failure(() => process.mmap({ lengthBytes: PAGE }))).toBe("ENOMEM");
    expect(failure(() => process.mmap({ lengthBytes: PAGE, shared: true }))).toBe("ENOMEM");
    process.munmap(AT, PAGE);
    expect(process.mmap({ lengthBytes: PAGE })).toBe(AT);
  });
});

describe("a fixed mapping", () => {
  test("replaces what is there, all of it or a part", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    mapAt(process, 0, 6);
    fill(process, AT, 6);
    process.mmap({ lengthBytes: 2 * PAGE, address: AT + 2 * PAGE, fixed: true });
    expect([process.loadU64(AT + 2 * PAGE), kernel.frames.sizePages - kernel.frames.freeCount]).toEqual([
      0n,
      4,
    ]);
    expect([wrongPages(process, AT, 2), wrongPages(process, AT + 4 * PAGE, 2, 4)]).toEqual([[], []]);
  });

  test("may be at any page of the user's addresses, also low", () => {
    const process = testKernel().createProcess();
    for (const address of [PAGE, TASK_SIZE - PAGE])
      expect(process.mmap({ lengthBytes: PAGE, address, fixed: true })).toBe(address);
  });

  test("ENOMEM beyond them, EINVAL within a page, and what is there stays", () => {
    const process = testKernel().createProcess();
    mapAt(process, 0, 1);
    fill(process, AT, 1);
    for (const address of [TASK_SIZE, 2 ** 47, 2 ** 52])
      expect(failure(() => process.mmap({ lengthBytes: PAGE, address, fixed: true }))).toBe("ENOMEM");
    expect(failure(() => process.mmap({ lengthBytes: TASK_SIZE, address: AT, fixed: true }))).toBe("ENOMEM");
    expect(failure(() => process.mmap({ lengthBytes: PAGE, address: AT + 1, fixed: true }))).toBe("EINVAL");
    expect(wrongPages(process, AT, 1)).toEqual([]);
  });
});

describe("neighbours", () => {
  test("that are alike become one area; different ones don't", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    mapAt(process, 0, 2);
    mapAt(process, 4, 2);
    mapAt(process, 2, 2);
    expect(areas(process)).toBe("0+6");
    process.mmap({ lengthBytes: PAGE, address: AT + 6 * PAGE, fixed: true });
    expect(areas(process)).toBe("0+6 6+1");
  });

  test("of one object become one if they continue each other", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 8 });
    const map = (page: number, first: number): void => {
      process.mmap({
        lengthBytes: 2 * PAGE,
        object,
        offsetBytes: first * PAGE,
        address: AT + page * PAGE,
        fixed: true,
        shared: true,
        write: true,
      });
    };
    map(0, 0);
    map(2, 2);
    expect(areas(process)).toBe("0+4");
    map(4, 2);
    expect(areas(process)).toBe("0+4 4+2");
    fill(process, AT, 4);
    expect(wrongPages(process, AT + 4 * PAGE, 2, 2)).toEqual([]);
  });

  test("with pages of their own become one, and keep them", () => {
    const process = testKernel().createProcess();
    mapAt(process, 0, 2);
    fill(process, AT, 2);
    mapAt(process, 2, 2);
    fill(process, AT + 2 * PAGE, 2, 2);
    expect(areas(process)).toBe("0+4");
    process.madvise(AT, 4 * PAGE, "PAGEOUT");
    expect(wrongPages(process, AT, 4)).toEqual([]);
  });
});

describe("munmap", () => {
  test("of the middle leaves two areas", () => {
    const process = testKernel().createProcess();
    mapAt(process, 0, 6);
    fill(process, AT, 6);
    process.munmap(AT + 2 * PAGE, 2 * PAGE);
    expect(areas(process)).toBe("0+2 4+2");
    expect([wrongPages(process, AT, 2), wrongPages(process, AT + 4 * PAGE, 2, 4)]).toEqual([[], []]);
    expect(failure(() => process.loadU64(AT + 2 * PAGE))).toBe("SIGSEGV");
  });

  test("takes parts of several areas and the gaps between, and succeeds where nothing is", () => {
    const process = testKernel().createProcess();
    for (const page of [0, 4, 8]) mapAt(process, page, 3);
    process.munmap(AT + PAGE, 8 * PAGE);
    expect(areas(process)).toBe("0+1 9+2");
    process.munmap(AT + PAGE, 8 * PAGE);
    process.munmap(2 ** 40, PAGE);
    expect(areas(process)).toBe("0+1 9+2");
  });

  test("frees pages, swap and the page tables that nothing needs", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const tables = kernel.pageTables.inUse;
    mapAt(process, 0, 2048);
    for (const page of [0, 600, 1200, 2000]) process.writeBytes(AT + page * PAGE, pattern(page));
    process.madvise(AT + 600 * PAGE, PAGE, "PAGEOUT");
    expect(kernel.pageTables.inUse).toBe(tables + 2 + 4);
    process.munmap(AT + 512 * PAGE, 1024 * PAGE);
    expect(kernel.pageTables.inUse).toBe(tables + 2 + 2);
    expect([kernel.frames.sizePages - kernel.frames.freeCount, kernel.swap.areas[0].usedSlots]).toEqual([
      2, 0,
    ]);
    process.munmap(AT, 2048 * PAGE);
    expect(kernel.pageTables.inUse).toBe(tables);
  });

  test("keeps a page table that a neighbour uses", () => {
    const process = testKernel().createProcess();
    mapAt(process, 0, 4);
    fill(process, AT, 4);
    process.munmap(AT, 2 * PAGE);
    expect(wrongPages(process, AT + 2 * PAGE, 2, 2)).toEqual([]);
  });

  test("EINVAL for no length, within a page, or beyond user addresses", () => {
    const process = testKernel().createProcess();
    mapAt(process, 0, 1);
    expect(failure(() => process.munmap(AT, 0))).toBe("EINVAL");
    expect(failure(() => process.munmap(AT + 8, PAGE))).toBe("EINVAL");
    expect(failure(() => process.munmap(2 ** 47, PAGE))).toBe("EINVAL");
    expect(failure(() => process.munmap(AT, TASK_SIZE))).toBe("EINVAL");
    expect(areas(process)).toBe("0+1");
  });
});

describe("mmap refuses", () => {
  test("no length, and an offset within a page, with EINVAL", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 1 });
    for (const lengthBytes of [0, -PAGE, Number.NaN])
      expect(failure(() => process.mmap({ lengthBytes }))).toBe("EINVAL");
    expect(failure(() => process.mmap({ lengthBytes: PAGE, object, offsetBytes: 5 }))).toBe("EINVAL");
    expect(process.mm.vmas).toEqual([]);
  });

  test("a closed descriptor, with EBADF", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 1 });
    const address = process.mmap({ lengthBytes: PAGE, object, shared: true, write: true });
    object.close();
    expect(failure(() => process.mmap({ lengthBytes: PAGE, object }))).toBe("EBADF");
    process.storeU64(address, 1n);
    process.munmap(address, PAGE);
    expect(failure(() => process.mmap({ lengthBytes: PAGE, object }))).toBe("EBADF");
  });
});

test("a length is rounded up to pages", () => {
  const process = testKernel().createProcess();
  const address = process.mmap({ lengthBytes: PAGE + 1, write: true });
  process.storeU64(address + 2 * PAGE - 8, 1n);
  expect(pagemap(process, address, 2)).toEqual(["1", "103"]);
});

test("an untouched mapping costs nothing, however large", () => {
  const kernel = testKernel();
  const process = kernel.createProcess();
  const { pageTables } = kernel.work;
  process.mmap({ lengthBytes: 2 ** 46, write: true });
  expect([kernel.work.pageTables, kernel.frames.freeCount]).toEqual([pageTables, kernel.frames.sizePages]);
});
