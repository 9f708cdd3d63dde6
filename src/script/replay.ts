import { isPrivate } from "./entry.ts";
import { INITIAL_OBSERVATION, type Machine, type Observation, type OpResult } from "./machine.ts";
import type { ReclaimInput } from "./op.ts";
import { formatOp } from "./syntax.ts";
import type { Trace } from "./trace.ts";

/** Where one thing that a machine shows is not what is recorded. */
export interface Difference {
  /** `errno`, `values[1]`, `procs.A.v0[2]`, `mincore.A.v0[3]`, `objs.o0[1]`, or `exception`. */
  readonly field: string;
  readonly expected: string;
  readonly shown: string;
}

/** The first step of a trace at which a machine shows something else. */
export interface Divergence extends Difference {
  /** The trace's id. */
  readonly trace: string;
  /** From 1. */
  readonly step: number;
  readonly op: string;
}

/** What stands for a value, a page, a mapping or a process that one side doesn't show at all ... */
export const ABSENT = "absent";
/** ... and for the mapping or process itself where the other does. */
export const PRESENT = "present";

/** Runs a trace's program on a machine and compares every step. undefined: they agree throughout. */
export function replay(trace: Trace, machine: Machine): Divergence | undefined {
  for (let i = 0; i < trace.steps.length; i++) {
    const recorded = trace.steps[i];
    const difference = replayStep(trace, i, machine);
    if (difference) return { trace: trace.id, step: i + 1, op: formatOp(recorded.op), ...difference };
  }
  return undefined;
}

function replayStep(trace: Trace, index: number, machine: Machine): Difference | undefined {
  const recorded = trace.steps[index];
  try {
    const result = machine.execute(recorded.op, index + 1, recordedReclaim(trace, index));
    return resultDifference(recorded, result) ?? observationDifference(recorded, machine.observe());
  } catch (error) {
    return { field: "exception", expected: "none", shown: String(error) };
  }
}

/**
 * The input of a step that is a partial reclaim: which pages to take is the kernel's own choice, so the
 * record's is taken. A thorough reclaim, and every other op, has none.
 */
export function recordedReclaim(trace: Trace, index: number): ReclaimInput | undefined {
  if (trace.steps[index].op.kind !== "reclaim" || trace.config.reclaim_rounds !== 0) return undefined;
  return leftMemory(trace.steps[index - 1] ?? INITIAL_OBSERVATION, trace.steps[index]);
}

/** The pages that were in memory before and are not after, of objects and of private memory. */
export function leftMemory(before: Observation, after: Observation): ReclaimInput {
  const objs: Record<string, number[]> = {};
  for (const [obj, letters] of Object.entries(before.objs)) {
    const left = [...letters].flatMap((letter, page) =>
      letter === "R" && after.objs[obj][page] !== "R" ? [page] : [],
    );
    if (left.length > 0) objs[obj] = left;
  }
  const mapped: { proc: string; mapping: string; page: number }[] = [];
  for (const [proc, mappings] of Object.entries(before.procs)) {
    for (const [mapping, entries] of Object.entries(mappings)) {
      const incore = before.mincore[proc][mapping];
      const entriesAfter = after.procs[proc][mapping];
      const incoreAfter = after.mincore[proc][mapping];
      for (let page = 0; page < entries.length; page++) {
        const wasIn = isPrivateInMemory(entries[page], incore[page]);
        if (wasIn && !isPrivateInMemory(entriesAfter[page], incoreAfter[page])) {
          mapped.push({ proc, mapping, page });
        }
      }
    }
  }
  return { objs, mapped };
}

/** Whether a private page is in memory: mapped, or unmapped and still in the swap cache. */
function isPrivateInMemory(entry: string, incore: string): boolean {
  return isPrivate(entry) && incore === "1";
}

function resultDifference(recorded: OpResult, shown: OpResult): Difference | undefined {
  if (recorded.errno !== shown.errno) {
    return { field: "errno", expected: recorded.errno, shown: shown.errno };
  }
  const count = Math.max(recorded.values.length, shown.values.length);
  for (let i = 0; i < count; i++) {
    if (recorded.values[i] === shown.values[i]) continue;
    const difference = { expected: textOf(recorded.values[i]), shown: textOf(shown.values[i]) };
    if (difference.expected !== difference.shown) return { field: `values[${i}]`, ...difference };
  }
  return undefined;
}

function observationDifference(recorded: Observation, shown: Observation): Difference | undefined {
  return (
    mappingsDifference("procs", recorded.procs, shown.procs) ??
    mappingsDifference("mincore", recorded.mincore, shown.mincore) ??
    pagesDifference("objs", recorded.objs, shown.objs)
  );
}

type Pages = readonly string[] | string;

function mappingsDifference(
  path: string,
  recorded: Readonly<Record<string, Readonly<Record<string, Pages>>>>,
  shown: Readonly<Record<string, Readonly<Record<string, Pages>>>>,
): Difference | undefined {
  for (const proc in recorded) {
    if (shown[proc] === undefined) return absence(`${path}.${proc}`, "shown");
    const difference = pagesDifference(path, recorded[proc], shown[proc], proc);
    if (difference) return difference;
  }
  for (const proc in shown) if (recorded[proc] === undefined) return absence(`${path}.${proc}`, "expected");
  return undefined;
}

/** The hot loop of a replay: text is made only for what differs. */
function pagesDifference(
  path: string,
  recorded: Readonly<Record<string, Pages>>,
  shown: Readonly<Record<string, Pages>>,
  proc?: string,
): Difference | undefined {
  const fieldOf = (name: string) => (proc === undefined ? `${path}.${name}` : `${path}.${proc}.${name}`);
  for (const name in recorded) {
    const expected = recorded[name];
    const actual = shown[name];
    if (expected === actual) continue;
    if (actual === undefined) return absence(fieldOf(name), "shown");
    const count = Math.max(expected.length, actual.length);
    for (let page = 0; page < count; page++) {
      if (expected[page] !== actual[page]) {
        const field = `${fieldOf(name)}[${page}]`;
        return { field, expected: expected[page] ?? ABSENT, shown: actual[page] ?? ABSENT };
      }
    }
  }
  for (const name in shown) if (recorded[name] === undefined) return absence(fieldOf(name), "expected");
  return undefined;
}

function absence(field: string, from: "expected" | "shown"): Difference {
  const [expected, shown] = from === "shown" ? [PRESENT, ABSENT] : [ABSENT, PRESENT];
  return { field, expected, shown };
}

function textOf(value: number | bigint | undefined): string {
  return value === undefined ? ABSENT : String(value);
}
