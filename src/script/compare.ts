/** Two machines on one program: a running kernel and the model of it, say. Both can be run as often as it takes. */

import type { Machine } from "./machine.ts";
import type { Op } from "./op.ts";
import { type Divergence, replay } from "./replay.ts";
import { Scope } from "./scope.ts";
import { withoutNeedless } from "./shrink.ts";
import { formatOp } from "./syntax.ts";
import type { Trace, TraceHeader, TraceStep } from "./trace.ts";

export interface Pair {
  /** What a trace of the reference says of it. */
  readonly header: Pick<TraceHeader, "kernel" | "config">;
  /** Makes a machine that shows how it should be. */
  readonly reference: () => Machine;
  /** Makes the machine to be compared, for a program of that trace's size. */
  readonly subject: (trace: Trace) => Machine;
}

export interface Comparison {
  /** What the reference showed. */
  readonly trace: Trace;
  readonly divergence?: Divergence & {
    /** The shortest program with such a divergence, run anew on both machines. */
    readonly shortest: readonly string[];
    /** The same program, run again, did not diverge there: one of the machines makes choices of its own. */
    readonly unrepeatable: boolean;
  };
}

/**
 * Runs a program on the reference, and compares the subject with what that showed after every step. An op that names
 * what there is not, since an earlier one failed, is left out. A divergence is cut down to a shortest program.
 */
export function compare(id: string, ops: readonly Op[], pair: Pair): Comparison {
  const first = run(id, ops, pair);
  if (first.divergence === undefined) return { trace: first.trace };
  const { op, field } = first.divergence;
  const key = keyOf(first.divergence);
  const before = first.trace.steps.slice(0, first.divergence.step - 1).map((step) => step.op);
  const last = first.trace.steps[first.divergence.step - 1].op;
  const diverges = (candidate: readonly Op[]) => {
    const { divergence, trace } = run(id, [...candidate, last], pair);
    return divergence?.step === trace.steps.length && divergence.op === op && keyOf(divergence) === key;
  };
  const again = run(id, [...before, last], pair).divergence;
  const unrepeatable = again?.op !== op || again.field !== field;
  const kept = unrepeatable ? before : withoutNeedless(before, diverges);
  return {
    trace: first.trace,
    divergence: { ...first.divergence, shortest: [...kept, last].map(formatOp), unrepeatable },
  };
}

/** Where in what is shown a divergence is; which page it is may change as the program gets shorter. */
function keyOf({ field }: Divergence): string {
  return field.split(/[.[]/, 1)[0];
}

function run(id: string, ops: readonly Op[], { header, reference, subject }: Pair) {
  const trace: Trace = { id, ...header, steps: record(ops, reference()) };
  const machine = subject(trace);
  try {
    return { trace, divergence: replay(trace, machine) };
  } finally {
    machine.close();
  }
}

function record(ops: readonly Op[], machine: Machine): readonly TraceStep[] {
  const scope = new Scope();
  const steps: TraceStep[] = [];
  try {
    for (const op of ops) {
      if (scope.nameProblem(op)) continue;
      const result = machine.execute(op, steps.length + 1);
      scope.apply(op, result.errno);
      steps.push({ op, ...result, ...machine.observe() });
    }
  } finally {
    machine.close();
  }
  return steps;
}
