/** Random op programs: many kinds of memory, several processes, and now and then a range that runs over an end. */

import { type Advice, type Op, Scope } from "../script/index.ts";
import { Random } from "./random.ts";

const STEPS_MIN = 15;
const STEPS_MAX = 40;
const PROCESSES_MAX = 4;
const OBJECTS_MAX = 3;
const MAPPINGS_MAX = 5;
/** Of an object or a mapping: a program has one of these. In few pages ops meet more often. */
const PAGES_MAX = [4, 4, 8, 8, 32, 32, 32, 32, 80, 80, 600];
const OVERRUN_MAX = 3;

type Kind = Op["kind"];

/** How often each kind of op is tried, in parts of the sum. Of those that can't be, others are. */
const WEIGHTS: Readonly<Record<Kind, number>> = {
  obj: 4,
  map: 14,
  mapcow: 7,
  mapanon: 7,
  unmap: 8,
  write: 60,
  read: 55,
  madvise: 150,
  mprotect: 17,
  mremap: 10,
  fork: 14,
  exit: 5,
  clearrefs: 4,
  readfd: 22,
  writefd: 14,
  punch: 15,
  truncate: 10,
  reclaim: 20,
  swapoff: 3,
  swapon: 3,
  uffd: 14,
  uffdwp: 25,
};

const ADVICE: readonly (readonly [advice: Advice, weight: number])[] = [
  ["PAGEOUT", 40],
  ["DONTNEED", 15],
  ["REMOVE", 10],
  ["COLD", 7],
  ["WILLNEED", 10],
  ["FREE", 5],
  ["POPULATE_READ", 9],
  ["POPULATE_WRITE", 9],
];

/**
 * The program of a seed, always the same. It is written as if all its ops succeeded: where one does not, later ones
 * may name what there is not.
 */
export function randomProgram(seed: number): readonly Op[] {
  return new Writer(new Random(seed)).write();
}

class Writer {
  readonly #random: Random;
  readonly #scope = new Scope();
  readonly #ops: Op[] = [];
  /** The weights of this program: it has its own favourites. */
  readonly #weights: readonly (readonly [kind: Kind, weight: number])[];
  readonly #pagesMax: number;
  readonly #processes = ["A"];
  readonly #objects = new Map<string, number>();
  #processesMade = 1;
  #mappingsMade = 0;

  constructor(random: Random) {
    this.#random = random;
    this.#pagesMax = this.#oneOf(PAGES_MAX);
    this.#weights = Object.entries(WEIGHTS).map(([kind, weight]) => {
      return [kind as Kind, weight * this.#oneOf([1, 2, 2, 2, 6])];
    });
  }

  write(): readonly Op[] {
    this.#add({ kind: "obj", obj: "o0", pages: this.#size() });
    this.#add(this.#make("map")!);
    const steps = STEPS_MIN + this.#random.below(STEPS_MAX - STEPS_MIN + 1);
    while (this.#ops.length < steps) {
      const op = this.#make(this.#weighted(this.#weights));
      if (op !== undefined && !this.#scope.nameProblem(op) && !this.#scope.rangeProblem(op)) this.#add(op);
    }
    return this.#ops;
  }

  #add(op: Op): void {
    this.#ops.push(op);
    this.#scope.apply(op, "");
    switch (op.kind) {
      case "obj":
      case "truncate":
        this.#objects.set(op.obj, op.pages);
        break;
      case "writefd":
        this.#objects.set(op.obj, Math.max(op.first + op.pages, this.#objects.get(op.obj)!));
        break;
      case "map":
      case "mapcow":
      case "mapanon":
      case "mremap":
        this.#mappingsMade++;
        break;
      case "fork":
        this.#processes.push(op.child);
        this.#processesMade++;
        break;
      case "exit":
        this.#processes.splice(this.#processes.indexOf(op.proc), 1);
        break;
    }
  }

  /** An op of a kind; undefined if there can be none now. */
  #make(kind: Kind): Op | undefined {
    switch (kind) {
      case "obj":
        if (this.#objects.size === OBJECTS_MAX) return undefined;
        return { kind, obj: `o${this.#objects.size}`, pages: this.#size() };
      case "map":
      case "mapcow":
      case "mapanon":
        return this.#makeMapping(kind);
      case "readfd":
      case "writefd":
      case "punch": {
        const [obj, size] = this.#oneOf([...this.#objects]);
        return { kind, obj, ...this.#range(size) };
      }
      case "truncate":
        return {
          kind,
          obj: this.#oneOf([...this.#objects.keys()]),
          pages: this.#random.below(this.#size() + 1),
        };
      case "reclaim":
      case "swapoff":
      case "swapon":
        return { kind };
      case "fork": {
        if (this.#processes.length === PROCESSES_MAX) return undefined;
        const child = String.fromCharCode("A".charCodeAt(0) + this.#processesMade);
        return { kind, proc: this.#oneOf(this.#processes), child };
      }
      case "exit":
        return this.#processes.length === 1 ? undefined : { kind, proc: this.#oneOf(this.#processes) };
      case "clearrefs":
        return { kind, proc: this.#oneOf(this.#processes) };
      default:
        return this.#makeOnMapping(kind);
    }
  }

  #makeMapping(kind: "map" | "mapcow" | "mapanon"): Op | undefined {
    const proc = this.#oneOf(this.#processes);
    if (this.#mappingsOf(proc).length === MAPPINGS_MAX) return undefined;
    const place = {
      proc,
      mapping: `v${this.#mappingsMade}`,
      prot: this.#oneOf(["rw", "rw", "rw", "r"] as const),
    };
    if (kind === "mapanon") return { kind, ...place, pages: this.#size() };
    const [obj, size] = this.#oneOf([...this.#objects]);
    const range = this.#oneOf([true, false]) ? { first: 0, pages: Math.max(1, size) } : this.#range(size);
    return { kind, ...place, obj, ...range };
  }

  #makeOnMapping(
    kind: Exclude<Extract<Op, { mapping: string }>["kind"], "map" | "mapcow" | "mapanon">,
  ): Op | undefined {
    const proc = this.#oneOf(this.#processes);
    const mappings = this.#mappingsOf(proc);
    if (mappings.length === 0) return undefined;
    const { mapping, pages } = this.#oneOf(mappings);
    const range = () => ({ proc, mapping, ...this.#range(pages) });
    switch (kind) {
      case "unmap":
      case "read":
      case "write":
        return { kind, ...range() };
      case "madvise":
        return { kind, ...range(), advice: this.#weighted(ADVICE) };
      case "mprotect":
        return { kind, ...range(), prot: this.#oneOf(["rw", "r"] as const) };
      case "mremap":
        return { kind, proc, mapping, to: `v${this.#mappingsMade}` };
      case "uffd":
        return { kind, proc, mapping };
      case "uffdwp":
        return { kind, ...range(), protect: this.#oneOf([true, true, false]) };
    }
  }

  #mappingsOf(proc: string): { readonly mapping: string; readonly pages: number }[] {
    return [...this.#scope.mappings()]
      .filter((one) => one.proc === proc)
      .map(({ mapping, origin }) => ({ mapping, pages: origin.pages }));
  }

  #size(): number {
    return 1 + this.#random.below(this.#pagesMax);
  }

  /** All pages, or one, or some; now and then over the end. */
  #range(size: number): { readonly first: number; readonly pages: number } {
    if (size === 0) return { first: 0, pages: 1 };
    const first = this.#random.below(size);
    const overrun = this.#random.below(24) === 0 ? 1 + this.#random.below(OVERRUN_MAX) : 0;
    switch (this.#random.below(3)) {
      case 0:
        return { first: 0, pages: size + overrun };
      case 1:
        return { first, pages: 1 };
      default:
        return { first, pages: 1 + this.#random.below(size - first) + overrun };
    }
  }

  #oneOf<T>(choices: readonly T[]): T {
    return choices[this.#random.below(choices.length)];
  }

  #weighted<T>(choices: readonly (readonly [choice: T, weight: number])[]): T {
    const sum = choices.reduce((total, [, weight]) => total + weight, 0);
    let at = this.#random.below(sum);
    for (const [choice, weight] of choices) {
      if (at < weight) return choice;
      at -= weight;
    }
    throw new RangeError("no choice has a weight");
  }
}
