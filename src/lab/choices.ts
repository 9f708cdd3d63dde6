/**
 * Where a scenario's choices come from: all there are, one after the other; random ones; or those of a run
 * before.
 */

import { Random } from "./random.ts";

/** A scenario is ordinary code that asks for numbers. What it does must depend on nothing else. */
export interface Choices {
  /** A number from 0 to `count` - 1. `count` is at least 1. */
  choose(count: number): number;
}

/** A replay that does not fit the scenario: it has other choices than when it was recorded. */
export class ReplayError extends Error {
  override readonly name = "ReplayError";
}

/** Gives the choices of a run before, as {@link Choices.choose} gave them. Throws a {@link ReplayError}. */
export class ReplayChoices implements Choices {
  readonly #taken: readonly number[];
  #next = 0;

  constructor(taken: readonly number[]) {
    this.#taken = taken;
  }

  choose(count: number): number {
    const position = this.#next++;
    const choice = this.#taken[position];
    if (choice === undefined)
      throw new ReplayError(`the replay has ${this.#taken.length} choices, and one more is asked for`);
    if (!(choice >= 0 && choice < count))
      throw new ReplayError(
        `choice ${position + 1} of the replay is ${choice}: here it must be 0 to ${count - 1}`,
      );
    return choice;
  }
}

/**
 * Random choices from a seed. `weights[i]` says how often choice `i` is taken, against 1 for those without a
 * weight; one of weight 0 is never taken where another can be.
 */
export class RandomChoices implements Choices {
  readonly #random: Random;
  readonly #weights: readonly number[];
  /** What was chosen so far, for a {@link ReplayChoices}. */
  readonly taken: number[] = [];

  constructor(seed: number, weights: readonly number[] = []) {
    this.#random = new Random(seed);
    this.#weights = weights;
  }

  choose(count: number): number {
    const choice = this.#choose(count);
    this.taken.push(choice);
    return choice;
  }

  #choose(count: number): number {
    let total = 0;
    for (let i = 0; i < count; i++) total += this.#weights[i] ?? 1;
    if (total === 0 || this.#weights.length === 0) return this.#random.below(count);
    let left = (this.#random.u32() / 2 ** 32) * total;
    for (let i = 0; i < count; i++) {
      left -= this.#weights[i] ?? 1;
      if (left < 0) return i;
    }
    return count - 1;
  }
}

/** One run of an exhaustive search: goes where the run before still had a branch left. */
class BacktrackingChoices implements Choices {
  /** Of each choice: which was taken, of how many. */
  readonly path: { taken: number; readonly of: number }[] = [];
  #depth = 0;

  choose(count: number): number {
    const known = this.path[this.#depth];
    if (known === undefined) this.path.push({ taken: 0, of: count });
    else if (known.of !== count)
      throw new Error(
        `choice ${this.#depth + 1} was of ${known.of} and is of ${count} now: ` +
          "the scenario depends on more than its choices",
      );
    return this.path[this.#depth++].taken;
  }

  /** Goes back to the last choice that has a branch left, and takes that. False if none has. */
  advance(): boolean {
    this.path.length = this.#depth;
    this.#depth = 0;
    for (let last = this.path.at(-1); last !== undefined; last = this.path.at(-1)) {
      if (++last.taken < last.of) return true;
      this.path.pop();
    }
    return false;
  }
}

/**
 * Runs the scenario with every sequence of choices there is, in order; it must end by itself. Returns how
 * many there were.
 */
export function inAllWays(scenario: (choices: Choices) => void): number {
  const choices = new BacktrackingChoices();
  let runs = 0;
  do {
    scenario(choices);
    runs++;
  } while (choices.advance());
  return runs;
}
