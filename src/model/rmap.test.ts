import { describe, expect, test } from "vitest";
import { fill, PAGE, pagemap, pattern, states, testKernel, wrongPages } from "../../test/support/model.ts";
import type { Process } from "./process.ts";

/** Whether the PTE is neither none nor present. */
function isOut(process: Process, address: number): boolean {
  return (Number.parseInt(pagemap(process, address, 1)[0], 16) & 0x180) === 0x80;
}

describe("a page of an object", () => {
  test("is unmapped in all processes and at all places, with a marker in each", () => {
    const kernel = testKernel();
    const object = kernel.memfdCreate({ sizePages: 4 });
    const places: [Process, number][] = [];
    for (let i = 0; i < 3; i++) {
      const process = kernel.createProcess();
      for (const first of [0, 2]) {
        const offsetBytes = first * PAGE;
        const address = process.mmap({
          lengthBytes: (4 - first) * PAGE,
          object,
          offsetBytes,
          shared: true,
          write: true,
        });
        places.push([process, address + (2 - first) * PAGE]);
      }
    }
    for (const [process, address] of places) process.loadU64(address);
    expect(pagemap(...places[0], 1)).toEqual(["141"]);
    expect(kernel.frames.mapcount[object.frameAt(2)]).toBe(6);
    expect(kernel.reclaimPages([object.frameAt(2)])).toBe(1);
    for (const place of places) expect(pagemap(...place, 1)).toEqual(["81:30.2"]);
    expect(kernel.work.pageoutMarkers).toBe(6);
  });

  test("is not looked for in areas that don't cover it", () => {
    const kernel = testKernel();
    const object = kernel.memfdCreate({ sizePages: 64 });
    const process = kernel.createProcess();
    const addresses = Array.from({ length: 64 }, (_, page) =>
      process.mmap({ lengthBytes: PAGE, object, offsetBytes: page * PAGE, shared: true, write: true }),
    );
    for (const address of addresses) process.storeU64(address, 1n);
    const { rmapVisits } = kernel.work;
    kernel.reclaimPages([object.frameAt(10)]);
    expect(kernel.work.rmapVisits - rmapVisits).toBe(1);
  });

  test("written through one of its PTEs is dirty, and goes to swap", () => {
    const kernel = testKernel();
    const object = kernel.memfdCreate({ sizePages: 1 });
    const [writer, reader] = [kernel.createProcess(), kernel.createProcess()];
    const a = writer.mmap({ lengthBytes: PAGE, object, shared: true, write: true });
    const b = reader.mmap({ lengthBytes: PAGE, object, shared: true });
    reader.loadU64(b);
    writer.loadU64(a);
    writer.storeU64(a, 6n);
    expect(kernel.reclaimPages([object.frameAt(0)])).toBe(1);
    expect([states(object), reader.loadU64(b)]).toEqual([["swapped"], 6n]);
  });
});

describe("a private page", () => {
  test("is found in parent, child and grandchild, and all get its swap entry", () => {
    const kernel = testKernel();
    const parent = kernel.createProcess();
    const address = parent.mmap({ lengthBytes: 2 * PAGE, write: true });
    fill(parent, address, 2);
    const child = parent.fork();
    const grandchild = child.fork();
    const family = [parent, child, grandchild];
    expect(kernel.frames.mapcount[parent.frameAt(address)]).toBe(3);
    expect(kernel.reclaimPages([parent.frameAt(address)])).toBe(1);
    expect(family.map((process) => isOut(process, address))).toEqual([true, true, true]);
    expect(kernel.swap.areas[0].usedSlots).toBe(1);
    for (const process of family) expect(wrongPages(process, address, 2)).toEqual([]);
  });

  test("is still found when the process that made it has ended", () => {
    const kernel = testKernel();
    const parent = kernel.createProcess();
    const address = parent.mmap({ lengthBytes: PAGE, write: true });
    fill(parent, address, 1);
    const child = parent.fork();
    parent.exit();
    expect(kernel.reclaimPages([child.frameAt(address)])).toBe(1);
    expect(isOut(child, address)).toBe(true);
    expect(wrongPages(child, address, 1)).toEqual([]);
  });

  test("of a child after its store is the child's alone: paging it out visits nobody else", () => {
    const kernel = testKernel();
    const parent = kernel.createProcess();
    const address = parent.mmap({ lengthBytes: PAGE, write: true });
    fill(parent, address, 1);
    const children = Array.from({ length: 8 }, () => parent.fork());
    children[3].writeBytes(address, pattern(50));
    const { rmapVisits } = kernel.work;
    expect(kernel.reclaimPages([children[3].frameAt(address)])).toBe(1);
    expect(kernel.work.rmapVisits - rmapVisits).toBe(1);
    expect(children.map((child) => isOut(child, address)).indexOf(true)).toBe(3);
    expect(wrongPages(children[3], address, 1, 50)).toEqual([]);
    expect(wrongPages(parent, address, 1)).toEqual([]);
  });

  test("is found after its area was split, moved and joined again", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 8 * PAGE, write: true });
    fill(process, address, 8);
    process.mprotect(address + 2 * PAGE, 3 * PAGE, {});
    expect(process.mm.vmas.length).toBe(3);
    expect(kernel.reclaimPages([process.frameAt(address + 3 * PAGE)])).toBe(1);
    process.mprotect(address + 2 * PAGE, 3 * PAGE, { write: true });
    expect(process.mm.vmas.length).toBe(1);
    expect(kernel.reclaimPages([process.frameAt(address + 4 * PAGE)])).toBe(1);
    const moved = process.mremap({
      address,
      oldLengthBytes: 8 * PAGE,
      newLengthBytes: 8 * PAGE,
      to: 0x2000_0000_0000,
    });
    expect(kernel.reclaimPages([process.frameAt(moved + 5 * PAGE)])).toBe(1);
    expect([3, 4, 5, 6].map((page) => isOut(process, moved + page * PAGE))).toEqual([
      true,
      true,
      true,
      false,
    ]);
    expect(wrongPages(process, moved, 8)).toEqual([]);
  });

  test("copied from an object is found through its area, the object's page through the object", () => {
    const kernel = testKernel();
    const object = kernel.memfdCreate({ sizePages: 1 });
    object.pwrite(pattern(0), 0);
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: PAGE, object, write: true });
    process.writeBytes(address, pattern(1));
    expect(kernel.reclaimPages([process.frameAt(address), object.frameAt(0)])).toBe(2);
    expect([isOut(process, address), states(object)]).toEqual([true, ["swapped"]]);
    expect(wrongPages(process, address, 1, 1)).toEqual([]);
  });

  test("keeps soft-dirty and write-protection in its swap entry", () => {
    const kernel = testKernel();
    const process = kernel.createProcess();
    const address = process.mmap({ lengthBytes: 3 * PAGE, write: true });
    fill(process, address, 3);
    process.clearRefs();
    process.storeU64(address, 1n);
    const uffd = process.userfaultfd();
    uffd.register(address, 3 * PAGE);
    uffd.protect(address + PAGE, PAGE);
    expect(pagemap(process, address, 3)).toEqual(["103", "106", "102"]);
    process.madvise(address, 3 * PAGE, "PAGEOUT");
    expect(pagemap(process, address, 3)).toEqual(["81", "84", "80"]);
    process.touchRead(address, 3 * PAGE);
    expect(pagemap(process, address, 3)).toEqual(["103", "106", "102"]);
  });
});

describe("who used the page", () => {
  test("is asked of every mapping: a page that several used is kept, before an older one that none did", () => {
    const kernel = testKernel();
    const object = kernel.memfdCreate({ sizePages: 2 });
    const processes = Array.from({ length: 3 }, () => kernel.createProcess());
    for (const process of processes) {
      const address = process.mmap({ lengthBytes: PAGE, object, shared: true, write: true });
      process.storeU64(address, 1n);
    }
    object.pwrite(pattern(1), PAGE);
    const referenced = () => processes.map((process) => process.smaps()[0].referenced);
    expect(referenced()).toEqual([PAGE, PAGE, PAGE]);
    expect(kernel.reclaim({ targetPages: 1 })).toBe(1);
    expect(states(object)).toEqual(["cached", "swapped"]);
    expect(kernel.vmstat.pgactivate).toBe(1);
    expect(kernel.frames.mapcount[object.frameAt(0)]).toBe(3);
  });
});
