import type { Op, ReclaimInput } from "./op.ts";

/** What an op returned: `errno` is "" when it succeeded, else the error's or the signal's name. */
export interface OpResult {
  readonly errno: string;
  /** What `read` and `readfd` loaded: the first u64 of each page, as a decimal. */
  readonly values: readonly (number | bigint)[];
}

/**
 * What a machine shows after a step, in the recorded format's own terms (test/fixtures/traces/README.md):
 * `procs[P][V]` has an entry a page (bits 55-63 of pagemap in hex, "-" where unmapped, ":TYPE.OFFSET"
 * after a swap entry that is on no device), `mincore[P][V]` and `objs[O]` a letter a page.
 */
export interface Observation {
  readonly procs: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
  readonly mincore: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly objs: Readonly<Record<string, string>>;
}

const FIRST_MAPPING = 0x1000_0000_0000;
const MAPPING_DISTANCE = 16 * 1024 * 1024;

/** Where the mapping that is created as number `index` (from 0) is, on every machine. */
export function mappingAddress(index: number): number {
  return FIRST_MAPPING + index * MAPPING_DISTANCE;
}

/** What every machine shows before the first op. */
export const INITIAL_OBSERVATION: Observation = { procs: { A: {} }, mincore: { A: {} }, objs: {} };

/** Something that op programs run on: the model, or a running kernel. */
export interface Machine {
  /**
   * Runs one op. `step` counts from 1: it is the value that `write` and `writefd` store.
   * `reclaimed` is given for a `reclaim` whose choice of pages is an input (a recorded partial one).
   */
  execute(op: Op, step: number, reclaimed?: ReclaimInput): OpResult;
  /** What pagemap, mincore and the objects show now. Changes nothing. */
  observe(): Observation;
  /** Gives back what the machine holds. */
  close(): void;
}
