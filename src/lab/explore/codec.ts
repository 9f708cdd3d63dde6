/**
 * A world's state as a vector of bytes, and back. Frames and slots have no numbers in it, and of the vectors
 * that differ only in the order of processes, pages and tasks it is the least (of those that a signature
 * can't tell apart): so equal vectors are equal states, and a state is restored by writing it, renumbered,
 * into the same kernel.
 *
 *     swap on | processes | accesses, page-outs, calls started
 *     a page:    how it is kept, the frame's flags (2), references held by tasks
 *     LRU order: pages from the first to be scanned on
 *     a process' page: PTE (2), area and why it is none
 *     a task:    see `saveTask`
 */

import { PTE_GLOBAL, PTE_PRESENT, swapPteHi, swapPteLo } from "../../abi/index.ts";
import { Access, type AccessStage } from "../../model/access.ts";
import { PageOut, type PageOutStage, type Process } from "../../model/index.ts";
import { LRU_ACTIVE_ANON, LRU_INACTIVE_ANON } from "../../model/lru.ts";
import { PG_LRU, PG_SWAPCACHE } from "../../model/page-frames.ts";
import { cacheEntryOfSwap, swapOfCacheEntry } from "../../model/shmem-object.ts";
import { packSwapEntry } from "../../model/swap.ts";
import type { Vma } from "../../model/vma.ts";
import { compareBytes, isLess, mix, ordersWithin } from "./order.ts";
import { BASE, type World } from "./world.ts";

const PAGE_BYTES = 4;
const CELL_BYTES = 3;
const TASK_BYTES = 12;
const HEADER_BYTES = 5;

/**
 * A PTE as 16 bits: the flags of a present one (its frame is the page's), or a marker's bits below this one;
 * 0 none.
 */
const MARKER = 0x8000;
const NO_CELL = 0xffff_ffff;

const KEPT = { HOLE: 0, CACHED: 1, SWAPPED: 2, SWAP_CACHED: 3 } as const;
/** With these: nothing was ever written to the page. Such a page may be dropped, and is zero again. */
const IS_ZERO = 4;

const ACCESS_STAGES: readonly AccessStage[] = ["walk", "look", "map-around", "get-page", "install"];
const PAGE_OUT_STAGES: readonly PageOutStage[] = ["lock", "unmap", "write", "end-writeback", "free"];
const IS_WRITE = 1;
const IS_GIVEN = 2;
/** A task's frame that is no page's any more. */
const UNBOUND = 0xff;

export class Codec {
  readonly stride: number;
  readonly #world: World;
  readonly #pages: number;
  readonly #processes: number;
  readonly #tasks: number;
  readonly #lruAt: number;
  readonly #cellsAt: number;
  readonly #tasksAt: number;

  // What is gathered before it is written in some order.
  readonly #kept: Uint8Array;
  readonly #flags: Uint16Array;
  readonly #extra: Uint8Array;
  readonly #frames: Int32Array;
  readonly #lru: Int32Array;
  readonly #cells: Uint32Array;
  readonly #pageKeys: Int32Array;
  readonly #processKeys: Int32Array;
  #lruCount = 0;
  readonly #candidate: Uint8Array;
  /** The order of processes, pages and tasks in the last vector: `processOrder[i]` is at place `i` there. */
  processOrder: readonly number[] = [];
  pageOrder: readonly number[] = [];
  taskOrder: readonly number[] = [];

  // What tasks are loaded into.
  readonly #accesses: Access[] = [];
  readonly #pageOuts: PageOut[] = [];

  constructor(world: World) {
    const { pages, processes, accesses, pageOuts } = world.scope;
    this.#world = world;
    this.#pages = pages;
    this.#processes = processes;
    this.#tasks = accesses + pageOuts;
    this.#lruAt = HEADER_BYTES + pages * PAGE_BYTES;
    this.#cellsAt = this.#lruAt + pages;
    this.#tasksAt = this.#cellsAt + processes * pages * CELL_BYTES;
    this.stride = Math.ceil((this.#tasksAt + this.#tasks * TASK_BYTES) / 4) * 4;
    this.#kept = new Uint8Array(pages);
    this.#flags = new Uint16Array(pages);
    this.#extra = new Uint8Array(pages);
    this.#frames = new Int32Array(pages);
    this.#lru = new Int32Array(pages);
    this.#cells = new Uint32Array(processes * pages);
    this.#pageKeys = new Int32Array(pages);
    this.#processKeys = new Int32Array(processes);
    this.#candidate = new Uint8Array(this.stride);
  }

  save(to: Uint8Array, offset: number): void {
    this.#gather();
    this.#setKeys();
    const processOrders = ordersWithin(this.#processKeys, this.#processes);
    const pageOrders = ordersWithin(this.#pageKeys, this.#pages);
    let bestProcesses: readonly number[] | undefined;
    let bestPages: readonly number[] = pageOrders[0];
    if (processOrders.length * pageOrders.length === 1) {
      this.processOrder = processOrders[0];
      this.pageOrder = bestPages;
      this.#write(to, offset);
      return;
    }
    for (const processOrder of processOrders)
      for (const pageOrder of pageOrders) {
        this.processOrder = processOrder;
        this.pageOrder = pageOrder;
        this.#write(this.#candidate, 0);
        if (bestProcesses !== undefined && !isLess(this.#candidate, to, offset)) continue;
        bestProcesses = processOrder;
        bestPages = pageOrder;
        for (let i = 0; i < this.stride; i++) to[offset + i] = this.#candidate[i];
      }
    this.processOrder = bestProcesses ?? [];
    this.pageOrder = bestPages;
  }

  #gather(): void {
    const { object, kernel, tasks } = this.#world;
    const { flags, refcount, mapcount } = kernel.frames;
    for (let page = 0; page < this.#pages; page++) {
      const entry = object.get(page);
      const frame = entry < 0 ? kernel.swap.lookUp(swapOfCacheEntry(entry)) : entry;
      const isHeld = frame > 0;
      const zero = entry !== 0 && this.#world.expected[page] === 0 ? IS_ZERO : 0;
      this.#kept[page] =
        zero | (entry < 0 ? (isHeld ? KEPT.SWAP_CACHED : KEPT.SWAPPED) : isHeld ? KEPT.CACHED : KEPT.HOLE);
      this.#frames[page] = isHeld ? frame : 0;
      this.#flags[page] = isHeld ? flags[frame] : 0;
      this.#extra[page] = isHeld ? refcount[frame] - mapcount[frame] - 1 : 0;
    }
    this.#gatherLru();
    for (let place = 0; place < this.#processes; place++) this.#gatherProcess(place);
    if (tasks.length > this.#tasks) throw new Error(`${tasks.length} tasks, and room for ${this.#tasks}`);
  }

  #gatherLru(): void {
    const { lru, frames } = this.#world.kernel;
    this.#lruCount = 0;
    for (const list of [LRU_INACTIVE_ANON, LRU_ACTIVE_ANON])
      for (let pfn = lru.tail(0, list); pfn !== 0; pfn = frames.lruPrev[pfn])
        this.#lru[this.#lruCount++] = this.#frames.indexOf(pfn);
  }

  #gatherProcess(place: number): void {
    const world = this.#world;
    const process = world.processes[place];
    const at = place * this.#pages;
    if (process === undefined) {
      this.#cells.fill(NO_CELL, at, at + this.#pages);
      return;
    }
    const offset = world.pteOffset(process, 0);
    const chunk = offset < 0 ? undefined : world.chunkOf(process);
    for (let page = 0; page < this.#pages; page++) {
      const pte =
        chunk === undefined ? 0 : this.#pteCode(chunk[offset + page * 2], chunk[offset + page * 2 + 1]);
      this.#cells[at + page] = pte | ((pte === 0 ? world.why[at + page] : 0) << 16);
    }
  }

  #pteCode(lo: number, hi: number): number {
    if ((lo & (PTE_PRESENT | PTE_GLOBAL)) !== 0) return lo & 0xfff;
    if ((lo | hi) === 0) return 0;
    return MARKER | ((~lo >>> 9) & 0xff);
  }

  /** Keys by which pages and processes are put in order, whatever order they are in. */
  #setKeys(): void {
    for (let page = 0; page < this.#pages; page++) {
      let key = mix((this.#kept[page] << 24) | (this.#extra[page] << 16) | this.#flags[page]);
      for (let place = 0; place < this.#processes; place++)
        key = (key + mix(this.#cells[place * this.#pages + page] + 1)) | 0;
      this.#pageKeys[page] = key;
    }
    for (let i = 0; i < this.#lruCount; i++) this.#pageKeys[this.#lru[i]] += mix(1000 + i);
    this.#processKeys.fill(0);
    for (const task of this.#world.tasks) this.#addTaskKey(task);
    for (let place = 0; place < this.#processes; place++)
      for (let page = 0; page < this.#pages; page++)
        this.#processKeys[place] += mix(this.#cells[place * this.#pages + page] ^ this.#pageKeys[page]);
  }

  #addTaskKey(task: Access | PageOut): void {
    const world = this.#world;
    if (task instanceof Access) {
      const place = world.processes.findIndex((process) => process?.mm === task.fault.mm);
      const page = task.fault.vpn - BASE;
      const key = mix(7000 + ACCESS_STAGES.indexOf(task.stage) * 2 + (task.fault.isWrite ? 1 : 0));
      this.#pageKeys[page] += key;
      this.#processKeys[place] += key;
      return;
    }
    const page = this.#frames.indexOf(task.pfn);
    if (page >= 0) this.#pageKeys[page] += mix(8000 + PAGE_OUT_STAGES.indexOf(task.stage));
    const mappers = this.#mapperMask(task);
    for (let place = 0; place < this.#processes; place++)
      if ((mappers & (1 << place)) !== 0) this.#processKeys[place] += mix(9000);
  }

  #write(to: Uint8Array, offset: number): void {
    const { area, started, tasks } = this.#world;
    let processes = 0;
    to[offset] = area === undefined ? 0 : 1;
    to[offset + 2] = started.accesses;
    to[offset + 3] = started.pageOuts;
    to[offset + 4] = started.calls;
    let at = offset + HEADER_BYTES;
    for (const page of this.pageOrder) {
      to[at++] = this.#kept[page];
      to[at++] = this.#flags[page];
      to[at++] = this.#flags[page] >>> 8;
      to[at++] = this.#extra[page];
    }
    for (let i = 0; i < this.#pages; i++)
      to[at++] = i < this.#lruCount ? this.pageOrder.indexOf(this.#lru[i]) + 1 : 0;
    for (let i = 0; i < this.#processes; i++) {
      const cells = this.processOrder[i] * this.#pages;
      if (this.#cells[cells] !== NO_CELL) processes |= 1 << i;
      for (const page of this.pageOrder) {
        const cell = this.#cells[cells + page];
        to[at++] = cell;
        to[at++] = cell >>> 8;
        to[at++] = (cell >>> 16) & 0xff;
      }
    }
    to[offset + 1] = processes;
    for (; at < offset + this.stride; ) to[at++] = 0;
    if (tasks.length > 0) this.#saveTasks(to, offset + this.#tasksAt);
  }

  // A task: what it is, stage, place (+1), page, bits, frame, PTE seen (2), mappers left, flags of an unbound
  // frame (2).

  #saveTasks(to: Uint8Array, at: number): void {
    const records = this.#world.tasks.map((task) => this.#taskRecord(task));
    this.taskOrder = records.map((_, i) => i).sort((a, b) => compareBytes(records[a], records[b]));
    for (const task of this.taskOrder) {
      to.set(records[task], at);
      at += TASK_BYTES;
    }
  }

  #taskRecord(task: Access | PageOut): Uint8Array {
    const record = new Uint8Array(TASK_BYTES);
    if (task instanceof Access) {
      const { fault } = task;
      const stage = ACCESS_STAGES.indexOf(task.stage);
      if (stage < 0) throw new Error(`an access at stage "${task.stage}" is not in the scope`);
      const place = this.#world.processes.findIndex((process) => process?.mm === fault.mm);
      record[0] = 1;
      record[1] = stage;
      record[2] = this.processOrder.indexOf(place) + 1;
      record[3] = this.pageOrder.indexOf(fault.vpn - BASE);
      record[4] = fault.isWrite ? IS_WRITE : 0;
      if (task.stage === "install") record[5] = this.#frameRef(fault.pfn);
      if (task.stage !== "walk" && task.stage !== "look") {
        const seen = this.#pteCode(fault.origLo, fault.origHi);
        if (seen !== 0 && (seen & MARKER) === 0)
          throw new Error("a fault on a present page is not in the scope");
        record[6] = seen;
        record[7] = seen >>> 8;
      }
      return record;
    }
    const stage = PAGE_OUT_STAGES.indexOf(task.stage);
    if (stage < 0) throw new Error(`a page-out at stage "${task.stage}" is not in the scope`);
    record[0] = 2;
    record[1] = stage;
    record[4] = task.isGiven ? IS_GIVEN : 0;
    record[5] = this.#frameRef(task.pfn);
    if (record[5] === UNBOUND) {
      record[9] = this.#world.kernel.frames.flags[task.pfn];
      record[10] = this.#world.kernel.frames.flags[task.pfn] >>> 8;
    }
    const mappers = this.#mapperMask(task);
    for (let i = 0; i < this.#processes; i++)
      if ((mappers & (1 << this.processOrder[i])) !== 0) record[8] |= 1 << i;
    return record;
  }

  /** The page that a frame holds, from 1. */
  #frameRef(pfn: number): number {
    const page = this.#frames.indexOf(pfn);
    return page < 0 ? UNBOUND : this.pageOrder.indexOf(page) + 1;
  }

  /** The places of processes that a page-out is still to take the page from. */
  #mapperMask(task: PageOut): number {
    if (task.stage !== "unmap") return 0;
    let mask = 0;
    for (let i = task.nextMapper; i < task.mappers.length; i++) {
      const place = this.#world.processes.findIndex((process) => process?.mm === task.mappers[i].mm);
      if (place >= 0) mask |= 1 << place;
    }
    return mask;
  }

  load(from: Uint8Array, offset: number): void {
    const world = this.#world;
    this.#loadProcesses(from[offset + 1]);
    this.#reset(from[offset] === 1);
    world.started.accesses = from[offset + 2];
    world.started.pageOuts = from[offset + 3];
    world.started.calls = from[offset + 4];
    this.#loadPages(from, offset + HEADER_BYTES);
    this.#loadCells(from, offset);
    for (let i = 0; i < this.#pages; i++) {
      const page = from[offset + this.#lruAt + i] - 1;
      if (page < 0) break;
      const frame = this.#frames[page];
      const { kernel } = world;
      kernel.frames.flags[frame] &= ~PG_LRU;
      kernel.lru.add(frame);
    }
    world.tasks.length = 0;
    if (this.#tasks > 0) this.#loadTasks(from, offset + this.#tasksAt);
    world.group.usagePages = world.kernel.frames.sizePages - world.kernel.frames.freeCount;
  }

  /** Makes just those processes be there. PTEs are cleared first, so that ending one takes nothing along. */
  #loadProcesses(mask: number): void {
    const world = this.#world;
    for (let place = 0; place < this.#processes; place++) {
      const process = world.processes[place];
      if (process !== undefined) {
        const i = world.pteOffset(process, 0);
        if (i >= 0) world.chunkOf(process).fill(0, i, i + this.#pages * 2);
      }
      const isThere = (mask & (1 << place)) !== 0;
      if (isThere && process === undefined) world.addProcess(place);
      else if (!isThere && process !== undefined) {
        process.exit();
        world.processes[place] = undefined;
      }
    }
  }

  #reset(isSwapOn: boolean): void {
    const world = this.#world;
    const { kernel, object } = world;
    for (let page = 0; page < this.#pages; page++) object.set(page, 0);
    kernel.frames.reset();
    kernel.lru.reset(1);
    world.area?.reset();
    if (isSwapOn && world.area === undefined) world.swapon();
    else if (!isSwapOn && world.area !== undefined) {
      kernel.swap.removeArea(world.area);
      world.area = undefined;
    }
    // What nobody should read.
    world.words.fill(0xdead);
    world.device.store.words.fill(0xdead);
  }

  #loadPages(from: Uint8Array, start: number): void {
    const world = this.#world;
    const { object, kernel } = world;
    const { frames } = kernel;
    for (let page = 0, at = start; page < this.#pages; page++, at += PAGE_BYTES) {
      const kept = from[at] & ~IS_ZERO;
      const value = kept === KEPT.HOLE || (from[at] & IS_ZERO) !== 0 ? 0 : page + 1;
      world.expected[page] = value;
      this.#frames[page] = 0;
      if (kept === KEPT.HOLE) continue;
      let frame = 0;
      if (kept !== KEPT.SWAPPED) {
        frame = frames.take();
        this.#frames[page] = frame;
        frames.flags[frame] = from[at + 1] | (from[at + 2] << 8);
        frames.refcount[frame] = 1 + from[at + 3];
        world.words[frame] = value;
      }
      if (kept === KEPT.CACHED) {
        frames.mapping[frame] = object.id;
        frames.setIndex(frame, page);
        object.set(page, frame);
        continue;
      }
      const area = world.area;
      if (area === undefined) throw new Error("a page in swap, and no swap");
      const slot = area.takeSlot();
      const entry = packSwapEntry(area.type, slot);
      area.counts[slot] = 1;
      world.device.store.words[slot] = value;
      object.set(page, cacheEntryOfSwap(entry));
      if (kept !== KEPT.SWAP_CACHED) continue;
      area.cache[slot] = frame;
      frames.swapEntry[frame] = entry;
      frames.flags[frame] |= PG_SWAPCACHE;
    }
  }

  #loadCells(from: Uint8Array, offset: number): void {
    const world = this.#world;
    const { frames, pageTables } = world.kernel;
    for (let place = 0; place < this.#processes; place++) {
      const process = world.processes[place];
      let at = offset + this.#cellsAt + place * this.#pages * CELL_BYTES;
      if (process === undefined) continue;
      for (let page = 0; page < this.#pages; page++, at += CELL_BYTES) {
        const pte = from[at] | (from[at + 1] << 8);
        world.why[place * this.#pages + page] = from[at + 2];
        if (pte === 0) continue;
        const table = process.mm.pageTables.ensure(BASE + page);
        const chunk = pageTables.chunkOf(table);
        const i = world.pteOffset(process, page);
        if ((pte & MARKER) !== 0) {
          pageTables.write(chunk, i, this.#markerLo(pte), this.#markerHi(pte));
          continue;
        }
        const frame = this.#frames[page];
        frames.mapcount[frame]++;
        frames.refcount[frame]++;
        pageTables.write(chunk, i, (frame << 12) | pte, process.mm.vmas[0].protHi);
      }
    }
  }

  #markerLo(pte: number): number {
    return swapPteLo(pte & ~MARKER, 0);
  }

  #markerHi(pte: number): number {
    return swapPteHi(this.#world.kernel.markers?.type ?? 0, pte & ~MARKER);
  }

  #loadTasks(from: Uint8Array, start: number): void {
    let accesses = 0;
    let pageOuts = 0;
    for (let i = 0, at = start; i < this.#tasks && from[at] !== 0; i++, at += TASK_BYTES)
      this.#world.tasks.push(
        from[at] === 1 ? this.#loadAccess(accesses++, from, at) : this.#loadPageOut(pageOuts++, from, at),
      );
  }

  #loadAccess(number: number, from: Uint8Array, at: number): Access {
    const { mm } = this.#world.processes[from[at + 2] - 1] as Process;
    const vpn = BASE + from[at + 3];
    let access = this.#accesses[number];
    if (access === undefined) {
      access = new Access(mm, vpn, "load");
      this.#accesses[number] = access;
    }
    const { fault } = access;
    const seen = from[at + 6] | (from[at + 7] << 8);
    access.stage = ACCESS_STAGES[from[at + 1]];
    access.result = "ok";
    fault.mm = mm;
    fault.vma = mm.vmas[0];
    fault.areaFlags = fault.vma.flags;
    fault.vpn = vpn;
    fault.isWrite = (from[at + 4] & IS_WRITE) !== 0;
    fault.isBlocked = false;
    fault.isMajor = false;
    fault.result = "ok";
    fault.kind = "object";
    fault.stage = access.stage === "walk" ? "done" : access.stage;
    fault.pfn = access.stage === "install" ? this.#frames[from[at + 5] - 1] : 0;
    fault.origLo = seen === 0 ? 0 : this.#markerLo(seen) | 0;
    fault.origHi = seen === 0 ? 0 : this.#markerHi(seen) | 0;
    return access;
  }

  #loadPageOut(number: number, from: Uint8Array, at: number): PageOut {
    const { kernel, processes } = this.#world;
    let pageOut = this.#pageOuts[number];
    if (pageOut === undefined) {
      pageOut = new PageOut();
      this.#pageOuts[number] = pageOut;
    }
    let frame: number;
    if (from[at + 5] === UNBOUND) {
      frame = kernel.frames.take();
      kernel.frames.flags[frame] = from[at + 9] | (from[at + 10] << 8);
    } else frame = this.#frames[from[at + 5] - 1];
    pageOut.begin(frame, true);
    pageOut.stage = PAGE_OUT_STAGES[from[at + 1]];
    pageOut.isGiven = (from[at + 4] & IS_GIVEN) !== 0;
    if (pageOut.isGiven) this.#world.words[frame] = 0xdead;
    pageOut.mappers.length = 0;
    pageOut.nextMapper = 0;
    for (let place = 0; place < this.#processes; place++)
      if ((from[at + 8] & (1 << place)) !== 0) pageOut.mappers.push(processes[place]?.mm.vmas[0] as Vma);
    return pageOut;
  }
}
