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

describe("what the child's page table gets", () => {
  test("nothing of a shared mapping: present PTEs and markers are none, and the pages are found again", () => {
    const kernel = testKernel();
    const parent = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 4 });
    const address = parent.mmap({ lengthBytes: 4 * PAGE, object, shared: true, write: true });
    fill(parent, address, 4);
    parent.madvise(address, 2 * PAGE, "PAGEOUT");
    const child = parent.fork();
    expect(pagemap(child, address, 4)).toEqual(["1", "1", "1", "1"]);
    expect(pagemap(parent, address, 4)).toEqual(["81:30.2", "81:30.2", "143", "143"]);
    expect(mincore(child, address, 4)).toBe("0011");
    expect(wrongPages(child, address, 4)).toEqual([]);
  });

  test("the private pages, that nobody may write without a copy then", () => {
    const kernel = testKernel();
    const parent = kernel.createProcess();
    const address = parent.mmap({ lengthBytes: 3 * PAGE, write: true });
    fill(parent, address, 2);
    parent.madvise(address + PAGE, PAGE, "PAGEOUT");
    const child = parent.fork();
    expect([pagemap(child, address, 3), pagemap(parent, address, 3)]).toEqual([
      ["101", "81", "1"],
      ["101", "81", "1"],
    ]);
    expect(child.frameAt(address)).toBe(parent.frameAt(address));
    expect(kernel.frames.sizePages - kernel.frames.freeCount).toBe(1);
  });

  test("of a private mapping with copies also what it maps of the object, but no PAGEOUT marker", () => {
    const kernel = testKernel();
    const parent = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 3 });
    for (const page of [0, 1, 2]) object.pwrite(pattern(page), page * PAGE);
    const address = parent.mmap({ lengthBytes: 3 * PAGE, object, write: true });
    parent.touchRead(address, 3 * PAGE);
    parent.writeBytes(address, pattern(10));
    parent.madvise(address + PAGE, PAGE, "PAGEOUT");
    const child = parent.fork();
    expect([pagemap(parent, address, 3), pagemap(child, address, 3)]).toEqual([
      ["101", "81:30.2", "141"],
      ["101", "1", "141"],
    ]);
    expect([wrongPages(child, address, 1, 10), wrongPages(child, address + PAGE, 2, 1)]).toEqual([[], []]);
  });

  test("of a private mapping without copies nothing", () => {
    const kernel = testKernel();
    const parent = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 1 });
    object.pwrite(pattern(0), 0);
    const address = parent.mmap({ lengthBytes: PAGE, object, write: true });
    parent.loadU64(address);
    const child = parent.fork();
    expect(pagemap(child, address, 1)).toEqual(["1"]);
    expect(wrongPages(child, address, 1)).toEqual([]);
  });

  test("no write-protection by userfaultfd: the child is not registered", () => {
    const kernel = testKernel({ profile: "linux-6.18" });
    const parent = kernel.createProcess();
    const address = parent.mmap({ lengthBytes: 4 * PAGE, write: true });
    fill(parent, address, 3);
    const uffd = parent.userfaultfd();
    uffd.register(address, 4 * PAGE);
    parent.madvise(address, PAGE, "PAGEOUT");
    uffd.protect(address, 4 * PAGE);
    expect(pagemap(parent, address, 4)).toEqual(
      ["84", "106", "106", "84:31.1"].map((text) => text.replace("106", "106")),
    );
    const child = parent.fork();
    expect(pagemap(child, address, 4)).toEqual(["80", "100", "100", "0"]);
    expect(pagemap(parent, address, 4)).toEqual(["84", "104", "104", "84:31.1"]);
  });

  test("no marker of a private mapping: PAGEOUT never, uffd-wp because the child is not registered", () => {
    const kernel = testKernel();
    const parent = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 3 });
    for (const page of [0, 1, 2]) object.pwrite(pattern(page), page * PAGE);
    const address = parent.mmap({ lengthBytes: 3 * PAGE, object, write: true });
    parent.touchRead(address, 3 * PAGE);
    parent.storeU64(address, 9n);
    const uffd = parent.userfaultfd();
    uffd.register(address, 3 * PAGE);
    uffd.protect(address + PAGE, PAGE);
    parent.madvise(address + PAGE, 2 * PAGE, "PAGEOUT");
    expect(pagemap(parent, address, 3)).toEqual(["103", "85:30.1", "81:30.2"]);
    expect(pagemap(parent.fork(), address, 3)).toEqual(["101", "1", "1"]);
  });

  test("soft-dirty as it is", () => {
    const kernel = testKernel();
    const parent = kernel.createProcess();
    const address = parent.mmap({ lengthBytes: 2 * PAGE, write: true });
    fill(parent, address, 2);
    parent.clearRefs();
    parent.storeU64(address, 1n);
    const child = parent.fork();
    expect(pagemap(child, address, 2)).toEqual(["101", "100"]);
  });
});

describe("after fork", () => {
  test("each has its own bytes of private memory, whoever writes first", () => {
    const kernel = testKernel();
    const parent = kernel.createProcess();
    const address = parent.mmap({ lengthBytes: 8 * PAGE, write: true });
    fill(parent, address, 8);
    const [first, second] = [parent.fork(), parent.fork()];
    fill(first, address, 3, 100);
    fill(parent, address + 3 * PAGE, 3, 200);
    const third = first.fork();
    fill(third, address, 1, 300);
    expect(wrongPages(second, address, 8)).toEqual([]);
    expect([wrongPages(first, address, 3, 100), wrongPages(first, address + 3 * PAGE, 5, 3)]).toEqual([
      [],
      [],
    ]);
    expect([wrongPages(parent, address, 3), wrongPages(parent, address + 3 * PAGE, 3, 200)]).toEqual([
      [],
      [],
    ]);
    expect([wrongPages(third, address, 1, 300), wrongPages(third, address + PAGE, 2, 101)]).toEqual([[], []]);
  });

  test("the object behind shared memory is the same; a private mapping's is not changed", () => {
    const kernel = testKernel();
    const parent = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 1 });
    const shared = parent.mmap({ lengthBytes: PAGE, object, shared: true, write: true });
    const copy = parent.mmap({ lengthBytes: PAGE, object, write: true });
    const child = parent.fork();
    child.writeBytes(shared, pattern(1));
    child.writeBytes(copy, pattern(2));
    expect([wrongPages(parent, shared, 1, 1), wrongPages(parent, copy, 1, 1)]).toEqual([[], []]);
    expect([wrongPages(child, copy, 1, 2), wrongPagesOf(object, 0, 1, 1)]).toEqual([[], []]);
  });

  test("the exclusive bit of a page flips when the other maps and unmaps it", () => {
    const kernel = testKernel();
    const parent = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 1 });
    const address = parent.mmap({ lengthBytes: PAGE, object, shared: true, write: true });
    parent.storeU64(address, 1n);
    const child = parent.fork();
    const seen = [pagemap(parent, address, 1)[0]];
    child.loadU64(address);
    seen.push(pagemap(parent, address, 1)[0]);
    child.munmap(address, PAGE);
    seen.push(pagemap(parent, address, 1)[0]);
    expect(seen).toEqual(["143", "141", "143"]);
  });

  test("protections are the child's own", () => {
    const kernel = testKernel();
    const parent = kernel.createProcess();
    const address = parent.mmap({ lengthBytes: PAGE, write: true });
    const child = parent.fork();
    child.mprotect(address, PAGE, {});
    expect([failure(() => child.storeU64(address, 1n)), failure(() => parent.storeU64(address, 1n))]).toEqual(
      ["SIGSEGV", ""],
    );
  });

  test("the child is in its parent's memory group", () => {
    const kernel = testKernel();
    const group = kernel.createGroup("family");
    const parent = kernel.createProcess({ group });
    const address = parent.mmap({ lengthBytes: 2 * PAGE, write: true });
    const child = parent.fork();
    fill(child, address, 2);
    expect(group.usagePages).toBe(2);
  });

  test("a swap slot stays until the last process that has its entry is gone", () => {
    const kernel = testKernel();
    const parent = kernel.createProcess();
    const address = parent.mmap({ lengthBytes: 2 * PAGE, write: true });
    fill(parent, address, 2);
    parent.madvise(address, 2 * PAGE, "PAGEOUT");
    const children = [parent.fork(), parent.fork()];
    const [area] = kernel.swap.areas;
    expect([...area.counts.slice(1, 3)]).toEqual([3, 3]);
    parent.exit();
    children[0].exit();
    expect([...area.counts.slice(1, 3)]).toEqual([1, 1]);
    expect(wrongPages(children[1], address, 2)).toEqual([]);
    children[1].exit();
    expect(area.usedSlots).toBe(0);
  });
});

test("fork costs what is mapped, not the size of the areas", () => {
  const kernel = testKernel();
  const parent = kernel.createProcess();
  const address = parent.mmap({ lengthBytes: 2 ** 36, address: 0x1000_0000_0000, write: true });
  parent.storeU64(address, 1n);
  const { pteReads, pageTables } = kernel.work;
  parent.fork();
  expect(kernel.work.pteReads - pteReads).toBe(512);
  expect(kernel.work.pageTables - pageTables).toBe(4);
});

test("thirty generations, each with its own page, survive being paged out", () => {
  const kernel = testKernel();
  let process = kernel.createProcess();
  const address = process.mmap({ lengthBytes: 30 * PAGE, write: true });
  const generations = [process];
  for (let generation = 0; generation < 30; generation++) {
    process.writeBytes(address + generation * PAGE, pattern(generation));
    process = process.fork();
    generations.push(process);
  }
  for (const gone of [0, 3, 4, 5, 17]) generations[gone].exit();
  kernel.reclaimAll();
  kernel.checkInvariants();
  expect(wrongPages(process, address, 30)).toEqual([]);
  expect(wrongPages(generations[10], address, 11)).toEqual([]);
  expect(generations[10].loadU64(address + 12 * PAGE)).toBe(0n);
  expect(states(kernel.memfdCreate({ sizePages: 1 }))).toEqual(["hole"]);
});
