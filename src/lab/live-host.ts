/** What experiments on the running kernel have around them: swap of their own, a memory cgroup, a parent of processes. */

import { existsSync } from "node:fs";
import { CpuPin } from "../linux/cpu-pin.ts";
import { DrivenProcess, drainLruBatches, MemoryCgroup, Pidfd, type SwapSpace } from "../linux/index.ts";
import { holdSetting } from "../linux/setting.ts";

const SHMEM_ENABLED = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

export class LiveHost implements Disposable {
  readonly swap: SwapSpace;
  readonly cgroup: MemoryCgroup;
  /** Processes are forked from it; it holds the descriptors, and maps nothing. */
  readonly keeper: DrivenProcess;
  readonly keeperPidfd: Pidfd;
  /** Whether shared memory gets huge pages where a process asks for them. */
  readonly hasHugeShmem: boolean;
  readonly #pin = new CpuPin();

  /** Takes the swap space over. */
  constructor(swap: SwapSpace) {
    this.swap = swap;
    this.hasHugeShmem = existsSync(SHMEM_ENABLED);
    if (this.hasHugeShmem) holdSetting(swap.guard, { path: SHMEM_ENABLED, value: "advise" });
    this.cgroup = MemoryCgroup.create("ptemark-lab");
    this.keeper = DrivenProcess.spawn();
    this.cgroup.add(this.keeper.pid);
    this.keeperPidfd = Pidfd.open(this.keeper.pid);
  }

  /** Everything that can leave memory does, however many map it. */
  reclaim(): void {
    drainLruBatches();
    this.cgroup.reclaimAll();
  }

  [Symbol.dispose](): void {
    this.keeperPidfd[Symbol.dispose]();
    this.keeper[Symbol.dispose]();
    this.#pin[Symbol.dispose]();
    this.cgroup[Symbol.dispose]();
    this.swap[Symbol.dispose]();
  }
}
