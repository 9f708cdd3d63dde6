/** What a search needs of the thing it searches. */

/**
 * States, as vectors of `stride` bytes, and numbered transitions between them. One state is loaded at a time.
 */
export interface StateSpace {
  /** Bytes of a state; a multiple of 4. */
  readonly stride: number;
  /** Transitions have numbers from 0 to this - 1; of a state, not all can be taken. */
  readonly transitions: number;
  /** Levels after which a search ends; infinite where it ends when nothing is new. */
  readonly levels: number;
  /** Makes the first state the current one. */
  begin(): void;
  /** Makes the state of that vector the current one. */
  load(from: Uint8Array, offset: number): void;
  /** The same, for the vector that was loaded last. */
  reload(from: Uint8Array, offset: number): void;
  /** Takes a transition from the current state, which is on this level. False if it can't be taken. */
  apply(transition: number, level: number): boolean;
  /**
   * Whether a transition that could not be taken has left the current state as it was. Else it must be loaded
   * again.
   */
  readonly isUntouched: boolean;
  /** The finding classes that the last transition showed, as a set of bits. */
  readonly shown: number;
  /**
   * Writes the current state's vector. Equal states, and such as differ in names only, have equal vectors.
   */
  save(to: Uint8Array, offset: number): void;
  /**
   * Checks the current state, which is new, and may spoil it; the classes of what is wrong with it, as a set
   * of bits.
   */
  check(): number;
  /**
   * Transitions from this number on go on with something that was begun; if {@link isUnfinished}, one of them
   * must.
   */
  readonly firstStep: number;
  readonly isUnfinished: boolean;
  /** Classes after which a search does not go on. */
  readonly fatal: number;
}
