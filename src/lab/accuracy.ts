/**
 * How often PM_SWAP is right: after every op of a program, the bit of every page of every shared mapping is held
 * against the object, which knows. An error is counted at every step for which it lasts, under the cause that it
 * began with.
 */

import {
  INITIAL_OBSERVATION,
  isPresent,
  isSwap,
  isUffdWp,
  type Machine,
  type Observation,
  type Op,
  type Trace,
} from "../script/index.ts";
import {
  type Before,
  type ErrorCause,
  falseNegativeCause,
  falsePositiveCause,
  isFalseNegative,
  type Mechanism,
} from "./error-cause.ts";

export interface CauseCount {
  readonly cause: ErrorCause;
  /** How many errors began, and for how many steps of a page they lasted. */
  readonly errors: number;
  readonly pageSteps: number;
}

export interface Accuracy {
  readonly steps: number;
  /** Pages of shared mappings, summed over steps; of them those in swap, and those with the bit set. */
  readonly pageSteps: number;
  readonly swapped: number;
  readonly flagged: number;
  readonly falseNegatives: number;
  readonly falsePositives: number;
  readonly causes: readonly CauseCount[];
  /** Errors after each step. */
  readonly falseNegativesByStep: readonly number[];
  readonly falsePositivesByStep: readonly number[];
}

/** The share of page-steps for which the bit is right, 0 to 1. */
export function shareRight({ pageSteps, falseNegatives, falsePositives }: Accuracy): number {
  return pageSteps === 0 ? 1 : 1 - (falseNegatives + falsePositives) / pageSteps;
}

/** What is known of a shared mapping, page by page. */
interface SharedMapping {
  readonly obj: string;
  readonly first: number;
  readonly isForked: boolean;
  isNew: boolean;
  /** Entries as shown after the step before. */
  entries: readonly string[];
  readonly wasEverPresent: Uint8Array;
  readonly errors: (ErrorCause | undefined)[];
}

export interface AccuracyOptions {
  readonly mechanism: Mechanism;
  /** What is taken for the bit, a page: 1 or 0; the entry's own PM_SWAP unless given. */
  readonly bits?: (proc: string, mapping: string) => Uint8Array;
  /** The stand-in: present pages are write-protected again after every so many steps; 1 unless given. */
  readonly rearmEvery?: number;
  readonly onStep?: (done: number) => void;
}

/** Runs a program on a machine, which stays open, and judges every PM_SWAP it shows. */
export function measureAccuracy(machine: Machine, ops: readonly Op[], options: AccuracyOptions): Accuracy {
  const tally = new Tally(options);
  const rearmEvery = options.rearmEvery ?? 1;
  let step = 0;
  for (const [index, op] of ops.entries()) {
    const { errno } = machine.execute(op, ++step);
    if (errno !== "") throw new Error(`op ${index + 1} of the workload, ${op.kind}, failed with ${errno}`);
    tally.apply(op, machine.observe(), "done");
    if (options.mechanism === "stand-in" || options.mechanism === "exact") {
      if (op.kind === "map" || op.kind === "fork") run(machine, tally.registrations(op), step);
      if ((index + 1) % rearmEvery === 0) {
        run(machine, tally.armings(), step);
        tally.look(machine.observe());
      }
    }
    options.onStep?.(index + 1);
  }
  return tally.result();
}

function run(machine: Machine, ops: readonly Op[], step: number): void {
  for (const op of ops) {
    const { errno } = machine.execute(op, step);
    if (errno !== "") throw new Error(`${op.kind} failed with ${errno}`);
  }
}

/** A mapping as it is now. */
interface Judged {
  readonly proc: string;
  readonly mapping: SharedMapping;
  readonly entries: readonly string[];
  readonly bits: Uint8Array;
  readonly letters: string;
}

/** What a machine showed, judged: a recorded trace is one, too. */
export function judgeTrace({ steps }: Trace, mechanism: Mechanism): Accuracy {
  const tally = new Tally({ mechanism });
  for (const step of steps) tally.apply(step.op, step, step.errno === "" ? "done" : "failed");
  return tally.result();
}

class Tally {
  readonly #mechanism: Mechanism;
  readonly #bits: AccuracyOptions["bits"];
  readonly #processes = new Map<string, Map<string, SharedMapping>>([["A", new Map()]]);
  readonly #causes = new Map<ErrorCause, { errors: number; pageSteps: number }>();
  readonly #negatives: number[] = [];
  readonly #positives: number[] = [];
  #letters: Observation["objs"] = INITIAL_OBSERVATION.objs;
  #pageSteps = 0;
  #swapped = 0;
  #flagged = 0;

  constructor({ mechanism, bits }: AccuracyOptions) {
    this.#mechanism = mechanism;
    this.#bits = bits;
  }

  /** Judges what is shown after an op. */
  apply(op: Op, shown: Observation, outcome: "done" | "failed"): void {
    if (outcome === "done") this.#follow(op);
    let negatives = 0;
    let positives = 0;
    for (const [proc, mappings] of this.#processes) {
      for (const [name, mapping] of mappings) {
        const entries = shown.procs[proc][name];
        const bits = this.#bits?.(proc, name) ?? Uint8Array.from(entries, (entry) => (isSwap(entry) ? 1 : 0));
        const wrong = this.#judge(op, { proc, mapping, entries, bits, letters: shown.objs[mapping.obj] });
        negatives += wrong.negatives;
        positives += wrong.positives;
      }
    }
    this.#negatives.push(negatives);
    this.#positives.push(positives);
    this.look(shown);
  }

  /** Remembers what is shown, without judging it. */
  look({ procs, objs }: Observation): void {
    for (const [proc, mappings] of this.#processes)
      for (const [name, mapping] of mappings) {
        mapping.entries = procs[proc][name];
        mapping.isNew = false;
      }
    this.#letters = objs;
  }

  /** Which shared mappings there are after an op. */
  #follow(op: Op): void {
    if (op.kind === "map") {
      const { obj, first, pages } = op;
      this.#of(op.proc).set(op.mapping, newMapping({ obj, first, pages, isForked: false }));
    } else if (op.kind === "fork") {
      const copies = [...this.#of(op.proc)].map(
        ([name, { obj, first, entries }]): [string, SharedMapping] => [
          name,
          newMapping({ obj, first, pages: entries.length, isForked: true }),
        ],
      );
      this.#processes.set(op.child, new Map(copies));
    } else if (op.kind === "exit") this.#processes.delete(op.proc);
    else if (op.kind === "mremap") {
      const mappings = this.#of(op.proc);
      const moved = mappings.get(op.mapping);
      mappings.delete(op.mapping);
      if (moved !== undefined) mappings.set(op.to, moved);
    }
  }

  #of(proc: string): Map<string, SharedMapping> {
    const mappings = this.#processes.get(proc);
    if (mappings === undefined) throw new Error(`process ${proc} does not exist`);
    return mappings;
  }

  #judge(
    op: Op,
    { proc, mapping, entries, bits, letters }: Judged,
  ): { negatives: number; positives: number } {
    const lettersBefore = this.#letters[mapping.obj] ?? "";
    let negatives = 0;
    let positives = 0;
    for (let page = 0; page < entries.length; page++) {
      const entry = entries[page];
      if (entry === "-") {
        mapping.errors[page] = undefined;
        continue;
      }
      const index = mapping.first + page;
      const letter = letters[index] ?? "H";
      const hasBit = bits[page] === 1;
      const isSwapped = letter === "S";
      this.#pageSteps++;
      if (isSwapped) this.#swapped++;
      if (hasBit) this.#flagged++;
      if (hasBit === isSwapped) mapping.errors[page] = undefined;
      else {
        if (isSwapped) negatives++;
        else positives++;
        const known = mapping.errors[page];
        if (known === undefined || isFalseNegative(known) !== isSwapped) {
          const entryBefore = mapping.entries[page] ?? "-";
          const before: Before = {
            isPresent: isPresent(entryBefore),
            isWriteProtected: isUffdWp(entryBefore),
            hasBit: isSwap(entryBefore),
            letter: lettersBefore[index] ?? "H",
            wasEverPresent: mapping.wasEverPresent[page] === 1,
            mappingIsNew: mapping.isNew,
            mappingIsForked: mapping.isForked,
          };
          this.#begin(
            mapping,
            page,
            isSwapped
              ? falseNegativeCause(this.#mechanism, op, before)
              : falsePositiveCause(this.#mechanism, op, before, { proc, letter }),
          );
        } else this.#count(known, 0);
      }
      if (isPresent(entry)) mapping.wasEverPresent[page] = 1;
    }
    return { negatives, positives };
  }

  #begin(mapping: SharedMapping, page: number, cause: ErrorCause): void {
    mapping.errors[page] = cause;
    this.#count(cause, 1);
  }

  #count(cause: ErrorCause, errors: number): void {
    const count = this.#causes.get(cause) ?? { errors: 0, pageSteps: 0 };
    count.errors += errors;
    count.pageSteps++;
    this.#causes.set(cause, count);
  }

  /** What the stand-in does when mappings come to be. */
  registrations(op: Op): Op[] {
    if (op.kind === "map") return [{ kind: "uffd", proc: op.proc, mapping: op.mapping }];
    if (op.kind !== "fork") return [];
    return [...this.#of(op.child).keys()].map((mapping) => ({ kind: "uffd", proc: op.child, mapping }));
  }

  /** Write-protects runs of pages that are present and not yet protected: only those leave the right marker. */
  armings(): Op[] {
    const ops: Op[] = [];
    for (const [proc, mappings] of this.#processes)
      for (const [mapping, { entries }] of mappings)
        for (let first = 0; first < entries.length; ) {
          let end = first;
          while (end < entries.length && isPresent(entries[end]) && !isUffdWp(entries[end])) end++;
          if (end > first)
            ops.push({ kind: "uffdwp", proc, mapping, first, pages: end - first, protect: true });
          first = end + 1;
        }
    return ops;
  }

  result(): Accuracy {
    const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
    return {
      steps: this.#negatives.length,
      pageSteps: this.#pageSteps,
      swapped: this.#swapped,
      flagged: this.#flagged,
      falseNegatives: sum(this.#negatives),
      falsePositives: sum(this.#positives),
      causes: [...this.#causes]
        .map(([cause, count]) => ({ cause, ...count }))
        .sort((a, b) => b.pageSteps - a.pageSteps || (a.cause < b.cause ? -1 : 1)),
      falseNegativesByStep: this.#negatives,
      falsePositivesByStep: this.#positives,
    };
  }
}

function newMapping({
  obj,
  first,
  pages,
  isForked,
}: {
  readonly obj: string;
  readonly first: number;
  readonly pages: number;
  readonly isForked: boolean;
}): SharedMapping {
  return {
    obj,
    first,
    isForked,
    isNew: true,
    entries: new Array<string>(pages).fill("-"),
    wasEverPresent: new Uint8Array(pages),
    errors: new Array<ErrorCause | undefined>(pages).fill(undefined),
  };
}
