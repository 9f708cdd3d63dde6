/**
 * The op language: programs of memory operations, machines that run them, and recorded traces to compare
 * a machine with. Runs anywhere: no file, no printing.
 *
 * @packageDocumentation
 */
export { type Comparison, compare, type Pair } from "./compare.ts";
export { describeEntry, ENTRY_LEGEND, entrySymbol, isPresent, isSwap, isUffdWp } from "./entry.ts";
export { INITIAL_OBSERVATION, type Machine, type Observation, type OpResult } from "./machine.ts";
export { createModelMachine, type ModelMachineOptions } from "./model-machine.ts";
export type { Advice, Op, Protection, ReclaimInput } from "./op.ts";
export { type Program, parseOp, parseProgram } from "./parse.ts";
export { type Difference, type Divergence, replay } from "./replay.ts";
export { runProgram } from "./run.ts";
export { Scope } from "./scope.ts";
export { type Place, type Problem, ScriptError } from "./script-error.ts";
export { type MakeMachine, shrink } from "./shrink.ts";
export { formatOp } from "./syntax.ts";
export { stepLines, TABLE_LEGEND, type TableLine } from "./table.ts";
export {
  formatTrace,
  parseTrace,
  type Trace,
  type TraceConfig,
  type TraceHeader,
  type TraceStep,
} from "./trace.ts";
