/** Exploring: all programs and all interleavings within a scope. */
export { CLASSES } from "./causes.ts";
export { loadSearch, saveSearch } from "./checkpoint.ts";
export { type Exploration, estimate, explore, tellExploration } from "./explore.ts";
export { type Finding, mergeFindings } from "./findings.ts";
export { KernelSpace } from "./kernel-space.ts";
export { NamedRun, preludeOf } from "./names.ts";
export { ParallelSearch } from "./parallel.ts";
export {
  checkScope,
  DEFAULT_SCOPE,
  DEFAULT_STAGES,
  type ExploreScope,
  OP_KINDS,
  type OpKind,
} from "./scope.ts";
export type { Shard } from "./search.ts";
export { bytesPerState } from "./store.ts";
export { walk } from "./walk.ts";
