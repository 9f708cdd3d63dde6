import { describe, expect, test } from "vitest";
import { failure, PAGE, pagemap, type Setup, testKernel } from "../../test/support/model.ts";

const AT = 0x1000_0000_0000;

/** A process that maps an object of so many pages, all in the page cache and none mapped. */
function cached(pages: number, setup: Setup = {}, from = AT) {
  const kernel = testKernel(setup);
  const process = kernel.createProcess();
  const object = kernel.memfdCreate({ sizePages: pages });
  const address = process.mmap({
    lengthBytes: pages * PAGE,
    object,
    address: from,
    fixed: true,
    shared: true,
    write: true,
  });
  for (let page = 0; page < pages; page++) object.pwrite(new Uint8Array([page + 1]), page * PAGE);
  return { kernel, process, object, address };
}

/** The pages that are mapped, as ranges: "0-15 17". */
function mapped(flags: readonly string[]): string {
  const ranges: number[][] = [];
  for (const [page, text] of flags.entries()) {
    if ((Number.parseInt(text, 16) & 0x100) === 0) continue;
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === page - 1) last[1] = page;
    else ranges.push([page, page]);
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(" ");
}

describe("how many faults it takes to read 16,384 pages of the page cache", () => {
  const PAGES = 16384;
  const setup = { memoryPages: PAGES + 256, swapPages: [PAGES], contents: false };

  /** All paged out, then brought back through the descriptor: what page tables hold is what page-out left. */
  function faultsAfterPageOut(
    profile: string,
    stride: number,
    config: Setup["config"] = {},
  ): { faults: number; pages: number } {
    const { kernel, process, object, address } = cached(PAGES, { ...setup, profile, config });
    process.touchWrite(address, PAGES * PAGE);
    process.madvise(address, PAGES * PAGE, "PAGEOUT");
    object.pread(new Uint8Array(PAGES * PAGE), 0);
    const { pgfault, pgmajfault } = kernel.vmstat;
    for (let page = 0; page < PAGES; page += stride) process.loadU64(address + page * PAGE);
    expect(kernel.vmstat.pgmajfault).toBe(pgmajfault);
    const pages = pagemap(process, address, PAGES).filter((flags) => flags.length === 3).length;
    return { faults: kernel.vmstat.pgfault - pgfault, pages };
  }

  test("1,024 without markers", () => {
    expect(faultsAfterPageOut("linux-6.1", 1)).toEqual({ faults: 1024, pages: PAGES });
  });

  test("all 16,384 with PAGEOUT markers over them", () => {
    expect(faultsAfterPageOut("rfc", 1)).toEqual({ faults: PAGES, pages: PAGES });
  });

  test("1,024 with PTE_MARKER_PAGEOUT on, where nothing was paged out", () => {
    const { kernel, process, address } = cached(PAGES, setup);
    process.touchRead(address, PAGES * PAGE);
    expect(kernel.vmstat).toMatchObject({ pgfault: 1024, pgmajfault: 0 });
  });

  test("for every 16th page: as many faults either way, but only without markers do all pages get mapped", () => {
    expect(faultsAfterPageOut("linux-6.1", 16)).toEqual({ faults: 1024, pages: PAGES });
    expect(faultsAfterPageOut("rfc", 16)).toEqual({ faults: 1024, pages: 1024 });
  });

  test("1,024 again if fault-around may fill markers, and each maps its whole window", () => {
    const config = { FAULT_AROUND_MARKERS: true };
    expect(faultsAfterPageOut("rfc", 1, config)).toEqual({ faults: 1024, pages: PAGES });
    expect(faultsAfterPageOut("rfc", 16, config)).toEqual({ faults: 1024, pages: PAGES });
    expect(faultsAfterPageOut("rfc", 64, config)).toEqual({ faults: 256, pages: 4096 });
  });

  test("for every 64th page: a window each", () => {
    expect(faultsAfterPageOut("linux-6.1", 64)).toEqual({ faults: 256, pages: 4096 });
    expect(faultsAfterPageOut("rfc", 64)).toEqual({ faults: 256, pages: 256 });
  });
});

describe("the window", () => {
  test("is fault_around_bytes, aligned to itself", () => {
    const { process, address } = cached(64);
    process.loadU64(address + 21 * PAGE);
    expect(mapped(pagemap(process, address, 64))).toBe("16-31");
  });

  test("of 4096 bytes is the page alone", () => {
    const { kernel, process, address } = cached(64, { config: { fault_around_bytes: 4096 } });
    process.touchRead(address, 4 * PAGE);
    expect(mapped(pagemap(process, address, 64))).toBe("0-3");
    expect(kernel.vmstat.pgfault).toBe(4);
  });

  test("of 2 MiB is the page table", () => {
    const { process, address } = cached(600, { memoryPages: 700, config: { fault_around_bytes: 2 ** 21 } });
    process.loadU64(address + 300 * PAGE);
    expect(mapped(pagemap(process, address, 600))).toBe("0-511");
  });

  test("cut at the start of the area moves up and keeps its size", () => {
    const { process, address } = cached(64, {}, AT + 5 * PAGE);
    process.loadU64(address + 3 * PAGE);
    expect(mapped(pagemap(process, address, 64))).toBe("0-15");
  });

  test("ends with the area, and with the page table", () => {
    const { process, address } = cached(64, {}, AT + 500 * PAGE);
    // The area starts within a window, 12 pages before the end of its page table.
    process.loadU64(address + 1 * PAGE);
    expect(mapped(pagemap(process, address, 64))).toBe("0-11");
    process.munmap(address + 20 * PAGE, 44 * PAGE);
    process.loadU64(address + 12 * PAGE);
    expect(mapped(pagemap(process, address, 64))).toBe("0-19");
  });

  test("ends with the object", () => {
    const { kernel, process, object } = cached(10);
    const address = process.mmap({
      lengthBytes: 32 * PAGE,
      object,
      address: AT + 4096 * PAGE,
      fixed: true,
      shared: true,
    });
    process.loadU64(address + 2 * PAGE);
    expect(mapped(pagemap(process, address, 32))).toBe("0-9");
    expect(failure(() => process.loadU64(address + 10 * PAGE))).toBe("SIGBUS");
    expect(kernel.work.pageCacheLookups).toBeGreaterThan(0);
  });
});

describe("what is mapped around", () => {
  test("only what is in the page cache: no holes, nothing from swap", () => {
    const { kernel, process, object, address } = cached(16);
    object.punchHole(3 * PAGE, 2 * PAGE);
    kernel.reclaimPages([object.frameAt(7)]);
    process.loadU64(address);
    expect(mapped(pagemap(process, address, 16))).toBe("0-2 5-6 8-15");
    expect(kernel.vmstat.pswpin).toBe(0);
  });

  test("no page that was fallocated and never written", () => {
    const { process, object, address } = cached(16);
    object.punchHole(2 * PAGE, PAGE);
    object.fallocate(2 * PAGE, PAGE);
    process.loadU64(address);
    expect(mapped(pagemap(process, address, 16))).toBe("0-1 3-15");
    expect(object.pageState(2)).toBe("reserved");
  });

  test("none PTEs only: a marker stays", () => {
    const { process, object, address } = cached(16);
    process.touchRead(address, 16 * PAGE);
    process.madvise(address + 4 * PAGE, 2 * PAGE, "PAGEOUT");
    object.pread(new Uint8Array(16 * PAGE), 0);
    process.madvise(address, 4 * PAGE, "DONTNEED");
    process.loadU64(address);
    const flags = pagemap(process, address, 16);
    expect(mapped(flags)).toBe("0-3 6-15");
    expect(flags.slice(4, 6)).toEqual(["81:30.2", "81:30.2"]);
  });

  test("a load on a marker maps its none neighbours, then the page itself", () => {
    const { kernel, process, address } = cached(16);
    process.touchRead(address, 16 * PAGE);
    process.madvise(address + 4 * PAGE, 2 * PAGE, "PAGEOUT");
    process.madvise(address, 4 * PAGE, "DONTNEED");
    const { pgfault } = kernel.vmstat;
    process.loadU64(address + 4 * PAGE);
    const flags = pagemap(process, address, 16);
    expect(mapped(flags)).toBe("0-4 6-15");
    expect(flags[5]).toBe("81:30.2");
    expect(kernel.vmstat.pgfault - pgfault).toBe(1);
  });

  test("nothing for a store", () => {
    const { process, address } = cached(16);
    process.storeU64(address + 4 * PAGE, 1n);
    expect(mapped(pagemap(process, address, 16))).toBe("4");
  });

  test("nothing where write-protection by userfaultfd is registered", () => {
    const { process, address } = cached(16);
    process.userfaultfd().register(address, 16 * PAGE);
    process.loadU64(address + 4 * PAGE);
    expect(mapped(pagemap(process, address, 16))).toBe("4");
  });

  test("nothing in anonymous memory", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 16 * PAGE, write: true });
    process.loadU64(address + 4 * PAGE);
    expect(mapped(pagemap(process, address, 16))).toBe("4");
  });

  test("a private mapping's pages too, so that a store there copies", () => {
    const { kernel, process, object } = cached(16);
    const address = process.mmap({ lengthBytes: 16 * PAGE, object, write: true });
    process.loadU64(address);
    const frame = object.frameAt(3);
    expect(process.frameAt(address + 3 * PAGE)).toBe(frame);
    process.storeU64(address + 3 * PAGE, 77n);
    expect(process.frameAt(address + 3 * PAGE)).not.toBe(frame);
    const bytes = new Uint8Array(1);
    object.pread(bytes, 3 * PAGE);
    expect(bytes[0]).toBe(4);
    expect(kernel.vmstat.pgmajfault).toBe(0);
  });

  test("what readahead brought in and nobody has used", () => {
    const { kernel, process, object, address } = cached(64, { config: { page_cluster: 3 } });
    process.touchWrite(address, 64 * PAGE);
    process.madvise(address, 64 * PAGE, "PAGEOUT");
    process.madvise(address, 64 * PAGE, "DONTNEED");
    process.loadU64(address + 16 * PAGE);
    expect(kernel.vmstat.swap_ra).toBe(7);
    // What was read ahead is in the swap cache, not in the page cache.
    expect(object.pageState(17)).toBe("swap-cached");
    expect(mapped(pagemap(process, address, 64))).toBe("16");
  });
});

describe("FAULT_AROUND_MARKERS", () => {
  /** 48 pages paged out, those from 16 to 31 back in the page cache. */
  function halfBack(config: Required<Setup>["config"]) {
    const { kernel, process, object, address } = cached(48, { profile: "rfc", config });
    process.touchWrite(address, 48 * PAGE);
    process.madvise(address, 48 * PAGE, "PAGEOUT");
    object.pread(new Uint8Array(16 * PAGE), 16 * PAGE);
    return { kernel, process, address };
  }

  test("fills markers over pages that are in the page cache, and no others", () => {
    const { process, address } = halfBack({ FAULT_AROUND_MARKERS: true, fault_around_bytes: 2 ** 18 });
    process.loadU64(address + 20 * PAGE);
    const flags = pagemap(process, address, 48);
    expect(mapped(flags)).toBe("16-31");
    for (const page of [0, 15, 32, 47]) expect(flags[page]).toBe("81:30.2");
  });

  test("off, leaves every marker but the one that faulted", () => {
    const { process, address } = halfBack({ fault_around_bytes: 2 ** 18 });
    process.loadU64(address + 20 * PAGE);
    expect(mapped(pagemap(process, address, 48))).toBe("20");
  });

  test("leaves a marker that also says uffd-wp, or soft-dirty, which it would lose", () => {
    const { process, address, kernel } = halfBack({ FAULT_AROUND_MARKERS: true });
    // mremap marks the PAGEOUT markers that it moves soft-dirty.
    process.clearRefs();
    const to = process.mremap({
      address,
      oldLengthBytes: 48 * PAGE,
      newLengthBytes: 48 * PAGE,
      to: AT + 1024 * PAGE,
    });
    process.loadU64(to + 20 * PAGE);
    expect(mapped(pagemap(process, to, 48))).toBe("20");
    kernel.checkInvariants();
  });
});
