import { describe, expect, test } from "vitest";
import { fill, PAGE, testKernel } from "../../test/support/model.ts";
import type { MappingScan } from "./detector.ts";
import { ModelTarget } from "./model-target.ts";
import { countStates, PRESENT } from "./page-state.ts";
import { createDetector, DETECTORS, scanTarget } from "./scan.ts";
import { type Mapping, pagesOf, type Target } from "./target.ts";

function scene() {
  const kernel = testKernel({ profile: "linux-6.18" });
  const process = kernel.createProcess();
  const object = kernel.memfdCreate({ sizePages: 8 });
  const shared = process.mmap({ lengthBytes: 8 * PAGE, object, shared: true, write: true });
  const own = process.mmap({ lengthBytes: 4 * PAGE, write: true });
  fill(process, shared, 6);
  fill(process, own, 3);
  process.madvise(shared, 2 * PAGE, "PAGEOUT");
  process.madvise(own, PAGE, "PAGEOUT");
  return { kernel, process, object, shared, own, target: new ModelTarget(kernel, process) };
}

describe("a scan of a process", () => {
  test.each(DETECTORS)("by %s has every mapping once, and their sum", (name) => {
    const { target } = scene();
    const scan = scanTarget(target, createDetector(name, target));
    expect([scan.detector, scan.pid, scan.vanished]).toEqual([name, target.pid, []]);
    expect(scan.mappings.map(({ mapping }) => mapping)).toEqual(target.mappings());
    const pages = Object.values(scan.totals).reduce((sum, count) => sum + count, 0);
    expect([pages, scan.totals.present]).toEqual([12, 6]);
    expect(scan.totals.swapped).toBe({ exact: 3, "page-cache": 3, marker: 1, pagemap: 1 }[name]);
  });

  test("has the mappings that were chosen", () => {
    const { target, own } = scene();
    const scan = scanTarget(target, createDetector("exact", target), {
      choose: ({ kind }) => kind === "anon",
    });
    expect(scan.mappings.map(({ mapping }) => mapping.start)).toEqual([own]);
    expect(scan.totals).toMatchObject({ present: 2, swapped: 1, hole: 1 });
  });

  test("says what was unmapped while it was read", () => {
    const { target, process, own } = scene();
    const detector = createDetector("page-cache", target);
    const scan = scanTarget(target, {
      name: detector.name,
      scan(mapping) {
        if (mapping.kind === "shmem") process.munmap(own, 4 * PAGE);
        return detector.scan(mapping);
      },
    });
    expect(scan.vanished.map(({ start }) => start)).toEqual([own]);
    expect(scan.mappings.map(({ note }) => note.includes("changed or unmapped"))).toEqual(
      scan.mappings.map(({ mapping }) => mapping.start === own),
    );
  });

  test("of a process that ends meanwhile calls all its mappings vanished", () => {
    const { target } = scene();
    const mappings = target.mappings();
    let asked = 0;
    target.mappings = () => {
      if (asked++ > 0) throw new Error("ESRCH");
      return mappings;
    };
    expect(scanTarget(target, createDetector("pagemap", target)).vanished).toEqual(mappings);
  });
});

test("a very large private mapping is read where it is populated, and the rest are holes", () => {
  const start = 2 ** 40;
  const reservation: Mapping = {
    start,
    end: start + 2 ** 44,
    kind: "anon",
    shared: false,
    objectId: "",
    name: "",
    objectFirstPage: 0,
  };
  const { target: model } = scene();
  const target: Target = model;
  Object.assign(target, {
    mappings: () => [reservation],
    populatedRanges: ({ start }: Mapping) => [
      { start: start + 2 ** 30, end: start + 2 ** 30 + 2 * PAGE },
      { start: start + 2 ** 43, end: start + 2 ** 43 + PAGE },
    ],
  } satisfies Partial<Target>);
  const asked: number[] = [];
  const { mappings, totals } = scanTarget(target, {
    name: "exact",
    scan(mapping): MappingScan {
      asked.push(pagesOf(mapping));
      const states = new Uint8Array(pagesOf(mapping)).fill(PRESENT);
      return { mapping, states, counts: countStates(states), asked: 0, note: "" };
    },
  });
  expect(asked).toEqual([2, 1]);
  expect(mappings[0].parts).toHaveLength(2);
  expect(totals).toMatchObject({ present: 3, hole: 2 ** 32 - 3 });
});
