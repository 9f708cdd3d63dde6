/** Breadth-first search: every state that can be reached, each expanded once. */

import { CLASSES } from "./causes.ts";
import type { StateSpace } from "./space.ts";
import type { StateStore } from "./store.ts";

/** The first transition, in a fixed order, that showed something of a class. */
export interface Sighting {
  /** From this state, */
  readonly state: number;
  /** on this level, by this transition. */
  readonly level: number;
  readonly move: number;
}

/** What a worker has seen. */
export interface SearchTally {
  transitions: number;
  readonly sightings: (Sighting | undefined)[];
  /** How many transitions showed something of each class. */
  readonly counts: number[];
}

export function newTally(): SearchTally {
  return { transitions: 0, sightings: CLASSES.map(() => undefined), counts: CLASSES.map(() => 0) };
}

/** Adds the first state. */
export function addFirst(space: StateSpace, store: StateStore): void {
  const bytes = new Uint8Array(space.stride);
  space.begin();
  space.save(bytes, 0);
  store.add(new Int32Array(bytes.buffer), -1, 0);
  store.startLevel();
}

export class Searcher {
  readonly #space: StateSpace;
  readonly #store: StateStore;
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;
  readonly tally: SearchTally;

  constructor(space: StateSpace, store: StateStore, tally = newTally()) {
    this.#space = space;
    this.#store = store;
    this.#bytes = new Uint8Array(space.stride);
    this.#words = new Int32Array(this.#bytes.buffer);
    this.tally = tally;
  }

  /** Expands level after level, with so many workers in all; yields after each chunk of states. */
  *run(workers: number): Generator<void> {
    const store = this.#store;
    while (store.level < this.#space.levels) {
      for (let first = store.takeChunk(); first >= 0; first = store.takeChunk()) {
        const before = this.tally.transitions;
        const end = store.chunkEnd(first);
        for (let state = first; state < end; state++) this.#expand(state);
        store.addTaken(this.tally.transitions - before);
        yield;
      }
      if (!store.nextLevel(workers)) return;
    }
  }

  #expand(state: number): void {
    const space = this.#space;
    const store = this.#store;
    const { vectors, stride } = store;
    const at = state * stride;
    const level = store.levels[state];
    let isLoaded = false;
    let steps = 0;
    let isUnfinished = false;
    for (let move = 0; move < space.transitions; move++) {
      if (!isLoaded) {
        space.load(vectors, at);
        isUnfinished ||= space.isUnfinished;
      }
      // A move that can't be made has changed nothing, unless it found a lock on its way.
      isLoaded = !space.apply(move, level);
      if (isLoaded) {
        isLoaded = space.isUntouched;
        continue;
      }
      this.tally.transitions++;
      if (move >= space.firstStep) steps++;
      if (space.shown !== 0) this.#note(space.shown, state, level, move);
      if ((space.shown & space.fatal) !== 0) continue;
      space.save(this.#bytes, 0);
      if (store.add(this.#words, state, move) < 0) continue;
      const wrong = space.check();
      if (wrong !== 0) this.#note(wrong, state, level, move);
    }
    if (isUnfinished && steps === 0) this.#noteStuck(state, level);
  }

  #noteStuck(state: number, level: number): void {
    const deadlock = CLASSES.findIndex(({ name }) => name === "deadlock");
    this.#note(1 << deadlock, state, level, 0xffff);
  }

  #note(classes: number, state: number, level: number, move: number): void {
    for (let left = classes, bit = 0; left !== 0; left >>>= 1, bit++) {
      if ((left & 1) === 0) continue;
      this.tally.counts[bit]++;
      const best = this.tally.sightings[bit];
      const sighting = { state, level, move };
      if (best === undefined || isBefore(this.#store, sighting, best)) this.tally.sightings[bit] = sighting;
    }
  }
}

/** By level; on one level in the fixed order of states; then by move. */
export function isBefore(store: StateStore, a: Sighting, b: Sighting): boolean {
  if (a.level !== b.level) return a.level < b.level;
  const order = store.compareStates(a.state, b.state);
  return order === 0 ? a.move < b.move : order < 0;
}
