import { describe, expect, test } from "vitest";
import {
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
import type { SwapDevice } from "./swap-device/device.ts";
import { MemorySwapDevice } from "./swap-device/memory.ts";

function shared(pages: number, setup: Setup = {}) {
  const kernel = testKernel(setup);
  const process = kernel.createProcess();
  const object = kernel.memfdCreate({ sizePages: pages });
  const address = process.mmap({ lengthBytes: pages * PAGE, object, shared: true, write: true });
  return { kernel, process, object, address };
}

describe("everything is read back", () => {
  test("shmem pages to the page cache, leaving stale markers", () => {
    const { kernel, process, object, address } = shared(4);
    fill(process, address, 4);
    process.madvise(address, 3 * PAGE, "PAGEOUT");
    expect(kernel.swapoff(kernel.swap.areas[0])).toBe(true);
    expect(kernel.swap.areas).toEqual([]);
    expect(states(object)).toEqual(Array(4).fill("cached"));
    expect([pagemap(process, address, 4), mincore(process, address, 4)]).toEqual([
      ["81:30.2", "81:30.2", "81:30.2", "143"],
      "1111",
    ]);
    const { pgmajfault } = kernel.vmstat;
    expect(wrongPages(process, address, 4)).toEqual([]);
    expect(kernel.vmstat.pgmajfault).toBe(pgmajfault);
  });

  test("private pages to where they were mapped, not accessed, with their flags", () => {
    const { kernel, process } = shared(1);
    const address = process.mmap({ lengthBytes: 4 * PAGE, write: true });
    fill(process, address, 4);
    process.clearRefs();
    process.storeU64(address, process.loadU64(address));
    const uffd = process.userfaultfd();
    uffd.register(address, 4 * PAGE);
    uffd.protect(address + PAGE, PAGE);
    process.madvise(address, 3 * PAGE, "PAGEOUT");
    expect(pagemap(process, address, 4)).toEqual(["81", "84", "80", "102"]);
    process.madvise(address + 3 * PAGE, PAGE, "COLD");
    expect(kernel.swapoff(kernel.swap.areas[0])).toBe(true);
    expect(pagemap(process, address, 4)).toEqual(["103", "106", "102", "102"]);
    expect(process.smaps()[0]).toMatchObject({ referenced: 0, swap: 0, rss: 4 * PAGE });
    expect(wrongPages(process, address, 4)).toEqual([]);
  });

  test("a page that several processes share, once, for all", () => {
    const { kernel, process } = shared(1);
    const address = process.mmap({ lengthBytes: 2 * PAGE, write: true });
    fill(process, address, 2);
    const family = [process, process.fork(), process.fork()];
    kernel.reclaimAll();
    expect(kernel.swapoff(kernel.swap.areas[0])).toBe(true);
    expect(kernel.frames.sizePages - kernel.frames.freeCount).toBe(2);
    expect(new Set(family.map((each) => each.frameAt(address))).size).toBe(1);
    for (const each of family) expect(pagemap(each, address, 2)).toEqual(["101", "101"]);
    family[1].writeBytes(address, pattern(9));
    expect([wrongPages(process, address, 2), wrongPages(family[1], address, 1, 9)]).toEqual([[], []]);
  });

  test("a page that is one process' alone is written without a copy then", () => {
    const { kernel, process } = shared(1);
    const address = process.mmap({ lengthBytes: PAGE, write: true });
    fill(process, address, 1);
    process.madvise(address, PAGE, "PAGEOUT");
    kernel.swapoff(kernel.swap.areas[0]);
    const frame = process.frameAt(address);
    process.writeBytes(address, pattern(2));
    expect([process.frameAt(address), kernel.vmstat.pgreuse]).toEqual([frame, 1]);
  });

  test("what is in the swap cache, read ahead or not yet gone, without reading it again", () => {
    for (const [synchronous, page_cluster] of [
      [false, 0],
      [false, 3],
      [true, 3],
    ] as const) {
      const { kernel, process, object, address } = shared(16, { synchronous, config: { page_cluster } });
      const own = process.mmap({ lengthBytes: 16 * PAGE, write: true });
      fill(process, address, 16);
      fill(process, own, 16, 50);
      process.madvise(address, 16 * PAGE, "PAGEOUT");
      process.madvise(own, 16 * PAGE, "PAGEOUT");
      kernel.reclaim({ targetPages: 10 });
      process.loadU64(own + 3 * PAGE);
      process.loadU64(address + 5 * PAGE);
      const inSwapOnly = [...mincore(process, own, 16), ...mincore(process, address, 16)].filter(
        (digit) => digit === "0",
      );
      const { pswpin } = kernel.vmstat;
      expect(kernel.swapoff(kernel.swap.areas[0])).toBe(true);
      expect(kernel.vmstat.pswpin - pswpin).toBe(inSwapOnly.length);
      kernel.checkInvariants();
      expect([wrongPages(process, own, 16, 50), wrongPages(process, address, 16)]).toEqual([[], []]);
      expect(states(object)).toEqual(Array(16).fill("cached"));
    }
  });

  test("but what is present stays as it is, executable pages too", () => {
    const { kernel, process } = shared(1);
    const address = process.mmap({ lengthBytes: 3 * PAGE, write: true, exec: true });
    fill(process, address, 3);
    process.madvise(address + PAGE, PAGE, "PAGEOUT");
    const frames = [0, 2].map((page) => process.frameAt(address + page * PAGE));
    expect(kernel.swapoff(kernel.swap.areas[0])).toBe(true);
    expect([0, 2].map((page) => process.frameAt(address + page * PAGE))).toEqual(frames);
    expect(pagemap(process, address, 3)).toEqual(["103", "103", "103"]);
    expect(wrongPages(process, address, 3)).toEqual([]);
  });

  test("pages of a mapping that may not be accessed", () => {
    const { kernel, process } = shared(1);
    const address = process.mmap({ lengthBytes: PAGE, write: true });
    fill(process, address, 1);
    process.madvise(address, PAGE, "PAGEOUT");
    process.mprotect(address, PAGE, { read: false });
    expect(kernel.swapoff(kernel.swap.areas[0])).toBe(true);
    expect(pagemap(process, address, 1)).toEqual(["103"]);
    process.mprotect(address, PAGE, {});
    expect(wrongPages(process, address, 1)).toEqual([]);
  });
});

describe("where there is no room", () => {
  test("it fails, the area stays on, and nothing is lost", () => {
    const { kernel, process, object, address } = shared(8, { memoryPages: 16 });
    const own = process.mmap({ lengthBytes: 20 * PAGE, write: true });
    fill(process, address, 8);
    fill(process, own, 20, 50);
    const [area] = kernel.swap.areas;
    expect(kernel.swapoff(area)).toBe(false);
    kernel.checkInvariants();
    expect(kernel.swap.areas).toEqual([area]);
    expect([wrongPages(process, address, 8), wrongPages(process, own, 20, 50)]).toEqual([[], []]);
    expect(wrongPagesOf(object, 0, 8)).toEqual([]);
    // It takes pages again.
    expect(kernel.reclaimAll()).toBeGreaterThan(0);
    process.munmap(own, 20 * PAGE);
    expect(kernel.swapoff(area)).toBe(true);
  });

  test("another area takes what does not fit in memory", () => {
    const { kernel, process, address } = shared(8, { memoryPages: 16, swapPages: [64, 64] });
    const own = process.mmap({ lengthBytes: 20 * PAGE, write: true });
    fill(process, address, 8);
    fill(process, own, 20, 50);
    const [first, second] = kernel.swap.areas;
    expect(second.usedSlots).toBe(0);
    expect(kernel.swapoff(first)).toBe(true);
    expect(kernel.swap.areas).toEqual([second]);
    expect(second.usedSlots).toBeGreaterThan(0);
    expect([wrongPages(process, address, 8), wrongPages(process, own, 20, 50)]).toEqual([[], []]);
  });
});

describe("the area", () => {
  test("is closed, and its type is used again by the next", () => {
    const { kernel, process, address } = shared(1, { swapPages: [] });
    class Device extends MemorySwapDevice {
      closed = 0;
      override close(): void {
        this.closed++;
      }
    }
    const devices = [new Device({ slots: 8 }), new Device({ slots: 8 })];
    const areas = devices.map((device: SwapDevice) => kernel.swapon(device));
    expect(areas.map((area) => area.type)).toEqual([0, 1]);
    fill(process, address, 1);
    process.madvise(address, PAGE, "PAGEOUT");
    expect(kernel.swapoff(areas[0])).toBe(true);
    expect(devices.map((device) => device.closed)).toEqual([1, 0]);
    expect(kernel.swapon(new Device({ slots: 8 })).type).toBe(0);
    expect(wrongPages(process, address, 1)).toEqual([]);
  });

  test("that is empty is just taken away", () => {
    const kernel = testKernel({ swapPages: [4, 4] });
    expect([kernel.swapoff(kernel.swap.areas[1]), kernel.swap.areas.length]).toEqual([true, 1]);
  });
});

test("what page-out does after swapoff, and after swapon again", () => {
  const { kernel, process, object, address } = shared(2);
  const own = process.mmap({ lengthBytes: PAGE, write: true });
  fill(process, address, 2);
  fill(process, own, 1, 10);
  kernel.swapoff(kernel.swap.areas[0]);
  process.madvise(address, 2 * PAGE, "PAGEOUT");
  process.madvise(own, PAGE, "PAGEOUT");
  expect([states(object), pagemap(process, address, 2), pagemap(process, own, 1)]).toEqual([
    ["cached", "cached"],
    ["81:30.2", "81:30.2"],
    ["103"],
  ]);
  kernel.swapon(new MemorySwapDevice({ slots: 8 }));
  // Not mapped any more, so PAGEOUT skips them; reclaim does not.
  process.madvise(address, 2 * PAGE, "PAGEOUT");
  expect(states(object)).toEqual(["cached", "cached"]);
  kernel.reclaimAll();
  expect(states(object)).toEqual(["swapped", "swapped"]);
  expect([wrongPages(process, address, 2), wrongPages(process, own, 1, 10)]).toEqual([[], []]);
});
