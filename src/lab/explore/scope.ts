/** What an exploration covers: how many of what, which operations, how deep. */

import { ConfigError, type KernelConfig, makeConfig } from "../../model/index.ts";

/** The operations that a program is made of, by the op language's names where it has them. */
export const OP_KINDS = [
  "read",
  "write",
  "pageout",
  "dontneed",
  "willneed",
  "fork",
  "exit",
  "punch",
  "readfd",
  "writefd",
  "reclaim",
  "swapoff",
  "swapon",
] as const;
export type OpKind = (typeof OP_KINDS)[number];

export interface ExploreScope {
  readonly profile: string;
  /** Switches set otherwise than in the profile. */
  readonly config: Partial<KernelConfig>;
  /**
   * Processes at the most; and those that map the object at first, the others' parent and those it has
   * forked.
   */
  readonly processes: number;
  readonly sharers: number;
  /** Pages of the object. */
  readonly pages: number;
  /** Operations in a program; where tasks are interleaved, operations before them. */
  readonly depth: number;
  readonly ops: readonly OpKind[];
  /** Pages that fit in swap; as many as the object has unless given. */
  readonly swapPages: number;
  /** Whether page-out frees a page at once, as with zram; else it is a disk. */
  readonly device: "zram" | "disk";
  /**
   * Accesses and page-outs that are interleaved, stage by stage; and calls that come between. None: programs
   * only.
   */
  readonly accesses: number;
  readonly pageOuts: number;
  readonly calls: number;
}

export const DEFAULT_SCOPE: ExploreScope = {
  profile: "rfc",
  config: {},
  processes: 2,
  sharers: 1,
  pages: 2,
  depth: 6,
  ops: OP_KINDS,
  swapPages: 2,
  device: "zram",
  accesses: 0,
  pageOuts: 0,
  calls: 0,
};

/** All interleavings of two faults with a page-out, and a call (zap, fork, punch, read, ...) between. */
export const DEFAULT_STAGES: ExploreScope = {
  ...DEFAULT_SCOPE,
  sharers: 2,
  pages: 1,
  depth: 2,
  swapPages: 1,
  accesses: 2,
  pageOuts: 1,
  calls: 1,
};

const LIMITS = {
  processes: [1, 4],
  sharers: [1, 4],
  pages: [1, 4],
  depth: [0, 64],
  swapPages: [1, 64],
  accesses: [0, 3],
  pageOuts: [0, 2],
  calls: [0, 3],
} as const;

/** Checks a scope. Throws a ConfigError that names what can't be, and what could. */
export function checkScope(scope: ExploreScope): ExploreScope {
  for (const [name, [least, most]] of Object.entries(LIMITS)) {
    const value = scope[name as keyof typeof LIMITS];
    if (!Number.isInteger(value) || value < least || value > most)
      throw new ConfigError(`scope: ${name} ${value} must be an integer from ${least} to ${most}`);
  }
  for (const op of scope.ops)
    if (!OP_KINDS.includes(op))
      throw new ConfigError(`scope: unknown op "${op}": there are ${OP_KINDS.join(", ")}`);
  if (scope.sharers > scope.processes)
    throw new ConfigError(`scope: ${scope.sharers} sharers are more than ${scope.processes} processes`);
  if (scope.ops.length === 0) throw new ConfigError(`scope: no ops: choose some of ${OP_KINDS.join(", ")}`);
  if (scope.device !== "zram" && scope.device !== "disk")
    throw new ConfigError(`scope: device "${scope.device}" must be zram or disk`);
  const config = makeConfig(scope.profile, scope.config);
  if (config.page_cluster !== 0)
    throw new ConfigError(
      "scope: page_cluster must be 0: what readahead reads depends on the numbers of slots",
    );
  return scope;
}
