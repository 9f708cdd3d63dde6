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
    reader.within = `trace ${id}, step ${index + 1}`;
    return parseStep(step, scope, reader);
  });
  const { unrepeatable } = trace;
  return { id, kernel, config, ...(unrepeatable === undefined ? {} : { unrepeatable }), steps };
}

function parseStep(json: unknown, scope: Scope, reader: Reader): TraceStep {
  const { op: text, errno, values, procs, mincore, objs } = reader.object(json, "the step");
  const op = parseOp(reader.string(text, "op"), reader.place);
  const problem = scope.nameProblem(op);
  if (problem) {
    throw new ScriptError(reader.place, { ...problem, problem: `${problem.problem} ("${formatOp(op)}")` });
  }
  scope.apply(op, reader.string(errno, "errno"));
  for (const value of reader.array(values, "values")) {
    if (typeof value !== "number") reader.fail("values", "numbers", value);
  }
  const processes = reader.object(procs, "procs");
  for (const proc in processes) {
    const mappings = reader.object(processes[proc], "procs", proc);
    for (const mapping in mappings) {
      for (const entry of reader.array(mappings[mapping], "procs", proc, mapping)) {
        if (typeof entry !== "string") reader.fail(`procs.${proc}.${mapping}`, "strings", entry);
      }
    }
  }
  const incore = reader.object(mincore, "mincore");
  for (const proc in incore) {
    const mappings = reader.object(incore[proc], "mincore", proc);
    for (const mapping in mappings) reader.string(mappings[mapping], "mincore", proc, mapping);
  }
  const objects = reader.object(objs, "objs");
  for (const obj in objects) reader.string(objects[obj], "objs", obj);
  return { op, errno, values, procs, mincore, objs } as TraceStep;
}

/** Takes JSON for what the format says it is, or fails, naming the field by its path. */
class Reader {
  /** What part of the trace is being read. */
  within: string | undefined;
  readonly #place: Place;

  constructor(place: Place) {
    this.#place = place;
  }

  get place(): Place {
    return this.within === undefined ? this.#place : { ...this.#place, within: this.within };
  }

  string(value: unknown, ...path: string[]): string {
    return typeof value === "string" ? value : this.fail(path.join("."), "a string", value);
  }

  array(value: unknown, ...path: string[]): readonly unknown[] {
    return Array.isArray(value) ? value : this.fail(path.join("."), "an array", value);
  }

  object(value: unknown, ...path: string[]): Readonly<Record<string, unknown>> {
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : this.fail(path.join("."), "an object", value);
  }

  fail(field: string, expected: string, found: unknown): never {
    const shown = found === undefined ? "is missing" : `should be ${expected}, not ${JSON.stringify(found)}`;
    throw new ScriptError(this.place, {
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
