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
import type { Kernel } from "./kernel.ts";

/** The stages that the page-out of a frame goes through. */
function stagesOf(kernel: Kernel, frame: number): string[] {
  const pageOut = kernel.startPageOut(frame)!;
  const stages: string[] = [];
  while (pageOut.stage !== "done") {
    stages.push(pageOut.stage);
    pageOut.step(kernel);
  }
  return [...stages, pageOut.freed ? "freed" : "kept"];
}

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

describe("the stages", () => {
  test("a shmem page gets its place in swap when it is written, after it is unmapped", () => {
    const { kernel, process, object, address } = shared(1);
    process.storeU64(address, 1n);
    expect(stagesOf(kernel, object.frameAt(0))).toEqual(["lock", "unmap", "unmap", "write", "free", "freed"]);
  });

  test("an anonymous page gets its place in swap first, for its PTEs to name", () => {
    const { kernel, process, address } = anonymous(1);
    process.storeU64(address, 1n);
    const stages = ["lock", "add-to-swap", "unmap", "unmap", "write", "free", "freed"];
    expect(stagesOf(kernel, process.frameAt(address))).toEqual(stages);
  });

  test("each area that maps the page is a step", () => {
    const { kernel, process, address } = anonymous(1);
    process.storeU64(address, 1n);
    for (let i = 0; i < 3; i++) process.fork();
    expect(stagesOf(kernel, process.frameAt(address)).filter((stage) => stage === "unmap")).toHaveLength(5);
  });

  test("to a disk, the write must end first, and the page stays in the swap cache", () => {
    const { kernel, process, object, address } = shared(1, { synchronous: false });
    fill(process, address, 1);
    const frame = object.frameAt(0);
    const stages = ["lock", "unmap", "unmap", "write", "end-writeback", "kept"];
    expect(stagesOf(kernel, frame)).toEqual(stages);
    expect(states(object)).toEqual(["swap-cached"]);
    expect(stagesOf(kernel, frame)).toEqual(["lock", "unmap", "free", "freed"]);
    expect(states(object)).toEqual(["swapped"]);
    expect(wrongPages(process, address, 1)).toEqual([]);
  });
});

describe("a page in the swap cache", () => {
  test("is in memory for mincore, and comes back by a minor fault", () => {
    const { kernel, process, object, address } = shared(2, { synchronous: false });
    fill(process, address, 2);
    process.madvise(address, 2 * PAGE, "PAGEOUT");
    expect([states(object), mincore(process, address, 2)]).toEqual([["swap-cached", "swap-cached"], "11"]);
    expect(pagemap(process, address, 2)).toEqual(["81:30.2", "81:30.2"]);
    expect(wrongPages(process, address, 2)).toEqual([]);
    expect(kernel.vmstat).toMatchObject({ pgmajfault: 0, pswpin: 0, pswpout: 2 });
    expect(states(object)).toEqual(["cached", "cached"]);
  });

  test("of anonymous memory is mapped again with its bytes, and then needs no second write if it stays clean", () => {
    const { kernel, process, address } = anonymous(1, { synchronous: false });
    fill(process, address, 1);
    process.madvise(address, PAGE, "PAGEOUT");
    expect([pagemap(process, address, 1), mincore(process, address, 1)]).toEqual([["81"], "1"]);
    expect(wrongPages(process, address, 1)).toEqual([]);
    process.madvise(address, PAGE, "PAGEOUT");
    expect(mincore(process, address, 1)).toBe("0");
    expect(kernel.vmstat).toMatchObject({ pswpout: 1, pswpin: 0, pgmajfault: 0 });
    expect(wrongPages(process, address, 1)).toEqual([]);
    expect(kernel.vmstat).toMatchObject({ pswpin: 1, pgmajfault: 1 });
  });

  test("that is written again is written to swap again", () => {
    const { kernel, process, address } = anonymous(1, { synchronous: false });
    for (const seed of [1, 2, 3]) {
      process.writeBytes(address, pattern(seed));
      process.madvise(address, PAGE, "PAGEOUT");
      kernel.reclaimAll();
      expect(mincore(process, address, 1)).toBe("0");
      expect(wrongPages(process, address, 1, seed)).toEqual([]);
    }
    expect(kernel.vmstat.pswpout).toBe(3);
  });
});

describe("what it leaves in the page table", () => {
  test.each([
    ["rfc", "81:30.2"],
    ["linux-6.1", "1"],
    ["linux-6.18", "0"],
  ] as const)("%s: %s for a shmem page", (profile, flags) => {
    const { process, object, address } = shared(1, { profile });
    process.storeU64(address, 1n);
    process.madvise(address, PAGE, "PAGEOUT");
    expect([pagemap(process, address, 1), states(object)]).toEqual([[flags], ["swapped"]]);
  });

  test("PTE_MARKER without PTE_MARKER_PAGEOUT leaves none", () => {
    const { kernel, process, address } = shared(1, { config: { PTE_MARKER_PAGEOUT: false } });
    process.storeU64(address, 1n);
    process.madvise(address, PAGE, "PAGEOUT");
    expect(pagemap(process, address, 1)).toEqual(["1"]);
    expect(kernel.work.pageoutMarkers).toBe(0);
  });

  test("a marker in a private mapping too, for pages that are still the object's", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const object = kernel.memfdCreate({ sizePages: 2 });
    object.pwrite(pattern(0), 0);
    object.pwrite(pattern(1), PAGE);
    const address = process.mmap({ lengthBytes: 2 * PAGE, object, write: true });
    process.loadU64(address);
    process.storeU64(address + PAGE, process.loadU64(address + PAGE));
    process.madvise(address, 2 * PAGE, "PAGEOUT");
    // The copy has a swap entry, of a real swap area.
    expect(pagemap(process, address, 2)).toEqual(["81:30.2", "81"]);
    expect(wrongPages(process, address, 2)).toEqual([]);
  });

  test("a uffd-wp marker, which it leaves alone: never both bits in one", () => {
    const { kernel, process, address } = shared(2);
    const uffd = process.userfaultfd();
    uffd.register(address, 2 * PAGE);
    process.touchWrite(address, 2 * PAGE);
    uffd.protect(address, PAGE);
    process.madvise(address, 2 * PAGE, "PAGEOUT");
    expect(pagemap(process, address, 2)).toEqual(["85:30.1", "81:30.2"]);
    expect(kernel.work.pageoutMarkers).toBe(1);
  });

  test("exactly one more PTE write than none: none", () => {
    const writes = ["rfc", "linux-6.1"].map((profile) => {
      const { kernel, process, address } = shared(8, { profile });
      process.touchWrite(address, 8 * PAGE);
      const { pteWrites } = kernel.work;
      process.madvise(address, 8 * PAGE, "PAGEOUT");
      return kernel.work.pteWrites - pteWrites;
    });
    expect(writes[0]).toBe(writes[1]);
  });
});

describe("a clean page", () => {
  test("that was a hole, only read, becomes a hole again; the marker is left all the same", () => {
    const { kernel, process, object, address } = shared(1);
    process.loadU64(address);
    process.madvise(address, PAGE, "PAGEOUT");
    expect([states(object), pagemap(process, address, 1)]).toEqual([["hole"], ["81:30.2"]]);
    expect(kernel.vmstat.pswpout).toBe(0);
    expect(process.loadU64(address)).toBe(0n);
  });

  test("fallocated and never written becomes content in swap, of zeros", () => {
    const { kernel, object } = shared(1);
    object.fallocate(0, PAGE);
    expect(states(object)).toEqual(["reserved"]);
    kernel.reclaimAll();
    expect(states(object)).toEqual(["swapped"]);
    const bytes = new Uint8Array(PAGE).fill(9);
    object.pread(bytes, 0);
    expect(bytes.every((byte) => byte === 0)).toBe(true);
  });
});

describe("where there is no room", () => {
  test("with swap off, PAGEOUT unmaps shmem pages that stay in memory: markers over resident pages", () => {
    const { process, object, address } = shared(2, { swapPages: [] });
    fill(process, address, 2);
    process.madvise(address, 2 * PAGE, "PAGEOUT");
    expect([pagemap(process, address, 2), states(object), mincore(process, address, 2)]).toEqual([
      ["81:30.2", "81:30.2"],
      ["cached", "cached"],
      "11",
    ]);
    expect(wrongPages(process, address, 2)).toEqual([]);
  });

  test("with swap off, anonymous pages stay mapped", () => {
    const { process, address } = anonymous(2, { swapPages: [] });
    fill(process, address, 2);
    process.madvise(address, 2 * PAGE, "PAGEOUT");
    expect(pagemap(process, address, 2)).toEqual(["103", "103"]);
  });

  test("with swap full, what fits goes and the rest stays, with its bytes", () => {
    const { kernel, process, object, address } = shared(8, { swapPages: [5] });
    fill(process, address, 8);
    process.madvise(address, 8 * PAGE, "PAGEOUT");
    expect(states(object)).toEqual([...Array(5).fill("swapped"), ...Array(3).fill("cached")]);
    expect(kernel.swap.freeSlots).toBe(0);
    expect(wrongPages(process, address, 8)).toEqual([]);
  });

  test("two areas are filled one after the other, and everything comes back", () => {
    const { kernel, process, object, address } = shared(8, { swapPages: [3, 5] });
    const own = process.mmap({ lengthBytes: 2 * PAGE, write: true });
    fill(process, address, 8);
    fill(process, own, 2, 20);
    process.madvise(own, 2 * PAGE, "PAGEOUT");
    process.madvise(address, 8 * PAGE, "PAGEOUT");
    expect(kernel.swap.areas.map((area) => area.usedSlots)).toEqual([3, 5]);
    expect(states(object)).toEqual([...Array(6).fill("swapped"), "cached", "cached"]);
    expect(wrongPagesOf(object, 0, 8)).toEqual([]);
    expect(wrongPages(process, own, 2, 20)).toEqual([]);
    expect(kernel.swap.areas.map((area) => area.usedSlots)).toEqual([0, 0]);
  });
});

describe("a page that is in use", () => {
  test("by a fault that has it locked is left alone", () => {
    const { kernel, process, object, address } = shared(1);
    fill(process, address, 1);
    process.madvise(address, PAGE, "DONTNEED");
    const fault = process.startFault(address, true);
    fault.step(kernel);
    fault.step(kernel);
    expect(stagesOf(kernel, object.frameAt(0))).toEqual(["lock", "kept"]);
    expect(fault.run(kernel)).toBe("ok");
    expect(wrongPages(process, address, 1)).toEqual([]);
  });

  test("by another page-out cannot be started on a second time", () => {
    const { kernel, process, address } = anonymous(1);
    process.storeU64(address, 1n);
    const frame = process.frameAt(address);
    const first = kernel.startPageOut(frame)!;
    expect(kernel.startPageOut(frame)).toBeUndefined();
    first.run(kernel);
    expect(first.freed).toBe(true);
  });

  test("lately is kept by reclaim, once", () => {
    const { kernel, process, object, address } = shared(1);
    process.storeU64(address, 1n);
    expect(kernel.reclaim({ targetPages: 1 })).toBe(1);
    expect(states(object)).toEqual(["swapped"]);
    expect(kernel.vmstat.pgscan).toBe(2);
  });

  test("lately is taken by PAGEOUT at once", () => {
    const { process, object, address } = shared(1);
    process.storeU64(address, 1n);
    process.madvise(address, PAGE, "PAGEOUT");
    expect(states(object)).toEqual(["swapped"]);
  });
});

test("each page out and in costs one write and one read of the device", () => {
  const { kernel, process, address } = shared(16);
  fill(process, address, 16);
  for (let round = 1; round <= 3; round++) {
    process.madvise(address, 16 * PAGE, "PAGEOUT");
    process.touchRead(address, 16 * PAGE);
    expect(kernel.work).toMatchObject({ swapWrites: 16 * round, swapReads: 16 * round });
  }
  expect(kernel.vmstat).toMatchObject({ pswpout: 48, pswpin: 48, pgmajfault: 48 });
  expect(wrongPages(process, address, 16)).toEqual([]);
});
