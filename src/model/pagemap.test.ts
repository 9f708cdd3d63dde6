import { closeSync, existsSync, openSync, readSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  busyKernel,
  failure,
  fill,
  PAGE,
  pagemap,
  pagemapEntries,
  pattern,
  stateHash,
  testKernel,
} from "../../test/support/model.ts";
import { TASK_SIZE } from "../abi/index.ts";
import type { Process } from "./process.ts";

const AT = 0x1000_0000_0000;

/** What one needs of the file: pread(2). */
type Pread = (buffer: Buffer, offset: number) => number;

/** A parser as one writes it for /proc/PID/pagemap. */
function parse(pread: Pread, address: number, pages: number) {
  const buffer = Buffer.alloc(pages * 8);
  const got = pread(buffer, (address / 4096) * 8);
  return Array.from({ length: Math.floor(got / 8) }, (_, page) => {
    const entry = buffer.readBigUInt64LE(page * 8);
    const bit = (position: bigint): boolean => ((entry >> position) & 1n) === 1n;
    const frame = entry & ((1n << 55n) - 1n);
    return {
      present: bit(63n),
      swap: bit(62n),
      file: bit(61n),
      exclusive: bit(56n),
      softDirty: bit(55n),
      frame,
      swapType: Number(frame & 31n),
      swapOffset: Number(frame >> 5n),
    };
  });
}

describe("a parser written for the real file", () => {
  test("reads the model's as it is", () => {
    const kernel = testKernel({ swapPages: [10, 10] });
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 3 });
    const address = process.mmap({
      lengthBytes: 3 * PAGE,
      object,
      address: AT,
      fixed: true,
      shared: true,
      write: true,
    });
    const own = process.mmap({ lengthBytes: 2 * PAGE, address: AT + 3 * PAGE, fixed: true, write: true });
    fill(process, address, 2);
    fill(process, own, 2, 10);
    process.madvise(address + PAGE, PAGE, "PAGEOUT");
    process.madvise(own + PAGE, PAGE, "PAGEOUT");
    const pread: Pread = (buffer, offset) => process.pagemap.pread(buffer, offset);
    const none = {
      present: false,
      swap: false,
      file: false,
      exclusive: false,
      softDirty: true,
      swapType: 0,
      swapOffset: 0,
    };
    const entries = parse(pread, address, 5);
    expect(entries[0]).toMatchObject({ present: true, swap: false, file: true, exclusive: true });
    expect(entries[0].frame).toBe(BigInt(object.frameAt(0)));
    // A marker: swap without a swap area.
    expect(entries[1]).toMatchObject({ present: false, swap: true, swapType: 30, swapOffset: 2 });
    expect(entries[2]).toEqual({ ...none, frame: 0n });
    expect(entries[3]).toMatchObject({ present: true, file: false, exclusive: true });
    expect(entries[3].frame).toBe(BigInt(process.frameAt(own)));
    // The second slot of the first area: the object's page has the first.
    expect(entries[4]).toMatchObject({ present: false, swap: true, swapType: 0, swapOffset: 2 });
  });

  test.skipIf(!existsSync("/proc/self/pagemap"))("reads the running kernel's, too", () => {
    const fd = openSync("/proc/self/pagemap", "r");
    try {
      const pread: Pread = (buffer, offset) => readSync(fd, buffer, 0, buffer.length, offset);
      expect(parse(pread, TASK_SIZE - 3 * PAGE, 8)).toHaveLength(3);
      expect(parse(pread, TASK_SIZE, 1)).toEqual([]);
      expect(failure(() => pread(Buffer.alloc(12), 0))).toBe("EINVAL");
      expect(failure(() => pread(Buffer.alloc(8), 4))).toBe("EINVAL");
    } finally {
      closeSync(fd);
    }
  });
});

describe("the entry", () => {
  test.each([
    ["rfc", "81:30.2", "85:30.1"],
    ["linux-6.1", "1", "85:30.1"],
    ["linux-6.18", "0", "84:31.1"],
  ] as const)("%s: of a page that was out is %s, of a protected one %s", (profile, out, protectedOut) => {
    const kernel = testKernel({ profile });
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 2 });
    const address = process.mmap({ lengthBytes: 2 * PAGE, object, shared: true, write: true });
    fill(process, address, 2);
    const uffd = process.userfaultfd();
    uffd.register(address, 2 * PAGE);
    uffd.protect(address + PAGE, PAGE);
    process.madvise(address, 2 * PAGE, "PAGEOUT");
    expect(pagemap(process, address, 2)).toEqual([out, protectedOut]);
  });

  test("of a second swap area has its type", () => {
    const kernel = testKernel({ swapPages: [1, 4] });
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 3 * PAGE, write: true });
    fill(process, address, 3);
    process.madvise(address, 3 * PAGE, "PAGEOUT");
    const pread: Pread = (buffer, offset) => process.pagemap.pread(buffer, offset);
    const slots = parse(pread, address, 3).map(({ swapType, swapOffset }) => [swapType, swapOffset]);
    expect(slots).toEqual([
      [0, 1],
      [1, 1],
      [1, 2],
    ]);
  });

  test("is exclusive while the page is mapped once, anywhere", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 1 });
    const once = process.mmap({ lengthBytes: PAGE, object, shared: true, write: true });
    process.storeU64(once, 1n);
    const twice = process.mmap({ lengthBytes: PAGE, object, shared: true });
    expect(pagemap(process, once, 1)).toEqual(["143"]);
    process.loadU64(twice);
    expect([...pagemap(process, once, 1), ...pagemap(process, twice, 1)]).toEqual(["141", "141"]);
  });
});

describe("a range", () => {
  test("over areas, gaps and page tables gives each page's entry, zero where nothing is mapped", () => {
    const kernel = testKernel({ memoryPages: 2048 });
    const process = kernel.createProcess();
    const map = (page: number, pages: number): void => {
      process.mmap({ lengthBytes: pages * PAGE, address: AT + page * PAGE, fixed: true, write: true });
    };
    map(500, 30);
    map(540, 100);
    map(1500, 600);
    const stored = [500, 511, 512, 529, 540, 639, 1500, 1535, 1536, 2047, 2048, 2099];
    for (const page of stored) process.storeU64(AT + page * PAGE, 1n);
    const expected = Array(2200).fill("0");
    for (const [first, end] of [
      [500, 530],
      [540, 640],
      [1500, 2100],
    ])
      expected.fill("1", first, end);
    for (const page of stored) expected[page] = "103";
    expect(pagemap(process, AT, 2200)).toEqual(expected);
    // The same in every way of cutting it.
    const whole = pagemapEntries(process, AT, 2200);
    for (let start = 0; start < 2200; start += 97)
      for (const pages of [1, 2, 511, 512, 513, 700])
        expect(pagemapEntries(process, AT + start * PAGE, pages).slice(0, 2200 - start)).toEqual(
          whole.slice(start, start + pages),
        );
  });

  test("of any size is read in one call", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    process.mmap({ lengthBytes: PAGE, address: AT, fixed: true, write: true });
    process.storeU64(AT, 1n);
    const pages = 2 ** 20;
    const buffer = Buffer.alloc(pages * 8, 0xff);
    expect(process.pagemap.pread(buffer, (AT / PAGE - 1000) * 8)).toBe(buffer.length);
    expect(buffer.readUInt32LE(1000 * 8 + 4) >>> 23).toBe(0x103);
    buffer.fill(0, 1000 * 8, 1001 * 8);
    expect(buffer.every((byte) => byte === 0)).toBe(true);
  });

  test("ends at the end of user addresses", () => {
    const process = testKernel().createProcess();
    const last = process.mmap({ lengthBytes: PAGE, address: TASK_SIZE - PAGE, fixed: true, write: true });
    process.storeU64(last, 1n);
    expect(pagemap(process, last - PAGE, 10)).toEqual(["0", "103"]);
    const buffer = Buffer.alloc(64);
    for (const address of [TASK_SIZE, 2 ** 47, 2 ** 50])
      expect(process.pagemap.pread(buffer, (address / PAGE) * 8)).toBe(0);
    expect(process.pagemap.pread(Buffer.alloc(0), 8)).toBe(0);
    expect(process.pagemap.pread(buffer, 0)).toBe(64);
  });

  test.each([1, 2, 3, 4, 5, 6, 7])("may go to a buffer at byte %d of memory", (offset) => {
    const process = testKernel().createProcess();
    const address = process.mmap({ lengthBytes: 3 * PAGE, write: true });
    fill(process, address, 2);
    const expected = Buffer.alloc(24);
    process.pagemap.pread(expected, (address / PAGE) * 8);
    const memory = new Uint8Array(48).fill(0xee);
    expect(process.pagemap.pread(memory.subarray(offset, offset + 24), (address / PAGE) * 8)).toBe(24);
    expect(Buffer.from(memory.subarray(offset, offset + 24))).toEqual(expected);
    expect([memory[offset - 1], memory[offset + 24]]).toEqual([0xee, 0xee]);
  });

  test("not in whole entries is EINVAL", () => {
    const process = testKernel().createProcess();
    for (const length of [1, 4, 12, 15])
      expect(failure(() => process.pagemap.pread(new Uint8Array(length), 0))).toBe("EINVAL");
    for (const offset of [1, 4, 12, -8, -4, 0.5, Number.NaN])
      expect(failure(() => process.pagemap.pread(new Uint8Array(8), offset))).toBe("EINVAL");
  });
});

describe("reading", () => {
  test("looks nothing up in the page cache: present, swapped, markers, holes, no tables", () => {
    for (const profile of ["rfc", "linux-6.1", "linux-6.18"]) {
      const kernel = testKernel({ profile, memoryPages: 1500, swapPages: [1500] });
      const process = kernel.createProcess();
      const object = kernel.memfdCreate({ sizePages: 2000 });
      const address = process.mmap({ lengthBytes: 2000 * PAGE, object, shared: true, write: true });
      const own = process.mmap({ lengthBytes: 200 * PAGE, write: true });
      process.touchWrite(address, 1000 * PAGE);
      process.touchWrite(own, 100 * PAGE);
      process.madvise(address, 500 * PAGE, "PAGEOUT");
      process.madvise(own, 50 * PAGE, "PAGEOUT");
      const { pageCacheLookups, swapReads } = kernel.work;
      const { pgfault } = kernel.vmstat;
      for (let round = 0; round < 2; round++) {
        pagemapEntries(process, own, 200);
        pagemapEntries(process, address, 2000);
      }
      expect(kernel.work).toMatchObject({ pageCacheLookups, swapReads });
      expect(kernel.vmstat.pgfault).toBe(pgfault);
    }
  });

  test("reads each PTE once at most, and none where there is no table", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    process.mmap({ lengthBytes: 2 ** 30, address: AT, fixed: true, write: true });
    process.storeU64(AT + 700 * PAGE, 1n);
    const { pteReads, pteWrites, pageTables } = kernel.work;
    pagemapEntries(process, AT, 2 ** 18);
    expect(kernel.work.pteReads - pteReads).toBeLessThanOrEqual(512);
    expect(kernel.work).toMatchObject({ pteWrites, pageTables });
  });

  test("changes nothing", () => {
    const { kernel, processes } = busyKernel();
    const before = stateHash(kernel);
    for (const process of processes)
      for (const vma of process.mm.vmas) {
        pagemapEntries(process, vma.start * PAGE, vma.end - vma.start);
        pagemapEntries(process, (vma.start - 600) * PAGE, 1200);
      }
    expect(stateHash(kernel)).toBe(before);
  });

  test("works the same without contents", () => {
    const flags = [true, false].map((contents) => {
      const kernel = testKernel({ contents });
      const process = kernel.createProcess();
      const object = kernel.memfdCreate({ sizePages: 8 });
      const address = process.mmap({ lengthBytes: 8 * PAGE, object, shared: true, write: true });
      process.touchWrite(address, 6 * PAGE);
      process.madvise(address, 3 * PAGE, "PAGEOUT");
      process.loadU64(address);
      return pagemapEntries(process, address, 8);
    });
    expect(flags[0]).toEqual(flags[1]);
  });
});

describe("a whole table that was read before shows", () => {
  /** A page table's worth of a shared mapping, all present, read once. */
  function table() {
    const kernel = testKernel({ memoryPages: 2000, swapPages: [2000] });
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 512 });
    const options = { lengthBytes: 512 * PAGE, object, address: AT, fixed: true, shared: true, write: true };
    const address = process.mmap(options);
    process.touchWrite(address, 512 * PAGE);
    const expected = Array(512).fill("143");
    expect(pagemap(process, address, 512)).toEqual(expected);
    return { kernel, process, object, options, address, expected };
  }

  /** The whole table, which is as its entries are one by one. */
  function read(process: Process, address = AT): string[] {
    const whole = pagemap(process, address, 512);
    expect(whole).toEqual(
      Array.from({ length: 512 }, (_, page) => pagemap(process, address + page * PAGE, 1)[0]),
    );
    return whole;
  }

  test("page-out, swap-in, zap and copy", () => {
    const { process, object, address, expected } = table();
    process.madvise(address + 3 * PAGE, PAGE, "PAGEOUT");
    expected[3] = "81:30.2";
    expect(read(process)).toEqual(expected);
    process.loadU64(address + 3 * PAGE);
    expected[3] = "143";
    expect(read(process)).toEqual(expected);
    object.punchHole(9 * PAGE, PAGE);
    expected[9] = "1";
    expect(read(process)).toEqual(expected);
    process.loadU64(address + 9 * PAGE);
    expected[9] = "143";
    expect(read(process)).toEqual(expected);
  });

  test("that another process came to map a page, and left it", () => {
    const { kernel, process, options, expected } = table();
    const others = [kernel.createProcess(), kernel.createProcess()];
    for (const other of others) other.mmap(options);
    others[0].storeU64(AT + 7 * PAGE, 1n);
    others[1].storeU64(AT + 7 * PAGE, 1n);
    expected[7] = "141";
    expect(read(process)).toEqual(expected);
    others[0].exit();
    expect(read(process)).toEqual(expected);
    others[1].madvise(AT, 512 * PAGE, "DONTNEED");
    expected[7] = "143";
    expect(read(process)).toEqual(expected);
  });

  test("soft-dirty cleared and set, write-protection set and cleared", () => {
    const { process, address, expected } = table();
    process.clearRefs();
    expect(read(process)).toEqual(expected.fill("142"));
    process.storeU64(address + 2 * PAGE, 1n);
    expected[2] = "143";
    expect(read(process)).toEqual(expected);
    const uffd = process.userfaultfd();
    uffd.register(address, 512 * PAGE);
    uffd.protect(address + 4 * PAGE, PAGE);
    expected[4] = "146";
    expect(read(process)).toEqual(expected);
    uffd.close();
    expected[4] = "142";
    expect(read(process)).toEqual(expected);
  });

  test("fork, and a copy by the child", () => {
    const { kernel, process } = table();
    const own = process.mmap({ lengthBytes: 512 * PAGE, address: AT + 512 * PAGE, fixed: true, write: true });
    process.touchWrite(own, 512 * PAGE);
    expect(read(process, own)).toEqual(Array(512).fill("103"));
    const child = process.fork();
    const expected = Array(512).fill("101");
    expect([read(process, own), read(child, own)]).toEqual([expected, expected]);
    child.storeU64(own + PAGE, 1n);
    expected[1] = "103";
    expect([read(process, own), read(child, own)]).toEqual([expected, expected]);
    kernel.reclaimPages([process.frameAt(own + 5 * PAGE)]);
    expected[5] = "81";
    expect([read(process, own), read(child, own)]).toEqual([expected, expected]);
  });

  test("a move, an unmap, and the table in another process' hands", () => {
    const { kernel, process, object, address, expected } = table();
    const to = AT + 4096 * PAGE;
    process.mremap({ address, oldLengthBytes: 512 * PAGE, newLengthBytes: 512 * PAGE, to });
    expect([read(process), read(process, to)]).toEqual([Array(512).fill("0"), expected]);
    process.munmap(to, 512 * PAGE);
    expect(read(process, to)).toEqual(Array(512).fill("0"));
    const other = kernel.createProcess();
    const inOther = other.mmap({ lengthBytes: 512 * PAGE, object, address: to, fixed: true, shared: true });
    other.loadU64(inOther);
    expect(read(other, inOther)).toEqual([...Array(16).fill("141").fill("143"), ...Array(496).fill("1")]);
  });

  test("soft-dirty cleared where the table holds nothing", () => {
    const { process, address } = table();
    process.madvise(address, 512 * PAGE, "DONTNEED");
    expect(read(process)).toEqual(Array(512).fill("1"));
    process.clearRefs();
    expect(read(process)).toEqual(Array(512).fill("0"));
  });

  test("what it showed before, without looking at its PTEs again, if nothing changed", () => {
    const { kernel, process, address, expected } = table();
    const { pteReads } = kernel.work;
    expect(pagemap(process, address, 512)).toEqual(expected);
    expect(kernel.work.pteReads).toBe(pteReads);
  });

  test("a page of swap that swapoff brought back", () => {
    const { kernel, process } = table();
    const own = process.mmap({ lengthBytes: 512 * PAGE, address: AT + 512 * PAGE, fixed: true, write: true });
    process.writeBytes(own, pattern(0));
    process.madvise(own, PAGE, "PAGEOUT");
    const expected = ["81", ...Array(511).fill("1")];
    expect(read(process, own)).toEqual(expected);
    expect(kernel.swapoff(kernel.swap.areas[0])).toBe(true);
    expected[0] = "103";
    expect(read(process, own)).toEqual(expected);
  });
});

describe("PAGEMAP_SHMEM_LOOKUP", () => {
  const PAGES = 1200;

  function outInPart(profile: string, synchronous = true) {
    const kernel = testKernel({
      profile,
      config: { PAGEMAP_SHMEM_LOOKUP: true },
      memoryPages: 2 * PAGES,
      swapPages: [10, 2 * PAGES],
      synchronous,
    });
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: PAGES });
    const address = process.mmap({
      lengthBytes: PAGES * PAGE,
      object,
      address: AT,
      fixed: true,
      shared: true,
      write: true,
    });
    return { kernel, process, object, address };
  }

  test("shows pages that are in swap, with their place there, to every sharer that has a page table", () => {
    const { kernel, process, object, address } = outInPart("linux-6.1");
    process.touchWrite(address, 20 * PAGE);
    const child = process.fork();
    child.touchRead(address, PAGE);
    kernel.reclaimAll();
    process.touchRead(address + 5 * PAGE, PAGE);
    for (const reader of [process, child]) {
      const entries = parse((buffer, offset) => reader.pagemap.pread(buffer, offset), address, 24);
      expect(entries.map(({ swap }) => (swap ? "S" : ".")).join("")).toBe("SSSSS.SSSSSSSSSSSSSS....");
      const places = entries.filter(({ swap }) => swap).map((e) => `${e.swapType}.${e.swapOffset}`);
      expect(new Set(places).size).toBe(19);
      // The first area takes ten, from its slot 1; the second the others.
      expect(places).toContain("0.10");
      expect(places).toContain("1.1");
    }
    // Nobody is told of a page that is in the page cache and not mapped here.
    expect(pagemap(child, address, 6)[5]).toBe("1");
    expect(object.pageState(5)).toBe("cached");
  });

  test("agrees with the object on every page, whichever way pages come back", () => {
    const { kernel, process, object, address } = outInPart("linux-6.1", false);
    process.touchWrite(address, PAGES * PAGE);
    kernel.reclaimAll();
    object.pread(new Uint8Array(PAGE), 3 * PAGE);
    process.madvise(address + 8 * PAGE, 4 * PAGE, "WILLNEED");
    process.madvise(address + 40 * PAGE, 4 * PAGE, "REMOVE");
    process.madvise(address + 60 * PAGE, 4 * PAGE, "DONTNEED");
    process.loadU64(address + 1000 * PAGE);
    const flags = pagemap(process, address, PAGES);
    for (let page = 0; page < PAGES; page++) {
      const isIn = ["swapped", "swap-cached"].includes(object.pageState(page));
      expect([page, (Number.parseInt(flags[page], 16) & 0x80) !== 0]).toEqual([page, isIn]);
    }
  });

  test("costs a look-up a none PTE of shmem; nothing where there is no page table, or no none PTE", () => {
    const { kernel, process, address } = outInPart("linux-6.1");
    const own = process.mmap({ lengthBytes: 512 * PAGE, write: true });
    process.touchWrite(own, 10 * PAGE);
    const lookups = (from: number, pages: number): number => {
      const before = kernel.work.pageCacheLookups;
      pagemap(process, from, pages);
      return kernel.work.pageCacheLookups - before;
    };
    expect(lookups(address, PAGES)).toBe(0);
    process.touchWrite(address + 512 * PAGE, 12 * PAGE);
    expect(lookups(address, PAGES)).toBe(500);
    expect(lookups(address + 512 * PAGE, 12)).toBe(0);
    process.madvise(address + 512 * PAGE, 12 * PAGE, "PAGEOUT");
    expect(lookups(address, PAGES)).toBe(512);
    expect(lookups(own, 512)).toBe(0);
  });

  test("without it, and with markers, there is no look-up at all", () => {
    const kernel = testKernel({ profile: "rfc", memoryPages: 600 });
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 512 });
    const address = process.mmap({ lengthBytes: 512 * PAGE, object, shared: true, write: true });
    process.touchWrite(address, 256 * PAGE);
    process.madvise(address, 128 * PAGE, "PAGEOUT");
    const before = kernel.work.pageCacheLookups;
    pagemap(process, address, 512);
    expect(kernel.work.pageCacheLookups).toBe(before);
  });

  test("knows nothing of pages whose page table is not there: a flaw of the series", () => {
    const { kernel, process, object, address } = outInPart("linux-6.1");
    object.pwrite(new Uint8Array(16 * PAGE).fill(1), 0);
    kernel.reclaimAll();
    expect(object.pageState(0)).toBe("swapped");
    expect(pagemap(process, address, 16)).toEqual(new Array(16).fill("1"));
    // One page touched, and the table is there.
    process.loadU64(address + 300 * PAGE);
    expect(pagemap(process, address, 2)).toEqual(["81", "81"]);
  });

  test("with markers, leaves those as they are", () => {
    const { kernel, process, address } = outInPart("rfc");
    process.touchWrite(address, 4 * PAGE);
    const child = process.fork();
    child.touchWrite(address, PAGE);
    kernel.reclaimAll();
    expect(pagemap(process, address, 4)).toEqual(new Array(4).fill("81:30.2"));
    expect(pagemap(child, address, 4)).toEqual(["81:30.2", "81", "81", "81"]);
  });

  test("is not kept from one read to the next", () => {
    const { process, object, address } = outInPart("linux-6.1");
    process.touchWrite(address, 512 * PAGE);
    process.madvise(address, 512 * PAGE, "PAGEOUT");
    expect(pagemap(process, address, 512)[7]).toBe("81");
    object.pread(new Uint8Array(PAGE), 7 * PAGE);
    expect(pagemap(process, address, 512)[7]).toBe("1");
    expect(pagemap(process, address, 512)[8]).toBe("81");
  });

  test("changes nothing", () => {
    const { kernel, process, address } = outInPart("linux-6.1");
    process.touchWrite(address, 20 * PAGE);
    process.madvise(address, 10 * PAGE, "PAGEOUT");
    const before = stateHash(kernel);
    pagemap(process, address, PAGES);
    expect(stateHash(kernel)).toBe(before);
  });
});
