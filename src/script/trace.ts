import type { Observation, OpResult } from "./machine.ts";
import type { Op } from "./op.ts";
import { parseOp } from "./parse.ts";
import { Scope } from "./scope.ts";
import { type Place, ScriptError } from "./script-error.ts";
import { formatOp } from "./syntax.ts";

/** How the recorded kernel was configured, by the kernel's own names. */
export type TraceConfig = Readonly<Record<string, boolean | number | string>>;

/** Which machine a trace comes from. */
export interface TraceHeader {
  readonly id: string;
  readonly kernel: string;
  readonly config: TraceConfig;
}

/** One op of a trace, what it returned, and what the machine showed after it. */
export interface TraceStep extends OpResult, Observation {
  readonly op: Op;
}

/** A recorded trace: the format is told in test/fixtures/traces/README.md. */
export interface Trace extends TraceHeader {
  /** Set where the kernel's choice of pages to reclaim was another in another run. */
  readonly unrepeatable?: unknown;
  readonly steps: readonly TraceStep[];
}

/**
 * Reads one line of a trace file.
 *
 * @throws {ScriptError} at `place` when the line is no whole trace, or names what its program has not made
 */
export function parseTrace(text: string, place: Place): Trace {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    const problem = `this line is no JSON: ${(error as Error).message}`;
    throw new ScriptError(place, { problem, mend: "get the file again, it may have been cut short" });
  }
  const reader = new Reader(place);
  const trace = reader.object(json, "the trace");
  const id = reader.string(trace.id, "id");
  const kernel = reader.string(trace.kernel, "kernel");
  const config = reader.object(trace.config, "config") as TraceConfig;
  for (const [name, value] of Object.entries(config)) {
    if (!["boolean", "number", "string"].includes(typeof value)) {
      reader.fail(`config.${name}`, "true, false, a number or a string", value);
    }
  }
  const scope = new Scope();
  const steps = reader.array(trace.steps, "steps").map((step, index) => {
    return parseStep(step, scope, { ...place, within: `trace ${id}, step ${index + 1}` });
  });
  const { unrepeatable } = trace;
  return { id, kernel, config, ...(unrepeatable === undefined ? {} : { unrepeatable }), steps };
}

function parseStep(json: unknown, scope: Scope, place: Place): TraceStep {
  const reader = new Reader(place);
  const step = reader.object(json, "the step");
  const op = parseOp(reader.string(step.op, "op"), place);
  const errno = reader.string(step.errno, "errno");
  const problem = scope.nameProblem(op);
  if (problem) {
    throw new ScriptError(place, { ...problem, problem: `${problem.problem} ("${formatOp(op)}")` });
  }
  scope.apply(op, errno);
  const { values, procs, mincore, objs } = step;
  for (const value of reader.array(values, "values")) {
    if (typeof value !== "number") reader.fail("values", "numbers", value);
  }
  for (const [proc, mappings] of Object.entries(reader.object(procs, "procs"))) {
    for (const [mapping, entries] of Object.entries(reader.object(mappings, `procs.${proc}`))) {
      for (const entry of reader.array(entries, `procs.${proc}.${mapping}`)) {
        if (typeof entry !== "string") reader.fail(`procs.${proc}.${mapping}`, "strings", entry);
      }
    }
  }
  for (const [proc, mappings] of Object.entries(reader.object(mincore, "mincore"))) {
    for (const [mapping, digits] of Object.entries(reader.object(mappings, `mincore.${proc}`))) {
      reader.string(digits, `mincore.${proc}.${mapping}`);
    }
  }
  for (const [obj, letters] of Object.entries(reader.object(objs, "objs"))) {
    reader.string(letters, `objs.${obj}`);
  }
  return { op, errno, values, procs, mincore, objs } as TraceStep;
}

/** Takes JSON for what the format says it is, or fails at the place. */
class Reader {
  readonly #place: Place;

  constructor(place: Place) {
    this.#place = place;
  }

  string(value: unknown, field: string): string {
    return typeof value === "string" ? value : this.fail(field, "a string", value);
  }

  array(value: unknown, field: string): readonly unknown[] {
    return Array.isArray(value) ? value : this.fail(field, "an array", value);
  }

  object(value: unknown, field: string): Readonly<Record<string, unknown>> {
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : this.fail(field, "an object", value);
  }

  fail(field: string, expected: string, found: unknown): never {
    const shown = found === undefined ? "is missing" : `should be ${expected}, not ${JSON.stringify(found)}`;
    throw new ScriptError(this.#place, {
      problem: `${field} ${shown}`,
      mend: "see the trace format in test/fixtures/traces/README.md",
    });
  }
}

/** A trace as the line that {@link parseTrace} reads, without the line's end. */
export function formatTrace({ id, kernel, config, unrepeatable, steps }: Trace): string {
  const header = JSON.stringify({ id, kernel, config });
  const flag = unrepeatable === undefined ? "" : `,"unrepeatable":${JSON.stringify(unrepeatable)}`;
  return `${header.slice(0, -1)},"steps":[${steps.map(formatStep).join(",")}]${flag}}`;
}

function formatStep({ op, errno, values, procs, mincore, objs }: TraceStep): string {
  const head = JSON.stringify({ op: formatOp(op), errno }).slice(0, -1);
  const tail = JSON.stringify({ procs, mincore, objs }).slice(1);
  return `${head},"values":[${values.join(",")}],${tail}`; // JSON.stringify refuses a bigint
}
