/** Explorations as a whole: estimated, run, and told. */

import { type Finding, findingsOf } from "./findings.ts";
import { KernelSpace } from "./kernel-space.ts";
import type { ExploreScope } from "./scope.ts";
import { addFirst, Searcher, type SearchTally, type Shard } from "./search.ts";
import { bytesPerState, StateStore } from "./store.ts";

export interface Exploration {
  readonly scope: ExploreScope;
  readonly shard: Shard;
  /** Whether all of the scope was covered; else why not. */
  readonly end: "complete" | "stopped" | "no memory";
  readonly states: number;
  readonly transitions: number;
  /** The longest way, in transitions, to a state that was found. */
  readonly depth: number;
  readonly findings: readonly Finding[];
}

/** What a search of a scope would come to. */
export interface Estimate {
  readonly states: number;
  readonly bytes: number;
  /** Whether it was small enough to be counted. */
  readonly isExact: boolean;
}

const SAMPLE_STATES = 20_000;

/**
 * Searches the beginning of a scope, and goes on as it grew. Throws a ConfigError for a scope that can't be.
 */
export function estimate(scope: ExploreScope): Estimate {
  const space = new KernelSpace(scope);
  const store = StateStore.create(space.stride, SAMPLE_STATES);
  addFirst(space, store);
  for (const _ of new Searcher(space, store).run(1));
  const sizes: number[] = [];
  // The level that was cut off says nothing.
  const whole = store.isFull ? store.level + 1 : Number.POSITIVE_INFINITY;
  for (let state = 0; state < store.count; state++) {
    const level = store.levels[state];
    if (level < whole) sizes[level] = (sizes[level] ?? 0) + 1;
  }
  const states = store.isFull ? goOn(sizes, space.levels) : store.count;
  return { states, bytes: states * bytesPerState(space.stride), isExact: !store.isFull };
}

/** The sum of all levels, if growth goes on to change as it did between the last three. */
function goOn(sizes: readonly number[], levels: number): number {
  const [a, b, c] = sizes.slice(-3);
  let total = sizes.reduce((sum, size) => sum + size, 0);
  if (c === undefined) return total * 10;
  let growth = c / b;
  const change = Math.min(1, growth / (b / a));
  let size = c;
  for (let level = sizes.length; level <= Math.min(levels, 1000) && size >= 1; level++) {
    growth *= change;
    size *= growth;
    total += size;
  }
  return Math.ceil(total);
}

/** Tells what a search came to. */
export function tellExploration(
  space: KernelSpace,
  store: StateStore,
  { tally, shard }: { readonly tally: SearchTally; readonly shard: Shard },
): Exploration {
  return {
    scope: space.scope,
    shard,
    end: store.isFull ? "no memory" : store.isStopped ? "stopped" : "complete",
    states: store.count,
    transitions: tally.transitions,
    depth: store.count === 0 ? 0 : store.levels[store.count - 1],
    findings: findingsOf(space, store, tally),
  };
}

export interface ExploreOptions {
  readonly shard?: Shard;
  /** Room for so many states. */
  readonly capacity?: number;
}

/** Explores a scope here and now, on this thread. Throws a ConfigError for a scope that can't be. */
export function explore(scope: ExploreScope, options: ExploreOptions = {}): Exploration {
  const { shard = { number: 1, count: 1 }, capacity = 1_000_000 } = options;
  const space = new KernelSpace(scope);
  const store = StateStore.create(space.stride, capacity);
  addFirst(space, store);
  const searcher = new Searcher(space, store, shard);
  for (const _ of searcher.run(1));
  return tellExploration(space, store, { tally: searcher.tally, shard });
}
