import { describe, expect, test } from "vitest";
import {
  busyKernel,
  fill,
  PAGE,
  pattern,
  type Setup,
  stateHash,
  testKernel,
} from "../../test/support/model.ts";

function anonymous(pages: number, setup: Setup = {}) {
  const kernel = testKernel(setup);
  const process = kernel.createProcess();
  const address = process.mmap({ lengthBytes: pages * PAGE, write: true });
  return { kernel, process, address };
}

const ZERO = {
  rss: 0,
  pss: 0,
  sharedClean: 0,
  sharedDirty: 0,
  privateClean: 0,
  privateDirty: 0,
  referenced: 0,
  anonymous: 0,
  swap: 0,
  swapPss: 0,
};

test("one entry an area: where it is, how large, what it allows", () => {
  const kernel = testKernel();
  const process = kernel.createProcess();
  const object = kernel.memfdCreate({ sizePages: 4 });
  const at = 0x1000_0000_0000;
  process.mmap({ lengthBytes: 4 * PAGE, object, address: at, fixed: true, shared: true });
  process.mmap({ lengthBytes: 2 * PAGE, address: at + 16 * PAGE, fixed: true, write: true });
  process.mmap({ lengthBytes: PAGE, address: at + 32 * PAGE, fixed: true, read: false });
  expect(process.smaps()).toEqual([
    { start: at, end: at + 4 * PAGE, perms: "r--s", size: 4 * PAGE, ...ZERO },
    { start: at + 16 * PAGE, end: at + 18 * PAGE, perms: "rw-p", size: 2 * PAGE, ...ZERO },
    { start: at + 32 * PAGE, end: at + 33 * PAGE, perms: "---p", size: PAGE, ...ZERO },
  ]);
});

test("an executable mapping says so", () => {
  const process = testKernel().createProcess();
  process.mmap({ lengthBytes: PAGE, exec: true });
  expect(process.smaps()[0].perms).toBe("r-xp");
});

describe("pages in memory", () => {
  test("are private while mapped once, and anonymous if they are no object's", () => {
    const { process, address } = anonymous(4);
    fill(process, address, 3);
    const three = 3 * PAGE;
    expect(process.smaps()[0]).toMatchObject({
      ...ZERO,
      rss: three,
      pss: three,
      privateDirty: three,
      referenced: three,
      anonymous: three,
    });
  });

  test("are shared while mapped by more, which divide them among themselves", () => {
    const kernel = testKernel();
    const object = kernel.memfdCreate({ sizePages: 2 });
    const processes = Array.from({ length: 4 }, () => kernel.createProcess());
    for (const process of processes) {
      const address = process.mmap({ lengthBytes: 2 * PAGE, object, shared: true, write: true });
      process.storeU64(address, 1n);
      if (process === processes[0]) process.loadU64(address + PAGE);
    }
    expect(processes[0].smaps()[0]).toMatchObject({
      rss: 2 * PAGE,
      pss: PAGE / 4 + PAGE,
      sharedDirty: PAGE,
      privateClean: PAGE,
      anonymous: 0,
    });
    expect(processes[1].smaps()[0]).toMatchObject({ rss: PAGE, pss: PAGE / 4, sharedDirty: PAGE });
  });

  test("count half for parent and child each, until one stores", () => {
    const { process, address } = anonymous(2);
    fill(process, address, 2);
    const child = process.fork();
    expect(process.smaps()[0]).toMatchObject({
      rss: 2 * PAGE,
      pss: PAGE,
      sharedDirty: 2 * PAGE,
      privateDirty: 0,
    });
    child.storeU64(address, 1n);
    for (const each of [process, child])
      expect(each.smaps()[0]).toMatchObject({ pss: 1.5 * PAGE, sharedDirty: PAGE, privateDirty: PAGE });
  });

  test("do not include the zero page", () => {
    const { process, address } = anonymous(2);
    process.touchRead(address, 2 * PAGE);
    expect(process.smaps()[0]).toMatchObject(ZERO);
  });

  test("that may not be accessed count as well", () => {
    const { process, address } = anonymous(1);
    process.storeU64(address, 1n);
    process.mprotect(address, PAGE, { read: false });
    expect(process.smaps()[0]).toMatchObject({ rss: PAGE, privateDirty: PAGE });
  });
});

describe("pages in swap", () => {
  test("of anonymous memory are counted by their entries, divided among those who have them", () => {
    const { process, address } = anonymous(4);
    fill(process, address, 4);
    process.madvise(address, 2 * PAGE, "PAGEOUT");
    expect(process.smaps()[0]).toMatchObject({ rss: 2 * PAGE, swap: 2 * PAGE, swapPss: 2 * PAGE });
    const child = process.fork();
    expect(child.smaps()[0]).toMatchObject({ swap: 2 * PAGE, swapPss: PAGE });
  });

  test("of a shared mapping are the object's, with markers or without, in the mapping's range", () => {
    for (const profile of ["rfc", "linux-6.1"]) {
      const kernel = testKernel({ profile });
      const process = kernel.createProcess();
      const object = kernel.memfdCreate({ sizePages: 8 });
      for (let page = 0; page < 8; page++) object.pwrite(pattern(page), page * PAGE);
      const address = process.mmap({
        lengthBytes: 4 * PAGE,
        object,
        offsetBytes: 2 * PAGE,
        shared: true,
        write: true,
      });
      process.touchRead(address, 4 * PAGE);
      kernel.reclaimPages([0, 2, 3, 7].map((page) => object.frameAt(page)));
      expect(process.smaps()[0]).toMatchObject({ rss: 2 * PAGE, swap: 2 * PAGE, swapPss: 0 });
    }
  });

  test("of a private writable mapping are counted where its PTE is none: a marker hides them", () => {
    const swap = ["rfc", "linux-6.1"].map((profile) => {
      const kernel = testKernel({ profile });
      const process = kernel.createProcess();
      const object = kernel.memfdCreate({ sizePages: 2 });
      for (const page of [0, 1]) object.pwrite(pattern(page), page * PAGE);
      const address = process.mmap({ lengthBytes: 2 * PAGE, object, write: true });
      process.touchRead(address, PAGE);
      process.madvise(address + PAGE, PAGE, "DONTNEED");
      kernel.reclaimAll();
      return process.smaps()[0].swap;
    });
    expect(swap).toEqual([PAGE, 2 * PAGE]);
  });
});

test("referenced is what was used since it was last asked by page-out", () => {
  const { process, address } = anonymous(4);
  fill(process, address, 4);
  process.madvise(address, 4 * PAGE, "COLD");
  process.loadU64(address + PAGE);
  expect(process.smaps()[0].referenced).toBe(PAGE);
});

test("looking changes nothing", () => {
  const { kernel, processes } = busyKernel();
  const before = stateHash(kernel);
  for (const process of processes) process.smaps();
  expect(stateHash(kernel)).toBe(before);
});

test("the figures are those that a running 6.18 showed for the same calls", () => {
  const kernel = testKernel({ profile: "linux-6.18" });
  const process = kernel.createProcess();
  /** What is not 0 of the area at an address, in kB as in the file. */
  const show = (address: number, of = process): Record<string, number> => {
    const area = of.smaps().find(({ start, end }) => start <= address && address < end)!;
    const { start, end, perms, size, swapPss, ...figures } = area;
    return Object.fromEntries(
      Object.entries(figures).flatMap(([name, bytes]) => (bytes === 0 ? [] : [[name, bytes / 1024]])),
    );
  };
  const object = kernel.memfdCreate({ sizePages: 8 });
  const shared = process.mmap({ lengthBytes: 8 * PAGE, object, shared: true, write: true });
  process.loadU64(shared);
  expect(show(shared)).toEqual({ rss: 4, pss: 4, privateClean: 4, referenced: 4 });
  process.storeU64(shared + PAGE, 1n);
  expect(show(shared)).toEqual({ rss: 8, pss: 8, privateClean: 4, privateDirty: 4, referenced: 8 });
  object.pwrite(pattern(0), 2 * PAGE);
  process.loadU64(shared + 2 * PAGE);
  expect(show(shared)).toEqual({ rss: 12, pss: 12, privateClean: 4, privateDirty: 8, referenced: 12 });
  process.madvise(shared, 3 * PAGE, "COLD");
  expect(show(shared)).toEqual({ rss: 12, pss: 12, privateClean: 4, privateDirty: 8 });

  const own = process.mmap({ lengthBytes: 8 * PAGE, write: true });
  process.touchWrite(own, 3 * PAGE);
  process.loadU64(own + 3 * PAGE);
  expect(show(own)).toEqual({ rss: 12, pss: 12, privateDirty: 12, referenced: 12, anonymous: 12 });
  process.madvise(own, PAGE, "FREE");
  expect(show(own)).toEqual({
    rss: 12,
    pss: 12,
    privateClean: 4,
    privateDirty: 8,
    referenced: 8,
    anonymous: 12,
  });
  process.storeU64(own, 2n);
  expect(show(own)).toEqual({ rss: 12, pss: 12, privateDirty: 12, referenced: 12, anonymous: 12 });
  process.mprotect(own, 2 * PAGE, { read: false });
  expect(show(own)).toEqual({ rss: 8, pss: 8, privateDirty: 8, referenced: 8, anonymous: 8 });
  process.mprotect(own, 2 * PAGE, { write: true });
  const child = process.fork();
  expect(show(own, child)).toEqual({ rss: 12, pss: 6, sharedDirty: 12, anonymous: 12 });
  child.storeU64(own, 1n);
  const afterStore = { rss: 12, pss: 8, sharedDirty: 8, privateDirty: 4, referenced: 4, anonymous: 12 };
  expect(show(own, child)).toEqual(afterStore);
  child.exit();
  expect(show(own)).toEqual({ rss: 12, pss: 12, privateDirty: 12, referenced: 12, anonymous: 12 });

  const copy = process.mmap({ lengthBytes: 8 * PAGE, object, write: true });
  process.loadU64(copy + PAGE);
  expect(show(copy)).toEqual({ rss: 12, pss: 6, sharedClean: 4, sharedDirty: 8, referenced: 12 });
  process.storeU64(copy + PAGE, 1n);
  const copied = {
    rss: 12,
    pss: 8,
    sharedClean: 4,
    sharedDirty: 4,
    privateDirty: 4,
    referenced: 12,
    anonymous: 4,
  };
  expect(show(copy)).toEqual(copied);
});

test("an untouched area costs nothing to look at, however large", () => {
  const kernel = testKernel();
  const process = kernel.createProcess();
  process.mmap({ lengthBytes: 2 ** 46, write: true });
  const { pteReads } = kernel.work;
  expect(process.smaps()[0]).toMatchObject({ ...ZERO, size: 2 ** 46 });
  expect(kernel.work.pteReads).toBe(pteReads);
});
