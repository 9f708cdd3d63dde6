/**
 * The lab: experiments on the model and, where it can be, on the running kernel.
 *
 * @packageDocumentation
 */
export {
  type FunctionalResult,
  type FunctionalRow,
  formatFunctionalRow,
  runFunctionalTest,
} from "./functional.ts";
export {
  type Contender,
  interleave,
  type Ratio,
  ratioOf,
  type Series,
  type Summary,
  summarise,
} from "./statistics.ts";
