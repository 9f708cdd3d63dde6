// A machine far simpler than any kernel, to test what runs on machines: shared mappings, page-out, markers.
import type { Machine, Observation, Op, OpResult, ReclaimInput } from "ptemark/script";

interface ToyMapping {
  readonly object: ToyObject;
  readonly first: number;
  /** One of `none`, `present`, `marker`, `unmapped` a page. */
  readonly entries: string[];
}

interface ToyObject {
  letters: string[];
  values: number[];
}

const ENTRY: Readonly<Record<string, string>> = {
  none: "0",
  present: "140",
  marker: "80:30.2",
  unmapped: "-",
};

export interface ToyOptions {
  /** Page-out leaves no marker: ever, or while there is more than one process. */
  readonly forgetsMarkers?: "always" | "after fork";
  /** Ends an op of this kind with an error of its own. */
  readonly breaksAt?: Op["kind"];
  /** Ends an op of this kind with this errno, undone. */
  readonly refuses?: { readonly kind: Op["kind"]; readonly errno: string };
}

export class ToyMachine implements Machine {
  readonly #options: ToyOptions;
  readonly #objects = new Map<string, ToyObject>();
  readonly #processes = new Map<string, Map<string, ToyMapping>>([["A", new Map()]]);
  closed = false;

  constructor(options: ToyOptions = {}) {
    this.#options = options;
  }

  execute(op: Op, step: number, reclaimed?: ReclaimInput): OpResult {
    if (op.kind === this.#options.breaksAt) throw new Error(`the toy broke at ${op.kind}`);
    if (op.kind === this.#options.refuses?.kind) return { errno: this.#options.refuses.errno, values: [] };
    switch (op.kind) {
      case "obj":
        this.#objects.set(op.obj, { letters: Array(op.pages).fill("H"), values: Array(op.pages).fill(0) });
        break;
      case "map":
        this.#processes.get(op.proc)!.set(op.mapping, {
          object: this.#objects.get(op.obj)!,
          first: op.first,
          entries: Array(op.pages).fill("none"),
        });
        break;
      case "unmap":
        this.#mapping(op).entries.fill("unmapped", op.first, op.first + op.pages);
        break;
      case "write":
      case "read":
        return this.#access(op, step);
      case "madvise":
        this.#madvise(op);
        break;
      case "mremap": {
        const mappings = this.#processes.get(op.proc)!;
        mappings.set(op.to, mappings.get(op.mapping)!);
        mappings.delete(op.mapping);
        break;
      }
      case "fork": {
        const copies = [...this.#processes.get(op.proc)!].map(
          ([name, mapping]) =>
            [
              name,
              { ...mapping, entries: mapping.entries.map((e) => (e === "unmapped" ? e : "none")) },
            ] as const,
        );
        this.#processes.set(op.child, new Map(copies));
        break;
      }
      case "exit":
        this.#processes.delete(op.proc);
        break;
      case "reclaim":
        for (const [name, object] of this.#objects) {
          const pages = reclaimed ? (reclaimed.objs[name] ?? []) : object.letters.keys();
          for (const page of pages) this.#pageOut(object, page);
        }
        break;
    }
    return { errno: "", values: [] };
  }

  observe(): Observation {
    const everyMapping = <T>(show: (mapping: ToyMapping) => T) =>
      Object.fromEntries(
        [...this.#processes].map(([proc, mappings]) => [
          proc,
          Object.fromEntries([...mappings].map(([name, mapping]) => [name, show(mapping)])),
        ]),
      );
    return {
      procs: everyMapping(({ entries }) => entries.map((entry) => ENTRY[entry])),
      mincore: everyMapping(({ entries, object, first }) =>
        entries
          .map((entry, i) => (entry === "unmapped" ? "-" : object.letters[first + i] === "R" ? "1" : "0"))
          .join(""),
      ),
      objs: Object.fromEntries([...this.#objects].map(([name, { letters }]) => [name, letters.join("")])),
    };
  }

  close(): void {
    this.closed = true;
  }

  #mapping({ proc, mapping }: { proc: string; mapping: string }): ToyMapping {
    return this.#processes.get(proc)!.get(mapping)!;
  }

  #access(
    op: Extract<Op, { proc: string; mapping: string; first: number; pages: number }>,
    step: number,
  ): OpResult {
    const { object, first, entries } = this.#mapping(op);
    const values: number[] = [];
    for (let page = op.first; page < op.first + op.pages; page++) {
      if (page >= entries.length || entries[page] === "unmapped") return { errno: "SIGSEGV", values: [] };
      entries[page] = "present";
      object.letters[first + page] = "R";
      if (op.kind === "write") object.values[first + page] = step;
      else values.push(object.values[first + page]);
    }
    return { errno: "", values };
  }

  #madvise(op: Extract<Op, { advice: unknown }>): void {
    const { object, first, entries } = this.#mapping(op);
    for (let page = op.first; page < Math.min(op.first + op.pages, entries.length); page++) {
      if (op.advice === "REMOVE") this.#remove(object, first + page);
      if (entries[page] !== "present") continue;
      if (op.advice === "PAGEOUT") this.#pageOut(object, first + page);
      if (op.advice === "DONTNEED") entries[page] = "none";
    }
  }

  #pageOut(object: ToyObject, page: number): void {
    if (object.letters[page] !== "R") return;
    object.letters[page] = "S";
    const { forgetsMarkers } = this.#options;
    const forgets = forgetsMarkers === "always" || (forgetsMarkers && this.#processes.size > 1);
    this.#zap(object, page, { entries: ["present"], into: forgets ? "none" : "marker" });
  }

  #remove(object: ToyObject, page: number): void {
    object.letters[page] = "H";
    object.values[page] = 0;
    this.#zap(object, page, { entries: ["present", "marker"], into: "none" });
  }

  #zap(
    object: ToyObject,
    page: number,
    { entries, into }: { entries: readonly string[]; into: string },
  ): void {
    for (const mappings of this.#processes.values()) {
      for (const mapping of mappings.values()) {
        const index = page - mapping.first;
        if (mapping.object === object && entries.includes(mapping.entries[index]))
          mapping.entries[index] = into;
      }
    }
  }
}
