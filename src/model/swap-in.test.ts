import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fill, PAGE, pagemap, testKernel, wrongPages } from "../../test/support/model.ts";
import type { Kernel } from "./kernel.ts";
import { PG_READAHEAD } from "./page-frames.ts";
import type { Process } from "./process.ts";
import { SwapReadahead } from "./swap-in.ts";

/** A readahead of up to 2^cluster pages, whose first `hits` are told as used. */
function windows(
  pageCluster: number,
  faults: readonly { readonly slot: number; readonly hits: number }[],
): number[] {
  const readahead = new SwapReadahead(pageCluster);
  const kernel = testKernel({ memoryPages: 16 });
  return faults.map(({ slot, hits }) => {
    for (let i = 0; i < hits; i++) readahead.hit(kernel, 1);
    return readahead.window(slot);
  });
}

describe("the readahead window", () => {
  test("starts at eight pages, and halves while none of them is used and faults are far apart", () => {
    const faults = [100, 300, 500, 700, 900].map((slot) => ({ slot, hits: 0 }));
    expect(windows(3, faults)).toEqual([8, 4, 2, 1, 1]);
  });

  test("is two pages where a fault is next to the last one, above or below", () => {
    const faults = [100, 300, 500, 700, 701, 900, 899].map((slot) => ({ slot, hits: 0 }));
    expect(windows(3, faults)).toEqual([8, 4, 2, 1, 2, 1, 2]);
  });

  test("grows to the next power of two above the pages that were used and two", () => {
    const faults = [0, 0, 0, 0, 1, 2, 3, 6, 7, 14, 15].map((hits, i) => ({ slot: 1000 * (i + 1), hits }));
    expect(windows(5, faults)).toEqual([8, 4, 2, 1, 4, 4, 8, 8, 16, 16, 32]);
  });

  test("is never larger than 2^page_cluster", () => {
    const faults = [1, 2, 3].map((slot) => ({ slot: slot * 100, hits: 200 }));
    for (const pageCluster of [1, 2, 3, 4]) {
      const most = 2 ** pageCluster;
      expect(windows(pageCluster, faults)).toEqual([most, most, most]);
    }
  });

  test("compares a fault with the last one before which no page was used, not with those between", () => {
    const begun = [
      { slot: 100, hits: 0 },
      { slot: 300, hits: 0 },
      { slot: 700, hits: 0 },
      { slot: 900, hits: 1 },
    ];
    expect(windows(1, [...begun, { slot: 701, hits: 0 }])).toEqual([2, 1, 1, 2, 2]);
    expect(windows(1, [...begun, { slot: 901, hits: 0 }])).toEqual([2, 1, 1, 2, 1]);
  });

  test("is always a power of two, and at most halves from one fault to the next", () => {
    const fault = fc.record({ slot: fc.integer({ min: 1, max: 40 }), hits: fc.nat(20) });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 6 }),
        fc.array(fault, { maxLength: 30, size: "max" }),
        (pageCluster, faults) => {
          let last = 0;
          for (const pages of windows(pageCluster, faults)) {
            expect(Math.log2(pages) % 1).toBe(0);
            expect(pages).toBeLessThanOrEqual(2 ** pageCluster);
            expect(pages).toBeGreaterThanOrEqual(Math.floor(last / 2));
            last = pages;
          }
        },
      ),
    );
  });

  test("is off with page_cluster 0", () => {
    expect(new SwapReadahead(0).isOn).toBe(false);
    expect(new SwapReadahead(1).isOn).toBe(true);
  });
});

/** Anonymous pages that were written in a row and paged out, so that slots 1 to `pages` hold them in order. */
function pagedOut(setup: { pageCluster: number; pages: number }): {
  kernel: Kernel;
  process: Process;
  address: number;
} {
  const kernel = testKernel({ config: { page_cluster: setup.pageCluster } });
  const process = kernel.createProcess();
  const address = process.mmap({ lengthBytes: setup.pages * PAGE, write: true });
  fill(process, address, setup.pages);
  process.madvise(address, setup.pages * PAGE, "PAGEOUT");
  return { kernel, process, address };
}

describe("swap-in", () => {
  test("with readahead reads the aligned run of slots around the fault, and counts what is used of it", () => {
    const { kernel, process, address } = pagedOut({ pageCluster: 3, pages: 32 });
    // Slot 13: the run of eight from slot 8, which holds page 7.
    process.loadU64(address + 12 * PAGE);
    expect(kernel.vmstat.pswpin).toBe(8);
    expect([kernel.vmstat.swap_ra, kernel.vmstat.swap_ra_hit, kernel.vmstat.pgmajfault]).toEqual([7, 0, 1]);
    const inMemory = Array.from({ length: 32 }, (_, page) => process.frameAt(address + page * PAGE) > 0);
    expect(inMemory).toEqual(Array.from({ length: 32 }, (_, page) => page >= 7 && page < 15));
    process.loadU64(address + 7 * PAGE);
    process.loadU64(address + 14 * PAGE);
    expect([kernel.vmstat.pswpin, kernel.vmstat.swap_ra_hit, kernel.vmstat.pgmajfault]).toEqual([8, 2, 1]);
    expect(kernel.frames.flags[process.frameAt(address + 7 * PAGE)] & PG_READAHEAD).toBe(0);
    expect(kernel.frames.flags[process.frameAt(address + 8 * PAGE)] & PG_READAHEAD).toBe(PG_READAHEAD);
    expect(wrongPages(process, address, 32)).toEqual([]);
  });

  test("does not read ahead beyond the slots that were ever used, nor the header", () => {
    const { kernel, process, address } = pagedOut({ pageCluster: 5, pages: 3 });
    process.loadU64(address);
    expect(kernel.vmstat.pswpin).toBe(3);
    expect(wrongPages(process, address, 3)).toEqual([]);
  });

  test("without readahead reads just the page, and gives its slot up: nothing stays in the swap cache", () => {
    const { kernel, process, address } = pagedOut({ pageCluster: 0, pages: 8 });
    process.loadU64(address + 3 * PAGE);
    expect([kernel.vmstat.pswpin, kernel.vmstat.swap_ra]).toEqual([1, 0]);
    expect(kernel.swap.areas[0].usedSlots).toBe(7);
    expect(pagemap(process, address, 8).map((entry) => entry.startsWith("1"))).toEqual(
      Array.from({ length: 8 }, (_, page) => page === 3),
    );
  });

  test("reads a page that two processes have in swap once, and both get its bytes", () => {
    const { kernel, process, address } = pagedOut({ pageCluster: 0, pages: 4 });
    const child = process.fork();
    process.touchRead(address, 4 * PAGE);
    expect(kernel.vmstat.pswpin).toBe(4);
    child.touchRead(address, 4 * PAGE);
    expect(kernel.vmstat.pswpin).toBe(4);
    expect([wrongPages(process, address, 4), wrongPages(child, address, 4)]).toEqual([[], []]);
  });

  test("of pages that unmapping dropped does not happen: their slots are free, cached or not", () => {
    const { kernel, process, address } = pagedOut({ pageCluster: 3, pages: 32 });
    process.loadU64(address);
    process.munmap(address, 32 * PAGE);
    expect(kernel.swap.areas[0].usedSlots).toBe(0);
    expect(kernel.frames.freeCount).toBe(kernel.frames.sizePages);
  });
});
