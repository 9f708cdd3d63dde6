/** The machine: configuration, memory, swap, objects and processes. Everything else works on one of these. */

import {
  Errno,
  type MarkerLayout,
  markerPteHi,
  markerPteLo,
  PAGE_SIZE,
  PTE_SOFT_DIRTY,
} from "../abi/index.ts";
import { AnonVmas } from "./anon-vma.ts";
import {
  behaviourOf,
  ConfigError,
  DEFAULT_PROFILE,
  type KernelConfig,
  makeConfig,
  markerLayoutOf,
  type ReleaseBehaviour,
  swapTypesOf,
} from "./config.ts";
import { Fault } from "./fault.ts";
import { checkInvariants } from "./invariants.ts";
import { LruLists } from "./lru.ts";
import { Memfd } from "./memfd.ts";
import { GROUPS_MAX, type MemoryGroup, MemoryGroups } from "./memory-group.ts";
import type { Mm } from "./mm.ts";
import { type Watermarks, watermarksFor } from "./page-alloc.ts";
import { BYTES_PER_FRAME, PageFrames, PG_ANON } from "./page-frames.ts";
import { BLOCKED, PageLockedError } from "./page-lock.ts";
import { PageOut } from "./page-out.ts";
import { ChunkedPageStore, NoPageStore, type PageStore, WordPageStore } from "./page-store.ts";
import { PageTablePool } from "./page-table.ts";
import { PagemapCache } from "./pagemap-cache.ts";
import { Process } from "./process.ts";
import { isolate, reclaim, reclaimAll, reclaimPages } from "./reclaim.ts";
import { ShmemObject } from "./shmem-object.ts";
import { Swap, type SwapArea } from "./swap.ts";
import type { SwapDevice } from "./swap-device/device.ts";
import { SwapReadahead } from "./swap-in.ts";
import { swapoff } from "./swapoff.ts";
import { Vmstat, Work } from "./vmstat.ts";

export interface KernelOptions {
  /** A named profile: "rfc", "linux-6.1" or "linux-6.18". */
  readonly profile?: string;
  /** Switches set otherwise than in the profile. */
  readonly config?: Partial<KernelConfig>;
  /** Size of memory; 65,536 pages (256 MiB) unless given. */
  readonly memoryPages?: number;
  /** Swap areas, of falling priority. */
  readonly swap?: readonly SwapDevice[];
  /**
   * Whether pages have bytes; without, only their state is simulated, and every load gives 0. "words": one
   * word stands for a page.
   */
  readonly contents?: boolean | "words";
}

/** What the model itself takes, bytes. */
export interface MemoryUse {
  readonly bytesPerFrame: number;
  readonly framesBytes: number;
  readonly pageTablesBytes: number;
  readonly pageCacheBytes: number;
  readonly contentsBytes: number;
}

const DEFAULT_MEMORY_PAGES = 65536;
/** Frame numbers and LRU links are 31 bits. */
const MEMORY_PAGES_MAX = 2 ** 30;

function makeContents(contents: boolean | "words", sizePages: number): PageStore {
  if (contents === "words") return new WordPageStore(sizePages);
  return contents ? new ChunkedPageStore(sizePages) : new NoPageStore();
}

/**
 * A simulated kernel.
 *
 * ```ts
 * const kernel = new Kernel({ profile: "rfc", swap: [new MemorySwapDevice({ slots: 1024 })] });
 * const process = kernel.createProcess();
 * const object = kernel.memfdCreate({ sizePages: 1 });
 * const address = process.mmap({ lengthBytes: 4096, object, shared: true, write: true });
 * process.storeU64(address, 7n);
 * process.madvise(address, 4096, "PAGEOUT");
 * ```
 */
export class Kernel {
  readonly config: KernelConfig;
  readonly behaviour: ReleaseBehaviour;
  /** The layout of PTE markers; undefined without PTE_MARKER. */
  readonly markers: MarkerLayout | undefined;
  /**
   * The markers that page-out and userfaultfd leave, as PTE words (signed, so that they are no
   * boxed doubles); 0 where the configuration has none.
   */
  readonly pageoutMarkerLo: number = 0;
  readonly pageoutMarkerHi: number = 0;
  readonly uffdWpMarkerLo: number = 0;
  readonly uffdWpMarkerHi: number = 0;
  /** What a write sets besides the dirty bit: PTE_SOFT_DIRTY, or 0 without MEM_SOFT_DIRTY. */
  readonly softDirtyBit: number;
  readonly faultAroundPages: number;

  readonly frames: PageFrames;
  readonly watermarks: Watermarks;
  readonly groups: MemoryGroups;
  readonly lru: LruLists;
  readonly swap: Swap;
  readonly readahead: SwapReadahead;
  readonly vmstat = new Vmstat();
  readonly work = new Work();
  readonly pageTables = new PageTablePool(this.work);
  readonly anonVmas = new AnonVmas();
  readonly pagemapCache = new PagemapCache();

  /** The fault that accesses drive from start to end; a scheduler has its own. */
  readonly fault = new Fault();
  /** Reclaim does not start within reclaim. */
  isReclaiming = false;
  /** Set when a page had to be read from swap; for the fault that asked. */
  majorFault = false;

  readonly #objects = new Map<number, ShmemObject>();
  readonly #processes = new Map<number, Process>();
  #nextObject = 1;
  #nextPid = 1;

  /** Throws a {@link ConfigError} for options that can't be. */
  constructor(options: KernelOptions = {}) {
    this.config = makeConfig(options.profile ?? DEFAULT_PROFILE, options.config);
    this.behaviour = behaviourOf(this.config.release);
    this.markers = markerLayoutOf(this.config);
    if (this.markers !== undefined) {
      const { PAGEOUT, UFFD_WP } = this.markers;
      this.pageoutMarkerLo = PAGEOUT === 0 ? 0 : markerPteLo(PAGEOUT) | 0;
      this.pageoutMarkerHi = PAGEOUT === 0 ? 0 : markerPteHi(this.markers, PAGEOUT) | 0;
      this.uffdWpMarkerLo = UFFD_WP === 0 ? 0 : markerPteLo(UFFD_WP) | 0;
      this.uffdWpMarkerHi = UFFD_WP === 0 ? 0 : markerPteHi(this.markers, UFFD_WP) | 0;
    }
    this.softDirtyBit = this.config.MEM_SOFT_DIRTY ? PTE_SOFT_DIRTY : 0;
    this.faultAroundPages = this.config.fault_around_bytes / PAGE_SIZE;

    const memoryPages = options.memoryPages ?? DEFAULT_MEMORY_PAGES;
    if (!Number.isInteger(memoryPages) || memoryPages < 1 || memoryPages > MEMORY_PAGES_MAX)
      throw new ConfigError(`memoryPages ${memoryPages}: must be an integer from 1 to ${MEMORY_PAGES_MAX}`);
    const contents = makeContents(options.contents ?? true, memoryPages + 1);
    this.frames = new PageFrames(memoryPages, contents);
    this.watermarks = watermarksFor(memoryPages);
    this.groups = new MemoryGroups(this.frames);
    this.lru = new LruLists(this.frames, GROUPS_MAX);
    this.swap = new Swap(
      this.frames,
      this.groups,
      this.vmstat,
      this.work,
      swapTypesOf(this.config).maxSwapfiles,
    );
    this.readahead = new SwapReadahead(this.config.page_cluster);
    for (const device of options.swap ?? []) this.swapon(device);
  }

  /** A new process with an empty address space; in the root group unless `group` is given. */
  createProcess(options: { readonly group?: MemoryGroup } = {}): Process {
    return this.addProcess(options.group ?? this.groups.root);
  }

  /** Adds a process in a group. For `fork`; others call {@link createProcess}. */
  addProcess(group: MemoryGroup): Process {
    const process = new Process(this, this.#nextPid++, group);
    this.#processes.set(process.pid, process);
    return process;
  }

  /** Forgets a process that has ended. */
  removeProcess(process: Process): void {
    this.#processes.delete(process.pid);
  }

  get processes(): readonly Process[] {
    return [...this.#processes.values()];
  }

  get mms(): readonly Mm[] {
    return this.processes.map((process) => process.mm);
  }

  /** A group of processes with a memory limit (in pages; none unless given). */
  createGroup(name: string, options: { readonly limitPages?: number } = {}): MemoryGroup {
    return this.groups.create(name, options.limitPages ?? Number.POSITIVE_INFINITY);
  }

  /** `memfd_create` and `ftruncate`. */
  memfdCreate(options: { readonly sizePages: number }): Memfd {
    const sizeBytes = options.sizePages * PAGE_SIZE;
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0)
      throw new Errno("EINVAL", "ftruncate", `${options.sizePages} pages`);
    return new Memfd(this, this.createObject(sizeBytes));
  }

  /** A new shmem object. */
  createObject(sizeBytes: number): ShmemObject {
    const object = new ShmemObject(this.#nextObject++, sizeBytes);
    this.#objects.set(object.id, object);
    return object;
  }

  /** Forgets an object without pages. */
  forgetObject(object: ShmemObject): void {
    this.#objects.delete(object.id);
  }

  object(id: number): ShmemObject {
    const object = this.#objects.get(id);
    if (object === undefined) throw new Error(`shmem object ${id} does not exist`);
    return object;
  }

  get objects(): readonly ShmemObject[] {
    return [...this.#objects.values()];
  }

  /** Adds a swap area; of lower priority than those there are, unless one is given. */
  swapon(device: SwapDevice, options: { readonly priority?: number } = {}): SwapArea {
    return this.swap.addArea(device, options.priority);
  }

  /**
   * Reads all of an area back and removes it. False if there is no room: then it stays on. Throws a
   * {@link PageLockedError} if a task in flight has one of its pages.
   */
  swapoff(area: SwapArea): boolean {
    const result = swapoff(this, area);
    if (result === BLOCKED) throw new PageLockedError("swapoff");
    return result === 0;
  }

  /** Reclaims up to `targetPages` from a group, or from all. Returns how many pages were freed. */
  reclaim(options: { readonly targetPages: number; readonly group?: MemoryGroup }): number {
    return reclaim(this, { group: options.group ?? null, targetPages: options.targetPages });
  }

  /** Reclaims whatever can be, from a group or from all. Returns how many pages were freed. */
  reclaimAll(group: MemoryGroup | null = null): number {
    return reclaimAll(this, group);
  }

  /** Pages out these frames, used lately or not. Returns how many were freed. */
  reclaimPages(frames: readonly number[]): number {
    return reclaimPages(this, frames);
  }

  /** A page-out of a frame, begun: for a scheduler that steps it. Undefined if the frame is on no list. */
  startPageOut(frame: number): PageOut | undefined {
    if (!isolate(this, frame)) return undefined;
    const pageOut = new PageOut();
    pageOut.begin(frame, true);
    return pageOut;
  }

  /**
   * Checks everything that must always be true; throws an Error that says what isn't. Costs a walk over all
   * state. `tasksInFlight`: faults or page-outs are half done.
   */
  checkInvariants(options: { readonly tasksInFlight?: boolean } = {}): void {
    checkInvariants(this, options.tasksInFlight);
  }

  /** Whether a frame holds a private page, not an object's. False for no frame and for the zero page. */
  isAnonymous(frame: number): boolean {
    return frame > 0 && (this.frames.flags[frame] & PG_ANON) !== 0;
  }

  memoryUse(): MemoryUse {
    const bytesPerFrame = BYTES_PER_FRAME + this.frames.contents.bytesPerPage;
    let pageCacheBytes = 0;
    for (const object of this.#objects.values()) pageCacheBytes += object.allocatedBytes;
    return {
      bytesPerFrame,
      framesBytes: bytesPerFrame * (this.frames.sizePages + 1),
      pageTablesBytes: this.pageTables.allocatedBytes,
      pageCacheBytes,
      contentsBytes: this.frames.contents.allocatedBytes(),
    };
  }
}
