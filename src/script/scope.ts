import type { Op } from "./op.ts";
import { formatOp, type WordProblem, wordOf } from "./syntax.ts";

/** A mapping's place is 16 MiB: what is beyond belongs to the next one. */
const MAPPING_PAGES_MAX = 4096;
/** How far a range may run over the end: enough to see what a kernel does there; more is taken for a mistake. */
const OVERRUN_PAGES = 8;

/** A mapping as it was created. fork and mremap hand on the same one, so it also tells whose pages are whose. */
export interface MappingOrigin {
  readonly pages: number;
  /** What it maps; undefined if its pages are anonymous. */
  readonly obj?: string;
  /** Page 0 of the mapping is this page of the object. */
  readonly first: number;
}

/** Which processes, mappings and objects there are at a point of a program. */
export class Scope {
  readonly #processes = new Map<string, Map<string, MappingOrigin>>([["A", new Map()]]);
  /** Each object's size in pages, and the largest that it ever had. */
  readonly #objects = new Map<string, { pages: number; most: number }>();
  /** Why a name (`B`, `A.v0`, `o0`) that has been used does not stand for anything. */
  readonly #gone = new Map<string, string>();

  /** A mapping that a process has, if it does. */
  mapping(proc: string, mapping: string): MappingOrigin | undefined {
    return this.#processes.get(proc)?.get(mapping);
  }

  hasObject(obj: string): boolean {
    return this.#objects.has(obj);
  }

  /** Every mapping of every process. */
  *mappings(): Generator<{ proc: string; mapping: string; origin: MappingOrigin }> {
    for (const [proc, mappings] of this.#processes) {
      for (const [mapping, origin] of mappings) yield { proc, mapping, origin };
    }
  }

  /** What is wrong with the names in an op: one that stands for nothing, or a new one that is taken. */
  nameProblem(op: Op): WordProblem | undefined {
    if ("proc" in op && !this.#processes.has(op.proc)) return this.#noProcess(op, op.proc);
    switch (op.kind) {
      case "obj":
        return this.#objects.has(op.obj) ? taken(op, "obj", op.obj, "object") : undefined;
      case "map":
      case "mapcow":
        if (!this.#objects.has(op.obj)) return this.#noObject(op, op.obj);
        return this.mapping(op.proc, op.mapping) && taken(op, "mapping", op.mapping, "mapping");
      case "mapanon":
        return this.mapping(op.proc, op.mapping) && taken(op, "mapping", op.mapping, "mapping");
      case "fork":
        return this.#processes.has(op.child) ? taken(op, "child", op.child, "process") : undefined;
      case "mremap":
        if (!this.mapping(op.proc, op.mapping)) return this.#noMapping(op, op.proc, op.mapping);
        return this.mapping(op.proc, op.to) && taken(op, "to", op.to, "mapping");
      default:
        if ("obj" in op && !this.#objects.has(op.obj)) return this.#noObject(op, op.obj);
        if ("mapping" in op && !this.mapping(op.proc, op.mapping)) {
          return this.#noMapping(op, op.proc, op.mapping);
        }
        return undefined;
    }
  }

  /**
   * What is wrong with the pages of an op whose names are right. A range that begins in its mapping (or
   * object) and runs over the end is a fair question to a kernel; one far outside is a slip of the pen.
   */
  rangeProblem(op: Op): WordProblem | undefined {
    switch (op.kind) {
      case "map":
      case "mapcow":
      case "mapanon":
        if (op.pages === 0 || op.pages > MAPPING_PAGES_MAX) {
          const problem = `a mapping of ${op.pages} pages is impossible`;
          const mend = `give it 1 to ${MAPPING_PAGES_MAX} pages (its place is 16 MiB)`;
          return { word: wordOf(op, "pages"), problem, mend };
        }
        return op.kind === "mapanon" ? undefined : outside(op, op.obj, this.#objects.get(op.obj)!.most);
      case "readfd":
      case "writefd":
      case "punch":
        return outside(op, op.obj, this.#objects.get(op.obj)!.most);
      default:
        if (!("mapping" in op && "first" in op)) return undefined;
        return outside(op, op.mapping, this.mapping(op.proc, op.mapping)!.pages);
    }
  }

  /** Takes an op into account. Without an `errno` it is not known how it ends, and both ways stay open. */
  apply(op: Op, errno?: string): void {
    const failed = errno !== undefined && errno !== "";
    switch (op.kind) {
      case "obj":
        if (failed) this.#gone.set(op.obj, `creating it failed with ${errno}`);
        else this.#objects.set(op.obj, { pages: op.pages, most: op.pages });
        break;
      case "map":
      case "mapcow":
        this.#map(op.proc, op.mapping, { pages: op.pages, obj: op.obj, first: op.first }, errno);
        break;
      case "mapanon":
        this.#map(op.proc, op.mapping, { pages: op.pages, first: 0 }, errno);
        break;
      case "mremap":
        this.#map(op.proc, op.to, this.mapping(op.proc, op.mapping)!, errno);
        if (errno === "") {
          this.#processes.get(op.proc)!.delete(op.mapping);
          this.#gone.set(`${op.proc}.${op.mapping}`, `mremap renamed it ${op.to}`);
        }
        break;
      case "fork":
        if (failed) this.#gone.set(op.child, `its fork failed with ${errno}`);
        else this.#fork(op.proc, op.child);
        break;
      case "exit":
        this.#processes.delete(op.proc);
        this.#gone.set(op.proc, "it has exited");
        break;
      case "truncate":
        if (!failed) this.#resize(op.obj, op.pages);
        break;
      case "writefd":
        if (!failed) this.#resize(op.obj, Math.max(op.first + op.pages, this.#objects.get(op.obj)!.pages));
        break;
    }
  }

  /** The name may be that of a process that has exited: it is forgotten then. */
  #fork(parent: string, child: string): void {
    for (const name of this.#gone.keys())
      if (name === child || name.startsWith(`${child}.`)) this.#gone.delete(name);
    this.#processes.set(child, new Map(this.#processes.get(parent)));
  }

  #map(proc: string, mapping: string, origin: MappingOrigin, errno: string | undefined): void {
    if (errno) this.#gone.set(`${proc}.${mapping}`, `creating it failed with ${errno}`);
    else this.#processes.get(proc)!.set(mapping, origin);
  }

  #resize(obj: string, pages: number): void {
    const { most } = this.#objects.get(obj)!;
    this.#objects.set(obj, { pages, most: Math.max(most, pages) });
  }

  #noProcess(op: Op, proc: string): WordProblem {
    const [parent] = this.#processes.keys();
    const mend =
      parent === undefined
        ? "end the program before the last process exits"
        : this.#gone.has(proc)
          ? `use ${listOf(this.#processes.keys(), "or")}`
          : `create it first ("fork ${parent} ${proc}"), or use ${listOf(this.#processes.keys(), "or")}`;
    return { word: wordOf(op, "proc"), problem: this.#missing(proc, `process ${proc}`), mend };
  }

  #noMapping(op: Op, proc: string, mapping: string): WordProblem {
    const known = [...this.#processes.get(proc)!.keys()];
    const mend =
      known.length > 0
        ? `process ${proc} has ${listOf(known, "and")}`
        : `process ${proc} has none: map it first ("map ${proc} ${mapping} O FIRST N rw")`;
    const problem = this.#missing(`${proc}.${mapping}`, `mapping ${mapping} in process ${proc}`);
    return { word: wordOf(op, "mapping"), problem, mend };
  }

  #noObject(op: Op, obj: string): WordProblem {
    const mend = `create it first ("obj ${obj} N")`;
    return { word: wordOf(op, "obj"), problem: this.#missing(obj, `object ${obj}`), mend };
  }

  #missing(key: string, what: string): string {
    const why = this.#gone.get(key);
    return `there is no ${what} here${why === undefined ? "" : `: ${why}`}`;
  }
}

function taken(op: Op, property: string, name: string, what: string): WordProblem {
  return { word: wordOf(op, property), problem: `the ${what} name ${name} is taken`, mend: "choose another" };
}

function outside(op: Op & { first: number; pages: number }, what: string, size: number) {
  const begin = op.kind === "unmap" || "obj" in op ? size : size - 1; // traces unmap from the end on, too
  const end = op.first + op.pages;
  const within = size === 0 ? `${what} has no page` : `${what} has pages 0 to ${size - 1}`;
  if (op.first > begin) {
    const problem = `page ${op.first} is out of range in "${formatOp(op)}"`;
    return { word: wordOf(op, "first"), problem, mend: `${within}: begin there` };
  }
  if (end > size + OVERRUN_PAGES) {
    const problem = `page ${end - 1} is out of range in "${formatOp(op)}"`;
    const mend = `${within}: end there, or at most ${OVERRUN_PAGES} pages later`;
    return { word: wordOf(op, "pages"), problem, mend };
  }
  return undefined;
}

function listOf(names: Iterable<string>, conjunction: "and" | "or"): string {
  const all = [...names];
  return all.length < 2
    ? all.join("")
    : `${all.slice(0, -1).join(", ")} ${conjunction} ${all[all.length - 1]}`;
}
