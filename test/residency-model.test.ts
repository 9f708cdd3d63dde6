import { describe, expect, it } from "vitest";
import { type FuzzOp, FuzzWorld } from "../src/lab/fuzz-world.ts";
import { Random } from "../src/lab/random.ts";
import type { Process } from "../src/model/index.ts";
import {
  type Detector,
  ExactDetector,
  MarkerDetector,
  ModelTarget,
  PAGE_STATES,
  PageCacheDetector,
  PagemapDetector,
  STATE_MASK,
} from "../src/residency/index.ts";
import { stateHash } from "./support/model.ts";
import { trueAreas } from "./support/model-truth.ts";

interface Detectors {
  readonly target: ModelTarget;
  /** Kept from scan to scan. */
  readonly exact: ExactDetector;
  readonly others: readonly Detector[];
}

/** What each detector got wrong of swapped pages, and how many there were. */
interface Tally {
  pages: number;
  swapped: number;
  falsePositives: number;
  falseNegatives: number;
}

/** Random operations; at random moments every detector looks at every process. Throws where one is wrong. */
function history(seed: number, ops: number, marker: Tally): void {
  const random = new Random(seed);
  const world = new FuzzWorld(random.u32(), random.u32());
  const detectors = new Map<Process, Detectors>();
  const done: string[] = [];
  for (let i = 0; i < ops; i++) {
    const op: FuzzOp = [random.u32(), random.u32(), random.u32(), random.u32(), random.u32()];
    done.push(world.apply(op));
    if (random.below(3) !== 0) continue;
    for (const { process } of world.processes) {
      let own = detectors.get(process);
      if (own === undefined) {
        const target = new ModelTarget(world.kernel, process);
        own = {
          target,
          exact: new ExactDetector(target),
          others: [new PageCacheDetector(target), new MarkerDetector(target), new PagemapDetector(target)],
        };
        detectors.set(process, own);
      }
      check(world, process, own, marker, `seed ${seed}, after ${done.slice(-6).join("; ")}`);
    }
  }
}

function check(
  { kernel }: FuzzWorld,
  process: Process,
  { target, exact, others }: Detectors,
  marker: Tally,
  where: string,
) {
  const truth = trueAreas(kernel, process);
  const mappings = target.mappings();
  expect(mappings.map(({ start }) => start)).toEqual(truth.map(({ start }) => start));
  exact.keepOnly(mappings);
  for (const [index, mapping] of mappings.entries()) {
    const expected = truth[index].states;
    for (const detector of [exact, ...others]) {
      const { states } = detector.scan(mapping);
      for (let page = 0; page < states.length; page++) {
        const state = PAGE_STATES[states[page] & STATE_MASK];
        if (detector.name === "marker") {
          marker.pages++;
          if (expected[page] === "swapped" || expected[page] === "swap-cached") {
            marker.swapped++;
            if (state !== "swapped") marker.falseNegatives++;
          } else if (state === "swapped") marker.falsePositives++;
          continue;
        }
        if (state === expected[page]) continue;
        // pagemap alone may not know, but must not be wrong.
        if (detector.name === "pagemap" && state === "unknown") continue;
        throw new Error(
          `${detector.name}: page ${page} of 0x${mapping.start.toString(16)} (${mapping.kind}) is ${expected[page]}, ` +
            `said ${state}; ${where}`,
        );
      }
    }
  }
}

describe("on the model, over random histories,", () => {
  it("exact (kept) and page-cache are right on every page; pagemap is never wrong; marker errs", () => {
    const marker = { pages: 0, swapped: 0, falsePositives: 0, falseNegatives: 0 };
    for (let seed = 1; seed <= 200; seed++) history(seed, 80, marker);
    process.stderr.write(`marker on the model: ${JSON.stringify(marker)}\n`);
    expect(marker.swapped).toBeGreaterThan(1000);
    expect(marker.falsePositives).toBeGreaterThan(0);
    expect(marker.falseNegatives).toBeGreaterThan(0);
  }, 120_000);

  it("looking changes nothing", () => {
    const random = new Random(7);
    const world = new FuzzWorld(random.u32(), random.u32());
    for (let i = 0; i < 400; i++)
      world.apply([random.u32(), random.u32(), random.u32(), random.u32(), random.u32()]);
    const before = stateHash(world.kernel);
    for (const { process } of world.processes) {
      const target = new ModelTarget(world.kernel, process);
      for (const Kind of [ExactDetector, PageCacheDetector, MarkerDetector, PagemapDetector]) {
        const detector = new Kind(target);
        for (const mapping of target.mappings()) detector.scan(mapping);
      }
    }
    expect(stateHash(world.kernel)).toBe(before);
  });
});
