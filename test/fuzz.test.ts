import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FuzzFailure, fuzz, fuzzWorld } from "../src/lab/fuzz.ts";
import { type FuzzOp, FuzzWorld } from "../src/lab/fuzz-world.ts";

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const operation: fc.Arbitrary<FuzzOp> = fc.tuple(u32, u32, u32, u32, u32);

describe("random operations", () => {
  it("hold every invariant and lose no byte; a failure shrinks to a short program", () => {
    fc.assert(
      fc.property(u32, u32, fc.array(operation, { maxLength: 120, size: "max" }), (a, b, operations) => {
        const world = new FuzzWorld(a, b);
        for (const op of operations) world.apply(op);
        world.end();
      }),
      { numRuns: 100 },
    );
  }, 120_000);

  it("do so in long runs, of which `npm run fuzz` does more", () => {
    fuzz({ ops: 10_000, seed: 20_211_123 });
  }, 120_000);

  it("are the same for the same seed", () => {
    const run = (): string[] => {
      const world = new FuzzWorld(11, 12);
      return Array.from({ length: 300 }, (_, i) => world.apply([i * 7919, i * 31, i * 17, i * 5, i * 101]));
    };
    expect(run()).toEqual(run());
  });
});

describe("the fuzzer finds", () => {
  const seeds = [1, 2, 3, 4, 5, 6, 7, 8];

  /** Whether some world fails with the model damaged by `damage`. */
  function isFound(damage: (world: FuzzWorld) => void): boolean {
    const apply = FuzzWorld.prototype.apply;
    FuzzWorld.prototype.apply = function (this: FuzzWorld, op) {
      damage(this);
      return apply.call(this, op);
    };
    try {
      for (const seed of seeds) fuzzWorld(seed, 1500);
      return false;
    } catch (error) {
      expect(error).toBeInstanceOf(FuzzFailure);
      expect((error as Error).message).toMatch(/replay: npm run fuzz -- --world \d+/);
      return true;
    } finally {
      FuzzWorld.prototype.apply = apply;
    }
  }

  it("a byte that changes in memory", () => {
    expect(
      isFound(({ kernel }) => {
        const pfn = 5;
        if (kernel.frames.refcount[pfn] > 0) kernel.frames.contents.storeU32(pfn, 128, 0xdead_beef);
      }),
    ).toBe(true);
  });

  it("a page that is not written when it should be", () => {
    expect(
      isFound(({ kernel }) => {
        kernel.swap.write = () => {};
      }),
    ).toBe(true);
  });

  it("a reference that is counted twice", () => {
    expect(
      isFound(({ kernel }) => {
        const pfn = 7;
        if (kernel.frames.mapcount[pfn] === 2) kernel.frames.refcount[pfn]++;
      }),
    ).toBe(true);
  });
});
