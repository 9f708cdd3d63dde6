/**
 * What op programs on the running kernel have around them: driven processes with swap of their own, and the settings
 * that make a run repeatable. Set up once, for any number of machines, one after the other; taken down however we end.
 */

import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import {
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
import { DrivenGroup, RECLAIM_ROUNDS } from "../linux/driven-group.ts";
import { SYS } from "../linux/libc.ts";
import type { MachineLockOptions } from "../linux/machine-lock.ts";
import { PagemapFile } from "../linux/pagemap.ts";
import { holdSetting, readSetting } from "../linux/setting.ts";
import type { SwapSpace } from "../linux/swap-space.ts";
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

const PR_SET_THP_DISABLE = 41;

export class LinuxHost extends DrivenGroup {
  /** Other swap that the machine has: without ours, pages go there. */
  readonly otherSwap: readonly string[];
  /** What a trace made here says of the kernel. */
  readonly header: Pick<TraceHeader, "kernel" | "config">;

  private constructor(swap: SwapSpace) {
    super(swap, { name: "ptemark-script" });
    try {
      this.otherSwap = swapAreas(readFileSync("/proc/swaps", "utf8")).filter((path) => path !== swap.path);
      holdSetting(swap.guard, { path: PAGE_CLUSTER, value: "0" });
      if (existsSync(SHMEM_ENABLED) && UNASKED.includes(readSetting(SHMEM_ENABLED))) {
        holdSetting(swap.guard, { path: SHMEM_ENABLED, value: "never" });
      }
      this.keeper.syscall(SYS.prctl, PR_SET_THP_DISABLE, 1, 0, 0, 0);
      this.header = { kernel: release(), config: this.#config() };
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Waits for the machine's swap lock, then sets all up.
   *
   * @throws {LinuxError} for want of privilege, zram, or a memory cgroup
   */
  static async create(options: MachineLockOptions = {}): Promise<LinuxHost> {
    return new LinuxHost(await ZramSwap.create({ sizeBytes: SWAP_BYTES, ...options }));
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
}

/** The swap areas in the text of /proc/swaps. */
export function swapAreas(text: string): string[] {
  return text
    .split("\n")
    .slice(1)
    .filter((line) => line !== "")
    .map((line) => line.split(/\s/)[0]);
}
