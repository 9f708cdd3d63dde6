import { describe, expect, test } from "vitest";
import { fill, PAGE, pattern, type Setup, testKernel } from "../../test/support/model.ts";
import type { Kernel, Memfd, Process } from "../model/index.ts";
import { ExactDetector } from "./exact-detector.ts";
import { ModelTarget } from "./model-target.ts";
import type { Mapping, ObjectView } from "./target.ts";

const PAGES = 1024;

interface Scene {
  readonly kernel: Kernel;
  readonly process: Process;
  readonly memfd: Memfd;
  readonly target: ModelTarget;
  readonly address: number;
  readonly mapping: Mapping;
}

/** A mapping of an object: 768 pages swapped, 128 present, 128 never touched. */
function scene(setup: Setup = {}): Scene {
  const kernel = testKernel({ profile: "linux-6.18", memoryPages: 2048, swapPages: [2048], ...setup });
  const process = kernel.createProcess();
  const memfd = kernel.memfdCreate({ sizePages: PAGES });
  const address = process.mmap({ lengthBytes: PAGES * PAGE, object: memfd, shared: true, write: true });
  fill(process, address, 896);
  process.madvise(address, 768 * PAGE, "PAGEOUT");
  const target = new ModelTarget(kernel, process);
  return { kernel, process, memfd, target, address, mapping: target.mappings()[0] };
}

describe("of a mapping that it has scanned before it asks the object", () => {
  test("nothing at rest", () => {
    const { target, mapping } = scene();
    const exact = new ExactDetector(target);
    const first = exact.scan(mapping);
    expect([first.asked, first.counts.swapped, first.counts.hole]).toEqual([896, 768, 128]);
    const again = exact.scan(mapping);
    expect([again.asked, again.states]).toEqual([0, first.states]);
  });

  test("nothing about pages that came back to this process, nor about the others then", () => {
    const { process, target, mapping, address } = scene();
    const exact = new ExactDetector(target);
    exact.scan(mapping);
    process.touchRead(address, 10 * PAGE);
    const { asked, counts } = exact.scan(mapping);
    expect([asked, counts.present, counts.swapped]).toEqual([0, 138, 758]);
  });

  test("about what was paged out, and nothing else", () => {
    const { process, target, mapping, address } = scene();
    const exact = new ExactDetector(target);
    exact.scan(mapping);
    process.madvise(address + 800 * PAGE, 7 * PAGE, "PAGEOUT");
    const { asked, counts } = exact.scan(mapping);
    expect([asked, counts.swapped]).toEqual([7, 775]);
    expect(exact.scan(mapping).asked).toBe(0);
  });

  test("about a block of pages, where others have brought some back into the page cache", () => {
    const { memfd, target, mapping } = scene();
    const exact = new ExactDetector(target);
    exact.scan(mapping);
    memfd.pread(new Uint8Array(5 * PAGE), 40 * PAGE);
    const { asked, counts } = exact.scan(mapping);
    expect([counts.cached, counts.swapped]).toEqual([5, 763]);
    expect(asked).toBe(512);
    // Pages in the cache may go again, uncounted.
    expect(exact.scan(mapping).asked).toBe(5);
  });

  test("about all that was in swap, when there were reads that nothing explains", () => {
    const { kernel, memfd, target, mapping } = scene({ synchronous: false });
    const exact = new ExactDetector(target);
    exact.scan(mapping);
    const other = kernel.createProcess();
    const elsewhere = other.mmap({ lengthBytes: 3 * PAGE, write: true });
    fill(other, elsewhere, 3);
    other.madvise(elsewhere, 3 * PAGE, "PAGEOUT");
    kernel.reclaimAll();
    other.touchRead(elsewhere, 3 * PAGE);
    const { asked } = exact.scan(mapping);
    expect(asked).toBeGreaterThanOrEqual(768);
    expect(memfd.fstat().blocks).toBe(896 * 8);
  });

  test("about a block of pages, when something was removed", () => {
    const { process, target, mapping, address } = scene();
    const exact = new ExactDetector(target);
    exact.scan(mapping);
    process.madvise(address + 5 * PAGE, PAGE, "REMOVE");
    const { asked, counts } = exact.scan(mapping);
    expect([asked, counts.swapped, counts.hole]).toEqual([512, 767, 129]);
  });

  test("about nothing, when the object was written elsewhere; but all in swap, if there was page-out too", () => {
    const { process, memfd, target, mapping, address } = scene();
    const exact = new ExactDetector(target);
    exact.scan(mapping);
    memfd.pwrite(pattern(1), 800 * PAGE);
    expect(exact.scan(mapping).asked).toBe(0);
    memfd.pwrite(pattern(1), 800 * PAGE);
    process.madvise(address + 801 * PAGE, PAGE, "PAGEOUT");
    expect(exact.scan(mapping).asked).toBe(769);
  });

  test("about what was written in the place of a removed page, went to swap, and is still in memory", () => {
    const { kernel, process, memfd, target, mapping, address } = scene({ synchronous: false });
    kernel.reclaimPages(Array.from({ length: 768 }, (_, page) => memfd.frameAt(page)).filter((f) => f > 0));
    const exact = new ExactDetector(target);
    expect(exact.scan(mapping).counts.swapped).toBe(768);
    process.madvise(address + 5 * PAGE, PAGE, "REMOVE");
    process.touchWrite(address + 5 * PAGE, PAGE);
    process.madvise(address + 5 * PAGE, PAGE, "PAGEOUT");
    expect(memfd.pageState(5)).toBe("swap-cached");
    expect(exact.scan(mapping).counts).toMatchObject({ swapped: 767, "swap-cached": 1 });
  });

  test("about holes, when another process has filled one", () => {
    const { kernel, memfd, target, mapping } = scene();
    const exact = new ExactDetector(target);
    exact.scan(mapping);
    const other = kernel.createProcess();
    const there = other.mmap({ lengthBytes: PAGES * PAGE, object: memfd, shared: true, write: true });
    other.touchWrite(there + 1000 * PAGE, PAGE);
    const { asked, counts } = exact.scan(mapping);
    expect([asked, counts.cached, counts.hole]).toEqual([128, 1, 127]);
  });

  test("about holes too when the object's size in pages is the same, because reclaim dropped a clean page", () => {
    const { kernel, memfd, target, mapping } = scene();
    const other = kernel.createProcess();
    const there = other.mmap({ lengthBytes: PAGES * PAGE, object: memfd, shared: true, write: true });
    other.touchRead(there + 900 * PAGE, PAGE);
    const exact = new ExactDetector(target);
    expect(exact.scan(mapping).counts).toMatchObject({ cached: 1, hole: 127 });
    const { blocks, changes } = memfd.fstat();
    kernel.reclaimPages([memfd.frameAt(900)]);
    other.touchWrite(there + 950 * PAGE, PAGE);
    expect(memfd.fstat()).toMatchObject({ blocks, changes });
    const { states } = exact.scan(mapping);
    expect([states[900] & 7, states[950] & 7]).toEqual([5, 2]);
  });
});

test("of a part of an object, too, what others do elsewhere in it does no harm", () => {
  const { process, memfd, target } = scene();
  const part = process.mmap({
    lengthBytes: 100 * PAGE,
    object: memfd,
    offsetBytes: 850 * PAGE,
    shared: true,
    write: true,
  });
  const mapping = target.mappings().find(({ start }) => start === part);
  if (mapping === undefined) throw new Error("not mapped");
  const exact = new ExactDetector(target);
  expect(exact.scan(mapping).counts).toMatchObject({ cached: 46, hole: 54 });
  process.touchWrite(part, PAGE); // mapped here now, and no more
  expect(exact.scan(mapping)).toMatchObject({ asked: 45, counts: { present: 1, cached: 45, hole: 54 } });
});

test("a count of reads that pages come back without is not relied on", () => {
  const { process, target, mapping, address } = scene();
  target.swapIns = () => 42;
  const exact = new ExactDetector(target);
  exact.scan(mapping);
  expect(exact.scan(mapping).asked).toBe(0);
  process.touchRead(address, PAGE); // and the count stands
  exact.scan(mapping);
  expect(exact.scan(mapping).asked).toBe(895);
});

test("without a count everything is asked each time", () => {
  const { target, mapping } = scene();
  const exact = new ExactDetector(Object.assign(target, { swapIns: () => undefined }));
  expect([exact.scan(mapping).asked, exact.scan(mapping).asked]).toEqual([896, 896]);
});

test("what is not mapped any more is forgotten", () => {
  const { target, mapping } = scene();
  const exact = new ExactDetector(target);
  exact.scan(mapping);
  exact.keepOnly([]);
  expect(exact.scan(mapping).asked).toBe(896);
});

test("facts are not kept of pages asked while counters moved, until they had been at rest for a while", () => {
  const { target, mapping } = scene();
  let now = 1e12;
  target.now = () => now;
  const exact = new ExactDetector(target, { settleMs: 1000 });
  exact.scan(mapping);
  now += 500;
  expect(exact.scan(mapping).asked).toBe(896);
  now += 500;
  expect(exact.scan(mapping).asked).toBe(896); // settled by now: the next relies on these answers
  expect(exact.scan(mapping).asked).toBe(0);
});

describe("without cachestat", () => {
  /** The same target on a kernel before 6.5. */
  function before65(target: ModelTarget): ModelTarget {
    const { openObject } = target;
    target.openObject = (mapping) => {
      const view: ObjectView = openObject.call(target, mapping);
      view.cachestat = () => undefined;
      return view;
    };
    return target;
  }

  test("swapped pages and holes are told, pages in memory are not, and the note says why", () => {
    const { kernel, memfd, target, mapping } = scene({ synchronous: false });
    memfd.fallocate(900 * PAGE, PAGE);
    memfd.pwrite(pattern(1), 901 * PAGE);
    kernel.reclaimPages(Array.from({ length: 768 }, (_, page) => memfd.frameAt(page)).filter((f) => f > 0));
    const { counts, note } = new ExactDetector(before65(target)).scan(mapping);
    expect(counts).toMatchObject({ swapped: 768, present: 128, unknown: 1, hole: 127 });
    expect(note).toContain("cachestat");
  });
});
