/**
 * Workloads as programs of the op language, made from a seed: what a virtual machine, a database, a fork server do to
 * shared memory, and what happens to them. The same options give the same program, on any machine that it runs on.
 */

import type { Op } from "../script/index.ts";
import { Random } from "./random.ts";

export interface WorkloadOptions {
  readonly seed: number;
  /** Size of the shared object. */
  readonly pages: number;
  /** Ops after the set-up. */
  readonly steps: number;
  /** How many processes share the object at most, 1 to 26. */
  readonly processes: number;
  /** Chance of a zap a step: a PTE emptied while the page stays (as a split of a huge page does), 0 to 1. */
  readonly zapRate: number;
  /** Chance of a page-out a step, 0 to 1. */
  readonly pageOutRate: number;
}

export const WORKLOAD_DEFAULTS: WorkloadOptions = {
  seed: 1,
  pages: 256,
  steps: 400,
  processes: 4,
  zapRate: 0.02,
  pageOutRate: 0.1,
};

/** A workload, an option or its value that there is not: the message says what there is. */
export class WorkloadError extends Error {
  override readonly name = "WorkloadError";
}

export interface Workload {
  readonly name: string;
  readonly summary: string;
  /** One op of the workload's body; the set-up is done. */
  readonly step: (scene: Scene) => void;
  /** What is there before the body. */
  readonly setUp: (scene: Scene) => void;
}

/** Throws a {@link WorkloadError} for options that can't be. */
export function checkWorkloadOptions(options: WorkloadOptions): void {
  const whole = (name: "seed" | "pages" | "steps" | "processes", min: number, max: number): void => {
    const value = options[name];
    if (!Number.isInteger(value) || value < min || value > max)
      throw new WorkloadError(`${name} ${value}: must be a whole number from ${min} to ${max}`);
  };
  whole("seed", 0, 2 ** 32 - 1);
  // The k-th mapping of a program is 16 MiB after the one before.
  whole("pages", 16, 4096);
  whole("steps", 1, 1_000_000);
  whole("processes", 1, 26);
  for (const name of ["zapRate", "pageOutRate"] as const)
    if (!(options[name] >= 0 && options[name] <= 1))
      throw new WorkloadError(`${name} ${options[name]}: must be a number from 0 to 1`);
}

/** The program of a workload. */
export function workloadProgram(workload: Workload, options: WorkloadOptions): Op[] {
  checkWorkloadOptions(options);
  const scene = new Scene(options);
  workload.setUp(scene);
  const end = scene.ops.length + options.steps;
  while (scene.ops.length < end) workload.step(scene);
  return scene.ops.slice(0, end);
}

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
/** Of accesses, how many go to the hot pages: a page is the cube of a random number up the object. */
const SKEW = 3;
const RUN_PAGES_MAX = 8;

/** What a workload is written with: processes that map one object `o0` as `v0`, and chances. */
export class Scene {
  readonly ops: Op[] = [];
  readonly options: WorkloadOptions;
  readonly random: Random;
  /** The processes there are, the first of which is `A`. */
  readonly processes = ["A"];
  /** Where something sequential has got to. */
  cursor = 0;
  swapIsOn = true;
  #forks = 0;

  constructor(options: WorkloadOptions) {
    this.options = options;
    this.random = new Random(options.seed);
  }

  chance(rate: number): boolean {
    return this.random.fraction() < rate;
  }

  /** Any process, or any but the first. */
  pick(from = 0): string {
    const others = this.processes.length - from;
    return others <= 0 ? "A" : this.processes[from + this.random.below(others)];
  }

  /** A is given the object, all of it mapped and `writtenPages` of it written. */
  map(writtenPages = this.options.pages): void {
    const { pages } = this.options;
    this.ops.push({ kind: "obj", obj: "o0", pages });
    this.ops.push({ kind: "map", proc: "A", mapping: "v0", obj: "o0", first: 0, pages, prot: "rw" });
    this.ops.push({ kind: "write", proc: "A", mapping: "v0", first: 0, pages: writtenPages });
  }

  /** A short run of pages, hot ones more often. */
  hotRun(): { first: number; pages: number } {
    const first = Math.floor(this.options.pages * this.random.fraction() ** SKEW);
    return this.#runFrom(first);
  }

  /** A short run of pages from the colder half. */
  coldRun(): { first: number; pages: number } {
    const half = this.options.pages >> 1;
    return this.#runFrom(half + this.random.below(this.options.pages - half));
  }

  /** The next pages, again from the start after the last. */
  nextRun(pages: number): { first: number; pages: number } {
    const first = this.cursor;
    const count = Math.min(pages, this.options.pages - first);
    this.cursor = (first + count) % this.options.pages;
    return { first, pages: count };
  }

  #runFrom(first: number): { first: number; pages: number } {
    const pages = 1 + this.random.below(RUN_PAGES_MAX);
    return { first, pages: Math.min(pages, this.options.pages - first) };
  }

  access(proc: string, writes: number, run = this.hotRun()): void {
    this.ops.push({ kind: this.chance(writes) ? "write" : "read", proc, mapping: "v0", ...run });
  }

  advise(
    proc: string,
    advice: "DONTNEED" | "PAGEOUT" | "REMOVE",
    run: { first: number; pages: number },
  ): void {
    this.ops.push({ kind: "madvise", proc, mapping: "v0", advice, ...run });
  }

  descriptor(kind: "readfd" | "writefd", run: { first: number; pages: number }): void {
    this.ops.push({ kind, obj: "o0", ...run });
  }

  reclaim(): void {
    this.ops.push({ kind: "reclaim" });
  }

  /** Takes swap away, or gives it back. */
  toggleSwap(): void {
    this.ops.push({ kind: this.swapIsOn ? "swapoff" : "swapon" });
    this.swapIsOn = !this.swapIsOn;
  }

  /** A new child of A, if there may be one more. */
  fork(): void {
    if (this.processes.length >= this.options.processes) return;
    let child = "A";
    do child = LETTERS[1 + (this.#forks++ % (LETTERS.length - 1))];
    while (this.processes.includes(child));
    this.ops.push({ kind: "fork", proc: "A", child });
    this.processes.push(child);
  }

  /** One of A's children ends. */
  exitOne(): void {
    if (this.processes.length < 2) return;
    const [proc] = this.processes.splice(1 + this.random.below(this.processes.length - 1), 1);
    this.ops.push({ kind: "exit", proc });
  }
}
