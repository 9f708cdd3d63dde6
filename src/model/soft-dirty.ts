/** Soft-dirty tracking (`clear_soft_dirty`, `fs/proc/task_mmu.c`). */

import { isPtePresent, PTE_RW, PTE_SOFT_DIRTY, PTE_SWP_SOFT_DIRTY } from "../abi/index.ts";
import type { Kernel } from "./kernel.ts";
import type { Mm } from "./mm.ts";
import { setPageProt, VM_SOFTDIRTY } from "./vma.ts";

/** Writing 4 to `/proc/PID/clear_refs`: nothing is soft-dirty, and the next write to each page faults. */
export function clearSoftDirty(k: Kernel, mm: Mm): void {
  if (!k.config.MEM_SOFT_DIRTY) return;
  for (const vma of mm.vmas) {
    if ((vma.flags & VM_SOFTDIRTY) !== 0) {
      vma.flags &= ~VM_SOFTDIRTY;
      setPageProt(k.config, vma);
    }
    mm.pageTables.forEach(vma.start, vma.end, (_vpn, chunk, i) => {
      const kept = isPtePresent(chunk[i]) ? ~(PTE_RW | PTE_SOFT_DIRTY) : ~PTE_SWP_SOFT_DIRTY;
      k.pageTables.write(chunk, i, chunk[i] & kept, chunk[i + 1]);
    });
  }
}
