/**
 * Driven processes in a memory cgroup of their own, with swap of their own, on one CPU: so that what leaves memory and
 * comes back is what they do, and nothing else.
 */

import { cpus } from "node:os";
import { join } from "node:path";
import { MADV, MAP_ANONYMOUS, MAP_PRIVATE, PAGE_SIZE, PROT_READ, PROT_WRITE } from "../abi/mman.ts";
import { readAttribute } from "./attribute.ts";
import { MemoryCgroup } from "./cgroup.ts";
import { CpuPin } from "./cpu-pin.ts";
import { DrivenProcess } from "./driven-process.ts";
import { SYS } from "./libc.ts";
import { Pidfd } from "./pidfd.ts";
import type { SwapSpace } from "./swap-space.ts";

/** How often everything is reclaimed: pages that were in use are only aged at first. */
export const RECLAIM_ROUNDS = 3;
const CHANGES_PER_CPU = 128;

export class DrivenGroup implements Disposable {
  readonly swap: SwapSpace;
  readonly cgroup: MemoryCgroup;
  /**
   * The process that the others are forked from, so they are in the cgroup, and share its descriptors. It maps nothing
   * for long.
   */
  readonly keeper: DrivenProcess;
  /** Of the keeper, to fetch descriptors. */
  readonly pidfd: Pidfd;
  readonly #held: Disposable[] = [];

  /**
   * Takes the swap over: it goes with the group, or if the group can't be made.
   *
   * @throws {LinuxError} for want of privilege, or of a memory cgroup
   */
  constructor(swap: SwapSpace, { name }: { readonly name: string }) {
    this.swap = this.#hold(swap);
    try {
      this.cgroup = this.#hold(MemoryCgroup.create(name));
      // A page that a CPU has just put in memory waits in a batch of that CPU, where page-out by another can't see it.
      this.#hold(new CpuPin());
      this.keeper = this.#hold(DrivenProcess.spawn());
      this.cgroup.add(this.keeper.pid);
      this.pidfd = this.#hold(Pidfd.open(this.keeper.pid));
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  #hold<T extends Disposable>(one: T): T {
    this.#held.push(one);
    return one;
  }

  /** Everything that can leave memory does, however many map it. */
  reclaim(): void {
    for (let round = 0; round < RECLAIM_ROUNDS; round++) {
      this.#refreshCounters();
      this.cgroup.reclaimAll();
    }
  }

  /**
   * Reclaim ages active pages by counters that may be two seconds old. A reader of memory.stat refreshes them, once
   * more than 64 changes for each CPU wait (`memcg_vmstats_needs_flush`, `mm/memcontrol.c`, 6.18): so many are made.
   */
  #refreshCounters(): void {
    const { keeper, cgroup } = this;
    const length = CHANGES_PER_CPU * cpus().length * PAGE_SIZE;
    const prot = PROT_READ | PROT_WRITE;
    const address = keeper.syscall(SYS.mmap, 0, length, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    keeper.syscall(SYS.madvise, address, length, MADV.POPULATE_WRITE);
    keeper.syscall(SYS.munmap, address, length);
    readAttribute(join(cgroup.path, "memory.stat"));
  }

  /** All others must have ended. What was set up last goes first; what fails keeps none of the others. */
  [Symbol.dispose](): void {
    let failure: unknown;
    for (let one = this.#held.pop(); one !== undefined; one = this.#held.pop()) {
      try {
        one[Symbol.dispose]();
      } catch (error) {
        failure ??= error;
      }
    }
    if (failure !== undefined) throw failure;
  }
}
