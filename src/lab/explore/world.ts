/** What is explored: a kernel with one object, the processes that map it, and tasks in flight. */

import { Access } from "../../model/access.ts";
import {
  Kernel,
  type Memfd,
  type MemoryGroup,
  type PageOut,
  type Process,
  type SwapArea,
  type SwapDevice,
} from "../../model/index.ts";
import { WordPageStore } from "../../model/page-store.ts";
import { entryOffset } from "../../model/page-table.ts";
import type { ShmemObject } from "../../model/shmem-object.ts";
import { checkScope, type ExploreScope } from "./scope.ts";

/**
 * Where the object is mapped, a page number: fault-around's window covers all of it, and it is a small
 * integer, not a boxed double.
 */
export const BASE = 0x10_0000;
const PAGE_SIZE = 4096;

/** Swap whose slots hold a word, as the memory's pages do. */
class WordSwapDevice implements SwapDevice {
  readonly slots: number;
  readonly synchronous: boolean;
  readonly store: WordPageStore;

  constructor(slots: number, synchronous: boolean) {
    this.slots = slots;
    this.synchronous = synchronous;
    this.store = new WordPageStore(slots);
  }

  read(slot: number, pages: WordPageStore, page: number): void {
    pages.copy(page, this.store, slot);
  }

  write(slot: number, pages: WordPageStore, page: number): void {
    this.store.copy(slot, pages, page);
  }

  take(slot: number, pages: WordPageStore, page: number): void {
    pages.move(page, this.store, slot);
  }

  give(slot: number, pages: WordPageStore, page: number): void {
    this.store.move(slot, pages, page);
  }

  free(): void {}
  close(): void {}
}

/** Why a PTE is none: what the RFC's mechanism forgets. Kept beside the kernel, as part of the state. */
export const WHY = { NEVER: 0, ZAPPED: 1, FORKED: 2, UNMAPPED: 3 } as const;

export type WorldTask = Access | PageOut;

export class World {
  readonly scope: ExploreScope;
  readonly kernel: Kernel;
  readonly group: MemoryGroup;
  readonly memfd: Memfd;
  readonly object: ShmemObject;
  readonly words: Uint32Array;
  readonly device: WordSwapDevice;
  area: SwapArea | undefined;
  /** By place; a place whose process has ended, or is not there yet, is undefined. */
  readonly processes: (Process | undefined)[];
  /** What a load of each page must give. */
  readonly expected: Uint32Array;
  /** For each process and page, a {@link WHY}. */
  readonly why: Uint8Array;
  readonly tasks: WorldTask[] = [];
  /** Accesses, page-outs and calls that have been started since the first task was. */
  readonly started = { accesses: 0, pageOuts: 0, calls: 0 };

  /** Throws a ConfigError for a scope that can't be. */
  constructor(scope: ExploreScope) {
    this.scope = checkScope(scope);
    const { profile, config, pages, processes, accesses, pageOuts } = scope;
    // Enough for all pages and what tasks allocate, above the watermarks.
    const memoryPages = pages + accesses + pageOuts + 4;
    this.kernel = new Kernel({ profile, config, memoryPages, contents: "words" });
    this.group = this.kernel.groups.root;
    this.words = (this.kernel.frames.contents as WordPageStore).words;
    this.device = new WordSwapDevice(scope.swapPages + 1, scope.device === "zram");
    this.memfd = this.kernel.memfdCreate({ sizePages: pages });
    this.object = this.memfd.object;
    this.processes = new Array(processes).fill(undefined);
    this.expected = new Uint32Array(pages);
    this.why = new Uint8Array(processes * pages);
  }

  /** The state that a search begins with: the sharers map the object, and none has touched it. */
  begin(): void {
    this.swapon();
    for (let place = 0; place < this.scope.sharers; place++) this.addProcess(place);
  }

  swapon(): void {
    this.area = this.kernel.swapon(this.device);
  }

  addProcess(place: number): Process {
    const process = this.kernel.createProcess();
    process.mmap({
      address: BASE * PAGE_SIZE,
      fixed: true,
      lengthBytes: this.scope.pages * PAGE_SIZE,
      object: this.memfd,
      shared: true,
      write: true,
    });
    this.processes[place] = process;
    return process;
  }

  /** Where the PTE of a process' page is in its chunk; -1 if it has no page table. */
  pteOffset(process: Process, page: number): number {
    const table = process.mm.pageTables.find(BASE + page);
    return table === 0 ? -1 : entryOffset(table, BASE + page);
  }

  chunkOf(process: Process): Uint32Array {
    return this.kernel.pageTables.chunkOf(process.mm.pageTables.find(BASE));
  }

  /** Whether a process has a fault in flight, and with it `mmap_lock`. */
  isFaulting(process: Process): boolean {
    return this.tasks.some(
      (task) =>
        task instanceof Access &&
        task.fault.mm === process.mm &&
        task.stage !== "walk" &&
        task.stage !== "done",
    );
  }
}
