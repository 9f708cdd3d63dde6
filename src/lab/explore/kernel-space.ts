/**
 * The model as a space to search: programs of operations, and stages of tasks interleaved.
 *
 * Transitions are numbered: operations; then starts of accesses and page-outs; then steps of tasks. An
 * operation is a call of its own before any task has started (`depth` of them at the most); after that, one
 * that comes between the stages (`calls`). So a search covers every order in which things begin and go on.
 */

import { isPtePresent } from "../../abi/index.ts";
import { Access } from "../../model/access.ts";
import { EndlessFaultError, PageLockedError } from "../../model/index.ts";
import { InvariantError } from "../../model/invariants.ts";
import { FAULTS_MAX } from "../../model/mmu.ts";
import { PageOut } from "../../model/page-out.ts";
import { isolate } from "../../model/reclaim.ts";
import { swapOfCacheEntry } from "../../model/shmem-object.ts";
import { swapSlot } from "../../model/swap.ts";
import { classBit, FATAL } from "./causes.ts";
import { Codec } from "./codec.ts";
import { allOps, type ExploreOp, perform, reach } from "./ops.ts";
import type { ExploreScope } from "./scope.ts";
import type { StateSpace } from "./space.ts";
import { BASE, WHY, World, type WorldTask } from "./world.ts";

/** What a transition is. */
export type Move =
  | { readonly kind: "op"; readonly op: ExploreOp }
  | { readonly kind: "access"; readonly place: number; readonly page: number; readonly how: "load" | "store" }
  | { readonly kind: "page-out"; readonly page: number }
  /** `choice`: which process a page-out unmaps next. */
  | { readonly kind: "step"; readonly task: number; readonly choice: number };

/** How a process' PTE and a page's state fit. */
const NO_PROCESS = 0;
const IS_THERE = 1;
const IS_NONE = 2;
const IS_CLEAR = 4;
const IS_SET = 8;

export class KernelSpace implements StateSpace {
  readonly scope: ExploreScope;
  readonly stride: number;
  readonly moves: readonly Move[];
  readonly levels: number;
  readonly fatal = FATAL;
  readonly firstStep: number;
  shown = 0;
  isUntouched = true;

  readonly world: World;
  readonly codec: Codec;
  readonly #before: Uint8Array;
  /** The first state's vector. */
  readonly #first: Uint8Array;
  /** The access that was to be tried again, in the last step. */
  #retried: Access | undefined;
  /**
   * Of each class, by its bit: the process and page (place * pages + page) that it was last shown of; -1
   * none.
   */
  readonly where = new Int32Array(32).fill(-1);
  /** What the last error said, for whoever wants to know more. */
  detail = "";

  /** Throws a ConfigError for a scope that can't be. */
  constructor(scope: ExploreScope) {
    this.world = new World(scope);
    this.codec = new Codec(this.world);
    this.scope = scope;
    this.stride = this.codec.stride;
    const steps = movesOfSteps(scope);
    const others = [...movesOfOps(scope), ...movesOfStarts(scope)];
    this.moves = [...others, ...steps];
    this.firstStep = others.length;
    this.levels = steps.length > 0 ? Number.POSITIVE_INFINITY : scope.depth;
    this.#before = new Uint8Array(scope.processes * scope.pages);
    this.#first = new Uint8Array(this.stride);
    this.world.begin();
    this.save(this.#first, 0);
  }

  get transitions(): number {
    return this.moves.length;
  }

  begin(): void {
    this.load(this.#first, 0);
  }

  load(from: Uint8Array, offset: number): void {
    this.codec.load(from, offset);
    this.#look();
  }

  reload(from: Uint8Array, offset: number): void {
    this.codec.load(from, offset);
  }

  save(to: Uint8Array, offset: number): void {
    this.codec.save(to, offset);
  }

  get isUnfinished(): boolean {
    return this.world.tasks.length > 0;
  }

  #look(): void {
    const { pages, processes } = this.scope;
    for (let place = 0, cell = 0; place < processes; place++)
      for (let page = 0; page < pages; page++, cell++) this.#before[cell] = this.#cellState(place, page);
  }

  #cellState(place: number, page: number): number {
    const { world } = this;
    const process = world.processes[place];
    if (process === undefined) return NO_PROCESS;
    const isSwapped = world.object.get(page) < 0;
    const i = world.pteOffset(process, page);
    if (i < 0) return IS_THERE | IS_NONE | (isSwapped ? IS_CLEAR : 0);
    const chunk = world.chunkOf(process);
    const lo = chunk[i];
    if ((lo | chunk[i + 1]) === 0) return IS_THERE | IS_NONE | (isSwapped ? IS_CLEAR : 0);
    if (isPtePresent(lo)) return IS_THERE | (isSwapped ? IS_CLEAR : 0);
    return IS_THERE | (isSwapped ? 0 : IS_SET);
  }

  apply(transition: number, level: number): boolean {
    const move = this.moves[transition];
    this.shown = 0;
    this.#retried = undefined;
    this.isUntouched = true;
    try {
      return this.#make(move, level);
    } catch (error) {
      if (error instanceof PageLockedError) {
        this.isUntouched = false;
        return false;
      }
      if (error instanceof EndlessFaultError) this.shown = classBit("endless-fault");
      else {
        // What the model itself refuses: counts that go below zero, objects that are not there.
        this.detail = String(error instanceof Error ? error.message : error);
        this.shown = classBit("invariant");
      }
      return true;
    }
  }

  #make(move: Move, level: number): boolean {
    switch (move.kind) {
      case "op":
        return this.#operate(move.op, level);
      case "access":
        return this.#startAccess(move.place, move.page, move.how);
      case "page-out":
        return this.#startPageOut(move.page);
      case "step":
        return this.#step(move.task, move.choice);
    }
  }

  #operate(op: ExploreOp, level: number): boolean {
    const { world, scope } = this;
    const { started } = world;
    const isBetween = started.accesses + started.pageOuts > 0;
    if (isBetween ? started.calls >= scope.calls || world.tasks.length === 0 : level >= scope.depth)
      return false;
    const { badPtes } = world.kernel.work;
    const outcome = perform(world, op);
    if (outcome === "impossible") return false;
    if (isBetween) started.calls++;
    if (outcome === "done") this.#compare(op, undefined);
    else if (outcome === "wrong data") this.shown = classBit("data-lost");
    else if (outcome === "error") this.shown = classBit("call-failed");
    else this.shown = classBit(world.kernel.work.badPtes > badPtes ? "bad-pte" : "signal");
    return true;
  }

  #startAccess(place: number, page: number, how: "load" | "store"): boolean {
    const { world, scope } = this;
    const process = world.processes[place];
    if (process === undefined || world.started.accesses >= scope.accesses) return false;
    world.started.accesses++;
    world.tasks.push(new Access(process.mm, BASE + page, how));
    return true;
  }

  #startPageOut(page: number): boolean {
    const { world, scope } = this;
    if (world.started.pageOuts >= scope.pageOuts) return false;
    const entry = world.object.get(page);
    const frame = entry < 0 ? world.kernel.swap.lookUp(swapOfCacheEntry(entry)) : entry;
    if (frame <= 0 || !isolate(world.kernel, frame)) return false;
    world.started.pageOuts++;
    const pageOut = new PageOut();
    pageOut.begin(frame, true);
    world.tasks.push(pageOut);
    return true;
  }

  #step(number: number, choice: number): boolean {
    const task = this.world.tasks[number];
    if (task === undefined) return false;
    return task instanceof Access ? this.#stepAccess(task, choice) : this.#stepPageOut(task, choice);
  }

  #stepAccess(access: Access, choice: number): boolean {
    if (choice > 0) return false;
    const { world } = this;
    const { badPtes } = world.kernel.work;
    access.step(world.kernel);
    if (access.isBlocked) return false;
    if (access.stage === "done") {
      this.#drop(access);
      const page = access.fault.vpn - BASE;
      const isWrite = access.fault.isWrite;
      if (access.result !== "ok")
        this.shown = classBit(world.kernel.work.badPtes > badPtes ? "bad-pte" : "signal");
      else if (reach(world, page, access.frame, isWrite) !== "done") this.shown = classBit("data-lost");
    } else if (access.stage === "walk" && access.fault.result === "retry") this.#retried = access;
    if ((this.shown & this.fatal) === 0) this.#compare(undefined, access);
    return true;
  }

  #stepPageOut(pageOut: PageOut, choice: number): boolean {
    const { world } = this;
    const { mappers } = pageOut;
    const isUnmapping = pageOut.stage === "unmap" && pageOut.nextMapper < mappers.length;
    if (isUnmapping && world.kernel.frames.mapcount[pageOut.pfn] > 0) {
      // In what order the mappers come is the reverse mapping's own affair: any.
      const mm = world.processes[choice]?.mm;
      const chosen = mappers.findIndex((vma, i) => i >= pageOut.nextMapper && vma.mm === mm);
      if (chosen < 0) return false;
      const [vma] = mappers.splice(chosen, 1);
      mappers.splice(pageOut.nextMapper, 0, vma);
    } else if (choice > 0) return false;
    pageOut.step(world.kernel);
    if (pageOut.stage === "done") this.#drop(pageOut);
    this.#compare(undefined, pageOut);
    return true;
  }

  #drop(task: WorldTask): void {
    const { tasks } = this.world;
    tasks.splice(tasks.indexOf(task), 1);
  }

  /** Finds what an operation, or a task's step, has made wrong of PM_SWAP, and why. */
  #compare(op: ExploreOp | undefined, task: WorldTask | undefined): void {
    const { pages, processes } = this.scope;
    for (let place = 0, cell = 0; place < processes; place++)
      for (let page = 0; page < pages; page++, cell++) {
        const before = this.#before[cell];
        const now = this.#cellState(place, page);
        if ((now & IS_NONE) !== 0 && (before & (IS_THERE | IS_NONE)) === IS_THERE) this.#becameNone(op, cell);
        if ((now & IS_CLEAR) !== 0 && ((before & IS_CLEAR) === 0 || (before & IS_THERE) === 0))
          this.#show(this.#whyClear(op, cell, before), cell);
        if ((now & IS_SET) !== 0) this.#show(this.#whySet(op, task, place, page, before), cell);
      }
  }

  #show(bit: number, cell: number): void {
    if (bit === 0) return;
    this.shown |= bit;
    this.where[31 - Math.clz32(bit)] = cell;
  }

  #becameNone(op: ExploreOp | undefined, cell: number): void {
    this.world.why[cell] =
      op?.kind === "dontneed" ? WHY.ZAPPED : op?.kind === "punch" ? WHY.NEVER : WHY.UNMAPPED;
  }

  #whyClear(op: ExploreOp | undefined, cell: number, before: number): number {
    if (op?.kind === "dontneed") return classBit("marker-zapped");
    const why = this.world.why[cell];
    if (why === WHY.UNMAPPED) return classBit("no-marker");
    if ((before & (IS_THERE | IS_NONE)) === IS_THERE) return classBit("unexplained-clear");
    if (why === WHY.ZAPPED)
      return classBit(this.#hasMarker(cell % this.scope.pages) ? "sharer-zapped" : "zapped");
    return classBit(why === WHY.FORKED ? "forked" : "never-touched");
  }

  /** Whether some process has a marker for the page, which is in swap. */
  #hasMarker(page: number): boolean {
    return this.world.processes.some((_, place) => {
      const state = this.#cellState(place, page);
      return (state & (IS_THERE | IS_NONE | IS_CLEAR)) === IS_THERE;
    });
  }

  #whySet(
    op: ExploreOp | undefined,
    task: WorldTask | undefined,
    place: number,
    page: number,
    before: number,
  ): number {
    const { world } = this;
    if (task instanceof PageOut) {
      const isOfPage = world.object.get(page) === task.pfn;
      if (task.stage === "done" && !task.freed && isOfPage) return classBit("not-written");
      if (task.stage === "done" && world.object.get(page) === 0) return classBit("clean-dropped");
      return (before & IS_SET) === 0 ? classBit("in-flight") : 0;
    }
    if ((before & IS_SET) !== 0) return 0;
    if (task !== undefined)
      return classBit(world.processes[place]?.mm === task.fault.mm ? "in-flight" : "other-fault");
    switch (op?.kind) {
      case "swapoff":
        return classBit("swapoff");
      case "readfd":
        return classBit("descriptor-read");
      case "writefd":
        return classBit("descriptor-write");
      case "read":
      case "write":
        return classBit("other-fault");
      case "pageout":
      case "reclaim":
        return classBit(world.object.get(page) === 0 ? "clean-dropped" : "not-written");
      case "punch":
        return classBit("marker-on-hole");
      default:
        return classBit("unexplained-set");
    }
  }

  check(): number {
    const { world } = this;
    if (!this.#areBytesKept()) return classBit("data-lost");
    try {
      world.kernel.checkInvariants({ tasksInFlight: world.tasks.length > 0 });
    } catch (error) {
      if (!(error instanceof InvariantError)) throw error;
      this.detail = error.message;
      return classBit("invariant");
    }
    return this.#retried !== undefined && this.#isEndless(this.#retried) ? classBit("endless-fault") : 0;
  }

  /** Every copy of a page that somebody may read. */
  #areBytesKept(): boolean {
    const { world } = this;
    const { swap } = world.kernel;
    for (let page = 0; page < this.scope.pages; page++) {
      const entry = world.object.get(page);
      const value = world.expected[page];
      if (entry === 0) {
        if (value !== 0) return false;
        continue;
      }
      let frame = entry;
      if (entry < 0) {
        const packed = swapOfCacheEntry(entry);
        if (world.device.store.words[swapSlot(packed)] !== value) return false;
        frame = swap.lookUp(packed);
        if (
          frame === 0 ||
          world.tasks.some((task) => task instanceof PageOut && task.isGiven && task.pfn === frame)
        )
          continue;
      }
      if (world.words[frame] !== value) return false;
    }
    return true;
  }

  /** Whether the access never succeeds if nothing else runs. It is stepped to see: the state is spoilt. */
  #isEndless(access: Access): boolean {
    const { kernel } = this.world;
    const until = access.faults + FAULTS_MAX;
    while (access.stage !== "done" && access.faults < until) {
      access.step(kernel);
      if (access.isBlocked) return false;
    }
    return access.stage !== "done";
  }
}

function movesOfOps(scope: ExploreScope): Move[] {
  return allOps(scope.ops, scope.processes, scope.pages).map((op) => ({ kind: "op", op }));
}

function movesOfStarts({ processes, pages, accesses, pageOuts }: ExploreScope): Move[] {
  const moves: Move[] = [];
  for (let page = 0; page < pages; page++) {
    for (let place = 0; accesses > 0 && place < processes; place++)
      for (const how of ["load", "store"] as const) moves.push({ kind: "access", place, page, how });
    if (pageOuts > 0) moves.push({ kind: "page-out", page });
  }
  return moves;
}

function movesOfSteps({ processes, accesses, pageOuts }: ExploreScope): Move[] {
  const moves: Move[] = [];
  for (let task = 0; task < accesses + pageOuts; task++)
    for (let choice = 0; choice < (pageOuts > 0 ? processes : 1); choice++)
      moves.push({ kind: "step", task, choice });
  return moves;
}
