/** Soft-dirty tracking (`clear_soft_dirty`, `fs/proc/task_mmu.c`). */

import { isPteNone, isPtePresent, PTE_RW, PTE_SOFT_DIRTY, PTE_SWP_SOFT_DIRTY } from "../abi/index.ts";
import type { Kernel } from "./kernel.ts";
import type { Mm } from "./mm.ts";
import { entryOffset, tableEnd } from "./page-table.ts";
import { setPageProt, VM_SOFTDIRTY } from "./vma.ts";

/** Writing 4 to `/proc/PID/clear_refs`: nothing is soft-dirty, and the next write to each page faults. */
export function clearSoftDirty(k: Kernel, mm: Mm): void {
  if (!k.config.MEM_SOFT_DIRTY) return;
  for (const vma of mm.vmas) {
    if ((vma.flags & VM_SOFTDIRTY) !== 0) {
      vma.flags &= ~VM_SOFTDIRTY;
      setPageProt(k.config, vma);
    }
    const { pageTables } = mm;
    for (let vpn = pageTables.skipToTable(vma.start, vma.end); vpn < vma.end; ) {
      const table = pageTables.find(vpn);
      const chunk = k.pageTables.chunkOf(table);
      const stop = Math.min(vma.end, tableEnd(vpn));
      k.work.pteReads += stop - vpn;
      for (let i = entryOffset(table, vpn); vpn < stop; vpn++, i += 2) {
        if (isPteNone(chunk[i], chunk[i + 1])) continue;
        const kept = isPtePresent(chunk[i]) ? ~(PTE_RW | PTE_SOFT_DIRTY) : ~PTE_SWP_SOFT_DIRTY;
        k.pageTables.write(chunk, i, chunk[i] & kept, chunk[i + 1]);
      }
      vpn = pageTables.skipToTable(vpn, vma.end);
    }
  }
}
