/** A run of one scenario over a source of choices: at random, or again. */

import type { Choices } from "../choices.ts";
import { CLASSES } from "./causes.ts";
import type { KernelSpace } from "./kernel-space.ts";

export interface Walk {
  /** The moves that were made. */
  readonly moves: readonly number[];
  /** The classes that were shown, each with how many moves had been made then. */
  readonly shown: ReadonlyMap<string, number>;
}

/** How often a choice that can't be made here is made again before a walk gives up. */
const TRIES = 200;

/**
 * Makes up to `length` moves that `choices` choose; a choice that can't be made is made again. Ends when
 * something is broken. The space's limit of operations (`scope.depth`) holds.
 */
export function walk(space: KernelSpace, choices: Choices, length: number): Walk {
  const moves: number[] = [];
  const shown = new Map<string, number>();
  const bytes = new Uint8Array(space.stride);
  space.begin();
  const note = (classes: number): void => {
    CLASSES.forEach(({ name }, bit) => {
      if ((classes & (1 << bit)) !== 0 && !shown.has(name)) shown.set(name, moves.length);
    });
  };
  while (moves.length < length) {
    space.save(bytes, 0);
    space.load(bytes, 0);
    const move = chooseMove(space, choices, bytes, moves.length);
    if (move < 0) break;
    moves.push(move);
    note(space.shown);
    if ((space.shown & space.fatal) !== 0) break;
    space.save(bytes, 0);
    const wrong = space.check();
    note(wrong);
    if (wrong !== 0) break;
    space.load(bytes, 0);
  }
  return { moves, shown };
}

function chooseMove(space: KernelSpace, choices: Choices, bytes: Uint8Array, level: number): number {
  for (let tries = 0; tries < TRIES; tries++) {
    const move = choices.choose(space.transitions);
    if (space.apply(move, level)) return move;
    space.load(bytes, 0);
  }
  return -1;
}
