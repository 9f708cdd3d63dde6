/** What experiments with shared memory on the running kernel have around them. */

import { existsSync } from "node:fs";
import { DrivenGroup } from "../linux/driven-group.ts";
import type { SwapSpace } from "../linux/index.ts";
import { holdSetting } from "../linux/setting.ts";

const SHMEM_ENABLED = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

export class LiveHost extends DrivenGroup {
  /** Whether shared memory gets huge pages where a process asks for them. */
  readonly hasHugeShmem = existsSync(SHMEM_ENABLED);

  /** Takes the swap space over. */
  constructor(swap: SwapSpace) {
    super(swap, { name: "ptemark-lab" });
    try {
      if (this.hasHugeShmem) holdSetting(swap.guard, { path: SHMEM_ENABLED, value: "advise" });
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }
}
