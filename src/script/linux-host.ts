/**
 * What op programs on the running kernel have around them: swap of their own, a memory cgroup, and the settings that
 * make a run repeatable. Set up once, for any number of machines, one after the other; taken down however we end.
 */

import { existsSync, readFileSync } from "node:fs";
import { availableParallelism, release } from "node:os";
import { join } from "node:path";
import {
  layOutSwapTypes,
  MADV,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PAGE_SIZE,
  PM_HI_SOFT_DIRTY,
  PROT_READ,
  PROT_WRITE,
  UFFD_FEATURE_WP_ASYNC,
  UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
} from "../abi/index.ts";
import { readAttribute } from "../linux/attribute.ts";
import { MemoryCgroup } from "../linux/cgroup.ts";
import { CpuPin } from "../linux/cpu-pin.ts";
import { DrivenProcess } from "../linux/driven-process.ts";
import { SYS } from "../linux/libc.ts";
import { LinuxError } from "../linux/linux-error.ts";
import type { MachineLockOptions } from "../linux/machine-lock.ts";
import { PagemapFile } from "../linux/pagemap.ts";
import { Pidfd } from "../linux/pidfd.ts";
import { holdSetting, readSetting } from "../linux/setting.ts";
import { Userfaultfd } from "../linux/userfaultfd.ts";
import { ZramSwap } from "../linux/zram.ts";
import type { TraceHeader } from "./trace.ts";

/** Programs are small; the device takes memory only for what is written to it. */
const SWAP_BYTES = 2 ** 30;

const PAGE_CLUSTER = "/proc/sys/vm/page-cluster";
const SHMEM_ENABLED = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
/** Values of shmem_enabled with which an object gets huge pages that nobody asked for. */
const UNASKED = ["always", "within_size", "force"];
const FAULT_AROUND = "/sys/kernel/debug/fault_around_bytes";
const FAULT_AROUND_DEFAULT = 65536;

const RECLAIM_ROUNDS = 3;
const CHANGES_PER_CPU = 128;

const PR_SET_THP_DISABLE = 41;

/** The fewest swap areas that any configuration leaves: entries of higher types are on no device. */
export const SWAP_AREAS_MAX = layOutSwapTypes({
  MEMORY_FAILURE: true,
  MIGRATION: true,
  DEVICE_PRIVATE: true,
  PTE_MARKER: true,
  SWAPIN_ERROR: true,
}).maxSwapfiles;

export class LinuxHost implements Disposable {
  readonly swap: ZramSwap;
  readonly cgroup: MemoryCgroup;
  /**
   * A process that programs' processes are forked from. It owns the objects, and shares its descriptors with all; it
   * maps nothing.
   */
  readonly keeper: DrivenProcess;
  /** Of the keeper, to fetch descriptors. */
  readonly pidfd: Pidfd;
  /** Other swap that the machine has: without ours, pages go there. */
  readonly otherSwap: readonly string[];
  /** What a trace made here says of the kernel. */
  readonly header: Pick<TraceHeader, "kernel" | "config">;
  readonly #held: Disposable[];

  private constructor(swap: ZramSwap, held: Disposable[]) {
    this.swap = swap;
    this.#held = held;
    this.otherSwap = swapAreas(readFileSync("/proc/swaps", "utf8")).filter((path) => path !== swap.path);
    holdSetting(swap.guard, { path: PAGE_CLUSTER, value: "0" });
    if (existsSync(SHMEM_ENABLED) && UNASKED.includes(readSetting(SHMEM_ENABLED))) {
      holdSetting(swap.guard, { path: SHMEM_ENABLED, value: "never" });
    }
    this.cgroup = hold(held, MemoryCgroup.create("ptemark-script"));
    // A page that a CPU has just put in memory waits in a list of that CPU, where page-out by another doesn't see it.
    hold(held, new CpuPin());
    this.keeper = hold(held, DrivenProcess.spawn());
    this.cgroup.add(this.keeper.pid);
    this.keeper.syscall(SYS.prctl, PR_SET_THP_DISABLE, 1, 0, 0, 0);
    this.pidfd = hold(held, Pidfd.open(this.keeper.pid));
    this.header = { kernel: release(), config: this.#config() };
  }

  /**
   * Waits for the machine's swap lock, then sets all up.
   *
   * @throws {LinuxError} for want of privilege, zram, or a memory cgroup
   */
  static async create(options: MachineLockOptions = {}): Promise<LinuxHost> {
    const needs = MemoryCgroup.obstacle();
    if (needs !== undefined) throw new LinuxError({ call: "memory cgroup", needs });
    const held: Disposable[] = [];
    const swap = hold(held, await ZramSwap.create({ sizeBytes: SWAP_BYTES, ...options }));
    try {
      return new LinuxHost(swap, held);
    } catch (error) {
      dispose(held);
      throw error;
    }
  }

  /** Everything that can leave memory does. */
  reclaim(): void {
    for (let round = 0; round < RECLAIM_ROUNDS; round++) {
      this.#refreshCounters();
      this.cgroup.reclaimAll();
    }
  }

  /**
   * Reclaim ages active pages by counters that may be two seconds old. A reader of memory.stat refreshes them, once
   * more than 64 changes for each CPU wait (`memcg_vmstats_needs_flush`, `mm/memcontrol.c`, 6.18): so there are so many.
   */
  #refreshCounters(): void {
    const { keeper } = this;
    const length = CHANGES_PER_CPU * availableParallelism() * PAGE_SIZE;
    const address = keeper.syscall(
      SYS.mmap,
      0,
      length,
      PROT_READ | PROT_WRITE,
      MAP_PRIVATE | MAP_ANONYMOUS,
      -1,
      0,
    );
    keeper.syscall(SYS.madvise, address, length, MADV.POPULATE_WRITE);
    keeper.syscall(SYS.munmap, address, length);
    readAttribute(join(this.cgroup.path, "memory.stat"));
  }

  #config(): TraceHeader["config"] {
    const features = Userfaultfd.offeredFeatures();
    return {
      PTE_MARKER: (features & UFFD_FEATURE_WP_HUGETLBFS_SHMEM) !== 0,
      PTE_MARKER_PAGEOUT: false,
      MEM_SOFT_DIRTY: this.#tracksSoftDirty(),
      fault_around_bytes: existsSync(FAULT_AROUND)
        ? Number(readAttribute(FAULT_AROUND))
        : FAULT_AROUND_DEFAULT,
      page_cluster: 0,
      thp: "never",
      uffd_wp_async: (features & UFFD_FEATURE_WP_ASYNC) !== 0,
      cgroup: this.cgroup.version,
      reclaim_rounds: RECLAIM_ROUNDS,
    };
  }

  /** Whether a page that was just mapped and written is soft-dirty. */
  #tracksSoftDirty(): boolean {
    const { keeper } = this;
    const protection = PROT_READ | PROT_WRITE;
    const address = keeper.syscall(SYS.mmap, 0, PAGE_SIZE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    keeper.storeU64(address, 1n);
    using pagemap = PagemapFile.open(keeper.pid);
    const words = new Uint32Array(2);
    pagemap.read(address / PAGE_SIZE, words);
    keeper.syscall(SYS.munmap, address, PAGE_SIZE);
    return (words[1] & PM_HI_SOFT_DIRTY) !== 0;
  }

  [Symbol.dispose](): void {
    dispose(this.#held);
  }
}

/** The swap areas in the text of /proc/swaps. */
export function swapAreas(text: string): string[] {
  return text
    .split("\n")
    .slice(1)
    .filter((line) => line !== "")
    .map((line) => line.split(/\s/)[0]);
}

function hold<T extends Disposable>(held: Disposable[], one: T): T {
  held.push(one);
  return one;
}

/** The last that was set up goes first; what fails keeps none of the others. */
function dispose(held: Disposable[]): void {
  let failure: unknown;
  for (let one = held.pop(); one !== undefined; one = held.pop()) {
    try {
      one[Symbol.dispose]();
    } catch (error) {
      failure ??= error;
    }
  }
  if (failure !== undefined) throw failure;
}
