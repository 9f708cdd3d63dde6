/**
 * The states that a search has seen, shared by its workers: vectors in a row, how each was first reached, and
 * a hash table to find them by. States of one level lie together, so what is to be expanded next is a range
 * of them.
 *
 * Nothing here depends on which worker comes first, but for the order of states within a level: of two ways
 * to reach a state on one level, the one from the parent with the lesser {@link StateStore.rank} is kept.
 */

/** Where control words are in their array. */
const COUNT = 0;
const NEXT = 1;
const LEVEL = 2;
const LEVEL_START = 3;
const LEVEL_END = 4;
const ARRIVED = 5;
const EPOCH = 6;
const STOP = 7;
const FULL = 8;
const TAKEN = 9;
const GO_ON = 10;
const CONTROL_WORDS = 16;

const LOCKS = 1024;
/** How many states a worker takes to expand at a time. */
const CHUNK_STATES = 64;
const NO_PARENT = -1;
/** In the table: somebody is just writing the state that goes here. */
const BUSY = -1;

export interface StoreBuffers {
  readonly stride: number;
  readonly capacity: number;
  readonly control: SharedArrayBuffer;
  readonly vectors: SharedArrayBuffer;
  readonly parents: SharedArrayBuffer;
  readonly moves: SharedArrayBuffer;
  readonly levels: SharedArrayBuffer;
  readonly table: SharedArrayBuffer;
  readonly locks: SharedArrayBuffer;
}

/** Bytes that a state takes. */
export function bytesPerState(stride: number): number {
  // Vector, parent, move, level, and up to four places in the table.
  return stride + 4 + 2 + 2 + 16;
}

function tableSize(capacity: number): number {
  return 2 ** Math.ceil(Math.log2(capacity * 2));
}

export class StateStore {
  readonly buffers: StoreBuffers;
  readonly stride: number;
  readonly capacity: number;
  readonly vectors: Uint8Array;
  readonly parents: Int32Array;
  readonly moves: Uint16Array;
  readonly levels: Uint16Array;
  readonly control: Int32Array;
  readonly #words: Int32Array;
  readonly #table: Int32Array;
  readonly #locks: Int32Array;
  readonly #strideWords: number;

  constructor(buffers: StoreBuffers) {
    this.buffers = buffers;
    this.stride = buffers.stride;
    this.capacity = buffers.capacity;
    this.vectors = new Uint8Array(buffers.vectors);
    this.#words = new Int32Array(buffers.vectors);
    this.parents = new Int32Array(buffers.parents);
    this.moves = new Uint16Array(buffers.moves);
    this.levels = new Uint16Array(buffers.levels);
    this.control = new Int32Array(buffers.control);
    this.#table = new Int32Array(buffers.table);
    this.#locks = new Int32Array(buffers.locks);
    this.#strideWords = buffers.stride / 4;
  }

  /** Room for so many states, reserved and not touched. */
  static create(stride: number, capacity: number): StateStore {
    return new StateStore({
      stride,
      capacity,
      control: new SharedArrayBuffer(CONTROL_WORDS * 4),
      vectors: new SharedArrayBuffer(stride * capacity),
      parents: new SharedArrayBuffer(4 * capacity),
      moves: new SharedArrayBuffer(2 * capacity),
      levels: new SharedArrayBuffer(2 * capacity),
      table: new SharedArrayBuffer(4 * tableSize(capacity)),
      locks: new SharedArrayBuffer(4 * LOCKS),
    });
  }

  get count(): number {
    return Atomics.load(this.control, COUNT);
  }

  /** The level that is being expanded. */
  get level(): number {
    return Atomics.load(this.control, LEVEL);
  }

  /** Transitions taken so far, as workers have told. */
  get taken(): number {
    return Atomics.load(this.control, TAKEN) >>> 0;
  }

  addTaken(transitions: number): void {
    Atomics.add(this.control, TAKEN, transitions);
  }

  /** How much of the level has been handed out: 0 to 1. */
  get progress(): number {
    const start = this.control[LEVEL_START];
    const end = this.control[LEVEL_END];
    return end === start ? 1 : Math.min(1, (Atomics.load(this.control, NEXT) - start) / (end - start));
  }

  stop(): void {
    Atomics.store(this.control, STOP, 1);
  }

  get isStopped(): boolean {
    return Atomics.load(this.control, STOP) === 1;
  }

  /** Whether a state was refused because there was no room. */
  get isFull(): boolean {
    return Atomics.load(this.control, FULL) === 1;
  }

  /** The first state of the next chunk to expand; -1 if the level has no more, or the search is to stop. */
  takeChunk(): number {
    if (this.isStopped || this.isFull) return -1;
    const first = Atomics.add(this.control, NEXT, CHUNK_STATES);
    return first < this.control[LEVEL_END] ? first : -1;
  }

  chunkEnd(first: number): number {
    return Math.min(first + CHUNK_STATES, this.control[LEVEL_END]);
  }

  /**
   * Waits until all workers have come to the end of the level; then there is the next. False if there is
   * none: nothing is new, or the search is to stop.
   */
  nextLevel(workers: number): boolean {
    const { control } = this;
    const epoch = Atomics.load(control, EPOCH);
    if (Atomics.add(control, ARRIVED, 1) + 1 < workers) Atomics.wait(control, EPOCH, epoch);
    else {
      // The last one decides, for all: a stop that comes a moment later must not part them.
      const isStopping = this.isStopped || this.isFull;
      if (!isStopping) {
        control[LEVEL]++;
        control[LEVEL_START] = control[LEVEL_END];
        control[LEVEL_END] = control[COUNT];
        control[NEXT] = control[LEVEL_START];
      }
      control[GO_ON] = !isStopping && control[LEVEL_END] > control[LEVEL_START] ? 1 : 0;
      Atomics.store(control, ARRIVED, 0);
      Atomics.add(control, EPOCH, 1);
      Atomics.notify(control, EPOCH);
    }
    return Atomics.load(control, GO_ON) === 1;
  }

  hash(words: Int32Array, at: number): number {
    let h = 0x9e37_79b9 | 0;
    for (let i = at; i < at + this.#strideWords; i++) {
      h = Math.imul(h ^ words[i], 0x85eb_ca6b);
      h ^= h >>> 15;
      h = Math.imul(h, 0xc2b2_ae35);
      h ^= h >>> 13;
    }
    return h;
  }

  hashOf(state: number): number {
    return this.hash(this.#words, state * this.#strideWords) >>> 0;
  }

  #isEqual(state: number, words: Int32Array): boolean {
    const at = state * this.#strideWords;
    for (let i = 0; i < this.#strideWords; i++) if (this.#words[at + i] !== words[i]) return false;
    return true;
  }

  /**
   * Adds a state that was reached from `parent` by `move`. Returns its number if it is new; -1 if it was
   * known (or there is no room). The first state has parent -1.
   */
  add(words: Int32Array, parent: number, move: number): number {
    const mask = this.#table.length - 1;
    for (let place = this.hash(words, 0) & mask; ; ) {
      const found = Atomics.load(this.#table, place);
      if (found === BUSY) continue;
      if (found !== 0) {
        if (this.#isEqual(found - 1, words)) {
          this.#offerParent(found - 1, parent, move);
          return -1;
        }
        place = (place + 1) & mask;
        continue;
      }
      if (Atomics.compareExchange(this.#table, place, 0, BUSY) !== 0) continue;
      const state = Atomics.add(this.control, COUNT, 1);
      if (state >= this.capacity) {
        Atomics.sub(this.control, COUNT, 1);
        Atomics.store(this.control, FULL, 1);
        Atomics.store(this.#table, place, 0);
        return -1;
      }
      this.#words.set(words, state * this.#strideWords);
      this.parents[state] = parent;
      this.moves[state] = move;
      this.levels[state] = parent === NO_PARENT ? 0 : this.levels[parent] + 1;
      Atomics.store(this.#table, place, state + 1);
      return state;
    }
  }

  /**
   * Another way to a state of the level that is coming to be: kept if its parent's rank, or its move, is
   * less.
   */
  #offerParent(state: number, parent: number, move: number): void {
    if (parent === NO_PARENT || this.levels[state] !== this.levels[parent] + 1) return;
    if (this.parents[state] === parent && this.moves[state] <= move) return;
    const lock = state % LOCKS;
    while (Atomics.compareExchange(this.#locks, lock, 0, 1) !== 0);
    const order = this.compareStates(parent, this.parents[state]);
    if (order < 0 || (order === 0 && move < this.moves[state])) {
      this.parents[state] = parent;
      this.moves[state] = move;
    }
    Atomics.store(this.#locks, lock, 0);
  }

  /** An order of states that depends on what they are alone: less than 0 if the first comes first. */
  compareStates(a: number, b: number): number {
    if (a === b) return 0;
    const [i, j] = [a * this.#strideWords, b * this.#strideWords];
    for (let n = 0; n < this.#strideWords; n++)
      if (this.#words[i + n] !== this.#words[j + n]) return this.#words[i + n] - this.#words[j + n];
    return 0;
  }

  /** The moves by which a state was reached from the first one. */
  pathTo(state: number): number[] {
    const path: number[] = [];
    for (let at = state; this.parents[at] !== NO_PARENT; at = this.parents[at]) path.push(this.moves[at]);
    return path.reverse();
  }

  /** What a checkpoint keeps: vectors, parents, moves, levels. */
  parts(): Uint8Array[] {
    const { count } = this;
    return [
      new Uint8Array(this.buffers.vectors, 0, count * this.stride),
      new Uint8Array(this.buffers.parents, 0, count * 4),
      new Uint8Array(this.buffers.moves, 0, count * 2),
      new Uint8Array(this.buffers.levels, 0, count * 2),
    ];
  }

  /** Puts back {@link parts}, and the control words beside them. False if there are too few bytes. */
  restore(bytes: Uint8Array, states: number, control: readonly number[]): boolean {
    let from = 0;
    this.control[COUNT] = states;
    for (const part of this.parts()) {
      if (from + part.length > bytes.length) return false;
      part.set(bytes.subarray(from, from + part.length));
      from += part.length;
    }
    this.control.set(control);
    for (const word of [ARRIVED, STOP, FULL]) this.control[word] = 0;
    const mask = this.#table.length - 1;
    for (let state = 0; state < states; state++) {
      let place = this.hashOf(state) & mask;
      while (this.#table[place] !== 0) place = (place + 1) & mask;
      this.#table[place] = state + 1;
    }
    return true;
  }

  /** Makes what has been added so far the first level. */
  startLevel(): void {
    this.control[LEVEL_END] = this.control[COUNT];
  }
}
