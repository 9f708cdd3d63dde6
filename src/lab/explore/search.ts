/** Breadth-first search: every state that can be reached, each expanded once. */

import { CLASSES, classBit } from "./causes.ts";
import type { StateSpace } from "./space.ts";
import type { StateStore } from "./store.ts";

/** What {@link Sighting.move} is where no transition showed it: it is the state that is wrong. */
export const NO_MOVE = 0xffff;

/** The first transition, in a fixed order, that showed something of a class; or the first state. */
export interface Sighting {
  /** How many transitions lead to it, itself included. */
  readonly length: number;
  /** From this state, */
  readonly state: number;
  /** by this transition. */
  readonly move: number;
}

/** A part of a search: of the states on {@link SPLIT_LEVEL} only those whose hash says so are expanded. */
export interface Shard {
  /** From 1 to `count`. */
  readonly number: number;
  readonly count: number;
}

export const SPLIT_LEVEL = 2;

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
  readonly tally = newTally();

  readonly #shard: Shard;

  constructor(space: StateSpace, store: StateStore, shard: Shard = { number: 1, count: 1 }) {
    this.#shard = shard;
    this.#space = space;
    this.#store = store;
    this.#bytes = new Uint8Array(space.stride);
    this.#words = new Int32Array(this.#bytes.buffer);
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
    if (level === SPLIT_LEVEL && !this.#isMine(state)) return;
    space.load(vectors, at);
    const { isUnfinished } = space;
    let isLoaded = true;
    let steps = 0;
    for (let move = 0; move < space.transitions; move++) {
      if (!isLoaded) space.reload(vectors, at);
      // A move that can't be made has changed nothing, unless it found a lock on its way.
      isLoaded = !space.apply(move, level);
      if (isLoaded) {
        isLoaded = space.isUntouched;
        continue;
      }
      this.tally.transitions++;
      if (move >= space.firstStep) steps++;
      if (space.shown !== 0) this.#note(space.shown, { length: level + 1, state, move });
      if ((space.shown & space.fatal) !== 0) continue;
      space.save(this.#bytes, 0);
      const added = store.add(this.#words, state, move);
      if (added < 0) continue;
      const wrong = space.check();
      if (wrong !== 0) this.#note(wrong, { length: level + 1, state: added, move: NO_MOVE });
    }
    if (isUnfinished && steps === 0)
      this.#note(classBit("deadlock"), { length: level, state, move: NO_MOVE });
  }

  #isMine(state: number): boolean {
    return this.#store.hashOf(state) % this.#shard.count === this.#shard.number - 1;
  }

  #note(classes: number, sighting: Sighting): void {
    for (let left = classes, bit = 0; left !== 0; left >>>= 1, bit++) {
      if ((left & 1) === 0) continue;
      this.tally.counts[bit]++;
      const best = this.tally.sightings[bit];
      if (best === undefined || isBefore(this.#store, sighting, best)) this.tally.sightings[bit] = sighting;
    }
  }
}

/** By length; of one length in the fixed order of states; then by move. */
export function isBefore(store: StateStore, a: Sighting, b: Sighting): boolean {
  if (a.length !== b.length) return a.length < b.length;
  const order = store.compareStates(a.state, b.state);
  return order === 0 ? a.move < b.move : order < 0;
}

/** Adds what another has seen. */
export function addTally(store: StateStore, to: SearchTally, from: SearchTally): void {
  to.transitions += from.transitions;
  from.counts.forEach((count, bit) => {
    to.counts[bit] += count;
    const [sighting, best] = [from.sightings[bit], to.sightings[bit]];
    if (sighting != null && (best == null || isBefore(store, sighting, best))) to.sightings[bit] = sighting;
  });
}
