/** Random operations without end, in worlds of a few thousand each. */

import { type FuzzOp, FuzzWorld } from "./fuzz-world.ts";
import { Random } from "./random.ts";

const OPS_PER_WORLD = 2000;

/** A failure, with what is needed to see it again. */
export class FuzzFailure extends Error {
  override readonly name = "FuzzFailure";

  constructor(world: FuzzWorld, world_seed: number, history: readonly string[], cause: unknown) {
    const last = history.slice(-12).map((line) => `  ${line}`);
    super(
      [
        `world ${world_seed} ${world.description}, operation ${history.length + 1}: ${String(cause)}`,
        "the operations before:",
        ...last,
        `replay: npm run fuzz -- --world ${world_seed}`,
      ].join("\n"),
      { cause },
    );
  }
}

/**
 * Runs one world of up to `ops` operations from its seed. In each, a random half of the kinds of operation is rare,
 * so that unusual mixtures come up. Throws a {@link FuzzFailure}.
 */
export function fuzzWorld(seed: number, ops = OPS_PER_WORLD): void {
  const random = new Random(seed);
  const world = new FuzzWorld(random.u32(), random.u32());
  const rare = random.u32();
  const history: string[] = [];
  try {
    for (let i = 0; i < ops; i++) {
      let kind = random.u32();
      if (((rare >>> (kind % 21)) & 1) === 1 && random.below(8) !== 0) kind = random.below(2);
      const op: FuzzOp = [kind, random.u32(), random.u32(), random.u32(), random.u32()];
      history.push(world.apply(op));
    }
    world.end();
  } catch (cause) {
    throw new FuzzFailure(world, seed, history, cause);
  }
}

/** Runs `ops` operations, world after world. `onWorld` is told how many are done. */
export function fuzz(options: {
  readonly ops: number;
  readonly seed: number;
  readonly onWorld?: (done: number) => void;
}): void {
  const seeds = new Random(options.seed);
  for (let done = 0; done < options.ops; ) {
    const ops = Math.min(OPS_PER_WORLD, options.ops - done);
    fuzzWorld(seeds.u32(), ops);
    done += ops;
    options.onWorld?.(done);
  }
}
