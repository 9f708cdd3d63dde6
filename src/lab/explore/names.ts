/**
 * Lines for people: of programs in the op language, of interleavings by stages. Follows names through
 * renumbering.
 */

import { isPtePresent } from "../../abi/index.ts";
import { PageOut } from "../../model/index.ts";
import { swapOfCacheEntry } from "../../model/shmem-object.ts";
import type { KernelSpace, Move } from "./kernel-space.ts";
import type { ExploreOp } from "./ops.ts";
import type { ExploreScope } from "./scope.ts";

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/** The ops before any that were chosen: an object, and the processes that map it at first. */
export function preludeOf({ pages, sharers }: Pick<ExploreScope, "pages" | "sharers">): string[] {
  const forks = Array.from({ length: sharers - 1 }, (_, i) => `fork A ${LETTERS[i + 1]}`);
  return [`obj o0 ${pages}`, `map A v0 o0 0 ${pages} rw`, ...forks];
}

/**
 * Runs moves on a space from its first state, each on the renumbered state before, as a search makes them.
 */
export class NamedRun {
  readonly #space: KernelSpace;
  readonly #bytes: Uint8Array;
  #processes: string[];
  #pages: number[];
  #tasks: string[] = [];
  #processesNamed: number;
  #tasksNamed = 0;
  /** What was done, a line a move. */
  readonly lines: string[] = [];
  /** Vectors of the states passed, the first and the last included. */
  readonly states: Uint8Array[] = [];
  #level = 0;

  constructor(space: KernelSpace) {
    const { sharers, pages } = space.scope;
    this.#space = space;
    this.#bytes = new Uint8Array(space.stride);
    space.begin();
    let named = 0;
    this.#processes = space.world.processes.map((process) => (process === undefined ? "" : LETTERS[named++]));
    this.#pages = Array.from({ length: pages }, (_, page) => page);
    this.#processesNamed = sharers;
    this.#settle();
  }

  /** Makes a move. False if it can't be made here. */
  make(number: number): boolean {
    const space = this.#space;
    const move = space.moves[number];
    if (move === undefined) return false;
    const line = this.#lineOf(move);
    const tasksBefore = [...space.world.tasks];
    const isTaken = space.apply(number, this.#level);
    if (!isTaken) return false;
    this.lines.push(line);
    this.#renameTasks(tasksBefore, move);
    if (move.kind === "op" && move.op.kind === "fork")
      space.world.processes.forEach((process, place) => {
        if (process !== undefined && this.#processes[place] === "")
          this.#processes[place] = LETTERS[this.#processesNamed++] ?? "?";
      });
    if (move.kind === "op" && move.op.kind === "exit") this.#processes[move.op.place] = "";
    this.#level++;
    return true;
  }

  /** Renumbers, so that the next move can be made. */
  settle(): void {
    this.#settle();
  }

  #settle(): void {
    const { codec, world } = this.#space;
    this.#space.save(this.#bytes, 0);
    const tasks = world.tasks.length > 0 ? codec.taskOrder : [];
    this.#processes = codec.processOrder.map((place) => this.#processes[place]);
    this.#pages = codec.pageOrder.map((page) => this.#pages[page]);
    this.#tasks = tasks.map((task) => this.#tasks[task]);
    this.states.push(this.#bytes.slice());
    this.#space.load(this.#bytes, 0);
  }

  #renameTasks(before: readonly unknown[], move: Move): void {
    const { tasks } = this.#space.world;
    const names = tasks.map((task) => this.#tasks[before.indexOf(task)]);
    if (move.kind === "access" || move.kind === "page-out")
      names[names.length - 1] = `T${++this.#tasksNamed}`;
    this.#tasks = names;
  }

  process(place: number): string {
    return this.#processes[place];
  }

  page(page: number): number {
    return this.#pages[page];
  }

  #lineOf(move: Move): string {
    switch (move.kind) {
      case "op":
        return this.#opLine(move.op);
      case "access": {
        const name = `T${this.#tasksNamed + 1}`;
        return `${name} starts: ${this.process(move.place)} ${move.how}s page ${this.page(move.page)}`;
      }
      case "page-out":
        return `T${this.#tasksNamed + 1} starts: page ${this.page(move.page)} is paged out`;
      case "step": {
        const task = this.#space.world.tasks[move.task];
        if (task === undefined) return "";
        const isUnmap =
          task instanceof PageOut && task.stage === "unmap" && task.nextMapper < task.mappers.length;
        return `${this.#tasks[move.task]}: ${task.stage}${isUnmap ? ` from ${this.process(move.choice)}` : ""}`;
      }
    }
  }

  #opLine({ kind, place, page }: ExploreOp): string {
    const proc = place < 0 ? "" : this.process(place);
    const at = page < 0 ? "" : `${this.page(page)} 1`;
    switch (kind) {
      case "read":
      case "write":
        return `${kind} ${proc} v0 ${at}`;
      case "pageout":
      case "dontneed":
      case "willneed":
        return `madvise ${proc} v0 ${at} ${kind.toUpperCase()}`;
      case "fork":
        return `fork ${proc} ${LETTERS[this.#processesNamed] ?? "?"}`;
      case "exit":
        return `exit ${proc}`;
      case "punch":
      case "readfd":
      case "writefd":
        return `${kind} o0 ${at}`;
      default:
        return kind;
    }
  }

  /** What the state is now: of each page how it is kept, of each process what pagemap has. */
  describe(): string {
    const { world, scope } = this.#space;
    const pages: string[] = [];
    for (let name = 0; name < scope.pages; name++) {
      const page = this.#pages.indexOf(name);
      const entry = world.object.get(page);
      const isCached = entry < 0 && world.kernel.swap.lookUp(swapOfCacheEntry(entry)) > 0;
      const kept =
        entry === 0 ? "a hole" : entry > 0 ? "in memory" : isCached ? "in swap and memory" : "in swap";
      const ptes = world.processes.map((_, place) => `${this.process(place)} ${this.#pteText(place, page)}`);
      const shown = ptes.filter((text) => !text.startsWith(" ")).sort();
      pages.push(`page ${name} ${kept}: ${shown.join(", ")}`);
    }
    return pages.join("; ");
  }

  #pteText(place: number, page: number): string {
    const { world } = this.#space;
    const process = world.processes[place];
    if (process === undefined) return "";
    const i = world.pteOffset(process, page);
    if (i < 0) return "none";
    const chunk = world.chunkOf(process);
    if ((chunk[i] | chunk[i + 1]) === 0) return "none";
    return isPtePresent(chunk[i]) ? "present" : "marker";
  }
}
