import { INITIAL_OBSERVATION, type Machine, type OpResult } from "./machine.ts";
import type { Op, ReclaimInput } from "./op.ts";
import { ABSENT, type Divergence, PRESENT, recordedReclaim } from "./replay.ts";
import { type MappingOrigin, Scope } from "./scope.ts";
import { formatOp } from "./syntax.ts";
import type { Trace } from "./trace.ts";

/** Makes a new machine of the kind that a trace is replayed on. */
export type MakeMachine = () => Machine;

/** A step that may be left out, with everything it was given in the whole program. */
interface Step {
  readonly op: Op;
  readonly number: number;
  readonly reclaimed: ReclaimInput | undefined;
}

/**
 * Cuts a diverging program down to a shortest one that still shows the divergence, as op texts.
 *
 * What the kernel would have shown for a shorter program is not known: only the whole one was recorded.
 * So a shorter program counts as diverging when it puts the machine into the situation that the kernel is
 * known to have been in, and the machine then takes the same wrong turn:
 *
 * - it ends with the op of the diverging step, after which the machine shows the same wrong value;
 * - just before that op, the machine shows of the page concerned (in every process that still maps it,
 *   and in its object) what the kernel showed at that point of the whole program;
 * - every op names only what there is.
 *
 * Ops keep the step numbers, and partial reclaims the choice of pages, that they had in the whole program.
 * Of the result, no op can be left out, nor any two together.
 */
export function shrink(
  trace: Trace,
  divergence: Pick<Divergence, "step" | "field" | "shown">,
  makeMachine: MakeMachine,
): readonly string[] {
  const steps = trace.steps.slice(0, divergence.step).map(({ op }, index): Step => {
    return { op, number: index + 1, reclaimed: recordedReclaim(trace, index) };
  });
  const last = steps[steps.length - 1];
  const before = steps.slice(0, -1);
  const situation = trace.steps[divergence.step - 2] ?? INITIAL_OBSERVATION;
  const views = viewsOfSubject(trace, divergence);

  const diverges: Diverges<Step> = (candidate) => {
    const machine = makeMachine();
    try {
      const scope = new Scope();
      for (const step of candidate) if (!runStep(step, machine, scope)) return false;
      const shownBefore = machine.observe();
      for (const view of views) {
        const shown = lookUp(view, shownBefore);
        if (shown !== undefined && shown !== lookUp(view, situation)) return false;
      }
      return shownAfter(last, machine, scope, divergence.field) === divergence.shown;
    } catch {
      return false; // the machine cannot do this: not the program that we look for
    } finally {
      machine.close();
    }
  };

  const kept = diverges(before) ? withoutNeedless(before, diverges) : before;
  return [...kept, last].map(({ op }) => formatOp(op));
}

type Diverges<T> = (candidate: readonly T[]) => boolean;

/** Leaves out steps until no one can be left out, nor any two together (such as a fork and its exit). */
export function withoutNeedless<T>(steps: readonly T[], diverges: Diverges<T>): readonly T[] {
  let kept = steps;
  for (let size = kept.length >> 1; size > 1; size >>= 1) kept = withoutRuns(kept, size, diverges);
  for (;;) {
    const fewer = withoutRuns(kept, 1, diverges);
    const candidate = fewer.length < kept.length ? fewer : withoutPair(fewer, diverges);
    if (candidate === undefined) return kept;
    kept = candidate;
  }
}

function withoutRuns<T>(steps: readonly T[], size: number, diverges: Diverges<T>): readonly T[] {
  let kept = steps;
  for (let end = kept.length; end > 0; end -= size) {
    const candidate = [...kept.slice(0, Math.max(0, end - size)), ...kept.slice(end)];
    if (diverges(candidate)) kept = candidate;
  }
  return kept;
}

function withoutPair<T>(steps: readonly T[], diverges: Diverges<T>): readonly T[] | undefined {
  for (let first = 0; first < steps.length; first++) {
    for (let second = first + 1; second < steps.length; second++) {
      const candidate = steps.filter((_, index) => index !== first && index !== second);
      if (diverges(candidate)) return candidate;
    }
  }
  return undefined;
}

function runStep({ op, number, reclaimed }: Step, machine: Machine, scope: Scope): OpResult | undefined {
  if (scope.nameProblem(op)) return undefined;
  const result = machine.execute(op, number, reclaimed && restrict(reclaimed, scope));
  scope.apply(op, result.errno);
  return result;
}

/** Without the objects and mappings that the ops left out would have made. */
function restrict({ objs, mapped }: ReclaimInput, scope: Scope): ReclaimInput {
  return {
    objs: Object.fromEntries(Object.entries(objs).filter(([obj]) => scope.hasObject(obj))),
    mapped: mapped.filter(({ proc, mapping }) => scope.mapping(proc, mapping)),
  };
}

/** What the machine shows in the diverging field after the last step. */
function shownAfter(last: Step, machine: Machine, scope: Scope, field: string): string | undefined {
  try {
    const result = runStep(last, machine, scope);
    return result && (lookUp(pathOf(field), { ...result, ...machine.observe() }) ?? ABSENT);
  } catch (error) {
    return String(error);
  }
}

/** The names and the page number in a field such as `procs.A.v0[2]`. */
function pathOf(field: string): string[] {
  return field.split(/[.[\]]+/).filter((name) => name !== "");
}

function lookUp(path: readonly string[], within: unknown): string | undefined {
  let found = within;
  for (const name of path) found = (found as Record<string, unknown> | undefined)?.[name];
  return found === undefined ? undefined : typeof found === "object" ? PRESENT : String(found);
}

/** The pages that a divergence is about: of an object, or of a private mapping and those that came from it. */
interface Subject {
  readonly of: string | MappingOrigin;
  readonly pages: readonly number[];
}

/** Paths to everything in an observation that, before the diverging step, is about the same page. */
function viewsOfSubject(trace: Trace, { step, field }: Pick<Divergence, "step" | "field">): string[][] {
  const before = scopeAfter(trace, step - 1);
  const subject = subjectOf(field, trace.steps[step - 1].op, before, scopeAfter(trace, step));
  if (!subject) return [];
  const views: string[][] = [];
  if (typeof subject.of === "string") {
    for (const page of subject.pages) views.push(["objs", subject.of, String(page)]);
  }
  for (const { proc, mapping, origin } of before.mappings()) {
    if ((origin.obj ?? origin) !== subject.of) continue;
    for (const page of subject.pages) {
      const inMapping = String(page - origin.first);
      views.push(["procs", proc, mapping, inMapping], ["mincore", proc, mapping, inMapping]);
    }
  }
  return views;
}

function subjectOf(field: string, op: Op, before: Scope, after: Scope): Subject | undefined {
  const inMapping = (proc: string, mapping: string, pages: readonly number[]): Subject | undefined => {
    const origin = before.mapping(proc, mapping) ?? after.mapping(proc, mapping); // the op may make it
    if (origin === undefined) return undefined;
    return { of: origin.obj ?? origin, pages: pages.map((page) => origin.first + page) };
  };
  const [root, first, second, third] = pathOf(field);
  if (root === "objs") return { of: first, pages: [Number(second)] };
  if (root === "procs" || root === "mincore") return inMapping(first, second, [Number(third)]);
  if (!("first" in op)) return undefined;
  const pages = Array.from({ length: op.pages }, (_, i) => op.first + i);
  const concerned = root === "values" ? pages.slice(Number(first), Number(first) + 1) : pages;
  return "mapping" in op && before.mapping(op.proc, op.mapping)
    ? inMapping(op.proc, op.mapping, concerned)
    : "obj" in op
      ? { of: op.obj, pages: concerned }
      : undefined;
}

function scopeAfter(trace: Trace, steps: number): Scope {
  const scope = new Scope();
  for (const { op, errno } of trace.steps.slice(0, steps)) scope.apply(op, errno);
  return scope;
}
