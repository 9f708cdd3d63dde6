/**
 * The lab: experiments on the model and, where that can be, on the running kernel. Those on the running
 * kernel alone are
 * in `ptemark/lab/live`.
 *
 * @packageDocumentation
 */
export { type Accuracy, type AccuracyOptions, judgeTrace, measureAccuracy, shareRight } from "./accuracy.ts";
export { MODEL_MECHANISMS, type ModelMechanism, measureModelAccuracy } from "./accuracy-mechanisms.ts";
export { describeAccuracy } from "./accuracy-report.ts";
export { type AccuracySuite, type AccuracySuiteOptions, runAccuracySuite } from "./accuracy-suite.ts";
export { type BenchOptions, benchPagemap, benchSwapIn } from "./bench.ts";
export { type Choices, inAllWays, RandomChoices, ReplayChoices, ReplayError } from "./choices.ts";
export { type Claim, judgeClaims, type Verdict } from "./claims.ts";
export { describeClaims, type MeasuredOn } from "./claims-report.ts";
export { type ClaimsOptions, type ClaimsSuite, runClaims } from "./claims-suite.ts";
export type { BarPlot, Block, LinePlot, Plot } from "./document.ts";
export {
  type ErrorCause,
  FALSE_NEGATIVE_CAUSES,
  FALSE_POSITIVE_CAUSES,
  type Mechanism,
} from "./error-cause.ts";
export { CLASSES, type ClassName, type FindingClass, type FindingKind } from "./explore/causes.ts";
export {
  type Estimate,
  type Exploration,
  type ExploreOptions,
  estimate,
  explore,
} from "./explore/explore.ts";
export { type Finding, mergeFindings } from "./explore/findings.ts";
export { preludeOf } from "./explore/names.ts";
export { DEFAULT_SCOPE, DEFAULT_STAGES, type ExploreScope, OP_KINDS, type OpKind } from "./explore/scope.ts";
export type { Shard } from "./explore/search.ts";
export { type FaultAroundRow, measureFaultAround } from "./fault-around-cost.ts";
export {
  type FunctionalResult,
  type FunctionalRow,
  formatFunctionalRow,
  runFunctionalTest,
} from "./functional.ts";
export { toHtml } from "./html.ts";
export { toMarkdown } from "./markdown.ts";
export { type MarkerWork, measureMarkerWork } from "./marker-work.ts";
export { measureModelPagemap, type PagemapCost } from "./pagemap-cost.ts";
export { describePagemap, type PagemapBench } from "./pagemap-report.ts";
export { judgeRecordedTraces, type RecordedAccuracy } from "./recorded-accuracy.ts";
export { costOf, REFERENCE_COSTS, type ReferenceCost } from "./reference-costs.ts";
export { runScenario, SCENARIOS, type Scenario, type ScenarioOutcome } from "./scenarios.ts";
export {
  PATCHES,
  type Patch,
  type PatchReason,
  reasonsFor,
  runSubset,
  type SeriesFinding,
  type SubsetResult,
  type SubsetVerdict,
  subsets,
  verdictOf,
} from "./series.ts";
export {
  type Contender,
  interleave,
  type Ratio,
  ratioOf,
  type Series,
  type Summary,
  summarise,
} from "./statistics.ts";
export { type ModelSwapIn, measureModelSwapIn, type SwapInRow } from "./swap-in.ts";
export { describeSwapIn, type SwapInBench } from "./swap-in-report.ts";
export {
  WORKLOAD_DEFAULTS,
  type Workload,
  WorkloadError,
  type WorkloadOptions,
  workloadProgram,
} from "./workload.ts";
export { WORKLOADS, workloadNamed } from "./workloads.ts";
